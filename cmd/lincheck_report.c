/* lincheck_report: a verdict in words, and as a line of JSON. */

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "lincheck_priv.h"

#define VALUE_MAX	60		/* bytes of a value that are shown */
#define ORDER_MAX	40	/* steps of a partial order, from its end */

static const char *const reasons[] = {
	[LINZ_DECIDED] = "decided",
	[LINZ_EMPTY] = "no completed operation: nothing to check",
	[LINZ_TIME] = "time limit (-W) hit",
	[LINZ_MEMORY] = "memory limit (--memory) hit",
	[LINZ_STATES] = "limit of states hit",
	[LINZ_NO_MEANING] = "the level is defined for reads and writes of "
	    "registers only",
	[LINZ_OVERLAP] = "a process has operations that overlap, so it has "
	    "no order of its own",
};

static const char *const level_keys[] = {
	[LINZ_LINEARIZABLE] = "linearizable",
	[LINZ_SEQUENTIAL] = "sequential", [LINZ_REGULAR] = "regular",
};

const char *
report_reason(enum linz_reason reason)
{
	return reasons[reason];
}

static void
need(int rc)
{
	if (rc == -1)
		err(EX_OSERR, NULL);
}

static void
print_buf(const char *indent, const struct buf *b)
{
	const char *p = (const char *)b->data, *e = p + b->len, *nl;

	for (; b->len > 0 && p < e; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(e - p));
		if (nl == NULL)
			nl = e;
		printf("%s%.*s\n", indent, (int)(nl - p), p);
	}
}

static void
print_op(const struct op_history *h, uint32_t op)
{
	struct buf b = { 0 };

	need(linz_describe(h, op, VALUE_MAX, &b));
	printf("%.*s", (int)b.len, b.data);
	buf_release(&b);
}

static void
print_key(const struct lincheck_report *p)
{
	struct buf b = { 0 };

	if (!p->r->keyed)
		return;
	need(op_print(p->h->values, p->r->key, VALUE_MAX, &b));
	printf("key %.*s: ", (int)b.len, b.data);
	buf_release(&b);
}

static void
print_unknown(const struct lincheck_report *p)
{
	const struct linz_result *r = p->r;

	print_key(p);
	printf("%s", reasons[r->reason]);
	if (r->to_place > 0 && r->reason != LINZ_EMPTY)
		printf("; at most %" PRIu64 " of %" PRIu64 " operations "
		    "placed, %" PRIu64 " states explored", r->placed,
		    r->to_place, r->states);
	printf("\n");
}

static void
print_levels(const struct lincheck_report *p)
{
	static const char *const words[] = { [LINZ_YES] = "yes",
	    [LINZ_NO] = "no", [LINZ_UNKNOWN] = "unknown" };

	for (int i = 0; i < 3; i++)
		printf("%s%s: %s", i == 0 ? "" : ", ", level_keys[i],
		    words[p->levels->of[i]]);
	printf("\n");
}

/* What a cropped window begins with: of a lock, who holds it. */
static void
print_start(const struct lincheck_report *p)
{
	bool lock = p->r->model == LINZ_LOCK || p->r->model == LINZ_MUTEX;
	struct buf b = { 0 };

	if (lock) {
		printf(p->r->start == 0 ? "a release" : "an acquire");
		return;
	}
	need(op_print(p->h->values, p->r->start, VALUE_MAX, &b));
	printf("a write of %.*s", (int)b.len, b.data);
	buf_release(&b);
}

/* The longest order, its end if it is long. */
static void
print_placed(const struct lincheck_report *p)
{
	const struct linz_result *r = p->r;
	size_t from = r->placed_cnt > ORDER_MAX ? r->placed_cnt - ORDER_MAX : 0;

	if (r->placed_cnt == 0 && r->why.len == 0)
		return;			/* it would take too long */
	printf("the longest order places %zu of them", r->placed_cnt);
	if (r->cropped) {
		printf(", after ");
		print_start(p);
	}
	if (r->placed_cnt > 0)
		printf(": ");
	if (from > 0)
		printf("(%zu before) ", from);
	for (size_t i = from; i < r->placed_cnt; i++) {
		if (i > from)
			printf("; ");
		print_op(p->h, r->placed_ops[i]);
	}
	printf("\n");
	print_buf("  ", &r->why);
}

