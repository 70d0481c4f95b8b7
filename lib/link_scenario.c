/*
 * link_scenario: a file of lines.  All of it is read and checked first; then
 * it is a source whose answers nobody takes, and its first failure is the end.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link_priv.h"

#define SCENARIO_MAX	(16U << 20)	/* bytes */

void
net_fail(struct link_net *n, int status, uint64_t line_no, const char *why)
{
	if (n->state == LINK_QUIT || n->state == LINK_FAILED)
		return;
	(void)snprintf(n->failure, sizeof(n->failure), "%s:%" PRIu64 ": %s",
	    n->scenario_name, line_no, why);
	n->failure_status = status;
	n->state = LINK_FAILED;
	n->news = true;
}

bool
scenario_run(struct source *s)
{
	struct link_net *n = s->net;
	char line[NETCTL_LINE_MAX];
	struct buf reply = { 0 };

	while (!s->waiting && n->state == LINK_RUNNING &&
	    source_line(s, line) == 1) {
		s->line_no++;
		reply.len = 0;
		if (net_line(n, line, s, NULL, &reply) == -1) {
			char *message;
			long status;

			reply.data[reply.len - 1] = '\0';
			status = strtol((char *)reply.data + 4, &message, 10);
			net_fail(n, (int)status, s->line_no, message + 1);
		}
	}
	buf_release(&reply);
	return s->waiting && n->state == LINK_RUNNING;
}

static int
slurp(int fd, struct buf *b)
{
	ssize_t r;

	for (;;) {
		if (buf_reserve(b, 65536) == -1)
			return -1;
		r = read(fd, b->data + b->len, b->cap - b->len);
		if (r == -1 && errno == EINTR)
			continue;
		if (r <= 0)
			return (int)r;
		b->len += (size_t)r;
		if (b->len > SCENARIO_MAX) {
			errno = EFBIG;
			return -1;
		}
	}
}

/* Parse every line of text, so that a mistake shows before anything is done. */
static int
check(const struct buf *text, const char *name, char *err, size_t err_len)
{
	char line[NETCTL_LINE_MAX], why[NETCTL_ERR_MAX];
	struct netctl *c = malloc(sizeof(*c));
	uint64_t no = 0;
	size_t at = 0, len;
	int rc = 0;

	if (c == NULL)
		return -1;
	while (rc == 0 && at < text->len) {
		const unsigned char *nl = memchr(text->data + at, '\n',
		    text->len - at);

		no++;
		len = (nl != NULL ? (size_t)(nl - text->data) : text->len) -
		    at;
		if (len >= NETCTL_LINE_MAX ||
		    memchr(text->data + at, '\0', len) != NULL) {
			(void)snprintf(err, err_len, "%s:%" PRIu64 ": a line "
			    "too long, or with a NUL", name, no);
			rc = -1;
		} else {
			memcpy(line, text->data + at, len);
			line[len] = '\0';
			if (netctl_parse(c, line, why) == -1) {
				(void)snprintf(err, err_len, "%s:%" PRIu64
				    ": %s", name, no, why);
				rc = -1;
			}
		}
		at += len + 1;
	}
	free(c);
	if (rc == -1)
		errno = EBADMSG;
	return rc;
}

int
link_scenario(struct link_net *n, int fd, const char *name, char *err,
    size_t err_len)
{
	struct buf text = { 0 };
	struct source *s;
	int rc, saved;

	err[0] = '\0';
	rc = slurp(fd, &text);
	saved = errno;
	close(fd);
	errno = saved;
	if (rc == -1 || check(&text, name, err, err_len) == -1) {
		saved = errno;
		buf_release(&text);
		errno = saved;
		return -1;
	}
	free(n->scenario_name);
	if ((n->scenario_name = strdup(name)) == NULL ||
	    (s = source_new(n, -1)) == NULL) {
		buf_release(&text);
		return -1;
	}
	s->in = text;
	s->at_eof = true;
	n->scenario = s;
	n->state = LINK_RUNNING;
	source_rerun(s);
	return 0;
}
