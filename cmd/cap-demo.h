/*
 * cap-demo: what its parts share; see cap-demo(1).
 *
 * Errors:  parts of the driver end the program themselves (err(3)) when the
 *          system fails them; children die with it.
 */
#ifndef CMD_CAP_DEMO_H
#define CMD_CAP_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "clock.h"
#include "dvv.h"
#include "regwire.h"

#define PROBE_NODES_MAX	DVV_NODES_MAX
#define STATUS_LIST_MAX	32
#define DELAYS_MAX	16

enum level_choice { LEVEL_MIX, LEVEL_STRONG, LEVEL_EVENTUAL };

struct options {
	const char *job;
	const char *dir;		/* -C, or NULL */
	unsigned int id, replicas;	/* -i, -n */
	const char *shape;		/* -p */
	double rate;			/* -r, operations a second */
	int64_t wait_ns;		/* -W; -1 not given */
	enum level_choice level;	/* -c */
	bool has_level;
	uint64_t seed;
	bool json, quiet, verbose;
	const char *history, *report;
	int64_t delay_ns;		/* on all links, one way */
	int64_t timeout_ns;		/* of one operation */
	bool has_timeout;

	bool links, siblings, no_write_back, amnesia, weak_writer;
	int64_t skew_ms, max_skew_ms;
	unsigned int skew_node;
	bool has_max_skew;
	int ready_fd;

	int64_t delays_ns[DELAYS_MAX];
	size_t delays_cnt;

	struct { const char *name, *addr; } nodes[PROBE_NODES_MAX];
	size_t nodes_cnt;
	const char *get, *put, *eventual_get, *eventual_put;
	unsigned char refused[STATUS_LIST_MAX];
	size_t refused_cnt;
	bool keep_empty;
};

int	node_main(const struct options *o);
int	client_main(const struct options *o, int argc, char *argv[]);
int	run_main(struct options *o);
int	pacelc_main(struct options *o);
int	probe_main(struct options *o);

/* --- one connection with frames (cap-demo_conn.c) ------------------------ */

struct conn {
	int fd;				/* -1: not connected */
	uint64_t serial;
	struct buf in, out;
};

/* Read what is there: 0, or -1 the connection is over. */
int	conn_fill(struct conn *c);
/* Write what goes: 0, or -1 it is over. */
int	conn_flush(struct conn *c);
/* The next frame, as regwire_get(); m is good until conn_drop(c, used). */
int	conn_next(struct conn *c, struct regwire_msg *m, size_t *used);
void	conn_drop(struct conn *c, size_t used);
/* Queue a frame; exits when out of memory. */
void	conn_put(struct conn *c, const struct regwire_msg *m);
void	conn_close(struct conn *c);

/* dir/name/rest as a string of the caller's. */
char	*path_of(const char *dir, unsigned int node, const char *rest);

#endif /* CMD_CAP_DEMO_H */