void
report_text(const struct lincheck_report *p)
{
	const struct linz_result *r = p->r;

	if (p->levels->asked && r->verdict != LINZ_YES)
		print_levels(p);
	if (r->verdict == LINZ_UNKNOWN)
		print_unknown(p);
	if (r->verdict != LINZ_NO)
		return;
	print_key(p);
	printf("%s\n", linz_anomaly_name(r->anomaly));
	print_buf("  ", &r->words);
	printf("%zu of %" PRIu64 " operations show it%s%s:\n", r->window_cnt,
	    r->ops, !r->cropped ? "" : p->r->model == LINZ_LOCK ||
	    p->r->model == LINZ_MUTEX ? ", whoever held the lock before" :
	    ", whatever the value was before",
	    r->window_least ? "" : " (perhaps fewer would)");
	timeline_text(p);
	if (p->level != LINZ_REGULAR)
		print_placed(p);
}

void
report_order(const struct lincheck_report *p)
{
	const struct linz_result *r = p->r;
	struct buf b = { 0 };

	for (size_t i = 0; i < r->order_cnt; i++) {
		const struct op *o = &p->h->ops[r->order[i].op];
		size_t len;
		const char *name = op_text(p->h->values, o->proc, &len);

		b.len = 0;
		need(op_kind(p->h->values, o->proc) == OP_KIND_NIL ?
		    buf_put_str(&b, "-") : op_print_text(name, len, false,
		    NAME_MAX, &b));
		printf("%u\t%.*s\t", o->call_line, (int)b.len, b.data);
		print_op(p->h, r->order[i].op);
		printf("\n");
	}
	buf_release(&b);
}

/* --- JSON ---------------------------------------------------------------- */

static struct json_object *
made(struct json_object *j)
{
	if (j == NULL)
		errx(EX_OSERR, "out of memory");
	return j;
}

static void
put(struct json_object *to, const char *name, struct json_object *j)
{
	if (json_object_object_add(to, name, j) != 0)
		errx(EX_OSERR, "out of memory");
}

static struct json_object *
text(const char *s, size_t len)
{
	return made(json_object_new_string_len(s == NULL ? "" : s, (int)len));
}

/* What is not UTF-8 (a file's name) must not end up in JSON. */
static void
put_text(struct json_object *to, const char *name, const char *s)
{
	struct buf b = { 0 };

	need(op_print_text(s, strlen(s), false, SIZE_MAX / 2, &b));
	put(to, name, text((const char *)b.data, b.len));
	buf_release(&b);
}

static void
put_number(struct json_object *to, const char *name, uint64_t n)
{
	put(to, name, made(json_object_new_uint64(n)));
}

static void
put_value(struct json_object *to, const char *name, const struct op_values *v,
    uint32_t id)
{
	struct buf b = { 0 };

	if (op_kind(v, id) == OP_KIND_NIL) {
		put(to, name, NULL);
		return;
	}
	need(op_print(v, id, 4096, &b));
	put(to, name, text((const char *)b.data, b.len));
	buf_release(&b);
}

