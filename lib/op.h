/*
 * op: operations of a history and the values they carry.
 *
 * Values:  interned, so that two are equal exactly when their ids are.  0 is
 *          nil.  The number 5, the string "5" and the keyword :5 are three
 *          values.  A list keeps its order; a map is its keys and values in
 *          turn.
 * Units:   call and ret are points of one order; an operation precedes another
 *          when its ret is smaller than the other's call, and equal points are
 *          concurrent.  They are nanoseconds in a history with clock times,
 *          else ordinal numbers of events.
 * Errors:  0, or -1 with ENOMEM; EOVERFLOW beyond 2^32 values.
 */
#ifndef LIB_OP_H
#define LIB_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define OP_NIL		0U		/* the id of nil */
#define OP_NEVER	INT64_MAX	/* ret of what may take effect later */

enum op_kind { OP_KIND_NIL, OP_ATOM, OP_STRING, OP_KEYWORD, OP_LIST, OP_MAP };
enum op_class { OP_OK, OP_INFO, OP_FAIL };

struct op {
	int64_t call, ret;		/* ret is OP_NEVER for OP_INFO */
	uint32_t proc, f, key;		/* ids; key is nil if it has none */
	uint32_t arg, result;		/* of invocation and completion */
	uint32_t call_line, ret_line;	/* of the input; ret_line 0: none */
	enum op_class class;
};

struct op_values;

struct op_history {
	struct op *ops;			/* by call */
	size_t cnt, cap;
	struct op_values *values;
	bool timed;			/* nanoseconds, else ordinals */
};

struct op_values *op_values_open(void);
void	op_values_close(struct op_values *v);

/* A scalar of this kind with these bytes (a keyword without its colon). */
int	op_scalar(struct op_values *v, enum op_kind kind, const char *text,
	    size_t len, uint32_t *id);

/* A list or map of items; items stays the caller's. */
int	op_compound(struct op_values *v, enum op_kind kind,
	    const uint32_t *items, size_t cnt, uint32_t *id);

size_t	op_values_count(const struct op_values *v);	/* ids are below it */
size_t	op_values_size(const struct op_values *v);	/* bytes held */
enum op_kind op_kind(const struct op_values *v, uint32_t id);

/* The bytes of a scalar, NUL behind them; "" for others.  Good until close
 * or the next op_scalar(). */
const char *op_text(const struct op_values *v, uint32_t id, size_t *len);

/* The items of a compound; good until the next op_compound(). */
const uint32_t *op_items(const struct op_values *v, uint32_t id, size_t *cnt);

/* True when a scalar of any kind has this text: names of functions. */
bool	op_is(const struct op_values *v, uint32_t id, const char *text);

/*
 * Append text that no terminal obeys and that is UTF-8: at most max bytes and
 * "..."; control characters and what is not UTF-8 as \n, \t, \r or \xNN.
 */
int	op_print_text(const char *text, size_t len, bool quoted, size_t max,
	    struct buf *out);

/* The same of a value, strings quoted. */
int	op_print(const struct op_values *v, uint32_t id, size_t max,
	    struct buf *out);

void	op_history_release(struct op_history *h);	/* also closes values */

#endif /* LIB_OP_H */
