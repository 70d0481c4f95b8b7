/*
 * cap-demo_pacelc: no partition, and still a choice: what a delay between the
 * replicas costs each level, beside how often a read is stale.
 *
 * latency = a + b x delay, fitted by least squares: b is how many one-way
 * delays an operation waits for, one after the other.  What is fitted is the
 * tenth percentile: a busy machine adds to the others, and not evenly.
 */

#include <err.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cap-demo_run.h"
#include "exits.h"
#include "num.h"

#define RATE		100.0
#define EACH_NS		(3 * NUM_NS_PER_S)
#define PBS_STEPS	7

enum row { WRITE_STRONG, READ_STRONG, READ_TWICE, WRITE_EVENTUAL,
    READ_EVENTUAL, ROWS };

static const struct { const char *name; double delays; } rows[ROWS] = {
	{ "strong write", 4 },
	{ "strong read, one round", 2 },
	{ "strong read, written back", 4 },
	{ "eventual write", 0 },
	{ "eventual read", 0 },
};

static const int64_t steps[PBS_STEPS] = { 1, 2, 5, 10, 20, 50, 100 };	/* ms */

struct point {				/* of a row at one delay */
	int64_t p50, p10;		/* -1: too few */
	unsigned int cnt;
};

struct fit {
	double a, b, rms;		/* seconds, delays, seconds */
	unsigned int points;
};

struct sweep {
	struct point points[DELAYS_MAX][ROWS];
	unsigned int reads[DELAYS_MAX][LEVELS], stale[DELAYS_MAX][LEVELS];
	unsigned int fresh[DELAYS_MAX][PBS_STEPS], asked[DELAYS_MAX][PBS_STEPS];
	size_t first[DELAYS_MAX + 1];	/* records of each delay */
	struct fit fits[ROWS];
};

static int
row_of(const struct rec *c)
{
	if (c->level == REGWIRE_EVENTUAL)
		return c->put ? WRITE_EVENTUAL : READ_EVENTUAL;
	return c->put ? WRITE_STRONG : c->rounds > 1 ? READ_TWICE : READ_STRONG;
}

/* --- one delay --------------------------------------------------------------- */

static void
medians(const struct run *r, struct sweep *s, size_t d)
{
	size_t cnt = s->first[d + 1] - s->first[d], n;
	int64_t *took = calloc(cnt + 1, sizeof(*took));

	if (took == NULL)
		err(EX_OSERR, NULL);
	for (int row = 0; row < ROWS; row++) {
		n = 0;
		for (size_t i = s->first[d]; i < s->first[d + 1]; i++) {
			const struct rec *c = &r->recs[i];

			if (c->done && c->outcome == ABD_OK &&
			    row_of(c) == row)
				took[n++] = c->end - c->due;
		}
		s->points[d][row].cnt = (unsigned int)n;
		s->points[d][row].p10 = n < 5 ? -1 :
		    judge_percentile(took, n, 10);
		s->points[d][row].p50 = n < 5 ? -1 :
		    judge_percentile(took, n, 50);
	}
	free(took);
}

/*
 * PBS: the youngest acknowledged write of the key before the read began, when
 * no other was under way since; did the read, so much later, return it?
 */
static void
pbs(const struct run *r, struct sweep *s, size_t d, const struct rec *read)
{
	const struct rec *w = NULL, *c;
	int64_t since;
	int step = 0;

	for (size_t i = s->first[d]; i < s->first[d + 1]; i++) {
		c = &r->recs[i];
		if (c->start > read->end)
			break;
		if (c->put && c->key == read->key &&
		    (w == NULL || c->start > w->start))
			w = c;
	}
	if (w == NULL || !w->done || w->outcome != ABD_OK ||
	    w->end > read->start)
		return;
	since = read->start - w->end;
	while (step < PBS_STEPS && since > steps[step] * NUM_NS_PER_MS)
		step++;
	if (step == PBS_STEPS)
		return;
	s->asked[d][step]++;
	s->fresh[d][step] += read->value == (uint32_t)(w - r->recs) + 1;
}

static void
staleness(const struct run *r, struct sweep *s, size_t cnt)
{
	int64_t *age = calloc(r->recs_cnt + 1, sizeof(*age));
	unsigned int *behind = calloc(r->recs_cnt + 1, sizeof(*behind));

	if (age == NULL || behind == NULL)
		err(EX_OSERR, NULL);
	judge_stale(r, age, behind);
	for (size_t d = 0; d < cnt; d++)
		for (size_t i = s->first[d]; i < s->first[d + 1]; i++) {
			const struct rec *c = &r->recs[i];

			if (c->put || !c->done || c->outcome != ABD_OK ||
			    r->keys[c->key].class >= MIXED_KEYS)
				continue;
			s->reads[d][c->level]++;
			s->stale[d][c->level] += age[i] > 0;
			if (c->level == REGWIRE_EVENTUAL)
				pbs(r, s, d, c);
		}
	free(age);
	free(behind);
}

