/*
 * trial: many independent trials over a few processes, and their sum.
 *
 * Each process has a directory of its own below the working directory; what
 * a failed trial leaves there is kept under the trial's number.
 */
#ifndef TORTURE_TRIAL_H
#define TORTURE_TRIAL_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TRIAL_SEEN	(1U << 20)	/* states remembered as done */

struct trial_sums {
	_Atomic uint64_t done, same, runs, bad, note[4];
	_Atomic uint64_t seen[TRIAL_SEEN];
};

struct trials {
	const char *work;	/* an existing directory */
	const char *keep;	/* where failures are copied to, or NULL */
	unsigned int jobs;
	uint64_t bad_max;	/* stop after so many failures */
	struct trial_sums *sums;	/* shared */
	char dir[PATH_MAX];	/* of this process */
};

void	trials_init(struct trials *t, const char *work, const char *keep,
	    unsigned int jobs);

/* Call one(arg, t, i) for all i below cnt, spread over t->jobs processes. */
void	trials_run(struct trials *t, uint64_t cnt,
	    void (*one)(void *arg, struct trials *t, uint64_t i), void *arg);

/* Has nobody met this hash before? */
bool	trials_new(struct trials *t, uint64_t hash);

/* A directory below t->dir, empty. */
void	trials_arena(const struct trials *t, const char *name,
	    char path[PATH_MAX]);

/* Report a failure: title, then why; arena is copied to keep. */
void	trials_bad(struct trials *t, const char *title, const char *why,
	    const char *arena);

#endif /* TORTURE_TRIAL_H */
