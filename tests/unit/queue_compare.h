/*
 * queue_compare: does a queue say what its twin says (queue_twin.h)?  Random
 * numbers, the steps that led here, and every comparison; the first difference
 * ends the round.
 *
 * Use:     included by one test program only.
 */
#ifndef TESTS_QUEUE_COMPARE_H
#define TESTS_QUEUE_COMPARE_H

#include <setjmp.h>

#include "clock.h"
#include "queue.h"
#include "queue_priv.h"
#include "queue_twin.h"
#include "tap.h"

#define HANDLES		3
#define STEPS_SHOWN	25
#define PAYLOAD_MAX	3000U

static struct twin *tw;
static struct queue *handles[HANDLES];
static char path[512];
static uint64_t seed;
static unsigned int steps;
static char shown[STEPS_SHOWN][160];
static jmp_buf over;

/* --- random numbers and telling ------------------------------------------------ */

static uint64_t state;

static uint64_t
rnd(uint64_t below)
{
	uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

static bool
chance(unsigned int percent)
{
	return rnd(100) < percent;
}

__attribute__((format(printf, 1, 2))) static void
step(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(shown[steps++ % STEPS_SHOWN], sizeof(shown[0]),
	    format, ap);
	va_end(ap);
}

enum { SAME, DIFFERS, UNSURE };

__attribute__((format(printf, 1, 2))) static _Noreturn void
differs(const char *format, ...)
{
	va_list ap;

	printf("# seed %" PRIu64 ", step %u: ", seed, steps);
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	printf("\n");
	for (unsigned int i = steps > STEPS_SHOWN ? steps - STEPS_SHOWN : 0;
	    i < steps; i++)
		printf("#   %u: %s\n", i, shown[i % STEPS_SHOWN]);
	longjmp(over, DIFFERS);
}

static void
want_u(const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		differs("%s is %" PRIu64 ", want %" PRIu64, what, got, want);
}

/* A call that must succeed, or fail with this errno. */
static void
want_rc(const char *what, int rc, int want_errno)
{
	int e = errno;

	if (want_errno == 0 ? rc == -1 : rc != -1 || e != want_errno)
		differs("%s: %d (%s), want %s", what, rc, rc == -1 ?
		    strerror(e) : "done", want_errno == 0 ? "0" :
		    strerror(want_errno));
}

static struct queue *
any(void)
{
	return handles[rnd(HANDLES)];
}

static int
any_group(void)
{
	int g;

	do
		g = (int)rnd(TWIN_GROUPS);
	while (!tw->group[g].there);
	return g;
}

/* --- messages ---------------------------------------------------------------------- */

static const char *const keys[TWIN_KEYS] = { "", "a", "b", "c", "dd",
	"eee", "key\nwith\1bytes" };

static void
payload_of(uint64_t seq, unsigned char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)(seed + seq * 31 + i * (seq % 7 + 1));
}

static bool
in_part(const struct queue_take *how, int key)
{
	uint64_t kh;

	if (how->parts == 0 || key < 0)
		return true;
	kh = msg_key_hash(keys[key], strlen(keys[key]));
	return (kh % 256) % how->parts == how->part - 1;
}

/* What is shown of a message is what was pushed. */
static void
same_message(const struct queue_message *m)
{
	static unsigned char want[PAYLOAD_MAX];
	struct twin_message *t = &tw->m[m->seq];
	char id[16];

	if (m->seq >= tw->cnt)
		differs("message %" PRIu64 " was never pushed", m->seq);
	payload_of(m->seq, want, t->len);
	if (m->payload_len != t->len ||
	    (t->len > 0 && memcmp(m->payload, want, t->len) != 0))
		differs("message %" PRIu64 ": its payload", m->seq);
	if ((m->key == NULL) != (t->key < 0) || (m->key != NULL &&
	    (m->key_len != strlen(keys[t->key]) ||
	    memcmp(m->key, keys[t->key], m->key_len) != 0)))
		differs("message %" PRIu64 ": its key", m->seq);
	(void)snprintf(id, sizeof(id), "id%d", t->id);
	if ((m->id == NULL) != (t->id < 0) || (m->id != NULL &&
	    (m->id_len != strlen(id) || memcmp(m->id, id, m->id_len) != 0)))
		differs("message %" PRIu64 ": its id", m->seq);
	if (m->due_ns != t->due)
		differs("message %" PRIu64 ": its due time", m->seq);
	if (t->ts == 0) {
		t->ts = m->ts_ns;
		t->epoch = m->epoch;
		if (m->seq > 0 && tw->m[m->seq - 1].ts > t->ts)
			differs("message %" PRIu64 ": its time", m->seq);
	}
	if (m->ts_ns != t->ts || m->epoch != t->epoch)
		differs("message %" PRIu64 ": its id changed", m->seq);
}

