/*
 * link_conn: a caller is accepted at once and its destination dialled when
 * nothing is in the way from the one to the other; a connection is freed at
 * the end of the turn in which it ended.
 *
 * Resets.  TCP has them; a Unix socket gives its peer ECONNRESET when it is
 * closed with bytes unread.  So of small reads the last byte is looked at but
 * left in the queue, and taken with the next read.
 */

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/un.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link_priv.h"
#include "num.h"
#include "sock.h"

#define REDIAL_NS	(2 * NUM_NS_PER_MS)	/* a full backlog */
#define UNREAD_TURNS	64		/* more than a socket buffer holds */
#define END_EVENTS	(EPOLLIN | EPOLLRDHUP | EPOLLET)

static int
end_open(struct link_net *n, struct conn *c, unsigned int side, int fd,
    bool local)
{
	struct end *e = &c->end[side];
	int on = 1;

	e->watch = (struct watch){ .kind = WATCH_END, .side = side,
	    .owner = c };
	e->local = local;
	e->readable = e->writable = true;
	if (!local)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (net_watch(n->epoll, fd, &e->watch, END_EVENTS) == -1)
		return -1;
	e->fd = fd;
	return 0;
}

void
end_out(struct conn *c, unsigned int side, bool want)
{
	struct end *e = &c->end[side];

	if (e->want_out == want || e->fd == -1)
		return;
	e->want_out = want;
	(void)net_rewatch(c->net->epoll, e->fd, &e->watch, END_EVENTS |
	    (want ? EPOLLOUT : 0));
}

static void
dir_link(struct dir *d, struct link *l)
{
	d->link = l;
	d->prev = NULL;
	if ((d->next = l->dirs) != NULL)
		d->next->prev = d;
	l->dirs = d;
	l->buffered += d->buffered;
	l->conns++;
}

static void
dir_unlink(struct dir *d)
{
	if (d->prev != NULL)
		d->prev->next = d->next;
	else
		d->link->dirs = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	d->link->buffered -= d->buffered;
	d->link->conns--;
}

static void
redial(struct link_net *n, void *arg)
{
	(void)n;
	conn_dial(arg);
}

static void
conn_pump(struct conn *c)
{
	if (!c->gone)
		dir_pump(&c->dir[0]);
	if (!c->gone)
		dir_pump(&c->dir[1]);
}

/* --- opening ----------------------------------------------------------- */

void
conn_accept(struct link_net *n, struct port *p, int fd)
{
	unsigned int who = LINK_UNKNOWN;
	struct link *l = p->link, *back;
	struct conn *c;

	if (l == NULL) {
		who = who_calls(n, fd, !p->listen.tcp);
		l = link_get(n, who, p->node->index);
	}
	back = l != NULL ? link_get(n, l->to->index, l->from->index) : NULL;
	if (back == NULL || n->conns_cnt == LINK_CONNS_MAX ||
	    (c = calloc(1, sizeof(*c))) == NULL) {
		log_note(n, "conn", "no room for a connection to %s",
		    p->node->name);
		close(fd);
		return;
	}
	c->net = n;
	c->port = p;
	c->link = l;
	c->end[0].fd = c->end[1].fd = -1;
	if (end_open(n, c, 0, fd, !p->listen.tcp) == -1) {
		close(fd);
		free(c);
		return;
	}
	c->end[0].connected = true;
	c->ordinal = ++p->ordinals[p->link == NULL ? who : 0];
	c->redial.fire = redial;
	c->redial.arg = c;
	for (unsigned int s = 0; s < 2; s++) {
		c->dir[s].conn = c;
		c->dir[s].side = s;
		dir_link(&c->dir[s], s == 0 ? l : back);
	}
	if ((c->next = n->conns) != NULL)
		c->next->prev = c;
	n->conns = c;
	n->conns_cnt++;
	l->opened++;
	if (p->link == NULL && who == LINK_UNKNOWN)
		log_note(n, "unknown", "caller ? of %s conn %llu",
		    p->node->name, (unsigned long long)c->ordinal);
	trace_seen(n, SEEN_OPEN, &c->dir[0], n->now_ns, 0);
	conn_decide(c);
	conn_dial(c);
}

