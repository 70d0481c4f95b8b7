/*
 * cap-demo_op: operations of clients, as their coordinator does them.
 *
 * Whatever is put into an output buffer here leaves only after the store was
 * committed, so an answer may be queued before its write is durable.
 */

#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "cap-demo_node.h"
#include "exits.h"
#include "num.h"

#define WAIT_MS_MAX	86400000U

static void
answer(uint64_t conn, uint64_t id, struct regwire_msg *m)
{
	struct conn *c = node_conn(conn);

	m->type = REGWIRE_RESULT;
	m->id = id;
	if (c != NULL)
		conn_put(c, m);
}

static void
refuse(const struct node *n, const struct conn *c, const struct regwire_msg *m,
    uint8_t reason)
{
	struct regwire_msg r = { .from = (uint16_t)n->id,
	    .outcome = ABD_REFUSED, .reason = reason };

	answer(c->serial, m->id, &r);
}

/* --- eventual: here and now ------------------------------------------------ */

/* Above everything seen, and unlike every other of this coordinator. */
static struct stamp
new_stamp(struct node *n, struct stamp above)
{
	struct stamp s = { .hlc = hlc_tick(&n->clock, node_wall_ms(n)),
	    .seq = ++n->seq, .node = (uint16_t)n->id };

	if (s.hlc <= above.hlc)
		s.hlc = above.hlc + 1;
	if (s.hlc > n->clock.last)
		n->clock.last = s.hlc;
	return s;
}

/* The versions of old that a write with this context replaces. */
static void
replaced_by(struct dvv *out, const struct dvv *old, const uint64_t *context)
{
	struct dvv seen = { 0 };
	size_t kept = 0;

	if (dvv_copy(out, old) == -1)
		err(EX_OSERR, NULL);
	memcpy(seen.context, context != NULL ? context : old->context,
	    sizeof(seen.context));
	for (size_t i = 0; i < out->cnt; i++) {
		struct dvv_version *v = &out->versions[i];

		if (dvv_covers(&seen, v->node, v->counter))
			out->versions[kept++] = *v;
		else
			free(v->value);
	}
	out->cnt = kept;
}

static void
eventual_put(struct node *n, const struct conn *c, const struct regwire_msg *m)
{
	const struct dvv *old = node_entry(n, m->key, m->key_len);
	const uint64_t *context = m->has_context ? m->context : NULL;
	struct dvv_version v = { .node = (uint16_t)n->id,
	    .level = REGWIRE_EVENTUAL, .len = m->value_len,
	    .value = (unsigned char *)(uintptr_t)m->value };
	struct regwire_msg r = { .from = (uint16_t)n->id, .outcome = ABD_OK };
	struct regwire_msg sync = { .type = REGWIRE_SYNC,
	    .from = (uint16_t)n->id, .key = m->key, .key_len = m->key_len };

	v.stamp = r.stamp = new_stamp(n, dvv_stamp(old));
	replaced_by(&r.entry, old, context);
	if (regstore_write(n->store, m->key, m->key_len, context,
	    (uint16_t)n->id, &v) == -1)
		err(EX_OSERR, NULL);
	answer(c->serial, m->id, &r);
	dvv_release(&r.entry);
	sync.entry = *node_entry(n, m->key, m->key_len);
	node_to_all(n, &sync);
}

static void
eventual_get(const struct node *n, const struct conn *c,
    const struct regwire_msg *m)
{
	struct regwire_msg r = { .from = (uint16_t)n->id, .outcome = ABD_OK };

	r.entry = *node_entry(n, m->key, m->key_len);	/* borrowed */
	r.stamp = dvv_stamp(&r.entry);
	answer(c->serial, m->id, &r);
}

/* --- strong: with a majority ------------------------------------------------ */

static struct op **
op_find(struct node *n, uint64_t id)
{
	struct op **slot = &n->ops[id % OPS_MAX];

	return *slot != NULL && (*slot)->id == id ? slot : NULL;
}

static void
op_end(struct node *n, struct op **slot, enum abd_outcome outcome,
    uint8_t reason)
{
	struct op *op = *slot;
	struct regwire_msg r = { .from = (uint16_t)n->id,
	    .outcome = (uint8_t)outcome, .reason = reason,
	    .rounds = op->rounds };

	r.stamp = dvv_stamp(&op->abd.entry);
	if (outcome == ABD_OK || op->abd.write)
		r.entry = op->abd.write ? op->replaced : op->abd.entry;
	answer(op->conn, op->client_id, &r);
	abd_release(&op->abd);
	dvv_release(&op->replaced);
	free(op->value);
	free(op);
	*slot = NULL;
	n->ops_cnt--;
}

static void	op_step(struct node *n, struct op **slot, int step);

/* The entry to all replicas; ours is merged at once. */
static void
op_store(struct node *n, struct op **slot)
{
	struct op *op = *slot;
	struct regwire_msg m = { .type = REGWIRE_STORE,
	    .from = (uint16_t)n->id, .id = op->id, .key = op->key,
	    .key_len = op->key_len, .entry = op->abd.entry };
	bool taken;

	op->rounds = 2;
	node_to_all(n, &m);
	taken = node_merge(n, op->key, op->key_len, &op->abd.entry);
	op_step(n, slot, abd_stored(&op->abd, n->id, taken));
}

