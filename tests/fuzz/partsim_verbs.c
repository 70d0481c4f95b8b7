/*
 * partsim_verbs: lines of words, first through the parser, then obeyed by a
 * net in this process: asked directly, over its control socket, or as a
 * scenario, as the first byte says.  The net is in a directory of its own;
 * words that reach outside (link, node listen, pid) are only parsed.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"
#include "netctl.h"
#include "sock.h"

#define LINES_MAX	64
#define CALLERS		4

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct link_net *net;
static char dir[64] = "partsim-fuzz.XXXXXX";
static int listener = -1, callers[CALLERS];

static void
open_net(void)
{
	struct link_options o = { .seed = 1 };
	static char path[96];
	static bool made;
	struct buf reply = { 0 };

	if (!made && mkdtemp(dir) == NULL)
		abort();
	made = true;
	if (link_open(&net, dir, &o) == -1)
		abort();
	(void)link_command(net, "node n1", &reply);
	(void)link_command(net, "node n2", &reply);
	(void)link_command(net, "node n3", &reply);
	(void)link_command(net, "frame n1 n2 line", &reply);
	(void)snprintf(path, sizeof(path), "%s/n2/raft", dir);
	if ((listener = sock_listen(path, 0600)) == -1)
		abort();
	(void)snprintf(path, sizeof(path), "%s/n1/to/n2", dir);
	for (int i = 0; i < CALLERS; i++)
		callers[i] = sock_connect(path);
	buf_release(&reply);
}

static void
close_net(void)
{
	for (int i = 0; i < CALLERS; i++)
		if (callers[i] != -1)
			close(callers[i]);
	close(listener);
	link_close(net);
	net = NULL;
}

/* May the net see it? */
static bool
harmless(const char *line)
{
	static struct netctl c;
	char why[NETCTL_ERR_MAX];

	if (netctl_parse(&c, line, why) != 1)
		return true;
	return c.verb != NETCTL_LINK && c.verb != NETCTL_SOCKET &&
	    (c.verb != NETCTL_NODE || c.what == NETCTL_PLAIN) &&
	    c.repeat <= 10 && strchr(c.rest, '/') == NULL;
}

static void
turn(void)
{
	int fd;

	for (int i = 0; i < CALLERS; i++)
		if (callers[i] != -1)
			(void)send(callers[i], "x\n", 2,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)link_step(net, mono_after(0));
	if ((fd = sock_accept(listener)) != -1)
		close(fd);
}

static void
obey(const char *line)
{
	struct buf reply = { 0 };

	(void)link_command(net, line, &reply);
	if (reply.len > 0 && reply.data[reply.len - 1] != '\n')
		abort();
	buf_release(&reply);
	turn();
}

/* All lines over the control socket, in pieces, some of it never read. */
static void
ask(const struct buf *lines, size_t step)
{
	char path[96], answers[65536];
	size_t at = 0;
	ssize_t w;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/control", dir);
	if ((fd = sock_connect(path)) == -1)
		return;
	for (int turns = 0; turns < 200 && at < lines->len; turns++) {
		w = send(fd, lines->data + at, lines->len - at < step ?
		    lines->len - at : step, MSG_NOSIGNAL | MSG_DONTWAIT);
		at += w > 0 ? (size_t)w : 0;
		turn();
		if (step % 2 == 0)
			(void)recv(fd, answers, sizeof(answers), MSG_DONTWAIT);
	}
	close(fd);
	turn();
}

static void
play(const struct buf *lines)
{
	char why[512];
	int fds[2];

	if (link_state(net) == LINK_RUNNING || lines->len > 60000 ||
	    pipe2(fds, O_CLOEXEC) == -1)
		return;
	if (write(fds[1], lines->data, lines->len) != (ssize_t)lines->len)
		abort();
	close(fds[1]);
	(void)link_scenario(net, fds[0], "fuzz", why, sizeof(why));
	for (int i = 0; i < 5; i++)
		turn();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned int runs;
	char line[NETCTL_LINE_MAX + 64];
	struct buf lines = { 0 };
	size_t at = 1, len;

	if (size < 2)
		return 0;
	if (net == NULL)
		open_net();
	for (int cnt = 0; at < size && cnt < LINES_MAX; cnt++) {
		const uint8_t *nl = memchr(data + at, '\n', size - at);

		len = nl != NULL ? (size_t)(nl - data) - at : size - at;
		if (len < sizeof(line)) {
			memcpy(line, data + at, len);
			line[len] = '\0';
			if (!harmless(line))
				len = 0;
			else if (data[0] % 3 == 0)
				obey(line);
			if (buf_put(&lines, data + at, len) == -1 ||
			    buf_put_byte(&lines, '\n') == -1)
				abort();
		}
		at += (nl != NULL ? (size_t)(nl - data) : size) + 1 - at;
	}
	if (data[0] % 3 == 1)
		ask(&lines, data[0] + (size_t)1);
	else if (data[0] % 3 == 2)
		play(&lines);
	buf_release(&lines);
	/* A net of its own now and then, for what close must clean up. */
	if (++runs % 16 == 0)
		close_net();
	return 0;
}
