/*
 * abd_test: the register in a simulated network that delays, holds, loses and
 * repeats, judged by linz.  abd_test [COUNT [SEED]]: that many histories of
 * each kind.  Variants that break one assumption must be found out.
 */

#include "abd.h"

#include <stdio.h>
#include <stdlib.h>

#include "hlc.h"
#include "linz.h"
#include "tap.h"

#define NODES_MAX	5
#define OPS_MAX		16
#define EVENTS_MAX	4096
#define LIMIT		60		/* an operation's patience */

struct variant {
	const char *name;
	bool no_write_back, same_stamps, timeout_fails, eventual, eventual_ok;
	size_t versions;
	bool amnesia;
};

enum what { ASK, ANSWER, KEEP, KEPT, GIVE_UP, BEGIN, GOSSIP, FORGET };

struct event {
	int64_t at;
	enum what what;
	unsigned int from, to;
	size_t op;
	struct dvv entry;
};

struct sim_op {
	unsigned int node;
	bool write, eventual, begun;
	int64_t call, ret;
	int outcome;			/* -1: under way */
	struct abd abd;
	char value[24], result[24];	/* "" is nil */
};

struct sim {
	const struct variant *v;
	uint64_t random;
	unsigned int nodes;
	int64_t now;
	struct dvv store[NODES_MAX + 1];
	struct hlc clock[NODES_MAX + 1];
	uint64_t seq[NODES_MAX + 1];
	struct sim_op ops[OPS_MAX];
	size_t ops_cnt;
	struct event events[EVENTS_MAX];
	size_t events_cnt;
	unsigned int cut;		/* set of nodes apart from the rest */
	int64_t cut_at, heal_at;
};

static uint64_t
draw(struct sim *s, uint64_t below)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random % below;
}

static void
post(struct sim *s, int64_t at, enum what what, unsigned int from,
    unsigned int to, size_t op, const struct dvv *entry)
{
	struct event *e = &s->events[s->events_cnt];

	if (s->events_cnt >= EVENTS_MAX)
		tap_bail("too many events");
	*e = (struct event){ .at = at, .what = what, .from = from, .to = to,
	    .op = op };
	if (entry != NULL && dvv_copy(&e->entry, entry) == -1)
		tap_bail("dvv_copy");
	s->events_cnt++;
}

static void
send_to(struct sim *s, enum what what, unsigned int from, unsigned int to,
    size_t op, const struct dvv *entry)
{
	bool apart = ((s->cut >> from ^ s->cut >> to) & 1) != 0;
	int64_t at = s->now + (from == to ? 0 : 1 + (int64_t)draw(s, 12));

	if (from != to && draw(s, 6) == 0)
		at += (int64_t)draw(s, 50);
	if (apart && s->now >= s->cut_at && s->now < s->heal_at) {
		if (draw(s, 3) == 0)
			return;		/* dropped, not held */
		at = s->heal_at + (int64_t)draw(s, 10);
	}
	post(s, at, what, from, to, op, entry);
	if (from != to && draw(s, 10) == 0)
		post(s, at + (int64_t)draw(s, 20), what, from, to, op, entry);
}

static void
send_all(struct sim *s, enum what what, size_t op, const struct dvv *entry)
{
	unsigned int from = s->ops[op].node;

	for (unsigned int to = 1; to <= s->nodes; to++)
		send_to(s, what, from, to, op, entry);
}

static void
merge(struct sim *s, unsigned int node, const struct dvv *entry)
{
	uint64_t discarded = 0;

	if (dvv_merge(&s->store[node], entry, s->v->versions,
	    &discarded) == -1)
		tap_bail("dvv_merge");
	(void)hlc_take(&s->clock[node], dvv_stamp(entry).hlc, s->now, 1000);
}

static struct dvv_version
version(struct sim *s, const struct sim_op *o, struct stamp above)
{
	struct dvv_version v = { .node = (uint16_t)o->node };

	v.stamp.node = (uint16_t)o->node;
	v.stamp.seq = s->v->same_stamps ? 0 : ++s->seq[o->node];
	v.stamp.hlc = s->v->same_stamps ? above.hlc + 1 :
	    hlc_tick(&s->clock[o->node], s->now);
	if (v.stamp.hlc <= above.hlc)
		v.stamp.hlc = above.hlc + 1;
	if (v.stamp.hlc > s->clock[o->node].last)
		s->clock[o->node].last = v.stamp.hlc;
	v.value = (unsigned char *)(uintptr_t)o->value;
	v.len = strlen(o->value);
	return v;
}

