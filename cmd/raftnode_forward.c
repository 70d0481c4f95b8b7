/*
 * raftnode_forward: requests that only the leader can answer are passed on over
 * one connection, through the same link as the peers' messages.  The receiver
 * never passes them on again.  Each is "FWD CONSISTENCY CLIENT SEQ COMMAND...";
 * answers come back in order.  What was sent and not answered when the
 * connection ends is perhaps done, if it was a write.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "log.h"
#include "raftnode.h"

#define READ_SIZE	65536
#define SENT_MAX	8192		/* unanswered */
#define OUT_MAX		(UINT64_C(16) << 20)
#define PATIENCE_NS	INT64_C(5000000000)

void
forward_init(struct node *n)
{
	STAILQ_INIT(&n->link.sent);
}

static void
fail_sent(struct link *l)
{
	struct forward *f;

	while ((f = STAILQ_FIRST(&l->sent)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->sent, entry);
		slot_error(f->slot, f->write ?
		    "UNKNOWN the leader went away; perhaps done" :
		    "CLUSTERDOWN the leader went away");
		free(f);
	}
	l->sent_cnt = 0;
}

void
forward_close(struct node *n, const char *why)
{
	struct link *l = &n->link;

	if (l->pipe == NULL)
		return;
	log_debug("forward_closed to=n%llu why=%s unanswered=%zu",
	    (unsigned long long)l->to, why, l->sent_cnt);
	uv_close((uv_handle_t *)l->pipe, (uv_close_cb)free);
	l->pipe = NULL;
	l->in.len = l->out.len = 0;
	fail_sent(l);
}

/* --- answers ----------------------------------------------------------------- */

static void
one_answer(struct link *l, const unsigned char *data, size_t len)
{
	struct forward *f = STAILQ_FIRST(&l->sent);

	STAILQ_REMOVE_HEAD(&l->sent, entry);
	l->sent_cnt--;
	if (len > 11 && memcmp(data, "-NOTLEADER ", 11) == 0)
		slot_error(f->slot, "CLUSTERDOWN the leader has changed");
	else
		slot_reply(f->slot, data, len);
	free(f);
}

static void
on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *b)
{
	struct node *n = stream->data;
	struct link *l = &n->link;
	size_t used = 0, one;
	int rc = 0;

	(void)b;
	if (nread == 0 || (uv_stream_t *)l->pipe != stream)
		return;
	if (nread < 0) {
		forward_close(n, "eof");
		return;
	}
	l->in.len += (size_t)nread;
	while (used < l->in.len && (rc = resp_frame(l->in.data + used,
	    l->in.len - used, &one)) == 1) {
		if (STAILQ_EMPTY(&l->sent)) {
			rc = -1;
			break;
		}
		one_answer(l, l->in.data + used, one);
		used += one;
	}
	if (rc == -1)
		forward_close(n, "protocol");
	else
		buf_drop(&l->in, used);
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct node *n = h->data;

	(void)suggested;
	if (buf_reserve(&n->link.in, READ_SIZE) == -1)
		*b = uv_buf_init(NULL, 0);
	else
		*b = uv_buf_init((char *)n->link.in.data + n->link.in.len,
		    READ_SIZE);
}

/* --- requests -------------------------------------------------------------------- */

static bool
open_link(struct node *n, uint64_t to)
{
	unsigned char hello[PEER_HELLO_LEN];
	struct link *l = &n->link;
	int fd;

	if (l->pipe != NULL && l->to == to)
		return true;
	forward_close(n, "other_leader");
	if ((fd = peer_connect(n, to, PEER_FORWARD, hello)) == -1)
		return false;
	if ((l->pipe = malloc(sizeof(*l->pipe))) == NULL ||
	    uv_pipe_init(n->loop, l->pipe, 0) != 0 ||
	    buf_put(&l->out, hello, sizeof(hello)) == -1)
		node_die(n, EX_OSERR, "out of memory");
	l->pipe->data = n;
	if (uv_pipe_open(l->pipe, fd) != 0) {
		(void)close(fd);
		forward_close(n, "open");
		return false;
	}
	l->to = to;
	if (uv_read_start((uv_stream_t *)l->pipe, on_alloc, on_read) != 0) {
		forward_close(n, "read");
		return false;
	}
	return true;
}

