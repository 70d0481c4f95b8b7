/*
 * qpop_run: what the parts that run commands know of each other.
 *
 * One thread does everything but the syncs: it reaps children, passes on what
 * they print, settles their messages and takes the next ones.  All it waits
 * for is behind one epoll descriptor, which queue_wait() watches too.
 */
#ifndef CMD_QPOP_RUN_H
#define CMD_QPOP_RUN_H

#include <sys/resource.h>
#include <sys/types.h>

#include <signal.h>

#include "qpop.h"

struct taken {				/* a message a command has */
	uint64_t seq;
	uint32_t attempt;
};

enum slot_state {
	SLOT_FREE,
	SLOT_RUNS,
	SLOT_ENDED,			/* what it printed is still to pass on */
};

struct slot {
	unsigned int no;		/* from 1 */
	enum slot_state state;
	pid_t pid;			/* and process group */
	int status;			/* of wait(2) */
	struct queue_claim claim;
	struct taken *taken;		/* what the command has, */
	size_t cnt, cap;
	struct taken *spare;		/* and what is put back unseen */
	size_t spare_cnt, spare_cap;
	struct mono alarm;		/* of -T: the next step */
	bool told, killed;		/* TERM, KILL was sent by -T */
	bool put_back;			/* a second signal was passed on */
	int err_fd;			/* its stderr, a file; -1 */
	off_t err_at;			/* up to here it is copied */
	off_t err_kept;			/* from here it is still stored */
	int fate_fd;			/* its descriptor 3, a file; -1 */
	int out_fd, out_in;		/* its stdout, a pipe: ours, its; -1 */
	struct buf line;		/* printed, not yet passed on */
	bool readable;			/* out_fd may have something */
	size_t out_left;		/* of what an ended command printed */
	uint64_t out_end;		/* passed on once out_done is this */
};

struct run {
	struct queue *q;
	const struct options *o;
	struct syncer *syncer;
	struct queue_limits limits;
	struct slot *slots;
	unsigned int running;		/* slots not free */
	uint64_t left;			/* messages still wanted */
	uint64_t taken;			/* messages */
	bool failed;			/* one was not acknowledged, and that's it */
	void *failures;			/* tried, and not mended yet: tsearch(3) */
	size_t failures_cnt;
	int epfd, sigfd;
	sigset_t mask;			/* of signals, as we were given it */
	bool pipe_ignored, xfsz_ignored;	/* likewise */
	struct rlimit files;		/* likewise */
	bool raised;			/* our own limit is higher */
	bool drained;			/* closed, and nothing will come */
	int sig;			/* the first one that asked us to stop */
	int stop_status;		/* 124, 126, 127: a command stopped us */
	int status;			/* the queue failed */
	struct mono sync_at;		/* acknowledgements wait for a sync */
	struct mono look_at;		/* at what commands say on stderr */
	struct mono deadline;		/* of -W */
	/* qpop_spawn.c */
	char *path;			/* of the command's file */
	char **argv_sh;			/* when the kernel does not know it */
	char **envp;
	size_t env_cnt;			/* of them, what every command gets */
	struct buf env;
	/* qpop_relay.c */
	bool relayed;			/* stdout goes through us */
	bool out_gone;			/* its reader went away */
	bool out_polled;		/* we wait until it takes more */
	struct slot *out_owner;		/* whose line is half out */
	struct buf out;
	uint64_t out_put, out_done;	/* bytes that went into out, and out */
};

/* The epoll entries that are no slot's pipe; a slot has its number. */
enum { WATCH_SIGNALS = 0, WATCH_STDOUT = QPOP_JOBS_MAX + 1 };

/* --- qpop_spawn.c ---------------------------------------------------------- */

/*
 * Find the command's file before anything is taken: EX_OK, or EX_NOTFOUND or
 * EX_CANNOTRUN, and it was said.  Exits when memory is short.
 */
int	spawn_init(struct run *r);
void	spawn_release(struct run *r);

/*
 * Read the claim's messages and start the command with them: EX_OK; the
 * slot's taken are set whatever is returned, and its files are there.
 * EX_NOTFOUND, EX_CANNOTRUN: it did not start, and it was said.
 * EX_NO: there was nothing whole in the claim.  Else: the queue or the system
 * failed, and it was said.
 */
int	spawn(struct run *r, struct slot *s);

/* Close what belongs to one run of the slot's command. */
void	spawn_done(struct slot *s);

/* --- qpop_relay.c ---------------------------------------------------------- */

void	relay_init(struct run *r);
void	relay_release(struct run *r);
int	relay_slot(struct run *r, struct slot *s);	/* before it runs: 0, -1 */
void	relay_out(struct run *r);	/* move on what there is */
bool	relay_gone(void);		/* has our stdout nobody to read it? */
void	relay_err(struct run *r, struct slot *s);
void	relay_ended(struct slot *s);
/* Has everything that the ended command printed been passed on? */
bool	relay_over(struct run *r, struct slot *s);
/* The last bytes of its stderr, at most QUEUE_OUTPUT_MAX. */
size_t	relay_tail(const struct slot *s, unsigned char *buf);

/* --- qpop_fate.c ----------------------------------------------------------- */

/* Settle the messages of a command that has ended, and count them. */
void	fate_settle(struct run *r, struct slot *s);
/* Some of them go back, no command has seen them. */
void	fate_put_back(struct run *r, struct slot *s,
	    const struct taken *taken, size_t cnt);
void	fate_release(struct run *r);
/* min(10 m, base x 2^(attempt-1)) x random[0.5,1] */
int64_t	fate_backoff_ns(int64_t base_ns, uint32_t attempt);

/* --- qpop_run.c ------------------------------------------------------------ */

void	run_failed(struct run *r, int status);	/* take no more */

#endif /* CMD_QPOP_RUN_H */
