/*
 * queue_twin: the naive twin of a queue: every message and every state of it
 * in plain arrays, every rule as a loop over all of them.  It knows nothing of
 * logs, indexes and cursors; tests compare the engine with it.
 *
 * Rules:   queue.h and dsqueue(5); one comment names each that is not obvious.
 * Units:   wall clock nanoseconds.  Message numbers begin with 0.
 * Use:     included by one test program only.
 */
#ifndef TESTS_QUEUE_TWIN_H
#define TESTS_QUEUE_TWIN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "queue.h"

#define TWIN_MESSAGES	3000
#define TWIN_GROUPS	4
#define TWIN_CLAIMS	24
#define TWIN_KEYS	7		/* key 0 is the empty one */
#define TWIN_IDS	40

enum cell_state { WAIT, FLYING, DONE, DEAD };

/* What one group knows of one message. */
struct cell {
	enum cell_state state;
	int claim;			/* 1 + its place in claims, or 0 */
	bool acked, fenced;		/* of that claim on it */
	uint32_t tries, claim_tries;	/* now, and when it was claimed */
	int64_t due;			/* of a retry */
};

struct twin_message {
	int key, id;			/* -1: none */
	size_t len;
	int64_t due;
	/* Learnt from the engine when it is first shown: */
	int64_t ts;
	uint32_t epoch;
	bool gone;			/* its bytes were given back */
	struct cell cell[TWIN_GROUPS];
};

enum claim_kind { NO_CLAIM, STREAM, RUN, LEASE };

struct twin_claim {
	enum claim_kind kind;
	int group, handle;
	bool acked;			/* at most once */
	uint64_t seqs[TWIN_MESSAGES];
	size_t cnt, handed;
	struct queue_claim c;
};

struct twin {
	struct twin_message m[TWIN_MESSAGES];
	uint64_t cnt;
	struct {
		bool there;
		bool scanned;		/* the engine has looked at all of it */
		uint32_t no;
	} group[TWIN_GROUPS];
	struct twin_claim claim[TWIN_CLAIMS];
	uint64_t max_messages, max_per_key, dedup_count;
	bool closed, paused;
	uint64_t ids;			/* pushed so far */
	uint64_t id_no[TWIN_IDS], id_seq[TWIN_IDS];	/* no: from 1 */
};

#define TWIN_FN		__attribute__((unused)) static

TWIN_FN int64_t
twin_due(const struct twin *t, int g, uint64_t i)
{
	const struct cell *c = &t->m[i].cell[g];

	return c->due > t->m[i].due ? c->due : t->m[i].due;
}

/* Finished in every group, dead in none: its bytes may go. */
TWIN_FN bool
twin_removable(const struct twin *t, uint64_t i)
{
	for (int g = 0; g < TWIN_GROUPS; g++)
		if (t->group[g].there && t->m[i].cell[g].state != DONE)
			return false;
	return true;
}

/* Some group has not finished it. */
TWIN_FN bool
twin_unfinished(const struct twin *t, uint64_t i)
{
	for (int g = 0; g < TWIN_GROUPS; g++)
		if (t->group[g].there && (t->m[i].cell[g].state == WAIT ||
		    t->m[i].cell[g].state == FLYING))
			return true;
	return false;
}

/* A claim on it, of whatever standing, keeps the key busy. */
TWIN_FN bool
twin_key_busy(const struct twin *t, int g, int key)
{
	for (uint64_t i = 0; i < t->cnt; i++)
		if (t->m[i].key == key && t->m[i].cell[g].claim != 0)
			return true;
	return false;
}

/* --- what happens to a message ------------------------------------------------ */

TWIN_FN void
twin_finish(struct cell *c)
{
	c->state = DONE;
	c->tries = 0;
	c->due = 0;
}

TWIN_FN void
twin_claim(struct twin *t, int n, uint64_t i)
{
	struct twin_claim *k = &t->claim[n];
	struct cell *c = &t->m[i].cell[k->group];

	c->claim = n + 1;
	c->claim_tries = c->tries;
	c->fenced = false;
	c->acked = k->acked;
	c->state = FLYING;
	if (k->acked)
		twin_finish(c);
	k->seqs[k->cnt++] = i;
}

