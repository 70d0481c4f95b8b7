/*
 * hlc: hybrid logical clocks, and the stamps that order all writes of a key.
 *
 * Source:  Kulkarni and others, "Logical physical clocks", OPODIS 2014.
 * Layout:  48 bits of milliseconds since the epoch, then 16 bits that count;
 *          a counter that overflows carries into the milliseconds, so that
 *          comparing and adding one are those of integers.
 * Stamps:  (clock, node, seq), compared in this order.  seq is unique in the
 *          life of a coordinator, so that two writes of one coordinator never
 *          bear the same stamp, even if both took the same clock.
 * Threads: safe; no state but the caller's.
 */
#ifndef LIB_HLC_H
#define LIB_HLC_H

#include <stdint.h>

struct hlc {
	uint64_t last;			/* the largest ever given or taken */
};

struct stamp {
	uint64_t hlc;			/* 0: no write at all */
	uint64_t seq;
	uint16_t node;
};

/* The clock for an event at this physical time: larger than all before. */
uint64_t	hlc_tick(struct hlc *h, int64_t now_ms);

/*
 * Take the clock that came with a message.  0, or -1 with ERANGE: it is more
 * than skew_max_ms ahead of now_ms, and the clock is as it was.
 */
int	hlc_take(struct hlc *h, uint64_t remote, int64_t now_ms,
	    int64_t skew_max_ms);

int64_t	hlc_ms(uint64_t hlc);		/* its physical part */

/* Below, at or above zero, as a is older than, the same as or newer than b. */
int	stamp_cmp(const struct stamp *a, const struct stamp *b);

#endif /* LIB_HLC_H */
