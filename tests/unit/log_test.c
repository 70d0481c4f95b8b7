/* log: one event is one line, whatever a peer sent; errno stays. */

#include "log.h"

#include <fcntl.h>

#include "tap.h"

static char seen[8192];

/* What went to stderr since the last call. */
static const char *
stderr_text(int fd)
{
	ssize_t n = pread(fd, seen, sizeof(seen) - 1, 0);

	if (n == -1 || ftruncate(fd, 0) == -1 || lseek(fd, 0, SEEK_SET) == -1)
		tap_bail("stderr");
	seen[n] = '\0';
	return seen;
}

int
main(void)
{
	char path[300], b[64], small[8];
	int fd;

	setprogname("prog");
	(void)snprintf(path, sizeof(path), "%s/stderr", tap_tmpdir());
	fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
	if (fd == -1 || dup2(fd, STDERR_FILENO) == -1)
		tap_bail("%s", path);

	log_info("ready socket=%s", "client");
	is_str(stderr_text(fd), "prog info ready socket=client\n", "a line");
	log_debug("hidden");
	is_str(stderr_text(fd), "", "debug is off until asked for");
	log_init("n1", LOG_LEVEL_DEBUG);
	errno = EXDEV;
	log_debug("shown n=%d", 7);
	is_int(errno, EXDEV, "errno is kept");
	is_str(stderr_text(fd), "prog[n1] debug shown n=7\n", "id and level");
	log_init(NULL, LOG_LEVEL_ERROR);
	log_warn("hidden");
	log_error("bad v=%s", "a\nb\x1b[0m");
	is_str(stderr_text(fd), "prog error bad v=a?b?[0m\n",
	    "control characters cannot forge a line");
	log_error("%*s", 5000, "x");
	is_uint(strlen(stderr_text(fd)), 2048, "a long line is cut");

	is_str(log_quote("plain", b, sizeof(b)), "plain", "quote: plain");
	is_str(log_quote("", b, sizeof(b)), "\"\"", "quote: empty");
	is_str(log_quote("a b", b, sizeof(b)), "\"a b\"", "quote: blank");
	is_str(log_quote("\"\\\n", b, sizeof(b)), "\"\\\"\\\\\\x0a\"",
	    "quote: escapes");
	is_str(log_quote("abcdefghijk", small, sizeof(small)), "\"ab\"",
	    "quote: cut to the room there is");
	return tap_end();
}
