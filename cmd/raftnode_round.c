/*
 * raftnode_round: group commit.  Commands that have come go through the log as
 * one entry, one entry at a time; those that come meanwhile make up the next.
 * Reads wait for the entry that is submitted after they came, or for the voters'
 * confirmation when there is nothing to write: then this node was still the
 * leader after they came, and all that was acknowledged before is in the state.
 */

#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "log.h"
#include "raftnode.h"

static void
fail(struct node *n)
{
	node_die(n, EX_OSERR, "out of memory");
}

void
round_init(struct node *n)
{
	n->next = &n->rounds[0];
	n->flying = NULL;
	if (uv_random(NULL, NULL, &n->origin, sizeof(n->origin), 0, NULL) != 0)
		fail(n);
}

bool
round_full(const struct node *n)
{
	return fsm_batch_size(&n->next->batch) >= NODE_ENTRY_BYTES ||
	    n->next->writes_cnt + n->next->reads_cnt >= NODE_ENTRY_CNT;
}

static void
add_read(struct node *n, struct round *r, const struct request *q)
{
	unsigned char word[8];
	size_t i, cap;
	void *p;

	if (r->reads_cnt == r->reads_cap) {
		cap = r->reads_cap == 0 ? 64 : r->reads_cap * 2;
		p = reallocarray(r->reads, cap, sizeof(*r->reads));
		if (p == NULL)
			fail(n);
		r->reads = p;
		r->reads_cap = cap;
	}
	r->reads[r->reads_cnt++] = (struct waiting_read){ slot_new(q->conn),
	    r->writes_cnt, r->args.len, q->argc };
	for (i = 0; i < q->argc; i++) {
		le_put64(word, q->argv[i].len);
		if (buf_put(&r->args, word, sizeof(word)) == -1 ||
		    buf_put(&r->args, q->argv[i].data, q->argv[i].len) == -1)
			fail(n);
	}
}

static void
add_write(struct node *n, struct round *r, const struct request *q)
{
	size_t cap;
	void *p;

	if (r->writes_cnt == r->writes_cap) {
		cap = r->writes_cap == 0 ? 64 : r->writes_cap * 2;
		/* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers */
		p = reallocarray(r->writes, cap, sizeof(*r->writes));
		if (p == NULL)
			fail(n);
		r->writes = p;
		r->writes_cap = cap;
	}
	if (fsm_batch_add(&r->batch, q->client, q->client_len, q->seq,
	    q->argv, q->argc) == -1)
		fail(n);
	r->writes[r->writes_cnt++] = slot_new(q->conn);
}

/* The caller knows that this node leads. */
void
round_add(struct node *n, const struct request *q, bool write)
{
	if (write)
		add_write(n, n->next, q);
	else
		add_read(n, n->next, q);
}

/* --- the end of a round --------------------------------------------------------- */

static void
empty(struct round *r)
{
	r->writes_cnt = r->reads_cnt = r->read_next = r->answered = 0;
	r->args.len = 0;
	r->origin = 0;
	if (r->args.cap > NODE_ENTRY_BYTES)
		buf_release(&r->args);
	buf_release(&r->batch.b);
	r->batch.count = 0;
}

/* Those that came before the next write of the round. */
static void
answer_reads(struct node *n, struct round *r)
{
	static struct resp_arg argv[RESP_ARGS_MAX];
	struct buf out = { 0 };
	size_t i, j, at;

	for (; r->read_next < r->reads_cnt; r->read_next++) {
		i = r->read_next;
		if (r->reads[i].after > r->answered)
			break;
		at = r->reads[i].at;
		for (j = 0; j < r->reads[i].argc; j++) {
			argv[j].len = le_get64(r->args.data + at);
			argv[j].data = r->args.data + at + 8;
			at += 8 + argv[j].len;
		}
		out.len = 0;
		if (fsm_read(n->fsm, argv, r->reads[i].argc, &out) == -1)
			fail(n);
		slot_reply(r->reads[i].slot, out.data, out.len);
	}
	buf_release(&out);
}

static void
give_up(struct round *r, const char *writes, const char *reads)
{
	size_t i;

	for (i = r->answered; i < r->writes_cnt; i++)
		slot_error(r->writes[i], writes);
	for (i = r->read_next; i < r->reads_cnt; i++)
		slot_error(r->reads[i].slot, reads);
	empty(r);
}

static void
unknown(struct round *r)
{
	give_up(r, "UNKNOWN leadership was lost; perhaps done",
	    "CLUSTERDOWN leadership was lost");
}

