/*
 * lock: try, then wait by sleeping in growing steps (20 us to 1 ms).  A
 * blocking F_OFD_SETLKW could neither honour a deadline nor tell who holds the
 * lock; the sections guarded are microseconds long, so the steps stay small.
 */

#include "lock.h"

#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#define STEP_NS_MIN	20000
#define STEP_NS_MAX	1000000
#define SLOW_NS		NS_PER_S
#define NS_PER_S	INT64_C(1000000000)

static int
set(struct lock *l, unsigned int which, short type)
{
	struct flock fl = {
		.l_type = type, .l_whence = SEEK_SET,
		.l_start = which, .l_len = 1,
	};

	return fcntl(l->fd, F_OFD_SETLK, &fl);
}

static int
entered(struct lock *l, unsigned int which)
{
	static const int held_off[] = {
		SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU
	};
	struct stat st;
	sigset_t mask;

	if (l->held == 0) {
		sigemptyset(&mask);
		for (size_t i = 0; i < sizeof(held_off) / sizeof(*held_off); i++)
			sigaddset(&mask, held_off[i]);
		pthread_sigmask(SIG_BLOCK, &mask, &l->saved);
	}
	l->held++;
	l->depth[which] = 1;
	if (l->owner != NULL)
		atomic_store_explicit(&l->owner[which], (uint64_t)getpid(),
		    memory_order_relaxed);
	if (fstat(l->fd, &st) == -1 || st.st_nlink == 0) {
		lock_drop(l, which);
		errno = ENOENT;
		return -1;
	}
	return 0;
}

int
lock_try(struct lock *l, unsigned int which)
{
	assert(which < LOCK_MAX);
	if (l->depth[which] > 0) {
		l->depth[which]++;
		return 0;
	}
	if (set(l, which, F_WRLCK) == -1) {
		if (errno == EACCES || errno == EAGAIN)
			errno = EBUSY;
		return -1;
	}
	return entered(l, which);
}

int
lock_take(struct lock *l, unsigned int which, struct mono deadline)
{
	struct timespec step = { 0, STEP_NS_MIN };
	struct mono warn;
	int tries = 0;

	if (lock_try(l, which) == 0)
		return 0;
	warn = mono_after(SLOW_NS);
	while (errno == EBUSY) {
		if (mono_passed(deadline)) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (mono_passed(warn)) {
			if (l->slow != NULL)
				l->slow(l->slow_arg, which, l->owner == NULL ?
				    0 : (pid_t)atomic_load(&l->owner[which]));
			warn = mono_after(10 * SLOW_NS);
		}
		if (tries++ < 2) {
			sched_yield();
		} else {
			nanosleep(&step, NULL);
			if (step.tv_nsec < STEP_NS_MAX)
				step.tv_nsec += step.tv_nsec / 2;
		}
		if (lock_try(l, which) == 0)
			return 0;
	}
	return -1;
}

void
lock_drop(struct lock *l, unsigned int which)
{
	int saved_errno = errno;

	assert(which < LOCK_MAX && l->depth[which] > 0);
	if (--l->depth[which] == 0) {
		set(l, which, F_UNLCK);
		if (--l->held == 0)
			pthread_sigmask(SIG_SETMASK, &l->saved, NULL);
	}
	errno = saved_errno;
}
