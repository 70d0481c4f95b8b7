/* fsm: the table of commands, and what all the parts of the state share. */

#include "fsm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crc.h"
#include "fsm_priv.h"

/*
 * A snapshot is made by the thread that answers, and must be done within an
 * election timeout (300 ms): all of this takes 150 to 250 ms on a busy machine,
 * 256 MiB and twice 64 took 470 to 1030.
 */
static const struct fsm_limits defaults = {
	.state_bytes = UINT64_C(64) << 20,
	.watch_bytes = UINT64_C(16) << 20,
	.tail_bytes = UINT64_C(16) << 20,
	.watch_cnt = 100000,
	.session_cnt = 10000,
	.session_ms = INT64_C(3600000),
};

struct command {
	const char *name;
	enum fsm_kind kind;
	bool grows;
	size_t min, max;	/* arguments with the name */
	fsm_fn *fn;
	fsm_wait_fn *wait;
};

/* The most usual ones first: the table is searched in order. */
static const struct command commands[] = {
	{ "GET", FSM_READ, false, 2, 2, read_get, NULL },
	{ "SET", FSM_WRITE, true, 3, 16, key_set, NULL },
	{ "INCR", FSM_WRITE, true, 2, 2, key_incr, NULL },
	{ "DEL", FSM_WRITE, false, 2, RESP_ARGS_MAX, key_del, NULL },
	{ "MGET", FSM_READ, false, 2, RESP_ARGS_MAX, read_mget, NULL },
	{ "MSET", FSM_WRITE, true, 3, RESP_ARGS_MAX, key_mset, NULL },
	{ "KEEPALIVE", FSM_WRITE, false, 3, 3, lock_keepalive, NULL },
	{ "LOCK", FSM_WRITE, true, 4, 7, lock_lock, NULL },
	{ "UNLOCK", FSM_WRITE, false, 3, 3, lock_unlock, NULL },
	{ "LOCKWAIT", FSM_WAIT, false, 4, 4, NULL, lock_wait },
	{ "ELECT", FSM_WRITE, true, 5, 6, lock_elect, NULL },
	{ "RESIGN", FSM_WRITE, false, 3, 3, lock_unlock, NULL },
	{ "HOLDER", FSM_READ, false, 2, 2, lock_holder, NULL },
	{ "LOCKS", FSM_READ, false, 1, 1, lock_list, NULL },
	{ "PROPOSE", FSM_WRITE, true, 2, RESP_ARGS_MAX, ring_propose, NULL },
	{ "RWATCH", FSM_WAIT, false, 4, 5, NULL, ring_watch },
	{ "TAIL", FSM_WAIT, false, 3, 4, NULL, ring_tail },
	{ "DELIF", FSM_WRITE, false, 2, 8, key_delif, NULL },
	{ "INCRBY", FSM_WRITE, true, 3, 3, key_incr, NULL },
	{ "DECR", FSM_WRITE, true, 2, 2, key_incr, NULL },
	{ "DECRBY", FSM_WRITE, true, 3, 3, key_incr, NULL },
	{ "EXPIRE", FSM_WRITE, false, 3, 3, key_expire, NULL },
	{ "PEXPIRE", FSM_WRITE, false, 3, 3, key_expire, NULL },
	{ "PERSIST", FSM_WRITE, false, 2, 2, key_persist, NULL },
	{ "GETREV", FSM_READ, false, 2, 2, read_getrev, NULL },
	{ "EXISTS", FSM_READ, false, 2, RESP_ARGS_MAX, read_exists, NULL },
	{ "STRLEN", FSM_READ, false, 2, 2, read_strlen, NULL },
	{ "TYPE", FSM_READ, false, 2, 2, read_type, NULL },
	{ "TTL", FSM_READ, false, 2, 2, read_ttl, NULL },
	{ "PTTL", FSM_READ, false, 2, 2, read_ttl, NULL },
	{ "KEYS", FSM_READ, false, 2, 2, read_keys, NULL },
	{ "SCAN", FSM_READ, false, 2, 6, read_scan, NULL },
	{ "LIST", FSM_READ, false, 2, 4, read_list, NULL },
	{ "DBSIZE", FSM_READ, false, 1, 1, read_dbsize, NULL },
	{ "REVISION", FSM_READ, false, 1, 1, read_revision, NULL },
	{ "RECORDS", FSM_READ, false, 1, 1, read_records, NULL },
	{ "RECOVERED", FSM_INNER, false, 1, 1, ring_recovered, NULL },
};

static const struct command *
find(const struct resp_arg *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (fsm_word(name, commands[i].name))
			return &commands[i];
	return NULL;
}

