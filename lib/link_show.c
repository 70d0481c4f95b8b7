/* link_show: what is, as lines; and whether a condition holds. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "exits.h"
#include "link_priv.h"
#include "num.h"

void
body_line(struct answer *a, const char *fmt, ...)
{
	char text[16384];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (buf_printf(a->body, " %s\n", text) == -1) {
		answer_fail(a, EX_OSERR, "%s", strerror(errno));
		return;
	}
	a->lines++;
}

/* --- status ------------------------------------------------------------ */

static double
seconds(const struct link_net *n, int64_t at_ns)
{
	return (double)(at_ns - n->start_ns) / 1e9;
}

/* "cut hold bites=3 first=1.203", with the fault's own parameter. */
static int
put_fault(struct link_net *n, struct buf *b, const struct link *l,
    enum fault_kind k, bool json)
{
	const struct fault *f = &l->fault[k];
	char param[48] = "", time[24];

	if (k <= FAULT_CONNECT) {
		(void)snprintf(param, sizeof(param), ":%s",
		    netctl_mode_name(f->mode));
	} else if (k == FAULT_DELAY) {
		(void)snprintf(param, sizeof(param), ":%s",
		    num_format_duration(f->time_ns, time, sizeof(time)));
	} else if (k == FAULT_RATE || k == FAULT_SLICE || k == FAULT_LIMIT) {
		(void)snprintf(param, sizeof(param), ":%" PRIu64, f->number);
	} else if (FAULT_BIT(k) & FAULT_FRAMED) {
		(void)snprintf(param, sizeof(param), ":%g", f->p);
	}
	if (json)
		return buf_printf(b, "%s{\"fault\":\"%s\",\"with\":\"%s\","
		    "\"bites\":%" PRIu64 ",\"first\":%.3f}",
		    b->data[b->len - 1] == '[' ? "" : ",", fault_names[k],
		    param[0] != '\0' ? param + 1 : "", f->bites,
		    f->bites > 0 ? seconds(n, f->first_ns) : 0.0);
	if (f->bites == 0)
		return buf_printf(b, " %s%s(0)", fault_names[k], param);
	return buf_printf(b, " %s%s(%" PRIu64 "@%.3f)", fault_names[k], param,
	    f->bites, seconds(n, f->first_ns));
}

static uint64_t
held_now(const struct link *l)
{
	uint64_t held = 0;

	for (const struct dir *d = l->dirs; d != NULL; d = d->next)
		if (d->blocked)
			held += d->queued + d->partial.len;
	return held;
}

static void
status_link(struct link_net *n, struct link *l, struct answer *a, bool json)
{
	struct buf b = { 0 };
	const char *state = link_blocked(l) ? "blocked" : "open";
	int rc;

	rc = buf_printf(&b, json ? "{\"from\":\"%s\",\"to\":\"%s\","
	    "\"state\":\"%s\",\"conns\":%" PRIu64 ",\"carried\":%" PRIu64
	    ",\"held\":%" PRIu64 ",\"held_ever\":%" PRIu64 ",\"dropped\":%"
	    PRIu64 ",\"opened\":%" PRIu64 ",\"deferred\":%" PRIu64
	    ",\"refused\":%" PRIu64 ",\"reset\":%" PRIu64 ",\"frame\":\"%s\","
	    "\"faults\":[" : "%s %s %s conns=%" PRIu64 " carried=%" PRIu64
	    " held=%" PRIu64 " held-ever=%" PRIu64 " dropped=%" PRIu64
	    " opened=%" PRIu64 " deferred=%" PRIu64 " refused=%" PRIu64
	    " reset=%" PRIu64 " frame=%s", l->from->name, l->to->name, state,
	    l->conns, l->carried, held_now(l), l->held_ever, l->dropped,
	    l->opened, l->deferred, l->refused, l->resets,
	    netctl_frame_name(l->frame));
	for (int k = 0; rc == 0 && k < FAULT_RESET; k++)
		if (l->fault[k].on)
			rc = put_fault(n, &b, l, (enum fault_kind)k, json);
	if (rc == 0 && json)
		rc = buf_put_str(&b, "]}");
	else if (rc == 0 && l->carried == 0 && l->conns + l->opened == 0)
		rc = buf_put_str(&b, " never-used");
	if (rc == 0)
		body_line(a, "%.*s", (int)b.len, (char *)b.data);
	buf_release(&b);
}

static void
status_nodes(struct link_net *n, struct answer *a, bool json)
{
	for (size_t i = 1; i < n->nodes_cnt; i++) {
		const struct node *b = n->nodes[i];

		for (size_t k = 0; k < b->procs_cnt; k++)
			body_line(a, json ? "{\"node\":\"%s\",\"pid\":%d,"
			    "\"paused\":%s}" : "node %s pid=%d paused=%s",
			    b->name, (int)b->procs[k].pid,
			    b->procs[k].paused ? json ? "true" : "yes" :
			    json ? "false" : "no");
	}
}

struct showing {
	struct answer *a;
	bool json;
};

static void
status_one(struct link_net *n, struct link *l, void *arg)
{
	struct showing *s = arg;

	status_link(n, l, s->a, s->json);
}

