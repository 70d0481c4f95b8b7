/*
 * bitflip: damage every file of a small queue in every place, one at a time.
 *
 *   bitflip [options] flip SCENARIO   one bit
 *   bitflip [options] trim SCENARIO   the file ends early, at every length
 *   bitflip [options] grow SCENARIO   bytes behind its end
 *   bitflip [options] gone SCENARIO   the file is missing
 *
 *   -b dir    the programs (default build/bin)
 *   -n count  at most so many trials, the same number for each file
 *   -p part   only files whose path begins so
 *   -B        after another boot only; -S the same boot only (default: both)
 *   -j -s -k -d -m  as for powercut
 *
 * What is allowed depends on the file: in the log only the record that was
 * hit may be lost (from the hole on when the power went too, or the end is
 * missing); the journal and its checkpoints may cost a repeated delivery;
 * what is derived costs nothing.  No crash, no hang, nothing invented, and
 * the queue can be used afterwards.
 *
 * The queue is damaged where it was made and mended by writing back into the
 * same inodes, because what is derived is tied to them.
 * Exit status: 0 all good, 1 a rule was broken, 64 and more: the test itself.
 */

#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cutmodel.h"
#include "exits.h"
#include "scenario.h"
#include "trial.h"

#define SMALL	2048U		/* every bit of files up to this size */
#define TAILS	4

enum damage { FLIP, TRIM, GROW, GONE };

struct patient {		/* of one process */
	char arena[PATH_MAX], store[PATH_MAX];
	struct tree tree;
	struct world w;
};

struct lab {
	const char *bin, *keep, *part;
	char work[PATH_MAX];
	enum damage damage;
	bool other_boot, same_boot;
	uint64_t limit, seed;
	struct scenario sc;
	struct trials t;
	uint64_t *first;	/* trial number by file */
	uint64_t *share;	/* trials by file */
	size_t files;
	struct patient *p;
};

static uint64_t
mix(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* --- a queue that can be mended ----------------------------------------- */

static void
paths(const struct patient *p, const struct tree_node *n, size_t i,
    char live[PATH_MAX], char kept[PATH_MAX])
{
	char name[24];

	snprintf(name, sizeof(name), "%zu", i);
	path_join(live, p->arena, n->path);
	path_join(kept, p->store, name);
}

static struct patient *
admit(struct lab *b, const char *dir)
{
	struct patient *p = calloc(1, sizeof(*p));
	char live[PATH_MAX], kept[PATH_MAX];

	if (p == NULL)
		err(71, NULL);
	path_join(p->arena, dir, "arena");
	path_join(p->store, dir, "store");
	if (mkdir(p->arena, 0700) == -1 || mkdir(p->store, 0700) == -1)
		err(73, "%s", p->arena);
	world_init(&p->w, b->bin, p->arena);
	if (!scenario_run(&b->sc, &p->w))
		errx(1, "before any damage: %s", p->w.why);
	tree_read(&p->tree, p->arena);
	for (size_t i = 0; i < p->tree.cnt; i++) {
		if (!S_ISREG(p->tree.nodes[i].mode))
			continue;
		paths(p, &p->tree.nodes[i], i, live, kept);
		if (link(live, kept) == -1)
			err(73, "%s", kept);
	}
	return p;
}

static void
write_back(const char *path, const struct tree_node *n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1 || (n->len > 0 &&
	    pwrite(fd, n->data, n->len, 0) != (ssize_t)n->len) ||
	    ftruncate(fd, (off_t)n->len) == -1)
		err(71, "%s", path);
	close(fd);
}

static bool
known(const struct tree *t, const char *path)
{
	for (size_t i = 0; i < t->cnt; i++)
		if (strcmp(t->nodes[i].path, path) == 0)
			return true;
	return false;
}

