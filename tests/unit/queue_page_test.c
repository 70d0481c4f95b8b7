/*
 * queue_page: the files of a queue, read by who knows only dsqueue(5).
 *
 * The first half is a reader written from the page; it uses nothing of lib.
 * The second makes queues with records of all types but CUT and UNACK, and
 * compares what the reader tells with what was done.
 */

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <xxhash.h>

#include "queue.h"
#include "tap.h"

/* --- the reader ----------------------------------------------------------- */

struct bytes {
	unsigned char *p;
	size_t len;
};

static char root[300];
static unsigned char id[16];
static char out[65536];			/* what was read, as lines */
static uint64_t last_pos;

__attribute__((format(printf, 1, 2))) static void
say(const char *format, ...)
{
	size_t len = strlen(out);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(out + len, sizeof(out) - len, format, ap);
	va_end(ap);
}

static uint64_t
number(const unsigned char *p, unsigned int size)
{
	uint64_t v = 0;

	while (size-- > 0)
		v = v << 8 | p[size];
	return v;
}

static uint32_t
u32(const unsigned char *p)
{
	return (uint32_t)number(p, 4);
}

static uint64_t
word(const unsigned char *p)
{
	return number(p, 8);
}

static uint32_t
crc(const unsigned char *p, size_t len)
{
	uint32_t c = 0xffffffffU;

	while (len-- > 0) {
		c ^= *p++;
		for (int i = 0; i < 8; i++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78U : 0);
	}
	return ~c;
}

static uint64_t
xxh(uint64_t seed, const void *p, size_t len)
{
	return XXH3_64bits_withSeed(p, len, seed);
}

static uint32_t
place(uint64_t seed, uint64_t pos, uint64_t n)
{
	uint64_t w[2] = { pos, n }, h = xxh(seed, w, sizeof(w));

	return (uint32_t)h ^ (uint32_t)(h >> 32);
}

static struct bytes
slurp(const char *name)
{
	struct bytes b = { NULL, 0 };
	char path[600];
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    fstat(fd, &st) == -1 ||
	    (b.p = calloc(1, (size_t)st.st_size + 1)) == NULL)
		tap_bail("%s", path);
	b.len = (size_t)st.st_size;
	if (read(fd, b.p, b.len) != (ssize_t)b.len)
		tap_bail("%s", path);
	(void)close(fd);
	return b;
}

/* Names of sixteen hexadecimal digits in a directory, ascending. */
static size_t
names(const char *dir, char list[16][17])
{
	struct dirent **found;
	char path[600];
	size_t n = 0;
	int all;

	(void)snprintf(path, sizeof(path), "%s/%s", root, dir);
	if ((all = scandir(path, &found, NULL, alphasort)) == -1)
		tap_bail("%s", path);
	for (int i = 0; i < all; i++) {
		if (strlen(found[i]->d_name) == 16 && n < 16)
			(void)snprintf(list[n++], 17, "%s",
			    found[i]->d_name);
		free(found[i]);
	}
	free(found);
	return n;
}

