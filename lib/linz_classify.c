/*
 * linz_classify: the anomaly's name, and a sentence for each operation that
 * makes it one.  The window proves that there is no order; this only looks for
 * the best known shape in it, and in no more than WINDOW_MAX operations of one
 * that could not be made small.
 */

#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

#define WINDOW_MAX	64

struct classify {
	const struct linz_prob *p;	/* all operations of the key */
	const struct op_history *h;
	const struct linz_op *w;	/* the window */
	size_t cnt;
	struct linz_result *r;
};

static const char *const anomaly_names[] = {
	[LINZ_NONE] = "no known anomaly",
	[LINZ_STALE_READ] = "stale read",
	[LINZ_INVERSION] = "new/old inversion",
	[LINZ_LOST_UPDATE] = "lost update",
	[LINZ_FAILED_READ] = "read of a failed write",
	[LINZ_NOWHERE] = "read of a value nobody wrote",
	[LINZ_FUTURE] = "read of a value not yet written",
	[LINZ_TWO_HOLDERS] = "two holders",
	[LINZ_NOT_HELD] = "release of a lock not held",
	[LINZ_DUPLICATE] = "item delivered twice",
	[LINZ_ORDER] = "items out of order",
	[LINZ_WRONG_EMPTY] = "empty, but it was not",
	[LINZ_DIVERGED] = "reads that diverge",
	[LINZ_LOST_ITEM] = "lost item",
};

const char *
linz_anomaly_name(enum linz_anomaly anomaly)
{
	return anomaly_names[anomaly];
}

int
linz_say_op(const struct op_history *h, uint32_t op, struct buf *b)
{
	const struct op *o = &h->ops[op];
	int rc;

	if (o->ret_line != 0 && o->ret_line != o->call_line)
		rc = buf_printf(b, "lines %u and %u: ", o->call_line,
		    o->ret_line);
	else
		rc = buf_printf(b, "line %u: ", o->call_line);
	if (rc == -1 || linz_describe(h, op, 60, b) == -1)
		return -1;
	if (op_kind(h->values, o->proc) == OP_KIND_NIL)
		return 0;
	if (buf_put_str(b, " by process ") == -1)
		return -1;
	return op_print(h->values, o->proc, 40, b);
}

/* One operation and what there is to say of it. */
static int
say(struct classify *c, const struct linz_op *o, const char *what)
{
	struct buf *b = &c->r->words;

	if (linz_say_op(c->h, o->src, b) == -1 ||
	    buf_put_str(b, what) == -1)
		return -1;
	return buf_put_byte(b, '\n');
}

static bool
before(const struct linz_op *a, const struct linz_op *b)
{
	return a->ret < b->call;
}

/* Does o leave this value behind it? */
static bool
writes(const struct linz_op *o, uint32_t key, uint32_t value)
{
	if (o->key != key)
		return false;
	switch (o->f) {
	case LINZ_CAS:
		return o->b == value;
	case LINZ_WRITE:
	case LINZ_ENQUEUE:
	case LINZ_ADD:
	case LINZ_LOG_APPEND:
		return o->a == value;
	default:
		return false;
	}
}

static bool
observes(const struct linz_op *o)
{
	return !o->optional && (o->f == LINZ_READ || o->f == LINZ_CAS ||
	    (o->f == LINZ_DEQUEUE && o->a != OP_NIL));
}

/* The last item of a list or of words. */
static bool
ends_with(const struct op_values *v, uint32_t arg, uint32_t value)
{
	size_t cnt, len, n;
	const uint32_t *items = op_items(v, arg, &cnt);
	const char *t = op_text(v, arg, &len), *q = op_text(v, value, &n);

	if (cnt > 0)
		return items[cnt - 1] == value;
	return n > 0 && len > n && memcmp(t + len - n, q, n) == 0 &&
	    (t[len - n - 1] == ' ' || t[len - n - 1] == '\t');
}

