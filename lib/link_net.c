/*
 * link_net: what was made is remembered, and removed at the end if it is still
 * as it was made; a lock on the directory keeps nets apart, and the kernel
 * lets go of it whatever happens.
 */

#include "link.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link_priv.h"
#include "num.h"
#include "sock.h"

#define DEFAULT_SOCKET	"raft"

/* --- directories ------------------------------------------------------- */

char *
net_path(const char *dir, const char *a, const char *b, const char *c,
    const char *dot)
{
	const char *parts[] = { a, b, c };
	struct buf path = { 0 };

	if (buf_put_str(&path, dir) == -1)
		goto fail;
	for (size_t i = 0; i < 3; i++)
		if (parts[i] != NULL && (buf_put_byte(&path, '/') == -1 ||
		    buf_put_str(&path, parts[i]) == -1))
			goto fail;
	if (dot != NULL && dot[0] != '\0' && (buf_put_byte(&path, '.') == -1 ||
	    buf_put_str(&path, dot) == -1))
		goto fail;
	if (buf_put_byte(&path, '\0') == -1)
		goto fail;
	return (char *)path.data;
fail:
	buf_release(&path);
	return NULL;
}

/* Make a directory of ours; *made tells whether it was missing. */
static int
make_dir(const char *path, bool *made)
{
	struct stat st;

	*made = false;
	if (mkdir(path, 0700) == 0) {
		*made = true;
		return 0;
	}
	if (errno != EEXIST || stat(path, &st) == -1)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	return 0;
}

/* Remove sockets in one to/ that nobody listens on any more. */
static void
sweep_to(const char *path)
{
	struct dirent *de;
	struct stat st;
	char *sock;
	DIR *d;

	if ((d = opendir(path)) == NULL)
		return;
	while ((de = readdir(d)) != NULL) {
		if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
		    -1 || !S_ISSOCK(st.st_mode))
			continue;
		sock = net_path(path, de->d_name, NULL, NULL, NULL);
		if (sock != NULL && sock_probe(sock) == 0)
			(void)unlinkat(dirfd(d), de->d_name, 0);
		free(sock);
	}
	closedir(d);
}

/* What a killed net left behind. */
static void
sweep(const char *dir)
{
	struct dirent *de;
	char *to;
	DIR *d;

	if ((d = opendir(dir)) == NULL)
		return;
	while ((de = readdir(d)) != NULL) {
		if (!netctl_name_ok(de->d_name))
			continue;
		if ((to = net_path(dir, de->d_name, "to", NULL, NULL)) == NULL)
			break;
		sweep_to(to);
		free(to);
	}
	closedir(d);
}

/* --- nodes and their sockets ------------------------------------------- */

struct node *
node_find(struct link_net *n, const char *name)
{
	for (size_t i = 0; i < n->nodes_cnt; i++)
		if (strcmp(n->nodes[i]->name, name) == 0)
			return n->nodes[i];
	return NULL;
}

struct link *
link_get(struct link_net *n, unsigned int from, unsigned int to)
{
	struct link **lp = &n->links[from][to], *l;

	if (*lp != NULL)
		return *lp;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	l->from = n->nodes[from];
	l->to = n->nodes[to];
	*lp = l;
	return l;
}

/* The socket by which a reaches b's NAME, "" for the default. */
static int
pair_socket(struct link_net *n, struct node *a, struct node *b,
    const char *name)
{
	struct address at = { 0 }, to = { 0 };
	struct link *l;

	if ((l = link_get(n, a->index, b->index)) == NULL ||
	    link_get(n, b->index, a->index) == NULL)
		return -1;
	for (struct port *p = l->ports; p != NULL; p = p->link_next)
		if (strcmp(p->name, name) == 0)
			return 0;
	at.path = net_path(n->dir, a->name, "to", b->name, name);
	to.path = net_path(n->dir, b->name, name[0] != '\0' ? name :
	    DEFAULT_SOCKET, NULL, NULL);
	if (at.path == NULL || to.path == NULL ||
	    port_make(n, l, NULL, &at, &to, name, NULL) == -1) {
		address_release(&at);
		address_release(&to);
		return -1;
	}
	return 0;
}

/* All others reach b's socket name. */
static int
node_socket(struct link_net *n, struct node *b, const char *name)
{
	for (size_t i = 1; i < n->nodes_cnt; i++)
		if (n->nodes[i] != b &&
		    pair_socket(n, n->nodes[i], b, name) == -1)
			return -1;
	return 0;
}

