/*
 * queue_journal: records of what consumers and administrators do: built,
 * appended as one batch, applied; and applied again by who finds an index
 * that has not seen them.
 *
 * Record: u32 type, u32 bytes of body; body; zeros up to 8.  A damaged batch
 * is stepped over: what it said is forgotten, and messages may come again.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "queue_priv.h"

#define RECORD_HEAD	8U
#define REDO_STEP	256	/* batches a transaction */

int
record_begin(struct queue *q, enum record type)
{
	unsigned char head[RECORD_HEAD];

	if (q->rec.len == 0) {
		if (buf_reserve(&q->rec, WAL_BATCH_SIZE) == -1)
			return -1;
		memset(q->rec.data, 0, WAL_BATCH_SIZE);
		q->rec.len = WAL_BATCH_SIZE;
		q->rec_cnt = 0;
	}
	q->rec_at = q->rec.len;
	le_put32(head, (uint32_t)type);
	le_put32(head + 4, 0);
	if (buf_put(&q->rec, head, sizeof(head)) == -1) {
		q->rec.len = 0;
		return -1;
	}
	return 0;
}

int
record_u64(struct queue *q, uint64_t v)
{
	unsigned char raw[8];

	le_put64(raw, v);
	return record_bytes(q, raw, sizeof(raw));
}

int
record_bytes(struct queue *q, const void *p, size_t len)
{
	/* One more word, so that record_end cannot fail. */
	if (buf_reserve(&q->rec, len + 8) == -1) {
		q->rec.len = 0;
		return -1;
	}
	return buf_put(&q->rec, p, len);
}

void
record_end(struct queue *q)
{
	static const unsigned char zeros[8];

	le_put32(q->rec.data + q->rec_at + 4,
	    (uint32_t)(q->rec.len - q->rec_at - RECORD_HEAD));
	if (q->rec.len % 8 != 0)
		(void)buf_put(&q->rec, zeros, 8 - q->rec.len % 8);
	q->rec_cnt++;
}

int
record_back(struct queue *q, uint32_t group, uint64_t no, bool uncounted,
    uint64_t due_ns, uint64_t start)
{
	if (record_begin(q, J_BACK) == -1 || record_u64(q, group) == -1 ||
	    record_u64(q, no) == -1 || record_u64(q, uncounted) == -1 ||
	    record_u64(q, due_ns) == -1 || record_u64(q, 1) == -1 ||
	    record_u64(q, start) == -1)
		return -1;
	record_end(q);
	return 0;
}

static int
apply_body(struct queue *q, const unsigned char *p, size_t len)
{
	uint32_t type, size;
	size_t padded;

	while (len >= RECORD_HEAD) {
		type = le_get32(p);
		size = le_get32(p + 4);
		padded = ((size_t)size + 7) & ~(size_t)7;
		if (padded > len - RECORD_HEAD)
			return 0;
		if (apply_record(q, type, p + RECORD_HEAD, size) == -1)
			return -1;
		p += RECORD_HEAD + padded;
		len -= RECORD_HEAD + padded;
	}
	return 0;
}

int
record_commit(struct queue *q)
{
	size_t len = q->rec.len;
	struct wal_place at;
	int r;

	assert(len > WAL_BATCH_SIZE && q->lock.depth[LOCK_INDEX] > 0);
	r = wal_append(&q->journal, q->rec.data, len - WAL_BATCH_SIZE,
	    q->rec_cnt, 0, &at);
	q->rec.len = 0;
	if (r == -1)
		return -1;
	q->jrn_last = at;
	/* It has happened, whatever becomes of the index. */
	if (apply_body(q, q->rec.data + WAL_BATCH_SIZE, len -
	    WAL_BATCH_SIZE) == -1)
		q->idx.broken = true;
	q->idx.root.applied = at.end;
	return 0;
}

int
journal_sync(struct queue *q)
{
	return wal_commit(&q->journal, &q->jrn_last);
}

/* Read the batch at *pos; 1, 0 none there: *pos is where to look next. */
static int
next_batch(struct queue *q, uint64_t *pos, uint64_t tail,
    const unsigned char **body, struct wal_batch *b)
{
	const unsigned char *p;
	uint64_t at = *pos;
	size_t avail;
	int got;

	got = wal_read(&q->jrn_rd, pos, tail, WAL_BATCH_SIZE, &p, &avail);
	if (got == -1)
		return -1;
	if (got == 0) {
		*pos = tail;
		return 0;
	}
	if (*pos != at)
		return 0;
	if (avail >= WAL_BATCH_SIZE &&
	    wal_batch_decode(&q->journal, at, p, b) == 0 &&
	    b->body_len <= tail - at - WAL_BATCH_SIZE) {
		got = wal_read(&q->jrn_rd, pos, tail, WAL_BATCH_SIZE +
		    (size_t)b->body_len, &p, &avail);
		if (got == -1)
			return -1;
		if (got == 1 && *pos == at && avail >= WAL_BATCH_SIZE +
		    (size_t)b->body_len && jrn_verify(&q->journal, p +
		    WAL_BATCH_SIZE, b, at) == 0) {
			*body = p + WAL_BATCH_SIZE;
			return 1;
		}
	}
	*pos = at + 8;
	return 0;
}

int
journal_redo(struct queue *q)
{
	uint64_t tail = word_get(&q->journal.words->tail);
	uint64_t pos = q->idx.root.applied;
	const unsigned char *body;
	struct wal_batch b;
	int got, step = 0;

	if (pos > tail) {
		index_broken(q);
		return -1;
	}
	while (pos < tail) {
		if ((got = next_batch(q, &pos, tail, &body, &b)) == -1)
			return -1;
		if (got == 0)
			continue;
		if (apply_body(q, body, b.body_len) == -1)
			return -1;
		pos += WAL_BATCH_SIZE + b.body_len;
		q->idx.root.applied = pos;
		if (++step == REDO_STEP) {
			step = 0;
			if (index_commit(q) == -1 || index_begin(q) == -1 ||
			    groups_load(q) == -1)
				return -1;
		}
	}
	q->idx.root.applied = tail;
	return 0;
}
