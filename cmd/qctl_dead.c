/* qctl: the dead letters: list, read, send back, throw away. */

#include "qctl.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "msgjson.h"

struct job {
	const struct options *o;
	const char *path;
	struct queue *q;
	uint32_t group;
	struct queue_dead d;		/* the one at hand */
};

/* "3", or "signal 9". */
static void
put_status(FILE *to, int status)
{
	if (status < 0)
		fprintf(to, "signal %d", -status);
	else
		fprintf(to, "%d", status);
}

/* The last line of the command's stderr that is not empty. */
static const unsigned char *
last_line(const struct queue_dead *d, size_t *len)
{
	const unsigned char *begin, *end = d->output + d->output_len;

	while (end > d->output && end[-1] == '\n')
		end--;
	for (begin = end; begin > d->output && begin[-1] != '\n'; begin--)
		;
	*len = (size_t)(end - begin);
	return begin;
}

static void
dead_json(const struct job *j)
{
	const struct queue_dead *d = &j->d;
	struct json_object *object = json_of(j->q, &d->m);

	add_number(object, "tries", (int64_t)d->tries);
	add_time(object, "died", d->died_ns);
	add_text(object, "reason", d->reason);
	if (d->status < 0)
		add_number(object, "signal", -d->status);
	else
		add_number(object, "status", d->status);
	add_bytes(object, "stderr", d->output, d->output_len);
	put_json(object);
}

/* --- what is done to each -------------------------------------------------------- */

static void
do_ls(struct job *j)
{
	const struct queue_dead *d = &j->d;
	char time[MSGJSON_TIME_MAX];
	const unsigned char *line;
	size_t len;

	if (j->o->json) {
		dead_json(j);
		return;
	}
	printf("%" PRIu64 "\t%s\t%" PRIu64 "\t%s\t", d->m.seq,
	    msgjson_time(d->died_ns, time), d->tries, d->reason);
	put_status(stdout, d->status);
	putchar('\t');
	put_escaped(d->m.key, d->m.key_len);
	putchar('\t');
	line = last_line(d, &len);
	put_escaped(line, len);
	putchar('\n');
}

static void
do_peek(struct job *j)
{
	const struct queue_dead *d = &j->d;
	char time[MSGJSON_TIME_MAX];

	if (j->o->json) {
		dead_json(j);
		return;
	}
	if (j->o->verbose) {
		flush_output();
		fprintf(stderr, "%s: seq %" PRIu64 ", died %s of %s, status ",
		    getprogname(), d->m.seq, msgjson_time(d->died_ns, time),
		    d->reason);
		put_status(stderr, d->status);
		fprintf(stderr, ", tries %" PRIu64 "\n", d->tries);
		fwrite(d->output, 1, d->output_len, stderr);
		if (d->output_len > 0 && d->output[d->output_len - 1] != '\n')
			fputc('\n', stderr);
	}
	put_record(j->o, &d->m);
}

/* Gone in between is as good as never there: false. */
static bool
done(const struct job *j, int rc)
{
	if (rc == -1 && errno != ENOMSG)
		die(j->path, NULL);
	return rc == 0;
}

/* --- the walk ---------------------------------------------------------------------- */

enum deed { DEED_LS, DEED_PEEK, DEED_REQUEUE, DEED_RM };

static bool
do_one(struct job *j, enum deed deed, uint64_t seq)
{
	switch (deed) {
	case DEED_LS:
		do_ls(j);
		return true;
	case DEED_PEEK:
		do_peek(j);
		return true;
	case DEED_REQUEUE:
		return done(j, queue_dead_requeue(j->q, j->group, seq));
	case DEED_RM:
		return done(j, queue_dead_remove(j->q, j->group, seq));
	}
	return false;
}

static uint64_t
walk(struct job *j, enum deed deed, struct seqs *seqs, uint64_t most)
{
	struct selection sel;
	uint64_t seq = 0, n = 0;
	int rc;

	selection_init(&sel, j->o, j->q);
	while (n < most && !seqs_all_found(seqs)) {
		rc = queue_dead_next(j->q, j->group, &seq, &j->d);
		if (rc == -1)
			die(j->path, NULL);
		if (rc == 0)
			break;
		if (seqs_ask(seqs, seq) && selected(&sel, &j->d.m) &&
		    do_one(j, deed, seq))
			n++;
		if (seq++ == UINT64_MAX)
			break;
	}
	selection_release(&sel);
	return n;
}

static int
dead(const struct options *o, int argc, char *argv[], enum deed deed)
{
	struct job *j = calloc(1, sizeof(*j));	/* holds 4 KiB of stderr */
	bool looks = deed == DEED_LS || deed == DEED_PEEK;
	struct seqs seqs;
	uint64_t n;

	if (j == NULL)
		err(EX_OSERR, NULL);
	seqs_parse(&seqs, argc - 1, argv + 1);
	if (!looks && !o->all && seqs.cnt == 0 && o->key == NULL &&
	    o->id == NULL && o->match == NULL)
		errx(EX_USAGE, "%s: which?  seq, -i, -k, -m, or -a for all",
		    o->verb);
	j->o = o;
	j->path = argv[0];
	j->q = open_queue(argv[0], looks ? QUEUE_READ : QUEUE_USE);
	j->group = group_number(j->q, argv[0], o->group);
	n = walk(j, deed, &seqs, deed == DEED_PEEK ?
	    shown_at_most(o, &seqs, 1) : o->count != 0 ? o->count : UINT64_MAX);
	if (!looks && !o->quiet)
		printf("%" PRIu64 "\n", n);
	seqs_release(&seqs);
	queue_close(j->q);
	free(j);
	flush_output();
	return n > 0 ? EX_OK : EX_NO;
}

int
qctl_dead_ls(const struct options *o, int argc, char *argv[])
{
	return dead(o, argc, argv, DEED_LS);
}

int
qctl_dead_peek(const struct options *o, int argc, char *argv[])
{
	return dead(o, argc, argv, DEED_PEEK);
}

int
qctl_dead_requeue(const struct options *o, int argc, char *argv[])
{
	return dead(o, argc, argv, DEED_REQUEUE);
}

int
qctl_dead_rm(const struct options *o, int argc, char *argv[])
{
	return dead(o, argc, argv, DEED_RM);
}
