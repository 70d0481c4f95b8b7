/*
 * fsdur: thin loops over system calls.  Every call goes through fault_take()
 * first, which is one load and a branch unless DSUTILS_FAULT is set.
 *
 * What fails half-way is left to the caller, who alone knows how to mend it;
 * only fsdur_write_file() removes its temporary file.
 */

#include "fsdur.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "num.h"

#define FAULTS_MAX	8
#define OP_MAX		32
#define TMP_TRIES	100

enum action { NONE, KILL, KILLAFTER, TORN, SHORT, ERROR };

struct fault {
	char op[OP_MAX];
	uint64_t nth;
	bool onwards;
	enum action action;
	int errnum;
	_Atomic uint64_t calls;
};

static const struct {
	const char *name;
	enum action action;
	int errnum;
} actions[] = {
	{ "kill", KILL, 0 },		{ "killafter", KILLAFTER, 0 },
	{ "torn", TORN, 0 },		{ "short", SHORT, 0 },
	{ "EIO", ERROR, EIO },		{ "ENOSPC", ERROR, ENOSPC },
	{ "EDQUOT", ERROR, EDQUOT },	{ "EROFS", ERROR, EROFS },
	{ "EINTR", ERROR, EINTR },
};

enum { UNREAD, OFF, ON, BAD };

static struct fault faults[FAULTS_MAX];
static size_t faults_cnt;
static _Atomic int state = UNREAD;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int
parse_fault(char *text, struct fault *f)
{
	char *op = strsep(&text, ":"), *nth = strsep(&text, ":");
	size_t len;

	if (nth == NULL || text == NULL || *op == '\0' ||
	    strlcpy(f->op, op, sizeof(f->op)) >= sizeof(f->op))
		return -1;
	len = strlen(nth);
	if (len > 0 && nth[len - 1] == '+') {
		nth[len - 1] = '\0';
		f->onwards = true;
	}
	if (num_u64(nth, 1, UINT64_MAX, &f->nth) == -1)
		return -1;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(text, actions[i].name) == 0) {
			f->action = actions[i].action;
			f->errnum = actions[i].errnum;
			/* Interrupted for ever would be retried for ever. */
			return f->errnum == EINTR && f->onwards ? -1 : 0;
		}
	return -1;
}

static void
read_faults(void)
{
	const char *spec = secure_getenv("DSUTILS_FAULT");
	char copy[512], *rest = copy, *one;
	int result = ON;

	if (spec == NULL || *spec == '\0') {
		atomic_store(&state, OFF);
		return;
	}
	if (strlcpy(copy, spec, sizeof(copy)) >= sizeof(copy))
		result = BAD;
	while (result == ON && (one = strsep(&rest, ",")) != NULL) {
		if (faults_cnt == FAULTS_MAX ||
		    parse_fault(one, &faults[faults_cnt]) == -1)
			result = BAD;
		else
			faults_cnt++;
	}
	atomic_store(&state, result);
}

/* As a crash: nothing of this process runs after it. */
static _Noreturn void
die(void)
{
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}

static enum action
fault_slow(const char *op)
{
	enum action what = NONE;
	int errnum = 0;

	(void)pthread_once(&once, read_faults);
	if (atomic_load(&state) == BAD) {
		errno = EINVAL;
		return ERROR;
	}
	for (size_t i = 0; i < faults_cnt; i++) {
		struct fault *f = &faults[i];
		uint64_t n;

		if (strcmp(f->op, "any") != 0 && strcmp(f->op, op) != 0)
			continue;
		n = atomic_fetch_add(&f->calls, 1) + 1;
		if (what == NONE &&
		    (n == f->nth || (f->onwards && n > f->nth))) {
			what = f->action;
			errnum = f->errnum;
		}
	}
	if (what == KILL)
		die();
	if (what == ERROR)
		errno = errnum;
	return what;
}

/* What shall happen to this call; ERROR has set errno. */
static inline enum action
fault_take(const char *op)
{
	if (__builtin_expect(atomic_load_explicit(&state,
	    memory_order_relaxed) == OFF, 1))
		return NONE;
	return fault_slow(op);
}

/* rc of a call that was made; not returning if it was to be the last. */
static int
fault_after(enum action what, int rc)
{
	if (__builtin_expect(what == KILLAFTER || what == TORN, 0) && rc != -1)
		die();
	return rc;
}

