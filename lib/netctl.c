/*
 * netctl: a line is cut into words; prefixes come first, then a verb and its
 * operands, then options in any order.
 */

#include "netctl.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "netctl_priv.h"

static const char *const modes[] = { "hold", "drop", "reset", "refuse" };
static const char *const dists[] = {
	"constant", "uniform", "normal", "exp", "pareto"
};
static const char *const frames[] = {
	"none", "line", "u32be", "u32le", "resp"
};
static const char *const chaoses[] = {
	"partition", "cut", "oneway", "delay", "rate", "reset", "pause"
};

/* --- options ----------------------------------------------------------- */

static int
want_faults(struct parser *p)
{
	const char *list = word_next(p, "a list of faults"), *s;
	char name[16];
	size_t len;
	int i;

	if (list == NULL)
		return -1;
	for (s = list;; s += len + 1) {
		len = strcspn(s, ",");
		if (len == 0 || len >= sizeof(name))
			return word_fail(p, "\"%s\" is no list of faults",
			    list);
		memcpy(name, s, len);
		name[len] = '\0';
		if ((i = word_find(chaoses, WORD_COUNT(chaoses), name)) == -1)
			return word_fail(p, "\"%s\" is no fault of chaos",
			    name);
		p->c->faults |= 1U << i;
		if (s[len] == '\0')
			return 0;
	}
}

static int
option(struct parser *p, const char *word)
{
	struct netctl *c = p->c;
	int i;

	if ((p->opts & OPT_MODE) && strcmp(word, "mode") == 0) {
		if (word_choice(p, modes, WORD_COUNT(modes), "mode", &i) == -1)
			return -1;
		c->mode = (enum netctl_mode)i;
		c->has_mode = true;
	} else if ((p->opts & OPT_P) && strcmp(word, "p") == 0) {
		return word_p(p);
	} else if ((p->opts & OPT_COUNT) && strcmp(word, "count") == 0) {
		return word_count(p, 1, &c->count);
	} else if ((p->opts & OPT_ONEWAY) && strcmp(word, "oneway") == 0) {
		c->oneway = true;
	} else if ((p->opts & OPT_CONNECT) && strcmp(word, "connect") == 0) {
		c->connect = true;
	} else if ((p->opts & OPT_JITTER) && strcmp(word, "jitter") == 0) {
		if (word_time(p, DELAY_MAX_NS, &c->time2_ns) == -1)
			return -1;
		if (c->dist == NETCTL_CONSTANT)
			c->dist = NETCTL_UNIFORM;
	} else if ((p->opts & OPT_DIST) && strcmp(word, "dist") == 0) {
		if (word_choice(p, dists, WORD_COUNT(dists), "dist", &i) == -1)
			return -1;
		c->dist = (enum netctl_dist)i;
	} else if ((p->opts & OPT_GAP) && strcmp(word, "gap") == 0) {
		return word_time(p, DELAY_MAX_NS, &c->time2_ns);
	} else if ((p->opts & OPT_NAME) && strcmp(word, "name") == 0) {
		return word_name(p, &c->name);
	} else if (((p->opts & OPT_WITHIN) && strcmp(word, "within") == 0) ||
	    ((p->opts & OPT_MINMAX) && strcmp(word, "max") == 0)) {
		return word_time(p, TIME_MAX_NS, &c->within_ns);
	} else if ((p->opts & OPT_FAULTS) && strcmp(word, "faults") == 0) {
		return want_faults(p);
	} else if ((p->opts & OPT_MINMAX) && strcmp(word, "min") == 0) {
		return word_time(p, TIME_MAX_NS, &c->time2_ns);
	} else if ((p->opts & OPT_JSON) && strcmp(word, "json") == 0) {
		c->what = NETCTL_JSON;
	} else {
		return word_fail(p, "unknown word \"%s\"; usage: %s", word,
		    netctl_verbs[c->verb].usage);
	}
	return 0;
}

/* --- lines ------------------------------------------------------------- */

static int
operands(struct parser *p)
{
	const struct verb *v = &netctl_verbs[p->c->verb];
	struct netctl *c = p->c;
	const char *word;
	int i;

	switch (v->operand) {
	case O_NONE:
		return 0;
	case O_OWN:
		return v->own(p);
	case O_NAME:
		return word_name(p, &c->name);
	case O_A:
		return word_set(p, &c->a);
	case O_A_OPT:
		return word_peek(p) == NULL ? 0 : word_set(p, &c->a);
	case O_PAIR_OPT:
		word = word_peek(p);
		if (word == NULL || strcmp(word, "json") == 0)
			return 0;
		break;
	case O_PAIR: case O_PAIR_TIME: case O_PAIR_RATE: case O_PAIR_SIZE:
	case O_PAIR_P: case O_PAIR_FRAME:
		break;
	}
	if (word_set(p, &c->a) == -1 || word_set(p, &c->b) == -1)
		return -1;
	switch (v->operand) {
	case O_PAIR_TIME:
		return word_time(p, DELAY_MAX_NS, &c->time_ns);
	case O_PAIR_SIZE:
		return word_size(p, 1, &c->number);
	case O_PAIR_P:
		return word_p(p);
	case O_PAIR_RATE:
		if ((word = word_next(p, "a rate")) == NULL)
			return -1;
		if (netctl_rate(word, &c->number) == -1)
			return word_fail(p, "\"%s\" is no rate (1mbit, 64kbps)",
			    word);
		return 0;
	case O_PAIR_FRAME:
		if (word_choice(p, frames, WORD_COUNT(frames), "framing",
		    &i) == -1)
			return -1;
		c->frame = (enum netctl_frame)i;
		return 0;
	default:
		return 0;
	}
}