/* A failed operation that would have written the value, or NULL. */
static const struct op *
failed_writer(const struct classify *c, uint32_t key, uint32_t value)
{
	for (size_t i = 0; i < c->h->cnt; i++) {
		const struct op *o = &c->h->ops[i];

		if (o->class == OP_FAIL && o->key == key &&
		    (o->arg == value || ends_with(c->h->values, o->arg,
		    value)))
			return o;
	}
	return NULL;
}

/* o returned value, which nobody can have written: 1 said so, 0 it is not. */
static int
from_nowhere(struct classify *c, const struct linz_op *o, uint32_t value)
{
	const struct linz_op *late = NULL;
	const struct op *failed;
	struct buf *b = &c->r->words;

	for (size_t i = 0; i < c->p->cnt; i++) {
		const struct linz_op *w = &c->p->ops[i];

		if (!writes(w, o->key, value))
			continue;
		if (w->call <= o->ret)
			return 0;
		late = w;
	}
	if (late != NULL) {
		c->r->anomaly = LINZ_FUTURE;
		return say(c, o, " ended before the value was written") == -1 ||
		    say(c, late, " began after that") == -1 ? -1 : 1;
	}
	failed = failed_writer(c, c->h->ops[o->src].key, value);
	c->r->anomaly = failed == NULL ? LINZ_NOWHERE : LINZ_FAILED_READ;
	if (linz_say_op(c->h, o->src, b) == -1 ||
	    buf_put_str(b, " saw ") == -1 ||
	    op_print(c->h->values, value, 60, b) == -1)
		return -1;
	if (failed == NULL)
		return buf_put_str(b, ", which no operation wrote\n") == -1 ?
		    -1 : 1;
	return buf_printf(b, ", written only by an operation recorded as "
	    "failed (line %u)\nIf that one timed out, it may have happened: "
	    "record it as info.\n", failed->call_line) == -1 ? -1 : 1;
}

/* Was the value surely overwritten by w before o began? */
static bool
is_stale(const struct classify *c, const struct linz_op *o,
    const struct linz_op *w, const struct linz_op **source)
{
	*source = NULL;
	if (!before(w, o) || w->key != o->key || writes(w, o->key, o->a))
		return false;
	for (size_t i = 0; i < c->p->cnt; i++) {
		const struct linz_op *s = &c->p->ops[i];

		if (!writes(s, o->key, o->a) || s->call > o->ret)
			continue;
		if (!before(s, w))
			return false;
		*source = s;
	}
	return *source != NULL || o->a == c->p->init;
}

static int
find_stale(struct classify *c)
{
	const struct linz_op *source;

	for (size_t i = 0; i < c->cnt; i++) {
		const struct linz_op *o = &c->w[i];

		if (!observes(o) || o->f == LINZ_DEQUEUE)
			continue;
		for (size_t j = 0; j < c->cnt; j++) {
			const struct linz_op *w = &c->w[j];

			if (w->optional || (w->f != LINZ_WRITE &&
			    w->f != LINZ_CAS) || !is_stale(c, o, w, &source))
				continue;
			c->r->anomaly = o->f == LINZ_CAS ? LINZ_LOST_UPDATE :
			    LINZ_STALE_READ;
			if (source != NULL && say(c, source,
			    " ended before the next began") == -1)
				return -1;
			if (say(c, w, " overwrote it and ended before the "
			    "next began") == -1 ||
			    say(c, o, " still saw the old value") == -1)
				return -1;
			return 1;
		}
	}
	return 0;
}

static int
find_lost_update(struct classify *c)
{
	for (size_t i = 0; i < c->cnt; i++)
		for (size_t j = 0; j < i; j++) {
			const struct linz_op *a = &c->w[j], *b = &c->w[i];
			size_t writers = a->a == c->p->init;

			if (a->f != LINZ_CAS || b->f != LINZ_CAS ||
			    a->optional || b->optional || a->a != b->a ||
			    a->key != b->key)
				continue;
			for (size_t k = 0; k < c->p->cnt; k++)
				writers += writes(&c->p->ops[k], a->key, a->a);
			if (writers != 1)
				continue;
			c->r->anomaly = LINZ_LOST_UPDATE;
			if (say(c, a, " replaced a value written only once") ==
			    -1 || say(c, b, " replaced the same value") == -1)
				return -1;
			return 1;
		}
	return 0;
}

