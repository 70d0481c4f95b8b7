/* qctl: what its parts share; see qctl(1). */
#ifndef CMD_QCTL_H
#define CMD_QCTL_H

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"
#include "queue.h"

struct json_object;

/* Long options without a letter. */
enum {
	OPT_DEAD = 256,
	OPT_FORCE,
	OPT_FORCE_FS,
};

struct options {
	const char *verb;		/* "dead ls": for messages */
	const char *group, *key, *id, *match;
	struct frame frame;
	uint64_t count;			/* 0: not given */
	unsigned int states;		/* enum queue_state, 0: not given */
	int64_t delay_ns, lease_ns, wait_ns;	/* -1: not given */
	bool all, json, quiet, verbose;
	bool dead, force, force_fs;
};

/* argv: what follows the options, the queue first. */
typedef int (*verb_run)(const struct options *o, int argc, char *argv[]);

int	qctl_ack(const struct options *o, int argc, char *argv[]);
int	qctl_close(const struct options *o, int argc, char *argv[]);
int	qctl_compact(const struct options *o, int argc, char *argv[]);
int	qctl_create(const struct options *o, int argc, char *argv[]);
int	qctl_dead_ls(const struct options *o, int argc, char *argv[]);
int	qctl_dead_peek(const struct options *o, int argc, char *argv[]);
int	qctl_dead_requeue(const struct options *o, int argc, char *argv[]);
int	qctl_dead_rm(const struct options *o, int argc, char *argv[]);
int	qctl_dump(const struct options *o, int argc, char *argv[]);
int	qctl_extend(const struct options *o, int argc, char *argv[]);
int	qctl_group_add(const struct options *o, int argc, char *argv[]);
int	qctl_group_ls(const struct options *o, int argc, char *argv[]);
int	qctl_group_reset(const struct options *o, int argc, char *argv[]);
int	qctl_group_rm(const struct options *o, int argc, char *argv[]);
int	qctl_info(const struct options *o, int argc, char *argv[]);
int	qctl_nack(const struct options *o, int argc, char *argv[]);
int	qctl_open(const struct options *o, int argc, char *argv[]);
int	qctl_peek(const struct options *o, int argc, char *argv[]);
int	qctl_purge(const struct options *o, int argc, char *argv[]);
int	qctl_repair(const struct options *o, int argc, char *argv[]);
int	qctl_rm(const struct options *o, int argc, char *argv[]);
int	qctl_set(const struct options *o, int argc, char *argv[]);
int	qctl_verify(const struct options *o, int argc, char *argv[]);
int	qctl_wait(const struct options *o, int argc, char *argv[]);

/* --- qctl_common.c ---------------------------------------------------------- */

/* Open or die with the right status and words. */
struct queue *open_queue(const char *path, enum queue_mode mode);

/* The group of that name, "main" for NULL; dies if there is none. */
uint32_t group_number(struct queue *q, const char *path, const char *name);

/* Die of errno, which came from an operation on the queue. */
_Noreturn void	die(const char *path, const char *what);

/* What errno means here. */
const char *reason(int errnum);

/* 78 for the address of a server: it has no directory to look after. */
void	refuse_server(const char *path);

/* Of the messages, those that -k, -i and -m ask for. */
struct selection {
	const struct options *o;
	const struct queue *q;
	regex_t regex;
	bool has_regex;
};

void	selection_init(struct selection *s, const struct options *o,
	    const struct queue *q);
void	selection_release(struct selection *s);
bool	selected(const struct selection *s, const struct queue_message *m);

/* Sequence numbers given as operands, and which of them were met. */
struct seqs {
	uint64_t *seq;
	bool *found;
	size_t cnt;			/* 0: none given, any will do */
};

void	seqs_parse(struct seqs *s, int argc, char *argv[]);
bool	seqs_ask(struct seqs *s, uint64_t seq);	/* asked for?  Marks it. */
bool	seqs_all_found(const struct seqs *s);	/* false if none was given */
void	seqs_release(struct seqs *s);

/* -n, or all with -a and with numbers, or else the usual. */
uint64_t	shown_at_most(const struct options *o, const struct seqs *seqs,
	    uint64_t usual);

/* "ready,in-flight" to bits; 0: not such a list. */
unsigned int	states_parse(const char *text);
const char	*state_name(enum queue_state state);

/* --- qctl_out.c ---------------------------------------------------------------- */

/* Text without control characters: \t \n \\ \xHH; "-" for NULL. */
void	put_escaped(const void *data, size_t len);

/* The message's payload, framed; dies on ENOMEM, as all here do. */
void	put_record(const struct options *o, const struct queue_message *m);

/* A message's object, to which members are added, and its line. */
struct json_object *json_of(const struct queue *q,
	    const struct queue_message *m);
struct json_object *json_new(void);
struct json_object *json_list(void);
void	json_append(struct json_object *list, struct json_object *value);
void	json_append_text(struct json_object *list, const char *text);
void	add_bytes(struct json_object *object, const char *name,
	    const void *data, size_t len);
void	add_text(struct json_object *object, const char *name,
	    const char *text);
void	add_number(struct json_object *object, const char *name, int64_t v);
void	add_bool(struct json_object *object, const char *name, bool v);
void	add_time(struct json_object *object, const char *name, int64_t ns);
void	add_object(struct json_object *object, const char *name,
	    struct json_object *value);
void	put_json(struct json_object *object);	/* which is gone then */

/* Write what was put, and die if that fails; at the end, and now and then. */
void	flush_output(void);

/* --- qctl_holders.c -------------------------------------------------------------- */

struct holder {
	pid_t pid;
	char name[32];			/* as the kernel knows it */
};

struct holders;

/*
 * The processes that hold the FIFO's read end, which is the life of a claim;
 * fifo is a path below the queue.  found is called for each.  Returns how
 * many processes could not be looked into.
 */
typedef void (*holder_found)(void *arg, const struct holder *h);
size_t	holders_of(const char *queue, const char *fifo, holder_found found,
	    void *arg);

#endif /* CMD_QCTL_H */
