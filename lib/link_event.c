/*
 * link_event: what happens once.  A reset or a half-close is drawn anew each
 * time it is asked for, so its number on the link is part of the decision.
 */

#include <sys/pidfd.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "link_priv.h"

struct ending {
	const struct netctl *c;
	struct fault_hits hits;
};

static bool
is_chosen(struct link_net *n, struct ending *e, struct dir *d,
    enum fault_kind k)
{
	uint64_t number = d->link->fault[k].events;

	if (e->c->count > 0 && e->hits.conns >= e->c->count)
		return false;
	if (e->c->p < 1 && link_rand_unit(link_rand_number(dir_key(n, d,
	    fault_names[k]), number)) >= e->c->p)
		return false;
	e->hits.conns++;
	if (e->c->p < 1 || e->c->count > 0)
		log_decision(n, d, k, number);
	fault_bite(n, d->link, k);
	return true;
}

static void
reset_one(struct link_net *n, struct link *l, void *arg)
{
	struct ending *e = arg;
	struct dir *d, *next;

	e->hits.links++;
	l->fault[FAULT_RESET].events++;
	for (d = oldest_dir(l); d != NULL; d = next) {
		next = d->prev;
		if (d->side != 0 || !is_chosen(n, e, d, FAULT_RESET))
			continue;
		if (conn_reset(d->conn))
			e->hits.reset++;
		else
			e->hits.closed++;
	}
}

static void
half_close_one(struct link_net *n, struct link *l, void *arg)
{
	struct ending *e = arg;
	struct dir *d, *next;

	e->hits.links++;
	l->fault[FAULT_HALFCLOSE].events++;
	for (d = oldest_dir(l); d != NULL; d = next) {
		next = d->prev;
		if (d->closed_in || d->discard ||
		    !is_chosen(n, e, d, FAULT_HALFCLOSE))
			continue;
		if (dir_end(d, CHUNK_END) == -1) {
			(void)conn_reset(d->conn);
			continue;
		}
		d->discard = true;
		/* In order behind what is under way; at once if nothing is. */
		dir_pump(d);
	}
}

void
verb_end(struct link_net *n, const struct netctl *c, struct answer *a)
{
	struct ending e = { .c = c };
	bool reset = c->verb == NETCTL_RESET;
	enum fault_kind k = reset ? FAULT_RESET : FAULT_HALFCLOSE;

	n->fault_ever[k] = true;
	n->fault_bites[k] = 0;
	if (pairs_each(n, c->a, c->b, reset, a, reset ? reset_one :
	    half_close_one, &e) == -1)
		return;
	if (reset)
		answer_result(a, "conns=%" PRIu64 " reset=%" PRIu64
		    " closed=%" PRIu64, e.hits.conns, e.hits.reset,
		    e.hits.closed);
	else
		answer_result(a, "conns=%" PRIu64, e.hits.conns);
}

int
node_signal(struct node *b, int sig, struct answer *a)
{
	if (b->procs_cnt == 0) {
		answer_fail(a, EX_UNAVAILABLE, "no process of %s is registered "
		    "(node %s pid P)", b->name, b->name);
		return -1;
	}
	for (size_t i = 0; i < b->procs_cnt; i++) {
		if (pidfd_send_signal(b->procs[i].fd, sig, NULL, 0) == -1) {
			answer_fail(a, errno == EPERM ? EX_NOPERM :
			    EX_UNAVAILABLE, "process %d of %s: %s",
			    (int)b->procs[i].pid, b->name, strerror(errno));
			return -1;
		}
		b->procs[i].paused = sig == SIGSTOP;
	}
	return (int)b->procs_cnt;
}

void
verb_signal(struct link_net *n, const struct netctl *c, struct answer *a)
{
	int sig = c->verb == NETCTL_PAUSE ? SIGSTOP :
	    c->verb == NETCTL_RESUME ? SIGCONT : SIGKILL;
	bool in[LINK_NODES_MAX + 1];
	int sent = 0, r;

	if (set_nodes(n, c->a, in, a) == -1)
		return;
	for (size_t i = 1; i < n->nodes_cnt; i++) {
		if (!in[i])
			continue;
		if ((r = node_signal(n->nodes[i], sig, a)) == -1)
			return;
		sent += r;
	}
	answer_result(a, "processes=%d", sent);
}
