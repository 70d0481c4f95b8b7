/*
 * queue_push: messages into the log.
 *
 * Without ids and without a limit per key nothing but the log is touched:
 * APPEND, one write, published; then the group commit.  With them the index
 * is asked, under INDEX and APPEND, what is there already.
 */

#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "fsdur.h"
#include "queue_priv.h"

#define RESERVE_LOOK_NS	INT64_C(1000000000)

/* --- limits ------------------------------------------------------------------- */

static uint64_t
used_messages(const struct queue *q)
{
	/* Finished first: the difference is never too small. */
	uint64_t finished = word_get(&q->ctl->now.finished);
	uint64_t dead = word_get(&q->ctl->now.dead);

	/* With what an atomic push has appended and not shown yet. */
	return (q->log.pending != 0 ? q->log.pending_seq :
	    word_get(&q->log.words->tail_seq)) - finished + dead;
}

static uint64_t
used_bytes(const struct queue *q)
{
	uint64_t freed = word_get(&q->ctl->freed_bytes);
	uint64_t tail = q->log.pending != 0 ? q->log.pending :
	    word_get(&q->log.words->tail);

	return tail > freed ? tail - freed : 0;
}

uint64_t
queue_room(struct queue *q)
{
	uint64_t max = attr_now(q, ATTR_MAX_MESSAGES), used;

	if (attr_now(q, ATTR_MAX_BYTES) != 0 &&
	    used_bytes(q) >= attr_now(q, ATTR_MAX_BYTES))
		return 0;
	if (max == 0)
		return UINT64_MAX;
	used = used_messages(q);
	return used < max ? max - used : 0;
}

/* Who was killed while giving back space may not have said so. */
static bool
bytes_full(struct queue *q, size_t len)
{
	uint64_t most = attr_now(q, ATTR_MAX_BYTES);

	return most != 0 && used_bytes(q) + len > most &&
	    (freed_count(q) == -1 || used_bytes(q) + len > most);
}

/* Under APPEND: may this batch be appended? */
static int
check_room(struct queue *q, const struct queue_batch *b, bool more)
{
	uint64_t most = attr_now(q, ATTR_MAX_MESSAGES);
	uint64_t most_bytes = attr_now(q, ATTR_MAX_BYTES);

	if (attr_now(q, ATTR_CLOSED) != 0) {
		errno = ESHUTDOWN;
		return -1;
	}
	if ((most != 0 && b->count > most) ||
	    (most_bytes != 0 && b->len > most_bytes)) {
		errno = EMSGSIZE;
		return -1;
	}
	if ((most != 0 && used_messages(q) + b->count > most) ||
	    bytes_full(q, b->len)) {
		/* What was appended of an atomic push would never go. */
		errno = more ? EMSGSIZE : EAGAIN;
		return -1;
	}
	return 0;
}

static int
check_reserve(struct queue *q)
{
	if (word_get(&q->ctl->no_space) == 0 &&
	    !mono_passed(q->reserve_next))
		return 0;
	q->reserve_next = mono_after(RESERVE_LOOK_NS);
	return reserve_fill(q);
}

/* --- appending --------------------------------------------------------------------- */

/* Under APPEND. */
static int
append(struct queue *q, struct queue_batch *b, int flags,
    struct queue_pushed *out)
{
	uint64_t at = q->log.pending != 0 ? q->log.pending :
	    word_get(&q->log.words->tail);
	struct wal_place place;

	control_count(q->ctl->pushed_rate,
	    word_get(&q->log.words->tail_seq));
	/* Before it can be seen: who is killed in between claims too much. */
	if ((b->flags & MSG_IDS) != 0 &&
	    word_get(&q->ctl->ids_end) < at + b->len)
		word_put(&q->ctl->ids_end, at + b->len);
	if (wal_append(&q->log, b->data, b->len - WAL_BATCH_SIZE, b->count,
	    b->flags | (flags & QUEUE_PUSH_MORE ? WAL_MORE : 0), &place) ==
	    -1)
		return -1;
	out->seq = place.seq;
	out->stored = b->count;
	out->lost_gen = place.lost_gen;
	if (out->end < place.end)
		out->end = place.end;
	if (flags & QUEUE_PUSH_NOSYNC)
		wal_show(&q->log, &place);
	return 0;
}

