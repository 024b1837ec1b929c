// SPDX-License-Identifier: Apache-2.0
/* Content digests, "sha256:<64 hex>" (OCI image-spec, descriptor.md#digests). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DIGEST_MAX 140 /* longest text accepted, with its NUL: sha512 */

struct hasher; /* a running hash */

struct hasher *hasher_new(void); /* sha256 */
/* With the algorithm of a valid digest; sha256 for NULL. */
struct hasher *hasher_new_like(const char *digest);
void hasher_free(struct hasher *h);
DEFINE_AUTOPTR(hasher, hasher_free);
void hasher_add(struct hasher *h, const void *data, size_t len);
/* Writes "<algorithm>:<hex>"; the hasher goes on as if not asked. */
void hasher_digest(const struct hasher *h, char ret[static DIGEST_MAX]);
/* "sha256:<hex>" of one piece of memory. */
void digest_of(const void *data, size_t len, char ret[static DIGEST_MAX]);
/* 64 hex digits of the sha256 of a text. */
void sha256_hex(const void *data, size_t len, char ret[static 65]);

/* Well formed and of an algorithm we know: sha256, sha384, sha512; lower-case hex only. */
bool digest_valid(const char *text);
/* Whether two valid digests are of one algorithm. */
bool digest_same_algorithm(const char *a, const char *b);
/* ERR_INVALID that names the text. */
CHECKED struct err *digest_check(const char *text);
/* The hex part; points into the text. */
const char *digest_hex(const char *text);
