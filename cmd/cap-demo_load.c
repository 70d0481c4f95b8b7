/*
 * cap-demo_load: an open-loop load.  Operations begin when they are due, never
 * mind how the others are doing, and their latency counts from then.
 *
 * Sessions: an operation belongs to a client that has no other open.  Half of
 * the clients stay with one replica, half go to any.  A client whose write
 * ended in doubt goes on as another process.
 */

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cap-demo_run.h"
#include "exits.h"
#include "num.h"

#define SESSIONS_MAX	65536U
#define GRACE_NS	(500 * NUM_NS_PER_MS)
#define STATUS_ID	(UINT64_C(1) << 63)
#define WATCH_NS	(10 * NUM_NS_PER_MS)
#define SWEEP_NS	(50 * NUM_NS_PER_MS)
#define PROGRESS_NS	(250 * NUM_NS_PER_MS)
#define SEEN_NS		(10 * NUM_NS_PER_S)
#define RMW_PERCENT	20
#define PUT_PERCENT	50
#define RARE_PERCENT	10		/* so that reads meet the old state */
#define WEAK_PERCENT	30		/* of the writes to strong keys */

struct session {
	unsigned int node;		/* 0: any */
	bool busy;
	uint32_t process;
};

static struct session *sessions;
static uint32_t processes;
static int64_t next_due, next_sweep, next_watch, next_progress;
static size_t first_open;
static bool watching;
static uint32_t answered;		/* of the digests asked for */
static int64_t asked_at;
static struct regwire_info infos[DVV_NODES_MAX + 1];

/* --- chance ------------------------------------------------------------------ */

uint64_t
draw(uint64_t *random, uint64_t below)
{
	uint64_t x = *random += UINT64_C(0x9e3779b97f4a7c15);	/* splitmix64 */

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % below;
}

double
draw_exp(uint64_t *random)
{
	return -log(((double)draw(random, UINT64_C(1) << 52) + 1) /
	    (double)(UINT64_C(1) << 52));
}

int64_t
run_now(const struct run *r)
{
	return mono_now().ns - r->zero.ns;
}

/* --- keys ------------------------------------------------------------------------ */

static void
add_key(struct run *r, const char *name, enum class class,
    enum regwire_level level)
{
	struct key *k = &r->keys[r->keys_cnt++];

	(void)snprintf(k->name, sizeof(k->name), "%s", name);
	k->class = class;
	k->level = level;
}

void
load_keys(struct run *r)
{
	bool strong = r->o->level != LEVEL_EVENTUAL;
	bool eventual = r->o->level != LEVEL_STRONG;
	char name[16];

	for (int i = 1; i <= 3 && strong; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i);
		add_key(r, name, STRONG_KEYS, REGWIRE_STRONG);
	}
	for (int i = 1; i <= 3 && eventual; i++) {
		(void)snprintf(name, sizeof(name), "e%d", i);
		add_key(r, name, EVENTUAL_KEYS, REGWIRE_EVENTUAL);
	}
	if (strong && eventual) {
		add_key(r, "m1", MIXED_KEYS, REGWIRE_STRONG);
		add_key(r, "m2", MIXED_KEYS, REGWIRE_STRONG);
	}
	if (strong) {
		add_key(r, "set.s", SET_KEYS, REGWIRE_STRONG);
		add_key(r, "count.s", COUNTER_KEYS, REGWIRE_STRONG);
	}
	if (eventual) {
		add_key(r, "set.e", SET_KEYS, REGWIRE_EVENTUAL);
		add_key(r, "count.e", COUNTER_KEYS, REGWIRE_EVENTUAL);
	}
}

static uint8_t
pick_key(struct run *r, bool modify)
{
	uint8_t k;

	do
		k = (uint8_t)draw(&r->random, r->keys_cnt);
	while ((r->keys[k].class >= REGISTERS) != modify);
	return k;
}

/* --- clients --------------------------------------------------------------------- */

