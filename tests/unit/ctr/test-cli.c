// SPDX-License-Identifier: Apache-2.0
/* Reading command lines by tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "ctr/cli-internal.h"

const char ctr_version[] = "v0", ctr_revision[] = "r0", ctr_package[] = "test";

static const struct flag flags[] = {
	{"quiet, q", "", FLAG_BOOL},
	{"name, n", "", FLAG_STRING, "default", "TEST_NAME"},
	{"env", "", FLAG_LIST},
	{"limit", "", FLAG_UINT},
	{"quota", "", FLAG_INT, "-1"},
	{"cpus", "", FLAG_FLOAT},
	{"expires, x", "", FLAG_DURATION, "24h"},
	FLAGS_END,
};

static const struct command loose = {.name = "loose", .flags = {flags}};
static const struct command strict = {.name = "strict", .flags = {flags}, .ends_flags = true};

/* Words are separated by '|'; the arguments that are left are joined by it. */
static struct err *parse(
	struct invocation *in, const struct command *command, const char *line, bool *help)
{
	autoval(strv) words = STRV_INIT;
	int used;

	strv_split(&words, line, '|');
	TRY(level_open(in, command));
	return level_parse(in, (int)words.n, strv_argv(&words), &used, help);
}

static void check_args(const char *line, const struct command *command, const char *want)
{
	autoval(invocation) in = {0};
	bool help = false;
	autoptr(err) e = parse(&in, command, line, &help);
	autofree char *got = strv_join(&in.args, "|");

	if (e)
		print_error("%s: %s\n", line, err_message(e));
	assert_null(e);
	assert_string_equal(got, want);
}

static void test_values(void **state)
{
	autoval(invocation) in = {0};
	bool help = false;

	assert_null(parse(&in, &loose,
		"-quiet|--name=a=b|--env|A=1|-env=B=2|--limit|0x10|--quota|-5|--cpus|1.5|-x|90s|"
		"arg",
		&help));
	assert_true(flag_bool(&in, "quiet"));
	assert_string_equal(flag_string(&in, "name"), "a=b");
	assert_int_equal(flag_list(&in, "env")->n, 2);
	assert_string_equal(flag_list(&in, "env")->items[1], "B=2");
	assert_int_equal(flag_uint(&in, "limit"), 16);
	assert_int_equal(flag_int(&in, "quota"), -5);
	assert_true(flag_float(&in, "cpus") > 1.49 && flag_float(&in, "cpus") < 1.51);
	assert_true(flag_duration(&in, "expires") == 90000000000);
	assert_string_equal(arg(&in, 0), "arg");
	assert_string_equal(arg(&in, 1), "");
	assert_false(help);
}

static void test_defaults(void **state)
{
	autoval(invocation) in = {0};
	bool help = false;

	assert_null(parse(&in, &loose, "", &help));
	assert_false(flag_bool(&in, "quiet"));
	assert_string_equal(flag_string(&in, "name"), "default");
	assert_false(flag_is_set(&in, "name"));
	assert_int_equal(flag_list(&in, "env")->n, 0);
	assert_int_equal(flag_int(&in, "quota"), -1);
	assert_true(flag_duration(&in, "expires") == (int64_t)24 * 3600 * 1000000000);
	assert_string_equal(flag_string(&in, "unknown"), "");
}

static void test_environment(void **state)
{
	autoval(invocation) in = {0}, over = {0};
	bool help = false;

	setenv("TEST_NAME", "from-env", 1);
	assert_null(parse(&in, &loose, "", &help));
	assert_string_equal(flag_string(&in, "name"), "from-env");
	assert_true(flag_is_set(&in, "name"));
	assert_null(parse(&over, &loose, "-n|given", &help));
	assert_string_equal(flag_string(&over, "name"), "given");
	unsetenv("TEST_NAME");
}

static void test_order(void **state)
{
	static const struct {
		const char *line;
		const struct command *command;
		const char *args;
	} cases[] = {
		{"a|b", &loose, "a|b"},
		{"a|-q|b", &loose, "a|b"},
		{"a|--name|x|b", &loose, "a|b"},
		{"a|--other|b", &loose, "a|--other|b"},
		{"-q|--|-q|b", &loose, "-q|b"},
		{"a|--|-q", &loose, "a|-q"},
		{"-|a", &loose, "-|a"},
		{"-q|sh|-c|-q", &strict, "sh|-c|-q"},
		{"sh|--name", &strict, "sh|--name"},
		{"--|-q|b", &strict, "-q|b"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_args(cases[i].line, cases[i].command, cases[i].args);
}

static void test_errors(void **state)
{
	static const struct {
		const char *line, *message;
	} cases[] = {
		{"--foo", "flag provided but not defined: -foo"},
		{"-foo=1", "flag provided but not defined: -foo"},
		{"---q", "bad flag syntax: ---q"},
		{"-=x", "bad flag syntax: -=x"},
		{"--name", "flag needs an argument: -name"},
		{"--quiet=maybe", "invalid boolean value \"maybe\" for -quiet: parse error"},
		{"--limit|abc", "invalid value \"abc\" for flag -limit: parse error"},
		{"--limit|-1", "invalid value \"-1\" for flag -limit: parse error"},
		{"--limit|99999999999999999999", "invalid value \"99999999999999999999\" for flag "
						 "-limit: value out of range"},
		{"--limit=", "invalid value \"\" for flag -limit: parse error"},
		{"--quota|1x", "invalid value \"1x\" for flag -quota: parse error"},
		{"-x|soon", "invalid value \"soon\" for flag -x: parse error"},
		{"--cpus|many", "invalid value \"many\" for flag -cpus: parse error"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(invocation) in = {0};
		bool help = false;
		autoptr(err) e = parse(&in, &strict, cases[i].line, &help);

		assert_non_null(e);
		assert_string_equal(err_message(e), cases[i].message);
	}
}

static void test_help_flag(void **state)
{
	static const char *const lines[] = {"-h", "--help", "-q|-h"};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		autoval(invocation) in = {0};
		bool help = false;

		assert_null(parse(&in, &strict, lines[i], &help));
		assert_true(help);
	}
}

static void test_names(void **state)
{
	static const struct command commands[] = {
		{.name = "delete", .aliases = "del, remove, rm"},
		{.name = "list", .aliases = "ls"},
		COMMANDS_END,
	};

	assert_ptr_equal(command_find(commands, "delete"), &commands[0]);
	assert_ptr_equal(command_find(commands, "rm"), &commands[0]);
	assert_ptr_equal(command_find(commands, "ls"), &commands[1]);
	assert_null(command_find(commands, "l"));
	assert_null(command_find(commands, "rem"));
	assert_null(command_find(commands, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_help_flag),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
