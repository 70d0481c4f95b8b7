/*
 * link_source: where lines come from.  A connection's next line is read only
 * when its last answer has been taken, so one that never reads costs nothing
 * but itself; the idlest makes room when there are too many.
 */

#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "link_priv.h"
#include "sock.h"

#define LINES_MAX	64U		/* of one source in a turn */
#define PENDING_MAX	(64U << 20)	/* bytes of answers not yet taken */

/* --- one line ---------------------------------------------------------- */

static void
log_answer(struct link_net *n, const struct netctl *c, struct answer *a,
    const char *by)
{
	char *text;

	if (a->logged || a->status != 0 || (text = strdup(c->rest)) == NULL)
		return;
	netctl_strip(text);
	if (buf_put_byte(&a->result, '\0') == 0) {
		log_verb(n, netctl_verb_name(c->verb), text,
		    (char *)a->result.data, by);
		a->result.len--;
	}
	free(text);
}

/* Answers that were made and not taken, of all connections. */
static size_t
pending(const struct link_net *n)
{
	size_t sum = 0;

	for (const struct source *s = n->sources; s != NULL; s = s->next)
		sum += s->out.len - s->out_off;
	return sum;
}

static void
obey(struct link_net *n, const struct netctl *c, const char *line,
    struct source *s, struct answer *a)
{
	int64_t base = s != NULL ? s->base_ns : n->start_ns;
	bool past = c->has_at && !c->at_now && base + c->at_ns <= net_now(n);
	struct answer ignored = { .body = a->body };

	/* What was scheduled before it and is due comes first. */
	if (past && n->scheds_cnt > 0 && n->heap[1]->at_ns <= n->now_ns)
		past = false;
	if (c->verb == NETCTL_WAIT && s != NULL) {
		(void)source_wait(s, line, a);
		return;
	}
	if (c->every_ns > 0 || (c->has_at && !past)) {
		if (sched_add(n, c, base, a) == 0)
			log_note(n, "at", "%s", line);
		return;
	}
	if (c->shows && pending(n) > PENDING_MAX) {
		answer_fail(a, EX_TEMPFAIL, "too many answers wait to be "
		    "taken");
		return;
	}
	if (c->repeat > REPEAT_NOW_MAX) {
		answer_fail(a, EX_USAGE, "repeat: more than %u at once",
		    REPEAT_NOW_MAX);
		return;
	}
	for (uint64_t i = 1; i < c->repeat && a->status == 0; i++) {
		ignored.by = a->by;
		ignored.status = 0;
		ignored.result.len = 0;
		if (net_obey(n, c, &ignored) == -1) {
			a->status = ignored.status;
			(void)strlcpy(a->err, ignored.err, sizeof(a->err));
		} else {
			log_answer(n, c, &ignored, a->by);
		}
		ignored.logged = false;
	}
	buf_release(&ignored.result);
	if (a->status == 0 && net_obey(n, c, a) == 0)
		log_answer(n, c, a, a->by);
}

/* 1 answered, 0 nothing to answer (yet, if s waits), -1 answered with err. */
int
net_line(struct link_net *n, const char *line, struct source *s,
    const char *by, struct buf *reply)
{
	struct answer a = { .body = reply, .by = by };
	size_t start = reply->len;
	struct netctl *c;
	int r = -1;

	if ((c = malloc(sizeof(*c))) == NULL) {
		answer_fail(&a, EX_OSERR, "%s", strerror(errno));
	} else if ((r = netctl_parse(c, line, a.err)) == -1) {
		a.status = EX_USAGE;
	} else if (r == 1) {
		a.line_no = s != NULL && s->fd == -1 ? s->line_no : 0;
		obey(n, c, line, s, &a);
	}
	if (a.status == 0 && a.lines > 0)
		(void)buf_printf(&a.result, "%slines=%zu",
		    a.result.len > 0 ? " " : "", a.lines);
	if (a.status != 0) {
		reply->len = start;
		r = buf_printf(reply, "err %d %s\n", a.status, a.err) == 0 ?
		    -1 : 0;
	} else if (a.deferred) {
		r = 0;
	} else if (r == 1 && buf_printf(reply, "ok%s%.*s\n",
	    a.result.len > 0 ? " " : "", (int)a.result.len,
	    a.result.len > 0 ? (char *)a.result.data : "") == -1) {
		reply->len = start;
	}
	buf_release(&a.result);
	free(c);
	return r;
}

int
link_command(struct link_net *n, const char *line, struct buf *reply)
{
	int r;

	net_now(n);
	r = net_line(n, line, NULL, NULL, reply);
	conn_reap(n);
	return r != 0;
}

/* --- connections ------------------------------------------------------- */

struct source *
source_new(struct link_net *n, int fd)
{
	struct source *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->net = n;
	s->fd = fd;
	s->watch = (struct watch){ .kind = WATCH_CLIENT, .owner = s };
	s->base_ns = s->used_ns = net_now(n);
	if ((s->next = n->sources) != NULL)
		s->next->prev = s;
	n->sources = s;
	return s;
}

void
source_free(struct link_net *n, struct source *s)
{
	timer_disarm(n, &s->timer);
	timer_disarm(n, &s->within);
	if (n->sources == s)
		n->sources = s->next;
	else
		s->prev->next = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	if (s->fd != -1) {
		net_unwatch(n->controls, s->fd);
		close(s->fd);
		n->clients_cnt--;
	}
	if (n->scenario == s) {
		n->scenario = NULL;
		if (n->state == LINK_RUNNING)
			n->state = LINK_IDLE;
	}
	buf_release(&s->in);
	buf_release(&s->out);
	free(s->wait);
	free(s);
}

