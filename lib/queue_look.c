/* queue_look: depth, statistics, browsing: leaving everything as it is. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue_priv.h"

#define AHEAD_BATCHES	20000	/* headers looked at beyond a cursor */

struct depth {
	uint32_t group;
	uint64_t depth;
};

static int
depth_fn(struct queue *q, void *arg)
{
	struct depth *d = arg;
	const struct group *g = group_find(q, d->group);
	uint64_t seq = word_get(&q->log.words->visible_seq);

	if (g == NULL) {
		errno = ENOENT;
		return -1;
	}
	d->depth = seq > g->finished ? seq - g->finished : 0;
	return 0;
}

int
queue_depth(struct queue *q, uint32_t group, uint64_t *depth)
{
	struct depth d = { .group = group };
	uint64_t finished, seq;

	if (group != 0) {
		if (index_run(q, depth_fn, &d) == -1)
			return -1;
		*depth = d.depth;
		return 0;
	}
	/* What killed processes left undone is done first. */
	if (word_get(&q->ctl->stamp) != q->stamp && recover(q, true) == -1)
		return -1;
	finished = word_get(&q->ctl->now.finished);
	seq = word_get(&q->log.words->visible_seq);
	*depth = seq > finished ? seq - finished : 0;
	return 0;
}

/* --- groups ----------------------------------------------------------------------- */

struct group_name {
	const char *name;
	uint32_t no;
};

static int
name_fn(struct queue *q, void *arg)
{
	struct group_name *n = arg;
	const struct group *g = group_named(q, n->name);

	if (g == NULL) {
		errno = ENOENT;
		return -1;
	}
	n->no = g->no;
	return 0;
}

int
queue_group(struct queue *q, const char *name, uint32_t *group)
{
	struct group_name n = { .name = name };

	if (index_run(q, name_fn, &n) == -1)
		return -1;
	*group = n.no;
	return 0;
}

/* --- statistics ----------------------------------------------------------------------- */

/* The first message the group has not finished: 1 and its time, 0 none. */
static int
oldest(struct queue *q, const struct group *g, int64_t *ts_ns)
{
	struct queue_message m;
	struct range r = { 0, 0, 0 };
	int got;

	*ts_ns = 0;
	if (word_get(&q->log.words->visible_seq) <= g->finished)
		return 0;
	if (done_find(q, g->no, 0, &r) == -1)
		return -1;
	if ((got = msg_at(q, r.end_pos, r.end, &m)) == 1)
		*ts_ns = m.ts_ns;
	return got;
}

/* Messages beyond the cursor that are pushed with a delay. */
static int
delayed_ahead(struct queue *q, const struct group *g, uint64_t *cnt)
{
	uint64_t limit = word_get(&q->log.words->visible);
	uint64_t pos = g->cursor_pos, now = (uint64_t)wall_now_ns();
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	struct range r;
	int got, done;

	*cnt = 0;
	for (int i = 0; i < AHEAD_BATCHES && pos < limit; i++) {
		got = msg_item(&q->data_rd, &pos, limit, &b, &h, &m);
		if (got == -1)
			return -1;
		if (got == ITEM_NONE)
			break;
		if (got == ITEM_BATCH) {
			pos += WAL_BATCH_SIZE;
			if (!(b.flags & MSG_DELAYED))
				pos += b.body_len;
		} else if (got == ITEM_MESSAGE) {
			pos += h.size;
			if (h.seq < g->cursor_seq || (uint64_t)m.due_ns <= now)
				continue;
			/* Purged, or before the group's beginning? */
			if ((done = done_find(q, g->no, h.seq, &r)) == -1)
				return -1;
			*cnt += done == 0;
		}
	}
	return 0;
}

