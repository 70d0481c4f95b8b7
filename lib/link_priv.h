/*
 * link_priv: what the files of link share with each other and nobody else.
 *
 * link_net.c    the net, nodes and directories; link_loop.c its loop
 * link_port.c   addresses and listening sockets
 * link_who.c    which node a caller of a shared listener is
 * link_conn.c   connections: opening, dialling, ending
 * link_pump.c   bytes through a connection, with the faults of its links
 * link_queue.c  what waits in the net; link_message.c messages and their faults
 * link_fault.c  which fault hits which connection
 * link_verb.c   what the words do; link_event.c, link_node.c and link_part.c,
 *               some of them
 * link_show.c   status, conditions, lists
 * link_sched.c  at, every, flap; link_chaos.c chaos
 * link_source.c control connections; link_scenario.c scenarios; link_wait.c
 *               what they wait for
 * link_log.c    what was done and decided
 * link_trace.c  what was seen on the wire; link_draw.c draws it
 */
#ifndef LIB_LINK_PRIV_H
#define LIB_LINK_PRIV_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "link.h"
#include "link_frame.h"
#include "link_rand.h"
#include "link_shape.h"
#include "netctl.h"

#define LINK_READ_MAX	65536U		/* bytes of one read */
#define LINK_TURN_MAX	524288U		/* bytes of one direction in a turn */
#define LINK_EVENTS_MAX	32		/* epoll events in a turn */
#define LINK_PIDS_MAX	16U		/* processes of a node */
#define LINK_NAMES_MAX	64U		/* socket names of a net */
#define LINK_PORTS_MAX	16384U
#define LINK_CONNS_MAX	65536U
#define LINK_SCHED_MAX	65536U
#define REPEAT_NOW_MAX	1000U		/* without an interval */
#define LINK_CONTROL_MAX 256U		/* control connections */
#define LINK_LOG_LINES	65536U		/* kept for the log verb */
#define LINK_LOG_BYTES	(16U << 20)	/* of text in them */
#define LINK_DECISIONS	131072U		/* kept for log -d */
#define LINK_SEEN_MAX	4096U		/* events kept for the diagram */
#define LINK_UNKNOWN	0U		/* index of the node "?" */

struct chunk;
struct conn;
struct link;
struct node;
struct port;
struct source;

/* --- the loop ---------------------------------------------------------- */

enum watch_kind {
	WATCH_PORT, WATCH_END, WATCH_INOTIFY, WATCH_WAKE,
	WATCH_CONTROLS,			/* the set of these two: */
	WATCH_CONTROL, WATCH_CLIENT
};

struct watch {
	enum watch_kind kind;
	unsigned int side;
	void *owner;
};

struct timer {
	int64_t at_ns;
	uint64_t order;			/* ties go by age */
	size_t index;			/* in the heap, from 1; 0: not armed */
	void (*fire)(struct link_net *n, void *arg);
	void *arg;
};

/* --- faults ------------------------------------------------------------ */

enum fault_kind {
	FAULT_PARTITION, FAULT_CUT, FAULT_ONEWAY, FAULT_HOLD, FAULT_FLAP,
	FAULT_CONNECT,			/* the last that blocks */
	FAULT_DELAY, FAULT_RATE, FAULT_SLICE, FAULT_LIMIT,
	FAULT_LOSS, FAULT_DUP, FAULT_REORDER, FAULT_CORRUPT,
	FAULT_RESET, FAULT_HALFCLOSE,	/* events: only evidence */
	FAULT_KINDS
};

#define FAULT_BIT(k)	(1U << (k))
#define FAULT_BLOCKS	(FAULT_BIT(FAULT_CONNECT + 1) - 1)
#define FAULT_STREAM	(FAULT_BLOCKS & ~FAULT_BIT(FAULT_CONNECT))
#define FAULT_SHAPES	((FAULT_BIT(FAULT_RESET) - 1) & ~FAULT_BLOCKS)
#define FAULT_FRAMED	(FAULT_BIT(FAULT_LOSS) | FAULT_BIT(FAULT_DUP) | \
			    FAULT_BIT(FAULT_REORDER) | \
			    FAULT_BIT(FAULT_CORRUPT))

struct fault {
	bool on;
	enum netctl_mode mode;
	enum netctl_dist dist;
	double p;
	uint64_t count, used;		/* count 0: no limit */
	int64_t time_ns, time2_ns;
	uint64_t number;
	uint64_t events;		/* reset, half-close: so many */
	uint64_t bites;			/* since it was set */
	int64_t first_ns;		/* of the first bite */
};

