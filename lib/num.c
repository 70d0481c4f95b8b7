/* num: parse and print numbers with units; no floating point, no locale. */

#include "num.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;	/* a product of two uint64_t */

struct unit {
	const char *name;
	uint64_t scale;
};

static const struct unit duration_units[] = {
	{ "us", UINT64_C(1000) },
	{ "ms", UINT64_C(1000000) },
	{ "s", UINT64_C(1000000000) },
	{ "", UINT64_C(1000000000) },
	{ "m", UINT64_C(60000000000) },
	{ "h", UINT64_C(3600000000000) },
	{ "d", UINT64_C(86400000000000) },
	{ NULL, 0 },
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "k", UINT64_C(1) << 10 },
	{ "M", UINT64_C(1) << 20 },
	{ "G", UINT64_C(1) << 30 },
	{ NULL, 0 },
};

int
num_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (*text == '\0') {
		errno = EINVAL;
		return -1;
	}
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9') {
			errno = EINVAL;
			return -1;
		}
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v)) {
			errno = ERANGE;
			return -1;
		}
	}
	if (v < min || v > max) {
		errno = ERANGE;
		return -1;
	}
	*out = v;
	return 0;
}

/* DIGITS[.DIGITS]UNIT as a whole number of the smallest unit, rounded down. */
static int
scaled(const char *text, const struct unit *units, uint64_t *out)
{
	uint64_t whole = 0, frac = 0, frac_div = 1, v;
	bool digits = false;

	for (; isdigit((unsigned char)*text); text++, digits = true)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*text - '0'),
		    &whole))
			goto range;
	if (*text == '.') {
		for (text++; isdigit((unsigned char)*text); text++) {
			digits = true;
			if (frac_div >= UINT64_C(1000000000))
				continue;	/* below a nanosecond */
			frac = frac * 10 + (uint64_t)(*text - '0');
			frac_div *= 10;
		}
	}
	if (!digits) {
		errno = EINVAL;
		return -1;
	}
	for (; units->name != NULL && strcmp(units->name, text) != 0; units++)
		;
	if (units->name == NULL) {
		errno = EINVAL;
		return -1;
	}
	if (__builtin_mul_overflow(whole, units->scale, &v))
		goto range;
	/* frac < frac_div <= 1e9 and scale < 2^47: use 128 bits. */
	frac = (uint64_t)((wide)frac * units->scale / frac_div);
	if (__builtin_add_overflow(v, frac, &v) || v > INT64_MAX)
		goto range;
	*out = v;
	return 0;
range:
	errno = ERANGE;
	return -1;
}

int
num_duration(const char *text, int64_t *ns)
{
	uint64_t v;

	if (scaled(text, duration_units, &v) == -1)
		return -1;
	*ns = (int64_t)v;
	return 0;
}

int
num_size(const char *text, uint64_t *bytes)
{
	return scaled(text, size_units, bytes);
}

/* A byte from at most `most` digits, which end the text. */
static int
byte_of(const char *digits, int base, size_t most, unsigned char *out)
{
	size_t len = strlen(digits);
	unsigned long v;
	char *end;

	if (len == 0 || len > most || digits[0] == '-' || digits[0] == '+' ||
	    digits[0] == ' ')
		return -1;
	v = strtoul(digits, &end, base);
	if (*end != '\0' || v > 255)
		return -1;
	*out = (unsigned char)v;
	return 0;
}

int
num_delim(const char *text, unsigned char *out)
{
	static const char names[] = "ntr0\\a", bytes[] = "\n\t\r\0\\\a";
	const char *p;

	if (text[0] != '\0' && text[1] == '\0') {
		*out = (unsigned char)text[0];
		return 0;
	}
	if (text[0] == '\\' && text[1] != '\0' && text[2] == '\0' &&
	    (p = strchr(names, text[1])) != NULL) {
		*out = (unsigned char)bytes[p - names];
		return 0;
	}
	if (text[0] == '\\' && (text[1] == 'x' ?
	    byte_of(text + 2, 16, 2, out) : byte_of(text + 1, 8, 3, out)) ==
	    0)
		return 0;
	errno = EINVAL;
	return -1;
}

/* V/SCALE with at most one decimal, without a trailing ".0". */
static char *
format(uint64_t v, uint64_t scale, const char *unit, char *buf, size_t buf_len)
{
	uint64_t tenths = v / scale * 10 + v % scale * 10 / scale;

	if (tenths % 10 == 0 || tenths >= 1000)
		snprintf(buf, buf_len, "%" PRIu64 "%s", tenths / 10, unit);
	else
		snprintf(buf, buf_len, "%" PRIu64 ".%" PRIu64 "%s",
		    tenths / 10, tenths % 10, unit);
	return buf;
}

char *
num_format_duration(int64_t ns, char *buf, size_t buf_len)
{
	static const struct unit steps[] = {
		{ "d", UINT64_C(86400000000000) },
		{ "h", UINT64_C(3600000000000) },
		{ "m", UINT64_C(60000000000) },
		{ "s", UINT64_C(1000000000) },
		{ "ms", UINT64_C(1000000) },
		{ "us", UINT64_C(1000) },
	};
	uint64_t v = ns < 0 ? 0 : (uint64_t)ns;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (v >= steps[i].scale)
			return format(v, steps[i].scale, steps[i].name, buf,
			    buf_len);
	snprintf(buf, buf_len, "%s", "0s");
	return buf;
}

char *
num_format_size(uint64_t bytes, char *buf, size_t buf_len)
{
	for (size_t i = 3; i > 0; i--)
		if (bytes >= size_units[i].scale)
			return format(bytes, size_units[i].scale,
			    size_units[i].name, buf, buf_len);
	return format(bytes, 1, "", buf, buf_len);
}
