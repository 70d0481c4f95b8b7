/*
 * netctl: the words that a net obeys, one line at a time.
 *
 * Source:  partsim-control(5), which is the grammar.
 * Memory:  netctl_parse() cuts the caller's line into words in place; the
 *          struct points into it and is good as long as the line is.
 * Errors:  0 or 1, or -1 with EINVAL and a message in err[].
 * Threads: safe; no state.
 */
#ifndef LIB_NETCTL_H
#define LIB_NETCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETCTL_LINE_MAX		8192	/* bytes of a line with its newline */
#define NETCTL_WORDS_MAX	256
#define NETCTL_NAME_MAX		32	/* bytes in a node's or socket's name */
#define NETCTL_ERR_MAX		256

enum netctl_verb {
	NETCTL_NODE, NETCTL_LINK, NETCTL_SOCKET, NETCTL_FRAME, NETCTL_PEERS,
	NETCTL_PARTITION, NETCTL_CUT, NETCTL_ONEWAY, NETCTL_ISOLATE,
	NETCTL_HOLD, NETCTL_RELEASE, NETCTL_FLAP, NETCTL_HEAL,
	NETCTL_DELAY, NETCTL_RATE, NETCTL_SLICE, NETCTL_LIMIT,
	NETCTL_LOSS, NETCTL_DUP, NETCTL_REORDER, NETCTL_CORRUPT, NETCTL_CLEAR,
	NETCTL_RESET, NETCTL_HALFCLOSE, NETCTL_PAUSE, NETCTL_RESUME,
	NETCTL_KILL, NETCTL_CHAOS, NETCTL_LIVENESS, NETCTL_STOP,
	NETCTL_WAIT, NETCTL_ASSERT, NETCTL_STATUS, NETCTL_SEED, NETCTL_LOG,
	NETCTL_DIAGRAM, NETCTL_HELP, NETCTL_VERSION, NETCTL_QUIT,
	NETCTL_VERBS
};

enum netctl_mode {			/* ascending: the strongest wins */
	NETCTL_MODE_HOLD, NETCTL_MODE_DROP, NETCTL_MODE_RESET,
	NETCTL_MODE_REFUSE
};

enum netctl_dist {
	NETCTL_CONSTANT, NETCTL_UNIFORM, NETCTL_NORMAL, NETCTL_EXP,
	NETCTL_PARETO
};

enum netctl_frame {
	NETCTL_RAW, NETCTL_LINE, NETCTL_U32BE, NETCTL_U32LE, NETCTL_RESP
};

enum netctl_shape {
	NETCTL_GROUPS, NETCTL_PAIRS, NETCTL_HALVES, NETCTL_MAJORITY,
	NETCTL_MINORITY_THIRD, NETCTL_MAJORITIES_RING, NETCTL_BRIDGE,
	NETCTL_ONE, NETCTL_PRIMARIES
};

enum netctl_what {			/* after node, flap, wait, assert */
	NETCTL_PLAIN, NETCTL_PID, NETCTL_ADDR, NETCTL_LISTEN, NETCTL_UP,
	NETCTL_DOWN, NETCTL_ENDED, NETCTL_BIT, NETCTL_BLOCKED, NETCTL_OPEN,
	NETCTL_CARRIED, NETCTL_CONNS, NETCTL_IDLE, NETCTL_JSON,
	NETCTL_DECISIONS, NETCTL_SVG
};

/* Faults chaos may use, a set of bits. */
#define NETCTL_CHAOS_PARTITION	0x01U
#define NETCTL_CHAOS_CUT	0x02U
#define NETCTL_CHAOS_ONEWAY	0x04U
#define NETCTL_CHAOS_DELAY	0x08U
#define NETCTL_CHAOS_RATE	0x10U
#define NETCTL_CHAOS_RESET	0x20U
#define NETCTL_CHAOS_PAUSE	0x40U

struct netctl {
	enum netctl_verb verb;
	enum netctl_what what;
	bool shows;			/* its answer has lines before ok */

	/* Prefixes; the rest of the line is in `rest`, untouched. */
	bool has_at, at_now;		/* at T, at +T */
	int64_t at_ns;
	int64_t every_ns;		/* 0: no */
	uint64_t repeat;		/* 0: not given */
	const char *rest;		/* the line after its prefixes */

	const char *a, *b;		/* node sets, NULL: not given */
	const char *name;		/* of a socket */
	const char *listen, *to;	/* addresses */
	char *const *list;		/* groups, pairs, pids */
	size_t list_cnt;

	enum netctl_shape shape;
	enum netctl_mode mode;
	enum netctl_dist dist;
	enum netctl_frame frame;
	bool has_mode, oneway, connect;
	double p;			/* 1 unless given */
	uint64_t count;			/* 0: no limit */

	int64_t time_ns, time2_ns, within_ns;	/* 0: not given */
	uint64_t number;		/* bytes, bytes/s, seed, id */
	bool has_number;
	unsigned int faults;

	char *words[NETCTL_WORDS_MAX];
	size_t words_cnt;
	char copy[NETCTL_LINE_MAX];	/* what the words point into */
};

/*
 * Read one line (with or without its newline): 1 and *c, or 0 for a line that
 * asks for nothing.  line stays the caller's and is not changed.
 */
int	netctl_parse(struct netctl *c, const char *line,
	    char err[NETCTL_ERR_MAX]);

/* The line without its comment and outer blanks, as it goes to the log. */
void	netctl_strip(char *line);

const char *netctl_verb_name(enum netctl_verb verb);
const char *netctl_mode_name(enum netctl_mode mode);
const char *netctl_frame_name(enum netctl_frame frame);

/* True for a letter followed by letters, digits, _ and -, no reserved word. */
bool	netctl_name_ok(const char *name);

/* True for what net/NODE/NAME may be: printable, no blank, no / , ? # " \ */
bool	netctl_socket_ok(const char *name);

/* "10kbit" and its kin to bytes a second; 0, or -1 with EINVAL. */
int	netctl_rate(const char *text, uint64_t *bytes_per_s);

/* "0.2" or "20%"; 0, or -1 with EINVAL. */
int	netctl_probability(const char *text, double *p);

/* One line of usage per verb; NULL after the last. */
const char *netctl_usage(size_t n);

#endif /* LIB_NETCTL_H */
