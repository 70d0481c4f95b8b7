/*
 * linz_bind: operations of a history as operations on a model's state.
 *
 * Names of functions choose the model when none is given; arguments and
 * results take the form the model works with; what can have no influence on
 * any verdict (failed operations, reads that did not end) is left out.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "linz_priv.h"

enum name {
	N_READ, N_GET, N_WRITE, N_PUT, N_CAS, N_APPEND, N_DEL, N_ACQUIRE,
	N_RELEASE, N_ENQUEUE, N_DEQUEUE, N_DRAIN, N_ADD, N_REMOVE, N_TXN,
	N_CNT, N_UNKNOWN
};

static const struct {
	const char *text;
	enum name name;
} names[] = {
	{ "read", N_READ },	{ "get", N_GET },	{ "write", N_WRITE },
	{ "put", N_PUT },	{ "set", N_PUT },	{ "cas", N_CAS },
	{ "append", N_APPEND },	{ "del", N_DEL },	{ "delete", N_DEL },
	{ "acquire", N_ACQUIRE }, { "lock", N_ACQUIRE },
	{ "release", N_RELEASE }, { "unlock", N_RELEASE },
	{ "enqueue", N_ENQUEUE }, { "push", N_ENQUEUE },
	{ "dequeue", N_DEQUEUE }, { "pop", N_DEQUEUE },
	{ "drain", N_DRAIN },	{ "add", N_ADD },	{ "remove", N_REMOVE },
	{ "txn", N_TXN },
};

static const char *const model_names[] = {
	[LINZ_AUTO] = "auto", [LINZ_REGISTER] = "register",
	[LINZ_CAS_REGISTER] = "cas-register", [LINZ_KV] = "kv",
	[LINZ_LOCK] = "lock", [LINZ_MUTEX] = "mutex", [LINZ_FIFO] = "fifo",
	[LINZ_SET] = "set", [LINZ_LOG] = "log",
	[LINZ_MULTI_REGISTER] = "multi-register",
};

#define BIT(n)		(1U << (n))
#define RW		(BIT(N_READ) | BIT(N_GET) | BIT(N_WRITE) | BIT(N_PUT))

/* The functions each model knows. */
static const unsigned int allowed[] = {
	[LINZ_REGISTER] = RW,
	[LINZ_CAS_REGISTER] = RW | BIT(N_CAS),
	[LINZ_KV] = RW | BIT(N_CAS) | BIT(N_APPEND) | BIT(N_DEL),
	[LINZ_LOCK] = BIT(N_ACQUIRE) | BIT(N_RELEASE),
	[LINZ_MUTEX] = BIT(N_ACQUIRE) | BIT(N_RELEASE),
	[LINZ_FIFO] = BIT(N_ENQUEUE) | BIT(N_DEQUEUE) | BIT(N_DRAIN),
	[LINZ_SET] = BIT(N_ADD) | BIT(N_REMOVE) | BIT(N_READ),
	[LINZ_LOG] = BIT(N_APPEND) | BIT(N_READ),
	[LINZ_MULTI_REGISTER] = BIT(N_TXN) | RW,
};

const char *
linz_model_name(enum linz_model model)
{
	return model_names[model];
}

int
linz_model_parse(const char *text, enum linz_model *model)
{
	for (size_t i = 0; i < sizeof(model_names) / sizeof(*model_names); i++)
		if (strcmp(text, model_names[i]) == 0) {
			*model = (enum linz_model)i;
			return 0;
		}
	errno = EINVAL;
	return -1;
}

static enum name
name_of(const struct op_values *v, uint32_t f)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (op_is(v, f, names[i].text))
			return names[i].name;
	return N_UNKNOWN;
}

/* Say which operation does not fit, and why. */
static int
misfit(struct linz_result *r, size_t op, const char *why)
{
	r->bad_op = (uint32_t)op;
	r->words.len = 0;
	if (buf_put_str(&r->words, why) == -1)
		return -1;
	errno = EBADMSG;
	return -1;
}

