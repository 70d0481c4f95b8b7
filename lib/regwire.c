/*
 * regwire: a cursor walks over the body; the first thing that does not fit
 * marks it bad, and everything read after that is zero.
 */

#include "regwire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"

#define VERSION_1	1
#define HEADER		20		/* with the length */
#define AFTER_LEN	16		/* of it, what the length counts */
#define COUNTER_MAX	(UINT64_C(1) << 62)

_Static_assert(DVV_VERSIONS_MAX * (DVV_VALUE_MAX + 64) + 4096 <
    REGWIRE_FRAME_MAX, "an entry fits in a frame");

/* --- writing ------------------------------------------------------------- */

static int
put16(struct buf *out, uint16_t v)
{
	unsigned char b[2];

	le_put16(b, v);
	return buf_put(out, b, sizeof(b));
}

static int
put32(struct buf *out, uint32_t v)
{
	unsigned char b[4];

	le_put32(b, v);
	return buf_put(out, b, sizeof(b));
}

static int
put64(struct buf *out, uint64_t v)
{
	unsigned char b[8];

	le_put64(b, v);
	return buf_put(out, b, sizeof(b));
}

static int
put_stamp(struct buf *out, const struct stamp *s)
{
	return put64(out, s->hlc) == -1 || put64(out, s->seq) == -1 ||
	    put16(out, s->node) == -1 ? -1 : 0;
}

static int
put_context(struct buf *out, const uint64_t *context)
{
	uint16_t cnt = 0;

	for (size_t i = 1; i <= DVV_NODES_MAX; i++)
		if (context[i] != 0)
			cnt++;
	if (put16(out, cnt) == -1)
		return -1;
	for (uint16_t i = 1; i <= DVV_NODES_MAX; i++)
		if (context[i] != 0 &&
		    (put16(out, i) == -1 || put64(out, context[i]) == -1))
			return -1;
	return 0;
}

int
regwire_put_entry(struct buf *out, const struct dvv *entry)
{
	if (put_context(out, entry->context) == -1 ||
	    put16(out, (uint16_t)entry->cnt) == -1)
		return -1;
	for (size_t i = 0; i < entry->cnt; i++) {
		const struct dvv_version *v = &entry->versions[i];

		if (put16(out, v->node) == -1 || put64(out, v->counter) == -1 ||
		    put_stamp(out, &v->stamp) == -1 ||
		    buf_put_byte(out, v->level) == -1 ||
		    put32(out, (uint32_t)v->len) == -1 ||
		    buf_put(out, v->value, v->len) == -1)
			return -1;
	}
	return 0;
}

