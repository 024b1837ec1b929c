// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "shim/stream.h"

#define MEGABYTES ((size_t)2 << 20)

struct fixture {
	struct loop *loop;
	struct loop_timer *guard, *tick;
	int in, out; /* our ends: we write to in, read from out */
	struct stream *stream;
	bool ended;
	size_t written, got;
	bool reading, intact;
};

static void on_late(void *arg)
{
	(void)arg;
	fail_msg("the stream is stuck");
}

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	assert_null(loop_new(&f->loop));
	f->guard = loop_timer_new(f->loop, on_late, f);
	loop_timer_set(f->guard, 20000);
	f->in = f->out = -1;
	f->intact = true;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stream_free(f->stream);
	loop_timer_free(f->guard);
	loop_timer_free(f->tick);
	loop_free(f->loop);
	if (f->in >= 0)
		close(f->in);
	if (f->out >= 0)
		close(f->out);
	free(f);
	return 0;
}

static void on_ended(void *arg)
{
	struct fixture *f = arg;

	f->ended = true;
}

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 31 + (at >> 8));
}

/* Writes and reads whatever goes, from the loop itself. */
static void on_tick(void *arg)
{
	struct fixture *f = arg;
	uint8_t block[8192];
	ssize_t n;

	while (f->in >= 0 && f->written < MEGABYTES) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = pattern(f->written + i);
		n = write(f->in, block, MIN(sizeof(block), MEGABYTES - f->written));
		if (n <= 0)
			break;
		f->written += (size_t)n;
	}
	if (f->in >= 0 && f->written == MEGABYTES) {
		close(f->in);
		f->in = -1;
	}
	while (f->reading && (n = read(f->out, block, sizeof(block))) > 0)
		for (ssize_t i = 0; i < n; i++)
			f->intact = f->intact && block[i] == pattern(f->got++);
	if (f->ended && f->got == MEGABYTES)
		loop_stop(f->loop);
	else
		loop_timer_set(f->tick, 0);
}

static void open_pipes(struct fixture *f)
{
	int from[2], to[2];

	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	f->in = from[1];
	assert_int_equal(fcntl(f->in, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	f->out = to[0];
	assert_int_equal(fcntl(f->out, F_SETFL, O_NONBLOCK), 0);
	f->stream = stream_new(f->loop, from[0], to[1], on_ended, f);
}

static void test_all_bytes_arrive(void **state)
{
	struct fixture *f = *state;

	open_pipes(f);
	f->reading = true;
	f->tick = loop_timer_new(f->loop, on_tick, f);
	loop_timer_set(f->tick, 0);
	loop_run(f->loop);
	assert_int_equal(f->got, MEGABYTES);
	assert_true(f->intact);
	assert_true(stream_ended(f->stream));
}

static void on_enough(void *arg)
{
	struct fixture *f = arg;

	loop_stop(f->loop);
}

/* A reader that stops holds back the writer, not the loop; the end of the source is not seen before
 * all was delivered. */
static void test_stopped_reader(void **state)
{
	struct fixture *f = *state;
	struct loop_timer *enough = loop_timer_new(f->loop, on_enough, f);

	open_pipes(f);
	f->tick = loop_timer_new(f->loop, on_tick, f);
	loop_timer_set(f->tick, 0);
	loop_timer_set(enough, 100);
	loop_run(f->loop);
	assert_true(f->written < MEGABYTES);
	assert_false(f->ended);
	f->reading = true;
	loop_timer_set(f->tick, 0);
	loop_run(f->loop);
	assert_int_equal(f->got, MEGABYTES);
	assert_true(f->intact);
	loop_timer_free(enough);
}

/* Others hold the source open; what is at hand still arrives, then it ends. */
static void test_drain(void **state)
{
	struct fixture *f = *state;
	char text[16] = {0};

	open_pipes(f);
	assert_int_equal(write(f->in, "rest", 4), 4);
	stream_drain(f->stream);
	assert_true(f->ended);
	assert_int_equal(read(f->out, text, sizeof(text)), 4);
	assert_string_equal(text, "rest");
	assert_int_equal(read(f->out, text, sizeof(text)), 0);
}

/* To a file, bytes are copied instead of spliced. */
static void test_to_file(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/shim-stream-XXXXXX", text[16] = {0};
	int from[2], file = mkostemp(path, O_CLOEXEC | O_APPEND);

	assert_true(file >= 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	assert_int_equal(write(from[1], "to a file", 9), 9);
	f->out = open(path, O_RDONLY | O_CLOEXEC);
	f->stream = stream_new(f->loop, from[0], file, on_ended, f);
	stream_drain(f->stream);
	assert_true(f->ended);
	assert_int_equal(read(f->out, text, sizeof(text)), 9);
	assert_string_equal(text, "to a file");
	close(from[1]);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_bytes_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stopped_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_to_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
