// SPDX-License-Identifier: Apache-2.0
/*
 * The event loop: one thread, epoll, callbacks. It owns descriptors' readiness, timers, signals and
 * exits of child processes. Everything but loop_post() and loop_stop() belongs to the loop's own
 * thread. No callback is called after its source was removed, also not within the same turn. A loop
 * without sources due sleeps without waking up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct loop;
struct loop_io;
struct loop_timer;

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };

CHECKED struct err *loop_new(struct loop **ret);
void loop_free(struct loop *l); /* removes what is still registered */
DEFINE_AUTOPTR(loop, loop_free);
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
/* From any thread. */
void loop_stop(struct loop *l);
/* Run on the loop's thread, in the order posted; from any thread. */
void loop_post(struct loop *l, void (*run)(void *arg), void *arg);
bool loop_is_current(const struct loop *l);
/* False before loop_run() and after it returned: whoever is left has the loop to itself. */
bool loop_is_running(const struct loop *l);

/* Level-triggered readiness of a descriptor that the caller keeps open until after removal.
 * HANGUP (EPOLLHUP, EPOLLERR, EPOLLRDHUP) is always reported. */
typedef void (*loop_io_fn)(void *arg, unsigned events);
CHECKED struct err *loop_add_io(
	struct loop *l, int fd, unsigned events, loop_io_fn fn, void *arg, struct loop_io **ret);
void loop_io_set(struct loop_io *io, unsigned events);
void loop_io_remove(struct loop_io *io); /* NULL-safe */

/* One-shot timers. */
typedef void (*loop_timer_fn)(void *arg);
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn fn, void *arg);
void loop_timer_set(struct loop_timer *t, int64_t in_ms); /* from now; re-arms */
void loop_timer_clear(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL-safe */

/* Signals of the process, blocked in all threads by loop_add_signal(); at most one loop. */
typedef void (*loop_signal_fn)(void *arg, int signum);
CHECKED struct err *loop_add_signal(struct loop *l, int signum, loop_signal_fn fn, void *arg);
