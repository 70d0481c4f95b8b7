/* raftctl: talk to a Raft cluster; see raftctl(1). */

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "num.h"
#include "raftctl.h"

#define WAIT_NS		(5 * NUM_NS_PER_S)
#define TRY_NS		(2 * NUM_NS_PER_S)
#define STATUS_MAX	255

static const struct option options[] = {
	{ "absent", no_argument, NULL, 'a' },
	{ "busy-status", required_argument, NULL, 'E' },
	{ "consistency", required_argument, NULL, 'c' },
	{ "count", required_argument, NULL, 'n' },
	{ "delimiter", required_argument, NULL, 'd' },
	{ "dir", required_argument, NULL, 'C' },
	{ "fence", required_argument, NULL, 'F' },
	{ "follow", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ "id", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, 'J' },
	{ "length", no_argument, NULL, 'L' },
	{ "long", no_argument, NULL, 'l' },
	{ "null", no_argument, NULL, '0' },
	{ "old", required_argument, NULL, 'o' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "rev", required_argument, NULL, 'r' },
	{ "ttl", required_argument, NULL, 't' },
	{ "value", required_argument, NULL, 'm' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "wait", required_argument, NULL, 'W' },
	{ "whole", no_argument, NULL, 'w' },
	{ "yes", no_argument, NULL, 'y' },
	{ NULL, 0, NULL, 0 }
};

/* Which options a verb takes beside -C -c -i -q -v -W. */
static const struct verb {
	const char *name, *takes;
	int (*fn)(struct ctl *, int, char *[]);
	bool needs_nodes;
} verbs[] = {
	{ "cas", "aroFt", ctl_cas, true },
	{ "del", "roF", ctl_del, true },
	{ "elect", "tEm", ctl_elect, true },
	{ "get", "0dJlLw", ctl_get, true },
	{ "init", "n", ctl_init, false },
	{ "list", "0dJlL", ctl_list, true },
	{ "lock", "tE", ctl_lock, true },
	{ "member", "", ctl_member, true },
	{ "propose", "0dL", ctl_propose, true },
	{ "put", "Ft", ctl_put, true },
	{ "recover", "y", ctl_recover, false },
	{ "snapshot", "", ctl_snapshot, true },
	{ "status", "J", ctl_status, true },
	{ "tail", "0dflLnr", ctl_tail, true },
	{ "transfer", "", ctl_transfer, true },
	{ "wait", "", ctl_wait, true },
	{ "watch", "0dJLnr", ctl_watch, true },
};

static char given[32];		/* the options of verbs that were given */

static void
usage(FILE *to)
{
	fprintf(to, "usage: %s -C dir [-qv] [-c consistency] [-i id] [-W wait] "
	    "verb [arg ...]\n"
	    "verbs: init get put cas del list watch lock elect propose tail "
	    "status wait\n"
	    "       member transfer snapshot recover\n", getprogname());
}

_Noreturn void
ctl_usage(void)
{
	usage(stderr);
	exit(EX_USAGE);
}

static int64_t
duration(int ch, const char *text)
{
	int64_t ns;

	if (num_duration(text, &ns) == -1)
		errx(EX_USAGE, "-%c %s: a duration", ch, text);
	return ns;
}

static uint64_t
number(int ch, const char *text, uint64_t min, uint64_t max)
{
	uint64_t v;

	if (num_u64(text, min, max, &v) == -1)
		errx(EX_USAGE, "-%c %s: a number", ch, text);
	return v;
}

