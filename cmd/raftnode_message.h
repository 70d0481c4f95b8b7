/*
 * raftnode_message: the messages of libraft as they come from a peer, checked
 * and decoded.  libraft's own reader believes every length and count; this one
 * takes its place, and what is not exactly as libraft 0.22 writes it is refused.
 *
 * Source:  what libraft 0.22 sends; raft-wire(5), "Messages".
 * Errors:  0, or -1: not such a message; nothing is left to free then.
 */
#ifndef CMD_RAFTNODE_MESSAGE_H
#define CMD_RAFTNODE_MESSAGE_H

#include <raft.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_PREAMBLE	16U
#define MESSAGE_HEADER_MAX	65536U
#define MESSAGE_PAYLOAD_MAX	(UINT64_C(256) << 20)

/* How long the header is that follows. */
int	message_preamble(const unsigned char p[MESSAGE_PREAMBLE], size_t *len);

/*
 * The header; from is who sends.  *payload_len more bytes follow: 0, none, and
 * the message is complete.
 */
int	message_header(const unsigned char p[MESSAGE_PREAMBLE],
	    const unsigned char *header, size_t len, uint64_t from,
	    struct raft_message *m, size_t *payload_len);

/* The payload, from raft_malloc(): part of the message if all is well. */
int	message_payload(struct raft_message *m, unsigned char *payload);

/* What the header brought, if the payload never comes; not the payload. */
void	message_drop(struct raft_message *m);

#endif /* CMD_RAFTNODE_MESSAGE_H */
