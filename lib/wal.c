/*
 * wal: append and group commit.
 *
 * Happy path: under the append lock one pwrite puts a batch behind the tail
 * and the new tail is published; then whoever gets the commit lock syncs the
 * file once for everybody, publishes `durable` and wakes the others.
 *
 * Failure modes.  Killed inside the write: the bytes lie behind the published
 * tail and the next appender cuts them off.  Write refused (full disk): cut
 * off here.  Sync refused, or its caller killed before it could say how it
 * ended (`syncing` is then not 0 and the commit lock is free): the pages may
 * be lost although they look clean, and no later sync would tell; so the
 * bytes from `durable` on are checked and copied to a new segment that begins
 * at `durable`, which ends the old one there.
 */

#include "wal.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "crc.h"
#include "fsdur.h"
#include "wal_priv.h"

#define COMMIT_WAIT_NS	50000000	/* look again after this long */
#define BESIDE_NS	INT64_C(500000000)	/* then do not rely on others */

void
wal_init(struct wal *w)
{
	w->seed = hash64(w->magic, 8, 0) ^ hash64(w->id, sizeof(w->id), 1);
	w->fd = -1;
	w->pending = 0;
}

void
wal_release(struct wal *w)
{
	if (w->fd != -1)
		close(w->fd);
	w->fd = -1;
}

static uint64_t
get(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* The complement of a word lies one struct wal_words further on. */
#define WORDS_CNT	(sizeof(struct wal_words) / sizeof(uint64_t))

static void
put(_Atomic uint64_t *word, uint64_t v)
{
	atomic_store_explicit(word, v, memory_order_release);
	atomic_store_explicit(word + WORDS_CNT, ~v, memory_order_release);
}

bool
wal_words_whole(const struct wal_shared *s)
{
	const _Atomic uint64_t *a = (const _Atomic uint64_t *)&s->is;

	for (size_t i = 0; i < WORDS_CNT; i++)
		if (get(a + i) != ~get(a + WORDS_CNT + i))
			return false;
	return true;
}

static void
raise_to(_Atomic uint64_t *word, uint64_t v)
{
	uint64_t old = get(word);

	while (old < v && !atomic_compare_exchange_weak(word, &old, v))
		;
	/* Who wrote the complement last has looked again afterwards. */
	do {
		old = atomic_load(word);
		atomic_store(word + WORDS_CNT, ~old);
	} while (atomic_load(word) != old);
}

/* The futex is the word's low half; every commit changes it. */
static uint32_t *
futex_word(_Atomic uint64_t *word)
{
	union { _Atomic uint64_t *a; uint32_t *u; } p = { .a = word };

	return p.u + (__BYTE_ORDER == __BIG_ENDIAN);
}

static void
wait_for_change(_Atomic uint64_t *word, uint64_t seen)
{
	struct timespec ts = { 0, COMMIT_WAIT_NS };

	(void)syscall(SYS_futex, futex_word(word), FUTEX_WAIT, (uint32_t)seen,
	    &ts, NULL, 0);
}

static void
wake_all(_Atomic uint64_t *word)
{
	(void)syscall(SYS_futex, futex_word(word), FUTEX_WAKE, INT_MAX, NULL,
	    NULL, 0);
}

/* Publish what is safe; seq first, so that counts never lag behind offsets. */
static void
publish_durable(struct wal *w, uint64_t end, uint64_t end_seq)
{
	struct wal_words *s = w->words;

	raise_to(&s->durable_seq, end_seq);
	raise_to(&s->visible_seq, end_seq);
	raise_to(&s->durable, end);
	raise_to(&s->visible, end);
	wake_all(&s->durable);
	if (w->woken != NULL)
		w->woken(w->woken_arg);
}

void
wal_show(struct wal *w, const struct wal_place *at)
{
	raise_to(&w->words->visible_seq, get(&w->words->tail_seq));
	raise_to(&w->words->visible, at->end);
	if (w->woken != NULL)
		w->woken(w->woken_arg);
}

/*
 * Somebody was killed between making a segment and saying so.  The file would
 * hide what is appended to the present one: away with it, for good, unless it
 * took the place of the present one (a copy of what counts in it).
 */
static int
undo_roll(struct wal *w)
{
	uint64_t base = get(&w->words->rolling) - 1;
	char name[17];

	if (base != get(&w->words->base)) {
		wal_name(base, name);
		if (fsdur_unlink(w->dirfd, name) == -1 && errno != ENOENT)
			return -1;
	}
	put(&w->words->gen, get(&w->words->gen) + 1);
	put(&w->words->rolling, 0);
	return 0;
}

/* Have w->fd name the segment that is being written; under the append lock. */
static int
open_current(struct wal *w)
{
	uint64_t base = get(&w->words->base);
	char name[17];

	if (get(&w->words->rolling) != 0 && undo_roll(w) == -1)
		return -1;
	if (w->fd != -1 && w->fd_base == base && w->fd_gen == get(&w->words->gen))
		return 0;
	wal_release(w);
	wal_name(base, name);
	w->fd = openat(w->dirfd, name, O_RDWR | O_CLOEXEC);
	if (w->fd == -1)
		return -1;
	w->fd_base = base;
	w->fd_gen = get(&w->words->gen);
	w->fd_clean = get(&w->words->syncing) == 0;
	return 0;
}

/*
 * Blocks for what is still to come, size as it is: on a full disk the journal
 * can go on.  A file system that cannot do it gives no such promise.
 */
static int
reserve(const struct wal *w, int fd)
{
	if (w->spare == 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0,
	    (off_t)(w->limit + w->spare)) == 0 || errno == EOPNOTSUPP ||
	    errno == ENOSYS)
		return 0;
	return -1;
}

