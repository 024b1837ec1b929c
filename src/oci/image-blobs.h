// SPDX-License-Identifier: Apache-2.0
/* Where the blobs of images are: the daemon's own content, or a client's view of it. What walks,
 * reads and makes images is written against this. */
#pragma once

#include "base/arena.h"
#include "base/digest.h"
#include "oci/descriptor.h"

struct image_blobs;
struct image_writer; /* the implementation's: one blob on its way in */

struct image_blobs_ops {
	/* All of a blob of at most `max` bytes, NUL-terminated, in the arena. */
	struct err *(*load)(struct image_blobs *b, const char *digest, size_t max,
		struct arena *arena, char **ret, size_t *ret_len);
	/* Set these labels, leave others. */
	struct err *(*label)(
		struct image_blobs *b, const char *digest, const struct strmap *labels);
	/* Another blob that holds the same layer compressed; ret is "" when there is none. */
	struct err *(*find_compressed)(struct image_blobs *b, const char *digest,
		char ret[static DIGEST_MAX], int64_t *ret_size);
	/* Write a blob under a reference; `digest` (may be NULL) is what it is held to. */
	struct err *(*begin)(struct image_blobs *b, const char *ref, int64_t size,
		const char *digest, struct image_writer **ret);
	struct err *(*add)(struct image_writer *w, const void *data, size_t len);
	/* One that is there already is success. */
	struct err *(*commit)(struct image_writer *w, char ret[static DIGEST_MAX]);
	/* What was not committed is gone. NULL-safe. */
	void (*end)(struct image_writer *w);
	/* Optional: a gzip copy of a layer that is not compressed. */
	struct err *(*compress)(struct image_blobs *b, const char *digest,
		char ret[static DIGEST_MAX], int64_t *ret_size);
};

struct image_blobs {
	const struct image_blobs_ops *ops;
};

/* Callers use these, never the slots. */
CHECKED struct err *image_blob_label(
	struct image_blobs *b, const char *digest, const struct strmap *labels);
CHECKED struct err *image_blob_begin(struct image_blobs *b, const char *ref, int64_t size,
	const char *digest, struct image_writer **ret);
CHECKED struct err *image_blob_add(
	struct image_blobs *b, struct image_writer *w, const void *data, size_t len);
CHECKED struct err *image_blob_commit(
	struct image_blobs *b, struct image_writer *w, char ret[static DIGEST_MAX]);
void image_blob_end(struct image_blobs *b, struct image_writer *w); /* NULL-safe */
/* What stands in for a plain layer: a blob that is known to hold it compressed or, with `make`, a
 * new one; "" when there is none. */
CHECKED struct err *image_blob_compressed(struct image_blobs *b, const char *digest, bool make,
	char ret[static DIGEST_MAX], int64_t *ret_size);
/* A document of the size that its descriptor says, at most `max`. */
CHECKED struct err *image_blob_load(struct image_blobs *b, const struct descriptor *d, size_t max,
	struct arena *arena, char **ret, size_t *ret_len);
/* A document that is in memory. */
CHECKED struct err *image_blob_store(struct image_blobs *b, const char *ref, const void *data,
	size_t len, char ret[static DIGEST_MAX]);
