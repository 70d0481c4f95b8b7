/* regwire_test: frames there and back, and every byte of them damaged. */

#include "regwire.h"

#include "abd.h"
#include "crc.h"
#include "tap.h"

static struct dvv entry;

static void
make_entry(void)
{
	static const uint64_t nothing[DVV_NODES_MAX + 1];
	uint64_t discarded = 0;

	for (uint16_t n = 1; n <= 3; n++) {
		struct dvv_version v = { .stamp = { 100U + n, n, n },
		    .level = REGWIRE_EVENTUAL, .len = n,
		    .value = (unsigned char *)(uintptr_t)"abc" };

		if (dvv_write(&entry, nothing, n, &v, 60, &discarded) == -1)
			tap_bail("dvv_write");
	}
}

static struct regwire_msg
sample(enum regwire_type type)
{
	struct regwire_msg m = { .type = type, .from = 3, .id = 77,
	    .key = (const unsigned char *)"key", .key_len = 3,
	    .value = (const unsigned char *)"value", .value_len = 5,
	    .level = REGWIRE_EVENTUAL, .outcome = ABD_UNKNOWN, .rounds = 2,
	    .reason = REGWIRE_TIMEOUT, .accepted = true, .has_context = true,
	    .wait_ms = 1000, .stamp = { 9, 8, 7 }, .entry = entry };

	m.context[2] = 5;
	m.digest[63] = 4711;
	m.info.digest = 3;
	m.info.seen = 14;
	return m;
}

static void
test_round_trip(void)
{
	for (enum regwire_type t = REGWIRE_PING; t < REGWIRE_TYPES; t++) {
		struct regwire_msg m = sample(t), r;
		struct buf b = { 0 }, again = { 0 };
		size_t used = 0, short_ones = 0;

		is_int(regwire_put(&b, &m), 0, "type %d is written", (int)t);
		for (size_t len = 0; len < b.len; len++)
			short_ones += regwire_get(b.data, len, &r, &used) == 0;
		is_uint(short_ones, b.len, "nothing is read before the end");
		is_int(regwire_get(b.data, b.len, &r, &used), 1, "then it is");
		is_uint(used, b.len, "all of it");
		is_int(regwire_put(&again, &r), 0, "written again");
		is_mem(again.data, again.len, b.data, b.len, "the same bytes");
		regwire_release(&r);
		buf_release(&b);
		buf_release(&again);
	}
}

/* Every byte changed, checksum mended or not: refused, or read as something
 * that can be written. */
static void
test_damage(void)
{
	unsigned int taken = 0, wrong = 0;

	for (enum regwire_type t = REGWIRE_PING; t < REGWIRE_TYPES; t++) {
		struct regwire_msg m = sample(t), r;
		struct buf b = { 0 }, again = { 0 };
		size_t used;

		if (regwire_put(&b, &m) == -1)
			tap_bail("regwire_put");
		for (size_t i = 4; i < b.len; i++)
			for (unsigned int bit = 0; bit < 8; bit++) {
				b.data[i] ^= (unsigned char)(1U << bit);
				taken += regwire_get(b.data, b.len, &r,
				    &used) != -1;
				le_put32(b.data + 4, crc32c(b.data + 8,
				    b.len - 8));
				if (regwire_get(b.data, b.len, &r, &used) == 1) {
					again.len = 0;
					wrong += regwire_put(&again, &r) == -1;
					regwire_release(&r);
				}
				b.data[i] ^= (unsigned char)(1U << bit);
				le_put32(b.data + 4, crc32c(b.data + 8,
				    b.len - 8));
			}
		buf_release(&b);
		buf_release(&again);
	}
	is_uint(taken, 0, "a flipped bit is always noticed");
	is_uint(wrong, 0, "what is read can be written");
}

static void
test_refused(void)
{
	struct regwire_msg m = sample(REGWIRE_PUT), r;
	struct buf b = { 0 };
	static unsigned char big[DVV_VALUE_MAX + 1], key[300];
	size_t used;

	m.value = big;
	m.value_len = sizeof(big);
	is_err(regwire_put(&b, &m), EMSGSIZE, "a value too long");
	is_uint(b.len, 0, "leaves nothing behind");
	m = sample(REGWIRE_GET);
	m.key = key;
	m.key_len = 256;
	is_err(regwire_put(&b, &m), EMSGSIZE, "a key too long");
	m.key_len = 0;
	is_err(regwire_put(&b, &m), EMSGSIZE, "an empty key");
	m = sample(REGWIRE_PING);
	is_int(regwire_put(&b, &m), 0, "a ping");
	b.data[8] = 2;
	le_put32(b.data + 4, crc32c(b.data + 8, b.len - 8));
	is_err(regwire_get(b.data, b.len, &r, &used), EPROTONOSUPPORT,
	    "another version");
	le_put32(b.data, REGWIRE_FRAME_MAX + 1);
	is_err(regwire_get(b.data, b.len, &r, &used), EBADMSG, "a huge frame");
	le_put32(b.data, 3);
	is_err(regwire_get(b.data, b.len, &r, &used), EBADMSG, "a tiny frame");
	buf_release(&b);
}

int
main(void)
{
	make_entry();
	test_round_trip();
	test_damage();
	test_refused();
	dvv_release(&entry);
	return tap_end();
}
