/* hist_test: every format, what is forgiven and what is refused. */

#include <sys/mman.h>

#include "hist.h"
#include "tap.h"

static struct op_history h;
static struct hist_note note;

/* Read len bytes as a history. */
static int
read_bytes(const char *text, size_t len, const struct hist_conf *conf)
{
	static const struct hist_conf none;
	int fd = memfd_create("history", MFD_CLOEXEC), rc, saved;

	if (fd == -1 || write(fd, text, len) != (ssize_t)len ||
	    lseek(fd, 0, SEEK_SET) == -1)
		tap_bail("memfd");
	rc = hist_read(fd, conf == NULL ? &none : conf, &h, &note);
	saved = errno;
	(void)close(fd);
	errno = saved;
	return rc;
}

static int
read_text(const char *text)
{
	return read_bytes(text, strlen(text), NULL);
}

/* One operation as "f key arg result class call ret". */
static const char *
show(size_t i)
{
	static const char *const classes[] = { "ok", "info", "fail" };
	static struct buf b;
	const struct op *o = &h.ops[i];
	size_t len;

	b.len = 0;
	if (i >= h.cnt)
		return "none";
	(void)buf_printf(&b, "%s %s ", op_text(h.values, o->proc, &len),
	    op_text(h.values, o->f, &len));
	(void)op_print(h.values, o->key, 1000, &b);
	(void)buf_put_byte(&b, ' ');
	(void)op_print(h.values, o->arg, 1000, &b);
	(void)buf_put_byte(&b, ' ');
	(void)op_print(h.values, o->result, 1000, &b);
	(void)buf_printf(&b, " %s %" PRId64, classes[o->class], o->call);
	if (o->ret == OP_NEVER)
		(void)buf_put_str(&b, " -");
	else
		(void)buf_printf(&b, " %" PRId64, o->ret);
	(void)buf_put_byte(&b, 0);
	return (const char *)b.data;
}

/* The text is read as this format, and its first operation is that. */
static void
reads(const char *title, const char *text, enum hist_format format,
    const char *first)
{
	int rc = read_text(text);

	is_int(rc, 0, "%s: read", title);
	if (rc == -1) {
		printf("# line %" PRIu64 ": %s\n", note.line, note.text);
		return;
	}
	is_str(hist_format_name(note.format), hist_format_name(format),
	    "%s: format", title);
	is_str(show(0), first, "%s: operation", title);
	op_history_release(&h);
}

/* The text is refused at this line for a reason that holds these words. */
static void
refuses(const char *title, const char *text, uint64_t line, const char *words)
{
	int rc = read_text(text);

	is_err(rc, EBADMSG, "%s: refused", title);
	if (rc == 0) {
		op_history_release(&h);
		return;
	}
	is_uint(note.line, line, "%s: line", title);
	if (!ok(strstr(note.text, words) != NULL, "%s: reason", title))
		printf("# %s\n", note.text);
}

