/*
 * queue_priv: the inside of a queue, shared by lib/queue*.c only.
 *
 * The truth is two logs (wal.h): messages in log/, and in journal/ what
 * consumers and administrators did.  The index is what follows from them, for
 * finding the next message quickly.  Every change goes the same way, under
 * INDEX: decide by reading the index; append records to the journal; apply
 * the same records to the index.  After a crash the records the index has not
 * seen are applied by the next process, with the same code.
 *
 * Scanning is the one thing that is not journaled: a group's cursor moves over
 * the log, and every message it passes that is neither finished nor taken gets
 * one entry, in ready, parked (behind its key) or waiting (for a time).  What
 * that entry must be follows from what lies below the cursor, so it does not
 * matter when the cursor moved, nor that a crash moves it back.
 *
 * Lock order: INDEX, APPEND; LOG_COMMIT and JOURNAL_COMMIT are only ever tried
 * (recovery, which takes all, excepted).
 */
#ifndef LIB_QUEUE_PRIV_H
#define LIB_QUEUE_PRIV_H

#include <lmdb.h>

#include "buf.h"
#include "lock.h"
#include "queue.h"
#include "wal.h"

enum { LOCK_INDEX, LOCK_APPEND, LOCK_LOG_COMMIT, LOCK_JOURNAL_COMMIT };

#define QUEUE_SEGMENT_DEFAULT	(UINT64_C(64) << 20)
#define QUEUE_SEGMENT_MIN	(UINT64_C(64) << 10)
#define JOURNAL_SEGMENT		(UINT64_C(1) << 20)
#define JOURNAL_SPARE		(UINT64_C(1) << 20)

/* --- control: one page of shared words, a cache; queue_control.c ---------- */

#define CONTROL_MAGIC	UINT64_C(0x32306c7274637164)	/* "dqctrl02" */
#define RATE_SLOTS	64

enum attr {			/* in the order of queue_attr.c's table */
	ATTR_MAX_MESSAGES, ATTR_MAX_BYTES, ATTR_MAX_MESSAGE,
	ATTR_MAX_PER_KEY, ATTR_DEDUP_COUNT, ATTR_DEDUP_NS, ATTR_RETAIN_NS,
	ATTR_RETAIN_BYTES, ATTR_TRIES, ATTR_BACKOFF_NS, ATTR_CLOSED,
	ATTR_PAUSED, ATTR_CNT
};

/* What the index says, for those who do not open it. */
struct mirror {
	_Atomic uint64_t finished;	/* messages finished in every group */
	_Atomic uint64_t finished_bytes;
	_Atomic uint64_t dead;
	_Atomic uint64_t attr[ATTR_CNT];
};

struct control {
	_Atomic uint64_t magic;
	_Atomic uint64_t stamp;		/* of boot and files; else: recover */
	_Atomic uint64_t bell;		/* written to wake waiters */
	_Atomic uint64_t owner[LOCK_MAX];
	struct wal_shared log, journal;
	_Atomic uint64_t index_gen;	/* name of the index file */
	_Atomic uint64_t index_bad;	/* not 0: rebuild it */
	_Atomic uint64_t linked;	/* the queue's own name is on disk */
	_Atomic uint64_t ids_end;	/* end of the last batch with ids */
	struct mirror now, now_not;	/* and its complement */
	_Atomic uint64_t freed_bytes;	/* of the log, given back to the disk */
	_Atomic uint64_t checkpointed;	/* journal end of the newest checkpoint */
	_Atomic uint64_t checkpoint_bytes;
	_Atomic uint64_t reclaim_at;	/* finished bytes at which to try again */
	_Atomic uint64_t probed_ns;	/* when holders were last probed */
	_Atomic uint64_t probe_next;	/* holder to begin with */
	_Atomic uint64_t no_space;	/* the reserve is not whole */
	/* seconds << 40 | low 40 bits of the count when that second began */
	_Atomic uint64_t pushed_rate[RATE_SLOTS], finished_rate[RATE_SLOTS];
	_Atomic uint64_t wanted_again;	/* grows when removable messages are */
};

/* --- index: ordered entries in LMDB; queue_index.c ------------------------- */

/*
 * Tables.  A key is the letter, then big-endian fields; a value is 64-bit
 * little-endian words, then perhaps bytes, then an 8-byte tag over key and
 * value.  Capital letters are state: what a checkpoint holds.
 */
