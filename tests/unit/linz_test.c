/*
 * linz_test: judge() against a brute-force oracle that shares no code with it.
 *
 * linz_test [count [seed [model]]]: random histories a model, 2000 by default.
 * Verdicts must agree both ways; a witness order must stand up to a check that
 * replays it; what is left in a window must have no order by itself.  On longer
 * histories the fast judges must agree with the search.
 */

#include <limits.h>

#include "linz.h"
#include "linz_priv.h"
#include "tap.h"

#define BRUTE_MAX	8		/* operations the oracle can bear */
#define OPS_MAX		28		/* the judges among themselves */
#define WINDOW_MAX	10		/* of a longer history, still bearable */
#define KEYS		2
#define TEXT_MAX	64
#define ITEMS_MAX	OPS_MAX

/* --- random -------------------------------------------------------------- */

static uint64_t rng;

static uint32_t
rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 20) % below);
}

/* --- the naive twin ------------------------------------------------------ */

enum fn { READ, WRITE, CAS, APPEND, DEL, ACQUIRE, RELEASE, ENQ, DEQ, ADD,
	REMOVE, TXN, FN_CNT };

static const char *const fn_names[] = { "read", "write", "cas", "append",
	"del", "acquire", "release", "enqueue", "dequeue", "add", "remove",
	"txn" };

/* Small numbers are values, -1 is nil; texts are made of them as letters. */
struct nop {
	int call, ret;			/* INT_MAX: open */
	int proc, key;
	enum fn fn;
	int a, b;			/* argument */
	int res;			/* of read, dequeue; offset of append */
	int list[ITEMS_MAX], len;	/* of set and log reads */
	char text[TEXT_MAX];		/* of reads of texts; "-" is nil */
	int part[3][3];			/* txn: write?, key, value */
	int parts;
	enum op_class class;
	bool optional;			/* in a window: need not be placed */
};

struct nstate {
	int val[3];
	char text[KEYS][TEXT_MAX];
	bool present[KEYS];
	int items[KEYS][ITEMS_MAX], len[KEYS];
};

enum shape { S_REG, S_TEXT, S_LOCK, S_MUTEX, S_FIFO, S_SET, S_LOG, S_MULTI };

struct kind {
	const char *name;
	enum linz_model model;
	enum shape shape;
	unsigned int fns;
	bool distinct, offsets;
	int keys;
};

static const struct kind *kind;

static void
state_init(struct nstate *s)
{
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < 3; i++)
		s->val[i] = -1;
}

static bool
text_is(const struct nstate *s, int key, int letter)
{
	if (letter < 0)
		return !s->present[key];
	return s->present[key] && s->text[key][0] == 'a' + letter &&
	    s->text[key][1] == '\0';
}

static void
text_put(struct nstate *s, int key, int letter)
{
	s->present[key] = letter >= 0;
	s->text[key][0] = (char)(letter >= 0 ? 'a' + letter : 0);
	s->text[key][1] = '\0';
}

static bool
text_step(struct nstate *s, const struct nop *o)
{
	size_t len = strlen(s->text[o->key]);

	switch (o->fn) {
	case READ:
		return strcmp(s->present[o->key] ? s->text[o->key] : "-",
		    o->text) == 0;
	case CAS:
		if (!text_is(s, o->key, o->a))
			return false;
		text_put(s, o->key, o->b);
		return true;
	case APPEND:
		s->text[o->key][len] = (char)('a' + o->a);
		s->text[o->key][len + 1] = '\0';
		s->present[o->key] = true;
		return true;
	default:
		text_put(s, o->key, o->fn == DEL ? -1 : o->a);
		return true;
	}
}

