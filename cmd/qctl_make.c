/* qctl: make a queue, set what it allows, tell of it, remove it. */

#include "qctl.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exits.h"
#include "fsdur.h"
#include "num.h"

#define VALUE_MAX	128		/* bytes of an attribute as text */

/* NAME=VALUE: the value, and the length of the name. */
static const char *
value_of(const char *arg, size_t *name_len)
{
	const char *eq = strchr(arg, '=');

	if (eq == NULL || eq == arg)
		errx(EX_USAGE, "%s: not name=value", arg);
	*name_len = (size_t)(eq - arg);
	return eq + 1;
}

/* --- what is fixed at creation ------------------------------------------------ */

static void
fixed_mode(struct queue_create *how, const char *value)
{
	unsigned long mode;
	char *end;

	errno = 0;
	mode = strtoul(value, &end, 8);
	if (value[0] < '0' || value[0] > '7' || *end != '\0' || errno != 0 ||
	    mode > 0666 || (mode & 0111) != 0 || (mode & 0600) != 0600)
		errx(EX_USAGE, "mode=%s: octal, from 600 to 666, of files; "
		    "directories get the right to search too", value);
	how->mode = (mode_t)mode;
}

static void
fixed_group(struct queue_create *how, const char *value)
{
	const struct group *gr;
	uint64_t v;

	if (num_u64(value, 0, INT32_MAX, &v) == 0)
		how->gid = (gid_t)v;
	else if ((gr = getgrnam(value)) != NULL)
		how->gid = gr->gr_gid;
	else
		errx(EX_USAGE, "group=%s: no such group of the system", value);
}

static void
fixed_groups(struct queue_create *how, const char *value)
{
	how->groups = value;
}

static void
fixed_segment(struct queue_create *how, const char *value)
{
	if (num_size(value, &how->segment) == -1 || how->segment == 0)
		errx(EX_USAGE, "segment=%s: not a size", value);
}

static const struct {
	const char *name;
	void (*take)(struct queue_create *how, const char *value);
} fixed[] = {
	{ "mode", fixed_mode },
	{ "group", fixed_group },
	{ "groups", fixed_groups },
	{ "segment", fixed_segment },
};

/* Take name=value if it is one of those. */
static bool
take_fixed(struct queue_create *how, const char *arg)
{
	size_t len;
	const char *value = value_of(arg, &len);

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strlen(fixed[i].name) == len &&
		    strncmp(fixed[i].name, arg, len) == 0) {
			fixed[i].take(how, value);
			return true;
		}
	return false;
}

/* --- attributes ----------------------------------------------------------------- */

/* 0, or -1 with errno after saying what is wrong. */
static int
set_one(struct queue *q, const char *path, const char *arg)
{
	size_t len;
	const char *value = value_of(arg, &len);
	char name[64];
	int errnum;

	if (strlcpy(name, arg, sizeof(name)) >= sizeof(name) &&
	    len >= sizeof(name))
		errx(EX_USAGE, "%s: no such attribute", arg);
	name[len] = '\0';
	if (queue_set(q, name, value) == 0)
		return 0;
	errnum = errno;
	if (errnum == EINVAL || errnum == ERANGE) {
		errnum = EINVAL;
		warnx("%s: %s: no such attribute, or no such value of it",
		    path, arg);
	} else {
		warnx("%s: %s: %s", path, arg, reason(errnum));
	}
	errno = errnum;
	return -1;
}

int
qctl_set(const struct options *o, int argc, char *argv[])
{
	struct queue *q;
	size_t len;
	int status = EX_OK;

	(void)o;
	for (int i = 1; i < argc; i++)
		value_of(argv[i], &len);
	q = open_queue(argv[0], QUEUE_USE);
	for (int i = 1; i < argc && status == EX_OK; i++)
		if (set_one(q, argv[0], argv[i]) == -1)
			status = exit_status(errno);
	queue_close(q);
	return status;
}

