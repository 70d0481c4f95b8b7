/*
 * hist_json: operations written as JSON objects, parsed by json-c one at a
 * time.  Objects with type and value are events, those with start are
 * intervals; a history is all of one kind.
 */

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <string.h>

#include "hist_priv.h"

#define DEPTH_MAX	64

static int value(struct hist_reader *r, uint64_t line, struct json_object *j,
    int depth, uint32_t *id);

/* The number as text; how long it is.  snprintf() would cost too much. */
static int
decimal(int64_t n, char out[24])
{
	uint64_t u = n < 0 ? -(uint64_t)n : (uint64_t)n;
	char rev[24];
	int len = 0, cnt = 0;

	do
		rev[cnt++] = (char)('0' + u % 10);
	while ((u /= 10) != 0);
	if (n < 0)
		rev[cnt++] = '-';
	while (cnt > 0)
		out[len++] = rev[--cnt];
	return len;
}

static int
items(struct hist_reader *r, uint64_t line, struct json_object *j, int depth,
    uint32_t *id)
{
	bool map = json_object_is_type(j, json_type_object);
	size_t base = r->stack_cnt;
	uint32_t item;
	int rc;

	if (depth == 0)
		return hist_bad(r, line, "nested deeper than %d", DEPTH_MAX);
	if (map) {
		json_object_object_foreach(j, name, member) {
			if (op_scalar(r->v, OP_STRING, name, strlen(name),
			    &item) == -1 || hist_push(r, item) == -1 ||
			    value(r, line, member, depth - 1, &item) == -1 ||
			    hist_push(r, item) == -1)
				return -1;
		}
	} else {
		for (size_t i = 0; i < json_object_array_length(j); i++)
			if (value(r, line, json_object_array_get_idx(j, i),
			    depth - 1, &item) == -1 ||
			    hist_push(r, item) == -1)
				return -1;
	}
	rc = op_compound(r->v, map ? OP_MAP : OP_LIST,
	    r->stack == NULL ? NULL : r->stack + base, r->stack_cnt - base,
	    id);
	r->stack_cnt = base;
	return rc;
}

static int
value(struct hist_reader *r, uint64_t line, struct json_object *j, int depth,
    uint32_t *id)
{
	const char *text;
	char digits[24];
	int64_t n;

	*id = OP_NIL;
	switch (json_object_get_type(j)) {
	case json_type_null:
		return 0;
	case json_type_string:
		return op_scalar(r->v, OP_STRING, json_object_get_string(j),
		    (size_t)json_object_get_string_len(j), id);
	case json_type_int:
		/* Where the parser had to cut, two numbers look the same. */
		n = json_object_get_int64(j);
		if (n == INT64_MIN || json_object_get_uint64(j) == UINT64_MAX)
			return hist_bad(r, line, "a number too large");
		if (n != INT64_MAX)
			return op_scalar(r->v, OP_ATOM, digits,
			    (size_t)decimal(n, digits), id);
		__attribute__((fallthrough));
	case json_type_boolean:
	case json_type_double:
		text = json_object_to_json_string_ext(j,
		    JSON_C_TO_STRING_PLAIN);
		if (text == NULL) {
			errno = ENOMEM;
			return -1;
		}
		return op_scalar(r->v, OP_ATOM, text, strlen(text), id);
	case json_type_object:
	case json_type_array:
		return items(r, line, j, depth, id);
	}
	return 0;
}

/* A keyword written as a string loses its colon. */
static int
name(struct hist_reader *r, uint32_t *id)
{
	struct buf *b = &r->scratch;
	size_t len;
	const char *p = op_text(r->v, *id, &len);

	if (op_kind(r->v, *id) != OP_STRING)
		return 0;
	b->len = 0;
	if (buf_put(b, p + (*p == ':'), len - (*p == ':')) == -1)
		return -1;
	return op_scalar(r->v, OP_KEYWORD,
	    b->data == NULL ? "" : (const char *)b->data, b->len, id);
}

/* The members of an operation that we know; NULL: it has none of the name. */
enum member { M_PROCESS, M_TYPE, M_CLASS, M_F, M_KEY, M_VALUE, M_ARGUMENT,
	M_RESULT, M_START, M_END, M_CNT };

struct members {
	struct json_object *of[M_CNT];
	bool has[M_CNT];		/* null is a value, too */
};

static void
collect(struct json_object *j, struct members *m)
{
	static const char *const names[] = { "process", "type", "class", "f",
	    "key", "value", "argument", "result", "start", "end" };

	*m = (struct members){ 0 };
	json_object_object_foreach(j, text, one) {
		for (int i = 0; i < M_CNT; i++)
			if (*text == *names[i] && strcmp(text, names[i]) == 0) {
				m->of[i] = one;
				m->has[i] = true;
			}
	}
}

static int
get_time(struct hist_reader *r, uint64_t line, struct json_object *j,
    int64_t *ns)
{
	const char *p = j == NULL ? NULL : json_object_get_string(j);

	*ns = OP_NEVER;
	if (p != NULL && strcmp(p, "-") != 0 &&
	    hist_time(p, strlen(p), ns) == -1)
		return hist_bad(r, line, "a time is not a decimal number of "
		    "seconds");
	return 0;
}

