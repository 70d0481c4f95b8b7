/* cluster: names of members, and the file as it is written and read. */

#include "cluster.h"

#include <sys/stat.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

static void
names(void)
{
	static const char *const bad[] = { "", "n", "0", "n0", "n1=", "n1=x",
	    "n1=tcp:", "n1=tcp:1", "n1=tcp::1", "n1=tcp:localhost:1",
	    "n1=tcp:127.0.0.1:0", "n1=tcp:127.0.0.1:65536",
	    "n1=tcp:127.0.0.1:+1", "n1=tcp:[::1:1", "n1=tcp:[::1]x:1",
	    "n1=tcp:127.0.0.1:1 ", "1000001", "n1=tcp:127.0.0.1:1=2" };
	char address[CLUSTER_ADDRESS_MAX];
	uint64_t id;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_err(cluster_parse_member(bad[i], &id, address), EINVAL,
		    "refused: %s", bad[i]);
	is_int(cluster_parse_member("n7", &id, address), 0, "a number");
	is_int(id, 7, "7");
	is_str(address, "", "no address");
	is_int(cluster_parse_member("8=tcp:[::1]:99", &id, address), 0, "v6");
	is_int(id, 8, "8");
	is_str(address, "tcp:[::1]:99", "its address");
}

static void
file(void)
{
	char dir[] = "/tmp/cluster_test.XXXXXX", path[64];
	struct cluster c = { .id = 2, .state = CLUSTER_RECOVERING,
	    .voters = { 2, 3 }, .voters_cnt = 2 }, d;

	if (mkdtemp(dir) == NULL || cluster_name(c.name) == -1)
		tap_bail("set up");
	(void)strlcpy(c.address, "tcp:127.0.0.1:5", sizeof(c.address));
	(void)strlcpy(c.addresses[0], c.address, sizeof(c.address));
	is_int(cluster_create(dir, &c), 0, "create");
	is_err(cluster_create(dir, &c), EEXIST, "only once");
	is_int(cluster_read(dir, 2, &d), 0, "read");
	is_str(d.address, c.address, "address");
	is_str(d.addresses[0], c.address, "of a voter");
	is_str(d.addresses[1], "", "none");
	is_int(d.state, CLUSTER_RECOVERING, "state");
	is_int(d.voters_cnt, 2, "voters");
	c.state = CLUSTER_RETIRED;
	is_int(cluster_write(dir, &c), 0, "write");
	is_int(cluster_read(dir, 2, &d), 0, "read again");
	is_int(d.state, CLUSTER_RETIRED, "the new state");
	(void)snprintf(path, sizeof(path), "%s/n2/data/cluster", dir);
	is_int(truncate(path, 70), 0, "cut");
	is_err(cluster_read(dir, 2, &d), EBADMSG, "refused");
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/n2/data", dir);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/n2", dir);
	(void)rmdir(path);
	(void)rmdir(dir);
}

int
main(void)
{
	names();
	file();
	return tap_end();
}
