// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"
#include "base/timestamp.h"
#include "event/loop.h"

#define TOO_LONG_MS 20000

struct world {
	struct loop *loop;
	struct loop_timer *guard; /* a test that hangs ends here, and fails */
	bool hung;
	struct loop_io *io, *other;
	struct loop_timer *timers[3];
	int pipe[2], pipe2[2];
	int calls, order[200], n_order;
	unsigned events;
};

static void hang(void *arg)
{
	struct world *w = arg;

	w->hung = true;
	loop_stop(w->loop);
}

static int setup(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));

	assert_null(loop_new(&w->loop));
	w->guard = loop_timer_new(w->loop, hang, w);
	loop_timer_set(w->guard, TOO_LONG_MS);
	assert_int_equal(pipe2(w->pipe, O_CLOEXEC), 0);
	assert_int_equal(pipe2(w->pipe2, O_CLOEXEC), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	loop_timer_free(w->guard);
	loop_free(w->loop);
	for (int i = 0; i < 2; i++) {
		if (w->pipe[i] >= 0)
			close(w->pipe[i]);
		close(w->pipe2[i]);
	}
	test_free(w);
	return 0;
}

static void run(struct world *w)
{
	loop_run(w->loop);
	assert_false(w->hung);
}

/* --- descriptors --- */

static void count_io(void *arg, unsigned events)
{
	struct world *w = arg;

	assert_true(loop_is_current(w->loop));
	w->events = events;
	if (++w->calls >= 3)
		loop_stop(w->loop);
}

static void test_readiness_is_level_triggered(void **state)
{
	struct world *w = *state;

	assert_null(loop_add_io(w->loop, w->pipe[0], LOOP_READ, count_io, w, &w->io));
	assert_int_equal(write(w->pipe[1], "x", 1), 1);
	run(w);
	assert_true(w->calls >= 3);
	assert_int_equal(w->events, LOOP_READ);
	loop_io_remove(w->io);
	loop_io_remove(NULL);
}

static void stop_io(void *arg, unsigned events)
{
	struct world *w = arg;

	w->events = events;
	w->calls++;
	loop_stop(w->loop);
}

static void test_hangup_is_always_reported(void **state)
{
	struct world *w = *state;

	assert_null(loop_add_io(w->loop, w->pipe[0], 0, stop_io, w, &w->io));
	close(w->pipe[1]);
	w->pipe[1] = -1;
	run(w);
	assert_true(w->events & LOOP_HANGUP);
	loop_io_remove(w->io);
}

static void test_change_of_events(void **state)
{
	struct world *w = *state;

	assert_null(loop_add_io(w->loop, w->pipe[1], 0, stop_io, w, &w->io));
	loop_io_set(w->io, LOOP_WRITE);
	run(w);
	assert_int_equal(w->events, LOOP_WRITE);
	loop_io_remove(w->io);
}

/* Both are ready; whichever comes first removes the other. */
static void remove_other(void *arg, unsigned events)
{
	struct world *w = arg;

	w->calls++;
	loop_io_remove(w->io);
	loop_io_remove(w->other);
	w->io = w->other = NULL;
}

static void stop_later(void *arg)
{
	loop_stop(arg);
}

static void test_removed_within_the_turn(void **state)
{
	struct world *w = *state;

	assert_int_equal(write(w->pipe[1], "x", 1), 1);
	assert_int_equal(write(w->pipe2[1], "x", 1), 1);
	assert_null(loop_add_io(w->loop, w->pipe[0], LOOP_READ, remove_other, w, &w->io));
	assert_null(loop_add_io(w->loop, w->pipe2[0], LOOP_READ, remove_other, w, &w->other));
	w->timers[0] = loop_timer_new(w->loop, stop_later, w->loop);
	loop_timer_set(w->timers[0], 20);
	run(w);
	assert_int_equal(w->calls, 1);
	loop_timer_free(w->timers[0]);
}

/* --- timers --- */

struct shot {
	struct world *w;
	int n;
};

static void shoot(void *arg)
{
	struct shot *s = arg;

	s->w->order[s->w->n_order++] = s->n;
	if (s->n == 9)
		loop_stop(s->w->loop);
}

