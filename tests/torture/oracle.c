/* oracle: the simple twin of the queue; see oracle.h. */

#include "oracle.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
grow(void *p, uint32_t cnt, uint32_t *cap, size_t size)
{
	if (cnt < *cap)
		return p;
	*cap = *cap * 2 + 64;
	p = reallocarray(p, *cap, size);
	if (p == NULL)
		err(71, NULL);
	return p;
}

void
oracle_copy(struct oracle *to, const struct oracle *from)
{
	*to = *from;
	to->msgs_cap = from->msgs_cnt + 1;
	to->pushes_cap = from->pushes_cnt + 1;
	to->msgs = reallocarray(NULL, to->msgs_cap, sizeof(*to->msgs));
	to->pushes = reallocarray(NULL, to->pushes_cap, sizeof(*to->pushes));
	if (to->msgs == NULL || to->pushes == NULL)
		err(71, NULL);
	if (from->msgs_cnt > 0)
		memcpy(to->msgs, from->msgs,
		    from->msgs_cnt * sizeof(*to->msgs));
	if (from->pushes_cnt > 0)
		memcpy(to->pushes, from->pushes,
		    from->pushes_cnt * sizeof(*to->pushes));
}

void
oracle_release(struct oracle *o)
{
	free(o->msgs);
	free(o->pushes);
	*o = (struct oracle){ 0 };
}

struct push *
oracle_push(struct oracle *o, uint32_t cnt, uint32_t size, uint32_t keys,
    uint64_t stamp)
{
	struct push *p;
	uint32_t i;

	o->pushes = grow(o->pushes, o->pushes_cnt, &o->pushes_cap,
	    sizeof(*o->pushes));
	p = &o->pushes[o->pushes_cnt++];
	*p = (struct push){ .first = o->msgs_cnt, .cnt = cnt,
	    .begun = stamp, .ended = NEVER };
	for (i = 0; i < cnt; i++) {
		o->msgs = grow(o->msgs, o->msgs_cnt, &o->msgs_cap,
		    sizeof(*o->msgs));
		o->msgs[o->msgs_cnt++] = (struct msg){
			.begun = stamp, .stored = NEVER, .taken = NEVER,
			.settled = NEVER,
			.size = size < ORACLE_MIN ? ORACLE_MIN : size,
			.push = o->pushes_cnt - 1,
			.key = keys == 0 ? 0 : 1 + i % keys,
		};
	}
	return p;
}

void
oracle_payload(const struct oracle *o, uint32_t id, char *out)
{
	uint32_t i, size = o->msgs[id].size;
	char head[16];

	snprintf(head, sizeof(head), "m%06u.", id);
	memcpy(out, head, ORACLE_MIN);
	for (i = ORACLE_MIN; i < size; i++)
		out[i] = (char)('a' + (id * 7 + i * (1 + id % 5)) % 26);
}

int64_t
oracle_id(const struct oracle *o, const char *text, size_t len)
{
	uint32_t id = 0;
	int i;

	if (len < ORACLE_MIN || text[0] != 'm' || text[7] != '.')
		return -1;
	for (i = 1; i < 7; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		id = id * 10 + (uint32_t)(text[i] - '0');
	}
	return id < o->msgs_cnt ? (int64_t)id : -1;
}

uint64_t
oracle_age(const struct oracle *o, uint64_t cut)
{
	uint64_t age = 0;
	uint32_t i;

	for (i = 0; i < o->msgs_cnt; i++) {
		age += o->msgs[i].begun <= cut;
		age += o->msgs[i].stored <= cut;
		age += o->msgs[i].taken < cut;
		age += o->msgs[i].settled <= cut;
	}
	return age;
}

uint32_t
oracle_ident(const struct oracle *o, uint32_t n)
{
	uint32_t p;

	for (p = o->pushes_cnt; p > 0; p--)
		if (o->pushes[p - 1].ident && --n == 0)
			return p - 1;
	errx(64, "there was no such push with an id");
}

void
oracle_drained(struct oracle *o, const char *out, size_t len)
{
	const char *end = out + len, *nl;
	int64_t id;

	for (; out < end; out = nl + 1) {
		nl = memchr(out, '\n', (size_t)(end - out));
		if (nl == NULL)
			nl = end;
		id = oracle_id(o, out, (size_t)(nl - out));
		if (id >= 0)
			o->msgs[id].taken = o->msgs[id].settled = 0;
	}
}

void
oracle_cut(struct oracle *o, uint64_t cut)
{
	uint32_t i;

	for (i = 0; i < o->msgs_cnt; i++) {
		struct msg *m = &o->msgs[i];

		m->begun = m->begun <= cut ? 0 : NEVER;
		m->stored = m->stored <= cut ? 0 : NEVER;
		m->taken = m->taken < cut ? 0 : NEVER;
		m->settled = m->settled <= cut ? 0 : NEVER;
	}
	for (i = 0; i < o->pushes_cnt; i++)
		o->pushes[i].nosync = false;
}

/* --- checking ------------------------------------------------------------- */

struct sheet {
	const struct oracle *o;
	uint64_t cut;
	struct oracle_pardon *pardon;
	unsigned char *seen;
	char *why;
};