void
queue_push_abandon(struct queue *q)
{
	if (!q->append_held)
		return;
	wal_abandon(&q->log);
	q->append_held = false;
	lock_drop(&q->lock, LOCK_APPEND);
}

static int
push_plain(struct queue *q, struct queue_batch *b, int flags,
    struct queue_pushed *out)
{
	bool first = !q->append_held;
	int r, saved;

	if (first && lock_take(&q->lock, LOCK_APPEND, q->patience) == -1)
		return -1;
	r = check_room(q, b, !first);
	if (r == 0)
		r = append(q, b, flags, out);
	saved = errno;
	q->append_held = r == 0 && (flags & QUEUE_PUSH_MORE) != 0;
	if (r == -1 && !first)
		wal_abandon(&q->log);
	if (!q->append_held)
		lock_drop(&q->lock, LOCK_APPEND);
	errno = saved;
	return r;
}

/* --- with the index ------------------------------------------------------------------ */

struct seen {			/* ids or keys within the batch */
	uint64_t hash;
	const void *p;
	size_t len;
	uint64_t n;		/* number in the batch; or how many */
};

struct pushing {
	struct queue_batch *b;
	int flags;
	struct queue_pushed *out;
	uint64_t *seqs;
	bool unsynced;		/* the rest must be on disk first */
	bool done;		/* appended, whatever becomes of the index */
	struct seen *ids, *keys;	/* hash tables of `size` places */
	size_t size;
};

/* The place of the bytes in the table: empty (p NULL), or equal ones. */
static struct seen *
look_up(struct seen *t, size_t size, const void *p, size_t len)
{
	uint64_t h = hash64(p, len, 2);
	size_t i = (size_t)h & (size - 1);

	while (t[i].p != NULL && (t[i].hash != h || t[i].len != len ||
	    memcmp(t[i].p, p, len) != 0))
		i = (i + 1) & (size - 1);
	t[i].hash = h;
	t[i].len = len;
	return &t[i];
}

/* How many messages of the key are there, in the group that has most? */
static int
count_key(struct queue *q, uint64_t kh, uint64_t *cnt)
{
	struct key_row row;

	*cnt = 0;
	for (size_t i = 0; i < q->groups_cnt; i++) {
		if (key_get(q, &q->groups[i], kh, &row) == -1)
			return -1;
		row.claimed += row.parked + (row.leader != 0);
		if (*cnt < row.claimed)
			*cnt = row.claimed;
	}
	return 0;
}

/* Every group's cursor at the end: then the keys' counts are exact. */
static int
scan_all(struct queue *q)
{
	struct scanned s;
	int got;

	for (size_t i = 0; i < q->groups_cnt; i++) {
		while ((got = scan_next(q, &q->groups[i], &s)) == 1) {
			if (view_add(q, &q->groups[i], &s.e) == -1)
				return -1;
			scan_pass(&q->groups[i], &s);
		}
		if (got == -1)
			return -1;
	}
	return 0;
}

/* 1: a duplicate, of *seq. */
static int
duplicate(struct queue *q, struct pushing *p, const struct queue_message *m,
    uint64_t n, bool *inside, uint64_t *seq)
{
	struct seen *s;
	uint64_t end;
	int got;

	*inside = false;
	if (m->id == NULL || attr_now(q, ATTR_DEDUP_COUNT) == 0 ||
	    attr_now(q, ATTR_DEDUP_NS) == 0)
		return 0;
	if ((got = ids_find(q, m->id, m->id_len, seq, &end)) != 0) {
		if (got == 1 && p->out->end < end)
			p->out->end = end;
		return got;
	}
	s = look_up(p->ids, p->size, m->id, m->id_len);
	if (s->p != NULL) {
		*inside = true;
		*seq = s->n;
		return 1;
	}
	s->p = m->id;
	s->n = n;
	return 0;
}

