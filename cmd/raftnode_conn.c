/*
 * raftnode_conn: a client's connection.  Requests are read while there is room
 * for their answers; answers leave in the order of the requests, written once
 * a turn of the loop.  Limits close or slow down one connection, never others.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "log.h"
#include "raftnode.h"
#include "sock.h"

#define READ_SIZE	65536
#define KEEP_SIZE	((size_t)262144)	/* an empty buffer of more is freed */
#define OUT_SLOW	(UINT64_C(1) << 20)	/* unwritten: read no more */

static void	read_on(struct conn *c);

/* --- slots ------------------------------------------------------------------- */

struct slot *
slot_new(struct conn *c)
{
	struct slot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		node_die(c->node, EX_OSERR, "out of memory");
	s->conn = c;
	STAILQ_INSERT_TAIL(&c->slots, s, entry);
	c->slots_cnt++;
	return s;
}

static void
mark_dirty(struct conn *c)
{
	if (!c->dirty && !c->closing) {
		c->dirty = true;
		TAILQ_INSERT_TAIL(&c->node->dirty, c, dirty_entry);
	}
}

static void
put_out(struct conn *c, const void *data, size_t len)
{
	if (c->closing)
		return;
	if (c->out.len + c->writing.len > NODE_OUT_MAX ||
	    c->node->out_bytes + len > NODE_OUT_ALL) {
		log_warn("client_closed id=%llu why=unread_replies",
		    (unsigned long long)c->id);
		conn_close(c);
		return;
	}
	if (buf_put(&c->out, data, len) == -1)
		node_die(c->node, EX_OSERR, "out of memory");
	c->node->out_bytes += len;
	mark_dirty(c);
}

/* What is answered at the head of the line leaves. */
static void
advance(struct conn *c)
{
	struct slot *s;

	while (!c->closing && (s = STAILQ_FIRST(&c->slots)) != NULL &&
	    s->done) {
		STAILQ_REMOVE_HEAD(&c->slots, entry);
		c->slots_cnt--;
		put_out(c, s->reply.data, s->reply.len);
		buf_release(&s->reply);
		free(s);
	}
}

void
slot_reply(struct slot *s, const void *data, size_t len)
{
	struct conn *c = s->conn;

	if (c == NULL) {
		free(s);
		return;
	}
	if (s == STAILQ_FIRST(&c->slots)) {
		STAILQ_REMOVE_HEAD(&c->slots, entry);
		c->slots_cnt--;
		free(s);
		put_out(c, data, len);
		advance(c);
		return;
	}
	s->done = true;
	if (buf_put(&s->reply, data, len) == -1)
		node_die(c->node, EX_OSERR, "out of memory");
}

void
slot_error(struct slot *s, const char *text)
{
	struct buf b = { 0 };

	if (buf_printf(&b, "-%s\r\n", text) == -1)
		node_die(NULL, EX_OSERR, "out of memory");
	slot_reply(s, b.data, b.len);
	buf_release(&b);
}

void
conn_reply(struct conn *c, const void *data, size_t len)
{
	if (STAILQ_EMPTY(&c->slots))
		put_out(c, data, len);
	else
		slot_reply(slot_new(c), data, len);
}

void
conn_error(struct conn *c, const char *text)
{
	slot_error(slot_new(c), text);
}

/* --- writing -------------------------------------------------------------------- */

static void
on_written(uv_write_t *w, int status)
{
	struct conn *c = w->data;

	c->write_busy = false;
	c->node->out_bytes -= c->writing.len;
	c->writing.len = 0;
	if (status != 0)
		conn_close(c);
	else
		mark_dirty(c);
}

static void
flush(struct conn *c)
{
	uv_buf_t b;
	struct buf swap;
	int n;

	c->dirty = false;
	TAILQ_REMOVE(&c->node->dirty, c, dirty_entry);
	if (c->closing || c->write_busy)
		return;
	if (c->out.len > 0) {
		b = uv_buf_init((char *)c->out.data, (unsigned int)c->out.len);
		n = uv_try_write((uv_stream_t *)c->pipe, &b, 1);
		if (n < 0 && n != UV_EAGAIN) {
			conn_close(c);
			return;
		}
		if (n > 0) {
			buf_drop(&c->out, (size_t)n);
			c->node->out_bytes -= (size_t)n;
		}
	}
	if (c->out.len > 0) {
		swap = c->writing;
		c->writing = c->out;
		c->out = swap;
		b = uv_buf_init((char *)c->writing.data,
		    (unsigned int)c->writing.len);
		c->write.data = c;
		c->write_busy = true;
		if (uv_write(&c->write, (uv_stream_t *)c->pipe, &b, 1,
		    on_written) != 0) {
			c->write_busy = false;
			conn_close(c);
		}
		return;
	}
	if (c->out.cap > KEEP_SIZE)
		buf_release(&c->out);
	if (c->ending && c->slots_cnt == 0)
		conn_close(c);
}

void
conn_flush_all(struct node *n)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&n->dirty)) != NULL)
		flush(c);
}

/* --- reading ------------------------------------------------------------------- */

static bool
must_stop(const struct conn *c)
{
	return c->slots_cnt >= NODE_SLOTS_MAX || round_full(c->node) ||
	    c->out.len + c->writing.len > OUT_SLOW || c->node->closing;
}

static void
stop(struct conn *c)
{
	if (c->stopped)
		return;
	c->stopped = true;
	TAILQ_INSERT_TAIL(&c->node->stopped, c, stopped_entry);
	if (c->reading)
		(void)uv_read_stop((uv_stream_t *)c->pipe);
	c->reading = false;
}

