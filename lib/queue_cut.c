/* queue_cut: take apart a batch that was not pushed yet. */

#include <stdlib.h>
#include <string.h>

#include "queue_priv.h"

/* Bytes of the first count messages, with the room for the batch header. */
static size_t
front(const struct queue_batch *b, uint32_t count, uint64_t *payload_bytes)
{
	size_t off = WAL_BATCH_SIZE;
	struct queue_message m;
	struct msg_head h;

	*payload_bytes = 0;
	for (; count > 0 && off < b->len; count--) {
		if (msg_parse(b->data + off, b->len - off, &h, &m) == -1)
			break;
		*payload_bytes += h.payload_len;
		off += h.size;
	}
	return off < b->len ? off : b->len;
}

int
queue_batch_head(const struct queue_batch *b, uint32_t count,
    struct queue_batch *head)
{
	uint64_t payload_bytes;
	size_t len;
	unsigned char *p;

	if (count > b->count)
		count = b->count;
	queue_batch_clear(head);
	if (count == 0)
		return 0;
	len = front(b, count, &payload_bytes);
	if (len > head->cap) {
		if ((p = realloc(head->data, len)) == NULL)
			return -1;
		head->data = p;
		head->cap = len;
	}
	memcpy(head->data, b->data, len);
	head->len = len;
	head->count = count;
	head->flags = b->flags;
	head->payload_bytes = payload_bytes;
	return 0;
}

void
queue_batch_drop(struct queue_batch *b, uint32_t count)
{
	uint64_t payload_bytes;
	size_t len;

	if (count >= b->count) {
		queue_batch_clear(b);
		return;
	}
	len = front(b, count, &payload_bytes);
	memmove(b->data + WAL_BATCH_SIZE, b->data + len, b->len - len);
	b->len -= len - WAL_BATCH_SIZE;
	b->count -= count;
	b->payload_bytes -= payload_bytes;
}
