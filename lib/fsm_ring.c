/* fsm_ring: the last items of a numbered sequence: history, and records. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fsm_priv.h"

#define REPLY_CNT	1000		/* items in one reply */
#define REPLY_BYTES	(UINT64_C(1) << 20)
#define ITEM_COST	32

struct item *
ring_at(const struct ring *r, size_t i)
{
	assert(r->cap > 0);
	return &r->items[(r->head + i) % r->cap];
}

static uint64_t
cost(const struct item *it)
{
	return ITEM_COST + (it->key == NULL ? 0 : it->key->len) +
	    (it->value == NULL ? 0 : it->value->len);
}

static void
drop_first(struct ring *r)
{
	struct item *it = ring_at(r, 0);

	r->bytes -= cost(it);
	r->first = it->num + 1;
	blob_drop(it->key);
	blob_drop(it->value);
	r->head = (r->head + 1) % r->cap;
	r->cnt--;
}

void
ring_trim(struct ring *r, size_t cnt, uint64_t bytes)
{
	while (r->cnt > 0 && (r->cnt > cnt || r->bytes > bytes))
		drop_first(r);
}

static bool
grow(struct fsm *f, struct ring *r)
{
	size_t cap = r->cap == 0 ? 64 : r->cap * 2, i;
	struct item *items;

	if (r->cnt < r->cap)
		return true;
	if ((items = calloc(cap, sizeof(*items))) == NULL) {
		f->failed = true;
		return false;
	}
	for (i = 0; i < r->cnt; i++)
		items[i] = *ring_at(r, i);
	free(r->items);
	r->items = items;
	r->cap = cap;
	r->head = 0;
	return true;
}

void
ring_add(struct fsm *f, struct ring *r, uint64_t num, char kind,
    struct blob *key, struct blob *value)
{
	struct item *it;

	if (!grow(f, r)) {
		blob_drop(key);
		blob_drop(value);
		return;
	}
	it = ring_at(r, r->cnt++);
	*it = (struct item){ num, kind, key, value };
	r->bytes += cost(it);
}

void
ring_free(struct ring *r)
{
	while (r->cnt > 0)
		drop_first(r);
	free(r->items);
	memset(r, 0, sizeof(*r));
}

/* PROPOSE record ...: the number of the last one */
void
ring_propose(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct blob *b;
	size_t i;

	for (i = 1; i < argc; i++) {
		if (argv[i].len > FSM_VALUE_MAX) {
			fsm_error(f, out,
			    "TOOBIG a record has at most 1048576 bytes");
			return;
		}
	}
	for (i = 1; i < argc; i++) {
		if ((b = blob_new(f, argv[i].data, argv[i].len)) == NULL)
			return;
		ring_add(f, &f->records, f->next_record++, 'r', NULL, b);
	}
	ring_trim(&f->records, SIZE_MAX, f->limits.tail_bytes);
	(void)fsm_put(f, resp_int(out, (int64_t)f->next_record - 1));
}

/* RECOVERED: what was numbered by those who are lost is not numbered again. */
void
ring_recovered(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	size_t i;

	(void)argv;
	(void)argc;
	ring_trim(&f->history, 0, 0);
	f->rev += FSM_RECOVERED_JUMP;
	f->history.first = f->rev + 1;
	f->token += FSM_RECOVERED_JUMP;
	for (i = 0; i < f->records.cnt; i++)
		ring_at(&f->records, i)->num += FSM_RECOVERED_JUMP;
	f->records.first += FSM_RECOVERED_JUMP;
	f->next_record += FSM_RECOVERED_JUMP;
	(void)fsm_put(f, resp_int(out, (int64_t)f->rev));
}

struct ask {
	const struct ring *ring;
	uint64_t next;		/* the number the next item will have */
	const struct resp_arg *prefix;	/* or NULL: all */
	int64_t count;
	bool last;
};

