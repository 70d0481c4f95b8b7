/* hist_priv: what the readers of hist share with each other and nobody else. */
#ifndef LIB_HIST_PRIV_H
#define LIB_HIST_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "op.h"

/* The input: bytes pos..len of data are still to be read. */
struct hist_src {
	int fd;
	char *data;
	size_t pos, len, cap;
	uint64_t line;			/* of the byte at pos, from 1 */
	bool eof;
};

#define HIST_CONTAINERS	8		/* brackets around all maps */

struct hist_reader {
	struct hist_src src;
	const struct hist_conf *conf;
	struct op_history *h;
	struct hist_note *note;
	struct op_values *v;
	uint32_t *open;			/* by process id: index + 1 into ops */
	size_t open_cnt;
	int64_t clock;			/* events so far */
	uint32_t *stack;		/* items of lists being read */
	size_t stack_cnt, stack_cap;
	struct buf scratch;
	char open_with[HIST_CONTAINERS];	/* hist_form: not yet closed */
	int opened;
	uint64_t opened_line;		/* of the outermost */
};

enum hist_type { HIST_INVOKE, HIST_OK, HIST_FAIL, HIST_INFO };

struct hist_event {
	enum hist_type type;
	uint32_t proc, f, key, value;
	uint64_t line;
};

/* --- hist.c -------------------------------------------------------------- */

/* Note an error at a line; always -1 with EBADMSG. */
int	hist_bad(struct hist_reader *r, uint64_t line, const char *format, ...)
	    __attribute__((format(printf, 3, 4)));

/* At least want bytes from pos on: 1, 0 the input ends before, -1. */
int	hist_fill(struct hist_reader *r, size_t want);

/*
 * The next line without its end (LF or CRLF), *line its number: 1, 0 at the
 * end, -1.  An unterminated one is noted as dropped and not given.
 */
int	hist_line(struct hist_reader *r, char **text, size_t *len,
	    uint64_t *line);

int	hist_push(struct hist_reader *r, uint32_t id);	/* onto the stack */
int	hist_add(struct hist_reader *r, const struct op *op);
int	hist_pair(struct hist_reader *r, const struct hist_event *e);

/* "invoke" and so on, a colon before it allowed: 0, -1. */
int	hist_type_parse(const char *text, size_t len, enum hist_type *type);

/*
 * A decimal number of seconds, or an integer of at least 15 digits in
 * nanoseconds: 0, -1.
 */
int	hist_time(const char *text, size_t len, int64_t *ns);

/* --- hist_form.c --------------------------------------------------------- */

/*
 * The next map of a stream of EDN or JSON, with tags before it, containers and
 * comments around it stripped: 1 and the bytes, good until the next call; 0 at
 * the end; -1.  An unterminated one is noted as dropped, but within a container
 * it is an error, as is the container's missing end.
 */
int	hist_form(struct hist_reader *r, bool json, char **text, size_t *len,
	    uint64_t *line);

/* --- the formats --------------------------------------------------------- */

int	hist_edn_read(struct hist_reader *r);
int	hist_json_read(struct hist_reader *r);
int	hist_text_read(struct hist_reader *r, bool strict);	/* log, txt */
int	hist_tsv_read(struct hist_reader *r);

/* One EDN value at *p, moved behind it; nil when there is none before e. */
int	hist_edn_value(struct hist_reader *r, const char **p, const char *e,
	    uint64_t line, uint32_t *id);

/* Does the line look like "process :type f ..."?  at: where process begins. */
bool	hist_text_match(const char *text, size_t len, size_t *at);

#endif /* LIB_HIST_PRIV_H */
