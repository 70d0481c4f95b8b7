/*
 * raft_load: clients that read, write and compare-and-set a few keys of a
 * cluster and write down what they saw, for lincheck(1).
 *
 *	raft_load -C dir [-W seconds] [-n clients] [-k keys] [-s seed] [-N nodes]
 *
 * Half of the writes are plain: a lost answer makes them indeterminate.  The
 * other half carry a client and a number and are sent again until there is an
 * answer, on any node: if a retry were applied twice, the checker would see a
 * value come back.
 */

#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX	64
#define TIMEOUT_US	1500000

enum outcome { OK, FAIL, INFO };

struct client {
	pthread_t thread;
	unsigned int id;
	uint64_t rnd, seq;
	redisContext *ctx;
	int seen[64];		/* the value read last, by key */
};

static const char *dir;
static unsigned int clients_cnt = 6, keys_cnt = 3, nodes_cnt = 3;
static uint64_t seed = 1;
static int64_t end_ns;
static _Atomic int next_value = 1;
static _Atomic unsigned long counts[3];
static pthread_mutex_t out = PTHREAD_MUTEX_INITIALIZER;

static int64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static unsigned int
below(struct client *c, unsigned int n)
{
	c->rnd = c->rnd * UINT64_C(6364136223846793005) +
	    UINT64_C(1442695040888963407);
	return (unsigned int)(c->rnd >> 33) % n;
}

static void
drop(struct client *c)
{
	if (c->ctx != NULL)
		redisFree(c->ctx);
	c->ctx = NULL;
}

static bool
connect_any(struct client *c)
{
	struct timeval tv = { .tv_sec = TIMEOUT_US / 1000000,
	    .tv_usec = TIMEOUT_US % 1000000 };
	char path[4096];

	if (c->ctx != NULL)
		return true;
	(void)snprintf(path, sizeof(path), "%s/n%u/client", dir,
	    1 + below(c, nodes_cnt));
	c->ctx = redisConnectUnixWithTimeout(path, tv);
	if (c->ctx == NULL || c->ctx->err != 0) {
		drop(c);
		(void)usleep(10000);
		return false;
	}
	(void)redisSetTimeout(c->ctx, tv);
	return true;
}

static enum outcome
outcome_of(struct client *c, const redisReply *r)
{
	if (r == NULL) {
		drop(c);
		return INFO;
	}
	if (r->type != REDIS_REPLY_ERROR)
		return OK;
	if (below(c, 2) == 0)
		drop(c);	/* elsewhere, next time */
	if (strncmp(r->str, "UNKNOWN", 7) == 0)
		return INFO;
	if (strncmp(r->str, "CLUSTERDOWN", 11) != 0 &&
	    strncmp(r->str, "BUSY", 4) != 0 &&
	    strncmp(r->str, "NOSPACE", 7) != 0)
		fprintf(stderr, "unexpected: %s\n", r->str);
	return FAIL;
}

static void
note(const struct client *c, int64_t start, const char *f, unsigned int key,
    const char *argument, const char *result, enum outcome o)
{
	static const char *const names[] = { "ok", "fail", "info" };
	int64_t end = now_ns();

	counts[o]++;
	(void)pthread_mutex_lock(&out);
	printf("%" PRId64 ".%09" PRId64 "\t", start / 1000000000,
	    start % 1000000000);
	if (o == INFO)
		printf("-");
	else
		printf("%" PRId64 ".%09" PRId64, end / 1000000000,
		    end % 1000000000);
	printf("\tc%u\t%s\tk%u\t%s\t%s\t%s\n", c->id, f, key, argument, result,
	    names[o]);
	(void)pthread_mutex_unlock(&out);
}

static void
do_read(struct client *c, unsigned int key)
{
	int64_t start = now_ns();
	redisReply *r = redisCommand(c->ctx, "GET k%u", key);
	enum outcome o = outcome_of(c, r);
	char text[32] = "-";

	c->seen[key] = 0;
	if (o == OK && r->type == REDIS_REPLY_STRING) {
		(void)snprintf(text, sizeof(text), "%s", r->str);
		c->seen[key] = atoi(r->str);
	}
	note(c, start, "read", key, "-", text, o == INFO ? FAIL : o);
	freeReplyObject(r);
}