static void
formats(void)
{
	reads("edn lines", "{:process 1, :type :invoke, :f :read, :value nil}\n"
	    "{:process 1, :type :ok, :f :read, :value 5}\n", HIST_EDN,
	    "1 read nil nil 5 ok 1 2");
	reads("edn vector", "[{:type :invoke :process 0 :f :write :value 3}\n"
	    " {:type :ok :process 0 :f :write :value 3}]", HIST_EDN,
	    "0 write nil 3 3 ok 1 2");
	reads("edn list", "({:type :invoke :process 0 :f :write :value 3}\n"
	    " ; a comment {\n {:type :ok :process 0 :f :write :value 3}\n)\n",
	    HIST_EDN, "0 write nil 3 3 ok 1 2");
	reads("edn over lines, comments, discards",
	    "; first\n#_{:process 9}\n{:process 1, ; one\n :type :invoke\n"
	    " :f :cas #_ignored :value [1\n 2] :time 12, :index 0}",
	    HIST_EDN, "1 cas nil [1 2] nil info 1 -");
	reads("edn discards of everything",
	    "#_[{:process 9} {:x 1}] #_ #_ 5 \"a\\\"b}\" #_ :k #_ nil\n"
	    "[#_{:process 8} {:process 1 :type :invoke :f :read} #_ (1 2)]\n"
	    "#_ \\x", HIST_EDN, "1 read nil nil nil info 1 -");
	reads("edn lists in lists", "[({:process 1 :type :invoke :f :read})]",
	    HIST_EDN, "1 read nil nil nil info 1 -");
	reads("edn tags and strings",
	    "#jepsen.history.Op{:process 1, :type :invoke, :f :write, "
	    ":value \"a\\n\\u00e9\\\"{\", :error #inst \"x\"}", HIST_EDN,
	    "1 write nil \"a\\n\303\251\\\"{\" nil info 1 -");
	reads("edn nested values", "{:process 1 :type :invoke :f :txn :value "
	    "[[:r :x nil] [:w :y #{1}] {\"k\" (2 3)} \\a +7 8N -9]}",
	    HIST_EDN, "1 txn nil [[:r :x nil] [:w :y [1]] {\"k\" [2 3]} \"a\" "
	    "7 8 -9] nil info 1 -");
	reads("edn key", "{:process 0, :type :invoke, :f :append, :key \"0\", "
	    ":value \"x 0 0 y\"}\n", HIST_EDN,
	    "0 append \"0\" \"x 0 0 y\" nil info 1 -");
	reads("independent keys",
	    "{:process 0, :type :invoke, :f :read, :value [7 nil]}\n"
	    "{:process 0, :type :ok, :f :read, :value [7 3]}\n", HIST_EDN,
	    "0 read 7 nil 3 ok 1 2");
	reads("not independent: a pair as value",
	    "{:process 0, :type :invoke, :f :write, :value [7 1]}\n",
	    HIST_EDN, "0 write nil [7 1] nil info 1 -");
	reads("log text", "some other line\n"
	    "INFO  jepsen.util - 3\t:invoke\t:cas\t[3 0]\n"
	    "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n"
	    "INFO  jepsen.util - 3\t:info\t:cas\t:timed-out\n", HIST_LOG,
	    "3 cas nil [3 0] :timed-out info 1 -");
	reads("history.txt", "0 \t:invoke\t:write\t4\n0\t:ok\t:write\t4\terr\n"
	    ":nemesis\t:info\t:start\tnil\n", HIST_TXT,
	    "0 write nil 4 4 ok 1 2");
	reads("json lines",
	    "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\","
	    "\"value\":\"a\\u0041\"}\n{\"process\":1,\"type\":\"fail\","
	    "\"f\":\"write\",\"value\":null}\n", HIST_JSON,
	    "1 write nil \"aA\" nil fail 1 2");
	reads("json array", " [ {\"process\" : 1, \"type\":\"invoke\",\n\"f\""
	    ":\"cas\",\"value\":[3,-4]},{\"type\":\"ok\",\"process\":1,\"f\":"
	    "\"cas\",\"value\":[3,-4]}, {\"process\":\"nemesis\",\"f\":\"x\","
	    "\"type\":\"info\"}]", HIST_JSON, "1 cas nil [3 -4] [3 -4] ok 1 2");
	reads("json intervals", "{\"start\":1.5,\"end\":2,\"process\":\"c\","
	    "\"f\":\"get\",\"key\":\"x\",\"result\":\"1\"}", HIST_JSON,
	    "c get \"x\" nil \"1\" ok 1500000000 2000000000");
	reads("intervals", "1.5\t2.000000001\tp\tput\tx\ta\\tb\\n\\\\\t-\tok\n",
	    HIST_TSV, "p put x a\\tb\\n\\ nil ok 1500000000 2000000001");
	reads("intervals, a comment and CRLF",
	    "# start end ...\r\n3\t-\tp\tput\t-\t\\-\t-\tinfo\r\n", HIST_TSV,
	    "p put nil - nil info 3000000000 -");
	reads("integer nanoseconds", "1732350000123456789\t1732350000123456790"
	    "\tp\tget\t-\t-\t\tok\n", HIST_TSV,
	    "p get nil nil  ok 1732350000123456789 1732350000123456790");
	reads("byte order mark",
	    "\xef\xbb\xbf{:process 1 :type :invoke :f :read}", HIST_EDN,
	    "1 read nil nil nil info 1 -");
	reads("the nemesis alone",
	    "{:process :nemesis :type :info :f :start}\n",
	    HIST_EDN, "none");
	reads("nothing", "", HIST_AUTO, "none");
	reads("white space", " \n\t\r\n", HIST_AUTO, "none");
	reads("brackets only", "[]", HIST_EDN, "none");
}

