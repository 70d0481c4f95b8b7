/*
 * num: numbers, durations and sizes as users write them, and back.
 *
 * Units:   durations in nanoseconds, sizes in bytes.
 * Errors:  0, or -1 with errno: EINVAL not such a number, ERANGE outside
 *          [min, max].  The whole string must be the number.
 */
#ifndef LIB_NUM_H
#define LIB_NUM_H

#include <stddef.h>
#include <stdint.h>

#define NUM_NS_PER_US	INT64_C(1000)
#define NUM_NS_PER_MS	INT64_C(1000000)
#define NUM_NS_PER_S	INT64_C(1000000000)

/* Decimal digits, no sign, no blanks. */
int	num_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* Decimal number with an optional fraction, then us ms s m h d; bare = s. */
int	num_duration(const char *text, int64_t *ns);

/* Decimal number with an optional fraction, then k M G (powers of 1024). */
int	num_size(const char *text, uint64_t *bytes);

/*
 * One delimiter byte: a single byte as it is, or \n \t \r \0 \\ \a \xHH, or
 * three octal digits after a backslash.
 */
int	num_delim(const char *text, unsigned char *out);

/* "1.5s", "320ms", "2d"; buf holds at least 24 bytes; returns buf. */
char	*num_format_duration(int64_t ns, char *buf, size_t buf_len);

/* "512", "1.5k", "20M"; buf holds at least 24 bytes; returns buf. */
char	*num_format_size(uint64_t bytes, char *buf, size_t buf_len);

#endif /* LIB_NUM_H */
