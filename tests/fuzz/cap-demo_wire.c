/*
 * cap-demo_wire: frames of any bytes; what is taken as one must survive being
 * merged, written and read again.
 */

#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "regwire.h"

int	LLVMFuzzerTestOneInput(const unsigned char *data, size_t len);

static void
merge_both_ways(const struct dvv *entry)
{
	struct dvv a = { 0 }, b = { 0 };
	uint64_t discarded = 0;

	if (dvv_merge(&a, entry, DVV_VERSIONS_MAX, &discarded) == -1 ||
	    dvv_merge(&b, entry, 1, &discarded) == -1)
		abort();
	/* Merging again changes nothing. */
	if (dvv_merge(&a, entry, DVV_VERSIONS_MAX, &discarded) == -1 ||
	    dvv_digest(&a, "k", 1) != dvv_digest(entry, "k", 1))
		abort();
	if (dvv_merge(&b, &a, 1, &discarded) == -1 || b.cnt > 1)
		abort();
	dvv_release(&a);
	dvv_release(&b);
}

/* Bytes with a length and a checksum that fit, so that the body is read. */
static void
one_frame(const unsigned char *data, size_t len)
{
	struct buf frame = { 0 }, again = { 0 }, third = { 0 };
	struct regwire_msg m, n;
	size_t used, used2;

	if (buf_put(&frame, "12345678", 8) == -1 ||
	    buf_put(&frame, data, len) == -1)
		abort();
	le_put32(frame.data, (uint32_t)(frame.len - 4));
	le_put32(frame.data + 4, crc32c(frame.data + 8, frame.len - 8));
	if (regwire_get(frame.data, frame.len, &m, &used) == 1) {
		merge_both_ways(&m.entry);
		if (regwire_put(&again, &m) == -1 || regwire_get(again.data,
		    again.len, &n, &used2) != 1 || used2 != again.len ||
		    regwire_put(&third, &n) == -1 ||
		    third.len != again.len || memcmp(third.data, again.data,
		    again.len) != 0)
			abort();
		regwire_release(&n);
		regwire_release(&m);
	}
	buf_release(&frame);
	buf_release(&again);
	buf_release(&third);
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t len)
{
	struct regwire_msg m;
	struct dvv entry = { 0 };
	size_t used;

	if (regwire_get(data, len, &m, &used) == 1)
		regwire_release(&m);
	if (regwire_get_entry(data, len, &entry) == 0) {
		merge_both_ways(&entry);
		dvv_release(&entry);
	}
	one_frame(data, len);
	return 0;
}
