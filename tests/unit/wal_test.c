/*
 * wal: segments, reading over them, and what is left after a write was torn, a
 * sync failed, bytes changed or a table was damaged.
 *
 * The records here are 8 bytes each, their number in the log first of all, so
 * every batch of a kind looks like every other but for its place.
 */

#include "wal.h"
#include "wal_priv.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>

#include "buf.h"
#include "crc.h"
#include "fsdur.h"
#include "tap.h"

#define MAGIC		"waltest1"
#define BODY_MAX	4096U

static struct wal_shared *shared;
static struct wal w;
static struct lock lock;
static unsigned int dirs;
static char dir[512];

/* --- a log to play with ---------------------------------------------------------- */

static uint32_t
fixup(const struct wal *l, unsigned char *body, size_t len,
    const struct wal_place *at)
{
	for (size_t i = 0; i < len / 8; i++)
		le_put64(body + 8 * i, at->seq + i);
	return crc32c(body, len) ^ crc_place(l->seed, at->pos, at->seq);
}

static int
verify(const struct wal *l, const unsigned char *body,
    const struct wal_batch *b, uint64_t pos)
{
	if ((crc32c(body, b->body_len) ^ crc_place(l->seed, pos, b->seq)) ==
	    b->body_crc)
		return 0;
	errno = EBADMSG;
	return -1;
}

