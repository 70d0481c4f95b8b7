/*
 * fsm_snap: all state as bytes and back; the format is in raft-wire(5).  A
 * snapshot is read into a new state first, so a bad one changes nothing.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "fsm_priv.h"

#define SNAP_MAGIC	UINT32_C(0x31534652)	/* "RFS1" */
#define SNAP_HEAD	120

static bool
put64(struct fsm *f, struct buf *b, uint64_t v)
{
	unsigned char word[8];

	le_put64(word, v);
	return fsm_put(f, buf_put(b, word, sizeof(word)));
}

/* NULL is not the same as empty. */
static bool
put_blob(struct fsm *f, struct buf *b, const struct blob *v)
{
	unsigned char word[4];

	le_put32(word, v == NULL ? UINT32_MAX : v->len);
	return fsm_put(f, buf_put(b, word, sizeof(word))) &&
	    (v == NULL || fsm_put(f, buf_put(b, v->data, v->len)));
}

static void
save_keys(struct fsm *f, struct buf *b)
{
	struct key *k;

	for (k = key_first(f); k != NULL; k = key_next(k)) {
		(void)put_blob(f, b, k->name);
		(void)put_blob(f, b, k->value);
		(void)put64(f, b, k->create_rev);
		(void)put64(f, b, k->mod_rev);
		(void)put64(f, b, (uint64_t)k->due.at);
	}
}

static uint64_t
save_locks(struct fsm *f, struct buf *b)
{
	struct lock_name *l;
	struct member *m;
	uint64_t n = 0;

	for (l = lock_first(f); l != NULL; l = lock_next(l)) {
		TAILQ_FOREACH(m, &l->members, entry) {
			(void)put_blob(f, b, l->name);
			/* cppcheck-suppress uninitvar; TAILQ_FOREACH sets it */
			(void)put_blob(f, b, m->owner);
			(void)put_blob(f, b, m->value);
			(void)put64(f, b, m->token);
			(void)put64(f, b, (uint64_t)m->ttl);
			(void)put64(f, b, (uint64_t)m->due.at);
			n++;
		}
	}
	return n;
}

static void
save_ring(struct fsm *f, const struct ring *r, struct buf *b)
{
	const struct item *it;
	size_t i;

	for (i = 0; i < r->cnt; i++) {
		it = ring_at(r, i);
		(void)fsm_put(f, buf_put_byte(b, (unsigned char)it->kind));
		(void)put_blob(f, b, it->key);
		(void)put_blob(f, b, it->value);
	}
}

static void
save_sessions(struct fsm *f, struct buf *b)
{
	const struct session *s;

	TAILQ_FOREACH(s, &f->used, used) {
		/* cppcheck-suppress uninitvar; TAILQ_FOREACH sets it */
		(void)put_blob(f, b, s->client);
		(void)put_blob(f, b, s->reply);
		(void)put64(f, b, s->seq);
		(void)put64(f, b, (uint64_t)s->used_ms);
	}
}

int
fsm_save(struct fsm *f, struct buf *out)
{
	static const unsigned char zero[SNAP_HEAD];
	size_t at = out->len;
	uint64_t members;
	unsigned char *p;

	if (buf_reserve(out, SNAP_HEAD + f->bytes + f->history.bytes +
	    f->records.bytes) == -1 ||
	    buf_put(out, zero, SNAP_HEAD) == -1)
		return -1;
	save_keys(f, out);
	members = save_locks(f, out);
	save_ring(f, &f->history, out);
	save_ring(f, &f->records, out);
	save_sessions(f, out);
	if (f->failed) {
		errno = ENOMEM;
		return -1;
	}
	p = out->data + at;
	le_put32(p, SNAP_MAGIC);
	le_put64(p + 8, out->len - at);
	le_put64(p + 16, (uint64_t)f->clock);
	le_put64(p + 24, f->rev);
	le_put64(p + 32, f->token);
	le_put64(p + 40, f->batches);
	le_put64(p + 48, f->digest);
	le_put64(p + 56, f->key_cnt);
	le_put64(p + 64, members);
	le_put64(p + 72, f->history.first);
	le_put64(p + 80, f->history.cnt);
	le_put64(p + 88, f->records.first);
	le_put64(p + 96, f->records.cnt);
	le_put64(p + 104, f->session_cnt);
	le_put64(p + 112, 0);
	le_put32(p + 4, (uint32_t)(hash64(p + 8, out->len - at - 8, 0) >> 32));
	return 0;
}

