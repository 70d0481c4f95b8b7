/*
 * linz_setup: the tables of a search: operations by call and by return, the
 * chains of processes, optional operations in classes that do the same.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_search.h"

#define PREFIX_MAX	(1U << 20)	/* bytes of a text */

static int
by_class(const void *a, const void *b)
{
	const struct search_class *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->f != y->f)
		return x->f < y->f ? -1 : 1;
	if (x->post != y->post)
		return x->post < y->post ? -1 : 1;
	if (x->pre != y->pre)
		return x->pre < y->pre ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* What it does, without which operation it is; at holds that one. */
static struct search_class
class_of_op(const struct search *s, uint32_t op)
{
	const struct linz_op *o = &s->p->ops[op];
	struct search_class c = { .key = o->key - s->p->key0, .f = o->f,
	    .post = o->a, .at = op };

	switch (o->f) {
	case LINZ_WRITE:
	case LINZ_CAS:
		if (s->m.kind == KIND_REG)
			c.f = 0;
		c.post = o->f == LINZ_CAS ? o->b : o->a;
		c.pre = o->f == LINZ_CAS ? o->a : NONE;
		break;
	case LINZ_DEQUEUE:
		c.post = 0;
		break;
	case LINZ_TXN:
		c.post = op;		/* each is its own class */
		break;
	default:
		break;
	}
	return c;
}

/* ops are by call, so members of a class are too. */
static int
init_classes(struct search *s)
{
	uint32_t cnt = 0, out = 0;
	const struct linz_prob *p = s->p;

	s->classes = calloc(p->cnt - s->n + 1, sizeof(*s->classes));
	s->members = calloc(p->cnt - s->n + 1, sizeof(*s->members));
	s->class_of = calloc(p->cnt + 1, sizeof(*s->class_of));
	if (s->classes == NULL || s->members == NULL || s->class_of == NULL)
		return -1;
	for (uint32_t i = 0; i < p->cnt; i++)
		if (p->ops[i].optional)
			s->classes[cnt++] = class_of_op(s, i);
	qsort(s->classes, cnt, sizeof(*s->classes), by_class);
	for (uint32_t i = 0; i < cnt; i++) {
		struct search_class c = s->classes[i];
		struct search_class *last = &s->classes[out == 0 ? 0 : out - 1];

		s->members[i] = c.at;
		if (out > 0 && last->key == c.key && last->f == c.f &&
		    last->post == c.post && last->pre == c.pre) {
			last->cnt++;
		} else {
			s->classes[out] = c;
			s->classes[out].at = i;
			s->classes[out].cnt = 1;
			out++;
		}
		s->class_of[s->members[i]] = out - 1;
	}
	s->classes_cnt = out;
	return 0;
}

static int
by_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
by_ret(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	if (x[0] != y[0])
		return x[0] < y[0] ? -1 : 1;
	return by_u64(x + 1, y + 1);
}

static int
init_order(struct search *s)
{
	const struct linz_prob *p = s->p;
	uint64_t (*sort)[2] = calloc(s->n + 1, sizeof(*sort));
	uint32_t cnt = 0, last = (uint32_t)p->cnt;

	s->byret = calloc(s->n + 1, sizeof(*s->byret));
	s->rank = calloc(p->cnt + 1, sizeof(*s->rank));
	s->next = calloc(p->cnt + 1, sizeof(*s->next));
	s->prev = calloc(p->cnt + 1, sizeof(*s->prev));
	if (sort == NULL || s->byret == NULL || s->rank == NULL ||
	    s->next == NULL || s->prev == NULL) {
		free(sort);
		return -1;
	}
	for (uint32_t i = 0; i < p->cnt; i++) {
		if (p->ops[i].optional)
			continue;
		sort[cnt][0] = (uint64_t)p->ops[i].ret;
		sort[cnt++][1] = i;
		s->next[last] = i;
		s->prev[i] = last;
		last = i;
	}
	s->next[last] = (uint32_t)p->cnt;
	s->prev[p->cnt] = last;
	qsort(sort, cnt, sizeof(*sort), by_ret);
	for (uint32_t i = 0; i < cnt; i++) {
		s->byret[i] = (uint32_t)sort[i][1];
		s->rank[s->byret[i]] = i;
	}
	free(sort);
	search_set_bound(s);
	return 0;
}

