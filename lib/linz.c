/*
 * linz: bind the history to a model, divide it by key where that is sound,
 * choose the judge, put the orders of all keys together.
 *
 * Linearizability and regularity are local: each key is judged alone.
 * Sequential consistency is not; but one that is linearizable is sequential,
 * and one key that is not sequential alone convicts the whole.
 */

#include "linz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

#define FIRST_STATES	UINT64_C(20000)	/* each key, before any has more */

struct judging {
	struct op_history *h;
	const struct linz_conf *conf;
	struct linz_result *r;
	struct linz_bound b;
	struct linz_prob *probs;	/* by key */
	struct linz_out *outs;
	size_t cnt;
	struct linz_limit limit;
};

void
linz_out_release(struct linz_out *o)
{
	bool order = o->want_order, best = o->want_best;

	free(o->order);
	free(o->best);
	free(o->seed);
	*o = (struct linz_out){ .want_order = order, .want_best = best,
	    .farthest = UINT32_MAX };
}

int
linz_decide(const struct linz_prob *p, enum linz_level level,
    struct linz_limit *limit, struct linz_out *o)
{
	int rc = 0;

	linz_out_release(o);
	if (level == LINZ_REGULAR) {
		rc = linz_regular(p, o);
		if (rc == 0) {
			o->verdict = LINZ_UNKNOWN;
			o->reason = LINZ_NO_MEANING;
		}
		return rc == -1 ? -1 : 0;
	}
	if (level == LINZ_LINEARIZABLE) {
		rc = linz_zone(p, o);
		if (rc == 0)
			rc = linz_fifo(p, o);
		if (rc == 0)
			rc = linz_slot(p, o);
	}
	if (rc == 0)
		rc = linz_quick(p, level, o);
	if (rc != 0)
		return rc == -1 ? -1 : 0;
	return linz_search(p, level, limit, o);
}

/* The keys as problems of their own, or all as one. */
static int
divide(struct judging *j, bool whole)
{
	bool lock = j->b.model == LINZ_LOCK || j->b.model == LINZ_MUTEX;
	struct linz_prob all = { .ops = j->b.ops, .cnt = j->b.cnt,
	    .keys = (uint32_t)j->b.keys, .model = j->b.model,
	    .init = lock ? 0 : j->conf->init, .v = j->h->values, .parts = j->b.parts };
	size_t from = 0, to;

	free(j->probs);
	free(j->outs);
	j->cnt = whole || j->b.model == LINZ_MULTI_REGISTER ? 1 : j->b.keys;
	j->probs = calloc(j->cnt + 1, sizeof(*j->probs));
	j->outs = calloc(j->cnt + 1, sizeof(*j->outs));
	if (j->probs == NULL || j->outs == NULL)
		return -1;
	if (j->cnt == 1) {
		j->probs[0] = all;
		return 0;
	}
	for (size_t k = 0; k < j->cnt; k++, from = to) {
		for (to = from; to < all.cnt && all.ops[to].key == k; to++)
			;
		j->probs[k] = all;
		j->probs[k].ops = all.ops + from;
		j->probs[k].cnt = to - from;
		j->probs[k].key0 = (uint32_t)k;
		j->probs[k].keys = 1;
	}
	return 0;
}

static void
undivide(struct judging *j)
{
	for (size_t i = 0; i < j->cnt && j->outs != NULL; i++) {
		j->outs[i].want_order = j->outs[i].want_best = false;
		linz_out_release(&j->outs[i]);
	}
	j->cnt = 0;
}

/* For the ops of a problem in this order: when each may have happened. */
struct moment {
	int64_t at;
	uint32_t key, seq;
	struct linz_step step;
};

