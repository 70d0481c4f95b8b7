/*
 * linz_regular: may each read, taken alone, have returned what it did?
 *
 * Source:  Lamport, 1986; for many writers the weak form of Shao, Welch,
 *          Pierce and Lee, "Multiwriter consistency conditions for shared
 *          memory registers", 2011: for each read there is an order of all
 *          writes and this read.
 *
 * A read may return the value of a write that began before the read ended,
 * unless another write lies wholly between the two.
 */

#include <stdlib.h>

#include "linz_priv.h"

#define NONE		UINT32_MAX

struct write {
	int64_t ret, call;
	uint32_t op, value;
	uint32_t latest;	/* op with the latest call of all up to here */
};

static int
by_ret(const void *a, const void *b)
{
	const struct write *x = a, *y = b;

	if (x->ret != y->ret)
		return x->ret < y->ret ? -1 : 1;
	return x->op < y->op ? -1 : x->op > y->op;
}

static int
by_value(const void *a, const void *b)
{
	const struct write *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return by_ret(a, b);
}

/* Of the writes that returned before `when`, the one called last, or NONE. */
static uint32_t
latest(const struct write *w, size_t cnt, int64_t when)
{
	size_t lo = 0, hi = cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (w[mid].ret < when)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == 0 ? NONE : w[lo - 1].latest;
}

static int
convict(struct linz_out *o, uint32_t read, uint32_t between, uint32_t source)
{
	const uint32_t ops[] = { source, between, read };

	o->verdict = LINZ_NO;
	o->seed = calloc(3, sizeof(*o->seed));
	if (o->seed == NULL)
		return -1;
	for (int i = 0; i < 3; i++)
		if (ops[i] != NONE)
			o->seed[o->seed_cnt++] = ops[i];
	return 1;
}

/* v: the writes by value; w: by return. */
static int
check(const struct linz_prob *p, const struct write *w, const struct write *v,
    size_t cnt, uint32_t read, struct linz_out *o)
{
	const struct linz_op *r = &p->ops[read];
	uint32_t over = latest(w, cnt, r->call), source = NONE;
	int64_t call = over == NONE ? INT64_MIN : p->ops[over].call;
	size_t lo = 0, hi = cnt;

	if (r->a == p->init && over == NONE)
		return 0;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v[mid].value < r->a)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < cnt && v[lo].value == r->a; lo++) {
		source = v[lo].op;
		/* Another write is between only if called after its return. */
		if (v[lo].call <= r->ret && v[lo].ret >= call)
			return 0;
	}
	return convict(o, read, source == NONE && r->a != p->init ? NONE :
	    over, source);
}

int
linz_regular(const struct linz_prob *p, struct linz_out *o)
{
	struct write *w, *v;
	size_t cnt = 0;
	int rc = 0;

	if (p->model != LINZ_REGISTER && p->model != LINZ_CAS_REGISTER &&
	    p->model != LINZ_KV)
		return 0;
	for (size_t i = 0; i < p->cnt; i++)
		if (p->ops[i].f != LINZ_READ && p->ops[i].f != LINZ_WRITE)
			return 0;
	w = calloc(p->cnt + 1, sizeof(*w));
	v = calloc(p->cnt + 1, sizeof(*v));
	if (w == NULL || v == NULL) {
		free(w);
		free(v);
		return -1;
	}
	for (uint32_t i = 0; i < p->cnt; i++)
		if (p->ops[i].f == LINZ_WRITE) {
			w[cnt] = (struct write){ p->ops[i].ret,
			    p->ops[i].call, i, p->ops[i].a, i };
			v[cnt] = w[cnt];
			cnt++;
		}
	qsort(w, cnt, sizeof(*w), by_ret);
	qsort(v, cnt, sizeof(*v), by_value);
	for (size_t i = 1; i < cnt; i++)
		if (p->ops[w[i - 1].latest].call > w[i].call)
			w[i].latest = w[i - 1].latest;
	for (uint32_t i = 0; rc == 0 && i < p->cnt; i++)
		if (p->ops[i].f == LINZ_READ)
			rc = check(p, w, v, cnt, i, o);
	free(w);
	free(v);
	if (rc == 0) {
		o->verdict = LINZ_YES;
		rc = 1;
	}
	return rc;
}
