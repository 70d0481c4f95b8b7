/*
 * netctl_verb: a table of verbs, each with the operands it takes and the
 * options it allows; what does not fit the table has a function of its own.
 */

#include <ctype.h>
#include <string.h>

#include "netctl_priv.h"

static int	parse_node(struct parser *), parse_link(struct parser *);
static int	parse_partition(struct parser *), parse_flap(struct parser *);
static int	parse_wait(struct parser *), parse_assert(struct parser *);
static int	parse_chaos(struct parser *), parse_number(struct parser *);
static int	parse_log(struct parser *), parse_diagram(struct parser *);

const struct verb netctl_verbs[NETCTL_VERBS] = {
	[NETCTL_NODE] = { "node", "node NAME [pid P ... | addr IP | "
	    "listen ADDR to ADDR]", O_OWN, 0, parse_node },
	[NETCTL_LINK] = { "link", "link A B listen ADDR to ADDR [name NAME]",
	    O_OWN, OPT_NAME, parse_link },
	[NETCTL_SOCKET] = { "socket", "socket NAME", O_NAME, 0, NULL },
	[NETCTL_FRAME] = { "frame", "frame A B line|u32be|u32le|resp|none",
	    O_PAIR_FRAME, OPT_ONEWAY, NULL },
	[NETCTL_PEERS] = { "peers", "peers [A]", O_A_OPT, OPT_SHOWS,
	    NULL },
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
	[NETCTL_FLAP] = { "flap", "flap A B up TIME down TIME [mode M] [p P] "
	    "[count N] | flap A B up|down|stop", O_OWN, OPT_BLOCK,
	    parse_flap },
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
	    OPT_JSON | OPT_SHOWS, NULL },
	[NETCTL_SEED] = { "seed", "seed [N]", O_OWN, 0, parse_number },
	[NETCTL_LOG] = { "log", "log [json | -d]", O_OWN, OPT_SHOWS,
	    parse_log },
	[NETCTL_DIAGRAM] = { "diagram", "diagram [svg]", O_OWN, OPT_SHOWS,
	    parse_diagram },
	[NETCTL_HELP] = { "help", "help", O_NONE, OPT_SHOWS, NULL },
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

/* Words that would be ambiguous as names of nodes. */
static const char *const reserved[] = {
	"all", "at", "every", "mode", "p", "count", "connect", "jitter",
	"dist", "gap", "name", "within", "faults", "min", "max", "json",
	"svg", "to", "listen", "up", "down"
};

bool
netctl_reserved(const char *word)
{
	for (size_t i = 0; i < NETCTL_VERBS; i++)
		if (strcmp(netctl_verbs[i].name, word) == 0)
			return true;
	return word_find(shapes, WORD_COUNT(shapes), word) != -1 ||
	    word_find(reserved, WORD_COUNT(reserved), word) != -1;
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

	if ((c->a = word_next(p, "a name")) == NULL)
		return -1;
	if (!netctl_name_ok(c->a))
		return word_fail(p, "\"%s\" cannot be the name of a node",
		    c->a);
	if ((word = word_peek(p)) == NULL)
		return 0;
	p->at++;
	if (strcmp(word, "pid") == 0) {
		c->what = NETCTL_PID;
		c->list = c->words + p->at;
		c->list_cnt = c->words_cnt - p->at;
		p->at = c->words_cnt;
		return c->list_cnt > 0 ? 0 :
		    word_fail(p, "node: a pid is missing");
	}
	if (strcmp(word, "addr") == 0) {
		c->what = NETCTL_ADDR;
		return (c->to = word_next(p, "an address")) == NULL ? -1 : 0;
	}
	if (strcmp(word, "listen") != 0)
		return word_fail(p, "unknown word \"%s\"; usage: %s", word,
		    netctl_verbs[c->verb].usage);
	c->what = NETCTL_LISTEN;
	if ((c->listen = word_next(p, "an address")) == NULL ||
	    word_is(p, "to") == -1 ||
	    (c->to = word_next(p, "an address")) == NULL)
		return -1;
	return 0;
}

static int
parse_link(struct parser *p)
{
	struct netctl *c = p->c;

	if (word_set(p, &c->a) == -1 || word_set(p, &c->b) == -1 ||
	    word_is(p, "listen") == -1 ||
	    (c->listen = word_next(p, "an address")) == NULL ||
	    word_is(p, "to") == -1 ||
	    (c->to = word_next(p, "an address")) == NULL)
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
		return word_fail(p, "\"%s\" is no pair A/B", pair);
	memcpy(from, pair, len);
	from[len] = '\0';
	if (!netctl_name_ok(from) || !netctl_name_ok(slash + 1))
		return word_fail(p, "\"%s\" is no pair A/B", pair);
	return 0;
}

