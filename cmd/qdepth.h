/* qdepth: what its files share; see qdepth(1). */
#ifndef CMD_QDEPTH_H
#define CMD_QDEPTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "buf.h"
#include "queue.h"

enum form { FORM_NUMBER, FORM_TABLE, FORM_JSON, FORM_PROM };

struct options {
	enum form form;
	bool follow, quiet;
	enum queue_state state;		/* -S; 0: the depth */
	const char *group;		/* -g; NULL: all */
	bool has_max;
	uint64_t max;			/* -x */
	int64_t age_ns;			/* -A; -1: not asked */
};

struct view {				/* a queue that is looked at */
	const char *path;
	struct queue *q;
	uint32_t group;			/* of -g, or 0 */
	uint64_t number;		/* what the plain form prints */
	struct queue_stats st;		/* unless the number is enough */
	bool bad;			/* could not be looked at */
};

/* Age in nanoseconds of a message pushed then; 0: there is none. */
int64_t	view_age_ns(int64_t ts_ns);

/* Seconds until the depth is 0 at these rates; -1: never. */
double	view_drain(uint64_t depth, double in, double out);

/* Of all groups, or the one asked for. */
uint64_t view_depth(const struct view *v);

/* Is this one of the groups asked for? */
bool	view_wants(const struct view *v, const struct queue_group_stats *g);

/* qdepth_show.c: all views in one of the forms; -1: errno. */
int	show(struct buf *out, const struct options *o, const struct view *v,
	    size_t cnt);

/* qdepth_live.c: one more sample of them; the picture replaces the last. */
int	live_draw(struct buf *out, const struct view *v, size_t cnt);
void	live_release(void);

#endif /* CMD_QDEPTH_H */