/* Below the cursor: in waiting, and not due yet. */
static int
delayed_below(struct queue *q, const struct group *g, uint64_t *cnt)
{
	uint64_t due = 0, seq = 0, now = (uint64_t)wall_now_ns();
	struct entry e;
	int got = 0;

	*cnt = g->waiting;
	while (*cnt > 0 && (got = view_waiting(q, g, due, seq, &e)) == 1 &&
	    e.due_ns <= now) {
		due = e.due_ns;
		seq = e.seq + 1;
		(*cnt)--;
	}
	return got == -1 ? -1 : 0;
}

static int
group_stats(struct queue *q, const struct group *g,
    struct queue_group_stats *s)
{
	uint64_t seq = word_get(&q->log.words->visible_seq), ahead, below;

	memset(s, 0, sizeof(*s));
	memcpy(s->name, g->name, sizeof(s->name));
	s->group = g->no;
	s->depth = seq > g->finished ? seq - g->finished : 0;
	s->in_flight = g->in_flight;
	s->dead = g->dead;
	s->blocked_keys = g->blocked;
	if (delayed_below(q, g, &below) == -1 ||
	    delayed_ahead(q, g, &ahead) == -1 ||
	    oldest(q, g, &s->oldest_ns) == -1)
		return -1;
	s->delayed = below + ahead;
	s->ready = s->depth > s->in_flight + s->delayed ?
	    s->depth - s->in_flight - s->delayed : 0;
	return 0;
}

static int
stats_fn(struct queue *q, void *arg)
{
	struct queue_stats *st = arg;
	const struct root *r = &q->idx.root;
	bool any;

	if (holder_sweep(q, true, &any) == -1)
		return -1;
	free(st->groups);
	st->groups_cnt = 0;
	st->groups = calloc(q->groups_cnt + 1, sizeof(*st->groups));
	if (st->groups == NULL)
		return -1;
	st->oldest_ns = 0;
	for (size_t i = 0; i < q->groups_cnt; i++) {
		struct queue_group_stats *s = &st->groups[i];

		if (group_stats(q, &q->groups[i], s) == -1)
			return -1;
		st->groups_cnt++;
		if (s->oldest_ns != 0 && (st->oldest_ns == 0 ||
		    s->oldest_ns < st->oldest_ns))
			st->oldest_ns = s->oldest_ns;
	}
	st->finished = r->finished;
	st->dead = r->dead;
	st->damaged = r->damaged;
	return 0;
}

int
queue_stats(struct queue *q, struct queue_stats *st)
{
	uint64_t tail, freed;
	uint64_t *points = NULL;
	size_t cnt = 0;

	memset(st, 0, sizeof(*st));
	if (index_run(q, stats_fn, st) == -1) {
		free(st->groups);
		st->groups = NULL;
		return -1;
	}
	st->pushed = word_get(&q->log.words->visible_seq);
	st->depth = st->pushed > st->finished ? st->pushed - st->finished : 0;
	tail = word_get(&q->log.words->tail);
	freed = word_get(&q->ctl->freed_bytes);
	st->disk_bytes = tail > freed ? tail - freed : 0;
	st->live_bytes = word_get(&q->ctl->now.finished_bytes);
	st->live_bytes = tail > st->live_bytes ? tail - st->live_bytes : 0;
	if (st->depth == 0 && st->dead == 0)
		st->live_bytes = 0;
	if (st->live_bytes > st->disk_bytes)
		st->live_bytes = st->disk_bytes;
	if (wal_list(q->journal_fd, &points, &cnt) == 0 && cnt > 0)
		st->disk_bytes += word_get(&q->journal.words->tail) -
		    points[0];
	free(points);
	st->push_rate = control_rate(q->ctl->pushed_rate,
	    word_get(&q->log.words->tail_seq));
	st->finish_rate = control_rate(q->ctl->finished_rate, st->finished);
	st->consumers = holder_count(q, HOLDER_PROCESS);
	st->producers_waiting = holder_count(q, HOLDER_PRODUCER);
	st->durable = q->fs_durable;
	st->fs = q->fs;
	return 0;
}

