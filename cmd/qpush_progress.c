/* qpush_progress: rate, done and left, on a terminal only. */

#include <sys/stat.h>

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "num.h"
#include "qpush.h"

#define FIRST_NS	NUM_NS_PER_S		/* short work stays silent */
#define EVERY_NS	(200 * NUM_NS_PER_MS)

static struct {
	bool on, shown;
	uint64_t size;			/* of the input, 0: not known */
	struct mono begun, next;
} progress;

void
progress_init(bool quiet, int fd)
{
	struct stat st;

	progress.on = !quiet && isatty(STDERR_FILENO) && !isatty(fd);
	progress.begun = mono_now();
	progress.next = mono_after(FIRST_NS);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		progress.size = (uint64_t)st.st_size;
}

void
progress_show(uint64_t stored, uint64_t bytes)
{
	double secs;

	if (!progress.on || !mono_passed(progress.next))
		return;
	progress.next = mono_after(EVERY_NS);
	secs = (double)(mono_now().ns - progress.begun.ns) / 1e9;
	fprintf(stderr, "\rqpush: %" PRIu64 " stored, %.0f/s", stored,
	    (double)stored / secs);
	if (bytes > 0 && progress.size > bytes)
		fprintf(stderr, ", %.0f%%, %.0f s left",
		    100.0 * (double)bytes / (double)progress.size,
		    secs * (double)(progress.size - bytes) / (double)bytes);
	fprintf(stderr, "\033[K");
	progress.shown = true;
}

void
progress_clear(void)
{
	if (progress.shown)
		fprintf(stderr, "\r\033[K");
	progress.shown = false;
}
