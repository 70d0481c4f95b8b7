/*
 * qpop: what its parts know of each other; see qpop(1).
 *
 * qpop.c reads the options and opens the queue.  qpop_stream.c hands messages
 * to the standard output, in the form that qpop_form.c gives them.  qpop_run.c
 * gives them to commands: qpop_spawn.c starts one, qpop_relay.c passes on what
 * it prints, qpop_fate.c says what its end means for its messages, and
 * qpop_sync.c makes durable, beside all that, what was journaled.
 */
#ifndef CMD_QPOP_H
#define CMD_QPOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "clock.h"
#include "frame.h"
#include "queue.h"

#define QPOP_JOBS_MAX	1024U
#define QPOP_BATCH_MAX	65536U

/* Our own descriptors are above those a command may be given. */
#define QPOP_FD_MIN	10

struct options {
	const char *path, *group_name;
	uint32_t group;
	struct frame frame;
	uint64_t count;			/* UINT64_MAX: no limit */
	bool follow;			/* -f */
	bool once;			/* -m */
	bool quiet, verbose;
	bool xfsz_ignored;		/* SIGXFSZ, when we were started */
	int64_t wait_ns;		/* -W; -1: not given */
	unsigned int part, parts;
	/* to the standard output */
	const char *format;
	bool json;
	int64_t lease_ns;		/* 0: no lease */
	/* to commands */
	char **command;			/* NULL: to the standard output */
	unsigned int jobs, batch;
	bool has_tries, has_backoff;
	uint64_t tries;
	int64_t backoff_ns;
	int64_t limit_ns;		/* -T; 0: none */
};

/* --- qpop_stream.c, qpop_run.c: the exit status --------------------------- */

int	stream_main(struct queue *q, const struct options *o);
int	run_main(struct queue *q, const struct options *o);

/* --- qpop.c: what both need ------------------------------------------------ */

/* Is the queue closed and everything in the group finished?  1, 0, -1. */
int	qpop_drained(struct queue *q, const struct options *o);

/* queue_take(), but under -W no lock is waited for much longer than that. */
int	qpop_take(struct queue *q, const struct options *o,
	    const struct queue_take *how, struct mono deadline,
	    struct queue_claim *claim, int64_t *again_ns);

/* Die of the signal, as if it had not been caught. */
_Noreturn void qpop_die(int sig);

/* --- qpop_form.c: a message as bytes --------------------------------------- */

struct form {
	const struct options *o;
	const struct queue *q;
	struct buf code;		/* of -o: see qpop_form.c */
};

/* -1: o->format cannot be read; *why says what is wrong with it. */
int	form_init(struct form *f, const struct options *o,
	    const struct queue *q, const char **why);
void	form_release(struct form *f);

/* Append m as it is printed.  ENOMEM, EMSGSIZE. */
int	form_put(const struct form *f, struct buf *out,
	    const struct queue_claim *c, const struct queue_message *m);

/* --- qpop_sync.c ----------------------------------------------------------- */

struct syncer;

/* NULL with errno. */
struct syncer *syncer_start(const char *path);
/* What has been journaled by now shall be durable soon. */
void	syncer_want(struct syncer *s);
/* Wait until no sync is under way, and let none begin until it may go on. */
void	syncer_rest(struct syncer *s);
void	syncer_go_on(struct syncer *s);
int	syncer_error(struct syncer *s);	/* 0, or the errno that ended it */
void	syncer_stop(struct syncer *s);	/* and free; NULL is allowed */

#endif /* CMD_QPOP_H */