#define T_GROUP		'G'	/* group -> struct group */
#define T_DONE		'D'	/* group, start -> end, end_pos: finished */
#define T_CLAIM		'C'	/* group, start -> struct claim_row */
#define T_HELD		'H'	/* holder, group, start -> no */
#define T_LEASE		'L'	/* deadline, group, start -> no */
#define T_NOTE		'N'	/* group, seq -> tries, due */
#define T_DEAD		'X'	/* group, seq -> struct dead_row */
#define T_ID		'I'	/* SHA-256 of id -> seq, end, number, ts */
#define T_ID_ORDER	'O'	/* number -> SHA-256 */
#define T_ATTR		'A'	/* name -> text */
/* What follows from the log below a cursor; `view` is the group's number for
 * them, so that all can be forgotten at once. */
#define T_READY		'r'	/* view, lane, seq -> struct entry */
#define T_PARKED	'p'	/* view, kh, seq -> struct entry */
#define T_WAIT		'w'	/* view, due, seq -> struct entry */
#define T_KEY		'k'	/* view, kh -> struct key_row */
#define T_TRASH		't'	/* view -> nothing: to be deleted */

#define LANES		256U	/* of keyed messages: lane 1 + kh % LANES */

struct ikey {
	unsigned char b[48];
	size_t len;
};

void	ikey_init(struct ikey *k, unsigned char table);
void	ikey_u16(struct ikey *k, unsigned int v);
void	ikey_u32(struct ikey *k, uint32_t v);
void	ikey_u64(struct ikey *k, uint64_t v);
void	ikey_bytes(struct ikey *k, const void *p, size_t len);
uint64_t ikey_get64(const struct ikey *k, size_t off);
uint32_t ikey_get32(const struct ikey *k, size_t off);
unsigned int ikey_get16(const struct ikey *k, size_t off);

#define IVAL_WORDS	24
#define IVAL_TAIL	5120

struct ival {
	size_t n;		/* words */
	size_t tail_len;
	uint64_t w[IVAL_WORDS];
	unsigned char tail[IVAL_TAIL];
};

/* What the whole index says of itself; the entry with the empty table. */
struct root {
	uint64_t stamp;		/* the control page's */
	uint64_t applied;	/* journal position up to which it is applied */
	uint64_t sum;		/* of the tags of all state entries */
	uint64_t next_claim, next_group, next_view;
	uint64_t finished;	/* messages finished in every group */
	uint64_t finished_bytes;
	uint64_t dead;		/* in any group */
	uint64_t damaged;	/* numbers for which there is no message */
	uint64_t touched;	/* no entry speaks of a message at or above it */
	uint64_t ids_pos;	/* log position up to which ids are in T_ID */
	uint64_t ids_first, ids_next;	/* numbers in T_ID_ORDER */
	uint64_t lost_gen;	/* the log's, as far as it was taken note of */
};
#define ROOT_WORDS	(sizeof(struct root) / sizeof(uint64_t))

struct index {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;
	MDB_cursor *cur;
	uint64_t gen;
	bool broken;		/* damage was met: rebuild */
	bool attrs_changed;	/* the mirror is to be made anew */
	struct root root;
};

struct group {
	uint32_t no;
	uint32_t view;
	uint64_t finished;	/* messages in T_DONE, the dead too */
	uint64_t dead, in_flight, notes;
	/* Not in checkpoints: */
	uint64_t cursor_seq, cursor_pos;
	uint64_t ready, parked, blocked, waiting;
	char name[QUEUE_NAME_MAX + 1];
	/* Not in the index: */
	uint64_t quiet;		/* no state entry covers [cursor_seq, quiet) */
	bool dirty;
};

struct claim_row {
	uint64_t start, count, no, holder, pos, end, kh, flags, deadline_ns,
	    tries;
};
#define CLAIM_RUN	1U	/* counts an attempt */
#define CLAIM_LEASE	2U	/* until deadline_ns of CLOCK_BOOTTIME */
#define CLAIM_ACKED	4U	/* finished already (-m); keeps its key */
#define CLAIM_FENCED	8U	/* ended by an administrator; keeps its key */

struct entry {			/* a message that waits, or a plain run of them */
	uint64_t seq, count, pos, end, kh, due_ns;
};

struct key_row {
	uint64_t claimed;	/* messages of the key in claims */
	uint64_t leader;	/* 1 + number of the one that may be taken, or 0 */
	uint64_t leader_due;	/* where it is: T_READY, or T_WAIT at that time */
	uint64_t parked;	/* how many wait behind it */
};

