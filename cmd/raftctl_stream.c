/* raftctl_stream: watch; propose and tail, a pipe that is everywhere. */

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "exits.h"
#include "fsm.h"
#include "num.h"
#include "raftctl.h"

#define BLOCK_MS	1000
#define BLOCK_NS	INT64_C(3000000000)	/* until a node is given up */
#define BATCH_CNT	500
#define BATCH_BYTES	262144

static void
out(const void *data, size_t len)
{
	if (fwrite(data, 1, len, stdout) != len)
		ctl_stdout_failed();
}

static void
flush(void)
{
	if (fflush(stdout) == EOF)
		ctl_stdout_failed();
}

/*
 * Ask until there is an answer, from whichever node: the number to go on from
 * is ours, so nothing is missed or told twice.  -W bounds how long nobody may
 * answer, not how long nothing may happen.
 */
static redisReply *
stream_ask(struct ctl *c, const struct words *w)
{
	struct mono deadline = mono_after(c->wait_ns);
	bool maybe = false;
	redisReply *r;

	for (;;) {
		r = ctl_try(c, w, MONO_NEVER, BLOCK_NS, &maybe);
		if (r != NULL && !ctl_error_is(r, "BUSY"))
			break;
		freeReplyObject(r);
		if (mono_passed(deadline))
			errx(EX_UNAVAILABLE, "no node answers");
		ctl_nap();
	}
	if (ctl_error_is(r, "COMPACTED"))
		errx(EX_NO, "compacted: %s", r->str + strlen("COMPACTED "));
	ctl_check(r);
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1)
		errx(EX_SOFTWARE, "unexpected answer");
	return r;
}

static int64_t
ask_number(struct ctl *c, const char *command, size_t element)
{
	struct words w = { 0 };
	redisReply *r;
	int64_t v;

	words_add(&w, command);
	r = ctl_read(c, &w);
	ctl_check(r);
	if (r->type == REDIS_REPLY_INTEGER)
		v = r->integer;
	else if (r->type == REDIS_REPLY_ARRAY && r->elements > element)
		v = r->element[element]->integer;
	else
		errx(EX_SOFTWARE, "unexpected answer");
	freeReplyObject(r);
	return v;
}

static void
print_event(const struct ctl *c, const redisReply *e)
{
	if (e->type != REDIS_REPLY_ARRAY || e->elements != 4)
		errx(EX_SOFTWARE, "unexpected answer");
	printf("%lld\t%s\t", e->element[0]->integer, e->element[1]->str);
	out(e->element[2]->str, e->element[2]->len);
	if (e->element[3]->type == REDIS_REPLY_STRING) {
		out("\t", 1);
		out(e->element[3]->str, e->element[3]->len);
	}
	out(c->nul ? "\0" : "\n", 1);
}

/* How many items one request may bring: -n bounds them in all. */
static int64_t
page(const struct ctl *c, uint64_t done)
{
	uint64_t left = c->count == 0 ? 1000 : c->count - done;

	return left < 1000 ? (int64_t)left : 1000;
}

int
ctl_watch(struct ctl *c, int argc, char *argv[])
{
	int64_t from = c->has_rev ? (int64_t)c->rev : 0;
	uint64_t done = 0;
	char room[3][32];
	redisReply *r;
	size_t i;

	if (argc > 1)
		ctl_usage();
	/* "Now" is what a majority agrees on, not what one node has seen. */
	if (from == 0)
		from = ask_number(c, "REVISION", 0) + 1;
	while (c->count == 0 || done < c->count) {
		struct words w = { 0 };

		words_add(&w, "RWATCH");
		words_add(&w, argc == 1 ? argv[0] : "");
		words_add_int(&w, room[0], 32, from);
		words_add_int(&w, room[1], 32, BLOCK_MS);
		words_add_int(&w, room[2], 32, page(c, done));
		r = stream_ask(c, &w);
		for (i = 1; i < r->elements; i++, done++)
			print_event(c, r->element[i]);
		from = r->element[0]->integer;
		freeReplyObject(r);
		flush();
	}
	return EX_OK;
}

int
ctl_tail(struct ctl *c, int argc, char *argv[])
{
	int64_t from = c->has_rev ? (int64_t)c->rev : 0, end = INT64_MAX;
	uint64_t done = 0;
	char room[3][32];
	redisReply *r;
	size_t i;

	(void)argv;
	if (argc != 0)
		ctl_usage();
	if (from == 0)
		from = ask_number(c, "RECORDS", 0);
	if (!c->follow)
		end = ask_number(c, "RECORDS", 1);
	while (from < end && (c->count == 0 || done < c->count)) {
		struct words w = { 0 };

		words_add(&w, "TAIL");
		words_add_int(&w, room[0], 32, from);
		words_add_int(&w, room[1], 32, BLOCK_MS);
		words_add_int(&w, room[2], 32, page(c, done));
		r = stream_ask(c, &w);
		for (i = 1; i < r->elements; i++, done++) {
			const redisReply *e = r->element[i];

			if (e->type != REDIS_REPLY_ARRAY || e->elements != 2)
				errx(EX_SOFTWARE, "unexpected answer");
			if (e->element[0]->integer >= end)
				break;
			if (c->longer)
				printf("%lld\t", e->element[0]->integer);
			out(e->element[1]->str, e->element[1]->len);
			out(c->nul ? "\0" : "\n", 1);
		}
		from = r->element[0]->integer;
		freeReplyObject(r);
		flush();
	}
	return EX_OK;
}

/* --- propose -------------------------------------------------------------------- */

struct proposal {
	struct words w;
	char *lines[BATCH_CNT];
	size_t bytes;
};

static uint64_t proposed;
static bool proposing;

static void
tell_proposed(void)
{
	if (proposing)
		fprintf(stderr, "%s: proposed %" PRIu64 "\n", getprogname(),
		    proposed);
}

static void
send_batch(struct ctl *c, struct proposal *p)
{
	redisReply *r;
	int i;

	if (p->w.cnt <= 1)
		return;
	r = ctl_write(c, &p->w);
	ctl_check(r);
	freeReplyObject(r);
	proposed += (uint64_t)p->w.cnt - 1;
	for (i = 1; i < p->w.cnt; i++)
		free(p->lines[i - 1]);
	p->w.cnt = 1;
	p->bytes = 0;
}

int
ctl_propose(struct ctl *c, int argc, char *argv[])
{
	static struct proposal p;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int delim = c->nul ? '\0' : '\n';

	(void)argv;
	if (argc != 0)
		ctl_usage();
	proposing = true;
	if (atexit(tell_proposed) != 0)
		err(EX_OSERR, "atexit");
	words_add(&p.w, "PROPOSE");
	while ((n = getdelim(&line, &cap, delim, stdin)) != -1) {
		if (n > 0 && line[n - 1] == (char)delim)
			n--;
		if (n > FSM_VALUE_MAX)
			errx(EX_DATAERR, "a record has at most %d bytes",
			    FSM_VALUE_MAX);
		if (p.w.cnt > BATCH_CNT - 1 ||
		    p.bytes + (size_t)n > BATCH_BYTES)
			send_batch(c, &p);
		p.lines[p.w.cnt - 1] = line;
		words_add_bytes(&p.w, line, (size_t)n);
		p.bytes += (size_t)n;
		line = NULL;
		cap = 0;
	}
	if (ferror(stdin))
		err(EX_IOERR, "stdin");
	free(line);
	send_batch(c, &p);
	proposing = false;
	return EX_OK;
}
