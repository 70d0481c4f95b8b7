/*
 * raftnode_cmd: what a request asks for, and where it is answered: here, behind
 * the log, or by the leader.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "exits.h"
#include "log.h"
#include "num.h"
#include "raftnode.h"

static bool
word(const struct resp_arg *arg, const char *text)
{
	return strlen(text) == arg->len &&
	    strncasecmp((const char *)arg->data, text, arg->len) == 0;
}

static bool
number(const struct resp_arg *arg, uint64_t max, uint64_t *v)
{
	char text[24];

	if (arg->len >= sizeof(text))
		return false;
	memcpy(text, arg->data, arg->len);
	text[arg->len] = '\0';
	return num_u64(text, 0, max, v) == 0;
}

static bool
consistency(const struct resp_arg *arg, enum consistency *out)
{
	if (word(arg, "linear"))
		*out = READ_LINEAR;
	else if (word(arg, "leader"))
		*out = READ_LEADER;
	else if (word(arg, "stale"))
		*out = READ_STALE;
	else
		return false;
	return true;
}

static void
text_reply(struct conn *c, const char *text)
{
	conn_reply(c, text, strlen(text));
}

static void
bulk_reply(struct conn *c, const void *data, size_t len)
{
	struct buf b = { 0 };

	if (resp_bulk(&b, data, len) == -1)
		node_die(c->node, EX_OSERR, "out of memory");
	conn_reply(c, b.data, b.len);
	buf_release(&b);
}

/* --- commands about the state --------------------------------------------------- */

static void
read_here(const struct request *q)
{
	struct buf out = { 0 };

	if (fsm_read(q->conn->node->fsm, q->argv, q->argc, &out) == -1)
		node_die(q->conn->node, EX_OSERR, "out of memory");
	conn_reply(q->conn, out.data, out.len);
	buf_release(&out);
}

static void
do_read(struct node *n, const struct request *q)
{
	if (q->consistency == READ_STALE ||
	    (q->consistency == READ_LEADER && n->serving))
		read_here(q);
	else if (!node_is_leader(n))
		forward_request(n, q, false);
	else
		round_add(n, q, false);
}

static void
do_write(struct node *n, const struct request *q)
{
	if (!node_is_leader(n))
		forward_request(n, q, true);
	else if (n->disk_full && fsm_grows(q->argv))
		conn_error(q->conn, "NOSPACE the leader's disk is full");
	else
		round_add(n, q, true);
}

static void
misused(const struct request *q)
{
	char text[128];

	(void)snprintf(text, sizeof(text),
	    "ERR wrong number of arguments for '%.*s' command",
	    (int)(q->argv[0].len < 32 ? q->argv[0].len : 32),
	    (const char *)q->argv[0].data);
	conn_error(q->conn, text);
}

static void
unknown(const struct request *q)
{
	char text[128];
	size_t i, len = q->argv[0].len < 64 ? q->argv[0].len : 64;

	(void)snprintf(text, sizeof(text), "ERR unknown command '%.*s'",
	    (int)len, (const char *)q->argv[0].data);
	for (i = 0; text[i] != '\0'; i++)
		if ((unsigned char)text[i] < ' ')
			text[i] = '?';
	conn_error(q->conn, text);
}

static void
run(struct node *n, const struct request *q)
{
	switch (fsm_kind(q->argv, q->argc)) {
	case FSM_READ:
		do_read(n, q);
		break;
	case FSM_WRITE:
		do_write(n, q);
		break;
	case FSM_WAIT:
		park_add(n, q);
		break;
	case FSM_MISUSED:
		misused(q);
		break;
	case FSM_INNER:
	case FSM_NOTMINE:
		if (word(&q->argv[0], "MEMBER"))
			member_command(n, q);
		else
			unknown(q);
		break;
	}
}

/* --- commands about the connection and the node ------------------------------------ */

static void
do_ping(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	if (argc > 1)
		bulk_reply(c, argv[1].data, argv[1].len);
	else
		text_reply(c, "+PONG\r\n");
}

static void
do_echo(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	(void)argc;
	bulk_reply(c, argv[1].data, argv[1].len);
}

static void
do_hello(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	struct buf b = { 0 };
	const char *role = node_is_leader(c->node) ? "master" : "replica";

	if (argc > 1 && !word(&argv[1], "2")) {
		conn_error(c, "NOPROTO unsupported protocol version");
		return;
	}
	if (resp_array(&b, 10) == -1 || resp_bulk(&b, "server", 6) == -1 ||
	    resp_bulk(&b, "raftnode", 8) == -1 ||
	    resp_bulk(&b, "version", 7) == -1 ||
	    resp_bulk(&b, VERSION, strlen(VERSION)) == -1 ||
	    resp_bulk(&b, "proto", 5) == -1 || resp_int(&b, 2) == -1 ||
	    resp_bulk(&b, "id", 2) == -1 ||
	    resp_int(&b, (int64_t)c->id) == -1 ||
	    resp_bulk(&b, "role", 4) == -1 ||
	    resp_bulk(&b, role, strlen(role)) == -1)
		node_die(c->node, EX_OSERR, "out of memory");
	conn_reply(c, b.data, b.len);
	buf_release(&b);
}

static void
do_quit(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	(void)argv;
	(void)argc;
	text_reply(c, "+OK\r\n");
	c->ending = true;
}

static void
do_select(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	(void)argc;
	if (word(&argv[1], "0"))
		text_reply(c, "+OK\r\n");
	else
		conn_error(c, "ERR DB index is out of range");
}

