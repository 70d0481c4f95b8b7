/*
 * raftnode_peer: the sockets between nodes, and libraft's transport over them.
 * A connection begins with a hello (raft-wire(5)); one for Raft then belongs to
 * raftnode_receive, one for forwarding becomes a connection like a client's.
 *
 * With --links a peer is reached through DIR/nME/to/nK; else at its address of
 * TCP, if it has one, or through DIR/nK/raft.  A socket of TCP is treated as one
 * that is connected from the beginning: what is written waits for that, and
 * libuv's pipes are as good for it as its TCP handles.
 */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "log.h"
#include "raftnode.h"
#include "sock.h"

#define HELLO_LEN	PEER_HELLO_LEN
#define HELLO_VERSION	1
#define HELLO_MS	5000
#define GUESTS_MAX	64

/* Somebody connected and has not said hello yet. */
struct guest {
	LIST_ENTRY(guest) entry;
	struct node *node;
	uv_pipe_t *pipe;
	unsigned char hello[HELLO_LEN];
	size_t have;
	int64_t since_ns;
};

/* A connect request of libraft, answered on the next turn of the loop. */
struct attempt {
	uv_timer_t timer;
	struct node *node;
	struct raft_uv_connect *req;
	raft_uv_connect_cb cb;
	uv_pipe_t *pipe;
	LIST_ENTRY(attempt) entry;
};

static LIST_HEAD(guest_set, guest) guests = LIST_HEAD_INITIALIZER(guests);
static LIST_HEAD(attempt_set, attempt) attempts = LIST_HEAD_INITIALIZER(attempts);
static size_t guests_cnt;
static raft_uv_transport_close_cb close_cb;

/* --- connecting --------------------------------------------------------------- */

static const unsigned char magic[8] = { 'R', 'A', 'F', 'T', 'N', 'O', 'D',
	'E' };

static void
put_hello(const struct node *n, uint64_t to, int kind,
    unsigned char hello[HELLO_LEN])
{
	memcpy(hello, magic, sizeof(magic));
	le_put32(hello + 8, HELLO_VERSION);
	le_put32(hello + 12, (uint32_t)kind);
	memcpy(hello + 16, n->cluster_id, 16);
	le_put64(hello + 32, n->o.id);
	le_put64(hello + 40, to);
}

void
peer_address(uint64_t id, const char *address, char out[CLUSTER_ADDRESS_MAX])
{
	if (address[0] != '\0')
		(void)strlcpy(out, address, CLUSTER_ADDRESS_MAX);
	else
		(void)snprintf(out, CLUSTER_ADDRESS_MAX, "n%" PRIu64, id);
}

/* As the log has it; before there is one, as the cluster file has. */
static const char *
address_of(const struct node *n, uint64_t id)
{
	const struct raft_configuration *conf = &n->raft.configuration;
	size_t i;

	for (i = 0; i < conf->n; i++)
		if (conf->servers[i].id == id)
			return conf->servers[i].address;
	for (i = 0; i < n->cluster.voters_cnt; i++)
		if (n->cluster.voters[i] == id)
			return n->cluster.addresses[i];
	return "";
}