struct dead_row {
	uint64_t pos, end, kh, tries, died_ns, status;
};

struct queue {
	char *path;
	int dirfd, control_fd, log_fd, journal_fd, state_fd, index_fd,
	    holders_fd;
	enum queue_mode mode;
	char id_hex[33];
	unsigned char id[16];
	mode_t file_mode;
	gid_t gid;
	uint64_t segment;
	char *first_groups;		/* as created: "main" */
	const char *fs;
	bool fs_durable;
	struct control *ctl;
	bool ctl_readonly;
	uint64_t stamp;
	struct lock lock;
	struct mono patience;
	queue_slow slow;
	void *slow_arg;
	struct wal log, journal;
	struct wal_reader log_rd;	/* scanning, under INDEX */
	struct wal_reader data_rd;	/* delivering */
	struct wal_reader jrn_rd;
	struct index idx;
	struct group *groups;		/* of the open transaction */
	size_t groups_cnt;
	struct buf rec;			/* journal records being built */
	uint32_t rec_cnt;
	size_t rec_at;			/* where the open one begins */
	struct wal_place jrn_last;	/* end of our latest journal batch */
	bool doubted;			/* an index was rebuilt on suspicion */
	bool took;			/* queue_take was called before */
	bool picked;			/* the CLAIM being made is in the views */
	/* the process's holder */
	uint64_t holder;		/* 0: none yet */
	int holder_fd;
	unsigned int open_claims;	/* of it, not settled yet */
	/* waiting */
	int inotify_fd;
	uint64_t bell_seen;
	bool append_held;		/* by an atomic push that goes on */
	int waiting_fd;			/* FIFO that says we wait for room */
	uint64_t waiting_id;
	struct mono reserve_next;	/* when to look at the reserve again */
	struct buf found;		/* a message read by number */
};

/* --- queue_control.c ------------------------------------------------------ */

int	control_open(struct queue *q);
void	control_close(struct queue *q);
void	control_ring(struct queue *q);	/* wake every waiter */
/* Root and attributes to words; values from attrs_load, NULL: unchanged. */
void	control_mirror(struct queue *q, const uint64_t *values);
bool	control_whole(const struct queue *q);
void	control_count(_Atomic uint64_t *slots, uint64_t count);
double	control_rate(const _Atomic uint64_t *slots, uint64_t count);
uint64_t word_get(const _Atomic uint64_t *w);
void	word_put(_Atomic uint64_t *w, uint64_t v);

/* --- queue_index.c -------------------------------------------------------- */

/*
 * Run fn under INDEX, the right index open and brought up to the journal's
 * end, in a transaction: committed when it returns >= 0, undone when -1.
 * When the index turns out to be damaged, it is rebuilt and fn begins anew;
 * fn's last act is therefore its record_commit().
 */
int	index_run(struct queue *q, int (*fn)(struct queue *q, void *arg),
	    void *arg);
void	index_close(struct queue *q);
int	index_create(struct queue *q, uint64_t gen);	/* empty, begun */
int	index_open(struct queue *q);
int	index_begin(struct queue *q);
int	index_commit(struct queue *q);
void	index_abort(struct queue *q);
void	index_broken(struct queue *q);	/* EBADMSG, and remember it */

/* 1 found, 0 not, -1.  EBADMSG: damaged. */
int	index_get(struct queue *q, const struct ikey *k, struct ival *v);
int	index_put(struct queue *q, const struct ikey *k, const struct ival *v);
int	index_del(struct queue *q, const struct ikey *k);	/* 0 or 1 */
/* The first entry >= k with the same first `prefix` bytes; k is set to it. */
int	index_seek(struct queue *q, struct ikey *k, size_t prefix,
	    struct ival *v);
/* The last entry <= k with the same first `prefix` bytes. */
int	index_seek_back(struct queue *q, struct ikey *k, size_t prefix,
	    struct ival *v);
/* Step k to the smallest key above it. */
void	ikey_after(struct ikey *k);
/* Does the sum of all state entries agree with the root? 0, or -1 EBADMSG. */
int	index_check(struct queue *q);
int	index_dump(struct queue *q, int (*put)(void *arg, const void *key,
	    size_t key_len, const void *val, size_t val_len), void *arg);
int	index_raw_put(struct queue *q, const void *key, size_t key_len,
	    const void *val, size_t val_len);

/* --- queue_rows.c: the state entries, typed -------------------------------- */

