/* qpush_record: from a record of the input to a message; see qpush(1). */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "exits.h"
#include "num.h"
#include "qpush.h"

/* A byte may take six as JSON, and the rest of the object has its bounds. */
#define JSON_FACTOR	6U
#define JSON_REST	(2U * JSON_FACTOR * QUEUE_KEY_MAX + 65536U)

size_t
maker_record_max(const struct maker *m)
{
	uint64_t max = m->max_message;

	if (m->o->json) {
		max = max * JSON_FACTOR + JSON_REST;
		if (max > INT_MAX)
			max = INT_MAX;
	} else if (m->o->key_delim != NULL) {
		max += QUEUE_KEY_MAX + m->o->key_delim_len;
	}
	return max;
}

/* Field number N as cut(1) or, between blanks, awk(1) counts: 1, 0 absent. */
static int
field_find(const struct field *f, const unsigned char *p, size_t len,
    const unsigned char **at, size_t *at_len)
{
	const unsigned char *end = p + len, *stop;

	for (uint64_t n = 1;; n++) {
		if (f->blanks) {
			while (p < end && (*p == ' ' || *p == '\t'))
				p++;
			if (p == end)
				return 0;
			for (stop = p; stop < end && *stop != ' ' &&
			    *stop != '\t';)
				stop++;
		} else {
			stop = memchr(p, f->sep, (size_t)(end - p));
			if (stop == NULL)
				stop = end;
		}
		if (n == f->number) {
			*at = p;
			*at_len = (size_t)(stop - p);
			return 1;
		}
		if (stop == end)
			return 0;
		p = f->blanks ? stop : stop + 1;
	}
}

static int
field_take(const struct maker *m, const struct field *field,
    const struct queue_message *msg, const void **out, size_t *out_len,
    struct failure *f)
{
	const unsigned char *at;

	if (!field_find(field, msg->payload, msg->payload_len, &at, out_len))
		return fail(f, EX_DATAERR, "record %" PRIu64 ": there is no "
		    "field %" PRIu64, m->records + 1, field->number);
	*out = at;
	return 0;
}

static void
split_key(const struct options *o, struct queue_message *msg)
{
	const unsigned char *p = msg->payload, *at;

	at = memmem(p, msg->payload_len, o->key_delim, o->key_delim_len);
	if (at == NULL)
		return;			/* no key */
	msg->key = p;
	msg->key_len = (size_t)(at - p);
	msg->payload = at + o->key_delim_len;
	msg->payload_len -= msg->key_len + o->key_delim_len;
}

static int
check_name(const struct maker *m, const char *what, const void *name,
    size_t len, struct failure *f)
{
	if (name == NULL)
		return 0;
	if (len > QUEUE_KEY_MAX)
		return fail(f, EX_DATAERR, "record %" PRIu64 ": the %s is "
		    "longer than 64k", m->records + 1, what);
	if (len > 0 && memchr(name, '\0', len) != NULL)
		return fail(f, EX_DATAERR, "record %" PRIu64 ": there is a NUL "
		    "in the %s", m->records + 1, what);
	return 0;
}

static int
from_json(struct maker *m, struct queue_message *msg, const void *data,
    size_t len, struct failure *f)
{
	const char *why;

	if (msgjson_get(&m->json, data, len, msg, &why) == -1) {
		if (errno == EILSEQ)
			return fail(f, EX_DATAERR, "record %" PRIu64 ": not "
			    "a message in JSON: %s", m->records + 1, why);
		return fail_errno(f, "JSON", errno);
	}
	/* Nobody pushed it in the future, or before there were clocks. */
	if (msg->ts_ns < 0 || msg->ts_ns > m->now_ns)
		msg->ts_ns = m->now_ns;
	if (msg->due_ns <= m->now_ns)
		msg->due_ns = 0;
	return 0;
}

static int
from_record(const struct maker *m, struct queue_message *msg,
    const void *data, size_t len, struct failure *f)
{
	const struct options *o = m->o;

	msg->payload = data;
	msg->payload_len = len;
	if (o->key_field.number != 0 && field_take(m, &o->key_field, msg,
	    &msg->key, &msg->key_len, f) == -1)
		return -1;
	if (o->id_field.number != 0 && field_take(m, &o->id_field, msg,
	    &msg->id, &msg->id_len, f) == -1)
		return -1;
	if (o->key_delim != NULL)
		split_key(o, msg);
	if (o->key != NULL) {
		msg->key = o->key;
		msg->key_len = strlen(o->key);
	}
	if (o->id != NULL) {
		if (m->records > 0)
			return fail(f, EX_DATAERR, "record %" PRIu64 ": -i is "
			    "for one message only", m->records + 1);
		msg->id = o->id;
		msg->id_len = strlen(o->id);
	}
	if (o->delay_ns > 0 &&
	    __builtin_add_overflow(m->now_ns, o->delay_ns, &msg->due_ns))
		msg->due_ns = INT64_MAX;
	return 0;
}

int
maker_add(struct maker *m, struct queue_batch *b, const void *data,
    size_t len, struct failure *f)
{
	struct queue_message msg = { .ts_ns = m->now_ns };
	char size[24];

	if (m->o->json) {
		if (from_json(m, &msg, data, len, f) == -1)
			return -1;
	} else if (from_record(m, &msg, data, len, f) == -1) {
		return -1;
	}
	if (check_name(m, "key", msg.key, msg.key_len, f) == -1 ||
	    check_name(m, "id", msg.id, msg.id_len, f) == -1)
		return -1;
	if (msg.payload_len > m->max_message)
		return fail(f, EX_DATAERR, "record %" PRIu64 ": longer than "
		    "max-message (%s)", m->records + 1,
		    num_format_size(m->max_message, size, sizeof(size)));
	if (queue_batch_add(b, &msg) == -1)
		return fail_errno(f, "batch", errno);
	m->records++;
	return 0;
}
