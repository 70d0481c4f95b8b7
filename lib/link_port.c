/*
 * link_port: a TCP listener that refuses is shut down but stays bound, so
 * that nobody can take the port meanwhile; a Unix one is closed and its path
 * left, which refuses as well, and is bound anew to listen again.
 */

#include <sys/epoll.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link_priv.h"
#include "num.h"
#include "sock.h"

#define AGAIN_NS	(100 * NUM_NS_PER_MS)	/* after EMFILE */
#define ACCEPTS_NS	NUM_NS_PER_MS
#define ACCEPTS_MAX	64U			/* in one turn */

/* --- addresses --------------------------------------------------------- */

static int
inet_parse(char *host, const char *port_text, struct address *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;
	size_t len = strlen(host);
	uint64_t port;

	if (num_u64(port_text, 0, 65535, &port) == -1)
		return -1;
	if (strcmp(host, "localhost") == 0)
		(void)strlcpy(host, "127.0.0.1", len + 1);
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		a->sa_len = sizeof(*in);
		return 0;
	}
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		host++;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		a->sa_len = sizeof(*in6);
		return 0;
	}
	errno = EINVAL;
	return -1;
}

int
address_parse(const char *text, struct address *a)
{
	char host[64];
	const char *colon;

	memset(a, 0, sizeof(*a));
	if (strncmp(text, "unix:", 5) == 0 && text[5] != '\0')
		return (a->path = strdup(text + 5)) == NULL ? -1 : 0;
	if (strncmp(text, "tcp:", 4) == 0) {
		a->tcp = true;
		text += 4;
		colon = strrchr(text, ':');
		if (colon != NULL && colon != text &&
		    (size_t)(colon - text) < sizeof(host)) {
			memcpy(host, text, (size_t)(colon - text));
			host[colon - text] = '\0';
			return inet_parse(host, colon + 1, a);
		}
	}
	errno = EINVAL;
	return -1;
}

int
address_format(const struct address *a, char *buf, size_t len)
{
	const struct sockaddr_in *in = (const void *)&a->sa;
	const struct sockaddr_in6 *in6 = (const void *)&a->sa;
	char host[INET6_ADDRSTRLEN] = "?";
	bool six = a->sa.ss_family == AF_INET6;
	int n;

	if (!a->tcp) {
		n = snprintf(buf, len, "unix:%s", a->path);
	} else {
		(void)inet_ntop(a->sa.ss_family, six ?
		    (const void *)&in6->sin6_addr : &in->sin_addr, host,
		    sizeof(host));
		n = snprintf(buf, len, six ? "tcp:[%s]:%u" : "tcp:%s:%u", host,
		    ntohs(six ? in6->sin6_port : in->sin_port));
	}
	return n < 0 || (size_t)n >= len ? -1 : 0;
}

void
address_release(struct address *a)
{
	free(a->path);
	a->path = NULL;
}

/* --- listening --------------------------------------------------------- */

static int
inet_bind(const struct address *a)
{
	int fd, on = 1;

	fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, (const struct sockaddr *)&a->sa, a->sa_len) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * A port that the kernel chose would be let go by shutdown(2): learn it, then
 * bind it by name.
 */
