/* qpop: take messages from a queue; see qpop(1). */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"
#include "qpop.h"

#define TRIES_MAX	UINT32_MAX
#define LOCK_WAIT_NS	NUM_NS_PER_S	/* for a lock, at least */

static const struct option longs[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "backoff", required_argument, NULL, 'B' },
	{ "batch", required_argument, NULL, 'b' },
	{ "count", required_argument, NULL, 'n' },
	{ "delimiter", required_argument, NULL, 'd' },
	{ "follow", no_argument, NULL, 'f' },
	{ "format", required_argument, NULL, 'o' },
	{ "group", required_argument, NULL, 'g' },
	{ "help", no_argument, NULL, 'h' },
	{ "jobs", required_argument, NULL, 'P' },
	{ "json", no_argument, NULL, 'J' },
	{ "lease", required_argument, NULL, 'l' },
	{ "length", no_argument, NULL, 'L' },
	{ "limit", required_argument, NULL, 'T' },
	{ "null", no_argument, NULL, '0' },
	{ "once", no_argument, NULL, 'm' },
	{ "part", required_argument, NULL, 'p' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "tries", required_argument, NULL, 'r' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "wait", required_argument, NULL, 'W' },
	{ "whole", no_argument, NULL, 'w' },
	{ NULL, 0, NULL, 0 }
};

/* Which of the two ways of working each option given belongs to. */
struct given {
	int stream, command;		/* a letter of each, 0: none */
	bool all, count;
};

static void
usage(FILE *to)
{
	fprintf(to, "usage: %s [-0wLJafmqv] [-d delim] [-n count] [-W wait] "
	    "[-g group] [-p i/n]\n"
	    "            [-o format] [-l lease] queue\n"
	    "       %s [-0dLafmqv] [-n count] [-W wait] [-P jobs] [-b batch] "
	    "[-r tries]\n"
	    "            [-B backoff] [-T limit] [-g group] [-p i/n] queue "
	    "command [arg ...]\n", getprogname(), getprogname());
}

static _Noreturn void
bad_usage(void)
{
	usage(stderr);
	exit(EX_USAGE);
}

static uint64_t
number(int letter, uint64_t min, uint64_t max)
{
	uint64_t v;

	if (num_u64(optarg, min, max, &v) == -1)
		errx(EX_USAGE, "-%c %s: not a number from %ju to %ju", letter,
		    optarg, (uintmax_t)min, (uintmax_t)max);
	return v;
}

static int64_t
duration(int letter, int64_t min)
{
	int64_t ns;

	if (num_duration(optarg, &ns) == -1 || ns < min)
		errx(EX_USAGE, "-%c %s: not a duration%s", letter, optarg,
		    min > 0 ? " above 0" : "");
	return ns;
}

/* -p i/n */
static void
set_part(struct options *o)
{
	char *text = strdup(optarg), *slash;
	uint64_t i = 0, n = 0;

	if (text == NULL)
		err(EX_OSERR, NULL);
	slash = strchr(text, '/');
	if (slash != NULL)
		*slash = '\0';
	if (slash == NULL || num_u64(slash + 1, 1, QUEUE_PARTS_MAX, &n) == -1 ||
	    num_u64(text, 1, n, &i) == -1)
		errx(EX_USAGE, "-p %s: not i/n, 1 <= i <= n <= %u", optarg,
		    QUEUE_PARTS_MAX);
	free(text);
	o->part = (unsigned int)i;
	o->parts = (unsigned int)n;
}

/* Options that only commands know. */
static void
command_option(struct options *o, int ch)
{
	switch (ch) {
	case 'B':
		o->backoff_ns = duration(ch, 0);
		o->has_backoff = true;
		break;
	case 'b':
		o->batch = (unsigned int)number(ch, 1, QPOP_BATCH_MAX);
		break;
	case 'P':
		o->jobs = (unsigned int)number(ch, 1, QPOP_JOBS_MAX);
		break;
	case 'r':
		o->tries = number(ch, 0, TRIES_MAX);
		o->has_tries = true;
		break;
	case 'T':
		o->limit_ns = duration(ch, 1);
		break;
	default:
		bad_usage();
	}
}

static void
one_option(struct options *o, struct given *g, int ch)
{
	switch (ch) {
	case '0': case 'd': case 'L': case 'w':
		if (frame_option(&o->frame, ch, optarg) == -1)
			errx(EX_USAGE, "-%c %s: not one byte", ch, optarg);
		if (ch == 'w')
			g->stream = ch;
		break;
	case 'a':
		g->all = true;
		break;
	case 'f':
		o->follow = true;
		break;
	case 'g':
		o->group_name = optarg;
		break;
	case 'h':
		usage(stdout);
		exit(EX_OK);
	case 'J':
		o->json = true;
		g->stream = ch;
		break;
	case 'l':
		o->lease_ns = duration(ch, 1);
		g->stream = ch;
		break;
	case 'm':
		o->once = true;
		break;
	case 'n':
		o->count = number(ch, 1, UINT64_MAX - 1);
		g->count = true;
		break;
	case 'o':
		o->format = optarg;
		g->stream = ch;
		break;
	case 'p':
		set_part(o);
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'V':
		printf("qpop %s\n", VERSION);
		exit(EX_OK);
	case 'v':
		o->verbose = true;
		break;
	case 'W':
		o->wait_ns = duration(ch, 0);
		break;
	default:
		g->command = ch;
		command_option(o, ch);
	}
}

