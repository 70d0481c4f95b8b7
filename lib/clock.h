/*
 * clock: the monotonic clock, the wall clock and absolute deadlines.
 *
 * Source:  clock_gettime(2).
 * Units:   nanoseconds; struct mono keeps monotonic time from being added to
 *          a byte count or to wall clock time by mistake.
 */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct mono {
	int64_t ns;		/* CLOCK_MONOTONIC */
};

#define MONO_NEVER	((struct mono){ INT64_MAX })

struct mono	mono_now(void);
int64_t		wall_now_ns(void);	/* CLOCK_REALTIME, since the epoch */
int64_t		boot_now_ns(void);	/* CLOCK_BOOTTIME, counts suspend */

/* The deadline ns from now; ns < 0 means never; never overflows. */
struct mono	mono_after(int64_t ns);

/* Nanoseconds until the deadline, 0 once it has passed. */
int64_t		mono_left_ns(struct mono deadline);

/* The same for poll(2): rounded up to milliseconds, -1 for MONO_NEVER. */
int		mono_left_ms(struct mono deadline);
bool		mono_passed(struct mono deadline);

#endif /* LIB_CLOCK_H */