/* --- nodes, links, listening sockets ----------------------------------- */

struct process {
	pid_t pid;
	int fd;				/* pidfd */
	bool paused;
};

struct node {
	char name[NETCTL_NAME_MAX + 1];
	unsigned int index;
	bool made_dir, made_to;
	int watch;			/* inotify */
	struct process procs[LINK_PIDS_MAX];
	size_t procs_cnt;
	bool has_addr;
	struct sockaddr_storage addr;
};

struct address {
	bool tcp;
	struct sockaddr_storage sa;
	socklen_t sa_len;
	char *path;			/* unix */
};

struct port {
	struct watch watch;
	int fd;				/* -1: refusing, or not yet */
	struct link *link;		/* NULL: shared by all that call node */
	struct node *node;		/* the one that is called */
	struct address listen, to;
	char name[NETCTL_NAME_MAX + 1];	/* "" for the default socket */
	bool refusing;
	bool polled;
	uint64_t *ordinals;		/* connections so far, by caller */
	struct port *next;		/* of the net */
	struct port *link_next;
	struct timer again;		/* after EMFILE */
};

struct dir;

struct link {
	struct node *from, *to;
	struct fault fault[FAULT_KINDS];
	enum netctl_frame frame;
	struct dir *dirs;		/* whose bytes go this way */
	struct port *ports;		/* that `from` calls */
	double tokens;			/* rate */
	int64_t tokens_ns;
	uint64_t buffered;		/* bytes of memory held */
	uint64_t conns, opened, deferred, refused, resets;
	uint64_t carried, held, held_ever, dropped;
	struct timer flap;
	int64_t flap_up_ns, flap_down_ns;
	enum netctl_mode flap_mode;
	double flap_p;
	uint64_t flap_count;
	bool flap_is_down, flap_leads;	/* one of a pair leads the other */
};

/* --- connections ------------------------------------------------------- */

#define CHUNK_END	1U		/* the stream ends here */
#define CHUNK_RESET	2U

struct chunk {
	struct chunk *next;
	int64_t at_ns;			/* not to be delivered before */
	int64_t sent_ns;
	uint32_t *clock;		/* of the sender, when tracing */
	size_t off, len, cap;
	unsigned int flags;
	unsigned char data[];
};

struct end {
	struct watch watch;
	int fd;				/* -1: not dialled, or closed */
	bool local;			/* a Unix socket */
	bool readable, writable, want_out;
	bool connected, hangup;
	bool dead;			/* the peer is gone */
	bool kept;			/* one byte read, left in the queue */
	bool bulk;
};

struct dir {
	struct conn *conn;
	unsigned int side;		/* the end that bytes come from */
	struct link *link;
	struct dir *prev, *next;	/* of the link */
	struct dir *run_next;		/* has more to do in the next turn */
	bool queued_run;
	unsigned int hit;		/* faults of the link that hit us */
	bool blocked;
	enum netctl_mode mode;
	bool doomed;			/* bytes were thrown away */
	bool closed_in;			/* nothing more comes from the source */
	bool discard;			/* after half-close */
	bool end_sent;
	bool unframed;
	bool reordered;			/* the last message was drawn */
	struct chunk *head, *tail;
	struct chunk *swap;		/* reorder: waits for the next */
	struct buf partial;		/* an incomplete message */
	struct link_frame *frame;
	uint64_t frames;		/* messages, or pieces, so far */
	uint64_t buffered;		/* memory */
	uint64_t queued;		/* bytes of the stream in it */
	uint64_t in, out, limit_from;
	int64_t not_before_ns;		/* slice */
	struct timer timer, swap_timer;
};

struct conn {
	struct link_net *net;
	struct port *port;
	struct link *link;		/* from the caller to the called */
	uint64_t ordinal;
	struct end end[2];		/* 0 the caller, 1 the called */
	struct dir dir[2];		/* 0 bytes of the caller */
	bool dialling, gone;
	uint64_t counted;		/* by the verb of this number */
	struct timer redial;
	struct conn *prev, *next;
	struct conn *dead_next;
};

/* --- scheduled lines, sources ------------------------------------------ */

struct sched {
	uint64_t id;
	char *line;
	int64_t every_ns;
	uint64_t left;			/* 0: for ever */
	uint64_t line_no;		/* of the scenario, whose failure is its
					   own; 0: of none */
	struct timer timer;
	struct sched *prev, *next;
};

