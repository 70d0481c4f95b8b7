/*
 * msgjson: messages to JSON and back.  json-c escapes and parses, resolv.h
 * knows base64; what is ours is only which bytes are text.
 */

#include "msgjson.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "num.h"

#define NAME_MAX_LEN	64U

/*
 * Well-formed as Unicode has it: no overlong forms, no surrogates, nothing
 * beyond U+10FFFF.
 */
bool
msgjson_utf8(const void *data, size_t len)
{
	const unsigned char *p = data, *end = p + len;

	while (p < end) {
		unsigned char c = *p++, low = 0x80, high = 0xbf;
		int more;

		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c <= 0xdf) {
			more = 1;
		} else if ((c & 0xf0) == 0xe0) {
			more = 2;
			if (c == 0xe0)
				low = 0xa0;
			else if (c == 0xed)
				high = 0x9f;
		} else if (c >= 0xf0 && c <= 0xf4) {
			more = 3;
			if (c == 0xf0)
				low = 0x90;
			else if (c == 0xf4)
				high = 0x8f;
		} else {
			return false;
		}
		for (; more > 0; more--, low = 0x80, high = 0xbf)
			if (p == end || *p < low || *p++ > high)
				return false;
	}
	return true;
}

char *
msgjson_time(int64_t ns, char buf[MSGJSON_TIME_MAX])
{
	int64_t frac = ns % NUM_NS_PER_S;
	time_t secs = (time_t)(ns / NUM_NS_PER_S);
	struct tm tm;
	size_t n;

	if (frac < 0) {
		frac += NUM_NS_PER_S;
		secs--;
	}
	if (gmtime_r(&secs, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	n = strftime(buf, MSGJSON_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, MSGJSON_TIME_MAX - n, ".%09" PRId64 "Z", frac);
	return buf;
}

/* --- writing --------------------------------------------------------------- */

/* Takes value, which may be NULL. */
static int
add(struct json_object *object, const char *name, struct json_object *value)
{
	if (value == NULL || json_object_object_add(object, name, value) != 0) {
		json_object_put(value);
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

int
msgjson_add_bytes(struct json_object *object, const char *name,
    const void *data, size_t len)
{
	char b64_name[NAME_MAX_LEN], *text;
	size_t size = (len + 2) / 3 * 4 + 1;
	int n, rc;

	if (len > INT_MAX / 2) {
		errno = ENOMEM;
		return -1;
	}
	if (len == 0)
		data = "";
	if (msgjson_utf8(data, len))
		return add(object, name, json_object_new_string_len(data,
		    (int)len));
	snprintf(b64_name, sizeof(b64_name), "%s_b64", name);
	if ((text = malloc(size)) == NULL)
		return -1;
	n = b64_ntop(data, len, text, size);
	rc = add(object, b64_name, n < 0 ? NULL :
	    json_object_new_string_len(text, n));
	free(text);
	return rc;
}

static int
add_time(struct json_object *object, const char *name, int64_t ns)
{
	char text[MSGJSON_TIME_MAX];

	return add(object, name,
	    json_object_new_string(msgjson_time(ns, text)));
}

static int
fill(struct json_object *object, const struct queue *q,
    const struct queue_message *m)
{
	char id[QUEUE_ID_MAX];

	if (add(object, "seq", json_object_new_uint64(m->seq)) == -1 ||
	    add_time(object, "ts", m->ts_ns) == -1)
		return -1;
	if (m->due_ns != 0 && add_time(object, "due", m->due_ns) == -1)
		return -1;
	if (m->key != NULL &&
	    msgjson_add_bytes(object, "key", m->key, m->key_len) == -1)
		return -1;
	if (m->id != NULL) {
		if (msgjson_add_bytes(object, "id", m->id, m->id_len) == -1)
			return -1;
	} else {
		queue_default_id(q, m, id);
		if (add(object, "id", json_object_new_string(id)) == -1)
			return -1;
	}
	if (add(object, "attempt", json_object_new_uint64(m->attempt)) == -1)
		return -1;
	return msgjson_add_bytes(object, "payload", m->payload, m->payload_len);
}

struct json_object *
msgjson_object(const struct queue *q, const struct queue_message *m)
{
	struct json_object *object = json_object_new_object();

	if (object == NULL || fill(object, q, m) == -1) {
		json_object_put(object);
		errno = ENOMEM;
		return NULL;
	}
	return object;
}

int
msgjson_line(struct buf *out, struct json_object *object)
{
	const char *text = NULL;
	size_t len = 0;
	int rc = -1;

	if (object != NULL)
		text = json_object_to_json_string_length(object,
		    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
		    &len);
	if (text == NULL)
		errno = ENOMEM;
	else if (buf_reserve(out, len + 1) == 0) {
		memcpy(out->data + out->len, text, len);
		out->len += len;
		out->data[out->len++] = '\n';
		rc = 0;
	}
	json_object_put(object);
	return rc;
}

int
msgjson_put(struct buf *out, const struct queue *q,
    const struct queue_message *m)
{
	return msgjson_line(out, msgjson_object(q, m));
}

/* --- reading --------------------------------------------------------------- */

void
msgjson_release(struct msgjson *j)
{
	if (j->tok != NULL)
		json_tokener_free(j->tok);
	json_object_put(j->object);
	for (size_t i = 0; i < sizeof(j->decoded) / sizeof(j->decoded[0]); i++)
		buf_release(&j->decoded[i]);
	memset(j, 0, sizeof(*j));
}

static int
wrong(const char **why, const char *text)
{
	*why = text;
	errno = EILSEQ;
	return -1;
}

static int
parse(struct msgjson *j, const char *text, size_t len, const char **why)
{
	enum json_tokener_error rc;

	if (len > INT_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (j->tok == NULL) {
		if ((j->tok = json_tokener_new()) == NULL) {
			errno = ENOMEM;
			return -1;
		}
		json_tokener_set_flags(j->tok, JSON_TOKENER_STRICT |
		    JSON_TOKENER_VALIDATE_UTF8);
	}
	json_tokener_reset(j->tok);
	json_object_put(j->object);
	j->object = json_tokener_parse_ex(j->tok, text, (int)len);
	rc = json_tokener_get_error(j->tok);
	if (rc == json_tokener_continue)
		return wrong(why, "it ends in the middle");
	if (rc != json_tokener_success)
		return wrong(why, json_tokener_error_desc(rc));
	for (size_t at = json_tokener_get_parse_end(j->tok); at < len; at++)
		if (strchr(" \t\r", text[at]) == NULL || text[at] == '\0')
			return wrong(why, "something follows the object");
	if (!json_object_is_type(j->object, json_type_object))
		return wrong(why, "it is not an object");
	return 0;
}

/* The bytes of NAME or NAME_b64: 1, 0 if neither is there, -1. */
static int
get_bytes(struct json_object *object, const char *name, struct buf *decoded,
    const void **data, size_t *len, const char **why)
{
	char b64_name[NAME_MAX_LEN];
	struct json_object *plain, *b64;
	int n;

	snprintf(b64_name, sizeof(b64_name), "%s_b64", name);
	plain = json_object_object_get(object, name);
	b64 = json_object_object_get(object, b64_name);
	if (plain == NULL && b64 == NULL)
		return 0;
	if (plain != NULL && b64 != NULL)
		return wrong(why, "a member is there plain and as _b64");
	if (!json_object_is_type(plain != NULL ? plain : b64,
	    json_type_string))
		return wrong(why, "payload, key and id must be strings");
	if (plain != NULL) {
		*data = json_object_get_string(plain);
		*len = (size_t)json_object_get_string_len(plain);
		return 1;
	}
	*len = (size_t)json_object_get_string_len(b64);
	decoded->len = 0;
	/* A few bytes more: it wants room for a whole group at the end. */
	if (buf_reserve(decoded, *len / 4 * 3 + 8) == -1)
		return -1;
	n = b64_pton(json_object_get_string(b64), decoded->data,
	    decoded->cap);
	if (n < 0)
		return wrong(why, "a _b64 is not base64");
	*data = decoded->data;
	*len = (size_t)n;
	return 1;
}

static int
read_time(const char *text, int64_t *ns)
{
	int64_t secs, frac = 0, digit = NUM_NS_PER_S / 10, east;
	struct tm tm = { 0 };
	const char *p;

	if ((p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) == NULL)
		return -1;
	if (*p == '.') {
		if (*++p < '0' || *p > '9')
			return -1;
		for (; *p >= '0' && *p <= '9'; p++, digit /= 10)
			frac += (*p - '0') * digit;
	}
	/* "Z" or "+hh:mm", and nothing behind it. */
	if (*p == ' ' || (p = strptime(p, "%z", &tm)) == NULL || *p != '\0')
		return -1;
	east = tm.tm_gmtoff;		/* timegm() forgets it */
	secs = (int64_t)timegm(&tm) - east;
	if (__builtin_mul_overflow(secs, NUM_NS_PER_S, ns) ||
	    __builtin_add_overflow(*ns, frac, ns))
		return -1;
	return 0;
}

static int
get_time(struct json_object *object, const char *name, int64_t *ns,
    const char **why)
{
	struct json_object *value = json_object_object_get(object, name);

	*ns = 0;
	if (value == NULL)
		return 0;
	if (!json_object_is_type(value, json_type_string) ||
	    read_time(json_object_get_string(value), ns) == -1)
		return wrong(why, "ts and due must be times of RFC 3339");
	return 0;
}

int
msgjson_get(struct msgjson *j, const void *text, size_t len,
    struct queue_message *m, const char **why)
{
	int rc;

	*m = (struct queue_message){ 0 };
	*why = "out of memory";
	if (parse(j, text, len, why) == -1)
		return -1;
	rc = get_bytes(j->object, "payload", &j->decoded[0], &m->payload,
	    &m->payload_len, why);
	if (rc == 0)
		return wrong(why, "it has no payload");
	if (rc == -1 ||
	    get_bytes(j->object, "key", &j->decoded[1], &m->key, &m->key_len,
	    why) == -1 ||
	    get_bytes(j->object, "id", &j->decoded[2], &m->id, &m->id_len,
	    why) == -1 ||
	    get_time(j->object, "ts", &m->ts_ns, why) == -1)
		return -1;
	return get_time(j->object, "due", &m->due_ns, why);
}
