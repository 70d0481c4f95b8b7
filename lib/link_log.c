/*
 * link_log: what was done, kept in memory within limits, and written as it
 * happens where a file was asked for.  Lines that change the net replay; all
 * others are comments.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "link_priv.h"
#include "num.h"

/* --- one line ---------------------------------------------------------- */

static int
json_text(struct buf *b, const char *text)
{
	if (buf_put_byte(b, '"') == -1)
		return -1;
	for (; *text != '\0'; text++) {
		unsigned char ch = (unsigned char)*text;

		if (ch == '"' || ch == '\\') {
			if (buf_put_byte(b, '\\') == -1 ||
			    buf_put_byte(b, ch) == -1)
				return -1;
		} else if (ch < 0x20 || ch >= 0x7f) {
			if (buf_printf(b, "\\u%04x", ch) == -1)
				return -1;
		} else if (buf_put_byte(b, ch) == -1) {
			return -1;
		}
	}
	return buf_put_byte(b, '"');
}

static int
put_text(struct buf *b, const struct log_line *ll)
{
	if (buf_printf(b, "%sat %" PRId64 ".%03" PRId64 " %s",
	    ll->comment ? "# " : "", ll->t_ns / NUM_NS_PER_S,
	    ll->t_ns / NUM_NS_PER_MS % 1000, ll->text) == -1)
		return -1;
	if (ll->result == NULL && ll->by == NULL)
		return 0;
	return buf_printf(b, " #%s%s%s%s", ll->result != NULL ? " " : "",
	    ll->result != NULL ? ll->result : "",
	    ll->by != NULL ? " by " : "", ll->by != NULL ? ll->by : "");
}

static int
put_json(struct buf *b, const struct link_net *n, const struct log_line *ll)
{
	if (buf_printf(b, "{\"seq\":%" PRIu64 ",\"t\":%" PRId64 ".%06" PRId64
	    ",\"wall\":%" PRId64 ",\"ev\":\"%s\",\"text\":", ll->seq,
	    ll->t_ns / NUM_NS_PER_S, ll->t_ns / NUM_NS_PER_US % 1000000,
	    ll->wall_ns, ll->ev) == -1 || json_text(b, ll->text) == -1)
		return -1;
	if (ll->result != NULL && (buf_put_str(b, ",\"result\":") == -1 ||
	    json_text(b, ll->result) == -1))
		return -1;
	if (ll->by != NULL && (buf_put_str(b, ",\"by\":") == -1 ||
	    json_text(b, ll->by) == -1))
		return -1;
	return buf_printf(b, ",\"seed\":%" PRIu64 "}", n->seed);
}

static void
write_line(struct link_net *n, const struct log_line *ll)
{
	struct buf b = { 0 };
	int rc;

	if (n->o.log == NULL)
		return;
	rc = n->o.log_json ? put_json(&b, n, ll) : put_text(&b, ll);
	if (rc == 0) {
		fprintf(n->o.log, "%.*s\n", (int)b.len, (char *)b.data);
		fflush(n->o.log);
	}
	buf_release(&b);
}

static void
line_release(struct log_line *ll)
{
	free(ll->text);
	free(ll->result);
	free(ll->by);
}

static void
add(struct link_net *n, bool comment, const char *ev, const char *text,
    const char *result, const char *by)
{
	struct log_line ll = { .ev = ev, .comment = comment };
	size_t size;

	ll.t_ns = net_now(n) - n->start_ns;
	ll.wall_ns = wall_now_ns();
	ll.seq = n->log_seq++;
	ll.text = strdup(text);
	ll.result = result != NULL && result[0] != '\0' ? strdup(result) : NULL;
	ll.by = by != NULL ? strdup(by) : NULL;
	if (n->log == NULL)
		n->log = calloc(LINK_LOG_LINES, sizeof(*n->log));
	if (ll.text != NULL)
		write_line(n, &ll);
	/* Comments leave half of the room to what replays. */
	size = strlen(text) + (result != NULL ? strlen(result) : 0);
	if (n->log == NULL || ll.text == NULL ||
	    n->log_cnt >= LINK_LOG_LINES / (comment ? 2 : 1) ||
	    n->log_bytes + size > LINK_LOG_BYTES / (comment ? 2 : 1)) {
		line_release(&ll);
		n->log_lost++;
		return;
	}
	n->log_bytes += size;
	n->log[n->log_cnt++] = ll;
}

