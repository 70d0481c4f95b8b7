/*
 * queue: random operations on a queue and on its naive twin;
 * after each of them everything the engine says must be what the twin says.
 *
 * Environment: SEED the first round's seed (1), TIME seconds (4), STEPS of a
 * round (400).  A round that differs prints its seed and its last steps.
 * Several handles of one process stand for several processes: a lock, a holder
 * and an index of their own each; closing one is a process that dies.
 */

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <time.h>

#include "clock.h"
#include "queue.h"
#include "queue_compare.h"
#include "queue_twin.h"
#include "queue_work.h"
#include "tap.h"

static char boot[32];
static unsigned int boots;

/* --- holders, processes, boots ----------------------------------------------------------------- */

static void
open_handle(int h)
{
	want_rc("open", queue_open(&handles[h], path, QUEUE_USE, NULL, NULL),
	    0);
}

static void
op_command_dies(void)
{
	int n = some_claim(RUN, RUN);

	if (n == -1)
		return;
	step("the command of claim %d dies", n);
	queue_claim_release(&tw->claim[n].c);
	twin_holder_died(tw, n);
}

static void
op_process_dies(void)
{
	int h = (int)rnd(HANDLES);

	step("process %d dies", h);
	queue_close(handles[h]);
	handles[h] = NULL;
	for (int n = 0; n < TWIN_CLAIMS; n++)
		if (tw->claim[n].kind == STREAM && tw->claim[n].handle == h) {
			queue_claim_release(&tw->claim[n].c);
			twin_holder_died(tw, n);
		}
	open_handle(h);
}

static void
op_boot(void)
{
	step("boot");
	for (int h = 0; h < HANDLES; h++) {
		queue_close(handles[h]);
		handles[h] = NULL;
	}
	for (int n = 0; n < TWIN_CLAIMS; n++)
		queue_claim_release(&tw->claim[n].c);
	twin_boot(tw);
	(void)snprintf(boot, sizeof(boot), "boot-%u", ++boots);
	(void)setenv("DSUTILS_BOOT_ID", boot, 1);
	for (int h = 0; h < HANDLES; h++)
		open_handle(h);
}

/* --- administration ------------------------------------------------------------------------------ */

static void
op_dead(void)
{
	int g = any_group(), rc;
	uint64_t i = tw->cnt == 0 ? 0 : rnd(tw->cnt);
	bool back = chance(60), dead;

	for (uint64_t n = 0; n < tw->cnt &&
	    tw->m[i].cell[g].state != DEAD; n++)
		i = (i + 1) % tw->cnt;
	dead = tw->cnt > 0 && tw->m[i].cell[g].state == DEAD;
	if (!dead && chance(80))
		return;
	step("dead %s %" PRIu64 " of %d", back ? "requeue" : "rm", i, g);
	rc = back ? queue_dead_requeue(any(), tw->group[g].no, i) :
	    queue_dead_remove(any(), tw->group[g].no, i);
	want_rc("dead", rc, dead ? 0 : ENOMSG);
	if (dead && back)
		twin_requeue(tw, g, i);
	else if (dead)
		twin_finish(&tw->m[i].cell[g]);
}

static void
op_nack(void)
{
	int n = some_claim(STREAM + (enum claim_kind)rnd(3), NO_CLAIM + 1);
	struct twin_claim *k = &tw->claim[n == -1 ? 0 : n];
	struct queue_hold hold;
	bool force = chance(40), free_it, fenced;
	uint64_t i;

	if (n == -1 || k->cnt == 0)
		return;
	i = k->seqs[rnd(k->cnt)];
	if (!twin_holds(tw, n, i, &fenced))
		return;
	step("nack %" PRIu64 " of %d%s", i, k->group, force ? ", forced" : "");
	want_rc("nack", queue_nack(any(), tw->group[k->group].no, i, force),
	    0);
	free_it = force || k->kind == LEASE;
	/* Of a stream a run of plain messages is ended as a whole. */
	for (size_t s = 0; s < k->cnt; s++) {
		uint64_t j = k->seqs[s];
		int held;

		if (!twin_holds(tw, n, j, &fenced))
			continue;
		held = queue_hold(any(), tw->group[k->group].no, j, &hold);
		want_rc("hold", held, 0);
		if (j == i && (free_it ? held != 0 : held != 1 ||
		    !hold.fenced))
			differs("nacked %" PRIu64 " is held as before", i);
		if (j != i && (k->kind != STREAM || tw->m[j].key >= 0 ||
		    tw->m[i].key >= 0) && (held != 1 || hold.fenced != fenced))
			differs("%" PRIu64 " was nacked with %" PRIu64, j, i);
		if (held == 0)
			twin_back(tw, k->group, j, false, 0);
		else
			tw->m[j].cell[k->group].fenced = hold.fenced;
	}
}

