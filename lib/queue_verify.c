/*
 * queue_verify: compare everything with everything.
 *
 * The log is read through; what is missing in it must be removed messages.
 * The journal and the checkpoints are read through.  Then checkpoint and
 * journal are replayed into an index of its own, whose state must equal the
 * one in use; and every message below a group's cursor must be accounted for.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "queue_priv.h"

#define REPLAY_GEN	(UINT64_MAX / 2)	/* the file's number */

struct verifying {
	queue_report report;
	void *arg;
	uint64_t findings;
	/* of the index */
	uint64_t sum, entries;
};

__attribute__((format(printf, 2, 3))) static void
found(struct verifying *v, const char *format, ...)
{
	char text[256];
	va_list ap;

	v->findings++;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (v->report != NULL)
		v->report(v->arg, text);
}

/* --- the message log --------------------------------------------------------------- */

struct missing {
	uint64_t start, end;
	uint64_t lost;
};

/* Of numbers that the log does not hold: which were not removed? */
static int
missing_fn(struct queue *q, void *arg)
{
	struct missing *m = arg;
	uint64_t at = m->start, up_to;
	int got;

	m->lost = 0;
	while (at < m->end) {
		if ((got = done_removable(q, at, m->end, &up_to)) == -1)
			return -1;
		if (got == 0)
			m->lost += up_to - at;
		at = up_to;
	}
	return 0;
}

static int
check_missing(struct queue *q, struct verifying *v, uint64_t start,
    uint64_t end)
{
	struct missing m = { start, end, 0 };

	if (start >= end)
		return 0;
	if (index_run(q, missing_fn, &m) == -1)
		return -1;
	if (m.lost > 0)
		found(v, "log: %" PRIu64 " of the messages %" PRIu64 " to %"
		    PRIu64 " are lost", m.lost, start, end - 1);
	return 0;
}

static int
verify_heads(struct queue *q, const struct wal *w, int dirfd,
    const char *what, struct verifying *v)
{
	uint64_t *bases = NULL;
	struct wal_head h;
	size_t cnt = 0;

	(void)q;
	if (wal_list(dirfd, &bases, &cnt) == -1)
		return -1;
	for (size_t i = 0; i < cnt; i++)
		if (wal_head_read(w, bases[i], &h) == -1 &&
		    errno != ENOENT)
			found(v, "%s: the header of segment %016" PRIx64
			    " is damaged", what, bases[i]);
	free(bases);
	return 0;
}

static int
verify_log(struct queue *q, struct verifying *v)
{
	uint64_t limit = word_get(&q->log.words->visible);
	uint64_t last = word_get(&q->log.words->visible_seq);
	uint64_t pos = 0, before, seq = 0;
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	int got = ITEM_NONE;

	while (pos < limit) {
		before = pos;
		got = msg_item(&q->data_rd, &pos, limit, &b, &h, &m);
		if (got == -1 && errno != EIO)
			return -1;
		if (got == ITEM_NONE || got == -1)
			break;
		if (got == ITEM_DAMAGE) {
			found(v, "log: damaged from %" PRIu64 " to %" PRIu64,
			    before, pos);
			continue;
		}
		if (got == ITEM_BATCH)
			h.seq = b.seq;
		if (check_missing(q, v, seq, h.seq) == -1)
			return -1;
		if (seq < h.seq)
			seq = h.seq;
		if (got == ITEM_MESSAGE && h.seq == seq)
			seq++;
		pos += got == ITEM_BATCH ? WAL_BATCH_SIZE : h.size;
	}
	if (got == -1)
		found(v, "log: cannot be read at %" PRIu64, pos);
	return check_missing(q, v, seq, last);
}

/* --- journal and checkpoints ----------------------------------------------------------- */

static int
verify_journal(struct queue *q, struct verifying *v)
{
	uint64_t tail = word_get(&q->journal.words->tail), *bases = NULL;
	uint64_t pos, at;
	const unsigned char *p;
	struct wal_batch b;
	size_t cnt = 0, avail;
	bool bad = false;
	int got = 0;

	if (wal_list(q->journal_fd, &bases, &cnt) == -1)
		return -1;
	for (pos = cnt > 0 ? bases[0] : tail; pos < tail; ) {
		at = pos;
		got = wal_read(&q->jrn_rd, &pos, tail, WAL_BATCH_SIZE, &p,
		    &avail);
		if (got == -1 || got == 0)
			break;
		if (pos == at && avail >= WAL_BATCH_SIZE &&
		    wal_batch_decode(&q->journal, at, p, &b) == 0 &&
		    b.body_len <= tail - at - WAL_BATCH_SIZE &&
		    wal_read(&q->jrn_rd, &pos, tail, WAL_BATCH_SIZE +
		    (size_t)b.body_len, &p, &avail) == 1 && pos == at &&
		    avail >= WAL_BATCH_SIZE + (size_t)b.body_len &&
		    jrn_verify(&q->journal, p + WAL_BATCH_SIZE, &b, at) ==
		    0) {
			bad = false;
			pos = at + WAL_BATCH_SIZE + b.body_len;
			continue;
		}
		if (!bad)
			found(v, "journal: damaged at %" PRIu64, at);
		bad = true;
		pos = at + 8;
	}
	free(bases);
	if (got == -1)
		found(v, "journal: cannot be read");
	return 0;
}

