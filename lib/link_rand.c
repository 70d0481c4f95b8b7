/*
 * link_rand: SplitMix64 over the parts of a key.  What needs a logarithm or a
 * root computes it here with the four operations, which give the same bits
 * everywhere; libm promises no such thing.
 */

#include "link_rand.h"

#include <string.h>

#include "num.h"

#define DELAY_MAX_NS	((double)(INT64_C(3600) * NUM_NS_PER_S))

static uint64_t
mix(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

struct link_rand
link_rand_key(uint64_t seed)
{
	return (struct link_rand){ mix(seed) };
}

struct link_rand
link_rand_number(struct link_rand key, uint64_t n)
{
	return (struct link_rand){ mix(key.state ^ mix(n)) };
}

struct link_rand
link_rand_text(struct link_rand key, const char *text)
{
	uint64_t len = 0;

	for (; *text != '\0'; text++, len++)
		key.state = mix(key.state ^ (unsigned char)*text);
	return link_rand_number(key, len);
}

uint64_t
link_rand_bits(struct link_rand key)
{
	return mix(key.state);
}

double
link_rand_unit(struct link_rand key)
{
	return (double)(link_rand_bits(key) >> 11) * 0x1p-53;
}

uint64_t
link_rand_below(struct link_rand key, uint64_t n)
{
	/* The bias of a 64-bit modulus is of no account for small n. */
	return link_rand_bits(key) % n;
}

/* ln v for 0 < v <= 1. */
static double
natural_log(double v)
{
	double t, square, power, sum = 0;
	uint64_t bits;
	int exponent;

	/* v = m * 2^exponent with 1 <= m < 2. */
	memcpy(&bits, &v, sizeof(bits));
	exponent = (int)(bits >> 52 & 0x7ff) - 1023;
	bits = (bits & UINT64_C(0xfffffffffffff)) | UINT64_C(1023) << 52;
	memcpy(&v, &bits, sizeof(v));
	/* ln m = 2 artanh((m - 1) / (m + 1)), its argument below a third. */
	power = t = (v - 1) / (v + 1);
	square = t * t;
	for (int k = 1; k < 30; k += 2) {
		sum += power / k;
		power *= square;
	}
	return 2 * sum + exponent * 0.69314718055994530942;
}

/* The cube root of v, 0 < v <= 1, by Newton's method. */
static double
cube_root(double v)
{
	double root = 1, scale = 1;

	/* v is 2^-53 at least, so 18 times are enough. */
	for (int i = 0; i < 18 && v < 0.125; i++) {
		v *= 8;
		scale /= 2;
	}
	for (int i = 0; i < 10; i++)
		root = (2 * root + v / (root * root)) / 3;
	return root * scale;
}

/* Twelve uniform numbers have variance one in sum: bell enough. */
static double
bell(struct link_rand key)
{
	double sum = -6;

	for (uint64_t i = 0; i < 12; i++)
		sum += link_rand_unit(link_rand_number(key, i));
	return sum;
}

int64_t
link_rand_delay(struct link_rand key, int64_t base_ns, int64_t jitter_ns,
    enum netctl_dist dist)
{
	double base = (double)base_ns, jitter = (double)jitter_ns, d = base;
	double u = link_rand_unit(key);

	switch (dist) {
	case NETCTL_CONSTANT:
		break;
	case NETCTL_UNIFORM:
		d = base + jitter * (2 * u - 1);
		break;
	case NETCTL_NORMAL:
		d = base + jitter * bell(key);
		break;
	case NETCTL_EXP:
		d = base - jitter * natural_log(1 - u);
		break;
	case NETCTL_PARETO:
		/* Lomax with shape 3: mean scale / 2. */
		d = base + 2 * jitter * (1 / cube_root(1 - u) - 1);
		break;
	}
	if (!(d > 0))
		return 0;
	return d > DELAY_MAX_NS ? (int64_t)DELAY_MAX_NS : (int64_t)d;
}

void
link_rand_shuffle(struct link_rand key, size_t *index, size_t n)
{
	size_t i, j, t;

	for (i = n; i > 1; i--) {
		j = link_rand_below(link_rand_number(key, i), i);
		t = index[i - 1];
		index[i - 1] = index[j];
		index[j] = t;
	}
}
