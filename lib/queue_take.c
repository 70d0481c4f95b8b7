/*
 * queue_take: choose what can be taken, earliest first, and claim it.
 *
 * First what is ready below the cursor, by sequence number over all lanes;
 * then the log from the cursor on, where what cannot be taken is entered in
 * the views as the cursor passes it.  At most SCAN_STEP messages are passed,
 * or moved from waiting to ready as their time comes, in one transaction, so that nobody is
 * kept waiting by a long row of blocked ones.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "queue_priv.h"

#define SCAN_STEP	500
#define HEADS_MAX	(LANES + 1)
#define EXTENTS_MAX	20000U		/* in one claim */

struct head {
	struct entry e;
	unsigned int lane;
};

struct taking {
	uint32_t group;
	const struct queue_take *how;
	struct queue_claim *c;
	int64_t *again;
	/* of one transaction */
	struct group *g;
	uint64_t now, left, bytes_left;
	struct buf rows;		/* extents of the CLAIM record */
	uint64_t rows_cnt;
	struct buf doomed;		/* struct queue_extent: no tries left */
	uint64_t *keys;			/* taken by this claim, a hash table */
	size_t keys_cnt, keys_size;
	unsigned int passed;
	struct head heads[HEADS_MAX];
	size_t heads_cnt;
	bool more;
	bool first;			/* of this process: look at all holders */
};

/* --- keys of the claim ------------------------------------------------------- */

static uint64_t *
key_place(struct taking *t, uint64_t kh)
{
	size_t i = (size_t)kh & (t->keys_size - 1);

	while (t->keys[i] != 0 && t->keys[i] != kh)
		i = (i + 1) & (t->keys_size - 1);
	return &t->keys[i];
}

static bool
key_ours(struct taking *t, uint64_t kh)
{
	return t->keys_cnt > 0 && *key_place(t, kh) == kh;
}

static int
key_add(struct taking *t, uint64_t kh)
{
	uint64_t *old = t->keys, *p;
	size_t size = t->keys_size;

	if (t->keys_cnt * 2 >= size) {
		t->keys_size = size == 0 ? 64 : size * 2;
		t->keys = calloc(t->keys_size, sizeof(*t->keys));
		if (t->keys == NULL) {
			t->keys = old;
			t->keys_size = size;
			return -1;
		}
		for (size_t i = 0; i < size; i++)
			if (old[i] != 0)
				*key_place(t, old[i]) = old[i];
		free(old);
	}
	p = key_place(t, kh);
	if (*p == 0) {
		*p = kh;
		t->keys_cnt++;
	}
	return 0;
}

static bool
part_ok(const struct queue_take *how, uint64_t kh)
{
	return how->parts == 0 || kh == 0 ||
	    (kh % LANES) % how->parts == how->part - 1;
}

static bool
lane_ok(const struct queue_take *how, unsigned int lane)
{
	return how->parts == 0 || lane == 0 ||
	    (lane - 1) % how->parts == how->part - 1;
}

/* --- the claim -------------------------------------------------------------------- */

static int
add_extent(struct queue_claim *c, const struct queue_extent *x)
{
	struct queue_extent *last;

	if (c->extents_cnt > 0) {
		last = &c->extents[c->extents_cnt - 1];
		if (x->kh == 0 && last->kh == 0 && x->attempt == 1 &&
		    last->attempt == 1 && last->seq + last->count == x->seq &&
		    last->end <= x->pos) {
			last->count += x->count;
			last->end = x->end;
			return 0;
		}
	}
	if (c->extents_cnt == c->extents_cap) {
		size_t cap = c->extents_cap == 0 ? 4 : c->extents_cap * 2;

		last = reallocarray(c->extents, cap, sizeof(*last));
		if (last == NULL)
			return -1;
		c->extents = last;
		c->extents_cap = cap;
	}
	c->extents[c->extents_cnt++] = *x;
	return 0;
}

