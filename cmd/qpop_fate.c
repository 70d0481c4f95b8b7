/*
 * qpop_fate: what the end of a command means for its messages.
 *
 *	0		acknowledged
 *	75, 111		again later, the try does not count
 *	65, 100		dead at once
 *	126, 127, 255	put back, the try does not count; qpop stops
 *	anything else	again later, or dead after the last try
 *
 * A batch whose command did not exit with 0 may have said the status of single
 * records on descriptor 3, as lines "record status".
 */

#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "fsdur.h"
#include "num.h"
#include "qpop_run.h"

#define STATUS_LATER	111		/* qmail's 75 */
#define STATUS_HARD	100		/* qmail's 65 */
#define STATUS_STOP	255		/* xargs's */
#define BACKOFF_MAX	(600 * NUM_NS_PER_S)
#define LINES_MAX	(4U << 20)	/* bytes read from descriptor 3 */
#define LINE_MAX_LEN	40U
#define FAILURES_MAX	65536U		/* that a later try may mend */

/* A status as struct queue_fate has it: exit status, or -signal. */
static int
status_of(const struct slot *s)
{
	return WIFSIGNALED(s->status) ? -WTERMSIG(s->status) :
	    WEXITSTATUS(s->status);
}

int64_t
fate_backoff_ns(int64_t base_ns, uint32_t attempt)
{
	int64_t ns = base_ns < BACKOFF_MAX ? base_ns : BACKOFF_MAX;

	for (uint32_t k = 1; k < attempt && ns > 0 && ns < BACKOFF_MAX; k++)
		ns = ns < BACKOFF_MAX / 2 ? ns * 2 : BACKOFF_MAX;
	/* Milliseconds are fine enough for chance. */
	return ns / 2 + ns / 2 / 1000 * arc4random_uniform(1001);
}

/* --- descriptor 3 ------------------------------------------------------------ */

/* "record status": 0, or -1. */
static int
read_line(const char *line, size_t len, size_t cnt, int *statuses)
{
	char text[LINE_MAX_LEN], *space;
	uint64_t record, status;

	if (len >= sizeof(text) || memchr(line, '\0', len) != NULL)
		return -1;
	memcpy(text, line, len);
	text[len] = '\0';
	if ((space = strchr(text, ' ')) == NULL)
		return -1;
	*space = '\0';
	if (num_u64(text, 1, cnt, &record) == -1 ||
	    num_u64(space + 1, 0, STATUS_STOP, &status) == -1)
		return -1;
	statuses[record - 1] = (int)status;
	return 0;
}

/* What was said of single records; what was not said stays as it is. */
static int
read_statuses(const struct run *r, const struct slot *s, int *statuses)
{
	struct stat st;
	char *text, *p, *end, *nl;
	size_t len;
	ssize_t n;

	if (fstat(s->fate_fd, &st) == -1 || st.st_size == 0)
		return 0;
	len = st.st_size < LINES_MAX ? (size_t)st.st_size : LINES_MAX;
	if ((text = malloc(len)) == NULL)
		return -1;
	n = fsdur_pread_all(s->fate_fd, text, len, 0);
	for (p = text, end = text + (n > 0 ? n : 0); p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL)
			break;		/* who knows how it would have ended */
		if (read_line(p, (size_t)(nl - p), s->cnt, statuses) == -1 &&
		    !r->o->quiet)
			warnx("descriptor 3: not \"record status\": %.*s",
			    nl - p < 40 ? (int)(nl - p) : 40, p);
	}
	free(text);
	return 0;
}

/* --- what has failed so far ----------------------------------------------------- */