enum fsm_kind
fsm_kind(const struct resp_arg *argv, size_t argc)
{
	const struct command *c;

	if (argc == 0 || (c = find(&argv[0])) == NULL || c->kind == FSM_INNER)
		return FSM_NOTMINE;
	return argc < c->min || argc > c->max ? FSM_MISUSED : c->kind;
}

bool
fsm_grows(const struct resp_arg *argv)
{
	const struct command *c = find(&argv[0]);

	return c != NULL && c->grows;
}

/* --- blobs ----------------------------------------------------------------- */

void *
fsm_alloc(struct fsm *f, size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		f->failed = true;
	return p;
}

struct blob *
blob_new(struct fsm *f, const void *data, size_t len)
{
	struct blob *b = malloc(sizeof(*b) + len);

	if (b == NULL) {
		f->failed = true;
		return NULL;
	}
	b->refs = 1;
	b->len = (uint32_t)len;
	if (len > 0)
		memcpy(b->data, data, len);
	return b;
}

struct blob *
blob_ref(struct blob *b)
{
	b->refs++;
	return b;
}

void
blob_drop(struct blob *b)
{
	if (b != NULL && --b->refs == 0)
		free(b);
}

int
blob_cmp(const struct blob *a, const struct blob *b)
{
	int c = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

	if (c != 0)
		return c;
	return a->len < b->len ? -1 : a->len > b->len;
}

/* --- what expires ------------------------------------------------------------ */

static int
due_cmp(const struct due *a, const struct due *b)
{
	int c;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if ((c = blob_cmp(a->name, b->name)) != 0 || a->kind == DUE_KEY)
		return c;
	return blob_cmp(a->sub, b->sub);
}

/* cppcheck-suppress unknownMacro */
TREE(due_tree, due, node, due_cmp)

void
due_set(struct fsm *f, struct due *d, int64_t at)
{
	if (d->at != 0)
		(void)RB_REMOVE(due_tree, &f->dues, d);
	d->at = at;
	if (at != 0)
		(void)RB_INSERT(due_tree, &f->dues, d);
}

int64_t
fsm_next_due(const struct fsm *f)
{
	const struct due *d = f->dues.rbh_root;

	while (d != NULL && d->node.rbe_left != NULL)
		d = d->node.rbe_left;
	return d == NULL ? INT64_MAX : d->at;
}

static void
expire(struct fsm *f)
{
	struct due *d;

	while ((d = RB_MIN(due_tree, &f->dues)) != NULL && d->at <= f->clock) {
		if (d->kind == DUE_KEY)
			key_expired(f, d);
		else
			member_expired(f, d);
	}
	session_expire(f);
}

/* --- arguments and replies ------------------------------------------------------ */

bool
fsm_word(const struct resp_arg *arg, const char *word)
{
	return strlen(word) == arg->len &&
	    strncasecmp((const char *)arg->data, word, arg->len) == 0;
}

bool
fsm_number(const struct resp_arg *arg, int64_t min, int64_t max, int64_t *v)
{
	size_t i = 0;
	int64_t n = 0;
	bool minus;

	minus = arg->len > 0 && arg->data[0] == '-';
	i = minus ? 1 : 0;
	if (i == arg->len || arg->len > 20)
		return false;
	for (; i < arg->len; i++) {
		if (arg->data[i] < '0' || arg->data[i] > '9' ||
		    __builtin_mul_overflow(n, 10, &n))
			return false;
		/* Downwards when negative: INT64_MIN has no positive twin. */
		if (minus ? __builtin_sub_overflow(n, arg->data[i] - '0', &n) :
		    __builtin_add_overflow(n, arg->data[i] - '0', &n))
			return false;
	}
	*v = n;
	return n >= min && n <= max;
}

bool
fsm_put(struct fsm *f, int rc)
{
	if (rc == -1)
		f->failed = true;
	return rc == 0;
}

void
fsm_error(struct fsm *f, struct buf *out, const char *text)
{
	(void)fsm_put(f, buf_printf(out, "-%s\r\n", text));
}

bool
fsm_full(struct fsm *f, uint64_t more, struct buf *out)
{
	if (f->bytes + more <= f->limits.state_bytes)
		return false;
	fsm_error(f, out, "NOSPACE the state is at its quota; delete something");
	return true;
}

/* --- the whole ----------------------------------------------------------------- */

int
fsm_open(struct fsm **fp, const struct fsm_limits *limits)
{
	struct fsm *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -1;
	f->limits = limits != NULL ? *limits : defaults;
	RB_INIT(&f->keys);
	RB_INIT(&f->locks);
	RB_INIT(&f->dues);
	RB_INIT(&f->sessions);
	TAILQ_INIT(&f->used);
	f->history.first = 1;
	f->records.first = 1;
	f->next_record = 1;
	*fp = f;
	return 0;
}

