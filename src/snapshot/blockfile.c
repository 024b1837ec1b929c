// SPDX-License-Identifier: Apache-2.0
/* blockfile: every snapshot is the image of a file system, copied from its parent's and mounted
 * through a loop device. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"
#include "snapshot/driver.h"
#include "snapshot/id-dirs.h"
#include "snapshot/tree-copy.h"

struct blockfile {
	struct snapshot_driver base;
	char *scratch; /* the image that a snapshot without parent begins with */
	char *fs_type;
	struct strv options;
};

static struct blockfile *to_blockfile(struct snapshot_driver *d)
{
	return container_of(d, struct blockfile, base);
}

/* Durable under its name, or not there. */
static struct err *copy_image(const char *from, const char *staging, const char *to)
{
	autofd in = open(from, O_RDONLY | O_CLOEXEC);
	autofd out = -1;

	if (in < 0)
		return err_sys(errno, "open %s", from);
	out = open(staging, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0)
		return err_sys(errno, "create %s", staging);
	TRY(err_wrap(file_copy(in, out), "copy %s", from));
	if (fsync(out) < 0)
		return err_sys(errno, "write %s", staging);
	if (rename(staging, to) < 0)
		return err_sys(errno, "rename %s", staging);
	return NULL;
}

/* A view needs no copy: it shows its parent. */
static bool shows_parent(const struct snapshot_chain *c)
{
	return c->info.kind == SNAPSHOT_VIEW && c->n_parents;
}

static char *image_of(const struct snapshot_driver *d, const struct snapshot_chain *c)
{
	return id_dir(d->root, shows_parent(c) ? c->parents[0] : c->info.id, NULL);
}

static struct err *blockfile_create(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	autofree char *to = id_dir(d->root, c->info.id, NULL);
	autofree char *staging = id_staging(d->root, c->info.id);
	autofree char *from = c->n_parents ? id_dir(d->root, c->parents[0], NULL)
					   : xstrdup(to_blockfile(d)->scratch);
	struct err *e;

	TRY(id_dir_remove(d->root, c->info.id));
	if (shows_parent(c))
		return access(from, F_OK) < 0 ? err_sys(errno, "open %s", from) : NULL;
	e = copy_image(from, staging, to);
	if (e)
		err_free(id_dir_remove(d->root, c->info.id));
	return e;
}

static struct err *blockfile_mounts(
	struct snapshot_driver *d, const struct snapshot_chain *c, struct mounts *ret)
{
	const struct blockfile *b = to_blockfile(d);
	autofree char *image = image_of(d, c);
	struct mount *m = mounts_add(ret, b->fs_type, image, "");

	strv_add_all(&m->options, &b->options);
	strv_add(&m->options, c->info.kind == SNAPSHOT_VIEW ? "ro" : "rw");
	return NULL;
}

static struct err *size_of(const struct snapshot_driver *d, uint64_t id, int64_t *ret)
{
	autofree char *image = id_dir(d->root, id, NULL);
	struct stat st;

	if (stat(image, &st) < 0)
		return err_sys(errno, "stat %s", image);
	*ret = st.st_size;
	return NULL;
}

/* What the image is longer than its parent's. How much of it they share on the disk, only the file
 * system knows. */
static struct err *blockfile_usage(struct snapshot_driver *d, const struct snapshot_chain *c,
	int64_t *ret_bytes, int64_t *ret_inodes)
{
	int64_t size, parent = 0;

	TRY(size_of(d, c->info.id, &size));
	if (c->n_parents)
		TRY(size_of(d, c->parents[0], &parent));
	*ret_bytes = size - parent;
	*ret_inodes = 1;
	return NULL;
}

static struct err *blockfile_remove(struct snapshot_driver *d, uint64_t id)
{
	return id_dir_remove(d->root, id);
}

static struct err *blockfile_walk(
	struct snapshot_driver *d, struct err *(*visit)(uint64_t id, void *arg), void *arg)
{
	return id_dirs_walk(d->root, visit, arg);
}

static void blockfile_destroy(struct snapshot_driver *d)
{
	struct blockfile *b = to_blockfile(d);

	strv_done(&b->options);
	free(b->scratch);
	free(b->fs_type);
	free(d->root);
	free(b);
}

static const struct snapshot_driver_ops blockfile_ops = {
	.name = "blockfile",
	.create = blockfile_create,
	.mounts = blockfile_mounts,
	.usage = blockfile_usage,
	.remove = blockfile_remove,
	.walk = blockfile_walk,
	.destroy = blockfile_destroy,
};

/* Our own copy of the scratch file, so that snapshots go on when the configured one changes. */
static struct err *prepare_scratch(
	const char *root, const struct blockfile_options *options, char **ret)
{
	autofree char *scratch = path_join(root, "scratch");
	autofree char *staging = path_join(root, "new-scratch");
	struct err *e;

	if (options->recreate_scratch || access(scratch, F_OK) < 0) {
		if (str_empty(options->scratch_file))
			return err_new(ERR_UNKNOWN, "no scratch file generator: " SNAPSHOT_SKIP);
		e = copy_image(options->scratch_file, staging, scratch);
		if (e) {
			unlink(staging);
			return err_wrap(
				e, "failed to generate scratch file: failed to copy scratch");
		}
	}
	*ret = TAKE(scratch);
	return NULL;
}

struct err *blockfile_driver_open(
	const char *root, const struct blockfile_options *options, struct snapshot_driver **ret)
{
	autofree char *scratch = NULL;
	struct blockfile *b;

	TRY(prepare_scratch(root, options, &scratch));
	TRY(id_dirs_open(root));
	b = NEW(struct blockfile);
	b->base.ops = &blockfile_ops;
	b->base.root = xstrdup(root);
	b->scratch = TAKE(scratch);
	b->fs_type = xstrdup(str_empty(options->fs_type) ? "ext4" : options->fs_type);
	if (options->mount_options)
		strv_add_all(&b->options, options->mount_options);
	if (!strv_has(&b->options, "loop"))
		strv_add(&b->options, "loop");
	*ret = &b->base;
	return NULL;
}
