// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include <string.h>

#include "proto/bootstrap.pb-c.h"
#include "rpc/message.h"
#include "runtime/bootstrap.h"
#include "runtime/shim-binary.h"

static void what_shims_print(void **state)
{
	static const struct {
		const char *text;
		int version; /* 0: refused */
		const char *address;
	} cases[] = {
		{"unix:///run/containerd/s/abc", 2, "unix:///run/containerd/s/abc"},
		{"  unix:///s\n", 2, "unix:///s"},
		{"abstract-name\n", 2, "abstract-name"},
		{"{\"version\":3,\"address\":\"unix:///s\",\"protocol\":\"ttrpc\"}", 3,
			"unix:///s"},
		{"{\"version\":2,\"address\":\"unix:///s\",\"protocol\":\"TTRPC\"}\n", 2,
			"unix:///s"},
		{"{\"version\":2,\"address\":\"unix:///s\"}", 2, "unix:///s"},
		{"", 0, NULL},
		{"\n", 0, NULL},
		{"two words", 0, NULL},
		{"{\"version\":3,\"protocol\":\"ttrpc\"} x", 0, NULL},
		{"{\"version\":3,\"address\":\"\",\"protocol\":\"ttrpc\"}", 0, NULL},
		{"{\"version\":4,\"address\":\"unix:///s\",\"protocol\":\"ttrpc\"}", 0, NULL},
		{"{\"version\":3,\"address\":\"unix:///s\",\"protocol\":\"grpc\"}", 0, NULL},
		{"{\"version\":3,\"address\":\"a b\",\"protocol\":\"ttrpc\"}", 0, NULL},
		{"{\"version\":3,\"address\":7,\"protocol\":\"ttrpc\"} ", 0, NULL},
		{"vsock://3:1024", 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(bootstrap) b = {0};
		autoptr(err) e = bootstrap_parse(cases[i].text, strlen(cases[i].text), &b);

		if ((e == NULL) != (cases[i].version != 0))
			fail_msg("%s: %s", cases[i].text, e ? err_message(e) : "accepted");
		assert_int_equal(cases[i].version, b.version);
		if (cases[i].address)
			assert_string_equal(cases[i].address, b.address);
	}
}

static void the_message_form(void **state)
{
	Bootstrap__BootstrapResult r = BOOTSTRAP__BOOTSTRAP_RESULT__INIT;
	autoptr(arena) arena = arena_new();
	autoval(bootstrap) b = {0};
	size_t len;
	void *data;

	(void)state;
	r.version = 3;
	r.address = (char *)"unix:///run/s/1";
	r.protocol = (char *)"ttrpc";
	data = message_pack(&r, arena, &len);
	assert_null(bootstrap_parse(data, len, &b));
	assert_int_equal(3, b.version);
	assert_string_equal("unix:///run/s/1", b.address);
}

static void generations(void **state)
{
	static const struct {
		const char *text;
		enum shim_input input;
	} cases[] = {
		{"containerd-shim-runc-v2:\n  Version:  1.6.20~ds1\n  Revision: 1\n",
			SHIM_INPUT_OPTIONS},
		{"x:\n  Version:  v1.7.27\n", SHIM_INPUT_OPTIONS},
		{"x:\n  Version:  2.2.0\n", SHIM_INPUT_OPTIONS},
		{"x:\n  Version:  2.3.0-beta.1\n", SHIM_INPUT_PARAMS},
		{"x:\n  Version:  v2.10.1\n", SHIM_INPUT_PARAMS},
		{"x:\n  Version:  2.4.0+c0.1.0\n", SHIM_INPUT_PARAMS},
		{"x:\n  Version:  2.2.0+c0.1.0\n", SHIM_INPUT_PARAMS},
		{"x:\n  Version:  2.2.0+unknown\n", SHIM_INPUT_OPTIONS},
		{"x:\n  Version:  3.0\n", SHIM_INPUT_PARAMS},
		{"x:\n  Version:  \n  Revision: 2.3\n", SHIM_INPUT_UNKNOWN},
		{"Kata Containers containerd shim, version: 3.2\n", SHIM_INPUT_UNKNOWN},
		{"", SHIM_INPUT_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(cases[i].input, shim_input_of_version(cases[i].text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_shims_print),
		cmocka_unit_test(the_message_form),
		cmocka_unit_test(generations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
