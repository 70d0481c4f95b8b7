/*
 * link_fault: a fault belongs to a directed link; each direction of a
 * connection carries one bit for every fault of its link that hits it, decided
 * when the fault is set or the connection opens, and never again.
 */

#include <stdlib.h>
#include <string.h>

#include "link_priv.h"

#define BURST_MIN	1500.0

const char *const fault_names[FAULT_KINDS] = {
	"partition", "cut", "oneway", "hold", "flap", "connect", "delay",
	"rate", "slice", "limit-bytes", "loss", "dup", "reorder", "corrupt",
	"reset", "half-close"
};

/* --- decisions --------------------------------------------------------- */

static struct link_rand
conn_key(struct link_net *n, const struct conn *c, const char *purpose)
{
	struct link_rand key = link_rand_key(n->seed);

	key = link_rand_text(key, c->link->from->name);
	key = link_rand_text(key, c->link->to->name);
	key = link_rand_text(key, c->port->name);
	key = link_rand_number(key, c->ordinal);
	return link_rand_text(key, purpose);
}

struct link_rand
dir_key(struct link_net *n, const struct dir *d, const char *purpose)
{
	return link_rand_number(conn_key(n, d->conn, purpose), d->side + 1);
}

/* Both directions of a connection ask the same question, so they agree. */
bool
fault_decide(struct link_net *n, struct dir *d, enum fault_kind k)
{
	struct fault *f = &d->link->fault[k];

	if (!f->on || (k == FAULT_CONNECT && d->side != 0))
		return false;
	if (FAULT_BIT(k) & FAULT_FRAMED)
		return !d->unframed;
	if (f->count > 0 && f->used >= f->count)
		return false;
	if (f->p < 1 && link_rand_unit(conn_key(n, d->conn, fault_names[k])) >=
	    f->p)
		return false;
	f->used++;
	if (f->p < 1 || f->count > 0)
		log_decision(n, d, k, 0);
	return true;
}

bool
fault_draw_frame(struct link_net *n, struct dir *d, enum fault_kind k)
{
	struct fault *f = &d->link->fault[k];

	if (!(d->hit & FAULT_BIT(k)) ||
	    (f->count > 0 && f->used >= f->count) ||
	    link_rand_unit(link_rand_number(dir_key(n, d, fault_names[k]),
	    d->frames)) >= f->p)
		return false;
	f->used++;
	log_decision(n, d, k, d->frames);
	return true;
}

void
fault_bite(struct link_net *n, struct link *l, enum fault_kind k)
{
	struct fault *f = &l->fault[k];

	if (f->bites++ == 0)
		f->first_ns = n->now_ns;
	n->fault_bites[k]++;
}

/* --- what holds now ---------------------------------------------------- */

bool
link_blocked(const struct link *l)
{
	for (int k = 0; k < FAULT_CONNECT; k++)
		if (l->fault[k].on && l->fault[k].p > 0)
			return true;
	return false;
}

static void
set_blocked(struct dir *d)
{
	d->blocked = false;
	d->mode = NETCTL_MODE_HOLD;
	for (int k = 0; k < FAULT_CONNECT; k++) {
		if (!(d->hit & FAULT_BIT(k)))
			continue;
		d->blocked = true;
		if (d->link->fault[k].mode > d->mode)
			d->mode = d->link->fault[k].mode;
	}
}

/* The first to come now waits for nothing any more. */
static void
undelay(struct dir *d)
{
	int64_t now = d->conn->net->now_ns;

	for (struct chunk *ck = d->head; ck != NULL; ck = ck->next)
		if (ck->at_ns > now)
			ck->at_ns = now;
}

static void
end_conn(struct conn *c, struct fault_hits *h)
{
	if (conn_reset(c))
		h->reset++;
	else
		h->closed++;
}

/* After its hits have changed. */
static void
dir_refresh(struct dir *d, struct fault_hits *h)
{
	bool was = d->blocked;

	set_blocked(d);
	if (!was && d->blocked)
		dir_hold(d);
	if (was && !d->blocked && d->doomed) {
		end_conn(d->conn, h);
		return;
	}
	if (!(d->hit & FAULT_BIT(FAULT_DELAY)))
		undelay(d);
	if (!(d->hit & FAULT_BIT(FAULT_SLICE)))
		d->not_before_ns = 0;
	/* Its timer was for the faults of before. */
	timer_disarm(d->conn->net, &d->timer);
	dir_run_later(d);
}

