/*
 * cap-demo_node: one replica.  One loop: read, act, commit the store once,
 * then let all answers go.
 */

#include <sys/random.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cap-demo_node.h"
#include "exits.h"
#include "log.h"
#include "num.h"
#include "ready.h"
#include "sock.h"

#define CONNS_MAX	512
#define OUT_MAX		(8U << 20)	/* bytes that wait for one peer */
#define DROP_MIN	(1U << 20)	/* from here on, messages get lost */
#define PING_NS		(100 * NUM_NS_PER_MS)
#define SEEN_NS		(500 * NUM_NS_PER_MS)
#define DIGEST_NS	(250 * NUM_NS_PER_MS)
#define HEED_NS		(100 * NUM_NS_PER_MS)
#define RETRY_NS	(50 * NUM_NS_PER_MS)

static struct conn *conns[CONNS_MAX];
static size_t conns_cnt;
static uint64_t serials;
static volatile sig_atomic_t caught;

static void
on_signal(int sig)
{
	caught = sig;
}

int64_t
node_wall_ms(const struct node *n)
{
	return wall_now_ns() / NUM_NS_PER_MS + n->o->skew_ms;
}

struct conn *
node_conn(uint64_t serial)
{
	for (size_t i = 0; i < conns_cnt; i++)
		if (conns[i]->serial == serial)
			return conns[i];
	return NULL;
}

uint32_t
node_seen(const struct node *n)
{
	int64_t now = mono_now().ns;
	uint32_t set = 1U << n->id;

	for (unsigned int i = 1; i <= n->cnt; i++)
		if (i != n->id && n->peers[i].known &&
		    now - n->peers[i].answered.ns < SEEN_NS)
			set |= 1U << i;
	return set;
}

/* Messages to a peer that does not take them are lost: the protocol copes. */
static void
to_peer(struct node *n, unsigned int i, const struct regwire_msg *m)
{
	struct peer *p = &n->peers[i];

	if (p->c.fd != -1 && p->c.out.len < DROP_MIN)
		conn_put(&p->c, m);
}

void
node_to_all(struct node *n, const struct regwire_msg *m)
{
	for (unsigned int i = 1; i <= n->cnt; i++)
		if (i != n->id)
			to_peer(n, i, m);
}

const struct dvv *
node_entry(const struct node *n, const unsigned char *key, size_t len)
{
	static const struct dvv nothing;
	const struct regstore_key *k = regstore_find(n->store, key, len);

	return k == NULL ? &nothing : &k->entry;
}

bool
node_merge(struct node *n, const unsigned char *key, size_t len,
    const struct dvv *entry)
{
	if (hlc_take(&n->clock, dvv_stamp(entry).hlc, node_wall_ms(n),
	    n->o->max_skew_ms) == -1) {
		if (n->declined++ == 0)
			log_warn("clock-ahead ms=%jd", (intmax_t)(hlc_ms(
			    dvv_stamp(entry).hlc) - node_wall_ms(n)));
		return false;
	}
	if (regstore_merge(n->store, key, len, entry) == -1)
		err(EX_OSERR, NULL);
	return true;
}

/* --- messages ---------------------------------------------------------------- */

/* Send what we have in the buckets that differ. */
static void
heed_digest(struct node *n, const struct regwire_msg *m)
{
	const uint64_t *ours = regstore_digests(n->store);
	const struct regstore_key *k = NULL;
	struct regwire_msg s = { .type = REGWIRE_SYNC,
	    .from = (uint16_t)n->id };
	struct peer *p = &n->peers[m->from];
	size_t before = p->c.out.len;

	if (m->from == 0 || m->from > n->cnt || m->from == n->id ||
	    mono_now().ns - p->digested.ns < HEED_NS)
		return;
	p->digested = mono_now();
	while ((k = regstore_next(n->store, k)) != NULL) {
		if (ours[regstore_bucket(k)] == m->digest[regstore_bucket(k)])
			continue;
		s.key = k->key;
		s.key_len = k->len;
		s.entry = k->entry;
		to_peer(n, m->from, &s);
	}
	n->sync_bytes += p->c.out.len - before;
}

static void
put_info(const struct node *n, struct conn *c, uint64_t id)
{
	struct regwire_msg r = { .type = REGWIRE_INFO,
	    .from = (uint16_t)n->id, .id = id };

	r.info.digest = regstore_digest(n->store);
	r.info.keys = regstore_count(n->store);
	r.info.discarded = regstore_discarded(n->store);
	r.info.sync_bytes = n->sync_bytes;
	r.info.declined = n->declined;
	r.info.seen = node_seen(n);
	conn_put(c, &r);
}

