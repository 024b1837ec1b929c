// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/strv.h"
#include "shim/flags.h"

static struct err *parse(const char *line, struct flags *ret)
{
	static struct strv argv;

	strv_done(&argv);
	argv = STRV_INIT;
	strv_split(&argv, line, ' ');
	return flags_parse((int)argv.n, strv_argv(&argv), ret);
}

static void test_forms(void **fixture)
{
	static const char *const lines[] = {
		"shim -namespace n -id i -address /a -debug start",
		"shim --namespace n --id=i --address=/a --debug start",
		"shim -namespace=n -id=i -address /a -debug=true -- start",
	};

	(void)fixture;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct flags f;

		assert_null(parse(lines[i], &f));
		assert_string_equal(f.ns, "n");
		assert_string_equal(f.id, "i");
		assert_string_equal(f.address, "/a");
		assert_string_equal(f.action, "start");
		assert_string_equal(f.bundle, "");
		assert_true(f.debug);
		assert_false(f.version);
	}
}

static void test_switches(void **fixture)
{
	struct flags f;

	(void)fixture;
	assert_null(parse("shim -v", &f));
	assert_true(f.version);
	assert_string_equal(f.action, "");
	assert_null(parse("shim -version=0 -info=T", &f));
	assert_false(f.version);
	assert_true(f.info);
}

static void test_errors(void **fixture)
{
	static const struct {
		const char *line, *text;
	} cases[] = {
		{"shim -nope", "flag provided but not defined: -nope"},
		{"shim --nope=1", "flag provided but not defined: -nope"},
		{"shim -id", "flag needs an argument: -id"},
		{"shim -debug=maybe", "invalid boolean value \"maybe\" for -debug: parse error"},
	};

	(void)fixture;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct flags f;
		autoptr(err) e = parse(cases[i].line, &f);

		assert_non_null(e);
		assert_string_equal(err_message(e), cases[i].text);
	}
}

static int teardown(void **fixture)
{
	struct flags f;

	(void)fixture;
	err_free(parse("", &f));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_switches),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
