/* partsim: what the parts of the program share. */
#ifndef CMD_PARTSIM_H
#define CMD_PARTSIM_H

#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *net;		/* -C or PARTSIM_NET */
	const char *nodes;		/* -n */
	const char *file;		/* -f */
	const char *trace, *log;
	uint64_t seed, buffer;
	bool has_seed, json, quiet, verbose;
	int ready_fd;
};

/* The three jobs; each returns the exit status. */
int	partsim_up(const struct options *o);
int	partsim_run(const struct options *o, char *argv[]);
int	partsim_send(const struct options *o, int argc, char *argv[]);

#endif /* CMD_PARTSIM_H */
