/*
 * link_frame: where messages end in a stream of bytes.
 *
 * Source:  RESP2 and RESP3 (https://redis.io/docs/reference/protocol-spec/).
 * Errors:  EBADMSG: this is no such stream; the caller passes the rest on as
 *          it is.  Nothing is allocated.
 */
#ifndef LIB_LINK_FRAME_H
#define LIB_LINK_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "netctl.h"

#define LINK_FRAME_MAX		1048576U	/* bytes of one message */
#define LINK_FRAME_DEPTH_MAX	32U		/* aggregates in each other */

/* Where the search for the end has got to; zeroed: at the beginning. */
struct link_frame {
	size_t at;
	size_t depth;			/* RESP: aggregates that are open */
	int64_t left[LINK_FRAME_DEPTH_MAX];	/* items each still needs */
};

/*
 * Bytes of the first message in data: > 0 when it is whole (and f is zeroed
 * for the next one), 0 when more bytes are needed (call again with the same
 * bytes and more behind them), -1 with EBADMSG or EMSGSIZE.
 */
ssize_t	link_frame_next(enum netctl_frame kind, struct link_frame *f,
	    const unsigned char *data, size_t len);

/*
 * Flip one bit of the content of a whole message so that its framing stays
 * right; pick chooses which.  0, or -1 with ENOMSG: it has no such byte.
 */
int	link_frame_corrupt(enum netctl_frame kind, unsigned char *data,
	    size_t len, uint64_t pick);

#endif /* LIB_LINK_FRAME_H */
