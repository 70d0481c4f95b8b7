/*
 * link_who: a caller is looked for among the registered processes and their
 * descendants only.  A Unix peer tells its pid; of a TCP peer on this machine
 * the kernel tells the inode of its socket, which is then among the
 * descriptors of some process.
 */

#include <sys/pidfd.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link_priv.h"
#include "num.h"
#include "sock.h"

#define DEPTH_MAX	64		/* generations below a registered pid */
#define STATE_ALL	0xffffffffU

int
process_open(pid_t pid, struct process *pr)
{
	pr->pid = pid;
	pr->paused = false;
	/* A descriptor means this process for ever, a number does not. */
	pr->fd = pidfd_open(pid, 0);
	return pr->fd == -1 ? -1 : 0;
}

void
process_close(struct process *pr)
{
	if (pr->paused)
		(void)pidfd_send_signal(pr->fd, SIGCONT, NULL, 0);
	close(pr->fd);
}

static pid_t
parent_of(pid_t pid)
{
	char path[32], text[512], *s;
	ssize_t len;
	long ppid;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return 0;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	/* The name in parentheses may hold anything, the last one ends it. */
	if ((s = strrchr(text, ')')) == NULL || strlen(s) < 5)
		return 0;
	ppid = strtol(s + 4, NULL, 10);
	return ppid > 0 ? (pid_t)ppid : 0;
}

/* Its number may be another's by now. */
static bool
process_lives(const struct process *pr)
{
	return pidfd_send_signal(pr->fd, 0, NULL, 0) == 0 || errno == EPERM;
}

/* The node whose process this is, or one of its ancestors. */
static unsigned int
node_of_pid(const struct link_net *n, pid_t pid)
{
	for (int depth = 0; pid > 1 && depth < DEPTH_MAX; depth++) {
		for (size_t i = 1; i < n->nodes_cnt; i++)
			for (size_t k = 0; k < n->nodes[i]->procs_cnt; k++)
				if (n->nodes[i]->procs[k].pid == pid &&
				    process_lives(&n->nodes[i]->procs[k]))
					return (unsigned int)i;
		pid = parent_of(pid);
	}
	return LINK_UNKNOWN;
}

/* --- TCP --------------------------------------------------------------- */

struct request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 req;
};

static void
fill(const struct sockaddr_storage *sa, __be32 addr[4], __be16 *port)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	if (sa->ss_family == AF_INET) {
		memcpy(addr, &in->sin_addr, 4);
		memcpy(port, &in->sin_port, 2);
	} else {
		memcpy(addr, &in6->sin6_addr, 16);
		memcpy(port, &in6->sin6_port, 2);
	}
}

/* The inode of the peer's own socket: its source is the peer's name. */
static uint64_t
diag_inode(const struct sockaddr_storage *peer,
    const struct sockaddr_storage *self)
{
	struct request rq = {
		.head = { .nlmsg_len = sizeof(rq),
		    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		    .nlmsg_flags = NLM_F_REQUEST },
		.req = { .sdiag_family = (unsigned char)peer->ss_family,
		    .sdiag_protocol = IPPROTO_TCP, .idiag_states = STATE_ALL,
		    .id.idiag_cookie = { INET_DIAG_NOCOOKIE,
			INET_DIAG_NOCOOKIE } },
	};
	struct timeval limit = { .tv_usec = 100000 };
	union {
		struct nlmsghdr head;
		char bytes[1024];
	} u;
	const struct inet_diag_msg *msg;
	uint64_t inode = 0;
	ssize_t len = -1;
	int fd;

	fill(peer, rq.req.id.idiag_src, &rq.req.id.idiag_sport);
	fill(self, rq.req.id.idiag_dst, &rq.req.id.idiag_dport);
	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd == -1)
		return 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (send(fd, &rq, sizeof(rq), 0) == (ssize_t)sizeof(rq))
		len = recv(fd, &u, sizeof(u), 0);
	if (len >= (ssize_t)NLMSG_LENGTH(sizeof(*msg)) &&
	    u.head.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
		msg = NLMSG_DATA(&u.head);
		inode = msg->idiag_inode;
	}
	close(fd);
	return inode;
}

/* Does "0100007F:1F90", as in /proc/net/tcp, name this address? */
static bool
same_name(const char *text, const struct sockaddr_in *in)
{
	char *end;
	unsigned long addr = strtoul(text, &end, 16);

	return *end == ':' && addr == in->sin_addr.s_addr &&
	    strtoul(end + 1, NULL, 16) == ntohs(in->sin_port);
}

