/*
 * raftctl_conn: one connection at a time, to any node that answers.  A write
 * carries the client's name and a number, so that trying again is safe; what
 * is not known at the end is told by the exit status.
 */

#include <sys/random.h>

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"
#include "raftctl.h"
#include "sock.h"

#define NAP_NS		INT64_C(20000000)

void
words_add_bytes(struct words *w, const void *data, size_t len)
{
	if (w->cnt == CTL_ARGS_MAX)
		errx(EX_USAGE, "too many operands");
	w->v[w->cnt] = data;
	w->len[w->cnt++] = len;
}

void
words_add(struct words *w, const char *text)
{
	words_add_bytes(w, text, strlen(text));
}

void
words_add_int(struct words *w, char *room, size_t room_len, int64_t v)
{
	(void)snprintf(room, room_len, "%" PRId64, v);
	words_add(w, room);
}

void
ctl_nap(void)
{
	struct timespec ts = { .tv_nsec = NAP_NS };

	(void)nanosleep(&ts, NULL);
}

/* --- nodes ------------------------------------------------------------------- */

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool
retired(const struct ctl *c, uint64_t id)
{
	struct cluster cl;

	return cluster_read(c->dir, id, &cl) == 0 &&
	    cl.state == CLUSTER_RETIRED;
}

/* The directories nK that are there; a random one is asked first. */
void
ctl_find_nodes(struct ctl *c)
{
	uint32_t first = 0;
	struct dirent *e;
	uint64_t id;
	DIR *d;

	c->nodes_cnt = 0;
	if (c->id != 0) {
		c->nodes[c->nodes_cnt++] = c->id;
		return;
	}
	if ((d = opendir(c->dir)) == NULL)
		err(exit_status(errno), "%s", c->dir);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] != 'n' ||
		    cluster_parse_id(e->d_name, &id) == -1 ||
		    c->nodes_cnt == CLUSTER_NODES_MAX || retired(c, id))
			continue;
		c->nodes[c->nodes_cnt++] = id;
	}
	(void)closedir(d);
	if (c->nodes_cnt == 0)
		errx(EX_NOINPUT, "%s: no nodes here; see raftctl init", c->dir);
	qsort(c->nodes, c->nodes_cnt, sizeof(c->nodes[0]), by_number);
	if (getrandom(&first, sizeof(first), 0) != sizeof(first))
		err(EX_OSERR, "getrandom");
	c->next_node = first % c->nodes_cnt;
}

void
ctl_drop(struct ctl *c)
{
	if (c->ctx != NULL)
		redisFree(c->ctx);
	c->ctx = NULL;
}

void
ctl_rotate(struct ctl *c)
{
	ctl_drop(c);
	c->next_node = (c->next_node + 1) % c->nodes_cnt;
}

static void
set_timeout(redisContext *ctx, int64_t ns)
{
	struct timeval tv;

	if (ns < NUM_NS_PER_MS)
		ns = NUM_NS_PER_MS;
	tv.tv_sec = ns / NUM_NS_PER_S;
	tv.tv_usec = (ns % NUM_NS_PER_S) / 1000;
	(void)redisSetTimeout(ctx, tv);
}

static bool
set_consistency(struct ctl *c)
{
	redisReply *r;
	bool good;

	if (c->consistency == NULL)
		return true;
	r = redisCommand(c->ctx, "READCONSISTENCY %s", c->consistency);
	good = r != NULL && r->type == REDIS_REPLY_STATUS;
	freeReplyObject(r);
	return good;
}

