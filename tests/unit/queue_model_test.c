/*
 * queue: random operations on a queue and on its naive twin (queue_twin.h);
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
#include <setjmp.h>
#include <time.h>

#include "clock.h"
#include "queue.h"
#include "queue_priv.h"
#include "queue_twin.h"
#include "tap.h"

#define HANDLES		3
#define BATCH		5
#define BUSY_MAX	120	/* unfinished messages: push no more */
#define SETTLE_NS	INT64_C(50000000)	/* a due time is not so near */
#define STEPS_SHOWN	25
#define PAYLOAD_MAX	3000U

static struct twin *tw;
static struct queue *handles[HANDLES];
static char path[512], boot[32];
static uint64_t seed;
static unsigned int steps, boots;
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

/* --- pushing ------------------------------------------------------------------------------ */

static uint64_t
count_key(int key)
{
	uint64_t most = 0, n;

	for (int g = 0; g < TWIN_GROUPS; g++) {
		n = 0;
		for (uint64_t i = 0; tw->group[g].there && i < tw->cnt; i++)
			n += tw->m[i].key == key && (tw->m[i].cell[g].claim !=
			    0 || tw->m[i].cell[g].state == WAIT);
		if (most < n)
			most = n;
	}
	return most;
}

static uint64_t
used(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < tw->cnt; i++) {
		n += twin_unfinished(tw, i);
		for (int g = 0; g < TWIN_GROUPS; g++)
			n += tw->group[g].there &&
			    tw->m[i].cell[g].state == DEAD;
	}
	return n;
}

/* What a push must do: the errno, and seqs; the kept ones go to add. */
static int
judge_push(struct twin_message *add, size_t cnt, size_t *kept, uint64_t *seqs)
{
	uint64_t per_key[TWIN_KEYS], ids[TWIN_IDS];

	if (tw->closed)
		return ESHUTDOWN;
	if (tw->max_messages != 0 && cnt > tw->max_messages)
		return EMSGSIZE;
	if (tw->max_messages != 0 && used() + cnt > tw->max_messages)
		return EAGAIN;
	for (int k = 0; k < TWIN_KEYS; k++)
		per_key[k] = count_key(k);
	memset(ids, 0xff, sizeof(ids));
	*kept = 0;
	for (size_t i = 0; i < cnt; i++) {
		int id = add[i].id, key = add[i].key;

		if (id >= 0 && tw->dedup_count > 0) {
			if (tw->id_no[id] != 0 && tw->ids + 1 -
			    tw->id_no[id] <= tw->dedup_count) {
				seqs[i] = tw->id_seq[id];
				continue;
			}
			if (ids[id] != UINT64_MAX) {
				seqs[i] = ids[id];
				continue;
			}
			ids[id] = tw->cnt + *kept;
		}
		if (tw->max_per_key != 0 && key >= 0 &&
		    per_key[key]++ >= tw->max_per_key)
			return EAGAIN;
		seqs[i] = tw->cnt + *kept;
		add[(*kept)++] = add[i];
	}
	return 0;
}

static void
add_messages(const struct twin_message *add, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		tw->m[tw->cnt] = add[i];
		if (add[i].id >= 0) {
			tw->id_no[add[i].id] = ++tw->ids;
			tw->id_seq[add[i].id] = tw->cnt;
		}
		tw->cnt++;
	}
	for (int g = 0; cnt > 0 && g < TWIN_GROUPS; g++)
		tw->group[g].scanned = false;
}

/* The payload says the number the message will have, if it is kept. */
static void
make_batch(struct queue_batch *b, const struct twin_message *add, size_t cnt,
    const uint64_t *seqs)
{
	static unsigned char payload[PAYLOAD_MAX];
	char id[16];

	for (size_t i = 0; i < cnt; i++) {
		struct queue_message m = { .payload = payload,
			.payload_len = add[i].len, .due_ns = add[i].due };

		payload_of(seqs[i], payload, add[i].len);
		if (add[i].key >= 0) {
			m.key = keys[add[i].key];
			m.key_len = strlen(keys[add[i].key]);
		}
		(void)snprintf(id, sizeof(id), "id%d", add[i].id);
		if (add[i].id >= 0) {
			m.id = id;
			m.id_len = strlen(id);
		}
		if (queue_batch_add(b, &m) == -1)
			tap_bail("queue_batch_add");
	}
}

