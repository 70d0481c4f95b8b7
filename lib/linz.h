/*
 * linz: judge whether a history could have come from one copy of an object.
 *
 * Source:  Gibbons and Korach, "Testing shared memories", 1997 (zones);
 *          Wing and Gong, 1993, and Lowe, "Testing for linearizability", 2017
 *          (the memoised search); Henzinger, Sezgin and Vafeiadis, CONCUR 2013
 *          (queues); Lamport, "On interprocess communication", 1986 (regular).
 * Levels:  linearizable, one order that respects real time; sequential, one
 *          order that respects each process; regular, each read returns a
 *          value that some order of all writes would let it return.
 * Classes: a failed operation did not happen; an indeterminate one may take
 *          effect at any time after its call, or never.
 * Safety:  configurations of the search are told apart by 128-bit
 *          fingerprints, states by two hashes modulo 2^61-1.
 * Errors:  0, or -1 with ENOMEM or with EBADMSG: an operation does not fit the
 *          model, the note says which and why.
 * Threads: one history at a time per thread.
 */
#ifndef LIB_LINZ_H
#define LIB_LINZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "op.h"

enum linz_model {
	LINZ_AUTO,
	LINZ_REGISTER,			/* read write */
	LINZ_CAS_REGISTER,		/* and cas [old new] */
	LINZ_KV,			/* get put append del cas */
	LINZ_LOCK,			/* acquire release, by the owner */
	LINZ_MUTEX,			/* the same by anybody */
	LINZ_FIFO,			/* enqueue dequeue drain */
	LINZ_SET,			/* add remove read */
	LINZ_LOG,			/* append read */
	LINZ_MULTI_REGISTER,		/* txn [[f key value] ...] */
};

enum linz_level { LINZ_LINEARIZABLE, LINZ_SEQUENTIAL, LINZ_REGULAR };

enum linz_verdict { LINZ_YES, LINZ_NO, LINZ_UNKNOWN };

enum linz_anomaly {
	LINZ_NONE,
	LINZ_STALE_READ,
	LINZ_INVERSION,			/* new value read, then the old one */
	LINZ_LOST_UPDATE,
	LINZ_FAILED_READ,		/* read of a failed write */
	LINZ_NOWHERE,			/* read of what nobody wrote */
	LINZ_FUTURE,			/* read before it was written */
	LINZ_TWO_HOLDERS,
	LINZ_NOT_HELD,			/* release without the lock */
	LINZ_DUPLICATE,			/* delivered twice */
	LINZ_ORDER,			/* delivered out of order */
	LINZ_WRONG_EMPTY,
	LINZ_DIVERGED,			/* two reads no log can both have */
	LINZ_LOST_ITEM,
};

/* Why there is no verdict. */
enum linz_reason {
	LINZ_DECIDED,
	LINZ_EMPTY,			/* nothing to check */
	LINZ_TIME,			/* the limit of that name was hit */
	LINZ_MEMORY,
	LINZ_STATES,
	LINZ_NO_MEANING,		/* the level does not know the model */
	LINZ_OVERLAP,		/* a process overlaps itself */
};

struct linz_progress {			/* of the key being searched */
	uint64_t placed, to_place;	/* the most so far */
	uint64_t states;		/* of all keys */
};

struct linz_conf {
	enum linz_model model;
	enum linz_level level;
	bool nil_any;			/* a read of nil matches anything */
	uint32_t init;			/* value of every register at first */
	uint32_t log_base;		/* the offset of a log's first item */
	struct mono deadline;
	size_t memory_max;		/* bytes for the search */
	uint64_t states_max;		/* configurations, 0: no limit */
	bool want_order;		/* a witness on success */
	bool want_window;		/* an explanation on failure */
	/* Called every few hundred steps of a long search, unless NULL. */
	void (*progress)(void *arg, const struct linz_progress *now);
	void *progress_arg;
};

struct linz_step {			/* of an order or a window */
	uint32_t op;			/* index into the history */
	bool optional;		/* may be left out, or be later */
};

struct linz_result {
	enum linz_verdict verdict;
	enum linz_reason reason;
	enum linz_model model;		/* the one used */
	uint64_t ops;			/* judged: without failed ones */
	uint64_t keys;
	uint64_t states;		/* configurations examined */
	uint64_t placed, to_place;	/* the most of the key in question */
	uint32_t key;			/* that failed or was not decided */
	bool keyed;
	uint32_t bad_op;		/* index of the operation not fitting */

	/* On success, when wanted: all keys, one after the other. */
	struct linz_step *order;
	size_t order_cnt;

	/* On failure, when wanted. */
	enum linz_anomaly anomaly;
	struct linz_step *window;	/* by call; cannot be ordered */
	size_t window_cnt;
	bool window_least;	/* nothing could be left out of it any more */
	bool cropped;	/* it has none whatever the register held before */
	uint32_t start;		/* cropped: the value that got the farthest */
	uint32_t culprit;	/* op whose end made it so; UINT32_MAX: none */
	uint32_t *placed_ops;		/* the longest partial order of them */
	size_t placed_cnt;
	struct buf words;		/* what happened, one sentence a line */
	struct buf why;			/* why nothing follows, a line an op */
};

/* h is only read, but for values that are split into lists.  *r is filled
 * whenever 0 is returned and goes to linz_release(). */
int	linz_judge(struct op_history *h, const struct linz_conf *conf,
	    struct linz_result *r);
void	linz_release(struct linz_result *r);

/* "write x 3", "read x -> 3": one operation, values cut at max bytes. */
int	linz_describe(const struct op_history *h, uint32_t op, size_t max,
	    struct buf *out);

const char *linz_model_name(enum linz_model model);
int	linz_model_parse(const char *name, enum linz_model *model);
const char *linz_anomaly_name(enum linz_anomaly anomaly);

#endif /* LIB_LINZ_H */