/* A client of that replica (0: of any) that is free, or a new one. */
static uint32_t
take_session(struct run *r, unsigned int node)
{
	struct session *s;

	for (uint32_t i = 0; i < r->sessions_cnt; i++)
		if (!sessions[i].busy && sessions[i].node == node) {
			sessions[i].busy = true;
			return i;
		}
	if (r->sessions_cnt == SESSIONS_MAX)
		errx(EX_SOFTWARE, "too many operations are open");
	s = reallocarray(sessions, r->sessions_cnt + 1, sizeof(*s));
	if (s == NULL)
		err(EX_OSERR, NULL);
	sessions = s;
	s[r->sessions_cnt] = (struct session){ .node = node, .busy = true,
	    .process = processes++ };
	return r->sessions_cnt++;
}

struct rec *
load_rec(struct run *r)
{
	struct rec *recs;
	size_t cap;

	if (r->recs_cnt == r->recs_cap) {
		cap = r->recs_cap == 0 ? 4096 : r->recs_cap * 2;
		if ((recs = reallocarray(r->recs, cap, sizeof(*recs))) == NULL)
			err(EX_OSERR, NULL);
		r->recs = recs;
		r->recs_cap = cap;
	}
	recs = &r->recs[r->recs_cnt++];
	memset(recs, 0, sizeof(*recs));
	recs->end = NEVER;
	return recs;
}

/* --- sending ---------------------------------------------------------------------- */

static void
end_rec(struct run *r, struct rec *c, enum abd_outcome outcome,
    uint8_t reason)
{
	c->done = true;
	c->end = run_now(r);
	c->outcome = (uint8_t)outcome;
	c->reason = reason;
	r->open--;
	sessions[c->session].busy = false;
	if (outcome == ABD_UNKNOWN)
		sessions[c->session].process = processes++;
}

/* Without a connection nothing has been sent: that is a refusal. */
static void
send_rec(struct run *r, struct rec *c, const struct buf *value,
    const uint64_t *context)
{
	struct conn *conn = &r->net.conns[c->node];
	char text[24];
	struct regwire_msg m = { .type = c->put ? REGWIRE_PUT : REGWIRE_GET,
	    .id = (uint64_t)(c - r->recs) + 1, .level = c->level,
	    .wait_ms = (uint32_t)(r->o->timeout_ns / NUM_NS_PER_MS) };

	c->process = sessions[c->session].process;
	r->open++;
	if (conn->fd == -1)
		net_connect(&r->net, c->node);
	c->start = run_now(r);
	if (conn->fd == -1) {
		end_rec(r, c, ABD_REFUSED, REGWIRE_NO_REASON);
		return;
	}
	m.key = (const unsigned char *)r->keys[c->key].name;
	m.key_len = strlen(r->keys[c->key].name);
	if (c->put)
		c->value = (uint32_t)m.id;
	if (value != NULL) {
		m.value = value->data;
		m.value_len = value->len;
	} else if (c->put) {
		(void)snprintf(text, sizeof(text), "v%" PRIu64, m.id);
		m.value = (const unsigned char *)text;
		m.value_len = strlen(text);
	}
	if (context != NULL) {
		m.has_context = true;
		memcpy(m.context, context, sizeof(m.context));
	}
	conn_put(conn, &m);
	if (conn_flush(conn) == -1)
		conn_close(conn);
}

static void
issue(struct run *r, int64_t due, enum phase phase)
{
	bool both = draw(&r->random, 100) < RMW_PERCENT;
	uint8_t key = pick_key(r, both);
	unsigned int node = 1 + (unsigned int)draw(&r->random, r->net.cnt);
	struct rec *c = load_rec(r);
	const struct key *k = &r->keys[key];

	c->due = due;
	c->phase = (uint8_t)phase;
	c->key = key;
	c->node = (uint8_t)node;
	c->modify = both;
	c->put = !both && draw(&r->random, 100) < (r->o->no_write_back ||
	    r->o->amnesia ? RARE_PERCENT : PUT_PERCENT);
	c->level = (uint8_t)k->level;
	if (k->class == MIXED_KEYS)
		c->level = (uint8_t)draw(&r->random, LEVELS);
	if (r->o->weak_writer && k->class == STRONG_KEYS && c->put &&
	    draw(&r->random, 100) < WEAK_PERCENT)
		c->level = REGWIRE_EVENTUAL;
	c->roaming = draw(&r->random, 2) == 0;
	c->session = take_session(r, c->roaming ? 0 : node);
	send_rec(r, c, NULL, NULL);
}

