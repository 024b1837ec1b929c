// SPDX-License-Identifier: Apache-2.0
/* Times, durations, digests, identifiers, labels, UTF-8, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/identifier.h"
#include "base/json.h"
#include "base/timestamp.h"
#include "base/utf8.h"

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t sec;
		int32_t nsec;
		const char *back; /* NULL: the same */
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0, 0, NULL},
		{"2024-02-29T12:34:56.000000001Z", 1709210096, 1, NULL},
		{"2024-02-29T12:34:56.5Z", 1709210096, 500000000, NULL},
		{"2024-02-29T14:34:56+02:00", 1709210096, 0, "2024-02-29T12:34:56Z"},
		{"2024-02-29T05:04:56-07:30", 1709210096, 0, "2024-02-29T12:34:56Z"},
		{"1969-12-31T23:59:59.25Z", -1, 250000000, NULL},
		{"2024-02-29T12:34:56.0000000019Z", 1709210096, 1,
			"2024-02-29T12:34:56.000000001Z"},
		{"0001-01-01T00:00:00Z", -62135596800, 0, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct timestamp t;
		char text[TIMESTAMP_TEXT];

		assert_null(timestamp_parse(cases[i].text, &t));
		assert_int_equal(t.sec, cases[i].sec);
		assert_int_equal(t.nsec, cases[i].nsec);
		timestamp_format(t, text);
		assert_string_equal(text, cases[i].back ?: cases[i].text);
	}
}

static void test_bad_times(void **state)
{
	static const char *const cases[] = {"", "2024", "2024-02-29", "2024-02-29T12:34:56",
		"2024-13-01T00:00:00Z", "2024-01-00T00:00:00Z", "2024-01-01T24:00:00Z",
		"2024-01-01T00:60:00Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00Zx",
		"2024-01-01T00:00:00+2:00", "2024-01-01T00:00:00+24:00", "x024-01-01T00:00:00Z"};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct timestamp t;
		autoptr(err) e = timestamp_parse(cases[i], &t);

		if (!err_is(e, ERR_INVALID))
			fail_msg("\"%s\" was accepted", cases[i]);
	}
}

static void test_nanoseconds(void **state)
{
	static const int64_t cases[] = {0, 1, -1, 999999999, -999999999, 1000000000, INT64_MAX,
		INT64_MIN, 1700000000123456789};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct timestamp t = timestamp_from_ns(cases[i]);

		assert_true(t.nsec >= 0 && t.nsec < 1000000000);
		assert_int_equal(timestamp_to_ns(t), cases[i]);
	}
	assert_int_equal(timestamp_to_ns((struct timestamp){INT64_MAX, 0}), INT64_MAX);
	assert_int_equal(timestamp_to_ns((struct timestamp){INT64_MIN, 0}), INT64_MIN);
	assert_true(timestamp_compare((struct timestamp){1, 2}, (struct timestamp){1, 3}) < 0);
	assert_true(timestamp_compare((struct timestamp){2, 0}, (struct timestamp){1, 3}) > 0);
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
		const char *back;
	} cases[] = {
		{"0", 0, "0s"},
		{"1ns", 1, "1ns"},
		{"1500us", 1500000, "1.5ms"},
		{"1\xc2\xb5s", 1000, "1\xc2\xb5s"},
		{"500ms", 500000000, "500ms"},
		{"1h15m30.918s", 4530918000000, "1h15m30.918s"},
		{"24h", 86400000000000, "24h0m0s"},
		{"90s", 90000000000, "1m30s"},
		{"-1.5h", -5400000000000, "-1h30m0s"},
		{"+.5s", 500000000, "500ms"},
		{"1.s", 1000000000, "1s"},
	};
	static const char *const bad[] = {
		"", "1", "s", "1x", "1h x", "--1s", "9999999999h", ".s", "1s2"};
	char text[TIMESTAMP_TEXT];
	int64_t ns;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_null(duration_parse(cases[i].text, &ns));
		assert_int_equal(ns, cases[i].ns);
		duration_format(ns, text);
		assert_string_equal(text, cases[i].back);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoptr(err) e = duration_parse(bad[i], &ns);

		if (!err_is(e, ERR_INVALID))
			fail_msg("\"%s\" was accepted", bad[i]);
	}
}