static void
mend(struct patient *p)
{
	char live[PATH_MAX], kept[PATH_MAX];
	struct stat a, b;
	struct tree now;
	size_t i;

	tree_read(&now, p->arena);
	for (i = now.cnt; i > 0; i--) {
		if (known(&p->tree, now.nodes[i - 1].path))
			continue;
		path_join(live, p->arena, now.nodes[i - 1].path);
		if (unlink(live) == -1 && rmdir(live) == -1)
			err(71, "%s", live);
	}
	tree_release(&now);
	for (i = 0; i < p->tree.cnt; i++) {
		const struct tree_node *n = &p->tree.nodes[i];

		paths(p, n, i, live, kept);
		if (S_ISDIR(n->mode) && mkdir(live, n->mode & 07777) == -1 &&
		    errno != EEXIST)
			err(71, "%s", live);
		if (!S_ISREG(n->mode))
			continue;
		if (stat(kept, &a) == -1)
			err(71, "%s", kept);
		if (stat(live, &b) == -1 || a.st_ino != b.st_ino) {
			unlink(live);
			if (link(kept, live) == -1)
				err(71, "%s", live);
		}
		write_back(live, n);
	}
}

/* --- the rules ---------------------------------------------------------- */

static bool
below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	path = strchr(path, '/');	/* past the queue's own name */
	return path != NULL && strncmp(path + 1, dir, n) == 0 &&
	    (path[n + 1] == '\0' || path[n + 1] == '/');
}

static struct oracle_pardon
pardon_for(const struct lab *b, const char *path, bool rebooted)
{
	struct oracle_pardon pardon = { 0 };

	if (below(path, "log")) {
		pardon.lost = b->damage == GONE ? UINT32_MAX :
		    b->damage == GROW ? 0 : 1;
		pardon.lost_tail = b->damage == TRIM ||
		    (b->damage == FLIP && rebooted);
	} else if (below(path, "journal") || below(path, "state") ||
	    below(path, "acks")) {
		pardon.repeats = b->damage != GROW;
	}
	return pardon;
}

static bool
examine(struct lab *b, struct patient *p, const char *path, bool rebooted)
{
	struct oracle_pardon pardon = pardon_for(b, path, rebooted);
	int st = world_tool(&p->w, "qctl", "verify", p->w.queue);

	if (st == -1)
		return false;
	/* The header says what the queue is: refusing it whole is honest. */
	if (below(path, "queue") && (st == EX_DATAERR || st == EX_CONFIG ||
	    st == EX_NOINPUT))
		return true;
	if (!world_check(&p->w, NEVER - 1, CHECK_USE | CHECK_NO_VERIFY,
	    &pardon))
		return false;
	if (pardon.found_lost > 0 && st == 0) {
		snprintf(p->w.why, sizeof(p->w.why),
		    "a message was lost and qctl verify had found nothing");
		return false;
	}
	atomic_fetch_add(&b->t.sums->note[0], pardon.found_lost > 0);
	atomic_fetch_add(&b->t.sums->note[1], pardon.found_repeats > 0);
	atomic_fetch_add(&b->t.sums->note[2], st != 0);
	return true;
}

/* --- damage ------------------------------------------------------------- */

static uint64_t
places(const struct lab *b, const struct tree_node *n)
{
	if (b->part != NULL && strncmp(n->path, b->part,
	    strlen(b->part)) != 0)
		return 0;
	if (!S_ISREG(n->mode))
		return 0;
	switch (b->damage) {
	case FLIP:
		return n->len <= SMALL ? n->len * 8 : n->len;
	case TRIM:
		return n->len;
	case GROW:
		return TAILS;
	default:
		return 1;
	}
}

static void
tail(const struct tree_node *n, uint64_t place, unsigned char out[256],
    size_t *len)
{
	*len = 200;
	memset(out, place == 0 ? 0 : 0xff, 256);
	if (place == 2 && n->len >= 64) {	/* its own end once more */
		*len = n->len < 200 ? n->len : 200;
		memcpy(out, n->data + n->len - *len, *len);
	} else if (place >= 2) {
		for (size_t i = 0; i < *len; i++)
			out[i] = (unsigned char)mix(i);
	}
}

