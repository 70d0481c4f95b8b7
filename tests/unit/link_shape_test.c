/* link_shape: what each shape must look like for any number of nodes. */

#include "link_shape.h"

#include "tap.h"

static unsigned int group[LINK_NODES_MAX];
static bool cut[LINK_NODES_MAX * LINK_NODES_MAX];
static size_t groups;

static int
make(enum netctl_shape shape, uint64_t seed, size_t n, size_t chosen)
{
	return link_shape_make(shape, link_rand_key(seed), n, chosen, group,
	    &groups, cut);
}

static size_t
in_group(unsigned int g, size_t n)
{
	size_t cnt = 0;

	for (size_t i = 0; i < n; i++)
		cnt += group[i] == g;
	return cnt;
}

static size_t
heard(size_t to, size_t n)
{
	size_t cnt = 0;

	for (size_t i = 0; i < n; i++)
		cnt += !cut[i * n + to];
	return cnt;
}

static void
test_groups(void)
{
	bool good = true;

	for (size_t n = 2; n <= LINK_NODES_MAX; n++) {
		good &= make(NETCTL_HALVES, n, n, n) == 0 &&
		    in_group(0, n) == n / 2;
		good &= make(NETCTL_MAJORITY, n, n, n) == 0 &&
		    in_group(1, n) >= (n == 2 ? 1 : n / 2 + 1);
		good &= make(NETCTL_ONE, n, n, n) == 0 && in_group(0, n) == 1;
		good &= make(NETCTL_ONE, n, n, 1) == 0 && group[1] == 0;
		if (n >= 4)
			good &= make(NETCTL_MINORITY_THIRD, n, n, n) == 0 &&
			    in_group(0, n) * 3 < n && in_group(0, n) > 0;
		for (size_t i = 0; i < n * n; i++)
			good &= cut[i] == (group[i / n] != group[i % n]);
	}
	ok(good, "groups: sizes, and who is cut");
	is_err(make(NETCTL_MINORITY_THIRD, 1, 3, 3), EINVAL, "too few");
	is_err(make(NETCTL_BRIDGE, 1, 2, 2), EINVAL, "too few for a bridge");
	is_err(make(NETCTL_ONE, 1, 65, 65), EINVAL, "too many");
}

static void
test_ring(void)
{
	bool majority = true, self = true, different = true, same;

	for (size_t n = 3; n <= 15; n++) {
		(void)make(NETCTL_MAJORITIES_RING, n, n, n);
		for (size_t i = 0; i < n; i++) {
			majority &= heard(i, n) == n / 2 + 1;
			self &= !cut[i * n + i];
			for (size_t j = 0; j < i; j++) {
				same = true;
				for (size_t k = 0; k < n; k++)
					same &= cut[k * n + i] ==
					    cut[k * n + j];
				different &= !same;
			}
		}
	}
	ok(majority, "ring: each hears a majority");
	ok(self, "ring: and itself");
	ok(different, "ring: no two the same");
	is_uint(groups, 0, "ring: no groups");
}

static void
test_bridge(void)
{
	bool good = true;

	for (size_t n = 3; n <= 15; n++) {
		(void)make(NETCTL_BRIDGE, n, n, 2);
		good &= heard(2, n) == n;
		for (size_t i = 0; i < n; i++)
			good &= i == 2 || (heard(i, n) >= 2 &&
			    heard(i, n) <= n / 2 + 1);
	}
	ok(good, "bridge: one hears all, the others half");
}

int
main(void)
{
	test_groups();
	test_ring();
	test_bridge();
	return tap_end();
}
