/*
 * link_draw: the last events as a space-time diagram, time downwards, a lane
 * for each node that took part.
 */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "link_priv.h"
#include "num.h"

#define TEXT_COLS	80
#define TEXT_LEFT	10		/* for the time */
#define TEXT_ROWS	200U
#define LANE_MIN	4
#define LANE_MAX	24
#define SVG_ROWS	1000U
#define SVG_LANE	160
#define SVG_LEFT	90
#define SVG_ROW		22

struct drawing {
	struct link_net *n;
	unsigned int lane_of[LINK_NODES_MAX + 1];	/* from 1; 0: none */
	unsigned int node_of[LINK_NODES_MAX + 2];
	unsigned int lanes;
	uint64_t from, to;		/* events */
};

static const struct seen *
event_no(const struct drawing *dr, uint64_t i)
{
	return &dr->n->seen[i % LINK_SEEN_MAX];
}

static void
add_lane(struct drawing *dr, unsigned int node, unsigned int lanes_max)
{
	if (dr->lane_of[node] != 0 || dr->lanes == lanes_max)
		return;
	dr->lane_of[node] = ++dr->lanes;
	dr->node_of[dr->lanes] = node;
}

static void
plan(struct drawing *dr, struct link_net *n, uint64_t rows,
    unsigned int lanes_max)
{
	bool in[LINK_NODES_MAX + 1] = { false };
	uint64_t kept;

	memset(dr, 0, sizeof(*dr));
	dr->n = n;
	dr->to = n->seen_cnt;
	kept = n->seen_cnt < LINK_SEEN_MAX ? n->seen_cnt : LINK_SEEN_MAX;
	dr->from = n->seen_cnt - (kept < rows ? kept : rows);
	for (uint64_t i = dr->from; i < dr->to; i++)
		if (event_no(dr, i)->kind != SEEN_VERB) {
			in[event_no(dr, i)->from] = true;
			in[event_no(dr, i)->to] = true;
		}
	for (unsigned int i = 1; i < n->nodes_cnt; i++)
		if (in[i] || n->nodes_cnt <= 6)
			add_lane(dr, i, lanes_max);
	if (in[LINK_UNKNOWN])
		add_lane(dr, LINK_UNKNOWN, lanes_max);
}

static void
event_label(const struct seen *s, char *text, size_t len, bool shortly)
{
	char size[24], late[24] = "";
	char times[24] = "";

	(void)num_format_size(s->bytes, size, sizeof(size));
	if (s->times > 1 && !shortly)
		(void)snprintf(times, sizeof(times), " x%" PRIu64, s->times);
	if (s->kind == SEEN_BYTES && s->times == 1 &&
	    s->at_ns - s->sent_ns >= NUM_NS_PER_MS && !shortly)
		(void)num_format_duration((s->at_ns - s->sent_ns) /
		    NUM_NS_PER_MS * NUM_NS_PER_MS, late, sizeof(late));
	switch (s->kind) {
	case SEEN_HELD:
		(void)snprintf(text, len, "%s%s%s", shortly ? "" : "held ",
		    size, times);
		break;
	case SEEN_DROPPED:
		(void)snprintf(text, len, "%s%s%s", shortly ? "" : "lost ",
		    size, times);
		break;
	case SEEN_OPEN:
		(void)snprintf(text, len, shortly ? "#%" PRIu64 :
		    "open #%" PRIu64, s->ordinal);
		break;
	case SEEN_RESET:
		(void)snprintf(text, len, shortly ? "R%" PRIu64 :
		    "reset #%" PRIu64, s->ordinal);
		break;
	default:
		(void)snprintf(text, len, "%s%s%s%s", size, times,
		    late[0] != '\0' ? " +" : "", late);
		break;
	}
}

/* --- text -------------------------------------------------------------- */