/* at, every and repeat, in any order, each once. */
static int
prefixes(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word;
	char *time;

	while ((word = word_peek(p)) != NULL) {
		if (strcmp(word, "at") == 0 && !c->has_at) {
			p->at++;
			if (word_peek(p) == NULL)
				return word_fail(p, "at: a time is missing");
			time = c->words[p->at];
			c->has_at = true;
			c->at_now = time[0] == '+';
			/* The log's own times are bare seconds. */
			if (num_duration(time + (c->at_now ? 1 : 0),
			    &c->at_ns) == -1 || c->at_ns < 0 ||
			    c->at_ns > TIME_MAX_NS)
				return word_fail(p, "\"%s\" is no time", time);
			p->at++;
		} else if (strcmp(word, "every") == 0 && c->every_ns == 0) {
			p->at++;
			if (word_peek(p) == NULL)
				return word_fail(p, "every: a time is missing");
			if (word_time(p, TIME_MAX_NS, &c->every_ns) == -1)
				return -1;
			if (c->every_ns < NUM_NS_PER_MS)
				return word_fail(p, "every: 1ms at least");
		} else if (strcmp(word, "repeat") == 0 && c->repeat == 0) {
			p->at++;
			if (word_peek(p) == NULL || num_u64(word_peek(p), 1,
			    1000000, &c->repeat) == -1)
				return word_fail(p, "repeat: no number from 1 "
				    "to 1000000");
			p->at++;
		} else {
			break;
		}
	}
	return 0;
}

/* Copy the line and cut the copy into words. */
static int
split(struct parser *p, const char *line)
{
	struct netctl *c = p->c;
	size_t len = strcspn(line, "\r\n"), i;

	if (len >= sizeof(c->copy))
		return word_fail(p, "a line of more than %u bytes",
		    NETCTL_LINE_MAX - 1);
	memcpy(c->copy, line, len);
	c->copy[len] = '\0';
	c->words_cnt = 0;
	for (i = 0; i < len;) {
		if (c->copy[i] == ' ' || c->copy[i] == '\t') {
			c->copy[i++] = '\0';
			continue;
		}
		if (c->copy[i] == '#')
			break;
		if (c->words_cnt == NETCTL_WORDS_MAX)
			return word_fail(p, "more than %d words",
			    NETCTL_WORDS_MAX);
		c->words[c->words_cnt++] = c->copy + i;
		for (; i < len && c->copy[i] != ' ' && c->copy[i] != '\t'; i++)
			if (iscntrl((unsigned char)c->copy[i]))
				return word_fail(p, "a control character");
	}
	if (i < len)
		c->copy[i] = '\0';
	return 0;
}

int
netctl_parse(struct netctl *c, const char *line, char err[NETCTL_ERR_MAX])
{
	struct parser p = { .c = c, .err = err };
	const char *word;
	size_t v;

	memset(c, 0, offsetof(struct netctl, words));
	c->p = 1;
	c->verb = NETCTL_VERBS;
	err[0] = '\0';
	if (split(&p, line) == -1)
		return -1;
	if (c->words_cnt == 0)
		return 0;
	if (prefixes(&p) == -1)
		return -1;
	if ((word = word_peek(&p)) == NULL)
		return word_fail(&p, "a verb is missing after \"%s\"",
		    c->words[0]);
	for (v = 0; v < NETCTL_VERBS; v++)
		if (strcmp(netctl_verbs[v].name, word) == 0)
			break;
	if (v == NETCTL_VERBS)
		return word_fail(&p, "unknown word \"%s\"", word);
	c->verb = (enum netctl_verb)v;
	c->rest = line + (word - c->copy);
	if ((c->has_at || c->every_ns > 0 || c->repeat > 0) &&
	    c->verb == NETCTL_WAIT)
		return word_fail(&p, "wait cannot be scheduled");
	c->shows = netctl_verbs[v].opts & OPT_SHOWS;
	if (c->repeat > 0 && c->shows)
		return word_fail(&p, "%s cannot be repeated", word);
	p.at++;
	p.opts = netctl_verbs[v].opts;
	if (operands(&p) == -1)
		return -1;
	while ((word = word_peek(&p)) != NULL) {
		p.at++;
		if (option(&p, word) == -1)
			return -1;
	}
	if (c->dist != NETCTL_CONSTANT && c->time2_ns == 0 &&
	    c->verb == NETCTL_DELAY)
		return word_fail(&p, "dist needs a jitter");
	return 1;
}

void
netctl_strip(char *line)
{
	size_t len, i;

	for (i = 0; line[i] != '\0'; i++)
		if (line[i] == '\r' || line[i] == '\n' || (line[i] == '#' &&
		    (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t')))
			break;
	line[i] = '\0';
	for (len = i; len > 0 && (line[len - 1] == ' ' ||
	    line[len - 1] == '\t'); len--)
		line[len - 1] = '\0';
	i = strspn(line, " \t");
	memmove(line, line + i, len - i + 1);
}

const char *
netctl_verb_name(enum netctl_verb verb)
{
	return netctl_verbs[verb].name;
}

const char *
netctl_mode_name(enum netctl_mode mode)
{
	return modes[mode];
}

const char *
netctl_frame_name(enum netctl_frame frame)
{
	return frames[frame];
}

const char *
netctl_usage(size_t n)
{
	return n < NETCTL_VERBS ? netctl_verbs[n].usage : NULL;
}
