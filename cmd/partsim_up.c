/* partsim_up: the net in the foreground, alone or around a command. */

#include <sys/resource.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "exits.h"
#include "link.h"
#include "netctl.h"
#include "num.h"
#include "partsim.h"
#include "ready.h"

static struct link_net *net;
static FILE *trace_file, *log_file;
static volatile sig_atomic_t caught, caught_cnt, child_changed;

static void
on_signal(int sig)
{
	if (sig == SIGCHLD)
		child_changed = 1;
	else
		caught = sig, caught_cnt++;
	if (net != NULL)
		link_wake(net);
}

static void
catch_signals(bool children)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGINT, &sa, NULL) == -1 ||
	    sigaction(SIGTERM, &sa, NULL) == -1 ||
	    sigaction(SIGHUP, &sa, NULL) == -1 ||
	    (children && sigaction(SIGCHLD, &sa, NULL) == -1))
		err(EX_OSERR, "sigaction");
	sa.sa_handler = SIG_IGN;
	if (sigaction(SIGPIPE, &sa, NULL) == -1)
		err(EX_OSERR, "sigaction");
}

static _Noreturn void
die_of(int sig)
{
	signal(sig, SIG_DFL);
	kill(getpid(), sig);
	exit(128 + sig);
}

/* --- bringing it up ---------------------------------------------------- */

static FILE *
open_output(const char *path)
{
	FILE *f;

	if (strcmp(path, "-") == 0)
		return stdout;
	if ((f = fopen(path, "we")) == NULL)
		err(EX_CANTCREAT, "%s", path);
	return f;
}

/* One word of ours to the net; it must go well. */
static void
tell(const char *verb, const char *name)
{
	struct buf line = { 0 }, reply = { 0 };
	char *text;
	long status;

	if (buf_printf(&line, "%s%s%s", verb, name[0] != '\0' ? " " : "",
	    name) == -1 || buf_put_byte(&line, '\0') == -1)
		err(EX_OSERR, NULL);
	(void)link_command(net, (char *)line.data, &reply);
	if (reply.len > 4 && memcmp(reply.data, "err ", 4) == 0) {
		reply.data[reply.len - 1] = '\0';
		status = strtol((char *)reply.data + 4, &text, 10);
		link_close(net);
		errx((int)status, "%s", text + 1);
	}
	buf_release(&line);
	buf_release(&reply);
}

/* -n 3, or -n a,b,c. */
static void
make_nodes(const char *nodes)
{
	char name[32], *list, *word, *next;
	uint64_t cnt;

	if (num_u64(nodes, 1, 64, &cnt) == 0) {
		for (uint64_t i = 1; i <= cnt; i++) {
			(void)snprintf(name, sizeof(name), "n%u",
			    (unsigned int)i);
			tell("node", name);
		}
		return;
	}
	if ((list = next = strdup(nodes)) == NULL)
		err(EX_OSERR, NULL);
	while ((word = strsep(&next, ",")) != NULL) {
		if (!netctl_name_ok(word)) {
			link_close(net);
			errx(EX_USAGE, "-n %s: neither 1 to 64 nor names with "
			    "commas", nodes);
		}
		tell("node", word);
	}
	free(list);
}

static void
start_scenario(const char *file)
{
	char why[512];
	int fd, saved;

	fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO) :
	    open(file, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		saved = errno;
		link_close(net);
		errc(exit_status(saved), saved, "%s", file);
	}
	if (link_scenario(net, fd, file, why, sizeof(why)) == -1) {
		saved = errno;
		link_close(net);
		if (why[0] != '\0')
			errx(EX_DATAERR, "%s", why);
		errc(exit_status(saved), saved, "%s", file);
	}
}

static void
bring_up(const struct options *o, bool children)
{
	struct link_options lo = { .seed = o->seed, .buffer = o->buffer,
	    .log_json = o->json };
	struct rlimit rl;
	char seed[24];

	/* Two descriptors a connection; the default is made for less. */
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	if (o->trace != NULL)
		lo.trace = trace_file = open_output(o->trace);
	if (o->log != NULL)
		lo.log = log_file = open_output(o->log);
	else if (o->verbose)
		lo.log = stderr;
	if (link_open(&net, o->net, &lo) == -1) {
		if (errno == EBUSY)
			errx(EX_TEMPFAIL, "%s: a net is up there already",
			    o->net);
		err(exit_status(errno), "%s", o->net);
	}
	catch_signals(children);
	(void)snprintf(seed, sizeof(seed), "%" PRIu64, o->seed);
	tell("seed", seed);
	if (o->nodes != NULL)
		make_nodes(o->nodes);
	if (o->file != NULL)
		start_scenario(o->file);
}

