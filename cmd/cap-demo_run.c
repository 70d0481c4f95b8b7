/*
 * cap-demo_run: one run: replicas behind partsim, a load, a partition in the
 * middle of it, and what it cost.
 */

#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "cap-demo_run.h"
#include "exits.h"
#include "num.h"

#define RATE		200.0
#define LOAD_NS		(12 * NUM_NS_PER_S)
#define CONVERGE_NS	(10 * NUM_NS_PER_S)
#define GRACE_NS	(2 * NUM_NS_PER_S)

static void
set_defaults(struct options *o)
{
	if (o->rate == 0)
		o->rate = o->no_write_back ? 2 * RATE : RATE;
	if (o->wait_ns == -1)
		o->wait_ns = LOAD_NS;
	if (o->wait_ns < 400 * NUM_NS_PER_MS)
		errx(EX_USAGE, "-W: at least 400ms");
	if (o->shape == NULL)
		o->shape = "majority";
	if (o->no_write_back && o->replicas < 5)
		o->replicas = 5;	/* three are too few to disagree */
	if (o->replicas < 2)
		errx(EX_USAGE, "-n: a partition needs two replicas");
	if (o->skew_node > o->replicas)
		errx(EX_USAGE, "--skew: there is no n%u", o->skew_node);
	/* A lesson about clocks needs replicas that believe them. */
	if (o->skew_node != 0 && !o->has_max_skew)
		o->max_skew_ms += llabs(o->skew_ms);
}

/*
 * Replicas of the majority come back empty, and the partition moves: they are
 * a majority now with those that had been cut off, and none of them knows what
 * was acknowledged meanwhile.
 */
static void
forget(struct run *r)
{
	char names[DVV_NODES_MAX * 4] = "", name[8];
	unsigned int others = 0, id;

	for (id = 1; id <= r->net.cnt; id++)
		others += r->net.side[id] != MAJORITY;
	for (id = 1; id <= r->net.cnt; id++) {
		if (r->net.side[id] == MAJORITY) {
			if (others >= abd_majority(r->net.cnt))
				continue;
			net_kill_node(&r->net, id);
			net_forget_data(&r->net, id);
			net_start_node(&r->net, r->o, id);
			net_wait_node(&r->net, id);
			others++;
		}
		(void)snprintf(name, sizeof(name), "%sn%u",
		    names[0] != '\0' ? "," : "", id);
		(void)strlcat(names, name, sizeof(names));
	}
	net_tell(&r->net, NULL, "partition %s mode drop", names);
	load_until(r, run_now(r) + (r->end_ns - r->heal_ns) / 2, AFTER);
}

void
run_shift(struct run *r, enum phase ended)
{
	int64_t late = run_now(r) - (ended == BEFORE ? r->cut_ns : r->heal_ns);

	if (ended == BEFORE)
		r->cut_ns += late;
	r->heal_ns += late;
	r->end_ns += late;
}

static void
load_all(struct run *r)
{
	const struct options *o = r->o;

	if (o->delay_ns > 0)
		net_tell(&r->net, NULL, "delay all all %jdus",
		    (intmax_t)(o->delay_ns / NUM_NS_PER_US));
	/*
	 * Reads must meet half a write for this one to show: what n1 stores is
	 * at n2 long before it reaches the rest, who are a majority without.
	 */
	if (o->no_write_back) {
		net_tell(&r->net, NULL, "delay n1 n3,n4,n5 300ms oneway");
		net_tell(&r->net, NULL, "delay n2 n3,n4,n5 20ms oneway");
	}
	load_begin(r);
	load_until(r, r->cut_ns, BEFORE);
	net_cut(&r->net, o->shape, o->amnesia ? "drop" : "hold");
	run_shift(r, BEFORE);
	load_until(r, r->heal_ns, DURING);
	net_look(&r->net, false);
	if (o->amnesia)
		forget(r);
	net_tell(&r->net, NULL, "heal");
	run_shift(r, DURING);
	r->healed_ns = run_now(r);
	load_until(r, r->end_ns, AFTER);
	load_drain(r, o->timeout_ns + GRACE_NS);
	(void)load_converge(r, CONVERGE_NS);
	load_final_reads(r);
	show_progress_end();
}

int
run_main(struct options *o)
{
	static struct run r;
	static struct results res;

	set_defaults(o);
	if (o->report != NULL)
		report_check();
	net_signals();
	r.o = o;
	r.random = o->seed;
	r.cut_ns = o->wait_ns / 4;
	r.heal_ns = o->wait_ns / 4 * 3;
	r.end_ns = o->wait_ns;
	load_keys(&r);
	net_start(&r.net, o);
	load_wait_seen(&r);
	load_all(&r);
	judge(&r, &res);
	if (o->json)
		show_json(&r, &res);
	else if (!o->quiet)
		show_text(&r, &res);
	if (o->report != NULL)
		report_write(&r, &res);
	net_stop(&r.net);
	load_end(&r);
	buf_release(&res.strong.text);
	buf_release(&res.eventual.text);
	buf_release(&res.plain.text);
	if (fflush(stdout) == EOF)
		err(EX_IOERR, "stdout");
	return res.status;
}
