/*
 * queue_rows: the state entries of the index, typed: groups, ranges of
 * finished messages, claims, notes (tries and backoff), the dead.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue_priv.h"

static void
key2(struct ikey *k, unsigned char table, uint32_t group, uint64_t seq)
{
	ikey_init(k, table);
	ikey_u32(k, group);
	ikey_u64(k, seq);
}

#define GROUP_PREFIX	5U	/* table, group */

/* --- groups ------------------------------------------------------------------ */

#define GROUP_WORDS	11U

int
groups_load(struct queue *q)
{
	struct ikey k;
	struct ival v;
	struct group *g;
	int got;

	q->groups_cnt = 0;
	ikey_init(&k, T_GROUP);
	while ((got = index_seek(q, &k, 1, &v)) == 1) {
		g = reallocarray(q->groups, q->groups_cnt + 1, sizeof(*g));
		if (g == NULL)
			return -1;
		q->groups = g;
		g += q->groups_cnt++;
		memset(g, 0, sizeof(*g));
		g->no = ikey_get32(&k, 1);
		g->view = (uint32_t)v.w[0];
		g->finished = v.w[1];
		g->dead = v.w[2];
		g->in_flight = v.w[3];
		g->notes = v.w[4];
		g->cursor_seq = v.w[5];
		g->cursor_pos = v.w[6];
		g->ready = v.w[7];
		g->parked = v.w[8];
		g->blocked = v.w[9];
		g->waiting = v.w[10];
		if (v.n != GROUP_WORDS || v.tail_len > QUEUE_NAME_MAX) {
			index_broken(q);
			return -1;
		}
		memcpy(g->name, v.tail, v.tail_len);
		ikey_after(&k);
	}
	return got;
}

int
groups_save(struct queue *q)
{
	struct ikey k;
	struct ival v;

	for (size_t i = 0; i < q->groups_cnt; i++) {
		const struct group *g = &q->groups[i];

		if (!g->dirty)
			continue;
		ikey_init(&k, T_GROUP);
		ikey_u32(&k, g->no);
		v.n = GROUP_WORDS;
		v.w[0] = g->view;
		v.w[1] = g->finished;
		v.w[2] = g->dead;
		v.w[3] = g->in_flight;
		v.w[4] = g->notes;
		v.w[5] = g->cursor_seq;
		v.w[6] = g->cursor_pos;
		v.w[7] = g->ready;
		v.w[8] = g->parked;
		v.w[9] = g->blocked;
		v.w[10] = g->waiting;
		v.tail_len = strlen(g->name);
		memcpy(v.tail, g->name, v.tail_len);
		if (index_put(q, &k, &v) == -1)
			return -1;
		q->groups[i].dirty = false;
	}
	return 0;
}

struct group *
group_find(struct queue *q, uint32_t no)
{
	for (size_t i = 0; i < q->groups_cnt; i++)
		if (q->groups[i].no == no)
			return &q->groups[i];
	return NULL;
}

struct group *
group_named(struct queue *q, const char *name)
{
	for (size_t i = 0; i < q->groups_cnt; i++)
		if (strcmp(q->groups[i].name, name) == 0)
			return &q->groups[i];
	return NULL;
}

/* Moves the others. */
struct group *
group_make(struct queue *q, uint32_t no, const char *name)
{
	struct group *g = reallocarray(q->groups, q->groups_cnt + 1,
	    sizeof(*g));

	if (g == NULL)
		return NULL;
	q->groups = g;
	g += q->groups_cnt++;
	memset(g, 0, sizeof(*g));
	g->no = no;
	g->view = (uint32_t)q->idx.root.next_view++;
	g->dirty = true;
	strncat(g->name, name, sizeof(g->name) - 1);
	return g;
}

/* Delete all entries of the table that belong to the group. */
static int
delete_all(struct queue *q, unsigned char table, uint32_t no)
{
	struct ikey k;
	int got;

	ikey_init(&k, table);
	ikey_u32(&k, no);
	while ((got = index_seek(q, &k, k.len < GROUP_PREFIX ? k.len :
	    GROUP_PREFIX, NULL)) == 1)
		if (index_del(q, &k) == -1)
			return -1;
	return got;
}

