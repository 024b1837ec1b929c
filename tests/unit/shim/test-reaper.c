// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "shim/exec.h"
#include "shim/reaper.h"

struct fixture {
	struct loop *loop;
	struct reaper *reaper;
	struct loop_timer *guard;
	struct child_exit first, second;
	int calls;
};

static void on_late(void *arg)
{
	(void)arg;
	fail_msg("no exit was told");
}

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	assert_null(loop_new(&f->loop));
	assert_null(reaper_new(f->loop, &f->reaper));
	f->guard = loop_timer_new(f->loop, on_late, f);
	loop_timer_set(f->guard, 20000);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_timer_free(f->guard);
	reaper_free(f->reaper);
	loop_free(f->loop);
	free(f);
	return 0;
}

static pid_t start(const char *script)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	struct exec_options options = {.argv = (char *const *)(uintptr_t)argv};
	pid_t pid = 0;

	assert_null(exec_start(&options, &pid));
	return pid;
}

static void on_first(void *arg, const struct child_exit *e)
{
	struct fixture *f = arg;

	f->first = *e;
	f->calls++;
	loop_stop(f->loop);
}

static void on_second(void *arg, const struct child_exit *e)
{
	struct fixture *f = arg;

	f->second = *e;
	f->calls++;
	loop_stop(f->loop);
}

static void test_claimed(void **state)
{
	struct fixture *f = *state;
	pid_t pid = start("exit 42");

	reaper_claim_new(f->reaper, pid, on_first, f);
	loop_run(f->loop);
	assert_int_equal(f->first.pid, pid);
	assert_int_equal(f->first.status, 42);
	assert_true(f->first.at.sec > 0);
	pid = start("kill -TERM $$");
	reaper_claim_new(f->reaper, pid, on_first, f);
	loop_run(f->loop);
	assert_int_equal(f->first.status, 128 + 15);
}

/* The pid becomes known only after its exit was reaped. */
static void test_early_exit_is_kept(void **state)
{
	struct fixture *f = *state;
	uint64_t mark = reaper_hold(f->reaper);
	pid_t early = start("exit 3"), later;

	/* Exits are reaped in no order: wait until the early one must have been. */
	do {
		later = start("exit 4");
		reaper_claim_new(f->reaper, later, on_second, f);
		loop_run(f->loop);
		f->calls = 0;
		reaper_claim(f->reaper, early, mark, on_first, f);
		if (!f->calls)
			reaper_disown(f->reaper, early);
	} while (!f->calls && kill(early, 0) == 0);
	assert_int_equal(f->calls, 1);
	assert_int_equal(f->first.pid, early);
	assert_int_equal(f->first.status, 3);
	/* Told once, and not to a later holder with the same pid. */
	reaper_claim(f->reaper, early, mark, on_first, f);
	assert_int_equal(f->calls, 1);
	reaper_disown(f->reaper, early);
	reaper_release(f->reaper);
}

/* A process of a container outlives the command that started it, and is reaped by us. */
static void test_orphans_come_to_us(void **state)
{
	struct fixture *f = *state;
	int fds[2];
	char text[32] = {0};
	uint64_t mark;
	pid_t orphan;
	const char *const argv[] = {
		"sh", "-c", "(exit_with() { sleep 0.1; exit 9; }; exit_with) & echo $!", NULL};
	struct exec_options options = {.argv = (char *const *)(uintptr_t)argv, .n_fds = 3};
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	options.fds = (const int[]){-1, fds[1], -1};
	mark = reaper_hold(f->reaper);
	assert_null(exec_start(&options, &pid));
	close(fds[1]);
	reaper_claim_new(f->reaper, pid, on_second, f);
	loop_run(f->loop);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	close(fds[0]);
	orphan = (pid_t)strtol(text, NULL, 10);
	f->calls = 0;
	reaper_claim(f->reaper, orphan, mark, on_first, f);
	if (!f->calls)
		loop_run(f->loop);
	assert_int_equal(f->first.pid, orphan);
	assert_int_equal(f->first.status, 9);
	reaper_release(f->reaper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_claimed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early_exit_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orphans_come_to_us, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
