/*
 * regwire: what replicas of a register and their clients say to each other.
 *
 * Source:  cap-demo-wire(5), which is the format.
 * Layout:  length, CRC-32C, version, type, sender, id, body; little-endian.
 * Input:   hostile.  A frame is decoded only when all of it is there, its
 *          checksum fits and every length inside it does.
 * Errors:  -1 with errno: EBADMSG not such a frame; EPROTONOSUPPORT another
 *          version; EMSGSIZE a key or value too long; ENOMEM.
 * Memory:  a decoded message owns its entry, its key and value point into the
 *          bytes it was decoded from; regwire_release() when done.
 */
#ifndef LIB_REGWIRE_H
#define LIB_REGWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "dvv.h"

#define REGWIRE_FRAME_MAX	(2U << 20)	/* bytes after the length */
#define REGWIRE_KEY_MAX		255		/* bytes */
#define REGWIRE_BUCKETS		64		/* of a digest */

enum regwire_type {
	REGWIRE_PING = 1, REGWIRE_PONG,
	REGWIRE_QUERY, REGWIRE_STATE,
	REGWIRE_STORE, REGWIRE_STORED,
	REGWIRE_SYNC, REGWIRE_DIGEST,
	REGWIRE_GET, REGWIRE_PUT, REGWIRE_RESULT,
	REGWIRE_STATUS, REGWIRE_INFO,
	REGWIRE_TYPES
};

enum regwire_level { REGWIRE_STRONG, REGWIRE_EVENTUAL };

enum regwire_reason {
	REGWIRE_NO_REASON,
	REGWIRE_NO_MAJORITY,		/* too few replicas seen lately */
	REGWIRE_TIMEOUT,
	REGWIRE_BUSY,			/* too many operations at once */
	REGWIRE_SKEW,			/* a clock is too far ahead */
	REGWIRE_REASONS
};

struct regwire_info {
	uint64_t digest;		/* of all keys */
	uint64_t keys;
	uint64_t discarded;		/* versions that reconciling dropped */
	uint64_t sync_bytes;		/* sent to reconcile */
	uint64_t declined;		/* stores with a clock too far ahead */
	uint32_t seen;			/* set of replicas, bit = number */
};

struct regwire_msg {
	enum regwire_type type;
	uint16_t from;			/* a node, 0: a client */
	uint64_t id;
	const unsigned char *key, *value;
	size_t key_len, value_len;
	uint8_t level, outcome, rounds, reason;	/* outcome: an abd_outcome */
	bool accepted, has_context;
	uint32_t wait_ms;
	uint64_t context[DVV_NODES_MAX + 1];
	struct stamp stamp;
	struct dvv entry;		/* to be sent: may be borrowed */
	uint64_t digest[REGWIRE_BUCKETS];
	struct regwire_info info;
};

/* Append the frame of m; m is only read. */
int	regwire_put(struct buf *out, const struct regwire_msg *m);

/*
 * The first frame of len bytes: 1 and *m, *used bytes were taken; 0 more bytes
 * are needed; -1.
 */
int	regwire_get(const unsigned char *data, size_t len,
	    struct regwire_msg *m, size_t *used);
void	regwire_release(struct regwire_msg *m);

/* An entry alone, as it stands in a frame and in a replica's file. */
int	regwire_put_entry(struct buf *out, const struct dvv *entry);
/* Takes all of len; *entry was empty. */
int	regwire_get_entry(const unsigned char *data, size_t len,
	    struct dvv *entry);

const char *regwire_reason_name(unsigned int reason);

#endif /* LIB_REGWIRE_H */
