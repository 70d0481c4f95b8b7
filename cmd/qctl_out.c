/* qctl: what goes to stdout: records, lines, JSON. */

#include "qctl.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "buf.h"
#include "exits.h"
#include "msgjson.h"

#define OUT_FULL	262144		/* bytes gathered before a write */

static struct buf out;

static void
full(int rc)
{
	if (rc == -1)
		err(EX_OSERR, NULL);
	if (out.len >= OUT_FULL)
		flush_output();
}

void
flush_output(void)
{
	size_t done = 0;
	ssize_t n;

	if (fflush(stdout) == EOF)
		err(EX_IOERR, "stdout");
	for (; done < out.len; done += (size_t)n)
		if ((n = write(STDOUT_FILENO, out.data + done,
		    out.len - done)) == -1)
			err(EX_IOERR, "stdout");
	out.len = 0;
}

void
put_escaped(const void *data, size_t len)
{
	static const char names[] = "\t\n\r\\", letters[] = "tnr\\";
	const unsigned char *p = data;
	const char *name;

	if (p == NULL) {
		putchar('-');
		return;
	}
	for (; len > 0; len--, p++) {
		if (*p != '\0' && (name = strchr(names, *p)) != NULL)
			printf("\\%c", letters[name - names]);
		else if (*p < 0x20 || *p == 0x7f)
			printf("\\x%02x", *p);
		else
			putchar(*p);
	}
}

void
put_record(const struct options *o, const struct queue_message *m)
{
	full(frame_put(&o->frame, &out, m->payload, m->payload_len));
}

/* --- JSON -------------------------------------------------------------------- */

static struct json_object *
there(struct json_object *object)
{
	if (object == NULL)
		errx(EX_OSERR, "out of memory");
	return object;
}

struct json_object *
json_of(const struct queue *q, const struct queue_message *m)
{
	return there(msgjson_object(q, m));
}

struct json_object *
json_new(void)
{
	return there(json_object_new_object());
}

struct json_object *
json_list(void)
{
	return there(json_object_new_array());
}

void
json_append(struct json_object *list, struct json_object *value)
{
	if (json_object_array_add(list, there(value)) != 0)
		errx(EX_OSERR, "out of memory");
}

void
json_append_text(struct json_object *list, const char *text)
{
	json_append(list, json_object_new_string(text));
}

void
add_object(struct json_object *object, const char *name,
    struct json_object *value)
{
	if (json_object_object_add(object, name, there(value)) != 0)
		errx(EX_OSERR, "out of memory");
}

void
add_bytes(struct json_object *object, const char *name, const void *data,
    size_t len)
{
	if (msgjson_add_bytes(object, name, data, len) == -1)
		err(EX_OSERR, NULL);
}

void
add_text(struct json_object *object, const char *name, const char *text)
{
	add_object(object, name, json_object_new_string(text));
}

void
add_number(struct json_object *object, const char *name, int64_t v)
{
	add_object(object, name, json_object_new_int64(v));
}

void
add_bool(struct json_object *object, const char *name, bool v)
{
	add_object(object, name, json_object_new_boolean(v));
}

void
add_time(struct json_object *object, const char *name, int64_t ns)
{
	char text[MSGJSON_TIME_MAX];

	add_text(object, name, msgjson_time(ns, text));
}

void
put_json(struct json_object *object)
{
	full(msgjson_line(&out, object));
}
