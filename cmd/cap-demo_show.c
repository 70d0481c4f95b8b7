/* cap-demo_show: the results as a table of 80 columns, and while they grow. */

#include <sys/ioctl.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cap-demo_run.h"
#include "num.h"

#define CHART_SLOTS	56
#define CHART_LINES	(SIDES * LEVELS)

const char *const phase_names[] = { "before", "during", "after", "final" };
const char *const side_names[] = { "majority", "minority", "isolated",
    "bridge" };
const char *const level_names[] = { "strong", "eventual" };
const char *const class_names[] = { "strong", "eventual", "mixed", "set",
    "counter" };
const char *const verdict_names[] = {
	[INCONCLUSIVE] = "inconclusive",
	[BEHAVED_CP] = "behaved CP in this run",
	[BEHAVED_AP] = "behaved AP in this run",
	[BEHAVED_NEITHER] = "behaved neither CP nor AP in this run",
	[NOT_ASKED] = "not asked",
};

const char *
show_ms(int64_t ns, char buf[24])
{
	if (ns < 0)
		(void)snprintf(buf, 24, "-");
	else if (ns < 100 * NUM_NS_PER_MS)
		(void)snprintf(buf, 24, "%.1fms", (double)ns / 1e6);
	else if (ns < 10 * NUM_NS_PER_S)
		(void)snprintf(buf, 24, "%.0fms", (double)ns / 1e6);
	else
		(void)snprintf(buf, 24, "%.1fs", (double)ns / 1e9);
	return buf;
}

/* --- the live timeline ------------------------------------------------------- */

static int chart_lines;			/* on the terminal now */

/* One slot of time: # all answered, + some, . none, blank nothing asked. */
static char
slot_mark(const struct run *r, size_t *at, enum side side, unsigned int level,
    int64_t from, int64_t to)
{
	unsigned int asked = 0, ok = 0;

	for (; *at < r->recs_cnt && r->recs[*at].due < to; (*at)++) {
		const struct rec *c = &r->recs[*at];

		if (c->due < from || !c->done || c->level != level ||
		    r->net.side[c->node] != side)
			continue;
		asked++;
		ok += c->outcome == ABD_OK;
	}
	if (asked == 0)
		return ' ';
	if (ok == 0)
		return '.';
	return ok == asked ? '#' : '+';
}

void
show_progress(const struct run *r, int64_t now)
{
	int64_t slot = r->end_ns / CHART_SLOTS + 1;

	if (r->o->quiet || !isatty(STDERR_FILENO) || r->end_ns == 0)
		return;
	if (chart_lines > 0)
		fprintf(stderr, "\033[%dA", chart_lines);
	chart_lines = 0;
	for (int s = 0; s < SIDES; s++)
		for (unsigned int l = 0; l < LEVELS; l++) {
			char line[CHART_SLOTS + 1] = "";
			size_t at = 0, len = 0;

			for (int64_t t = 0; t < now && len < CHART_SLOTS;
			    t += slot)
				line[len++] = slot_mark(r, &at, (enum side)s,
				    l, t, t + slot);
			if (strspn(line, " ") == len)
				continue;
			fprintf(stderr, "\r\033[K%-8s %-8s |%-*s|\n",
			    side_names[s], level_names[l], CHART_SLOTS, line);
			chart_lines++;
		}
	fprintf(stderr, "\r\033[K%.1f s of %.1f, %s, %zu operations, "
	    "%zu open\n", (double)now / 1e9, (double)r->end_ns / 1e9,
	    now < r->cut_ns ? "before the partition" : now < r->heal_ns ?
	    "partition" : "healed", r->recs_cnt, r->open);
	chart_lines++;
}

void
show_progress_end(void)
{
	chart_lines = 0;		/* what is there stays */
}

/* --- the table ------------------------------------------------------------------ */

static bool
is_probe(const struct run *r)
{
	return r->o->nodes_cnt > 0;
}

