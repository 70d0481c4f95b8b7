/* dvv_test: merging is a join, and siblings are what nobody had seen. */

#include "dvv.h"

#include "tap.h"

#define DOMAIN	400

static uint64_t seed = 7;

static uint64_t
draw(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static struct dvv_version
version(uint16_t node, uint64_t hlc, const char *text)
{
	return (struct dvv_version){ .stamp = { hlc, 1, node },
	    .value = (unsigned char *)(uintptr_t)text, .len = strlen(text) };
}

static void
put(struct dvv *d, const uint64_t *context, uint16_t node, uint64_t hlc,
    const char *text, size_t limit)
{
	struct dvv_version v = version(node, hlc, text);
	uint64_t discarded = 0;

	if (dvv_write(d, context, node, &v, limit, &discarded) == -1)
		tap_bail("dvv_write");
}

static void
join(struct dvv *d, const struct dvv *from, size_t limit)
{
	uint64_t discarded = 0;

	if (dvv_merge(d, from, limit, &discarded) == -1)
		tap_bail("dvv_merge");
}

static uint64_t
digest(const struct dvv *d)
{
	return dvv_digest(d, "k", 1);
}

static void
test_siblings(void)
{
	struct dvv a = { 0 }, b = { 0 };
	static const uint64_t nothing[DVV_NODES_MAX + 1];

	ok(digest(&a) == 0, "an unwritten key has the digest 0");
	put(&a, NULL, 1, 10, "one", 60);
	join(&b, &a, 60);
	ok(digest(&a) == digest(&b), "a copy is equal");
	put(&a, NULL, 1, 20, "two", 60);
	put(&b, NULL, 2, 15, "three", 60);
	join(&a, &b, 60);
	join(&b, &a, 60);
	is_uint(a.cnt, 2, "two writes that did not see each other stay");
	is_str((char *)a.versions[0].value, "two", "the newest comes first");
	ok(digest(&a) == digest(&b), "both sides agree");
	put(&a, a.context, 1, 30, "four", 60);
	is_uint(a.cnt, 1, "a write that saw both replaces both");
	join(&a, &b, 60);
	is_uint(a.cnt, 1, "the replaced ones do not come back");
	join(&b, &a, 60);
	put(&b, nothing, 2, 40, "five", 60);
	is_uint(b.cnt, 2, "a write that saw nothing is a sibling");
	ok(dvv_covers(&b, 2, 2) && !dvv_covers(&b, 2, 3), "covered or not");
	dvv_release(&a);
	dvv_release(&b);
}

static void
test_last_writer(void)
{
	struct dvv a = { 0 }, b = { 0 };
	uint64_t discarded = 0;

	put(&a, NULL, 1, 10, "old", 1);
	put(&b, NULL, 2, 11, "new", 1);
	is_int(dvv_merge(&a, &b, 1, &discarded), 0, "merge");
	is_uint(a.cnt, 1, "one is left");
	is_str((char *)a.versions[0].value, "new", "the newer one");
	is_uint(discarded, 1, "the other was thrown away, and counted");
	is_int(dvv_merge(&a, &b, 1, &discarded), 0, "again");
	is_uint(discarded, 1, "nothing more was");
	ok(dvv_covers(&a, 1, 1), "it is still known to have been");
	dvv_release(&a);
	dvv_release(&b);
}

/* Random writes on three replicas, merged in every order. */
static void
test_join(size_t limit)
{
	static const uint64_t nothing[DVV_NODES_MAX + 1];
	struct dvv r[3], x = { 0 }, y = { 0 };
	unsigned int unequal = 0, backwards = 0;
	uint64_t clock = 1;

	for (int round = 0; round < DOMAIN; round++) {
		memset(r, 0, sizeof(r));
		for (int i = 0; i < 12; i++) {
			size_t n = draw(3);
			struct stamp before = dvv_stamp(&r[n]), after;

			if (draw(3) == 0)
				join(&r[n], &r[draw(3)], limit);
			else
				put(&r[n], draw(4) == 0 ? nothing : NULL,
				    (uint16_t)(n + 1), ++clock, "v", limit);
			after = dvv_stamp(&r[n]);
			backwards += stamp_cmp(&after, &before) < 0;
		}
		join(&x, &r[0], limit);
		join(&x, &r[1], limit);
		join(&x, &r[2], limit);
		join(&y, &r[2], limit);
		join(&y, &r[1], limit);
		join(&r[0], &y, limit);		/* associates otherwise */
		join(&y, &r[0], limit);
		unequal += digest(&x) != digest(&y) || digest(&x) !=
		    digest(&r[0]);
		join(&x, &y, limit);
		unequal += digest(&x) != digest(&y);
		for (int i = 0; i < 3; i++)
			dvv_release(&r[i]);
		dvv_release(&x);
		dvv_release(&y);
	}
	is_uint(unequal, 0, "limit %zu: %d times the order of merging does "
	    "not matter", limit, DOMAIN);
	is_uint(backwards, 0, "limit %zu: the newest stamp never goes back",
	    limit);
}

static void
test_limit(void)
{
	struct dvv d = { 0 };
	static const uint64_t nothing[DVV_NODES_MAX + 1];

	for (uint64_t i = 1; i <= DVV_VERSIONS_MAX + 5; i++)
		put(&d, nothing, 1, i, "v", DVV_VERSIONS_MAX);
	is_uint(d.cnt, DVV_VERSIONS_MAX, "siblings are bounded");
	is_uint(d.versions[0].stamp.hlc, DVV_VERSIONS_MAX + 5,
	    "the newest are kept");
	dvv_release(&d);
}

int
main(void)
{
	test_siblings();
	test_last_writer();
	test_join(1);
	test_join(DVV_VERSIONS_MAX);
	test_limit();
	return tap_end();
}
