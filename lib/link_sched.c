/*
 * link_sched: lines for later.  Whatever flap and chaos choose is carried out
 * as lines of words, so that the log says what happened in full.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "link_priv.h"
#include "num.h"

#define REPEAT_NOW_MAX	1000U		/* without an interval */
#define CHAOS_MIN_NS	(500 * NUM_NS_PER_MS)
#define CHAOS_MAX_NS	(2 * NUM_NS_PER_S)
#define CHAOS_DEFAULT	(NETCTL_CHAOS_PARTITION | NETCTL_CHAOS_CUT | \
			    NETCTL_CHAOS_ONEWAY | NETCTL_CHAOS_DELAY | \
			    NETCTL_CHAOS_RATE | NETCTL_CHAOS_RESET)

/* --- at, every, repeat ------------------------------------------------- */

static void
sched_free(struct link_net *n, struct sched *s)
{
	timer_disarm(n, &s->timer);
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		n->scheds = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	n->scheds_cnt--;
	free(s->line);
	free(s);
}

/* Obey one line that nobody waits for; its failure is noted. */
static int
obey_text(struct link_net *n, const char *line, const char *by, bool scenario)
{
	struct buf reply = { 0 };
	int rc;

	rc = net_line(n, line, NULL, by, &reply);
	if (rc == -1 && reply.len > 0) {
		reply.data[reply.len - 1] = '\0';
		log_note(n, "failed", "%s: %s", line, (char *)reply.data);
		if (scenario && n->state != LINK_QUIT) {
			(void)snprintf(n->failure, sizeof(n->failure),
			    "%s: %s", line, (char *)reply.data);
			n->failure_status = EX_NO;
			if (strncmp((char *)reply.data, "err ", 4) == 0)
				n->failure_status = (int)strtol(
				    (char *)reply.data + 4, NULL, 10);
			n->state = LINK_FAILED;
		}
	}
	buf_release(&reply);
	return rc;
}

static void
sched_fire(struct link_net *n, void *arg)
{
	struct sched *s = arg;
	uint64_t times = 1, id = s->id;
	char by[32];

	if (s->every_ns == 0)
		times = s->left > 0 ? s->left : 1;
	(void)snprintf(by, sizeof(by), s->every_ns > 0 ? "every id=%" PRIu64 :
	    "at id=%" PRIu64, id);
	if (s->every_ns > 0 && (s->left == 0 || --s->left > 0) &&
	    timer_arm(n, &s->timer, s->timer.at_ns + s->every_ns) == 0) {
		/* The line itself may be a stop: s is not looked at again. */
		char *line = strdup(s->line);
		bool scenario = s->scenario;

		if (line != NULL)
			(void)obey_text(n, line, by, scenario);
		free(line);
		return;
	}
	/* Unlinked first, so that "wait idle" and stop see it gone. */
	{
		char *line = s->line;
		bool scenario = s->scenario;

		s->line = NULL;
		sched_free(n, s);
		while (times-- > 0 && obey_text(n, line, by, scenario) != -1)
			;
		free(line);
	}
}

int
sched_add(struct link_net *n, const struct netctl *c, int64_t base_ns,
    struct answer *a)
{
	int64_t at = n->now_ns;
	struct sched *s;

	if (c->has_at)
		at = (c->at_now ? n->now_ns : base_ns) + c->at_ns;
	else if (c->every_ns > 0)
		at += c->every_ns;
	if (c->every_ns == 0 && c->repeat > REPEAT_NOW_MAX) {
		answer_fail(a, EX_USAGE, "repeat: more than %u at once",
		    REPEAT_NOW_MAX);
		return -1;
	}
	if (n->scheds_cnt == LINK_SCHED_MAX ||
	    (s = calloc(1, sizeof(*s))) == NULL) {
		answer_fail(a, EX_TEMPFAIL, "%zu lines are scheduled already",
		    n->scheds_cnt);
		return -1;
	}
	s->line = strdup(c->rest);
	s->timer.fire = sched_fire;
	s->timer.arg = s;
	s->id = ++n->sched_ids;
	s->every_ns = c->every_ns;
	s->left = c->repeat;
	s->scenario = a->scenario;
	if ((s->next = n->scheds) != NULL)
		s->next->prev = s;
	n->scheds = s;
	n->scheds_cnt++;
	if (s->line == NULL || timer_arm(n, &s->timer, at) == -1) {
		sched_free(n, s);
		answer_fail(a, EX_OSERR, "%s", strerror(errno));
		return -1;
	}
	netctl_strip(s->line);
	(void)buf_printf(&a->result, "id=%" PRIu64 " at=%.3f", s->id,
	    (double)(at - n->start_ns) / 1e9);
	return 0;
}

