/*
 * cutmodel: from a log of operations to the trees a power cut may leave.
 *
 * The happy path: model_load() sorts the operations to the objects (inodes)
 * and directory changes they touch; model_build() finds what is pending at the
 * cut (not covered by a sync), asks the plan what becomes of each, then lays
 * the surviving entries and contents out as a tree.
 */

#include "cutmodel.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR		512U
#define PAGE		4096U
#define FULL_MAX	5	/* so many things pending: all subsets */
#define TORN_KINDS	9

struct fop {
	uint64_t seq, off, len;
	const unsigned char *data;
	enum crash_op op;
};

struct span {
	uint64_t done, start;
};

struct obj {
	uint64_t ino;
	mode_t mode;
	unsigned char *base;
	size_t base_len;
	struct fop *ops;
	size_t ops_cnt, ops_cap;
	struct span *syncs;
	size_t syncs_cnt, syncs_cap;
	unsigned char *now;	/* content at the end of loading */
	size_t now_len, now_cap;
};

struct dop {
	uint64_t seq;
	enum crash_op op;
	struct obj *dir, *dir2, *obj;
	char *name, *name2;
};

struct entry {
	struct obj *dir, *obj;
	const char *name;
};

enum fate { NONE, ALL, PREFIX, SUFFIX, TORN, SECTORS, PAGES };

struct unit {			/* something pending at a cut */
	struct obj *obj;	/* a file, or */
	size_t dop;		/* a change of an entry */
	size_t lo, hi;		/* the file's pending operations */
	enum fate fate;		/* dop: NONE or ALL */
	size_t arg;
	uint64_t seed;
	int size;		/* index of the size that survived, -1: fits */
};

struct model {
	struct obj **objs;
	size_t objs_cnt, objs_cap;
	struct dop *dops;
	size_t dops_cnt, dops_cap;
	struct entry *base;
	size_t base_cnt, base_cap;
	struct span *all;	/* sync(2) */
	size_t all_cnt, all_cap;
	const unsigned char *log;
	size_t log_len;
	size_t *recs;		/* offsets in the log, by seq; +1: idle */
	bool idle;		/* the record being loaded changes nothing */
	size_t recs_cnt, recs_cap;
	struct unit *units;	/* of the cut being worked on */
	size_t units_cnt, units_cap, files_cnt, derived_cnt;
};

#define PUSH(array, cnt, cap) grow((void **)&(array), &(cnt), &(cap),	\
    sizeof(*(array)))

static void
grow(void **array, size_t *cnt, size_t *cap, size_t size)
{
	if (*cnt == *cap) {
		*cap = *cap * 2 + 16;
		*array = reallocarray(*array, *cap, size);
		if (*array == NULL)
			err(71, NULL);
	}
	memset((char *)*array + *cnt * size, 0, size);
	(*cnt)++;
}

