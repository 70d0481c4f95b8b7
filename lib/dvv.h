/*
 * dvv: what one replica knows of one key: versions, and which writes they
 * have seen.
 *
 * Source:  Preguica and others, "Dotted version vectors", 2010; Almeida and
 *          others, "Scalable and accurate causality tracking for eventually
 *          consistent stores", DAIS 2014.
 * Dots:    every write is named by (node, counter), the coordinator and how
 *          many writes of the key it has made.  The context holds for each
 *          node how many of its writes are known; a write that the context
 *          covers and that is not among the versions has been replaced.
 * Merging: commutative, associative and idempotent.  With a limit of one
 *          version the newest stamp wins (last writer wins); what was thrown
 *          away for that, although nobody had overwritten it, is counted.
 * Order:   the newest stamp comes first.  No write that the context covers is
 *          newer than that, so the first version alone is a register whose
 *          stamp never goes back.
 * Errors:  0, or -1 with errno: ENOMEM, and the set is as it was.
 * Threads: one set per thread.
 */
#ifndef LIB_DVV_H
#define LIB_DVV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hlc.h"

#define DVV_NODES_MAX		15	/* nodes are numbered from 1 */
#define DVV_VERSIONS_MAX	60
#define DVV_VALUE_MAX		16384	/* bytes */

struct dvv_version {
	uint16_t node;			/* the dot */
	uint64_t counter;
	struct stamp stamp;
	uint8_t level;			/* the caller's: how it was written */
	unsigned char *value;		/* owned by the set */
	size_t len;
};

/* A zeroed struct is a key that nobody ever wrote. */
struct dvv {
	uint64_t context[DVV_NODES_MAX + 1];	/* [0] is not used */
	struct dvv_version *versions;
	size_t cnt;
};

void	dvv_release(struct dvv *d);
int	dvv_copy(struct dvv *to, const struct dvv *from);	/* to was empty */

/*
 * Add what from knows to d and keep at most limit versions; those that had to
 * go for that are added to *discarded.
 */
int	dvv_merge(struct dvv *d, const struct dvv *from, size_t limit,
	    uint64_t *discarded);

/*
 * A new write by node: it replaces the versions that the context covers (NULL:
 * all that are there), gets the node's next dot and the rest of v but its dot.
 * v->value is copied.  v->stamp must be newer than every version's.
 */
int	dvv_write(struct dvv *d, const uint64_t *context, uint16_t node,
	    const struct dvv_version *v, size_t limit, uint64_t *discarded);

/* Is the write a version of d, or one that d knows to have been replaced? */
bool	dvv_covers(const struct dvv *d, uint16_t node, uint64_t counter);

/* The newest stamp, all zero if nobody wrote. */
struct stamp	dvv_stamp(const struct dvv *d);

/* Equal sets of equal keys have equal digests; 0 for an unwritten key. */
uint64_t	dvv_digest(const struct dvv *d, const void *key, size_t len);

#endif /* LIB_DVV_H */
