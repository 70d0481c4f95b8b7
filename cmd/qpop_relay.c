/*
 * qpop_relay: pass on what commands print.
 *
 * A single command at a time has our own stdout.  With several, each writes to
 * a pipe of its slot, and whole lines of them go out; a line too long to keep
 * goes out in pieces while the others wait.  Nothing here blocks: when our
 * reader is slow, pipes are not read, and their commands wait.  When a command
 * has ended, what it left in the pipe still belongs to it.
 *
 * Stderr is a file without a name that we read behind the command, every tenth
 * of a second and at its end.  What has been copied, but for the tail that dead
 * letters keep, is given back to the system.
 */

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "fsdur.h"
#include "num.h"
#include "qpop_run.h"

#define READ_SIZE	(64U << 10)
#define LINE_MAX	(256U << 10)	/* longer ones go out in pieces */
#define OUT_MAX		(64U << 10)	/* waiting to go out */
#define WRITE_MAX	4096U		/* a pipe that can take any takes this */
#define KEEP		(1U << 20)	/* bytes of stderr before a hole is made */

/* --- stdout -------------------------------------------------------------------- */

void
relay_init(struct run *r)
{
	for (unsigned int i = 0; i < r->o->jobs; i++)
		r->slots[i].out_fd = r->slots[i].out_in = -1;
	r->relayed = r->o->jobs > 1;
}

/* A slot keeps its pipe; what outlives a command may still write to it. */
int
relay_slot(struct run *r, struct slot *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET,
	    .data.u32 = s->no };
	int fds[2];

	if (!r->relayed || s->out_fd != -1 || r->out_gone)
		return 0;
	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	s->out_fd = fds[0];
	s->out_in = fds[1];
	return fcntl(s->out_fd, F_SETFL, O_NONBLOCK) == -1 ||
	    epoll_ctl(r->epfd, EPOLL_CTL_ADD, s->out_fd, &ev) == -1 ? -1 : 0;
}

static void
close_pipe(struct slot *s)
{
	if (s->out_fd != -1)
		(void)close(s->out_fd);
	if (s->out_in != -1)
		(void)close(s->out_in);
	s->out_fd = s->out_in = -1;
}

void
relay_release(struct run *r)
{
	for (unsigned int i = 0; i < r->o->jobs; i++) {
		close_pipe(&r->slots[i]);
		buf_release(&r->slots[i].line);
	}
	buf_release(&r->out);
}

/* Nobody reads: the commands shall see that as they would without us. */
static void
reader_gone(struct run *r)
{
	r->out_gone = true;
	r->out_owner = NULL;
	r->out.len = 0;
	r->out_done = r->out_put;
	for (unsigned int i = 0; i < r->o->jobs; i++) {
		close_pipe(&r->slots[i]);
		r->slots[i].line.len = 0;
	}
}

/* Ask to be woken when stdout takes more; a file always does. */
static void
poll_out(struct run *r, bool on)
{
	struct epoll_event ev = { .events = EPOLLOUT,
	    .data.u32 = WATCH_STDOUT };

	if (on != r->out_polled &&
	    epoll_ctl(r->epfd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
	    STDOUT_FILENO, &ev) == 0)
		r->out_polled = on;
}

/* Can a little be written without waiting? */
static bool
writable(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) != 0;
}

