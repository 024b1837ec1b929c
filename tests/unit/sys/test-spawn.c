// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/timestamp.h"
#include "sys/spawn.h"

#define OK(expr)                                                                                   \
	do {                                                                                       \
		autoptr(err) ok_err_ = (expr);                                                     \
		if (ok_err_)                                                                       \
			fail_msg("%s", err_message(ok_err_));                                      \
	} while (0)
#define LONG_MS 20000

static int64_t soon(int64_t ms)
{
	return monotonic_ms() + ms;
}

static struct spawn_options shell(char **argv, const char *script)
{
	static char sh[] = "sh", dash_c[] = "-c";

	argv[0] = sh;
	argv[1] = dash_c;
	argv[2] = (char *)(uintptr_t)script;
	argv[3] = NULL;
	return (struct spawn_options){.path = "sh", .argv = argv};
}

static void expect_output(struct spawn_options *o, const char *input, const char *want)
{
	autoval(spawn_result) r = {0};

	OK(spawn_run(o, input, input ? strlen(input) : 0, 4096, soon(LONG_MS), NULL, &r));
	assert_string_equal(r.out, want);
	assert_int_equal(r.out_len, strlen(want));
	assert_true(WIFEXITED(r.status));
}

static void collects_output_and_status(void **state)
{
	autoval(spawn_result) r = {0};
	char *argv[4];
	struct spawn_options o = shell(argv, "cat; echo no >&2; exit 3");

	OK(spawn_run(&o, "hello", 5, 4096, soon(LONG_MS), NULL, &r));
	assert_string_equal(r.out, "hello");
	assert_string_equal(r.err_out, "no\n");
	assert_int_equal(WEXITSTATUS(r.status), 3);
}

static void bounds_output(void **state)
{
	autoval(spawn_result) r = {0};
	char *argv[4];
	struct spawn_options o = shell(argv, "head -c 300000 /dev/zero; echo end >&2");

	OK(spawn_run(&o, NULL, 0, 1000, soon(LONG_MS), NULL, &r));
	assert_int_equal(r.out_len, 1000);
	assert_string_equal(r.err_out, "end\n");
	assert_int_equal(r.status, 0);
}

static void missing_program_is_not_found(void **state)
{
	static const char *const paths[] = {"/no/such/program", "no-such-program-anywhere"};
	char name[] = "x";
	char *argv[] = {name, NULL};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct spawn_options o = {.path = paths[i], .argv = argv};
		struct child c;
		autoptr(err) e = spawn(&o, &c);

		assert_true(err_is(e, ERR_NOT_FOUND));
		assert_non_null(strstr(err_message(e), paths[i]));
	}
}

static void uses_directory_and_environment(void **state)
{
	char path[] = "PATH=/bin:/usr/bin", greeting[] = "GREETING=hi there";
	char *env[] = {path, greeting, NULL};
	char *argv[4];
	struct spawn_options o = shell(argv, "pwd; echo $GREETING; echo ${HOME-unset}");
	struct child c;

	o.cwd = "/usr";
	o.env = env;
	expect_output(&o, NULL, "/usr\nhi there\nunset\n");
	o.cwd = "/no/such/directory";
	{
		autoptr(err) e = spawn(&o, &c);

		assert_true(err_is(e, ERR_PRECONDITION));
		assert_non_null(strstr(err_message(e), "/no/such/directory"));
	}
}

/* A descriptor that holds the given text. */
static int text_fd(const char *text)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
	close(ends[1]);
	return ends[0];
}

static void descriptors_can_swap(void **state)
{
	autofd a = text_fd("a");
	autofd b = text_fd("b");
	struct spawn_fd fds[] = {{a, b}, {b, a}, {a, 9}};
	char *argv[4];
	autofree char *script = xasprintf("cat <&%d; cat <&%d; cat <&9", a, b);
	struct spawn_options o = shell(argv, script);

	assert_true(a < 9 && b < 9);
	o.fds = fds;
	o.n_fds = 2;
	expect_output(&o, NULL, "ba");
	/* A descriptor can be kept under its own number. */
	{
		autofd c = text_fd("c");
		struct spawn_fd same = {c, c};
		autofree char *cat = xasprintf("cat <&%d", c);

		o = shell(argv, cat);
		o.fds = &same;
		o.n_fds = 1;
		expect_output(&o, NULL, "c");
	}
}

