/*
 * queue_scan: a group's cursor over the message log.
 *
 * Ranges of finished messages and claims are jumped over by their positions.
 * What the log should hold but does not (a damaged record) is journaled as a
 * gap, once, and is then finished for every group.
 */

#include <errno.h>

#include "queue_priv.h"

static int
gap(struct queue *q, uint64_t start, uint64_t end, uint64_t end_pos)
{
	if (record_begin(q, J_GAP) == -1 || record_u64(q, start) == -1 ||
	    record_u64(q, end) == -1 || record_u64(q, end_pos) == -1)
		return -1;
	record_end(q);
	if (record_commit(q) == -1)
		return -1;
	if (q->idx.broken) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

static void
jump(struct group *g, uint64_t seq, uint64_t pos)
{
	g->cursor_seq = seq;
	if (g->cursor_pos < pos)
		g->cursor_pos = pos;
	g->dirty = true;
}

/* Get past finished and taken messages; find how far nothing more is known. */
static int
settle(struct queue *q, struct group *g, bool *noted)
{
	uint64_t tries, due;
	struct claim_row c;
	struct range r;
	struct ikey k;
	int got;

	for (;;) {
		if ((got = done_find(q, g->no, g->cursor_seq, &r)) == -1)
			return -1;
		if (got == 1) {
			jump(g, r.end, r.end_pos);
			continue;
		}
		if ((got = claim_covers(q, g->no, g->cursor_seq, &c)) == -1)
			return -1;
		if (got == 0)
			break;
		jump(g, c.start + c.count, c.end);
	}
	g->quiet = UINT64_MAX;
	if ((got = done_next(q, g->no, g->cursor_seq, &r)) == -1)
		return -1;
	if (got == 1)
		group_unquiet(g, r.start);
	if ((got = claim_next(q, g->no, g->cursor_seq, &c)) == -1)
		return -1;
	if (got == 1)
		group_unquiet(g, c.start);
	if (g->notes == 0)
		return 0;
	if ((got = note_get(q, g, g->cursor_seq, &tries, &due)) == -1)
		return -1;
	if (got == 1) {
		*noted = true;
		group_unquiet(g, g->cursor_seq + 1);
		return 0;
	}
	ikey_init(&k, T_NOTE);
	ikey_u32(&k, g->no);
	ikey_u64(&k, g->cursor_seq);
	if ((got = index_seek(q, &k, 5, NULL)) == -1)
		return -1;
	if (got == 1)
		group_unquiet(g, ikey_get64(&k, 5));
	return 0;
}

/* At the visible end, but numbers are missing: damage to the very last. */
static int
gap_at_end(struct queue *q, struct group *g)
{
	const struct wal_words *s = q->log.words;
	uint64_t tail, tail_seq;
	int r = 0;

	if (word_get(&s->visible_seq) <= g->cursor_seq)
		return 0;
	if (lock_take(&q->lock, LOCK_APPEND, q->patience) == -1)
		return -1;
	tail = word_get(&s->tail);
	tail_seq = word_get(&s->tail_seq);
	if (word_get(&s->visible) == tail && g->cursor_pos >= tail &&
	    tail_seq > g->cursor_seq)
		r = gap(q, g->cursor_seq, tail_seq, tail);
	lock_drop(&q->lock, LOCK_APPEND);
	return r;
}

int
scan_next(struct queue *q, struct group *g, struct scanned *s)
{
	uint64_t limit = word_get(&q->log.words->visible), pos;
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	uint64_t due;
	bool noted = false;
	int got;

	for (;;) {
		if (g->cursor_seq >= g->quiet && settle(q, g, &noted) == -1)
			return -1;
		pos = g->cursor_pos;
		got = pos >= limit ? ITEM_NONE : msg_item(&q->log_rd, &pos,
		    limit, &b, &h, &m);
		if (got == -1)
			return -1;
		if (got == ITEM_NONE) {
			jump(g, g->cursor_seq, limit);
			return gap_at_end(q, g);
		}
		jump(g, g->cursor_seq, pos);
		if (got == ITEM_DAMAGE)
			continue;
		if (got == ITEM_BATCH)
			h.seq = b.seq;
		if (h.seq > g->cursor_seq) {
			if (gap(q, g->cursor_seq, h.seq, pos) == -1)
				return -1;
			continue;
		}
		if (got == ITEM_BATCH) {
			g->cursor_pos = pos + WAL_BATCH_SIZE;
			continue;
		}
		if (h.seq == g->cursor_seq)
			break;
		g->cursor_pos = pos + h.size;
	}
	s->e = (struct entry){ .seq = h.seq, .count = 1, .pos = pos,
		.end = pos + h.size, .due_ns = (uint64_t)m.due_ns };
	if (m.key != NULL)
		s->e.kh = msg_key_hash(m.key, m.key_len);
	s->tries = 0;
	if (noted) {
		if (note_get(q, g, h.seq, &s->tries, &due) == -1)
			return -1;
		if (due > s->e.due_ns)
			s->e.due_ns = due;
	}
	return 1;
}

void
scan_pass(struct group *g, const struct scanned *s)
{
	g->cursor_seq = s->e.seq + 1;
	g->cursor_pos = s->e.end;
	g->dirty = true;
}

int
scan_to(struct queue *q, uint64_t seq, uint64_t pos, uint64_t *count,
    uint64_t bytes, uint64_t *end)
{
	uint64_t limit = word_get(&q->log.words->visible), from = pos;
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	int got;

	*end = pos;
	while ((got = msg_item(&q->log_rd, &pos, limit, &b, &h, &m)) !=
	    ITEM_NONE) {
		if (got == -1)
			return -1;
		if (got == ITEM_BATCH) {
			pos += WAL_BATCH_SIZE;
			continue;
		}
		if (got == ITEM_DAMAGE)
			continue;
		if (h.seq >= seq + *count)
			break;
		if (*end > from && pos + h.size - from > bytes) {
			*count = h.seq - seq;
			break;
		}
		pos += h.size;
		*end = pos;
		if (h.seq + 1 == seq + *count)
			break;
	}
	return 0;
}
