/*
 * crashshim: an LD_PRELOAD library that kills, fails or records the file
 * operations of the programs under test.
 *
 * Source:  Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014
 *          (record, then rebuild crash states); Rebello et al., "Can
 *          Applications Recover from fsync Failures?", ATC 2020 (a failed
 *          fsync loses the pages and marks them clean).
 * Scope:   calls that change something below CRASH_DIR; all others pass.
 *          The program must reach libc through its dynamic symbols: stdio
 *          on files below CRASH_DIR is not seen.
 * Environment:
 *   CRASH_DIR    the directory watched; without it nothing is done
 *   CRASH_STATE  file with the counters, shared by all processes
 *   CRASH_AT=n   SIGKILL ourselves at the n-th call, in the manner of
 *   CRASH_HOW    kill (before it), killafter, torn (half of a write)
 *   CRASH_MORE=1 count locks and writes to standard output too
 *   FAIL_AT=n    fail the n-th call that FAIL_OP names
 *   FAIL_FROM=n  fail the n-th and all later ones
 *   FAIL_OP      write, sync, create, rename, unlink, truncate, mkdir, link,
 *                allocate, joined by commas; default all
 *   FAIL_ERRNO   EIO, ENOSPC, EDQUOT, EFBIG, EINTR, EMFILE; default EIO
 *   FAIL_SHORT=1 a failing write writes half of its bytes instead
 *   FAIL_DROP    a failing sync loses what was not synced: 1 old bytes and
 *                zeros come back, the size stays; cut: the old size too
 *   CRASH_SHADOW directory for FAIL_DROP's copies, outside CRASH_DIR
 *   CRASH_LOG    file to append a record of each operation to; crashlog.h
 *   COUNT        file to append "program calls" to at exit
 */

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crashlog.h"

#define MAPS_MAX	16
#define MAP_LEN_MAX	(1U << 20)
#define SECTOR		512U

enum class {
	C_WRITE, C_SYNC, C_CREATE, C_RENAME, C_UNLINK, C_TRUNCATE, C_MKDIR,
	C_LINK, C_ALLOCATE, C_LOCK, C_OUT, C_CNT
};

static const char *const class_names[C_CNT] = {
	"write", "sync", "create", "rename", "unlink", "truncate", "mkdir",
	"link", "allocate", "lock", "out"
};

enum verdict { GO, KILL_AFTER, TORN, SHORT, FAIL };

struct where {			/* a name below CRASH_DIR */
	int dirfd;
	uint64_t dir;
	char name[NAME_MAX + 1];
};

struct map {			/* a file mapped shared and writable */
	int fd;
	uint64_t ino;
	size_t len;
	bool fresh;		/* nothing of it logged by this process */
	unsigned char *old;
};

static struct {
	bool on;
	char dir[PATH_MAX];
	size_t dir_len;
	uint64_t at, fail_at, fail_from;
	enum verdict how;		/* GO stands for kill before */
	bool torn, more, fail_short;
	unsigned int fail_ops;
	int fail_errno, drop;
	const char *shadow, *log, *count;
	int log_fd;
	struct crash_state *state;
} cfg = { .log_fd = -1 };

static struct crash_state private_state;
static struct map maps[MAPS_MAX];
static size_t maps_cnt;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool inside;

/* --- real calls --------------------------------------------------------- */

static long
real_open(int dirfd, const char *path, int flags, mode_t mode)
{
	return syscall(SYS_openat, dirfd, path, flags, mode);
}

static void
die(void)
{
	syscall(SYS_kill, (long)syscall(SYS_getpid), SIGKILL);
	for (;;)
		syscall(SYS_pause);
}

static void
complain(const char *what)
{
	char line[200];
	int n = snprintf(line, sizeof(line), "crashshim: %s\n", what);

	if (n > 0)
		syscall(SYS_write, 2, line, (size_t)n);
}

/* --- start -------------------------------------------------------------- */

static uint64_t
env_number(const char *name)
{
	const char *s = getenv(name);

	return s == NULL ? 0 : strtoull(s, NULL, 10);
}

static unsigned int
parse_ops(const char *s)
{
	unsigned int ops = 0, i;
	size_t n;

	if (s == NULL)
		return (1U << C_LOCK) - 1;
	for (; *s != '\0'; s += n + (s[n] == ',')) {
		n = strcspn(s, ",");
		for (i = 0; i < C_CNT; i++)
			if (strlen(class_names[i]) == n &&
			    strncmp(s, class_names[i], n) == 0)
				ops |= 1U << i;
	}
	return ops;
}

static int
parse_errno(const char *s)
{
	static const struct { const char *name; int num; } table[] = {
		{ "EIO", EIO }, { "ENOSPC", ENOSPC }, { "EDQUOT", EDQUOT },
		{ "EFBIG", EFBIG }, { "EINTR", EINTR }, { "EMFILE", EMFILE },
	};
	size_t i;

	for (i = 0; s != NULL && i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(s, table[i].name) == 0)
			return table[i].num;
	return EIO;
}

