/*
 * linz_next: what may come next in a search: each alternative is a completed
 * operation, with the optional ones it needs right before it, or one optional
 * operation on its own.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_search.h"

#define TWINS_MAX	64	/* candidates looked at for one that is alike */

/* The j-th optional operation of a class that may be used now, or NONE. */
static uint32_t
pick(const struct search *s, uint32_t class, uint32_t j)
{
	const struct search_class *c = &s->classes[class];

	if (s->level != LINZ_SEQUENTIAL) {
		uint32_t op = c->used + j < c->cnt ?
		    s->members[c->at + c->used + j] : NONE;

		return op != NONE && s->p->ops[op].call <= s->bound ? op :
		    NONE;
	}
	for (uint32_t i = 0; i < c->cnt; i++) {
		uint32_t op = s->members[c->at + i];

		if (s->done[op] ||
		    (s->pred[op] != NONE && !s->done[s->pred[op]]))
			continue;
		if (j-- == 0)
			return op;
	}
	return NONE;
}

static int
emit(struct search *s, const uint32_t *before, size_t cnt, bool reverse,
    uint32_t op)
{
	size_t total = cnt + (op != NONE);

	for (size_t i = 0; i <= total; i++) {
		uint32_t x = (uint32_t)total;

		if (search_room(s, &s->arena, s->arena_cnt, &s->arena_cap,
		    sizeof(*s->arena)) == -1)
			return -1;
		if (i > 0 && i <= cnt)
			x = before[reverse ? cnt - i : i - 1];
		else if (i > 0)
			x = op;
		s->arena[s->arena_cnt++] = x;
	}
	return 0;
}