static int64_t
some_due(void)
{
	int64_t now = wall_now_ns();

	switch (rnd(20)) {
	case 0:
	case 1:
		return now - (int64_t)rnd(1000000000);
	case 2:
		return now + INT64_C(3600000000000);
	case 3:
		return chance(30) ? now + 2 * SETTLE_NS : 0;
	default:
		return 0;
	}
}

static size_t
some_messages(struct twin_message *add, bool ids)
{
	size_t cnt = 1 + rnd(BATCH);

	memset(add, 0, BATCH * sizeof(*add));
	for (size_t i = 0; i < cnt; i++) {
		add[i].key = chance(60) ? (int)rnd(TWIN_KEYS) : -1;
		add[i].id = ids && chance(50) ? (int)rnd(TWIN_IDS) : -1;
		add[i].len = rnd(chance(10) ? PAYLOAD_MAX : 60);
		add[i].due = some_due();
	}
	return cnt;
}

static void
push_more(struct queue *q, struct queue_batch *b)
{
	struct twin_message add[BATCH];
	struct queue_pushed p;
	uint64_t seqs[BATCH], first = tw->cnt;
	bool abandon = chance(25);
	size_t cnt;

	step("push -A%s", abandon ? ", abandoned" : "");
	for (int i = 0; i < 3; i++) {
		queue_batch_clear(b);
		cnt = some_messages(add, false);
		for (size_t n = 0; n < cnt; n++)
			seqs[n] = tw->cnt + n;
		make_batch(b, add, cnt, seqs);
		add_messages(add, cnt);
		if (i == 2 && abandon)
			break;
		want_rc("push", queue_push(q, b, i < 2 ? QUEUE_PUSH_MORE : 0,
		    &p, NULL), 0);
	}
	if (abandon) {
		queue_push_abandon(q);
		tw->cnt = first;
	} else {
		want_rc("commit", queue_push_commit(q, &p), 0);
	}
}

static void
op_push(void)
{
	struct twin_message add[BATCH];
	struct queue *q = any();
	struct queue_batch b;
	struct queue_pushed p;
	uint64_t seqs[BATCH], got[BATCH];
	size_t cnt, all, kept = 0, unfinished = 0;
	int flags = chance(20) ? QUEUE_PUSH_NOSYNC : 0, want;

	for (uint64_t i = 0; i < tw->cnt; i++)
		unfinished += twin_unfinished(tw, i);
	if (unfinished > BUSY_MAX || tw->cnt + 4 * BATCH > TWIN_MESSAGES)
		return;
	queue_batch_init(&b);
	if (chance(8) && !tw->closed && tw->max_messages == 0 &&
	    tw->max_per_key == 0) {
		push_more(q, &b);
		queue_batch_release(&b);
		return;
	}
	all = cnt = some_messages(add, chance(40));
	for (size_t i = 0; i < cnt; i++)
		seqs[i] = i;
	/* The twin says which numbers they get, and squeezes add. */
	{
		struct twin_message asked[BATCH];

		memcpy(asked, add, sizeof(asked));
		want = judge_push(add, cnt, &kept, seqs);
		make_batch(&b, asked, cnt, seqs);
	}
	step("push %zu, %zu new, from %" PRIu64 "%s: %s", all, kept, tw->cnt,
	    flags != 0 ? " -S" : "", want == 0 ? "done" : strerror(want));
	want_rc("push", queue_push(q, &b, flags, &p, got), want);
	if (want == 0) {
		want_u("stored", p.stored, kept);
		if (kept > 0)
			want_u("first number", p.seq, tw->cnt);
		for (size_t i = 0; i < all; i++)
			want_u("number", got[i], seqs[i]);
		if (flags == 0 || kept == 0)
			want_rc("commit", queue_push_commit(q, &p), 0);
		add_messages(add, kept);
	}
	queue_batch_release(&b);
}