static void
open_log(void)
{
	long fd;

	if (cfg.log == NULL)
		return;
	fd = real_open(AT_FDCWD, cfg.log,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	cfg.log_fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 700);
	syscall(SYS_close, fd);
	if (cfg.log_fd < 0)
		complain("cannot open CRASH_LOG");
}

static void
after_fork(void)
{
	pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	mutex = fresh;
	inside = false;
	if (cfg.log_fd >= 0) {	/* an flock of its own */
		syscall(SYS_close, cfg.log_fd);
		open_log();
	}
}

static void
open_state(const char *path)
{
	long fd;
	void *p;

	cfg.state = &private_state;
	if (path == NULL)
		return;
	fd = real_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || syscall(SYS_ftruncate, fd, CRASH_STATE_SIZE) != 0) {
		complain("cannot open CRASH_STATE");
		return;
	}
	p = (void *)syscall(SYS_mmap, NULL, CRASH_STATE_SIZE,
	    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		cfg.state = p;
	syscall(SYS_close, fd);
}

__attribute__((constructor)) static void
start(void)
{
	const char *dir = getenv("CRASH_DIR"), *how = getenv("CRASH_HOW");
	const char *drop = getenv("FAIL_DROP");

	if (dir == NULL || realpath(dir, cfg.dir) == NULL)
		return;
	cfg.dir_len = strlen(cfg.dir);
	cfg.at = env_number("CRASH_AT");
	cfg.how = how != NULL && strcmp(how, "killafter") == 0 ? KILL_AFTER : GO;
	cfg.torn = how != NULL && strcmp(how, "torn") == 0;
	cfg.more = env_number("CRASH_MORE") != 0;
	cfg.fail_at = env_number("FAIL_AT");
	cfg.fail_from = env_number("FAIL_FROM");
	cfg.fail_ops = parse_ops(getenv("FAIL_OP"));
	cfg.fail_errno = parse_errno(getenv("FAIL_ERRNO"));
	cfg.fail_short = env_number("FAIL_SHORT") != 0;
	cfg.drop = drop == NULL ? 0 : strcmp(drop, "cut") == 0 ? 2 : 1;
	cfg.shadow = getenv("CRASH_SHADOW");
	if (cfg.drop != 0 && cfg.shadow == NULL) {
		complain("FAIL_DROP needs CRASH_SHADOW");
		cfg.drop = 0;
	}
	cfg.log = getenv("CRASH_LOG");
	cfg.count = getenv("COUNT");
	open_state(getenv("CRASH_STATE"));
	open_log();
	pthread_atfork(NULL, NULL, after_fork);
	cfg.on = true;
}

/* --- names and descriptors ---------------------------------------------- */

static bool
below(const char *path, bool self)
{
	if (strncmp(path, cfg.dir, cfg.dir_len) != 0)
		return false;
	return path[cfg.dir_len] == '/' ||
	    (self && path[cfg.dir_len] == '\0');
}