static enum linz_model
guess(unsigned int seen, bool keyed)
{
	if ((seen & BIT(N_TXN)) != 0)
		return LINZ_MULTI_REGISTER;
	if ((seen & allowed[LINZ_LOCK]) != 0)
		return LINZ_LOCK;
	if ((seen & allowed[LINZ_FIFO]) != 0)
		return LINZ_FIFO;
	if ((seen & (BIT(N_ADD) | BIT(N_REMOVE))) != 0)
		return LINZ_SET;
	if (seen == allowed[LINZ_LOG] || seen == BIT(N_APPEND))
		return LINZ_LOG;
	if (keyed || (seen & (BIT(N_GET) | BIT(N_PUT) | BIT(N_APPEND) |
	    BIT(N_DEL))) != 0)
		return LINZ_KV;
	return (seen & BIT(N_CAS)) != 0 ? LINZ_CAS_REGISTER : LINZ_REGISTER;
}

static int
list_push(struct linz_bound *b, uint32_t id)
{
	size_t cap = b->list_cap * 2 + 64;
	uint32_t *p;

	if (b->list_cnt == b->list_cap) {
		p = reallocarray(b->list, cap, sizeof(*p));
		if (p == NULL)
			return -1;
		b->list = p;
		b->list_cap = cap;
	}
	b->list[b->list_cnt++] = id;
	return 0;
}

/*
 * The items of a list; of a text, what newlines divide when there are any,
 * else tabs, else blanks, as far as these are not part of any item that was
 * ever put there.  They stay in b->list until the next call.
 */
static int
items(struct op_history *h, struct linz_bound *b, uint32_t id)
{
	enum op_kind kind = op_kind(h->values, id);
	const uint32_t *list;
	const char *text, *p;
	size_t cnt, len;
	char *copy, *end, sep;
	uint32_t item;
	int rc = 0;

	b->list_cnt = 0;
	if (kind == OP_LIST || kind == OP_MAP) {
		list = op_items(h->values, id, &cnt);
		for (size_t i = 0; i < cnt; i++)
			if (list_push(b, list[i]) == -1)
				return -1;
		return 0;
	}
	text = op_text(h->values, id, &len);
	if (len == 0)
		return 0;
	copy = malloc(len);	/* interning moves the text */
	if (copy == NULL)
		return -1;
	memcpy(copy, text, len);
	sep = '\n';
	if (memchr(copy, '\n', len) == NULL && !b->with_tab &&
	    (b->with_blank || memchr(copy, '\t', len) != NULL))
		sep = '\t';
	else if (memchr(copy, '\n', len) == NULL && !b->with_blank)
		sep = ' ';
	for (p = copy; rc == 0 && p < copy + len; p = end + 1) {
		end = memchr(p, sep, (size_t)(copy + len - p));
		if (end == NULL)
			end = copy + len;
		item = OP_NIL;
		if (end - p != 1 || *p != '-')
			rc = op_scalar(h->values, OP_ATOM, p,
			    (size_t)(end - p), &item);
		if (rc == 0)
			rc = list_push(b, item);
	}
	free(copy);
	return rc;
}

/* The dense number of a key. */
static int
key_of(struct linz_bound *b, uint32_t id, uint32_t *key)
{
	size_t cnt = b->key_of_cnt, cap;
	uint32_t *p;

	if (id >= cnt) {
		cnt = (size_t)id * 2 + 64;
		p = reallocarray(b->key_of, cnt, sizeof(*p));
		if (p == NULL)
			return -1;
		memset(p + b->key_of_cnt, 0,
		    (cnt - b->key_of_cnt) * sizeof(*p));
		b->key_of = p;
		b->key_of_cnt = cnt;
	}
	if (b->key_of[id] == 0) {
		if (b->keys == b->keys_cap) {
			cap = b->keys_cap * 2 + 16;
			p = reallocarray(b->key_ids, cap, sizeof(*p));
			if (p == NULL)
				return -1;
			b->key_ids = p;
			b->keys_cap = cap;
		}
		b->key_ids[b->keys++] = id;
		b->key_of[id] = (uint32_t)b->keys;
	}
	*key = b->key_of[id] - 1;
	return 0;
}

static int
push(struct linz_bound *b, const struct linz_op *op)
{
	size_t cap = b->cap + b->cap / 2 + 256;
	struct linz_op *p;

	if (b->cnt >= UINT32_MAX - 1) {
		errno = EOVERFLOW;
		return -1;
	}
	if (b->cnt == b->cap) {
		p = reallocarray(b->ops, cap, sizeof(*p));
		if (p == NULL)
			return -1;
		b->ops = p;
		b->cap = cap;
	}
	b->ops[b->cnt++] = *op;
	return 0;
}