static bool
list_step(struct nstate *s, const struct nop *o)
{
	int *items = s->items[o->key], *len = &s->len[o->key], i;

	switch (o->fn) {
	case ENQ:
	case APPEND:
		if (o->fn == APPEND && kind->offsets && !o->optional &&
		    o->class == OP_OK && o->res >= 0 && o->res != *len)
			return false;
		items[(*len)++] = o->a;
		return true;
	case DEQ:
		if (o->class == OP_INFO || o->optional) {
			if (*len == 0)
				return true;
		} else if (*len == 0) {
			return o->res == -1;
		} else if (items[0] != o->res) {
			return false;
		}
		memmove(items, items + 1, (size_t)(*len - 1) * sizeof(*items));
		--*len;
		return true;
	case ADD:
	case REMOVE:
		for (i = 0; i < *len && items[i] < o->a; i++)
			;
		if ((i < *len && items[i] == o->a) == (o->fn == ADD))
			return true;
		if (o->fn == ADD) {
			memmove(items + i + 1, items + i,
			    (size_t)(*len - i) * sizeof(*items));
			items[i] = o->a;
			++*len;
		} else {
			memmove(items + i, items + i + 1,
			    (size_t)(*len - i - 1) * sizeof(*items));
			--*len;
		}
		return true;
	default:
		i = kind->shape == S_LOG && kind->offsets && o->a > 0 ? o->a :
		    0;
		if (i >= *len)
			return o->len == 0;
		return o->len == *len - i && memcmp(o->list, items + i,
		    (size_t)o->len * sizeof(*items)) == 0;
	}
}

/* Apply; false when the result cannot be. */
static bool
step(struct nstate *s, const struct nop *o)
{
	switch (kind->shape) {
	case S_TEXT:
		return text_step(s, o);
	case S_FIFO:
	case S_SET:
	case S_LOG:
		return list_step(s, o);
	case S_LOCK:
	case S_MUTEX:
		if (o->fn == ACQUIRE) {
			if (s->val[o->key] != -1)
				return false;
			s->val[o->key] = o->proc;
			return true;
		}
		if (s->val[o->key] == -1 || (kind->shape == S_LOCK &&
		    s->val[o->key] != o->proc))
			return false;
		s->val[o->key] = -1;
		return true;
	case S_MULTI:
		for (int i = 0; i < o->parts; i++)
			if (o->part[i][0])
				s->val[o->part[i][1]] = o->part[i][2];
			else if (o->class == OP_OK &&
			    s->val[o->part[i][1]] != o->part[i][2])
				return false;
		return true;
	case S_REG:
		break;
	}
	if (o->fn == READ)
		return s->val[o->key] == o->res;
	if (o->fn == CAS) {
		if (s->val[o->key] != o->a)
			return false;
		s->val[o->key] = o->b;
	} else {
		s->val[o->key] = o->fn == DEL ? -1 : o->a;
	}
	return true;
}

static bool
must(const struct nop *o)
{
	return o->class == OP_OK && !o->optional;
}

static bool
precedes(const struct nop *a, const struct nop *b, enum linz_level level)
{
	if (!must(a))
		return false;
	if (level == LINZ_SEQUENTIAL)
		return a->proc == b->proc && a < b;
	return a->ret < b->call;
}

/* Try everything. */
static bool
brute(const struct nop *ops, int cnt, unsigned int done,
    const struct nstate *s, enum linz_level level)
{
	bool rest = false;

	for (int i = 0; i < cnt; i++)
		rest |= (done & 1U << i) == 0 && must(&ops[i]);
	if (!rest)
		return true;
	for (int i = 0; i < cnt; i++) {
		struct nstate next = *s;
		bool held = false;

		if ((done & 1U << i) != 0 || ops[i].class == OP_FAIL)
			continue;
		for (int j = 0; j < cnt && !held; j++)
			held = j != i && (done & 1U << j) == 0 &&
			    precedes(&ops[j], &ops[i], level);
		if (held || !step(&next, &ops[i]))
			continue;
		if (brute(ops, cnt, done | 1U << i, &next, level))
			return true;
	}
	return false;
}

static bool
oracle(const struct nop *ops, int cnt, enum linz_level level)
{
	struct nstate s;
	struct nop some[OPS_MAX];
	int n;

	state_init(&s);
	if (level != LINZ_REGULAR)
		return brute(ops, cnt, 0, &s, level);
	for (int i = 0; i < cnt; i++) {
		if (ops[i].fn != READ || !must(&ops[i]))
			continue;
		n = 0;
		for (int j = 0; j < cnt; j++)
			if (j == i || ops[j].fn != READ)
				some[n++] = ops[j];
		if (!brute(some, n, 0, &s, LINZ_LINEARIZABLE))
			return false;
	}
	return true;
}

/* --- histories ----------------------------------------------------------- */