static void
forgiven(void)
{
	is_int(read_text("1\t2\tp\tget\t-\t-\t1\tok\n3\t4\tp\tget"), 0,
	    "unterminated interval line: read");
	is_uint(note.dropped, 2, "and noted");
	is_uint(h.cnt, 1, "and dropped");
	op_history_release(&h);
	is_int(read_text("1\t2\tp\tget\t-\t-\t1\tok"), 0,
	    "complete line without its newline: read");
	is_uint(h.cnt, 0, "and dropped: its end may be missing");
	op_history_release(&h);
	is_int(read_text("{:process 0 :type :invoke :f :read}\n"
	    "{:process 0 :type :o"), 0, "unterminated map: read");
	is_uint(note.dropped, 2, "and noted");
	is_str(show(0), "0 read nil nil nil info 1 -", "and dropped");
	op_history_release(&h);
	is_int(read_text("{\"process\":0,\"type\":\"invoke\",\"f\":\"a}"), 0,
	    "unterminated object: read");
	is_uint(note.dropped, 1, "and noted");
	op_history_release(&h);

	is_int(read_bytes("{:process 0 :type :invoke :f :write :value 1}"
	    "{:process 0 :type :invoke :f :write :value 2}", 90,
	    &(struct hist_conf){ .reuse = true }), 0, "reuse: read");
	is_str(show(0), "0 write nil 1 nil info 1 -", "reuse: first is open");
	op_history_release(&h);
	is_int(read_text("3\t4\tb\tget\t-\t-\t1\tok\n1\t2\ta\tget\t-\t-\t1\tok"
	    "\n"), 0, "concatenated files: read");
	is_uint(h.ops[0].call_line, 2, "and ordered by start");
	op_history_release(&h);
	is_int(read_bytes("{:process 0 :type :invoke :f :read :value [1 2]}",
	    48, &(struct hist_conf){ .independent = HIST_YES }), 0,
	    "independent by request: read");
	is_str(show(0), "0 read 1 2 nil info 1 -", "and the key taken out");
	op_history_release(&h);
}