static int
set_closed(const char *path, const char *value)
{
	struct queue *q = open_queue(path, QUEUE_USE);

	if (queue_set(q, "closed", value) == -1)
		die(path, "closed");
	queue_close(q);
	return EX_OK;
}

int
qctl_close(const struct options *o, int argc, char *argv[])
{
	(void)o;
	(void)argc;
	return set_closed(argv[0], "yes");
}

int
qctl_open(const struct options *o, int argc, char *argv[])
{
	(void)o;
	(void)argc;
	return set_closed(argv[0], "no");
}

/* --- create ------------------------------------------------------------------------ */

/* PATH split where its last name begins; both are malloc'd. */
static void
split(const char *path, char **dir, char **base)
{
	char *one = strdup(path), *two = strdup(path);

	if (one == NULL || two == NULL ||
	    (*dir = strdup(dirname(one))) == NULL ||
	    (*base = strdup(basename(two))) == NULL)
		err(EX_OSERR, NULL);
	free(one);
	free(two);
}

/* Make it, or die: also where something else stands in the way. */
static void
create(const char *place, const struct queue_create *how, const char *path)
{
	int errnum;

	if (queue_create(place, how) == 0)
		return;
	errnum = errno;
	if (place != path)
		(void)rmdir(place);	/* what it may have left: nothing yet */
	errno = errnum;
	if (errno == EINVAL)
		errx(EX_USAGE, "%s: groups= or segment=: not such a value",
		    path);
	if (errno == ENOTEMPTY || errno == ENOTDIR)
		errno = EEXIST;
	die(path, NULL);
}

/* Made beside its place with its attributes; nobody sees it without them. */
static int
make_beside(const char *tmp, const struct queue_create *how, const char *path,
    char *attributes[])
{
	struct queue *q;
	int errnum;

	create(tmp, how, path);
	if (queue_open(&q, tmp, QUEUE_USE, NULL, NULL) == -1)
		die(path, NULL);
	for (; *attributes != NULL; attributes++)
		if (set_one(q, path, *attributes) == -1)
			break;
	errnum = errno;
	queue_close(q);
	errno = errnum;
	return *attributes == NULL ? 0 : -1;
}

/* The name is taken unless it is that of an empty directory. */
static int
into_place(int dirfd, const char *tmp, const char *base, const char *path)
{
	if (fsdur_rename(dirfd, tmp, base) == 0)
		return 0;
	if (errno == ENOTEMPTY || errno == ENOTDIR)
		errno = EEXIST;
	warnx("%s: %s", path, reason(errno));
	return -1;
}

