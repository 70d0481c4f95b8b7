/*
 * raftnode_raft: libraft, its storage and our state machine put together.
 *
 * What libraft does not do by itself is done here: any error of the disk ends
 * the process (nothing is retried into silence; a full disk is waited for),
 * messages on their way to a peer are counted and bounded, the time a write
 * takes is measured, and a new leader serves only once an entry of its own
 * term is committed.
 */

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "log.h"
#include "raftnode.h"
#include "raftnode_guard.h"

#define SEGMENT_SIZE	(4U << 20)
#define SNAPSHOT_BYTES	(UINT64_C(32) << 20)
#define TRAILING	1024U
#define TRAILING_BYTES	(UINT64_C(4) << 20)
#define INFLIGHT	128U
#define SLOW_NS		INT64_C(100000000)

void
node_die(struct node *n, int status, const char *why)
{
	(void)n;
	log_error("stopped why=\"%s\"", why);
	_exit(status);
}

/* --- the state machine ----------------------------------------------------------- */

static int
on_fsm_apply(struct raft_fsm *rf, const struct raft_buffer *buf, void **result)
{
	struct node *n = rf->data;

	*result = NULL;
	n->applied_bytes += buf->len;
	round_applied(n, buf);
	if (n->applied_bytes >= SNAPSHOT_BYTES)
		node_snapshot_now(n);
	return 0;
}

/* At the next event; also how a full log of big entries is kept short. */
void
node_snapshot_now(struct node *n)
{
	raft_set_snapshot_threshold(&n->raft, 1);
}

static int
on_fsm_snapshot(struct raft_fsm *rf, struct raft_buffer *bufs[],
    unsigned int *n_bufs)
{
	struct node *n = rf->data;
	struct buf out = { 0 };
	int64_t begin = mono_now().ns;
	raft_index entries;

	*bufs = raft_malloc(sizeof(**bufs));
	if (*bufs == NULL || fsm_save(n->fsm, &out) == -1)
		node_die(n, EX_OSERR, "out of memory");
	(*bufs)[0].base = out.data;
	(*bufs)[0].len = out.len;
	*n_bufs = 1;
	/* Keep what a follower that is a little behind needs, in bytes too. */
	entries = TRAILING;
	if (n->applied_bytes > TRAILING_BYTES)
		entries = 64;
	raft_set_snapshot_trailing(&n->raft, (unsigned int)entries);
	raft_set_snapshot_threshold(&n->raft, n->o.snapshot_entries);
	n->applied_bytes = 0;
	log_info("snapshot_taken index=%llu bytes=%zu ms=%lld",
	    raft_last_applied(&n->raft), out.len,
	    (long long)(mono_now().ns - begin) / 1000000);
	return 0;
}

static int
on_fsm_restore(struct raft_fsm *rf, struct raft_buffer *buf)
{
	struct node *n = rf->data;

	if (fsm_load(n->fsm, buf->base, buf->len) == -1)
		node_die(n, EX_CONFIG, "a snapshot is not readable");
	log_info("snapshot_restored bytes=%zu", buf->len);
	raft_free(buf->base);
	n->applied_something = true;
	n->applied_bytes = 0;
	return 0;
}

/* --- storage and network, watched ------------------------------------------------- */

static struct raft_io real;	/* libraft's own functions */
static raft_io_recv_cb real_recv;

static struct node *
node_of(struct raft_io *io)
{
	return ((struct raft *)io->data)->data;
}

static int
checked(struct raft_io *io, int rv, const char *what)
{
	struct node *n = node_of(io);

	if (rv == 0 || n->closing)
		return rv;
	log_error("disk_error op=%s error=\"%s\"", what, raft_strerror(rv));
	node_die(n, EX_IOERR, "the disk failed");
}

static int
io_set_term(struct raft_io *io, raft_term term)
{
	return checked(io, real.set_term(io, term), "set_term");
}

static int
io_set_vote(struct raft_io *io, raft_id id)
{
	return checked(io, real.set_vote(io, id), "set_vote");
}

static int
io_truncate(struct raft_io *io, raft_index index)
{
	return checked(io, real.truncate(io, index), "truncate");
}