static void test_timers_in_order(void **state)
{
	struct world *w = *state;
	struct shot shots[] = {{w, 2}, {w, 1}, {w, 9}};
	static const int delays[] = {20, 5, 40};
	int64_t start = monotonic_ms();

	for (int i = 0; i < 3; i++) {
		w->timers[i] = loop_timer_new(w->loop, shoot, &shots[i]);
		loop_timer_set(w->timers[i], delays[i]);
	}
	run(w);
	assert_int_equal(w->n_order, 3);
	assert_int_equal(w->order[0], 1);
	assert_int_equal(w->order[1], 2);
	assert_int_equal(w->order[2], 9);
	assert_true(monotonic_ms() - start >= 40);
	for (int i = 0; i < 3; i++)
		loop_timer_free(w->timers[i]);
	loop_timer_free(NULL);
}

static void test_cleared_and_rearmed(void **state)
{
	struct world *w = *state;
	struct shot shots[] = {{w, 1}, {w, 2}, {w, 9}};

	for (int i = 0; i < 3; i++) {
		w->timers[i] = loop_timer_new(w->loop, shoot, &shots[i]);
		loop_timer_set(w->timers[i], 1);
	}
	loop_timer_clear(w->timers[0]);
	loop_timer_set(w->timers[2], 30);
	run(w);
	assert_int_equal(w->n_order, 2);
	assert_int_equal(w->order[0], 2);
	assert_int_equal(w->order[1], 9);
	for (int i = 0; i < 3; i++)
		loop_timer_free(w->timers[i]);
}

/* --- other threads --- */

static void post_one(void *arg)
{
	struct shot *s = arg;

	assert_true(loop_is_current(s->w->loop));
	s->w->order[s->w->n_order++] = s->n;
	if (s->n == 99)
		loop_stop(s->w->loop);
}

static void *post_many(void *arg)
{
	struct shot *shots = arg;

	assert_false(loop_is_current(shots[0].w->loop));
	for (int i = 0; i < 100; i++)
		loop_post(shots[i].w->loop, post_one, &shots[i]);
	return NULL;
}

static void test_posts_run_in_order(void **state)
{
	struct world *w = *state;
	struct shot shots[100];
	pthread_t thread;

	for (int i = 0; i < 100; i++)
		shots[i] = (struct shot){w, i};
	assert_int_equal(pthread_create(&thread, NULL, post_many, shots), 0);
	run(w);
	pthread_join(thread, NULL);
	assert_int_equal(w->n_order, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(w->order[i], i);
	assert_false(loop_is_running(w->loop));
}

static void *stop_from_outside(void *arg)
{
	loop_stop(arg);
	return NULL;
}

/* Without sources due the loop sleeps; a stop wakes it. */
static void test_stop_wakes_a_sleeping_loop(void **state)
{
	struct world *w = *state;
	struct timespec before, after;
	pthread_t thread;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	assert_int_equal(pthread_create(&thread, NULL, stop_from_outside, w->loop), 0);
	run(w);
	pthread_join(thread, NULL);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	assert_true(after.tv_sec - before.tv_sec <= 1);
}

/* --- signals --- */

static void on_signal(void *arg, int signum)
{
	struct world *w = arg;

	w->order[w->n_order++] = signum;
	if (signum == SIGUSR2)
		loop_stop(w->loop);
}

static void test_signals(void **state)
{
	struct world *w = *state;

	assert_null(loop_add_signal(w->loop, SIGUSR1, on_signal, w));
	assert_null(loop_add_signal(w->loop, SIGUSR2, on_signal, w));
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_int_equal(kill(getpid(), SIGUSR2), 0);
	run(w);
	assert_int_equal(w->n_order, 2);
	assert_int_equal(w->order[0] + w->order[1], SIGUSR1 + SIGUSR2);
}

/* What is still registered goes with the loop. */
static void test_free_with_sources(void **state)
{
	struct world *w = *state;
	struct loop *l = NULL;
	struct loop_io *io = NULL;

	assert_null(loop_new(&l));
	assert_null(loop_add_io(l, w->pipe[0], LOOP_READ, stop_io, w, &io));
	loop_post(l, stop_later, l);
	loop_free(l);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_readiness_is_level_triggered),
		T(test_hangup_is_always_reported),
		T(test_change_of_events),
		T(test_removed_within_the_turn),
		T(test_timers_in_order),
		T(test_cleared_and_rearmed),
		T(test_posts_run_in_order),
		T(test_stop_wakes_a_sleeping_loop),
		T(test_signals),
		T(test_free_with_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
