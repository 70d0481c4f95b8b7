/*
 * linz_search: depth-first search for an order, over configurations that are
 * never visited twice.
 *
 * A configuration is the set of operations placed and the state they lead to.
 * What may come next: a completed operation that was called before any other
 * open one returned (or the next of its process, for sequential consistency),
 * or an optional one.  Cuts, each sound where it is used:
 *
 * - An operation that never changes the state is placed as soon as it fits:
 *   any order without it at this place has one with it.
 * - Registers, locks, sets and dequeues: optional operations are placed only
 *   right before a completed one that needs them.  In a register any other
 *   operation overwrites them unseen or needs exactly what they leave; in a
 *   set those that no read needs are not needed; a dequeue may be put off
 *   until the next dequeue looks at the head.
 * - Of optional operations that do the same only the first is tried; of
 *   completed ones (but for sequential consistency) the first to return.
 * - Texts and logs that only grow must stay a beginning of the longest read
 *   still to come.
 * - A configuration that differs from one seen before only in having used up
 *   more optional operations can do nothing that one could not.
 */

#include "linz_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICK		256		/* steps between looks at the clock */
#define USED_MAX	256	/* optional ones used, to compare by parts */

/* Room for one more of cnt elements; doubles, counting bytes. */
int
search_room(struct search *s, void *array, size_t cnt, size_t *cap, size_t size)
{
	void **p = array, *q;
	size_t want = *cap * 2 + 256;

	if (cnt < *cap)
		return 0;
	if (s->size + (want - *cap) * size > s->limit->memory_max) {
		errno = ENOMEM;
		return -1;
	}
	q = reallocarray(*p, want, size);
	if (q == NULL)
		return -1;
	s->size += (want - *cap) * size;
	*p = q;
	*cap = want;
	return 0;
}

/* --- limits -------------------------------------------------------------- */

/* Time has gone by. */
static void
tick(struct search *s)
{
	const struct linz_conf *conf = s->limit->conf;

	if (mono_passed(s->limit->deadline))
		s->stop = LINZ_TIME;
	if (conf != NULL && conf->progress != NULL)
		conf->progress(conf->progress_arg, &(struct linz_progress){
		    s->o->placed, s->n, s->limit->states });
}

bool
search_stopped(struct search *s)
{
	if (s->stop != LINZ_DECIDED)
		return true;
	if (++s->ticks % TICK == 0)
		tick(s);
	if (s->stop != LINZ_DECIDED)
		return true;
	if (s->size + s->m.size > s->limit->memory_max)
		s->stop = LINZ_MEMORY;
	else if (s->limit->states_max != 0 &&
	    s->limit->states >= s->limit->states_max)
		s->stop = LINZ_STATES;
	return s->stop != LINZ_DECIDED;
}

/* --- placing and taking back --------------------------------------------- */

static void
toggle(uint64_t h[2], uint64_t a, uint64_t b, bool on)
{
	uint64_t x[2];

	linz_mix(a, b, 7, 9, x);
	h[0] += on ? x[0] : -x[0];
	h[1] += on ? x[1] : -x[1];
}

bool
search_is_reset(const struct linz_op *o)
{
	return o->f == LINZ_WRITE || o->f == LINZ_CAS;
}

void
search_set_bound(struct search *s)
{
	while (s->first < s->n && s->done[s->byret[s->first]])
		s->first++;
	s->bound = s->first < s->n ? s->p->ops[s->byret[s->first]].ret :
	    OP_NEVER;
}

static int
place(struct search *s, uint32_t op)
{
	const struct linz_op *o = &s->p->ops[op];
	struct search_trail *t;

	if (search_room(s, &s->trail, s->trail_cnt, &s->trail_cap,
	    sizeof(*s->trail)) == -1)
		return -1;
	t = &s->trail[s->trail_cnt];
	t->op = op;
	t->first = s->first;
	if (linz_do(&s->m, op, &t->u) == -1)
		return -1;
	s->trail_cnt++;
	s->done[op] = 1;
	if (s->longest != NULL && search_is_reset(o))
		s->longest[o->key - s->p->key0].resets--;
	if (o->optional) {
		struct search_class *c = &s->classes[s->class_of[op]];

		if (search_room(s, &s->used, s->used_cnt, &s->used_cap,
		    sizeof(*s->used)) == -1)
			return -1;
		s->used[s->used_cnt++] = s->class_of[op];
		toggle(s->used_h, s->class_of[op], ++c->used, true);
		return 0;
	}
	s->left--;
	toggle(s->h, op, 0, true);
	if (s->level == LINZ_SEQUENTIAL) {
		s->head[s->chain_of[op]] = s->chain[op];
		return 0;
	}
	s->next[s->prev[op]] = s->next[op];
	s->prev[s->next[op]] = s->prev[op];
	search_set_bound(s);
	return 0;
}