static void
random_result(struct nop *o, int values)
{
	o->res = (int)rnd((uint32_t)values + 1) - 1;
	o->len = (int)rnd(4);
	for (int i = 0; i < o->len; i++)
		o->list[i] = (int)rnd((uint32_t)values);
	if (kind->shape == S_SET)
		for (int i = 0; i < o->len; i++)
			o->list[i] = i + (int)rnd(2) * (values - o->len > 0);
	for (int i = 0; i < o->len; i++)
		o->text[i] = (char)('a' + o->list[i]);
	o->text[o->len] = '\0';
	if (o->len == 0)
		(void)strlcpy(o->text, "-", sizeof(o->text));
	if (kind->shape == S_SET)
		for (int i = 1; i < o->len; i++)
			if (o->list[i] <= o->list[i - 1])
				o->len = i;
}

/* What the state makes of it. */
static void
true_result(struct nstate *s, struct nop *o)
{
	int *items = s->items[o->key], len = s->len[o->key], from = 0;

	switch (kind->shape) {
	case S_TEXT:
		(void)strlcpy(o->text, s->present[o->key] ? s->text[o->key] :
		    "-", sizeof(o->text));
		break;
	case S_LOG:
		if (o->fn == READ && kind->offsets && o->a > 0)
			from = o->a < len ? o->a : len;
		o->res = len;
		__attribute__((fallthrough));
	case S_SET:
		o->len = len - from;
		memcpy(o->list, items + from, (size_t)o->len * sizeof(*items));
		break;
	case S_FIFO:
		o->res = len > 0 ? items[0] : -1;
		break;
	case S_MULTI:
		for (int i = 0; i < o->parts; i++) {
			if (o->part[i][0])
				s->val[o->part[i][1]] = o->part[i][2];
			else
				o->part[i][2] = s->val[o->part[i][1]];
		}
		break;
	default:
		o->res = s->val[o->key];
		break;
	}
}

static enum fn
random_fn(void)
{
	enum fn fn;

	do
		fn = (enum fn)rnd(FN_CNT);
	while ((kind->fns & 1U << fn) == 0);
	return fn;
}

static void
random_args(struct nop *o, int i, int values)
{
	memset(o, 0, sizeof(*o));
	o->fn = random_fn();
	o->key = (int)rnd((uint32_t)kind->keys);
	o->a = kind->distinct && o->fn != CAS ? i : (int)rnd((uint32_t)values);
	o->b = (int)rnd((uint32_t)values);
	if (o->fn == CAS)
		o->a = (int)rnd((uint32_t)values + 1) - 1;
	if (o->fn == READ)
		o->a = kind->shape == S_LOG && kind->offsets ? (int)rnd(3) :
		    -1;
	if (o->fn != TXN)
		return;
	o->parts = 1 + (int)rnd(3);
	for (int j = 0; j < o->parts; j++) {
		o->part[j][0] = (int)rnd(2);
		o->part[j][1] = (int)rnd(3);
		o->part[j][2] = (int)rnd((uint32_t)values);
	}
}

/* Results as an object would give them that takes effect at random points. */
static void
simulate(struct nop *ops, int cnt)
{
	int at[OPS_MAX], order[OPS_MAX];
	struct nstate s;

	state_init(&s);
	for (int i = 0; i < cnt; i++) {
		int end = ops[i].class == OP_OK ? ops[i].ret :
		    ops[i].call + 6;

		at[i] = ops[i].call + (int)rnd((uint32_t)(end - ops[i].call) +
		    1);
		order[i] = i;
	}
	for (int i = 1; i < cnt; i++)
		for (int j = i; j > 0 && at[order[j]] < at[order[j - 1]]; j--) {
			int x = order[j];

			order[j] = order[j - 1];
			order[j - 1] = x;
		}
	for (int i = 0; i < cnt; i++) {
		struct nop *o = &ops[order[i]];
		struct nstate next = s;

		if (o->class == OP_FAIL || (o->class == OP_INFO && rnd(2)))
			continue;
		true_result(&next, o);
		if (kind->shape != S_MULTI)
			next = s;
		if (o->fn == CAS && o->class == OP_OK && kind->shape == S_REG)
			o->a = s.val[o->key];
		if (kind->shape == S_MULTI || step(&next, o))
			s = next;
		else if (o->class == OP_OK && rnd(4) != 0)
			o->class = OP_FAIL;
	}
}

