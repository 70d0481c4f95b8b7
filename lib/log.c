/* log: the line is built on the stack and written at once, or cut short. */

#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN	2048
#define ID_MAX		64

static char name[ID_MAX + 2];		/* "[id]" */
static _Atomic int level_max = LOG_LEVEL_INFO;

void
log_init(const char *id, enum log_level level)
{
	if (id == NULL)
		name[0] = '\0';
	else
		(void)snprintf(name, sizeof(name), "[%.*s]", ID_MAX - 2, id);
	atomic_store(&level_max, (int)level);
}

void
log_event(enum log_level level, const char *format, ...)
{
	static const char *const words[] = { "error", "warn", "info", "debug" };
	char line[LINE_MAX_LEN];
	size_t len;
	va_list ap;
	int saved = errno, n;

	if ((int)level > atomic_load_explicit(&level_max, memory_order_relaxed))
		return;
	n = snprintf(line, sizeof(line), "%.64s%s %s ", getprogname(), name,
	    words[level]);
	len = n < 0 ? 0 : (size_t)n;
	va_start(ap, format);
	n = vsnprintf(line + len, sizeof(line) - len, format, ap);
	va_end(ap);
	len += n < 0 ? 0 : (size_t)n;
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	while (write(STDERR_FILENO, line, len) == -1 && errno == EINTR)
		;
	errno = saved;
}

static bool
plain(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '"' ||
		    *p == '\\')
			return false;
	return *value != '\0';
}

char *
log_quote(const char *value, char *buf, unsigned int buf_len)
{
	static const char hex[] = "0123456789abcdef";
	unsigned int at = 0;

	if (plain(value) && strlen(value) < buf_len) {
		(void)strlcpy(buf, value, buf_len);
		return buf;
	}
	buf[at++] = '"';
	for (; *value != '\0' && at + 6 <= buf_len; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\') {
			buf[at++] = '\\';
			buf[at++] = (char)c;
		} else if (c < ' ' || c == 0x7f) {
			buf[at++] = '\\';
			buf[at++] = 'x';
			buf[at++] = hex[c >> 4];
			buf[at++] = hex[c & 15];
		} else {
			buf[at++] = (char)c;
		}
	}
	buf[at++] = '"';
	buf[at] = '\0';
	return buf;
}
