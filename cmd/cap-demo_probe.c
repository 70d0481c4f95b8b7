/*
 * cap-demo_probe: the same experiment on a store that is not ours, through
 * its own command line.
 *
 * An operation is a process: its exit status is the outcome, the first line
 * of its output the value.  A put that fails may have happened, unless its
 * status says otherwise; a get that fails has told nothing.
 */

#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cap-demo_run.h"
#include "exits.h"
#include "num.h"

#define RATE		20.0
#define LOAD_NS		(20 * NUM_NS_PER_S)
#define TIMEOUT_NS	(2 * NUM_NS_PER_S)
#define AGREE_NS	(15 * NUM_NS_PER_S)
#define RUNNING_MAX	64
#define ARGS_MAX	64
#define OUTPUT_MAX	65536
#define KEYS_EACH	2

struct command {			/* one that runs */
	size_t rec;
	pid_t pid;
	int pidfd, out;
	struct buf text;
	struct mono deadline;
};

static struct command commands[RUNNING_MAX];
static size_t commands_cnt;
static struct { size_t rec; } *waiting;	/* due, but too many run */
static size_t waiting_cnt, waiting_at;
static uint32_t processes;

/* --- templates ------------------------------------------------------------------ */

/* Words as a shell would cut them, quotes included; nothing else is special.
 * Returns how many; the words point into text. */
static size_t
split(char *text, char *args[ARGS_MAX])
{
	size_t cnt = 0;
	char *in = text, *out = text, quote = '\0';

	for (;;) {
		while (isspace((unsigned char)*in))
			in++;
		if (*in == '\0')
			break;
		if (cnt == ARGS_MAX - 1)
			errx(EX_USAGE, "a command has too many words");
		args[cnt++] = out;
		for (; *in != '\0' && (quote != '\0' ||
		    !isspace((unsigned char)*in)); in++) {
			if (*in == quote)
				quote = '\0';
			else if (quote == '\0' && (*in == '\'' || *in == '"'))
				quote = *in;
			else
				*out++ = *in;
		}
		if (quote != '\0')
			errx(EX_USAGE, "a command has an open quote");
		if (*in != '\0')
			in++;
		*out++ = '\0';
	}
	args[cnt] = NULL;
	return cnt;
}

