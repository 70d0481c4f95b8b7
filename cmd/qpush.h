/* qpush: what its files share; see qpush(1). */
#ifndef CMD_QPUSH_H
#define CMD_QPUSH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "msgjson.h"
#include "queue.h"

#define BATCH_BYTES	(UINT32_C(1) << 20)	/* of a batch, more or less */

struct field {				/* -F and -I: N[:SEP] */
	uint64_t number;		/* from 1; 0: not given */
	bool blanks;			/* runs of blanks separate */
	unsigned char sep;
};

struct options {
	struct frame how;
	bool json, atomic, nosync, quiet, print_seq;
	const char *key;		/* -k */
	const char *key_delim;		/* -K */
	size_t key_delim_len;
	unsigned char key_delim_byte;
	struct field key_field, id_field;
	const char *id;			/* -i */
	int64_t delay_ns;
	int64_t wait_ns;		/* -1: for ever */
	const char *path;
};

/* Why it ends early; status 0: it does not. */
struct failure {
	int status;
	char text[256];
};

static inline bool
may_have_ids(const struct options *o)
{
	return o->json || o->id != NULL || o->id_field.number != 0;
}

/* Set f and return -1. */
int	fail(struct failure *f, int status, const char *format, ...)
	    __attribute__((format(printf, 3, 4)));
/* The same for an errno of the library; what: what could not be done. */
int	fail_errno(struct failure *f, const char *what, int errnum);

/* The signal that asks to end, or 0. */
int	qpush_signal(void);
/* A descriptor that becomes readable with it, or by qpush_wake(). */
int	qpush_wake_fd(void);
void	qpush_wake(void);

/* --- qpush_record.c: from a record to a message --------------------------- */

struct maker {
	const struct options *o;
	struct msgjson json;
	uint64_t records;		/* made so far */
	uint64_t max_message;
	int64_t now_ns;			/* when the records came */
};

/* The longest record that can become a message. */
size_t	maker_record_max(const struct maker *m);

/* Add the record to the batch; -1: *f says why not, nothing was added. */
int	maker_add(struct maker *m, struct queue_batch *b, const void *data,
	    size_t len, struct failure *f);

/* --- qpush_input.c: records of standard input ------------------------------- */

/*
 * A stream and what was read of it.  source_next() returns 1 with a record,
 * 0 when the next would have to be waited for (or there is none: eof), -1;
 * source_fill() reads once: 0, or -1.  A signal ends the input, a record that
 * is not whole by then is dropped.
 */
struct source {
	int fd;
	struct frame_reader frames;
	unsigned char *data;
	size_t from, to, cap;
	bool eof, interrupted;
	_Atomic uint64_t bytes;		/* read so far */
};

int	source_init(struct source *s, int fd, const struct frame *how,
	    size_t record_max, struct failure *f);
void	source_release(struct source *s);
int	source_fill(struct source *s, struct failure *f);
int	source_next(struct source *s, const struct maker *m,
	    struct frame_record *rec, struct failure *f);

/*
 * A thread that reads and frames the next input while the last is being
 * stored.  It fills one batch; the storing thread exchanges its empty batch
 * for that as soon as it has time, unless records that have arrived are just
 * being added.
 */
struct input {
	struct source source;
	struct maker maker;
	_Atomic uint64_t max_message;	/* told by the storing thread */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct queue_batch batch;
	enum { INPUT_BUSY, INPUT_PARKED, INPUT_ENDED } state;
	bool stop;
	struct failure failure;		/* once ended */
};

int	input_start(struct input *in, const struct options *o, int fd,
	    uint64_t max_message, struct failure *f);
/* Exchange b, which is empty, for what has arrived: 1; 0 at the end. */
int	input_take(struct input *in, struct queue_batch *b);
void	input_stop(struct input *in);

/* --- qpush_store.c: batches into the queue ------------------------------------ */

struct store {
	struct queue *q;
	const struct options *o;
	struct queue_limits limits;
	uint64_t stored;		/* a prefix of the input */
	uint64_t *seqs;			/* of one push, for --print-seq */
	size_t seqs_cap;
	uint64_t need;			/* room an atomic push must find */
	bool waiting;			/* and told so */
	struct mono deadline;		/* of this wait */
};

/* Open the queue, or make it. */
int	store_open(struct store *s, const struct options *o,
	    struct failure *f);
void	store_close(struct store *s);

/*
 * Store all of b, waiting for room, and have it on stable storage; b is spoilt.
 * -1: perhaps a first part of it, as s->stored says.
 */
int	store_batch(struct store *s, struct queue_batch *b,
	    struct failure *f);

/* The same, all of it at once or nothing. */
int	store_whole(struct store *s, struct queue_batch *b,
	    struct failure *f);

/*
 * The steps, for what is stored in another way.  store_push() returns 1 when
 * there is no room, and store_wait() waits for some; first: not the middle of
 * an atomic push.  store_commit() wants the number of the first message.
 */
int	store_push(struct store *s, struct queue_batch *b, int flags,
	    bool first, struct queue_pushed *pushed, struct failure *f);
int	store_wait(struct store *s, struct failure *f);
int	store_commit(struct store *s, const struct queue_pushed *pushed,
	    uint64_t count, struct failure *f);

/* --- qpush_atomic.c: -A ---------------------------------------------------------- */

/* All of standard input, or nothing. */
int	atomic_run(struct store *s, int fd, struct failure *f);

/* --- qpush_progress.c: on a terminal ----------------------------------------------- */

void	progress_init(bool quiet, int fd);
void	progress_show(uint64_t stored, uint64_t bytes);
void	progress_clear(void);

#endif /* CMD_QPUSH_H */
