/*
 * queue: making, opening and removing the directory.
 *
 * The file `queue`, renamed into place last, makes a directory a queue.  It is
 * text: "dsqueue 1", then one "name value" a line, then "crc" of all before.
 */

#include "queue.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "fsdur.h"
#include "queue_priv.h"

#define FILE_MAX	4096U
#define REMOVED		"removed"	/* `queue`, once it is being removed */
#define LOG_MAGIC	"dqlog001"
#define JOURNAL_MAGIC	"dqjrn001"

static const char *const subdirs[] = { "log", "journal", "state", "index",
	"holders" };

/* --- file systems --------------------------------------------------------------- */

static const struct {
	unsigned long type;
	const char *name;
	bool durable, network;
} filesystems[] = {
	{ 0xef53, "ext4", true, false },
	{ 0x58465342, "xfs", true, false },
	{ 0x9123683e, "btrfs", true, false },
	{ 0x2fc12fc1, "zfs", true, false },
	{ 0xf2f52010, "f2fs", true, false },
	{ 0x794c7630, "overlay", true, false },
	{ 0x01021994, "tmpfs", false, false },
	{ 0x858458f6, "ramfs", false, false },
	{ 0x6969, "nfs", true, true },
	{ 0x517b, "smb", true, true },
	{ 0xfe534d42, "smb2", true, true },
	{ 0xff534d42, "cifs", true, true },
	{ 0x01021997, "9p", true, true },
	{ 0x65735546, "fuse", true, true },
	{ 0x00c36400, "ceph", true, true },
	{ 0x5346414f, "afs", true, true },
	{ 0x0bd00bd0, "lustre", true, true },
	{ 0x73757245, "coda", true, true },
};

static int
look_at_fs(struct queue *q, bool force)
{
	const char *test = getenv("DSUTILS_FS");	/* for tests: its name */
	struct statfs fs;

	if (fstatfs(q->dirfd, &fs) == -1)
		return -1;
	q->fs = "other";
	q->fs_durable = true;
	for (size_t i = 0; i < sizeof(filesystems) / sizeof(*filesystems);
	    i++) {
		if (test != NULL ? strcmp(test, filesystems[i].name) != 0 :
		    (unsigned long)fs.f_type != filesystems[i].type)
			continue;
		q->fs = filesystems[i].name;
		q->fs_durable = filesystems[i].durable;
		if (filesystems[i].network && !force) {
			errno = EOPNOTSUPP;
			return -1;
		}
	}
	return 0;
}

/* Nothing in it but what a creator that was killed may have left? */
static bool
is_empty(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;
	bool empty = true;

	if (dir == NULL) {
		if (fd != -1)
			close(fd);
		return false;
	}
	while (empty && (e = readdir(dir)) != NULL) {
		empty = strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0 ||
		    strncmp(e->d_name, FSDUR_TMP_PREFIX,
		    strlen(FSDUR_TMP_PREFIX)) == 0;
		for (size_t i = 0; i < sizeof(subdirs) / sizeof(*subdirs); i++)
			empty = empty || strcmp(e->d_name, subdirs[i]) == 0;
	}
	closedir(dir);
	return empty;
}

/* --- the file `queue` --------------------------------------------------------------- */

static int
group_names_ok(const char *list)
{
	size_t len = 0;

	for (;; list++) {
		if (*list == ',' || *list == '\0') {
			if (len == 0 || len > QUEUE_NAME_MAX)
				return 0;
			if (*list == '\0')
				return 1;
			len = 0;
		} else if (!isalnum((unsigned char)*list) &&
		    strchr("._-", *list) == NULL) {
			return 0;
		} else {
			len++;
		}
	}
}