bool
ctl_connect(struct ctl *c, uint64_t id, int64_t timeout_ns)
{
	char path[PATH_MAX];
	int fd, flags;

	ctl_drop(c);
	if (snprintf(path, sizeof(path), "%s/n%" PRIu64 "/client", c->dir,
	    id) >= (int)sizeof(path))
		errc(EX_CANTCREAT, ENAMETOOLONG, "%s", c->dir);
	if ((fd = sock_connect(path)) == -1)
		return false;
	/* hiredis waits by itself. */
	if ((flags = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == -1 ||
	    (c->ctx = redisConnectFd(fd)) == NULL) {
		(void)close(fd);
		return false;
	}
	set_timeout(c->ctx, timeout_ns);
	c->at = id;
	if (c->verbose)
		warnx("asking n%" PRIu64, id);
	if (!set_consistency(c)) {
		ctl_drop(c);
		return false;
	}
	return true;
}

/* --- requests ----------------------------------------------------------------- */

bool
ctl_error_is(const redisReply *r, const char *code)
{
	size_t len = strlen(code);

	return r->type == REDIS_REPLY_ERROR && r->len >= len &&
	    strncmp(r->str, code, len) == 0 &&
	    (r->str[len] == ' ' || r->str[len] == '\0');
}

redisReply *
ctl_try(struct ctl *c, const struct words *w, struct mono deadline,
    int64_t timeout_ns, bool *maybe)
{
	int64_t left = mono_left_ns(deadline);
	struct words copy;
	redisReply *r;
	size_t i;

	if (left < timeout_ns)
		timeout_ns = left;
	for (i = 0; c->ctx == NULL && i < c->nodes_cnt; i++)
		if (!ctl_connect(c, c->nodes[c->next_node], timeout_ns))
			ctl_rotate(c);
	if (c->ctx == NULL)
		return NULL;
	set_timeout(c->ctx, timeout_ns);
	copy = *w;
	r = redisCommandArgv(c->ctx, copy.cnt, copy.v, copy.len);
	if (r == NULL) {
		*maybe = true;
		ctl_rotate(c);
	}
	return r;
}

static _Noreturn void
give_up(bool maybe, const redisReply *last)
{
	const char *why = last != NULL ? last->str : "no node answers";

	if (maybe)
		errx(EX_UNKNOWN, "%s; it may or may not have happened", why);
	errx(EX_UNAVAILABLE, "%s", why);
}

static redisReply *
ask(struct ctl *c, const struct words *w, bool write)
{
	struct mono deadline = mono_after(c->wait_ns);
	redisReply *r, *last = NULL;
	bool maybe = false;

	for (;;) {
		int64_t limit = c->wait_ns == 0 ? c->try_ns : mono_left_ns(
		    deadline);

		r = ctl_try(c, w, mono_after(limit), c->try_ns, &maybe);
		if (r != NULL && !ctl_error_is(r, "CLUSTERDOWN") &&
		    !ctl_error_is(r, "BUSY") && !ctl_error_is(r, "UNKNOWN")) {
			freeReplyObject(last);
			return r;
		}
		if (r != NULL) {
			maybe = maybe || ctl_error_is(r, "UNKNOWN");
			if (c->verbose)
				warnx("n%" PRIu64 ": %s", c->at, r->str);
			freeReplyObject(last);
			last = r;
			ctl_rotate(c);
		}
		if (c->wait_ns == 0 || mono_passed(deadline))
			give_up(write && maybe, last);
		ctl_nap();
	}
}

redisReply *
ctl_read(struct ctl *c, const struct words *w)
{
	return ask(c, w, false);
}

redisReply *
ctl_write(struct ctl *c, const struct words *w)
{
	struct words all = { 0 };
	uint64_t bytes;
	char seq[24];
	int i;

	if (c->client[0] == '\0') {
		if (getrandom(&bytes, sizeof(bytes), 0) != sizeof(bytes))
			err(EX_OSERR, "getrandom");
		(void)snprintf(c->client, sizeof(c->client),
		    "raftctl-%016" PRIx64, bytes);
	}
	words_add(&all, "REQ");
	words_add(&all, c->client);
	words_add_int(&all, seq, sizeof(seq), (int64_t)++c->seq);
	for (i = 0; i < w->cnt; i++)
		words_add_bytes(&all, w->v[i], w->len[i]);
	return ask(c, &all, true);
}

void
ctl_check(const redisReply *r)
{
	static const struct {
		const char *code;
		int status;
	} map[] = {
		{ "NOSPACE", EX_TEMPFAIL }, { "TOOBIG", EX_DATAERR },
		{ "FENCED", EX_NO }, { "COMPACTED", EX_NO },
		{ "NOPERM", EX_NOPERM }, { "BUSY", EX_TEMPFAIL },
		{ "CLUSTERDOWN", EX_UNAVAILABLE }, { "UNKNOWN", EX_UNKNOWN },
	};
	size_t i;

	if (r->type != REDIS_REPLY_ERROR)
		return;
	for (i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (ctl_error_is(r, map[i].code))
			errx(map[i].status, "%s", r->str);
	errx(EX_DATAERR, "%s", r->str);
}