/*
 * What keeps the caller from its destination: -1 nothing, else the mode.  Where
 * answers would be reset there is nothing to open either.
 */
static int
in_the_way(const struct conn *c)
{
	const struct dir *d = &c->dir[0], *back = &c->dir[1];
	const struct fault *f = &d->link->fault[FAULT_CONNECT];
	int mode = d->blocked ? (int)d->mode : -1;

	if ((d->hit & FAULT_BIT(FAULT_CONNECT)) && c->end[1].fd == -1 &&
	    (int)f->mode > mode)
		mode = (int)f->mode;
	if (back->blocked && back->mode >= NETCTL_MODE_RESET &&
	    (int)back->mode > mode)
		mode = (int)back->mode;
	return mode;
}

static void
bite_connect(struct conn *c)
{
	struct dir *d = &c->dir[0], *back = &c->dir[1];

	for (int k = 0; k <= FAULT_CONNECT; k++) {
		if (d->hit & FAULT_BIT(k))
			fault_bite(c->net, d->link, (enum fault_kind)k);
		if ((back->hit & FAULT_BIT(k)) &&
		    back->mode >= NETCTL_MODE_RESET)
			fault_bite(c->net, back->link, (enum fault_kind)k);
	}
}

static void
turn_away(struct conn *c)
{
	bite_connect(c);
	c->link->refused++;
	(void)conn_reset(c);
}

/* Move a connection of "?" to the node it turned out to be of. */
void
conn_join(struct conn *c, struct link *l)
{
	struct link *back = link_get(c->net, l->to->index, l->from->index);

	if (back == NULL)
		return;
	c->ordinal = ++c->port->ordinals[l->from->index];
	for (unsigned int s = 0; s < 2; s++) {
		dir_unlink(&c->dir[s]);
		dir_link(&c->dir[s], s == 0 ? l : back);
		c->dir[s].hit = 0;
	}
	c->link->opened--;
	c->link = l;
	l->opened++;
	conn_decide(c);
	if (in_the_way(c) >= (int)NETCTL_MODE_RESET)
		turn_away(c);
	else if (c->end[1].fd == -1)
		conn_dial(c);
	else
		conn_pump(c);
}

static int
dial(struct conn *c)
{
	const struct address *to = &c->port->to;
	int fd, saved;

	if (!to->tcp)
		return sock_connect(to->path);
	fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (const struct sockaddr *)&to->sa, to->sa_len) == -1 &&
	    errno != EINPROGRESS) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

void
conn_dial(struct conn *c)
{
	struct link_net *n = c->net;
	struct end *e = &c->end[1];
	int fd, mode;

	if (c->gone || e->fd != -1)
		return;
	if ((mode = in_the_way(c)) >= (int)NETCTL_MODE_RESET) {
		turn_away(c);
		return;
	}
	if (mode != -1) {
		if (!c->dialling) {
			c->link->deferred++;
			bite_connect(c);
		}
		c->dialling = true;
		conn_pump(c);		/* what it sends is held, or dropped */
		return;
	}
	c->dialling = true;
	if ((fd = dial(c)) == -1) {
		if (errno == EAGAIN)
			(void)timer_arm(n, &c->redial, n->now_ns + REDIAL_NS);
		else
			(void)conn_reset(c);
		return;
	}
	if (end_open(n, c, 1, fd, !c->port->to.tcp) == -1) {
		close(fd);
		(void)conn_reset(c);
		return;
	}
	if (c->port->to.tcp) {
		e->writable = false;
		end_out(c, 1, true);
		return;
	}
	e->connected = true;
	conn_pump(c);
}

