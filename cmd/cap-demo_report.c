/*
 * cap-demo_report: one HTML file with everything in it.  gnuplot(1) draws; a
 * plot is 440 pixels wide, so that it can be read on a telephone, and wider
 * pages put two beside each other.
 */

#include <sys/mman.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cap-demo_run.h"
#include "exits.h"
#include "num.h"

#define SLOTS		48
#define SVG_MAX		(8U << 20)	/* bytes of one plot */

static const char style[] =
    "body{font:16px/1.45 sans-serif;margin:0 auto;max-width:1340px;"
    "padding:0 12px;color:#111;background:#fff}"
    "h1{font-size:1.4em}h2{font-size:1.15em;margin:1.6em 0 .4em}"
    ".plots{display:grid;gap:12px;"
    "grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr))}"
    "figure{margin:0;border:1px solid #ccc;padding:8px;min-width:0}"
    "figcaption{font-size:.9em}svg{width:100%;height:auto}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9em}"
    "th,td{padding:2px 8px;text-align:right;border-bottom:1px solid #ddd;"
    "white-space:nowrap}th:nth-child(-n+3),td:nth-child(-n+3)"
    "{text-align:left}.cut td{background:#f6e7d8}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85em;"
    "background:#f4f4f4;padding:8px}.verdict{font-size:1.1em}";

static const char *const colours[LEVELS] = { "#0072B2", "#D55E00" };

/* --- gnuplot ------------------------------------------------------------------- */

static pid_t
start_gnuplot(int in, int out)
{
	pid_t pid = fork();

	if (pid == -1)
		err(EX_OSERR, "fork");
	if (pid == 0) {
		if (dup2(in, STDIN_FILENO) != -1 &&
		    dup2(out, STDOUT_FILENO) != -1)
			execlp("gnuplot", "gnuplot", "-", (char *)NULL);
		_exit(errno == ENOENT ? EX_NOTFOUND : EX_CANNOTRUN);
	}
	return pid;
}

/* What gnuplot makes of the script; -1 with its exit status in errno. */
static int
gnuplot(const struct buf *script, struct buf *out)
{
	int in = memfd_create("script", MFD_CLOEXEC), result, status;
	struct buf b = { 0 };
	ssize_t got;

	result = memfd_create("plot", MFD_CLOEXEC);
	if (in == -1 || result == -1 || write(in, script->data, script->len) !=
	    (ssize_t)script->len || lseek(in, 0, SEEK_SET) == -1)
		err(EX_OSERR, "gnuplot");
	fflush(NULL);
	waitpid(start_gnuplot(in, result), &status, 0);
	if (lseek(result, 0, SEEK_SET) == -1)
		err(EX_OSERR, "gnuplot");
	do {
		if (buf_reserve(&b, 65536) == -1)
			err(EX_OSERR, NULL);
		got = read(result, b.data + b.len, 65536);
		b.len += got > 0 ? (size_t)got : 0;
	} while (got > 0 && b.len < SVG_MAX);
	(void)close(in);
	(void)close(result);
	*out = b;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

void
report_check(void)
{
	struct buf script = { 0 }, out = { 0 };
	int rc;

	if (buf_put_str(&script, "set terminal svg\n") == -1)
		err(EX_OSERR, NULL);
	rc = gnuplot(&script, &out);
	buf_release(&script);
	buf_release(&out);
	if (rc == EX_NOTFOUND)
		errx(EX_UNAVAILABLE, "--report needs gnuplot (Debian: "
		    "gnuplot-nox)");
	if (rc != 0)
		errx(EX_UNAVAILABLE, "--report: gnuplot does not work here");
}

static void __attribute__((format(printf, 2, 3)))
add(struct buf *b, const char *format, ...)
{
	char line[1024];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(line) || buf_put(b, line,
	    (size_t)len) == -1)
		err(EX_OSERR, NULL);
}

static double
seconds(int64_t ns)
{
	return (double)ns / 1e9;
}

