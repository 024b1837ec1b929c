// SPDX-License-Identifier: Apache-2.0
/*
 * Blobs on disk in containerd's own layout: blobs/<alg>/<hex>, ingest/<sha256 of key>/{ref, data,
 * startedat, updatedat, total}. A blob is complete, verified and durable once it has its name.
 * Ingests survive a restart and are resumed. Names here are keys of the whole store; namespaces,
 * labels and leases are the business of namespaced/content.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/timestamp.h"

struct content_store;
struct content_writer;

struct ingest_status {
	char *key;
	int64_t offset, total;
	char *expected; /* digest, or NULL; kept by the metadata layer, NULL here */
	struct timestamp started_at, updated_at;
};
void ingest_status_done(struct ingest_status *s);
DEFINE_AUTOVAL(ingest_status, ingest_status_done);

/* One implementation on disk (local.c), one in memory for tests (memory.c). */
struct content_store_ops {
	/* A descriptor to read the blob and its size. ERR_NOT_FOUND "content <digest>: not found". */
	struct err *(*open_blob)(
		struct content_store *s, const char *digest, int *ret_fd, int64_t *ret_size);
	/* ERR_NOT_FOUND when it is not there. */
	struct err *(*remove_blob)(struct content_store *s, const char *digest);
	/* All blobs, each once, in no order; stops at the first error of `visit`. */
	struct err *(*walk)(struct content_store *s,
		struct err *(*visit)(const char *digest, int64_t size, void *arg), void *arg);
	/* Open or resume; the hash of what is there is recomputed. ERR_UNAVAILABLE "ref <key> locked"
	 * while another writer has it. */
	struct err *(*writer_open)(struct content_store *s, const char *key, int64_t total,
		struct content_writer **ret);
	struct err *(*status)(struct content_store *s, const char *key, struct ingest_status *ret);
	struct err *(*abort)(struct content_store *s, const char *key);
	/* Keys of all ingests there are. */
	struct err *(*walk_ingests)(struct content_store *s,
		struct err *(*visit)(const char *key, void *arg), void *arg);
	void (*destroy)(struct content_store *s);
};

struct content_writer_ops {
	/* At the end of what is there. Data is handed to the page cache, hashed, and written back in
	 * the background. */
	struct err *(*write)(struct content_writer *w, const void *data, size_t len);
	/* Back to a shorter length. */
	struct err *(*truncate)(struct content_writer *w, int64_t size);
	/* Verify size (0: any) and digest (NULL: any), make durable, give the blob its name. The writer
	 * is done then, whatever the result: the key is free again, and close() only frees memory. ERR_EXISTS when the blob is there already (the ingest is
	 * removed), ERR_PRECONDITION for a wrong size or digest in containerd's words (the ingest
	 * stays). */
	struct err *(*commit)(struct content_writer *w, int64_t size, const char *expected);
	void (*status)(struct content_writer *w, struct ingest_status *ret);
	/* Digest of what was written so far. */
	void (*digest)(struct content_writer *w, char ret[static DIGEST_MAX]);
	/* Releases the writer; the ingest stays and can be resumed. */
	void (*close)(struct content_writer *w);
};

struct content_store {
	const struct content_store_ops *ops;
};

struct content_writer {
	const struct content_writer_ops *ops;
};

CHECKED struct err *content_local_open(const char *root, struct content_store **ret);
CHECKED struct err *content_memory_open(struct content_store **ret);

/* Callers use these, never the slots. They check digests, keys and sizes. */
void content_close(struct content_store *s);
CHECKED struct err *content_open_blob(
	struct content_store *s, const char *digest, int *ret_fd, int64_t *ret_size);
CHECKED struct err *content_remove_blob(struct content_store *s, const char *digest);
CHECKED struct err *content_walk(struct content_store *s,
	struct err *(*visit)(const char *digest, int64_t size, void *arg), void *arg);
CHECKED struct err *content_writer_open(
	struct content_store *s, const char *key, int64_t total, struct content_writer **ret);
CHECKED struct err *content_status(
	struct content_store *s, const char *key, struct ingest_status *ret);
CHECKED struct err *content_abort(struct content_store *s, const char *key);
CHECKED struct err *content_walk_ingests(
	struct content_store *s, struct err *(*visit)(const char *key, void *arg), void *arg);
CHECKED struct err *content_write(struct content_writer *w, const void *data, size_t len);
CHECKED struct err *content_truncate(struct content_writer *w, int64_t size);
CHECKED struct err *content_commit(struct content_writer *w, int64_t size, const char *expected);
void content_writer_status(struct content_writer *w, struct ingest_status *ret);
void content_writer_digest(struct content_writer *w, char ret[static DIGEST_MAX]);
void content_writer_close(struct content_writer *w); /* NULL-safe */
DEFINE_AUTOPTR(content_writer, content_writer_close);
DEFINE_AUTOPTR(content_store, content_close);
