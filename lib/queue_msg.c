/* queue_msg: a message's record in the log, built, checked and found. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "num.h"
#include "queue_priv.h"

/* Extension fields: u32 type << 24 | length, then the bytes. */
#define EXT_KEY		1U
#define EXT_ID		2U
#define EXT_DUE		3U

#define EXT_MAX		(2 * (QUEUE_KEY_MAX + 4) + 12)

/*
 * Record: crc, epoch, seq | payload_len, ext_len, ts_ms | ext | payload | pad.
 * The checksum covers what follows seq; epoch, seq and place are mixed in once
 * they are known.
 */
#define OFF_EPOCH	4
#define OFF_SEQ		8
#define OFF_PAYLOAD	16
#define OFF_EXT		20
#define OFF_TS		24

static size_t
padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

uint64_t
msg_key_hash(const void *key, size_t len)
{
	uint64_t h = hash64(key, len, 0);

	return h == 0 ? 1 : h;
}

void
queue_batch_init(struct queue_batch *b)
{
	memset(b, 0, sizeof(*b));
}

void
queue_batch_release(struct queue_batch *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

void
queue_batch_clear(struct queue_batch *b)
{
	b->len = 0;
	b->count = 0;
	b->flags = 0;
	b->payload_bytes = 0;
}

static int
batch_room(struct queue_batch *b, size_t extra)
{
	size_t need, cap;
	unsigned char *p;

	if (b->len == 0)
		b->len = WAL_BATCH_SIZE;
	if (__builtin_add_overflow(b->len, extra, &need) ||
	    need > WAL_BODY_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (need <= b->cap)
		return 0;
	cap = b->cap + b->cap / 2;
	if (cap < need)
		cap = need;
	if ((p = realloc(b->data, cap)) == NULL)
		return -1;
	b->data = p;
	b->cap = cap;
	return 0;
}

static unsigned char *
put_ext(unsigned char *p, unsigned int type, const void *data, size_t len)
{
	le_put32(p, type << 24 | (uint32_t)len);
	memcpy(p + 4, data, len);
	return p + 4 + len;
}

int
queue_batch_add(struct queue_batch *b, const struct queue_message *m)
{
	size_t ext = 0, size;
	unsigned char *rec, *p, due[8];
	uint64_t ts_ms;

	if (m->payload_len > QUEUE_MESSAGE_MAX ||
	    (m->key != NULL && m->key_len > QUEUE_KEY_MAX) ||
	    (m->id != NULL && m->id_len > QUEUE_KEY_MAX)) {
		errno = EMSGSIZE;
		return -1;
	}
	if (m->key != NULL)
		ext += 4 + m->key_len;
	if (m->id != NULL)
		ext += 4 + m->id_len;
	if (m->due_ns != 0)
		ext += 4 + 8;
	size = padded(MSG_HEAD_SIZE + ext + m->payload_len);
	if (batch_room(b, size) == -1)
		return -1;
	rec = b->data + b->len;
	ts_ms = (uint64_t)((m->ts_ns != 0 ? m->ts_ns : wall_now_ns()) /
	    NUM_NS_PER_MS);
	memset(rec, 0, OFF_PAYLOAD);
	le_put32(rec + OFF_PAYLOAD, (uint32_t)m->payload_len);
	le_put32(rec + OFF_EXT, (uint32_t)ext);
	le_put64(rec + OFF_TS, ts_ms);
	p = rec + MSG_HEAD_SIZE;
	if (m->key != NULL) {
		p = put_ext(p, EXT_KEY, m->key, m->key_len);
		b->flags |= MSG_KEYED;
	}
	if (m->id != NULL) {
		p = put_ext(p, EXT_ID, m->id, m->id_len);
		b->flags |= MSG_IDS;
	}
	if (m->due_ns != 0) {
		le_put64(due, (uint64_t)m->due_ns);
		p = put_ext(p, EXT_DUE, due, sizeof(due));
		b->flags |= MSG_DELAYED;
	}
	if (m->payload_len > 0)
		memcpy(p, m->payload, m->payload_len);
	p += m->payload_len;
	le_put32(rec, crc32c(rec + OFF_PAYLOAD, (size_t)(p - rec) -
	    OFF_PAYLOAD));
	memset(p, 0, (size_t)(rec + size - p));
	b->len += size;
	b->count++;
	b->payload_bytes += m->payload_len;
	return 0;
}

/* Only the fixed part, sizes checked for sense: what is needed to go on. */
static int
msg_head(const unsigned char *p, size_t avail, struct msg_head *h)
{
	if (avail < MSG_HEAD_SIZE)
		goto bad;
	h->epoch = le_get32(p + OFF_EPOCH);
	h->seq = le_get64(p + OFF_SEQ);
	h->payload_len = le_get32(p + OFF_PAYLOAD);
	h->ext_len = le_get32(p + OFF_EXT);
	h->ts_ns = (int64_t)(le_get64(p + OFF_TS) %
	    (UINT64_C(1) << 43)) * NUM_NS_PER_MS;
	if (h->payload_len > QUEUE_MESSAGE_MAX || h->ext_len > EXT_MAX ||
	    h->epoch == WAL_BATCH_MAGIC)
		goto bad;
	h->size = padded((size_t)MSG_HEAD_SIZE + h->ext_len + h->payload_len);
	return 0;
bad:
	errno = EBADMSG;
	return -1;
}

/* The running sum of record checksums that a batch header carries. */
static uint32_t
sum_step(uint32_t sum, uint32_t crc)
{
	return sum * 0x9e3779b1U + crc;
}

uint32_t
msg_fixup(const struct wal *w, unsigned char *body, size_t body_len,
    const struct wal_place *at)
{
	uint64_t pos = at->pos + WAL_BATCH_SIZE, seq = at->seq;
	uint64_t seed = w->seed ^ at->epoch;
	uint32_t sum = 0, crc;
	size_t off = 0;

	while (off < body_len) {
		unsigned char *rec = body + off;
		size_t size = padded((size_t)MSG_HEAD_SIZE +
		    le_get32(rec + OFF_EXT) + le_get32(rec + OFF_PAYLOAD));

		le_put32(rec + OFF_EPOCH, at->epoch);
		le_put64(rec + OFF_SEQ, seq);
		crc = le_get32(rec) ^ crc_place(seed, pos + off, seq);
		le_put32(rec, crc);
		sum = sum_step(sum, crc);
		off += size;
		seq++;
	}
	return sum;
}

static int
msg_check(const struct wal *w, const unsigned char *p, size_t avail,
    uint64_t pos, struct msg_head *h)
{
	if (msg_head(p, avail, h) == -1)
		return -1;
	if (h->size > avail || le_get32(p) != (crc32c(p + OFF_PAYLOAD,
	    MSG_HEAD_SIZE - OFF_PAYLOAD + (size_t)h->ext_len +
	    h->payload_len) ^ crc_place(w->seed ^ h->epoch, pos, h->seq))) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

int
msg_verify(const struct wal *w, const unsigned char *body,
    const struct wal_batch *b, uint64_t pos)
{
	struct msg_head h;
	uint32_t sum = 0, cnt = 0;
	size_t off = 0;

	pos += WAL_BATCH_SIZE;
	while (off < b->body_len) {
		if (msg_check(w, body + off, b->body_len - off, pos + off,
		    &h) == -1)
			return -1;
		if (h.seq != b->seq + cnt)
			break;
		sum = sum_step(sum, le_get32(body + off));
		off += h.size;
		cnt++;
	}
	if (off != b->body_len || cnt != b->count || sum != b->body_crc) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

uint32_t
jrn_fixup(const struct wal *w, unsigned char *body, size_t body_len,
    const struct wal_place *at)
{
	return crc32c(body, body_len) ^ crc_place(w->seed, at->pos, at->seq);
}

int
jrn_verify(const struct wal *w, const unsigned char *body,
    const struct wal_batch *b, uint64_t pos)
{
	if (b->body_crc != (crc32c(body, b->body_len) ^
	    crc_place(w->seed, pos, b->seq))) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

static void
fields(const unsigned char *p, const struct msg_head *h,
    struct queue_message *m)
{
	const unsigned char *ext, *ext_end;

	memset(m, 0, sizeof(*m));
	m->seq = h->seq;
	m->epoch = h->epoch;
	m->ts_ns = h->ts_ns;
	m->attempt = 1;
	ext = p + MSG_HEAD_SIZE;
	ext_end = ext + h->ext_len;
	while (ext_end - ext >= 4) {
		uint32_t word = le_get32(ext);
		size_t len = word & 0xffffffU;

		ext += 4;
		if (len > (size_t)(ext_end - ext))
			break;
		switch (word >> 24) {
		case EXT_KEY:
			m->key = ext;
			m->key_len = len;
			break;
		case EXT_ID:
			m->id = ext;
			m->id_len = len;
			break;
		case EXT_DUE:
			if (len == 8)
				m->due_ns = (int64_t)le_get64(ext);
			break;
		default:
			break;
		}
		ext += len;
	}
	m->payload = ext_end;
	m->payload_len = h->payload_len;
}

int
msg_decode(const struct wal *w, const unsigned char *p, size_t avail,
    uint64_t pos, struct msg_head *h, struct queue_message *m)
{
	if (msg_check(w, p, avail, pos, h) == -1)
		return -1;
	fields(p, h, m);
	return 0;
}

int
msg_parse(const unsigned char *p, size_t avail, struct msg_head *h,
    struct queue_message *m)
{
	if (msg_head(p, avail, h) == -1)
		return -1;
	if (h->size > avail) {
		errno = EBADMSG;
		return -1;
	}
	fields(p, h, m);
	return 0;
}

/* Search onward for anything whole; *pos moves to it, or to limit. */
static int
resync(struct wal_reader *r, uint64_t *pos, uint64_t limit)
{
	const unsigned char *p;
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	size_t avail;
	int got;

	for (*pos += 8; *pos < limit; *pos += 8) {
		got = wal_read(r, pos, limit, MSG_HEAD_SIZE, &p, &avail);
		if (got <= 0)
			return got;
		if (avail >= 8 && le_get32(p + 4) == WAL_BATCH_MAGIC) {
			got = wal_read(r, pos, limit, WAL_BATCH_SIZE, &p,
			    &avail);
			if (got <= 0)
				return got;
			if (avail >= WAL_BATCH_SIZE &&
			    wal_batch_decode(r->w, *pos, p, &b) == 0)
				return 1;
			continue;
		}
		if (msg_head(p, avail, &h) == -1 || h.size > limit - *pos)
			continue;
		got = wal_read(r, pos, limit, h.size, &p, &avail);
		if (got <= 0)
			return got;
		if (msg_decode(r->w, p, avail, *pos, &h, &m) == 0)
			return 1;
	}
	*pos = limit;
	return 0;
}

int
msg_item(struct wal_reader *r, uint64_t *pos, uint64_t limit,
    struct wal_batch *b, struct msg_head *h, struct queue_message *m)
{
	const unsigned char *p;
	uint64_t at;
	size_t avail;
	int got;

	got = wal_read(r, pos, limit, MSG_HEAD_SIZE, &p, &avail);
	if (got <= 0)
		return got == 0 ? ITEM_NONE : -1;
	at = *pos;
	if (avail >= 8 && le_get32(p + 4) == WAL_BATCH_MAGIC) {
		got = wal_read(r, pos, limit, WAL_BATCH_SIZE, &p, &avail);
		if (got <= 0)
			return got == 0 ? ITEM_NONE : -1;
		if (*pos == at && avail >= WAL_BATCH_SIZE &&
		    wal_batch_decode(r->w, at, p, b) == 0)
			return ITEM_BATCH;
	} else if (msg_head(p, avail, h) == 0 && h->size <= limit - at) {
		got = wal_read(r, pos, limit, h->size, &p, &avail);
		if (got <= 0)
			return got == 0 ? ITEM_NONE : -1;
		if (*pos == at && msg_decode(r->w, p, avail, at, h, m) == 0)
			return ITEM_MESSAGE;
	}
	*pos = at;
	if (resync(r, pos, limit) == -1)
		return -1;
	return ITEM_DAMAGE;
}

int
msg_at(struct queue *q, uint64_t pos, uint64_t seq, struct queue_message *m)
{
	uint64_t limit = word_get(&q->log.words->visible);
	struct wal_batch b;
	struct msg_head h;
	int got;

	while (pos < limit) {
		got = msg_item(&q->data_rd, &pos, limit, &b, &h, m);
		if (got == -1)
			return -1;
		if (got == ITEM_NONE)
			break;
		if (got == ITEM_BATCH)
			pos += WAL_BATCH_SIZE;
		else if (got == ITEM_MESSAGE && h.seq >= seq)
			return 1;
		else if (got == ITEM_MESSAGE)
			pos += h.size;
	}
	return 0;
}

/* Walk from the segment that begins at base to the first message wanted. */
static int
walk(struct queue *q, uint64_t base, uint64_t seq, uint64_t ts_ns,
    uint64_t *found, uint64_t *pos)
{
	uint64_t limit = word_get(&q->log.words->visible), at = base;
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	int got;

	while (at < limit) {
		got = msg_item(&q->data_rd, &at, limit, &b, &h, &m);
		if (got == -1)
			return -1;
		if (got == ITEM_NONE)
			break;
		if (got == ITEM_BATCH && b.seq + b.count <= seq) {
			at += WAL_BATCH_SIZE + b.body_len;
		} else if (got == ITEM_BATCH) {
			at += WAL_BATCH_SIZE;
		} else if (got == ITEM_MESSAGE) {
			if (h.seq >= seq && (uint64_t)h.ts_ns >= ts_ns) {
				*found = h.seq;
				*pos = at;
				return 0;
			}
			at += h.size;
		}
	}
	*found = word_get(&q->log.words->visible_seq);
	*pos = limit;
	return 0;
}

/* The last segment that may hold it: by number, or by when it was begun. */
static int
find(struct queue *q, uint64_t seq, uint64_t ts_ns, uint64_t *found,
    uint64_t *pos)
{
	uint64_t *bases = NULL, base = 0;
	struct wal_head h;
	size_t cnt = 0;

	if (wal_list(q->log_fd, &bases, &cnt) == -1)
		return -1;
	for (size_t i = 0; i < cnt; i++)
		if (i == 0 || (wal_head_read(&q->log, bases[i], &h) == 0 &&
		    h.seq <= seq && h.created_ms <=
		    ts_ns / (uint64_t)NUM_NS_PER_MS))
			base = bases[i];
	free(bases);
	return walk(q, base, seq == UINT64_MAX ? 0 : seq,
	    ts_ns == UINT64_MAX ? 0 : ts_ns, found, pos);
}

int
msg_find(struct queue *q, uint64_t seq, uint64_t *found, uint64_t *pos)
{
	return find(q, seq, UINT64_MAX, found, pos);
}

int
msg_find_time(struct queue *q, uint64_t ts_ns, uint64_t *found,
    uint64_t *pos)
{
	return find(q, UINT64_MAX, ts_ns, found, pos);
}