static int
write_file(const struct queue *q, bool force)
{
	struct buf b = { .len = 0 };
	int r = -1;

	if (buf_printf(&b, "dsqueue 1\nid %s\nmode %04o\ngroup %" PRId64 "\n"
	    "segment %" PRIu64 "\nforce %d\ngroups %s\n", q->id_hex,
	    (unsigned int)q->file_mode, q->gid == (gid_t)-1 ? (int64_t)-1 :
	    (int64_t)q->gid, q->segment, force, q->first_groups) == 0 &&
	    buf_printf(&b, "crc %08x\n", crc32c(b.data, b.len)) == 0)
		r = fsdur_write_file(q->dirfd, "queue", b.data, b.len,
		    q->file_mode);
	buf_release(&b);
	return r;
}

/* The value behind "name " at the start of a line. */
static const char *
value_of(char *text, const char *name)
{
	size_t len = strlen(name);
	char *line;

	for (line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return line + len + 1;
	}
	return "";
}

/* The number behind "name ", which ends its line; 1, 0 there is none. */
static int
number_of(char *text, const char *name, int base, int64_t *out)
{
	const char *p = value_of(text, name);
	char *end;

	errno = 0;
	*out = strtoll(p, &end, base);
	return errno == 0 && end != p && (*end == '\n' || *end == '\0');
}

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c == '\0' ? NULL : strchr(digits, c);

	return p == NULL ? -1 : (int)(p - digits);
}

static int
parse_id(struct queue *q, const char *text)
{
	for (size_t i = 0; i < 16; i++) {
		int hi = hex_digit(text[2 * i]), lo;

		if (hi == -1 || (lo = hex_digit(text[2 * i + 1])) == -1)
			return -1;
		q->id[i] = (unsigned char)(hi << 4 | lo);
	}
	if (text[32] != '\n')
		return -1;
	memcpy(q->id_hex, text, 32);
	q->id_hex[32] = '\0';
	return 0;
}

/* Is the last line the checksum of all before it?  It is cut off. */
static bool
crc_line_ok(char *text, size_t len)
{
	char *end = memmem(text, len, "\ncrc ", 5), want[16];

	if (end == NULL)
		return false;
	snprintf(want, sizeof(want), "crc %08x\n", crc32c(text,
	    (size_t)(end + 1 - text)));
	if (strcmp(end + 1, want) != 0)
		return false;
	*end = '\0';
	return true;
}

static int
parse_file(struct queue *q, char *text, size_t len, bool *force)
{
	int64_t version, mode, gid, segment, forced;
	char groups[FILE_MAX], *nl;

	if (!crc_line_ok(text, len) ||
	    !number_of(text, "dsqueue", 10, &version))
		goto bad;
	if (version != 1) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	if (parse_id(q, value_of(text, "id")) == -1 ||
	    !number_of(text, "mode", 8, &mode) ||
	    !number_of(text, "group", 10, &gid) ||
	    !number_of(text, "segment", 10, &segment) ||
	    !number_of(text, "force", 10, &forced))
		goto bad;
	snprintf(groups, sizeof(groups), "%s", value_of(text, "groups"));
	if ((nl = strchr(groups, '\n')) != NULL)
		*nl = '\0';
	if (!group_names_ok(groups) ||
	    segment < (int64_t)QUEUE_SEGMENT_MIN)
		goto bad;
	q->segment = (uint64_t)segment;
	q->file_mode = (mode_t)mode & 0666;
	q->gid = gid < 0 ? (gid_t)-1 : (gid_t)gid;
	*force = forced != 0;
	q->first_groups = strdup(groups);
	return q->first_groups == NULL ? -1 : 0;
bad:
	errno = EBADMSG;
	return -1;
}

static int
read_file(struct queue *q, bool *force)
{
	char text[FILE_MAX + 1];
	ssize_t n;
	int fd, r, saved;

	if ((fd = openat(q->dirfd, "queue", O_RDONLY | O_CLOEXEC)) == -1) {
		/* A directory: one to become a queue yet, or something else;
		 * it may have become one while we looked. */
		if (errno == ENOENT && !is_empty(q->dirfd)) {
			fd = openat(q->dirfd, "queue", O_RDONLY | O_CLOEXEC);
			if (fd == -1 && errno == ENOENT)
				errno = EBADMSG;
		}
		if (fd == -1)
			return -1;
	}
	n = fsdur_pread_all(fd, text, FILE_MAX, 0);
	r = n < 0 ? -1 : 0;
	if (r == 0) {
		text[n] = '\0';
		r = parse_file(q, text, (size_t)n, force);
	}
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}

