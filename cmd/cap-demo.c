/* cap-demo: what a partition costs, counted; see cap-demo(1). */

#include <sys/random.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cap-demo.h"
#include "exits.h"
#include "num.h"

#define RATE_MAX	2000.0		/* operations a second */
#define LOAD_MAX_NS	(3600 * NUM_NS_PER_S)
#define SKEW_MAX_MS	INT64_C(86400000)
#define READY_FD_MAX	1023

enum job { RUN = 1, PACELC = 2, PROBE = 4, NODE = 8, GET = 16, PUT = 32 };

enum {
	OPT_AMNESIA = 256, OPT_DELAY, OPT_DELAYS, OPT_EVENTUAL_GET, OPT_EVENTUAL_PUT,
	OPT_GET, OPT_HISTORY, OPT_KEEP_EMPTY, OPT_LINKS, OPT_MAX_SKEW,
	OPT_NO_WRITE_BACK, OPT_NODE, OPT_PUT, OPT_READY_FD, OPT_REFUSED_EXIT,
	OPT_REPORT, OPT_SIBLINGS, OPT_SKEW, OPT_TIMEOUT, OPT_WEAK_WRITER
};

static const struct option options[] = {
	{ "amnesia", no_argument, NULL, OPT_AMNESIA },
	{ "consistency", required_argument, NULL, 'c' },
	{ "delay", required_argument, NULL, OPT_DELAY },
	{ "delays", required_argument, NULL, OPT_DELAYS },
	{ "dir", required_argument, NULL, 'C' },
	{ "eventual-get", required_argument, NULL, OPT_EVENTUAL_GET },
	{ "eventual-put", required_argument, NULL, OPT_EVENTUAL_PUT },
	{ "get", required_argument, NULL, OPT_GET },
	{ "help", no_argument, NULL, 'h' },
	{ "history", required_argument, NULL, OPT_HISTORY },
	{ "id", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, 'J' },
	{ "keep-empty", no_argument, NULL, OPT_KEEP_EMPTY },
	{ "links", no_argument, NULL, OPT_LINKS },
	{ "max-skew", required_argument, NULL, OPT_MAX_SKEW },
	{ "no-write-back", no_argument, NULL, OPT_NO_WRITE_BACK },
	{ "node", required_argument, NULL, OPT_NODE },
	{ "partition", required_argument, NULL, 'p' },
	{ "put", required_argument, NULL, OPT_PUT },
	{ "quiet", no_argument, NULL, 'q' },
	{ "rate", required_argument, NULL, 'r' },
	{ "ready-fd", required_argument, NULL, OPT_READY_FD },
	{ "refused-exit", required_argument, NULL, OPT_REFUSED_EXIT },
	{ "replicas", required_argument, NULL, 'n' },
	{ "report", required_argument, NULL, OPT_REPORT },
	{ "seed", required_argument, NULL, 's' },
	{ "siblings", no_argument, NULL, OPT_SIBLINGS },
	{ "skew", required_argument, NULL, OPT_SKEW },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ "wait", required_argument, NULL, 'W' },
	{ "weak-writer", no_argument, NULL, OPT_WEAK_WRITER },
	{ NULL, 0, NULL, 0 }
};

/* Which jobs know an option; -h, -V, -q and -v are everybody's. */
static const struct { int option, jobs; } known[] = {
	{ 'C', RUN | PACELC | PROBE | NODE | GET | PUT },
	{ 'J', RUN | PACELC | PROBE },
	{ 'W', RUN | PACELC | PROBE | GET | PUT },
	{ 'c', RUN | GET | PUT },
	{ 'i', NODE | GET | PUT },
	{ 'n', RUN | PACELC | NODE },
	{ 'p', RUN | PROBE },
	{ 'r', RUN | PACELC | PROBE },
	{ 's', RUN | PACELC | PROBE },
	{ OPT_AMNESIA, RUN },
	{ OPT_DELAY, RUN },
	{ OPT_DELAYS, PACELC },
	{ OPT_EVENTUAL_GET, PROBE }, { OPT_EVENTUAL_PUT, PROBE },
	{ OPT_GET, PROBE }, { OPT_PUT, PROBE },
	{ OPT_HISTORY, RUN | PROBE },
	{ OPT_KEEP_EMPTY, PROBE },
	{ OPT_LINKS, NODE },
	{ OPT_MAX_SKEW, RUN | NODE },
	{ OPT_NO_WRITE_BACK, RUN | NODE },
	{ OPT_NODE, PROBE },
	{ OPT_READY_FD, NODE },
	{ OPT_REFUSED_EXIT, PROBE },
	{ OPT_REPORT, RUN },
	{ OPT_SIBLINGS, RUN | NODE },
	{ OPT_SKEW, RUN | NODE },
	{ OPT_TIMEOUT, RUN | PACELC | PROBE },
	{ OPT_WEAK_WRITER, RUN },
};

