/*
 * cap-demo_judge: from records to counts, and from counts to verdicts.
 *
 * Nothing here looks into the store but at stamps of its answers: values are
 * unique, so what a read returned names the write it saw.
 */

#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cap-demo_run.h"
#include "exits.h"
#include "num.h"

#define TEXT_MAX	65536

/* --- times ------------------------------------------------------------------ */

static int
by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int64_t
judge_percentile(int64_t *v, size_t cnt, unsigned int percent)
{
	if (cnt == 0)
		return -1;
	qsort(v, cnt, sizeof(*v), by_value);
	return v[(cnt - 1) * percent / 100];
}

static bool
answered(const struct rec *c)
{
	return c->done && c->outcome == ABD_OK;
}

static bool
is_register(const struct run *r, const struct rec *c)
{
	return r->keys[c->key].class < REGISTERS;
}

/* --- stale reads --------------------------------------------------------------- */

/*
 * The read was stale by what began after the write it saw had been acked, and
 * was acked before the read began.  Strong reads owe nothing to eventual
 * writes.
 */
static int64_t
stale_by(const struct run *r, const struct rec *read, unsigned int *behind)
{
	const struct rec *saw = read->value == 0 ? NULL :
	    &r->recs[read->value - 1];
	int64_t first = NEVER, seen = saw == NULL ? INT64_MIN : saw->end;

	*behind = 0;
	if (r->recs == NULL)
		return 0;
	if (saw != NULL && (!answered(saw) || (read->level == REGWIRE_STRONG &&
	    saw->level != REGWIRE_STRONG)))
		return 0;
	/* They are in the order of their starts. */
	for (const struct rec *w = r->recs; w < read; w++) {
		if (w->start >= read->start)
			break;
		if (w->key != read->key || !w->put || !answered(w) ||
		    w->start <= seen || w->end >= read->start ||
		    (read->level == REGWIRE_STRONG &&
		    w->level != REGWIRE_STRONG))
			continue;
		(*behind)++;
		if (w->end < first)
			first = w->end;
	}
	return *behind == 0 ? 0 : read->start - first;
}

void
judge_stale(const struct run *r, int64_t *age, unsigned int *behind)
{
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *c = &r->recs[i];

		age[i] = 0;
		behind[i] = 0;
		if (!c->put && answered(c) && is_register(r, c) &&
		    c->value != NO_VALUE)
			age[i] = stale_by(r, c, &behind[i]);
	}
}

/* --- availability ------------------------------------------------------------------ */

static void
fill_cell(const struct run *r, struct cell *cell, enum phase phase,
    enum side side, enum regwire_level level, const int64_t *age,
    const unsigned int *behind)
{
	int64_t *took = calloc(r->recs_cnt + 1, sizeof(*took));
	int64_t *refusal = calloc(r->recs_cnt + 1, sizeof(*took));

	if (took == NULL || refusal == NULL)
		err(EX_OSERR, NULL);
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *c = &r->recs[i];

		if (c->phase != phase || c->level != level ||
		    r->net.side[c->node] != side)
			continue;
		cell->tried++;
		if (answered(c)) {
			took[cell->ok++] = c->end - c->due;
			cell->reads += !c->put;
			cell->stale += age[i] > 0;
			if (age[i] > cell->stale_max_ns)
				cell->stale_max_ns = age[i];
			if (behind[i] > cell->stale_max_k)
				cell->stale_max_k = behind[i];
		} else if (c->done && c->outcome == ABD_REFUSED) {
			refusal[cell->refused++] = c->end - c->due;
		} else {
			cell->unknown++;
		}
	}
	cell->p50 = judge_percentile(took, cell->ok, 50);
	cell->p99 = judge_percentile(took, cell->ok, 99);
	cell->refuse50 = judge_percentile(refusal, cell->refused, 50);
	free(took);
	free(refusal);
}

static void
fill_cells(const struct run *r, struct results *res)
{
	int64_t *age = calloc(r->recs_cnt + 1, sizeof(*age));
	unsigned int *behind = calloc(r->recs_cnt + 1, sizeof(*behind));

	if (age == NULL || behind == NULL)
		err(EX_OSERR, NULL);
	judge_stale(r, age, behind);
	for (enum phase p = BEFORE; p < FINAL; p++)
		for (enum side s = MAJORITY; s < SIDES; s++)
			for (unsigned int l = 0; l < LEVELS; l++)
				fill_cell(r, &res->cells[p][s][l], p, s,
				    (enum regwire_level)l, age, behind);
	for (size_t i = 0; i < r->recs_cnt; i++)
		if (r->recs[i].siblings > res->siblings_max)
			res->siblings_max = r->recs[i].siblings;
	free(age);
	free(behind);
}

