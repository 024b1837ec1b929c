// SPDX-License-Identifier: Apache-2.0
/*
 * sha256 of a layer by the fastest code there is. base/digest.h has the one that costs the daemon
 * least memory; on machines without SHA instructions OpenSSL's is 1.6 times as fast, and hashing is
 * what bounds an unpack there. Without OpenSSL it is base's.
 */
#pragma once

#include "base/digest.h"

struct checksum;

struct checksum *checksum_new(void);
void checksum_free(struct checksum *c);
DEFINE_AUTOPTR(checksum, checksum_free);
void checksum_add(struct checksum *c, const void *data, size_t len);
/* Once, at the end. */
void checksum_digest(struct checksum *c, char ret[static DIGEST_MAX]);
