/*
 * raftctl_recover: a new cluster from what one node has, when a majority of the
 * old one is lost for ever.  raftnode reads the logs and does the work; here the
 * node is chosen, all others are retired, and the cluster file of the one gets a
 * new name, so that whoever is left of the old cluster is a stranger to it.
 *
 * The others are retired first: whenever we die, recover may be run again.
 */

#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"
#include "raftctl.h"

extern char **environ;

enum found { USABLE, RUNNING, UNREADABLE, RETIRED };

struct survivor {
	struct cluster cluster;
	enum found found;
	uint64_t term, index;
};

/* Run raftnode --last; its exit status, and what it says. */
static int
run_raftnode(const struct ctl *c, uint64_t id, char *out, size_t out_len)
{
	posix_spawn_file_actions_t actions;
	char name[24], dir_opt[] = "-C", id_opt[] = "-i", last[] = "--last";
	char prog[] = "raftnode", *dir = strdup(c->dir);
	char *argv[] = { prog, dir_opt, dir, id_opt, name, last, NULL };
	int fds[2], rc, status;
	ssize_t n;
	pid_t pid;

	(void)snprintf(name, sizeof(name), "n%" PRIu64, id);
	if (dir == NULL || pipe2(fds, O_CLOEXEC) == -1 ||
	    posix_spawn_file_actions_init(&actions) != 0 ||
	    posix_spawn_file_actions_adddup2(&actions, fds[1], 1) != 0)
		err(EX_OSERR, NULL);
	rc = posix_spawnp(&pid, prog, &actions, NULL, argv, environ);
	if (rc != 0)
		errc(EX_OSERR, rc, "raftnode");
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(fds[1]);
	n = read(fds[0], out, out_len - 1);	/* one line, written at once */
	out[n < 0 ? 0 : n] = '\0';
	(void)close(fds[0]);
	free(dir);
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			err(EX_OSERR, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_OSERR;
}

static void
look(const struct ctl *c, uint64_t id, struct survivor *s)
{
	char text[64], *index;

	s->found = UNREADABLE;
	if (cluster_read(c->dir, id, &s->cluster) == -1) {
		warn("n%" PRIu64, id);
		return;
	}
	if (s->cluster.state == CLUSTER_RETIRED) {
		s->found = RETIRED;
		return;
	}
	switch (run_raftnode(c, id, text, sizeof(text))) {
	case EX_OK:
		break;
	case EX_TEMPFAIL:
		s->found = RUNNING;
		return;
	default:
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	if ((index = strchr(text, ' ')) == NULL)
		return;
	*index++ = '\0';
	if (num_u64(text, 0, UINT64_MAX, &s->term) == 0 &&
	    num_u64(index, 0, UINT64_MAX, &s->index) == 0 && s->index > 0)
		s->found = USABLE;
}

static void
show(const struct ctl *c, const struct survivor *all)
{
	size_t i;

	for (i = 0; i < c->nodes_cnt; i++) {
		printf("n%" PRIu64 "\t", c->nodes[i]);
		if (all[i].found == USABLE)
			printf("term %" PRIu64 "\tindex %" PRIu64 "\n",
			    all[i].term, all[i].index);
		else
			printf("%s\n", all[i].found == RUNNING ? "running" :
			    all[i].found == RETIRED ? "retired" :
			    "not readable");
	}
}

static bool
ahead(const struct survivor *a, const struct survivor *b)
{
	return a->term != b->term ? a->term > b->term : a->index > b->index;
}

/* The one that would win an election; of equals the first. */
static size_t
choose(const struct ctl *c, const struct survivor *all)
{
	size_t i, best = SIZE_MAX;

	for (i = 0; i < c->nodes_cnt; i++) {
		if (all[i].found != USABLE)
			continue;
		if (best != SIZE_MAX && strcmp(all[i].cluster.name,
		    all[best].cluster.name) != 0)
			errx(EX_DATAERR, "n%" PRIu64 " and n%" PRIu64 " are of "
			    "different clusters", c->nodes[best], c->nodes[i]);
		if (best == SIZE_MAX || ahead(&all[i], &all[best]))
			best = i;
	}
	if (best == SIZE_MAX)
		errx(EX_NOINPUT, "%s: no node whose log can be read", c->dir);
	return best;
}

static void
must_write(const struct ctl *c, const struct cluster *cl)
{
	if (cluster_write(c->dir, cl) == -1)
		err(exit_status(errno), "n%" PRIu64, cl->id);
}

static void
go_on_with(const struct ctl *c, struct survivor *all, size_t best)
{
	struct cluster *cl = &all[best].cluster;
	size_t i;

	for (i = 0; i < c->nodes_cnt; i++) {
		if (i == best || all[i].cluster.id == 0)
			continue;
		all[i].cluster.state = CLUSTER_RETIRED;
		must_write(c, &all[i].cluster);
	}
	if (cluster_name(cl->name) == -1)
		err(EX_OSERR, "getrandom");
	cl->state = CLUSTER_RECOVERING;
	cl->voters_cnt = 1;
	cl->voters[0] = cl->id;
	(void)strlcpy(cl->addresses[0], cl->address, sizeof(cl->address));
	must_write(c, cl);
}

int
ctl_recover(struct ctl *c, int argc, char *argv[])
{
	static struct survivor all[CLUSTER_NODES_MAX];
	uint64_t want = 0;
	size_t i, best;

	if (argc > 1)
		ctl_usage();
	if (argc == 1 && cluster_parse_id(argv[0], &want) == -1)
		errx(EX_USAGE, "%s: not a node", argv[0]);
	ctl_find_nodes(c);
	for (i = 0; i < c->nodes_cnt; i++)
		look(c, c->nodes[i], &all[i]);
	show(c, all);
	if (fflush(stdout) == EOF)
		ctl_stdout_failed();
	for (i = 0; i < c->nodes_cnt; i++)
		if (all[i].found == RUNNING)
			errx(EX_TEMPFAIL, "n%" PRIu64 " is running: stop all "
			    "nodes that are left", c->nodes[i]);
	best = choose(c, all);
	if (want != 0 && want != c->nodes[best])
		errx(EX_DATAERR, "n%" PRIu64 " is not the one that knows most, "
		    "which is n%" PRIu64, want, c->nodes[best]);
	if (!c->yes) {
		warnx("nothing done.  With -y, n%" PRIu64 " becomes the only "
		    "voter of a new cluster, and the others are retired; what "
		    "was acknowledged and is not in its log is lost",
		    c->nodes[best]);
		return EX_NO;
	}
	go_on_with(c, all, best);
	if (!c->quiet)
		warnx("n%" PRIu64 " is the only voter of cluster %s; start it, "
		    "then member add new nodes", c->nodes[best],
		    all[best].cluster.name);
	return EX_OK;
}
