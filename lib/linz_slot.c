/*
 * linz_slot: logs of distinct items and sets that only grow, in O(n log n)
 * and the length of all reads.
 *
 * The reads themselves tell the order: of a log each must be a beginning of
 * the longest, of a set each must hold the next smaller one.  So every
 * operation belongs into a numbered slot: reads of one length or content, what
 * was added between two of them, and what no read holds behind them all.
 * There is an order exactly when no operation returned before one of an
 * earlier slot was called.  An add of an element that has another add only has
 * to come after the reads without it.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

#define NONE		UINT32_MAX

struct elem {				/* an item or element that was added */
	uint32_t value;
	uint32_t add;			/* op: the earliest called */
	uint32_t level;			/* of the first read with it, 0 none */
	uint32_t stamp;			/* read it was last seen in, + 1 */
};

struct seat {
	uint64_t slot;
	int64_t call;
	uint32_t op;
};

struct slots {
	const struct linz_prob *p;
	struct linz_out *o;
	struct elem *elems;
	size_t elems_cnt;
	uint32_t *table;		/* elem + 1 by value */
	size_t mask;
	uint32_t *reads;		/* ops, by length of the list */
	size_t reads_cnt;
	uint32_t *level;		/* of each read; 0: empty list */
	uint32_t levels;
	struct seat *seats;
	size_t seats_cnt;
};

static size_t
list_len(const struct linz_prob *p, uint32_t op)
{
	size_t cnt;

	(void)op_items(p->v, p->ops[op].a, &cnt);
	return cnt;
}

static bool
is_read(const struct linz_op *o)
{
	return o->f == LINZ_LOG_READ || o->f == LINZ_SET_READ;
}

static struct elem *
find(const struct slots *x, uint32_t value, size_t *at)
{
	*at = (value * UINT64_C(0x9e3779b97f4a7c15) >> 20) & x->mask;
	for (; x->table[*at] != 0; *at = (*at + 1) & x->mask)
		if (x->elems[x->table[*at] - 1].value == value)
			return &x->elems[x->table[*at] - 1];
	return NULL;
}

static int
convict(struct slots *x, uint32_t a)
{
	struct linz_out *o = x->o;

	o->verdict = LINZ_NO;
	if (a == NONE)
		return 1;
	o->seed = calloc(1, sizeof(*o->seed));
	if (o->seed == NULL)
		return -1;
	o->seed[o->seed_cnt++] = a;
	return 1;
}

/* 1, 0 not of this kind. */
static int
collect(struct slots *x)
{
	const struct linz_prob *p = x->p;
	size_t at;

	for (uint32_t i = 0; i < p->cnt; i++) {
		const struct linz_op *o = &p->ops[i];
		struct elem *e;

		if (o->f == LINZ_REMOVE || (p->model == LINZ_LOG && o->b != 0))
			return 0;
		if (is_read(o)) {
			x->reads[x->reads_cnt++] = i;
			continue;
		}
		e = find(x, o->a, &at);
		if (e != NULL) {
			if (p->model == LINZ_LOG)
				return 0;
			continue;	/* ops are by call: the first is best */
		}
		x->elems[x->elems_cnt++] = (struct elem){ o->a, i, 0, 0 };
		x->table[at] = (uint32_t)x->elems_cnt;
	}
	return 1;
}

static int
by_len(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	if (x[0] != y[0])
		return x[0] < y[0] ? -1 : 1;
	return x[1] < y[1] ? -1 : x[1] > y[1];
}

static int
sort_reads(struct slots *x)
{
	uint64_t (*t)[2] = calloc(x->reads_cnt + 1, sizeof(*t));

	if (t == NULL)
		return -1;
	for (size_t i = 0; i < x->reads_cnt; i++) {
		t[i][0] = list_len(x->p, x->reads[i]);
		t[i][1] = x->reads[i];
	}
	qsort(t, x->reads_cnt, sizeof(*t), by_len);
	for (size_t i = 0; i < x->reads_cnt; i++)
		x->reads[i] = (uint32_t)t[i][1];
	free(t);
	return 0;
}

/* Mark what a read holds: 1, or the verdict is no. */
static int
level_read(struct slots *x, size_t i, size_t *before)
{
	const struct linz_prob *p = x->p;
	size_t cnt, at, old = 0;
	const uint32_t *list = op_items(p->v, p->ops[x->reads[i]].a, &cnt);
	const uint32_t *last = NULL;

	if (i > 0 && p->model == LINZ_LOG)
		last = op_items(p->v, p->ops[x->reads[i - 1]].a, &at);
	for (size_t j = 0; j < cnt; j++) {
		struct elem *e = find(x, list[j], &at);

		if (e == NULL || e->stamp == i + 1)	/* nowhere, or twice */
			return convict(x, e == NULL ? x->reads[i] : NONE);
		e->stamp = (uint32_t)i + 1;
		if (e->level != 0)
			old++;
		if (last != NULL && j < *before && last[j] != list[j])
			return convict(x, NONE);
	}
	if (old != *before)
		return convict(x, NONE);
	if (cnt > *before)
		x->levels++;
	for (size_t j = 0; j < cnt && cnt > *before; j++) {
		struct elem *e = find(x, list[j], &at);

		if (e->level == 0)
			/* In a log each item has a place of its own. */
			e->level = p->model == LINZ_LOG ? (uint32_t)j + 1 :
			    x->levels;
	}
	*before = cnt;
	x->level[i] = p->model == LINZ_LOG ? (uint32_t)cnt : x->levels;
	return 1;
}