static int
put_key(struct buf *out, const struct regwire_msg *m)
{
	if (m->key_len == 0 || m->key_len > REGWIRE_KEY_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	return buf_put_byte(out, (unsigned char)m->key_len) == -1 ||
	    buf_put(out, m->key, m->key_len) == -1 ? -1 : 0;
}

static int
put_request(struct buf *out, const struct regwire_msg *m)
{
	if (buf_put_byte(out, m->level) == -1 || put32(out, m->wait_ms) == -1 ||
	    put_key(out, m) == -1)
		return -1;
	if (m->type == REGWIRE_GET)
		return 0;
	if (m->value_len > DVV_VALUE_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (put32(out, (uint32_t)m->value_len) == -1 ||
	    buf_put(out, m->value, m->value_len) == -1 ||
	    buf_put_byte(out, m->has_context) == -1)
		return -1;
	return m->has_context ? put_context(out, m->context) : 0;
}

static int
put_info(struct buf *out, const struct regwire_info *i)
{
	return put64(out, i->digest) == -1 || put64(out, i->keys) == -1 ||
	    put64(out, i->discarded) == -1 ||
	    put64(out, i->sync_bytes) == -1 ||
	    put64(out, i->declined) == -1 || put32(out, i->seen) == -1 ? -1 : 0;
}

static int
put_body(struct buf *out, const struct regwire_msg *m)
{
	switch (m->type) {
	case REGWIRE_QUERY:
		return put_key(out, m);
	case REGWIRE_STATE:
		return regwire_put_entry(out, &m->entry);
	case REGWIRE_STORE:
	case REGWIRE_SYNC:
		return put_key(out, m) == -1 ? -1 :
		    regwire_put_entry(out, &m->entry);
	case REGWIRE_STORED:
		return buf_put_byte(out, m->accepted);
	case REGWIRE_DIGEST:
		for (size_t i = 0; i < REGWIRE_BUCKETS; i++)
			if (put64(out, m->digest[i]) == -1)
				return -1;
		return 0;
	case REGWIRE_GET:
	case REGWIRE_PUT:
		return put_request(out, m);
	case REGWIRE_RESULT:
		return buf_put_byte(out, m->outcome) == -1 ||
		    buf_put_byte(out, m->rounds) == -1 ||
		    buf_put_byte(out, m->reason) == -1 ||
		    put_stamp(out, &m->stamp) == -1 ? -1 :
		    regwire_put_entry(out, &m->entry);
	case REGWIRE_INFO:
		return put_info(out, &m->info);
	case REGWIRE_PING:
	case REGWIRE_PONG:
	case REGWIRE_STATUS:
	case REGWIRE_TYPES:
		break;
	}
	return 0;
}

int
regwire_put(struct buf *out, const struct regwire_msg *m)
{
	size_t start = out->len;
	unsigned char *p;
	int saved;

	if (put64(out, 0) == -1 || buf_put_byte(out, VERSION_1) == -1 ||
	    buf_put_byte(out, (unsigned char)m->type) == -1 ||
	    put16(out, m->from) == -1 || put64(out, m->id) == -1 ||
	    put_body(out, m) == -1) {
		saved = errno;
		out->len = start;
		errno = saved;
		return -1;
	}
	p = out->data + start;
	le_put32(p, (uint32_t)(out->len - start - 4));
	le_put32(p + 4, crc32c(p + 8, out->len - start - 8));
	return 0;
}

/* --- reading ------------------------------------------------------------- */

struct cursor {
	const unsigned char *p, *end;
	bool bad;
};

static const unsigned char *
take(struct cursor *c, size_t len)
{
	const unsigned char *p = c->p;

	if (c->bad || (size_t)(c->end - c->p) < len) {
		c->bad = true;
		return NULL;
	}
	c->p += len;
	return p;
}

static uint8_t
get8(struct cursor *c)
{
	const unsigned char *p = take(c, 1);

	return p == NULL ? 0 : *p;
}

static uint16_t
get16(struct cursor *c)
{
	const unsigned char *p = take(c, 2);

	return p == NULL ? 0 : le_get16(p);
}

static uint32_t
get32(struct cursor *c)
{
	const unsigned char *p = take(c, 4);

	return p == NULL ? 0 : le_get32(p);
}

static uint64_t
get64(struct cursor *c)
{
	const unsigned char *p = take(c, 8);

	return p == NULL ? 0 : le_get64(p);
}

static uint16_t
get_node(struct cursor *c)
{
	uint16_t node = get16(c);

	if (node == 0 || node > DVV_NODES_MAX)
		c->bad = true;
	return c->bad ? 0 : node;
}

static struct stamp
get_stamp(struct cursor *c)
{
	struct stamp s;

	s.hlc = get64(c);
	s.seq = get64(c);
	s.node = get16(c);
	return s;
}

static void
get_context(struct cursor *c, uint64_t *context)
{
	uint16_t cnt = get16(c), node;

	if (cnt > DVV_NODES_MAX)
		c->bad = true;
	for (uint16_t i = 0; i < cnt && !c->bad; i++) {
		node = get_node(c);
		if (!c->bad && context[node] != 0)
			c->bad = true;
		context[node] = get64(c);
		if (context[node] == 0 || context[node] > COUNTER_MAX)
			c->bad = true;	/* ours could not go on from there */
	}
}

/* One version; the context must know it and stamps must descend. */
static int
get_version(struct cursor *c, struct dvv *d)
{
	struct dvv_version *v = &d->versions[d->cnt];
	const unsigned char *p;
	uint32_t len;

	v->node = get_node(c);
	v->counter = get64(c);
	v->stamp = get_stamp(c);
	v->level = get8(c);
	len = get32(c);
	if (len > DVV_VALUE_MAX || v->counter == 0 ||
	    !dvv_covers(d, v->node, v->counter) ||
	    (d->cnt > 0 && stamp_cmp(&v[-1].stamp, &v->stamp) <= 0))
		c->bad = true;
	if ((p = take(c, c->bad ? 0 : len)) == NULL)
		return 0;
	if ((v->value = malloc((size_t)len + 1)) == NULL)
		return -1;
	memcpy(v->value, p, len);
	v->value[len] = '\0';
	v->len = len;
	d->cnt++;
	return 0;
}

static int
get_entry(struct cursor *c, struct dvv *d)
{
	uint16_t cnt;

	memset(d, 0, sizeof(*d));
	get_context(c, d->context);
	cnt = get16(c);
	if (cnt > DVV_VERSIONS_MAX)
		c->bad = true;
	if (c->bad)
		return 0;
	if ((d->versions = calloc((size_t)cnt + 1,
	    sizeof(*d->versions))) == NULL)
		return -1;
	for (uint16_t i = 0; i < cnt && !c->bad; i++)
		if (get_version(c, d) == -1)
			return -1;
	return 0;
}

int
regwire_get_entry(const unsigned char *data, size_t len, struct dvv *entry)
{
	struct cursor c = { data, data + len, false };
	int rc = get_entry(&c, entry), saved = errno;

	if (rc == 0 && (c.bad || c.p != c.end)) {
		rc = -1;
		saved = EBADMSG;
	}
	if (rc == -1)
		dvv_release(entry);
	errno = saved;
	return rc;
}

static void
get_key(struct cursor *c, struct regwire_msg *m)
{
	m->key_len = get8(c);
	if (m->key_len == 0)
		c->bad = true;
	m->key = take(c, m->key_len);
}

static void
get_request(struct cursor *c, struct regwire_msg *m)
{
	m->level = get8(c);
	if (m->level > REGWIRE_EVENTUAL)
		c->bad = true;
	m->wait_ms = get32(c);
	get_key(c, m);
	if (m->type == REGWIRE_GET)
		return;
	m->value_len = get32(c);
	if (m->value_len > DVV_VALUE_MAX)
		c->bad = true;
	m->value = take(c, m->value_len);
	m->has_context = get8(c) != 0;
	if (m->has_context)
		get_context(c, m->context);
}

static void
get_info(struct cursor *c, struct regwire_info *i)
{
	i->digest = get64(c);
	i->keys = get64(c);
	i->discarded = get64(c);
	i->sync_bytes = get64(c);
	i->declined = get64(c);
	i->seen = get32(c);
}

static int
get_result(struct cursor *c, struct regwire_msg *m)
{
	m->outcome = get8(c);
	m->rounds = get8(c);
	m->reason = get8(c);
	m->stamp = get_stamp(c);
	if (m->outcome > 2 || m->reason >= REGWIRE_REASONS)
		c->bad = true;
	return get_entry(c, &m->entry);
}

static int
get_body(struct cursor *c, struct regwire_msg *m)
{
	switch (m->type) {
	case REGWIRE_QUERY:
		get_key(c, m);
		return 0;
	case REGWIRE_STATE:
		return get_entry(c, &m->entry);
	case REGWIRE_STORE:
	case REGWIRE_SYNC:
		get_key(c, m);
		return get_entry(c, &m->entry);
	case REGWIRE_STORED:
		m->accepted = get8(c) != 0;
		return 0;
	case REGWIRE_DIGEST:
		for (size_t i = 0; i < REGWIRE_BUCKETS; i++)
			m->digest[i] = get64(c);
		return 0;
	case REGWIRE_GET:
	case REGWIRE_PUT:
		get_request(c, m);
		return 0;
	case REGWIRE_RESULT:
		return get_result(c, m);
	case REGWIRE_INFO:
		get_info(c, &m->info);
		return 0;
	case REGWIRE_PING:
	case REGWIRE_PONG:
	case REGWIRE_STATUS:
	case REGWIRE_TYPES:
		break;
	}
	return 0;
}

int
regwire_get(const unsigned char *data, size_t len, struct regwire_msg *m,
    size_t *used)
{
	struct cursor c = { 0 };
	size_t frame;
	int rc;

	memset(m, 0, sizeof(*m));
	if (len < 4)
		return 0;
	frame = le_get32(data);
	if (frame < AFTER_LEN || frame > REGWIRE_FRAME_MAX) {
		errno = EBADMSG;
		return -1;
	}
	if (len < 4 + frame)
		return 0;
	errno = EBADMSG;
	if (le_get32(data + 4) != crc32c(data + 8, frame - 4))
		return -1;
	if (data[8] != VERSION_1) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	m->type = data[9];
	m->from = le_get16(data + 10);
	m->id = le_get64(data + 12);
	if (m->type == 0 || m->type >= REGWIRE_TYPES ||
	    m->from > DVV_NODES_MAX)
		return -1;
	c.p = data + HEADER;
	c.end = data + 4 + frame;
	if ((rc = get_body(&c, m)) == 0 && (c.bad || c.p != c.end)) {
		errno = EBADMSG;
		rc = -1;
	}
	if (rc == -1) {
		regwire_release(m);
		return -1;
	}
	*used = 4 + frame;
	return 1;
}

void
regwire_release(struct regwire_msg *m)
{
	int saved = errno;

	dvv_release(&m->entry);
	errno = saved;
}

const char *
regwire_reason_name(unsigned int reason)
{
	static const char *const names[REGWIRE_REASONS] = {
		[REGWIRE_NO_REASON] = "no reason",
		[REGWIRE_NO_MAJORITY] = "no majority in sight",
		[REGWIRE_TIMEOUT] = "timed out",
		[REGWIRE_BUSY] = "too many operations at once",
		[REGWIRE_SKEW] = "a clock is too far ahead",
	};

	return reason < REGWIRE_REASONS ? names[reason] : "?";
}