/* --- taking and settling --------------------------------------------------------------------- */

static int
free_claim(void)
{
	for (int n = 0; n < TWIN_CLAIMS; n++)
		if (tw->claim[n].kind == NO_CLAIM)
			return n;
	return -1;
}

static int
some_claim(enum claim_kind a, enum claim_kind b)
{
	int at = (int)rnd(TWIN_CLAIMS);

	for (int n = 0; n < TWIN_CLAIMS; n++, at = (at + 1) % TWIN_CLAIMS)
		if (tw->claim[at].kind == a || tw->claim[at].kind == b)
			return at;
	return -1;
}

static void
drop_claim(int n)
{
	queue_claim_release(&tw->claim[n].c);
	tw->claim[n].kind = NO_CLAIM;
	tw->claim[n].cnt = 0;
}

/* Hand over the next message of the claim: it is the twin's.  What was purged
 * meanwhile may be gone. */
static bool
read_next(struct queue *q, struct twin_claim *k)
{
	struct queue_message m;
	int got = queue_claim_next(q, &k->c, &m);

	want_rc("claim_next", got, 0);
	while (k->handed < k->cnt && tw->m[k->seqs[k->handed]].gone &&
	    (got == 0 || k->seqs[k->handed] != m.seq))
		k->handed++;
	if (got == 0) {
		want_u("handed over", k->handed, k->cnt);
		return false;
	}
	if (k->handed == k->cnt || m.seq != k->seqs[k->handed]) {
		for (size_t i = 0; i < k->c.extents_cnt; i++)
			step("extent %" PRIu64 "+%" PRIu64 " at %" PRIu64
			    " to %" PRIu64, k->c.extents[i].seq,
			    k->c.extents[i].count, k->c.extents[i].pos,
			    k->c.extents[i].end);
		differs("handed over %" PRIu64 " as number %zu of %zu", m.seq,
		    k->handed, k->cnt);
	}
	same_message(&m);
	k->handed++;
	return true;
}

static void
check_again(int g, int64_t again, int64_t now)
{
	int64_t want = 0, due;

	for (uint64_t i = 0; i < tw->cnt && !tw->paused; i++) {
		due = twin_due(tw, g, i);
		if (tw->m[i].cell[g].state == WAIT && due > now &&
		    leads(g, i) && (want == 0 || due < want))
			want = due;
	}
	if (again != want)
		differs("again in %" PRId64 " ns, want %" PRId64,
		    again == 0 ? 0 : again - now, want == 0 ? 0 : want - now);
}

static void
how_to_take(struct queue_take *how, struct twin_claim *k)
{
	k->kind = STREAM + (enum claim_kind)rnd(3);
	*how = (struct queue_take){
		.max_messages = 1 + rnd(8),
		.max_bytes = chance(15) ? 1 : UINT64_C(1) << 30,
		.single = k->kind != STREAM || chance(30),
		.run = k->kind == RUN,
		.at_most_once = k->kind != LEASE && chance(20),
		.tries = k->kind == RUN ? rnd(4) : 0,
		.lease_ns = k->kind != LEASE ? 0 : chance(15) ? 1 :
		    INT64_C(3600000000000),
	};
	if (chance(20)) {
		how->parts = 1 + (unsigned int)rnd(3);
		how->part = 1 + (unsigned int)rnd(how->parts);
	}
}

static size_t
numbers_of(const struct queue_claim *c, uint64_t *seqs)
{
	size_t n = 0;

	for (size_t x = 0; x < c->extents_cnt; x++)
		for (uint64_t i = 0; i < c->extents[x].count; i++) {
			if (n == TWIN_MESSAGES)
				differs("a claim without end");
			seqs[n++] = c->extents[x].seq + i;
		}
	return n;
}

/* The twin takes what the engine took. */
static void
took(int n, const struct queue_claim *c, const uint64_t *seqs, size_t cnt)
{
	struct twin_claim *k = &tw->claim[n];
	size_t at = 0;

	for (size_t x = 0; x < c->extents_cnt; x++)
		for (uint64_t i = 0; i < c->extents[x].count; i++, at++)
			want_u("attempt", c->extents[x].attempt,
			    tw->m[seqs[at]].cell[k->group].tries + 1);
	k->cnt = k->handed = 0;
	for (size_t i = 0; i < cnt; i++)
		twin_claim(tw, n, seqs[i]);
}

