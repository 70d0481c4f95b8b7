/*
 * qpop_spawn: start a command with its messages.
 *
 * What the command reads and what it says on stderr (and on descriptor 3) are
 * files in memory without a name: nothing can block or break when qpop is
 * slow, stopped or dead.  The child shares our memory until it has become the
 * command, as after vfork(2), so that starting costs no page tables; it has
 * descriptors, signal actions and a stack of its own, calls only what may be
 * called there, and reports the errno of what failed through the memory.
 */

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "fsdur.h"
#include "num.h"
#include "qpop_run.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	0x0008U
#endif

#define STACK_SIZE	(64U << 10)
#define ENV_MAX		12U		/* variables that a message adds */
#define FATE_FD		3

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALONE	__attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define ALONE
#endif

/* What all commands get from us is ours alone; an outer qpop's is not. */
static const char *const names[] = { "Q_QUEUE", "Q_GROUP", "Q_SLOT",
    "Q_COUNT", "Q_ID", "Q_SEQ", "Q_KEY", "Q_ATTEMPT", "Q_TIMESTAMP" };

struct start {
	const struct run *r;
	const struct slot *s;
	pid_t parent;
	int in;
	int errnum;			/* set by the child */
};

/* --- once -------------------------------------------------------------------- */

/* A file that can be executed: 0, or the errno why not. */
static int
executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return access(path, X_OK) == -1 ? errno : 0;
}

/* The command's file, by PATH as execvp(3) does: NULL with errno. */
static char *
find(const char *name)
{
	const char *dirs = getenv("PATH");
	char *copy, *rest, *dir, *path = NULL;
	int errnum = ENOENT, rc;

	if (strchr(name, '/') != NULL) {
		errno = executable(name);
		return errno != 0 ? NULL : strdup(name);
	}
	copy = rest = strdup(dirs != NULL ? dirs : "/bin:/usr/bin");
	while (rest != NULL && name[0] != '\0') {
		dir = strsep(&rest, ":");
		if (asprintf(&path, "%s/%s", dir[0] == '\0' ? "." : dir,
		    name) == -1)
			err(EX_OSERR, NULL);
		rc = executable(path);
		if (rc == 0)
			break;
		if (rc == EACCES)
			errnum = EACCES;
		free(path);
		path = NULL;
	}
	free(copy);
	errno = errnum;
	return path;
}

static bool
is_ours(const char *variable)
{
	size_t len = strcspn(variable, "=");

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == len &&
		    strncmp(names[i], variable, len) == 0)
			return true;
	return false;
}

static int
cannot(int errnum, const char *name)
{
	warnc(errnum, "%s", name);
	return errnum == ENOENT || errnum == ENOTDIR ? EX_NOTFOUND :
	    EX_CANNOTRUN;
}

int
spawn_init(struct run *r)
{
	size_t argc = 0, n = 0;

	r->path = find(r->o->command[0]);
	if (r->path == NULL)
		return cannot(errno, r->o->command[0]);
	while (r->o->command[argc] != NULL)
		argc++;
	while (environ[n] != NULL)
		n++;
	r->argv_sh = calloc(argc + 2, sizeof(*r->argv_sh));
	r->envp = calloc(n + ENV_MAX + 1, sizeof(*r->envp));
	if (r->argv_sh == NULL || r->envp == NULL)
		err(EX_OSERR, NULL);
	r->argv_sh[0] = r->o->command[0];
	r->argv_sh[1] = r->path;
	memcpy(r->argv_sh + 2, r->o->command + 1, argc * sizeof(char *));
	for (size_t i = 0; i < n; i++)
		if (!is_ours(environ[i]))
			r->envp[r->env_cnt++] = environ[i];
	return EX_OK;
}

void
spawn_release(struct run *r)
{
	free(r->path);
	free(r->argv_sh);
	free(r->envp);
	buf_release(&r->env);
}

/* --- the environment ------------------------------------------------------------ */

/* "NAME=", then the value, then a NUL. */
static int
put_var(struct run *r, const char *name, const void *value, size_t len)
{
	return buf_put_str(&r->env, name) == -1 ||
	    buf_put_byte(&r->env, '=') == -1 ||
	    buf_put(&r->env, value, len) == -1 ||
	    buf_put_byte(&r->env, '\0') == -1 ? -1 : 0;
}

