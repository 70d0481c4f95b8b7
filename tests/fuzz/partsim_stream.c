/*
 * partsim_stream: hostile bytes on a framed and faulted link, in hostile
 * pieces.  The first byte chooses framing and faults, the second the pieces.
 * Without faults that change them the bytes must come out as they went in.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"
#include "link_frame.h"
#include "sock.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct link_net *net;
static int listener = -1;
static char to[96];

static void
say(const char *line)
{
	struct buf reply = { 0 };

	if (link_command(net, line, &reply) != 1 || reply.len < 3)
		abort();
	buf_release(&reply);
}

static void
open_net(void)
{
	struct link_options o = { .seed = 1 };
	static char dir[64] = "partsim-fuzz.XXXXXX", path[96];

	if (mkdtemp(dir) == NULL || link_open(&net, dir, &o) == -1)
		abort();
	say("node n1");
	say("node n2");
	(void)snprintf(path, sizeof(path), "%s/n2/raft", dir);
	(void)snprintf(to, sizeof(to), "%s/n1/to/n2", dir);
	if ((listener = sock_listen(path, 0600)) == -1)
		abort();
}

static void
set_up(uint8_t how)
{
	static const char *const frames[] = { "none", "line", "u32be", "u32le",
	    "resp" };
	static const char *const faults[] = { "loss", "dup", "reorder",
	    "corrupt" };
	char line[64];
	unsigned int frame = how % 5;

	say("heal");
	say("clear");
	(void)snprintf(line, sizeof(line), "frame n1 n2 %s", frames[frame]);
	say(line);
	for (unsigned int i = 0; frame != 0 && i < 4; i++) {
		(void)snprintf(line, sizeof(line), "%s n1 n2 %s", faults[i],
		    (how / 5) & (1U << i) ? "0.3" : "0");
		say(line);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char got[1 << 20];
	size_t sent = 0, have = 0, step;
	int a, b = -1;
	ssize_t r;

	if (size < 3 || size > 100000)
		return 0;
	if (net == NULL)
		open_net();
	set_up(data[0]);
	step = (size_t)data[1] + 1;
	if (step < size / 64)
		step = size / 64;
	if ((a = sock_connect(to)) == -1)
		abort();
	for (int i = 0; i < 50 && (b = sock_accept(listener)) == -1; i++)
		(void)link_step(net, mono_after(1000000));
	if (b == -1)
		abort();
	for (int idle = 0; idle < 60;) {
		if (sent < size - 2) {
			size_t len = size - 2 - sent < step ? size - 2 - sent :
			    step;

			r = send(a, data + 2 + sent, len,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
			if (r > 0 && (sent += (size_t)r) == size - 2)
				shutdown(a, SHUT_WR);
		}
		(void)link_step(net, mono_after(1000000));
		r = recv(b, got + have, sizeof(got) - have, MSG_DONTWAIT);
		if (r == 0)
			break;
		if (r > 0)
			have += (size_t)r;
		idle = r > 0 || sent < size - 2 ? 0 : idle + 1;
	}
	if (data[0] / 5 % 16 == 0 &&
	    (have != size - 2 || memcmp(got, data + 2, have) != 0))
		abort();
	close(a);
	close(b);
	(void)link_step(net, mono_after(0));
	(void)link_step(net, mono_after(0));
	return 0;
}