/* --- and back ---------------------------------------------------------------- */

struct reader {
	const unsigned char *p;
	size_t left;
	bool bad;
};

static uint64_t
get64(struct reader *r)
{
	uint64_t v;

	if (r->left < 8) {
		r->bad = true;
		return 0;
	}
	v = le_get64(r->p);
	r->p += 8;
	r->left -= 8;
	return v;
}

/* false for NULL, and for what is too long or cut off: that is also bad. */
static bool
get_bytes(struct reader *r, size_t max, struct resp_arg *a)
{
	uint32_t len;

	*a = (struct resp_arg){ r->p, 0 };
	if (r->left < 4) {
		r->bad = true;
		return false;
	}
	len = le_get32(r->p);
	r->p += 4;
	r->left -= 4;
	if (len == UINT32_MAX)
		return false;
	if (len > max || len > r->left) {
		r->bad = true;
		return false;
	}
	*a = (struct resp_arg){ r->p, len };
	r->p += len;
	r->left -= len;
	return true;
}

/* A time that may stand in a snapshot: not negative, not absurd. */
static int64_t
get_time(struct reader *r)
{
	uint64_t v = get64(r);

	if (v > (uint64_t)INT64_MAX - (uint64_t)FSM_TTL_MAX)
		r->bad = true;
	return r->bad ? 0 : (int64_t)v;
}

static void
load_keys(struct fsm *f, struct reader *r, uint64_t cnt)
{
	struct resp_arg name, value;
	struct key *k;

	for (; cnt > 0 && !r->bad; cnt--) {
		if (!get_bytes(r, FSM_KEY_MAX, &name) ||
		    !get_bytes(r, FSM_VALUE_MAX, &value) ||
		    (k = key_load(f, &name, &value)) == NULL) {
			r->bad = true;
			return;
		}
		k->create_rev = get64(r);
		k->mod_rev = get64(r);
		due_set(f, &k->due, get_time(r));
	}
}

static void
load_locks(struct fsm *f, struct reader *r, uint64_t cnt)
{
	struct resp_arg name, owner, value;
	struct member *m;

	for (; cnt > 0 && !r->bad; cnt--) {
		if (!get_bytes(r, FSM_NAME_MAX, &name) ||
		    !get_bytes(r, FSM_NAME_MAX, &owner) ||
		    !get_bytes(r, FSM_NAME_MAX, &value) ||
		    lock_member(f, &name, &owner) != NULL ||
		    (m = lock_load(f, &name, &owner, &value)) == NULL) {
			r->bad = true;
			return;
		}
		m->token = get64(r);
		m->ttl = get_time(r);
		due_set(f, &m->due, get_time(r));
		if (m->ttl < 1 || m->ttl > FSM_TTL_MAX || m->due.at == 0)
			r->bad = true;
	}
}