void
fsm_close(struct fsm *f)
{
	if (f == NULL)
		return;
	key_free_all(f);
	lock_free_all(f);
	session_free_all(f);
	ring_free(&f->history);
	ring_free(&f->records);
	buf_release(&f->reply);
	free(f);
}

void
fsm_info(const struct fsm *f, struct fsm_info *info)
{
	*info = (struct fsm_info){
		.clock_ms = f->clock,
		.rev = f->rev,
		.keys = f->key_cnt,
		.locks = f->lock_cnt,
		.sessions = f->session_cnt,
		.bytes = f->bytes,
		.token = f->token,
		.watch_first = f->history.first,
		.tail_first = f->records.first,
		.tail_next = f->next_record,
		.batches = f->batches,
		.digest = f->digest,
	};
}

static int
failed(struct fsm *f)
{
	if (!f->failed)
		return 0;
	errno = ENOMEM;
	return -1;
}

int
fsm_read(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	const struct command *c = find(&argv[0]);

	if (c == NULL || c->kind != FSM_READ) {
		errno = EINVAL;
		return -1;
	}
	c->fn(f, argv, argc, out);
	return failed(f);
}

int
fsm_wait(struct fsm *f, const struct resp_arg *argv, size_t argc,
    uint64_t *cursor, bool last, struct buf *out)
{
	const struct command *c = find(&argv[0]);
	int rc;

	if (c == NULL || c->kind != FSM_WAIT) {
		errno = EINVAL;
		return -1;
	}
	rc = c->wait(f, argv, argc, cursor, last, out);
	return failed(f) == -1 ? -1 : rc;
}

int64_t
fsm_wait_ms(const struct resp_arg *argv, size_t argc)
{
	int64_t ms;
	size_t at = fsm_word(&argv[0], "TAIL") ? 2 : 3;

	if (argc <= at || !fsm_number(&argv[at], 0, FSM_TTL_MAX, &ms))
		return 0;
	return ms;
}

/* --- applying -------------------------------------------------------------------- */

static void
run(struct fsm *f, const struct resp_arg *argv, size_t argc, struct buf *out)
{
	const struct command *c = argc > 0 ? find(&argv[0]) : NULL;

	if (c == NULL || (c->kind != FSM_WRITE && c->kind != FSM_INNER) ||
	    argc < c->min || argc > c->max)
		fsm_error(f, out, "ERR not a command of the log");
	else
		c->fn(f, argv, argc, out);
}

/* One command of an entry, once even if it comes twice. */
static void
run_once(struct fsm *f, const void *client, size_t client_len, uint64_t seq,
    const struct resp_arg *argv, size_t argc)
{
	struct session *s = NULL;

	f->reply.len = 0;
	if (client_len > 0 && (s = session_get(f, client, client_len)) == NULL)
		return;
	if (s != NULL && s->reply != NULL && seq == s->seq) {
		(void)fsm_put(f, buf_put(&f->reply, s->reply->data,
		    s->reply->len));
		return;
	}
	if (s != NULL && seq < s->seq) {
		fsm_error(f, &f->reply, "ERR an older request of this client");
		return;
	}
	run(f, argv, argc, &f->reply);
	if (s != NULL)
		session_reply(f, s, seq, &f->reply);
}

#define ENTRY_MAGIC	UINT32_C(0x31424652)	/* "RFB1" */
#define ENTRY_HEAD	32

struct reader {
	const unsigned char *p;
	size_t left;
};

static bool
take(struct reader *r, size_t len, const unsigned char **p)
{
	if (r->left < len)
		return false;
	*p = r->p;
	r->p += len;
	r->left -= len;
	return true;
}

static bool
take_arg(struct reader *r, struct resp_arg *arg)
{
	const unsigned char *p;

	if (!take(r, 4, &p))
		return false;
	arg->len = le_get32(p);
	return take(r, arg->len, &arg->data);
}

struct entry_command {
	const unsigned char *client;
	size_t client_len, argc;
	uint64_t seq;
};

static bool
take_command(struct reader *r, struct entry_command *c, struct resp_arg *argv)
{
	const unsigned char *p;
	size_t i;

	if (!take(r, 13, &p))
		return false;
	c->argc = le_get32(p);
	c->client_len = p[4];
	c->seq = le_get64(p + 5);
	if (c->argc == 0 || c->argc > RESP_ARGS_MAX ||
	    c->client_len > FSM_CLIENT_MAX ||
	    !take(r, c->client_len, &c->client))
		return false;
	for (i = 0; i < c->argc; i++)
		if (!take_arg(r, &argv[i]))
			return false;
	return true;
}

