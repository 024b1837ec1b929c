// SPDX-License-Identifier: Apache-2.0
/*
 * Snapshots as a client sees them: rows and files together, for every snapshotter there is. The
 * files are there before the row counts, and the row is gone before the files are.
 */
#pragma once

#include "meta/snapshots.h"
#include "snapshot/driver.h"

struct snapshots;

struct snapshots *snapshots_new(struct meta *meta); /* borrows it */
void snapshots_free(struct snapshots *s);
DEFINE_AUTOPTR(snapshots, snapshots_free);
/* Takes the driver. What a crash left behind (files without row, reservations) is removed. */
CHECKED struct err *snapshots_add_driver(struct snapshots *s, struct snapshot_driver *take_driver);

/* An unknown snapshotter is ERR_INVALID "snapshotter not loaded: x: invalid argument". */
CHECKED struct err *snapshot_prepare(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, const char *key, const char *parent, const struct strmap *labels,
	struct mounts *ret);
CHECKED struct err *snapshot_view(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, const char *key, const char *parent, const struct strmap *labels,
	struct mounts *ret);
CHECKED struct err *snapshot_mounts(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, const char *key, struct mounts *ret);
CHECKED struct err *snapshot_commit(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, const char *key, const char *name, const char *parent,
	const struct strmap *labels);
CHECKED struct err *snapshot_remove(
	struct snapshots *s, const struct scope *scope, const char *snapshotter, const char *key);
CHECKED struct err *snapshot_stat(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, const char *key, struct snapshot_info *ret);
CHECKED struct err *snapshot_update(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, const char *key, const struct strmap *labels, char *const *paths,
	size_t n_paths, struct snapshot_info *ret);
CHECKED struct err *snapshot_usage(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, const char *key, int64_t *ret_bytes, int64_t *ret_inodes);
CHECKED struct err *snapshot_walk(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, char *const *filters, size_t n_filters, struct snapshot_list *ret);
/* Remove the files of rows that are gone. */
CHECKED struct err *snapshot_cleanup(struct snapshots *s, const char *snapshotter);
/* The same for all snapshotters; what fails is tried again the next time. */
CHECKED struct err *snapshots_cleanup_all(struct snapshots *s);