static void
load_ring(struct fsm *f, struct ring *ring, struct reader *r, uint64_t first,
    uint64_t cnt, bool history)
{
	struct resp_arg key, value;
	struct blob *kb, *vb;
	char kind;
	bool has_key, has_value;

	ring->first = first;
	for (; cnt > 0 && !r->bad; cnt--, first++) {
		if (r->left < 1) {
			r->bad = true;
			return;
		}
		kind = (char)*r->p++;
		r->left--;
		has_key = get_bytes(r, FSM_KEY_MAX, &key);
		has_value = get_bytes(r, FSM_VALUE_MAX, &value);
		if (r->bad || has_key != history ||
		    has_value != (kind == 'p' || kind == 'r') ||
		    strchr(history ? "pde" : "r", kind) == NULL ||
		    kind == '\0') {
			r->bad = true;
			return;
		}
		kb = has_key ? blob_new(f, key.data, key.len) : NULL;
		vb = has_value ? blob_new(f, value.data, value.len) : NULL;
		if ((has_key && kb == NULL) || (has_value && vb == NULL)) {
			blob_drop(kb);
			blob_drop(vb);
			return;
		}
		ring_add(f, ring, first, kind, kb, vb);
	}
}

static void
load_sessions(struct fsm *f, struct reader *r, uint64_t cnt)
{
	struct resp_arg client, reply;
	struct session *s;
	int64_t clock = f->clock;
	struct buf b;

	for (; cnt > 0 && !r->bad; cnt--) {
		if (!get_bytes(r, FSM_CLIENT_MAX, &client) ||
		    !get_bytes(r, UINT32_MAX - 1, &reply) ||
		    session_find(f, client.data, client.len) != NULL ||
		    f->session_cnt >= f->limits.session_cnt ||
		    (s = session_get(f, client.data, client.len)) == NULL) {
			r->bad = true;
			return;
		}
		b = (struct buf){ NULL, reply.len, 0 };
		/* session_reply() only reads it */
		memcpy(&b.data, &reply.data, sizeof(b.data));
		session_reply(f, s, get64(r), &b);
		s->used_ms = get_time(r);
		if (s->used_ms > clock)
			r->bad = true;
	}
}

static bool
load(struct fsm *f, const unsigned char *p, size_t len)
{
	struct reader r = { p + SNAP_HEAD, len - SNAP_HEAD, false };
	uint64_t history, records;

	f->clock = (int64_t)le_get64(p + 16);
	f->rev = le_get64(p + 24);
	f->token = le_get64(p + 32);
	f->batches = le_get64(p + 40);
	f->digest = le_get64(p + 48);
	history = le_get64(p + 80);
	records = le_get64(p + 96);
	f->next_record = le_get64(p + 88) + records;
	/* Numbers have no holes: history ends at the last revision. */
	if ((uint64_t)f->clock > CLOCK_MAX || f->rev > INT64_MAX || f->token > INT64_MAX ||
	    history > len || records > len || f->next_record > INT64_MAX ||
	    le_get64(p + 88) == 0 || le_get64(p + 72) == 0 ||
	    le_get64(p + 72) + history != f->rev + 1)
		return false;
	load_keys(f, &r, le_get64(p + 56));
	load_locks(f, &r, le_get64(p + 64));
	load_ring(f, &f->history, &r, le_get64(p + 72), history, true);
	load_ring(f, &f->records, &r, le_get64(p + 88), records, false);
	load_sessions(f, &r, le_get64(p + 104));
	return !r.bad && r.left == 0;
}

int
fsm_load(struct fsm *f, const void *data, size_t len)
{
	const unsigned char *p = data;
	struct fsm *new;
	struct fsm old;

	if (len < SNAP_HEAD || le_get32(p) != SNAP_MAGIC ||
	    le_get64(p + 8) != len ||
	    hash64(p + 8, len - 8, 0) >> 32 != le_get32(p + 4)) {
		errno = EBADMSG;
		return -1;
	}
	if (fsm_open(&new, &f->limits) == -1)
		return -1;
	if (!load(new, p, len)) {
		errno = new->failed ? ENOMEM : EBADMSG;
		fsm_close(new);
		return -1;
	}
	/* Lists with a head in the struct cannot be copied: mend the ends. */
	old = *f;
	*f = *new;
	*new = old;
	session_moved(f);
	session_moved(new);
	fsm_close(new);
	return 0;
}
