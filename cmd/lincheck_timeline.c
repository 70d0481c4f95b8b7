/*
 * lincheck_timeline: the window as a space-time diagram, one row a process.
 *
 * Columns are the order of calls and returns, not their distance: what is
 * drawn overlapping was concurrent, and nothing else was.
 */

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "lincheck_priv.h"

#define COLUMNS		80
#define NAME_MAX_COLS	10
#define OPS_MAX		16		/* operations drawn */
#define LIST_MAX	100		/* operations listed */
#define LABEL_MAX	24

struct bar {
	uint32_t op;
	int64_t call, ret;
	bool open, culprit;
	int from, to;			/* points, then columns */
	int row;
	char label[LABEL_MAX + 1];
	char brief[LABEL_MAX + 1];	/* where there is no room for it */
};

struct diagram {
	const struct lincheck_report *p;
	struct bar bars[OPS_MAX];
	int bars_cnt, rows;
	size_t left_out;
	struct { char name[NAME_MAX_COLS + 1]; uint32_t proc; int last; }
	    row[OPS_MAX];
	int points;
	int column[2 * OPS_MAX + 1];	/* of each point */
};

struct point {
	int64_t at;
	int bar;
	bool ret;
};

/* A column a character: what is not ASCII becomes one question mark. */
static void
narrow(char *s)
{
	char *out = s;

	for (; *s != '\0'; s++)
		if (((unsigned char)*s & 0xc0) != 0x80)
			*out++ = *s;
		else
			out[-1] = '?';
	*out = '\0';
}

/* "write 3" and "w3"; the heading names the key. */
static void
set_label(struct diagram *d, struct bar *b)
{
	const struct op *o = &d->p->h->ops[b->op];
	struct buf t = { 0 };
	struct op_history one = *d->p->h;
	struct op copy = *o;
	const char *p, *value;

	copy.key = OP_NIL;
	one.ops = &copy;
	if (linz_describe(&one, 0, LABEL_MAX, &t) == -1 ||
	    buf_put_byte(&t, 0) == -1)
		err(EX_OSERR, NULL);
	narrow((char *)t.data);
	p = (const char *)t.data;
	value = strstr(p, " -> ");
	if (value != NULL) {
		(void)snprintf(b->label, sizeof(b->label), "%.*s %s",
		    (int)(value - p), p, value + 4);
		value += 4;
	} else {
		(void)strlcpy(b->label, p, sizeof(b->label));
		value = strchr(p, ' ');
		value = value == NULL ? "" : value + 1;
	}
	(void)snprintf(b->brief, sizeof(b->brief), "%c%s", *p, value);
	buf_release(&t);
}

/* Which part of a long window is drawn: the end, and the culprit. */
static void
take_bars(struct diagram *d)
{
	const struct linz_result *r = d->p->r;
	size_t from = r->window_cnt > OPS_MAX ? r->window_cnt - OPS_MAX : 0;
	size_t culprit = r->window_cnt;

	d->left_out = from;
	for (size_t i = 0; i < from; i++)
		if (r->window[i].op == r->culprit)
			culprit = i;
	for (size_t i = from; i < r->window_cnt; i++) {
		struct bar *b = &d->bars[d->bars_cnt++];
		uint32_t op = r->window[i == from && culprit < from ? culprit :
		    i].op;
		const struct op *o = &d->p->h->ops[op];

		*b = (struct bar){ .op = op, .call = o->call,
		    .ret = o->ret, .open = o->ret == OP_NEVER,
		    .culprit = op == r->culprit };
		set_label(d, b);
	}
}

/* A row for each process; another one when it overlaps itself. */
static void
set_rows(struct diagram *d)
{
	for (int i = 0; i < d->bars_cnt; i++) {
		struct bar *b = &d->bars[i];
		uint32_t proc = d->p->h->ops[b->op].proc;
		struct buf t = { 0 };
		int r;

		for (r = 0; r < d->rows; r++)
			if (d->row[r].proc == proc &&
			    !d->bars[d->row[r].last].open &&
			    d->bars[d->row[r].last].ret < b->call)
				break;
		if (r == d->rows) {
			d->rows++;
			d->row[r].proc = proc;
			if (op_print(d->p->h->values, proc, NAME_MAX_COLS,
			    &t) == -1 || buf_put_byte(&t, 0) == -1)
				err(EX_OSERR, NULL);
			narrow((char *)t.data);
			(void)strlcpy(d->row[r].name, (char *)t.data,
			    sizeof(d->row[r].name));
			buf_release(&t);
		}
		d->row[r].last = i;
		b->row = r;
	}
}

