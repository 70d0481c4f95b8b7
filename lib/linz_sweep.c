/*
 * linz_sweep: which optional operations can have had a part in what others saw.
 *
 * An order with an operation that nobody noticed is one without it, too: in a
 * register others overwrite it unseen, from a set, log or queue nothing of it
 * ever came to light.
 */

#include <stdlib.h>

#include "linz_priv.h"

/* Of a key, what was seen; ANY: all operations of the kind were. */
#define ANY		UINT32_MAX

struct seen {
	uint64_t *v;			/* key and value */
	size_t cnt, cap;
};

static int
see(struct seen *s, uint32_t key, uint32_t value)
{
	size_t cap = s->cap * 2 + 64;
	uint64_t *v;

	if (s->cnt == s->cap) {
		v = reallocarray(s->v, cap, sizeof(*v));
		if (v == NULL)
			return -1;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->cnt++] = (uint64_t)key << 32 | value;
	return 0;
}

static int
by_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool
was_seen(const struct seen *s, uint32_t key, uint32_t value)
{
	uint64_t want = (uint64_t)key << 32 | value;

	return s->cnt > 0 &&
	    bsearch(&want, s->v, s->cnt, sizeof(want), by_u64) != NULL;
}

/* What this operation may have seen of others. */
static int
look(const struct linz_prob *p, const struct linz_op *o, struct seen *s)
{
	const struct linz_part *part;
	const uint32_t *items;
	size_t cnt;

	switch (o->f) {
	case LINZ_READ:
	case LINZ_CAS:
		return see(s, o->key, o->a);
	case LINZ_DEQUEUE:
		if (o->optional)
			return 0;
		return see(s, o->key, ANY) == -1 ? -1 : see(s, o->key, o->a);
	case LINZ_LOG_APPEND:
		return o->b > 0 ? see(s, o->key, ANY) : 0;
	case LINZ_SET_READ:
	case LINZ_LOG_READ:
		items = op_items(p->v, o->a, &cnt);
		for (size_t i = 0; i < cnt; i++)
			if (see(s, o->key, items[i]) == -1)
				return -1;
		return o->f == LINZ_LOG_READ && o->b == 0 ? 0 :
		    see(s, o->key, ANY);
	case LINZ_TXN:
		for (uint32_t i = 0; i < o->b; i++) {
			part = linz_part(p, o, i);
			if (!part->write &&
			    see(s, part->key, part->value) == -1)
				return -1;
		}
		return 0;
	default:
		return 0;
	}
}

/* Might anybody have noticed the optional o? */
static bool
noticed(const struct linz_prob *p, const struct seen *s,
    const struct linz_op *o)
{
	const struct linz_part *part;

	switch (o->f) {
	case LINZ_CAS:
		return was_seen(s, o->key, o->b);
	case LINZ_DEQUEUE:
	case LINZ_REMOVE:
		return was_seen(s, o->key, ANY);
	case LINZ_LOG_APPEND:
		return was_seen(s, o->key, ANY) || was_seen(s, o->key, o->a);
	case LINZ_TXN:
		for (uint32_t i = 0; i < o->b; i++) {
			part = linz_part(p, o, i);
			if (part->write &&
			    was_seen(s, part->key, part->value))
				return true;
		}
		return false;
	default:
		return was_seen(s, o->key, o->a);
	}
}

/* Any text may be part of any other. */
bool
linz_has_texts(const struct linz_prob *p)
{
	for (size_t i = 0; i < p->cnt; i++)
		if (p->ops[i].f == LINZ_APPEND)
			return true;
	return false;
}

int
linz_sweep(const struct linz_prob *p, struct linz_op *ops, size_t *cnt)
{
	struct seen s = { 0 };
	bool *keep, more = true;
	size_t left = 0;
	int rc = 0;

	if (linz_has_texts(p))
		return 0;
	keep = calloc(*cnt + 1, sizeof(*keep));
	if (keep == NULL)
		return -1;
	for (size_t i = 0; i < *cnt; i++)
		keep[i] = !ops[i].optional;
	while (rc == 0 && more) {
		s.cnt = 0;
		for (size_t i = 0; rc == 0 && i < *cnt; i++)
			if (keep[i])
				rc = look(p, &ops[i], &s);
		if (s.cnt > 0)
			qsort(s.v, s.cnt, sizeof(*s.v), by_u64);
		more = false;
		for (size_t i = 0; rc == 0 && i < *cnt; i++)
			if (!keep[i] && noticed(p, &s, &ops[i]))
				keep[i] = more = true;
	}
	for (size_t i = 0; rc == 0 && i < *cnt; i++)
		if (keep[i])
			ops[left++] = ops[i];
	if (rc == 0)
		*cnt = left;
	free(keep);
	free(s.v);
	return rc;
}
