/* scenario: steps become command lines, their results become promises. */

#include "scenario.h"

#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cutmodel.h"
#include "exits.h"

#define PAR_MAX		8
#define LIMIT_MS	20000

struct job {
	const struct step *step;
	char *argv[WORDS_MAX + 12];
	int argc;
	char *in;
	size_t in_len;
	uint64_t begun;
	uint32_t push;		/* index, of a push */
	bool again;
	struct run run;
	struct run_result res;
};

/* --- reading ------------------------------------------------------------ */

static void
parse_line(struct scenario *sc, char *line, int no)
{
	struct step *s;
	char *word, *save = NULL;

	line[strcspn(line, "#\n")] = '\0';
	word = strtok_r(line, " \t", &save);
	if (word == NULL)
		return;
	if (sc->steps_cnt == sc->steps_cap) {
		sc->steps_cap = sc->steps_cap * 2 + 16;
		sc->steps = reallocarray(sc->steps, sc->steps_cap,
		    sizeof(*sc->steps));
		if (sc->steps == NULL)
			err(71, NULL);
	}
	s = &sc->steps[sc->steps_cnt++];
	*s = (struct step){ .line = no };
	if (strcmp(word, "fail") == 0 || strcmp(word, "cmd") == 0 ||
	    strcmp(word, "reject") == 0)
		sc->retries = true;
	for (; word != NULL; word = strtok_r(NULL, " \t", &save)) {
		if (s->words_cnt == WORDS_MAX)
			errx(64, "line %d: too many words", no);
		s->words[s->words_cnt++] = strdup(word);
	}
}

void
scenario_parse(struct scenario *sc, const char *text)
{
	char *copy = strdup(text), *line, *save = NULL;
	int no = 0;

	*sc = (struct scenario){ 0 };
	if (copy == NULL)
		err(71, NULL);
	for (line = strtok_r(copy, "\n", &save); line != NULL;
	    line = strtok_r(NULL, "\n", &save))
		parse_line(sc, line, ++no);
	free(copy);
}

void
scenario_load(struct scenario *sc, const char *file)
{
	char line[4096];
	FILE *f = fopen(file, "re");
	int no = 0;

	if (f == NULL)
		err(66, "%s", file);
	*sc = (struct scenario){ 0 };
	while (fgets(line, sizeof(line), f) != NULL)
		parse_line(sc, line, ++no);
	fclose(f);
}

void
scenario_release(struct scenario *sc)
{
	for (size_t i = 0; i < sc->steps_cnt; i++)
		for (int j = 0; j < sc->steps[i].words_cnt; j++)
			free(sc->steps[i].words[j]);
	free(sc->steps);
}

/* --- the world ---------------------------------------------------------- */

static void
set_boot(struct world *w)
{
	run_env_set(&w->env, "DSUTILS_BOOT_ID=00000000-0000-4000-8000-%012llx",
	    (unsigned long long)w->boot);
}

void
world_init(struct world *w, const char *bin, const char *arena)
{
	*w = (struct world){ .bin = bin, .limit_ms = LIMIT_MS, .boot = 1 };
	path_join(w->queue, arena, "q");
	run_env_init(&w->env);
	set_boot(w);
}

void
world_release(struct world *w)
{
	run_env_release(&w->env);
	oracle_release(&w->o);
}

void
world_reboot(struct world *w)
{
	w->boot++;
	set_boot(w);
}

void
world_calm(struct world *w)
{
	run_env_release(&w->env);
	run_env_init(&w->env);
	set_boot(w);
}

static uint64_t
stamp(struct world *w)
{
	if (w->state != NULL)
		return w->stamp_base + atomic_load(&w->state->seq);
	return ++w->stamp_base;
}

__attribute__((format(printf, 2, 3))) static bool
wrong(struct world *w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(w->why, sizeof(w->why), format, ap);
	va_end(ap);
	return false;
}

/* --- a step becomes a command line -------------------------------------- */

__attribute__((format(printf, 2, 3))) static void
arg(struct job *j, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&j->argv[j->argc++], format, ap) == -1)
		err(71, NULL);
	va_end(ap);
	j->argv[j->argc] = NULL;
}

static void
args_from(struct job *j, int first)
{
	for (; first < j->step->words_cnt; first++)
		arg(j, "%s", j->step->words[first]);
}

static uint32_t
number(const struct step *s, int i)
{
	char *end;
	unsigned long v;

	if (i >= s->words_cnt)
		errx(64, "line %d: a number is missing", s->line);
	v = strtoul(s->words[i], &end, 10);
	if (*end != '\0' || v > UINT32_MAX)
		errx(64, "line %d: %s: not a number", s->line, s->words[i]);
	return (uint32_t)v;
}