static int
io_snapshot_put(struct raft_io *io, unsigned int trailing,
    struct raft_io_snapshot_put *req, const struct raft_snapshot *snapshot,
    raft_io_snapshot_put_cb cb)
{
	return checked(io, real.snapshot_put(io, trailing, req, snapshot, cb),
	    "snapshot_put");
}

struct append {
	struct raft_io_append mine;
	struct raft_io_append *req;
	raft_io_append_cb cb;
	struct node *node;
	int64_t begin_ns;
};

static void
on_appended(struct raft_io_append *mine, int status)
{
	struct append *a = mine->data;
	struct node *n = a->node;
	int64_t now = mono_now().ns, took = now - a->begin_ns;

	if (status != 0 && !n->closing) {
		log_error("disk_error op=append error=\"%s\"",
		    raft_strerror(status));
		node_die(n, EX_IOERR, "the disk failed");
	}
	n->latency_ns[n->latency_cnt++ % LATENCIES] = took;
	if (took > SLOW_NS && now - n->slow_told_ns > 1000000000) {
		n->slow_told_ns = now;
		log_warn("slow_disk ms=%lld", (long long)took / 1000000);
	}
	a->cb(a->req, status);
	free(a);
}

static int
io_append(struct raft_io *io, struct raft_io_append *req,
    const struct raft_entry entries[], unsigned int cnt, raft_io_append_cb cb)
{
	struct append *a = calloc(1, sizeof(*a));
	int rv;

	if (a == NULL)
		return RAFT_NOMEM;
	*a = (struct append){ .req = req, .cb = cb, .node = node_of(io),
	    .begin_ns = mono_now().ns };
	a->mine.data = a;
	rv = checked(io, real.append(io, &a->mine, entries, cnt, on_appended),
	    "append");
	if (rv != 0)
		free(a);
	return rv;
}

struct sending {
	struct raft_io_send mine;
	struct raft_io_send *req;
	raft_io_send_cb cb;
	struct peer *peer;
	STAILQ_ENTRY(sending) entry;
};

/* Messages that were not sent: told on the next turn, as if they had been. */
static STAILQ_HEAD(sending_list, sending) dropped = STAILQ_HEAD_INITIALIZER(dropped);

static struct peer *
peer_of(struct node *n, uint64_t id)
{
	struct peer *spare = &n->peers[0];
	size_t i;

	for (i = 0; i < CLUSTER_NODES_MAX; i++) {
		if (n->peers[i].id == id)
			return &n->peers[i];
		if (n->peers[i].id == 0) {
			spare = &n->peers[i];
			break;
		}
	}
	if (spare->id == 0)
		spare->id = id;
	return spare;
}

static void
on_sent(struct raft_io_send *mine, int status)
{
	struct sending *s = mine->data;

	s->peer->sending--;
	s->cb(s->req, status);
	free(s);
}

static int
io_send(struct raft_io *io, struct raft_io_send *req,
    const struct raft_message *message, raft_io_send_cb cb)
{
	struct node *n = node_of(io);
	struct sending *s = calloc(1, sizeof(*s));
	int rv;

	if (s == NULL)
		return RAFT_NOMEM;
	s->req = req;
	s->cb = cb;
	s->mine.data = s;
	s->peer = peer_of(n, message->server_id);
	s->peer->sending++;
	if (s->peer->sending > NODE_SEND_MAX) {
		STAILQ_INSERT_TAIL(&dropped, s, entry);
		return 0;
	}
	rv = real.send(io, &s->mine, message, on_sent);
	if (rv != 0) {
		/* libraft would take an error for its own end. */
		STAILQ_INSERT_TAIL(&dropped, s, entry);
	}
	return 0;
}

static void
drop_messages(void)
{
	struct sending *s;

	while ((s = STAILQ_FIRST(&dropped)) != NULL) {
		STAILQ_REMOVE_HEAD(&dropped, entry);
		on_sent(&s->mine, RAFT_NOCONNECTION);
	}
}

void
node_raft_receive(struct node *n, struct raft_message *message)
{
	peer_of(n, message->server_id)->heard_ns = mono_now().ns;
	guard_entries(&n->raft, message);
	real_recv(&n->io, message);
}

