/*
 * crashlog: what crashshim.so shares with the programs that drive it.
 *
 * The state file is one page mapped by every process under test: counters that
 * go on over a whole scenario.  The log is a file of records, each written
 * with one O_APPEND write under an flock of the log, so that the order of the
 * records is the order in which the operations took effect.
 *
 * Units:   seq counts records; a record's seq is its place in the log.  A sync
 *          covers the operations with seq < start.
 * Layout:  struct crash_rec, name, name2, data (len bytes, CRASH_WRITE
 *          and CRASH_OUT), zeros up to a multiple of 8; machine byte order,
 *          these files never leave the test run.
 */
#ifndef TORTURE_CRASHLOG_H
#define TORTURE_CRASHLOG_H

#include <stdatomic.h>
#include <stdint.h>

#define CRASH_MAGIC		0x48535243U	/* "CRSH" */
#define CRASH_STATE_SIZE	4096U

enum crash_op {
	CRASH_WRITE = 1,	/* ino off len data */
	CRASH_TRUNC,		/* ino, off is the new size */
	CRASH_ZERO,		/* ino off len: a hole was punched */
	CRASH_ALLOC,		/* ino off len: the file now reaches off + len */
	CRASH_SYNC,		/* ino start: fsync, fdatasync, file or directory */
	CRASH_SYNCALL,		/* start: sync, syncfs */
	CRASH_CREATE,		/* ino mode dir name; no name: O_TMPFILE */
	CRASH_MKDIR,		/* ino mode dir name */
	CRASH_MKNOD,		/* ino mode dir name: a FIFO */
	CRASH_RENAME,		/* ino dir name -> dir2 name2 */
	CRASH_EXCHANGE,		/* dir name <-> dir2 name2 */
	CRASH_LINK,		/* ino at dir2 name2 */
	CRASH_UNLINK,		/* ino dir name */
	CRASH_RMDIR,		/* ino dir name */
	CRASH_OUT,		/* len data: written to standard output */
	CRASH_OPS
};

#define CRASH_F_MAP	0x1U	/* a write seen in a shared mapping */

struct crash_rec {
	uint32_t magic;
	uint32_t size;		/* of the whole record */
	uint64_t seq;
	uint64_t start;
	uint64_t ino;
	uint64_t dir;
	uint64_t dir2;
	uint64_t off;
	uint64_t len;
	uint32_t op;
	uint32_t mode;
	uint32_t flags;
	int32_t pid;
	uint32_t name_len;
	uint32_t name2_len;
};

struct crash_state {
	_Atomic uint64_t seq;		/* records in the log */
	_Atomic uint64_t calls;		/* calls counted by CRASH_AT */
	_Atomic uint64_t fails;		/* calls counted by FAIL_AT */
	_Atomic uint64_t fired;		/* kills and failures injected */
	_Atomic uint64_t fired_op;	/* what the last of them hit */
};

#endif /* TORTURE_CRASHLOG_H */
