/*
 * cutmodel: what a power cut may leave of a recorded run.
 *
 * Source:  Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014;
 *          Mohan et al., "Finding Crash-Consistency Bugs with Bounded
 *          Black-Box Crash Testing", OSDI 2018.
 * Model:   POSIX and no more.  A sync of a file makes its bytes and size
 *          durable, a sync of a directory the entries changed in it; each
 *          covers what was done before it began.  Of everything else
 *          - each 512-byte sector of a file has any of the contents it has had
 *            since the last sync,
 *          - the size likewise, on its own,
 *          - a change of an entry is there or not; one that rests on an
 *            earlier change of the same name only if that one is.
 *          A rename is there as a whole or not at all, and durable when either
 *          directory is synced.
 * Plans:   for every cut (the first cut operations were done) plan 0 keeps
 *          all, 1 nothing; then subsets, single omissions, torn last writes;
 *          from model_plans() on they are drawn by the seed.
 * Errors:  a log that makes no sense ends the program.
 */
#ifndef TORTURE_CUTMODEL_H
#define TORTURE_CUTMODEL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "crashlog.h"

struct model;

struct tree_node {
	char *path;		/* below the arena */
	uint32_t mode;
	unsigned char *data;	/* of a file */
	size_t len;
};

struct tree {
	struct tree_node *nodes;
	size_t cnt, cap;
	uint64_t hash;
};

/* The files below arena as they are now, all of it durable. */
struct model	*model_begin(const char *arena);
/* Read the log of what was then done there. */
void		 model_load(struct model *m, const char *log);
void		 model_free(struct model *m);

/* Cuts are 0 to model_ops(), inclusive. */
uint64_t	 model_ops(const struct model *m);
const struct crash_rec *model_rec(const struct model *m, uint64_t seq,
		    const char **name, const char **name2,
		    const unsigned char **data);
void		 model_show(const struct model *m, FILE *f);
void		 model_show_op(const struct model *m, uint64_t seq, FILE *f);

/* None where the last operation changed nothing. */
size_t		 model_plans(struct model *m, uint64_t cut);
/* Build what is left; why, if not NULL, hears in words what was chosen. */
void		 model_build(struct model *m, uint64_t cut, uint64_t plan,
		    uint64_t seed, struct tree *t, FILE *why);

void		 tree_read(struct tree *t, const char *dir);
void		 tree_write(const struct tree *t, const char *dir);
void		 tree_release(struct tree *t);
/* Remove what is in dir, not dir itself. */
void		 tree_wipe(const char *dir);

/* path = dir/name; too long ends the program. */
void		 path_join(char path[PATH_MAX], const char *dir,
		    const char *name);

#endif /* TORTURE_CUTMODEL_H */
