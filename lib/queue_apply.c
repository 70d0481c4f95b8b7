/*
 * queue_apply: what each record of the journal does to the index.
 *
 * The same code runs when a record is written and when it is met again by
 * recovery; so it looks at nothing but the record and the index, and does not
 * mind when what it speaks of is not there (a damaged batch was lost) or lies
 * above the cursor (the cursor was moved back: it will find the state entry).
 */

#include <errno.h>
#include <string.h>

#include "queue_priv.h"

uint64_t
words_next(struct words *w)
{
	uint64_t v;

	if (w->left < 8) {
		w->short_ = true;
		return 0;
	}
	v = le_get64(w->p);
	w->p += 8;
	w->left -= 8;
	return v;
}

/* Messages may count again that were finished: who removes them must know. */
static void
wanted_again(struct queue *q)
{
	word_put(&q->ctl->wanted_again, word_get(&q->ctl->wanted_again) + 1);
}

static struct group *
group_of(struct queue *q, struct words *w)
{
	return group_find(q, (uint32_t)words_next(w));
}

/* --- ending claims -------------------------------------------------------------------- */

/*
 * The first messages of the claim row, up to seq `end` (its log position is
 * end_pos), are taken no more.  c becomes the part that was ended.
 */
static int
cut(struct queue *q, struct group *g, struct claim_row *c, uint64_t end,
    uint64_t end_pos)
{
	struct claim_row rest = *c;

	if (claim_del(q, g->no, c) == -1)
		return -1;
	if (end < c->start + c->count) {
		rest.start = end;
		rest.count = c->start + c->count - end;
		rest.pos = end_pos;
		if (claim_put(q, g->no, &rest) == -1)
			return -1;
		c->count = end - c->start;
		c->end = end_pos;
	}
	if (!(c->flags & CLAIM_ACKED))
		g->in_flight -= c->count < g->in_flight ? c->count :
		    g->in_flight;
	g->dirty = true;
	return 0;
}

/* --- taking ---------------------------------------------------------------------- */

/*
 * An older claim on the same messages: how it ended was lost with a damaged
 * batch, and the newer one proves that it did.
 */
static int
supersede(struct queue *q, struct group *g, const struct claim_row *c)
{
	uint64_t end = c->start + c->count, seq = c->start;
	struct claim_row old;
	int got;

	while (seq < end) {
		if ((got = claim_covers(q, g->no, seq, &old)) == -1)
			return -1;
		if (got == 0 && ((got = claim_next(q, g->no, seq, &old)) == -1))
			return -1;
		if (got == 0 || old.start >= end)
			return 0;
		seq = old.start + old.count;
		if (cut(q, g, &old, seq, old.end) == -1 ||
		    view_claimed(q, g, old.kh, -(int)old.count) == -1)
			return -1;
	}
	return 0;
}

static int
apply_claim(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	struct root *root = &q->idx.root;
	struct claim_row c = { .flags = words_next(w) };
	struct entry e;
	uint64_t n, due;

	c.no = words_next(w);
	c.holder = words_next(w);
	c.deadline_ns = words_next(w);
	n = words_next(w);
	if (root->next_claim <= c.no)
		root->next_claim = c.no + 1;
	while (n-- > 0) {
		c.start = words_next(w);
		c.count = words_next(w);
		c.pos = words_next(w);
		c.end = words_next(w);
		c.kh = words_next(w);
		due = words_next(w);
		c.tries = words_next(w);
		if (w->short_ || g == NULL || c.count == 0)
			return 0;
		if (root->touched < c.start + c.count)
			root->touched = c.start + c.count;
		e = (struct entry){ c.start, c.count, c.pos, c.end, c.kh,
			due };
		if ((!q->picked && (supersede(q, g, &c) == -1 ||
		    view_take(q, g, &e) == -1)) ||
		    claim_put(q, g->no, &c) == -1)
			return -1;
		if (!(c.flags & CLAIM_ACKED))
			g->in_flight += c.count;
		else if (done_add(q, g, c.start, c.start + c.count, c.end,
		    c.end - c.pos) == -1 || notes_del(q, g, c.start,
		    c.start + c.count) == -1)
			return -1;
		g->dirty = true;
	}
	return 0;
}

/* --- what becomes of them ------------------------------------------------------------- */