static int
io_start(struct raft_io *io, unsigned int msecs, raft_io_tick_cb tick,
    raft_io_recv_cb recv)
{
	/* Nobody calls it but us: libraft's own reader is not used. */
	real_recv = recv;
	return real.start(io, msecs, tick, recv);
}

static void
wrap_io(struct node *n)
{
	real = n->io;
	n->io.set_term = io_set_term;
	n->io.set_vote = io_set_vote;
	n->io.truncate = io_truncate;
	n->io.snapshot_put = io_snapshot_put;
	n->io.append = io_append;
	n->io.send = io_send;
	n->io.start = io_start;
}

/* --- what the world may know ---------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

int64_t
node_latency_p99(const struct node *n)
{
	static int64_t sorted[LATENCIES];
	size_t cnt = n->latency_cnt < LATENCIES ? (size_t)n->latency_cnt :
	    LATENCIES;

	if (cnt == 0)
		return 0;
	memcpy(sorted, n->latency_ns, cnt * sizeof(sorted[0]));
	qsort(sorted, cnt, sizeof(sorted[0]), compare);
	return sorted[(cnt - 1) * 99 / 100];
}

bool
node_is_leader(const struct node *n)
{
	return n->raft.state == RAFT_LEADER;
}

uint64_t
node_leader(const struct node *n)
{
	if (n->raft.state == RAFT_LEADER)
		return n->o.id;
	if (n->raft.state == RAFT_FOLLOWER)
		return n->raft.follower_state.current_leader.id;
	return 0;
}

int64_t
node_clock(const struct node *n)
{
	return n->clock_base + (boot_now_ns() - n->boot_base) / 1000000;
}

void
node_disk_check(struct node *n)
{
	struct statvfs v;
	bool full;

	if (statvfs(n->log_dir, &v) == -1)
		return;
	full = (uint64_t)v.f_bavail * v.f_frsize < n->o.reserve;
	if (full != n->disk_full)
		log_warn("disk_%s free=%llu reserve=%llu",
		    full ? "full" : "has_room",
		    (unsigned long long)v.f_bavail * v.f_frsize,
		    (unsigned long long)n->o.reserve);
	n->disk_full = full;
}

/* --- following libraft's state ------------------------------------------------------- */

static void
on_step(struct raft *r)
{
	((struct node *)r->data)->state_changed = true;
}

struct first {
	struct raft_barrier req;
	struct raft_apply apply;	/* in its place, after recover */
	struct node *node;
	raft_term term;
};

static void
serve(struct first *f, int status)
{
	struct node *n = f->node;

	if (status == 0 && node_is_leader(n) &&
	    raft_current_term(&n->raft) == f->term) {
		struct fsm_info info;

		fsm_info(n->fsm, &info);
		n->clock_base = info.clock_ms;
		n->boot_base = boot_now_ns();
		n->serving = true;
		n->serving_term = f->term;
		n->due_at = INT64_MAX;
		log_info("leader_serves term=%llu", f->term);
	}
	free(f);
}

static void
on_first(struct raft_barrier *req, int status)
{
	serve((struct first *)(void *)req, status);
}

static void
write_cluster(struct node *n, enum cluster_state state)
{
	n->cluster.state = state;
	if (cluster_write(n->o.dir, &n->cluster) == -1)
		node_die(n, exit_status(errno), strerror(errno));
}

/* The numbers have gone up for good: from now on a cluster like any other. */
static void
on_recovered(struct raft_apply *req, int status, void *result)
{
	struct first *f = req->data;

	(void)result;
	if (status == 0) {
		write_cluster(f->node, CLUSTER_STARTED);
		log_warn("recovered cluster=%s", f->node->cluster.name);
	}
	serve(f, status);
}

