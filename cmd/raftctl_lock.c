/* raftctl_lock: lock and elect: get in line, run a command, leave. */

#include <sys/random.h>

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"
#include "raftctl.h"

#define SLICE_MS	300		/* one look at the line */
#define TTL_NS		(10 * NUM_NS_PER_S)
#define TTL_MIN_NS	(NUM_NS_PER_S / 2)

struct claim {
	struct ctl *ctl;
	const char *name, *value;	/* value: an election's */
	char owner[320];
	int64_t ttl_ns;
	int64_t token;
	int64_t sent_ns;	/* when what was confirmed was sent */
	bool reached;		/* the cluster has answered */
};

static volatile sig_atomic_t caught;

static void
on_signal(int sig)
{
	caught = sig;
}

static void
catch(void (*handler)(int))
{
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = handler };
	size_t i;

	(void)sigemptyset(&sa.sa_mask);
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (sigaction(wanted[i], &sa, NULL) == -1)
			err(EX_OSERR, "sigaction");
}

static void
make_owner(struct claim *cl)
{
	char host[256] = "";
	uint64_t bytes;

	if (gethostname(host, sizeof(host) - 1) == -1 ||
	    getrandom(&bytes, sizeof(bytes), 0) != sizeof(bytes))
		err(EX_OSERR, NULL);
	(void)snprintf(cl->owner, sizeof(cl->owner), "%s:%d:%016" PRIx64, host,
	    (int)getpid(), bytes);
}

/* --- the line ------------------------------------------------------------------ */

static void
claim_words(const struct claim *cl, struct words *w, char room[24])
{
	words_add(w, cl->value != NULL ? "ELECT" : "LOCK");
	words_add(w, cl->name);
	words_add(w, cl->owner);
	words_add_int(w, room, 24, cl->ttl_ns / NUM_NS_PER_MS);
	if (cl->value != NULL)
		words_add(w, cl->value);
	if (cl->ctl->wait_ns == 0)
		words_add(w, "NOWAIT");
}

/* Leave the line, or give the lock back; as well as it can be done. */
static void
withdraw(struct claim *cl)
{
	struct mono deadline = mono_after(2 * NUM_NS_PER_S);
	struct words w = { 0 };
	bool maybe = false, done = false;
	redisReply *r;

	words_add(&w, "UNLOCK");
	words_add(&w, cl->name);
	words_add(&w, cl->owner);
	while (!done && !mono_passed(deadline)) {
		r = ctl_try(cl->ctl, &w, deadline, NUM_NS_PER_S, &maybe);
		done = r != NULL && r->type == REDIS_REPLY_INTEGER;
		freeReplyObject(r);
		if (!done) {
			ctl_rotate(cl->ctl);
			ctl_nap();
		}
	}
}

static void
check_caught(struct claim *cl)
{
	int sig = caught;

	if (sig == 0)
		return;
	withdraw(cl);
	catch(SIG_DFL);
	(void)kill(getpid(), sig);
	exit(128 + sig);
}

static bool
passing(const redisReply *r)
{
	return ctl_error_is(r, "CLUSTERDOWN") || ctl_error_is(r, "BUSY") ||
	    ctl_error_is(r, "UNKNOWN");
}

/* 1 the lock is ours, 0 we wait in line, -1 nobody answered, 2 it is not free */
static int
claim(struct claim *cl, struct mono deadline)
{
	struct words w = { 0 };
	char room[24];
	bool maybe = false;
	redisReply *r;
	int rc = -1;

	claim_words(cl, &w, room);
	cl->sent_ns = boot_now_ns();
	r = ctl_try(cl->ctl, &w, deadline, 2 * NUM_NS_PER_S, &maybe);
	if (r != NULL && !passing(r)) {
		ctl_check(r);
		cl->reached = true;
		cl->token = r->type == REDIS_REPLY_INTEGER ? r->integer : 0;
		rc = cl->token > 0 ? 1 :
		    r->type == REDIS_REPLY_INTEGER ? 0 : 2;
	} else {
		ctl_rotate(cl->ctl);
	}
	freeReplyObject(r);
	return rc;
}

/* Until the node we talk to sees a change, for a short time. */
static void
look(struct claim *cl, struct mono deadline)
{
	int64_t ms = cl->ttl_ns / NUM_NS_PER_MS / 3;
	struct words w = { 0 };
	char room[24];
	bool maybe = false;
	redisReply *r;

	if (ms > SLICE_MS)
		ms = SLICE_MS;
	if (mono_left_ns(deadline) / NUM_NS_PER_MS < ms)
		ms = mono_left_ns(deadline) / NUM_NS_PER_MS;
	words_add(&w, "LOCKWAIT");
	words_add(&w, cl->name);
	words_add(&w, cl->owner);
	words_add_int(&w, room, sizeof(room), ms);
	r = ctl_try(cl->ctl, &w, MONO_NEVER, (ms + 1000) * NUM_NS_PER_MS,
	    &maybe);
	/* A node that is behind does not know us yet: do not spin. */
	if (r == NULL || r->type != REDIS_REPLY_INTEGER)
		ctl_nap();
	freeReplyObject(r);
}

