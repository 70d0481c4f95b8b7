/*
 * wal_recover: where does the log end after a power cut?
 *
 * Only the newest segment can have an end that was never synced: its
 * predecessor was synced before it came into use.  Its batches are walked
 * while they are whole.  Below the floor (what some process knew to be durable
 * when it wrote a batch, or what the control page says) a bad batch is damage:
 * it is stepped over.  At or above the floor it is where the power went: it
 * and all behind it were never acknowledged, and end here.
 */

#include "wal.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fsdur.h"
#include "wal_priv.h"

static int
read_batch(const struct wal *w, int fd, uint64_t base, uint64_t pos,
    struct wal_batch *b)
{
	unsigned char raw[WAL_BATCH_SIZE];
	ssize_t n = fsdur_pread_all(fd, raw, sizeof(raw),
	    (off_t)(WAL_HEAD_SIZE + pos - base));

	if (n < 0)
		return -1;
	if (n != (ssize_t)sizeof(raw)) {
		errno = EBADMSG;
		return -1;
	}
	return wal_batch_decode(w, pos, raw, b);
}

static int
check_body(const struct wal *w, int fd, uint64_t base, uint64_t pos,
    const struct wal_batch *b, unsigned char **body, size_t *cap)
{
	ssize_t n;

	if (*cap < b->body_len) {
		unsigned char *p = realloc(*body, b->body_len);

		if (p == NULL)
			return -1;
		*body = p;
		*cap = b->body_len;
	}
	n = fsdur_pread_all(fd, *body, b->body_len,
	    (off_t)(WAL_HEAD_SIZE + pos + WAL_BATCH_SIZE - base));
	if (n < 0)
		return -1;
	if ((size_t)n != b->body_len) {
		errno = EBADMSG;
		return -1;
	}
	return w->verify(w, *body, b, pos);
}

int
wal_resync(const struct wal *w, int fd, uint64_t base, uint64_t pos,
    uint64_t to, uint64_t *found, struct wal_batch *b)
{
	for (; pos + WAL_BATCH_SIZE <= to; pos += 8) {
		if (read_batch(w, fd, base, pos, b) == 0) {
			*found = pos;
			return 0;
		}
		if (errno != EBADMSG)
			return -1;
	}
	errno = ENOMSG;
	return -1;
}

int
wal_check_range(const struct wal *w, int fd, uint64_t base, uint64_t from,
    uint64_t to, uint64_t seq, uint64_t *end, uint64_t *end_seq)
{
	unsigned char *body = NULL;
	struct wal_batch b;
	uint64_t pos = from;
	size_t cap = 0;
	int r = 0;

	*end = from;
	*end_seq = seq;
	while (pos + WAL_BATCH_SIZE <= to) {
		if (read_batch(w, fd, base, pos, &b) == -1 || b.seq != seq ||
		    b.body_len > to - pos - WAL_BATCH_SIZE ||
		    check_body(w, fd, base, pos, &b, &body, &cap) == -1) {
			if (errno == ENOMEM)
				r = -1;
			break;
		}
		pos += WAL_BATCH_SIZE + b.body_len;
		seq += b.count;
		if (!(b.flags & WAL_MORE)) {
			*end = pos;
			*end_seq = seq;
		}
	}
	free(body);
	return r;
}

/*
 * The last position that is known to have been durable in this segment: the
 * greatest floor in any of its batch headers, or the caller's.
 */
static uint64_t
find_floor(const struct wal *w, int fd, uint64_t base, uint64_t to,
    uint64_t floor)
{
	uint64_t pos = base, next;
	struct wal_batch b;

	while (wal_resync(w, fd, base, pos, to, &next, &b) == 0) {
		if (b.floor > floor && b.floor <= next)
			floor = b.floor;
		pos = next + WAL_BATCH_SIZE;
		if (b.body_len <= to - pos)
			pos += b.body_len;
	}
	return floor < to ? floor : to;
}

/* The end of the newest segment: whole batches, damage below floor skipped. */
static int
find_end(const struct wal *w, int fd, const struct wal_head *h, uint64_t to,
    uint64_t floor, uint64_t *end, uint64_t *end_seq)
{
	uint64_t next;
	struct wal_batch b;

	floor = find_floor(w, fd, h->base, to, floor);
	*end = h->base;
	*end_seq = h->seq;
	for (;;) {
		if (wal_check_range(w, fd, h->base, *end, to, *end_seq, end,
		    end_seq) == -1)
			return -1;
		if (*end >= floor)
			return 0;
		/*
		 * Damage below the floor: keep the batch if its header is
		 * right (its records stand for themselves), else go on at
		 * the next one that is.
		 */
		if (read_batch(w, fd, h->base, *end, &b) == 0 &&
		    b.seq >= *end_seq &&
		    b.body_len <= to - *end - WAL_BATCH_SIZE) {
			*end += WAL_BATCH_SIZE + b.body_len;
			*end_seq = b.seq + b.count;
		} else if (wal_resync(w, fd, h->base, *end + 8, to, &next,
		    &b) == 0 && b.seq >= *end_seq) {
			*end = next;
			*end_seq = b.seq;
		} else {
			*end = floor;
			return 0;
		}
	}
}

int
wal_recover(struct wal *w, uint64_t floor, uint64_t seq_min, uint64_t skip,
    uint32_t epoch, uint64_t *end_seq)
{
	struct wal_head h = { .base = 0, .seq = 0 };
	uint64_t *bases = NULL, end = 0, seq = 0, next_seq;
	struct stat st;
	size_t cnt = 0;
	char name[17];
	int fd, r;

	if (wal_list(w->dirfd, &bases, &cnt) == -1)
		return -1;
	if (cnt > 0) {
		h.base = bases[cnt - 1];
		if (wal_head_read(w, h.base, &h) == -1) {
			if (errno != EBADMSG)
				goto fail;
			h.base = bases[cnt - 1];
			h.seq = 0;
		}
		wal_name(h.base, name);
		if ((fd = openat(w->dirfd, name, O_RDONLY | O_CLOEXEC)) == -1)
			goto fail;
		r = fstat(fd, &st);
		if (r == 0 && h.seq == 0 && h.base > 0) {
			/* Header lost: its first good batch tells. */
			struct wal_batch b;
			uint64_t at;

			if (wal_resync(w, fd, h.base, h.base, h.base +
			    (uint64_t)st.st_size, &at, &b) == 0)
				h.seq = b.seq;
		}
		if (r == 0 && (h.flags & WAL_COMPACT)) {
			end = h.base;
			seq = h.seq;
		} else if (r == 0) {
			uint64_t to = h.base + (st.st_size >
			    (off_t)WAL_HEAD_SIZE ? (uint64_t)st.st_size -
			    WAL_HEAD_SIZE : 0);

			r = find_end(w, fd, &h, to & ~UINT64_C(7), floor, &end,
			    &seq);
		}
		close(fd);
		if (r == -1)
			goto fail;
	}
	*end_seq = seq;
	next_seq = seq + (cnt > 0 ? skip : 0);
	if (next_seq < seq_min)
		next_seq = seq_min;
	/* If nothing was kept of it, the new file replaces the old one. */
	r = wal_begin(w, end, next_seq, epoch);
	free(bases);
	return r;
fail:
	free(bases);
	return -1;
}
