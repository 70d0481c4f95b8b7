/*
 * link_chaos: faults at random, one at a time, each carried out as a line of
 * words.  What mends a fault would also lift the faults of others of its kind,
 * so chaos keeps away from what is broken already.
 */

#include <inttypes.h>
#include <stdio.h>

#include "link_priv.h"
#include "num.h"

#define CHAOS_MIN_NS	(500 * NUM_NS_PER_MS)
#define CHAOS_MAX_NS	(2 * NUM_NS_PER_S)
#define CHAOS_DEFAULT	(NETCTL_CHAOS_PARTITION | NETCTL_CHAOS_CUT | \
			    NETCTL_CHAOS_ONEWAY | NETCTL_CHAOS_DELAY | \
			    NETCTL_CHAOS_RATE | NETCTL_CHAOS_RESET)

static struct link_rand
chaos_key(const struct link_net *n, const char *what)
{
	struct link_rand key = link_rand_key(n->seed);

	key = link_rand_text(key, "chaos");
	key = link_rand_number(key, n->chaos_step);
	return link_rand_text(key, what);
}

static unsigned int
chaos_kind(const struct link_net *n)
{
	unsigned int kinds[8] = { NETCTL_CHAOS_CUT }, cnt = 0;

	for (unsigned int bit = 1; bit <= NETCTL_CHAOS_PAUSE; bit <<= 1)
		if (n->chaos_faults & bit)
			kinds[cnt++] = bit;
	return kinds[link_rand_below(chaos_key(n, "kind"),
	    cnt > 0 ? cnt : 1)];
}

static bool
link_has(const struct link *l, unsigned int kinds)
{
	for (int k = 0; l != NULL && k < FAULT_RESET; k++)
		if ((kinds & FAULT_BIT(k)) && l->fault[k].on)
			return true;
	return false;
}

/* Would mending what was chosen lift what somebody else has set? */
static bool
chaos_intrudes(const struct link_net *n)
{
	const struct node *a = n->nodes[n->chaos_a];
	unsigned int kinds = FAULT_BLOCKS;

	switch (n->chaos_now) {
	case NETCTL_CHAOS_PARTITION:
		for (size_t i = 1; i < n->nodes_cnt; i++)
			for (size_t j = 1; j < n->nodes_cnt; j++)
				if (link_has(n->links[i][j],
				    FAULT_BIT(FAULT_PARTITION)))
					return true;
		return false;
	case NETCTL_CHAOS_PAUSE:
		return a->procs_cnt == 0 || a->procs[0].paused;
	case NETCTL_CHAOS_RESET:
		return false;
	case NETCTL_CHAOS_DELAY: case NETCTL_CHAOS_RATE:
		kinds = FAULT_SHAPES;
		break;
	default:
		break;
	}
	return link_has(n->links[n->chaos_a][n->chaos_b], kinds) ||
	    link_has(n->links[n->chaos_b][n->chaos_a], kinds);
}

/* Break something, in words. */
static void
chaos_break(struct link_net *n)
{
	size_t m = n->nodes_cnt - 1;
	char line[128];
	const char *a, *b;

	n->chaos_a = (unsigned int)link_rand_below(chaos_key(n, "a"), m) + 1;
	n->chaos_b = (unsigned int)(n->chaos_a +
	    link_rand_below(chaos_key(n, "b"), m - 1)) % (unsigned int)m + 1;
	a = n->nodes[n->chaos_a]->name;
	b = n->nodes[n->chaos_b]->name;
	n->chaos_now = chaos_kind(n);
	if (chaos_intrudes(n)) {
		log_note(n, "chaos", "%s %s: left as it is", a, b);
		n->chaos_now = 0;
		return;
	}
	switch (n->chaos_now) {
	case NETCTL_CHAOS_PARTITION:
		(void)snprintf(line, sizeof(line), "partition %s",
		    link_rand_below(chaos_key(n, "shape"), 3) == 0 && m > 2 ?
		    "bridge" : link_rand_below(chaos_key(n, "shape"), 3) == 1 ?
		    "one" : "majority");
		break;
	case NETCTL_CHAOS_ONEWAY:
		(void)snprintf(line, sizeof(line), "oneway %s %s", a, b);
		break;
	case NETCTL_CHAOS_DELAY:
		(void)snprintf(line, sizeof(line), "delay %s %s %" PRIu64
		    "ms jitter 5ms", a, b,
		    5 + link_rand_below(chaos_key(n, "ms"), 196));
		break;
	case NETCTL_CHAOS_RATE:
		(void)snprintf(line, sizeof(line), "rate %s %s %" PRIu64
		    "kbps", a, b, 8 + link_rand_below(chaos_key(n, "kb"), 505));
		break;
	case NETCTL_CHAOS_RESET:
		(void)snprintf(line, sizeof(line), "reset %s %s", a, b);
		break;
	case NETCTL_CHAOS_PAUSE:
		(void)snprintf(line, sizeof(line), "pause %s", a);
		break;
	default:
		(void)snprintf(line, sizeof(line), "cut %s %s", a, b);
		break;
	}
	(void)obey_text(n, line, "chaos", 0);
}

