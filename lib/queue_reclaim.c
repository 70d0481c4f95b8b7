/*
 * queue_reclaim: give space back to the disk.
 *
 * A segment all of whose messages are removed (finished in every group, dead
 * in none, not retained) is unlinked.  One that is half empty is written anew
 * with what is left in it: the same positions, a table of runs, renamed over
 * the old one; so nothing that names a position notices.  Both are done only
 * after a checkpoint, whose sum agreed, has reached the disk, and the journal
 * with it.
 */

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "fsdur.h"
#include "num.h"
#include "queue_priv.h"

#define RUN_SIZE	24U		/* in the table */
#define TRAILER_MAGIC	0x534e5552U	/* "RUNS" */
#define WORTH		4096		/* bytes a rewrite must win */
#define RESERVE_MIN	(INT64_C(1) << 20)

struct segment {
	uint64_t base, end;		/* positions */
	uint64_t seq, end_seq;
	uint64_t newest_ns;		/* nothing in it is younger */
	off_t size;
};

/* --- what is removable ------------------------------------------------------------- */

struct judging {
	const struct segment *s;
	bool unlink;			/* do it, if all of it is removable */
	uint64_t removable;
	bool done;
};

static int
judge_fn(struct queue *q, void *arg)
{
	struct judging *j = arg;
	uint64_t at = j->s->seq, up_to;
	char name[17];
	int got;

	j->removable = 0;
	while (at < j->s->end_seq) {
		if ((got = done_removable(q, at, j->s->end_seq, &up_to)) ==
		    -1)
			return -1;
		if (got == 1)
			j->removable += up_to - at;
		at = up_to;
	}
	if (!j->unlink || j->removable < j->s->end_seq - j->s->seq)
		return 0;
	wal_name(j->s->base, name);
	if (unlinkat(q->log_fd, name, 0) == -1 && errno != ENOENT)
		return -1;
	j->done = true;
	return 0;
}

/* --- writing a sparse segment ---------------------------------------------------------- */

struct copy {
	struct queue *q;
	const struct segment *s;
	struct wal_reader rd;
	int fd;
	off_t off;
	struct buf runs;
	uint64_t runs_cnt;
	uint64_t run_pos, run_len;
	off_t run_off;
	char tmp[24];
	uint64_t wanted_again;		/* the page's, before the first look */
};

static int
end_run(struct copy *c)
{
	unsigned char raw[RUN_SIZE];

	if (c->run_len == 0)
		return 0;
	wal_run_encode(&c->q->log, c->run_pos, c->run_len, raw);
	if (fsdur_pwrite_all(c->fd, raw, sizeof(raw), c->run_off -
	    (off_t)sizeof(raw)) == -1)
		return -1;
	le_put64(raw, c->run_pos);
	le_put64(raw + 8, c->run_len);
	le_put64(raw + 16, (uint64_t)c->run_off);
	c->run_len = 0;
	c->runs_cnt++;
	return buf_put(&c->runs, raw, sizeof(raw));
}

static int
keep(struct copy *c, uint64_t pos, const unsigned char *p, size_t len)
{
	if (c->run_len == 0 || c->run_pos + c->run_len != pos) {
		if (end_run(c) == -1)
			return -1;
		c->run_pos = pos;
		c->off += (off_t)WAL_RUN_SIZE;
		c->run_off = c->off;
	}
	if (fsdur_pwrite_all(c->fd, p, len, c->off) == -1)
		return -1;
	c->off += (off_t)len;
	c->run_len += len;
	return 0;
}

static int
keep_at(struct copy *c, uint64_t pos, size_t len)
{
	const unsigned char *p;
	uint64_t at = pos;
	size_t avail;

	if (wal_read(&c->rd, &at, pos + len, len, &p, &avail) != 1 ||
	    at != pos || avail < len) {
		errno = EIO;
		return -1;
	}
	return keep(c, pos, p, len);
}