int
net_socket(struct link_net *n, const char *name)
{
	size_t i;

	for (i = 0; i < n->names_cnt; i++)
		if (strcmp(n->names[i], name) == 0)
			return 0;
	if (n->names_cnt == LINK_NAMES_MAX) {
		errno = ENOSPC;
		return -1;
	}
	(void)strlcpy(n->names[n->names_cnt++], name, sizeof(n->names[0]));
	for (i = 1; i < n->nodes_cnt; i++)
		if (node_socket(n, n->nodes[i], name) == -1)
			return -1;
	return 0;
}

/* A name appeared in the directory of b: is it a socket that was bound? */
static void
node_bound(struct link_net *n, struct node *b, const char *name)
{
	struct stat st;
	char *path;

	if (!netctl_socket_ok(name) || strcmp(name, DEFAULT_SOCKET) == 0)
		return;
	if ((path = net_path(n->dir, b->name, name, NULL, NULL)) == NULL)
		return;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    node_socket(n, b, name) == -1)
		log_note(n, "socket", "socket %s of %s: %s", name, b->name,
		    strerror(errno));
	free(path);
}

static void
node_scan(struct link_net *n, struct node *b)
{
	char *path = net_path(n->dir, b->name, NULL, NULL, NULL);
	struct dirent *de;
	DIR *d = path != NULL ? opendir(path) : NULL;

	while (d != NULL && (de = readdir(d)) != NULL)
		node_bound(n, b, de->d_name);
	if (d != NULL)
		closedir(d);
	free(path);
}