/* Finished: [start, end), of which a claim may hold parts. */
static int
finish(struct queue *q, struct group *g, uint64_t start, uint64_t end,
    uint64_t end_pos)
{
	struct claim_row c;
	uint64_t upto;
	int got;

	while (start < end) {
		if ((got = claim_covers(q, g->no, start, &c)) == -1)
			return -1;
		if (got == 0 || c.start != start)
			return done_add(q, g, start, end, end_pos, 0);
		upto = c.start + c.count < end ? c.start + c.count : end;
		if (cut(q, g, &c, upto, end_pos) == -1)
			return -1;
		if (!(c.flags & CLAIM_ACKED) && (done_add(q, g, c.start,
		    upto, c.end, c.end - c.pos) == -1 ||
		    notes_del(q, g, c.start, upto) == -1))
			return -1;
		if (view_claimed(q, g, c.kh, -(int)c.count) == -1)
			return -1;
		start = upto;
	}
	return 0;
}

static int
apply_ack(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t n, start, count, end_pos;

	(void)words_next(w);		/* the claim's number */
	n = words_next(w);
	while (n-- > 0) {
		start = words_next(w);
		count = words_next(w);
		end_pos = words_next(w);
		if (w->short_ || g == NULL || count > UINT64_MAX - start)
			return 0;
		if (finish(q, g, start, start + count, end_pos) == -1)
			return -1;
	}
	return 0;
}

/* The whole row: waiting again, in its old place; counted: a try was made. */
static int
give_back(struct queue *q, struct group *g, struct claim_row *c,
    bool counted, uint64_t due)
{
	struct entry e = { c->start, c->count, c->pos, c->end, c->kh, due };
	uint64_t tries = c->tries + (counted && (c->flags & CLAIM_RUN));

	if (cut(q, g, c, c->start + c->count, c->end) == -1)
		return -1;
	if (!(c->flags & CLAIM_ACKED)) {
		if (c->count == 1 && note_put(q, g, c->start, tries, due) ==
		    -1)
			return -1;
		if (c->start < g->cursor_seq && view_add(q, g, &e) == -1)
			return -1;
	}
	return view_claimed(q, g, c->kh, -(int)c->count);
}

static int
apply_back(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t no = words_next(w), uncounted = words_next(w);
	uint64_t due = words_next(w), n = words_next(w), start;
	struct claim_row c;
	int got;

	while (n-- > 0) {
		start = words_next(w);
		if (w->short_ || g == NULL)
			return 0;
		if ((got = claim_covers(q, g->no, start, &c)) == -1)
			return -1;
		if (got == 1 && c.no == no && give_back(q, g, &c,
		    uncounted == 0, due) == -1)
			return -1;
	}
	return 0;
}

/* A claim that was acknowledged when taken (-m), but not durably: undone. */
static int
apply_unack(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t no = words_next(w), seq = 0;
	struct claim_row c;
	struct range out;
	int got = 0;

	if (w->short_ || g == NULL)
		return 0;
	while ((got = claim_next(q, g->no, seq, &c)) == 1) {
		seq = c.start + 1;
		if (c.no != no || (c.flags & CLAIM_ACKED) == 0)
			continue;
		out = (struct range){ c.start, c.start + c.count, c.end };
		if (done_remove(q, g, &out, c.pos) == -1)
			return -1;
		c.flags &= ~(uint64_t)CLAIM_ACKED;
		g->in_flight += c.count;
		if (claim_put(q, g->no, &c) == -1 ||
		    give_back(q, g, &c, false, 0) == -1)
			return -1;
	}
	return got;
}

static int
apply_dead(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t seq = words_next(w);
	struct dead_row d;

	d.pos = words_next(w);
	d.end = words_next(w);
	d.kh = words_next(w);
	d.tries = words_next(w);
	d.died_ns = words_next(w);
	d.status = words_next(w);
	if (w->short_ || g == NULL)
		return 0;
	if (finish(q, g, seq, seq + 1, d.end) == -1)
		return -1;
	return dead_put(q, g, seq, &d, w->p, w->left);
}

static int
apply_requeue(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t seq = words_next(w), found = seq;
	struct range out = { seq, seq + 1, 0 };
	struct dead_row d;
	struct entry e;
	int got;

	if (w->short_ || g == NULL)
		return 0;
	if ((got = dead_get(q, g->no, &found, &d, NULL)) != 1 || found != seq)
		return got == -1 ? -1 : 0;
	e = (struct entry){ seq, 1, d.pos, d.end, d.kh, 0 };
	wanted_again(q);
	if (dead_del(q, g, seq) == -1 ||
	    done_remove(q, g, &out, d.pos) == -1 ||
	    note_put(q, g, seq, 0, 0) == -1)
		return -1;
	return seq < g->cursor_seq ? view_add(q, g, &e) : 0;
}

static int
apply_buried(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t seq = words_next(w);

	if (w->short_ || g == NULL)
		return 0;
	return dead_del(q, g, seq) == -1 ? -1 : 0;
}

