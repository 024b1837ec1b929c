// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/platform.h"

static void parse(const char *text, struct platform *ret)
{
	autoptr(err) e = platform_parse(text, ret);

	if (e)
		fail_msg("%s", err_message(e));
}

static void parses_and_formats(void **state)
{
	static const struct {
		const char *text, *all;
	} cases[] = {
		{"linux/amd64", "linux/amd64"},
		{"Linux/X86_64", "linux/amd64"},
		{"linux/amd64/v1", "linux/amd64"},
		{"linux/amd64/v3", "linux/amd64/v3"},
		{"linux/aarch64", "linux/arm64"},
		{"linux/arm64/v8", "linux/arm64/v8"},
		{"linux/arm64/v9.0", "linux/arm64/v9"},
		{"linux/arm", "linux/arm"},
		{"linux/arm/v7", "linux/arm/v7"},
		{"linux/armel", "linux/arm/v6"},
		{"linux/armhf", "linux/arm"},
		{"linux/i386", "linux/386"},
		{"s390x", "linux/s390x"},
		{"arm64", "linux/arm64"},
		{"macOS/arm64", "darwin/arm64"},
		{"windows(10.0.17763+win32k)/amd64", "windows(10.0.17763+win32k)/amd64"},
		{"linux(+b+a+a)/riscv64", "linux(+a+b)/riscv64"},
		{"linux(1%2B2)/amd64", "linux(1%2B2)/amd64"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(platform) p = PLATFORM_INIT;
		autofree char *all = NULL;

		parse(cases[i].text, &p);
		all = platform_format_all(&p);
		assert_string_equal(all, cases[i].all);
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = {"", "*", "linux/*", "nonsense", "linux/amd64/v1/x",
		"linux/", "/amd64", "linux/am d64", "linux(/amd64", "linux()x/amd64",
		"linux(+)/amd64", "linux(a%2)/amd64", "linux(a%00)/amd64", "lin\xc3\xbcx/amd64"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoval(platform) p = PLATFORM_INIT;
		autoptr(err) e = platform_parse(bad[i], &p);

		if (!err_is(e, ERR_INVALID))
			fail_msg("\"%s\" was accepted", bad[i]);
	}
}

/* Of each row, every platform serves the first one, each better than the next. */
static void prefers_the_nearest(void **state)
{
	static const char *const rows[][14] = {
		{"linux/amd64", "linux/386"},
		{"linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"},
		{"linux/arm/v7", "linux/arm/v6", "linux/arm/v5"},
		{"linux/arm/v8", "linux/arm", "linux/arm/v6", "linux/arm/v5"},
		{"linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"},
		{"linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64/v8", "linux/arm/v8"},
		{"linux/arm64/v9.1", "linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64/v8.5",
			"linux/arm64/v8", "linux/arm/v8", "linux/arm/v7"},
		{"linux/arm64/v9.7", "linux/arm64/v9", "linux/arm64/v8.9", "linux/arm64"},
		{"linux/riscv64"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		autoval(platform) wanted = PLATFORM_INIT;
		int last = INT32_MAX;

		parse(rows[i][0], &wanted);
		for (size_t k = 0; rows[i][k]; k++) {
			autoval(platform) offered = PLATFORM_INIT;
			int score;

			parse(rows[i][k], &offered);
			score = platform_match(&wanted, &offered);
			if (score <= 0 || score >= last)
				fail_msg("%s for %s: %d after %d", rows[i][k], rows[i][0], score,
					last);
			last = score;
		}
	}
}

static void refuses_what_cannot_run(void **state)
{
	static const struct {
		const char *wanted, *offered;
	} cases[] = {
		{"linux/amd64", "linux/arm64"},
		{"linux/amd64", "windows/amd64"},
		{"linux/amd64", "linux/amd64/v2"},
		{"linux/386", "linux/amd64"},
		{"linux/arm/v6", "linux/arm/v7"},
		{"linux/arm/v6", "linux/arm"},
		{"linux/arm64", "linux/arm64/v8.1"},
		{"linux/arm64", "linux/arm64/v9"},
		{"linux/arm64/v9", "linux/arm64/v8.6"},
		{"linux/arm/v8", "linux/arm64"},
		{"linux/amd64", "linux(+feature)/amd64"},
		{"linux/ppc64le/power9", "linux/ppc64le/power10"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(platform) wanted = PLATFORM_INIT;
		autoval(platform) offered = PLATFORM_INIT;

		parse(cases[i].wanted, &wanted);
		parse(cases[i].offered, &offered);
		if (platform_match(&wanted, &offered) != 0)
			fail_msg("%s for %s", cases[i].offered, cases[i].wanted);
	}
}

static void knows_the_host(void **state)
{
	autoval(platform) host = PLATFORM_INIT;
	autoval(platform) linux_only = PLATFORM_INIT;

	platform_host(&host);
	assert_string_equal(host.os, "linux");
	parse("linux", &linux_only);
	assert_string_equal(linux_only.architecture, host.architecture);
	assert_true(platform_match(&host, &linux_only) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_formats),
		cmocka_unit_test(refuses),
		cmocka_unit_test(prefers_the_nearest),
		cmocka_unit_test(refuses_what_cannot_run),
		cmocka_unit_test(knows_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