static void
op_take(void)
{
	static uint64_t want[TWIN_MESSAGES], seqs[TWIN_MESSAGES];
	int n = free_claim(), g = any_group(), h = (int)rnd(HANDLES), got;
	int64_t now = wall_now_ns(), again;
	const char *wrong = NULL;
	struct twin_claim *k = &tw->claim[n == -1 ? 0 : n];
	struct queue_take how;
	size_t cnt = 0, wanted = 0;

	if (n == -1)
		return;
	how_to_take(&how, k);
	k->group = g;
	k->handle = h;
	k->acked = how.at_most_once;
	step("take %s%s from %d by %d: at most %" PRIu64 "%s%s%s, tries %"
	    PRIu64 ", part %u/%u", k->kind == STREAM ? "stream" :
	    k->kind == RUN ? "run" : "lease", how.lease_ns == 1 ? ", short" :
	    "", g, h, how.max_messages, how.max_bytes == 1 ? ", one byte" : "",
	    how.single ? ", single" : "", how.at_most_once ? ", once" : "",
	    how.tries, how.part, how.parts);
	got = queue_take(handles[h], tw->group[g].no, &how, &k->c, &again);
	want_rc("take", got, 0);
	if (got == 1)
		cnt = numbers_of(&k->c, seqs);
	if (how.single && !tw->paused) {
		wanted = twin_take(tw, g, &how, now, in_part, want);
		if (cnt != wanted || memcmp(seqs, want, cnt * sizeof(*seqs)) !=
		    0)
			wrong = "not the earliest";
	} else if (!tw->paused) {
		wrong = twin_judge_stream(tw, g, &how, now, in_part, seqs,
		    cnt);
	} else if (cnt > 0) {
		wrong = "something, though it is paused";
	}
	for (size_t i = 0; wrong != NULL && i < cnt; i++)
		step("took %" PRIu64, seqs[i]);
	for (size_t i = 0; wrong != NULL && i < wanted; i++)
		step("want %" PRIu64, want[i]);
	if (wrong != NULL)
		differs("taken: %s", wrong);
	if (cnt < how.max_messages && how.max_bytes != 1 && !tw->paused)
		tw->group[g].scanned = true;
	if (got == 0) {
		k->kind = NO_CLAIM;
		if (how.parts == 0)
			check_again(g, again, now);
		return;
	}
	took(n, &k->c, seqs, cnt);
	while (k->kind != STREAM && read_next(handles[h], k))
		;
	if (how.lease_ns == 1) {
		twin_holder_died(tw, n);	/* it has ended already */
		drop_claim(n);
	}
}

static void
settle_stream(int n)
{
	struct twin_claim *k = &tw->claim[n];
	struct queue *q = handles[k->handle];
	uint64_t spare = chance(30) ? rnd(3) : 0;
	size_t more = chance(60) ? TWIN_MESSAGES : rnd(4), acked;
	bool stale = false, fenced;

	while (more-- > 0 && read_next(q, k))
		;
	acked = k->handed > spare ? k->handed - spare : 0;
	step("settle claim %d: %zu of %zu handed over, spare %" PRIu64, n,
	    k->handed, k->cnt, spare);
	for (size_t i = 0; i < k->cnt; i++) {
		bool ours = twin_holds(tw, n, k->seqs[i], &fenced);

		stale = stale || !ours || fenced;
		if (ours && i < acked && !fenced)
			twin_ack(tw, k->group, k->seqs[i]);
		else if (ours)
			twin_back(tw, k->group, k->seqs[i], false, 0);
	}
	want_rc("settle", queue_settle(q, &k->c, spare), stale ? ESTALE : 0);
	drop_claim(n);
}

