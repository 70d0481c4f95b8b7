/*
 * raftctl_guard: run a command while a lease is good.
 *
 * Three processes: raftctl renews the lease; the command runs in a process
 * group of its own; the guardian, in a session of its own, sleeps until the
 * lease is about to end and then ends the group, whatever raftctl does.  They
 * share one page: when the lease ends, on the clock that counts suspension too.
 *
 *	end - grace	TERM to the group
 *	end - margin	KILL to the group
 */

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"
#include "raftctl.h"

struct lease {
	_Atomic int64_t end_ns;
	_Atomic int64_t ttl_ns;
	_Atomic pid_t group;	/* 0: not yet */
	_Atomic bool done;	/* the command has ended, all is well */
	_Atomic bool lost;	/* it was ended */
};

struct lease *
lease_new(void)
{
	struct lease *l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (l == MAP_FAILED)
		err(EX_OSERR, "mmap");
	return l;
}

void
lease_until(struct lease *l, int64_t end_ns, int64_t ttl_ns)
{
	atomic_store(&l->ttl_ns, ttl_ns);
	atomic_store(&l->end_ns, end_ns);
}

bool
lease_lost(const struct lease *l)
{
	return atomic_load(&l->lost);
}

static int64_t
grace_ns(const struct lease *l)
{
	int64_t g = atomic_load(&l->ttl_ns) / 4;

	return g < 2 * NUM_NS_PER_S ? g : 2 * NUM_NS_PER_S;
}

static int64_t
margin_ns(const struct lease *l)
{
	int64_t m = atomic_load(&l->ttl_ns) / 20;

	return m < NUM_NS_PER_S / 2 ? m : NUM_NS_PER_S / 2;
}

static void
signal_group(const struct lease *l, int sig)
{
	pid_t group = atomic_load(&l->group);

	if (group > 1)
		(void)kill(-group, sig);
}

/* TERM and KILL when it is time; how long until the next of them, in ns. */
static int64_t
enforce(struct lease *l, bool *termed)
{
	int64_t now = boot_now_ns(), end = atomic_load(&l->end_ns);

	if (now >= end - margin_ns(l)) {
		atomic_store(&l->lost, true);
		signal_group(l, SIGKILL);
		return NUM_NS_PER_S / 20;
	}
	if (now >= end - grace_ns(l)) {
		atomic_store(&l->lost, true);
		if (!*termed) {
			*termed = true;
			signal_group(l, SIGTERM);
			signal_group(l, SIGCONT);
		}
		return end - margin_ns(l) - now;
	}
	return end - grace_ns(l) - now;
}

static int
poll_ms(int64_t ns)
{
	ns = (ns + NUM_NS_PER_MS - 1) / NUM_NS_PER_MS;
	return ns < 0 ? 0 : ns > 1000 ? 1000 : (int)ns;
}

/* --- the guardian ----------------------------------------------------------------- */

static bool
group_gone(const struct lease *l)
{
	pid_t group = atomic_load(&l->group);

	return group > 1 && kill(-group, 0) == -1 && errno == ESRCH;
}

static _Noreturn void
guard(struct lease *l, int alive_fd)
{
	struct pollfd p = { .fd = alive_fd, .events = POLLIN };
	bool termed = false;
	sigset_t all;
	int null;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	(void)setsid();
	(void)prctl(PR_SET_NAME, "raftctl-guard");
	/* Not a reader or writer of anything of the user's. */
	if ((null = open("/dev/null", O_RDWR)) != -1) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
	}
	if (dup2(alive_fd, 3) == 3) {
		p.fd = 3;
		closefrom(4);
	}
	while (!atomic_load(&l->done)) {
		int64_t ns = enforce(l, &termed);

		if (atomic_load(&l->lost) && group_gone(l))
			break;
		if (poll(&p, 1, poll_ms(ns)) <= 0 || p.fd == -1)
			continue;
		/* raftctl is gone: nobody renews any more. */
		p.fd = -1;
		if (atomic_load(&l->done))
			break;
		if (boot_now_ns() + grace_ns(l) < atomic_load(&l->end_ns))
			atomic_store(&l->end_ns, boot_now_ns() + grace_ns(l));
	}
	_exit(0);
}