/*
 * Make, sync and publish the segment file that begins at base, with copy_len
 * bytes of the current one behind its header.  Nothing refers to it until the
 * caller publishes it in the words.
 */
static int
make_segment(struct wal *w, uint64_t base, uint64_t seq, uint32_t epoch,
    uint64_t copy_len)
{
	struct wal_head h = {
		.base = base, .seq = seq, .epoch = epoch,
		.created_ms = (uint64_t)(wall_now_ns() / 1000000),
	};
	unsigned char head[WAL_HEAD_SIZE], *copy = NULL;
	char name[17], tmp[32];
	size_t step = 1 << 20;
	int fd, saved;

	wal_name(base, name);
	snprintf(tmp, sizeof(tmp), ".%s", name);
	wal_head_encode(w, &h, head);
	fd = openat(w->dirfd, tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
	    w->mode);
	if (fd == -1)
		return -1;
	if (wal_fix_mode(fd, w->mode, w->gid) == -1 ||
	    reserve(w, fd) == -1 ||
	    fsdur_pwrite_all(fd, head, sizeof(head), 0) == -1)
		goto fail;
	if (copy_len > 0 && (copy = malloc(step)) == NULL)
		goto fail;
	for (uint64_t done = 0; done < copy_len; ) {
		size_t n = copy_len - done < step ? (size_t)(copy_len - done) :
		    step;

		if (fsdur_pread_all(w->fd, copy, n, (off_t)(WAL_HEAD_SIZE +
		    base - w->fd_base + done)) != (ssize_t)n ||
		    fsdur_pwrite_all(fd, copy, n, (off_t)(WAL_HEAD_SIZE +
		    done)) == -1)
			goto fail;
		done += n;
	}
	free(copy);
	copy = NULL;
	if (fsdur_sync(fd) == -1)
		goto fail;
	put(&w->words->rolling, base + 1);
	if (fsdur_rename(w->dirfd, tmp, name) == -1)
		goto fail;
	wal_release(w);
	w->fd = fd;
	w->fd_base = base;
	w->fd_clean = true;
	return 0;
fail:
	saved = errno;
	free(copy);
	close(fd);
	(void)unlinkat(w->dirfd, tmp, 0);
	errno = saved;
	return -1;
}

