/* clock: deadlines at the edges; that time passes is taken on trust. */

#include "clock.h"

#include <limits.h>

#include "tap.h"

int
main(void)
{
	struct mono a = mono_now(), b = mono_now(), past, soon;

	ok(a.ns > 0 && b.ns >= a.ns, "now: does not go back");
	ok(wall_now_ns() > INT64_C(1600000000000000000), "wall: after 2020");
	ok(boot_now_ns() >= a.ns - INT64_C(1000000000),
	    "boot: counts at least what mono counts");

	is_int(mono_after(-1).ns, INT64_MAX, "after: negative is never");
	is_int(mono_after(INT64_MAX).ns, INT64_MAX, "after: does not overflow");
	is_int(mono_left_ms(MONO_NEVER), -1, "left_ms: never is -1 for poll");
	is_int(mono_left_ns(MONO_NEVER), INT64_MAX, "left_ns: never");
	ok(!mono_passed(MONO_NEVER), "passed: never has not");

	past = (struct mono){ a.ns - 1 };
	is_int(mono_left_ns(past), 0, "left_ns: nothing once it has passed");
	is_int(mono_left_ms(past), 0, "left_ms: nothing once it has passed");
	ok(mono_passed(past) && mono_passed(mono_after(0)), "passed: at once");

	soon = mono_after(INT64_C(3600000000000));
	ok(mono_left_ns(soon) > INT64_C(3590000000000) &&
	    mono_left_ns(soon) <= INT64_C(3600000000000), "left_ns: an hour");
	ok(mono_left_ms(soon) > 3590000 && mono_left_ms(soon) <= 3600000,
	    "left_ms: an hour");
	ok(mono_left_ms((struct mono){ mono_now().ns + 60000000001 }) > 59000,
	    "left_ms: rounded up");
	is_int(mono_left_ms((struct mono){ INT64_MAX - 1 }), INT_MAX,
	    "left_ms: far away is as long as poll can wait");
	return tap_end();
}
