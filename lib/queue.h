/*
 * queue: a durable queue of messages in one directory, used by any number of
 * processes at once without a daemon.
 *
 * Source:  dsqueue(5) for every byte on disk, and for the words: stored,
 *          waiting, ready, delayed, blocked, in flight, acknowledged, dead,
 *          finished, removed.
 * Layout:  DIR/queue (what was fixed at creation), log/ (messages), journal/
 *          (what consumers and administrators did), state/ (checkpoints of
 *          the journal), holders/ (a FIFO a consumer); index/ and control are
 *          derived and may be lost.
 * Units:   sizes in bytes; names ending _ns: nanoseconds; due_ns and ts_ns are
 *          wall clock since the epoch, struct mono is monotonic.
 * Errors:  0, or -1 with errno; never print, never exit.  exit_status() knows
 *          them all:
 *          ENOENT no such queue or group, or it was removed under us;
 *          ENOTDIR, EBADMSG not a queue, or damaged beyond use;
 *          EPROTONOSUPPORT made by a newer version; EOPNOTSUPP a network file
 *          system; ENOSPC, EDQUOT, EFBIG no room on disk (nothing was done);
 *          EAGAIN the queue is full; ESHUTDOWN it is closed for pushes;
 *          EMSGSIZE can never fit; EIO the disk failed; ESTALE the claim or
 *          receipt is no longer good; ETIMEDOUT a lock was held until the
 *          deadline of queue_patience(); ENOMEM.
 * Threads: one struct queue per thread; two of them in one process may be
 *          used at once only if one does nothing but queue_sync().
 * fork:    a child calls nothing of this before exec.
 */
#ifndef LIB_QUEUE_H
#define LIB_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "clock.h"

#define QUEUE_KEY_MAX		65536U		/* bytes in a key or an id */
#define QUEUE_MESSAGE_MAX	(UINT32_C(1) << 30)	/* largest max-message */
#define QUEUE_NAME_MAX		64U		/* bytes in a group's name */
#define QUEUE_PARTS_MAX		256U		/* n of -p i/n */
#define QUEUE_ID_MAX		64U		/* a default id, with its NUL */
#define QUEUE_RECEIPT_MAX	96U		/* a receipt, with its NUL */
#define QUEUE_OUTPUT_MAX	4096U		/* of stderr, kept for the dead */

struct queue;

/* --- making and opening -------------------------------------------------- */

struct queue_create {
	mode_t mode;			/* of files; directories get x as well */
	gid_t gid;			/* (gid_t)-1: the creator's */
	uint64_t segment;		/* bytes of a segment, 0: the default */
	const char *groups;		/* "a,b"; NULL: "main" */
	bool force_fs;			/* on a network file system all the same */
};

/* Make the queue; EEXIST if there is one.  NULL: all defaults. */
int	queue_create(const char *path, const struct queue_create *how);

enum queue_mode {
	QUEUE_READ,			/* look only: qdepth; needs no write access */
	QUEUE_USE,			/* push, pop, administer */
};

/* Called once a second or so while `what` is held by process pid. */
typedef void (*queue_slow)(void *arg, const char *what, pid_t pid);

int	queue_open(struct queue **qp, const char *path, enum queue_mode mode,
	    queue_slow slow, void *slow_arg);
void	queue_close(struct queue *q);		/* NULL is allowed */

/* Give up on a lock at the deadline, with ETIMEDOUT; at first MONO_NEVER. */
void	queue_patience(struct queue *q, struct mono deadline);

int	queue_remove(const char *path);		/* with all it holds */

const char *queue_id(const struct queue *q);	/* 32 hex digits */

/* --- attributes ------------------------------------------------------------ */

struct queue_limits {
	uint64_t max_messages;		/* 0: none */
	uint64_t max_bytes;		/* 0: none */
	uint64_t max_message;
	uint64_t max_per_key;		/* 0: none */
	uint64_t dedup_count;
	int64_t dedup_ns;
	int64_t retain_ns;		/* keep acknowledged messages; 0: no */
	uint64_t retain_bytes;
	uint64_t tries;			/* 0: no limit */
	int64_t backoff_ns;
	bool closed, paused;
};