/* Every plot begins so; over time the partition is shaded. */
static void
begin_plot(struct buf *b, const struct run *r, const char *name, bool time)
{
	add(b, "set terminal svg size 440,270 dynamic font 'sans-serif,13' "
	    "name '%s' background '#ffffff'\n", name);
	add(b, "set grid lc rgb '#dddddd'\nset border 3\nset tics nomirror\n"
	    "set key below samplen 2 maxrows 2\nset xlabel offset 0,0.4\n");
	if (!time)
		return;
	add(b, "set xrange [0:%.3f]\nset xlabel 'seconds'\n",
	    seconds(r->end_ns));
	add(b, "set object 1 rect from %.3f, graph 0 to %.3f, graph 1 fc rgb "
	    "'#f6e7d8' fs solid noborder behind\n", seconds(r->cut_ns),
	    seconds(r->heal_ns));
	add(b, "set label 1 'partition' at %.3f, graph 0.55 center tc rgb "
	    "'#885522'\n", seconds((r->cut_ns + r->heal_ns) / 2));
}

static void
put_plot(FILE *f, const struct buf *script, const char *caption)
{
	struct buf out = { 0 };
	char *svg;

	if (gnuplot(script, &out) != 0 || buf_put_byte(&out, '\0') == -1)
		errx(EX_SOFTWARE, "gnuplot could not draw");
	svg = strstr((char *)out.data, "<svg");
	if (svg == NULL)
		errx(EX_SOFTWARE, "gnuplot drew nothing");
	fprintf(f, "<figure>%s<figcaption>%s</figcaption></figure>\n", svg,
	    caption);
	buf_release(&out);
}

/* --- the plots ------------------------------------------------------------------- */

static void
plot_available(FILE *f, const struct run *r, const struct results *res)
{
	struct buf b = { 0 };
	int64_t slot = r->end_ns / SLOTS + 1;
	const char *comma = "plot";

	begin_plot(&b, r, "available", true);
	add(&b, "set yrange [-4:106]\nset ylabel 'answered, %%'\n");
	for (int s = 0; s < SIDES; s++)
		for (unsigned int l = 0; l < LEVELS; l++) {
			if (res->cells[DURING][s][l].tried == 0)
				continue;
			add(&b, "$d%d%u << EOD\n", s, l);
			for (int64_t t = 0; t < r->end_ns; t += slot) {
				unsigned int asked = 0, ok = 0;

				for (size_t i = 0; i < r->recs_cnt; i++) {
					const struct rec *c = &r->recs[i];

					if (c->due < t || c->due >= t + slot ||
					    c->phase == FINAL ||
					    c->level != l ||
					    r->net.side[c->node] !=
					    (enum side)s)
						continue;
					asked++;
					ok += c->done && c->outcome == ABD_OK;
				}
				if (asked > 0)
					add(&b, "%.3f %.1f\n", seconds(2 *
					    t + slot) / 2, 100.0 * ok / asked);
			}
			add(&b, "EOD\n");
		}
	for (int s = 0; s < SIDES; s++)
		for (unsigned int l = 0; l < LEVELS; l++) {
			if (res->cells[DURING][s][l].tried == 0)
				continue;
			add(&b, "%s $d%d%u with lines lw 2 dt %d lc rgb '%s' "
			    "title '%s, %s'", comma, s, l, s == MAJORITY ? 1 :
			    2, colours[l], level_names[l], side_names[s]);
			comma = ",";
		}
	add(&b, "\n");
	put_plot(f, &b, "Availability: how many of the operations that fell "
	    "due were answered. CP stops on the side without a majority, AP "
	    "goes on everywhere.");
	buf_release(&b);
}

