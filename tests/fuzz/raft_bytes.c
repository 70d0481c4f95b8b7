/*
 * raft_bytes: hostile bytes for what raftnode reads: requests, replies of
 * another node, log entries and snapshots.  The first byte chooses.  Entries
 * and snapshots get a right checksum, so that what is behind it is reached.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "fsm.h"
#include "resp.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
seal(unsigned char *p, size_t len)
{
	le_put32(p + 4, (uint32_t)(hash64(p + 8, len - 8, 0) >> 32));
}

/* Everything of a request that comes is a command; run it twice. */
static void
requests(struct fsm *f, unsigned char *data, size_t size)
{
	static struct resp_request r;
	struct fsm_batch b = { 0 };
	struct buf out = { 0 };
	uint64_t cursor;
	size_t used = 0;

	while (used < size && resp_read(data + used, size - used, 4096, &r) ==
	    1 && r.used > 0) {
		used += r.used;
		switch (fsm_kind(r.argv, r.argc)) {
		case FSM_READ:
			(void)fsm_read(f, r.argv, r.argc, &out);
			break;
		case FSM_WAIT:
			cursor = 0;
			(void)fsm_wait_ms(r.argv, r.argc);
			(void)fsm_wait(f, r.argv, r.argc, &cursor, true, &out);
			break;
		case FSM_WRITE:
			if (fsm_batch_add(&b, "c", 1, r.used, r.argv,
			    r.argc) == -1)
				abort();
			break;
		default:
			break;
		}
		if (out.len > 1 << 20)
			out.len = 0;
	}
	if (fsm_batch_end(&b, 1000, 1) == -1 ||
	    fsm_apply(f, b.b.data, b.b.len, NULL, NULL) == -1)
		abort();	/* what we made ourselves is readable */
	buf_release(&b.b);
	buf_release(&out);
}

/* A state with something of everything, as a snapshot. */
static void
sample(struct fsm *f, struct buf *out)
{
	static const char script[] = "SET a 1 PX 90\r\nLOCK l o 50\r\n"
	    "LOCK l p 60\r\nPROPOSE x yy\r\nDEL a\r\nSET b 22\r\n"
	    "SET c 3 PX 70\r\nELECT e q 40 v\r\n";
	unsigned char copy[sizeof(script)];

	memcpy(copy, script, sizeof(script));
	requests(f, copy, sizeof(script) - 1);
	if (fsm_save(f, out) == -1)
		abort();
}

/*
 * A snapshot in which some bytes are other than they were: refused, or loaded
 * and then saved as the same bytes.
 */
static void
snapshot(struct fsm *f, const unsigned char *data, size_t size)
{
	struct buf out = { 0 }, again = { 0 };
	size_t i;

	sample(f, &out);
	if (fsm_load(f, out.data, out.len) == -1)
		abort();
	for (i = 0; i + 2 < size; i += 3)
		out.data[8 + (data[i] * 256U + data[i + 1]) %
		    (out.len - 8)] ^= data[i + 2];
	le_put64(out.data + 8, out.len);
	le_put64(out.data + 112, 0);
	seal(out.data, out.len);
	if (fsm_load(f, out.data, out.len) == 0) {
		if (fsm_save(f, &again) == -1)
			abort();
		if (again.len != out.len ||
		    memcmp(out.data, again.data, again.len) != 0)
			abort();
	}
	buf_release(&out);
	buf_release(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fsm_limits small = { 4096, 4096, 4096, 20, 4, 1000 };
	struct fsm *f;
	unsigned char *p;
	size_t used;

	if (size < 2 || (p = malloc(size - 1)) == NULL)
		return 0;
	memcpy(p, data + 1, size - 1);
	if (fsm_open(&f, &small) == -1)
		abort();
	size--;
	switch (data[0] % 4) {
	case 0:
		requests(f, p, size);
		break;
	case 1:
		if (resp_frame(p, size, &used) == 1 && used > size)
			abort();
		break;
	case 2:
		if (size >= 32) {
			le_put32(p, UINT32_C(0x31424652));
			seal(p, size);
			(void)fsm_apply(f, p, size, NULL, NULL);
			(void)fsm_entry_origin(p, size);
		}
		break;
	default:
		snapshot(f, p, size);
		break;
	}
	fsm_close(f);
	free(p);
	return 0;
}