/* --- the fate of writes --------------------------------------------------------------- */

/* A strong write of the same time that came out newer: a plain overwrite. */
static bool
overlapped(const struct run *r, const struct rec *w)
{
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *o = &r->recs[i];

		if (o != w && o->put && o->key == w->key &&
		    o->level == REGWIRE_STRONG && o->done &&
		    o->outcome != ABD_REFUSED && o->start < w->end &&
		    (o->end > w->start || o->outcome == ABD_UNKNOWN) &&
		    stamp_cmp(&o->stamp, &w->stamp) > 0)
			return true;
	}
	return false;
}

/* It began after another had ended, and yet bears the older stamp. */
static bool
overtaken(const struct run *r, const struct rec *w)
{
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *o = &r->recs[i];

		if (o->put && o->key == w->key && answered(o) &&
		    o->end < w->start && stamp_cmp(&o->stamp, &w->stamp) > 0)
			return true;
	}
	return false;
}

static void
acked_fate(const struct run *r, struct fate *f, const struct rec *w)
{
	f->acked++;
	if (w->current)
		f->current++;
	else if (w->replaced || (w->level == REGWIRE_STRONG &&
	    overlapped(r, w)))
		f->replaced++;
	else if (w->read)
		f->lost_read++;
	else
		f->lost_unread++;
	if (w->current || w->replaced)
		return;
	f->undone += w->level == REGWIRE_STRONG && !overlapped(r, w);
	f->overtaken += overtaken(r, w);
}

static void
fill_fates(struct run *r, struct results *res)
{
	bool *early;

	if ((early = calloc(r->recs_cnt + 1, sizeof(*early))) == NULL)
		err(EX_OSERR, NULL);
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *c = &r->recs[i];

		if (c->put || !answered(c) || !is_register(r, c) ||
		    c->value == 0 || c->value == NO_VALUE)
			continue;
		r->recs[c->value - 1].read = true;
		if (r->healed_ns == -1 || c->start < r->healed_ns)
			early[c->value - 1] = true;
	}
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *w = &r->recs[i];
		struct fate *f = &res->fates[is_register(r, w) ?
		    r->keys[w->key].class : STRONG_KEYS][w->level];

		if (!w->put || !is_register(r, w))
			continue;
		if (answered(w)) {
			acked_fate(r, f, w);
		} else if (w->done && w->outcome == ABD_REFUSED) {
			f->refused++;
			f->unexpected += w->read || w->current;
		} else {
			f->unknown++;
			f->appeared += w->read || w->current;
			f->revived += (w->read || w->current) && !early[i];
		}
	}
	free(early);
}

static bool
in_list(const char *list, size_t number)
{
	const char *p = list;
	char *end;

	while (*p != '\0') {
		if (strtoul(p, &end, 10) == number)
			return true;
		p = *end == ',' ? end + 1 : end;
		if (p == end && *end != '\0')
			break;
	}
	return false;
}

/* What sets and counters hold in the end, against what was acknowledged. */
static void
fill_rmw(const struct run *r, struct results *res)
{
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *w = &r->recs[i];
		const struct key *k = &r->keys[w->key];
		struct rmw *m = k->class == SET_KEYS ?
		    &res->sets[k->level] : &res->counters[k->level];
		const char *final = r->final[w->key];
		bool there;

		if (!w->put || k->class < REGISTERS || final == NULL)
			continue;
		there = k->class == SET_KEYS && in_list(final, i + 1);
		m->acked += answered(w);
		m->unknown += !answered(w) && !(w->done &&
		    w->outcome == ABD_REFUSED);
		m->present += answered(w) && there;
		m->strange += w->done && w->outcome == ABD_REFUSED && there;
	}
	for (size_t k = 0; k < r->keys_cnt; k++) {
		struct rmw *m = &res->counters[r->keys[k].level];

		if (r->keys[k].class == COUNTER_KEYS && r->final[k] != NULL)
			m->present = (unsigned int)strtoul(r->final[k], NULL,
			    10);
	}
	for (unsigned int l = 0; l < LEVELS; l++) {
		res->sets[l].lost = res->sets[l].acked - res->sets[l].present;
		if (res->counters[l].acked > res->counters[l].present)
			res->counters[l].lost = res->counters[l].acked -
			    res->counters[l].present;
	}
}

/* --- sessions ---------------------------------------------------------------------------- */

struct memory {				/* of a session, for one key */
	struct stamp read, written;
};

/* RYW, MR: a read older than the session's own past; MW, WFR: a write. */
static void
one_session_op(const struct rec *c, struct memory *m, unsigned int session[4][2])
{
	session[c->put ? 2 : 0][c->roaming] +=
	    stamp_cmp(&c->stamp, &m->written) < 0;
	session[c->put ? 3 : 1][c->roaming] +=
	    stamp_cmp(&c->stamp, &m->read) < 0;
	if (c->put && stamp_cmp(&c->stamp, &m->written) > 0)
		m->written = c->stamp;
	if (!c->put && stamp_cmp(&c->stamp, &m->read) > 0)
		m->read = c->stamp;
}

