/*
 * raftnode_trace: what libraft tells about itself, as events.  Elections,
 * votes and step-downs with their reasons are told always, the rest with -v.
 * libraft retries a failed write for ever; here it ends the node, unless it is
 * for lack of space, which may come back.
 */

#include <string.h>

#include "exits.h"
#include "log.h"
#include "raftnode.h"

static const char *const told[] = {
	"start election", "start pre-election", "convert to ", "step down",
	"grant vote", "vote granted", "vote not granted", "reject",
	"transfer leadership", "leader removed",
};

/* Not news: they come with every heartbeat of a peer that is behind. */
static const char *const dull[] = {
	"missing previous entry", "stale rejected", "-> ignore",
};

static bool
any(const char *text, const char *const *list, size_t cnt)
{
	size_t i;

	for (i = 0; i < cnt; i++)
		if (strstr(text, list[i]) != NULL)
			return true;
	return false;
}

static void
disk(struct node *n, const char *text)
{
	char quoted[256];

	(void)log_quote(text, quoted, sizeof(quoted));
	if (strstr(text, "pace") != NULL || strstr(text, "NOSPC") != NULL) {
		if (!n->disk_full)
			log_warn("disk_full message=%s", quoted);
		n->disk_full = true;
		return;
	}
	log_error("disk_error message=%s", quoted);
	node_die(n, EX_IOERR, "the disk failed");
}

void
node_trace(struct raft_tracer *t, int type, const void *info)
{
	const struct raft_tracer_info *i = info;
	struct node *n = t->impl;
	const char *text;
	char quoted[256];

	if (type != RAFT_TRACER_DIAGNOSTIC || i->version < 1)
		return;
	text = i->diagnostic.message;
	while (*text == ' ' || *text == '>')
		text++;
	if (strncmp(text, "retry failed write", 18) == 0 ||
	    strncmp(text, "retry creating segment", 22) == 0 ||
	    strncmp(text, "retry snapshot w", 16) == 0) {
		disk(n, text);
		return;
	}
	if (any(text, told, sizeof(told) / sizeof(told[0])) &&
	    !any(text, dull, sizeof(dull) / sizeof(dull[0])))
		log_info("raft text=%s", log_quote(text, quoted,
		    sizeof(quoted)));
	else if (n->o.verbose)
		log_debug("raft text=%s", log_quote(text, quoted,
		    sizeof(quoted)));
}
