// SPDX-License-Identifier: Apache-2.0
/* The content store: blobs by digest, and writes under way by reference. See containerd/client.h for the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_content {
	const char *digest;
	int64_t size;
	struct ctd_time created_at, updated_at;
	struct ctd_labels labels;
};

struct ctd_contents {
	size_t n;
	const struct ctd_content *const *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_content_list(struct ctd_client *client,
	const char *const *filters, size_t n_filters, struct ctd_contents **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_content_info(
	struct ctd_client *client, const char *digest, struct ctd_content **ret);
/* Sets the labels given; an empty value removes a label. Returns the result. */
CTD_CHECKED CTD_API struct ctd_error *ctd_content_label(struct ctd_client *client,
	const char *digest, struct ctd_labels labels, struct ctd_content **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_content_delete(
	struct ctd_client *client, const char *digest);
/* Writes the blob's bytes to the descriptor as they arrive. */
CTD_CHECKED CTD_API struct ctd_error *ctd_content_copy(
	struct ctd_client *client, const char *digest, int fd);

/* Reads `fd` to its end into the store. size 0: not known; digest NULL: not known. What is expected
 * and does not come is CTD_FAILED_PRECONDITION, and nothing is stored. A blob that is there already
 * is success. */
CTD_CHECKED CTD_API struct ctd_error *ctd_content_ingest(struct ctd_client *client, const char *ref,
	int fd, int64_t size, const char *digest, struct ctd_labels labels);

struct ctd_ingest {
	const char *ref;
	int64_t offset, total; /* total 0: not known */
	struct ctd_time started_at, updated_at;
	const char *expected; /* digest, or "" */
};

struct ctd_ingests {
	size_t n;
	const struct ctd_ingest *const *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_ingest_list(struct ctd_client *client,
	const char *const *filters, size_t n_filters, struct ctd_ingests **ret);

#ifdef __cplusplus
}
#endif
