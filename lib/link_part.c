/*
 * link_part: partitions.  Whatever was asked for becomes a matrix of who is cut
 * from whom, and is logged as groups or pairs, which need no seed to replay.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "link_priv.h"

int
put_modifiers(struct buf *b, const struct netctl *c)
{
	if (c->has_mode && buf_printf(b, " mode %s",
	    netctl_mode_name(c->mode)) == -1)
		return -1;
	if (c->p < 1 && buf_printf(b, " p %.17g", c->p) == -1)
		return -1;
	if (c->count > 0 && buf_printf(b, " count %" PRIu64, c->count) == -1)
		return -1;
	return 0;
}

static int
named_groups(struct link_net *n, const struct netctl *c, struct answer *a,
    unsigned int *group, size_t *groups)
{
	bool in[LINK_NODES_MAX + 1], named[LINK_NODES_MAX + 1] = { false };
	bool rest = false;

	for (size_t g = 0; g < c->list_cnt; g++) {
		if (set_nodes(n, c->list[g], in, a) == -1)
			return -1;
		for (size_t i = 1; i < n->nodes_cnt; i++) {
			if (!in[i])
				continue;
			if (named[i]) {
				answer_fail(a, EX_USAGE, "%s is in two groups",
				    n->nodes[i]->name);
				return -1;
			}
			named[i] = true;
			group[i - 1] = (unsigned int)g;
		}
	}
	for (size_t i = 1; i < n->nodes_cnt; i++)
		if (!named[i]) {
			group[i - 1] = (unsigned int)c->list_cnt;
			rest = true;
		}
	*groups = c->list_cnt + (rest ? 1 : 0);
	return 0;
}

static int
primaries(struct link_net *n, const struct netctl *c, struct answer *a,
    unsigned int *group, size_t *groups)
{
	bool in[LINK_NODES_MAX + 1];
	unsigned int g = 0;

	if (set_nodes(n, c->a, in, a) == -1)
		return -1;
	for (size_t i = 1; i < n->nodes_cnt; i++)
		group[i - 1] = in[i] ? ++g : 0;
	*groups = g + 1;
	return 0;
}

static int
named_pairs(struct link_net *n, const struct netctl *c, struct answer *a,
    bool *cut)
{
	char from[NETCTL_NAME_MAX + 1];
	const struct node *x, *y;
	const char *slash;
	size_t m = n->nodes_cnt - 1;

	memset(cut, 0, m * m * sizeof(*cut));
	for (size_t i = 0; i < c->list_cnt; i++) {
		slash = strchr(c->list[i], '/');
		(void)strlcpy(from, c->list[i],
		    (size_t)(slash - c->list[i]) + 1);
		x = node_find(n, from);
		y = node_find(n, slash + 1);
		if (x == NULL || y == NULL) {
			answer_fail(a, EX_NOINPUT, "no node \"%s\"",
			    x == NULL ? from : slash + 1);
			return -1;
		}
		cut[(x->index - 1) * m + y->index - 1] = true;
	}
	return 0;
}

static int
shaped(struct link_net *n, const struct netctl *c, struct answer *a,
    unsigned int *group, size_t *groups, bool *cut)
{
	size_t m = n->nodes_cnt - 1, chosen = m;
	const struct node *b;
	struct link_rand key;

	if (c->a != NULL) {
		if ((b = node_find(n, c->a)) == NULL ||
		    b->index == LINK_UNKNOWN) {
			answer_fail(a, EX_NOINPUT, "no node \"%s\"", c->a);
			return -1;
		}
		chosen = b->index - 1;
	}
	key = link_rand_text(link_rand_key(n->seed), "partition");
	key = link_rand_number(key, n->shapes++);
	if (link_shape_make(c->shape, key, m, chosen, group, groups, cut) ==
	    -1) {
		answer_fail(a, EX_USAGE, "partition: %zu nodes are too few for "
		    "this shape", m);
		return -1;
	}
	return 0;
}

/* "n1,n2 n3" or "pairs n1/n3 n2/n3"; sep goes between groups. */
static int
put_groups(struct link_net *n, struct buf *b, const unsigned int *group,
    size_t groups, const bool *cut, char sep)
{
	size_t m = n->nodes_cnt - 1, cnt = 0;
	bool first;

	if (groups == 0 && buf_put_str(b, "pairs") == -1)
		return -1;
	for (size_t i = 0; groups == 0 && i < m * m; i++)
		if (cut[i] && buf_printf(b, " %s/%s",
		    n->nodes[i / m + 1]->name, n->nodes[i % m + 1]->name) == -1)
			return -1;
	for (unsigned int g = 0; g <= m && cnt < groups; g++) {
		first = true;
		for (size_t i = 0; i < m; i++) {
			if (group[i] != g)
				continue;
			if (buf_printf(b, "%s%.*s%s", first ? "" : ",",
			    first && cnt > 0 ? 1 : 0, &sep,
			    n->nodes[i + 1]->name) == -1)
				return -1;
			first = false;
		}
		cnt += first ? 0 : 1;
	}
	return buf_put_byte(b, '\0');
}