struct source {
	struct link_net *net;
	struct watch watch;
	int fd;				/* -1: a scenario */
	struct buf in, out;
	size_t in_off, out_off;
	int64_t base_ns;		/* what "at" counts from */
	bool waiting, at_eof, closing;
	uint32_t events;		/* what epoll watches for */
	struct netctl *wait;		/* what for */
	struct timer timer, within;
	int64_t used_ns;		/* last heard of */
	uint64_t line_no;		/* scenario */
	struct source *prev, *next;
};

struct log_line {
	int64_t t_ns, wall_ns;
	uint64_t seq;
	const char *ev;			/* static */
	bool comment;
	char *text, *result, *by;
};

struct decision {
	unsigned char from, to, kind, dialler;
	const struct port *port;
	uint64_t ordinal, frame;
};

enum seen_kind { SEEN_BYTES, SEEN_HELD, SEEN_DROPPED, SEEN_VERB, SEEN_OPEN,
	SEEN_RESET };

struct seen {
	int64_t sent_ns, at_ns;
	enum seen_kind kind;
	unsigned char from, to;
	uint64_t ordinal, bytes, times;
	char text[48];
};

struct link_net {
	char *dir;
	int dir_fd, epoll, controls, inotify, control, wake;
	bool made_dir;
	struct watch controls_watch, control_watch, inotify_watch, wake_watch;
	struct link_options o;
	int64_t start_ns, now_ns, looked_ns;
	uint64_t seed, shapes;		/* random shapes chosen so far */
	uint64_t verbs;			/* obeyed so far */

	struct node *nodes[LINK_NODES_MAX + 1];	/* [0] is "?" */
	size_t nodes_cnt;		/* with "?" */
	struct link *links[LINK_NODES_MAX + 1][LINK_NODES_MAX + 1];
	struct port *ports;
	size_t ports_cnt;
	char names[LINK_NAMES_MAX][NETCTL_NAME_MAX + 1];
	size_t names_cnt;
	struct conn *conns, *dead;
	size_t conns_cnt;
	struct dir *run, *run_last;	/* in turn */
	uint64_t buffered;
	unsigned char *buf;		/* LINK_READ_MAX */

	struct timer **heap;		/* from 1 */
	size_t heap_cnt, heap_cap;
	uint64_t heap_order;

	struct sched *scheds;
	size_t scheds_cnt;
	uint64_t sched_ids;
	struct source *sources;
	size_t clients_cnt;
	struct source *scenario;
	char *scenario_name;
	enum link_state state;
	bool news;			/* for whoever turns the loop */
	bool stirred;			/* the last turn had events */
	int spin_skip, spin_rest;
	char failure[NETCTL_ERR_MAX + 64];
	int failure_status;

	bool fault_ever[FAULT_KINDS];
	uint64_t fault_bites[FAULT_KINDS];

	bool chaos, chaos_faulty;
	int64_t chaos_end_ns, chaos_min_ns, chaos_max_ns;
	uint64_t chaos_step;
	unsigned int chaos_faults, chaos_now;	/* NETCTL_CHAOS_* */
	unsigned int chaos_a, chaos_b;
	struct timer chaos_timer;

	struct log_line *log;
	size_t log_cnt, log_bytes;
	uint64_t log_seq, log_lost;
	struct decision *decisions;
	size_t decisions_cnt, decisions_cap;
	uint64_t decisions_lost;
	struct seen *seen;
	uint64_t seen_cnt;
	uint32_t *clocks;		/* nodes x nodes, when tracing */
	uint64_t traced;
};

/* An answer being made. */
struct answer {
	struct buf *body;		/* lines, each with its leading space */
	size_t lines;
	struct buf result;		/* after ok */
	int status;			/* 0: ok */
	char err[NETCTL_ERR_MAX];
	const char *by;			/* who asked, for the log */
	uint64_t line_no;		/* of the scenario, or 0 */
	bool deferred;			/* a wait */
	bool logged;			/* the verb wrote its own line */
};

/* link_loop.c */
int	net_watch(int epoll, int fd, struct watch *w, uint32_t events);
int	net_rewatch(int epoll, int fd, struct watch *w, uint32_t events);
void	net_unwatch(int epoll, int fd);
int	timer_arm(struct link_net *n, struct timer *t, int64_t at_ns);
void	timer_disarm(struct link_net *n, struct timer *t);
int64_t	net_now(struct link_net *n);	/* read the clock */