static int
interval(struct hist_reader *r, const struct members *m, uint64_t line)
{
	struct op op = { .call_line = (uint32_t)line,
	    .ret_line = (uint32_t)line };
	enum hist_type type = HIST_OK;
	uint32_t class;
	const char *text;
	size_t len;

	if (line > UINT32_MAX)
		return hist_bad(r, line, "too many lines");
	if (get_time(r, line, m->of[M_START], &op.call) == -1 ||
	    get_time(r, line, m->of[M_END], &op.ret) == -1 ||
	    value(r, line, m->of[M_CLASS], DEPTH_MAX, &class) == -1)
		return -1;
	text = op_text(r->v, class, &len);
	if (m->has[M_CLASS] && (hist_type_parse(text, len, &type) == -1 ||
	    type == HIST_INVOKE))
		return hist_bad(r, line, "class is not ok, fail or info");
	op.class = type == HIST_OK ? OP_OK : type == HIST_FAIL ? OP_FAIL :
	    OP_INFO;
	if (op.call == OP_NEVER)
		return hist_bad(r, line, "no start");
	if (op.class == OP_OK && op.ret == OP_NEVER)
		return hist_bad(r, line, "class is ok, but there is no end");
	if (op.class == OP_INFO)
		op.ret = OP_NEVER;
	if (op.ret < op.call)
		return hist_bad(r, line, "it ends before it starts");
	if (!m->has[M_F])
		return hist_bad(r, line, "no \"f\"");
	if (value(r, line, m->of[M_PROCESS], DEPTH_MAX, &op.proc) == -1 ||
	    value(r, line, m->of[M_F], DEPTH_MAX, &op.f) == -1 ||
	    value(r, line, m->of[M_KEY], DEPTH_MAX, &op.key) == -1 ||
	    value(r, line, m->of[M_ARGUMENT], DEPTH_MAX, &op.arg) == -1 ||
	    value(r, line, m->of[M_RESULT], DEPTH_MAX, &op.result) == -1 ||
	    name(r, &op.f) == -1)
		return -1;
	r->h->timed = true;
	return hist_add(r, &op);
}

static int
event(struct hist_reader *r, const struct members *m, uint64_t line)
{
	struct hist_event e = { .line = line };
	const char *text;

	if (!m->has[M_PROCESS] || !m->has[M_TYPE] || !m->has[M_F])
		return hist_bad(r, line, "no \"%s\"", !m->has[M_PROCESS] ?
		    "process" : !m->has[M_TYPE] ? "type" : "f");
	if (value(r, line, m->of[M_PROCESS], DEPTH_MAX, &e.proc) == -1)
		return -1;
	if (e.proc == OP_NIL || op_is(r->v, e.proc, "nemesis") ||
	    op_is(r->v, e.proc, ":nemesis"))
		return 0;
	text = json_object_get_string(m->of[M_TYPE]);
	if (text == NULL || hist_type_parse(text, strlen(text), &e.type) == -1)
		return hist_bad(r, line, "type is \"%.40s\", not invoke, ok, "
		    "fail or info", text == NULL ? "null" : text);
	if (value(r, line, m->of[M_F], DEPTH_MAX, &e.f) == -1 ||
	    value(r, line, m->of[M_KEY], DEPTH_MAX, &e.key) == -1 ||
	    value(r, line, m->of[M_VALUE], DEPTH_MAX, &e.value) == -1 ||
	    name(r, &e.f) == -1)
		return -1;
	return hist_pair(r, &e);
}

static int
object(struct hist_reader *r, struct json_tokener *tok, const char *text,
    size_t len, uint64_t line)
{
	struct json_object *j;
	struct members m;
	bool is_interval;
	int rc;

	json_tokener_reset(tok);
	if (len > INT_MAX)
		return hist_bad(r, line, "record too long");
	/* The parser would stop at it, and give what it has so far. */
	if (memchr(text, '\0', len) != NULL)
		return hist_bad(r, line, "not JSON: a NUL byte");
	j = json_tokener_parse_ex(tok, text, (int)len);
	if (j == NULL)
		return hist_bad(r, line, "not JSON: %s",
		    json_tokener_error_desc(json_tokener_get_error(tok)));
	if (!json_object_is_type(j, json_type_object)) {
		json_object_put(j);
		return hist_bad(r, line, "not JSON: no object");
	}
	collect(j, &m);
	is_interval = m.has[M_START];
	if (r->h->cnt > 0 && is_interval != r->h->timed)
		rc = hist_bad(r, line, "events and intervals in one history");
	else
		rc = is_interval ? interval(r, &m, line) :
		    event(r, &m, line);
	json_object_put(j);
	return rc;
}

int
hist_json_read(struct hist_reader *r)
{
	struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	uint64_t line;
	char *text;
	size_t len;
	int rc;

	if (tok == NULL) {
		errno = ENOMEM;
		return -1;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	while ((rc = hist_form(r, true, &text, &len, &line)) == 1) {
		rc = object(r, tok, text, len, line);
		if (rc == -1)
			break;
	}
	json_tokener_free(tok);
	return rc;
}
