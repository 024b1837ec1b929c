// SPDX-License-Identifier: Apache-2.0
/* Tables, sizes, ages, labels, and the values of flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/timestamp.h"
#include "ctr/container-flags.h"
#include "ctr/foreground.h"
#include "ctr/format.h"
#include "ctr/table.h"

const char ctr_version[] = "v0", ctr_revision[] = "r0", ctr_package[] = "test";

static char *table_text(struct table *t)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	table_print(t, out);
	fclose(out);
	return text;
}

static void test_tables(void **state)
{
	static const struct {
		size_t min, padding;
		char pad;
		const char *text, *want;
	} cases[] = {
		{4, 4, ' ', "TASK\tPID\tSTATUS\t\nx2\t376\tRUNNING\n",
			"TASK    PID    STATUS    \nx2      376    RUNNING\n"},
		{1, 1, ' ', "KEY\tPARENT\tKIND\t\nabc\t\tActive\t\n",
			"KEY PARENT KIND   \nabc        Active \n"},
		/* A line without the column ends its block. */
		{1, 1, ' ', "a\tb\t\nx\nlonger\tc\t\n", "a b \nx\nlonger c \n"},
		{1, 1, '\t', "REF\tSIZE\n12345678\t1\nx\t2\n",
			"REF\t\tSIZE\n12345678\t1\nx\t\t2\n"},
		/* As wide as its characters, not its bytes. */
		{1, 1, ' ', "\xc3\xa9\xc3\xa9\tx\nabc\ty\n", "\xc3\xa9\xc3\xa9  x\nabc y\n"},
		{1, 1, ' ', "", ""},
		{1, 1, ' ', "\n\n", "\n\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoptr(table) t = table_new(cases[i].min, 8, cases[i].padding, cases[i].pad);
		table_add(t, cases[i].text);
		autofree char *got = table_text(t);
		assert_string_equal(got, cases[i].want);
	}
}

static void test_sizes(void **state)
{
	static const struct {
		int64_t n;
		const char *bytes, *human;
	} cases[] = {
		{0, "0.0 B", "0B"},
		{1023, "1023.0 B", "1.023kB"},
		{1024, "1.0 KiB", "1.024kB"},
		{2219949, "2.1 MiB", "2.22MB"},
		{INT64_MAX, "8.0 EiB", "9.223EB"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[SIZE_TEXT];

		format_bytes(cases[i].n, text);
		assert_string_equal(text, cases[i].bytes);
		format_human_size(cases[i].n, text);
		assert_string_equal(text, cases[i].human);
	}
}

static void test_ages(void **state)
{
	static const struct {
		int64_t seconds;
		const char *want;
	} cases[] = {
		{-5, "Less than a second"},
		{30, "30 seconds"},
		{61, "About a minute"},
		{600, "10 minutes"},
		{3700, "About an hour"},
		{47 * 3600, "47 hours"},
		{5 * 86400, "5 days"},
		{21 * 86400, "3 weeks"},
		{90 * 86400, "3 months"},
		{1000 * 86400, "2 years"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct timestamp now = timestamp_now();
		char text[AGE_TEXT];

		format_age((struct ctd_time){.sec = now.sec - cases[i].seconds, .nsec = 0}, text);
		assert_string_equal(text, cases[i].want);
	}
}

static void test_times(void **state)
{
	char text[TIME_TEXT];

	format_time_go((struct ctd_time){.sec = 1651406400, .nsec = 120000000}, text);
	assert_string_equal(text, "2022-05-01 12:00:00.12 +0000 UTC");
	format_time_go((struct ctd_time){.sec = 1651406400}, text);
	assert_string_equal(text, "2022-05-01 12:00:00 +0000 UTC");
	format_time((struct ctd_time){.sec = 1651406400}, text);
	assert_string_equal(text, "2022-05-01T12:00:00Z");
	setenv("TZ", "UTC", 1);
	tzset();
	format_time_local((struct ctd_time){.sec = 1651406400}, text);
	assert_string_equal(text, "2022-05-01T12:00:00Z");
	setenv("TZ", "XYZ-05:30", 1);
	tzset();
	format_time_local((struct ctd_time){.sec = 1651406400}, text);
	assert_string_equal(text, "2022-05-01T17:30:00+05:30");
}

static void test_labels(void **state)
{
	autoval(label_args) l = {0};
	static const char *const texts[] = {"b=1", "a", "c=x=y", "b=2", NULL};
	struct ctd_labels labels = label_args_read(&l, (char *const *)texts, "true");
	autofree char *text = format_labels(labels);
	autofree char *none = format_labels((struct ctd_labels){0});

	assert_string_equal(text, "a=true,b=2,c=x=y");
	assert_string_equal(none, "-");
}

static void test_mounts(void **state)
{
	autoval(strv) parts = STRV_INIT;
	struct ctd_spec_mount m;

	assert_null(mount_parse("type=bind,src=/a,dst=/b,options=rbind:ro", &parts, &m));
	assert_string_equal(m.type, "bind");
	assert_string_equal(m.source, "/a");
	assert_string_equal(m.destination, "/b");
	assert_int_equal(m.options.n, 2);
	assert_string_equal(m.options.items[0], "rbind");
	assert_string_equal(m.options.items[1], "ro");
	strv_done(&parts);
	parts = STRV_INIT;
	/* Options first, many parts: nothing may move under the pointers. */
	assert_null(mount_parse(
		"options=a:b:c:d:e:f:g:h:i,type=tmpfs,source=\"x,y\",destination=/z", &parts, &m));
	assert_string_equal(m.source, "x,y");
	assert_int_equal(m.options.n, 9);
	assert_string_equal(m.options.items[8], "i");
	assert_string_equal(m.type, "tmpfs");
}

static void test_bad_mounts(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"type", "invalid mount specification: expected key=val in \"type\""},
		{"type=bind,what=x,dst=/a", "mount option \"what\" not supported"},
		{"type=bind,src=/a", "invalid mount specification: no destination in "
				     "\"type=bind,src=/a\""},
		{"", "invalid mount specification: expected key=val in \"\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoval(strv) parts = STRV_INIT;
		struct ctd_spec_mount m;
		autoptr(err) e = mount_parse(cases[i].text, &parts, &m);

		assert_non_null(e);
		assert_string_equal(err_message(e), cases[i].message);
	}
}

static void test_id_maps(void **state)
{
	static const char *const bad[] = {
		"", "0", "0:1", "0:1:2:3", "a:1:2", "0:4294967296:1", "-1:0:1", "0::1", "0:1:"};
	struct ctd_id_map map;

	assert_null(id_map_of_flag("0:100000:65536", &map));
	assert_int_equal(map.container_id, 0);
	assert_int_equal(map.host_id, 100000);
	assert_int_equal(map.length, 65536);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoptr(err) e = id_map_of_flag(bad[i], &map);

		assert_true(err_is(e, ERR_INVALID));
	}
}

static void test_signals(void **state)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{"9", SIGKILL},
		{"SIGTERM", SIGTERM},
		{"term", SIGTERM},
		{"sigusr1", SIGUSR1},
		{"HUP", SIGHUP},
		{"0", 0},
		{"-1", 0},
		{"999", 0},
		{"", 0},
		{"SIG", 0},
		{"nosuch", 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int got = 0;
		autoptr(err) e = signal_parse(cases[i].text, &got);

		assert_int_equal(got, cases[i].want);
		assert_true(err_is(e, ERR_INVALID) == (cases[i].want == 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_bad_mounts),
		cmocka_unit_test(test_id_maps),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
