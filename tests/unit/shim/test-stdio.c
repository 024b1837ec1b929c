// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "shim/stdio.h"

struct fixture {
	struct loop *loop;
	struct reaper *reaper;
	struct loop_timer *guard;
	char dir[32];
	struct stdio_context context;
	struct stdio_spec spec;
	struct stdio *stdio;
	char *error;
	bool ready, drained, left, closed;
	int inputs;
};

static void on_late(void *arg)
{
	(void)arg;
	fail_msg("nothing happens any more");
}

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	memcpy(f->dir, "/tmp/shim-stdio-XXXXXX", sizeof("/tmp/shim-stdio-XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	signal(SIGPIPE, SIG_IGN);
	assert_null(loop_new(&f->loop));
	assert_null(reaper_new(f->loop, &f->reaper));
	f->guard = loop_timer_new(f->loop, on_late, f);
	loop_timer_set(f->guard, 20000);
	f->context = (struct stdio_context){
		.loop = f->loop, .reaper = f->reaper, .ns = "ns", .id = "id"};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stdio_spec_done(&f->spec);
	free(f->error);
	loop_timer_free(f->guard);
	reaper_free(f->reaper);
	loop_free(f->loop);
	assert_null(remove_tree(f->dir));
	free(f);
	return 0;
}

static void on_ready(void *arg, struct err *take_e)
{
	struct fixture *f = arg;

	f->ready = true;
	f->error = take_e ? xstrdup(err_message(take_e)) : NULL;
	err_free(take_e);
	loop_stop(f->loop);
}

static void on_drained(void *arg, bool left)
{
	struct fixture *f = arg;

	f->drained = true;
	f->left = left;
	loop_stop(f->loop);
}

static void on_closed(void *arg)
{
	struct fixture *f = arg;

	f->closed = true;
	loop_stop(f->loop);
}

static void open_stdio(struct fixture *f, const char *in, const char *out, const char *err)
{
	f->spec = (struct stdio_spec){xstrdup(in), xstrdup(out), xstrdup(err), false};
	stdio_open(&f->context, &f->spec, on_ready, f, &f->stdio);
	while (!f->ready)
		loop_run(f->loop);
}

static void close_stdio(struct fixture *f)
{
	stdio_close(f->stdio, on_closed, f);
	while (!f->closed)
		loop_run(f->loop);
}

static char *make_fifo(struct fixture *f, const char *name)
{
	char *path = path_join(f->dir, name);

	assert_int_equal(mkfifo(path, 0600), 0);
	return path;
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	autofree char *file = path_join(f->dir, "file"), *missing = path_join(f->dir, "missing");
	const char *paths[] = {file, missing, "ftp:///x", "/dev/null"};

	assert_null(file_write_atomic(file, "keep", 4, 0600, false));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		for (int way = 0; way < 3; way++) {
			f->ready = f->closed = false;
			open_stdio(f, way == 0 ? paths[i] : "", way == 1 ? paths[i] : "",
				way == 2 ? paths[i] : "");
			assert_non_null(f->error);
			assert_non_null(strstr(f->error, paths[i]));
			free(f->error);
			f->error = NULL;
			close_stdio(f);
			stdio_spec_done(&f->spec);
			f->spec = (struct stdio_spec){0};
		}
	}
}

/* The process writes; nobody ever opened the FIFO: what fits is kept, the drain is bounded. */
static void test_missing_reader(void **state)
{
	struct fixture *f = *state;
	autofree char *out = make_fifo(f, "out");
	char block[65536] = {0};
	int fds[3], reader, writer;

	open_stdio(f, "", out, "");
	assert_null(f->error);
	stdio_child_fds(f->stdio, fds);
	assert_int_equal(fds[0], -1);
	assert_int_equal(fds[2], -1);
	writer = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
	assert_int_equal(write(writer, block, sizeof(block)), (int)sizeof(block));
	stdio_run(f->stdio, -1);
	stdio_process_exited(f->stdio);
	/* Another process still holds the pipe. */
	stdio_wait_drained(f->stdio, 50, on_drained, f);
	while (!f->drained)
		loop_run(f->loop);
	assert_true(f->drained && f->left);
	reader = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(read(reader, block, sizeof(block)), (int)sizeof(block));
	close(reader);
	close(writer);
	close_stdio(f);
}

