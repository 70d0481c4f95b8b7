/*
 * sock: stream sockets in the file system, and who is at the other end; and
 * those of TCP, for those who ask for them.
 *
 * Source:  unix(7); the order of steps after OpenBSD bgpd's control.c.
 * Paths:   a path longer than sun_path is reached through /proc/self/fd/N of
 *          its directory; then only the last component is bounded, by
 *          SOCK_NAME_MAX bytes.
 * Errors:  a descriptor or 0, or -1 with errno.  ENAMETOOLONG: the last
 *          component is too long; print strlen() beside SOCK_NAME_MAX.
 *          EADDRINUSE: somebody answers there, or it is not a socket.
 * Sockets: all are non-blocking and close-on-exec.
 * Threads: safe, but sock_listen() sets modes without a race only where the
 *          directory keeps others out until it returns.
 */
#ifndef LIB_SOCK_H
#define LIB_SOCK_H

#include <stdbool.h>
#include <sys/types.h>

/* "/proc/self/fd/" and ten digits and "/" before it, a NUL after it. */
#define SOCK_NAME_MAX	82

/*
 * Listen at path with this mode whatever the umask.  A socket left by a dead
 * process is replaced; one that answers is not: EADDRINUSE.  Two processes
 * that start at once over the same stale socket must be kept apart by the
 * caller, by a lock.  mode 0600 is the usual one.
 */
int	sock_listen(const char *path, mode_t mode);

/*
 * Begin to connect: a local connection is there at once or fails.  EAGAIN: the
 * listener's backlog is full; ECONNREFUSED, ENOENT: nobody is there.
 */
int	sock_connect(const char *path);

/*
 * 1 somebody listens at path, 0 nobody does (a stale socket, or nothing),
 * -1 cannot tell.
 */
int	sock_probe(const char *path);

/*
 * The next connection, or -1: EAGAIN none now; EMFILE, ENFILE, ENOBUFS,
 * ENOMEM: stop accepting for a while, the connection stays in the backlog.
 * What went wrong with one peer (ECONNABORTED, EINTR) is stepped over.
 */
int	sock_accept(int fd);

struct sock_peer {
	pid_t pid;			/* 0: not in our PID namespace */
	uid_t uid;
	gid_t gid;
};

int	sock_peer(int fd, struct sock_peer *peer);	/* SO_PEERCRED */

/*
 * 0 if the peer may talk to us: our own effective uid or root, anybody when
 * widened (the socket's mode was widened on purpose, and the kernel checked
 * it).  EACCES: it may not.  peer may be NULL.
 */
int	sock_check(int fd, bool widened, struct sock_peer *peer);

/* --- TCP --------------------------------------------------------------------- */

/*
 * An address is "tcp:HOST:PORT"; HOST is a number, 127.0.0.1 or [::1]: asking
 * for a name could take for ever.  Whoever reaches the port may connect: TCP
 * does not tell who it is.
 */
bool	sock_tcp_valid(const char *address);

/* EINVAL: no such address; EADDRINUSE and the like as listen(2), bind(2). */
int	sock_tcp_listen(const char *address);

/*
 * Begin to connect; what is written waits until the connection is there, or
 * fails with it, after some seconds at most.  The same end comes to one over
 * which nothing is acknowledged for so long.
 */
int	sock_tcp_connect(const char *address);

/* What sock_tcp_connect() sets, for a connection that was accepted. */
int	sock_tcp_accepted(int fd);

#endif /* LIB_SOCK_H */
