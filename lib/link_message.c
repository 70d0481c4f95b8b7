/*
 * link_message: bytes that come from a socket are held, thrown away, or cut
 * into messages of which each has its own fate.
 *
 * A message that is to change places waits for the next one; whether the next
 * one is drawn for anything must not depend on how long that takes, so it is
 * the decision that is remembered and not the waiting.
 */

#include <stdlib.h>

#include "link_priv.h"
#include "num.h"

#define SWAP_NS		(20 * NUM_NS_PER_MS)	/* reorder waits so long */

static void
swap_flush(struct dir *d)
{
	struct chunk *ck = d->swap;

	if (ck == NULL)
		return;
	d->swap = NULL;
	timer_disarm(d->conn->net, &d->swap_timer);
	chunk_append(d, ck);
}

static void
swap_timer(struct link_net *n, void *arg)
{
	(void)n;
	swap_flush(arg);
	dir_pump(arg);
}

/* One whole message: lost, changed, doubled, held back, or just passed on. */
static int
message(struct dir *d, unsigned char *data, size_t len)
{
	struct link_net *n = d->conn->net;
	bool second = d->reordered, again;
	uint64_t pick;

	d->frames++;
	if (fault_draw_frame(n, d, FAULT_LOSS)) {
		fault_bite(n, d->link, FAULT_LOSS);
		d->link->dropped += len;
		trace_seen(n, SEEN_DROPPED, d, n->now_ns, len);
		return 0;
	}
	if (fault_draw_frame(n, d, FAULT_CORRUPT)) {
		pick = link_rand_bits(link_rand_number(dir_key(n, d, "bit"),
		    d->frames));
		if (link_frame_corrupt(d->link->frame, data, len, pick) == 0)
			fault_bite(n, d->link, FAULT_CORRUPT);
	}
	if ((again = fault_draw_frame(n, d, FAULT_DUP)))
		fault_bite(n, d->link, FAULT_DUP);
	d->reordered = !second && !again &&
	    fault_draw_frame(n, d, FAULT_REORDER);
	if (d->reordered) {
		if ((d->swap = chunk_new(d, data, len, len, 0)) == NULL)
			return -1;
		d->swap->clock = trace_sent(n, d, len);
		d->swap_timer.fire = swap_timer;
		d->swap_timer.arg = d;
		return timer_arm(n, &d->swap_timer, n->now_ns + SWAP_NS);
	}
	if (dir_queue(d, data, len, 0) == -1 ||
	    (again && dir_queue(d, data, len, 0) == -1))
		return -1;
	if (d->swap != NULL)
		fault_bite(n, d->link, FAULT_REORDER);
	swap_flush(d);
	return 0;
}

/* What there is of a message goes on as it is. */
int
dir_unpart(struct dir *d)
{
	int rc = 0;

	swap_flush(d);
	if (d->partial.len > 0)
		rc = dir_queue(d, d->partial.data, d->partial.len, 0);
	dir_account(d, -(int64_t)d->partial.cap);
	buf_release(&d->partial);
	return rc;
}

/* The stream is not what was declared: from here on it passes as it is. */
static int
unframe(struct dir *d)
{
	log_note(d->conn->net, "unframed", "%s %s conn %llu is not %s: its "
	    "messages cannot be told apart any more", d->link->from->name,
	    d->link->to->name, (unsigned long long)d->conn->ordinal,
	    netctl_frame_name(d->link->frame));
	d->unframed = true;
	d->hit &= ~FAULT_FRAMED;
	return dir_unpart(d);
}

static int
framed(struct dir *d, const unsigned char *data, size_t len)
{
	size_t cap = d->partial.cap, at = 0;
	ssize_t size = 0;
	int rc;

	if (d->frame == NULL &&
	    (d->frame = calloc(1, sizeof(*d->frame))) == NULL)
		return -1;
	rc = buf_put(&d->partial, data, len);
	dir_account(d, (int64_t)(d->partial.cap - cap));
	if (rc == -1)
		return -1;
	while (at < d->partial.len && (size = link_frame_next(d->link->frame,
	    d->frame, d->partial.data + at, d->partial.len - at)) > 0) {
		if (message(d, d->partial.data + at, (size_t)size) == -1)
			return -1;
		at += (size_t)size;
	}
	buf_drop(&d->partial, at);
	if (size == -1)
		return unframe(d);
	if (d->partial.len == 0) {
		dir_account(d, -(int64_t)d->partial.cap);
		buf_release(&d->partial);
	}
	return 0;
}

int
dir_ingest(struct dir *d, const unsigned char *data, size_t len)
{
	struct link_net *n = d->conn->net;
	struct link *l = d->link;

	if (d->blocked) {
		for (int k = 0; k < FAULT_CONNECT; k++)
			if (d->hit & FAULT_BIT(k))
				fault_bite(n, l, (enum fault_kind)k);
		if (d->mode != NETCTL_MODE_HOLD) {
			l->dropped += len;
			d->doomed = true;
			trace_seen(n, SEEN_DROPPED, d, n->now_ns, len);
			return 0;
		}
		l->held_ever += len;
		trace_seen(n, SEEN_HELD, d, n->now_ns, len);
	}
	if (l->frame != NETCTL_RAW && !d->unframed)
		return framed(d, data, len);
	d->frames++;
	return dir_queue(d, data, len, 0);
}

int
dir_end(struct dir *d, unsigned int flag)
{
	return dir_unpart(d) == -1 ? -1 : dir_queue(d, NULL, 0, flag);
}