/* Which messages of a batch are wanted: asked in one transaction each. */
struct wanting {
	uint64_t seq, end, up_to;
	bool gone;
};

static int
want_fn(struct queue *q, void *arg)
{
	struct wanting *w = arg;
	int got = done_removable(q, w->seq, w->end, &w->up_to);

	if (got == -1)
		return -1;
	w->gone = got == 1;
	return 0;
}

/* Copy what is not removed, or cannot be read: damage is not laundered away. */
static int
copy_items(struct copy *c)
{
	struct wanting w = { .gone = false };
	uint64_t pos = c->s->base, before, header = UINT64_MAX;
	struct queue_message m;
	struct wal_batch b;
	struct msg_head h;
	int got;

	while (pos < c->s->end) {
		before = pos;
		got = msg_item(&c->rd, &pos, c->s->end, &b, &h, &m);
		if (got == -1)
			return -1;
		if (got == ITEM_NONE)
			break;
		if (got == ITEM_BATCH) {
			header = pos;
			pos += WAL_BATCH_SIZE;
			continue;
		}
		if (got == ITEM_DAMAGE) {
			if (keep_at(c, before, (size_t)(pos - before)) == -1)
				return -1;
			continue;
		}
		if (h.seq < w.seq || h.seq >= w.up_to) {
			w.seq = h.seq;
			w.end = c->s->end_seq;
			w.up_to = h.seq + 1;
			if (index_run(c->q, want_fn, &w) == -1)
				return -1;
		}
		if (!w.gone) {
			if (header != UINT64_MAX &&
			    keep_at(c, header, WAL_BATCH_SIZE) == -1)
				return -1;
			header = UINT64_MAX;
			if (keep_at(c, pos, h.size) == -1)
				return -1;
		}
		pos += h.size;
	}
	return end_run(c);
}

static int
finish_copy(struct copy *c)
{
	struct wal_head h = { .base = c->s->base, .seq = c->s->seq,
		.flags = WAL_COMPACT };
	unsigned char raw[WAL_HEAD_SIZE], trailer[16];
	struct wal_head old;

	if (wal_head_read(&c->q->log, c->s->base, &old) == 0) {
		h.epoch = old.epoch;
		h.created_ms = old.created_ms;
	}
	wal_head_encode(&c->q->log, &h, raw);
	le_put64(trailer, c->runs_cnt);
	le_put32(trailer + 8, crc32c(c->runs.data, c->runs.len));
	le_put32(trailer + 12, TRAILER_MAGIC);
	if (fsdur_pwrite_all(c->fd, raw, sizeof(raw), 0) == -1 ||
	    fsdur_pwrite_all(c->fd, c->runs.data, c->runs.len, c->off) ==
	    -1 ||
	    fsdur_pwrite_all(c->fd, trailer, sizeof(trailer), c->off +
	    (off_t)c->runs.len) == -1)
		return -1;
	c->off += (off_t)(c->runs.len + sizeof(trailer));
	return fsdur_sync(c->fd);
}

static int
swap_fn(struct queue *q, void *arg)
{
	const struct copy *c = arg;
	char name[17];

	/* Under INDEX: nobody scans meanwhile.  What was left out may have
	 * been given to a group since: another time, then. */
	if (word_get(&q->ctl->wanted_again) != c->wanted_again)
		return 1;
	wal_name(c->s->base, name);
	return renameat(q->log_fd, c->tmp, q->log_fd, name);
}

/* A file that readers have open stays as it was for them. */
static void
changed_segments(struct queue *q)
{
	if (lock_take(&q->lock, LOCK_APPEND, q->patience) == -1)
		return;
	wal_bump(&q->log);
	lock_drop(&q->lock, LOCK_APPEND);
}

