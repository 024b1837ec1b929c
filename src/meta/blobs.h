// SPDX-License-Identifier: Apache-2.0
/*
 * Which blobs and ingests a namespace sees. Policy "shared", containerd's default: a blob that is
 * in the store comes into a namespace by an ingest that names its digest as expected.
 */
#pragma once

#include "meta/db.h"

struct blob_info {
	char *digest;
	int64_t size;
	struct strmap labels;
	struct timestamp created_at, updated_at;
};

struct blob_list {
	struct blob_info *items;
	size_t n, cap;
};

struct ingest_row {
	char *ref;	/* the client's */
	char *key;	/* the content store's: "<ns>/<sequence>/<ref>" */
	char *expected; /* digest, or NULL */
};

struct ingest_row_list {
	struct ingest_row *items;
	size_t n, cap;
};

void blob_info_done(struct blob_info *b);
DEFINE_AUTOVAL(blob_info, blob_info_done);
void blob_list_done(struct blob_list *l);
DEFINE_AUTOVAL(blob_list, blob_list_done);
void ingest_row_done(struct ingest_row *i);
DEFINE_AUTOVAL(ingest_row, ingest_row_done);
void ingest_row_list_done(struct ingest_row_list *l);
DEFINE_AUTOVAL(ingest_row_list, ingest_row_list_done);

CHECKED struct err *blobs_get(
	struct meta *m, const struct scope *s, const char *digest, struct blob_info *ret);
/* Filter fields: digest, size, labels.*. */
CHECKED struct err *blobs_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct blob_list *ret);
/* Paths "labels" and "labels.x"; none: all labels. */
CHECKED struct err *blobs_update(struct meta *m, const struct scope *s, const char *digest,
	const struct strmap *labels, char *const *paths, size_t n_paths, struct blob_info *ret);
/* The row only; the collector removes the file when no namespace has the blob any more. */
CHECKED struct err *blobs_delete(struct meta *m, const struct scope *s, const char *digest);
/* Whether any namespace has the blob; its size. */
CHECKED struct err *blobs_known(struct meta *m, const char *digest, bool *ret, int64_t *ret_size);

/*
 * The row of an ingest, made when it is not there yet; under a lease it is added to it. A power cut
 * may take it back. When the blob `expected` (may be NULL) is in the namespace already: ERR_EXISTS
 * "content <digest>: already exists", and the lease holds it. With `shared` the caller has found
 * `expected` in the store: the row keeps it from being removed, until a commit brings it into this
 * namespace.
 */
CHECKED struct err *ingests_open(struct meta *m, const struct scope *s, const char *ref,
	const char *expected, bool shared, struct ingest_row *ret);
CHECKED struct err *ingests_get(
	struct meta *m, const struct scope *s, const char *ref, struct ingest_row *ret);
CHECKED struct err *ingests_list(
	struct meta *m, const struct scope *s, struct ingest_row_list *ret);
CHECKED struct err *ingests_delete(struct meta *m, const struct scope *s, const char *ref);
/* The ingest's row becomes the blob's, and the lease's reference with it, in one transaction.
 * ERR_EXISTS when the namespace has the blob already (the ingest's row is gone then, too). Called
 * when the file is durable in the store. */
CHECKED struct err *ingests_commit(struct meta *m, const struct scope *s, const char *ref,
	const char *digest, int64_t size, const struct strmap *labels);

/*
 * The files of blobs and ingests, for the layer that has them.
 *
 * A blob's file is there before its row. From before its digest is looked for or made in the store
 * until the row is written, the writer pins it: the sweep of files passes over it then.
 */
void blobs_pin(struct meta *m, const char *digest);
void blobs_unpin(struct meta *m, const char *digest);
/* Runs `remove` unless the blob is pinned or a row names it: a blob's of any namespace, or an
 * ingest's that expects it. */
CHECKED struct err *blobs_sweep(struct meta *m, const char *digest,
	struct err *(*remove)(const char *digest, void *arg), void *arg, bool *ret_removed);
/* Whether a row has the store's key; rows are there before the files. */
CHECKED struct err *ingests_known(struct meta *m, const char *key, bool *ret);
/* Digests and ingest keys whose rows went since the last call. */
void blobs_take_removed(struct meta *m, struct strv *ret_digests, struct strv *ret_ingests);
/* The file of this digest may be there without a row: the next sweep is to look at it. */
void blobs_suspect(struct meta *m, const char *digest);