/* --- making ------------------------------------------------------------------------------- */

static mode_t
dir_mode(mode_t mode)
{
	return 0700 | mode | (mode & 0444) >> 2;
}

static int
make_dirs(const struct queue *q)
{
	mode_t mode = dir_mode(q->file_mode);
	int fd, r;

	for (size_t i = 0; i < sizeof(subdirs) / sizeof(*subdirs); i++) {
		if (mkdirat(q->dirfd, subdirs[i], 0700) == -1 &&
		    errno != EEXIST)
			return -1;
		fd = openat(q->dirfd, subdirs[i], O_RDONLY | O_DIRECTORY |
		    O_CLOEXEC);
		if (fd == -1)
			return -1;
		r = wal_fix_mode(fd, mode, q->gid);
		close(fd);
		if (r == -1)
			return -1;
	}
	return wal_fix_mode(q->dirfd, mode, q->gid);
}

static int
create_in(struct queue *q, const struct queue_create *how)
{
	unsigned char id[16];

	/* One creator at a time. */
	if (flock(q->dirfd, LOCK_EX) == -1)
		return -1;
	if (faccessat(q->dirfd, "queue", F_OK, 0) == 0) {
		errno = EEXIST;
		return -1;
	}
	if (!is_empty(q->dirfd)) {
		errno = ENOTEMPTY;
		return -1;
	}
	dir_sweep(q->dirfd);
	arc4random_buf(id, sizeof(id));
	for (size_t i = 0; i < sizeof(id); i++)
		snprintf(q->id_hex + 2 * i, 3, "%02x", id[i]);
	if (make_dirs(q) == -1 || fsdur_sync_dir(q->dirfd) == -1)
		return -1;
	return write_file(q, how->force_fs);
}

static int
sync_parent(int dirfd)
{
	int fd = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r, saved;

	if (fd == -1)
		return -1;
	r = fsdur_sync_dir(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}

int
queue_create(const char *path, const struct queue_create *how)
{
	static const struct queue_create defaults = { .mode = 0600,
		.gid = (gid_t)-1 };
	struct queue q = { .dirfd = -1 };
	bool ours;
	int r = -1, saved;

	if (how == NULL)
		how = &defaults;
	q.file_mode = how->mode == 0 ? 0600 : how->mode & 0666;
	q.gid = how->gid;
	q.segment = how->segment == 0 ? QUEUE_SEGMENT_DEFAULT : how->segment;
	if (q.segment < QUEUE_SEGMENT_MIN || (how->groups != NULL &&
	    !group_names_ok(how->groups))) {
		errno = EINVAL;
		return -1;
	}
	q.first_groups = strdup(how->groups == NULL ? "main" : how->groups);
	if (q.first_groups == NULL)
		return -1;
	ours = mkdir(path, 0700) == 0;
	if (ours || errno == EEXIST)
		q.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (q.dirfd != -1 && look_at_fs(&q, how->force_fs) == 0 &&
	    create_in(&q, how) == 0)
		r = sync_parent(q.dirfd);
	saved = errno;
	if (q.dirfd != -1)
		close(q.dirfd);
	if (r == -1 && ours)
		(void)rmdir(path);	/* if nobody put anything there */
	free(q.first_groups);
	errno = saved;
	return r;
}

/* --- opening ---------------------------------------------------------------------------------- */

static const char *const lock_names[LOCK_MAX] = { "the index lock",
	"the append lock", "the log's commit lock",
	"the journal's commit lock" };

static void
on_slow(void *arg, unsigned int which, pid_t owner)
{
	struct queue *q = arg;

	if (q->slow != NULL)
		q->slow(q->slow_arg, lock_names[which], owner);
}

static void
on_commit(void *arg)
{
	control_ring(arg);
}

/* Descriptors 0 to 2 are never ours, or a message printed there would end up
 * in a database. */
static int
standard_fds(void)
{
	int fd;

	do {
		if ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1)
			return -1;
	} while (fd <= 2);
	close(fd);
	return 0;
}