/* Ask for what can be used: room for answers, or else lines. */
static void
source_watch(struct source *s)
{
	uint32_t events = s->out.len > 0 ? EPOLLOUT : s->at_eof ||
	    s->in.len - s->in_off >= (size_t)2 * NETCTL_LINE_MAX ? 0 : EPOLLIN;

	if (events == s->events)
		return;
	s->events = events;
	(void)net_rewatch(s->net->controls, s->fd, &s->watch, events);
}

/* False: it has hung up. */
static bool
flush(struct source *s)
{
	ssize_t w;

	while (s->out_off < s->out.len) {
		w = send(s->fd, s->out.data + s->out_off,
		    s->out.len - s->out_off, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1 && errno == EAGAIN)
			break;
		if (w <= 0)
			return false;
		s->out_off += (size_t)w;
	}
	if (s->out_off == s->out.len) {
		s->out_off = 0;
		if (s->out.cap > NETCTL_LINE_MAX)
			buf_release(&s->out);
		s->out.len = 0;
	}
	return true;
}

/* Take the first line of s->in into line[]; 1, 0 none yet, -1 too long. */
int
source_line(struct source *s, char line[NETCTL_LINE_MAX])
{
	const unsigned char *from = s->in.data + s->in_off, *nl;
	size_t left = s->in.len - s->in_off, len;

	if (left == 0)
		return 0;
	nl = memchr(from, '\n', left);
	if (nl == NULL && !s->at_eof)
		return left >= NETCTL_LINE_MAX ? -1 : 0;
	len = nl != NULL ? (size_t)(nl - from) : left;
	if (len >= NETCTL_LINE_MAX)
		return -1;
	/* A NUL would hide the rest of the line from the parser. */
	for (size_t i = 0; i < len; i++)
		if ((line[i] = (char)from[i]) == '\0')
			line[i] = '\001';
	line[len] = '\0';
	s->in_off += nl != NULL ? len + 1 : len;
	if (s->in_off >= s->in.len / 2) {
		buf_drop(&s->in, s->in_off);
		s->in_off = 0;
	}
	return 1;
}

static void
run_later(struct source *s)
{
	s->timer.fire = wait_timer;
	s->timer.arg = s;
	(void)timer_arm(s->net, &s->timer, s->net->now_ns);
}

/* Obey what has come; false when the source is done with. */
static bool
source_run(struct source *s)
{
	char line[NETCTL_LINE_MAX];
	unsigned int lines = 0;
	int r;

	if (s->fd == -1)
		return scenario_run(s);
	if (!flush(s))
		return false;
	source_watch(s);
	while (!s->waiting && s->out.len == 0 && !s->closing) {
		if (lines++ == LINES_MAX) {
			run_later(s);
			return true;
		}
		if ((r = source_line(s, line)) == 0)
			break;
		if (r == -1) {
			(void)buf_printf(&s->out, "err %d a line of more than "
			    "%d bytes\n", EX_DATAERR, NETCTL_LINE_MAX - 1);
			s->closing = true;
		} else {
			(void)net_line(s->net, line, s, NULL, &s->out);
		}
		if (!flush(s))
			return false;
	}
	source_watch(s);
	if (s->out.len > 0)
		return true;
	return !s->closing && (s->waiting || !s->at_eof || s->in.len > 0);
}

void
source_rerun(struct source *s)
{
	if (!source_run(s))
		source_free(s->net, s);
}

void
source_event(struct link_net *n, struct source *s, uint32_t events)
{
	char bytes[4096];
	ssize_t r;

	s->used_ns = n->now_ns;
	if (events & (EPOLLHUP | EPOLLERR)) {
		/* Gone both ways: nobody is there to answer. */
		if (!(events & EPOLLIN)) {
			source_free(n, s);
			return;
		}
	}
	if (events & EPOLLIN) {
		r = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (r > 0 && buf_put(&s->in, bytes, (size_t)r) == -1)
			r = 0;
		if (r == -1 && errno != EAGAIN && errno != EINTR) {
			source_free(n, s);
			return;
		}
		if (r == 0)
			s->at_eof = true;
	}
	source_rerun(s);
}

/* The one that has been silent for longest and waits for nothing. */
static void
evict(struct link_net *n)
{
	struct source *oldest = NULL;

	for (struct source *s = n->sources; s != NULL; s = s->next)
		if (s->fd != -1 && !s->waiting &&
		    (oldest == NULL || s->used_ns <= oldest->used_ns))
			oldest = s;
	if (oldest != NULL)
		source_free(n, oldest);
}

void
control_event(struct link_net *n)
{
	static const char denied[] = "err 77 not your net\n";
	struct source *s;
	int fd;

	while ((fd = sock_accept(n->control)) != -1) {
		if (sock_check(fd, false, NULL) == -1) {
			(void)send(fd, denied, sizeof(denied) - 1,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
			close(fd);
			continue;
		}
		if (n->clients_cnt == LINK_CONTROL_MAX)
			evict(n);
		if (n->clients_cnt == LINK_CONTROL_MAX ||
		    (s = source_new(n, fd)) == NULL) {
			close(fd);
			continue;
		}
		n->clients_cnt++;
		s->events = EPOLLIN;
		if (net_watch(n->controls, fd, &s->watch, EPOLLIN) == -1)
			source_free(n, s);
	}
	if (errno != EAGAIN && n->clients_cnt > 0)
		evict(n);		/* out of descriptors */
}
