/*
 * netctl: a table of verbs, each with the operands it takes and the options
 * it allows; what does not fit the table has a function of its own.
 */

#include "netctl.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num.h"

#define TIME_MAX_NS	(INT64_C(366) * 86400 * NUM_NS_PER_S)
#define DELAY_MAX_NS	(INT64_C(3600) * NUM_NS_PER_S)
#define RATE_MAX	UINT64_C(1000000000000)
#define SIZE_MAX_BYTES	(UINT64_C(1) << 50)

enum operand {
	O_NONE, O_PAIR, O_PAIR_OPT, O_PAIR_TIME, O_PAIR_RATE, O_PAIR_SIZE,
	O_PAIR_P, O_PAIR_FRAME, O_A, O_A_OPT, O_NAME, O_OWN
};

#define OPT_MODE	0x01U
#define OPT_P		0x02U
#define OPT_COUNT	0x04U
#define OPT_ONEWAY	0x08U
#define OPT_CONNECT	0x10U
#define OPT_JITTER	0x20U
#define OPT_DIST	0x40U
#define OPT_GAP		0x80U
#define OPT_NAME	0x100U
#define OPT_WITHIN	0x200U
#define OPT_FAULTS	0x400U
#define OPT_MINMAX	0x800U
#define OPT_JSON	0x1000U

#define OPT_BLOCK	(OPT_MODE | OPT_P | OPT_COUNT)
#define OPT_SHAPE	(OPT_P | OPT_COUNT | OPT_ONEWAY)

struct parser {
	struct netctl *c;
	size_t at;			/* next word */
	unsigned int opts;		/* allowed */
	char *err;
};

typedef int (*own_parser)(struct parser *p);

struct verb {
	const char *name, *usage;
	enum operand operand;
	unsigned int opts;
	own_parser own;
};

static int	parse_node(struct parser *), parse_link(struct parser *);
static int	parse_partition(struct parser *), parse_flap(struct parser *);
static int	parse_wait(struct parser *), parse_assert(struct parser *);
static int	parse_chaos(struct parser *), parse_number(struct parser *);
static int	parse_log(struct parser *), parse_diagram(struct parser *);

