// SPDX-License-Identifier: Apache-2.0
/*
 * Where the files of snapshots live. A driver knows numeric ids and directories; names, parents,
 * labels and transactions are rows in meta/snapshots.h, and namespaced/snapshots.h brings the two
 * together. overlay.c, native.c, btrfs.c, blockfile.c, and memory.c for tests.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/strmap.h"
#include "meta/snapshots.h"
#include "sys/mount.h"

struct snapshot_driver;

struct snapshot_driver_ops {
	const char *name; /* "overlayfs" */
	/* Make the files of a new active snapshot or view. Whole or not at all; a left-over directory of
	 * the same id (a crash) is replaced. */
	struct err *(*create)(struct snapshot_driver *d, const struct snapshot_chain *c);
	/* The mounts that show an active snapshot or a view, in containerd's order of options. */
	struct err *(*mounts)(
		struct snapshot_driver *d, const struct snapshot_chain *c, struct mounts *ret);
	/* Bytes and inodes of the snapshot alone, without its parents. */
	struct err *(*usage)(struct snapshot_driver *d, const struct snapshot_chain *c,
		int64_t *ret_bytes, int64_t *ret_inodes);
	/* An active snapshot becomes read-only content. Optional. */
	struct err *(*commit)(struct snapshot_driver *d, const struct snapshot_chain *c);
	/* Labels that the driver shows beside the client's, which count before them. Optional. */
	void (*labels)(struct snapshot_driver *d, uint64_t id, struct strmap *labels);
	/* Remove the files of an id; none there is success. */
	struct err *(*remove)(struct snapshot_driver *d, uint64_t id);
	/* Ids that have files, for the check at start. */
	struct err *(*walk)(
		struct snapshot_driver *d, struct err *(*visit)(uint64_t id, void *arg), void *arg);
	void (*destroy)(struct snapshot_driver *d);
};

#define SNAPSHOT_CAPABILITIES_MAX 4

struct snapshot_driver {
	const struct snapshot_driver_ops *ops;
	char *root; /* exported to introspection; owned */
	/* In containerd's words ("remap-ids"), NULL-terminated. */
	const char *capabilities[SNAPSHOT_CAPABILITIES_MAX];
	bool shows_labels; /* ops->labels counts */
	bool sync_remove;  /* files go before Remove returns, not with the next cleanup */
};

struct overlay_options {
	const struct strv *mount_options; /* behind our own in every overlay mount; may be NULL */
	bool upperdir_label;		  /* show where the layer is */
	bool slow_chown; /* clients may change owners where the kernel cannot map ids */
	bool sync_remove;
};

struct blockfile_options {
	const char *scratch_file; /* an image of an empty file system, copied for each snapshot */
	bool recreate_scratch;	  /* take it anew at every open */
	const char *fs_type;	  /* "" or NULL: ext4 */
	const struct strv *mount_options; /* "loop" is added; may be NULL */
};

/* What an error ends in when a driver cannot work here, which is not a failure (containerd's
 * words, which clients look for). */
#define SNAPSHOT_SKIP "skip plugin"

CHECKED struct err *overlay_driver_open(
	const char *root, const struct overlay_options *options, struct snapshot_driver **ret);
CHECKED struct err *native_driver_open(const char *root, struct snapshot_driver **ret);
CHECKED struct err *btrfs_driver_open(const char *root, struct snapshot_driver **ret);
CHECKED struct err *blockfile_driver_open(
	const char *root, const struct blockfile_options *options, struct snapshot_driver **ret);
CHECKED struct err *memory_driver_open(struct snapshot_driver **ret);

void snapshot_driver_close(struct snapshot_driver *d);
DEFINE_AUTOPTR(snapshot_driver, snapshot_driver_close);
const char *snapshot_driver_name(const struct snapshot_driver *d);
CHECKED struct err *snapshot_driver_create(
	struct snapshot_driver *d, const struct snapshot_chain *c);
CHECKED struct err *snapshot_driver_mounts(
	struct snapshot_driver *d, const struct snapshot_chain *c, struct mounts *ret);
CHECKED struct err *snapshot_driver_usage(struct snapshot_driver *d, const struct snapshot_chain *c,
	int64_t *ret_bytes, int64_t *ret_inodes);
CHECKED struct err *snapshot_driver_commit(
	struct snapshot_driver *d, const struct snapshot_chain *c);
void snapshot_driver_labels(struct snapshot_driver *d, uint64_t id, struct strmap *labels);
CHECKED struct err *snapshot_driver_remove(struct snapshot_driver *d, uint64_t id);
CHECKED struct err *snapshot_driver_walk(
	struct snapshot_driver *d, struct err *(*visit)(uint64_t id, void *arg), void *arg);
