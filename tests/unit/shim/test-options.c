// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/fs.h"
#include "base/strv.h"
#include "proto/runc-options.pb-c.h"
#include "rpc/message.h"
#include "shim/options.h"

static void test_round_trip(void **fixture)
{
	char dir[] = "/tmp/shim-options-XXXXXX";
	autoptr(arena) a = arena_new();
	Runc__Options m = RUNC__OPTIONS__INIT;
	autoval(options) o = {0}, back = {0};
	autofree char *runtime = NULL, *text = NULL;

	(void)fixture;
	assert_non_null(mkdtemp(dir));
	m.binary_name = arena_strdup(a, "/usr/bin/crun");
	m.root = arena_strdup(a, "/run/r");
	m.systemd_cgroup = m.no_new_keyring = 1;
	m.io_uid = 4294967295u;
	assert_null(options_from_any(message_to_any(&m, a), &o));
	assert_null(options_save(&o, dir));
	assert_null(options_load(dir, &back));
	assert_string_equal(back.binary_name, "/usr/bin/crun");
	assert_string_equal(back.root, "/run/r");
	assert_string_equal(back.shim_cgroup, "");
	assert_true(back.systemd_cgroup && back.no_new_keyring && !back.no_pivot_root);
	assert_int_equal(back.io_uid, 4294967295u);
	runtime = path_join(dir, "runtime");
	assert_null(file_read(runtime, 100, &text, &(size_t){0}));
	assert_string_equal(text, "/usr/bin/crun");
	assert_null(remove_tree(dir));
}

static void test_defaults(void **fixture)
{
	autoval(options) none = {0}, missing = {0};

	(void)fixture;
	assert_null(options_from_any(NULL, &none));
	assert_string_equal(none.binary_name, "");
	assert_null(options_load("/nonexistent", &missing));
	assert_string_equal(missing.root, "");
}

static void test_refused(void **fixture)
{
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	uint8_t garbage[] = {0xff, 0xff, 0xff};
	autoval(options) other = {0}, broken = {0};
	struct err *e;

	(void)fixture;
	any.type_url = (char[]){"runtimeoptions.v1.Options"};
	any.value.data = garbage;
	any.value.len = sizeof(garbage);
	e = options_from_any(&any, &other);
	assert_true(err_is(e, ERR_INVALID));
	err_free(e);
	any.type_url = (char[]){"containerd.runc.v1.Options"};
	e = options_from_any(&any, &broken);
	assert_true(err_is(e, ERR_INVALID));
	err_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