static const char *
token(const struct run *r, const struct rec *c, const char *name, size_t len,
    const char *value)
{
	static const char *const names[] = { "node", "addr", "key", "value",
	    "level" };
	const char *const texts[] = { r->o->nodes[c->node - 1].name,
	    r->o->nodes[c->node - 1].addr, r->keys[c->key].name, value,
	    level_names[c->level] };

	for (size_t i = 0; i < 5; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return texts[i];
	return NULL;
}

/* The word with its tokens filled in; the caller's. */
static char *
fill(const struct run *r, const struct rec *c, const char *word,
    const char *value)
{
	struct buf b = { 0 };
	const char *end, *text;

	for (; *word != '\0'; word++) {
		text = NULL;
		if (*word == '{' && (end = strchr(word, '}')) != NULL)
			text = token(r, c, word + 1, (size_t)(end - word - 1),
			    value);
		if (text == NULL ? buf_put_byte(&b, (unsigned char)*word) ==
		    -1 : buf_put_str(&b, text) == -1)
			err(EX_OSERR, NULL);
		if (text != NULL)
			word = end;
	}
	if (buf_put_byte(&b, '\0') == -1)
		err(EX_OSERR, NULL);
	return (char *)b.data;
}

/* --- one operation ----------------------------------------------------------------- */

static const char *
template(const struct options *o, const struct rec *c)
{
	if (c->level == REGWIRE_STRONG)
		return c->put ? o->put : o->get;
	if (c->put)
		return o->eventual_put != NULL ? o->eventual_put : o->put;
	return o->eventual_get;
}

static _Noreturn void
become(const struct run *r, const struct rec *c, int out, pid_t parent)
{
	char *text = strdup(template(r->o, c)), *args[ARGS_MAX], value[24];
	size_t cnt;
	int null = open("/dev/null", O_RDWR);

	if (text == NULL || null == -1 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(EX_OSERR);
	(void)setpgid(0, 0);
	(void)snprintf(value, sizeof(value), "v%u", c->value);
	cnt = split(text, args);
	for (size_t i = 0; i < cnt; i++)
		args[i] = fill(r, c, args[i], value);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(null, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1 ||
	    (!r->o->verbose && dup2(null, STDERR_FILENO) == -1))
		_exit(EX_OSERR);
	execvp(args[0], args);
	_exit(errno == ENOENT ? EX_NOTFOUND : EX_CANNOTRUN);
}

static void
begin(struct run *r, size_t rec)
{
	struct command *k = &commands[commands_cnt++];
	struct rec *c = &r->recs[rec];
	pid_t parent = getpid();
	int fds[2];

	c->process = processes++;
	if (c->put)
		c->value = (uint32_t)rec + 1;
	if (pipe2(fds, O_CLOEXEC) == -1)
		err(EX_OSERR, "pipe");
	fflush(NULL);
	c->start = run_now(r);
	memset(k, 0, sizeof(*k));
	if ((k->pid = fork()) == -1)
		err(EX_OSERR, "fork");
	if (k->pid == 0)
		become(r, c, fds[1], parent);
	(void)close(fds[1]);
	(void)setpgid(k->pid, k->pid);
	k->rec = rec;
	k->out = fds[0];
	k->deadline = mono_after(r->o->timeout_ns);
	if ((k->pidfd = pidfd_open(k->pid, 0)) == -1 ||
	    fcntl(k->out, F_SETFL, O_NONBLOCK) == -1)
		err(EX_OSERR, "a command");
	r->open++;
}

static void
read_output(struct command *k)
{
	ssize_t got;

	do {
		if (buf_reserve(&k->text, 4096) == -1)
			err(EX_OSERR, NULL);
		got = read(k->out, k->text.data + k->text.len, 4096);
		if (got > 0 && k->text.len < OUTPUT_MAX)
			k->text.len += (size_t)got;
	} while (got > 0);
}

/* What a get printed: its first line. */
static uint32_t
read_value(const struct run *r, struct command *k)
{
	char *text;

	if (buf_put_byte(&k->text, '\0') == -1)
		err(EX_OSERR, NULL);
	text = (char *)k->text.data;
	text[strcspn(text, "\r\n")] = '\0';
	if (text[0] == '\0')
		return r->o->keep_empty ? NO_VALUE : 0;
	return load_value(r, k->text.data);
}

static bool
surely_refused(const struct options *o, int status)
{
	for (size_t i = 0; i < o->refused_cnt; i++)
		if (o->refused[i] == status)
			return true;
	return false;
}

static void
finish(struct run *r, struct command *k, bool late)
{
	struct rec *c = &r->recs[k->rec];
	int status, rc;

	if (late)
		(void)kill(-k->pid, SIGKILL);
	while (waitpid(k->pid, &status, 0) == -1 && errno == EINTR)
		;
	c->end = run_now(r);
	c->done = true;
	rc = WIFEXITED(status) && !late ? WEXITSTATUS(status) : -1;
	if (rc == EX_NOTFOUND || rc == EX_CANNOTRUN)
		errx(rc, "%s: cannot be run", template(r->o, c));
	read_output(k);
	if (rc == 0)
		c->outcome = ABD_OK;
	else
		c->outcome = c->put && !surely_refused(r->o, rc) ?
		    ABD_UNKNOWN : ABD_REFUSED;
	if (rc == 0 && !c->put) {
		c->value = read_value(r, k);
		c->siblings = 1;
		if (c->phase == FINAL && c->value != 0 &&
		    c->value != NO_VALUE)
			r->recs[c->value - 1].current = true;
	}
	(void)close(k->out);
	(void)close(k->pidfd);
	buf_release(&k->text);
	r->open--;
	*k = commands[--commands_cnt];
}

/* Wait until something ends, or this time. */
static void
turn(struct run *r, int64_t until)
{
	struct pollfd p[2 * RUNNING_MAX];
	int64_t left = until - run_now(r);
	size_t cnt = commands_cnt;
	struct mono next = mono_after(left < 0 ? 0 : left);

	for (size_t i = 0; i < cnt; i++) {
		p[2 * i] = (struct pollfd){ .fd = commands[i].pidfd,
		    .events = POLLIN };
		p[2 * i + 1] = (struct pollfd){ .fd = commands[i].out,
		    .events = POLLIN };
		if (commands[i].deadline.ns < next.ns)
			next = commands[i].deadline;
	}
	if (poll(p, 2 * cnt, mono_left_ms(next)) == -1 && errno != EINTR)
		err(EX_OSERR, "poll");
	if (net_caught != 0) {
		while (commands_cnt > 0)
			finish(r, &commands[0], true);
		net_die(&r->net);
	}
	for (size_t i = cnt; i-- > 0;) {
		if ((p[2 * i + 1].revents & POLLIN) != 0)
			read_output(&commands[i]);
		if (p[2 * i].revents != 0)
			finish(r, &commands[i], false);
		else if (mono_passed(commands[i].deadline))
			finish(r, &commands[i], true);
	}
	while (waiting_at < waiting_cnt && commands_cnt < RUNNING_MAX)
		begin(r, waiting[waiting_at++].rec);
}

/* --- the load ------------------------------------------------------------------------ */

static void
issue(struct run *r, int64_t due, enum phase phase, uint8_t key,
    unsigned int node, bool put)
{
	struct rec *c = load_rec(r);
	void *more;

	c->due = due;
	c->start = due;
	c->phase = (uint8_t)phase;
	c->key = key;
	c->node = (uint8_t)node;
	c->put = put;
	c->level = (uint8_t)r->keys[key].level;
	more = reallocarray(waiting, waiting_cnt + 1, sizeof(*waiting));
	if (more == NULL)
		err(EX_OSERR, NULL);
	waiting = more;
	waiting[waiting_cnt++].rec = r->recs_cnt - 1;
	while (waiting_at < waiting_cnt && commands_cnt < RUNNING_MAX)
		begin(r, waiting[waiting_at++].rec);
}

static void
load(struct run *r, int64_t until, enum phase phase)
{
	static int64_t next_due, next_show;
	double gap = (double)NUM_NS_PER_S / r->o->rate;
	int64_t now;

	while ((now = run_now(r)) < until) {
		while (next_due <= now) {
			issue(r, next_due, phase,
			    (uint8_t)draw(&r->random, r->keys_cnt),
			    1 + (unsigned int)draw(&r->random, r->net.cnt),
			    draw(&r->random, 2) == 0);
			next_due += (int64_t)(draw_exp(&r->random) * gap);
		}
		if (now >= next_show) {
			show_progress(r, now);
			next_show = now + NUM_NS_PER_S / 4;
		}
		turn(r, next_due < until ? next_due : until);
	}
}

static void
drain(struct run *r)
{
	while (r->open > 0 || waiting_at < waiting_cnt)
		turn(r, run_now(r) + NUM_NS_PER_S);
}

/* Read every key everywhere: do all nodes say the same? */
static bool
agree(struct run *r)
{
	size_t first = r->recs_cnt;
	bool same = true;

	for (size_t k = 0; k < r->keys_cnt; k++)
		for (unsigned int i = 1; i <= r->net.cnt; i++)
			issue(r, run_now(r), FINAL, (uint8_t)k, i, false);
	drain(r);
	for (size_t i = first; i < r->recs_cnt; i++) {
		const struct rec *c = &r->recs[i];

		same &= c->outcome == ABD_OK && (c->key != r->recs[i - (i >
		    first)].key || c->value == r->recs[i - (i > first)].value);
	}
	return same;
}

static void
make_keys(struct run *r)
{
	const struct options *o = r->o;

	for (unsigned int l = 0; l < LEVELS; l++) {
		if ((l == REGWIRE_STRONG ? o->get : o->eventual_get) == NULL)
			continue;
		for (int i = 1; i <= KEYS_EACH; i++) {
			struct key *k = &r->keys[r->keys_cnt++];

			/* A store may remember the run before. */
			(void)snprintf(k->name, sizeof(k->name),
			    "%" PRIu64 ".%c%d", o->seed % 1000000000,
			    level_names[l][0], i);
			k->class = l == REGWIRE_STRONG ? STRONG_KEYS :
			    EVENTUAL_KEYS;
			k->level = (enum regwire_level)l;
		}
	}
}

static void
set_defaults(struct options *o)
{
	if (o->rate == 0)
		o->rate = RATE;
	if (o->wait_ns == -1)
		o->wait_ns = LOAD_NS;
	if (!o->has_timeout)
		o->timeout_ns = TIMEOUT_NS;
	if (o->shape == NULL)
		o->shape = "majority";
	if (o->dir == NULL)
		o->dir = getenv("PARTSIM_NET");
	if (o->dir == NULL || o->dir[0] == '\0')
		errx(EX_USAGE, "no net: -C net or PARTSIM_NET");
	if (o->nodes_cnt < 2)
		errx(EX_USAGE, "probe: at least two --node name=addr");
	if ((o->get == NULL) != (o->put == NULL) ||
	    (o->get == NULL && o->eventual_get == NULL))
		errx(EX_USAGE, "probe: --get and --put belong together");
	if (o->get == NULL && o->eventual_put == NULL)
		errx(EX_USAGE, "probe: --eventual-get needs a put");
	o->level = o->get == NULL ? LEVEL_EVENTUAL :
	    o->eventual_get == NULL ? LEVEL_STRONG : LEVEL_MIX;
}

/* --- what it showed -------------------------------------------------------------------- */

/* A store promises nothing to us, but what was called strong must be. */
static int
conclude(const struct results *res)
{
	bool wrong = res->strong.status == 1, open = !res->bit;

	for (unsigned int l = 0; l < LEVELS; l++) {
		open |= res->verdict[l] == INCONCLUSIVE;
		wrong |= res->fates[STRONG_KEYS][l].unexpected > 0 ||
		    res->fates[EVENTUAL_KEYS][l].unexpected > 0;
	}
	return wrong ? EX_NO : open ? EX_NOVERDICT : EX_OK;
}

int
probe_main(struct options *o)
{
	static struct run r;
	static struct results res;
	int64_t limit;
	bool same;

	set_defaults(o);
	net_signals();
	r.o = o;
	r.random = o->seed;
	r.cut_ns = o->wait_ns / 4;
	r.heal_ns = o->wait_ns / 4 * 3;
	r.end_ns = o->wait_ns;
	r.healed_ns = r.converged_ns = -1;
	make_keys(&r);
	net_attach(&r.net, o);
	net_look(&r.net, true);
	r.zero = mono_now();
	load(&r, r.cut_ns, BEFORE);
	net_cut(&r.net, o->shape, "hold");
	run_shift(&r, BEFORE);
	load(&r, r.heal_ns, DURING);
	net_look(&r.net, false);
	net_tell(&r.net, NULL, "heal");
	run_shift(&r, DURING);
	r.healed_ns = run_now(&r);
	load(&r, r.end_ns, AFTER);
	drain(&r);
	limit = run_now(&r) + AGREE_NS;
	while (!(same = agree(&r)) && run_now(&r) < limit)
		;
	r.equal_digests = same;
	show_progress_end();
	judge(&r, &res);
	res.status = conclude(&res);
	if (o->json)
		show_json(&r, &res);
	else if (!o->quiet)
		show_text(&r, &res);
	net_stop(&r.net);
	load_end(&r);
	free(waiting);
	buf_release(&res.strong.text);
	buf_release(&res.eventual.text);
	if (fflush(stdout) == EOF)
		err(EX_IOERR, "stdout");
	return res.status;
}
