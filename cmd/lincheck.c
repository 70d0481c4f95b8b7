/* lincheck: judge recorded histories of a store; see lincheck(1). */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "hist.h"
#include "lincheck_priv.h"
#include "linz.h"
#include "num.h"
#include "op.h"

#define WAIT_DEFAULT	(60 * NUM_NS_PER_S)
#define MEMORY_DEFAULT	(UINT64_C(1) << 30)
#define MEMORY_MIN	(UINT64_C(1) << 20)
#define SHOW_NS		NUM_NS_PER_S	/* between two lines of progress */

enum {
	OPT_INDEPENDENT = 256, OPT_INIT, OPT_LOG_BASE, OPT_MEMORY, OPT_NIL,
	OPT_REUSE, OPT_STATES, OPT_SVG
};

struct options {
	struct hist_conf hist;
	struct linz_conf linz;
	const char *init, *svg;
	int64_t wait_ns;
	bool all, quiet, verbose, json, many;
};

static const char *const level_names[] = {
	[LINZ_LINEARIZABLE] = "linearizable",
	[LINZ_SEQUENTIAL] = "sequential", [LINZ_REGULAR] = "regular",
};

static const char *const not_names[] = {
	[LINZ_LINEARIZABLE] = "not-linearizable",
	[LINZ_SEQUENTIAL] = "not-sequential", [LINZ_REGULAR] = "not-regular",
};

static void
synopsis(FILE *to)
{
	fprintf(to, "usage: %s [-JqVv] [-c linearizable|sequential|regular|all]"
	    " [-f format]\n"
	    "           [-m model] [-W limit] [--independent] [--init value]\n"
	    "           [--log-base n] [--memory size] [--nil absent|any] "
	    "[--reuse]\n"
	    "           [--states n] [--svg file] [file ...]\n"
	    "       %s record [-p process] [-W limit] [--fail-status list]\n"
	    "           [--keep-empty] -o history function key argument "
	    "command [arg ...]\n", getprogname(), getprogname());
}

static _Noreturn void
usage(void)
{
	synopsis(stderr);
	exit(EX_USAGE);
}

/* --- one file ------------------------------------------------------------ */

static int
warn_note(const struct hist_note *note, const char *name)
{
	char text[sizeof(note->text)];

	(void)strlcpy(text, note->text, sizeof(text));
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';	/* quoted from a hostile file */
	if (note->line > 0)
		warnx("%s: line %ju: %s", name, (uintmax_t)note->line, text);
	else
		warnx("%s: %s", name, text);
	return EX_DATAERR;
}

static int
read_file(const struct options *o, const char *name, struct op_history *h,
    struct hist_note *note)
{
	int fd = STDIN_FILENO, rc, saved;

	if (strcmp(name, "-") != 0) {
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd == -1) {
			warn("%s", name);
			return exit_status(errno);
		}
	}
	rc = hist_read(fd, &o->hist, h, note);
	saved = errno;
	if (fd != STDIN_FILENO)
		(void)close(fd);
	errno = saved;
	if (rc == -1 && errno == EBADMSG)
		return warn_note(note, name);
	if (rc == -1) {
		warn("%s", name);
		return exit_status(errno);
	}
	if (note->dropped > 0)
		warnx("%s: line %ju: dropped, it has no end", name,
		    (uintmax_t)note->dropped);
	return EX_OK;
}

static int
warn_misfit(const struct op_history *h, const struct linz_result *r,
    const struct linz_conf *conf, const char *name)
{
	const struct op *op = &h->ops[r->bad_op];
	struct buf f = { 0 };

	if (op_print(h->values, op->f, 40, &f) == -1 ||
	    buf_put_byte(&f, 0) == -1)
		err(EX_OSERR, NULL);
	warnx("%s: line %u: %s: %.*s%s%s", name, op->call_line, f.data,
	    (int)r->words.len, r->words.data,
	    conf->model == LINZ_AUTO ? "" : " ",
	    conf->model == LINZ_AUTO ? "" : linz_model_name(conf->model));
	buf_release(&f);
	return EX_DATAERR;
}

/* --- progress, for people ------------------------------------------------- */

struct show {
	struct mono start, next;	/* when it began, is shown again */
	int64_t wait_ns;
	bool shown;
};

static void
show_progress(void *arg, const struct linz_progress *now)
{
	struct show *s = arg;
	int64_t ns;
	char left[24];

	if (!mono_passed(s->next))
		return;
	ns = mono_now().ns - s->start.ns;
	s->next = mono_after(SHOW_NS);
	s->shown = true;
	fprintf(stderr, "\r%ju of %ju operations placed, %ju states, %ju/s, "
	    "at most %s left\033[K", (uintmax_t)now->placed,
	    (uintmax_t)now->to_place, (uintmax_t)now->states,
	    (uintmax_t)((double)now->states * 1e9 / (double)ns),
	    num_format_duration(ns > s->wait_ns ? 0 : (s->wait_ns - ns) /
	    NUM_NS_PER_S * NUM_NS_PER_S, left, sizeof(left)));
}

