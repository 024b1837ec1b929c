// SPDX-License-Identifier: Apache-2.0
/* overlayfs: <id>/fs is a layer, <id>/work the kernel's for an active one. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/strv.h"
#include "snapshot/driver.h"
#include "snapshot/id-dirs.h"
#include "snapshot/tree-usage.h"
#include "sys/id-map.h"

#define UID_MAPPING "containerd.io/snapshot/uidmapping"
#define GID_MAPPING "containerd.io/snapshot/gidmapping"
#define UPPERDIR_LABEL "containerd.io/snapshot/overlay.upperdir"
#define PROBED_ID 666

struct overlay {
	struct snapshot_driver base;
	struct strv options; /* behind the directories in every overlay mount */
	bool maps_ids;	     /* the kernel can show layers here with other ids */
};

static struct overlay *to_overlay(struct snapshot_driver *d)
{
	return container_of(d, struct overlay, base);
}

/* The host's id of the container's root; without a mapping they are the same. */
static struct err *mapped_root(const char *mapping, uint32_t *ret)
{
	autofree struct id_map *map = NULL;

	*ret = 0;
	if (str_empty(mapping))
		return NULL;
	map = NEW(struct id_map);
	TRY(err_wrap(id_map_parse(mapping, map), "failed to unmarshal snapshot ID mapped labels"));
	if (!id_map_to_host(map, 0, ret))
		return err_new(ERR_INVALID,
			"failed to find root pair: container ID 0 cannot be mapped to a host ID");
	return NULL;
}

/* The layer's root is like the parent's, and belongs to the mapped root user if there is one. */
static struct err *set_owner(
	const struct overlay *o, const struct snapshot_chain *c, const char *fs)
{
	const char *uids = strmap_get(&c->info.labels, UID_MAPPING);
	const char *gids = strmap_get(&c->info.labels, GID_MAPPING);
	struct stat st = {0};

	if (c->n_parents) {
		autofree char *parent = id_dir(o->base.root, c->parents[0], "fs");

		if (stat(parent, &st) < 0)
			return err_sys(errno, "stat parent %s", parent);
		if (chmod(fs, st.st_mode & 07777) < 0)
			return err_sys(errno, "chmod %s", fs);
	}
	if (uids || gids) {
		TRY(mapped_root(uids, &st.st_uid));
		TRY(mapped_root(gids, &st.st_gid));
	} else if (!c->n_parents) {
		return NULL;
	}
	if (lchown(fs, st.st_uid, st.st_gid) < 0)
		return err_sys(errno, "chown %s", fs);
	return NULL;
}

static struct err *make_dir(const char *staging, const char *name, mode_t mode)
{
	autofree char *path = path_join(staging, name);

	if (mkdir(path, mode) < 0 || chmod(path, mode) < 0)
		return err_sys(errno, "create directory %s", path);
	return NULL;
}

static struct err *overlay_create(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	const struct overlay *o = to_overlay(d);
	autofree char *staging = NULL;
	autofree char *fs = NULL;

	TRY(id_dir_begin(d->root, c->info.id, &staging));
	TRY(make_dir(staging, "fs", 0755));
	if (c->info.kind == SNAPSHOT_ACTIVE)
		TRY(make_dir(staging, "work", 0711));
	fs = path_join(staging, "fs");
	TRY(set_owner(o, c, fs));
	return id_dir_publish(d->root, c->info.id, staging);
}

/* For whoever mounts it: the kernel shows the layers with the container's ids. */
static void add_mappings(
	const struct overlay *o, const struct snapshot_chain *c, struct strv *options)
{
	const char *uids = strmap_get(&c->info.labels, UID_MAPPING);
	const char *gids = strmap_get(&c->info.labels, GID_MAPPING);

	if (o->maps_ids && uids)
		strv_addf(options, "uidmap=%s", uids);
	if (o->maps_ids && gids)
		strv_addf(options, "gidmap=%s", gids);
}

static void add_bind(const struct overlay *o, const struct snapshot_chain *c, struct mounts *m,
	const char *source, const char *access)
{
	struct mount *bind = mounts_add(m, "bind", source, "");

	add_mappings(o, c, &bind->options);
	strv_add(&bind->options, access);
	strv_add(&bind->options, "rbind");
}

