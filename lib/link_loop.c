/*
 * link_loop: one turn takes a bounded number of events, each of which moves a
 * bounded number of bytes.  Control connections have an epoll set of their own,
 * looked at first and again whenever data has taken a while, so that an answer
 * never waits for data, however many connections there are.
 */

#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "link_priv.h"
#include "num.h"

#define RUN_NS		(2 * NUM_NS_PER_MS)
#define SPIN_NS		(50 * NUM_NS_PER_US)
#define SPIN_REST	255		/* turns without */
#define TIMERS_MAX	1024U
#define LOOK_NS		(200 * NUM_NS_PER_US)

static void	controls(struct link_net *n);

/* --- epoll and timers -------------------------------------------------- */

int
net_watch(int epoll, int fd, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

int
net_rewatch(int epoll, int fd, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &ev);
}

void
net_unwatch(int epoll, int fd)
{
	(void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
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

/* Ask for verbs if data has kept us from it; what is gone is freed later. */
static void
look_up(struct link_net *n)
{
	if (net_now(n) - n->looked_ns >= LOOK_NS)
		controls(n);
}

/* What a timer did may be what somebody waits for. */
static void
timers_fire(struct link_net *n)
{
	struct timer *t;
	int64_t now = net_now(n);
	unsigned int budget = TIMERS_MAX;

	while (n->heap_cnt > 0 && n->heap[1]->at_ns <= now && budget-- > 0) {
		t = n->heap[1];
		timer_disarm(n, t);
		t->fire(n, t->arg);
		look_up(n);
	}
	if (budget < TIMERS_MAX)
		sources_check(n);
}

/* --- turns ------------------------------------------------------------- */

void
link_wake(struct link_net *n)
{
	uint64_t one = 1;
	int saved = errno;

	/* A full counter wakes as well as a fresh one. */
	if (write(n->wake, &one, sizeof(one)) == -1)
		errno = saved;
}

static void
controls(struct link_net *n)
{
	struct epoll_event ev[LINK_EVENTS_MAX];
	const struct watch *w;
	bool calls = false;
	int cnt;

	n->looked_ns = n->now_ns;
	cnt = epoll_wait(n->controls, ev, LINK_EVENTS_MAX, 0);
	for (int i = 0; i < cnt; i++) {
		w = ev[i].data.ptr;
		if (w->kind == WATCH_CLIENT)
			source_event(n, w->owner, ev[i].events);
		else
			calls = true;
	}
	/* Last, as a new one may push out an old one. */
	if (calls)
		control_event(n);
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
	case WATCH_CONTROLS: case WATCH_CONTROL: case WATCH_CLIENT:
		break;			/* see controls() */
	case WATCH_INOTIFY:
		net_inotify(n);
		break;
	case WATCH_WAKE:
		if (read(n->wake, &count, sizeof(count)) == -1)
			return;
		break;
	}
}

/*
 * To be woken up costs more than all else in a hop, so after an event we look
 * for the next for a moment before we sleep.  Where that is in vain, for want
 * of traffic or of processors, it is tried ever more rarely.
 */
static int
spin(struct link_net *n, int64_t left, struct epoll_event *ev)
{
	int64_t until = n->now_ns + (left < SPIN_NS ? left : SPIN_NS);
	int cnt;

	if (!n->stirred || n->spin_skip-- > 0)
		return 0;
	do {
		cnt = epoll_wait(n->epoll, ev, LINK_EVENTS_MAX, 0);
		if (cnt != 0) {
			n->spin_skip = n->spin_rest = 0;
			return cnt;
		}
	} while (net_now(n) < until);
	n->spin_rest = n->spin_rest < SPIN_REST ? 2 * n->spin_rest + 1 :
	    SPIN_REST;
	n->spin_skip = n->spin_rest;
	return 0;
}

static int
wait_events(struct link_net *n, struct mono deadline, struct epoll_event *ev)
{
	int64_t at = deadline.ns, left;
	struct timespec ts;
	int cnt;

	if (n->heap_cnt > 0 && n->heap[1]->at_ns < at)
		at = n->heap[1]->at_ns;
	left = at - n->now_ns;
	if (left < 0 || n->run != NULL || n->news)
		left = 0;
	n->news = false;
	if (left > 0 && (cnt = spin(n, left, ev)) != 0)
		return cnt;
	ts.tv_sec = left / NUM_NS_PER_S;
	ts.tv_nsec = left % NUM_NS_PER_S;
	return epoll_pwait2(n->epoll, ev, LINK_EVENTS_MAX,
	    at == INT64_MAX && left != 0 ? NULL : &ts, NULL);
}

/* Each at most once, and not for long: others wait to be seen. */
static void
run_later(struct link_net *n)
{
	const struct dir *last = n->run_last;
	int64_t start = net_now(n);
	struct dir *d;

	while ((d = n->run) != NULL) {
		n->run = d->run_next;
		d->queued_run = false;
		if (!d->conn->gone)
			dir_pump(d);
		look_up(n);
		if (d == last || n->now_ns - start >= RUN_NS)
			break;
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
	n->stirred = cnt > 0;
	net_now(n);
	for (int i = 0; i < cnt; i++) {
		w = ev[i].data.ptr;
		if (w->kind == WATCH_CONTROLS)
			controls(n);
	}
	for (int i = 0; i < cnt; i++) {
		event(n, &ev[i]);
		look_up(n);
	}
	run_later(n);
	conn_reap(n);
	sources_check(n);
	return 0;
}