static void
parse(struct options *o, int argc, char *argv[])
{
	struct given g = { 0 };
	int ch;

	while ((ch = getopt_long(argc, argv,
	    "+0aB:b:d:fg:hJLl:mn:o:P:p:qr:T:VvW:w", longs, NULL)) != -1)
		one_option(o, &g, ch);
	argc -= optind;
	argv += optind;
	if (argc < 1)
		bad_usage();
	o->path = argv[0];
	if (argc > 1) {
		o->command = argv + 1;
		if (strcmp(o->command[0], "--") == 0)
			o->command++;
		if (o->command[0] == NULL)
			bad_usage();
	}
	if (o->command != NULL && g.stream != 0)
		errx(EX_USAGE, "-%c is not for commands", g.stream);
	if (o->command == NULL && g.command != 0)
		errx(EX_USAGE, "-%c is for commands", g.command);
	if (o->lease_ns > 0 && o->once)
		errx(EX_USAGE, "-l and -m exclude each other");
	if (o->json && o->format != NULL)
		errx(EX_USAGE, "-J and -o exclude each other");
	if (!g.count && !g.all && !o->follow)
		o->count = 1;
}

/* --- the queue -------------------------------------------------------------- */

static void
slow(void *arg, const char *what, pid_t pid)
{
	const struct options *o = arg;

	if (!o->quiet)
		warnx("%s: process %jd holds up everybody: %s", o->path,
		    (intmax_t)pid, what);
}

/* With -W locks are waited for as long, but a little at least. */
static void
be_patient(struct queue *q, const struct options *o, struct mono deadline)
{
	struct mono least = mono_after(LOCK_WAIT_NS);

	if (o->wait_ns >= 0)
		queue_patience(q, deadline.ns < least.ns ? least : deadline);
}

/* -f and -W make a queue that is not there. */
static struct queue *
open_queue(struct options *o)
{
	bool make = o->follow || o->wait_ns >= 0;
	struct queue *q = NULL;

	while (queue_open(&q, o->path, QUEUE_USE, slow, o) == -1) {
		if (errno != ENOENT || !make)
			err(exit_status(errno), "%s", o->path);
		make = false;
		if (queue_create(o->path, NULL) == -1 && errno != EEXIST)
			err(errno == ENOENT ? EX_CANTCREAT :
			    exit_status(errno), "%s", o->path);
	}
	be_patient(q, o, mono_after(o->wait_ns));
	if (queue_group(q, o->group_name, &o->group) == -1) {
		if (errno == ENOENT)
			errx(EX_NOINPUT, "%s: no group %s", o->path,
			    o->group_name);
		err(exit_status(errno), "%s", o->path);
	}
	queue_patience(q, MONO_NEVER);
	return q;
}

int
qpop_drained(struct queue *q, const struct options *o)
{
	struct queue_limits l;
	uint64_t depth;

	queue_limits(q, &l);
	if (!l.closed)
		return 0;
	if (queue_depth(q, o->group, &depth) == -1)
		return -1;
	return depth == 0;
}

int
qpop_take(struct queue *q, const struct options *o,
    const struct queue_take *how, struct mono deadline,
    struct queue_claim *claim, int64_t *again_ns)
{
	int rc;

	be_patient(q, o, deadline);
	rc = queue_take(q, o->group, how, claim, again_ns);
	if (o->wait_ns >= 0)
		queue_patience(q, MONO_NEVER);
	return rc;
}

void
qpop_die(int sig)
{
	sigset_t set;

	(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, sig);
	(void)kill(getpid(), sig);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + sig);		/* not reached */
}

/*
 * Whatever is opened from now on is none of the numbers a command's streams
 * have.  What we were given open stays as it is, for commands too.
 */
static void
low_descriptors(bool stream)
{
	int fd;

	if (stream && fcntl(STDOUT_FILENO, F_GETFD) == -1)
		err(EX_IOERR, "stdout");	/* nothing would see them */
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd != -1 && fd < QPOP_FD_MIN);
	if (fd == -1)
		err(EX_OSERR, "/dev/null");
	(void)close(fd);
	for (fd = 0; fd <= STDERR_FILENO; fd++)	/* these stay over exec */
		if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0)
			(void)fcntl(fd, F_SETFD, 0);
}

int
main(int argc, char *argv[])
{
	struct options o = { .group_name = "main", .frame = FRAME_LINES,
	    .count = UINT64_MAX, .wait_ns = -1, .jobs = 1, .batch = 1 };
	struct queue *q;
	int rc;

	parse(&o, argc, argv);
	if (strncmp(o.path, "nats://", strlen("nats://")) == 0)
		errx(EX_CONFIG, "%s: this build knows directories only",
		    o.path);
	low_descriptors(o.command == NULL);
	/* A limit on the size of files is an error like a full disk. */
	o.xfsz_ignored = signal(SIGXFSZ, SIG_IGN) == SIG_IGN;
	q = open_queue(&o);
	rc = o.command == NULL ? stream_main(q, &o) : run_main(q, &o);
	queue_close(q);
	return rc;
}
