/*
 * qpop_form: a message as the bytes that are printed.
 *
 * A format of -o becomes a small program: 0x00 and a byte is that byte, any
 * other code is the letter of its token.
 */

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <json-c/json.h>

#include "msgjson.h"
#include "num.h"
#include "qpop.h"

#define TOKENS	"sSRkKTthpoia"

static int
literal(struct form *f, unsigned char c)
{
	return buf_put_byte(&f->code, '\0') == -1 ||
	    buf_put_byte(&f->code, c) == -1 ? -1 : 0;
}

/* What follows a backslash; returns how many bytes it is, 0 for nonsense. */
static size_t
escape(const char *p, unsigned char *c)
{
	char text[5] = "\\";
	size_t len = *p == 'x' ? 3 : 1;

	if (strlen(p) < len)
		return 0;
	memcpy(text + 1, p, len);
	text[1 + len] = '\0';
	return num_delim(text, c) == -1 ? 0 : len;
}

static int
compile(struct form *f, const char *p, const char **why)
{
	unsigned char c;
	size_t len;

	for (; *p != '\0'; p++) {
		c = (unsigned char)*p;
		if (c == '%') {
			if (*++p == '\0' || strchr(TOKENS "%", *p) == NULL) {
				*why = "after % stands none of " TOKENS "%";
				return -1;
			}
			if (*p != '%') {
				if (buf_put_byte(&f->code,
				    (unsigned char)*p) == -1)
					return -1;
				continue;
			}
		} else if (c == '\\') {
			if ((len = escape(p + 1, &c)) == 0) {
				*why = "after \\ stands none of n t r 0 \\ a "
				    "xHH";
				return -1;
			}
			p += len;
		}
		if (literal(f, c) == -1)
			return -1;
	}
	return 0;
}

int
form_init(struct form *f, const struct options *o, const struct queue *q,
    const char **why)
{
	*f = (struct form){ .o = o, .q = q };
	*why = "out of memory";
	return o->format == NULL ? 0 : compile(f, o->format, why);
}

void
form_release(struct form *f)
{
	buf_release(&f->code);
}

static int
put_id(const struct form *f, struct buf *out, const struct queue_message *m)
{
	char id[QUEUE_ID_MAX];

	if (m->id != NULL)
		return buf_put(out, m->id, m->id_len);
	queue_default_id(f->q, m, id);
	return buf_put_str(out, id);
}

static int
put_length(struct buf *out, size_t len)
{
	uint32_t head;

	if (len > UINT32_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	head = htobe32((uint32_t)len);
	return buf_put(out, &head, sizeof(head));
}

static int
put_token(const struct form *f, struct buf *out,
    const struct queue_message *m, unsigned char token)
{
	switch (token) {
	case 's':
		return buf_put(out, m->payload, m->payload_len);
	case 'S':
		return buf_printf(out, "%zu", m->payload_len);
	case 'R':
		return put_length(out, m->payload_len);
	case 'k':
		return m->key == NULL ? 0 : buf_put(out, m->key, m->key_len);
	case 'K':
		return m->key == NULL ? buf_put_str(out, "-1") :
		    buf_printf(out, "%zu", m->key_len);
	case 'T':
		return buf_printf(out, "%" PRId64, m->ts_ns / NUM_NS_PER_MS);
	case 't':
		return buf_put_str(out, f->o->path);
	case 'h':
		return 0;		/* there are no headers */
	case 'p':
		return buf_printf(out, "%u", f->o->part);
	case 'o':
		return buf_printf(out, "%" PRIu64, m->seq);
	case 'i':
		return put_id(f, out, m);
	case 'a':
		return buf_printf(out, "%" PRIu32, m->attempt);
	default:
		errno = EINVAL;
		return -1;
	}
}

static int
put_format(const struct form *f, struct buf *out,
    const struct queue_message *m)
{
	int rc = 0;

	for (size_t i = 0; i < f->code.len && rc == 0; i++) {
		if (f->code.data[i] != '\0')
			rc = put_token(f, out, m, f->code.data[i]);
		else
			rc = buf_put_byte(out, f->code.data[++i]);
	}
	return rc;
}

static int
put_json(const struct form *f, struct buf *out, const char *receipt,
    const struct queue_message *m)
{
	struct json_object *object = msgjson_object(f->q, m);

	if (object != NULL && receipt[0] != '\0' &&
	    msgjson_add_bytes(object, "receipt", receipt,
	    strlen(receipt)) == -1) {
		json_object_put(object);
		return -1;
	}
	return msgjson_line(out, object);
}

/* "receipt TAB message", framed as one record. */
static int
put_receipt(const struct form *f, struct buf *out, const char *receipt,
    const struct queue_message *m)
{
	if (f->o->frame.kind == FRAME_LENGTH &&
	    put_length(out, strlen(receipt) + 1 + m->payload_len) == -1)
		return -1;
	if (buf_put_str(out, receipt) == -1 || buf_put_byte(out, '\t') == -1)
		return -1;
	if (f->o->format != NULL)
		return put_format(f, out, m);
	if (buf_put(out, m->payload, m->payload_len) == -1)
		return -1;
	return f->o->frame.kind == FRAME_DELIM ?
	    buf_put_byte(out, f->o->frame.delim) : 0;
}

int
form_put(const struct form *f, struct buf *out, const struct queue_claim *c,
    const struct queue_message *m)
{
	char receipt[QUEUE_RECEIPT_MAX] = "";

	if (f->o->lease_ns > 0)
		queue_receipt(f->q, c, m, receipt);
	if (f->o->json)
		return put_json(f, out, receipt, m);
	if (receipt[0] != '\0')
		return put_receipt(f, out, receipt, m);
	if (f->o->format != NULL)
		return put_format(f, out, m);
	return frame_put(&f->o->frame, out, m->payload, m->payload_len);
}