void
conn_decide(struct conn *c)
{
	for (unsigned int s = 0; s < 2; s++) {
		struct dir *d = &c->dir[s];

		for (int k = 0; k < FAULT_RESET; k++)
			if (fault_decide(c->net, d, (enum fault_kind)k))
				d->hit |= FAULT_BIT(k);
		d->limit_from = d->out;
		set_blocked(d);
	}
}

/* Listeners of the link refuse while some fault for all of it says so. */
static void
refresh_ports(struct link_net *n, struct link *l)
{
	const struct fault *f;
	bool refuse = false;

	for (int k = 0; k <= FAULT_CONNECT; k++) {
		f = &l->fault[k];
		if (f->on && f->mode == NETCTL_MODE_REFUSE && f->p >= 1 &&
		    f->count == 0)
			refuse = true;
	}
	for (struct port *p = l->ports; p != NULL; p = p->link_next)
		port_refuse(n, p, refuse);
}

/* --- setting and lifting ----------------------------------------------- */

struct dir *
oldest_dir(struct link *l)
{
	struct dir *d = l->dirs;

	while (d != NULL && d->next != NULL)
		d = d->next;
	return d;
}

static void
count_conn(struct link_net *n, struct conn *c, struct fault_hits *h)
{
	if (c->counted == n->verbs)
		return;
	c->counted = n->verbs;
	h->conns++;
}

static void
hit_dir(struct link_net *n, struct dir *d, enum fault_kind k,
    struct fault_hits *h)
{
	const struct fault *f = &d->link->fault[k];
	struct conn *c = d->conn;

	d->hit &= ~FAULT_BIT(k);
	/* Connections that are through already are none of connect's. */
	if (k == FAULT_CONNECT && (d->side != 0 || c->end[1].fd != -1))
		return;
	if (!fault_decide(n, d, k)) {
		dir_refresh(d, h);
		return;
	}
	count_conn(n, c, h);
	d->hit |= FAULT_BIT(k);
	if (k == FAULT_LIMIT)
		d->limit_from = d->out;
	if ((FAULT_BIT(k) & FAULT_BLOCKS) && f->mode >= NETCTL_MODE_RESET) {
		fault_bite(n, d->link, k);
		end_conn(c, h);
		return;
	}
	dir_refresh(d, h);
}

static void
in_force(struct link_net *n, enum fault_kind k)
{
	bool any = false;

	for (size_t i = 0; i < n->nodes_cnt; i++)
		for (size_t j = 0; j < n->nodes_cnt; j++)
			if (n->links[i][j] != NULL)
				any |= n->links[i][j]->fault[k].on;
	if (!any)
		n->fault_bites[k] = 0;
	n->fault_ever[k] = true;
}

void
fault_set(struct link_net *n, struct link *l, enum fault_kind k,
    const struct netctl *c, struct fault_hits *h)
{
	struct fault *f = &l->fault[k];
	struct dir *d, *next;
	bool fresh = !f->on;

	in_force(n, k);
	f->on = true;
	f->mode = c->mode;
	f->dist = c->dist;
	f->p = c->p;
	f->count = c->count;
	f->used = 0;
	f->time_ns = c->time_ns;
	f->time2_ns = c->time2_ns;
	f->number = c->number;
	if (fresh) {
		f->bites = 0;
		f->first_ns = 0;
	}
	h->links++;
	if (k == FAULT_RATE) {
		l->tokens = BURST_MIN;
		l->tokens_ns = n->now_ns;
	}
	refresh_ports(n, l);
	for (d = oldest_dir(l); d != NULL; d = next) {
		next = d->prev;
		hit_dir(n, d, k, h);
	}
}

void
fault_lift(struct link_net *n, struct link *l, unsigned int kinds,
    struct fault_hits *h)
{
	struct dir *d, *next;
	unsigned int had = 0;

	for (int k = 0; k < FAULT_KINDS; k++) {
		if (!(kinds & FAULT_BIT(k)) || !l->fault[k].on)
			continue;
		l->fault[k].on = false;
		had |= FAULT_BIT(k);
	}
	if (had == 0)
		return;
	h->links++;
	refresh_ports(n, l);
	for (d = oldest_dir(l); d != NULL; d = next) {
		next = d->prev;
		if (!(d->hit & had))
			continue;
		count_conn(n, d->conn, h);
		d->hit &= ~had;
		dir_refresh(d, h);
		if (!d->conn->gone)
			conn_dial(d->conn);
	}
}
