/* fsm_session: the last reply to each client, so that a retry changes nothing. */

#include <stdlib.h>
#include <string.h>

#include "fsm_priv.h"

static int
session_cmp(const struct session *a, const struct session *b)
{
	return blob_cmp(a->client, b->client);
}

/* cppcheck-suppress unknownMacro */
TREE(session_tree, session, node, session_cmp)

struct session *
session_find(struct fsm *f, const void *client, size_t len)
{
	struct session *s = RB_ROOT(&f->sessions);
	int c;

	while (s != NULL) {
		size_t n = len < s->client->len ? len : s->client->len;

		if ((c = memcmp(client, s->client->data, n)) == 0)
			c = len < s->client->len ? -1 : len > s->client->len;
		if (c == 0)
			break;
		s = c < 0 ? RB_LEFT(s, node) : RB_RIGHT(s, node);
	}
	return s;
}

static void
end(struct fsm *f, struct session *s)
{
	(void)RB_REMOVE(session_tree, &f->sessions, s);
	TAILQ_REMOVE(&f->used, s, used);
	f->session_cnt--;
	blob_drop(s->client);
	blob_drop(s->reply);
	free(s);
}

/* The client's session, made if need be, and now the last used one. */
struct session *
session_get(struct fsm *f, const void *client, size_t len)
{
	struct session *s = session_find(f, client, len);

	if (s != NULL) {
		TAILQ_REMOVE(&f->used, s, used);
	} else {
		if (f->session_cnt >= f->limits.session_cnt)
			end(f, TAILQ_FIRST(&f->used));
		if ((s = fsm_alloc(f, sizeof(*s))) == NULL)
			return NULL;
		if ((s->client = blob_new(f, client, len)) == NULL) {
			free(s);
			return NULL;
		}
		(void)RB_INSERT(session_tree, &f->sessions, s);
		f->session_cnt++;
	}
	s->used_ms = f->clock;
	TAILQ_INSERT_TAIL(&f->used, s, used);
	return s;
}

void
session_reply(struct fsm *f, struct session *s, uint64_t seq,
    const struct buf *reply)
{
	struct blob *b = blob_new(f, reply->data, reply->len);

	if (b == NULL)
		return;
	blob_drop(s->reply);
	s->reply = b;
	s->seq = seq;
}

void
session_expire(struct fsm *f)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&f->used)) != NULL &&
	    f->clock - s->used_ms > f->limits.session_ms)
		end(f, s);
}

void
session_free_all(struct fsm *f)
{
	struct session *s;

	/* end() takes it out of the list. */
	while ((s = TAILQ_FIRST(&f->used)) != NULL)
		end(f, s);	/* NOLINT(clang-analyzer-unix.Malloc) */
}

void
session_moved(struct fsm *f)
{
	struct session *first = TAILQ_FIRST(&f->used);

	/* The list points back into the struct it was made in. */
	if (first == NULL)
		TAILQ_INIT(&f->used);
	else
		first->used.tqe_prev = &f->used.tqh_first;
}
