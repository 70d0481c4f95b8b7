/*
 * cap-demo_run: what the parts of the driver share.
 *
 * Time:    nanoseconds of CLOCK_MONOTONIC since the load began; one process,
 *          one clock.  due is when an operation should have begun, start when
 *          it was sent, end when its answer was there.
 */
#ifndef CMD_CAP_DEMO_RUN_H
#define CMD_CAP_DEMO_RUN_H

#include <sys/types.h>

#include <signal.h>
#include <stdio.h>

#include "abd.h"
#include "cap-demo.h"

enum phase { BEFORE, DURING, AFTER, FINAL, PHASES };
enum side { MAJORITY, MINORITY, ISOLATED, BRIDGE, SIDES };

/* What a key is for; register keys come first. */
enum class { STRONG_KEYS, EVENTUAL_KEYS, MIXED_KEYS, REGISTERS,
    SET_KEYS = REGISTERS, COUNTER_KEYS, CLASSES };

#define LEVELS		2		/* enum regwire_level */
#define KEYS_MAX	16
#define NEVER		INT64_MAX
#define NO_VALUE	UINT32_MAX	/* a read that found something else */

struct key {
	char name[40];
	enum class class;
	enum regwire_level level;	/* of sets and counters */
};

struct rec {
	int64_t due, start, end;	/* end is NEVER while open */
	struct stamp stamp;		/* of what was written or read */
	uint32_t value;			/* 0 nil, else of record value - 1 */
	uint32_t session, process;
	uint8_t key, node, phase, level, outcome, rounds, reason, siblings;
	bool put, done, modify;		/* modify: of a read-modify-write */
	bool roaming;			/* its client goes to any replica */
	/* Of an acknowledged write: */
	bool replaced;			/* somebody saw it and wrote over it */
	bool current;			/* read at the end */
	bool read, read_after;		/* was ever read; after healing */
};

/* A process of ours and its readiness. */
struct child {
	pid_t pid;			/* 0: none */
	int ready;			/* read end of its ready descriptor */
};

struct link_proof {
	unsigned int from, to;
	uint64_t held, dropped, deferred;	/* bytes, bytes, connections */
	char from_name[40], to_name[40];
	bool blocked;
};

struct net {
	char *dir;			/* of the net and the replicas */
	bool own_dir;			/* made by us, to be removed */
	int control;
	struct child partsim, nodes[DVV_NODES_MAX + 1];
	struct conn conns[DVV_NODES_MAX + 1];
	unsigned int cnt;
	char names[DVV_NODES_MAX + 1][40];	/* as the net knows them */
	struct link_proof *proofs;	/* of every link, at the end of DURING */
	size_t proofs_cnt;
	enum side side[DVV_NODES_MAX + 1];
	char groups[128];		/* "n3/n1,n2", or the shape's name */
};

struct run {
	const struct options *o;
	struct net net;
	uint64_t random;
	struct mono zero;		/* when the load began */
	int64_t cut_ns, heal_ns, end_ns;	/* the phases */
	int64_t healed_ns, converged_ns;	/* -1: did not */
	struct key keys[KEYS_MAX];
	size_t keys_cnt;
	struct rec *recs;
	size_t recs_cnt, recs_cap, open;
	uint32_t sessions_cnt;
	uint64_t sync_bytes, declined;
	bool equal_digests;		/* at the very end */
	/* Final contents of sets and counters, per key. */
	char *final[KEYS_MAX];
};

/* --- cap-demo_net.c: processes and the net ------------------------------- */

void	net_start(struct net *n, const struct options *o);
void	net_attach(struct net *n, const struct options *o);	/* probe */
void	net_stop(struct net *n);
/* One verb; the answer's lines without the last, which must be ok, in out
 * (may be NULL).  Exits when the net refuses. */
void	net_tell(struct net *n, struct buf *out, const char *format, ...)
	    __attribute__((format(printf, 3, 4)));
void	net_look(struct net *n, bool sides);	/* proofs; and sides */
void	net_cut(struct net *n, const char *shape, const char *mode);
void	net_kill_node(struct net *n, unsigned int id);
void	net_start_node(struct net *n, const struct options *o, unsigned int id);
void	net_wait_node(struct net *n, unsigned int id);
void	net_forget_data(struct net *n, unsigned int id);	/* amnesia */
void	net_connect(struct net *n, unsigned int id);
bool	net_bit(const struct net *n);	/* every cut link held something */
char	*net_program(const char *name);	/* beside us, or as it is */
void	net_signals(void);		/* end by INT, TERM: clean up first */
extern volatile sig_atomic_t net_caught;
_Noreturn void	net_die(struct net *n);	/* of the caught signal */
char	*net_dir_of(const struct options *o, bool *own);