static void
take_back(struct search *s, size_t trail)
{
	while (s->trail_cnt > trail) {
		struct search_trail *t = &s->trail[--s->trail_cnt];
		const struct linz_op *o = &s->p->ops[t->op];

		linz_undo(&s->m, t->op, &t->u);
		s->done[t->op] = 0;
		if (s->longest != NULL && search_is_reset(o))
			s->longest[o->key - s->p->key0].resets++;
		if (o->optional) {
			uint32_t c = s->class_of[t->op];

			toggle(s->used_h, c, s->classes[c].used--, false);
			s->used_cnt--;
			continue;
		}
		s->left++;
		toggle(s->h, t->op, 0, false);
		if (s->level == LINZ_SEQUENTIAL) {
			s->head[s->chain_of[t->op]] = t->op;
			continue;
		}
		s->next[s->prev[t->op]] = t->op;
		s->prev[s->next[t->op]] = t->op;
		s->first = t->first;
	}
	if (s->level != LINZ_SEQUENTIAL)
		search_set_bound(s);
}

/* Place all that can be placed without changing the state. */
static int
place_pure(struct search *s)
{
	const struct linz_op *ops = s->p->ops;
	bool again = true;

	while (again && s->left > 0) {
		again = false;
		if (s->level == LINZ_SEQUENTIAL) {
			for (uint32_t i = 0; i < s->procs; i++) {
				uint32_t op = s->head[i];

				if (op == NONE || !linz_pure(s->p, &ops[op]) ||
				    !linz_can(&s->m, op))
					continue;
				if (place(s, op) == -1)
					return -1;
				again = true;
				i--;
			}
			continue;
		}
		for (uint32_t op = s->next[s->p->cnt], after; op != s->p->cnt &&
		    ops[op].call <= s->bound; op = after) {
			after = s->next[op];
			if (!linz_pure(s->p, &ops[op]) || !linz_can(&s->m, op))
				continue;
			if (place(s, op) == -1)
				return -1;
			again = true;
		}
	}
	return 0;
}

/* --- configurations seen ------------------------------------------------- */

static int
by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int
seen_grow(struct search *s)
{
	size_t cap = s->seen_cap * 2 + 256, at;
	struct search_seen *p;

	if (s->seen_cnt * 2 < s->seen_cap)
		return 0;
	if (s->size + cap * sizeof(*p) > s->limit->memory_max) {
		errno = ENOMEM;
		return -1;
	}
	p = calloc(cap, sizeof(*p));
	if (p == NULL)
		return -1;
	for (size_t i = 0; i < s->seen_cap; i++) {
		if (s->seen[i].h[0] == 0 && s->seen[i].h[1] == 0)
			continue;
		at = s->seen[i].h[0] % cap;
		while (p[at].h[0] != 0 || p[at].h[1] != 0)
			at = at + 1 == cap ? 0 : at + 1;
		p[at] = s->seen[i];
	}
	s->size += (cap - s->seen_cap) * sizeof(*p);
	free(s->seen);
	s->seen = p;
	s->seen_cap = cap;
	return 0;
}

/* Was there one like this that had used no more of any class? */
static bool
surpassed(struct search *s, uint32_t list)
{
	for (; list != NONE; list = s->pool[list]) {
		const uint32_t *p = s->pool + list;
		uint32_t i = 0;

		while (i < p[1] && p[2 + 2 * i + 1] <=
		    s->classes[p[2 + 2 * i]].used)
			i++;
		if (i == p[1])
			return true;
		if (search_stopped(s))
			return true;
	}
	return false;
}

/* Put what is used at the head of a list. */
static int
note_used(struct search *s, uint32_t *list)
{
	uint32_t copy[USED_MAX] = { 0 }, cnt = 0;
	size_t head = s->pool_cnt;

	for (size_t i = 0; i < s->used_cnt; i++)
		copy[i] = s->used[i];
	qsort(copy, s->used_cnt, sizeof(*copy), by_id);
	for (size_t i = 0; i < 2 * s->used_cnt + 2; i++) {
		if (search_room(s, &s->pool, s->pool_cnt, &s->pool_cap,
		    sizeof(*s->pool)) == -1)
			return -1;
		s->pool_cnt++;
	}
	s->pool_cnt = head + 2;
	for (size_t i = 0; i < s->used_cnt; i++) {
		if (i > 0 && copy[i] == copy[i - 1])
			continue;
		s->pool[s->pool_cnt++] = copy[i];
		s->pool[s->pool_cnt++] = s->classes[copy[i]].used;
		cnt++;
	}
	s->pool[head] = *list;
	s->pool[head + 1] = cnt;
	if (head >= NONE) {
		errno = ENOMEM;
		return -1;
	}
	*list = (uint32_t)head;
	return 0;
}

