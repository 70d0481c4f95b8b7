/*
 * qpush_atomic: all of standard input, or nothing.
 *
 * What fits into one batch is pushed as one.  More is kept in a file without a
 * name, batch by batch, until the input has ended well: only then are other
 * producers kept waiting, for as long as it takes to copy it.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "fsdur.h"
#include "qpush.h"

struct spool_head {
	size_t len;
	uint32_t count, flags;
	uint64_t payload_bytes;
};

struct spool {
	int fd;				/* or -1 */
	off_t end;
	uint64_t batches, count;
	struct queue_batch last;	/* not in the file */
	bool whole;			/* must be one batch */
};

static int
spool_open(struct spool *sp, struct failure *f)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/qpush.XXXXXX", dir == NULL ||
	    *dir == '\0' ? "/var/tmp" : dir) >= (int)sizeof(path))
		return fail_errno(f, "TMPDIR", ENAMETOOLONG);
	if ((sp->fd = mkostemp(path, O_CLOEXEC)) == -1)
		return fail_errno(f, path, errno);
	(void)unlink(path);
	return 0;
}

static int
spool_write(struct spool *sp, const void *data, size_t len,
    struct failure *f)
{
	if (fsdur_pwrite_all(sp->fd, data, len, sp->end) == -1)
		return fail_errno(f, "temporary file", errno);
	sp->end += (off_t)len;
	return 0;
}

/* Put the last batch into the file. */
static int
spool_flush(struct spool *sp, struct failure *f)
{
	struct queue_batch *b = &sp->last;
	struct spool_head head = { .len = b->len, .count = b->count,
	    .flags = b->flags, .payload_bytes = b->payload_bytes };

	if (sp->fd == -1 && spool_open(sp, f) == -1)
		return -1;
	if (spool_write(sp, &head, sizeof(head), f) == -1 ||
	    spool_write(sp, b->data, b->len, f) == -1)
		return -1;
	sp->batches++;
	queue_batch_clear(b);
	return 0;
}

static int
spool_read(const struct spool *sp, off_t *at, struct queue_batch *b,
    struct failure *f)
{
	struct spool_head head;
	unsigned char *p;

	if (fsdur_pread_all(sp->fd, &head, sizeof(head), *at) !=
	    (ssize_t)sizeof(head))
		return fail_errno(f, "temporary file", EIO);
	if (head.len > b->cap) {
		if ((p = realloc(b->data, head.len)) == NULL)
			return fail_errno(f, "batch", errno);
		b->data = p;
		b->cap = head.len;
	}
	if (fsdur_pread_all(sp->fd, b->data, head.len,
	    *at + (off_t)sizeof(head)) != (ssize_t)head.len)
		return fail_errno(f, "temporary file", EIO);
	b->len = head.len;
	b->count = head.count;
	b->flags = head.flags;
	b->payload_bytes = head.payload_bytes;
	*at += (off_t)(sizeof(head) + head.len);
	return 0;
}

/* Read all of the input into the spool. */
static int
collect(struct spool *sp, const struct store *s, struct source *src,
    struct maker *m, struct failure *f)
{
	uint64_t max = s->limits.max_messages,
	    max_bytes = s->limits.max_bytes;
	struct frame_record rec;
	int rc;

	do {
		if (source_fill(src, f) == -1)
			return -1;
		m->now_ns = wall_now_ns();
		while ((rc = source_next(src, m, &rec, f)) == 1) {
			if (max != 0 && m->records == max)
				return fail(f, EX_DATAERR, "%s: more than "
				    "max-messages (%" PRIu64 ")", s->o->path,
				    max);
			if (sp->last.len >= BATCH_BYTES && !sp->whole &&
			    spool_flush(sp, f) == -1)
				return -1;
			if (maker_add(m, &sp->last, rec.data, rec.len,
			    f) == -1)
				return -1;
		}
		if (rc == -1)
			return -1;
		if (max_bytes != 0 && (uint64_t)sp->end + sp->last.len >
		    max_bytes)
			return fail(f, EX_DATAERR, "%s: more than max-bytes",
			    s->o->path);
		progress_show(0, src->bytes);
	} while (!src->eof);
	if (src->interrupted)
		return fail(f, EX_TEMPFAIL, "interrupted");
	return 0;
}

/* Push everything: 1 no room, 0, -1. */
static int
push_all(struct spool *sp, struct store *s, struct queue_batch *b,
    struct queue_pushed *pushed, struct failure *f)
{
	uint64_t first = 0;
	off_t at = 0;
	int rc;

	for (uint64_t i = 0; i < sp->batches; i++) {
		if (spool_read(sp, &at, b, f) == -1)
			return -1;
		rc = store_push(s, b, QUEUE_PUSH_MORE, i == 0, pushed, f);
		if (rc != 0)
			return rc;
		if (i == 0)
			first = pushed->seq;
	}
	rc = store_push(s, &sp->last, 0, false, pushed, f);
	pushed->seq = first;
	return rc;
}

static int
store_spool(struct spool *sp, struct store *s, struct failure *f)
{
	struct queue_pushed pushed;
	struct queue_batch b;
	int rc = 0;

	queue_batch_init(&b);
	s->need = sp->count;
	do {
		rc = push_all(sp, s, &b, &pushed, f);
		if (rc != 0)
			queue_push_abandon(s->q);
		if (rc == 1 && store_wait(s, f) == -1)
			rc = -1;
	} while (rc == 1);
	if (rc == 0)
		rc = store_commit(s, &pushed, sp->count, f);
	queue_batch_release(&b);
	return rc;
}

int
atomic_run(struct store *s, int fd, struct failure *f)
{
	const struct options *o = s->o;
	struct maker m = { .o = o, .max_message = s->limits.max_message };
	struct spool sp = { .fd = -1 };
	struct source src;
	int rc;

	/* Who must look at every message does so in one batch only. */
	sp.whole = may_have_ids(o) || s->limits.max_per_key != 0;
	queue_batch_init(&sp.last);
	if (source_init(&src, fd, &o->how, maker_record_max(&m), f) == -1)
		return -1;
	rc = collect(&sp, s, &src, &m, f);
	sp.count = m.records;
	source_release(&src);
	if (rc == 0 && sp.count > 0)
		rc = sp.batches > 0 ? store_spool(&sp, s, f) :
		    store_whole(s, &sp.last, f);
	queue_batch_release(&sp.last);
	msgjson_release(&m.json);
	if (sp.fd != -1)
		(void)close(sp.fd);
	return rc;
}
