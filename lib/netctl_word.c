/*
 * netctl_word: one word after the other; what does not fit is told with the
 * usage of its verb.
 */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netctl_priv.h"

#define RATE_MAX	UINT64_C(1000000000000)
#define SIZE_MAX_BYTES	(UINT64_C(1) << 50)

int
word_fail(struct parser *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	/* A message that is cut off is still a message. */
	(void)vsnprintf(p->err, NETCTL_ERR_MAX, fmt, ap);
	va_end(ap);
	errno = EINVAL;
	return -1;
}

int
word_find(const char *const *table, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (table[i] != NULL && strcmp(table[i], word) == 0)
			return (int)i;
	return -1;
}

bool
netctl_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > NETCTL_NAME_MAX ||
	    !isalpha((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_' &&
		    name[i] != '-')
			return false;
	for (size_t i = 0; i < NETCTL_VERBS; i++)
		if (strcmp(netctl_verbs[i].name, name) == 0)
			return false;
	return !netctl_reserved(name);
}

bool
netctl_socket_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > NETCTL_NAME_MAX || name[0] == '.')
		return false;
	/* It is printed among words, and is part of a path. */
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)name[i]) ||
		    strchr("/,?#\"\\", name[i]) != NULL)
			return false;
	return true;
}

/* A list of names with commas, "all", or "?"; they need not exist. */
bool
word_set_ok(const char *set)
{
	char name[NETCTL_NAME_MAX + 1];
	size_t len;

	if (strcmp(set, "all") == 0)
		return true;
	for (;;) {
		len = strcspn(set, ",");
		if (len == 0 || len > NETCTL_NAME_MAX)
			return false;
		memcpy(name, set, len);
		name[len] = '\0';
		if (strcmp(name, "?") != 0 && !netctl_name_ok(name))
			return false;
		if (set[len] == '\0')
			return true;
		set += len + 1;
	}
}

/* --- words ------------------------------------------------------------- */

const char *
word_peek(const struct parser *p)
{
	return p->at < p->c->words_cnt ? p->c->words[p->at] : NULL;
}

const char *
word_next(struct parser *p, const char *what)
{
	if (p->at >= p->c->words_cnt) {
		word_fail(p, "%s: %s is missing; usage: %s",
		    netctl_verbs[p->c->verb].name, what,
		    netctl_verbs[p->c->verb].usage);
		return NULL;
	}
	return p->c->words[p->at++];
}

int
word_set(struct parser *p, const char **set)
{
	if ((*set = word_next(p, "a node")) == NULL)
		return -1;
	if (!word_set_ok(*set))
		return word_fail(p, "\"%s\" is no node", *set);
	return 0;
}

int
word_time(struct parser *p, int64_t max_ns, int64_t *ns)
{
	const char *word;
	size_t len;

	if ((word = word_next(p, "a time")) == NULL)
		return -1;
	len = strlen(word);
	/* A bare number has no unit one could see: only 0 needs none. */
	if (num_duration(word, ns) == -1 || *ns < 0 || *ns > max_ns)
		return word_fail(p, "\"%s\" is no time from 0 to %" PRId64 "s",
		    word, max_ns / NUM_NS_PER_S);
	if (len > 0 && isdigit((unsigned char)word[len - 1]) && *ns != 0)
		return word_fail(p, "\"%s\": a time needs a unit "
		    "(us ms s m h d)", word);
	return 0;
}

int
word_size(struct parser *p, uint64_t min, uint64_t *bytes)
{
	const char *word;

	if ((word = word_next(p, "a size")) == NULL)
		return -1;
	if (num_size(word, bytes) == -1 || *bytes < min ||
	    *bytes > SIZE_MAX_BYTES)
		return word_fail(p, "\"%s\" is no size", word);
	p->c->has_number = true;
	return 0;
}

int
word_count(struct parser *p, uint64_t min, uint64_t *n)
{
	const char *word;

	if ((word = word_next(p, "a number")) == NULL)
		return -1;
	if (num_u64(word, min, UINT64_MAX, n) == -1)
		return word_fail(p, "\"%s\" is no number", word);
	p->c->has_number = true;
	return 0;
}

int
word_is(struct parser *p, const char *word)
{
	const char *got = word_next(p, word);

	if (got == NULL)
		return -1;
	if (strcmp(got, word) != 0)
		return word_fail(p, "\"%s\" where \"%s\" belongs; usage: %s",
		    got, word, netctl_verbs[p->c->verb].usage);
	return 0;
}

int
word_choice(struct parser *p, const char *const *table, size_t n,
    const char *what, int *choice)
{
	const char *word = word_next(p, what);

	if (word == NULL)
		return -1;
	if ((*choice = word_find(table, n, word)) == -1)
		return word_fail(p, "\"%s\" is no %s; usage: %s", word, what,
		    netctl_verbs[p->c->verb].usage);
	return 0;
}

int
word_name(struct parser *p, const char **name)
{
	if ((*name = word_next(p, "a name")) == NULL)
		return -1;
	if (!netctl_socket_ok(*name))
		return word_fail(p, "\"%s\" cannot be the name of a socket",
		    *name);
	return 0;
}

int
netctl_probability(const char *text, double *p)
{
	double v, scale = 1;
	char *end;

	if (!isdigit((unsigned char)text[0]) && text[0] != '.') {
		errno = EINVAL;
		return -1;
	}
	errno = 0;
	v = strtod(text, &end);
	if (strcmp(end, "%") == 0)
		scale = 100;
	if ((*end != '\0' && scale < 100) || strpbrk(text, "xXnN") != NULL ||
	    !(v >= 0) || v > scale) {
		errno = EINVAL;
		return -1;
	}
	*p = v / scale;
	return 0;
}

int
netctl_rate(const char *text, uint64_t *bytes_per_s)
{
	static const struct {
		const char *unit;
		double bytes;
	} units[] = {
		{ "bit", 0.125 }, { "kbit", 125 }, { "mbit", 125e3 },
		{ "gbit", 125e6 }, { "bps", 1 }, { "kbps", 1e3 },
		{ "mbps", 1e6 }, { "gbps", 1e9 },
	};
	double v;
	char *end;

	if (!isdigit((unsigned char)text[0]) && text[0] != '.') {
		errno = EINVAL;
		return -1;
	}
	v = strtod(text, &end);
	for (size_t i = 0; i < WORD_COUNT(units); i++) {
		if (strcasecmp(end, units[i].unit) != 0)
			continue;
		v *= units[i].bytes;
		if (!(v >= 1) || v > (double)RATE_MAX)
			break;
		*bytes_per_s = (uint64_t)v;
		return 0;
	}
	errno = EINVAL;
	return -1;
}

int
word_p(struct parser *p)
{
	const char *word = word_next(p, "a probability");

	if (word == NULL)
		return -1;
	if (netctl_probability(word, &p->c->p) == -1)
		return word_fail(p, "\"%s\" is no probability (0.2 or 20%%)",
		    word);
	return 0;
}
