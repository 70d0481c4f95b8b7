/* cap-demo_client: get and put by hand, through one replica. */

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abd.h"
#include "cap-demo.h"
#include "exits.h"
#include "num.h"
#include "sock.h"

#define GRACE_NS	NUM_NS_PER_S	/* for the answer, beyond the wait */

static void
wait_for(struct conn *c, short events, struct mono deadline)
{
	struct pollfd p = { .fd = c->fd, .events = events };

	if (poll(&p, 1, mono_left_ms(deadline)) == -1 && errno != EINTR)
		err(EX_OSERR, "poll");
}

/*
 * 1 and its answer, 0 it may have been asked but did not answer, -1 it was
 * surely not asked.
 */
static int
ask(struct conn *c, const struct regwire_msg *q, struct regwire_msg *a,
    struct mono deadline)
{
	bool sent = false;
	size_t used, len;
	int rc;

	conn_put(c, q);
	len = c->out.len;
	while (c->out.len > 0) {
		if (conn_flush(c) == -1 || mono_passed(deadline))
			return sent ? 0 : -1;
		sent |= c->out.len < len;
		if (c->out.len > 0)
			wait_for(c, POLLOUT, deadline);
	}
	for (;;) {
		if ((rc = conn_next(c, a, &used)) == 1)
			return 1;
		if (rc == -1 || mono_passed(deadline))
			return 0;
		wait_for(c, POLLIN, deadline);
		if (conn_fill(c) == -1)
			return 0;
	}
}

/* The value of put, from an operand or standard input. */
static void
read_value(struct buf *b)
{
	ssize_t r;

	for (;;) {
		if (buf_reserve(b, 4096) == -1)
			err(EX_OSERR, NULL);
		r = read(STDIN_FILENO, b->data + b->len, 4096);
		if (r == -1 && errno == EINTR)
			continue;
		if (r == -1)
			err(EX_IOERR, "stdin");
		if (r == 0)
			return;
		b->len += (size_t)r;
		if (b->len > DVV_VALUE_MAX)
			errx(EX_DATAERR, "the value is longer than %d bytes",
			    DVV_VALUE_MAX);
	}
}

static int
show(const struct options *o, const struct regwire_msg *a)
{
	const struct dvv *e = &a->entry;

	if (e->cnt == 0)
		return EX_NO;
	for (size_t i = 0; i < e->cnt; i++) {
		const struct dvv_version *v = &e->versions[i];

		if (fwrite(v->value, 1, v->len, stdout) != v->len ||
		    putchar('\n') == EOF)
			err(EX_IOERR, "stdout");
		if (o->verbose)
			warnx("n%u at %ju.%03ju, %s", v->stamp.node,
			    (uintmax_t)(v->stamp.hlc >> 16) / 1000,
			    (uintmax_t)(v->stamp.hlc >> 16) % 1000,
			    v->level == REGWIRE_STRONG ? "strong" : "eventual");
	}
	if (fflush(stdout) == EOF)
		err(EX_IOERR, "stdout");
	return EX_OK;
}

static int
conclude(const struct options *o, bool put, int rc, const struct regwire_msg *a)
{
	if (rc == -1)
		errx(EX_UNAVAILABLE, "n%u was not asked", o->id);
	if (rc == 0 && put)
		errx(EX_UNKNOWN, "n%u did not answer: the write may or may "
		    "not happen", o->id);
	if (rc == 0)
		errx(EX_UNAVAILABLE, "n%u did not answer", o->id);
	if (a->type != REGWIRE_RESULT)
		errx(EX_SOFTWARE, "n%u answered something else", o->id);
	if (a->outcome == ABD_REFUSED)
		errx(EX_UNAVAILABLE, "refused: %s",
		    regwire_reason_name(a->reason));
	if (a->outcome == ABD_UNKNOWN)
		errx(EX_UNKNOWN, "%s: the write may or may not happen",
		    regwire_reason_name(a->reason));
	return put ? EX_OK : show(o, a);
}

int
client_main(const struct options *o, int argc, char *argv[])
{
	bool put = strcmp(o->job, "put") == 0;
	int64_t wait_ns = o->wait_ns >= 0 ? o->wait_ns : 5 * NUM_NS_PER_S;
	struct regwire_msg a = { 0 }, q = { .id = 1,
	    .type = put ? REGWIRE_PUT : REGWIRE_GET,
	    .level = o->level == LEVEL_EVENTUAL ? REGWIRE_EVENTUAL :
	    REGWIRE_STRONG };
	char *path = path_of(o->dir, o->id, "client");
	struct conn c = { .fd = -1 };
	struct buf value = { 0 };
	int rc, status;

	q.key = (const unsigned char *)argv[0];
	q.key_len = strlen(argv[0]);
	if (q.key_len == 0 || q.key_len > REGWIRE_KEY_MAX)
		errx(EX_DATAERR, "a key has 1 to %d bytes", REGWIRE_KEY_MAX);
	if (put && argc == 1)
		read_value(&value);
	else if (put && buf_put_str(&value, argv[1]) == -1)
		err(EX_OSERR, NULL);
	if (value.len > DVV_VALUE_MAX)
		errx(EX_DATAERR, "the value is longer than %d bytes",
		    DVV_VALUE_MAX);
	q.value = value.data;
	q.value_len = value.len;
	q.wait_ms = (uint32_t)(wait_ns / NUM_NS_PER_MS);
	if ((c.fd = sock_connect(path)) == -1) {
		if (errno == EACCES || errno == EPERM)
			err(EX_NOPERM, "%s", path);
		err(EX_UNAVAILABLE, "%s", path);
	}
	rc = ask(&c, &q, &a, mono_after(wait_ns + GRACE_NS));
	status = conclude(o, put, rc, &a);
	regwire_release(&a);
	conn_close(&c);
	buf_release(&value);
	free(path);
	return status;
}
