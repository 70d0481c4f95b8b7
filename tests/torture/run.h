/*
 * run: start a program under test, feed it, collect what it says, with a
 * limit on its time.
 *
 * Errors:  what the host refuses ends the test program (err(3)); what the
 *          program under test does is a result.
 */
#ifndef TORTURE_RUN_H
#define TORTURE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define RUN_ENV_MAX	200
#define RUN_ERR_MAX	1500

struct run_env {		/* ours, then what is set */
	char *vars[RUN_ENV_MAX + 1];
	size_t cnt;
};

struct run {
	pid_t pid;
	int pidfd, out, err;
	char *buf;
	size_t len, cap;
};

struct run_result {
	int status;		/* exit status, or 128 + signal */
	bool hung;		/* killed by us at the limit */
	char *out;		/* malloc'd, with a NUL after it */
	size_t out_len;
	char err[RUN_ERR_MAX];	/* what stderr began with */
};

/* The environment without what the shim reads. */
void	run_env_init(struct run_env *e);
void	run_env_set(struct run_env *e, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
void	run_env_release(struct run_env *e);

void	run_start(struct run *r, const char *const argv[],
	    const struct run_env *e, const void *in, size_t in_len);
void	run_finish(struct run *r, struct run_result *res, int limit_ms);
void	run_result_release(struct run_result *res);

#endif /* TORTURE_RUN_H */
