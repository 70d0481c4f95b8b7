/*
 * linz_quick: what was seen must have been written by somebody, in time.
 *
 * A look at each operation alone before any search: a search would find the
 * same, but only after trying all orders of what came before.
 */

#include <stdlib.h>

#include "linz_priv.h"

struct source {				/* something that leaves a value */
	uint64_t what;			/* key and value */
	int64_t call;
	uint32_t op;
};

struct quick {
	const struct linz_prob *p;
	enum linz_level level;
	struct source *s;
	size_t cnt, cap;
	uint32_t late;			/* op that wrote it too late */
};

static int
by_what(const void *a, const void *b)
{
	const struct source *x = a, *y = b;

	if (x->what != y->what)
		return x->what < y->what ? -1 : 1;
	return x->call < y->call ? -1 : x->call > y->call;
}

static int
add(struct quick *q, uint32_t key, uint32_t value, uint32_t op)
{
	size_t cap = q->cap * 2 + 64;
	struct source *s;

	if (q->cnt == q->cap) {
		s = reallocarray(q->s, cap, sizeof(*s));
		if (s == NULL)
			return -1;
		q->s = s;
		q->cap = cap;
	}
	q->s[q->cnt++] = (struct source){ (uint64_t)key << 32 | value,
	    q->p->ops[op].call, op };
	return 0;
}

static int
collect(struct quick *q)
{
	const struct linz_prob *p = q->p;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < p->cnt; i++) {
		const struct linz_op *o = &p->ops[i];

		switch (o->f) {
		case LINZ_CAS:
			rc = add(q, o->key, o->b, i);
			break;
		case LINZ_WRITE:
		case LINZ_ENQUEUE:
		case LINZ_ADD:
		case LINZ_LOG_APPEND:
			rc = add(q, o->key, o->a, i);
			break;
		case LINZ_TXN:
			for (uint32_t j = 0; rc == 0 && j < o->b; j++)
				if (p->parts[o->a + j].write)
					rc = add(q, p->parts[o->a + j].key,
					    p->parts[o->a + j].value, i);
			break;
		default:
			break;
		}
	}
	if (q->cnt > 0)
		qsort(q->s, q->cnt, sizeof(*q->s), by_what);
	return rc;
}

/* Can o have seen this? */
static bool
possible(struct quick *q, const struct linz_op *o, uint32_t key,
    uint32_t value)
{
	struct source want = { .what = (uint64_t)key << 32 | value,
	    .call = INT64_MIN };
	size_t lo = 0, hi = q->cnt;

	q->late = UINT32_MAX;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_what(&q->s[mid], &want) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == q->cnt || q->s[lo].what != want.what)
		return false;
	q->late = q->s[lo].op;
	return q->level == LINZ_SEQUENTIAL || q->s[lo].call <= o->ret;
}

static bool
check(struct quick *q, const struct linz_op *o)
{
	const struct linz_part *part;
	const uint32_t *items;
	size_t cnt;

	switch (o->f) {
	case LINZ_READ:
	case LINZ_CAS:
		return o->a == q->p->init ||
		    possible(q, o, o->key, o->a);
	case LINZ_DEQUEUE:
		return o->a == OP_NIL || possible(q, o, o->key, o->a);
	case LINZ_SET_READ:
	case LINZ_LOG_READ:
		items = op_items(q->p->v, o->a, &cnt);
		for (size_t i = 0; i < cnt; i++)
			if (!possible(q, o, o->key, items[i]))
				return false;
		return true;
	case LINZ_TXN:
		for (uint32_t i = 0; i < o->b; i++) {
			part = linz_part(q->p, o, i);
			if (!part->write && part->value != q->p->init &&
			    !possible(q, o, part->key, part->value))
				return false;
		}
		return true;
	default:
		return true;
	}
}

int
linz_quick(const struct linz_prob *p, enum linz_level level,
    struct linz_out *o)
{
	struct quick q = { .p = p, .level = level };
	int rc = 0;

	for (size_t i = 0; i < p->cnt; i++)
		if (p->ops[i].f == LINZ_APPEND)
			return 0;	/* texts are made of many */
	if (collect(&q) == -1)
		rc = -1;
	for (uint32_t i = 0; rc == 0 && i < p->cnt; i++) {
		if (p->ops[i].optional || check(&q, &p->ops[i]))
			continue;
		o->verdict = LINZ_NO;
		o->seed = calloc(2, sizeof(*o->seed));
		if (o->seed == NULL) {
			rc = -1;
			break;
		}
		o->seed[o->seed_cnt++] = i;
		if (q.late != UINT32_MAX)
			o->seed[o->seed_cnt++] = q.late;
		rc = 1;
	}
	free(q.s);
	return rc;
}
