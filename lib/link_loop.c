/*
 * link_loop: one turn takes a bounded number of events and moves a bounded
 * number of bytes, control connections first, so that an answer never waits
 * for data.
 */

#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "link_priv.h"
#include "num.h"

/* --- epoll and timers -------------------------------------------------- */

int
net_watch(struct link_net *n, int fd, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(n->epoll, EPOLL_CTL_ADD, fd, &ev);
}

int
net_rewatch(struct link_net *n, int fd, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(n->epoll, EPOLL_CTL_MOD, fd, &ev);
}

void
net_unwatch(struct link_net *n, int fd)
{
	(void)epoll_ctl(n->epoll, EPOLL_CTL_DEL, fd, NULL);
}

int64_t
net_now(struct link_net *n)
{
	return n->now_ns = mono_now().ns;
}

static bool
sooner(const struct timer *a, const struct timer *b)
{
	return a->at_ns < b->at_ns ||
	    (a->at_ns == b->at_ns && a->order < b->order);
}

static void
heap_put(struct link_net *n, size_t i, struct timer *t)
{
	n->heap[i] = t;
	t->index = i;
}

static void
heap_fix(struct link_net *n, size_t i)
{
	struct timer *t = n->heap[i];
	size_t child;

	for (; i > 1 && sooner(t, n->heap[i / 2]); i /= 2)
		heap_put(n, i, n->heap[i / 2]);
	for (; (child = 2 * i) <= n->heap_cnt; i = child) {
		if (child < n->heap_cnt &&
		    sooner(n->heap[child + 1], n->heap[child]))
			child++;
		if (!sooner(n->heap[child], t))
			break;
		heap_put(n, i, n->heap[child]);
	}
	heap_put(n, i, t);
}

int
timer_arm(struct link_net *n, struct timer *t, int64_t at_ns)
{
	struct timer **heap;
	size_t cap;

	if (t->index != 0) {
		if (t->at_ns == at_ns)
			return 0;
		t->at_ns = at_ns;
		t->order = n->heap_order++;
		heap_fix(n, t->index);
		return 0;
	}
	if (n->heap_cnt + 1 >= n->heap_cap) {
		cap = n->heap_cap == 0 ? 64 : n->heap_cap * 2;
		if ((heap = reallocarray(n->heap, cap,
		    sizeof(struct timer *))) == NULL)
			return -1;
		n->heap = heap;
		n->heap_cap = cap;
	}
	t->at_ns = at_ns;
	t->order = n->heap_order++;
	heap_put(n, ++n->heap_cnt, t);
	heap_fix(n, n->heap_cnt);
	return 0;
}

void
timer_disarm(struct link_net *n, struct timer *t)
{
	struct timer *last;
	size_t i = t->index;

	if (i == 0)
		return;
	last = n->heap[n->heap_cnt--];
	if (last != t) {
		heap_put(n, i, last);
		heap_fix(n, i);
	}
	t->index = 0;
}

static void
timers_fire(struct link_net *n)
{
	struct timer *t;
	int64_t now = net_now(n);
	unsigned int budget = 1024;

	while (n->heap_cnt > 0 && n->heap[1]->at_ns <= now && budget-- > 0) {
		t = n->heap[1];
		timer_disarm(n, t);
		t->fire(n, t->arg);
	}
}

/* --- turns ------------------------------------------------------------- */

void
link_wake(struct link_net *n)
{
	uint64_t one = 1;
	int saved = errno;

	/* A full counter wakes as well as a fresh one. */
	if (write(n->wake[0], &one, sizeof(one)) == -1)
		errno = saved;
}

static void
event(struct link_net *n, const struct epoll_event *ev)
{
	struct watch *w = ev->data.ptr;
	uint64_t count;

	switch (w->kind) {
	case WATCH_PORT:
		port_event(n, w->owner);
		break;
	case WATCH_END:
		conn_event(w->owner, w->side, ev->events);
		break;
	case WATCH_CONTROL:
		control_event(n);
		break;
	case WATCH_CLIENT:
		source_event(n, w->owner, ev->events);
		break;
	case WATCH_INOTIFY:
		net_inotify(n);
		break;
	case WATCH_WAKE:
		if (read(n->wake[0], &count, sizeof(count)) == -1)
			return;
		break;
	}
}

static int
wait_events(struct link_net *n, struct mono deadline, struct epoll_event *ev)
{
	int64_t at = deadline.ns, left;
	struct timespec ts;

	if (n->heap_cnt > 0 && n->heap[1]->at_ns < at)
		at = n->heap[1]->at_ns;
	left = at - n->now_ns;
	if (left < 0 || n->run != NULL || n->news)
		left = 0;
	n->news = false;
	ts.tv_sec = left / NUM_NS_PER_S;
	ts.tv_nsec = left % NUM_NS_PER_S;
	return epoll_pwait2(n->epoll, ev, LINK_EVENTS_MAX,
	    at == INT64_MAX && left != 0 ? NULL : &ts, NULL);
}

static void
run_later(struct link_net *n)
{
	struct dir *d = n->run, *next;

	n->run = NULL;
	for (; d != NULL; d = next) {
		next = d->run_next;
		d->queued_run = false;
		if (!d->conn->gone)
			dir_pump(d);
	}
}

int
link_step(struct link_net *n, struct mono deadline)
{
	struct epoll_event ev[LINK_EVENTS_MAX];
	const struct watch *w;
	int cnt;

	timers_fire(n);
	if ((cnt = wait_events(n, deadline, ev)) == -1) {
		if (errno != EINTR)
			return -1;
		cnt = 0;
	}
	net_now(n);
	for (int i = 0; i < cnt; i++) {
		w = ev[i].data.ptr;
		if (w->kind != WATCH_CLIENT)
			continue;
		event(n, &ev[i]);
		ev[i].data.ptr = NULL;	/* it may be gone by now */
	}
	for (int i = 0; i < cnt; i++) {
		w = ev[i].data.ptr;
		if (w != NULL)
			event(n, &ev[i]);
	}
	run_later(n);
	conn_reap(n);
	sources_check(n);
	return 0;
}
