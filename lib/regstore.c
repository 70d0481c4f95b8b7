/*
 * regstore: a chained hash table beside a log of whole entries.
 *
 * Happy path: merge or write, queue the record, commit appends all of them
 * with one sync.  A crash leaves at most one torn record, which open cuts off.
 */

#include "regstore.h"

#include <sys/file.h>
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
#include "regwire.h"

#define LOG_NAME	"log"
#define MAGIC		"capdemo1"
#define MAGIC_LEN	8
#define RECORD_HEAD	8
#define REWRITE_MIN	(INT64_C(4) << 20)	/* bytes of log */
#define REWRITE_TIMES	4			/* what is alive */

_Static_assert(REGSTORE_BUCKETS == REGWIRE_BUCKETS, "one digest");

struct regstore {
	int dirfd, fd;
	off_t log_len;
	off_t live_len;			/* after the last rewrite */
	size_t limit;
	struct buf queued;
	struct regstore_key **chains;
	size_t chains_cnt;		/* a power of two */
	uint64_t keys, discarded, clock;
	uint64_t digests[REGSTORE_BUCKETS];
};

/* --- the table ------------------------------------------------------------ */

static struct regstore_key *
find(const struct regstore *s, const void *key, size_t len, uint64_t hash)
{
	struct regstore_key *k = s->chains[hash & (s->chains_cnt - 1)];

	while (k != NULL && (k->hash != hash || k->len != len ||
	    memcmp(k->key, key, len) != 0))
		k = k->next;
	return k;
}

static int
grow(struct regstore *s)
{
	size_t cnt = s->chains_cnt == 0 ? 64 : s->chains_cnt * 2;
	struct regstore_key **chains, *k, *next;

	if ((chains = calloc(cnt, sizeof(void *))) == NULL)
		return -1;
	for (size_t i = 0; i < s->chains_cnt; i++)
		for (k = s->chains[i]; k != NULL; k = next) {
			next = k->next;
			k->next = chains[k->hash & (cnt - 1)];
			chains[k->hash & (cnt - 1)] = k;
		}
	free(s->chains);
	s->chains = chains;
	s->chains_cnt = cnt;
	return 0;
}

static struct regstore_key *
find_or_make(struct regstore *s, const void *key, size_t len)
{
	uint64_t hash = hash64(key, len, 0);
	struct regstore_key *k = find(s, key, len, hash), **chain;

	if (k != NULL)
		return k;
	if (s->keys >= s->chains_cnt && grow(s) == -1)
		return NULL;
	if ((k = calloc(1, sizeof(*k) + len)) == NULL)
		return NULL;
	k->hash = hash;
	k->len = (unsigned char)len;
	memcpy(k->key, key, len);
	chain = &s->chains[hash & (s->chains_cnt - 1)];
	k->next = *chain;
	*chain = k;
	s->keys++;
	return k;
}

const struct regstore_key *
regstore_find(const struct regstore *s, const void *key, size_t len)
{
	return find(s, key, len, hash64(key, len, 0));
}

const struct regstore_key *
regstore_next(const struct regstore *s, const struct regstore_key *after)
{
	size_t i = 0;

	if (after != NULL) {
		if (after->next != NULL)
			return after->next;
		i = (after->hash & (s->chains_cnt - 1)) + 1;
	}
	for (; i < s->chains_cnt; i++)
		if (s->chains[i] != NULL)
			return s->chains[i];
	return NULL;
}

unsigned int
regstore_bucket(const struct regstore_key *k)
{
	return (unsigned int)(k->hash >> 58);	/* not the chain's bits */
}

/* --- records --------------------------------------------------------------- */

static uint32_t
checksum(const unsigned char *data, size_t len, uint64_t pos)
{
	return crc32c(data, len) ^ crc_place(0, pos, len);
}

