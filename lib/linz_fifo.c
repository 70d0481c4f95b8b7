/*
 * linz_fifo: queues whose items are enqueued once, in O(n log n).
 *
 * Source:  the four violations of Henzinger, Sezgin and Vafeiadis, CONCUR
 *          2013, tested by building an order.
 *
 * A dequeue that found nothing needs a point at which every item whose enqueue
 * has returned may be gone.  These points cut the history into segments; each
 * item comes and goes in one of them, and its intervals shrink accordingly.
 * Then items are taken in any order that respects both the enqueues and the
 * dequeues: two interval orders whose union has a cycle only if it has one of
 * two items, so that whenever some item must be next, it is found by looking
 * at the smallest returns.
 *
 * An indeterminate dequeue may have taken an item that nobody else took; it is
 * open, so all that counts is that it began by a deadline: before the first
 * return of a dequeue of an item enqueued after that one, and before the next
 * point at which the queue was empty.  Such dequeues are given out by earliest
 * deadline.  A point for an empty queue is good when as many of them have begun
 * by then as there were items before it; each point can be chosen for itself.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

#define NONE		UINT32_MAX

struct item {
	uint32_t enq, deq;		/* ops; deq NONE: never taken */
	int64_t enq_call, enq_ret, deq_call, deq_ret;
	uint32_t segment;
	uint8_t met;			/* of the two conditions to be next */
	bool taken;
};

struct loose {
	int64_t due;			/* OP_NEVER: it may stay */
	int64_t enq_ret;
	uint32_t item;
};

struct fifo {
	const struct linz_prob *p;
	struct linz_out *o;
	struct item *items;
	size_t cnt;
	uint32_t *thieves;		/* indeterminate dequeues, by call */
	size_t thieves_cnt;
	struct loose *loose;		/* items nobody has surely taken */
	size_t loose_cnt;
	int64_t *loose_rets;		/* their enqueues' returns, sorted */
	struct { int64_t at; uint32_t op; } *empty;	/* points, sorted */
	size_t empty_cnt;
	uint32_t *sort[4];		/* items by each of the four times */
	uint32_t *seq;			/* items in order */
	size_t seq_cnt;
};

static int
convict(struct fifo *x, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	const uint32_t ops[] = { a, b, c, d };
	struct linz_out *o = x->o;

	o->verdict = LINZ_NO;
	o->seed = calloc(4, sizeof(*o->seed));
	if (o->seed == NULL)
		return -1;
	for (int i = 0; i < 4; i++)
		if (ops[i] != NONE)
			o->seed[o->seed_cnt++] = ops[i];
	return 1;
}