struct group *group_find(struct queue *q, uint32_t no);	/* or NULL */
struct group *group_named(struct queue *q, const char *name);
int	groups_load(struct queue *q);
int	groups_save(struct queue *q);
struct group *group_make(struct queue *q, uint32_t no, const char *name);
int	group_drop(struct queue *q, uint32_t no);
void	group_unquiet(struct group *g, uint64_t seq);

struct range {
	uint64_t start, end, end_pos;
};
/* The range of finished messages that covers seq, or the next one: 1, 0, -1. */
int	done_find(struct queue *q, uint32_t group, uint64_t seq,
	    struct range *r);
int	done_next(struct queue *q, uint32_t group, uint64_t seq,
	    struct range *r);
int	done_add(struct queue *q, struct group *g, uint64_t start,
	    uint64_t end, uint64_t end_pos, uint64_t bytes);
/* [out->start, out->end), whose first message begins at pos, is not. */
int	done_remove(struct queue *q, struct group *g, const struct range *out,
	    uint64_t pos);
int	done_recount(struct queue *q);	/* root.finished, from all groups */
/* Replace all of the group's ranges by [0, end). */
int	done_set(struct queue *q, struct group *g, uint64_t end,
	    uint64_t end_pos);
/* Forget what is said of messages at or above end. */
int	done_cut(struct queue *q, struct group *g, uint64_t end,
	    uint64_t end_pos);
/* Messages of [start, end) that every group but `but` (NULL: none) finished. */
int	done_common(struct queue *q, const struct group *but, uint64_t start,
	    uint64_t end, uint64_t *cnt);
/*
 * 1: the messages from start up to *up_to are finished everywhere, dead
 * nowhere and in nobody's hands; 0: start is not, and none before *up_to is.
 * start < end.
 */
int	done_removable(struct queue *q, uint64_t start, uint64_t end,
	    uint64_t *up_to);

int	claim_covers(struct queue *q, uint32_t group, uint64_t seq,
	    struct claim_row *c);	/* the claim that covers seq */
int	claim_next(struct queue *q, uint32_t group, uint64_t seq,
	    struct claim_row *c);	/* the first that begins at or after */
int	claim_put(struct queue *q, uint32_t group, const struct claim_row *c);
int	claim_del(struct queue *q, uint32_t group, const struct claim_row *c);

int	note_get(struct queue *q, const struct group *g, uint64_t seq,
	    uint64_t *tries, uint64_t *due_ns);
int	note_put(struct queue *q, struct group *g, uint64_t seq,
	    uint64_t tries, uint64_t due_ns);	/* both 0: none */
int	notes_del(struct queue *q, struct group *g, uint64_t start,
	    uint64_t end);
int	dead_get(struct queue *q, uint32_t group, uint64_t *seq,
	    struct dead_row *d, struct ival *v);	/* first >= *seq */
int	dead_put(struct queue *q, struct group *g, uint64_t seq,
	    const struct dead_row *d, const void *tail, size_t tail_len);
int	dead_del(struct queue *q, struct group *g, uint64_t seq);

/* --- queue_attr.c ----------------------------------------------------------- */

/* EINVAL: no such attribute, or not such a value. */
int	attr_parse(const char *name, const char *value, enum attr *which,
	    uint64_t *out);
int	attr_put(struct queue *q, enum attr which, uint64_t value);
int	attrs_load(struct queue *q, uint64_t values[ATTR_CNT]);
uint64_t attr_now(const struct queue *q, enum attr which);	/* mirrored */

/* --- queue_view.c: ready, parked, waiting, keys ------------------------------ */

int	view_add(struct queue *q, struct group *g, const struct entry *e);
/* The messages of e became taken. */
int	view_take(struct queue *q, struct group *g, const struct entry *e);
int	view_claimed(struct queue *q, struct group *g, uint64_t kh, int change);
int	view_reset(struct queue *q, struct group *g);	/* cursor to 0 */
int	view_trash(struct queue *q);	/* delete some of what was forgotten */
/* 1: there is a message of the key, taken or, below the cursor, waiting. */
int	key_get(struct queue *q, const struct group *g, uint64_t kh,
	    struct key_row *k);
/* Messages whose time has come stand among the ready ones from now on, in
 * their place; at most so many in one go. */
int	view_ripen(struct queue *q, struct group *g, uint64_t now,
	    unsigned int most, bool *more);
