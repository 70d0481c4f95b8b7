/*
 * hist: the input as bytes and lines, the guess at its format, the pairing of
 * events, and keys taken out of Jepsen's independent values.
 */

#include "hist.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hist_priv.h"

#define CHUNK		((size_t)256 << 10)	/* bytes a read asks for */
#define PEEK		(64U << 10)	/* bytes that decide the format */
#define NS_DIGITS	15		/* so long an integer is in ns */

static const char *const names[] = {
	[HIST_AUTO] = "auto", [HIST_EDN] = "edn", [HIST_LOG] = "log",
	[HIST_TXT] = "txt", [HIST_JSON] = "json", [HIST_TSV] = "tsv",
};

const char *
hist_format_name(enum hist_format format)
{
	return names[format];
}

int
hist_format_parse(const char *name, enum hist_format *format)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0) {
			*format = (enum hist_format)i;
			return 0;
		}
	errno = EINVAL;
	return -1;
}

int
hist_bad(struct hist_reader *r, uint64_t line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(r->note->text, sizeof(r->note->text), format, ap);
	va_end(ap);
	r->note->line = line;
	errno = EBADMSG;
	return -1;
}

int
hist_fill(struct hist_reader *r, size_t want)
{
	struct hist_src *s = &r->src;
	size_t cap;
	ssize_t n;
	char *p;

	while (s->len - s->pos < want) {
		if (s->eof)
			return 0;
		if (s->pos > 0 && (s->pos > s->cap / 2 || s->len == s->pos)) {
			memmove(s->data, s->data + s->pos, s->len - s->pos);
			s->len -= s->pos;
			s->pos = 0;
		}
		if (s->cap - s->len < CHUNK) {
			cap = s->cap * 2 + 2 * CHUNK;
			p = realloc(s->data, cap);
			if (p == NULL)
				return -1;
			s->data = p;
			s->cap = cap;
		}
		n = read(s->fd, s->data + s->len, s->cap - s->len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			s->eof = true;
		s->len += (size_t)n;
	}
	return 1;
}

int
hist_line(struct hist_reader *r, char **text, size_t *len, uint64_t *line)
{
	struct hist_src *s = &r->src;
	size_t seen = 0;
	char *nl;
	int rc;

	for (;;) {
		nl = s->len - s->pos > seen ? memchr(s->data + s->pos + seen,
		    '\n', s->len - s->pos - seen) : NULL;
		if (nl != NULL)
			break;
		seen = s->len - s->pos;
		if (seen > HIST_RECORD_MAX)
			return hist_bad(r, s->line, "line longer than %u bytes",
			    HIST_RECORD_MAX);
		rc = hist_fill(r, seen + 1);
		if (rc == -1)
			return -1;
		if (rc == 0) {
			if (seen > 0)
				r->note->dropped = s->line;
			return 0;
		}
	}
	*text = s->data + s->pos;
	*len = (size_t)(nl - *text);
	*line = s->line++;
	s->pos += *len + 1;
	if (*len > 0 && (*text)[*len - 1] == '\r')
		--*len;
	return 1;
}

int
hist_push(struct hist_reader *r, uint32_t id)
{
	size_t cap = r->stack_cap * 2 + 64;
	uint32_t *p;

	if (r->stack_cnt == r->stack_cap) {
		p = reallocarray(r->stack, cap, sizeof(*p));
		if (p == NULL)
			return -1;
		r->stack = p;
		r->stack_cap = cap;
	}
	r->stack[r->stack_cnt++] = id;
	return 0;
}

int
hist_add(struct hist_reader *r, const struct op *op)
{
	struct op_history *h = r->h;
	struct op *p;
	size_t cap;

	if (h->cnt == UINT32_MAX - 1) {
		errno = EOVERFLOW;
		return -1;
	}
	if (h->cnt == h->cap) {
		cap = h->cap + h->cap / 2 + 256;
		p = reallocarray(h->ops, cap, sizeof(*p));
		if (p == NULL)
			return -1;
		h->ops = p;
		h->cap = cap;
	}
	h->ops[h->cnt++] = *op;
	return 0;
}

/* The slot that tells the open operation of a process. */
static uint32_t *
open_slot(struct hist_reader *r, uint32_t proc)
{
	size_t cnt = r->open_cnt;
	uint32_t *p;

	if (proc >= cnt) {
		cnt = (size_t)proc * 2 + 64;
		p = reallocarray(r->open, cnt, sizeof(*p));
		if (p == NULL)
			return NULL;
		memset(p + r->open_cnt, 0, (cnt - r->open_cnt) * sizeof(*p));
		r->open = p;
		r->open_cnt = cnt;
	}
	return &r->open[proc];
}

static int
invoke(struct hist_reader *r, const struct hist_event *e, uint32_t *slot)
{
	struct op op = {
		.call = r->clock, .ret = OP_NEVER, .proc = e->proc, .f = e->f,
		.key = e->key, .arg = e->value, .call_line = (uint32_t)e->line,
		.class = OP_INFO,
	};
	size_t len;

	if (*slot != 0 && !r->conf->reuse)
		return hist_bad(r, e->line, "process %.40s invokes again, but "
		    "its operation of line %u has no completion (--reuse takes "
		    "that one as indeterminate)", op_text(r->v, e->proc, &len),
		    r->h->ops[*slot - 1].call_line);
	if (hist_add(r, &op) == -1)
		return -1;
	*slot = (uint32_t)r->h->cnt;
	return 0;
}

int
hist_pair(struct hist_reader *r, const struct hist_event *e)
{
	uint32_t *slot = open_slot(r, e->proc);
	struct op *op;
	size_t len;

	if (slot == NULL)
		return -1;
	if (e->line > UINT32_MAX)
		return hist_bad(r, e->line, "too many lines");
	r->clock++;
	if (e->type == HIST_INVOKE)
		return invoke(r, e, slot);
	if (*slot == 0)
		return hist_bad(r, e->line, "completion for process %.40s, "
		    "which has no open operation",
		    op_text(r->v, e->proc, &len));
	op = &r->h->ops[*slot - 1];
	if (op->f != e->f)
		return hist_bad(r, e->line, "completion of \"%.40s\", but the "
		    "open operation of process %.40s (line %u) is \"%.40s\"",
		    op_text(r->v, e->f, &len), op_text(r->v, e->proc, &len),
		    op->call_line, op_text(r->v, op->f, &len));
	*slot = 0;
	op->ret_line = (uint32_t)e->line;
	op->result = e->value;
	if (op->key == OP_NIL)
		op->key = e->key;
	switch (e->type) {
	case HIST_OK:
		op->class = OP_OK;
		op->ret = r->clock;
		break;
	case HIST_FAIL:
		op->class = OP_FAIL;
		op->ret = r->clock;
		break;
	case HIST_INFO:
	case HIST_INVOKE:
		break;
	}
	return 0;
}

int
hist_type_parse(const char *text, size_t len, enum hist_type *type)
{
	static const char *const types[] = { "invoke", "ok", "fail", "info" };

	if (len > 0 && *text == ':') {
		text++;
		len--;
	}
	for (size_t i = 0; i < 4; i++)
		if (strlen(types[i]) == len &&
		    memcmp(types[i], text, len) == 0) {
			*type = (enum hist_type)i;
			return 0;
		}
	return -1;
}

int
hist_time(const char *text, size_t len, int64_t *ns)
{
	int64_t v = 0;
	size_t i = 0, digits = 0, frac = 0;
	bool dot = false;

	for (; i < len; i++) {
		if (text[i] == '.' && !dot) {
			dot = true;
			continue;
		}
		if (text[i] < '0' || text[i] > '9')
			return -1;
		if (dot && frac == 9) {
			if (text[i] != '0')
				return -1;	/* finer than we can tell */
			continue;
		}
		frac += dot;
		digits++;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, text[i] - '0', &v))
			return -1;
	}
	if (digits == 0)
		return -1;
	if (dot || digits < NS_DIGITS)
		for (; frac < 9; frac++)
			if (__builtin_mul_overflow(v, 10, &v))
				return -1;
	if (v == OP_NEVER)
		return -1;
	*ns = v;
	return 0;
}

