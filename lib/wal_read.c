/*
 * wal_read: a window of bytes over the segments, by logical offset.
 *
 * pread, not mmap: a disk that fails then gives EIO instead of a signal, and
 * a segment that is replaced under us stays readable through its descriptor.
 */

#include "wal.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "crc.h"
#include "fsdur.h"

#define WINDOW_MIN	(64U << 10)
#define WINDOW_MAX	(1U << 20)
#define RUN_SIZE	24U		/* bytes of a run in the table */
#define TRAILER_SIZE	16U
#define TRAILER_MAGIC	0x534e5552U	/* "RUNS" */

static int
compare(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

int
wal_list(int dirfd, uint64_t **bases, size_t *cnt)
{
	uint64_t *list = NULL, base;
	struct dirent *e;
	size_t n = 0, cap = 0;
	DIR *dir;
	int fd, saved;

	if ((fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return -1;
	if ((dir = fdopendir(fd)) == NULL) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	while (errno = 0, (e = readdir(dir)) != NULL) {
		if (wal_name_parse(e->d_name, &base) == -1)
			continue;
		if (n == cap) {
			uint64_t *p;

			cap = cap == 0 ? 64 : cap * 2;
			p = reallocarray(list, cap, sizeof(*list));
			if (p == NULL)
				break;
			list = p;
		}
		list[n++] = base;
	}
	saved = errno;
	closedir(dir);
	if (saved != 0) {
		free(list);
		errno = saved;
		return -1;
	}
	if (n > 0)
		qsort(list, n, sizeof(*list), compare);
	*bases = list;
	*cnt = n;
	return 0;
}

void
wal_reader_init(struct wal_reader *r, struct wal *w)
{
	memset(r, 0, sizeof(*r));
	r->w = w;
	r->fd = -1;
}

static void
close_segment(struct wal_reader *r)
{
	if (r->fd != -1)
		close(r->fd);
	r->fd = -1;
	free(r->runs);
	r->runs = NULL;
	r->runs_cnt = 0;
	r->win_len = 0;
}

void
wal_reader_refresh(struct wal_reader *r)
{
	close_segment(r);
	free(r->bases);
	r->bases = NULL;
	r->bases_cnt = 0;
}

void
wal_reader_release(struct wal_reader *r)
{
	wal_reader_refresh(r);
	free(r->win);
	r->win = NULL;
	r->win_cap = 0;
}

/* The table of a compact segment: where its surviving bytes lie. */
static int
load_runs(struct wal_reader *r)
{
	unsigned char t[TRAILER_SIZE], *raw = NULL;
	struct stat st;
	uint64_t n;
	size_t len;

	if (fstat(r->fd, &st) == -1)
		return -1;
	if (st.st_size < (off_t)(WAL_HEAD_SIZE + TRAILER_SIZE) ||
	    fsdur_pread_all(r->fd, t, sizeof(t), st.st_size -
	    (off_t)sizeof(t)) != (ssize_t)sizeof(t))
		goto bad;
	n = le_get64(t);
	if (le_get32(t + 12) != TRAILER_MAGIC || n > ((uint64_t)st.st_size -
	    WAL_HEAD_SIZE - TRAILER_SIZE) / RUN_SIZE)
		goto bad;
	len = (size_t)n * RUN_SIZE;
	raw = malloc(len + 1);
	r->runs = calloc((size_t)n + 1, sizeof(*r->runs));
	if (raw == NULL || r->runs == NULL) {
		free(raw);
		return -1;
	}
	if (fsdur_pread_all(r->fd, raw, len, st.st_size -
	    (off_t)(TRAILER_SIZE + len)) != (ssize_t)len ||
	    crc32c(raw, len) != le_get32(t + 8))
		goto bad;
	for (size_t i = 0; i < n; i++) {
		r->runs[i].pos = le_get64(raw + i * RUN_SIZE);
		r->runs[i].len = le_get64(raw + i * RUN_SIZE + 8);
		r->runs[i].off = le_get64(raw + i * RUN_SIZE + 16);
	}
	r->runs_cnt = (size_t)n;
	free(raw);
	return 0;
bad:
	free(raw);
	errno = EBADMSG;
	return -1;
}

static int
compare_runs(const void *a, const void *b)
{
	const struct wal_run *x = a, *y = b;

	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

/* The table is damaged or cut off: the runs tell for themselves. */
static int
find_runs(struct wal_reader *r)
{
	unsigned char raw[WAL_RUN_SIZE];
	uint64_t off = WAL_HEAD_SIZE, pos, len;
	size_t cap = 0;
	struct wal_run *p;

	free(r->runs);
	r->runs = NULL;
	r->runs_cnt = 0;
	while (fsdur_pread_all(r->fd, raw, sizeof(raw), (off_t)off) ==
	    (ssize_t)sizeof(raw)) {
		if (wal_run_decode(r->w, raw, &pos, &len) == -1) {
			off += 8;
			continue;
		}
		if (r->runs_cnt == cap) {
			cap = cap == 0 ? 64 : cap * 2;
			p = reallocarray(r->runs, cap, sizeof(*p));
			if (p == NULL)
				return -1;
			r->runs = p;
		}
		r->runs[r->runs_cnt++] = (struct wal_run){ pos, len,
			off + WAL_RUN_SIZE };
		off += WAL_RUN_SIZE + len;
	}
	if (r->runs_cnt == 0 && (r->runs = calloc(1, sizeof(*p))) == NULL)
		return -1;
	qsort(r->runs, r->runs_cnt, sizeof(*r->runs), compare_runs);
	return 0;
}

/* By its header or, if that is damaged, by what stands behind it. */
static bool
is_compact(const struct wal_reader *r)
{
	unsigned char raw[WAL_HEAD_SIZE + WAL_RUN_SIZE];
	struct wal_head h;
	uint64_t pos, len;
	ssize_t n = fsdur_pread_all(r->fd, raw, sizeof(raw), 0);

	if (n >= (ssize_t)WAL_HEAD_SIZE &&
	    wal_head_decode(r->w, raw, &h) == 0)
		return (h.flags & WAL_COMPACT) != 0;
	return n == (ssize_t)sizeof(raw) && wal_run_decode(r->w, raw +
	    WAL_HEAD_SIZE, &pos, &len) == 0;
}

/* Open the segment that holds pos or, if there is none, the next one. */
static int
open_segment(struct wal_reader *r, uint64_t pos)
{
	size_t lo = 0, hi = r->bases_cnt;
	char name[17];

	while (lo < hi) {		/* the last base <= pos */
		size_t mid = lo + (hi - lo) / 2;

		if (r->bases[mid] <= pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	r->cur = lo == 0 ? 0 : lo - 1;
	wal_name(r->bases[r->cur], name);
	close_segment(r);
	if ((r->fd = openat(r->w->dirfd, name, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	r->end = r->cur + 1 < r->bases_cnt ? r->bases[r->cur + 1] : UINT64_MAX;
	if (!is_compact(r) || load_runs(r) == 0)
		return 0;
	return errno == EBADMSG ? find_runs(r) : -1;
}

/* Where pos lies in the open segment; moves pos over gaps; 0: past its end. */
static int
locate(struct wal_reader *r, uint64_t *pos, uint64_t *off, uint64_t *len)
{
	size_t lo = 0, hi = r->runs_cnt;

	if (*pos < r->bases[r->cur])
		*pos = r->bases[r->cur];
	if (*pos >= r->end)
		return 0;
	if (r->runs == NULL) {
		*off = WAL_HEAD_SIZE + *pos - r->bases[r->cur];
		*len = r->end - *pos;
		return 1;
	}
	while (lo < hi) {		/* the first run that ends after pos */
		size_t mid = lo + (hi - lo) / 2;

		if (r->runs[mid].pos + r->runs[mid].len <= *pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == r->runs_cnt) {
		*pos = r->end;
		return 0;
	}
	if (*pos < r->runs[lo].pos)
		*pos = r->runs[lo].pos;
	*off = r->runs[lo].off + *pos - r->runs[lo].pos;
	*len = r->runs[lo].len - (*pos - r->runs[lo].pos);
	return 1;
}

static int
fill(struct wal_reader *r, uint64_t pos, uint64_t off, uint64_t len,
    uint64_t limit, size_t want)
{
	/* Grow with use: a one-shot reader reads little, a stream a lot. */
	size_t size = r->win_cap * 2;
	unsigned char *p;
	ssize_t n;

	if (size < WINDOW_MIN)
		size = WINDOW_MIN;
	if (size > WINDOW_MAX)
		size = WINDOW_MAX;
	if (size < want)
		size = want;
	if (r->win_cap < size || r->win_cap > 2 * (size_t)WINDOW_MAX) {
		if ((p = realloc(r->win, size)) == NULL)
			return -1;
		r->win = p;
		r->win_cap = size;
	}
	if (len > limit - pos)
		len = limit - pos;
	if (len > r->win_cap)
		len = r->win_cap;
	r->win_len = 0;
	n = fsdur_pread_all(r->fd, r->win, (size_t)len, (off_t)off);
	if (n < 0)
		return -1;
	r->win_pos = pos;
	r->win_len = (size_t)n;
	return 0;
}

int
wal_read(struct wal_reader *r, uint64_t *pos, uint64_t limit, size_t want,
    const unsigned char **data, size_t *avail)
{
	uint64_t off, len, gen;
	bool listed = false;

	if (*pos >= r->win_pos && *pos - r->win_pos + want <= r->win_len) {
		*data = r->win + (*pos - r->win_pos);
		*avail = r->win_len - (size_t)(*pos - r->win_pos);
		if (*avail > limit - *pos)
			*avail = (size_t)(limit - *pos);
		return *avail > 0;
	}
	gen = atomic_load(&r->w->words->gen);
	if (gen != r->gen)
		wal_reader_refresh(r);
	while (*pos < limit) {
		if (r->bases == NULL) {
			r->gen = atomic_load(&r->w->words->gen);
			if (wal_list(r->w->dirfd, &r->bases, &r->bases_cnt) ==
			    -1)
				return -1;
			listed = true;
			if (r->bases_cnt == 0) {	/* all are lost */
				*pos = limit;
				return 0;
			}
		}
		if ((r->fd == -1 || *pos < r->bases[r->cur] ||
		    *pos >= r->end) && open_segment(r, *pos) == -1) {
			if (errno == ENOENT && !listed) {
				wal_reader_refresh(r);	/* it has gone since */
				continue;
			}
			return -1;
		}
		if (locate(r, pos, &off, &len) == 0)
			continue;
		if (*pos >= limit)
			return 0;
		if (fill(r, *pos, off, len, limit, want) == -1)
			return -1;
		if (r->win_len == 0) {		/* the file is too short */
			*pos = r->end < limit ? r->end : limit;
			continue;
		}
		*data = r->win;
		*avail = r->win_len;
		return 1;
	}
	return 0;
}