static int
open_dir(const char *name)
{
	int fd;

	(void)snprintf(dir, sizeof(dir), "%s/%s%u", tap_tmpdir(), name,
	    dirs++);
	if (mkdir(dir, 0700) == -1 ||
	    (fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		tap_bail("%s", dir);
	return fd;
}

/* The log in dirfd, with words and locks in this file. */
static void
set_up(const char *words, int dirfd, uint64_t limit)
{
	int fd = open(words, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1 || ftruncate(fd, sizeof(*shared)) == -1)
		tap_bail("%s", words);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		tap_bail("mmap");
	memset(&lock, 0, sizeof(lock));
	lock.fd = fd;
	w = (struct wal){ .dirfd = dirfd, .mode = 0600,
		.gid = (gid_t)-1, .magic = MAGIC, .limit = limit,
		.words = &shared->is, .lock = &lock, .lock_append = 1,
		.lock_commit = 2, .fixup = fixup, .verify = verify };
	memcpy(w.id, "0123456789abcdef", sizeof(w.id));
	wal_init(&w);
}

static void
shut(void)
{
	wal_release(&w);
	(void)close(w.dirfd);
	(void)munmap(shared, sizeof(*shared));
	(void)close(lock.fd);
	shared = NULL;
}

/* An empty log in a directory of its own. */
static void
fresh(uint64_t limit)
{
	char words[600];
	int fd;

	if (shared != NULL)
		shut();
	fd = open_dir("log");
	(void)snprintf(words, sizeof(words), "%s/words", dir);
	set_up(words, fd, limit);
	memset(&shared->is, 0, sizeof(shared->is));
	memset(&shared->not, 0xff, sizeof(shared->not));
	if (wal_begin(&w, 0, 0, 1) == -1)
		tap_bail("wal_begin");
}

static int
append(uint32_t records, uint32_t flags, struct wal_place *at)
{
	unsigned char batch[WAL_BATCH_SIZE + BODY_MAX] = { 0 };
	struct wal_place place;
	int r;

	if (lock_take(&lock, w.lock_append, MONO_NEVER) == -1)
		tap_bail("lock");
	r = wal_append(&w, batch, records * 8, records, flags, at != NULL ?
	    at : &place);
	lock_drop(&lock, w.lock_append);
	return r;
}

static void
append_all(uint32_t batches, uint32_t records)
{
	for (uint32_t i = 0; i < batches; i++)
		if (append(records, 0, NULL) == -1)
			tap_bail("wal_append");
}

static uint64_t
word(const _Atomic uint64_t *p)
{
	return atomic_load(p);
}

static size_t
segments(void)
{
	uint64_t *bases = NULL;
	size_t cnt = 0;

	if (wal_list(w.dirfd, &bases, &cnt) == -1)
		tap_bail("wal_list");
	free(bases);
	return cnt;
}

/*
 * Read all batches below the visible end as readers do; how many records
 * follow each other from number `from` on; *end: position behind them.
 */
static uint64_t
read_from(uint64_t pos, uint64_t from, uint64_t *end)
{
	uint64_t limit = word(&w.words->visible), seq = from;
	const unsigned char *p;
	struct wal_reader r;
	struct wal_batch b;
	size_t avail;

	wal_reader_init(&r, &w);
	while (wal_read(&r, &pos, limit, WAL_BATCH_SIZE, &p, &avail) == 1 &&
	    avail >= WAL_BATCH_SIZE && wal_batch_decode(&w, pos, p, &b) == 0 &&
	    b.seq == seq && wal_read(&r, &pos, limit, WAL_BATCH_SIZE +
	    b.body_len, &p, &avail) == 1 &&
	    avail >= WAL_BATCH_SIZE + b.body_len &&
	    verify(&w, p + WAL_BATCH_SIZE, &b, pos) == 0) {
		pos += WAL_BATCH_SIZE + b.body_len;
		seq += b.count;
	}
	wal_reader_release(&r);
	if (end != NULL)
		*end = pos;
	return seq - from;
}

/* Change the file of a segment: xor one byte, or write, or cut. */
static void
flip(uint64_t base, off_t off, unsigned char bits)
{
	unsigned char byte;
	char name[17];
	int fd;

	wal_name(base, name);
	fd = openat(w.dirfd, name, O_RDWR | O_CLOEXEC);
	if (fd == -1 || pread(fd, &byte, 1, off) != 1)
		tap_bail("flip %s at %ld", name, (long)off);
	byte ^= bits;
	if (pwrite(fd, &byte, 1, off) != 1 || close(fd) == -1)
		tap_bail("flip");
}

static void
put_file(const char *name, const void *data, size_t len)
{
	int fd = openat(w.dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);

	if (fd == -1 || write(fd, data, len) != (ssize_t)len ||
	    close(fd) == -1)
		tap_bail("%s", name);
}

static size_t
get_file(const char *name, unsigned char *data, size_t max)
{
	int fd = openat(w.dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, data, max);

	if (n == -1)
		tap_bail("%s", name);
	(void)close(fd);
	return (size_t)n;
}

static void
forget_files(void)
{
	uint64_t *bases = NULL;
	size_t cnt = 0;
	char name[17];

	if (wal_list(w.dirfd, &bases, &cnt) == -1)
		tap_bail("wal_list");
	for (size_t i = 0; i < cnt; i++) {
		wal_name(bases[i], name);
		(void)unlinkat(w.dirfd, name, 0);
	}
	free(bases);
}

/* As after a boot: the words are forgotten. */
static int
recover(uint64_t floor, uint64_t *end_seq)
{
	wal_release(&w);
	memset(&shared->is, 0, sizeof(shared->is));
	memset(&shared->not, 0xff, sizeof(shared->not));
	return wal_recover(&w, floor, 0, 0, 2, end_seq);
}

/* --- tests ------------------------------------------------------------------------ */

static void
test_roll(void)
{
	struct wal_place at, first;
	struct wal_head h;
	uint64_t *bases, end;
	size_t cnt;

	fresh(1024);
	if (append(3, 0, &first) == -1)
		tap_bail("append");
	is_uint(first.pos, 0, "roll: the first batch begins at 0");
	is_uint(first.end, WAL_BATCH_SIZE + 24, "roll: and ends behind it");
	append_all(60, 3);
	if (append(3, 0, &at) == -1)
		tap_bail("append");
	is_uint(at.seq, 61 * 3, "roll: numbers follow each other");
	ok(segments() > 4, "roll: several segments (%zu)", segments());
	if (wal_list(w.dirfd, &bases, &cnt) == -1)
		tap_bail("wal_list");
	for (size_t i = 0; i < cnt; i++) {
		struct stat st;
		char name[17];

		wal_name(bases[i], name);
		if (wal_head_read(&w, bases[i], &h) == -1 ||
		    fstatat(w.dirfd, name, &st, 0) == -1)
			tap_bail("%s", name);
		ok(h.base == bases[i] && h.seq == bases[i] /
		    (WAL_BATCH_SIZE + 24) * 3 && st.st_size <= 1024 +
		    (off_t)WAL_HEAD_SIZE, "roll: segment %zu says where it is",
		    i);
	}
	free(bases);
	is_uint(word(&w.words->durable), word(&w.words->base), "roll: what is left behind is on disk");
	is_int(wal_commit(&w, &at), 0, "roll: commit");
	is_uint(read_from(0, 0, &end), 62 * 3, "roll: all is read in order");
	is_uint(end, at.end, "roll: to the end");
	is_uint(read_from(first.end, 3, NULL), 61 * 3,
	    "roll: from any batch on");
	ok(wal_words_whole(shared), "roll: the words agree");
}

static void
test_read(void)
{
	const unsigned char *p;
	struct wal_reader r;
	uint64_t pos, limit;
	size_t avail;

	fresh(4096);
	append_all(200, 16);
	is_int(wal_commit_all(&w), 0, "read: commit");
	limit = word(&w.words->visible);
	wal_reader_init(&r, &w);
	pos = limit;
	is_int(wal_read(&r, &pos, limit, 1, &p, &avail), 0,
	    "read: nothing at the end");
	pos = 8;
	is_int(wal_read(&r, &pos, 40, 16, &p, &avail), 1, "read: below a limit");
	ok(avail <= 32 && pos == 8, "read: no more than up to it");
	append_all(1, 2);
	pos = limit;
	is_int(wal_read(&r, &pos, limit, 1, &p, &avail), 0,
	    "read: what is not visible is not there");
	is_int(wal_commit_all(&w), 0, "read: commit");
	is_int(wal_read(&r, &pos, word(&w.words->visible), 64, &p, &avail), 1,
	    "read: then it is");
	/* A whole segment is gone: the next byte that exists follows. */
	{
		uint64_t *bases, second, third;
		char name[17];
		size_t cnt;

		if (wal_list(w.dirfd, &bases, &cnt) == -1 || cnt < 4)
			tap_bail("wal_list");
		second = bases[1];
		third = bases[2];
		free(bases);
		wal_name(second, name);
		(void)unlinkat(w.dirfd, name, 0);
		wal_bump(&w);
		pos = second + 8;
		is_int(wal_read(&r, &pos, limit, 48, &p, &avail), 1,
		    "read: over a segment that is gone");
		is_uint(pos, third, "read: on from the next");
	}
	wal_reader_release(&r);
}

static void
test_more(void)
{
	struct wal_place a, b;

	fresh(1 << 20);
	append_all(2, 3);
	is_int(append(3, WAL_MORE, &a), 0, "more: the first");
	is_uint(word(&w.words->tail_seq), 6, "more: it is not published");
	is_int(append(3, WAL_MORE, &b), 0, "more: the second");
	is_uint(b.pos, a.end, "more: they follow each other");
	wal_abandon(&w);
	is_int(append(5, 0, &b), 0, "more: after abandon");
	is_uint(b.pos, a.pos, "more: the next takes their place");
	is_uint(b.seq, 6, "more: and their number");
	is_int(append(3, WAL_MORE, &a), 0, "more: again");
	is_int(append(3, 0, &b), 0, "more: complete");
	is_uint(word(&w.words->tail), b.end, "more: then all is published");
	is_int(wal_commit_all(&w), 0, "more: commit");
	is_uint(read_from(0, 0, NULL), 17, "more: and read");
}

/*
 * Batches of equal length line up: what one wrote earlier at the same place,
 * or elsewhere with the same number, must not be taken for a batch.
 */
static void
test_stale(void)
{
	static unsigned char file[65536];
	struct wal_place at, old;
	struct wal_batch b;
	uint64_t end_seq, from, end;
	int good = 0, bad = 0, fd;
	size_t len;

	fresh(1 << 20);
	append_all(5, 4);
	len = get_file("0000000000000000", file, sizeof(file));
	for (uint64_t i = 0; i < 5; i++)
		for (uint64_t j = 0; j < 5; j++) {
			const unsigned char *p = file + WAL_HEAD_SIZE +
			    i * (WAL_BATCH_SIZE + 32);
			uint64_t pos = j * (WAL_BATCH_SIZE + 32);

			if (wal_batch_decode(&w, pos, p, &b) == 0 &&
			    verify(&w, p + WAL_BATCH_SIZE, &b, pos) == 0)
				i == j ? good++ : bad++;
		}
	is_int(good, 5, "stale: every batch is good in its place");
	is_int(bad, 0, "stale: and in no other");

	/* Killed between write and publishing: the bytes lie behind the tail. */
	from = word(&w.words->tail);
	if (append(4, 0, &old) == -1)
		tap_bail("append");
	atomic_store(&w.words->tail, from);
	atomic_store(&w.words->tail_seq, 20);
	is_int(append(1, 0, &at), 0, "stale: append where a killed one wrote");
	is_uint(at.pos, from, "stale: in its place");
	is_int(wal_commit_all(&w), 0, "stale: commit");
	fd = openat(w.dirfd, "0000000000000000", O_RDONLY | O_CLOEXEC);
	is_int(wal_check_range(&w, fd, 0, at.end, old.end + 400, 21, &end,
	    &end_seq), 0, "stale: look behind it");
	is_uint(end, at.end, "stale: nothing there any more");
	(void)close(fd);

	/* The power goes: all after the second batch is dropped by a floor. */
	fresh(1 << 20);
	append_all(5, 4);
	flip(0, (off_t)(WAL_HEAD_SIZE + 2 * (WAL_BATCH_SIZE + 32) + 2), 1);
	is_int(recover(0, &end_seq), 0, "stale: recover");
	is_uint(end_seq, 8, "stale: two batches are left");
	append_all(3, 4);
	is_int(wal_commit_all(&w), 0, "stale: commit");
	is_uint(read_from(0, 0, &end), 20, "stale: old ones and new ones");
	is_uint(end, 5 * (WAL_BATCH_SIZE + 32),
	    "stale: though old bytes lie in the old file at the same place");
	/* And again: the second power cut drops the new segment's tail. */
	flip(2 * (WAL_BATCH_SIZE + 32), (off_t)(WAL_HEAD_SIZE +
	    (WAL_BATCH_SIZE + 32) + 2), 1);
	is_int(recover(0, &end_seq), 0, "stale: recover once more");
	is_uint(end_seq, 12, "stale: three batches are left");
	is_uint(read_from(0, 0, NULL), 12, "stale: in order");
	(void)len;
}

/* The last batch, cut at every byte, or zeros from there on. */
static void
test_torn(void)
{
	static unsigned char file[65536], cut[65536];
	size_t len, last = WAL_BATCH_SIZE + 40;
	int wrong = 0, wrong_more = 0;
	uint64_t end_seq, floor;

	fresh(1 << 20);
	append_all(2, 5);
	is_int(wal_commit_all(&w), 0, "torn: commit");
	floor = word(&w.words->durable);
	append_all(1, 5);
	len = get_file("0000000000000000", file, sizeof(file));
	for (size_t at = len - last; at < len; at++)
		for (int zeros = 0; zeros < 2; zeros++) {
			forget_files();
			memset(cut, 0, sizeof(cut));
			memcpy(cut, file, at);
			put_file("0000000000000000", cut, zeros ? len : at);
			/* A last byte that is 0 anyway is not torn. */
			if (zeros && memcmp(cut, file, len) == 0)
				continue;
			if (recover(floor, &end_seq) == -1 || end_seq != 10 ||
			    word(&w.words->tail) != floor ||
			    read_from(0, 0, NULL) != 10)
				wrong++;
		}
	is_int(wrong, 0, "torn: a batch torn at any byte is no batch");

	/* Of an atomic pair both or none. */
	fresh(1 << 20);
	append_all(2, 5);
	if (append(5, WAL_MORE, NULL) == -1 || append(5, 0, NULL) == -1)
		tap_bail("append");
	len = get_file("0000000000000000", file, sizeof(file));
	for (size_t at = len - 2 * last; at < len; at += 3) {
		forget_files();
		put_file("0000000000000000", file, at);
		if (recover(0, &end_seq) == -1 || end_seq != 10)
			wrong_more++;
	}
	is_int(wrong_more, 0, "torn: an atomic push torn anywhere is none");
	forget_files();
	put_file("0000000000000000", file, len);
	is_int(recover(0, &end_seq), 0, "torn: whole");
	is_uint(end_seq, 20, "torn: and there when it is whole");
}

static void
test_floor(void)
{
	off_t third = (off_t)(WAL_HEAD_SIZE + 2 * (WAL_BATCH_SIZE + 32));
	uint64_t end_seq, all = 5 * (WAL_BATCH_SIZE + 32);

	fresh(1 << 20);
	append_all(5, 4);
	flip(0, third + 2, 1);
	is_int(recover(all, &end_seq), 0, "floor: header damaged below it");
	is_uint(end_seq, 20, "floor: what follows is kept");
	is_uint(word(&w.words->tail), all, "floor: to the end");
	append_all(1, 4);
	is_int(wal_commit_all(&w), 0, "floor: and it goes on");
	is_uint(read_from(all, 20, NULL), 4, "floor: behind");

	fresh(1 << 20);
	append_all(5, 4);
	flip(0, third + (off_t)WAL_BATCH_SIZE + 3, 1);
	is_int(recover(all, &end_seq), 0, "floor: body damaged below it");
	is_uint(end_seq, 20, "floor: what follows is kept");

	fresh(1 << 20);
	append_all(5, 4);
	flip(0, third + (off_t)WAL_BATCH_SIZE + 3, 1);
	is_int(recover(0, &end_seq), 0, "floor: body damaged above it");
	is_uint(end_seq, 8, "floor: is where the log ends");

	/* The page is lost, but a later batch knew what was durable. */
	fresh(1 << 20);
	append_all(4, 4);
	is_int(wal_commit_all(&w), 0, "floor: commit");
	append_all(1, 4);
	flip(0, third + (off_t)WAL_BATCH_SIZE + 3, 1);
	is_int(recover(0, &end_seq), 0, "floor: told by a later batch");
	is_uint(end_seq, 20, "floor: all is kept");

	/* The last batch itself, durable as the page knows. */
	fresh(1 << 20);
	append_all(5, 4);
	flip(0, third + 2 * (off_t)(WAL_BATCH_SIZE + 32) + 2, 1);
	is_int(recover(all, &end_seq), 0, "floor: the last batch damaged");
	is_uint(word(&w.words->tail), all, "floor: its place is not used again");

	fresh(1 << 20);
	append_all(5, 4);
	flip(0, 20, 1);
	is_int(recover(all, &end_seq), 0, "floor: segment header damaged");
	is_uint(end_seq, 20, "floor: batches stand for themselves");

	forget_files();
	is_int(recover(0, &end_seq), 0, "floor: no file at all");
	is_uint(end_seq, 0, "floor: an empty log");
}

/* --- compact segments ----------------------------------------------------------------- */

/* Of five batches in segment 0 keep the first and the fourth, by hand. */
static size_t
make_compact(unsigned char *out)
{
	static unsigned char file[65536];
	static const uint64_t kept[] = { 0, 3 };
	unsigned char *p = out + WAL_HEAD_SIZE, table[48];
	struct wal_head h = { .flags = WAL_COMPACT };
	size_t size = WAL_BATCH_SIZE + 32;

	(void)get_file("0000000000000000", file, sizeof(file));
	wal_head_encode(&w, &h, out);
	for (size_t i = 0; i < 2; i++) {
		wal_run_encode(&w, kept[i] * size, size, p);
		p += WAL_RUN_SIZE;
		le_put64(table + 24 * i, kept[i] * size);
		le_put64(table + 24 * i + 8, size);
		le_put64(table + 24 * i + 16, (uint64_t)(p - out));
		memcpy(p, file + WAL_HEAD_SIZE + kept[i] * size, size);
		p += size;
	}
	memcpy(p, table, sizeof(table));
	p += sizeof(table);
	le_put64(p, 2);
	le_put32(p + 8, crc32c(table, sizeof(table)));
	le_put32(p + 12, 0x534e5552U);
	return (size_t)(p + 16 - out);
}

/* Both batches are there, in their places, and what follows the segment. */
static bool
compact_reads(void)
{
	uint64_t pos = 0, limit = word(&w.words->visible), seqs[8] = { 0 };
	const unsigned char *p;
	struct wal_reader r;
	struct wal_batch b;
	size_t avail, n = 0;

	wal_reader_init(&r, &w);
	while (n < 8 && wal_read(&r, &pos, limit, WAL_BATCH_SIZE + 32, &p,
	    &avail) == 1) {
		if (avail < WAL_BATCH_SIZE + 32 ||
		    wal_batch_decode(&w, pos, p, &b) == -1 ||
		    verify(&w, p + WAL_BATCH_SIZE, &b, pos) == -1)
			break;
		seqs[n++] = b.seq;
		pos += WAL_BATCH_SIZE + 32;
	}
	wal_reader_release(&r);
	return n == 3 && seqs[0] == 0 && seqs[1] == 12 && seqs[2] == 20;
}

static void
test_compact(void)
{
	static unsigned char good[65536], bad[65536];
	size_t len, table = 48 + 16;
	int wrong = 0;

	fresh(1 << 20);
	append_all(5, 4);
	is_int(lock_take(&lock, 1, MONO_NEVER), 0, "compact: lock");
	is_int(wal_roll(&w), 0, "compact: roll");
	lock_drop(&lock, 1);
	append_all(1, 4);
	is_int(wal_commit_all(&w), 0, "compact: commit");
	len = make_compact(good);
	put_file("0000000000000000", good, len);
	wal_bump(&w);
	ok(compact_reads(), "compact: what is left is read");

	for (size_t at = len - table; at < len; at++)
		for (int bit = 1; bit < 256; bit *= 4) {
			memcpy(bad, good, len);
			bad[at] ^= (unsigned char)bit;
			put_file("0000000000000000", bad, len);
			wrong += !compact_reads();
		}
	is_int(wrong, 0, "compact: any byte of its table may be wrong");
	wrong = 0;
	for (size_t cut = 1; cut <= table; cut++) {
		put_file("0000000000000000", good, len - cut);
		wrong += !compact_reads();
	}
	is_int(wrong, 0, "compact: or missing");
	wrong = 0;
	for (size_t at = 0; at < WAL_HEAD_SIZE; at++) {
		memcpy(bad, good, len);
		bad[at] ^= 0x10;
		put_file("0000000000000000", bad, len);
		wrong += !compact_reads();
	}
	is_int(wrong, 0, "compact: or any byte of its header");
}

/* --- failing disks ------------------------------------------------------------------------- */

/*
 * Another process, with the fault, does `what`: 0 or its errno; 256 + signal
 * if it was killed.  It is this program anew: the variable is read only once.
 */
static int
with_fault(const char *fault, const char *what)
{
	char limit[24];
	int status;
	pid_t pid;

	(void)fflush(stdout);
	(void)snprintf(limit, sizeof(limit), "%" PRIu64, w.limit);
	if ((pid = fork()) == -1)
		tap_bail("fork");
	if (pid == 0) {
		if (setenv("DSUTILS_FAULT", fault, 1) == 0)
			(void)execl("/proc/self/exe", "wal_test", what, dir,
			    limit, (char *)NULL);
		_exit(99);
	}
	if (waitpid(pid, &status, 0) != pid)
		tap_bail("waitpid");
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) :
	    WEXITSTATUS(status);
}

static int
other_process(const char *what, const char *log, const char *limit)
{
	char words[600];
	int fd = open(log, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return 98;
	(void)snprintf(words, sizeof(words), "%s/words", log);
	set_up(words, fd, strtoull(limit, NULL, 10));
	if ((strcmp(what, "commit") == 0 ? wal_commit_all(&w) :
	    append(3, 0, NULL)) == -1)
		return errno;
	return 0;
}

static void
prepare(uint64_t *durable)
{
	fresh(1 << 20);
	append_all(3, 3);
	if (wal_commit_all(&w) == -1)
		tap_bail("commit");
	*durable = word(&w.words->durable);
	append_all(2, 3);
}

static void
mended(const char *what, uint64_t durable)
{
	uint64_t end;

	is_uint(segments(), 2, "%s: a new segment", what);
	is_uint(word(&w.words->base), durable,
	    "%s: begins where the disk was sure", what);
	is_uint(word(&w.words->durable), word(&w.words->tail),
	    "%s: all is on disk", what);
	is_uint(word(&w.words->syncing), 0, "%s: nobody syncs", what);
	is_uint(read_from(0, 0, &end), 15, "%s: nothing is lost", what);
	ok(wal_words_whole(shared), "%s: the words agree", what);
	is_int(append(3, 0, NULL), 0, "%s: it goes on", what);
	is_int(wal_commit_all(&w), 0, "%s: durably", what);
	is_uint(read_from(0, 0, &end), 18, "%s: in order", what);
}

static void
test_sync(void)
{
	struct wal_place at;
	uint64_t durable, end_seq;

	prepare(&durable);
	is_int(with_fault("sync:1:EIO", "commit"), 0,
	    "sync: one that fails is mended");
	mended("sync", durable);
	is_int(recover(0, &end_seq), 0, "sync: recover");
	is_uint(end_seq, 18, "sync: and nothing is lost by a boot");
	is_uint(read_from(0, 0, NULL), 18, "sync: nor seen twice");

	prepare(&durable);
	is_int(with_fault("sync:1:kill", "commit"), 256 + SIGKILL,
	    "sync: killed before it could tell");
	ok(word(&w.words->syncing) != 0, "sync: that is seen");
	is_int(wal_mend(&w), 0, "sync: and mended");
	mended("killed", durable);

	prepare(&durable);
	is_int(with_fault("sync:1:killafter", "commit"), 256 + SIGKILL,
	    "sync: killed after it");
	is_int(wal_commit_all(&w), 0, "sync: the next commit mends it, too");
	mended("killed after", durable);

	/* Nothing can be written: told, and not believed later. */
	prepare(&durable);
	at = (struct wal_place){ .end = word(&w.words->tail),
		.lost_gen = word(&w.words->lost_gen) };
	is_int(with_fault("sync:1+:EIO", "commit"), EIO,
	    "sync: none works: EIO");
	is_uint(word(&w.words->durable), durable, "sync: nothing is promised");
	is_err(wal_commit(&w, &at), EIO, "sync: who waited is told");
	is_int(wal_mend(&w), 0, "sync: the disk works again");
	mended("works again", durable);

	/* At every sync and rename of the mending. */
	for (int n = 1, r = -1; r != 0; n++) {
		char fault[32];

		if (n > 20)
			tap_bail("no end");
		prepare(&durable);
		(void)snprintf(fault, sizeof(fault), "sync:1:EIO,any:%d:kill",
		    n);
		r = with_fault(fault, "commit");
		if (wal_mend(&w) == -1 || wal_commit_all(&w) == -1)
			tap_bail("mend");
		ok((r == 0 || r == 256 + SIGKILL) &&
		    read_from(0, 0, NULL) == 15 && wal_words_whole(shared) &&
		    append(3, 0, NULL) == 0 && wal_commit_all(&w) == 0 &&
		    read_from(0, 0, NULL) == 18, "sync: killed at step %d of "
		    "the mending (%d)", n, r);
	}
}

static void
test_full(void)
{
	struct wal_place at;
	uint64_t tail;
	struct stat st;

	fresh(1 << 20);
	append_all(3, 3);
	tail = word(&w.words->tail);
	is_int(with_fault("write:1:ENOSPC", "append"), ENOSPC,
	    "full: refused");
	is_uint(word(&w.words->tail), tail, "full: nothing was appended");
	is_int(with_fault("write:1:torn", "append"), 256 + SIGKILL,
	    "full: killed in the middle of a write");
	is_uint(word(&w.words->tail), tail, "full: nothing was published");
	ok(fstatat(w.dirfd, "0000000000000000", &st, 0) == 0 && st.st_size >
	    (off_t)(WAL_HEAD_SIZE + tail), "full: but it lies there");
	is_int(append(1, 0, &at), 0, "full: the next one");
	is_uint(at.pos, tail, "full: takes its place");
	ok(fstatat(w.dirfd, "0000000000000000", &st, 0) == 0 && st.st_size ==
	    (off_t)(WAL_HEAD_SIZE + at.end), "full: and cuts the rest off");

	/* Killed while a segment is made: at every step. */
	for (int n = 1, r = -1; r != 0; n++) {
		char fault[32];

		if (n > 20)
			tap_bail("no end");
		fresh(300);
		append_all(4, 3);
		(void)snprintf(fault, sizeof(fault), "any:%d:kill", n);
		r = with_fault(fault, "append");
		ok(append(3, 0, &at) == 0 && at.seq == (r == 0 ? 15U : 12U) &&
		    wal_commit_all(&w) == 0 &&
		    read_from(0, 0, NULL) == at.seq + 3,
		    "full: killed at step %d of rolling (%d)", n, r);
	}
}

static void
test_words(void)
{
	unsigned char *bytes = (unsigned char *)shared;
	int blind = 0;

	fresh(1 << 20);
	append_all(3, 3);
	is_int(wal_commit_all(&w), 0, "words: commit");
	ok(wal_words_whole(shared), "words: whole");
	for (size_t i = 0; i < sizeof(*shared) * 8; i++) {
		bytes[i / 8] ^= (unsigned char)(1U << i % 8);
		blind += wal_words_whole(shared);
		bytes[i / 8] ^= (unsigned char)(1U << i % 8);
	}
	is_int(blind, 0, "words: any flipped bit is seen");
	ok(wal_words_whole(shared), "words: whole again");
	memset(shared, 0, sizeof(*shared));
	ok(!wal_words_whole(shared), "words: zeros are nothing");
}

static void
test_format(void)
{
	unsigned char raw[WAL_HEAD_SIZE], run[WAL_RUN_SIZE];
	struct wal_head h = { .base = 4096, .seq = 17, .epoch = 9,
		.created_ms = 1 }, got;
	uint64_t pos, len, base;
	struct wal other = w;
	char name[17];
	int blind = 0;

	wal_head_encode(&w, &h, raw);
	ok(wal_head_decode(&w, raw, &got) == 0 && got.base == 4096 &&
	    got.seq == 17 && got.epoch == 9, "format: header, there and back");
	for (size_t i = 0; i < sizeof(raw) * 8; i++) {
		raw[i / 8] ^= (unsigned char)(1U << i % 8);
		blind += wal_head_decode(&w, raw, &got) == 0;
		raw[i / 8] ^= (unsigned char)(1U << i % 8);
	}
	is_int(blind, 0, "format: any flipped bit of it is seen");
	memcpy(other.id, "fedcba9876543210", sizeof(other.id));
	is_err(wal_head_decode(&other, raw, &got), EBADMSG,
	    "format: another queue's is none");
	le_put32(raw + 8, 2);
	le_put32(raw + 12, 0);
	le_put32(raw + 12, crc32c(raw, sizeof(raw)));
	is_err(wal_head_decode(&w, raw, &got), EPROTONOSUPPORT,
	    "format: a newer version's is refused");

	wal_run_encode(&w, 480, 96, run);
	ok(wal_run_decode(&w, run, &pos, &len) == 0 && pos == 480 && len == 96,
	    "format: run, there and back");
	blind = 0;
	for (size_t i = 0; i < sizeof(run) * 8; i++) {
		run[i / 8] ^= (unsigned char)(1U << i % 8);
		blind += wal_run_decode(&w, run, &pos, &len) == 0;
		run[i / 8] ^= (unsigned char)(1U << i % 8);
	}
	is_int(blind, 0, "format: any flipped bit of it is seen");

	wal_name(UINT64_C(0xfedcba987654321), name);
	is_str(name, "0fedcba987654321", "format: name");
	ok(wal_name_parse(name, &base) == 0 &&
	    base == UINT64_C(0xfedcba987654321), "format: and back");
	is_err(wal_name_parse("0FEDCBA987654321", &base), EINVAL,
	    "format: capitals are no name");
	is_err(wal_name_parse("0fedcba98765432", &base), EINVAL,
	    "format: nor is a short one");
	is_err(wal_name_parse("0fedcba9876543210", &base), EINVAL,
	    "format: nor a long one");
	is_err(wal_name_parse(".fedcba987654321", &base), EINVAL,
	    "format: nor a hidden one");
}

int
main(int argc, char *argv[])
{
	if (argc == 4)
		return other_process(argv[1], argv[2], argv[3]);
	(void)unsetenv("DSUTILS_FAULT");
	test_sync();
	test_full();
	test_roll();
	test_read();
	test_more();
	test_stale();
	test_torn();
	test_floor();
	test_compact();
	test_words();
	test_format();
	shut();
	return tap_end();
}