/* --- cap-demo_load.c: the load ------------------------------------------- */

void	load_keys(struct run *r);
/* Until all replicas see all: before that, strong operations are refused. */
void	load_wait_seen(struct run *r);
void	load_begin(struct run *r);
/* Operations as they fall due, until this time; returns then. */
void	load_until(struct run *r, int64_t until_ns, enum phase phase);
/* Wait for what is open, at most this long; then it stays open. */
void	load_drain(struct run *r, int64_t limit_ns);
/* Ask all for their digests until they are equal: 0, or -1 after limit. */
int	load_converge(struct run *r, int64_t limit_ns);
void	load_final_reads(struct run *r);
/* A new record, zeroed but for its end; moves the others. */
struct rec	*load_rec(struct run *r);
/* What a register's text names: a record's number plus one, 0, NO_VALUE. */
uint32_t	load_value(const struct run *r, const unsigned char *text);
void	load_end(struct run *r);
int64_t	run_now(const struct run *r);
uint64_t	draw(uint64_t *random, uint64_t below);
double	draw_exp(uint64_t *random);	/* mean 1 */

/* --- cap-demo_run.c ------------------------------------------------------- */

/* A phase ended now: those behind it last as long as they should, however
 * late they begin. */
void	run_shift(struct run *r, enum phase ended);

/* --- cap-demo_judge.c: what it amounts to --------------------------------- */

struct cell {				/* phase x side x level */
	unsigned int tried, ok, refused, unknown, reads, stale;
	int64_t p50, p99;		/* of ok, from due; -1 none */
	int64_t refuse50;		/* time to refuse */
	int64_t stale_max_ns;
	unsigned int stale_max_k;
};

struct fate {				/* of the writes of a class at a level */
	unsigned int acked, current, replaced, lost_read, lost_unread;
	unsigned int refused, unknown, appeared, revived;
	unsigned int unexpected;	/* refused, and yet read */
	unsigned int undone;		/* strong, lost to an eventual write */
	unsigned int overtaken;		/* lost to a write acked before */
};

struct judged {				/* one history, by lincheck */
	int status;			/* 0 yes, 1 no, 2 unknown; -1 not run */
	unsigned int ops;
	char verdict[32], anomaly[160];
	struct buf text;		/* all lincheck said */
};

struct rmw {				/* sets and counters at a level */
	unsigned int acked, unknown, present, lost, strange;
};

/* Strong operations, eventual writes of their keys being indeterminate; those
 * of eventual keys; strong keys with eventual writes as done. */
enum history { OF_STRONG, OF_EVENTUAL, OF_PLAIN };

enum verdict { INCONCLUSIVE, BEHAVED_CP, BEHAVED_AP, BEHAVED_NEITHER,
    NOT_ASKED };

struct results {
	struct cell cells[PHASES][SIDES][LEVELS];
	struct fate fates[REGISTERS][LEVELS];
	struct rmw sets[LEVELS], counters[LEVELS];
	unsigned int session[4][2];	/* RYW MR MW WFR, sticky and roaming */
	unsigned int siblings_max;
	struct judged strong, eventual, plain;
	enum verdict verdict[LEVELS];
	unsigned int unanswered[LEVELS];	/* in DURING, for A */
	unsigned int asked[LEVELS];
	bool bit, converged;
	int status;			/* exit */
};

/* Everything but the exit status of probe, which has its own promises. */
void	judge(struct run *r, struct results *res);

void	judge_history(const struct run *r, FILE *f, enum history which);
int64_t	judge_percentile(int64_t *v, size_t cnt, unsigned int percent);
/* Write that history there and run lincheck on it. */
void	judge_lincheck(const struct run *r, enum history which,
	    const char *file, struct judged *j);
enum verdict	judge_cap(const struct judged *c, unsigned int asked,
	    unsigned int unanswered);
/* For each read: how stale, 0 not; and by how many versions. */
void	judge_stale(const struct run *r, int64_t *age, unsigned int *behind);

/* --- cap-demo_show.c, cap-demo_report.c ------------------------------------ */

void	show_text(const struct run *r, const struct results *res);
void	show_json(const struct run *r, const struct results *res);
void	show_progress(const struct run *r, int64_t now);
void	show_progress_end(void);
void	show_verdict(FILE *f, const struct run *r, const struct results *res,
	    enum regwire_level level);
const char *show_ms(int64_t ns, char buf[24]);
extern const char *const phase_names[], *const side_names[],
    *const level_names[], *const class_names[], *const verdict_names[];

void	report_check(void);		/* is gnuplot there? */
void	report_write(const struct run *r, const struct results *res);

#endif /* CMD_CAP_DEMO_RUN_H */