static char *lowerdir(const struct overlay *o, const struct snapshot_chain *c)
{
	autoval(strv) paths = STRV_INIT;
	autofree char *joined = NULL;

	for (size_t i = 0; i < c->n_parents; i++)
		strv_add_take(&paths, id_dir(o->base.root, c->parents[i], "fs"));
	joined = strv_join(&paths, ":");
	return xasprintf("lowerdir=%s", joined);
}

static struct err *overlay_mounts(
	struct snapshot_driver *d, const struct snapshot_chain *c, struct mounts *ret)
{
	const struct overlay *o = to_overlay(d);
	bool active = c->info.kind == SNAPSHOT_ACTIVE;
	autofree char *fs = id_dir(d->root, c->info.id, "fs");
	autofree char *work = id_dir(d->root, c->info.id, "work");
	struct mount *m;

	if (!c->n_parents) {
		add_bind(o, c, ret, fs, active ? "rw" : "ro");
		return NULL;
	}
	if (!active && c->n_parents == 1) {
		autofree char *parent = id_dir(d->root, c->parents[0], "fs");

		add_bind(o, c, ret, parent, "ro");
		return NULL;
	}
	m = mounts_add(ret, "overlay", "overlay", "");
	add_mappings(o, c, &m->options);
	if (active) {
		strv_addf(&m->options, "workdir=%s", work);
		strv_addf(&m->options, "upperdir=%s", fs);
	}
	strv_add_take(&m->options, lowerdir(o, c));
	strv_add_all(&m->options, &o->options);
	return NULL;
}

static struct err *overlay_usage(struct snapshot_driver *d, const struct snapshot_chain *c,
	int64_t *ret_bytes, int64_t *ret_inodes)
{
	autofree char *fs = id_dir(d->root, c->info.id, "fs");

	return tree_usage(fs, ret_bytes, ret_inodes);
}

static void overlay_labels(struct snapshot_driver *d, uint64_t id, struct strmap *labels)
{
	autofree char *fs = NULL;

	if (strmap_get(labels, UPPERDIR_LABEL))
		return;
	fs = id_dir(d->root, id, "fs");
	strmap_set(labels, UPPERDIR_LABEL, fs);
}

static struct err *overlay_remove(struct snapshot_driver *d, uint64_t id)
{
	return id_dir_remove(d->root, id);
}

static struct err *overlay_walk(
	struct snapshot_driver *d, struct err *(*visit)(uint64_t id, void *arg), void *arg)
{
	return id_dirs_walk(d->root, visit, arg);
}

static void overlay_destroy(struct snapshot_driver *d)
{
	struct overlay *o = to_overlay(d);

	strv_done(&o->options);
	free(d->root);
	free(o);
}

static const struct snapshot_driver_ops overlay_ops = {
	.name = "overlayfs",
	.create = overlay_create,
	.mounts = overlay_mounts,
	.usage = overlay_usage,
	.labels = overlay_labels,
	.remove = overlay_remove,
	.walk = overlay_walk,
	.destroy = overlay_destroy,
};

/* --- opening: does it work here? --- */

/* "key" or "key=value" among the options. */
static bool has_option(const struct strv *options, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < options->n; i++) {
		const char *o = options->items[i];

		if (strncmp(o, key, len) == 0 && (!o[len] || o[len] == '='))
			return true;
	}
	return false;
}

/* In a user namespace the kernel keeps overlay's marks in user.* attributes. */
static bool in_user_namespace(void)
{
	autofree char *map = NULL;
	size_t len;
	autoptr(err) e = file_read("/proc/self/uid_map", 4096, &map, &len);
	unsigned long inside, outside, size;

	if (e || sscanf(map, "%lu %lu %lu", &inside, &outside, &size) != 3)
		return false;
	return inside != 0 || outside != 0 || size != 4294967295UL;
}

