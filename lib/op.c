/* op: one table of interned values; text and items lie in two arenas. */

#include "op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define PRINT_DEPTH	16

struct node {
	size_t off;			/* into text or items */
	uint32_t len;			/* bytes or items */
	uint32_t hash;
	enum op_kind kind;
};

struct op_values {
	struct node *nodes;
	size_t cnt, cap;
	uint32_t *slots;		/* id + 1, 0: free; 2^n of them */
	size_t slots_cnt;
	struct buf text;
	uint32_t *items;
	size_t items_cnt, items_cap;
};

struct op_values *
op_values_open(void)
{
	struct op_values *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->slots_cnt = 1024;
	v->cap = 512;
	v->slots = calloc(v->slots_cnt, sizeof(*v->slots));
	v->nodes = calloc(v->cap, sizeof(*v->nodes));
	if (v->slots == NULL || v->nodes == NULL) {
		op_values_close(v);
		return NULL;
	}
	v->nodes[0].kind = OP_KIND_NIL;
	v->cnt = 1;
	return v;
}

void
op_values_close(struct op_values *v)
{
	if (v == NULL)
		return;
	free(v->nodes);
	free(v->slots);
	free(v->items);
	buf_release(&v->text);
	free(v);
}

static int
grow(struct op_values *v)
{
	struct node *nodes;
	uint32_t *slots;
	size_t cnt;

	if (v->cnt >= UINT32_MAX - 1) {
		errno = EOVERFLOW;
		return -1;
	}
	if (v->cnt == v->cap) {
		nodes = reallocarray(v->nodes, v->cap * 2, sizeof(*nodes));
		if (nodes == NULL)
			return -1;
		v->nodes = nodes;
		v->cap *= 2;
	}
	if (v->cnt * 2 < v->slots_cnt)
		return 0;
	cnt = v->slots_cnt * 2;
	slots = calloc(cnt, sizeof(*slots));
	if (slots == NULL)
		return -1;
	for (size_t id = 1; id < v->cnt; id++) {
		size_t at = v->nodes[id].hash & (cnt - 1);

		while (slots[at] != 0)
			at = (at + 1) & (cnt - 1);
		slots[at] = (uint32_t)id + 1;
	}
	free(v->slots);
	v->slots = slots;
	v->slots_cnt = cnt;
	return 0;
}

/* Of a node that has any. */
static const void *
content(const struct op_values *v, const struct node *n)
{
	if (n->kind >= OP_LIST)
		return v->items + n->off;
	return v->text.data + n->off;	/* has its NUL at least */
}

/* The slot of this content: its id + 1, or 0 and where to put it. */
static size_t
lookup(const struct op_values *v, enum op_kind kind, const void *data,
    size_t len, size_t bytes, uint32_t hash)
{
	size_t at = hash & (v->slots_cnt - 1);
	const struct node *n;

	for (; v->slots[at] != 0; at = (at + 1) & (v->slots_cnt - 1)) {
		n = &v->nodes[v->slots[at] - 1];
		if (n->hash == hash && n->kind == kind && n->len == len &&
		    (bytes == 0 || memcmp(content(v, n), data, bytes) == 0))
			break;
	}
	return at;
}

static void
enter(struct op_values *v, size_t at, struct node n, uint32_t *id)
{
	*id = (uint32_t)v->cnt;
	v->nodes[v->cnt++] = n;
	v->slots[at] = *id + 1;
}

int
op_scalar(struct op_values *v, enum op_kind kind, const char *text, size_t len,
    uint32_t *id)
{
	uint32_t hash = (uint32_t)XXH3_64bits_withSeed(text, len, kind);
	struct node n;
	size_t at;

	if (len >= UINT32_MAX) {
		errno = EOVERFLOW;
		return -1;
	}
	at = lookup(v, kind, text, len, len, hash);
	if (v->slots[at] != 0) {
		*id = v->slots[at] - 1;
		return 0;
	}
	n = (struct node){ v->text.len, (uint32_t)len, hash, kind };
	if (grow(v) == -1 || buf_reserve(&v->text, len + 1) == -1)
		return -1;
	if (buf_put(&v->text, text, len) == -1 ||
	    buf_put_byte(&v->text, 0) == -1)
		return -1;
	at = lookup(v, kind, text, len, len, hash);
	enter(v, at, n, id);
	return 0;
}

int
op_compound(struct op_values *v, enum op_kind kind, const uint32_t *items,
    size_t cnt, uint32_t *id)
{
	size_t bytes = cnt * sizeof(*items), at, cap;
	uint32_t hash = (uint32_t)XXH3_64bits_withSeed(items, bytes, kind);
	uint32_t *p;

	if (cnt >= UINT32_MAX) {
		errno = EOVERFLOW;
		return -1;
	}
	at = lookup(v, kind, items, cnt, bytes, hash);
	if (v->slots[at] != 0) {
		*id = v->slots[at] - 1;
		return 0;
	}
	if (cnt > v->items_cap - v->items_cnt) {
		cap = v->items_cap * 2 + cnt + 64;
		p = reallocarray(v->items, cap, sizeof(*p));
		if (p == NULL)
			return -1;
		v->items = p;
		v->items_cap = cap;
	}
	if (grow(v) == -1)
		return -1;
	if (cnt > 0)
		memcpy(v->items + v->items_cnt, items, bytes);
	at = lookup(v, kind, items, cnt, bytes, hash);
	enter(v, at, (struct node){ v->items_cnt, (uint32_t)cnt, hash, kind },
	    id);
	v->items_cnt += cnt;
	return 0;
}

