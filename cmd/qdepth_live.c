/*
 * qdepth_live: a picture of the queues on a terminal, drawn once a second over
 * the last one.
 */

#include <sys/ioctl.h>

#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "num.h"
#include "qdepth.h"

#define SAMPLES		60
#define WIDTH_MIN	40
#define LEFT		24		/* columns before a sparkline */
#define LEVELS		8

enum { LINE_DEPTH, LINE_IN, LINE_OUT, LINES };

struct history {
	double sample[LINES][SAMPLES];	/* the newest last */
	uint64_t pushed, finished;
	struct mono at;
	bool begun;
};

static struct {
	struct history *of;		/* each queue */
	size_t lines;			/* of the last picture */
	bool utf8, begun;
} live;

static size_t
width(void)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == -1 ||
	    ws.ws_col < WIDTH_MIN)
		return 80;
	return ws.ws_col;
}

static void
add_sample(struct history *h, const struct view *v)
{
	struct mono now = mono_now();
	double secs = (double)(now.ns - h->at.ns) / 1e9;
	double in = v->st.push_rate, out = v->st.finish_rate;

	if (h->begun && secs > 0) {
		in = (double)(v->st.pushed - h->pushed) / secs;
		out = (double)(v->st.finished - h->finished) / secs;
		/* A queue made anew under the same name. */
		if (v->st.pushed < h->pushed || v->st.finished < h->finished)
			in = out = 0;
	}
	for (size_t i = 0; i < LINES; i++)
		memmove(&h->sample[i][0], &h->sample[i][1],
		    (SAMPLES - 1) * sizeof(h->sample[i][0]));
	h->sample[LINE_DEPTH][SAMPLES - 1] = (double)v->number;
	h->sample[LINE_IN][SAMPLES - 1] = in;
	h->sample[LINE_OUT][SAMPLES - 1] = out;
	h->pushed = v->st.pushed;
	h->finished = v->st.finished;
	h->at = now;
	h->begun = true;
}

/* The last samples that fit, from 0 to the largest of them. */
static int
sparkline(struct buf *out, const double *sample, size_t columns)
{
	static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆",
	    "▇", "█" };
	static const char *const plain[] = { "_", ".", "-", "~", "=", "+",
	    "*", "#" };
	const char *const *marks = live.utf8 ? blocks : plain;
	size_t first = columns < SAMPLES ? SAMPLES - columns : 0;
	double top = 0;
	int rc = 0;

	for (size_t i = first; i < SAMPLES; i++)
		if (sample[i] > top)
			top = sample[i];
	for (size_t i = first; i < SAMPLES; i++) {
		size_t level = 0;

		if (top > 0 && sample[i] > 0)
			level = (size_t)(sample[i] / top * (LEVELS - 1));
		rc |= buf_put_str(out, sample[i] > 0 ? marks[level] : " ");
	}
	return rc;
}

static int
line_end(struct buf *out)
{
	live.lines++;
	return buf_put_str(out, "\033[K\n");
}

/* One line of text, cut to the terminal. */
static int
line_text(struct buf *out, const char *text)
{
	int rc = buf_printf(out, "%.*s", (int)width() - 1, text);

	return rc | line_end(out);
}

static int
line_spark(struct buf *out, const char *what, double now, const char *unit,
    const double *sample)
{
	char number[32];
	int rc;

	snprintf(number, sizeof(number), "%.0f%s", now, unit);
	rc = buf_printf(out, "  %-6s%14s  ", what, number);
	rc |= sparkline(out, sample, width() - LEFT - 1);
	return rc | line_end(out);
}

static int
line_states(struct buf *out, const struct view *v)
{
	char text[256], age[24];
	int rc = 0;

	for (size_t i = 0; i < v->st.groups_cnt; i++) {
		const struct queue_group_stats *g = &v->st.groups[i];

		if (!view_wants(v, g))
			continue;
		snprintf(text, sizeof(text), "  %s: %" PRIu64 " ready, %" PRIu64
		    " in flight, %" PRIu64 " delayed, %" PRIu64 " dead, "
		    "oldest %s", g->name, g->ready, g->in_flight, g->delayed,
		    g->dead, g->oldest_ns == 0 ? "-" :
		    num_format_duration(view_age_ns(g->oldest_ns), age,
		    sizeof(age)));
		rc |= line_text(out, text);
	}
	return rc;
}

static int
draw(struct buf *out, const struct view *v, const struct history *h)
{
	double in = h->sample[LINE_IN][SAMPLES - 1],
	    done = h->sample[LINE_OUT][SAMPLES - 1],
	    secs = view_drain(v->number, v->st.push_rate, v->st.finish_rate);
	char text[256], drain[24] = "never";
	int rc;

	if (secs >= 0 && secs < 1e9)
		num_format_duration((int64_t)(secs * 1e9), drain,
		    sizeof(drain));
	snprintf(text, sizeof(text), "%s: drained in: %s, consumers: %u, "
	    "waiting producers: %u", v->path, drain, v->st.consumers,
	    v->st.producers_waiting);
	rc = line_text(out, text);
	rc |= line_spark(out, "depth", (double)v->number, "",
	    h->sample[LINE_DEPTH]);
	rc |= line_spark(out, "in", in, "/s", h->sample[LINE_IN]);
	rc |= line_spark(out, "out", done, "/s", h->sample[LINE_OUT]);
	return rc | line_states(out, v);
}

int
live_draw(struct buf *out, const struct view *v, size_t cnt)
{
	int rc = 0;

	if (!live.begun) {
		if ((live.of = calloc(cnt, sizeof(*live.of))) == NULL)
			return -1;
		live.begun = true;
		setlocale(LC_CTYPE, "");
		live.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	}
	if (live.lines > 0)
		rc |= buf_printf(out, "\033[%zuA", live.lines);
	live.lines = 0;
	for (size_t i = 0; i < cnt; i++) {
		if (v[i].bad)
			continue;
		add_sample(&live.of[i], &v[i]);
		rc |= draw(out, &v[i], &live.of[i]);
	}
	rc |= buf_put_str(out, "\033[J");
	if (rc != 0)
		errno = ENOMEM;
	return rc == 0 ? 0 : -1;
}

void
live_release(void)
{
	free(live.of);
	live.of = NULL;
}
