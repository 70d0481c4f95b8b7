/* linz_search: the inside of the search, shared by its three files. */
#ifndef LIB_LINZ_SEARCH_H
#define LIB_LINZ_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "linz.h"
#include "linz_priv.h"

#define NONE	UINT32_MAX
#define SEARCH_CHAIN_MAX 4096		/* optional operations in a row */

struct search_class {		/* optional operations that do the same */
	uint32_t key, f, post, pre;
	uint32_t at, cnt;		/* of members */
	uint32_t used;
};

struct search_trail {
	struct linz_undo u;
	uint32_t op;
	uint32_t first;			/* linearizable: before it was placed */
};

struct search_frame {
	size_t trail;
	size_t alts, alts_end, at;	/* of the arena */
};

struct search_seen {				/* placed and state alike */
	uint64_t h[2];			/* 0, 0: free */
	uint32_t list;			/* of what was used, in pool; NONE */
};

struct search_longest {			/* read of a key: what it may grow to */
	uint32_t op;			/* NONE: no such read */
	struct linz_digest *prefix;	/* STR: by length; else NULL */
	uint32_t resets;		/* operations to come that overwrite */
};

struct search {
	const struct linz_prob *p;
	enum linz_level level;
	struct linz_limit *limit;
	struct linz_out *o;
	struct linz_machine m;
	uint32_t n;			/* completed */
	uint32_t left;			/* of these, not yet placed */
	uint8_t *done;			/* by op */
	uint64_t h[2];			/* of what is placed */
	uint64_t used_h[2];		/* of the optional ones used */
	/* Linearizable: completed ops by call as a list; by return. */
	uint32_t *next, *prev;		/* by op; sentinel is p->cnt */
	uint32_t *byret, *rank;
	uint32_t first;			/* of byret: the first not placed */
	int64_t bound;			/* its return */
	uint32_t farthest;		/* the most that first ever was */
	/* Sequential: chains of processes. */
	uint32_t *head, *chain;		/* by process, by op */
	uint32_t *chain_of, *pred;	/* by op; pred NONE: no one before */
	uint32_t procs;
	/* Optional ones. */
	struct search_class *classes;
	uint32_t classes_cnt;
	uint32_t *members, *class_of;
	struct search_longest *longest;	/* by key */
	struct search_trail *trail;
	size_t trail_cnt, trail_cap;
	struct search_frame *frames;
	size_t frames_cnt, frames_cap;
	uint32_t *arena;		/* alternatives: count, ops, ... */
	size_t arena_cnt, arena_cap;
	uint32_t *cand;			/* scratch */
	uint32_t *chain_ops;		/* being built, SEARCH_CHAIN_MAX */
	uint32_t *used;			/* classes, as they were used */
	size_t used_cnt, used_cap;
	uint32_t *pool;			/* next, how many, (class, uses) ... */
	size_t pool_cnt, pool_cap;
	struct search_seen *seen;
	size_t seen_cnt, seen_cap;
	size_t size;			/* bytes */
	unsigned int ticks;
	enum linz_reason stop;		/* the limit that was hit */
};

/* --- linz_search.c ------------------------------------------------------- */

/* Room for one more of cnt elements in *array; doubles, counting bytes. */
int	search_room(struct search *s, void *array, size_t cnt, size_t *cap,
	    size_t size);

/* Has a limit been hit?  s->stop says which. */
bool	search_stopped(struct search *s);

/* Does it overwrite a text? */
bool	search_is_reset(const struct linz_op *o);

/* Step first over what is placed. */
void	search_set_bound(struct search *s);

/* --- linz_next.c --------------------------------------------------------- */

/* A frame with all that may come next, each alternative a few operations. */
int	search_push_frame(struct search *s);

/* --- linz_setup.c -------------------------------------------------------- */

int	search_init(struct search *s);
void	search_release(struct search *s);

#endif /* LIB_LINZ_SEARCH_H */
