/*
 * queue_holder: who has taken messages, and are they alive?
 *
 * A holder is a FIFO in holders/ whose reading end is open in the consumer and
 * in what inherited it.  Opening it for writing without blocking fails with
 * ENXIO when the last reader is gone; one that was opened before then polls
 * POLLERR at that instant.  Names are random and never used again.
 */

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue_priv.h"

#define PROBE_NS	INT64_C(5000000)	/* at most so often, */
#define PROBE_MAX	256			/* and so many at once */
#define MAKE_TRIES	5

/* An id: 16 bits of the boot's stamp, 46 random ones, 2 of the kind. */
#define KIND(id)	((unsigned int)(id) & 3U)

static uint64_t
boot_bits(const struct queue *q)
{
	return q->stamp >> 48 << 48;
}

void
holder_name(uint64_t id, char name[24])
{
	snprintf(name, 24, "%016" PRIx64, id);
}

static int
parse_name(const char *name, uint64_t *id)
{
	return wal_name_parse(name, id);
}

int
holder_make(struct queue *q, unsigned int kind, uint64_t *id, int *fd)
{
	char name[24];

	for (int i = 0; i < MAKE_TRIES; i++) {
		arc4random_buf(id, sizeof(*id));
		*id = (*id & ~UINT64_C(0xffff000000000003)) | kind |
		    boot_bits(q);
		holder_name(*id, name);
		if (mkfifoat(q->holders_fd, name, q->file_mode) == -1) {
			if (errno == EEXIST)
				continue;
			return -1;
		}
		*fd = openat(q->holders_fd, name, O_RDONLY | O_NONBLOCK |
		    O_CLOEXEC);
		if (*fd != -1)
			return wal_fix_mode(*fd, q->file_mode, q->gid);
		if (errno != ENOENT) {
			(void)unlinkat(q->holders_fd, name, 0);
			return -1;
		}
		/* Swept away before we had it open. */
	}
	errno = EIO;
	return -1;
}

void
holder_end(struct queue *q, uint64_t id, int fd)
{
	char name[24];

	if (id == 0)
		return;
	holder_name(id, name);
	(void)unlinkat(q->holders_fd, name, 0);
	if (fd != -1)
		close(fd);
}

