/*
 * sock: an address is made once, with the directory descriptor that a long
 * path needs; it is valid for as long as that descriptor is open.
 *
 * Listening: probe, remove what is stale, bind under the wanted mode, listen.
 * The umask is not touched (it belongs to the process): the socket is bound
 * with what comes and chmod'ed before listen(2), so that nobody can connect
 * while its mode is wrong.
 */

#include "sock.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG		SOMAXCONN

_Static_assert(sizeof("/proc/self/fd/2147483647/") - 1 + SOCK_NAME_MAX <
    sizeof(((struct sockaddr_un *)NULL)->sun_path), "SOCK_NAME_MAX");

struct address {
	struct sockaddr_un sun;
	int dirfd;			/* or -1 */
};

static void
address_release(struct address *a)
{
	int saved = errno;

	if (a->dirfd != -1)
		(void)close(a->dirfd);
	a->dirfd = -1;
	errno = saved;
}

/* Write path into a, through its opened directory if it is too long. */
static int
address_init(struct address *a, const char *path)
{
	size_t len = strlen(path);
	const char *slash, *last;
	char *dir;

	memset(a, 0, sizeof(*a));
	a->sun.sun_family = AF_UNIX;
	a->dirfd = -1;
	if (len == 0) {			/* would bind an abstract name */
		errno = ENOENT;
		return -1;
	}
	if (len < sizeof(a->sun.sun_path)) {
		memcpy(a->sun.sun_path, path, len + 1);
		return 0;
	}
	slash = strrchr(path, '/');
	last = slash == NULL ? path : slash + 1;
	if (slash == NULL || strlen(last) > SOCK_NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (dir == NULL)
		return -1;
	a->dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (a->dirfd == -1)
		return -1;
	(void)snprintf(a->sun.sun_path, sizeof(a->sun.sun_path),
	    "/proc/self/fd/%d/%s", a->dirfd, last);
	return 0;
}

static int
stream(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A connected socket, or -1. */
static int
connect_to(const struct address *a)
{
	int fd = stream(), saved;

	if (fd == -1)
		return -1;
	while (connect(fd, (const struct sockaddr *)&a->sun,
	    sizeof(a->sun)) == -1) {
		if (errno == EINTR)
			continue;
		saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int
probe(const struct address *a)
{
	int fd = connect_to(a);

	if (fd != -1) {
		(void)close(fd);
		return 1;
	}
	if (errno == EAGAIN)		/* alive, and busy */
		return 1;
	if (errno == ECONNREFUSED || errno == ENOENT)
		return 0;
	return -1;
}

int
sock_probe(const char *path)
{
	struct address a;
	int rc;

	if (address_init(&a, path) == -1)
		return errno == ENOENT ? 0 : -1;
	rc = probe(&a);
	address_release(&a);
	return rc;
}

int
sock_connect(const char *path)
{
	struct address a;
	int fd;

	if (address_init(&a, path) == -1)
		return -1;
	fd = connect_to(&a);
	address_release(&a);
	return fd;
}

/* Remove a socket nobody answers at; 0 also if there is nothing. */
static int
remove_stale(const struct address *a)
{
	struct stat st;

	if (lstat(a->sun.sun_path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {	/* never unlink somebody's file */
		errno = EADDRINUSE;
		return -1;
	}
	switch (probe(a)) {
	case 0:
		if (unlink(a->sun.sun_path) == -1 && errno != ENOENT)
			return -1;
		return 0;
	case 1:
		errno = EADDRINUSE;
		return -1;
	default:
		return -1;
	}
}

int
sock_listen(const char *path, mode_t mode)
{
	struct address a;
	bool bound = false;
	int fd, saved;

	if (address_init(&a, path) == -1)
		return -1;
	fd = stream();
	if (fd == -1 || remove_stale(&a) == -1)
		goto fail;
	if (bind(fd, (const struct sockaddr *)&a.sun, sizeof(a.sun)) == -1)
		goto fail;
	bound = true;
	if (chmod(a.sun.sun_path, mode) == -1 || listen(fd, BACKLOG) == -1)
		goto fail;
	address_release(&a);
	return fd;

fail:
	saved = errno;
	if (bound)
		(void)unlink(a.sun.sun_path);
	if (fd != -1)
		(void)close(fd);
	errno = saved;
	address_release(&a);
	return -1;
}

int
sock_accept(int fd)
{
	int conn;

	do {
		conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (conn == -1 && (errno == EINTR || errno == ECONNABORTED));
	return conn;
}

int
sock_peer(int fd, struct sock_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		return -1;
	if (len != sizeof(cred)) {
		errno = EINVAL;
		return -1;
	}
	peer->pid = cred.pid;
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	return 0;
}

int
sock_check(int fd, bool widened, struct sock_peer *peer)
{
	struct sock_peer own;

	if (peer == NULL)
		peer = &own;
	if (sock_peer(fd, peer) == -1)
		return -1;
	if (widened || peer->uid == 0 || peer->uid == geteuid())
		return 0;
	errno = EACCES;
	return -1;
}
