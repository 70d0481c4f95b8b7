/*
 * linz_machine: the states of the models, changed and changed back in place,
 * with a fingerprint that follows in constant time.
 *
 * Texts, queues and logs are told apart by polynomials modulo 2^61-1 at two
 * fixed points, sets by the sum of their elements' hashes; a state's
 * fingerprint is the sum over its keys.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

__extension__ typedef unsigned __int128 wide;

static const uint64_t base[2] = {
	UINT64_C(0x0f3a1c5d7e924b61), UINT64_C(0x1b87d20946c3e5af)
};

static uint64_t
mul(uint64_t a, uint64_t b)
{
	wide x = (wide)a * b;
	uint64_t r = (uint64_t)(x & LINZ_PRIME) + (uint64_t)(x >> 61);

	return r >= LINZ_PRIME ? r - LINZ_PRIME : r;
}

static uint64_t
add(uint64_t a, uint64_t b)
{
	uint64_t r = a + b;

	return r >= LINZ_PRIME ? r - LINZ_PRIME : r;
}

static uint64_t
power(uint64_t x, uint64_t n)
{
	uint64_t r = 1;

	for (; n > 0; n >>= 1, x = mul(x, x))
		if ((n & 1) != 0)
			r = mul(r, x);
	return r;
}

static uint64_t
scramble(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

void
linz_mix(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t out[2])
{
	uint64_t x = scramble(a + UINT64_C(0x9e3779b97f4a7c15)), y;

	x = scramble(x ^ (b + UINT64_C(0xd1b54a32d192ed03)));
	y = scramble(x + c * UINT64_C(0xaef17502108ef2d9));
	x = scramble(x ^ (c + UINT64_C(0x8cb92ba72f3d8dd7)));
	out[0] = scramble(x + d * UINT64_C(0x9fb21c651e98df25));
	out[1] = scramble(y ^ (d + UINT64_C(0xc2b2ae3d27d4eb4f)));
}

static uint64_t
item_hash(uint32_t item, int lane)
{
	return scramble(item + ((uint64_t)lane << 40) + 1) % LINZ_PRIME;
}

struct linz_digest
linz_digest_push(struct linz_digest a, uint32_t item)
{
	for (int i = 0; i < 2; i++)
		a.p[i] = add(mul(a.p[i], base[i]), item_hash(item, i));
	a.len++;
	return a;
}

static struct linz_digest
digest_shift(struct linz_digest a, uint32_t item)
{
	a.len--;
	for (int i = 0; i < 2; i++)
		a.p[i] = add(a.p[i], LINZ_PRIME -
		    mul(item_hash(item, i), power(base[i], a.len)));
	return a;
}

struct linz_digest
linz_concat(struct linz_digest a, struct linz_digest b)
{
	for (int i = 0; i < 2; i++)
		a.p[i] = add(mul(a.p[i], power(base[i], b.len)), b.p[i]);
	a.len += b.len;
	return a;
}

struct linz_digest
linz_digest_text(const char *text, size_t len)
{
	struct linz_digest d = { { 0, 0 }, 0 };

	for (size_t j = 0; j < len; j++)
		for (int i = 0; i < 2; i++)
			d.p[i] = add(mul(d.p[i], base[i]),
			    (unsigned char)text[j] + 1U);
	d.len = len;
	return d;
}

static bool
digest_eq(struct linz_digest a, struct linz_digest b)
{
	return a.p[0] == b.p[0] && a.p[1] == b.p[1] && a.len == b.len;
}

static struct linz_digest
set_add(struct linz_digest d, uint32_t item)
{
	uint64_t x[2];

	linz_mix(item, 1, 2, 3, x);
	d.p[0] += x[0];
	d.p[1] += x[1];
	d.len++;
	return d;
}

static int
by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Of a list as a set; one with an element twice is the set of none. */
static int
digest_set(const uint32_t *list, size_t cnt, struct linz_digest *d)
{
	uint32_t *copy;

	*d = (struct linz_digest){ { 0, 0 }, 0 };
	if (cnt == 0)
		return 0;
	copy = malloc(cnt * sizeof(*copy));
	if (copy == NULL)
		return -1;
	memcpy(copy, list, cnt * sizeof(*copy));
	qsort(copy, cnt, sizeof(*copy), by_id);
	for (size_t i = 0; i < cnt; i++) {
		*d = set_add(*d, copy[i]);
		if (i > 0 && copy[i] == copy[i - 1])
			d->len = UINT64_MAX / 2;
	}
	free(copy);
	return 0;
}