void	queue_limits(struct queue *q, struct queue_limits *l);

/*
 * Set one attribute by its name in qctl(1), from text; durable on return.
 * max-messages max-bytes max-message max-per-key dedup-count dedup-time
 * retain (a duration or a size) tries backoff closed paused.
 * EINVAL: no such attribute, or not such a value.
 */
int	queue_set(struct queue *q, const char *name, const char *value);

/* Attribute number i as text: its name, or NULL behind the last. */
const char *queue_attribute(struct queue *q, size_t i, char *value,
	    size_t value_len);

/* --- pushing ----------------------------------------------------------------- */

struct queue_message {
	const void *payload;
	size_t payload_len;
	const void *key;		/* NULL: no key */
	size_t key_len;
	const void *id;			/* NULL: no id of the user's */
	size_t id_len;
	int64_t ts_ns;			/* when it was pushed; 0: now */
	int64_t due_ns;			/* not before; 0: at once */
	/* Only when read: */
	uint64_t seq;
	uint32_t epoch;
	uint32_t attempt;		/* 1 for the first time */
};

/* The id a message has without one of the user's; never used twice. */
void	queue_default_id(const struct queue *q, const struct queue_message *m,
	    char buf[QUEUE_ID_MAX]);

/* Messages on their way into the queue: one contiguous, growing batch. */
struct queue_batch {
	unsigned char *data;
	size_t len, cap;
	uint32_t count;
	uint32_t flags;
	uint64_t payload_bytes;
};

void	queue_batch_init(struct queue_batch *b);
void	queue_batch_release(struct queue_batch *b);
void	queue_batch_clear(struct queue_batch *b);	/* keeps the memory */

/*
 * Copies m.  EMSGSIZE: the batch or a key would be too large (max-message is
 * the caller's to compare); ENOMEM.
 */
int	queue_batch_add(struct queue_batch *b, const struct queue_message *m);

/*
 * For what finds no room as a whole: copy the first count messages of b, which
 * was not spoilt, to head (ENOMEM); remove them from b.
 */
int	queue_batch_head(const struct queue_batch *b, uint32_t count,
	    struct queue_batch *head);
void	queue_batch_drop(struct queue_batch *b, uint32_t count);

enum {
	QUEUE_PUSH_MORE = 1,		/* atomic with the batches that follow */
	QUEUE_PUSH_NOSYNC = 2,		/* visible before it is durable (-S) */
};

struct queue_pushed {
	uint64_t seq;			/* of the first message appended */
	uint64_t stored;		/* appended; the rest were duplicates */
	uint64_t end, lost_gen;		/* for queue_push_commit */
};

/*
 * Append the batch as a whole; b stays the caller's and is spoilt, except when
 * EAGAIN or ESHUTDOWN is returned: then nothing was done and it may be tried
 * again.  Messages whose id is within the window are dropped from it;
 * seqs, if not NULL, gets count numbers: of the original for a duplicate.
 * After a QUEUE_PUSH_MORE the queue stays locked for other producers until the
 * last batch, an error, or queue_push_abandon(); limits are checked batch by
 * batch, and ids and max-per-key are refused there with EOPNOTSUPP.
 */
int	queue_push(struct queue *q, struct queue_batch *b, int flags,
	    struct queue_pushed *out, uint64_t *seqs);
void	queue_push_abandon(struct queue *q);

/* 0: all of it, and the originals of duplicates, is on stable storage. */
int	queue_push_commit(struct queue *q, const struct queue_pushed *p);

/* How many messages could be appended now; UINT64_MAX: no limit. */
uint64_t queue_room(struct queue *q);

/* Say (on) and unsay that this producer waits for room; for qdepth -a. */
void	queue_waiting(struct queue *q, bool on);

/* --- taking -------------------------------------------------------------------- */

struct queue_extent {			/* messages that follow each other */
	uint64_t seq, count;
	uint64_t pos, end;		/* in the log */
	uint64_t kh;			/* hash of the key, 0: no key */
	uint32_t attempt;
};

struct queue_claim {
	uint64_t no;
	uint32_t group;
	uint32_t flags;
	uint64_t holder;
	int holder_fd;			/* inherit it to keep the claim; or -1 */
	struct queue_extent *extents;	/* ascending; owned by the claim */
	size_t extents_cnt, extents_cap;
	uint64_t messages;
	/* reading */
	size_t at;			/* extent */
	uint64_t at_seq, at_pos;
};