static int
put_str(struct run *r, const char *name, const char *value)
{
	return put_var(r, name, value, strlen(value));
}

static int
put_number(struct run *r, const char *name, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, v);
	return put_str(r, name, text);
}

static int
env_common(struct run *r, const struct slot *s)
{
	r->env.len = 0;
	return put_str(r, "Q_QUEUE", r->o->path) == -1 ||
	    put_str(r, "Q_GROUP", r->o->group_name) == -1 ||
	    put_number(r, "Q_SLOT", s->no) == -1 ? -1 : 0;
}

static int
env_message(struct run *r, const struct queue_message *m)
{
	char text[QUEUE_ID_MAX > 40 ? QUEUE_ID_MAX : 40];
	int rc;

	if (m->id != NULL) {
		rc = put_var(r, "Q_ID", m->id, m->id_len);
	} else {
		queue_default_id(r->q, m, text);
		rc = put_str(r, "Q_ID", text);
	}
	if (rc == -1 || put_number(r, "Q_SEQ", m->seq) == -1 ||
	    put_number(r, "Q_ATTEMPT", m->attempt) == -1)
		return -1;
	if (m->key != NULL && put_var(r, "Q_KEY", m->key, m->key_len) == -1)
		return -1;
	(void)snprintf(text, sizeof(text), "%" PRId64 ".%09" PRId64,
	    m->ts_ns / NUM_NS_PER_S, m->ts_ns % NUM_NS_PER_S);
	return put_str(r, "Q_TIMESTAMP", text);
}

/* Point envp into what was put together; it does not move any more. */
static void
env_finish(struct run *r)
{
	char *p = (char *)r->env.data, *end = p + r->env.len;
	size_t n = r->env_cnt;

	for (; p < end; p += strlen(p) + 1)
		r->envp[n++] = p;
	r->envp[n] = NULL;
}

/* --- the files ------------------------------------------------------------------ */

/* Close-on-exec; the command gets a copy that is not. */
static int
memory_file(const char *name)
{
	static unsigned int flags = MFD_CLOEXEC | MFD_NOEXEC_SEAL;
	int fd = memfd_create(name, flags);

	if (fd == -1 && errno == EINVAL && (flags & MFD_NOEXEC_SEAL) != 0) {
		flags = MFD_CLOEXEC;	/* before Linux 6.3 */
		fd = memfd_create(name, flags);
	}
	return fd;
}