/* 1 new, 0 no better than one seen before, -1. */
static int
remember(struct search *s)
{
	uint64_t h[2] = { s->h[0] + s->m.h[0], s->h[1] + s->m.h[1] };
	bool by_parts = s->used_cnt <= USED_MAX;
	struct search_seen *e;
	size_t at;

	if (seen_grow(s) == -1)
		return -1;
	if (!by_parts) {
		h[0] += s->used_h[0];
		h[1] += s->used_h[1];
	}
	h[1] |= 1;
	at = h[0] % s->seen_cap;
	for (;; at = at + 1 == s->seen_cap ? 0 : at + 1) {
		e = &s->seen[at];
		if (e->h[0] == 0 && e->h[1] == 0) {
			*e = (struct search_seen){ { h[0], h[1] }, NONE };
			s->seen_cnt++;
			break;
		}
		if (e->h[0] != h[0] || e->h[1] != h[1])
			continue;
		if (e->list == NONE || surpassed(s, e->list))
			return 0;
		break;
	}
	s->limit->states++;
	if (s->classes_cnt == 0 || !by_parts)
		return 1;
	return note_used(s, &e->list) == -1 ? -1 : 1;
}

/* --- the search ---------------------------------------------------------- */

static int
trail_copy(const struct search *s, uint32_t **ops, size_t *cnt)
{
	uint32_t *p = reallocarray(*ops, s->trail_cnt + 1, sizeof(*p));

	if (p == NULL)
		return -1;
	for (size_t i = 0; i < s->trail_cnt; i++)
		p[i] = s->trail[i].op;
	*ops = p;
	*cnt = s->trail_cnt;
	return 0;
}

static int
progress(struct search *s)
{
	size_t placed = s->n - s->left;

	if (placed < s->o->placed || (placed == s->o->placed &&
	    (s->o->best != NULL || placed > 0)))
		return 0;
	s->o->placed = placed;
	return s->o->want_best ? trail_copy(s, &s->o->best, &s->o->best_cnt) :
	    0;
}

/* Enter the configuration reached: 1 it is the end, 0 go on, -1. */
static int
arrive(struct search *s)
{
	int rc;

	if (place_pure(s) == -1 || progress(s) == -1)
		return -1;
	if (s->first > s->farthest)
		s->farthest = s->first;
	if (s->left == 0)
		return 1;
	rc = remember(s);
	return rc != 1 ? rc : search_push_frame(s);
}

static int
advance(struct search *s)
{
	while (s->frames_cnt > 0) {
		struct search_frame *f = &s->frames[s->frames_cnt - 1];
		uint32_t cnt;
		int rc;

		if (search_stopped(s))
			return 0;
		take_back(s, f->trail);
		if (f->at == f->alts_end) {
			s->arena_cnt = f->alts;
			s->frames_cnt--;
			continue;
		}
		cnt = s->arena[f->at];
		f->at += cnt + 1;
		for (size_t i = f->at - cnt; i < f->at; i++)
			if (place(s, s->arena[i]) == -1)
				return -1;
		rc = arrive(s);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int
linz_search(const struct linz_prob *p, enum linz_level level,
    struct linz_limit *limit, struct linz_out *o)
{
	struct search s = { .p = p, .level = level, .limit = limit, .o = o };
	uint64_t before = limit->states;
	int rc, saved;

	o->farthest = UINT32_MAX;
	rc = search_init(&s);
	o->to_place = s.n;
	o->placed = 0;
	if (rc == 0 && s.stop == LINZ_DECIDED)
		rc = arrive(&s);
	if (rc == 0 && s.stop == LINZ_DECIDED)
		rc = advance(&s);
	o->reason = s.stop;
	if (rc == 1) {
		o->verdict = LINZ_YES;
		o->reason = LINZ_DECIDED;
		rc = o->want_order ? trail_copy(&s, &o->order, &o->order_cnt) :
		    0;
	} else if (rc == 0) {
		o->verdict = s.stop == LINZ_DECIDED ? LINZ_NO : LINZ_UNKNOWN;
		/*
		 * What looks ahead may stop short of what could be placed;
		 * and a dequeue that has not ended may take anything.
		 */
		if (o->verdict == LINZ_NO && level == LINZ_LINEARIZABLE &&
		    s.longest == NULL && s.m.kind != KIND_FIFO)
			o->farthest = s.byret[s.farthest];
	} else if (errno == ENOMEM) {
		o->verdict = LINZ_UNKNOWN;
		o->reason = LINZ_MEMORY;
		rc = 0;
	}
	o->states = limit->states - before;
	saved = errno;
	search_release(&s);
	errno = saved;
	return rc;
}
