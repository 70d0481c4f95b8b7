/*
 * link_shape: who cannot hear whom.
 *
 * Source:  blockade (groups), Jepsen's nemesis (names of the shapes).
 * Units:   nodes are numbers below n; cut[from * n + to] is true when bytes
 *          from one to the other are blocked.
 */
#ifndef LIB_LINK_SHAPE_H
#define LIB_LINK_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "link_rand.h"
#include "netctl.h"

#define LINK_NODES_MAX	64U

/*
 * group[i] is the group of node i.  Fill cut[] so that groups are apart.
 */
void	link_shape_groups(const unsigned int *group, size_t n, bool *cut);

/*
 * One of the random shapes.  chosen: the node asked for (bridge, one), or n.
 * *groups is set to the number of groups and group[] filled where the shape
 * is made of groups, else *groups is 0.
 * 0, or -1 with EINVAL: not with so few nodes.
 */
int	link_shape_make(enum netctl_shape shape, struct link_rand key,
	    size_t n, size_t chosen, unsigned int *group, size_t *groups,
	    bool *cut);

#endif /* LIB_LINK_SHAPE_H */