/* Append one record to b, whose first byte is at pos in the file. */
static int
put_record(struct buf *b, uint64_t pos, const struct regstore_key *k)
{
	static const unsigned char head[RECORD_HEAD];
	size_t start = b->len, len;
	unsigned char *p;

	if (buf_put(b, head, sizeof(head)) == -1 ||
	    buf_put_byte(b, k->len) == -1 ||
	    buf_put(b, k->key, k->len) == -1 ||
	    regwire_put_entry(b, &k->entry) == -1) {
		b->len = start;
		return -1;
	}
	p = b->data + start;
	len = b->len - start - RECORD_HEAD;
	le_put32(p, (uint32_t)len);
	le_put32(p + 4, checksum(p + RECORD_HEAD, len, pos + start));
	return 0;
}

/* The key's entry has changed: keep digests and clock, queue the record. */
static int
changed(struct regstore *s, struct regstore_key *k)
{
	uint64_t clock = dvv_stamp(&k->entry).hlc, *d;

	d = &s->digests[regstore_bucket(k)];
	*d ^= k->digest;
	k->digest = dvv_digest(&k->entry, k->key, k->len);
	*d ^= k->digest;
	if (clock > s->clock)
		s->clock = clock;
	return put_record(&s->queued, (uint64_t)s->log_len, k);
}

int
regstore_merge(struct regstore *s, const void *key, size_t len,
    const struct dvv *entry)
{
	struct regstore_key *k = find_or_make(s, key, len);

	if (k == NULL || dvv_merge(&k->entry, entry, s->limit,
	    &s->discarded) == -1)
		return -1;
	if (dvv_digest(&k->entry, k->key, k->len) == k->digest)
		return 0;
	return changed(s, k) == -1 ? -1 : 1;
}

int
regstore_write(struct regstore *s, const void *key, size_t len,
    const uint64_t *context, uint16_t node, const struct dvv_version *v)
{
	struct regstore_key *k = find_or_make(s, key, len);

	if (k == NULL || dvv_write(&k->entry, context, node, v, s->limit,
	    &s->discarded) == -1)
		return -1;
	return changed(s, k);
}

/* --- the log ---------------------------------------------------------------- */

/* Write everything that is alive to a new file and go on in that one. */
static int
rewrite(struct regstore *s)
{
	const struct regstore_key *k;
	struct buf b = { 0 };
	int rc = -1, fd;

	if (buf_put(&b, MAGIC, MAGIC_LEN) == -1)
		goto out;
	for (k = regstore_next(s, NULL); k != NULL; k = regstore_next(s, k))
		if (put_record(&b, 0, k) == -1)
			goto out;
	if (fsdur_write_file(s->dirfd, LOG_NAME, b.data, b.len, 0600) == -1)
		goto out;
	fd = openat(s->dirfd, LOG_NAME, O_RDWR | O_CLOEXEC);
	if (fd == -1)
		goto out;
	if (s->fd != -1)
		(void)close(s->fd);
	s->fd = fd;
	s->log_len = s->live_len = (off_t)b.len;
	s->queued.len = 0;
	rc = 0;
out:
	buf_release(&b);
	return rc;
}

int
regstore_commit(struct regstore *s)
{
	if (s->queued.len == 0)
		return 0;
	if (s->log_len > REWRITE_MIN && s->log_len > REWRITE_TIMES * s->live_len)
		return rewrite(s);
	if (fsdur_pwrite_all(s->fd, s->queued.data, s->queued.len,
	    s->log_len) == -1 || fsdur_sync(s->fd) == -1)
		return -1;
	s->log_len += (off_t)s->queued.len;
	s->queued.len = 0;
	return 0;
}

/* The record at p belongs to the log: take it.  0 it is not whole. */
static int
load_record(struct regstore *s, const unsigned char *p, size_t left,
    uint64_t pos, size_t *used)
{
	struct dvv entry = { 0 };
	uint32_t len;
	size_t key_len;
	int rc;

	if (left < RECORD_HEAD || (len = le_get32(p)) > left - RECORD_HEAD ||
	    len < 2 || le_get32(p + 4) != checksum(p + RECORD_HEAD, len, pos))
		return 0;
	p += RECORD_HEAD;
	key_len = p[0];
	if (key_len == 0 || key_len > len - 1 || regwire_get_entry(p + 1 +
	    key_len, len - 1 - key_len, &entry) == -1) {
		if (errno != ENOMEM)
			errno = EBADMSG;	/* whole, yet nonsense */
		return -1;
	}
	rc = regstore_merge(s, p + 1, key_len, &entry);
	dvv_release(&entry);
	*used = RECORD_HEAD + len;
	return rc == -1 ? -1 : 1;
}