static struct json_object *
op_json(const struct op_history *h, uint32_t op)
{
	static const char *const classes[] = { [OP_OK] = "ok",
	    [OP_INFO] = "info", [OP_FAIL] = "fail" };
	const struct op *o = &h->ops[op];
	struct json_object *j = made(json_object_new_object()), *lines;
	size_t len;

	lines = made(json_object_new_array());
	need(json_object_array_add(lines,
	    made(json_object_new_int64(o->call_line))));
	if (o->ret_line != 0 && o->ret_line != o->call_line)
		need(json_object_array_add(lines,
		    made(json_object_new_int64(o->ret_line))));
	put(j, "lines", lines);
	put_value(j, "process", h->values, o->proc);
	put_text(j, "f", op_text(h->values, o->f, &len));
	put_value(j, "key", h->values, o->key);
	put_value(j, "argument", h->values, o->arg);
	put_value(j, "result", h->values, o->result);
	put_text(j, "class", classes[o->class]);
	put(j, "start", made(json_object_new_int64(o->call)));
	put(j, "end", o->ret == OP_NEVER ? NULL :
	    made(json_object_new_int64(o->ret)));
	return j;
}

static struct json_object *
lines_json(const struct buf *b)
{
	struct json_object *j = made(json_object_new_array());
	const char *p = (const char *)b->data, *e = p + b->len, *nl;

	for (; b->len > 0 && p < e; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(e - p));
		if (nl == NULL)
			nl = e;
		need(json_object_array_add(j, text(p, (size_t)(nl - p))));
	}
	return j;
}

static struct json_object *
levels_json(const struct lincheck_levels *levels)
{
	struct json_object *j = made(json_object_new_object());

	for (int i = 0; i < 3; i++)
		put(j, level_keys[i], levels->of[i] == LINZ_UNKNOWN ? NULL :
		    made(json_object_new_boolean(levels->of[i] == LINZ_YES)));
	return j;
}

static void
put_failure(struct json_object *j, const struct lincheck_report *p)
{
	const struct linz_result *r = p->r;
	struct json_object *window = made(json_object_new_array()), *one;
	struct json_object *placed = made(json_object_new_array());

	put_text(j, "anomaly", linz_anomaly_name(r->anomaly));
	put(j, "words", lines_json(&r->words));
	for (size_t i = 0; i < r->window_cnt; i++) {
		one = op_json(p->h, r->window[i].op);
		put(one, "culprit", made(json_object_new_boolean(
		    r->window[i].op == r->culprit)));
		put(one, "needed", made(json_object_new_boolean(
		    !r->window[i].optional)));
		need(json_object_array_add(window, one));
	}
	put(j, "window", window);
	put(j, "least", made(json_object_new_boolean(r->window_least)));
	put(j, "whatever_before", made(json_object_new_boolean(r->cropped)));
	for (size_t i = 0; i < r->placed_cnt; i++)
		need(json_object_array_add(placed, made(json_object_new_int64(
		    p->h->ops[r->placed_ops[i]].call_line))));
	put(j, "placed", placed);
	put(j, "why", lines_json(&r->why));
}

void
report_json(const struct lincheck_report *p)
{
	const struct linz_result *r = p->r;
	struct json_object *j = made(json_object_new_object()), *order;

	put_text(j, "file", p->file);
	put_text(j, "verdict", p->verdict);
	put_text(j, "format", hist_format_name(p->note->format));
	put_text(j, "model", linz_model_name(r->model));
	put_number(j, "operations", r->ops);
	put_number(j, "keys", r->keys);
	put_number(j, "states", r->states);
	if (p->levels->asked)
		put(j, "levels", levels_json(p->levels));
	if (r->keyed && r->verdict != LINZ_YES)
		put_value(j, "key", p->h->values, r->key);
	if (r->verdict == LINZ_UNKNOWN) {
		put_text(j, "reason", reasons[r->reason]);
		put_number(j, "placed", r->placed);
		put_number(j, "to_place", r->to_place);
	} else if (r->verdict == LINZ_NO) {
		put_failure(j, p);
	} else if (r->order_cnt > 0) {
		order = made(json_object_new_array());
		for (size_t i = 0; i < r->order_cnt; i++)
			need(json_object_array_add(order,
			    made(json_object_new_int64(
			    p->h->ops[r->order[i].op].call_line))));
		put(j, "order", order);
	}
	printf("%s\n", json_object_to_json_string_ext(j,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(j);
}
