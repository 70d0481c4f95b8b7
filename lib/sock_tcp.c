/*
 * sock_tcp: addresses are numbers, so nothing here waits.  A silent peer is
 * given up by the kernel: TCP_USER_TIMEOUT, and two tries to connect.
 */

#include "sock.h"

#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "num.h"

#define SILENT_MS	5000U
#define ADDRESS_MAX	80

/* NULL with EINVAL, or what freeaddrinfo() frees. */
static struct addrinfo *
resolve(const char *address)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST |
	    AI_NUMERICSERV }, *info = NULL;
	char copy[ADDRESS_MAX], *host = copy, *port, *end;
	uint64_t number;

	errno = EINVAL;
	if (strncmp(address, "tcp:", 4) != 0 ||
	    strlcpy(copy, address + 4, sizeof(copy)) >= sizeof(copy) ||
	    (port = strrchr(copy, ':')) == NULL)
		return NULL;
	*port++ = '\0';
	if (*host == '[') {
		host++;
		if ((end = strchr(host, ']')) == NULL || end[1] != '\0')
			return NULL;
		*end = '\0';
	}
	/* Else "" would be any address. */
	if (host[0] == '\0' || num_u64(port, 1, 65535, &number) == -1) {
		errno = EINVAL;
		return NULL;
	}
	if (getaddrinfo(host, port, &hints, &info) != 0) {
		errno = EINVAL;
		return NULL;
	}
	return info;
}

bool
sock_tcp_valid(const char *address)
{
	struct addrinfo *info = resolve(address);

	if (info != NULL)
		freeaddrinfo(info);
	return info != NULL;
}

int
sock_tcp_accepted(int fd)
{
	unsigned int ms = SILENT_MS;
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == -1)
		return -1;
	return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

static int
listen_at(int fd, const struct addrinfo *info)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
	    sizeof(one)) == -1 ||
	    bind(fd, info->ai_addr, info->ai_addrlen) == -1)
		return -1;
	return listen(fd, SOMAXCONN);
}

static int
connect_to(int fd, const struct addrinfo *info)
{
	int tries = 1;

	if (sock_tcp_accepted(fd) == -1 || setsockopt(fd, IPPROTO_TCP,
	    TCP_SYNCNT, &tries, sizeof(tries)) == -1)
		return -1;
	if (connect(fd, info->ai_addr, info->ai_addrlen) == -1 &&
	    errno != EINPROGRESS && errno != EINTR)
		return -1;
	return 0;
}

static int
make(const char *address, int (*fn)(int, const struct addrinfo *))
{
	struct addrinfo *info = resolve(address);
	int fd, saved;

	if (info == NULL)
		return -1;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0);
	if (fd != -1 && fn(fd, info) == -1) {
		saved = errno;
		(void)close(fd);
		errno = saved;
		fd = -1;
	}
	freeaddrinfo(info);
	return fd;
}

int
sock_tcp_listen(const char *address)
{
	return make(address, listen_at);
}

int
sock_tcp_connect(const char *address)
{
	return make(address, connect_to);
}
