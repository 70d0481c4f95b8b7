/*
 * raft_message: hostile bytes as a peer's message: a preamble, a header, a
 * payload.  What is taken is walked through as libraft would.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "raftnode_message.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned int sum;

static void
walk(const struct raft_message *m)
{
	const struct raft_append_entries *a = &m->append_entries;
	const unsigned char *p;
	unsigned int i;
	size_t j;

	if (m->type != RAFT_APPEND_ENTRIES)
		return;
	for (i = 0; i < a->n_entries; i++) {
		p = a->entries[i].buf.base;
		for (j = 0; j < a->entries[i].buf.len; j++)
			sum += p[j];
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char preamble[MESSAGE_PREAMBLE] = { 0 }, *header, *payload;
	size_t len, payload_len, skip;
	struct raft_message m;

	if (size < 2)
		return 0;
	/* The header has the length of all there is, or a given one. */
	preamble[0] = data[0] & 7;
	preamble[2] = data[0] >> 6;
	skip = data[0] & 8 ? 1 : 2;
	len = skip == 1 ? size - 1 : (size_t)data[1] * 2;
	preamble[8] = (unsigned char)len;
	preamble[9] = (unsigned char)(len >> 8);
	data += skip;
	size -= skip;
	if (message_preamble(preamble, &len) == -1 || len > size)
		return 0;
	if ((header = malloc(len)) == NULL)
		return 0;
	memcpy(header, data, len);
	if (message_header(preamble, header, len, 1, &m, &payload_len) == 0) {
		if (payload_len > 0 && payload_len <= size - len) {
			payload = raft_malloc(payload_len);
			memcpy(payload, data + len, payload_len);
			if (message_payload(&m, payload) == 0) {
				walk(&m);
				message_drop(&m);
			}
			raft_free(payload);
		} else if (payload_len > 0) {
			message_drop(&m);
		}
	}
	free(header);
	return 0;
}
