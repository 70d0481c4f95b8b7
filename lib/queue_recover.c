/*
 * queue_recover: the first after a boot, and whoever needs a new index.
 *
 * After a boot the logs are read to where they end, new segments begin there,
 * and the journal says so before anything else: a BOOT record, on disk before
 * the queue is used, voids every claim and all that is said of messages that
 * did not survive.  It may be killed anywhere and is then done again.
 */

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc.h"
#include "fsdur.h"
#include "queue_priv.h"

/* A number for this boot and these files; never 0. */
uint64_t
boot_stamp(const struct queue *q)
{
	const char *set = getenv("DSUTILS_BOOT_ID");
	uint64_t words[8] = { 0 }, h;
	char id[64] = "";
	struct statx st;
	ssize_t n;
	int fd;

	if (set != NULL) {
		snprintf(id, sizeof(id), "%s", set);
	} else {
		fd = open("/proc/sys/kernel/random/boot_id",
		    O_RDONLY | O_CLOEXEC);
		n = fd == -1 ? 0 : read(fd, id, sizeof(id) - 1);
		if (n <= 0)	/* cannot tell: never the same again */
			arc4random_buf(id, sizeof(id) - 1);
		if (fd != -1)
			close(fd);
	}
	if (statx(q->dirfd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME,
	    &st) == 0) {
		words[0] = makedev(st.stx_dev_major, st.stx_dev_minor);
		words[1] = st.stx_ino;
		words[2] = (uint64_t)st.stx_btime.tv_sec;
		words[3] = st.stx_btime.tv_nsec;
	}
	if (statx(q->control_fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME,
	    &st) == 0) {
		words[4] = st.stx_ino;
		words[5] = (uint64_t)st.stx_btime.tv_sec;
		words[6] = st.stx_btime.tv_nsec;
	}
	h = hash64(words, sizeof(words), hash64(id, strlen(id), 0));
	return h == 0 ? 1 : h;
}

/* --- the index ------------------------------------------------------------------ */

static int
first_groups(struct queue *q)
{
	char *copy = strdup(q->first_groups), *name, *save = NULL;
	int r = 0;

	if (copy == NULL)
		return -1;
	for (name = strtok_r(copy, ",", &save); name != NULL && r == 0;
	    name = strtok_r(NULL, ",", &save))
		if (group_make(q, (uint32_t)q->idx.root.next_group++,
		    name) == NULL)
			r = -1;
	free(copy);
	return r;
}

static void
sweep_indexes(struct queue *q, uint64_t gen)
{
	char name[24];

	/* A process that slept through some is not followed for ever. */
	for (uint64_t old = gen; old-- > 0 && gen - old < 16; ) {
		snprintf(name, sizeof(name), "%" PRIu64, old);
		(void)unlinkat(q->index_fd, name, 0);
	}
}

static int
fill(struct queue *q)
{
	struct root *root = &q->idx.root;
	uint64_t stamp = q->stamp, applied = 0;
	int got;

	memset(root, 0, sizeof(*root));
	root->stamp = stamp;
	root->next_claim = root->next_group = root->next_view = 1;
	q->groups_cnt = 0;
	if ((got = checkpoint_load(q, &applied)) == -1)
		return -1;
	if (got == 0 && first_groups(q) == -1)
		return -1;
	if (got == 1 && groups_load(q) == -1)
		return -1;
	root->applied = applied;
	root->next_view += 1;
	for (size_t i = 0; i < q->groups_cnt; i++)
		if (view_reset(q, &q->groups[i]) == -1)
			return -1;
	return 0;
}

int
replay(struct queue *q, uint64_t gen)
{
	MDB_txn *txn = NULL;

	q->idx.broken = false;
	if (index_create(q, gen) == -1 ||
	    mdb_txn_begin(q->idx.env, NULL, 0, &txn) != 0)
		return -1;
	q->idx.txn = txn;
	q->idx.cur = NULL;
	if (fill(q) == -1 || index_commit(q) == -1 || index_begin(q) == -1 ||
	    groups_load(q) == -1)
		return -1;
	return journal_redo(q);
}

int
rebuild(struct queue *q)
{
	uint64_t gen = word_get(&q->ctl->index_gen) + 1;

	if (replay(q, gen) == -1 || index_commit(q) == -1)
		return -1;
	q->idx.attrs_changed = true;
	word_put(&q->ctl->index_gen, gen);
	word_put(&q->ctl->index_bad, 0);
	sweep_indexes(q, gen);
	return 0;
}

/* --- after a boot ------------------------------------------------------------------ */

/* What memory shows of the newest segment must be what the disk has. */
static int
sync_last(int dirfd)
{
	uint64_t *bases = NULL;
	size_t cnt = 0;
	char name[17];
	int fd = -1, r = 0, saved;

	if (wal_list(dirfd, &bases, &cnt) == -1)
		return -1;
	if (cnt > 0) {
		wal_name(bases[cnt - 1], name);
		fd = openat(dirfd, name, O_RDWR | O_CLOEXEC);
		r = fd == -1 ? -1 : fsdur_sync(fd);
	}
	saved = errno;
	free(bases);
	if (fd != -1)
		close(fd);
	errno = saved;
	return r;
}

void
dir_sweep(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] == '.' && e->d_name[1] != '\0' &&
		    e->d_name[1] != '.')
			(void)unlinkat(dirfd, e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	else if (fd != -1)
		close(fd);
}

