/* qdepth: how many messages a queue holds; see qdepth(1). */

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "exits.h"
#include "num.h"
#include "qdepth.h"

static const struct option options[] = {
	{ "age", required_argument, NULL, 'A' },
	{ "all", no_argument, NULL, 'a' },
	{ "follow", no_argument, NULL, 'f' },
	{ "group", required_argument, NULL, 'g' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'J' },
	{ "max", required_argument, NULL, 'x' },
	{ "output", required_argument, NULL, 'o' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "state", required_argument, NULL, 'S' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

static void
usage(FILE *to)
{
	fprintf(to, "usage: %s [-aJfq] [-o prom] [-S state] [-g group] "
	    "[-x max] [-A age] queue ...\n", getprogname());
}

static _Noreturn void
bad_usage(void)
{
	usage(stderr);
	exit(EX_USAGE);
}

/* --- options --------------------------------------------------------------------- */

static enum queue_state
state_option(const char *text)
{
	static const struct {
		const char *name;
		enum queue_state state;
	} names[] = {
		{ "ready", QUEUE_READY }, { "in-flight", QUEUE_IN_FLIGHT },
		{ "delayed", QUEUE_DELAYED }, { "dead", QUEUE_DEAD },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, text) == 0)
			return names[i].state;
	errx(EX_USAGE, "-S %s: ready, in-flight, delayed or dead", text);
}

static void
form_option(struct options *o, enum form form)
{
	if (o->form != FORM_NUMBER && o->form != form)
		errx(EX_USAGE, "only one of -a, -J and -o");
	o->form = form;
}

static void
one_option(struct options *o, int ch)
{
	switch (ch) {
	case 'A':
		if (num_duration(optarg, &o->age_ns) == -1)
			errx(EX_USAGE, "-A %s: not a duration", optarg);
		break;
	case 'a':
		form_option(o, FORM_TABLE);
		break;
	case 'f':
		o->follow = true;
		break;
	case 'g':
		o->group = optarg;
		break;
	case 'h':
		usage(stdout);
		exit(EX_OK);
	case 'J':
		form_option(o, FORM_JSON);
		break;
	case 'o':
		if (strcmp(optarg, "prom") != 0)
			errx(EX_USAGE, "-o %s: only prom", optarg);
		form_option(o, FORM_PROM);
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'S':
		o->state = state_option(optarg);
		break;
	case 'V':
		printf("qdepth %s\n", VERSION);
		exit(EX_OK);
	case 'x':
		if (num_u64(optarg, 0, UINT64_MAX, &o->max) == -1)
			errx(EX_USAGE, "-x %s: not a number", optarg);
		o->has_max = true;
		break;
	default:
		bad_usage();
	}
}

/* --- looking ----------------------------------------------------------------------- */

int64_t
view_age_ns(int64_t ts_ns)
{
	int64_t age;

	if (ts_ns == 0 || __builtin_sub_overflow(wall_now_ns(), ts_ns, &age) ||
	    age < 0)
		return 0;
	return age;
}

double
view_drain(uint64_t depth, double in, double out)
{
	if (depth == 0)
		return 0;
	return out > in ? (double)depth / (out - in) : -1;
}

bool
view_wants(const struct view *v, const struct queue_group_stats *g)
{
	return v->group == 0 || v->group == g->group;
}

static uint64_t
in_state(const struct queue_group_stats *g, enum queue_state state)
{
	switch (state) {
	case QUEUE_READY:
		return g->ready;
	case QUEUE_IN_FLIGHT:
		return g->in_flight;
	case QUEUE_DELAYED:
		return g->delayed;
	case QUEUE_DEAD:
		return g->dead;
	default:
		return 0;
	}
}

static void
slow(void *arg, const char *what, pid_t pid)
{
	const char *path = arg;

	warnx("%s: process %jd holds %s; waiting", path, (intmax_t)pid, what);
}

/* Say why, once, and look at this queue no more; returns the exit status. */
static int
view_bad(struct view *v)
{
	int errnum = errno;

	v->bad = true;
	queue_close(v->q);
	v->q = NULL;
	switch (errnum) {
	case ENOENT:
		warnx("%s: no such queue", v->path);
		return EX_NOINPUT;
	case ENOTDIR:
	case EBADMSG:
		warnx("%s: not a queue", v->path);
		return EX_DATAERR;
	case EPROTONOSUPPORT:
		warnx("%s: made by a newer version", v->path);
		return EX_CONFIG;
	default:
		warnc(errnum, "%s", v->path);
		return exit_status(errnum);
	}
}

static int
view_open(struct view *v, const struct options *o, const char *path)
{
	v->path = path;
	if (strncmp(path, "nats://", 7) == 0) {
		warnx("%s: this build knows no nats:// queues", path);
		v->bad = true;
		return EX_CONFIG;
	}
	if (queue_open(&v->q, path, QUEUE_READ, o->quiet ? NULL : slow,
	    (void *)(uintptr_t)path) == -1) {
		v->q = NULL;
		return view_bad(v);
	}
	if (o->group != NULL && queue_group(v->q, o->group, &v->group) == -1) {
		if (errno != ENOENT)
			return view_bad(v);
		warnx("%s: no such group: %s", path, o->group);
		v->bad = true;
		return EX_NOINPUT;
	}
	return EX_OK;
}

uint64_t
view_depth(const struct view *v)
{
	for (size_t i = 0; i < v->st.groups_cnt; i++)
		if (v->group != 0 && view_wants(v, &v->st.groups[i]))
			return v->st.groups[i].depth;
	return v->st.depth;
}

/* What -S asks for, over the groups asked for. */
static uint64_t
view_state(const struct view *v, enum queue_state state)
{
	uint64_t n = 0;

	for (size_t i = 0; i < v->st.groups_cnt; i++)
		if (view_wants(v, &v->st.groups[i]))
			n += in_state(&v->st.groups[i], state);
	return n;
}

static int
view_look(struct view *v, const struct options *o)
{
	bool enough = o->form == FORM_NUMBER && o->state == 0 &&
	    o->age_ns < 0 && !(o->follow && isatty(STDOUT_FILENO));

	if (v->bad)
		return EX_OK;		/* told already */
	if (enough)
		return queue_depth(v->q, v->group, &v->number) == -1 ?
		    view_bad(v) : EX_OK;
	free(v->st.groups);
	memset(&v->st, 0, sizeof(v->st));
	if (queue_stats(v->q, &v->st) == -1)
		return view_bad(v);
	v->number = o->state == 0 ? view_depth(v) : view_state(v, o->state);
	return EX_OK;
}

/* Is it above what -x and -A allow? */
static bool
view_above(const struct view *v, const struct options *o)
{
	if (v->bad)
		return false;
	if (o->has_max && v->number > o->max)
		return true;
	if (o->age_ns < 0)
		return false;
	for (size_t i = 0; i < v->st.groups_cnt; i++)
		if (view_wants(v, &v->st.groups[i]) &&
		    view_age_ns(v->st.groups[i].oldest_ns) > o->age_ns)
			return true;
	return false;
}

/* --- once, or again and again -------------------------------------------------------- */

static void
print(const struct buf *out)
{
	if ((out->len > 0 && fwrite(out->data, out->len, 1, stdout) != 1) ||
	    fflush(stdout) == EOF)
		err(EX_IOERR, "standard output");
}

/*
 * Open them anew for each look: a queue that was removed, or made anew under
 * the same name, is noticed so.
 */
static int
open_all(struct view *v, size_t cnt, const struct options *o, char *paths[])
{
	int status = EX_OK, rc;

	for (size_t i = 0; i < cnt; i++) {
		queue_close(v[i].q);
		v[i].q = NULL;
		if ((rc = view_open(&v[i], o, paths[i])) != EX_OK &&
		    status == EX_OK)
			status = rc;
	}
	return status;
}

/* Look at all of them and show it; returns the exit status. */
static int
look(struct view *v, size_t cnt, const struct options *o)
{
	bool live = o->follow && o->form == FORM_NUMBER &&
	    isatty(STDOUT_FILENO);
	struct buf out = { 0 };
	int status = EX_OK, rc;

	for (size_t i = 0; i < cnt; i++)
		if ((rc = view_look(&v[i], o)) != EX_OK && status == EX_OK)
			status = rc;
	if ((live ? live_draw(&out, v, cnt) : show(&out, o, v, cnt)) == -1)
		err(EX_OSERR, NULL);
	print(&out);
	buf_release(&out);
	for (size_t i = 0; i < cnt && status == EX_OK; i++)
		if (view_above(&v[i], o))
			status = EX_NO;
	return status;
}

int
main(int argc, char *argv[])
{
	static const struct timespec second = { .tv_sec = 1 };
	struct options o = { .age_ns = -1 };
	struct view *v;
	size_t cnt;
	int ch, rc, status = EX_OK;

	while ((ch = getopt_long(argc, argv, "+A:afg:hJo:qS:Vx:", options,
	    NULL)) != -1)
		one_option(&o, ch);
	argc -= optind;
	argv += optind;
	if (argc < 1)
		bad_usage();
	cnt = (size_t)argc;
	if ((v = calloc(cnt, sizeof(*v))) == NULL)
		err(EX_OSERR, NULL);
	/* Following ends with the first thing that is not as it should be. */
	for (;;) {
		status = open_all(v, cnt, &o, argv);
		if (o.follow && status != EX_OK)
			break;
		if ((rc = look(v, cnt, &o)) != EX_OK && status == EX_OK)
			status = rc;
		if (!o.follow || status != EX_OK)
			break;
		nanosleep(&second, NULL);
	}
	for (size_t i = 0; i < cnt; i++) {
		queue_close(v[i].q);
		free(v[i].st.groups);
	}
	free(v);
	live_release();
	return status;
}
