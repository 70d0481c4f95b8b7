/* raftctl_admin: init, status, wait, member, transfer, snapshot. */

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "num.h"
#include "raftctl.h"

#define LOOK_NS	INT64_C(500000000)

/* n1=tcp:HOST:PORT ... */
static void
add_voter(struct cluster *cl, const char *text)
{
	char *address = cl->addresses[cl->voters_cnt];
	uint64_t id;
	size_t i;

	if (cluster_parse_member(text, &id, address) == -1)
		errx(EX_USAGE, "%s: nK=tcp:HOST:PORT, HOST a number", text);
	for (i = 0; i < cl->voters_cnt; i++) {
		if (cl->voters[i] == id)
			errx(EX_USAGE, "%s: a second n%" PRIu64, text, id);
		if (address[0] != '\0' &&
		    strcmp(address, cl->addresses[i]) == 0)
			errx(EX_USAGE, "%s: n%" PRIu64 " is there", text,
			    cl->voters[i]);
	}
	cl->voters[cl->voters_cnt++] = id;
}

int
ctl_init(struct ctl *c, int argc, char *argv[])
{
	struct cluster cl = { .state = CLUSTER_NEW };
	size_t cnt = argc > 0 ? (size_t)argc : c->count, i;

	if ((argc == 0) == (c->count == 0))
		ctl_usage();
	if (cnt > CLUSTER_NODES_MAX)
		errx(EX_USAGE, "at most %d nodes", CLUSTER_NODES_MAX);
	if (cluster_name(cl.name) == -1)
		err(EX_OSERR, "getrandom");
	for (i = 0; i < cnt; i++) {
		if (argc > 0)
			add_voter(&cl, argv[i]);
		else
			cl.voters[cl.voters_cnt++] = i + 1;
	}
	for (i = 0; i < cnt; i++) {
		cl.id = cl.voters[i];
		(void)strlcpy(cl.address, cl.addresses[i], sizeof(cl.address));
		if (cluster_create(c->dir, &cl) == 0)
			continue;
		if (errno == EEXIST)
			errx(EX_CANTCREAT, "%s/n%" PRIu64 " belongs to a "
			    "cluster already", c->dir, cl.id);
		err(EX_CANTCREAT, "%s/n%" PRIu64, c->dir, cl.id);
	}
	if (cnt % 2 == 0)
		warnx("%zu voters tolerate no more failures than %zu", cnt,
		    cnt - 1);
	return EX_OK;
}

/* --- status ---------------------------------------------------------------------- */

/* The value of "name:" in the text of INFO; "" if it is not there. */
static const char *
field(const char *info, const char *name, char *room, size_t room_len)
{
	size_t len = strlen(name), n;
	const char *p = info;

	room[0] = '\0';
	while (p != NULL && *p != '\0') {
		if (strncmp(p, name, len) == 0 && p[len] == ':') {
			p += len + 1;
			n = strcspn(p, "\r\n");
			if (n >= room_len)
				n = room_len - 1;
			memcpy(room, p, n);
			room[n] = '\0';
			return room;
		}
		if ((p = strchr(p, '\n')) != NULL)
			p++;
	}
	return room;
}

static redisReply *
info_of(struct ctl *c, uint64_t id)
{
	redisReply *r;

	if (!ctl_connect(c, id, LOOK_NS))
		return NULL;
	r = redisCommand(c->ctx, "INFO");
	ctl_drop(c);
	if (r != NULL && r->type != REDIS_REPLY_STRING) {
		freeReplyObject(r);
		r = NULL;
	}
	return r;
}

struct view {
	redisReply *info[CLUSTER_NODES_MAX];
	const char *leader;	/* what the serving leader tells, or NULL */
};

static bool
is(const char *info, const char *name, const char *value)
{
	char room[128];

	return strcmp(field(info, name, room, sizeof(room)), value) == 0;
}

