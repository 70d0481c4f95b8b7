/*
 * oracle: what may and what must be in a queue.
 *
 * Units:   stamps order events: an event stamped s came after operation s-1
 *          and before operation s.  A cut at c keeps the operations below c.
 *          NEVER is later than everything.
 * Rules:   a message must be there once it is stored, may be gone once it is
 *          taken, must be gone once it is settled.  A push leaves a prefix of
 *          its input.  Messages of one key come in the order of their pushes.
 * Payload: "m000042." and letters up to the size: each one is its own proof.
 */
#ifndef TORTURE_ORACLE_H
#define TORTURE_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEVER		UINT64_MAX
#define ORACLE_MIN	8U	/* shortest payload */
#define ORACLE_WHY	400U	/* bytes of an explanation */

struct msg {
	uint64_t begun;		/* may be there from here on */
	uint64_t stored;	/* must */
	uint64_t taken;		/* may be gone */
	uint64_t settled;	/* must be gone */
	uint32_t size, push, key;	/* key 0: none */
	bool dead;		/* settled by being rejected */
};

struct push {
	uint32_t first, cnt;
	uint64_t begun, ended;	/* pushes that overlap have no order */
	bool atomic, ident;
	bool nosync;		/* -S, and nothing has synced it yet */
	bool done;		/* exited 0 */
};

struct oracle {
	struct msg *msgs;
	struct push *pushes;
	uint32_t msgs_cnt, msgs_cap, pushes_cnt, pushes_cap;
};

/* What is wrong is tolerated when said so here. */
struct oracle_pardon {
	uint32_t lost;		/* so many messages */
	bool lost_tail;		/* any number, if nothing comes after them */
	bool repeats;		/* settled ones may come again */
	bool order;
	/* What made use of it. */
	uint32_t found_lost, found_repeats;
};

void	oracle_copy(struct oracle *to, const struct oracle *from);
void	oracle_release(struct oracle *o);

/* A push of cnt messages begins; keys 0: no key, else key 1..keys in turn. */
struct push *oracle_push(struct oracle *o, uint32_t cnt, uint32_t size,
	    uint32_t keys, uint64_t stamp);

/* Writes o->msgs[id].size bytes, no NUL. */
void	oracle_payload(const struct oracle *o, uint32_t id, char *out);

/* The id of the message that begins at text, or -1. */
int64_t	oracle_id(const struct oracle *o, const char *text, size_t len);

/* How many events came before the cut: equal for equal promises. */
uint64_t oracle_age(const struct oracle *o, uint64_t cut);

/* The n-th last push with an id, from 1; it must be there. */
uint32_t oracle_ident(const struct oracle *o, uint32_t n);

/* What a drain returned has been acknowledged. */
void	oracle_drained(struct oracle *o, const char *out, size_t len);

/* Forget the past before a cut: what is left are certainties and doubts. */
void	oracle_cut(struct oracle *o, uint64_t cut);

/*
 * Compare what a drain returned, one message a line.  False and why when it
 * breaks a rule; pardon may be NULL.
 */
bool	oracle_check(const struct oracle *o, uint64_t cut, const char *out,
	    size_t len, struct oracle_pardon *pardon,
	    char why[ORACLE_WHY]);

#endif /* TORTURE_ORACLE_H */