static void
publish_segment(struct wal *w, uint64_t base, uint32_t epoch)
{
	put(&w->words->epoch, epoch);
	put(&w->words->base, base);
	w->fd_gen = get(&w->words->gen) + 1;
	put(&w->words->gen, w->fd_gen);
	put(&w->words->rolling, 0);
}

int
wal_begin(struct wal *w, uint64_t base, uint64_t seq, uint32_t epoch)
{
	if (make_segment(w, base, seq, epoch, 0) == -1)
		return -1;
	put(&w->words->tail_seq, seq);
	put(&w->words->tail, base);
	put(&w->words->durable_seq, seq);
	put(&w->words->durable, base);
	put(&w->words->visible_seq, seq);
	put(&w->words->visible, base);
	put(&w->words->syncing, 0);
	publish_segment(w, base, epoch);
	return 0;
}

/*
 * The bytes between durable and tail may be lost on disk although memory
 * still shows them: move what validates to a new segment at durable.
 */
static int
mend(struct wal *w)
{
	struct wal_words *s = w->words;
	uint64_t from, to, end, end_seq;
	uint32_t epoch = (uint32_t)get(&s->epoch);

	if (open_current(w) == -1)
		return -1;
	from = get(&s->durable);
	to = get(&s->tail);
	if (from == to) {
		put(&s->syncing, 0);
		return 0;
	}
	if (from < w->fd_base)
		from = w->fd_base;
	if (wal_check_range(w, w->fd, w->fd_base, from, to,
	    get(&s->durable_seq), &end, &end_seq) == -1)
		return -1;
	if (make_segment(w, from, get(&s->durable_seq), epoch, end - from) ==
	    -1) {
		put(&s->lost_gen, get(&s->lost_gen) + 1);
		wake_all(&s->durable);
		return -1;
	}
	if (end < to) {
		put(&s->lost_gen, get(&s->lost_gen) + 1);
		put(&s->tail_seq, end_seq);
		put(&s->tail, end);
		/* What -S had shown of it is not there any more. */
		if (get(&s->visible) > end) {
			put(&s->visible, end);
			put(&s->visible_seq, end_seq);
		}
	}
	publish_segment(w, from, epoch);
	put(&s->syncing, 0);
	publish_durable(w, end, end_seq);
	return 0;
}

int
wal_roll(struct wal *w)
{
	struct wal_words *s = w->words;
	uint64_t tail = get(&s->tail), seq = get(&s->tail_seq);

	if (open_current(w) == -1)
		return -1;
	if (tail == w->fd_base)
		return 0;
	if (get(&s->durable) < tail) {
		if (get(&s->syncing) != 0 || fsdur_sync(w->fd) == -1)
			return mend(w);
		publish_durable(w, tail, seq);
	}
	if (make_segment(w, tail, seq, (uint32_t)get(&s->epoch), 0) == -1)
		return -1;
	publish_segment(w, tail, (uint32_t)get(&s->epoch));
	return 0;
}

void
wal_bump(struct wal *w)
{
	bool ours = w->fd != -1 && w->fd_gen == get(&w->words->gen);

	put(&w->words->gen, get(&w->words->gen) + 1);
	if (ours)
		w->fd_gen = get(&w->words->gen);
}

void
wal_abandon(struct wal *w)
{
	w->pending = 0;		/* the next appender cuts them off */
}

/*
 * As open_current; where the file is gone or cut short, what it held is lost
 * (the reader will say so) and a new one begins at the tail.
 */
