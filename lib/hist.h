/*
 * hist: read the history of operations that clients of a store recorded.
 *
 * Source:  lincheck-history(5).  Jepsen's history.edn, log text and
 *          history.txt, JSON with the same fields, and interval lines.
 * Events:  an invocation is paired with the completion of its process; the
 *          order of events in the file is their order.  What has no completion
 *          is indeterminate.  Lines of the nemesis are stepped over.
 * Errors:  0, or -1 with errno; EBADMSG: the input is not a history, and the
 *          note says where and why.
 * Memory:  a record (a line, a map) may have HIST_RECORD_MAX bytes; the file
 *          as a whole may be larger than memory, its operations not.
 */
#ifndef LIB_HIST_H
#define LIB_HIST_H

#include <stdbool.h>
#include <stdint.h>

#include "op.h"

#define HIST_RECORD_MAX	(64U << 20)	/* bytes */

enum hist_format {
	HIST_AUTO,
	HIST_EDN,			/* maps, in a vector or not */
	HIST_LOG,			/* Jepsen log text; others skipped */
	HIST_TXT,			/* process type f value error */
	HIST_JSON,			/* objects, in an array or not */
	HIST_TSV,			/* intervals, eight fields */
};

enum hist_choice { HIST_DETECT, HIST_YES, HIST_NO };

struct hist_conf {
	enum hist_format format;
	enum hist_choice independent;	/* values are [key value] */
	bool reuse;		/* an open operation whose process goes on is
				 * indeterminate; else EBADMSG */
};

struct hist_note {
	enum hist_format format;	/* what it was read as */
	uint64_t line;			/* of the error, 0: of no line */
	char text[200];			/* the error in words */
	uint64_t dropped;	/* line of an unterminated last record, or 0 */
};

/*
 * Read everything from fd.  *h is filled only on success and goes to
 * op_history_release().  Nothing to read is a history without operations.
 */
int	hist_read(int fd, const struct hist_conf *conf, struct op_history *h,
	    struct hist_note *note);

/* A value as the format spells it, for initial values: 0, -1 EINVAL. */
int	hist_value(struct op_history *h, enum hist_format format,
	    const char *text, uint32_t *id);

/* The format's name, and back: -1 EINVAL. */
const char *hist_format_name(enum hist_format format);
int	hist_format_parse(const char *name, enum hist_format *format);

/*
 * One field of an interval line: \t \n \r \0 \\ and, for a field that is "-"
 * alone, \-.  nil is written as a bare "-".
 */
int	hist_escape(struct buf *out, const char *text, size_t len);

#endif /* LIB_HIST_H */
