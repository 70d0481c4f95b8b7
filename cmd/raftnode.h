/* raftnode: what its files share.  One loop, one thread, one struct node. */
#ifndef CMD_RAFTNODE_H
#define CMD_RAFTNODE_H

#include <raft.h>
#include <raft/uv.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "buf.h"
#include "clock.h"
#include "cluster.h"
#include "fsm.h"
#include "resp.h"

#define NODE_CONNS_MAX		1024	/* client connections */
#define NODE_WAITS_MAX		1024	/* RWATCH, TAIL, LOCKWAIT in progress */
#define NODE_SLOTS_MAX		1024	/* unanswered requests a connection */
#define NODE_OUT_MAX		(UINT64_C(32) << 20)	/* replies a connection */
#define NODE_OUT_ALL		(UINT64_C(256) << 20)	/* and all of them */
#define NODE_ENTRY_BYTES	(UINT64_C(512) << 10)	/* a batch is full */
#define NODE_ENTRY_CNT		8192
#define NODE_SEND_MAX		128	/* messages on their way to a peer */
#define NODE_ARGS_MAX		(RESP_ARGS_MAX - 8)	/* a client's request */
#define NODE_SWEEP_MS		1000

enum consistency { READ_LINEAR, READ_LEADER, READ_STALE };

struct node;
struct conn;

/* The place of a reply in its connection's order. */
struct slot {
	STAILQ_ENTRY(slot) entry;
	struct conn *conn;	/* NULL: it is gone */
	bool done;
	struct buf reply;
};

STAILQ_HEAD(slot_list, slot);

/* An answer that waits for something to happen in the state. */
struct park {
	LIST_ENTRY(park) entry;
	struct node *node;
	struct slot *slot;
	uv_timer_t timer;
	uint64_t cursor;
	struct buf args;	/* copies of argv's bytes */
	struct resp_arg *argv;
	size_t argc;
	bool closing;
};

struct conn {
	LIST_ENTRY(conn) entry;
	TAILQ_ENTRY(conn) dirty_entry, stopped_entry;
	struct node *node;
	uv_pipe_t *pipe;
	struct buf in, out, writing;
	uv_write_t write;
	struct slot_list slots;
	size_t slots_cnt;
	enum consistency consistency;
	uint64_t id;
	bool peer;		/* another node forwards */
	bool no_forward;
	bool dirty, reading, stopped, ending, closing, write_busy;
	char name[64];
};

/* A command with all that travels with it. */
struct request {
	struct conn *conn;
	const struct resp_arg *argv;
	size_t argc;
	enum consistency consistency;
	const unsigned char *client;
	size_t client_len;
	uint64_t seq;
	bool session;
};

/* A read that waits for a round, behind so many of its writes. */
struct waiting_read {
	struct slot *slot;
	size_t after;
	size_t at, argc;	/* in round.args */
};

/* What goes through the log together; see raftnode_round.c. */
struct round {
	struct fsm_batch batch;
	struct slot **writes;
	size_t writes_cnt, writes_cap, answered;
	struct waiting_read *reads;
	size_t reads_cnt, reads_cap, read_next;
	struct buf args;
	uint64_t origin;	/* 0: only reads, behind a confirmation */
};

struct forward {
	STAILQ_ENTRY(forward) entry;
	struct slot *slot;
	bool write;
	int64_t sent_ns;
};

/* The connection to the leader over which requests are passed on. */
struct link {
	uv_pipe_t *pipe;	/* NULL: not connected */
	uint64_t to;
	struct buf in, out;
	STAILQ_HEAD(forward_list, forward) sent;
	size_t sent_cnt;
};

struct peer {
	uint64_t id;		/* 0: free */
	unsigned int sending;
	int64_t heard_ns;
};

#define LATENCIES	1024

struct options {
	const char *dir;
	uint64_t id;
	bool links;
	int64_t election_ms, heartbeat_ms;
	uint64_t reserve;
	unsigned int snapshot_entries;
	int ready_fd;
	const char *listen;	/* clients by TCP, or NULL */
	bool last, verbose, quiet;
};

struct node {
	struct options o;
	struct cluster cluster;
	unsigned char cluster_id[CLUSTER_NAME_LEN / 2];
	char log_dir[512];
	uv_loop_t *loop;

	/* raft */
	struct raft raft;
	struct raft_io io;
	struct raft_uv_transport transport;
	struct raft_fsm raft_fsm;
	struct raft_tracer tracer;
	struct fsm *fsm;
	bool state_changed, closing;
	unsigned short last_state;
	raft_term last_term;
	raft_id last_leader;
	bool serving;		/* leader, and an entry of ours is committed */
	raft_term serving_term;
	int64_t clock_base, boot_base;	/* the cluster clock while serving */
	uint64_t applied_bytes;	/* since the last snapshot */
	bool disk_full;
	struct peer peers[CLUSTER_NODES_MAX];
	int64_t latency_ns[LATENCIES];
	uint64_t latency_cnt;
	int64_t slow_told_ns;

	/* rounds */
	struct round rounds[2];
	struct round *next, *flying;
	uint64_t origin;
	bool tick_wanted;
	uv_timer_t due_timer;
	int64_t due_at;

