/*
 * link_sched: lines for later, and links that flap; each change is logged as
 * a line of words, so that the log says what happened in full.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "link_priv.h"
#include "num.h"


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

int
obey_text(struct link_net *n, const char *line, const char *by,
    uint64_t line_no)
{
	struct buf reply = { 0 };
	char *text;
	long status;
	int rc;

	rc = net_line(n, line, NULL, by, &reply);
	if (rc == -1 && reply.len > 4) {
		reply.data[reply.len - 1] = '\0';
		status = strtol((char *)reply.data + 4, &text, 10);
		text += strspn(text, " ");
		log_note(n, "failed", "%s: %s", line, text);
		if (line_no > 0)
			net_fail(n, (int)status, line_no, text);
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
		uint64_t line_no = s->line_no;

		if (line != NULL)
			(void)obey_text(n, line, by, line_no);
		free(line);
		return;
	}
	/* Unlinked first, so that "wait idle" and stop see it gone. */
	{
		char *line = s->line;
		uint64_t line_no = s->line_no;

		s->line = NULL;
		sched_free(n, s);
		while (times-- > 0 && obey_text(n, line, by, line_no) != -1)
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
	s->line_no = a->line_no;
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

/* "flap n1 n2 down mode reset", in words that replay. */
static void
flap_log(struct link_net *n, const struct link *l, const struct netctl *c,
    const struct fault_hits *h)
{
	struct answer a = { 0 };
	struct buf text = { 0 };
	int rc;

	rc = buf_printf(&text, "flap %s %s %s", l->from->name, l->to->name,
	    l->flap_is_down ? "down" : "up");
	if (rc == 0 && l->flap_is_down)
		rc = put_modifiers(&text, c);
	answer_hits(&a, h);
	if (rc == 0 && buf_put_byte(&text, '\0') == 0 &&
	    buf_put_byte(&a.result, '\0') == 0)
		log_verb(n, "flap", (char *)text.data, (char *)a.result.data,
		    "flap");
	buf_release(&text);
	buf_release(&a.result);
}

static void
flap_fire(struct link_net *n, void *arg)
{
	struct link *l = arg;
	struct link *back = link_get(n, l->to->index, l->from->index);
	struct netctl c = { .mode = l->flap_mode, .p = l->flap_p,
	    .has_mode = l->flap_mode != NETCTL_MODE_HOLD,
	    .count = l->flap_count };
	struct fault_hits h = { 0 };

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
	flap_log(n, l, &c, &h);
	(void)timer_arm(n, &l->flap, l->flap.at_ns + (l->flap_is_down ?
	    l->flap_down_ns : l->flap_up_ns));
}

void
flap_start(struct link_net *n, struct link *l, const struct netctl *c)
{
	l->flap.fire = flap_fire;
	l->flap.arg = l;
	l->flap_up_ns = c->time_ns;
	l->flap_down_ns = c->time2_ns;
	l->flap_mode = c->mode;
	l->flap_p = c->p;
	l->flap_count = c->count;
	l->flap_is_down = false;
	l->flap_leads = true;
	(void)timer_arm(n, &l->flap, n->now_ns + c->time_ns);
}

/* No more changes; what is down stays down until it is lifted. */
void
flap_stop(struct link_net *n, struct link *l)
{
	timer_disarm(n, &l->flap);
	l->flap_leads = false;
}