/* Are the messages settled one by one?  Then each has a row of its own. */
static bool
one_by_one(const struct taking *t)
{
	return t->how->run || t->how->lease_ns > 0;
}

static int
add_row(struct taking *t, const struct entry *e, uint64_t tries)
{
	uint64_t w[7] = { e->seq, e->count, e->pos, e->end, e->kh, e->due_ns,
		tries };
	unsigned char *last;

	/* A plain run goes on. */
	if (!one_by_one(t) && t->rows.len > 0 && e->kh == 0 && tries == 0 &&
	    e->due_ns == 0) {
		last = t->rows.data + t->rows.len - sizeof(w);
		if (le_get64(last + 32) == 0 && le_get64(last + 40) == 0 &&
		    le_get64(last + 48) == 0 &&
		    le_get64(last) + le_get64(last + 8) == e->seq &&
		    le_get64(last + 24) <= e->pos) {
			le_put64(last + 8, le_get64(last + 8) + e->count);
			le_put64(last + 24, e->end);
			return 0;
		}
	}
	for (size_t i = 0; i < 7; i++) {
		unsigned char raw[8];

		le_put64(raw, w[i]);
		if (buf_put(&t->rows, raw, sizeof(raw)) == -1)
			return -1;
	}
	t->rows_cnt++;
	return 0;
}

/* e is taken: into the record, the views, and the claim (or the doomed). */
static int
pick(struct queue *q, struct taking *t, const struct entry *e,
    uint64_t tries)
{
	struct queue_extent x = { e->seq, e->count, e->pos, e->end, e->kh,
		(uint32_t)tries + 1 };
	bool doomed = t->how->run && t->how->tries > 0 &&
	    tries >= t->how->tries;

	if (view_take(q, t->g, e) == -1 || add_row(t, e, tries) == -1 ||
	    (e->kh != 0 && key_add(t, e->kh) == -1))
		return -1;
	if (doomed)
		return buf_put(&t->doomed, &x, sizeof(x));
	t->left -= e->count;
	t->bytes_left -= e->end - e->pos < t->bytes_left ? e->end - e->pos :
	    t->bytes_left;
	t->c->messages += e->count;
	return add_extent(t->c, &x);
}

/* Of a run no more than may be taken. */
static int
shorten(struct queue *q, const struct taking *t, struct entry *e)
{
	uint64_t n = e->count;

	if (n > t->left)
		n = t->left;
	if (n == 0 || one_by_one(t))
		n = 1;
	if (n == e->count && e->end - e->pos <= t->bytes_left)
		return 0;
	e->count = n;
	return scan_to(q, e->seq, e->pos, &e->count, t->bytes_left,
	    &e->end);
}

static bool
full(const struct taking *t, const struct entry *e)
{
	if (t->left == 0 || t->c->extents_cnt >= EXTENTS_MAX)
		return true;
	return t->c->messages > 0 && e->end - e->pos > t->bytes_left;
}

/* --- below the cursor -------------------------------------------------------------- */

/* Fill in the first entry of the lane from seq on; 0: no more. */
static int
load_head(struct queue *q, struct taking *t, struct head *h, uint64_t seq)
{
	unsigned int lane = h->lane;
	int got = view_ready(q, t->g, &lane, seq, &h->e);

	return got == 1 ? lane == h->lane : got;
}

static int
load_heads(struct queue *q, struct taking *t)
{
	struct head *h = t->heads;
	unsigned int lane = 0;
	struct entry e;
	int got;

	t->heads_cnt = 0;
	while (t->g->ready > 0 && lane <= LANES &&
	    (got = view_ready(q, t->g, &lane, 0, &e)) != 0) {
		if (got == -1)
			return -1;
		if (lane_ok(t->how, lane)) {
			h->e = e;
			h->lane = lane;
			h++;
			t->heads_cnt++;
		}
		lane++;
	}
	return 0;
}