/* The only voter of a cluster that recover made: its first entry. */
static void
begin_again(struct node *n, struct first *f)
{
	struct resp_arg argv[1] = { { (const unsigned char *)FSM_RECOVERED,
	    strlen(FSM_RECOVERED) } };
	struct fsm_batch batch = { 0 };
	struct raft_buffer b;

	/* Its time is too early, so it does not move the clock. */
	if (fsm_batch_add(&batch, "", 0, 0, argv, 1) == -1 ||
	    fsm_batch_end(&batch, 0, 0) == -1)
		node_die(n, EX_OSERR, "out of memory");
	b.base = batch.b.data;
	b.len = batch.b.len;
	f->apply.data = f;
	if (raft_apply(&n->raft, &f->apply, &b, 1, on_recovered) != 0) {
		buf_release(&batch.b);
		free(f);
	}
}

static void
begin_leading(struct node *n)
{
	struct first *f = calloc(1, sizeof(*f));

	if (f == NULL)
		node_die(n, EX_OSERR, "out of memory");
	f->node = n;
	f->term = raft_current_term(&n->raft);
	if (n->cluster.state == CLUSTER_RECOVERING)
		begin_again(n, f);
	else if (raft_barrier(&n->raft, &f->req, on_first) != 0)
		free(f);
}

static void
end_leading(struct node *n)
{
	n->serving = false;
	(void)uv_timer_stop(&n->due_timer);
	n->due_at = INT64_MAX;
	round_lost(n);
}

static const char *
state_name(unsigned short state)
{
	switch (state) {
	case RAFT_LEADER:
		return "leader";
	case RAFT_CANDIDATE:
		return "candidate";
	case RAFT_FOLLOWER:
		return "follower";
	default:
		return "unavailable";
	}
}

/* Called between libraft's steps: only here it is asked to do anything. */
void
node_raft_watch(struct node *n)
{
	raft_term term = raft_current_term(&n->raft);
	raft_id leader;

	drop_messages();
	if (!n->state_changed || n->closing)
		return;
	n->state_changed = false;
	member_go_on(n);
	leader = node_leader(n);
	if (n->raft.state == RAFT_UNAVAILABLE)
		node_die(n, EX_SOFTWARE, raft_errmsg(&n->raft));
	if (n->raft.state != n->last_state || term != n->last_term) {
		log_info("state role=%s term=%llu was=%s",
		    state_name(n->raft.state), term, state_name(n->last_state));
		if (n->last_state == RAFT_LEADER)
			end_leading(n);
		n->last_state = n->raft.state;
		n->last_term = term;
		if (node_is_leader(n))
			begin_leading(n);
	}
	if (leader != n->last_leader) {
		if (leader != 0)
			log_info("leader id=n%llu term=%llu", leader, term);
		else
			log_info("no_leader term=%llu", term);
		n->last_leader = leader;
		if (n->link.pipe != NULL && n->link.to != leader)
			forward_close(n, "leader_changed");
	}
}

/* --- beginning and end ----------------------------------------------------------------- */

static void
must(struct node *n, int rv, const char *what)
{
	char text[512];

	if (rv == 0)
		return;
	(void)snprintf(text, sizeof(text), "%s: %s: %s", what,
	    raft_strerror(rv), n->raft.errmsg[0] != '\0' ? n->raft.errmsg :
	    n->io.errmsg);
	node_die(n, rv == RAFT_CORRUPT || rv == RAFT_MALFORMED ? EX_DATAERR :
	    rv == RAFT_NOSPACE ? EX_TEMPFAIL : EX_IOERR, text);
}

void
node_raft_init(struct node *n)
{
	char address[CLUSTER_ADDRESS_MAX];

	n->raft_fsm = (struct raft_fsm){
		.version = 1,
		.data = n,
		.apply = on_fsm_apply,
		.snapshot = on_fsm_snapshot,
		.restore = on_fsm_restore,
	};
	n->tracer = (struct raft_tracer){ .impl = n, .version = 2,
	    .emit = node_trace };
	peer_init(n);
	n->io.version = 1;
	must(n, raft_uv_init(&n->io, n->loop, n->log_dir, &n->transport),
	    "storage");
	raft_uv_set_segment_size(&n->io, SEGMENT_SIZE);
	raft_uv_set_connect_retry_delay(&n->io, 50);
	raft_uv_set_auto_recovery(&n->io, false);
	raft_uv_set_tracer(&n->io, &n->tracer);
	wrap_io(n);
	peer_address(n->o.id, n->cluster.address, address);
	must(n, raft_init(&n->raft, &n->io, &n->raft_fsm, n->o.id, address),
	    "init");
	n->raft.data = n;
	n->raft.tracer = &n->tracer;
	n->raft.legacy.step_cb = on_step;
	raft_set_election_timeout(&n->raft, (unsigned int)n->o.election_ms);
	raft_set_heartbeat_timeout(&n->raft, (unsigned int)n->o.heartbeat_ms);
	raft_set_pre_vote(&n->raft, true);
	raft_set_snapshot_threshold(&n->raft, n->o.snapshot_entries);
	raft_set_snapshot_trailing(&n->raft, TRAILING);
	raft_set_max_inflight_entries(&n->raft, INFLIGHT);
	raft_set_install_snapshot_timeout(&n->raft, 10000);
	raft_set_max_catch_up_round_duration(&n->raft, 2000);
}