/* --- comparing ------------------------------------------------------------------------- */

static void
compare_browse(struct queue *q, int g, int64_t now)
{
	static const char *const names[] = { "waits", "flies", "done", "dead" };
	struct queue_message m;
	enum queue_state s, want;
	uint64_t pos = 0, next = 0;
	int got;

	while ((got = queue_browse(q, tw->group[g].no, &pos, &m, &s)) == 1) {
		const struct cell *c = &tw->m[m.seq].cell[g];
		uint32_t tries = c->state == FLYING ? c->claim_tries :
		    c->tries;

		same_message(&m);
		for (; next < m.seq; next++)
			if (!tw->m[next].gone)
				differs("message %" PRIu64 " is missing", next);
		next = m.seq + 1;
		want = c->state == FLYING ? QUEUE_IN_FLIGHT :
		    c->state == DEAD ? QUEUE_DEAD :
		    c->state == DONE ? QUEUE_FINISHED :
		    twin_due(tw, g, m.seq) > now ? QUEUE_DELAYED : QUEUE_READY;
		if (s != want)
			differs("group %d: message %" PRIu64 " has state %d, "
			    "the twin says %s", g, m.seq, (int)s,
			    names[c->state]);
		if (m.attempt != tries + 1)
			differs("group %d: message %" PRIu64 " is at attempt "
			    "%u, want %u", g, m.seq, m.attempt, tries + 1);
		/* One whose bytes are gone may be in a reader's window yet. */
		if (tw->m[m.seq].gone && s != QUEUE_FINISHED)
			differs("message %" PRIu64 " was gone", m.seq);
	}
	want_rc("browse", got, 0);
	for (; next < tw->cnt; next++)
		if (!tw->m[next].gone)
			differs("message %" PRIu64 " is missing", next);
}

/* Whose bytes were given back?  Only who looks for the first time can tell. */
static void
learn_gone(void)
{
	int g = any_group();
	struct queue_message m;
	enum queue_state s;
	struct queue *q;
	uint64_t pos = 0, next = 0;
	int got;

	want_rc("open", queue_open(&q, path, QUEUE_USE, NULL, NULL), 0);
	while ((got = queue_browse(q, tw->group[g].no, &pos, &m, &s)) == 1) {
		for (; next < m.seq; next++)
			tw->m[next].gone = true;
		if (tw->m[next++].gone)
			differs("message %" PRIu64 " was gone", m.seq);
	}
	want_rc("browse", got, 0);
	queue_close(q);
	for (; next < tw->cnt; next++)
		tw->m[next].gone = true;
	for (uint64_t i = 0; i < tw->cnt; i++)
		if (tw->m[i].gone && !twin_removable(tw, i))
			differs("message %" PRIu64 " is missing", i);
}

static void
compare_dead(struct queue *q, int g)
{
	static struct queue_dead d;
	uint64_t seq = 0;
	int got = 0;

	for (uint64_t i = 0; i < tw->cnt; i++) {
		const struct cell *c = &tw->m[i].cell[g];

		if (c->state != DEAD)
			continue;
		got = queue_dead_next(q, tw->group[g].no, &seq, &d);
		if (got != 1 || seq != i || d.tries != c->tries)
			differs("group %d: dead %" PRIu64 " (%d, %" PRIu64
			    " tries), want %" PRIu64 " (%u)", g, seq, got,
			    d.tries, i, c->tries);
		same_message(&d.m);
		seq++;
	}
	got = queue_dead_next(q, tw->group[g].no, &seq, &d);
	if (got != 0)
		differs("group %d: dead %" PRIu64 " (%d), want none", g, seq,
		    got);
}

/* The first of its key, of which nothing is taken; or without a key. */
static bool
leads(int g, uint64_t i)
{
	int key = tw->m[i].key;

	if (key < 0)
		return true;
	for (uint64_t j = 0; j < i; j++)
		if (tw->m[j].key == key && tw->m[j].cell[g].state == WAIT)
			return false;
	return !twin_key_busy(tw, g, key);
}

