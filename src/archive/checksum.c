// SPDX-License-Identifier: Apache-2.0
#include "archive/checksum.h"

#include "base/alloc.h"

#ifdef HAVE_LIBCRYPTO

/* The interface below EVP: it reads no configuration and loads no modules, which a confined process
 * could not do. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

struct checksum {
	SHA256_CTX sha;
};

struct checksum *checksum_new(void)
{
	struct checksum *c = NEW(struct checksum);

	SHA256_Init(&c->sha);
	return c;
}

void checksum_free(struct checksum *c)
{
	free(c);
}

void checksum_add(struct checksum *c, const void *data, size_t len)
{
	SHA256_Update(&c->sha, data, len);
}

void checksum_digest(struct checksum *c, char ret[static DIGEST_MAX])
{
	uint8_t bytes[SHA256_DIGEST_LENGTH];

	SHA256_Final(bytes, &c->sha);
	memcpy(ret, "sha256:", 7);
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(ret + 7 + 2 * i, 3, "%02x", bytes[i]);
}

#else

struct checksum {
	struct hasher *hasher;
};

struct checksum *checksum_new(void)
{
	struct checksum *c = NEW(struct checksum);

	c->hasher = hasher_new();
	return c;
}

void checksum_free(struct checksum *c)
{
	if (!c)
		return;
	hasher_free(c->hasher);
	free(c);
}

void checksum_add(struct checksum *c, const void *data, size_t len)
{
	hasher_add(c->hasher, data, len);
}

void checksum_digest(struct checksum *c, char ret[static DIGEST_MAX])
{
	hasher_digest(c->hasher, ret);
}

#endif
