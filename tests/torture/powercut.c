/*
 * powercut: run a scenario and cut it off in every way.
 *
 *   powercut [options] cut SCENARIO    power cuts: all states a disk may be in
 *   powercut [options] kill SCENARIO   SIGKILL at every call
 *   powercut [options] fail SCENARIO   every call fails once, or from then on
 *   powercut [options] show SCENARIO   what the scenario does to the disk
 *
 *   -b dir    the programs (default build/bin)
 *   -x file   the shim (default crashshim.so beside this program)
 *   -n count  at most so many trials, spread evenly (default: all; cut: 10000)
 *   -2 n      of n states of a cut one is used, and cut a second time
 *   -j n      processes (default 2)
 *   -s seed   of what is drawn
 *   -k dir    keep what failed there
 *   -d dir    work there (default /dev/shm, or TMPDIR)
 *   -H list   kill: kill,killafter,torn; fail: write,sync,...
 *   -E list   fail: EIO,ENOSPC
 *   -K n      cut, show: the n-th call kills its program, the others go on
 *   -r C:P    cut: this cut and plan alone, with explanation
 *   -m n      stop after n failures (default 10)
 * Exit status: 0 all good, 1 a rule was broken, 64 and more: the test itself.
 */

#include <sys/mman.h>
#include <sys/stat.h>

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cutmodel.h"
#include "scenario.h"
#include "trial.h"

#define SECOND_TRIES	6	/* states of a second cut */

struct bench {
	const char *bin, *keep, *how, *errnos;
	char shim[PATH_MAX], work[PATH_MAX];
	uint64_t limit, seed, second, kill_at;
	bool one;		/* -r */
	uint64_t one_cut, one_plan;
	struct scenario sc;
	struct trials t;
	/* cut */
	struct world recorded;
	struct model *m;
	uint64_t *plans;	/* sum of plans of the cuts before */
	uint64_t total, step, drawn;
	/* kill, fail */
	const char *word, *errno_name;
	bool from;
	uint64_t calls;
};