static int
generate(struct nop *ops, uint32_t most)
{
	int cnt = 1 + (int)rnd(most), values = 2 + (int)rnd(2);
	int now[4] = { 0, 0, 0, 0 };
	uint32_t procs = 2 + rnd(2), spread = 1 + rnd(8), info = rnd(60);

	for (int i = 0; i < cnt; i++) {
		struct nop *o = &ops[i];
		int p = (int)rnd(procs);

		random_args(o, i, values);
		o->proc = p;
		o->call = now[p] + (int)rnd(3);
		o->ret = o->call + (int)rnd(spread);
		now[p] = o->ret + (rnd(4) != 0);
		o->class = rnd(100) < info ? OP_INFO : rnd(30) == 0 ? OP_FAIL :
		    OP_OK;
		random_result(o, kind->distinct ? cnt : values);
	}
	if (rnd(4) != 0)
		simulate(ops, cnt);
	for (uint32_t i = rnd(3); i > 0; i--) {
		struct nop *o = &ops[rnd((uint32_t)cnt)];

		random_result(o, kind->distinct ? cnt : values);
	}
	for (int i = 0; i < cnt; i++)
		if (ops[i].class == OP_INFO)
			ops[i].ret = INT_MAX;
	return cnt;
}

/* --- as the library wants it --------------------------------------------- */

static uint32_t
number(struct op_values *v, int n)
{
	char text[16];
	uint32_t id = OP_NIL;

	(void)snprintf(text, sizeof(text), "%d", n);
	if (n >= 0 && op_scalar(v, OP_ATOM, text, strlen(text), &id) == -1)
		tap_bail("op_scalar");
	return id;
}

static uint32_t
letters(struct op_values *v, const char *text)
{
	uint32_t id = OP_NIL;

	if (strcmp(text, "-") != 0 &&
	    op_scalar(v, OP_STRING, text, strlen(text), &id) == -1)
		tap_bail("op_scalar");
	return id;
}

static uint32_t
letter(struct op_values *v, int n)
{
	const char text[2] = { (char)('a' + n), '\0' };

	return n < 0 ? OP_NIL : letters(v, text);
}

static uint32_t
list(struct op_values *v, const uint32_t *items, size_t cnt)
{
	uint32_t id;

	if (op_compound(v, OP_LIST, items, cnt, &id) == -1)
		tap_bail("op_compound");
	return id;
}

static uint32_t
txn(struct op_values *v, const struct nop *o)
{
	uint32_t part[3], parts[3];

	for (int i = 0; i < o->parts; i++) {
		part[0] = letters(v, o->part[i][0] ? "w" : "r");
		part[1] = number(v, o->part[i][1]);
		part[2] = number(v, o->part[i][2]);
		parts[i] = list(v, part, 3);
	}
	return list(v, parts, (size_t)o->parts);
}

static void
convert(const struct nop *ops, int cnt, struct op_history *h)
{
	struct op_values *v = op_values_open();
	uint32_t items[ITEMS_MAX];

	*h = (struct op_history){ calloc(OPS_MAX, sizeof(*h->ops)),
	    (size_t)cnt, OPS_MAX, v, true };
	if (v == NULL || h->ops == NULL)
		tap_bail("calloc");
	for (int i = 0; i < cnt; i++) {
		const struct nop *n = &ops[i];
		struct op *o = &h->ops[i];
		bool text = kind->shape == S_TEXT;

		*o = (struct op){ .call = n->call, .ret = n->ret == INT_MAX ?
		    OP_NEVER : n->ret, .call_line = (uint32_t)i + 1,
		    .ret_line = (uint32_t)i + 1, .class = n->class };
		o->proc = number(v, n->proc);
		o->key = kind->keys > 1 ? number(v, n->key + 100) : OP_NIL;
		o->f = letters(v, fn_names[n->fn]);
		o->arg = text ? letter(v, n->a) : number(v, n->a);
		o->result = text ? letters(v, n->text) : number(v, n->res);
		if (n->fn == CAS) {
			items[0] = o->arg;
			items[1] = text ? letter(v, n->b) : number(v, n->b);
			o->arg = list(v, items, 2);
		}
		if (n->fn == TXN)
			o->arg = o->result = txn(v, n);
		if (kind->shape == S_SET || kind->shape == S_LOG) {
			if (n->fn == READ) {
				for (int j = 0; j < n->len; j++)
					items[j] = number(v, n->list[j]);
				o->result = list(v, items, (size_t)n->len);
			} else if (!kind->offsets) {
				o->result = OP_NIL;
			}
		}
	}
}

