/*
 * queue_work: random pushes, takes and settlements, of a queue and of its twin.
 *
 * Use:     included by one test program only.
 */
#ifndef TESTS_QUEUE_WORK_H
#define TESTS_QUEUE_WORK_H

#include "clock.h"
#include "queue.h"
#include "queue_compare.h"
#include "queue_twin.h"
#include "tap.h"

#define BATCH		5
#define BUSY_MAX	120	/* unfinished messages: push no more */
#define SETTLE_NS	INT64_C(50000000)	/* a due time is not so near */

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

#endif /* TESTS_QUEUE_WORK_H */
