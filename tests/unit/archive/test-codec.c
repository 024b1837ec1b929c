// SPDX-License-Identifier: Apache-2.0
#include "archive/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"

#define PLAIN_BYTES ((size_t)700 * 1024)

/* Text that compresses, but not to nothing. */
static void fill(uint8_t *to, size_t len)
{
	uint32_t x = 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		to[i] = (uint8_t)('a' + (x >> 28));
	}
}

static void encode(enum codec codec, const void *data, size_t len, struct buf *ret)
{
	autofd fd = memfd_create("encoded", MFD_CLOEXEC);
	autoptr(encoder) e = NULL;
	off_t size;

	assert_null(encoder_new(codec, fd, &e));
	for (size_t at = 0; at < len; at += 100000)
		assert_null(encoder_write(
			e, (const uint8_t *)data + at, MIN(len - at, (size_t)100000)));
	assert_null(encoder_finish(e));
	size = lseek(fd, 0, SEEK_CUR);
	assert_true(buf_reserve(ret, (size_t)size));
	assert_int_equal(pread(fd, ret->data + ret->len, (size_t)size, 0), size);
	ret->len += (size_t)size;
}

struct input {
	const uint8_t *data;
	size_t len, piece;
};

static ssize_t read_input(void *arg, void *data, size_t len)
{
	struct input *i = arg;
	size_t n = MIN(MIN(i->len, len), i->piece);

	memcpy(data, i->data, n);
	i->data += n;
	i->len -= n;
	return (ssize_t)n;
}

/* NULL and the decoded bytes, or the error. */
static struct err *decode(const void *data, size_t len, size_t piece, struct buf *ret)
{
	struct input input = {data, len, piece};
	autoptr(decoder) d = NULL;
	uint8_t out[10000];
	size_t n;

	buf_reset(ret);
	TRY(decoder_open(read_input, &input, &d));
	do {
		TRY(decoder_read(d, out, sizeof(out), &n));
		assert_true(buf_append(ret, out, n));
	} while (n > 0);
	return NULL;
}

static const enum codec codecs[] = {CODEC_NONE, CODEC_GZIP, CODEC_ZSTD};

static void test_round_trip(void **state)
{
	static const size_t lens[] = {0, 1, 511, 65536, PLAIN_BYTES};
	autofree uint8_t *plain = xmalloc(PLAIN_BYTES);

	fill(plain, PLAIN_BYTES);
	for (size_t c = 0; c < ARRAY_LEN(codecs); c++) {
		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			autoval(buf) packed = BUF_INIT(1 << 24), again = BUF_INIT(1 << 24);
			autoval(buf) out = BUF_INIT(1 << 24);

			encode(codecs[c], plain, lens[i], &packed);
			encode(codecs[c], plain, lens[i], &again);
			assert_int_equal(packed.len, again.len);
			assert_memory_equal(buf_str(&packed), buf_str(&again), packed.len);
			assert_null(decode(packed.data, packed.len, 7777, &out));
			assert_int_equal(out.len, lens[i]);
			assert_memory_equal(buf_str(&out), plain, lens[i]);
		}
	}
}

/* Several members or frames in a row are one stream, also empty ones. */
static void test_concatenated(void **state)
{
	for (size_t c = 1; c < ARRAY_LEN(codecs); c++) {
		autoval(buf) packed = BUF_INIT(1 << 24), out = BUF_INIT(1 << 24);

		encode(codecs[c], "one ", 4, &packed);
		encode(codecs[c], "", 0, &packed);
		encode(codecs[c], "two", 3, &packed);
		for (size_t piece = 1; piece < 40; piece++) {
			assert_null(decode(packed.data, packed.len, piece, &out));
			assert_string_equal(buf_str(&out), "one two");
		}
	}
}

