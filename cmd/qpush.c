/* qpush: append messages to a queue; see qpush(1). */

#include <sys/eventfd.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exits.h"
#include "num.h"
#include "qpush.h"

#define FIELD_MAX	65535U
#define DELIM_MAX	64U		/* bytes of -K */

static const struct option options[] = {
	{ "atomic", no_argument, NULL, 'A' },
	{ "delay", required_argument, NULL, 'D' },
	{ "delimiter", required_argument, NULL, 'd' },
	{ "help", no_argument, NULL, 'h' },
	{ "id", required_argument, NULL, 'i' },
	{ "id-field", required_argument, NULL, 'I' },
	{ "json", no_argument, NULL, 'J' },
	{ "key", required_argument, NULL, 'k' },
	{ "key-delimiter", required_argument, NULL, 'K' },
	{ "key-field", required_argument, NULL, 'F' },
	{ "length", no_argument, NULL, 'L' },
	{ "no-sync", no_argument, NULL, 'S' },
	{ "null", no_argument, NULL, '0' },
	{ "print-seq", no_argument, NULL, 'P' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "version", no_argument, NULL, 'V' },
	{ "wait", required_argument, NULL, 'W' },
	{ "whole", no_argument, NULL, 'w' },
	{ NULL, 0, NULL, 0 }
};

static void
usage(FILE *to)
{
	fprintf(to, "usage: %s [-0AJLqSw] [-d delim] [-k key | -K delim | "
	    "-F field[:sep]]\n"
	    "             [-i id | -I field[:sep]] [-D delay] [-W wait] "
	    "[--print-seq]\n"
	    "             queue [message ...]\n", getprogname());
}

static _Noreturn void
bad_usage(void)
{
	usage(stderr);
	exit(EX_USAGE);
}

/* --- failures and signals ---------------------------------------------------- */

int
fail(struct failure *f, int status, const char *format, ...)
{
	va_list ap;

	f->status = status;
	va_start(ap, format);
	vsnprintf(f->text, sizeof(f->text), format, ap);
	va_end(ap);
	return -1;
}

int
fail_errno(struct failure *f, const char *what, int errnum)
{
	return fail(f, exit_status(errnum), "%s: %s", what, strerror(errnum));
}