static int
verify_checkpoints(struct queue *q, struct verifying *v)
{
	uint64_t *points = NULL;
	size_t cnt = 0;

	if (wal_list(q->state_fd, &points, &cnt) == -1)
		return -1;
	for (size_t i = 0; i < cnt; i++)
		if (checkpoint_whole(q, points[i]) == -1 && errno == EBADMSG)
			found(v, "state: checkpoint %016" PRIx64
			    " is damaged", points[i]);
	free(points);
	return 0;
}

/* --- the index ----------------------------------------------------------------------------- */

/* The window of ids follows from the log, groups carry their views. */
static int
add_entry(void *arg, const void *key, size_t key_len, const void *val,
    size_t val_len)
{
	struct verifying *v = arg;
	const unsigned char *k = key;

	if (*k == T_ID || *k == T_ID_ORDER || *k == T_GROUP)
		return 0;
	v->sum += hash64(val, val_len, hash64(key, key_len, 7));
	v->entries++;
	return 0;
}

static int
summarise(struct queue *q, struct verifying *v)
{
	v->sum = v->entries = 0;
	if (index_dump(q, add_entry, v) == -1)
		return -1;
	for (size_t i = 0; i < q->groups_cnt; i++) {
		const struct group *g = &q->groups[i];
		uint64_t w[5] = { g->no, g->finished, g->dead, g->in_flight,
			g->notes };

		v->sum += hash64(w, sizeof(w), 0);
		v->sum += hash64(g->name, strlen(g->name), g->no);
	}
	v->sum += q->idx.root.finished * 3 + q->idx.root.dead * 5;
	return 0;
}

/* Below the cursor a message is finished, taken, or in one of the views. */
static int
check_cursor(struct queue *q, const struct group *g, struct verifying *v)
{
	uint64_t sum = g->ready + g->parked + g->waiting, seq = 0;
	struct claim_row c;
	struct range r;
	int got;

	while ((got = done_next(q, g->no, seq, &r)) == 1 &&
	    r.start < g->cursor_seq) {
		sum += (r.end < g->cursor_seq ? r.end : g->cursor_seq) -
		    r.start;
		seq = r.end;
	}
	for (seq = 0; got != -1 && (got = claim_next(q, g->no, seq, &c)) ==
	    1 && c.start < g->cursor_seq; seq = c.start + 1)
		if (!(c.flags & CLAIM_ACKED))
			sum += c.count;
	if (got == -1)
		return -1;
	if (sum != g->cursor_seq)
		found(v, "index: group %s: %" PRIu64 " messages passed, %"
		    PRIu64 " accounted for", g->name, g->cursor_seq, sum);
	return 0;
}

static int
replay_apart(struct queue *q, struct verifying *v)
{
	struct index idx = q->idx;
	struct group *groups = q->groups;
	size_t groups_cnt = q->groups_cnt;
	char name[24];
	int r = -1;

	memset(&q->idx, 0, sizeof(q->idx));
	q->groups = NULL;
	q->groups_cnt = 0;
	if (replay(q, REPLAY_GEN) == 0 && summarise(q, v) == 0)
		r = 0;
	index_close(q);
	snprintf(name, sizeof(name), "%" PRIu64, REPLAY_GEN);
	(void)unlinkat(q->index_fd, name, 0);
	free(q->groups);
	q->idx = idx;
	q->groups = groups;
	q->groups_cnt = groups_cnt;
	return r;
}

static int
index_fn(struct queue *q, void *arg)
{
	struct verifying *v = arg;
	uint64_t sum, entries;

	if (groups_save(q) == -1 || summarise(q, v) == -1)
		return -1;
	sum = v->sum;
	entries = v->entries;
	for (size_t i = 0; i < q->groups_cnt; i++)
		if (check_cursor(q, &q->groups[i], v) == -1)
			return -1;
	if (replay_apart(q, v) == -1)
		return -1;
	if (v->sum != sum)
		found(v, "index: differs from the journal (%" PRIu64
		    " entries, %" PRIu64 " replayed); qctl repair makes it "
		    "anew", entries, v->entries);
	return 0;
}

int
queue_verify(struct queue *q, queue_report report, void *arg,
    uint64_t *findings)
{
	struct verifying v = { .report = report, .arg = arg };

	if (verify_heads(q, &q->log, q->log_fd, "log", &v) == -1 ||
	    verify_heads(q, &q->journal, q->journal_fd, "journal", &v) ==
	    -1 || verify_log(q, &v) == -1 || verify_journal(q, &v) == -1 ||
	    verify_checkpoints(q, &v) == -1 ||
	    index_run(q, index_fn, &v) == -1)
		return -1;
	*findings = v.findings;
	return 0;
}

static int
nothing(struct queue *q, void *arg)
{
	(void)q;
	(void)arg;
	return 0;
}

int
queue_repair(struct queue *q)
{
	word_put(&q->ctl->index_bad, 1);
	if (index_run(q, nothing, NULL) == -1 || checkpoint_make(q) == -1)
		return -1;
	control_ring(q);
	return 0;
}
