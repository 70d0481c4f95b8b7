/* qctl: opening, failing, and the messages that options select. */

#include "qctl.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "num.h"

const char *
reason(int errnum)
{
	switch (errnum) {
	case EAGAIN:
		return "the queue is full";
	case EBADMSG:
		return "not a queue, or damaged beyond use; "
		    "see qctl verify";
	case EEXIST:
		return "there is one already";
	case EOPNOTSUPP:
		return "on a network file system; "
		    "qctl create --force-fs makes one all the same";
	case EPROTONOSUPPORT:
		return "made by a newer version";
	case ESHUTDOWN:
		return "closed";
	case ESTALE:
		return "no longer good";
	case ETIMEDOUT:
		return "still locked by another process";
	default:
		return strerror(errnum);
	}
}

void
die(const char *path, const char *what)
{
	int errnum = errno;

	if (errnum == ENOENT && what == NULL)
		errx(EX_NOINPUT, "%s: no such queue", path);
	errx(exit_status(errnum), "%s%s%s: %s", path, what == NULL ? "" : ": ",
	    what == NULL ? "" : what, reason(errnum));
}

void
refuse_server(const char *path)
{
	if (strncmp(path, "nats://", 7) == 0)
		errx(EX_CONFIG, "%s: qctl looks after queues in a directory; "
		    "a stream is its server's to look after", path);
}

static void
slow(void *arg, const char *what, pid_t pid)
{
	const char *const *path = arg;

	warnx("%s: waiting for process %ld, which holds %s", *path, (long)pid,
	    what);
}

struct queue *
open_queue(const char *path, enum queue_mode mode)
{
	static const char *opened;	/* for as long as the queue is open */
	struct queue *q;

	opened = path;
	if (queue_open(&q, path, mode, slow, &opened) == -1)
		die(path, NULL);
	return q;
}

uint32_t
group_number(struct queue *q, const char *path, const char *name)
{
	uint32_t group;

	if (name == NULL)
		name = "main";
	if (queue_group(q, name, &group) == 0)
		return group;
	if (errno == ENOENT)
		errx(EX_NOINPUT, "%s: no such group: %s", path, name);
	die(path, name);
}

/* --- states ---------------------------------------------------------------- */

static const struct {
	const char *name;
	enum queue_state state;
} states[] = {
	{ "ready", QUEUE_READY },
	{ "in-flight", QUEUE_IN_FLIGHT },
	{ "delayed", QUEUE_DELAYED },
	{ "dead", QUEUE_DEAD },
	{ "finished", QUEUE_FINISHED },
};

#define STATES_CNT	(sizeof(states) / sizeof(states[0]))

unsigned int
states_parse(const char *text)
{
	unsigned int bits = 0;
	size_t len, i;

	for (;; text += len + 1) {
		len = strcspn(text, ",");
		for (i = 0; i < STATES_CNT; i++)
			if (strlen(states[i].name) == len &&
			    strncmp(states[i].name, text, len) == 0)
				break;
		if (i == STATES_CNT)
			return 0;
		bits |= states[i].state;
		if (text[len] == '\0')
			return bits;
	}
}

const char *
state_name(enum queue_state state)
{
	for (size_t i = 0; i < STATES_CNT; i++)
		if (states[i].state == state)
			return states[i].name;
	return "?";
}

/* --- which messages --------------------------------------------------------- */

void
selection_init(struct selection *s, const struct options *o,
    const struct queue *q)
{
	char text[256];
	int rc;

	*s = (struct selection){ .o = o, .q = q };
	if (o->match == NULL)
		return;
	rc = regcomp(&s->regex, o->match, REG_EXTENDED | REG_NOSUB);
	if (rc != 0) {
		regerror(rc, &s->regex, text, sizeof(text));
		errx(EX_USAGE, "-m %s: %s", o->match, text);
	}
	s->has_regex = true;
}

void
selection_release(struct selection *s)
{
	if (s->has_regex)
		regfree(&s->regex);
	s->has_regex = false;
}

static bool
same(const void *data, size_t len, const char *text)
{
	return data != NULL && strlen(text) == len &&
	    memcmp(data, text, len) == 0;
}

/* An id of the user's, or else the one it has by default. */
static bool
same_id(const struct selection *s, const struct queue_message *m)
{
	char id[QUEUE_ID_MAX];

	if (m->id != NULL)
		return same(m->id, m->id_len, s->o->id);
	queue_default_id(s->q, m, id);
	return strcmp(id, s->o->id) == 0;
}

static bool
matches(const struct selection *s, const struct queue_message *m)
{
	/* The payload may hold a NUL, and does not end with one. */
	regmatch_t whole = { 0, (regoff_t)m->payload_len };

	return regexec(&s->regex, m->payload_len == 0 ? "" : m->payload, 1,
	    &whole, REG_STARTEND) == 0;
}

bool
selected(const struct selection *s, const struct queue_message *m)
{
	return (s->o->key == NULL || same(m->key, m->key_len, s->o->key)) &&
	    (s->o->id == NULL || same_id(s, m)) &&
	    (!s->has_regex || matches(s, m));
}

/* --- sequence numbers among the operands -------------------------------------- */

void
seqs_parse(struct seqs *s, int argc, char *argv[])
{
	*s = (struct seqs){ .cnt = (size_t)argc };
	if (argc == 0)
		return;
	s->seq = calloc(s->cnt, sizeof(*s->seq));
	s->found = calloc(s->cnt, sizeof(*s->found));
	if (s->seq == NULL || s->found == NULL)
		err(EX_OSERR, NULL);
	for (size_t i = 0; i < s->cnt; i++)
		if (num_u64(argv[i], 0, UINT64_MAX, &s->seq[i]) == -1)
			errx(EX_USAGE, "%s: not a sequence number", argv[i]);
}

bool
seqs_ask(struct seqs *s, uint64_t seq)
{
	bool asked = s->cnt == 0;

	for (size_t i = 0; i < s->cnt; i++)
		if (s->seq[i] == seq) {
			s->found[i] = true;
			asked = true;
		}
	return asked;
}

bool
seqs_all_found(const struct seqs *s)
{
	for (size_t i = 0; i < s->cnt; i++)
		if (!s->found[i])
			return false;
	return s->cnt > 0;
}

void
seqs_release(struct seqs *s)
{
	free(s->seq);
	free(s->found);
	*s = (struct seqs){ 0 };
}

uint64_t
shown_at_most(const struct options *o, const struct seqs *seqs, uint64_t usual)
{
	if (o->count != 0)
		return o->count;
	return o->all || seqs->cnt > 0 ? UINT64_MAX : usual;
}