int
group_drop(struct queue *q, uint32_t no)
{
	struct group *g = group_find(q, no);
	struct claim_row c;
	uint64_t seq = 0;
	int got;

	if (g == NULL)
		return 0;
	while ((got = claim_next(q, no, seq, &c)) == 1) {
		if (claim_del(q, no, &c) == -1)
			return -1;
		seq = c.start + 1;
	}
	if (got == -1)
		return -1;
	q->idx.root.dead -= g->dead;
	if (view_reset(q, g) == -1 ||
	    delete_all(q, T_DONE, no) == -1 ||
	    delete_all(q, T_NOTE, no) == -1 ||
	    delete_all(q, T_DEAD, no) == -1 ||
	    delete_all(q, T_GROUP, no) == -1)
		return -1;
	*g = q->groups[--q->groups_cnt];
	return 0;
}

/* State entries changed at or above seq: look again before passing there. */
void
group_unquiet(struct group *g, uint64_t seq)
{
	if (g->quiet > seq)
		g->quiet = seq;
}

/* --- finished messages ----------------------------------------------------------- */

static void
range_from(const struct ikey *k, const struct ival *v, struct range *r)
{
	r->start = ikey_get64(k, GROUP_PREFIX);
	r->end = v->w[0];
	r->end_pos = v->w[1];
}

static int
range_put(struct queue *q, uint32_t group, const struct range *r)
{
	struct ikey k;
	struct ival v;

	key2(&k, T_DONE, group, r->start);
	v.n = 2;
	v.w[0] = r->end;
	v.w[1] = r->end_pos;
	v.tail_len = 0;
	return index_put(q, &k, &v);
}

static int
range_del(struct queue *q, uint32_t group, uint64_t start)
{
	struct ikey k;

	key2(&k, T_DONE, group, start);
	return index_del(q, &k);
}

/* The last range that begins at or before seq. */
static int
range_before(struct queue *q, uint32_t group, uint64_t seq, struct range *r)
{
	struct ikey k;
	struct ival v;
	int got;

	*r = (struct range){ 0, 0, 0 };
	key2(&k, T_DONE, group, seq);
	got = index_seek_back(q, &k, GROUP_PREFIX, &v);
	if (got == 1)
		range_from(&k, &v, r);
	return got;
}

int
done_next(struct queue *q, uint32_t group, uint64_t seq, struct range *r)
{
	struct ikey k;
	struct ival v;
	int got;

	*r = (struct range){ 0, 0, 0 };
	key2(&k, T_DONE, group, seq);
	got = index_seek(q, &k, GROUP_PREFIX, &v);
	if (got == 1)
		range_from(&k, &v, r);
	return got;
}

int
done_find(struct queue *q, uint32_t group, uint64_t seq, struct range *r)
{
	int got = range_before(q, group, seq, r);

	return got == 1 ? r->end > seq : got;
}

int
done_common(struct queue *q, const struct group *but, uint64_t start,
    uint64_t end, uint64_t *cnt)
{
	uint64_t next, up_to;
	struct range r;
	bool all;

	*cnt = 0;
	while (start < end) {
		all = true;
		up_to = end;
		next = start;
		for (size_t i = 0; i < q->groups_cnt; i++) {
			const struct group *g = &q->groups[i];
			int got;

			if (g == but)
				continue;
			if ((got = done_find(q, g->no, start, &r)) == -1)
				return -1;
			if (got == 1) {
				if (r.end < up_to)
					up_to = r.end;
				continue;
			}
			all = false;
			got = done_next(q, g->no, start, &r);
			if (got == -1)
				return -1;
			if (got == 0 || r.start >= end)
				return 0;
			if (r.start > next)
				next = r.start;
		}
		if (all) {
			*cnt += up_to - start;
			start = up_to;
		} else {
			start = next;
		}
	}
	return 0;
}

