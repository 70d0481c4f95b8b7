/*
 * msgjson: a message as one JSON object on a line, as qpop -J, qctl peek -J
 * and qctl dump write it and qpush -J reads it.
 *
 * Source:  RFC 8259; RFC 3339; RFC 4648 section 4; described in qpop(1).
 * Layout:  {"seq":7,"ts":"2026-11-23T10:00:00.000000000Z","key":"k",
 *          "id":"...","attempt":1,"payload":"..."}
 *          seq, attempt  numbers; told, not taken over when read
 *          ts            when it was pushed: UTC, always nine decimals
 *          due           not delivered before; only of a delayed message
 *          key           absent: no key; "" is the empty key
 *          id            the user's, or the default one
 *          payload       the bytes, where they are UTF-8
 *          For what is not UTF-8, base64 stands in payload_b64, key_b64 or
 *          id_b64 instead.  Reading passes over members it does not know.
 * Errors:  as each function says.
 * Threads: one struct msgjson per thread.
 */
#ifndef LIB_MSGJSON_H
#define LIB_MSGJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "queue.h"

struct json_object;
struct json_tokener;

#define MSGJSON_TIME_MAX	40U	/* a time, with its NUL */

/* Append m and a newline.  ENOMEM. */
int	msgjson_put(struct buf *out, const struct queue *q,
	    const struct queue_message *m);

/*
 * The same in steps, for callers that add members of their own: the object
 * is the caller's, and goes to msgjson_line(), which appends it and a newline
 * and frees it also when it fails; NULL is refused there.  NULL, -1: ENOMEM.
 */
struct json_object *msgjson_object(const struct queue *q,
	    const struct queue_message *m);
int	msgjson_line(struct buf *out, struct json_object *object);

/* Add bytes as NAME, or base64 as NAME_b64 if they are not UTF-8.  ENOMEM. */
int	msgjson_add_bytes(struct json_object *object, const char *name,
	    const void *data, size_t len);

/* Wall clock nanoseconds as RFC 3339 with nine decimals; returns buf. */
char	*msgjson_time(int64_t ns, char buf[MSGJSON_TIME_MAX]);

bool	msgjson_utf8(const void *data, size_t len);

/* --- reading --------------------------------------------------------------- */

struct msgjson {			/* zeroed at first */
	struct json_tokener *tok;
	struct json_object *object;
	struct buf decoded[3];		/* of payload, key and id */
};

void	msgjson_release(struct msgjson *j);

/*
 * Read one object.  m gets payload, key, id, ts_ns and due_ns (0: not said),
 * and points into j until the next call.
 * EILSEQ: not such an object, *why says what is wrong; EMSGSIZE: longer than
 * 2 GiB; ENOMEM.
 */
int	msgjson_get(struct msgjson *j, const void *text, size_t len,
	    struct queue_message *m, const char **why);

#endif /* LIB_MSGJSON_H */
