/* link_frame: where messages end, however the bytes come. */

#include "link_frame.h"

#include "tap.h"

/* The lengths of all messages, as text, when fed step bytes at a time. */
static const char *
split(enum netctl_frame kind, const char *data, size_t len, size_t step)
{
	static char out[256];
	struct link_frame f = { 0 };
	size_t at = 0, have = 0;
	ssize_t r;

	out[0] = '\0';
	while (have < len) {
		have = len - have < step ? len : have + step;
		r = 0;
		while (at < have && (r = link_frame_next(kind, &f,
		    (const unsigned char *)data + at, have - at)) > 0) {
			(void)snprintf(out + strlen(out),
			    sizeof(out) - strlen(out), "%zd ", r);
			at += (size_t)r;
		}
		if (r == -1) {
			(void)strlcat(out, "bad", sizeof(out));
			break;
		}
	}
	return out;
}

#define FRAMES(kind, data, want) do {					\
	for (size_t step = 1; step <= sizeof(data); step++)		\
		is_str(split(kind, data, sizeof(data) - 1, step), want,	\
		    "%s by %zu", #data, step);				\
} while (0)

static void
test_frames(void)
{
	FRAMES(NETCTL_LINE, "a\n\nbc\nd", "2 1 3 ");
	FRAMES(NETCTL_U32BE, "\0\0\0\2ab\0\0\0\0\0\0", "6 4 ");
	FRAMES(NETCTL_U32LE, "\2\0\0\0ab\0\0\0\0\0\0", "6 4 ");
	FRAMES(NETCTL_U32BE, "\377\0\0\0abc", "bad");
	FRAMES(NETCTL_RESP, "+OK\r\n:1\r\n-ERR x\r\n", "5 4 8 ");
	FRAMES(NETCTL_RESP, "$3\r\nabc\r\n$-1\r\n$0\r\n\r\n", "9 5 6 ");
	FRAMES(NETCTL_RESP, "$4\r\n\r\n\n\n\r\n+OK\r\n", "10 5 ");
	FRAMES(NETCTL_RESP, "*2\r\n$1\r\na\r\n:2\r\n*0\r\n*-1\r\n", "15 4 5 ");
	FRAMES(NETCTL_RESP, "*1\r\n*1\r\n*1\r\n:1\r\nPING\r\n", "16 6 ");
	FRAMES(NETCTL_RESP, "%1\r\n+k\r\n+v\r\n|1\r\n+a\r\n+b\r\n:1\r\n",
	    "12 16 ");
	FRAMES(NETCTL_RESP, "$2\r\nabcd", "bad");
	FRAMES(NETCTL_RESP, "$x\r\n", "bad");
	FRAMES(NETCTL_RESP, "$9999999999\r\n", "bad");
}

static void
test_limits(void)
{
	static unsigned char big[LINK_FRAME_MAX + 1];
	struct link_frame f = { 0 };
	char deep[6 * (LINK_FRAME_DEPTH_MAX + 2)] = "";

	memset(big, 'x', sizeof(big));
	is_int(link_frame_next(NETCTL_LINE, &f, big, LINK_FRAME_MAX - 1), 0,
	    "a line that may still end");
	is_err(link_frame_next(NETCTL_LINE, &f, big, LINK_FRAME_MAX), EMSGSIZE,
	    "a line too long");
	for (size_t i = 0; i <= LINK_FRAME_DEPTH_MAX; i++)
		(void)strlcat(deep, "*1\r\n", sizeof(deep));
	f = (struct link_frame){ 0 };
	is_err(link_frame_next(NETCTL_RESP, &f, (unsigned char *)deep,
	    strlen(deep)), EBADMSG, "too deep");
	is_err(link_frame_next(NETCTL_RAW, &f, big, 1), EBADMSG, "no framing");
}

/* Whatever bit is flipped, it is one, and the message ends where it did. */
static void
corrupt(enum netctl_frame kind, const char *data, size_t len)
{
	unsigned char copy[64];
	struct link_frame f = { 0 };
	bool same_end = true, one_bit = true;
	int bits;

	for (uint64_t pick = 0; pick < 2000; pick++) {
		memcpy(copy, data, len);
		if (link_frame_corrupt(kind, copy, len,
		    pick * UINT64_C(0x9e3779b97f4a7c15)) == -1)
			continue;
		bits = 0;
		for (size_t i = 0; i < len; i++)
			bits += __builtin_popcount(
			    (unsigned char)(copy[i] ^ (unsigned char)data[i]));
		one_bit &= bits == 1;
		same_end &= link_frame_next(kind, &f, copy, len) ==
		    (ssize_t)len;
	}
	ok(one_bit, "%s: one bit", netctl_frame_name(kind));
	ok(same_end, "%s: the same length", netctl_frame_name(kind));
}

int
main(void)
{
	unsigned char empty[] = "\r\n";

	test_frames();
	test_limits();
	corrupt(NETCTL_LINE, "hello world\r\n", 13);
	/* Of these one bit makes a line end. */
	corrupt(NETCTL_LINE, "JM*-\013\014\016\017\010\032\212\n", 12);
	corrupt(NETCTL_U32BE, "\0\0\0\5hello", 9);
	corrupt(NETCTL_U32LE, "\5\0\0\0hello", 9);
	corrupt(NETCTL_RESP, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", 22);
	is_err(link_frame_corrupt(NETCTL_LINE, empty, 2, 1), ENOMSG,
	    "nothing to corrupt");
	return tap_end();
}
