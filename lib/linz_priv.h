/* linz_priv: what the files of linz share with each other and nobody else. */
#ifndef LIB_LINZ_PRIV_H
#define LIB_LINZ_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "linz.h"
#include "op.h"

/*
 * What an operation does, in terms of a model's state.  A lock is a register
 * in which acquire and release are compare-and-swaps: 0 is free.
 */
enum linz_f {
	LINZ_READ,			/* a: what it returned */
	LINZ_WRITE,			/* a: del writes nil */
	LINZ_CAS,			/* a: old, b: new */
	LINZ_APPEND,			/* a: text put behind the value */
	LINZ_ENQUEUE,			/* a */
	LINZ_DEQUEUE,			/* a: nil: empty; optional: anything */
	LINZ_ADD,			/* a: element */
	LINZ_REMOVE,			/* a */
	LINZ_SET_READ,			/* a: list */
	LINZ_LOG_APPEND,		/* a; b: offset it got + 1, or 0 */
	LINZ_LOG_READ,			/* a: list; b: offset it begins at */
	LINZ_TXN,			/* a: first part, b: how many */
};

struct linz_op {
	int64_t call, ret;		/* ret OP_NEVER when optional */
	uint32_t src;			/* index into the history */
	uint32_t proc;			/* value id */
	uint32_t key;			/* from 0 on */
	uint32_t a, b;
	uint8_t f;			/* enum linz_f */
	bool optional;
};

struct linz_part {			/* of a transaction */
	uint32_t key, value;
	bool write;
};

/* Operations to be judged together. */
struct linz_prob {
	const struct linz_op *ops;
	size_t cnt;
	uint32_t key0, keys;		/* their keys are key0 .. key0+keys-1 */
	enum linz_model model;
	uint32_t init;			/* of registers; a lock's is 0, free */
	const struct op_values *v;
	const struct linz_part *parts;
};

/* Part i of a transaction, which has o->b of them. */
static inline const struct linz_part *
linz_part(const struct linz_prob *p, const struct linz_op *o, uint32_t i)
{
	return &p->parts[o->a + i];
}

/* Limits, shared by all that works on one history. */
struct linz_limit {
	struct mono deadline;
	size_t memory_max;
	uint64_t states_max;
	uint64_t states;		/* examined so far, all problems */
	const struct linz_conf *conf;	/* whose progress is told, or NULL */
};

/* What came out of one problem.  Indices are into its ops. */
struct linz_out {
	enum linz_verdict verdict;
	enum linz_reason reason;
	size_t placed, to_place;	/* the most the search could place */
	bool want_order, want_best;
	uint32_t *order;		/* on success, when wanted */
	size_t order_cnt;
	uint32_t *best;		/* on failure, when wanted: the longest order */
	size_t best_cnt;
	uint32_t *seed;	/* on failure, perhaps: ops that alone show it */
	size_t seed_cnt;
	/* Of a search for a linearizable order: what it took, and the first
	 * op, by return, that could never be placed; UINT32_MAX: not known. */
	uint64_t states;
	uint32_t farthest;
};

void	linz_out_release(struct linz_out *o);	/* keeps what is wanted */

/* --- linz_bind.c --------------------------------------------------------- */

struct linz_bound {
	struct linz_op *ops;		/* by key, then by call */
	size_t cnt, cap;
	struct linz_part *parts;
	size_t parts_cnt, parts_cap;
	uint32_t *key_ids;		/* value ids of the keys */
	size_t keys, keys_cap;
	uint32_t *key_of;		/* by value id: key + 1 */
	size_t key_of_cnt;
	uint32_t *list;			/* being made */
	size_t list_cnt, list_cap;
	bool with_blank, with_tab;	/* an item of interval lines has one */
	enum linz_model model;
	bool keyed;
};

int	linz_bind(struct op_history *h, const struct linz_conf *conf,
	    struct linz_bound *b, struct linz_result *r);
void	linz_bound_release(struct linz_bound *b);

/* --- linz_machine.c ------------------------------------------------------ */

#define LINZ_PRIME	((UINT64_C(1) << 61) - 1)

struct linz_digest {			/* of a text, list or set */
	uint64_t p[2];
	uint64_t len;
};

/* How the state is kept. */
enum linz_kind {
	KIND_REG, KIND_STR, KIND_FIFO, KIND_SET, KIND_LOG, KIND_MULTI
};

struct linz_cell {			/* the state of one key */
	struct linz_digest d;
	uint32_t val;			/* REG, MULTI; STR: 0 is absent */
	uint32_t head, tail;		/* of items: FIFO, LOG */
};

