/*
 * hist_edn: EDN values, and operations written as EDN maps.
 *
 * Source:  https://github.com/edn-format/edn.  Tags are dropped, sets are
 *          lists, characters are strings, numbers keep their spelling but for
 *          a leading + and a trailing N or M.
 */

#include <errno.h>
#include <string.h>

#include "hist_priv.h"

#define DEPTH_MAX	64

struct edn {
	struct hist_reader *r;
	const char *p, *e;
	uint64_t line;			/* of the record, for errors */
	bool drop;			/* check only, intern nothing */
};

static int value(struct edn *x, int depth, uint32_t *id);

static bool
is_delim(char c)
{
	return (unsigned char)c <= ' ' || strchr(",;\"()[]{}", c) != NULL;
}

/* White space, commas, comments and discarded values. */
static int
blanks(struct edn *x, int depth)
{
	uint32_t id;
	bool drop;

	while (x->p < x->e) {
		if (*x->p == ';') {
			while (x->p < x->e && *x->p != '\n')
				x->p++;
		} else if (*x->p == '#' && x->e - x->p > 1 && x->p[1] == '_') {
			x->p += 2;
			drop = x->drop;
			x->drop = true;
			if (value(x, depth - 1, &id) == -1)
				return -1;
			x->drop = drop;
		} else if (*x->p == ' ' || *x->p == ',' ||
		    (*x->p >= '\t' && *x->p <= '\r')) {
			x->p++;
		} else {
			break;
		}
	}
	return 0;
}

static int
put_utf8(struct buf *b, unsigned int c)
{
	char out[4];
	size_t len = 0;

	if (c < 0x80) {
		out[len++] = (char)c;
	} else if (c < 0x800) {
		out[len++] = (char)(0xc0 | c >> 6);
		out[len++] = (char)(0x80 | (c & 0x3f));
	} else {
		out[len++] = (char)(0xe0 | c >> 12);
		out[len++] = (char)(0x80 | (c >> 6 & 0x3f));
		out[len++] = (char)(0x80 | (c & 0x3f));
	}
	return buf_put(b, out, len);
}

static int
hex4(struct edn *x, unsigned int *c)
{
	static const char digits[] = "0123456789abcdef";

	*c = 0;
	if (x->e - x->p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char low = (char)(*x->p | 0x20);
		const char *d = low == '\0' ? NULL : strchr(digits, low);

		if (d == NULL || *x->p < '0')
			return -1;
		*c = *c << 4 | (unsigned int)(d - digits);
		x->p++;
	}
	return 0;
}

static int
string(struct edn *x, uint32_t *id)
{
	static const char from[] = "ntrbf\"\\/", to[] = "\n\t\r\b\f\"\\/";
	struct buf *b = &x->r->scratch;
	const char *d;
	unsigned int c;
	int rc;

	b->len = 0;
	for (x->p++; x->p < x->e && *x->p != '"';) {
		const char *from_p = x->p;

		while (x->p < x->e && *x->p != '"' && *x->p != '\\')
			x->p++;
		if (buf_put(b, from_p, (size_t)(x->p - from_p)) == -1)
			return -1;
		if (x->p == x->e || *x->p == '"')
			continue;
		if (++x->p == x->e)
			break;
		if (*x->p == 'u') {
			x->p++;
			if (hex4(x, &c) == -1)
				return hist_bad(x->r, x->line,
				    "\\u without four hexadecimal digits");
			rc = put_utf8(b, c);
		} else {
			d = *x->p == '\0' ? NULL : strchr(from, *x->p);
			if (d == NULL)
				return hist_bad(x->r, x->line,
				    "unknown escape in a string");
			x->p++;
			rc = buf_put_byte(b, (unsigned char)to[d - from]);
		}
		if (rc == -1)
			return -1;
	}
	if (x->p >= x->e)
		return hist_bad(x->r, x->line, "string without an end");
	x->p++;
	*id = OP_NIL;
	return x->drop ? 0 : op_scalar(x->r->v, OP_STRING,
	    b->data == NULL ? "" : (const char *)b->data, b->len, id);
}

/* A keyword, number, symbol, true, false or nil. */
static int
token(struct edn *x, uint32_t *id)
{
	const char *from = x->p;
	enum op_kind kind = OP_ATOM;
	size_t len;

	while (x->p < x->e && !is_delim(*x->p))
		x->p++;
	len = (size_t)(x->p - from);
	if (len == 0)
		return hist_bad(x->r, x->line, "unexpected byte 0x%02x",
		    (unsigned int)(unsigned char)*from);
	*id = OP_NIL;
	if (x->drop || (len == 3 && memcmp(from, "nil", 3) == 0))
		return 0;
	if (*from == ':') {
		kind = OP_KEYWORD;
		from++;
		len--;
	} else if (*from == '+' && len > 1 && from[1] >= '0' &&
	    from[1] <= '9') {
		from++;
		len--;
	}
	if (kind == OP_ATOM && len > 1 &&
	    (from[len - 1] == 'N' || from[len - 1] == 'M') &&
	    from[len - 2] >= '0' && from[len - 2] <= '9' &&
	    (*from == '-' || (*from >= '0' && *from <= '9')))
		len--;
	return op_scalar(x->r->v, kind, from, len, id);
}

static int
character(struct edn *x, uint32_t *id)
{
	const char *from = ++x->p;

	if (x->p == x->e)
		return hist_bad(x->r, x->line, "character without a name");
	x->p++;
	while (x->p < x->e && !is_delim(*x->p))
		x->p++;
	*id = OP_NIL;
	return x->drop ? 0 : op_scalar(x->r->v, OP_STRING, from,
	    (size_t)(x->p - from), id);
}