/* A stream goes on with what is parked behind the key's first message. */
static int
take_run(struct queue *q, struct taking *t, uint64_t kh, uint64_t seq)
{
	uint64_t tries, due;
	struct entry e;
	int got = 0;

	while (!t->how->single &&
	    (got = view_parked(q, t->g, kh, seq, &e)) == 1 &&
	    e.due_ns <= t->now && !full(t, &e)) {
		if (note_get(q, t->g, e.seq, &tries, &due) == -1 ||
		    pick(q, t, &e, tries) == -1)
			return -1;
		seq = e.seq + 1;
	}
	return got == -1 ? -1 : 0;
}

static int
take_ready(struct queue *q, struct taking *t)
{
	uint64_t tries, due;
	struct head *h;
	struct entry e;
	size_t i, at;
	int got;

	if (load_heads(q, t) == -1)
		return -1;
	while (t->heads_cnt > 0 && t->left > 0) {
		for (i = 1, at = 0; i < t->heads_cnt; i++)
			if (t->heads[i].e.seq < t->heads[at].e.seq)
				at = i;
		h = &t->heads[at];
		e = h->e;
		if (e.count > 1 && shorten(q, t, &e) == -1)
			return -1;
		if (full(t, &e))
			break;
		tries = 0;
		if (e.count == 1 && note_get(q, t->g, e.seq, &tries, &due) ==
		    -1)
			return -1;
		if (pick(q, t, &e, tries) == -1 ||
		    (e.kh != 0 && take_run(q, t, e.kh, e.seq + 1) == -1))
			return -1;
		got = load_head(q, t, h, e.seq + e.count);
		if (got == -1)
			return -1;
		if (got == 0)
			*h = t->heads[--t->heads_cnt];
	}
	return 0;
}

/* --- from the cursor on ------------------------------------------------------------------ */

/* May the message at the cursor be taken now? */
static int
takeable(struct queue *q, struct taking *t, const struct scanned *s)
{
	struct key_row row;
	int got;

	if (s->e.due_ns > t->now || !part_ok(t->how, s->e.kh))
		return 0;
	if (s->e.kh == 0)
		return 1;
	if ((got = key_get(q, t->g, s->e.kh, &row)) != 1)
		return got == 0;
	return !t->how->single && row.parked == 0 && row.leader == 0 &&
	    key_ours(t, s->e.kh);
}

static int
take_scanning(struct queue *q, struct taking *t)
{
	struct scanned s;
	int got, can;

	while (t->left > 0 && (got = scan_next(q, t->g, &s)) != 0) {
		if (got == -1 || (can = takeable(q, t, &s)) == -1)
			return -1;
		if (can == 1 && full(t, &s.e))
			return 0;
		if (can == 1) {
			if (pick(q, t, &s.e, s.tries) == -1)
				return -1;
		} else if (++t->passed > SCAN_STEP) {
			t->more = true;
			return 0;
		} else if (view_add(q, t->g, &s.e) == -1) {
			return -1;
		}
		scan_pass(t->g, &s);
	}
	return 0;
}

/* --- the record ------------------------------------------------------------------------------ */

static int
dead_record(struct queue *q, struct taking *t, const struct queue_extent *x)
{
	static const char why[] = "tries";

	if (record_begin(q, J_DEAD) == -1 ||
	    record_u64(q, t->group) == -1 || record_u64(q, x->seq) == -1 ||
	    record_u64(q, x->pos) == -1 || record_u64(q, x->end) == -1 ||
	    record_u64(q, x->kh) == -1 ||
	    record_u64(q, x->attempt - 1) == -1 ||
	    record_u64(q, (uint64_t)wall_now_ns()) == -1 ||
	    record_u64(q, (uint64_t)(int64_t)-SIGKILL) == -1 ||
	    record_bytes(q, why, sizeof(why)) == -1)
		return -1;
	record_end(q);
	return 0;
}

