/*
 * raftnode_member: who belongs to the cluster.  One change at a time, by a
 * leader that has committed in its own term, and never one after which the
 * voters that answer would be less than a majority.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "exits.h"
#include "log.h"
#include "raftnode.h"

static bool
word(const struct resp_arg *arg, const char *text)
{
	return strlen(text) == arg->len &&
	    strncasecmp((const char *)arg->data, text, arg->len) == 0;
}

/* "n4", or "n4=tcp:HOST:PORT". */
static bool
node_id(const struct resp_arg *arg, uint64_t *id,
    char address[CLUSTER_ADDRESS_MAX])
{
	char text[CLUSTER_ADDRESS_MAX + 16];

	if (arg->len >= sizeof(text))
		return false;
	memcpy(text, arg->data, arg->len);
	text[arg->len] = '\0';
	return cluster_parse_member(text, id, address) == 0;
}

static const struct raft_server *
member(const struct node *n, uint64_t id)
{
	const struct raft_configuration *conf = &n->raft.configuration;
	unsigned int i;

	for (i = 0; i < conf->n; i++)
		if (conf->servers[i].id == id)
			return &conf->servers[i];
	return NULL;
}

/* Heard of within an election timeout. */
static bool
alive(const struct node *n, uint64_t id)
{
	int64_t now = mono_now().ns;
	size_t i;

	if (id == n->o.id)
		return true;
	for (i = 0; i < CLUSTER_NODES_MAX; i++)
		if (n->peers[i].id == id)
			return now - n->peers[i].heard_ns <
			    n->o.election_ms * 1000000;
	return false;
}

/* Would a majority of the voters answer, were id (not) one of them? */
static bool
safe(struct node *n, uint64_t id, bool voter, char *why, size_t why_len)
{
	const struct raft_configuration *conf = &n->raft.configuration;
	unsigned int all = 0, up = 0, i;

	for (i = 0; i < conf->n; i++) {
		const struct raft_server *s = &conf->servers[i];

		if (s->id == id ? !voter : s->role != RAFT_VOTER)
			continue;
		all++;
		up += alive(n, s->id);
	}
	if (all > 0 && up >= all / 2 + 1)
		return true;
	(void)snprintf(why, why_len, "ERR there would be %u voters, a majority "
	    "is %u, and %u answer", all, all / 2 + 1, up);
	return false;
}

static void
on_change(struct raft_change *req, int status)
{
	struct node *n = req->data;
	struct slot *s = n->change_slot;
	char text[160];

	if (status == 0 && n->learner != 0) {
		n->state_changed = true;	/* member_go_on() is next */
		n->learner_ready = true;
		return;
	}
	n->change_slot = NULL;
	n->learner = 0;
	if (s == NULL)
		return;
	if (status == 0) {
		slot_reply(s, "+OK\r\n", 5);
	} else if (status == RAFT_NOCONNECTION) {
		slot_error(s, "ERR the node does not answer or cannot keep up");
	} else {
		(void)snprintf(text, sizeof(text), "UNKNOWN %s; see MEMBER LIST",
		    raft_strerror(status));
		slot_error(s, text);
	}
}

/* What was added replicates nothing yet: make it a learner. */
void
member_go_on(struct node *n)
{
	uint64_t id = n->learner;
	struct slot *s = n->change_slot;

	if (!n->learner_ready)
		return;
	n->learner_ready = false;
	n->learner = 0;
	memset(&n->change, 0, sizeof(n->change));
	n->change.data = n;
	if (raft_assign(&n->raft, &n->change, id, RAFT_STANDBY,
	    on_change) == 0)
		return;
	n->change_slot = NULL;
	if (s != NULL)
		slot_error(s, "UNKNOWN added, not a learner yet; add it again");
}