int
hist_escape(struct buf *out, const char *text, size_t len)
{
	static const char from[] = "\t\n\r\\", to[] = "tnr\\";

	if (len == 1 && *text == '-')
		return buf_put_str(out, "\\-");
	for (; len > 0; text++, len--) {
		const char *p = *text == '\0' ? NULL : strchr(from, *text);
		int rc;

		if (*text == '\0')
			rc = buf_put_str(out, "\\0");
		else if (p != NULL)
			rc = buf_printf(out, "\\%c", to[p - from]);
		else
			rc = buf_put_byte(out, (unsigned char)*text);
		if (rc == -1)
			return -1;
	}
	return 0;
}

/* --- the format ---------------------------------------------------------- */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A number and a tab, but not the type that history.txt has behind it. */
static bool
looks_tsv(const char *p, size_t len)
{
	const char *tab = memchr(p, '\t', len);
	int64_t ns;

	return tab != NULL && (size_t)(tab - p) + 1 < len && tab[1] != ':' &&
	    hist_time(p, (size_t)(tab - p), &ns) == 0;
}

/* p is at { or [ of the first form: JSON has a string or nothing behind {. */
static enum hist_format
looks_nested(const char *p, const char *e)
{
	bool map = false;

	for (; p < e; p++) {
		if (*p == '{')
			map = true;
		else if (*p == '"')
			return map ? HIST_JSON : HIST_AUTO;
		else if (*p != '\0' && strchr(":#;(}]", *p) != NULL)
			return HIST_EDN;
		else if (*p != '[' && *p != ',' && !is_space(*p))
			return HIST_AUTO;
	}
	return HIST_EDN;
}

