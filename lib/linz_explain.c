/*
 * linz_explain: from "there is no order" to the few operations that show it.
 *
 * Whatever is left out keeps the proof: a history with an order still has one
 * after its end is cut off (what was open then is indeterminate), after a read
 * is dropped, after a completed operation is only allowed instead of asked
 * for, and after an optional one is dropped whose effect nobody left has seen.
 * So as long as the rest has no order, the whole has none.  The same holds for
 * what is left when its beginning is cut off, if no state that there can have
 * been gives the rest an order.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

#define TEST_STATES	20000U		/* a search for each attempt, at least */
#define EXPLAIN_NS	(3 * INT64_C(1000000000))
#define MEMORY_MAX	(64U << 20)
#define BEGIN_MIN	16		/* a shorter window is left whole */
#define BEGIN_TRIES	64		/* writes tried as the first */
#define STARTS_MAX	12		/* values a window may begin with */

struct explain {
	const struct linz_prob *p;
	const struct op_history *h;
	enum linz_level level;
	struct linz_result *r;
	struct mono deadline;
	struct linz_op *w, *try;	/* the window, an attempt at less */
	size_t cnt, try_cnt;
	uint32_t pinned;		/* src of the write it begins with */
	uint64_t states;		/* for one attempt */
	bool complete;			/* no attempt was given up */
	bool cropped;			/* it may begin with any value */
};

/* From this value on, is there certainly no order of these? */
static int
test_from(struct explain *x, const struct linz_op *ops, size_t cnt,
    uint32_t init)
{
	struct linz_prob p = *x->p;
	struct linz_limit limit = { x->deadline, MEMORY_MAX, x->states, 0,
	    NULL };
	struct linz_out o = { .farthest = UINT32_MAX };
	int rc;

	p.ops = ops;
	p.cnt = cnt;
	p.init = init;
	rc = linz_decide(&p, x->level, &limit, &o);
	if (rc == 0) {
		rc = o.verdict == LINZ_NO;
		if (o.verdict == LINZ_UNKNOWN)
			x->complete = false;
	}
	linz_out_release(&o);
	return rc;
}

/*
 * The values that make a difference to registers at the start: what somebody
 * asks for, and one that nobody does.  How many; SIZE_MAX: too many.
 */
static size_t
starts(const struct linz_op *ops, size_t cnt, uint32_t *value)
{
	size_t n = 0;

	for (size_t i = 0; i < cnt; i++) {
		size_t j = 0;

		if (ops[i].f != LINZ_READ && ops[i].f != LINZ_CAS)
			continue;
		while (j < n && value[j] != ops[i].a)
			j++;
		if (j < n)
			continue;
		if (n == STARTS_MAX)
			return SIZE_MAX;
		value[n++] = ops[i].a;
	}
	value[n++] = LINZ_NOBODYS;
	return n;
}

/* Is there certainly no order of these? */
static int
test(struct explain *x, const struct linz_op *ops, size_t cnt)
{
	uint32_t value[STARTS_MAX + 1];
	size_t n;
	int rc = 1;

	if (!x->cropped)
		return test_from(x, ops, cnt, x->p->init);
	n = starts(ops, cnt, value);
	if (n == SIZE_MAX)
		return 0;
	for (size_t i = 0; i < n && rc == 1; i++)
		rc = test_from(x, ops, cnt, value[i]);
	return rc;
}

static void
adopt(struct explain *x)
{
	struct linz_op *w = x->w;

	x->w = x->try;
	x->try = w;
	x->cnt = x->try_cnt;
}

/* --- less and less ------------------------------------------------------- */

/* Ask no more for this one; false when it can be dropped altogether. */
static bool
weaken(const struct explain *x, struct linz_op *o)
{
	if (linz_pure(x->p, o))
		return false;
	o->optional = true;
	o->ret = OP_NEVER;
	if (o->f == LINZ_LOG_APPEND)
		o->b = 0;
	return true;
}

