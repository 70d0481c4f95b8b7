/* hlc: one integer; see hlc.h for why its parts need not be told apart. */

#include "hlc.h"

#include <errno.h>

#define COUNT_BITS	16

uint64_t
hlc_tick(struct hlc *h, int64_t now_ms)
{
	uint64_t now = (uint64_t)now_ms << COUNT_BITS;

	h->last = now > h->last ? now : h->last + 1;
	return h->last;
}

int
hlc_take(struct hlc *h, uint64_t remote, int64_t now_ms, int64_t skew_max_ms)
{
	if (hlc_ms(remote) - now_ms > skew_max_ms) {
		errno = ERANGE;
		return -1;
	}
	if (remote > h->last)
		h->last = remote;
	return 0;
}

int64_t
hlc_ms(uint64_t hlc)
{
	return (int64_t)(hlc >> COUNT_BITS);
}

int
stamp_cmp(const struct stamp *a, const struct stamp *b)
{
	if (a->hlc != b->hlc)
		return a->hlc < b->hlc ? -1 : 1;
	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return 0;
}