static size_t
slot(const struct fifo *x, const uint32_t *table, size_t mask, uint32_t value)
{
	size_t at = (value * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;

	while (table[at] != 0 &&
	    x->p->ops[x->items[table[at] - 1].enq].a != value)
		at = (at + 1) & mask;
	return at;
}

/* Pair enqueues with dequeues: 1, 0 not our kind, -1. */
static int
pair(struct fifo *x, uint32_t *table, size_t mask)
{
	const struct linz_prob *p = x->p;
	size_t at, cnt = 0;

	for (uint32_t i = 0; i < p->cnt; i++) {
		const struct linz_op *o = &p->ops[i];

		if (o->f != LINZ_ENQUEUE) {
			if (o->optional)
				x->thieves[x->thieves_cnt++] = i;
			continue;
		}
		at = slot(x, table, mask, o->a);
		if (table[at] != 0)
			return 0;
		x->items[x->cnt++] = (struct item){ i, NONE, o->call, o->ret,
		    OP_NEVER, OP_NEVER, 0, 0, false };
		table[at] = (uint32_t)x->cnt;
	}
	for (uint32_t i = 0; i < p->cnt; i++) {
		const struct linz_op *o = &p->ops[i];
		struct item *it;

		if (o->f != LINZ_DEQUEUE || o->optional || o->a == OP_NIL)
			continue;
		at = slot(x, table, mask, o->a);
		if (table[at] == 0)
			return convict(x, i, NONE, NONE, NONE);
		it = &x->items[table[at] - 1];
		if (it->deq != NONE)
			return convict(x, it->enq, it->deq, i, NONE);
		if (o->ret < it->enq_call)
			return convict(x, it->enq, i, NONE, NONE);
		it->deq = i;
		it->deq_call = o->call > it->enq_call ? o->call : it->enq_call;
		it->deq_ret = o->ret;
		if (it->enq_ret > o->ret)
			it->enq_ret = o->ret;
	}
	for (size_t i = 0; i < x->cnt; i++) {
		if (x->items[i].deq == NONE && p->ops[x->items[i].enq].optional)
			continue;	/* best if it never happened */
		x->items[cnt++] = x->items[i];
	}
	x->cnt = cnt;
	return 1;
}

/* --- items that somebody may have taken ---------------------------------- */

static int
by_point(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/*
 * When an item must be gone: before a dequeue of one enqueued after it ends.
 * by_call: items by the call of their enqueue.
 */
static int
find_loose(struct fifo *x)
{
	int64_t (*t)[2] = calloc(x->cnt + 1, sizeof(*t));
	size_t lo, hi;

	if (t == NULL)
		return -1;
	for (size_t i = 0; i < x->cnt; i++) {
		t[i][0] = x->items[i].enq_call;
		t[i][1] = x->items[i].deq_ret;
	}
	qsort(t, x->cnt, sizeof(*t), by_point);
	for (size_t i = x->cnt; i > 1; i--)	/* the least from here on */
		if (t[i - 1][1] < t[i - 2][1])
			t[i - 2][1] = t[i - 1][1];
	for (uint32_t i = 0; i < x->cnt; i++) {
		const struct item *it = &x->items[i];

		if (it->deq != NONE)
			continue;
		for (lo = 0, hi = x->cnt; lo < hi;) {
			size_t mid = lo + (hi - lo) / 2;

			if (t[mid][0] <= it->enq_ret)
				lo = mid + 1;
			else
				hi = mid;
		}
		x->loose[x->loose_cnt] = (struct loose){ lo < x->cnt ?
		    t[lo][1] : OP_NEVER, it->enq_ret, i };
		x->loose_rets[x->loose_cnt++] = it->enq_ret;
	}
	free(t);
	qsort(x->loose, x->loose_cnt, sizeof(*x->loose), by_point);
	qsort(x->loose_rets, x->loose_cnt, sizeof(*x->loose_rets), by_point);
	return 0;
}

/* Give thieves to items, earliest deadline first: 1, or the verdict is no. */
static int
give_out(struct fifo *x)
{
	size_t next = 0;

	for (size_t i = 0; i < x->loose_cnt; i++) {
		struct loose *l = &x->loose[i];

		for (size_t lo = 0, hi = x->empty_cnt; lo < hi;) {
			size_t mid = lo + (hi - lo) / 2;

			if (x->empty[mid].at <= l->enq_ret) {
				lo = mid + 1;
				continue;
			}
			hi = mid;
			if (x->empty[mid].at < l->due)
				l->due = x->empty[mid].at;
		}
	}
	qsort(x->loose, x->loose_cnt, sizeof(*x->loose), by_point);
	for (size_t i = 0; i < x->loose_cnt; i++) {
		struct item *it = &x->items[x->loose[i].item];
		const struct linz_op *d;

		if (x->loose[i].due == OP_NEVER)
			break;
		d = next < x->thieves_cnt ? &x->p->ops[x->thieves[next]] :
		    NULL;
		if (d == NULL || d->call > x->loose[i].due) {
			x->o->verdict = LINZ_NO;
			return 1;
		}
		it->deq = x->thieves[next++];
		it->deq_call = d->call > it->enq_call ? d->call : it->enq_call;
	}
	return 1;
}

/* --- dequeues that found nothing ----------------------------------------- */

struct span {
	int64_t from, to;		/* open: not empty for sure */
};

static int
by_from(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

/* Spans in which the queue surely holds something, joined; how many. */
static size_t
spans(const struct fifo *x, struct span *s)
{
	size_t cnt = 0, out = 0;

	for (size_t i = 0; i < x->cnt; i++)
		if (x->items[i].enq_ret < x->items[i].deq_call &&
		    (x->items[i].deq != NONE || x->thieves_cnt == 0))
			s[cnt++] = (struct span){ x->items[i].enq_ret,
			    x->items[i].deq_call };
	qsort(s, cnt, sizeof(*s), by_from);
	for (size_t i = 0; i < cnt; i++) {
		/* Two open spans that touch leave the point between them. */
		if (out > 0 && s[i].from < s[out - 1].to) {
			if (s[i].to > s[out - 1].to)
				s[out - 1].to = s[i].to;
		} else {
			s[out++] = s[i];
		}
	}
	return out;
}

/* Thieves that have begun by then. */
static size_t
begun(const struct fifo *x, int64_t when)
{
	size_t lo = 0, hi = x->thieves_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->p->ops[x->thieves[mid]].call <= when)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * With the queue empty at this point, are there as many thieves by then as
 * items that were there?  Later deadlines need no look: whatever makes an item
 * due makes those enqueued before it due, too.
 */
static bool
enough(const struct fifo *x, int64_t at)
{
	size_t lo = 0, hi = x->loose_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->loose_rets[mid] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo <= begun(x, at);
}

/* The first good point for an empty queue at or after `at`, or OP_NEVER. */
static int64_t
empty_point(const struct fifo *x, const struct span *s, size_t cnt, int64_t at,
    int64_t ret)
{
	while (at <= ret) {
		size_t lo = 0, hi = cnt, i;

		while (lo < hi) {	/* the last span with from < at */
			size_t mid = lo + (hi - lo) / 2;

			if (s[mid].from < at)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo > 0 && at < s[lo - 1].to) {
			at = s[lo - 1].to;
			continue;
		}
		if (x->thieves_cnt == 0 || enough(x, at))
			return at;
		/* Only another thief can make a later point better. */
		i = begun(x, at);
		if (i == x->thieves_cnt)
			break;
		at = x->p->ops[x->thieves[i]].call;
	}
	return OP_NEVER;
}

/* A point for each of them: 1, or the verdict is no. */
static int
place_empty(struct fifo *x)
{
	const struct linz_prob *p = x->p;
	struct span *s = calloc(x->cnt + 1, sizeof(*s));
	size_t cnt;
	int rc = 1;

	if (s == NULL)
		return -1;
	cnt = spans(x, s);
	for (uint32_t i = 0; rc == 1 && i < p->cnt; i++) {
		int64_t at = p->ops[i].call;

		if (p->ops[i].f != LINZ_DEQUEUE || p->ops[i].optional ||
		    p->ops[i].a != OP_NIL)
			continue;
		at = empty_point(x, s, cnt, at, p->ops[i].ret);
		if (at == OP_NEVER) {
			rc = convict(x, i, NONE, NONE, NONE);
			x->o->seed_cnt = 0;	/* needs all that was inside */
			break;
		}
		x->empty[x->empty_cnt].at = at;
		x->empty[x->empty_cnt++].op = i;
	}
	qsort(x->empty, x->empty_cnt, sizeof(*x->empty), by_point);
	free(s);
	return rc;
}

/*
 * The segment an item lives in, as late as it may be: between the points that
 * enclose what it needs; intervals shrink to it.
 */
static void
settle(struct fifo *x, struct item *it)
{
	int64_t rets = it->enq_ret;
	size_t lo = 0, hi = x->empty_cnt;

	if (x->empty_cnt == 0)
		return;
	if (it->deq != NONE && it->deq_ret < rets)
		rets = it->deq_ret;
	/* The last segment whose beginning is not beyond both returns. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->empty[mid].at <= rets)
			lo = mid + 1;
		else
			hi = mid;
	}
	it->segment = (uint32_t)lo;
	if (lo > 0) {
		int64_t from = x->empty[lo - 1].at;

		it->enq_call = it->enq_call > from ? it->enq_call : from;
		if (it->deq != NONE && it->deq_call < from)
			it->deq_call = from;
	}
	if (lo < x->empty_cnt) {
		int64_t to = x->empty[lo].at;

		it->enq_ret = it->enq_ret < to ? it->enq_ret : to;
		it->deq_ret = it->deq_ret < to ? it->deq_ret : to;
	}
}

/* --- an order of the items ----------------------------------------------- */

static int
by_time(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	if (x[0] != y[0])
		return x[0] < y[0] ? -1 : 1;
	return x[1] < y[1] ? -1 : x[1] > y[1];
}

/* which: 0 enq_call, 1 enq_ret, 2 deq_call, 3 deq_ret. */
static int64_t
time_of(const struct item *it, int which)
{
	switch (which) {
	case 0:
		return it->enq_call;
	case 1:
		return it->enq_ret;
	case 2:
		return it->deq_call;
	default:
		return it->deq_ret;
	}
}

static int
sort_items(struct fifo *x)
{
	int64_t (*t)[2] = calloc(x->cnt + 1, sizeof(*t));

	if (t == NULL)
		return -1;
	for (int w = 0; w < 4; w++) {
		x->sort[w] = calloc(x->cnt + 1, sizeof(*x->sort[w]));
		if (x->sort[w] == NULL) {
			free(t);
			return -1;
		}
		for (size_t i = 0; i < x->cnt; i++) {
			t[i][0] = time_of(&x->items[i], w);
			t[i][1] = (int64_t)i;
		}
		qsort(t, x->cnt, sizeof(*t), by_time);
		for (size_t i = 0; i < x->cnt; i++)
			x->sort[w][i] = (uint32_t)t[i][1];
	}
	free(t);
	return 0;
}

/* Two items of which each should be first. */
static int
convict_cycle(struct fifo *x)
{
	size_t left = 0;
	const struct item *a, *b;

	/* What is stuck is few in most histories; look at it pairwise. */
	for (size_t i = 0; i < x->cnt && left < 2000; i++) {
		a = &x->items[i];
		if (a->taken)
			continue;
		left++;
		for (size_t j = 0; j < x->cnt; j++) {
			b = &x->items[j];
			if (!b->taken && a->enq_ret < b->enq_call &&
			    b->deq_ret < a->deq_call)
				return convict(x, a->enq, b->enq, b->deq,
				    a->deq);
		}
	}
	x->o->verdict = LINZ_NO;
	return 1;
}

/* Take items one after the other, each allowed by all that are left. */
static int
arrange(struct fifo *x)
{
	size_t at[4] = { 0, 0, 0, 0 }, ready = 0;

	if (sort_items(x) == -1)
		return -1;
	x->seq = calloc(x->cnt + 1, sizeof(*x->seq));
	if (x->seq == NULL)
		return -1;
	/* seq is also the list of those ready and not yet taken. */
	while (x->seq_cnt < x->cnt) {
		for (int w = 0; w < 4; w += 2) {
			int64_t limit;

			while (x->items[x->sort[w + 1][at[w + 1]]].taken)
				at[w + 1]++;
			limit = time_of(&x->items[x->sort[w + 1][at[w + 1]]],
			    w + 1);
			while (at[w] < x->cnt && time_of(
			    &x->items[x->sort[w][at[w]]], w) <= limit) {
				uint32_t i = x->sort[w][at[w]++];

				if (++x->items[i].met == 2)
					x->seq[ready++] = i;
			}
		}
		if (ready == x->seq_cnt)
			return convict_cycle(x);
		x->items[x->seq[x->seq_cnt++]].taken = true;
	}
	x->o->verdict = LINZ_YES;
	return 1;
}

/* --- the order of the operations ----------------------------------------- */

struct placed {
	int64_t at;
	uint32_t segment, op;
	uint32_t rank;			/* among enqueues or dequeues */
	uint8_t what;			/* 0 enqueue, 1 dequeue, 2 empty */
};

static int
by_place(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	if ((x->what == 2) != (y->what == 2))
		return x->what == 2 ? 1 : -1;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->what != y->what)
		return x->what < y->what ? -1 : 1;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int
order(struct fifo *x)
{
	struct placed *pl = calloc(2 * x->cnt + x->empty_cnt + 1, sizeof(*pl));
	int64_t enq = INT64_MIN, deq = INT64_MIN;
	size_t cnt = 0;

	x->o->order = calloc(x->p->cnt + 1, sizeof(*x->o->order));
	if (pl == NULL || x->o->order == NULL) {
		free(pl);
		return -1;
	}
	for (size_t i = 0; i < x->cnt; i++) {
		const struct item *it = &x->items[x->seq[i]];

		enq = enq > it->enq_call ? enq : it->enq_call;
		pl[cnt++] = (struct placed){ enq, it->segment, it->enq,
		    (uint32_t)i, 0 };
		if (it->deq == NONE)
			continue;
		deq = deq > it->deq_call ? deq : it->deq_call;
		deq = deq > enq ? deq : enq;
		pl[cnt++] = (struct placed){ deq, it->segment, it->deq,
		    (uint32_t)i, 1 };
	}
	for (size_t i = 0; i < x->empty_cnt; i++)
		pl[cnt++] = (struct placed){ x->empty[i].at, (uint32_t)i,
		    x->empty[i].op, (uint32_t)i, 2 };
	qsort(pl, cnt, sizeof(*pl), by_place);
	for (size_t i = 0; i < cnt; i++)
		x->o->order[x->o->order_cnt++] = pl[i].op;
	free(pl);
	return 1;
}

int
linz_fifo(const struct linz_prob *p, struct linz_out *o)
{
	struct fifo x = { .p = p, .o = o };
	uint32_t *table;
	size_t mask = 4;
	int rc = -1;

	if (p->model != LINZ_FIFO || p->keys != 1)
		return 0;
	while (mask < p->cnt * 2)
		mask *= 2;
	table = calloc(mask, sizeof(*table));
	x.items = calloc(p->cnt + 1, sizeof(*x.items));
	x.empty = calloc(p->cnt + 1, sizeof(*x.empty));
	x.thieves = calloc(p->cnt + 1, sizeof(*x.thieves));
	x.loose = calloc(p->cnt + 1, sizeof(*x.loose));
	x.loose_rets = calloc(p->cnt + 1, sizeof(*x.loose_rets));
	if (table != NULL && x.items != NULL && x.empty != NULL &&
	    x.thieves != NULL && x.loose != NULL && x.loose_rets != NULL)
		rc = pair(&x, table, mask - 1);
	free(table);
	if (rc == 1 && o->verdict != LINZ_NO && x.thieves_cnt > 0)
		rc = find_loose(&x) == -1 ? -1 : 1;
	if (rc == 1 && o->verdict != LINZ_NO)
		rc = place_empty(&x);
	if (rc == 1 && o->verdict != LINZ_NO && x.thieves_cnt > 0)
		rc = give_out(&x);
	if (rc == 1 && o->verdict != LINZ_NO) {
		for (size_t i = 0; i < x.cnt; i++)
			settle(&x, &x.items[i]);
		rc = arrange(&x);
	}
	if (rc == 1 && o->verdict == LINZ_YES && o->want_order)
		rc = order(&x);
	free(x.items);
	free(x.empty);
	free(x.seq);
	free(x.thieves);
	free(x.loose);
	free(x.loose_rets);
	for (int i = 0; i < 4; i++)
		free(x.sort[i]);
	return rc;
}
