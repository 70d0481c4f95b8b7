/* partsim: a network you can break; see partsim(1). */

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "exits.h"
#include "num.h"
#include "partsim.h"

#define READY_FD_MAX	1023

static const struct option options[] = {
	{ "buffer", required_argument, NULL, 'b' },
	{ "dir", required_argument, NULL, 'C' },
	{ "file", required_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'J' },
	{ "log", required_argument, NULL, 'l' },
	{ "nodes", required_argument, NULL, 'n' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "ready-fd", required_argument, NULL, 'R' },
	{ "seed", required_argument, NULL, 's' },
	{ "trace", required_argument, NULL, 't' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

static void
usage(FILE *to)
{
	fprintf(to, "usage: %s [-C net] up [-Jqv] [-b size] [-f file] "
	    "[-l log] [-n nodes] [-s seed]\n"
	    "          [-t trace] [--ready-fd fd]\n"
	    "       %s [-C net] run [-Jqv] [-b size] [-f file] [-l log] "
	    "[-n nodes] [-s seed]\n"
	    "          [-t trace] command [arg ...]\n"
	    "       %s [-C net] [-Jq] [verb [arg ...]]\n",
	    getprogname(), getprogname(), getprogname());
}

static _Noreturn void
bad_usage(void)
{
	usage(stderr);
	exit(EX_USAGE);
}

static void
one_option(struct options *o, int ch)
{
	uint64_t v;

	switch (ch) {
	case 'b':
		if (num_size(optarg, &o->buffer) == -1 || o->buffer < 4096 ||
		    o->buffer > (UINT64_C(1) << 30))
			errx(EX_USAGE, "-b %s: a size from 4k to 1G", optarg);
		break;
	case 'C':
		o->net = optarg;
		break;
	case 'f':
		o->file = optarg;
		break;
	case 'h':
		usage(stdout);
		exit(EX_OK);
	case 'J':
		o->json = true;
		break;
	case 'l':
		o->log = optarg;
		break;
	case 'n':
		o->nodes = optarg;
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'R':
		if (num_u64(optarg, 0, READY_FD_MAX, &v) == -1)
			errx(EX_USAGE, "--ready-fd %s: a descriptor", optarg);
		o->ready_fd = (int)v;
		break;
	case 's':
		if (num_u64(optarg, 0, UINT64_MAX, &o->seed) == -1)
			errx(EX_USAGE, "-s %s: a number", optarg);
		o->has_seed = true;
		break;
	case 't':
		o->trace = optarg;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'V':
		printf("partsim %s\n", VERSION);
		exit(EX_OK);
	default:
		bad_usage();
	}
}

static void
parse(struct options *o, int argc, char *argv[])
{
	int ch;

	while ((ch = getopt_long(argc, argv, "+b:C:f:hJl:n:qs:t:vV", options,
	    NULL)) != -1)
		one_option(o, ch);
}

int
main(int argc, char *argv[])
{
	struct options o = { .ready_fd = -1 };
	const char *job;
	int skip;

	parse(&o, argc, argv);
	argc -= optind;
	argv += optind;
	job = argc > 0 ? argv[0] : "";
	if (strcmp(job, "up") == 0 || strcmp(job, "run") == 0) {
		/* Their own options follow the word. */
		optind = 0;
		parse(&o, argc, argv);
		skip = optind;
		argc -= skip;
		argv += skip;
	}
	if (o.net == NULL)
		o.net = getenv("PARTSIM_NET");
	if (o.net == NULL || o.net[0] == '\0')
		errx(EX_USAGE, "no net: -C net or PARTSIM_NET");
	if (!o.has_seed && getentropy(&o.seed, sizeof(o.seed)) == -1)
		err(EX_OSERR, "getentropy");
	if (!o.has_seed)
		o.seed %= 1000000000;	/* one that can be typed again */
	if (strcmp(job, "up") == 0) {
		if (argc != 0)
			bad_usage();
		return partsim_up(&o);
	}
	if (strcmp(job, "run") == 0) {
		if (argc == 0)
			bad_usage();
		return partsim_run(&o, argv);
	}
	return partsim_send(&o, argc, argv);
}