/* What others ask of us. */
static void
serve(struct node *n, struct conn *c, const struct regwire_msg *m)
{
	struct regwire_msg r = { .from = (uint16_t)n->id, .id = m->id };

	switch (m->type) {
	case REGWIRE_PING:
		r.type = REGWIRE_PONG;
		conn_put(c, &r);
		break;
	case REGWIRE_QUERY:
		r.type = REGWIRE_STATE;
		r.entry = *node_entry(n, m->key, m->key_len);
		conn_put(c, &r);
		break;
	case REGWIRE_STORE:
		r.type = REGWIRE_STORED;
		r.accepted = node_merge(n, m->key, m->key_len, &m->entry);
		conn_put(c, &r);
		break;
	case REGWIRE_SYNC:
		(void)node_merge(n, m->key, m->key_len, &m->entry);
		break;
	case REGWIRE_DIGEST:
		heed_digest(n, m);
		break;
	case REGWIRE_GET:
	case REGWIRE_PUT:
		op_request(n, c, m);
		break;
	case REGWIRE_STATUS:
		put_info(n, c, m->id);
		break;
	default:			/* an answer nobody waits for */
		break;
	}
}

/* What a peer answers. */
static void
hear(struct node *n, unsigned int from, const struct regwire_msg *m)
{
	if (m->from != from)		/* another replica at that address */
		return;
	n->peers[from].answered = mono_now();
	n->peers[from].known = true;
	if (m->type == REGWIRE_STATE)
		op_state(n, m);
	else if (m->type == REGWIRE_STORED)
		op_stored(n, m);
}

/* All frames that are there; from is 0 for those who ask. */
static int
take_frames(struct node *n, struct conn *c, unsigned int from)
{
	struct regwire_msg m;
	size_t used;
	int rc;

	while ((rc = conn_next(c, &m, &used)) == 1) {
		if (from == 0)
			serve(n, c, &m);
		else
			hear(n, from, &m);
		regwire_release(&m);
		conn_drop(c, used);
		if (c->out.len > OUT_MAX)
			return -1;
	}
	if (rc == -1)
		log_warn("bad-frame from=%u error=\"%s\"", from,
		    strerror(errno));
	return rc;
}

/* --- connections ---------------------------------------------------------------- */

static void
accept_all(int listener)
{
	struct conn *c;
	int fd;

	while (conns_cnt < CONNS_MAX && (fd = sock_accept(listener)) != -1) {
		if (sock_check(fd, false, NULL) == -1) {
			log_warn("refused-peer error=\"%s\"", strerror(errno));
			(void)close(fd);
			continue;
		}
		if ((c = calloc(1, sizeof(*c))) == NULL)
			err(EX_OSERR, NULL);
		c->fd = fd;
		c->serial = ++serials;
		conns[conns_cnt++] = c;
	}
}

static void
forget(size_t i)
{
	conn_close(conns[i]);
	free(conns[i]);
	conns[i] = conns[--conns_cnt];
}

/* Who hung up has to answer again before it is counted on. */
static void
hang_up(struct peer *p)
{
	conn_close(&p->c);
	p->known = false;
}

static void
connect_peers(struct node *n)
{
	const struct regwire_msg ping = { .type = REGWIRE_PING,
	    .from = (uint16_t)n->id };

	for (unsigned int i = 1; i <= n->cnt; i++) {
		struct peer *p = &n->peers[i];

		if (i == n->id || p->c.fd != -1 || !mono_passed(p->retry))
			continue;
		p->retry = mono_after(RETRY_NS);
		p->c.fd = sock_connect(p->path);
		to_peer(n, i, &ping);
	}
}

/* Pings and digests, when they are due; the next time they are. */
static struct mono
keep_in_touch(struct node *n)
{
	static struct mono ping, digest;
	struct regwire_msg m = { .from = (uint16_t)n->id };

	connect_peers(n);
	if (mono_passed(ping)) {
		ping = mono_after(PING_NS);
		m.type = REGWIRE_PING;
		node_to_all(n, &m);
	}
	if (mono_passed(digest)) {
		digest = mono_after(DIGEST_NS);
		m.type = REGWIRE_DIGEST;
		memcpy(m.digest, regstore_digests(n->store), sizeof(m.digest));
		node_to_all(n, &m);
	}
	return ping.ns < digest.ns ? ping : digest;
}

static void
flush_all(struct node *n)
{
	if (regstore_commit(n->store) == -1)
		err(exit_status(errno), "n%u: the log", n->id);
	for (size_t i = conns_cnt; i-- > 0;)
		if (conns[i]->out.len > 0 && conn_flush(conns[i]) == -1)
			forget(i);
	for (unsigned int i = 1; i <= n->cnt; i++)
		if (n->peers[i].c.fd != -1 && n->peers[i].c.out.len > 0 &&
		    conn_flush(&n->peers[i].c) == -1)
			hang_up(&n->peers[i]);
}

static short
events_of(const struct conn *c)
{
	return (short)(POLLIN | (c->out.len > 0 ? POLLOUT : 0));
}

