/* fsm_read: what can be asked about keys. */

#include <stdlib.h>
#include <string.h>

#include "fsm_priv.h"

#define LIST_MAX	1000		/* keys in one reply of LIST */
#define LIST_BYTES	(UINT64_C(4) << 20)

static void
value_of(struct fsm *f, const struct resp_arg *name, struct buf *out)
{
	struct key *k = key_find(f, name);

	if (k == NULL)
		(void)fsm_put(f, resp_nil(out));
	else
		(void)fsm_put(f, resp_bulk(out, k->value->data,
		    k->value->len));
}

void
read_get(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	(void)argc;
	value_of(f, &argv[1], out);
}

/* [value, revision, revision of creation, ms to live or -1], or nil */
void
read_getrev(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct key *k = key_find(f, &argv[1]);

	(void)argc;
	if (k == NULL) {
		(void)fsm_put(f, buf_put(out, "*-1\r\n", 5));
		return;
	}
	if (fsm_put(f, resp_array(out, 4)) &&
	    fsm_put(f, resp_bulk(out, k->value->data, k->value->len)) &&
	    fsm_put(f, resp_int(out, (int64_t)k->mod_rev)) &&
	    fsm_put(f, resp_int(out, (int64_t)k->create_rev)))
		(void)fsm_put(f, resp_int(out,
		    k->due.at == 0 ? -1 : k->due.at - f->clock));
}

void
read_mget(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	size_t i;

	if (!fsm_put(f, resp_array(out, argc - 1)))
		return;
	for (i = 1; i < argc; i++)
		value_of(f, &argv[i], out);
}

void
read_exists(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	int64_t n = 0;
	size_t i;

	for (i = 1; i < argc; i++)
		n += key_find(f, &argv[i]) != NULL;
	(void)fsm_put(f, resp_int(out, n));
}

void
read_ttl(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct key *k = key_find(f, &argv[1]);
	int64_t left = -2;

	(void)argc;
	if (k != NULL)
		left = k->due.at == 0 ? -1 : k->due.at - f->clock;
	if (left > 0 && fsm_word(&argv[0], "TTL"))
		left = (left + 999) / 1000;
	(void)fsm_put(f, resp_int(out, left));
}

void
read_strlen(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct key *k = key_find(f, &argv[1]);

	(void)argc;
	(void)fsm_put(f, resp_int(out, k == NULL ? 0 : k->value->len));
}

void
read_type(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	(void)argc;
	(void)fsm_put(f, buf_put_str(out,
	    key_find(f, &argv[1]) != NULL ? "+string\r\n" : "+none\r\n"));
}

void
read_dbsize(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	(void)argv;
	(void)argc;
	(void)fsm_put(f, resp_int(out, (int64_t)f->key_cnt));
}

/* The revision of the last change: where a watch that begins now begins. */
void
read_revision(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	(void)argv;
	(void)argc;
	(void)fsm_put(f, resp_int(out, (int64_t)f->rev));
}

/* [the oldest record that is kept, the number the next will have] */
void
read_records(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	(void)argv;
	(void)argc;
	if (fsm_put(f, resp_array(out, 2)) &&
	    fsm_put(f, resp_int(out, (int64_t)f->records.first)))
		(void)fsm_put(f, resp_int(out, (int64_t)f->next_record));
}

/* --- many keys ---------------------------------------------------------------- */

/*
 * Does the glob match the name?  * ? [a-z] [^a] and \ as in Redis.  Iterative
 * for *, with one place to go back to, so that no pattern costs more than the
 * product of both lengths.
 */
static bool
in_set(const unsigned char *p, size_t left, unsigned char c, size_t *took)
{
	bool no = false, found = false;
	size_t i = 1;

	if (i < left && p[i] == '^') {
		no = true;
		i++;
	}
	for (; i < left && p[i] != ']'; i++) {
		if (p[i] == '\\' && i + 1 < left) {
			found |= p[++i] == c;
		} else if (i + 2 < left && p[i + 1] == '-' &&
		    p[i + 2] != ']') {
			unsigned char lo = p[i], hi = p[i + 2];

			found |= lo <= hi ? lo <= c && c <= hi :
			    hi <= c && c <= lo;
			i += 2;
		} else {
			found |= p[i] == c;
		}
	}
	*took = i < left ? i + 1 : left;
	return found != no;
}