/* The configuration that init wrote down becomes the log's first entry. */
static void
bootstrap(struct node *n)
{
	struct raft_configuration conf;
	char address[CLUSTER_ADDRESS_MAX];
	size_t i;
	int rv;

	raft_configuration_init(&conf);
	for (i = 0; i < n->cluster.voters_cnt; i++) {
		peer_address(n->cluster.voters[i], n->cluster.addresses[i],
		    address);
		must(n, raft_configuration_add(&conf, n->cluster.voters[i],
		    address, RAFT_VOTER), "configuration");
	}
	rv = raft_bootstrap(&n->raft, &conf);
	raft_configuration_close(&conf);
	/* Done already, if we died before that was written down. */
	if (rv != RAFT_CANTBOOTSTRAP)
		must(n, rv, "bootstrap");
}

/*
 * Of the log only this node is a voter from here on.  Done again if we die
 * before the first entry is noted in the cluster file: that does no harm.
 */
static void
recover(struct node *n)
{
	struct raft_configuration conf;
	char address[CLUSTER_ADDRESS_MAX];

	raft_configuration_init(&conf);
	peer_address(n->o.id, n->cluster.address, address);
	must(n, raft_configuration_add(&conf, n->o.id, address, RAFT_VOTER),
	    "configuration");
	must(n, raft_recover(&n->raft, &conf), "recover");
	raft_configuration_close(&conf);
	data_own(n);
}

void
node_raft_last(struct node *n)
{
	struct raft_snapshot *snapshot = NULL;
	struct raft_entry *entries = NULL;
	raft_index start, last = 0;
	raft_term term, last_term = 0;
	raft_id voted_for;
	size_t cnt = 0;

	if (n->cluster.state != CLUSTER_NEW &&
	    n->cluster.state != CLUSTER_JOINING) {
		node_raft_init(n);
		must(n, n->io.load(&n->io, &term, &voted_for, &snapshot,
		    &start, &entries, &cnt), "log");
		if (snapshot != NULL) {
			last = snapshot->index;
			last_term = snapshot->term;
		}
		if (cnt > 0) {
			last = start + cnt - 1;
			last_term = entries[cnt - 1].term;
		}
	}
	printf("%llu %llu\n", last_term, last);
	if (fflush(stdout) == EOF)
		node_die(n, EX_IOERR, "stdout");
	_exit(EX_OK);		/* the log in memory goes with us */
}

void
node_raft_start(struct node *n)
{
	if (n->cluster.state == CLUSTER_NEW)
		bootstrap(n);
	if (n->cluster.state == CLUSTER_RECOVERING)
		recover(n);
	else if (n->cluster.state != CLUSTER_STARTED)
		write_cluster(n, CLUSTER_STARTED);
	must(n, raft_start(&n->raft), "start");
	/* A lone voter leads at once: that is news, too. */
	n->last_state = RAFT_FOLLOWER;
	n->last_term = raft_current_term(&n->raft);
	n->state_changed = true;
}

static void
on_raft_closed(struct raft *r)
{
	struct node *n = r->data;

	raft_uv_close(&n->io);
	uv_stop(n->loop);
}

void
node_raft_close(struct node *n)
{
	raft_close(&n->raft, on_raft_closed);
}