static int
encode(struct buf *b, const struct request *q)
{
	static const char *const words[] = { "linear", "leader", "stale" };
	const char *word = words[q->consistency];
	char seq[24];
	size_t i;

	(void)snprintf(seq, sizeof(seq), "%llu", (unsigned long long)q->seq);
	if (resp_array(b, q->argc + 4) == -1 || resp_bulk(b, "FWD", 3) == -1 ||
	    resp_bulk(b, word, strlen(word)) == -1 ||
	    resp_bulk(b, q->client, q->client_len) == -1 ||
	    resp_bulk(b, seq, strlen(seq)) == -1)
		return -1;
	for (i = 0; i < q->argc; i++)
		if (resp_bulk(b, q->argv[i].data, q->argv[i].len) == -1)
			return -1;
	return 0;
}

static void
moved(struct node *n, const struct request *q, uint64_t leader)
{
	char text[640];

	(void)snprintf(text, sizeof(text), "MOVED 0 unix:%s/n%llu/client",
	    n->o.dir, (unsigned long long)leader);
	conn_error(q->conn, text);
}

void
forward_request(struct node *n, const struct request *q, bool write)
{
	struct link *l = &n->link;
	struct forward *f;
	uint64_t leader = node_leader(n);

	if (q->conn->peer) {
		conn_error(q->conn, "NOTLEADER this node does not lead");
		return;
	}
	if (leader == 0 || leader == n->o.id) {
		conn_error(q->conn, "CLUSTERDOWN there is no leader");
		return;
	}
	if (q->conn->no_forward) {
		moved(n, q, leader);
		return;
	}
	if (l->sent_cnt >= SENT_MAX || l->out.len > OUT_MAX) {
		conn_error(q->conn, "BUSY too many requests are waiting");
		return;
	}
	if (!open_link(n, leader)) {
		conn_error(q->conn, "CLUSTERDOWN the leader cannot be reached");
		return;
	}
	if ((f = calloc(1, sizeof(*f))) == NULL || encode(&l->out, q) == -1)
		node_die(n, EX_OSERR, "out of memory");
	f->slot = slot_new(q->conn);
	f->write = write;
	f->sent_ns = mono_now().ns;
	STAILQ_INSERT_TAIL(&l->sent, f, entry);
	l->sent_cnt++;
}

struct sending {
	uv_write_t write;
	struct buf data;
};

static void
on_sent(uv_write_t *w, int status)
{
	struct sending *s = (struct sending *)(void *)w;

	(void)status;		/* the reader notices */
	buf_release(&s->data);
	free(s);
}

void
forward_flush(struct node *n)
{
	struct link *l = &n->link;
	struct sending *s;
	uv_buf_t b;
	int rc;

	if (l->pipe == NULL || l->out.len == 0)
		return;
	b = uv_buf_init((char *)l->out.data, (unsigned int)l->out.len);
	rc = uv_try_write((uv_stream_t *)l->pipe, &b, 1);
	if (rc < 0 && rc != UV_EAGAIN) {
		forward_close(n, "write");
		return;
	}
	if (rc > 0)
		buf_drop(&l->out, (size_t)rc);
	if (l->out.len == 0)
		return;
	if (uv_stream_get_write_queue_size((uv_stream_t *)l->pipe) > OUT_MAX)
		return;		/* it grows in out, which is bounded */
	if ((s = calloc(1, sizeof(*s))) == NULL)
		node_die(n, EX_OSERR, "out of memory");
	s->data = l->out;
	memset(&l->out, 0, sizeof(l->out));
	b = uv_buf_init((char *)s->data.data, (unsigned int)s->data.len);
	if (uv_write(&s->write, (uv_stream_t *)l->pipe, &b, 1, on_sent) != 0) {
		buf_release(&s->data);
		free(s);
		forward_close(n, "write");
	}
}

/* A leader that does not answer is as good as none. */
void
forward_sweep(struct node *n)
{
	struct forward *f = STAILQ_FIRST(&n->link.sent);

	if (f != NULL && mono_now().ns - f->sent_ns > PATIENCE_NS)
		forward_close(n, "timeout");
}