static void
conn_dialled(struct conn *c)
{
	struct end *e = &c->end[1];
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1 ||
	    error != 0) {
		(void)conn_reset(c);
		return;
	}
	e->connected = true;
}

/* --- events and ends --------------------------------------------------- */

/*
 * A caller that gives up before its destination was dialled has never called:
 * its connection must not turn up there after healing.  A TCP caller that has
 * sent something may only have shut its side, so its bytes still count.
 */
static bool
gave_up(const struct conn *c, uint32_t events)
{
	const struct dir *d = &c->dir[0];

	if (c->end[1].fd != -1)
		return false;
	if (c->end[0].local)
		return events & EPOLLHUP;
	return (events & EPOLLERR) || (d->closed_in && d->in == 0);
}

void
conn_event(struct conn *c, unsigned int side, uint32_t events)
{
	struct end *e = &c->end[side];

	if (c->gone)
		return;
	if (gave_up(c, events)) {
		conn_close(c);
		return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		e->hangup = true;
	if (!e->connected && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		conn_dialled(c);
	if (c->gone)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		e->readable = true;
		dir_pump(&c->dir[side]);
		if (!c->gone && gave_up(c, events))
			conn_close(c);
	}
	if (c->gone || !(events & EPOLLOUT))
		return;
	e->writable = true;
	dir_pump(&c->dir[!side]);
	if (!c->gone && e->writable && c->dir[!side].head == NULL)
		end_out(c, side, false);
}

/*
 * The peer at this end is gone altogether.  What it sent still travels, and
 * behind it the reset; what is on its way to it has nowhere to go.
 */
void
end_died(struct conn *c, unsigned int side)
{
	struct dir *from = &c->dir[side];

	if (c->end[side].dead || c->gone)
		return;
	c->end[side].dead = true;
	c->end[side].readable = false;
	from->closed_in = true;
	if (dir_end(from, CHUNK_RESET) == -1) {
		(void)conn_reset(c);
		return;
	}
	dir_pump(from);
}

static void
conn_end(struct conn *c)
{
	struct link_net *n = c->net;

	c->gone = true;
	timer_disarm(n, &c->redial);
	for (unsigned int s = 0; s < 2; s++) {
		dir_release(&c->dir[s]);
		dir_unlink(&c->dir[s]);
		if (c->end[s].fd != -1)
			close(c->end[s].fd);
		c->end[s].fd = -1;
	}
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		n->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	n->conns_cnt--;
	c->dead_next = n->dead;
	n->dead = c;
}

/* An end of file for both, so nothing may be left unread. */
void
conn_close(struct conn *c)
{
	struct link_net *n = c->net;

	if (c->gone)
		return;
	for (unsigned int s = 0; s < 2; s++)
		for (int i = 0; c->end[s].fd != -1 && i < UNREAD_TURNS; i++)
			if (recv(c->end[s].fd, n->buf, LINK_READ_MAX,
			    MSG_DONTWAIT) <= 0)
				break;
	conn_end(c);
}

bool
conn_reset(struct conn *c)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	bool all = true;
	int unread;

	if (c->gone)
		return false;
	for (unsigned int s = 0; s < 2; s++) {
		struct end *e = &c->end[s];

		if (e->fd == -1)
			continue;
		if (!e->local) {
			(void)setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &linger,
			    sizeof(linger));
			continue;
		}
		unread = 0;
		if (ioctl(e->fd, FIONREAD, &unread) == -1 || unread == 0)
			all = false;
	}
	c->link->resets++;
	trace_seen(c->net, SEEN_RESET, &c->dir[0], c->net->now_ns, 0);
	conn_end(c);
	return all;
}

void
conn_reap(struct link_net *n)
{
	struct conn *c;

	while ((c = n->dead) != NULL) {
		n->dead = c->dead_next;
		free(c);
	}
}

void
conn_free_all(struct link_net *n)
{
	while (n->conns != NULL)
		conn_close(n->conns);
	n->run = NULL;
	conn_reap(n);
}