static void
prepare_push(struct world *w, struct job *j, uint32_t keys, uint32_t cnt,
    uint32_t size, int options)
{
	struct push *p = oracle_push(&w->o, cnt, size, keys, stamp(w));
	FILE *f = open_memstream(&j->in, &j->in_len);
	char *payload = malloc(size + ORACLE_MIN);
	uint32_t i;

	if (f == NULL || payload == NULL)
		err(71, NULL);
	j->push = w->o.pushes_cnt - 1;
	arg(j, "%s/qpush", w->bin);
	if (keys > 0)
		arg(j, "-K:");
	args_from(j, options);
	for (i = options; i < (uint32_t)j->step->words_cnt; i++) {
		if (strcmp(j->step->words[i], "-A") == 0)
			p->atomic = true;
		if (strcmp(j->step->words[i], "-S") == 0)
			p->nosync = true;
	}
	if (strcmp(j->step->words[0], "ident") == 0) {
		p->ident = true;
		arg(j, "-ii%u", p->first);
	}
	arg(j, "%s", w->queue);
	for (i = p->first; i < p->first + cnt; i++) {
		oracle_payload(&w->o, i, payload);
		if (keys > 0)
			fprintf(f, "k%u:", w->o.msgs[i].key);
		fwrite(payload, 1, w->o.msgs[i].size, f);
		fputc('\n', f);
	}
	fclose(f);
	free(payload);
	if (strcmp(j->step->words[0], "push") != 0) {
		arg(j, "%.*s", (int)(j->in_len - 1), j->in);
		j->in_len = 0;
	}
}

static void
prepare_again(struct world *w, struct job *j, uint32_t n)
{
	struct push *p;
	uint32_t id;
	char *payload;

	j->push = oracle_ident(&w->o, n);
	j->again = true;
	p = &w->o.pushes[j->push];
	id = p->first;
	payload = malloc(w->o.msgs[id].size);
	if (payload == NULL)
		err(71, NULL);
	oracle_payload(&w->o, id, payload);
	arg(j, "%s/qpush", w->bin);
	arg(j, "-ii%u", id);
	arg(j, "%s", w->queue);
	arg(j, "%.*s", (int)w->o.msgs[id].size, payload);
	free(payload);
}

static void
prepare_pop(struct world *w, struct job *j, const char *verb)
{
	arg(j, "%s/qpop", w->bin);
	arg(j, "-n%u", number(j->step, 1));
	if (strcmp(verb, "once") == 0)
		arg(j, "-m");
	if (strcmp(verb, "pop") != 0 && strcmp(verb, "once") != 0) {
		arg(j, "-r0");
		arg(j, "-B1ms");
	}
	args_from(j, 2);
	arg(j, "%s", w->queue);
	if (strcmp(verb, "pop") == 0 || strcmp(verb, "once") == 0)
		return;
	/* A message comes without its newline; one write, whole or not. */
	arg(j, "/bin/sh");
	arg(j, "-c");
	arg(j, strcmp(verb, "cmd") == 0 ? "m=$(cat) && echo \"$m\"" :
	    strcmp(verb, "fail") == 0 ? "cat >/dev/null; exit 1" :
	    "m=$(cat) && echo \"$m\" && exit 65");
}

static void
prepare(struct world *w, struct job *j, const struct step *s)
{
	const char *verb = s->words[0];

	*j = (struct job){ .step = s, .push = UINT32_MAX };
	if (strcmp(verb, "push") == 0) {
		prepare_push(w, j, number(s, 1), number(s, 2), number(s, 3),
		    4);
	} else if (strcmp(verb, "again") == 0) {
		prepare_again(w, j, number(s, 1));
	} else if (strcmp(verb, "arg") == 0 || strcmp(verb, "ident") == 0) {
		prepare_push(w, j, 0, 1, number(s, 1), 2);
	} else if (strcmp(verb, "pop") == 0 || strcmp(verb, "once") == 0 ||
	    strcmp(verb, "cmd") == 0 || strcmp(verb, "fail") == 0 ||
	    strcmp(verb, "reject") == 0) {
		prepare_pop(w, j, verb);
	} else {
		arg(j, "%s/qctl", w->bin);
		if (strcmp(verb, "requeue") == 0) {
			arg(j, "dead");
			arg(j, "requeue");
			arg(j, "-a");
		} else if (strcmp(verb, "ctl") == 0 && s->words_cnt > 1) {
			arg(j, "%s", s->words[1]);
		} else if (strcmp(verb, "create") == 0 ||
		    strcmp(verb, "purge") == 0) {
			arg(j, "%s", verb);
		} else {
			errx(64, "line %d: %s: no such step", s->line, verb);
		}
		arg(j, "%s", w->queue);
		args_from(j, strcmp(verb, "ctl") == 0 ? 2 : 1);
	}
	j->begun = stamp(w);
}

