/* raftnode_park: RWATCH, TAIL and LOCKWAIT wait here for what they ask for. */

#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "raftnode.h"

static void
on_closed(uv_handle_t *h)
{
	struct park *p = h->data;

	buf_release(&p->args);
	free(p->argv);
	free(p);
}

static void
leave(struct park *p)
{
	LIST_REMOVE(p, entry);
	p->node->parks_cnt--;
	p->closing = true;
	uv_close((uv_handle_t *)&p->timer, on_closed);
}

/* Answer if it can be answered; last: in any case. */
static bool
look(struct park *p, bool last)
{
	struct buf out = { 0 };
	int rc;

	rc = fsm_wait(p->node->fsm, p->argv, p->argc, &p->cursor, last, &out);
	if (rc == -1)
		node_die(p->node, EX_OSERR, "out of memory");
	if (rc == 1) {
		slot_reply(p->slot, out.data, out.len);
		leave(p);
	}
	buf_release(&out);
	return rc == 1;
}

static void
on_timer(uv_timer_t *t)
{
	(void)look(t->data, true);
}

static void
copy_args(struct park *p, const struct request *q)
{
	size_t i, at = 0;

	p->argc = q->argc;
	p->argv = calloc(q->argc, sizeof(*p->argv));
	if (p->argv == NULL)
		node_die(p->node, EX_OSERR, "out of memory");
	for (i = 0; i < q->argc; i++)
		if (buf_put(&p->args, q->argv[i].data, q->argv[i].len) == -1)
			node_die(p->node, EX_OSERR, "out of memory");
	for (i = 0; i < q->argc; i++) {
		p->argv[i].data = p->args.data == NULL ?
		    (const unsigned char *)"" : p->args.data + at;
		p->argv[i].len = q->argv[i].len;
		at += q->argv[i].len;
	}
}

void
park_add(struct node *n, const struct request *q)
{
	struct park *p;
	int64_t ms = fsm_wait_ms(q->argv, q->argc);

	if (n->parks_cnt >= NODE_WAITS_MAX) {
		conn_error(q->conn, "BUSY too many requests are waiting");
		return;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL)
		node_die(n, EX_OSERR, "out of memory");
	p->node = n;
	p->slot = slot_new(q->conn);
	copy_args(p, q);
	LIST_INSERT_HEAD(&n->parks, p, entry);
	n->parks_cnt++;
	(void)uv_timer_init(n->loop, &p->timer);
	p->timer.data = p;
	if (!look(p, ms == 0))
		(void)uv_timer_start(&p->timer, on_timer, (uint64_t)ms, 0);
}

void
park_look(struct node *n)
{
	struct park *p, *next;

	for (p = LIST_FIRST(&n->parks); p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		(void)look(p, false);
	}
}

static void
abandon(struct park *p)
{
	slot_reply(p->slot, "", 0);
	leave(p);
}

void
park_leave(struct node *n, const struct slot *s)
{
	struct park *p, *next;

	for (p = LIST_FIRST(&n->parks); p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		if (p->slot == s) {
			abandon(p);
			return;
		}
	}
}

void
park_leave_all(struct node *n, const struct conn *c)
{
	struct park *p, *next;

	for (p = LIST_FIRST(&n->parks); p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		if (p->slot->conn == c)
			abandon(p);
	}
}
