/*
 * queue_index: ordered entries in LMDB, with a tag on each and a sum over all
 * that is state.
 *
 * LMDB is used without its own locks and without syncs: INDEX (an OFD lock)
 * keeps everybody apart, readers too, and after a reboot the file is thrown
 * away.  Within one boot its pages can still be damaged, by a flipped bit or a
 * copy; so every value carries a tag over key and value, the root carries the
 * sum of all tags of state entries (a checkpoint is only made when it agrees),
 * and a fault inside LMDB is caught and means the same: rebuild.
 */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "queue_priv.h"

#define MAP_SIZE	((size_t)64 << 30)
#define SMALL		(UINT64_C(256) << 10)	/* walked when opened */
#define RUN_TRIES	3
#define TAG		8U

/* --- faults inside LMDB -------------------------------------------------------- */

static _Thread_local sigjmp_buf fault_jump;
static _Thread_local volatile sig_atomic_t fault_armed;

static void
on_fault(int sig)
{
	if (fault_armed) {
		fault_armed = 0;
		siglongjmp(fault_jump, 1);
	}
	signal(sig, SIG_DFL);	/* not ours: the instruction faults again */
}

static void
on_assert(MDB_env *env, const char *msg)
{
	(void)env;
	(void)msg;
	if (fault_armed) {
		fault_armed = 0;
		siglongjmp(fault_jump, 1);
	}
}

static void
catch_faults(void)
{
	static bool done;
	struct sigaction sa = { .sa_handler = on_fault,
		.sa_flags = SA_NODEFER };

	if (done)
		return;
	done = true;
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

/* x, an LMDB call, or MDB_CORRUPTED if it faulted. */
#define GUARDED(rc, x) do {						\
	if (sigsetjmp(fault_jump, 0) != 0) {				\
		(rc) = MDB_PANIC;					\
	} else {							\
		fault_armed = 1;					\
		(rc) = (x);						\
		fault_armed = 0;					\
	}								\
} while (0)

void
index_broken(struct queue *q)
{
	q->idx.broken = true;
	errno = EBADMSG;
}

/* Errno for an LMDB code; what only damage explains is damage. */
static int
fail(struct queue *q, int rc)
{
	if (rc > 0)
		errno = rc;
	else if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL)
		errno = ENOSPC;
	else
		index_broken(q);
	return -1;
}

/* --- values ---------------------------------------------------------------------- */

static uint64_t
tag_of(const void *key, size_t key_len, const void *val, size_t val_len)
{
	return hash64(val, val_len, hash64(key, key_len, 0));
}

static bool
is_state(const void *key)
{
	const unsigned char *b = key;

	return b[0] >= 'A' && b[0] <= 'Z';
}

/* Layout: u32 words, u32 tail_len, words, tail, tag. */
static int
decode(struct queue *q, const MDB_val *key, const MDB_val *val,
    struct ival *v)
{
	const unsigned char *p = val->mv_data;
	size_t n, tail_len;

	if (val->mv_size < 8 + TAG || val->mv_size > 8 + TAG +
	    8 * IVAL_WORDS + IVAL_TAIL)
		goto bad;
	n = le_get32(p);
	tail_len = le_get32(p + 4);
	if (n > IVAL_WORDS || tail_len > IVAL_TAIL ||
	    val->mv_size != 8 + 8 * n + tail_len + TAG ||
	    le_get64(p + val->mv_size - TAG) != tag_of(key->mv_data,
	    key->mv_size, p, val->mv_size - TAG))
		goto bad;
	if (v == NULL)
		return 1;
	v->n = n;
	v->tail_len = tail_len;
	for (size_t i = 0; i < n; i++)
		v->w[i] = le_get64(p + 8 + 8 * i);
	for (size_t i = n; i < IVAL_WORDS; i++)
		v->w[i] = 0;
	memcpy(v->tail, p + 8 + 8 * n, tail_len);
	return 1;
bad:
	index_broken(q);
	return -1;
}

