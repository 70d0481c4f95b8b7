/* qctl: groups, each of which gets every message. */

#include "qctl.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "exits.h"
#include "num.h"

struct start {
	enum queue_from from;
	uint64_t value;
};

/* @SECONDS since the epoch, -DURATION ago, or UTC as 2026-11-23T10:00:00Z. */
static bool
parse_time(const char *text, uint64_t *wall_ns)
{
	struct tm tm = { 0 };
	const char *end;
	int64_t ns, secs;

	if (text[0] == '@') {
		if (num_duration(text + 1, &ns) == -1 ||
		    strspn(text + 1, "0123456789.") != strlen(text + 1))
			return false;
	} else if (text[0] == '-') {
		if (num_duration(text + 1, &ns) == -1)
			return false;
		ns = wall_now_ns() - ns;
	} else {
		end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
		if (end == NULL || strcmp(end, "Z") != 0)
			return false;
		secs = (int64_t)timegm(&tm);
		if (__builtin_mul_overflow(secs, NUM_NS_PER_S, &ns))
			return false;
	}
	*wall_ns = ns < 0 ? 0 : (uint64_t)ns;
	return true;
}

static struct start
parse_start(const char *arg)
{
	struct start s = { QUEUE_OLDEST, 0 };
	const char *value = arg + 5;

	if (strncmp(arg, "from=", 5) != 0)
		errx(EX_USAGE, "%s: not from=start", arg);
	if (strcmp(value, "oldest") == 0)
		s.from = QUEUE_OLDEST;
	else if (strcmp(value, "new") == 0)
		s.from = QUEUE_NEW;
	else if (num_u64(value, 0, UINT64_MAX, &s.value) == 0)
		s.from = QUEUE_SEQ;
	else if (parse_time(value, &s.value))
		s.from = QUEUE_TIME;
	else
		errx(EX_USAGE, "%s: not oldest, new, a sequence number, "
		    "@seconds, -duration or 2026-11-23T10:00:00Z", arg);
	return s;
}

static void
tell_first(const struct options *o, uint64_t first)
{
	if (!o->quiet)
		printf("%" PRIu64 "\n", first);
	flush_output();
}

int
qctl_group_add(const struct options *o, int argc, char *argv[])
{
	struct start s = { QUEUE_OLDEST, 0 };
	struct queue *q;
	uint64_t first;

	if (argc == 3)
		s = parse_start(argv[2]);
	q = open_queue(argv[0], QUEUE_USE);
	if (queue_group_add(q, argv[1], s.from, s.value, &first) == -1) {
		if (errno == EINVAL)
			errx(EX_USAGE, "%s: not a name for a group", argv[1]);
		die(argv[0], argv[1]);
	}
	queue_close(q);
	tell_first(o, first);
	return EX_OK;
}

int
qctl_group_reset(const struct options *o, int argc, char *argv[])
{
	struct start s = parse_start(argv[2]);
	struct queue *q;
	uint64_t first;

	(void)argc;
	q = open_queue(argv[0], QUEUE_USE);
	if (queue_group_reset(q, group_number(q, argv[0], argv[1]), s.from,
	    s.value, &first) == -1)
		die(argv[0], argv[1]);
	queue_close(q);
	tell_first(o, first);
	return EX_OK;
}

int
qctl_group_rm(const struct options *o, int argc, char *argv[])
{
	struct queue *q = open_queue(argv[0], QUEUE_USE);

	(void)o;
	(void)argc;
	if (queue_group_remove(q, group_number(q, argv[0], argv[1])) == -1) {
		if (errno == EBUSY)
			errx(EX_NO, "%s: %s is the only group", argv[0],
			    argv[1]);
		die(argv[0], argv[1]);
	}
	queue_close(q);
	return EX_OK;
}

static void
group_json(const struct queue_group_stats *g)
{
	struct json_object *j = json_new();

	add_text(j, "group", g->name);
	add_number(j, "depth", (int64_t)g->depth);
	add_number(j, "ready", (int64_t)g->ready);
	add_number(j, "in_flight", (int64_t)g->in_flight);
	add_number(j, "delayed", (int64_t)g->delayed);
	add_number(j, "dead", (int64_t)g->dead);
	if (g->oldest_ns != 0)
		add_time(j, "oldest", g->oldest_ns);
	put_json(j);
}

int
qctl_group_ls(const struct options *o, int argc, char *argv[])
{
	struct queue_stats stats;
	struct queue *q = open_queue(argv[0], QUEUE_READ);

	(void)argc;
	if (queue_stats(q, &stats) == -1)
		die(argv[0], NULL);
	for (size_t i = 0; i < stats.groups_cnt; i++)
		if (o->json)
			group_json(&stats.groups[i]);
		else
			printf("%s\t%" PRIu64 "\t%" PRIu64 "\n",
			    stats.groups[i].name, stats.groups[i].depth,
			    stats.groups[i].dead);
	free(stats.groups);
	queue_close(q);
	flush_output();
	return EX_OK;
}
