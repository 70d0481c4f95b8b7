/* lincheck_priv: what the files of lincheck share with each other. */
#ifndef CMD_LINCHECK_PRIV_H
#define CMD_LINCHECK_PRIV_H

#include <stdbool.h>
#include <stdio.h>

#include "hist.h"
#include "linz.h"
#include "op.h"

struct lincheck_levels {		/* -c all: the verdict of each */
	bool asked;
	enum linz_verdict of[3];
};

struct lincheck_report {
	const char *file;		/* NULL: standard input alone */
	const char *verdict;
	const struct op_history *h;
	const struct linz_result *r;
	const struct hist_note *note;
	const struct lincheck_levels *levels;
	enum linz_level level;
	bool show_file;
};

/* Print what the verdict line leaves out; results to stdout. */
void	report_text(const struct lincheck_report *p);
void	report_order(const struct lincheck_report *p);	/* the witness */
void	report_json(const struct lincheck_report *p);
const char *report_reason(enum linz_reason reason);

/* A space-time diagram of the window: 80 columns of text, an SVG image. */
void	timeline_text(const struct lincheck_report *p);
int	timeline_svg(const struct lincheck_report *p, const char *path);

int	record_main(int argc, char *argv[]);

#endif /* CMD_LINCHECK_PRIV_H */