static bool
entry_open(const void *entry, size_t len, struct reader *r, uint32_t *count)
{
	const unsigned char *p = entry;
	size_t body;

	if (len < ENTRY_HEAD || le_get32(p) != ENTRY_MAGIC)
		return false;
	body = le_get32(p + 28);
	if (body > len - ENTRY_HEAD || len - ENTRY_HEAD - body > 7 ||
	    le_get64(p + 8) > CLOCK_MAX ||
	    hash64(p + 8, ENTRY_HEAD - 8 + body, 0) >> 32 != le_get32(p + 4))
		return false;
	*count = le_get32(p + 24);
	*r = (struct reader){ p + ENTRY_HEAD, body };
	return true;
}

/* All of it is readable, before anything of it is done. */
static bool
entry_check(struct reader r, uint32_t count, struct resp_arg *argv)
{
	struct entry_command c;

	while (count-- > 0)
		if (!take_command(&r, &c, argv))
			return false;
	return r.left == 0;
}

static void
digest(struct fsm *f, const void *entry, size_t len)
{
	unsigned char state[48];

	le_put64(state, (uint64_t)f->clock);
	le_put64(state + 8, f->rev);
	le_put64(state + 16, f->token);
	le_put64(state + 24, f->next_record);
	le_put64(state + 32, f->key_cnt + f->lock_cnt + f->session_cnt);
	le_put64(state + 40, f->bytes);
	f->digest = hash64(entry, len, f->digest);
	f->digest = hash64(state, sizeof(state), f->digest);
}

int
fsm_apply(struct fsm *f, const void *entry, size_t len, fsm_reply_fn *reply,
    void *arg)
{
	static _Thread_local struct resp_arg argv[RESP_ARGS_MAX];
	const unsigned char *head = entry;
	struct entry_command c;
	struct reader r;
	uint32_t count;
	int64_t clock;

	if (!entry_open(entry, len, &r, &count) ||
	    !entry_check(r, count, argv)) {
		errno = EBADMSG;
		return -1;
	}
	clock = (int64_t)le_get64(head + 8);
	if (clock > f->clock)
		f->clock = clock;
	expire(f);
	while (count-- > 0 && take_command(&r, &c, argv)) {
		run_once(f, c.client, c.client_len, c.seq, argv, c.argc);
		if (reply != NULL)
			reply(arg, f->reply.data, f->reply.len);
	}
	f->batches++;
	digest(f, entry, len);
	return failed(f);
}

/* --- making entries ----------------------------------------------------------------- */

static int
put_arg(struct buf *b, const void *data, size_t len)
{
	unsigned char word[4];

	le_put32(word, (uint32_t)len);
	return buf_put(b, word, 4) == -1 || buf_put(b, data, len) == -1 ? -1 :
	    0;
}

static int
batch_begin(struct fsm_batch *batch)
{
	static const unsigned char zero[ENTRY_HEAD];

	return batch->b.len > 0 ? 0 : buf_put(&batch->b, zero, ENTRY_HEAD);
}

int
fsm_batch_add(struct fsm_batch *batch, const void *client, size_t client_len,
    uint64_t seq, const struct resp_arg *argv, size_t argc)
{
	unsigned char head[13];
	size_t at, i;

	if (batch_begin(batch) == -1)
		return -1;
	at = batch->b.len;
	le_put32(head, (uint32_t)argc);
	head[4] = (unsigned char)client_len;
	le_put64(head + 5, seq);
	if (buf_put(&batch->b, head, sizeof(head)) == -1 ||
	    buf_put(&batch->b, client, client_len) == -1)
		goto fail;
	for (i = 0; i < argc; i++)
		if (put_arg(&batch->b, argv[i].data, argv[i].len) == -1)
			goto fail;
	batch->count++;
	return 0;
fail:
	batch->b.len = at;
	return -1;
}

int
fsm_batch_end(struct fsm_batch *batch, int64_t clock_ms, uint64_t origin)
{
	static const unsigned char zero[8];
	unsigned char *p;
	size_t len;

	if (batch_begin(batch) == -1)
		return -1;
	len = batch->b.len;
	if (buf_put(&batch->b, zero, -len % 8) == -1)
		return -1;
	p = batch->b.data;
	le_put32(p, ENTRY_MAGIC);
	le_put64(p + 8, (uint64_t)clock_ms);
	le_put64(p + 16, origin);
	le_put32(p + 24, batch->count);
	le_put32(p + 28, (uint32_t)(len - ENTRY_HEAD));
	le_put32(p + 4, (uint32_t)(hash64(p + 8, len - 8, 0) >> 32));
	return 0;
}

size_t
fsm_batch_size(const struct fsm_batch *batch)
{
	return batch->b.len;
}

uint64_t
fsm_entry_origin(const void *entry, size_t len)
{
	const unsigned char *p = entry;

	return len < ENTRY_HEAD ? 0 : le_get64(p + 16);
}