/* False: there is nothing to damage here. */
static bool
inflict(const struct lab *b, const struct patient *p, size_t file,
    uint64_t place, char *what, size_t what_len)
{
	const struct tree_node *n = &p->tree.nodes[file];
	char live[PATH_MAX], kept[PATH_MAX];
	unsigned char c, more[256];
	uint64_t off = place, bit = mix(b->seed ^ place) % 8;
	bool done = true;
	size_t len;
	int fd;

	paths(p, n, file, live, kept);
	snprintf(what, what_len, "%s gone", n->path);
	if (b->damage == GONE)
		return unlink(live) == 0;
	fd = open(live, O_RDWR | O_CLOEXEC);
	if (fd == -1)
		err(71, "%s", live);
	if (b->damage == GROW) {
		tail(n, place, more, &len);
		done = pwrite(fd, more, len, (off_t)n->len) == (ssize_t)len;
		snprintf(what, what_len, "%s with tail %" PRIu64, n->path,
		    place);
	} else if (b->damage == TRIM) {
		done = off < n->len && ftruncate(fd, (off_t)off) == 0;
		snprintf(what, what_len, "%s ends at %" PRIu64 " of %zu",
		    n->path, off, n->len);
	} else {
		if (n->len <= SMALL) {
			off = place / 8;
			bit = place % 8;
		}
		if (off < n->len) {
			c = n->data[off] ^ (unsigned char)(1U << bit);
			done = pwrite(fd, &c, 1, (off_t)off) == 1;
		} else {
			done = false;
		}
		snprintf(what, what_len, "%s byte %" PRIu64 " of %zu, bit %"
		    PRIu64, n->path, off, n->len, bit);
	}
	close(fd);
	return done;
}

static void
one_boot(struct lab *b, struct trials *t, size_t file, uint64_t place,
    bool rebooted)
{
	char what[PATH_MAX + 100], title[PATH_MAX + 200];
	struct patient *p = b->p;
	uint64_t boot = p->w.boot;

	mend(p);
	if (!inflict(b, p, file, place, what, sizeof(what)))
		return;
	p->w.boot = boot + (rebooted ? 100 : 0) - 1;
	world_reboot(&p->w);
	if (!examine(b, p, p->tree.nodes[file].path, rebooted)) {
		mend(p);
		inflict(b, p, file, place, what, sizeof(what));
		snprintf(title, sizeof(title), "%s, %s", what,
		    rebooted ? "another boot" : "same boot");
		trials_bad(t, title, p->w.why, p->arena);
	}
	p->w.boot = boot;
	atomic_fetch_add(&t->sums->done, 1);
}

static void
one(void *arg, struct trials *t, uint64_t i)
{
	struct lab *b = arg;
	uint64_t lo, hi, all, k;
	size_t file;

	if (b->p == NULL)
		b->p = admit(b, t->dir);
	for (file = 0; file + 1 < b->files && b->first[file + 1] <= i; file++)
		;
	if (file >= b->p->tree.cnt)
		return;
	k = i - b->first[file];
	all = places(b, &b->p->tree.nodes[file]);
	lo = k * all / b->share[file];
	hi = (k + 1) * all / b->share[file];
	if (hi > lo + 1)
		lo += mix(b->seed ^ i) % (hi - lo);
	if (lo >= all)
		return;
	if (!b->other_boot)
		one_boot(b, t, file, lo, false);
	if (!b->same_boot)
		one_boot(b, t, file, lo, true);
}

