/*
 * qpop_stream: hand messages to the standard output.
 *
 * A claim's worth of messages is put together in one buffer, given to write(2)
 * and acknowledged as far as write(2) took it; a regular file is synced first.
 * What a reader that went away has not taken goes back to the queue.  How much
 * is claimed at once follows the reader: no more than it takes in a few
 * hundredths of a second, so that a slow one leaves the rest to others.
 *
 * Signals interrupt write(2) and the wait.  One that comes just before such a
 * call would be seen only after it, so the handler sets an alarm that comes
 * again until it is noticed.
 */

#include <sys/epoll.h>
#include <sys/stat.h>

#include <endian.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"
#include "qpop.h"

#define CLAIM_MIN	(4U << 10)	/* bytes claimed at once */
#define CLAIM_FIRST	(64U << 10)
#define CLAIM_MAX	(1U << 20)
#define CLAIM_MAX_FILE	(4U << 20)	/* one sync pays for it */
#define CLAIM_MESSAGES	65536U
#define DIRECT_MIN	(256U << 10)	/* a payload that is not copied */
#define QUICK_NS	(5 * NUM_NS_PER_MS)
#define SLOW_NS		(50 * NUM_NS_PER_MS)
#define SYNC_NS		NUM_NS_PER_S

struct stream {
	struct queue *q;
	const struct options *o;
	struct form form;
	uint64_t left;			/* messages still wanted */
	uint64_t taken;
	uint32_t chunk, chunk_max;	/* bytes to claim */
	bool to_file;			/* the output is a regular file */
	int watch;			/* readable once the reader is gone; -1 */
	bool was_ignored;		/* SIGPIPE, when we were started */
	bool gone;			/* the reader */
	bool drained;			/* closed, and nothing will come */
	int status;			/* what ended it; 0: nothing yet */
	struct mono sync_at;		/* acknowledgements wait for a sync */
	struct mono deadline;		/* of -W */
	/* the claim in hand */
	struct buf out;
	uint64_t start;			/* where out begins among its bytes */
	uint64_t written;
	uint64_t *ends;			/* of each message, in its bytes */
	uint64_t *seqs;			/* their numbers; with leases */
	size_t cnt, cap;
};

static volatile sig_atomic_t caught, caught_cnt;

static void
on_signal(int sig)
{
	if (sig != SIGALRM) {
		caught = sig;
		caught_cnt++;
	}
	(void)alarm(1);
}

static void
take_signals(struct stream *s)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal }, old;

	for (size_t i = 0; i < sizeof(sigs) / sizeof(*sigs); i++)
		if (sigaction(sigs[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			(void)sigaction(sigs[i], &sa, NULL);
	(void)sigaction(SIGALRM, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &sa, &old);
	s->was_ignored = old.sa_handler == SIG_IGN;
}

/* Become readable when the output's other end is closed. */
static int
watch_reader(void)
{
	struct epoll_event ev = { 0 };	/* HUP and ERR are always told */
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd != -1 && epoll_ctl(fd, EPOLL_CTL_ADD, STDOUT_FILENO,
	    &ev) == -1) {
		(void)close(fd);	/* a file, /dev/null: nobody can leave */
		fd = -1;
	}
	return fd;
}

/* --- writing ---------------------------------------------------------------- */

/* How many of the messages have been taken as a whole. */
static size_t
complete(const struct stream *s)
{
	size_t low = 0, high = s->cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ends[mid] <= s->written)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Once asked to stop: a message half out is finished, no other begun. */
static size_t
allowed(const struct stream *s, size_t len)
{
	size_t done;
	uint64_t end;

	if (caught_cnt == 0)
		return len;
	done = complete(s);
	if (caught_cnt > 1 || done == s->cnt ||
	    s->written == (done == 0 ? 0 : s->ends[done - 1]))
		return 0;
	end = s->ends[done] - s->written;
	return end < len ? (size_t)end : len;
}

/* 0, or -1 with the errno of write(2), EINTR when asked to stop. */
static int
write_some(struct stream *s, const unsigned char *data, size_t len)
{
	while (len > 0) {
		size_t may = allowed(s, len);
		ssize_t n;

		if (may == 0) {
			errno = EINTR;
			return -1;
		}
		n = write(STDOUT_FILENO, data, may);
		if (n == -1 && errno == EAGAIN) {
			/* Not our doing: the descriptor is shared. */
			struct pollfd p = { .fd = STDOUT_FILENO,
			    .events = POLLOUT };

			(void)poll(&p, 1, -1);
			continue;
		}
		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
			s->written += (uint64_t)n;
		}
	}
	return 0;
}

static int
flush(struct stream *s)
{
	int rc = write_some(s, s->out.data, s->out.len);

	s->start += s->out.len;
	s->out.len = 0;
	return rc;
}