/* --- browsing --------------------------------------------------------------------------- */

struct state {
	uint32_t group;
	uint64_t seq;
	int64_t due_ns;		/* as pushed */
	uint32_t tries;
	enum queue_state state;
};

static int
state_fn(struct queue *q, void *arg)
{
	struct state *s = arg;
	const struct group *g = group_find(q, s->group);
	uint64_t seq = s->seq, tries, due;
	struct claim_row c;
	struct dead_row d;
	struct range r;
	int got;

	if (g == NULL) {
		errno = ENOENT;
		return -1;
	}
	s->tries = 0;
	if ((got = claim_covers(q, s->group, s->seq, &c)) == -1)
		return -1;
	if (got == 1 && (c.flags & CLAIM_ACKED) == 0) {
		s->tries = (uint32_t)c.tries;
		s->state = QUEUE_IN_FLIGHT;
		return 0;
	}
	if (g->dead > 0 && dead_get(q, s->group, &seq, &d, NULL) == 1 &&
	    seq == s->seq) {
		s->tries = (uint32_t)d.tries;
		s->state = QUEUE_DEAD;
		return 0;
	}
	if ((got = done_find(q, s->group, s->seq, &r)) == -1)
		return -1;
	if (got == 1) {
		s->state = QUEUE_FINISHED;
		return 0;
	}
	if (note_get(q, g, s->seq, &tries, &due) == -1)
		return -1;
	s->tries = (uint32_t)tries;
	if ((uint64_t)s->due_ns > due)
		due = (uint64_t)s->due_ns;
	s->state = due > (uint64_t)wall_now_ns() ? QUEUE_DELAYED :
	    QUEUE_READY;
	return 0;
}

int
queue_browse(struct queue *q, uint32_t group, uint64_t *pos,
    struct queue_message *m, enum queue_state *state)
{
	uint64_t limit = word_get(&q->log.words->visible);
	struct state s = { .group = group };
	struct wal_batch b;
	struct msg_head h;
	int got;

	for (;;) {
		if (*pos >= limit)
			return 0;
		got = msg_item(&q->data_rd, pos, limit, &b, &h, m);
		if (got == -1)
			return -1;
		if (got == ITEM_NONE)
			return 0;
		if (got == ITEM_BATCH)
			*pos += WAL_BATCH_SIZE;
		if (got == ITEM_MESSAGE)
			break;
	}
	s.seq = h.seq;
	s.due_ns = m->due_ns;
	if (index_run(q, state_fn, &s) == -1)
		return -1;
	m->attempt = s.tries + 1;
	*state = s.state;
	*pos += h.size;
	return 1;
}

/* --- holds ------------------------------------------------------------------------------- */

struct holding {
	uint32_t group;
	uint64_t seq;
	struct queue_hold *h;
};

static int
hold_fn(struct queue *q, void *arg)
{
	struct holding *a = arg;
	struct queue_hold *h = a->h;
	struct claim_row c;
	int got = claim_covers(q, a->group, a->seq, &c);
	char name[24];

	if (got != 1)
		return got;
	memset(h, 0, sizeof(*h));
	h->claim = c.no;
	h->fenced = (c.flags & CLAIM_FENCED) != 0;
	h->lease_left_ns = -1;
	if (c.flags & CLAIM_LEASE) {
		h->lease_left_ns = (int64_t)c.deadline_ns - boot_now_ns();
		if (h->lease_left_ns < 0)
			h->lease_left_ns = 0;
	} else {
		holder_name(c.holder, name);
		strlcpy(h->holder, "holders/", sizeof(h->holder));
		strlcat(h->holder, name, sizeof(h->holder));
	}
	return 1;
}

int
queue_hold(struct queue *q, uint32_t group, uint64_t seq,
    struct queue_hold *h)
{
	struct holding a = { group, seq, h };

	return index_run(q, hold_fn, &a);
}
