// SPDX-License-Identifier: Apache-2.0
/*
 * Content as a client sees it: the store through namespace, labels and leases. Every write is data
 * first, then row; every removal is row first, then data (by the collector).
 */
#pragma once

#include "content/store.h"
#include "meta/blobs.h"

struct content;
struct content_ingest; /* an open write */

struct content *content_new(struct meta *meta, struct content_store *store); /* borrows both */
void content_free(struct content *c);
DEFINE_AUTOPTR(content, content_free);

CHECKED struct err *content_info(
	struct content *c, const struct scope *s, const char *digest, struct blob_info *ret);
CHECKED struct err *content_list(struct content *c, const struct scope *s, char *const *filters,
	size_t n_filters, struct blob_list *ret);
CHECKED struct err *content_update(struct content *c, const struct scope *s, const char *digest,
	const struct strmap *labels, char *const *paths, size_t n_paths, struct blob_info *ret);
CHECKED struct err *content_delete(struct content *c, const struct scope *s, const char *digest);
/* A descriptor on the blob, when the namespace has it. */
CHECKED struct err *content_read(struct content *c, const struct scope *s, const char *digest,
	int *ret_fd, int64_t *ret_size);

CHECKED struct err *content_ingest_status(
	struct content *c, const struct scope *s, const char *ref, struct ingest_status *ret);

struct ingest_status_list {
	struct ingest_status *items; /* keys are the client's refs */
	size_t n, cap;
};
void ingest_status_list_done(struct ingest_status_list *l);
DEFINE_AUTOVAL(ingest_status_list, ingest_status_list_done);
/* Filter field: ref. */
CHECKED struct err *content_ingest_list(struct content *c, const struct scope *s,
	char *const *filters, size_t n_filters, struct ingest_status_list *ret);
CHECKED struct err *content_ingest_abort(struct content *c, const struct scope *s, const char *ref);

/* Open or resume. ERR_EXISTS when `expected` (may be NULL) is in the namespace, ERR_UNAVAILABLE
 * while another writer has the ref. */
CHECKED struct err *content_ingest_open(struct content *c, const struct scope *s, const char *ref,
	int64_t total, const char *expected, struct content_ingest **ret);
/* At `offset`, which is where the ingest ends, or before: then it is cut there first. */
CHECKED struct err *content_ingest_write(
	struct content_ingest *i, int64_t offset, const void *data, size_t len);
void content_ingest_current(struct content_ingest *i, struct ingest_status *ret);
void content_ingest_digest(struct content_ingest *i, char ret[static DIGEST_MAX]);
/* The ingest is closed whatever comes out; ERR_EXISTS when the namespace has the blob already. */
CHECKED struct err *content_ingest_commit(struct content_ingest *take_i, int64_t size,
	const char *expected, const struct strmap *labels);
void content_ingest_close(struct content_ingest *i); /* NULL-safe; the data stays for a resume */
DEFINE_AUTOPTR(content_ingest, content_ingest_close);