static int
by_at(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	/* What is at once overlaps: calls come before returns. */
	if (x->ret != y->ret)
		return x->ret ? 1 : -1;
	return x->bar - y->bar;
}

/* Calls and returns in order; those of open operations behind all. */
static void
set_points(struct diagram *d)
{
	struct point pt[2 * OPS_MAX] = { { 0 } };
	int cnt = 0;

	for (int i = 0; i < d->bars_cnt; i++) {
		pt[cnt++] = (struct point){ d->bars[i].call, i, false };
		if (!d->bars[i].open)
			pt[cnt++] = (struct point){ d->bars[i].ret, i, true };
	}
	qsort(pt, (size_t)cnt, sizeof(*pt), by_at);
	for (int i = 0; i < cnt; i++) {
		if (pt[i].ret)
			d->bars[pt[i].bar].to = i;
		else
			d->bars[pt[i].bar].from = i;
	}
	for (int i = 0; i < d->bars_cnt; i++)
		if (d->bars[i].open)
			d->bars[i].to = cnt;
	d->points = cnt + 1;
}

/* Room for the labels, as far as the width allows. */
static void
set_columns(struct diagram *d, int width)
{
	int total;

	for (int i = 0; i < d->points; i++)
		d->column[i] = 2 * i;
	for (int to = 1; to < d->points; to++)
		for (int i = 0; i < d->bars_cnt; i++) {
			const struct bar *b = &d->bars[i];
			int lack;

			if (b->to != to)
				continue;
			lack = (int)strlen(b->label) + 4 -
			    (d->column[b->to] - d->column[b->from]);
			for (int j = to; lack > 0 && j < d->points; j++)
				d->column[j] += lack;
		}
	total = d->column[d->points - 1];
	if (total < width || total == 0)
		return;
	for (int i = 0; i < d->points; i++) {
		d->column[i] = d->column[i] * (width - 1) / total;
		if (i > 0 && d->column[i] <= d->column[i - 1])
			d->column[i] = d->column[i - 1] + 1;
	}
	for (int i = d->points - 1, most = width - 1; i >= 0; i--, most--)
		if (d->column[i] > most)
			d->column[i] = most;
}

static void
draw(const struct diagram *d, const struct bar *b, char *line)
{
	int from = d->column[b->from], to = d->column[b->to];
	int room = to - from - 1, len = (int)strlen(b->label), at;
	const char *label = len <= room ? b->label : b->brief;

	len = (int)strlen(label);
	for (int i = from; i <= to; i++)
		line[i] = b->culprit ? '!' : '-';
	line[from] = '|';
	line[to] = b->open ? '?' : '|';
	if (len > room)
		len = room;
	at = from + 1 + (room - len) / 2;
	memcpy(line + at, label, (size_t)len);
}

static void
print_line_numbers(const struct op *o)
{
	if (o->ret_line != 0 && o->ret_line != o->call_line)
		printf("  lines %u, %u: ", o->call_line, o->ret_line);
	else
		printf("  line %u: ", o->call_line);
}

/* Seconds since the first call that is shown. */
static void
print_times(const struct op *o, int64_t first)
{
	double from = (double)(o->call - first) / 1e9;

	if (o->ret == OP_NEVER)
		printf(" [%.6f, ?]", from);
	else
		printf(" [%.6f, %.6f]", from, (double)(o->ret - first) / 1e9);
}

static void
list(const struct lincheck_report *p)
{
	const struct linz_result *r = p->r;
	size_t from = r->window_cnt > LIST_MAX ? r->window_cnt - LIST_MAX : 0;
	int64_t first = p->h->ops[r->window[from].op].call;
	struct buf t = { 0 };

	if (from > 0)
		printf("  (%zu before these)\n", from);
	for (size_t i = from; i < r->window_cnt; i++) {
		uint32_t op = r->window[i].op;
		const struct op *o = &p->h->ops[op];

		t.len = 0;
		if (linz_describe(p->h, op, 200, &t) == -1)
			err(EX_OSERR, NULL);
		print_line_numbers(o);
		printf("%.*s", (int)t.len, t.data);
		if (p->h->timed)
			print_times(o, first);
		printf("%s%s\n", o->ret == OP_NEVER ? " indeterminate" :
		    r->window[i].optional ? " (may be left out)" : "",
		    op == r->culprit ? " <- no order from here on" : "");
	}
	buf_release(&t);
}

