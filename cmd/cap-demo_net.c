/* cap-demo_net: partsim and the replicas as children, and words to the net. */

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cap-demo_run.h"
#include "exits.h"
#include "num.h"
#include "sock.h"

#define READY_NS	(20 * NUM_NS_PER_S)
#define TELL_NS		(10 * NUM_NS_PER_S)
#define ARGS_MAX	24

volatile sig_atomic_t net_caught;
static struct net *running;		/* what to take down on the way out */

/* --- children ------------------------------------------------------------------ */

/* The program beside this one, else whatever PATH has. */
char *
net_program(const char *name)
{
	char self[4096], *path, *slash;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len > 0) {
		self[len] = '\0';
		if ((slash = strrchr(self, '/')) != NULL)
			*slash = '\0';
		if (asprintf(&path, "%s/%s", self, name) == -1)
			err(EX_OSERR, NULL);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	if ((path = strdup(name)) == NULL)
		err(EX_OSERR, NULL);
	return path;
}

/* Start it with --ready-fd; it dies when we do. */
static void
start(struct child *c, const char *program, char *args[], size_t cnt)
{
	char fd[16], *path = net_program(program);
	pid_t parent = getpid();
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) == -1)
		err(EX_OSERR, "pipe");
	(void)snprintf(fd, sizeof(fd), "%d", pipe_fds[1]);
	args[cnt] = (char *)(uintptr_t)"--ready-fd";
	args[cnt + 1] = fd;
	args[cnt + 2] = NULL;
	fflush(NULL);
	if ((c->pid = fork()) == -1)
		err(EX_OSERR, "fork");
	if (c->pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGTERM) == -1 ||
		    getppid() != parent ||
		    fcntl(pipe_fds[1], F_SETFD, 0) == -1)
			_exit(EX_OSERR);
		(void)setpgid(0, 0);	/* INT of a terminal is for us */
		execvp(path, args);
		warn("%s", path);
		_exit(errno == ENOENT ? EX_NOTFOUND : EX_CANNOTRUN);
	}
	args[cnt + 1] = NULL;		/* fd is ours */
	(void)close(pipe_fds[1]);
	c->ready = pipe_fds[0];
	free(path);
}

static void
wait_ready(struct child *c, const char *what)
{
	struct pollfd p = { .fd = c->ready, .events = POLLIN };
	struct mono deadline = mono_after(READY_NS);
	char byte;
	int rc;

	do
		rc = poll(&p, 1, mono_left_ms(deadline));
	while (rc == -1 && errno == EINTR && net_caught == 0);
	if (net_caught != 0)
		net_die(running);
	if (rc <= 0 || read(c->ready, &byte, 1) != 1) {
		if (running != NULL)
			net_stop(running);
		errx(EX_UNAVAILABLE, "%s did not become ready", what);
	}
	(void)close(c->ready);
	c->ready = -1;
}

static void
stop(struct child *c, int sig)
{
	if (c->pid == 0)
		return;
	(void)kill(c->pid, sig);
	while (waitpid(c->pid, NULL, 0) == -1 && errno == EINTR)
		;
	c->pid = 0;
}

static void
stop_running(void)
{
	if (running != NULL)
		net_stop(running);
}

static void
on_signal(int sig)
{
	net_caught = sig;
}

void
net_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGINT, &sa, NULL) == -1 ||
	    sigaction(SIGTERM, &sa, NULL) == -1 ||
	    sigaction(SIGHUP, &sa, NULL) == -1 ||
	    signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		err(EX_OSERR, "sigaction");
	if (atexit(stop_running) != 0)	/* also after an err(3) */
		errx(EX_OSERR, "atexit");
}

_Noreturn void
net_die(struct net *n)
{
	int sig = net_caught;

	show_progress_end();
	net_stop(n);
	signal(sig, SIG_DFL);
	kill(getpid(), sig);
	exit(128 + sig);
}

