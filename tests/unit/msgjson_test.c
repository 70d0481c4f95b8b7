/* msgjson: there and back for all bytes, and what is not a message. */

#include "msgjson.h"

#include "tap.h"

#define ROUNDS	2000

static bool
same(const void *a, size_t a_len, const void *b, size_t b_len)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool
round_trip(struct msgjson *j, const struct queue_message *m)
{
	struct queue_message got;
	struct buf line = { 0 };
	const char *why = "";
	bool good;

	if (msgjson_put(&line, NULL, m) == -1)
		return false;
	good = line.data[line.len - 1] == '\n' &&
	    memchr(line.data, '\n', line.len) == line.data + line.len - 1 &&
	    msgjson_get(j, line.data, line.len - 1, &got, &why) == 0 &&
	    same(got.payload, got.payload_len, m->payload, m->payload_len) &&
	    same(got.key, got.key_len, m->key, m->key_len) &&
	    same(got.id, got.id_len, m->id, m->id_len) &&
	    got.ts_ns == m->ts_ns && got.due_ns == m->due_ns;
	if (!good)
		printf("# %.*s: %s\n", (int)line.len - 1,
		    (const char *)line.data, why);
	buf_release(&line);
	return good;
}

static uint32_t
draw(uint32_t *state)
{
	return *state = *state * 1664525 + 1013904223;
}

static size_t
random_bytes(uint32_t *state, unsigned char *out, size_t max)
{
	size_t len = (draw(state) >> 16) % (max + 1);
	bool text = (draw(state) >> 16) % 2 == 0;

	for (size_t i = 0; i < len; i++)
		out[i] = (unsigned char)((draw(state) >> 16) %
		    (text ? 0x80 : 0x100));
	return len;
}

static void
test_round_trip(uint32_t seed)
{
	unsigned char payload[64], key[16], id[16];
	struct msgjson j = { 0 };
	uint32_t state = seed;
	int bad = 0;

	printf("# seed %" PRIu32 "\n", seed);
	for (int i = 0; i < ROUNDS; i++) {
		struct queue_message m = { .payload = payload, .id = id,
		    .ts_ns = (int64_t)draw(&state) << 31 };

		m.payload_len = random_bytes(&state, payload, sizeof(payload));
		m.id_len = random_bytes(&state, id, sizeof(id));
		if ((draw(&state) >> 16) % 3 > 0) {
			m.key = key;
			m.key_len = random_bytes(&state, key, sizeof(key));
		}
		if ((draw(&state) >> 16) % 4 == 0)
			m.due_ns = m.ts_ns + 1;
		if (!round_trip(&j, &m))
			bad++;
	}
	is_int(bad, 0, "round trip: %d random messages", ROUNDS);
	msgjson_release(&j);
}

static void
test_form(void)
{
	struct queue_message m = { .payload = "a\"/\\\n\0\x01z",
	    .payload_len = 8, .key = "", .id = "\xff", .id_len = 1,
	    .ts_ns = INT64_C(1763900000000000001), .seq = UINT64_MAX,
	    .attempt = 2 };
	struct buf line = { 0 };
	static const char want[] = "{\"seq\":18446744073709551615,"
	    "\"ts\":\"2025-11-23T12:13:20.000000001Z\",\"key\":\"\","
	    "\"id_b64\":\"/w==\",\"attempt\":2,"
	    "\"payload\":\"a\\\"/\\\\\\n\\u0000\\u0001z\"}\n";

	ok(msgjson_put(&line, NULL, &m) == 0, "form: written");
	is_mem(line.data, line.len, want, sizeof(want) - 1,
	    "form: members, order and escapes");
	line.len = 0;
	ok(msgjson_line(&line, NULL) == -1 && line.len == 0,
	    "form: no object is refused");
	buf_release(&line);
}

static void
test_utf8(void)
{
	static const char *const good[] = { "", "a", "\xc2\x80", "\xdf\xbf",
	    "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
	    "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf",
	    "\xc2", "\xc2\x61", "\xe0\x9f\xbf", "\xe1\x80", "\xed\xa0\x80",
	    "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80",
	    "\xf5\x80\x80\x80", "\xff" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(msgjson_utf8(good[i], strlen(good[i])), "utf8: good %zu", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!msgjson_utf8(bad[i], strlen(bad[i])), "utf8: bad %zu", i);
	ok(msgjson_utf8("\0", 1), "utf8: a NUL is text");
}

static void
test_time(void)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01T00:00:01.5Z", INT64_C(1500000000) },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T23:30:00.000000001-00:30", 1 },
		{ "2025-11-23T12:13:20.0000000019Z",
		    INT64_C(1763900000000000001) },
	};
	static const char *const bad[] = { "", "1970-01-01", "0",
	    "1970-01-01T00:00:00", "1970-01-01T00:00:00.Z",
	    "1970-01-01T00:00:00z ", "1970-01-01T00:00:00+1",
	    "1970-13-01T00:00:00Z",
	    "9999-01-01T00:00:00Z" };
	struct msgjson j = { 0 };
	struct queue_message m;
	char text[128], shown[MSGJSON_TIME_MAX];
	const char *why;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), "{\"payload\":\"\",\"ts\":\"%s\"}",
		    good[i].text);
		ok(msgjson_get(&j, text, strlen(text), &m, &why) == 0 &&
		    m.ts_ns == good[i].ns, "time: %s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text),
		    "{\"payload\":\"\",\"due\":\"%s\"}", bad[i]);
		is_err(msgjson_get(&j, text, strlen(text), &m, &why), EILSEQ,
		    "time: not '%s'", bad[i]);
	}
	is_str(msgjson_time(-1, shown), "1969-12-31T23:59:59.999999999Z",
	    "time: before the epoch");
	msgjson_release(&j);
}

static void
test_refused(void)
{
	static const char *const bad[] = { "", "{", "[]", "1", "null",
	    "{}", "{\"payload\":1}", "{\"payload\":\"a\"} x",
	    "{\"payload\":\"a\"}{}", "{\"payload\":\"a\"",
	    "{\"payload\":\"\xff\"}", "{\"payload_b64\":\"a\"}",
	    "{\"payload_b64\":\"\xc3\xa4\"}",
	    "{\"payload\":\"a\",\"payload_b64\":\"YQ==\"}",
	    "{\"payload\":\"a\",\"key\":1}", "{\"payload\":\"a\",\"id\":[]}",
	    "{\"payload\":\"a\",\"ts\":0}", "{'payload':'a'}" };
	struct msgjson j = { 0 };
	struct queue_message m;
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		is_err(msgjson_get(&j, bad[i], strlen(bad[i]), &m, &why),
		    EILSEQ, "refused: %s", bad[i]);
		ok(why != NULL && *why != '\0', "refused: with a reason");
	}
	is_err(msgjson_get(&j, "{\"payload\":\"a\"}\0", 16, &m, &why), EILSEQ,
	    "refused: a NUL behind the object");
	ok(msgjson_get(&j, " {\"payload\":\"a\",\"x\":{}} \r", 25, &m, &why) ==
	    0 && m.payload_len == 1, "refused: not blanks, not other members");
	ok(msgjson_get(&j, "{\"payload\":\"a\",\"key\":null}", 26, &m, &why) ==
	    0 && m.key == NULL, "refused: not a null, which is no key");
	msgjson_release(&j);
}

int
main(int argc, char *argv[])
{
	test_form();
	test_utf8();
	test_time();
	test_refused();
	test_round_trip(argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) :
	    20261124);
	return tap_end();
}