/* --- one model after the other: 1 keep the operation, 0 drop it, -1 ------ */

struct binding {
	struct op_history *h;
	const struct linz_conf *conf;
	struct linz_bound *b;
	struct linz_result *r;
	size_t i;			/* of the operation */
	const struct op *op;
	enum name name;
};

static int
bind_register(struct binding *c, struct linz_op *o)
{
	const struct op_values *v = c->h->values;

	switch (c->name) {
	case N_READ:
	case N_GET:
		o->f = LINZ_READ;
		o->a = c->op->result;
		return !o->optional && (o->a != OP_NIL || !c->conf->nil_any);
	case N_DEL:
		o->f = LINZ_WRITE;
		o->a = OP_NIL;
		return 1;
	case N_APPEND:
		o->f = LINZ_APPEND;
		o->a = c->op->arg;
		if (op_kind(v, o->a) == OP_KIND_NIL || op_kind(v, o->a) >=
		    OP_LIST)
			return misfit(c->r, c->i, "append takes text "
			    "(lists of items are the model log)");
		return 1;
	case N_CAS:
		if (items(c->h, c->b, c->op->arg) == -1)
			return -1;
		if (c->b->list_cnt != 2)
			return misfit(c->r, c->i, "the argument of cas is not "
			    "an old and a new value");
		o->f = LINZ_CAS;
		o->a = c->b->list[0];
		o->b = c->b->list[1];
		return 1;
	default:
		o->f = LINZ_WRITE;
		o->a = c->op->arg;
		return 1;
	}
}

static int
bind_lock(struct binding *c, struct linz_op *o)
{
	uint32_t held = c->b->model == LINZ_MUTEX ? 1 : o->proc + 1;

	o->f = LINZ_CAS;
	o->a = c->name == N_ACQUIRE ? 0 : held;
	o->b = c->name == N_ACQUIRE ? held : 0;
	return 1;
}

static int
bind_fifo(struct binding *c, struct linz_op *o)
{
	o->f = c->name == N_ENQUEUE ? LINZ_ENQUEUE : LINZ_DEQUEUE;
	o->a = c->name == N_ENQUEUE ? c->op->arg : c->op->result;
	if (c->name == N_ENQUEUE && o->a == OP_NIL)
		return misfit(c->r, c->i, "nil is not an item of a queue");
	if (c->name != N_DRAIN)
		return 1;
	if (o->optional)
		return misfit(c->r, c->i, "a drain that did not complete took "
		    "an unknown number of items: record dequeues instead");
	if (items(c->h, c->b, c->op->result) == -1)
		return -1;
	for (size_t i = 0; i < c->b->list_cnt; i++) {
		o->a = c->b->list[i];
		if (o->a == OP_NIL)
			return misfit(c->r, c->i, "drain returned a nil item");
		if (push(c->b, o) == -1)
			return -1;
	}
	return 0;
}

static int
bind_set(struct binding *c, struct linz_op *o)
{
	if (c->name != N_READ) {
		o->f = c->name == N_ADD ? LINZ_ADD : LINZ_REMOVE;
		o->a = c->op->arg;
		return 1;
	}
	o->f = LINZ_SET_READ;
	if (o->optional || (c->op->result == OP_NIL && c->conf->nil_any))
		return 0;
	if (items(c->h, c->b, c->op->result) == -1 ||
	    op_compound(c->h->values, OP_LIST, c->b->list, c->b->list_cnt,
	    &o->a) == -1)
		return -1;
	return 1;
}

/* A number of digits only, below the limit: an offset. */
static bool
offset(const struct op_values *v, uint32_t id, uint32_t *n)
{
	size_t len;
	const char *p = op_text(v, id, &len);
	uint64_t x = 0;

	if (op_kind(v, id) != OP_ATOM || len == 0 || len > 9)
		return false;
	for (; len > 0; p++, len--) {
		if (*p < '0' || *p > '9')
			return false;
		x = x * 10 + (uint64_t)(*p - '0');
	}
	*n = (uint32_t)x;
	return true;
}