/* --- the command --------------------------------------------------------------------- */

static _Noreturn void
become(struct lease *l, char *argv[], const sigset_t *mask, bool terminal)
{
	(void)setpgid(0, 0);
	atomic_store(&l->group, getpid());
	if (terminal) {
		(void)signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpid());
		(void)signal(SIGTTOU, SIG_DFL);
	}
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	(void)execvp(argv[0], argv);
	warn("%s", argv[0]);
	_exit(errno == ENOENT ? EX_NOTFOUND : EX_CANNOTRUN);
}

/* What the command left behind in its group does not outlive the lock. */
static void
sweep_group(const struct lease *l)
{
	int i;

	for (i = 0; i < 100 && !group_gone(l); i++) {
		if (i == 0)
			signal_group(l, SIGTERM);
		if (i == 50)
			signal_group(l, SIGKILL);
		ctl_nap();
	}
}

static int
take_signals(struct lease *l, int sfd, pid_t child, int *status)
{
	struct signalfd_siginfo si;

	while (read(sfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo != SIGCHLD) {
			signal_group(l, (int)si.ssi_signo);
			continue;
		}
		if (waitpid(child, status, WNOHANG) == child)
			return 1;
	}
	return 0;
}

static int
follow(struct lease *l, int sfd, pid_t child,
    bool (*renew)(void *arg, struct lease *l), void *arg)
{
	struct pollfd p = { .fd = sfd, .events = POLLIN };
	int64_t ttl = atomic_load(&l->ttl_ns), next, left;
	bool termed = false;
	int status = 0;

	next = atomic_load(&l->end_ns) - ttl + ttl / 3;
	for (;;) {
		left = enforce(l, &termed);
		if (next - boot_now_ns() < left)
			left = next - boot_now_ns();
		(void)poll(&p, 1, atomic_load(&l->lost) ? 20 : poll_ms(left));
		if (take_signals(l, sfd, child, &status) == 1)
			return status;
		if (atomic_load(&l->lost) || boot_now_ns() < next)
			continue;
		next = boot_now_ns() + ttl / 3;
		if (!renew(arg, l)) {
			warnx("the lock is lost");
			atomic_store(&l->end_ns, boot_now_ns() + grace_ns(l));
		} else if (atomic_load(&l->end_ns) < next + ttl / 3) {
			next = boot_now_ns() + ttl / 20;	/* sooner */
		}
	}
}

static pid_t
fork_or_die(void)
{
	pid_t pid = fork();

	if (pid == -1)
		err(EX_OSERR, "fork");
	return pid;
}

int
lease_run(struct lease *l, char *argv[],
    bool (*renew)(void *arg, struct lease *l), void *arg)
{
	static const int wanted[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP,
	    SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };
	bool terminal = isatty(STDIN_FILENO) &&
	    tcgetpgrp(STDIN_FILENO) == getpgrp();
	sigset_t mask, old;
	pid_t guardian, child;
	int alive[2], sfd, status;
	size_t i;

	(void)sigemptyset(&mask);
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		(void)sigaddset(&mask, wanted[i]);
	if (pipe2(alive, O_CLOEXEC) == -1 ||
	    sigprocmask(SIG_BLOCK, &mask, &old) == -1 ||
	    (sfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		err(EX_OSERR, NULL);
	if ((guardian = fork_or_die()) == 0) {
		(void)close(alive[1]);
		guard(l, alive[0]);
	}
	(void)close(alive[0]);
	if ((child = fork_or_die()) == 0)
		become(l, argv, &old, terminal);
	(void)setpgid(child, child);
	atomic_store(&l->group, child);

	status = follow(l, sfd, child, renew, arg);
	sweep_group(l);
	atomic_store(&l->done, true);
	(void)close(alive[1]);
	(void)waitpid(guardian, NULL, 0);
	if (terminal) {
		(void)signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpgrp());
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)close(sfd);
	if (atomic_load(&l->lost))
		return EX_UNKNOWN;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
