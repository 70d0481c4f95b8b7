/*
 * crc: CRC-32C of bytes, tied to the place where they are stored.
 *
 * Source:  RFC 3720, appendix B.4 (Castagnoli); computed by ISA-L.
 * Place:   the stored word is crc32c(bytes) ^ crc_place(seed, pos, seq), so
 *          bytes that were once right elsewhere do not validate here, and the
 *          costly half can be computed before the place is known.
 */
#ifndef LIB_CRC_H
#define LIB_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t	crc32c(const void *data, size_t len);
uint32_t	crc_place(uint64_t seed, uint64_t pos, uint64_t seq);

/* XXH3 64 bit (https://xxhash.com), for hash tables and entry tags. */
uint64_t	hash64(const void *data, size_t len, uint64_t seed);

#endif /* LIB_CRC_H */
