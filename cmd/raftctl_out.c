/* raftctl_out: records as the options of framing want them, or as JSON. */

#include <err.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "exits.h"
#include "msgjson.h"
#include "raftctl.h"

static void
write_out(const struct buf *b)
{
	if (b->len > 0 && fwrite(b->data, 1, b->len, stdout) != b->len)
		ctl_stdout_failed();
}

void
ctl_record(const struct ctl *c, const struct buf *record)
{
	static struct buf b;

	b.len = 0;
	if (frame_put(&c->how, &b, record->data, record->len) == -1)
		err(EX_OSERR, NULL);
	write_out(&b);
}

void
ctl_flush(void)
{
	if (fflush(stdout) == EOF)
		ctl_stdout_failed();
}

static void
must(int rc)
{
	if (rc != 0)
		err(EX_OSERR, NULL);
}

struct json_object *
ctl_json(void)
{
	struct json_object *o = json_object_new_object();

	must(o == NULL);
	return o;
}

void
ctl_json_int(struct json_object *o, const char *name, int64_t v)
{
	must(json_object_object_add(o, name, json_object_new_int64(v)));
}

void
ctl_json_bytes(struct json_object *o, const char *name, const redisReply *r)
{
	must(msgjson_add_bytes(o, name, r->str, r->len));
}

void
ctl_json_text(struct json_object *o, const char *name, const char *text)
{
	must(msgjson_add_bytes(o, name, text, strlen(text)));
}

void
ctl_json_line(struct json_object *o)
{
	static struct buf b;

	b.len = 0;
	must(msgjson_line(&b, o));
	write_out(&b);
}