/* --- the directory ---------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

char *
net_dir_of(const struct options *o, bool *own)
{
	const char *top = getenv("TMPDIR");
	char *dir;

	*own = o->dir == NULL;
	if (o->dir != NULL) {
		if ((dir = strdup(o->dir)) == NULL)
			err(EX_OSERR, NULL);
		if (mkdir(dir, 0700) == -1 && errno != EEXIST)
			err(EX_CANTCREAT, "%s", dir);
		return dir;
	}
	if (asprintf(&dir, "%s/cap-demo.XXXXXX",
	    top == NULL || *top == '\0' ? "/tmp" : top) == -1)
		err(EX_OSERR, NULL);
	if (mkdtemp(dir) == NULL)
		err(EX_CANTCREAT, "%s", dir);
	return dir;
}

/* --- words to the net ----------------------------------------------------------------- */

static void
connect_control(struct net *n)
{
	char *path;

	if (asprintf(&path, "%s/control", n->dir) == -1)
		err(EX_OSERR, NULL);
	if ((n->control = sock_connect(path)) == -1) {
		int saved = errno;

		net_stop(n);
		errc(EX_UNAVAILABLE, saved, "%s: no net is up there", path);
	}
	free(path);
}

static _Noreturn void
net_gone(struct net *n)
{
	net_stop(n);
	errx(EX_UNAVAILABLE, "the net went down");
}

static void
wait_control(struct net *n, short events, struct mono deadline)
{
	struct pollfd p = { .fd = n->control, .events = events };
	int rc = poll(&p, 1, mono_left_ms(deadline));

	if (net_caught != 0)
		net_die(n);
	if (rc == 0)
		net_gone(n);
}

/* The start of the last line if it is the answer's last, else NULL. */
static char *
last_line(struct buf *b)
{
	char *p;

	if (b->len == 0 || b->data[b->len - 1] != '\n')
		return NULL;
	if (buf_reserve(b, 1) == -1)
		err(EX_OSERR, NULL);
	b->data[b->len - 1] = '\0';
	p = strrchr((char *)b->data, '\n');
	p = p == NULL ? (char *)b->data : p + 1;
	if (strncmp(p, "ok", 2) == 0 || strncmp(p, "err ", 4) == 0)
		return p;
	b->data[b->len - 1] = '\n';
	return NULL;
}

void
net_tell(struct net *n, struct buf *out, const char *format, ...)
{
	struct mono deadline = mono_after(TELL_NS);
	struct buf answer = { 0 };
	char *line, *last;
	va_list ap;
	int len;
	ssize_t r;

	va_start(ap, format);
	len = vasprintf(&line, format, ap);
	va_end(ap);
	if (len == -1)
		err(EX_OSERR, NULL);
	if (write(n->control, line, (size_t)len) != len ||
	    write(n->control, "\n", 1) != 1)
		net_gone(n);
	while ((last = last_line(&answer)) == NULL) {
		wait_control(n, POLLIN, deadline);
		if (buf_reserve(&answer, 65536) == -1)
			err(EX_OSERR, NULL);
		r = read(n->control, answer.data + answer.len, 65536);
		if (r == 0 || (r == -1 && errno != EAGAIN && errno != EINTR))
			net_gone(n);
		answer.len += r > 0 ? (size_t)r : 0;
	}
	if (last[0] == 'e') {
		char *why;
		long status = strtol(last + 4, &why, 10);

		net_stop(n);
		errx((int)status, "%s:%s", line, why);
	}
	if (out != NULL) {
		buf_release(out);
		*out = answer;
	} else {
		buf_release(&answer);
	}
	free(line);
}

/* --- what the net tells ------------------------------------------------------------ */

static uint64_t
member(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ?
	    json_object_get_uint64(v) : 0;
}

static const char *
text(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ?
	    json_object_get_string(v) : "";
}

/* Its number with us, 0 for a node that is none of ours. */
static unsigned int
node_id(const struct net *n, const char *name)
{
	for (unsigned int i = 1; i <= n->cnt; i++)
		if (strcmp(n->names[i], name) == 0)
			return i;
	return 0;
}

