/* link_verb: what each word does, and what its answer says. */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "link_priv.h"
#include "num.h"

void
answer_fail(struct answer *a, int status, const char *fmt, ...)
{
	va_list ap;

	a->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(a->err, sizeof(a->err), fmt, ap);
	va_end(ap);
}

void
answer_result(struct answer *a, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (rc != -1) {
		rc = buf_printf(&a->result, "%s%s", a->result.len > 0 ? " " :
		    "", text);
		free(text);
	}
	if (rc == -1)
		answer_fail(a, EX_OSERR, "out of memory");
}

void
answer_hits(struct answer *a, const struct fault_hits *h)
{
	answer_result(a, "links=%" PRIu64 " conns=%" PRIu64, h->links,
	    h->conns);
	if (h->reset > 0 || h->closed > 0)
		answer_result(a, "reset=%" PRIu64 " closed=%" PRIu64, h->reset,
		    h->closed);
}

/* --- sets of nodes and links ------------------------------------------- */

int
set_nodes(struct link_net *n, const char *set, bool *in, struct answer *a)
{
	char name[NETCTL_NAME_MAX + 1];
	struct node *b;
	size_t len;

	memset(in, 0, (LINK_NODES_MAX + 1) * sizeof(*in));
	if (strcmp(set, "all") == 0) {
		for (size_t i = 1; i < n->nodes_cnt; i++)
			in[i] = true;
		return 0;
	}
	for (;; set += len + 1) {
		len = strcspn(set, ",");
		if (len >= sizeof(name))
			len = sizeof(name) - 1;
		memcpy(name, set, len);
		name[len] = '\0';
		if ((b = node_find(n, name)) == NULL) {
			answer_fail(a, EX_NOINPUT, "no node \"%s\"", name);
			return -1;
		}
		in[b->index] = true;
		if (set[len] == '\0')
			return 0;
	}
}

int
pairs_each(struct link_net *n, const char *a, const char *b, bool both,
    struct answer *ans, pair_fn fn, void *arg)
{
	bool from[LINK_NODES_MAX + 1], to[LINK_NODES_MAX + 1];
	struct link *l;
	size_t cnt = 0;

	if (set_nodes(n, a, from, ans) == -1 || set_nodes(n, b, to, ans) == -1)
		return -1;
	for (unsigned int i = 0; i < n->nodes_cnt; i++) {
		for (unsigned int j = 0; j < n->nodes_cnt; j++) {
			if (i == j || !((from[i] && to[j]) ||
			    (both && from[j] && to[i])))
				continue;
			if ((l = link_get(n, i, j)) == NULL) {
				answer_fail(ans, EX_OSERR, "%s",
				    strerror(errno));
				return -1;
			}
			fn(n, l, arg);
			cnt++;
		}
	}
	if (cnt == 0) {
		answer_fail(ans, EX_USAGE, "%s and %s make no link", a, b);
		return -1;
	}
	return 0;
}

/* --- setting and lifting faults ---------------------------------------- */

struct setting {
	enum fault_kind kind;
	unsigned int kinds;		/* to lift */
	const struct netctl *c;
	struct fault_hits hits;
	int64_t rtt_ns;
	const struct link *unframed;
};

static void
set_one(struct link_net *n, struct link *l, void *arg)
{
	struct setting *s = arg;

	fault_set(n, l, s->kind, s->c, &s->hits);
}

static void
lift_one(struct link_net *n, struct link *l, void *arg)
{
	struct setting *s = arg;

	if (s->kinds & FAULT_BIT(FAULT_FLAP))
		flap_stop(n, l);
	fault_lift(n, l, s->kinds, &s->hits);
}

static int64_t
mean_delay(const struct link *l)
{
	const struct fault *f = &l->fault[FAULT_DELAY];

	if (!f->on)
		return 0;
	return f->time_ns + (f->dist == NETCTL_EXP ||
	    f->dist == NETCTL_PARETO ? f->time2_ns : 0);
}

static void
rtt_one(struct link_net *n, struct link *l, void *arg)
{
	struct setting *s = arg;
	const struct link *back = n->links[l->to->index][l->from->index];
	int64_t rtt = mean_delay(l) + (back != NULL ? mean_delay(back) : 0);

	if (rtt > s->rtt_ns)
		s->rtt_ns = rtt;
}

static void
framed_one(struct link_net *n, struct link *l, void *arg)
{
	struct setting *s = arg;

	(void)n;
	if (l->frame == NETCTL_RAW)
		s->unframed = l;
}