static const struct verb verbs[NETCTL_VERBS] = {
	[NETCTL_NODE] = { "node", "node NAME [pid P ... | addr IP | "
	    "listen ADDR to ADDR]", O_OWN, 0, parse_node },
	[NETCTL_LINK] = { "link", "link A B listen ADDR to ADDR [name NAME]",
	    O_OWN, OPT_NAME, parse_link },
	[NETCTL_SOCKET] = { "socket", "socket NAME", O_NAME, 0, NULL },
	[NETCTL_FRAME] = { "frame", "frame A B line|u32be|u32le|resp|none",
	    O_PAIR_FRAME, OPT_ONEWAY, NULL },
	[NETCTL_PEERS] = { "peers", "peers [A]", O_A_OPT, 0, NULL },
	[NETCTL_PARTITION] = { "partition", "partition GROUP ... | halves | "
	    "majority | minority-third | majorities-ring | bridge [NODE] | "
	    "one [NODE] | primaries NODES | pairs A/B ...", O_OWN, OPT_BLOCK,
	    parse_partition },
	[NETCTL_CUT] = { "cut", "cut A B [mode M] [p P] [count N]", O_PAIR,
	    OPT_BLOCK, NULL },
	[NETCTL_ONEWAY] = { "oneway", "oneway A B [connect] [mode M] [p P] "
	    "[count N]", O_PAIR, OPT_BLOCK | OPT_CONNECT, NULL },
	[NETCTL_ISOLATE] = { "isolate", "isolate A [mode M] [p P] [count N]",
	    O_A, OPT_BLOCK, NULL },
	[NETCTL_HOLD] = { "hold", "hold A B [mode M] [p P] [count N]", O_PAIR,
	    OPT_BLOCK, NULL },
	[NETCTL_RELEASE] = { "release", "release A B", O_PAIR, 0, NULL },
	[NETCTL_FLAP] = { "flap", "flap A B up TIME down TIME [mode M] | "
	    "flap A B up|down|stop", O_OWN, OPT_MODE, parse_flap },
	[NETCTL_HEAL] = { "heal", "heal [A B]", O_PAIR_OPT, 0, NULL },
	[NETCTL_DELAY] = { "delay", "delay A B TIME [jitter TIME] "
	    "[dist constant|uniform|normal|exp|pareto] [oneway] [p P] "
	    "[count N]", O_PAIR_TIME, OPT_SHAPE | OPT_JITTER | OPT_DIST,
	    NULL },
	[NETCTL_RATE] = { "rate", "rate A B RATE [oneway] [p P] [count N]",
	    O_PAIR_RATE, OPT_SHAPE, NULL },
	[NETCTL_SLICE] = { "slice", "slice A B SIZE [gap TIME] [oneway] [p P] "
	    "[count N]", O_PAIR_SIZE, OPT_SHAPE | OPT_GAP, NULL },
	[NETCTL_LIMIT] = { "limit-bytes", "limit-bytes A B SIZE [mode reset] "
	    "[oneway] [p P] [count N]", O_PAIR_SIZE, OPT_SHAPE | OPT_MODE,
	    NULL },
	[NETCTL_LOSS] = { "loss", "loss A B P [oneway] [count N]", O_PAIR_P,
	    OPT_ONEWAY | OPT_COUNT, NULL },
	[NETCTL_DUP] = { "dup", "dup A B P [oneway] [count N]", O_PAIR_P,
	    OPT_ONEWAY | OPT_COUNT, NULL },
	[NETCTL_REORDER] = { "reorder", "reorder A B P [oneway] [count N]",
	    O_PAIR_P, OPT_ONEWAY | OPT_COUNT, NULL },
	[NETCTL_CORRUPT] = { "corrupt", "corrupt A B P [oneway] [count N]",
	    O_PAIR_P, OPT_ONEWAY | OPT_COUNT, NULL },
	[NETCTL_CLEAR] = { "clear", "clear [A B]", O_PAIR_OPT, 0, NULL },
	[NETCTL_RESET] = { "reset", "reset A B [p P] [count N]", O_PAIR,
	    OPT_P | OPT_COUNT, NULL },
	[NETCTL_HALFCLOSE] = { "half-close", "half-close A B [p P] [count N]",
	    O_PAIR, OPT_P | OPT_COUNT, NULL },
	[NETCTL_PAUSE] = { "pause", "pause NODE", O_A, 0, NULL },
	[NETCTL_RESUME] = { "resume", "resume NODE", O_A, 0, NULL },
	[NETCTL_KILL] = { "kill", "kill NODE", O_A, 0, NULL },
	[NETCTL_CHAOS] = { "chaos", "chaos TIME [faults LIST] [min TIME] "
	    "[max TIME] | chaos stop", O_OWN, OPT_FAULTS | OPT_MINMAX,
	    parse_chaos },
	[NETCTL_LIVENESS] = { "liveness", "liveness CORE", O_A, 0, NULL },
	[NETCTL_STOP] = { "stop", "stop [ID]", O_OWN, 0, parse_number },
	[NETCTL_WAIT] = { "wait", "wait TIME | carried A B BYTES | "
	    "conns A B N | bit [A B] | idle, [within TIME]", O_OWN,
	    OPT_WITHIN, parse_wait },
	[NETCTL_ASSERT] = { "assert", "assert bit [A B] | blocked A B | "
	    "open A B | carried A B [BYTES] | conns A B N", O_OWN, 0,
	    parse_assert },
	[NETCTL_STATUS] = { "status", "status [A B] [json]", O_PAIR_OPT,
	    OPT_JSON, NULL },
	[NETCTL_SEED] = { "seed", "seed [N]", O_OWN, 0, parse_number },
	[NETCTL_LOG] = { "log", "log [json | -d]", O_OWN, 0, parse_log },
	[NETCTL_DIAGRAM] = { "diagram", "diagram [svg]", O_OWN, 0,
	    parse_diagram },
	[NETCTL_HELP] = { "help", "help", O_NONE, 0, NULL },
	[NETCTL_VERSION] = { "version", "version", O_NONE, 0, NULL },
	[NETCTL_QUIT] = { "quit", "quit", O_NONE, 0, NULL },
};

