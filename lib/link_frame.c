/*
 * link_frame: a search that goes on where it stopped, so that a message that
 * comes byte by byte costs no more than one that comes whole.
 */

#include "link_frame.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static ssize_t
bad(int errnum)
{
	errno = errnum;
	return -1;
}

static ssize_t
line_next(struct link_frame *f, const unsigned char *data, size_t len)
{
	const unsigned char *nl;

	if (len > LINK_FRAME_MAX)
		len = LINK_FRAME_MAX;
	nl = memchr(data + f->at, '\n', len - f->at);
	f->at = len;
	if (nl != NULL)
		return nl - data + 1;
	return len == LINK_FRAME_MAX ? bad(EMSGSIZE) : 0;
}

static ssize_t
u32_next(const unsigned char *data, size_t len, bool big)
{
	uint32_t body;

	if (len < 4)
		return 0;
	body = big ? (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 |
	    (uint32_t)data[2] << 8 | data[3] :
	    (uint32_t)data[3] << 24 | (uint32_t)data[2] << 16 |
	    (uint32_t)data[1] << 8 | data[0];
	if (body > LINK_FRAME_MAX - 4)
		return bad(EMSGSIZE);
	return len >= (size_t)body + 4 ? (ssize_t)body + 4 : 0;
}

/* --- RESP -------------------------------------------------------------- */

/* The decimal number of a header line, -1 for null; else -2. */
static int64_t
resp_number(const unsigned char *s, size_t len)
{
	int64_t n = 0;

	if (len == 2 && s[0] == '-' && s[1] == '1')
		return -1;
	if (len == 0 || len > 10)
		return -2;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit(s[i]))
			return -2;
		n = n * 10 + (s[i] - '0');
	}
	return n;
}

/*
 * One item at *at: moves *at past it and sets *children; 1 done, 0 more bytes
 * needed, -1.
 */
static int
resp_item(const unsigned char *data, size_t len, size_t *at, int64_t *children)
{
	const unsigned char *nl;
	size_t head, end;
	int64_t n;

	*children = 0;
	if (*at >= len)
		return 0;
	nl = memchr(data + *at, '\n', len - *at);
	if (nl == NULL)
		return len - *at > 65536 ? (int)bad(EBADMSG) : 0;
	head = (size_t)(nl - (data + *at));
	if (head == 0 || nl[-1] != '\r') {
		/* An inline command may end with a bare newline. */
		if (head > 0 && strchr("$=*~>%|:+-", data[*at]) != NULL)
			return (int)bad(EBADMSG);
		*at += head + 1;
		return 1;
	}
	switch (data[*at]) {
	case '$': case '=': case '!':
		n = resp_number(data + *at + 1, head - 2);
		if (n == -2 || n > (int64_t)LINK_FRAME_MAX)
			return (int)bad(n == -2 ? EBADMSG : EMSGSIZE);
		if (n == -1) {
			*at += head + 1;
			return 1;
		}
		end = *at + head + 1 + (size_t)n;
		if (len < end + 2)
			return 0;	/* and look at the head once more */
		if (data[end] != '\r' || data[end + 1] != '\n')
			return (int)bad(EBADMSG);
		*at = end + 2;
		return 1;
	case '*': case '~': case '>': case '%': case '|':
		n = resp_number(data + *at + 1, head - 2);
		if (n == -2 || n > (int64_t)LINK_FRAME_MAX)
			return (int)bad(n == -2 ? EBADMSG : EMSGSIZE);
		*children = n <= 0 ? 0 : n;
		if (data[*at] == '%' || data[*at] == '|')
			*children *= 2;
		if (data[*at] == '|')
			++*children;	/* the value the attributes are of */
		*at += head + 1;
		return 1;
	default:
		*at += head + 1;
		return 1;
	}
}

static ssize_t
resp_next(struct link_frame *f, const unsigned char *data, size_t len)
{
	int64_t children;
	int r;

	if (f->depth == 0) {
		f->depth = 1;
		f->left[0] = 1;
	}
	while (f->depth > 0) {
		if ((r = resp_item(data, len, &f->at, &children)) <= 0) {
			if (r == 0 && len >= LINK_FRAME_MAX)
				return bad(EMSGSIZE);
			return r;
		}
		f->left[f->depth - 1]--;
		if (children > 0) {
			if (f->depth == LINK_FRAME_DEPTH_MAX)
				return bad(EBADMSG);
			f->left[f->depth++] = children;
		}
		while (f->depth > 0 && f->left[f->depth - 1] == 0)
			f->depth--;
	}
	return (ssize_t)f->at;
}

ssize_t
link_frame_next(enum netctl_frame kind, struct link_frame *f,
    const unsigned char *data, size_t len)
{
	ssize_t r = 0;

	if (len == 0)
		return 0;
	switch (kind) {
	case NETCTL_LINE:
		r = line_next(f, data, len);
		break;
	case NETCTL_U32BE:
		r = u32_next(data, len, true);
		break;
	case NETCTL_U32LE:
		r = u32_next(data, len, false);
		break;
	case NETCTL_RESP:
		r = resp_next(f, data, len);
		break;
	case NETCTL_RAW:
		return bad(EBADMSG);
	}
	if (r > 0)
		memset(f, 0, sizeof(*f));
	return r;
}

/* --- corruption -------------------------------------------------------- */

static int
flip(unsigned char *data, size_t from, size_t to, uint64_t pick, bool text)
{
	unsigned char *byte, bit;

	if (from >= to) {
		errno = ENOMSG;
		return -1;
	}
	byte = data + from + pick % (to - from);
	bit = (unsigned char)(1U << (pick >> 32) % 8);
	/* In text no bit may make a line end out of a letter. */
	if (text && ((*byte ^ bit) == '\n' || (*byte ^ bit) == '\r'))
		bit = bit == 1 ? 2 : 1;
	*byte ^= bit;
	return 0;
}

/* The first or a later bulk string's content, chosen by pick. */
static int
resp_corrupt(unsigned char *data, size_t len, uint64_t pick)
{
	size_t at = 0, from, found_from = 0, found_to = 0, seen = 0;
	int64_t children, n;
	const unsigned char *nl;

	while (at < len) {
		from = at;
		if (resp_item(data, len, &at, &children) != 1)
			break;
		if (data[from] != '$' ||
		    (nl = memchr(data + from, '\n', len - from)) == NULL)
			continue;
		n = resp_number(data + from + 1,
		    (size_t)(nl - (data + from)) - 2);
		/* Reservoir of one: each is taken with the same chance. */
		if (n > 0 && (pick >> 8) % ++seen == 0) {
			found_from = (size_t)(nl - data) + 1;
			found_to = found_from + (size_t)n;
		}
	}
	return flip(data, found_from, found_to, pick, false);
}

int
link_frame_corrupt(enum netctl_frame kind, unsigned char *data, size_t len,
    uint64_t pick)
{
	switch (kind) {
	case NETCTL_LINE:
		if (len > 0 && data[len - 1] == '\n')
			len--;
		if (len > 0 && data[len - 1] == '\r')
			len--;
		return flip(data, 0, len, pick, true);
	case NETCTL_U32BE: case NETCTL_U32LE:
		return flip(data, 4, len, pick, false);
	case NETCTL_RESP:
		return resp_corrupt(data, len, pick);
	case NETCTL_RAW:
		break;
	}
	errno = ENOMSG;
	return -1;
}
