// SPDX-License-Identifier: Apache-2.0
#include "snapshot/subvolume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/alloc.h"
#include "base/fs.h"

#define HANDLE_TYPE 0x4d /* FILEID_BTRFS_WITHOUT_PARENT */

static struct err *open_dir(const char *path, int *ret)
{
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? err_sys(errno, "open %s", path) : NULL;
}

static struct err *open_parent(const char *path, int *ret)
{
	autofree char *parent = path_dir(path);

	return open_dir(parent, ret);
}

/* Names here are numbers: far from the bounds of the kernel's structures. */
static struct err *set_name(char *to, size_t size, const char *path)
{
	if ((size_t)snprintf(to, size, "%s", path_base(path)) < size)
		return NULL;
	return err_new(ERR_INVALID, "the name of subvolume %s is too long", path);
}

struct err *subvolume_create(const char *path)
{
	struct btrfs_ioctl_vol_args args = {0};
	autofd parent = -1;

	TRY(set_name(args.name, sizeof(args.name), path));
	TRY(open_parent(path, &parent));
	if (ioctl(parent, BTRFS_IOC_SUBVOL_CREATE, &args) < 0)
		return err_sys(errno, "create subvolume %s", path);
	return NULL;
}

struct err *subvolume_snapshot(const char *from, const char *path, bool is_readonly)
{
	autofree struct btrfs_ioctl_vol_args_v2 *args = NEW(struct btrfs_ioctl_vol_args_v2);
	autofd parent = -1;
	autofd source = -1;

	TRY(open_dir(from, &source));
	TRY(set_name(args->name, sizeof(args->name), path));
	TRY(open_parent(path, &parent));
	args->fd = source;
	args->flags = is_readonly ? BTRFS_SUBVOL_RDONLY : 0;
	if (ioctl(parent, BTRFS_IOC_SNAP_CREATE_V2, args) < 0)
		return err_sys(errno, "create snapshot %s of %s", path, from);
	return NULL;
}

static struct err *set_readonly(int fd, bool is_readonly)
{
	uint64_t flags, wanted;

	if (ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) < 0)
		return err_sys(errno, "read the flags of a subvolume");
	wanted = is_readonly ? flags | BTRFS_SUBVOL_RDONLY : flags & ~BTRFS_SUBVOL_RDONLY;
	if (wanted != flags && ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &wanted) < 0)
		return err_sys(errno, "set the flags of a subvolume");
	return NULL;
}

struct err *subvolume_set_readonly(const char *path, bool is_readonly)
{
	autofd fd = -1;

	TRY(open_dir(path, &fd));
	return err_wrap(set_readonly(fd, is_readonly), "%s", path);
}

static struct err *id_of(int fd, const char *path, uint64_t *ret)
{
	autofree struct btrfs_ioctl_ino_lookup_args *args = NEW(struct btrfs_ioctl_ino_lookup_args);

	args->objectid = BTRFS_FIRST_FREE_OBJECTID;
	if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, args) < 0)
		return err_sys(errno, "find the id of subvolume %s", path);
	*ret = args->treeid;
	return NULL;
}

struct err *subvolume_id(const char *path, uint64_t *ret)
{
	autofd fd = -1;

	TRY(open_dir(path, &fd));
	return id_of(fd, path, ret);
}

/* --- removing --- */

/* Any subvolume that lies in this one; 0 for none. */
static struct err *find_child(int fd, uint64_t id, uint64_t *ret)
{
	autofree struct btrfs_ioctl_search_args *args = NEW(struct btrfs_ioctl_search_args);
	struct btrfs_ioctl_search_header found;

