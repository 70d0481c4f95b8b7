/*
 * qctl: who holds a message.  A claim lives as long as some process has the
 * read end of its FIFO open; waiting consumers have the other end, to be told
 * when the last one is gone.  proc(5) knows who has what.
 */

#include "qctl.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"

/* Is descriptor NAME of the process the FIFO, open for reading? */
static bool
reads(int proc, int fds, const char *name, const struct stat *fifo)
{
	char path[NAME_MAX + 16], text[256], *flags;
	struct stat st;
	ssize_t n;
	int fd;

	if (fstatat(fds, name, &st, 0) == -1 || st.st_dev != fifo->st_dev ||
	    st.st_ino != fifo->st_ino)
		return false;
	snprintf(path, sizeof(path), "fdinfo/%s", name);
	if ((fd = openat(proc, path, O_RDONLY | O_CLOEXEC)) == -1)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return (flags = strstr(text, "flags:")) != NULL &&
	    (strtol(flags + 6, NULL, 8) & O_ACCMODE) == O_RDONLY;
}

static void
name_of(int proc, struct holder *h)
{
	ssize_t n = -1;
	int fd;

	if ((fd = openat(proc, "comm", O_RDONLY | O_CLOEXEC)) != -1) {
		n = read(fd, h->name, sizeof(h->name) - 1);
		close(fd);
	}
	h->name[n > 0 ? n : 0] = '\0';
	h->name[strcspn(h->name, "\n")] = '\0';
	for (char *p = h->name; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

/* 1 it holds the FIFO, 0 it does not or has ended, -1 not for us to know. */
static int
holds(int proc, const struct stat *fifo)
{
	struct dirent *e;
	DIR *dir;
	int fd, rc = 0;

	fd = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return errno == EACCES ? -1 : 0;
	if ((dir = fdopendir(fd)) == NULL)
		err(EX_OSERR, "/proc");
	errno = 0;
	while (rc == 0 && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			rc = reads(proc, fd, e->d_name, fifo);
	if (rc == 0 && (errno == EACCES || errno == EPERM))
		rc = -1;
	closedir(dir);
	return rc;
}

size_t
holders_of(const char *queue, const char *fifo, holder_found found, void *arg)
{
	struct holder h;
	struct dirent *e;
	struct stat st;
	char path[PATH_MAX];
	size_t unseen = 0;
	uint64_t pid;
	DIR *dir;
	int proc, rc;

	if (snprintf(path, sizeof(path), "%s/%s", queue, fifo) >=
	    (int)sizeof(path) || stat(path, &st) == -1)
		return 0;		/* the last one has gone just now */
	if ((dir = opendir("/proc")) == NULL)
		err(EX_OSERR, "/proc");
	while ((e = readdir(dir)) != NULL) {
		if (num_u64(e->d_name, 1, INT_MAX, &pid) == -1)
			continue;
		proc = openat(dirfd(dir), e->d_name,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (proc == -1)
			continue;
		if ((rc = holds(proc, &st)) == 1) {
			h.pid = (pid_t)pid;
			name_of(proc, &h);
			found(arg, &h);
		} else if (rc == -1) {
			unseen++;
		}
		close(proc);
	}
	closedir(dir);
	return unseen;
}