/* --- read, modify, write ----------------------------------------------------------- */

static bool
has_word(const struct buf *b, const char *word, size_t len)
{
	const char *p = (const char *)b->data, *end = p + b->len, *comma;

	for (; p < end; p = comma + 1) {
		if ((comma = memchr(p, ',', (size_t)(end - p))) == NULL)
			comma = end;
		if ((size_t)(comma - p) == len && memcmp(p, word, len) == 0)
			return true;
	}
	return false;
}

static void
add_word(struct buf *b, const char *word, size_t len)
{
	if (len == 0 || has_word(b, word, len))
		return;
	if ((b->len > 0 && buf_put_byte(b, ',') == -1) ||
	    buf_put(b, word, len) == -1)
		err(EX_OSERR, NULL);
}

/* The next value of a set: all that was found, and one more. */
static void
next_set(struct buf *b, const struct dvv *e, size_t element)
{
	char number[24];

	for (size_t i = 0; i < e->cnt; i++) {
		const char *p = (const char *)e->versions[i].value, *word;

		while (*(word = p) != '\0') {
			p += strcspn(p, ",");
			add_word(b, word, (size_t)(p - word));
			p += *p == ',';
		}
	}
	(void)snprintf(number, sizeof(number), "%zu", element);
	add_word(b, number, strlen(number));
}

static void
modify(struct run *r, const struct rec *get, const struct dvv *e)
{
	struct rec old = *get, *c = load_rec(r);
	struct buf value = { 0 };
	unsigned long most = 0, v;

	if (r->keys[old.key].class == SET_KEYS) {
		next_set(&value, e, r->recs_cnt);
	} else {
		for (size_t i = 0; i < e->cnt; i++) {
			v = strtoul((char *)e->versions[i].value, NULL, 10);
			most = v > most ? v : most;
		}
		if (buf_printf(&value, "%lu", most + 1) == -1)
			err(EX_OSERR, NULL);
	}
	c->due = run_now(r);
	c->phase = old.phase;
	c->key = old.key;
	c->node = old.node;
	c->level = old.level;
	c->put = c->modify = true;
	c->session = old.session;
	c->roaming = old.roaming;
	sessions[c->session].busy = true;
	send_rec(r, c, &value, e->context);
	buf_release(&value);
}

/* --- answers ------------------------------------------------------------------------ */

/* "v12" is 12; anything else is not one of our registers' values. */
uint32_t
load_value(const struct run *r, const unsigned char *text)
{
	unsigned long v;
	char *end;

	if (text[0] != 'v')
		return NO_VALUE;
	v = strtoul((const char *)text + 1, &end, 10);
	return *end != '\0' || v == 0 || v > r->recs_cnt ? NO_VALUE :
	    (uint32_t)v;
}

static void
take_result(struct run *r, const struct regwire_msg *m)
{
	struct rec *c;
	uint32_t v;

	if (m->id == 0 || m->id > r->recs_cnt)
		return;
	c = &r->recs[m->id - 1];
	if (c->done)
		return;
	end_rec(r, c, m->outcome, m->reason);
	c->rounds = m->rounds;
	c->stamp = m->stamp;
	if (!c->put && c->outcome == ABD_OK) {
		c->siblings = (uint8_t)m->entry.cnt;
		c->value = m->entry.cnt == 0 ? 0 :
		    load_value(r, m->entry.versions[0].value);
		if (c->modify && c->phase != FINAL)
			modify(r, c, &m->entry);
		else if (c->phase == FINAL && m->entry.cnt > 0 &&
		    r->keys[c->key].class >= REGISTERS) {
			struct buf all = { 0 };

			next_set(&all, &m->entry, 0);	/* 0 is no element */
			if (buf_put_byte(&all, '\0') == -1)
				err(EX_OSERR, NULL);
			free(r->final[c->key]);
			r->final[c->key] = (char *)all.data;
		}
	}
	for (size_t i = 0; m->outcome != ABD_REFUSED && i < m->entry.cnt; i++) {
		v = load_value(r, m->entry.versions[i].value);
		c = &r->recs[m->id - 1];	/* modify() may have moved it */
		if (v != NO_VALUE && c->put)
			r->recs[v - 1].replaced = true;
		else if (v != NO_VALUE && c->phase == FINAL)
			r->recs[v - 1].current = true;
	}
}

