/*
 * lock: a few exclusive locks between processes, as bytes of one open file.
 *
 * Source:  fcntl(2), open file description locks: the kernel frees them when
 *          the last descriptor is closed, also in kill -9, and they hold
 *          across PID namespaces.
 * Order:   locks are taken in ascending number; the same one may be taken
 *          again by its holder (it counts).
 * Signals: while any lock is held INT, TERM, HUP, QUIT, TSTP, TTIN and TTOU
 *          are blocked in the calling thread, so that a keyboard cannot stop
 *          a holder.
 * Errors:  ETIMEDOUT: still locked at the deadline; ENOENT: the file has been
 *          unlinked, what it stood for is gone.
 * Threads: one struct lock per thread.
 */
#ifndef LIB_LOCK_H
#define LIB_LOCK_H

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "clock.h"

#define LOCK_MAX	4		/* locks in one file */

struct lock {
	int fd;				/* the caller's, open for writing */
	unsigned int depth[LOCK_MAX];
	unsigned int held;		/* how many are held in all */
	sigset_t saved;			/* the signal mask outside */
	_Atomic uint64_t *owner;	/* shared: pid of each holder, for show */
	/* Called once a second while waiting; may be NULL. */
	void (*slow)(void *arg, unsigned int which, pid_t owner);
	void *slow_arg;
};

int	lock_take(struct lock *l, unsigned int which, struct mono deadline);
int	lock_try(struct lock *l, unsigned int which);	/* EBUSY: taken */
void	lock_drop(struct lock *l, unsigned int which);

#endif /* LIB_LOCK_H */
