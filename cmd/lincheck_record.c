/*
 * lincheck_record: run a command, append what it did as one line of a history.
 *
 * The start is stamped before the command can have begun, the end after it
 * was seen to be gone, both on the monotonic clock.  One write to a file
 * opened for appending, under a lock, so that a short one can be undone: lines
 * of many clients never mix.  A line that was left without its end (by a full
 * disk and a crash) is closed first: it is then seen as broken, and alone.
 * Whatever leaves the outcome open (a signal, the limit, any status not listed)
 * is recorded as indeterminate.
 */

#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "exits.h"
#include "hist.h"
#include "lincheck_priv.h"
#include "num.h"

#define RESULT_MAX	(16U << 20)	/* bytes of output that are recorded */
#define STATUS_CNT	256
#define KILL_NS		(2 * NUM_NS_PER_S)	/* between TERM and KILL */

struct record {
	const char *history, *process;
	int64_t wait_ns;
	bool fails[STATUS_CNT];
	bool keep_empty;
	int fd;				/* of the history */
	char **command;
	struct buf result;
	pid_t pid;
	int out, pidfd;			/* what it writes, that it lives */
	sigset_t mask;			/* of signals, as we were given it */
	int64_t start_ns, end_ns;
	bool cut;			/* no longer waited for, or too long */
	int out_errno;			/* our own output could not be written */
	int status;			/* of wait(2) */
};

static volatile sig_atomic_t caught;

static void
on_signal(int sig)
{
	caught = sig;
}

static _Noreturn void
record_usage(void)
{
	fprintf(stderr, "usage: %s record [-p process] [-W limit] "
	    "[--fail-status list]\n"
	    "           [--keep-empty] -o history function key argument "
	    "command [arg ...]\n", getprogname());
	exit(EX_USAGE);
}

/* "1,69,75" */
static void
set_fails(struct record *r, const char *text)
{
	char *copy = strdup(text), *rest = copy, *word;
	uint64_t n;

	if (copy == NULL)
		err(EX_OSERR, NULL);
	while ((word = strsep(&rest, ",")) != NULL) {
		if (num_u64(word, 1, STATUS_CNT - 1, &n) == -1)
			errx(EX_USAGE, "--fail-status %s: not numbers from 1 "
			    "to 255 with commas between", text);
		r->fails[n] = true;
	}
	free(copy);
}

static void
parse(struct record *r, int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "fail-status", required_argument, NULL, 'F' },
		{ "help", no_argument, NULL, 'h' },
		{ "keep-empty", no_argument, NULL, 'e' },
		{ "output", required_argument, NULL, 'o' },
		{ "process", required_argument, NULL, 'p' },
		{ "version", no_argument, NULL, 'V' },
		{ "wait", required_argument, NULL, 'W' },
		{ NULL, 0, NULL, 0 }
	};
	int ch;

	while ((ch = getopt_long(argc, argv, "+ho:p:VW:", longs, NULL)) != -1) {
		switch (ch) {
		case 'e':
			r->keep_empty = true;
			break;
		case 'F':
			set_fails(r, optarg);
			break;
		case 'h':
			printf("usage: %s record [-p process] [-W limit] "
			    "[--fail-status list]\n           [--keep-empty] "
			    "-o history function key argument command "
			    "[arg ...]\n", getprogname());
			exit(EX_OK);
		case 'o':
			r->history = optarg;
			break;
		case 'p':
			r->process = optarg;
			break;
		case 'V':
			printf("%s %s\n", getprogname(), VERSION);
			exit(EX_OK);
		case 'W':
			if (num_duration(optarg, &r->wait_ns) == -1)
				err(EX_USAGE, "-W %s", optarg);
			break;
		default:
			record_usage();
		}
	}
	if (r->history == NULL || argc - optind < 4)
		record_usage();
}

/* --- the command --------------------------------------------------------- */

/* Runs in the child; tells the parent the errno when there is no command. */
static _Noreturn void
become(struct record *r, int out, int told)
{
	int errnum;

	(void)setpgid(0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &r->mask, NULL);
	if (dup2(out, STDOUT_FILENO) != -1)
		(void)execvp(r->command[0], r->command);
	errnum = errno;
	(void)!write(told, &errnum, sizeof(errnum));
	_exit(EX_NOTFOUND);
}