/* Run what has come, until it is used up or the answers have no room. */
static void
consume(struct conn *c)
{
	static struct resp_request r;
	size_t used = 0;
	char text[128];
	int rc;

	while (!c->closing && !c->ending && used < c->in.len) {
		if (must_stop(c)) {
			stop(c);
			break;
		}
		rc = resp_read(c->in.data + used, c->in.len - used,
		    FSM_VALUE_MAX + FSM_KEY_MAX, &r);
		if (rc == 0)
			break;
		if (rc == -1) {
			(void)snprintf(text, sizeof(text),
			    "ERR Protocol error: %s", r.why);
			conn_error(c, text);
			c->ending = true;
			mark_dirty(c);
			break;
		}
		used += r.used;
		if (r.argc == 0)
			continue;
		c->node->commands++;
		if (r.argc > NODE_ARGS_MAX && !c->peer)
			conn_error(c, "TOOBIG too many arguments");
		else
			command(c, r.argv, r.argc);
	}
	if (c->closing)
		return;
	buf_drop(&c->in, used);
	if (c->in.len == 0 && c->in.cap > KEEP_SIZE)
		buf_release(&c->in);
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct conn *c = h->data;

	(void)suggested;
	if (buf_reserve(&c->in, READ_SIZE) == -1) {
		*b = uv_buf_init(NULL, 0);
		return;
	}
	*b = uv_buf_init((char *)c->in.data + c->in.len, READ_SIZE);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct conn *c = stream->data;

	(void)b;
	if (n == 0)
		return;
	if (n < 0) {
		/* Half closed: answers may still be on their way out. */
		if (n == UV_EOF && c->slots_cnt > 0) {
			(void)uv_read_stop(stream);
			c->reading = false;
			c->ending = true;
			park_leave_all(c->node, c);
			mark_dirty(c);
			return;
		}
		if (n == UV_EOF && c->out.len + c->writing.len > 0) {
			(void)uv_read_stop(stream);
			c->reading = false;
			c->ending = true;
			mark_dirty(c);
			return;
		}
		conn_close(c);
		return;
	}
	c->in.len += (size_t)n;
	consume(c);
}

static void
read_on(struct conn *c)
{
	if (c->reading || c->closing || c->ending)
		return;
	if (uv_read_start((uv_stream_t *)c->pipe, on_alloc, on_read) != 0)
		conn_close(c);
	else
		c->reading = true;
}

void
conn_resume_all(struct node *n)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&n->stopped); c != NULL; c = next) {
		next = TAILQ_NEXT(c, stopped_entry);
		if (must_stop(c))
			continue;
		TAILQ_REMOVE(&n->stopped, c, stopped_entry);
		c->stopped = false;
		consume(c);
		if (!c->stopped)
			read_on(c);
	}
}

/* --- beginning and end ------------------------------------------------------------ */

struct conn *
conn_new(struct node *n, uv_pipe_t *pipe, bool peer)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		node_die(n, EX_OSERR, "out of memory");
	c->node = n;
	c->pipe = pipe;
	c->peer = peer;
	c->id = ++n->next_conn;
	pipe->data = c;
	STAILQ_INIT(&c->slots);
	LIST_INSERT_HEAD(&n->conns, c, entry);
	n->conns_cnt++;
	read_on(c);
	return c;
}

static void
refuse(int fd, const char *text)
{
	/* A fresh socket takes this much at once. */
	(void)!write(fd, text, strlen(text));
	(void)close(fd);
}

void
conn_accept(struct node *n, int from)
{
	struct sock_peer who = { 0 };
	uv_pipe_t *pipe;
	int fd, i;

	for (i = 0; i < 64 && (fd = sock_accept(from)) != -1; i++) {
		/* Over TCP, who has been told to listen lets in anybody. */
		if (from != n->client_fd ? sock_tcp_accepted(fd) == -1 :
		    sock_check(fd, false, &who) == -1) {
			log_warn("client_refused uid=%ju",
			    (uintmax_t)who.uid);
			refuse(fd, "-NOPERM this node serves its own user\r\n");
			continue;
		}
		if (n->conns_cnt >= NODE_CONNS_MAX) {
			refuse(fd, "-BUSY too many connections\r\n");
			continue;
		}
		if ((pipe = malloc(sizeof(*pipe))) == NULL ||
		    uv_pipe_init(n->loop, pipe, 0) != 0)
			node_die(n, EX_OSERR, "out of memory");
		if (uv_pipe_open(pipe, fd) != 0) {
			uv_close((uv_handle_t *)pipe, (uv_close_cb)free);
			(void)close(fd);
			continue;
		}
		(void)conn_new(n, pipe, false);
	}
}

static void
on_closed(uv_handle_t *h)
{
	struct conn *c = h->data;

	buf_release(&c->in);
	buf_release(&c->out);
	buf_release(&c->writing);
	free(c->pipe);
	free(c);
}

void
conn_close(struct conn *c)
{
	struct slot *s;

	if (c->closing)
		return;
	c->closing = true;
	if (c->dirty) {
		c->dirty = false;
		TAILQ_REMOVE(&c->node->dirty, c, dirty_entry);
	}
	if (c->stopped) {
		c->stopped = false;
		TAILQ_REMOVE(&c->node->stopped, c, stopped_entry);
	}
	LIST_REMOVE(c, entry);
	c->node->conns_cnt--;
	c->node->out_bytes -= c->out.len;
	/* Whoever has an open slot will answer it, and it frees itself then. */
	while ((s = STAILQ_FIRST(&c->slots)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->slots, entry);
		if (s->done) {
			buf_release(&s->reply);
			free(s);
			continue;
		}
		s->conn = NULL;
		park_leave(c->node, s);
	}
	uv_close((uv_handle_t *)c->pipe, on_closed);
}
