/*
 * link_pump: a direction that no fault hits copies from socket to socket
 * through one large buffer that all share; what the destination does not take
 * at once, and everything on a faulted link, goes through a queue of chunks.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link_priv.h"
#include "num.h"

#define BULK_MIN	4096		/* a read this large leaves nothing */
#define CHUNK_MIN	2048U		/* small pieces share a chunk */
#define SWAP_NS		(20 * NUM_NS_PER_MS)	/* reorder waits so long */
#define SLICE_GAP_NS	(100 * NUM_NS_PER_US)
#define BURST_MIN	1500.0
#define BURST_SHARE	100		/* of a second's bytes */
#define QUANTUM_SHARE	200

/* --- the queue --------------------------------------------------------- */

static void
account(struct dir *d, int64_t memory)
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

static void
chunk_pop(struct dir *d)
{
	struct chunk *ck = d->head;

	if ((d->head = ck->next) == NULL)
		d->tail = NULL;
	account(d, -chunk_cost(ck));
	free(ck->clock);
	free(ck);
}

static struct chunk *
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
	account(d, chunk_cost(ck));
	return ck;
}

/* When what arrives now is to be delivered; never before what came earlier. */
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
	if (at < d->last_ns)
		at = d->last_ns;
	return d->last_ns = at;
}

static void
append(struct dir *d, struct chunk *ck)
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
	append(d, ck);
	return 0;
}

/* How much may be read into memory now. */
static size_t
room(const struct dir *d)
{
	const struct link_net *n = d->conn->net;
	uint64_t share = n->o.buffer, left;

	if (d->partial.len > 0)
		return LINK_READ_MAX;	/* a message in the making */
	if (d->link->buffered < share &&
	    n->buffered < share * (LINK_TOTAL / LINK_BUFFER)) {
		left = share - d->link->buffered;
		if (left > LINK_READ_MAX)
			return LINK_READ_MAX;
		return left > LINK_CONN_MIN ? left : LINK_CONN_MIN;
	}
	return d->buffered < LINK_CONN_MIN ? LINK_CONN_MIN : 0;
}

void
dir_release(struct dir *d)
{
	struct link_net *n = d->conn->net;
	struct dir **dp;

	while (d->head != NULL)
		chunk_pop(d);
	if (d->swap != NULL) {
		account(d, -chunk_cost(d->swap));
		free(d->swap->clock);
		free(d->swap);
		d->swap = NULL;
	}
	timer_disarm(n, &d->timer);
	timer_disarm(n, &d->swap_timer);
	account(d, -(int64_t)d->partial.cap);
	buf_release(&d->partial);
	free(d->frame);
	d->frame = NULL;
	for (dp = &n->run; d->queued_run && *dp != NULL; dp = &(*dp)->run_next)
		if (*dp == d) {
			*dp = d->run_next;
			break;
		}
}

void
dir_run_later(struct dir *d)
{
	struct link_net *n = d->conn->net;

	if (d->queued_run)
		return;
	d->queued_run = true;
	d->run_next = n->run;
	n->run = d;
}

static void
dir_timer(struct link_net *n, void *arg)
{
	(void)n;
	dir_pump(arg);
}

static void
dir_wake_at(struct dir *d, int64_t at_ns)
{
	d->timer.fire = dir_timer;
	d->timer.arg = d;
	(void)timer_arm(d->conn->net, &d->timer, at_ns);
}

/* --- out of the net ---------------------------------------------------- */

/* Bytes that the link's rate lets pass now; 0 and *at: when to ask again. */
static size_t
rate_allows(struct dir *d, size_t want, int64_t *at)
{
	struct link *l = d->link;
	int64_t now = net_now(d->conn->net);
	double rate = (double)l->fault[FAULT_RATE].number;
	double burst = rate / BURST_SHARE, need = rate / QUANTUM_SHARE;

	if (burst < BURST_MIN)
		burst = BURST_MIN;
	l->tokens += (double)(now - l->tokens_ns) * rate / 1e9;
	l->tokens_ns = now;
	if (l->tokens > burst)
		l->tokens = burst;
	if (need < 64)
		need = 64;
	if (need > (double)want)
		need = (double)want;
	if (l->tokens >= need)
		return l->tokens < (double)want ? (size_t)l->tokens : want;
	fault_bite(d->conn->net, l, FAULT_RATE);
	*at = now + (int64_t)((need - l->tokens) / rate * 1e9) + 1000;
	return 0;
}