static void
take_info(struct run *r, const struct regwire_msg *m)
{
	bool equal = true;

	if (m->from == 0 || m->from > r->net.cnt)
		return;
	infos[m->from] = m->info;
	if (m->id != (STATUS_ID | (uint64_t)asked_at))
		return;
	answered |= 1U << m->from;
	if ((unsigned int)__builtin_popcount(answered) < r->net.cnt)
		return;
	for (unsigned int i = 2; i <= r->net.cnt; i++)
		equal &= infos[i].digest == infos[1].digest;
	r->equal_digests = equal;
	if (equal && watching) {
		r->converged_ns = run_now(r) - r->healed_ns;
		watching = false;
	}
}

/* Who was asked and is gone may have done it. */
static void
lost(struct run *r, unsigned int node)
{
	conn_close(&r->net.conns[node]);
	for (size_t i = first_open; i < r->recs_cnt; i++)
		if (!r->recs[i].done && r->recs[i].node == node)
			end_rec(r, &r->recs[i], r->recs[i].put ? ABD_UNKNOWN :
			    ABD_REFUSED, REGWIRE_NO_REASON);
}

static void
listen_to(struct run *r, unsigned int node)
{
	struct conn *c = &r->net.conns[node];
	struct regwire_msg m;
	size_t used;
	int rc;

	if (conn_fill(c) == -1) {
		lost(r, node);
		return;
	}
	while ((rc = conn_next(c, &m, &used)) == 1) {
		if (m.type == REGWIRE_RESULT)
			take_result(r, &m);
		else if (m.type == REGWIRE_INFO)
			take_info(r, &m);
		regwire_release(&m);
		conn_drop(c, used);
	}
	if (rc == -1) {
		warn("n%u answered", node);
		lost(r, node);
	}
}

/* --- the loop ------------------------------------------------------------------------- */

/* A replica that stopped answering altogether. */
static void
sweep(struct run *r, int64_t now)
{
	bool all = true;

	for (size_t i = first_open; i < r->recs_cnt; i++) {
		struct rec *c = &r->recs[i];

		if (!c->done && now - c->start > r->o->timeout_ns + GRACE_NS)
			end_rec(r, c, c->put ? ABD_UNKNOWN : ABD_REFUSED,
			    REGWIRE_TIMEOUT);
		all &= c->done;
		if (all)
			first_open = i + 1;
	}
}

static void
ask_digests(struct run *r, int64_t now)
{
	struct regwire_msg m = { .type = REGWIRE_STATUS };

	asked_at = now;
	answered = 0;
	m.id = STATUS_ID | (uint64_t)now;
	for (unsigned int i = 1; i <= r->net.cnt; i++) {
		if (r->net.conns[i].fd == -1)
			net_connect(&r->net, i);
		conn_put(&r->net.conns[i], &m);
	}
}

static void
turn(struct run *r, int64_t until)
{
	struct pollfd p[DVV_NODES_MAX];
	struct timespec ts;
	int64_t left;

	for (unsigned int i = 0; i < r->net.cnt; i++) {
		struct conn *c = &r->net.conns[i + 1];

		if (c->fd != -1 && c->out.len > 0 && conn_flush(c) == -1)
			lost(r, i + 1);
		p[i] = (struct pollfd){ .fd = c->fd, .events = (short)(POLLIN |
		    (c->out.len > 0 ? POLLOUT : 0)) };
	}
	left = until - run_now(r);
	left = left < 0 ? 0 : left;
	ts.tv_sec = left / NUM_NS_PER_S;
	ts.tv_nsec = left % NUM_NS_PER_S;
	if (ppoll(p, r->net.cnt, &ts, NULL) == -1 && errno != EINTR)
		err(EX_OSERR, "poll");
	if (net_caught != 0)
		net_die(&r->net);
	for (unsigned int i = 0; i < r->net.cnt; i++)
		if ((p[i].revents & ~POLLOUT) != 0 &&
		    r->net.conns[i + 1].fd != -1)
			listen_to(r, i + 1);
}