static void choose_options(struct overlay *o, const struct overlay_options *options)
{
	if (options->mount_options)
		strv_add_all(&o->options, options->mount_options);
	if (!has_option(&o->options, "userxattr") && in_user_namespace())
		strv_add(&o->options, "userxattr");
	if (!has_option(&o->options, "index") &&
		access("/sys/module/overlay/parameters/index", F_OK) == 0)
		strv_add(&o->options, "index=off");
}

/* Two layers and an upper one, mounted for a moment below the root; `mapping` may be NULL. */
static struct err *mount_probe(const struct overlay *o, const char *dir, const char *mapping)
{
	autofree char *merged = path_join(dir, "merged");
	autoval(mounts) m = MOUNTS_INIT;
	struct mount *overlay = mounts_add(&m, "overlay", "overlay", "");

	if (mapping) {
		strv_addf(&overlay->options, "uidmap=%s", mapping);
		strv_addf(&overlay->options, "gidmap=%s", mapping);
	}
	strv_addf(&overlay->options, "workdir=%s/work", dir);
	strv_addf(&overlay->options, "upperdir=%s/upper", dir);
	strv_addf(&overlay->options, "lowerdir=%s/lower2:%s/lower1", dir, dir);
	strv_add_all(&overlay->options, &o->options);
	return mounts_attach(&m, merged);
}

/* Whether layers on this file system can be shown with other ids, which not every one allows. */
static bool probe_ids(const struct overlay *o, const char *dir)
{
	autofree char *mapping = xasprintf("0:%d:1", PROBED_ID);
	autofree char *merged = path_join(dir, "merged");
	autofree char *file = path_join(dir, "merged/probe");
	autoptr(err) e = NULL;
	struct stat st = {0};

	if (in_user_namespace())
		return false;
	e = mount_probe(o, dir, mapping);
	if (e)
		return false;
	if (stat(file, &st) < 0)
		st = (struct stat){0};
	err_free(mount_detach(merged));
	return st.st_uid == PROBED_ID && st.st_gid == PROBED_ID;
}

static struct err *probe_in(struct overlay *o, const char *dir)
{
	static const char *const names[] = {
		"lower1", "lower1/probe", "lower2", "upper", "work", "merged"};
	autofree char *merged = path_join(dir, "merged");

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		TRY(make_dir(dir, names[i], 0700));
	TRY(mount_probe(o, dir, NULL));
	TRY(mount_detach(merged));
	o->maps_ids = probe_ids(o, dir);
	return NULL;
}

static struct err *probe(struct overlay *o)
{
	autofree char *dir = path_join(o->base.root, "check-overlay");
	struct err *e = remove_tree(dir);

	if (!e && mkdir(dir, 0700) < 0)
		e = err_sys(errno, "create directory %s", dir);
	if (!e)
		e = probe_in(o, dir);
	err_free(remove_tree(dir));
	return e;
}

/* Layers that were unpacked without their parents get them when they are committed, as long as we
 * can make the whiteouts ourselves. */
static void set_capabilities(struct overlay *o, const struct overlay_options *options)
{
	size_t n = 0;

	if (o->maps_ids)
		o->base.capabilities[n++] = "remap-ids";
	if (!options->slow_chown)
		o->base.capabilities[n++] = "only-remap-ids";
	if (!in_user_namespace())
		o->base.capabilities[n++] = "rebase";
}

/* As an error that says that the driver is to be left out. */
static struct err *skip(struct err *take_e, const char *root)
{
	autoptr(err) e = take_e;

	return err_new(ERR_UNKNOWN, "overlayfs does not work under %s: %s: " SNAPSHOT_SKIP, root,
		err_message(e));
}

struct err *overlay_driver_open(
	const char *root, const struct overlay_options *options, struct snapshot_driver **ret)
{
	struct overlay *o = NEW(struct overlay);
	struct err *e;

	o->base.ops = &overlay_ops;
	o->base.root = xstrdup(root);
	o->base.sync_remove = options->sync_remove;
	o->base.shows_labels = options->upperdir_label;
	choose_options(o, options);
	e = id_dirs_open(root);
	if (!e) {
		e = probe(o);
		e = e ? skip(e, root) : NULL;
	}
	if (e) {
		overlay_destroy(&o->base);
		return e;
	}
	set_capabilities(o, options);
	*ret = &o->base;
	return NULL;
}
