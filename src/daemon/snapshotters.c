// SPDX-License-Identifier: Apache-2.0
#include "daemon/snapshotters.h"

#include "base/alloc.h"
#include "base/fs.h"

/* The configured directory or the plugin's own, made and exported. */
static struct err *prepare_root(
	struct daemon *d, struct plugin_info *p, const char *configured, char **ret)
{
	autofree char *root =
		str_empty(configured) ? plugin_root(d, p->type, p->id) : xstrdup(configured);

	strmap_set(&p->exports, "root", root);
	TRY(mkdir_p(root, 0700));
	*ret = TAKE(root);
	return NULL;
}

static struct err *add_driver(
	struct daemon *d, struct plugin_info *p, struct snapshot_driver *take_driver)
{
	p->capabilities = take_driver->capabilities;
	return snapshots_add_driver(d->snapshots, take_driver);
}

struct err *init_blockfile(struct daemon *d, struct plugin_info *p)
{
	const struct config *c = d->config;
	const struct blockfile_options options = {
		.scratch_file = c->blockfile_scratch_file,
		.recreate_scratch = c->blockfile_recreate_scratch,
		.fs_type = c->blockfile_fs_type,
		.mount_options = &c->blockfile_mount_options,
	};
	struct snapshot_driver *driver;
	autofree char *root = NULL;

	TRY(prepare_root(d, p, c->blockfile_root, &root));
	TRY(blockfile_driver_open(root, &options, &driver));
	return add_driver(d, p, driver);
}

struct err *init_btrfs(struct daemon *d, struct plugin_info *p)
{
	struct snapshot_driver *driver;
	autofree char *root = NULL;

	TRY(prepare_root(d, p, d->config->btrfs_root, &root));
	TRY(btrfs_driver_open(root, &driver));
	return add_driver(d, p, driver);
}

struct err *init_native(struct daemon *d, struct plugin_info *p)
{
	struct snapshot_driver *driver;
	autofree char *root = NULL;

	TRY(prepare_root(d, p, d->config->native_root, &root));
	TRY(native_driver_open(root, &driver));
	return add_driver(d, p, driver);
}

struct err *init_overlayfs(struct daemon *d, struct plugin_info *p)
{
	const struct config *c = d->config;
	const struct overlay_options options = {
		.mount_options = &c->overlay_mount_options,
		.upperdir_label = c->overlay_upperdir_label,
		.slow_chown = c->overlay_slow_chown,
		.sync_remove = c->overlay_sync_remove,
	};
	struct snapshot_driver *driver;
	autofree char *root = NULL;

	TRY(prepare_root(d, p, c->overlay_root, &root));
	TRY(overlay_driver_open(root, &options, &driver));
	return add_driver(d, p, driver);
}
