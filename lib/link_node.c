/* link_node: the words that make nodes, their processes, sockets, framing. */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "link_priv.h"
#include "num.h"

/* Connections of "?" that turn out to be of a registered process. */
static size_t
recognise(struct link_net *n)
{
	struct conn *c, *next;
	struct link *l;
	unsigned int who;
	size_t cnt = 0;

	for (c = n->conns; c != NULL; c = next) {
		next = c->next;
		if (c->link->from->index != LINK_UNKNOWN ||
		    c->port->link != NULL)
			continue;
		who = who_calls(n, c->end[0].fd, c->end[0].local);
		if (who == LINK_UNKNOWN ||
		    (l = link_get(n, who, c->link->to->index)) == NULL)
			continue;
		conn_join(c, l);
		cnt++;
	}
	return cnt;
}

static void
node_pids(struct link_net *n, struct node *b, const struct netctl *c,
    struct answer *a)
{
	struct process procs[LINK_PIDS_MAX];
	size_t cnt = 0;
	uint64_t pid;

	if (c->list_cnt > LINK_PIDS_MAX) {
		answer_fail(a, EX_USAGE, "more than %u pids", LINK_PIDS_MAX);
		return;
	}
	for (; cnt < c->list_cnt; cnt++) {
		if (num_u64(c->list[cnt], 1, INT32_MAX, &pid) == -1) {
			answer_fail(a, EX_USAGE, "\"%s\" is no pid",
			    c->list[cnt]);
			break;
		}
		if (process_open((pid_t)pid, &procs[cnt]) == -1) {
			answer_fail(a, EX_UNAVAILABLE, "no process %s",
			    c->list[cnt]);
			break;
		}
	}
	if (a->status != 0) {
		while (cnt-- > 0)
			close(procs[cnt].fd);
		return;
	}
	for (size_t i = 0; i < b->procs_cnt; i++)
		process_close(&b->procs[i]);
	memcpy(b->procs, procs, cnt * sizeof(procs[0]));
	b->procs_cnt = cnt;
	answer_result(a, "pids=%zu joined=%zu", cnt, recognise(n));
}

static void
node_addr(struct link_net *n, struct node *b, const struct netctl *c,
    struct answer *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&b->addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&b->addr;

	memset(&b->addr, 0, sizeof(b->addr));
	if (inet_pton(AF_INET, c->to, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
	} else if (inet_pton(AF_INET6, c->to, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
	} else {
		answer_fail(a, EX_USAGE, "\"%s\" is no address", c->to);
		return;
	}
	b->has_addr = true;
	answer_result(a, "joined=%zu", recognise(n));
}

/* Make a listening socket and log it with the port it got. */
static void
listen_to(struct link_net *n, struct link *l, struct node *shared,
    const struct netctl *c, const char *name, struct answer *a)
{
	struct address at = { 0 }, to = { 0 };
	struct port *p;
	char text[256], line[768];

	if (address_parse(c->listen, &at) == -1 ||
	    address_parse(c->to, &to) == -1) {
		answer_fail(a, EX_USAGE, "\"%s\" is no address "
		    "(tcp:127.0.0.1:7001 or unix:path)",
		    at.tcp || at.path != NULL ? c->to : c->listen);
		goto out;
	}
	if (port_make(n, l, shared, &at, &to, name, &p) == -1) {
		answer_fail(a, EX_CANTCREAT, "%s: %s", c->listen,
		    strerror(errno));
		goto out;
	}
	if (address_format(&p->listen, text, sizeof(text)) == -1)
		(void)strlcpy(text, c->listen, sizeof(text));
	answer_result(a, "listen=%s", text);
	if (l != NULL)
		(void)snprintf(line, sizeof(line), "link %s %s listen %s to "
		    "%s name %s", l->from->name, l->to->name, text, c->to,
		    name);
	else
		(void)snprintf(line, sizeof(line), "node %s listen %s to %s",
		    shared->name, text, c->to);
	log_verb(n, netctl_verb_name(c->verb), line, NULL, a->by);
	a->logged = true;
	return;
out:
	address_release(&at);
	address_release(&to);
}

static bool
name_taken(const struct link *l, const char *name)
{
	for (const struct port *p = l->ports; p != NULL; p = p->link_next)
		if (strcmp(p->name, name) == 0)
			return true;
	return false;
}

void
verb_link(struct link_net *n, const struct netctl *c, struct answer *a)
{
	struct node *from = node_find(n, c->a), *to = node_find(n, c->b);
	char name[NETCTL_NAME_MAX + 1];
	struct link *l;

	if (from == NULL || to == NULL) {
		answer_fail(a, EX_NOINPUT, "no node \"%s\"",
		    from == NULL ? c->a : c->b);
		return;
	}
	if (from == to || from->index == LINK_UNKNOWN ||
	    to->index == LINK_UNKNOWN) {
		answer_fail(a, EX_USAGE, "%s and %s make no link", c->a, c->b);
		return;
	}
	if ((l = link_get(n, from->index, to->index)) == NULL) {
		answer_fail(a, EX_OSERR, "%s", strerror(errno));
		return;
	}
	if (c->name != NULL && name_taken(l, c->name)) {
		answer_fail(a, EX_CANTCREAT, "%s %s has a socket %s", c->a,
		    c->b, c->name);
		return;
	}
	(void)strlcpy(name, c->name != NULL ? c->name : "tcp", sizeof(name));
	for (unsigned int i = 2; c->name == NULL && name_taken(l, name); i++)
		(void)snprintf(name, sizeof(name), "tcp%u", i);
	listen_to(n, l, NULL, c, name, a);
}

void
verb_node(struct link_net *n, const struct netctl *c, struct answer *a)
{
	struct node *b;

	if (node_make(n, c->a, &b) == -1) {
		answer_fail(a, EX_CANTCREAT, "node %s: %s", c->a,
		    strerror(errno));
		return;
	}
	if (c->what == NETCTL_PID)
		node_pids(n, b, c, a);
	else if (c->what == NETCTL_ADDR)
		node_addr(n, b, c, a);
	else if (c->what == NETCTL_LISTEN)
		listen_to(n, NULL, b, c, "listen", a);
}

struct framing {
	enum netctl_frame frame;
	uint64_t links, unframed;
};

static void
set_frame(struct link_net *n, struct link *l, void *arg)
{
	struct framing *fr = arg;

	(void)n;
	fr->links++;
	l->frame = fr->frame;
	for (struct dir *d = l->dirs, *next; d != NULL; d = next) {
		next = d->next;
		if (dir_unpart(d) == -1) {
			(void)conn_reset(d->conn);	/* bytes are lost */
			continue;
		}
		dir_run_later(d);
		free(d->frame);
		d->frame = NULL;
		d->unframed = d->in > 0;
		if (d->unframed) {
			d->hit &= ~FAULT_FRAMED;
			if (fr->frame != NETCTL_RAW)
				fr->unframed++;
		}
	}
	if (fr->frame == NETCTL_RAW) {
		struct fault_hits h = { 0 };

		fault_lift(n, l, FAULT_FRAMED, &h);
	}
}

void
verb_frame(struct link_net *n, const struct netctl *c, struct answer *a)
{
	struct framing fr = { .frame = c->frame };

	if (pairs_each(n, c->a, c->b, !c->oneway, a, set_frame, &fr) == -1)
		return;
	answer_result(a, "links=%" PRIu64, fr.links);
	if (fr.unframed > 0)
		answer_result(a, "unframed=%" PRIu64, fr.unframed);
}

