/* resp: find the CRLF, read the number, step over the bytes. */

#include "resp.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define LINE_MAX_	32		/* of a *N or $N line */

/*
 * A line "xNUMBER\r\n" at pos: the number, and where the next byte is.  Takes
 * -1 for nil; anything else that is not a plain decimal is refused.
 */
static int
read_number(const unsigned char *data, size_t len, size_t pos, int64_t *v,
    size_t *next)
{
	size_t i, end;
	int64_t n = 0;
	bool minus = false;

	for (end = pos; end < len && data[end] != '\r'; end++)
		if (end - pos >= LINE_MAX_)
			return -1;
	if (end + 1 >= len)
		return 0;
	if (data[end + 1] != '\n')
		return -1;
	i = pos + 1;
	if (i < end && data[i] == '-') {
		minus = true;
		i++;
	}
	if (i == end)
		return -1;
	for (; i < end; i++) {
		if (data[i] < '0' || data[i] > '9' ||
		    __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, data[i] - '0', &n))
			return -1;
	}
	*v = minus ? -n : n;
	*next = end + 2;
	return 1;
}

static int
broken(struct resp_request *r, const char *why)
{
	r->why = why;
	errno = EBADMSG;
	return -1;
}

static int
read_array(const unsigned char *data, size_t len, size_t arg_max,
    struct resp_request *r)
{
	size_t pos, i;
	int64_t n, bytes;
	int rc;

	if ((rc = read_number(data, len, 0, &n, &pos)) <= 0)
		return rc == 0 ? 0 : broken(r, "invalid multibulk length");
	if (n > RESP_ARGS_MAX)
		return broken(r, "too many arguments");
	if (n < 0)
		n = 0;
	for (i = 0; i < (size_t)n; i++) {
		if (pos == len)
			return 0;
		if (data[pos] != '$')
			return broken(r, "expected '$'");
		if ((rc = read_number(data, len, pos, &bytes, &pos)) <= 0)
			return rc == 0 ? 0 : broken(r, "invalid bulk length");
		if (bytes < 0 || (uint64_t)bytes > arg_max)
			return broken(r, "invalid bulk length");
		if (len - pos < (size_t)bytes + 2)
			return 0;
		r->argv[i].data = data + pos;
		r->argv[i].len = (size_t)bytes;
		pos += (size_t)bytes;
		if (data[pos] != '\r' || data[pos + 1] != '\n')
			return broken(r, "expected CRLF behind a bulk string");
		pos += 2;
	}
	r->argc = (size_t)n;
	r->used = pos;
	return 1;
}

static int
hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* What stands behind a backslash inside double quotes; its length in *took. */
static unsigned char
unescape(const unsigned char *p, size_t left, size_t *took)
{
	*took = 1;
	switch (p[0]) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'a':
		return '\a';
	case 'x':
		if (left >= 3 && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
			*took = 3;
			return (unsigned char)(hex(p[1]) * 16 + hex(p[2]));
		}
		return 'x';
	default:
		return p[0];
	}
}

/*
 * One word from *from on, written over the line; false if a quote is not
 * closed or something follows it without a blank.
 */
static bool
read_word(unsigned char *line, size_t end, size_t *from, struct resp_arg *arg)
{
	size_t in = *from, out = in, took;
	unsigned char quote = 0;

	arg->data = line + out;
	for (; in < end; in++) {
		if (quote == 0 && (line[in] == ' ' || line[in] == '\t'))
			break;
		if (quote == 0 && (line[in] == '"' || line[in] == '\'')) {
			quote = line[in];
		} else if (quote != 0 && line[in] == quote) {
			if (in + 1 < end && line[in + 1] != ' ' &&
			    line[in + 1] != '\t')
				return false;
			quote = 0;
		} else if (line[in] == '\\' && in + 1 < end && quote == '"') {
			line[out++] = unescape(line + in + 1, end - in - 1,
			    &took);
			in += took;
		} else if (line[in] == '\\' && in + 1 < end &&
		    quote == '\'' && line[in + 1] == '\'') {
			line[out++] = '\'';
			in++;
		} else {
			line[out++] = line[in];
		}
	}
	arg->len = (size_t)(line + out - arg->data);
	*from = in;
	return quote == 0;
}

