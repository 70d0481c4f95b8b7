/*
 * queue_gone: which messages are not in the log any more?
 *
 * A group that begins in the past, or is set back to it, meets numbers whose
 * messages were removed and their bytes given back.  They are finished for it
 * from the start: told in the journal, they are neither waited for nor taken
 * for damage.  Nothing is given back while RECLAIM is held.
 */

#include <sys/file.h>

#include <errno.h>
#include <string.h>

#include "queue_priv.h"

int
reclaim_lock(struct queue *q)
{
	int r;

	while ((r = flock(q->state_fd, LOCK_EX)) == -1 && errno == EINTR)
		;
	return r;
}

void
reclaim_unlock(struct queue *q)
{
	int saved = errno;

	(void)flock(q->state_fd, LOCK_UN);
	errno = saved;
}

static int
add_range(struct buf *ranges, uint64_t start, uint64_t end, uint64_t end_pos)
{
	struct range r = { start, end, end_pos };

	return start < end ? buf_put(ranges, &r, sizeof(r)) : 0;
}

int
gone_find(struct queue *q, uint64_t seq, uint64_t pos, struct buf *ranges)
{
	uint64_t limit, last;
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	int got;

	/* Only here are place and number a pair: with what is visible a
	 * message that is just being shown would be taken for gone. */
	if (lock_take(&q->lock, LOCK_APPEND, q->patience) == -1)
		return -1;
	limit = word_get(&q->log.words->tail);
	last = word_get(&q->log.words->tail_seq);
	lock_drop(&q->lock, LOCK_APPEND);
	while (pos < limit && (got = msg_item(&q->data_rd, &pos, limit, &b,
	    &h, &m)) != ITEM_NONE) {
		if (got == -1)
			return -1;
		if (got == ITEM_DAMAGE)
			continue;
		if (got == ITEM_BATCH)
			h.seq = b.seq;
		if (h.seq > seq) {
			if (add_range(ranges, seq, h.seq, pos) == -1)
				return -1;
			seq = h.seq;
		}
		if (got == ITEM_MESSAGE && h.seq == seq)
			seq++;
		pos += got == ITEM_BATCH ? WAL_BATCH_SIZE : h.size;
	}
	return add_range(ranges, seq, last, limit);
}

/* Of the ranges what is removed, before anything is changed. */
int
gone_keep(struct queue *q, struct buf *ranges)
{
	struct buf kept = { 0 };
	uint64_t at, up_to;
	struct range r;
	int got;

	for (size_t off = 0; off < ranges->len; off += sizeof(r)) {
		memcpy(&r, ranges->data + off, sizeof(r));
		for (at = r.start; at < r.end; at = up_to)
			if ((got = done_removable(q, at, r.end, &up_to)) ==
			    -1 || (got == 1 && add_range(&kept, at, up_to,
			    r.end_pos) == -1)) {
				buf_release(&kept);
				return -1;
			}
	}
	buf_release(ranges);
	*ranges = kept;
	return 0;
}

int
gone_record(struct queue *q, uint32_t group, const struct buf *ranges)
{
	struct range r;

	if (ranges->len == 0)
		return 0;
	if (record_begin(q, J_GONE) == -1 || record_u64(q, group) == -1)
		return -1;
	for (size_t off = 0; off < ranges->len; off += sizeof(r)) {
		memcpy(&r, ranges->data + off, sizeof(r));
		if (record_u64(q, r.start) == -1 ||
		    record_u64(q, r.end) == -1 ||
		    record_u64(q, r.end_pos) == -1)
			return -1;
	}
	record_end(q);
	return 0;
}