/* A line that is redrawn, only where somebody sees it. */
static void
begin_show(struct show *s, const struct options *o, struct linz_conf *conf)
{
	*s = (struct show){ mono_now(), mono_after(SHOW_NS), o->wait_ns,
	    false };
	if (o->quiet || !isatty(STDOUT_FILENO) || !isatty(STDERR_FILENO))
		return;
	conf->progress = show_progress;
	conf->progress_arg = s;
}

static void
end_show(const struct show *s)
{
	if (s->shown)
		fputs("\r\033[K", stderr);
}

/* --- the verdict ---------------------------------------------------------- */

/* -c all: the strongest level that holds, with what the strongest one said. */
static int
judge_all(struct op_history *h, const struct linz_conf *conf,
    struct linz_result *r, struct lincheck_levels *levels)
{
	struct linz_conf c = *conf;
	struct linz_result weaker;

	levels->asked = true;
	levels->of[LINZ_LINEARIZABLE] = r->verdict;
	if (r->verdict == LINZ_YES) {
		levels->of[LINZ_SEQUENTIAL] = LINZ_YES;
		levels->of[LINZ_REGULAR] = LINZ_YES;
		return 0;
	}
	c.want_order = c.want_window = false;
	for (int level = LINZ_SEQUENTIAL; level <= LINZ_REGULAR; level++) {
		c.level = (enum linz_level)level;
		if (linz_judge(h, &c, &weaker) == -1)
			return -1;
		levels->of[level] = weaker.verdict;
		r->states += weaker.states;
		linz_release(&weaker);
	}
	return 0;
}

static const char *
verdict_name(const struct lincheck_report *p)
{
	if (p->r->verdict == LINZ_UNKNOWN)
		return "unknown";
	if (!p->levels->asked)
		return p->r->verdict == LINZ_YES ? level_names[p->level] :
		    not_names[p->level];
	for (int level = 0; level < 3; level++)
		if (p->levels->of[level] == LINZ_YES)
			return level_names[level];
	return p->levels->of[LINZ_SEQUENTIAL] == LINZ_NO &&
	    p->levels->of[LINZ_REGULAR] == LINZ_NO ? "none" : "unknown";
}

static void
print_report(const struct options *o, struct lincheck_report *p, int64_t ns)
{
	char took[24];

	p->verdict = verdict_name(p);
	if (o->verbose)
		warnx("%s: format %s, model %s, %ju operations, %ju keys, "
		    "%ju states explored, %s", p->file,
		    hist_format_name(p->note->format),
		    linz_model_name(p->r->model), (uintmax_t)p->r->ops,
		    (uintmax_t)p->r->keys, (uintmax_t)p->r->states,
		    num_format_duration(ns, took, sizeof(took)));
	if (o->svg != NULL && p->r->window_cnt > 0 &&
	    timeline_svg(p, o->svg) == -1)
		err(EX_CANTCREAT, "%s", o->svg);
	if (o->quiet)
		return;
	if (o->json) {
		report_json(p);
		return;
	}
	if (p->show_file)
		printf("%s\t%s\n", p->verdict, p->file);
	else
		printf("%s\n", p->verdict);
	report_text(p);
	if (o->verbose)
		report_order(p);
}

static int
check(const struct options *o, const char *name)
{
	struct linz_conf conf = o->linz;
	struct lincheck_levels levels = { 0 };
	struct lincheck_report p = { .file = name, .levels = &levels,
	    .level = conf.level, .show_file = o->many };
	struct op_history h = { 0 };
	struct linz_result r;
	struct hist_note note = { 0 };
	struct mono start = mono_now();
	struct show show;
	int rc = read_file(o, name, &h, &note), status;

	if (rc != EX_OK)
		return rc;
	if (o->init != NULL &&
	    hist_value(&h, note.format, o->init, &conf.init) == -1)
		errx(EX_USAGE, "--init %s: not a value", o->init);
	conf.deadline = mono_after(o->wait_ns);
	conf.want_order = o->verbose && !o->quiet;
	conf.want_window = !o->quiet || o->svg != NULL;
	begin_show(&show, o, &conf);
	rc = linz_judge(&h, &conf, &r);
	if (rc == 0 && o->all)
		rc = judge_all(&h, &conf, &r, &levels);
	end_show(&show);
	if (rc == -1 && errno != EBADMSG)
		err(EX_OSERR, "%s", name);
	if (rc == -1) {
		status = warn_misfit(&h, &r, &conf, name);
	} else {
		p.h = &h;
		p.r = &r;
		p.note = &note;
		print_report(o, &p, mono_now().ns - start.ns);
		status = r.verdict == LINZ_YES ? EX_OK :
		    strcmp(p.verdict, "unknown") == 0 ? EX_NOVERDICT : EX_NO;
	}
	linz_release(&r);
	op_history_release(&h);
	return status;
}

