/*
 * fsm: what commands answer, what time does, retries, snapshots, and that the
 * same entries give the same digest whatever way a node came to its state.
 */

#include "fsm.h"

#include "tap.h"

static struct fsm *f;
static int64_t now_ms;
static char reply[4096];

static void
keep(void *arg, const void *data, size_t len)
{
	(void)arg;
	if (len >= sizeof(reply))
		len = sizeof(reply) - 1;
	memcpy(reply, data, len);
	reply[len] = '\0';
}

static size_t
split(const char *line, char *copy, struct resp_arg *argv)
{
	size_t argc = 0;
	char *word, *rest = copy;

	(void)strlcpy(copy, line, 4096);
	while ((word = strsep(&rest, " ")) != NULL)
		argv[argc++] = (struct resp_arg){ (unsigned char *)word,
		    strlen(word) };
	return argc;
}

/* Apply one command; its reply. */
static const char *
doit(const char *client, uint64_t seq, const char *line)
{
	struct fsm_batch b = { 0 };
	struct resp_arg argv[64];
	char copy[4096];
	size_t argc = split(line, copy, argv);

	reply[0] = '\0';
	if (fsm_batch_add(&b, client, strlen(client), seq, argv, argc) == -1 ||
	    fsm_batch_end(&b, now_ms, 1) == -1 ||
	    fsm_apply(f, b.b.data, b.b.len, keep, NULL) == -1)
		tap_bail("apply %s", line);
	buf_release(&b.b);
	return reply;
}

static const char *
ask(const char *line)
{
	struct resp_arg argv[64];
	struct buf out = { 0 };
	char copy[4096];
	size_t argc = split(line, copy, argv);

	reply[0] = '\0';
	if (fsm_read(f, argv, argc, &out) == -1)
		tap_bail("read %s", line);
	keep(NULL, out.data, out.len);
	buf_release(&out);
	return reply;
}

static int
await(const char *line, uint64_t *cursor, bool last)
{
	struct resp_arg argv[64];
	struct buf out = { 0 };
	char copy[4096];
	size_t argc = split(line, copy, argv);
	int rc = fsm_wait(f, argv, argc, cursor, last, &out);

	reply[0] = '\0';
	if (out.len > 0)
		keep(NULL, out.data, out.len);
	buf_release(&out);
	return rc;
}

static void
open_new(const struct fsm_limits *limits)
{
	fsm_close(f);
	if (fsm_open(&f, limits) == -1)
		tap_bail("open");
	now_ms = 1000;
}

#define DO(line, want)	is_str(doit("", 0, line), want, "%s", line)
#define ASK(line, want)	is_str(ask(line), want, "%s", line)

