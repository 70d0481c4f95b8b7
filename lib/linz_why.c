/*
 * linz_why: the longest order of a window, and why nothing follows it.
 */

#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

#define SEARCH_STATES	20000U
#define SEARCH_NS	INT64_C(1000000000)
#define MEMORY_MAX	(64U << 20)
#define WHY_MAX		12		/* operations whose refusal is told */
#define TAIL_MAX	60		/* bytes of a text that are told */
#define OPS_MAX		5000		/* a longer window is not searched */

struct why {
	const struct linz_prob *p;
	const struct op_history *h;
	const struct linz_op *w;
	size_t cnt;
	enum linz_level level;
	struct linz_result *r;
};

/* A lock's owner is a process id + 1. */
static int
say_value(struct why *x, struct buf *b, uint32_t val)
{
	if (x->p->model != LINZ_LOCK && x->p->model != LINZ_MUTEX)
		return op_print(x->h->values, val, 60, b);
	if (val == 0)
		return buf_put_str(b, "free");
	if (x->p->model == LINZ_MUTEX)
		return buf_put_str(b, "held");
	if (buf_put_str(b, "held by ") == -1)
		return -1;
	return op_print(x->h->values, val - 1, 60, b);
}

/* The first few items of a queue, log or set. */
static int
say_items(struct why *x, struct buf *b, const struct linz_machine *m,
    uint32_t key)
{
	const struct linz_cell *c = &m->cells[key];
	size_t end = b->len + 60;
	bool first = true;

	if (buf_put_byte(b, '[') == -1)
		return -1;
	for (size_t i = 0; i < (m->kind == KIND_SET ? m->elements_cnt :
	    (size_t)(c->tail - c->head)); i++) {
		uint32_t item;

		if (m->kind == KIND_SET) {
			if (!m->in[i] || m->elements[i].key != key)
				continue;
			item = m->elements[i].value;
		} else {
			item = m->items[c->head + i];
		}
		if (!first && buf_put_byte(b, ' ') == -1)
			return -1;
		first = false;
		if (b->len > end)
			return buf_put_str(b, "...]");
		if (op_print(x->h->values, item, 30, b) == -1)
			return -1;
	}
	return buf_put_byte(b, ']');
}

/* The end of a text: that is where it grows. */
static int
say_tail(struct buf *b, const struct buf *t)
{
	size_t from = t->len > TAIL_MAX ? t->len - TAIL_MAX : 0;

	/* Not from the middle of a character on. */
	while (from > 0 && from < t->len && (t->data[from] & 0xc0) == 0x80)
		from++;
	if (from > 0 && buf_put_str(b, "...") == -1)
		return -1;
	return op_print_text(t->data == NULL ? "" :
	    (const char *)t->data + from, t->len - from, true, SIZE_MAX / 2, b);
}

/* A text is put together anew from what was written to it. */
static int
say_text(struct buf *b, const struct linz_prob *p, const struct linz_out *o,
    uint32_t key)
{
	struct buf t = { 0 };
	size_t len;
	const char *q = op_text(p->v, p->init, &len);
	bool nil = p->init == OP_NIL;
	int rc = buf_put(&t, q, len);

	for (size_t i = 0; rc == 0 && i < o->best_cnt; i++) {
		const struct linz_op *w = &p->ops[o->best[i]];

		if (w->key - p->key0 != key || linz_pure(p, w))
			continue;
		if (w->f != LINZ_APPEND)
			t.len = 0;
		nil = w->f == LINZ_WRITE && w->a == OP_NIL;
		q = op_text(p->v, w->f == LINZ_CAS ? w->b : w->a, &len);
		rc = buf_put(&t, q, len);
	}
	if (rc == 0)
		rc = nil ? buf_put_str(b, "nil") : say_tail(b, &t);
	buf_release(&t);
	return rc;
}

static int
say_txn(struct why *x, struct buf *b, const struct linz_machine *m,
    const struct linz_op *o)
{
	for (uint32_t i = 0; i < o->b; i++) {
		const struct linz_part *part = &x->p->parts[o->a + i];

		if (part->write || m->cells[part->key].val == part->value)
			continue;
		if (buf_put_str(b, "a register it read as ") == -1 ||
		    op_print(x->h->values, part->value, 60, b) == -1 ||
		    buf_put_str(b, " is ") == -1)
			return -1;
		return op_print(x->h->values, m->cells[part->key].val, 60, b);
	}
	return buf_put_str(b, "what it read is not there");
}

