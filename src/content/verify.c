// SPDX-License-Identifier: Apache-2.0
#include "content/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/strv.h"

#define CHUNK ((size_t)256 * 1024)

/* sha384 is sha512 from another start and cut short. */
static struct err *hash_file(int fd, struct sha512_ctx *h)
{
	autofree uint8_t *chunk = xmalloc(CHUNK);
	off_t at = 0;

	for (;;) {
		ssize_t n = pread(fd, chunk, CHUNK, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "read ingest data");
		if (n == 0)
			return NULL;
		sha512_update(h, (size_t)n, chunk);
		at += n;
	}
}

struct err *verify_algorithm(int fd, const char *expected, char actual[static DIGEST_MAX])
{
	uint8_t bytes[SHA512_DIGEST_SIZE];
	struct sha512_ctx h;
	bool is_long;
	size_t len;
	char *at;

	if (!expected || str_starts(expected, "sha256:"))
		return NULL;
	is_long = str_starts(expected, "sha512:");
	len = is_long ? SHA512_DIGEST_SIZE : SHA384_DIGEST_SIZE;
	if (is_long)
		sha512_init(&h);
	else
		sha384_init(&h);
	TRY(hash_file(fd, &h));
	if (is_long)
		sha512_digest(&h, len, bytes);
	else
		sha384_digest(&h, len, bytes);
	at = actual + snprintf(actual, DIGEST_MAX, "%s:", is_long ? "sha512" : "sha384");
	for (size_t i = 0; i < len; i++, at += 2)
		snprintf(at, 3, "%02x", bytes[i]);
	return NULL;
}

struct err *verify_commit(
	int64_t size, int64_t expected_size, const char *actual, const char *expected)
{
	if (expected_size > 0 && expected_size != size)
		return err_new(ERR_PRECONDITION,
			"unexpected commit size %" PRId64 ", expected %" PRId64
			": failed precondition",
			size, expected_size);
	if (expected && strcmp(actual, expected) != 0)
		return err_new(ERR_PRECONDITION,
			"unexpected commit digest %s, expected %s: failed precondition", actual,
			expected);
	return NULL;
}

struct err *content_exists(const char *digest)
{
	return err_new(ERR_EXISTS, "content %s: already exists", digest);
}

struct err *content_not_found(const char *digest)
{
	return err_new(ERR_NOT_FOUND, "content %s: not found", digest);
}

struct err *ingest_not_found(const char *key)
{
	return err_new(ERR_NOT_FOUND, "ingest ref \"%s\": not found", key);
}