static bool
fd_path(int fd, char path[PATH_MAX])
{
	char proc[40];
	long n;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = syscall(SYS_readlink, proc, path, PATH_MAX - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return true;
}

static bool
fd_below(int fd, bool self)
{
	char path[PATH_MAX];

	return cfg.on && !inside && fd_path(fd, path) && below(path, self);
}

static uint64_t
fd_ino(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Is the name below CRASH_DIR?  Then w->dirfd is open on its directory. */
static bool
where(int dirfd, const char *path, struct where *w)
{
	char copy[PATH_MAX], real[PATH_MAX];
	const char *parent = ".", *name;
	size_t n = strlen(path);
	char *slash;

	w->dirfd = -1;
	if (!cfg.on || inside || n == 0 || n >= sizeof(copy))
		return false;
	memcpy(copy, path, n + 1);
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	slash = strrchr(copy, '/');
	name = slash == NULL ? copy : slash + 1;
	if (slash == copy)
		parent = "/";
	else if (slash != NULL) {
		*slash = '\0';
		parent = copy;
	}
	if (strlen(name) > NAME_MAX)
		return false;
	w->dirfd = (int)real_open(dirfd, parent,
	    O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (w->dirfd < 0)
		return false;
	if (!fd_path(w->dirfd, real) || !below(real, true)) {
		syscall(SYS_close, w->dirfd);
		return false;
	}
	w->dir = fd_ino(w->dirfd);
	memcpy(w->name, name, strlen(name) + 1);
	return true;
}

static void
where_done(struct where *w)
{
	int saved = errno;

	if (w->dirfd >= 0)
		syscall(SYS_close, w->dirfd);
	errno = saved;
}

static bool
where_stat(const struct where *w, struct stat *st)
{
	return fstatat(w->dirfd, w->name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* --- the log ------------------------------------------------------------ */

static void
log_put(struct crash_rec *r, const char *name, const char *name2,
    const void *data)
{
	static const char zero[8];
	struct iovec iov[5];
	long n;

	if (cfg.log_fd < 0)
		return;
	r->magic = CRASH_MAGIC;
	r->name_len = name == NULL ? 0 : (uint32_t)strlen(name);
	r->name2_len = name2 == NULL ? 0 : (uint32_t)strlen(name2);
	r->pid = (int32_t)syscall(SYS_getpid);
	r->seq = atomic_fetch_add(&cfg.state->seq, 1);
	iov[0] = (struct iovec){ r, sizeof(*r) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)name, r->name_len };
	iov[2] = (struct iovec){ (void *)(uintptr_t)name2, r->name2_len };
	iov[3] = (struct iovec){ (void *)(uintptr_t)data,
	    data == NULL ? 0 : r->len };
	r->size = (uint32_t)(sizeof(*r) + r->name_len + r->name2_len +
	    iov[3].iov_len);
	iov[4] = (struct iovec){ (void *)(uintptr_t)zero, -r->size & 7U };
	r->size += -r->size & 7U;
	n = syscall(SYS_writev, cfg.log_fd, iov, 5);
	if (n != (long)r->size)
		complain("short write to CRASH_LOG");
}

static void
log_range(enum crash_op op, uint64_t ino, uint64_t off, uint64_t len,
    uint32_t flags, const void *data)
{
	struct crash_rec r = { .op = op, .ino = ino, .off = off, .len = len,
	    .flags = flags };

	log_put(&r, NULL, NULL, data);
}

static void
log_entry(enum crash_op op, const struct where *w, uint64_t ino, mode_t mode)
{
	struct crash_rec r = { .op = op, .ino = ino, .mode = mode,
	    .dir = w->dir };

	log_put(&r, w->name, NULL, NULL);
}

/* Stores into shared mappings: compare with what was there last time. */
static void
map_scan(struct map *m)
{
	unsigned char now[SECTOR];
	size_t off, n;
	long got;

	if (fd_ino(m->fd) != m->ino)
		return;
	for (off = 0; off < m->len; off += SECTOR) {
		n = m->len - off < SECTOR ? m->len - off : SECTOR;
		got = syscall(SYS_pread64, m->fd, now, n, off);
		if (got <= 0)
			break;
		if (!m->fresh && memcmp(now, m->old + off, (size_t)got) == 0)
			continue;
		memcpy(m->old + off, now, (size_t)got);
		log_range(CRASH_WRITE, m->ino, off, (uint64_t)got,
		    CRASH_F_MAP, now);
	}
	m->fresh = false;
}

static void
lock_log(void)
{
	pthread_mutex_lock(&mutex);
	inside = true;
	if (cfg.log_fd < 0)
		return;
	while (syscall(SYS_flock, cfg.log_fd, LOCK_EX) != 0 && errno == EINTR)
		;
	for (size_t i = 0; i < maps_cnt; i++)
		map_scan(&maps[i]);
}

static void
unlock_log(void)
{
	int saved = errno;

	if (cfg.log_fd >= 0)
		syscall(SYS_flock, cfg.log_fd, LOCK_UN);
	inside = false;
	pthread_mutex_unlock(&mutex);
	errno = saved;
}

static void
map_add(int fd, size_t len)
{
	char proc[40];
	struct map *m;
	uint64_t ino = fd_ino(fd);
	long copy;

	for (size_t i = 0; i < maps_cnt; i++)
		if (maps[i].ino == ino)
			return;
	if (cfg.log_fd < 0)
		return;
	if (maps_cnt == MAPS_MAX || len > MAP_LEN_MAX) {
		complain("a shared mapping is too large to watch");
		return;
	}
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	copy = real_open(AT_FDCWD, proc, O_RDONLY | O_CLOEXEC, 0);
	if (copy < 0)
		return;
	m = &maps[maps_cnt];
	m->fd = (int)syscall(SYS_fcntl, copy, F_DUPFD_CLOEXEC, 720);
	syscall(SYS_close, copy);
	m->ino = ino;
	m->len = len;
	m->fresh = true;
	m->old = calloc(1, len);
	if (m->fd < 0 || m->old == NULL)
		return;
	maps_cnt++;
	lock_log();	/* logs all of it: a killed one may have stored there */
	unlock_log();
}

/* --- the verdict on a call ---------------------------------------------- */

static void
fired(enum class c)
{
	atomic_store(&cfg.state->fired_op, (uint64_t)c);
	atomic_fetch_add(&cfg.state->fired, 1);
}

static enum verdict
judge(enum class c, size_t len)
{
	uint64_t n;

	if ((c == C_LOCK || c == C_OUT) && !cfg.more)
		return GO;
	if (!cfg.torn || (c == C_WRITE && len > 1)) {
		n = atomic_fetch_add(&cfg.state->calls, 1) + 1;
		if (n == cfg.at) {
			fired(c);
			if (cfg.torn)
				return TORN;
			if (cfg.how == GO)
				die();
			return KILL_AFTER;
		}
	}
	if ((cfg.fail_ops & (1U << c)) == 0 ||
	    (cfg.fail_at == 0 && cfg.fail_from == 0))
		return GO;
	n = atomic_fetch_add(&cfg.state->fails, 1) + 1;
	if (n != cfg.fail_at && (cfg.fail_from == 0 || n < cfg.fail_from))
		return GO;
	fired(c);
	errno = cfg.fail_errno;
	return cfg.fail_short && c == C_WRITE && len > 1 ? SHORT : FAIL;
}

static void
settle(enum verdict v)
{
	if (v == KILL_AFTER || v == TORN)
		die();
}

/* --- copies of what is on disk, for FAIL_DROP --------------------------- */

static void
shadow_path(char path[PATH_MAX], uint64_t ino)
{
	snprintf(path, PATH_MAX, "%s/%llu", cfg.shadow,
	    (unsigned long long)ino);
}

static void
copy_fd(int to, int from)
{
	unsigned char buf[65536];
	off_t off = 0;
	long n;

	syscall(SYS_ftruncate, to, 0);
	while ((n = syscall(SYS_pread64, from, buf, sizeof(buf), off)) > 0) {
		syscall(SYS_pwrite64, to, buf, (size_t)n, off);
		off += n;
	}
}

static void
shadow_save(int fd, bool only_if_new)
{
	char path[PATH_MAX], proc[40];
	long to, from;

	if (cfg.drop == 0)
		return;
	shadow_path(path, fd_ino(fd));
	if (only_if_new && access(path, F_OK) == 0)
		return;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	from = real_open(AT_FDCWD, proc, O_RDONLY | O_CLOEXEC, 0);
	to = real_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (from >= 0 && to >= 0)
		copy_fd((int)to, (int)from);
	syscall(SYS_close, from);
	syscall(SYS_close, to);
}

static void
shadow_forget(uint64_t ino)
{
	char path[PATH_MAX];

	if (cfg.drop == 0)
		return;
	shadow_path(path, ino);
	syscall(SYS_unlink, path);
}

/* The disk lost what was not synced: put back what it had. */
static void
shadow_restore(int fd)
{
	char path[PATH_MAX], proc[40];
	struct stat now, was = { 0 };
	long to, from;

	shadow_path(path, fd_ino(fd));
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	to = real_open(AT_FDCWD, proc, O_WRONLY | O_CLOEXEC, 0);
	from = real_open(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (to >= 0 && fstat((int)to, &now) == 0 && S_ISREG(now.st_mode)) {
		if (from >= 0) {
			fstat((int)from, &was);
			copy_fd((int)to, (int)from);
		} else
			syscall(SYS_ftruncate, to, 0);
		if (cfg.drop == 1 && now.st_size > was.st_size)
			syscall(SYS_ftruncate, to, now.st_size);
	}
	syscall(SYS_close, from);
	syscall(SYS_close, to);
}

/* --- writing ------------------------------------------------------------ */

static size_t
iov_sum(const struct iovec *iov, int cnt)
{
	size_t sum = 0;

	for (int i = 0; i < cnt; i++)
		sum += iov[i].iov_len;
	return sum;
}

static void *
iov_flatten(const struct iovec *iov, int cnt, size_t sum)
{
	unsigned char *p = malloc(sum + 1);
	size_t off = 0;

	for (int i = 0; p != NULL && i < cnt; i++) {
		memcpy(p + off, iov[i].iov_base, iov[i].iov_len);
		off += iov[i].iov_len;
	}
	return p;
}

/* off -1: at the file's own offset. */
static long
raw_write(int fd, const struct iovec *iov, int cnt, off_t off, int flags)
{
	if (cnt == 1 && flags == 0)
		return off == -1 ?
		    syscall(SYS_write, fd, iov[0].iov_base, iov[0].iov_len) :
		    syscall(SYS_pwrite64, fd, iov[0].iov_base, iov[0].iov_len,
		    off);
	if (off == -1 && flags == 0)
		return syscall(SYS_writev, fd, iov, cnt);
	return syscall(SYS_pwritev2, fd, iov, cnt, (long)off, 0L, flags);
}

static ssize_t
watched_write(int fd, const struct iovec *iov, int cnt, off_t off, int flags)
{
	size_t sum = iov_sum(iov, cnt);
	struct iovec half = { iov_flatten(iov, cnt, sum), sum / 2 };
	enum verdict v;
	long n;

	lock_log();
	shadow_save(fd, true);
	v = judge(C_WRITE, sum);
	if (v == FAIL)
		n = -1;
	else if (v == TORN || v == SHORT)
		n = raw_write(fd, &half, 1, off, flags);
	else
		n = raw_write(fd, iov, cnt, off, flags);
	if (n > 0) {
		int fl = (int)syscall(SYS_fcntl, fd, F_GETFL);
		struct crash_rec r = { .op = CRASH_SYNC, .ino = fd_ino(fd) };

		if (off == -1)
			off = syscall(SYS_lseek, fd, 0L, SEEK_CUR) - n;
		else if (fl & O_APPEND)
			complain("pwrite on O_APPEND: offset not known");
		log_range(CRASH_WRITE, r.ino, (uint64_t)off, (uint64_t)n, 0,
		    half.iov_base);
		if ((fl & O_DSYNC) != 0 || (flags & (RWF_DSYNC | RWF_SYNC))) {
			r.start = atomic_load(&cfg.state->seq);
			log_put(&r, NULL, NULL, NULL);
			shadow_save(fd, false);
		}
	}
	settle(v);
	unlock_log();
	if (n >= 0 || v != FAIL) {
		int saved = errno;

		free(half.iov_base);
		errno = saved;
		return n;
	}
	free(half.iov_base);
	errno = cfg.fail_errno;
	return -1;
}

/* A write to standard output: what a consumer has seen by then. */
static ssize_t
delivered(const struct iovec *iov, int cnt)
{
	struct crash_rec r = { .op = CRASH_OUT };
	enum verdict v = judge(C_OUT, 0);
	void *flat;
	long n;

	n = raw_write(1, iov, cnt, -1, 0);
	if (n > 0 && cfg.log_fd >= 0) {
		flat = iov_flatten(iov, cnt, iov_sum(iov, cnt));
		lock_log();
		r.len = (uint64_t)n;
		log_put(&r, NULL, NULL, flat);
		unlock_log();
		free(flat);
	}
	settle(v);
	return n;
}

static ssize_t
do_write(int fd, const struct iovec *iov, int cnt, off_t off, int flags)
{
	if (fd_below(fd, false))
		return watched_write(fd, iov, cnt, off, flags);
	if (cfg.on && !inside && fd == 1 && off == -1 &&
	    (cfg.more || cfg.log_fd >= 0))
		return delivered(iov, cnt);
	return raw_write(fd, iov, cnt, off, flags);
}

ssize_t
write(int fd, const void *buf, size_t len)
{
	struct iovec v = { (void *)(uintptr_t)buf, len };

	return do_write(fd, &v, 1, -1, 0);
}

ssize_t
writev(int fd, const struct iovec *iov, int cnt)
{
	return do_write(fd, iov, cnt, -1, 0);
}

ssize_t
pwrite(int fd, const void *buf, size_t len, off_t off)
{
	struct iovec v = { (void *)(uintptr_t)buf, len };

	if (off < 0) {
		errno = EINVAL;
		return -1;
	}
	return do_write(fd, &v, 1, off, 0);
}

ssize_t
pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
	return pwrite(fd, buf, len, off);
}

ssize_t
pwritev2(int fd, const struct iovec *iov, int cnt, off_t off, int flags)
{
	return do_write(fd, iov, cnt, off, flags);
}

ssize_t
pwritev64v2(int fd, const struct iovec *iov, int cnt, off64_t off, int flags)
{
	return do_write(fd, iov, cnt, off, flags);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int cnt, off_t off)
{
	return do_write(fd, iov, cnt, off, 0);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int cnt, off64_t off)
{
	return do_write(fd, iov, cnt, off, 0);
}

/* Callers fall back to read and write, which are seen. */
ssize_t
copy_file_range(int in, off64_t *in_off, int out, off64_t *out_off,
    size_t len, unsigned int flags)
{
	if (fd_below(out, false)) {
		errno = EXDEV;
		return -1;
	}
	return syscall(SYS_copy_file_range, in, in_off, out, out_off, len,
	    flags);
}

ssize_t
sendfile(int out, int in, off_t *off, size_t len)
{
	if (fd_below(out, false)) {
		errno = EINVAL;
		return -1;
	}
	return syscall(SYS_sendfile, out, in, off, len);
}

ssize_t
sendfile64(int out, int in, off64_t *off, size_t len)
{
	return sendfile(out, in, off, len);
}

/* --- syncing ------------------------------------------------------------ */

static int
do_sync(int fd, long call)
{
	struct crash_rec r = { .op = CRASH_SYNC };
	enum verdict v;
	long rc;

	if (!fd_below(fd, true))
		return (int)syscall(call, fd);
	lock_log();
	shadow_save(fd, true);
	v = judge(C_SYNC, 0);
	if (v == FAIL) {
		if (cfg.drop != 0)
			shadow_restore(fd);
		unlock_log();
		errno = cfg.fail_errno;
		return -1;
	}
	r.ino = fd_ino(fd);
	r.start = atomic_load(&cfg.state->seq);
	unlock_log();		/* others go on while the disk works */
	rc = syscall(call, fd);
	lock_log();
	if (rc == 0) {
		log_put(&r, NULL, NULL, NULL);
		shadow_save(fd, false);
	}
	settle(v);
	unlock_log();
	return (int)rc;
}

int
fsync(int fd)
{
	return do_sync(fd, SYS_fsync);
}

int
fdatasync(int fd)
{
	return do_sync(fd, SYS_fdatasync);
}

static int
do_sync_all(int fd)
{
	struct crash_rec r = { .op = CRASH_SYNCALL };
	long rc;

	if (cfg.on && !inside) {
		lock_log();
		r.start = atomic_load(&cfg.state->seq);
		unlock_log();
	}
	rc = fd == -1 ? syscall(SYS_sync) : syscall(SYS_syncfs, fd);
	if (rc == 0 && cfg.on && !inside) {
		lock_log();
		log_put(&r, NULL, NULL, NULL);
		unlock_log();
	}
	return (int)rc;
}

int
syncfs(int fd)
{
	return do_sync_all(fd);
}

void
sync(void)
{
	do_sync_all(-1);
}

/* --- sizes -------------------------------------------------------------- */

static int
do_truncate(int fd, off_t size)
{
	enum verdict v;
	long rc = -1;

	if (!fd_below(fd, false))
		return (int)syscall(SYS_ftruncate, fd, size);
	lock_log();
	shadow_save(fd, true);
	v = judge(C_TRUNCATE, 0);
	if (v != FAIL)
		rc = syscall(SYS_ftruncate, fd, size);
	if (rc == 0)
		log_range(CRASH_TRUNC, fd_ino(fd), (uint64_t)size, 0, 0, NULL);
	settle(v);
	unlock_log();
	if (v == FAIL)
		errno = cfg.fail_errno;
	return (int)rc;
}

int
ftruncate(int fd, off_t size)
{
	return do_truncate(fd, size);
}

int
ftruncate64(int fd, off64_t size)
{
	return do_truncate(fd, size);
}

int
truncate(const char *path, off_t size)
{
	long fd = real_open(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
	int rc, saved;

	if (fd < 0)
		return -1;
	rc = do_truncate((int)fd, size);
	saved = errno;
	syscall(SYS_close, fd);
	errno = saved;
	return rc;
}

int
truncate64(const char *path, off64_t size)
{
	return truncate(path, size);
}

static int
do_allocate(int fd, int mode, off_t off, off_t len)
{
	enum verdict v;
	long rc = -1;

	if (!fd_below(fd, false))
		return (int)syscall(SYS_fallocate, fd, mode, off, len);
	lock_log();
	shadow_save(fd, true);
	v = judge(C_ALLOCATE, 0);
	if (v != FAIL)
		rc = syscall(SYS_fallocate, fd, mode, off, len);
	if (rc == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		log_range(CRASH_ZERO, fd_ino(fd), (uint64_t)off, (uint64_t)len,
		    0, NULL);
	if (rc == 0 && (mode & FALLOC_FL_KEEP_SIZE) == 0)
		log_range(CRASH_ALLOC, fd_ino(fd), (uint64_t)off,
		    (uint64_t)len, 0, NULL);
	settle(v);
	unlock_log();
	if (v == FAIL)
		errno = cfg.fail_errno;
	return (int)rc;
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	return do_allocate(fd, mode, off, len);
}

int
fallocate64(int fd, int mode, off64_t off, off64_t len)
{
	return do_allocate(fd, mode, off, len);
}

int
posix_fallocate(int fd, off_t off, off_t len)
{
	int saved = errno, rc;

	rc = do_allocate(fd, 0, off, len) == 0 ? 0 : errno;
	errno = saved;
	return rc;
}

int
posix_fallocate64(int fd, off64_t off, off64_t len)
{
	return posix_fallocate(fd, off, len);
}

/* --- names -------------------------------------------------------------- */

static int
watched_open(int dirfd, const char *path, int flags, mode_t mode,
    struct where *w)
{
	bool tmp = (flags & O_TMPFILE) == O_TMPFILE, existed;
	enum verdict v;
	struct stat st;
	long fd;

	lock_log();
	existed = !tmp && where_stat(w, &st);
	if (existed && ((flags & O_TRUNC) == 0 || st.st_size == 0)) {
		fd = real_open(dirfd, path, flags, mode);
		unlock_log();
		return (int)fd;
	}
	v = judge(existed ? C_TRUNCATE : C_CREATE, 0);
	fd = v == FAIL ? -1 : real_open(dirfd, path, flags, mode);
	if (fd >= 0 && existed)
		log_range(CRASH_TRUNC, fd_ino((int)fd), 0, 0, 0, NULL);
	else if (fd >= 0 && fstat((int)fd, &st) == 0) {
		if (tmp)
			w->name[0] = '\0';
		shadow_forget(st.st_ino);
		log_entry(CRASH_CREATE, w, st.st_ino, st.st_mode);
	}
	settle(v);
	unlock_log();
	if (v == FAIL)
		errno = cfg.fail_errno;
	return (int)fd;
}

static int
do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	bool tmp = (flags & O_TMPFILE) == O_TMPFILE;
	char inner[PATH_MAX] = "";
	struct where w;
	int fd;

	if ((flags & (O_CREAT | O_TRUNC)) == 0 && !tmp)
		return (int)real_open(dirfd, path, flags, mode);
	if (tmp && strlen(path) < sizeof(inner) - 3)
		snprintf(inner, sizeof(inner), "%s/x", path);
	if (!where(dirfd, tmp ? inner : path, &w))
		return (int)real_open(dirfd, path, flags, mode);
	fd = watched_open(dirfd, path, flags, mode, &w);
	where_done(&w);
	return fd;
}

#define MODE_ARG(flags, mode) do {					\
	va_list ap;							\
	if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {\
		va_start(ap, flags);					\
		(mode) = va_arg(ap, mode_t);				\
		va_end(ap);						\
	}								\
} while (0)

int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_ARG(flags, mode);
	return do_open(AT_FDCWD, path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_ARG(flags, mode);
	return do_open(AT_FDCWD, path, flags, mode);
}

int
openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_ARG(flags, mode);
	return do_open(dirfd, path, flags, mode);
}

int
openat64(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	MODE_ARG(flags, mode);
	return do_open(dirfd, path, flags, mode);
}

int	__open_2(const char *path, int flags);
int	__open64_2(const char *path, int flags);
int	__openat_2(int dirfd, const char *path, int flags);
int	__openat64_2(int dirfd, const char *path, int flags);

int
__open_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int
__open64_2(const char *path, int flags)
{
	return do_open(AT_FDCWD, path, flags, 0);
}

int
__openat_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

int
__openat64_2(int dirfd, const char *path, int flags)
{
	return do_open(dirfd, path, flags, 0);
}

int
creat(const char *path, mode_t mode)
{
	return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int
creat64(const char *path, mode_t mode)
{
	return creat(path, mode);
}

/* The six X before the suffix become something new. */
static void
fill_template(char *template, int suffix)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	static uint64_t turn;
	char *x = template + strlen(template) - suffix - 6;
	struct timespec ts;
	uint64_t v;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	v = (uint64_t)ts.tv_nsec * 2654435761U + (uint64_t)getpid() * 40503U +
	    ++turn * 97U;
	for (int i = 0; i < 6; i++, v >>= 5)
		x[i] = letters[v & 31];
}

int
mkostemps(char *template, int suffix, int flags)
{
	int fd, tries = 100;

	do {
		fill_template(template, suffix);
		fd = do_open(AT_FDCWD, template,
		    (flags & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL, 0600);
	} while (fd < 0 && errno == EEXIST && --tries > 0);
	return fd;
}

int
mkostemp(char *template, int flags)
{
	return mkostemps(template, 0, flags);
}

int
mkstemps(char *template, int suffix)
{
	return mkostemps(template, suffix, 0);
}

int
mkstemp(char *template)
{
	return mkostemps(template, 0, 0);
}

static int
do_mkdir(int dirfd, const char *path, mode_t mode)
{
	enum verdict v;
	struct where w;
	struct stat st;
	long rc = -1;

	if (!where(dirfd, path, &w))
		return (int)syscall(SYS_mkdirat, dirfd, path, mode);
	lock_log();
	if (where_stat(&w, &st)) {
		errno = EEXIST;
		v = GO;
	} else {
		v = judge(C_MKDIR, 0);
		if (v != FAIL)
			rc = syscall(SYS_mkdirat, dirfd, path, mode);
		if (rc == 0 && where_stat(&w, &st))
			log_entry(CRASH_MKDIR, &w, st.st_ino, st.st_mode);
	}
	settle(v);
	unlock_log();
	where_done(&w);
	if (v == FAIL)
		errno = cfg.fail_errno;
	return (int)rc;
}

int
mkdir(const char *path, mode_t mode)
{
	return do_mkdir(AT_FDCWD, path, mode);
}

int
mkdirat(int dirfd, const char *path, mode_t mode)
{
	return do_mkdir(dirfd, path, mode);
}

char *
mkdtemp(char *template)
{
	int rc, tries = 100;

	do {
		fill_template(template, 0);
		rc = do_mkdir(AT_FDCWD, template, 0700);
	} while (rc < 0 && errno == EEXIST && --tries > 0);
	return rc == 0 ? template : NULL;
}

static int
do_mknod(int dirfd, const char *path, mode_t mode, dev_t dev)
{
	enum verdict v;
	struct where w;
	struct stat st;
	long rc = -1;

	if (!where(dirfd, path, &w))
		return (int)syscall(SYS_mknodat, dirfd, path, mode, dev);
	lock_log();
	v = judge(C_CREATE, 0);
	if (v != FAIL)
		rc = syscall(SYS_mknodat, dirfd, path, mode, dev);
	if (rc == 0 && where_stat(&w, &st))
		log_entry(CRASH_MKNOD, &w, st.st_ino, st.st_mode);
	settle(v);
	unlock_log();
	where_done(&w);
	if (v == FAIL)
		errno = cfg.fail_errno;
	return (int)rc;
}

int
mknod(const char *path, mode_t mode, dev_t dev)
{
	return do_mknod(AT_FDCWD, path, mode, dev);
}

int
mknodat(int dirfd, const char *path, mode_t mode, dev_t dev)
{
	return do_mknod(dirfd, path, mode, dev);
}

int
mkfifo(const char *path, mode_t mode)
{
	return do_mknod(AT_FDCWD, path, (mode & 07777) | S_IFIFO, 0);
}

int
mkfifoat(int dirfd, const char *path, mode_t mode)
{
	return do_mknod(dirfd, path, (mode & 07777) | S_IFIFO, 0);
}

static int
do_rename(int fromfd, const char *from, int tofd, const char *to,
    unsigned int flags)
{
	struct crash_rec r = { .op = flags & RENAME_EXCHANGE ? CRASH_EXCHANGE :
	    CRASH_RENAME };
	struct where a, b;
	enum verdict v;
	struct stat st;
	long rc = -1;

	if (!where(fromfd, from, &a))
		return (int)syscall(SYS_renameat2, fromfd, from, tofd, to,
		    flags);
	if (!where(tofd, to, &b)) {
		complain("rename out of CRASH_DIR is not recorded");
		where_done(&a);
		return (int)syscall(SYS_renameat2, fromfd, from, tofd, to,
		    flags);
	}
	lock_log();
	r.ino = where_stat(&a, &st) ? st.st_ino : 0;
	r.dir = a.dir;
	r.dir2 = b.dir;
	v = judge(C_RENAME, 0);
	if (v != FAIL)
		rc = syscall(SYS_renameat2, fromfd, from, tofd, to, flags);
	if (rc == 0)
		log_put(&r, a.name, b.name, NULL);
	settle(v);
	unlock_log();
	where_done(&a);
	where_done(&b);
	if (v == FAIL)
		errno = cfg.fail_errno;
	return (int)rc;
}

int
rename(const char *from, const char *to)
{
	return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
renameat(int fromfd, const char *from, int tofd, const char *to)
{
	return do_rename(fromfd, from, tofd, to, 0);
}

int
renameat2(int fromfd, const char *from, int tofd, const char *to,
    unsigned int flags)
{
	return do_rename(fromfd, from, tofd, to, flags);
}

static int
do_link(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	struct crash_rec r = { .op = CRASH_LINK };
	struct where w;
	enum verdict v;
	struct stat st;
	long rc = -1;

	if (!where(tofd, to, &w))
		return (int)syscall(SYS_linkat, fromfd, from, tofd, to, flags);
	lock_log();
	v = judge(C_LINK, 0);
	if (v != FAIL)
		rc = syscall(SYS_linkat, fromfd, from, tofd, to, flags);
	if (rc == 0 && where_stat(&w, &st)) {
		r.ino = st.st_ino;
		r.dir2 = w.dir;
		log_put(&r, NULL, w.name, NULL);
	}
	settle(v);
	unlock_log();
	where_done(&w);
	if (v == FAIL)
		errno = cfg.fail_errno;
	return (int)rc;
}

int
link(const char *from, const char *to)
{
	return do_link(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	return do_link(fromfd, from, tofd, to, flags);
}

static int
do_unlink(int dirfd, const char *path, int flags)
{
	enum verdict v = GO;
	struct where w;
	struct stat st;
	long rc = -1;

	if (!where(dirfd, path, &w))
		return (int)syscall(SYS_unlinkat, dirfd, path, flags);
	lock_log();
	if (!where_stat(&w, &st)) {
		errno = ENOENT;
	} else {
		v = judge(C_UNLINK, 0);
		if (v != FAIL)
			rc = syscall(SYS_unlinkat, dirfd, path, flags);
		if (rc == 0)
			log_entry(flags & AT_REMOVEDIR ? CRASH_RMDIR :
			    CRASH_UNLINK, &w, st.st_ino, 0);
	}
	settle(v);
	unlock_log();
	where_done(&w);
	if (v == FAIL)
		errno = cfg.fail_errno;
	return (int)rc;
}

int
unlink(const char *path)
{
	return do_unlink(AT_FDCWD, path, 0);
}

int
unlinkat(int dirfd, const char *path, int flags)
{
	return do_unlink(dirfd, path, flags);
}

int
rmdir(const char *path)
{
	return do_unlink(AT_FDCWD, path, AT_REMOVEDIR);
}

int
remove(const char *path)
{
	if (do_unlink(AT_FDCWD, path, 0) == 0)
		return 0;
	return errno == EISDIR ? do_unlink(AT_FDCWD, path, AT_REMOVEDIR) : -1;
}

/* --- mappings, locks, the end ------------------------------------------- */

static void *
do_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
	int saved = errno;

	if (p != MAP_FAILED && (flags & MAP_SHARED) && (prot & PROT_WRITE) &&
	    fd >= 0 && fd_below(fd, false))
		map_add(fd, len + (size_t)off);
	errno = saved;
	return p;
}

void *
mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return do_mmap(addr, len, prot, flags, fd, off);
}

void *
mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t off)
{
	return do_mmap(addr, len, prot, flags, fd, off);
}

static int
do_fcntl(int fd, int cmd, long arg)
{
	enum verdict v = GO;
	long rc;

	if (cfg.on && cfg.more && !inside && (cmd == F_OFD_SETLK ||
	    cmd == F_OFD_SETLKW || cmd == F_SETLK || cmd == F_SETLKW) &&
	    fd_below(fd, false))
		v = judge(C_LOCK, 0);
	rc = syscall(SYS_fcntl, fd, cmd, arg);
	settle(v);
	return (int)rc;
}

int
fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

int
fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return do_fcntl(fd, cmd, arg);
}

static void
finish(void)
{
	char line[80];
	long fd;
	int n;

	if (!cfg.on)
		return;
	lock_log();		/* the last stores into mappings */
	unlock_log();
	if (cfg.count == NULL)
		return;
	fd = real_open(AT_FDCWD, cfg.count,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	n = snprintf(line, sizeof(line), "%s %llu\n",
	    program_invocation_short_name,
	    (unsigned long long)atomic_load(&cfg.state->calls));
	if (fd >= 0 && n > 0)
		syscall(SYS_write, fd, line, (size_t)n);
	syscall(SYS_close, fd);
	cfg.count = NULL;
}

__attribute__((destructor)) static void
at_end(void)
{
	finish();
}

_Noreturn void
_exit(int status)
{
	finish();
	for (;;)
		syscall(SYS_exit_group, status);
}

_Noreturn void
_Exit(int status)
{
	_exit(status);
}