/* The first class for this key and state after, by binary search. */
static uint32_t
class_find(const struct search *s, uint32_t key, uint32_t f, uint32_t post)
{
	uint32_t lo = 0, hi = s->classes_cnt;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct search_class *c = &s->classes[mid];

		if (c->key != key ? c->key < key :
		    c->f != f ? c->f < f : c->post < post)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * All chains of optional operations that lead a register from its state to
 * `want`, found from their end; op comes behind each.
 */
static int
chains(struct search *s, uint32_t key, uint32_t state, uint32_t want,
    size_t depth, uint32_t op)
{
	uint32_t c = class_find(s, key, 0, want);

	if (depth == SEARCH_CHAIN_MAX) {
		s->stop = LINZ_STATES;
		return 0;
	}
	for (; c < s->classes_cnt && s->classes[c].key == key &&
	    s->classes[c].post == want && !search_stopped(s); c++) {
		const struct linz_op *o;
		bool again = false;
		uint32_t x = pick(s, c, 0);

		if (x == NONE)
			continue;
		o = &s->p->ops[x];
		s->chain_ops[depth] = x;
		if (o->f == LINZ_WRITE || o->a == state) {
			if (emit(s, s->chain_ops, depth + 1, true, op) == -1)
				return -1;
			continue;
		}
		if (o->a == want)
			continue;
		/* A value met twice makes a detour. */
		for (size_t i = 0; i < depth && !again; i++)
			again = s->p->ops[s->chain_ops[i]].b == o->a ||
			    s->p->ops[s->chain_ops[i]].a == o->a;
		if (!again && chains(s, key, state, o->a, depth + 1, op) == -1)
			return -1;
	}
	return 0;
}

static int
next_reg(struct search *s, uint32_t op)
{
	const struct linz_op *o = &s->p->ops[op];
	uint32_t key = o->key - s->p->key0;

	if (linz_can(&s->m, op))
		return emit(s, NULL, 0, false, op);
	if (s->classes_cnt == 0)
		return 0;
	return chains(s, key, s->m.cells[key].val, o->a, 0, op);
}

/* Optional dequeues until the head is what this one returned. */
static int
next_dequeue(struct search *s, uint32_t op)
{
	const struct linz_op *o = &s->p->ops[op];
	uint32_t key = o->key - s->p->key0, c, cnt = 0, x;
	const struct linz_cell *cell = &s->m.cells[key];

	if (linz_can(&s->m, op))
		return emit(s, NULL, 0, false, op);
	c = class_find(s, key, LINZ_DEQUEUE, 0);
	if (c == s->classes_cnt || s->classes[c].key != key ||
	    s->classes[c].f != LINZ_DEQUEUE)
		return 0;
	for (; cell->head + cnt < cell->tail; cnt++) {
		if (o->a != OP_NIL && s->m.items[cell->head + cnt] == o->a)
			break;
		x = pick(s, c, cnt);
		if (x == NONE)
			return 0;
		if (cnt == SEARCH_CHAIN_MAX) {
			s->stop = LINZ_STATES;
			return 0;
		}
		s->chain_ops[cnt] = x;
	}
	if (o->a != OP_NIL && cell->head + cnt == cell->tail)
		return 0;
	return emit(s, s->chain_ops, cnt, false, op);
}

/* One optional add or remove towards what a read needs: 1, 0 none, -1. */
static int
need(struct search *s, uint32_t key, enum linz_f f, uint32_t value,
    size_t *cnt)
{
	uint32_t c = class_find(s, key, f, value), x;

	if (c == s->classes_cnt || s->classes[c].key != key ||
	    s->classes[c].f != f || s->classes[c].post != value)
		return 0;
	x = pick(s, c, 0);
	if (x == NONE)
		return 0;
	if (*cnt == SEARCH_CHAIN_MAX) {
		s->stop = LINZ_STATES;
		return 0;
	}
	s->chain_ops[(*cnt)++] = x;
	return 1;
}

static int
by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The optional adds and removes that make the set what a read returned. */
static int
next_set_read(struct search *s, uint32_t op)
{
	const struct linz_op *o = &s->p->ops[op];
	uint32_t key = o->key - s->p->key0, *want;
	size_t cnt = 0, n;
	const uint32_t *list = op_items(s->p->v, o->a, &n);
	int rc = 1;

	if (s->classes_cnt == 0 || s->m.digests[2 * (size_t)op].len > n)
		return 0;
	want = malloc((n + 1) * sizeof(*want));
	if (want == NULL)
		return -1;
	if (n > 0)
		memcpy(want, list, n * sizeof(*want));
	qsort(want, n, sizeof(*want), by_id);
	for (size_t i = 0; i < n && rc == 1; i++) {
		const uint8_t *in = linz_element(&s->m, key, want[i]);

		if (in == NULL)
			rc = 0;
		else if (*in == 0)
			rc = need(s, key, LINZ_ADD, want[i], &cnt);
	}
	for (size_t i = 0; i < s->m.elements_cnt && rc == 1; i++)
		if (s->m.in[i] && s->m.elements[i].key == key &&
		    bsearch(&s->m.elements[i].value, want, n, sizeof(*want),
		    by_id) == NULL)
			rc = need(s, key, LINZ_REMOVE, s->m.elements[i].value,
			    &cnt);
	free(want);
	return rc != 1 ? rc : emit(s, s->chain_ops, cnt, false, op);
}

/* Would this leave the way to the longest read still to come? */
static bool
astray(const struct search *s, uint32_t op)
{
	const struct linz_op *o = &s->p->ops[op];
	uint32_t key = o->key - s->p->key0;
	const struct linz_cell *c = &s->m.cells[key];
	const struct search_longest *l;
	struct linz_digest d;
	const uint32_t *list;
	size_t cnt;

	if (s->longest == NULL)
		return false;
	l = &s->longest[key];
	if (l->op == NONE || l->resets > 0 || s->done[l->op])
		return false;
	if (o->f == LINZ_LOG_APPEND) {
		list = op_items(s->p->v, s->p->ops[l->op].a, &cnt);
		return c->d.len >= cnt || list[c->d.len] != o->a;
	}
	if (o->f != LINZ_APPEND || l->prefix == NULL)
		return false;
	d = linz_concat(c->d, s->m.digests[2 * (size_t)op]);
	return d.len > s->m.digests[2 * (size_t)l->op].len ||
	    d.p[0] != l->prefix[d.len].p[0] || d.p[1] != l->prefix[d.len].p[1];
}

static int
next_completed(struct search *s, uint32_t op)
{
	switch (s->m.kind) {
	case KIND_REG:
		return next_reg(s, op);
	case KIND_FIFO:
		if (s->p->ops[op].f == LINZ_DEQUEUE)
			return next_dequeue(s, op);
		break;
	case KIND_SET:
		if (s->p->ops[op].f == LINZ_SET_READ)
			return next_set_read(s, op);
		break;
	case KIND_STR:
	case KIND_LOG:
	case KIND_MULTI:
		break;
	}
	if (!linz_can(&s->m, op) || astray(s, op))
		return 0;
	return emit(s, NULL, 0, false, op);
}

/* Completed operations that may come next, by return. */
static size_t
candidates(struct search *s)
{
	size_t cnt = 0;

	if (s->level == LINZ_SEQUENTIAL) {
		for (uint32_t i = 0; i < s->procs; i++)
			if (s->head[i] != NONE)
				s->cand[cnt++] = s->rank[s->head[i]];
	} else {
		for (uint32_t op = s->next[s->p->cnt]; op != s->p->cnt &&
		    s->p->ops[op].call <= s->bound; op = s->next[op])
			s->cand[cnt++] = s->rank[op];
	}
	if (cnt > 16)
		qsort(s->cand, cnt, sizeof(*s->cand), by_id);
	for (size_t i = 1; i < cnt && cnt <= 16; i++) {
		uint32_t x = s->cand[i];
		size_t j = i;

		for (; j > 0 && s->cand[j - 1] > x; j--)
			s->cand[j] = s->cand[j - 1];
		s->cand[j] = x;
	}
	return cnt;
}

/*
 * Does a candidate that returns earlier do the same?  Then that one goes first:
 * where this one does, they can change places.
 */
static bool
has_twin(const struct search *s, size_t i)
{
	const struct linz_op *o = &s->p->ops[s->byret[s->cand[i]]];
	size_t least = i > TWINS_MAX ? i - TWINS_MAX : 0;

	if (s->level != LINZ_LINEARIZABLE || o->f == LINZ_TXN)
		return false;
	while (i-- > least) {
		const struct linz_op *e = &s->p->ops[s->byret[s->cand[i]]];

		if (e->f == o->f && e->a == o->a && e->b == o->b &&
		    e->key == o->key)
			return true;
	}
	return false;
}

/* Are optional operations of this class tried on their own? */
static bool
on_its_own(const struct search *s, const struct search_class *c)
{
	switch (s->m.kind) {
	case KIND_REG:
	case KIND_SET:
		return false;
	case KIND_FIFO:
		return c->f == LINZ_ENQUEUE;
	case KIND_STR:
	case KIND_LOG:
	case KIND_MULTI:
		break;
	}
	return true;
}

/* Put what needs fewer optional operations first, else leave the order. */
static int
sort_alts(struct search *s, size_t from)
{
	size_t to = s->arena_cnt, end, len = to - from;
	uint32_t most = 0;

	for (size_t i = from; i < to; i += s->arena[i] + 1)
		if (s->arena[i] > most)
			most = s->arena[i];
	if (most < 2)
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (search_room(s, &s->arena, s->arena_cnt, &s->arena_cap,
		    sizeof(*s->arena)) == -1)
			return -1;
		s->arena_cnt++;
	}
	end = to;
	for (uint32_t cnt = 1; cnt <= most; cnt++)
		for (size_t i = from; i < to; i += s->arena[i] + 1) {
			if (s->arena[i] != cnt)
				continue;
			memcpy(s->arena + end, s->arena + i,
			    (cnt + 1) * sizeof(*s->arena));
			end += cnt + 1;
		}
	memcpy(s->arena + from, s->arena + to, len * sizeof(*s->arena));
	s->arena_cnt = to;
	return 0;
}

int
search_push_frame(struct search *s)
{
	struct search_frame *f;
	size_t cnt;

	if (search_room(s, &s->frames, s->frames_cnt, &s->frames_cap,
	    sizeof(*s->frames)) == -1)
		return -1;
	f = &s->frames[s->frames_cnt++];
	f->trail = s->trail_cnt;
	f->alts = f->at = s->arena_cnt;
	cnt = candidates(s);
	for (size_t i = 0; i < cnt && s->stop == LINZ_DECIDED; i++)
		if (!has_twin(s, i) && next_completed(s, s->byret[s->cand[i]]) == -1)
			return -1;
	for (uint32_t c = 0; c < s->classes_cnt; c++) {
		uint32_t op;

		if (!on_its_own(s, &s->classes[c]))
			continue;
		op = pick(s, c, 0);
		if (op != NONE && linz_can(&s->m, op) && !astray(s, op) &&
		    emit(s, NULL, 0, false, op) == -1)
			return -1;
	}
	f = &s->frames[s->frames_cnt - 1];
	if (sort_alts(s, f->alts) == -1)
		return -1;
	f->alts_end = s->arena_cnt;
	return 0;
}
