/*
 * dvv: merging keeps a version when the other side has it too, or has never
 * heard of it.  Both lists are sorted by stamp and stamps are unique, so a
 * merge is a walk along both.
 */

#include "dvv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "crc.h"

void
dvv_release(struct dvv *d)
{
	for (size_t i = 0; i < d->cnt; i++)
		free(d->versions[i].value);
	free(d->versions);
	memset(d, 0, sizeof(*d));
}

/* v with a value of its own. */
static int
version_copy(struct dvv_version *to, const struct dvv_version *v)
{
	*to = *v;
	if ((to->value = malloc(v->len + 1)) == NULL)
		return -1;
	if (v->len > 0)
		memcpy(to->value, v->value, v->len);
	to->value[v->len] = '\0';
	return 0;
}

/* Room for cnt versions; the list is empty but for its context. */
static int
room(struct dvv *d, size_t cnt)
{
	d->versions = calloc(cnt + 1, sizeof(*d->versions));
	return d->versions == NULL ? -1 : 0;
}

int
dvv_copy(struct dvv *to, const struct dvv *from)
{
	memset(to, 0, sizeof(*to));
	if (room(to, from->cnt) == -1)
		return -1;
	for (; to->cnt < from->cnt; to->cnt++)
		if (version_copy(&to->versions[to->cnt],
		    &from->versions[to->cnt]) == -1) {
			dvv_release(to);
			return -1;
		}
	memcpy(to->context, from->context, sizeof(to->context));
	return 0;
}

bool
dvv_covers(const struct dvv *d, uint16_t node, uint64_t counter)
{
	return node <= DVV_NODES_MAX && counter <= d->context[node];
}

struct stamp
dvv_stamp(const struct dvv *d)
{
	return d->cnt > 0 ? d->versions[0].stamp : (struct stamp){ 0 };
}

/* Append a copy of v, or only count it when there are enough already. */
static int
keep(struct dvv *out, const struct dvv_version *v, size_t limit,
    uint64_t *discarded)
{
	if (out->cnt >= limit) {
		(*discarded)++;
		return 0;
	}
	if (version_copy(&out->versions[out->cnt], v) == -1)
		return -1;
	out->cnt++;
	return 0;
}

int
dvv_merge(struct dvv *d, const struct dvv *from, size_t limit,
    uint64_t *discarded)
{
	struct dvv out = { 0 };
	const struct dvv_version *v;
	uint64_t gone = 0;
	size_t i = 0, k = 0;
	int c;

	if (room(&out, d->cnt + from->cnt) == -1)
		return -1;
	while (i < d->cnt || k < from->cnt) {
		c = k == from->cnt ? 1 : i == d->cnt ? -1 :
		    stamp_cmp(&d->versions[i].stamp, &from->versions[k].stamp);
		v = c >= 0 ? &d->versions[i++] : &from->versions[k++];
		k += c == 0;
		/* Only one side has it: the other may have replaced it. */
		if (c != 0 && dvv_covers(c > 0 ? from : d, v->node,
		    v->counter))
			continue;
		if (keep(&out, v, limit, &gone) == -1) {
			dvv_release(&out);
			return -1;
		}
	}
	for (i = 1; i <= DVV_NODES_MAX; i++)
		out.context[i] = d->context[i] > from->context[i] ?
		    d->context[i] : from->context[i];
	dvv_release(d);
	*d = out;
	*discarded += gone;
	return 0;
}

int
dvv_write(struct dvv *d, const uint64_t *context, uint16_t node,
    const struct dvv_version *v, size_t limit, uint64_t *discarded)
{
	struct dvv out = { 0 }, seen = { 0 };
	struct dvv_version new = *v;
	uint64_t gone = 0;

	memcpy(seen.context, context != NULL ? context : d->context,
	    sizeof(seen.context));
	if (room(&out, d->cnt + 1) == -1)
		return -1;
	new.node = node;
	new.counter = d->context[node] + 1;
	if (keep(&out, &new, limit, &gone) == -1)
		goto fail;
	for (size_t i = 0; i < d->cnt; i++)
		if (!dvv_covers(&seen, d->versions[i].node,
		    d->versions[i].counter) &&
		    keep(&out, &d->versions[i], limit, &gone) == -1)
			goto fail;
	memcpy(out.context, d->context, sizeof(out.context));
	out.context[node] = new.counter;
	dvv_release(d);
	*d = out;
	*discarded += gone;
	return 0;
fail:
	dvv_release(&out);
	return -1;
}

uint64_t
dvv_digest(const struct dvv *d, const void *key, size_t len)
{
	unsigned char word[18];
	uint64_t sum = 0;

	for (size_t i = 1; i <= DVV_NODES_MAX; i++) {
		if (d->context[i] == 0)
			continue;
		le_put64(word, d->context[i]);
		le_put16(word + 8, (uint16_t)i);
		sum = hash64(word, 10, sum + 1);
	}
	for (size_t i = 0; i < d->cnt; i++) {
		const struct dvv_version *v = &d->versions[i];

		le_put64(word, v->counter);
		le_put64(word + 8, v->stamp.hlc);
		le_put16(word + 16, v->node);
		sum = hash64(word, sizeof(word), sum + 2);
		sum = hash64(v->value, v->len, sum + 3);
	}
	return sum == 0 ? 0 : hash64(key, len, sum);
}
