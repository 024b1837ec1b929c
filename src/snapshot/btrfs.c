// SPDX-License-Identifier: Apache-2.0
/* btrfs: every snapshot is a subvolume, made from its parent's in an instant. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "snapshot/driver.h"
#include "snapshot/id-dirs.h"
#include "snapshot/subvolume.h"
#include "snapshot/tree-usage.h"
#include "sys/mountinfo.h"

struct btrfs {
	struct snapshot_driver base;
	char *device; /* the file system's, for those who mount a subvolume of it */
};

static struct btrfs *to_btrfs(struct snapshot_driver *d)
{
	return container_of(d, struct btrfs, base);
}

static struct err *create_empty(const char *path)
{
	TRY(subvolume_create(path));
	if (chmod(path, 0755) < 0)
		return err_sys(errno, "chmod %s", path);
	return NULL;
}

static struct err *btrfs_create(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	autofree char *path = id_dir(d->root, c->info.id, NULL);
	autofree char *parent = NULL;

	TRY(subvolume_remove(path));
	if (!c->n_parents)
		return create_empty(path);
	parent = id_dir(d->root, c->parents[0], NULL);
	return subvolume_snapshot(parent, path, c->info.kind == SNAPSHOT_VIEW);
}

static struct err *btrfs_mounts(
	struct snapshot_driver *d, const struct snapshot_chain *c, struct mounts *ret)
{
	autofree char *path = id_dir(d->root, c->info.id, NULL);
	struct mount *m;
	uint64_t id;

	TRY(subvolume_id(path, &id));
	/* A commit that was cut short leaves it sealed. */
	if (c->info.kind == SNAPSHOT_ACTIVE)
		TRY(subvolume_set_readonly(path, false));
	m = mounts_add(ret, "btrfs", to_btrfs(d)->device, "");
	strv_addf(&m->options, "subvolid=%" PRIu64, id);
	if (c->info.kind != SNAPSHOT_ACTIVE)
		strv_add(&m->options, "ro");
	return NULL;
}

static struct err *btrfs_usage(struct snapshot_driver *d, const struct snapshot_chain *c,
	int64_t *ret_bytes, int64_t *ret_inodes)
{
	autofree char *path = id_dir(d->root, c->info.id, NULL);
	autofree char *parent = NULL;

	if (!c->n_parents)
		return tree_usage(path, ret_bytes, ret_inodes);
	parent = id_dir(d->root, c->parents[0], NULL);
	return tree_usage_changed(path, parent, ret_bytes, ret_inodes);
}

static struct err *btrfs_commit(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	autofree char *path = id_dir(d->root, c->info.id, NULL);

	return subvolume_set_readonly(path, true);
}

static struct err *btrfs_remove(struct snapshot_driver *d, uint64_t id)
{
	autofree char *path = id_dir(d->root, id, NULL);

	return subvolume_remove(path);
}

static struct err *btrfs_walk(
	struct snapshot_driver *d, struct err *(*visit)(uint64_t id, void *arg), void *arg)
{
	return id_dirs_walk(d->root, visit, arg);
}

static void btrfs_destroy(struct snapshot_driver *d)
{
	struct btrfs *b = to_btrfs(d);

	free(b->device);
	free(d->root);
	free(b);
}

static const struct snapshot_driver_ops btrfs_ops = {
	.name = "btrfs",
	.create = btrfs_create,
	.mounts = btrfs_mounts,
	.usage = btrfs_usage,
	.commit = btrfs_commit,
	.remove = btrfs_remove,
	.walk = btrfs_walk,
	.destroy = btrfs_destroy,
};

static struct err *find_device(const char *root, char **ret)
{
	autofree char *real = realpath(root, NULL);
	autofree char *type = NULL;
	autofree char *device = NULL;

	if (!real)
		return err_sys(errno, "resolve %s", root);
	TRY(mountinfo_find(real, &type, &device));
	if (!str_eq(type, "btrfs"))
		return err_new(ERR_UNKNOWN,
			"path %s (%s) must be a btrfs filesystem to be used with the btrfs "
			"snapshotter: " SNAPSHOT_SKIP,
			root, type);
	*ret = TAKE(device);
	return NULL;
}

struct err *btrfs_driver_open(const char *root, struct snapshot_driver **ret)
{
	autofree char *device = NULL;
	struct btrfs *b;

	TRY(find_device(root, &device));
	TRY(id_dirs_open(root));
	b = NEW(struct btrfs);
	b->base.ops = &btrfs_ops;
	b->base.root = xstrdup(root);
	b->device = TAKE(device);
	*ret = &b->base;
	return NULL;
}