static void
usage(FILE *to)
{
	fputs("usage: cap-demo [run] [-Jqv] [-C dir] [-c level] [-n replicas] "
	    "[-p shape] [-r rate]\n"
	    "          [-s seed] [-W duration] [--history file] "
	    "[--report file] [--siblings]\n"
	    "          [--delay time] [--timeout time] [--max-skew time] [--skew node=time]\n"
	    "          [--amnesia] [--no-write-back] [--weak-writer]\n"
	    "       cap-demo pacelc [-Jqv] [-C dir] [-n replicas] [-r rate] "
	    "[-s seed] [-W duration]\n"
	    "          [--delays list] [--timeout time]\n"
	    "       cap-demo probe [-Jqv] [-C net] [-p shape] [-r rate] "
	    "[-s seed] [-W duration]\n"
	    "          [--history file] [--timeout time] "
	    "[--refused-exit list] [--keep-empty]\n"
	    "          --node name=addr ... --get command --put command\n"
	    "          [--eventual-get command] [--eventual-put command]\n"
	    "       cap-demo node [-qv] -C dir -i id [-n replicas] [--links] "
	    "[--siblings]\n"
	    "          [--max-skew time] [--skew time] [--no-write-back] "
	    "[--ready-fd fd]\n"
	    "       cap-demo get [-v] -C dir [-c level] [-i id] [-W wait] key\n"
	    "       cap-demo put -C dir [-c level] [-i id] [-W wait] key "
	    "[value]\n", to);
}

static _Noreturn void
bad_usage(void)
{
	usage(stderr);
	exit(EX_USAGE);
}

/* --- values of options ------------------------------------------------------ */

static int64_t
duration(const char *name, const char *text, int64_t min, int64_t max)
{
	int64_t ns;

	if (num_duration(text, &ns) == -1 || ns < min || ns > max)
		errx(EX_USAGE, "%s %s: not a duration, or out of range", name,
		    text);
	return ns;
}

static unsigned int
number(const char *name, const char *text, unsigned int max)
{
	uint64_t v;

	if (num_u64(text, 1, max, &v) == -1)
		errx(EX_USAGE, "%s %s: a number from 1 to %u", name, text, max);
	return (unsigned int)v;
}

/* "2" or "n2". */
static unsigned int
node_number(const char *name, const char *text)
{
	return number(name, text[0] == 'n' ? text + 1 : text, DVV_NODES_MAX);
}

static int64_t
skew_ms(const char *text)
{
	bool minus = text[0] == '-';
	int64_t ns = duration("--skew", text + (minus || text[0] == '+'), 0,
	    SKEW_MAX_MS * NUM_NS_PER_MS);

	return (minus ? -ns : ns) / NUM_NS_PER_MS;
}

static void
set_skew(struct options *o, char *text)
{
	char *eq = strchr(text, '=');

	if (strcmp(o->job, "node") == 0) {
		o->skew_ms = skew_ms(text);
		return;
	}
	if (eq == NULL)
		errx(EX_USAGE, "--skew %s: node=time, such as n2=+5s", text);
	*eq = '\0';
	o->skew_node = node_number("--skew", text);
	o->skew_ms = skew_ms(eq + 1);
}

