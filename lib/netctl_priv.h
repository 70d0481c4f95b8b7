/*
 * netctl_priv: what the files of netctl share with each other.
 *
 * netctl.c       lines: words, prefixes, operands by the table, options
 * netctl_verb.c  the table of verbs, and those with a grammar of their own
 * netctl_word.c  one word each: names, times, sizes, rates, choices
 */
#ifndef LIB_NETCTL_PRIV_H
#define LIB_NETCTL_PRIV_H

#include "netctl.h"
#include "num.h"

#define TIME_MAX_NS	(INT64_C(366) * 86400 * NUM_NS_PER_S)
#define DELAY_MAX_NS	(INT64_C(3600) * NUM_NS_PER_S)

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
#define OPT_SHOWS	0x2000U		/* none: the verb answers with lines */

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

extern const struct verb netctl_verbs[NETCTL_VERBS];

/* True when the word is none: a shape, or one that options begin with. */
bool	netctl_reserved(const char *word);

/* Index in the table, or -1. */
#define WORD_COUNT(a)	(sizeof(a) / sizeof((a)[0]))
int	word_find(const char *const *table, size_t n, const char *word);

/* The next word or NULL; word_next() takes it, and complains of NULL. */
const char *word_peek(const struct parser *p);
const char *word_next(struct parser *p, const char *what);

/* Write the message; always -1 with EINVAL. */
int	word_fail(struct parser *p, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* Each takes the next word; 0, or -1 after word_fail(). */
int	word_is(struct parser *p, const char *word);
int	word_set(struct parser *p, const char **set);
int	word_time(struct parser *p, int64_t max_ns, int64_t *ns);
int	word_size(struct parser *p, uint64_t min, uint64_t *bytes);
int	word_count(struct parser *p, uint64_t min, uint64_t *n);
int	word_choice(struct parser *p, const char *const *table, size_t n,
	    const char *what, int *choice);
int	word_name(struct parser *p, const char **name);
int	word_p(struct parser *p);
bool	word_set_ok(const char *set);

#endif /* LIB_NETCTL_PRIV_H */
