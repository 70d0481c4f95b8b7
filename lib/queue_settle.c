/*
 * queue_settle: what becomes of taken messages: acknowledged, back, dead.
 *
 * A claim is checked row by row under INDEX: one that an administrator ended
 * (fenced) is only let go, and the caller is told ESTALE.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num.h"
#include "queue_priv.h"

/* --- records -------------------------------------------------------------------- */

struct acks {			/* ranges of an ACK record being gathered */
	struct buf ranges;
	uint64_t cnt, start, end, end_pos;
};

static int
acks_flush(struct acks *a)
{
	uint64_t w[3] = { a->start, a->end - a->start, a->end_pos };
	unsigned char raw[24];

	if (a->start == a->end)
		return 0;
	for (size_t i = 0; i < 3; i++)
		le_put64(raw + 8 * i, w[i]);
	a->cnt++;
	a->start = a->end;
	return buf_put(&a->ranges, raw, sizeof(raw));
}

static int
acks_add(struct acks *a, uint64_t start, uint64_t end, uint64_t end_pos)
{
	if (a->start == a->end || a->end != start) {
		if (acks_flush(a) == -1)
			return -1;
		a->start = start;
	}
	a->end = end;
	a->end_pos = end_pos;
	return 0;
}

static int
ack_record(struct queue *q, uint32_t group, uint64_t no, struct acks *a)
{
	if (acks_flush(a) == -1)
		return -1;
	if (a->cnt == 0)
		return 0;
	if (record_begin(q, J_ACK) == -1 || record_u64(q, group) == -1 ||
	    record_u64(q, no) == -1 || record_u64(q, a->cnt) == -1 ||
	    record_bytes(q, a->ranges.data, a->ranges.len) == -1)
		return -1;
	record_end(q);
	return 0;
}

static int
dead_record(struct queue *q, uint32_t group, const struct claim_row *c,
    const struct queue_fate *f)
{
	const char *why = f->reason != NULL ? f->reason : "";
	const unsigned char *out = f->output;
	uint64_t tries = c->tries + ((c->flags & CLAIM_RUN) != 0);
	size_t len = f->output_len;
	char reason[32];

	if (len > QUEUE_OUTPUT_MAX) {
		out += len - QUEUE_OUTPUT_MAX;
		len = QUEUE_OUTPUT_MAX;
	}
	snprintf(reason, sizeof(reason), "%s", why);
	if (record_begin(q, J_DEAD) == -1 || record_u64(q, group) == -1 ||
	    record_u64(q, c->start) == -1 || record_u64(q, c->pos) == -1 ||
	    record_u64(q, c->end) == -1 || record_u64(q, c->kh) == -1 ||
	    record_u64(q, tries) == -1 ||
	    record_u64(q, (uint64_t)wall_now_ns()) == -1 ||
	    record_u64(q, (uint64_t)(int64_t)f->status) == -1 ||
	    record_bytes(q, reason, strlen(reason) + 1) == -1 ||
	    record_bytes(q, out, len) == -1)
		return -1;
	record_end(q);
	return 0;
}

static int
commit_records(struct queue *q)
{
	return q->rec.len == 0 ? 0 : record_commit(q);
}

/* The claim's row that begins with seq: 1 ours, 0 gone, 2 ended: let go. */
static int
row_of(struct queue *q, uint32_t group, uint64_t no, uint64_t seq,
    struct claim_row *c)
{
	int got = claim_covers(q, group, seq, c);

	if (got != 1)
		return got;
	if (c->no != no || c->start != seq)
		return 0;
	return c->flags & CLAIM_FENCED ? 2 : 1;
}

/* --- streams ------------------------------------------------------------------------ */

struct settling {
	struct queue_claim *c;
	uint64_t spare;
	const struct queue_fate *fates;
	size_t fates_cnt;
	bool stale;
	uint64_t settled;
};

/* How many of the extent's messages are handed over, in numbers. */
static uint64_t
handed(const struct queue_claim *c, size_t i)
{
	const struct queue_extent *x = &c->extents[i];

	if (i < c->at)
		return x->count;
	if (i > c->at || c->at_seq <= x->seq)
		return 0;
	return c->at_seq - x->seq;
}