/* 0 it runs; else the errno of exec: it surely does not. */
static int
start(struct record *r)
{
	int out[2], told[2], errnum = 0;
	ssize_t n;

	if (pipe2(out, O_CLOEXEC) == -1 || pipe2(told, O_CLOEXEC) == -1)
		err(EX_OSERR, "pipe");
	r->start_ns = mono_now().ns;
	r->pid = fork();
	if (r->pid == -1)
		err(EX_OSERR, "fork");
	if (r->pid == 0)
		become(r, out[1], told[1]);
	(void)setpgid(r->pid, r->pid);
	(void)close(out[1]);
	(void)close(told[1]);
	r->out = out[0];
	r->pidfd = pidfd_open(r->pid, 0);
	if (r->pidfd == -1)
		err(EX_OSERR, "pidfd_open");
	do
		n = read(told[0], &errnum, sizeof(errnum));
	while (n == -1 && errno == EINTR);
	(void)close(told[0]);
	return n == (ssize_t)sizeof(errnum) ? errnum : 0;
}

/* What the command wrote, passed on to our own output as it comes. */
static bool
take(struct record *r)
{
	char data[65536];
	ssize_t n = read(r->out, data, sizeof(data)), done = 0, w;

	if (n == -1)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	if (r->result.len + (size_t)n > RESULT_MAX ||
	    buf_put(&r->result, data, (size_t)n) == -1)
		r->cut = true;
	for (; done < n && r->out_errno == 0; done += w) {
		w = write(STDOUT_FILENO, data + done, (size_t)(n - done));
		if (w == -1 && errno != EINTR)
			r->out_errno = errno;	/* the command goes on */
		if (w == -1)
			w = 0;
	}
	return true;
}

/* Until it ends, -W runs out or a signal asks us to go. */
static void
wait_end(struct record *r)
{
	struct mono deadline = mono_after(r->wait_ns);
	struct pollfd fds[2] = { { .fd = r->pidfd, .events = POLLIN },
	    { .fd = r->out, .events = POLLIN } };
	struct timespec ts;
	int64_t left;

	while (caught == 0 && !r->cut && !mono_passed(deadline)) {
		left = mono_left_ns(deadline);
		ts.tv_sec = (time_t)(left / NUM_NS_PER_S);
		ts.tv_nsec = (long)(left % NUM_NS_PER_S);
		/* Signals are let in only here. */
		if (ppoll(fds, 2, r->wait_ns < 0 ? NULL : &ts, &r->mask) == -1)
			continue;
		if ((fds[0].revents & POLLIN) != 0 &&
		    waitpid(r->pid, &r->status, WNOHANG) == r->pid) {
			r->end_ns = mono_now().ns;
			r->pid = 0;
			/* What it left in the pipe; others may hold it open. */
			while (!r->cut && fds[1].fd != -1 &&
			    poll(fds + 1, 1, 0) == 1 && take(r))
				;
			return;
		}
		if (fds[1].revents != 0 && !take(r))
			fds[1].fd = -1;
	}
	r->cut = true;
}

/* What outlived its limit is asked to go, then made to. */
static void
stop(struct record *r)
{
	struct mono deadline = mono_after(KILL_NS);

	if (r->pid == 0)
		return;
	(void)kill(-r->pid, caught != 0 ? (int)caught : SIGTERM);
	while (waitpid(r->pid, &r->status, WNOHANG) == 0) {
		struct timespec ts = { 0, 5000000 };

		if (mono_passed(deadline))
			(void)kill(-r->pid, SIGKILL);
		(void)nanosleep(&ts, NULL);
	}
}

/* --- the line ------------------------------------------------------------ */

static void
need(int rc)
{
	if (rc == -1)
		err(EX_OSERR, NULL);
}

/* A field from the command line: "-" alone is nil, "\-" a dash. */
static void
put_field(struct buf *line, const char *text)
{
	if (strcmp(text, "-") == 0)
		need(buf_put_str(line, "-"));
	else
		need(hist_escape(line, strcmp(text, "\\-") == 0 ? "-" : text,
		    strcmp(text, "\\-") == 0 ? 1 : strlen(text)));
	need(buf_put_byte(line, '\t'));
}

static void
put_time(struct buf *line, int64_t ns)
{
	need(buf_printf(line, "%" PRId64 ".%09" PRId64, ns / NUM_NS_PER_S,
	    ns % NUM_NS_PER_S));
}

static void
put_result(struct record *r, struct buf *line)
{
	size_t len = r->result.len;

	if (len > 0 && r->result.data[len - 1] == '\n')
		len--;
	if (len == 0 && !r->keep_empty)
		need(buf_put_str(line, "-"));
	else
		need(hist_escape(line, r->result.data == NULL ? "" :
		    (const char *)r->result.data, len));
	need(buf_put_byte(line, '\t'));
}