static void
step(void)
{
	if (link_step(net, MONO_NEVER) == -1) {
		int saved = errno;

		link_close(net);
		errc(EX_OSERR, saved, "epoll");
	}
}

/* A trace or a log that is not whole must not pass for one. */
static int
close_output(FILE *f, const char *path)
{
	bool bad = f != NULL && ferror(f);

	if (f == NULL || (fclose(f) == 0 && !bad))
		return EX_OK;
	warnx("%s: not all of it could be written", path);
	return EX_IOERR;
}

/* Take it down; the status of a scenario that failed, or 0. */
static int
take_down(const struct options *o)
{
	struct link_net *n = net;
	int status = EX_OK, rc;

	if (link_state(n) == LINK_FAILED)
		warnx("%s", link_failure(n, &status));
	if (status == EX_NO || status == EX_TEMPFAIL)
		warnx("again with -s %" PRIu64, o->seed);
	net = NULL;			/* a signal may come at any time */
	link_close(n);
	rc = close_output(trace_file, o->trace);
	status = status != EX_OK ? status : rc;
	rc = close_output(log_file, o->log);
	return status != EX_OK ? status : rc;
}

int
partsim_up(const struct options *o)
{
	int status;

	bring_up(o, false);
	if (link_state(net) != LINK_FAILED)
		ready_say(o->quiet, o->ready_fd);
	while (caught == 0 && link_state(net) != LINK_QUIT &&
	    link_state(net) != LINK_FAILED)
		step();
	ready_notify("STOPPING=1");
	status = take_down(o);
	if (caught != 0 && caught != SIGTERM)
		die_of(caught);
	return status;
}

/* --- around a command -------------------------------------------------- */

static bool terminal;			/* ours to hand over */

static void
hand_terminal(pid_t group)
{
	sigset_t block, old;

	if (!terminal)
		return;
	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	sigprocmask(SIG_BLOCK, &block, &old);
	(void)tcsetpgrp(STDIN_FILENO, group);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static pid_t
start_command(char *argv[])
{
	pid_t pid;

	terminal = isatty(STDIN_FILENO) &&
	    tcgetpgrp(STDIN_FILENO) == getpgrp();
	fflush(NULL);
	if ((pid = fork()) == -1)
		err(EX_OSERR, "fork");
	if (pid != 0) {
		(void)setpgid(pid, pid);
		return pid;
	}
	(void)setpgid(0, 0);
	hand_terminal(getpgrp());
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	warn("%s", argv[0]);
	_exit(errno == ENOENT ? EX_NOTFOUND : EX_CANNOTRUN);
}

/* True once the command has ended; *status is then from waitpid(2). */
static bool
command_ended(pid_t pid, int *status)
{
	pid_t r;

	child_changed = 0;
	while ((r = waitpid(pid, status, WNOHANG | WUNTRACED)) == -1 &&
	    errno == EINTR)
		;
	if (r == 0)
		return false;
	if (r == pid && WIFSTOPPED(*status)) {
		/* Stopped at the terminal: so are we, until both go on. */
		if (terminal) {
			hand_terminal(getpgrp());
			kill(getpid(), SIGSTOP);
			hand_terminal(pid);
			kill(-pid, SIGCONT);
		}
		return false;
	}
	return true;
}

int
partsim_run(const struct options *o, char *argv[])
{
	int status = 0, failed, passed = 0;
	bool ended = false;
	pid_t pid;

	if (setenv("PARTSIM_NET", o->net, 1) == -1)
		err(EX_OSERR, NULL);
	bring_up(o, true);
	pid = start_command(argv);
	while (!ended) {
		/* One that comes in between is passed on in its turn. */
		if (caught_cnt != passed) {
			passed = caught_cnt;
			kill(-pid, caught);
		}
		if (link_state(net) == LINK_QUIT)
			break;
		step();
		if (child_changed)
			ended = command_ended(pid, &status);
	}
	if (link_state(net) != LINK_QUIT && link_state(net) != LINK_FAILED)
		tell("heal", "");
	failed = take_down(o);
	while (!ended && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	hand_terminal(getpgrp());
	if (caught != 0)
		die_of(caught);
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : failed;
}
