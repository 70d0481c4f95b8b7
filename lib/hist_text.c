/*
 * hist_text: lines.  Jepsen's log text and history.txt (process type f value
 * error), and interval lines (start end process f key argument result class).
 */

#include <inttypes.h>
#include <string.h>

#include "hist_priv.h"

#define TSV_FIELDS	8

struct token {
	const char *p;
	size_t len;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word of the line, *p moved behind it; length 0 at the end. */
static struct token
next(const char **p, const char *e)
{
	struct token t;

	while (*p < e && is_blank(**p))
		++*p;
	t.p = *p;
	while (*p < e && !is_blank(**p))
		++*p;
	t.len = (size_t)(*p - t.p);
	return t;
}

static bool
is_number(struct token t)
{
	for (size_t i = 0; i < t.len; i++)
		if (t.p[i] < '0' || t.p[i] > '9')
			return false;
	return t.len > 0;
}

/*
 * Jepsen's own lines name the process by a number or as nemesis; the type has
 * its colon.  *process and *type are the words, *p is behind the type.
 */
static bool
match(const char **p, const char *e, struct token *process,
    enum hist_type *type)
{
	struct token t, before = { *p, 0 };

	for (; (t = next(p, e)).len > 0; before = t)
		if (t.p[0] == ':' && before.len > 0 &&
		    hist_type_parse(t.p, t.len, type) == 0) {
			*process = before;
			return true;
		}
	return false;
}

bool
hist_text_match(const char *text, size_t len, size_t *at)
{
	struct token process;
	enum hist_type type;
	const char *p = text;

	if (!match(&p, text + len, &process, &type))
		return false;
	*at = (size_t)(process.p - text);
	return is_number(process) || process.p[0] == ':' ||
	    (process.len == 7 && memcmp(process.p, "nemesis", 7) == 0);
}

static int
text_line(struct hist_reader *r, const char *p, const char *e, uint64_t line,
    bool strict)
{
	struct hist_event ev = { .line = line };
	struct token process, f;
	uint32_t id;

	if (!match(&p, e, &process, &ev.type)) {
		if (strict)
			return hist_bad(r, line, "not \"process :type f value\""
			    ", the type one of :invoke :ok :fail :info");
		return 0;
	}
	if (!is_number(process))
		return 0;		/* the nemesis and its kin */
	f = next(&p, e);
	if (f.len > 0 && f.p[0] == ':') {
		f.p++;
		f.len--;
	}
	if (f.len == 0)
		return hist_bad(r, line, "no function");
	if (op_scalar(r->v, OP_ATOM, process.p, process.len, &ev.proc) == -1 ||
	    op_scalar(r->v, OP_KEYWORD, f.p, f.len, &ev.f) == -1)
		return -1;
	if (hist_edn_value(r, &p, e, line, &id) == -1)
		return -1;
	ev.value = id;
	return hist_pair(r, &ev);
}

int
hist_text_read(struct hist_reader *r, bool strict)
{
	uint64_t line;
	char *text;
	size_t len;
	int rc;

	while ((rc = hist_line(r, &text, &len, &line)) == 1) {
		const char *p = text;

		if (next(&p, text + len).len == 0)
			continue;
		if (text_line(r, text, text + len, line, strict) == -1)
			return -1;
	}
	return rc;
}

/* --- interval lines ------------------------------------------------------ */

/* Undo the escapes in place; the new length, or -1. */
static ssize_t
unescape(char *p, size_t len)
{
	static const char from[] = "tnr0\\-", to[] = "\t\n\r\0\\-";
	char *out = memchr(p, '\\', len), *in = out, *e = p + len;
	const char *d;

	if (out == NULL)
		return (ssize_t)len;
	while (in < e) {
		if (*in != '\\') {
			*out++ = *in++;
			continue;
		}
		if (++in == e || *in == '\0' || (d = strchr(from, *in)) == NULL)
			return -1;
		*out++ = to[d - from];
		in++;
	}
	return out - p;
}

/* A field as a value: nil when it is a bare "-". */
static int
tsv_value(struct hist_reader *r, uint64_t line, char *p, size_t len,
    uint32_t *id)
{
	ssize_t n;

	*id = OP_NIL;
	if (len == 1 && *p == '-')
		return 0;
	n = unescape(p, len);
	if (n == -1)
		return hist_bad(r, line, "unknown escape; a backslash is "
		    "written \\\\");
	return op_scalar(r->v, OP_ATOM, p, (size_t)n, id);
}

static int
tsv_class(struct hist_reader *r, uint64_t line, const char *p, size_t len,
    enum op_class *class)
{
	enum hist_type type;