static int
say_state(struct why *x, struct buf *b, const struct linz_machine *m,
    const struct linz_out *o, const struct linz_op *op)
{
	static const char *const nouns[] = { [KIND_FIFO] = "the queue",
	    [KIND_SET] = "the set", [KIND_LOG] = "the log" };
	uint32_t key = op->key - x->p->key0;
	bool lock = x->p->model == LINZ_LOCK || x->p->model == LINZ_MUTEX;

	switch (m->kind) {
	case KIND_REG:
		if (buf_put_str(b, lock ? "the lock is " : "the value is ") ==
		    -1)
			return -1;
		return say_value(x, b, m->cells[key].val);
	case KIND_MULTI:
		return say_txn(x, b, m, op);
	case KIND_STR:
		if (buf_put_str(b, "the value is ") == -1)
			return -1;
		return say_text(b, m->p, o, key);
	case KIND_FIFO:
	case KIND_SET:
	case KIND_LOG:
		break;
	}
	if (buf_printf(b, "%s is ", nouns[m->kind]) == -1)
		return -1;
	return say_items(x, b, m, key);
}

/* May this come next, as far as time or its process is concerned? */
static bool
may_follow(const struct why *x, const uint8_t *done, size_t op)
{
	const struct linz_op *o = &x->w[op];

	for (size_t i = 0; i < x->cnt; i++) {
		const struct linz_op *other = &x->w[i];

		if (done[i] || i == op || other->optional)
			continue;
		if (x->level == LINZ_SEQUENTIAL ? other->proc == o->proc &&
		    i < op : other->ret < o->call)
			return false;
	}
	return true;
}

static int
say_why(struct why *x, const struct linz_prob *p, struct linz_out *o)
{
	struct linz_machine m;
	struct linz_undo u;
	struct buf *b = &x->r->why;
	uint8_t *done = calloc(x->cnt + 1, 1);
	int told = 0, rc = 0;

	if (done == NULL || linz_machine_init(&m, p) == -1) {
		free(done);
		return -1;
	}
	for (size_t i = 0; rc == 0 && i < o->best_cnt; i++) {
		done[o->best[i]] = 1;
		rc = linz_do(&m, o->best[i], &u);
	}
	for (uint32_t i = 0; rc == 0 && i < x->cnt && told < WHY_MAX; i++) {
		if (done[i] || x->w[i].optional || !may_follow(x, done, i))
			continue;
		told++;
		rc = linz_say_op(x->h, x->w[i].src, b);
		if (rc == 0)
			rc = buf_put_str(b, linz_can(&m, i) ?
			    ": could follow, but then another cannot; " :
			    ": cannot follow; ");
		if (rc == 0)
			rc = say_state(x, b, &m, o, &x->w[i]);
		if (rc == 0)
			rc = buf_put_byte(b, '\n');
	}
	linz_machine_release(&m);
	free(done);
	return rc;
}

/* Of all values a register may begin with the one that leads the farthest. */
static int
best_start(struct why *x, struct linz_prob *p, struct mono deadline)
{
	size_t most = 0;
	bool any = false;

	for (size_t i = 0; i < x->cnt; i++) {
		struct linz_limit limit = { deadline, MEMORY_MAX,
		    SEARCH_STATES, 0, NULL };
		struct linz_out o = { 0 };

		if (x->w[i].f != LINZ_READ && x->w[i].f != LINZ_CAS)
			continue;
		p->init = x->w[i].a;
		if (linz_search(p, x->level, &limit, &o) == -1)
			return -1;
		if (!any || o.placed > most) {
			any = true;
			most = o.placed;
			x->r->start = p->init;
		}
		linz_out_release(&o);
	}
	p->init = x->r->start;
	return 0;
}

static int
longest_order(struct why *x)
{
	struct linz_prob p = *x->p;
	struct linz_limit limit = { mono_after(SEARCH_NS), MEMORY_MAX,
	    SEARCH_STATES, 0, NULL };
	struct linz_out o = { .want_best = true };
	int rc;

	p.ops = x->w;
	p.cnt = x->cnt;
	if (x->r->cropped && best_start(x, &p, limit.deadline) == -1)
		return -1;
	rc = linz_search(&p, x->level, &limit, &o);
	if (rc == 0 && o.best_cnt > 0) {
		x->r->placed_ops = calloc(o.best_cnt, sizeof(uint32_t));
		if (x->r->placed_ops == NULL)
			rc = -1;
		for (size_t i = 0; rc == 0 && i < o.best_cnt; i++)
			x->r->placed_ops[i] = x->w[o.best[i]].src;
		x->r->placed_cnt = o.best_cnt;
	}
	if (rc == 0)
		rc = say_why(x, &p, &o);
	o.want_best = false;
	linz_out_release(&o);
	return rc;
}

int
linz_why(const struct linz_prob *p, const struct op_history *h,
    const struct linz_op *ops, size_t cnt, enum linz_level level,
    struct linz_result *r)
{
	struct why x = { p, h, ops, cnt, level, r };

	if (level == LINZ_REGULAR || cnt > OPS_MAX)
		return 0;
	return longest_order(&x);
}