static void
some_fate(struct queue_fate *f, uint64_t seq)
{
	static const enum queue_fate_kind kinds[] = { QUEUE_ACK, QUEUE_ACK,
		QUEUE_BACK, QUEUE_RETRY, QUEUE_RETRY_UNCOUNTED, QUEUE_DIE };

	*f = (struct queue_fate){ .seq = seq, .kind = kinds[rnd(6)],
		.status = 1, .reason = "rejected", .output = "words",
		.output_len = 5 };
	if (f->kind == QUEUE_RETRY || f->kind == QUEUE_RETRY_UNCOUNTED)
		f->due_ns = some_due();
}

static void
suffer(int n, const struct queue_fate *f)
{
	struct twin_claim *k = &tw->claim[n];
	struct cell *c = &tw->m[f->seq].cell[k->group];

	if (c->acked) {
		twin_back(tw, k->group, f->seq, false, 0);
		return;
	}
	switch (f->kind) {
	case QUEUE_ACK:
		twin_ack(tw, k->group, f->seq);
		break;
	case QUEUE_DIE:
		twin_die(tw, k->group, f->seq, c->claim_tries +
		    (k->kind == RUN));
		break;
	default:
		twin_back(tw, k->group, f->seq, f->kind == QUEUE_RETRY,
		    f->kind == QUEUE_BACK ? 0 : f->due_ns);
	}
}

static void
settle_each(int n)
{
	struct twin_claim *k = &tw->claim[n];
	struct queue_fate fates[TWIN_CLAIMS];
	size_t cnt = 0, left = 0;
	bool stale = false, fenced;

	for (size_t i = 0; i < k->cnt; i++) {
		if (chance(30)) {
			k->seqs[left++] = k->seqs[i];
			continue;
		}
		some_fate(&fates[cnt], k->seqs[i]);
		if (!twin_holds(tw, n, k->seqs[i], &fenced)) {
			stale = true;
		} else if (fenced) {
			stale = true;
			twin_back(tw, k->group, k->seqs[i], false, 0);
		} else {
			suffer(n, &fates[cnt]);
		}
		step("claim %d: fate %d of %" PRIu64, n, (int)fates[cnt].kind,
		    k->seqs[i]);
		cnt++;
	}
	if (cnt == 0)
		return;
	k->cnt = left;
	want_rc("settle_each", queue_settle_each(any(), &k->c, fates, cnt),
	    stale ? ESTALE : 0);
	if (left == 0)
		drop_claim(n);
}

static void
op_settle(void)
{
	int n = some_claim(STREAM, RUN);

	if (n == -1)
		return;
	if (tw->claim[n].kind == STREAM)
		settle_stream(n);
	else
		settle_each(n);
}

static void
op_receipt(void)
{
	int n = some_claim(LEASE, LEASE);
	struct twin_claim *k = &tw->claim[n == -1 ? 0 : n];
	char receipt[QUEUE_RECEIPT_MAX];
	struct queue_message m;
	struct queue_fate f;
	bool good, fenced;
	size_t at;

	if (n == -1 || k->cnt == 0)
		return;
	at = rnd(k->cnt);
	m.seq = k->seqs[at];
	good = twin_holds(tw, n, m.seq, &fenced) && !fenced;
	queue_receipt(any(), &k->c, &m, receipt);
	if (chance(25)) {
		int64_t ns = chance(30) ? 1 : INT64_C(7200000000000);

		step("extend %s by %" PRId64 " ns", receipt, ns);
		want_rc("extend", queue_receipt_extend(any(), receipt, ns),
		    good ? 0 : ESTALE);
		if (good && ns == 1)
			twin_back(tw, k->group, m.seq, true, 0);
		return;
	}
	some_fate(&f, m.seq);
	step("receipt %s: fate %d", receipt, (int)f.kind);
	if (good)
		suffer(n, &f);
	want_rc("receipt_settle", queue_receipt_settle(any(), receipt, &f),
	    good ? 0 : ESTALE);
	want_rc("the same receipt", queue_receipt_settle(any(), receipt, &f),
	    ESTALE);
	k->seqs[at] = k->seqs[--k->cnt];
	if (k->cnt == 0)
		drop_claim(n);
}

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
