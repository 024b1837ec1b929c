// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <nettle/nettle-meta.h>
#include <nettle/sha2.h>
#include <string.h>

#include "base/alloc.h"

struct algorithm {
	const char *prefix;
	size_t bytes;
	const struct nettle_hash *hash;
};

static const struct algorithm algorithms[] = {
	{"sha256:", SHA256_DIGEST_SIZE, &nettle_sha256},
	{"sha384:", SHA384_DIGEST_SIZE, &nettle_sha384},
	{"sha512:", SHA512_DIGEST_SIZE, &nettle_sha512},
};

struct hasher {
	const struct algorithm *algorithm;
	union {
		struct sha256_ctx sha256;
		struct sha512_ctx sha512; /* sha384 too */
	} context;
};

static const struct algorithm *algorithm_of(const char *digest)
{
	for (size_t i = 0; digest && i < ARRAY_LEN(algorithms); i++) {
		if (strncmp(digest, algorithms[i].prefix, strlen(algorithms[i].prefix)) == 0)
			return &algorithms[i];
	}
	return NULL;
}

static void hasher_init(struct hasher *h, const struct algorithm *algorithm)
{
	h->algorithm = algorithm;
	algorithm->hash->init(&h->context);
}

struct hasher *hasher_new_like(const char *digest)
{
	struct hasher *h = NEW(struct hasher);
	const struct algorithm *algorithm = algorithm_of(digest);

	hasher_init(h, algorithm ? algorithm : &algorithms[0]);
	return h;
}

struct hasher *hasher_new(void)
{
	return hasher_new_like(NULL);
}

void hasher_free(struct hasher *h)
{
	free(h);
}

void hasher_add(struct hasher *h, const void *data, size_t len)
{
	h->algorithm->hash->update(&h->context, len, data);
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
	struct hasher copy = *h;
	uint8_t bytes[SHA512_DIGEST_SIZE];
	size_t prefix = strlen(h->algorithm->prefix);

	h->algorithm->hash->digest(&copy.context, h->algorithm->bytes, bytes);
	memcpy(ret, h->algorithm->prefix, prefix);
	to_hex(bytes, h->algorithm->bytes, ret + prefix);
}

void digest_of(const void *data, size_t len, char ret[static DIGEST_MAX])
{
	struct hasher h;

	hasher_init(&h, &algorithms[0]);
	hasher_add(&h, data, len);
	hasher_digest(&h, ret);
}

void sha256_hex(const void *data, size_t len, char ret[static 65])
{
	char text[DIGEST_MAX];

	digest_of(data, len, text);
	memcpy(ret, digest_hex(text), 65);
}

bool digest_valid(const char *text)
{
	const struct algorithm *a = algorithm_of(text);
	size_t prefix = a ? strlen(a->prefix) : 0;

	return a && strlen(text + prefix) == 2 * a->bytes &&
	       strspn(text + prefix, "0123456789abcdef") == 2 * a->bytes;
}

bool digest_same_algorithm(const char *a, const char *b)
{
	return algorithm_of(a) == algorithm_of(b);
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