static uint64_t
mix(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* --- recording ---------------------------------------------------------- */

static struct crash_state *
state_map(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	void *p;

	if (fd == -1 || ftruncate(fd, CRASH_STATE_SIZE) == -1)
		err(73, "%s", path);
	p = mmap(NULL, CRASH_STATE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	if (p == MAP_FAILED)
		err(71, "%s", path);
	close(fd);
	return p;
}

/* The shim watches arena and counts in dir/state, logging to dir/log. */
static struct crash_state *
watch(const struct bench *b, struct world *w, const char *arena,
    const char *dir, bool record)
{
	char path[PATH_MAX];
	struct crash_state *st;

	path_join(path, dir, "state");
	st = state_map(path);
	run_env_set(&w->env, "CRASH_STATE=%s", path);
	run_env_set(&w->env, "CRASH_DIR=%s", arena);
	run_env_set(&w->env, "LD_PRELOAD=%s", b->shim);
	if (record) {
		path_join(path, dir, "log");
		unlink(path);
		run_env_set(&w->env, "CRASH_LOG=%s", path);
		w->state = st;
	}
	return st;
}

static void
unwatch(struct world *w, struct crash_state *st)
{
	w->boot += 10;
	world_calm(w);
	w->state = NULL;
	munmap(st, CRASH_STATE_SIZE);
}

/* A message is in doubt only from when its bytes were written out. */
static void
sharpen(struct world *w, const struct model *m, uint64_t base,
    const struct scenario *sc)
{
	const char *name, *name2;
	const unsigned char *data;
	const struct crash_rec *r;
	uint64_t seq, off;
	unsigned char *met = calloc(1, w->o.msgs_cnt + 1);
	int64_t id;

	if (met == NULL)
		err(71, NULL);
	for (size_t i = 0; i < sc->steps_cnt; i++)
		if (strcmp(sc->steps[i].words[0], "once") == 0) {
			free(met);	/* the other way round: gone before */
			return;
		}
	for (seq = 0; seq < model_ops(m); seq++) {
		r = model_rec(m, seq, &name, &name2, &data);
		if (r->op != CRASH_OUT)
			continue;
		for (off = 0; off + ORACLE_MIN <= r->len; off++) {
			id = oracle_id(&w->o, (const char *)data + off,
			    r->len - off);
			if (id < 0 || met[id])
				continue;
			met[id] = 1;
			if (w->o.msgs[id].taken != NEVER &&
			    w->o.msgs[id].taken < base + seq)
				w->o.msgs[id].taken = base + seq;
		}
	}
	free(met);
}

/* What the log says must be what is there, or the shim has missed a call. */
static bool
log_complete(struct model *m, const char *arena)
{
	struct tree want, got;
	bool good = true;
	size_t i, j;

	model_build(m, model_ops(m), 0, 0, &want, NULL);
	tree_read(&got, arena);
	for (i = 0; i < got.cnt; i++) {
		const struct tree_node *g = &got.nodes[i];

		for (j = 0; j < want.cnt; j++)
			if (strcmp(want.nodes[j].path, g->path) == 0)
				break;
		if (j == want.cnt || want.nodes[j].len != g->len ||
		    (g->len > 0 && memcmp(want.nodes[j].data, g->data,
		    g->len) != 0)) {
			warnx("%s: the log tells another story", g->path);
			good = false;
		}
	}
	if (want.cnt != got.cnt) {
		warnx("%zu files by the log, %zu there", want.cnt, got.cnt);
		good = false;
	}
	tree_release(&want);
	tree_release(&got);
	return good;
}

static void
record(struct bench *b)
{
	char arena[PATH_MAX], log[PATH_MAX];
	struct crash_state *st;

	path_join(arena, b->work, "arena");
	if (mkdir(arena, 0700) == -1)
		err(73, "%s", arena);
	world_init(&b->recorded, b->bin, arena);
	b->m = model_begin(arena);
	st = watch(b, &b->recorded, arena, b->work, true);
	if (b->kill_at > 0) {
		b->recorded.mood = MOOD_KILL;
		run_env_set(&b->recorded.env, "CRASH_AT=%" PRIu64, b->kill_at);
		run_env_set(&b->recorded.env, "CRASH_MORE=1");
	}
	if (!scenario_run(&b->sc, &b->recorded))
		errx(1, "while recording: %s", b->recorded.why);
	unwatch(&b->recorded, st);
	path_join(log, b->work, "log");
	model_load(b->m, log);
	if (b->kill_at == 0 && !log_complete(b->m, arena))
		errx(70, "the log is not complete");
	sharpen(&b->recorded, b->m, 0, &b->sc);
	tree_wipe(arena);
}

/* --- power cuts --------------------------------------------------------- */

static void
cut_bad(struct bench *b, struct trials *t, uint64_t cut, uint64_t plan,
    const char *more, const char *why, const char *arena)
{
	char title[200], *text;
	struct tree tree;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		err(71, NULL);
	fprintf(f, "  %s%s", why, why[strlen(why) - 1] == '\n' ? "" : "\n");
	if (cut > 0) {
		fprintf(f, "  last operation: ");
		model_show_op(b->m, cut - 1, f);
	}
	model_build(b->m, cut, plan, b->seed, &tree, f);
	fclose(f);
	snprintf(title, sizeof(title), "cut %" PRIu64 ":%" PRIu64 "%s%s", cut,
	    plan, *more == '\0' ? "" : ", ", more);
	tree_release(&tree);
	trials_bad(t, title, text, arena);
	free(text);
}

#define SECOND_LIFE	"push 2 2 100\n" "pop 1\n" "push 0 1 100\n"

static const char second_life[] = SECOND_LIFE;

/* A retry after the cut must not be taken for done. */
static const char retry_life[] = "again 1\n" SECOND_LIFE;

static bool
has_ident(const struct oracle *o)
{
	for (uint32_t i = 0; i < o->pushes_cnt; i++)
		if (o->pushes[i].ident)
			return true;
	return false;
}

/* Use the queue of a state, cut that off too: the tail must not be stale. */
static void
cut_again(struct bench *b, struct trials *t, uint64_t cut, uint64_t plan,
    const struct tree *tree, uint64_t h)
{
	char arena[PATH_MAX], log[PATH_MAX], more[100];
	struct world w, v;
	struct scenario sc;
	struct crash_state *st;
	struct model *m;
	struct tree left;
	uint64_t base = cut + 1, cut2, plan2;

	trials_arena(t, "second", arena);
	tree_write(tree, arena);
	world_init(&w, b->bin, arena);
	w.boot = b->recorded.boot + 1;
	world_reboot(&w);
	oracle_copy(&w.o, &b->recorded.o);
	oracle_cut(&w.o, cut);
	m = model_begin(arena);
	st = watch(b, &w, arena, t->dir, true);
	w.stamp_base = base;
	scenario_parse(&sc, has_ident(&w.o) && cut > 0 ? retry_life :
	    second_life);
	if (!scenario_run(&sc, &w)) {
		cut_bad(b, t, cut, plan, "then used", w.why, arena);
		goto out;
	}
	path_join(log, t->dir, "log");
	model_load(m, log);
	sharpen(&w, m, base, &sc);
	for (int i = 0; i < SECOND_TRIES; i++) {
		h = mix(h);
		cut2 = h % (model_ops(m) + 1);
		plan2 = i < 2 ? (uint64_t)i : mix(h) % 64;
		trials_arena(t, "third", arena);
		model_build(m, cut2, plan2, h, &left, NULL);
		tree_write(&left, arena);
		tree_release(&left);
		world_init(&v, b->bin, arena);
		v.boot = w.boot + 10;
		world_reboot(&v);
		oracle_copy(&v.o, &w.o);
		if (!world_check(&v, base + cut2, b->sc.retries ? CHECK_WAIT :
		    0, NULL)) {
			snprintf(more, sizeof(more), "then used and cut %"
			    PRIu64 ":%" PRIu64, cut2, plan2);
			cut_bad(b, t, cut, plan, more, v.why, arena);
		}
		atomic_fetch_add(&t->sums->runs, v.runs);
		atomic_fetch_add(&t->sums->note[0], 1);
		world_release(&v);
	}
out:
	unwatch(&w, st);
	atomic_fetch_add(&t->sums->runs, w.runs);
	model_free(m);
	scenario_release(&sc);
	world_release(&w);
}

static void
cut_state(struct bench *b, struct trials *t, uint64_t cut, uint64_t plan)
{
	char arena[PATH_MAX];
	struct tree tree;
	struct world w;
	uint64_t h;
	int flags = b->sc.retries ? CHECK_WAIT : 0;

	model_build(b->m, cut, plan, b->seed, &tree, b->one ? stderr : NULL);
	h = mix(tree.hash ^ b->seed);
	/* The same files after the same promises: nothing new. */
	if (!b->one && !trials_new(t, mix(tree.hash ^
	    oracle_age(&b->recorded.o, cut)))) {
		atomic_fetch_add(&t->sums->same, 1);
		tree_release(&tree);
		return;
	}
	trials_arena(t, "arena", arena);
	tree_write(&tree, arena);
	world_init(&w, b->bin, arena);
	w.boot = b->recorded.boot;
	world_reboot(&w);
	oracle_copy(&w.o, &b->recorded.o);
	flags |= h % 4 == 0 ? CHECK_AGAIN | CHECK_USE : 0;
	flags |= h % 8 == 1 ? CHECK_VERIFY_FIRST : 0;
	flags |= h % 8 == 2 ? CHECK_USE : 0;
	if (!world_check(&w, cut, flags, NULL)) {
		trials_arena(t, "arena", arena);
		tree_write(&tree, arena);
		cut_bad(b, t, cut, plan, "", w.why, arena);
	} else if (b->second > 0 && h / 8 % b->second == 0) {
		cut_again(b, t, cut, plan, &tree, h);
	}
	atomic_fetch_add(&t->sums->done, 1);
	atomic_fetch_add(&t->sums->runs, w.runs);
	world_release(&w);
	tree_release(&tree);
}

static void
cut_one(void *arg, struct trials *t, uint64_t i)
{
	struct bench *b = arg;
	uint64_t cuts = model_ops(b->m) + 1, cut, plan, lo, hi;

	if (i >= b->drawn) {		/* drawn ones, over all cuts in turn */
		i -= b->drawn;
		cut = i % cuts;
		while (b->plans[cut + 1] == b->plans[cut])
			cut--;
		cut_state(b, t, cut, 100000 + i / cuts);
		return;
	}
	/* One of every step systematic plans, at a drawn place. */
	lo = i * b->total / b->drawn;
	hi = (i + 1) * b->total / b->drawn;
	if (hi > lo + 1)
		lo += mix(b->seed ^ i) % (hi - lo);
	for (cut = 0; cut + 1 < cuts && b->plans[cut + 1] <= lo; cut++)
		;
	plan = lo - b->plans[cut];
	cut_state(b, t, cut, plan);
}

static void
cut_all(struct bench *b)
{
	uint64_t cuts, cut;

	record(b);
	cuts = model_ops(b->m) + 1;
	if (b->one) {
		path_join(b->t.dir, b->work, "one");
		if (mkdir(b->t.dir, 0700) == -1)
			err(73, "%s", b->t.dir);
		if (b->one_cut > 0)
			model_show_op(b->m, b->one_cut - 1, stderr);
		cut_state(b, &b->t, b->one_cut, b->one_plan);
		return;
	}
	b->plans = reallocarray(NULL, cuts + 1, sizeof(*b->plans));
	if (b->plans == NULL)
		err(71, NULL);
	for (cut = 0; cut < cuts; cut++) {
		b->plans[cut] = b->total;
		b->total += model_plans(b->m, cut);
	}
	b->plans[cuts] = b->total;
	if (b->limit == 0)
		b->limit = 10000;
	/* Two thirds systematic if there are more, the rest drawn. */
	b->drawn = b->total < b->limit ? b->total : b->limit * 2 / 3;
	trials_run(&b->t, b->limit, cut_one, b);
	printf("cut: %" PRIu64 " operations, %" PRIu64 " systematic states; "
	    "%" PRIu64 " tried, %" PRIu64 " the same as others, %" PRIu64
	    " cut twice, %" PRIu64 " programs run, %" PRIu64 " bad\n",
	    cuts - 1, b->total, atomic_load(&b->t.sums->done),
	    atomic_load(&b->t.sums->same), atomic_load(&b->t.sums->note[0]),
	    atomic_load(&b->t.sums->runs), atomic_load(&b->t.sums->bad));
}

/* --- kills and failures ------------------------------------------------- */

/*
 * The disk is whole again: the first to come may still hear of what was lost,
 * nobody after it.
 */
static bool
first_after(struct world *w)
{
	struct scenario sc;
	bool good;

	scenario_parse(&sc, "pop 1\npush 0 1 30\n");
	good = scenario_run(&sc, w);
	scenario_release(&sc);
	return good;
}

/* After a run: the same boot unless cut_off, and another on a copy. */
static void
check_both(struct bench *b, struct trials *t, struct world *w,
    const char *arena, const char *title, bool cut_off)
{
	char copy[PATH_MAX], more[300];
	struct tree tree;
	struct world v;
	int flags = CHECK_AGAIN | CHECK_USE | (b->sc.retries ? CHECK_WAIT : 0);

	tree_read(&tree, arena);
	trials_arena(t, "copy", copy);
	tree_write(&tree, copy);
	world_init(&v, b->bin, copy);
	v.boot = w->boot + 50;
	world_reboot(&v);
	oracle_copy(&v.o, &w->o);
	if (!cut_off && ((w->mood == MOOD_FAULT && !first_after(w)) ||
	    !world_check(w, NEVER - 1, flags, NULL))) {
		trials_arena(t, "arena", copy);
		tree_write(&tree, copy);
		snprintf(more, sizeof(more), "%s, same boot", title);
		trials_bad(t, more, w->why, copy);
	} else if (!world_check(&v, NEVER - 1, flags, NULL)) {
		trials_arena(t, "arena", copy);
		tree_write(&tree, copy);
		snprintf(more, sizeof(more), "%s, then another boot", title);
		trials_bad(t, more, v.why, copy);
	}
	atomic_fetch_add(&t->sums->runs, v.runs);
	world_release(&v);
	tree_release(&tree);
}

static void
fault_env(const struct bench *b, struct world *w, uint64_t n, bool fail)
{

	if (!fail) {
		run_env_set(&w->env, "CRASH_HOW=%s", b->word);
		run_env_set(&w->env, "CRASH_AT=%" PRIu64, n);
		run_env_set(&w->env, "CRASH_MORE=1");
		return;
	}
	run_env_set(&w->env, "FAIL_OP=%s", b->word);
	run_env_set(&w->env, "FAIL_ERRNO=%s", b->errno_name);
	run_env_set(&w->env, "%s=%" PRIu64, b->from ? "FAIL_FROM" : "FAIL_AT",
	    n);
	if (strcmp(b->word, "write") == 0 && n % 2 == 0)
		run_env_set(&w->env, "FAIL_SHORT=1");
}

static void
fault_one(struct bench *b, struct trials *t, uint64_t n, bool fail)
{
	char arena[PATH_MAX], shadow[PATH_MAX], title[200];
	struct world w;
	struct crash_state *st;
	bool hit, drop, cut_off;

	drop = fail && strcmp(b->word, "sync") == 0;
	cut_off = drop && n % 2 == 0;
	snprintf(title, sizeof(title), "%s %s%s%s %" PRIu64,
	    fail ? "fail" : "kill", b->word, fail ? " " : "",
	    fail ? b->errno_name : "", n);
	if (fail && b->from)
		strncat(title, " on", sizeof(title) - strlen(title) - 1);
	trials_arena(t, "arena", arena);
	world_init(&w, b->bin, arena);
	w.mood = fail ? MOOD_FAULT : MOOD_KILL;
	st = watch(b, &w, arena, t->dir, false);
	fault_env(b, &w, n, fail);
	if (drop) {
		trials_arena(t, "shadow", shadow);
		run_env_set(&w.env, "CRASH_SHADOW=%s", shadow);
		run_env_set(&w.env, "FAIL_DROP=%s", cut_off ? "cut" : "1");
	}
	if (!scenario_run(&b->sc, &w)) {
		trials_bad(t, title, w.why, arena);
		goto out;
	}
	hit = atomic_load(&st->fired) > 0;
	if (!hit)
		atomic_fetch_add(&t->sums->note[1], 1);
	world_calm(&w);
	if (hit)
		check_both(b, t, &w, arena, title, cut_off);
out:
	munmap(st, CRASH_STATE_SIZE);
	atomic_fetch_add(&t->sums->done, 1);
	atomic_fetch_add(&t->sums->runs, w.runs);
	world_release(&w);
}

/* Trial i of b->limit, spread over b->calls calls. */
static uint64_t
spread(const struct bench *b, uint64_t i)
{
	uint64_t lo = i * b->calls / b->drawn, hi;

	hi = (i + 1) * b->calls / b->drawn;
	return 1 + lo + (hi > lo + 1 ? mix(b->seed ^ i) % (hi - lo) : 0);
}

static void
kill_one(void *arg, struct trials *t, uint64_t i)
{
	fault_one(arg, t, spread(arg, i), false);
}

static void
fail_one(void *arg, struct trials *t, uint64_t i)
{
	fault_one(arg, t, spread(arg, i), true);
}

/* How many calls are there to hit? */
static void
count_calls(struct bench *b, bool fail)
{
	char arena[PATH_MAX];
	struct crash_state *st;
	struct world w;

	path_join(b->t.dir, b->work, ".");
	trials_arena(&b->t, "arena", arena);
	world_init(&w, b->bin, arena);
	st = watch(b, &w, arena, b->work, false);
	fault_env(b, &w, NEVER, fail);
	if (!scenario_run(&b->sc, &w))
		errx(1, "without a fault: %s", w.why);
	b->calls = atomic_load(fail ? &st->fails : &st->calls);
	munmap(st, CRASH_STATE_SIZE);
	world_release(&w);
	tree_wipe(arena);
}

static void
fault_word(struct bench *b, bool fail)
{
	uint64_t n, before = atomic_load(&b->t.sums->done);

	count_calls(b, fail);
	if (b->calls == 0)
		return;
	/* Runs differ a little: go on for some calls after the last. */
	b->calls += b->limit == 0 ? b->calls / 20 + 2 : 0;
	n = b->drawn = b->limit == 0 || b->limit > b->calls ? b->calls :
	    b->limit;
	trials_run(&b->t, n, fail ? fail_one : kill_one, b);
	printf("%s %s%s%s%s: %" PRIu64 " calls, %" PRIu64 " tried, %" PRIu64
	    " bad\n", fail ? "fail" : "kill", b->word, fail ? " " : "",
	    fail ? b->errno_name : "", fail && b->from ? " from there on" : "",
	    b->calls, atomic_load(&b->t.sums->done) - before,
	    atomic_load(&b->t.sums->bad));
}

static void
fault_all(struct bench *b, bool fail)
{
	char *words, *word, *errs, *e, *save = NULL, *save2;
	const char *how = b->how != NULL ? b->how : fail ?
	    "write,sync,create,rename,unlink,truncate,mkdir,allocate" :
	    "kill,killafter,torn";

	words = strdup(how);
	for (word = strtok_r(words, ",", &save); word != NULL;
	    word = strtok_r(NULL, ",", &save)) {
		b->word = word;
		if (!fail) {
			fault_word(b, false);
			continue;
		}
		errs = strdup(b->errnos);
		for (e = strtok_r(errs, ",", &save2); e != NULL;
		    e = strtok_r(NULL, ",", &save2)) {
			b->errno_name = e;
			for (int from = 0; from < 2; from++) {
				b->from = from != 0;
				fault_word(b, true);
			}
		}
		free(errs);
	}
	free(words);
}

/* --- main --------------------------------------------------------------- */

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: powercut [-b dir] [-x shim] [-n count] [-2 n] "
	    "[-j n] [-s seed]\n\t[-k dir] [-d dir] [-H list] [-E list] "
	    "[-K n] [-r cut:plan] [-m n]\n\tcut|kill|fail|show scenario\n");
	exit(64);
}