/* The library wants operations by call. */
static void
sort_ops(struct nop *ops, int cnt)
{
	for (int i = 1; i < cnt; i++)
		for (int j = i; j > 0 && ops[j].call < ops[j - 1].call; j--) {
			struct nop x = ops[j];

			ops[j] = ops[j - 1];
			ops[j - 1] = x;
		}
}

static void
show(const struct nop *ops, int cnt)
{
	for (int i = 0; i < cnt; i++) {
		const struct nop *o = &ops[i];

		printf("# %d: [%d,%d] p%d %s k%d a=%d b=%d res=%d text=%s "
		    "list=", i + 1, o->call, o->ret == INT_MAX ? -1 : o->ret,
		    o->proc, fn_names[o->fn], o->key, o->a, o->b, o->res,
		    o->text);
		for (int j = 0; j < o->len; j++)
			printf("%d ", o->list[j]);
		for (int j = 0; j < o->parts; j++)
			printf("(%c %d %d)", "rw"[o->part[j][0]],
			    o->part[j][1], o->part[j][2]);
		printf("%s%s\n", o->class == OP_OK ? "ok" : o->class ==
		    OP_INFO ? "info" : "fail", o->optional ? "?" : "");
	}
}

/* --- what comes back ----------------------------------------------------- */

static bool
order_good(const struct nop *ops, int cnt, enum linz_level level,
    const struct linz_result *r)
{
	struct nstate s;
	unsigned int done = 0;

	state_init(&s);
	for (size_t i = 0; r->order != NULL && i < r->order_cnt; i++) {
		uint32_t op = r->order[i].op;

		if (op >= (uint32_t)cnt || (done & 1U << op) != 0 ||
		    ops[op].class == OP_FAIL)
			return false;
		for (int j = 0; j < cnt; j++)
			if ((done & 1U << j) == 0 && j != (int)op &&
			    precedes(&ops[j], &ops[op], level))
				return false;
		if (!step(&s, &ops[op]))
			return false;
		done |= 1U << op;
	}
	for (int i = 0; i < cnt; i++)
		if (must(&ops[i]) && (done & 1U << i) == 0)
			return false;
	return true;
}

/* Is there no order of these, whatever register or lock were at first? */
static bool
any_start(const struct nop *w, int n)
{
	for (int v = -1; v < OPS_MAX + 1; v++) {
		struct nstate s;

		state_init(&s);
		for (int k = 0; k < KEYS; k++) {
			s.val[k] = v;
			if (v >= 0 && v < 26)
				text_put(&s, k, v);
		}
		if (brute(w, n, 0, &s, LINZ_LINEARIZABLE))
			return false;
	}
	return true;
}

static bool
window_good(const struct nop *ops, enum linz_level level,
    const struct linz_result *r)
{
	struct nop w[WINDOW_MAX];
	int n = 0;

	if (r->window_cnt == 0 || r->window_cnt > WINDOW_MAX)
		return false;
	for (size_t i = 0; i < r->window_cnt; i++) {
		w[n] = ops[r->window[i].op];
		w[n].optional |= r->window[i].optional;
		n++;
	}
	return r->cropped ? any_start(w, n) : !oracle(w, n, level);
}

static bool
one(enum linz_level level, int *yes)
{
	struct nop ops[OPS_MAX];
	struct op_history h;
	struct linz_result r;
	struct linz_conf conf = { .model = kind->model, .level = level,
	    .deadline = MONO_NEVER, .memory_max = 64U << 20,
	    .want_order = true, .want_window = true };
	int cnt = generate(ops, BRUTE_MAX), completed = 0;
	bool want, good;

	sort_ops(ops, cnt);
	convert(ops, cnt, &h);
	for (int i = 0; i < cnt; i++)
		completed += ops[i].class == OP_OK;
	if (linz_judge(&h, &conf, &r) == -1)
		tap_bail("linz_judge %.*s", (int)r.words.len, r.words.data);
	want = oracle(ops, cnt, level);
	*yes += want;
	good = r.verdict == (completed == 0 ? LINZ_UNKNOWN : want ? LINZ_YES :
	    LINZ_NO);
	if (!good)
		printf("# verdict %d, the oracle says %d\n", r.verdict, want);
	if (good && r.verdict == LINZ_YES && level != LINZ_REGULAR &&
	    !order_good(ops, cnt, level, &r)) {
		printf("# the order is wrong:");
		for (size_t i = 0; i < r.order_cnt; i++)
			printf(" %u", r.order[i].op + 1);
		printf("\n");
		good = false;
	}
	if (good && r.verdict == LINZ_NO && !window_good(ops, level, &r)) {
		printf("# the window has an order:");
		for (size_t i = 0; i < r.window_cnt; i++)
			printf(" %u%s", r.window[i].op + 1,
			    r.window[i].optional ? "?" : "");
		printf("\n");
		good = false;
	}
	if (!good)
		show(ops, cnt);
	linz_release(&r);
	op_history_release(&h);
	return good;
}