/* A # begins an EDN tag when a symbol and a bracket follow at once. */
static bool
looks_tag(const char *p, const char *e)
{
	for (p++; p < e && !is_space(*p); p++)
		if (strchr("{[(", *p) != NULL && *p != '\0')
			return true;
	return p < e && p[-1] != '#' && memchr(p, '{', (size_t)(e - p)) != NULL
	    && looks_nested(p, e) == HIST_EDN;
}

static enum hist_format
detect(const char *p, const char *e)
{
	bool txt = true;		/* only the first line may tell */

	while (p < e) {
		const char *nl = memchr(p, '\n', (size_t)(e - p));
		const char *q = p, *end = nl == NULL ? e : nl;
		size_t at;

		p = nl == NULL ? e : nl + 1;
		while (q < end && is_space(*q))
			q++;
		if (q == end)
			continue;
		if (txt && (*q == '{' || *q == '['))
			return looks_nested(q, e);
		if (txt && (*q == '(' || *q == ';'))
			return HIST_EDN;
		if (txt && *q == '#') {
			if (looks_tag(q, e))
				return HIST_EDN;
			continue;	/* a comment of interval lines */
		}
		if (txt && looks_tsv(q, (size_t)(end - q)))
			return HIST_TSV;
		if (hist_text_match(q, (size_t)(end - q), &at))
			return txt && at == 0 ? HIST_TXT : HIST_LOG;
		txt = false;
	}
	return HIST_AUTO;
}

/* --- keys ---------------------------------------------------------------- */

/* Is the value [key x] or nothing? */
static bool
is_pair(const struct op_values *v, uint32_t id)
{
	size_t cnt;

	return op_kind(v, id) == OP_LIST && op_items(v, id, &cnt) != NULL &&
	    cnt == 2;
}

/*
 * Every value is a pair, and one of them can be nothing but a key and a value:
 * a read is invoked with [key nil], a cas with [key [old new]].
 */
static bool
looks_independent(const struct op_history *h)
{
	bool proof = false;

	for (size_t i = 0; i < h->cnt; i++) {
		const struct op *op = &h->ops[i];
		const uint32_t *item;
		size_t cnt;

		if (op->key != OP_NIL || !is_pair(h->values, op->arg) ||
		    (op->result != OP_NIL && !is_pair(h->values, op->result)))
			return false;
		item = op_items(h->values, op->arg, &cnt);
		if (op_is(h->values, op->f, "read"))
			proof |= item[1] == OP_NIL;
		else if (op_is(h->values, op->f, "cas"))
			proof |= is_pair(h->values, item[1]);
		else if (!op_is(h->values, op->f, "write"))
			return false;
	}
	return proof;
}