/*
 * In a window without anything to spare, two reads one after the other that
 * are all that asks for a value: each could be, but not both.
 */
static int
find_inversion(struct classify *c)
{
	const struct linz_op *first = NULL, *second = NULL;

	for (size_t i = 0; i < c->cnt; i++) {
		if (!observes(&c->w[i]))
			continue;
		if (second != NULL || c->w[i].f != LINZ_READ)
			return 0;
		second = first == NULL ? NULL : &c->w[i];
		first = first == NULL ? &c->w[i] : first;
	}
	if (second == NULL || !c->r->window_least || first->a == second->a ||
	    first->key != second->key || !before(first, second))
		return 0;
	c->r->anomaly = LINZ_INVERSION;
	if (say(c, first, " saw one value and ended before the next began") ==
	    -1 || say(c, second, " saw another, which cannot be newer") == -1)
		return -1;
	return 1;
}

/* Two reads alone, whatever the value was before: nobody else had a say. */
static int
find_torn(struct classify *c)
{
	const struct linz_op *a = &c->w[0], *b = &c->w[1];

	if (!c->r->cropped || c->cnt != 2 || a->f != LINZ_READ ||
	    b->f != LINZ_READ || a->a == b->a)
		return 0;
	c->r->anomaly = LINZ_STALE_READ;
	if (say(c, a, " saw one value") == -1 || say(c, b, " saw another, but "
	    "while they ran nobody wrote either: one is stale") == -1)
		return -1;
	return 1;
}

static int
classify_register(struct classify *c)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->cnt; i++)
		if (observes(&c->w[i]) && c->w[i].a != c->p->init)
			rc = from_nowhere(c, &c->w[i], c->w[i].a);
	if (rc == 0)
		rc = find_stale(c);
	if (rc == 0)
		rc = find_lost_update(c);
	if (rc == 0)
		rc = find_torn(c);
	if (rc == 0)
		rc = find_inversion(c);
	return rc;
}

static int
classify_lock(struct classify *c)
{
	const struct linz_op *bad = NULL, *other = NULL;

	for (size_t i = 0; i < c->cnt; i++)
		if (c->w[i].src == c->r->culprit)
			bad = &c->w[i];
	if (bad == NULL)
		return 0;
	for (size_t i = 0; i < c->cnt; i++)
		if (&c->w[i] != bad && c->w[i].a == 0 && !c->w[i].optional)
			other = &c->w[i];
	c->r->anomaly = bad->a == 0 ? LINZ_TWO_HOLDERS : LINZ_NOT_HELD;
	if (bad->a == 0 && other != NULL &&
	    say(c, other, " had the lock") == -1)
		return -1;
	return say(c, bad, bad->a == 0 ?
	    " was given it, but nobody can have released it before" :
	    " released it, but cannot have held it then") == -1 ? -1 : 1;
}

static int
classify_fifo(struct classify *c)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->cnt; i++)
		if (observes(&c->w[i]))
			rc = from_nowhere(c, &c->w[i], c->w[i].a);
	for (size_t i = 0; rc == 0 && i < c->cnt; i++)
		for (size_t j = 0; rc == 0 && j < i; j++) {
			size_t writers = 0;

			if (!observes(&c->w[i]) || !observes(&c->w[j]) ||
			    c->w[i].a != c->w[j].a)
				continue;
			for (size_t k = 0; k < c->p->cnt; k++)
				writers += writes(&c->p->ops[k], c->w[i].key,
				    c->w[i].a);
			if (writers != 1)
				continue;
			c->r->anomaly = LINZ_DUPLICATE;
			rc = say(c, &c->w[j], " took an item enqueued only "
			    "once") == -1 || say(c, &c->w[i],
			    " took it, too") == -1 ? -1 : 1;
		}
	for (size_t i = 0; rc == 0 && i < c->cnt; i++)
		if (c->w[i].f == LINZ_DEQUEUE && !c->w[i].optional &&
		    c->w[i].a == OP_NIL) {
			c->r->anomaly = LINZ_WRONG_EMPTY;
			rc = say(c, &c->w[i], " found nothing, but at no time "
			    "while it ran can the queue have been empty") ==
			    -1 ? -1 : 1;
		}
	if (rc == 0) {
		c->r->anomaly = LINZ_ORDER;
		rc = 1;
		for (size_t i = 0; rc == 1 && i < c->cnt; i++)
			if (say(c, &c->w[i], "") == -1)
				rc = -1;
		if (rc == 1 && buf_put_str(&c->r->words, "Items must leave in "
		    "the order in which they came.\n") == -1)
			rc = -1;
	}
	return rc;
}