static int
parse_partition(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word;
	int shape;

	if ((word = word_next(p, "a group or a shape")) == NULL)
		return -1;
	shape = word_find(shapes, WORD_COUNT(shapes), word);
	if (shape == -1)
		p->at--;
	c->shape = shape == -1 ? NETCTL_GROUPS : (enum netctl_shape)shape;
	if (c->shape == NETCTL_GROUPS || c->shape == NETCTL_PAIRS) {
		c->list = c->words + p->at;
		while ((word = word_peek(p)) != NULL && !is_option(word)) {
			if (c->shape == NETCTL_PAIRS) {
				if (pair_ok(p, word) == -1)
					return -1;
			} else if (strcmp(word, "all") == 0 ||
			    !word_set_ok(word)) {
				return word_fail(p, "\"%s\" is no group of "
				    "nodes and no shape", word);
			}
			p->at++;
		}
		c->list_cnt = (size_t)(c->words + p->at - c->list);
		return c->list_cnt > 0 ? 0 :
		    word_fail(p, "partition: no pairs");
	}
	word = word_peek(p);
	if (c->shape == NETCTL_PRIMARIES)
		return word_set(p, &c->a);
	if ((c->shape == NETCTL_BRIDGE || c->shape == NETCTL_ONE) &&
	    word != NULL && !is_option(word))
		return word_set(p, &c->a);
	return 0;
}

static int
parse_flap(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word;

	if (word_set(p, &c->a) == -1 || word_set(p, &c->b) == -1 ||
	    (word = word_next(p, "up, down or stop")) == NULL)
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
		return word_fail(p, "unknown word \"%s\"; usage: %s", word,
		    netctl_verbs[c->verb].usage);
	if (word_peek(p) == NULL) {
		c->what = NETCTL_UP;
		return 0;
	}
	if (word_time(p, TIME_MAX_NS, &c->time_ns) == -1 ||
	    word_is(p, "down") == -1 ||
	    word_time(p, TIME_MAX_NS, &c->time2_ns) == -1)
		return -1;
	if (c->time_ns < NUM_NS_PER_MS || c->time2_ns < NUM_NS_PER_MS)
		return word_fail(p, "flap: times are 1ms at least");
	return 0;
}

static int
parse_condition(struct parser *p, const char *word)
{
	struct netctl *c = p->c;
	const char *more;

	if (strcmp(word, "bit") == 0) {
		c->what = NETCTL_BIT;
		more = word_peek(p);
		if (more == NULL || strcmp(more, "within") == 0)
			return 0;
		return word_set(p, &c->a) == -1 || word_set(p, &c->b) == -1 ?
		    -1 : 0;
	}
	if (strcmp(word, "carried") != 0 && strcmp(word, "conns") != 0)
		return word_fail(p, "unknown word \"%s\"; usage: %s", word,
		    netctl_verbs[c->verb].usage);
	c->what = word[1] == 'a' ? NETCTL_CARRIED : NETCTL_CONNS;
	if (word_set(p, &c->a) == -1 || word_set(p, &c->b) == -1)
		return -1;
	if (c->what == NETCTL_CONNS)
		return word_count(p, 0, &c->number);
	more = word_peek(p);
	if (c->verb == NETCTL_ASSERT && more == NULL) {
		c->number = 1;
		return 0;
	}
	return word_size(p, 0, &c->number);
}

static int
parse_wait(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word = word_next(p, "a time or a condition");

	if (word == NULL)
		return -1;
	if (isdigit((unsigned char)word[0]) || word[0] == '.') {
		p->at--;
		return word_time(p, TIME_MAX_NS, &c->time_ns);
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
	const char *word = word_next(p, "an assertion");

	if (word == NULL)
		return -1;
	if (strcmp(word, "blocked") == 0 || strcmp(word, "open") == 0) {
		c->what = word[0] == 'b' ? NETCTL_BLOCKED : NETCTL_OPEN;
		return word_set(p, &c->a) == -1 || word_set(p, &c->b) == -1 ?
		    -1 : 0;
	}
	return parse_condition(p, word);
}

static int
parse_chaos(struct parser *p)
{
	struct netctl *c = p->c;
	const char *word = word_peek(p);

	if (word != NULL && strcmp(word, "stop") == 0) {
		p->at++;
		c->what = NETCTL_ENDED;
		return 0;
	}
	return word_time(p, TIME_MAX_NS, &c->time_ns);
}

static int
parse_number(struct parser *p)
{
	if (word_peek(p) == NULL)
		return 0;
	return word_count(p, 0, &p->c->number);
}

static int
parse_log(struct parser *p)
{
	const char *word = word_peek(p);

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
		return word_fail(p, "unknown word \"%s\"; usage: %s", word,
		    netctl_verbs[NETCTL_LOG].usage);
	return 0;
}

static int
parse_diagram(struct parser *p)
{
	if (word_peek(p) == NULL)
		return 0;
	if (word_is(p, "svg") == -1)
		return -1;
	p->c->what = NETCTL_SVG;
	return 0;
}
