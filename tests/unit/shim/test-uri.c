// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "shim/uri.h"

static const struct {
	const char *text;
	enum uri_scheme scheme;
	const char *path, *args; /* args joined by | */
} good[] = {
	{"/run/fifo/a", URI_FIFO, "/run/fifo/a", ""},
	{"/with%41?x=1", URI_FIFO, "/with%41?x=1", ""},
	{"fifo:///run/a", URI_FIFO, "/run/a", ""},
	{"file:///var/log/a%20b", URI_FILE, "/var/log/a b", ""},
	{"binary:///bin/l?k=v&a=b%26c&k=second", URI_BINARY, "/bin/l", "k|v|a|b&c"},
	{"binary:///bin/l?flag&x=1+2", URI_BINARY, "/bin/l", "flag||x|1 2"},
	{"binary-v2:///bin/l", URI_BINARY_V2, "/bin/l", ""},
	{"binary:///bin/l?", URI_BINARY, "/bin/l", ""},
};

static void test_good(void **fixture)
{
	(void)fixture;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		autoval(uri) u = {0};
		autofree char *args = NULL;

		assert_null(uri_parse(good[i].text, &u));
		args = strv_join(&u.args, "|");
		assert_int_equal(u.scheme, good[i].scheme);
		assert_string_equal(u.path, good[i].path);
		assert_string_equal(args, good[i].args);
	}
}

static void test_bad(void **fixture)
{
	static const char *const bad[] = {"ftp:///x", "file://relative", "binary:///x%zz",
		"binary:///x%4", "file:///a%00b", "binary:///x?k=%", "binary://"};

	(void)fixture;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoval(uri) u = {0};
		autoptr(err) e = uri_parse(bad[i], &u);

		assert_true(err_is(e, ERR_INVALID));
		assert_non_null(strstr(err_message(e), bad[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
