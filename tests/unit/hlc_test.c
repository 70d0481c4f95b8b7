/* hlc_test: clocks only go forward, and stay near the wall. */

#include "hlc.h"

#include "tap.h"

int
main(void)
{
	struct hlc h = { 0 };
	uint64_t a, b;
	struct stamp s = { 5, 1, 1 }, t = { 5, 2, 1 }, u = { 5, 0, 2 },
	    w = { 6, 0, 0 };

	a = hlc_tick(&h, 1000);
	is_int(hlc_ms(a), 1000, "it follows the wall");
	b = hlc_tick(&h, 1000);
	ok(b > a, "two events in one millisecond");
	b = hlc_tick(&h, 900);
	ok(b > a && hlc_ms(b) == 1000, "a wall that goes back does not matter");
	is_int(hlc_take(&h, a + (UINT64_C(500) << 16), 1000, 500), 0,
	    "a clock 500 ms ahead is taken");
	ok(hlc_tick(&h, 1000) > a + (UINT64_C(500) << 16), "and passed");
	b = h.last;
	is_err(hlc_take(&h, a + (UINT64_C(501) << 16), 1000, 500), ERANGE,
	    "one that is further ahead is not");
	ok(h.last == b, "and changes nothing");
	for (int i = 0; i < 70000; i++)
		a = hlc_tick(&h, 1000);
	ok(hlc_ms(a) == 1501, "the counter carries into the milliseconds");
	ok(stamp_cmp(&s, &t) < 0 && stamp_cmp(&t, &u) < 0 &&
	    stamp_cmp(&u, &w) < 0 && stamp_cmp(&w, &s) > 0 &&
	    stamp_cmp(&s, &s) == 0, "clock, node, sequence, in this order");
	return tap_end();
}