static void
test_keys(void)
{
	open_new(NULL);
	ASK("GET a", "$-1\r\n");
	DO("SET a 1", "+OK\r\n");
	ASK("GET a", "$1\r\n1\r\n");
	DO("SET a 2 NX", "$-1\r\n");
	DO("SET b 2 XX", "$-1\r\n");
	DO("SET a 3 IFEQ 2", "$-1\r\n");
	DO("SET a 3 IFEQ 1", "+OK\r\n");
	DO("SET a 4 IFREV 1", "$-1\r\n");
	DO("SET a 4 IFREV 2", "+OK\r\n");
	DO("SET n 4 IFREV 0", "+OK\r\n");
	DO("SET n 4 IFREV 0", "$-1\r\n");
	ASK("GETREV a", "*4\r\n$1\r\n4\r\n:3\r\n:1\r\n:-1\r\n");
	DO("INCR c", ":1\r\n");
	DO("INCRBY c 41", ":42\r\n");
	DO("DECR c", ":41\r\n");
	DO("INCRBY c 9223372036854775807",
	    "-ERR increment or decrement would overflow\r\n");
	DO("SET x y", "+OK\r\n");
	DO("INCR x", "-ERR value is not an integer or out of range\r\n");
	DO("MSET p/1 a p/2 b p/3 c", "+OK\r\n");
	DO("MSET p/1", "-ERR not a command of the log\r\n");
	DO("MSET p/1 a b", "-ERR wrong number of arguments for 'mset' "
	    "command\r\n");
	ASK("MGET p/2 zz", "*2\r\n$1\r\nb\r\n$-1\r\n");
	ASK("LIST p/", "*4\r\n:0\r\n*3\r\n$3\r\np/1\r\n$1\r\na\r\n:9\r\n"
	    "*3\r\n$3\r\np/2\r\n$1\r\nb\r\n:10\r\n"
	    "*3\r\n$3\r\np/3\r\n$1\r\nc\r\n:11\r\n");
	ASK("LIST p/ p/1 1", "*2\r\n:1\r\n*3\r\n$3\r\np/2\r\n$1\r\nb\r\n:10\r\n");
	ASK("KEYS p/[13]", "*2\r\n$3\r\np/1\r\n$3\r\np/3\r\n");
	ASK("KEYS *2*", "*1\r\n$3\r\np/2\r\n");
	ASK("KEYS [^a-z]*", "*0\r\n");
	ASK("SCAN 0 COUNT 2", "*2\r\n$1\r\n2\r\n*2\r\n$1\r\na\r\n$1\r\nc\r\n");
	ASK("SCAN 2 COUNT 100 MATCH p*", "*2\r\n$1\r\n0\r\n*3\r\n$3\r\np/1\r\n"
	    "$3\r\np/2\r\n$3\r\np/3\r\n");
	ASK("EXISTS a a zz", ":2\r\n");
	DO("DEL a zz b", ":1\r\n");
	DO("DELIF x IFEQ z", ":0\r\n");
	DO("DELIF x IFEQ y", ":1\r\n");
	ASK("DBSIZE", ":5\r\n");
	ASK("TYPE c", "+string\r\n");
	ASK("STRLEN c", ":2\r\n");
	DO("SET a b FROB", "-ERR syntax error\r\n");
	DO("SET a b PX 0", "-ERR invalid expire time in 'set' command\r\n");
}

static void
test_time(void)
{
	open_new(NULL);
	DO("SET a 1 PX 100", "+OK\r\n");
	ASK("PTTL a", ":100\r\n");
	ASK("TTL a", ":1\r\n");
	is_int(fsm_next_due(f), 1100, "time: when something is due");
	now_ms = 1099;
	DO("SET b 1", "+OK\r\n");
	ASK("GET a", "$1\r\n1\r\n");
	now_ms = 1100;
	DO("SET b 2", "+OK\r\n");
	ASK("GET a", "$-1\r\n");
	is_int(fsm_next_due(f), INT64_MAX, "time: nothing is due");
	now_ms = 50;
	DO("SET c 1 EX 1", "+OK\r\n");
	ASK("PTTL c", ":1000\r\n");
	DO("PERSIST c", ":1\r\n");
	ASK("TTL c", ":-1\r\n");
	DO("EXPIRE c 2", ":1\r\n");
	DO("SET c 2 KEEPTTL", "+OK\r\n");
	ASK("PTTL c", ":2000\r\n");
	DO("SET c 3", "+OK\r\n");
	ASK("TTL c", ":-1\r\n");
	DO("PEXPIRE c 0", ":1\r\n");
	ASK("EXISTS c", ":0\r\n");
	ASK("TTL c", ":-2\r\n");
}

