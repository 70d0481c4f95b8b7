/*
 * qpop_run: give messages to commands.
 *
 * A slot takes a claim of its own, with a holder that its command alone
 * inherits, starts the command, and is free again once the command has ended,
 * what it printed has been passed on and its messages are settled.  While the
 * command starts, another thread makes the claim durable, so that a try counts
 * even if it brings the machine down.
 *
 * The first signal lets running commands end; the second one is passed on to
 * them, and their messages are put back.  When the queue fails, what runs is
 * let end as well; its messages come again.
 */

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"
#include "qpop_run.h"

#define BATCH_BYTES	(16U << 20)	/* of messages in one command */
#define KILL_NS		(5 * NUM_NS_PER_S)	/* between TERM and KILL */
#define LOOK_NS		(NUM_NS_PER_S / 10)
#define SYNC_NS		NUM_NS_PER_S
#define FILES_SPARE	64U
#define FILES_SLOT	6U
#define EVENTS_MAX	64

void
run_failed(struct run *r, int status)
{
	if (r->status == 0)
		r->status = status;
}

static void
queue_failed(struct run *r)
{
	int errnum = errno;

	if (r->status == 0)
		warn("%s", r->o->path);
	run_failed(r, exit_status(errnum));
}

static bool
stopping(const struct run *r)
{
	return r->left == 0 || r->sig != 0 || r->stop_status != 0 ||
	    r->status != 0 || r->out_gone;
}

/* --- signals -------------------------------------------------------------------- */