/* The lines of `queue`: the id, and whether the checksum is right. */
static bool
read_queue(void)
{
	struct bytes b = slurp("queue");
	const char *text = (const char *)b.p, *line, *last;
	bool good;

	line = strstr(text, "\nid ");
	last = strstr(text, "\ncrc ");
	good = strncmp(text, "dsqueue 1\n", 10) == 0 && line != NULL &&
	    last != NULL;
	for (size_t i = 0; good && i < 16; i++) {
		char digits[3] = { line[4 + 2 * i], line[5 + 2 * i], '\0' };

		id[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	good = good && strtoul(last + 5, NULL, 16) == crc(b.p,
	    (size_t)(last + 1 - text));
	free(b.p);
	return good;
}

static uint64_t
seed_of(const char *magic)
{
	return xxh(0, magic, 8) ^ xxh(1, id, 16);
}

static void
bad(const char *what, uint64_t pos)
{
	say("bad %s at %" PRIu64 "\n", what, pos);
}

/* One record of the log at p; returns its size, 0: it is not whole. */
static size_t
read_message(const unsigned char *p, size_t left, uint64_t seed, uint64_t pos)
{
	uint32_t payload, ext, epoch, at = 32, field;
	size_t size;

	if (left < 32)
		return 0;
	epoch = u32(p + 4);
	payload = u32(p + 16);
	ext = u32(p + 20);
	if (payload > left || ext > left || 32 + (size_t)ext + payload > left)
		return 0;
	size = (32 + (size_t)ext + payload + 7) / 8 * 8;
	if (u32(p) != (crc(p + 16, 16 + (size_t)ext + payload) ^
	    place(seed ^ epoch, pos, word(p + 8))))
		return 0;
	say("message %" PRIu64, word(p + 8));
	while (at < 32 + ext) {
		field = u32(p + at);
		at += 4;
		if (field >> 24 == 3)
			say(" due=%" PRIu64, word(p + at));
		else
			say(" %s=%.*s", field >> 24 == 1 ? "key" : "id",
			    (int)(field & 0xffffff), (const char *)p + at);
		at += field & 0xffffff;
	}
	say(" %.*s\n", (int)payload, (const char *)p + at);
	last_pos = pos;
	return size;
}

static const char *const types[] = { "?", "CLAIM", "ACK", "BACK", "DEAD",
	"REQUEUE", "BURIED", "PURGE", "RESET", "GROUP", "UNGROUP", "ATTR",
	"GAP", "BOOT", "CUT", "EXTEND", "FENCE", "GONE", "UNACK" };

/* Of each type the words: as the page names them, or - for what changes from
 * run to run; "n:" so many times what follows, "*" as often as there are. */
static const char *const fields[] = { "",
	"group,flags,claim,-,-,n:start,count,-,-,-,-,tries",
	"group,-,n:start,count,-", "group,claim,uncounted,-,n:start",
	"group,number,-,-,-,tries,-,status", "group,number", "group,number",
	"group,number,-", "group,number,-", "group,number,-", "group",
	"attribute,value", "start,end,-", "number,-,zero", "number,-,losses",
	"group,start,-", "group,start,force", "group,*start,end,-",
	"group,claim" };

static void
read_words(const unsigned char *p, size_t len, const char *f)
{
	const unsigned char *end = p + len;
	const char *from = NULL;
	uint64_t n = 1, v;
	size_t name;

	while (*f != '\0' && end - p >= 8) {
		v = word(p);
		p += 8;
		if (*f == '*') {
			from = ++f;
			n = UINT64_MAX;
		}
		name = strcspn(f, ",:");
		if (*f != '-' && f[name] != ':')
			say(" %.*s=%" PRIu64, (int)name, f, v);
		f += name;
		if (*f == ':') {
			n = v;
			from = f + 1;
		}
		f += *f != '\0';
		if (*f == '\0' && from != NULL && --n > 0)
			f = from;
	}
}

static size_t
read_record(const unsigned char *p, size_t left, uint64_t pos)
{
	uint32_t type, len;
	size_t fixed;

	if (left < 8)
		return 0;
	type = u32(p);
	len = u32(p + 4);
	if (type == 0 || type > 18 || len > left - 8) {
		bad("record", pos);
		return 0;
	}
	say("%s", types[type]);
	read_words(p + 8, len, fields[type]);
	fixed = type == 4 ? 64 : type == 9 ? 24 : len;
	if (len > fixed)
		say(" %.*s", (int)(len - fixed), (const char *)p + 8 + fixed);
	say("\n");
	return 8 + (len + (size_t)7) / 8 * 8;
}

/* The bytes from position pos on, batch by batch. */
static void
read_batches(const unsigned char *p, size_t left, uint64_t seed, uint64_t pos,
    bool log)
{
	uint32_t body, sum, cnt;
	size_t at, size;

	while (left > 0) {
		if (left < 48 || memcmp(p + 4, "BTCH", 4) != 0 ||
		    u32(p) != (crc(p + 4, 44) ^ place(seed, pos,
		    word(p + 16))) || (body = u32(p + 8)) > left - 48) {
			bad("batch", pos);
			return;
		}
		say("batch %" PRIu64 "+%" PRIu32 " %#" PRIx32 "\n",
		    word(p + 16), u32(p + 12), u32(p + 24));
		sum = log ? 0 : crc(p + 48, body) ^ place(seed, pos,
		    word(p + 16));
		cnt = 0;
		for (at = 48; at < 48 + (size_t)body; at += size, cnt++) {
			size = log ? read_message(p + at, 48 + body - at,
			    seed, pos + at) : read_record(p + at, 48 + body -
			    at, pos + at);
			if (size == 0) {
				bad("message", pos + at);
				break;
			}
			if (log)
				sum = sum * 0x9e3779b1U + u32(p + at);
		}
		if (sum != u32(p + 28) || cnt != u32(p + 12))
			bad("sum", pos);
		p += 48 + body;
		left -= 48 + body;
		pos += 48 + body;
	}
}

/* Runs, by the table; each must also tell for itself. */
static void
read_compact(const struct bytes *b, uint64_t seed)
{
	const unsigned char *end = b->p + b->len, *t, *r, *p;
	uint64_t n = word(end - 16), pos, len, off;
	size_t at, size;

	t = end - 16 - 24 * n;
	if (memcmp(end - 4, "RUNS", 4) != 0 || u32(end - 8) != crc(t, 24 * n))
		bad("table", 0);
	for (; n-- > 0; t += 24) {
		pos = word(t);
		len = word(t + 8);
		off = word(t + 16);
		r = b->p + off - 24;
		if (memcmp(r, "MRUN", 4) != 0 || word(r + 8) != pos ||
		    word(r + 16) != len || u32(r + 4) != (crc(r + 8, 16) ^
		    place(seed, pos, len)))
			bad("run", pos);
		say("run of %s\n", memcmp(b->p + off + 4, "BTCH", 4) == 0 ?
		    "a batch" : "messages");
		p = b->p + off;
		for (at = 0; at < len; at += size) {
			size = memcmp(p + at + 4, "BTCH", 4) == 0 ? 48 :
			    read_message(p + at, len - at, seed, pos + at);
			if (size == 0) {
				bad("message", pos + at);
				break;
			}
		}
	}
}

static const char *
read_log(const char *dir, const char *magic)
{
	char list[16][17], name[300];
	size_t n = names(dir, list);
	uint64_t seed = seed_of(magic), base, next;
	unsigned char zeroed[64];
	struct bytes b;
	size_t len;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "%s/%s", dir, list[i]);
		b = slurp(name);
		base = strtoull(list[i], NULL, 16);
		next = i + 1 < n ? strtoull(list[i + 1], NULL, 16) :
		    UINT64_MAX;
		memcpy(zeroed, b.p, 64);
		memset(zeroed + 12, 0, 4);
		if (b.len < 64 || memcmp(b.p, magic, 8) != 0 ||
		    u32(b.p + 8) != 1 || u32(b.p + 12) != crc(zeroed, 64) ||
		    word(b.p + 16) != base || memcmp(b.p + 48, id, 16) != 0 ||
		    u32(b.p + 40) >> 31 == 0)
			bad("header", base);
		len = b.len - 64;
		if (u32(b.p + 44) == 1)
			read_compact(&b, seed);
		else
			read_batches(b.p + 64, len < next - base ? len :
			    (size_t)(next - base), seed, base,
			    strcmp(dir, "log") == 0);
		free(b.p);
	}
	return out;
}