/* Walking what can be taken: the first entry at or above *lane and seq in
 * ready; the first in waiting; the first parked of a key: 1, 0, -1. */
int	view_ready(struct queue *q, const struct group *g,
	    unsigned int *lane, uint64_t seq, struct entry *e);
int	view_waiting(struct queue *q, const struct group *g, uint64_t due,
	    uint64_t seq, struct entry *e);
int	view_parked(struct queue *q, const struct group *g, uint64_t kh,
	    uint64_t seq, struct entry *e);

/* --- queue_scan.c ------------------------------------------------------------ */

struct scanned {
	struct entry e;
	uint64_t tries;
};
/*
 * The message at the cursor that is neither finished nor taken: 1; 0 none
 * below the visible end; -1.  The cursor stays before it.
 */
int	scan_next(struct queue *q, struct group *g, struct scanned *s);
void	scan_pass(struct group *g, const struct scanned *s);
/*
 * Where the messages numbered seq (it begins at pos) to seq + *count end; if
 * they are more than so many bytes, of fewer, but one at least.
 */
int	scan_to(struct queue *q, uint64_t seq, uint64_t pos, uint64_t *count,
	    uint64_t bytes, uint64_t *end);

/* --- queue_journal.c: building, appending and redoing records ----------------- */

enum record {
	J_CLAIM = 1, J_ACK, J_BACK, J_DEAD, J_REQUEUE, J_BURIED, J_PURGE,
	J_RESET, J_GROUP, J_UNGROUP, J_ATTR, J_GAP, J_BOOT, J_CUT, J_EXTEND,
	J_FENCE, J_GONE, J_UNACK,
};

int	record_begin(struct queue *q, enum record type);
int	record_u64(struct queue *q, uint64_t v);
int	record_bytes(struct queue *q, const void *p, size_t len);
void	record_end(struct queue *q);
/* Append what was built to the journal and apply it to the index. */
int	record_commit(struct queue *q);
int	journal_redo(struct queue *q);	/* from root.applied to the tail */
int	journal_sync(struct queue *q);	/* our records, outside INDEX */
/* BACK of one row, to be committed with others. */
int	record_back(struct queue *q, uint32_t group, uint64_t no,
	    bool uncounted, uint64_t due_ns, uint64_t start);

/* --- queue_apply.c: what each record does -------------------------------------- */

struct words {			/* of a record's body */
	const unsigned char *p;
	size_t left;
	bool short_;
};
uint64_t words_next(struct words *w);
int	apply_record(struct queue *q, unsigned int type,
	    const unsigned char *body, size_t len);

/* --- queue_msg.c: records of messages ------------------------------------------- */

#define MSG_HEAD_SIZE	32U
#define MSG_KEYED	0x100U		/* batch flags: some message has a key */
#define MSG_DELAYED	0x200U
#define MSG_IDS		0x400U

struct msg_head {
	uint64_t seq;
	uint32_t epoch, payload_len, ext_len;
	int64_t ts_ns;
	size_t size;			/* of the whole record, padded */
};

uint32_t msg_fixup(const struct wal *w, unsigned char *body, size_t body_len,
	    const struct wal_place *at);
int	msg_verify(const struct wal *w, const unsigned char *body,
	    const struct wal_batch *b, uint64_t pos);
uint32_t jrn_fixup(const struct wal *w, unsigned char *body, size_t body_len,
	    const struct wal_place *at);
int	jrn_verify(const struct wal *w, const unsigned char *body,
	    const struct wal_batch *b, uint64_t pos);
/* Decode and check the record at p; EBADMSG.  m points into p. */
int	msg_decode(const struct wal *w, const unsigned char *p, size_t avail,
	    uint64_t pos, struct msg_head *h, struct queue_message *m);
/* Decode what queue_batch_add built, before it has a place. */
int	msg_parse(const unsigned char *p, size_t avail, struct msg_head *h,
	    struct queue_message *m);
uint64_t msg_key_hash(const void *key, size_t len);	/* never 0 */

enum item { ITEM_NONE, ITEM_BATCH, ITEM_MESSAGE, ITEM_DAMAGE };

/*
 * What lies at *pos below limit.  ITEM_BATCH: *b, *pos stays at its header;
 * ITEM_MESSAGE: *h and *m, checked.  ITEM_DAMAGE: *pos is where something
 * whole begins again (or limit).  -1: errno.
 */
int	msg_item(struct wal_reader *r, uint64_t *pos, uint64_t limit,
	    struct wal_batch *b, struct msg_head *h, struct queue_message *m);