static const char *const shapes[] = {
	[NETCTL_HALVES] = "halves", [NETCTL_MAJORITY] = "majority",
	[NETCTL_MINORITY_THIRD] = "minority-third",
	[NETCTL_MAJORITIES_RING] = "majorities-ring",
	[NETCTL_BRIDGE] = "bridge", [NETCTL_ONE] = "one",
	[NETCTL_PRIMARIES] = "primaries", [NETCTL_PAIRS] = "pairs",
};

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

/* Words that would be ambiguous as names of nodes. */
static const char *const reserved[] = {
	"all", "at", "every", "mode", "p", "count", "connect", "jitter",
	"dist", "gap", "name", "within", "faults", "min", "max", "json",
	"svg", "to", "listen", "up", "down"
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static int	fail(struct parser *p, const char *fmt, ...)
		    __attribute__((format(printf, 2, 3)));

static int
fail(struct parser *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	/* A message that is cut off is still a message. */
	(void)vsnprintf(p->err, NETCTL_ERR_MAX, fmt, ap);
	va_end(ap);
	errno = EINVAL;
	return -1;
}

static int
find(const char *const *table, size_t n, const char *word)
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
		if (strcmp(verbs[i].name, name) == 0)
			return false;
	return find(shapes, COUNT(shapes), name) == -1 &&
	    find(reserved, COUNT(reserved), name) == -1;
}

/* A list of names with commas, "all", or "?"; they need not exist. */
static bool
set_ok(const char *set)
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

static const char *
peek(const struct parser *p)
{
	return p->at < p->c->words_cnt ? p->c->words[p->at] : NULL;
}

static const char *
next(struct parser *p, const char *what)
{
	if (p->at >= p->c->words_cnt) {
		fail(p, "%s: %s is missing; usage: %s",
		    verbs[p->c->verb].name, what, verbs[p->c->verb].usage);
		return NULL;
	}
	return p->c->words[p->at++];
}

static int
want_set(struct parser *p, const char **set)
{
	if ((*set = next(p, "a node")) == NULL)
		return -1;
	if (!set_ok(*set))
		return fail(p, "\"%s\" is no node", *set);
	return 0;
}

static int
want_time(struct parser *p, int64_t max_ns, int64_t *ns)
{
	const char *word;
	size_t len;

	if ((word = next(p, "a time")) == NULL)
		return -1;
	len = strlen(word);
	/* A bare number has no unit one could see: only 0 needs none. */
	if (num_duration(word, ns) == -1 || *ns < 0 || *ns > max_ns)
		return fail(p, "\"%s\" is no time from 0 to %" PRId64 "s", word,
		    max_ns / NUM_NS_PER_S);
	if (len > 0 && isdigit((unsigned char)word[len - 1]) && *ns != 0)
		return fail(p, "\"%s\": a time needs a unit (us ms s m h d)",
		    word);
	return 0;
}

static int
want_size(struct parser *p, uint64_t min, uint64_t *bytes)
{
	const char *word;

	if ((word = next(p, "a size")) == NULL)
		return -1;
	if (num_size(word, bytes) == -1 || *bytes < min ||
	    *bytes > SIZE_MAX_BYTES)
		return fail(p, "\"%s\" is no size", word);
	p->c->has_number = true;
	return 0;
}

static int
want_count(struct parser *p, uint64_t min, uint64_t *n)
{
	const char *word;

	if ((word = next(p, "a number")) == NULL)
		return -1;
	if (num_u64(word, min, UINT64_MAX, n) == -1)
		return fail(p, "\"%s\" is no number", word);
	p->c->has_number = true;
	return 0;
}

static int
want_word(struct parser *p, const char *word)
{
	const char *got = next(p, word);

	if (got == NULL)
		return -1;
	if (strcmp(got, word) != 0)
		return fail(p, "\"%s\" where \"%s\" belongs; usage: %s", got,
		    word, verbs[p->c->verb].usage);
	return 0;
}