static void
end(struct sim_op *o, int outcome, int64_t at)
{
	o->outcome = outcome;
	o->ret = at;
	if (!o->write && outcome == ABD_OK && o->abd.entry.cnt > 0)
		(void)snprintf(o->result, sizeof(o->result), "%s",
		    (char *)o->abd.entry.versions[0].value);
}

static void
step(struct sim *s, size_t i, int what)
{
	struct sim_op *o = &s->ops[i];
	struct dvv_version v;

	if (what == ABD_CHOOSE) {
		/* Same stamps need that it does not see its other writes. */
		if (!s->v->same_stamps &&
		    abd_join(&o->abd, &s->store[o->node]) == -1)
			tap_bail("abd_join");
		v = version(s, o, dvv_stamp(&o->abd.entry));
		if ((what = abd_choose(&o->abd, &v)) == -1)
			tap_bail("abd_choose");
		merge(s, o->node, &o->abd.entry);
	}
	if (what == ABD_STORE)
		send_all(s, KEEP, i, &o->abd.entry);
	if (what == ABD_DONE)
		end(o, ABD_OK, s->now);
}

static void
begin(struct sim *s, size_t i)
{
	struct sim_op *o = &s->ops[i];
	struct dvv_version v;
	uint64_t discarded = 0;

	o->begun = true;
	o->call = s->now;
	if (o->eventual) {
		v = version(s, o, dvv_stamp(&s->store[o->node]));
		if (dvv_write(&s->store[o->node], NULL, v.node, &v,
		    s->v->versions, &discarded) == -1)
			tap_bail("dvv_write");
		end(o, ABD_OK, s->now);
		send_all(s, GOSSIP, i, &s->store[o->node]);
		return;
	}
	abd_init(&o->abd, s->nodes, o->write, s->v->versions);
	o->abd.no_write_back = s->v->no_write_back;
	send_all(s, ASK, i, NULL);
	post(s, s->now + LIMIT, GIVE_UP, 0, 0, i, NULL);
}

static void
happen(struct sim *s, struct event *e)
{
	struct sim_op *o = &s->ops[e->op];

	switch (e->what) {
	case BEGIN:
		begin(s, e->op);
		break;
	case ASK:
		send_to(s, ANSWER, e->to, e->from, e->op, &s->store[e->to]);
		break;
	case KEEP:
		merge(s, e->to, &e->entry);
		send_to(s, KEPT, e->to, e->from, e->op, NULL);
		break;
	case GOSSIP:
		merge(s, e->to, &e->entry);
		break;
	case ANSWER:
		if (o->outcome == -1)
			step(s, e->op, abd_state(&o->abd, e->from, &e->entry));
		break;
	case KEPT:
		if (o->outcome == -1)
			step(s, e->op, abd_stored(&o->abd, e->from, true));
		break;
	case GIVE_UP:
		if (o->outcome == -1)
			end(o, s->v->timeout_fails ? ABD_REFUSED :
			    (int)abd_give_up(&o->abd), s->now);
		break;
	case FORGET:
		dvv_release(&s->store[e->to]);
		break;
	}
}

static void
run_sim(struct sim *s)
{
	size_t first;
	struct event e;

	while (s->events_cnt > 0) {
		first = 0;
		for (size_t i = 1; i < s->events_cnt; i++)
			if (s->events[i].at < s->events[first].at)
				first = i;
		e = s->events[first];
		/* Keep their order: equal times happen as they were posted. */
		memmove(&s->events[first], &s->events[first + 1],
		    (s->events_cnt - first - 1) * sizeof(e));
		s->events_cnt--;
		s->now = e.at;
		happen(s, &e);
		dvv_release(&e.entry);
	}
}