static int
claim_record(struct queue *q, struct taking *t)
{
	struct queue_claim *c = t->c;
	const struct queue_take *how = t->how;
	uint64_t deadline = 0;
	struct queue_extent x;
	int r;

	c->no = q->idx.root.next_claim;
	c->flags = (how->run ? CLAIM_RUN : 0) |
	    (how->at_most_once ? CLAIM_ACKED : 0);
	if (how->lease_ns > 0) {
		c->flags |= CLAIM_LEASE;
		deadline = (uint64_t)(boot_now_ns() + how->lease_ns);
	}
	if (record_begin(q, J_CLAIM) == -1 || record_u64(q, t->group) == -1 ||
	    record_u64(q, c->flags) == -1 || record_u64(q, c->no) == -1 ||
	    record_u64(q, c->holder) == -1 || record_u64(q, deadline) == -1 ||
	    record_u64(q, t->rows_cnt) == -1 ||
	    record_bytes(q, t->rows.data, t->rows.len) == -1)
		return -1;
	record_end(q);
	for (size_t i = 0; i < t->doomed.len / sizeof(x); i++) {
		memcpy(&x, t->doomed.data + i * sizeof(x), sizeof(x));
		if (dead_record(q, t, &x) == -1)
			return -1;
	}
	q->picked = true;
	r = record_commit(q);
	q->picked = false;
	return r;
}

/*
 * Nothing to take, nothing in flight, nothing delayed, but not all finished:
 * the index has lost something.  Once, it is made anew.
 */
static int
doubt(struct queue *q, struct taking *t)
{
	const struct group *g = t->g;

	if (q->doubted || g->in_flight > 0 || g->waiting > 0 ||
	    g->ready > 0 || g->parked > 0 || t->how->parts > 0 ||
	    g->cursor_pos < word_get(&q->log.words->visible) ||
	    g->finished >= g->cursor_seq)
		return 0;
	q->doubted = true;
	index_broken(q);
	return -1;
}

