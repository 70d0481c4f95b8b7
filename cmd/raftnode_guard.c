/* raftnode_guard: cut from an AppendEntries what is committed here already. */

#include "raftnode_guard.h"

#include <string.h>

/* The term of an entry, from libraft's own records; 0: compacted or unknown. */
static raft_term
term_of(const struct raft_trail *t, raft_index index)
{
	unsigned int i;

	if (index == t->snapshot.index)
		return t->snapshot.term;
	if (index <= t->offset || t->size == 0)
		return 0;
	for (i = t->front; i != t->back; i = (i + 1) % t->size)
		if (index <= t->records[i].index)
			return t->records[i].term;
	return 0;
}

void
guard_entries(const struct raft *r, struct raft_message *message)
{
	struct raft_append_entries *a = &message->append_entries;
	raft_term term;
	raft_index cut;

	if (message->type != RAFT_APPEND_ENTRIES ||
	    a->term < raft_current_term(r) ||
	    a->prev_log_index >= raft_commit_index(r))
		return;
	if ((term = term_of(&r->trail, raft_commit_index(r))) == 0)
		return;
	cut = raft_commit_index(r) - a->prev_log_index;
	a->prev_log_index = raft_commit_index(r);
	a->prev_log_term = term;
	if (a->n_entries == 0)
		return;
	if (cut < a->n_entries) {
		a->n_entries -= (unsigned int)cut;
		memmove(a->entries, a->entries + cut,
		    a->n_entries * sizeof(a->entries[0]));
		return;
	}
	raft_free(a->entries[0].batch);
	raft_free(a->entries);
	a->entries = NULL;
	a->n_entries = 0;
}
