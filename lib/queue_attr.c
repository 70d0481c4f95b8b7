/* queue_attr: a queue's attributes: names, texts, values. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num.h"
#include "queue_priv.h"

enum kind { COUNT, SIZE, DURATION, YESNO, RETAIN };

static const struct {
	const char *name;
	enum kind kind;
	uint64_t start;
} attrs[ATTR_CNT] = {
	[ATTR_MAX_MESSAGES] = { "max-messages", COUNT, 0 },
	[ATTR_MAX_BYTES] = { "max-bytes", SIZE, 0 },
	[ATTR_MAX_MESSAGE] = { "max-message", SIZE, 16 << 20 },
	[ATTR_MAX_PER_KEY] = { "max-per-key", COUNT, 0 },
	[ATTR_DEDUP_COUNT] = { "dedup-count", COUNT, 100000 },
	[ATTR_DEDUP_NS] = { "dedup-time", DURATION,
	    UINT64_C(600000000000) },
	[ATTR_RETAIN_NS] = { "retain", RETAIN, 0 },
	[ATTR_RETAIN_BYTES] = { "retain-bytes", SIZE, 0 },
	[ATTR_TRIES] = { "tries", COUNT, 5 },
	[ATTR_BACKOFF_NS] = { "backoff", DURATION, 1000000000 },
	[ATTR_CLOSED] = { "closed", YESNO, 0 },
	[ATTR_PAUSED] = { "paused", YESNO, 0 },
};

static int
parse(enum attr *which, const char *value, uint64_t *out)
{
	int64_t ns;
	size_t len = strlen(value);

	switch (attrs[*which].kind) {
	case COUNT:
		return num_u64(value, 0, UINT64_MAX >> 8, out);
	case SIZE:
		if (num_size(value, out) == -1)
			return -1;
		if (*which == ATTR_MAX_MESSAGE && (*out == 0 ||
		    *out > QUEUE_MESSAGE_MAX)) {
			errno = ERANGE;
			return -1;
		}
		return 0;
	case RETAIN:
	case DURATION:
		/* A size has one of its units, all else is a time. */
		if (attrs[*which].kind == RETAIN && len > 0 &&
		    strchr("kMG", value[len - 1]) != NULL) {
			*which = ATTR_RETAIN_BYTES;
			return num_size(value, out);
		}
		if (num_duration(value, &ns) == -1)
			return -1;
		*out = (uint64_t)ns;
		return 0;
	default:
		*out = strcmp(value, "yes") == 0;
		if (*out == 0 && strcmp(value, "no") != 0) {
			errno = EINVAL;
			return -1;
		}
		return 0;
	}
}

int
attr_parse(const char *name, const char *value, enum attr *which,
    uint64_t *out)
{
	for (int i = 0; i < ATTR_CNT; i++) {
		if (strcmp(name, attrs[i].name) != 0)
			continue;
		*which = (enum attr)i;
		if (parse(which, value, out) == 0)
			return 0;
		break;
	}
	errno = EINVAL;
	return -1;
}

const char *
queue_attribute(struct queue *q, size_t i, char *value, size_t value_len)
{
	char text[32];
	uint64_t v;

	if (i >= ATTR_CNT)
		return NULL;
	v = attr_now(q, (enum attr)i);
	switch (attrs[i].kind) {
	case COUNT:
		snprintf(text, sizeof(text), "%" PRIu64, v);
		break;
	case SIZE:
		num_format_size(v, text, sizeof(text));
		break;
	case DURATION:
	case RETAIN:
		num_format_duration((int64_t)v, text, sizeof(text));
		break;
	default:
		snprintf(text, sizeof(text), "%s", v != 0 ? "yes" : "no");
		break;
	}
	snprintf(value, value_len, "%s", text);
	return attrs[i].name;
}

static void
attr_key(struct ikey *k, enum attr which)
{
	ikey_init(k, T_ATTR);
	ikey_u16(k, which);
}

int
attr_put(struct queue *q, enum attr which, uint64_t value)
{
	struct ival v = { .n = 1, .tail_len = 0 };
	struct ikey k;

	attr_key(&k, which);
	v.w[0] = value;
	q->idx.attrs_changed = true;
	return index_put(q, &k, &v);
}

int
attrs_load(struct queue *q, uint64_t values[ATTR_CNT])
{
	struct ikey k;
	struct ival v;
	int got;

	for (int i = 0; i < ATTR_CNT; i++)
		values[i] = attrs[i].start;
	ikey_init(&k, T_ATTR);
	while ((got = index_seek(q, &k, 1, &v)) == 1) {
		if (ikey_get16(&k, 1) < ATTR_CNT)
			values[ikey_get16(&k, 1)] = v.w[0];
		ikey_after(&k);
	}
	return got;
}

uint64_t
attr_now(const struct queue *q, enum attr which)
{
	return word_get(&q->ctl->now.attr[which]);
}

void
queue_limits(struct queue *q, struct queue_limits *l)
{
	l->max_messages = attr_now(q, ATTR_MAX_MESSAGES);
	l->max_bytes = attr_now(q, ATTR_MAX_BYTES);
	l->max_message = attr_now(q, ATTR_MAX_MESSAGE);
	l->max_per_key = attr_now(q, ATTR_MAX_PER_KEY);
	l->dedup_count = attr_now(q, ATTR_DEDUP_COUNT);
	l->dedup_ns = (int64_t)attr_now(q, ATTR_DEDUP_NS);
	l->retain_ns = (int64_t)attr_now(q, ATTR_RETAIN_NS);
	l->retain_bytes = attr_now(q, ATTR_RETAIN_BYTES);
	l->tries = attr_now(q, ATTR_TRIES);
	l->backoff_ns = (int64_t)attr_now(q, ATTR_BACKOFF_NS);
	l->closed = attr_now(q, ATTR_CLOSED) != 0;
	l->paused = attr_now(q, ATTR_PAUSED) != 0;
}

struct setting {
	enum attr which;
	uint64_t value;
};

static int
set(struct queue *q, void *arg)
{
	const struct setting *s = arg;

	if (record_begin(q, J_ATTR) == -1 ||
	    record_u64(q, s->which) == -1 || record_u64(q, s->value) == -1)
		return -1;
	record_end(q);
	return record_commit(q);
}

int
queue_set(struct queue *q, const char *name, const char *value)
{
	struct setting s;

	if (attr_parse(name, value, &s.which, &s.value) == -1)
		return -1;
	if (index_run(q, set, &s) == -1 || journal_sync(q) == -1)
		return -1;
	control_ring(q);
	/* Two files should know it: one damaged place forgets nothing. */
	return checkpoint_make(q);
}
