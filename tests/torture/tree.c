/* tree: files below a directory, in memory and back; see cutmodel.h. */

#include "cutmodel.h"

#include <sys/stat.h>

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
path_join(char path[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);

	if (n < 0 || n >= PATH_MAX)
		errx(73, "%s/%s: too long", dir, name);
}

static struct tree_node *
add(struct tree *t, const char *path, mode_t mode)
{
	struct tree_node *n;

	if (t->cnt == t->cap) {
		t->cap = t->cap * 2 + 16;
		t->nodes = realloc(t->nodes, t->cap * sizeof(*t->nodes));
		if (t->nodes == NULL)
			err(71, NULL);
	}
	n = &t->nodes[t->cnt++];
	*n = (struct tree_node){ .path = strdup(path), .mode = mode };
	return n;
}

static void
read_file(struct tree_node *n, int fd, size_t len)
{
	size_t off = 0;
	ssize_t got;

	n->data = calloc(1, len + 1);
	if (n->data == NULL)
		err(71, NULL);
	while (off < len && (got = pread(fd, n->data + off, len - off,
	    (off_t)off)) > 0)
		off += (size_t)got;
	n->len = off;
}

static void
read_dir(struct tree *t, const char *dir, const char *prefix)
{
	char path[PATH_MAX], full[PATH_MAX];
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(dir);
	int fd;

	if (d == NULL)
		err(71, "%s", dir);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		path_join(path, prefix, e->d_name);
		path_join(full, dir, e->d_name);
		if (lstat(full, &st) == -1)
			continue;
		add(t, path + 1, st.st_mode);
		if (S_ISREG(st.st_mode)) {
			fd = open(full, O_RDONLY | O_CLOEXEC);
			if (fd == -1)
				err(71, "%s", full);
			read_file(&t->nodes[t->cnt - 1], fd,
			    (size_t)st.st_size);
			close(fd);
		} else if (S_ISDIR(st.st_mode)) {
			read_dir(t, full, path);
		}
	}
	closedir(d);
}

static int
compare(const void *a, const void *b)
{
	const struct tree_node *x = a, *y = b;

	return strcmp(x->path, y->path);
}

void
tree_read(struct tree *t, const char *dir)
{
	*t = (struct tree){ 0 };
	read_dir(t, dir, "");
	if (t->cnt > 0)
		qsort(t->nodes, t->cnt, sizeof(*t->nodes), compare);
}

/* Zeros are left out: a file's holes stay holes. */
static void
write_file(const char *path, const struct tree_node *n)
{
	static const unsigned char zero[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    n->mode & 07777);
	size_t off, len;

	if (fd == -1 || ftruncate(fd, (off_t)n->len) == -1)
		err(71, "%s", path);
	for (off = 0; off < n->len; off += len) {
		len = n->len - off < sizeof(zero) ? n->len - off : sizeof(zero);
		if (memcmp(n->data + off, zero, len) == 0)
			continue;
		while (off + len < n->len && len < 65536)
			len++;
		if (pwrite(fd, n->data + off, len, (off_t)off) != (ssize_t)len)
			err(71, "%s", path);
	}
	close(fd);
}

void
tree_write(const struct tree *t, const char *dir)
{
	char path[PATH_MAX];
	size_t i;

	for (i = 0; i < t->cnt; i++) {
		const struct tree_node *n = &t->nodes[i];

		path_join(path, dir, n->path);
		if (S_ISDIR(n->mode)) {
			if (mkdir(path, n->mode & 07777) == -1 &&
			    errno != EEXIST)
				err(71, "%s", path);
		} else if (S_ISFIFO(n->mode)) {
			if (mkfifo(path, n->mode & 07777) == -1)
				err(71, "%s", path);
		} else if (S_ISREG(n->mode)) {
			write_file(path, n);
		}
	}
}

void
tree_release(struct tree *t)
{
	size_t i;

	for (i = 0; i < t->cnt; i++) {
		free(t->nodes[i].path);
		free(t->nodes[i].data);
	}
	free(t->nodes);
	*t = (struct tree){ 0 };
}

void
tree_wipe(const char *dir)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(dir);

	if (d == NULL)
		err(71, "%s", dir);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		path_join(path, dir, e->d_name);
		if (unlink(path) == 0)
			continue;
		if (errno != EISDIR && errno != EPERM)
			continue;
		tree_wipe(path);
		rmdir(path);
	}
	closedir(d);
}