static int
compound(struct edn *x, enum op_kind kind, char close, int depth, uint32_t *id)
{
	struct hist_reader *r = x->r;
	size_t base = r->stack_cnt;
	uint32_t item = OP_NIL;
	int rc;

	for (x->p++;;) {
		if (blanks(x, depth) == -1)
			return -1;
		if (x->p == x->e)
			return hist_bad(r, x->line, "no %c before the end of "
			    "the record", close);
		if (*x->p == close)
			break;
		if (value(x, depth - 1, &item) == -1)
			return -1;
		if (!x->drop && hist_push(r, item) == -1)
			return -1;
	}
	x->p++;
	if (kind == OP_MAP && (r->stack_cnt - base) % 2 != 0)
		return hist_bad(r, x->line, "a map with a key but no value");
	*id = OP_NIL;
	rc = x->drop ? 0 : op_compound(r->v, kind,
	    r->stack == NULL ? NULL : r->stack + base, r->stack_cnt - base,
	    id);
	r->stack_cnt = base;
	return rc;
}

static int
value(struct edn *x, int depth, uint32_t *id)
{
	if (depth <= 0)
		return hist_bad(x->r, x->line, "nested deeper than %d",
		    DEPTH_MAX);
	if (blanks(x, depth) == -1)
		return -1;
	if (x->p == x->e)
		return hist_bad(x->r, x->line, "a value is missing");
	switch (*x->p) {
	case '"':
		return string(x, id);
	case '\\':
		return character(x, id);
	case '[':
		return compound(x, OP_LIST, ']', depth, id);
	case '(':
		return compound(x, OP_LIST, ')', depth, id);
	case '{':
		return compound(x, OP_MAP, '}', depth, id);
	case '#':
		x->p++;
		if (x->p < x->e && *x->p == '{')
			return compound(x, OP_LIST, '}', depth, id);
		while (x->p < x->e && !is_delim(*x->p))
			x->p++;
		return value(x, depth - 1, id);
	default:
		return token(x, id);
	}
}

int
hist_edn_value(struct hist_reader *r, const char **p, const char *e,
    uint64_t line, uint32_t *id)
{
	struct edn x = { r, *p, e, line, false };

	*id = OP_NIL;
	if (blanks(&x, DEPTH_MAX) == -1)
		return -1;
	if (x.p < x.e && value(&x, DEPTH_MAX, id) == -1)
		return -1;
	*p = x.p;
	return 0;
}

enum field { F_TYPE, F_PROCESS, F_F, F_KEY, F_VALUE, F_OTHER };

static enum field
field(const char *p, size_t len)
{
	static const char *const fields[] = {
		[F_TYPE] = "type", [F_PROCESS] = "process", [F_F] = "f",
		[F_KEY] = "key", [F_VALUE] = "value",
	};

	for (int i = 0; i < F_OTHER; i++)
		if (strlen(fields[i]) == len && memcmp(fields[i], p, len) == 0)
			return (enum field)i;
	return F_OTHER;
}

static int
set_type(struct edn *x, uint32_t id, enum hist_type *type)
{
	size_t len;
	const char *text = op_text(x->r->v, id, &len);

	if (hist_type_parse(text, len, type) == -1)
		return hist_bad(x->r, x->line, "type is \"%.40s\", not invoke, "
		    "ok, fail or info", text);
	return 0;
}

/* One map; e gets what it says, seen which fields there were. */
static int
map(struct edn *x, struct hist_event *e, unsigned int *seen)
{
	const char *from;
	enum field what;
	uint32_t id;

	*seen = 0;
	for (x->p++;;) {
		if (blanks(x, DEPTH_MAX) == -1)
			return -1;
		if (x->p == x->e)
			return hist_bad(x->r, x->line, "no } before the end");
		if (*x->p == '}')
			return 0;
		from = x->p;
		x->drop = true;
		if (value(x, DEPTH_MAX, &id) == -1)
			return -1;
		what = *from == ':' ?
		    field(from + 1, (size_t)(x->p - from) - 1) : F_OTHER;
		if (blanks(x, DEPTH_MAX) == -1)
			return -1;
		if (x->p < x->e && *x->p == '}')
			return hist_bad(x->r, x->line,
			    "a map with a key but no value");
		x->drop = what == F_OTHER;
		if (value(x, DEPTH_MAX, &id) == -1)
			return -1;
		x->drop = false;
		*seen |= 1U << what;
		if (what == F_TYPE && set_type(x, id, &e->type) == -1)
			return -1;
		if (what == F_PROCESS)
			e->proc = id;
		else if (what == F_F)
			e->f = id;
		else if (what == F_KEY)
			e->key = id;
		else if (what == F_VALUE)
			e->value = id;
	}
}

int
hist_edn_read(struct hist_reader *r)
{
	struct hist_event e;
	unsigned int seen;
	char *text;
	uint64_t line;
	size_t len;
	int rc;

	while ((rc = hist_form(r, false, &text, &len, &line)) == 1) {
		struct edn x = { r, text, text + len, line, false };

		e = (struct hist_event){ .line = line };
		if (map(&x, &e, &seen) == -1)
			return -1;
		if ((seen & 1U << F_PROCESS) == 0)
			return hist_bad(r, line, "no :process");
		if (op_kind(r->v, e.proc) != OP_ATOM)
			continue;	/* the nemesis and its kin */
		if ((seen & 1U << F_TYPE) == 0 || (seen & 1U << F_F) == 0)
			return hist_bad(r, line, "no :%s",
			    (seen & 1U << F_F) == 0 ? "f" : "type");
		if (hist_pair(r, &e) == -1)
			return -1;
	}
	return rc;
}
