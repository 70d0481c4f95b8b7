/* run: posix_spawn, a pipe for stdout, memory files for stdin and stderr. */

#include "run.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINGER_MS	2000	/* for children that still hold the pipe */

extern char **environ;

void
run_env_init(struct run_env *e)
{
	static const char *const ours[] = { "LD_PRELOAD=", "CRASH_", "FAIL_",
	    "COUNT=", "DSUTILS_BOOT_ID=", NULL };
	size_t i, j;

	e->cnt = 0;
	for (i = 0; environ[i] != NULL; i++) {
		for (j = 0; ours[j] != NULL; j++)
			if (strncmp(environ[i], ours[j], strlen(ours[j])) == 0)
				break;
		if (ours[j] == NULL && e->cnt < RUN_ENV_MAX - 20)
			e->vars[e->cnt++] = strdup(environ[i]);
	}
	e->vars[e->cnt] = NULL;
}

void
run_env_set(struct run_env *e, const char *format, ...)
{
	va_list ap;
	size_t i, n;
	char *var;

	va_start(ap, format);
	if (vasprintf(&var, format, ap) == -1)
		err(71, NULL);
	va_end(ap);
	n = strcspn(var, "=") + 1;
	for (i = 0; i < e->cnt; i++)
		if (strncmp(e->vars[i], var, n) == 0)
			break;
	if (i == RUN_ENV_MAX)
		errx(70, "too many variables");
	if (i < e->cnt)
		free(e->vars[i]);
	else
		e->vars[++e->cnt] = NULL;
	e->vars[i] = var;
}

void
run_env_release(struct run_env *e)
{
	while (e->cnt > 0)
		free(e->vars[--e->cnt]);
}

static int
input(const void *in, size_t len)
{
	int fd;

	if (len == 0) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	} else {
		fd = memfd_create("stdin", MFD_CLOEXEC);
		if (fd != -1 && (write(fd, in, len) != (ssize_t)len ||
		    lseek(fd, 0, SEEK_SET) != 0))
			err(71, "stdin");
	}
	if (fd == -1)
		err(71, "stdin");
	return fd;
}

void
run_start(struct run *r, const char *const argv[], const struct run_env *e,
    const void *in, size_t in_len)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int rc, fds[2], infd = input(in, in_len);

	*r = (struct run){ .out = -1 };
	r->err = memfd_create("stderr", MFD_CLOEXEC);
	if (r->err == -1 || pipe2(fds, O_CLOEXEC) == -1)
		err(71, "pipe");
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, infd, 0);
	posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
	posix_spawn_file_actions_adddup2(&fa, r->err, 2);
	posix_spawnattr_init(&at);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setpgroup(&at, 0);
	rc = posix_spawn(&r->pid, argv[0], &fa, &at,
	    (char *const *)(uintptr_t)argv, e->vars);
	if (rc != 0) {
		errno = rc;
		err(71, "%s", argv[0]);
	}
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	close(infd);
	close(fds[1]);
	r->out = fds[0];
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (r->pidfd == -1)
		err(71, "pidfd_open");
	fcntl(r->pidfd, F_SETFD, FD_CLOEXEC);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
reserve(struct run *r)
{
	if (r->cap - r->len > 65536)
		return;
	r->cap = r->cap * 2 + 131072;
	r->buf = realloc(r->buf, r->cap);
	if (r->buf == NULL)
		err(71, NULL);
}

/* False: end of file. */
static bool
take(struct run *r)
{
	ssize_t n;

	reserve(r);
	n = read(r->out, r->buf + r->len, 65536);
	if (n > 0)
		r->len += (size_t)n;
	return n > 0 || (n == -1 && errno == EINTR);
}

void
run_finish(struct run *r, struct run_result *res, int limit_ms)
{
	int64_t limit = now_ms() + limit_ms, left;
	struct pollfd p[2] = { { .fd = r->out, .events = POLLIN },
	    { .fd = r->pidfd, .events = POLLIN } };
	bool gone = false, open = true;
	siginfo_t si;
	ssize_t n;

	*res = (struct run_result){ 0 };
	while (!gone || open) {
		left = limit - now_ms();
		if (left <= 0) {
			if (gone)
				break;
			res->hung = true;
			kill(-r->pid, SIGKILL);
			kill(r->pid, SIGKILL);
			limit = now_ms() + LINGER_MS;
			continue;
		}
		p[0].fd = open ? r->out : -1;
		p[1].fd = gone ? -1 : r->pidfd;
		if (poll(p, 2, (int)left) <= 0)
			continue;
		if (p[0].revents != 0 && !take(r))
			open = false;
		if (p[1].fd != -1 && p[1].revents != 0) {
			gone = true;
			if (limit > now_ms() + LINGER_MS)
				limit = now_ms() + LINGER_MS;
		}
	}
	if (waitid(P_PID, (id_t)r->pid, &si, WEXITED) == -1)
		err(71, "waitid");
	res->status = si.si_code == CLD_EXITED ? si.si_status :
	    128 + si.si_status;
	reserve(r);
	r->buf[r->len] = '\0';
	res->out = r->buf;
	res->out_len = r->len;
	n = pread(r->err, res->err, sizeof(res->err) - 1, 0);
	res->err[n > 0 ? n : 0] = '\0';
	close(r->out);
	close(r->err);
	close(r->pidfd);
}

void
run_result_release(struct run_result *res)
{
	free(res->out);
	res->out = NULL;
}