static void
test_locks(void)
{
	uint64_t cursor = 0;

	open_new(NULL);
	DO("LOCK l A 1000", ":1\r\n");
	DO("LOCK l B 1000 NOWAIT", "$-1\r\n");
	DO("LOCK l B 1000", ":0\r\n");
	DO("LOCK l C 5000", ":0\r\n");
	DO("LOCK l A 1000", ":1\r\n");
	is_int(await("LOCKWAIT l B 10", &cursor, false), 0, "lock: B waits");
	is_int(await("LOCKWAIT l B 10", &cursor, true), 1, "lock: time is up");
	is_str(reply, ":0\r\n", "lock: and B still waits");
	DO("KEEPALIVE l B", ":0\r\n");
	DO("KEEPALIVE l A", ":1\r\n");
	DO("SET k v FENCE l:1", "+OK\r\n");
	DO("SET k v FENCE l:2", "-FENCED the token is not the holder's\r\n");
	DO("SET k v FENCE x", "-ERR a fence is LOCK:TOKEN\r\n");
	ASK("HOLDER l", "*6\r\n$1\r\nl\r\n$1\r\nA\r\n:1\r\n$0\r\n\r\n:1000\r\n:2\r\n");
	/* B's lease ends at the same time as A's: C is granted. */
	now_ms = 2000;
	DO("KEEPALIVE l A", "$-1\r\n");
	DO("KEEPALIVE l B", "$-1\r\n");
	DO("KEEPALIVE l C", ":2\r\n");
	DO("SET k v FENCE l:1", "-FENCED the token is not the holder's\r\n");
	is_int(await("LOCKWAIT l C 10", &cursor, false), 1, "lock: C has it");
	is_str(reply, ":2\r\n", "lock: with a higher token");
	DO("UNLOCK l C", ":1\r\n");
	DO("UNLOCK l C", ":0\r\n");
	ASK("HOLDER l", "*-1\r\n");
	DO("ELECT e A 1000 host:1", ":3\r\n");
	DO("ELECT e B 1000 host:2 NOWAIT", "$-1\r\n");
	ASK("LOCKS", "*1\r\n*6\r\n$1\r\ne\r\n$1\r\nA\r\n:3\r\n$6\r\nhost:1\r\n"
	    ":1000\r\n:0\r\n");
	DO("RESIGN e A", ":1\r\n");
	DO("LOCK l A x", "-ERR the TTL is in milliseconds\r\n");
}

static void
test_retries(void)
{
	struct fsm_limits few = { 1 << 20, 1 << 20, 1 << 20, 100, 2, 1000 };
	struct fsm_info info;

	open_new(NULL);
	is_str(doit("c1", 1, "INCR n"), ":1\r\n", "retry: first");
	is_str(doit("c1", 1, "INCR n"), ":1\r\n", "retry: applied once");
	is_str(doit("c2", 1, "INCR n"), ":2\r\n", "retry: another client");
	is_str(doit("c1", 2, "INCR n"), ":3\r\n", "retry: the next request");
	is_str(doit("c1", 1, "INCR n"),
	    "-ERR an older request of this client\r\n", "retry: too old");

	open_new(&few);
	(void)doit("c1", 1, "INCR n");
	(void)doit("c2", 1, "INCR n");
	(void)doit("c1", 2, "INCR n");
	(void)doit("c3", 1, "INCR n");
	is_str(doit("c1", 2, "INCR n"), ":3\r\n",
	    "retry: the least recently used session made room");
	now_ms += 1001;
	(void)doit("", 0, "INCR n");
	fsm_info(f, &info);
	is_uint(info.sessions, 0, "retry: idle sessions end");
}

