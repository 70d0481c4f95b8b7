/* qdepth_show: numbers, a table, JSON or Prometheus text; see qdepth(1). */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <json-c/json.h>

#include "num.h"
#include "qdepth.h"

#define TEXT_MAX	32

/* --- numbers ------------------------------------------------------------------ */

static int
show_numbers(struct buf *out, const struct view *v, size_t cnt)
{
	int rc = 0;

	for (size_t i = 0; i < cnt; i++) {
		if (v[i].bad)
			continue;
		if (cnt == 1)
			rc |= buf_printf(out, "%" PRIu64 "\n", v[i].number);
		else
			rc |= buf_printf(out, "%" PRIu64 "\t%s\n",
			    v[i].number, v[i].path);
	}
	return rc;
}

/* --- a table -------------------------------------------------------------------- */

static int
row(struct buf *out, const char *what, const char *value, const char *group)
{
	if (group == NULL)
		return buf_printf(out, "%-9s  %12s\n", what, value);
	return buf_printf(out, "%-9s  %12s  %s\n", what, value, group);
}

static int
row_number(struct buf *out, const char *what, uint64_t n, const char *group)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return row(out, what, text, group);
}

static int
row_age(struct buf *out, const char *what, int64_t ts_ns, const char *group)
{
	char text[TEXT_MAX] = "-";

	if (ts_ns != 0)
		num_format_duration(view_age_ns(ts_ns), text, sizeof(text));
	return row(out, what, text, group);
}

static int
row_rate(struct buf *out, const char *what, double rate)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), rate < 10 ? "%.1f/s" : "%.0f/s", rate);
	return row(out, what, text, NULL);
}

static int
row_size(struct buf *out, const char *what, uint64_t bytes)
{
	char text[TEXT_MAX];

	return row(out, what, num_format_size(bytes, text, sizeof(text)),
	    NULL);
}

static int
row_drain(struct buf *out, const struct queue_stats *st)
{
	double secs = view_drain(st->depth, st->push_rate, st->finish_rate);
	char text[TEXT_MAX] = "never";

	if (secs > 1e9)
		secs = 1e9;
	if (secs >= 0)
		num_format_duration((int64_t)(secs * 1e9), text, sizeof(text));
	return row(out, "drain", text, NULL);
}

static int
table_group(struct buf *out, const struct queue_group_stats *g)
{
	int rc = 0;

	rc |= row_number(out, "ready", g->ready, g->name);
	rc |= row_number(out, "in-flight", g->in_flight, g->name);
	rc |= row_number(out, "delayed", g->delayed, g->name);
	rc |= row_number(out, "dead", g->dead, g->name);
	rc |= row_number(out, "blocked", g->blocked_keys, g->name);
	rc |= row_age(out, "oldest", g->oldest_ns, g->name);
	return rc;
}

static int
show_table(struct buf *out, const struct view *v, size_t cnt)
{
	int rc = 0;

	for (size_t i = 0; i < cnt; i++) {
		const struct queue_stats *st = &v[i].st;

		if (v[i].bad)
			continue;
		if (cnt > 1)
			rc |= buf_printf(out, "%-9s  %s\n", "queue",
			    v[i].path);
		rc |= row_number(out, "depth", view_depth(&v[i]), NULL);
		rc |= row_rate(out, "in", st->push_rate);
		rc |= row_rate(out, "out", st->finish_rate);
		rc |= row_drain(out, st);
		rc |= row_number(out, "consumers", st->consumers, NULL);
		rc |= row_number(out, "waiting", st->producers_waiting, NULL);
		if (st->damaged > 0)
			rc |= row_number(out, "damaged", st->damaged, NULL);
		rc |= row_size(out, "live", st->live_bytes);
		rc |= row_size(out, "disk", st->disk_bytes);
		for (size_t j = 0; j < st->groups_cnt; j++)
			if (view_wants(&v[i], &st->groups[j]))
				rc |= table_group(out, &st->groups[j]);
	}
	return rc;
}

/* --- JSON ---------------------------------------------------------------------------- */

static void
put(struct json_object *o, const char *name, struct json_object *value)
{
	if (json_object_object_add(o, name, value) != 0)
		json_object_put(value);
}

static void
put_u64(struct json_object *o, const char *name, uint64_t n)
{
	put(o, name, json_object_new_uint64(n));
}

