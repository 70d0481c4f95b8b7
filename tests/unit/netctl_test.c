/* netctl: lines that are understood, and lines that are not. */

#include "netctl.h"

#include "tap.h"

static struct netctl c;
static char why[NETCTL_ERR_MAX];

static void
understood(const char *line, enum netctl_verb verb)
{
	int r = netctl_parse(&c, line, why);

	ok(r == 1 && c.verb == verb, "'%s' is understood %s", line, why);
}

static void
refused(const char *line, const char *message)
{
	errno = 0;
	is_err(netctl_parse(&c, line, why), EINVAL, "'%s'", line);
	ok(strstr(why, message) != NULL, "'%s': %s", line, why);
}

static void
test_lines(void)
{
	char line[NETCTL_LINE_MAX + 16];

	is_int(netctl_parse(&c, "", why), 0, "nothing");
	is_int(netctl_parse(&c, " \t # cut n1 n2\n", why), 0, "a comment");
	understood("cut n1 n2 # why\r\n", NETCTL_CUT);
	is_str(c.a, "n1", "first node");
	is_str(c.b, "n2", "second node");
	refused("cut n1#x n2", "is no node");
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	refused(line, "more than 8191 bytes");
	line[0] = '\0';
	for (size_t i = 0; i < 300; i++)
		(void)strlcat(line, "a ", sizeof(line));
	refused(line, "more than 256 words");
	refused("cut n1 n\0012", "control character");
	refused("frob", "unknown word \"frob\"");
	refused("cut n1 n2 n3", "unknown word \"n3\"");
}

static void
test_faults(void)
{
	understood("delay n1,n2 all 1.5ms jitter 200us dist exp p 25% "
	    "count 3 oneway", NETCTL_DELAY);
	is_int(c.time_ns, 1500000, "the delay");
	is_int(c.time2_ns, 200000, "its jitter");
	ok(c.dist == NETCTL_EXP && c.count == 3 && c.oneway && c.p == 0.25,
	    "its options");
	understood("delay n1 n2 0", NETCTL_DELAY);
	refused("delay n1 n2 50", "needs a unit");
	refused("delay n1 n2 50ms dist exp", "needs a jitter");
	refused("delay n1 n2 2h", "no time");
	refused("delay n1 n2 -1s", "no time");
	understood("rate n1 n2 1mbit", NETCTL_RATE);
	is_uint(c.number, 125000, "a megabit in bytes");
	understood("rate n1 n2 64kbps", NETCTL_RATE);
	is_uint(c.number, 64000, "kilobytes");
	refused("rate n1 n2 1", "no rate");
	refused("rate n1 n2 infbit", "no rate");
	refused("rate n1 n2 1e99gbit", "no rate");
	understood("cut n1 n2 mode refuse", NETCTL_CUT);
	ok(c.has_mode && c.mode == NETCTL_MODE_REFUSE, "its mode");
	refused("cut n1 n2 mode", "is missing");
	refused("loss n1 n2 1.01", "no probability");
	refused("loss n1 n2 nan", "no probability");
	refused("loss n1 n2 0x1", "no probability");
	refused("loss n1 n2 101%", "no probability");
	understood("oneway n1 ? connect", NETCTL_ONEWAY);
	ok(c.connect, "connect");
	understood("flap n1 n2 up 1s down 2s mode drop p 50% count 3",
	    NETCTL_FLAP);
	ok(c.mode == NETCTL_MODE_DROP && c.p == 0.5 && c.count == 3,
	    "flap with all that blocks can have");
	understood("slice n1 n2 1k gap 5ms", NETCTL_SLICE);
	refused("slice n1 n2 0", "no size");
}

static void
test_partitions(void)
{
	understood("partition n1,n2 n3 mode drop", NETCTL_PARTITION);
	ok(c.shape == NETCTL_GROUPS && c.list_cnt == 2, "two groups");
	understood("partition majorities-ring p 0.5", NETCTL_PARTITION);
	ok(c.shape == NETCTL_MAJORITIES_RING && c.p == 0.5, "a shape");
	understood("partition bridge n3", NETCTL_PARTITION);
	is_str(c.a, "n3", "the bridge");
	understood("partition pairs n1/n2 n2/n1", NETCTL_PARTITION);
	refused("partition pairs n1", "no pair");
	refused("partition pairs", "no pairs");
	refused("partition", "missing");
	refused("partition n1,,n2", "no group");
	refused("partition all", "no group");
}

static void
test_prefixes(void)
{
	static const char line[] = "at +1.5s every 2s repeat 5 cut n1 n2 # x";

	understood(line, NETCTL_CUT);
	ok(c.has_at && c.at_now && c.at_ns == 1500000000, "at");
	ok(c.every_ns == 2000000000 && c.repeat == 5, "every, repeat");
	is_str(c.rest, "cut n1 n2 # x", "the rest");
	understood("at 3.201 heal", NETCTL_HEAL);
	ok(!c.at_now && c.at_ns == 3201000000, "as the log writes it");
	refused("at 1s", "verb is missing");
	refused("at x heal", "no time");
	refused("every 1s wait 1s", "cannot be scheduled");
	refused("repeat 0 heal", "repeat");
	refused("every 1s repeat 2 status", "cannot be repeated");
	understood("every 1s status", NETCTL_STATUS);
	ok(c.shows, "an answer with lines");
	understood("repeat 2 heal", NETCTL_HEAL);
	ok(!c.shows, "and one without");
}

static void
test_names(void)
{
	static const char *const no[] = { "", "1n", "a.b", "a b", "cut", "all",
	    "majority", "bridge", "mode", "?",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	static const char *const sockets[] = { "", ".a", "a/b", "a b", "a#b",
	    "a,b", "a?", "a\nb", "a\"b", "a\\b", "\351",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	char text[] = "  cut n1 n2\t# x\n";

	ok(netctl_name_ok("n1") && netctl_name_ok("A-b_9"), "names");
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ok(!netctl_name_ok(no[i]), "'%s' is no name", no[i]);
	ok(netctl_socket_ok("raft") && netctl_socket_ok("1.api_x-y"),
	    "names of sockets");
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++)
		ok(!netctl_socket_ok(sockets[i]), "socket %zu is no name", i);
	netctl_strip(text);
	is_str(text, "cut n1 n2", "strip");
	for (unsigned int i = 0; i < NETCTL_VERBS; i++) {
		const char *name = netctl_verb_name((enum netctl_verb)i);

		ok(strncmp(netctl_usage(i), name, strlen(name)) == 0,
		    "usage of %s", name);
	}
	ok(netctl_usage(NETCTL_VERBS) == NULL, "no more");
}

int
main(void)
{
	test_lines();
	test_faults();
	test_partitions();
	test_prefixes();
	test_names();
	return tap_end();
}
