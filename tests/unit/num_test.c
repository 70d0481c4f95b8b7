/* num: what users may write, what they may not, and back. */

#include "num.h"

#include "tap.h"

static void
test_u64(void)
{
	static const char *const bad[] = { "", " 1", "1 ", "+1", "-1", "0x10",
	    "1.", "1e3", "a" };
	uint64_t v = 42;

	ok(num_u64("0", 0, 10, &v) == 0 && v == 0, "u64: zero");
	ok(num_u64("007", 0, 10, &v) == 0 && v == 7, "u64: leading zeros");
	ok(num_u64("18446744073709551615", 0, UINT64_MAX, &v) == 0 &&
	    v == UINT64_MAX, "u64: the largest");
	v = 42;
	is_err(num_u64("18446744073709551616", 0, UINT64_MAX, &v), ERANGE,
	    "u64: one more than the largest");
	is_err(num_u64("99999999999999999999999", 0, UINT64_MAX, &v), ERANGE,
	    "u64: far too large");
	is_err(num_u64("4", 5, 10, &v), ERANGE, "u64: below min");
	is_err(num_u64("11", 5, 10, &v), ERANGE, "u64: above max");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_err(num_u64(bad[i], 0, UINT64_MAX, &v), EINVAL,
		    "u64: '%s' is no number", bad[i]);
	is_uint(v, 42, "u64: nothing is stored on failure");
}

static void
test_duration(void)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "0", 0 },
		{ "1", INT64_C(1000000000) },
		{ "1s", INT64_C(1000000000) },
		{ "10us", 10000 },
		{ "250ms", 250000000 },
		{ "1.5s", INT64_C(1500000000) },
		{ ".5", 500000000 },
		{ "0.000000001", 1 },
		{ "0.0000000019", 1 },
		{ "1.5us", 1500 },
		{ "2m", INT64_C(120000000000) },
		{ "1h", INT64_C(3600000000000) },
		{ "10d", INT64_C(864000000000000) },
		{ "9223372036.854775807", INT64_MAX },
	};
	static const char *const bad[] = { "", "s", ".", "1 s", " 1", "1S",
	    "1ns", "-1", "+1", "1e3", "1.5.5", "1ss", "0x1" };
	int64_t ns = 42;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(num_duration(good[i].text, &ns) == 0 && ns == good[i].ns,
		    "duration: %s is %" PRId64 " ns", good[i].text, good[i].ns);
	ns = 42;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_err(num_duration(bad[i], &ns), EINVAL,
		    "duration: '%s' is none", bad[i]);
	is_err(num_duration("9223372036.854775808", &ns), ERANGE,
	    "duration: one nanosecond too long");
	is_err(num_duration("106752d", &ns), ERANGE, "duration: too many days");
	is_err(num_duration("99999999999999999999", &ns), ERANGE,
	    "duration: more digits than fit");
	is_int(ns, 42, "duration: nothing is stored on failure");
}

static void
test_size(void)
{
	uint64_t v = 0;

	ok(num_size("512", &v) == 0 && v == 512, "size: bare bytes");
	ok(num_size("16M", &v) == 0 && v == UINT64_C(16) << 20, "size: 16M");
	ok(num_size("1.5k", &v) == 0 && v == 1536, "size: 1.5k");
	ok(num_size("3G", &v) == 0 && v == UINT64_C(3) << 30, "size: 3G");
	is_err(num_size("1K", &v), EINVAL, "size: capital K is no unit");
	is_err(num_size("1kB", &v), EINVAL, "size: kB is no unit");
	is_err(num_size("8589934592G", &v), ERANGE, "size: over the limit");
}

static void
test_delim(void)
{
	static const struct {
		const char *text;
		unsigned char byte;
	} good[] = {
		{ ",", ',' }, { "\n", '\n' }, { "\\", '\\' }, { "0", '0' },
		{ "\\n", '\n' }, { "\\t", '\t' }, { "\\r", '\r' },
		{ "\\0", '\0' }, { "\\\\", '\\' }, { "\\a", '\a' },
		{ "\\x00", 0 }, { "\\xff", 255 }, { "\\x1E", 30 },
		{ "\\036", 30 }, { "\\377", 255 },
	};
	static const char *const bad[] = { "", "ab", "\\x", "\\xfg", "\\x123",
	    "\\400", "\\q", "\\nn" };
	unsigned char c = 'c';

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(num_delim(good[i].text, &c) == 0 && c == good[i].byte,
		    "delim: %s is byte %d", good[i].text[0] == '\n' ? "NL" :
		    good[i].text, good[i].byte);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_err(num_delim(bad[i], &c), EINVAL, "delim: '%s' is none",
		    bad[i]);
}

static void
test_format(void)
{
	char b[24];

	is_str(num_format_duration(0, b, sizeof(b)), "0s", "format: nothing");
	is_str(num_format_duration(-5, b, sizeof(b)), "0s", "format: past");
	is_str(num_format_duration(INT64_C(1500000000), b, sizeof(b)), "1.5s",
	    "format: 1.5s");
	is_str(num_format_duration(320000000, b, sizeof(b)), "320ms",
	    "format: 320ms");
	is_str(num_format_duration(INT64_C(172800000000000), b, sizeof(b)),
	    "2d", "format: 2d");
	ok(strlen(num_format_duration(INT64_MAX, b, sizeof(b))) < sizeof(b),
	    "format: the longest fits: %s", b);
	is_str(num_format_size(0, b, sizeof(b)), "0", "format: 0 bytes");
	is_str(num_format_size(512, b, sizeof(b)), "512", "format: 512");
	is_str(num_format_size(1536, b, sizeof(b)), "1.5k", "format: 1.5k");
	is_str(num_format_size(UINT64_C(20) << 20, b, sizeof(b)), "20M",
	    "format: 20M");
	ok(strlen(num_format_size(UINT64_MAX, b, sizeof(b))) < sizeof(b),
	    "format: the largest fits: %s", b);
}

int
main(void)
{
	test_u64();
	test_duration();
	test_size();
	test_delim();
	test_format();
	return tap_end();
}
