/*
 * link_queue: what a direction holds, in chunks, each with the time of its
 * delivery.  Every byte of memory is accounted to the direction, its link and
 * the net, and reading stops where their bounds are reached.
 */

#include <stdlib.h>
#include <string.h>

#include "link_priv.h"

#define CHUNK_MIN	2048U		/* small pieces share a chunk */

void
dir_account(struct dir *d, int64_t memory)
{
	d->buffered += memory;
	d->link->buffered += memory;
	d->conn->net->buffered += memory;
}

static int64_t
chunk_cost(const struct chunk *ck)
{
	return (int64_t)(sizeof(*ck) + ck->cap);
}

void
chunk_pop(struct dir *d)
{
	struct chunk *ck = d->head;

	if ((d->head = ck->next) == NULL)
		d->tail = NULL;
	dir_account(d, -chunk_cost(ck));
	free(ck->clock);
	free(ck);
}

struct chunk *
chunk_new(struct dir *d, const void *data, size_t len, size_t cap,
    unsigned int flags)
{
	struct chunk *ck;

	if ((ck = malloc(sizeof(*ck) + cap)) == NULL)
		return NULL;
	memset(ck, 0, sizeof(*ck));
	ck->cap = cap;
	ck->len = len;
	ck->flags = flags;
	ck->sent_ns = d->conn->net->now_ns;
	if (len > 0)
		memcpy(ck->data, data, len);
	dir_account(d, chunk_cost(ck));
	return ck;
}

/* When what arrives now is to be delivered, once what came earlier has been. */
static int64_t
delivery(struct dir *d)
{
	struct link_net *n = d->conn->net;
	struct fault *f = &d->link->fault[FAULT_DELAY];
	struct link_rand key;
	int64_t at = net_now(n);

	if (d->hit & FAULT_BIT(FAULT_DELAY)) {
		key = link_rand_number(dir_key(n, d, "delay"), d->frames);
		at += link_rand_delay(key, f->time_ns, f->time2_ns, f->dist);
		fault_bite(n, d->link, FAULT_DELAY);
	}
	return at;
}

void
chunk_append(struct dir *d, struct chunk *ck)
{
	ck->at_ns = delivery(d);
	ck->next = NULL;
	if (d->tail != NULL)
		d->tail->next = ck;
	else
		d->head = ck;
	d->tail = ck;
	d->queued += ck->len;
}

int
dir_queue(struct dir *d, const void *data, size_t len, unsigned int flags)
{
	struct link_net *n = d->conn->net;
	bool delayed = d->hit & FAULT_BIT(FAULT_DELAY);
	struct chunk *ck = d->tail;
	size_t cap = len;

	if (ck != NULL && flags == 0 && ck->flags == 0 && !delayed &&
	    n->o.trace == NULL && ck->at_ns <= n->now_ns &&
	    ck->cap - ck->off - ck->len >= len) {
		memcpy(ck->data + ck->off + ck->len, data, len);
		ck->len += len;
		d->queued += len;
		return 0;
	}
	if (flags == 0 && !delayed && cap < CHUNK_MIN)
		cap = CHUNK_MIN;
	if ((ck = chunk_new(d, data, len, cap, flags)) == NULL)
		return -1;
	if (len > 0)
		ck->clock = trace_sent(n, d, len);
	chunk_append(d, ck);
	return 0;
}

size_t
dir_room(const struct dir *d)
{
	const struct link_net *n = d->conn->net;
	uint64_t share = n->o.buffer, left;

	if (d->link->buffered < share &&
	    n->buffered < share * (LINK_TOTAL / LINK_BUFFER)) {
		left = share - d->link->buffered;
		if (left > LINK_READ_MAX)
			return LINK_READ_MAX;
		return left > LINK_CONN_MIN ? left : LINK_CONN_MIN;
	}
	if (d->buffered < LINK_CONN_MIN)
		return LINK_CONN_MIN;
	/* A message must be able to become whole, or it would never leave. */
	if (d->partial.len > 0 && d->head == NULL && d->swap == NULL)
		return LINK_READ_MAX;
	return 0;
}

void
dir_release(struct dir *d)
{
	struct link_net *n = d->conn->net;
	struct dir **dp, *before = NULL;

	while (d->head != NULL)
		chunk_pop(d);
	if (d->swap != NULL) {
		dir_account(d, -chunk_cost(d->swap));
		free(d->swap->clock);
		free(d->swap);
		d->swap = NULL;
	}
	timer_disarm(n, &d->timer);
	timer_disarm(n, &d->swap_timer);
	dir_account(d, -(int64_t)d->partial.cap);
	buf_release(&d->partial);
	free(d->frame);
	d->frame = NULL;
	for (dp = &n->run; d->queued_run && *dp != NULL;
	    dp = &before->run_next) {
		if (*dp == d) {
			*dp = d->run_next;
			if (n->run_last == d)
				n->run_last = before;
			break;
		}
		before = *dp;
	}
	d->queued_run = false;
}

void
dir_run_later(struct dir *d)
{
	struct link_net *n = d->conn->net;

	if (d->queued_run)
		return;
	d->queued_run = true;
	d->run_next = NULL;
	if (n->run != NULL)
		n->run_last->run_next = d;
	else
		n->run = d;
	n->run_last = d;
}

static void
dir_timer(struct link_net *n, void *arg)
{
	(void)n;
	dir_pump(arg);
}

void
dir_wake_at(struct dir *d, int64_t at_ns)
{
	d->timer.fire = dir_timer;
	d->timer.arg = d;
	(void)timer_arm(d->conn->net, &d->timer, at_ns);
}

/* What is under way when the link is blocked waits with the rest. */
void
dir_hold(struct dir *d)
{
	if (d->queued == 0)
		return;
	d->link->held_ever += d->queued;
	for (int k = 0; k < FAULT_CONNECT; k++)
		if (d->hit & FAULT_BIT(k))
			fault_bite(d->conn->net, d->link, (enum fault_kind)k);
}