static enum linz_kind
kind_of(const struct linz_prob *p)
{
	switch (p->model) {
	case LINZ_FIFO:
		return KIND_FIFO;
	case LINZ_SET:
		return KIND_SET;
	case LINZ_LOG:
		return KIND_LOG;
	case LINZ_MULTI_REGISTER:
		return KIND_MULTI;
	case LINZ_AUTO:
	case LINZ_REGISTER:
	case LINZ_CAS_REGISTER:
	case LINZ_KV:
	case LINZ_LOCK:
	case LINZ_MUTEX:
		break;
	}
	for (size_t i = 0; i < p->cnt; i++)
		if (p->ops[i].f == LINZ_APPEND)
			return KIND_STR;
	return KIND_REG;
}

/* What this key's state adds to the fingerprint. */
static void
contribution(const struct linz_machine *m, uint32_t key, uint64_t out[2])
{
	const struct linz_cell *c = &m->cells[key];

	if (m->kind == KIND_REG || m->kind == KIND_MULTI) {
		linz_mix(key, c->val, 0, 0, out);
		return;
	}
	linz_mix(key, c->d.p[0], c->d.len, c->val, out);
	out[1] += scramble(c->d.p[1] + UINT64_C(0x2545f4914f6cdd1d) * key);
}

static void
leave(struct linz_machine *m, uint32_t key)
{
	uint64_t x[2];

	contribution(m, key, x);
	m->h[0] -= x[0];
	m->h[1] -= x[1];
}

static void
enter(struct linz_machine *m, uint32_t key)
{
	uint64_t x[2];

	contribution(m, key, x);
	m->h[0] += x[0];
	m->h[1] += x[1];
}

static struct linz_digest
text_of(const struct op_values *v, uint32_t id)
{
	size_t len;
	const char *p = op_text(v, id, &len);

	return linz_digest_text(p, len);
}

/* Digests of what operations carry: cas needs two. */
static int
init_digests(struct linz_machine *m)
{
	const struct linz_prob *p = m->p;
	const uint32_t *list;
	size_t cnt;

	m->digests = calloc(p->cnt * 2 + 1, sizeof(*m->digests));
	if (m->digests == NULL)
		return -1;
	m->size += p->cnt * 2 * sizeof(*m->digests);
	for (size_t i = 0; i < p->cnt; i++) {
		const struct linz_op *o = &p->ops[i];
		struct linz_digest *d = &m->digests[2 * i];

		if (m->kind == KIND_STR) {
			d[0] = text_of(p->v, o->a);
			if (o->f == LINZ_CAS)
				d[1] = text_of(p->v, o->b);
		} else if (o->f == LINZ_SET_READ) {
			list = op_items(p->v, o->a, &cnt);
			if (digest_set(list, cnt, d) == -1)
				return -1;
		} else if (o->f == LINZ_LOG_READ) {
			list = op_items(p->v, o->a, &cnt);
			for (size_t j = 0; j < cnt; j++)
				d[0] = linz_digest_push(d[0], list[j]);
		}
	}
	return 0;
}

/* Room for all items each queue or log can ever hold. */
static int
init_items(struct linz_machine *m)
{
	const struct linz_prob *p = m->p;
	uint32_t at = 0;

	m->items = calloc(p->cnt + 1, sizeof(*m->items));
	if (m->items == NULL)
		return -1;
	m->size += p->cnt * sizeof(*m->items);
	for (size_t i = 0; i < p->cnt; i++)
		m->cells[p->ops[i].key - p->key0].tail++;
	for (uint32_t k = 0; k < p->keys; k++) {
		uint32_t cnt = m->cells[k].tail;

		m->cells[k].head = m->cells[k].tail = at;
		at += cnt;
	}
	return 0;
}

static int
by_element(const void *a, const void *b)
{
	const struct linz_element *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->value < y->value ? -1 : x->value > y->value;
}

/* All that can ever be in a set. */
static int
init_elements(struct linz_machine *m)
{
	const struct linz_prob *p = m->p;
	size_t cnt = 0;

	m->elements = calloc(p->cnt + 1, sizeof(*m->elements));
	m->in = calloc(p->cnt + 1, 1);
	if (m->elements == NULL || m->in == NULL)
		return -1;
	m->size += p->cnt * (sizeof(*m->elements) + 1);
	for (size_t i = 0; i < p->cnt; i++)
		if (p->ops[i].f == LINZ_ADD || p->ops[i].f == LINZ_REMOVE)
			m->elements[cnt++] = (struct linz_element){
			    p->ops[i].key - p->key0, p->ops[i].a };
	qsort(m->elements, cnt, sizeof(*m->elements), by_element);
	m->elements_cnt = 0;
	for (size_t i = 0; i < cnt; i++)
		if (i == 0 || by_element(&m->elements[i],
		    &m->elements[i - 1]) != 0)
			m->elements[m->elements_cnt++] = m->elements[i];
	return 0;
}