#define F(x)	(1U << (x))

static const struct kind kinds[] = {
	{ "register, distinct values", LINZ_REGISTER, S_REG,
	    F(READ) | F(WRITE), true, false, 1 },
	{ "register", LINZ_REGISTER, S_REG, F(READ) | F(WRITE), false, false,
	    1 },
	{ "cas-register", LINZ_CAS_REGISTER, S_REG,
	    F(READ) | F(WRITE) | F(CAS), false, false, 1 },
	{ "kv", LINZ_KV, S_REG, F(READ) | F(WRITE) | F(CAS) | F(DEL), false,
	    false, 2 },
	{ "kv with append", LINZ_KV, S_TEXT,
	    F(READ) | F(WRITE) | F(CAS) | F(DEL) | F(APPEND), false, false,
	    2 },
	{ "kv of append and read", LINZ_KV, S_TEXT, F(READ) | F(APPEND),
	    false, false, 1 },
	{ "lock", LINZ_LOCK, S_LOCK, F(ACQUIRE) | F(RELEASE), false, false,
	    1 },
	{ "mutex", LINZ_MUTEX, S_MUTEX, F(ACQUIRE) | F(RELEASE), false, false,
	    1 },
	{ "fifo, distinct items", LINZ_FIFO, S_FIFO, F(ENQ) | F(DEQ), true,
	    false, 1 },
	{ "fifo", LINZ_FIFO, S_FIFO, F(ENQ) | F(DEQ), false, false, 2 },
	{ "set that grows", LINZ_SET, S_SET, F(READ) | F(ADD), false, false,
	    1 },
	{ "set", LINZ_SET, S_SET, F(READ) | F(ADD) | F(REMOVE), false, false,
	    2 },
	{ "log, distinct items", LINZ_LOG, S_LOG, F(READ) | F(APPEND), true,
	    false, 1 },
	{ "log with offsets", LINZ_LOG, S_LOG, F(READ) | F(APPEND), false,
	    true, 2 },
	{ "log", LINZ_LOG, S_LOG, F(READ) | F(APPEND), false, false, 1 },
	{ "multi-register", LINZ_MULTI_REGISTER, S_MULTI, F(TXN), false,
	    false, 1 },
};

static void
many(long count, uint64_t seed, const char *only)
{
	static const char *const levels[] = { "linearizable", "sequential",
	    "regular" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		kind = &kinds[i];
		if (only != NULL && strcmp(only, kind->name) != 0)
			continue;
		for (int level = 0; level < 3; level++) {
			int yes = 0;
			long n = 0;

			if (level == LINZ_REGULAR && (kind->shape != S_REG ||
			    (kind->fns & F(CAS)) != 0))
				continue;
			rng = seed * UINT64_C(0x9e3779b97f4a7c15) + i * 7 +
			    (uint64_t)level + 1;
			while (n < count && one((enum linz_level)level, &yes))
				n++;
			ok(n == count, "%s, %s: %ld histories agree with "
			    "brute force, seed %" PRIu64, kind->name,
			    levels[level], count, seed);
			printf("# %d have an order, %ld have none\n", yes,
			    n - yes);
		}
	}
}

/* --- the judges among themselves ----------------------------------------- */