static void
fit_row(const struct options *o, struct sweep *s, int row)
{
	double x, y, n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, rest, sum = 0;
	struct fit *f = &s->fits[row];

	for (size_t d = 0; d < o->delays_cnt; d++) {
		if (s->points[d][row].p50 < 0)
			continue;
		x = (double)o->delays_ns[d] / 1e9;
		y = (double)s->points[d][row].p10 / 1e9;
		n++;
		sx += x;
		sy += y;
		sxx += x * x;
		sxy += x * y;
	}
	f->points = (unsigned int)n;
	if (n < 2 || n * sxx - sx * sx <= 0)
		return;
	f->b = (n * sxy - sx * sy) / (n * sxx - sx * sx);
	f->a = (sy - f->b * sx) / n;
	for (size_t d = 0; d < o->delays_cnt; d++)
		if (s->points[d][row].p50 >= 0) {
			rest = (double)s->points[d][row].p10 / 1e9 - f->a -
			    f->b * (double)o->delays_ns[d] / 1e9;
			sum += rest * rest;
		}
	f->rms = sqrt(sum / n);
}

/* --- showing it ---------------------------------------------------------------- */

static double
share(unsigned int part, unsigned int all)
{
	return all == 0 ? 0 : 100.0 * part / all;
}

static void
show_delays(const struct options *o, const struct sweep *s)
{
	char buf[24];

	printf("%-26s", "median, one-way delay");
	for (size_t d = 0; d < o->delays_cnt; d++)
		printf(" %8s", num_format_duration(o->delays_ns[d], buf,
		    sizeof(buf)));
	putchar('\n');
	for (int row = 0; row < ROWS; row++) {
		printf("%-26s", rows[row].name);
		for (size_t d = 0; d < o->delays_cnt; d++)
			printf(" %8s", show_ms(s->points[d][row].p50, buf));
		putchar('\n');
	}
	for (unsigned int l = 0; l < LEVELS; l++) {
		printf("stale %-8s reads, %%    ", level_names[l]);
		for (size_t d = 0; d < o->delays_cnt; d++)
			printf(" %8.1f", share(s->stale[d][l], s->reads[d][l]));
		putchar('\n');
	}
}

static void
show_fits(const struct sweep *s)
{
	printf("\n%-26s %9s %7s %9s %9s\n", "fastest tenth = a + b x d", "a",
	    "b", "expected", "residual");
	for (int row = 0; row < ROWS; row++) {
		const struct fit *f = &s->fits[row];

		if (f->points < 2)
			printf("%-26s   too few of them\n", rows[row].name);
		else
			printf("%-26s %7.2fms %7.2f %9.0f %7.2fms\n",
			    rows[row].name, f->a * 1e3, f->b, rows[row].delays,
			    f->rms * 1e3);
	}
}

static void
show_pbs(const struct options *o, const struct sweep *s)
{
	char buf[24];

	puts("\neventual reads that return the last write, % by time since "
	    "its answer");
	printf("%-20s", "up to");
	for (int k = 0; k < PBS_STEPS; k++)
		printf(" %5jdms", (intmax_t)steps[k]);
	putchar('\n');
	for (size_t d = 0; d < o->delays_cnt; d++) {
		printf("delay %-14s", num_format_duration(o->delays_ns[d], buf,
		    sizeof(buf)));
		for (int k = 0; k < PBS_STEPS; k++)
			if (s->asked[d][k] == 0)
				printf(" %7s", "-");
			else
				printf(" %7.0f", share(s->fresh[d][k],
				    s->asked[d][k]));
		putchar('\n');
	}
}

static void
add(struct json_object *o, const char *name, double v)
{
	struct json_object *d = json_object_new_double(v);

	json_object_set_serializer(d, json_object_double_to_json_string,
	    (void *)(uintptr_t)"%.4f", NULL);
	json_object_object_add(o, name, d);
}

