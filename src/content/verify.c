// SPDX-License-Identifier: Apache-2.0
#include "content/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

#define CHUNK ((size_t)256 * 1024)

struct err *verify_algorithm(int fd, const char *expected, char actual[static DIGEST_MAX])
{
	autoptr(hasher) h = NULL;
	autofree uint8_t *chunk = NULL;
	off_t at = 0;

	if (!expected || digest_same_algorithm(expected, actual))
		return NULL;
	h = hasher_new_like(expected);
	chunk = xmalloc(CHUNK);
	for (;;) {
		ssize_t n = pread(fd, chunk, CHUNK, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "read ingest data");
		if (n == 0)
			break;
		hasher_add(h, chunk, (size_t)n);
		at += n;
	}
	hasher_digest(h, actual);
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