static int
note_end(struct stream *s, uint64_t seq, uint64_t end)
{
	uint64_t *ends, *seqs;
	size_t cap = s->cap == 0 ? 1024 : 2 * s->cap;

	if (s->cnt == s->cap) {
		if ((ends = reallocarray(s->ends, cap, sizeof(*ends))) == NULL)
			return -1;
		s->ends = ends;
		if ((seqs = reallocarray(s->seqs, cap, sizeof(*seqs))) == NULL)
			return -1;
		s->seqs = seqs;
		s->cap = cap;
	}
	s->seqs[s->cnt] = seq;
	s->ends[s->cnt++] = end;
	return 0;
}

/* A large payload goes out from where it lies. */
static int
direct(struct stream *s, const struct queue_message *m)
{
	const struct frame *f = &s->o->frame;
	uint32_t head;

	if (f->kind == FRAME_LENGTH) {
		head = htobe32((uint32_t)m->payload_len);
		if (buf_put(&s->out, &head, sizeof(head)) == -1)
			return -1;
	}
	if (note_end(s, m->seq, s->start + s->out.len + m->payload_len +
	    (f->kind == FRAME_DELIM)) == -1 || flush(s) == -1)
		return -1;
	if (write_some(s, m->payload, m->payload_len) == -1)
		return -1;
	s->start += m->payload_len;
	if (f->kind == FRAME_DELIM &&
	    buf_put_byte(&s->out, f->delim) == -1)
		return -1;
	return 0;
}

static int
put(struct stream *s, const struct queue_claim *c,
    const struct queue_message *m)
{
	if (m->payload_len >= DIRECT_MIN && !s->o->json &&
	    s->o->format == NULL && s->o->lease_ns == 0)
		return direct(s, m);
	if (form_put(&s->form, &s->out, c, m) == -1 ||
	    note_end(s, m->seq, s->start + s->out.len) == -1)
		return -1;
	/* A format may print a payload more than once. */
	return s->out.len > 2 * (size_t)CLAIM_MAX_FILE ? flush(s) : 0;
}

/* --- a claim ---------------------------------------------------------------- */

static void
failed(struct stream *s, int status)
{
	if (s->status == 0)
		s->status = status;
}

/* What cannot be printed stays where it is, and qpop ends. */
static void
output_failed(struct stream *s)
{
	if (errno == EINTR)
		return;			/* by a signal: the loop sees it */
	if (errno == EPIPE) {
		s->gone = true;
		return;
	}
	warn("stdout");
	failed(s, errno == EMSGSIZE ? EX_DATAERR : errno == ENOMEM ?
	    EX_OSERR : EX_IOERR);
}

/* Give back what a lease was not printed of. */
static int
lease_back(struct stream *s, struct queue_claim *c, size_t done)
{
	struct queue_fate *fates;
	size_t cnt = s->cnt - done;
	int rc;

	if (cnt == 0)
		return 0;
	if ((fates = calloc(cnt, sizeof(*fates))) == NULL)
		return -1;
	for (size_t i = 0; i < cnt; i++)
		fates[i] = (struct queue_fate){ .seq = s->seqs[done + i],
		    .kind = QUEUE_BACK };
	rc = queue_settle_each(s->q, c, fates, cnt);
	free(fates);
	return rc;
}

static void
settle(struct stream *s, struct queue_claim *c)
{
	size_t done = complete(s);
	int rc;

	if (s->o->lease_ns > 0)
		rc = lease_back(s, c, done);
	else
		rc = queue_settle(s->q, c, s->cnt - done);
	if (rc == -1 && errno != ESTALE) {
		warn("%s: what was printed may come again", s->o->path);
		failed(s, exit_status(errno));
	}
	if (s->sync_at.ns == INT64_MAX)
		s->sync_at = mono_after(SYNC_NS);
	s->taken += done;
	if (s->left != UINT64_MAX)
		s->left -= done;
}

/* Claim less for a slow reader, more for a quick one. */
static void
adapt(struct stream *s, int64_t took_ns)
{
	if (took_ns < QUICK_NS && s->chunk < s->chunk_max)
		s->chunk *= 2;
	else if (took_ns > SLOW_NS && s->chunk > CLAIM_MIN && !s->to_file)
		s->chunk /= 2;
}

