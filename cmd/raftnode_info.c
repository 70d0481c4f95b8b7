/* raftnode_info: the text of INFO, and the list of members. */

#include <inttypes.h>
#include <string.h>

#include "exits.h"
#include "raftnode.h"

static unsigned int
voters(const struct raft_configuration *conf)
{
	unsigned int i, n = 0;

	for (i = 0; i < conf->n; i++)
		n += conf->servers[i].role == RAFT_VOTER;
	return n;
}

static const char *
role_name(int role)
{
	return role == RAFT_VOTER ? "voter" : role == RAFT_STANDBY ?
	    "learner" : "spare";
}

static const char *
own_role(struct node *n)
{
	if (node_is_leader(n))
		return "leader";
	if (raft_role(&n->raft) != RAFT_VOTER)
		return "learner";
	return n->raft.state == RAFT_CANDIDATE ? "candidate" : "follower";
}

static void
put_members(struct node *n, struct buf *out)
{
	const struct raft_configuration *conf = &n->raft.configuration;
	unsigned int i;

	(void)buf_put_str(out, "members:");
	for (i = 0; i < conf->n; i++)
		(void)buf_printf(out, "%sn%llu=%s", i > 0 ? "," : "",
		    conf->servers[i].id, role_name(conf->servers[i].role));
	(void)buf_put_str(out, "\r\n");
}

/* How far the others are, as the leader knows. */
static void
put_peers(struct node *n, struct buf *out)
{
	const struct raft_configuration *conf = &n->raft.configuration;
	int64_t now = mono_now().ns;
	raft_index match;
	unsigned int i, j;

	for (i = 0; i < conf->n; i++) {
		raft_id id = conf->servers[i].id;
		int64_t heard = -1;

		if (id == n->o.id ||
		    raft_match_index(&n->raft, id, &match) != 0)
			continue;
		for (j = 0; j < CLUSTER_NODES_MAX; j++)
			if (n->peers[j].id == id && n->peers[j].heard_ns != 0)
				heard = (now - n->peers[j].heard_ns) / 1000000;
		(void)buf_printf(out, "peer_n%llu:match=%llu,lag=%llu,"
		    "heard_ms=%" PRId64 "\r\n", id, match,
		    raft_last_index(&n->raft) - match, heard);
	}
}

static void
put_raft(struct node *n, struct buf *out)
{
	uint64_t leader = node_leader(n);
	unsigned int cnt = voters(&n->raft.configuration);

	(void)buf_printf(out, "# Raft\r\nid:n%" PRIu64 "\r\ncluster:%s\r\n"
	    "role:%s\r\n", n->o.id, n->cluster.name, own_role(n));
	if (leader != 0)
		(void)buf_printf(out, "leader:n%" PRIu64 "\r\n", leader);
	else
		(void)buf_put_str(out, "leader:\r\n");
	(void)buf_printf(out, "term:%llu\r\nvoted_for:%llu\r\n"
	    "commit:%llu\r\napplied:%llu\r\nlast:%llu\r\nserving:%d\r\n"
	    "voters:%u\r\nquorum:%u\r\n",
	    raft_current_term(&n->raft), raft_voted_for(&n->raft),
	    raft_commit_index(&n->raft), raft_last_applied(&n->raft),
	    raft_last_index(&n->raft), n->serving, cnt, cnt / 2 + 1);
	put_members(n, out);
	(void)buf_printf(out, "fsync_p99_us:%" PRId64 "\r\n",
	    node_latency_p99(n) / 1000);
	if (node_is_leader(n))
		put_peers(n, out);
}

void
info_text(struct node *n, struct buf *out)
{
	struct fsm_info i;

	fsm_info(n->fsm, &i);
	(void)buf_printf(out, "# Server\r\nserver:raftnode\r\nversion:%s\r\n"
	    "process_id:%d\r\n\r\n", VERSION, (int)uv_os_getpid());
	put_raft(n, out);
	(void)buf_printf(out, "digest:%016" PRIx64 "\r\nentries:%" PRIu64
	    "\r\n\r\n# State\r\nrevision:%" PRIu64 "\r\nkeys:%" PRIu64
	    "\r\nlocks:%" PRIu64 "\r\nsessions:%" PRIu64 "\r\nbytes:%" PRIu64
	    "\r\ntoken:%" PRIu64 "\r\nwatch_first:%" PRIu64
	    "\r\ntail_first:%" PRIu64 "\r\ntail_next:%" PRIu64
	    "\r\nclock_ms:%" PRId64 "\r\n\r\n",
	    i.digest, i.batches, i.rev, i.keys, i.locks, i.sessions, i.bytes,
	    i.token, i.watch_first, i.tail_first, i.tail_next, i.clock_ms);
	if (buf_printf(out, "# Clients\r\nconnected_clients:%zu\r\n"
	    "waiting:%zu\r\ncommands:%" PRIu64 "\r\noutput_bytes:%" PRIu64
	    "\r\ndisk_full:%d\r\n", n->conns_cnt, n->parks_cnt, n->commands,
	    n->out_bytes, n->disk_full) == -1)
		node_die(n, EX_OSERR, "out of memory");
}

/* [[id, role, address] ...]; the address is nK in the file system */
void
info_members(struct node *n, struct buf *out)
{
	const struct raft_configuration *conf = &n->raft.configuration;
	const char *role, *address;
	char id[32];
	unsigned int i;
	int rc = resp_array(out, conf->n);

	for (i = 0; i < conf->n; i++) {
		role = role_name(conf->servers[i].role);
		(void)snprintf(id, sizeof(id), "n%llu", conf->servers[i].id);
		address = conf->servers[i].address;
		rc |= resp_array(out, 3);
		rc |= resp_bulk(out, id, strlen(id));
		rc |= resp_bulk(out, role, strlen(role));
		rc |= resp_bulk(out, address, strlen(address));
	}
	if (rc != 0)
		node_die(n, EX_OSERR, "out of memory");
}
