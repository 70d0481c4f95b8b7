/* resp: requests and replies, whole, cut anywhere, and broken. */

#include "resp.h"

#include "tap.h"

static struct resp_request r;
static unsigned char in[1 << 17];

static int
feed(const char *text, size_t len)
{
	memcpy(in, text, len);
	return resp_read(in, len, 1024, &r);
}

static bool
arg_is(size_t i, const char *want)
{
	return i < r.argc && r.argv[i].len == strlen(want) &&
	    memcmp(r.argv[i].data, want, strlen(want)) == 0;
}

static void
test_array(void)
{
	static const char get[] = "*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\nPING\r\n";
	size_t whole = sizeof(get) - 1 - 6, n;
	bool less = true;

	for (n = 0; n < whole; n++)
		less = less && feed(get, n) == 0;
	ok(less, "array: cut anywhere, more is wanted");
	is_int(feed(get, sizeof(get) - 1), 1, "array: whole");
	is_uint(r.used, whole, "array: what follows is left");
	ok(r.argc == 2 && arg_is(0, "GET") && arg_is(1, "a\r\nb"),
	    "array: arguments hold any bytes");
	is_int(feed("*0\r\n", 4), 1, "array: of nothing");
	is_uint(r.argc, 0, "array: has no arguments");
	is_int(feed("*-1\r\n", 5), 1, "array: nil asks nothing");
	is_uint(r.argc, 0, "array: nil has no arguments");
}

static void
test_broken(void)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "*x\r\n", "invalid multibulk length" },
		{ "*\r\n", "invalid multibulk length" },
		{ "*1025\r\n", "too many arguments" },
		{ "*99999999999999999999\r\n", "invalid multibulk length" },
		{ "*1\r\nGET\r\n", "expected '$'" },
		{ "*1\r\n$-1\r\n", "invalid bulk length" },
		{ "*1\r\n$1025\r\n", "invalid bulk length" },
		{ "*1\r\n$3\r\nGETxx", "expected CRLF behind a bulk string" },
		{ "*1\rx", "invalid multibulk length" },
		{ "get \"a\n", "unbalanced quotes in request" },
		{ "get \"a\"b\n", "unbalanced quotes in request" },
		{ "*111111111111111111111111111111111111111111",
		    "invalid multibulk length" },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		is_err(feed(bad[i].text, strlen(bad[i].text)), EBADMSG,
		    "broken: %s", bad[i].text);
		is_str(r.why, bad[i].why, "broken: and why");
	}
	memset(in, 'x', RESP_INLINE_MAX);
	is_int(resp_read(in, RESP_INLINE_MAX - 1, 1024, &r), 0,
	    "inline: a long line may still end");
	is_err(resp_read(in, RESP_INLINE_MAX, 1024, &r), EBADMSG,
	    "inline: a line that is too long");
}

static void
test_inline(void)
{
	static const char quoted[] = "a \"x\\x41\\n\\\" y\" 'it\\'s' \"\"\n";

	is_int(feed("get key", 7), 0, "inline: no newline yet");
	is_int(feed("  set  k v\r\nx", 13), 1, "inline: words");
	ok(r.argc == 3 && arg_is(0, "set") && arg_is(1, "k") &&
	    arg_is(2, "v") && r.used == 12, "inline: blanks and CR are cut");
	is_int(feed("\r\n", 2), 1, "inline: an empty line");
	is_uint(r.argc, 0, "inline: asks nothing");
	is_int(feed(quoted, sizeof(quoted) - 1), 1,
	    "inline: quotes");
	ok(r.argc == 4 && arg_is(1, "xA\n\" y") && arg_is(2, "it's") &&
	    arg_is(3, ""), "inline: are undone");
}

static void
test_frame(void)
{
	static const char two[] = "*3\r\n:1\r\n$-1\r\n*2\r\n+a\r\n$2\r\n\r\n\r\n:7\r\n";
	const unsigned char *p = (const unsigned char *)two;
	size_t used = 0, n, first = sizeof(two) - 1 - 4;
	bool less = true;

	for (n = 0; n < first; n++)
		less = less && resp_frame(p, n, &used) == 0;
	ok(less, "frame: cut anywhere, more is wanted");
	is_int(resp_frame(p, sizeof(two) - 1, &used), 1, "frame: whole");
	is_uint(used, first, "frame: only the first");
	is_err(resp_frame((const unsigned char *)"?\r\n", 3, &used), EBADMSG,
	    "frame: no such type");
	is_err(resp_frame((const unsigned char *)"*9999999999\r\n", 13, &used),
	    EBADMSG, "frame: absurd");
}

static void
test_write(void)
{
	struct buf b = { 0 };
	static const char want[] = "*2\r\n:-9223372036854775808\r\n$2\r\na\n\r\n$-1\r\n";

	(void)resp_array(&b, 2);
	(void)resp_int(&b, INT64_MIN);
	(void)resp_bulk(&b, "a\n", 2);
	(void)resp_nil(&b);
	is_mem(b.data, b.len, want, sizeof(want) - 1, "write: all kinds");
	buf_release(&b);
}

int
main(void)
{
	test_array();
	test_broken();
	test_inline();
	test_frame();
	test_write();
	return tap_end();
}
