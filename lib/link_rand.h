/*
 * link_rand: decisions that can be repeated.
 *
 * Source:  SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom
 *          number generators", OOPSLA 2014) as a hash of the whole key.
 * A draw is a function of its key and of nothing else: not of the time, not
 * of how many draws came before, not of the machine.
 */
#ifndef LIB_LINK_RAND_H
#define LIB_LINK_RAND_H

#include <stddef.h>
#include <stdint.h>

#include "netctl.h"

struct link_rand {
	uint64_t state;
};

/* A key begins with the seed; each link_rand_* adds a part to it. */
struct link_rand link_rand_key(uint64_t seed);
struct link_rand link_rand_text(struct link_rand key, const char *text);
struct link_rand link_rand_number(struct link_rand key, uint64_t n);

/* What the key says: 64 bits, [0, 1), [0, n) (n > 0). */
uint64_t	link_rand_bits(struct link_rand key);
double		link_rand_unit(struct link_rand key);
uint64_t	link_rand_below(struct link_rand key, uint64_t n);

/*
 * A delay around base_ns, never negative, at most an hour: jitter_ns is the
 * half width (uniform), the deviation (normal), the mean of what is added
 * (exp, pareto with shape 3).
 */
int64_t	link_rand_delay(struct link_rand key, int64_t base_ns,
	    int64_t jitter_ns, enum netctl_dist dist);

/* Order the n indexes at random (Fisher and Yates). */
void	link_rand_shuffle(struct link_rand key, size_t *index, size_t n);

#endif /* LIB_LINK_RAND_H */
