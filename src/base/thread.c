// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/ref.h"
#include "base/timestamp.h"

#define STACK_BYTES ((size_t)512 * 1024)
#define IDLE_MS 10000

void lock_init(struct lock *l)
{
	*l = (struct lock){.mutex = PTHREAD_MUTEX_INITIALIZER};
}

void lock_done(struct lock *l)
{
	pthread_mutex_destroy(&l->mutex);
}

void lock_take(struct lock *l)
{
	pthread_mutex_lock(&l->mutex);
	l->owner = pthread_self();
	l->held = true;
}

void lock_drop(struct lock *l)
{
	lock_assert_held(l);
	l->held = false;
	pthread_mutex_unlock(&l->mutex);
}

void lock_assert_held(struct lock *l)
{
	assert(l->held && pthread_equal(l->owner, pthread_self()));
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->cond, &attr);
	pthread_condattr_destroy(&attr);
}

void cond_done(struct cond *c)
{
	pthread_cond_destroy(&c->cond);
}

bool cond_wait_until(struct cond *c, struct lock *l, int64_t deadline_ms)
{
	int r;

	lock_assert_held(l);
	l->held = false;
	if (deadline_ms < 0) {
		r = pthread_cond_wait(&c->cond, &l->mutex);
	} else {
		struct timespec ts = {deadline_ms / 1000, deadline_ms % 1000 * 1000000};

		r = pthread_cond_timedwait(&c->cond, &l->mutex, &ts);
	}
	l->owner = pthread_self();
	l->held = true;
	return r != ETIMEDOUT;
}

void cond_wait(struct cond *c, struct lock *l)
{
	(void)cond_wait_until(c, l, -1);
}

void cond_signal(struct cond *c)
{
	pthread_cond_signal(&c->cond);
}

void cond_broadcast(struct cond *c)
{
	pthread_cond_broadcast(&c->cond);
}

struct err *thread_start(const char *name, void *(*run)(void *), void *arg, pthread_t *ret)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (!ret)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return err_sys(r, "start thread %s", name);
	if (ret) {
		/* A detached thread may be gone by now, so only joinable ones are named. */
		pthread_setname_np(thread, name);
		*ret = thread;
	}
	return NULL;
}

struct cancel {
	struct ref ref;
	atomic_int why; /* 0 until fired */
	atomic_int fd;	/* -1 until asked for */
};

struct cancel *cancel_new(void)
{
	struct cancel *c = NEW(struct cancel);

	ref_init(&c->ref);
	atomic_init(&c->why, 0);
	atomic_init(&c->fd, -1);
	return c;
}

struct cancel *cancel_ref(struct cancel *c)
{
	if (c)
		ref_get(&c->ref);
	return c;
}

void cancel_unref(struct cancel *c)
{
	int fd;

	if (!c || !ref_put(&c->ref))
		return;
	fd = atomic_load(&c->fd);
	if (fd >= 0)
		close(fd);
	free(c);
}