static void
deliver(struct stream *s, struct queue_claim *c)
{
	struct mono began = mono_now();
	struct queue_message m;
	int rc;

	s->cnt = s->out.len = 0;
	s->start = s->written = 0;
	while ((rc = queue_claim_next(s->q, c, &m)) == 1)
		if (put(s, c, &m) == -1)
			break;
	if (rc == -1) {
		warn("%s", s->o->path);
		failed(s, exit_status(errno));
	}
	if (rc == 1 || flush(s) == -1)
		output_failed(s);
	/* On a disk that is full or failing, nothing was printed. */
	if (s->to_file && s->written > 0 && fdatasync(STDOUT_FILENO) == -1) {
		warn("stdout");
		failed(s, EX_IOERR);
		s->written = 0;
	}
	adapt(s, mono_now().ns - began.ns);
	settle(s, c);
	queue_claim_release(c);
}

/* --- the loop --------------------------------------------------------------- */

static void
sync_acks(struct stream *s)
{
	s->sync_at = MONO_NEVER;
	if (queue_sync(s->q) == -1) {
		warn("%s: what was printed may come again after a crash",
		    s->o->path);
		failed(s, EX_IOERR);
	}
}

/* 1 wait for more, 0 there is nothing to wait for. */
static int
patient(struct stream *s)
{
	int rc;

	if (!s->o->follow)
		return s->o->wait_ns >= 0 && s->taken == 0 &&
		    !mono_passed(s->deadline);
	if (mono_passed(s->deadline))
		return 0;
	rc = qpop_drained(s->q, s->o);
	if (rc == -1) {
		warn("%s", s->o->path);
		failed(s, exit_status(errno));
	}
	s->drained = rc == 1;
	return rc == 0;
}

static void
rest(struct stream *s, int64_t again_ns)
{
	struct mono until = s->deadline;

	if (s->sync_at.ns < until.ns)
		until = s->sync_at;
	if (queue_wait(s->q, again_ns, s->watch, until) == 0 ||
	    errno == EINTR || errno == ETIMEDOUT)
		return;
	if (errno == EPIPE) {
		s->gone = true;
		return;
	}
	warn("%s", s->o->path);
	failed(s, exit_status(errno));
}

/* -m: little in hand, for that is what a crash would lose. */
static void
loop(struct stream *s)
{
	struct queue_take how = { .part = s->o->part, .parts = s->o->parts,
	    .single = s->o->lease_ns > 0, .at_most_once = s->o->once,
	    .lease_ns = s->o->lease_ns };
	struct queue_claim c;
	int64_t again_ns = 0;
	bool armed = false;
	int rc;

	while (s->left > 0 && s->status == 0 && !s->gone && caught == 0) {
		if (mono_passed(s->sync_at))
			sync_acks(s);
		how.max_bytes = s->o->once && s->chunk > CLAIM_FIRST ?
		    CLAIM_FIRST : s->chunk;
		how.max_messages = s->left < CLAIM_MESSAGES ? s->left :
		    CLAIM_MESSAGES;
		rc = qpop_take(s->q, s->o, &how, s->deadline, &c, &again_ns);
		if (rc == -1) {
			warn("%s", s->o->path);
			failed(s, exit_status(errno));
		} else if (rc == 1) {
			deliver(s, &c);
			s->deadline = mono_after(s->o->wait_ns);
			armed = false;
		} else if (!patient(s)) {
			break;
		} else if (!armed) {
			armed = true;
			if (queue_arm(s->q) == -1) {
				warn("%s", s->o->path);
				failed(s, exit_status(errno));
			}
		} else {
			rest(s, again_ns);
			armed = false;
		}
	}
}

static int
verdict(struct stream *s)
{
	if (s->status != 0)
		return s->status;
	if (caught != 0 && !(caught == SIGTERM && s->o->follow))
		qpop_die((int)caught);
	if (s->gone) {
		if (!s->was_ignored)
			qpop_die(SIGPIPE);
		warnx("stdout: the reader is gone");
		return EX_IOERR;
	}
	return s->taken > 0 || s->drained || caught != 0 ? EX_OK : EX_NO;
}

int
stream_main(struct queue *q, const struct options *o)
{
	struct stream s = { .q = q, .o = o, .left = o->count, .watch = -1,
	    .chunk = CLAIM_FIRST, .chunk_max = CLAIM_MAX,
	    .sync_at = MONO_NEVER, .deadline = mono_after(o->wait_ns) };
	struct stat st;
	const char *why;

	if (form_init(&s.form, o, q, &why) == -1)
		errx(EX_USAGE, "-o %s: %s", o->format, why);
	take_signals(&s);
	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode)) {
		s.to_file = true;
		s.chunk = s.chunk_max = CLAIM_MAX_FILE;
	} else {
		s.watch = watch_reader();
	}
	loop(&s);
	if (s.sync_at.ns != INT64_MAX)
		sync_acks(&s);
	if (s.watch != -1)
		(void)close(s.watch);
	form_release(&s.form);
	buf_release(&s.out);
	free(s.ends);
	free(s.seqs);
	return verdict(&s);
}