static int
check_key(struct queue *q, struct pushing *p, const struct queue_message *m)
{
	uint64_t most = attr_now(q, ATTR_MAX_PER_KEY), cnt;
	struct seen *s;

	if (most == 0 || m->key == NULL)
		return 0;
	s = look_up(p->keys, p->size, m->key, m->key_len);
	if (s->p == NULL) {
		if (count_key(q, msg_key_hash(m->key, m->key_len), &cnt) ==
		    -1)
			return -1;
		s->p = m->key;
		s->n = cnt;
	}
	if (s->n >= most) {
		errno = EAGAIN;
		return -1;
	}
	s->n++;
	return 0;
}

/*
 * Decide for each message; keep[] gets the number among those kept, or
 * UINT64_MAX: seqs[] is then the original's, or (inside) its place in keep.
 */
static int
decide(struct queue *q, struct pushing *p, uint64_t *keep, bool *inside,
    uint32_t *kept)
{
	struct queue_message m;
	struct msg_head h;
	size_t off = WAL_BATCH_SIZE;
	int got;

	*kept = 0;
	for (uint32_t i = 0; i < p->b->count; i++) {
		if (msg_parse(p->b->data + off, p->b->len - off, &h, &m) ==
		    -1)
			return -1;
		got = duplicate(q, p, &m, *kept, &inside[i], &p->seqs[i]);
		if (got == -1)
			return -1;
		if (got == 0 && check_key(q, p, &m) == -1)
			return -1;
		keep[i] = got == 1 ? UINT64_MAX : (*kept)++;
		off += h.size;
	}
	return 0;
}

/* Close the gaps that duplicates leave in the batch. */
static void
squeeze(struct queue_batch *b, const uint64_t *keep, uint32_t kept)
{
	size_t from = WAL_BATCH_SIZE, to = WAL_BATCH_SIZE;
	struct queue_message m;
	struct msg_head h;

	for (uint32_t i = 0; i < b->count; i++) {
		if (msg_parse(b->data + from, b->len - from, &h, &m) == -1)
			break;
		if (keep[i] != UINT64_MAX) {
			memmove(b->data + to, b->data + from, h.size);
			to += h.size;
		}
		from += h.size;
	}
	b->len = to;
	b->count = kept;
}

static int
push_locked(struct queue *q, struct pushing *p)
{
	uint32_t cnt = p->b->count, kept;
	uint64_t *keep = calloc(cnt, sizeof(*keep));
	bool *inside = calloc(cnt, sizeof(*inside));
	int r = -1;

	if (keep == NULL || inside == NULL)
		goto out;
	if (check_room(q, p->b, false) == -1)
		goto out;
	if (ids_catch_up(q) == -1 || ids_expire(q) == -1 ||
	    (attr_now(q, ATTR_MAX_PER_KEY) != 0 && scan_all(q) == -1) ||
	    decide(q, p, keep, inside, &kept) == -1)
		goto out;
	p->out->stored = 0;
	if (kept > 0) {
		squeeze(p->b, keep, kept);
		if (append(q, p->b, p->flags, p->out) == -1)
			goto out;
	}
	for (uint32_t i = 0; i < cnt; i++)
		if (keep[i] != UINT64_MAX)
			p->seqs[i] = p->out->seq + keep[i];
		else if (inside[i])
			p->seqs[i] += p->out->seq;
	r = 0;
out:
	free(keep);
	free(inside);
	return r;
}

static int
push_fn(struct queue *q, void *arg)
{
	struct pushing *p = arg;
	int r, saved;

	if (p->done)
		return 0;
	if (lock_take(&q->lock, LOCK_APPEND, q->patience) == -1)
		return -1;
	p->unsynced = attr_now(q, ATTR_MAX_PER_KEY) != 0 &&
	    word_get(&q->log.words->visible) < word_get(&q->log.words->tail);
	p->out->end = 0;
	p->out->lost_gen = word_get(&q->log.words->lost_gen);
	memset(p->ids, 0, p->size * sizeof(*p->ids));
	memset(p->keys, 0, p->size * sizeof(*p->keys));
	r = p->unsynced ? 0 : push_locked(q, p);
	p->done = r == 0 && !p->unsynced;
	saved = errno;
	lock_drop(&q->lock, LOCK_APPEND);
	errno = saved;
	return r;
}