static int
rewrite(struct queue *q, const struct segment *s, uint64_t *freed)
{
	struct copy c = { .q = q, .s = s, .off = (off_t)WAL_HEAD_SIZE,
		.wanted_again = word_get(&q->ctl->wanted_again) };
	int r = -1, saved;

	snprintf(c.tmp, sizeof(c.tmp), ".c%016" PRIx64, s->base);
	c.fd = openat(q->log_fd, c.tmp, O_RDWR | O_CREAT | O_TRUNC |
	    O_CLOEXEC, q->file_mode);
	if (c.fd == -1)
		return -1;
	wal_reader_init(&c.rd, &q->log);
	if (wal_fix_mode(c.fd, q->file_mode, q->gid) == 0 &&
	    copy_items(&c) == 0 && finish_copy(&c) == 0)
		r = 0;
	if (r == 0 && c.off + WORTH < s->size && (r = index_run(q, swap_fn,
	    &c)) == 0) {
		*freed += (uint64_t)(s->size - c.off);
		if (fsdur_fault_point("rename") == -1 ||
		    fsdur_sync_dir(q->log_fd) == -1)
			r = -1;
	} else {
		saved = errno;
		(void)unlinkat(q->log_fd, c.tmp, 0);
		errno = saved;
	}
	saved = errno;
	wal_reader_release(&c.rd);
	buf_release(&c.runs);
	close(c.fd);
	errno = saved;
	return r == 1 ? 0 : r;
}

int
freed_count(struct queue *q)
{
	uint64_t end = word_get(&q->log.words->tail), *bases = NULL, have = 0;
	struct stat st;
	size_t cnt = 0;
	char name[17];

	if (wal_list(q->log_fd, &bases, &cnt) == -1)
		return -1;
	for (size_t i = 0; i < cnt; i++) {
		wal_name(bases[i], name);
		if (fstatat(q->log_fd, name, &st, 0) == 0 &&
		    st.st_size > (off_t)WAL_HEAD_SIZE)
			have += (uint64_t)st.st_size - WAL_HEAD_SIZE;
	}
	free(bases);
	word_put(&q->ctl->freed_bytes, have < end ? end - have : 0);
	return 0;
}

/* --- all segments ------------------------------------------------------------------------ */

static int
list_segments(struct queue *q, struct segment **list, size_t *cnt)
{
	uint64_t *bases = NULL;
	struct segment *s;
	struct wal_head h;
	struct stat st;
	size_t n = 0, all = 0;
	char name[17];

	*list = NULL;
	*cnt = 0;
	if (wal_list(q->log_fd, &bases, &all) == -1)
		return -1;
	s = calloc(all + 1, sizeof(*s));
	if (s == NULL) {
		free(bases);
		return -1;
	}
	for (size_t i = 0; i < all; i++) {
		wal_name(bases[i], name);
		if (wal_head_read(&q->log, bases[i], &h) == -1 ||
		    fstatat(q->log_fd, name, &st, 0) == -1)
			continue;	/* damaged: it stays */
		if (n > 0 && s[n - 1].end == 0 && i > 0) {
			s[n - 1].end = bases[i];
			s[n - 1].end_seq = h.seq;
			s[n - 1].newest_ns = h.created_ms *
			    (uint64_t)NUM_NS_PER_MS;
		}
		s[n].base = bases[i];
		s[n].seq = h.seq;
		s[n].size = st.st_size;
		n++;
	}
	free(bases);
	*list = s;
	*cnt = n;
	return 0;
}

static bool
retained(const struct queue *q, const struct segment *s)
{
	uint64_t ns = attr_now(q, ATTR_RETAIN_NS);
	uint64_t bytes = attr_now(q, ATTR_RETAIN_BYTES);

	if (ns != 0 && s->newest_ns + ns > (uint64_t)wall_now_ns())
		return true;
	return bytes != 0 &&
	    s->end + bytes > word_get(&q->log.words->tail);
}

