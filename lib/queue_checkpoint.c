/*
 * queue_checkpoint: the state entries of the index, written out.
 *
 * File state/A (A: the journal position it stands for, 16 hex digits): blocks
 * of u32 length, u32 zero, u64 hash chained from block to block, bytes; one of
 * length 0 ends it.  The bytes: magic, version, id, position, root, entries
 * (u16 key length, u32 value length, key, value).  The two newest are kept,
 * and the journal from the older one's position on: one damaged file costs
 * nothing.  It is made only when the sum over the entries agrees.
 */

#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "fsdur.h"
#include "queue_priv.h"

#define BLOCK		(64U << 10)
#define BLOCK_HEAD	16U
#define HEAD_SIZE	(8U + 8U + 16U + 8U + 8U * ROOT_WORDS)
#define KEPT		2U
#define DUE_BYTES	(UINT64_C(16) << 20)
#define LOAD_STEP	1000	/* entries a transaction */

static const unsigned char magic[8] = { 'd', 'q', 'c', 'h', 'e', 'c', 'k',
	'1' };

/* --- writing ---------------------------------------------------------------- */

struct out {
	struct queue *q;
	int fd;
	off_t off;
	uint64_t chain;
	struct buf buf;
	char tmp[40];
	uint64_t applied;
};

static int
flush(struct out *o)
{
	unsigned char head[BLOCK_HEAD];
	size_t len = o->buf.len;

	o->chain = hash64(o->buf.data, len, o->chain);
	le_put32(head, (uint32_t)len);
	le_put32(head + 4, 0);
	le_put64(head + 8, o->chain);
	if (fsdur_pwrite_all(o->fd, head, sizeof(head), o->off) == -1 ||
	    (len > 0 && fsdur_pwrite_all(o->fd, o->buf.data, len, o->off +
	    (off_t)sizeof(head)) == -1))
		return -1;
	o->off += (off_t)(sizeof(head) + len);
	o->buf.len = 0;
	return 0;
}

static int
put_entry(void *arg, const void *key, size_t key_len, const void *val,
    size_t val_len)
{
	struct out *o = arg;
	unsigned char head[6];

	le_put16(head, (uint16_t)key_len);
	le_put32(head + 2, (uint32_t)val_len);
	if (buf_put(&o->buf, head, sizeof(head)) == -1 ||
	    buf_put(&o->buf, key, key_len) == -1 ||
	    buf_put(&o->buf, val, val_len) == -1)
		return -1;
	return o->buf.len >= BLOCK ? flush(o) : 0;
}

static int
put_head(struct out *o)
{
	const struct root *r = &o->q->idx.root;
	unsigned char raw[HEAD_SIZE];
	uint64_t words[ROOT_WORDS];

	memcpy(raw, magic, 8);
	le_put64(raw + 8, 1);
	memcpy(raw + 16, o->q->id, 16);
	le_put64(raw + 32, o->applied);
	memcpy(words, r, sizeof(words));
	for (size_t i = 0; i < ROOT_WORDS; i++)
		le_put64(raw + 40 + 8 * i, words[i]);
	return buf_put(&o->buf, raw, sizeof(raw));
}

/*
 * A name nobody else has, in whatever PID namespace, and locked as long as it
 * is being written; under INDEX, so that forget_old does not come in between.
 */
static int
open_tmp(struct out *o)
{
	struct queue *q = o->q;
	uint64_t id;

	arc4random_buf(&id, sizeof(id));
	snprintf(o->tmp, sizeof(o->tmp), FSDUR_TMP_PREFIX "%016" PRIx64, id);
	o->fd = openat(q->state_fd, o->tmp, O_RDWR | O_CREAT | O_EXCL |
	    O_CLOEXEC, q->file_mode);
	if (o->fd == -1 || flock(o->fd, LOCK_EX | LOCK_NB) == -1)
		return -1;
	return wal_fix_mode(o->fd, q->file_mode, q->gid);
}

/* Half-made checkpoints of the dead. */
static void
sweep_tmp(struct queue *q)
{
	int dirfd = openat(q->state_fd, ".", O_RDONLY | O_DIRECTORY |
	    O_CLOEXEC), fd;
	DIR *dir = dirfd == -1 ? NULL : fdopendir(dirfd);
	struct dirent *e;

	if (dir == NULL) {
		if (dirfd != -1)
			close(dirfd);
		return;
	}
	while ((e = readdir(dir)) != NULL) {
		if (strncmp(e->d_name, FSDUR_TMP_PREFIX,
		    strlen(FSDUR_TMP_PREFIX)) != 0)
			continue;
		fd = openat(q->state_fd, e->d_name, O_RDONLY | O_CLOEXEC);
		if (fd == -1)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)unlinkat(q->state_fd, e->d_name, 0);
		close(fd);
	}
	closedir(dir);
}