/* Several processes of the command may write to it. */
static int
log_file(const char *name)
{
	int fd = memory_file(name);

	if (fd != -1 && fcntl(fd, F_SETFL, O_APPEND) == -1) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static int
note(struct taken **list, size_t *cnt, size_t *cap,
    const struct queue_message *m)
{
	size_t more = *cap == 0 ? 1 : 2 * *cap;
	struct taken *taken;

	if (*cnt == *cap) {
		taken = reallocarray(*list, more, sizeof(*taken));
		if (taken == NULL)
			return -1;
		*list = taken;
		*cap = more;
	}
	(*list)[(*cnt)++] = (struct taken){ m->seq, m->attempt };
	return 0;
}

/*
 * Does it go into this run?  What was tried before runs alone, so that the
 * neighbours of a message that fails do not share all of its tries.
 */
static bool
fits(const struct slot *s, const struct queue_message *m)
{
	return s->cnt == 0 || (m->attempt == 1 && s->taken[0].attempt == 1);
}

/* As a record, or alone as it is, with its environment. */
static int
write_message(struct run *r, const struct queue_message *m, int in,
    off_t *at, struct buf *framed)
{
	const void *data = m->payload;
	size_t len = m->payload_len;

	if (r->o->batch == 1) {
		if (env_message(r, m) == -1)
			return -1;
	} else {
		framed->len = 0;
		if (frame_put(&r->o->frame, framed, data, len) == -1)
			return -1;
		data = framed->data;
		len = framed->len;
	}
	if (len > 0 && fsdur_pwrite_all(in, data, len, *at) == -1)
		return -1;
	*at += (off_t)len;
	return 0;
}

/*
 * The messages of the claim into the file, their environment into r->env: how
 * many, or -1.
 */
static int
write_messages(struct run *r, struct slot *s, int in)
{
	struct buf framed = { 0 };
	struct queue_message m;
	off_t at = 0;
	int rc;

	if (env_common(r, s) == -1)
		return -1;
	while ((rc = queue_claim_next(r->q, &s->claim, &m)) == 1) {
		if (!fits(s, &m)) {
			if (note(&s->spare, &s->spare_cnt, &s->spare_cap,
			    &m) == -1)
				break;
		} else if (note(&s->taken, &s->cnt, &s->cap, &m) == -1 ||
		    write_message(r, &m, in, &at, &framed) == -1) {
			break;
		}
	}
	buf_release(&framed);
	if (rc != 0 || (r->o->batch > 1 &&
	    put_number(r, "Q_COUNT", s->cnt) == -1))
		return -1;
	env_finish(r);
	return (int)s->cnt;
}

/* --- the child ------------------------------------------------------------------- */

/* Nothing of ours is tidied up: it is the parent's. */
ALONE static _Noreturn void
quit(int status)
{
	for (;;)
		(void)syscall(SYS_exit_group, status);
}

/* Runs in our memory: every call here is one system call. */
ALONE static int
child(void *arg)
{
	struct start *st = arg;
	const struct run *r = st->r;
	const struct slot *s = st->s;
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == -1 || getppid() != st->parent)
		quit(EX_OSERR);	/* there is nobody to work for */
	if (!r->pipe_ignored)
		(void)sigaction(SIGPIPE, &dfl, NULL);
	if (!r->xfsz_ignored)
		(void)sigaction(SIGXFSZ, &dfl, NULL);
	if (r->raised)
		(void)setrlimit(RLIMIT_NOFILE, &r->files);
	if (dup2(st->in, STDIN_FILENO) != -1 &&
	    (s->out_in == -1 || dup2(s->out_in, STDOUT_FILENO) != -1) &&
	    dup2(s->err_fd, STDERR_FILENO) != -1 &&
	    (s->fate_fd == -1 || dup2(s->fate_fd, FATE_FD) != -1) &&
	    (s->claim.holder_fd == -1 ||
	    fcntl(s->claim.holder_fd, F_SETFD, 0) != -1) &&
	    sigprocmask(SIG_SETMASK, &r->mask, NULL) != -1) {
		(void)execve(r->path, r->o->command, r->envp);
		if (errno == ENOEXEC)
			(void)execve("/bin/sh", r->argv_sh, r->envp);
	}
	st->errnum = errno;
	quit(EX_NOTFOUND);
}

/* 0, or the errno why there is no such command; -1 with errno: no process. */
static int
start(struct run *r, struct slot *s, int in)
{
	static _Alignas(16) unsigned char stack[STACK_SIZE];
	struct start st = { .r = r, .s = s, .parent = getpid(), .in = in };

	/* The parent sleeps until the child has left its memory. */
	s->pid = clone(child, stack + sizeof(stack),
	    CLONE_VM | CLONE_VFORK | SIGCHLD, &st);
	if (s->pid == -1)
		return -1;
	if (st.errnum != 0) {
		while (waitpid(s->pid, NULL, 0) == -1 && errno == EINTR)
			;
		s->pid = 0;
	}
	return st.errnum;
}

int
spawn(struct run *r, struct slot *s)
{
	int in = memory_file("message"), rc = -1, n = -1, errnum;

	s->err_fd = log_file("stderr");
	s->fate_fd = r->o->batch > 1 ? log_file("fates") : -1;
	s->err_at = s->err_kept = 0;
	s->cnt = s->spare_cnt = 0;
	if (in != -1 && s->err_fd != -1 &&
	    (r->o->batch == 1 || s->fate_fd != -1) && relay_slot(r, s) != -1)
		n = write_messages(r, s, in);
	if (n > 0)
		rc = start(r, s, in);
	errnum = errno;
	if (in != -1)
		(void)close(in);
	if (rc > 0)
		return cannot(rc, r->o->command[0]);
	if (rc == 0 || n == 0)
		return rc == 0 ? EX_OK : EX_NO;
	warnc(errnum, "%s", r->o->path);
	return exit_status(errnum);
}

void
spawn_done(struct slot *s)
{
	if (s->err_fd != -1)
		(void)close(s->err_fd);
	if (s->fate_fd != -1)
		(void)close(s->fate_fd);
	s->err_fd = s->fate_fd = -1;
}