/* Processes as chains, by the place in the history. */
static int
init_chains(struct search *s)
{
	const struct linz_prob *p = s->p;
	uint64_t (*sort)[2] = calloc(p->cnt + 1, sizeof(*sort));
	uint32_t last = NONE;

	s->head = calloc(p->cnt + 1, sizeof(*s->head));
	s->chain = calloc(p->cnt + 1, sizeof(*s->chain));
	s->chain_of = calloc(p->cnt + 1, sizeof(*s->chain_of));
	s->pred = calloc(p->cnt + 1, sizeof(*s->pred));
	if (sort == NULL || s->head == NULL || s->chain == NULL ||
	    s->chain_of == NULL || s->pred == NULL) {
		free(sort);
		return -1;
	}
	for (uint32_t i = 0; i < p->cnt; i++) {
		sort[i][0] = (uint64_t)p->ops[i].proc << 32 | p->ops[i].src;
		sort[i][1] = i;
	}
	qsort(sort, p->cnt, sizeof(*sort), by_ret);
	for (size_t j = 0; j < p->cnt; j++) {
		uint32_t i = (uint32_t)sort[j][1];

		if (j == 0 || p->ops[i].proc != p->ops[sort[j - 1][1]].proc)
			last = NONE;
		s->pred[i] = last;
		if (p->ops[i].optional)
			continue;
		s->chain[i] = NONE;
		if (last != NONE) {
			s->chain[last] = i;
			s->chain_of[i] = s->chain_of[last];
		} else {
			s->chain_of[i] = s->procs;
			s->head[s->procs++] = i;
		}
		last = i;
	}
	free(sort);
	return 0;
}

static int
prefixes(struct search *s, struct search_longest *l)
{
	struct linz_digest d = { { 0, 0 }, 0 }, one;
	size_t len;
	const char *p = op_text(s->p->v, s->p->ops[l->op].a, &len);

	if (len > PREFIX_MAX)
		return 0;
	l->prefix = calloc(len + 1, sizeof(*l->prefix));
	if (l->prefix == NULL)
		return -1;
	s->size += (len + 1) * sizeof(*l->prefix);
	for (size_t i = 0; i <= len; i++) {
		l->prefix[i] = d;
		if (i == len)
			break;
		one = linz_digest_text(p + i, 1);
		d = linz_concat(d, one);
	}
	return 0;
}

static int
init_longest(struct search *s)
{
	const struct linz_prob *p = s->p;

	s->longest = calloc(p->keys + 1, sizeof(*s->longest));
	if (s->longest == NULL)
		return -1;
	for (uint32_t k = 0; k < p->keys; k++)
		s->longest[k].op = NONE;
	for (uint32_t i = 0; i < p->cnt; i++) {
		const struct linz_op *o = &p->ops[i];
		struct search_longest *l = &s->longest[o->key - p->key0];

		if (search_is_reset(o))
			l->resets++;
		if ((o->f != LINZ_READ && o->f != LINZ_LOG_READ) ||
		    (o->f == LINZ_LOG_READ && o->b > 0))
			continue;
		if (l->op == NONE || s->m.digests[2 * (size_t)i].len >
		    s->m.digests[2 * (size_t)l->op].len)
			l->op = i;
	}
	for (uint32_t k = 0; k < p->keys && s->m.kind == KIND_STR; k++)
		if (s->longest[k].op != NONE &&
		    prefixes(s, &s->longest[k]) == -1)
			return -1;
	return 0;
}

int
search_init(struct search *s)
{
	const struct linz_prob *p = s->p;

	if (linz_machine_init(&s->m, p) == -1)
		return -1;
	for (size_t i = 0; i < p->cnt; i++)
		s->n += !p->ops[i].optional;
	s->left = s->n;
	s->size = p->cnt * 40;
	s->done = calloc(p->cnt + 1, 1);
	s->cand = calloc(s->n + 1, sizeof(*s->cand));
	s->chain_ops = calloc(SEARCH_CHAIN_MAX, sizeof(*s->chain_ops));
	if (s->done == NULL || s->cand == NULL || s->chain_ops == NULL ||
	    init_order(s) == -1 || init_classes(s) == -1)
		return -1;
	if (s->level == LINZ_SEQUENTIAL && init_chains(s) == -1)
		return -1;
	if ((s->m.kind == KIND_STR || s->m.kind == KIND_LOG) &&
	    init_longest(s) == -1)
		return -1;
	return 0;
}

void
search_release(struct search *s)
{
	if (s->longest != NULL)
		for (uint32_t k = 0; k < s->p->keys; k++)
			free(s->longest[k].prefix);
	free(s->longest);
	linz_machine_release(&s->m);
	free(s->done);
	free(s->next);
	free(s->prev);
	free(s->byret);
	free(s->rank);
	free(s->head);
	free(s->chain);
	free(s->chain_of);
	free(s->pred);
	free(s->classes);
	free(s->members);
	free(s->class_of);
	free(s->trail);
	free(s->frames);
	free(s->arena);
	free(s->cand);
	free(s->chain_ops);
	free(s->used);
	free(s->pool);
	free(s->seen);
}
