/* trial: fork, a shared page of sums, one directory a process. */

#include "trial.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cutmodel.h"

#define JOBS_MAX	64

static volatile sig_atomic_t stopped;

static void
on_signal(int sig)
{
	stopped = sig;
}

/* Interrupted: take the others along; exit() then removes what they made. */
static void
stop(const pid_t *pids, unsigned int cnt)
{
	for (unsigned int i = 0; i < cnt; i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) != -1)
		;
	exit(128 + stopped);
}

void
trials_init(struct trials *t, const char *work, const char *keep,
    unsigned int jobs)
{
	*t = (struct trials){ .work = work, .keep = keep, .jobs = jobs,
	    .bad_max = 10 };
	t->sums = mmap(NULL, sizeof(*t->sums), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->sums == MAP_FAILED)
		err(71, NULL);
}

static void
make_dir(const char *path)
{
	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		err(73, "%s", path);
}

static void
work_through(struct trials *t, unsigned int job, uint64_t cnt,
    void (*one)(void *, struct trials *, uint64_t), void *arg)
{
	char name[24];

	snprintf(name, sizeof(name), "job%u", job);
	path_join(t->dir, t->work, name);
	make_dir(t->dir);
	for (uint64_t i = job; i < cnt; i += t->jobs) {
		if (atomic_load(&t->sums->bad) >= t->bad_max)
			break;
		one(arg, t, i);
	}
	tree_wipe(t->dir);
	rmdir(t->dir);
}

void
trials_run(struct trials *t, uint64_t cnt,
    void (*one)(void *arg, struct trials *t, uint64_t i), void *arg)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pid_t pid, pids[JOBS_MAX];
	unsigned int job;
	int status, failed = 0;

	fflush(NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (t->jobs > JOBS_MAX)
		t->jobs = JOBS_MAX;
	for (job = 0; job < t->jobs; job++) {
		pid = fork();
		if (pid == -1)
			err(71, "fork");
		pids[job] = pid;
		if (pid == 0) {
			signal(SIGINT, SIG_DFL);
			signal(SIGTERM, SIG_DFL);
			work_through(t, job, cnt, one, arg);
			exit(0);
		}
	}
	while ((pid = wait(&status)) != -1 || errno == EINTR) {
		if (stopped != 0)
			stop(pids, t->jobs);
		if (pid != -1 && (!WIFEXITED(status) ||
		    WEXITSTATUS(status) != 0))
			failed = 1;
	}
	if (failed)
		errx(70, "a process of the test itself failed");
}

bool
trials_new(struct trials *t, uint64_t hash)
{
	uint64_t i, none, at = hash % TRIAL_SEEN;

	hash |= 1;
	for (i = 0; i < TRIAL_SEEN; i++, at = (at + 1) % TRIAL_SEEN) {
		none = 0;
		if (atomic_compare_exchange_strong(&t->sums->seen[at], &none,
		    hash))
			return true;
		if (none == hash)
			return false;
	}
	return true;
}

void
trials_arena(const struct trials *t, const char *name, char path[PATH_MAX])
{
	path_join(path, t->dir, name);
	make_dir(path);
	tree_wipe(path);
}

void
trials_bad(struct trials *t, const char *title, const char *why,
    const char *arena)
{
	uint64_t n = atomic_fetch_add(&t->sums->bad, 1);
	char path[PATH_MAX], name[24], *text;
	struct tree tree;
	FILE *f;

	if (asprintf(&text, "BAD %s\n%s%s", title, why,
	    why[0] != '\0' && why[strlen(why) - 1] == '\n' ? "" : "\n") == -1)
		err(71, NULL);
	fputs(text, stdout);
	fflush(stdout);
	if (t->keep != NULL && n < t->bad_max) {
		make_dir(t->keep);
		snprintf(name, sizeof(name), "%u", (unsigned int)n);
		path_join(path, t->keep, name);
		make_dir(path);
		tree_wipe(path);
		if (arena != NULL) {
			tree_read(&tree, arena);
			tree_write(&tree, path);
			tree_release(&tree);
		}
		snprintf(name, sizeof(name), "%u.txt", (unsigned int)n);
		path_join(path, t->keep, name);
		f = fopen(path, "we");
		if (f != NULL) {
			fputs(text, f);
			fclose(f);
		}
	}
	free(text);
}
