/* wal_format: the bytes of headers and names; dsqueue(5) is the reference. */

#include "wal.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "crc.h"
#include "fsdur.h"
#include "wal_priv.h"

#define VERSION_1	1U

int
wal_fix_mode(int fd, mode_t mode, gid_t gid)
{
	if (gid != (gid_t)-1 && fchown(fd, (uid_t)-1, gid) == -1)
		return -1;
	return fchmod(fd, mode);
}

void
wal_name(uint64_t base, char name[17])
{
	snprintf(name, 17, "%016" PRIx64, base);
}

int
wal_name_parse(const char *name, uint64_t *base)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < 16; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *p = name[i] == '\0' ? NULL :
		    strchr(digits, name[i]);

		if (p == NULL) {
			errno = EINVAL;
			return -1;
		}
		v = v << 4 | (uint64_t)(p - digits);
	}
	if (name[16] != '\0') {
		errno = EINVAL;
		return -1;
	}
	*base = v;
	return 0;
}

void
wal_head_encode(const struct wal *w, const struct wal_head *h,
    unsigned char out[WAL_HEAD_SIZE])
{
	memcpy(out, w->magic, 8);
	le_put32(out + 8, VERSION_1);
	le_put64(out + 16, h->base);
	le_put64(out + 24, h->seq);
	le_put64(out + 32, h->created_ms);
	le_put32(out + 40, h->epoch);
	le_put32(out + 44, h->flags);
	memcpy(out + 48, w->id, 16);
	le_put32(out + 12, 0);
	le_put32(out + 12, crc32c(out, WAL_HEAD_SIZE));
}

int
wal_head_decode(const struct wal *w, const unsigned char *in,
    struct wal_head *h)
{
	unsigned char raw[WAL_HEAD_SIZE];

	memcpy(raw, in, sizeof(raw));
	le_put32(raw + 12, 0);
	if (memcmp(in, w->magic, 8) != 0 ||
	    le_get32(in + 12) != crc32c(raw, sizeof(raw)) ||
	    memcmp(in + 48, w->id, 16) != 0) {
		errno = EBADMSG;
		return -1;
	}
	if (le_get32(in + 8) != VERSION_1) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	h->base = le_get64(in + 16);
	h->seq = le_get64(in + 24);
	h->created_ms = le_get64(in + 32);
	h->epoch = le_get32(in + 40);
	h->flags = le_get32(in + 44);
	return 0;
}

void
wal_batch_encode(const struct wal *w, uint64_t pos, const struct wal_batch *b,
    unsigned char out[WAL_BATCH_SIZE])
{
	memset(out, 0, WAL_BATCH_SIZE);
	le_put32(out + 4, WAL_BATCH_MAGIC);
	le_put32(out + 8, b->body_len);
	le_put32(out + 12, b->count);
	le_put64(out + 16, b->seq);
	le_put32(out + 24, b->flags);
	le_put32(out + 28, b->body_crc);
	le_put64(out + 32, b->floor);
	le_put32(out, crc32c(out + 4, WAL_BATCH_SIZE - 4) ^
	    crc_place(w->seed, pos, b->seq));
}

int
wal_batch_decode(const struct wal *w, uint64_t pos, const unsigned char *in,
    struct wal_batch *b)
{
	b->seq = le_get64(in + 16);
	if (le_get32(in + 4) != WAL_BATCH_MAGIC ||
	    le_get32(in) != (crc32c(in + 4, WAL_BATCH_SIZE - 4) ^
	    crc_place(w->seed, pos, b->seq)))
		goto bad;
	b->body_len = le_get32(in + 8);
	b->count = le_get32(in + 12);
	b->flags = le_get32(in + 24);
	b->body_crc = le_get32(in + 28);
	b->floor = le_get64(in + 32);
	if (b->body_len > WAL_BODY_MAX || b->body_len % 8 != 0)
		goto bad;
	return 0;
bad:
	errno = EBADMSG;
	return -1;
}

#define RUN_MAGIC	0x4e55524dU	/* "MRUN" */

void
wal_run_encode(const struct wal *w, uint64_t pos, uint64_t len,
    unsigned char out[WAL_RUN_SIZE])
{
	le_put32(out, RUN_MAGIC);
	le_put64(out + 8, pos);
	le_put64(out + 16, len);
	le_put32(out + 4, crc32c(out + 8, 16) ^ crc_place(w->seed, pos, len));
}

int
wal_run_decode(const struct wal *w, const unsigned char *in, uint64_t *pos,
    uint64_t *len)
{
	*pos = le_get64(in + 8);
	*len = le_get64(in + 16);
	if (le_get32(in) == RUN_MAGIC && le_get32(in + 4) ==
	    (crc32c(in + 8, 16) ^ crc_place(w->seed, *pos, *len)))
		return 0;
	errno = EBADMSG;
	return -1;
}

int
wal_head_read(const struct wal *w, uint64_t base, struct wal_head *h)
{
	unsigned char raw[WAL_HEAD_SIZE];
	char name[17];
	ssize_t n;
	int fd;

	wal_name(base, name);
	if ((fd = openat(w->dirfd, name, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	n = fsdur_pread_all(fd, raw, sizeof(raw), 0);
	close(fd);
	if (n != (ssize_t)sizeof(raw)) {
		if (n >= 0)
			errno = EBADMSG;
		return -1;
	}
	if (wal_head_decode(w, raw, h) == -1)
		return -1;
	if (h->base != base) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}