static int
read_inline(unsigned char *data, size_t len, size_t arg_max,
    struct resp_request *r)
{
	const unsigned char *nl;
	size_t end, pos = 0;

	nl = memchr(data, '\n', len < RESP_INLINE_MAX ? len : RESP_INLINE_MAX);
	if (nl == NULL) {
		if (len >= RESP_INLINE_MAX)
			return broken(r, "too big inline request");
		return 0;
	}
	end = (size_t)(nl - data);
	r->used = end + 1;
	r->argc = 0;
	if (end > 0 && data[end - 1] == '\r')
		end--;
	for (;;) {
		while (pos < end && (data[pos] == ' ' || data[pos] == '\t'))
			pos++;
		if (pos == end)
			return 1;
		if (r->argc == RESP_ARGS_MAX)
			return broken(r, "too many arguments");
		if (!read_word(data, end, &pos, &r->argv[r->argc]))
			return broken(r, "unbalanced quotes in request");
		if (r->argv[r->argc].len > arg_max)
			return broken(r, "invalid bulk length");
		r->argc++;
	}
}

int
resp_read(unsigned char *data, size_t len, size_t arg_max,
    struct resp_request *r)
{
	r->used = r->argc = 0;
	r->why = NULL;
	if (len == 0)
		return 0;
	if (data[0] == '*')
		return read_array(data, len, arg_max, r);
	return read_inline(data, len, arg_max, r);
}

int
resp_frame(const unsigned char *data, size_t len, size_t *used)
{
	uint64_t open = 1;		/* values still to come */
	size_t pos = 0;
	const unsigned char *nl;
	int64_t n;
	int rc;

	/* Nesting needs no stack: an array adds its elements to what is open. */
	for (; open > 0; open--) {
		if (pos == len)
			return 0;
		switch (data[pos]) {
		case '+':
		case '-':
			nl = memchr(data + pos, '\n', len - pos);
			if (nl == NULL)
				return 0;
			pos = (size_t)(nl - data) + 1;
			break;
		case ':':
		case '$':
		case '*':
			rc = read_number(data, len, pos, &n, used);
			if (rc == 0)
				return 0;
			if (rc == -1)
				goto bad;
			if (data[pos] == '*') {
				if (n > (int64_t)RESP_REPLY_MAX)
					goto bad;
				open += n > 0 ? (uint64_t)n : 0;
				if (open > RESP_REPLY_MAX)
					goto bad;
			} else if (data[pos] == '$' && n >= 0) {
				if (n > (int64_t)RESP_REPLY_MAX)
					goto bad;
				if (len - *used < (size_t)n + 2)
					return 0;
				*used += (size_t)n + 2;
			}
			pos = *used;
			break;
		default:
			goto bad;
		}
	}
	*used = pos;
	return 1;
bad:
	errno = EBADMSG;
	return -1;
}

int
resp_int(struct buf *b, int64_t v)
{
	unsigned char text[24];
	size_t i = sizeof(text);
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

	text[--i] = '\n';
	text[--i] = '\r';
	do
		text[--i] = (unsigned char)('0' + u % 10);
	while ((u /= 10) > 0);
	if (v < 0)
		text[--i] = '-';
	text[--i] = ':';
	return buf_put(b, text + i, sizeof(text) - i);
}

static int
put_head(struct buf *b, unsigned char kind, size_t n)
{
	size_t at = b->len;

	if (resp_int(b, (int64_t)n) == -1)
		return -1;
	b->data[at] = kind;
	return 0;
}

int
resp_bulk(struct buf *b, const void *data, size_t len)
{
	size_t at = b->len;

	if (put_head(b, '$', len) == -1 || buf_put(b, data, len) == -1 ||
	    buf_put(b, "\r\n", 2) == -1) {
		b->len = at;
		return -1;
	}
	return 0;
}

int
resp_array(struct buf *b, size_t count)
{
	return put_head(b, '*', count);
}

int
resp_nil(struct buf *b)
{
	return buf_put(b, "$-1\r\n", 5);
}