static enum fault_kind
kind_of(const struct netctl *c)
{
	switch (c->verb) {
	case NETCTL_ONEWAY:
		return c->connect ? FAULT_CONNECT : FAULT_ONEWAY;
	case NETCTL_HOLD:
		return FAULT_HOLD;
	case NETCTL_FLAP:
		return FAULT_FLAP;
	case NETCTL_DELAY:
		return FAULT_DELAY;
	case NETCTL_RATE:
		return FAULT_RATE;
	case NETCTL_SLICE:
		return FAULT_SLICE;
	case NETCTL_LIMIT:
		return FAULT_LIMIT;
	case NETCTL_LOSS:
		return FAULT_LOSS;
	case NETCTL_DUP:
		return FAULT_DUP;
	case NETCTL_REORDER:
		return FAULT_REORDER;
	case NETCTL_CORRUPT:
		return FAULT_CORRUPT;
	default:
		return FAULT_CUT;
	}
}

static void
verb_fault(struct link_net *n, const struct netctl *c, struct answer *a)
{
	struct setting s = { .kind = kind_of(c), .c = c };
	bool both = c->verb != NETCTL_ONEWAY && !c->oneway;
	const char *b = c->verb == NETCTL_ISOLATE ? "all" : c->b;
	char text[24];

	if (FAULT_BIT(s.kind) & FAULT_FRAMED) {
		if (pairs_each(n, c->a, b, both, a, framed_one, &s) == -1)
			return;
		if (s.unframed != NULL) {
			answer_fail(a, EX_CONFIG, "%s %s %s: no framing is "
			    "declared there (frame %s %s line); a stream of "
			    "bytes has no messages to lose", c->words[0],
			    s.unframed->from->name, s.unframed->to->name,
			    s.unframed->from->name, s.unframed->to->name);
			return;
		}
	}
	if (pairs_each(n, c->a, b, both, a, set_one, &s) == -1)
		return;
	answer_hits(a, &s.hits);
	if (s.kind == FAULT_DELAY) {
		(void)pairs_each(n, c->a, b, both, a, rtt_one, &s);
		answer_result(a, "rtt=%s", num_format_duration(s.rtt_ns, text,
		    sizeof(text)));
	} else if (s.kind == FAULT_RATE) {
		answer_result(a, "rate=%" PRIu64 "B/s", c->number);
	}
}

static void
lift(struct link_net *n, const struct netctl *c, unsigned int kinds,
    struct answer *a)
{
	struct setting s = { .kinds = kinds };

	if (c->a == NULL) {
		if (kinds == FAULT_BLOCKS)
			chaos_stop(n, NULL);
		for (size_t i = 0; i < n->nodes_cnt; i++)
			for (size_t j = 0; j < n->nodes_cnt; j++)
				if (n->links[i][j] != NULL)
					lift_one(n, n->links[i][j], &s);
	} else if (pairs_each(n, c->a, c->b, true, a, lift_one, &s) == -1) {
		return;
	}
	answer_hits(a, &s.hits);
}

static void
verb_liveness(struct link_net *n, const struct netctl *c, struct answer *a)
{
	struct setting s = { .kinds = FAULT_BIT(FAULT_KINDS) - 1 };
	bool in[LINK_NODES_MAX + 1];
	struct answer ignored = { 0 };

	if (set_nodes(n, c->a, in, a) == -1)
		return;
	n->chaos = false;		/* what it did outside stays */
	timer_disarm(n, &n->chaos_timer);
	for (size_t i = 0; i < n->nodes_cnt; i++) {
		for (size_t j = 0; j < n->nodes_cnt; j++) {
			if (n->links[i][j] == NULL)
				continue;
			flap_stop(n, n->links[i][j]);
			if (in[i] && in[j])
				lift_one(n, n->links[i][j], &s);
		}
		for (size_t k = 0; in[i] && k < n->nodes[i]->procs_cnt; k++)
			if (n->nodes[i]->procs[k].paused)
				(void)node_signal(n->nodes[i], SIGCONT,
				    &ignored);
	}
	answer_hits(a, &s.hits);
}

/* --- flap -------------------------------------------------------------- */

static void
flap_one(struct link_net *n, struct link *l, void *arg)
{
	struct setting *s = arg;
	const struct link *back = n->links[l->to->index][l->from->index];

	/* One link of a pair leads, the other follows. */
	flap_stop(n, l);
	if (back == NULL || !back->flap_leads)
		flap_start(n, l, s->c);
	s->hits.links++;
}

static void
flap_end_one(struct link_net *n, struct link *l, void *arg)
{
	struct setting *s = arg;

	flap_stop(n, l);
	fault_lift(n, l, FAULT_BIT(FAULT_FLAP), &s->hits);
}

static void
verb_flap(struct link_net *n, const struct netctl *c, struct answer *a)
{
	struct setting s = { .kind = FAULT_FLAP, .c = c,
	    .kinds = FAULT_BIT(FAULT_FLAP) };

	switch (c->what) {
	case NETCTL_ENDED:
		(void)pairs_each(n, c->a, c->b, true, a, flap_end_one, &s);
		break;
	case NETCTL_UP:
		(void)pairs_each(n, c->a, c->b, true, a, lift_one, &s);
		break;
	case NETCTL_DOWN:
		(void)pairs_each(n, c->a, c->b, true, a, set_one, &s);
		break;
	default:
		/* Stop all first, then let each pair find its leader. */
		if (pairs_each(n, c->a, c->b, true, a, flap_end_one, &s) == -1)
			return;
		s.hits = (struct fault_hits){ 0 };
		(void)pairs_each(n, c->a, c->b, false, a, flap_one, &s);
		log_note(n, "flap", "%s", c->rest);
		a->logged = true;
		break;
	}
	if (a->status == 0)
		answer_hits(a, &s.hits);
}