/* A round of reads only; its turn in the loop goes on to submit the next. */
void
round_confirmed(struct node *n)
{
	struct round *r = n->flying;

	if (r == NULL || r->origin != 0)
		return;
	n->flying = NULL;
	answer_reads(n, r);
	empty(r);
}

static void
on_apply(struct raft_apply *req, int status, void *result)
{
	struct node *n = req->data;
	struct round *r = n->flying;

	(void)result;
	free(req);
	/* When it went well round_applied() has done it all. */
	if (status == 0 || r == NULL)
		return;
	n->flying = NULL;
	unknown(r);
}

struct replies {
	struct node *node;
	struct round *round;
};

static void
one_reply(void *arg, const void *reply, size_t len)
{
	struct replies *to = arg;
	struct round *r = to->round;

	if (r == NULL || r->answered >= r->writes_cnt)
		return;
	slot_reply(r->writes[r->answered++], reply, len);
	answer_reads(to->node, r);
}

/* An entry is committed, here or elsewhere made. */
void
round_applied(struct node *n, const struct raft_buffer *entry)
{
	struct replies to = { n, NULL };
	uint64_t origin = fsm_entry_origin(entry->base, entry->len);

	if (n->flying != NULL && n->flying->origin != 0 &&
	    n->flying->origin == origin)
		to.round = n->flying;
	if (to.round != NULL)
		answer_reads(n, to.round);
	if (fsm_apply(n->fsm, entry->base, entry->len, one_reply, &to) == -1)
		node_die(n, EX_SOFTWARE, "a committed entry is not readable");
	n->applied_something = true;
	if (to.round != NULL) {
		n->flying = NULL;
		answer_reads(n, to.round);
		empty(to.round);
	}
}

/* --- the beginning of one ---------------------------------------------------------- */

static int
submit_entry(struct node *n, struct round *r)
{
	struct raft_apply *req;
	struct raft_buffer b;
	int rv;

	if ((req = calloc(1, sizeof(*req))) == NULL)
		fail(n);
	r->origin = ++n->origin == 0 ? ++n->origin : n->origin;
	if (fsm_batch_end(&r->batch, node_clock(n), r->origin) == -1)
		fail(n);
	req->data = n;
	b.base = r->batch.b.data;
	b.len = r->batch.b.len;
	rv = raft_apply(&n->raft, req, &b, 1, on_apply);
	if (rv == 0)
		memset(&r->batch, 0, sizeof(r->batch));	/* raft's now */
	else
		free(req);
	return rv;
}

void
round_submit(struct node *n)
{
	struct round *r = n->next;
	int rv;

	if (n->flying != NULL || !n->serving || n->closing)
		return;
	if (r->writes_cnt == 0 && r->reads_cnt == 0 && !n->tick_wanted)
		return;
	n->flying = r;
	n->next = r == &n->rounds[0] ? &n->rounds[1] : &n->rounds[0];
	if (r->writes_cnt > 0 || n->tick_wanted) {
		n->tick_wanted = false;
		rv = submit_entry(n, r);
	} else {
		confirm_begin(n);
		rv = 0;
	}
	if (rv == 0)
		return;
	/* Refused at once: not in the log. */
	n->flying = NULL;
	if (rv == RAFT_NOSPACE)
		give_up(r, "NOSPACE the disks of a majority are full",
		    "CLUSTERDOWN the disks of a majority are full");
	else
		give_up(r, "CLUSTERDOWN leadership was lost",
		    "CLUSTERDOWN leadership was lost");
}

void
round_lost(struct node *n)
{
	struct round *r = n->flying;

	confirm_end();
	if (r != NULL && r->origin == 0) {
		n->flying = NULL;
		unknown(r);
	}
	give_up(n->next, "CLUSTERDOWN leadership was lost",
	    "CLUSTERDOWN leadership was lost");
	n->tick_wanted = false;
}

/* --- what expires -------------------------------------------------------------------- */

static void
on_due(uv_timer_t *t)
{
	struct node *n = t->data;

	n->due_at = INT64_MAX;
	if (n->serving)
		n->tick_wanted = true;
}

/* Set the timer for the next thing that expires. */
void
round_due(struct node *n)
{
	int64_t at = n->serving ? fsm_next_due(n->fsm) : INT64_MAX, left;

	if (at == n->due_at || n->tick_wanted || n->flying != NULL)
		return;
	n->due_at = at;
	if (at == INT64_MAX) {
		(void)uv_timer_stop(&n->due_timer);
		return;
	}
	left = at - node_clock(n);
	(void)uv_timer_start(&n->due_timer, on_due,
	    left < 0 ? 0 : (uint64_t)left + 1, 0);
}
