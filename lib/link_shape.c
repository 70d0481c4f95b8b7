/* link_shape: groups, and the shapes that are not made of groups. */

#include "link_shape.h"

#include <errno.h>
#include <string.h>

void
link_shape_groups(const unsigned int *group, size_t n, bool *cut)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			cut[i * n + j] = group[i] != group[j];
}

/* The first `small` of a random order are group 0, the others 1. */
static void
split(struct link_rand key, size_t n, size_t small, unsigned int *group)
{
	size_t order[LINK_NODES_MAX];

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	link_rand_shuffle(key, order, n);
	for (size_t i = 0; i < n; i++)
		group[order[i]] = i < small ? 0 : 1;
}

/*
 * Nodes on a ring in random order; each hears the majority-sized window of
 * which it is the middle.
 */
static void
majorities_ring(struct link_rand key, size_t n, bool *cut)
{
	size_t order[LINK_NODES_MAX], m = n / 2 + 1, to;

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	link_rand_shuffle(key, order, n);
	for (size_t i = 0; i < n * n; i++)
		cut[i] = true;
	for (size_t w = 0; w < n; w++) {
		to = order[(w + (m - 1) / 2) % n];
		for (size_t k = 0; k < m; k++)
			cut[order[(w + k) % n] * n + to] = false;
	}
}

static void
bridge(struct link_rand key, size_t n, size_t middle, bool *cut)
{
	size_t order[LINK_NODES_MAX], m = 0;
	unsigned int group[LINK_NODES_MAX];

	if (middle >= n)
		middle = link_rand_below(link_rand_text(key, "bridge"), n);
	for (size_t i = 0; i < n; i++)
		if (i != middle)
			order[m++] = i;
	link_rand_shuffle(key, order, m);
	for (size_t i = 0; i < m; i++)
		group[order[i]] = i < m / 2 ? 0 : 1;
	group[middle] = 2;
	link_shape_groups(group, n, cut);
	for (size_t i = 0; i < n; i++)
		cut[i * n + middle] = cut[middle * n + i] = false;
}

int
link_shape_make(enum netctl_shape shape, struct link_rand key, size_t n,
    size_t chosen, unsigned int *group, size_t *groups, bool *cut)
{
	size_t need = 2;

	if (shape == NETCTL_MINORITY_THIRD)
		need = 4;
	else if (shape == NETCTL_MAJORITIES_RING || shape == NETCTL_BRIDGE)
		need = 3;
	if (n < need || n > LINK_NODES_MAX) {
		errno = EINVAL;
		return -1;
	}
	*groups = 2;
	switch (shape) {
	case NETCTL_HALVES:
		for (size_t i = 0; i < n; i++)
			group[i] = i < n / 2 ? 0 : 1;
		break;
	case NETCTL_MAJORITY:
		split(key, n, (n - 1) / 2 > 0 ? (n - 1) / 2 : 1, group);
		break;
	case NETCTL_MINORITY_THIRD:
		split(key, n, (n - 1) / 3, group);
		break;
	case NETCTL_ONE:
		if (chosen >= n)
			chosen = link_rand_below(key, n);
		for (size_t i = 0; i < n; i++)
			group[i] = i == chosen ? 0 : 1;
		break;
	case NETCTL_MAJORITIES_RING:
		*groups = 0;
		majorities_ring(key, n, cut);
		return 0;
	case NETCTL_BRIDGE:
		*groups = 0;
		bridge(key, n, chosen, cut);
		return 0;
	case NETCTL_GROUPS: case NETCTL_PAIRS: case NETCTL_PRIMARIES:
		errno = EINVAL;
		return -1;
	}
	link_shape_groups(group, n, cut);
	return 0;
}