/* Taken no more; counted: a run of a command counts as a try. */
TWIN_FN void
twin_back(struct twin *t, int g, uint64_t i, bool counted, int64_t due)
{
	struct cell *c = &t->m[i].cell[g];
	bool run = t->claim[c->claim - 1].kind == RUN;

	c->claim = 0;
	if (c->acked)
		return;
	c->state = WAIT;
	c->tries = c->claim_tries + (counted && run);
	c->due = due;
}

TWIN_FN void
twin_ack(struct twin *t, int g, uint64_t i)
{
	struct cell *c = &t->m[i].cell[g];

	c->claim = 0;
	if (!c->acked)
		twin_finish(c);
}

TWIN_FN void
twin_die(struct twin *t, int g, uint64_t i, uint32_t tries)
{
	struct cell *c = &t->m[i].cell[g];

	twin_finish(c);
	c->claim = 0;
	c->state = DEAD;
	c->tries = tries;
}

TWIN_FN void
twin_requeue(struct twin *t, int g, uint64_t i)
{
	struct cell *c = &t->m[i].cell[g];

	c->state = WAIT;
	c->tries = 0;
}

/* Is claim n still the one that has message i, and may it settle it? */
TWIN_FN bool
twin_holds(const struct twin *t, int n, uint64_t i, bool *fenced)
{
	const struct cell *c = &t->m[i].cell[t->claim[n].group];

	*fenced = c->claim == n + 1 && c->fenced;
	return c->claim == n + 1;
}

/* The holder of claim n is gone. */
TWIN_FN void
twin_holder_died(struct twin *t, int n)
{
	struct twin_claim *k = &t->claim[n];
	bool fenced;

	for (size_t s = 0; s < k->cnt; s++)
		if (twin_holds(t, n, k->seqs[s], &fenced))
			twin_back(t, k->group, k->seqs[s], true, 0);
	k->kind = NO_CLAIM;
	k->cnt = 0;
}

/* --- administration ------------------------------------------------------------ */

/* Claims end, but not for the key; a lease has nobody whose end could be told. */
TWIN_FN void
twin_fence(struct twin *t, int g, uint64_t i, bool finished)
{
	struct cell *c = &t->m[i].cell[g];

	if (c->claim == 0)
		return;
	c->fenced = true;
	c->acked = finished;
	if (t->claim[c->claim - 1].kind == LEASE)
		c->claim = 0;
}

TWIN_FN uint64_t
twin_purge(struct twin *t, int g)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < t->cnt; i++) {
		struct cell *c = &t->m[i].cell[g];

		twin_fence(t, g, i, true);
		if (c->state == DEAD || c->state == DONE)
			continue;
		n++;
		twin_finish(c);
	}
	t->group[g].scanned = false;
	return n;
}

TWIN_FN void
twin_reset(struct twin *t, int g, uint64_t first)
{
	for (uint64_t i = 0; i < t->cnt; i++) {
		struct cell *c = &t->m[i].cell[g];
		bool finished = i < first || t->m[i].gone;

		twin_fence(t, g, i, finished);
		if (finished && c->state == DEAD)
			continue;
		c->tries = 0;
		c->due = 0;
		c->state = finished ? DONE : c->claim != 0 ? FLYING : WAIT;
	}
	t->group[g].scanned = false;
}

TWIN_FN void
twin_group_begins(struct twin *t, int g, uint64_t first)
{
	memset(&t->group[g], 0, sizeof(t->group[g]));
	t->group[g].there = true;
	for (uint64_t i = 0; i < t->cnt; i++) {
		memset(&t->m[i].cell[g], 0, sizeof(struct cell));
		if (i < first || t->m[i].gone)
			t->m[i].cell[g].state = DONE;
	}
}

