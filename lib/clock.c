/* clock: thin, total functions over clock_gettime; it cannot fail here. */

#include "clock.h"

#include <limits.h>
#include <time.h>

static int64_t
now_ns(clockid_t id)
{
	struct timespec ts = { 0, 0 };

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

struct mono
mono_now(void)
{
	return (struct mono){ now_ns(CLOCK_MONOTONIC) };
}

int64_t
wall_now_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

int64_t
boot_now_ns(void)
{
	return now_ns(CLOCK_BOOTTIME);
}

struct mono
mono_after(int64_t ns)
{
	struct mono t = mono_now();

	if (ns < 0 || __builtin_add_overflow(t.ns, ns, &t.ns))
		return MONO_NEVER;
	return t;
}

int64_t
mono_left_ns(struct mono deadline)
{
	int64_t now;

	if (deadline.ns == INT64_MAX)
		return INT64_MAX;
	now = mono_now().ns;
	return deadline.ns > now ? deadline.ns - now : 0;
}

int
mono_left_ms(struct mono deadline)
{
	int64_t ns;

	if (deadline.ns == INT64_MAX)
		return -1;
	ns = mono_left_ns(deadline);
	if (ns > (int64_t)INT_MAX * 1000000 - 1000000)
		return INT_MAX;
	return (int)((ns + 999999) / 1000000);
}

bool
mono_passed(struct mono deadline)
{
	return mono_left_ns(deadline) == 0;
}
