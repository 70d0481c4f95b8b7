/* wal_priv: what the files of wal share with each other and nobody else. */
#ifndef LIB_WAL_PRIV_H
#define LIB_WAL_PRIV_H

#include "wal.h"

#define WAL_SLOW_NS	INT64_C(1000000000)	/* then name who is in the way */

/*
 * Walk the batches of the segment file fd (begun at base) from `from` up to
 * `to` while they are whole and number their records without a gap from seq
 * on; incomplete WAL_MORE groups do not count.  *end, *end_seq: where it
 * stopped.  Batches that end at or below floor are stepped over even if
 * damaged, as long as the next one can be found.
 */
int	wal_check_range(const struct wal *w, int fd, uint64_t base,
	    uint64_t from, uint64_t to, uint64_t seq, uint64_t *end,
	    uint64_t *end_seq);

/*
 * The first whole batch header at or after pos, searched 8 bytes at a time;
 * 0 and *found, or -1 with ENOMSG: none before `to`.
 */
int	wal_resync(const struct wal *w, int fd, uint64_t base, uint64_t pos,
	    uint64_t to, uint64_t *found, struct wal_batch *b);

#endif /* LIB_WAL_PRIV_H */