/* --- the rest ---------------------------------------------------------- */

static void
verb_seed(struct link_net *n, const struct netctl *c, struct answer *a)
{
	if (c->has_number) {
		n->seed = c->number;
		n->shapes = 0;
		n->chaos_step = 0;
	} else {
		a->logged = true;
	}
	answer_result(a, "seed=%" PRIu64, n->seed);
}

static void
verb_assert(struct link_net *n, const struct netctl *c, struct answer *a)
{
	char why[NETCTL_ERR_MAX];

	a->logged = true;
	if (condition(n, c, a, why, sizeof(why)) == 0)
		answer_fail(a, EX_NO, "%s", why);
	log_note(n, "assert", "%s %s", c->rest, a->status == 0 ? "holds" :
	    a->err);
}

int
net_obey(struct link_net *n, const struct netctl *c, struct answer *a)
{
	n->verbs++;
	switch (c->verb) {
	case NETCTL_NODE:
		verb_node(n, c, a);
		if (c->what == NETCTL_PID) {
			log_note(n, "node", "%s", c->rest);
			a->logged = true;
		}
		break;
	case NETCTL_LINK:
		verb_link(n, c, a);
		break;
	case NETCTL_SOCKET:
		if (net_socket(n, c->name) == -1)
			answer_fail(a, EX_CANTCREAT, "socket %s: %s", c->name,
			    strerror(errno));
		break;
	case NETCTL_FRAME:
		verb_frame(n, c, a);
		break;
	case NETCTL_PARTITION:
		verb_partition(n, c, a);
		break;
	case NETCTL_CUT: case NETCTL_ONEWAY: case NETCTL_ISOLATE:
	case NETCTL_HOLD: case NETCTL_DELAY: case NETCTL_RATE:
	case NETCTL_SLICE: case NETCTL_LIMIT: case NETCTL_LOSS:
	case NETCTL_DUP: case NETCTL_REORDER: case NETCTL_CORRUPT:
		verb_fault(n, c, a);
		break;
	case NETCTL_RELEASE:
		lift(n, c, FAULT_BIT(FAULT_HOLD), a);
		break;
	case NETCTL_HEAL:
		lift(n, c, FAULT_BLOCKS, a);
		break;
	case NETCTL_CLEAR:
		lift(n, c, FAULT_SHAPES, a);
		break;
	case NETCTL_FLAP:
		verb_flap(n, c, a);
		break;
	case NETCTL_RESET: case NETCTL_HALFCLOSE:
		verb_end(n, c, a);
		break;
	case NETCTL_PAUSE: case NETCTL_RESUME: case NETCTL_KILL:
		verb_signal(n, c, a);
		break;
	case NETCTL_LIVENESS:
		verb_liveness(n, c, a);
		break;
	case NETCTL_CHAOS:
		a->logged = true;
		if (c->what == NETCTL_ENDED)
			chaos_stop(n, "chaos stop");
		else if (n->nodes_cnt < 3)
			answer_fail(a, EX_USAGE, "chaos: fewer than two nodes");
		else
			chaos_start(n, c);
		answer_result(a, "seed=%" PRIu64, n->seed);
		break;
	case NETCTL_SEED:
		verb_seed(n, c, a);
		break;
	case NETCTL_ASSERT:
		verb_assert(n, c, a);
		break;
	default:
		a->logged = true;	/* nothing to replay */
		break;
	}
	switch (c->verb) {
	case NETCTL_STOP:
		sched_stop(n, c->has_number ? c->number : 0, a);
		break;
	case NETCTL_STATUS:
		show_status(n, c, a);
		break;
	case NETCTL_PEERS:
		show_peers(n, c, a);
		break;
	case NETCTL_LOG:
		log_show(n, c, a);
		break;
	case NETCTL_DIAGRAM:
		if (c->what == NETCTL_SVG)
			draw_svg(n, a);
		else
			draw_text(n, a);
		break;
	case NETCTL_HELP:
		show_help(a);
		break;
	case NETCTL_VERSION:
		answer_result(a, "partsim %s", VERSION);
		break;
	case NETCTL_WAIT:
		answer_fail(a, EX_USAGE, "wait belongs in a scenario or a "
		    "connection");
		break;
	case NETCTL_QUIT:
		log_note(n, "quit", "quit");
		n->state = LINK_QUIT;
		n->news = true;
		break;
	default:
		break;
	}
	return a->status == 0 ? 0 : -1;
}
