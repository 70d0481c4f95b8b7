/* fsm_key: keys, their revisions and TTLs; every change makes history. */

#include <stdlib.h>
#include <string.h>

#include "fsm_priv.h"

static int
key_cmp(const struct key *a, const struct key *b)
{
	return blob_cmp(a->name, b->name);
}

/* cppcheck-suppress unknownMacro */
TREE(key_tree, key, node, key_cmp)

/* Compare as blob_cmp() does, without making a blob. */
static int
name_cmp(const struct resp_arg *a, const struct blob *b)
{
	int c = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

	if (c != 0)
		return c;
	return a->len < b->len ? -1 : a->len > b->len;
}

struct key *
key_find(struct fsm *f, const struct resp_arg *name)
{
	struct key *k = RB_ROOT(&f->keys);
	int c;

	while (k != NULL && (c = name_cmp(name, k->name)) != 0)
		k = c < 0 ? RB_LEFT(k, node) : RB_RIGHT(k, node);
	return k;
}

/* The first key that is not before name. */
struct key *
key_from(struct fsm *f, const struct resp_arg *name)
{
	struct key *k = RB_ROOT(&f->keys), *best = NULL;

	while (k != NULL) {
		if (name_cmp(name, k->name) <= 0) {
			best = k;
			k = RB_LEFT(k, node);
		} else {
			k = RB_RIGHT(k, node);
		}
	}
	return best;
}

struct key *
key_first(struct fsm *f)
{
	return RB_MIN(key_tree, &f->keys);
}

struct key *
key_next(struct key *k)
{
	return RB_NEXT(key_tree, NULL, k);
}

static uint64_t
cost(const struct key *k)
{
	return KEY_COST + k->name->len + k->value->len;
}

static void
key_free(struct key *k)
{
	blob_drop(k->name);
	blob_drop(k->value);
	free(k);
}

