/*
 * raftnode_confirm: is this node still the leader?  It asks the other voters
 * over connections of its own, through the links, which term they are in.  When
 * a majority, itself included, is still in its term after a read came, no newer
 * leader can have been elected before the read came (an election needs a
 * majority in its term), so the state here holds all that was acknowledged then
 * (Ongaro's dissertation, 6.4).  Nothing is written to the disk for that.
 *
 * One question is under way at a time; reads that come meanwhile wait for the
 * next.  Who does not answer within a heartbeat is asked again.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "raftnode.h"

#define UNREAD_MAX	4096	/* bytes of questions on their way */

#define ANSWER_MAX	64

struct voter {
	struct node *node;
	uint64_t id;		/* 0: free */
	uv_pipe_t *pipe;
	struct buf in;
	bool agreed;		/* with the question that is under way */
};

static struct voter voters[CLUSTER_NODES_MAX];
static uint64_t question;	/* its number */
static bool asking;
static uv_timer_t timer;

static void
hang_up(struct voter *v)
{
	if (v->pipe != NULL)
		uv_close((uv_handle_t *)v->pipe, (uv_close_cb)free);
	v->pipe = NULL;
	v->in.len = 0;
}

static void
count(struct node *n)
{
	const struct raft_configuration *conf = &n->raft.configuration;
	unsigned int all = 0, agreed = 0, i, j;

	for (i = 0; i < conf->n; i++) {
		if (conf->servers[i].role != RAFT_VOTER)
			continue;
		all++;
		if (conf->servers[i].id == n->o.id)
			agreed++;
		for (j = 0; j < CLUSTER_NODES_MAX; j++)
			agreed += voters[j].id == conf->servers[i].id &&
			    voters[j].agreed;
	}
	if (agreed < all / 2 + 1)
		return;
	asking = false;
	(void)uv_timer_stop(&timer);
	round_confirmed(n);
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct voter *v = h->data;

	(void)suggested;
	if (buf_reserve(&v->in, ANSWER_MAX) == -1)
		*b = uv_buf_init(NULL, 0);
	else
		*b = uv_buf_init((char *)v->in.data + v->in.len, ANSWER_MAX);
}

/* Answers are ":NUMBER", of the question they agree with, or ":0". */
static void
on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *b)
{
	struct voter *v = stream->data;
	char text[ANSWER_MAX];
	size_t used;

	(void)b;
	if (nread == 0 || (uv_stream_t *)v->pipe != stream)
		return;
	if (nread < 0) {
		hang_up(v);
		return;
	}
	v->in.len += (size_t)nread;
	while (v->in.len > 0) {
		int rc = resp_frame(v->in.data, v->in.len, &used);

		if (rc == 0 && v->in.len < ANSWER_MAX)
			return;
		if (rc != 1 || used >= sizeof(text)) {
			hang_up(v);
			return;
		}
		memcpy(text, v->in.data, used);
		text[used] = '\0';
		buf_drop(&v->in, used);
		if (text[0] == ':' && asking &&
		    strtoull(text + 1, NULL, 10) == question)
			v->agreed = true;
	}
	if (asking && v->agreed)
		count(v->node);
}

static struct voter *
find(struct node *n, uint64_t id)
{
	struct voter *spare = NULL;
	size_t i;

	for (i = 0; i < CLUSTER_NODES_MAX; i++) {
		if (voters[i].id == id)
			return &voters[i];
		if (voters[i].id == 0 && spare == NULL)
			spare = &voters[i];
	}
	if (spare != NULL) {
		spare->node = n;
		spare->id = id;
	}
	return spare;
}

static bool
call(struct node *n, struct voter *v)
{
	unsigned char hello[PEER_HELLO_LEN];
	int fd;

	if (v->pipe != NULL)
		return true;
	if ((fd = peer_connect(n, v->id, PEER_FORWARD, hello)) == -1)
		return false;
	if ((v->pipe = malloc(sizeof(*v->pipe))) == NULL ||
	    uv_pipe_init(n->loop, v->pipe, 0) != 0)
		node_die(n, EX_OSERR, "out of memory");
	v->pipe->data = v;
	if (uv_pipe_open(v->pipe, fd) != 0) {
		(void)close(fd);
		hang_up(v);
		return false;
	}
	if (peer_send(v->pipe, hello, sizeof(hello)) != 0 ||
	    uv_read_start((uv_stream_t *)v->pipe, on_alloc, on_read) != 0) {
		hang_up(v);
		return false;
	}
	return true;
}

static void
ask(struct node *n, struct voter *v)
{
	struct buf b = { 0 };
	char term[24], number[24];

	if (!call(n, v))
		return;
	(void)snprintf(term, sizeof(term), "%llu", n->serving_term);
	(void)snprintf(number, sizeof(number), "%llu",
	    (unsigned long long)question);
	if (resp_array(&b, 3) == -1 || resp_bulk(&b, "CONFIRM", 7) == -1 ||
	    resp_bulk(&b, term, strlen(term)) == -1 ||
	    resp_bulk(&b, number, strlen(number)) == -1)
		node_die(n, EX_OSERR, "out of memory");
	/* Who does not read is called again. */
	if (uv_stream_get_write_queue_size((uv_stream_t *)v->pipe) >
	    UNREAD_MAX || peer_send(v->pipe, b.data, b.len) != 0)
		hang_up(v);
	buf_release(&b);
}

static void
ask_all(struct node *n)
{
	const struct raft_configuration *conf = &n->raft.configuration;
	struct voter *v;
	unsigned int i;

	for (i = 0; i < conf->n; i++) {
		if (conf->servers[i].role != RAFT_VOTER ||
		    conf->servers[i].id == n->o.id)
			continue;
		v = find(n, conf->servers[i].id);
		if (v != NULL && !v->agreed)
			ask(n, v);
	}
}

static void
on_timer(uv_timer_t *t)
{
	struct node *n = t->data;

	if (asking && n->serving)
		ask_all(n);
}

void
confirm_init(struct node *n)
{
	(void)uv_timer_init(n->loop, &timer);
	timer.data = n;
}

void
confirm_begin(struct node *n)
{
	size_t i;

	question++;
	asking = true;
	for (i = 0; i < CLUSTER_NODES_MAX; i++)
		voters[i].agreed = false;
	ask_all(n);
	(void)uv_timer_start(&timer, on_timer, (uint64_t)n->o.heartbeat_ms,
	    (uint64_t)n->o.heartbeat_ms);
	count(n);
}

/* No longer the leader. */
void
confirm_end(void)
{
	size_t i;

	asking = false;
	(void)uv_timer_stop(&timer);
	for (i = 0; i < CLUSTER_NODES_MAX; i++) {
		hang_up(&voters[i]);
		buf_release(&voters[i].in);
		voters[i].id = 0;
	}
}

/* The other side: CONFIRM term number. */
void
confirm_answer(struct node *n, uint64_t term, uint64_t number, struct buf *out)
{
	bool agree = raft_current_term(&n->raft) == term && !n->closing;

	if (resp_int(out, agree ? (int64_t)number : 0) == -1)
		node_die(n, EX_OSERR, "out of memory");
}
