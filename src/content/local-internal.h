// SPDX-License-Identifier: Apache-2.0
/* The store on disk: local.c has blobs and the table of writers, local-ingest.c the files of an
 * ingest, local-writer.c an open one. */
#pragma once

#include "base/map.h"
#include "base/thread.h"
#include "content/store.h"

struct local_store {
	struct content_store base;
	char *root;
	struct lock lock;
	/* Key -> struct timestamp, owned: since when a writer has it. Guarded by lock. */
	struct map writers;
};

static inline struct local_store *to_local(struct content_store *s)
{
	return container_of(s, struct local_store, base);
}

/* blobs/<alg>/<hex>; caller frees. */
char *local_blob_path(const struct local_store *s, const char *digest);
/* Let another writer have the key. */
void local_unlock(struct local_store *s, const char *key);
CHECKED struct err *local_writer_open(
	struct content_store *s, const char *key, int64_t total, struct content_writer **ret);

/* ingest/<sha256 of key>; caller frees. */
char *ingest_dir(const struct local_store *s, const char *key);
/* The directory and its files, made or taken over; what does not belong to the key is replaced.
 * `ret` has no offset. */
CHECKED struct err *ingest_prepare(
	const char *dir, const char *key, int64_t total, struct ingest_status *ret);
/* ERR_NOT_FOUND when the directory has no readable ingest. */
CHECKED struct err *ingest_read(const char *dir, struct ingest_status *ret);
/* The time until which data came in, kept for those who look later. */
CHECKED struct err *ingest_touch(const char *dir, struct timestamp t);
/* The key an ingest was opened under; caller frees. NULL when it cannot be read. */
char *ingest_key(const char *dir);
