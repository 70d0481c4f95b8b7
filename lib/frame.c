/*
 * frame: find the records of a stream, and write them.  A delimiter is looked
 * for once in every byte, however often the caller comes back with more.
 */

#include "frame.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "num.h"

int
frame_option(struct frame *f, int letter, const char *arg)
{
	unsigned char delim = '\0';

	switch (letter) {
	case '0':
		*f = (struct frame){ FRAME_DELIM, '\0' };
		return 0;
	case 'd':
		if (num_delim(arg, &delim) == -1)
			return -1;
		*f = (struct frame){ FRAME_DELIM, delim };
		return 0;
	case 'L':
		*f = (struct frame){ FRAME_LENGTH, 0 };
		return 0;
	case 'w':
		*f = (struct frame){ FRAME_WHOLE, 0 };
		return 0;
	default:
		errno = EINVAL;
		return -1;
	}
}

int
frame_put(const struct frame *f, struct buf *out, const void *data, size_t len)
{
	uint32_t head;

	if (f->kind == FRAME_LENGTH && len > UINT32_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (buf_reserve(out, len + FRAME_HEAD_LEN) == -1)
		return -1;
	if (f->kind == FRAME_LENGTH) {
		head = htobe32((uint32_t)len);
		memcpy(out->data + out->len, &head, sizeof(head));
		out->len += sizeof(head);
	}
	if (len > 0)
		memcpy(out->data + out->len, data, len);
	out->len += len;
	if (f->kind == FRAME_DELIM)
		out->data[out->len++] = f->delim;
	return 0;
}

void
frame_reader_init(struct frame_reader *r, const struct frame *how, size_t max)
{
	*r = (struct frame_reader){ .how = *how, .max = max };
}

static int
too_long(void)
{
	errno = EMSGSIZE;
	return -1;
}

static int
next_delim(struct frame_reader *r, const unsigned char *data, size_t len,
    bool eof, struct frame_record *rec)
{
	const unsigned char *end = NULL;

	if (len > r->looked)
		end = memchr(data + r->looked, r->how.delim, len - r->looked);
	if (end == NULL && (!eof || len == 0)) {
		r->looked = len;
		return len > r->max ? too_long() : 0;
	}
	rec->data = data;
	rec->len = end == NULL ? len : (size_t)(end - data);
	rec->used = end == NULL ? len : rec->len + 1;
	r->looked = 0;
	return rec->len > r->max ? too_long() : 1;
}

static int
next_length(struct frame_reader *r, const unsigned char *data, size_t len,
    bool eof, struct frame_record *rec)
{
	uint32_t head;

	if (len >= sizeof(head)) {
		memcpy(&head, data, sizeof(head));
		head = be32toh(head);
		if (head > r->max)
			return too_long();
		if (len - sizeof(head) >= head) {
			rec->data = data + sizeof(head);
			rec->len = head;
			rec->used = sizeof(head) + head;
			return 1;
		}
	}
	if (!eof || len == 0)
		return 0;
	errno = EBADMSG;
	return -1;
}

static int
next_whole(struct frame_reader *r, const unsigned char *data, size_t len,
    bool eof, struct frame_record *rec)
{
	if (len > r->max)
		return too_long();
	if (!eof || r->ended)
		return 0;
	r->ended = true;
	rec->data = data;
	rec->len = rec->used = len;
	return 1;
}

int
frame_next(struct frame_reader *r, const unsigned char *data, size_t len,
    bool eof, struct frame_record *rec)
{
	switch (r->how.kind) {
	case FRAME_LENGTH:
		return next_length(r, data, len, eof, rec);
	case FRAME_WHOLE:
		return next_whole(r, data, len, eof, rec);
	case FRAME_DELIM:
	default:
		return next_delim(r, data, len, eof, rec);
	}
}
