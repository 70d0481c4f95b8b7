/*
 * queue_wait: sleep until there may be something to do.
 *
 * Whoever changes something writes to the control page (control_ring), which
 * inotify reports; the death of a holder is reported by its FIFO.  All is one
 * poll().  Every wait ends after a second at the latest, for a ring that a
 * killed process owed.  When the user has no inotify instance left, a futex
 * on the bell, in short steps, does it.
 */

#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "num.h"
#include "queue_priv.h"

#define LONGEST_NS	NUM_NS_PER_S
#define STEP_NS		INT64_C(20000000)	/* without inotify */
#define PROBES_MAX	256

enum { P_BELL, P_TIMER, P_USER, P_CNT };

static int
removed(const struct queue *q)
{
	struct stat st;

	if (fstat(q->control_fd, &st) == 0 && st.st_nlink > 0)
		return 0;
	errno = ENOENT;
	return -1;
}

int
queue_arm(struct queue *q)
{
	char path[64], events[4096];

	if (q->inotify_fd == -1) {
		q->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d",
		    q->control_fd);
		if (q->inotify_fd != -1 && inotify_add_watch(q->inotify_fd,
		    path, IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF) == -1) {
			close(q->inotify_fd);
			q->inotify_fd = -1;
		}
	}
	while (q->inotify_fd != -1 && read(q->inotify_fd, events,
	    sizeof(events)) > 0)
		;
	q->bell_seen = word_get(&q->ctl->bell);
	return removed(q);
}

/* --- holders -------------------------------------------------------------------- */

struct listing {
	uint64_t ids[PROBES_MAX];
	int cnt;
};

static int
list_fn(struct queue *q, void *arg)
{
	struct listing *l = arg;

	l->cnt = holder_list(q, l->ids, PROBES_MAX);
	return l->cnt == -1 ? -1 : 0;
}

/* Open the FIFOs of all who hold something; 1: one of them is dead. */
static int
probe(struct queue *q, struct pollfd *fds, size_t *cnt)
{
	struct listing l;
	int fd;

	if (index_run(q, list_fn, &l) == -1)
		return -1;
	for (int i = 0; i < l.cnt; i++) {
		if (holder_alive(q, l.ids[i], &fd) == 0)
			return 1;
		if (fd != -1)
			fds[(*cnt)++] = (struct pollfd){ .fd = fd };
	}
	return 0;
}

/* --- time -------------------------------------------------------------------------- */

static int64_t
sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int
timer(int64_t due_ns)
{
	struct itimerspec it = { .it_value = {
		.tv_sec = due_ns / NUM_NS_PER_S,
		.tv_nsec = due_ns % NUM_NS_PER_S } };
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd != -1 && timerfd_settime(fd, TFD_TIMER_ABSTIME |
	    TFD_TIMER_CANCEL_ON_SET, &it, NULL) == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int
sleep_futex(const struct queue *q, int64_t left)
{
	struct timespec ts = { 0, sooner(left, STEP_NS) };
	union { _Atomic uint64_t *a; uint32_t *u; } p = { .a =
		&q->ctl->bell };

	return (int)syscall(SYS_futex, p.u + (__BYTE_ORDER ==
	    __BIG_ENDIAN), FUTEX_WAIT, (uint32_t)q->bell_seen, &ts, NULL, 0);
}

/* 1 something happened, 0 not yet, -1. */
static int
look(const struct pollfd *fds, size_t cnt)
{
	if (fds[P_USER].revents != 0) {
		errno = EPIPE;
		return -1;
	}
	for (size_t i = 0; i < cnt; i++)
		if (i != P_USER && fds[i].revents != 0)
			return 1;
	return 0;
}

static int
wait_for(struct queue *q, struct pollfd *fds, size_t cnt,
    struct mono deadline)
{
	struct mono longest = mono_after(LONGEST_NS);
	struct timespec ts;
	int64_t left;
	int got;

	for (;;) {
		left = sooner(mono_left_ns(deadline), mono_left_ns(longest));
		ts = (struct timespec){ left / NUM_NS_PER_S,
			left % NUM_NS_PER_S };
		if (q->inotify_fd == -1) {
			if (word_get(&q->ctl->bell) != q->bell_seen)
				return 0;
			if (sleep_futex(q, left) == -1 && errno == EINTR)
				return -1;
			ts = (struct timespec){ 0, 0 };
		}
		if (ppoll(fds, cnt, &ts, NULL) == -1)
			return -1;
		if ((got = look(fds, cnt)) != 0)
			return got == -1 ? -1 : 0;
		if (mono_passed(deadline)) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (mono_passed(longest)) {
			/* What killed producers left behind. */
			(void)wal_finish(&q->log);
			return 0;
		}
	}
}

int
queue_wait(struct queue *q, int64_t due_ns, int fd, struct mono deadline)
{
	struct pollfd fds[P_CNT + PROBES_MAX];
	size_t cnt = P_CNT;
	int r = 0, saved;

	if (removed(q) == -1)
		return -1;
	fds[P_BELL] = (struct pollfd){ .fd = q->inotify_fd,
		.events = POLLIN };
	fds[P_TIMER] = (struct pollfd){ .fd = due_ns == 0 ? -1 :
		timer(due_ns), .events = POLLIN };
	fds[P_USER] = (struct pollfd){ .fd = fd, .events = POLLIN };
	r = probe(q, fds, &cnt);
	if (r == 0)
		r = wait_for(q, fds, cnt, deadline);
	saved = errno;
	if (fds[P_TIMER].fd != -1)
		close(fds[P_TIMER].fd);
	while (cnt > P_CNT)
		close(fds[--cnt].fd);
	errno = saved;
	if (r == -1)
		return -1;
	return removed(q);
}