static bool
wanted(const struct ask *a, const struct item *it)
{
	return a->prefix == NULL || (it->key->len >= a->prefix->len &&
	    memcmp(it->key->data, a->prefix->data, a->prefix->len) == 0);
}

static void
put_item(struct fsm *f, const struct item *it, struct buf *out)
{
	const char *kind = it->kind == 'p' ? "put" : it->kind == 'd' ? "del" :
	    "expire";

	if (it->kind == 'r') {
		if (fsm_put(f, resp_array(out, 2)) &&
		    fsm_put(f, resp_int(out, (int64_t)it->num)))
			(void)fsm_put(f, resp_bulk(out, it->value->data,
			    it->value->len));
		return;
	}
	if (!fsm_put(f, resp_array(out, 4)) ||
	    !fsm_put(f, resp_int(out, (int64_t)it->num)) ||
	    !fsm_put(f, resp_bulk(out, kind, strlen(kind))) ||
	    !fsm_put(f, resp_bulk(out, it->key->data, it->key->len)))
		return;
	if (it->value == NULL)
		(void)fsm_put(f, resp_nil(out));
	else
		(void)fsm_put(f, resp_bulk(out, it->value->data,
		    it->value->len));
}

/* [next, item ...] from *cursor on; numbers in a ring have no holes. */
static int
answer(struct fsm *f, const struct ask *a, uint64_t *cursor, struct buf *out)
{
	const struct ring *r = a->ring;
	struct buf found = { 0 };
	int64_t n = 0;

	if (*cursor < r->first) {
		(void)fsm_put(f, buf_printf(out, "-COMPACTED %llu is the "
		    "oldest\r\n", (unsigned long long)r->first));
		return 1;
	}
	for (; *cursor < a->next && n < a->count && found.len < REPLY_BYTES;
	    (*cursor)++) {
		const struct item *it = ring_at(r,
		    (size_t)(*cursor - r->first));

		if (!wanted(a, it))
			continue;
		put_item(f, it, &found);
		n++;
	}
	if (n == 0 && !a->last)
		return 0;
	if (fsm_put(f, resp_array(out, (size_t)n + 1)) &&
	    fsm_put(f, resp_int(out, (int64_t)*cursor)))
		(void)fsm_put(f, buf_put(out, found.data, found.len));
	buf_release(&found);
	return 1;
}

static int
ask(struct fsm *f, struct ask *a, const struct resp_arg *from,
    const struct resp_arg *ms, const struct resp_arg *count, uint64_t zero,
    uint64_t *cursor, struct buf *out)
{
	int64_t n, wait;

	a->count = REPLY_CNT;
	if (!fsm_number(from, 0, INT64_MAX - 1, &n) ||
	    !fsm_number(ms, 0, FSM_TTL_MAX, &wait) ||
	    (count != NULL && !fsm_number(count, 1, REPLY_CNT, &a->count))) {
		fsm_error(f, out,
		    "ERR value is not an integer or out of range");
		return 1;
	}
	if (*cursor == 0)
		*cursor = n == 0 ? zero : (uint64_t)n;
	return answer(f, a, cursor, out);
}

/* RWATCH prefix from ms [count]: changes from a revision on; 0: from now on */
int
ring_watch(struct fsm *f, const struct resp_arg *argv, size_t argc,
    uint64_t *cursor, bool last, struct buf *out)
{
	struct ask a = { &f->history, f->rev + 1, &argv[1], 0, last };

	return ask(f, &a, &argv[2], &argv[3], argc > 4 ? &argv[4] : NULL,
	    f->rev + 1, cursor, out);
}

/* TAIL from ms [count]: records; 0: from the oldest that is kept */
int
ring_tail(struct fsm *f, const struct resp_arg *argv, size_t argc,
    uint64_t *cursor, bool last, struct buf *out)
{
	struct ask a = { &f->records, f->next_record, NULL, 0, last };

	return ask(f, &a, &argv[1], &argv[2], argc > 3 ? &argv[3] : NULL,
	    f->records.first, cursor, out);
}