static void
do_command(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	if (argc > 1 && word(&argv[1], "COUNT"))
		text_reply(c, ":0\r\n");
	else
		text_reply(c, "*0\r\n");
}

static void
do_client(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	struct buf b = { 0 };

	if (word(&argv[1], "ID")) {
		if (resp_int(&b, (int64_t)c->id) == -1)
			node_die(c->node, EX_OSERR, "out of memory");
		conn_reply(c, b.data, b.len);
		buf_release(&b);
	} else if (word(&argv[1], "GETNAME")) {
		bulk_reply(c, c->name, strlen(c->name));
	} else if (word(&argv[1], "SETNAME") && argc == 3) {
		if (argv[2].len >= sizeof(c->name)) {
			conn_error(c, "TOOBIG a name has at most 63 bytes");
			return;
		}
		memcpy(c->name, argv[2].data, argv[2].len);
		c->name[argv[2].len] = '\0';
		text_reply(c, "+OK\r\n");
	} else if (word(&argv[1], "SETINFO")) {
		text_reply(c, "+OK\r\n");
	} else if (word(&argv[1], "NOFORWARD")) {
		c->no_forward = true;
		text_reply(c, "+OK\r\n");
	} else {
		conn_error(c, "ERR unknown subcommand of CLIENT");
	}
}

/* What redis-benchmark asks for; nothing can be configured here. */
static void
do_config(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	if (argc < 3 || !word(&argv[1], "GET"))
		conn_error(c, "ERR only CONFIG GET");
	else if (word(&argv[2], "save"))
		text_reply(c, "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
	else if (word(&argv[2], "appendonly"))
		text_reply(c, "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n");
	else
		text_reply(c, "*0\r\n");
}

static void
do_info(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	struct buf b = { 0 };

	(void)argv;
	(void)argc;
	info_text(c->node, &b);
	bulk_reply(c, b.data, b.len);
	buf_release(&b);
}

static void
do_consistency(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	(void)argc;
	if (consistency(&argv[1], &c->consistency))
		text_reply(c, "+OK\r\n");
	else
		conn_error(c, "ERR linear, leader or stale");
}

static void
do_snapshot(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	(void)argv;
	(void)argc;
	node_snapshot_now(c->node);
	text_reply(c, "+OK\r\n");
}

/* REQ client seq command... */
static void
do_req(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	struct request q = { .conn = c, .consistency = c->consistency };

	q.client = argv[1].data;
	q.client_len = argv[1].len;
	q.argv = argv + 3;
	q.argc = argc - 3;
	if (q.client_len == 0 || q.client_len > FSM_CLIENT_MAX ||
	    !number(&argv[2], UINT64_MAX, &q.seq)) {
		conn_error(c, "ERR REQ client seq command...");
		return;
	}
	run(c->node, &q);
}

/*
 * From another node: FWD consistency client seq command..., or CONFIRM term
 * number.
 */
static void
do_forwarded(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	struct request q = { .conn = c };
	uint64_t term, question;
	struct buf b = { 0 };

	if (argc == 3 && word(&argv[0], "CONFIRM") &&
	    number(&argv[1], UINT64_MAX, &term) &&
	    number(&argv[2], INT64_MAX, &question)) {
		confirm_answer(c->node, term, question, &b);
		conn_reply(c, b.data, b.len);
		buf_release(&b);
		return;
	}
	if (argc < 5 || !word(&argv[0], "FWD") ||
	    !consistency(&argv[1], &q.consistency) ||
	    argv[2].len > FSM_CLIENT_MAX ||
	    !number(&argv[3], UINT64_MAX, &q.seq)) {
		conn_error(c, "ERR not a forwarded request");
		return;
	}
	q.client = argv[2].data;
	q.client_len = argv[2].len;
	q.argv = argv + 4;
	q.argc = argc - 4;
	if (fsm_kind(q.argv, q.argc) == FSM_WAIT)
		conn_error(c, "ERR not a forwarded request");
	else
		run(c->node, &q);
}

static const struct {
	const char *name;
	size_t min, max;
	void (*fn)(struct conn *, const struct resp_arg *, size_t);
} table[] = {
	{ "PING", 1, 2, do_ping },
	{ "REQ", 4, RESP_ARGS_MAX, do_req },
	{ "INFO", 1, 2, do_info },
	{ "ECHO", 2, 2, do_echo },
	{ "HELLO", 1, RESP_ARGS_MAX, do_hello },
	{ "QUIT", 1, 1, do_quit },
	{ "SELECT", 2, 2, do_select },
	{ "COMMAND", 1, RESP_ARGS_MAX, do_command },
	{ "CLIENT", 2, RESP_ARGS_MAX, do_client },
	{ "CONFIG", 2, RESP_ARGS_MAX, do_config },
	{ "READCONSISTENCY", 2, 2, do_consistency },
	{ "SNAPSHOT", 1, 1, do_snapshot },
};

void
command(struct conn *c, const struct resp_arg *argv, size_t argc)
{
	struct request q = { .conn = c, .argv = argv, .argc = argc,
	    .consistency = c->consistency,
	    .client = (const unsigned char *)"" };
	size_t i;

	if (c->peer) {
		do_forwarded(c, argv, argc);
		return;
	}
	/* The usual ones first. */
	if (fsm_kind(argv, argc) != FSM_NOTMINE) {
		run(c->node, &q);
		return;
	}
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!word(&argv[0], table[i].name))
			continue;
		if (argc < table[i].min || argc > table[i].max)
			misused(&q);
		else
			table[i].fn(c, argv, argc);
		return;
	}
	run(c->node, &q);
}