static bool
glob(const struct resp_arg *pattern, const struct blob *name)
{
	const unsigned char *p = pattern->data;
	size_t pi = 0, ni = 0, back_p = 0, back_n = 0, took;
	bool star = false;

	while (ni < name->len || pi < pattern->len) {
		if (pi < pattern->len && p[pi] == '*') {
			star = true;
			back_p = ++pi;
			back_n = ni;
			continue;
		}
		if (pi < pattern->len && ni < name->len) {
			took = 1;
			if (p[pi] == '?' ||
			    (p[pi] == '[' ? in_set(p + pi, pattern->len - pi,
			    name->data[ni], &took) :
			    p[pi] == '\\' && pi + 1 < pattern->len ?
			    (took = 2, p[pi + 1] == name->data[ni]) :
			    p[pi] == name->data[ni])) {
				pi += took;
				ni++;
				continue;
			}
		}
		if (!star || back_n >= name->len)
			return false;
		pi = back_p;
		ni = ++back_n;
	}
	return true;
}

void
read_keys(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	struct key *k;
	size_t n = 0;

	(void)argc;
	for (k = key_first(f); k != NULL; k = key_next(k))
		n += glob(&argv[1], k->name);
	if (!fsm_put(f, resp_array(out, n)))
		return;
	for (k = key_first(f); k != NULL; k = key_next(k))
		if (glob(&argv[1], k->name))
			(void)fsm_put(f, resp_bulk(out, k->name->data,
			    k->name->len));
}

/*
 * SCAN cursor [MATCH glob] [COUNT n].  Redis's cursor is a number; ours counts
 * keys in order, so a key that stays is seen unless keys before it go away
 * between two calls; LIST, which resumes from a name, has no such gap.
 */
void
read_scan(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	const struct resp_arg *match = NULL;
	int64_t cursor, count = 10, i = 0, end;
	struct buf found = { 0 };
	struct key *k;
	size_t n = 0, j;
	char next[24];

	if (!fsm_number(&argv[1], 0, INT64_MAX / 2, &cursor)) {
		fsm_error(f, out, "ERR invalid cursor");
		return;
	}
	for (j = 2; j + 1 < argc; j += 2) {
		if (fsm_word(&argv[j], "MATCH"))
			match = &argv[j + 1];
		else if (!fsm_word(&argv[j], "COUNT") ||
		    !fsm_number(&argv[j + 1], 1, 1000000, &count))
			break;
	}
	if (j != argc) {
		fsm_error(f, out, "ERR syntax error");
		return;
	}
	end = cursor + count;
	for (k = key_first(f); k != NULL && i < end; k = key_next(k), i++) {
		if (i < cursor || (match != NULL && !glob(match, k->name)))
			continue;
		if (!fsm_put(f, resp_bulk(&found, k->name->data,
		    k->name->len)))
			break;
		n++;
	}
	(void)snprintf(next, sizeof(next), "%lld",
	    (long long)(k == NULL ? 0 : end));
	if (fsm_put(f, resp_array(out, 2)) &&
	    fsm_put(f, resp_bulk(out, next, strlen(next))) &&
	    fsm_put(f, resp_array(out, n)))
		(void)fsm_put(f, buf_put(out, found.data, found.len));
	buf_release(&found);
}

/*
 * LIST prefix [after [count]]: [more, [key, value, rev]...]; more is 1 if the
 * list goes on behind the last key.  after "" begins at the beginning.
 */
void
read_list(struct fsm *f, const struct resp_arg *argv, size_t argc,
    struct buf *out)
{
	const struct resp_arg *prefix = &argv[1];
	bool resume = argc > 2 && argv[2].len > 0;
	struct buf found = { 0 };
	struct key *k;
	int64_t count = LIST_MAX, n = 0;

	if (argc > 3 && !fsm_number(&argv[3], 1, LIST_MAX, &count)) {
		fsm_error(f, out, "ERR count is 1 to 1000");
		return;
	}
	k = key_from(f, resume ? &argv[2] : prefix);
	if (resume && k != NULL && k->name->len == argv[2].len &&
	    memcmp(k->name->data, argv[2].data, argv[2].len) == 0)
		k = key_next(k);
	for (; k != NULL && n < count && found.len < LIST_BYTES;
	    k = key_next(k), n++) {
		if (k->name->len < prefix->len ||
		    memcmp(k->name->data, prefix->data, prefix->len) != 0)
			break;
		if (!fsm_put(f, resp_array(&found, 3)) ||
		    !fsm_put(f, resp_bulk(&found, k->name->data,
		    k->name->len)) ||
		    !fsm_put(f, resp_bulk(&found, k->value->data,
		    k->value->len)) ||
		    !fsm_put(f, resp_int(&found, (int64_t)k->mod_rev)))
			break;
	}
	if (k != NULL && (k->name->len < prefix->len ||
	    memcmp(k->name->data, prefix->data, prefix->len) != 0))
		k = NULL;
	if (fsm_put(f, resp_array(out, (size_t)n + 1)) &&
	    fsm_put(f, resp_int(out, k != NULL)))
		(void)fsm_put(f, buf_put(out, found.data, found.len));
	buf_release(&found);
}