/* try becomes the window as it was at this time. */
static void
cut_off(struct explain *x, int64_t when)
{
	x->try_cnt = 0;
	for (size_t i = 0; i < x->cnt; i++) {
		struct linz_op o = x->w[i];

		if (o.call > when)
			continue;
		if (!o.optional && o.ret > when && !weaken(x, &o))
			continue;
		x->try[x->try_cnt++] = o;
	}
}

static int
by_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The window ends with this return, and with whatever returns then. */
static int
end_at(struct explain *x, int64_t ret)
{
	int rc;

	cut_off(x, ret);
	for (size_t i = 0; i < x->try_cnt; i++)
		if (!x->try[i].optional && x->try[i].ret == ret)
			x->r->culprit = x->try[i].src;
	rc = linz_sweep(x->p, x->try, &x->try_cnt);
	if (rc == 0)
		adopt(x);
	return rc;
}

/* Cut the window off after the first return that leaves no order. */
static int
first_end(struct explain *x)
{
	int64_t *rets = calloc(x->cnt + 1, sizeof(*rets));
	size_t lo = 0, hi, cnt = 0;
	int rc = 0;

	if (rets == NULL)
		return -1;
	for (size_t i = 0; i < x->cnt; i++)
		if (!x->w[i].optional)
			rets[cnt++] = x->w[i].ret;
	qsort(rets, cnt, sizeof(*rets), by_i64);
	hi = cnt > 0 ? cnt - 1 : 0;	/* the whole has no order */
	while (lo < hi && !mono_passed(x->deadline)) {
		size_t mid = lo + (hi - lo) / 2;

		cut_off(x, rets[mid]);
		rc = test(x, x->try, x->try_cnt);
		if (rc == -1)
			break;
		if (rc == 1)
			hi = mid;
		else
			lo = mid + 1;
	}
	x->complete = x->complete && lo >= hi;
	if (rc != -1)
		rc = end_at(x, rets[hi]);
	if (!x->complete)
		x->r->culprit = UINT32_MAX;	/* it may have come earlier */
	free(rets);
	return rc;
}

/* Weaken from..to of the window: 1 it is enough, 0 it is not, -1. */
static int
attempt(struct explain *x, size_t from, size_t to)
{
	bool any = false;
	int rc;

	x->try_cnt = 0;
	for (size_t i = 0; i < x->cnt; i++) {
		struct linz_op o = x->w[i];

		if (i >= from && i < to && !o.optional &&
		    o.src != x->r->culprit && o.src != x->pinned) {
			any = true;
			if (!weaken(x, &o))
				continue;
		}
		x->try[x->try_cnt++] = o;
	}
	if (!any)
		return 0;
	if (linz_sweep(x->p, x->try, &x->try_cnt) == -1)
		return -1;
	rc = test(x, x->try, x->try_cnt);
	if (rc == 1)
		adopt(x);
	return rc;
}

static int
lessen(struct explain *x)
{
	size_t chunk = x->cnt;
	bool changed = true;
	int rc;

	while (changed || chunk > 1) {
		chunk = chunk > 1 ? (chunk + 1) / 2 : 1;
		if (chunk > x->cnt)
			chunk = x->cnt;
		changed = false;
		for (size_t from = 0; from < x->cnt;) {
			if (mono_passed(x->deadline)) {
				x->complete = false;
				return 0;
			}
			rc = attempt(x, from, from + chunk);
			if (rc == -1)
				return -1;
			if (rc == 0)
				from += chunk;
			changed |= rc == 1;
		}
	}
	return 0;
}

/*
 * A completed write that no other completed operation overlaps: the register
 * then holds its value, so what completed before it can go.  The last such
 * write that leaves the proof is where the window begins.
 */
