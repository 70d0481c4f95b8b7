/*
 * scenario: a short life of a queue, run by the real programs, and the check
 * of what is there afterwards.
 *
 * Language, one step a line, # to the end of the line is a comment:
 *   create [ATTR=VALUE ...]     qctl create
 *   push KEYS COUNT SIZE [-OPT] qpush; KEYS 0: no key, else so many in turn
 *   arg SIZE                    qpush with the message as operand
 *   ident SIZE                  the same with an id of its own
 *   again N                     push the N-th last ident once more
 *   pop N [-OPT ...]            qpop -n N to stdout
 *   once N                      qpop -m -n N
 *   cmd N [-OPT ...]            qpop -n N with cat as its command
 *   fail N                      qpop -n N with a command that fails
 *   reject N                    the same, the messages are dead
 *   requeue                     qctl dead requeue -a
 *   purge                       qctl purge
 *   ctl VERB [ARG ...]          qctl VERB queue ARG ...
 *   reboot                      the machine, in good order
 *   par ... end                 the steps between run at once
 */
#ifndef TORTURE_SCENARIO_H
#define TORTURE_SCENARIO_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "crashlog.h"
#include "oracle.h"
#include "run.h"

#define WORDS_MAX	16

enum mood {
	MOOD_GOOD,		/* every step must succeed */
	MOOD_KILL,		/* a step may die of SIGKILL */
	MOOD_FAULT,		/* a step may fail, not by a signal */
};

struct step {
	char *words[WORDS_MAX + 1];
	int words_cnt;
	int line;
};

struct scenario {
	struct step *steps;
	size_t steps_cnt, steps_cap;
	bool retries;		/* messages may have to be waited for */
};

struct world {
	const char *bin;	/* directory of the programs */
	char queue[PATH_MAX];
	struct run_env env;
	const struct crash_state *state;	/* for stamps; may be NULL */
	uint64_t stamp_base;
	uint64_t boot;
	int limit_ms;		/* for one program */
	enum mood mood;
	struct oracle o;
	uint64_t runs;
	char why[2 * ORACLE_WHY + RUN_ERR_MAX];
};

void	scenario_load(struct scenario *sc, const char *file);
void	scenario_parse(struct scenario *sc, const char *text);
void	scenario_release(struct scenario *sc);

/* bin must stay; the queue is arena/q. */
void	world_init(struct world *w, const char *bin, const char *arena);
void	world_release(struct world *w);
void	world_reboot(struct world *w);
void	world_calm(struct world *w);	/* no shim any more */

/* False, with w->why, when a program broke a rule on the way. */
bool	scenario_run(const struct scenario *sc, struct world *w);

enum {
	CHECK_AGAIN = 1,	/* another boot: nothing comes back */
	CHECK_USE = 2,		/* and a new message goes through */
	CHECK_VERIFY_FIRST = 4,	/* before anything is taken */
	CHECK_WAIT = 8,		/* messages may be in backoff */
	CHECK_NO_VERIFY = 16,	/* damage is known */
};

/* Drain the queue and compare with what must be there at the cut. */
bool	world_check(struct world *w, uint64_t cut, int flags,
	    struct oracle_pardon *pardon);

/* Run prog a b; its status, or -1 and w->why when it hung or crashed. */
int	world_tool(struct world *w, const char *prog, const char *a,
	    const char *b);

#endif /* TORTURE_SCENARIO_H */