/* One line of at most 80 columns, what is too much on further ones. */
static void
put_wrapped(FILE *f, const char *line, size_t len)
{
	size_t part, width = 78;
	const char *indent = "  ";

	while (len > 0) {
		part = len;
		if (part > width) {
			for (part = width; part > 1 && line[part] != ' ';)
				part--;
			if (part == 1)
				part = width;
		}
		fprintf(f, "%s%.*s\n", indent, (int)part, line);
		part += part < len && line[part] == ' ';
		line += part;
		len -= part;
		indent = "      ";
		width = 74;
	}
}

/* A verdict is worth nothing without what was asked. */
static void
show_commands(const struct options *o)
{
	const struct { const char *name, *command; } c[] = {
		{ "get", o->get }, { "put", o->put },
		{ "eventual get", o->eventual_get },
		{ "eventual put", o->eventual_put },
	};

	for (size_t i = 0; i < 4; i++)
		if (c[i].command != NULL) {
			printf("%s:\n", c[i].name);
			put_wrapped(stdout, c[i].command,
			    strlen(c[i].command));
		}
}

static int64_t
whole_ms(int64_t ns)
{
	return ns / NUM_NS_PER_MS * NUM_NS_PER_MS;
}

static void
show_head(const struct run *r)
{
	const struct options *o = r->o;
	char a[24], b[24], c[24], d[24];

	printf("cap-demo: %u %s, partition %s (%s), seed %" PRIu64 "\n",
	    r->net.cnt, is_probe(r) ? "nodes" : o->siblings ?
	    "replicas, siblings" : "replicas, last writer wins", o->shape,
	    r->net.groups, o->seed);
	if (is_probe(r))
		show_commands(o);
	printf("%g operations/s: %s before, %s cut, %s healed; patience %s\n\n",
	    o->rate, num_format_duration(whole_ms(r->cut_ns), a, sizeof(a)),
	    num_format_duration(whole_ms(r->heal_ns - r->cut_ns), b,
	    sizeof(b)), num_format_duration(whole_ms(r->end_ns - r->heal_ns),
	    c, sizeof(c)),
	    num_format_duration(o->timeout_ns, d, sizeof(d)));
}

static void
show_cells(const struct results *res)
{
	printf("%-6s %-8s %-8s %6s %6s %7s %7s %7s %7s %7s\n", "phase",
	    "side", "level", "tried", "ok", "refused", "unknown", "p50", "p99",
	    "stale");
	for (int p = BEFORE; p < FINAL; p++)
		for (int s = 0; s < SIDES; s++)
			for (int l = 0; l < LEVELS; l++) {
				const struct cell *c = &res->cells[p][s][l];
				char a[24], b[24];

				if (c->tried == 0)
					continue;
				printf("%-6s %-8s %-8s %6u %6u %7u %7u %7s "
				    "%7s %7u\n", phase_names[p], side_names[s],
				    level_names[l], c->tried, c->ok,
				    c->refused, c->unknown, show_ms(c->p50, a),
				    show_ms(c->p99, b), c->stale);
			}
}

static void
show_stale(const struct results *res)
{
	for (int l = 0; l < LEVELS; l++) {
		unsigned int reads = 0, stale = 0, behind = 0;
		int64_t age = 0;
		char buf[24];

		for (int p = BEFORE; p < FINAL; p++)
			for (int s = 0; s < SIDES; s++) {
				const struct cell *c = &res->cells[p][s][l];

				reads += c->reads;
				stale += c->stale;
				if (c->stale_max_ns > age)
					age = c->stale_max_ns;
				if (c->stale_max_k > behind)
					behind = c->stale_max_k;
			}
		if (reads > 0)
			printf("stale %s reads: %u of %u%s%s", level_names[l],
			    stale, reads, stale > 0 ? ", the oldest " : "\n",
			    stale > 0 ? show_ms(age, buf) : "");
		if (stale > 0)
			printf(" and %u versions behind\n", behind);
	}
}

