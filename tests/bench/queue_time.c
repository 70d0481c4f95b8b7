/*
 * queue_time: what queue.sh measures commands with.
 *
 *	queue_time append file		one message: append 100 bytes, fdatasync
 *	queue_time each n command ...	run it n times: median microseconds
 *	queue_time crowd n jobs command ...
 *					n runs, jobs at once: how many a second
 *	queue_time memory command ...	its private memory, at most, in KiB
 *	queue_time wake n queue		a waiting qpop: median microseconds from
 *					qpush's word that a message is stored to
 *					its delivery
 *
 * The figure goes to stderr; the commands' output is passed on.
 */

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static size_t
count(const char *text)
{
	long n = atol(text);

	if (n <= 0)
		errx(64, "%s: not a count", text);
	return (size_t)n;
}

static pid_t
start(char *argv[], int in, int out)
{
	posix_spawn_file_actions_t fa;
	pid_t pid;

	posix_spawn_file_actions_init(&fa);
	if (in != -1)
		posix_spawn_file_actions_adddup2(&fa, in, 0);
	if (out != -1)
		posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ) != 0)
		errx(127, "%s: cannot be run", argv[0]);
	posix_spawn_file_actions_destroy(&fa);
	return pid;
}

static void
wait_for(pid_t pid, const char *name)
{
	int status;

	if ((pid = waitpid(pid, &status, 0)) == -1)
		err(71, "wait");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		errx(1, "%s: status %#x", name, (unsigned int)status);
}

static void
append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	char line[100];

	memset(line, 'x', sizeof(line));
	if (fd == -1 || write(fd, line, sizeof(line)) != sizeof(line) ||
	    fdatasync(fd) == -1)
		err(74, "%s", path);
}

static void
each(size_t n, char *argv[])
{
	double *took = calloc(n, sizeof(*took)), begin;

	if (took == NULL)
		err(71, NULL);
	for (size_t i = 0; i < n; i++) {
		begin = now_us();
		wait_for(start(argv, -1, -1), argv[0]);
		took[i] = now_us() - begin;
	}
	fprintf(stderr, "%.0f\n", median(took, n));
	free(took);
}

static void
crowd(size_t n, size_t jobs, char *argv[])
{
	double begin = now_us();
	size_t started = 0, ended = 0;

	while (ended < n) {
		for (; started < n && started - ended < jobs; started++)
			start(argv, -1, -1);
		wait_for(-1, argv[0]);
		ended++;
	}
	fprintf(stderr, "%.0f\n", (double)n * 1e6 / (now_us() - begin));
}

static void
memory(char *argv[])
{
	pid_t pid = start(argv, -1, -1);
	long most = 0, kib;
	char path[64], line[256];
	FILE *f;
	int status;

	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if ((f = fopen(path, "r")) != NULL) {
			while (fgets(line, sizeof(line), f) != NULL)
				if (sscanf(line, "RssAnon: %ld", &kib) == 1 &&
				    kib > most)
					most = kib;
			fclose(f);
		}
		usleep(2000);
	}
	fprintf(stderr, "%ld\n", most);
}

/* Bytes of fd that end with a newline have arrived: when. */
static double
line_came(int fd)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n <= 0)
		errx(1, "a program has ended early");
	return buf[n - 1] == '\n' ? now_us() : 0;
}

static void
wake(size_t n, char *queue)
{
	char *push[] = { "qpush", "--print-seq", queue, NULL };
	char *pop[] = { "qpop", "-f", queue, NULL };
	int in[2], seqs[2], got[2];
	double *took = calloc(n, sizeof(*took)), stored, came;
	struct pollfd p[2];
	pid_t pushing, popping;

	if (took == NULL || pipe2(in, O_CLOEXEC) == -1 ||
	    pipe2(seqs, O_CLOEXEC) == -1 || pipe2(got, O_CLOEXEC) == -1)
		err(71, NULL);
	popping = start(pop, -1, got[1]);
	pushing = start(push, in[0], seqs[1]);
	p[0] = (struct pollfd){ seqs[0], POLLIN, 0 };
	p[1] = (struct pollfd){ got[0], POLLIN, 0 };
	for (size_t i = 0; i < n; i++) {
		usleep(2000);		/* both are asleep again */
		if (write(in[1], "hello\n", 6) != 6)
			err(74, "qpush");
		for (stored = came = 0; stored == 0 || came == 0;) {
			if (poll(p, 2, 10000) <= 0)
				errx(1, "nothing within 10 s");
			if (p[0].revents != 0)
				stored = line_came(seqs[0]);
			if (p[1].revents != 0)
				came = line_came(got[0]);
		}
		took[i] = came - stored;
	}
	close(in[1]);
	wait_for(pushing, "qpush");
	kill(popping, SIGTERM);
	waitpid(popping, NULL, 0);
	fprintf(stderr, "%.0f\n", median(took, n));
	free(took);
}

int
main(int argc, char *argv[])
{
	const char *verb = argc > 2 ? argv[1] : "";

	if (strcmp(verb, "append") == 0)
		append(argv[2]);
	else if (strcmp(verb, "each") == 0 && argc > 3)
		each(count(argv[2]), argv + 3);
	else if (strcmp(verb, "crowd") == 0 && argc > 4)
		crowd(count(argv[2]), count(argv[3]), argv + 4);
	else if (strcmp(verb, "memory") == 0)
		memory(argv + 2);
	else if (strcmp(verb, "wake") == 0 && argc > 3)
		wake(count(argv[2]), argv[3]);
	else
		errx(64, "usage: queue_time verb ...; see the source");
	return 0;
}
