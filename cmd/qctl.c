/* qctl: look after a queue; see qctl(1). */

#include "qctl.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"

struct verb {
	const char *name, *sub;		/* sub: NULL if there is none */
	const char *optstring;		/* its letters, for getopt_long(3) */
	const char *longs;		/* its options without a letter */
	const char *synopsis;
	int args_min, args_max;		/* after the options; -1: any number */
	verb_run run;
};

static const struct verb verbs[] = {
	{ "create", NULL, .optstring = "+hV", "force-fs",
	    "[--force-fs] queue [name=value ...]", 1, -1, qctl_create },
	{ "set", NULL, .optstring = "+hV", "",
	    "queue name=value ...", 2, -1, qctl_set },
	{ "info", NULL, .optstring = "+hJV", "",
	    "[-J] queue", 1, 1, qctl_info },
	{ "peek", NULL, .optstring = "+0ad:g:hi:Jk:Ln:S:vVw", "",
	    "[-0aJLvw] [-d delim] [-g group] [-i id] [-k key] [-n count]\n"
	    "          [-S state,...] queue [seq ...]", 1, -1, qctl_peek },
	{ "ack", NULL, .optstring = "+hV", "",
	    "queue receipt ...", 2, -1, qctl_ack },
	{ "nack", NULL, .optstring = "+D:g:hV", "dead force",
	    "[--dead | -D delay] queue receipt ...\n"
	    "       qctl nack [--force] [-g group] queue seq ...",
	    2, -1, qctl_nack },
	{ "extend", NULL, .optstring = "+hl:V", "",
	    "-l lease queue receipt ...", 2, -1, qctl_extend },
	{ "dead", "ls", .optstring = "+ag:hi:Jk:m:n:V", "",
	    "[-aJ] [-g group] [-i id] [-k key] [-m regex] [-n count]\n"
	    "          queue [seq ...]", 1, -1, qctl_dead_ls },
	{ "dead", "peek", .optstring = "+0ad:g:hi:Jk:Lm:n:vVw", "",
	    "[-0aJLvw] [-d delim] [-g group] [-i id] [-k key]\n"
	    "          [-m regex] [-n count] queue [seq ...]",
	    1, -1, qctl_dead_peek },
	{ "dead", "requeue", .optstring = "+ag:hi:k:m:qV", "",
	    "[-aq] [-g group] [-i id] [-k key] [-m regex]\n"
	    "          queue [seq ...]", 1, -1, qctl_dead_requeue },
	{ "dead", "rm", .optstring = "+ag:hi:k:m:qV", "",
	    "[-aq] [-g group] [-i id] [-k key] [-m regex]\n"
	    "          queue [seq ...]", 1, -1, qctl_dead_rm },
	{ "group", "ls", .optstring = "+hJV", "",
	    "[-J] queue", 1, 1, qctl_group_ls },
	{ "group", "add", .optstring = "+hqV", "",
	    "[-q] queue name [from=start]", 2, 3, qctl_group_add },
	{ "group", "reset", .optstring = "+hqV", "",
	    "[-q] queue name from=start", 3, 3, qctl_group_reset },
	{ "group", "rm", .optstring = "+hV", "",
	    "queue name", 2, 2, qctl_group_rm },
	{ "close", NULL, .optstring = "+hV", "",
	    "queue", 1, 1, qctl_close },
	{ "open", NULL, .optstring = "+hV", "",
	    "queue", 1, 1, qctl_open },
	{ "wait", NULL, .optstring = "+g:hVW:", "",
	    "[-g group] [-W wait] queue", 1, 1, qctl_wait },
	{ "purge", NULL, .optstring = "+g:hqV", "",
	    "[-q] [-g group] queue", 1, 1, qctl_purge },
	{ "compact", NULL, .optstring = "+hqV", "",
	    "[-q] queue", 1, 1, qctl_compact },
	{ "verify", NULL, .optstring = "+hqV", "",
	    "[-q] queue", 1, 1, qctl_verify },
	{ "repair", NULL, .optstring = "+hV", "",
	    "queue", 1, 1, qctl_repair },
	{ "dump", NULL, .optstring = "+g:hS:V", "",
	    "[-g group] [-S state,...] queue", 1, 1, qctl_dump },
	{ "rm", NULL, .optstring = "+hV", "",
	    "queue", 1, 1, qctl_rm },
};

#define VERBS_CNT	(sizeof(verbs) / sizeof(verbs[0]))

static const struct option options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "count", required_argument, NULL, 'n' },
	{ "dead", no_argument, NULL, OPT_DEAD },
	{ "delay", required_argument, NULL, 'D' },
	{ "delimiter", required_argument, NULL, 'd' },
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "force-fs", no_argument, NULL, OPT_FORCE_FS },
	{ "group", required_argument, NULL, 'g' },
	{ "help", no_argument, NULL, 'h' },
	{ "id", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, 'J' },
	{ "key", required_argument, NULL, 'k' },
	{ "lease", required_argument, NULL, 'l' },
	{ "length", no_argument, NULL, 'L' },
	{ "match", required_argument, NULL, 'm' },
	{ "null", no_argument, NULL, '0' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "state", required_argument, NULL, 'S' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "wait", required_argument, NULL, 'W' },
	{ "whole", no_argument, NULL, 'w' },
	{ NULL, 0, NULL, 0 }
};

static void
usage_verb(FILE *to, const struct verb *v, const char *lead)
{
	fprintf(to, "%s %s %s%s%s %s\n", lead, getprogname(), v->name,
	    v->sub == NULL ? "" : " ", v->sub == NULL ? "" : v->sub,
	    v->synopsis);
}