static void
show_refusals(const struct results *res)
{
	const struct cell *c;
	char buf[24];

	for (int s = 0; s < SIDES; s++) {
		c = &res->cells[DURING][s][REGWIRE_STRONG];
		if (c->refused > 0)
			printf("the %s side refuses strong operations after "
			    "%s (median)\n", side_names[s],
			    show_ms(c->refuse50, buf));
	}
}

/* What became of the others only the store knows. */
static void
show_probe_fate(const struct fate *f, const char *name)
{
	printf("%-17s %6u %7u %7u %5u\n", name, f->acked, f->refused,
	    f->unknown, f->appeared);
	if (f->revived > 0)
		printf("  %u of the unknown ones took effect after healing\n",
		    f->revived);
	if (f->unexpected > 0)
		printf("  %u refused writes were read: is a status of "
		    "--refused-exit not sure?\n", f->unexpected);
}

static void
show_fates(const struct run *r, const struct results *res)
{
	if (is_probe(r))
		printf("\n%-17s %6s %7s %7s %5s\n", "writes, by key", "acked",
		    "refused", "unknown", "came");
	else
		printf("\n%-17s %6s %7s %11s %10s %10s %7s %5s\n",
		    "writes, by key", "acked", "current", "overwritten", "lost, read",
		    "lost, not", "unknown", "came");
	for (int k = 0; k < REGISTERS; k++)
		for (int l = 0; l < LEVELS; l++) {
			const struct fate *f = &res->fates[k][l];
			char name[32];

			if (f->acked + f->unknown + f->refused == 0)
				continue;
			(void)snprintf(name, sizeof(name), "%s%s%s",
			    class_names[k], k == MIXED_KEYS ||
			    r->o->weak_writer ? ", " : "", k == MIXED_KEYS ||
			    r->o->weak_writer ? level_names[l] : "");
			if (is_probe(r)) {
				show_probe_fate(f, name);
				continue;
			}
			printf("%-17s %6u %7u %11u %10u %10u %7u %5u\n", name,
			    f->acked, f->current, f->replaced, f->lost_read,
			    f->lost_unread, f->unknown, f->appeared);
			if (f->revived > 0)
				printf("  %u of the unknown ones took effect "
				    "after healing\n", f->revived);
			if (f->undone > 0)
				printf("  %u acknowledged strong writes were "
				    "undone by an eventual one\n", f->undone);
			if (f->overtaken > 0)
				printf("  %u lost to a write acknowledged "
				    "before they began\n", f->overtaken);
			if (f->unexpected > 0)
				printf("  %u refused writes were read: a "
				    "bug\n", f->unexpected);
		}
}

static void
show_rmw(const struct results *res)
{
	for (int l = 0; l < LEVELS; l++) {
		const struct rmw *s = &res->sets[l], *c = &res->counters[l];

		if (s->acked + c->acked == 0)
			continue;
		printf("%s read-modify-write: set lost %u of %u, counter lost "
		    "%u of %u\n", level_names[l], s->lost, s->acked, c->lost,
		    c->acked);
	}
}

static void
show_sessions(const struct results *res)
{
	static const char *const names[] = { "read your writes",
	    "monotonic reads", "monotonic writes", "writes follow reads" };
	unsigned int all = 0;

	for (int i = 0; i < 4; i++)
		all += res->session[i][0] + res->session[i][1];
	if (all == 0)
		return;
	puts("broken for clients of eventual keys that stay, or go about:");
	for (int i = 0; i < 4; i++)
		printf("  %-19s %5u %5u\n", names[i], res->session[i][0],
		    res->session[i][1]);
}

static void
show_proof(const struct run *r, const struct results *res)
{
	char buf[24];
	unsigned int n = 0;

	fputs("\ncut links, bytes held:", stdout);
	for (size_t i = 0; i < r->net.proofs_cnt; i++) {
		const struct link_proof *p = &r->net.proofs[i];

		if (!p->blocked)
			continue;
		if (n++ % 4 == 3)
			fputs("\n ", stdout);
		printf(" %s>%s %s", p->from_name, p->to_name,
		    num_format_size(p->held + p->dropped, buf, sizeof(buf)));
	}
	puts(n == 0 ? " none" : "");
	if (!res->bit)
		puts("the partition did not bite: nothing is proven by it");
}