static void
set_level(struct options *o, const char *text)
{
	bool run = strcmp(o->job, "run") == 0;

	if (strcmp(text, "strong") == 0)
		o->level = LEVEL_STRONG;
	else if (strcmp(text, "eventual") == 0)
		o->level = LEVEL_EVENTUAL;
	else if (run && strcmp(text, "mix") == 0)
		o->level = LEVEL_MIX;
	else
		errx(EX_USAGE, "-c %s: strong%s eventual%s", text,
		    run ? "," : " or", run ? " or mix" : "");
	o->has_level = true;
}

static void
set_delays(struct options *o, char *text)
{
	char *word;

	o->delays_cnt = 0;
	while ((word = strsep(&text, ",")) != NULL) {
		if (o->delays_cnt == DELAYS_MAX)
			errx(EX_USAGE, "--delays: at most %d", DELAYS_MAX);
		o->delays_ns[o->delays_cnt++] = duration("--delays", word, 0,
		    200 * NUM_NS_PER_MS);
	}
	if (o->delays_cnt < 2)
		errx(EX_USAGE, "--delays: a line needs two points");
}

static void
set_refused(struct options *o, char *text)
{
	char *word;
	uint64_t v;

	while ((word = strsep(&text, ",")) != NULL) {
		if (num_u64(word, 1, 255, &v) == -1 ||
		    o->refused_cnt == STATUS_LIST_MAX)
			errx(EX_USAGE, "--refused-exit: exit statuses with "
			    "commas between, at most %d", STATUS_LIST_MAX);
		o->refused[o->refused_cnt++] = (unsigned char)v;
	}
}

static void
add_node(struct options *o, char *text)
{
	char *eq = strchr(text, '=');

	if (eq == NULL || eq == text || eq[1] == '\0')
		errx(EX_USAGE, "--node %s: name=addr", text);
	if (o->nodes_cnt == PROBE_NODES_MAX)
		errx(EX_USAGE, "--node: at most %d", PROBE_NODES_MAX);
	*eq = '\0';
	o->nodes[o->nodes_cnt].name = text;
	o->nodes[o->nodes_cnt++].addr = eq + 1;
}

static void
set_rate(struct options *o, const char *text)
{
	char *end;

	errno = 0;
	o->rate = strtod(text, &end);
	if (errno != 0 || *text == '\0' || *end != '\0' ||
	    !(o->rate > 0 && o->rate <= RATE_MAX))
		errx(EX_USAGE, "-r %s: operations a second, at most %.0f", text,
		    RATE_MAX);
}

static void
long_option(struct options *o, int ch)
{
	switch (ch) {
	case OPT_AMNESIA: o->amnesia = true; break;
	case OPT_DELAY:
		o->delay_ns = duration("--delay", optarg, 0,
		    200 * NUM_NS_PER_MS);
		break;
	case OPT_DELAYS: set_delays(o, optarg); break;
	case OPT_EVENTUAL_GET: o->eventual_get = optarg; break;
	case OPT_EVENTUAL_PUT: o->eventual_put = optarg; break;
	case OPT_GET: o->get = optarg; break;
	case OPT_HISTORY: o->history = optarg; break;
	case OPT_KEEP_EMPTY: o->keep_empty = true; break;
	case OPT_LINKS: o->links = true; break;
	case OPT_MAX_SKEW:
		o->max_skew_ms = duration("--max-skew", optarg, NUM_NS_PER_MS,
		    SKEW_MAX_MS * NUM_NS_PER_MS) / NUM_NS_PER_MS;
		o->has_max_skew = true;
		break;
	case OPT_NO_WRITE_BACK: o->no_write_back = true; break;
	case OPT_NODE: add_node(o, optarg); break;
	case OPT_PUT: o->put = optarg; break;
	case OPT_READY_FD:
		o->ready_fd = (int)number("--ready-fd", optarg, READY_FD_MAX);
		break;
	case OPT_REFUSED_EXIT: set_refused(o, optarg); break;
	case OPT_REPORT: o->report = optarg; break;
	case OPT_SIBLINGS: o->siblings = true; break;
	case OPT_SKEW: set_skew(o, optarg); break;
	case OPT_TIMEOUT:
		o->timeout_ns = duration("--timeout", optarg,
		    10 * NUM_NS_PER_MS, 60 * NUM_NS_PER_S);
		o->has_timeout = true;
		break;
	case OPT_WEAK_WRITER: o->weak_writer = true; break;
	default: bad_usage();
	}
}

