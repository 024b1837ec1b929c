// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <nettle/sha2.h>
#include <string.h>

#include "base/alloc.h"

struct hasher {
	struct sha256_ctx sha;
};

struct hasher *hasher_new(void)
{
	struct hasher *h = NEW(struct hasher);

	sha256_init(&h->sha);
	return h;
}

void hasher_free(struct hasher *h)
{
	free(h);
}

void hasher_add(struct hasher *h, const void *data, size_t len)
{
	sha256_update(&h->sha, len, data);
}

static void to_hex(const uint8_t *bytes, size_t n, char *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret[2 * n] = '\0';
}

void hasher_digest(const struct hasher *h, char ret[static DIGEST_MAX])
{
	struct sha256_ctx copy = h->sha;
	uint8_t bytes[SHA256_DIGEST_SIZE];

	sha256_digest(&copy, sizeof(bytes), bytes);
	memcpy(ret, "sha256:", 7);
	to_hex(bytes, sizeof(bytes), ret + 7);
}

void digest_of(const void *data, size_t len, char ret[static DIGEST_MAX])
{
	struct hasher h;

	sha256_init(&h.sha);
	hasher_add(&h, data, len);
	hasher_digest(&h, ret);
}

void sha256_hex(const void *data, size_t len, char ret[static 65])
{
	char text[DIGEST_MAX];

	digest_of(data, len, text);
	memcpy(ret, text + 7, 65);
}

bool digest_valid(const char *text)
{
	static const struct {
		const char *prefix;
		size_t hex;
	} known[] = {{"sha256:", 64}, {"sha384:", 96}, {"sha512:", 128}};

	for (size_t i = 0; text && i < ARRAY_LEN(known); i++) {
		size_t len = strlen(known[i].prefix);

		if (strncmp(text, known[i].prefix, len) != 0)
			continue;
		text += len;
		return strlen(text) == known[i].hex &&
			strspn(text, "0123456789abcdef") == known[i].hex;
	}
	return false;
}

struct err *digest_check(const char *text)
{
	if (digest_valid(text))
		return NULL;
	return err_new(ERR_INVALID, "\"%.200s\" is not a digest: invalid checksum digest format",
		text ? text : "");
}

const char *digest_hex(const char *text)
{
	const char *colon = strchr(text, ':');

	return colon ? colon + 1 : text;
}
