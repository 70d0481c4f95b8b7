/*
 * qpush_input: records of standard input, read and framed while the last
 * batch is being stored.
 *
 * The thread holds the batch while it adds (BUSY) and lets go of it while it
 * waits (PARKED): in read(2), so that a lone message goes on its way at once,
 * or because the batch is full.  A file is so read in pieces of one batch, and
 * from a pipe comes what has gathered meanwhile.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "qpush.h"

#define PIPE_BYTES	(1 << 20)

/* --- a stream ------------------------------------------------------------------ */

int
source_init(struct source *s, int fd, const struct frame *how,
    size_t record_max, struct failure *f)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->cap = BATCH_BYTES;
	if ((s->data = malloc(s->cap)) == NULL)
		return fail_errno(f, "input", errno);
	frame_reader_init(&s->frames, how, record_max);
	/* Only fails where it is no pipe, or the user has too many of them. */
	(void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

void
source_release(struct source *s)
{
	free(s->data);
	s->data = NULL;
}

/* Room for more: what was used goes, or the record grows. */
static int
source_room(struct source *s, struct failure *f)
{
	size_t cap = s->cap;
	unsigned char *p;

	if (s->from > 0) {
		memmove(s->data, s->data + s->from, s->to - s->from);
		s->to -= s->from;
		s->from = 0;
	}
	if (s->to < s->cap)
		return 0;
	if (__builtin_mul_overflow(cap, 2, &cap) ||
	    (p = realloc(s->data, cap)) == NULL)
		return fail_errno(f, "input", ENOMEM);
	s->data = p;
	s->cap = cap;
	return 0;
}

int
source_fill(struct source *s, struct failure *f)
{
	struct pollfd fds[2] = {
		{ .fd = s->fd, .events = POLLIN },
		{ .fd = qpush_wake_fd(), .events = POLLIN },
	};
	ssize_t n;

	if (source_room(s, f) == -1)
		return -1;
	if (poll(fds, 2, -1) == -1) {
		if (errno == EINTR)
			return 0;
		return fail_errno(f, "poll", errno);
	}
	if (fds[1].revents != 0) {
		s->eof = s->interrupted = true;
		return 0;
	}
	n = read(s->fd, s->data + s->to, s->cap - s->to);
	if (n == -1) {
		if (errno == EINTR || errno == EAGAIN)
			return 0;
		return fail(f, EX_IOERR, "standard input: %s",
		    strerror(errno));
	}
	if (n == 0)
		s->eof = true;
	s->to += (size_t)n;
	s->bytes += (uint64_t)n;
	return 0;
}

int
source_next(struct source *s, const struct maker *m,
    struct frame_record *rec, struct failure *f)
{
	int rc;

	rc = frame_next(&s->frames, s->data + s->from, s->to - s->from,
	    s->eof && !s->interrupted, rec);
	if (rc == 1) {
		s->from += rec->used;
		return 1;
	}
	if (rc == 0)
		return 0;
	if (errno == EMSGSIZE)
		return fail(f, EX_DATAERR, "record %" PRIu64 ": longer than "
		    "max-message allows", m->records + 1);
	return fail(f, EX_DATAERR, "record %" PRIu64 ": the input ends in the "
	    "middle of it", m->records + 1);
}

/* --- the thread ------------------------------------------------------------------ */

/* Let the batch be taken; wait until it was when it is full. */
static bool
park(struct input *in, bool full)
{
	bool stop;

	pthread_mutex_lock(&in->lock);
	in->state = INPUT_PARKED;
	pthread_cond_broadcast(&in->changed);
	while (full && in->batch.count > 0 && !in->stop)
		pthread_cond_wait(&in->changed, &in->lock);
	stop = in->stop;
	pthread_mutex_unlock(&in->lock);
	return !stop;
}

/* Have the batch again. */
static void
unpark(struct input *in)
{
	pthread_mutex_lock(&in->lock);
	in->state = INPUT_BUSY;
	pthread_mutex_unlock(&in->lock);
	in->maker.max_message = in->max_message;
	in->maker.now_ns = wall_now_ns();
	in->source.frames.max = maker_record_max(&in->maker);
}

/* Add all records that are there: 0, 1 stopped, -1. */
static int
add_records(struct input *in)
{
	struct source *s = &in->source;
	struct frame_record rec;
	int rc;

	while ((rc = source_next(s, &in->maker, &rec, &in->failure)) == 1) {
		if (maker_add(&in->maker, &in->batch, rec.data, rec.len,
		    &in->failure) == -1)
			return -1;
		if (in->batch.len < BATCH_BYTES)
			continue;
		if (!park(in, true))
			return 1;
		unpark(in);
	}
	return rc;
}

static void *
input_main(void *arg)
{
	struct input *in = arg;
	int rc;

	do {
		if (!park(in, false))
			break;
		rc = source_fill(&in->source, &in->failure);
		unpark(in);
		if (rc == 0)
			rc = add_records(in);
	} while (rc == 0 && !in->source.eof);

	pthread_mutex_lock(&in->lock);
	in->state = INPUT_ENDED;
	pthread_cond_broadcast(&in->changed);
	pthread_mutex_unlock(&in->lock);
	return NULL;
}

int
input_start(struct input *in, const struct options *o, int fd,
    uint64_t max_message, struct failure *f)
{
	sigset_t all, old;
	int rc;

	memset(in, 0, sizeof(*in));
	in->maker = (struct maker){ .o = o, .max_message = max_message };
	in->max_message = max_message;
	if (source_init(&in->source, fd, &o->how,
	    maker_record_max(&in->maker), f) == -1)
		return -1;
	queue_batch_init(&in->batch);
	pthread_mutex_init(&in->lock, NULL);
	pthread_cond_init(&in->changed, NULL);
	in->state = INPUT_BUSY;
	/* Signals are for the thread that holds locks off against them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&in->thread, NULL, input_main, in);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		source_release(&in->source);
		return fail_errno(f, "thread", rc);
	}
	return 0;
}

int
input_take(struct input *in, struct queue_batch *b)
{
	struct queue_batch empty = *b;
	int got = 0;

	pthread_mutex_lock(&in->lock);
	while (in->state == INPUT_BUSY ||
	    (in->state == INPUT_PARKED && in->batch.count == 0))
		pthread_cond_wait(&in->changed, &in->lock);
	if (in->batch.count > 0) {
		*b = in->batch;
		in->batch = empty;
		pthread_cond_broadcast(&in->changed);
		got = 1;
	}
	pthread_mutex_unlock(&in->lock);
	return got;
}

void
input_stop(struct input *in)
{
	pthread_mutex_lock(&in->lock);
	in->stop = true;
	pthread_cond_broadcast(&in->changed);
	pthread_mutex_unlock(&in->lock);
	qpush_wake();
	pthread_join(in->thread, NULL);
	source_release(&in->source);
	queue_batch_release(&in->batch);
	msgjson_release(&in->maker.json);
	pthread_mutex_destroy(&in->lock);
	pthread_cond_destroy(&in->changed);
}