void
show_status(struct link_net *n, const struct netctl *c, struct answer *a)
{
	struct showing s = { .a = a, .json = c->what == NETCTL_JSON };

	if (c->a != NULL) {
		(void)pairs_each(n, c->a, c->b, true, a, status_one, &s);
		return;
	}
	body_line(a, s.json ? "{\"net\":\"up\",\"t\":%.3f,\"seed\":%" PRIu64
	    ",\"nodes\":%zu,\"conns\":%zu,\"buffered\":%" PRIu64
	    ",\"scheduled\":%zu,\"chaos\":%s}" : "net up t=%.3f seed=%" PRIu64
	    " nodes=%zu conns=%zu buffered=%" PRIu64 " scheduled=%zu chaos=%s",
	    seconds(n, net_now(n)), n->seed, n->nodes_cnt - 1, n->conns_cnt,
	    n->buffered, n->scheds_cnt, n->chaos ? s.json ? "true" : "yes" :
	    s.json ? "false" : "no");
	status_nodes(n, a, s.json);
	for (size_t i = 0; i < n->nodes_cnt; i++)
		for (size_t j = 0; j < n->nodes_cnt; j++)
			if (n->links[i][j] != NULL && ((i != LINK_UNKNOWN &&
			    j != LINK_UNKNOWN) || n->links[i][j]->opened > 0 ||
			    link_blocked(n->links[i][j])))
				status_link(n, n->links[i][j], a, s.json);
}

void
show_peers(struct link_net *n, const struct netctl *c, struct answer *a)
{
	bool in[LINK_NODES_MAX + 1];
	char text[512];

	if (set_nodes(n, c->a != NULL ? c->a : "all", in, a) == -1)
		return;
	for (size_t i = 1; i < n->nodes_cnt; i++)
		for (size_t j = 1; in[i] && j < n->nodes_cnt; j++) {
			if (n->links[i][j] == NULL)
				continue;
			for (const struct port *p = n->links[i][j]->ports;
			    p != NULL; p = p->link_next)
				if (address_format(&p->listen, text,
				    sizeof(text)) == 0)
					body_line(a, "%s %s %s %s",
					    n->nodes[i]->name,
					    n->nodes[j]->name, text,
					    p->name[0] != '\0' ? p->name :
					    "raft");
		}
	for (const struct port *p = n->ports; p != NULL; p = p->next)
		if (p->link == NULL &&
		    address_format(&p->listen, text, sizeof(text)) == 0)
			body_line(a, "all %s %s shared", p->node->name, text);
}

void
show_help(struct answer *a)
{
	const char *usage;

	for (size_t i = 0; (usage = netctl_usage(i)) != NULL; i++)
		body_line(a, "%s", usage);
	body_line(a, "at [+]TIME ..., every TIME [repeat N] ..., repeat N ...");
	body_line(a, "nodes: NAME, NAME,NAME or all; modes: hold drop reset "
	    "refuse; see partsim-control(5)");
}

/* --- conditions -------------------------------------------------------- */

struct tally {
	bool count;			/* connections, which takes time */
	uint64_t carried, conns, bites, links, blocked;
};

static void
tally_one(struct link_net *n, struct link *l, void *arg)
{
	struct tally *t = arg;

	(void)n;
	t->links++;
	t->carried += l->carried;
	t->blocked += link_blocked(l) ? 1 : 0;
	for (const struct dir *d = l->dirs; t->count && d != NULL; d = d->next)
		t->conns += d->side == 0 ? 1 : 0;
	for (int k = 0; k < FAULT_KINDS; k++)
		t->bites += l->fault[k].bites;
}

static int
all_bit(const struct link_net *n, char *why, size_t why_len)
{
	bool any = false;

	for (int k = 0; k < FAULT_KINDS; k++) {
		if (!n->fault_ever[k])
			continue;
		any = true;
		if (n->fault_bites[k] == 0) {
			(void)snprintf(why, why_len, "%s touched nothing",
			    fault_names[k]);
			return 0;
		}
	}
	if (!any)
		(void)snprintf(why, why_len, "no fault was ever set");
	return any;
}

int
condition(struct link_net *n, const struct netctl *c, struct answer *a,
    char *why, size_t why_len)
{
	struct tally t = { .count = c->what == NETCTL_CONNS };

	if (c->what == NETCTL_IDLE) {
		(void)snprintf(why, why_len, "%zu lines are scheduled",
		    n->scheds_cnt);
		return n->scheds_cnt == 0 && !n->chaos;
	}
	if (c->what == NETCTL_BIT && c->a == NULL)
		return all_bit(n, why, why_len);
	if (pairs_each(n, c->a, c->b, c->what == NETCTL_BIT, a, tally_one,
	    &t) == -1)
		return -1;
	switch (c->what) {
	case NETCTL_BIT:
		(void)snprintf(why, why_len, "nothing between %s and %s was "
		    "touched", c->a, c->b);
		return t.bites > 0;
	case NETCTL_BLOCKED:
		(void)snprintf(why, why_len, "%" PRIu64 " of %" PRIu64
		    " links from %s to %s are open", t.links - t.blocked,
		    t.links, c->a, c->b);
		return t.blocked == t.links;
	case NETCTL_OPEN:
		(void)snprintf(why, why_len, "%" PRIu64 " of %" PRIu64
		    " links from %s to %s are blocked", t.blocked, t.links,
		    c->a, c->b);
		return t.blocked == 0;
	case NETCTL_CARRIED:
		(void)snprintf(why, why_len, "%s to %s carried %" PRIu64
		    " bytes, not %" PRIu64, c->a, c->b, t.carried, c->number);
		return t.carried >= c->number;
	default:
		(void)snprintf(why, why_len, "%s to %s: %" PRIu64
		    " connections, not %" PRIu64, c->a, c->b, t.conns,
		    c->number);
		return t.conns == c->number;
	}
}