/* --- what a step has promised ------------------------------------------- */

static bool
killed(const struct job *j)
{
	return j->res.status == 128 + 9;
}

/* With -S a push is on disk when a later one that syncs has ended. */
static void
after_sync(struct world *w, uint64_t begun, uint64_t now)
{
	for (uint32_t p = 0; p < w->o.pushes_cnt; p++) {
		struct push *u = &w->o.pushes[p];

		if (!u->nosync || !u->done || u->ended > begun)
			continue;
		u->nosync = false;
		for (uint32_t i = 0; i < u->cnt; i++)
			if (w->o.msgs[u->first + i].stored > now)
				w->o.msgs[u->first + i].stored = now;
	}
}

/* A duplicate's success speaks for the original. */
static void
after_again(struct world *w, struct job *j)
{
	struct msg *m = &w->o.msgs[w->o.pushes[j->push].first];
	uint64_t now = stamp(w);

	if (m->begun > j->begun)
		m->begun = j->begun;
	if (j->res.status == 0 && m->stored > now)
		m->stored = now;
}

static void
after_push(struct world *w, struct job *j)
{
	struct push *p = &w->o.pushes[j->push];
	uint64_t now = stamp(w);
	uint32_t i, stored = 0;
	const char *said;

	p->ended = now;
	p->done = j->res.status == 0;
	if (j->res.status == 0) {
		stored = p->cnt;
	} else {
		said = strstr(j->res.err, "stored ");
		if (said != NULL)
			stored = (uint32_t)strtoul(said + 7, NULL, 10);
	}
	for (i = 0; i < p->cnt; i++) {
		struct msg *m = &w->o.msgs[p->first + i];

		if (i < stored && p->nosync && w->state != NULL)
			continue;
		else if (i < stored)
			m->stored = now;
		else if (j->res.status == EX_TEMPFAIL ||
		    j->res.status == EX_DATAERR)
			m->begun = NEVER;
	}
	if (j->res.status == 0 && !p->nosync)
		after_sync(w, j->begun, now);
}

/* Every whole line that came out was a message to be taken. */
static bool
after_pop(struct world *w, struct job *j, bool settled)
{
	const char *at = j->res.out, *end = at + j->res.out_len, *nl;
	uint64_t now = stamp(w);
	int64_t id;

	for (; at < end; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if (nl == NULL && killed(j))
			break;		/* a fragment */
		if (nl == NULL)
			nl = end;
		id = oracle_id(&w->o, at, (size_t)(nl - at));
		if (id < 0)
			return wrong(w, "line %d: invented: %.40s",
			    j->step->line, at);
		/* A killed one may have held it before another settled it. */
		if (w->o.msgs[id].settled == now && w->mood == MOOD_KILL)
			continue;	/* its command was killed, and ran again */
		if (w->o.msgs[id].settled <= j->begun ||
		    (w->o.msgs[id].settled != NEVER && settled))
			return wrong(w, "line %d: message %lld was delivered "
			    "after its acknowledgement", j->step->line,
			    (long long)id);
		if (w->o.msgs[id].taken == NEVER)
			w->o.msgs[id].taken = j->begun;
		if (settled && w->o.msgs[id].settled == NEVER)
			w->o.msgs[id].settled = now;
		w->o.msgs[id].dead = strcmp(j->step->words[0], "reject") == 0;
	}
	return true;
}

/* Messages gone without a word: the first n that were there. */
static void
vanish(struct world *w, struct job *j, uint32_t n, bool done)
{
	uint64_t now = stamp(w);

	for (uint32_t i = 0; i < w->o.msgs_cnt && n > 0; i++) {
		struct msg *m = &w->o.msgs[i];

		if (m->begun > j->begun || m->settled != NEVER)
			continue;
		n -= m->taken == NEVER && m->stored != NEVER;
		if (m->taken == NEVER)
			m->taken = j->begun;
		if (done)
			m->settled = now;
	}
}