/* The same out of /proc/net/tcp, where the kernel lacks sock_diag. */
static uint64_t
table_inode(const struct sockaddr_storage *peer,
    const struct sockaddr_storage *self)
{
	const struct sockaddr_in *p = (const void *)peer;
	const struct sockaddr_in *s = (const void *)self;
	char line[512], *field[10], *rest;
	uint64_t found = 0;
	size_t cnt;
	FILE *f;

	if (peer->ss_family != AF_INET ||
	    (f = fopen("/proc/net/tcp", "re")) == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), f) != NULL) {
		rest = line;
		for (cnt = 0; cnt < 10 && (field[cnt] = strsep(&rest, " ")) !=
		    NULL;)
			cnt += field[cnt][0] != '\0' ? 1 : 0;
		if (cnt == 10 && same_name(field[1], p) &&
		    same_name(field[2], s))
			found = strtoull(field[9], NULL, 10);
	}
	fclose(f);
	return found;
}

static bool
process_has(pid_t pid, uint64_t inode)
{
	char path[32], want[40], got[40];
	struct dirent *de;
	bool found = false;
	ssize_t len;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	(void)snprintf(want, sizeof(want), "socket:[%" PRIu64 "]", inode);
	if ((d = opendir(path)) == NULL)
		return false;
	while (!found && (de = readdir(d)) != NULL) {
		len = readlinkat(dirfd(d), de->d_name, got, sizeof(got) - 1);
		if (len <= 0)
			continue;
		got[len] = '\0';
		found = strcmp(got, want) == 0;
	}
	closedir(d);
	return found;
}

static unsigned int
node_of_inode(const struct link_net *n, uint64_t inode)
{
	unsigned int node = LINK_UNKNOWN;
	struct dirent *de;
	uint64_t pid;
	DIR *d;

	for (size_t i = 1; i < n->nodes_cnt; i++)
		for (size_t k = 0; k < n->nodes[i]->procs_cnt; k++)
			if (process_has(n->nodes[i]->procs[k].pid, inode))
				return (unsigned int)i;
	/* Then their descendants. */
	if ((d = opendir("/proc")) == NULL)
		return LINK_UNKNOWN;
	while (node == LINK_UNKNOWN && (de = readdir(d)) != NULL) {
		if (num_u64(de->d_name, 2, INT32_MAX, &pid) == -1)
			continue;
		node = node_of_pid(n, (pid_t)pid);
		if (node != LINK_UNKNOWN && !process_has((pid_t)pid, inode))
			node = LINK_UNKNOWN;
	}
	closedir(d);
	return node;
}

/* An IPv4 caller of an IPv6 listener goes by its own name. */
static void
unmap(struct sockaddr_storage *sa)
{
	struct sockaddr_in6 in6 = *(const struct sockaddr_in6 *)sa;
	struct sockaddr_in *in = (struct sockaddr_in *)sa;

	if (sa->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return;
	memset(sa, 0, sizeof(*sa));
	in->sin_family = AF_INET;
	in->sin_port = in6.sin6_port;
	memcpy(&in->sin_addr, in6.sin6_addr.s6_addr + 12, 4);
}

static bool
same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	__be32 x[4] = { 0 }, y[4] = { 0 };
	__be16 port;

	if (a->ss_family != b->ss_family)
		return false;
	fill(a, x, &port);
	fill(b, y, &port);
	return memcmp(x, y, sizeof(x)) == 0;
}

unsigned int
who_calls(struct link_net *n, int fd, bool local)
{
	struct sockaddr_storage peer = { 0 }, self = { 0 };
	socklen_t len = sizeof(peer);
	struct sock_peer cred;
	bool registered = false;
	uint64_t inode;

	if (local)
		return sock_peer(fd, &cred) == 0 ? node_of_pid(n, cred.pid) :
		    LINK_UNKNOWN;
	if (getpeername(fd, (struct sockaddr *)&peer, &len) == -1)
		return LINK_UNKNOWN;
	len = sizeof(self);
	if (getsockname(fd, (struct sockaddr *)&self, &len) == -1)
		return LINK_UNKNOWN;
	unmap(&peer);
	unmap(&self);
	for (size_t i = 1; i < n->nodes_cnt; i++) {
		if (n->nodes[i]->has_addr &&
		    same_host(&n->nodes[i]->addr, &peer))
			return (unsigned int)i;
		registered |= n->nodes[i]->procs_cnt > 0;
	}
	if (!registered)
		return LINK_UNKNOWN;
	if ((inode = diag_inode(&peer, &self)) == 0 &&
	    (inode = table_inode(&peer, &self)) == 0)
		return LINK_UNKNOWN;
	return node_of_inode(n, inode);
}