static int
take_keys(struct hist_reader *r)
{
	struct op_history *h = r->h;

	if (r->conf->independent == HIST_NO ||
	    (r->conf->independent == HIST_DETECT && !looks_independent(h)))
		return 0;
	for (size_t i = 0; i < h->cnt; i++) {
		struct op *op = &h->ops[i];
		const uint32_t *item;
		size_t cnt;

		if (!is_pair(h->values, op->arg) ||
		    (op->result != OP_NIL && !is_pair(h->values, op->result)))
			return hist_bad(r, op->call_line,
			    "the value is not [key value]");
		item = op_items(h->values, op->arg, &cnt);
		op->key = item[0];
		op->arg = item[1];
		if (op->result == OP_NIL)
			continue;
		item = op_items(h->values, op->result, &cnt);
		if (item[0] != op->key)
			return hist_bad(r, op->ret_line, "the completion has "
			    "another key than the invocation of line %u",
			    op->call_line);
		op->result = item[1];
	}
	return 0;
}

/* --- all of it ----------------------------------------------------------- */

static int
by_call(const void *a, const void *b)
{
	const struct op *x = a, *y = b;

	if (x->call != y->call)
		return x->call < y->call ? -1 : 1;
	if (x->ret != y->ret)
		return x->ret < y->ret ? -1 : 1;
	return x->call_line < y->call_line ? -1 : x->call_line > y->call_line;
}

static int
read_all(struct hist_reader *r)
{
	struct hist_src *s = &r->src;
	enum hist_format format = r->conf->format;

	if (hist_fill(r, PEEK) == -1)
		return -1;
	if (s->len >= 3 && memcmp(s->data, "\xef\xbb\xbf", 3) == 0)
		s->pos = 3;
	if (format == HIST_AUTO) {
		format = detect(s->data + s->pos, s->data + s->len);
		r->note->format = format;
		for (size_t i = s->pos; format == HIST_AUTO; i++) {
			if (i == s->len)
				return 0;	/* blank: no operations */
			if (!is_space(s->data[i]))
				return hist_bad(r, 0,
				    "not a history in any known format");
		}
	}
	r->note->format = format;
	switch (format) {
	case HIST_AUTO:
		break;
	case HIST_EDN:
		return hist_edn_read(r);
	case HIST_LOG:
		return hist_text_read(r, false);
	case HIST_TXT:
		return hist_text_read(r, true);
	case HIST_JSON:
		return hist_json_read(r);
	case HIST_TSV:
		return hist_tsv_read(r);
	}
	return 0;
}

int
hist_read(int fd, const struct hist_conf *conf, struct op_history *h,
    struct hist_note *note)
{
	struct hist_reader r = { .conf = conf, .h = h, .note = note };
	int rc = -1, saved;

	*note = (struct hist_note){ .format = conf->format };
	*h = (struct op_history){ 0 };
	r.src.fd = fd;
	r.src.line = 1;
	r.v = h->values = op_values_open();
	if (h->values == NULL)
		return -1;
	rc = read_all(&r);
	if (rc == 0)
		rc = take_keys(&r);
	if (rc == 0 && h->timed && h->cnt > 0)
		qsort(h->ops, h->cnt, sizeof(*h->ops), by_call);
	saved = errno;
	free(r.src.data);
	free(r.open);
	free(r.stack);
	buf_release(&r.scratch);
	if (rc == -1)
		op_history_release(h);
	errno = saved;
	return rc;
}

int
hist_value(struct op_history *h, enum hist_format format, const char *text,
    uint32_t *id)
{
	struct hist_note note;
	struct hist_conf conf = { 0 };
	struct hist_reader r = { .conf = &conf, .h = h, .note = &note,
	    .v = h->values };
	size_t len = strlen(text);
	const char *p = text;
	int rc;

	if (format == HIST_TSV) {
		*id = OP_NIL;
		return strcmp(text, "-") == 0 ? 0 :
		    op_scalar(h->values, OP_ATOM, text, len, id);
	}
	rc = hist_edn_value(&r, &p, text + len, 1, id);
	free(r.stack);
	buf_release(&r.scratch);
	if (rc == 0 && p != text + len) {
		errno = EINVAL;
		rc = -1;
	}
	return rc;
}