static void
add_proof(struct net *n, const char *line)
{
	struct json_object *o = json_tokener_parse(line);
	struct link_proof *p;

	if (o == NULL)
		return;
	if (text(o, "from")[0] != '\0') {
		p = reallocarray(n->proofs, n->proofs_cnt + 1, sizeof(*p));
		if (p == NULL)
			err(EX_OSERR, NULL);
		n->proofs = p;
		p += n->proofs_cnt++;
		memset(p, 0, sizeof(*p));
		(void)snprintf(p->from_name, sizeof(p->from_name), "%s",
		    text(o, "from"));
		(void)snprintf(p->to_name, sizeof(p->to_name), "%s",
		    text(o, "to"));
		p->from = node_id(n, p->from_name);
		p->to = node_id(n, p->to_name);
		p->blocked = strcmp(text(o, "state"), "blocked") == 0;
		p->held = member(o, "held_ever");
		p->dropped = member(o, "dropped");
		p->deferred = member(o, "deferred") + member(o, "refused");
	}
	json_object_put(o);
}

static bool
blocked(const struct net *n, unsigned int a, unsigned int b)
{
	for (size_t i = 0; i < n->proofs_cnt; i++) {
		const struct link_proof *p = &n->proofs[i];

		if (p->blocked && ((p->from == a && p->to == b) ||
		    (p->from == b && p->to == a)))
			return true;
	}
	return false;
}

/* The set of nodes that a talks with in both directions, itself too. */
static uint32_t
reach(const struct net *n, unsigned int a)
{
	uint32_t set = 1U << a;

	for (unsigned int b = 1; b <= n->cnt; b++)
		if (b != a && !blocked(n, a, b))
			set |= 1U << b;
	return set;
}

static enum side
side_of(const struct net *n, unsigned int a)
{
	uint32_t set = reach(n, a);
	unsigned int cnt = (unsigned int)__builtin_popcount(set);

	if (cnt == 1 && n->cnt > 1)
		return ISOLATED;
	if (cnt < abd_majority(n->cnt))
		return MINORITY;
	for (unsigned int b = 1; b <= n->cnt; b++)
		if ((set >> b & 1) != 0 && reach(n, b) != set)
			return BRIDGE;
	return MAJORITY;
}

void
net_look(struct net *n, bool sides)
{
	struct buf answer = { 0 };
	char *line, *rest;

	net_tell(n, &answer, "status json");
	n->proofs_cnt = 0;
	rest = (char *)answer.data;
	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] == ' ')
			add_proof(n, line + 1);
	buf_release(&answer);
	for (unsigned int i = 1; sides && i <= n->cnt; i++)
		n->side[i] = side_of(n, i);
}

/* The groups are in the answer: "ok links=4 conns=4 groups=n3/n1,n2". */
void
net_cut(struct net *n, const char *shape, const char *mode)
{
	struct buf answer = { 0 };
	const char *groups;

	net_tell(n, &answer, "partition %s mode %s", shape, mode);
	groups = strstr((char *)answer.data, "groups=");
	if (groups != NULL) {
		groups += strlen("groups=");
		(void)snprintf(n->groups, sizeof(n->groups), "%.*s",
		    (int)strcspn(groups, " \n"), groups);
	} else {
		(void)snprintf(n->groups, sizeof(n->groups), "%s", shape);
	}
	buf_release(&answer);
	net_look(n, true);
}

bool
net_bit(const struct net *n)
{
	bool any = false;

	for (size_t i = 0; i < n->proofs_cnt; i++) {
		const struct link_proof *p = &n->proofs[i];

		if (!p->blocked)
			continue;
		any = true;
		if (p->held == 0 && p->dropped == 0 && p->deferred == 0)
			return false;
	}
	return any;
}

/* --- replicas --------------------------------------------------------------------------- */

