/* regstore_test: what was committed is there again, whatever the end of the
 * log looks like. */

#include "regstore.h"

#include <fcntl.h>

#include "tap.h"

static int dir;

static void
put(struct regstore *s, const char *key, uint64_t hlc, const char *text)
{
	struct dvv_version v = { .stamp = { hlc, hlc, 1 },
	    .value = (unsigned char *)(uintptr_t)text, .len = strlen(text) };

	if (regstore_write(s, key, strlen(key), NULL, 1, &v) == -1)
		tap_bail("regstore_write");
}

static const char *
value(const struct regstore *s, const char *key)
{
	const struct regstore_key *k = regstore_find(s, key, strlen(key));

	return k == NULL || k->entry.cnt == 0 ? NULL :
	    (const char *)k->entry.versions[0].value;
}

static struct regstore *
reopen(struct regstore *s)
{
	regstore_close(s);
	if (regstore_open(&s, dir, 1) == -1)
		tap_bail("regstore_open");
	return s;
}

static void
test_keys(void)
{
	struct regstore *s = reopen(NULL), *other = NULL;
	char key[16];
	uint64_t digest;
	size_t walked = 0;

	ok(value(s, "a") == NULL, "nothing at first");
	for (unsigned int i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof(key), "k%u", i);
		put(s, key, 1 + i, "x");
		put(s, key, 5000 + i, key);
	}
	is_int(regstore_commit(s), 0, "committed");
	digest = regstore_digest(s);
	s = reopen(s);
	is_uint(regstore_count(s), 1000, "all keys are there again");
	is_str(value(s, "k999"), "k999", "with their values");
	ok(regstore_digest(s) == digest, "and their digest");
	is_err(regstore_open(&other, dir, 1), EBUSY, "nobody else may");
	is_uint(regstore_clock(s), 5999, "and the clock");
	for (const struct regstore_key *k = regstore_next(s, NULL); k != NULL;
	    k = regstore_next(s, k))
		walked++;
	is_uint(walked, 1000, "each is passed once");
	put(s, "late", 9000, "x");
	s = reopen(s);
	ok(value(s, "late") == NULL, "what was not committed is gone");
	regstore_close(s);
}

/* The log cut off, or damaged, at every byte of its last record. */
static void
test_torn(void)
{
	struct regstore *s = reopen(NULL);
	unsigned char log[8192];
	unsigned int wrong = 0;
	size_t len, start;
	int fd;

	regstore_close(s);
	(void)unlinkat(dir, "log", 0);
	s = reopen(NULL);
	put(s, "a", 1, "one");
	(void)regstore_commit(s);
	fd = openat(dir, "log", O_RDWR);
	start = (size_t)lseek(fd, 0, SEEK_END);
	put(s, "b", 2, "two");
	(void)regstore_commit(s);
	len = (size_t)pread(fd, log, sizeof(log), 0);
	regstore_close(s);
	for (size_t cut = start; cut < len; cut++)
		for (int flip = 0; flip < 2; flip++) {
			fd = openat(dir, "log", O_RDWR | O_TRUNC | O_CREAT,
			    0600);
			log[cut] ^= 0x10;
			if (write(fd, log, flip ? len : cut) == -1)
				tap_bail("write");
			log[cut] ^= 0x10;
			(void)close(fd);
			s = reopen(NULL);
			wrong += value(s, "a") == NULL ||
			    value(s, "b") != NULL;
			put(s, "c", 3, "three");
			(void)regstore_commit(s);
			s = reopen(s);
			wrong += value(s, "c") == NULL;
			regstore_close(s);
		}
	is_uint(wrong, 0, "%zu torn or damaged ends: the rest is there",
	    2 * (len - start));
	fd = openat(dir, "log", O_RDWR | O_TRUNC);
	if (write(fd, "something else", 14) == -1)
		tap_bail("write");
	(void)close(fd);
	is_err(regstore_open(&s, dir, 1), EBADMSG, "not a log");
	(void)unlinkat(dir, "log", 0);
}

static void
test_rewrite(void)
{
	struct regstore *s = reopen(NULL);
	char text[DVV_VALUE_MAX];
	off_t most = 0, len;
	int fd;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (uint64_t i = 1; i <= 1000; i++) {
		put(s, "k", i, text);
		if (regstore_commit(s) == -1)
			tap_bail("regstore_commit");
		fd = openat(dir, "log", O_RDONLY);
		len = lseek(fd, 0, SEEK_END);
		(void)close(fd);
		if (len > most)
			most = len;
	}
	ok(most < 6 << 20, "16 MB of changes, and the log stayed below 6");
	s = reopen(s);
	is_uint(regstore_clock(s), 1000, "the last one is there");
	regstore_close(s);
}

int
main(void)
{
	if ((dir = open(tap_tmpdir(), O_RDONLY | O_DIRECTORY)) == -1)
		tap_bail("open");
	test_keys();
	test_torn();
	test_rewrite();
	return tap_end();
}