static int
write_out(struct queue *q, void *arg)
{
	struct out *o = arg;

	if (o->fd == -1 && open_tmp(o) == -1)
		return -1;
	if (groups_save(q) == -1)
		return -1;
	/* A second try begins anew. */
	o->off = 0;
	o->chain = 0;
	o->buf.len = 0;
	o->applied = q->idx.root.applied;
	/* Segments may go once this is on disk, and ids with them. */
	if (ids_all(q) == -1 && errno != EIO)
		return -1;
	/* What nobody has pushed with an id need not be looked at again. */
	if (q->idx.root.ids_pos >= word_get(&q->ctl->ids_end) &&
	    q->idx.root.ids_pos < word_get(&q->log.words->durable))
		q->idx.root.ids_pos = word_get(&q->log.words->durable);
	if (put_head(o) == -1 || index_dump(q, put_entry, o) == -1 ||
	    (o->buf.len > 0 && flush(o) == -1) || flush(o) == -1)
		return -1;
	return 0;
}

/* Under INDEX: forget checkpoints and journal files nobody needs. */
static int
forget_old(struct queue *q, void *arg)
{
	uint64_t *points = NULL, *bases = NULL, oldest;
	size_t points_cnt = 0, bases_cnt = 0;
	char name[17];

	(void)arg;
	sweep_tmp(q);
	if (wal_list(q->state_fd, &points, &points_cnt) == -1)
		return -1;
	oldest = points_cnt < KEPT ? 0 : points[points_cnt - KEPT];
	for (size_t i = 0; points_cnt > KEPT && i < points_cnt - KEPT; i++) {
		wal_name(points[i], name);
		(void)unlinkat(q->state_fd, name, 0);
	}
	free(points);
	if (wal_list(q->journal_fd, &bases, &bases_cnt) == -1)
		return -1;
	for (size_t i = 0; i + 1 < bases_cnt && bases[i + 1] <= oldest; i++) {
		wal_name(bases[i], name);
		(void)unlinkat(q->journal_fd, name, 0);
	}
	free(bases);
	return 0;
}

int
checkpoint_make(struct queue *q)
{
	struct out o = { .q = q, .fd = -1 };
	char name[17];
	int r = -1, saved;

	if (index_run(q, write_out, &o) == -1 ||
	    fsdur_truncate(o.fd, o.off) == -1 ||
	    fsdur_sync(o.fd) == -1 || wal_commit_all(&q->journal) == -1)
		goto out;
	wal_name(o.applied, name);
	if (fsdur_rename(q->state_fd, o.tmp, name) == -1)
		goto out;
	word_put(&q->ctl->checkpointed, o.applied);
	word_put(&q->ctl->checkpoint_bytes, (uint64_t)o.off);
	r = index_run(q, forget_old, NULL);
out:
	saved = errno;
	if (r == -1 && o.fd != -1)
		(void)unlinkat(q->state_fd, o.tmp, 0);
	if (o.fd != -1)
		close(o.fd);
	buf_release(&o.buf);
	errno = saved;
	return r;
}

int
checkpoint_if_due(struct queue *q)
{
	uint64_t due = 4 * word_get(&q->ctl->checkpoint_bytes);
	uint64_t tail = word_get(&q->journal.words->tail);

	if (due < DUE_BYTES)
		due = DUE_BYTES;
	if (tail - word_get(&q->ctl->checkpointed) < due)
		return 0;
	return checkpoint_make(q);
}

/* --- loading ------------------------------------------------------------------- */

struct in {
	struct queue *q;
	int fd;
	off_t off;
	uint64_t chain;
	struct buf buf;		/* bytes not used yet */
	size_t at;
	bool ended;
};

static int
bad(void)
{
	errno = EBADMSG;
	return -1;
}

