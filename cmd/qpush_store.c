/*
 * qpush_store: batches into the queue.  A batch that finds no room is cut: what
 * fits is stored, the rest waits.
 */

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "num.h"
#include "qpush.h"

/* Locks are waited for so long at least, whatever -W: see "slow". */
#define PATIENCE_NS	(2 * NUM_NS_PER_S)

static void
slow(void *arg, const char *what, pid_t pid)
{
	const struct options *o = arg;

	if (o->quiet)
		return;
	progress_clear();
	warnx("%s: process %jd holds %s; waiting", o->path, (intmax_t)pid,
	    what);
}

/* The queue's errors, in its own words. */
static int
fail_queue(const struct store *s, int errnum, struct failure *f)
{
	const char *path = s->o->path;

	switch (errnum) {
	case ENOENT:
		return fail(f, EX_NOINPUT, "%s: the queue was removed", path);
	case ENOTDIR:
	case EBADMSG:
		return fail(f, EX_DATAERR, "%s: not a queue", path);
	case EPROTONOSUPPORT:
		return fail(f, EX_CONFIG, "%s: made by a newer version", path);
	case EOPNOTSUPP:
		return fail(f, EX_CONFIG, "%s: network file systems keep no "
		    "promises", path);
	case ESHUTDOWN:
		return fail(f, EX_TEMPFAIL, "%s: the queue is closed", path);
	case EAGAIN:
		return fail(f, EX_TEMPFAIL, "%s: the queue is full", path);
	case EMSGSIZE:
		return fail(f, EX_DATAERR, "%s: more than the queue may ever "
		    "hold", path);
	case ETIMEDOUT:
		return fail(f, EX_TEMPFAIL, "%s: held by another process",
		    path);
	default:
		return fail_errno(f, path, errnum);
	}
}

static int
create(const char *path, struct failure *f)
{
	if (queue_create(path, NULL) == 0 || errno == EEXIST)
		return 0;
	if (errno == ENOENT || errno == ENOTDIR)
		return fail(f, EX_CANTCREAT, "%s: cannot create: %s", path,
		    strerror(errno));
	return fail_errno(f, path, errno);
}

int
store_open(struct store *s, const struct options *o, struct failure *f)
{
	*s = (struct store){ .o = o };
	/* Options are only read. */
	if (queue_open(&s->q, o->path, QUEUE_USE, slow, (void *)(uintptr_t)o)
	    == -1) {
		if (errno != ENOENT)
			return fail_queue(s, errno, f);
		if (create(o->path, f) == -1)
			return -1;
		if (queue_open(&s->q, o->path, QUEUE_USE, slow,
		    (void *)(uintptr_t)o) == -1)
			return fail_queue(s, errno, f);
	}
	queue_limits(s->q, &s->limits);
	return 0;
}

void
store_close(struct store *s)
{
	queue_close(s->q);
	free(s->seqs);
	*s = (struct store){ 0 };
}

/* Numbers follow each other, unless some may be those of originals. */
static int
make_seqs(struct store *s, size_t cnt, struct failure *f)
{
	uint64_t *p;

	if (!s->o->print_seq || !may_have_ids(s->o) || cnt <= s->seqs_cap)
		return 0;
	if ((p = reallocarray(s->seqs, cnt, sizeof(*p))) == NULL)
		return fail_errno(f, "numbers", errno);
	s->seqs = p;
	s->seqs_cap = cnt;
	return 0;
}

static void
say_waiting(struct store *s, bool on)
{
	if (s->waiting == on)
		return;
	s->waiting = on;
	queue_waiting(s->q, on);
	s->deadline = on ? mono_after(s->o->wait_ns) : MONO_NEVER;
}

/* Push, if there is room for all that is going to follow. */
static int
try_push(struct store *s, struct queue_batch *b, int flags, bool first,
    struct queue_pushed *pushed)
{
	if (first && s->need > 0 && queue_room(s->q) < s->need) {
		errno = EAGAIN;
		return -1;
	}
	return queue_push(s->q, b, flags, pushed, s->seqs);
}

/* Is it worth waiting, or trying with fewer messages? */
static bool
no_room(const struct store *s, const struct queue_batch *b, bool first,
    int errnum)
{
	if (errnum == EAGAIN)
		return true;
	/*
	 * More than the limits allow can be stored in parts; an atomic push
	 * that began may have lost its room to another producer.
	 */
	return errnum == EMSGSIZE && (s->o->atomic ? !first : b->count > 1);
}