static uint64_t
mix(uint64_t *s)
{
	uint64_t z = *s += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* --- loading ------------------------------------------------------------ */

static struct obj *
obj_new(struct model *m, uint64_t ino, mode_t mode)
{
	struct obj *o = calloc(1, sizeof(*o));

	if (o == NULL)
		err(71, NULL);
	o->ino = ino;
	o->mode = mode;
	PUSH(m->objs, m->objs_cnt, m->objs_cap);
	m->objs[m->objs_cnt - 1] = o;
	return o;
}

static struct obj *
obj_find(const struct model *m, uint64_t ino)
{
	size_t i;

	for (i = m->objs_cnt; i > 0; i--)
		if (m->objs[i - 1]->ino == ino)
			return m->objs[i - 1];
	errx(70, "the log speaks of inode %llu, which nobody made",
	    (unsigned long long)ino);
}

static void
now_reach(struct obj *o, size_t len)
{
	if (len <= o->now_len)
		return;
	if (len > o->now_cap) {
		o->now_cap = len * 2;
		o->now = realloc(o->now, o->now_cap);
		if (o->now == NULL)
			err(71, NULL);
	}
	memset(o->now + o->now_len, 0, len - o->now_len);
	o->now_len = len;
}

static void
scan(struct model *m, struct obj *dir, const char *path)
{
	char sub[PATH_MAX];
	struct dirent *e;
	struct stat st;
	struct obj *o;
	DIR *d = opendir(path);
	int fd;

	if (d == NULL)
		err(71, "%s", path);
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		path_join(sub, path, e->d_name);
		if (lstat(sub, &st) == -1)
			err(71, "%s", sub);
		o = obj_new(m, st.st_ino, st.st_mode);
		PUSH(m->base, m->base_cnt, m->base_cap);
		m->base[m->base_cnt - 1] = (struct entry){ dir, o,
		    strdup(e->d_name) };
		if (S_ISDIR(st.st_mode)) {
			scan(m, o, sub);
		} else if (S_ISREG(st.st_mode)) {
			now_reach(o, (size_t)st.st_size);
			fd = open(sub, O_RDONLY | O_CLOEXEC);
			if (fd == -1 || pread(fd, o->now, o->now_len, 0) !=
			    (ssize_t)o->now_len)
				err(71, "%s", sub);
			close(fd);
			o->base = malloc(o->now_len + 1);
			if (o->base == NULL)
				err(71, NULL);
			if (o->now_len > 0)
				memcpy(o->base, o->now, o->now_len);
			o->base_len = o->now_len;
		}
	}
	closedir(d);
}

struct model *
model_begin(const char *arena)
{
	struct model *m = calloc(1, sizeof(*m));
	struct stat st;

	if (m == NULL || stat(arena, &st) == -1)
		err(71, "%s", arena);
	scan(m, obj_new(m, st.st_ino, st.st_mode), arena);
	return m;
}

static void
load_fop(struct model *m, const struct crash_rec *r,
    const unsigned char *data)
{
	struct obj *o = obj_find(m, r->ino);
	struct fop *f;

	if (r->op == CRASH_WRITE && (r->flags & CRASH_F_MAP) &&
	    r->off + r->len <= o->now_len &&
	    memcmp(o->now + r->off, data, r->len) == 0) {
		m->idle = true;	/* known from another process */
		return;
	}
	if (r->op == CRASH_WRITE || r->op == CRASH_ALLOC)
		now_reach(o, r->off + r->len);
	if (r->op == CRASH_WRITE)
		memcpy(o->now + r->off, data, r->len);
	if (r->op == CRASH_TRUNC && r->off < o->now_len)
		o->now_len = r->off;
	else if (r->op == CRASH_TRUNC)
		now_reach(o, r->off);
	PUSH(o->ops, o->ops_cnt, o->ops_cap);
	f = &o->ops[o->ops_cnt - 1];
	*f = (struct fop){ r->seq, r->off, r->len, data, r->op };
}

static void
load_dop(struct model *m, const struct crash_rec *r, const char *name,
    const char *name2)
{
	struct dop *d;
	struct obj *o;

	if (r->op == CRASH_CREATE || r->op == CRASH_MKDIR ||
	    r->op == CRASH_MKNOD)
		o = obj_new(m, r->ino, r->mode);
	else
		o = r->ino == 0 ? NULL : obj_find(m, r->ino);
	if (r->op == CRASH_CREATE && r->name_len == 0)
		return;
	PUSH(m->dops, m->dops_cnt, m->dops_cap);
	d = &m->dops[m->dops_cnt - 1];
	d->seq = r->seq;
	d->op = r->op;
	d->obj = o;
	if (r->name_len > 0) {
		d->dir = obj_find(m, r->dir);
		d->name = strndup(name, r->name_len);
	}
	if (r->name2_len > 0) {
		d->dir2 = obj_find(m, r->dir2);
		d->name2 = strndup(name2, r->name2_len);
	}
}