static enum op_class
class_of(const struct record *r)
{
	if (r->cut || !WIFEXITED(r->status))
		return OP_INFO;
	if (WEXITSTATUS(r->status) == 0)
		return OP_OK;
	return r->fails[WEXITSTATUS(r->status)] ? OP_FAIL : OP_INFO;
}

static void
make_line(struct record *r, char *const *operand, enum op_class class,
    struct buf *line)
{
	static const char *const names[] = { [OP_OK] = "ok",
	    [OP_INFO] = "info", [OP_FAIL] = "fail" };

	put_time(line, r->start_ns);
	need(buf_put_byte(line, '\t'));
	if (class == OP_INFO)
		need(buf_put_str(line, "-"));
	else
		put_time(line, r->end_ns);
	need(buf_put_byte(line, '\t'));
	put_field(line, r->process);
	for (int i = 0; i < 3; i++)
		put_field(line, operand[i]);
	if (class == OP_OK)
		put_result(r, line);
	else
		need(buf_put_str(line, "-\t"));
	need(buf_put_str(line, names[class]));
	need(buf_put_byte(line, '\n'));
}

/* Does the file end within a line? */
static bool
torn(const struct record *r, const struct stat *st)
{
	char last;

	return S_ISREG(st->st_mode) && st->st_size > 0 &&
	    pread(r->fd, &last, 1, st->st_size - 1) == 1 && last != '\n';
}

/* All of it or nothing. */
static void
append(struct record *r, struct buf *line)
{
	struct stat st;
	ssize_t n;
	int saved;

	while (flock(r->fd, LOCK_EX) == -1)
		if (errno != EINTR)
			err(exit_status(errno), "%s", r->history);
	if (fstat(r->fd, &st) == -1)
		err(exit_status(errno), "%s", r->history);
	if (torn(r, &st)) {
		need(buf_put_byte(line, 0));
		memmove(line->data + 1, line->data, line->len - 1);
		line->data[0] = '\n';
	}
	do
		n = write(r->fd, line->data, line->len);
	while (n == -1 && errno == EINTR);
	if (n == (ssize_t)line->len)
		return;
	saved = n == -1 ? errno : ENOSPC;
	if (n > 0 && S_ISREG(st.st_mode))
		(void)!ftruncate(r->fd, st.st_size);
	errno = saved;
	err(EX_IOERR, "%s: the operation is not recorded", r->history);
}

/* INT, TERM and HUP are held back but for the wait. */
static void
take_signals(struct record *r)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(*sigs); i++) {
		struct sigaction old;

		(void)sigaction(sigs[i], NULL, &old);
		if (old.sa_handler == SIG_IGN)
			continue;	/* nohup */
		(void)sigaction(sigs[i], &sa, NULL);
		(void)sigaddset(&set, sigs[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &set, &r->mask);
	(void)signal(SIGPIPE, SIG_IGN);
}

int
record_main(int argc, char *argv[])
{
	struct record r = { .wait_ns = -1 };
	struct buf line = { 0 };
	enum op_class class;
	char parent[24];
	int errnum;

	parse(&r, argc, argv);
	argv += optind;
	r.command = argv + 3;
	if (strcmp(r.command[0], "--") == 0)
		r.command++;
	if (r.command[0] == NULL)
		record_usage();
	(void)snprintf(parent, sizeof(parent), "%jd", (intmax_t)getppid());
	if (r.process == NULL)
		r.process = parent;
	r.fd = open(r.history, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (r.fd == -1)
		err(errno == ENOENT ? EX_CANTCREAT : exit_status(errno), "%s",
		    r.history);
	take_signals(&r);
	errnum = start(&r);
	wait_end(&r);
	class = errnum != 0 ? OP_FAIL : class_of(&r);
	make_line(&r, argv, class, &line);
	append(&r, &line);
	stop(&r);
	buf_release(&line);
	buf_release(&r.result);
	if (caught != 0) {
		(void)signal((int)caught, SIG_DFL);
		(void)sigprocmask(SIG_SETMASK, &r.mask, NULL);
		(void)raise((int)caught);
	}
	if (errnum != 0)
		errc(errnum == ENOENT ? EX_NOTFOUND : EX_CANNOTRUN, errnum,
		    "%s", r.command[0]);
	if (r.cut)
		return EX_UNKNOWN;
	/* Who asked for less is served. */
	if (r.out_errno != 0 && r.out_errno != EPIPE)
		errc(EX_IOERR, r.out_errno, "stdout");
	return WIFEXITED(r.status) ? WEXITSTATUS(r.status) :
	    128 + WTERMSIG(r.status);
}