static void
partition_apply(struct link_net *n, const struct netctl *c, const bool *cut,
    struct fault_hits *h)
{
	struct fault_hits lifted = { 0 };
	size_t m = n->nodes_cnt - 1;
	struct link *l;

	/* First set, then lift: what stays blocked is never open between. */
	for (unsigned int i = 0; i < m; i++)
		for (unsigned int j = 0; j < m; j++)
			if (i != j && cut[i * m + j] &&
			    (l = link_get(n, i + 1, j + 1)) != NULL)
				fault_set(n, l, FAULT_PARTITION, c, h);
	for (unsigned int i = 0; i < m; i++)
		for (unsigned int j = 0; j < m; j++)
			if (!cut[i * m + j] &&
			    (l = n->links[i + 1][j + 1]) != NULL)
				fault_lift(n, l, FAULT_BIT(FAULT_PARTITION),
				    &lifted);
}

void
verb_partition(struct link_net *n, const struct netctl *c, struct answer *a)
{
	unsigned int group[LINK_NODES_MAX] = { 0 };
	bool cut[LINK_NODES_MAX * LINK_NODES_MAX] = { false };
	struct fault_hits h = { 0 };
	struct buf line = { 0 }, shown = { 0 };
	size_t groups = 0, m = n->nodes_cnt - 1;
	int rc;

	if (m < 2) {
		answer_fail(a, EX_USAGE, "partition: fewer than two nodes");
		return;
	}
	if (c->shape == NETCTL_GROUPS)
		rc = named_groups(n, c, a, group, &groups);
	else if (c->shape == NETCTL_PRIMARIES)
		rc = primaries(n, c, a, group, &groups);
	else if (c->shape == NETCTL_PAIRS)
		rc = named_pairs(n, c, a, cut);
	else
		rc = shaped(n, c, a, group, &groups, cut);
	if (rc == -1)
		return;
	if (groups > 0)
		link_shape_groups(group, m, cut);
	partition_apply(n, c, cut, &h);
	answer_hits(a, &h);
	if (put_groups(n, &shown, group, groups, cut, '/') == 0 && groups > 0)
		answer_result(a, "groups=%s", (char *)shown.data);
	buf_release(&shown);
	if (buf_put_str(&line, "partition ") == 0 &&
	    put_groups(n, &line, group, groups, cut, ' ') == 0) {
		line.len--;		/* the NUL */
		if (put_modifiers(&line, c) == 0 &&
		    buf_put_byte(&line, '\0') == 0) {
			(void)buf_put_byte(&a->result, '\0');
			log_verb(n, "partition", (char *)line.data,
			    (char *)a->result.data,
			    c->shape == NETCTL_GROUPS ? a->by : c->rest);
			a->result.len--;
			a->logged = true;
		}
	}
	buf_release(&line);
}