	args->key = (struct btrfs_ioctl_search_key){
		.tree_id = BTRFS_ROOT_TREE_OBJECTID,
		.min_objectid = id,
		.max_objectid = id,
		.min_type = BTRFS_ROOT_REF_KEY,
		.max_type = BTRFS_ROOT_REF_KEY,
		.max_offset = UINT64_MAX,
		.max_transid = UINT64_MAX,
		.nr_items = 1,
	};
	if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, args) < 0)
		return err_sys(errno, "list the subvolumes of %llu", (unsigned long long)id);
	*ret = 0;
	if (args->key.nr_items) {
		memcpy(&found, args->buf, sizeof(found));
		*ret = found.offset;
	}
	return NULL;
}

/* The kernel's own handle of a directory of btrfs: two numbers and a generation, of which 0 is not
 * checked. */
#define HANDLE_BYTES 20

union handle {
	struct file_handle head;
	char room[sizeof(struct file_handle) + HANDLE_BYTES];
};

/* Whoever made it may have sealed it, too. */
static struct err *unseal(int fd, uint64_t id)
{
	const uint64_t numbers[] = {BTRFS_FIRST_FREE_OBJECTID, id};
	union handle h = {.room = {0}};
	autofd dir = -1;

	h.head.handle_bytes = HANDLE_BYTES;
	h.head.handle_type = HANDLE_TYPE;
	memcpy(h.room + sizeof(h.head), numbers, sizeof(numbers));
	dir = open_by_handle_at(fd, &h.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(errno, "open subvolume %llu", (unsigned long long)id);
	return set_readonly(dir, false);
}

static struct err *destroy_id(int fd, uint64_t parent, uint64_t id)
{
	autofree struct btrfs_ioctl_vol_args_v2 *args = NEW(struct btrfs_ioctl_vol_args_v2);

	args->flags = BTRFS_SUBVOL_SPEC_BY_ID;
	args->subvolid = id;
	if (ioctl(fd, BTRFS_IOC_SNAP_DESTROY_V2, args) == 0)
		return NULL;
	if (errno == EROFS) {
		TRY(unseal(fd, parent));
		if (ioctl(fd, BTRFS_IOC_SNAP_DESTROY_V2, args) == 0)
			return NULL;
	}
	return err_sys(errno, "remove subvolume %llu", (unsigned long long)id);
}

struct ids {
	uint64_t *items;
	size_t n, cap;
};

static void ids_done(struct ids *ids)
{
	free(ids->items);
}
DEFINE_AUTOVAL(ids, ids_done);

/* The innermost first; however deep they are, the way there lies on the heap. */
static struct err *remove_below(int fd, uint64_t id)
{
	autoval(ids) way = {0};

	for (;;) {
		uint64_t child = 0;

		TRY(find_child(fd, id, &child));
		if (child) {
			GROW(way.items, way.n, way.cap);
			way.items[way.n++] = id;
			id = child;
			continue;
		}
		if (!way.n)
			return NULL;
		TRY(destroy_id(fd, way.items[way.n - 1], id));
		id = way.items[--way.n];
	}
}

/* Without the subvolumes in it; an errno. */
static int destroy(int parent, const char *path)
{
	struct btrfs_ioctl_vol_args args = {0};
	struct err *e = set_name(args.name, sizeof(args.name), path);

	if (e) {
		err_free(e);
		return ENAMETOOLONG;
	}
	return ioctl(parent, BTRFS_IOC_SNAP_DESTROY, &args) < 0 ? errno : 0;
}

struct err *subvolume_remove(const char *path)
{
	autofd parent = -1;
	autofd fd = -1;
	uint64_t id;
	int errnum;

	TRY(open_parent(path, &parent));
	errnum = destroy(parent, path);
	if (errnum == ENOTEMPTY) {
		TRY(open_dir(path, &fd));
		TRY(id_of(fd, path, &id));
		TRY(err_wrap(remove_below(fd, id), "%s", path));
		errnum = destroy(parent, path);
	}
	if (errnum == 0 || errnum == ENOENT)
		return NULL;
	/* Not a subvolume at all. */
	if (errnum == EINVAL || errnum == ENOTDIR)
		return remove_tree(path);
	return err_sys(errnum, "remove subvolume %s", path);
}