/* For what fails before there is a queue. */
static _Noreturn void
refuse(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static _Noreturn void
refuse(int status, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vwarnx(format, ap);
	va_end(ap);
	warnx("stored 0");
	exit(status);
}

static volatile sig_atomic_t caught;
static int wake_fd = -1;

static void
on_signal(int sig)
{
	caught = sig;
	qpush_wake();
}

int
qpush_signal(void)
{
	return caught;
}

int
qpush_wake_fd(void)
{
	return wake_fd;
}

void
qpush_wake(void)
{
	static const uint64_t one = 1;
	int saved = errno;

	if (write(wake_fd, &one, sizeof(one)) == -1)
		errno = saved;	/* it is readable already */
}

/* The first one ends the input; the second kills. */
static void
catch_signals(void)
{
	static const int sigs[] = { SIGINT, SIGTERM };
	struct sigaction sa = { .sa_handler = on_signal,
	    .sa_flags = SA_RESETHAND }, old;

	if ((wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1)
		refuse(EX_OSERR, "eventfd: %s", strerror(errno));
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		if (sigaction(sigs[i], NULL, &old) == 0 &&
		    old.sa_handler != SIG_IGN)
			sigaction(sigs[i], &sa, NULL);
}

/* --- options ------------------------------------------------------------------- */

static void
field_option(struct field *f, int letter)
{
	char number[8];
	const char *colon = strchr(optarg, ':');
	size_t len = colon == NULL ? strlen(optarg) :
	    (size_t)(colon - optarg);

	if (len < sizeof(number)) {
		memcpy(number, optarg, len);
		number[len] = '\0';
		if (num_u64(number, 1, FIELD_MAX, &f->number) == 0 &&
		    (colon == NULL || num_delim(colon + 1, &f->sep) == 0)) {
			f->blanks = colon == NULL;
			return;
		}
	}
	errx(EX_USAGE, "-%c %s: not a field's number from 1, perhaps with "
	    ":separator", letter, optarg);
}

static void
key_delim_option(struct options *o)
{
	size_t len = strlen(optarg);

	if (num_delim(optarg, &o->key_delim_byte) == 0) {
		o->key_delim = (const char *)&o->key_delim_byte;
		o->key_delim_len = 1;
	} else if (len >= 1 && len <= DELIM_MAX) {
		o->key_delim = optarg;
		o->key_delim_len = len;
	} else {
		errx(EX_USAGE, "-K: a delimiter of 1 to %u bytes", DELIM_MAX);
	}
}

static const char *
name_option(int letter)
{
	if (strlen(optarg) > QUEUE_KEY_MAX)
		refuse(EX_DATAERR, "-%c: longer than 64k", letter);
	return optarg;
}

static void
duration_option(int64_t *ns, int letter)
{
	if (num_duration(optarg, ns) == -1)
		errx(EX_USAGE, "-%c %s: not a duration", letter, optarg);
}

static void
one_option(struct options *o, int ch)
{
	switch (ch) {
	case '0': case 'd': case 'L': case 'w':
		if (frame_option(&o->how, ch, optarg) == -1)
			errx(EX_USAGE, "-d %s: not a delimiter", optarg);
		break;
	case 'A':
		o->atomic = true;
		break;
	case 'D':
		duration_option(&o->delay_ns, ch);
		break;
	case 'F':
		field_option(&o->key_field, ch);
		break;
	case 'h':
		usage(stdout);
		exit(EX_OK);
	case 'i':
		o->id = name_option(ch);
		break;
	case 'I':
		field_option(&o->id_field, ch);
		break;
	case 'J':
		o->json = true;
		break;
	case 'k':
		o->key = name_option(ch);
		break;
	case 'K':
		key_delim_option(o);
		break;
	case 'P':
		o->print_seq = true;
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'S':
		o->nosync = true;
		break;
	case 'V':
		printf("qpush %s\n", VERSION);
		exit(EX_OK);
	case 'W':
		duration_option(&o->wait_ns, ch);
		break;
	default:
		bad_usage();
	}
}

static void
check_options(const struct options *o, int messages)
{
	int keys = (o->key != NULL) + (o->key_delim != NULL) +
	    (o->key_field.number != 0);
	int ids = (o->id != NULL) + (o->id_field.number != 0);

	if (keys > 1)
		errx(EX_USAGE, "only one of -k, -K and -F");
	if (ids > 1)
		errx(EX_USAGE, "only one of -i and -I");
	if (o->json && (keys > 0 || ids > 0 || o->delay_ns > 0))
		errx(EX_USAGE, "-J: key, id and time are in the objects");
	if (o->id != NULL && messages > 1)
		errx(EX_USAGE, "-i is for one message only");
	if (strncmp(o->path, "nats://", 7) == 0)
		refuse(EX_CONFIG, "%s: this build knows no nats:// queues",
		    o->path);
	if (messages == 0 && fcntl(STDIN_FILENO, F_GETFD) == -1)
		refuse(EX_IOERR, "standard input: %s", strerror(errno));
}

/* --- the work --------------------------------------------------------------------- */

static int
push_operands(struct store *s, int argc, char *argv[], struct failure *f)
{
	struct maker m = { .o = s->o, .max_message = s->limits.max_message };
	struct queue_batch b;
	struct failure later;		/* after what comes before it */
	int rc = 0, bad = 0;

	queue_batch_init(&b);
	m.now_ns = wall_now_ns();
	for (int i = 0; i < argc && bad == 0 && rc == 0; i++) {
		bad = maker_add(&m, &b, argv[i], strlen(argv[i]), &later);
		if (b.len >= BATCH_BYTES && !s->o->atomic)
			rc = store_batch(s, &b, f);
	}
	if (rc == 0 && b.count > 0 && !(bad == -1 && s->o->atomic))
		rc = s->o->atomic ? store_whole(s, &b, f) :
		    store_batch(s, &b, f);
	if (rc == 0 && bad == -1) {
		*f = later;
		rc = -1;
	}
	queue_batch_release(&b);
	msgjson_release(&m.json);
	return rc;
}

static int
push_input(struct store *s, struct failure *f)
{
	struct queue_batch b;
	struct input in;
	int rc = 0;

	if (input_start(&in, s->o, STDIN_FILENO, s->limits.max_message,
	    f) == -1)
		return -1;
	queue_batch_init(&b);
	while (rc == 0 && input_take(&in, &b)) {
		rc = store_batch(s, &b, f);
		queue_batch_clear(&b);
		in.max_message = s->limits.max_message;
		progress_show(s->stored, in.source.bytes);
	}
	input_stop(&in);
	if (rc == 0 && in.failure.status != 0) {
		*f = in.failure;
		rc = -1;
	}
	queue_batch_release(&b);
	return rc;
}

int
main(int argc, char *argv[])
{
	struct options o = { .how = FRAME_LINES, .wait_ns = -1 };
	struct failure f = { 0 };
	struct store s;
	uint64_t stored;
	int ch;

	while ((ch = getopt_long(argc, argv, "+0Ad:D:F:hi:I:Jk:K:LqSVwW:",
	    options, NULL)) != -1)
		one_option(&o, ch);
	argc -= optind;
	argv += optind;
	if (argc < 1)
		bad_usage();
	o.path = argv[0];
	argc--;
	argv++;
	check_options(&o, argc);

	catch_signals();
	if (store_open(&s, &o, &f) == 0) {
		progress_init(o.quiet || argc > 0, STDIN_FILENO);
		if (argc > 0)
			push_operands(&s, argc, argv, &f);
		else if (o.atomic)
			atomic_run(&s, STDIN_FILENO, &f);
		else
			push_input(&s, &f);
	}
	stored = s.stored;
	store_close(&s);
	progress_clear();
	if (f.status != 0)
		warnx("%s", f.text);
	if (f.status != 0 || caught != 0)
		warnx("stored %" PRIu64, stored);
	if (caught != 0) {
		signal(caught, SIG_DFL);
		raise(caught);
	}
	return f.status;
}