struct linz_undo {
	struct linz_cell cell;
	uint64_t h[2];
};

struct linz_element {
	uint32_t key, value;
};

struct linz_machine {
	const struct linz_prob *p;
	enum linz_kind kind;
	uint64_t h[2];			/* fingerprint of the whole state */
	struct linz_cell *cells;	/* by key - key0 */
	uint32_t *items;		/* of queues and logs, in a row */
	struct linz_element *elements;	/* of sets, sorted */
	size_t elements_cnt;
	uint8_t *in;			/* by element: is it in the set? */
	struct linz_digest *digests;	/* of each op's argument or result */
	uint32_t *undo_vals;		/* of transactions, a stack */
	size_t undo_cnt, undo_cap;
	size_t size;			/* bytes */
};

int	linz_machine_init(struct linz_machine *m, const struct linz_prob *p);
void	linz_machine_release(struct linz_machine *m);
bool	linz_can(const struct linz_machine *m, uint32_t op);
int	linz_do(struct linz_machine *m, uint32_t op, struct linz_undo *u);
void	linz_undo(struct linz_machine *m, uint32_t op,
	    const struct linz_undo *u);

/* Whether the set holds it now; NULL: it never can. */
uint8_t	*linz_element(const struct linz_machine *m, uint32_t key,
	    uint32_t value);

/* Can it never change the state, whatever that is? */
bool	linz_pure(const struct linz_prob *p, const struct linz_op *op);

/* The digest of text a with text b behind it; of a list with one item more. */
struct linz_digest linz_concat(struct linz_digest a, struct linz_digest b);
struct linz_digest linz_digest_text(const char *text, size_t len);
struct linz_digest linz_digest_push(struct linz_digest a, uint32_t item);

void	linz_mix(uint64_t a, uint64_t b, uint64_t c, uint64_t d,
	    uint64_t out[2]);

/* --- the judges ---------------------------------------------------------- */

/*
 * Each returns 1 with o->verdict YES or NO, 0 when the problem is not of the
 * kind it can judge, -1 on error.
 */
int	linz_zone(const struct linz_prob *p, struct linz_out *o);
int	linz_fifo(const struct linz_prob *p, struct linz_out *o);
int	linz_slot(const struct linz_prob *p, struct linz_out *o);
int	linz_regular(const struct linz_prob *p, struct linz_out *o);

/* Only ever NO: something was seen that nobody can have written. */
int	linz_quick(const struct linz_prob *p, enum linz_level level,
	    struct linz_out *o);

/* Always a verdict, or UNKNOWN with the reason: 0, -1. */
int	linz_search(const struct linz_prob *p, enum linz_level level,
	    struct linz_limit *limit, struct linz_out *o);

#define LINZ_NOBODYS	UINT32_MAX	/* a register's value nobody asks for */

/* The best of these for the level. */
int	linz_decide(const struct linz_prob *p, enum linz_level level,
	    struct linz_limit *limit, struct linz_out *o);

/* --- linz_explain.c ------------------------------------------------------ */

/* Fill the failure's part of r for a problem that is not at this level. */
int	linz_explain(const struct linz_prob *p, const struct op_history *h,
	    const struct linz_conf *conf, enum linz_level level,
	    const struct linz_out *o, struct linz_result *r);

/* --- linz_sweep.c -------------------------------------------------------- */

/*
 * Drop the optional operations whose effect no completed one can have seen,
 * nor an optional one that was seen itself.
 */
int	linz_sweep(const struct linz_prob *p, struct linz_op *ops, size_t *cnt);
bool	linz_has_texts(const struct linz_prob *p);	/* appended to */

/* --- linz_classify.c ----------------------------------------------------- */

/* Name the anomaly that ops (by call) show; say in r->words what is wrong. */
int	linz_classify(const struct linz_prob *p, const struct op_history *h,
	    const struct linz_op *ops, size_t cnt, enum linz_level level,
	    struct linz_result *r);

/* --- linz_why.c ---------------------------------------------------------- */

/* Fill placed_ops and why of r for these ops, which have no order. */
int	linz_why(const struct linz_prob *p, const struct op_history *h,
	    const struct linz_op *ops, size_t cnt, enum linz_level level,
	    struct linz_result *r);

/* "lines 3 and 4: read x -> 1 by process 2". */
int	linz_say_op(const struct op_history *h, uint32_t op, struct buf *b);

#endif /* LIB_LINZ_PRIV_H */