static void test_end_of_output(void **state)
{
	struct fixture *f = *state;
	autofree char *out = make_fifo(f, "out"), *err = make_fifo(f, "err");
	int fds[3], reader;
	char text[16] = {0};

	open_stdio(f, "", out, err);
	reader = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	stdio_child_fds(f->stdio, fds);
	assert_int_equal(write(fds[1], "hello", 5), 5);
	stdio_run(f->stdio, -1);
	stdio_process_exited(f->stdio);
	stdio_wait_drained(f->stdio, 10000, on_drained, f);
	while (!f->drained)
		loop_run(f->loop);
	assert_false(f->left);
	assert_int_equal(read(reader, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	assert_int_equal(read(reader, text, sizeof(text)), 0);
	close(reader);
	close_stdio(f);
}

static void on_input(void *arg, unsigned events)
{
	struct fixture *f = arg;

	(void)events;
	f->inputs++;
	loop_stop(f->loop);
}

/* A client that leaves is not the end of input; CloseIO is. */
static void test_close_in(void **state)
{
	struct fixture *f = *state;
	autofree char *in = make_fifo(f, "in");
	struct loop_io *io;
	int fds[3], client, reader;
	char text[16] = {0};

	open_stdio(f, in, "", "");
	stdio_child_fds(f->stdio, fds);
	reader = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
	stdio_run(f->stdio, -1);
	client = open(in, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(write(client, "one", 3), 3);
	close(client);
	assert_null(loop_add_io(f->loop, reader, LOOP_READ, on_input, f, &io));
	while (!f->inputs)
		loop_run(f->loop);
	assert_int_equal(read(reader, text, sizeof(text)), 3);
	assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(read(reader, text, sizeof(text)), -1);
	f->inputs = 0;
	stdio_close_in(f->stdio);
	while (!f->inputs)
		loop_run(f->loop);
	assert_int_equal(read(reader, text, sizeof(text)), 0);
	loop_io_remove(io);
	close(reader);
	close_stdio(f);
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	autofree char *uri = xasprintf("file://%s/sub/log", f->dir);
	autofree char *path = xasprintf("%s/sub/log", f->dir), *text = NULL;
	int fds[3];

	open_stdio(f, "", uri, uri);
	assert_null(f->error);
	stdio_child_fds(f->stdio, fds);
	assert_int_equal(write(fds[1], "a", 1), 1);
	assert_int_equal(write(fds[2], "b", 1), 1);
	stdio_run(f->stdio, -1);
	stdio_wait_drained(f->stdio, 10000, on_drained, f);
	while (!f->drained)
		loop_run(f->loop);
	assert_null(file_read(path, 16, &text, &(size_t){0}));
	assert_int_equal(strlen(text), 2);
	close_stdio(f);
}

static void write_logger(struct fixture *f, const char *script, char **ret_path)
{
	*ret_path = path_join(f->dir, "logger");
	assert_null(file_write_atomic(*ret_path, script, strlen(script), 0700, false));
}

static void test_logger(void **state)
{
	struct fixture *f = *state;
	autofree char *path = NULL, *uri = NULL, *got = path_join(f->dir, "got"), *text = NULL;
	int fds[3];

	write_logger(f,
		"#!/bin/sh\nprintf x >&5; exec 5>&-\n"
		"{ echo \"$CONTAINER_NAMESPACE/$CONTAINER_ID $*\"; cat <&3; cat <&4; } > $2\n",
		&path);
	uri = xasprintf("binary-v2://%s?to=%s", path, got);
	open_stdio(f, "", uri, uri);
	assert_null(f->error);
	stdio_child_fds(f->stdio, fds);
	assert_int_equal(write(fds[1], "out\n", 4), 4);
	assert_int_equal(write(fds[2], "err\n", 4), 4);
	stdio_run(f->stdio, -1);
	close_stdio(f);
	assert_null(file_read(got, 1000, &text, &(size_t){0}));
	uri[0] = '\0';
	assert_non_null(strstr(text, "ns/id to "));
	assert_non_null(strstr(text, "out\nerr\n"));
}

static void test_logger_that_dies(void **state)
{
	struct fixture *f = *state;
	autofree char *path = NULL, *uri = NULL;

	write_logger(f, "#!/bin/sh\nexit 1\n", &path);
	uri = xasprintf("binary-v2://%s", path);
	open_stdio(f, "", uri, uri);
	assert_non_null(f->error);
	assert_non_null(strstr(f->error, "did not call ready"));
	close_stdio(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_in, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_logger, setup, teardown),
		cmocka_unit_test_setup_teardown(test_logger_that_dies, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