/* 1 they agree, 0 they do not, -1 one of them did not say. */
static int
agree(int *yes)
{
	struct nop ops[OPS_MAX];
	struct op_history h;
	struct linz_result r = { 0 };
	struct linz_conf conf = { .model = kind->model };
	struct linz_limit limit = { MONO_NEVER, 64U << 20, 20000, 0, NULL };
	struct linz_out fast = { .want_order = true }, slow = fast;
	struct linz_bound b;
	struct linz_prob p;
	int cnt = generate(ops, OPS_MAX), rc;

	sort_ops(ops, cnt);
	convert(ops, cnt, &h);
	if (linz_bind(&h, &conf, &b, &r) == -1)
		tap_bail("linz_bind");
	p = (struct linz_prob){ .ops = b.ops, .cnt = b.cnt,
	    .keys = (uint32_t)b.keys, .model = b.model, .v = h.values };
	rc = linz_zone(&p, &fast);
	if (rc == 0)
		rc = linz_fifo(&p, &fast);
	if (rc == 0)
		rc = linz_slot(&p, &fast);
	if (rc == -1 || linz_search(&p, LINZ_LINEARIZABLE, &limit, &slow) ==
	    -1)
		tap_bail("judge");
	if (rc == 0 || slow.verdict == LINZ_UNKNOWN)
		rc = -1;
	else
		rc = fast.verdict == slow.verdict;
	*yes += rc == 1 && fast.verdict == LINZ_YES;
	r.order = calloc(OPS_MAX + 1, sizeof(*r.order));
	for (size_t i = 0; i < fast.order_cnt && r.order != NULL; i++)
		r.order[r.order_cnt++].op = b.ops[fast.order[i]].src;
	if (rc == 1 && fast.verdict == LINZ_YES && p.cnt > 0 &&
	    !order_good(ops, cnt, LINZ_LINEARIZABLE, &r))
		rc = 0;
	if (rc == 0) {
		printf("# fast %d, search %d\n", fast.verdict, slow.verdict);
		show(ops, cnt);
	}
	fast.want_order = slow.want_order = false;
	linz_out_release(&fast);
	linz_out_release(&slow);
	linz_bound_release(&b);
	linz_release(&r);
	op_history_release(&h);
	return rc;
}

static void
among(long count, uint64_t seed, const char *only)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		int yes = 0, rc = 1;
		long n = 0, open = 0;

		kind = &kinds[i];
		if ((only != NULL && strcmp(only, kind->name) != 0) ||
		    kind->keys > 1 || (!kind->distinct &&
		    kind->model != LINZ_SET))
			continue;
		rng = seed * UINT64_C(0xd1342543de82ef95) + i + 1;
		for (; n < count && rc != 0; n++) {
			rc = agree(&yes);
			open += rc == -1;
		}
		ok(rc != 0, "%s: fast judge and search agree on %ld longer "
		    "histories", kind->name, n - open);
		printf("# %d have an order\n", yes);
	}
}

/* --- windows of longer histories ----------------------------------------- */

static bool
window_of_long(int *no, int *cropped)
{
	struct nop ops[OPS_MAX];
	struct op_history h;
	struct linz_result r;
	struct linz_conf conf = { .model = kind->model,
	    .deadline = MONO_NEVER, .memory_max = 64U << 20,
	    .want_window = true };
	int cnt = generate(ops, OPS_MAX);
	bool good = true;

	sort_ops(ops, cnt);
	convert(ops, cnt, &h);
	if (linz_judge(&h, &conf, &r) == -1)
		tap_bail("linz_judge");
	if (r.verdict == LINZ_NO && r.window_cnt <= WINDOW_MAX) {
		++*no;
		*cropped += r.cropped;
		good = window_good(ops, LINZ_LINEARIZABLE, &r);
	}
	if (!good) {
		printf("# the window has an order%s:", r.cropped ?
		    " (from any value on)" : "");
		for (size_t i = 0; i < r.window_cnt; i++)
			printf(" %u%s", r.window[i].op + 1,
			    r.window[i].optional ? "?" : "");
		printf("\n");
		show(ops, cnt);
	}
	linz_release(&r);
	op_history_release(&h);
	return good;
}

static void
windows(long count, uint64_t seed, const char *only)
{
	int cropped = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		int no = 0;
		long n = 0;

		kind = &kinds[i];
		if (only != NULL && strcmp(only, kind->name) != 0)
			continue;
		rng = seed * UINT64_C(0xa0761d6478bd642f) + i + 1;
		while (n < count && window_of_long(&no, &cropped))
			n++;
		ok(n == count, "%s: what is left of %d longer histories has "
		    "no order by itself", kind->name, no);
	}
	if (only == NULL)
		ok(cropped > 0, "%d of these begin with any value", cropped);
}

int
main(int argc, char *argv[])
{
	long count = argc > 1 ? strtol(argv[1], NULL, 10) : 2000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	many(count, seed, argc > 3 ? argv[3] : NULL);
	among(count, seed, argc > 3 ? argv[3] : NULL);
	windows(count / 4 + 1, seed, argc > 3 ? argv[3] : NULL);
	return tap_end();
}
