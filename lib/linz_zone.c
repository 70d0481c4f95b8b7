/*
 * linz_zone: registers whose values are written once, in O(n log n).
 *
 * The write of a value and the reads of it are its cluster.  It must hold the
 * register from its first return f to its last call s when f < s (a forward
 * zone); otherwise all its operations overlap and any point of [s, f] will do
 * (a backward zone).  There is an order exactly when no read ends before its
 * write begins, no two forward zones overlap, and no backward zone lies inside
 * a forward one.  The initial value is written before all else.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

#define NONE		UINT32_MAX

struct zone {
	int64_t f, s;			/* first return, last call */
	int64_t at;			/* where the cluster goes in an order */
	uint32_t write;			/* NONE: the initial value */
	uint32_t first, last;		/* ops with that return, that call */
	uint32_t reads;			/* how many */
};

struct zones {
	const struct linz_prob *p;
	struct linz_out *o;
	struct zone *z;
	size_t cnt;
	uint32_t *of;			/* by op: its zone */
};

static bool
forward(const struct zone *z)
{
	return z->f < z->s;
}

/* The verdict is no; these ops show it (NONE is left out, doubles too). */
static int
convict(struct zones *x, const uint32_t *ops, size_t cnt)
{
	struct linz_out *o = x->o;

	o->verdict = LINZ_NO;
	o->seed = calloc(cnt + 1, sizeof(*o->seed));
	if (o->seed == NULL)
		return -1;
	o->seed_cnt = 0;
	for (size_t i = 0; i < cnt; i++) {
		bool there = ops[i] == NONE;

		for (size_t j = 0; j < o->seed_cnt && !there; j++)
			there = o->seed[j] == ops[i];
		if (!there)
			o->seed[o->seed_cnt++] = ops[i];
	}
	return 1;
}

static int
convict_zones(struct zones *x, const struct zone *a, const struct zone *b)
{
	const uint32_t ops[] = { a->write, a->first, a->last, b->write,
	    b->first, b->last };

	return convict(x, ops, sizeof(ops) / sizeof(*ops));
}

static bool
applies(const struct linz_prob *p)
{
	if (p->keys != 1 || (p->model != LINZ_REGISTER &&
	    p->model != LINZ_CAS_REGISTER && p->model != LINZ_KV))
		return false;
	for (size_t i = 0; i < p->cnt; i++)
		if (p->ops[i].f != LINZ_READ && p->ops[i].f != LINZ_WRITE)
			return false;
	return true;
}

static void
widen(const struct linz_prob *p, struct zone *z, uint32_t op)
{
	if (z->first == NONE || p->ops[op].ret < z->f) {
		z->f = p->ops[op].ret;
		z->first = op;
	}
	if (z->last == NONE || p->ops[op].call > z->s) {
		z->s = p->ops[op].call;
		z->last = op;
	}
}

/* The slot of a value in a table of zone + 1, 0 is free. */
static size_t
slot(const struct zones *x, const uint32_t *table, size_t mask, uint32_t value)
{
	size_t at = (value * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;

	for (; table[at] != 0; at = (at + 1) & mask) {
		uint32_t w = x->z[table[at] - 1].write;

		if (value == (w == NONE ? x->p->init : x->p->ops[w].a))
			break;
	}
	return at;
}

/* Add a read to its cluster: 1, or convict(). */
static int
add_read(struct zones *x, uint32_t op, uint32_t zone)
{
	const struct linz_op *o = &x->p->ops[op];
	struct zone *z = &x->z[zone];
	const uint32_t ops[] = { z->write, op };

	x->of[op] = zone;
	z->reads++;
	if (z->write == NONE) {
		if (z->last == NONE || o->call > z->s) {
			z->s = o->call;
			z->last = op;
		}
		return 1;
	}
	widen(x->p, z, op);
	return o->ret >= x->p->ops[z->write].call ? 1 : convict(x, ops, 2);
}

/* Make the clusters: 1, 0 a value is written twice, -1. */
static int
cluster(struct zones *x, uint32_t *table, size_t mask)
{
	const struct linz_prob *p = x->p;
	size_t at;
	int rc = 1;

	x->z[0] = (struct zone){ INT64_MIN, INT64_MIN, 0, NONE, NONE, NONE, 0 };
	x->cnt = 1;
	table[slot(x, table, mask, p->init)] = 1;
	for (uint32_t i = 0; i < p->cnt; i++) {
		if (p->ops[i].f != LINZ_WRITE)
			continue;
		at = slot(x, table, mask, p->ops[i].a);
		if (table[at] != 0)
			return 0;
		x->of[i] = (uint32_t)x->cnt;
		x->z[x->cnt] = (struct zone){ .write = i, .first = NONE,
		    .last = NONE };
		widen(p, &x->z[x->cnt++], i);
		table[at] = (uint32_t)x->cnt;
	}
	for (uint32_t i = 0; rc == 1 && i < p->cnt; i++) {
		if (p->ops[i].f != LINZ_READ)
			continue;
		at = slot(x, table, mask, p->ops[i].a);
		rc = table[at] == 0 ? convict(x, &i, 1) :
		    add_read(x, i, table[at] - 1);
		if (x->o->seed != NULL)
			break;
	}
	return rc;
}

static int
by_f(const void *a, const void *b)
{
	const struct zone *x = a, *y = b;

	if (forward(x) != forward(y))
		return forward(x) ? -1 : 1;
	return x->f < y->f ? -1 : x->f > y->f;
}

static int
by_at(const void *a, const void *b)
{
	const struct zone *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	/* A backward zone has its calls behind it, a forward one may not. */
	return forward(x) - forward(y);
}

/*
 * The forward zone a backward one [s, f] touches first: the last whose f is
 * not beyond s, if it lasts beyond s.
 */
static size_t
around(const struct zones *x, size_t forwards, int64_t s)
{
	size_t lo = 0, hi = forwards;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->z[mid].f < s)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == 0 || x->z[lo - 1].s <= s ? SIZE_MAX : lo - 1;
}