static int
bind_log(struct binding *c, struct linz_op *o)
{
	uint32_t n;

	if (c->name == N_APPEND) {
		o->f = LINZ_LOG_APPEND;
		o->a = c->op->arg;
		/* Events repeat the argument where intervals have a result. */
		if (c->h->timed && !o->optional &&
		    offset(c->h->values, c->op->result, &n)) {
			if (n < c->conf->log_base)
				return misfit(c->r, c->i,
				    "the offset is below the first one");
			o->b = n - c->conf->log_base + 1;
		}
		return 1;
	}
	o->f = LINZ_LOG_READ;
	if (o->optional || (c->op->result == OP_NIL && c->conf->nil_any))
		return 0;
	if (c->op->arg != c->op->result &&
	    offset(c->h->values, c->op->arg, &n)) {
		if (n < c->conf->log_base)
			return misfit(c->r, c->i,
			    "the offset is below the first one");
		o->b = n - c->conf->log_base;
	}
	if (items(c->h, c->b, c->op->result) == -1 ||
	    op_compound(c->h->values, OP_LIST, c->b->list, c->b->list_cnt,
	    &o->a) == -1)
		return -1;
	return 1;
}

static int
add_part(struct binding *c, struct linz_op *o, uint32_t key, uint32_t value,
    bool write)
{
	struct linz_bound *b = c->b;
	struct linz_part *p;
	uint32_t dense;
	size_t cap;

	if (!write && (o->optional || (value == OP_NIL && c->conf->nil_any)))
		return 0;
	if (key_of(b, key, &dense) == -1)
		return -1;
	if (b->parts_cnt == b->parts_cap) {
		cap = b->parts_cap * 2 + 64;
		p = reallocarray(b->parts, cap, sizeof(*p));
		if (p == NULL)
			return -1;
		b->parts = p;
		b->parts_cap = cap;
	}
	b->parts[b->parts_cnt++] = (struct linz_part){ dense, value, write };
	o->b++;
	return 0;
}

static int
bind_txn(struct binding *c, struct linz_op *o)
{
	const struct op_values *v = c->h->values;
	uint32_t id = c->op->result;
	const uint32_t *list, *part;
	size_t cnt, n;

	if (o->optional || op_kind(v, id) != OP_LIST)
		id = c->op->arg;
	if (op_kind(v, id) != OP_LIST)
		return misfit(c->r, c->i, "a transaction is a list of "
		    "[function key value]");
	list = op_items(v, id, &cnt);
	for (size_t i = 0; i < cnt; i++) {
		part = op_items(v, list[i], &n);
		if (op_kind(v, list[i]) != OP_LIST || n != 3)
			return misfit(c->r, c->i, "a part of a transaction is "
			    "not [function key value]");
		if (!op_is(v, part[0], "r") && !op_is(v, part[0], "read") &&
		    !op_is(v, part[0], "w") && !op_is(v, part[0], "write"))
			return misfit(c->r, c->i, "a part of a transaction is "
			    "neither a read (r) nor a write (w)");
		if (add_part(c, o, part[1], part[2],
		    op_is(v, part[0], "w") || op_is(v, part[0], "write")) == -1)
			return -1;
	}
	return 1;
}

/* Also a plain read or write of one key, or of a map of them. */
static int
bind_multi(struct binding *c, struct linz_op *o)
{
	const struct op_values *v = c->h->values;
	bool write = c->name == N_WRITE || c->name == N_PUT;
	uint32_t id = write ? c->op->arg : c->op->result;
	const uint32_t *list;
	size_t cnt;

	o->f = LINZ_TXN;
	o->a = (uint32_t)c->b->parts_cnt;
	if (c->name == N_TXN) {
		if (bind_txn(c, o) == -1)
			return -1;
	} else if (c->op->key == OP_NIL && op_kind(v, id) == OP_MAP) {
		list = op_items(v, id, &cnt);
		for (size_t i = 0; i + 1 < cnt; i += 2)
			if (add_part(c, o, list[i], list[i + 1], write) == -1)
				return -1;
	} else if (add_part(c, o, c->op->key, id, write) == -1) {
		return -1;
	}
	o->key = 0;
	return o->b > 0;
}

static int
bind_one(struct binding *c, struct linz_op *o)
{
	switch (c->b->model) {
	case LINZ_LOCK:
	case LINZ_MUTEX:
		return bind_lock(c, o);
	case LINZ_FIFO:
		return bind_fifo(c, o);
	case LINZ_SET:
		return bind_set(c, o);
	case LINZ_LOG:
		return bind_log(c, o);
	case LINZ_MULTI_REGISTER:
		return bind_multi(c, o);
	case LINZ_AUTO:
	case LINZ_REGISTER:
	case LINZ_CAS_REGISTER:
	case LINZ_KV:
		break;
	}
	return bind_register(c, o);
}