static int
push_indexed(struct queue *q, struct queue_batch *b, int flags,
    struct queue_pushed *out, uint64_t *seqs)
{
	struct pushing p = { .b = b, .flags = flags, .out = out, .seqs = seqs,
		.size = 16 };
	int r = -1;

	while (p.size < 2 * (size_t)b->count)
		p.size *= 2;
	p.ids = calloc(p.size, sizeof(*p.ids));
	p.keys = calloc(p.size, sizeof(*p.keys));
	p.seqs = seqs != NULL ? seqs : calloc(b->count, sizeof(*p.seqs));
	if (p.ids != NULL && p.keys != NULL && p.seqs != NULL) {
		while ((r = index_run(q, push_fn, &p)) != -1 && p.unsynced)
			if (wal_commit_all(&q->log) == -1) {
				r = -1;
				break;
			}
	}
	free(p.ids);
	free(p.keys);
	if (seqs == NULL)
		free(p.seqs);
	return r;
}

/* -1: let consumers see what killed producers left, or it is full for ever. */
static int
no_room(struct queue *q)
{
	int saved = errno;

	if (saved == EAGAIN)
		(void)wal_finish(&q->log);
	errno = saved;
	return -1;
}

int
queue_push(struct queue *q, struct queue_batch *b, int flags,
    struct queue_pushed *out, uint64_t *seqs)
{
	bool indexed = (b->flags & MSG_IDS) != 0 ||
	    ((b->flags & MSG_KEYED) != 0 &&
	    attr_now(q, ATTR_MAX_PER_KEY) != 0);
	uint32_t cnt = b->count;
	int r;

	memset(out, 0, sizeof(*out));
	if (cnt == 0 && !q->append_held)
		return 0;
	if (b->len == 0)	/* the end of an atomic push, with nothing */
		b->len = WAL_BATCH_SIZE;
	if (word_get(&q->ctl->stamp) != q->stamp && recover(q, true) == -1)
		return -1;
	if (check_reserve(q) == -1) {
		queue_push_abandon(q);
		return -1;
	}
	if (indexed) {
		if (q->append_held || (flags & QUEUE_PUSH_MORE)) {
			queue_push_abandon(q);
			errno = EOPNOTSUPP;
			return -1;
		}
		r = push_indexed(q, b, flags, out, seqs);
		return r == -1 ? no_room(q) : r;
	}
	r = push_plain(q, b, flags, out);
	if (r == -1)
		return no_room(q);
	for (uint32_t i = 0; r == 0 && seqs != NULL && i < cnt; i++)
		seqs[i] = out->seq + i;
	return r;
}

/* --- on stable storage ------------------------------------------------------------------ */

/* The queue's own name is in its parent directory, whoever made it. */
static int
link_name(struct queue *q)
{
	int fd, r, saved;

	if (word_get(&q->ctl->linked) != 0)
		return 0;
	fd = openat(q->dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	r = fsdur_sync_dir(q->dirfd) == -1 ? -1 : fsdur_sync_dir(fd);
	saved = errno;
	close(fd);
	errno = saved;
	if (r == 0)
		word_put(&q->ctl->linked, 1);
	return r;
}

int
queue_push_commit(struct queue *q, const struct queue_pushed *p)
{
	struct wal_place at = { .end = p->end, .lost_gen = p->lost_gen };

	if (link_name(q) == 0 && wal_commit(&q->log, &at) == 0)
		return 0;
	/* It was appended: whatever the reason, that it is there is open. */
	if (errno != ENOENT)
		errno = EIO;
	return -1;
}

/* --- waiting for room ------------------------------------------------------------------- */

void
queue_waiting(struct queue *q, bool on)
{
	if (on && q->waiting_id == 0) {
		if (holder_make(q, HOLDER_PRODUCER, &q->waiting_id,
		    &q->waiting_fd) == -1) {
			q->waiting_id = 0;
			q->waiting_fd = -1;
		}
	} else if (!on && q->waiting_id != 0) {
		holder_end(q, q->waiting_id, q->waiting_fd);
		q->waiting_id = 0;
		q->waiting_fd = -1;
	}
}