static int
check(struct zones *x)
{
	size_t forwards = 0, in;
	int64_t when = OP_NEVER, then;
	size_t a = 0, b = 0;

	while (forwards < x->cnt && forward(&x->z[forwards]))
		forwards++;
	for (size_t i = 0; i < x->cnt; i++) {
		struct zone *z = &x->z[i];

		z->at = z->f;
		in = i - 1;
		if (i == 0 || (i < forwards && z[-1].s <= z->f))
			continue;
		if (i >= forwards) {
			z->at = z->s;
			in = around(x, forwards, z->s);
			if (in == SIZE_MAX)
				continue;
			z->at = x->z[in].s;
			if (x->z[in].s <= z->f)
				continue;
		}
		/* Of all conflicts the one that was complete first. */
		then = z->s > x->z[in].s ? z->s : x->z[in].s;
		if (then < when) {
			when = then;
			a = in;
			b = i;
		}
	}
	if (when != OP_NEVER)
		return convict_zones(x, &x->z[a], &x->z[b]);
	x->o->verdict = LINZ_YES;
	return 1;
}

/* Clusters by place, in each the write and then the reads by call. */
static int
order(struct zones *x)
{
	const struct linz_prob *p = x->p;
	uint32_t *start, sum = 0, *map;

	qsort(x->z, x->cnt, sizeof(*x->z), by_at);
	start = calloc(x->cnt + 1, sizeof(*start));
	map = calloc(p->cnt + 1, sizeof(*map));
	x->o->order = calloc(p->cnt + 1, sizeof(*x->o->order));
	if (start == NULL || map == NULL || x->o->order == NULL) {
		free(start);
		free(map);
		return -1;
	}
	/* Where each cluster went: by its write, reads through x->of's old
	 * number, which the write of the same value has too. */
	for (size_t i = 0; i < x->cnt; i++) {
		bool drop = x->z[i].write != NONE && x->z[i].reads == 0 &&
		    p->ops[x->z[i].write].optional;

		map[x->z[i].write == NONE ? 0 : x->of[x->z[i].write]] =
		    (uint32_t)i;
		start[i] = sum;
		if (x->z[i].write != NONE && !drop)
			x->o->order[start[i]++] = x->z[i].write;
		sum += x->z[i].reads + (x->z[i].write != NONE && !drop);
	}
	for (uint32_t i = 0; i < p->cnt; i++)
		if (p->ops[i].f == LINZ_READ)
			x->o->order[start[map[x->of[i]]]++] = i;
	x->o->order_cnt = sum;
	free(start);
	free(map);
	return 1;
}

/* A write that may never have happened and that nobody read is left out. */
static void
drop_unread(struct zones *x)
{
	size_t cnt = 0;

	for (size_t i = 0; i < x->cnt; i++) {
		const struct zone *z = &x->z[i];

		if (z->write == NONE ? z->reads == 0 : z->reads == 0 &&
		    x->p->ops[z->write].optional)
			continue;
		x->z[cnt++] = *z;
	}
	x->cnt = cnt;
}

int
linz_zone(const struct linz_prob *p, struct linz_out *o)
{
	struct zones x = { .p = p, .o = o };
	uint32_t *table;
	size_t mask = 4;
	int rc = -1;

	if (!applies(p))
		return 0;
	while (mask < p->cnt * 2)
		mask *= 2;
	table = calloc(mask, sizeof(*table));
	x.z = calloc(p->cnt + 1, sizeof(*x.z));
	x.of = calloc(p->cnt + 1, sizeof(*x.of));
	if (table != NULL && x.z != NULL && x.of != NULL)
		rc = cluster(&x, table, mask - 1);
	free(table);
	if (rc == 1 && o->seed == NULL) {
		drop_unread(&x);
		qsort(x.z, x.cnt, sizeof(*x.z), by_f);
		rc = check(&x);
		if (rc == 1 && o->verdict == LINZ_YES && o->want_order)
			rc = order(&x);
	}
	free(x.z);
	free(x.of);
	return rc;
}
