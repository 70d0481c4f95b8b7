/*
 * partsim_verbs: lines of words, first through the parser, then obeyed by a
 * net in this process.  The net is in a directory of its own;
 * words that reach outside (link, node listen, pid) are only parsed.
 */

#include <dirent.h>
#include <fcntl.h>
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
static int listener = -1, callers[CALLERS];

static void
open_net(void)
{
	struct link_options o = { .seed = 1 };
	static char dir[64] = "partsim-fuzz.XXXXXX", path[96];
	struct buf reply = { 0 };

	if (dir[strlen(dir) - 1] == 'X' && mkdtemp(dir) == NULL)
		abort();
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

static void
obey(const char *line)
{
	static struct netctl c;
	char why[NETCTL_ERR_MAX];
	struct buf reply = { 0 };
	int fd;

	if (netctl_parse(&c, line, why) != 1) {
		(void)link_command(net, line, &reply);
		buf_release(&reply);
		return;
	}
	if (c.verb == NETCTL_LINK || c.verb == NETCTL_SOCKET ||
	    (c.verb == NETCTL_NODE && c.what != NETCTL_PLAIN) ||
	    c.repeat > 10 || strstr(c.rest, "/") != NULL)
		return;
	(void)link_command(net, line, &reply);
	if (reply.len > 0 && reply.data[reply.len - 1] != '\n')
		abort();
	buf_release(&reply);
	for (int i = 0; i < CALLERS; i++)
		if (callers[i] != -1)
			(void)send(callers[i], "x\n", 2,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)link_step(net, mono_after(0));
	if ((fd = sock_accept(listener)) != -1)
		close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned int runs;
	char line[NETCTL_LINE_MAX + 64];
	size_t at = 0, len;

	if (net == NULL)
		open_net();
	for (int lines = 0; at < size && lines < LINES_MAX; lines++) {
		const uint8_t *nl = memchr(data + at, '\n', size - at);

		len = nl != NULL ? (size_t)(nl - data) - at : size - at;
		if (len < sizeof(line)) {
			memcpy(line, data + at, len);
			line[len] = '\0';
			obey(line);
		}
		at += len + 1;
	}
	/* A net of its own now and then, for what close must clean up. */
	if (++runs % 16 == 0)
		close_net();
	return 0;
}
