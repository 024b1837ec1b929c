// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/reference.h"

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DIGEST "sha256:" HEX64

static void parses_full_names(void **state)
{
	static const struct {
		const char *text, *host, *path, *tag, *digest;
	} cases[] = {
		{"docker.io/library/alpine:3.18", "docker.io", "library/alpine", "3.18", ""},
		{"docker.io/library/alpine", "docker.io", "library/alpine", "", ""},
		{"localhost:5000/a/b_c/d--e:T.a-g_1", "localhost:5000", "a/b_c/d--e", "T.a-g_1",
			""},
		{"registry/x@" DIGEST, "registry", "x", "", DIGEST},
		{"registry.example/x:tag@" DIGEST, "registry.example", "x", "tag", DIGEST},
		{"[::1]:5000/x:1", "[::1]:5000", "x", "1", ""},
		{"192.168.0.1/x__y.z", "192.168.0.1", "x__y.z", "", ""},
		{"UPPER-host.Example/x", "UPPER-host.Example", "x", "", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(reference) r = REFERENCE_INIT;
		autofree char *again = NULL;
		autofree char *name = NULL;
		autoptr(err) e = reference_parse(cases[i].text, &r);

		if (e)
			fail_msg("%s: %s", cases[i].text, err_message(e));
		assert_string_equal(r.host, cases[i].host);
		assert_string_equal(r.path, cases[i].path);
		assert_string_equal(r.tag, cases[i].tag);
		assert_string_equal(r.digest, cases[i].digest);
		name = xasprintf("%s/%s", r.host, r.path);
		assert_string_equal(r.name, name);
		again = reference_format(&r);
		assert_string_equal(again, cases[i].text);
	}
}

static void completes_short_names(void **state)
{
	static const struct {
		const char *text, *full;
	} cases[] = {
		{"alpine", "docker.io/library/alpine:latest"},
		{"alpine:3", "docker.io/library/alpine:3"},
		{"me/app", "docker.io/me/app:latest"},
		{"docker.io/alpine", "docker.io/library/alpine:latest"},
		{"index.docker.io/alpine:1", "docker.io/library/alpine:1"},
		{"localhost/app", "localhost/app:latest"},
		{"host:5000/app", "host:5000/app:latest"},
		{"example.com/a/b:1", "example.com/a/b:1"},
		{"Host/app", "Host/app:latest"},
		{"alpine@" DIGEST, "docker.io/library/alpine@" DIGEST},
		{"alpine:3@" DIGEST, "docker.io/library/alpine@" DIGEST},
		{"quay.io/a/b:t@" DIGEST, "quay.io/a/b@" DIGEST},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(reference) r = REFERENCE_INIT;
		autofree char *full = NULL;
		autoptr(err) e = reference_parse_short(cases[i].text, &r);

		if (e)
			fail_msg("%s: %s", cases[i].text, err_message(e));
		full = reference_format(&r);
		assert_string_equal(full, cases[i].full);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = {"", ":", "@", "a:", "a@", "/a", "a/", "a//b", "a/-b",
		"a/b-", "a/b..c", "a/b___c", "a/b._c", "docker.io/Upper", "docker.io/x:-tag",
		"docker.io/x:ta g", "docker.io/x@sha256:abc", "docker.io/x@sha256:" HEX64 "0",
		"docker.io/x@nope:" HEX64, "host:port/x", "-host/x:1.y/z", "host-.io/x",
		"http://a/b", "docker.io/x\n", "docker.io/\xc3\xa9", "docker.io/x:t:u", "[::1/x",
		"a.b/x@" DIGEST ":1", "../x", "docker.io/../x", "docker.io/./x"};
	char long_tag[200] = "docker.io/x:";
	char long_path[300] = "docker.io/";

	memset(long_tag + 12, 'a', 129);
	memset(long_path + 10, 'a', 256);
	for (size_t i = 0; i < ARRAY_LEN(bad) + 2; i++) {
		const char *text = i < ARRAY_LEN(bad)	 ? bad[i]
				   : i == ARRAY_LEN(bad) ? long_tag
							 : long_path;
		autoval(reference) r = REFERENCE_INIT;
		autoptr(err) full = reference_parse(text, &r);
		autoptr(err) brief = reference_parse_short(text, &r);

		if (!err_is(full, ERR_INVALID) || !err_is(brief, ERR_INVALID))
			fail_msg("\"%s\" was accepted", text);
	}
}

static void refuses_ambiguous(void **state)
{
	autoval(reference) r = REFERENCE_INIT;
	autoptr(err) id = reference_parse_short(HEX64, &r);
	autoptr(err) bare = reference_parse("alpine:3", &r);
	autoptr(err) upper = reference_parse_short("Alpine", &r);

	assert_true(err_is(id, ERR_INVALID));
	assert_true(err_is(bare, ERR_INVALID));
	assert_non_null(strstr(err_message(upper), "must be lowercase"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_full_names),
		cmocka_unit_test(completes_short_names),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_ambiguous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