static bool
check_line(struct sheet *s, const char *line, size_t len, int64_t *id)
{
	const struct msg *m;
	char *want;
	bool same;

	*id = oracle_id(s->o, line, len);
	if (*id < 0) {
		snprintf(s->why, ORACLE_WHY, "invented: %.*s",
		    len > 60 ? 60 : (int)len, line);
		return false;
	}
	m = &s->o->msgs[*id];
	want = malloc(m->size);
	if (want == NULL)
		err(71, NULL);
	oracle_payload(s->o, (uint32_t)*id, want);
	same = len == m->size && memcmp(line, want, len) == 0;
	free(want);
	if (!same) {
		snprintf(s->why, ORACLE_WHY,
		    "message %lld came changed (%zu bytes of %u)",
		    (long long)*id, len, m->size);
		return false;
	}
	if (m->begun > s->cut) {
		snprintf(s->why, ORACLE_WHY,
		    "message %lld is there, though never pushed or refused",
		    (long long)*id);
		return false;
	}
	if (m->settled <= s->cut && s->pardon->repeats) {
		s->pardon->found_repeats++;
	} else if (m->settled <= s->cut) {
		snprintf(s->why, ORACLE_WHY,
		    "message %lld came back after its acknowledgement",
		    (long long)*id);
		return false;
	}
	if (s->seen[*id]++ != 0) {
		snprintf(s->why, ORACLE_WHY, "message %lld came twice",
		    (long long)*id);
		return false;
	}
	return true;
}

static bool
ordered(const struct oracle *o, uint32_t early, uint32_t late)
{
	const struct push *a = &o->pushes[o->msgs[early].push];
	const struct push *b = &o->pushes[o->msgs[late].push];

	return a == b || a->ended <= b->begun;
}

static bool
check_order(struct sheet *s, const char *out, size_t len)
{
	uint32_t last[256] = { 0 }, key;
	const char *end = out + len, *nl;
	int64_t id;

	for (; out < end; out = nl + 1) {
		nl = memchr(out, '\n', (size_t)(end - out));
		if (nl == NULL)
			nl = end;
		id = oracle_id(s->o, out, (size_t)(nl - out));
		key = s->o->msgs[id].key & 255;
		if (last[key] > (uint32_t)id + 1 &&
		    ordered(s->o, (uint32_t)id, last[key] - 1)) {
			snprintf(s->why, ORACLE_WHY,
			    "message %lld came after %u of the same key",
			    (long long)id, last[key] - 1);
			return false;
		}
		if (last[key] < (uint32_t)id + 1)
			last[key] = (uint32_t)id + 1;
	}
	return true;
}

static bool
check_lost(struct sheet *s)
{
	uint32_t i, j, lost = 0;

	for (i = 0; i < s->o->msgs_cnt; i++) {
		const struct msg *m = &s->o->msgs[i];

		if (s->seen[i] || m->stored > s->cut || m->taken < s->cut)
			continue;
		s->pardon->found_lost = ++lost;
		if (lost <= s->pardon->lost)
			continue;
		for (j = i + 1; j < s->o->msgs_cnt && !s->seen[j]; j++)
			;
		if (s->pardon->lost_tail && j == s->o->msgs_cnt)
			continue;
		snprintf(s->why, ORACLE_WHY,
		    "message %u is lost%s", i,
		    s->pardon->lost > 0 ? ", and another" : "");
		return false;
	}
	return true;
}

/* What is there of a push is a prefix of its input; of -A all or nothing. */
static bool
check_prefix(struct sheet *s)
{
	const struct oracle *o = s->o;
	uint32_t p, i, missing, last;

	if (s->pardon->lost > 0)
		return true;
	for (p = 0; p < o->pushes_cnt; p++) {
		missing = last = UINT32_MAX;
		for (i = o->pushes[p].first;
		    i < o->pushes[p].first + o->pushes[p].cnt; i++) {
			const struct msg *m = &o->msgs[i];

			if (s->seen[i])
				last = i;
			else if (m->taken >= s->cut && missing == UINT32_MAX)
				missing = i;
		}
		if (missing == UINT32_MAX || last == UINT32_MAX)
			continue;
		if (missing < last || o->pushes[p].atomic) {
			snprintf(s->why, ORACLE_WHY,
			    "of one push message %u is there, %u is not", last,
			    missing);
			return false;
		}
	}
	return true;
}

bool
oracle_check(const struct oracle *o, uint64_t cut, const char *out, size_t len,
    struct oracle_pardon *pardon, char why[ORACLE_WHY])
{
	struct oracle_pardon none = { 0 };
	struct sheet s = { o, cut, pardon != NULL ? pardon : &none,
	    calloc(1, o->msgs_cnt + 1), why };
	const char *at = out, *end = out + len, *nl;
	bool good = true;
	int64_t id;

	if (s.seen == NULL)
		err(71, NULL);
	for (; good && at < end; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if (nl == NULL)
			nl = end;
		good = check_line(&s, at, (size_t)(nl - at), &id);
	}
	good = good && (s.pardon->order || check_order(&s, out, len)) &&
	    check_lost(&s) && check_prefix(&s);
	free(s.seen);
	return good;
}