/* The newest checkpoint: its stream of bytes, blocks checked. */
static struct bytes
read_blocks(uint64_t *pos)
{
	char list[16][17], name[300];
	struct bytes b, s = { NULL, 0 };
	uint64_t chain = 0;
	size_t at = 0, len, n = names("state", list);

	if (n == 0)
		tap_bail("no checkpoint");
	(void)snprintf(name, sizeof(name), "state/%s", list[n - 1]);
	*pos = strtoull(list[n - 1], NULL, 16);
	b = slurp(name);
	if ((s.p = calloc(1, b.len + 1)) == NULL)
		tap_bail("memory");
	for (;;) {
		if (b.len - at < 16 || (len = u32(b.p + at)) > b.len - at -
		    16 || u32(b.p + at + 4) != 0) {
			bad("block", at);
			break;
		}
		chain = xxh(chain, b.p + at + 16, len);
		if (chain != word(b.p + at + 8))
			bad("chain", at);
		memcpy(s.p + s.len, b.p + at + 16, len);
		s.len += len;
		at += 16 + len;
		if (len == 0)
			break;
	}
	if (at != b.len)
		bad("end", at);
	free(b.p);
	return s;
}

/* Tables and how many entries each has, in order of the keys. */
static const char *
read_checkpoint(void)
{
	unsigned int count[256] = { 0 };
	uint64_t pos, sum = 0, tag;
	struct bytes s;
	size_t at, k, v;

	out[0] = '\0';
	s = read_blocks(&pos);
	if (s.len < 40 + 15 * 8 || memcmp(s.p, "dqcheck1", 8) != 0 ||
	    word(s.p + 8) != 1 || memcmp(s.p + 16, id, 16) != 0 ||
	    word(s.p + 32) != pos || word(s.p + 48) != pos)
		bad("checkpoint", pos);
	for (at = 40 + 15 * 8; at < s.len; at += 6 + k + v) {
		k = number(s.p + at, 2);
		v = u32(s.p + at + 2);
		if (k + v > s.len - at - 6 || k == 0 || v < 16 ||
		    v != 16 + 8 * (size_t)u32(s.p + at + 6 + k) +
		    u32(s.p + at + 6 + k + 4)) {
			bad("entry", at);
			break;
		}
		tag = xxh(xxh(0, s.p + at + 6, k), s.p + at + 6 + k, v - 8);
		if (tag != word(s.p + at + 6 + k + v - 8))
			bad("tag", at);
		sum += tag;
		count[s.p[at + 6]]++;
	}
	if (sum != word(s.p + 56))
		bad("sum", 56);
	for (int i = 0; i < 256; i++)
		if (count[i] > 0)
			say("%c%u ", i, count[i]);
	free(s.p);
	return out;
}