static void
fill_sessions(const struct run *r, struct results *res)
{
	struct memory *m = calloc((size_t)r->sessions_cnt * KEYS_MAX + 1,
	    sizeof(*m));

	if (m == NULL)
		err(EX_OSERR, NULL);
	for (size_t i = 0; i < r->recs_cnt && r->sessions_cnt > 0; i++) {
		const struct rec *c = &r->recs[i];

		if (answered(c) && c->phase != FINAL &&
		    r->keys[c->key].class == EVENTUAL_KEYS)
			one_session_op(c, &m[c->session * KEYS_MAX + c->key],
			    res->session);
	}
	free(m);
}

/* --- lincheck ---------------------------------------------------------------------------- */

static void
put_time(FILE *f, int64_t ns)
{
	fprintf(f, "%" PRId64 ".%09" PRId64 "\t", ns / NUM_NS_PER_S,
	    ns % NUM_NS_PER_S);
}

static void
history_line(FILE *f, const struct run *r, const struct rec *c,
    const char *class)
{
	put_time(f, c->start);
	if (class[0] == 'i')
		fputs("-\t", f);
	else
		put_time(f, c->end);
	fprintf(f, "c%u\t%s\t%s\t", c->process, c->put ? "write" : "read",
	    r->keys[c->key].name);
	if (c->put)
		fprintf(f, "v%u\t-", c->value);
	else if (c->value == 0)
		fputs("-\t-", f);
	else if (c->value == NO_VALUE)
		fputs("-\t?", f);
	else
		fprintf(f, "-\tv%u", c->value);
	fprintf(f, "\t%s\n", class);
}

void
judge_history(const struct run *r, FILE *f, enum history which)
{
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *c = &r->recs[i];
		enum class class = r->keys[c->key].class;
		bool eventual = c->level == REGWIRE_EVENTUAL;
		const char *end = answered(c) ? "ok" : !c->put || (c->done &&
		    c->outcome == ABD_REFUSED) ? "fail" : "info";

		if (class >= REGISTERS ||
		    (class == EVENTUAL_KEYS) != (which == OF_EVENTUAL) ||
		    (class == MIXED_KEYS && which == OF_PLAIN))
			continue;
		if (which != OF_EVENTUAL && eventual) {
			if (!c->put)
				continue;
			if (which == OF_STRONG && answered(c))
				end = "info";
		}
		if (c->put || answered(c))
			history_line(f, r, c, end);
	}
}

/* Lines 2 and on, up to the diagram: what happened, in words. */
static void
take_words(struct judged *j)
{
	char *text = (char *)j->text.data, *line, *end;

	(void)snprintf(j->verdict, sizeof(j->verdict), "%.*s",
	    (int)strcspn(text, "\n"), text);
	if ((line = strchr(text, '\n')) == NULL)
		return;
	line++;
	(void)snprintf(j->anomaly, sizeof(j->anomaly), "%.*s",
	    (int)strcspn(line, "\n"), line);
	if ((end = strstr(line, " operations show it")) != NULL) {
		while (end > line && end[-1] != '\n')
			end--;
		*end = '\0';
	}
}

void
judge_lincheck(const struct run *r, enum history which, const char *file,
    struct judged *j)
{
	char *path = net_program("lincheck");
	int fds[2], status;
	ssize_t got;
	pid_t pid;
	FILE *f;

	if ((f = fopen(file, "we")) == NULL)
		err(EX_CANTCREAT, "%s", file);
	judge_history(r, f, which);
	j->ops = 0;
	for (size_t i = 0; i < r->recs_cnt; i++)
		j->ops += answered(&r->recs[i]) && is_register(r,
		    &r->recs[i]) && (r->keys[r->recs[i].key].class ==
		    EVENTUAL_KEYS) == (which == OF_EVENTUAL) &&
		    (which == OF_EVENTUAL || !(r->recs[i].level ==
		    REGWIRE_EVENTUAL && (!r->recs[i].put ||
		    which == OF_STRONG)));
	if (fclose(f) == EOF)
		err(EX_IOERR, "%s", file);
	if (pipe2(fds, O_CLOEXEC) == -1 || (pid = fork()) == -1)
		err(EX_OSERR, "lincheck");
	if (pid == 0) {
		if (dup2(fds[1], STDOUT_FILENO) != -1)
			execlp(path, "lincheck", file, (char *)NULL);
		warn("%s", path);
		_exit(EX_CANNOTRUN);
	}
	(void)close(fds[1]);
	do {
		if (buf_reserve(&j->text, 4096) == -1)
			err(EX_OSERR, NULL);
		got = read(fds[0], j->text.data + j->text.len, 4096);
		if (got > 0 && j->text.len < TEXT_MAX)
			j->text.len += (size_t)got;
	} while (got > 0 || (got == -1 && errno == EINTR));
	(void)close(fds[0]);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (buf_put_byte(&j->text, '\0') == -1)
		err(EX_OSERR, NULL);
	take_words(j);
	j->status = WIFEXITED(status) ? WEXITSTATUS(status) : 2;
	if (j->status > 2)
		errx(EX_SOFTWARE, "lincheck cannot read %s", file);
	free(path);
}