static void
change(struct node *n, const struct request *q, uint64_t id,
    const char *tcp)
{
	const struct raft_server *s = member(n, id);
	char text[160], address[CLUSTER_ADDRESS_MAX];
	bool add = word(&q->argv[1], "ADD");
	bool promote = word(&q->argv[1], "PROMOTE");
	bool remove = word(&q->argv[1], "REMOVE");
	int rv;

	if (n->change_slot != NULL) {
		conn_error(q->conn, "BUSY a change of members is under way");
		return;
	}
	if (add ? s != NULL && s->role != RAFT_SPARE : s == NULL) {
		conn_error(q->conn, add ? "ERR it is a member already" :
		    "ERR it is not a member");
		return;
	}
	if (promote && !alive(n, id)) {
		conn_error(q->conn, "ERR the node does not answer");
		return;
	}
	if (add && s == NULL && n->raft.configuration.n >= CLUSTER_NODES_MAX) {
		conn_error(q->conn, "ERR too many members");
		return;
	}
	if (!add && !safe(n, id, promote, text, sizeof(text))) {
		conn_error(q->conn, text);
		return;
	}
	memset(&n->change, 0, sizeof(n->change));
	n->change.data = n;
	n->learner = add && s == NULL ? id : 0;
	peer_address(id, tcp, address);
	if (remove)
		rv = raft_remove(&n->raft, &n->change, id, on_change);
	else if (add && s == NULL)
		rv = raft_add(&n->raft, &n->change, id, address, on_change);
	else
		rv = raft_assign(&n->raft, &n->change, id,
		    promote ? RAFT_VOTER : RAFT_STANDBY, on_change);
	if (rv == 0) {
		n->change_slot = slot_new(q->conn);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s %s",
	    rv == RAFT_CANTCHANGE ? "BUSY" : "ERR", raft_strerror(rv));
	conn_error(q->conn, text);
}

static void
on_transfer(struct raft_transfer *req)
{
	struct node *n = req->data;
	struct slot *s = n->transfer_slot;
	uint64_t leader = node_leader(n);

	n->transfer_slot = NULL;
	if (s == NULL)
		return;
	if (leader != 0 && leader != n->o.id &&
	    (n->transfer_to == 0 || leader == n->transfer_to))
		slot_reply(s, "+OK\r\n", 5);
	else
		slot_error(s, "ERR leadership was not taken over in time");
}

static void
transfer(struct node *n, const struct request *q, uint64_t to)
{
	char text[160];
	int rv;

	if (n->transfer_slot != NULL) {
		conn_error(q->conn, "BUSY a transfer is under way");
		return;
	}
	if (to == n->o.id) {
		conn_reply(q->conn, "+OK\r\n", 5);
		return;
	}
	if (to != 0 && !alive(n, to)) {
		conn_error(q->conn, "ERR the node does not answer");
		return;
	}
	memset(&n->transfer, 0, sizeof(n->transfer));
	n->transfer.data = n;
	n->transfer_to = to;
	rv = raft_transfer(&n->raft, &n->transfer, to, on_transfer);
	if (rv != 0) {
		(void)snprintf(text, sizeof(text), "ERR %s",
		    rv == RAFT_BADID ? "it is not a voter" :
		    raft_strerror(rv));
		conn_error(q->conn, text);
		return;
	}
	n->transfer_slot = slot_new(q->conn);
}

/* MEMBER LIST | ADD n | PROMOTE n | DEMOTE n | REMOVE n | TRANSFER [n] */
void
member_command(struct node *n, const struct request *q)
{
	char address[CLUSTER_ADDRESS_MAX] = "";
	struct buf b = { 0 };
	uint64_t id = 0;

	if (q->argc == 2 && word(&q->argv[1], "LIST")) {
		/* Who has been removed may not know it. */
		if (!node_is_leader(n) && q->consistency != READ_STALE) {
			forward_request(n, q, false);
			return;
		}
		info_members(n, &b);
		conn_reply(q->conn, b.data, b.len);
		buf_release(&b);
		return;
	}
	if (q->argc < 2 || q->argc > 3 ||
	    (q->argc == 3 && !node_id(&q->argv[2], &id, address)) ||
	    (address[0] != '\0' && !word(&q->argv[1], "ADD")) ||
	    (q->argc == 2 && !word(&q->argv[1], "TRANSFER"))) {
		conn_error(q->conn, "ERR MEMBER LIST, ADD n, PROMOTE n, "
		    "DEMOTE n, REMOVE n or TRANSFER [n]");
		return;
	}
	if (!node_is_leader(n)) {
		forward_request(n, q, true);
	} else if (!n->serving) {
		conn_error(q->conn, "CLUSTERDOWN the leader is new; try again");
	} else if (word(&q->argv[1], "TRANSFER")) {
		transfer(n, q, id);
	} else if (word(&q->argv[1], "ADD") ||
	    word(&q->argv[1], "PROMOTE") || word(&q->argv[1], "DEMOTE") ||
	    word(&q->argv[1], "REMOVE")) {
		change(n, q, id, address);
	} else {
		conn_error(q->conn, "ERR unknown subcommand of MEMBER");
	}
}