static void
usage(FILE *to)
{
	for (size_t i = 0; i < VERBS_CNT; i++)
		usage_verb(to, &verbs[i], i == 0 ? "usage:" : "      ");
}

static _Noreturn void
bad_usage(const struct verb *v)
{
	if (v == NULL)
		usage(stderr);
	else
		usage_verb(stderr, v, "usage:");
	exit(EX_USAGE);
}

/* Is the option one of the verb's?  getopt_long takes any of the table. */
static bool
allowed(const struct verb *v, int ch, const char *name)
{
	const char *p;
	size_t len;

	if (ch < OPT_DEAD)
		return strchr(v->optstring, ch) != NULL;
	len = strlen(name);
	for (p = v->longs; (p = strstr(p, name)) != NULL; p += len)
		if (p[len] == '\0' || p[len] == ' ')
			return true;
	return false;
}

static void
duration(const char *what, int64_t *ns)
{
	if (num_duration(optarg, ns) == -1)
		errx(EX_USAGE, "%s %s: not a duration", what, optarg);
}

static void
one_option(struct options *o, const struct verb *v, int ch)
{
	switch (ch) {
	case '0':
	case 'd':
	case 'L':
	case 'w':
		if (frame_option(&o->frame, ch, optarg) == -1)
			errx(EX_USAGE, "-d %s: not one byte", optarg);
		break;
	case 'a':
		o->all = true;
		break;
	case 'D':
		duration("-D", &o->delay_ns);
		break;
	case 'g':
		o->group = optarg;
		break;
	case 'h':
		usage_verb(stdout, v, "usage:");
		exit(EX_OK);
	case 'i':
		o->id = optarg;
		break;
	case 'J':
		o->json = true;
		break;
	case 'k':
		o->key = optarg;
		break;
	case 'l':
		duration("-l", &o->lease_ns);
		if (o->lease_ns == 0)
			errx(EX_USAGE, "-l %s: more than nothing", optarg);
		break;
	case 'm':
		o->match = optarg;
		break;
	case 'n':
		if (num_u64(optarg, 1, UINT64_MAX - 1, &o->count) == -1)
			errx(EX_USAGE, "-n %s: not a count", optarg);
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'S':
		o->states = states_parse(optarg);
		if (o->states == 0)
			errx(EX_USAGE, "-S %s: not states; they are ready, "
			    "in-flight, delayed, dead, finished", optarg);
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'V':
		printf("qctl %s\n", VERSION);
		exit(EX_OK);
	case 'W':
		duration("-W", &o->wait_ns);
		break;
	case OPT_DEAD:
		o->dead = true;
		break;
	case OPT_FORCE:
		o->force = true;
		break;
	case OPT_FORCE_FS:
		o->force_fs = true;
		break;
	default:
		bad_usage(v);
	}
}

static void
parse(struct options *o, const struct verb *v, int argc, char *argv[])
{
	int ch, at;

	while (at = -1, (ch = getopt_long(argc, argv, v->optstring, options,
	    &at)) != -1) {
		if (at >= 0 && !allowed(v, ch, options[at].name)) {
			warnx("%s has no --%s", o->verb, options[at].name);
			bad_usage(v);
		}
		one_option(o, v, ch);
	}
}

/* The verb that the words name; dies if they name none. */
static const struct verb *
find(const char *word, const char *sub)
{
	bool known = false;

	for (size_t i = 0; i < VERBS_CNT; i++) {
		if (strcmp(verbs[i].name, word) != 0)
			continue;
		known = true;
		if (verbs[i].sub == NULL ||
		    (sub != NULL && strcmp(verbs[i].sub, sub) == 0))
			return &verbs[i];
	}
	if (!known)
		errx(EX_USAGE, "no such verb: %s; %s -h lists them", word,
		    getprogname());
	for (size_t i = 0; i < VERBS_CNT; i++)
		if (strcmp(verbs[i].name, word) == 0)
			usage_verb(stderr, &verbs[i], "usage:");
	exit(EX_USAGE);
}

/*
 * No file of the queue may get a number below 3 and be written to as if it
 * were a stream; what is written to one that was closed fails.
 */
static void
standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd < 3);
	if (fd == -1)
		err(EX_OSERR, "/dev/null");
	close(fd);
}

static const struct option main_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

int
main(int argc, char *argv[])
{
	struct options o = {
		.frame = FRAME_LINES,
		.delay_ns = -1, .lease_ns = -1, .wait_ns = -1,
	};
	const struct verb *v;
	char words[32];
	int ch;

	standard_streams();
	while ((ch = getopt_long(argc, argv, "+hV", main_options, NULL)) != -1)
		switch (ch) {
		case 'h':
			usage(stdout);
			return EX_OK;
		case 'V':
			printf("qctl %s\n", VERSION);
			return EX_OK;
		default:
			bad_usage(NULL);
		}
	argc -= optind;
	argv += optind;
	if (argc == 0)
		bad_usage(NULL);
	v = find(argv[0], argv[1]);
	snprintf(words, sizeof(words), "%s%s%s", v->name,
	    v->sub == NULL ? "" : " ", v->sub == NULL ? "" : v->sub);
	o.verb = words;
	if (v->sub != NULL) {
		argc--;
		argv++;
	}
	optind = 0;
	parse(&o, v, argc, argv);
	argc -= optind;
	argv += optind;
	if (argc < v->args_min || (v->args_max != -1 && argc > v->args_max))
		bad_usage(v);
	refuse_server(argv[0]);
	return v->run(&o, argc, argv);
}
