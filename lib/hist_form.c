/*
 * hist_form: cut a stream of EDN or JSON into its maps without parsing them,
 * so that an array of any length needs no more memory than one of its items.
 *
 * At the top level white space, commas, comments, tags and the brackets of
 * containers are stepped over; a map ends where its brackets balance.
 */

#include <errno.h>
#include <string.h>

#include "hist_priv.h"

/* The byte i places behind pos; -1 at the end, -2 on error. */
static int
at(struct hist_reader *r, size_t i)
{
	int rc;

	if (r->src.len - r->src.pos <= i) {
		rc = hist_fill(r, i + 1);
		if (rc != 1)
			return rc - 1;
	}
	return (unsigned char)r->src.data[r->src.pos + i];
}

static void
skip(struct hist_reader *r, size_t cnt)
{
	struct hist_src *s = &r->src;

	for (; cnt > 0; cnt--)
		s->line += s->data[s->pos++] == '\n';
}

static int
skip_comment(struct hist_reader *r)
{
	int c;

	while ((c = at(r, 0)) >= 0 && c != '\n')
		skip(r, 1);
	return c == -2 ? -1 : 0;
}

/* From i on, how many bytes that we have mean nothing to extent(). */
static size_t
plain(const struct hist_reader *r, size_t i)
{
	static const bool special[256] = { ['"'] = true, ['\\'] = true,
	    [';'] = true, ['{'] = true, ['['] = true, ['('] = true,
	    ['}'] = true, [']'] = true, [')'] = true };
	const char *from = r->src.data + r->src.pos + i, *p = from;
	const char *e = r->src.data + r->src.len;

	while (p < e && !special[(unsigned char)*p])
		p++;
	return (size_t)(p - from);
}

/* Bytes behind the map at pos; 0 when the input ends before; -1. */
static ssize_t
extent(struct hist_reader *r, bool json)
{
	size_t i = 0, depth = 0;
	int c;

	for (;; i++) {
		if (i > HIST_RECORD_MAX)
			return hist_bad(r, r->src.line,
			    "record longer than %u bytes", HIST_RECORD_MAX);
		if (r->src.len - r->src.pos > i)
			i += plain(r, i);
		c = at(r, i);
		if (c < 0)
			break;
		switch (c) {
		case '"':
			while ((c = at(r, ++i)) >= 0 && c != '"')
				if (i > HIST_RECORD_MAX)
					break;
				else if (c == '\\')
					i++;
			break;
		case '\\':		/* an EDN character: \[ */
			i += !json;
			break;
		case ';':
			while (!json && (c = at(r, i + 1)) >= 0 && c != '\n' &&
			    i <= HIST_RECORD_MAX)
				i++;
			break;
		case '{':
		case '[':
		case '(':
			depth++;
			break;
		case '}':
		case ']':
		case ')':
			if (--depth == 0)
				return (ssize_t)(i + 1);
			break;
		default:
			break;
		}
		if (c == -2)
			return -1;
	}
	return c == -2 ? -1 : 0;
}

/* Step over #tag, and over #_ with the map behind it (*drop). */
static int
skip_tag(struct hist_reader *r, bool *drop)
{
	int c;

	skip(r, 1);
	c = at(r, 0);
	if (c == '_') {
		skip(r, 1);
		*drop = true;
		return 0;
	}
	if (c == '{')
		return hist_bad(r, r->src.line, "a set where a map belongs");
	while ((c = at(r, 0)) > ' ' && strchr("{[(", c) == NULL)
		skip(r, 1);
	return c == -2 ? -1 : 0;
}

int
hist_form(struct hist_reader *r, bool json, char **text, size_t *len,
    uint64_t *line)
{
	bool drop = false;
	ssize_t n;
	int c;

	for (;;) {
		c = at(r, 0);
		if (c == -1)
			return 0;
		if (c == -2)
			return -1;
		if (c == ' ' || c == '\t' || c == '\n' || c == '\r' ||
		    c == ',' || c == '[' || c == ']' ||
		    (!json && (c == '(' || c == ')'))) {
			skip(r, 1);
		} else if (!json && c == ';') {
			if (skip_comment(r) == -1)
				return -1;
		} else if (!json && c == '#') {
			if (skip_tag(r, &drop) == -1)
				return -1;
		} else if (c != '{') {
			return hist_bad(r, r->src.line, "expected a map, "
			    "found the byte 0x%02x", (unsigned int)c);
		} else {
			n = extent(r, json);
			if (n == -1)
				return -1;
			if (n == 0) {
				r->note->dropped = r->src.line;
				return 0;
			}
			*text = r->src.data + r->src.pos;
			*len = (size_t)n;
			*line = r->src.line;
			skip(r, (size_t)n);
			if (!drop)
				return 1;
			drop = false;
		}
	}
}