static void
text_arrow(char *row, const struct seen *s, int a, int b)
{
	int lo = a < b ? a : b, hi = a < b ? b : a, gap = hi - lo - 1, at;
	char label[64];
	char shaft = s->kind == SEEN_OPEN ? '.' : '-';
	size_t len;

	for (int x = lo + 1; x < hi; x++)
		row[x] = shaft;
	row[a < b ? hi - 1 : lo + 1] = a < b ? '>' : '<';
	if (s->kind == SEEN_HELD || s->kind == SEEN_DROPPED ||
	    s->kind == SEEN_RESET)
		row[a < b ? hi - 1 : lo + 1] = 'x';
	event_label(s, label, sizeof(label), false);
	len = strlen(label);
	if ((int)len > gap - 4) {
		event_label(s, label, sizeof(label), true);
		len = strlen(label);
	}
	if ((int)len > gap - 2)
		return;
	at = lo + 1 + (gap - (int)len) / 2;
	if (a < b && at + (int)len > hi - 1)
		at = hi - 1 - (int)len;
	memcpy(row + at, label, len);
}

static void
text_row(const struct drawing *dr, int lane, const struct seen *s, char *row)
{
	double t = (double)(s->at_ns - dr->n->start_ns) / 1e9;
	char time[TEXT_LEFT + 16];
	int xs[LINK_NODES_MAX + 2];
	size_t len;

	memset(row, ' ', TEXT_COLS);
	row[TEXT_COLS] = '\0';
	(void)snprintf(time, sizeof(time), "%*.3f", TEXT_LEFT - 2, t);
	memcpy(row, time, strlen(time) < TEXT_LEFT ? strlen(time) :
	    TEXT_LEFT);
	for (unsigned int i = 1; i <= dr->lanes; i++) {
		xs[i] = TEXT_LEFT + (int)(i - 1) * lane + lane / 2;
		row[xs[i]] = '|';
	}
	if (s->kind == SEEN_VERB) {
		len = strlen(s->text);
		if (len > TEXT_COLS - TEXT_LEFT - 6)
			len = TEXT_COLS - TEXT_LEFT - 6;
		memcpy(row + TEXT_LEFT + 1, "== ", 3);
		memcpy(row + TEXT_LEFT + 4, s->text, len);
		row[TEXT_LEFT + 4 + len] = ' ';
	} else if (dr->lane_of[s->from] != 0 && dr->lane_of[s->to] != 0) {
		text_arrow(row, s, xs[dr->lane_of[s->from]],
		    xs[dr->lane_of[s->to]]);
	}
	for (len = TEXT_COLS; len > 0 && row[len - 1] == ' '; len--)
		row[len - 1] = '\0';
}

void
draw_text(struct link_net *n, struct answer *a)
{
	unsigned int lanes_max = (TEXT_COLS - TEXT_LEFT) / LANE_MIN;
	struct drawing dr;
	char row[TEXT_COLS + 1];
	const char *name;
	int lane, x;
	size_t len;

	plan(&dr, n, TEXT_ROWS, lanes_max);
	if (dr.lanes == 0) {
		body_line(a, "nothing was seen yet");
		return;
	}
	lane = (TEXT_COLS - TEXT_LEFT) / (int)dr.lanes;
	if (lane > LANE_MAX)
		lane = LANE_MAX;
	if (dr.from > 0)
		body_line(a, "%" PRIu64 " earlier events", dr.from);
	memset(row, ' ', TEXT_COLS);
	for (unsigned int i = 1; i <= dr.lanes; i++) {
		name = n->nodes[dr.node_of[i]]->name;
		len = strlen(name);
		if ((int)len > lane - 1)
			len = (size_t)lane - 1;
		x = TEXT_LEFT + (int)(i - 1) * lane + lane / 2 -
		    (int)len / 2;
		memcpy(row + x, name, len);
	}
	for (len = TEXT_COLS; len > 0 && row[len - 1] == ' '; len--)
		;
	body_line(a, "%.*s", (int)len, row);
	for (uint64_t i = dr.from; i < dr.to; i++) {
		text_row(&dr, lane, event_no(&dr, i), row);
		body_line(a, "%s", row);
	}
}

/* --- SVG --------------------------------------------------------------- */

static const char *
colour(enum seen_kind kind)
{
	switch (kind) {
	case SEEN_HELD:
		return "#c60";
	case SEEN_DROPPED: case SEEN_RESET:
		return "#c00";
	case SEEN_OPEN:
		return "#999";
	default:
		return "#036";
	}
}