/* link_net.c */
void	net_inotify(struct link_net *n);
struct node *node_find(struct link_net *n, const char *name);
int	node_make(struct link_net *n, const char *name, struct node **np);
int	net_socket(struct link_net *n, const char *name);
struct link *link_get(struct link_net *n, unsigned int from, unsigned int to);
char	*net_path(const char *dir, const char *a, const char *b,
	    const char *c, const char *dot);	/* joined, malloc'd */

/* link_port.c */
int	address_parse(const char *text, struct address *a);
int	address_format(const struct address *a, char *buf, size_t len);
void	address_release(struct address *a);
int	port_make(struct link_net *n, struct link *l, struct node *shared,
	    struct address *listen, const struct address *to, const char *name,
	    struct port **pp);		/* addresses are taken on success */
void	port_refuse(struct link_net *n, struct port *p, bool refuse);
void	port_event(struct link_net *n, struct port *p);
void	port_free(struct link_net *n, struct port *p);

/* link_who.c */
unsigned int who_calls(struct link_net *n, int fd, bool local);
int	process_open(pid_t pid, struct process *pr);
void	process_close(struct process *pr);	/* and let it go on */

/* link_conn.c */
void	conn_accept(struct link_net *n, struct port *p, int fd);
void	conn_dial(struct conn *c);	/* if nothing is in the way */
void	conn_event(struct conn *c, unsigned int side, uint32_t events);
void	conn_close(struct conn *c);
/* Reset both ends; true if every local peer sees it. */
bool	conn_reset(struct conn *c);
void	conn_join(struct conn *c, struct link *l);	/* another caller */
void	conn_reap(struct link_net *n);
void	end_died(struct conn *c, unsigned int side);
void	end_out(struct conn *c, unsigned int side, bool want);
void	conn_free_all(struct link_net *n);

/* link_pump.c */
void	dir_pump(struct dir *d);

/* link_queue.c */
struct chunk *chunk_new(struct dir *d, const void *data, size_t len,
	    size_t cap, unsigned int flags);
void	chunk_append(struct dir *d, struct chunk *ck);	/* taken */
void	chunk_pop(struct dir *d);	/* free the first */
int	dir_queue(struct dir *d, const void *data, size_t len,
	    unsigned int flags);
size_t	dir_room(const struct dir *d);	/* what may be read into memory */
void	dir_account(struct dir *d, int64_t memory);
void	dir_hold(struct dir *d);	/* blocked from here on */
void	dir_run_later(struct dir *d);
void	dir_wake_at(struct dir *d, int64_t at_ns);
void	dir_release(struct dir *d);

/* link_message.c */
int	dir_ingest(struct dir *d, const unsigned char *data, size_t len);
int	dir_unpart(struct dir *d);	/* half a message goes on as bytes */
int	dir_end(struct dir *d, unsigned int flag);	/* behind all of it */

/* link_fault.c */
extern const char *const fault_names[FAULT_KINDS];
bool	fault_decide(struct link_net *n, struct dir *d, enum fault_kind k);
bool	fault_draw_frame(struct link_net *n, struct dir *d, enum fault_kind k);
struct link_rand dir_key(struct link_net *n, const struct dir *d,
	    const char *purpose);
void	fault_bite(struct link_net *n, struct link *l, enum fault_kind k);
void	conn_decide(struct conn *c);	/* a new connection */
struct fault_hits {
	uint64_t links, conns, reset, closed;
};
void	fault_set(struct link_net *n, struct link *l, enum fault_kind k,
	    const struct netctl *c, struct fault_hits *h);
void	fault_lift(struct link_net *n, struct link *l, unsigned int kinds,
	    struct fault_hits *h);
bool	link_blocked(const struct link *l);
struct dir *oldest_dir(struct link *l);	/* then ->prev */

/* link_verb.c */
int	net_obey(struct link_net *n, const struct netctl *c,
	    struct answer *a);