uint8_t *
linz_element(const struct linz_machine *m, uint32_t key, uint32_t value)
{
	struct linz_element want = { key, value };
	const struct linz_element *e = bsearch(&want, m->elements,
	    m->elements_cnt, sizeof(want), by_element);

	return e == NULL ? NULL : &m->in[e - m->elements];
}

int
linz_machine_init(struct linz_machine *m, const struct linz_prob *p)
{
	*m = (struct linz_machine){ .p = p, .kind = kind_of(p) };
	m->cells = calloc(p->keys + 1, sizeof(*m->cells));
	if (m->cells == NULL)
		goto fail;
	m->size = p->keys * sizeof(*m->cells);
	if (m->kind == KIND_STR || m->kind == KIND_SET || m->kind == KIND_LOG)
		if (init_digests(m) == -1)
			goto fail;
	if (m->kind == KIND_FIFO || m->kind == KIND_LOG)
		if (init_items(m) == -1)
			goto fail;
	if (m->kind == KIND_SET && init_elements(m) == -1)
		goto fail;
	for (uint32_t k = 0; k < p->keys; k++) {
		m->cells[k].val = p->init;
		if (m->kind == KIND_STR && p->init != OP_NIL) {
			m->cells[k].d = text_of(p->v, p->init);
			m->cells[k].val = 1;
		}
		enter(m, k);
	}
	return 0;
fail:
	linz_machine_release(m);
	errno = ENOMEM;
	return -1;
}

void
linz_machine_release(struct linz_machine *m)
{
	free(m->cells);
	free(m->items);
	free(m->in);
	free(m->elements);
	free(m->digests);
	free(m->undo_vals);
	*m = (struct linz_machine){ 0 };
}

static bool
can_log_read(const struct linz_machine *m, const struct linz_cell *c,
    const struct linz_op *o, struct linz_digest d)
{
	size_t cnt;
	const uint32_t *list;

	if (o->b == 0)
		return digest_eq(c->d, d);
	list = op_items(m->p->v, o->a, &cnt);
	if (c->d.len <= o->b)
		return cnt == 0;
	return cnt == c->d.len - o->b && memcmp(m->items + c->head + o->b,
	    list, cnt * sizeof(*list)) == 0;
}

/* Reads of a transaction see its own earlier writes. */
static bool
can_txn(const struct linz_machine *m, const struct linz_op *o)
{

	for (uint32_t i = 0; i < o->b; i++) {
		const struct linz_part *part = linz_part(m->p, o, i);
		uint32_t val = m->cells[part->key].val;

		if (part->write)
			continue;
		for (uint32_t j = 0; j < i; j++) {
			const struct linz_part *own = linz_part(m->p, o, j);

			if (own->write && own->key == part->key)
				val = own->value;
		}
		if (val != part->value)
			return false;
	}
	return true;
}

static bool
str_is(const struct linz_cell *c, uint32_t id, struct linz_digest d)
{
	return id == OP_NIL ? c->val == 0 :
	    c->val != 0 && digest_eq(c->d, d);
}

bool
linz_can(const struct linz_machine *m, uint32_t op)
{
	const struct linz_op *o = &m->p->ops[op];
	const struct linz_cell *c = &m->cells[o->key - m->p->key0];

	switch (o->f) {
	case LINZ_READ:
	case LINZ_CAS:
		if (m->kind == KIND_STR)
			return str_is(c, o->a, m->digests[2 * (size_t)op]);
		return c->val == o->a;
	case LINZ_DEQUEUE:
		if (o->optional)
			return c->head < c->tail;
		if (o->a == OP_NIL)
			return c->head == c->tail;
		return c->head < c->tail && m->items[c->head] == o->a;
	case LINZ_SET_READ:
		return digest_eq(c->d, m->digests[2 * (size_t)op]);
	case LINZ_LOG_APPEND:
		return o->b == 0 || o->b - 1 == c->d.len;
	case LINZ_LOG_READ:
		return can_log_read(m, c, o, m->digests[2 * (size_t)op]);
	case LINZ_TXN:
		return can_txn(m, o);
	default:
		return true;
	}
}