static void
loop_once(struct node *n, const int listeners[2], struct mono wake)
{
	struct pollfd p[2 + CONNS_MAX + DVV_NODES_MAX + 1];
	size_t cnt = conns_cnt, at = 2;
	struct mono next = op_deadline(n);

	for (size_t i = 0; i < 2; i++)
		p[i] = (struct pollfd){ .fd = conns_cnt < CONNS_MAX ?
		    listeners[i] : -1, .events = POLLIN };
	for (size_t i = 0; i < cnt; i++)
		p[at++] = (struct pollfd){ .fd = conns[i]->fd,
		    .events = events_of(conns[i]) };
	for (unsigned int i = 1; i <= n->cnt; i++)
		p[at++] = (struct pollfd){ .fd = n->peers[i].c.fd,
		    .events = events_of(&n->peers[i].c) };
	if (poll(p, at, mono_left_ms(next.ns < wake.ns ? next : wake)) == -1) {
		if (errno != EINTR)
			err(EX_OSERR, "poll");
		return;
	}
	for (unsigned int i = 1; i <= n->cnt; i++) {
		struct conn *c = &n->peers[i].c;

		if ((p[2 + cnt + i - 1].revents & ~POLLOUT) != 0 &&
		    c->fd != -1 && (conn_fill(c) == -1 ||
		    take_frames(n, c, i) == -1))
			hang_up(&n->peers[i]);
	}
	for (size_t i = cnt; i-- > 0;)
		if ((p[2 + i].revents & ~POLLOUT) != 0 &&
		    (conn_fill(conns[i]) == -1 ||
		    take_frames(n, conns[i], 0) == -1))
			forget(i);
	for (size_t i = 0; i < 2; i++)
		if (p[i].revents != 0)
			accept_all(listeners[i]);
}

/* --- beginning and end ------------------------------------------------------------ */

static void
make_dir(const char *path)
{
	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		err(EX_CANTCREAT, "%s", path);
}

static int
listen_at(const struct options *o, const char *name)
{
	char *path = path_of(o->dir, o->id, name);
	int fd = sock_listen(path, 0600);

	if (fd == -1 && errno == EADDRINUSE)
		errx(EX_TEMPFAIL, "%s: a replica runs there already", path);
	if (fd == -1)
		err(exit_status(errno), "%s", path);
	free(path);
	return fd;
}

static void
open_store(struct node *n)
{
	const struct options *o = n->o;
	char *path;
	int fd;

	make_dir(o->dir);
	path = path_of(o->dir, o->id, "");
	make_dir(path);
	free(path);
	path = path_of(o->dir, o->id, "data");
	make_dir(path);
	if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		err(exit_status(errno), "%s", path);
	if (regstore_open(&n->store, fd, n->limit) == -1) {
		if (errno == EBUSY)
			errx(EX_TEMPFAIL, "%s: a replica runs there already",
			    path);
		err(exit_status(errno), "%s/log", path);
	}
	(void)close(fd);
	free(path);
	n->clock.last = regstore_clock(n->store);
}

static void
init(struct node *n, const struct options *o)
{
	uint32_t incarnation;
	char rest[32], name[8];

	if (getentropy(&incarnation, sizeof(incarnation)) == -1)
		err(EX_OSERR, "getentropy");
	n->o = o;
	n->id = o->id;
	n->cnt = o->replicas;
	n->limit = o->siblings ? DVV_VERSIONS_MAX : 1;
	n->seq = (uint64_t)incarnation << 32;
	for (unsigned int i = 1; i <= n->cnt; i++) {
		n->peers[i].c.fd = -1;
		(void)snprintf(rest, sizeof(rest), "to/n%u.store", i);
		n->peers[i].path = o->links ? path_of(o->dir, o->id, rest) :
		    path_of(o->dir, i, "store");
	}
	(void)snprintf(name, sizeof(name), "n%u", n->id);
	log_init(name, o->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN);
	open_store(n);
}

static void
catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGINT, &sa, NULL) == -1 ||
	    sigaction(SIGTERM, &sa, NULL) == -1 ||
	    sigaction(SIGHUP, &sa, NULL) == -1 ||
	    signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		err(EX_OSERR, "sigaction");
}

static void
finish(struct node *n, const int listeners[2])
{
	static const char *const names[2] = { "store", "client" };

	for (size_t i = 0; i < 2; i++) {
		char *path = path_of(n->o->dir, n->id, names[i]);

		(void)unlink(path);
		free(path);
		(void)close(listeners[i]);
	}
	op_release_all(n);
	while (conns_cnt > 0)
		forget(conns_cnt - 1);
	for (unsigned int i = 1; i <= n->cnt; i++) {
		conn_close(&n->peers[i].c);
		free(n->peers[i].path);
	}
	regstore_close(n->store);
}

int
node_main(const struct options *o)
{
	static struct node n;
	int listeners[2];
	struct mono wake;

	init(&n, o);
	listeners[0] = listen_at(o, "store");
	listeners[1] = listen_at(o, "client");
	catch_signals();
	ready_say(o->quiet, o->ready_fd);
	while (caught == 0) {
		wake = keep_in_touch(&n);
		flush_all(&n);
		loop_once(&n, listeners, wake);
		op_timeouts(&n);
	}
	ready_notify("STOPPING=1");
	flush_all(&n);
	finish(&n, listeners);
	if (caught != SIGTERM) {
		signal(caught, SIG_DFL);
		kill(getpid(), caught);
	}
	return EX_OK;
}
