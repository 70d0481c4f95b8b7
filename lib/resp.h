/*
 * resp: Redis's protocol, version 2: requests in, replies framed.
 *
 * Source:  https://redis.io/docs/reference/protocol-spec; inline commands as
 *          redis-server's sdssplitargs() reads them.
 * Layout:  a request is *N CRLF and N times $LEN CRLF BYTES CRLF, or one line
 *          of words; see raft-wire(5).
 * Errors:  readers: 1 got it, 0 more bytes are needed, -1 with EBADMSG: this
 *          is no RESP, the connection cannot go on.
 * Memory:  nothing is allocated; arguments point into the caller's bytes.
 * Cost:    a call looks at each argument once, not at its bytes, so a caller
 *          that asks again after every read stays cheap.
 */
#ifndef LIB_RESP_H
#define LIB_RESP_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define RESP_ARGS_MAX	1024		/* arguments of one request */
#define RESP_INLINE_MAX	65536		/* bytes of an inline request */
#define RESP_REPLY_MAX	(UINT64_C(512) << 20)

struct resp_arg {
	const unsigned char *data;
	size_t len;
};

struct resp_request {
	size_t used;		/* bytes of input this request took */
	size_t argc;		/* 0: an empty line or *0; nothing to answer */
	struct resp_arg argv[RESP_ARGS_MAX];
	const char *why;	/* after -1, a phrase for the error reply */
};

/*
 * Read one request from the front of data.  Quoted words of an inline request
 * are unescaped in place, so data is changed; only when 1 is returned.
 * arg_max: no argument may be longer.
 */
int	resp_read(unsigned char *data, size_t len, size_t arg_max,
	    struct resp_request *r);

/* How many bytes the first reply in data takes: *used, when 1 is returned. */
int	resp_frame(const unsigned char *data, size_t len, size_t *used);

/* Append to a reply or a request: 0, or -1 with ENOMEM. */
int	resp_int(struct buf *b, int64_t v);
int	resp_bulk(struct buf *b, const void *data, size_t len);
int	resp_array(struct buf *b, size_t count);
int	resp_nil(struct buf *b);

#endif /* LIB_RESP_H */