/* And mend exactly that. */
static void
chaos_mend(struct link_net *n)
{
	const char *a = n->nodes[n->chaos_a]->name;
	const char *b = n->nodes[n->chaos_b]->name;
	struct buf line = { 0 };
	char text[128];

	switch (n->chaos_now) {
	case NETCTL_CHAOS_PARTITION:
		/* All in one group. */
		(void)buf_put_str(&line, "partition ");
		for (size_t i = 1; i < n->nodes_cnt; i++)
			(void)buf_printf(&line, "%s%s", i > 1 ? "," : "",
			    n->nodes[i]->name);
		if (buf_put_byte(&line, '\0') == 0)
			(void)obey_text(n, (char *)line.data, "chaos", 0);
		buf_release(&line);
		return;
	case NETCTL_CHAOS_DELAY: case NETCTL_CHAOS_RATE:
		(void)snprintf(text, sizeof(text), "clear %s %s", a, b);
		break;
	case NETCTL_CHAOS_PAUSE:
		(void)snprintf(text, sizeof(text), "resume %s", a);
		break;
	case NETCTL_CHAOS_RESET: case 0:
		return;
	default:
		(void)snprintf(text, sizeof(text), "heal %s %s", a, b);
		break;
	}
	(void)obey_text(n, text, "chaos", 0);
}

static void
chaos_fire(struct link_net *n, void *arg)
{
	int64_t min = n->chaos_min_ns, max = n->chaos_max_ns;
	int64_t at;

	(void)arg;
	if (n->chaos_timer.at_ns >= n->chaos_end_ns) {
		chaos_stop(n, "chaos ended");
		return;
	}
	n->chaos_step++;
	if (n->chaos_faulty)
		chaos_mend(n);
	else
		chaos_break(n);
	n->chaos_faulty = !n->chaos_faulty;
	at = n->chaos_timer.at_ns + min + (int64_t)(link_rand_unit(chaos_key(n,
	    "time")) * (double)(max - min));
	if (at > n->chaos_end_ns)
		at = n->chaos_end_ns;
	(void)timer_arm(n, &n->chaos_timer, at);
}

void
chaos_start(struct link_net *n, const struct netctl *c)
{
	int64_t first;

	chaos_stop(n, NULL);
	n->chaos_faults = c->faults != 0 ? c->faults : CHAOS_DEFAULT;
	n->chaos_min_ns = c->time2_ns > 0 ? c->time2_ns : CHAOS_MIN_NS;
	n->chaos_max_ns = c->within_ns > 0 ? c->within_ns : CHAOS_MAX_NS;
	if (n->chaos_min_ns < NUM_NS_PER_MS)
		n->chaos_min_ns = NUM_NS_PER_MS;
	if (n->chaos_max_ns < n->chaos_min_ns)
		n->chaos_max_ns = n->chaos_min_ns;
	n->chaos = true;
	n->chaos_faulty = false;
	n->chaos_end_ns = n->now_ns + c->time_ns;
	n->chaos_timer.fire = chaos_fire;
	log_note(n, "chaos", "%s seed %" PRIu64, c->rest, n->seed);
	/* Healthy first. */
	first = n->now_ns + n->chaos_min_ns;
	(void)timer_arm(n, &n->chaos_timer, first < n->chaos_end_ns ? first :
	    n->chaos_end_ns);
}

void
chaos_stop(struct link_net *n, const char *why)
{
	bool was = n->chaos;

	timer_disarm(n, &n->chaos_timer);
	n->chaos = false;
	if (was && n->chaos_faulty)
		chaos_mend(n);
	n->chaos_faulty = false;
	if (was)
		log_note(n, "chaos", "%s", why != NULL ? why : "chaos stopped");
}