int
store_push(struct store *s, struct queue_batch *b, int flags, bool first,
    struct queue_pushed *pushed, struct failure *f)
{
	int64_t wait_ns = s->o->wait_ns;

	if (s->o->nosync)
		flags |= QUEUE_PUSH_NOSYNC;
	if (wait_ns >= 0)
		queue_patience(s->q, mono_after(wait_ns > PATIENCE_NS ?
		    wait_ns : PATIENCE_NS));
	for (;;) {
		/* Then looked: room that appears later ends store_wait(). */
		if (s->waiting && queue_arm(s->q) == -1)
			return fail_queue(s, errno, f);
		if (try_push(s, b, flags, first, pushed) == 0)
			return 0;
		if (!no_room(s, b, first, errno))
			return fail_queue(s, errno, f);
		if (s->waiting)
			return 1;
		say_waiting(s, true);
	}
}

int
store_wait(struct store *s, struct failure *f)
{
	if (qpush_signal() != 0)
		return fail_queue(s, EAGAIN, f);
	if (queue_wait(s->q, 0, -1, s->deadline) == 0)
		return 0;
	if (errno == EINTR)
		return 0;		/* looked at above */
	return fail_queue(s, errno == ETIMEDOUT ? EAGAIN : errno, f);
}

int
store_commit(struct store *s, const struct queue_pushed *pushed,
    uint64_t count, struct failure *f)
{
	say_waiting(s, false);
	if (!s->o->nosync && queue_push_commit(s->q, pushed) == -1)
		return fail_queue(s, errno, f);
	s->stored += count;
	if (!s->o->print_seq)
		return 0;
	progress_clear();
	for (uint64_t i = 0; i < count; i++)
		printf("%" PRIu64 "\n", s->seqs == NULL ? pushed->seq + i :
		    s->seqs[i]);
	if (fflush(stdout) == EOF)
		return fail(f, EX_IOERR, "standard output: %s",
		    strerror(errno));
	return 0;
}

/*
 * Of so many messages that found no room, how many to try instead; 0: wait.
 * Room for messages is known; in bytes, or of a key, it is found by halving.
 */
static uint32_t
fitting(struct store *s, uint32_t count)
{
	uint64_t room = queue_room(s->q);

	return room < count ? (uint32_t)room : count / 2;
}

/* Store the first count messages of b, and remove them: 1 no room, 0, -1. */
static int
store_some(struct store *s, struct queue_batch *b, uint32_t count,
    struct queue_batch *head, struct failure *f)
{
	struct queue_pushed pushed;
	struct queue_batch *all = count == b->count ? b : head;
	int rc;

	if (all == head && queue_batch_head(b, count, head) == -1)
		return fail_errno(f, "batch", errno);
	rc = store_push(s, all, 0, true, &pushed, f);
	if (rc == 0)
		rc = store_commit(s, &pushed, count, f);
	if (rc == 0)
		queue_batch_drop(b, count);
	return rc;
}

int
store_batch(struct store *s, struct queue_batch *b, struct failure *f)
{
	struct queue_batch head;
	uint32_t fits = b->count;
	int rc = 0;

	queue_batch_init(&head);
	if (make_seqs(s, b->count, f) == -1)
		return -1;
	while (b->count > 0) {
		rc = store_some(s, b, fits, &head, f);
		if (rc == 1) {
			fits = fitting(s, fits);
			if (fits > 0)
				continue;
			rc = store_wait(s, f);
		}
		if (rc == -1)
			break;
		fits = b->count;
	}
	say_waiting(s, false);
	queue_batch_release(&head);
	queue_limits(s->q, &s->limits);
	return rc;
}

int
store_whole(struct store *s, struct queue_batch *b, struct failure *f)
{
	struct queue_pushed pushed;
	uint32_t count = b->count;
	int rc;

	if (make_seqs(s, count, f) == -1)
		return -1;
	do {
		rc = store_push(s, b, 0, true, &pushed, f);
		if (rc == 1 && store_wait(s, f) == -1)
			rc = -1;
	} while (rc == 1);
	if (rc == 0)
		rc = store_commit(s, &pushed, count, f);
	say_waiting(s, false);
	return rc;
}