static int
by_moment(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/*
 * One order of all keys: each operation as early as its call and those before
 * it in its key allow, which is never after its return.
 */
static int
merge(struct judging *j, bool timed)
{
	struct moment *m;
	size_t total = 0, cnt = 0;

	for (size_t k = 0; k < j->cnt; k++)
		total += j->outs[k].order_cnt;
	m = calloc(total + 1, sizeof(*m));
	j->r->order = calloc(total + 1, sizeof(*j->r->order));
	if (m == NULL || j->r->order == NULL) {
		free(m);
		return -1;
	}
	for (size_t k = 0; k < j->cnt; k++) {
		int64_t at = INT64_MIN;

		for (size_t i = 0; i < j->outs[k].order_cnt; i++) {
			const struct linz_op *o =
			    &j->probs[k].ops[j->outs[k].order[i]];

			if (timed && o->call > at)
				at = o->call;
			m[cnt++] = (struct moment){ at, (uint32_t)k,
			    (uint32_t)i, { o->src, o->optional } };
		}
	}
	qsort(m, cnt, sizeof(*m), by_moment);
	for (size_t i = 0; i < cnt; i++)
		j->r->order[i] = m[i].step;
	j->r->order_cnt = cnt;
	free(m);
	return 0;
}

static void
report_key(struct judging *j, size_t k)
{
	struct linz_result *r = j->r;

	r->verdict = j->outs[k].verdict;
	r->reason = j->outs[k].reason;
	r->placed = j->outs[k].placed;
	r->to_place = j->outs[k].to_place;
	r->keyed = j->b.keyed && j->probs[k].keys == 1 &&
	    j->b.model != LINZ_MULTI_REGISTER;
	if (r->keyed)
		r->key = j->b.key_ids[j->probs[k].key0];
}

/* Judge all problems; a first round keeps one hard key from hiding others. */
static int
judge_all(struct judging *j, const struct linz_conf *conf,
    enum linz_level level)
{
	uint64_t most = conf->states_max;
	size_t unknown = SIZE_MAX;

	for (int round = 0; round < 2; round++) {
		for (size_t k = 0; k < j->cnt; k++) {
			struct linz_out *o = &j->outs[k];

			if (round == 1 && (o->verdict != LINZ_UNKNOWN ||
			    o->reason != LINZ_STATES))
				continue;
			j->limit.states_max = most;
			if (round == 0 && (most == 0 ||
			    most - j->limit.states > FIRST_STATES))
				j->limit.states_max = j->limit.states +
				    FIRST_STATES;
			o->want_order = conf->want_order;
			if (linz_decide(&j->probs[k], level, &j->limit, o) ==
			    -1)
				return -1;
			/* j owns what o points to. */
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
			if (o->verdict == LINZ_NO) {
				report_key(j, k);
				return conf->want_window ? linz_explain(
				    &j->probs[k], j->h, conf, level, o,
				    j->r) : 0;
			}
		}
	}
	for (size_t k = 0; k < j->cnt && unknown == SIZE_MAX; k++)
		if (j->outs[k].verdict == LINZ_UNKNOWN)
			unknown = k;
	if (unknown != SIZE_MAX) {
		report_key(j, unknown);
		return 0;
	}
	j->r->verdict = LINZ_YES;
	j->r->reason = LINZ_DECIDED;
	return conf->want_order && level != LINZ_REGULAR ?
	    merge(j, level == LINZ_LINEARIZABLE || j->cnt > 1) : 0;
}

/* Neither window nor words of an attempt that did not decide. */
static void
forget(struct linz_result *r)
{
	free(r->window);
	free(r->placed_ops);
	r->window = NULL;
	r->placed_ops = NULL;
	r->window_cnt = r->placed_cnt = 0;
	r->words.len = r->why.len = 0;
	r->anomaly = LINZ_NONE;
}

static int
by_process(const void *a, const void *b)
{
	const struct linz_op *x = a, *y = b;

	if (x->proc != y->proc)
		return x->proc < y->proc ? -1 : 1;
	return x->src < y->src ? -1 : x->src > y->src;
}

/* 1 a process overlaps itself, so there is no process order; *touch: one ends
 * when its next begins, which real time does not order; 0; -1. */
static int
overlaps(const struct linz_bound *b, bool *touch)
{
	struct linz_op *ops = calloc(b->cnt + 1, sizeof(*ops));
	const struct linz_op *last = NULL;
	int rc = 0;

	if (ops == NULL)
		return -1;
	*touch = false;
	memcpy(ops, b->ops, b->cnt * sizeof(*ops));
	qsort(ops, b->cnt, sizeof(*ops), by_process);
	for (size_t i = 0; i < b->cnt; i++) {
		if (last != NULL && last->proc == ops[i].proc) {
			if (last->ret > ops[i].call)
				rc = 1;
			*touch |= last->ret == ops[i].call;
		}
		if (!ops[i].optional)
			last = &ops[i];
	}
	free(ops);
	return rc;
}

static int
judge_sequential(struct judging *j)
{
	struct linz_conf conf = *j->conf;
	bool touch;
	int rc = overlaps(&j->b, &touch);

	if (rc != 0) {
		j->r->verdict = LINZ_UNKNOWN;
		j->r->reason = LINZ_OVERLAP;
		return rc == -1 ? -1 : 0;
	}
	conf.want_window = false;
	conf.states_max = conf.states_max == 0 ? FIRST_STATES * 50 :
	    conf.states_max / 4;
	if (!touch && judge_all(j, &conf, LINZ_LINEARIZABLE) == -1)
		return -1;
	if (!touch && j->r->verdict == LINZ_YES)
		return 0;
	conf = *j->conf;
	if (j->cnt > 1) {
		conf.want_order = false;
		undivide(j);
		if (divide(j, false) == -1 ||
		    judge_all(j, &conf, LINZ_SEQUENTIAL) == -1)
			return -1;
		if (j->r->verdict == LINZ_NO)
			return 0;
	}
	undivide(j);
	forget(j->r);
	if (divide(j, true) == -1)
		return -1;
	return judge_all(j, j->conf, LINZ_SEQUENTIAL);
}

int
linz_judge(struct op_history *h, const struct linz_conf *conf,
    struct linz_result *r)
{
	struct judging j = { .h = h, .conf = conf, .r = r };
	size_t completed = 0;
	int rc = -1, saved;

	*r = (struct linz_result){ .culprit = UINT32_MAX };
	j.limit = (struct linz_limit){ conf->deadline, conf->memory_max, 0, 0,
	    conf };
	if (linz_bind(h, conf, &j.b, r) == -1)
		goto out;
	r->model = j.b.model;
	r->ops = j.b.cnt;
	r->keys = j.b.keys;
	for (size_t i = 0; i < j.b.cnt; i++)
		completed += !j.b.ops[i].optional;
	if (completed == 0) {
		r->verdict = LINZ_UNKNOWN;
		r->reason = LINZ_EMPTY;
		rc = 0;
		goto out;
	}
	if (divide(&j, false) == -1)
		goto out;
	rc = conf->level == LINZ_SEQUENTIAL ? judge_sequential(&j) :
	    judge_all(&j, conf, conf->level);
	r->states = j.limit.states;
out:
	saved = errno;
	undivide(&j);
	free(j.probs);
	free(j.outs);
	linz_bound_release(&j.b);
	if (rc == -1 && saved != EBADMSG)
		linz_release(r);
	errno = saved;
	return rc;
}

void
linz_release(struct linz_result *r)
{
	free(r->order);
	free(r->window);
	free(r->placed_ops);
	buf_release(&r->words);
	buf_release(&r->why);
	*r = (struct linz_result){ .culprit = UINT32_MAX };
}

int
linz_describe(const struct op_history *h, uint32_t op, size_t max,
    struct buf *out)
{
	static const char *const reads[] = { "read", "get", "dequeue", "pop",
	    "drain" };
	const struct op *o = &h->ops[op];
	bool result = o->class == OP_OK && o->result != o->arg &&
	    o->result != OP_NIL;
	size_t len;
	const char *f = op_text(h->values, o->f, &len);

	for (size_t i = 0; i < sizeof(reads) / sizeof(*reads); i++)
		if (op_is(h->values, o->f, reads[i]) && o->class == OP_OK)
			result = true;
	if (buf_put(out, f, len) == -1)
		return -1;
	if (o->key != OP_NIL && (buf_put_byte(out, ' ') == -1 ||
	    op_print(h->values, o->key, max, out) == -1))
		return -1;
	if (o->arg != OP_NIL && (!result || o->arg != o->result) &&
	    (buf_put_byte(out, ' ') == -1 ||
	    op_print(h->values, o->arg, max, out) == -1))
		return -1;
	if (result && (buf_put_str(out, " -> ") == -1 ||
	    op_print(h->values, o->result, max, out) == -1))
		return -1;
	return 0;
}
