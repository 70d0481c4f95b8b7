/*
 * queue_ids: which ids were pushed within the window.
 *
 * An id is known by its SHA-256.  The table is filled from the log, never by
 * who pushes: what is in it is what was appended, also after a crash between
 * the two.  It is consulted under INDEX and APPEND.
 */

#include <errno.h>
#include <sha2.h>
#include <string.h>

#include "queue_priv.h"

#define EXPIRE_STEP	64

static void
id_key(struct ikey *k, const void *sum)
{
	ikey_init(k, T_ID);
	ikey_bytes(k, sum, SHA256_DIGEST_LENGTH);
}

static void
order_key(struct ikey *k, uint64_t number)
{
	ikey_init(k, T_ID_ORDER);
	ikey_u64(k, number);
}

static void
digest(const void *id, size_t len, unsigned char out[SHA256_DIGEST_LENGTH])
{
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, id, len);
	SHA256Final(out, &ctx);
}

static int
drop(struct queue *q, uint64_t number)
{
	struct ikey k;
	struct ival v;
	int got;

	order_key(&k, number);
	if ((got = index_get(q, &k, &v)) != 1)
		return got;
	if (index_del(q, &k) == -1)
		return -1;
	if (v.tail_len != SHA256_DIGEST_LENGTH)
		return 0;
	id_key(&k, v.tail);
	/* A later push of the same id has a number of its own. */
	if ((got = index_get(q, &k, &v)) != 1 || v.w[2] != number)
		return got == -1 ? -1 : 0;
	return index_del(q, &k) == -1 ? -1 : 0;
}

static int
add(struct queue *q, const struct queue_message *m, uint64_t end)
{
	struct root *root = &q->idx.root;
	struct ival v = { .n = 4, .tail_len = 0 };
	unsigned char sum[SHA256_DIGEST_LENGTH];
	struct ikey k;

	digest(m->id, m->id_len, sum);
	id_key(&k, sum);
	v.w[0] = m->seq;
	v.w[1] = end;
	v.w[2] = root->ids_next;
	v.w[3] = (uint64_t)m->ts_ns;
	if (index_put(q, &k, &v) == -1)
		return -1;
	order_key(&k, root->ids_next++);
	v.n = 0;
	v.tail_len = sizeof(sum);
	memcpy(v.tail, sum, sizeof(sum));
	return index_put(q, &k, &v);
}

int
ids_catch_up(struct queue *q)
{
	uint64_t tail = word_get(&q->log.words->tail), end = 0;
	uint64_t pos = q->idx.root.ids_pos;
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	int got;

	if (pos >= word_get(&q->ctl->ids_end))
		return 0;
	while (pos < tail) {
		got = msg_item(&q->log_rd, &pos, tail, &b, &h, &m);
		if (got == -1)
			return -1;
		if (got == ITEM_NONE)
			break;
		if (got == ITEM_BATCH) {
			end = pos + WAL_BATCH_SIZE + b.body_len;
			pos = b.flags & MSG_IDS ? pos + WAL_BATCH_SIZE : end;
		} else if (got == ITEM_MESSAGE) {
			pos += h.size;
			if (m.id != NULL && add(q, &m, end > pos ? end :
			    pos) == -1)
				return -1;
		}
	}
	q->idx.root.ids_pos = tail;
	return 0;
}

int
ids_all(struct queue *q)
{
	int r, saved;

	if (q->idx.root.ids_pos >= word_get(&q->ctl->ids_end))
		return 0;
	if (lock_take(&q->lock, LOCK_APPEND, q->patience) == -1)
		return -1;
	r = ids_catch_up(q);
	saved = errno;
	lock_drop(&q->lock, LOCK_APPEND);
	errno = saved;
	return r;
}

int
ids_expire(struct queue *q)
{
	struct root *root = &q->idx.root;
	uint64_t most = attr_now(q, ATTR_DEDUP_COUNT);
	uint64_t window = attr_now(q, ATTR_DEDUP_NS);
	uint64_t now = (uint64_t)wall_now_ns();
	struct ikey k;
	struct ival v;
	int got;

	for (int i = 0; i < EXPIRE_STEP &&
	    root->ids_first < root->ids_next; i++) {
		if (root->ids_next - root->ids_first <= most) {
			order_key(&k, root->ids_first);
			if ((got = index_get(q, &k, &v)) == -1)
				return -1;
			if (got == 1) {
				id_key(&k, v.tail);
				if ((got = index_get(q, &k, &v)) == -1)
					return -1;
			}
			if (got == 1 && v.w[2] == root->ids_first &&
			    v.w[3] + window >= now)
				break;
		}
		if (drop(q, root->ids_first) == -1)
			return -1;
		root->ids_first++;
	}
	return 0;
}

int
ids_find(struct queue *q, const void *id, size_t len, uint64_t *seq,
    uint64_t *end)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	const struct root *root = &q->idx.root;
	struct ikey k;
	struct ival v;
	int got;

	digest(id, len, sum);
	id_key(&k, sum);
	if ((got = index_get(q, &k, &v)) != 1)
		return got;
	/* Expiry goes in steps: what should have gone does not count. */
	if (root->ids_next - v.w[2] > attr_now(q, ATTR_DEDUP_COUNT) ||
	    v.w[3] + attr_now(q, ATTR_DEDUP_NS) < (uint64_t)wall_now_ns())
		return 0;
	*seq = v.w[0];
	*end = v.w[1];
	return 1;
}

int
ids_cut(struct queue *q, uint64_t seq, uint64_t pos)
{
	struct root *root = &q->idx.root;
	struct ikey k;
	struct ival v;
	int got;

	while (root->ids_next > root->ids_first) {
		order_key(&k, root->ids_next - 1);
		if ((got = index_get(q, &k, &v)) == -1)
			return -1;
		if (got == 1) {
			id_key(&k, v.tail);
			if ((got = index_get(q, &k, &v)) == -1)
				return -1;
			if (got == 1 && v.w[2] == root->ids_next - 1 &&
			    v.w[0] < seq)
				break;
		}
		if (drop(q, root->ids_next - 1) == -1)
			return -1;
		root->ids_next--;
	}
	if (root->ids_pos > pos)
		root->ids_pos = pos;
	return 0;
}