/* What cannot be read is above all, then no, then no verdict. */
static int
worse(int a, int b)
{
	static const int order[] = { EX_OK, EX_NOVERDICT, EX_NO };
	int ia = 3, ib = 3;

	for (int i = 0; i < 3; i++) {
		if (a == order[i])
			ia = i;
		if (b == order[i])
			ib = i;
	}
	return ib > ia ? b : a;
}

/* --- options ------------------------------------------------------------- */

static void
set_level(struct options *o, const char *text)
{
	for (int i = 0; i < 3; i++)
		if (strcmp(text, level_names[i]) == 0) {
			o->linz.level = (enum linz_level)i;
			o->all = false;
			return;
		}
	if (strcmp(text, "all") != 0)
		errx(EX_USAGE, "-c %s: not linearizable, sequential, regular "
		    "or all", text);
	o->linz.level = LINZ_LINEARIZABLE;
	o->all = true;
}

static void
set_long(struct options *o, int ch, const char *text)
{
	uint64_t n;

	switch (ch) {
	case OPT_INDEPENDENT:
		o->hist.independent = HIST_YES;
		break;
	case OPT_INIT:
		o->init = text;
		break;
	case OPT_LOG_BASE:
		if (num_u64(text, 0, 1000000, &n) == -1)
			err(EX_USAGE, "--log-base %s", text);
		o->linz.log_base = (uint32_t)n;
		break;
	case OPT_MEMORY:
		if (num_size(text, &n) == -1)
			err(EX_USAGE, "--memory %s", text);
		if (n < MEMORY_MIN || n > SIZE_MAX / 2)
			errx(EX_USAGE, "--memory %s: less than 1M", text);
		o->linz.memory_max = n;
		break;
	case OPT_NIL:
		o->linz.nil_any = strcmp(text, "any") == 0;
		if (!o->linz.nil_any && strcmp(text, "absent") != 0)
			errx(EX_USAGE, "--nil %s: not absent or any", text);
		break;
	case OPT_REUSE:
		o->hist.reuse = true;
		break;
	case OPT_STATES:
		if (num_u64(text, 1, UINT64_MAX, &o->linz.states_max) == -1)
			err(EX_USAGE, "--states %s", text);
		break;
	default:
		o->svg = text;
		break;
	}
}

static void
parse(struct options *o, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "consistency", required_argument, NULL, 'c' },
		{ "format", required_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },
		{ "independent", no_argument, NULL, OPT_INDEPENDENT },
		{ "init", required_argument, NULL, OPT_INIT },
		{ "json", no_argument, NULL, 'J' },
		{ "log-base", required_argument, NULL, OPT_LOG_BASE },
		{ "memory", required_argument, NULL, OPT_MEMORY },
		{ "model", required_argument, NULL, 'm' },
		{ "nil", required_argument, NULL, OPT_NIL },
		{ "quiet", no_argument, NULL, 'q' },
		{ "reuse", no_argument, NULL, OPT_REUSE },
		{ "states", required_argument, NULL, OPT_STATES },
		{ "svg", required_argument, NULL, OPT_SVG },
		{ "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },
		{ "wait", required_argument, NULL, 'W' },
		{ NULL, 0, NULL, 0 }
	};
	int ch;

	while ((ch = getopt_long(argc, argv, "+c:f:hJm:qvVW:", longs, NULL)) !=
	    -1) {
		switch (ch) {
		case 'c':
			set_level(o, optarg);
			break;
		case 'f':
			if (hist_format_parse(optarg, &o->hist.format) == -1)
				errx(EX_USAGE, "-f %s: not a format", optarg);
			break;
		case 'h':
			synopsis(stdout);
			exit(EX_OK);
		case 'J':
			o->json = true;
			break;
		case 'm':
			if (linz_model_parse(optarg, &o->linz.model) == -1)
				errx(EX_USAGE, "-m %s: not a model", optarg);
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'V':
			printf("%s %s\n", getprogname(), VERSION);
			exit(EX_OK);
		case 'W':
			if (num_duration(optarg, &o->wait_ns) == -1)
				err(EX_USAGE, "-W %s", optarg);
			break;
		case '?':
			usage();
		default:
			set_long(o, ch, optarg);
			break;
		}
	}
}

int
main(int argc, char *argv[])
{
	struct options o = { .wait_ns = WAIT_DEFAULT };
	int status = EX_OK;

	if (argc > 1 && strcmp(argv[1], "record") == 0)
		return record_main(argc - 1, argv + 1);
	o.linz.memory_max = MEMORY_DEFAULT;
	parse(&o, argc, argv);
	argc -= optind;
	argv += optind;
	o.many = argc > 1;
	if (o.svg != NULL && o.many)
		errx(EX_USAGE, "--svg takes one file");
	if (argc == 0)
		status = check(&o, "-");
	for (int i = 0; i < argc; i++) {
		status = worse(status, check(&o, argv[i]));
		if (fflush(stdout) == EOF)
			break;
	}
	if (fflush(stdout) == EOF || ferror(stdout))
		err(EX_IOERR, "stdout");
	return status;
}