/* Sort by key, keeping the order by call within each. */
static int
sort_by_key(struct linz_bound *b)
{
	size_t *start, sum = 0;
	struct linz_op *out;

	if (b->keys < 2 || b->model == LINZ_MULTI_REGISTER)
		return 0;
	start = calloc(b->keys + 1, sizeof(*start));
	out = calloc(b->cnt + 1, sizeof(*out));
	if (start == NULL || out == NULL) {
		free(start);
		free(out);
		return -1;
	}
	for (size_t i = 0; i < b->cnt; i++)
		start[b->ops[i].key]++;
	for (size_t i = 0; i < b->keys; i++) {
		size_t cnt = start[i];

		start[i] = sum;
		sum += cnt;
	}
	for (size_t i = 0; i < b->cnt; i++)
		out[start[b->ops[i].key]++] = b->ops[i];
	free(start);
	free(b->ops);
	b->ops = out;
	b->cap = b->cnt + 1;
	return 0;
}

/* The names of all functions, by value id; those seen, and is there a key? */
static int
look(struct op_history *h, uint8_t **table, unsigned int *seen, bool *keyed)
{
	uint8_t *t = malloc(op_values_count(h->values));

	if (t == NULL)
		return -1;
	memset(t, N_CNT, op_values_count(h->values));
	*seen = 0;
	*keyed = false;
	for (size_t i = 0; i < h->cnt; i++) {
		uint32_t f = h->ops[i].f;

		if (t[f] == N_CNT)
			t[f] = (uint8_t)name_of(h->values, f);
		if (t[f] != N_UNKNOWN)
			*seen |= BIT(t[f]);
		*keyed |= h->ops[i].key != OP_NIL;
	}
	*table = t;
	return 0;
}

/* Do items have what would divide a list of them? */
static void
look_at_items(const struct op_history *h, const uint8_t *table,
    struct linz_bound *b)
{
	for (size_t i = 0; i < h->cnt; i++) {
		const struct op *op = &h->ops[i];
		const char *text;
		size_t len;

		if (table[op->f] != N_ADD && table[op->f] != N_ENQUEUE &&
		    (table[op->f] != N_APPEND || b->model != LINZ_LOG))
			continue;
		text = op_text(h->values, op->arg, &len);
		b->with_blank |= memchr(text, ' ', len) != NULL;
		b->with_tab |= memchr(text, '\t', len) != NULL;
	}
}

int
linz_bind(struct op_history *h, const struct linz_conf *conf,
    struct linz_bound *b, struct linz_result *r)
{
	struct binding c = { .h = h, .conf = conf, .b = b, .r = r };
	uint8_t *table;
	unsigned int seen;
	int rc;

	*b = (struct linz_bound){ .model = conf->model };
	if (look(h, &table, &seen, &b->keyed) == -1)
		return -1;
	if (b->model == LINZ_AUTO)
		b->model = guess(seen, b->keyed);
	look_at_items(h, table, b);
	rc = 0;
	for (size_t i = 0; rc == 0 && i < h->cnt; i++) {
		const struct op *op = &h->ops[i];
		struct linz_op o = { .call = op->call, .ret = op->ret,
		    .src = (uint32_t)i, .proc = op->proc,
		    .optional = op->class == OP_INFO };

		c.i = i;
		c.op = op;
		c.name = table[op->f];
		if (c.name == N_UNKNOWN ||
		    (allowed[b->model] & BIT(c.name)) == 0) {
			rc = misfit(r, i, "not a function of the model");
			break;
		}
		if (op->class == OP_FAIL)
			continue;
		if (b->model != LINZ_MULTI_REGISTER)
			rc = key_of(b, op->key, &o.key);
		if (rc == 0)
			rc = bind_one(&c, &o);
		if (rc == 1)
			rc = push(b, &o);
	}
	free(table);
	if (rc == 0)
		rc = sort_by_key(b);
	return rc;
}

void
linz_bound_release(struct linz_bound *b)
{
	free(b->ops);
	free(b->parts);
	free(b->key_ids);
	free(b->key_of);
	free(b->list);
	*b = (struct linz_bound){ 0 };
}