static void
plot_latency(FILE *f, const struct run *r)
{
	struct buf b = { 0 };
	int64_t *took = calloc(r->recs_cnt + 1, sizeof(*took));
	const char *comma = "plot";
	bool drawn[2][LEVELS] = { { false } };

	if (took == NULL)
		err(EX_OSERR, NULL);
	begin_plot(&b, r, "latency", false);
	add(&b, "set logscale x\nset xlabel 'milliseconds from when it was "
	    "due'\nset ylabel 'operations, %%'\nset yrange [0:100]\n");
	for (int p = BEFORE; p <= DURING; p++)
		for (unsigned int l = 0; l < LEVELS; l++) {
			size_t n = 0;

			for (size_t i = 0; i < r->recs_cnt; i++) {
				const struct rec *c = &r->recs[i];

				if (c->phase == p && c->level == l && c->done &&
				    c->outcome == ABD_OK)
					took[n++] = c->end - c->due;
			}
			if (n == 0)
				continue;
			drawn[p][l] = true;
			add(&b, "$d%d%u << EOD\n", p, l);
			for (unsigned int k = 0; k <= 100; k++)
				add(&b, "%.4f %u\n", (double)
				    judge_percentile(took, n, k) / 1e6, k);
			add(&b, "EOD\n");
		}
	for (int p = BEFORE; p <= DURING; p++)
		for (unsigned int l = 0; l < LEVELS; l++) {
			if (!drawn[p][l])
				continue;
			add(&b, "%s $d%d%u with lines lw 2 dt %d lc rgb '%s' "
			    "title '%s, %s'", comma, p, l, p == BEFORE ? 1 : 2,
			    colours[l], level_names[l], phase_names[p]);
			comma = ",";
		}
	add(&b, "\n");
	put_plot(f, &b, "Latency of what was answered, as a cumulative "
	    "distribution. Without delays between the replicas both levels "
	    "look alike; cap-demo pacelc shows the difference.");
	buf_release(&b);
	free(took);
}

static void
plot_stale(FILE *f, const struct run *r)
{
	struct buf b = { 0 };
	int64_t *age = calloc(r->recs_cnt + 1, sizeof(*age));
	unsigned int *behind = calloc(r->recs_cnt + 1, sizeof(*behind));

	if (age == NULL || behind == NULL)
		err(EX_OSERR, NULL);
	judge_stale(r, age, behind);
	begin_plot(&b, r, "stale", true);
	add(&b, "set yrange [0:*]\nset ylabel 'seconds stale'\n");
	for (unsigned int l = 0; l < LEVELS; l++) {
		add(&b, "$d%u << EOD\n", l);
		for (size_t i = 0; i < r->recs_cnt; i++) {
			const struct rec *c = &r->recs[i];

			if (!c->put && c->done && c->outcome == ABD_OK &&
			    c->level == l && c->phase != FINAL)
				add(&b, "%.3f %.4f\n", seconds(c->start),
				    seconds(age[i]));
		}
		/* Never empty, and nothing to be seen. */
		add(&b, "-1 0\nEOD\n");
	}
	add(&b, "plot $d0 with points pt 6 ps 0.5 lc rgb '%s' title 'strong "
	    "reads', $d1 with points pt 2 ps 0.5 lc rgb '%s' title 'eventual "
	    "reads'\n", colours[0], colours[1]);
	put_plot(f, &b, "Staleness: each read, and how long before it the "
	    "oldest write was acknowledged that it should have seen. On the "
	    "line: fresh.");
	buf_release(&b);
	free(age);
	free(behind);
}

static void
plot_fates(FILE *f, const struct run *r, const struct results *res)
{
	static const char *const parts[] = { "current", "overwritten",
	    "lost, read", "lost, never read", "unknown", "refused" };
	static const char *const fills[] = { "#009E73", "#56B4E9", "#E69F00",
	    "#D55E00", "#999999", "#dddddd" };
	struct buf b = { 0 };
	unsigned int rows = 0;

	begin_plot(&b, r, "fates", false);
	add(&b, "set style data histograms\nset style histogram rowstacked\n"
	    "set style fill solid\nset boxwidth 0.7\nset ylabel 'writes'\n"
	    "set yrange [0:*]\nset key maxrows 3\nset bmargin 7\n"
	    "$d << EOD\n");
	for (int k = 0; k < REGISTERS; k++)
		for (int l = 0; l < LEVELS; l++) {
			const struct fate *v = &res->fates[k][l];

			if (v->acked + v->unknown + v->refused == 0)
				continue;
			rows++;
			add(&b, "\"%s%s%s\" %u %u %u %u %u %u\n",
			    class_names[k], k == MIXED_KEYS ||
			    r->o->weak_writer ? "\\n" : "", k == MIXED_KEYS ||
			    r->o->weak_writer ? level_names[l] : "",
			    v->current, v->replaced, v->lost_read,
			    v->lost_unread, v->unknown, v->refused);
		}
	add(&b, "EOD\nplot ");
	for (unsigned int i = 0; i < 6; i++)
		add(&b, "%s$d using %u%s lc rgb '%s' title '%s'", i > 0 ?
		    ", " : "", i + 2, i == 0 ? ":xtic(1)" : "", fills[i],
		    parts[i]);
	add(&b, "\n");
	if (rows > 0)
		put_plot(f, &b, "The fate of writes, by the keys they went to. "
		    "Lost: acknowledged, then dropped when the replicas were "
		    "reconciled, though nobody had overwritten it.");
	buf_release(&b);
}

