// SPDX-License-Identifier: Apache-2.0
/*
 * Layers as a whole: a blob into a directory, and the difference of two directories into a blob.
 * Reading and inflating, hashing, and the file system each have a thread; between them are bounded
 * rings, so memory is the same for any layer.
 */
#pragma once

#include "archive/apply.h"
#include "archive/changes.h"
#include "archive/codec.h"
#include "base/digest.h"

struct layer_result {
	char digest[DIGEST_MAX]; /* of the uncompressed bytes */
	int64_t size;		 /* of them */
	enum codec codec;
};

/* All of the blob is read, also what is behind the archive. A bound that is passed, and damage of
 * any kind, is ERR_INVALID. */
CHECKED struct err *layer_unpack(
	int blob_fd, const struct apply_options *options, struct layer_result *ret);

/* The blob goes to `out_fd`, compressed. */
CHECKED struct err *layer_pack(const struct changes_options *options, enum codec codec, int out_fd,
	struct layer_result *ret);