static int
load(struct regstore *s, const unsigned char *data, size_t len)
{
	size_t at = MAGIC_LEN, used = 0;
	int rc;

	if (len < MAGIC_LEN || memcmp(data, MAGIC, MAGIC_LEN) != 0) {
		errno = EBADMSG;
		return -1;
	}
	while ((rc = load_record(s, data + at, len - at, at, &used)) == 1)
		at += used;
	s->queued.len = 0;		/* it is all there already */
	s->discarded = 0;
	return rc;
}

static int
read_log(struct regstore *s)
{
	struct stat st;
	unsigned char *data;
	ssize_t got;
	int rc = -1;

	if (fstat(s->fd, &st) == -1)
		return -1;
	if ((data = malloc((size_t)st.st_size + 1)) == NULL)
		return -1;
	got = fsdur_pread_all(s->fd, data, (size_t)st.st_size, 0);
	if (got != -1)
		rc = load(s, data, (size_t)got);
	free(data);
	return rc;
}

/* Lock the directory, as long as it is open; remove half-made files. */
static int
lock_and_sweep(struct regstore *s, int dirfd)
{
	const struct dirent *e;
	DIR *dir;
	int fd;

	s->dirfd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd == -1)
		return -1;
	if (flock(s->dirfd, LOCK_EX | LOCK_NB) == -1) {
		if (errno == EWOULDBLOCK)
			errno = EBUSY;
		return -1;
	}
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || (dir = fdopendir(fd)) == NULL)
		return -1;
	while ((e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, FSDUR_TMP_PREFIX,
		    sizeof(FSDUR_TMP_PREFIX) - 1) == 0)
			(void)unlinkat(s->dirfd, e->d_name, 0);
	(void)closedir(dir);
	return 0;
}

int
regstore_open(struct regstore **sp, int dirfd, size_t limit)
{
	struct regstore *s = calloc(1, sizeof(*s));
	int saved;

	if (s == NULL)
		return -1;
	s->fd = s->dirfd = -1;
	s->limit = limit;
	if (grow(s) == -1 || lock_and_sweep(s, dirfd) == -1)
		goto fail;
	s->fd = openat(s->dirfd, LOG_NAME, O_RDWR | O_CLOEXEC);
	if (s->fd == -1 && errno != ENOENT)
		goto fail;
	if (s->fd != -1 && read_log(s) == -1)
		goto fail;
	/* A new log each time: short, and without a torn end. */
	if (rewrite(s) == -1)
		goto fail;
	*sp = s;
	return 0;
fail:
	saved = errno;
	regstore_close(s);
	errno = saved;
	return -1;
}

void
regstore_close(struct regstore *s)
{
	struct regstore_key *k, *next;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->chains_cnt; i++)
		for (k = s->chains[i]; k != NULL; k = next) {
			next = k->next;
			dvv_release(&k->entry);
			free(k);
		}
	free(s->chains);
	buf_release(&s->queued);
	if (s->fd != -1)
		(void)close(s->fd);
	if (s->dirfd != -1)
		(void)close(s->dirfd);
	free(s);
}

const uint64_t *
regstore_digests(const struct regstore *s)
{
	return s->digests;
}

uint64_t
regstore_digest(const struct regstore *s)
{
	return hash64(s->digests, sizeof(s->digests), 0);
}

uint64_t
regstore_count(const struct regstore *s)
{
	return s->keys;
}

uint64_t
regstore_discarded(const struct regstore *s)
{
	return s->discarded;
}

uint64_t
regstore_clock(const struct regstore *s)
{
	return s->clock;
}