/* --- a queue -------------------------------------------------------------- */

static struct queue *q;
static uint32_t main_group;

static void
must(int rc, const char *what)
{
	if (rc == -1)
		tap_bail("%s", what);
}

static void
start(const char *name)
{
	(void)snprintf(root, sizeof(root), "%s/%s", tap_tmpdir(), name);
	must(queue_create(root, NULL), "create");
	must(queue_open(&q, root, QUEUE_USE, NULL, NULL), "open");
	must(queue_group(q, "main", &main_group), "group");
	ok(read_queue(), "%s: the file queue", name);
}

/* Pushed in one batch: "key id due payload", - for none. */
static void
push(const char *const lines[], size_t cnt)
{
	struct queue_batch b;
	struct queue_pushed p;

	queue_batch_init(&b);
	for (size_t i = 0; i < cnt; i++) {
		char key[16], name[16], text[16];
		struct queue_message m = { .payload = text };
		char due[16];

		if (sscanf(lines[i], "%15s %15s %15s %15s", key, name, due,
		    text) != 4)
			tap_bail("line");
		m.payload_len = strlen(text);
		m.due_ns = strtoll(due, NULL, 10);
		m.key = strcmp(key, "-") == 0 ? NULL : key;
		m.key_len = strlen(key);
		m.id = strcmp(name, "-") == 0 ? NULL : name;
		m.id_len = strlen(name);
		must(queue_batch_add(&b, &m), "add");
	}
	must(queue_push(q, &b, 0, &p, NULL), "push");
	must(queue_push_commit(q, &p), "commit");
	queue_batch_release(&b);
}

