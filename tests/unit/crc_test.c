/* crc: known values, places that differ, and long inputs. */

#include "crc.h"

#include "tap.h"

/* Bit by bit, as RFC 3720 has it. */
static uint32_t
slow_crc(const unsigned char *p, size_t len)
{
	uint32_t crc = 0xffffffffU;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return ~crc;
}

/* RFC 3720, B.4; and the check value of every table of CRCs. */
static void
test_known(void)
{
	unsigned char b[48];

	is_uint(crc32c("123456789", 9), 0xe3069283U, "crc: 123456789");
	is_uint(crc32c("", 0), 0, "crc: nothing");
	memset(b, 0, 32);
	is_uint(crc32c(b, 32), 0x8a9136aaU, "crc: 32 zeros");
	memset(b, 0xff, 32);
	is_uint(crc32c(b, 32), 0x62a8ab43U, "crc: 32 ones");
	for (unsigned int i = 0; i < 32; i++)
		b[i] = (unsigned char)i;
	is_uint(crc32c(b, 32), 0x46dd794eU, "crc: 0 to 31");
	for (unsigned int i = 0; i < 32; i++)
		b[i] = (unsigned char)(31 - i);
	is_uint(crc32c(b, 32), 0x113fdb5cU, "crc: 31 to 0");
	is_uint(hash64("", 0, 0), UINT64_C(0x2d06800538d394c2),
	    "hash: nothing, as XXH3 has it");
	ok(hash64("a", 1, 0) != hash64("a", 1, 1), "hash: the seed counts");
}

/* Every length and alignment the fast code has a path of its own for. */
static void
test_lengths(void)
{
	static unsigned char b[8192 + 16];
	int wrong = 0;

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (unsigned char)(i * 7 + i / 251);
	for (size_t len = 0; len <= 300; len++)
		for (size_t off = 0; off < 9; off++)
			wrong += crc32c(b + off, len) != slow_crc(b + off, len);
	for (size_t len = 300; len <= 8192; len += 263)
		wrong += crc32c(b + len % 16, len) != slow_crc(b + len % 16,
		    len);
	is_int(wrong, 0, "crc: all lengths and alignments");
	wrong = 0;
	for (size_t bit = 0; bit < 8 * 256; bit++) {
		uint32_t before = crc32c(b, 256);

		b[bit / 8] ^= (unsigned char)(1U << bit % 8);
		wrong += crc32c(b, 256) == before;
		b[bit / 8] ^= (unsigned char)(1U << bit % 8);
	}
	is_int(wrong, 0, "crc: any flipped bit is seen");
}

static void
test_place(void)
{
	int same = 0;

	for (uint64_t pos = 0; pos < 64; pos++)
		for (uint64_t seq = 0; seq < 64; seq++)
			same += crc_place(1, 8 * pos, seq) == crc_place(1, 80,
			    7);
	is_int(same, 1, "place: only the same place and number is the same");
	ok(crc_place(1, 80, 7) != crc_place(2, 80, 7), "place: seeds differ");
	ok(crc_place(1, 7, 80) != crc_place(1, 80, 7),
	    "place: position and number are not exchanged");
}

int
main(void)
{
	test_known();
	test_lengths();
	test_place();
	return tap_end();
}