static void
test_streams(void)
{
	struct fsm_limits few = { 1 << 20, 1 << 20, 100, 3, 10, 1000 };
	uint64_t cursor = 0, from = 0, tail = 0;

	open_new(&few);
	is_int(await("RWATCH a 0 10", &cursor, false), 0, "watch: nothing yet");
	DO("SET b 1", "+OK\r\n");
	is_int(await("RWATCH a 0 10", &cursor, false), 0,
	    "watch: nothing of the prefix");
	DO("SET a1 x", "+OK\r\n");
	DO("DEL a1", ":1\r\n");
	is_int(await("RWATCH a 0 10", &cursor, false), 1, "watch: two");
	is_str(reply, "*3\r\n:4\r\n*4\r\n:2\r\n$3\r\nput\r\n$2\r\na1\r\n$1\r\nx\r\n"
	    "*4\r\n:3\r\n$3\r\ndel\r\n$2\r\na1\r\n$-1\r\n", "watch: in order");
	is_int(await("RWATCH a 0 10", &cursor, true), 1, "watch: time is up");
	is_str(reply, "*1\r\n:4\r\n", "watch: where to go on");
	DO("SET a2 x", "+OK\r\n");
	is_int(await("RWATCH a 1 10", &from, false), 1, "watch: too old");
	is_str(reply, "-COMPACTED 2 is the oldest\r\n", "watch: says so");
	DO("PROPOSE one two", ":2\r\n");
	is_int(await("TAIL 0 10", &tail, false), 1, "tail: both");
	is_str(reply, "*3\r\n:3\r\n*2\r\n:1\r\n$3\r\none\r\n*2\r\n:2\r\n$3\r\ntwo\r\n",
	    "tail: in order");
	is_int(await("TAIL 0 10", &tail, false), 0, "tail: no more");
	DO("PROPOSE a b c", ":5\r\n");
	tail = 0;
	is_int(await("TAIL 1 10", &tail, false), 1, "tail: too old");
	is_str(reply, "-COMPACTED 3 is the oldest\r\n", "tail: says so");
}

static void
test_quota(void)
{
	struct fsm_limits small = { 250, 1 << 20, 1 << 20, 100, 10, 1000 };

	open_new(&small);
	DO("SET a 1", "+OK\r\n");
	DO("SET b 1", "+OK\r\n");
	DO("SET c 1", "-NOSPACE the state is at its quota; delete something"
	    "\r\n");
	DO("SET a 2", "+OK\r\n");
	DO("LOCK l A 1000", "-NOSPACE the state is at its quota; delete "
	    "something\r\n");
	DO("DEL b", ":1\r\n");
	DO("SET c 1", "+OK\r\n");
}

/* --- the same entries, the same state ------------------------------------------ */

static uint64_t rnd = 1;

static unsigned int
random_below(unsigned int n)
{
	rnd = rnd * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned int)(rnd >> 33) % n;
}

static void
random_line(char *line, size_t len)
{
	unsigned int k = random_below(8), v = random_below(100);

	switch (random_below(12)) {
	case 0: case 1:
		(void)snprintf(line, len, "SET k%u v%u", k, v);
		break;
	case 2:
		(void)snprintf(line, len, "SET k%u v%u PX %u", k, v, v + 1);
		break;
	case 3:
		(void)snprintf(line, len, "DEL k%u", k);
		break;
	case 4:
		(void)snprintf(line, len, "INCR n%u", k);
		break;
	case 5: case 6:
		(void)snprintf(line, len, "LOCK l%u o%u %u", k % 3, v % 5,
		    v + 1);
		break;
	case 7:
		(void)snprintf(line, len, "UNLOCK l%u o%u", k % 3, v % 5);
		break;
	case 8:
		(void)snprintf(line, len, "KEEPALIVE l%u o%u", k % 3, v % 5);
		break;
	case 9:
		(void)snprintf(line, len, "PROPOSE r%u s", v);
		break;
	case 10:
		(void)snprintf(line, len, "PEXPIRE k%u %u", k, v);
		break;
	default:
		(void)snprintf(line, len, "SET k%u v IFREV %u", k, v);
		break;
	}
}

