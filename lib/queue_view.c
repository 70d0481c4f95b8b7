/*
 * queue_view: what waits below a group's cursor, and why.
 *
 * A message without a key stands in ready, or in waiting until its time.  Of
 * the messages of one key that the cursor has passed, at most one, the
 * earliest, stands there too: the key's leader.  The others are parked behind
 * it.  While a message of the key is taken there is no leader at all.
 */

#include <errno.h>
#include <string.h>

#include "queue_priv.h"

#define VIEW_PREFIX	5U	/* table, view */
#define TRASH_STEP	200	/* entries deleted a transaction */

/* --- entries ------------------------------------------------------------------ */

static int
entry_put(struct queue *q, const struct ikey *k, const struct entry *e)
{
	struct ival v = { .n = 5, .tail_len = 0 };

	v.w[0] = e->count;
	v.w[1] = e->pos;
	v.w[2] = e->end;
	v.w[3] = e->kh;
	v.w[4] = e->due_ns;
	return index_put(q, k, &v);
}

static void
entry_from(const struct ikey *k, const struct ival *v, struct entry *e)
{
	e->seq = ikey_get64(k, k->len - 8);
	e->count = v->w[0];
	e->pos = v->w[1];
	e->end = v->w[2];
	e->kh = v->w[3];
	e->due_ns = v->w[4];
}

static void
ready_key(struct ikey *k, const struct group *g, uint64_t kh, uint64_t seq)
{
	ikey_init(k, T_READY);
	ikey_u32(k, g->view);
	ikey_u16(k, kh == 0 ? 0 : 1 + (unsigned int)(kh % LANES));
	ikey_u64(k, seq);
}

static void
wait_key(struct ikey *k, const struct group *g, uint64_t due, uint64_t seq)
{
	ikey_init(k, T_WAIT);
	ikey_u32(k, g->view);
	ikey_u64(k, due);
	ikey_u64(k, seq);
}

static void
parked_key(struct ikey *k, const struct group *g, uint64_t kh, uint64_t seq)
{
	ikey_init(k, T_PARKED);
	ikey_u32(k, g->view);
	ikey_u64(k, kh);
	ikey_u64(k, seq);
}

/* Where it can be taken from: ready, or waiting for its time. */
static int
place(struct queue *q, struct group *g, const struct entry *e)
{
	struct ikey k;

	g->dirty = true;
	if (e->due_ns != 0) {
		wait_key(&k, g, e->due_ns, e->seq);
		g->waiting += e->count;
	} else {
		ready_key(&k, g, e->kh, e->seq);
		g->ready += e->count;
	}
	return entry_put(q, &k, e);
}

/* Undo place; e is filled in. 1, 0 it is not there, -1. */
static int
displace(struct queue *q, struct group *g, uint64_t kh, uint64_t due,
    uint64_t seq, struct entry *e)
{
	struct ikey k;
	struct ival v;
	int got;

	if (due != 0)
		wait_key(&k, g, due, seq);
	else
		ready_key(&k, g, kh, seq);
	if ((got = index_get(q, &k, &v)) != 1)
		return got;
	entry_from(&k, &v, e);
	if (due != 0)
		g->waiting -= e->count;
	else
		g->ready -= e->count;
	g->dirty = true;
	return index_del(q, &k);
}

/* --- keys ----------------------------------------------------------------------- */

static void
key_key(struct ikey *k, const struct group *g, uint64_t kh)
{
	ikey_init(k, T_KEY);
	ikey_u32(k, g->view);
	ikey_u64(k, kh);
}

int
key_get(struct queue *q, const struct group *g, uint64_t kh,
    struct key_row *row)
{
	struct ikey k;
	struct ival v;
	int got;

	memset(row, 0, sizeof(*row));
	key_key(&k, g, kh);
	got = index_get(q, &k, &v);
	if (got == 1) {
		row->claimed = v.w[0];
		row->leader = v.w[1];
		row->leader_due = v.w[2];
		row->parked = v.w[3];
	}
	return got;
}

static int
key_put(struct queue *q, struct group *g, uint64_t kh,
    const struct key_row *row, uint64_t parked_before)
{
	struct ikey k;
	struct ival v = { .n = 4, .tail_len = 0 };

	g->blocked += (row->parked > 0) - (parked_before > 0);
	g->parked += row->parked - parked_before;
	g->dirty = true;
	key_key(&k, g, kh);
	if (row->claimed == 0 && row->leader == 0 && row->parked == 0)
		return index_del(q, &k) == -1 ? -1 : 0;
	v.w[0] = row->claimed;
	v.w[1] = row->leader;
	v.w[2] = row->leader_due;
	v.w[3] = row->parked;
	return index_put(q, &k, &v);
}