static void
housekeep(struct run *r, int64_t now)
{
	if (now >= next_sweep) {
		sweep(r, now);
		next_sweep = now + SWEEP_NS;
	}
	if (watching && now >= next_watch) {
		ask_digests(r, now);
		next_watch = now + WATCH_NS;
	}
	if (now >= next_progress) {
		show_progress(r, now);
		next_progress = now + PROGRESS_NS;
	}
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void
load_begin(struct run *r)
{
	free(sessions);
	sessions = NULL;
	r->sessions_cnt = 0;
	r->healed_ns = r->converged_ns = -1;
	watching = false;
	first_open = 0;
	r->zero = mono_now();
	next_due = next_sweep = next_watch = next_progress = 0;
}

void
load_until(struct run *r, int64_t until_ns, enum phase phase)
{
	double gap = (double)NUM_NS_PER_S / r->o->rate;
	int64_t now;

	if (r->healed_ns != -1 && r->converged_ns == -1)
		watching = true;
	while ((now = run_now(r)) < until_ns) {
		housekeep(r, now);
		while (next_due <= now) {
			issue(r, next_due, phase);
			next_due += (int64_t)(draw_exp(&r->random) * gap);
		}
		turn(r, least(least(next_due, until_ns), least(next_sweep,
		    watching ? next_watch : NEVER)));
	}
}

void
load_drain(struct run *r, int64_t limit_ns)
{
	int64_t limit = run_now(r) + limit_ns, now;

	while (r->open > 0 && (now = run_now(r)) < limit) {
		housekeep(r, now);
		turn(r, least(limit, next_sweep));
	}
	next_due = run_now(r);
}

int
load_converge(struct run *r, int64_t limit_ns)
{
	int64_t limit = run_now(r) + limit_ns, now;

	watching = r->healed_ns != -1 && r->converged_ns == -1;
	r->equal_digests = false;
	while (!r->equal_digests && (now = run_now(r)) < limit) {
		ask_digests(r, now);
		while (!r->equal_digests &&
		    (unsigned int)__builtin_popcount(answered) < r->net.cnt &&
		    run_now(r) < least(now + NUM_NS_PER_S, limit))
			turn(r, now + NUM_NS_PER_S);
		if (!r->equal_digests)
			turn(r, run_now(r) + WATCH_NS);
	}
	watching = false;
	for (unsigned int i = 1; i <= r->net.cnt; i++) {
		r->sync_bytes += infos[i].sync_bytes;
		r->declined += infos[i].declined;
	}
	return r->equal_digests ? 0 : -1;
}

static bool
all_seen(struct run *r)
{
	uint32_t all = (1U << (r->net.cnt + 1)) - 2;
	int64_t now = run_now(r);

	ask_digests(r, now);
	while ((unsigned int)__builtin_popcount(answered) < r->net.cnt &&
	    run_now(r) < now + NUM_NS_PER_S)
		turn(r, now + NUM_NS_PER_S);
	turn(r, run_now(r) + WATCH_NS);
	for (unsigned int i = 1; i <= r->net.cnt; i++)
		if (infos[i].seen != all)
			return false;
	return true;
}

void
load_wait_seen(struct run *r)
{
	struct mono deadline = mono_after(SEEN_NS);

	r->zero = mono_now();
	while (!all_seen(r))
		if (mono_passed(deadline))
			errx(EX_UNAVAILABLE, "the replicas do not see each "
			    "other");
}

/* Every key from every replica, as its clients would read it. */
void
load_final_reads(struct run *r)
{
	for (size_t k = 0; k < r->keys_cnt; k++)
		for (unsigned int i = 1; i <= r->net.cnt; i++) {
			struct rec *c = load_rec(r);

			c->due = run_now(r);
			c->phase = FINAL;
			c->key = (uint8_t)k;
			c->node = (uint8_t)i;
			c->level = (uint8_t)r->keys[k].level;
			c->modify = r->keys[k].class >= REGISTERS;
			c->session = take_session(r, i);
			send_rec(r, c, NULL, NULL);
		}
	load_drain(r, r->o->timeout_ns + 2 * GRACE_NS);
}

void
load_end(struct run *r)
{
	free(sessions);
	sessions = NULL;
	free(r->recs);
	for (size_t i = 0; i < r->keys_cnt; i++)
		free(r->final[i]);
}