static int
find_current(struct wal *w)
{
	struct wal_words *s = w->words;
	uint64_t tail = get(&s->tail);
	struct stat st;

	if (open_current(w) == 0) {
		if (fstat(w->fd, &st) == -1)
			return -1;
		if (st.st_size >= (off_t)(WAL_HEAD_SIZE + tail - w->fd_base))
			return 0;
	} else if (errno != ENOENT) {
		return -1;
	}
	if (make_segment(w, tail, get(&s->tail_seq),
	    (uint32_t)get(&s->epoch), 0) == -1)
		return -1;
	if (get(&s->durable) < tail)	/* of who waits for it */
		put(&s->lost_gen, get(&s->lost_gen) + 1);
	publish_segment(w, tail, (uint32_t)get(&s->epoch));
	publish_durable(w, tail, get(&s->tail_seq));
	return 0;
}

int
wal_append(struct wal *w, unsigned char *batch, size_t body_len,
    uint32_t count, uint32_t flags, struct wal_place *at)
{
	struct wal_words *s = w->words;
	struct wal_batch b = { .body_len = (uint32_t)body_len,
		.count = count, .flags = flags };
	struct stat st;
	off_t off;
	int saved;

	assert(body_len <= WAL_BODY_MAX && body_len % 8 == 0);
	if (w->pending == 0 && find_current(w) == -1)
		return -1;
	if (w->pending == 0) {
		if (get(&s->tail) - w->fd_base + WAL_BATCH_SIZE + body_len >
		    w->limit && wal_roll(w) == -1 &&
		    (w->spare == 0 || (errno != ENOSPC && errno != EDQUOT) ||
		    open_current(w) == -1))
			return -1;
		w->pending = get(&s->tail);
		w->pending_seq = get(&s->tail_seq);
		if (fstat(w->fd, &st) == -1)
			goto fail;
		off = (off_t)(WAL_HEAD_SIZE + w->pending - w->fd_base);
		if (st.st_size > off && fsdur_truncate(w->fd, off) == -1)
			goto fail;
	}
	at->pos = w->pending;
	at->seq = w->pending_seq;
	at->epoch = (uint32_t)get(&s->epoch);
	at->lost_gen = get(&s->lost_gen);
	at->end = at->pos + WAL_BATCH_SIZE + body_len;
	b.seq = at->seq;
	b.floor = get(&s->durable);
	b.body_crc = w->fixup(w, batch + WAL_BATCH_SIZE, body_len, at);
	wal_batch_encode(w, at->pos, &b, batch);
	off = (off_t)(WAL_HEAD_SIZE + at->pos - w->fd_base);
	if (fsdur_pwrite_all(w->fd, batch, WAL_BATCH_SIZE + body_len, off) ==
	    -1) {
		saved = errno;
		(void)fsdur_truncate(w->fd, off);
		errno = saved;
		goto fail;
	}
	if (flags & WAL_MORE) {
		w->pending = at->end;
		w->pending_seq = at->seq + count;
		return 0;
	}
	w->pending = 0;
	put(&s->tail_seq, at->seq + count);
	put(&s->tail, at->end);
	return 0;
fail:
	w->pending = 0;
	return -1;
}

/* With the commit lock held: sync up to the present tail. */
static int
sync_now(struct wal *w)
{
	struct wal_words *s = w->words;
	uint64_t tail, seq;
	int r = 0, saved;

	if (lock_take(w->lock, w->lock_append, MONO_NEVER) == -1)
		return -1;
	tail = get(&s->tail);
	seq = get(&s->tail_seq);
	if (get(&s->syncing) != 0) {
		r = mend(w);		/* a leader died and took its answer along */
		lock_drop(w->lock, w->lock_append);
		return r;
	}
	if (open_current(w) == -1) {
		lock_drop(w->lock, w->lock_append);
		return -1;
	}
	put(&s->syncing, tail);
	lock_drop(w->lock, w->lock_append);

	if (fsdur_sync(w->fd) == 0) {
		publish_durable(w, tail, seq);
		/* Unless we were stopped so long that others went on. */
		if (get(&s->syncing) == tail)
			put(&s->syncing, 0);
		return 0;
	}
	if (lock_take(w->lock, w->lock_append, MONO_NEVER) == -1)
		return -1;
	r = mend(w);
	saved = errno;
	lock_drop(w->lock, w->lock_append);
	errno = saved;
	return r;
}