/* --- the page ---------------------------------------------------------------------- */

static void
put_table(FILE *f, const struct results *res)
{
	fputs("<h2>Availability and staleness</h2><div class=scroll><table>"
	    "<tr><th>phase<th>side<th>level<th>tried<th>ok<th>refused"
	    "<th>unknown<th>p50<th>p99<th>stale</tr>\n", f);
	for (int p = BEFORE; p < FINAL; p++)
		for (int s = 0; s < SIDES; s++)
			for (int l = 0; l < LEVELS; l++) {
				const struct cell *c = &res->cells[p][s][l];
				char x[24], y[24];

				if (c->tried == 0)
					continue;
				fprintf(f, "<tr%s><td>%s<td>%s<td>%s<td>%u"
				    "<td>%u<td>%u<td>%u<td>%s<td>%s<td>%u"
				    "</tr>\n", p == DURING ? " class=cut" : "",
				    phase_names[p], side_names[s],
				    level_names[l], c->tried, c->ok,
				    c->refused, c->unknown,
				    show_ms(c->p50, x), show_ms(c->p99, y),
				    c->stale);
			}
	fputs("</table></div>\n", f);
}

/* Text of ours and of lincheck's, safe in HTML. */
static void
put_escaped(FILE *f, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text) {
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '&': fputs("&amp;", f); break;
		default: putc(*text, f);
		}
}

static void
put_verdicts(FILE *f, const struct run *r, const struct results *res)
{
	char *text = NULL;
	size_t len = 0;
	FILE *m = open_memstream(&text, &len);

	if (m == NULL)
		err(EX_OSERR, NULL);
	show_verdict(m, r, res, REGWIRE_STRONG);
	show_verdict(m, r, res, REGWIRE_EVENTUAL);
	if (fclose(m) == EOF)
		err(EX_OSERR, NULL);
	for (unsigned int l = 0; l < LEVELS; l++)
		if (res->verdict[l] != NOT_ASKED)
			fprintf(f, "<p class=verdict><b>%s</b>: %s</p>\n",
			    level_names[l], verdict_names[res->verdict[l]]);
	fputs("<pre>", f);
	put_escaped(f, text);
	fputs("</pre>\n", f);
	free(text);
}

void
report_write(const struct run *r, const struct results *res)
{
	FILE *f = fopen(r->o->report, "we");
	char a[24];

	if (f == NULL)
		err(EX_CANTCREAT, "%s", r->o->report);
	fprintf(f, "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8>"
	    "<meta name=viewport content=\"width=device-width\">"
	    "<link rel=icon href=\"data:,\">"
	    "<title>cap-demo: what the partition cost</title>"
	    "<style>%s</style>\n<h1>What the partition cost</h1>\n", style);
	fprintf(f, "<p>%u replicas, %s, partition <b>%s</b> (", r->net.cnt,
	    r->o->siblings ? "siblings" : "last writer wins", r->o->shape);
	put_escaped(f, r->net.groups);
	fprintf(f, ") from %.1f s to %.1f s of %.1f s, %g operations a second,"
	    " seed %" PRIu64 ".</p>\n", seconds(r->cut_ns),
	    seconds(r->heal_ns), seconds(r->end_ns), r->o->rate, r->o->seed);
	put_verdicts(f, r, res);
	fputs("<div class=plots>\n", f);
	plot_available(f, r, res);
	plot_latency(f, r);
	plot_stale(f, r);
	plot_fates(f, r, res);
	fputs("</div>\n", f);
	put_table(f, res);
	fprintf(f, "<p>The partition %s. ", res->bit ? "held bytes on every "
	    "link that it cut" : "did not bite");
	if (!res->converged)
		fputs("The replicas did not become equal after healing.", f);
	else if (r->converged_ns >= 0)
		fprintf(f, "The replicas were equal %s after healing.",
		    show_ms(r->converged_ns, a));
	fputs("</p>\n", f);
	fputs("</html>\n", f);
	if (fclose(f) == EOF)
		err(EX_IOERR, "%s", r->o->report);
}
