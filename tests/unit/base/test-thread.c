// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/thread.h"
#include "base/timestamp.h"

static void test_cancel(void **state)
{
	autoptr(cancel) c = cancel_new(), *same = cancel_ref(c), *late = cancel_new();
	struct pollfd p = {.fd = cancel_fd(c), .events = POLLIN};

	assert_null(cancel_check(c));
	assert_null(cancel_check(NULL));
	assert_int_equal(cancel_fd(NULL), -1);
	assert_int_equal(poll(&p, 1, 0), 0);
	cancel_fire(same, ERR_DEADLINE);
	cancel_fire(same, ERR_CANCELLED);
	assert_true(cancel_fired(c));
	assert_int_equal(poll(&p, 1, 0), 1);
	{
		autoptr(err) e = cancel_check(c);

		assert_int_equal(err_class(e), ERR_DEADLINE);
	}
	/* The descriptor is readable also when it is made afterwards. */
	cancel_fire(late, ERR_CANCELLED);
	p.fd = cancel_fd(late);
	assert_int_equal(poll(&p, 1, 0), 1);
}

static void test_deadline_of_a_condition(void **state)
{
	struct lock l;
	struct cond c;
	int64_t before = monotonic_ms();

	lock_init(&l);
	cond_init(&c);
	lock_take(&l);
	while (cond_wait_until(&c, &l, before + 20))
		;
	lock_assert_held(&l);
	lock_drop(&l);
	assert_true(monotonic_ms() >= before + 20);
	cond_done(&c);
	lock_done(&l);
}

/* A gate that jobs wait at, and a count of those that have come. */
struct gate {
	struct lock lock;
	struct cond changed;
	int came, done;
	bool open;
};

static void gate_init(struct gate *g)
{
	*g = (struct gate){0};
	lock_init(&g->lock);
	cond_init(&g->changed);
}

static void gate_done(struct gate *g)
{
	cond_done(&g->changed);
	lock_done(&g->lock);
}

static void pass_gate(void *arg)
{
	struct gate *g = arg;

	LOCKED(&g->lock);
	g->came++;
	cond_broadcast(&g->changed);
	while (!g->open)
		cond_wait(&g->changed, &g->lock);
	g->done++;
	cond_broadcast(&g->changed);
}

static void gate_open(struct gate *g)
{
	LOCKED(&g->lock);
	g->open = true;
	cond_broadcast(&g->changed);
}

/* Whether the count reaches n within a generous time. */
static bool gate_wait(struct gate *g, const int *count, int n)
{
	int64_t until = monotonic_ms() + 20000;

	LOCKED(&g->lock);
	while (*count < n)
		if (!cond_wait_until(&g->changed, &g->lock, until))
			return false;
	return true;
}

static const struct pool_limits limits = {.threads = {1, 2, 2}, .queue = {4, 4, 4}};

/* Bulk and normal work that hangs keeps no reserved call from running. */
static void test_lanes_do_not_starve_each_other(void **state)
{
	struct pool *p = pool_new("test", &limits);
	struct gate stuck, vital;

	gate_init(&stuck);
	gate_init(&vital);
	vital.open = true;
	for (int i = 0; i < 4; i++) {
		assert_null(pool_submit(p, LANE_BULK, pass_gate, &stuck));
		assert_null(pool_submit(p, LANE_NORMAL, pass_gate, &stuck));
	}
	assert_true(gate_wait(&stuck, &stuck.came, 4));
	for (int i = 0; i < 3; i++)
		assert_null(pool_submit(p, LANE_RESERVED, pass_gate, &vital));
	assert_true(gate_wait(&vital, &vital.done, 3));
	assert_int_equal(stuck.came, 4); /* two threads in each of the other lanes, no more */
	gate_open(&stuck);
	pool_free(p);
	assert_int_equal(stuck.done, 8); /* what was queued is done before the pool ends */
	gate_done(&stuck);
	gate_done(&vital);
}

static void test_full_queue(void **state)
{
	struct pool *p = pool_new("test", &limits);
	struct gate g;
	autoptr(err) e = NULL;

	gate_init(&g);
	assert_null(pool_submit(p, LANE_RESERVED, pass_gate, &g));
	assert_true(gate_wait(&g, &g.came, 1));
	for (int i = 0; i < 4; i++)
		assert_null(pool_submit(p, LANE_RESERVED, pass_gate, &g));
	e = pool_submit(p, LANE_RESERVED, pass_gate, &g);
	assert_int_equal(err_class(e), ERR_EXHAUSTED);
	assert_null(pool_submit(p, LANE_BULK, pass_gate, &g));
	gate_open(&g);
	pool_free(p);
	assert_int_equal(g.done, 6);
	gate_done(&g);
}

static atomic_int ran;

static void run_one(void *arg)
{
	atomic_fetch_add(&ran, 1);
}

static void test_many_short_jobs(void **state)
{
	static const struct pool_limits wide = {.threads = {4, 4, 4}, .queue = {9999, 9999, 9999}};
	struct pool *p = pool_new("test", &wide);

	for (int i = 0; i < 5000; i++)
		assert_null(pool_submit(p, (enum lane)(i % LANE_COUNT), run_one, NULL));
	pool_free(p);
	assert_int_equal(atomic_load(&ran), 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_deadline_of_a_condition),
		cmocka_unit_test(test_lanes_do_not_starve_each_other),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_many_short_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
