/* qctl: show messages and leave them as they are; dump all of them. */

#include "qctl.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "exits.h"
#include "num.h"

#define UNFINISHED	(QUEUE_READY | QUEUE_IN_FLIGHT | QUEUE_DELAYED)

/* --- who holds it ---------------------------------------------------------------- */

struct held_by {
	struct json_object *list;	/* or NULL: to stderr */
	size_t cnt;
};

static void
tell_holder(void *arg, const struct holder *h)
{
	struct held_by *by = arg;
	struct json_object *j;

	if (by->list == NULL) {
		fprintf(stderr, "%s %ld (%s)", by->cnt == 0 ? ", held by" : ",",
		    (long)h->pid, h->name);
	} else {
		j = json_new();
		add_number(j, "pid", (int64_t)h->pid);
		add_bytes(j, "name", h->name, strlen(h->name));
		json_append(by->list, j);
	}
	by->cnt++;
}

static void
hold_text(const struct queue_hold *h, const char *path)
{
	struct held_by by = { NULL, 0 };
	char text[24];
	size_t unseen = 0;

	if (h->lease_left_ns >= 0)
		fprintf(stderr, ", lease ends in %s",
		    num_format_duration(h->lease_left_ns, text, sizeof(text)));
	if (h->holder[0] != '\0')
		unseen = holders_of(path, h->holder, tell_holder, &by);
	if (h->holder[0] != '\0' && by.cnt == 0)
		fprintf(stderr, ", holder not seen");
	if (unseen > 0)
		fprintf(stderr, " (%zu processes are not ours to look into)",
		    unseen);
	if (h->fenced)
		fprintf(stderr, ", fenced");
}

static void
hold_json(struct json_object *j, const struct queue_hold *h, const char *path)
{
	struct held_by by = { json_list(), 0 };
	size_t unseen = 0;

	if (h->lease_left_ns >= 0)
		add_number(j, "lease_left_ms",
		    h->lease_left_ns / NUM_NS_PER_MS);
	if (h->holder[0] != '\0')
		unseen = holders_of(path, h->holder, tell_holder, &by);
	add_object(j, "holders", by.list);
	if (unseen > 0)
		add_number(j, "unseen_processes", (int64_t)unseen);
	add_bool(j, "fenced", h->fenced);
}

/* --- peek ------------------------------------------------------------------------ */

struct peek {
	const struct options *o;
	const char *path;
	struct queue *q;
	uint32_t group;
};

/* -v: where the message stands, on stderr; it is itself written later. */
static void
describe(const struct peek *p, const struct queue_message *m,
    enum queue_state state, const struct queue_hold *hold)
{
	char text[24];
	int64_t left = m->due_ns - wall_now_ns();

	fprintf(stderr, "%s: seq %" PRIu64 ", %s, attempt %" PRIu32 ", %zu bytes",
	    getprogname(), m->seq, state_name(state), m->attempt,
	    m->payload_len);
	if (state == QUEUE_DELAYED && left > 0)
		fprintf(stderr, ", due in %s",
		    num_format_duration(left, text, sizeof(text)));
	if (hold != NULL)
		hold_text(hold, p->path);
	fprintf(stderr, "\n");
}

/* What the payload is read for comes first: m points into q. */
static void
show(const struct peek *p, const struct queue_message *m,
    enum queue_state state)
{
	struct queue_hold hold, *h = NULL;
	struct json_object *j = NULL;
	int rc = 0;

	if (p->o->json) {
		j = json_of(p->q, m);
	} else {
		if (p->o->verbose)
			flush_output();
		put_record(p->o, m);
	}
	if (p->o->verbose && state == QUEUE_IN_FLIGHT)
		rc = queue_hold(p->q, p->group, m->seq, &hold);
	if (rc == -1)
		die(p->path, NULL);
	if (rc == 1)
		h = &hold;
	if (j == NULL) {
		if (p->o->verbose)
			describe(p, m, state, h);
		return;
	}
	add_text(j, "state", state_name(state));
	if (h != NULL)
		hold_json(j, h, p->path);
	put_json(j);
}

int
qctl_peek(const struct options *o, int argc, char *argv[])
{
	struct peek p = { .o = o, .path = argv[0] };
	unsigned int states = o->states != 0 ? o->states : UNFINISHED;
	uint64_t pos = 0, shown = 0, most;
	struct selection sel;
	struct queue_message m;
	enum queue_state state;
	struct seqs seqs;
	int rc;

	seqs_parse(&seqs, argc - 1, argv + 1);
	most = shown_at_most(o, &seqs, 1);
	p.q = open_queue(argv[0], QUEUE_READ);
	p.group = group_number(p.q, argv[0], o->group);
	selection_init(&sel, o, p.q);
	for (;;) {
		if (shown == most || seqs_all_found(&seqs))
			break;
		rc = queue_browse(p.q, p.group, &pos, &m, &state);
		if (rc == -1)
			die(argv[0], NULL);
		if (rc == 0)
			break;
		/* One asked for by its number is shown in any state. */
		if (seqs.cnt == 0 ? (state & states) == 0 :
		    !seqs_ask(&seqs, m.seq) ||
		    (o->states != 0 && (state & states) == 0))
			continue;
		if (!selected(&sel, &m))
			continue;
		show(&p, &m, state);
		shown++;
	}
	flush_output();
	selection_release(&sel);
	seqs_release(&seqs);
	queue_close(p.q);
	return shown > 0 ? EX_OK : EX_NO;
}
