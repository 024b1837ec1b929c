// SPDX-License-Identifier: Apache-2.0
/* Texts of headers, and the cutting of bytes into messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "rpc/grpc-text.h"
#include "rpc/h2.h"

static void test_percent(void **state)
{
	static const struct {
		const char *plain, *encoded;
	} rows[] = {{"", ""}, {"plain text ~!", "plain text ~!"}, {"100%", "100%25"},
		{"caf\xc3\xa9", "caf%C3%A9"}, {"a\nb\x7f", "a%0Ab%7F"}};
	static const struct {
		const char *odd, *decoded;
	} odd[] = {{"%", "%"}, {"%4", "%4"}, {"%zz%41", "%zzA"}, {"%c3%a9", "\xc3\xa9"}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		autofree char *to = grpc_percent_encode(rows[i].plain);
		autofree char *back = grpc_percent_decode(to, strlen(to));

		assert_string_equal(to, rows[i].encoded);
		assert_string_equal(back, rows[i].plain);
	}
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		autofree char *to = grpc_percent_decode(odd[i].odd, strlen(odd[i].odd));

		assert_string_equal(to, odd[i].decoded);
	}
}

static void test_long_message(void **state)
{
	autofree char *plain = xcalloc(1, 100001), *wide = xcalloc(1, 100001), *a = NULL, *b = NULL;

	memset(plain, 'x', 100000);
	memset(wide, '%', 100000);
	a = grpc_percent_encode(plain);
	b = grpc_percent_encode(wide);
	assert_int_equal(strlen(a), GRPC_MESSAGE_TEXT_MAX);
	assert_int_equal(strlen(b), GRPC_MESSAGE_TEXT_MAX / 3 * 3);
}

static void test_base64(void **state)
{
	static const struct {
		const char *plain, *encoded, *padded;
	} rows[] = {{"", "", ""}, {"f", "Zg", "Zg=="}, {"fo", "Zm8", "Zm8="},
		{"foo", "Zm9v", "Zm9v"}, {"foob", "Zm9vYg", "Zm9vYg=="},
		{"\xff\xfe\xfd", "//79", "//79"}};
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		autofree char *to = grpc_base64_encode(rows[i].plain, strlen(rows[i].plain));
		autofree char *back = grpc_base64_decode(to, strlen(to), &len);

		assert_string_equal(to, rows[i].encoded);
		assert_int_equal(len, strlen(rows[i].plain));
		assert_memory_equal(back, rows[i].plain, len);
		autofree char *padded =
			grpc_base64_decode(rows[i].padded, strlen(rows[i].padded), &len);
		assert_int_equal(len, strlen(rows[i].plain));
		assert_non_null(padded);
	}
	assert_null(grpc_base64_decode("A", 1, &len));
	assert_null(grpc_base64_decode("A-B_", 4, &len));
	assert_null(grpc_base64_decode("AB\0C", 4, &len));
}

static void test_timeout(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: malformed */
	} rows[] = {{"1H", 3600000}, {"2M", 120000}, {"3S", 3000}, {"250m", 250}, {"1u", 1},
		{"1001u", 2}, {"0n", 0}, {"99999999H", INT64_C(359999996400000)},
		{"100000000S", -1}, {"", -1}, {"S", -1}, {"5", -1}, {"-5S", -1}, {"5x", -1},
		{"5 S", -1}};
	static const struct {
		int64_t ms;
		const char *text;
	} out[] = {{0, "0m"}, {1500, "1500m"}, {99999999, "100000S"},
		{INT64_C(100000000001), "1666667M"}, {-5, "0m"}, {INT64_MAX / 2, "99999999H"}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ms = -1;

		assert_int_equal(grpc_timeout_parse(rows[i].text, strlen(rows[i].text), &ms),
			rows[i].ms >= 0);
		assert_int_equal(ms, rows[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(out); i++) {
		char text[GRPC_TIMEOUT_TEXT];

		grpc_timeout_format(out[i].ms, text);
		assert_string_equal(text, out[i].text);
	}
}

static void test_status(void **state)
{
	assert_int_equal(grpc_status_parse("0", 1), ERR_OK);
	assert_int_equal(grpc_status_parse("16", 2), ERR_UNAUTHENTICATED);
	assert_int_equal(grpc_status_parse("17", 2), ERR_UNKNOWN);
	assert_int_equal(grpc_status_parse("", 0), ERR_UNKNOWN);
	assert_int_equal(grpc_status_parse("x", 1), ERR_UNKNOWN);
	assert_int_equal(grpc_status_parse("005", 3), ERR_UNKNOWN);
}

/* Feed in pieces of every size; the messages that come out, joined with '|'. */
static char *cut(const uint8_t *bytes, size_t len, size_t piece)
{
	struct h2_in in = {0};
	autoval(buf) text = BUF_INIT(4096);

	for (size_t at = 0; at < len; at += piece) {
		const uint8_t *data = bytes + at;
		size_t left = MIN(piece, len - at);

		while (left) {
			struct rpc_msg *m;

			assert_null(h2_in_feed(&in, &data, &left, 100, NULL, true, &m));
			if (!m)
				continue;
			assert_true(buf_append(&text, m->data, m->len));
			assert_true(buf_append(&text, "|", 1));
			rpc_msg_free(m);
		}
	}
	assert_false(h2_in_partial(&in));
	h2_in_done(&in);
	return buf_take(&text, NULL);
}

static void test_cut(void **state)
{
	static const uint8_t bytes[] = "\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\5hello\0\0\0\0\1z";

	for (size_t piece = 1; piece < sizeof(bytes); piece++) {
		autofree char *text = cut(bytes, sizeof(bytes) - 1, piece);

		assert_string_equal(text, "abc||hello|z|");
	}
}

static void test_bad_frames(void **state)
{
	static const struct {
		const char *head, *encoding;
		bool server;
		enum err_class class;
		const char *words;
	} rows[] = {
		{"\0\0\0\0\x65", NULL, true, ERR_EXHAUSTED,
			"grpc: received message larger than max (101 vs. 100)"},
		{"\0\xff\xff\xff\xff", NULL, true, ERR_EXHAUSTED,
			"grpc: received message larger than max (4294967295 vs. 100)"},
		{"\1\0\0\0\1", NULL, true, ERR_INTERNAL,
			"grpc: compressed flag set with identity or empty encoding"},
		{"\1\0\0\0\1", "identity", true, ERR_INTERNAL,
			"grpc: compressed flag set with identity or empty encoding"},
		{"\1\0\0\0\1", "gzip", true, ERR_UNIMPLEMENTED,
			"grpc: Decompressor is not installed for grpc-encoding \"gzip\""},
		{"\1\0\0\0\1", "gzip", false, ERR_INTERNAL,
			"grpc: Decompressor is not installed for grpc-encoding \"gzip\""},
		{"\2\0\0\0\1", NULL, true, ERR_INTERNAL,
			"grpc: received unexpected payload format 2"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct h2_in in = {0};
		const uint8_t *data = (const uint8_t *)rows[i].head;
		size_t len = GRPC_PREFIX;
		struct rpc_msg *m;
		autoptr(err) e =
			h2_in_feed(&in, &data, &len, 100, rows[i].encoding, rows[i].server, &m);

		assert_true(err_is(e, rows[i].class));
		assert_string_equal(err_message(e), rows[i].words);
		h2_in_done(&in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_long_message),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_bad_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