	/* clients */
	LIST_HEAD(conn_set, conn) conns;
	TAILQ_HEAD(conn_list, conn) dirty, stopped;
	LIST_HEAD(park_set, park) parks;
	size_t conns_cnt, parks_cnt;
	uint64_t out_bytes, next_conn, commands;
	bool applied_something;
	struct link link;
	uv_poll_t client_poll, peer_poll;
	uv_poll_t client_tcp_poll, peer_tcp_poll;
	int client_fd, peer_fd, client_tcp_fd, peer_tcp_fd;
	uv_check_t check;
	uv_prepare_t prepare;
	uv_timer_t sweep_timer;
	uv_signal_t sigint, sigterm;
	int signal;

	/* membership */
	struct raft_change change;
	struct slot *change_slot;
	uint64_t learner;	/* added, to become a learner next; 0: none */
	bool learner_ready;
	struct raft_transfer transfer;
	struct slot *transfer_slot;
	uint64_t transfer_to;
};

/* raftnode_data.c */
void	data_open(struct node *n);
void	data_own(struct node *n);	/* mark the log as this cluster's */

/* raftnode_raft.c */
void	node_raft_init(struct node *n);
void	node_raft_start(struct node *n);
void	node_raft_receive(struct node *n, struct raft_message *m);
_Noreturn void	node_raft_last(struct node *n);	/* --last */
void	node_raft_watch(struct node *n);	/* follow changes of state */
void	node_raft_close(struct node *n);
int64_t	node_clock(const struct node *n);	/* the cluster clock, serving */
uint64_t	node_leader(const struct node *n);	/* 0: none known */
bool	node_is_leader(const struct node *n);
int64_t	node_latency_p99(const struct node *n);
void	node_snapshot_now(struct node *n);
void	node_disk_check(struct node *n);
void	node_die(struct node *n, int status, const char *why)
	    __attribute__((noreturn));

/* raftnode_trace.c */
void	node_trace(struct raft_tracer *t, int type, const void *info);

/* raftnode_peer.c */
void	peer_init(struct node *n);
void	peer_accept(struct node *n, int from);
void	peer_sweep(struct node *n);
void	peer_stop(struct node *n);

/*
 * The address of a member as it stands in the log: "tcp:...", or for "" nK: in
 * the file system.
 */
void	peer_address(uint64_t id, const char *address,
	    char out[CLUSTER_ADDRESS_MAX]);

/*
 * A socket that is connected, or will be, and the hello that must be written
 * first; -1.
 */
#define PEER_HELLO_LEN	48

int	peer_connect(struct node *n, uint64_t to, int kind,
	    unsigned char hello[PEER_HELLO_LEN]);

/* Queue a copy: 0, or an error of libuv's. */
int	peer_send(uv_pipe_t *pipe, const void *data, size_t len);

#define PEER_RAFT	1
#define PEER_FORWARD	2

/* raftnode_receive.c: a peer's messages; takes the pipe, from raft_malloc() */
void	receive_new(struct node *n, uint64_t id, uv_pipe_t *pipe);
void	receive_stop(void);

/* raftnode_conn.c */
struct conn	*conn_new(struct node *n, uv_pipe_t *pipe, bool peer);
void	conn_accept(struct node *n, int from);
void	conn_close(struct conn *c);
void	conn_flush_all(struct node *n);
void	conn_resume_all(struct node *n);
struct slot	*slot_new(struct conn *c);
void	slot_reply(struct slot *s, const void *data, size_t len);
void	slot_error(struct slot *s, const char *text);
void	conn_reply(struct conn *c, const void *data, size_t len);
void	conn_error(struct conn *c, const char *text);

/* raftnode_cmd.c */
void	command(struct conn *c, const struct resp_arg *argv, size_t argc);

/* raftnode_info.c */
void	info_text(struct node *n, struct buf *out);
void	info_members(struct node *n, struct buf *out);

/* raftnode_round.c */
void	round_init(struct node *n);
void	round_add(struct node *n, const struct request *q, bool write);
bool	round_full(const struct node *n);
void	round_submit(struct node *n);
void	round_applied(struct node *n, const struct raft_buffer *entry);
void	round_lost(struct node *n);	/* no longer leader */
void	round_due(struct node *n);

void	round_confirmed(struct node *n);	/* still the leader */

/* raftnode_confirm.c */
void	confirm_init(struct node *n);
void	confirm_begin(struct node *n);
void	confirm_end(void);
void	confirm_answer(struct node *n, uint64_t term, uint64_t number,
	    struct buf *out);

/* raftnode_park.c */
void	park_add(struct node *n, const struct request *q);
void	park_look(struct node *n);
void	park_leave(struct node *n, const struct slot *s);
void	park_leave_all(struct node *n, const struct conn *c);

/* raftnode_forward.c */
void	forward_init(struct node *n);
void	forward_request(struct node *n, const struct request *q, bool write);
void	forward_close(struct node *n, const char *why);
void	forward_flush(struct node *n);
void	forward_sweep(struct node *n);

/* raftnode_member.c */
void	member_command(struct node *n, const struct request *q);
void	member_go_on(struct node *n);	/* the second half of an addition */

#endif /* CMD_RAFTNODE_H */