void
log_verb(struct link_net *n, const char *ev, const char *text,
    const char *result, const char *by)
{
	add(n, false, ev, text, result, by);
	trace_verb(n, text);
}

void
log_note(struct link_net *n, const char *ev, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(n, true, ev, text, NULL, NULL);
}

void
log_decision(struct link_net *n, const struct dir *d, enum fault_kind k,
    uint64_t frame)
{
	struct decision *more;
	size_t cap;

	if (n->decisions_cnt == LINK_DECISIONS) {
		n->decisions_lost++;
		return;
	}
	if (n->decisions_cnt == n->decisions_cap) {
		cap = n->decisions_cap == 0 ? 256 : n->decisions_cap * 2;
		more = reallocarray(n->decisions, cap, sizeof(*more));
		if (more == NULL) {
			n->decisions_lost++;
			return;
		}
		n->decisions = more;
		n->decisions_cap = cap;
	}
	n->decisions[n->decisions_cnt++] = (struct decision){
		.from = (unsigned char)d->link->from->index,
		.to = (unsigned char)d->link->to->index,
		.kind = (unsigned char)k,
		.dialler = (unsigned char)d->side,
		.port = d->conn->port,
		.ordinal = d->conn->ordinal,
		.frame = frame,
	};
}

/* --- showing it -------------------------------------------------------- */

static int
number_cmp(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int
decision_cmp(const void *pa, const void *pb)
{
	const struct decision *a = pa, *b = pb;
	int c;

	if ((c = number_cmp(a->from, b->from)) != 0 ||
	    (c = number_cmp(a->to, b->to)) != 0 ||
	    (c = strcmp(a->port->name, b->port->name)) != 0 ||
	    (c = number_cmp(a->dialler, b->dialler)) != 0 ||
	    (c = number_cmp(a->ordinal, b->ordinal)) != 0 ||
	    (c = number_cmp(a->frame, b->frame)) != 0)
		return c;
	return number_cmp(a->kind, b->kind);
}

/* n1 n2 [socket api] [answers] conn 3 [frame 7] loss */
static void
show_decisions(struct link_net *n, struct answer *a)
{
	const struct decision *d;
	char frame[32], name[NETCTL_NAME_MAX + 16];

	if (n->decisions_cnt > 0)
		qsort(n->decisions, n->decisions_cnt, sizeof(*n->decisions),
		    decision_cmp);
	for (size_t i = 0; i < n->decisions_cnt; i++) {
		d = &n->decisions[i];
		frame[0] = name[0] = '\0';
		if (d->frame > 0)
			(void)snprintf(frame, sizeof(frame), " %s %" PRIu64,
			    d->kind >= FAULT_RESET ? "event" : "frame",
			    d->frame);
		if (d->port->name[0] != '\0')
			(void)snprintf(name, sizeof(name), " socket %s",
			    d->port->name);
		body_line(a, "%s %s%s%s conn %" PRIu64 "%s %s",
		    n->nodes[d->from]->name, n->nodes[d->to]->name, name,
		    d->dialler != 0 ? " answers" : "", d->ordinal, frame,
		    fault_names[d->kind]);
	}
	if (n->decisions_lost > 0)
		body_line(a, "# %" PRIu64 " decisions were not kept",
		    n->decisions_lost);
}

void
log_show(struct link_net *n, const struct netctl *c, struct answer *a)
{
	const struct log_line *ll;
	struct buf b = { 0 };

	for (size_t i = 0; i < n->log_cnt; i++) {
		ll = &n->log[i];
		if (c->what == NETCTL_DECISIONS) {
			if (!ll->comment)
				body_line(a, "%s", ll->text);
			continue;
		}
		b.len = 0;
		if ((c->what == NETCTL_JSON ? put_json(&b, n, ll) :
		    put_text(&b, ll)) == 0)
			body_line(a, "%.*s", (int)b.len, (char *)b.data);
	}
	buf_release(&b);
	if (n->log_lost > 0 && c->what != NETCTL_JSON)
		body_line(a, "# %" PRIu64 " lines were not kept", n->log_lost);
	if (c->what == NETCTL_DECISIONS)
		show_decisions(n, a);
}

void
log_free(struct link_net *n)
{
	for (size_t i = 0; i < n->log_cnt; i++)
		line_release(&n->log[i]);
	free(n->log);
	free(n->decisions);
}