static enum queue_from
some_beginning(uint64_t *value, uint64_t *first)
{
	enum queue_from from = (enum queue_from)rnd(4);
	uint64_t i;

	*value = 0;
	*first = tw->cnt;
	if (from == QUEUE_NEW)
		return from;
	if (from == QUEUE_SEQ)
		*value = rnd(tw->cnt + 2);
	if (from == QUEUE_TIME)
		*value = tw->cnt == 0 ? 1 : (uint64_t)tw->m[rnd(tw->cnt)].ts +
		    rnd(2);
	for (i = 0; i < tw->cnt; i++)
		if (!tw->m[i].gone && (from == QUEUE_OLDEST ||
		    (from == QUEUE_SEQ && i >= *value) ||
		    (from == QUEUE_TIME && tw->m[i].ts >= (int64_t)*value)))
			break;
	*first = i;
	return from;
}

/* Of acknowledged plain messages whose holder lives nothing need be kept. */
static void
runs_dropped(int g)
{
	struct queue_hold hold;

	for (uint64_t i = 0; i < tw->cnt; i++) {
		struct cell *c = &tw->m[i].cell[g];
		int held;

		if (c->claim == 0 || tw->m[i].key >= 0 ||
		    tw->claim[c->claim - 1].kind != STREAM)
			continue;
		held = queue_hold(any(), tw->group[g].no, i, &hold);
		want_rc("hold", held, 0);
		if (held == 1)
			continue;
		if (!c->acked && !tw->claim[c->claim - 1].acked)
			differs("the claim on %" PRIu64 " was dropped", i);
		c->claim = 0;
		if (c->state == FLYING)
			c->state = WAIT;
	}
}

static void
op_group(void)
{
	static const char *const names[] = { "main", "one", "two", "three" };
	enum queue_from from;
	int g = (int)rnd(TWIN_GROUPS), others = 0;
	uint64_t value, first, got = 0;
	uint32_t no;

	from = some_beginning(&value, &first);
	for (int i = 0; i < TWIN_GROUPS; i++)
		others += i != g && tw->group[i].there;
	if (!tw->group[g].there) {
		step("group %d added from %d %" PRIu64 ": %" PRIu64, g,
		    (int)from, value, first);
		want_rc("group_add", queue_group_add(any(), names[g], from,
		    value, &got), 0);
		twin_group_begins(tw, g, first);
		want_rc("group", queue_group(any(), names[g], &no), 0);
		tw->group[g].no = no;
		want_u("its first", got, first);
	} else if (chance(60)) {
		step("group %d reset to %d %" PRIu64 ": %" PRIu64, g,
		    (int)from, value, first);
		want_rc("group_reset", queue_group_reset(any(),
		    tw->group[g].no, from, value, &got), 0);
		want_u("its first", got, first);
		twin_reset(tw, g, first);
		runs_dropped(g);
	} else {
		step("group %d removed", g);
		want_rc("group_remove", queue_group_remove(any(),
		    tw->group[g].no), others > 0 ? 0 : EBUSY);
		if (others > 0)
			twin_group_ends(tw, g);
	}
	if (tw->group[g].there)
		want_rc("the same again", queue_group_add(any(), names[g],
		    QUEUE_NEW, 0, &got), EEXIST);
}

static void
op_purge(void)
{
	uint64_t got = 0;
	int g = any_group();

	step("purge %d", g);
	want_rc("purge", queue_purge(any(), tw->group[g].no, &got), 0);
	want_u("purged", got, twin_purge(tw, g));
	runs_dropped(g);
}

static void
op_set(void)
{
	static const char *const names[] = { "max-messages", "max-per-key",
		"closed", "paused" };
	size_t which = rnd(4);
	uint64_t v = chance(50) ? 0 : 1 + rnd(which == 0 ? 60 : 15);
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, v);
	if (which >= 2)
		(void)snprintf(text, sizeof(text), "%s", (v = chance(25)) ?
		    "yes" : "no");
	step("set %s=%s", names[which], text);
	want_rc("set", queue_set(any(), names[which], text), 0);
	switch (which) {
	case 0: tw->max_messages = v; break;
	case 1: tw->max_per_key = v; break;
	case 2: tw->closed = v; break;
	default: tw->paused = v;
	}
}

/* Once a round: when the window shrinks, what falls out of it goes bit by bit. */
static void
set_window(void)
{
	static const char *const sizes[] = { "0", "7", "30", "100000" };
	const char *size = sizes[rnd(4)];

	tw->dedup_count = strtoull(size, NULL, 10);
	step("set dedup-count=%s", size);
	want_rc("set", queue_set(any(), "dedup-count", size), 0);
}

static void
unscanned(void)
{
	for (int g = 0; g < TWIN_GROUPS; g++)
		tw->group[g].scanned = false;
}

static void
op_compact(void)
{
	uint64_t freed;

	step("compact");
	want_rc("compact", queue_compact(any(), &freed), 0);
}

static void
op_repair(void)
{
	step("repair");
	want_rc("repair", queue_repair(any()), 0);
	unscanned();
}