struct queue_take {
	uint64_t max_messages;
	uint64_t max_bytes;		/* at least one message is taken */
	unsigned int part, parts;	/* -p part/parts, from 1; 0: all */
	bool single;			/* at most one of a key */
	bool run;			/* counts an attempt; own holder FIFO */
	bool at_most_once;		/* acknowledged, durably, on return */
	uint64_t tries;			/* run: beyond it dead, not taken; 0 none */
	int64_t lease_ns;		/* > 0: no holder, until then */
};

int	queue_group(struct queue *q, const char *name, uint32_t *group);

/*
 * Take messages for this process: 1 and *claim, 0 if none can be taken now
 * (*again_ns: wall clock at which a delayed one is due, 0 if none is).
 * claim is initialised by it.  run gives the claim a holder of its own, whose
 * fd (close-on-exec here) a command inherits; otherwise the process's holder.
 * Nothing is given out while paused.
 */
int	queue_take(struct queue *q, uint32_t group,
	    const struct queue_take *how, struct queue_claim *claim,
	    int64_t *again_ns);

/* Memory and holder_fd; the messages stay taken while a holder lives. */
void	queue_claim_release(struct queue_claim *c);

/*
 * Read the claim's next message: 1, 0 after the last, -1.  m points into q
 * until the next call.  A damaged message is skipped (and counted there).
 */
int	queue_claim_next(struct queue *q, struct queue_claim *c,
	    struct queue_message *m);

/*
 * For streams: acknowledge all that queue_claim_next has returned but the last
 * `spare`, put the rest back.  ESTALE: an administrator ended the claim.
 */
int	queue_settle(struct queue *q, struct queue_claim *c, uint64_t spare);

enum queue_fate_kind {
	QUEUE_ACK,
	QUEUE_BACK,			/* its attempt does not count */
	QUEUE_RETRY,			/* not before due_ns */
	QUEUE_RETRY_UNCOUNTED,		/* the same, the attempt not counted */
	QUEUE_DIE,			/* dead, with the words below */
};

struct queue_fate {
	uint64_t seq;
	enum queue_fate_kind kind;
	int64_t due_ns;			/* wall clock; 0: at once */
	int status;			/* exit status, or -signal */
	const char *reason;		/* "tries", "rejected", ...; NULL */
	const void *output;		/* tail of stderr */
	size_t output_len;		/* cut to QUEUE_OUTPUT_MAX, from its end */
};

/*
 * Settle messages of the claim one by one; those not named stay taken.
 * ESTALE: all or some were ended by an administrator (the others are done).
 */
int	queue_settle_each(struct queue *q, struct queue_claim *c,
	    const struct queue_fate *fates, size_t fates_cnt);

/* Make what was journaled so far, by anybody, durable. */
int	queue_sync(struct queue *q);

/* --- receipts ------------------------------------------------------------------ */

/* The receipt of a message taken with lease_ns. */
void	queue_receipt(const struct queue *q, const struct queue_claim *c,
	    const struct queue_message *m, char buf[QUEUE_RECEIPT_MAX]);

/* fate->seq is ignored.  EINVAL: no receipt; ESTALE: no longer good. */
int	queue_receipt_settle(struct queue *q, const char *receipt,
	    const struct queue_fate *fate);
int	queue_receipt_extend(struct queue *q, const char *receipt,
	    int64_t lease_ns);

/* --- waiting --------------------------------------------------------------------- */

/*
 * Wait until something may have changed: a commit, an acknowledgement, an
 * attribute, a message that is due at due_ns (wall clock, 0: none), a dead
 * holder; or fd (-1: none) is readable or hangs up (EPIPE; an epoll descriptor
 * stands for many), or the deadline passes
 * (ETIMEDOUT), or a signal comes (EINTR), or the queue is removed (ENOENT).
 * Call queue_arm first, look, then wait: nothing in between is missed.
 * Returns early without cause at least once a second.
 */
int	queue_arm(struct queue *q);
int	queue_wait(struct queue *q, int64_t due_ns, int fd,
	    struct mono deadline);

