/*
 * wal: an append-only log in segment files, shared by processes.
 *
 * Source:  group commit after PostgreSQL's XLogFlush; what a failed fsync
 *          leaves: Rebello et al., "Can Applications Recover from fsync
 *          Failures?", ATC 2020.
 * Layout:  DIR/BASE, sixteen hex digits; dsqueue(5) gives every byte.  BASE
 *          is the logical offset of the file's first byte after its header,
 *          so offsets grow for ever and are never used for other bytes.  A
 *          segment ends where the next begins: bytes of a file beyond the
 *          next file's base do not exist.
 * Units:   offsets and lengths in bytes, multiples of 8; sequence numbers
 *          count records.
 * Safety:  an appended batch is visible to nobody else until its end has been
 *          published in the shared words; what a killed writer left behind the
 *          published tail is cut off by the next.  Durable means fdatasync
 *          returned 0 on a descriptor that would have seen its failure.
 * Errors:  0, or -1 with errno.  ENOSPC, EDQUOT, EFBIG: nothing was appended.
 *          EIO: the disk failed; see wal_commit().  ENOENT, ETIMEDOUT: of the
 *          lock.  EBADMSG: a file is not what it must be.
 * Threads: one struct wal per thread.
 */
#ifndef LIB_WAL_H
#define LIB_WAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "clock.h"
#include "lock.h"

#define WAL_HEAD_SIZE	64U		/* segment header, bytes */
#define WAL_BATCH_SIZE	48U		/* batch header, bytes */
#define WAL_BATCH_MAGIC	0x48435442U	/* "BTCH", little-endian */
#define WAL_BODY_MAX	0x7ffffff0U	/* bytes of records in one batch */

/* Batch flags; bits 8 and up are the user's. */
#define WAL_MORE	0x1U		/* not complete without the next batch */

/*
 * Shared by all processes, in the control page; each word is written whole.
 * Beside it lies its complement, so that a flipped bit is noticed by who
 * opens the log next, see wal_words_whole().
 */
struct wal_words {
	_Atomic uint64_t base;		/* of the segment being written */
	_Atomic uint64_t epoch;		/* of that segment */
	_Atomic uint64_t gen;		/* grows with every new segment file */
	_Atomic uint64_t tail;		/* end of what has been appended */
	_Atomic uint64_t tail_seq;	/* sequence number of the next record */
	_Atomic uint64_t durable;	/* end of what is on stable storage */
	_Atomic uint64_t durable_seq;
	_Atomic uint64_t visible;	/* end of what readers may see */
	_Atomic uint64_t visible_seq;
	_Atomic uint64_t syncing;	/* not 0: a sync up to here is under way */
	_Atomic uint64_t lost_gen;	/* grows when appended bytes were lost */
	_Atomic uint64_t rolling;	/* 1 + base of a segment being made, or 0 */
};

struct wal_shared {
	struct wal_words is, not;
};

struct wal;

struct wal_batch {
	uint64_t seq, floor;
	uint32_t body_len, count, flags, body_crc;
};

struct wal_place {
	uint64_t pos;			/* of the batch */
	uint64_t end;
	uint64_t seq;			/* of its first record */
	uint64_t lost_gen;
	uint32_t epoch;
};

/*
 * Called under the append lock once pos, seq and epoch are known, to complete
 * the records; returns the batch's body checksum.
 */
typedef uint32_t (*wal_fixup)(const struct wal *w, unsigned char *body,
    size_t body_len, const struct wal_place *at);

/* 0 if the records of a batch read from pos are whole, else -1 EBADMSG. */
typedef int (*wal_verify)(const struct wal *w, const unsigned char *body,
    const struct wal_batch *b, uint64_t pos);

struct wal {
	int dirfd;			/* the caller's */
	mode_t mode;			/* of new files */
	gid_t gid;			/* of new files, (gid_t)-1: as it comes */
	const char *magic;		/* 8 bytes: the kind of log */
	unsigned char id[16];		/* of the queue, in every header */
	uint64_t seed;			/* for crc_place, from magic and id */
	uint64_t limit;			/* bytes after which a new segment begins */
	uint64_t spare;			/* bytes kept allocated behind limit */
	struct wal_words *words;	/* is, of a struct wal_shared */
	struct lock *lock;
	unsigned int lock_append;	/* guards appending */
	unsigned int lock_commit;	/* held by who syncs; only ever tried */
	void (*woken)(void *arg);	/* called when visible has moved */
	void *woken_arg;

	wal_fixup fixup;
	wal_verify verify;

	int fd;				/* segment open for appending, or -1 */
	uint64_t fd_base, fd_gen;
	bool fd_clean;			/* open since before any sync under way */
	uint64_t pending;		/* end of unpublished WAL_MORE batches, or 0 */
	uint64_t pending_seq;
};

/* Set the fields that follow from others; the rest is the caller's to fill. */
void	wal_init(struct wal *w);
void	wal_release(struct wal *w);	/* closes what wal opened */

/* Does every word agree with its complement?  A killed writer may leave no. */
bool	wal_words_whole(const struct wal_shared *s);

/* The newest segment's file is missing or emptied: begin one at base. */
int	wal_begin(struct wal *w, uint64_t base, uint64_t seq, uint32_t epoch);