static uint64_t
newest_checkpoint(struct queue *q)
{
	uint64_t *points = NULL, newest = 0;
	size_t cnt = 0;

	if (wal_list(q->state_fd, &points, &cnt) == 0 && cnt > 0)
		newest = points[cnt - 1];
	free(points);
	return newest;
}

/* Never the magic of a batch: that is how a record is told from one. */
static uint32_t
new_epoch(void)
{
	return arc4random() | 0x80000000U;
}

/* Where both logs end; their words are right afterwards. */
static int
recover_logs(struct queue *q, uint64_t *end_seq, uint64_t *end_pos)
{
	struct control *c = q->ctl;
	uint64_t log_floor = 0, journal_floor = 0, floor_seq = 0, seq, newest;

	/* What the page knew to be durable is durable, whenever it was. */
	if (word_get(&c->magic) == CONTROL_MAGIC) {
		if (wal_words_whole(&c->log)) {
			log_floor = word_get(&c->log.is.durable);
			floor_seq = word_get(&c->log.is.durable_seq);
		}
		if (word_get(&c->journal.is.durable) ==
		    ~word_get(&c->journal.not.durable))
			journal_floor = word_get(&c->journal.is.durable);
	}
	wal_release(&q->log);
	wal_release(&q->journal);
	if (sync_last(q->log_fd) == -1 || sync_last(q->journal_fd) == -1)
		return -1;
	if (wal_recover(&q->log, log_floor, 0, 0, new_epoch(), end_seq) ==
	    -1)
		return -1;
	/* What was durable is damaged or missing at its end: that messages
	 * were there is known, and their numbers are not given out again. */
	if (word_get(&q->log.words->tail) <= log_floor &&
	    *end_seq < floor_seq) {
		if (wal_begin(&q->log, log_floor, floor_seq, new_epoch()) ==
		    -1)
			return -1;
		*end_seq = floor_seq;
	}
	*end_pos = word_get(&q->log.words->tail);
	if (wal_recover(&q->journal, journal_floor, 0, 0, new_epoch(),
	    &seq) == -1)
		return -1;
	newest = newest_checkpoint(q);
	if (word_get(&q->journal.words->tail) < newest)
		return wal_begin(&q->journal, newest, seq, new_epoch());
	return 0;
}

static int
boot_record(struct queue *q, uint64_t end_seq, uint64_t end_pos)
{
	if (record_begin(q, J_BOOT) == -1 || record_u64(q, end_seq) == -1 ||
	    record_u64(q, end_pos) == -1 || record_u64(q, 0) == -1)
		return -1;
	record_end(q);
	return record_commit(q);
}

static int
recover_locked(struct queue *q, bool boot)
{
	struct control *c = q->ctl;
	uint64_t end_seq, end_pos, values[ATTR_CNT];

	if (boot) {
		dir_sweep(q->log_fd);
		dir_sweep(q->journal_fd);
		dir_sweep(q->state_fd);
	}
	if (recover_logs(q, &end_seq, &end_pos) == -1)
		return -1;
	index_close(q);
	if (boot) {
		word_put(&c->index_bad, 1);
		word_put(&c->linked, 0);
		word_put(&c->reclaim_at, 0);
	}
	word_put(&c->log.is.lost_gen, 0);
	word_put(&c->log.not.lost_gen, ~UINT64_C(0));
	word_put(&c->journal.is.lost_gen, 0);
	word_put(&c->journal.not.lost_gen, ~UINT64_C(0));
	word_put(&c->ids_end, end_pos);
	word_put(&c->checkpointed, newest_checkpoint(q));
	if (boot && freed_count(q) == -1)
		return -1;
	if ((boot || word_get(&c->index_bad) != 0 || index_open(q) == -1) &&
	    (index_close(q), rebuild(q)) == -1)
		return -1;
	if (index_begin(q) == -1 || groups_load(q) == -1 ||
	    journal_redo(q) == -1)
		return -1;
	if (boot && (boot_record(q, end_seq, end_pos) == -1 ||
	    q->idx.broken)) {
		errno = q->idx.broken ? EIO : errno;
		return -1;
	}
	if (attrs_load(q, values) == -1)
		return -1;
	control_mirror(q, values);
	if (index_commit(q) == -1)
		return -1;
	q->idx.attrs_changed = false;
	if (boot && (wal_commit_all(&q->journal) == -1 ||
	    holder_tidy(q, true) == -1))
		return -1;
	word_put(&c->magic, CONTROL_MAGIC);
	word_put(&c->stamp, q->stamp);
	return 0;
}

static bool
still_needed(const struct queue *q, bool boot)
{
	if (word_get(&q->ctl->magic) != CONTROL_MAGIC ||
	    word_get(&q->ctl->stamp) != q->stamp)
		return true;
	return !boot && !control_whole(q);
}

int
recover(struct queue *q, bool boot)
{
	/* As a committer takes them: who holds a commit lock may wait for
	 * the others. */
	static const unsigned int locks[] = { LOCK_LOG_COMMIT,
		LOCK_JOURNAL_COMMIT, LOCK_INDEX, LOCK_APPEND };
	size_t n;
	int r = 0, saved;

	for (n = 0; n < LOCK_MAX; n++)
		if (lock_take(&q->lock, locks[n], q->patience) == -1)
			break;
	if (n < LOCK_MAX)
		r = -1;
	else if (still_needed(q, boot))
		r = recover_locked(q, boot);
	saved = errno;
	if (r == -1)
		index_close(q);
	while (n-- > 0)
		lock_drop(&q->lock, locks[n]);
	if (r == 0)
		control_ring(q);
	errno = saved;
	return r;
}
