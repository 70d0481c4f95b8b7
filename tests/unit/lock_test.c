/*
 * lock: between two descriptions, two processes, two PID namespaces; deadlines,
 * who is named, signals, and what kill -9 leaves.
 */

#include "lock.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "tap.h"

#define PROCESSES	4
#define ROUNDS		3000

/* Shared by all processes. */
struct shared {
	_Atomic uint64_t owner[LOCK_MAX];
	_Atomic int inside, overlaps;
	volatile unsigned int count;	/* plain on purpose: the lock guards it */
};

static struct shared *shared;
static char path[512];
static int named_cnt;
static pid_t named;

static void
slow(void *arg, unsigned int which, pid_t owner)
{
	(void)which;
	(*(int *)arg)++;
	named = owner;
}

static void
init(struct lock *l)
{
	memset(l, 0, sizeof(*l));
	l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (l->fd == -1)
		tap_bail("%s", path);
	l->owner = shared->owner;
	l->slow = slow;
	l->slow_arg = &named_cnt;
}

static void
release(struct lock *l)
{
	(void)close(l->fd);
}

/* A process that takes the lock, says so, and sleeps in it. */
static pid_t
holder(unsigned int which)
{
	struct lock l;
	int fds[2];
	char c;
	pid_t pid;

	(void)fflush(stdout);
	if (pipe2(fds, O_CLOEXEC) == -1 || (pid = fork()) == -1)
		tap_bail("fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		init(&l);
		if (lock_take(&l, which, MONO_NEVER) == 0 &&
		    write(fds[1], "x", 1) == 1)
			for (;;)
				(void)poll(NULL, 0, -1);
		_exit(1);
	}
	(void)close(fds[1]);
	if (read(fds[0], &c, 1) != 1)
		tap_bail("holder");
	(void)close(fds[0]);
	return pid;
}

static int
reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		tap_bail("waitpid");
	return status;
}

static void
test_two(void)
{
	struct lock a, b;
	sigset_t mask;

	/* Two of them in one thread, not nested: the mask gets mixed up. */
	(void)sigprocmask(SIG_BLOCK, NULL, &mask);
	init(&a);
	init(&b);
	is_int(lock_take(&a, 1, MONO_NEVER), 0, "take");
	is_err(lock_try(&b, 1), EBUSY, "try: taken");
	is_int(lock_try(&b, 0), 0, "try: another byte is free");
	is_int(lock_try(&b, 3), 0, "try: so is the last");
	is_int(lock_take(&a, 1, mono_after(0)), 0, "take: again by its holder");
	lock_drop(&a, 1);
	is_err(lock_try(&b, 1), EBUSY, "drop: once is not enough");
	lock_drop(&a, 1);
	is_int(lock_try(&b, 1), 0, "drop: twice is");
	is_err(lock_take(&a, 1, mono_after(0)), ETIMEDOUT,
	    "take: the deadline has passed");
	is_err(lock_take(&a, 1, mono_after(20000000)), ETIMEDOUT,
	    "take: the deadline passes");
	is_uint(atomic_load(&shared->owner[1]), (uint64_t)getpid(),
	    "owner: is shown");
	errno = 77;
	lock_drop(&b, 1);
	is_int(errno, 77, "drop: errno is kept");
	lock_drop(&b, 0);
	lock_drop(&b, 3);
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	release(&a);
	release(&b);
}

static bool
blocked(int sig)
{
	sigset_t mask;

	return sigprocmask(SIG_BLOCK, NULL, &mask) == 0 &&
	    sigismember(&mask, sig) == 1;
}

static void
test_signals(void)
{
	static const int keyboard[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
		SIGTSTP, SIGTTIN, SIGTTOU };
	struct lock l;
	sigset_t mask;
	int held = 0, left = 0;

	init(&l);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	if (lock_take(&l, 0, MONO_NEVER) == -1 ||
	    lock_take(&l, 2, MONO_NEVER) == -1)
		tap_bail("lock_take");
	lock_drop(&l, 0);
	for (size_t i = 0; i < 7; i++)
		held += blocked(keyboard[i]);
	is_int(held, 7, "signals: held off while one lock is held");
	ok(!blocked(SIGUSR2), "signals: others are not");
	lock_drop(&l, 2);
	for (size_t i = 0; i < 7; i++)
		left += blocked(keyboard[i]);
	is_int(left, 0, "signals: then not any more");
	ok(blocked(SIGUSR1), "signals: what was blocked stays so");
	(void)sigprocmask(SIG_UNBLOCK, &mask, NULL);
	release(&l);
}