static int
begin_late(struct explain *x)
{
	int64_t *latest = calloc(x->cnt + 1, sizeof(*latest));
	int64_t after = INT64_MAX, max = INT64_MIN;
	int tries = 0, rc = 0;

	if (latest == NULL)
		return -1;
	if (x->cnt < BEGIN_MIN) {
		free(latest);
		return 0;
	}
	for (size_t i = 0; i < x->cnt; i++) {
		latest[i] = max;
		if (!x->w[i].optional && x->w[i].ret > max)
			max = x->w[i].ret;
	}
	for (size_t i = x->cnt; rc == 0 && i-- > 0 && tries < BEGIN_TRIES;) {
		const struct linz_op *r = &x->w[i];
		bool alone = !r->optional && r->f == LINZ_WRITE &&
		    r->ret < after && latest[i] < r->call;

		if (!r->optional && r->call < after)
			after = r->call;
		if (!alone)
			continue;
		x->try_cnt = 0;
		for (size_t j = 0; j < x->cnt; j++)
			if (x->w[j].optional || j >= i)
				x->try[x->try_cnt++] = x->w[j];
		if (x->try_cnt == x->cnt)
			break;
		tries++;
		rc = linz_sweep(x->p, x->try, &x->try_cnt);
		if (rc == 0)
			rc = test(x, x->try, x->try_cnt);
		if (rc == 1) {
			x->pinned = r->src;
			adopt(x);
		}
	}
	free(latest);
	return rc == -1 ? -1 : 0;
}

/*
 * The window's end alone, so many completed operations of it, the register
 * holding at first whatever it may.
 */
static int
crop(struct explain *x, int64_t after)
{
	int rc;

	x->try_cnt = 0;
	for (size_t i = 0; i < x->cnt; i++) {
		struct linz_op o = x->w[i];

		if (!o.optional && (o.ret <= after ||
		    (o.call <= after && !weaken(x, &o))))
			continue;
		x->try[x->try_cnt++] = o;
	}
	x->cropped = true;
	rc = linz_sweep(x->p, x->try, &x->try_cnt);
	if (rc == 0)
		rc = test(x, x->try, x->try_cnt);
	if (rc == 1)
		adopt(x);
	else
		x->cropped = false;
	return rc;
}

/* The shortest end, doubled each time, that has no order by itself. */
static int
begin_anyhow(struct explain *x)
{
	int64_t *rets;
	size_t n = 0;
	int rc = 0;

	if (x->cnt < BEGIN_MIN || x->pinned != UINT32_MAX || linz_has_texts(x->p) ||
	    x->p->keys != 1 || x->p->model == LINZ_FIFO ||
	    x->p->model == LINZ_SET || x->p->model == LINZ_LOG ||
	    x->p->model == LINZ_MULTI_REGISTER)
		return 0;
	rets = calloc(x->cnt + 1, sizeof(*rets));
	if (rets == NULL)
		return -1;
	for (size_t i = 0; i < x->cnt; i++)
		if (!x->w[i].optional)
			rets[n++] = x->w[i].ret;
	qsort(rets, n, sizeof(*rets), by_i64);
	for (size_t k = 2; rc == 0 && k < n; k *= 2) {
		if (mono_passed(x->deadline))
			break;
		rc = crop(x, rets[n - k - 1]);
	}
	free(rets);
	return rc == -1 ? -1 : 0;
}

/* Does any other operation of its process come between these two, or beside? */
static bool
is_pair(const struct explain *x, size_t a, size_t b)
{
	const struct linz_op *w = x->w;

	if (w[a].optional || w[b].optional || w[a].a != 0 || w[b].b != 0 ||
	    w[a].proc != w[b].proc || w[a].ret >= w[b].call)
		return false;
	for (size_t i = 0; i < x->cnt; i++)
		if (i != a && i != b && w[i].proc == w[a].proc &&
		    (w[i].optional || (w[i].ret >= w[a].call &&
		    w[i].call <= w[b].ret)))
			return false;
	return true;
}

/*
 * A lock taken and given back by one process, with nothing of its own beside:
 * without both the rest still has its order.
 */
