// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/bootstrap.pb-c.h"
#include "proto/runc-options.pb-c.h"
#include "rpc/message.h"
#include "shim/bootstrap.h"

static const struct flags flags = {.ns = "ns", .id = "id", .address = "/cli.sock"};

static void test_nothing_and_garbage(void **fixture)
{
	static const char *const inputs[] = {"", "\xff\xff\xff", "\x0a\xff"};

	(void)fixture;
	for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
		autoval(start_input) in = {0};

		start_input_parse(inputs[i], __builtin_strlen(inputs[i]), &flags, &in);
		assert_false(in.is_bootstrap);
		assert_string_equal(in.address, "/cli.sock");
		assert_string_equal(in.options.shim_cgroup, "");
	}
}

static Google__Protobuf__Any *options_any(struct arena *a)
{
	Runc__Options o = RUNC__OPTIONS__INIT;

	o.shim_cgroup = arena_strdup(a, "/pods");
	return message_to_any(&o, a);
}

/* The Any of older daemons also parses as parameters: the identity tells. */
static void test_any(void **fixture)
{
	autoptr(arena) a = arena_new();
	autoval(start_input) in = {0};
	size_t len;
	void *packed = message_pack(options_any(a), a, &len);

	(void)fixture;
	start_input_parse(packed, len, &flags, &in);
	assert_false(in.is_bootstrap);
	assert_string_equal(in.options.shim_cgroup, "/pods");
}

static void parse_params(const char *id, const char *ns, struct arena *a, struct start_input *ret)
{
	Bootstrap__BootstrapParams p = BOOTSTRAP__BOOTSTRAP_PARAMS__INIT;
	Bootstrap__Extension extension = BOOTSTRAP__EXTENSION__INIT;
	Bootstrap__Extension *extensions[] = {&extension};
	size_t len;
	void *packed;

	extension.value = options_any(a);
	p.instance_id = arena_strdup(a, id);
	p.namespace_ = arena_strdup(a, ns);
	p.log_level = BOOTSTRAP__LOG_LEVEL__LOG_LEVEL_DEBUG;
	p.containerd_grpc_address = arena_strdup(a, "/params.sock");
	p._socket_dir_case = BOOTSTRAP__BOOTSTRAP_PARAMS___SOCKET_DIR_SOCKET_DIR;
	p.socket_dir = arena_strdup(a, "/run/elsewhere");
	p.extensions = extensions;
	p.n_extensions = 1;
	packed = message_pack(&p, a, &len);
	start_input_parse(packed, len, &flags, ret);
}

static void test_params(void **fixture)
{
	autoptr(arena) a = arena_new();
	autoval(start_input) in = {0}, other = {0};

	(void)fixture;
	parse_params("id", "ns", a, &in);
	assert_true(in.is_bootstrap);
	assert_true(in.debug);
	assert_string_equal(in.address, "/params.sock");
	assert_string_equal(in.socket_dir, "/run/elsewhere");
	assert_string_equal(in.options.shim_cgroup, "/pods");
	parse_params("another", "ns", a, &other);
	assert_false(other.is_bootstrap);
	assert_string_equal(other.socket_dir, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_and_garbage),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_params),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
