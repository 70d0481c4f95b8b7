/*
 * abd: happy path ASKING, STORING, ENDED.  A reply is counted once a node, as
 * a bit, so that a network that repeats messages cannot make a majority.
 */

#include "abd.h"

#include <string.h>

static unsigned int
count(uint32_t set)
{
	return (unsigned int)__builtin_popcount(set);
}

unsigned int
abd_majority(unsigned int nodes)
{
	return nodes / 2 + 1;
}

void
abd_init(struct abd *a, unsigned int nodes, bool write, size_t limit)
{
	memset(a, 0, sizeof(*a));
	a->nodes = nodes;
	a->write = write;
	a->limit = limit;
}

void
abd_release(struct abd *a)
{
	dvv_release(&a->entry);
}

/* Enough have been heard: what now? */
static int
decide(struct abd *a)
{
	if (a->write) {
		a->phase = ABD_CHOOSING;
		return ABD_CHOOSE;
	}
	if (!a->differ || a->no_write_back) {
		a->phase = ABD_ENDED;
		return ABD_DONE;
	}
	a->phase = ABD_STORING;
	return ABD_STORE;
}

int
abd_state(struct abd *a, unsigned int from, const struct dvv *state)
{
	struct stamp have = dvv_stamp(&a->entry), got = dvv_stamp(state);
	uint64_t discarded = 0;

	if (a->phase != ABD_ASKING || from == 0 || from > a->nodes ||
	    (a->heard & 1U << from) != 0)
		return ABD_WAIT;
	if (dvv_merge(&a->entry, state, a->limit, &discarded) == -1)
		return -1;
	if (a->heard != 0 && stamp_cmp(&have, &got) != 0)
		a->differ = true;
	a->heard |= 1U << from;
	return count(a->heard) < abd_majority(a->nodes) ? ABD_WAIT : decide(a);
}

int
abd_join(struct abd *a, const struct dvv *own)
{
	uint64_t discarded = 0;

	return dvv_merge(&a->entry, own, a->limit, &discarded);
}

int
abd_choose(struct abd *a, const struct dvv_version *v)
{
	uint64_t discarded = 0;

	if (dvv_write(&a->entry, NULL, v->node, v, a->limit,
	    &discarded) == -1)
		return -1;
	a->phase = ABD_STORING;
	return ABD_STORE;
}

int
abd_stored(struct abd *a, unsigned int from, bool accepted)
{
	if (a->phase != ABD_STORING || from == 0 || from > a->nodes)
		return ABD_WAIT;
	if (accepted)
		a->stored |= 1U << from;
	else
		a->declined |= 1U << from;
	if (count(a->stored) >= abd_majority(a->nodes)) {
		a->phase = ABD_ENDED;
		return ABD_DONE;
	}
	if (count(a->declined & ~a->stored) >
	    a->nodes - abd_majority(a->nodes))
		return ABD_FAILED;
	return ABD_WAIT;
}

enum abd_outcome
abd_give_up(const struct abd *a)
{
	return a->write && a->phase == ABD_STORING ? ABD_UNKNOWN : ABD_REFUSED;
}

const char *
abd_outcome_name(enum abd_outcome outcome)
{
	switch (outcome) {
	case ABD_OK:
		return "ok";
	case ABD_REFUSED:
		return "refused";
	case ABD_UNKNOWN:
		break;
	}
	return "unknown";
}