int
peer_connect(struct node *n, uint64_t to, int kind,
    unsigned char hello[PEER_HELLO_LEN])
{
	const char *address = address_of(n, to);
	char path[PATH_MAX];
	int len;

	put_hello(n, to, kind, hello);
	if (!n->o.links && strncmp(address, "tcp:", 4) == 0)
		return sock_tcp_connect(address);
	if (n->o.links)
		len = snprintf(path, sizeof(path), "%s/n%" PRIu64 "/to/n%"
		    PRIu64, n->o.dir, n->o.id, to);
	else
		len = snprintf(path, sizeof(path), "%s/n%" PRIu64 "/raft",
		    n->o.dir, to);
	if (len >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return sock_connect(path);
}

static void
attempt_free(uv_handle_t *h)
{
	free(h->data);
}

static void
attempt_end(struct attempt *a, int status)
{
	uv_pipe_t *pipe = a->pipe;

	LIST_REMOVE(a, entry);
	if (status != 0 && pipe != NULL) {
		uv_close((uv_handle_t *)pipe, (uv_close_cb)raft_free);
		pipe = NULL;
	}
	a->cb(a->req, (struct uv_stream_s *)pipe, status);
	uv_close((uv_handle_t *)&a->timer, attempt_free);
}

static void
on_attempt(uv_timer_t *t)
{
	struct attempt *a = t->data;

	attempt_end(a, a->pipe == NULL ? RAFT_NOCONNECTION : 0);
}

struct parcel {
	uv_write_t write;
	unsigned char data[];
};

static void
on_parcel(uv_write_t *w, int status)
{
	(void)status;		/* the next one fails, too, or the reader */
	free(w->data);
}

int
peer_send(uv_pipe_t *pipe, const void *data, size_t len)
{
	struct parcel *p = malloc(sizeof(*p) + len);
	uv_buf_t b;

	if (p == NULL)
		return UV_ENOMEM;
	memcpy(p->data, data, len);
	p->write.data = p;
	b = uv_buf_init((char *)p->data, (unsigned int)len);
	if (uv_write(&p->write, (uv_stream_t *)pipe, &b, 1, on_parcel) == 0)
		return 0;
	free(p);
	return UV_EPIPE;
}

/* The pipe over which libraft may write: the hello is before it in the queue. */
static uv_pipe_t *
greet(struct node *n, int fd, const unsigned char hello[HELLO_LEN])
{
	uv_pipe_t *pipe = raft_malloc(sizeof(*pipe));

	if (pipe == NULL)
		node_die(n, EX_OSERR, "out of memory");
	(void)uv_pipe_init(n->loop, pipe, 0);
	if (uv_pipe_open(pipe, fd) != 0)
		(void)close(fd);
	else if (peer_send(pipe, hello, HELLO_LEN) == 0)
		return pipe;
	uv_close((uv_handle_t *)pipe, (uv_close_cb)raft_free);
	return NULL;
}

static int
transport_connect(struct raft_uv_transport *t, struct raft_uv_connect *req,
    raft_id id, const char *address, raft_uv_connect_cb cb)
{
	struct node *n = t->impl;
	struct attempt *a = calloc(1, sizeof(*a));
	unsigned char hello[HELLO_LEN];
	int fd;

	(void)address;
	if (a == NULL)
		return RAFT_NOMEM;
	a->node = n;
	a->req = req;
	a->cb = cb;
	fd = peer_connect(n, id, PEER_RAFT, hello);
	if (fd != -1)
		a->pipe = greet(n, fd, hello);
	LIST_INSERT_HEAD(&attempts, a, entry);
	(void)uv_timer_init(n->loop, &a->timer);
	a->timer.data = a;
	(void)uv_timer_start(&a->timer, on_attempt, 0, 0);
	return 0;
}

/* --- being connected to -------------------------------------------------------- */

static void
guest_leave(struct guest *g)
{
	LIST_REMOVE(g, entry);
	guests_cnt--;
	free(g);
}

static void
guest_refuse(struct guest *g, const char *why)
{
	uv_pipe_t *pipe = g->pipe;

	log_warn("peer_refused why=%s", why);
	guest_leave(g);
	uv_close((uv_handle_t *)pipe, (uv_close_cb)raft_free);
}

static void
guest_welcome(struct guest *g)
{
	const unsigned char *h = g->hello;
	struct node *n = g->node;
	uv_pipe_t *pipe = g->pipe;
	uint64_t from = le_get64(h + 32);

	if (memcmp(h, magic, sizeof(magic)) != 0) {
		guest_refuse(g, "not_a_node");
	} else if (le_get32(h + 8) != HELLO_VERSION) {
		guest_refuse(g, "other_version");
	} else if (memcmp(h + 16, n->cluster_id, 16) != 0) {
		guest_refuse(g, "other_cluster");
	} else if (le_get64(h + 40) != n->o.id || from == 0 ||
	    from > CLUSTER_ID_MAX || from == n->o.id) {
		guest_refuse(g, "other_node");
	} else if (le_get32(h + 12) == PEER_FORWARD) {
		guest_leave(g);
		(void)conn_new(n, pipe, true);
	} else if (le_get32(h + 12) == PEER_RAFT) {
		guest_leave(g);
		receive_new(n, from, pipe);
	} else {
		guest_refuse(g, "unknown_kind");
	}
}

static void
on_guest_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct guest *g = h->data;

	(void)suggested;	/* not a byte more: the rest is not for us */
	*b = uv_buf_init((char *)g->hello + g->have,
	    (unsigned int)(HELLO_LEN - g->have));
}