/* Trials for each file: all its places, or an equal share. */
static uint64_t
plan(struct lab *b)
{
	struct patient *p = admit(b, b->work);
	uint64_t left = b->limit, total = 0, all, fair;
	size_t i, n = 0;

	b->files = p->tree.cnt;
	b->first = reallocarray(NULL, b->files + 1, sizeof(*b->first));
	b->share = reallocarray(NULL, b->files + 1, sizeof(*b->share));
	if (b->first == NULL || b->share == NULL)
		err(71, NULL);
	for (i = 0; i < b->files; i++)
		n += places(b, &p->tree.nodes[i]) > 0;
	fair = b->limit == 0 || n == 0 ? UINT64_MAX : left / n + 1;
	for (i = 0; i < b->files; i++) {
		all = places(b, &p->tree.nodes[i]);
		b->first[i] = total;
		b->share[i] = all < fair ? all : fair;
		total += b->share[i];
		if (all > 0)
			printf("%s: %zu bytes, %" PRIu64 " of %" PRIu64
			    " places\n", p->tree.nodes[i].path,
			    p->tree.nodes[i].len, b->share[i], all);
	}
	tree_wipe(p->arena);
	tree_wipe(p->store);
	return total;
}

/* --- main --------------------------------------------------------------- */

static _Noreturn void
usage(void)
{
	fprintf(stderr, "usage: bitflip [-BS] [-b dir] [-n count] [-p part] "
	    "[-j n] [-s seed]\n\t[-k dir] [-d dir] [-m n] "
	    "flip|trim|grow|gone scenario\n");
	exit(64);
}

static uint64_t
natural(const char *text)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0')
		usage();
	return v;
}

static const char *
options(struct lab *b, int argc, char *argv[], unsigned int *jobs,
    uint64_t *bad_max)
{
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" :
	    getenv("TMPDIR");
	int ch;

	while ((ch = getopt(argc, argv, "+BSb:d:j:k:m:n:p:s:")) != -1) {
		switch (ch) {
		case 'B': b->other_boot = true; break;
		case 'S': b->same_boot = true; break;
		case 'b': b->bin = optarg; break;
		case 'd': dir = optarg; break;
		case 'j': *jobs = (unsigned int)natural(optarg); break;
		case 'k': b->keep = optarg; break;
		case 'm': *bad_max = natural(optarg); break;
		case 'n': b->limit = natural(optarg); break;
		case 'p': b->part = optarg; break;
		case 's': b->seed = natural(optarg); break;
		default: usage();
		}
	}
	if (*jobs == 0 || *bad_max == 0 || argc - optind != 2)
		usage();
	return dir == NULL ? "/tmp" : dir;
}

static char bin_path[PATH_MAX], *work_path;
static pid_t owner;

static void
clean_up(void)
{
	if (getpid() != owner)
		return;
	tree_wipe(work_path);
	rmdir(work_path);
}

int
main(int argc, char *argv[])
{
	static const char *const names[] = { "flip", "trim", "grow", "gone" };
	struct lab b = { .bin = "build/bin", .seed = 1 };
	unsigned int jobs = 2;
	uint64_t bad_max = 10, total;
	const char *dir = options(&b, argc, argv, &jobs, &bad_max);
	int i;

	for (i = 0; i < 4 && strcmp(argv[optind], names[i]) != 0; i++)
		;
	if (i == 4)
		usage();
	b.damage = (enum damage)i;
	if (realpath(b.bin, bin_path) == NULL)
		err(66, "%s", b.bin);
	b.bin = bin_path;
	scenario_load(&b.sc, argv[optind + 1]);
	snprintf(b.work, sizeof(b.work), "%s/bitflip.XXXXXX", dir);
	if (mkdtemp(b.work) == NULL)
		err(73, "%s", b.work);
	work_path = b.work;
	owner = getpid();
	atexit(clean_up);
	trials_init(&b.t, b.work, b.keep, jobs);
	b.t.bad_max = bad_max;
	total = plan(&b);
	trials_run(&b.t, total, one, &b);
	printf("%s: %" PRIu64 " tried, %" PRIu64 " found by verify, %" PRIu64
	    " cost a message, %" PRIu64 " a repeat, %" PRIu64 " bad\n",
	    names[i], atomic_load(&b.t.sums->done),
	    atomic_load(&b.t.sums->note[2]), atomic_load(&b.t.sums->note[0]),
	    atomic_load(&b.t.sums->note[1]), atomic_load(&b.t.sums->bad));
	return atomic_load(&b.t.sums->bad) > 0;
}