static void
one_option(struct options *o, int ch)
{
	switch (ch) {
	case 'C': o->dir = optarg; break;
	case 'c': set_level(o, optarg); break;
	case 'h': usage(stdout); exit(EX_OK);
	case 'i': o->id = node_number("-i", optarg); break;
	case 'J': o->json = true; break;
	case 'n':
		o->replicas = number("-n", optarg, DVV_NODES_MAX);
		break;
	case 'p': o->shape = optarg; break;
	case 'q': o->quiet = true; break;
	case 'r': set_rate(o, optarg); break;
	case 's':
		if (num_u64(optarg, 0, UINT64_MAX, &o->seed) == -1)
			errx(EX_USAGE, "-s %s: a number", optarg);
		break;
	case 'V': printf("cap-demo %s\n", VERSION); exit(EX_OK);
	case 'v': o->verbose = true; break;
	case 'W':
		o->wait_ns = duration("-W", optarg, 0, LOAD_MAX_NS);
		break;
	default: long_option(o, ch);
	}
}

static int
job_of(const char *word)
{
	static const struct { const char *word; int job; } jobs[] = {
		{ "run", RUN }, { "pacelc", PACELC }, { "probe", PROBE },
		{ "node", NODE }, { "get", GET }, { "put", PUT },
	};

	for (size_t i = 0; i < sizeof(jobs) / sizeof(*jobs); i++)
		if (strcmp(jobs[i].word, word) == 0)
			return jobs[i].job;
	return 0;
}

static void
check_option(int job, int ch, const char *word)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].option == ch && (known[i].jobs & job) == 0)
			errx(EX_USAGE, "%s is not an option of %s",
			    word, job == RUN ? "run" : "this");
}

static int
dispatch(struct options *o, int job, int argc, char *argv[])
{
	if ((job & (NODE | GET | PUT)) != 0 && o->dir == NULL)
		errx(EX_USAGE, "%s: no directory, -C dir", o->job);
	if (job == NODE) {
		if (argc != 0)
			bad_usage();
		if (o->id == 0)
			errx(EX_USAGE, "node: which one, -i id");
		if (o->id > o->replicas)
			errx(EX_USAGE, "node: -i %u of -n %u", o->id,
			    o->replicas);
		return node_main(o);
	}
	if (job == GET || job == PUT) {
		if (argc < 1 || argc > (job == PUT ? 2 : 1))
			bad_usage();
		if (o->id == 0)
			o->id = 1;
		return client_main(o, argc, argv);
	}
	if (argc != 0)
		bad_usage();
	return job == RUN ? run_main(o) : job == PACELC ? pacelc_main(o) :
	    probe_main(o);
}

int
main(int argc, char *argv[])
{
	struct options o = { .job = "run", .replicas = 3, .ready_fd = -1,
	    .wait_ns = -1, .max_skew_ms = 1000, .rate = 0,
	    .timeout_ns = NUM_NS_PER_S };
	int ch, job = RUN, before;

	if (argc > 1 && (job = job_of(argv[1])) != 0) {
		o.job = argv[1];
		argc--;
		argv++;
	} else {
		job = RUN;
	}
	if (getentropy(&o.seed, sizeof(o.seed)) == -1)
		err(EX_OSERR, "getentropy");
	o.seed %= 1000000000;		/* one that can be typed again */
	for (before = 1; (ch = getopt_long(argc, argv,
	    "+C:c:hi:Jn:p:qr:s:VvW:", options, NULL)) != -1; before = optind) {
		check_option(job, ch, argv[before]);
		one_option(&o, ch);
	}
	return dispatch(&o, job, argc - optind, argv + optind);
}
