/* raftctl_kv: get, put, cas, del, list. */

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

static void
must(int rc)
{
	if (rc == -1)
		err(EX_OSERR, NULL);
}

/* [value, revision, created, ms to live or less than 0] */
static void
print_value(const struct ctl *c, const char *key, const redisReply *r)
{
	const redisReply *value = r->element[0];
	struct buf b = { 0 };
	struct json_object *o;

	if (c->json) {
		o = ctl_json();
		ctl_json_text(o, "key", key);
		ctl_json_bytes(o, "value", value);
		ctl_json_int(o, "rev", r->element[1]->integer);
		ctl_json_int(o, "created", r->element[2]->integer);
		if (r->element[3]->integer >= 0)
			ctl_json_int(o, "ttl_ms", r->element[3]->integer);
		ctl_json_line(o);
		return;
	}
	if (c->longer)
		must(buf_printf(&b, "%lld\t", r->element[1]->integer));
	must(buf_put(&b, value->str, value->len));
	ctl_record(c, &b);
	buf_release(&b);
}

int
ctl_get(struct ctl *c, int argc, char *argv[])
{
	struct words w = { 0 };
	redisReply *r;

	if (argc != 1)
		ctl_usage();
	words_add(&w, "GETREV");
	words_add(&w, argv[0]);
	r = ctl_read(c, &w);
	ctl_check(r);
	if (r->type != REDIS_REPLY_ARRAY) {
		freeReplyObject(r);
		return EX_NO;
	}
	if (r->elements < 4)
		errx(EX_SOFTWARE, "unexpected answer");
	print_value(c, argv[0], r);
	ctl_flush();
	freeReplyObject(r);
	return EX_OK;
}

static void
read_value(struct buf *b)
{
	ssize_t n;

	do {
		if (buf_reserve(b, 65536) == -1)
			err(EX_OSERR, NULL);
		n = read(STDIN_FILENO, b->data + b->len, 65536);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			err(EX_IOERR, "stdin");
		b->len += (size_t)n;
		if (b->len > FSM_VALUE_MAX)
			errx(EX_DATAERR, "a value has at most %d bytes",
			    FSM_VALUE_MAX);
	} while (n != 0);
}

static void
add_terms(const struct ctl *c, struct words *w, char room[3][32])
{
	if (c->absent)
		words_add(w, "NX");
	if (c->has_rev) {
		words_add(w, "IFREV");
		words_add_int(w, room[0], 32, (int64_t)c->rev);
	}
	if (c->old_value != NULL) {
		words_add(w, "IFEQ");
		words_add(w, c->old_value);
	}
	if (c->ttl_ns > 0) {
		words_add(w, "PX");
		words_add_int(w, room[1], 32, c->ttl_ns / NUM_NS_PER_MS);
	}
	if (c->fence != NULL) {
		words_add(w, "FENCE");
		words_add(w, c->fence);
	}
}

static int
set(struct ctl *c, int argc, char *argv[])
{
	struct words w = { 0 };
	struct buf value = { 0 };
	char room[3][32];
	redisReply *r;
	int rc;

	if (argc < 1 || argc > 2)
		ctl_usage();
	words_add(&w, "SET");
	words_add(&w, argv[0]);
	if (argc == 2) {
		words_add(&w, argv[1]);
	} else {
		read_value(&value);
		words_add_bytes(&w, value.data == NULL ? (const void *)"" :
		    value.data, value.len);
	}
	add_terms(c, &w, room);
	r = ctl_write(c, &w);
	ctl_check(r);
	rc = r->type == REDIS_REPLY_STATUS ? EX_OK : EX_NO;
	freeReplyObject(r);
	buf_release(&value);
	return rc;
}

int
ctl_put(struct ctl *c, int argc, char *argv[])
{
	if (c->has_rev || c->old_value != NULL || c->absent)
		errx(EX_USAGE, "put asks for nothing; cas does");
	return set(c, argc, argv);
}

int
ctl_cas(struct ctl *c, int argc, char *argv[])
{
	if (c->has_rev + (c->old_value != NULL) + c->absent != 1)
		errx(EX_USAGE, "cas wants one of -r, -o and -a");
	return set(c, argc, argv);
}

/* 0 if one at least was there. */
int
ctl_del(struct ctl *c, int argc, char *argv[])
{
	bool terms = c->has_rev || c->old_value != NULL || c->fence != NULL;
	struct words w = { 0 };
	char room[3][32];
	redisReply *r;
	int i, rc;

	if (argc < 1 || (terms && argc != 1))
		ctl_usage();
	words_add(&w, terms ? "DELIF" : "DEL");
	for (i = 0; i < argc; i++)
		words_add(&w, argv[i]);
	add_terms(c, &w, room);
	r = ctl_write(c, &w);
	ctl_check(r);
	rc = r->type == REDIS_REPLY_INTEGER && r->integer > 0 ? EX_OK : EX_NO;
	freeReplyObject(r);
	return rc;
}

/* [key, value, revision] */
static void
print_key(const struct ctl *c, const redisReply *e)
{
	static struct buf b;
	struct json_object *o;

	if (c->json) {
		o = ctl_json();
		ctl_json_bytes(o, "key", e->element[0]);
		ctl_json_bytes(o, "value", e->element[1]);
		ctl_json_int(o, "rev", e->element[2]->integer);
		ctl_json_line(o);
		return;
	}
	b.len = 0;
	must(buf_put(&b, e->element[0]->str, e->element[0]->len));
	if (c->longer) {
		must(buf_printf(&b, "\t%lld\t", e->element[2]->integer));
		must(buf_put(&b, e->element[1]->str, e->element[1]->len));
	}
	ctl_record(c, &b);
}

/* One page of the list; false: that was the last. */
static bool
list_page(struct ctl *c, const char *prefix, char **after, size_t *after_len,
    bool *any)
{
	struct words w = { 0 };
	const redisReply *e;
	redisReply *r;
	bool more;
	size_t i;

	words_add(&w, "LIST");
	words_add(&w, prefix);
	words_add_bytes(&w, *after == NULL ? "" : *after, *after_len);
	r = ctl_read(c, &w);
	ctl_check(r);
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1)
		errx(EX_SOFTWARE, "unexpected answer");
	for (i = 1; i < r->elements; i++) {
		e = r->element[i];
		if (e->type != REDIS_REPLY_ARRAY || e->elements != 3)
			errx(EX_SOFTWARE, "unexpected answer");
		*any = true;
		print_key(c, e);
		*after_len = e->element[0]->len;
		free(*after);
		if ((*after = malloc(*after_len + 1)) == NULL)
			err(EX_OSERR, NULL);
		memcpy(*after, e->element[0]->str, *after_len + 1);
	}
	more = r->element[0]->integer == 1 && r->elements > 1;
	freeReplyObject(r);
	return more;
}

int
ctl_list(struct ctl *c, int argc, char *argv[])
{
	char *after = NULL;
	size_t after_len = 0;
	bool any = false, more;

	if (argc > 1)
		ctl_usage();
	do
		more = list_page(c, argc == 1 ? argv[0] : "", &after,
		    &after_len, &any);
	while (more);
	ctl_flush();
	free(after);
	return any ? EX_OK : EX_NO;
}
