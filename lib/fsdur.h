/*
 * fsdur: file operations that are on stable storage when they return, and the
 * hook through which tests make them fail.
 *
 * Source:  fsync(2), rename(2), open(2); the order (file, rename, directory)
 *          after Pillai et al., "All File Systems Are Not Created Equal",
 *          OSDI 2014.
 * Errors:  0 or a count, or -1 with the errno of the call that failed.  A sync
 *          that failed is never tried again: the kernel may have dropped the
 *          bytes, and the next sync would say 0.
 * Signals: EINTR is retried everywhere.
 * Threads: safe; nothing is shared but the fault's counter.
 *
 * Faults:  DSUTILS_FAULT=OP:N:ACTION in the environment, read once a process.
 *          OP      write, sync (files and directories), rename, unlink,
 *                  truncate, a name given to fsdur_fault_point(), or any.
 *          N       the N-th such call of this process, from 1; N+ that one
 *                  and all after it.
 *          ACTION  kill: SIGKILL before the call; killafter: once it has
 *                  succeeded; torn: half of a write, then SIGKILL; short: the
 *                  kernel takes half of a write; EIO, ENOSPC, EDQUOT, EROFS,
 *                  EINTR: the call fails without being made.
 *          Several faults are separated by commas.  A specification that
 *          cannot be read makes every operation fail with EINVAL, so that a
 *          test with a typing error does not pass.  Always compiled in: unset,
 *          it costs one predicted branch a call.
 */
#ifndef LIB_FSDUR_H
#define LIB_FSDUR_H

#include <stddef.h>
#include <sys/types.h>

/* Names of half-made files begin so; whoever locks the directory sweeps them. */
#define FSDUR_TMP_PREFIX	".tmp-"

/* Write all of buf at off: len, or -1 and any prefix may have been written. */
ssize_t	fsdur_pwrite_all(int fd, const void *buf, size_t len, off_t off);

/* Read until len bytes or the end of the file: how many came, or -1. */
ssize_t	fsdur_pread_all(int fd, void *buf, size_t len, off_t off);

int	fsdur_sync(int fd);		/* data and size of the file */
int	fsdur_sync_dir(int dirfd);	/* names in the directory */
int	fsdur_truncate(int fd, off_t len);	/* not synced */

/*
 * Rename within dirfd, then sync it; from must have been synced by the caller.
 * After -1 the file has either name; which one survives a crash is open too.
 */
int	fsdur_rename(int dirfd, const char *from, const char *to);

/* Unlink, then sync the directory. */
int	fsdur_unlink(int dirfd, const char *name);

/*
 * Make or replace a whole file: temporary name, mode whatever the umask,
 * write, sync, rename, sync the directory.  A reader sees the old bytes or the
 * new.  After -1 no temporary file is left, except by a kill.
 * ENAMETOOLONG: name leaves no room for the temporary one.
 */
int	fsdur_write_file(int dirfd, const char *name, const void *data,
	    size_t len, mode_t mode);

/*
 * For callers with system calls of their own: 0 go on, -1 with errno as if the
 * call had failed; kills the process for kill, killafter and torn.
 */
int	fsdur_fault_point(const char *op);

#endif /* LIB_FSDUR_H */
