/*
 * link_wait: a source that waits obeys no line until its time or its condition
 * has come, which is looked for whenever anything may have changed.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "link_priv.h"

static void
wait_over(struct source *s, const char *answer)
{
	struct link_net *n = s->net;

	timer_disarm(n, &s->timer);
	timer_disarm(n, &s->within);
	free(s->wait);
	s->wait = NULL;
	s->waiting = false;
	if (s->fd != -1)
		(void)buf_put_str(&s->out, answer);
}

void
wait_timer(struct link_net *n, void *arg)
{
	struct source *s = arg;

	(void)n;
	if (s->waiting)
		wait_over(s, "ok\n");
	source_rerun(s);
}

static void
wait_ran_out(struct link_net *n, void *arg)
{
	struct source *s = arg;

	wait_over(s, "err 75 it did not come within that time\n");
	if (s->fd == -1)
		net_fail(n, EX_TEMPFAIL, s->line_no, "it did not come within "
		    "that time");
	source_rerun(s);
}

/* 1 it holds now, 0 not yet, -1. */
static int
wait_holds(struct source *s, struct answer *a)
{
	char why[NETCTL_ERR_MAX];

	return condition(s->net, s->wait, a, why, sizeof(why));
}

int
source_wait(struct source *s, const char *line, struct answer *a)
{
	struct link_net *n = s->net;
	int r = 0;

	/* A copy of its own: the words must outlive the line. */
	if ((s->wait = malloc(sizeof(*s->wait))) == NULL ||
	    netctl_parse(s->wait, line, a->err) != 1) {
		answer_fail(a, EX_OSERR, "%s", strerror(errno));
		goto out;
	}
	if (s->wait->what != NETCTL_PLAIN && (r = wait_holds(s, a)) != 0)
		goto out;
	s->timer.fire = wait_timer;
	s->within.fire = wait_ran_out;
	s->timer.arg = s->within.arg = s;
	if ((s->wait->what == NETCTL_PLAIN && timer_arm(n, &s->timer,
	    n->now_ns + s->wait->time_ns) == -1) ||
	    (s->wait->within_ns > 0 && timer_arm(n, &s->within,
	    n->now_ns + s->wait->within_ns) == -1)) {
		answer_fail(a, EX_OSERR, "%s", strerror(errno));
		goto out;
	}
	s->waiting = a->deferred = true;
	return 0;
out:
	timer_disarm(n, &s->timer);
	free(s->wait);
	s->wait = NULL;
	return r;
}

/* Somebody whose wait is over: *r tells how. */
static struct source *
whose_turn(const struct link_net *n, int *r)
{
	struct answer a = { 0 };

	for (struct source *s = n->sources; s != NULL; s = s->next)
		if (s->waiting && s->wait->what != NETCTL_PLAIN &&
		    (*r = wait_holds(s, &a)) != 0)
			return s;
	return NULL;
}

void
sources_check(struct link_net *n)
{
	struct source *s;
	int r;

	/* From the beginning each time, as the list may have changed. */
	while ((s = whose_turn(n, &r)) != NULL) {
		wait_over(s, r == 1 ? "ok\n" : "err 66 no such node\n");
		source_rerun(s);
	}
}
