/*
 * fsm: the state that raftnode replicates: keys with revisions and TTLs, locks
 * with fencing tokens, a log of records, and the sessions that make a repeated
 * request apply once.
 *
 * Source:  Ongaro's dissertation, 6.3 (sessions); LogCabin's cluster clock.
 * Layout:  raft-wire(5) describes commands, log entries and snapshots.
 * Rules:   deterministic: the same entries give the same state, replies and
 *          digest everywhere, also through a snapshot.  Time is what the
 *          entries say it is; things expire only when an entry is applied.
 * Units:   times and TTLs in milliseconds of the cluster clock; sizes in bytes.
 * Errors:  0, or -1 with errno: EBADMSG: not an entry or snapshot (nothing
 *          changed); ENOMEM: the state may be half changed, give it up.
 * Threads: one at a time.
 */
#ifndef LIB_FSM_H
#define LIB_FSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "resp.h"

#define FSM_KEY_MAX	65536		/* bytes of a key */
#define FSM_VALUE_MAX	1048576		/* of a value or a record */
#define FSM_NAME_MAX	1024		/* of a lock's name, owner or value */
#define FSM_CLIENT_MAX	128		/* of a session's name */
#define FSM_TTL_MAX	INT64_C(1000000000000)

struct fsm;

/* All nodes must have the same ones: they decide what commands answer. */
struct fsm_limits {
	uint64_t state_bytes;	/* keys, values, locks; then -NOSPACE */
	uint64_t watch_bytes;	/* history for RWATCH */
	uint64_t tail_bytes;	/* records for TAIL */
	size_t watch_cnt;	/* revisions of history */
	size_t session_cnt;
	int64_t session_ms;	/* an idle session ends */
};

struct fsm_info {
	int64_t clock_ms;
	uint64_t rev;		/* of the last change */
	uint64_t keys, locks, sessions;
	uint64_t bytes;		/* that count towards state_bytes */
	uint64_t token;		/* the last fencing token given */
	uint64_t watch_first;	/* oldest revision in the history */
	uint64_t tail_first, tail_next;
	uint64_t batches;	/* entries applied since the beginning */
	uint64_t digest;	/* of all of them */
};

int	fsm_open(struct fsm **fp, const struct fsm_limits *limits); /* or NULL */
void	fsm_close(struct fsm *f);
void	fsm_info(const struct fsm *f, struct fsm_info *info);

/* When something expires next, or INT64_MAX: then an entry is wanted. */
int64_t	fsm_next_due(const struct fsm *f);

enum fsm_kind {
	FSM_NOTMINE,		/* no such command */
	FSM_MISUSED,		/* wrong number of arguments */
	FSM_READ,		/* fsm_read() answers */
	FSM_WRITE,		/* goes through the log */
	FSM_WAIT,		/* fsm_wait() answers, sooner or later */
	FSM_INNER,		/* never told: no client's business */
};

enum fsm_kind	fsm_kind(const struct resp_arg *argv, size_t argc);

/*
 * A command against the quota: may it add bytes?  Deletions, unlocks and
 * renewals may go on when a disk is nearly full.
 */
bool	fsm_grows(const struct resp_arg *argv);

/* Append the reply; argv is one that fsm_kind() calls FSM_READ. */
int	fsm_read(struct fsm *f, const struct resp_arg *argv, size_t argc,
	    struct buf *out);

/*
 * For FSM_WAIT: 1 the reply is in out, 0 not yet, ask again when something was
 * applied, -1.  *cursor is 0 the first time and remembers how far we looked.
 * last: time is up, answer now.
 */
int	fsm_wait(struct fsm *f, const struct resp_arg *argv, size_t argc,
	    uint64_t *cursor, bool last, struct buf *out);
int64_t	fsm_wait_ms(const struct resp_arg *argv, size_t argc);

/* --- log entries ----------------------------------------------------------- */

struct fsm_batch {
	struct buf b;
	uint32_t count;
};

/*
 * An empty batch may be ended too; it moves the clock.  client: "" for a
 * command that is not part of a session.  After fsm_batch_end() the bytes in
 * b.data, a multiple of 8, are the entry and may be taken away (free(3)).
 */
int	fsm_batch_add(struct fsm_batch *batch, const void *client,
	    size_t client_len, uint64_t seq, const struct resp_arg *argv,
	    size_t argc);
int	fsm_batch_end(struct fsm_batch *batch, int64_t clock_ms,
	    uint64_t origin);
size_t	fsm_batch_size(const struct fsm_batch *batch);
uint64_t	fsm_entry_origin(const void *entry, size_t len); /* 0: none */

/* Called once a command, in order; the reply is gone after the call. */
typedef void fsm_reply_fn(void *arg, const void *reply, size_t len);

/* Apply an entry; reply may be NULL. */
int	fsm_apply(struct fsm *f, const void *entry, size_t len,
	    fsm_reply_fn *reply, void *arg);

/*
 * The command, without arguments, with which a cluster that lost a majority
 * begins again: revisions, tokens and numbers of records go up by this much,
 * so that none is given a second time; the history of changes is emptied.
 */
#define FSM_RECOVERED		"RECOVERED"
#define FSM_RECOVERED_JUMP	UINT64_C(1000000000)

/* --- snapshots --------------------------------------------------------------- */

int	fsm_save(struct fsm *f, struct buf *out);
/* Replace all state; after EBADMSG it is as before. */
int	fsm_load(struct fsm *f, const void *data, size_t len);

#endif /* LIB_FSM_H */