/* --- verdicts ---------------------------------------------------------------------------- */

enum verdict
judge_cap(const struct judged *c, unsigned int asked, unsigned int unanswered)
{
	if (c->status < 0)
		return NOT_ASKED;
	if (asked == 0)			/* while the network was cut */
		return INCONCLUSIVE;
	if (c->status == 0 && unanswered > 0)
		return BEHAVED_CP;
	if (c->status == 1 && unanswered == 0)
		return BEHAVED_AP;
	if (c->status == 1)
		return BEHAVED_NEITHER;
	return INCONCLUSIVE;
}

static void
fill_answered(const struct run *r, struct results *res)
{
	for (size_t i = 0; i < r->recs_cnt; i++) {
		const struct rec *c = &r->recs[i];

		if (c->phase != DURING)
			continue;
		res->asked[c->level]++;
		res->unanswered[c->level] += !answered(c) ||
		    c->end - c->start > r->o->timeout_ns;
	}
}

static int
conclude(const struct run *r, const struct results *res)
{
	bool wrong = res->strong.status == 1, open = !res->bit;

	for (unsigned int l = 0; l < LEVELS; l++) {
		enum verdict want = l == REGWIRE_STRONG ? BEHAVED_CP :
		    BEHAVED_AP;

		if (res->verdict[l] == NOT_ASKED || res->verdict[l] == want)
			continue;
		if (res->verdict[l] == INCONCLUSIVE)
			open = true;
		else
			wrong = true;
		if (l == REGWIRE_EVENTUAL && res->unanswered[l] > 0)
			wrong = true;
	}
	for (unsigned int k = 0; k < REGISTERS; k++)
		for (unsigned int l = 0; l < LEVELS; l++)
			wrong |= res->fates[k][l].unexpected > 0 ||
			    (r->o->skew_node != 0 &&
			    res->fates[k][l].overtaken > 0);
	wrong |= !res->converged;
	wrong |= r->o->weak_writer && res->plain.status == 1;
	return wrong ? EX_NO : open ? EX_NOVERDICT : EX_OK;
}

static void
run_lincheck(const struct run *r, struct results *res)
{
	char *strong, *other, *plain;

	if (asprintf(&strong, "%s%s", r->o->history != NULL ? r->o->history :
	    r->net.dir, r->o->history != NULL ? "" : "/strong.tsv") == -1 ||
	    asprintf(&other, "%s%s", r->o->history != NULL ? r->o->history :
	    r->net.dir, r->o->history != NULL ? ".eventual" :
	    "/eventual.tsv") == -1 ||
	    asprintf(&plain, "%s/plain.tsv", r->net.dir) == -1)
		err(EX_OSERR, NULL);
	res->strong.status = res->eventual.status = res->plain.status = -1;
	if (r->o->level != LEVEL_EVENTUAL)
		judge_lincheck(r, OF_STRONG, strong, &res->strong);
	if (r->o->level != LEVEL_STRONG)
		judge_lincheck(r, OF_EVENTUAL, other, &res->eventual);
	if (r->o->weak_writer)
		judge_lincheck(r, OF_PLAIN, plain, &res->plain);
	free(strong);
	free(other);
	free(plain);
}

void
judge(struct run *r, struct results *res)
{
	memset(res, 0, sizeof(*res));
	fill_fates(r, res);
	fill_cells(r, res);
	fill_rmw(r, res);
	fill_sessions(r, res);
	fill_answered(r, res);
	run_lincheck(r, res);
	res->bit = net_bit(&r->net);
	res->converged = r->equal_digests;
	res->verdict[REGWIRE_STRONG] = judge_cap(&res->strong,
	    res->asked[REGWIRE_STRONG], res->unanswered[REGWIRE_STRONG]);
	res->verdict[REGWIRE_EVENTUAL] = judge_cap(&res->eventual,
	    res->asked[REGWIRE_EVENTUAL], res->unanswered[REGWIRE_EVENTUAL]);
	res->status = conclude(r, res);
}