static void
show_converged(const struct run *r, const struct results *res)
{
	char a[24], b[24];

	if (is_probe(r)) {
		puts(res->converged ? "all nodes told the same in the end" :
		    "the nodes did not tell the same in the end");
		return;
	}
	if (!res->converged)
		puts("the replicas did NOT become equal after healing");
	else if (r->converged_ns >= 0)
		printf("replicas equal %s after healing, %s sent to "
		    "reconcile\n", show_ms(r->converged_ns, a),
		    num_format_size(r->sync_bytes, b, sizeof(b)));
	else
		printf("replicas equal at the end, %s sent to reconcile\n",
		    num_format_size(r->sync_bytes, b, sizeof(b)));
	if (res->siblings_max > 1)
		printf("up to %u siblings of one key\n", res->siblings_max);
	if (r->declined > 0)
		printf("%" PRIu64 " entries declined for a clock too far "
		    "ahead\n", r->declined);
}

static void
show_counterexample(FILE *f, const struct judged *j)
{
	const char *line = (const char *)j->text.data;
	size_t len;

	if (line == NULL)
		return;
	for (line += strcspn(line, "\n"); *line == '\n'; line += len) {
		line++;
		len = strcspn(line, "\n");
		put_wrapped(f, line, len);
	}
}

void
show_verdict(FILE *f, const struct run *r, const struct results *res,
    enum regwire_level level)
{
	const struct judged *j = level == REGWIRE_STRONG ? &res->strong :
	    &res->eventual;
	unsigned int asked = res->asked[level];
	unsigned int no = res->unanswered[level];

	if (res->verdict[level] == NOT_ASKED)
		return;
	fprintf(f, "%s: %s\n", level_names[level],
	    verdict_names[res->verdict[level]]);
	fprintf(f, "  %s, %u operations; unanswered while cut: %u of %u\n",
	    j->verdict, j->ops, no, asked);
	if (res->verdict[level] == INCONCLUSIVE)
		fputs("  CAP says that this cannot last: the partition did "
		    "not bite, or the\n  workload is too weak to show it\n", f);
	if (j->status == 1)
		show_counterexample(f, j);
	(void)r;
}

/* What a flag broke, by its name. */
static void
show_lesson(const struct run *r, const struct results *res)
{
	const struct options *o = r->o;
	const char *found = res->strong.status == 1 ? res->strong.anomaly :
	    "no violation this time; try another seed";

	if (o->amnesia)
		printf("--amnesia: replicas forgot what they had acknowledged, "
		    "so majorities no longer\n  meet: %s\n", found);
	if (o->no_write_back)
		printf("--no-write-back: reads do not publish what they saw, "
		    "so the register is only\n  regular: %s\n", found);
	if (o->weak_writer) {
		printf("--weak-writer: a key is as strong as its weakest "
		    "writer: %s\n", res->plain.status == 1 ?
		    res->plain.anomaly : "no violation this time");
		show_counterexample(stdout, &res->plain);
	}
	if (o->skew_node != 0) {
		unsigned int lost = 0;

		for (int k = 0; k < REGISTERS; k++)
			for (int l = 0; l < LEVELS; l++)
				lost += res->fates[k][l].overtaken;
		printf("--skew: the newest stamp wins, not the latest write: "
		    "%u acknowledged writes\n  lost to one that was "
		    "acknowledged before they began\n", lost);
	}
}

void
show_text(const struct run *r, const struct results *res)
{
	show_head(r);
	show_cells(res);
	putchar('\n');
	show_stale(res);
	show_refusals(res);
	show_fates(r, res);
	if (!is_probe(r)) {
		putchar('\n');
		show_rmw(res);
		show_sessions(res);
	}
	show_proof(r, res);
	show_converged(r, res);
	putchar('\n');
	show_verdict(stdout, r, res, REGWIRE_STRONG);
	show_verdict(stdout, r, res, REGWIRE_EVENTUAL);
	show_lesson(r, res);
}