static int
settle_extent(struct queue *q, struct settling *s, struct acks *a,
    const struct queue_extent *x, uint64_t done, uint64_t done_pos)
{
	struct queue_claim *c = s->c;
	struct claim_row row;
	uint64_t seq = x->seq, end = x->seq + x->count, last = seq + done;
	int got;

	/* The rows are as they were claimed: an extent may join several. */
	while (seq < end) {
		if ((got = row_of(q, c->group, c->no, seq, &row)) == -1)
			return -1;
		if (got != 1)
			s->stale = true;
		if (got == 0) {
			seq++;
			continue;
		}
		if (got == 2 || seq >= last) {
			if (record_back(q, c->group, c->no, true, 0, seq) ==
			    -1)
				return -1;
		} else if (row.start + row.count <= last) {
			if (acks_add(a, seq, seq + row.count, row.end) == -1)
				return -1;
		} else {
			/* Cut: the rest is a row of its own by then. */
			if (acks_add(a, seq, last, done_pos) == -1 ||
			    ack_record(q, c->group, c->no, a) == -1)
				return -1;
			a->cnt = 0;
			a->ranges.len = 0;
			a->start = a->end;
			if (record_back(q, c->group, c->no, true, 0, last) ==
			    -1)
				return -1;
		}
		seq = row.start + row.count;
	}
	return 0;
}

static int
settle_fn(struct queue *q, void *arg)
{
	struct settling *s = arg;
	struct queue_claim *c = s->c;
	struct acks a = { .cnt = 0 };
	uint64_t all = 0, left, done, pos;
	int r = -1;

	s->stale = false;
	q->rec.len = 0;
	for (size_t i = 0; i < c->extents_cnt; i++)
		all += handed(c, i);
	left = all > s->spare ? all - s->spare : 0;
	for (size_t i = 0; i < c->extents_cnt; i++) {
		const struct queue_extent *x = &c->extents[i];

		done = handed(c, i) < left ? handed(c, i) : left;
		left -= done;
		pos = i == c->at ? c->at_pos : x->end;
		if (done > 0 && done < handed(c, i) &&
		    scan_to(q, x->seq, x->pos, &done, UINT64_MAX, &pos) == -1)
			goto out;
		if (settle_extent(q, s, &a, x, done, pos) == -1)
			goto out;
	}
	if (ack_record(q, c->group, c->no, &a) == 0)
		r = commit_records(q);
out:
	buf_release(&a.ranges);
	return r;
}

/* Nothing of the claim is left: its holder is not needed for it. */
static void
let_go(struct queue *q, const struct queue_claim *c)
{
	if (c->flags & CLAIM_RUN)
		holder_end(q, c->holder, -1);
	else if (c->holder == q->holder && q->open_claims > 0)
		q->open_claims--;
}

static void
after_settle(struct queue *q)
{
	int saved = errno;

	control_ring(q);
	(void)reclaim_if_due(q);
	errno = saved;
}

int
queue_settle(struct queue *q, struct queue_claim *c, uint64_t spare)
{
	struct settling s = { .c = c, .spare = spare };

	if (index_run(q, settle_fn, &s) == -1)
		return -1;
	c->extents_cnt = 0;
	let_go(q, c);
	after_settle(q);
	if (s.stale) {
		errno = ESTALE;
		return -1;
	}
	return 0;
}

/* --- one by one ------------------------------------------------------------------------ */

static int
fate_record(struct queue *q, uint32_t group, const struct claim_row *row,
    const struct queue_fate *f)
{
	struct acks a = { .cnt = 0 };
	int r;

	switch (f->kind) {
	case QUEUE_ACK:
		r = acks_add(&a, row->start, row->start + row->count,
		    row->end);
		if (r == 0)
			r = ack_record(q, group, row->no, &a);
		buf_release(&a.ranges);
		return r;
	case QUEUE_DIE:
		return dead_record(q, group, row, f);
	case QUEUE_RETRY:
		return record_back(q, group, row->no, false,
		    (uint64_t)f->due_ns, row->start);
	case QUEUE_RETRY_UNCOUNTED:
		return record_back(q, group, row->no, true,
		    (uint64_t)f->due_ns, row->start);
	default:
		return record_back(q, group, row->no, true, 0, row->start);
	}
}

static int
each_fn(struct queue *q, void *arg)
{
	struct settling *s = arg;
	struct claim_row row;
	int got;

	s->stale = false;
	s->settled = 0;
	q->rec.len = 0;
	for (size_t i = 0; i < s->fates_cnt; i++) {
		const struct queue_fate *f = &s->fates[i];

		got = row_of(q, s->c->group, s->c->no, f->seq, &row);
		if (got == -1)
			return -1;
		s->settled++;
		if (got != 1)
			s->stale = true;
		if (got == 0)
			continue;
		if ((got == 2 || (row.flags & CLAIM_ACKED) != 0 ?
		    record_back(q, s->c->group, row.no, true, 0, f->seq) :
		    fate_record(q, s->c->group, &row, f)) == -1)
			return -1;
	}
	return commit_records(q);
}

