// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Bytes on disk (blocks, not lengths) and inodes below a directory, itself included; a file with
 * several names counts once. */
CHECKED struct err *tree_usage(const char *path, int64_t *ret_bytes, int64_t *ret_inodes);