static void
load_rec(struct model *m, const struct crash_rec *r, const char *name)
{
	const char *name2 = name + r->name_len;
	const unsigned char *data = (const unsigned char *)name2 +
	    r->name2_len;
	struct obj *o;

	switch (r->op) {
	case CRASH_WRITE:
	case CRASH_TRUNC:
	case CRASH_ZERO:
	case CRASH_ALLOC:
		load_fop(m, r, data);
		break;
	case CRASH_SYNC:
		o = obj_find(m, r->ino);
		PUSH(o->syncs, o->syncs_cnt, o->syncs_cap);
		o->syncs[o->syncs_cnt - 1] = (struct span){ r->seq, r->start };
		break;
	case CRASH_SYNCALL:
		PUSH(m->all, m->all_cnt, m->all_cap);
		m->all[m->all_cnt - 1] = (struct span){ r->seq, r->start };
		break;
	case CRASH_OUT:
		break;
	default:
		load_dop(m, r, name, name2);
	}
}

void
model_load(struct model *m, const char *log)
{
	const struct crash_rec *r;
	struct stat st;
	size_t off;
	int fd = open(log, O_RDONLY | O_CLOEXEC);

	if (fd == -1 || fstat(fd, &st) == -1)
		err(71, "%s", log);
	m->log_len = (size_t)st.st_size;
	m->log = NULL;
	if (m->log_len > 0)
		m->log = mmap(NULL, m->log_len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (m->log == MAP_FAILED)
		err(71, "%s", log);
	close(fd);
	for (off = 0; off + sizeof(*r) <= m->log_len; off += r->size) {
		r = (const struct crash_rec *)(const void *)(m->log + off);
		if (r->magic != CRASH_MAGIC || r->seq != m->recs_cnt ||
		    r->size < sizeof(*r))
			errx(70, "%s: not a log at %zu", log, off);
		PUSH(m->recs, m->recs_cnt, m->recs_cap);
		m->idle = false;
		load_rec(m, r, (const char *)(r + 1));
		m->recs[m->recs_cnt - 1] = off | m->idle;
	}
}

void
model_free(struct model *m)
{
	size_t i;

	for (i = 0; i < m->objs_cnt; i++) {
		free(m->objs[i]->base);
		free(m->objs[i]->ops);
		free(m->objs[i]->syncs);
		free(m->objs[i]->now);
		free(m->objs[i]);
	}
	for (i = 0; i < m->dops_cnt; i++) {
		free(m->dops[i].name);
		free(m->dops[i].name2);
	}
	for (i = 0; i < m->base_cnt; i++)
		free((void *)(uintptr_t)m->base[i].name);
	if (m->log != NULL)
		munmap((void *)(uintptr_t)m->log, m->log_len);
	free(m->objs);
	free(m->dops);
	free(m->base);
	free(m->all);
	free(m->recs);
	free(m->units);
	free(m);
}

uint64_t
model_ops(const struct model *m)
{
	return m->recs_cnt;
}

const struct crash_rec *
model_rec(const struct model *m, uint64_t seq, const char **name,
    const char **name2, const unsigned char **data)
{
	const struct crash_rec *r;

	r = (const struct crash_rec *)(const void *)(m->log +
	    (m->recs[seq] & ~(size_t)1));
	*name = (const char *)(r + 1);
	*name2 = *name + r->name_len;
	*data = (const unsigned char *)*name2 + r->name2_len;
	return r;
}

/* --- in words ----------------------------------------------------------- */

static const char *const op_names[CRASH_OPS] = { "?", "write", "truncate",
    "punch", "allocate", "sync", "sync-all", "create", "mkdir", "mkfifo",
    "rename", "exchange", "link", "unlink", "rmdir", "output" };

/* The last name an inode was known by. */
static const char *
obj_name(const struct model *m, const struct obj *o)
{
	size_t i;

	for (i = m->dops_cnt; i > 0; i--) {
		const struct dop *d = &m->dops[i - 1];

		if (d->obj == o && d->name2 != NULL)
			return d->name2;
		if (d->obj == o && d->name != NULL)
			return d->name;
	}
	for (i = 0; i < m->base_cnt; i++)
		if (m->base[i].obj == o)
			return m->base[i].name;
	return ".";
}

void
model_show_op(const struct model *m, uint64_t seq, FILE *f)
{
	const char *name, *name2;
	const unsigned char *data;
	const struct crash_rec *r = model_rec(m, seq, &name, &name2, &data);

	fprintf(f, "%5llu %6d %s", (unsigned long long)seq, (int)r->pid,
	    r->op < CRASH_OPS ? op_names[r->op] : "?");
	if (r->op == CRASH_OUT)
		fprintf(f, " %llu bytes", (unsigned long long)r->len);
	else if (r->name_len == 0 && r->name2_len == 0 && r->ino != 0)
		fprintf(f, " %s", obj_name(m, obj_find(m, r->ino)));
	if (r->name_len > 0)
		fprintf(f, " %.*s", (int)r->name_len, name);
	if (r->name2_len > 0)
		fprintf(f, " -> %.*s", (int)r->name2_len, name2);
	if (r->op == CRASH_SYNC)
		fprintf(f, " (what was before %llu)",
		    (unsigned long long)r->start);
	else if (r->op >= CRASH_WRITE && r->op <= CRASH_ALLOC)
		fprintf(f, " at %llu, %llu bytes%s",
		    (unsigned long long)r->off, (unsigned long long)r->len,
		    r->flags & CRASH_F_MAP ? " (mapped)" : "");
	fputc('\n', f);
}

void
model_show(const struct model *m, FILE *f)
{
	uint64_t i;

	for (i = 0; i < m->recs_cnt; i++)
		model_show_op(m, i, f);
}

/* --- what is pending ---------------------------------------------------- */

/* Operations with a seq below this are durable at the cut. */
static uint64_t
durable(const struct model *m, const struct obj *o, uint64_t cut)
{
	uint64_t d = 0;
	size_t i;

	for (i = 0; i < o->syncs_cnt; i++)
		if (o->syncs[i].done < cut && o->syncs[i].start > d)
			d = o->syncs[i].start;
	for (i = 0; i < m->all_cnt; i++)
		if (m->all[i].done < cut && m->all[i].start > d)
			d = m->all[i].start;
	return d;
}

static size_t
ops_before(const struct obj *o, uint64_t seq)
{
	size_t i;

	for (i = 0; i < o->ops_cnt && o->ops[i].seq < seq; i++)
		;
	return i;
}

static bool
dop_durable(const struct model *m, const struct dop *d, uint64_t cut)
{
	return (d->dir != NULL && d->seq < durable(m, d->dir, cut)) ||
	    (d->dir2 != NULL && d->seq < durable(m, d->dir2, cut));
}

static bool
dop_same(const struct dop *a, const struct dop *b)
{
	const struct obj *ad[2] = { a->dir, a->dir2 };
	const struct obj *bd[2] = { b->dir, b->dir2 };
	const char *an[2] = { a->name, a->name2 };
	const char *bn[2] = { b->name, b->name2 };

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			if (ad[i] != NULL && ad[i] == bd[j] &&
			    strcmp(an[i], bn[j]) == 0)
				return true;
	return false;
}

/*
 * Units in this order: files somebody syncs, files nobody ever does (treated
 * as one by the plans), changes of entries by age.
 */
static void
find_units(struct model *m, uint64_t cut)
{
	struct unit *u;
	size_t i, lo, hi;

	m->units_cnt = m->derived_cnt = 0;
	for (int derived = 0; derived < 2; derived++) {
		for (i = 0; i < m->objs_cnt; i++) {
			struct obj *o = m->objs[i];

			if ((o->syncs_cnt == 0) != (derived != 0))
				continue;
			lo = ops_before(o, durable(m, o, cut));
			hi = ops_before(o, cut);
			if (lo >= hi)
				continue;
			PUSH(m->units, m->units_cnt, m->units_cap);
			u = &m->units[m->units_cnt - 1];
			*u = (struct unit){ .obj = o, .lo = lo, .hi = hi };
			m->derived_cnt += derived != 0;
		}
		if (derived == 0)
			m->files_cnt = m->units_cnt;
	}
	for (i = 0; i < m->dops_cnt && m->dops[i].seq < cut; i++) {
		if (dop_durable(m, &m->dops[i], cut))
			continue;
		PUSH(m->units, m->units_cnt, m->units_cap);
		m->units[m->units_cnt - 1] = (struct unit){ .dop = i };
	}
}

/* --- plans -------------------------------------------------------------- */

static size_t
things(const struct model *m)
{
	return m->units_cnt - m->derived_cnt + (m->derived_cnt > 0);
}

static size_t
entries(const struct model *m)
{
	return m->units_cnt - m->files_cnt - m->derived_cnt;
}

/* Fate of thing i: derived files count as one. */
static void
set_thing(struct model *m, size_t i, enum fate fate)
{
	size_t lo = i, n = 1, j;

	if (i >= m->files_cnt && m->derived_cnt > 0) {
		if (i == m->files_cnt)
			n = m->derived_cnt;
		else
			lo = i + m->derived_cnt - 1;
	}
	for (j = lo; j < lo + n; j++) {
		m->units[j].fate = fate;
		m->units[j].size = -1;
	}
}

static void
set_all(struct model *m, enum fate fate)
{
	for (size_t i = 0; i < m->units_cnt; i++) {
		m->units[i].fate = fate;
		m->units[i].size = -1;
	}
}

size_t
model_plans(struct model *m, uint64_t cut)
{
	size_t n;

	if (cut > 0 && (m->recs[cut - 1] & 1))
		return 0;
	find_units(m, cut);
	n = things(m);
	if (n <= FULL_MAX)
		return 2 + ((size_t)1 << n) + m->files_cnt * TORN_KINDS;
	return 2 + 2 * n + entries(m) + m->files_cnt * TORN_KINDS;
}

/* All the rest is kept; the file's last write is torn, or its size is off. */
static void
plan_torn(struct unit *u, size_t kind, uint64_t seed)
{
	static const size_t at[] = { 1, 2, 8, 16 };

	u->seed = seed;
	u->fate = TORN;
	u->size = -1;
	if (kind < 4) {			/* the first so many sectors came */
		u->arg = at[kind];
	} else if (kind == 4) {		/* all but the first */
		u->arg = SIZE_MAX;
	} else if (kind == 5) {		/* size without bytes */
		u->fate = NONE;
		u->size = (int)(u->hi - u->lo);
	} else if (kind == 6) {		/* bytes without size */
		u->fate = ALL;
		u->size = 0;
	} else {
		u->fate = kind == 7 ? SECTORS : PAGES;
		u->size = (int)(u->hi - u->lo);
	}
}

static void
plan_random(struct model *m, uint64_t seed)
{
	uint64_t s = seed, often;

	mix(&s);
	often = mix(&s) % 5;
	for (size_t i = 0; i < m->units_cnt; i++) {
		struct unit *u = &m->units[i];
		size_t p = u->hi - u->lo;

		u->size = -1;
		u->seed = mix(&s);
		if (u->obj == NULL) {
			u->fate = mix(&s) % 5 < often ? NONE : ALL;
			continue;
		}
		u->fate = (enum fate)(mix(&s) % 7);
		u->arg = 1 + mix(&s) % p;
		if (u->fate == TORN)
			u->arg = mix(&s) % 9 == 0 ? SIZE_MAX : mix(&s) % 20;
		if (u->fate >= SUFFIX && mix(&s) % 2 == 0)
			u->size = (int)(mix(&s) % 3 == 0 ? mix(&s) % (p + 1) :
			    p);
	}
}

/* Return false when plan is one of the drawn ones. */
static bool
plan_fixed(struct model *m, uint64_t plan, uint64_t seed)
{
	size_t n = things(m), i;

	set_all(m, plan == 1 ? NONE : ALL);
	if (plan < 2)
		return true;
	plan -= 2;
	if (n <= FULL_MAX) {
		if (plan < (uint64_t)1 << n) {
			for (i = 0; i < n; i++)
				set_thing(m, i, plan >> i & 1 ? ALL : NONE);
			return true;
		}
		plan -= (uint64_t)1 << n;
	} else {
		if (plan < n) {
			set_thing(m, plan, NONE);
			return true;
		}
		plan -= n;
		if (plan < n) {
			set_all(m, NONE);
			set_thing(m, plan, ALL);
			return true;
		}
		plan -= n;
		if (plan < entries(m)) {
			for (i = plan; i < entries(m); i++)
				m->units[m->units_cnt - entries(m) + i].fate =
				    NONE;
			return true;
		}
		plan -= entries(m);
	}
	if (plan >= m->files_cnt * TORN_KINDS)
		return false;
	plan_torn(&m->units[plan / TORN_KINDS], plan % TORN_KINDS, seed);
	return true;
}

/* A change of an entry needs those before it of the same name. */
static void
close_plan(struct model *m)
{
	size_t first = m->files_cnt + m->derived_cnt, i, j;

	for (i = first; i < m->units_cnt; i++)
		for (j = first; j < i && m->units[i].fate != NONE; j++)
			if (m->units[j].fate == NONE &&
			    dop_same(&m->dops[m->units[i].dop],
			    &m->dops[m->units[j].dop]))
				m->units[i].fate = NONE;
}

/* --- contents ----------------------------------------------------------- */

struct content {
	unsigned char *data;
	size_t max;		/* the longest it ever was */
	uint32_t *ver;		/* by sector: pending operations that count */
};

static size_t
end_of(const struct fop *f)
{
	return f->op == CRASH_TRUNC ? f->off : f->op == CRASH_ZERO ? 0 :
	    f->off + f->len;
}

static void
apply_range(struct content *c, const struct fop *f, size_t lo, size_t hi)
{
	if (f->op == CRASH_WRITE)
		memcpy(c->data + lo, f->data + (lo - f->off), hi - lo);
	else
		memset(c->data + lo, 0, hi - lo);
}

/* i: index among the pending, or -1 for an operation known to be durable. */
static void
apply(struct content *c, const struct fop *f, long i)
{
	size_t lo = f->off, hi, s, a, b;

	hi = f->op == CRASH_TRUNC ? c->max : f->off + f->len;
	if (f->op == CRASH_ALLOC)
		return;
	if (hi > c->max)
		hi = c->max;
	if (lo >= hi)
		return;
	if (i < 0) {
		apply_range(c, f, lo, hi);
		return;
	}
	for (s = lo / SECTOR; s * SECTOR < hi; s++) {
		if (c->ver[s] <= (uint32_t)i)
			continue;
		a = s * SECTOR < lo ? lo : s * SECTOR;
		b = (s + 1) * SECTOR > hi ? hi : (s + 1) * SECTOR;
		apply_range(c, f, a, b);
	}
}

static void
touched(const struct content *c, const struct fop *f, size_t *lo, size_t *hi)
{
	size_t end = f->op == CRASH_TRUNC ? c->max : f->off + f->len;

	if (end > c->max)
		end = c->max;
	*lo = f->off / SECTOR;
	*hi = f->off >= end ? *lo : (end + SECTOR - 1) / SECTOR;
}

static void
choose_versions(struct content *c, const struct unit *u)
{
	size_t p = u->hi - u->lo, n = c->max / SECTOR + 1, s, i, lo, hi, per;
	const struct fop *ops = u->obj->ops + u->lo;
	uint64_t seed = u->seed, v;

	for (s = 0; s < n; s++)
		c->ver[s] = (uint32_t)(u->fate == NONE || u->fate == SUFFIX ?
		    0 : u->fate == PREFIX ? u->arg : p);
	if (u->fate == SUFFIX) {
		for (i = u->arg; i < p; i++) {
			touched(c, &ops[i], &lo, &hi);
			for (s = lo; s < hi; s++)
				c->ver[s] = (uint32_t)p;
		}
	} else if (u->fate == TORN) {
		touched(c, &ops[p - 1], &lo, &hi);
		if (u->arg == SIZE_MAX)
			hi = lo + 1;
		else
			lo += u->arg;
		for (s = lo; s < hi; s++)
			c->ver[s] = (uint32_t)(p - 1);
	} else if (u->fate == SECTORS || u->fate == PAGES) {
		per = u->fate == PAGES ? PAGE / SECTOR : 1;
		for (s = 0; s < n; s += per) {
			v = mix(&seed);
			v = v % 3 == 0 ? 0 : v % 3 == 1 ? p : v / 3 % (p + 1);
			for (i = s; i < s + per && i < n; i++)
				c->ver[i] = (uint32_t)v;
		}
	}
}

/* A size that was cut takes whole pages with it, one that was not cannot. */
static void
bind_to_size(struct content *c, const struct unit *u, size_t size_ver)
{
	size_t p = u->hi - u->lo, i, s;

	for (i = 0; i < p; i++) {
		const struct fop *f = &u->obj->ops[u->lo + i];

		if (f->op != CRASH_TRUNC)
			continue;
		s = (f->off + PAGE - 1) / PAGE * (PAGE / SECTOR);
		for (; s <= c->max / SECTOR; s++) {
			if (size_ver > i && c->ver[s] <= i)
				c->ver[s] = (uint32_t)i + 1;
			else if (size_ver <= i && c->ver[s] > i)
				c->ver[s] = (uint32_t)i;
		}
	}
}

static size_t
size_after(const struct obj *o, size_t ops)
{
	size_t size = o->base_len, i, end;

	for (i = 0; i < ops; i++) {
		end = end_of(&o->ops[i]);
		if (o->ops[i].op == CRASH_TRUNC || end > size)
			size = end;
	}
	return size;
}

static size_t
size_version(const struct unit *u)
{
	size_t p = u->hi - u->lo;

	if (u->size >= 0)
		return (size_t)u->size > p ? p : (size_t)u->size;
	switch (u->fate) {
	case NONE:
		return 0;
	case PREFIX:
		return u->arg;
	default:
		return p;
	}
}

static void
build_file(const struct obj *o, uint64_t cut, const struct unit *u,
    struct tree_node *n)
{
	size_t lo = u != NULL ? u->lo : ops_before(o, cut), i, size_ver;
	struct content c = { .max = o->base_len };

	for (i = 0; i < o->ops_cnt && o->ops[i].seq < cut; i++)
		if (end_of(&o->ops[i]) > c.max)
			c.max = end_of(&o->ops[i]);
	c.data = calloc(1, c.max + 1);
	if (c.data == NULL)
		err(71, NULL);
	if (o->base_len > 0)
		memcpy(c.data, o->base, o->base_len);
	for (i = 0; i < lo; i++)
		apply(&c, &o->ops[i], -1);
	n->len = size_after(o, lo);
	if (u != NULL) {
		c.ver = calloc(c.max / SECTOR + 1, sizeof(*c.ver));
		if (c.ver == NULL)
			err(71, NULL);
		choose_versions(&c, u);
		size_ver = size_version(u);
		bind_to_size(&c, u, size_ver);
		for (i = u->lo; i < u->hi; i++)
			apply(&c, &o->ops[i], (long)(i - u->lo));
		n->len = size_after(o, u->lo + size_ver);
		free(c.ver);
	}
	n->data = c.data;
}

/* --- entries ------------------------------------------------------------ */

struct table {
	struct entry *e;
	size_t cnt, cap;
};

static void
table_set(struct table *t, struct obj *dir, const char *name, struct obj *o)
{
	size_t i;

	for (i = 0; i < t->cnt; i++)
		if (t->e[i].dir == dir && strcmp(t->e[i].name, name) == 0)
			break;
	if (i == t->cnt)
		PUSH(t->e, t->cnt, t->cap);
	t->e[i] = (struct entry){ dir, o, name };
}

static struct obj *
table_get(const struct table *t, const struct obj *dir, const char *name)
{
	size_t i;

	for (i = 0; i < t->cnt; i++)
		if (t->e[i].dir == dir && strcmp(t->e[i].name, name) == 0)
			return t->e[i].obj;
	return NULL;
}

static void
apply_dop(struct table *t, const struct dop *d)
{
	struct obj *o;

	switch (d->op) {
	case CRASH_RENAME:
		table_set(t, d->dir, d->name, NULL);
		table_set(t, d->dir2, d->name2, d->obj);
		break;
	case CRASH_EXCHANGE:
		o = table_get(t, d->dir2, d->name2);
		table_set(t, d->dir2, d->name2, table_get(t, d->dir, d->name));
		table_set(t, d->dir, d->name, o);
		break;
	case CRASH_LINK:
		table_set(t, d->dir2, d->name2, d->obj);
		break;
	case CRASH_UNLINK:
	case CRASH_RMDIR:
		table_set(t, d->dir, d->name, NULL);
		break;
	default:
		table_set(t, d->dir, d->name, d->obj);
	}
}

static void
emit(const struct model *m, const struct table *t, const struct obj *dir,
    const char *prefix, uint64_t cut, struct tree *out, int depth)
{
	char path[PATH_MAX];
	struct tree_node *n;
	size_t i, j;

	for (i = 0; i < t->cnt; i++) {
		const struct entry *e = &t->e[i];

		if (e->dir != dir || e->obj == NULL || depth > 16)
			continue;
		path_join(path, prefix, e->name);
		PUSH(out->nodes, out->cnt, out->cap);
		n = &out->nodes[out->cnt - 1];
		n->path = strdup(path + 1);
		n->mode = e->obj->mode;
		if (S_ISREG(n->mode)) {
			for (j = 0; j < m->files_cnt + m->derived_cnt; j++)
				if (m->units[j].obj == e->obj)
					break;
			build_file(e->obj, cut, j < m->files_cnt +
			    m->derived_cnt ? &m->units[j] : NULL, n);
		} else if (S_ISDIR(n->mode)) {
			emit(m, t, e->obj, path, cut, out, depth + 1);
		}
	}
}

static uint64_t
hash_bytes(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t w;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		h = (h ^ w) * UINT64_C(0x9fb21c651e98df25);
		h ^= h >> 29;
	}
	w = 0;
	if (len > 0)
		memcpy(&w, p, len);
	h = (h ^ w ^ (len << 56)) * UINT64_C(0x9fb21c651e98df25);
	return h ^ h >> 32;
}

