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

/* Step over #tag; #_ discards one more form. */
static int
skip_tag(struct hist_reader *r, int *discard)
{
	int c;

	skip(r, 1);
	c = at(r, 0);
	if (c == '_') {
		skip(r, 1);
		++*discard;
		return 0;
	}
	if (c == '{')
		return hist_bad(r, r->src.line, "a set where a map belongs");
	while ((c = at(r, 0)) > ' ' && strchr("{[(", c) == NULL)
		skip(r, 1);
	return c == -2 ? -1 : 0;
}

/* A bracket around maps. */
static int
bracket(struct hist_reader *r, char c)
{
	bool opens = c == '[' || c == '(';

	if (opens && r->opened == HIST_CONTAINERS)
		return hist_bad(r, r->src.line, "maps nested in more than %d "
		    "lists", HIST_CONTAINERS);
	if (opens) {
		if (r->opened == 0)
			r->opened_line = r->src.line;
		r->open_with[r->opened++] = c;
	} else if (r->opened == 0 ||
	    r->open_with[--r->opened] != (c == ']' ? '[' : '(')) {
		return hist_bad(r, r->src.line, "a %c that closes nothing", c);
	}
	skip(r, 1);
	return 0;
}

/* The input ends; within a container that is no end: 0, -1. */
static int
finish(struct hist_reader *r)
{
	if (r->opened > 0)
		return hist_bad(r, r->opened_line, "the %c here is never "
		    "closed: the file was cut off", r->open_with[0]);
	return 0;
}

/* Behind #_: anything but a bracketed form. */
static int
skip_scalar(struct hist_reader *r)
{
	bool text = at(r, 0) == '"';
	int c;

	skip(r, 1);
	while ((c = at(r, 0)) >= 0 && (text || (c > ' ' &&
	    strchr(",;\"()[]{}", c) == NULL))) {
		if (text && c == '\\' && at(r, 1) >= 0)
			skip(r, 1);
		skip(r, 1);
		if (text && c == '"')
			break;
	}
	return c == -2 ? -1 : 0;
}

/* A form that #_ discards: 1 done, 0 the input ends within, -1. */
static int
discard_form(struct hist_reader *r, int c)
{
	ssize_t n;

	if (c != '{' && c != '[' && c != '(')
		return skip_scalar(r) == -1 ? -1 : 1;
	n = extent(r, false);
	if (n > 0)
		skip(r, (size_t)n);
	return n > 0 ? 1 : (int)n;
}

/* What stands between maps: 1 stepped over, 0 it is a map or the end, -1. */
static int
between(struct hist_reader *r, bool json, int c, int *discard)
{
	if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
		skip(r, 1);
		return 1;
	}
	if (!json && c == ';')
		return skip_comment(r) == -1 ? -1 : 1;
	if (!json && c == '#')
		return skip_tag(r, discard) == -1 ? -1 : 1;
	if (*discard > 0 && strchr("])}", c) == NULL) {
		--*discard;
		return discard_form(r, c);
	}
	if (c == '[' || c == ']' || (!json && (c == '(' || c == ')')))
		return bracket(r, (char)c) == -1 ? -1 : 1;
	return 0;
}

int
hist_form(struct hist_reader *r, bool json, char **text, size_t *len,
    uint64_t *line)
{
	int c, discard = 0, rc = 1;
	ssize_t n;

	while (rc == 1) {
		c = at(r, 0);
		if (c < 0)
			return c == -2 ? -1 : finish(r);
		rc = between(r, json, c, &discard);
	}
	if (rc == -1)
		return -1;
	if (c != '{' && discard == 0)
		return hist_bad(r, r->src.line, "expected a map, found the "
		    "byte 0x%02x", (unsigned int)c);
	n = c == '{' ? extent(r, json) : 0;
	if (n == -1)
		return -1;
	if (n == 0) {
		r->note->dropped = r->src.line;
		return finish(r);
	}
	*text = r->src.data + r->src.pos;
	*len = (size_t)n;
	*line = r->src.line;
	skip(r, (size_t)n);
	return 1;
}
