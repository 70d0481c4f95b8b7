/* partsim_send: verbs to a net that is up, one by one, and its answers. */

#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "exits.h"
#include "netctl.h"
#include "partsim.h"
#include "sock.h"

struct session {
	const struct options *o;
	FILE *in;			/* the net's answers */
	int fd;
	unsigned long line_no;		/* of standard input, or 0 */
	int status;
};

static int
open_control(const char *net)
{
	struct buf path = { 0 };
	int fd, flags;

	if (buf_printf(&path, "%s/control", net) == -1 ||
	    buf_put_byte(&path, '\0') == -1)
		err(EX_OSERR, NULL);
	if ((fd = sock_connect((char *)path.data)) == -1) {
		if (errno == EACCES || errno == EPERM)
			err(EX_NOPERM, "%s", path.data);
		if (errno == ENAMETOOLONG)
			err(EX_CANTCREAT, "%s", path.data);
		errx(EX_UNAVAILABLE, "%s: no net is up there (%s)", net,
		    strerror(errno));
	}
	flags = fcntl(fd, F_GETFL);
	if (flags == -1 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == -1)
		err(EX_OSERR, NULL);
	buf_release(&path);
	return fd;
}

static void
send_all(int fd, const char *data, size_t len)
{
	ssize_t w;

	while (len > 0) {
		w = send(fd, data, len, MSG_NOSIGNAL);
		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1)
			err(EX_UNAVAILABLE, "the net is gone");
		data += w;
		len -= (size_t)w;
	}
}

/*
 * Print one answer: its lines, and the ok line unless it only counts them.
 * -1: the net is gone.
 */
static int
take_answer(struct session *s)
{
	char *line = NULL, *text;
	bool body = false;
	size_t cap = 0;
	ssize_t len;
	long status;
	int rc = -1;

	while ((len = getline(&line, &cap, s->in)) != -1) {
		if (line[0] == ' ') {
			body = true;
			fputs(line + 1, stdout);
			continue;
		}
		rc = 0;
		if (len > 0 && line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (strncmp(line, "err ", 4) == 0) {
			status = strtol(line + 4, &text, 10);
			text += strspn(text, " ");
			if (s->line_no > 0)
				warnx("stdin:%lu: %s", s->line_no, text);
			else
				warnx("%s", text);
			s->status = status > 0 && status < 126 ? (int)status :
			    EX_PROTOCOL;
		} else if (!body && !s->o->quiet) {
			puts(line);
		}
		break;
	}
	free(line);
	if (fflush(stdout) == EOF)
		err(EX_IOERR, "stdout");
	return rc;
}

static void
ask(struct session *s, const char *line, size_t len)
{
	send_all(s->fd, line, len);
	if (take_answer(s) == -1)
		errx(EX_UNAVAILABLE, "the net went down before it answered");
}

/* An answer comes for every line but these. */
static bool
is_blank(const char *line)
{
	line += strspn(line, " \t");
	return *line == '\0' || strchr("\r\n#", *line) != NULL;
}

static void
from_stdin(struct session *s)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	while ((len = getline(&line, &cap, stdin)) != -1) {
		s->line_no++;
		if (memchr(line, '\0', (size_t)len) != NULL)
			errx(EX_DATAERR, "stdin:%lu: a NUL", s->line_no);
		if (is_blank(line))
			continue;
		if (line[len - 1] == '\n')
			len--;
		send_all(s->fd, line, (size_t)len);
		ask(s, "\n", 1);
	}
	if (ferror(stdin))
		err(EX_IOERR, "stdin");
	free(line);
}

int
partsim_send(const struct options *o, int argc, char *argv[])
{
	struct session s = { .o = o };
	struct buf line = { 0 };

	if ((s.fd = open_control(o->net)) == -1 ||
	    (s.in = fdopen(s.fd, "r")) == NULL)
		err(EX_OSERR, NULL);
	if (argc == 0) {
		from_stdin(&s);
		fclose(s.in);
		return s.status;
	}
	for (int i = 0; i < argc; i++) {
		if (strpbrk(argv[i], "\r\n") != NULL)
			errx(EX_USAGE, "a line break in an argument");
		if (buf_printf(&line, "%s%s", i > 0 ? " " : "", argv[i]) == -1)
			err(EX_OSERR, NULL);
	}
	if (o->json && (strcmp(argv[0], "status") == 0 ||
	    strcmp(argv[0], "log") == 0) && buf_put_str(&line, " json") == -1)
		err(EX_OSERR, NULL);
	if (line.len >= NETCTL_LINE_MAX)
		errx(EX_USAGE, "a line of more than %d bytes",
		    NETCTL_LINE_MAX - 1);
	if (buf_put_byte(&line, '\n') == -1)
		err(EX_OSERR, NULL);
	if (buf_put_byte(&line, '\0') == -1)
		err(EX_OSERR, NULL);
	line.len--;
	if (is_blank((char *)line.data))
		errx(EX_USAGE, "no verb");
	ask(&s, (char *)line.data, line.len);
	buf_release(&line);
	fclose(s.in);
	return s.status;
}