/* Somebody deletes what is derived; the next process makes it anew. */
static void
op_index_gone(void)
{
	char name[600];
	struct dirent *e;
	DIR *dir;
	int h = (int)rnd(HANDLES);
	uint32_t no;

	step("the index is deleted");
	(void)snprintf(name, sizeof(name), "%s/index", path);
	if ((dir = opendir(name)) == NULL)
		tap_bail("%s", name);
	while ((e = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), e->d_name, 0);
	(void)closedir(dir);
	queue_close(handles[h]);
	handles[h] = NULL;
	for (int n = 0; n < TWIN_CLAIMS; n++)
		if (tw->claim[n].kind == STREAM && tw->claim[n].handle == h) {
			queue_claim_release(&tw->claim[n].c);
			twin_holder_died(tw, n);
		}
	open_handle(h);
	/* It finds none; the others still have theirs open, and notice. */
	want_rc("group", queue_group(handles[h], "nobody", &no), ENOENT);
	unscanned();
}

/* --- rounds ------------------------------------------------------------------------------------------ */

static const struct {
	unsigned int weight;
	void (*op)(void);
} ops[] = {
	{ 26, op_push }, { 28, op_take }, { 24, op_settle }, { 6, op_receipt },
	{ 3, op_command_dies }, { 2, op_process_dies }, { 1, op_boot },
	{ 4, op_dead }, { 2, op_nack }, { 2, op_group }, { 1, op_purge },
	{ 3, op_set }, { 2, op_compact }, { 1, op_repair },
	{ 1, op_index_gone },
};

/* Is a due time within [from, to]?  Then nobody can say what is right. */
static bool
due_within(int64_t from, int64_t to, int64_t *when)
{
	bool found = false;

	for (int g = 0; g < TWIN_GROUPS; g++)
		for (uint64_t i = 0; tw->group[g].there && i < tw->cnt; i++) {
			int64_t due = twin_due(tw, g, i);

			if (due >= from && due <= to) {
				*when = due;
				found = true;
			}
		}
	return found;
}

/* Make one random step once no due time is near. */
static void
one_step(void)
{
	unsigned int all = 0, pick;
	int64_t begin, when = 0;
	size_t i;

	begin = wall_now_ns();
	while (due_within(begin, begin + SETTLE_NS, &when)) {
		struct timespec ts = { 0, 10000000 };

		(void)nanosleep(&ts, NULL);
		begin = wall_now_ns();
	}
	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		all += ops[i].weight;
	pick = (unsigned int)rnd(all);
	for (i = 0; pick >= ops[i].weight; i++)
		pick -= ops[i].weight;
	ops[i].op();
	compare();
	if (rnd(40) == 0)
		verify(any());
	if (due_within(begin, wall_now_ns(), &when))
		longjmp(over, UNSURE);
}

static int
play(unsigned int steps_max)
{
	static const struct queue_create how = { .mode = 0666,
		.gid = (gid_t)-1, .segment = 64 << 10 };
	volatile int result;
	uint32_t no;

	memset(tw, 0, sizeof(*tw));
	tw->group[0].there = true;
	state = seed * 7919;
	steps = 0;
	(void)snprintf(path, sizeof(path), "%s/q%" PRIu64, tap_tmpdir(), seed);
	(void)snprintf(boot, sizeof(boot), "boot-%u", ++boots);
	(void)setenv("DSUTILS_BOOT_ID", boot, 1);
	if (queue_create(path, &how) == -1)
		tap_bail("%s", path);
	result = setjmp(over);
	if (result == SAME) {
		for (int h = 0; h < HANDLES; h++)
			open_handle(h);
		want_rc("group", queue_group(handles[0], "main", &no), 0);
		tw->group[0].no = no;
		set_window();
		while (steps < steps_max)
			one_step();
		verify(any());
	}
	for (int n = 0; n < TWIN_CLAIMS; n++)
		queue_claim_release(&tw->claim[n].c);
	for (int h = 0; h < HANDLES; h++) {
		queue_close(handles[h]);
		handles[h] = NULL;
	}
	if (result != DIFFERS && queue_remove(path) == -1)
		tap_bail("%s", path);
	return result;
}

static uint64_t
number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL && *text != '\0' ? strtoull(text, NULL, 10) :
	    otherwise;
}

int
main(void)
{
	uint64_t first = number("SEED", 1), all = 0, unsure = 0;
	int64_t limit = (int64_t)number("TIME", 4) * INT64_C(1000000000);
	unsigned int steps_max = (unsigned int)number("STEPS", 400);
	struct mono end = mono_after(limit);
	int result = SAME;

	if ((tw = calloc(1, sizeof(*tw))) == NULL)
		tap_bail("calloc");
	for (seed = first; result != DIFFERS; seed++) {
		printf("# seed %" PRIu64 "\n", seed);
		(void)fflush(stdout);
		result = play(steps_max);
		all += steps;
		unsure += result == UNSURE;
		if (mono_passed(end))
			break;
	}
	ok(result != DIFFERS, "%" PRIu64 " rounds, %" PRIu64 " steps (%"
	    PRIu64 " rounds cut short by time) like the twin", seed - first +
	    1, all, unsure);
	free(tw);
	return tap_end();
}