static int
open_dirs(struct queue *q)
{
	int *fds[] = { &q->log_fd, &q->journal_fd, &q->state_fd,
		&q->index_fd, &q->holders_fd };

	for (size_t i = 0; i < sizeof(subdirs) / sizeof(*subdirs); i++) {
		*fds[i] = openat(q->dirfd, subdirs[i], O_RDONLY |
		    O_DIRECTORY | O_CLOEXEC);
		/* Derived, and gone: nothing is lost. */
		if (*fds[i] == -1 && errno == ENOENT &&
		    (fds[i] == &q->index_fd || fds[i] == &q->holders_fd) &&
		    make_dirs(q) == 0)
			*fds[i] = openat(q->dirfd, subdirs[i], O_RDONLY |
			    O_DIRECTORY | O_CLOEXEC);
		if (*fds[i] == -1)
			return -1;
	}
	return 0;
}

static void
set_up_log(struct queue *q, struct wal *w, bool messages)
{
	w->dirfd = messages ? q->log_fd : q->journal_fd;
	w->mode = q->file_mode;
	w->gid = q->gid;
	w->magic = messages ? LOG_MAGIC : JOURNAL_MAGIC;
	memcpy(w->id, q->id, sizeof(w->id));
	w->limit = messages ? q->segment : JOURNAL_SEGMENT;
	w->spare = messages ? 0 : JOURNAL_SPARE;
	w->lock = &q->lock;
	w->lock_append = messages ? LOCK_APPEND : LOCK_INDEX;
	w->lock_commit = messages ? LOCK_LOG_COMMIT : LOCK_JOURNAL_COMMIT;
	w->woken = messages ? on_commit : NULL;
	w->woken_arg = q;
	w->fixup = messages ? msg_fixup : jrn_fixup;
	w->verify = messages ? msg_verify : jrn_verify;
	wal_init(w);
}