/* Seconds, to the millisecond; null for what is not there. */
static void
put_secs(struct json_object *o, const char *name, double secs)
{
	char text[TEXT_MAX];

	snprintf(text, sizeof(text), "%.3f", secs);
	put(o, name, secs < 0 ? NULL : json_object_new_double_s(secs, text));
}

static double
age_secs(int64_t ts_ns)
{
	return ts_ns == 0 ? -1 : (double)view_age_ns(ts_ns) / 1e9;
}

static struct json_object *
json_group(const struct queue_group_stats *g)
{
	struct json_object *o = json_object_new_object();

	put(o, "group", json_object_new_string(g->name));
	put_u64(o, "depth", g->depth);
	put_u64(o, "ready", g->ready);
	put_u64(o, "in_flight", g->in_flight);
	put_u64(o, "delayed", g->delayed);
	put_u64(o, "dead", g->dead);
	put_u64(o, "blocked_keys", g->blocked_keys);
	put_secs(o, "oldest_seconds", age_secs(g->oldest_ns));
	return o;
}

static struct json_object *
json_queue(const struct view *v)
{
	const struct queue_stats *st = &v->st;
	struct json_object *o = json_object_new_object(),
	    *groups = json_object_new_array();

	put(o, "queue", json_object_new_string(v->path));
	put_u64(o, "depth", view_depth(v));
	put_u64(o, "dead", st->dead);
	put_u64(o, "damaged", st->damaged);
	put_u64(o, "pushed", st->pushed);
	put_u64(o, "finished", st->finished);
	put_secs(o, "oldest_seconds", age_secs(st->oldest_ns));
	put_secs(o, "in_rate", st->push_rate);
	put_secs(o, "out_rate", st->finish_rate);
	put_secs(o, "drain_seconds",
	    view_drain(st->depth, st->push_rate, st->finish_rate));
	put_u64(o, "consumers", st->consumers);
	put_u64(o, "producers_waiting", st->producers_waiting);
	put_u64(o, "live_bytes", st->live_bytes);
	put_u64(o, "disk_bytes", st->disk_bytes);
	put(o, "durable", json_object_new_boolean(st->durable));
	for (size_t i = 0; i < st->groups_cnt; i++)
		if (view_wants(v, &st->groups[i]))
			json_object_array_add(groups,
			    json_group(&st->groups[i]));
	put(o, "groups", groups);
	return o;
}