static void ring(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

void cancel_fire(struct cancel *c, enum err_class why)
{
	int none = 0, fd;

	if (!atomic_compare_exchange_strong(&c->why, &none, (int)why))
		return;
	fd = atomic_load(&c->fd);
	if (fd >= 0)
		ring(fd);
}

bool cancel_fired(const struct cancel *c)
{
	return c && atomic_load(&c->why) != 0;
}

struct err *cancel_check(const struct cancel *c)
{
	int why = c ? atomic_load(&c->why) : 0;

	if (!why)
		return NULL;
	return why == ERR_DEADLINE ? err_new(ERR_DEADLINE, "context deadline exceeded")
				   : err_new((enum err_class)why, "context canceled");
}

int cancel_fd(struct cancel *c)
{
	int fd, none = -1;

	if (!c)
		return -1;
	fd = atomic_load(&c->fd);
	if (fd >= 0)
		return fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -1;
	if (!atomic_compare_exchange_strong(&c->fd, &none, fd)) {
		close(fd);
		return none;
	}
	if (atomic_load(&c->why))
		ring(fd);
	return fd;
}

struct job {
	struct list node;
	void (*run)(void *arg);
	void *arg;
};

struct pool {
	char *name;
	struct pool_limits limits;
	struct lock lock;
	struct cond work;  /* a job was queued, or the pool closes */
	struct cond quiet; /* a thread ended */
	/* guarded by lock */
	struct list queue[LANE_COUNT]; /* of struct job, owned */
	unsigned queued[LANE_COUNT], busy[LANE_COUNT];
	unsigned threads, idle;
	bool waking; /* a thread was called and has not looked for work yet */
	bool closing;
};

struct pool *pool_new(const char *name, const struct pool_limits *limits)
{
	struct pool *p = NEW(struct pool);

	p->name = xstrdup(name);
	p->limits = *limits;
	lock_init(&p->lock);
	cond_init(&p->work);
	cond_init(&p->quiet);
	for (int i = 0; i < LANE_COUNT; i++)
		list_init(&p->queue[i]);
	return p;
}

/* The next job whose lane has a thread to spare; lanes in order of importance. */
static struct job *next_job(struct pool *p, enum lane *ret_lane)
{
	for (int i = 0; i < LANE_COUNT; i++) {
		struct job *job;

		if (list_empty(&p->queue[i]) || p->busy[i] >= p->limits.threads[i])
			continue;
		job = list_first(&p->queue[i], struct job, node);
		list_remove(&job->node);
		p->queued[i]--;
		p->busy[i]++;
		*ret_lane = (enum lane)i;
		return job;
	}
	return NULL;
}

/* Whether a queued job could run now if there was a thread for it. */
static bool runnable(const struct pool *p)
{
	for (int i = 0; i < LANE_COUNT; i++) {
		if (p->queued[i] && p->busy[i] < p->limits.threads[i])
			return true;
	}
	return false;
}

static void *pool_thread(void *arg);

/*
 * One more thread when a job could run. They are called one after the other, each by the one
 * before it: of a burst of short jobs many are done by the first thread before a second is up,
 * while jobs that block each still get a thread of their own at once.
 */
static struct err *call_thread(struct pool *p)
{
	struct err *e;

	if (p->waking || !runnable(p))
		return NULL;
	p->waking = true;
	if (p->idle) {
		cond_signal(&p->work);
		return NULL;
	}
	p->threads++;
	e = thread_start(p->name, pool_thread, p, NULL);
	if (!e)
		return NULL;
	p->threads--;
	p->waking = false;
	return e;
}

static void *pool_thread(void *arg)
{
	struct pool *p = arg;
	enum lane lane;

	lock_take(&p->lock);
	p->waking = false;
	for (;;) {
		struct job *job = next_job(p, &lane);

		if (job) {
			/* Without another thread, this one gets to the rest later. */
			err_free(call_thread(p));
			lock_drop(&p->lock);
			job->run(job->arg);
			free(job);
			lock_take(&p->lock);
			p->busy[lane]--;
			continue;
		}
		if (p->closing)
			break;
		p->idle++;
		bool woken = cond_wait_until(&p->work, &p->lock, monotonic_ms() + IDLE_MS);
		p->idle--;
		p->waking = false;
		if (!woken && !runnable(p))
			break;
	}
	p->threads--;
	cond_broadcast(&p->quiet);
	lock_drop(&p->lock);
	return NULL;
}

struct err *pool_submit(struct pool *p, enum lane lane, void (*run)(void *arg), void *arg)
{
	struct job *job;
	struct err *e = NULL;

	LOCKED(&p->lock);
	if (p->queued[lane] >= p->limits.queue[lane])
		return err_new(ERR_EXHAUSTED, "too many calls are waiting, try again later");
	job = NEW(struct job);
	job->run = run;
	job->arg = arg;
	list_append(&p->queue[lane], &job->node);
	p->queued[lane]++;
	e = call_thread(p);
	if (!e)
		return NULL;
	if (p->threads) {
		/* The threads there are will get to it. */
		err_free(e);
		return NULL;
	}
	list_remove(&job->node);
	p->queued[lane]--;
	free(job);
	return err_reclass(e, ERR_EXHAUSTED);
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	lock_take(&p->lock);
	p->closing = true;
	cond_broadcast(&p->work);
	while (p->threads)
		cond_wait(&p->quiet, &p->lock);
	lock_drop(&p->lock);
	lock_done(&p->lock);
	cond_done(&p->work);
	cond_done(&p->quiet);
	free(p->name);
	free(p);
}