static int
node_dirs(struct link_net *n, struct node *b)
{
	char *path = net_path(n->dir, b->name, NULL, NULL, NULL);
	char *to = net_path(n->dir, b->name, "to", NULL, NULL);
	int rc = -1;

	if (path != NULL && to != NULL && make_dir(path, &b->made_dir) == 0 &&
	    make_dir(to, &b->made_to) == 0) {
		/* An empty to/ is of no use to anybody else. */
		b->made_to = true;
		b->watch = inotify_add_watch(n->inotify, path,
		    IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
		rc = 0;
	}
	free(path);
	free(to);
	return rc;
}

int
node_make(struct link_net *n, const char *name, struct node **np)
{
	struct node *b;

	if ((b = node_find(n, name)) != NULL) {
		*np = b;
		return 0;
	}
	if (n->nodes_cnt > LINK_NODES_MAX) {
		errno = ENOSPC;
		return -1;
	}
	if ((b = calloc(1, sizeof(*b))) == NULL)
		return -1;
	(void)strlcpy(b->name, name, sizeof(b->name));
	b->index = (unsigned int)n->nodes_cnt;
	b->watch = -1;
	if (b->index != LINK_UNKNOWN && node_dirs(n, b) == -1) {
		free(b);
		return -1;
	}
	n->nodes[n->nodes_cnt++] = b;
	trace_node(n);
	*np = b;
	if (b->index == LINK_UNKNOWN)
		return 0;
	for (size_t i = 1; i < n->nodes_cnt; i++) {
		if (n->nodes[i] == b)
			continue;
		if (pair_socket(n, n->nodes[i], b, "") == -1 ||
		    pair_socket(n, b, n->nodes[i], "") == -1)
			return -1;
		for (size_t k = 0; k < n->names_cnt; k++)
			if (pair_socket(n, n->nodes[i], b, n->names[k]) == -1 ||
			    pair_socket(n, b, n->nodes[i], n->names[k]) == -1)
				return -1;
	}
	for (size_t i = 1; i < n->nodes_cnt; i++)
		node_scan(n, n->nodes[i]);
	return 0;
}

void
net_inotify(struct link_net *n)
{
	union {
		struct inotify_event ev;
		char bytes[4096];
	} u;
	const struct inotify_event *ev;
	ssize_t len;

	if ((len = read(n->inotify, u.bytes, sizeof(u.bytes))) <= 0)
		return;
	for (char *p = u.bytes; p < u.bytes + len;
	    p += sizeof(*ev) + ev->len) {
		ev = (const void *)p;
		if (ev->mask & IN_Q_OVERFLOW)
			for (size_t i = 1; i < n->nodes_cnt; i++)
				node_scan(n, n->nodes[i]);
		for (size_t i = 1; ev->len > 0 && i < n->nodes_cnt; i++)
			if (n->nodes[i]->watch == ev->wd)
				node_bound(n, n->nodes[i], ev->name);
	}
}

/* --- open, step, close ------------------------------------------------- */

static int
open_loop(struct link_net *n)
{
	if ((n->epoll = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    (n->controls = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    (n->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) == -1 ||
	    (n->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) == -1)
		return -1;
	n->controls_watch.kind = WATCH_CONTROLS;
	n->control_watch.kind = WATCH_CONTROL;
	n->inotify_watch.kind = WATCH_INOTIFY;
	n->wake_watch.kind = WATCH_WAKE;
	if (net_watch(n->controls, n->control, &n->control_watch,
	    EPOLLIN) == -1 ||
	    net_watch(n->epoll, n->controls, &n->controls_watch,
	    EPOLLIN) == -1 ||
	    net_watch(n->epoll, n->inotify, &n->inotify_watch, EPOLLIN) == -1 ||
	    net_watch(n->epoll, n->wake, &n->wake_watch, EPOLLIN) == -1)
		return -1;
	return 0;
}

int
link_open(struct link_net **np, const char *dir, const struct link_options *o)
{
	struct link_net *n;
	struct node *unknown;
	char *control;
	int saved;

	if ((n = calloc(1, sizeof(*n))) == NULL)
		return -1;
	n->epoll = n->controls = n->inotify = n->control = n->wake = -1;
	n->dir_fd = -1;
	n->o = *o;
	if (n->o.buffer == 0)
		n->o.buffer = LINK_BUFFER;
	n->seed = o->seed;
	n->start_ns = net_now(n);
	n->state = LINK_IDLE;
	if ((n->dir = strdup(dir)) == NULL ||
	    (n->buf = malloc(LINK_READ_MAX)) == NULL ||
	    make_dir(dir, &n->made_dir) == -1 ||
	    (n->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		goto fail;
	if (flock(n->dir_fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno == EWOULDBLOCK)
			errno = EBUSY;
		goto fail;
	}
	sweep(dir);
	if ((control = net_path(dir, "control", NULL, NULL, NULL)) == NULL)
		goto fail;
	n->control = sock_listen(control, 0600);
	saved = errno == EADDRINUSE ? EBUSY : errno;
	free(control);
	if (n->control == -1) {
		errno = saved;
		goto fail;
	}
	if (open_loop(n) == -1 || trace_open(n) == -1 ||
	    node_make(n, "?", &unknown) == -1)
		goto fail;
	log_note(n, "up", "partsim %s", VERSION);
	*np = n;
	return 0;
fail:
	saved = errno;
	link_close(n);
	errno = saved;
	return -1;
}

static void
remove_dirs(struct link_net *n, struct node *b)
{
	char *path = net_path(n->dir, b->name, NULL, NULL, NULL);
	char *to = net_path(n->dir, b->name, "to", NULL, NULL);

	/* Not empty: somebody else's things are in it, so it stays. */
	if (to != NULL && b->made_to)
		(void)rmdir(to);
	if (path != NULL && b->made_dir)
		(void)rmdir(path);
	free(path);
	free(to);
}

static void
close_nodes(struct link_net *n)
{
	for (size_t i = 0; i < n->nodes_cnt; i++) {
		for (size_t k = 0; k < n->nodes[i]->procs_cnt; k++)
			process_close(&n->nodes[i]->procs[k]);
		if (i != LINK_UNKNOWN)
			remove_dirs(n, n->nodes[i]);
		for (size_t j = 0; j < n->nodes_cnt; j++) {
			if (n->links[i][j] != NULL)
				timer_disarm(n, &n->links[i][j]->flap);
			free(n->links[i][j]);
		}
	}
	for (size_t i = 0; i < n->nodes_cnt; i++)
		free(n->nodes[i]);
}

void
link_close(struct link_net *n)
{
	char *control;

	if (n == NULL)
		return;
	conn_free_all(n);
	while (n->sources != NULL)
		source_free(n, n->sources);
	sched_free_all(n);
	while (n->ports != NULL)
		port_free(n, n->ports);
	close_nodes(n);
	if (n->control != -1) {
		close(n->control);
		control = net_path(n->dir, "control", NULL, NULL, NULL);
		if (control != NULL)
			(void)unlink(control);
		free(control);
	}
	if (n->made_dir && n->dir_fd != -1)
		(void)rmdir(n->dir);
	trace_free(n);
	log_free(n);
	free(n->heap);
	if (n->controls != -1)
		close(n->controls);
	if (n->epoll != -1)
		close(n->epoll);
	if (n->inotify != -1)
		close(n->inotify);
	if (n->wake != -1)
		close(n->wake);
	if (n->dir_fd != -1)
		close(n->dir_fd);
	free(n->buf);
	free(n->scenario_name);
	free(n->dir);
	free(n);
}

enum link_state
link_state(const struct link_net *n)
{
	return n->state;
}

bool
link_waiting(const struct link_net *n)
{
	return n->scenario != NULL && n->scenario->waiting;
}

const char *
link_failure(const struct link_net *n, int *status)
{
	*status = n->failure_status;
	return n->failure;
}
