// SPDX-License-Identifier: Apache-2.0
#include "rpc/grpc-text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

char *grpc_percent_encode(const char *s)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t max = MIN(strlen(s) * 3, GRPC_MESSAGE_TEXT_MAX);
	char *out = xmalloc(max + 1), *to = out;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c <= 0x7e && c != '%') {
			if ((size_t)(to - out) + 1 > max)
				break;
			*to++ = (char)c;
			continue;
		}
		if ((size_t)(to - out) + 3 > max)
			break;
		*to++ = '%';
		*to++ = hex[c >> 4];
		*to++ = hex[c & 15];
	}
	*to = 0;
	return out;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

char *grpc_percent_decode(const char *s, size_t len)
{
	char *out = xmalloc(len + 1), *to = out;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '%' && i + 2 < len && hex_digit(s[i + 1]) >= 0 &&
			hex_digit(s[i + 2]) >= 0) {
			*to++ = (char)(hex_digit(s[i + 1]) << 4 | hex_digit(s[i + 2]));
			i += 2;
		} else {
			*to++ = s[i];
		}
	}
	*to = 0;
	return out;
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *grpc_base64_encode(const void *data, size_t len)
{
	const uint8_t *p = data;
	char *out = xmalloc(len / 3 * 4 + 5), *to = out;
	uint32_t bits = 0;
	unsigned n = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | p[i];
		for (n += 8; n >= 6; n -= 6)
			*to++ = base64[bits >> (n - 6) & 63];
	}
	if (n)
		*to++ = base64[bits << (6 - n) & 63];
	*to = 0;
	return out;
}

void *grpc_base64_decode(const char *s, size_t len, size_t *ret_len)
{
	autofree uint8_t *out = NULL;
	uint32_t bits = 0;
	unsigned n = 0;
	size_t at = 0;

	while (len && s[len - 1] == '=')
		len--;
	if (len % 4 == 1)
		return NULL;
	out = xmalloc(len / 4 * 3 + 3);
	for (size_t i = 0; i < len; i++) {
		const char *digit = s[i] ? strchr(base64, s[i]) : NULL;

		if (!digit)
			return NULL;
		bits = bits << 6 | (uint32_t)(digit - base64);
		n += 6;
		if (n >= 8) {
			n -= 8;
			out[at++] = (uint8_t)(bits >> n);
		}
	}
	*ret_len = at;
	return TAKE(out);
}

/* Nanoseconds of a unit, 0 for none. */
static int64_t unit_ns(char unit)
{
	switch (unit) {
	case 'H':
		return INT64_C(3600000000000);
	case 'M':
		return INT64_C(60000000000);
	case 'S':
		return 1000000000;
	case 'm':
		return 1000000;
	case 'u':
		return 1000;
	case 'n':
		return 1;
	default:
		return 0;
	}
}

bool grpc_timeout_parse(const char *s, size_t len, int64_t *ret_ms)
{
	const int64_t ms = 1000000;
	int64_t n = 0, unit;

	if (len < 2 || len > 9)
		return false;
	unit = unit_ns(s[len - 1]);
	for (size_t i = 0; i + 1 < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		n = n * 10 + (s[i] - '0');
	}
	if (!unit)
		return false;
	*ret_ms = unit >= ms ? n * (unit / ms) : (n * unit + ms - 1) / ms;
	return true;
}

void grpc_timeout_format(int64_t ms, char ret[static GRPC_TIMEOUT_TEXT])
{
	static const struct {
		int64_t ms;
		char unit;
	} units[] = {{1, 'm'}, {1000, 'S'}, {60000, 'M'}, {3600000, 'H'}};
	size_t i = 0;

	ms = MAX(ms, (int64_t)0);
	while (i + 1 < ARRAY_LEN(units) && ms / units[i].ms > 99999998)
		i++;
	/* Rounded up: a deadline is never told earlier than it is. */
	snprintf(ret, GRPC_TIMEOUT_TEXT, "%" PRId64 "%c",
		MIN((ms + units[i].ms - 1) / units[i].ms, (int64_t)99999999), units[i].unit);
}

enum err_class grpc_status_parse(const char *s, size_t len)
{
	unsigned n = 0;

	if (!len || len > 2)
		return ERR_UNKNOWN;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return ERR_UNKNOWN;
		n = n * 10 + (unsigned)(s[i] - '0');
	}
	return n > ERR_UNAUTHENTICATED ? ERR_UNKNOWN : (enum err_class)n;
}