static bool
holds(const struct op_values *v, uint32_t list, uint32_t value)
{
	size_t cnt;
	const uint32_t *items = op_items(v, list, &cnt);

	for (size_t i = 0; i < cnt; i++)
		if (items[i] == value)
			return true;
	return false;
}

/* Neither holds all of the other (set), or neither begins the other (log). */
static bool
diverge(const struct classify *c, uint32_t a, uint32_t b)
{
	const struct op_values *v = c->p->v;
	size_t na, nb;
	const uint32_t *la = op_items(v, a, &na), *lb = op_items(v, b, &nb);

	if (na > nb)
		return diverge(c, b, a);
	for (size_t i = 0; i < na; i++)
		if (c->p->model == LINZ_LOG ? la[i] != lb[i] :
		    !holds(v, b, la[i]))
			return true;
	return false;
}

/* A read without what was added before it began. */
static int
find_missing(struct classify *c, const struct linz_op *read)
{
	for (size_t i = 0; i < c->cnt; i++) {
		const struct linz_op *w = &c->w[i];
		bool ever = false;

		if ((w->f != LINZ_ADD && w->f != LINZ_LOG_APPEND) ||
		    w->optional || w->key != read->key || !before(w, read) ||
		    holds(c->p->v, read->a, w->a))
			continue;
		for (size_t k = 0; k < c->p->cnt && !ever; k++) {
			const struct linz_op *o = &c->p->ops[k];

			ever = o->f == read->f && holds(c->p->v, o->a, w->a);
		}
		c->r->anomaly = ever ? LINZ_STALE_READ : LINZ_LOST_ITEM;
		return say(c, w, " ended before the next began") == -1 ||
		    say(c, read, ever ? " does not show it" :
		    " does not show it, and no other read does") == -1 ? -1 :
		    1;
	}
	return 0;
}

static int
classify_list(struct classify *c)
{
	const struct linz_op *reads[2] = { NULL, NULL };
	const uint32_t *items;
	size_t cnt;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->cnt; i++) {
		const struct linz_op *o = &c->w[i];

		if ((o->f != LINZ_SET_READ && o->f != LINZ_LOG_READ) ||
		    o->b > 0)
			continue;
		items = op_items(c->p->v, o->a, &cnt);
		for (size_t j = 0; rc == 0 && j < cnt; j++)
			rc = from_nowhere(c, o, items[j]);
		if (reads[0] == NULL)
			reads[0] = o;
		else if (reads[1] == NULL && diverge(c, reads[0]->a, o->a))
			reads[1] = o;
	}
	for (size_t i = 0; rc == 0 && i < c->cnt; i++)
		if (c->w[i].f == LINZ_SET_READ || c->w[i].f == LINZ_LOG_READ)
			rc = find_missing(c, &c->w[i]);
	if (rc == 0 && reads[1] != NULL) {
		c->r->anomaly = LINZ_DIVERGED;
		return say(c, reads[0], "") == -1 || say(c, reads[1],
		    " cannot both have been seen, in either order") == -1 ?
		    -1 : 1;
	}
	return rc;
}

