/*
 * queue_take QUEUE N: take and acknowledge N messages one at a time in one
 * process, and say how many a second; for queue.sh.
 */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "exits.h"
#include "num.h"
#include "queue.h"

int
main(int argc, char *argv[])
{
	const struct queue_take how = { .max_messages = 1, .max_bytes = 1 };
	struct queue_claim claim;
	struct queue_message m;
	struct queue *q;
	struct mono begin;
	uint32_t group;
	int64_t again_ns;
	uint64_t n, i;

	if (argc != 3 || num_u64(argv[2], 1, UINT64_MAX, &n) == -1)
		errx(EX_USAGE, "usage: queue_take queue n");
	if (queue_open(&q, argv[1], QUEUE_USE, NULL, NULL) == -1 ||
	    queue_group(q, "main", &group) == -1)
		err(EX_OSERR, "%s", argv[1]);
	begin = mono_now();
	for (i = 0; i < n; i++) {
		if (queue_take(q, group, &how, &claim, &again_ns) != 1 ||
		    queue_claim_next(q, &claim, &m) != 1)
			err(EX_OSERR, "%s: take", argv[1]);
		if (fwrite(m.payload, 1, m.payload_len, stdout) !=
		    m.payload_len || putchar('\n') == EOF)
			err(EX_IOERR, "stdout");
		if (queue_settle(q, &claim, 0) == -1)
			err(EX_OSERR, "%s: settle", argv[1]);
		queue_claim_release(&claim);
	}
	if (queue_sync(q) == -1)
		err(EX_IOERR, "%s", argv[1]);
	fprintf(stderr, "%.0f\n", (double)n * 1e9 /
	    (double)(mono_now().ns - begin.ns));
	queue_close(q);
	return fflush(stdout) == EOF ? EX_IOERR : EX_OK;
}