/* Have want bytes at in->buf.data + in->at. */
static int
need(struct in *in, size_t want)
{
	unsigned char head[BLOCK_HEAD];
	uint32_t len;

	if (in->at > 0) {
		buf_drop(&in->buf, in->at);
		in->at = 0;
	}
	while (in->buf.len < want && !in->ended) {
		if (fsdur_pread_all(in->fd, head, sizeof(head), in->off) !=
		    (ssize_t)sizeof(head))
			return bad();
		len = le_get32(head);
		if (len > 4 * BLOCK)
			return bad();
		if (buf_reserve(&in->buf, len + 1) == -1)
			return -1;
		if (fsdur_pread_all(in->fd, in->buf.data + in->buf.len, len,
		    in->off + (off_t)sizeof(head)) != (ssize_t)len)
			return bad();
		in->chain = hash64(in->buf.data + in->buf.len, len,
		    in->chain);
		if (in->chain != le_get64(head + 8) || le_get32(head + 4) != 0)
			return bad();
		in->buf.len += len;
		in->off += (off_t)(sizeof(head) + len);
		in->ended = len == 0;
	}
	return in->buf.len >= want ? 1 : 0;
}

/* Every block is right: only then does anything of it count. */
static int
check_all(struct in *in)
{
	int got;

	while ((got = need(in, 1)) == 1)
		in->at = in->buf.len;
	if (got == -1)
		return -1;
	in->off = 0;
	in->chain = 0;
	in->buf.len = in->at = 0;
	in->ended = false;
	return 0;
}

static int
load_head(struct in *in, uint64_t applied)
{
	struct root *r = &in->q->idx.root;
	uint64_t words[ROOT_WORDS], stamp = r->stamp;
	const unsigned char *p;

	if (need(in, HEAD_SIZE) != 1)
		return bad();
	p = in->buf.data;
	if (memcmp(p, magic, 8) != 0 || memcmp(p + 16, in->q->id, 16) != 0 ||
	    le_get64(p + 32) != applied)
		return bad();
	if (le_get64(p + 8) != 1) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	for (size_t i = 0; i < ROOT_WORDS; i++)
		words[i] = le_get64(p + 40 + 8 * i);
	memcpy(r, words, sizeof(words));
	r->stamp = stamp;
	r->sum = 0;		/* grows again with the entries */
	in->at = HEAD_SIZE;
	return 0;
}

static int
load_entries(struct in *in)
{
	size_t key_len, val_len;
	const unsigned char *p;
	int got, step = 0;

	while ((got = need(in, 6)) == 1) {
		key_len = le_get16(in->buf.data);
		val_len = le_get32(in->buf.data + 2);
		if (key_len == 0 || key_len > sizeof(struct ikey) ||
		    val_len < 16 || val_len > BLOCK ||
		    need(in, 6 + key_len + val_len) != 1)
			return bad();
		p = in->buf.data + 6;
		if (index_raw_put(in->q, p, key_len, p + key_len, val_len) ==
		    -1)
			return -1;
		in->at = 6 + key_len + val_len;
		if (++step % LOAD_STEP == 0 && (index_commit(in->q) == -1 ||
		    index_begin(in->q) == -1))
			return -1;
	}
	return got;
}

int
checkpoint_whole(struct queue *q, uint64_t applied)
{
	struct in in = { .q = q };
	char name[17];
	int r;

	wal_name(applied, name);
	in.fd = openat(q->state_fd, name, O_RDONLY | O_CLOEXEC);
	if (in.fd == -1)
		return -1;
	r = check_all(&in);
	close(in.fd);
	buf_release(&in.buf);
	if (r == -1)
		errno = EBADMSG;
	return r;
}

static int
load(struct queue *q, uint64_t applied)
{
	struct in in = { .q = q };
	char name[17];
	int r = -1, saved;

	wal_name(applied, name);
	in.fd = openat(q->state_fd, name, O_RDONLY | O_CLOEXEC);
	if (in.fd == -1)
		return -1;
	if (check_all(&in) == 0 && load_head(&in, applied) == 0 &&
	    load_entries(&in) == 0)
		r = 0;
	saved = errno;
	close(in.fd);
	buf_release(&in.buf);
	errno = saved;
	return r;
}

int
checkpoint_load(struct queue *q, uint64_t *applied)
{
	uint64_t *points = NULL;
	size_t cnt = 0;
	int r = 0;

	if (wal_list(q->state_fd, &points, &cnt) == -1)
		return -1;
	while (cnt-- > 0) {
		if (load(q, points[cnt]) == 0) {
			*applied = points[cnt];
			r = 1;
			break;
		}
		if (errno != EBADMSG && errno != ENOENT) {
			r = -1;
			break;
		}
		if (q->idx.broken) {
			r = -1;
			break;
		}
	}
	free(points);
	return r;
}