static int
drop_pairs(struct explain *x)
{
	int rc = 0;

	for (size_t a = 0; rc != -1 && a < x->cnt; a++) {
		rc = 0;
		if (x->w[a].a != 0 || x->w[a].optional)
			continue;
		for (size_t b = a + 1; rc == 0 && b < x->cnt; b++) {
			if (mono_passed(x->deadline))
				return 0;
			if (x->w[b].src == x->r->culprit || !is_pair(x, a, b))
				continue;
			x->try_cnt = 0;
			for (size_t i = 0; i < x->cnt; i++)
				if (i != a && i != b)
					x->try[x->try_cnt++] = x->w[i];
			rc = test(x, x->try, x->try_cnt);
			if (rc == 0)
				break;
			if (rc == 1)
				adopt(x);
		}
		if (rc == 1)
			a--;
	}
	return rc == -1 ? -1 : 0;
}

/* The ops of the judge's own proof, if they are one by themselves. */
static int
from_seed(struct explain *x, const struct linz_out *o)
{
	size_t cnt = 0;
	int rc;

	if (o->seed_cnt == 0)
		return 0;
	for (uint32_t i = 0; i < x->p->cnt; i++)
		for (size_t j = 0; j < o->seed_cnt; j++)
			if (o->seed[j] == i)
				x->try[cnt++] = x->p->ops[i];
	x->try_cnt = cnt;
	rc = test(x, x->try, cnt);
	if (rc == 1)
		adopt(x);
	return rc;
}

/* --- all of it ----------------------------------------------------------- */

static int
by_call(const void *a, const void *b)
{
	const struct linz_op *x = a, *y = b;

	if (x->call != y->call)
		return x->call < y->call ? -1 : 1;
	return x->src < y->src ? -1 : x->src > y->src;
}

static int
publish(struct explain *x)
{
	struct linz_result *r = x->r;

	r->window = calloc(x->cnt + 1, sizeof(*r->window));
	if (r->window == NULL)
		return -1;
	for (size_t i = 0; i < x->cnt; i++)
		r->window[i] = (struct linz_step){ x->w[i].src,
		    x->w[i].optional };
	r->window_cnt = x->cnt;
	r->window_least = x->complete;
	r->cropped = x->cropped;
	return 0;
}

/* From all operations to the few, in this order. */
static int
narrow(struct explain *x, const struct linz_out *o)
{
	const struct linz_prob *p = x->p;

	if (from_seed(x, o) == -1)
		return -1;
	if (x->level == LINZ_LINEARIZABLE) {
		/* The search knows how far it came; else it is looked for. */
		if (x->cnt == p->cnt && o->farthest != UINT32_MAX ?
		    end_at(x, p->ops[o->farthest].ret) == -1 :
		    first_end(x) == -1)
			return -1;
		if (p->keys == 1 &&
		    (begin_late(x) == -1 || begin_anyhow(x) == -1))
			return -1;
		if (p->model == LINZ_LOCK && drop_pairs(x) == -1)
			return -1;
	}
	if (lessen(x) == -1)
		return -1;
	qsort(x->w, x->cnt, sizeof(*x->w), by_call);
	return publish(x);
}

int
linz_explain(const struct linz_prob *p, const struct op_history *h,
    const struct linz_conf *conf, enum linz_level level,
    const struct linz_out *o, struct linz_result *r)
{
	struct linz_op *room = calloc(2 * (p->cnt + 1), sizeof(*room));
	struct explain x = { .p = p, .h = h, .level = level, .r = r,
	    .complete = true, .cnt = p->cnt, .pinned = UINT32_MAX,
	    .states = TEST_STATES + o->states, .w = room };
	int rc, saved;

	if (room == NULL)
		return -1;
	x.try = room + p->cnt + 1;
	x.deadline = mono_after(EXPLAIN_NS);
	if (x.deadline.ns > conf->deadline.ns && !mono_passed(conf->deadline))
		x.deadline = conf->deadline;
	memcpy(x.w, p->ops, p->cnt * sizeof(*x.w));
	rc = narrow(&x, o);
	if (rc == 0)
		rc = linz_classify(p, h, x.w, x.cnt, level, r);
	if (rc == 0)
		rc = linz_why(p, h, x.w, x.cnt, level, r);
	saved = errno;
	free(room);
	errno = saved;
	return rc;
}