/* Count messages that g has newly (un)finished in the queue's own sums. */
static int
finished_by_all(struct queue *q, const struct group *g, uint64_t start,
    uint64_t end, uint64_t bytes, bool more)
{
	uint64_t cnt = end - start, part = bytes;
	struct root *r = &q->idx.root;

	if (q->groups_cnt > 1) {
		if (done_common(q, g, start, end, &cnt) == -1)
			return -1;
		part = end > start ? bytes / (end - start) * cnt : 0;
	}
	if (more) {
		r->finished += cnt;
		r->finished_bytes += part;
	} else {
		r->finished -= cnt < r->finished ? cnt : r->finished;
	}
	return 0;
}

/* The part of [start, end) that no range covers becomes one with its
 * neighbours; there may be ranges within. */
int
done_add(struct queue *q, struct group *g, uint64_t start, uint64_t end,
    uint64_t end_pos, uint64_t bytes)
{
	struct range r = { start, end, end_pos }, o;
	uint64_t at = start;
	int got;

	if (start >= end)
		return 0;
	if (q->idx.root.touched < end)
		q->idx.root.touched = end;
	group_unquiet(g, start);
	g->dirty = true;
	/* What was not finished yet, counted piece by piece. */
	while (at < end) {
		if ((got = done_find(q, g->no, at, &o)) == -1)
			return -1;
		if (got == 1) {
			at = o.end;
			continue;
		}
		if ((got = done_next(q, g->no, at, &o)) == -1)
			return -1;
		if (got == 0 || o.start > end)
			o.start = end;
		g->finished += o.start - at;
		if (finished_by_all(q, g, at, o.start, bytes, true) == -1)
			return -1;
		at = o.start;
	}
	if ((got = range_before(q, g->no, start, &o)) == -1)
		return -1;
	if (got == 1 && o.end >= start) {
		r.start = o.start;
		if (o.end > r.end || (o.end == r.end && o.end_pos >
		    r.end_pos)) {
			r.end = o.end;
			r.end_pos = o.end_pos;
		}
	}
	while ((got = done_next(q, g->no, r.start, &o)) == 1 &&
	    o.start <= r.end) {
		if (o.end > r.end || (o.end == r.end && o.end_pos >
		    r.end_pos)) {
			r.end = o.end;
			r.end_pos = o.end_pos;
		}
		if (range_del(q, g->no, o.start) == -1)
			return -1;
	}
	return got == -1 ? -1 : range_put(q, g->no, &r);
}

int
done_remove(struct queue *q, struct group *g, const struct range *out,
    uint64_t pos)
{
	struct range r, left, right;
	int got;

	if ((got = done_find(q, g->no, out->start, &r)) != 1)
		return got;
	if (r.end < out->end)
		return 0;
	if (range_del(q, g->no, r.start) == -1)
		return -1;
	left = (struct range){ r.start, out->start, pos };
	right = (struct range){ out->end, r.end, r.end_pos };
	if (left.start < left.end && range_put(q, g->no, &left) == -1)
		return -1;
	if (right.start < right.end && range_put(q, g->no, &right) == -1)
		return -1;
	group_unquiet(g, out->start);
	g->dirty = true;
	g->finished -= out->end - out->start;
	return finished_by_all(q, g, out->start, out->end, 0, false);
}

int
done_recount(struct queue *q)
{
	return done_common(q, NULL, 0, q->groups_cnt == 0 ? 0 :
	    q->idx.root.touched, &q->idx.root.finished);
}

int
done_set(struct queue *q, struct group *g, uint64_t end, uint64_t end_pos)
{
	struct range r = { 0, end, end_pos };

	if (delete_all(q, T_DONE, g->no) == -1)
		return -1;
	if (end > 0 && range_put(q, g->no, &r) == -1)
		return -1;
	if (q->idx.root.touched < end)
		q->idx.root.touched = end;
	g->finished = end;
	g->quiet = 0;
	g->dirty = true;
	return done_recount(q);
}