static void
compare_stats_of(int g, const struct queue_group_stats *s, int64_t now)
{
	uint64_t depth = 0, flying = 0, dead = 0, late = 0, due = 0, sure = 0;
	uint64_t blocked = 0, waiting[TWIN_KEYS] = { 0 };
	int64_t oldest = 0;

	for (uint64_t i = 0; i < tw->cnt; i++) {
		const struct cell *c = &tw->m[i].cell[g];

		depth += c->state == WAIT || c->state == FLYING;
		flying += c->state == FLYING;
		dead += c->state == DEAD;
		if (oldest == 0 && (c->state == WAIT || c->state == FLYING))
			oldest = tw->m[i].ts;
		if (c->state != WAIT)
			continue;
		if (tw->m[i].key >= 0)
			waiting[tw->m[i].key]++;
		if (twin_due(tw, g, i) <= now)
			continue;
		late++;
		if (leads(g, i)) {
			due++;
			sure += tw->m[i].due > now;
		}
	}
	for (int k = 0; k < TWIN_KEYS; k++)
		blocked += waiting[k] > !twin_key_busy(tw, g, k);
	want_u("the group's depth", s->depth, depth);
	want_u("in flight", s->in_flight, flying);
	want_u("the group's dead", s->dead, dead);
	if (tw->group[g].scanned) {
		want_u("delayed", s->delayed, due);
		want_u("blocked keys", s->blocked_keys, blocked);
	} else if (s->delayed < sure || s->delayed > late ||
	    s->blocked_keys > blocked) {
		differs("group %d: delayed %" PRIu64 " (%" PRIu64 " to %"
		    PRIu64 "), blocked keys %" PRIu64 " (of %" PRIu64 ")", g,
		    s->delayed, sure, late, s->blocked_keys, blocked);
	}
	want_u("ready", s->ready, depth - flying - s->delayed);
	if (s->oldest_ns != oldest)
		differs("group %d: the oldest is not", g);
}

static void
compare_stats(struct queue *q, int64_t now)
{
	struct queue_stats st;
	uint64_t depth = 0, dead = 0, one;
	size_t groups = 0;

	want_rc("stats", queue_stats(q, &st), 0);
	for (uint64_t i = 0; i < tw->cnt; i++) {
		depth += twin_unfinished(tw, i);
		for (int g = 0; g < TWIN_GROUPS; g++)
			dead += tw->group[g].there &&
			    tw->m[i].cell[g].state == DEAD;
	}
	for (int g = 0; g < TWIN_GROUPS; g++) {
		if (!tw->group[g].there)
			continue;
		groups++;
		for (size_t i = 0; i < st.groups_cnt; i++)
			if (st.groups[i].group == tw->group[g].no)
				compare_stats_of(g, &st.groups[i], now);
		want_rc("depth", queue_depth(q, tw->group[g].no, &one), 0);
		for (uint64_t i = 0; i < tw->cnt; i++)
			one -= tw->m[i].cell[g].state == WAIT ||
			    tw->m[i].cell[g].state == FLYING;
		want_u("depth and what the twin has", one, 0);
	}
	free(st.groups);
	want_u("groups", st.groups_cnt, groups);
	want_u("pushed", st.pushed, tw->cnt);
	want_u("depth", st.depth, depth);
	want_u("dead", st.dead, dead);
	want_u("damaged", st.damaged, 0);
	want_rc("depth", queue_depth(q, 0, &one), 0);
	want_u("plain depth", one, depth);
}

static void
compare_holds(struct queue *q)
{
	struct queue_hold h;

	for (int n = 0; n < TWIN_CLAIMS; n++) {
		const struct twin_claim *k = &tw->claim[n];
		bool fenced;

		if (k->kind == NO_CLAIM || k->cnt == 0 ||
		    !tw->group[k->group].there)
			continue;
		if (!twin_holds(tw, n, k->seqs[0], &fenced))
			continue;
		if (queue_hold(q, tw->group[k->group].no, k->seqs[0], &h) !=
		    1 || h.claim != k->c.no || h.fenced != fenced ||
		    (h.lease_left_ns >= 0) != (k->kind == LEASE))
			differs("how message %" PRIu64 " is held", k->seqs[0]);
	}
}

static void
compare(void)
{
	struct queue *q = any();
	int64_t now = wall_now_ns();
	struct queue_stats st;

	/* What dead holders had is put back by whoever looks. */
	want_rc("stats", queue_stats(q, &st), 0);
	free(st.groups);
	learn_gone();
	for (int g = 0; g < TWIN_GROUPS; g++) {
		if (!tw->group[g].there)
			continue;
		compare_browse(q, g, now);
		compare_dead(q, g);
	}
	compare_stats(q, now);
	compare_holds(q);
}

static void
report(void *arg, const char *text)
{
	(void)arg;
	step("verify: %s", text);
}

static void
verify(struct queue *q)
{
	uint64_t findings = 0;

	step("verify");
	want_rc("verify", queue_verify(q, report, NULL, &findings), 0);
	want_u("findings", findings, 0);
}

#endif /* TESTS_QUEUE_COMPARE_H */
