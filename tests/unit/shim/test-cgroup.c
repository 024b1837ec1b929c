// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "shim/cgroup.h"

static void test_values(void **fixture)
{
	const char *text = "low 1\nhigh 22\nhigher 3\nmax max\nneg -5\nlast 18446744073709551615\n";

	(void)fixture;
	assert_int_equal(cgroup_value(text, "low"), 1);
	assert_int_equal(cgroup_value(text, "high"), 22);
	assert_int_equal(cgroup_value(text, "max"), UINT64_MAX);
	assert_int_equal(cgroup_value(text, "neg"), 0);
	assert_int_equal(cgroup_value(text, "last"), UINT64_MAX);
	assert_int_equal(cgroup_value(text, "hig"), 0);
	assert_int_equal(cgroup_value("", "x"), 0);
	assert_int_equal(cgroup_value(NULL, "x"), 0);
}

static void test_own_group(void **fixture)
{
	autoptr(cgroup) c = NULL;
	autoptr(err) e = cgroup_of(getpid(), &c);
	autofree pid_t *pids = NULL;
	size_t n = 0;
	bool found = false;

	(void)fixture;
	if (e)
		skip(); /* no cgroups are mounted here */
	assert_true(cgroup_exists(c));
	assert_null(cgroup_pids(c, &pids, &n));
	for (size_t i = 0; i < n; i++)
		found = found || pids[i] == getpid();
	assert_true(found);
}

static void test_names(void **fixture)
{
	autoptr(cgroup) c = NULL;
	struct err *e = cgroup_named("/no/such/group", &c);

	(void)fixture;
	assert_true(err_is(e, ERR_NOT_FOUND));
	err_free(e);
	e = cgroup_named("/../../etc", &c);
	assert_true(err_is(e, ERR_INVALID));
	err_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_own_group),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