static bool
status_good(const struct world *w, const struct job *j)
{
	const char *verb = j->step->words[0];
	int st = j->res.status;

	if (killed(j))
		return w->mood == MOOD_KILL && !j->res.hung;
	if (st >= 128)
		return false;
	if (w->mood == MOOD_FAULT)
		return true;
	if (st == EX_SOMEFAILED)	/* its command may have been killed */
		return strcmp(verb, "fail") == 0 ||
		    strcmp(verb, "reject") == 0 ||
		    (strcmp(verb, "cmd") == 0 && w->mood == MOOD_KILL);
	if (w->mood == MOOD_KILL && j->push == UINT32_MAX)
		return st == 0 || st == EX_NO || st == EX_NOINPUT;
	return st == 0;
}

static bool
after(struct world *w, struct job *j)
{
	const char *verb = j->step->words[0];
	bool pop = strcmp(verb, "pop") == 0 || strcmp(verb, "cmd") == 0 ||
	    strcmp(verb, "once") == 0 || strcmp(verb, "reject") == 0;

	if (j->res.hung)
		return wrong(w, "line %d: %s hung\n%s", j->step->line, verb,
		    j->res.err);
	if (!status_good(w, j))
		return wrong(w, "line %d: %s: status %d\n%s", j->step->line,
		    verb, j->res.status, j->res.err);
	if (j->push != UINT32_MAX && j->again) {
		after_again(w, j);
		return true;
	}
	if (j->push != UINT32_MAX) {
		after_push(w, j);
		return true;
	}
	if (strcmp(verb, "once") == 0 && j->res.status != 0)
		vanish(w, j, number(j->step, 1), false);
	for (uint32_t i = 0; i < w->o.msgs_cnt; i++)
		if (w->o.msgs[i].dead && strcmp(verb, "requeue") == 0)
			w->o.msgs[i].settled = NEVER;
	if (strcmp(verb, "purge") == 0)
		vanish(w, j, UINT32_MAX, j->res.status == 0);
	if (pop)
		return after_pop(w, j, j->res.status == 0 ||
		    strcmp(verb, "once") == 0 ||
		    (j->res.status == EX_SOMEFAILED && w->mood == MOOD_GOOD));
	return true;
}

/* --- running ------------------------------------------------------------ */

static void
begin(struct world *w, struct job *j, const struct step *s)
{
	prepare(w, j, s);
	w->runs++;
	run_start(&j->run, (const char *const *)j->argv, &w->env, j->in,
	    j->in_len);
}

static bool
finish(struct world *w, struct job *j)
{
	bool good;

	run_finish(&j->run, &j->res, w->limit_ms);
	good = after(w, j);
	run_result_release(&j->res);
	free(j->in);
	while (j->argc > 0)
		free(j->argv[--j->argc]);
	return good;
}

bool
scenario_run(const struct scenario *sc, struct world *w)
{
	struct job jobs[PAR_MAX];
	size_t i, n = 0, k;
	bool par = false, good = true;

	for (i = 0; i < sc->steps_cnt && good; i++) {
		const struct step *s = &sc->steps[i];

		if (strcmp(s->words[0], "reboot") == 0) {
			world_reboot(w);
			continue;
		}
		if (strcmp(s->words[0], "par") == 0) {
			par = true;
			continue;
		}
		if (strcmp(s->words[0], "end") != 0) {
			if (n == PAR_MAX)
				errx(64, "line %d: too much at once", s->line);
			begin(w, &jobs[n++], s);
			if (par)
				continue;
		}
		for (k = 0; k < n; k++)
			if (!finish(w, &jobs[k]))
				good = false;
		n = 0;
		par = false;
	}
	return good;
}

/* --- checking ----------------------------------------------------------- */

static int
call(struct world *w, struct run_result *res, const char *in,
    const char *prog, ...)
{
	const char *argv[12];
	char path[PATH_MAX];
	struct run run;
	va_list ap;
	int argc = 1;

	path_join(path, w->bin, prog);
	argv[0] = path;
	va_start(ap, prog);
	while (argc < 10 && (argv[argc] = va_arg(ap, const char *)) != NULL)
		argc++;
	va_end(ap);
	argv[argc] = NULL;
	w->runs++;
	run_start(&run, argv, &w->env, in, in == NULL ? 0 : strlen(in));
	run_finish(&run, res, w->limit_ms);
	if (res->hung)
		wrong(w, "%s hung\n%s", prog, res->err);
	else if (res->status >= 128)
		wrong(w, "%s died of signal %d\n%s", prog, res->status - 128,
		    res->err);
	else
		return res->status;
	return -1;
}