/* Read the first message at or after pos through the delivering reader, if
 * its number is at least seq: 1, 0 there is none. */
int	msg_at(struct queue *q, uint64_t pos, uint64_t seq,
	    struct queue_message *m);
/* The position of the first message stored at or after seq: *found, *pos. */
int	msg_find(struct queue *q, uint64_t seq, uint64_t *found,
	    uint64_t *pos);
/* The same by time of its push. */
int	msg_find_time(struct queue *q, uint64_t ts_ns, uint64_t *found,
	    uint64_t *pos);

/* --- queue_holder.c ----------------------------------------------------------------- */

enum { HOLDER_PROCESS, HOLDER_RUN, HOLDER_PRODUCER };

int	holder_make(struct queue *q, unsigned int kind, uint64_t *id, int *fd);
void	holder_end(struct queue *q, uint64_t id, int fd);
void	holder_name(uint64_t id, char name[24]);
/* 1 alive, 0 dead; *fd (may be NULL): a descriptor that polls its death. */
int	holder_alive(struct queue *q, uint64_t id, int *fd);
/* Records that put back what dead holders had and what leases ended. */
int	holder_sweep(struct queue *q, bool all, bool *any);
/* Holders in flight: fills ids, returns how many (max at most), or -1. */
int	holder_list(struct queue *q, uint64_t *ids, size_t max);
unsigned int holder_count(struct queue *q, unsigned int kind);
int	holder_tidy(struct queue *q, bool all);	/* remove what nobody needs */

/* --- queue_checkpoint.c ----------------------------------------------------------------- */

int	checkpoint_load(struct queue *q, uint64_t *applied);	/* 1, 0 none */
int	checkpoint_make(struct queue *q);	/* no locks held */
int	checkpoint_if_due(struct queue *q);
int	checkpoint_whole(struct queue *q, uint64_t applied);	/* or EBADMSG */

/* --- queue_recover.c ---------------------------------------------------------------------- */

int	recover(struct queue *q, bool boot);	/* takes all locks */
int	rebuild(struct queue *q);		/* the index; under INDEX */
/* Make index file gen from checkpoint and journal; a transaction is open. */
int	replay(struct queue *q, uint64_t gen);
uint64_t boot_stamp(const struct queue *q);
/* Remove half-made files, when nobody can be making one. */
void	dir_sweep(int dirfd);

/* --- queue_reclaim.c ------------------------------------------------------------------------- */

/* Give back space when enough was finished; no locks held. */
int	reclaim_if_due(struct queue *q);
int	reserve_fill(struct queue *q);
/* Count anew, into control, what of the log is not on disk any more. */
int	freed_count(struct queue *q);

/* --- queue_gone.c: numbers whose messages were given back --------------------------------------- */

int	reclaim_lock(struct queue *q);		/* waits for who is at it */
void	reclaim_unlock(struct queue *q);
/*
 * Numbers from seq (its place would be pos) on that the log does not hold, as
 * struct range; of these, those that are removed; told in the journal.
 */
int	gone_find(struct queue *q, uint64_t seq, uint64_t pos,
	    struct buf *ranges);
int	gone_keep(struct queue *q, struct buf *ranges);
int	gone_record(struct queue *q, uint32_t group, const struct buf *ranges);

/* --- queue_gone.c: numbers whose messages were given back --------------------------------------- */

int	reclaim_lock(struct queue *q);		/* waits for who is at it */
void	reclaim_unlock(struct queue *q);
/*
 * Numbers from seq (its place would be pos) on that the log does not hold, as
 * struct range; of these, those that are removed; told in the journal.
 */
int	gone_find(struct queue *q, uint64_t seq, uint64_t pos,
	    struct buf *ranges);
int	gone_keep(struct queue *q, struct buf *ranges);
int	gone_record(struct queue *q, uint32_t group, const struct buf *ranges);

/* --- queue_ids.c: the window of ids ------------------------------------------------------------- */

/* Index the ids of what was appended, under INDEX and APPEND. */
int	ids_catch_up(struct queue *q);
int	ids_all(struct queue *q);	/* the same, under INDEX alone */
int	ids_find(struct queue *q, const void *id, size_t len, uint64_t *seq,
	    uint64_t *end);
int	ids_cut(struct queue *q, uint64_t seq, uint64_t pos);
int	ids_expire(struct queue *q);

#endif /* LIB_QUEUE_PRIV_H */
