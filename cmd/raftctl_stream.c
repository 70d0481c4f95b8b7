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
#define READ_SIZE	65536

static void
must(int rc)
{
	if (rc == -1)
		err(EX_OSERR, NULL);
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
	static struct buf b;
	struct json_object *o;

	if (e->type != REDIS_REPLY_ARRAY || e->elements != 4)
		errx(EX_SOFTWARE, "unexpected answer");
	if (c->json) {
		o = ctl_json();
		ctl_json_int(o, "rev", e->element[0]->integer);
		ctl_json_text(o, "op", e->element[1]->str);
		ctl_json_bytes(o, "key", e->element[2]);
		if (e->element[3]->type == REDIS_REPLY_STRING)
			ctl_json_bytes(o, "value", e->element[3]);
		ctl_json_line(o);
		return;
	}
	b.len = 0;
	must(buf_printf(&b, "%lld\t%s\t", e->element[0]->integer,
	    e->element[1]->str));
	must(buf_put(&b, e->element[2]->str, e->element[2]->len));
	if (e->element[3]->type == REDIS_REPLY_STRING) {
		must(buf_put(&b, "\t", 1));
		must(buf_put(&b, e->element[3]->str, e->element[3]->len));
	}
	ctl_record(c, &b);
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
		ctl_flush();
	}
	return EX_OK;
}

int
ctl_tail(struct ctl *c, int argc, char *argv[])
{
	int64_t from = c->has_rev ? (int64_t)c->rev : 0, end = INT64_MAX;
	static struct buf b;
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
			b.len = 0;
			if (c->longer)
				must(buf_printf(&b, "%lld\t",
				    e->element[0]->integer));
			must(buf_put(&b, e->element[1]->str,
			    e->element[1]->len));
			ctl_record(c, &b);
		}
		from = r->element[0]->integer;
		freeReplyObject(r);
		ctl_flush();
	}
	return EX_OK;
}

/* --- propose -------------------------------------------------------------------- */

struct proposal {
	struct words w;
	unsigned char *records[BATCH_CNT];
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
		free(p->records[i - 1]);
	p->w.cnt = 1;
	p->bytes = 0;
}

static void
add_record(struct ctl *c, struct proposal *p, const struct frame_record *rec)
{
	unsigned char *copy;

	if (p->w.cnt > BATCH_CNT - 1 || p->bytes + rec->len > BATCH_BYTES)
		send_batch(c, p);
	if ((copy = malloc(rec->len + 1)) == NULL)
		err(EX_OSERR, NULL);
	memcpy(copy, rec->data, rec->len);
	p->records[p->w.cnt - 1] = copy;
	words_add_bytes(&p->w, copy, rec->len);
	p->bytes += rec->len;
}

/* All records that are whole in the input that has come. */
static void
take_records(struct ctl *c, struct proposal *p, struct frame_reader *r,
    struct buf *in, bool eof)
{
	struct frame_record rec;
	size_t used = 0;
	int rc;

	while ((rc = frame_next(r, in->data + used, in->len - used, eof,
	    &rec)) == 1) {
		add_record(c, p, &rec);
		used += rec.used;
	}
	if (rc == -1 && errno == EMSGSIZE)
		errx(EX_DATAERR, "a record has at most %d bytes",
		    FSM_VALUE_MAX);
	if (rc == -1)
		errx(EX_DATAERR, "the input ends within a record");
	buf_drop(in, used);
}

int
ctl_propose(struct ctl *c, int argc, char *argv[])
{
	static struct proposal p;
	struct frame_reader r;
	struct buf in = { 0 };
	ssize_t n;

	(void)argv;
	if (argc != 0)
		ctl_usage();
	proposing = true;
	if (atexit(tell_proposed) != 0)
		err(EX_OSERR, "atexit");
	words_add(&p.w, "PROPOSE");
	frame_reader_init(&r, &c->how, FSM_VALUE_MAX);
	do {
		if (buf_reserve(&in, READ_SIZE) == -1)
			err(EX_OSERR, NULL);
		n = read(STDIN_FILENO, in.data + in.len, READ_SIZE);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			err(EX_IOERR, "stdin");
		in.len += (size_t)n;
		take_records(c, &p, &r, &in, n == 0);
	} while (n != 0);
	buf_release(&in);
	send_batch(c, &p);
	proposing = false;
	return EX_OK;
}