int
index_get(struct queue *q, const struct ikey *k, struct ival *v)
{
	struct ikey copy = *k;
	MDB_val key = { copy.len, copy.b }, val;
	int rc;

	GUARDED(rc, mdb_get(q->idx.txn, q->idx.dbi, &key, &val));
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return fail(q, rc);
	return decode(q, &key, &val, v);
}

/* Take the present entry's tag off the sum. */
static int
forget_tag(struct queue *q, MDB_val *key)
{
	MDB_val val;
	int rc;

	GUARDED(rc, mdb_get(q->idx.txn, q->idx.dbi, key, &val));
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return fail(q, rc);
	if (decode(q, key, &val, NULL) == -1)
		return -1;
	q->idx.root.sum -= le_get64((unsigned char *)val.mv_data +
	    val.mv_size - TAG);
	return 0;
}

int
index_raw_put(struct queue *q, const void *key, size_t key_len,
    const void *val, size_t val_len)
{
	unsigned char kb[sizeof(struct ikey)];
	MDB_val k = { key_len, kb }, v = { val_len, NULL };
	union { const void *c; void *p; } u = { .c = val };
	int rc;

	memcpy(kb, key, key_len);
	v.mv_data = u.p;
	if (is_state(key)) {
		if (forget_tag(q, &k) == -1)
			return -1;
		q->idx.root.sum += le_get64((const unsigned char *)val +
		    val_len - TAG);
	}
	GUARDED(rc, mdb_put(q->idx.txn, q->idx.dbi, &k, &v, 0));
	return rc == 0 ? 0 : fail(q, rc);
}

int
index_put(struct queue *q, const struct ikey *k, const struct ival *v)
{
	unsigned char raw[8 + 8 * IVAL_WORDS + IVAL_TAIL + TAG];
	size_t len = 8 + 8 * v->n + v->tail_len;

	le_put32(raw, (uint32_t)v->n);
	le_put32(raw + 4, (uint32_t)v->tail_len);
	for (size_t i = 0; i < v->n; i++)
		le_put64(raw + 8 + 8 * i, v->w[i]);
	memcpy(raw + 8 + 8 * v->n, v->tail, v->tail_len);
	le_put64(raw + len, tag_of(k->b, k->len, raw, len));
	return index_raw_put(q, k->b, k->len, raw, len + TAG);
}

int
index_del(struct queue *q, const struct ikey *k)
{
	struct ikey copy = *k;
	MDB_val key = { copy.len, copy.b };
	int rc;

	if (is_state(k->b) && forget_tag(q, &key) == -1)
		return -1;
	GUARDED(rc, mdb_del(q->idx.txn, q->idx.dbi, &key, NULL));
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc == 0 ? 1 : fail(q, rc);
}

static int
cursor(struct queue *q)
{
	int rc;

	if (q->idx.cur != NULL)
		return 0;
	GUARDED(rc, mdb_cursor_open(q->idx.txn, q->idx.dbi, &q->idx.cur));
	return rc == 0 ? 0 : fail(q, rc);
}

/* What the cursor found, if it still begins with the prefix. */
static int
found(struct queue *q, struct ikey *k, size_t prefix, MDB_val *key,
    MDB_val *val, struct ival *v)
{
	if (key->mv_size < prefix || key->mv_size > sizeof(k->b) ||
	    memcmp(key->mv_data, k->b, prefix) != 0)
		return 0;
	if (decode(q, key, val, v) == -1)
		return -1;
	memcpy(k->b, key->mv_data, key->mv_size);
	k->len = key->mv_size;
	return 1;
}

static int
move(struct queue *q, MDB_val *key, MDB_val *val, MDB_cursor_op op)
{
	int rc;

	GUARDED(rc, mdb_cursor_get(q->idx.cur, key, val, op));
	return rc;
}

