// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Bytes on disk (blocks, not lengths) and inodes below a directory, itself included; a file with
 * several names counts once. */
CHECKED struct err *tree_usage(const char *path, int64_t *ret_bytes, int64_t *ret_inodes);

/* The same of what is new or changed against a tree that this one is a snapshot of: what has another
 * inode number there, or another size, mode, owner or modification time. */
CHECKED struct err *tree_usage_changed(
	const char *path, const char *base, int64_t *ret_bytes, int64_t *ret_inodes);
