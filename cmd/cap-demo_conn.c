/* cap-demo_conn: bytes of a non-blocking socket, in frames. */

#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cap-demo.h"
#include "exits.h"

#define READ_MAX	65536
#define IN_MAX		(REGWIRE_FRAME_MAX + 2 * READ_MAX)

int
conn_fill(struct conn *c)
{
	ssize_t r;

	/* What came is decoded before more is read: one frame is the most. */
	if (c->in.len > IN_MAX)
		return -1;
	if (buf_reserve(&c->in, READ_MAX) == -1)
		err(EX_OSERR, NULL);
	r = read(c->fd, c->in.data + c->in.len, READ_MAX);
	if (r > 0) {
		c->in.len += (size_t)r;
		return 0;
	}
	return r == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

int
conn_flush(struct conn *c)
{
	ssize_t w;
	size_t done = 0;
	int rc = 0;

	while (done < c->out.len) {
		w = send(c->fd, c->out.data + done, c->out.len - done,
		    MSG_NOSIGNAL);
		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1) {
			rc = errno == EAGAIN ? 0 : -1;
			break;
		}
		done += (size_t)w;
	}
	buf_drop(&c->out, done);
	return rc;
}

int
conn_next(struct conn *c, struct regwire_msg *m, size_t *used)
{
	return regwire_get(c->in.data, c->in.len, m, used);
}

void
conn_drop(struct conn *c, size_t used)
{
	buf_drop(&c->in, used);
}

void
conn_put(struct conn *c, const struct regwire_msg *m)
{
	if (c->fd != -1 && regwire_put(&c->out, m) == -1)
		err(EX_OSERR, "a frame");
}

void
conn_close(struct conn *c)
{
	if (c->fd != -1)
		(void)close(c->fd);
	c->fd = -1;
	buf_release(&c->in);
	buf_release(&c->out);
}

char *
path_of(const char *dir, unsigned int node, const char *rest)
{
	char *path;

	if (asprintf(&path, "%s/n%u/%s", dir, node, rest) == -1)
		err(EX_OSERR, NULL);
	return path;
}
