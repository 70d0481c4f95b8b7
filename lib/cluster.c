/* cluster: written by hand-readable lines, read back strictly. */

#include "cluster.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "fsdur.h"
#include "num.h"
#include "sock.h"

#define FILE_NAME	"cluster"
#define FILE_MAX	8192

static const char *const states[] = { "new", "joining", "started",
	"recovering", "retired" };

int
cluster_parse_id(const char *text, uint64_t *id)
{
	if (text[0] == 'n')
		text++;
	if (text[0] == '0' || num_u64(text, 1, CLUSTER_ID_MAX, id) == -1) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

int
cluster_parse_member(const char *text, uint64_t *id,
    char address[CLUSTER_ADDRESS_MAX])
{
	const char *at = strchr(text, '=');
	char name[16];

	address[0] = '\0';
	if (at == NULL)
		return cluster_parse_id(text, id);
	if ((size_t)(at - text) >= sizeof(name) || strlcpy(address, at + 1,
	    CLUSTER_ADDRESS_MAX) >= CLUSTER_ADDRESS_MAX ||
	    !sock_tcp_valid(address)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(name, text, (size_t)(at - text));
	name[at - text] = '\0';
	return cluster_parse_id(name, id);
}

int
cluster_name(char name[CLUSTER_NAME_LEN + 1])
{
	unsigned char bytes[CLUSTER_NAME_LEN / 2];
	size_t i;

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -1;
	for (i = 0; i < sizeof(bytes); i++)
		(void)snprintf(name + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int
data_path(const char *dir, uint64_t id, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/n%" PRIu64 "/data", dir, id) >=
	    PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

/* --- reading ------------------------------------------------------------------ */

static int
parse_voters(char *list, struct cluster *c)
{
	char *word;

	c->voters_cnt = 0;
	while ((word = strsep(&list, " ")) != NULL) {
		if (c->voters_cnt == CLUSTER_NODES_MAX || cluster_parse_member(
		    word, &c->voters[c->voters_cnt],
		    c->addresses[c->voters_cnt]) == -1)
			return -1;
		c->voters_cnt++;
	}
	return 0;
}

static int
parse_line(char *key, char *value, struct cluster *c)
{
	size_t i;

	if (strcmp(key, "cluster") == 0) {
		if (strlen(value) != CLUSTER_NAME_LEN ||
		    strspn(value, "0123456789abcdef") != CLUSTER_NAME_LEN)
			return -1;
		memcpy(c->name, value, CLUSTER_NAME_LEN + 1);
		return 0;
	}
	if (strcmp(key, "node") == 0)
		return cluster_parse_member(value, &c->id, c->address);
	if (strcmp(key, "voters") == 0)
		return parse_voters(value, c);
	if (strcmp(key, "state") != 0)
		return -1;
	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(value, states[i]) == 0) {
			c->state = (enum cluster_state)i;
			return 0;
		}
	}
	return -1;
}

static int
parse(char *text, uint64_t id, struct cluster *c)
{
	char *line, *value;
	int lines = 0;

	if (strncmp(text, "dsutils-raft 1\n", 15) != 0)
		goto bad;
	text += 15;
	memset(c, 0, sizeof(*c));
	while ((line = strsep(&text, "\n")) != NULL && text != NULL) {
		value = line;
		line = strsep(&value, " ");
		if (value == NULL || parse_line(line, value, c) == -1)
			goto bad;
		lines++;
	}
	if (lines != 4 || c->id != id || c->name[0] == '\0' ||
	    c->voters_cnt == 0)
		goto bad;
	return 0;
bad:
	errno = EBADMSG;
	return -1;
}

int
cluster_read(const char *dir, uint64_t id, struct cluster *c)
{
	char path[PATH_MAX], text[FILE_MAX];
	ssize_t n;
	int dirfd, fd, saved;

	if (data_path(dir, id, path) == -1)
		return -1;
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd == -1)
		return -1;
	fd = openat(dirfd, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	saved = errno;
	(void)close(dirfd);
	errno = saved;
	if (fd == -1)
		return -1;
	n = fsdur_pread_all(fd, text, sizeof(text) - 1, 0);
	saved = errno;
	(void)close(fd);
	errno = saved;
	if (n == -1)
		return -1;
	text[n] = '\0';
	return parse(text, id, c);
}

/* --- writing ------------------------------------------------------------------- */

static int
put_member(struct buf *b, uint64_t id, const char *address)
{
	return buf_printf(b, " n%" PRIu64 "%s%s", id,
	    address[0] == '\0' ? "" : "=", address);
}

static int
format(const struct cluster *c, struct buf *b)
{
	size_t i;

	if (buf_printf(b, "dsutils-raft 1\ncluster %s\nnode", c->name) == -1 ||
	    put_member(b, c->id, c->address) == -1 ||
	    buf_printf(b, "\nstate %s\nvoters", states[c->state]) == -1)
		return -1;
	for (i = 0; i < c->voters_cnt; i++)
		if (put_member(b, c->voters[i], c->addresses[i]) == -1)
			return -1;
	return buf_put_byte(b, '\n');
}

static int
write_at(int dirfd, const struct cluster *c)
{
	struct buf b = { 0 };
	int rc;

	rc = format(c, &b) == -1 ? -1 :
	    fsdur_write_file(dirfd, FILE_NAME, b.data, b.len, 0600);
	buf_release(&b);
	return rc;
}

int
cluster_write(const char *dir, const struct cluster *c)
{
	char path[PATH_MAX];
	int dirfd, rc, saved;

	if (data_path(dir, c->id, path) == -1)
		return -1;
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd == -1)
		return -1;
	rc = write_at(dirfd, c);
	saved = errno;
	(void)close(dirfd);
	errno = saved;
	return rc;
}

/* Make name in dirfd if it is not there, durably; open it. */
static int
open_dir(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) == 0) {
		if (fsdur_sync_dir(dirfd) == -1)
			return -1;
	} else if (errno != EEXIST) {
		return -1;
	}
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int
cluster_create(const char *dir, const struct cluster *c)
{
	char name[32];
	int top, node = -1, data = -1, rc = -1, saved;

	if (mkdir(dir, 0700) == -1 && errno != EEXIST)
		return -1;
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top == -1)
		return -1;
	(void)snprintf(name, sizeof(name), "n%" PRIu64, c->id);
	if ((node = open_dir(top, name)) == -1 ||
	    (data = open_dir(node, "data")) == -1)
		goto out;
	if (faccessat(data, FILE_NAME, F_OK, 0) == 0)
		errno = EEXIST;
	else if (errno == ENOENT)
		rc = write_at(data, c);
out:
	saved = errno;
	if (data != -1)
		(void)close(data);
	if (node != -1)
		(void)close(node);
	(void)close(top);
	errno = saved;
	return rc;
}