static void
refused(void)
{
	static const char nul[] = "{\"process\":1,\"type\":\"invoke\","
	    "\"f\":\"w\",\"value\":1,\"x\":[\0]}";
	char deep[300], record[400];

	is_err(read_bytes(nul, sizeof(nul) - 1, NULL), EBADMSG,
	    "json with a NUL byte: refused");
	ok(strstr(note.text, "NUL") != NULL, "json with a NUL byte: reason");
	refuses("binary", "\x7f" "ELF\x02\x01\x01", 0, "not a history");
	refuses("prose", "hello world\n", 0, "not a history");
	refuses("xml", "<a>\n", 0, "not a history");
	refuses("edn without process", "\n{:type :ok}", 2, ":process");
	refuses("edn without type", "{:process 1 :f :read}", 1, ":type");
	refuses("edn of another type", "{:process 1 :f :read :type :done}", 1,
	    "done");
	refuses("edn map of odd length", "{:process}", 1, "no value");
	refuses("edn number at the top", "{:process 1 :f :a :type :invoke}\n17",
	    2, "expected a map");
	refuses("edn wrong bracket", "{:process 1 :value [1 } 2]}", 1, "byte");
	refuses("edn bad escape", "{:process 1 :value \"\\q\"}", 1, "escape");
	refuses("edn bad unicode", "{:process 1 :value \"\\u12g4\"}", 1, "\\u");
	memset(deep, '[', 140);
	memset(deep + 140, ']', 140);
	deep[280] = '\0';
	(void)snprintf(record, sizeof(record), "{:process %s}", deep);
	refuses("edn nested too deep", record, 1, "deeper");
	refuses("edn vector cut off", "\n[{:process 1 :type :invoke :f :read}\n"
	    "{:process 2 :type :invoke :f :read}\n", 2, "never closed");
	refuses("edn vector cut off within a map", "[{:process 1 :type :invoke"
	    " :f :read}\n{:proc", 1, "never closed");
	refuses("edn bracket too many", "{:process 1 :type :invoke :f :read}]",
	    1, "closes nothing");
	refuses("edn brackets that differ", "[{:process 1 :type :invoke :f :r}"
	    "\n)", 2, "closes nothing");
	refuses("edn lists too deep", "[[[[[[[[[{:process 1}]]]]]]]]]", 1,
	    "nested in more than 8");
	refuses("json array cut off", "[{\"process\":1,\"type\":\"invoke\","
	    "\"f\":\"w\",\"value\":1},\n", 1, "never closed");
	refuses("completion of nothing", "{:process 1 :type :ok :f :read}", 1,
	    "no open operation");
	refuses("second invocation",
	    "{:process 1 :type :invoke :f :read}\n"
	    "{:process 1 :type :invoke :f :read}", 2, "line 1");
	refuses("completion of another function",
	    "{:process 1 :type :invoke :f :read}\n"
	    "{:process 1 :type :ok :f :write}", 2, "read");
	refuses("json syntax", "[{\"process\":1,,}]", 1, "not JSON");
	refuses("json comment", "{\"process\":0/* */,\"type\":\"invoke\","
	    "\"f\":\"w\"}", 1, "not JSON");
	refuses("json comma too many", "{\"process\":0,\"type\":\"invoke\","
	    "\"f\":\"w\",}", 1, "not JSON");
	refuses("json huge number",
	    "{\"process\":1,\"type\":\"invoke\",\"f\":\"w"
	    "\",\"value\":99999999999999999999999}", 1, "too large");
	refuses("json mixed", "{\"start\":1,\"end\":2,\"f\":\"get\"}\n"
	    "{\"process\":1,\"type\":\"invoke\",\"f\":\"w\"}", 2,
	    "events and intervals");
	refuses("json without end", "{\"start\":1,\"f\":\"get\"}", 1, "no end");
	refuses("interval of few fields", "1\t2\tp\n", 1, "3 fields");
	refuses("interval of many fields", "1\t2\tp\tf\tk\ta\tr\tok\tx\n", 1,
	    "more than 8");
	refuses("interval backwards", "2\t1\tp\tf\tk\ta\tr\tok\n", 1, "before");
	refuses("interval class", "1\t2\tp\tf\tk\ta\tr\tOK\n", 1, "class");
	refuses("interval escape", "1\t2\tp\tf\tk\ta\\q\tr\tok\n", 1, "escape");
	refuses("interval ok without end", "1\t-\tp\tf\tk\ta\tr\tok\n", 1,
	    "no end");
	refuses("interval start",
	    "1\t2\tp\tf\tk\ta\tr\tok\nx\t2\tp\tf\tk\ta\tr\tok"
	    "\n", 2, "start");
	refuses("times finer than nanoseconds",
	    "1.0\t2.0000000001\tp\tf\tk\ta\tr\tok\n", 1, "end");
	refuses("the time that means never",
	    "1.0\t9223372036.854775807\tp\tf\tk\ta\tr\tok\n", 1, "end");
	refuses("times beyond range", "1.0\t99999999999.5\tp\tf\tk\ta\tr\tok\n",
	    1, "end");
	refuses("history.txt with other lines",
	    "0\t:invoke\t:read\tnil\nhello\n",
	    2, "process :type");
}

/* Without the NUL. */
static void
put(char *at, const char *text)
{
	while (*text != '\0')
		*at++ = *text++;
}