bool
relay_gone(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

static void
write_out(struct run *r)
{
	ssize_t n;

	while (r->out.len > 0 && !r->out_gone) {
		if (!writable())
			break;
		n = write(STDOUT_FILENO, r->out.data, r->out.len < WRITE_MAX ?
		    r->out.len : WRITE_MAX);
		if (n == -1 && (errno == EINTR || errno == EAGAIN))
			break;
		if (n == -1) {
			if (errno != EPIPE)
				warn("stdout");
			reader_gone(r);
			return;
		}
		buf_drop(&r->out, (size_t)n);
		r->out_done += (uint64_t)n;
	}
	poll_out(r, r->out.len > 0);
}

static int
put_out(struct run *r, struct slot *s, size_t len)
{
	if (buf_put(&r->out, s->line.data, len) == -1)
		return -1;
	buf_drop(&s->line, len);
	r->out_put += len;
	return 0;
}

/* What of the slot's bytes may go out now. */
static void
move_lines(struct run *r, struct slot *s)
{
	const unsigned char *nl;

	if (r->out_owner != NULL && r->out_owner != s)
		return;
	if (s->line.len > 0) {
		nl = memrchr(s->line.data, '\n', s->line.len);
		if (nl != NULL) {
			if (put_out(r, s, (size_t)(nl - s->line.data) + 1) == -1)
				return;
			r->out_owner = NULL;
		}
	}
	if (s->line.len >= LINE_MAX || (r->out_owner == s && s->line.len > 0)) {
		r->out_owner = s;
		(void)put_out(r, s, s->line.len);
	}
}

/* Read what is there; true if there may be more. */
static bool
read_slot(struct run *r, struct slot *s)
{
	ssize_t n;

	if (s->out_fd == -1 || r->out.len >= OUT_MAX ||
	    s->line.len >= LINE_MAX ||
	    buf_reserve(&s->line, READ_SIZE) == -1)
		return false;
	n = read(s->out_fd, s->line.data + s->line.len, READ_SIZE);
	s->readable = n > 0;
	if (n <= 0)
		return false;
	s->line.len += (size_t)n;
	s->out_left -= (size_t)n < s->out_left ? (size_t)n : s->out_left;
	move_lines(r, s);
	return true;
}

void
relay_out(struct run *r)
{
	bool more;

	if (!r->relayed)
		return;
	do {
		more = false;
		for (unsigned int i = 0; i < r->o->jobs; i++) {
			struct slot *s = &r->slots[i];

			if (s->line.len > 0)
				move_lines(r, s);
			if (s->readable && read_slot(r, s))
				more = true;
		}
		write_out(r);
	} while (more && r->out.len < OUT_MAX && !r->out_gone);
}

void
relay_ended(struct slot *s)
{
	int n = 0;

	if (s->out_fd != -1 && ioctl(s->out_fd, FIONREAD, &n) == 0)
		s->out_left = (size_t)n;
	s->out_end = UINT64_MAX;
}

bool
relay_over(struct run *r, struct slot *s)
{
	if (!r->relayed || r->out_gone)
		return true;
	while (s->out_left > 0 && read_slot(r, s))
		write_out(r);
	if (r->out_gone)
		return true;
	if (s->out_left > 0 || (r->out_owner != NULL && r->out_owner != s))
		return false;
	if (s->line.len > 0 && put_out(r, s, s->line.len) == -1)
		return false;
	if (r->out_owner == s)
		r->out_owner = NULL;
	if (s->out_end == UINT64_MAX)
		s->out_end = r->out_put;
	write_out(r);
	return r->out_done >= s->out_end || r->out_gone;
}

/* --- stderr -------------------------------------------------------------------- */

/* As our own: what cannot be written is gone. */
static void
write_err(const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(STDERR_FILENO, p, len);
		if (n == -1 && errno != EINTR)
			return;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

/* Copy [s->err_at, end). */
static void
copy_err(struct slot *s, off_t end)
{
	char data[READ_SIZE / 4];
	size_t want;
	ssize_t n;

	while (s->err_at < end) {
		want = end - s->err_at < (off_t)sizeof(data) ?
		    (size_t)(end - s->err_at) : sizeof(data);
		n = fsdur_pread_all(s->err_fd, data, want, s->err_at);
		if (n <= 0)
			return;
		write_err(data, (size_t)n);
		s->err_at += n;
	}
}

/* Behind the last newline of [s->err_at, end), or s->err_at. */
static off_t
whole_lines(const struct slot *s, off_t end)
{
	char data[READ_SIZE / 4];
	const char *nl;
	off_t from;

	for (; end > s->err_at; end = from) {
		from = end - s->err_at > (off_t)sizeof(data) ?
		    end - (off_t)sizeof(data) : s->err_at;
		if (fsdur_pread_all(s->err_fd, data, (size_t)(end - from),
		    from) != end - from)
			return s->err_at;
		nl = memrchr(data, '\n', (size_t)(end - from));
		if (nl != NULL)
			return from + (nl - data) + 1;
	}
	return s->err_at;
}

void
relay_err(struct run *r, struct slot *s)
{
	struct stat st;
	off_t end;

	if (s->err_fd == -1 || fstat(s->err_fd, &st) == -1)
		return;
	end = st.st_size;
	if (end < s->err_at)		/* it was truncated */
		s->err_at = s->err_kept = 0;
	if (end == s->err_at)
		return;
	if (r->o->jobs > 1 && s->state == SLOT_RUNS)
		end = whole_lines(s, end);
	copy_err(s, end);
	end = s->err_at - KEEP;
	if (end - s->err_kept > (off_t)KEEP && fallocate(s->err_fd,
	    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, s->err_kept,
	    end - s->err_kept) == 0)
		s->err_kept = end;
}

size_t
relay_tail(const struct slot *s, unsigned char *buf)
{
	struct stat st;
	off_t from;
	ssize_t n;

	if (s->err_fd == -1 || fstat(s->err_fd, &st) == -1)
		return 0;
	from = st.st_size > QUEUE_OUTPUT_MAX ? st.st_size - QUEUE_OUTPUT_MAX :
	    0;
	n = fsdur_pread_all(s->err_fd, buf, QUEUE_OUTPUT_MAX, from);
	return n > 0 ? (size_t)n : 0;
}
