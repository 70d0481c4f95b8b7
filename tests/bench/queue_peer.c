/*
 * queue_peer: the clients that queue.sh measures Redis and beanstalkd with,
 * over a Unix socket, each with the best pipelining its protocol allows.
 *
 *	queue_peer redis-push socket file	XADD every line
 *	queue_peer redis-pop socket n batch	XREADGROUP COUNT batch, XACK
 *	queue_peer redis-wake socket n		from XADD's answer to delivery
 *	queue_peer bst-push socket file		put every line
 *	queue_peer bst-pop socket n window	reserve, delete
 *
 * Messages go to stdout, as qpop has them.  The last line on stderr is how
 * many a second.  A batch or window of 1 is one message at a time.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define OUT_LOW		262144		/* fill up to this before writing */
#define AHEAD		20000		/* requests without an answer */

struct bytes {
	char *data;
	size_t len, cap;
};

struct client {
	int fd;
	struct bytes in, out, text;	/* text: for stdout */
	size_t in_at;			/* answers eaten so far */
	uint64_t asked, answered, wanted;
	const char *lines, *lines_end;	/* still to push */
	unsigned int batch;
	bool dry;			/* nothing more to take */
	void (*ask)(struct client *c);	/* put one request, if there is one */
	/* Eat one answer at p: its length, 0 if it is not all there. */
	size_t (*answer)(struct client *c, const char *p, size_t len);
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
put(struct bytes *b, const void *data, size_t len)
{
	if (b->cap - b->len < len) {
		b->cap = (b->cap + len) * 2;
		if ((b->data = realloc(b->data, b->cap)) == NULL)
			err(1, NULL);
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void
put_str(struct bytes *b, const char *text)
{
	put(b, text, strlen(text));
}

static int
dial(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), tries = 0;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	/* Its name is there before it listens. */
	while (fd != -1 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == -1) {
		if (errno != ECONNREFUSED || ++tries == 1000)
			err(1, "%s", path);
		usleep(10000);
	}
	return fd;
}

static void
flush_text(struct client *c, size_t keep)
{
	size_t done = 0;
	ssize_t n;

	if (c->text.len <= keep)
		return;
	for (; done < c->text.len; done += (size_t)n)
		if ((n = write(1, c->text.data + done,
		    c->text.len - done)) == -1)
			err(1, "stdout");
	c->text.len = 0;
}

static void
eat(struct client *c)
{
	size_t n;

	while (c->in_at < c->in.len && (n = c->answer(c,
	    c->in.data + c->in_at, c->in.len - c->in_at)) > 0)
		c->in_at += n;
	memmove(c->in.data, c->in.data + c->in_at, c->in.len - c->in_at);
	c->in.len -= c->in_at;
	c->in_at = 0;
	flush_text(c, 1 << 20);
}

static void
turn(struct client *c)
{
	struct pollfd p = { c->fd, POLLIN, 0 };
	static char buf[1 << 20];
	ssize_t n;

	if (c->out.len > 0)
		p.events |= POLLOUT;
	if (poll(&p, 1, 10000) != 1)
		errx(1, "no answer in 10 s: %s", c->in.len > 0 ? "partial" :
		    "nothing");
	if (p.revents & POLLOUT) {
		n = send(c->fd, c->out.data, c->out.len, MSG_DONTWAIT);
		if (n == -1 && errno != EAGAIN)
			err(1, "send");
		if (n > 0) {
			memmove(c->out.data, c->out.data + n,
			    c->out.len - (size_t)n);
			c->out.len -= (size_t)n;
		}
	}
	if (p.revents & ~POLLOUT) {
		if ((n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT)) <= 0 &&
		    (n == 0 || errno != EAGAIN))
			err(1, "recv");
		if (n > 0)
			put(&c->in, buf, (size_t)n);
		eat(c);
	}
}

static void
run(struct client *c)
{
	double begin = now();

	while (c->answered < c->wanted) {
		while (c->out.len < OUT_LOW && c->asked < c->wanted &&
		    c->asked - c->answered < AHEAD) {
			uint64_t before = c->asked;
			c->ask(c);
			if (c->asked == before)
				break;
		}
		turn(c);
	}
	flush_text(c, 0);
	fprintf(stderr, "%.0f\n", (double)c->answered / (now() - begin));
}

static void
load(struct client *c, const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		err(1, "%s", path);
	c->lines = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (c->lines == MAP_FAILED)
		err(1, "%s", path);
	c->lines_end = c->lines + st.st_size;
	for (const char *p = c->lines; p < c->lines_end; p++)
		if ((p = memchr(p, '\n', (size_t)(c->lines_end - p))) == NULL)
			break;
		else
			c->wanted++;
}

static size_t
next_line(struct client *c, const char **line)
{
	const char *end = memchr(c->lines, '\n',
	    (size_t)(c->lines_end - c->lines));
	size_t len = (size_t)(end - c->lines);

	*line = c->lines;
	c->lines = end + 1;
	return len;
}

/* --- Redis ------------------------------------------------------------------- */

/* The end of the value at p, or NULL if it is not all there. */
static const char *
resp_end(const char *p, const char *end)
{
	const char *line = memchr(p, '\n', (size_t)(end - p));
	long n;

	if (line == NULL)
		return NULL;
	line++;
	if (*p == '-')
		errx(1, "redis: %.*s", (int)(line - p - 2), p);
	n = strtol(p + 1, NULL, 10);
	if (*p == '$' && n >= 0) {
		return end - line < n + 2 ? NULL : line + n + 2;
	} else if (*p == '*') {
		for (; n > 0 && line != NULL; n--)
			line = resp_end(line, end);
	}
	return line;
}

/* The bulk string at p, which is all there; *next is behind it. */
static const char *
bulk(const char *p, size_t *len, const char **next)
{
	const char *line = strchr(p, '\n') + 1;

	*len = (size_t)strtol(p + 1, NULL, 10);
	*next = line + *len + 2;
	return line;
}

static void
redis_put(struct bytes *out, const char *const words[], size_t cnt)
{
	char head[32];

	snprintf(head, sizeof(head), "*%zu\r\n", cnt);
	put_str(out, head);
	for (size_t i = 0; i < cnt; i++) {
		snprintf(head, sizeof(head), "$%zu\r\n", strlen(words[i]));
		put_str(out, head);
		put_str(out, words[i]);
		put(out, "\r\n", 2);
	}
}

static void
redis_push_ask(struct client *c)
{
	static const char head[] = "*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n"
	    "$1\r\nm\r\n";
	const char *line;
	char len_text[32];
	size_t len = next_line(c, &line);

	put(&c->out, head, sizeof(head) - 1);
	snprintf(len_text, sizeof(len_text), "$%zu\r\n", len);
	put_str(&c->out, len_text);
	put(&c->out, line, len);
	put(&c->out, "\r\n", 2);
	c->asked++;
}

static size_t
redis_push_answer(struct client *c, const char *p, size_t len)
{
	const char *end = resp_end(p, p + len);

	if (end == NULL)
		return 0;
	c->answered++;
	return (size_t)(end - p);
}

static void
redis_read(struct client *c)
{
	char count[16];
	const char *words[] = { "XREADGROUP", "GROUP", "g", "c", "COUNT", count,
	    "STREAMS", "s", ">" };

	snprintf(count, sizeof(count), "%u", c->batch);
	redis_put(&c->out, words, sizeof(words) / sizeof(words[0]));
}

static void
redis_pop_ask(struct client *c)
{
	/* One at a time, or two batches on their way. */
	if (c->dry || c->asked - c->answered >= (c->batch == 1 ? 1 :
	    2 * c->batch))
		return;
	redis_read(c);
	c->asked += c->batch;
}

/* A batch: write the messages, acknowledge them. */
static void
redis_take(struct client *c, const char *p)
{
	static const char *words[4096 + 3] = { "XACK", "s", "g" };
	static char ids[4096][32];
	const char *data, *line;
	size_t len, cnt = 0;

	p = strchr(p, '\n') + 1;		/* *1: one stream */
	p = strchr(p, '\n') + 1;		/* *2: name, messages */
	bulk(p, &len, &p);
	cnt = (size_t)strtol(p + 1, NULL, 10);
	p = strchr(p, '\n') + 1;
	for (size_t i = 0; i < cnt; i++) {
		p = strchr(p, '\n') + 1;	/* *2: id, fields */
		data = bulk(p, &len, &p);
		snprintf(ids[i], sizeof(ids[i]), "%.*s", (int)len, data);
		words[i + 3] = ids[i];
		line = strchr(p, '\n') + 1;	/* *2: field, value */
		bulk(line, &len, &p);
		data = bulk(p, &len, &p);
		put(&c->text, data, len);
		put(&c->text, "\n", 1);
	}
	redis_put(&c->out, words, cnt + 3);
	/* What was asked and is not there is not waited for. */
	c->asked -= c->batch - cnt;
}

static size_t
redis_pop_answer(struct client *c, const char *p, size_t len)
{
	const char *end = resp_end(p, p + len);

	if (end == NULL)
		return 0;
	if (*p == ':') {
		c->answered += (uint64_t)strtoull(p + 1, NULL, 10);
	} else if (p[1] == '-') {	/* *-1: empty */
		c->asked -= c->batch;
		c->dry = true;
	} else {
		redis_take(c, p);
	}
	return (size_t)(end - p);
}

static void
redis_call(int fd, const char *const words[], size_t cnt)
{
	struct bytes out = { 0 };
	char in[4096];

	redis_put(&out, words, cnt);
	if (write(fd, out.data, out.len) != (ssize_t)out.len ||
	    read(fd, in, sizeof(in)) <= 0)
		err(1, "redis");
	free(out.data);
}

static void
redis_group(int fd)
{
	const char *const words[] = { "XGROUP", "CREATE", "s", "g", "0",
	    "MKSTREAM" };

	redis_call(fd, words, 6);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* One connection waits, another adds: how long after the answer it came. */
static void
redis_wake(const char *path, size_t n)
{
	const char *const read_words[] = { "XREADGROUP", "GROUP", "g", "c",
	    "BLOCK", "0", "COUNT", "1", "STREAMS", "s", ">" };
	const char *const add_words[] = { "XADD", "s", "*", "m", "hello" };
	int reader = dial(path), adder = dial(path);
	double *took = calloc(n, sizeof(*took)), added = 0, came = 0;
	struct pollfd p[2] = { { reader, POLLIN, 0 }, { adder, POLLIN, 0 } };
	struct bytes out = { 0 };
	char in[4096];

	if (took == NULL)
		err(1, NULL);
	redis_group(adder);
	for (size_t i = 0; i < n; i++) {
		out.len = 0;
		redis_put(&out, read_words, 11);
		if (write(reader, out.data, out.len) != (ssize_t)out.len)
			err(1, "redis");
		usleep(2000);
		out.len = 0;
		redis_put(&out, add_words, 5);
		if (write(adder, out.data, out.len) != (ssize_t)out.len)
			err(1, "redis");
		for (added = came = 0; added == 0 || came == 0;) {
			if (poll(p, 2, 10000) <= 0)
				errx(1, "redis: no answer");
			if (p[1].revents != 0 && read(adder, in, sizeof(in)) > 0)
				added = now();
			if (p[0].revents != 0 && read(reader, in, sizeof(in)) > 0)
				came = now();
		}
		took[i] = (came - added) * 1e6;
	}
	qsort(took, n, sizeof(*took), by_value);
	fprintf(stderr, "%.0f\n", took[n / 2]);
	free(took);
	free(out.data);
}

/* --- beanstalkd -------------------------------------------------------------- */

static void
bst_push_ask(struct client *c)
{
	const char *line;
	char head[64];
	size_t len = next_line(c, &line);

	snprintf(head, sizeof(head), "put 0 0 3600 %zu\r\n", len);
	put_str(&c->out, head);
	put(&c->out, line, len);
	put(&c->out, "\r\n", 2);
	c->asked++;
}

static size_t
bst_push_answer(struct client *c, const char *p, size_t len)
{
	const char *end = memchr(p, '\n', len);

	if (end == NULL)
		return 0;
	if (strncmp(p, "INSERTED", 8) != 0)
		errx(1, "beanstalkd: %.*s", (int)(end - p), p);
	c->answered++;
	return (size_t)(end - p) + 1;
}

static void
bst_pop_ask(struct client *c)
{
	if (c->dry || c->asked - c->answered >= c->batch)
		return;
	put_str(&c->out, "reserve-with-timeout 0\r\n");
	c->asked++;
}

static size_t
bst_pop_answer(struct client *c, const char *p, size_t len)
{
	const char *end = memchr(p, '\n', len);
	unsigned long id, bytes;
	char text[64];

	if (end == NULL)
		return 0;
	if (strncmp(p, "DELETED", 7) == 0) {
		c->answered++;
	} else if (sscanf(p, "RESERVED %lu %lu", &id, &bytes) == 2) {
		if (len - (size_t)(end + 1 - p) < bytes + 2)
			return 0;
		put(&c->text, end + 1, bytes);
		put(&c->text, "\n", 1);
		snprintf(text, sizeof(text), "delete %lu\r\n", id);
		put_str(&c->out, text);
		end += bytes + 2;
	} else {
		errx(1, "beanstalkd: %.*s", (int)(end - p), p);
	}
	return (size_t)(end - p) + 1;
}

int
main(int argc, char *argv[])
{
	struct client c = { 0 };
	const char *verb = argc > 3 ? argv[1] : "";

	if (strcmp(verb, "redis-wake") == 0) {
		redis_wake(argv[2], (size_t)atol(argv[3]));
		return 0;
	}
	if (argc < 4)
		errx(64, "usage: queue_peer verb socket file|n [batch]");
	c.fd = dial(argv[2]);
	c.batch = argc > 4 ? (unsigned int)atoi(argv[4]) : 1000;
	if (c.batch == 0 || c.batch > 4096)
		errx(64, "batch: 1 to 4096");
	if (strstr(verb, "-push") != NULL)
		load(&c, argv[3]);
	else
		c.wanted = (uint64_t)atol(argv[3]);
	if (strcmp(verb, "redis-push") == 0) {
		c.ask = redis_push_ask;
		c.answer = redis_push_answer;
	} else if (strcmp(verb, "redis-pop") == 0) {
		redis_group(c.fd);
		c.ask = redis_pop_ask;
		c.answer = redis_pop_answer;
	} else if (strcmp(verb, "bst-push") == 0) {
		c.ask = bst_push_ask;
		c.answer = bst_push_answer;
	} else if (strcmp(verb, "bst-pop") == 0) {
		c.ask = bst_pop_ask;
		c.answer = bst_pop_answer;
	} else {
		errx(64, "%s: no such verb", verb);
	}
	run(&c);
	return 0;
}
