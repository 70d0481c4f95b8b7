/*
 * abd: one strong operation on one key, as its coordinator sees it.
 *
 * Source:  Attiya, Bar-Noy and Dolev, "Sharing memory robustly in
 *          message-passing systems", JACM 1995; several writers after Lynch
 *          and Shvartsman, FTCS 1997.
 * Steps:   ask all replicas and wait for a majority of the configured ones;
 *          then have all store, and wait for a majority again.  A read whose
 *          majority agreed is done after the first step, since what it found
 *          is on a majority already.
 * Outcome: a write of which no STORE was sent surely did not happen, later it
 *          may have; a read that fails has changed nothing but to publish
 *          what somebody else wrote.
 * Pure:    no clock, no socket: the caller brings replies and takes the next
 *          step from the answer.
 * Errors:  -1 with errno: ENOMEM.
 * Memory:  an operation owns its entry; abd_release() after the end.
 */
#ifndef LIB_ABD_H
#define LIB_ABD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dvv.h"

enum abd_outcome { ABD_OK, ABD_REFUSED, ABD_UNKNOWN };

enum abd_step {
	ABD_WAIT,			/* for more replies */
	ABD_CHOOSE,			/* a write: call abd_choose() */
	ABD_STORE,			/* send entry to all */
	ABD_DONE,			/* entry is what was read */
	ABD_FAILED,			/* see abd_give_up() */
};

enum abd_phase { ABD_ASKING, ABD_CHOOSING, ABD_STORING, ABD_ENDED };

struct abd {
	unsigned int nodes;		/* configured, down ones too */
	bool write;
	bool no_write_back;		/* a lesson: only a regular register */
	size_t limit;			/* of versions, as in dvv_merge() */

	enum abd_phase phase;
	uint32_t heard, stored, declined;	/* sets of nodes, bit = number */
	bool differ;			/* the replies so far */
	struct dvv entry;		/* their join, later what is stored */
};

unsigned int	abd_majority(unsigned int nodes);

/* Begin: the caller asks all nodes.  nodes is at most DVV_NODES_MAX. */
void	abd_init(struct abd *a, unsigned int nodes, bool write, size_t limit);
void	abd_release(struct abd *a);

/*
 * A replica's answer to the question; repeated ones and those that come late
 * do not count.  An abd_step, or -1.
 */
int	abd_state(struct abd *a, unsigned int from, const struct dvv *state);

/*
 * A write names its value now.  Before it chooses a stamp the caller joins
 * what its own replica knows by now: other writes of its own are in there, and
 * their dots are not free.  stamp must be newer than that of a->entry then.
 * ABD_STORE, or -1.
 */
int	abd_join(struct abd *a, const struct dvv *own);
int	abd_choose(struct abd *a, const struct dvv_version *v);

/* A replica has stored the entry, or declined to. */
int	abd_stored(struct abd *a, unsigned int from, bool accepted);

/* What is certain when the coordinator stops waiting now. */
enum abd_outcome	abd_give_up(const struct abd *a);

const char *abd_outcome_name(enum abd_outcome outcome);

#endif /* LIB_ABD_H */