static int
reclaim_segment(struct queue *q, const struct segment *s, bool force,
    uint64_t *freed)
{
	struct judging j = { .s = s };
	uint64_t all = s->end_seq - s->seq;

	if (index_run(q, judge_fn, &j) == -1)
		return -1;
	if (j.removable == 0 || (!force && j.removable * 2 < all))
		return 0;
	/* What this rests on is on disk first. */
	if (wal_commit_all(&q->journal) == -1)
		return -1;
	if (j.removable < all)
		return rewrite(q, s, freed);
	if (fsdur_fault_point("unlink") == -1)
		return -1;
	j.unlink = true;
	if (index_run(q, judge_fn, &j) == -1)
		return -1;
	if (j.done)
		*freed += (uint64_t)s->size > WAL_HEAD_SIZE ?
		    (uint64_t)s->size - WAL_HEAD_SIZE : 0;
	return 0;
}

static int
reclaim(struct queue *q, bool force, uint64_t *freed)
{
	struct segment *list;
	size_t cnt;
	int r = 0, saved;

	*freed = 0;
	/* One at a time is enough. */
	if (flock(q->state_fd, LOCK_EX | LOCK_NB) == -1)
		return errno == EWOULDBLOCK ? 0 : -1;
	/* In this order: the checkpoint has all ids of what is listed. */
	if (list_segments(q, &list, &cnt) == -1) {
		flock(q->state_fd, LOCK_UN);
		return -1;
	}
	if (checkpoint_make(q) == -1)
		r = -1;
	for (size_t i = 0; i + 1 < cnt && r == 0; i++)
		if (list[i].end_seq > list[i].seq && !retained(q, &list[i]))
			r = reclaim_segment(q, &list[i], force, freed);
	saved = errno;
	free(list);
	flock(q->state_fd, LOCK_UN);
	if (*freed > 0) {
		(void)freed_count(q);
		changed_segments(q);
		control_ring(q);
	}
	errno = saved;
	return r;
}

int
reclaim_if_due(struct queue *q)
{
	uint64_t finished = word_get(&q->ctl->now.finished_bytes), freed;
	uint64_t step = q->log.limit;

	if (word_get(&q->ctl->reclaim_at) == 0)
		word_put(&q->ctl->reclaim_at, finished + step);
	if (finished < word_get(&q->ctl->reclaim_at))
		return checkpoint_if_due(q);
	word_put(&q->ctl->reclaim_at, finished + step);
	return reclaim(q, false, &freed);
}

int
queue_compact(struct queue *q, uint64_t *freed_bytes)
{
	int r;

	if (lock_take(&q->lock, LOCK_APPEND, q->patience) == -1)
		return -1;
	r = wal_roll(&q->log);
	lock_drop(&q->lock, LOCK_APPEND);
	if (r == -1 && errno != ENOSPC && errno != EDQUOT)
		return -1;
	return reclaim(q, true, freed_bytes);
}

/* --- the reserve ------------------------------------------------------------------------------ */

/* Blocks behind the end of a file; 0 also where the file system cannot. */
static int
fill_file(int dirfd, const char *name)
{
	struct stat st;
	int fd, r = 0, saved;

	if ((fd = openat(dirfd, name, O_RDWR | O_CLOEXEC)) == -1)
		return errno == ENOENT ? 0 : -1;
	if (fstat(fd, &st) == 0 && st.st_blocks * INT64_C(512) - st.st_size <
	    RESERVE_MIN && fallocate(fd, FALLOC_FL_KEEP_SIZE, st.st_size,
	    2 * RESERVE_MIN) == -1 && errno != EOPNOTSUPP && errno != ENOSYS)
		r = -1;
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}

/*
 * Consumers can go on when the disk is full: journal and index have blocks of
 * their own.  Producers see to it, and push nothing while they fail to.
 */
int
reserve_fill(struct queue *q)
{
	char name[24];
	int r;

	snprintf(name, sizeof(name), "%" PRIu64,
	    word_get(&q->ctl->index_gen));
	r = fill_file(q->index_fd, name);
	if (r == 0) {
		wal_name(word_get(&q->journal.words->base), name);
		r = fill_file(q->journal_fd, name);
	}
	word_put(&q->ctl->no_space, r == -1);
	return r;
}
