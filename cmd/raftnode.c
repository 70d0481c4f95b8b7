/* raftnode: one node of a Raft cluster; see raftnode(8). */

#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "log.h"
#include "num.h"
#include "raftnode.h"
#include "sock.h"

#define READY_FD_MAX	1023
#define ELECTION_MIN_MS	10
#define ELECTION_MAX_MS	60000
#define SNAPSHOT_ENTRIES	8192

static const struct option options[] = {
	{ "dir", required_argument, NULL, 'C' },
	{ "election", required_argument, NULL, 'e' },
	{ "heartbeat", required_argument, NULL, 'b' },
	{ "help", no_argument, NULL, 'h' },
	{ "id", required_argument, NULL, 'i' },
	{ "last", no_argument, NULL, 'L' },
	{ "links", no_argument, NULL, 'l' },
	{ "listen", required_argument, NULL, 'a' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "ready-fd", required_argument, NULL, 'R' },
	{ "reserve", required_argument, NULL, 'r' },
	{ "snapshot-entries", required_argument, NULL, 's' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 }
};

static struct node node;

static void
usage(FILE *to)
{
	fprintf(to, "usage: %s -C dir -i id [-lqv] [-a addr] [-b heartbeat] "
	    "[-e election]\n"
	    "                [-r reserve] [-s entries] [--ready-fd fd]\n"
	    "       %s -C dir -i id --last\n", getprogname(),
	    getprogname());
}

static int64_t
milliseconds(const char *option, const char *text)
{
	int64_t ns;

	if (num_duration(text, &ns) == -1 || ns / NUM_NS_PER_MS < 1 ||
	    ns / NUM_NS_PER_MS > ELECTION_MAX_MS)
		errx(EX_USAGE, "%s %s: a time from 1ms to 1m", option, text);
	return ns / NUM_NS_PER_MS;
}

static void
one_option(struct options *o, int ch)
{
	uint64_t v;

	switch (ch) {
	case 'a':
		if (!sock_tcp_valid(optarg))
			errx(EX_USAGE, "-a %s: tcp:HOST:PORT, HOST a number",
			    optarg);
		o->listen = optarg;
		break;
	case 'b':
		o->heartbeat_ms = milliseconds("-b", optarg);
		break;
	case 'C':
		o->dir = optarg;
		break;
	case 'e':
		o->election_ms = milliseconds("-e", optarg);
		break;
	case 'h':
		usage(stdout);
		exit(EX_OK);
	case 'i':
		if (cluster_parse_id(optarg, &o->id) == -1)
			errx(EX_USAGE, "-i %s: a node's number", optarg);
		break;
	case 'l':
		o->links = true;
		break;
	case 'L':
		o->last = true;
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'r':
		if (num_size(optarg, &o->reserve) == -1)
			errx(EX_USAGE, "-r %s: a size", optarg);
		break;
	case 'R':
		if (num_u64(optarg, 0, READY_FD_MAX, &v) == -1)
			errx(EX_USAGE, "--ready-fd %s: a descriptor", optarg);
		o->ready_fd = (int)v;
		break;
	case 's':
		if (num_u64(optarg, 16, 1000000, &v) == -1)
			errx(EX_USAGE, "-s %s: 16 to 1000000", optarg);
		o->snapshot_entries = (unsigned int)v;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'V':
		printf("raftnode %s\n", VERSION);
		exit(EX_OK);
	default:
		usage(stderr);
		exit(EX_USAGE);
	}
}

static void
parse(struct options *o, int argc, char *argv[])
{
	int ch;

	while ((ch = getopt_long(argc, argv, "+a:b:C:e:hi:lLqr:s:vV", options,
	    NULL)) != -1)
		one_option(o, ch);
	if (argc != optind || o->dir == NULL || o->id == 0) {
		usage(stderr);
		exit(EX_USAGE);
	}
	if (o->election_ms < ELECTION_MIN_MS ||
	    o->heartbeat_ms * 2 > o->election_ms)
		errx(EX_USAGE, "the heartbeat must be at most half of the "
		    "election timeout, and that at least 10ms");
}

/* --- the loop -------------------------------------------------------------------- */

static void
turn(struct node *n)
{
	node_raft_watch(n);
	if (n->applied_something) {
		n->applied_something = false;
		park_look(n);
	}
	round_due(n);
	round_submit(n);
	conn_resume_all(n);
	forward_flush(n);
	conn_flush_all(n);
}

static void
on_check(uv_check_t *h)
{
	turn(h->data);
}

static void
on_prepare(uv_prepare_t *h)
{
	turn(h->data);
}

static void
on_client(uv_poll_t *h, int status, int events)
{
	struct node *n = h->data;

	(void)events;
	if (status == 0)
		conn_accept(n, h == &n->client_poll ? n->client_fd :
		    n->client_tcp_fd);
}

static void
on_peer(uv_poll_t *h, int status, int events)
{
	struct node *n = h->data;

	(void)events;
	if (status == 0)
		peer_accept(n, h == &n->peer_poll ? n->peer_fd :
		    n->peer_tcp_fd);
}

static void
on_sweep(uv_timer_t *t)
{
	struct node *n = t->data;

	node_disk_check(n);
	peer_sweep(n);
	forward_sweep(n);
}

static void
on_signal(uv_signal_t *h, int sig)
{
	struct node *n = h->data;

	if (n->closing)
		_exit(128 + sig);
	log_info("closing signal=%d", sig);
	n->signal = sig;
	n->closing = true;
	n->serving = false;
	(void)uv_poll_stop(&n->client_poll);
	(void)uv_poll_stop(&n->peer_poll);
	if (n->client_tcp_fd != -1)
		(void)uv_poll_stop(&n->client_tcp_poll);
	if (n->peer_tcp_fd != -1)
		(void)uv_poll_stop(&n->peer_tcp_poll);
	round_lost(n);
	forward_close(n, "closing");
	peer_stop(n);
	node_raft_close(n);
}