int
done_cut(struct queue *q, struct group *g, uint64_t end, uint64_t end_pos)
{
	struct range r;
	int got;

	while ((got = range_before(q, g->no, UINT64_MAX, &r)) == 1 &&
	    r.end > end) {
		if (range_del(q, g->no, r.start) == -1)
			return -1;
		g->finished -= r.end - (r.start > end ? r.start : end);
		if (r.start < end) {
			r.end = end;
			r.end_pos = end_pos;
			if (range_put(q, g->no, &r) == -1)
				return -1;
		}
	}
	g->quiet = 0;
	g->dirty = true;
	return got == -1 ? -1 : done_recount(q);
}

int
done_removable(struct queue *q, uint64_t start, uint64_t end,
    uint64_t *up_to)
{
	uint64_t next = start, seq;
	struct claim_row c;
	struct dead_row d;
	struct range r;
	int got;

	*up_to = end;
	for (size_t i = 0; i < q->groups_cnt; i++) {
		const struct group *g = &q->groups[i];

		if ((got = done_find(q, g->no, start, &r)) == -1)
			return -1;
		if (got == 0) {
			if ((got = done_next(q, g->no, start, &r)) == -1)
				return -1;
			if (got == 0 || r.start > end)
				r.start = end;
			if (r.start > next)
				next = r.start;
			continue;
		}
		if (r.end < *up_to)
			*up_to = r.end;
		/* With -m its taker may not have read it yet. */
		if ((got = claim_covers(q, g->no, start, &c)) == -1)
			return -1;
		if (got == 1 && next < c.start + c.count)
			next = c.start + c.count < end ? c.start + c.count :
			    end;
		else if (got == 0 && (got = claim_next(q, g->no, start, &c)) ==
		    1 && c.start < *up_to)
			*up_to = c.start;
		if (got == -1)
			return -1;
		seq = start;
		if (g->dead == 0)
			continue;
		if ((got = dead_get(q, g->no, &seq, &d, NULL)) == -1)
			return -1;
		if (got == 1 && seq == start && next == start)
			next = start + 1;
		if (got == 1 && seq < *up_to)
			*up_to = seq;
	}
	if (next > start) {
		*up_to = next;
		return 0;
	}
	return 1;
}

/* --- claims ------------------------------------------------------------------------- */

#define CLAIM_WORDS	9U

static void
claim_from(const struct ikey *k, const struct ival *v, struct claim_row *c)
{
	c->start = ikey_get64(k, GROUP_PREFIX);
	memcpy(&c->count, v->w, CLAIM_WORDS * sizeof(uint64_t));
}

int
claim_next(struct queue *q, uint32_t group, uint64_t seq,
    struct claim_row *c)
{
	struct ikey k;
	struct ival v;
	int got;

	key2(&k, T_CLAIM, group, seq);
	got = index_seek(q, &k, GROUP_PREFIX, &v);
	if (got == 1)
		claim_from(&k, &v, c);
	return got;
}

int
claim_covers(struct queue *q, uint32_t group, uint64_t seq,
    struct claim_row *c)
{
	struct ikey k;
	struct ival v;
	int got;

	key2(&k, T_CLAIM, group, seq);
	got = index_seek_back(q, &k, GROUP_PREFIX, &v);
	if (got != 1)
		return got;
	claim_from(&k, &v, c);
	return seq - c->start < c->count;
}

static void
held_key(struct ikey *k, uint32_t group, const struct claim_row *c)
{
	if (c->flags & CLAIM_LEASE) {
		ikey_init(k, T_LEASE);
		ikey_u64(k, c->deadline_ns);
	} else {
		ikey_init(k, T_HELD);
		ikey_u64(k, c->holder);
	}
	ikey_u32(k, group);
	ikey_u64(k, c->start);
}

int
claim_put(struct queue *q, uint32_t group, const struct claim_row *c)
{
	struct ikey k;
	struct ival v;

	key2(&k, T_CLAIM, group, c->start);
	v.n = CLAIM_WORDS;
	memcpy(v.w, &c->count, CLAIM_WORDS * sizeof(uint64_t));
	v.tail_len = 0;
	if (index_put(q, &k, &v) == -1)
		return -1;
	held_key(&k, group, c);
	v.n = 1;
	v.w[0] = c->no;
	return index_put(q, &k, &v);
}

