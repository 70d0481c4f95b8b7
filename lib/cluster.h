/*
 * cluster: who a node is: the small file in its data directory that says which
 * cluster it belongs to and whether it has ever run.
 *
 * Source:  raft-wire(5), "The cluster file".
 * Layout:  DIR/nK/data/cluster, a few lines of text; replaced as a whole.
 * Errors:  0, or -1 with errno: ENOENT there is none; EBADMSG it is not one;
 *          EEXIST there is one already.
 */
#ifndef LIB_CLUSTER_H
#define LIB_CLUSTER_H

#include <stddef.h>
#include <stdint.h>

#define CLUSTER_NODES_MAX	32
#define CLUSTER_ID_MAX		UINT64_C(1000000)
#define CLUSTER_NAME_LEN	32	/* hexadecimal digits of a cluster's id */
#define CLUSTER_ADDRESS_MAX	80	/* of an address, with its NUL */

enum cluster_state {
	CLUSTER_NEW,		/* made by init, never started */
	CLUSTER_JOINING,	/* made by member add, never started */
	CLUSTER_STARTED,	/* its log must be there */
	CLUSTER_RECOVERING,	/* chosen by recover: the only voter next */
	CLUSTER_RETIRED,	/* recover went on without it: never again */
};

struct cluster {
	char name[CLUSTER_NAME_LEN + 1];
	uint64_t id;		/* this node's */
	enum cluster_state state;
	uint64_t voters[CLUSTER_NODES_MAX];	/* at the beginning */
	size_t voters_cnt;
	/* "tcp:HOST:PORT", or "": reached in the file system */
	char address[CLUSTER_ADDRESS_MAX];	/* this node's */
	char addresses[CLUSTER_NODES_MAX][CLUSTER_ADDRESS_MAX];
};

/* "3" or "n3": 0, or -1 with EINVAL. */
int	cluster_parse_id(const char *text, uint64_t *id);

/* "n3" or "n3=tcp:HOST:PORT"; HOST is numeric.  0, or -1 with EINVAL. */
int	cluster_parse_member(const char *text, uint64_t *id,
	    char address[CLUSTER_ADDRESS_MAX]);

/* A random name. */
int	cluster_name(char name[CLUSTER_NAME_LEN + 1]);

/* dir is the cluster's directory; c->id names the node. */
int	cluster_read(const char *dir, uint64_t id, struct cluster *c);

/* Make DIR/nK and DIR/nK/data as needed and a new file: EEXIST. */
int	cluster_create(const char *dir, const struct cluster *c);

/* Replace the file, durably. */
int	cluster_write(const char *dir, const struct cluster *c);

#endif /* LIB_CLUSTER_H */
