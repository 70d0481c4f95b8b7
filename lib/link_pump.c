/*
 * link_pump: a direction that no fault hits copies from socket to socket
 * through one large buffer that all share; what the destination does not take
 * at once, and everything on a faulted link, goes through a queue of chunks.
 */

#include <errno.h>

#include "link_priv.h"
#include "num.h"

#define BULK_MIN	4096		/* a read this large leaves nothing */
#define SLICE_GAP_NS	(100 * NUM_NS_PER_US)
#define BURST_MIN	1500.0
#define BURST_SHARE	100		/* of a second's bytes */
#define QUANTUM_SHARE	200

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
	size_t cap = away ? LINK_READ_MAX : dir_room(d);
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
		d->closed_in = true;
		if (!d->discard)
			rc = dir_end(d, CHUNK_END);
	} else {
		*budget -= (size_t)r < *budget ? (size_t)r : *budget;
		d->in += (size_t)r;
		if (direct)
			return straight(d, data, (size_t)r);
		if (d->discard)
			d->link->dropped += (size_t)r;
		else
			rc = dir_ingest(d, data, (size_t)r);
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