/* Who does what when: three clients on random nodes, one cut. */
static void
plan(struct sim *s, uint64_t seed)
{
	int64_t free_at[3] = { 0 };

	s->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (int i = 0; i < 8; i++)
		(void)draw(s, 2);
	s->nodes = draw(s, 3) == 0 ? 5 : 3;
	s->cut = (unsigned int)draw(s, 1U << s->nodes) << 1;
	s->cut_at = (int64_t)draw(s, 150);
	s->heal_at = s->cut_at + (int64_t)draw(s, 150);
	s->ops_cnt = 10 + draw(s, 6);
	for (size_t i = 0; i < s->ops_cnt; i++) {
		struct sim_op *o = &s->ops[i];
		size_t client = draw(s, 3);

		o->node = s->v->same_stamps ? 1 + (unsigned int)draw(s, 2) :
		    1 + (unsigned int)draw(s, s->nodes);
		o->write = draw(s, 2) == 0;
		o->eventual = o->write && s->v->eventual && draw(s, 3) == 0;
		o->outcome = -1;
		(void)snprintf(o->value, sizeof(o->value), "v%zu", i);
		post(s, free_at[client] + (int64_t)draw(s, 30), BEGIN, 0, 0,
		    i, NULL);
		free_at[client] += LIMIT + 30 - (int64_t)draw(s, 60);
	}
	if (s->v->amnesia)
		for (unsigned int n = 1; n <= 2; n++)
			post(s, 150, FORGET, 0, n, 0, NULL);
}

/* --- judging --------------------------------------------------------------- */

static uint32_t
value_id(struct op_values *values, const char *text)
{
	uint32_t id = OP_NIL;

	if (text[0] != '\0' &&
	    op_scalar(values, OP_STRING, text, strlen(text), &id) == -1)
		tap_bail("op_scalar");
	return id;
}

static int
by_call(const void *a, const void *b)
{
	const struct op *x = a, *y = b;

	return x->call < y->call ? -1 : x->call > y->call;
}

static enum linz_verdict
judge(const struct sim *s)
{
	struct linz_conf conf = { .model = LINZ_REGISTER,
	    .deadline = MONO_NEVER, .memory_max = 256 << 20 };
	enum linz_verdict verdict;
	struct linz_result r;
	struct op_history h = { .timed = true };
	struct op ops[OPS_MAX] = { 0 }, *p;

	h.values = op_values_open();
	h.ops = ops;
	for (size_t i = 0; i < s->ops_cnt; i++) {
		const struct sim_op *o = &s->ops[i];

		p = &ops[h.cnt];
		*p = (struct op){ .call = o->call, .ret = o->ret,
		    .proc = value_id(h.values, o->value), .class = OP_OK };
		p->f = value_id(h.values, o->write ? "write" : "read");
		p->arg = o->write ? value_id(h.values, o->value) : OP_NIL;
		p->result = value_id(h.values, o->result);
		if (o->outcome == ABD_REFUSED)
			p->class = OP_FAIL;
		if (o->outcome == ABD_UNKNOWN ||
		    (o->eventual && !s->v->eventual_ok))
			p->class = OP_INFO;
		if (p->class == OP_INFO)
			p->ret = OP_NEVER;
		h.cnt++;
	}
	qsort(ops, h.cnt, sizeof(*ops), by_call);
	if (linz_judge(&h, &conf, &r) == -1)
		tap_bail("linz_judge");
	verdict = r.verdict;
	linz_release(&r);
	op_values_close(h.values);
	return verdict;
}

/* How many of count histories have no order; in *converged, how many ended
 * with equal replicas once all had heard of all. */
static unsigned int
violations(const struct variant *v, unsigned int count, uint64_t seed,
    unsigned int *diverged)
{
	static struct sim s;
	unsigned int bad = 0;

	*diverged = 0;
	for (unsigned int i = 0; i < count; i++) {
		memset(&s, 0, sizeof(s));
		s.v = v;
		plan(&s, seed + i);
		run_sim(&s);
		if (judge(&s) != LINZ_YES)
			bad++;
		/* One round of everybody to everybody, in any order. */
		for (unsigned int a = 1; a <= s.nodes; a++)
			for (unsigned int b = s.nodes; b >= 1; b--)
				merge(&s, b, &s.store[a]);
		for (unsigned int a = 1; a < s.nodes; a++)
			merge(&s, a, &s.store[s.nodes]);
		for (unsigned int a = 2; a <= s.nodes; a++)
			if (dvv_digest(&s.store[a], "k", 1) !=
			    dvv_digest(&s.store[1], "k", 1)) {
				(*diverged)++;
				break;
			}
		for (unsigned int a = 1; a <= s.nodes; a++)
			dvv_release(&s.store[a]);
		for (size_t k = 0; k < s.ops_cnt; k++)
			abd_release(&s.ops[k].abd);
	}
	return bad;
}

