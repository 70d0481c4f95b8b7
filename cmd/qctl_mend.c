/* qctl: wait, empty, shrink, check and mend. */

#include "qctl.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "exits.h"

/* --- wait -------------------------------------------------------------------- */

static uint64_t
depth(struct queue *q, uint32_t group, const char *path)
{
	uint64_t n;

	if (queue_arm(q) == -1 || queue_depth(q, group, &n) == -1)
		die(path, NULL);
	return n;
}

int
qctl_wait(const struct options *o, int argc, char *argv[])
{
	struct mono deadline = mono_after(o->wait_ns);
	struct queue *q = open_queue(argv[0], QUEUE_READ);
	uint32_t group = 0;		/* any */
	uint64_t left;

	(void)argc;
	queue_patience(q, deadline);
	if (o->group != NULL)
		group = group_number(q, argv[0], o->group);
	while ((left = depth(q, group, argv[0])) > 0) {
		if (mono_passed(deadline))
			errx(EX_TEMPFAIL, "%s: %" PRIu64 " left", argv[0],
			    left);
		if (queue_wait(q, 0, -1, deadline) == -1 &&
		    errno != ETIMEDOUT && errno != EINTR)
			die(argv[0], NULL);
	}
	queue_close(q);
	return EX_OK;
}

/* --- purge ------------------------------------------------------------------- */

static uint64_t
purge(struct queue *q, uint32_t group, const char *path)
{
	uint64_t n;

	if (queue_purge(q, group, &n) == -1)
		die(path, NULL);
	return n;
}

/* In each group; a line for each when there are several. */
static void
purge_all(const struct options *o, struct queue *q, const char *path)
{
	struct queue_stats stats;
	uint64_t n;

	if (queue_stats(q, &stats) == -1)
		die(path, NULL);
	for (size_t i = 0; i < stats.groups_cnt; i++) {
		n = purge(q, stats.groups[i].group, path);
		if (o->quiet)
			continue;
		printf("%" PRIu64, n);
		if (stats.groups_cnt > 1)
			printf("\t%s", stats.groups[i].name);
		printf("\n");
	}
	free(stats.groups);
}

int
qctl_purge(const struct options *o, int argc, char *argv[])
{
	struct queue *q = open_queue(argv[0], QUEUE_USE);
	uint64_t n;

	(void)argc;
	if (o->group == NULL) {
		purge_all(o, q, argv[0]);
	} else {
		n = purge(q, group_number(q, argv[0], o->group), argv[0]);
		if (!o->quiet)
			printf("%" PRIu64 "\n", n);
	}
	queue_close(q);
	flush_output();
	return EX_OK;
}

/* --- compact, verify, repair ------------------------------------------------------ */

int
qctl_compact(const struct options *o, int argc, char *argv[])
{
	struct queue *q = open_queue(argv[0], QUEUE_USE);
	uint64_t freed;

	(void)argc;
	if (queue_compact(q, &freed) == -1)
		die(argv[0], NULL);
	queue_close(q);
	if (!o->quiet)
		printf("%" PRIu64 "\n", freed);
	flush_output();
	return EX_OK;
}

static void
report(void *arg, const char *text)
{
	const struct options *o = arg;

	if (!o->quiet)
		printf("%s\n", text);
}

int
qctl_verify(const struct options *o, int argc, char *argv[])
{
	struct options copy = *o;
	struct queue *q = open_queue(argv[0], QUEUE_READ);
	uint64_t findings;

	(void)argc;
	if (queue_verify(q, report, &copy, &findings) == -1)
		die(argv[0], NULL);
	queue_close(q);
	flush_output();
	return findings == 0 ? EX_OK : EX_NO;
}

int
qctl_repair(const struct options *o, int argc, char *argv[])
{
	struct queue *q = open_queue(argv[0], QUEUE_USE);

	(void)o;
	(void)argc;
	if (queue_repair(q) == -1)
		die(argv[0], NULL);
	queue_close(q);
	return EX_OK;
}
