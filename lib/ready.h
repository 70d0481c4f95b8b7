/*
 * ready: how a service says that it can be used.
 *
 * Source:  sd_notify(3); s6's readiness descriptors.
 * Errors:  told by warn(3); a service that nobody listens to goes on.
 */
#ifndef LIB_READY_H
#define LIB_READY_H

#include <stdbool.h>

/*
 * "ready" on stdout unless quiet, a newline on fd, which is closed, unless it
 * is -1, and READY=1 to $NOTIFY_SOCKET.
 */
void	ready_say(bool quiet, int fd);
void	ready_notify(const char *state);	/* to $NOTIFY_SOCKET alone */

#endif /* LIB_READY_H */
