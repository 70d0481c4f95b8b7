/* queue_admin: what administrators do: the dead, groups, claims, purge. */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "queue_priv.h"

/* Make what was journaled durable, tell everybody, and once more elsewhere:
 * a damaged place in the journal must not forget a group. */
static int
settled(struct queue *q, bool checkpoint)
{
	if (journal_sync(q) == -1)
		return -1;
	control_ring(q);
	return checkpoint ? checkpoint_make(q) : 0;
}

static int
no_group(void)
{
	errno = ENOENT;
	return -1;
}

/* --- the dead -------------------------------------------------------------------- */

struct one_dead {
	uint32_t group;
	uint64_t *seq;
	struct queue_dead *d;
	uint64_t pos;
	enum record type;
};

static int
dead_fn(struct queue *q, void *arg)
{
	struct one_dead *a = arg;
	struct dead_row row;
	struct ival v;
	size_t why;
	int got;

	if (group_find(q, a->group) == NULL)
		return no_group();
	if ((got = dead_get(q, a->group, a->seq, &row, &v)) != 1)
		return got;
	a->pos = row.pos;
	memset(a->d, 0, sizeof(*a->d));
	a->d->tries = row.tries;
	a->d->died_ns = (int64_t)row.died_ns;
	a->d->status = (int)(int64_t)row.status;
	why = strnlen((const char *)v.tail, v.tail_len);
	memcpy(a->d->reason, v.tail, why < sizeof(a->d->reason) ? why :
	    sizeof(a->d->reason) - 1);
	if (why + 1 < v.tail_len) {
		a->d->output_len = v.tail_len - why - 1;
		if (a->d->output_len > sizeof(a->d->output))
			a->d->output_len = sizeof(a->d->output);
		memcpy(a->d->output, v.tail + why + 1, a->d->output_len);
	}
	return 1;
}

int
queue_dead_next(struct queue *q, uint32_t group, uint64_t *seq,
    struct queue_dead *d)
{
	struct one_dead a = { .group = group, .seq = seq, .d = d };
	int got = index_run(q, dead_fn, &a);

	if (got != 1)
		return got;
	got = msg_at(q, a.pos, *seq, &d->m);
	if (got == -1)
		return -1;
	if (got == 0 || d->m.seq != *seq) {	/* its bytes are damaged */
		memset(&d->m, 0, sizeof(d->m));
		d->m.seq = *seq;
	}
	d->m.attempt = (uint32_t)d->tries;
	return 1;
}

static int
dead_do_fn(struct queue *q, void *arg)
{
	struct one_dead *a = arg;
	uint64_t seq = *a->seq;
	struct dead_row row;
	int got;

	if (group_find(q, a->group) == NULL)
		return no_group();
	if ((got = dead_get(q, a->group, &seq, &row, NULL)) == -1)
		return -1;
	if (got == 0 || seq != *a->seq) {
		errno = ENOMSG;
		return -1;
	}
	if (record_begin(q, a->type) == -1 ||
	    record_u64(q, a->group) == -1 || record_u64(q, seq) == -1)
		return -1;
	record_end(q);
	return record_commit(q);
}

int
queue_dead_requeue(struct queue *q, uint32_t group, uint64_t seq)
{
	struct one_dead a = { .group = group, .seq = &seq,
		.type = J_REQUEUE };

	return index_run(q, dead_do_fn, &a) == -1 ? -1 : settled(q, false);
}

int
queue_dead_remove(struct queue *q, uint32_t group, uint64_t seq)
{
	struct one_dead a = { .group = group, .seq = &seq,
		.type = J_BURIED };

	return index_run(q, dead_do_fn, &a) == -1 ? -1 : settled(q, false);
}

/* --- groups ------------------------------------------------------------------------ */

struct grouping {
	const char *name;
	uint32_t group;
	enum queue_from from;
	uint64_t value;
	uint64_t first, pos;
	struct buf gone;	/* numbers from there on that are not there */
};

/* Where it begins; nothing is given back until it is recorded. */
static int
begin_at(struct queue *q, struct grouping *a)
{
	switch (a->from) {
	case QUEUE_NEW:
		/* In this order, as in purge_fn. */
		a->pos = word_get(&q->log.words->visible);
		a->first = word_get(&q->log.words->visible_seq);
		return 0;
	case QUEUE_TIME:
		return msg_find_time(q, a->value, &a->first, &a->pos);
	case QUEUE_SEQ:
		return msg_find(q, a->value, &a->first, &a->pos);
	default:
		return msg_find(q, 0, &a->first, &a->pos);
	}
}

static int
find_beginning(struct queue *q, void *arg)
{
	return begin_at(q, arg);
}

static void
begin_now(struct queue *q, struct grouping *a)
{
	if (a->from != QUEUE_NEW)
		return;
	/* Pair of an append that is under way: the position rules. */
	a->pos = word_get(&q->log.words->visible);
	a->first = word_get(&q->log.words->visible_seq);
}

/* Find out where it begins, then change it, with nothing given back meanwhile. */
static int
regroup(struct queue *q, struct grouping *a, int (*fn)(struct queue *q,
    void *arg))
{
	int r = -1;

	if (reclaim_lock(q) == -1)
		return -1;
	/* What the readers hold in memory may be gone already. */
	wal_reader_refresh(&q->log_rd);
	wal_reader_refresh(&q->data_rd);
	if (index_run(q, find_beginning, a) != -1 &&
	    (a->from == QUEUE_NEW || gone_find(q, a->first, a->pos,
	    &a->gone) == 0))
		r = index_run(q, fn, a);
	reclaim_unlock(q);
	buf_release(&a->gone);
	return r;
}

