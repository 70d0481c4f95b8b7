/*
 * toyqueue: a queue just good enough to try the torture tools on.
 *
 * By the name it is called it is qpush, qpop, qdepth or qctl, with the few
 * options the tools use.  One file of records, one of acknowledgements, both
 * synced; one lock.  TOY_BUG plants a mistake that the tools must find:
 *   nosync     qpush does not sync the log
 *   nodir      directories are not synced
 *   rename     the log is renamed into place before it is synced
 *   nocrc      records are believed without their checksum
 *   ackfirst   acknowledged before it is delivered
 *   acklate    acknowledgements are not synced
 *   seqreuse   delivers what is not synced yet, whose number may come again
 *   notrim     appends after what a killed writer left
 *   syncfail   a failed sync is tried again and believed
 */

#include <sys/file.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"

#define HEAD	16		/* bytes before a record: sum, length, key, seq */
#define BIG	(1 << 22)

struct toy {
	const char *path;
	int dir, log, acks;
	unsigned char *data;	/* the log */
	size_t len;		/* of what is right in it */
	size_t size;		/* of the file */
	bool *acked;
	size_t acks_len;
	uint32_t cnt;		/* records */
};

static bool
bug(const char *name)
{
	const char *s = getenv("TOY_BUG");

	return s != NULL && strcmp(s, name) == 0;
}

static uint32_t
sum(const unsigned char *p, size_t len)
{
	uint32_t h = 2166136261U;

	while (len-- > 0)
		h = (h ^ *p++) * 16777619U;
	return h;
}

static void
sync_file(int fd)
{
	if (fdatasync(fd) == 0)
		return;
	if (bug("syncfail") && fdatasync(fd) == 0)
		return;
	err(EX_IOERR, "sync");
}

static void
sync_dirs(const struct toy *t)
{
	char copy[PATH_MAX];
	int fd;

	if (bug("nodir"))
		return;
	snprintf(copy, sizeof(copy), "%s", t->path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fsync(t->dir) == -1 || fd == -1 || fsync(fd) == -1)
		err(EX_IOERR, "%s", t->path);
	close(fd);
}