/* How much of the head may be written now, 0: not yet. */
static size_t
out_allowed(struct dir *d, int64_t *wake_at)
{
	const struct fault *f = d->link->fault;
	size_t want = d->head->len;
	uint64_t left;

	*wake_at = 0;
	if (d->hit & FAULT_BIT(FAULT_SLICE)) {
		if (d->conn->net->now_ns < d->not_before_ns) {
			*wake_at = d->not_before_ns;
			return 0;
		}
		if (want > f[FAULT_SLICE].number) {
			want = f[FAULT_SLICE].number;
			fault_bite(d->conn->net, d->link, FAULT_SLICE);
		}
	}
	if (d->hit & FAULT_BIT(FAULT_LIMIT)) {
		left = f[FAULT_LIMIT].number - (d->out - d->limit_from);
		if (want > left)
			want = left;
	}
	if (d->hit & FAULT_BIT(FAULT_RATE))
		want = rate_allows(d, want, wake_at);
	return want;
}

/* After n bytes went out; false if that ended the connection. */
static bool
out_done(struct dir *d, size_t len)
{
	struct link_net *n = d->conn->net;
	const struct fault *f = d->link->fault;

	d->out += len;
	d->link->carried += len;
	if (d->hit & FAULT_BIT(FAULT_RATE))
		d->link->tokens -= (double)len;
	if (d->hit & FAULT_BIT(FAULT_SLICE))
		d->not_before_ns = net_now(n) + (f[FAULT_SLICE].time2_ns > 0 ?
		    f[FAULT_SLICE].time2_ns : SLICE_GAP_NS);
	if ((d->hit & FAULT_BIT(FAULT_LIMIT)) &&
	    d->out - d->limit_from >= f[FAULT_LIMIT].number) {
		fault_bite(n, d->link, FAULT_LIMIT);
		if (f[FAULT_LIMIT].mode == NETCTL_MODE_RESET)
			(void)conn_reset(d->conn);
		else
			conn_close(d->conn);
		return false;
	}
	return true;
}

