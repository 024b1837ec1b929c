// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "daemon/config.h"

struct files {
	char *dir;
};

static int setup(void **state)
{
	struct files *f = NEW(struct files);
	char dir[] = "/tmp/test-config-XXXXXX";

	f->dir = xstrdup(mkdtemp(dir));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct files *f = *state;

	err_free(remove_tree(f->dir));
	free(f->dir);
	free(f);
	return 0;
}

static char *put(struct files *f, const char *name, const char *text)
{
	char *path = path_join(f->dir, name);
	struct err *e = file_write_atomic(path, text, strlen(text), 0600, false);

	assert_null(e);
	return path;
}

/* The same setting as each version of the format has it. */
static void test_versions(void **state)
{
	static const char *const texts[] = {
		"[grpc]\naddress='/x'\n[plugins.scheduler]\npause_threshold=0.1",
		"version=2\n[grpc]\naddress='/x'\n[plugins.\"io.containerd.gc.v1.scheduler\"]\n"
		"pause_threshold=0.1",
		"version=3\n[grpc]\naddress='/x'\n[plugins.'io.containerd.gc.v1.scheduler']\n"
		"pause_threshold=0.1",
		"version=4\n[plugins.'io.containerd.server.v1.grpc']\naddress='/x'\n"
		"[plugins.'io.containerd.gc.v1.scheduler']\npause_threshold=0.1",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		autofree char *path = put(*state, "config.toml", texts[i]);
		autoval(strv) unknown = STRV_INIT;
		autoval(config) c = {0};

		config_init(&c);
		assert_null(config_load(&c, path, &unknown));
		assert_string_equal(c.address, "/x");
		assert_true(c.gc_pause_threshold > 0.09 && c.gc_pause_threshold < 0.11);
		assert_int_equal(unknown.n, 0);
		assert_null(config_check(&c));
	}
}

static void test_unknown_keys_are_named(void **state)
{
	autofree char *path =
		put(*state, "config.toml", "version=2\nfoo=1\n[debug]\nlevel='info'\nbar='x'");
	autofree char *want1 = xasprintf("%s:2: foo", path);
	autofree char *want2 = xasprintf("%s:5: debug/bar", path);
	autoval(strv) unknown = STRV_INIT;
	autoval(config) c = {0};

	config_init(&c);
	assert_null(config_load(&c, path, &unknown));
	assert_int_equal(unknown.n, 2);
	assert_string_equal(unknown.items[0], want1);
	assert_string_equal(unknown.items[1], want2);
}

static void test_imports(void **state)
{
	autofree char *b = put(*state, "b.toml",
		"root='/b'\nimports=['config.toml','c*.toml']\n"
		"disabled_plugins=['io.x.a','io.x.b']");
	autofree char *path = put(*state, "config.toml",
		"root='/a'\nstate='/s'\nimports=['b.toml']\ndisabled_plugins=['io.x.a']");
	autoval(strv) unknown = STRV_INIT;
	autoval(config) c = {0};

	config_init(&c);
	assert_null(config_load(&c, path, &unknown));
	assert_string_equal(c.root, "/b");
	assert_string_equal(c.state, "/s");
	assert_int_equal(c.disabled_plugins.n, 2);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"root = 1", ":1: root: expected a string, found an integer"},
		{"version = 9", ":1: version: 9 is not known here, the newest is 4"},
		{"oom_score = 'x'", ":1: oom_score: expected an integer, found a string"},
		{"imports = 'x'", ":1: imports: expected an array of strings, found a string"},
		{"[timeouts]\n'io.containerd.timeout.shim.load'='5 apples'",
			":2: timeouts/io.containerd.timeout.shim.load: \"5 apples\" is not a "
			"duration "
			"such as \"1h15m30s\" or \"500ms\""},
		{"root = ", ":1: expected a value"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *path = put(*state, "config.toml", cases[i].text);
		autofree char *want = xasprintf("%s%s", path, cases[i].message);
		autoval(strv) unknown = STRV_INIT;
		autoval(config) c = {0};
		autoptr(err) e = NULL;

		config_init(&c);
		e = config_load(&c, path, &unknown);
		assert_non_null(e);
		assert_string_equal(err_message(e), want);
	}
}

/* What is printed can be read again and says the same. */
static void test_print_round_trip(void **state)
{
	autofree char *text = NULL;
	autofree char *again = NULL;
	size_t len;

	for (int i = 0; i < 2; i++) {
		autoval(config) c = {0};
		char **to = i ? &again : &text;
		FILE *out = open_memstream(to, &len);

		config_init(&c);
		if (i) {
			autofree char *path = put(*state, "config.toml", text);
			autoval(strv) unknown = STRV_INIT;

			assert_null(config_load(&c, path, &unknown));
			assert_int_equal(unknown.n, 0);
		}
		config_print(&c, out);
		fclose(out);
	}
	assert_string_equal(text, again);
}

static void test_check(void **state)
{
	autoval(config) c = {0};
	autoptr(err) e = NULL;

	config_init(&c);
	free(c.state);
	c.state = xstrdup(c.root);
	e = config_check(&c);
	assert_string_equal(err_message(e), "root and state must be different paths");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_keys_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(test_imports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_print_round_trip, setup, teardown),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
