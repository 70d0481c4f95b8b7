/*
 * lincheck_history: hostile bytes as a history, then judged.  The first byte
 * chooses format and model, the second the level and what is asked for.  A
 * witness must be a permutation of completed operations, a window not empty.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hist.h"
#include "linz.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_order(const struct op_history *h, const struct linz_result *r)
{
	uint8_t *seen = calloc(h->cnt + 1, 1);

	if (seen == NULL)
		abort();
	for (size_t i = 0; i < r->order_cnt; i++) {
		uint32_t op = r->order[i].op;

		/* A drain is several operations of one line. */
		if (op >= h->cnt || h->ops[op].class == OP_FAIL ||
		    (seen[op]++ && r->model != LINZ_FIFO))
			abort();
	}
	free(seen);
}

static void
judge(struct op_history *h, uint8_t a, uint8_t b)
{
	struct linz_conf conf = {
		.model = (enum linz_model)(a / 8 % 10),
		.level = (enum linz_level)(b % 3),
		.nil_any = (b & 4) != 0,
		.deadline = mono_after(INT64_C(200000000)),
		.memory_max = 16U << 20,
		.states_max = 3000,
		.want_order = (b & 8) != 0,
		.want_window = (b & 16) != 0,
	};
	struct linz_result r;

	if (linz_judge(h, &conf, &r) == 0) {
		if (r.verdict == LINZ_YES)
			check_order(h, &r);
		if (r.verdict == LINZ_NO && conf.want_window &&
		    r.window_cnt == 0)
			abort();
	}
	linz_release(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct hist_conf conf = { 0 };
	struct op_history h;
	struct hist_note note;

	if (size < 2)
		return 0;
	if (fd == -1)
		fd = memfd_create("history", MFD_CLOEXEC);
	if (fd == -1 || ftruncate(fd, 0) == -1 ||
	    pwrite(fd, data + 2, size - 2, 0) != (ssize_t)(size - 2) ||
	    lseek(fd, 0, SEEK_SET) == -1)
		abort();
	conf.format = (enum hist_format)(data[0] % 8 % 6);
	conf.reuse = (data[1] & 32) != 0;
	conf.independent = (enum hist_choice)((data[1] >> 6) % 3);
	if (hist_read(fd, &conf, &h, &note) == -1)
		return 0;
	judge(&h, data[0], data[1]);
	op_history_release(&h);
	return 0;
}
