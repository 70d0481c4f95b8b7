/* qctl: settle messages that others took: ack, nack, extend. */

#include "qctl.h"

#include <err.h>
#include <errno.h>
#include <string.h>

#include "clock.h"
#include "exits.h"
#include "num.h"

/* One receipt's answer: the worst exit status so far. */
static int
answer(const char *path, const char *receipt, int rc, int status)
{
	if (rc == 0)
		return status;
	switch (errno) {
	case EINVAL:
		warnx("%s: not a receipt", receipt);
		return EX_USAGE;
	case ESTALE:
	case ENOMSG:
		warnx("%s: stale: the message is no longer held by it",
		    receipt);
		return status == EX_OK ? EX_NO : status;
	default:
		die(path, receipt);
	}
}

/* Acknowledged is what survives a power cut, once this has exited. */
static void
sync_and_close(struct queue *q, const char *path)
{
	if (queue_sync(q) == -1)
		die(path, "messages may come again");
	queue_close(q);
}

static int
settle(const char *path, char *receipts[], const struct queue_fate *fate)
{
	struct queue *q = open_queue(path, QUEUE_USE);
	int status = EX_OK;

	for (; *receipts != NULL; receipts++)
		status = answer(path, *receipts,
		    queue_receipt_settle(q, *receipts, fate), status);
	sync_and_close(q, path);
	return status;
}

int
qctl_ack(const struct options *o, int argc, char *argv[])
{
	const struct queue_fate fate = { .kind = QUEUE_ACK };

	(void)o;
	(void)argc;
	return settle(argv[0], argv + 1, &fate);
}

/* Take messages away from whoever has them, by number. */
static int
take_away(const struct options *o, const char *path, char *numbers[])
{
	struct queue *q;
	uint32_t group;
	uint64_t seq;
	int status = EX_OK;

	for (char **n = numbers; *n != NULL; n++)
		if (num_u64(*n, 0, UINT64_MAX, &seq) == -1)
			errx(EX_USAGE, "%s: not a sequence number", *n);
	q = open_queue(path, QUEUE_USE);
	group = group_number(q, path, o->group);
	for (; *numbers != NULL; numbers++) {
		(void)num_u64(*numbers, 0, UINT64_MAX, &seq);
		if (queue_nack(q, group, seq, o->force) == 0)
			continue;
		if (errno != ENOMSG && errno != ESTALE && errno != ENOENT)
			die(path, *numbers);
		warnx("%s: not in flight", *numbers);
		status = EX_NO;
	}
	sync_and_close(q, path);
	return status;
}

int
qctl_nack(const struct options *o, int argc, char *argv[])
{
	struct queue_fate fate = { .kind = QUEUE_BACK };
	bool number = argv[1][strspn(argv[1], "0123456789")] == '\0';

	(void)argc;
	if (number || o->force) {
		if (o->dead || o->delay_ns >= 0)
			errx(EX_USAGE, "--dead and -D need a receipt");
		return take_away(o, argv[0], argv + 1);
	}
	if (o->group != NULL)
		errx(EX_USAGE, "-g: a receipt knows its group");
	if (o->dead && o->delay_ns >= 0)
		errx(EX_USAGE, "--dead and -D exclude each other");
	if (o->dead) {
		fate.kind = QUEUE_DIE;
		fate.reason = "nacked";
	} else if (o->delay_ns >= 0) {
		fate.kind = QUEUE_RETRY;
		fate.due_ns = wall_now_ns() + o->delay_ns;
	}
	return settle(argv[0], argv + 1, &fate);
}

int
qctl_extend(const struct options *o, int argc, char *argv[])
{
	const char *path = argv[0];
	struct queue *q;
	int status = EX_OK;

	(void)argc;
	if (o->lease_ns < 0)
		errx(EX_USAGE, "extend needs -l lease");
	q = open_queue(path, QUEUE_USE);
	for (argv++; *argv != NULL; argv++)
		status = answer(path, *argv,
		    queue_receipt_extend(q, *argv, o->lease_ns), status);
	queue_close(q);
	return status;
}