static void
take(struct queue_claim *c, uint64_t most, bool run, int64_t lease_ns)
{
	struct queue_take how = { .max_messages = most,
		.max_bytes = UINT64_MAX, .run = run, .lease_ns = lease_ns };
	int64_t due;

	if (queue_take(q, main_group, &how, c, &due) != 1)
		tap_bail("take");
}

static void
settle(struct queue_claim *c, uint64_t seq, enum queue_fate_kind kind)
{
	struct queue_fate f = { .seq = seq, .kind = kind, .status = 3,
		.reason = "rejected" };

	must(queue_settle_each(q, c, &f, 1), "settle");
}

static void
die_and_return(void)
{
	struct queue_claim c;

	take(&c, 2, true, 0);
	settle(&c, 0, QUEUE_DIE);
	settle(&c, 1, QUEUE_BACK);
	queue_claim_release(&c);
	must(queue_dead_requeue(q, main_group, 0), "requeue");
	take(&c, 1, true, 0);
	settle(&c, 0, QUEUE_DIE);
	queue_claim_release(&c);
	must(queue_dead_remove(q, main_group, 0), "remove");
}

static void
lease_and_end(void)
{
	char receipt[QUEUE_RECEIPT_MAX];
	struct queue_message m;
	struct queue_claim c;

	take(&c, 1, false, INT64_C(60000000000));
	must(queue_claim_next(q, &c, &m), "read");
	queue_receipt(q, &c, &m, receipt);
	must(queue_receipt_extend(q, receipt, INT64_C(60000000000)), "extend");
	must(queue_nack(q, main_group, 1, false), "nack");
	queue_claim_release(&c);
}

static void
stream(void)
{
	struct queue_message m;
	struct queue_claim c;

	take(&c, 10, false, 0);
	while (queue_claim_next(q, &c, &m) == 1)
		;
	must(queue_settle(q, &c, 0), "settle");
	queue_claim_release(&c);
}

static void
test_records(void)
{
	static const char *const messages[] = { "- - 0 one", "k - 0 two",
		"- name 0 three", "k both 1000 four" };
	uint64_t first, count;
	uint32_t group;

	start("records");
	push(messages, 4);
	is_str(read_log("log", "dqlog001"),
	    "batch 0+4 0x700\nmessage 0 one\nmessage 1 key=k two\n"
	    "message 2 id=name three\nmessage 3 key=k id=both due=1000 four\n",
	    "records: the log");
	die_and_return();
	lease_and_end();
	stream();
	must(queue_group_add(q, "audit", QUEUE_SEQ, 2, &first), "add");
	must(queue_group(q, "audit", &group), "audit");
	must(queue_group_reset(q, group, QUEUE_OLDEST, 0, &first), "reset");
	must(queue_purge(q, group, &count), "purge");
	must(queue_set(q, "tries", "7"), "set");
	is_str(read_checkpoint(), "A1 D2 G2 I2 O2 ", "records: a checkpoint");
	must(queue_group_remove(q, group), "remove");
	is_str(read_log("journal", "dqjrn001"),
	    "batch 0+1 0\nBOOT number=0 zero=0\n"
	    "batch 1+1 0\nCLAIM group=1 flags=1 claim=1"
	    " start=0 count=1 tries=0 start=1 count=1 tries=0\n"
	    "batch 2+1 0\nDEAD group=1 number=0 tries=1 status=3 rejected\n"
	    "batch 3+1 0\nBACK group=1 claim=1 uncounted=1 start=1\n"
	    "batch 4+1 0\nREQUEUE group=1 number=0\n"
	    "batch 5+1 0\nCLAIM group=1 flags=1 claim=2"
	    " start=0 count=1 tries=0\n"
	    "batch 6+1 0\nDEAD group=1 number=0 tries=1 status=3 rejected\n"
	    "batch 7+1 0\nBURIED group=1 number=0\n"
	    "batch 8+1 0\nCLAIM group=1 flags=2 claim=3"
	    " start=1 count=1 tries=0\n"
	    "batch 9+1 0\nEXTEND group=1 start=1\n"
	    "batch 10+1 0\nFENCE group=1 start=1 force=1\n"
	    "batch 11+1 0\nCLAIM group=1 flags=0 claim=4"
	    " start=1 count=1 tries=0 start=2 count=1 tries=0"
	    " start=3 count=1 tries=0\n"
	    "batch 12+1 0\nACK group=1 start=1 count=3\n"
	    "batch 13+1 0\nGROUP group=2 number=2 audit\n"
	    "batch 14+1 0\nRESET group=2 number=0\n"
	    "batch 15+1 0\nPURGE group=2 number=4\n"
	    "batch 16+1 0\nATTR attribute=8 value=7\n"
	    "batch 17+1 0\nUNGROUP group=2\n",
	    "records: the journal");
	queue_close(q);
}