int
claim_del(struct queue *q, uint32_t group, const struct claim_row *c)
{
	struct ikey k;

	key2(&k, T_CLAIM, group, c->start);
	if (index_del(q, &k) == -1)
		return -1;
	held_key(&k, group, c);
	return index_del(q, &k) == -1 ? -1 : 0;
}

/* --- notes ------------------------------------------------------------------------------- */

int
note_get(struct queue *q, const struct group *g, uint64_t seq,
    uint64_t *tries, uint64_t *due_ns)
{
	struct ikey k;
	struct ival v;
	int got = 0;

	*tries = *due_ns = 0;
	if (g->notes == 0)
		return 0;
	key2(&k, T_NOTE, g->no, seq);
	got = index_get(q, &k, &v);
	if (got == 1) {
		*tries = v.w[0];
		*due_ns = v.w[1];
	}
	return got;
}

int
note_put(struct queue *q, struct group *g, uint64_t seq, uint64_t tries,
    uint64_t due_ns)
{
	struct ikey k;
	struct ival v;
	int got;

	key2(&k, T_NOTE, g->no, seq);
	if (tries == 0 && due_ns == 0) {
		if (g->notes == 0)
			return 0;
		if ((got = index_del(q, &k)) == -1)
			return -1;
		g->notes -= (uint64_t)got;
		g->dirty = true;
		return 0;
	}
	if ((got = index_get(q, &k, NULL)) == -1)
		return -1;
	g->notes += got == 0;
	g->dirty = true;
	group_unquiet(g, seq);
	v.n = 2;
	v.w[0] = tries;
	v.w[1] = due_ns;
	v.tail_len = 0;
	return index_put(q, &k, &v);
}

int
notes_del(struct queue *q, struct group *g, uint64_t start, uint64_t end)
{
	struct ikey k;
	int got = 0;

	if (g->notes == 0 || start >= end)
		return 0;
	key2(&k, T_NOTE, g->no, start);
	while ((got = index_seek(q, &k, GROUP_PREFIX, NULL)) == 1 &&
	    ikey_get64(&k, GROUP_PREFIX) < end) {
		if (index_del(q, &k) == -1)
			return -1;
		g->notes--;
		g->dirty = true;
	}
	return got == -1 ? -1 : 0;
}

/* --- the dead -------------------------------------------------------------------------------- */

#define DEAD_WORDS	6U

int
dead_get(struct queue *q, uint32_t group, uint64_t *seq, struct dead_row *d,
    struct ival *v)
{
	struct ival own;
	struct ikey k;
	int got;

	if (v == NULL)
		v = &own;
	key2(&k, T_DEAD, group, *seq);
	got = index_seek(q, &k, GROUP_PREFIX, v);
	if (got == 1) {
		*seq = ikey_get64(&k, GROUP_PREFIX);
		memcpy(d, v->w, DEAD_WORDS * sizeof(uint64_t));
	}
	return got;
}

int
dead_put(struct queue *q, struct group *g, uint64_t seq,
    const struct dead_row *d, const void *tail, size_t tail_len)
{
	struct ikey k;
	struct ival v;
	int got;

	key2(&k, T_DEAD, g->no, seq);
	if ((got = index_get(q, &k, NULL)) == -1)
		return -1;
	g->dead += got == 0;
	q->idx.root.dead += got == 0;
	g->dirty = true;
	v.n = DEAD_WORDS;
	memcpy(v.w, d, DEAD_WORDS * sizeof(uint64_t));
	v.tail_len = tail_len < IVAL_TAIL ? tail_len : IVAL_TAIL;
	memcpy(v.tail, tail, v.tail_len);
	return index_put(q, &k, &v);
}

int
dead_del(struct queue *q, struct group *g, uint64_t seq)
{
	struct ikey k;
	int got;

	key2(&k, T_DEAD, g->no, seq);
	if ((got = index_del(q, &k)) == 1) {
		g->dead--;
		q->idx.root.dead--;
		g->dirty = true;
	}
	return got;
}