static void
verb_option(struct ctl *c, int ch)
{
	if (strchr(given, ch) == NULL && strlen(given) + 1 < sizeof(given))
		given[strlen(given)] = (char)ch;
	switch (ch) {
	case '0':
	case 'd':
	case 'L':
	case 'w':
		if (frame_option(&c->how, ch, optarg) == -1)
			errx(EX_USAGE, "-d %s: one byte", optarg);
		break;
	case 'a':
		c->absent = true;
		break;
	case 'E':
		c->busy_status = (int)number(ch, optarg, 0, STATUS_MAX);
		break;
	case 'f':
		c->follow = true;
		break;
	case 'F':
		c->fence = optarg;
		break;
	case 'J':
		c->json = true;
		break;
	case 'l':
		c->longer = true;
		break;
	case 'm':
		c->value = optarg;
		break;
	case 'n':
		c->count = number(ch, optarg, 1, INT64_MAX);
		break;
	case 'o':
		c->old_value = optarg;
		break;
	case 'r':
		c->rev = number(ch, optarg, 0, INT64_MAX - 1);
		c->has_rev = true;
		break;
	case 't':
		c->ttl_ns = duration(ch, optarg);
		if (c->ttl_ns < NUM_NS_PER_MS)
			errx(EX_USAGE, "-t %s: at least 1ms", optarg);
		break;
	case 'y':
		c->yes = true;
		break;
	default:
		ctl_usage();
	}
}

static void
one_option(struct ctl *c, int ch)
{
	switch (ch) {
	case 'c':
		if (strcmp(optarg, "linear") != 0 &&
		    strcmp(optarg, "leader") != 0 &&
		    strcmp(optarg, "stale") != 0)
			errx(EX_USAGE, "-c %s: linear, leader or stale",
			    optarg);
		c->consistency = optarg;
		break;
	case 'C':
		c->dir = optarg;
		break;
	case 'h':
		usage(stdout);
		exit(EX_OK);
	case 'i':
		if (cluster_parse_id(optarg, &c->id) == -1)
			errx(EX_USAGE, "-i %s: a node", optarg);
		break;
	case 'q':
		c->quiet = true;
		break;
	case 'v':
		c->verbose = true;
		break;
	case 'V':
		printf("raftctl %s\n", VERSION);
		exit(EX_OK);
	case 'W':
		c->wait_ns = duration(ch, optarg);
		break;
	default:
		verb_option(c, ch);
	}
}

static void
parse(struct ctl *c, int argc, char *argv[])
{
	int ch;

	while ((ch = getopt_long(argc, argv,
	    "+0ac:C:d:E:fF:hi:JlLm:n:o:qr:t:vVwW:y", options, NULL)) != -1)
		one_option(c, ch);
}

/*
 * A node that goes away must not end us; a reader of our output that goes away
 * ends us as it would any filter.
 */
void
ctl_stdout_failed(void)
{
	if (errno == EPIPE) {
		(void)signal(SIGPIPE, SIG_DFL);
		(void)raise(SIGPIPE);
	}
	err(EX_IOERR, "stdout");
}

static const struct verb *
find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

int
main(int argc, char *argv[])
{
	static struct ctl c = { .wait_ns = WAIT_NS, .try_ns = TRY_NS,
	    .busy_status = EX_TEMPFAIL, .how = { FRAME_DELIM, '\n' } };
	const struct verb *v;
	const char *bad;
	int rc;

	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		err(EX_OSERR, "signal");
	parse(&c, argc, argv);
	argc -= optind;
	argv += optind;
	if (argc == 0)
		ctl_usage();
	if ((v = find(argv[0])) == NULL)
		errx(EX_USAGE, "%s: no such verb", argv[0]);
	/* Options may follow the verb too. */
	optind = 0;
	parse(&c, argc, argv);
	argc -= optind;
	argv += optind;
	for (bad = given; *bad != '\0'; bad++)
		if (strchr(v->takes, *bad) == NULL)
			errx(EX_USAGE, "%s takes no -%c", v->name, *bad);
	if (c.dir == NULL)
		c.dir = getenv("RAFT_DIR");
	if (c.dir == NULL || c.dir[0] == '\0')
		errx(EX_USAGE, "which cluster? -C dir or RAFT_DIR");
	if (v->needs_nodes)
		ctl_find_nodes(&c);
	rc = v->fn(&c, argc, argv);
	ctl_drop(&c);
	return rc;
}
