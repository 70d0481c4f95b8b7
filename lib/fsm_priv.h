/* fsm_priv: the inside of fsm, shared by its files. */
#ifndef LIB_FSM_PRIV_H
#define LIB_FSM_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "buf.h"
#include "fsm.h"
#include "resp.h"

/* tree.h's functions, of which a file needs some; cppcheck finds no tree.h. */
#define TREE(name, type, field, cmp) RB_GENERATE_INTERNAL(name, type, field, \
	cmp, static __attribute__((unused)))

/* Immutable bytes that several places may hold. */
struct blob {
	uint32_t refs;
	uint32_t len;
	unsigned char data[];
};

struct blob	*blob_new(struct fsm *f, const void *data, size_t len);
struct blob	*blob_ref(struct blob *b);
void		blob_drop(struct blob *b);	/* NULL is allowed */
int		blob_cmp(const struct blob *a, const struct blob *b);

/*
 * What expires, in an order that is the same on every node: by time, then
 * keys before locks, then by name.
 */
enum due_kind { DUE_KEY, DUE_MEMBER };

struct due {
	RB_ENTRY(due) node;
	int64_t at;		/* 0: does not expire, not in the tree */
	enum due_kind kind;
	const struct blob *name, *sub;
};

RB_HEAD(due_tree, due);

void	due_set(struct fsm *f, struct due *d, int64_t at);	/* 0: never */

struct key {
	RB_ENTRY(key) node;
	struct blob *name, *value;
	uint64_t create_rev, mod_rev;
	struct due due;
};

RB_HEAD(key_tree, key);

/* The first member holds the lock, the others wait in order. */
struct member {
	TAILQ_ENTRY(member) entry;
	struct lock_name *lock;
	struct blob *owner, *value;
	uint64_t token;		/* 0: waits */
	int64_t ttl;
	struct due due;
};

struct lock_name {
	RB_ENTRY(lock_name) node;
	struct blob *name;
	TAILQ_HEAD(member_list, member) members;
};

RB_HEAD(lock_tree, lock_name);

struct session {
	RB_ENTRY(session) node;
	TAILQ_ENTRY(session) used;	/* least recently used first */
	struct blob *client, *reply;
	uint64_t seq;
	int64_t used_ms;
};

RB_HEAD(session_tree, session);
TAILQ_HEAD(session_list, session);

/* The last items of a numbered sequence: history and records. */
struct item {
	uint64_t num;
	char kind;		/* 'p' put, 'd' del, 'e' expire, 'r' record */
	struct blob *key, *value;
};

struct ring {
	struct item *items;
	size_t cap, head, cnt;
	uint64_t bytes;
	uint64_t first;		/* the oldest number that is still here */
};

struct fsm {
	struct fsm_limits limits;
	struct key_tree keys;
	struct lock_tree locks;
	struct due_tree dues;
	struct session_tree sessions;
	struct session_list used;
	struct ring history, records;
	int64_t clock;
	uint64_t rev, token, next_record;
	uint64_t key_cnt, lock_cnt, session_cnt, bytes;
	uint64_t batches, digest;
	struct buf reply;	/* of the command being applied */
	bool failed;		/* out of memory: the state is not to be used */
};

/* Fixed costs, so that many small things also reach the quota. */
#define KEY_COST	96
#define CLOCK_MAX	((uint64_t)INT64_MAX / 2)	/* now + TTL fits */
#define MEMBER_COST	160

void	*fsm_alloc(struct fsm *f, size_t size);
void	fsm_error(struct fsm *f, struct buf *out, const char *text);
bool	fsm_word(const struct resp_arg *arg, const char *word);
bool	fsm_number(const struct resp_arg *arg, int64_t min, int64_t max,
	    int64_t *v);
bool	fsm_put(struct fsm *f, int rc);	/* note a failed append */
bool	fsm_full(struct fsm *f, uint64_t more, struct buf *out);

typedef void fsm_fn(struct fsm *, const struct resp_arg *, size_t,
    struct buf *);
typedef int fsm_wait_fn(struct fsm *, const struct resp_arg *, size_t,
    uint64_t *, bool, struct buf *);

/* fsm_key.c */
fsm_fn	key_set, key_mset, key_del, key_delif, key_incr, key_expire,
	key_persist;
struct key	*key_find(struct fsm *f, const struct resp_arg *name);
struct key	*key_load(struct fsm *f, const struct resp_arg *name,
		    const struct resp_arg *value);
void	key_expired(struct fsm *f, struct due *d);
void	key_free_all(struct fsm *f);
struct key	*key_first(struct fsm *f);
struct key	*key_from(struct fsm *f, const struct resp_arg *name);
struct key	*key_next(struct key *k);

/* fsm_read.c */
fsm_fn	read_get, read_getrev, read_mget, read_exists, read_ttl, read_keys,
	read_scan, read_list, read_dbsize, read_type, read_strlen, read_revision, read_records;

/* fsm_lock.c */
fsm_fn	lock_lock, lock_unlock, lock_keepalive, lock_elect, lock_holder,
	lock_list;
fsm_wait_fn	lock_wait;
struct member	*lock_load(struct fsm *f, const struct resp_arg *name,
		    const struct resp_arg *owner, const struct resp_arg *value);
struct member	*lock_member(struct fsm *f, const struct resp_arg *name,
		    const struct resp_arg *owner);
struct lock_name	*lock_first(struct fsm *f);
struct lock_name	*lock_next(struct lock_name *l);
bool	lock_fenced(struct fsm *f, const struct resp_arg *fence,
	    struct buf *out);
void	member_expired(struct fsm *f, struct due *d);
void	lock_free_all(struct fsm *f);

/* fsm_ring.c */
fsm_fn	ring_propose, ring_recovered;
fsm_wait_fn	ring_watch, ring_tail;
void	ring_add(struct fsm *f, struct ring *r, uint64_t num, char kind,
	    struct blob *key, struct blob *value);	/* takes references */
void	ring_trim(struct ring *r, size_t cnt, uint64_t bytes);
struct item	*ring_at(const struct ring *r, size_t i);
void	ring_free(struct ring *r);

/* fsm_session.c */
struct session	*session_find(struct fsm *f, const void *client, size_t len);
struct session	*session_get(struct fsm *f, const void *client, size_t len);
void	session_reply(struct fsm *f, struct session *s, uint64_t seq,
	    const struct buf *reply);
void	session_expire(struct fsm *f);
void	session_free_all(struct fsm *f);
void	session_moved(struct fsm *f);	/* *f was copied from elsewhere */


#endif /* LIB_FSM_PRIV_H */