static void test_truncated(void **state)
{
	for (size_t c = 1; c < ARRAY_LEN(codecs); c++) {
		autoval(buf) packed = BUF_INIT(1 << 24), out = BUF_INIT(1 << 24);
		uint8_t plain[3000];

		fill(plain, sizeof(plain));
		encode(codecs[c], plain, sizeof(plain), &packed);
		for (size_t len = 8; len < packed.len; len++) {
			autoptr(err) e = decode(packed.data, len, 1000, &out);

			assert_int_equal(err_class(e), ERR_INVALID);
			assert_non_null(strstr(err_message(e), "ends early"));
		}
	}
}

/* A flipped bit is noticed wherever it is, but for the few that mean nothing in these formats. */
static void test_damaged(void **state)
{
	for (size_t c = 1; c < ARRAY_LEN(codecs); c++) {
		autoval(buf) packed = BUF_INIT(1 << 24), out = BUF_INIT(1 << 24);
		uint8_t plain[3000];

		int unnoticed = 0;

		fill(plain, sizeof(plain));
		encode(codecs[c], plain, sizeof(plain), &packed);
		for (size_t at = codecs[c] == CODEC_GZIP ? 10 : 6; at < packed.len; at++) {
			packed.data[at] ^= 0x10;
			autoptr(err) e = decode(packed.data, packed.len, 1000, &out);

			packed.data[at] ^= 0x10;
			if (e) {
				assert_int_equal(err_class(e), ERR_INVALID);
				continue;
			}
			unnoticed++;
			assert_int_equal(out.len, sizeof(plain));
			assert_memory_equal(buf_str(&out), plain, sizeof(plain));
		}
		assert_in_range(unnoticed, 0, 2);
	}
}

static void test_behind_the_end(void **state)
{
	autoval(buf) packed = BUF_INIT(1 << 24), out = BUF_INIT(1 << 24);
	uint8_t zeros[700] = {0};

	encode(CODEC_GZIP, "data", 4, &packed);
	assert_true(buf_append(&packed, zeros, sizeof(zeros)));
	assert_null(decode(packed.data, packed.len, 100, &out));
	assert_string_equal(buf_str(&out), "data");
	assert_true(buf_append(&packed, "x", 1));

	autoptr(err) gzip = decode(packed.data, packed.len, 100, &out);

	assert_string_equal(err_message(gzip), "gzip: garbage behind the end of the stream");
	buf_reset(&packed);
	encode(CODEC_ZSTD, "data", 4, &packed);
	assert_true(buf_append(&packed, "xxxxxxxx", 8));

	autoptr(err) zstd = decode(packed.data, packed.len, 100, &out);

	assert_int_equal(err_class(zstd), ERR_INVALID);
}

static void test_detection(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum codec want;
	} cases[] = {
		{"", 0, CODEC_NONE},
		{"\x1f\x8b", 2, CODEC_NONE},
		{"\x1f\x8b\x08", 3, CODEC_GZIP},
		{"\x1f\x8b\x07", 3, CODEC_NONE},
		{"\x28\xb5\x2f\xfd", 4, CODEC_ZSTD},
		{"\x5f\x2a\x4d\x18\0\0\0\0", 8, CODEC_ZSTD},
		{"\x5f\x2a\x4d\x18", 4, CODEC_NONE},
		{"\x60\x2a\x4d\x18\0\0\0\0", 8, CODEC_NONE},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct input input = {(const uint8_t *)cases[i].bytes, cases[i].len, 3};
		autoptr(decoder) d = NULL;

		assert_null(decoder_open(read_input, &input, &d));
		assert_int_equal(decoder_codec(d), cases[i].want);
	}
}

/* A frame that asks for a window of 2 GiB is refused before any memory is taken. */
static void test_zstd_window(void **state)
{
	static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00};
	autoval(buf) out = BUF_INIT(1 << 20);
	autoptr(err) e = decode(frame, sizeof(frame), 100, &out);

	assert_int_equal(err_class(e), ERR_INVALID);
	assert_non_null(strstr(err_message(e), "memory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_concatenated),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_behind_the_end),
		cmocka_unit_test(test_detection),
		cmocka_unit_test(test_zstd_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