static int
apply_extend(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t start = words_next(w), deadline = words_next(w);
	struct claim_row c;
	int got;

	if (w->short_ || g == NULL)
		return 0;
	if ((got = claim_covers(q, g->no, start, &c)) != 1)
		return got;
	if (claim_del(q, g->no, &c) == -1)
		return -1;
	c.deadline_ns = deadline;
	return claim_put(q, g->no, &c);
}

static int
apply_fence(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t start = words_next(w), force = words_next(w);
	struct claim_row c;
	int got;

	if (w->short_ || g == NULL)
		return 0;
	if ((got = claim_covers(q, g->no, start, &c)) != 1)
		return got;
	if (force != 0)
		return give_back(q, g, &c, false, 0);
	c.flags |= CLAIM_FENCED;
	return claim_put(q, g->no, &c);
}

/* --- groups ----------------------------------------------------------------------------- */

/* A run of plain messages that begins before `from` and goes on behind it. */
static int
split(struct queue *q, struct group *g, struct claim_row *c, uint64_t from,
    uint64_t from_pos)
{
	struct claim_row rest = *c;

	if (from <= c->start || from >= c->start + c->count)
		return 0;
	if (claim_del(q, g->no, c) == -1)
		return -1;
	rest.start = from;
	rest.count -= from - c->start;
	rest.pos = from_pos;
	c->count = from - c->start;
	c->end = from_pos;
	return claim_put(q, g->no, &rest);
}

/*
 * End every claim of the group, but for the keys.  Messages before `from` are
 * finished for good, those from there on wait again once their holder ends.  A
 * lease has nobody whose end could be told, and an acknowledged run no key.
 */
static int
fence_all(struct queue *q, struct group *g, uint64_t from, uint64_t from_pos)
{
	struct claim_row c;
	uint64_t seq = 0;
	int got;

	g->in_flight = 0;
	g->dirty = true;
	while ((got = claim_next(q, g->no, seq, &c)) == 1) {
		seq = c.start + 1;
		if (split(q, g, &c, from, from_pos) == -1)
			return -1;
		if ((c.flags & CLAIM_LEASE) != 0 || (c.count > 1 &&
		    (c.start < from || (c.flags & CLAIM_ACKED) != 0))) {
			if (claim_del(q, g->no, &c) == -1)
				return -1;
			continue;
		}
		c.flags |= CLAIM_FENCED;
		if (c.start < from) {
			c.flags |= CLAIM_ACKED;
		} else {
			c.flags &= ~(uint64_t)CLAIM_ACKED;
			g->in_flight += c.count;
		}
		if (claim_put(q, g->no, &c) == -1)
			return -1;
	}
	return got;
}

static int
dead_from(struct queue *q, struct group *g, uint64_t seq)
{
	struct dead_row d;
	int got = 0;

	while (g->dead > 0 &&
	    (got = dead_get(q, g->no, &seq, &d, NULL)) == 1)
		if (dead_del(q, g, seq) == -1)
			return -1;
	return got == -1 ? -1 : 0;
}

static int
apply_purge(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t end = words_next(w), end_pos = words_next(w);

	if (w->short_ || g == NULL)
		return 0;
	if (fence_all(q, g, end, end_pos) == -1 ||
	    notes_del(q, g, 0, end) == -1 ||
	    done_add(q, g, 0, end, end_pos, 0) == -1)
		return -1;
	if (q->groups_cnt == 1)
		q->idx.root.finished_bytes = end_pos;
	return view_reset(q, g);
}

static int
apply_reset(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t from = words_next(w), from_pos = words_next(w);

	if (w->short_ || g == NULL)
		return 0;
	wanted_again(q);
	if (fence_all(q, g, from, from_pos) == -1 ||
	    dead_from(q, g, from) == -1 ||
	    notes_del(q, g, 0, UINT64_MAX) == -1 ||
	    done_set(q, g, from, from_pos) == -1)
		return -1;
	return view_reset(q, g);
}

static int
apply_group(struct queue *q, struct words *w)
{
	uint32_t no = (uint32_t)words_next(w);
	uint64_t from = words_next(w), from_pos = words_next(w);
	char name[QUEUE_NAME_MAX + 1];
	struct group *g;

	if (w->short_ || w->left == 0 || w->left > QUEUE_NAME_MAX ||
	    group_find(q, no) != NULL)
		return 0;
	memcpy(name, w->p, w->left);
	name[w->left] = '\0';
	if (q->idx.root.next_group <= no)
		q->idx.root.next_group = no + 1;
	wanted_again(q);
	if ((g = group_make(q, no, name)) == NULL)
		return -1;
	return done_set(q, g, from, from_pos);
}