static void
seat(struct slots *x, uint64_t slot, uint32_t op)
{
	x->seats[x->seats_cnt++] = (struct seat){ slot, x->p->ops[op].call,
	    op };
}

static int
by_slot(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;

	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	if (x->call != y->call)
		return x->call < y->call ? -1 : 1;
	return x->op < y->op ? -1 : x->op > y->op;
}

/* Seats of all that has a slot: level L's reads 4L, what they add 4L-2. */
static void
seat_fixed(struct slots *x)
{
	const struct linz_prob *p = x->p;
	uint64_t end = 4 * ((uint64_t)x->level[x->reads_cnt] + 1) - 2;

	for (size_t i = 0; i < x->reads_cnt; i++)
		seat(x, 4 * (uint64_t)x->level[i], x->reads[i]);
	for (size_t i = 0; i < x->elems_cnt; i++) {
		const struct elem *e = &x->elems[i];

		if (e->level != 0)
			seat(x, 4 * (uint64_t)e->level - 2, e->add);
		else if (!p->ops[e->add].optional)
			seat(x, end, e->add);
	}
	qsort(x->seats, x->seats_cnt, sizeof(*x->seats), by_slot);
}

/* No operation may return before one of an earlier slot was called. */
static int
check_fixed(struct slots *x, int64_t *latest)
{
	int64_t max = INT64_MIN, before = INT64_MIN;

	for (size_t i = 0; i < x->seats_cnt; i++) {
		if (i > 0 && x->seats[i].slot != x->seats[i - 1].slot)
			before = max;
		if (x->p->ops[x->seats[i].op].ret < before)
			return convict(x, NONE);
		if (x->seats[i].call > max)
			max = x->seats[i].call;
		latest[i] = max;
	}
	return 1;
}

/*
 * Adds of elements that have another one: in the first slot with an operation
 * called after they returned, or behind all.
 */
static int
seat_free(struct slots *x, const int64_t *latest)
{
	const struct linz_prob *p = x->p;
	size_t fixed = x->seats_cnt, lo, hi, at;

	for (uint32_t i = 0; i < p->cnt; i++) {
		const struct linz_op *o = &p->ops[i];
		struct elem *e;
		uint64_t least, slot;

		if (is_read(o) || o->optional)
			continue;
		e = find(x, o->a, &at);
		if (e->add == i)
			continue;
		for (lo = 0, hi = fixed; lo < hi;) {
			size_t mid = lo + (hi - lo) / 2;

			if (latest[mid] <= o->ret)
				lo = mid + 1;
			else
				hi = mid;
		}
		/* There its call finds it a place among the others. */
		slot = lo == fixed ? UINT64_MAX : x->seats[lo].slot;
		least = e->level != 0 ? 4 * (uint64_t)e->level - 2 :
		    4 * ((uint64_t)x->level[x->reads_cnt] + 1) - 2;
		if (slot < least)
			return convict(x, NONE);
		seat(x, slot, i);
	}
	qsort(x->seats, x->seats_cnt, sizeof(*x->seats), by_slot);
	return 1;
}

static int
judge(struct slots *x)
{
	size_t before = 0;
	int64_t *latest;
	int rc = collect(x);

	if (rc != 1)
		return rc;
	if (sort_reads(x) == -1)
		return -1;
	for (size_t i = 0; i < x->reads_cnt; i++) {
		rc = level_read(x, i, &before);
		if (rc == -1 || x->o->verdict == LINZ_NO)
			return rc;
	}
	x->level[x->reads_cnt] = x->reads_cnt == 0 ? 0 :
	    x->level[x->reads_cnt - 1];
	seat_fixed(x);
	latest = calloc(x->seats_cnt + 1, sizeof(*latest));
	if (latest == NULL)
		return -1;
	rc = check_fixed(x, latest);
	if (rc == 1 && x->o->verdict != LINZ_NO)
		rc = seat_free(x, latest);
	free(latest);
	return rc;
}

int
linz_slot(const struct linz_prob *p, struct linz_out *o)
{
	struct slots x = { .p = p, .o = o };
	int rc = -1;

	if ((p->model != LINZ_LOG && p->model != LINZ_SET) || p->keys != 1)
		return 0;
	x.mask = 4;
	while (x.mask < p->cnt * 2)
		x.mask *= 2;
	x.table = calloc(x.mask, sizeof(*x.table));
	x.mask--;
	x.elems = calloc(p->cnt + 1, sizeof(*x.elems));
	x.reads = calloc(p->cnt + 1, sizeof(*x.reads));
	x.level = calloc(p->cnt + 1, sizeof(*x.level));
	x.seats = calloc(p->cnt + 1, sizeof(*x.seats));
	if (x.table != NULL && x.elems != NULL && x.reads != NULL &&
	    x.level != NULL && x.seats != NULL)
		rc = judge(&x);
	if (rc == 1 && o->verdict != LINZ_NO)
		o->verdict = LINZ_YES;
	if (rc == 1 && o->verdict == LINZ_YES && o->want_order) {
		o->order = calloc(x.seats_cnt + 1, sizeof(*o->order));
		if (o->order == NULL)
			rc = -1;
		else
			for (size_t i = 0; i < x.seats_cnt; i++)
				o->order[o->order_cnt++] = x.seats[i].op;
	}
	free(x.table);
	free(x.elems);
	free(x.reads);
	free(x.level);
	free(x.seats);
	return rc;
}