int
world_tool(struct world *w, const char *prog, const char *a, const char *b)
{
	struct run_result res;
	int st = call(w, &res, NULL, prog, a, b, NULL);

	run_result_release(&res);
	return st;
}

static bool
expect(struct world *w, const char *prog, const char *a, const char *b,
    int want, const char *out)
{
	struct run_result res;
	int st = call(w, &res, NULL, prog, a, b, NULL);
	bool good = st == want && (out == NULL || strcmp(res.out, out) == 0);

	if (st != -1 && !good)
		wrong(w, "%s %s: status %d instead of %d, output \"%.200s\"\n"
		    "%s", prog, a, st, want, res.out, res.err);
	run_result_release(&res);
	return good;
}

/* What was acknowledged may come again where the damage excuses it. */
static bool
ends_with_z(const char *out, size_t len, bool repeats)
{
	return len >= 2 && memcmp(out + len - 2, "z\n", 2) == 0 &&
	    (repeats || len == 2);
}

static bool
check_use(struct world *w, bool repeats)
{
	struct run_result res;
	int st = call(w, &res, "z\n", "qpush", w->queue, NULL);

	if (st > 0)
		wrong(w, "qpush afterwards: status %d\n%s", st, res.err);
	run_result_release(&res);
	if (st != 0)
		return false;
	world_reboot(w);
	st = call(w, &res, NULL, "qpop", "-a", w->queue, NULL);
	if (st != -1 && (st != 0 || !ends_with_z(res.out, res.out_len,
	    repeats))) {
		wrong(w, "qpop -a afterwards: status %d, output \"%.200s\"\n"
		    "%s", st, res.out, res.err);
		st = -1;
	}
	run_result_release(&res);
	return st == 0;
}

/* Append what a drain returns to *all; its status, or -1 and w->why. */
static int
drain(struct world *w, bool wait, char **all, size_t *len)
{
	struct run_result res;
	int st = call(w, &res, NULL, "qpop", "-a", wait ? "-W200ms" : "-W0",
	    w->queue, NULL);

	if (st != -1 && st != 0 && st != EX_NO && st != EX_NOINPUT) {
		wrong(w, "qpop -a: status %d\n%s", st, res.err);
		st = -1;
	}
	*all = realloc(*all, *len + res.out_len + 1);
	if (*all == NULL)
		err(71, NULL);
	memcpy(*all + *len, res.out, res.out_len);
	*len += res.out_len;
	run_result_release(&res);
	return st;
}

/* After another boot nothing comes back that was drained. */
static bool
check_again(struct world *w, uint64_t cut, const char *all, size_t len)
{
	char why[ORACLE_WHY], *more = NULL;
	struct oracle o;
	size_t more_len = 0;
	bool good;

	oracle_copy(&o, &w->o);
	oracle_drained(&o, all, len);
	world_reboot(w);
	good = drain(w, false, &more, &more_len) != -1;
	if (good && !oracle_check(&o, cut, more, more_len, NULL, why))
		good = wrong(w, "after another boot: %s", why);
	free(more);
	oracle_release(&o);
	return good;
}

static bool
verify(struct world *w)
{
	struct run_result res;
	int st = call(w, &res, NULL, "qctl", "verify", w->queue, NULL);

	if (st > 0 && st != EX_NOINPUT)
		wrong(w, "qctl verify: status %d\n%s%s", st, res.out,
		    res.err);
	run_result_release(&res);
	return st == 0 || st == EX_NOINPUT;
}

bool
world_check(struct world *w, uint64_t cut, int flags,
    struct oracle_pardon *pardon)
{
	int st, tries = flags & CHECK_WAIT ? 4 : 1;
	char why[ORACLE_WHY], *all = NULL;
	size_t len = 0;
	bool good;

	if ((flags & CHECK_VERIFY_FIRST) && !verify(w))
		return false;
	do {
		st = drain(w, len > 0 || tries > 1, &all, &len);
		if (st == -1) {
			free(all);
			return false;
		}
		good = oracle_check(&w->o, cut, all, len, pardon, why);
	} while (!good && --tries > 0);
	if (!good)
		wrong(w, "%s", why);
	if (good && st != EX_NOINPUT) {
		good = ((flags & CHECK_NO_VERIFY) != 0 || verify(w)) &&
		    expect(w, "qdepth", "--", w->queue, 0, "0\n") &&
		    ((flags & CHECK_AGAIN) == 0 ||
		    check_again(w, cut, all, len));
	}
	free(all);
	return good && ((flags & CHECK_USE) == 0 || check_use(w,
	    pardon != NULL && pardon->repeats));
}
