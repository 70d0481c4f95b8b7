/*
 * tap: what a unit test needs to speak TAP to prove(1).
 *
 * Source:  https://testanything.org, version 13.
 * Use:     one program a module, NOUN_test.c; main() calls its parts and ends
 *          with `return tap_end();`.  Every check takes a printf-style title;
 *          its arguments are evaluated once.  A failed check tells where and
 *          what, and the test goes on; tap_bail() ends it.
 * Threads: checks from one thread only.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <sys/stat.h>

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAP_FN		__attribute__((unused)) static
#define TAP_SHOW	80		/* bytes of a value that are shown */

static int tap_count, tap_failed;
static char tap_dir[256];

/* ok(cond, title ...): cond is true. */
#define ok(cond, ...) \
	tap_ok((cond), __FILE__, __LINE__, #cond, __VA_ARGS__)
/* Two signed or two unsigned numbers. */
#define is_int(got, want, ...) \
	tap_is_int((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_uint(got, want, ...) \
	tap_is_uint((got), (want), __FILE__, __LINE__, __VA_ARGS__)
/* Two strings; NULL equals NULL only. */
#define is_str(got, want, ...) \
	tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_mem(got, got_len, want, want_len, ...) \
	tap_is_mem((got), (got_len), (want), (want_len), __FILE__, __LINE__, \
	    __VA_ARGS__)
/* The call returned -1 with this errno. */
#define is_err(call, errnum, ...) \
	tap_is_err((call), (errnum), __FILE__, __LINE__, #call, __VA_ARGS__)

TAP_FN bool __attribute__((format(printf, 4, 0)))
tap_result(bool good, const char *file, int line, const char *format,
    va_list ap)
{
	char title[256];

	(void)vsnprintf(title, sizeof(title), format, ap);
	for (char *p = title; *p != '\0'; p++)
		if (*p == '\n' || *p == '#')	/* would end or mark the line */
			*p = ' ';
	printf("%s %d - %s\n", good ? "ok" : "not ok", ++tap_count, title);
	if (!good) {
		tap_failed++;
		printf("# %s, line %d\n", file, line);
	}
	return good;
}

TAP_FN bool __attribute__((format(printf, 5, 6)))
tap_ok(bool good, const char *file, int line, const char *text,
    const char *format, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, format);
	if (!tap_result(good, file, line, format, ap))
		printf("# not true: %s (errno %d, %s)\n", text, saved,
		    strerror(saved));
	va_end(ap);
	return good;
}

TAP_FN bool __attribute__((format(printf, 5, 6)))
tap_is_int(intmax_t got, intmax_t want, const char *file, int line,
    const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!tap_result(got == want, file, line, format, ap))
		printf("#   got: %jd\n#  want: %jd\n", got, want);
	va_end(ap);
	return got == want;
}

TAP_FN bool __attribute__((format(printf, 5, 6)))
tap_is_uint(uintmax_t got, uintmax_t want, const char *file, int line,
    const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!tap_result(got == want, file, line, format, ap))
		printf("#   got: %ju\n#  want: %ju\n", got, want);
	va_end(ap);
	return got == want;
}

TAP_FN void
tap_show(const char *what, const void *data, size_t len)
{
	const unsigned char *p = data;

	printf("# %s: ", what);
	if (p == NULL) {
		printf("NULL\n");
		return;
	}
	for (size_t i = 0; i < len && i < TAP_SHOW; i++)
		printf(p[i] < ' ' || p[i] > '~' ? "\\x%02x" : "%c", p[i]);
	printf("%s (%zu bytes)\n", len > TAP_SHOW ? "..." : "", len);
}

TAP_FN bool __attribute__((format(printf, 5, 6)))
tap_is_str(const char *got, const char *want, const char *file, int line,
    const char *format, ...)
{
	bool good = got == NULL || want == NULL ? got == want :
	    strcmp(got, want) == 0;
	va_list ap;

	va_start(ap, format);
	if (!tap_result(good, file, line, format, ap)) {
		tap_show("  got", got, got == NULL ? 0 : strlen(got));
		tap_show(" want", want, want == NULL ? 0 : strlen(want));
	}
	va_end(ap);
	return good;
}

TAP_FN bool __attribute__((format(printf, 7, 8)))
tap_is_mem(const void *got, size_t got_len, const void *want, size_t want_len,
    const char *file, int line, const char *format, ...)
{
	bool good = got_len == want_len &&
	    (got_len == 0 || memcmp(got, want, got_len) == 0);
	va_list ap;

	va_start(ap, format);
	if (!tap_result(good, file, line, format, ap)) {
		tap_show("  got", got, got_len);
		tap_show(" want", want, want_len);
	}
	va_end(ap);
	return good;
}

TAP_FN bool __attribute__((format(printf, 6, 7)))
tap_is_err(intmax_t rc, int errnum, const char *file, int line,
    const char *text, const char *format, ...)
{
	int saved = errno;
	bool good = rc == -1 && saved == errnum;
	va_list ap;

	va_start(ap, format);
	if (!tap_result(good, file, line, format, ap))
		printf("# %s = %jd, errno %d (%s), want -1 with %s\n", text,
		    rc, saved, strerror(saved), strerror(errnum));
	va_end(ap);
	return good;
}

/* The rest makes no sense: end the whole program. */
TAP_FN _Noreturn void __attribute__((format(printf, 1, 2)))
tap_bail(const char *format, ...)
{
	int saved = errno;
	va_list ap;

	printf("Bail out!  ");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf(": %s\n", strerror(saved));
	exit(1);
}

TAP_FN void
tap_skip(const char *title, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_count, title, why);
}

/* A fresh directory under $TMPDIR, made once; tap_end() removes it. */
TAP_FN const char *
tap_tmpdir(void)
{
	const char *top = getenv("TMPDIR");

	if (tap_dir[0] != '\0')
		return tap_dir;
	(void)snprintf(tap_dir, sizeof(tap_dir), "%s/dsutils-test.XXXXXX",
	    top == NULL || *top == '\0' ? "/tmp" : top);
	if (mkdtemp(tap_dir) == NULL)
		tap_bail("%s", tap_dir);
	return tap_dir;
}

TAP_FN int
tap_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

/* The plan, and the exit status of main(). */
TAP_FN int
tap_end(void)
{
	if (tap_dir[0] != '\0')
		(void)nftw(tap_dir, tap_remove, 16, FTW_DEPTH | FTW_PHYS);
	printf("1..%d\n", tap_count);
	return fflush(stdout) == EOF || tap_failed > 0;
}

#endif /* TESTS_TAP_H */