	if (hist_type_parse(p, len, &type) == -1 || type == HIST_INVOKE)
		return hist_bad(r, line, "class is \"%.*s\", not ok, fail or "
		    "info", len > 40 ? 40 : (int)len, p);
	*class = type == HIST_OK ? OP_OK : type == HIST_FAIL ? OP_FAIL :
	    OP_INFO;
	return 0;
}

static int
tsv_times(struct hist_reader *r, uint64_t line, char *const *field,
    const size_t *len, struct op *op)
{
	bool open = len[1] == 1 && *field[1] == '-';

	if (hist_time(field[0], len[0], &op->call) == -1)
		return hist_bad(r, line, "start is \"%.*s\", not a decimal "
		    "number of seconds", len[0] > 40 ? 40 : (int)len[0],
		    field[0]);
	op->ret = OP_NEVER;
	if (!open && hist_time(field[1], len[1], &op->ret) == -1)
		return hist_bad(r, line, "end is \"%.*s\", neither a decimal "
		    "number of seconds nor -", len[1] > 40 ? 40 : (int)len[1],
		    field[1]);
	if (op->ret < op->call)
		return hist_bad(r, line, "it ends before it starts");
	if (open && op->class == OP_OK)
		return hist_bad(r, line, "class is ok, but there is no end");
	if (op->class == OP_INFO)
		op->ret = OP_NEVER;
	return 0;
}

static int
tsv_line(struct hist_reader *r, char *text, size_t len, uint64_t line)
{
	char *field[TSV_FIELDS], *tab, *p = text, *e = text + len;
	size_t lens[TSV_FIELDS];
	struct op op = { 0 };
	int cnt = 0;

	for (;; p = tab + 1) {
		tab = memchr(p, '\t', (size_t)(e - p));
		if (cnt == TSV_FIELDS)
			return hist_bad(r, line, "more than %d fields",
			    TSV_FIELDS);
		field[cnt] = p;
		lens[cnt++] = (size_t)((tab == NULL ? e : tab) - p);
		if (tab == NULL)
			break;
	}
	if (cnt != TSV_FIELDS)
		return hist_bad(r, line, "%d fields, not %d: start end process "
		    "f key argument result class, with a tab between", cnt,
		    TSV_FIELDS);
	if (line > UINT32_MAX)
		return hist_bad(r, line, "too many lines");
	op.call_line = op.ret_line = (uint32_t)line;
	if (tsv_class(r, line, field[7], lens[7], &op.class) == -1 ||
	    tsv_times(r, line, field, lens, &op) == -1 ||
	    tsv_value(r, line, field[2], lens[2], &op.proc) == -1 ||
	    tsv_value(r, line, field[3], lens[3], &op.f) == -1 ||
	    tsv_value(r, line, field[4], lens[4], &op.key) == -1 ||
	    tsv_value(r, line, field[5], lens[5], &op.arg) == -1 ||
	    tsv_value(r, line, field[6], lens[6], &op.result) == -1)
		return -1;
	return hist_add(r, &op);
}

int
hist_tsv_read(struct hist_reader *r)
{
	uint64_t line;
	char *text;
	size_t len;
	int rc;

	r->h->timed = true;
	while ((rc = hist_line(r, &text, &len, &line)) == 1) {
		if (len == 0 || *text == '#')
			continue;
		if (tsv_line(r, text, len, line) == -1)
			return -1;
	}
	return rc;
}