static void
obtain(struct claim *cl)
{
	struct ctl *c = cl->ctl;
	struct mono deadline = mono_after(c->wait_ns == 0 ?
	    2 * NUM_NS_PER_S : c->wait_ns);
	int rc;

	do {
		check_caught(cl);
		rc = claim(cl, deadline);
		check_caught(cl);
		if (rc == 1)
			return;
		if (rc == 0)
			look(cl, deadline);
		else if (rc == -1)
			ctl_nap();
	} while (rc != 2 && !mono_passed(deadline));
	if (rc != 2)
		withdraw(cl);
	if (!cl->reached)
		errx(EX_UNAVAILABLE, "%s: nobody answers", cl->name);
	if (!c->quiet)
		warnx("%s: not obtained", cl->name);
	exit(c->busy_status);
}

static bool
renew(void *arg, struct lease *l)
{
	struct claim *cl = arg;
	struct words w = { 0 };
	int64_t sent = boot_now_ns(), limit = cl->ttl_ns / 6;
	bool maybe = false, lost = false;
	redisReply *r;

	words_add(&w, "KEEPALIVE");
	words_add(&w, cl->name);
	words_add(&w, cl->owner);
	r = ctl_try(cl->ctl, &w, MONO_NEVER,
	    limit < NUM_NS_PER_S ? limit : NUM_NS_PER_S, &maybe);
	if (r == NULL)
		return true;
	if (r->type == REDIS_REPLY_INTEGER && r->integer == cl->token)
		lease_until(l, sent + cl->ttl_ns, cl->ttl_ns);
	else if (passing(r))
		ctl_rotate(cl->ctl);
	else
		lost = true;
	freeReplyObject(r);
	return !lost;
}

static int
hold(struct ctl *c, const char *name, const char *value, char *argv[])
{
	struct claim cl = { .ctl = c, .name = name, .value = value };
	struct lease *l = lease_new();
	char token[24];
	int rc;

	cl.ttl_ns = c->ttl_ns > 0 ? c->ttl_ns : TTL_NS;
	if (cl.ttl_ns < TTL_MIN_NS)
		errx(EX_USAGE, "-t: at least 500ms");
	make_owner(&cl);
	catch(on_signal);
	obtain(&cl);
	lease_until(l, cl.sent_ns + cl.ttl_ns, cl.ttl_ns);
	(void)snprintf(token, sizeof(token), "%" PRId64, cl.token);
	if (setenv("RAFT_LOCK_TOKEN", token, 1) == -1 ||
	    setenv("RAFT_LOCK_NAME", name, 1) == -1)
		err(EX_OSERR, "setenv");
	check_caught(&cl);
	catch(SIG_DFL);
	rc = lease_run(l, argv, renew, &cl);
	withdraw(&cl);
	if (lease_lost(l) && !c->quiet)
		warnx("%s: lost while the command ran", name);
	return rc;
}

/* --- what is held ----------------------------------------------------------------- */

static void
print_lock(const redisReply *e)
{
	if (e->type != REDIS_REPLY_ARRAY || e->elements != 6)
		errx(EX_SOFTWARE, "unexpected answer");
	printf("%s\t%s\t%lld\t%s\t%lld\n", e->element[0]->str,
	    e->element[1]->str, e->element[2]->integer, e->element[3]->str,
	    e->element[5]->integer);
}

/* name, holder, token, value, how many wait */
static int
list_locks(struct ctl *c)
{
	struct words w = { 0 };
	redisReply *r;
	size_t i;
	int rc;

	words_add(&w, "LOCKS");
	r = ctl_read(c, &w);
	ctl_check(r);
	for (i = 0; i < r->elements; i++)
		print_lock(r->element[i]);
	if (fflush(stdout) == EOF)
		ctl_stdout_failed();
	rc = r->elements > 0 ? EX_OK : EX_NO;
	freeReplyObject(r);
	return rc;
}

static int
show_elected(struct ctl *c, const char *name)
{
	struct words w = { 0 };
	redisReply *r;
	int rc = EX_NO;

	words_add(&w, "HOLDER");
	words_add(&w, name);
	r = ctl_read(c, &w);
	ctl_check(r);
	if (r->type == REDIS_REPLY_ARRAY && r->elements == 6) {
		printf("%s\n", r->element[3]->str);
		rc = EX_OK;
	}
	if (fflush(stdout) == EOF)
		ctl_stdout_failed();
	freeReplyObject(r);
	return rc;
}

/* One "--" before the command is skipped. */
static char **
command_of(char *argv[])
{
	if (argv[0] != NULL && strcmp(argv[0], "--") == 0)
		argv++;
	if (argv[0] == NULL)
		ctl_usage();
	return argv;
}

int
ctl_lock(struct ctl *c, int argc, char *argv[])
{
	if (argc == 0)
		return list_locks(c);
	if (argc == 1)
		ctl_usage();
	return hold(c, argv[0], NULL, command_of(argv + 1));
}

int
ctl_elect(struct ctl *c, int argc, char *argv[])
{
	char self[320], host[256] = "";

	if (argc == 0)
		ctl_usage();
	if (argc == 1)
		return show_elected(c, argv[0]);
	if (gethostname(host, sizeof(host) - 1) == -1)
		err(EX_OSERR, "gethostname");
	(void)snprintf(self, sizeof(self), "%s:%d", host, (int)getpid());
	return hold(c, argv[0], c->value != NULL ? c->value : self,
	    command_of(argv + 1));
}
