/* sock: addresses of any length, stale sockets, and who may talk to us. */

#include "sock.h"

#include <sys/socket.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>

#include "tap.h"

static char path[PATH_MAX], deep[PATH_MAX];

static const char *
in(const char *dir, const char *name)
{
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >=
	    (int)sizeof(path))
		tap_bail("path");
	return path;
}

static bool
close_on_exec_and_nonblocking(int fd)
{
	return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 &&
	    (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/* Listen, connect, accept, talk, refuse a second listener, outlive it. */
static void
test_life(const char *name, const char *what)
{
	struct pollfd p;
	struct stat st;
	int l, c, a, again;
	char byte = 0;

	is_int(sock_probe(name), 0, "%s: nobody before", what);
	is_err(sock_connect(name), ENOENT, "%s: nobody to connect to", what);
	l = sock_listen(name, 0620);
	if (!ok(l != -1, "%s: listen", what))
		return;
	ok(close_on_exec_and_nonblocking(l), "%s: flags", what);
	ok(stat(name, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    (st.st_mode & 07777) == 0620, "%s: mode whatever the umask", what);
	is_err(sock_accept(l), EAGAIN, "%s: nobody has called", what);

	c = sock_connect(name);
	ok(c != -1 && close_on_exec_and_nonblocking(c), "%s: connect", what);
	a = sock_accept(l);
	ok(a != -1 && close_on_exec_and_nonblocking(a), "%s: accept", what);
	p = (struct pollfd){ a, POLLIN, 0 };
	ok(write(c, "x", 1) == 1 && poll(&p, 1, 5000) == 1 &&
	    read(a, &byte, 1) == 1 && byte == 'x', "%s: a byte goes over",
	    what);
	(void)close(c);
	(void)close(a);

	is_int(sock_probe(name), 1, "%s: somebody answers", what);
	is_err(sock_listen(name, 0600), EADDRINUSE,
	    "%s: a living socket is not replaced", what);
	(void)close(l);
	is_int(sock_probe(name), 0, "%s: stale", what);
	is_err(sock_connect(name), ECONNREFUSED, "%s: stale to connect", what);
	again = sock_listen(name, 0600);
	ok(again != -1, "%s: a stale socket is replaced", what);
	(void)close(again);
}

static void
test_paths(const char *dir)
{
	char name[SOCK_NAME_MAX + 2];
	int fd;

	is_err(sock_listen("", 0600), ENOENT, "empty: no abstract socket");
	is_err(sock_connect(""), ENOENT, "empty: none to connect to");
	is_err(sock_listen(in(dir, "no/such"), 0600), ENOENT, "no directory");

	fd = open(in(dir, "file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)close(fd);
	is_err(sock_listen(path, 0600), EADDRINUSE, "a file is not replaced");
	ok(access(path, F_OK) == 0, "and is still there");

	(void)strlcpy(deep, dir, sizeof(deep));
	for (int i = 0; i < 4; i++) {
		(void)strlcat(deep, "/a-directory-with-a-rather-long-name-in-it",
		    sizeof(deep));
		if (mkdir(deep, 0700) == -1)
			tap_bail("%s", deep);
	}
	test_life(in(deep, "sock"), "long path");

	memset(name, 'n', sizeof(name));
	name[SOCK_NAME_MAX] = '\0';
	test_life(in(deep, name), "longest name");
	name[SOCK_NAME_MAX] = 'n';
	name[SOCK_NAME_MAX + 1] = '\0';
	is_err(sock_listen(in(deep, name), 0600), ENAMETOOLONG,
	    "a longer name is refused");
	memset(path, 'n', 200);
	path[200] = '\0';
	is_err(sock_connect(path), ENAMETOOLONG, "a long name without a slash");
}

static void
test_peer(void)
{
	struct sock_peer peer;
	int sv[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
		tap_bail("socketpair");
	ok(sock_peer(sv[0], &peer) == 0 && peer.pid == getpid() &&
	    peer.uid == geteuid() && peer.gid == getegid(), "peer: ourselves");
	is_int(sock_check(sv[0], false, NULL), 0, "check: we may");
	is_int(sock_check(sv[0], true, &peer), 0, "check: anybody may");
	is_err(sock_check(null, true, NULL), ENOTSOCK, "check: not a socket");
	/* The pair remembers who made it: change who we are. */
	if (geteuid() != 0 || seteuid(65534) == -1) {
		tap_skip("check: root may", "not root");
	} else {
		is_int(sock_check(sv[0], false, NULL), 0, "check: root may");
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1 ||
		    seteuid(0) == -1)
			tap_bail("seteuid");
		is_err(sock_check(sv[0], false, &peer), EACCES,
		    "check: another user may not");
		is_uint(peer.uid, 65534, "check: says who it was");
		is_int(sock_check(sv[0], true, NULL), 0,
		    "check: unless the mode was widened");
	}
}

int
main(void)
{
	const char *dir = tap_tmpdir();

	(void)umask(077);
	test_life(in(dir, "sock"), "short path");
	test_paths(dir);
	test_peer();
	return tap_end();
}
