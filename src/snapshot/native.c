// SPDX-License-Identifier: Apache-2.0
/* native: every snapshot is a whole copy. Slow and large, but works on any file system. */
#include <errno.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "snapshot/driver.h"
#include "snapshot/id-dirs.h"
#include "snapshot/tree-copy.h"
#include "snapshot/tree-usage.h"

/* A view needs no copy: it shows its parent. */
static bool shows_parent(const struct snapshot_chain *c)
{
	return c->info.kind == SNAPSHOT_VIEW && c->n_parents;
}

static struct err *native_create(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	autofree char *staging = NULL;

	TRY(id_dir_begin(d->root, c->info.id, &staging));
	if (chmod(staging, 0755) < 0)
		return err_sys(errno, "chmod %s", staging);
	if (c->n_parents && !shows_parent(c)) {
		autofree char *parent = id_dir(d->root, c->parents[0], NULL);

		TRY(tree_copy(parent, staging));
	}
	return id_dir_publish(d->root, c->info.id, staging);
}

static struct err *native_mounts(
	struct snapshot_driver *d, const struct snapshot_chain *c, struct mounts *ret)
{
	uint64_t id = shows_parent(c) ? c->parents[0] : c->info.id;
	autofree char *source = id_dir(d->root, id, NULL);
	struct mount *m = mounts_add(ret, "bind", source, "");

	strv_add(&m->options, "rbind");
	strv_add(&m->options, c->info.kind == SNAPSHOT_VIEW ? "ro" : "rw");
	return NULL;
}

static struct err *native_usage(struct snapshot_driver *d, const struct snapshot_chain *c,
	int64_t *ret_bytes, int64_t *ret_inodes)
{
	autofree char *dir = id_dir(d->root, c->info.id, NULL);

	return tree_usage(dir, ret_bytes, ret_inodes);
}

static struct err *native_remove(struct snapshot_driver *d, uint64_t id)
{
	return id_dir_remove(d->root, id);
}

static struct err *native_walk(
	struct snapshot_driver *d, struct err *(*visit)(uint64_t id, void *arg), void *arg)
{
	return id_dirs_walk(d->root, visit, arg);
}

static void native_destroy(struct snapshot_driver *d)
{
	free(d->root);
	free(d);
}

static const struct snapshot_driver_ops native_ops = {
	.name = "native",
	.create = native_create,
	.mounts = native_mounts,
	.usage = native_usage,
	.remove = native_remove,
	.walk = native_walk,
	.destroy = native_destroy,
};

struct err *native_driver_open(const char *root, struct snapshot_driver **ret)
{
	struct snapshot_driver *d;

	TRY(id_dirs_open(root));
	d = NEW(struct snapshot_driver);
	d->ops = &native_ops;
	d->root = xstrdup(root);
	*ret = d;
	return NULL;
}
