// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "shim/runtime.h"

static void test_last_error(void **fixture)
{
	static const struct {
		const char *log, *error;
	} cases[] = {
		{"", NULL},
		{"{\"level\":\"warning\",\"msg\":\"w\"}\n", NULL},
		{"{\"level\":\"error\",\"msg\":\"one\"}\n{\"level\":\"error\",\"msg\":\"two "
		 "\\n\"}\n",
			"two"},
		{"{\"level\":\"error\",\"msg\":\"one\"}\n{\"level\":\"info\",\"msg\":\"x\"}",
			"one"},
		{"garbage\n{\"level\":\"error\",\"msg\":\"after\"}\n{\"level\":\"err", "after"},
		{"[1]\n{\"level\":\"error\",\"msg\":7}\n", NULL},
	};

	(void)fixture;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *e = runtime_last_error(cases[i].log, strlen(cases[i].log));

		if (cases[i].error)
			assert_string_equal(e, cases[i].error);
		else
			assert_null(e);
	}
}

struct run {
	struct loop *loop;
	struct reaper *reaper;
	char dir[32];
	char *error; /* of runtime_error(), NULL for success */
	char *plain;
	char *output;
};

static void on_result(void *arg, const struct runtime_result *r)
{
	struct run *run = arg;
	autoptr(err) e = runtime_error(r, "OCI runtime create failed");
	autoptr(err) plain = runtime_plain_error(r);

	run->error = e ? xstrdup(err_message(e)) : NULL;
	run->plain = plain ? xstrdup(err_message(plain)) : NULL;
	run->output = xstrdup(r->output);
	loop_stop(run->loop);
}

/* Runs a script as if it were the runtime. */
static void run_runtime(struct run *run, const char *binary, const char *script)
{
	struct runtime_call call = {.fn = on_result, .arg = run, .input = "in", .input_len = 2};
	autofree char *path = xasprintf("%s/runtime.sh", run->dir);
	struct runtime rt;

	free(run->error);
	free(run->plain);
	free(run->output);
	if (script)
		assert_null(file_write_atomic(path, script, strlen(script), 0700, false));
	runtime_init(&rt, binary ? binary : path, run->dir, "ns", run->dir, false);
	runtime_argv(&rt, &call.argv);
	strv_add(&call.argv, "create");
	runtime_start(run->loop, run->reaper, &rt, &call);
	loop_run(run->loop);
	runtime_done(&rt);
}

static void test_outcomes(void **fixture)
{
	struct run run = {.dir = "/tmp/shim-runtime-XXXXXX"};
	autofree char *text = NULL;

	(void)fixture;
	assert_non_null(mkdtemp(run.dir));
	assert_null(loop_new(&run.loop));
	assert_null(reaper_new(run.loop, &run.reaper));

	run_runtime(&run, NULL, "#!/bin/sh\necho \"$*\"; cat\n");
	assert_null(run.error);
	text = xasprintf(
		"--root %s/ns --log %s/log.json --log-format json create\nin", run.dir, run.dir);
	assert_string_equal(run.output, text);

	/* What an earlier command left in the log is not this one's error. */
	run_runtime(&run, NULL,
		"#!/bin/sh\necho '{\"level\":\"error\",\"msg\":\"first\"}' >> $4; exit 1\n");
	assert_string_equal(run.error, "OCI runtime create failed: first");
	run_runtime(&run, NULL, "#!/bin/sh\necho words; exit 2\n");
	assert_non_null(strstr(
		run.error, "runtime.sh did not terminate successfully: exit status 2: words"));

	run_runtime(&run, NULL, "#!/bin/sh\nexit 127\n");
	assert_non_null(strstr(run.error, "exit status 127 (command not found"));
	run_runtime(&run, NULL, "#!/bin/sh\nkill -9 $$\n");
	assert_non_null(strstr(run.plain, "exit status 137"));

	run_runtime(&run, "no-such-runtime", NULL);
	assert_string_equal(run.error,
		"OCI runtime create failed: exec: \"no-such-runtime\": executable file not found "
		"in $PATH: install it, or name another runtime");

	/* Output without end is cut off, and does not stop the command. */
	run_runtime(&run, NULL, "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x; exit 3\n");
	assert_true(strlen(run.output) <= 16384);
	assert_non_null(strstr(run.plain, "exit status 3"));

	free(run.error);
	free(run.plain);
	free(run.output);
	reaper_free(run.reaper);
	loop_free(run.loop);
	assert_null(remove_tree(run.dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_error),
		cmocka_unit_test(test_outcomes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