#define HEX64 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_digests(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"sha256:" HEX64, true},
		{"sha512:" HEX64 HEX64, true},
		{"sha512:" HEX64, false},
		{"sha256:" HEX64 "0", false},
		{"sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", false},
		{"sha256:", false},
		{"sha256", false},
		{"md5:d41d8cd98f00b204e9800998ecf8427e", false},
		{"", false},
		{HEX64, false},
		{"sha256:../" HEX64, false},
	};
	autoptr(hasher) h = hasher_new();
	char text[DIGEST_MAX], hex[65];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoptr(err) e = digest_check(cases[i].text);

		assert_int_equal(digest_valid(cases[i].text), cases[i].valid);
		assert_int_equal(err_class(e), cases[i].valid ? ERR_OK : ERR_INVALID);
	}
	digest_of("abc", 3, text);
	assert_string_equal(text, "sha256:" HEX64);
	assert_string_equal(digest_hex(text), HEX64);
	sha256_hex("abc", 3, hex);
	assert_string_equal(hex, HEX64);
	hasher_add(h, "a", 1);
	hasher_digest(h, text);
	assert_string_not_equal(text, "sha256:" HEX64);
	hasher_add(h, "bc", 2);
	hasher_digest(h, text);
	assert_string_equal(text, "sha256:" HEX64);
}

static void test_identifiers(void **state)
{
	static const char *const good[] = {"a", "A1", "k8s.io", "a-b_c.d", "0",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	static const char *const bad[] = {"", ".", "a.", "-a", "a..b", "a/b", "a b", "\xc3\xb6",
		"a\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_null(identifier_check(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoptr(err) e = identifier_check(bad[i]);

		if (!err_is(e, ERR_INVALID))
			fail_msg("\"%s\" was accepted", bad[i]);
	}
}

static void test_labels(void **state)
{
	autofree char *key = xcalloc(1, 4097), *value = xcalloc(1, 4097);
	autoptr(err) e = NULL;

	memset(key, 'k', 96);
	memset(value, 'v', 4000);
	assert_null(label_check(key, value));
	value[4000] = 'v';
	e = label_check(key, value);
	assert_int_equal(err_class(e), ERR_INVALID);
	assert_string_equal(err_message(e), "label key and value length (4097 bytes) greater than "
					    "maximum size (4096 bytes), key: "
					    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
					    "kkkkkkkkkk: invalid argument");
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {{"", true}, {"abc", true}, {"\xc3\xb6", true}, {"\xe2\x82\xac", true},
		{"\xf0\x9f\x98\x80", true}, {"\xc3", false}, {"\xb6", false}, {"\xc0\xaf", false},
		{"\xe0\x80\xaf", false}, {"\xed\xa0\x80", false}, {"\xf4\x90\x80\x80", false},
		{"\xff", false}, {"a\xe2\x82", false}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (utf8_valid(cases[i].text, strlen(cases[i].text)) != cases[i].valid)
			fail_msg("case %zu", i);
	assert_true(utf8_valid("a\0b", 3));
}

static void test_json(void **state)
{
	static const char *const bad[] = {"", "{", "{\"a\":1}x", "[1,]", "{\"a\"}", "nul",
		"\"\xff\"", "{} {}", "['a']", "/* */ 1", "[01]", "[1 2]"};
	static const char good[] = " {\"a\": {\"b\": \"text\", \"n\": 18446744073709551615}} \n";
	autoptr(json_object) o = NULL, *number = NULL;
	char deep[201];
	autoptr(err) e = NULL;

	assert_null(json_parse(good, strlen(good), &o));
	assert_string_equal(json_find_string(o, "a.b"), "text");
	assert_null(json_find_string(o, "a.n"));
	assert_null(json_find(o, "a.b.c"));
	assert_true(json_object_get_uint64(json_find(o, "a.n")) == UINT64_MAX);
	assert_null(json_parse("12", 2, &number));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autoptr(json_object) none = NULL;
		autoptr(err) why = json_parse(bad[i], strlen(bad[i]), &none);

		if (!err_is(why, ERR_INVALID))
			fail_msg("%s was accepted", bad[i]);
	}
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	e = json_parse(deep, 200, &(struct json_object *){NULL});
	assert_int_equal(err_class(e), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_bad_times),
		cmocka_unit_test(test_nanoseconds),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_identifiers),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