static void
print(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

static void
json_delay(const struct options *o, const struct sweep *s, size_t d)
{
	struct json_object *j = json_object_new_object(), *list;

	json_object_object_add(j, "type", json_object_new_string("delay"));
	add(j, "delay_ms", (double)o->delays_ns[d] / 1e6);
	for (int row = 0; row < ROWS; row++)
		if (s->points[d][row].p50 >= 0)
			add(j, rows[row].name,
			    (double)s->points[d][row].p50 / 1e6);
	add(j, "stale_strong", share(s->stale[d][0], s->reads[d][0]) / 100);
	add(j, "stale_eventual", share(s->stale[d][1], s->reads[d][1]) / 100);
	list = json_object_new_array();
	for (int k = 0; k < PBS_STEPS; k++) {
		struct json_object *p = json_object_new_object();

		add(p, "up_to_ms", (double)steps[k]);
		json_object_object_add(p, "reads", json_object_new_int64(
		    s->asked[d][k]));
		json_object_object_add(p, "fresh", json_object_new_int64(
		    s->fresh[d][k]));
		json_object_array_add(list, p);
	}
	json_object_object_add(j, "pbs", list);
	print(j);
}

static void
show_json_sweep(const struct options *o, const struct sweep *s)
{
	for (size_t d = 0; d < o->delays_cnt; d++)
		json_delay(o, s, d);
	for (int row = 0; row < ROWS; row++) {
		struct json_object *j = json_object_new_object();

		json_object_object_add(j, "type",
		    json_object_new_string("fit"));
		json_object_object_add(j, "operation",
		    json_object_new_string(rows[row].name));
		json_object_object_add(j, "points", json_object_new_int64(
		    s->fits[row].points));
		add(j, "a_ms", s->fits[row].a * 1e3);
		add(j, "b", s->fits[row].b);
		add(j, "expected", rows[row].delays);
		add(j, "residual_ms", s->fits[row].rms * 1e3);
		print(j);
	}
}

/* --- the sweep ------------------------------------------------------------------- */

static void
set_defaults(struct options *o)
{
	static const int64_t delays_ms[] = { 0, 5, 10, 20, 50 };

	if (o->rate == 0)
		o->rate = RATE;
	if (o->wait_ns == -1)
		o->wait_ns = EACH_NS;
	if (o->wait_ns < 200 * NUM_NS_PER_MS)
		errx(EX_USAGE, "-W: at least 200ms");
	if (o->replicas < 3)
		errx(EX_USAGE, "-n: at least 3 replicas");
	o->shape = "none";
	o->level = LEVEL_MIX;
	if (o->delays_cnt == 0)
		for (size_t i = 0; i < 5; i++)
			o->delays_ns[o->delays_cnt++] = delays_ms[i] *
			    NUM_NS_PER_MS;
}

static void
sweep_all(struct run *r, struct sweep *s)
{
	const struct options *o = r->o;
	char buf[24];

	load_begin(r);
	for (size_t d = 0; d < o->delays_cnt; d++) {
		if (isatty(STDERR_FILENO) && !o->quiet)
			warnx("delay %s", num_format_duration(o->delays_ns[d],
			    buf, sizeof(buf)));
		net_tell(&r->net, NULL, "delay all all %jdus",
		    (intmax_t)(o->delays_ns[d] / NUM_NS_PER_US));
		s->first[d] = r->recs_cnt;
		load_until(r, run_now(r) + o->wait_ns, BEFORE);
		load_drain(r, o->timeout_ns + NUM_NS_PER_S);
		s->first[d + 1] = r->recs_cnt;
	}
}

int
pacelc_main(struct options *o)
{
	static struct run r;
	static struct sweep s;
	unsigned int failed = 0;

	set_defaults(o);
	net_signals();
	r.o = o;
	r.random = o->seed;
	load_keys(&r);
	net_start(&r.net, o);
	load_wait_seen(&r);
	sweep_all(&r, &s);
	for (size_t d = 0; d < o->delays_cnt; d++)
		medians(&r, &s, d);
	staleness(&r, &s, o->delays_cnt);
	for (int row = 0; row < ROWS; row++) {
		fit_row(o, &s, row);
		/* A level that has no line has not been measured. */
		failed += s.fits[row].points < 2 && row != READ_TWICE;
	}
	if (o->json) {
		show_json_sweep(o, &s);
	} else if (!o->quiet) {
		printf("cap-demo: %u replicas, no partition, %g operations/s, "
		    "seed %ju\n\n", o->replicas, o->rate, (uintmax_t)o->seed);
		show_delays(o, &s);
		show_fits(&s);
		show_pbs(o, &s);
	}
	net_stop(&r.net);
	load_end(&r);
	if (fflush(stdout) == EOF)
		err(EX_IOERR, "stdout");
	return failed > 0 ? EX_NOVERDICT : EX_OK;
}
