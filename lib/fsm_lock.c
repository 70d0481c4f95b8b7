/*
 * fsm_lock: locks as queues.  The first member holds, the others wait in the
 * order in which they came; all of them have a lease, and a lease that ended
 * takes its member out before anybody is granted anything.
 */

#include <stdlib.h>
#include <string.h>

#include "fsm_priv.h"

static int
lock_cmp(const struct lock_name *a, const struct lock_name *b)
{
	return blob_cmp(a->name, b->name);
}

/* cppcheck-suppress unknownMacro */
TREE(lock_tree, lock_name, node, lock_cmp)

static bool
same(const struct resp_arg *a, const struct blob *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static struct lock_name *
find(struct fsm *f, const struct resp_arg *name)
{
	struct lock_name *l = RB_ROOT(&f->locks);
	int c;

	while (l != NULL) {
		size_t n = name->len < l->name->len ? name->len : l->name->len;

		if ((c = memcmp(name->data, l->name->data, n)) == 0)
			c = name->len < l->name->len ? -1 :
			    name->len > l->name->len;
		if (c == 0)
			break;
		l = c < 0 ? RB_LEFT(l, node) : RB_RIGHT(l, node);
	}
	return l;
}

static struct member *
member_of(struct lock_name *l, const struct resp_arg *owner)
{
	struct member *m;

	TAILQ_FOREACH(m, &l->members, entry)
		if (same(owner, m->owner))
			return m;
	return NULL;
}

struct member *
lock_member(struct fsm *f, const struct resp_arg *name,
    const struct resp_arg *owner)
{
	struct lock_name *l = find(f, name);

	return l == NULL ? NULL : member_of(l, owner);
}

struct lock_name *
lock_first(struct fsm *f)
{
	return RB_MIN(lock_tree, &f->locks);
}

struct lock_name *
lock_next(struct lock_name *l)
{
	return RB_NEXT(lock_tree, NULL, l);
}

static uint64_t
cost(const struct member *m)
{
	return MEMBER_COST + m->owner->len + m->value->len;
}

static void
member_free(struct member *m)
{
	blob_drop(m->owner);
	blob_drop(m->value);
	free(m);
}

/* Append a member that waits, with its lock if that is new; no lease yet. */
struct member *
lock_load(struct fsm *f, const struct resp_arg *name,
    const struct resp_arg *owner, const struct resp_arg *value)
{
	struct lock_name *l = find(f, name);
	struct member *m = fsm_alloc(f, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->owner = blob_new(f, owner->data, owner->len);
	m->value = blob_new(f, value->data, value->len);
	if (m->owner == NULL || m->value == NULL)
		goto fail;
	if (l == NULL) {
		if ((l = fsm_alloc(f, sizeof(*l))) == NULL)
			goto fail;
		if ((l->name = blob_new(f, name->data, name->len)) == NULL) {
			free(l);
			goto fail;
		}
		TAILQ_INIT(&l->members);
		(void)RB_INSERT(lock_tree, &f->locks, l);
		f->lock_cnt++;
	}
	m->lock = l;
	m->due.kind = DUE_MEMBER;
	m->due.name = l->name;
	m->due.sub = m->owner;
	TAILQ_INSERT_TAIL(&l->members, m, entry);
	f->bytes += cost(m);
	return m;
fail:
	member_free(m);
	return NULL;
}

/* Whoever is first now holds the lock, from now on. */
static void
grant(struct fsm *f, struct lock_name *l)
{
	struct member *m = TAILQ_FIRST(&l->members);

	if (m == NULL) {
		(void)RB_REMOVE(lock_tree, &f->locks, l);
		f->lock_cnt--;
		blob_drop(l->name);
		free(l);
	} else if (m->token == 0) {
		m->token = ++f->token;
		due_set(f, &m->due, f->clock + m->ttl);
	}
}

static void
leave(struct fsm *f, struct member *m)
{
	struct lock_name *l = m->lock;

	due_set(f, &m->due, 0);
	TAILQ_REMOVE(&l->members, m, entry);
	f->bytes -= cost(m);
	member_free(m);
	/* One that is due as well is not granted: it leaves on its own turn. */
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): m is out of the list */
	while ((m = TAILQ_FIRST(&l->members)) != NULL && m->due.at != 0 &&
	    m->due.at <= f->clock) {
		due_set(f, &m->due, 0);
		TAILQ_REMOVE(&l->members, m, entry);
		f->bytes -= cost(m);
		member_free(m);
	}
	grant(f, l);
}

void
member_expired(struct fsm *f, struct due *d)
{
	leave(f, (struct member *)(void *)((char *)d -
	    offsetof(struct member, due)));
}

void
lock_free_all(struct fsm *f)
{
	struct lock_name *l;
	struct member *m;

	while ((l = RB_ROOT(&f->locks)) != NULL) {
		while ((m = TAILQ_FIRST(&l->members)) != NULL) {
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
			if (m->due.at != 0)
				due_set(f, &m->due, 0);
			TAILQ_REMOVE(&l->members, m, entry);
			member_free(m);
		}
		(void)RB_REMOVE(lock_tree, &f->locks, l);
		blob_drop(l->name);
		free(l);
	}
}

/* Does LOCK:TOKEN name the present holder? */
bool
lock_fenced(struct fsm *f, const struct resp_arg *fence, struct buf *out)
{
	struct resp_arg name = *fence, token;
	struct lock_name *l;
	struct member *m;
	size_t i = fence->len;
	int64_t n;

	while (i > 0 && fence->data[i - 1] != ':')
		i--;
	if (i == 0) {
		fsm_error(f, out, "ERR a fence is LOCK:TOKEN");
		return false;
	}
	name.len = i - 1;
	token = (struct resp_arg){ fence->data + i, fence->len - i };
	if (!fsm_number(&token, 1, INT64_MAX, &n)) {
		fsm_error(f, out, "ERR a fence is LOCK:TOKEN");
		return false;
	}
	if ((l = find(f, &name)) == NULL ||
	    (m = TAILQ_FIRST(&l->members)) == NULL ||
	    m->token != (uint64_t)n) {
		fsm_error(f, out, "FENCED the token is not the holder's");
		return false;
	}
	return true;
}

static void
take(struct fsm *f, const struct resp_arg *argv, const struct resp_arg *value,
    bool wait, struct buf *out)
{
	struct lock_name *l;
	struct member *m = NULL;
	int64_t ttl;

	if (!fsm_number(&argv[3], 1, FSM_TTL_MAX, &ttl)) {
		fsm_error(f, out, "ERR the TTL is in milliseconds");
		return;
	}
	if (argv[1].len > FSM_NAME_MAX || argv[2].len > FSM_NAME_MAX ||
	    value->len > FSM_NAME_MAX) {
		fsm_error(f, out, "TOOBIG names have at most 1024 bytes");
		return;
	}
	if ((l = find(f, &argv[1])) != NULL)
		m = member_of(l, &argv[2]);
	if (m == NULL) {
		if (l != NULL && !wait) {
			(void)fsm_put(f, resp_nil(out));
			return;
		}
		if (fsm_full(f, MEMBER_COST + argv[2].len + value->len, out) ||
		    (m = lock_load(f, &argv[1], &argv[2], value)) == NULL)
			return;
	}
	m->ttl = ttl;
	due_set(f, &m->due, f->clock + ttl);
	grant(f, m->lock);
	(void)fsm_put(f, resp_int(out, (int64_t)m->token));
}

/* LOCK name owner ttl [NOWAIT] [VALUE text]: token, 0 queued, nil not got */
void
lock_lock(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct resp_arg value = { (const unsigned char *)"", 0 };
	bool wait = true;
	size_t i;

	for (i = 4; i < argc; i++) {
		if (fsm_word(&argv[i], "NOWAIT")) {
			wait = false;
		} else if (fsm_word(&argv[i], "VALUE") && i + 1 < argc) {
			value = argv[++i];
		} else {
			fsm_error(f, out, "ERR syntax error");
			return;
		}
	}
	take(f, argv, &value, wait, out);
}

/* ELECT name owner ttl value [NOWAIT] */
void
lock_elect(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	if (argc == 6 && !fsm_word(&argv[5], "NOWAIT")) {
		fsm_error(f, out, "ERR syntax error");
		return;
	}
	take(f, argv, &argv[4], argc == 5, out);
}

/* UNLOCK name owner, RESIGN name owner: 1, or 0 if it was neither */
void
lock_unlock(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct member *m = lock_member(f, &argv[1], &argv[2]);

	(void)argc;
	if (m != NULL)
		leave(f, m);
	(void)fsm_put(f, resp_int(out, m != NULL));
}

static void
standing(struct fsm *f, const struct member *m, struct buf *out)
{
	if (m == NULL)
		(void)fsm_put(f, resp_nil(out));
	else
		(void)fsm_put(f, resp_int(out, (int64_t)m->token));
}

/* KEEPALIVE name owner: token, 0 still waiting, nil lost */
void
lock_keepalive(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct member *m = lock_member(f, &argv[1], &argv[2]);

	(void)argc;
	if (m != NULL)
		due_set(f, &m->due, f->clock + m->ttl);
	standing(f, m, out);
}

/* LOCKWAIT name owner ms: as KEEPALIVE, once it is not 0 or time is up */
int
lock_wait(struct fsm *f, const struct resp_arg *argv, size_t argc,
    uint64_t *cursor, bool last, struct buf *out)
{
	struct member *m = lock_member(f, &argv[1], &argv[2]);

	(void)argc;
	(void)cursor;
	if (m != NULL && m->token == 0 && !last)
		return 0;
	standing(f, m, out);
	return 1;
}

static size_t
waiting(const struct lock_name *l)
{
	const struct member *m;
	size_t n = 0;

	TAILQ_FOREACH(m, &l->members, entry)
		n++;
	return n - 1;
}

static void
show(struct fsm *f, const struct lock_name *l, struct buf *out)
{
	const struct member *m = TAILQ_FIRST(&l->members);

	if (fsm_put(f, resp_array(out, 6)) &&
	    fsm_put(f, resp_bulk(out, l->name->data, l->name->len)) &&
	    fsm_put(f, resp_bulk(out, m->owner->data, m->owner->len)) &&
	    fsm_put(f, resp_int(out, (int64_t)m->token)) &&
	    fsm_put(f, resp_bulk(out, m->value->data, m->value->len)) &&
	    fsm_put(f, resp_int(out, m->due.at - f->clock)))
		(void)fsm_put(f, resp_int(out, (int64_t)waiting(l)));
}

/* HOLDER name: [name, owner, token, value, ms left, waiting], or nil */
void
lock_holder(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct lock_name *l = find(f, &argv[1]);

	(void)argc;
	if (l == NULL)
		(void)fsm_put(f, buf_put(out, "*-1\r\n", 5));
	else
		show(f, l, out);
}

void
lock_list(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct lock_name *l;

	(void)argv;
	(void)argc;
	if (!fsm_put(f, resp_array(out, f->lock_cnt)))
		return;
	RB_FOREACH(l, lock_tree, &f->locks)
		show(f, l, out);
}