static uint64_t
natural(const char *text)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || (*end != '\0' && *end != ':'))
		usage();
	return v;
}

static void
options(struct bench *b, int argc, char *argv[], const char **dir,
    unsigned int *jobs, uint64_t *bad_max)
{
	int ch;

	while ((ch = getopt(argc, argv, "+2:b:d:E:H:j:K:k:m:n:r:s:x:")) != -1) {
		switch (ch) {
		case '2': b->second = natural(optarg); break;
		case 'b': b->bin = optarg; break;
		case 'd': *dir = optarg; break;
		case 'E': b->errnos = optarg; break;
		case 'H': b->how = optarg; break;
		case 'j': *jobs = (unsigned int)natural(optarg); break;
		case 'K': b->kill_at = natural(optarg); break;
		case 'k': b->keep = optarg; break;
		case 'm': *bad_max = natural(optarg); break;
		case 'n': b->limit = natural(optarg); break;
		case 'r':
			b->one = true;
			b->one_cut = natural(optarg);
			if (strchr(optarg, ':') == NULL)
				usage();
			b->one_plan = natural(strchr(optarg, ':') + 1);
			break;
		case 's': b->seed = natural(optarg); break;
		case 'x':
			if (realpath(optarg, b->shim) == NULL)
				err(66, "%s", optarg);
			break;
		default:
			usage();
		}
	}
	if (*jobs == 0 || *bad_max == 0)
		usage();
}

