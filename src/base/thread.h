// SPDX-License-Identifier: Apache-2.0
/*
 * Locks that know their owner, cancellation that a blocking wait can poll, and an elastic pool of
 * threads with lanes. The order in which locks are taken is in docs/THREADS.md.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct lock {
	pthread_mutex_t mutex;
	pthread_t owner; /* valid while held */
	bool held;
};

void lock_init(struct lock *l);
void lock_done(struct lock *l);
void lock_take(struct lock *l);
void lock_drop(struct lock *l);
void lock_assert_held(struct lock *l);

static inline void lock_drop_p(struct lock **l)
{
	if (*l)
		lock_drop(*l);
}
static inline struct lock *lock_taken(struct lock *l)
{
	lock_take(l);
	return l;
}
/* Hold the lock to the end of the scope. */
#define LOCKED(l)                                                                                  \
	__attribute__((cleanup(lock_drop_p), unused)) struct lock *locked_##__LINE__ = lock_taken(l)

/* A condition on CLOCK_MONOTONIC. */
struct cond {
	pthread_cond_t cond;
};

void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_wait(struct cond *c, struct lock *l);
/* False when the deadline (monotonic_ms) passed first; a negative deadline waits for ever. */
bool cond_wait_until(struct cond *c, struct lock *l, int64_t deadline_ms);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* Start a detached or joinable thread with a 512 KiB stack and all signals blocked. */
CHECKED struct err *thread_start(
	const char *name, void *(*run)(void *), void *arg, pthread_t *ret /* NULL: detached */);

/*
 * Somebody may lose interest in work under way: a caller that hung up, a deadline. Shared by the
 * one who cancels and the one who works; refcounted.
 */
struct cancel;

struct cancel *cancel_new(void);
struct cancel *cancel_ref(struct cancel *c);
void cancel_unref(struct cancel *c);
DEFINE_AUTOPTR(cancel, cancel_unref);
/* ERR_CANCELLED or ERR_DEADLINE; the first call wins. */
void cancel_fire(struct cancel *c, enum err_class why);
bool cancel_fired(const struct cancel *c);
/* NULL while nobody cancelled, then an error of the class given. A NULL cancel never fires. */
CHECKED struct err *cancel_check(const struct cancel *c);
/* Readable once fired; made on first use, owned by the object. -1 for NULL. */
int cancel_fd(struct cancel *c);

/*
 * Elastic pool. Lanes keep bulk work from delaying what frees resources: each lane has a share of
 * the threads that other lanes cannot take. A thread idle for 10 s ends, down to none.
 */
enum lane {
	LANE_RESERVED, /* short and vital: kill, delete, health, version */
	LANE_NORMAL,   /* unary calls */
	LANE_BULK,     /* calls that move bytes for long */
	LANE_COUNT
};

struct pool_limits {
	unsigned threads[LANE_COUNT]; /* most threads a lane may occupy */
	unsigned queue[LANE_COUNT];   /* most jobs that may wait in a lane */
};

struct pool;

struct pool *pool_new(const char *name, const struct pool_limits *limits);
/* Waits for the jobs under way and those queued. */
void pool_free(struct pool *p);
DEFINE_AUTOPTR(pool, pool_free);
/* ERR_EXHAUSTED when the lane's queue is full. */
CHECKED struct err *pool_submit(struct pool *p, enum lane lane, void (*run)(void *arg), void *arg);