static int
compare_seq(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
forget_failure(struct run *r, uint64_t seq)
{
	uint64_t **node = tfind(&seq, &r->failures, compare_seq), *found;

	if (node == NULL)
		return;
	found = *node;
	(void)tdelete(&seq, &r->failures, compare_seq);
	free(found);
	r->failures_cnt--;
}

/* It came to nothing, so far; a later try may mend that. */
static void
note_failure(struct run *r, uint64_t seq)
{
	uint64_t *key, **node;

	if (tfind(&seq, &r->failures, compare_seq) != NULL)
		return;
	key = malloc(sizeof(*key));
	node = NULL;
	if (key != NULL && r->failures_cnt < FAILURES_MAX) {
		*key = seq;
		node = tsearch(key, &r->failures, compare_seq);
	}
	if (node == NULL) {
		free(key);
		r->failed = true;	/* for good */
		return;
	}
	r->failures_cnt++;
}

void
fate_release(struct run *r)
{
	tdestroy(r->failures, free);
	r->failures = NULL;
}

static void
count(struct run *r, const struct queue_fate *f)
{
	if (f->kind == QUEUE_DIE || (f->kind == QUEUE_ACK && f->status != 0))
		r->failed = true;
	if (f->kind == QUEUE_DIE || f->kind == QUEUE_ACK)
		forget_failure(r, f->seq);
	else
		note_failure(r, f->seq);
}

/* --- one message -------------------------------------------------------------- */

static const char *
describe(int status, char *buf, size_t len)
{
	if (status < 0)
		(void)snprintf(buf, len, "killed by SIG%s",
		    sigabbrev_np(-status) == NULL ? "?" :
		    sigabbrev_np(-status));
	else
		(void)snprintf(buf, len, "exit status %d", status);
	return buf;
}

static void
tell(const struct run *r, const struct queue_fate *f, const struct taken *t)
{
	char what[40], delay[32];

	(void)describe(f->status, what, sizeof(what));
	if (f->kind == QUEUE_DIE && !r->o->quiet)
		warnx("message %" PRIu64 ": %s in try %" PRIu32 ": dead (%s)",
		    f->seq, what, t->attempt, f->reason);
	else if (f->kind == QUEUE_BACK && r->o->verbose)
		warnx("message %" PRIu64 ": %s: put back", f->seq, what);
	else if (f->kind != QUEUE_ACK && r->o->verbose)
		warnx("message %" PRIu64 ": %s in try %" PRIu32
		    ": again in %s", f->seq, what, t->attempt,
		    num_format_duration(f->due_ns - wall_now_ns(), delay,
		    sizeof(delay)));
}

static void
later(const struct run *r, const struct taken *t, struct queue_fate *f)
{
	int64_t base = r->o->has_backoff ? r->o->backoff_ns :
	    r->limits.backoff_ns;

	f->due_ns = wall_now_ns() + fate_backoff_ns(base, t->attempt);
}

static void
counted(const struct run *r, const struct slot *s, const struct taken *t,
    struct queue_fate *f)
{
	uint64_t tries = r->o->has_tries ? r->o->tries : r->limits.tries;

	if (tries == 0 || t->attempt < tries) {
		f->kind = QUEUE_RETRY;
		later(r, t, f);
		return;
	}
	f->kind = QUEUE_DIE;
	f->reason = s->told ? "time limit" : "tries";
}

static void
decide(struct run *r, const struct slot *s, const struct taken *t,
    struct queue_fate *f)
{
	bool stop = f->status == EX_CANNOTRUN || f->status == EX_NOTFOUND ||
	    f->status == STATUS_STOP;

	if (stop && r->stop_status == 0)
		r->stop_status = f->status == STATUS_STOP ? EX_STOPPED :
		    f->status;
	if (f->status == 0 || r->o->once) {
		f->kind = QUEUE_ACK;
	} else if (stop || s->put_back || r->out_gone) {
		f->kind = QUEUE_BACK;
	} else if (f->status == EX_TEMPFAIL || f->status == STATUS_LATER) {
		f->kind = QUEUE_RETRY_UNCOUNTED;
		later(r, t, f);
	} else if (f->status == EX_DATAERR || f->status == STATUS_HARD) {
		f->kind = QUEUE_DIE;
		f->reason = "rejected";
	} else {
		counted(r, s, t, f);
	}
}

/* --- all of a command ----------------------------------------------------------- */

static void
settle(struct run *r, struct slot *s, const struct queue_fate *fates,
    size_t cnt)
{
	if (queue_settle_each(r->q, &s->claim, fates, cnt) == 0)
		return;
	if (errno == ESTALE) {
		if (!r->o->quiet)
			warnx("%s: message %" PRIu64 " was taken away from "
			    "its command", r->o->path, fates[0].seq);
		return;
	}
	if (r->status == 0)
		warn("%s: a message will come again", r->o->path);
	run_failed(r, exit_status(errno));
}

void
fate_settle(struct run *r, struct slot *s)
{
	struct queue_fate *fates = calloc(s->cnt, sizeof(*fates));
	int *statuses = calloc(s->cnt, sizeof(*statuses));
	unsigned char output[QUEUE_OUTPUT_MAX];
	size_t output_len = 0;
	bool tailed = false;

	if (fates == NULL || statuses == NULL)
		err(EX_OSERR, NULL);
	for (size_t i = 0; i < s->cnt; i++)
		statuses[i] = status_of(s);
	if (s->fate_fd != -1 && status_of(s) != 0 &&
	    read_statuses(r, s, statuses) == -1)
		err(EX_OSERR, NULL);
	/* A command that failed for want of our reader is not to blame. */
	if (status_of(s) != 0 && relay_gone())
		r->out_gone = true;
	queue_limits(r->q, &r->limits);
	for (size_t i = 0; i < s->cnt; i++) {
		struct queue_fate *f = &fates[i];

		f->seq = s->taken[i].seq;
		f->status = statuses[i];
		decide(r, s, &s->taken[i], f);
		if (f->kind == QUEUE_DIE) {
			if (!tailed)
				output_len = relay_tail(s, output);
			tailed = true;
			f->output = output;
			f->output_len = output_len;
		}
		count(r, f);
		tell(r, f, &s->taken[i]);
	}
	settle(r, s, fates, s->cnt);
	free(fates);
	free(statuses);
}

void
fate_put_back(struct run *r, struct slot *s, const struct taken *taken,
    size_t cnt)
{
	struct queue_fate *fates;

	if (cnt == 0)
		return;
	if ((fates = calloc(cnt, sizeof(*fates))) == NULL)
		err(EX_OSERR, NULL);
	for (size_t i = 0; i < cnt; i++)
		fates[i] = (struct queue_fate){ .seq = taken[i].seq,
		    .kind = QUEUE_BACK };
	settle(r, s, fates, cnt);
	free(fates);
}