/* Let the earliest message of a key that nobody has taken lead. */
static int
elect(struct queue *q, struct group *g, uint64_t kh, struct key_row *row)
{
	struct entry e, old;
	struct ikey k;
	struct ival v;
	int got;

	if (row->claimed > 0 || row->parked == 0)
		return 0;
	parked_key(&k, g, kh, 0);
	if ((got = index_seek(q, &k, VIEW_PREFIX + 8, &v)) != 1) {
		if (got == 0)
			index_broken(q);
		return -1;
	}
	entry_from(&k, &v, &e);
	if (row->leader != 0 && row->leader - 1 < e.seq)
		return 0;
	if (index_del(q, &k) == -1)
		return -1;
	row->parked--;
	if (row->leader != 0) {
		if ((got = displace(q, g, kh, row->leader_due,
		    row->leader - 1, &old)) != 1) {
			if (got == 0)
				index_broken(q);
			return -1;
		}
		parked_key(&k, g, kh, old.seq);
		if (entry_put(q, &k, &old) == -1)
			return -1;
		row->parked++;
	}
	row->leader = e.seq + 1;
	row->leader_due = e.due_ns;
	return place(q, g, &e);
}

/* --- looking --------------------------------------------------------------------- */

int
view_ready(struct queue *q, const struct group *g, unsigned int *lane,
    uint64_t seq, struct entry *e)
{
	struct ikey k;
	struct ival v;
	int got;

	ikey_init(&k, T_READY);
	ikey_u32(&k, g->view);
	ikey_u16(&k, *lane);
	ikey_u64(&k, seq);
	if ((got = index_seek(q, &k, VIEW_PREFIX, &v)) == 1) {
		*lane = ikey_get16(&k, VIEW_PREFIX);
		entry_from(&k, &v, e);
	}
	return got;
}

int
view_waiting(struct queue *q, const struct group *g, uint64_t due,
    uint64_t seq, struct entry *e)
{
	struct ikey k;
	struct ival v;
	int got;

	wait_key(&k, g, due, seq);
	if ((got = index_seek(q, &k, VIEW_PREFIX, &v)) == 1)
		entry_from(&k, &v, e);
	return got;
}

int
view_parked(struct queue *q, const struct group *g, uint64_t kh,
    uint64_t seq, struct entry *e)
{
	struct ikey k;
	struct ival v;
	int got;

	parked_key(&k, g, kh, seq);
	if ((got = index_seek(q, &k, VIEW_PREFIX + 8, &v)) == 1)
		entry_from(&k, &v, e);
	return got;
}

int
view_ripen(struct queue *q, struct group *g, uint64_t now, unsigned int most,
    bool *more)
{
	struct key_row row;
	struct entry e = { .seq = 0 };
	struct ikey k;
	int got;

	*more = false;
	while (g->waiting > 0 && (got = view_waiting(q, g, 0, 0, &e)) != 0) {
		if (got == -1)
			return -1;
		if (e.due_ns > now)
			return 0;
		if (most-- == 0) {
			*more = true;
			return 0;
		}
		if (displace(q, g, e.kh, e.due_ns, e.seq, &e) == -1)
			return -1;
		ready_key(&k, g, e.kh, e.seq);
		g->ready += e.count;
		if (entry_put(q, &k, &e) == -1)
			return -1;
		if (e.kh == 0)
			continue;
		if (key_get(q, g, e.kh, &row) == -1)
			return -1;
		row.leader_due = 0;
		if (key_put(q, g, e.kh, &row, row.parked) == -1)
			return -1;
	}
	return 0;
}

/* --- what happens to messages ------------------------------------------------------ */

int
view_add(struct queue *q, struct group *g, const struct entry *e)
{
	struct key_row row;
	struct ikey k;
	uint64_t before;

	if (e->kh == 0)
		return place(q, g, e);
	if (key_get(q, g, e->kh, &row) == -1)
		return -1;
	before = row.parked;
	if (row.claimed == 0 && row.leader == 0 && row.parked == 0) {
		row.leader = e->seq + 1;
		row.leader_due = e->due_ns;
		if (place(q, g, e) == -1)
			return -1;
	} else {
		parked_key(&k, g, e->kh, e->seq);
		if (entry_put(q, &k, e) == -1)
			return -1;
		row.parked++;
		if (elect(q, g, e->kh, &row) == -1)
			return -1;
	}
	return key_put(q, g, e->kh, &row, before);
}