/* Their bytes were given back before the group could want them. */
static int
apply_gone(struct queue *q, struct words *w)
{
	struct group *g = group_of(q, w);
	uint64_t start, end, end_pos, seq;
	struct claim_row c;
	int got;

	while (w->left > 0) {
		start = words_next(w);
		end = words_next(w);
		end_pos = words_next(w);
		if (w->short_ || g == NULL)
			return 0;
		for (seq = start; (got = claim_next(q, g->no, seq, &c)) == 1 &&
		    c.start < end; seq = c.start + 1) {
			if (c.flags & CLAIM_ACKED)
				continue;
			g->in_flight -= c.count;
			c.flags |= CLAIM_ACKED;
			if (claim_put(q, g->no, &c) == -1)
				return -1;
		}
		if (got == -1 || done_add(q, g, start, end, end_pos, 0) == -1)
			return -1;
	}
	return 0;
}

static int
apply_ungroup(struct queue *q, struct words *w)
{
	uint32_t no = (uint32_t)words_next(w);

	if (w->short_)
		return 0;
	return group_drop(q, no) == -1 ? -1 : done_recount(q);
}

/* --- the log -------------------------------------------------------------------------------- */

static int
apply_gap(struct queue *q, struct words *w)
{
	uint64_t start = words_next(w), end = words_next(w);
	uint64_t end_pos = words_next(w);

	if (w->short_ || start >= end)
		return 0;
	for (size_t i = 0; i < q->groups_cnt; i++)
		if (done_add(q, &q->groups[i], start, end, end_pos, 0) == -1)
			return -1;
	q->idx.root.damaged += end - start;
	return 0;
}

/* Nothing is true any more of messages at or above end; boot: nor is any
 * message taken, since all holders are gone. */
static int
cut_group(struct queue *q, struct group *g, uint64_t end, uint64_t end_pos,
    bool boot)
{
	struct claim_row c;
	uint64_t seq = boot ? 0 : end;
	int got;

	while ((got = claim_next(q, g->no, seq, &c)) == 1) {
		seq = c.start + 1;
		if (cut(q, g, &c, c.start + c.count, c.end) == -1)
			return -1;
		if (c.start < end && (c.flags & CLAIM_RUN) != 0 &&
		    (c.flags & CLAIM_ACKED) == 0 &&
		    note_put(q, g, c.start, c.tries + 1, 0) == -1)
			return -1;
	}
	if (got == -1 || done_cut(q, g, end, end_pos) == -1 ||
	    notes_del(q, g, end, UINT64_MAX) == -1 ||
	    dead_from(q, g, end) == -1)
		return -1;
	return view_reset(q, g);
}

static int
apply_cut(struct queue *q, struct words *w, bool boot)
{
	uint64_t end = words_next(w), end_pos = words_next(w);
	uint64_t lost_gen = words_next(w);

	if (w->short_)
		return 0;
	for (size_t i = 0; i < q->groups_cnt; i++)
		if (cut_group(q, &q->groups[i], end, end_pos, boot) == -1)
			return -1;
	if (ids_cut(q, end, end_pos) == -1)
		return -1;
	if (q->idx.root.touched > end)
		q->idx.root.touched = end;
	q->idx.root.lost_gen = boot ? 0 : lost_gen;
	return done_recount(q);
}

static int
apply_attr(struct queue *q, struct words *w)
{
	uint64_t which = words_next(w), value = words_next(w);

	if (w->short_ || which >= ATTR_CNT)
		return 0;
	return attr_put(q, (enum attr)which, value);
}

int
apply_record(struct queue *q, unsigned int type, const unsigned char *body,
    size_t len)
{
	struct words w = { body, len, false };

	switch (type) {
	case J_CLAIM:	return apply_claim(q, &w);
	case J_ACK:	return apply_ack(q, &w);
	case J_BACK:	return apply_back(q, &w);
	case J_DEAD:	return apply_dead(q, &w);
	case J_REQUEUE:	return apply_requeue(q, &w);
	case J_BURIED:	return apply_buried(q, &w);
	case J_PURGE:	return apply_purge(q, &w);
	case J_RESET:	return apply_reset(q, &w);
	case J_GROUP:	return apply_group(q, &w);
	case J_UNGROUP:	return apply_ungroup(q, &w);
	case J_ATTR:	return apply_attr(q, &w);
	case J_GAP:	return apply_gap(q, &w);
	case J_BOOT:	return apply_cut(q, &w, true);
	case J_CUT:	return apply_cut(q, &w, false);
	case J_EXTEND:	return apply_extend(q, &w);
	case J_FENCE:	return apply_fence(q, &w);
	case J_UNACK:	return apply_unack(q, &w);
	case J_GONE:	return apply_gone(q, &w);
	default:	return 0;	/* of a later version: not for us */
	}
}
