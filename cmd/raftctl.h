/* raftctl: what its files share. */
#ifndef CMD_RAFTCTL_H
#define CMD_RAFTCTL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "cluster.h"
#include "frame.h"

#define CTL_ARGS_MAX	1000

struct ctl {
	const char *dir;
	uint64_t id;		/* -i: only this node; 0: any */
	const char *consistency;
	int64_t wait_ns, try_ns;	/* in all; for one answer */
	bool quiet, verbose;

	/* options of verbs */
	const char *fence, *old_value, *value;
	int64_t ttl_ns;		/* 0: none */
	uint64_t rev, count;
	int busy_status;
	bool has_rev, absent, follow, longer, json, yes;
	struct frame how;	/* of records, read or written */

	/* the connection */
	redisContext *ctx;
	uint64_t at;		/* the node it goes to */
	uint64_t nodes[CLUSTER_NODES_MAX];
	size_t nodes_cnt, next_node;
	char client[48];
	uint64_t seq;
};

struct words {
	const char *v[CTL_ARGS_MAX];
	size_t len[CTL_ARGS_MAX];
	int cnt;
};

void	words_add(struct words *w, const char *text);
void	words_add_bytes(struct words *w, const void *data, size_t len);
void	words_add_int(struct words *w, char *room, size_t room_len, int64_t v);

/* raftctl_conn.c */
void	ctl_find_nodes(struct ctl *c);	/* that are not retired */
bool	ctl_connect(struct ctl *c, uint64_t id, int64_t timeout_ns);
void	ctl_drop(struct ctl *c);
void	ctl_rotate(struct ctl *c);

/*
 * One try, on any node: a reply, or NULL: nobody answered, or not in time.
 * *maybe is set when the request may have reached somebody.
 */
redisReply	*ctl_try(struct ctl *c, const struct words *w,
		    struct mono deadline, int64_t timeout_ns, bool *maybe);

/*
 * Until it is answered or -W is over; then the program ends with 69, or with 79
 * when a write may have happened.  An error that is an answer is returned.
 */
redisReply	*ctl_read(struct ctl *c, const struct words *w);
redisReply	*ctl_write(struct ctl *c, const struct words *w);

/* End the program if this is an error, with the status it stands for. */
void	ctl_check(const redisReply *r);
bool	ctl_error_is(const redisReply *r, const char *code);
void	ctl_nap(void);

/* raftctl_out.c: the record in the framing that was asked for */
struct json_object;
void	ctl_record(const struct ctl *c, const struct buf *record);
void	ctl_flush(void);
struct json_object	*ctl_json(void);
void	ctl_json_int(struct json_object *o, const char *name, int64_t v);
void	ctl_json_bytes(struct json_object *o, const char *name,
	    const redisReply *r);
void	ctl_json_text(struct json_object *o, const char *name,
	    const char *text);
void	ctl_json_line(struct json_object *o);	/* and free it */

/* the verbs: operands without the verb itself; an exit status */
int	ctl_get(struct ctl *c, int argc, char *argv[]);
int	ctl_put(struct ctl *c, int argc, char *argv[]);
int	ctl_cas(struct ctl *c, int argc, char *argv[]);
int	ctl_del(struct ctl *c, int argc, char *argv[]);
int	ctl_list(struct ctl *c, int argc, char *argv[]);
int	ctl_watch(struct ctl *c, int argc, char *argv[]);
int	ctl_propose(struct ctl *c, int argc, char *argv[]);
int	ctl_tail(struct ctl *c, int argc, char *argv[]);
int	ctl_lock(struct ctl *c, int argc, char *argv[]);
int	ctl_elect(struct ctl *c, int argc, char *argv[]);
int	ctl_init(struct ctl *c, int argc, char *argv[]);
int	ctl_status(struct ctl *c, int argc, char *argv[]);
int	ctl_wait(struct ctl *c, int argc, char *argv[]);
int	ctl_member(struct ctl *c, int argc, char *argv[]);
int	ctl_transfer(struct ctl *c, int argc, char *argv[]);
int	ctl_snapshot(struct ctl *c, int argc, char *argv[]);
int	ctl_recover(struct ctl *c, int argc, char *argv[]);
_Noreturn void	ctl_usage(void);
_Noreturn void	ctl_stdout_failed(void);

/* raftctl_guard.c: run a command while a lease is good */
struct lease;
struct lease	*lease_new(void);
void	lease_until(struct lease *l, int64_t end_ns, int64_t ttl_ns);
bool	lease_lost(const struct lease *l);
int	lease_run(struct lease *l, char *argv[],
	    bool (*renew)(void *arg, struct lease *l), void *arg);

#endif /* CMD_RAFTCTL_H */