static int
create_with(const struct queue_create *how, const char *path,
    char *attributes[])
{
	char *dir, *base, *tmp, name[NAME_MAX + 1];
	int dirfd, rc = EX_OK;

	split(path, &dir, &base);
	if (snprintf(name, sizeof(name), "%s%s.%ld", FSDUR_TMP_PREFIX, base,
	    (long)getpid()) >= (int)sizeof(name))
		errx(EX_CANTCREAT, "%s: the name is too long", path);
	if (asprintf(&tmp, "%s/%s", dir, name) == -1)
		err(EX_OSERR, NULL);
	if ((dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		err(errno == EACCES ? EX_NOPERM : EX_CANTCREAT, "%s", dir);
	if (make_beside(tmp, how, path, attributes) == -1 ||
	    into_place(dirfd, name, base, path) == -1) {
		rc = exit_status(errno);
		(void)queue_remove(tmp);
	}
	close(dirfd);
	free(tmp);
	free(base);
	free(dir);
	return rc;
}

int
qctl_create(const struct options *o, int argc, char *argv[])
{
	struct queue_create how = {
		.mode = 0600, .gid = (gid_t)-1, .force_fs = o->force_fs,
	};
	int kept = 1;

	for (int i = 1; i < argc; i++)
		if (!take_fixed(&how, argv[i]))
			argv[kept++] = argv[i];
	argv[kept] = NULL;
	if (kept > 1)
		return create_with(&how, argv[0], argv + 1);
	create(argv[0], &how, argv[0]);
	return EX_OK;
}

int
qctl_rm(const struct options *o, int argc, char *argv[])
{
	(void)o;
	(void)argc;
	if (queue_remove(argv[0]) == -1)
		die(argv[0], NULL);
	return EX_OK;
}

/* --- info ---------------------------------------------------------------------------- */

struct info {
	const char *path;
	struct stat st;
	struct queue_stats stats;
};

static void
info_text(struct queue *q, const struct info *info)
{
	const struct queue_stats *s = &info->stats;
	char value[VALUE_MAX];
	const char *name;

	printf("path\t%s\nid\t%s\n", info->path, queue_id(q));
	printf("file-system\t%s\ndurable\t%s\n", s->fs,
	    s->durable ? "yes" : "no");
	printf("mode\t%03o\nowner\t%ld:%ld\n", info->st.st_mode & 0666U,
	    (long)info->st.st_uid, (long)info->st.st_gid);
	printf("groups\t");
	for (size_t i = 0; i < s->groups_cnt; i++)
		printf("%s%s", i == 0 ? "" : ",", s->groups[i].name);
	printf("\nmessages\t%" PRIu64 "\ndead\t%" PRIu64 "\ndamaged\t%" PRIu64
	    "\n", s->depth, s->dead, s->damaged);
	printf("pushed\t%" PRIu64 "\nfinished\t%" PRIu64 "\n", s->pushed,
	    s->finished);
	printf("live-bytes\t%" PRIu64 "\ndisk-bytes\t%" PRIu64 "\n",
	    s->live_bytes, s->disk_bytes);
	for (size_t i = 0; (name = queue_attribute(q, i, value,
	    sizeof(value))) != NULL; i++)
		printf("%s\t%s\n", name, value);
}

static void
info_json(struct queue *q, const struct info *info)
{
	const struct queue_stats *s = &info->stats;
	struct json_object *j = json_new(), *limits = json_new();
	struct json_object *names = json_list();
	char value[VALUE_MAX], mode[8];
	const char *name;

	snprintf(mode, sizeof(mode), "%03o", info->st.st_mode & 0666U);
	for (size_t i = 0; i < s->groups_cnt; i++)
		json_append_text(names, s->groups[i].name);
	add_bytes(j, "path", info->path, strlen(info->path));
	add_text(j, "id", queue_id(q));
	add_text(j, "file_system", s->fs);
	add_bool(j, "durable", s->durable);
	add_text(j, "mode", mode);
	add_number(j, "uid", (int64_t)info->st.st_uid);
	add_number(j, "gid", (int64_t)info->st.st_gid);
	add_object(j, "groups", names);
	add_number(j, "messages", (int64_t)s->depth);
	add_number(j, "dead", (int64_t)s->dead);
	add_number(j, "damaged", (int64_t)s->damaged);
	add_number(j, "pushed", (int64_t)s->pushed);
	add_number(j, "finished", (int64_t)s->finished);
	add_number(j, "live_bytes", (int64_t)s->live_bytes);
	add_number(j, "disk_bytes", (int64_t)s->disk_bytes);
	for (size_t i = 0; (name = queue_attribute(q, i, value,
	    sizeof(value))) != NULL; i++)
		add_text(limits, name, value);
	add_object(j, "attributes", limits);
	put_json(j);
}

int
qctl_info(const struct options *o, int argc, char *argv[])
{
	struct info info = { .path = argv[0] };
	struct queue *q;

	(void)argc;
	q = open_queue(argv[0], QUEUE_READ);
	if (queue_stats(q, &info.stats) == -1 || stat(argv[0], &info.st) == -1)
		die(argv[0], NULL);
	(o->json ? info_json : info_text)(q, &info);
	free(info.stats.groups);
	queue_close(q);
	flush_output();
	return EX_OK;
}
