/*
 * fsdur: the operations, and every kind of fault; each fault in a child, since
 * the variable is read once a process.
 */

#include "fsdur.h"

#include <sys/wait.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>

#include "tap.h"

static int dirfd_;

/* Run fn in a child with the fault; its wait status. */
static int
with_fault(const char *fault, int (*fn)(void))
{
	int status;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == -1)
		tap_bail("fork");
	if (pid == 0) {
		if (setenv("DSUTILS_FAULT", fault, 1) == -1)
			_exit(99);
		_exit(fn());
	}
	if (waitpid(pid, &status, 0) != pid)
		tap_bail("waitpid");
	return status;
}

static bool
killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static int
exited(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The file's bytes as a string, or NULL if there is none. */
static const char *
text(const char *name)
{
	static char data[64];
	int fd = openat(dirfd_, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd == -1)
		return NULL;
	n = fsdur_pread_all(fd, data, sizeof(data) - 1, 0);
	(void)close(fd);
	if (n == -1)
		tap_bail("%s", name);
	data[n] = '\0';
	return data;
}

/* Make a file without fsdur, which would read the variable here. */
static void
put(const char *name, const char *data)
{
	int fd = openat(dirfd_, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);
	size_t len = strlen(data);

	if (fd == -1 || write(fd, data, len) != (ssize_t)len || close(fd) == -1)
		tap_bail("%s", name);
}

/* How many temporary files lie about; they are removed. */
static int
sweep(void)
{
	DIR *dir = opendir(tap_tmpdir());
	struct dirent *e;
	int n = 0;

	if (dir == NULL)
		tap_bail("opendir");
	while ((e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, FSDUR_TMP_PREFIX,
		    strlen(FSDUR_TMP_PREFIX)) == 0) {
			n++;
			(void)unlinkat(dirfd_, e->d_name, 0);
		}
	(void)closedir(dir);
	return n;
}

static int
open_file(void)
{
	int fd = openat(dirfd_, "f", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);

	if (fd == -1)
		tap_bail("f");
	return fd;
}

/* Children: 0, or the errno. */
static int
do_write(void)
{
	int fd = open_file();

	return fsdur_pwrite_all(fd, "0123456789", 10, 0) == 10 ? 0 : errno;
}

static int
do_two_writes(void)
{
	int fd = open_file();

	if (fsdur_pwrite_all(fd, "01234", 5, 0) != 5)
		return 98;
	return fsdur_pwrite_all(fd, "56789", 5, 5) == 5 ? 0 : errno;
}

static int
do_sync(void)
{
	return fsdur_sync(open_file()) == 0 ? 0 : errno;
}

static int
do_truncate(void)
{
	return fsdur_truncate(open_file(), 3) == 0 ? 0 : errno;
}

static int
do_replace(void)
{
	return fsdur_write_file(dirfd_, "g", "new", 3, 0640) == 0 ? 0 : errno;
}

static int
do_unlink(void)
{
	return fsdur_unlink(dirfd_, "g") == 0 ? 0 : errno;
}

static int
do_point(void)
{
	return fsdur_fault_point("lease") == 0 ? 0 : errno;
}

static void
test_plain(void)
{
	char got[20], name[NAME_MAX + 1];
	struct stat st;
	int fd = open_file();

	is_int(fsdur_pwrite_all(fd, "hello", 5, 3), 5, "write: all");
	is_int(fsdur_pwrite_all(fd, "", 0, 0), 0, "write: nothing");
	is_int(fsdur_pread_all(fd, got, 20, 0), 8, "read: to the end");
	is_mem(got, 8, "\0\0\0hello", 8, "read: with the hole");
	is_int(fsdur_pread_all(fd, got, 20, 100), 0, "read: behind the end");
	is_int(fsdur_sync(fd), 0, "sync");
	is_int(fsdur_sync_dir(dirfd_), 0, "sync: directory");
	is_err(fsdur_sync(-1), EBADF, "sync: failure");
	is_err(fsdur_pwrite_all(-1, "x", 1, 0), EBADF, "write: failure");
	is_err(fsdur_pread_all(-1, got, 1, 0), EBADF, "read: failure");
	is_int(fsdur_truncate(fd, 1), 0, "truncate");
	(void)close(fd);

	is_int(fsdur_rename(dirfd_, "f", "g"), 0, "rename");
	is_err(fsdur_rename(dirfd_, "f", "g"), ENOENT, "rename: nothing there");
	is_int(fsdur_unlink(dirfd_, "g"), 0, "unlink");
	is_err(fsdur_unlink(dirfd_, "g"), ENOENT, "unlink: nothing there");

	(void)umask(077);
	is_int(fsdur_write_file(dirfd_, "g", "old", 3, 0640), 0, "file: new");
	is_str(text("g"), "old", "file: its bytes");
	ok(fstatat(dirfd_, "g", &st, 0) == 0 && (st.st_mode & 07777) == 0640,
	    "file: its mode, whatever the umask");
	is_int(fsdur_write_file(dirfd_, "g", "older", 5, 0600), 0,
	    "file: replaced");
	is_str(text("g"), "older", "file: its new bytes");
	memset(name, 'n', NAME_MAX);
	name[NAME_MAX] = '\0';
	is_err(fsdur_write_file(dirfd_, name, "x", 1, 0600), ENAMETOOLONG,
	    "file: no room for the temporary name");
	is_int(sweep(), 0, "file: no temporary names are left");
}

static void
test_kills(void)
{
	ok(killed(with_fault("write:1:kill", do_write)), "write: kill");
	is_str(text("f"), "", "write: kill came before");
	ok(killed(with_fault("write:1:killafter", do_write)),
	    "write: killafter");
	is_str(text("f"), "0123456789", "write: killafter came after");
	ok(killed(with_fault("write:1:torn", do_write)), "write: torn");
	is_str(text("f"), "01234", "write: torn leaves half");
	ok(killed(with_fault("any:2:kill", do_two_writes)), "any: the second");
	is_str(text("f"), "01234", "any: the first was made");

	is_int(exited(with_fault("write:1:short", do_write)), 0,
	    "write: a short count is gone on from");
	is_str(text("f"), "0123456789", "write: all is there after it");
	is_int(exited(with_fault("write:1+:short", do_write)), 0,
	    "write: also if every count is short");
	is_str(text("f"), "0123456789", "write: all is there after them");
	ok(killed(with_fault("lease:1:kill", do_point)), "point: kill");
	ok(killed(with_fault("lease:1:killafter", do_point)),
	    "point: killafter");
}

static void
test_errors(void)
{
	is_int(exited(with_fault("write:1:ENOSPC", do_write)), ENOSPC,
	    "write: ENOSPC");
	is_int(exited(with_fault("write:2:EDQUOT", do_two_writes)), EDQUOT,
	    "write: the second fails");
	is_int(exited(with_fault("write:3:EIO", do_two_writes)), 0,
	    "write: the third is not reached");
	is_int(exited(with_fault("write:1:EINTR", do_write)), 0,
	    "write: EINTR is retried");
	is_int(exited(with_fault("sync:1:EIO", do_sync)), EIO, "sync: EIO");
	is_int(exited(with_fault("sync:1:EINTR", do_sync)), 0,
	    "sync: EINTR is retried");
	is_int(exited(with_fault("truncate:1:EIO", do_truncate)), EIO,
	    "truncate: EIO");
	is_int(exited(with_fault("lease:1:EROFS", do_point)), EROFS,
	    "point: EROFS");
	is_int(exited(with_fault("write:1:EIO", do_point)), 0,
	    "point: another name is left alone");
	is_int(exited(with_fault("unlink:1:EIO,sync:1:kill", do_unlink)), EIO,
	    "unlink: EIO, before the second fault");

	is_int(exited(with_fault("write", do_write)), EINVAL, "bad: no number");
	is_int(exited(with_fault("write:0:kill", do_write)), EINVAL,
	    "bad: number 0");
	is_int(exited(with_fault("write:1:boom", do_sync)), EINVAL,
	    "bad: action");
	is_int(exited(with_fault("write:1+:EINTR", do_write)), EINVAL,
	    "bad: interrupted for ever");
	is_int(exited(with_fault("", do_write)), 0, "empty: none");
}

/* A crash at every step leaves the old file or the new one, nothing else. */
static void
test_replace(void)
{
	static const char *const actions[] = { "kill", "killafter", "torn",
	    "EIO", "ENOSPC" };

	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		bool whole = true, clean = true, is_kill = i < 3;
		int n;

		for (n = 1; n < 20; n++) {
			char fault[40];
			const char *now;
			int status;
			bool old;

			put("g", "old");
			(void)snprintf(fault, sizeof(fault), "any:%d:%s", n,
			    actions[i]);
			status = with_fault(fault, do_replace);
			now = text("g");
			old = now != NULL && strcmp(now, "old") == 0;
			if (now == NULL || (!old && strcmp(now, "new") != 0) ||
			    (old && exited(status) == 0))
				whole = false;
			if (sweep() != 0 && !is_kill)
				clean = false;
			if (exited(status) == 0)
				break;
		}
		ok(whole, "replace: old or new at every %s", actions[i]);
		ok(clean, "replace: an error leaves no temporary file (%s)",
		    actions[i]);
		is_int(n, 5, "replace: write, sync, rename, sync (%s)",
		    actions[i]);
	}
}

int
main(void)
{
	(void)unsetenv("DSUTILS_FAULT");
	dirfd_ = open(tap_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd_ == -1)
		tap_bail("%s", tap_tmpdir());
	test_kills();
	test_errors();
	test_replace();
	test_plain();		/* the last: from now on there are no faults */
	return tap_end();
}
