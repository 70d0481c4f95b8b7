/*
 * queue_control: the page of words that all processes share.
 *
 * It is a cache: every word can be derived from the files, is written whole,
 * and what others act on stands beside its complement.  It is thrown away when
 * the machine was booted since, or the directory is a copy.
 */

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "queue_priv.h"

#define CONTROL_SIZE	8192U

_Static_assert(sizeof(struct control) <= CONTROL_SIZE, "control page");

uint64_t
word_get(const _Atomic uint64_t *w)
{
	return atomic_load_explicit(w, memory_order_acquire);
}

void
word_put(_Atomic uint64_t *w, uint64_t v)
{
	atomic_store_explicit(w, v, memory_order_release);
}

#define MIRROR_CNT	(sizeof(struct mirror) / sizeof(uint64_t))

static void
mirror_put(_Atomic uint64_t *w, uint64_t v)
{
	if (word_get(w) == v && word_get(w + MIRROR_CNT) == ~v)
		return;
	word_put(w, v);
	word_put(w + MIRROR_CNT, ~v);
}

void
control_mirror(struct queue *q, const uint64_t *values)
{
	struct mirror *now = &q->ctl->now;
	const struct root *r = &q->idx.root;

	mirror_put(&now->finished, r->finished);
	mirror_put(&now->finished_bytes, r->finished_bytes);
	mirror_put(&now->dead, r->dead);
	for (int i = 0; values != NULL && i < ATTR_CNT; i++)
		mirror_put(&now->attr[i], values[i]);
	control_count(q->ctl->finished_rate, r->finished);
}

bool
control_whole(const struct queue *q)
{
	const struct control *c = q->ctl;
	const _Atomic uint64_t *w = (const _Atomic uint64_t *)&c->now;

	for (size_t i = 0; i < MIRROR_CNT; i++)
		if (word_get(w + i) != ~word_get(w + MIRROR_CNT + i))
			return false;
	return wal_words_whole(&c->log) && wal_words_whole(&c->journal);
}

void
control_ring(struct queue *q)
{
	uint64_t bell = word_get(&q->ctl->bell) + 1;

	/* A write, not a store: inotify sees it, and the mapping too. */
	if (pwrite(q->control_fd, &bell, sizeof(bell),
	    offsetof(struct control, bell)) == -1)
		word_put(&q->ctl->bell, bell);
}

/* --- rates -------------------------------------------------------------------- */

#define COUNT_MASK	((UINT64_C(1) << 40) - 1)

static uint64_t
now_s(void)
{
	return (uint64_t)(mono_now().ns / 1000000000) & 0xffffff;
}

void
control_count(_Atomic uint64_t *slots, uint64_t count)
{
	uint64_t s = now_s();
	_Atomic uint64_t *slot = &slots[s % RATE_SLOTS];

	if (word_get(slot) >> 40 != s)
		word_put(slot, s << 40 | (count & COUNT_MASK));
}

double
control_rate(const _Atomic uint64_t *slots, uint64_t count)
{
	uint64_t s = now_s(), oldest = 0, from = count & COUNT_MASK;

	for (int i = 0; i < RATE_SLOTS; i++) {
		uint64_t v = word_get(&slots[i]), age = s - (v >> 40);

		if (v != 0 && age < 60 && age >= oldest) {
			oldest = age;
			from = v & COUNT_MASK;
		}
	}
	return (double)((count - from) & COUNT_MASK) / (double)(oldest + 1);
}

/* --- opening ---------------------------------------------------------------------- */

static int
open_file(struct queue *q)
{
	struct stat st;

	q->ctl_readonly = false;
	q->control_fd = openat(q->dirfd, "control", O_RDWR | O_CREAT |
	    O_CLOEXEC, q->file_mode);
	if (q->control_fd == -1 && q->mode == QUEUE_READ &&
	    (errno == EACCES || errno == EROFS)) {
		q->ctl_readonly = true;
		q->control_fd = openat(q->dirfd, "control",
		    O_RDONLY | O_CLOEXEC);
	}
	if (q->control_fd == -1 || fstat(q->control_fd, &st) == -1)
		return -1;
	if (st.st_size >= (off_t)CONTROL_SIZE)
		return 0;
	if (q->ctl_readonly) {
		errno = EACCES;
		return -1;
	}
	errno = posix_fallocate(q->control_fd, 0, CONTROL_SIZE);
	if (errno != 0)
		return -1;
	return wal_fix_mode(q->control_fd, q->file_mode, q->gid);
}

int
control_open(struct queue *q)
{
	void *p;

	if (open_file(q) == -1)
		return -1;
	p = mmap(NULL, CONTROL_SIZE, q->ctl_readonly ? PROT_READ :
	    PROT_READ | PROT_WRITE, MAP_SHARED, q->control_fd, 0);
	if (p == MAP_FAILED)
		return -1;
	q->ctl = p;
	q->lock.fd = q->control_fd;
	q->lock.owner = q->ctl_readonly ? NULL : q->ctl->owner;
	q->stamp = boot_stamp(q);
	q->log.words = &q->ctl->log.is;
	q->journal.words = &q->ctl->journal.is;
	if (word_get(&q->ctl->magic) != CONTROL_MAGIC ||
	    word_get(&q->ctl->stamp) != q->stamp) {
		if (q->ctl_readonly) {
			errno = EACCES;
			return -1;
		}
		return recover(q, true);
	}
	if (!control_whole(q) && !q->ctl_readonly)
		return recover(q, false);
	return 0;
}

void
control_close(struct queue *q)
{
	if (q->ctl != NULL)
		munmap(q->ctl, CONTROL_SIZE);
	q->ctl = NULL;
	if (q->control_fd != -1)
		close(q->control_fd);
	q->control_fd = -1;
}