/* They are read from a descriptor; ignored ones stay ignored. */
static int
take_signals(struct run *r)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGTSTP };
	struct epoll_event ev = { .events = EPOLLIN,
	    .data.u32 = WATCH_SIGNALS };
	struct sigaction sa = { .sa_handler = SIG_IGN }, old;
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(*sigs); i++)
		if (sigaction(sigs[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			(void)sigaddset(&set, sigs[i]);
	(void)sigaction(SIGPIPE, &sa, &old);
	r->pipe_ignored = old.sa_handler == SIG_IGN;
	r->xfsz_ignored = r->o->xfsz_ignored;
	(void)signal(SIGCHLD, SIG_DFL);		/* or there is no status */
	(void)sigprocmask(SIG_BLOCK, &set, &r->mask);
	r->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	r->epfd = epoll_create1(EPOLL_CLOEXEC);
	return r->sigfd == -1 || r->epfd == -1 ? -1 :
	    epoll_ctl(r->epfd, EPOLL_CTL_ADD, r->sigfd, &ev);
}

static void
pass_on(struct run *r, int sig)
{
	for (unsigned int i = 0; i < r->o->jobs; i++) {
		struct slot *s = &r->slots[i];

		if (s->state == SLOT_RUNS) {
			s->put_back = true;
			(void)kill(-s->pid, sig);
		}
	}
}

/* The keyboard stops us when no thread holds a lock of the queue. */
static void
suspend(struct run *r)
{
	syncer_rest(r->syncer);
	(void)kill(getpid(), SIGSTOP);
	syncer_go_on(r->syncer);
}

static void
read_signals(struct run *r)
{
	struct signalfd_siginfo si;

	while (read(r->sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		int sig = (int)si.ssi_signo;

		if (sig == SIGCHLD)
			continue;
		if (sig == SIGTSTP)
			suspend(r);
		else if (r->sig != 0)
			pass_on(r, sig);
		else
			r->sig = sig;
	}
}

/* --- commands ------------------------------------------------------------------ */

static void
ended(struct run *r, pid_t pid)
{
	int status;

	for (unsigned int i = 0; i < r->o->jobs; i++) {
		struct slot *s = &r->slots[i];

		if (s->state != SLOT_RUNS || s->pid != pid)
			continue;
		/* Its group ends with it if its time was up. */
		if (s->told)
			(void)kill(-pid, SIGKILL);
		if (waitpid(pid, &s->status, 0) != pid)
			err(EX_OSERR, "waitpid");
		s->state = SLOT_ENDED;
		relay_ended(s);
		return;
	}
	(void)waitpid(pid, &status, 0);		/* from before we were qpop */
}

static void
reap(struct run *r)
{
	siginfo_t si;

	for (;;) {
		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == -1 ||
		    si.si_pid == 0)
			return;
		ended(r, si.si_pid);
	}
}

/* The claim is over; all of it was settled, or nothing can be. */
static void
free_slot(struct run *r, struct slot *s)
{
	spawn_done(s);
	queue_claim_release(&s->claim);
	s->state = SLOT_FREE;
	s->out_end = 0;
	r->running--;
	r->deadline = mono_after(r->o->wait_ns);
	if (r->sync_at.ns == INT64_MAX)
		r->sync_at = mono_after(SYNC_NS);
}

static void
settle_ended(struct run *r)
{
	for (unsigned int i = 0; i < r->o->jobs; i++) {
		struct slot *s = &r->slots[i];

		if (s->state != SLOT_ENDED || !relay_over(r, s))
			continue;
		relay_err(r, s);
		fate_settle(r, s);
		free_slot(r, s);
	}
}

/* TERM when the time is up, KILL a while after. */
static void
limit_commands(struct run *r)
{
	for (unsigned int i = 0; i < r->o->jobs; i++) {
		struct slot *s = &r->slots[i];

		if (s->state != SLOT_RUNS || !mono_passed(s->alarm))
			continue;
		if (!s->told) {
			s->told = true;
			s->alarm = mono_after(KILL_NS);
			(void)kill(-s->pid, SIGTERM);
		} else {
			s->alarm = MONO_NEVER;
			(void)kill(-s->pid, SIGKILL);
		}
	}
}

/* Its bytes are not what was pushed: no command shall see it, ever. */
static void
skip_damaged(struct run *r, struct slot *s)
{
	if (!r->o->quiet)
		warnx("%s: message %" PRIu64 " is damaged and was skipped",
		    r->o->path, s->claim.extents[0].seq);
	if (queue_settle(r->q, &s->claim, 0) == -1 && errno != ESTALE)
		queue_failed(r);
}

static void
start_in(struct run *r, struct slot *s)
{
	int rc;

	s->told = s->put_back = false;
	s->alarm = MONO_NEVER;
	s->state = SLOT_RUNS;
	r->running++;
	syncer_want(r->syncer);
	r->sync_at = MONO_NEVER;
	rc = spawn(r, s);
	r->taken += s->cnt;
	if (r->left != UINT64_MAX)
		r->left -= s->cnt < r->left ? s->cnt : r->left;
	fate_put_back(r, s, s->spare, s->spare_cnt);
	if (rc == EX_OK) {
		s->alarm = r->o->limit_ns > 0 ? mono_after(r->o->limit_ns) :
		    MONO_NEVER;
		if (r->look_at.ns == INT64_MAX)
			r->look_at = mono_after(LOOK_NS);
		return;
	}
	if (rc == EX_NO)
		skip_damaged(r, s);
	else
		fate_put_back(r, s, s->taken, s->cnt);
	free_slot(r, s);
	if (rc == EX_NOTFOUND || rc == EX_CANNOTRUN)
		r->stop_status = rc;
	else if (rc != EX_NO)
		run_failed(r, rc);
}

/* --- taking --------------------------------------------------------------------- */

static struct slot *
free_one(struct run *r)
{
	for (unsigned int i = 0; i < r->o->jobs; i++)
		if (r->slots[i].state == SLOT_FREE)
			return &r->slots[i];
	return NULL;
}

/* Fill the slots: false once nothing (more) can be taken now. */
static bool
take(struct run *r, int64_t *again_ns)
{
	struct queue_take how = { .max_bytes = BATCH_BYTES,
	    .part = r->o->part, .parts = r->o->parts, .single = true,
	    .run = true, .at_most_once = r->o->once };
	struct slot *s;
	int rc;

	queue_limits(r->q, &r->limits);
	how.tries = r->o->has_tries ? r->o->tries : r->limits.tries;
	while (!stopping(r) && (s = free_one(r)) != NULL) {
		how.max_messages = r->left < r->o->batch ? r->left :
		    r->o->batch;
		rc = qpop_take(r->q, r->o, &how, r->deadline, &s->claim,
		    again_ns);
		if (rc == -1)
			queue_failed(r);
		if (rc != 1)
			return false;
		start_in(r, s);
		r->deadline = mono_after(r->o->wait_ns);
		/* Others may have ended; their slots come first. */
		if (r->running > 1)
			return true;
	}
	return true;
}

/* With nothing running and nothing to take: is there something to wait for? */
static bool
patient(struct run *r)
{
	int rc;

	if (stopping(r))
		return false;
	if (!r->o->follow)
		return r->o->wait_ns >= 0 && r->taken == 0 &&
		    !mono_passed(r->deadline);
	if (mono_passed(r->deadline))
		return false;
	rc = qpop_drained(r->q, r->o);
	if (rc == -1)
		queue_failed(r);
	r->drained = rc == 1;
	return rc == 0;
}

/* --- waiting -------------------------------------------------------------------- */

static void
earlier(struct mono *at, struct mono other)
{
	if (other.ns < at->ns)
		*at = other;
}

static struct mono
next_step(const struct run *r)
{
	struct mono at = r->sync_at;

	if (r->running == 0) {
		earlier(&at, r->deadline);
		return at;
	}
	earlier(&at, r->look_at);
	for (unsigned int i = 0; i < r->o->jobs; i++)
		if (r->slots[i].state == SLOT_RUNS)
			earlier(&at, r->slots[i].alarm);
	return at;
}

/* Something happened behind epfd: say to whom. */
static void
read_events(struct run *r, int timeout_ms)
{
	struct epoll_event ev[EVENTS_MAX];
	int n = epoll_wait(r->epfd, ev, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++) {
		uint32_t no = ev[i].data.u32;

		if (no == WATCH_SIGNALS)
			read_signals(r);
		else if (no <= r->o->jobs)
			r->slots[no - 1].readable = true;
	}
}

static void
wait_queue(struct run *r, int64_t again_ns)
{
	if (queue_wait(r->q, again_ns, r->epfd, next_step(r)) == -1 &&
	    errno != EPIPE && errno != ETIMEDOUT && errno != EINTR)
		queue_failed(r);
	read_events(r, 0);
}

static void
timers(struct run *r)
{
	if (mono_passed(r->look_at)) {
		for (unsigned int i = 0; i < r->o->jobs; i++)
			if (r->slots[i].state == SLOT_RUNS)
				relay_err(r, &r->slots[i]);
		r->look_at = r->running > 0 ? mono_after(LOOK_NS) :
		    MONO_NEVER;
	}
	if (mono_passed(r->sync_at)) {
		syncer_want(r->syncer);
		r->sync_at = MONO_NEVER;
	}
	if (syncer_error(r->syncer) != 0) {
		errno = syncer_error(r->syncer);
		queue_failed(r);
	}
	if (r->o->limit_ns > 0)
		limit_commands(r);
}

/* --- the loop ------------------------------------------------------------------- */

static void
loop(struct run *r)
{
	int64_t again_ns = 0;
	bool armed = false;

	for (;;) {
		reap(r);
		relay_out(r);
		settle_ended(r);
		timers(r);
		if (stopping(r) && r->running == 0)
			return;
		if (stopping(r) || free_one(r) == NULL) {
			read_events(r, mono_left_ms(next_step(r)));
			continue;
		}
		if (take(r, &again_ns)) {
			armed = false;
			read_events(r, 0);
			continue;
		}
		if (r->running == 0 && !patient(r))
			return;
		if (!armed && queue_arm(r->q) == -1)
			queue_failed(r);
		else if (armed)
			wait_queue(r, again_ns);
		armed = !armed;
	}
}

/* So many slots may need more descriptors than there are; we alone. */
static void
raise_files(struct run *r)
{
	rlim_t need = FILES_SPARE + FILES_SLOT * (rlim_t)r->o->jobs;
	struct rlimit more;

	if (getrlimit(RLIMIT_NOFILE, &r->files) == -1 ||
	    r->files.rlim_cur >= need)
		return;
	more = r->files;
	more.rlim_cur = need < more.rlim_max ? need : more.rlim_max;
	r->raised = setrlimit(RLIMIT_NOFILE, &more) == 0;
}

static int
verdict(struct run *r)
{
	if (r->taken > 0 && queue_sync(r->q) == -1) {
		warn("%s: messages may come again after a crash", r->o->path);
		run_failed(r, EX_IOERR);
	}
	if (r->status != 0)
		return r->status;
	if (r->sig == SIGTERM && r->o->follow)
		return EX_OK;
	if (r->sig != 0)
		qpop_die(r->sig);
	if (r->out_gone && !r->pipe_ignored)
		qpop_die(SIGPIPE);
	if (r->out_gone)
		return EX_IOERR;
	if (r->stop_status != 0)
		return r->stop_status;
	if (r->failed || (!r->drained && r->failures != NULL))
		return EX_SOMEFAILED;
	return r->taken > 0 || r->drained ? EX_OK : EX_NO;
}

int
run_main(struct queue *q, const struct options *o)
{
	struct run r = { .q = q, .o = o, .left = o->count,
	    .sync_at = MONO_NEVER, .look_at = MONO_NEVER,
	    .deadline = mono_after(o->wait_ns) };
	int rc = spawn_init(&r);

	if (rc != EX_OK) {
		spawn_release(&r);
		return rc;
	}
	raise_files(&r);
	r.slots = calloc(o->jobs, sizeof(*r.slots));
	if (r.slots == NULL || take_signals(&r) == -1 ||
	    (r.syncer = syncer_start(o->path)) == NULL)
		err(EX_OSERR, NULL);
	for (unsigned int i = 0; i < o->jobs; i++) {
		r.slots[i].no = i + 1;
		r.slots[i].err_fd = r.slots[i].fate_fd = -1;
	}
	relay_init(&r);
	loop(&r);
	syncer_stop(r.syncer);
	rc = verdict(&r);
	relay_release(&r);
	spawn_release(&r);
	fate_release(&r);
	for (unsigned int i = 0; i < o->jobs; i++) {
		free(r.slots[i].taken);
		free(r.slots[i].spare);
	}
	free(r.slots);
	(void)close(r.epfd);
	(void)close(r.sigfd);
	return rc;
}