static void
node_json(const char *id, const char *info, const char *leader)
{
	static const char *const numbers[] = { "term", "voted_for", "commit",
	    "applied", "last", "fsync_p99_us" };
	struct json_object *o = ctl_json();
	char room[128], name[64];
	const char *p;
	uint64_t n;
	size_t i;

	ctl_json_text(o, "node", id);
	ctl_json_text(o, "role", info == NULL ? "down" : field(info, "role",
	    room, sizeof(room)));
	for (i = 0; info != NULL && i < sizeof(numbers) / sizeof(numbers[0]);
	    i++)
		if (num_u64(field(info, numbers[i], room, sizeof(room)), 0,
		    INT64_MAX, &n) == 0)
			ctl_json_int(o, numbers[i], (int64_t)n);
	if (info != NULL && leader != NULL && leader != info) {
		(void)snprintf(name, sizeof(name), "peer_%s", id);
		(void)field(leader, name, room, sizeof(room));
		if ((p = strstr(room, "lag=")) != NULL)
			ctl_json_int(o, "lag", strtoll(p + 4, NULL, 10));
		if ((p = strstr(room, "heard_ms=")) != NULL)
			ctl_json_int(o, "heard_ms", strtoll(p + 9, NULL, 10));
	}
	if (info != NULL)
		ctl_json_text(o, "digest", field(info, "digest", room,
		    sizeof(room)));
	ctl_json_line(o);
}

static void
quorum_json(unsigned int all, unsigned int need, unsigned int up, bool leader)
{
	struct json_object *o = ctl_json();

	ctl_json_int(o, "voters", all);
	ctl_json_int(o, "majority", need);
	ctl_json_int(o, "answer", up);
	ctl_json_int(o, "leaders", leader);
	ctl_json_line(o);
}

static void
print_node(const struct ctl *c, const struct view *v, size_t i)
{
	const char *info = v->info[i] == NULL ? NULL : v->info[i]->str;
	char id[32], lag[64] = "-", heard[64] = "-", text[128], name[64];
	char role[64], term[64], vote[64], commit[64], applied[64];
	char fsync[64], digest[64];
	const char *p;

	(void)snprintf(id, sizeof(id), "n%" PRIu64, c->nodes[i]);
	if (c->json) {
		node_json(id, info, v->leader);
		return;
	}
	if (info == NULL) {
		printf("%-5s down\n", id);
		return;
	}
	if (v->leader != NULL && v->leader != info) {
		(void)snprintf(name, sizeof(name), "peer_%s", id);
		(void)field(v->leader, name, text, sizeof(text));
		if ((p = strstr(text, "lag=")) != NULL)
			(void)snprintf(lag, sizeof(lag), "%.*s",
			    (int)strcspn(p + 4, ","), p + 4);
		if ((p = strstr(text, "heard_ms=")) != NULL)
			(void)snprintf(heard, sizeof(heard), "%s", p + 9);
	}
	printf("%-5s %-10s %5s %5s %9s %9s %6s %8s %8s  %s\n", id,
	    field(info, "role", role, sizeof(role)),
	    field(info, "term", term, sizeof(term)),
	    field(info, "voted_for", vote, sizeof(vote)),
	    field(info, "commit", commit, sizeof(commit)),
	    field(info, "applied", applied, sizeof(applied)), lag, heard,
	    field(info, "fsync_p99_us", fsync, sizeof(fsync)),
	    field(info, "digest", digest, sizeof(digest)));
}

/* How many of the voters answer, by what one node says of the members. */
static int
print_quorum(const struct ctl *c, const struct view *v, const char *info)
{
	char members[1024], id[48];
	unsigned int all = 0, up = 0, need;
	size_t i;
	char *list = members, *one;

	(void)field(info, "members", members, sizeof(members));
	while ((one = strsep(&list, ",")) != NULL) {
		size_t len = strcspn(one, "=");

		if (strcmp(one + len, "=voter") != 0)
			continue;
		all++;
		for (i = 0; i < c->nodes_cnt; i++) {
			(void)snprintf(id, sizeof(id), "n%" PRIu64,
			    c->nodes[i]);
			up += v->info[i] != NULL && strlen(id) == len &&
			    strncmp(id, one, len) == 0;
		}
	}
	need = all / 2 + 1;
	if (c->json) {
		quorum_json(all, need, up, v->leader != NULL);
		return v->leader != NULL && up >= need ? EX_OK :
		    EX_UNAVAILABLE;
	}
	printf("%u voters, a majority is %u, %u answer: ", all, need, up);
	if (up < need)
		printf("nothing can be decided\n");
	else if (v->leader == NULL)
		printf("there is no leader yet\n");
	else
		printf("%u more may fail\n", up - need);
	if (all % 2 == 0 && all > 0)
		printf("warning: %u voters tolerate no more failures than "
		    "%u\n", all, all - 1);
	return v->leader != NULL && up >= need ? EX_OK : EX_UNAVAILABLE;
}

