/*
 * regstore: the keys of one replica, in memory and in one durable log.
 *
 * Source:  fsdur.h for what durable means.
 * Layout:  DIR/log: the 8 bytes "capdemo1", then records: u32 length of what
 *          follows the checksum, u32 crc_place(0, offset, length) ^ CRC-32C,
 *          u8 key length, key, entry as in cap-demo-wire(5).  The last record
 *          of a key counts.  A record that is not whole ends the log: it was
 *          being written in a crash and nobody was told of it.
 * Rewrite: once the log is several times what is alive, as a new file that
 *          replaces the old one.
 * Use:     changes are queued and become durable together in
 *          regstore_commit(); nothing may be acknowledged before that.
 * Errors:  -1 with errno: ENOMEM; EBADMSG not such a log; of fsdur.h.
 *          After a failed commit the process must end: what is on the disk is
 *          unknown, and the next sync would not tell.
 */
#ifndef LIB_REGSTORE_H
#define LIB_REGSTORE_H

#include <stddef.h>
#include <stdint.h>

#include "dvv.h"

#define REGSTORE_BUCKETS	64

struct regstore;

struct regstore_key {
	struct regstore_key *next;	/* in its chain */
	uint64_t hash;
	struct dvv entry;		/* only read by others */
	uint64_t digest;
	unsigned char len;
	unsigned char key[];
};

/*
 * Opens or makes DIR/log and keeps others out of DIR; *sp goes to
 * regstore_close().  EBUSY: another process has it.
 */
int	regstore_open(struct regstore **sp, int dirfd, size_t limit);
void	regstore_close(struct regstore *s);

/* NULL: never written. */
const struct regstore_key *regstore_find(const struct regstore *s,
	    const void *key, size_t len);

/*
 * Merge an entry into the key's: 1 it changed and is queued for the log, 0 it
 * brought nothing new, -1.
 */
int	regstore_merge(struct regstore *s, const void *key, size_t len,
	    const struct dvv *entry);

/* A new write, as dvv_write(); queued. */
int	regstore_write(struct regstore *s, const void *key, size_t len,
	    const uint64_t *context, uint16_t node,
	    const struct dvv_version *v);

int	regstore_commit(struct regstore *s);	/* durable; cheap if clean */

/* The keys one after the other: pass NULL first, NULL after the last. */
const struct regstore_key *regstore_next(const struct regstore *s,
	    const struct regstore_key *after);

unsigned int	regstore_bucket(const struct regstore_key *k);
const uint64_t *regstore_digests(const struct regstore *s);
uint64_t	regstore_digest(const struct regstore *s);
uint64_t	regstore_count(const struct regstore *s);
uint64_t	regstore_discarded(const struct regstore *s);
uint64_t	regstore_clock(const struct regstore *s);	/* newest */

#endif /* LIB_REGSTORE_H */