size_t
op_values_count(const struct op_values *v)
{
	return v->cnt;
}

size_t
op_values_size(const struct op_values *v)
{
	return v->cap * sizeof(*v->nodes) + v->slots_cnt * sizeof(*v->slots) +
	    v->text.cap + v->items_cap * sizeof(*v->items);
}

enum op_kind
op_kind(const struct op_values *v, uint32_t id)
{
	return v->nodes[id].kind;
}

const char *
op_text(const struct op_values *v, uint32_t id, size_t *len)
{
	const struct node *n = &v->nodes[id];

	if (n->kind == OP_KIND_NIL || n->kind >= OP_LIST) {
		*len = 0;
		return "";
	}
	*len = n->len;
	return (const char *)v->text.data + n->off;
}

const uint32_t *
op_items(const struct op_values *v, uint32_t id, size_t *cnt)
{
	const struct node *n = &v->nodes[id];

	if (n->kind < OP_LIST) {
		*cnt = 0;
		return NULL;
	}
	*cnt = n->len;
	return v->items == NULL ? NULL : v->items + n->off;
}

bool
op_is(const struct op_values *v, uint32_t id, const char *text)
{
	size_t len;
	const char *p = op_text(v, id, &len);

	return len == strlen(text) && memcmp(p, text, len) == 0;
}

/* Bytes of the printable character at p; 0 when it is none. */
static size_t
printable(const char *p, size_t len)
{
	unsigned char c = (unsigned char)*p;
	size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	uint32_t code = c & (0x3fU >> more);
	static const uint32_t least[] = { 0, 0xa0, 0x800, 0x10000 };

	if (c < 0x80)
		return c >= ' ' && c != 0x7f;
	if (c < 0xc2 || c > 0xf4 || len <= more)
		return 0;
	for (size_t i = 1; i <= more; i++) {
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	}
	if (code < least[more] || code > 0x10ffff ||
	    (code >= 0xd800 && code <= 0xdfff) ||	/* half of a pair */
	    (code >= 0x200b && code <= 0x200f) ||	/* no width, marks */
	    (code >= 0x2028 && code <= 0x202e) ||	/* direction, lines */
	    (code >= 0x2066 && code <= 0x2069) || code == 0xfeff)
		return 0;
	return more + 1;
}

static int
print_text(const char *p, size_t len, bool quoted, size_t end, struct buf *out)
{
	if (quoted && buf_put_byte(out, '"') == -1)
		return -1;
	for (size_t n; len > 0 && out->len < end; p += n, len -= n) {
		unsigned char c = (unsigned char)*p;
		int rc;

		n = printable(p, len);
		if (c == '\n' || c == '\t' || c == '\r')
			rc = buf_printf(out, "\\%c", c == '\n' ? 'n' :
			    c == '\t' ? 't' : 'r');
		else if (n == 0)
			rc = buf_printf(out, "\\x%02x", c);
		else if (quoted && (c == '"' || c == '\\'))
			rc = buf_printf(out, "\\%c", c);
		else
			rc = buf_put(out, p, n);
		if (rc == -1)
			return -1;
		n = n == 0 ? 1 : n;
	}
	if (len > 0)
		return buf_put_str(out, "...");
	return quoted ? buf_put_byte(out, '"') : 0;
}

static int
print(const struct op_values *v, uint32_t id, size_t end, int depth,
    struct buf *out)
{
	const struct node *n = &v->nodes[id];
	const char *brackets = n->kind == OP_MAP ? "{}" : "[]";
	size_t cnt;
	const uint32_t *items;

	switch (n->kind) {
	case OP_KIND_NIL:
		return buf_put_str(out, "nil");
	case OP_KEYWORD:
		if (buf_put_byte(out, ':') == -1)
			return -1;
		__attribute__((fallthrough));
	case OP_ATOM:
	case OP_STRING:
		return print_text((const char *)v->text.data + n->off, n->len,
		    n->kind == OP_STRING, end, out);
	case OP_LIST:
	case OP_MAP:
		break;
	}
	items = op_items(v, id, &cnt);
	if (buf_put_byte(out, (unsigned char)brackets[0]) == -1)
		return -1;
	for (size_t i = 0; items != NULL && i < cnt; i++) {
		if (i > 0 && buf_put_byte(out, ' ') == -1)
			return -1;
		if (out->len >= end || depth == 0) {
			if (buf_put_str(out, "...") == -1)
				return -1;
			break;
		}
		if (print(v, items[i], end, depth - 1, out) == -1)
			return -1;
	}
	return buf_put_byte(out, (unsigned char)brackets[1]);
}

int
op_print_text(const char *text, size_t len, bool quoted, size_t max,
    struct buf *out)
{
	return print_text(text, len, quoted, out->len + max, out);
}

int
op_print(const struct op_values *v, uint32_t id, size_t max, struct buf *out)
{
	return print(v, id, out->len + max, PRINT_DEPTH, out);
}

void
op_history_release(struct op_history *h)
{
	free(h->ops);
	op_values_close(h->values);
	*h = (struct op_history){ 0 };
}
