/* link: a net inside this process, its loop turned by hand. */

#include "link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "sock.h"
#include "tap.h"

static struct link_net *net;
static struct buf reply;

static const char *
say(const char *line)
{
	reply.len = 0;
	if (link_command(net, line, &reply) == 0)
		return "(nothing)";
	if (buf_put_byte(&reply, '\0') == -1)
		tap_bail("memory");
	return (char *)reply.data;
}

static void
turn(int ms)
{
	struct mono limit = mono_after(ms * INT64_C(1000000));

	while (!mono_passed(limit))
		if (link_step(net, limit) == -1)
			tap_bail("link_step");
}

/* What arrives on fd within some turns of the loop; -2: nothing. */
static ssize_t
arrives(int fd, char *buf, size_t len)
{
	ssize_t r;

	for (int i = 0; i < 100; i++) {
		r = recv(fd, buf, len, MSG_DONTWAIT);
		if (r != -1 || errno != EAGAIN)
			return r;
		turn(1);
	}
	return -2;
}

static int
accepted(int lfd)
{
	int fd = -1;

	for (int i = 0; i < 200 && (fd = sock_accept(lfd)) == -1; i++)
		turn(1);
	return fd;
}

static void
up(void)
{
	struct link_options o = { .seed = 42 };

	if (link_open(&net, "net", &o) == -1)
		tap_bail("link_open");
	is_str(say("node n1"), "ok\n", "a node");
	is_str(say("node n2"), "ok\n", "another");
}

static void
test_lines(void)
{
	struct link_options o = { .seed = 1 };
	struct link_net *second;

	is_err(link_open(&second, "net", &o), EBUSY, "one net a directory");
	is_str(say("  # nothing"), "(nothing)", "a comment is not answered");
	is_str(say("cut n1 n2"), "ok links=2 conns=0\n", "cut");
	is_str(say("frob"), "err 64 unknown word \"frob\"\n", "unknown");
	is_str(say("cut n1 n3"), "err 66 no node \"n3\"\n", "no such node");
	is_str(say("wait 1s"),
	    "err 64 wait belongs in a scenario or a connection\n", "wait");
	is_str(say("heal"), "ok links=2 conns=0\n", "heal");
	is_str(say("assert bit"), "err 1 cut touched nothing\n", "no bite");
}

static void
test_carry(void)
{
	int lfd = sock_listen("net/n2/raft", 0600);
	int a = sock_connect("net/n1/to/n2"), b = accepted(lfd);
	char buf[64];

	ok(a != -1 && b != -1, "a connection through the net");
	(void)send(a, "hello", 5, 0);
	is_int(arrives(b, buf, sizeof(buf)), 5, "bytes there");
	(void)send(b, "hi", 2, 0);
	is_int(arrives(a, buf, sizeof(buf)), 2, "bytes back");

	is_str(say("cut n1 n2"), "ok links=2 conns=1\n", "cut with one on it");
	(void)send(a, "held", 4, 0);
	is_int(arrives(b, buf, sizeof(buf)), -2, "held");
	is_str(say("assert bit"), "ok\n", "it bit");
	is_str(say("heal"), "ok links=2 conns=1\n", "heal");
	is_int(arrives(b, buf, sizeof(buf)), 4, "delivered late");

	is_str(say("reset n1 n2"), "ok conns=1 reset=1 closed=0\n", "reset");
	errno = 0;
	is_err((int)arrives(a, buf, sizeof(buf)), ECONNRESET,
	    "the caller sees it");
	is_err((int)arrives(b, buf, sizeof(buf)), ECONNRESET,
	    "the called one too");
	close(a);
	close(b);
	close(lfd);
	(void)unlink("net/n2/raft");
}

static void
test_time(void)
{
	ok(strncmp(say("at +20ms hold n1 n2"), "ok id=1", 7) == 0, "later");
	is_str(say("assert open n1 n2"), "ok\n", "not yet");
	turn(40);
	is_str(say("assert blocked n1 n2"), "ok\n", "now");
	is_str(say("release n1 n2"), "ok links=2 conns=0\n", "release");
}

static void
scenario(const char *text, char *why, size_t len, int want)
{
	int fds[2];

	if (pipe(fds) == -1 || write(fds[1], text, strlen(text)) == -1)
		tap_bail("pipe");
	close(fds[1]);
	is_int(link_scenario(net, fds[0], "file", why, len), want, "scenario");
}

static void
test_scenario(void)
{
	char why[256];
	int status;

	scenario("node n3\n\nfrob\n", why, sizeof(why), -1);
	is_str(why, "file:3: unknown word \"frob\"", "checked first");
	is_str(say("cut n1 n3"), "err 66 no node \"n3\"\n", "nothing was done");
	scenario("hold n1 n2\nwait 20ms\nrelease n1 n2", why, sizeof(why), 0);
	is_int(link_state(net), LINK_RUNNING, "it waits");
	ok(link_waiting(net), "and says so");
	turn(40);
	is_int(link_state(net), LINK_IDLE, "and ends");
	is_str(say("assert open n1 n2"), "ok\n", "released");
	scenario("assert blocked n1 n2\ncut n1 n2\n", why, sizeof(why), 0);
	is_int(link_state(net), LINK_FAILED, "a line that fails");
	is_str(link_failure(net, &status),
	    "file:1: 1 of 1 links from n1 to n2 are open", "why");
	is_int(status, 1, "its status");
}

int
main(void)
{
	if (chdir(tap_tmpdir()) == -1)
		tap_bail("chdir");
	up();
	test_lines();
	test_carry();
	test_time();
	test_scenario();
	link_close(net);
	ok(access("net", F_OK) == -1, "nothing is left");
	buf_release(&reply);
	return tap_end();
}
