/* cap-demo_node: the inside of one replica, shared by its two files. */
#ifndef CMD_CAP_DEMO_NODE_H
#define CMD_CAP_DEMO_NODE_H

#include "abd.h"
#include "cap-demo.h"
#include "hlc.h"
#include "regstore.h"

#define OPS_MAX		1024		/* operations at once */

struct op {
	uint64_t id;
	uint64_t conn, client_id;	/* whom to answer */
	struct abd abd;
	struct dvv replaced;		/* what a write found */
	unsigned char key[REGWIRE_KEY_MAX];
	size_t key_len;
	unsigned char *value;
	size_t value_len;
	uint8_t rounds;
	struct mono deadline;
};

struct peer {
	struct conn c;
	char *path;
	struct mono retry;		/* not before */
	struct mono answered;		/* when it last did */
	struct mono digested;		/* when its digest was last heeded */
	bool known;			/* it has answered once */
};

struct node {
	const struct options *o;
	unsigned int id, cnt;
	size_t limit;			/* of versions */
	struct regstore *store;
	struct hlc clock;
	uint64_t seq, op_id, sync_bytes, declined;
	struct peer peers[DVV_NODES_MAX + 1];
	struct op *ops[OPS_MAX];
	size_t ops_cnt;
};

/* --- cap-demo_op.c -------------------------------------------------------- */

void	op_request(struct node *n, struct conn *c, const struct regwire_msg *m);
void	op_state(struct node *n, const struct regwire_msg *m);
void	op_stored(struct node *n, const struct regwire_msg *m);
void	op_timeouts(struct node *n);
struct mono	op_deadline(const struct node *n);	/* the next one */
void	op_release_all(struct node *n);

/* --- cap-demo_node.c ------------------------------------------------------ */

int64_t		node_wall_ms(const struct node *n);
void		node_to_all(struct node *n, const struct regwire_msg *m);
struct conn	*node_conn(uint64_t serial);	/* NULL: it has gone */
uint32_t	node_seen(const struct node *n);	/* set of replicas */
/* Merge into the store unless its clock is too far ahead: taken or not. */
bool		node_merge(struct node *n, const unsigned char *key, size_t len,
		    const struct dvv *entry);
const struct dvv *node_entry(const struct node *n, const unsigned char *key,
		    size_t len);

#endif /* CMD_CAP_DEMO_NODE_H */