static void
test_variants(unsigned int count, uint64_t seed)
{
	static const struct variant sound[] = {
		{ .name = "one version", .versions = 1 },
		{ .name = "siblings", .versions = DVV_VERSIONS_MAX },
		{ .name = "eventual writes as indeterminate", .versions = 1,
		    .eventual = true },
		{ .name = "the same with siblings", .eventual = true,
		    .versions = DVV_VERSIONS_MAX },
	}, broken[] = {
		{ .name = "no write-back", .versions = 1,
		    .no_write_back = true },
		{ .name = "stamps used twice", .versions = 1,
		    .same_stamps = true },
		{ .name = "a timeout recorded as a failure", .versions = 1,
		    .timeout_fails = true },
		{ .name = "eventual writes recorded as done", .versions = 1,
		    .eventual = true, .eventual_ok = true },
		{ .name = "two replicas that forget", .versions = 1,
		    .amnesia = true },
	};
	unsigned int bad, diverged;

	for (size_t i = 0; i < sizeof(sound) / sizeof(*sound); i++) {
		bad = violations(&sound[i], count, seed, &diverged);
		is_uint(bad, 0, "%s: %u histories, seed %ju: all linearizable",
		    sound[i].name, count, (uintmax_t)seed);
		is_uint(diverged, 0, "%s: replicas agree in the end",
		    sound[i].name);
	}
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		bad = violations(&broken[i], count, seed, &diverged);
		ok(bad > 0, "%s: %u of %u histories, seed %ju, are not "
		    "linearizable", broken[i].name, bad, count,
		    (uintmax_t)seed);
	}
}

/* --- single steps ---------------------------------------------------------- */

static void
test_steps(void)
{
	struct dvv old = { 0 }, new = { 0 };
	struct dvv_version v = { .node = 1, .stamp = { 10, 1, 1 },
	    .value = (unsigned char *)(uintptr_t)"x", .len = 1 };
	uint64_t discarded = 0;
	struct abd a;

	is_uint(abd_majority(5), 3, "three of five");
	is_uint(abd_majority(4), 3, "three of four");
	is_int(dvv_write(&old, NULL, 1, &v, 1, &discarded), 0, "a version");
	v.stamp.hlc = 20;
	is_int(dvv_copy(&new, &old), 0, "a copy");
	is_int(dvv_write(&new, NULL, 1, &v, 1, &discarded), 0, "a newer one");

	abd_init(&a, 3, false, 1);
	is_int(abd_state(&a, 1, &old), ABD_WAIT, "one of three is too few");
	is_int(abd_state(&a, 1, &old), ABD_WAIT, "the same again too");
	is_int(abd_state(&a, 9, &old), ABD_WAIT, "so is a stranger");
	is_int(abd_state(&a, 2, &old), ABD_DONE, "two that agree will do");
	abd_release(&a);

	abd_init(&a, 3, false, 1);
	(void)abd_state(&a, 1, &old);
	is_int(abd_state(&a, 3, &new), ABD_STORE, "two that differ: write back");
	is_int(abd_give_up(&a), ABD_REFUSED, "a read is never indeterminate");
	is_uint(a.entry.versions[0].stamp.hlc, 20, "the newer one");
	is_int(abd_stored(&a, 1, true), ABD_WAIT, "one has it");
	is_int(abd_stored(&a, 1, true), ABD_WAIT, "one says it twice");
	is_int(abd_stored(&a, 2, true), ABD_DONE, "two have it");
	abd_release(&a);

	abd_init(&a, 3, true, 1);
	is_int(abd_give_up(&a), ABD_REFUSED, "a write that only asked");
	(void)abd_state(&a, 1, &old);
	is_int(abd_state(&a, 2, &old), ABD_CHOOSE, "now it may choose");
	v.stamp.hlc = 30;
	is_int(abd_choose(&a, &v), ABD_STORE, "and store");
	is_int(abd_give_up(&a), ABD_UNKNOWN, "a write that may be out there");
	is_int(abd_stored(&a, 3, false), ABD_WAIT, "one declines");
	is_int(abd_stored(&a, 2, false), ABD_FAILED, "two decline");
	abd_release(&a);
	dvv_release(&old);
	dvv_release(&new);
}

int
main(int argc, char *argv[])
{
	unsigned int count = argc > 1 ?
	    (unsigned int)strtoul(argv[1], NULL, 10) : 4000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	test_steps();
	test_variants(count, seed);
	return tap_end();
}