static void
find_shim(struct bench *b)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		err(71, "/proc/self/exe");
	self[n] = '\0';
	path_join(b->shim, dirname(self), "crashshim.so");
	if (access(b->shim, R_OK) == -1)
		err(66, "%s", b->shim);
}

static char bin_path[PATH_MAX], *work_path;
static pid_t owner;

static void
clean_up(void)
{
	if (getpid() != owner)
		return;
	tree_wipe(work_path);
	rmdir(work_path);
}

int
main(int argc, char *argv[])
{
	struct bench b = { .bin = "build/bin", .errnos = "EIO,ENOSPC",
	    .seed = 1, .second = 16 };
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" :
	    getenv("TMPDIR");
	unsigned int jobs = 2;
	uint64_t bad_max = 10;

	options(&b, argc, argv, &dir, &jobs, &bad_max);
	if (argc - optind != 2)
		usage();
	if (b.shim[0] == '\0')
		find_shim(&b);
	if (realpath(b.bin, bin_path) == NULL)
		err(66, "%s", b.bin);
	b.bin = bin_path;
	scenario_load(&b.sc, argv[optind + 1]);
	snprintf(b.work, sizeof(b.work), "%s/powercut.XXXXXX",
	    dir == NULL ? "/tmp" : dir);
	if (mkdtemp(b.work) == NULL)
		err(73, "%s", b.work);
	work_path = b.work;
	owner = getpid();
	atexit(clean_up);
	trials_init(&b.t, b.work, b.keep, jobs);
	b.t.bad_max = bad_max;
	if (strcmp(argv[optind], "cut") == 0)
		cut_all(&b);
	else if (strcmp(argv[optind], "kill") == 0)
		fault_all(&b, false);
	else if (strcmp(argv[optind], "fail") == 0)
		fault_all(&b, true);
	else if (strcmp(argv[optind], "show") == 0) {
		record(&b);
		model_show(b.m, stdout);
	} else
		usage();
	return atomic_load(&b.t.sums->bad) > 0;
}
