/* cap-demo_json: the results as objects, one a line. */

#include <err.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "cap-demo_run.h"
#include "exits.h"

static struct json_object *
object(const char *type)
{
	struct json_object *o = json_object_new_object();

	if (o == NULL)
		err(EX_OSERR, NULL);
	json_object_object_add(o, "type", json_object_new_string(type));
	return o;
}

static void
text(struct json_object *o, const char *name, const char *value)
{
	json_object_object_add(o, name, json_object_new_string(value));
}

static void
number(struct json_object *o, const char *name, uint64_t value)
{
	json_object_object_add(o, name, json_object_new_uint64(value));
}

static struct json_object *
decimal(double v)
{
	struct json_object *d = json_object_new_double(v);

	json_object_set_serializer(d, json_object_double_to_json_string,
	    (void *)(uintptr_t)"%.3f", NULL);
	return d;
}

/* Milliseconds; null when there is none. */
static void
time_ms(struct json_object *o, const char *name, int64_t ns)
{
	json_object_object_add(o, name, ns < 0 ? NULL :
	    decimal((double)ns / 1e6));
}

static void
flag(struct json_object *o, const char *name, bool value)
{
	json_object_object_add(o, name, json_object_new_boolean(value));
}

static void
print(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

static void
print_run(const struct run *r)
{
	struct json_object *o = object("run");

	text(o, "job", r->o->job);
	number(o, "replicas", r->net.cnt);
	text(o, "shape", r->o->shape);
	text(o, "groups", r->net.groups);
	number(o, "seed", r->o->seed);
	json_object_object_add(o, "rate", decimal(r->o->rate));
	time_ms(o, "cut_ms", r->cut_ns);
	time_ms(o, "heal_ms", r->heal_ns);
	time_ms(o, "end_ms", r->end_ns);
	time_ms(o, "timeout_ms", r->o->timeout_ns);
	text(o, "reconcile", r->o->siblings ? "siblings" : "lww");
	print(o);
}

static void
print_cell(const struct cell *c, int phase, int side, int level)
{
	struct json_object *o = object("phase");

	text(o, "phase", phase_names[phase]);
	text(o, "side", side_names[side]);
	text(o, "level", level_names[level]);
	number(o, "tried", c->tried);
	number(o, "ok", c->ok);
	number(o, "refused", c->refused);
	number(o, "unknown", c->unknown);
	time_ms(o, "p50_ms", c->p50);
	time_ms(o, "p99_ms", c->p99);
	time_ms(o, "refuse_p50_ms", c->refuse50);
	number(o, "reads", c->reads);
	number(o, "stale", c->stale);
	time_ms(o, "stale_max_ms", c->stale_max_ns);
	number(o, "stale_max_versions", c->stale_max_k);
	print(o);
}

static void
print_fate(const struct fate *f, int class, int level)
{
	struct json_object *o = object("writes");

	text(o, "keys", class_names[class]);
	text(o, "level", level_names[level]);
	number(o, "acked", f->acked);
	number(o, "current", f->current);
	number(o, "overwritten", f->replaced);
	number(o, "lost_read", f->lost_read);
	number(o, "lost_unread", f->lost_unread);
	number(o, "refused", f->refused);
	number(o, "unknown", f->unknown);
	number(o, "appeared", f->appeared);
	number(o, "revived", f->revived);
	number(o, "undone", f->undone);
	number(o, "overtaken", f->overtaken);
	number(o, "unexpected", f->unexpected);
	print(o);
}

static void
print_rmw(const char *type, const struct rmw *m, int level)
{
	struct json_object *o = object(type);

	text(o, "level", level_names[level]);
	number(o, "acked", m->acked);
	number(o, "unknown", m->unknown);
	number(o, "present", m->present);
	number(o, "lost", m->lost);
	print(o);
}

static void
print_sessions(const struct run *r, const struct results *res)
{
	static const char *const names[] = { "read_your_writes",
	    "monotonic_reads", "monotonic_writes", "writes_follow_reads" };
	struct json_object *o;

	for (int roaming = 0; roaming < 2 && r->sessions_cnt > 0; roaming++) {
		o = object("sessions");
		text(o, "clients", roaming ? "roaming" : "sticky");
		for (int i = 0; i < 4; i++)
			number(o, names[i], res->session[i][roaming]);
		print(o);
	}
}

static void
print_links(const struct run *r)
{
	struct json_object *o;

	for (size_t i = 0; i < r->net.proofs_cnt; i++) {
		const struct link_proof *p = &r->net.proofs[i];

		if (!p->blocked)
			continue;
		o = object("link");
		text(o, "from", p->from_name);
		text(o, "to", p->to_name);
		number(o, "held", p->held);
		number(o, "dropped", p->dropped);
		number(o, "deferred", p->deferred);
		print(o);
	}
}

static void
print_verdict(const struct results *res, enum regwire_level level)
{
	const struct judged *j = level == REGWIRE_STRONG ? &res->strong :
	    &res->eventual;
	struct json_object *o;

	if (res->verdict[level] == NOT_ASKED)
		return;
	o = object("verdict");
	text(o, "level", level_names[level]);
	text(o, "verdict", verdict_names[res->verdict[level]]);
	text(o, "lincheck", j->verdict);
	if (j->status == 1)
		text(o, "anomaly", j->anomaly);
	number(o, "operations", j->ops);
	number(o, "asked", res->asked[level]);
	number(o, "unanswered", res->unanswered[level]);
	print(o);
}

static void
print_plain(const struct results *res)
{
	struct json_object *o = object("weak-writer");

	text(o, "lincheck", res->plain.verdict);
	if (res->plain.status == 1)
		text(o, "anomaly", res->plain.anomaly);
	print(o);
}

static void
print_end(const struct run *r, const struct results *res)
{
	struct json_object *o = object("end");

	flag(o, "bit", res->bit);
	if (r->net.conns[1].fd != -1) {		/* replicas of our own */
		flag(o, "converged", res->converged);
		time_ms(o, "converged_ms", r->converged_ns);
		number(o, "reconcile_bytes", r->sync_bytes);
		number(o, "declined", r->declined);
		number(o, "siblings_max", res->siblings_max);
	}
	number(o, "status", (uint64_t)res->status);
	print(o);
}

void
show_json(const struct run *r, const struct results *res)
{
	print_run(r);
	for (int p = BEFORE; p < FINAL; p++)
		for (int s = 0; s < SIDES; s++)
			for (int l = 0; l < LEVELS; l++)
				if (res->cells[p][s][l].tried > 0)
					print_cell(&res->cells[p][s][l], p, s,
					    l);
	for (int k = 0; k < REGISTERS; k++)
		for (int l = 0; l < LEVELS; l++)
			if (res->fates[k][l].acked + res->fates[k][l].unknown +
			    res->fates[k][l].refused > 0)
				print_fate(&res->fates[k][l], k, l);
	for (int l = 0; l < LEVELS; l++) {
		if (res->sets[l].acked > 0)
			print_rmw("set", &res->sets[l], l);
		if (res->counters[l].acked > 0)
			print_rmw("counter", &res->counters[l], l);
	}
	print_sessions(r, res);
	print_links(r);
	print_verdict(res, REGWIRE_STRONG);
	print_verdict(res, REGWIRE_EVENTUAL);
	if (res->plain.status >= 0)
		print_plain(res);
	print_end(r, res);
}