static int
open_socket(struct node *n, const char *name)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/n%" PRIu64 "/%s", n->o.dir,
	    n->o.id, name) >= (int)sizeof(path))
		errc(EX_CANTCREAT, ENAMETOOLONG, "%s", n->o.dir);
	if ((fd = sock_listen(path, 0600)) == -1)
		err(errno == EADDRINUSE ? EX_TEMPFAIL : exit_status(errno),
		    "%s", path);
	return fd;
}

static int
open_tcp(const char *address)
{
	int fd = -1;

	if (address != NULL && address[0] != '\0' &&
	    (fd = sock_tcp_listen(address)) == -1)
		err(errno == EADDRINUSE ? EX_TEMPFAIL : exit_status(errno),
		    "%s", address);
	return fd;
}

/* The sockets in the file system are always there, those of TCP if told. */
static void
open_sockets(struct node *n)
{
	n->client_fd = open_socket(n, "client");
	n->peer_fd = open_socket(n, "raft");
	n->client_tcp_fd = open_tcp(n->o.listen);
	n->peer_tcp_fd = open_tcp(n->cluster.address);
}

static void
poll_accept(struct node *n, uv_poll_t *h, int fd, uv_poll_cb cb)
{
	if (fd == -1)
		return;
	h->data = n;
	if (uv_poll_init(n->loop, h, fd) != 0 ||
	    uv_poll_start(h, UV_READABLE, cb) != 0)
		errx(EX_OSERR, "event loop");
}

static void
start_loop(struct node *n)
{
	uv_loop_t *l = n->loop;

	/* libuv runs the one started last first: libraft's must come before
	 * ours, so ours are started before it. */
	(void)uv_check_init(l, &n->check);
	(void)uv_prepare_init(l, &n->prepare);
	(void)uv_timer_init(l, &n->sweep_timer);
	(void)uv_timer_init(l, &n->due_timer);
	(void)uv_signal_init(l, &n->sigint);
	(void)uv_signal_init(l, &n->sigterm);
	n->check.data = n->prepare.data = n->sweep_timer.data = n;
	n->due_timer.data = n->sigint.data = n->sigterm.data = n;
	if (uv_check_start(&n->check, on_check) != 0 ||
	    uv_prepare_start(&n->prepare, on_prepare) != 0 ||
	    uv_timer_start(&n->sweep_timer, on_sweep, 0, NODE_SWEEP_MS) != 0 ||
	    uv_signal_start(&n->sigint, on_signal, SIGINT) != 0 ||
	    uv_signal_start(&n->sigterm, on_signal, SIGTERM) != 0)
		errx(EX_OSERR, "event loop");
	poll_accept(n, &n->client_poll, n->client_fd, on_client);
	poll_accept(n, &n->peer_poll, n->peer_fd, on_peer);
	poll_accept(n, &n->client_tcp_poll, n->client_tcp_fd, on_client);
	poll_accept(n, &n->peer_tcp_poll, n->peer_tcp_fd, on_peer);
}

static void
tell_manager(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len;
	int fd;

	if (path == NULL || (len = strlen(path)) < 2 ||
	    len >= sizeof(sun.sun_path))
		return;
	memcpy(sun.sun_path, path, len);
	if (sun.sun_path[0] == '@')
		sun.sun_path[0] = '\0';
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return;
	(void)!sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}

static void
say_ready(const struct options *o)
{
	printf("ready\n");
	if (fflush(stdout) == EOF)
		err(EX_IOERR, "stdout");
	if (o->ready_fd != -1) {
		(void)!write(o->ready_fd, "\n", 1);
		(void)close(o->ready_fd);
	}
	tell_manager();
}

int
main(int argc, char *argv[])
{
	struct node *n = &node;
	char id[32];

	n->o = (struct options){ .election_ms = 300, .heartbeat_ms = 50,
	    .reserve = UINT64_C(64) << 20, .ready_fd = -1,
	    .snapshot_entries = SNAPSHOT_ENTRIES };
	parse(&n->o, argc, argv);
	(void)snprintf(id, sizeof(id), "n%" PRIu64, n->o.id);
	log_init(id, n->o.quiet ? LOG_LEVEL_WARN : n->o.verbose ?
	    LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		err(EX_OSERR, "signal");
	/* Two writers to one disk are enough; each thread has a stack. */
	(void)setenv("UV_THREADPOOL_SIZE", "2", 0);

	data_open(n);
	LIST_INIT(&n->conns);
	LIST_INIT(&n->parks);
	TAILQ_INIT(&n->dirty);
	TAILQ_INIT(&n->stopped);
	n->due_at = INT64_MAX;
	n->loop = uv_default_loop();
	if (n->loop == NULL || fsm_open(&n->fsm, NULL) == -1)
		err(EX_OSERR, NULL);
	round_init(n);
	forward_init(n);
	confirm_init(n);
	if (n->o.last)
		node_raft_last(n);
	open_sockets(n);
	start_loop(n);
	node_raft_init(n);
	node_raft_start(n);
	say_ready(&n->o);
	(void)uv_run(n->loop, UV_RUN_DEFAULT);

	fsm_close(n->fsm);
	if (n->signal == SIGINT) {
		(void)signal(SIGINT, SIG_DFL);
		(void)raise(SIGINT);
	}
	return EX_OK;
}
