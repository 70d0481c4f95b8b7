/* raftnode_guard: what libraft 0.22 must not be shown. */
#ifndef CMD_RAFTNODE_GUARD_H
#define CMD_RAFTNODE_GUARD_H

#include <raft.h>

/*
 * A follower that has compacted its log refuses entries whose predecessor it
 * no longer has, one by one down to the first, which has none: then libraft
 * 0.22.1 counts below zero and reads and stores what it was never sent.
 *
 * What is committed here is the same in the log of every leader of this or a
 * later term, so entries up to the commit index are taken off the message's
 * front, which then begins behind it.  Changes the message in place and frees
 * what it takes off, as libraft would.
 */
void	guard_entries(const struct raft *r, struct raft_message *message);

#endif /* CMD_RAFTNODE_GUARD_H */