int
index_seek(struct queue *q, struct ikey *k, size_t prefix, struct ival *v)
{
	struct ikey copy = *k;
	MDB_val key = { copy.len, copy.b }, val;
	int rc;

	if (cursor(q) == -1)
		return -1;
	rc = move(q, &key, &val, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return fail(q, rc);
	return found(q, k, prefix, &key, &val, v);
}

int
index_seek_back(struct queue *q, struct ikey *k, size_t prefix,
    struct ival *v)
{
	struct ikey copy = *k;
	MDB_val key = { copy.len, copy.b }, val;
	int rc;

	if (cursor(q) == -1)
		return -1;
	rc = move(q, &key, &val, MDB_SET_RANGE);
	if (rc == 0 && key.mv_size == k->len &&
	    memcmp(key.mv_data, k->b, k->len) == 0)
		return found(q, k, prefix, &key, &val, v);
	if (rc == MDB_NOTFOUND)
		rc = move(q, &key, &val, MDB_LAST);
	else if (rc == 0)
		rc = move(q, &key, &val, MDB_PREV);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return fail(q, rc);
	return found(q, k, prefix, &key, &val, v);
}

/* --- the root ----------------------------------------------------------------------- */

static void
root_key(struct ikey *k)
{
	ikey_init(k, 0);
}

static int
root_load(struct queue *q)
{
	struct ikey k;
	struct ival v = { .n = 0 };
	int got;

	root_key(&k);
	got = index_get(q, &k, &v);
	if (got == -1)
		return -1;
	if (got == 0 || v.n != ROOT_WORDS) {
		index_broken(q);
		return -1;
	}
	memcpy(&q->idx.root, v.w, sizeof(q->idx.root));
	if (q->idx.root.stamp != q->stamp) {
		index_broken(q);
		return -1;
	}
	return 0;
}

static int
root_save(struct queue *q)
{
	struct ikey k;
	struct ival v;

	root_key(&k);
	v.n = ROOT_WORDS;
	v.tail_len = 0;
	memcpy(v.w, &q->idx.root, sizeof(q->idx.root));
	return index_put(q, &k, &v);
}

/* --- walking all ------------------------------------------------------------------------ */

/* Hand over every state entry as it is; -1 when put says so. */
int
index_dump(struct queue *q, int (*put)(void *arg, const void *key,
    size_t key_len, const void *val, size_t val_len), void *arg)
{
	MDB_val key, val;
	uint64_t sum = 0;
	int rc;

	if (cursor(q) == -1)
		return -1;
	rc = move(q, &key, &val, MDB_FIRST);
	while (rc == 0) {
		if (key.mv_size == 0 || key.mv_size > sizeof(struct ikey) ||
		    decode(q, &key, &val, NULL) == -1) {
			index_broken(q);
			return -1;
		}
		if (is_state(key.mv_data)) {
			sum += le_get64((unsigned char *)val.mv_data +
			    val.mv_size - TAG);
			if (put != NULL && put(arg, key.mv_data, key.mv_size,
			    val.mv_data, val.mv_size) == -1)
				return -1;
		} else if (put != NULL && *(unsigned char *)key.mv_data > 'Z') {
			break;		/* views come last */
		}
		rc = move(q, &key, &val, MDB_NEXT);
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		return fail(q, rc);
	if (sum != q->idx.root.sum) {
		index_broken(q);
		return -1;
	}
	return 0;
}

int
index_check(struct queue *q)
{
	return index_dump(q, NULL, NULL);
}

/* --- opening ------------------------------------------------------------------------------- */

void
index_abort(struct queue *q)
{
	int rc = 0;

	if (q->idx.txn != NULL && !q->idx.broken)
		GUARDED(rc, (mdb_txn_abort(q->idx.txn), 0));
	(void)rc;
	q->idx.txn = NULL;
	q->idx.cur = NULL;
}

/* A broken one is left where it is: closing it might fault too.  It is kept in
 * sight, so that the leak checker does not take it for forgotten. */
static MDB_env *volatile left_alone[16];

void
index_close(struct queue *q)
{
	static _Atomic unsigned int cnt;
	const size_t most = sizeof(left_alone) / sizeof(left_alone[0]);

	index_abort(q);
	if (q->idx.env != NULL && !q->idx.broken)
		mdb_env_close(q->idx.env);
	else if (q->idx.env != NULL)
		left_alone[cnt++ % most] = q->idx.env;
	q->idx.env = NULL;
	q->idx.broken = false;
}

static int
env_open(struct queue *q, uint64_t gen, unsigned int flags)
{
	char path[64], full[4096];
	MDB_txn *txn = NULL;
	int rc, fd;

	catch_faults();
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%" PRIu64,
	    q->index_fd, gen);
	if (access("/proc/self/fd", X_OK) == 0) {
		snprintf(full, sizeof(full), "%s", path);
	} else if (snprintf(full, sizeof(full), "%s/index/%" PRIu64,
	    q->path, gen) >= (int)sizeof(full)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	GUARDED(rc, mdb_env_create(&q->idx.env));
	if (rc != 0)
		return fail(q, rc);
	mdb_env_set_mapsize(q->idx.env, MAP_SIZE);
	mdb_env_set_assert(q->idx.env, on_assert);
	GUARDED(rc, mdb_env_open(q->idx.env, full, MDB_NOSYNC | MDB_NOLOCK |
	    MDB_NOSUBDIR | MDB_NORDAHEAD | flags, q->file_mode));
	if (rc == 0 && mdb_env_get_fd(q->idx.env, &fd) == 0)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (rc == 0)
		GUARDED(rc, mdb_txn_begin(q->idx.env, NULL, 0, &txn));
	if (rc == 0)
		GUARDED(rc, mdb_dbi_open(txn, NULL, 0, &q->idx.dbi));
	if (rc == 0)
		GUARDED(rc, mdb_txn_commit(txn));
	else if (txn != NULL && rc != MDB_PANIC)
		mdb_txn_abort(txn);
	if (rc != 0)
		return fail(q, rc);
	q->idx.gen = gen;
	q->idx.broken = false;
	return 0;
}

int
index_open(struct queue *q)
{
	struct stat file;
	uint64_t gen = word_get(&q->ctl->index_gen);
	char name[24];

	snprintf(name, sizeof(name), "%" PRIu64, gen);
	if (fstatat(q->index_fd, name, &file, 0) == -1 || file.st_size == 0) {
		index_broken(q);
		return -1;
	}
	if (env_open(q, gen, 0) == -1)
		return -1;
	/* A file that ends early faults where it is looked at. */
	if ((uint64_t)file.st_size <= SMALL) {
		if (index_begin(q) == -1)
			return -1;
		if (index_check(q) == -1)
			return -1;
		index_abort(q);
	}
	return 0;
}

int
index_create(struct queue *q, uint64_t gen)
{
	char name[24];

	snprintf(name, sizeof(name), "%" PRIu64, gen);
	(void)unlinkat(q->index_fd, name, 0);
	if (env_open(q, gen, 0) == -1)
		return -1;
	if (fchmodat(q->index_fd, name, q->file_mode, 0) == -1 ||
	    (q->gid != (gid_t)-1 &&
	    fchownat(q->index_fd, name, (uid_t)-1, q->gid, 0) == -1))
		return -1;
	return 0;
}

static int
begin_only(struct queue *q)
{
	int rc;

	q->idx.cur = NULL;
	GUARDED(rc, mdb_txn_begin(q->idx.env, NULL, 0, &q->idx.txn));
	if (rc != 0) {
		q->idx.txn = NULL;
		return fail(q, rc);
	}
	return 0;
}

int
index_begin(struct queue *q)
{
	if (begin_only(q) == -1 || root_load(q) == -1)
		return -1;
	return 0;
}

int
index_commit(struct queue *q)
{
	int rc;

	if (groups_save(q) == -1 || root_save(q) == -1)
		return -1;
	GUARDED(rc, mdb_txn_commit(q->idx.txn));
	q->idx.txn = NULL;
	q->idx.cur = NULL;
	return rc == 0 ? 0 : fail(q, rc);
}

/* --- one change -------------------------------------------------------------------------------- */

/* The disk lost appended messages: what was said of them is void. */
static int
note_loss(struct queue *q)
{
	const struct wal_words *s = q->log.words;
	uint64_t lost_gen = word_get(&s->lost_gen), end, end_pos;
	int r = -1;

	if (lost_gen == q->idx.root.lost_gen)
		return 0;
	if (lock_take(&q->lock, LOCK_APPEND, q->patience) == -1)
		return -1;
	end = word_get(&s->tail_seq);
	end_pos = word_get(&s->tail);
	lock_drop(&q->lock, LOCK_APPEND);
	if (record_begin(q, J_CUT) == 0 && record_u64(q, end) == 0 &&
	    record_u64(q, end_pos) == 0 && record_u64(q, lost_gen) == 0) {
		record_end(q);
		r = record_commit(q);
	}
	return r;
}

/* Under INDEX: the right index, open, begun, and up to date. */
static int
prepare(struct queue *q)
{
	if (q->idx.env == NULL || q->idx.gen != word_get(&q->ctl->index_gen) ||
	    word_get(&q->ctl->index_bad) != 0) {
		index_close(q);
		if (word_get(&q->ctl->index_bad) != 0) {
			if (rebuild(q) == -1)
				return -1;
		} else if (index_open(q) == -1) {
			return -1;
		}
	}
	if (index_begin(q) == -1 || groups_load(q) == -1 ||
	    journal_redo(q) == -1)
		return -1;
	return note_loss(q);
}

/* Make a new one under a new number; whoever has the old one open sees it. */
static int
replace(struct queue *q)
{
	index_close(q);
	word_put(&q->ctl->index_bad, 1);
	return rebuild(q);
}

/*
 * Tell those who do not look into the index, and commit: whoever is killed in
 * between has told what the journal says, and the next applies it again.
 */
static int
finish(struct queue *q)
{
	uint64_t values[ATTR_CNT];
	bool changed = q->idx.attrs_changed;

	if ((changed && attrs_load(q, values) == -1) || view_trash(q) == -1)
		return -1;
	control_mirror(q, changed ? values : NULL);
	if (index_commit(q) == -1)
		return -1;
	q->idx.attrs_changed = false;
	return 0;
}

int
index_run(struct queue *q, int (*fn)(struct queue *q, void *arg), void *arg)
{
	uint64_t journaled;
	int r = -1, saved, tries;

	if (q->mode == QUEUE_READ && q->ctl_readonly) {
		errno = EACCES;
		return -1;
	}

	for (tries = 0; tries < RUN_TRIES; tries++) {
		if (word_get(&q->ctl->stamp) != q->stamp &&
		    recover(q, true) == -1)
			return -1;
		if (lock_take(&q->lock, LOCK_INDEX, q->patience) == -1)
			return -1;
		if (word_get(&q->ctl->stamp) != q->stamp) {
			lock_drop(&q->lock, LOCK_INDEX);
			continue;
		}
		q->rec.len = 0;		/* of what failed half-way */
		r = prepare(q);
		if (r == -1 && q->idx.broken && replace(q) == 0)
			r = prepare(q);
		journaled = word_get(&q->journal.words->tail);
		if (r != -1)
			r = fn(q, arg);
		saved = errno;
		journaled ^= word_get(&q->journal.words->tail);
		if (r == -1 || q->idx.broken || finish(q) == -1)
			index_abort(q);
		if (q->idx.broken) {
			/* What is journaled stands: the rebuild will know. */
			index_close(q);
			word_put(&q->ctl->index_bad, 1);
			lock_drop(&q->lock, LOCK_INDEX);
			if (r != -1 && journaled != 0)
				return r;
			continue;
		}
		/* Commit refused: only what was journaled did happen. */
		lock_drop(&q->lock, LOCK_INDEX);
		errno = saved;
		return r;
	}
	errno = EBADMSG;
	return -1;
}