int
queue_settle_each(struct queue *q, struct queue_claim *c,
    const struct queue_fate *fates, size_t fates_cnt)
{
	struct settling s = { .c = c, .fates = fates,
		.fates_cnt = fates_cnt };

	if (index_run(q, each_fn, &s) == -1)
		return -1;
	c->messages -= s.settled < c->messages ? s.settled : c->messages;
	if (c->messages == 0)
		let_go(q, c);
	after_settle(q);
	if (s.stale) {
		errno = ESTALE;
		return -1;
	}
	return 0;
}

int
queue_sync(struct queue *q)
{
	return wal_commit_all(&q->journal);
}

/* --- receipts ------------------------------------------------------------------------------ */

/* Queue, boot, group, claim, number: all of it is compared. */
#define RECEIPT	"%.8s-%04x-%" PRIu32 "-%" PRIu64 "-%" PRIu64

void
queue_receipt(const struct queue *q, const struct queue_claim *c,
    const struct queue_message *m, char buf[QUEUE_RECEIPT_MAX])
{
	snprintf(buf, QUEUE_RECEIPT_MAX, RECEIPT, q->id_hex,
	    (unsigned int)(q->stamp >> 48), c->group, c->no, m->seq);
}

struct receipt {
	uint32_t group;
	uint64_t no, seq;
	const struct queue_fate *fate;
	int64_t lease_ns;
};

/* A number of the base, then the byte; moves p behind it. */
static bool
part(const char **p, int base, char then, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(*p, &end, base);
	if (errno != 0 || end == *p || *end != then)
		return false;
	*p = then == '\0' ? end : end + 1;
	return true;
}

static int
receipt_parse(const struct queue *q, const char *text, struct receipt *r)
{
	char again[QUEUE_RECEIPT_MAX];
	uint64_t boot, group;
	const char *p;

	if (strlen(text) < 10 || text[8] != '-')
		goto bad;
	p = text + 9;
	if (!part(&p, 16, '-', &boot) || !part(&p, 10, '-', &group) ||
	    !part(&p, 10, '-', &r->no) || !part(&p, 10, '\0', &r->seq))
		goto bad;
	r->group = (uint32_t)group;
	/* Only what we would have written. */
	snprintf(again, sizeof(again), RECEIPT, text, (unsigned int)boot,
	    r->group, r->no, r->seq);
	if (strcmp(text, again) != 0)
		goto bad;
	if (strncmp(text, q->id_hex, 8) != 0 || boot != q->stamp >> 48) {
		errno = ESTALE;
		return -1;
	}
	return 0;
bad:
	errno = EINVAL;
	return -1;
}

static int
receipt_fn(struct queue *q, void *arg)
{
	struct receipt *r = arg;
	struct claim_row row;
	int got = row_of(q, r->group, r->no, r->seq, &row);

	if (got == -1)
		return -1;
	if (got != 1 || (row.flags & CLAIM_LEASE) == 0 ||
	    row.deadline_ns <= (uint64_t)boot_now_ns()) {
		errno = ESTALE;
		return -1;
	}
	q->rec.len = 0;
	if (r->fate != NULL)
		return fate_record(q, r->group, &row, r->fate) == -1 ? -1 :
		    record_commit(q);
	if (record_begin(q, J_EXTEND) == -1 ||
	    record_u64(q, r->group) == -1 || record_u64(q, r->seq) == -1 ||
	    record_u64(q, (uint64_t)(boot_now_ns() + r->lease_ns)) == -1)
		return -1;
	record_end(q);
	return record_commit(q);
}

static int
receipt_run(struct queue *q, const char *receipt, struct receipt *r)
{
	if (receipt_parse(q, receipt, r) == -1 ||
	    index_run(q, receipt_fn, r) == -1)
		return -1;
	after_settle(q);
	return journal_sync(q);
}

int
queue_receipt_settle(struct queue *q, const char *receipt,
    const struct queue_fate *fate)
{
	struct receipt r = { .fate = fate };

	return receipt_run(q, receipt, &r);
}

int
queue_receipt_extend(struct queue *q, const char *receipt, int64_t lease_ns)
{
	struct receipt r = { .lease_ns = lease_ns };

	return receipt_run(q, receipt, &r);
}