int
ctl_status(struct ctl *c, int argc, char *argv[])
{
	struct view v = { 0 };
	const char *best = NULL;
	size_t i;
	int rc;

	(void)argv;
	if (argc != 0)
		ctl_usage();
	for (i = 0; i < c->nodes_cnt; i++) {
		v.info[i] = info_of(c, c->nodes[i]);
		if (v.info[i] == NULL)
			continue;
		best = v.info[i]->str;
		if (is(best, "role", "leader") && is(best, "serving", "1"))
			v.leader = best;
	}
	if (v.leader != NULL)
		best = v.leader;
	if (!c->json)
		printf("%-5s %-10s %5s %5s %9s %9s %6s %8s %8s  %s\n",
		    "node", "role",
	    "term", "voted", "commit", "applied", "lag", "heard_ms", "fsync_us",
	    "digest");
	for (i = 0; i < c->nodes_cnt; i++)
		print_node(c, &v, i);
	if (best == NULL) {
		if (!c->json)
			printf("no node answers\n");
		rc = EX_UNAVAILABLE;
	} else {
		rc = print_quorum(c, &v, best);
	}
	if (fflush(stdout) == EOF)
		ctl_stdout_failed();
	for (i = 0; i < c->nodes_cnt; i++)
		freeReplyObject(v.info[i]);
	return rc;
}

/* Until a linear read is answered. */
int
ctl_wait(struct ctl *c, int argc, char *argv[])
{
	struct words w = { 0 };
	redisReply *r;

	(void)argv;
	if (argc != 0)
		ctl_usage();
	words_add(&w, "REVISION");
	r = ctl_read(c, &w);
	ctl_check(r);
	freeReplyObject(r);
	return EX_OK;
}

/* --- members -------------------------------------------------------------------- */

/* A member command is not part of a session: ask again and look. */
static int
member_do(struct ctl *c, const char *verb, const char *id)
{
	struct words w = { 0 };
	redisReply *r;

	words_add(&w, "MEMBER");
	words_add(&w, verb);
	if (id != NULL)
		words_add(&w, id);
	c->try_ns = c->wait_ns;		/* catching up takes its time */
	r = ctl_read(c, &w);
	ctl_check(r);
	freeReplyObject(r);
	return EX_OK;
}

static void
print_member(const redisReply *e)
{
	const char *address;

	if (e->type != REDIS_REPLY_ARRAY || e->elements != 3)
		errx(EX_SOFTWARE, "unexpected answer");
	printf("%s\t%s", e->element[0]->str, e->element[1]->str);
	address = e->element[2]->str;
	if (strncmp(address, "tcp:", 4) == 0)
		printf("\t%s", address);
	printf("\n");
}

/* The members as the cluster knows them now: whom a new node may hear from. */
static void
members_into(struct ctl *c, struct cluster *cl)
{
	struct words w = { 0 };
	redisReply *r;
	size_t i;

	words_add(&w, "MEMBER");
	words_add(&w, "LIST");
	r = ctl_read(c, &w);
	ctl_check(r);
	cl->voters_cnt = 0;
	for (i = 0; i < r->elements && i < CLUSTER_NODES_MAX; i++) {
		const redisReply *e = r->element[i];
		const char *address;

		if (e->type != REDIS_REPLY_ARRAY || e->elements != 3 ||
		    cluster_parse_id(e->element[0]->str, &cl->voters[i]) == -1)
			errx(EX_SOFTWARE, "unexpected answer");
		address = e->element[2]->str;
		(void)strlcpy(cl->addresses[i], strncmp(address, "tcp:", 4) ==
		    0 ? address : "", sizeof(cl->addresses[i]));
		cl->voters_cnt++;
	}
	freeReplyObject(r);
}

static int
member_list(struct ctl *c)
{
	struct words w = { 0 };
	redisReply *r;
	size_t i;

	words_add(&w, "MEMBER");
	words_add(&w, "LIST");
	r = ctl_read(c, &w);
	ctl_check(r);
	for (i = 0; i < r->elements; i++)
		print_member(r->element[i]);
	if (fflush(stdout) == EOF)
		ctl_stdout_failed();
	freeReplyObject(r);
	return EX_OK;
}