/*
 * Who syncs for all does not come to an end; it may be stopped.  With a
 * descriptor that would have seen its failure, sync beside it; with a younger
 * one a sync would prove nothing, so what is not known to be safe is copied.
 */
static int
sync_beside(struct wal *w)
{
	uint64_t tail, seq;
	bool clean;
	int r = 0, saved;

	if (lock_try(w->lock, w->lock_append) == -1)
		return errno == EBUSY ? 0 : -1;
	tail = get(&w->words->tail);
	seq = get(&w->words->tail_seq);
	r = open_current(w);
	clean = w->fd_clean;
	if (r == 0 && !clean)
		r = mend(w);
	saved = errno;
	lock_drop(w->lock, w->lock_append);
	errno = saved;
	if (r == 0 && clean && (r = fsdur_sync(w->fd)) == 0)
		publish_durable(w, tail, seq);
	return r;
}

int
wal_mend(struct wal *w)
{
	int r = 0, saved;

	if (get(&w->words->syncing) == 0 ||
	    lock_try(w->lock, w->lock_commit) == -1)
		return 0;
	if (get(&w->words->syncing) != 0) {
		if ((r = lock_take(w->lock, w->lock_append, MONO_NEVER)) ==
		    0) {
			r = mend(w);
			saved = errno;
			lock_drop(w->lock, w->lock_append);
			errno = saved;
		}
	}
	lock_drop(w->lock, w->lock_commit);
	return r;
}

int
wal_finish(struct wal *w)
{
	int r = 0, saved;

	if (get(&w->words->visible) >= get(&w->words->tail) ||
	    lock_try(w->lock, w->lock_commit) == -1)
		return 0;
	if (get(&w->words->visible) < get(&w->words->tail))
		r = sync_now(w);
	saved = errno;
	lock_drop(w->lock, w->lock_commit);
	errno = saved;
	return r;
}

int
wal_commit(struct wal *w, const struct wal_place *at)
{
	struct wal_words *s = w->words;
	struct mono warn = mono_after(WAL_SLOW_NS);
	struct mono beside = mono_after(BESIDE_NS);
	uint64_t durable;
	int r, saved;

	for (;;) {
		durable = get(&s->durable);
		/* Read after durable: what was durable before a loss is safe. */
		if (get(&s->lost_gen) != at->lost_gen) {
			errno = EIO;
			return -1;
		}
		if (durable >= at->end)
			return 0;
		if (lock_try(w->lock, w->lock_commit) == 0) {
			r = get(&s->durable) >= at->end ? 0 : sync_now(w);
			saved = errno;
			lock_drop(w->lock, w->lock_commit);
			if (r == -1) {
				wake_all(&s->durable);
				errno = saved == ENOENT ? ENOENT : EIO;
				return -1;
			}
			continue;
		}
		if (errno != EBUSY)
			return -1;
		wait_for_change(&s->durable, durable);
		if (mono_passed(beside) && get(&s->durable) == durable) {
			if (sync_beside(w) == -1) {
				errno = EIO;
				return -1;
			}
			beside = mono_after(BESIDE_NS);
		}
		if (mono_passed(warn)) {
			if (w->lock->slow != NULL)
				w->lock->slow(w->lock->slow_arg,
				    w->lock_commit, (pid_t)get(
				    &w->lock->owner[w->lock_commit]));
			warn = mono_after(10 * WAL_SLOW_NS);
		}
	}
}

int
wal_commit_all(struct wal *w)
{
	struct wal_place at = {
		.lost_gen = get(&w->words->lost_gen),
		.end = get(&w->words->tail),
	};

	return wal_commit(w, &at);
}