void
net_start_node(struct net *n, const struct options *o, unsigned int id)
{
	char number[8], cnt[8], skew[32], max[32], *args[ARGS_MAX];
	size_t k = 0;

	(void)snprintf(number, sizeof(number), "n%u", id);
	(void)snprintf(cnt, sizeof(cnt), "%u", n->cnt);
	(void)snprintf(max, sizeof(max), "%" PRId64 "ms", o->max_skew_ms);
	(void)snprintf(skew, sizeof(skew), "%" PRId64 "ms", o->skew_ms);
#define ARG(x)	(args[k++] = (char *)(uintptr_t)(x))
	ARG("cap-demo");
	ARG("node");
	ARG("-q");
	ARG("--links");
	ARG("-C");
	ARG(n->dir);
	ARG("-i");
	ARG(number);
	ARG("-n");
	ARG(cnt);
	ARG("--max-skew");
	ARG(max);
	if (o->verbose)
		ARG("-v");
	if (o->siblings)
		ARG("--siblings");
	if (o->no_write_back)
		ARG("--no-write-back");
	if (o->skew_node == id) {
		ARG("--skew");
		ARG(skew);
	}
#undef ARG
	start(&n->nodes[id], "cap-demo", args, k);
}

void
net_wait_node(struct net *n, unsigned int id)
{
	wait_ready(&n->nodes[id], "a replica");
}

void
net_kill_node(struct net *n, unsigned int id)
{
	stop(&n->nodes[id], SIGKILL);
}

void
net_forget_data(struct net *n, unsigned int id)
{
	char *path = path_of(n->dir, id, "data/log");

	if (unlink(path) == -1)
		warn("%s", path);
	free(path);
}

void
net_connect(struct net *n, unsigned int id)
{
	char *path = path_of(n->dir, id, "client");

	n->conns[id].fd = sock_connect(path);
	free(path);
}

void
net_start(struct net *n, const struct options *o)
{
	char cnt[8], seed[24], *args[ARGS_MAX];
	size_t k = 0;

	running = n;
	n->cnt = o->replicas;
	n->control = -1;
	n->dir = net_dir_of(o, &n->own_dir);
	for (unsigned int i = 0; i <= DVV_NODES_MAX; i++) {
		n->conns[i].fd = -1;
		(void)snprintf(n->names[i], sizeof(n->names[i]), "n%u", i);
	}
	(void)snprintf(cnt, sizeof(cnt), "%u", n->cnt);
	(void)snprintf(seed, sizeof(seed), "%" PRIu64, o->seed);
	for (const char *const *w = (const char *const[]){ "partsim", "-C",
	    n->dir, "up", o->verbose ? "-qv" : "-q", "-n", cnt, "-s", seed,
	    NULL }; *w != NULL; w++)
		args[k++] = (char *)(uintptr_t)*w;
	start(&n->partsim, "partsim", args, k);
	wait_ready(&n->partsim, "partsim");
	connect_control(n);
	for (unsigned int i = 1; i <= n->cnt; i++)
		net_start_node(n, o, i);
	for (unsigned int i = 1; i <= n->cnt; i++) {
		net_wait_node(n, i);
		net_connect(n, i);
	}
}

void
net_attach(struct net *n, const struct options *o)
{
	running = n;
	for (unsigned int i = 0; i <= DVV_NODES_MAX; i++)
		n->conns[i].fd = -1;
	n->cnt = (unsigned int)o->nodes_cnt;
	for (unsigned int i = 1; i <= n->cnt; i++)
		(void)snprintf(n->names[i], sizeof(n->names[i]), "%s",
		    o->nodes[i - 1].name);
	n->dir = net_dir_of(o, &n->own_dir);
	n->control = -1;
	connect_control(n);
}

void
net_stop(struct net *n)
{
	for (unsigned int i = 1; i <= DVV_NODES_MAX; i++) {
		stop(&n->nodes[i], SIGTERM);
		conn_close(&n->conns[i]);
	}
	stop(&n->partsim, SIGTERM);
	if (n->control != -1)
		(void)close(n->control);
	if (n->own_dir && n->dir != NULL)
		(void)nftw(n->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(n->dir);
	free(n->proofs);
	memset(n, 0, sizeof(*n));
	n->control = -1;
	running = NULL;
}