static void
large(void)
{
	size_t len = HIST_RECORD_MAX + 4096;
	char *p = malloc(len);
	struct buf b = { 0 };

	if (p == NULL)
		tap_bail("malloc");
	memset(p, 'x', len);
	put(p, "{:process \"");
	is_err(read_bytes(p, len, NULL), EBADMSG, "endless string");
	is_uint(note.line, 1, "endless string: line");
	put(p, "1\t2\tp\tf\t");
	is_err(read_bytes(p, len, NULL), EBADMSG, "endless line");
	memset(p, '[', len);
	is_err(read_bytes(p, len, NULL), EBADMSG, "brackets for ever");
	put(p, "#_[");
	is_err(read_bytes(p, len, NULL), EBADMSG, "an endless discard");
	free(p);

	(void)buf_put_byte(&b, '[');
	for (int i = 0; i < 60000; i++)
		(void)buf_printf(&b, "{\"process\":%d,\"type\":\"invoke\","
		    "\"f\":\"write\",\"value\":%d},\n", i, i);
	(void)buf_put_byte(&b, ']');
	is_int(read_bytes((char *)b.data, b.len, NULL), 0, "long array: read");
	is_uint(h.cnt, 60000, "long array: all of it");
	is_uint(h.ops[59999].call_line, 60000, "long array: lines");
	op_history_release(&h);
	buf_release(&b);
}

static void
values(void)
{
	/* As numbers, for a linter that minds what they would do. */
	static const unsigned char hostile[] = { 'a', '"', '\\', 0x1b, 0x7f,
	    0xff, 0xc3, 0xa9, 0xc2, 0x9b, 0xe2, 0x82, 0xac, 0xe2, 0x80, 0xae,
	    0xed, 0xa0, 0x80, 0xc3 };
	struct op_values *v = op_values_open();
	struct buf b = { 0 };
	uint32_t a, s, k, list, again, items[2];

	if (v == NULL || op_scalar(v, OP_ATOM, "5", 1, &a) == -1 ||
	    op_scalar(v, OP_STRING, "5", 1, &s) == -1 ||
	    op_scalar(v, OP_KEYWORD, "5", 1, &k) == -1)
		tap_bail("op_scalar");
	ok(a != s && s != k && a != k, "5, \"5\" and :5 differ");
	items[0] = a;
	items[1] = OP_NIL;
	if (op_compound(v, OP_LIST, items, 2, &list) == -1 ||
	    op_compound(v, OP_LIST, items, 2, &again) == -1)
		tap_bail("op_compound");
	is_uint(list, again, "equal lists are one");
	if (op_compound(v, OP_MAP, items, 2, &again) == -1 ||
	    op_print(v, list, 100, &b) == -1 || buf_put_byte(&b, 0) == -1)
		tap_bail("op_print");
	ok(list != again, "a map is not a list");
	is_str((char *)b.data, "[5 nil]", "print");
	b.len = 0;
	if (op_print_text((const char *)hostile, sizeof(hostile), true, 1000,
	    &b) == -1 || buf_put_byte(&b, 0) == -1)
		tap_bail("op_print_text");
	is_str((char *)b.data, "\"a\\\"\\\\\\x1b\\x7f\\xff\xc3\xa9\\xc2\\x9b"
	    "\xe2\x82\xac\\xe2\\x80\\xae\\xed\\xa0\\x80\\xc3\"",
	    "only UTF-8 that no terminal obeys is printed as it is");
	b.len = 0;
	if (op_print_text("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 9, false, 4,
	    &b) == -1 || buf_put_byte(&b, 0) == -1)
		tap_bail("op_print_text");
	is_str((char *)b.data, "\xe2\x82\xac\xe2\x82\xac...",
	    "and characters are never cut");
	for (int i = 0; i < 100000; i++) {
		char text[16];
		int len = snprintf(text, sizeof(text), "v%d", i);

		if (op_scalar(v, OP_ATOM, text, (size_t)len, &a) == -1)
			tap_bail("op_scalar");
	}
	is_uint(op_values_count(v), 100006, "many values");
	is_int(op_scalar(v, OP_ATOM, "v777", 4, &s), 0, "found again");
	is_uint(op_values_count(v), 100006, "as the same");
	b.len = 0;
	(void)hist_escape(&b, "-", 1);
	(void)hist_escape(&b, "a\tb\n\\\r\0", 7);
	is_mem(b.data, b.len, "\\-a\\tb\\n\\\\\\r\\0", 14, "escapes");
	buf_release(&b);
	op_values_close(v);
}

int
main(void)
{
	formats();
	forgiven();
	refused();
	large();
	values();
	return tap_end();
}
