/*
 * qpop_sync: a thread that makes durable what was journaled, while commands
 * start and run.  Wishes that come during a sync are met by the next one.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "qpop.h"

struct syncer {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;		/* something is wanted */
	pthread_cond_t rests;		/* the thread does not sync now */
	const char *path;
	struct queue *q;		/* of the thread's own */
	bool wanted, busy, quit;
	int errnum;
};

static int
sync_once(struct syncer *s)
{
	if (s->q == NULL &&
	    queue_open(&s->q, s->path, QUEUE_READ, NULL, NULL) == -1)
		return errno;
	return queue_sync(s->q) == -1 ? errno : 0;
}

static void *
work(void *arg)
{
	struct syncer *s = arg;
	int errnum;

	(void)pthread_mutex_lock(&s->mutex);
	for (;;) {
		while (!s->wanted && !s->quit)
			(void)pthread_cond_wait(&s->cond, &s->mutex);
		if (s->quit)
			break;
		s->wanted = false;
		s->busy = true;
		(void)pthread_mutex_unlock(&s->mutex);
		errnum = sync_once(s);
		(void)pthread_mutex_lock(&s->mutex);
		s->busy = false;
		(void)pthread_cond_signal(&s->rests);
		if (errnum != 0) {
			s->errnum = errnum;
			break;
		}
	}
	(void)pthread_mutex_unlock(&s->mutex);
	queue_close(s->q);
	return NULL;
}

struct syncer *
syncer_start(const char *path)
{
	struct syncer *s = calloc(1, sizeof(*s));
	sigset_t all, saved;
	int rc;

	if (s == NULL)
		return NULL;
	s->path = path;
	(void)pthread_mutex_init(&s->mutex, NULL);
	(void)pthread_cond_init(&s->cond, NULL);
	(void)pthread_cond_init(&s->rests, NULL);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &saved);
	rc = pthread_create(&s->thread, NULL, work, s);
	(void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (rc != 0) {
		free(s);
		errno = rc;
		return NULL;
	}
	return s;
}

void
syncer_want(struct syncer *s)
{
	(void)pthread_mutex_lock(&s->mutex);
	if (!s->wanted) {
		s->wanted = true;
		(void)pthread_cond_signal(&s->cond);
	}
	(void)pthread_mutex_unlock(&s->mutex);
}

int
syncer_error(struct syncer *s)
{
	int errnum;

	(void)pthread_mutex_lock(&s->mutex);
	errnum = s->errnum;
	(void)pthread_mutex_unlock(&s->mutex);
	return errnum;
}

void
syncer_rest(struct syncer *s)
{
	(void)pthread_mutex_lock(&s->mutex);
	while (s->busy)
		(void)pthread_cond_wait(&s->rests, &s->mutex);
}

void
syncer_go_on(struct syncer *s)
{
	(void)pthread_mutex_unlock(&s->mutex);
}

void
syncer_stop(struct syncer *s)
{
	if (s == NULL)
		return;
	(void)pthread_mutex_lock(&s->mutex);
	s->quit = true;
	(void)pthread_cond_signal(&s->cond);
	(void)pthread_mutex_unlock(&s->mutex);
	(void)pthread_join(s->thread, NULL);
	(void)pthread_mutex_destroy(&s->mutex);
	(void)pthread_cond_destroy(&s->cond);
	(void)pthread_cond_destroy(&s->rests);
	free(s);
}