static int
compare_extents(const void *a, const void *b)
{
	const struct queue_extent *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* 1 taken; 0 nothing; 2 go on in another transaction. */
static int
take_fn(struct queue *q, void *arg)
{
	struct taking *t = arg;
	struct entry e;
	bool any;
	int got;

	t->c->extents_cnt = 0;
	t->c->messages = 0;
	t->rows.len = t->doomed.len = 0;
	t->rows_cnt = 0;
	t->keys_cnt = 0;
	if (t->keys_size > 0)
		memset(t->keys, 0, t->keys_size * sizeof(*t->keys));
	t->passed = 0;
	t->more = false;
	t->now = (uint64_t)wall_now_ns();
	t->left = t->how->max_messages;
	t->bytes_left = t->how->max_bytes;
	if (holder_sweep(q, t->first, &any) == -1)
		return -1;
	t->first = false;
	if ((t->g = group_find(q, t->group)) == NULL) {
		errno = ENOENT;
		return -1;
	}
	if (attr_now(q, ATTR_PAUSED) != 0)
		return 0;
	if (view_ripen(q, t->g, t->now, SCAN_STEP, &t->more) == -1)
		return -1;
	if (t->more)
		return 2;
	if (take_ready(q, t) == -1 || take_scanning(q, t) == -1)
		return -1;
	if (t->rows_cnt > 0) {
		if (t->c->extents_cnt > 1)
			qsort(t->c->extents, t->c->extents_cnt,
			    sizeof(*t->c->extents), compare_extents);
		if (claim_record(q, t) == -1)
			return -1;
		return t->c->extents_cnt > 0 ? 1 : 2;
	}
	if (t->more)
		return 2;
	/* What a holder had that has just died? */
	if (holder_sweep(q, true, &any) == -1)
		return -1;
	if (any)
		return 2;
	*t->again = 0;
	if (t->g->waiting > 0) {
		if ((got = view_waiting(q, t->g, 0, 0, &e)) == -1)
			return -1;
		if (got == 1)
			*t->again = (int64_t)e.due_ns;
	}
	return doubt(q, t);
}

static int
need_holder(struct queue *q, const struct queue_take *how,
    struct queue_claim *c)
{
	if (q->holder == 0 && how->lease_ns <= 0 &&
	    holder_make(q, HOLDER_PROCESS, &q->holder, &q->holder_fd) == -1) {
		q->holder = 0;
		return -1;
	}
	if (how->run)
		return holder_make(q, HOLDER_RUN, &c->holder, &c->holder_fd);
	if (how->lease_ns <= 0)
		c->holder = q->holder;
	return 0;
}

/* Acknowledged before delivery, but not on disk: nothing is delivered. */
static int
unack_fn(struct queue *q, void *arg)
{
	const struct queue_claim *c = arg;

	if (record_begin(q, J_UNACK) == -1 || record_u64(q, c->group) == -1 ||
	    record_u64(q, c->no) == -1)
		return -1;
	record_end(q);
	return record_commit(q);
}

int
queue_take(struct queue *q, uint32_t group, const struct queue_take *how,
    struct queue_claim *claim, int64_t *again_ns)
{
	struct taking *t;
	int r, saved;
	bool claimed;

	memset(claim, 0, sizeof(*claim));
	claim->group = group;
	claim->holder_fd = -1;
	*again_ns = 0;
	if (need_holder(q, how, claim) == -1)
		return -1;
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return -1;
	t->group = group;
	t->how = how;
	t->c = claim;
	t->again = again_ns;
	t->first = !q->took;
	q->took = true;
	while ((r = index_run(q, take_fn, t)) == 2)
		;
	claimed = r == 1;
	if (claimed && how->at_most_once && journal_sync(q) == -1) {
		saved = errno;
		if (index_run(q, unack_fn, claim) == 0)
			claimed = false;
		errno = saved;
		r = -1;
	}
	saved = errno;
	buf_release(&t->rows);
	buf_release(&t->doomed);
	free(t->keys);
	free(t);
	q->open_claims += claimed && claim->holder == q->holder;
	if (r == 1) {
		claim->at_pos = claim->extents[0].pos;
		claim->at_seq = claim->extents[0].seq;
		return 1;
	}
	/* A claim that stands keeps its FIFO: closed, it frees the key; gone,
	 * it would count as held. */
	if (how->run && !claimed)
		holder_end(q, claim->holder, -1);
	queue_claim_release(claim);
	errno = saved;
	return r;
}

void
queue_claim_release(struct queue_claim *c)
{
	int saved = errno;

	if (c->holder_fd != -1)
		close(c->holder_fd);
	c->holder_fd = -1;
	free(c->extents);
	c->extents = NULL;
	c->extents_cnt = c->extents_cap = 0;
	errno = saved;
}

/* --- reading what was taken ----------------------------------------------------------------- */

int
queue_claim_next(struct queue *q, struct queue_claim *c,
    struct queue_message *m)
{
	const struct queue_extent *x;
	struct wal_batch b;
	struct msg_head h;
	int got;

	while (c->at < c->extents_cnt) {
		x = &c->extents[c->at];
		if (c->at_seq < x->seq) {
			c->at_seq = x->seq;
			c->at_pos = x->pos;
		}
		got = c->at_pos >= x->end ? ITEM_NONE : msg_item(&q->data_rd,
		    &c->at_pos, x->end, &b, &h, m);
		if (got == -1)
			return -1;
		if (got == ITEM_NONE || (got == ITEM_MESSAGE &&
		    h.seq >= x->seq + x->count)) {
			c->at_seq = x->seq + x->count;
			c->at_pos = x->end;
			c->at++;
		} else if (got == ITEM_BATCH) {
			c->at_pos += WAL_BATCH_SIZE;
		} else if (got == ITEM_MESSAGE) {
			c->at_pos += h.size;
			if (h.seq < c->at_seq)
				continue;
			c->at_seq = h.seq + 1;
			m->attempt = x->attempt;
			return 1;
		}
	}
	return 0;
}