/* Apply an entry to two states, one of which goes through snapshots. */
static void
test_same(uint64_t seed)
{
	struct fsm_limits few = { 4000, 4000, 300, 50, 4, 300 };
	struct fsm *other = NULL;
	struct fsm_info a, b;
	struct resp_arg argv[64];
	char line[128], copy[4096], client[8];
	int i;

	rnd = seed;
	open_new(&few);
	if (fsm_open(&other, &few) == -1)
		tap_bail("open");
	for (i = 0; i < 2000; i++) {
		struct fsm_batch batch = { 0 };
		struct buf snap = { 0 }, again = { 0 };
		unsigned int n = random_below(4);

		while (n-- > 0) {
			size_t argc;

			random_line(line, sizeof(line));
			argc = split(line, copy, argv);
			(void)snprintf(client, sizeof(client), "c%u",
			    random_below(6));
			(void)fsm_batch_add(&batch, client,
			    random_below(2) * strlen(client),
			    random_below(1000), argv, argc);
		}
		now_ms += random_below(20);
		if (fsm_batch_end(&batch, now_ms, 0) == -1 ||
		    fsm_apply(f, batch.b.data, batch.b.len, NULL, NULL) ||
		    fsm_apply(other, batch.b.data, batch.b.len, NULL, NULL))
			tap_bail("apply");
		buf_release(&batch.b);
		if (random_below(10) == 0) {
			if (fsm_save(f, &snap) == -1 ||
			    fsm_load(other, snap.data, snap.len) == -1 ||
			    fsm_save(other, &again) == -1)
				tap_bail("snapshot, seed %" PRIu64, seed);
			if (snap.len != again.len ||
			    memcmp(snap.data, again.data, snap.len) != 0)
				break;
		}
		buf_release(&snap);
		buf_release(&again);
		fsm_info(f, &a);
		fsm_info(other, &b);
		if (memcmp(&a, &b, sizeof(a)) != 0)
			break;
	}
	is_int(i, 2000, "same: seed %" PRIu64 " agrees all the way", seed);
	fsm_close(other);
}

static void
test_hostile(void)
{
	struct buf snap = { 0 };
	struct fsm_batch b = { 0 };
	struct resp_arg argv[64];
	char copy[4096];
	size_t i;
	bool refused = true;

	open_new(NULL);
	DO("SET a 1 PX 10", "+OK\r\n");
	DO("LOCK l A 1000", ":1\r\n");
	DO("PROPOSE x", ":1\r\n");
	(void)doit("c", 1, "INCR n");
	(void)fsm_save(f, &snap);
	for (i = 0; i < snap.len; i++) {
		snap.data[i] ^= 1;
		refused = refused && fsm_load(f, snap.data, snap.len) == -1 &&
		    errno == EBADMSG;
		snap.data[i] ^= 1;
		refused = refused && fsm_load(f, snap.data, i) == -1;
	}
	ok(refused, "hostile: a changed or cut snapshot is refused");
	ASK("GET n", "$1\r\n1\r\n");
	is_int(fsm_load(f, snap.data, snap.len), 0, "hostile: the right one");
	ASK("GET n", "$1\r\n1\r\n");
	buf_release(&snap);

	(void)fsm_batch_add(&b, "", 0, 0, argv, split("SET a 1", copy, argv));
	(void)fsm_batch_end(&b, 1, 77);
	is_uint(b.b.len % 8, 0, "entry: padded to 8 bytes");
	is_uint(fsm_entry_origin(b.b.data, b.b.len), 77, "entry: origin");
	refused = true;
	for (i = 0; i < b.b.len - 8; i++) {
		b.b.data[i] ^= 1;
		refused = refused && fsm_apply(f, b.b.data, b.b.len, NULL,
		    NULL) == -1 && errno == EBADMSG;
		b.b.data[i] ^= 1;
		refused = refused && fsm_apply(f, b.b.data, i, NULL, NULL) ==
		    -1;
	}
	ok(refused, "hostile: a changed or cut entry is refused");
	buf_release(&b.b);
}

int
main(void)
{
	uint64_t seed;

	test_keys();
	test_time();
	test_locks();
	test_retries();
	test_streams();
	test_quota();
	for (seed = 1; seed <= 20; seed++)
		test_same(seed);
	test_hostile();
	fsm_close(f);
	return tap_end();
}