struct key *
key_load(struct fsm *f, const struct resp_arg *name,
    const struct resp_arg *value)
{
	struct key *k = fsm_alloc(f, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->name = blob_new(f, name->data, name->len);
	k->value = blob_new(f, value->data, value->len);
	if (k->name == NULL || k->value == NULL) {
		key_free(k);
		return NULL;
	}
	k->due.kind = DUE_KEY;
	k->due.name = k->name;
	if (RB_INSERT(key_tree, &f->keys, k) != NULL) {
		key_free(k);
		return NULL;
	}
	f->key_cnt++;
	f->bytes += cost(k);
	return k;
}

static void
remember(struct fsm *f, char kind, struct key *k)
{
	ring_add(f, &f->history, f->rev, kind, blob_ref(k->name),
	    kind == 'p' ? blob_ref(k->value) : NULL);
	ring_trim(&f->history, f->limits.watch_cnt, f->limits.watch_bytes);
}

static void
drop(struct fsm *f, struct key *k, char kind)
{
	f->rev++;
	remember(f, kind, k);
	due_set(f, &k->due, 0);
	(void)RB_REMOVE(key_tree, &f->keys, k);
	f->key_cnt--;
	f->bytes -= cost(k);
	key_free(k);
}

void
key_expired(struct fsm *f, struct due *d)
{
	/* due is a member of key */
	drop(f, (struct key *)(void *)((char *)d - offsetof(struct key, due)),
	    'e');
}

void
key_free_all(struct fsm *f)
{
	struct key *k;

	while ((k = RB_ROOT(&f->keys)) != NULL) {
		if (k->due.at != 0)
			due_set(f, &k->due, 0);
		(void)RB_REMOVE(key_tree, &f->keys, k);
		key_free(k);
	}
}

static bool
too_big(struct fsm *f, const struct resp_arg *name,
    const struct resp_arg *value, struct buf *out)
{
	if (name->len > FSM_KEY_MAX)
		fsm_error(f, out, "TOOBIG a key has at most 65536 bytes");
	else if (value != NULL && value->len > FSM_VALUE_MAX)
		fsm_error(f, out, "TOOBIG a value has at most 1048576 bytes");
	else
		return false;
	return true;
}

/* The caller has checked sizes and quota. */
static struct key *
put(struct fsm *f, const struct resp_arg *name, const struct resp_arg *value)
{
	struct key *k = key_find(f, name);
	struct blob *b;

	f->rev++;
	if (k == NULL) {
		if ((k = key_load(f, name, value)) == NULL)
			return NULL;
		k->create_rev = f->rev;
	} else {
		if ((b = blob_new(f, value->data, value->len)) == NULL)
			return NULL;
		f->bytes = f->bytes - k->value->len + b->len;
		blob_drop(k->value);
		k->value = b;
	}
	k->mod_rev = f->rev;
	remember(f, 'p', k);
	return k;
}

/* What a change may ask for. */
struct terms {
	bool absent, present, keep_ttl;
	const struct resp_arg *if_value, *if_rev, *fence;
	uint64_t rev;
	int64_t ttl;
};

static bool
read_ttl_arg(const struct resp_arg *arg, int64_t unit, int64_t *ttl)
{
	return fsm_number(arg, 1, FSM_TTL_MAX / unit, ttl) &&
	    !__builtin_mul_overflow(*ttl, unit, ttl);
}

static bool
read_terms(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct terms *t, struct buf *out)
{
	const char *why = "ERR syntax error";
	size_t i;
	int64_t n;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < argc; i++) {
		bool more = i + 1 < argc;

		if (fsm_word(&argv[i], "NX")) {
			t->absent = true;
		} else if (fsm_word(&argv[i], "XX")) {
			t->present = true;
		} else if (fsm_word(&argv[i], "KEEPTTL")) {
			t->keep_ttl = true;
		} else if (more && fsm_word(&argv[i], "IFEQ")) {
			t->if_value = &argv[++i];
		} else if (more && fsm_word(&argv[i], "FENCE")) {
			t->fence = &argv[++i];
		} else if (more && fsm_word(&argv[i], "IFREV")) {
			t->if_rev = &argv[++i];
			if (!fsm_number(t->if_rev, 0, INT64_MAX, &n))
				goto bad;
			t->rev = (uint64_t)n;
		} else if (more && (fsm_word(&argv[i], "EX") ||
		    fsm_word(&argv[i], "PX"))) {
			why = "ERR invalid expire time in 'set' command";
			if (!read_ttl_arg(&argv[i + 1],
			    fsm_word(&argv[i], "EX") ? 1000 : 1, &t->ttl))
				goto bad;
			why = "ERR syntax error";
			i++;
		} else {
			goto bad;
		}
	}
	if ((t->absent && t->present) || (t->keep_ttl && t->ttl != 0))
		goto bad;
	return true;
bad:
	fsm_error(f, out, why);
	return false;
}

/* IFREV 0 means: absent. */
static bool
holds(const struct terms *t, const struct key *k)
{
	if (t->absent && k != NULL)
		return false;
	if (t->present && k == NULL)
		return false;
	if (t->if_rev != NULL && t->rev != (k == NULL ? 0 : k->mod_rev))
		return false;
	if (t->if_value != NULL &&
	    (k == NULL || name_cmp(t->if_value, k->value) != 0))
		return false;
	return true;
}

/* SET key value [NX|XX] [EX s|PX ms|KEEPTTL] [IFEQ v] [IFREV n] [FENCE l:t] */
void
key_set(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	const struct resp_arg *name = &argv[1], *value = &argv[2];
	struct terms t;
	struct key *k;

	if (!read_terms(f, argv + 3, argc - 3, &t, out) ||
	    too_big(f, name, value, out))
		return;
	if (t.fence != NULL && !lock_fenced(f, t.fence, out))
		return;
	k = key_find(f, name);
	if (!holds(&t, k)) {
		(void)fsm_put(f, resp_nil(out));
		return;
	}
	/* Smaller than before is always allowed. */
	if ((k == NULL || value->len > k->value->len) && fsm_full(f,
	    k == NULL ? KEY_COST + name->len + value->len :
	    value->len - k->value->len, out))
		return;
	if ((k = put(f, name, value)) == NULL)
		return;
	if (t.ttl != 0)
		due_set(f, &k->due, f->clock + t.ttl);
	else if (!t.keep_ttl)
		due_set(f, &k->due, 0);
	(void)fsm_put(f, buf_put(out, "+OK\r\n", 5));
}