int
holder_alive(struct queue *q, uint64_t id, int *fd)
{
	char name[24];
	int w;

	if (fd != NULL)
		*fd = -1;
	holder_name(id, name);
	w = openat(q->holders_fd, name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (w == -1) {
		/*
		 * Somebody deleted it: of this boot, its owner may well live,
		 * so the message stays taken.
		 */
		if (errno == ENOENT)
			return id >> 48 << 48 == boot_bits(q);
		return errno != ENXIO;
	}
	if (fd != NULL)
		*fd = w;
	else
		close(w);
	return 1;
}

/* --- putting back --------------------------------------------------------------- */

/* BACK for the claim that a row of T_HELD or T_LEASE speaks of. */
static int
back_one(struct queue *q, const struct ikey *k, uint64_t no)
{
	uint32_t group = ikey_get32(k, 9);
	uint64_t start = ikey_get64(k, 13);
	struct claim_row c;
	int got = claim_covers(q, group, start, &c);

	if (got == -1)
		return -1;
	if (got == 0 || c.no != no)	/* of a damaged journal: no claim */
		return index_del(q, k) == -1 ? -1 : 0;
	return record_back(q, group, no, false, 0, start);
}

/* Everything the dead holder had. */
static int
back_all(struct queue *q, uint64_t holder)
{
	struct ikey k;
	struct ival v;
	int got;

	ikey_init(&k, T_HELD);
	ikey_u64(&k, holder);
	while ((got = index_seek(q, &k, 9, &v)) == 1) {
		if (back_one(q, &k, v.w[0]) == -1)
			return -1;
		ikey_after(&k);
	}
	return got;
}

static int
sweep_leases(struct queue *q)
{
	uint64_t now = (uint64_t)boot_now_ns();
	struct ikey k;
	struct ival v;
	int got;

	ikey_init(&k, T_LEASE);
	while ((got = index_seek(q, &k, 1, &v)) == 1 &&
	    ikey_get64(&k, 1) <= now) {
		if (back_one(q, &k, v.w[0]) == -1)
			return -1;
		ikey_after(&k);
	}
	return got;
}

/* The holder with claims at or after id, or 0. */
static int
next_holder(struct queue *q, uint64_t id, uint64_t *found)
{
	struct ikey k;
	int got;

	*found = 0;
	ikey_init(&k, T_HELD);
	ikey_u64(&k, id);
	if ((got = index_seek(q, &k, 1, NULL)) == 1)
		*found = ikey_get64(&k, 1);
	return got;
}

/* Who has just begun, or finds nothing to take, does not wait. */
static bool
probe_due(struct queue *q, bool all)
{
	uint64_t now = (uint64_t)mono_now().ns;

	if (!all && now - word_get(&q->ctl->probed_ns) <
	    (uint64_t)PROBE_NS)
		return false;
	word_put(&q->ctl->probed_ns, now);
	return true;
}

int
holder_sweep(struct queue *q, bool all, bool *any)
{
	uint64_t id = all ? 0 : word_get(&q->ctl->probe_next), found;
	uint64_t dead[PROBE_MAX];
	size_t dead_cnt = 0;
	int got;

	*any = false;
	if (sweep_leases(q) == -1)
		return -1;
	if (probe_due(q, all)) {
		for (int i = 0; (all || i < PROBE_MAX) &&
		    dead_cnt < PROBE_MAX; i++) {
			if ((got = next_holder(q, id, &found)) == -1)
				return -1;
			id = got == 0 ? 0 : found + 1;
			if (got == 0)
				break;
			if (found != q->holder &&
			    holder_alive(q, found, NULL) == 0) {
				if (back_all(q, found) == -1)
					return -1;
				dead[dead_cnt++] = found;
			}
		}
		word_put(&q->ctl->probe_next, id);
	}
	if (q->rec.len == 0)
		return 0;
	*any = true;
	if (record_commit(q) == -1)
		return -1;
	while (dead_cnt > 0)
		holder_end(q, dead[--dead_cnt], -1);
	if (q->idx.broken) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

int
holder_list(struct queue *q, uint64_t *ids, size_t max)
{
	uint64_t id = 0, found;
	size_t n = 0;
	int got;

	while (n < max && (got = next_holder(q, id, &found)) == 1) {
		if (found != q->holder)
			ids[n++] = found;
		id = found + 1;
	}
	return n < max && got == -1 ? -1 : (int)n;
}

/* --- the directory --------------------------------------------------------------------- */

static DIR *
open_dir(struct queue *q)
{
	int fd = openat(q->holders_fd, ".", O_RDONLY | O_DIRECTORY |
	    O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL && fd != -1)
		close(fd);
	return dir;
}

unsigned int
holder_count(struct queue *q, unsigned int kind)
{
	DIR *dir = open_dir(q);
	unsigned int n = 0;
	struct dirent *e;
	uint64_t id;

	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL)
		if (parse_name(e->d_name, &id) == 0 && KIND(id) == kind &&
		    holder_alive(q, id, NULL) == 1)
			n++;
	closedir(dir);
	return n;
}

/* FIFOs of the dead that hold nothing (all: every FIFO). */
int
holder_tidy(struct queue *q, bool all)
{
	DIR *dir = open_dir(q);
	struct dirent *e;
	uint64_t id, found;
	int got = 0;

	if (dir == NULL)
		return -1;
	while (got != -1 && (e = readdir(dir)) != NULL) {
		if (parse_name(e->d_name, &id) == -1)
			continue;
		if (!all) {
			if (holder_alive(q, id, NULL) == 1)
				continue;
			got = next_holder(q, id, &found);
			if (got == -1 || (got == 1 && found == id))
				continue;
		}
		(void)unlinkat(q->holders_fd, e->d_name, 0);
	}
	closedir(dir);
	return got == -1 ? -1 : 0;
}