/* --- looking --------------------------------------------------------------------- */

/*
 * Messages some group has not finished, or (group not 0) that group; no lock,
 * no index for the first.
 */
int	queue_depth(struct queue *q, uint32_t group, uint64_t *depth);

struct queue_group_stats {
	char name[QUEUE_NAME_MAX + 1];
	uint32_t group;
	uint64_t depth, ready, in_flight, delayed, dead, blocked_keys;
	int64_t oldest_ns;		/* ts of the oldest unfinished; 0 none */
};

struct queue_stats {
	uint64_t depth, dead, damaged;
	uint64_t pushed, finished;	/* since the queue was made */
	uint64_t live_bytes, disk_bytes;
	double push_rate, finish_rate;	/* a second, over the last minute */
	unsigned int consumers, producers_waiting;
	struct queue_group_stats *groups;	/* the caller's, free() */
	size_t groups_cnt;
	int64_t oldest_ns;
	bool durable;			/* false on a file system in memory */
	const char *fs;
};

int	queue_stats(struct queue *q, struct queue_stats *st);

enum queue_state {
	QUEUE_READY = 1, QUEUE_IN_FLIGHT = 2, QUEUE_DELAYED = 4,
	QUEUE_DEAD = 8, QUEUE_FINISHED = 16,
};

/*
 * Walk the stored messages of a group in order, leaving everything as it is.
 * *pos starts at 0 and is moved on; 1, 0 at the end, -1.  m points into q.
 */
int	queue_browse(struct queue *q, uint32_t group, uint64_t *pos,
	    struct queue_message *m, enum queue_state *state);

/* How the message seq is held in the group: 1, 0 not in flight. */
struct queue_hold {
	uint64_t claim;
	char holder[64];		/* path of the FIFO below the queue; "" */
	int64_t lease_left_ns;		/* of a lease; else -1 */
	bool fenced;
};
int	queue_hold(struct queue *q, uint32_t group, uint64_t seq,
	    struct queue_hold *h);

/* --- the dead --------------------------------------------------------------------- */

struct queue_dead {
	struct queue_message m;		/* points into q until the next call */
	uint64_t tries;
	int64_t died_ns;
	int status;			/* as in struct queue_fate */
	char reason[32];
	unsigned char output[QUEUE_OUTPUT_MAX];
	size_t output_len;
};

/* The first dead message with a number >= *seq; *seq becomes its number. */
int	queue_dead_next(struct queue *q, uint32_t group, uint64_t *seq,
	    struct queue_dead *d);		/* 1, 0 none, -1 */

/* Durable on return; ENOMSG: it is not dead. */
int	queue_dead_requeue(struct queue *q, uint32_t group, uint64_t seq);
int	queue_dead_remove(struct queue *q, uint32_t group, uint64_t seq);

/* --- administration -------------------------------------------------------------- */

enum queue_from { QUEUE_OLDEST, QUEUE_NEW, QUEUE_SEQ, QUEUE_TIME };

/* value: the number, or wall clock ns.  *first: where it begins.  EEXIST. */
int	queue_group_add(struct queue *q, const char *name,
	    enum queue_from from, uint64_t value, uint64_t *first);
int	queue_group_reset(struct queue *q, uint32_t group,
	    enum queue_from from, uint64_t value, uint64_t *first);
int	queue_group_remove(struct queue *q, uint32_t group);	/* EBUSY: last */

/*
 * End the claim on a message in flight: its holder's acknowledgement will be
 * refused.  Unforced, its key stays blocked until that holder has gone.
 */
int	queue_nack(struct queue *q, uint32_t group, uint64_t seq, bool force);

int	queue_purge(struct queue *q, uint32_t group, uint64_t *count);
int	queue_compact(struct queue *q, uint64_t *freed_bytes);
int	queue_repair(struct queue *q);		/* rebuild what is derived */

/*
 * Compare everything with everything.  report is called once per finding;
 * 0 and *findings.
 */
typedef void (*queue_report)(void *arg, const char *text);
int	queue_verify(struct queue *q, queue_report report, void *arg,
	    uint64_t *findings);

#endif /* LIB_QUEUE_H */