static void
op_choose(struct node *n, struct op **slot)
{
	struct op *op = *slot;
	struct dvv_version v = { .node = (uint16_t)n->id,
	    .level = REGWIRE_STRONG, .value = op->value,
	    .len = op->value_len };
	int step;

	if (abd_join(&op->abd, node_entry(n, op->key, op->key_len)) == -1)
		err(EX_OSERR, NULL);
	/* Replicas would decline it: better while nothing has been sent. */
	if (hlc_ms(dvv_stamp(&op->abd.entry).hlc) - node_wall_ms(n) >=
	    n->o->max_skew_ms) {
		op_end(n, slot, ABD_REFUSED, REGWIRE_SKEW);
		return;
	}
	v.stamp = new_stamp(n, dvv_stamp(&op->abd.entry));
	replaced_by(&op->replaced, &op->abd.entry, NULL);
	if ((step = abd_choose(&op->abd, &v)) == -1)
		err(EX_OSERR, NULL);
	op_step(n, slot, step);
}

static void
op_step(struct node *n, struct op **slot, int step)
{
	switch (step) {
	case ABD_WAIT:
		break;
	case ABD_CHOOSE:
		op_choose(n, slot);
		break;
	case ABD_STORE:
		op_store(n, slot);
		break;
	case ABD_DONE:
		op_end(n, slot, ABD_OK, REGWIRE_NO_REASON);
		break;
	case ABD_FAILED:
		op_end(n, slot, abd_give_up(&(*slot)->abd), REGWIRE_SKEW);
		break;
	default:
		err(EX_OSERR, NULL);
	}
}

/* A free slot gets the first id that falls into it. */
static struct op **
op_new(struct node *n)
{
	do
		n->op_id++;
	while (n->ops[n->op_id % OPS_MAX] != NULL);
	n->ops_cnt++;
	return &n->ops[n->op_id % OPS_MAX];
}

static void
strong(struct node *n, const struct conn *c, const struct regwire_msg *m)
{
	struct regwire_msg q = { .type = REGWIRE_QUERY,
	    .from = (uint16_t)n->id, .key = m->key, .key_len = m->key_len };
	uint32_t wait_ms = m->wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : m->wait_ms;
	struct op *op, **slot;

	if ((unsigned int)__builtin_popcount(node_seen(n)) <
	    abd_majority(n->cnt)) {
		refuse(n, c, m, REGWIRE_NO_MAJORITY);
		return;
	}
	if (n->ops_cnt >= OPS_MAX) {
		refuse(n, c, m, REGWIRE_BUSY);
		return;
	}
	slot = op_new(n);
	if ((*slot = op = calloc(1, sizeof(*op))) == NULL ||
	    (op->value = malloc(m->value_len + 1)) == NULL)
		err(EX_OSERR, NULL);
	abd_init(&op->abd, n->cnt, m->type == REGWIRE_PUT, n->limit);
	op->abd.no_write_back = n->o->no_write_back;
	op->id = n->op_id;
	op->conn = c->serial;
	op->client_id = m->id;
	memcpy(op->key, m->key, m->key_len);
	op->key_len = m->key_len;
	if (m->value_len > 0)
		memcpy(op->value, m->value, m->value_len);
	op->value_len = m->value_len;
	op->rounds = 1;
	op->deadline = mono_after(wait_ms * NUM_NS_PER_MS);
	q.id = op->id;
	node_to_all(n, &q);
	op_step(n, slot, abd_state(&op->abd, n->id,
	    node_entry(n, op->key, op->key_len)));
}

/* --- what comes in ---------------------------------------------------------- */

void
op_request(struct node *n, struct conn *c, const struct regwire_msg *m)
{
	if (m->level == REGWIRE_STRONG)
		strong(n, c, m);
	else if (m->type == REGWIRE_PUT)
		eventual_put(n, c, m);
	else
		eventual_get(n, c, m);
}

void
op_state(struct node *n, const struct regwire_msg *m)
{
	struct op **slot = op_find(n, m->id);

	if (slot != NULL)
		op_step(n, slot, abd_state(&(*slot)->abd, m->from, &m->entry));
}

void
op_stored(struct node *n, const struct regwire_msg *m)
{
	struct op **slot = op_find(n, m->id);

	if (slot != NULL)
		op_step(n, slot, abd_stored(&(*slot)->abd, m->from,
		    m->accepted));
}

void
op_timeouts(struct node *n)
{
	for (size_t i = 0; i < OPS_MAX && n->ops_cnt > 0; i++)
		if (n->ops[i] != NULL && mono_passed(n->ops[i]->deadline))
			op_end(n, &n->ops[i], abd_give_up(&n->ops[i]->abd),
			    REGWIRE_TIMEOUT);
}

struct mono
op_deadline(const struct node *n)
{
	struct mono first = MONO_NEVER;

	for (size_t i = 0, left = n->ops_cnt; i < OPS_MAX && left > 0; i++)
		if (n->ops[i] != NULL) {
			left--;
			if (n->ops[i]->deadline.ns < first.ns)
				first = n->ops[i]->deadline;
		}
	return first;
}

void
op_release_all(struct node *n)
{
	for (size_t i = 0; i < OPS_MAX; i++)
		if (n->ops[i] != NULL) {
			abd_release(&n->ops[i]->abd);
			dvv_release(&n->ops[i]->replaced);
			free(n->ops[i]->value);
			free(n->ops[i]);
		}
}
