/*
 * raftnode_data: is this data ours?  The log's directory bears a mark that is
 * made once, before the first start is noted in the cluster file.  A node that
 * has started and finds no mark has lost its log: it may have voted, and must
 * not do so again.
 */

#include <sys/file.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "fsdur.h"
#include "raftnode.h"

static int log_fd;	/* locked for life: two processes would ruin the log */

static void
hex_bytes(const char *text, unsigned char *out, size_t cnt)
{
	char pair[3] = "";
	size_t i;

	for (i = 0; i < cnt; i++) {
		memcpy(pair, text + 2 * i, 2);
		out[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
}

#define MARK_LEN	64

static int
mark(const struct node *n, char text[MARK_LEN])
{
	return snprintf(text, MARK_LEN, "%s n%" PRIu64 "\n", n->cluster.name,
	    n->o.id);
}

void
data_own(struct node *n)
{
	char text[MARK_LEN];
	int len = mark(n, text);

	if (fsdur_write_file(log_fd, "owner", text, (size_t)len, 0600) == -1)
		err(exit_status(errno), "%s/owner", n->log_dir);
}

static void
check_mark(struct node *n)
{
	char want[MARK_LEN], have[MARK_LEN] = "";
	size_t from = 0;
	int fd, len = mark(n, want);
	ssize_t got;

	fd = openat(log_fd, "owner", O_RDONLY | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT &&
	    (n->cluster.state == CLUSTER_NEW ||
	    n->cluster.state == CLUSTER_JOINING)) {
		data_own(n);
		return;
	}
	if (fd == -1 && errno == ENOENT)
		errx(EX_CONFIG, "%s: this node has started before, and its log "
		    "is gone: it may have voted and must not come back as n%"
		    PRIu64 "; bring in a new node with raftctl member add",
		    n->log_dir, n->o.id);
	if (fd == -1)
		err(exit_status(errno), "%s/owner", n->log_dir);
	got = fsdur_pread_all(fd, have, sizeof(have) - 1, 0);
	(void)close(fd);
	/* The log of the cluster before becomes this one's. */
	if (n->cluster.state == CLUSTER_RECOVERING)
		from = CLUSTER_NAME_LEN;
	if (got != len || memcmp(want + from, have + from,
	    (size_t)len - from) != 0)
		errx(EX_CONFIG, "%s: the log of another node or cluster",
		    n->log_dir);
}

static void
read_cluster(struct node *n)
{
	if (cluster_read(n->o.dir, n->o.id, &n->cluster) == -1) {
		if (errno == ENOENT)
			errx(EX_CONFIG, "%s/n%" PRIu64 "/data: no cluster file: "
			    "raftctl init or raftctl member add makes it",
			    n->o.dir, n->o.id);
		err(errno == EBADMSG ? EX_CONFIG : exit_status(errno),
		    "%s/n%" PRIu64 "/data/cluster", n->o.dir, n->o.id);
	}
	if (n->cluster.state == CLUSTER_RETIRED)
		errx(EX_CONFIG, "n%" PRIu64 ": the cluster was recovered without "
		    "this node; bring in a new one with raftctl member add",
		    n->o.id);
	hex_bytes(n->cluster.name, n->cluster_id, sizeof(n->cluster_id));
}

void
data_open(struct node *n)
{
	read_cluster(n);
	if (snprintf(n->log_dir, sizeof(n->log_dir), "%s/n%" PRIu64 "/data/log",
	    n->o.dir, n->o.id) >= (int)sizeof(n->log_dir))
		errx(EX_CANTCREAT, "%s: the path has more than %zu bytes",
		    n->o.dir, sizeof(n->log_dir) - 24);
	log_fd = open(n->log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log_fd == -1 && errno == ENOENT) {
		if (mkdir(n->log_dir, 0700) == -1)
			err(EX_CANTCREAT, "%s", n->log_dir);
		log_fd = open(n->log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (log_fd == -1)
		err(exit_status(errno), "%s", n->log_dir);
	if (flock(log_fd, LOCK_EX | LOCK_NB) == -1)
		errx(EX_TEMPFAIL, "n%" PRIu64 " is running already", n->o.id);
	/* It may have changed while we did not hold the lock. */
	read_cluster(n);
	check_mark(n);
}