static void
make_files(struct toy *t)
{
	static const char magic[HEAD] = "TOYQUEUE1";
	int fd;

	if (mkdir(t->path, 0700) == -1 && errno != EEXIST)
		err(EX_CANTCREAT, "%s", t->path);
	t->dir = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dir == -1 || flock(t->dir, LOCK_EX) == -1)
		err(EX_OSERR, "%s", t->path);
	if (faccessat(t->dir, "log", F_OK, 0) == 0)
		return;
	fd = openat(t->dir, "acks", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	fd = openat(t->dir, "tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);
	if (fd == -1 || write(fd, magic, HEAD) != HEAD)
		err(EX_CANTCREAT, "%s/tmp", t->path);
	if (!bug("rename"))
		sync_file(fd);
	if (renameat(t->dir, "tmp", t->dir, "log") == -1)
		err(EX_CANTCREAT, "%s/log", t->path);
	close(fd);
	sync_dirs(t);
}

static uint32_t
word(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void
scan(struct toy *t)
{
	unsigned char acks[65536];
	size_t len, i;
	ssize_t n;

	n = pread(t->log, t->data, BIG, 0);
	if (n < HEAD || memcmp(t->data, "TOYQUEUE1", 9) != 0)
		errx(EX_DATAERR, "%s: not a log", t->path);
	t->size = (size_t)n;
	t->len = HEAD;
	while (t->len + HEAD <= t->size) {
		len = word(t->data + t->len + 4);
		if (len > t->size - t->len - HEAD || len == 0 ||
		    word(t->data + t->len + 12) != t->cnt)
			break;
		if (!bug("nocrc") && word(t->data + t->len) !=
		    sum(t->data + t->len + 4, len + 12))
			break;
		t->len += HEAD + len;
		t->cnt++;
	}
	t->acked = calloc(t->cnt + 1, sizeof(*t->acked));
	n = pread(t->acks, acks, sizeof(acks), 0);
	for (i = 0; t->acked != NULL && (ssize_t)i + 8 <= n; i += 8) {
		if (word(acks + i + 4) != sum(acks + i, 4))
			break;
		if (word(acks + i) < t->cnt)
			t->acked[word(acks + i)] = true;
	}
	t->acks_len = i;
}

static void
toy_open(struct toy *t, const char *path, bool create)
{
	struct stat st;

	*t = (struct toy){ .path = path, .data = malloc(BIG) };
	if (!create && stat(path, &st) == -1)
		errx(EX_NOINPUT, "%s: no such queue", path);
	make_files(t);
	t->log = openat(t->dir, "log", O_RDWR | O_CLOEXEC);
	t->acks = openat(t->dir, "acks", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (t->log == -1 || t->acks == -1 || t->data == NULL)
		err(EX_OSERR, "%s", path);
	scan(t);
}

static void
append(struct toy *t, uint32_t key, const char *msg, size_t len)
{
	unsigned char *rec = calloc(1, HEAD + len);
	uint32_t v[4] = { 0, (uint32_t)len, key, t->cnt++ };

	if (rec == NULL)
		err(EX_OSERR, NULL);
	memcpy(rec, v, sizeof(v));
	memcpy(rec + HEAD, msg, len);
	v[0] = sum(rec + 4, HEAD - 4 + len);
	memcpy(rec, v, 4);
	if (pwrite(t->log, rec, HEAD + len, (off_t)t->len) !=
	    (ssize_t)(HEAD + len)) {
		if (ftruncate(t->log, (off_t)t->len) == -1)
			warn("%s", t->path);
		err(EX_IOERR, "%s", t->path);
	}
	t->len += HEAD + len;
	free(rec);
}

static void
qpush(struct toy *t, bool keyed, char *words[])
{
	char *line = NULL, *msg;
	size_t cap = 0, len;
	uint32_t key;
	ssize_t n;

	sync_dirs(t);
	if (t->size > t->len && !bug("notrim") &&
	    ftruncate(t->log, (off_t)t->len) == -1)
		err(EX_IOERR, "%s", t->path);
	if (bug("notrim"))
		t->len = t->size;
	for (; *words != NULL; words++)
		append(t, 0, *words, strlen(*words));
	while ((n = getline(&line, &cap, stdin)) > 0) {
		msg = line;
		key = 0;
		len = (size_t)n - (line[n - 1] == '\n');
		if (keyed && (msg = memchr(line, ':', len)) != NULL) {
			key = (uint32_t)atoi(line + 1);
			len -= (size_t)(++msg - line);
		}
		append(t, key, msg, len);
	}
	free(line);
	if (!bug("nosync"))
		sync_file(t->log);
}

static void
acknowledge(struct toy *t, uint32_t seq)
{
	uint32_t v[2] = { seq, 0 };

	v[1] = sum((unsigned char *)v, 4);
	if (pwrite(t->acks, v, sizeof(v), (off_t)t->acks_len) != sizeof(v))
		err(EX_IOERR, "%s", t->path);
	t->acks_len += sizeof(v);
}

static int
qpop(struct toy *t, uint32_t max)
{
	size_t off = HEAD, len;
	uint32_t i, done = 0;

	sync_dirs(t);
	if (!bug("seqreuse"))
		sync_file(t->log);
	for (i = 0; i < t->cnt && done < max; i++, off += HEAD + len) {
		len = word(t->data + off + 4);
		if (t->acked[i])
			continue;
		if (bug("ackfirst"))
			acknowledge(t, i);
		if (write(1, t->data + off + HEAD, len) != (ssize_t)len ||
		    write(1, "\n", 1) != 1)
			err(EX_IOERR, "stdout");
		if (!bug("ackfirst"))
			acknowledge(t, i);
		done++;
	}
	if (!bug("acklate"))
		sync_file(t->acks);
	return done > 0 ? 0 : EX_NO;
}

int
main(int argc, char *argv[])
{
	const char *me = program_invocation_short_name;
	uint32_t max = 1, i, depth = 0;
	bool keyed = false;
	struct toy t;
	int ch;

	if (strcmp(me, "qctl") == 0) {	/* qctl verb queue */
		if (argc < 3)
			return EX_USAGE;
		toy_open(&t, argv[2], strcmp(argv[1], "create") == 0);
		return 0;
	}
	while ((ch = getopt(argc, argv, "+an:W:K:")) != -1) {
		if (ch == 'a')
			max = UINT32_MAX;
		else if (ch == 'n')
			max = (uint32_t)strtoul(optarg, NULL, 10);
		else if (ch == 'K')
			keyed = true;
		else if (ch != 'W')
			return EX_USAGE;
	}
	if (optind >= argc)
		return EX_USAGE;
	toy_open(&t, argv[optind], strcmp(me, "qpush") == 0);
	if (strcmp(me, "qpush") == 0) {
		qpush(&t, keyed, argv + optind + 1);
		return 0;
	}
	if (strcmp(me, "qpop") == 0)
		return qpop(&t, max);
	for (i = 0; i < t.cnt; i++)
		depth += !t.acked[i];
	printf("%u\n", depth);
	return 0;
}