static void
on_guest_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *b)
{
	struct guest *g = stream->data;

	(void)b;
	if (nread < 0) {
		uv_close((uv_handle_t *)g->pipe, (uv_close_cb)raft_free);
		guest_leave(g);
		return;
	}
	g->have += (size_t)nread;
	if (g->have == HELLO_LEN) {
		(void)uv_read_stop(stream);
		guest_welcome(g);
	}
}

/* In the file system: our own user only.  TCP knows nobody. */
static bool
welcome(const struct node *n, int from, int fd)
{
	struct sock_peer who;

	if (from != n->peer_fd)
		return sock_tcp_accepted(fd) == 0;
	if (sock_check(fd, false, &who) == 0)
		return true;
	log_warn("peer_refused uid=%ju", (uintmax_t)who.uid);
	return false;
}

void
peer_accept(struct node *n, int from)
{
	struct guest *g;
	int fd, i;

	for (i = 0; i < 16 && (fd = sock_accept(from)) != -1; i++) {
		if (!welcome(n, from, fd)) {
			(void)close(fd);
			continue;
		}
		if (guests_cnt >= GUESTS_MAX || n->closing) {
			(void)close(fd);
			continue;
		}
		if ((g = calloc(1, sizeof(*g))) == NULL ||
		    (g->pipe = raft_malloc(sizeof(*g->pipe))) == NULL)
			node_die(n, EX_OSERR, "out of memory");
		g->node = n;
		g->since_ns = mono_now().ns;
		(void)uv_pipe_init(n->loop, g->pipe, 0);
		g->pipe->data = g;
		LIST_INSERT_HEAD(&guests, g, entry);
		guests_cnt++;
		if (uv_pipe_open(g->pipe, fd) != 0) {
			(void)close(fd);
			guest_refuse(g, "open");
		} else if (uv_read_start((uv_stream_t *)g->pipe,
		    on_guest_alloc, on_guest_read) != 0) {
			guest_refuse(g, "read");
		}
	}
}

void
peer_sweep(struct node *n)
{
	struct guest *g, *next;
	int64_t now = mono_now().ns;

	(void)n;
	for (g = LIST_FIRST(&guests); g != NULL; g = next) {
		next = LIST_NEXT(g, entry);
		if (now - g->since_ns > HELLO_MS * INT64_C(1000000))
			guest_refuse(g, "silent");
	}
}

/* --- the transport ------------------------------------------------------------------ */

static int
transport_init(struct raft_uv_transport *t, raft_id id, const char *address)
{
	(void)t;
	(void)id;
	(void)address;
	return 0;
}

/* Who connects is heard by raftnode_receive, not by libraft. */
static int
transport_listen(struct raft_uv_transport *t, raft_uv_accept_cb cb)
{
	(void)t;
	(void)cb;
	return 0;
}

static void
on_transport_closed(uv_timer_t *timer)
{
	struct node *n = timer->data;

	uv_close((uv_handle_t *)timer, (uv_close_cb)free);
	close_cb(&n->transport);
}

static void
transport_close(struct raft_uv_transport *t, raft_uv_transport_close_cb cb)
{
	struct node *n = t->impl;
	uv_timer_t *timer = malloc(sizeof(*timer));
	struct attempt *a;

	while ((a = LIST_FIRST(&attempts)) != NULL)
		attempt_end(a, RAFT_CANCELED);
	if (timer == NULL)
		node_die(n, EX_OSERR, "out of memory");
	close_cb = cb;
	(void)uv_timer_init(n->loop, timer);
	timer->data = n;
	(void)uv_timer_start(timer, on_transport_closed, 0, 0);
}

void
peer_init(struct node *n)
{
	n->transport = (struct raft_uv_transport){
		.version = 1,
		.impl = n,
		.init = transport_init,
		.listen = transport_listen,
		.connect = transport_connect,
		.close = transport_close,
	};
}

void
peer_stop(struct node *n)
{
	struct guest *g, *next;

	(void)n;
	for (g = LIST_FIRST(&guests); g != NULL; g = next) {
		next = LIST_NEXT(g, entry);
		guest_refuse(g, "closing");
	}
	receive_stop();
}