/*
 * Append one batch.  batch holds WAL_BATCH_SIZE spare bytes, then body_len
 * bytes of records.  The caller holds the append lock.  With WAL_MORE the
 * batch and those before it stay unpublished until one without it follows;
 * wal_abandon() forgets them.
 */
int	wal_append(struct wal *w, unsigned char *batch, size_t body_len,
	    uint32_t count, uint32_t flags, struct wal_place *at);
void	wal_abandon(struct wal *w);

/*
 * Return 0 once everything below at->end is on stable storage; one process
 * syncs for all.  When a sync fails, the bytes not known to be safe are copied
 * from memory to a new segment and synced there.  EIO: they were lost, or
 * nothing can be written at all: what was appended since the last commit may
 * or may not be there.  The append lock must not be held.
 */
int	wal_commit(struct wal *w, const struct wal_place *at);

/*
 * If somebody was killed while syncing, or failed and could not mend it: mend
 * it now, unless somebody else is at it.
 */
int	wal_mend(struct wal *w);

/*
 * What was appended by who was killed before its commit is seen by nobody and
 * takes up room: sync it, unless somebody else is at it.
 */
int	wal_finish(struct wal *w);

/* As wal_commit for everything appended so far. */
int	wal_commit_all(struct wal *w);

/* Let readers see what is appended but not synced (qpush -S). */
void	wal_show(struct wal *w, const struct wal_place *at);

/* Close the segment being written and begin the next; under the append lock. */
int	wal_roll(struct wal *w);

/* Segments were removed or replaced: readers look again.  Under the same. */
void	wal_bump(struct wal *w);

/*
 * After a boot: find the end of the log by its checksums and begin a new
 * segment there.  floor: below it damage is damage, above it the end.
 * seq_min: the first sequence number that may be given out; skip is added to
 * what the log tells, for records that were lost with the power.  All locks
 * are held.  Fills the words.  *lost_from is where the old log ended.
 */
int	wal_recover(struct wal *w, uint64_t floor, uint64_t seq_min,
	    uint64_t skip, uint32_t epoch, uint64_t *end_seq);

/* --- the parts of the format ------------------------------------------ */

struct wal_head {
	uint64_t base, seq, created_ms;
	uint32_t epoch, flags;
};
#define WAL_COMPACT	0x1U		/* sparse: runs, and a table of them */

void	wal_head_encode(const struct wal *w, const struct wal_head *h,
	    unsigned char out[WAL_HEAD_SIZE]);
int	wal_head_decode(const struct wal *w, const unsigned char *in,
	    struct wal_head *h);		/* EBADMSG, EPROTONOSUPPORT */
void	wal_batch_encode(const struct wal *w, uint64_t pos,
	    const struct wal_batch *b, unsigned char out[WAL_BATCH_SIZE]);
int	wal_batch_decode(const struct wal *w, uint64_t pos,
	    const unsigned char *in, struct wal_batch *b);	/* EBADMSG */
/* Before each run of a compact segment stands what it is. */
#define WAL_RUN_SIZE	24U
void	wal_run_encode(const struct wal *w, uint64_t pos, uint64_t len,
	    unsigned char out[WAL_RUN_SIZE]);
int	wal_run_decode(const struct wal *w, const unsigned char *in,
	    uint64_t *pos, uint64_t *len);		/* EBADMSG */
void	wal_name(uint64_t base, char name[17]);
int	wal_name_parse(const char *name, uint64_t *base);	/* EINVAL */

/* --- reading ----------------------------------------------------------- */

struct wal_run {
	uint64_t pos, len, off;		/* logical offset, bytes, file offset */
};

struct wal_reader {
	struct wal *w;
	uint64_t *bases;		/* of all segments, ascending */
	size_t bases_cnt;
	int fd;				/* of segment bases[cur], or -1 */
	size_t cur;
	uint64_t gen;			/* of the words when the list was made */
	uint64_t end;			/* of that segment */
	struct wal_run *runs;		/* of a compact segment, else NULL */
	size_t runs_cnt;
	unsigned char *win;		/* bytes from win_pos on */
	size_t win_len, win_cap;
	uint64_t win_pos;
};

void	wal_reader_init(struct wal_reader *r, struct wal *w);
void	wal_reader_release(struct wal_reader *r);

/* Forget the list of segments (one was removed or replaced). */
void	wal_reader_refresh(struct wal_reader *r);

/*
 * Make the bytes at *pos readable: 1 and *data, *avail (at least want if the
 * segment holds that many below limit), *pos moved on to the next existing
 * byte where there is a gap; 0 when there is nothing below limit.  *data is
 * good until the next call.  EIO: cannot be read.
 */
int	wal_read(struct wal_reader *r, uint64_t *pos, uint64_t limit,
	    size_t want, const unsigned char **data, size_t *avail);

/* Give a new file its mode and group, whatever the umask. */
int	wal_fix_mode(int fd, mode_t mode, gid_t gid);

/* Bases of all segments, ascending, malloc'd; the caller's. */
int	wal_list(int dirfd, uint64_t **bases, size_t *cnt);

/* Read a segment's header by base. */
int	wal_head_read(const struct wal *w, uint64_t base, struct wal_head *h);

#endif /* LIB_WAL_H */