/* A write that is sent again until it is answered or time is up. */
static enum outcome
insist(struct client *c, unsigned int key, int value, int old)
{
	int64_t limit = now_ns() + INT64_C(4000000000);
	enum outcome o = FAIL, once;
	redisReply *r;
	bool maybe = false, no = false;

	c->seq++;
	do {
		if (!connect_any(c))
			continue;
		if (old == 0)
			r = redisCommand(c->ctx, "REQ load%u-%" PRIu64
			    " %" PRIu64 " SET k%u %d", c->id, seed, c->seq,
			    key, value);
		else
			r = redisCommand(c->ctx, "REQ load%u-%" PRIu64
			    " %" PRIu64 " SET k%u %d IFEQ %d", c->id, seed,
			    c->seq, key, value, old);
		once = outcome_of(c, r);
		no = once == OK && r->type == REDIS_REPLY_NIL;
		maybe = maybe || once == INFO;
		freeReplyObject(r);
		o = once;
		if (o != OK)
			(void)usleep(20000);
	} while (o != OK && now_ns() < limit);
	if (o == OK)
		return no ? FAIL : OK;
	return maybe ? INFO : FAIL;
}

static enum outcome
try_once(struct client *c, unsigned int key, int value, int old)
{
	redisReply *r;
	enum outcome o;

	if (old == 0)
		r = redisCommand(c->ctx, "SET k%u %d", key, value);
	else
		r = redisCommand(c->ctx, "SET k%u %d IFEQ %d", key, value, old);
	o = outcome_of(c, r);
	if (o == OK && r->type == REDIS_REPLY_NIL)
		o = FAIL;
	freeReplyObject(r);
	return o;
}

static void
do_write(struct client *c, unsigned int key, bool cas)
{
	int value = next_value++, old = cas ? c->seen[key] : 0;
	int64_t start = now_ns();
	char argument[64];
	enum outcome o;

	if (cas && old == 0)
		return;
	if (cas)
		(void)snprintf(argument, sizeof(argument), "%d %d", old, value);
	else
		(void)snprintf(argument, sizeof(argument), "%d", value);
	o = below(c, 2) == 0 ? insist(c, key, value, old) :
	    try_once(c, key, value, old);
	note(c, start, cas ? "cas" : "write", key, argument, "-", o);
}

static void *
run(void *arg)
{
	struct client *c = arg;
	unsigned int key;

	while (now_ns() < end_ns) {
		if (!connect_any(c))
			continue;
		key = below(c, keys_cnt);
		switch (below(c, 4)) {
		case 0: case 1:
			do_read(c, key);
			break;
		case 2:
			do_write(c, key, false);
			break;
		default:
			do_write(c, key, true);
			break;
		}
		(void)usleep(below(c, 8000));
	}
	drop(c);
	return NULL;
}

int
main(int argc, char *argv[])
{
	static struct client clients[CLIENTS_MAX];
	unsigned int i;
	int ch, secs = 5;

	while ((ch = getopt(argc, argv, "C:k:n:N:s:W:")) != -1) {
		switch (ch) {
		case 'C':
			dir = optarg;
			break;
		case 'k':
			keys_cnt = (unsigned int)atoi(optarg) % 64;
			break;
		case 'n':
			clients_cnt = (unsigned int)atoi(optarg) % CLIENTS_MAX;
			break;
		case 'N':
			nodes_cnt = (unsigned int)atoi(optarg);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'W':
			secs = atoi(optarg);
			break;
		default:
			return 64;
		}
	}
	if (dir == NULL)
		return 64;
	end_ns = now_ns() + secs * INT64_C(1000000000);
	for (i = 0; i < clients_cnt; i++) {
		clients[i].id = i;
		clients[i].rnd = seed * 1000 + i;
		if (pthread_create(&clients[i].thread, NULL, run,
		    &clients[i]) != 0)
			return 71;
	}
	for (i = 0; i < clients_cnt; i++)
		(void)pthread_join(clients[i].thread, NULL);
	fprintf(stderr, "load: seed %" PRIu64 ", ok %lu, fail %lu, info %lu\n",
	    seed, counts[OK], counts[FAIL], counts[INFO]);
	return 0;
}