int
fsdur_fault_point(const char *op)
{
	enum action what = fault_take(op);

	return what == ERROR ? -1 : fault_after(what, 0);
}

ssize_t
fsdur_pwrite_all(int fd, const void *buf, size_t len, off_t off)
{
	const unsigned char *p = buf;
	size_t done = 0;

	if (len > SSIZE_MAX) {
		errno = EINVAL;
		return -1;
	}
	while (done < len) {
		enum action what = fault_take("write");
		size_t want = len - done;
		ssize_t n = -1;

		if (what == SHORT || what == TORN)
			want = (want + 1) / 2;
		if (what != ERROR)
			n = pwrite(fd, p + done, want, off + (off_t)done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0) {		/* no file does this; do not spin */
			errno = EIO;
			return -1;
		}
		done += (size_t)n;
		(void)fault_after(what, 0);
	}
	return (ssize_t)done;
}

ssize_t
fsdur_pread_all(int fd, void *buf, size_t len, off_t off)
{
	unsigned char *p = buf;
	size_t done = 0;

	if (len > SSIZE_MAX) {
		errno = EINVAL;
		return -1;
	}
	while (done < len) {
		ssize_t n = pread(fd, p + done, len - done, off + (off_t)done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int
fsdur_sync(int fd)
{
	enum action what;
	int rc;

	do {
		what = fault_take("sync");
		rc = what == ERROR ? -1 : fdatasync(fd);
	} while (rc == -1 && errno == EINTR);
	return fault_after(what, rc);
}

int
fsdur_sync_dir(int dirfd)
{
	enum action what;
	int rc;

	do {
		what = fault_take("sync");
		rc = what == ERROR ? -1 : fsync(dirfd);
	} while (rc == -1 && errno == EINTR);
	return fault_after(what, rc);
}

int
fsdur_truncate(int fd, off_t len)
{
	enum action what;
	int rc;

	do {
		what = fault_take("truncate");
		rc = what == ERROR ? -1 : ftruncate(fd, len);
	} while (rc == -1 && errno == EINTR);
	return fault_after(what, rc);
}

int
fsdur_rename(int dirfd, const char *from, const char *to)
{
	enum action what;
	int rc;

	do {
		what = fault_take("rename");
		rc = what == ERROR ? -1 : renameat(dirfd, from, dirfd, to);
	} while (rc == -1 && errno == EINTR);
	if (fault_after(what, rc) == -1)
		return -1;
	return fsdur_sync_dir(dirfd);
}

int
fsdur_unlink(int dirfd, const char *name)
{
	enum action what;
	int rc;

	do {
		what = fault_take("unlink");
		rc = what == ERROR ? -1 : unlinkat(dirfd, name, 0);
	} while (rc == -1 && errno == EINTR);
	if (fault_after(what, rc) == -1)
		return -1;
	return fsdur_sync_dir(dirfd);
}

/* Open a new file under a name nobody uses; 0600 until it is complete. */
static int
open_tmp(int dirfd, const char *name, char tmp[NAME_MAX + 1])
{
	static _Atomic unsigned int serial;
	int fd = -1;

	for (int i = 0; fd == -1 && i < TMP_TRIES; i++) {
		int n = snprintf(tmp, NAME_MAX + 1, "%s%ld.%u-%s",
		    FSDUR_TMP_PREFIX, (long)getpid(),
		    atomic_fetch_add(&serial, 1), name);

		if (n < 0 || n > NAME_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL |
		    O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd == -1 && errno != EEXIST && errno != EINTR)
			return -1;
	}
	return fd;
}

int
fsdur_write_file(int dirfd, const char *name, const void *data, size_t len,
    mode_t mode)
{
	char tmp[NAME_MAX + 1];
	int fd, rc, saved;

	fd = open_tmp(dirfd, name, tmp);
	if (fd == -1)
		return -1;
	if (fchmod(fd, mode) == -1 || fsdur_pwrite_all(fd, data, len, 0) == -1 ||
	    fsdur_sync(fd) == -1)
		goto fail;
	rc = close(fd);
	fd = -1;
	if (rc == -1 && errno != EINTR)
		goto fail;
	if (fsdur_rename(dirfd, tmp, name) == -1)
		goto fail;
	return 0;

fail:
	saved = errno;
	if (fd != -1)
		(void)close(fd);
	(void)unlinkat(dirfd, tmp, 0);		/* gone already if renamed */
	errno = saved;
	return -1;
}
