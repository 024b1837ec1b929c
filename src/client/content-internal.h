// SPDX-License-Identifier: Apache-2.0
/* Reading and writing blobs, for the rest of the library. */
#pragma once

#include "base/digest.h"
#include "client/client-internal.h"

typedef struct err *(*content_data_fn)(void *arg, const void *data, size_t len);

/* Hands on the pieces of a blob as they arrive; an error of `data` ends it. */
CHECKED struct err *content_read(
	const struct scope *s, const char *digest, content_data_fn data, void *arg);
/* Sets the labels given; an empty value removes a label. */
CHECKED struct err *content_label(
	const struct scope *s, const char *digest, struct ctd_labels labels);

/*
 * One write to the content store. Data goes out in pieces while the daemon still works on earlier
 * ones; the daemon hashes, so nobody else needs to.
 */
struct content_writer;

#define CONTENT_CHUNK ((size_t)1 << 20) /* a good size for one content_writer_add() */

/* size 0: not known; digest NULL: not known. A writer whose blob is there already is a
 * content_writer_exists() one, and what it is given is not sent. */
CHECKED struct err *content_writer_open(const struct scope *s, const char *ref, int64_t size,
	const char *digest, struct content_writer **ret);
bool content_writer_exists(const struct content_writer *w);
CHECKED struct err *content_writer_add(struct content_writer *w, const void *data, size_t len);
/* Makes the blob of what was added; ret has its digest. A size or digest that was promised and is
 * not met is ERR_PRECONDITION. */
CHECKED struct err *content_writer_commit(
	struct content_writer *w, struct ctd_labels labels, char ret[static DIGEST_MAX]);
/* What was not committed is aborted. */
void content_writer_free(struct content_writer *w);
DEFINE_AUTOPTR(content_writer, content_writer_free);

/* A whole blob that is in memory. */
CHECKED struct err *content_store(const struct scope *s, const char *ref, const void *data,
	size_t len, struct ctd_labels labels, char ret[static DIGEST_MAX]);
