/* link_rand: the same key says the same, and what it says is fair enough. */

#include "link_rand.h"

#include "tap.h"

static struct link_rand
key(uint64_t seed, const char *text, uint64_t n)
{
	return link_rand_number(link_rand_text(link_rand_key(seed), text), n);
}

static void
test_keys(void)
{
	/* Fixed for ever: logs of old versions must replay. */
	is_uint(link_rand_bits(key(42, "n1", 7)),
	    link_rand_bits(key(42, "n1", 7)), "the same twice");
	ok(link_rand_bits(key(42, "n1", 7)) != link_rand_bits(key(43, "n1", 7)),
	    "another seed");
	ok(link_rand_bits(key(42, "n1", 7)) != link_rand_bits(key(42, "n2", 7)),
	    "another link");
	ok(link_rand_bits(key(42, "n1", 7)) != link_rand_bits(key(42, "n1", 8)),
	    "another number");
	ok(link_rand_text(link_rand_text(link_rand_key(1), "a"), "bc").state !=
	    link_rand_text(link_rand_text(link_rand_key(1), "ab"), "c").state,
	    "where a text ends matters");
}

static void
test_fair(void)
{
	double sum = 0, low = 1, high = 0, u;
	size_t index[8], first[8] = { 0 };

	for (uint64_t i = 0; i < 100000; i++) {
		u = link_rand_unit(key(1, "x", i));
		sum += u;
		low = u < low ? u : low;
		high = u > high ? u : high;
	}
	ok(low >= 0 && high < 1 && sum > 49500 && sum < 50500, "unit: %f %f %f",
	    low, high, sum / 100000);
	for (uint64_t i = 0; i < 8000; i++) {
		for (size_t k = 0; k < 8; k++)
			index[k] = k;
		link_rand_shuffle(key(2, "s", i), index, 8);
		first[index[0]]++;
	}
	for (size_t k = 0; k < 8; k++)
		ok(first[k] > 850 && first[k] < 1150, "shuffle: %zu first %zu",
		    k, first[k]);
}

static void
mean_is(enum netctl_dist dist, double want_ms, const char *what)
{
	int64_t ms = INT64_C(1000000), sum = 0, d;
	bool sane = true;

	for (uint64_t i = 0; i < 20000; i++) {
		d = link_rand_delay(key(3, "d", i), 50 * ms, 10 * ms, dist);
		sane &= d >= 0;
		sum += d / 20000;
	}
	ok(sane && (double)sum > want_ms * 0.97e6 &&
	    (double)sum < want_ms * 1.03e6, "%s: mean %.2f ms", what,
	    (double)sum / 1e6);
}

int
main(void)
{
	test_keys();
	test_fair();
	mean_is(NETCTL_CONSTANT, 50, "constant");
	mean_is(NETCTL_UNIFORM, 50, "uniform");
	mean_is(NETCTL_NORMAL, 50, "normal");
	mean_is(NETCTL_EXP, 60, "exp");
	mean_is(NETCTL_PARETO, 60, "pareto");
	is_int(link_rand_delay(key(1, "", 0), INT64_MAX, INT64_MAX,
	    NETCTL_PARETO), INT64_C(3600000000000), "an hour at most");
	return tap_end();
}