static void
svg_text(struct answer *a, int x, int y, const char *anchor, const char *text)
{
	struct buf b = { 0 };
	int rc = 0;

	for (; rc == 0 && *text != '\0'; text++) {
		if (*text == '<' || *text == '>' || *text == '&')
			rc = buf_printf(&b, "&#%d;", *text);
		else
			rc = buf_put_byte(&b, (unsigned char)*text);
	}
	if (rc == 0)
		body_line(a, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">%.*s"
		    "</text>", x, y, anchor, (int)b.len, (char *)b.data);
	buf_release(&b);
}

static void
svg_event(const struct drawing *dr, const struct seen *s, int y, int width,
    struct answer *a)
{
	char label[64];
	int x1, x2, end;

	(void)snprintf(label, sizeof(label), "%.3f",
	    (double)(s->at_ns - dr->n->start_ns) / 1e9);
	svg_text(a, SVG_LEFT - 20, y + 4, "end", label);
	if (s->kind == SEEN_VERB) {
		body_line(a, "<rect x=\"%d\" y=\"%d\" width=\"%d\" "
		    "height=\"%d\" fill=\"#fd8\" opacity=\"0.6\"/>",
		    SVG_LEFT - 10, y - 8, width - SVG_LEFT, SVG_ROW - 6);
		svg_text(a, SVG_LEFT, y + 4, "start", s->text);
		return;
	}
	if (dr->lane_of[s->from] == 0 || dr->lane_of[s->to] == 0)
		return;
	x1 = SVG_LEFT + (int)(dr->lane_of[s->from] - 1) * SVG_LANE +
	    SVG_LANE / 2;
	x2 = SVG_LEFT + (int)(dr->lane_of[s->to] - 1) * SVG_LANE +
	    SVG_LANE / 2;
	end = s->kind == SEEN_HELD || s->kind == SEEN_DROPPED ?
	    x1 + (x2 - x1) * 2 / 3 : x2;
	body_line(a, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" "
	    "stroke=\"%s\"%s marker-end=\"url(#%s)\"/>", x1, y - 2, end, y + 6,
	    colour(s->kind), s->kind == SEEN_OPEN ?
	    " stroke-dasharray=\"3 3\"" : "", end == x2 ? "a" : "x");
	event_label(s, label, sizeof(label), false);
	svg_text(a, (x1 + end) / 2, y - 2, "middle", label);
}

void
draw_svg(struct link_net *n, struct answer *a)
{
	struct drawing dr;
	int width, height, y = 60;

	plan(&dr, n, SVG_ROWS, LINK_NODES_MAX);
	width = SVG_LEFT + (int)(dr.lanes > 0 ? dr.lanes : 1) * SVG_LANE + 20;
	height = 80 + (int)(dr.to - dr.from) * SVG_ROW;
	body_line(a, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
	    "height=\"%d\" font-family=\"monospace\" font-size=\"11\">", width,
	    height);
	body_line(a, "<defs><marker id=\"a\" markerWidth=\"8\" "
	    "markerHeight=\"8\" refX=\"7\" refY=\"3\" orient=\"auto\">"
	    "<path d=\"M0,0 L7,3 L0,6 z\"/></marker><marker id=\"x\" "
	    "markerWidth=\"8\" markerHeight=\"8\" refX=\"4\" refY=\"4\">"
	    "<path d=\"M1,1 L7,7 M7,1 L1,7\" stroke=\"#c00\"/></marker>"
	    "</defs>");
	body_line(a, "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>");
	if (dr.from > 0) {
		char more[48];

		(void)snprintf(more, sizeof(more), "%" PRIu64
		    " earlier events", dr.from);
		svg_text(a, 10, 15, "start", more);
	}
	for (unsigned int i = 1; i <= dr.lanes; i++) {
		int x = SVG_LEFT + (int)(i - 1) * SVG_LANE + SVG_LANE / 2;

		svg_text(a, x, 34, "middle", n->nodes[dr.node_of[i]]->name);
		body_line(a, "<line x1=\"%d\" y1=\"42\" x2=\"%d\" y2=\"%d\" "
		    "stroke=\"#bbb\"/>", x, x, height - 10);
	}
	for (uint64_t i = dr.from; i < dr.to; i++, y += SVG_ROW)
		svg_event(&dr, event_no(&dr, i), y, width, a);
	body_line(a, "</svg>");
}