static int
do_txn(struct linz_machine *m, const struct linz_op *o)
{
	uint32_t *p;
	size_t cap;

	for (uint32_t i = 0; i < o->b; i++) {
		const struct linz_part *part = linz_part(m->p, o, i);

		if (!part->write)
			continue;
		if (m->undo_cnt == m->undo_cap) {
			cap = m->undo_cap * 2 + 64;
			p = reallocarray(m->undo_vals, cap, sizeof(*p));
			if (p == NULL)
				return -1;
			m->size += (cap - m->undo_cap) * sizeof(*p);
			m->undo_vals = p;
			m->undo_cap = cap;
		}
		m->undo_vals[m->undo_cnt++] = m->cells[part->key].val;
		leave(m, part->key);
		m->cells[part->key].val = part->value;
		enter(m, part->key);
	}
	return 0;
}

static void
set_text(struct linz_cell *c, uint32_t id, struct linz_digest d)
{
	c->val = id != OP_NIL;
	c->d = c->val != 0 ? d : (struct linz_digest){ { 0, 0 }, 0 };
}

static void
change(struct linz_machine *m, const struct linz_op *o,
    const struct linz_digest *d, struct linz_cell *c)
{
	uint32_t key = o->key - m->p->key0;
	uint8_t *in;

	switch (o->f) {
	case LINZ_WRITE:
		if (m->kind == KIND_STR)
			set_text(c, o->a, d[0]);
		else
			c->val = o->a;
		break;
	case LINZ_CAS:
		if (m->kind == KIND_STR)
			set_text(c, o->b, d[1]);
		else
			c->val = o->b;
		break;
	case LINZ_APPEND:
		c->d = linz_concat(c->d, d[0]);
		c->val = 1;
		break;
	case LINZ_ENQUEUE:
	case LINZ_LOG_APPEND:
		m->items[c->tail++] = o->a;
		c->d = linz_digest_push(c->d, o->a);
		break;
	case LINZ_DEQUEUE:
		if (c->head < c->tail) {
			c->d = digest_shift(c->d, m->items[c->head]);
			c->head++;
		}
		break;
	case LINZ_ADD:
	case LINZ_REMOVE:
		in = linz_element(m, key, o->a);
		assert(in != NULL);	/* it was added with all others */
		if (*in == (o->f == LINZ_ADD))
			break;
		*in = o->f == LINZ_ADD;
		if (o->f == LINZ_ADD) {
			c->d = set_add(c->d, o->a);
		} else {
			struct linz_digest one = set_add((struct linz_digest){
			    { 0, 0 }, 0 }, o->a);

			c->d.p[0] -= one.p[0];
			c->d.p[1] -= one.p[1];
			c->d.len--;
		}
		break;
	default:
		break;
	}
}

int
linz_do(struct linz_machine *m, uint32_t op, struct linz_undo *u)
{
	const struct linz_op *o = &m->p->ops[op];
	uint32_t key = o->key - m->p->key0;
	static const struct linz_digest none[2];

	u->h[0] = m->h[0];
	u->h[1] = m->h[1];
	if (o->f == LINZ_TXN)
		return do_txn(m, o);
	u->cell = m->cells[key];
	if (linz_pure(m->p, o))
		return 0;
	leave(m, key);
	change(m, o, m->digests == NULL ? none : &m->digests[2 * (size_t)op],
	    &m->cells[key]);
	enter(m, key);
	return 0;
}

void
linz_undo(struct linz_machine *m, uint32_t op, const struct linz_undo *u)
{
	const struct linz_op *o = &m->p->ops[op];
	uint32_t key = o->key - m->p->key0;

	m->h[0] = u->h[0];
	m->h[1] = u->h[1];
	if (o->f == LINZ_TXN) {
		for (uint32_t i = o->b; i > 0; i--)
			if (linz_part(m->p, o, i - 1)->write)
				m->cells[linz_part(m->p, o, i - 1)->key].val =
				    m->undo_vals[--m->undo_cnt];
		return;
	}
	if ((o->f == LINZ_ADD || o->f == LINZ_REMOVE) &&
	    m->cells[key].d.len != u->cell.d.len) {
		uint8_t *in = linz_element(m, key, o->a);

		assert(in != NULL);
		*in = o->f == LINZ_REMOVE;
	}
	m->cells[key] = u->cell;
}

bool
linz_pure(const struct linz_prob *p, const struct linz_op *o)
{
	switch (o->f) {
	case LINZ_READ:
	case LINZ_SET_READ:
	case LINZ_LOG_READ:
		return true;
	case LINZ_CAS:
		return o->a == o->b;
	case LINZ_DEQUEUE:
		return !o->optional && o->a == OP_NIL;
	case LINZ_TXN:
		for (uint32_t i = 0; i < o->b; i++)
			if (p->parts[o->a + i].write)
				return false;
		return true;
	default:
		return false;
	}
}