void
sched_stop(struct link_net *n, uint64_t id, struct answer *a)
{
	struct sched *s, *next;
	size_t cnt = 0;

	for (s = n->scheds; s != NULL; s = next) {
		next = s->next;
		if (id != 0 && s->id != id)
			continue;
		sched_free(n, s);
		cnt++;
	}
	if (cnt == 0 && id != 0)
		answer_fail(a, EX_NOINPUT, "nothing with id %" PRIu64
		    " is scheduled", id);
	else
		(void)buf_printf(&a->result, "stopped=%zu", cnt);
}

void
sched_free_all(struct link_net *n)
{
	while (n->scheds != NULL)
		sched_free(n, n->scheds);
	timer_disarm(n, &n->chaos_timer);
}

/* --- flap -------------------------------------------------------------- */

static void
flap_fire(struct link_net *n, void *arg)
{
	struct link *l = arg;
	struct link *back = link_get(n, l->to->index, l->from->index);
	struct netctl c = { .mode = l->flap_mode, .p = 1 };
	struct fault_hits h = { 0 };
	char text[2 * NETCTL_NAME_MAX + 48], result[64];

	n->verbs++;
	l->flap_is_down = !l->flap_is_down;
	if (l->flap_is_down) {
		fault_set(n, l, FAULT_FLAP, &c, &h);
		if (back != NULL)
			fault_set(n, back, FAULT_FLAP, &c, &h);
	} else {
		fault_lift(n, l, FAULT_BIT(FAULT_FLAP), &h);
		if (back != NULL)
			fault_lift(n, back, FAULT_BIT(FAULT_FLAP), &h);
	}
	(void)snprintf(text, sizeof(text), "flap %s %s %s%s%s", l->from->name,
	    l->to->name, l->flap_is_down ? "down" : "up",
	    l->flap_is_down && l->flap_mode != NETCTL_MODE_HOLD ? " mode " : "",
	    l->flap_is_down && l->flap_mode != NETCTL_MODE_HOLD ?
	    netctl_mode_name(l->flap_mode) : "");
	(void)snprintf(result, sizeof(result), "links=%" PRIu64 " conns=%"
	    PRIu64, h.links, h.conns);
	log_verb(n, "flap", text, result, "flap");
	(void)timer_arm(n, &l->flap, l->flap.at_ns + (l->flap_is_down ?
	    l->flap_down_ns : l->flap_up_ns));
}

void
flap_start(struct link_net *n, struct link *l, const struct netctl *c,
    bool both)
{
	l->flap.fire = flap_fire;
	l->flap.arg = l;
	l->flap_up_ns = c->time_ns;
	l->flap_down_ns = c->time2_ns;
	l->flap_mode = c->mode;
	l->flap_is_down = false;
	l->flap_leads = true;
	l->flap_both = both;
	(void)timer_arm(n, &l->flap, n->now_ns + c->time_ns);
}

/* No more changes; what is down stays down until it is lifted. */
void
flap_stop(struct link_net *n, struct link *l)
{
	timer_disarm(n, &l->flap);
	l->flap_leads = false;
}

/* --- chaos ------------------------------------------------------------- */

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
	if (n->chaos_now == NETCTL_CHAOS_PAUSE &&
	    n->nodes[n->chaos_a]->procs_cnt == 0)
		n->chaos_now = NETCTL_CHAOS_CUT;
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
	(void)obey_text(n, line, "chaos", false);
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
			(void)obey_text(n, (char *)line.data, "chaos", false);
		buf_release(&line);
		return;
	case NETCTL_CHAOS_DELAY: case NETCTL_CHAOS_RATE:
		(void)snprintf(text, sizeof(text), "clear %s %s", a, b);
		break;
	case NETCTL_CHAOS_PAUSE:
		(void)snprintf(text, sizeof(text), "resume %s", a);
		break;
	case NETCTL_CHAOS_RESET:
		return;
	default:
		(void)snprintf(text, sizeof(text), "heal %s %s", a, b);
		break;
	}
	(void)obey_text(n, text, "chaos", false);
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
