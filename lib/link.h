/*
 * link: a net of nodes joined by links that can be broken.
 *
 * Source:  partsim(1), partsim-control(5); one epoll loop, no threads.
 * Layout:  DIR/control, DIR/NODE/to/NODE[.NAME]; sockets 0600, directories
 *          0700.  What was made is removed by link_close(), nothing else.  The
 *          directory is locked (flock) while a net is up; what a killed net
 *          left behind is swept by the next link_open().
 * Memory:  bytes in the net are bounded for each directed link and in all;
 *          beyond that senders wait.  Each connection may always hold
 *          LINK_CONN_MIN bytes, and one whole message where messages are
 *          framed, so that none starves another for ever.
 * Errors:  0, or -1 with errno; never print, never exit.  EBUSY: another net
 *          is up in DIR.  What a line answers is text, see link_command().
 * Threads: one thread a net.
 */
#ifndef LIB_LINK_H
#define LIB_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "buf.h"
#include "clock.h"

#define LINK_CONN_MIN	4096U			/* bytes a direction may hold */
#define LINK_BUFFER	(UINT64_C(4) << 20)	/* bytes of a directed link */
#define LINK_TOTAL	(UINT64_C(32) << 20)	/* bytes the net holds */

struct link_net;

struct link_options {
	uint64_t seed;
	uint64_t buffer;		/* a directed link; 0: LINK_BUFFER */
	FILE *log;			/* each line as it happens, or NULL */
	bool log_json;
	FILE *trace;			/* ShiViz events, or NULL */
};

/* Bring up an empty net in dir, which is made if it is missing. */
int	link_open(struct link_net **np, const char *dir,
	    const struct link_options *o);
void	link_close(struct link_net *n);		/* NULL is allowed */

/*
 * Do what there is to do, for at most until the deadline.  Returns earlier
 * when the net has something to tell: a scenario ended, quit was asked for,
 * or link_wake() was called.
 */
int	link_step(struct link_net *n, struct mono deadline);
void	link_wake(struct link_net *n);		/* safe in signal handlers */

/*
 * Obey one line and append the answer to reply, as on the control socket.
 * 1 when there is an answer, 0 when the line asked for nothing; a wait is
 * refused here, it belongs to sources.
 */
int	link_command(struct link_net *n, const char *line, struct buf *reply);

/*
 * Take lines from fd (which becomes the net's) until its end: a scenario.  All
 * of it is read and checked first; -1 with EBADMSG and a message with the
 * line's number in err.  name goes into messages.
 */
int	link_scenario(struct link_net *n, int fd, const char *name,
	    char *err, size_t err_len);

enum link_state {
	LINK_RUNNING,			/* a scenario is under way */
	LINK_IDLE,			/* no scenario, or it ended well */
	LINK_FAILED,			/* a line failed: see link_failure() */
	LINK_QUIT			/* quit was asked for */
};

enum link_state	link_state(const struct link_net *n);
bool	link_waiting(const struct link_net *n);	/* a scenario waits for time */
const char *link_failure(const struct link_net *n, int *status);

#endif /* LIB_LINK_H */