/* A run of plain messages, out of whichever runs hold them. */
static int
remove_plain(struct queue *q, struct group *g, const struct entry *e)
{
	uint64_t at = e->seq, last = e->seq + e->count;
	struct entry old, part;
	struct ikey k;
	struct ival v;
	int got;

	if (e->due_ns != 0) {
		got = displace(q, g, 0, e->due_ns, e->seq, &old);
		if (got != 0)
			return got == -1 ? -1 : 0;
	}
	/* The run that covers the first one, then those that follow. */
	ready_key(&k, g, 0, at);
	if ((got = index_seek_back(q, &k, VIEW_PREFIX + 2, &v)) == -1)
		return -1;
	if (got == 1) {
		entry_from(&k, &v, &old);
		if (old.seq + old.count <= at)
			got = 0;
	}
	if (got == 0) {
		ready_key(&k, g, 0, at);
		got = index_seek(q, &k, VIEW_PREFIX + 2, &v);
	}
	while (got == 1) {
		entry_from(&k, &v, &old);
		if (old.seq >= last)
			break;
		if (index_del(q, &k) == -1)
			return -1;
		g->ready -= old.count;
		g->dirty = true;
		if (old.seq < at) {
			part = old;
			part.count = at - old.seq;
			part.end = e->pos;
			if (place(q, g, &part) == -1)
				return -1;
		}
		if (old.seq + old.count > last) {
			part = old;
			part.seq = last;
			part.count = old.seq + old.count - last;
			part.pos = e->end;
			if (place(q, g, &part) == -1)
				return -1;
			break;
		}
		ready_key(&k, g, 0, old.seq + old.count);
		got = index_seek(q, &k, VIEW_PREFIX + 2, &v);
	}
	return got == -1 ? -1 : 0;
}

static int
remove_entry(struct queue *q, struct group *g, const struct entry *e)
{
	struct key_row row;
	struct entry old;
	struct ikey k;
	uint64_t before;
	int got;

	if (e->kh == 0)
		return remove_plain(q, g, e);
	if ((got = key_get(q, g, e->kh, &row)) != 1)
		return got;
	before = row.parked;
	if (row.leader == e->seq + 1) {
		if (displace(q, g, e->kh, row.leader_due, e->seq, &old) == -1)
			return -1;
		row.leader = row.leader_due = 0;
	} else {
		parked_key(&k, g, e->kh, e->seq);
		if ((got = index_del(q, &k)) != 1)
			return got;
		row.parked--;
	}
	return key_put(q, g, e->kh, &row, before);
}

int
view_take(struct queue *q, struct group *g, const struct entry *e)
{
	if (e->seq < g->cursor_seq && remove_entry(q, g, e) == -1)
		return -1;
	return view_claimed(q, g, e->kh, (int)e->count);
}

int
view_claimed(struct queue *q, struct group *g, uint64_t kh, int change)
{
	struct key_row row;
	uint64_t before;

	if (kh == 0)
		return 0;
	if (key_get(q, g, kh, &row) == -1)
		return -1;
	before = row.parked;
	if (change > 0)
		row.claimed += (uint64_t)change;
	else
		row.claimed -= row.claimed < (uint64_t)-change ?
		    row.claimed : (uint64_t)-change;
	if (elect(q, g, kh, &row) == -1)
		return -1;
	return key_put(q, g, kh, &row, before);
}

/* --- forgetting all ------------------------------------------------------------------- */

int
view_reset(struct queue *q, struct group *g)
{
	struct ival v = { .n = 0, .tail_len = 0 };
	struct claim_row c;
	uint64_t seq = 0;
	struct ikey k;
	int got;

	ikey_init(&k, T_TRASH);
	ikey_u32(&k, g->view);
	if (index_put(q, &k, &v) == -1)
		return -1;
	g->view = (uint32_t)q->idx.root.next_view++;
	g->cursor_seq = g->cursor_pos = 0;
	g->ready = g->parked = g->blocked = g->waiting = 0;
	g->quiet = 0;
	g->dirty = true;
	/* Keys of what is taken stay busy. */
	while ((got = claim_next(q, g->no, seq, &c)) == 1) {
		if (view_claimed(q, g, c.kh, (int)c.count) == -1)
			return -1;
		seq = c.start + 1;
	}
	return got;
}

int
view_trash(struct queue *q)
{
	static const unsigned char tables[] = { T_READY, T_PARKED, T_WAIT,
		T_KEY };
	struct ikey k, t;
	int got, left = TRASH_STEP;
	uint32_t view;

	ikey_init(&t, T_TRASH);
	if ((got = index_seek(q, &t, 1, NULL)) != 1)
		return got;
	view = ikey_get32(&t, 1);
	for (size_t i = 0; i < sizeof(tables); i++) {
		ikey_init(&k, tables[i]);
		ikey_u32(&k, view);
		while ((got = index_seek(q, &k, VIEW_PREFIX, NULL)) == 1) {
			if (index_del(q, &k) == -1)
				return -1;
			if (--left == 0)
				return 0;
		}
		if (got == -1)
			return -1;
	}
	return index_del(q, &t) == -1 ? -1 : 0;
}