void
key_mset(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	uint64_t more = 0;
	struct key *k;
	size_t i;

	if (argc % 2 == 0) {
		fsm_error(f, out,
		    "ERR wrong number of arguments for 'mset' command");
		return;
	}
	for (i = 1; i < argc; i += 2) {
		if (too_big(f, &argv[i], &argv[i + 1], out))
			return;
		more += KEY_COST + argv[i].len + argv[i + 1].len;
	}
	if (fsm_full(f, more, out))
		return;
	for (i = 1; i < argc; i += 2) {
		if ((k = put(f, &argv[i], &argv[i + 1])) == NULL)
			return;
		due_set(f, &k->due, 0);
	}
	(void)fsm_put(f, buf_put(out, "+OK\r\n", 5));
}

void
key_del(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct key *k;
	int64_t n = 0;
	size_t i;

	for (i = 1; i < argc; i++) {
		if ((k = key_find(f, &argv[i])) == NULL)
			continue;
		drop(f, k, 'd');
		n++;
	}
	(void)fsm_put(f, resp_int(out, n));
}

/* DELIF key [IFEQ v] [IFREV n] [FENCE lock:token] */
void
key_delif(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct terms t;
	struct key *k;

	if (!read_terms(f, argv + 2, argc - 2, &t, out))
		return;
	if (t.absent || t.present || t.keep_ttl || t.ttl != 0) {
		fsm_error(f, out, "ERR syntax error");
		return;
	}
	if (t.fence != NULL && !lock_fenced(f, t.fence, out))
		return;
	k = key_find(f, &argv[1]);
	if (k == NULL || !holds(&t, k)) {
		(void)fsm_put(f, resp_int(out, 0));
		return;
	}
	drop(f, k, 'd');
	(void)fsm_put(f, resp_int(out, 1));
}

/* INCR key, DECR key, INCRBY key n, DECRBY key n; the TTL stays. */
void
key_incr(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	bool down = fsm_word(&argv[0], "DECR") || fsm_word(&argv[0], "DECRBY");
	struct resp_arg value;
	struct key *k;
	int64_t n = 0, by = 1;
	char text[24];

	if (too_big(f, &argv[1], NULL, out))
		return;
	if ((k = key_find(f, &argv[1])) != NULL) {
		value = (struct resp_arg){ k->value->data, k->value->len };
		if (!fsm_number(&value, INT64_MIN, INT64_MAX, &n))
			goto bad;
	}
	if (argc == 3 && !fsm_number(&argv[2], -INT64_MAX, INT64_MAX, &by))
		goto bad;
	if (__builtin_add_overflow(n, down ? -by : by, &n)) {
		fsm_error(f, out,
		    "ERR increment or decrement would overflow");
		return;
	}
	if (k == NULL && fsm_full(f, KEY_COST + argv[1].len, out))
		return;
	value.data = (const unsigned char *)text;
	value.len = (size_t)snprintf(text, sizeof(text), "%lld", (long long)n);
	if (put(f, &argv[1], &value) != NULL)
		(void)fsm_put(f, resp_int(out, n));
	return;
bad:
	fsm_error(f, out, "ERR value is not an integer or out of range");
}

/* EXPIRE key s, PEXPIRE key ms; a time that is over deletes. */
void
key_expire(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	int64_t unit = fsm_word(&argv[0], "EXPIRE") ? 1000 : 1, n;
	struct key *k;

	(void)argc;
	if (!fsm_number(&argv[2], -FSM_TTL_MAX, FSM_TTL_MAX / unit, &n)) {
		fsm_error(f, out,
		    "ERR value is not an integer or out of range");
		return;
	}
	if ((k = key_find(f, &argv[1])) == NULL) {
		(void)fsm_put(f, resp_int(out, 0));
		return;
	}
	if (n <= 0)
		drop(f, k, 'e');
	else
		due_set(f, &k->due, f->clock + n * unit);
	(void)fsm_put(f, resp_int(out, 1));
}

void
key_persist(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct key *k = key_find(f, &argv[1]);
	bool had = k != NULL && k->due.at != 0;

	(void)argc;
	if (had)
		due_set(f, &k->due, 0);
	(void)fsm_put(f, resp_int(out, had));
}