static int
want_choice(struct parser *p, const char *const *table, size_t n,
    const char *what, int *choice)
{
	const char *word = next(p, what);

	if (word == NULL)
		return -1;
	if ((*choice = find(table, n, word)) == -1)
		return fail(p, "\"%s\" is no %s; usage: %s", word, what,
		    verbs[p->c->verb].usage);
	return 0;
}

static int
want_name(struct parser *p, const char **name)
{
	if ((*name = next(p, "a name")) == NULL)
		return -1;
	if (strlen(*name) > NETCTL_NAME_MAX || (*name)[0] == '.' ||
	    strpbrk(*name, "/,?") != NULL)
		return fail(p, "\"%s\" cannot be the name of a socket", *name);
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
	for (size_t i = 0; i < COUNT(units); i++) {
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

static int
want_p(struct parser *p)
{
	const char *word = next(p, "a probability");

	if (word == NULL)
		return -1;
	if (netctl_probability(word, &p->c->p) == -1)
		return fail(p, "\"%s\" is no probability (0.2 or 20%%)", word);
	return 0;
}

/* --- options ----------------------------------------------------------- */

static int
want_faults(struct parser *p)
{
	const char *list = next(p, "a list of faults"), *s;
	char name[16];
	size_t len;
	int i;

	if (list == NULL)
		return -1;
	for (s = list;; s += len + 1) {
		len = strcspn(s, ",");
		if (len == 0 || len >= sizeof(name))
			return fail(p, "\"%s\" is no list of faults", list);
		memcpy(name, s, len);
		name[len] = '\0';
		if ((i = find(chaoses, COUNT(chaoses), name)) == -1)
			return fail(p, "\"%s\" is no fault of chaos", name);
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
		if (want_choice(p, modes, COUNT(modes), "mode", &i) == -1)
			return -1;
		c->mode = (enum netctl_mode)i;
		c->has_mode = true;
	} else if ((p->opts & OPT_P) && strcmp(word, "p") == 0) {
		return want_p(p);
	} else if ((p->opts & OPT_COUNT) && strcmp(word, "count") == 0) {
		return want_count(p, 1, &c->count);
	} else if ((p->opts & OPT_ONEWAY) && strcmp(word, "oneway") == 0) {
		c->oneway = true;
	} else if ((p->opts & OPT_CONNECT) && strcmp(word, "connect") == 0) {
		c->connect = true;
	} else if ((p->opts & OPT_JITTER) && strcmp(word, "jitter") == 0) {
		if (want_time(p, DELAY_MAX_NS, &c->time2_ns) == -1)
			return -1;
		if (c->dist == NETCTL_CONSTANT)
			c->dist = NETCTL_UNIFORM;
	} else if ((p->opts & OPT_DIST) && strcmp(word, "dist") == 0) {
		if (want_choice(p, dists, COUNT(dists), "dist", &i) == -1)
			return -1;
		c->dist = (enum netctl_dist)i;
	} else if ((p->opts & OPT_GAP) && strcmp(word, "gap") == 0) {
		return want_time(p, DELAY_MAX_NS, &c->time2_ns);
	} else if ((p->opts & OPT_NAME) && strcmp(word, "name") == 0) {
		return want_name(p, &c->name);
	} else if (((p->opts & OPT_WITHIN) && strcmp(word, "within") == 0) ||
	    ((p->opts & OPT_MINMAX) && strcmp(word, "max") == 0)) {
		return want_time(p, TIME_MAX_NS, &c->within_ns);
	} else if ((p->opts & OPT_FAULTS) && strcmp(word, "faults") == 0) {
		return want_faults(p);
	} else if ((p->opts & OPT_MINMAX) && strcmp(word, "min") == 0) {
		return want_time(p, TIME_MAX_NS, &c->time2_ns);
	} else if ((p->opts & OPT_JSON) && strcmp(word, "json") == 0) {
		c->what = NETCTL_JSON;
	} else {
		return fail(p, "unknown word \"%s\"; usage: %s", word,
		    verbs[c->verb].usage);
	}
	return 0;
}

static bool
is_option(const char *word)
{
	return strcmp(word, "mode") == 0 || strcmp(word, "p") == 0 ||
	    strcmp(word, "count") == 0;
}

/* --- verbs with a grammar of their own --------------------------------- */

static int
parse_node(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word;

	if ((c->a = next(p, "a name")) == NULL)
		return -1;
	if (!netctl_name_ok(c->a))
		return fail(p, "\"%s\" cannot be the name of a node", c->a);
	if ((word = peek(p)) == NULL)
		return 0;
	p->at++;
	if (strcmp(word, "pid") == 0) {
		c->what = NETCTL_PID;
		c->list = c->words + p->at;
		c->list_cnt = c->words_cnt - p->at;
		p->at = c->words_cnt;
		return c->list_cnt > 0 ? 0 : fail(p, "node: a pid is missing");
	}
	if (strcmp(word, "addr") == 0) {
		c->what = NETCTL_ADDR;
		return (c->to = next(p, "an address")) == NULL ? -1 : 0;
	}
	if (strcmp(word, "listen") != 0)
		return fail(p, "unknown word \"%s\"; usage: %s", word,
		    verbs[c->verb].usage);
	c->what = NETCTL_LISTEN;
	if ((c->listen = next(p, "an address")) == NULL ||
	    want_word(p, "to") == -1 ||
	    (c->to = next(p, "an address")) == NULL)
		return -1;
	return 0;
}

static int
parse_link(struct parser *p)
{
	struct netctl *c = p->c;

	if (want_set(p, &c->a) == -1 || want_set(p, &c->b) == -1 ||
	    want_word(p, "listen") == -1 ||
	    (c->listen = next(p, "an address")) == NULL ||
	    want_word(p, "to") == -1 ||
	    (c->to = next(p, "an address")) == NULL)
		return -1;
	return 0;
}

static int
pair_ok(struct parser *p, const char *pair)
{
	const char *slash = strchr(pair, '/');
	char from[NETCTL_NAME_MAX + 1];
	size_t len;

	if (slash == NULL || (len = (size_t)(slash - pair)) == 0 ||
	    len > NETCTL_NAME_MAX)
		return fail(p, "\"%s\" is no pair A/B", pair);
	memcpy(from, pair, len);
	from[len] = '\0';
	if (!netctl_name_ok(from) || !netctl_name_ok(slash + 1))
		return fail(p, "\"%s\" is no pair A/B", pair);
	return 0;
}

static int
parse_partition(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word;
	int shape;

	if ((word = next(p, "a group or a shape")) == NULL)
		return -1;
	shape = find(shapes, COUNT(shapes), word);
	if (shape == -1)
		p->at--;
	c->shape = shape == -1 ? NETCTL_GROUPS : (enum netctl_shape)shape;
	if (c->shape == NETCTL_GROUPS || c->shape == NETCTL_PAIRS) {
		c->list = c->words + p->at;
		while ((word = peek(p)) != NULL && !is_option(word)) {
			if (c->shape == NETCTL_PAIRS) {
				if (pair_ok(p, word) == -1)
					return -1;
			} else if (strcmp(word, "all") == 0 || !set_ok(word)) {
				return fail(p, "\"%s\" is no group of nodes "
				    "and no shape", word);
			}
			p->at++;
		}
		c->list_cnt = (size_t)(c->words + p->at - c->list);
		return c->list_cnt > 0 ? 0 : fail(p, "partition: no pairs");
	}
	word = peek(p);
	if (c->shape == NETCTL_PRIMARIES)
		return want_set(p, &c->a);
	if ((c->shape == NETCTL_BRIDGE || c->shape == NETCTL_ONE) &&
	    word != NULL && !is_option(word))
		return want_set(p, &c->a);
	return 0;
}

static int
parse_flap(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word;

	if (want_set(p, &c->a) == -1 || want_set(p, &c->b) == -1 ||
	    (word = next(p, "up, down or stop")) == NULL)
		return -1;
	if (strcmp(word, "stop") == 0) {
		c->what = NETCTL_ENDED;
		return 0;
	}
	if (strcmp(word, "down") == 0) {
		c->what = NETCTL_DOWN;
		return 0;
	}
	if (strcmp(word, "up") != 0)
		return fail(p, "unknown word \"%s\"; usage: %s", word,
		    verbs[c->verb].usage);
	if (peek(p) == NULL) {
		c->what = NETCTL_UP;
		return 0;
	}
	if (want_time(p, TIME_MAX_NS, &c->time_ns) == -1 ||
	    want_word(p, "down") == -1 ||
	    want_time(p, TIME_MAX_NS, &c->time2_ns) == -1)
		return -1;
	if (c->time_ns < NUM_NS_PER_MS || c->time2_ns < NUM_NS_PER_MS)
		return fail(p, "flap: times are 1ms at least");
	return 0;
}

static int
parse_condition(struct parser *p, const char *word)
{
	struct netctl *c = p->c;
	const char *more;

	if (strcmp(word, "bit") == 0) {
		c->what = NETCTL_BIT;
		more = peek(p);
		if (more == NULL || strcmp(more, "within") == 0)
			return 0;
		return want_set(p, &c->a) == -1 || want_set(p, &c->b) == -1 ?
		    -1 : 0;
	}
	if (strcmp(word, "carried") != 0 && strcmp(word, "conns") != 0)
		return fail(p, "unknown word \"%s\"; usage: %s", word,
		    verbs[c->verb].usage);
	c->what = word[1] == 'a' ? NETCTL_CARRIED : NETCTL_CONNS;
	if (want_set(p, &c->a) == -1 || want_set(p, &c->b) == -1)
		return -1;
	if (c->what == NETCTL_CONNS)
		return want_count(p, 0, &c->number);
	more = peek(p);
	if (c->verb == NETCTL_ASSERT && more == NULL) {
		c->number = 1;
		return 0;
	}
	return want_size(p, 0, &c->number);
}

static int
parse_wait(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word = next(p, "a time or a condition");

	if (word == NULL)
		return -1;
	if (isdigit((unsigned char)word[0]) || word[0] == '.') {
		p->at--;
		return want_time(p, TIME_MAX_NS, &c->time_ns);
	}
	if (strcmp(word, "idle") == 0) {
		c->what = NETCTL_IDLE;
		return 0;
	}
	return parse_condition(p, word);
}

static int
parse_assert(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word = next(p, "an assertion");

	if (word == NULL)
		return -1;
	if (strcmp(word, "blocked") == 0 || strcmp(word, "open") == 0) {
		c->what = word[0] == 'b' ? NETCTL_BLOCKED : NETCTL_OPEN;
		return want_set(p, &c->a) == -1 || want_set(p, &c->b) == -1 ?
		    -1 : 0;
	}
	return parse_condition(p, word);
}

static int
parse_chaos(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word = peek(p);

	if (word != NULL && strcmp(word, "stop") == 0) {
		p->at++;
		c->what = NETCTL_ENDED;
		return 0;
	}
	return want_time(p, TIME_MAX_NS, &c->time_ns);
}

static int
parse_number(struct parser *p)
{
	if (peek(p) == NULL)
		return 0;
	return want_count(p, 0, &p->c->number);
}

static int
parse_log(struct parser *p)
{
	const char *word = peek(p);

	if (word == NULL)
		return 0;
	p->at++;
	if (strcmp(word, "json") == 0 || strcmp(word, "-J") == 0 ||
	    strcmp(word, "--json") == 0)
		p->c->what = NETCTL_JSON;
	else if (strcmp(word, "-d") == 0 || strcmp(word, "--decisions") == 0 ||
	    strcmp(word, "decisions") == 0)
		p->c->what = NETCTL_DECISIONS;
	else
		return fail(p, "unknown word \"%s\"; usage: %s", word,
		    verbs[NETCTL_LOG].usage);
	return 0;
}

static int
parse_diagram(struct parser *p)
{
	if (peek(p) == NULL)
		return 0;
	if (want_word(p, "svg") == -1)
		return -1;
	p->c->what = NETCTL_SVG;
	return 0;
}

/* --- lines ------------------------------------------------------------- */

static int
operands(struct parser *p)
{
	const struct verb *v = &verbs[p->c->verb];
	struct netctl *c = p->c;
	const char *word;
	int i;

	switch (v->operand) {
	case O_NONE:
		return 0;
	case O_OWN:
		return v->own(p);
	case O_NAME:
		return want_name(p, &c->name);
	case O_A:
		return want_set(p, &c->a);
	case O_A_OPT:
		return peek(p) == NULL ? 0 : want_set(p, &c->a);
	case O_PAIR_OPT:
		word = peek(p);
		if (word == NULL || strcmp(word, "json") == 0)
			return 0;
		break;
	case O_PAIR: case O_PAIR_TIME: case O_PAIR_RATE: case O_PAIR_SIZE:
	case O_PAIR_P: case O_PAIR_FRAME:
		break;
	}
	if (want_set(p, &c->a) == -1 || want_set(p, &c->b) == -1)
		return -1;
	switch (v->operand) {
	case O_PAIR_TIME:
		return want_time(p, DELAY_MAX_NS, &c->time_ns);
	case O_PAIR_SIZE:
		return want_size(p, 1, &c->number);
	case O_PAIR_P:
		return want_p(p);
	case O_PAIR_RATE:
		if ((word = next(p, "a rate")) == NULL)
			return -1;
		if (netctl_rate(word, &c->number) == -1)
			return fail(p, "\"%s\" is no rate (1mbit, 64kbps)",
			    word);
		return 0;
	case O_PAIR_FRAME:
		if (want_choice(p, frames, COUNT(frames), "framing", &i) == -1)
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

	while ((word = peek(p)) != NULL) {
		if (strcmp(word, "at") == 0 && !c->has_at) {
			p->at++;
			if (peek(p) == NULL)
				return fail(p, "at: a time is missing");
			time = c->words[p->at];
			c->has_at = true;
			c->at_now = time[0] == '+';
			/* The log's own times are bare seconds. */
			if (num_duration(time + (c->at_now ? 1 : 0),
			    &c->at_ns) == -1 || c->at_ns < 0 ||
			    c->at_ns > TIME_MAX_NS)
				return fail(p, "\"%s\" is no time", time);
			p->at++;
		} else if (strcmp(word, "every") == 0 && c->every_ns == 0) {
			p->at++;
			if (peek(p) == NULL)
				return fail(p, "every: a time is missing");
			if (want_time(p, TIME_MAX_NS, &c->every_ns) == -1)
				return -1;
			if (c->every_ns < NUM_NS_PER_MS)
				return fail(p, "every: 1ms at least");
		} else if (strcmp(word, "repeat") == 0 && c->repeat == 0) {
			p->at++;
			if (peek(p) == NULL || num_u64(peek(p), 1, 1000000,
			    &c->repeat) == -1)
				return fail(p, "repeat: no number from 1 to "
				    "1000000");
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
		return fail(p, "a line of more than %u bytes",
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
			return fail(p, "more than %d words", NETCTL_WORDS_MAX);
		c->words[c->words_cnt++] = c->copy + i;
		for (; i < len && c->copy[i] != ' ' && c->copy[i] != '\t'; i++)
			if (iscntrl((unsigned char)c->copy[i]))
				return fail(p, "a control character");
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
	if ((word = peek(&p)) == NULL)
		return fail(&p, "a verb is missing after \"%s\"", c->words[0]);
	for (v = 0; v < NETCTL_VERBS; v++)
		if (strcmp(verbs[v].name, word) == 0)
			break;
	if (v == NETCTL_VERBS)
		return fail(&p, "unknown word \"%s\"", word);
	c->verb = (enum netctl_verb)v;
	c->rest = line + (word - c->copy);
	if ((c->has_at || c->every_ns > 0 || c->repeat > 0) &&
	    (c->verb == NETCTL_WAIT))
		return fail(&p, "wait cannot be scheduled");
	p.at++;
	p.opts = verbs[v].opts;
	if (operands(&p) == -1)
		return -1;
	while ((word = peek(&p)) != NULL) {
		p.at++;
		if (option(&p, word) == -1)
			return -1;
	}
	if (c->dist != NETCTL_CONSTANT && c->time2_ns == 0 &&
	    c->verb == NETCTL_DELAY)
		return fail(&p, "dist needs a jitter");
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
	return verbs[verb].name;
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
	return n < NETCTL_VERBS ? verbs[n].usage : NULL;
}
