/*
 * link_trace: what was seen on the wire.  The last events are kept for the
 * diagram; with a trace file every piece of a stream carries the vector clock
 * of its sender, in the format of ShiViz
 * (https://bestchai.bitbucket.io/shiviz).
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "link_priv.h"

#define TRACE_MAX	1000000U	/* events written */
#define ROW		((size_t)LINK_NODES_MAX + 1)

int
trace_open(struct link_net *n)
{
	if ((n->seen = calloc(LINK_SEEN_MAX, sizeof(*n->seen))) == NULL)
		return -1;
	if (n->o.trace == NULL)
		return 0;
	if ((n->clocks = calloc(ROW * ROW, sizeof(*n->clocks))) == NULL)
		return -1;
	/* The first line tells ShiViz how to read the others. */
	fputs("(?<timestamp>\\d+) (?<host>\\S+) (?<clock>\\{.*\\}) "
	    "(?<event>.*)\n\n", n->o.trace);
	return 0;
}

void
trace_node(struct link_net *n)
{
	const struct node *b = n->nodes[n->nodes_cnt - 1];

	if (n->clocks != NULL && b->index != LINK_UNKNOWN)
		n->clocks[b->index * ROW + b->index] = 0;
}

static void
write_event(struct link_net *n, const struct node *at, const char *what,
    uint64_t bytes, const struct node *other, uint64_t conn)
{
	const uint32_t *clock = n->clocks + at->index * ROW;
	const char *sep = "";

	if (n->traced++ >= TRACE_MAX)
		return;
	fprintf(n->o.trace, "%" PRId64 " %s {", n->now_ns - n->start_ns,
	    at->name);
	for (size_t i = 0; i < n->nodes_cnt; i++) {
		if (clock[i] == 0)
			continue;
		fprintf(n->o.trace, "%s\"%s\":%" PRIu32, sep,
		    n->nodes[i]->name, clock[i]);
		sep = ",";
	}
	fprintf(n->o.trace, "} %s %" PRIu64 " bytes %s %s conn %" PRIu64 "\n",
	    what, bytes, what[0] == 's' ? "to" : "from", other->name, conn);
}

uint32_t *
trace_sent(struct link_net *n, const struct dir *d, uint64_t bytes)
{
	const struct node *from = d->link->from;
	uint32_t *row, *copy;

	if (n->clocks == NULL)
		return NULL;
	row = n->clocks + from->index * ROW;
	row[from->index]++;
	write_event(n, from, "send", bytes, d->link->to, d->conn->ordinal);
	if ((copy = malloc(ROW * sizeof(*copy))) != NULL)
		memcpy(copy, row, ROW * sizeof(*copy));
	return copy;
}

void
trace_delivered(struct link_net *n, const struct dir *d,
    const uint32_t *clock, uint64_t bytes)
{
	const struct node *to = d->link->to;
	uint32_t *row = n->clocks + to->index * ROW;

	for (size_t i = 0; i < ROW; i++)
		if (clock[i] > row[i])
			row[i] = clock[i];
	row[to->index]++;
	write_event(n, to, "receive", bytes, d->link->from, d->conn->ordinal);
}

void
trace_seen(struct link_net *n, enum seen_kind kind, const struct dir *d,
    int64_t sent_ns, uint64_t bytes)
{
	unsigned char from = (unsigned char)d->link->from->index;
	unsigned char to = (unsigned char)d->link->to->index;
	struct seen *s;

	/* A run of the same is one event. */
	if (n->seen_cnt > 0) {
		s = &n->seen[(n->seen_cnt - 1) % LINK_SEEN_MAX];
		if (s->kind == kind && s->from == from && s->to == to &&
		    s->ordinal == d->conn->ordinal && kind != SEEN_OPEN &&
		    kind != SEEN_RESET) {
			s->bytes += bytes;
			s->times++;
			s->at_ns = n->now_ns;
			return;
		}
	}
	s = &n->seen[n->seen_cnt++ % LINK_SEEN_MAX];
	*s = (struct seen){ .sent_ns = sent_ns, .at_ns = n->now_ns,
	    .kind = kind, .from = from, .to = to, .bytes = bytes, .times = 1,
	    .ordinal = d->conn->ordinal };
}

void
trace_verb(struct link_net *n, const char *text)
{
	struct seen *s = &n->seen[n->seen_cnt++ % LINK_SEEN_MAX];

	*s = (struct seen){ .sent_ns = n->now_ns, .at_ns = n->now_ns,
	    .kind = SEEN_VERB };
	(void)strlcpy(s->text, text, sizeof(s->text));
}

void
trace_free(struct link_net *n)
{
	if (n->clocks != NULL) {
		if (n->traced > TRACE_MAX && n->nodes_cnt > 1)
			fprintf(n->o.trace, "%" PRId64 " %s {\"%s\":%u} %"
			    PRIu64 " more events were not written\n",
			    n->now_ns - n->start_ns, n->nodes[1]->name,
			    n->nodes[1]->name, UINT32_MAX,
			    n->traced - TRACE_MAX);
		fflush(n->o.trace);
	}
	free(n->clocks);
	free(n->seen);
}