/* Claims of a group that goes: nothing of theirs is left. */
TWIN_FN void
twin_group_ends(struct twin *t, int g)
{
	t->group[g].there = false;
	for (uint64_t i = 0; i < t->cnt; i++)
		memset(&t->m[i].cell[g], 0, sizeof(struct cell));
}

/* Another boot: nobody has anything; a run that was begun counts. */
TWIN_FN void
twin_boot(struct twin *t)
{
	for (int g = 0; g < TWIN_GROUPS; g++) {
		for (uint64_t i = 0; i < t->cnt; i++) {
			struct cell *c = &t->m[i].cell[g];

			if (c->claim != 0 && !c->acked) {
				c->state = WAIT;
				if (t->claim[c->claim - 1].kind == RUN) {
					c->tries = c->claim_tries + 1;
					c->due = 0;
				}
			}
			c->claim = 0;
		}
		t->group[g].scanned = false;
	}
	for (int n = 0; n < TWIN_CLAIMS; n++) {
		t->claim[n].kind = NO_CLAIM;
		t->claim[n].cnt = 0;
	}
}

/* --- taking -------------------------------------------------------------------- */

typedef bool (*twin_part)(const struct queue_take *how, int key);

/*
 * What take must give, where it must give out at most one message of a key:
 * the earliest that can be taken, in order.  Those without a try left die.
 */
TWIN_FN size_t
twin_take(struct twin *t, int g, const struct queue_take *how, int64_t now,
    twin_part in_part, uint64_t *seqs)
{
	bool led[TWIN_KEYS], again = true;
	size_t n = 0;

	while (n == 0 && again) {
		again = false;
		for (int k = 0; k < TWIN_KEYS; k++)
			led[k] = twin_key_busy(t, g, k);
		for (uint64_t i = 0; i < t->cnt && n < how->max_messages; i++) {
			struct cell *c = &t->m[i].cell[g];
			int key = t->m[i].key;

			if (c->state != WAIT || (key >= 0 && led[key]))
				continue;
			if (key >= 0)
				led[key] = true;
			if (twin_due(t, g, i) > now || !in_part(how, key))
				continue;
			if (how->run && how->tries > 0 &&
			    c->tries >= how->tries) {
				twin_die(t, g, i, c->tries);
				again = true;
			} else {
				seqs[n++] = i;
				if (how->max_bytes == 1)
					break;
			}
		}
	}
	return n;
}

/*
 * A stream may also get the messages behind the first of a key: which ones,
 * when not all may be had, is the engine's to choose.  NULL, or what is wrong.
 */
TWIN_FN const char *
twin_judge_stream(const struct twin *t, int g, const struct queue_take *how,
    int64_t now, twin_part in_part, const uint64_t *seqs, size_t cnt)
{
	bool led[TWIN_KEYS], open[TWIN_KEYS], left = false;
	bool limited = cnt >= how->max_messages || how->max_bytes == 1;
	size_t n = 0;

	if (cnt > how->max_messages || (how->max_bytes == 1 && cnt > 1))
		return "more than asked for";
	for (int k = 0; k < TWIN_KEYS; k++) {
		led[k] = twin_key_busy(t, g, k);
		open[k] = false;
	}
	for (uint64_t i = 0; i < t->cnt; i++) {
		const struct cell *c = &t->m[i].cell[g];
		int key = t->m[i].key;
		bool got = n < cnt && seqs[n] == i, first = false, can;

		n += got;
		if (c->state != WAIT) {
			if (got)
				return "one that does not wait";
			continue;
		}
		can = twin_due(t, g, i) <= now && in_part(how, key);
		if (key < 0 || !led[key])
			first = true;
		else
			can = can && open[key];
		if (key >= 0) {
			led[key] = true;
			open[key] = got;
		}
		if (got && !can)
			return "one that cannot be taken";
		if (got && first && left)
			return "one behind another that was passed over";
		if (can && !got && !limited)
			return "not all that can be taken";
		if (can && !got && first)
			left = true;
	}
	return n == cnt ? cnt == 0 && left ? "none" : NULL : "not in order";
}

#endif /* TESTS_QUEUE_TWIN_H */