static int
open_all(struct queue *q)
{
	uint64_t most;
	bool force;

	q->dirfd = open(q->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (q->dirfd == -1 || read_file(q, &force) == -1 ||
	    look_at_fs(q, force) == -1 || open_dirs(q) == -1)
		return -1;
	signal(SIGXFSZ, SIG_IGN);	/* a limit is an error, not a death */
	q->lock.slow = on_slow;
	q->lock.slow_arg = q;
	set_up_log(q, &q->log, true);
	set_up_log(q, &q->journal, false);
	wal_reader_init(&q->log_rd, &q->log);
	wal_reader_init(&q->data_rd, &q->log);
	wal_reader_init(&q->jrn_rd, &q->journal);
	if (control_open(q) == -1)
		return -1;
	if (!q->ctl_readonly && (wal_mend(&q->log) == -1 ||
	    wal_mend(&q->journal) == -1))
		return -1;
	/* A bounded queue gives space back in small pieces. */
	most = attr_now(q, ATTR_MAX_BYTES) / 8;
	if (most != 0 && most < q->log.limit)
		q->log.limit = most < QUEUE_SEGMENT_MIN ? QUEUE_SEGMENT_MIN :
		    most;
	return 0;
}

int
queue_open(struct queue **qp, const char *path, enum queue_mode mode,
    queue_slow slow, void *slow_arg)
{
	struct queue *q;

	if (standard_fds() == -1 || (q = calloc(1, sizeof(*q))) == NULL)
		return -1;
	q->dirfd = q->control_fd = q->log_fd = q->journal_fd = q->state_fd =
	    q->index_fd = q->holders_fd = q->holder_fd = q->inotify_fd =
	    q->waiting_fd = q->log.fd = q->journal.fd = q->log_rd.fd =
	    q->data_rd.fd = q->jrn_rd.fd = -1;
	q->mode = mode;
	q->patience = MONO_NEVER;
	q->slow = slow;
	q->slow_arg = slow_arg;
	if ((q->path = strdup(path)) == NULL || open_all(q) == -1) {
		int saved = errno;

		queue_close(q);
		errno = saved;
		return -1;
	}
	*qp = q;
	return 0;
}

static void
close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

void
queue_close(struct queue *q)
{
	if (q == NULL)
		return;
	queue_push_abandon(q);
	queue_waiting(q, false);
	if (q->ctl != NULL)
		index_close(q);
	/* What is still taken waits again once the FIFO has no reader. */
	if (q->open_claims == 0)
		holder_end(q, q->holder, -1);
	close_fd(q->holder_fd);
	wal_reader_release(&q->log_rd);
	wal_reader_release(&q->data_rd);
	wal_reader_release(&q->jrn_rd);
	wal_release(&q->log);
	wal_release(&q->journal);
	control_close(q);
	close_fd(q->inotify_fd);
	close_fd(q->holders_fd);
	close_fd(q->index_fd);
	close_fd(q->state_fd);
	close_fd(q->journal_fd);
	close_fd(q->log_fd);
	close_fd(q->dirfd);
	buf_release(&q->rec);
	buf_release(&q->found);
	free(q->groups);
	free(q->first_groups);
	free(q->path);
	free(q);
}

void
queue_patience(struct queue *q, struct mono deadline)
{
	q->patience = deadline;
}

const char *
queue_id(const struct queue *q)
{
	return q->id_hex;
}

void
queue_default_id(const struct queue *q, const struct queue_message *m,
    char buf[QUEUE_ID_MAX])
{
	snprintf(buf, QUEUE_ID_MAX, "%.16s-%08x-%" PRIu64, q->id_hex,
	    m->epoch, m->seq);
}

/* --- removing ----------------------------------------------------------------------------------- */

static int
remove_below(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (dir == NULL) {
		close_fd(fd);
		return errno == ENOENT ? 0 : -1;
	}
	while ((e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)unlinkat(fd, e->d_name, 0);
	closedir(dir);
	return unlinkat(dirfd, name, AT_REMOVEDIR);
}

int
queue_remove(const char *path)
{
	struct queue q = { .dirfd = open(path, O_RDONLY | O_DIRECTORY |
	    O_CLOEXEC) };
	bool force;
	int r = -1, saved;

	if (q.dirfd == -1)
		return -1;
	/* Only what is a queue, even a damaged one, or was one: see below. */
	if (read_file(&q, &force) == -1 && (errno == ENOENT ||
	    (faccessat(q.dirfd, "queue", F_OK, 0) == -1 &&
	    faccessat(q.dirfd, REMOVED, F_OK, 0) == -1)))
		goto out;
	/* From here on it is none: whoever waits in it is told by control.
	 * If we are killed, the name tells that what is left may go. */
	if (renameat(q.dirfd, "queue", q.dirfd, REMOVED) == -1 &&
	    errno != ENOENT)
		goto out;
	(void)unlinkat(q.dirfd, "control", 0);
	for (size_t i = 0; i < sizeof(subdirs) / sizeof(*subdirs); i++)
		if (remove_below(q.dirfd, subdirs[i]) == -1)
			goto out;
	if (fsdur_fault_point("unlink") == -1 ||
	    (unlinkat(q.dirfd, REMOVED, 0) == -1 && errno != ENOENT) ||
	    sync_parent(q.dirfd) == -1)
		goto out;
	r = rmdir(path);
out:
	saved = errno;
	close(q.dirfd);
	free(q.first_groups);
	errno = saved;
	return r;
}
