// SPDX-License-Identifier: Apache-2.0
#include "archive/tar-numbers.h"

#include <string.h>

#include "archive/tar-format.h"

static bool base_256(const uint8_t *p, size_t len, int64_t *ret)
{
	bool negative = p[0] & 0x40;
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = negative ? (uint8_t)~p[i] : p[i];

		if (i == 0)
			c &= 0x7f;
		if (v >> 56)
			return false;
		v = v << 8 | c;
	}
	if (v >> 63)
		return false;
	*ret = negative ? (int64_t)~v : (int64_t)v;
	return true;
}

bool tar_number(const char *field, size_t len, int64_t *ret)
{
	uint64_t v = 0;

	if (len > 0 && (field[0] & 0x80))
		return base_256((const uint8_t *)field, len, ret);
	while (len > 0 && (*field == ' ' || *field == '\0'))
		field++, len--;
	while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0'))
		len--;
	/* A NUL ends the number, whatever comes behind it. */
	for (size_t i = 0; i < len && field[i]; i++) {
		if (field[i] < '0' || field[i] > '7' || v >> 60)
			return false;
		v = v << 3 | (uint64_t)(field[i] - '0');
	}
	*ret = (int64_t)v;
	return true;
}

bool tar_decimal(const char *text, size_t len, int64_t *ret)
{
	bool negative = len > 0 && text[0] == '-';
	uint64_t v = 0;

	if (negative)
		text++, len--;
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || v > (uint64_t)INT64_MAX / 10)
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (v > (uint64_t)INT64_MAX)
		return false;
	*ret = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

bool tar_time(const char *text, size_t len, struct timestamp *ret)
{
	const char *point = memchr(text, '.', len);
	size_t whole = point ? (size_t)(point - text) : len;
	bool negative = len > 0 && text[0] == '-';
	struct timestamp t = {0};
	int32_t unit = 100000000;

	if (!tar_decimal(text, whole, &t.sec))
		return false;
	for (size_t i = whole + 1; i < len; i++, unit /= 10) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		t.nsec += unit * (text[i] - '0');
	}
	if (negative && t.nsec) {
		if (t.sec == INT64_MIN)
			return false;
		t.sec -= 1;
		t.nsec = 1000000000 - t.nsec;
	}
	*ret = t;
	return true;
}

bool tar_checksum_ok(const uint8_t block[static 512])
{
	const struct tar_header *h = (const struct tar_header *)block;
	const size_t from = offsetof(struct tar_header, checksum);
	int64_t want, is_unsigned = 0, is_signed = 0;

	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
		uint8_t c = i >= from && i < from + sizeof(h->checksum) ? ' ' : block[i];

		is_unsigned += c;
		is_signed += (int8_t)c;
	}
	return tar_number(h->checksum, sizeof(h->checksum), &want) &&
	       (want == is_unsigned || want == is_signed);
}