/* Give the new node a directory that says which cluster it joins. */
static void
prepare(struct ctl *c, uint64_t id, const char *address)
{
	struct cluster cl = { 0 }, have;
	size_t i;

	for (i = 0; i < c->nodes_cnt; i++)
		if (c->nodes[i] != id &&
		    cluster_read(c->dir, c->nodes[i], &cl) == 0)
			break;
	if (i == c->nodes_cnt)
		errx(EX_NOINPUT, "%s: no cluster here", c->dir);
	cl.id = id;
	cl.state = CLUSTER_JOINING;
	(void)strlcpy(cl.address, address, sizeof(cl.address));
	members_into(c, &cl);
	if (cluster_create(c->dir, &cl) == 0)
		return;
	/* Begun before: go on. */
	if (errno == EEXIST && cluster_read(c->dir, id, &have) == 0 &&
	    strcmp(have.name, cl.name) == 0)
		return;
	err(EX_CANTCREAT, "%s/n%" PRIu64, c->dir, id);
}

int
ctl_member(struct ctl *c, int argc, char *argv[])
{
	static const char *const verbs[][2] = {
		{ "add", "ADD" }, { "promote", "PROMOTE" },
		{ "demote", "DEMOTE" }, { "remove", "REMOVE" },
	};
	char address[CLUSTER_ADDRESS_MAX];
	uint64_t id;
	size_t i;

	if (argc == 0 || (argc == 1 && strcmp(argv[0], "list") == 0))
		return member_list(c);
	if (argc != 2)
		ctl_usage();
	if (cluster_parse_member(argv[1], &id, address) == -1)
		errx(EX_USAGE, "%s: not a node", argv[1]);
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[0], verbs[i][0]) != 0)
			continue;
		if (i == 0)
			prepare(c, id, address);
		return member_do(c, verbs[i][1], argv[1]);
	}
	ctl_usage();
}

/* The node that leads and serves, or 0. */
static uint64_t
find_leader(struct ctl *c)
{
	uint64_t id = 0;
	redisReply *r;
	size_t i;

	for (i = 0; i < c->nodes_cnt && id == 0; i++) {
		r = info_of(c, c->nodes[i]);
		if (r != NULL && is(r->str, "role", "leader") &&
		    is(r->str, "serving", "1"))
			id = c->nodes[i];
		freeReplyObject(r);
	}
	return id;
}

/* The leader itself is asked, once; then we look who leads. */
int
ctl_transfer(struct ctl *c, int argc, char *argv[])
{
	struct mono deadline = mono_after(c->wait_ns);
	uint64_t before = 0, now, to = 0;
	redisReply *r = NULL;

	if (argc > 1)
		ctl_usage();
	if (argc == 1 && cluster_parse_id(argv[0], &to) == -1)
		errx(EX_USAGE, "%s: not a node", argv[0]);
	c->id = 0;
	ctl_find_nodes(c);
	while ((before = find_leader(c)) == 0 && !mono_passed(deadline))
		ctl_nap();
	if (before == 0)
		errx(EX_UNAVAILABLE, "there is no leader");
	if (before == to)
		return EX_OK;
	if (ctl_connect(c, before, c->wait_ns))
		r = argc == 1 ? redisCommand(c->ctx, "MEMBER TRANSFER %s",
		    argv[0]) : redisCommand(c->ctx, "MEMBER TRANSFER");
	if (r != NULL && !ctl_error_is(r, "UNKNOWN"))
		ctl_check(r);
	freeReplyObject(r);
	do {
		now = find_leader(c);
		if (now != 0 && now != before && (to == 0 || now == to))
			return EX_OK;
		ctl_nap();
	} while (!mono_passed(deadline));
	errx(EX_UNKNOWN, "leadership was not handed over in time");
}

int
ctl_snapshot(struct ctl *c, int argc, char *argv[])
{
	redisReply *r;
	size_t i;
	int rc = EX_OK;

	(void)argv;
	if (argc != 0)
		ctl_usage();
	for (i = 0; i < c->nodes_cnt; i++) {
		r = ctl_connect(c, c->nodes[i], LOOK_NS) ?
		    redisCommand(c->ctx, "SNAPSHOT") : NULL;
		if (r == NULL || r->type != REDIS_REPLY_STATUS) {
			warnx("n%" PRIu64 ": no answer", c->nodes[i]);
			rc = EX_UNAVAILABLE;
		}
		freeReplyObject(r);
	}
	ctl_drop(c);
	return rc;
}
