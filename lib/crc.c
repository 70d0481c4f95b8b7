/* crc: thin wrappers, so that ISA-L and xxHash are named in one place. */

#include "crc.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <xxhash.h>

uint32_t
crc32c(const void *data, size_t len)
{
	/* The library takes a non-const pointer and an int length. */
	union { const void *c; unsigned char *p; } u = { .c = data };
	unsigned int crc = 0xffffffffU;

	while (len > 0) {
		int n = len > INT_MAX / 2 ? INT_MAX / 2 : (int)len;

		crc = crc32_iscsi(u.p, n, crc);
		u.p += n;
		len -= (size_t)n;
	}
	return crc ^ 0xffffffffU;
}

uint32_t
crc_place(uint64_t seed, uint64_t pos, uint64_t seq)
{
	uint64_t place[2] = { pos, seq };
	uint64_t h = XXH3_64bits_withSeed(place, sizeof(place), seed);

	return (uint32_t)(h ^ (h >> 32));
}

uint64_t
hash64(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}
