/*
 * qctl: dump what is in the queue as qpush -J reads it.  Without a group this
 * is what some group still has to do, which needs a walk in each of them, side
 * by side.
 */

#include "qctl.h"

#include <err.h>
#include <stdlib.h>

#include "exits.h"

#define UNFINISHED	(QUEUE_READY | QUEUE_IN_FLIGHT | QUEUE_DELAYED)

struct walk {
	uint32_t group;
	uint64_t before, pos;		/* of the message, and behind it */
	uint64_t seq;			/* UINT64_MAX: at the end */
	enum queue_state state;
};

struct dump {
	const char *path;
	struct queue *q;
	unsigned int states;
	struct walk *walks;
	size_t walks_cnt;
};

static void
step(struct dump *d, struct walk *w)
{
	struct queue_message m;

	w->before = w->pos;
	switch (queue_browse(d->q, w->group, &w->pos, &m, &w->state)) {
	case -1:
		die(d->path, NULL);
	case 0:
		w->seq = UINT64_MAX;
		break;
	default:
		w->seq = m.seq;
		break;
	}
}

/* The one group of most queues: no second look is needed. */
static void
dump_group(struct dump *d, uint32_t group)
{
	struct queue_message m;
	enum queue_state state;
	uint64_t pos = 0;
	int rc;

	while ((rc = queue_browse(d->q, group, &pos, &m, &state)) == 1)
		if ((state & d->states) != 0)
			put_json(json_of(d->q, &m));
	if (rc == -1)
		die(d->path, NULL);
}

/* Read the message of the walk once more, and write it. */
static void
put_again(struct dump *d, const struct walk *w)
{
	struct queue_message m;
	enum queue_state state;
	uint64_t pos = w->before;
	int rc;

	rc = queue_browse(d->q, w->group, &pos, &m, &state);
	if (rc == -1)
		die(d->path, NULL);
	if (rc == 1 && m.seq == w->seq)
		put_json(json_of(d->q, &m));
}

static void
dump_union(struct dump *d)
{
	const struct walk *wanted;
	uint64_t least;
	size_t i;

	for (i = 0; i < d->walks_cnt; i++)
		step(d, &d->walks[i]);
	for (;;) {
		least = UINT64_MAX;
		for (i = 0; i < d->walks_cnt; i++)
			if (d->walks[i].seq < least)
				least = d->walks[i].seq;
		if (least == UINT64_MAX)
			return;
		wanted = NULL;
		for (i = 0; i < d->walks_cnt; i++)
			if (d->walks[i].seq == least &&
			    (d->walks[i].state & d->states) != 0)
				wanted = &d->walks[i];
		if (wanted != NULL)
			put_again(d, wanted);
		for (i = 0; i < d->walks_cnt; i++)
			if (d->walks[i].seq == least)
				step(d, &d->walks[i]);
	}
}

static void
dump_all(struct dump *d)
{
	struct queue_stats stats;

	if (queue_stats(d->q, &stats) == -1)
		die(d->path, NULL);
	d->walks_cnt = stats.groups_cnt;
	if ((d->walks = calloc(d->walks_cnt + 1, sizeof(*d->walks))) == NULL)
		err(EX_OSERR, NULL);
	for (size_t i = 0; i < d->walks_cnt; i++)
		d->walks[i].group = stats.groups[i].group;
	free(stats.groups);
	if (d->walks_cnt == 1)
		dump_group(d, d->walks[0].group);
	else
		dump_union(d);
	free(d->walks);
}

int
qctl_dump(const struct options *o, int argc, char *argv[])
{
	struct dump d = {
		.path = argv[0],
		.states = o->states != 0 ? o->states : UNFINISHED,
	};

	(void)argc;
	d.q = open_queue(argv[0], QUEUE_READ);
	if (o->group != NULL)
		dump_group(&d, group_number(d.q, argv[0], o->group));
	else
		dump_all(&d);
	flush_output();
	queue_close(d.q);
	return EX_OK;
}
