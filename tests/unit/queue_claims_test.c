/* queue: claims while administrators and the reclaimer are at work. */

#include "queue.h"

#include "tap.h"

static struct queue *
fresh(const char *name)
{
	struct queue *q = NULL;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", tap_tmpdir(), name);
	if (queue_create(path, NULL) == -1 ||
	    queue_open(&q, path, QUEUE_USE, NULL, NULL) == -1)
		tap_bail("%s", path);
	return q;
}

static struct queue *
again(const char *name)
{
	struct queue *q = NULL;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", tap_tmpdir(), name);
	if (queue_open(&q, path, QUEUE_USE, NULL, NULL) == -1)
		tap_bail("%s", path);
	return q;
}

static void
push(struct queue *q, const char *key, unsigned int count)
{
	struct queue_batch b;
	struct queue_pushed p;
	char text[16];

	queue_batch_init(&b);
	for (unsigned int i = 0; i < count; i++) {
		struct queue_message m = { .payload = text, .key = key,
			.key_len = key == NULL ? 0 : strlen(key) };

		m.payload_len = (size_t)snprintf(text, sizeof(text), "%u", i);
		if (queue_batch_add(&b, &m) == -1)
			tap_bail("batch");
	}
	if (queue_push(q, &b, 0, &p, NULL) == -1 ||
	    queue_push_commit(q, &p) == -1)
		tap_bail("push");
	queue_batch_release(&b);
}

static uint64_t
take(struct queue *q, uint64_t most, bool once, struct queue_claim *c)
{
	struct queue_take how = { .max_messages = most,
		.max_bytes = UINT64_MAX, .at_most_once = once };
	uint32_t group;
	int64_t due;
	int got;

	if (queue_group(q, "main", &group) == -1 ||
	    (got = queue_take(q, group, &how, c, &due)) == -1)
		tap_bail("take");
	return got == 0 ? 0 : c->messages;
}

/* A stream's run of messages, and a reset to one in its middle. */
static void
test_reset_within(void)
{
	struct queue *a = fresh("reset"), *b = again("reset");
	struct queue_claim c, d;
	struct queue_message m;
	uint64_t first = 0, findings, rest;
	uint32_t group;

	push(a, NULL, 10);
	is_uint(take(a, 8, false, &c), 8, "reset: eight taken");
	ok(queue_group(b, "main", &group) == 0 &&
	    queue_group_reset(b, group, QUEUE_SEQ, 5, &first) == 0,
	    "reset: to the middle of them");
	is_uint(first, 5, "reset: where it begins");
	is_uint(take(b, 10, false, &d), 2, "reset: two are not held");
	while (queue_claim_next(a, &c, &m) == 1)
		;
	is_err(queue_settle(a, &c, 0), ESTALE, "reset: their claim has ended");
	queue_claim_release(&c);
	rest = take(b, 10, false, &c);
	is_uint(rest, 3, "reset: the others come again");
	is_int(queue_claim_next(b, &c, &m), 1, "reset: read");
	is_uint(m.seq, 5, "reset: the first of them");
	ok(queue_settle(b, &c, 0) == 0 && queue_settle(b, &d, 0) == 0,
	    "reset: put back");
	queue_claim_release(&c);
	queue_claim_release(&d);
	ok(queue_verify(b, NULL, NULL, &findings) == 0 && findings == 0,
	    "reset: all is well");
	queue_close(a);
	queue_close(b);
}

/* Acknowledged before they are read: their segment must wait. */
static void
test_once_and_compaction(void)
{
	struct queue *a = fresh("once"), *b = again("once");
	struct queue_claim c;
	struct queue_message m;
	uint64_t freed, got = 0;

	push(a, NULL, 5);
	is_uint(take(a, 5, true, &c), 5, "once: five taken");
	ok(queue_compact(b, &freed) == 0, "once: somebody compacts");
	while (queue_claim_next(a, &c, &m) == 1)
		got++;
	is_uint(got, 5, "once: they are still there to be read");
	ok(queue_settle(a, &c, 0) == 0, "once: settled");
	queue_claim_release(&c);
	ok(queue_compact(b, &freed) == 0 && freed > 0, "once: then they go");
	queue_close(a);
	queue_close(b);
}

/* A producer killed between its append and its sync. */
static void
test_left_unsynced(void)
{
	struct queue *a = fresh("left"), *b;
	struct queue_message m = { .payload = "x", .payload_len = 1 };
	struct queue_batch batch;
	struct queue_pushed p;
	struct queue_claim c;

	ok(queue_set(a, "max-messages", "1") == 0, "left: room for one");
	queue_batch_init(&batch);
	ok(queue_batch_add(&batch, &m) == 0 &&
	    queue_push(a, &batch, 0, &p, NULL) == 0, "left: appended");
	queue_close(a);
	b = again("left");
	queue_batch_clear(&batch);
	ok(queue_batch_add(&batch, &m) == 0, "left: another");
	is_err(queue_push(b, &batch, 0, &p, NULL), EAGAIN, "left: no room");
	is_uint(take(b, 1, false, &c), 1, "left: but it can be taken");
	ok(queue_claim_next(b, &c, &m) == 1 && queue_settle(b, &c, 0) == 0,
	    "left: acknowledged");
	queue_claim_release(&c);
	m = (struct queue_message){ .payload = "y", .payload_len = 1 };
	queue_batch_clear(&batch);
	ok(queue_batch_add(&batch, &m) == 0 &&
	    queue_push(b, &batch, 0, &p, NULL) == 0 &&
	    queue_push_commit(b, &p) == 0, "left: then there is room");
	queue_batch_release(&batch);
	queue_close(b);
}

int
main(void)
{
	test_left_unsynced();
	test_reset_within();
	test_once_and_compaction();
	return tap_end();
}