static void
test_killed(void)
{
	struct lock l;
	pid_t pid = holder(1);

	init(&l);
	is_err(lock_try(&l, 1), EBUSY, "killed: another process has it");
	named_cnt = 0;
	(void)kill(pid, SIGSTOP);
	is_err(lock_take(&l, 1, mono_after(INT64_C(1500000000))), ETIMEDOUT,
	    "stopped: the deadline holds");
	is_int(named_cnt, 1, "stopped: its holder is named, once");
	is_int(named, pid, "stopped: by its pid");
	(void)kill(pid, SIGKILL);
	is_int(lock_take(&l, 1, mono_after(INT64_C(10000000000))), 0,
	    "killed: it is free at once");
	(void)reap(pid);
	lock_drop(&l, 1);
	release(&l);
}

static void
test_unlinked(void)
{
	struct lock l;

	init(&l);
	if (unlink(path) == -1)
		tap_bail("unlink");
	is_err(lock_try(&l, 0), ENOENT, "unlinked: what it stood for is gone");
	is_uint(l.held, 0, "unlinked: nothing is held");
	ok(!blocked(SIGINT), "unlinked: nor any signal");
	is_err(lock_take(&l, 0, MONO_NEVER), ENOENT, "unlinked: take");
	release(&l);
}

/* Many at once, each adding to a number that only the lock guards. */
static void
worker(void)
{
	struct lock l;

	init(&l);
	for (int i = 0; i < ROUNDS; i++) {
		if (lock_take(&l, 1, MONO_NEVER) == -1)
			_exit(1);
		if (atomic_fetch_add(&shared->inside, 1) != 0)
			atomic_fetch_add(&shared->overlaps, 1);
		shared->count = shared->count + 1;
		atomic_fetch_sub(&shared->inside, 1);
		lock_drop(&l, 1);
	}
	_exit(0);
}

static void
test_many(void)
{
	int failed = 0;

	memset(shared, 0, sizeof(*shared));
	(void)fflush(stdout);
	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		if (pid == -1)
			tap_bail("fork");
		if (pid == 0)
			worker();
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		if (wait(&status) == -1)
			tap_bail("wait");
		failed += status != 0;
	}
	is_int(failed, 0, "many: all end well");
	is_int(atomic_load(&shared->overlaps), 0, "many: never two inside");
	is_uint(shared->count, PROCESSES * ROUNDS, "many: nothing is lost");
}

/*
 * Each worker is process 1 of a PID namespace of its own: a robust mutex would
 * hand itself over from a killed waiter to a third.
 */
static void
test_namespaces(void)
{
	int failed = 0, refused = 0;

	memset(shared, 0, sizeof(*shared));
	(void)fflush(stdout);
	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		if (pid == -1)
			tap_bail("fork");
		if (pid != 0)
			continue;
		if (unshare(CLONE_NEWPID) == -1 &&
		    unshare(CLONE_NEWUSER | CLONE_NEWPID) == -1)
			_exit(2);
		pid = fork();
		if (pid == 0 && getpid() == 1)
			worker();
		_exit(pid <= 0 || reap(pid) != 0 ? 1 : 0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		if (wait(&status) == -1)
			tap_bail("wait");
		refused += WIFEXITED(status) && WEXITSTATUS(status) == 2;
		failed += status != 0;
	}
	if (refused > 0) {
		tap_skip("namespaces", "not permitted here");
		return;
	}
	is_int(failed, 0, "namespaces: all end well");
	is_int(atomic_load(&shared->overlaps), 0,
	    "namespaces: never two inside, though all are process 1");
	is_uint(shared->count, PROCESSES * ROUNDS,
	    "namespaces: nothing is lost");
}

int
main(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		tap_bail("mmap");
	(void)snprintf(path, sizeof(path), "%s/lock", tap_tmpdir());
	test_two();
	test_signals();
	test_killed();
	test_many();
	test_namespaces();
	test_unlinked();
	return tap_end();
}
