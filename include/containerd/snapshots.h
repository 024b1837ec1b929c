// SPDX-License-Identifier: Apache-2.0
/* Snapshots: layered file systems. A NULL snapshotter is the namespace's default. See containerd/client.h for the conventions. */
#pragma once

#include <containerd/client.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ctd_snapshot_kind {
	CTD_SNAPSHOT_UNKNOWN,
	CTD_SNAPSHOT_VIEW,
	CTD_SNAPSHOT_ACTIVE,
	CTD_SNAPSHOT_COMMITTED,
};

struct ctd_snapshot {
	const char *name, *parent;
	enum ctd_snapshot_kind kind;
	struct ctd_time created_at, updated_at;
	struct ctd_labels labels;
};

struct ctd_snapshots {
	size_t n;
	const struct ctd_snapshot *const *items;
};

struct ctd_snapshot_usage {
	int64_t size; /* bytes */
	int64_t inodes;
};

CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_list(struct ctd_client *client,
	const char *snapshotter, const char *const *filters, size_t n_filters,
	struct ctd_snapshots **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_get(struct ctd_client *client,
	const char *snapshotter, const char *key, struct ctd_snapshot **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_usage(struct ctd_client *client,
	const char *snapshotter, const char *key, struct ctd_snapshot_usage *ret);
/* A writable snapshot over `parent` (NULL: empty). */
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_prepare(struct ctd_client *client,
	const char *snapshotter, const char *key, const char *parent, struct ctd_labels labels,
	struct ctd_mounts **ret);
/* A read-only one. */
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_view(struct ctd_client *client,
	const char *snapshotter, const char *key, const char *parent, struct ctd_labels labels,
	struct ctd_mounts **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_mounts(struct ctd_client *client,
	const char *snapshotter, const char *key, struct ctd_mounts **ret);
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_commit(struct ctd_client *client,
	const char *snapshotter, const char *name, const char *key, struct ctd_labels labels);
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_remove(
	struct ctd_client *client, const char *snapshotter, const char *key);
/* Sets the labels given; an empty value removes a label. */
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_label(struct ctd_client *client,
	const char *snapshotter, const char *key, struct ctd_labels labels,
	struct ctd_snapshot **ret);

struct ctd_diff_options {
	size_t size;
	const char *snapshotter;
	const char *media_type;	  /* NULL: gzip'ed OCI layer */
	const char *ref;	  /* of the write; NULL: made up */
	struct ctd_labels labels; /* of the blob */
};

#define CTD_DIFF_INIT ((struct ctd_diff_options){.size = sizeof(struct ctd_diff_options)})

/* The changes from snapshot `lower` to `upper` as a blob, which is written to `fd`. A NULL lower
 * is upper's parent. The blob is collected after the call unless a label keeps it. */
CTD_CHECKED CTD_API struct ctd_error *ctd_snapshot_diff(struct ctd_client *client,
	const char *lower, const char *upper, const struct ctd_diff_options *options, int fd);

#ifdef __cplusplus
}
#endif