static void
explain(const struct model *m, FILE *f)
{
	static const char *const fates[] = { "nothing", "all", "the first",
	    "all but the first", "torn after sector", "random sectors",
	    "random pages" };

	for (size_t i = 0; i < m->units_cnt; i++) {
		const struct unit *u = &m->units[i];

		if (u->obj == NULL) {
			fprintf(f, "  %s: ", u->fate == NONE ? "lost" : "kept");
			model_show_op(m, m->dops[u->dop].seq, f);
			continue;
		}
		fprintf(f, "  %s: of %zu unsynced changes %s",
		    obj_name(m, u->obj), u->hi - u->lo, fates[u->fate]);
		if (u->fate == TORN && u->arg == SIZE_MAX)
			fprintf(f, " 1 (the rest came)");
		else if (u->fate >= PREFIX && u->fate <= TORN)
			fprintf(f, " %zu", u->arg);
		fprintf(f, ", size %zu\n", size_after(u->obj,
		    u->lo + size_version(u)));
	}
}

void
model_build(struct model *m, uint64_t cut, uint64_t plan, uint64_t seed,
    struct tree *t, FILE *why)
{
	uint64_t s = seed ^ cut * UINT64_C(0x9e3779b97f4a7c15) ^ plan << 32;
	struct table tab = { 0 };
	size_t i, u;

	*t = (struct tree){ .hash = 1 };
	find_units(m, cut);
	if (!plan_fixed(m, plan, s))
		plan_random(m, s);
	close_plan(m);
	if (why != NULL)
		explain(m, why);
	for (i = 0; i < m->base_cnt; i++)
		table_set(&tab, m->base[i].dir, m->base[i].name,
		    m->base[i].obj);
	u = m->files_cnt + m->derived_cnt;
	for (i = 0; i < m->dops_cnt && m->dops[i].seq < cut; i++) {
		if (u < m->units_cnt && m->units[u].dop == i) {
			if (m->units[u++].fate == NONE)
				continue;
		}
		apply_dop(&tab, &m->dops[i]);
	}
	emit(m, &tab, m->objs[0], "", cut, t, 0);
	free(tab.e);
	for (i = 0; i < t->cnt; i++) {
		t->hash = hash_bytes(t->hash, t->nodes[i].path,
		    strlen(t->nodes[i].path));
		t->hash = hash_bytes(t->hash, t->nodes[i].data,
		    t->nodes[i].len);
	}
}
