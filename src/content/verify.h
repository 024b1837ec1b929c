// SPDX-License-Identifier: Apache-2.0
/* What a commit checks, the same for every store. */
#pragma once

#include "base/digest.h"

/* Bring the digest to the algorithm of `expected`: `actual` holds the sha256 of the file's bytes
 * and is replaced when another algorithm is asked for, which reads the file again. */
CHECKED struct err *verify_algorithm(int fd, const char *expected, char actual[static DIGEST_MAX]);
/* ERR_PRECONDITION in containerd's words unless both are as expected (0 and NULL: any). */
CHECKED struct err *verify_commit(
	int64_t size, int64_t expected_size, const char *actual, const char *expected);
CHECKED struct err *content_exists(const char *digest);
CHECKED struct err *content_not_found(const char *digest);
CHECKED struct err *ingest_not_found(const char *key);