static int
inet_listen(struct address *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
	int fd, saved;

	/* sin_port and sin6_port are at the same place. */
	for (int tries = 0; in->sin_port == 0; tries++) {
		if ((fd = inet_bind(a)) == -1)
			return -1;
		if (getsockname(fd, (struct sockaddr *)&a->sa,
		    &a->sa_len) == -1) {
			close(fd);
			return -1;
		}
		close(fd);
		if ((fd = inet_bind(a)) != -1)
			goto bound;
		if (tries == 8)
			return -1;
		in->sin_port = 0;
	}
	if ((fd = inet_bind(a)) == -1)
		return -1;
bound:
	if (listen(fd, SOMAXCONN) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int
port_poll(struct link_net *n, struct port *p)
{
	if (p->polled)
		return 0;
	if (net_watch(n->epoll, p->fd, &p->watch, EPOLLIN) == -1)
		return -1;
	p->polled = true;
	return 0;
}

static void
port_unpoll(struct link_net *n, struct port *p)
{
	if (p->polled)
		net_unwatch(n->epoll, p->fd);
	p->polled = false;
}

static void
port_again(struct link_net *n, void *arg)
{
	struct port *p = arg;

	if (!p->refusing && p->fd != -1 && port_poll(n, p) == -1)
		(void)timer_arm(n, &p->again, n->now_ns + AGAIN_NS);
}

int
port_make(struct link_net *n, struct link *l, struct node *shared,
    struct address *at, const struct address *to,
    const char *name, struct port **pp)
{
	struct port *p;
	int saved;

	if (n->ports_cnt == LINK_PORTS_MAX) {
		errno = ENOSPC;
		return -1;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return -1;
	p->ordinals = calloc(shared != NULL ? LINK_NODES_MAX + 1 : 1,
	    sizeof(*p->ordinals));
	p->fd = p->ordinals == NULL ? -1 : at->tcp ? inet_listen(at) :
	    sock_listen(at->path, 0600);
	p->watch = (struct watch){ .kind = WATCH_PORT, .owner = p };
	p->again.fire = port_again;
	p->again.arg = p;
	if (p->fd == -1 || port_poll(n, p) == -1) {
		saved = errno;
		if (p->fd != -1)
			close(p->fd);
		free(p->ordinals);
		free(p);
		errno = saved;
		return -1;
	}
	p->link = l;
	p->node = shared;
	p->listen = *at;
	p->to = *to;
	(void)strlcpy(p->name, name, sizeof(p->name));
	p->next = n->ports;
	n->ports = p;
	n->ports_cnt++;
	if (shared == NULL) {
		p->node = l->to;
		p->link_next = l->ports;
		l->ports = p;
		for (int k = 0; k <= FAULT_CONNECT; k++)
			if (l->fault[k].on && l->fault[k].p >= 1 &&
			    l->fault[k].count == 0 &&
			    l->fault[k].mode == NETCTL_MODE_REFUSE)
				port_refuse(n, p, true);
	}
	if (pp != NULL)
		*pp = p;
	return 0;
}

void
port_refuse(struct link_net *n, struct port *p, bool refuse)
{
	if (p->refusing == refuse)
		return;
	p->refusing = refuse;
	if (refuse) {
		port_unpoll(n, p);
		if (p->listen.tcp) {
			(void)shutdown(p->fd, SHUT_RD);
		} else {
			close(p->fd);
			p->fd = -1;
		}
		return;
	}
	if (p->listen.tcp) {
		if (listen(p->fd, SOMAXCONN) == -1) {
			close(p->fd);
			p->fd = inet_listen(&p->listen);
		}
	} else {
		p->fd = sock_listen(p->listen.path, 0600);
	}
	if (p->fd == -1 || port_poll(n, p) == -1)
		log_note(n, "socket", "cannot listen again for %s: %s",
		    p->node->name, strerror(errno));
}

void
port_event(struct link_net *n, struct port *p)
{
	int64_t start = n->now_ns;
	int fd;

	/* To learn who calls takes time; the others wait for the next turn. */
	for (unsigned int i = 0; i < ACCEPTS_MAX && !p->refusing && (i == 0 ||
	    p->link != NULL || net_now(n) - start < ACCEPTS_NS); i++) {
		if ((fd = sock_accept(p->fd)) != -1) {
			conn_accept(n, p, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		/* No descriptors or memory: the callers wait in the backlog. */
		port_unpoll(n, p);
		log_note(n, "socket", "accept for %s: %s", p->node->name,
		    strerror(errno));
		(void)timer_arm(n, &p->again, n->now_ns + AGAIN_NS);
		return;
	}
}

void
port_free(struct link_net *n, struct port *p)
{
	struct port **pp;

	for (pp = &n->ports; *pp != NULL; pp = &(*pp)->next)
		if (*pp == p) {
			*pp = p->next;
			n->ports_cnt--;
			break;
		}
	timer_disarm(n, &p->again);
	if (p->fd != -1) {
		port_unpoll(n, p);
		close(p->fd);
	}
	if (!p->listen.tcp && p->listen.path != NULL)
		(void)unlink(p->listen.path);
	address_release(&p->listen);
	address_release(&p->to);
	free(p->ordinals);
	free(p);
}