/* A flipped bit is met, told as a gap, and costs that message only. */
static void
test_damage(void)
{
	static const char *const messages[] = { "- - 0 one", "- - 0 two",
		"- - 0 three" };
	char list[16][17], path[600];
	unsigned char byte;
	int fd;

	start("damage");
	push(messages, 3);
	(void)names("log", list);
	(void)snprintf(path, sizeof(path), "%s/log/%s", root, list[0]);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ok(fd != -1 && pread(fd, &byte, 1, 64 + 48 + 40 + 33) == 1 &&
	    (byte ^= 1, pwrite(fd, &byte, 1, 64 + 48 + 40 + 33)) == 1,
	    "damage: one bit of the second payload");
	(void)close(fd);
	is_str(read_log("log", "dqlog001"), "batch 0+3 0\nmessage 0 one\n"
	    "bad message at 88\nbad sum at 0\n", "damage: the reader sees it");
	stream();
	ok(strstr(read_log("journal", "dqjrn001"),
	    "GAP start=1 end=2\n") != NULL, "damage: told in the journal");
	queue_close(q);
}

static void
test_compact(void)
{
	static const char *const messages[] = { "- - 0 one", "k - 0 two",
		"- - 0 three", "- - 0 four" };
	struct queue_claim c;
	uint64_t freed, first;
	static char lines[128][32];
	static const char *many[128];

	start("compact");
	for (size_t i = 0; i < 128; i++) {
		(void)snprintf(lines[i], sizeof(lines[i]), "- - 0 n%zu", i);
		many[i] = lines[i];
	}
	push(many, 128);
	push(messages, 4);
	for (int i = 0; i < 130; i++) {
		take(&c, 1, true, 0);
		settle(&c, c.extents[0].seq, c.extents[0].seq == 5 ?
		    QUEUE_DIE : QUEUE_ACK);
		queue_claim_release(&c);
	}
	must(queue_compact(q, &freed), "compact");
	must(queue_group_add(q, "audit", QUEUE_OLDEST, 0, &first), "add");
	(void)read_log("journal", "dqjrn001");
	ok(strstr(out, "GONE group=2 start=6 end=128"
	    " start=128 end=130\n") != NULL &&
	    strstr(out, "GROUP group=2 number=5 audit\n") != NULL,
	    "compact: what a new group misses");
	is_str(read_log("log", "dqlog001"), "run of a batch\n"
	    "run of messages\nmessage 5 n5\n"
	    "run of a batch\nrun of messages\nmessage 130 three\n"
	    "message 131 four\n", "compact: what is left");
	ok(last_pos > UINT64_C(128) * 40, "compact: where it was");
	queue_close(q);
}

int
main(void)
{
	test_records();
	test_damage();
	test_compact();
	return tap_end();
}