static int
show_json(struct buf *out, const struct view *v, size_t cnt)
{
	int rc = 0;

	for (size_t i = 0; i < cnt; i++) {
		struct json_object *o;

		if (v[i].bad)
			continue;
		o = json_queue(&v[i]);
		rc |= buf_put_str(out, json_object_to_json_string_ext(o,
		    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		rc |= buf_put_byte(out, '\n');
		json_object_put(o);
	}
	return rc;
}

/* --- Prometheus ---------------------------------------------------------------------- */

/* A metric of a queue, or of its groups in one state. */
struct metric {
	const char *name, *type, *help;
	double (*of_queue)(const struct queue_stats *st);
	double (*of_group)(const struct queue_group_stats *g);
	const char *label;		/* e.g. state="ready" */
};

#define OF_QUEUE(name, expr)						\
	static double							\
	name(const struct queue_stats *st)				\
	{								\
		return (double)(expr);					\
	}
#define OF_GROUP(name, expr)						\
	static double							\
	name(const struct queue_group_stats *g)				\
	{								\
		return (double)(expr);					\
	}

OF_QUEUE(q_depth, st->depth)
OF_QUEUE(q_damaged, st->damaged)
OF_QUEUE(q_pushed, st->pushed)
OF_QUEUE(q_finished, st->finished)
OF_QUEUE(q_consumers, st->consumers)
OF_QUEUE(q_waiting, st->producers_waiting)
OF_QUEUE(q_live, st->live_bytes)
OF_QUEUE(q_disk, st->disk_bytes)
OF_QUEUE(q_drain, view_drain(st->depth, st->push_rate, st->finish_rate))
OF_GROUP(g_ready, g->ready)
OF_GROUP(g_in_flight, g->in_flight)
OF_GROUP(g_delayed, g->delayed)
OF_GROUP(g_dead, g->dead)
OF_GROUP(g_blocked, g->blocked_keys)
OF_GROUP(g_oldest, g->oldest_ns == 0 ? 0.0 : age_secs(g->oldest_ns))

#define MESSAGES	"queue_messages", "gauge", \
	"Messages by group and state."
#define BYTES		"queue_bytes", "gauge", \
	"Bytes of unfinished messages, and on disk."

static const struct metric metrics[] = {
	{ "queue_depth", "gauge", "Messages some group has not finished.",
	    q_depth, NULL, NULL },
	{ MESSAGES, NULL, g_ready, "state=\"ready\"" },
	{ MESSAGES, NULL, g_in_flight, "state=\"in_flight\"" },
	{ MESSAGES, NULL, g_delayed, "state=\"delayed\"" },
	{ MESSAGES, NULL, g_dead, "state=\"dead\"" },
	{ "queue_blocked_keys", "gauge", "Keys with messages behind another.",
	    NULL, g_blocked, NULL },
	{ "queue_oldest_message_age_seconds", "gauge",
	    "Age of the oldest unfinished message.", NULL, g_oldest, NULL },
	{ "queue_pushed_total", "counter", "Messages pushed.", q_pushed,
	    NULL, NULL },
	{ "queue_finished_total", "counter",
	    "Messages finished in every group.", q_finished, NULL, NULL },
	{ "queue_drain_seconds", "gauge",
	    "Time to drain at the rates of the last minute, -1 for never.",
	    q_drain, NULL, NULL },
	{ "queue_damaged_messages", "gauge",
	    "Messages that no longer match their checksum.", q_damaged, NULL,
	    NULL },
	{ "queue_consumers", "gauge", "Processes that take or hold messages.",
	    q_consumers, NULL, NULL },
	{ "queue_producers_waiting", "gauge", "Producers waiting for room.",
	    q_waiting, NULL, NULL },
	{ BYTES, q_live, NULL, "kind=\"live\"" },
	{ BYTES, q_disk, NULL, "kind=\"disk\"" },
};

static int
prom_label(struct buf *out, const char *name, const char *value)
{
	int rc = buf_printf(out, "%s=\"", name);

	for (; *value != '\0'; value++) {
		if (*value == '\n') {
			rc |= buf_put_str(out, "\\n");
			continue;
		}
		if (*value == '\\' || *value == '"')
			rc |= buf_put_byte(out, '\\');
		rc |= buf_put_byte(out, (unsigned char)*value);
	}
	return rc | buf_put_byte(out, '"');
}

static int
prom_sample(struct buf *out, const struct metric *m, const char *path,
    const char *group, double value)
{
	int rc = buf_printf(out, "%s{", m->name);

	rc |= prom_label(out, "queue", path);
	if (group != NULL) {
		rc |= buf_put_byte(out, ',');
		rc |= prom_label(out, "group", group);
	}
	if (m->label != NULL)
		rc |= buf_printf(out, ",%s", m->label);
	/* Whole numbers as such, times to the millisecond. */
	return rc | buf_printf(out, "} %.*f\n", value == trunc(value) ? 0 : 3,
	    value);
}

static int
show_prom(struct buf *out, const struct view *v, size_t cnt)
{
	const char *last = "";
	int rc = 0;

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		const struct metric *m = &metrics[i];

		if (strcmp(m->name, last) != 0)
			rc |= buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n",
			    m->name, m->help, m->name, m->type);
		last = m->name;
		for (size_t j = 0; j < cnt; j++) {
			const struct queue_stats *st = &v[j].st;

			if (v[j].bad)
				continue;
			if (m->of_queue != NULL)
				rc |= prom_sample(out, m, v[j].path, NULL,
				    m->of_queue(st));
			for (size_t k = 0; m->of_group != NULL &&
			    k < st->groups_cnt; k++)
				if (view_wants(&v[j], &st->groups[k]))
					rc |= prom_sample(out, m, v[j].path,
					    st->groups[k].name,
					    m->of_group(&st->groups[k]));
		}
	}
	return rc;
}

/* ------------------------------------------------------------------------------- */

int
show(struct buf *out, const struct options *o, const struct view *v,
    size_t cnt)
{
	int rc = -1;

	switch (o->form) {
	case FORM_NUMBER:
		rc = show_numbers(out, v, cnt);
		break;
	case FORM_TABLE:
		rc = show_table(out, v, cnt);
		break;
	case FORM_JSON:
		rc = show_json(out, v, cnt);
		break;
	case FORM_PROM:
		rc = show_prom(out, v, cnt);
		break;
	}
	if (rc != 0)
		errno = ENOMEM;
	return rc == 0 ? 0 : -1;
}
