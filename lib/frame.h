/*
 * frame: records in a stream of bytes, in the framings that every program
 * shares; see dsutils(7), "Records".
 *
 * Layout:  FRAME_DELIM   each record ends with one byte (-d, -0, newline);
 *          FRAME_LENGTH  each is preceded by its length, 32 bits, big-endian
 *                        (-L);
 *          FRAME_WHOLE   the whole stream is one record (-w).
 *          A last record without its delimiter is a record, and so is an empty
 *          one; empty input is none, except with FRAME_WHOLE.
 * Units:   bytes.
 * Errors:  as each function says; -1 with errno.
 * Memory:  records point into the caller's data; nothing is copied.
 */
#ifndef LIB_FRAME_H
#define LIB_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define FRAME_HEAD_LEN	4U		/* of FRAME_LENGTH */

enum frame_kind { FRAME_DELIM, FRAME_LENGTH, FRAME_WHOLE };

struct frame {
	enum frame_kind kind;
	unsigned char delim;		/* of FRAME_DELIM */
};

#define FRAME_LINES	((struct frame){ FRAME_DELIM, '\n' })

/*
 * Obey one of the options 0 d L w (arg: of d); the last one given holds.
 * EINVAL: arg is no delimiter, or the letter none of them.
 */
int	frame_option(struct frame *f, int letter, const char *arg);

/*
 * Append the record as the framing has it; FRAME_WHOLE adds nothing.
 * EMSGSIZE: longer than 32 bits can say, in FRAME_LENGTH.  ENOMEM.
 */
int	frame_put(const struct frame *f, struct buf *out, const void *data,
	    size_t len);

/* --- reading --------------------------------------------------------------- */

struct frame_reader {
	struct frame how;
	size_t max;			/* longest record that is accepted */
	size_t looked;			/* bytes without delimiter at the front */
	bool ended;			/* FRAME_WHOLE: the record was returned */
};

struct frame_record {
	const unsigned char *data;
	size_t len;
	size_t used;			/* bytes of input, framing included */
};

void	frame_reader_init(struct frame_reader *r, const struct frame *how,
	    size_t max);

/*
 * The first record of data, which begins where the last one ended and may be
 * longer at every call; eof: nothing will follow it.
 * 1: rec is it, the caller goes on rec->used bytes further.
 * 0: it is not all there yet, or (eof) there is none any more.
 * -1: EMSGSIZE, it is longer than max; EBADMSG, the stream ends in the middle
 * of a record of FRAME_LENGTH.
 */
int	frame_next(struct frame_reader *r, const unsigned char *data,
	    size_t len, bool eof, struct frame_record *rec);

#endif /* LIB_FRAME_H */