/* Write to the destination; -1: it is gone, and perhaps so are we. */
static ssize_t
out_write(struct dir *d, const unsigned char *data, size_t len)
{
	struct conn *c = d->conn;
	struct end *dst = &c->end[!d->side];
	ssize_t w;

	w = send(dst->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (w == -1 && errno != EAGAIN && errno != EINTR &&
	    errno != ENOBUFS) {
		end_died(c, !d->side);
		return -1;
	}
	if (w == -1)
		w = 0;
	if ((size_t)w < len) {
		dst->writable = false;
		end_out(c, !d->side, true);
	}
	return w;
}

/* An end or a reset has come to the head of the queue; false: it is over. */
static bool
out_flag(struct dir *d)
{
	struct conn *c = d->conn;

	if (d->head->flags & CHUNK_RESET) {
		(void)conn_reset(c);
		return false;
	}
	(void)shutdown(c->end[!d->side].fd, SHUT_WR);
	chunk_pop(d);
	d->end_sent = true;
	if (c->dir[!d->side].end_sent) {
		conn_close(c);
		return false;
	}
	return true;
}

static void
out_chunk_done(struct dir *d)
{
	struct link_net *n = d->conn->net;
	struct chunk *ck = d->head;

	trace_seen(n, SEEN_BYTES, d, ck->sent_ns, ck->off);
	if (ck->clock != NULL)
		trace_delivered(n, d, ck->clock, ck->off);
	chunk_pop(d);
}

/* Deliver what is due; false if the connection ended. */
static bool
dir_out(struct dir *d, bool *moved)
{
	struct conn *c = d->conn;
	struct end *dst = &c->end[!d->side];
	struct chunk *ck;
	int64_t wake_at;
	size_t want;
	ssize_t w;

	while ((ck = d->head) != NULL && !d->blocked && dst->connected) {
		if (dst->dead && !(ck->flags & CHUNK_RESET)) {
			d->queued -= ck->len;
			chunk_pop(d);
			continue;
		}
		if (ck->at_ns > c->net->now_ns &&
		    ck->at_ns > net_now(c->net)) {
			dir_wake_at(d, ck->at_ns);
			return true;
		}
		if (ck->flags != 0) {
			if (!out_flag(d))
				return false;
			continue;
		}
		if (!dst->writable)
			return true;
		if ((want = out_allowed(d, &wake_at)) == 0) {
			dir_wake_at(d, wake_at);
			return true;
		}
		w = out_write(d, ck->data + ck->off, want);
		if (c->gone)
			return false;
		if (w <= 0)
			continue;
		*moved = true;
		ck->off += (size_t)w;
		ck->len -= (size_t)w;
		d->queued -= (size_t)w;
		if (ck->len == 0)
			out_chunk_done(d);
		if (!out_done(d, (size_t)w))
			return false;
	}
	return true;
}

/* --- into the net ------------------------------------------------------ */

static void
swap_flush(struct dir *d)
{
	struct chunk *ck = d->swap;

	if (ck == NULL)
		return;
	d->swap = NULL;
	timer_disarm(d->conn->net, &d->swap_timer);
	append(d, ck);
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
	uint64_t pick;
	bool again;

	d->frames++;
	if (fault_draw_frame(n, d, FAULT_LOSS)) {
		d->link->dropped += len;
		trace_seen(n, SEEN_DROPPED, d, n->now_ns, len);
		return 0;
	}
	if (fault_draw_frame(n, d, FAULT_CORRUPT)) {
		pick = link_rand_bits(link_rand_number(dir_key(n, d, "bit"),
		    d->frames));
		(void)link_frame_corrupt(d->link->frame, data, len, pick);
	}
	again = fault_draw_frame(n, d, FAULT_DUP);
	if (d->swap == NULL && fault_draw_frame(n, d, FAULT_REORDER)) {
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
	swap_flush(d);
	return 0;
}

/* The stream is not what was declared: from here on it passes as it is. */
static int
unframe(struct dir *d)
{
	int rc = 0;

	log_note(d->conn->net, "unframed", "%s %s conn %llu is not %s: its "
	    "messages cannot be told apart any more", d->link->from->name,
	    d->link->to->name, (unsigned long long)d->conn->ordinal,
	    netctl_frame_name(d->link->frame));
	d->unframed = true;
	swap_flush(d);
	if (d->partial.len > 0)
		rc = dir_queue(d, d->partial.data, d->partial.len, 0);
	account(d, -(int64_t)d->partial.cap);
	buf_release(&d->partial);
	return rc;
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
	account(d, (int64_t)(d->partial.cap - cap));
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
		account(d, -(int64_t)d->partial.cap);
		buf_release(&d->partial);
	}
	return 0;
}

static int
ingest(struct dir *d, const unsigned char *data, size_t len)
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

/* The source will send no more. */
static int
ingest_end(struct dir *d)
{
	d->closed_in = true;
	if (d->partial.len > 0 &&
	    dir_queue(d, d->partial.data, d->partial.len, 0) == -1)
		return -1;
	d->partial.len = 0;
	swap_flush(d);
	return d->discard ? 0 : dir_queue(d, NULL, 0, CHUNK_END);
}

/*
 * recv(2), leaving the last byte of a small read in a Unix socket's queue;
 * *data points at the first byte that is new.  What is left keeps the whole of
 * its write in the sender's account, so it must be small beside any send
 * buffer, or a sender could wait for ever.
 */
static ssize_t
end_read(struct end *e, unsigned char *buf, size_t cap, unsigned char **data)
{
	bool take = !e->local || e->bulk || e->hangup || cap < 2, leave;
	ssize_t r, got, left;

	*data = buf;
	r = recv(e->fd, buf, cap, take ? 0 : MSG_PEEK);
	if (r <= 0) {
		if (r == 0)
			e->kept = false;
		return r;
	}
	if ((size_t)r < cap && !e->hangup)
		e->readable = false;
	e->bulk = r >= BULK_MIN;
	leave = !take && !e->bulk;
	/* The same bytes once more, to take them. */
	for (left = take ? 0 : leave ? r - 1 : r; left > 0; left -= got)
		if ((got = recv(e->fd, buf + (leave ? r - 1 : r) - left,
		    (size_t)left, 0)) <= 0) {
			errno = EIO;
			return -1;
		}
	if (e->kept) {
		++*data;
		r--;
	}
	e->kept = leave;
	if (r > 0)
		return r;
	/* Nothing but the byte that was read before. */
	if (!leave)
		return end_read(e, buf, cap, data);
	errno = EAGAIN;
	return -1;
}

/* True when bytes go straight through. */
static bool
plain(const struct dir *d)
{
	const struct end *dst = &d->conn->end[!d->side];

	return d->head == NULL && (d->hit & ~FAULT_BIT(FAULT_CONNECT)) == 0 &&
	    d->link->frame == NETCTL_RAW && dst->connected && dst->writable &&
	    !dst->dead && !d->discard && d->conn->net->o.trace == NULL;
}

static bool
straight(struct dir *d, const unsigned char *data, size_t len)
{
	ssize_t w = out_write(d, data, len);

	if (d->conn->gone)
		return false;
	if (w < 0)
		return true;		/* the destination died */
	d->out += (size_t)w;
	d->link->carried += (size_t)w;
	d->frames++;
	trace_seen(d->conn->net, SEEN_BYTES, d, d->conn->net->now_ns, len);
	if ((size_t)w < len && dir_queue(d, data + w, len - (size_t)w, 0) ==
	    -1) {
		(void)conn_reset(d->conn);
		return false;
	}
	return true;
}

/* One read; false if the connection ended. */
static bool
dir_in(struct dir *d, bool *moved, size_t *budget)
{
	struct conn *c = d->conn;
	struct end *src = &c->end[d->side];
	bool direct = plain(d);
	bool away = d->discard || (d->blocked && d->mode != NETCTL_MODE_HOLD);
	size_t cap = direct || away ? LINK_READ_MAX : room(d);
	unsigned char *data;
	ssize_t r;
	int rc = 0;

	if (!src->readable || d->closed_in || src->fd == -1 || cap == 0 ||
	    !src->connected)
		return true;
	r = end_read(src, c->net->buf, cap, &data);
	if (r == -1 && (errno == EAGAIN || errno == EINTR)) {
		src->readable = errno == EINTR;
		return true;
	}
	if (r == -1) {
		end_died(c, d->side);
		return !c->gone;
	}
	*moved = true;
	if (r == 0) {
		rc = ingest_end(d);
	} else {
		*budget -= (size_t)r < *budget ? (size_t)r : *budget;
		d->in += (size_t)r;
		if (direct)
			return straight(d, data, (size_t)r);
		if (d->discard)
			d->link->dropped += (size_t)r;
		else
			rc = ingest(d, data, (size_t)r);
	}
	if (rc == -1) {
		(void)conn_reset(c);
		return false;
	}
	return true;
}

void
dir_pump(struct dir *d)
{
	size_t budget = LINK_TURN_MAX;
	bool moved = true;

	if (d->conn->gone)
		return;
	while (moved) {
		moved = false;
		if (!dir_out(d, &moved) || !dir_in(d, &moved, &budget))
			return;
		if (moved && budget == 0) {
			dir_run_later(d);
			return;
		}
	}
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
