/*
 * qpush_records: hostile bytes as records and as messages in JSON.  The first
 * byte chooses framing and longest record, the second how the bytes arrive.
 * Records that arrive in pieces must be those that arrive at once, all bytes
 * be accounted for, and a message written again be the same.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "msgjson.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Messages read from JSON may have no id; their default is of no interest. */
void
queue_default_id(const struct queue *q, const struct queue_message *m,
    char buf[QUEUE_ID_MAX])
{
	(void)q;
	(void)m;
	memcpy(buf, "default", 8);
}

static void
check(bool good)
{
	if (!good)
		abort();
}

/* Lengths of all records, in `step`s; the result ends what follows them. */
static int
lengths(const struct frame *how, size_t max, const uint8_t *data, size_t size,
    size_t step, struct buf *out)
{
	struct frame_reader r;
	struct frame_record rec;
	size_t from = 0, to = 0;
	int rc;

	frame_reader_init(&r, how, max);
	for (;;) {
		rc = frame_next(&r, data + from, to - from, to == size, &rec);
		if (rc == -1)
			return -1;
		if (rc == 1) {
			check(rec.len <= max && rec.used <= to - from &&
			    rec.data >= data + from &&
			    rec.data + rec.len <= data + from + rec.used);
			from += rec.used;
			check(buf_put(out, &rec.len, sizeof(rec.len)) == 0);
		} else if (to == size) {
			check(from == size);
			return 0;
		} else {
			to += step < size - to ? step : size - to;
		}
	}
}

static void
check_frames(uint8_t choice, size_t step, const uint8_t *data, size_t size)
{
	struct frame how = { (enum frame_kind)(choice % 3), '\n' };
	size_t max = choice & 0x80 ? 16 : 4096;
	struct buf whole = { 0 }, pieces = { 0 };
	int a, b;

	a = lengths(&how, max, data, size, size + 1, &whole);
	b = lengths(&how, max, data, size, step, &pieces);
	/* Too long may be noticed before or after the records in front. */
	check(a == b);
	check(a == -1 || (whole.len == pieces.len && (whole.len == 0 ||
	    memcmp(whole.data, pieces.data, whole.len) == 0)));
	buf_release(&whole);
	buf_release(&pieces);
}

static void
same(const void *a, size_t a_len, const void *b, size_t b_len)
{
	check((a == NULL) == (b == NULL));
	check(a == NULL || (a_len == b_len &&
	    (a_len == 0 || memcmp(a, b, a_len) == 0)));
}

static void
check_json(const uint8_t *data, size_t size)
{
	struct msgjson j = { 0 }, again = { 0 };
	struct queue_message m, n;
	struct buf line = { 0 };
	const char *why = NULL;

	if (msgjson_get(&j, data, size, &m, &why) == -1) {
		check(why != NULL);
	} else {
		check(msgjson_put(&line, NULL, &m) == 0);
		check(memchr(line.data, '\n', line.len) ==
		    line.data + line.len - 1);
		check(msgjson_get(&again, line.data, line.len - 1, &n, &why)
		    == 0);
		same(m.payload, m.payload_len, n.payload, n.payload_len);
		same(m.key, m.key_len, n.key, n.key_len);
		if (m.id != NULL)
			same(m.id, m.id_len, n.id, n.id_len);
		check(m.ts_ns == n.ts_ns && m.due_ns == n.due_ns);
	}
	buf_release(&line);
	msgjson_release(&j);
	msgjson_release(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] & 0x40)
		check_json(data + 2, size - 2);
	else
		check_frames(data[0], 1 + data[1] % 16, data + 2, size - 2);
	return 0;
}
