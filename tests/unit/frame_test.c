/* frame: the five framings, in pieces of every size, and what they refuse. */

#include "frame.h"

#include "tap.h"

#define MAX	64

/*
 * Feed text in steps of `step` bytes; the records, each followed by '|', or
 * the errno at the end.
 */
static const char *
records(const struct frame *how, const char *text, size_t len, size_t step,
    size_t max)
{
	static char out[4096];
	struct frame_reader r;
	struct frame_record rec;
	size_t from = 0, to = 0, n = 0;
	int rc;

	frame_reader_init(&r, how, max);
	for (;;) {
		rc = frame_next(&r, (const unsigned char *)text + from,
		    to - from, to == len, &rec);
		if (rc == -1)
			return errno == EMSGSIZE ? "EMSGSIZE" :
			    errno == EBADMSG ? "EBADMSG" : "?";
		if (rc == 1) {
			memcpy(out + n, rec.data, rec.len);
			n += rec.len;
			out[n++] = '|';
			from += rec.used;
			continue;
		}
		if (to == len)
			break;
		to += step < len - to ? step : len - to;
	}
	out[n] = '\0';
	return out;
}

static void
test_reading(void)
{
	static const struct frame lines = { FRAME_DELIM, '\n' },
	    nul = { FRAME_DELIM, '\0' }, whole = { FRAME_WHOLE, 0 },
	    length = { FRAME_LENGTH, 0 };
	static const struct {
		const struct frame *how;
		const char *text;
		size_t len;
		const char *want;
	} cases[] = {
		{ &lines, "", 0, "" },
		{ &lines, "\n", 1, "|" },
		{ &lines, "a\n", 2, "a|" },
		{ &lines, "a", 1, "a|" },
		{ &lines, "a\nbc\n\nd", 7, "a|bc||d|" },
		{ &lines, "\n\n\n", 3, "|||" },
		{ &nul, "a\nb\0c", 5, "a\nb|c|" },
		{ &whole, "", 0, "|" },
		{ &whole, "a\nb", 3, "a\nb|" },
		{ &length, "", 0, "" },
		{ &length, "\0\0\0\0", 4, "|" },
		{ &length, "\0\0\0\2ab\0\0\0\1c", 11, "ab|c|" },
		{ &length, "\0\0\0\2a", 5, "EBADMSG" },
		{ &length, "\0\0", 2, "EBADMSG" },
		{ &length, "\0\0\0\1a\0\0\0", 8, "EBADMSG" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step <= cases[i].len + 1; step++)
			is_str(records(cases[i].how, cases[i].text,
			    cases[i].len, step, MAX), cases[i].want,
			    "reading: case %zu in steps of %zu", i, step);
}

static void
test_limit(void)
{
	static const struct frame lines = { FRAME_DELIM, '\n' },
	    whole = { FRAME_WHOLE, 0 }, length = { FRAME_LENGTH, 0 };

	for (size_t step = 1; step <= 6; step++) {
		is_str(records(&lines, "abc\nabc", 7, step, 3), "abc|abc|",
		    "limit: lines that just fit, step %zu", step);
		is_str(records(&lines, "abcd\n", 5, step, 3), "EMSGSIZE",
		    "limit: a line too long, step %zu", step);
		is_str(records(&lines, "abcd", 4, step, 3), "EMSGSIZE",
		    "limit: a last line too long, step %zu", step);
		is_str(records(&whole, "abc", 3, step, 3), "abc|",
		    "limit: the whole just fits, step %zu", step);
		is_str(records(&whole, "abcd", 4, step, 3), "EMSGSIZE",
		    "limit: the whole is too long, step %zu", step);
		is_str(records(&length, "\0\0\0\4", 4, step, 3), "EMSGSIZE",
		    "limit: a length too long is refused unseen, step %zu",
		    step);
	}
	is_str(records(&length, "\xff\xff\xff\xff", 4, 4, SIZE_MAX), "EBADMSG",
	    "limit: the largest length waits for its bytes");
}

static void
test_looked(void)
{
	struct frame how = FRAME_LINES;
	struct frame_reader r;
	struct frame_record rec;

	frame_reader_init(&r, &how, MAX);
	is_int(frame_next(&r, (const unsigned char *)"abc", 3, false, &rec), 0,
	    "looked: no delimiter yet");
	is_uint(r.looked, 3, "looked: the three bytes are not searched again");
	/* A delimiter there now would be a lie, and is not seen. */
	is_int(frame_next(&r, (const unsigned char *)"\nbc\n", 4, false, &rec),
	    1, "looked: the rest is searched");
	is_uint(rec.len, 3, "looked: the record");
	is_uint(rec.used, 4, "looked: with its delimiter");
}

static void
test_options(void)
{
	struct frame f = FRAME_LINES;

	ok(frame_option(&f, '0', NULL) == 0 && f.kind == FRAME_DELIM &&
	    f.delim == '\0', "options: -0");
	ok(frame_option(&f, 'd', "\\t") == 0 && f.kind == FRAME_DELIM &&
	    f.delim == '\t', "options: -d");
	ok(frame_option(&f, 'L', NULL) == 0 && f.kind == FRAME_LENGTH,
	    "options: -L");
	ok(frame_option(&f, 'w', NULL) == 0 && f.kind == FRAME_WHOLE,
	    "options: -w");
	is_err(frame_option(&f, 'd', "ab"), EINVAL, "options: two bytes");
	is_err(frame_option(&f, 'x', NULL), EINVAL, "options: another letter");
	ok(f.kind == FRAME_WHOLE, "options: nothing changes on failure");
}

static void
test_writing(void)
{
	static const char data[] = "a\nb";
	struct frame f = FRAME_LINES;
	struct buf out = { 0 };

	ok(frame_put(&f, &out, data, 3) == 0 && frame_put(&f, &out, "", 0) == 0,
	    "writing: lines");
	is_mem(out.data, out.len, "a\nb\n\n", 5, "writing: as they should be");
	out.len = 0;
	f.kind = FRAME_LENGTH;
	ok(frame_put(&f, &out, data, 3) == 0 &&
	    frame_put(&f, &out, NULL, 0) == 0, "writing: lengths");
	is_mem(out.data, out.len, "\0\0\0\3a\nb\0\0\0\0", 11,
	    "writing: as they should be");
	is_str(records(&f, (const char *)out.data, out.len, 1, MAX), "a\nb||",
	    "writing: read again");
	out.len = 0;
	f.kind = FRAME_WHOLE;
	ok(frame_put(&f, &out, data, 3) == 0, "writing: whole");
	is_mem(out.data, out.len, data, 3, "writing: nothing added");
#if SIZE_MAX > UINT32_MAX
	f.kind = FRAME_LENGTH;
	is_err(frame_put(&f, &out, data, (size_t)UINT32_MAX + 1), EMSGSIZE,
	    "writing: longer than 32 bits can say");
#endif
	buf_release(&out);
}

int
main(void)
{
	test_reading();
	test_limit();
	test_looked();
	test_options();
	test_writing();
	return tap_end();
}