static bool
name_ok(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) &&
		    strchr("._-", name[i]) == NULL)
			return false;
	return len > 0 && len <= QUEUE_NAME_MAX;
}

static int
add_fn(struct queue *q, void *arg)
{
	struct grouping *a = arg;
	uint32_t no = (uint32_t)q->idx.root.next_group;

	if (group_named(q, a->name) != NULL) {
		errno = EEXIST;
		return -1;
	}
	begin_now(q, a);
	if (gone_keep(q, &a->gone) == -1 ||
	    record_begin(q, J_GROUP) == -1 ||
	    record_u64(q, no) == -1 ||
	    record_u64(q, a->first) == -1 || record_u64(q, a->pos) == -1 ||
	    record_bytes(q, a->name, strlen(a->name)) == -1)
		return -1;
	record_end(q);
	return gone_record(q, no, &a->gone) == -1 ? -1 : record_commit(q);
}

int
queue_group_add(struct queue *q, const char *name, enum queue_from from,
    uint64_t value, uint64_t *first)
{
	struct grouping a = { .name = name, .from = from, .value = value };

	if (!name_ok(name)) {
		errno = EINVAL;
		return -1;
	}
	if (regroup(q, &a, add_fn) == -1)
		return -1;
	*first = a.first;
	return settled(q, true);
}

static int
reset_fn(struct queue *q, void *arg)
{
	struct grouping *a = arg;

	if (group_find(q, a->group) == NULL)
		return no_group();
	begin_now(q, a);
	if (gone_keep(q, &a->gone) == -1 ||
	    record_begin(q, J_RESET) == -1 ||
	    record_u64(q, a->group) == -1 || record_u64(q, a->first) == -1 ||
	    record_u64(q, a->pos) == -1)
		return -1;
	record_end(q);
	return gone_record(q, a->group, &a->gone) == -1 ? -1 :
	    record_commit(q);
}

int
queue_group_reset(struct queue *q, uint32_t group, enum queue_from from,
    uint64_t value, uint64_t *first)
{
	struct grouping a = { .group = group, .from = from, .value = value };

	if (regroup(q, &a, reset_fn) == -1)
		return -1;
	*first = a.first;
	return settled(q, false);
}

static int
remove_fn(struct queue *q, void *arg)
{
	const struct grouping *a = arg;

	if (group_find(q, a->group) == NULL)
		return no_group();
	if (q->groups_cnt == 1) {
		errno = EBUSY;
		return -1;
	}
	if (record_begin(q, J_UNGROUP) == -1 ||
	    record_u64(q, a->group) == -1)
		return -1;
	record_end(q);
	return record_commit(q);
}

int
queue_group_remove(struct queue *q, uint32_t group)
{
	struct grouping a = { .group = group };

	return index_run(q, remove_fn, &a) == -1 ? -1 : settled(q, true);
}

/* --- claims --------------------------------------------------------------------------- */

struct nack {
	uint32_t group;
	uint64_t seq;
	bool force;
};

static int
nack_fn(struct queue *q, void *arg)
{
	const struct nack *a = arg;
	struct claim_row c;
	int got;

	if (group_find(q, a->group) == NULL)
		return no_group();
	if ((got = claim_covers(q, a->group, a->seq, &c)) == -1)
		return -1;
	if (got == 0) {
		errno = ENOMSG;
		return -1;
	}
	if (record_begin(q, J_FENCE) == -1 ||
	    record_u64(q, a->group) == -1 || record_u64(q, c.start) == -1 ||
	    record_u64(q, a->force || (c.flags & CLAIM_LEASE) != 0) == -1)
		return -1;
	record_end(q);
	return record_commit(q);
}

int
queue_nack(struct queue *q, uint32_t group, uint64_t seq, bool force)
{
	struct nack a = { group, seq, force };

	return index_run(q, nack_fn, &a) == -1 ? -1 : settled(q, false);
}

/* --- purge ------------------------------------------------------------------------------- */

struct purge {
	uint32_t group;
	uint64_t *count;
};

static int
purge_fn(struct queue *q, void *arg)
{
	const struct purge *a = arg;
	const struct group *g = group_find(q, a->group);
	uint64_t end, end_pos;

	if (g == NULL)
		return no_group();
	/* Published in the other order: the place is never beyond the number,
	 * so that a scan from there meets nothing it does not expect. */
	end_pos = word_get(&q->log.words->visible);
	end = word_get(&q->log.words->visible_seq);
	*a->count = end > g->finished ? end - g->finished : 0;
	if (record_begin(q, J_PURGE) == -1 ||
	    record_u64(q, a->group) == -1 || record_u64(q, end) == -1 ||
	    record_u64(q, end_pos) == -1)
		return -1;
	record_end(q);
	return record_commit(q);
}

int
queue_purge(struct queue *q, uint32_t group, uint64_t *count)
{
	struct purge a = { group, count };

	/* What was appended before is purged too. */
	if (wal_commit_all(&q->log) == -1 ||
	    index_run(q, purge_fn, &a) == -1 || settled(q, false) == -1)
		return -1;
	(void)reclaim_if_due(q);
	return 0;
}
