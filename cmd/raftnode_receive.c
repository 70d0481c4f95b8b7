/*
 * raftnode_receive: connections over which other nodes send libraft's messages.
 * Each message is read in its parts, preamble, header and payload, into memory
 * of just that size, checked, and given to libraft.  What is no such message
 * ends the connection: the sender makes a new one.
 */

#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "log.h"
#include "raftnode.h"
#include "raftnode_message.h"

#define SENDERS_MAX	128

enum part { PREAMBLE, HEADER, PAYLOAD };

struct sender {
	LIST_ENTRY(sender) entry;
	struct node *node;
	uv_pipe_t *pipe;
	uint64_t id;
	char address[CLUSTER_ADDRESS_MAX];
	enum part part;
	unsigned char preamble[MESSAGE_PREAMBLE];
	unsigned char *header, *payload;	/* payload is libraft's in the end */
	size_t header_len;
	unsigned char *at;	/* where the part goes on */
	size_t left;
	struct raft_message message;
};

static LIST_HEAD(sender_set, sender) senders = LIST_HEAD_INITIALIZER(senders);
static size_t senders_cnt;

static void
begin(struct sender *s)
{
	s->part = PREAMBLE;
	s->at = s->preamble;
	s->left = sizeof(s->preamble);
	raft_free(s->header);
	s->header = s->payload = NULL;
}

static void
on_closed(uv_handle_t *h)
{
	struct sender *s = h->data;

	raft_free(s->pipe);
	free(s);
}

static void
leave(struct sender *s)
{
	if (s->part == PAYLOAD) {
		message_drop(&s->message);
		raft_free(s->payload);
	}
	raft_free(s->header);
	LIST_REMOVE(s, entry);
	senders_cnt--;
	uv_close((uv_handle_t *)s->pipe, on_closed);
}

/* --- parts ----------------------------------------------------------------------- */

static void
deliver(struct sender *s)
{
	struct raft_message m = s->message;

	m.server_address = s->address;
	begin(s);
	node_raft_receive(s->node, &m);
}

static int
preamble_done(struct sender *s)
{
	if (message_preamble(s->preamble, &s->header_len) == -1)
		return -1;
	if ((s->header = raft_malloc(s->header_len)) == NULL)
		node_die(s->node, EX_OSERR, "out of memory");
	s->part = HEADER;
	s->at = s->header;
	s->left = s->header_len;
	return 0;
}

static int
header_done(struct sender *s)
{
	size_t len;

	if (message_header(s->preamble, s->header, s->header_len, s->id,
	    &s->message, &len) == -1)
		return -1;
	if (len == 0) {
		deliver(s);
		return 0;
	}
	if ((s->payload = raft_malloc(len)) == NULL)
		node_die(s->node, EX_OSERR, "out of memory");
	s->part = PAYLOAD;
	s->at = s->payload;
	s->left = len;
	return 0;
}

static int
payload_done(struct sender *s)
{
	if (message_payload(&s->message, s->payload) == 0) {
		deliver(s);
		return 0;
	}
	raft_free(s->payload);
	begin(s);
	return -1;
}

static int
part_done(struct sender *s)
{
	switch (s->part) {
	case PREAMBLE:
		return preamble_done(s);
	case HEADER:
		return header_done(s);
	default:
		return payload_done(s);
	}
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct sender *s = h->data;
	size_t len = s->left < (1U << 30) ? s->left : 1U << 30;

	(void)suggested;
	*b = uv_buf_init((char *)s->at, (unsigned int)len);
}

static void
on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *b)
{
	struct sender *s = stream->data;

	(void)b;
	if (nread == 0)
		return;
	if (nread < 0 || s->node->closing) {
		leave(s);
		return;
	}
	s->at += nread;
	s->left -= (size_t)nread;
	if (s->left == 0 && part_done(s) == -1) {
		log_warn("peer_refused why=not_a_message id=n%llu",
		    (unsigned long long)s->id);
		leave(s);
	}
}

/* --- beginning and end --------------------------------------------------------- */

void
receive_new(struct node *n, uint64_t id, uv_pipe_t *pipe)
{
	struct sender *s;

	if (senders_cnt >= SENDERS_MAX) {
		log_warn("peer_refused why=too_many");
		uv_close((uv_handle_t *)pipe, (uv_close_cb)raft_free);
		return;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL)
		node_die(n, EX_OSERR, "out of memory");
	s->node = n;
	s->pipe = pipe;
	s->id = id;
	(void)snprintf(s->address, sizeof(s->address), "n%llu",
	    (unsigned long long)id);
	pipe->data = s;
	LIST_INSERT_HEAD(&senders, s, entry);
	senders_cnt++;
	begin(s);
	if (uv_read_start((uv_stream_t *)pipe, on_alloc, on_read) != 0)
		leave(s);
}

void
receive_stop(void)
{
	struct sender *s;

	while ((s = LIST_FIRST(&senders)) != NULL)
		leave(s);
}
