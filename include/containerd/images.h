// SPDX-License-Identifier: Apache-2.0
/* Images: names of manifests and indexes in the content store. See containerd/client.h for the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ctd_image {
	const char *name;
	struct ctd_labels labels;
	struct ctd_descriptor target;
	struct ctd_time created_at, updated_at;
};

struct ctd_images {
	size_t n;
	const struct ctd_image *const *items;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_image_list(struct ctd_client *client,
	const char *const *filters, size_t n_filters, struct ctd_images **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_image_get(
	struct ctd_client *client, const char *name, struct ctd_image **ret);
/* With `sync`, returns after what the image alone held was collected. */
CTD_CHECKED CTD_API struct ctd_error *ctd_image_delete(
	struct ctd_client *client, const char *name, bool sync);
/* One more name for the same target. CTD_ALREADY_EXISTS when the name is taken, unless `force`. */
CTD_CHECKED CTD_API struct ctd_error *ctd_image_tag(
	struct ctd_client *client, const char *source, const char *name, bool force);
/* Sets the labels given (an empty value removes one) or, with replace_all, makes them the only
 * ones. */
CTD_CHECKED CTD_API struct ctd_error *ctd_image_label(struct ctd_client *client, const char *name,
	struct ctd_labels labels, bool replace_all, struct ctd_image **ret);

/* Bytes of all blobs of the image for this machine's platform. */
CTD_CHECKED CTD_API struct ctd_error *ctd_image_size(
	struct ctd_client *client, const struct ctd_image *image, int64_t *ret);
/* "linux/amd64" and so on, sorted, each once. */
CTD_CHECKED CTD_API struct ctd_error *ctd_image_platforms(
	struct ctd_client *client, const struct ctd_image *image, struct ctd_strings **ret);

struct ctd_image_state {
	bool available;			     /* the manifest for this platform is there */
	bool unpacked;			     /* its layers are a snapshot */
	size_t n_required, n_present;	     /* blobs */
	int64_t required_size, present_size; /* bytes */
};

CTD_CHECKED CTD_API struct ctd_error *ctd_image_check(struct ctd_client *client,
	const struct ctd_image *image, const char *snapshotter, struct ctd_image_state *ret);

/* Make the layers of the image a chain of snapshots. Layers that are there already cost nothing.
 * A NULL platform is this machine's. */
CTD_CHECKED CTD_API struct ctd_error *ctd_image_unpack(struct ctd_client *client,
	const struct ctd_image *image, const char *snapshotter, const char *platform);

#ifdef __cplusplus
}
#endif