static bool
begins(const struct op_values *v, uint32_t text, uint32_t part)
{
	size_t len, n;
	const char *t = op_text(v, text, &len), *q = op_text(v, part, &n);

	return n <= len && memcmp(t, q, n) == 0;
}

/* A text that begins with nothing that was ever written: 1 said so, 0, -1. */
static int
text_from_nowhere(struct classify *c, const struct linz_op *o)
{
	struct buf *b = &c->r->words;
	size_t len;
	bool source = c->p->init != OP_NIL &&
	    begins(c->p->v, o->a, c->p->init);

	for (size_t i = 0; i < c->p->cnt && !source; i++) {
		const struct linz_op *w = &c->p->ops[i];

		source = w->key == o->key && (w->f == LINZ_APPEND ||
		    w->f == LINZ_WRITE || w->f == LINZ_CAS) &&
		    begins(c->p->v, o->a, w->f == LINZ_CAS ? w->b : w->a);
	}
	(void)op_text(c->p->v, o->a, &len);
	if (source || len == 0)
		return 0;
	c->r->anomaly = LINZ_NOWHERE;
	if (linz_say_op(c->h, o->src, b) == -1 ||
	    buf_put_str(b, " saw ") == -1 ||
	    op_print(c->h->values, o->a, 60, b) == -1 ||
	    buf_put_str(b, ", whose beginning no operation wrote\n") == -1)
		return -1;
	return 1;
}

/* Texts that are only appended to, as two reads saw them. */
static int
classify_text(struct classify *c)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < c->cnt; i++)
		if (c->w[i].f == LINZ_READ)
			rc = text_from_nowhere(c, &c->w[i]);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < c->p->cnt; i++)
		if (c->p->ops[i].f == LINZ_WRITE || c->p->ops[i].f == LINZ_CAS)
			return 0;
	for (size_t i = 0; i < c->cnt; i++)
		for (size_t j = 0; j < c->cnt; j++) {
			const struct linz_op *a = &c->w[i], *b = &c->w[j];
			bool shorter;

			if (a->f != LINZ_READ || b->f != LINZ_READ ||
			    a->a == b->a || a->key != b->key ||
			    begins(c->p->v, b->a, a->a))
				continue;
			shorter = begins(c->p->v, a->a, b->a);
			if (shorter && !before(a, b))
				continue;
			c->r->anomaly = shorter ? LINZ_STALE_READ :
			    LINZ_DIVERGED;
			if (say(c, a, shorter ? " ended before the next began" :
			    "") == -1 || say(c, b, shorter ?
			    " saw less of the text" : " cannot both have been "
			    "seen, in either order") == -1)
				return -1;
			return 1;
		}
	return 0;
}

static int
classify(struct classify *c)
{
	switch (c->p->model) {
	case LINZ_LOCK:
	case LINZ_MUTEX:
		return classify_lock(c);
	case LINZ_FIFO:
		return classify_fifo(c);
	case LINZ_SET:
	case LINZ_LOG:
		return classify_list(c);
	case LINZ_MULTI_REGISTER:
		return 0;
	case LINZ_AUTO:
	case LINZ_REGISTER:
	case LINZ_CAS_REGISTER:
	case LINZ_KV:
		break;
	}
	for (size_t i = 0; i < c->p->cnt; i++)
		if (c->p->ops[i].f == LINZ_APPEND)
			return classify_text(c);
	return classify_register(c);
}

int
linz_classify(const struct linz_prob *p, const struct op_history *h,
    const struct linz_op *ops, size_t cnt, enum linz_level level,
    struct linz_result *r)
{
	size_t tail = cnt > WINDOW_MAX ? WINDOW_MAX : cnt;
	struct classify c = { p, h, ops + (cnt - tail), tail, r };
	int rc = classify(&c);

	if (rc != 0)
		return rc == -1 ? -1 : 0;
	return buf_printf(&r->words, "No order of these %zu operations "
	    "explains what each returned%s.\n", cnt,
	    level == LINZ_SEQUENTIAL ? ", even if only the order of each "
	    "process counts" : "");
}