static void leaks_no_descriptor(void **state)
{
	/* Both without close-on-exec: one in a gap between targets, one above them. */
	int low = fcntl(STDERR_FILENO, F_DUPFD, 5);
	int high = fcntl(STDERR_FILENO, F_DUPFD, 50);
	autofd from = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct spawn_fd fd = {from, 20};
	char *argv[4];
	struct spawn_options o =
		shell(argv, "for f in /proc/$$/fd/*; do test -e $f && f=${f##*/} && "
			    "test $f -lt 10 -o $f -gt 19 && echo $f; done;"
			    "readlink /proc/$$/fd/0");

	assert_true(low >= 5 && low < 20 && high >= 50);
	o.fds = &fd;
	o.n_fds = 1;
	expect_output(&o, NULL, "0\n1\n2\n20\n/dev/null\n");
	close(low);
	close(high);
}

static void signals_are_default(void **state)
{
	char *argv[4];
	struct spawn_options o = shell(argv, "grep -E '^Sig(Blk|Ign):' /proc/self/status");
	sigset_t set;
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	expect_output(&o, NULL, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGPIPE, old);
}

static void deadline_kills(void **state)
{
	char *argv[4];
	struct spawn_options o = shell(argv, "exec sleep 100");
	struct child c;
	int status = 0;
	pid_t pid;

	o.new_group = true;
	OK(spawn(&o, &c));
	pid = c.pid;
	assert_int_equal(getpgid(pid), pid);
	{
		autoptr(err) e = child_wait(&c, soon(30), NULL, &status);

		assert_true(err_is(e, ERR_DEADLINE));
	}
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(c.pidfd, -1);
}

static void cancel_kills(void **state)
{
	autoptr(cancel) cancel = cancel_new();
	autoval(spawn_result) r = {0};
	char *argv[4];
	struct spawn_options o = shell(argv, "exec sleep 100");
	autoptr(err) e = NULL;

	cancel_fire(cancel, ERR_CANCELLED);
	e = spawn_run(&o, NULL, 0, 10, -1, cancel, &r);
	assert_true(err_is(e, ERR_CANCELLED));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* Somebody the child left behind may hold its pipes for long. */
static void exit_ends_the_wait(void **state)
{
	autoval(spawn_result) r = {0};
	char *argv[4];
	struct spawn_options o = shell(argv, "sleep 100 & echo $!");
	int64_t start = monotonic_ms();

	OK(spawn_run(&o, NULL, 0, 100, soon(LONG_MS), NULL, &r));
	assert_true(monotonic_ms() - start < LONG_MS / 2);
	assert_int_equal(kill((pid_t)strtol(r.out, NULL, 10), SIGKILL), 0);
}

static void wait_reports_signals(void **state)
{
	char *argv[4];
	struct spawn_options o = shell(argv, "kill -9 $$");
	struct child c;
	int status = 0;

	OK(spawn(&o, &c));
	OK(child_wait(&c, soon(LONG_MS), NULL, &status));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(collects_output_and_status),
		cmocka_unit_test(bounds_output),
		cmocka_unit_test(missing_program_is_not_found),
		cmocka_unit_test(uses_directory_and_environment),
		cmocka_unit_test(descriptors_can_swap),
		cmocka_unit_test(leaks_no_descriptor),
		cmocka_unit_test(signals_are_default),
		cmocka_unit_test(deadline_kills),
		cmocka_unit_test(cancel_kills),
		cmocka_unit_test(exit_ends_the_wait),
		cmocka_unit_test(wait_reports_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