void	answer_fail(struct answer *a, int status, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
void	answer_result(struct answer *a, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
typedef void (*pair_fn)(struct link_net *n, struct link *l, void *arg);
/* The links from the nodes of set a to those of b; -1 after answer_fail. */
int	pairs_each(struct link_net *n, const char *a, const char *b, bool both,
	    struct answer *ans, pair_fn fn, void *arg);
int	set_nodes(struct link_net *n, const char *set, bool *in,
	    struct answer *a);		/* in[LINK_NODES_MAX + 1] */
void	answer_hits(struct answer *a, const struct fault_hits *h);

/* link_event.c */
void	verb_end(struct link_net *n, const struct netctl *c,
	    struct answer *a);		/* reset, half-close */
void	verb_signal(struct link_net *n, const struct netctl *c,
	    struct answer *a);		/* pause, resume, kill */
/* To all processes of the node: how many, -1 after answer_fail. */
int	node_signal(struct node *b, int sig, struct answer *a);

/* link_node.c, link_part.c */
void	verb_node(struct link_net *n, const struct netctl *c,
	    struct answer *a);
void	verb_link(struct link_net *n, const struct netctl *c,
	    struct answer *a);
void	verb_frame(struct link_net *n, const struct netctl *c,
	    struct answer *a);
void	verb_partition(struct link_net *n, const struct netctl *c,
	    struct answer *a);
int	put_modifiers(struct buf *b, const struct netctl *c);	/* as given */

/* link_show.c */
void	show_status(struct link_net *n, const struct netctl *c,
	    struct answer *a);
void	show_peers(struct link_net *n, const struct netctl *c,
	    struct answer *a);
void	show_help(struct answer *a);
/* 1 it holds, 0 it does not (the reason in why), -1 after answer_fail. */
int	condition(struct link_net *n, const struct netctl *c,
	    struct answer *a, char *why, size_t why_len);
void	body_line(struct answer *a, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* link_sched.c */
int	sched_add(struct link_net *n, const struct netctl *c, int64_t base_ns,
	    struct answer *a);
void	sched_stop(struct link_net *n, uint64_t id, struct answer *a);
void	sched_free_all(struct link_net *n);
void	flap_start(struct link_net *n, struct link *l,
	    const struct netctl *c);
void	flap_stop(struct link_net *n, struct link *l);
/* Obey one line that nobody waits for; its failure is noted. */
int	obey_text(struct link_net *n, const char *line, const char *by,
	    uint64_t line_no);

/* link_chaos.c */
void	chaos_start(struct link_net *n, const struct netctl *c);
void	chaos_stop(struct link_net *n, const char *why);

/* link_source.c */
int	net_line(struct link_net *n, const char *line, struct source *s,
	    const char *by, struct buf *reply);
void	control_event(struct link_net *n);
struct source *source_new(struct link_net *n, int fd);
void	source_rerun(struct source *s);		/* and free it if it is done */
/* The next line that has come: 1, 0 none yet, -1 too long. */
int	source_line(struct source *s, char line[NETCTL_LINE_MAX]);
void	source_event(struct link_net *n, struct source *s, uint32_t events);
void	source_free(struct link_net *n, struct source *s);

/* link_wait.c */
int	source_wait(struct source *s, const char *line, struct answer *a);
void	wait_timer(struct link_net *n, void *arg);	/* a source goes on */
void	sources_check(struct link_net *n);	/* conditions waited for */

/* link_scenario.c */
bool	scenario_run(struct source *s);	/* false: it has ended */
void	net_fail(struct link_net *n, int status, uint64_t line_no,
	    const char *why);		/* the scenario has failed */

/* link_log.c */
void	log_verb(struct link_net *n, const char *ev, const char *text,
	    const char *result, const char *by);
void	log_note(struct link_net *n, const char *ev, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
void	log_decision(struct link_net *n, const struct dir *d,
	    enum fault_kind k, uint64_t frame);
void	log_show(struct link_net *n, const struct netctl *c,
	    struct answer *a);
void	log_free(struct link_net *n);

/* link_trace.c */
int	trace_open(struct link_net *n);
void	trace_node(struct link_net *n);
void	trace_seen(struct link_net *n, enum seen_kind kind,
	    const struct dir *d, int64_t sent_ns, uint64_t bytes);
void	trace_verb(struct link_net *n, const char *text);
uint32_t *trace_sent(struct link_net *n, const struct dir *d, uint64_t bytes);
void	trace_delivered(struct link_net *n, const struct dir *d,
	    const uint32_t *clock, uint64_t bytes);
void	trace_free(struct link_net *n);

/* link_draw.c */
void	draw_text(struct link_net *n, struct answer *a);
void	draw_svg(struct link_net *n, struct answer *a);

#endif /* LIB_LINK_PRIV_H */