static void
lay_out(struct diagram *d, const struct lincheck_report *p, int columns,
    int *name_cols)
{
	*d = (struct diagram){ .p = p };
	take_bars(d);
	set_rows(d);
	set_points(d);
	*name_cols = 0;
	for (int r = 0; r < d->rows; r++)
		if ((int)strlen(d->row[r].name) > *name_cols)
			*name_cols = (int)strlen(d->row[r].name);
	set_columns(d, columns - *name_cols - 2);
}

void
timeline_text(const struct lincheck_report *p)
{
	char line[COLUMNS + 2 * OPS_MAX + 2];
	struct diagram d;
	int name_cols, end;

	lay_out(&d, p, COLUMNS, &name_cols);
	for (int r = 0; r < d.rows; r++) {
		memset(line, ' ', sizeof(line));
		for (int i = 0; i < d.bars_cnt; i++)
			if (d.bars[i].row == r)
				draw(&d, &d.bars[i], line);
		for (end = sizeof(line) - 1; end > 0 && line[end - 1] == ' ';
		    end--)
			;
		printf("%-*s  %.*s\n", name_cols, d.row[r].name, end, line);
	}
	if (d.left_out > 0)
		printf("  (the diagram leaves out %zu of them)\n", d.left_out);
	list(p);
}

/* --- SVG ----------------------------------------------------------------- */

#define UNIT		9		/* pixels a column */
#define ROW		44		/* pixels a row */
#define LEFT		100
#define SVG_COLUMNS	1000		/* room for every label */
#define HEADING_MIN	560		/* pixels, for the longest name */

static void
put_xml(FILE *f, const char *s)
{
	for (; *s != '\0'; s++) {
		switch (*s) {
		case '<':
			fputs("&lt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			if ((unsigned char)*s < 0x80)
				fputc(*s, f);
			else
				fputc('?', f);
			break;
		}
	}
}

static void
draw_svg(const struct diagram *d, const struct bar *b, FILE *f)
{
	int x = LEFT + d->column[b->from] * UNIT, y = 40 + b->row * ROW;
	int w = (d->column[b->to] - d->column[b->from]) * UNIT;

	fprintf(f, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"26\" rx=\"3\""
	    " fill=\"%s\" stroke=\"#333\"%s><title>line %u</title></rect>\n", x,
	    y, w, b->culprit ? "#f6b3a8" : "#cfe3f5",
	    b->open ? " stroke-dasharray=\"4 3\"" : "",
	    d->p->h->ops[b->op].call_line);
	fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
	    x + w / 2, y + 17);
	put_xml(f, b->label);
	fprintf(f, "</text>\n");
}

int
timeline_svg(const struct lincheck_report *p, const char *path)
{
	FILE *f = fopen(path, "we");
	struct diagram d;
	int name_cols, width;

	if (f == NULL)
		return -1;
	lay_out(&d, p, SVG_COLUMNS, &name_cols);
	width = LEFT + (d.column[d.points - 1] + 2) * UNIT;
	if (width < HEADING_MIN)
		width = HEADING_MIN;
	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
	    "height=\"%d\" font-family=\"monospace\" font-size=\"12\">\n"
	    "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
	    "<text x=\"10\" y=\"22\">%s: ", width, 50 + d.rows * ROW,
	    p->verdict);
	put_xml(f, linz_anomaly_name(p->r->anomaly));
	if (d.left_out > 0)
		fprintf(f, " (%zu operations before these)", d.left_out);
	fprintf(f, "</text>\n");
	for (int r = 0; r < d.rows; r++) {
		fprintf(f, "<text x=\"10\" y=\"%d\">", 57 + r * ROW);
		put_xml(f, d.row[r].name);
		fprintf(f, "</text>\n");
	}
	for (int i = 0; i < d.bars_cnt; i++)
		draw_svg(&d, &d.bars[i], f);
	fprintf(f, "</svg>\n");
	if (ferror(f)) {
		(void)fclose(f);
		return -1;
	}
	return fclose(f) == EOF ? -1 : 0;
}
