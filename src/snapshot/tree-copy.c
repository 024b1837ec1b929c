// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree-copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/map.h"

#define XATTR_LIST_BYTES ((size_t)64 * 1024)
#define XATTR_VALUE_BYTES ((size_t)64 * 1024)
#define COPY_BYTES ((size_t)256 * 1024)
/* Each level holds stack and descriptors; real trees have some ten. */
#define DEPTH_MAX 128

struct copy {
	int root;	  /* of the copy */
	struct map links; /* "dev:ino" -> path of the first name below root, owned */
	unsigned depth;
};

/* A path by which an entry of a directory can be named where there is no *at() call. */
static char *entry_path(int dirfd, const char *name)
{
	return xasprintf("/proc/self/fd/%d/%s", dirfd, name);
}

static struct err *copy_xattr(const char *from, const char *to, const char *name)
{
	autofree char *value = xmalloc(XATTR_VALUE_BYTES);
	ssize_t len = lgetxattr(from, name, value, XATTR_VALUE_BYTES);

	if (len < 0 && errno == ENODATA)
		return NULL;
	if (len < 0)
		return err_sys(errno, "read attribute %s", name);
	/* A file system without this kind of attribute cannot keep it. */
	if (lsetxattr(to, name, value, (size_t)len, 0) < 0 && errno != ENOTSUP)
		return err_sys(errno, "set attribute %s", name);
	return NULL;
}

static struct err *copy_xattrs(const char *from, const char *to)
{
	autofree char *names = xmalloc(XATTR_LIST_BYTES);
	ssize_t len = llistxattr(from, names, XATTR_LIST_BYTES);

	if (len < 0 && errno == ENOTSUP)
		return NULL;
	if (len < 0)
		return err_sys(errno, "list attributes");
	for (const char *n = names; n < names + len; n += strlen(n) + 1)
		TRY(copy_xattr(from, to, n));
	return NULL;
}

/* Owner before mode, since chown clears setuid; times last. */
static struct err *copy_attributes(
	int from_dir, int to_dir, const char *name, const char *to_name, const struct stat *st)
{
	autofree char *from = entry_path(from_dir, name);
	autofree char *to = entry_path(to_dir, to_name);
	const struct timespec times[] = {st->st_atim, st->st_mtim};

	if (fchownat(to_dir, to_name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "chown");
	TRY(copy_xattrs(from, to));
	if (!S_ISLNK(st->st_mode) && fchmodat(to_dir, to_name, st->st_mode & 07777, 0) < 0)
		return err_sys(errno, "chmod");
	if (utimensat(to_dir, to_name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "set times");
	return NULL;
}

static struct err *copy_range_by_hand(int in, int out, off_t at, off_t end)
{
	autofree char *data = xmalloc(COPY_BYTES);

	while (at < end) {
		ssize_t n = pread(in, data, MIN(COPY_BYTES, (size_t)(end - at)), at);

		if (n < 0)
			return err_sys(errno, "read");
		if (n == 0)
			return NULL;
		if (pwrite(out, data, (size_t)n, at) != n)
			return err_sys(errno ? errno : EIO, "write");
		at += n;
	}
	return NULL;
}

static struct err *copy_range(int in, int out, off_t at, off_t end)
{
	while (at < end) {
		off_t from = at, to = at;
		ssize_t n = copy_file_range(in, &from, out, &to, (size_t)(end - at), 0);

		if (n <= 0)
			return copy_range_by_hand(in, out, at, end);
		at += n;
	}
	return NULL;
}

static struct err *copy_data(int in, int out, off_t size)
{
	off_t at = 0;

	if (size == 0 || ioctl(out, FICLONE, in) == 0)
		return NULL;
	if (ftruncate(out, size) < 0)
		return err_sys(errno, "set size");
	while (at < size) {
		off_t data = lseek(in, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return NULL;
		if (data < 0)
			return copy_range(in, out, at, size);
		hole = lseek(in, data, SEEK_HOLE);
		TRY(copy_range(in, out, data, hole < 0 ? size : hole));
		at = hole < 0 ? size : hole;
	}
	return NULL;
}

struct err *file_copy(int from_fd, int to_fd)
{
	struct stat st;

	if (fstat(from_fd, &st) < 0)
		return err_sys(errno, "stat");
	return copy_data(from_fd, to_fd, st.st_size);
}

static struct err *copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	autofd in = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	autofd out =
		openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (in < 0 || out < 0)
		return err_sys(errno, "open");
	return copy_data(in, out, st->st_size);
}

static struct err *copy_symlink(int from_dir, int to_dir, const char *name)
{
	autofree char *target = xcalloc(1, PATH_MAX);

	if (readlinkat(from_dir, name, target, PATH_MAX - 1) < 0)
		return err_sys(errno, "read link");
	if (symlinkat(target, to_dir, name) < 0)
		return err_sys(errno, "create link");
	return NULL;
}

/* True when the file is there already under another name and was linked. */
static struct err *copy_link(struct copy *c, int to_dir, const char *name, const char *path,
	const struct stat *st, bool *ret)
{
	char key[48];
	const char *first;

	*ret = false;
	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return NULL;
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev,
		(unsigned long long)st->st_ino);
	first = map_get(&c->links, key);
	if (!first) {
		map_set(&c->links, key, xstrdup(path));
		return NULL;
	}
	if (linkat(c->root, first, to_dir, name, 0) < 0)
		return err_sys(errno, "link to %s", first);
	*ret = true;
	return NULL;
}

static struct err *copy_dir(struct copy *c, int from_dir, int to_dir, const char *path);

static struct err *copy_subdir(
	struct copy *c, int from_dir, int to_dir, const char *name, const char *path)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	autofd from = -1;
	autofd to = -1;

	struct err *e;

	if (c->depth >= DEPTH_MAX)
		return err_new(
			ERR_EXHAUSTED, "directories are nested more than %d deep", DEPTH_MAX);
	if (mkdirat(to_dir, name, 0700) < 0)
		return err_sys(errno, "create directory");
	from = openat(from_dir, name, flags);
	to = openat(to_dir, name, flags);
	if (from < 0 || to < 0)
		return err_sys(errno, "open directory");
	c->depth++;
	e = copy_dir(c, from, to, path);
	c->depth--;
	return e;
}

static struct err *copy_entry(
	struct copy *c, int from_dir, int to_dir, const char *name, const char *path)
{
	struct stat st;
	bool linked;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "stat");
	TRY(copy_link(c, to_dir, name, path, &st, &linked));
	if (linked)
		return NULL;
	if (S_ISDIR(st.st_mode))
		TRY(copy_subdir(c, from_dir, to_dir, name, path));
	else if (S_ISREG(st.st_mode))
		TRY(copy_file(from_dir, to_dir, name, &st));
	else if (S_ISLNK(st.st_mode))
		TRY(copy_symlink(from_dir, to_dir, name));
	else if (mknodat(to_dir, name, st.st_mode, st.st_rdev) < 0)
		return err_sys(errno, "create device or pipe");
	return copy_attributes(from_dir, to_dir, name, name, &st);
}

static struct err *copy_dir(struct copy *c, int from_dir, int to_dir, const char *path)
{
	int fd = openat(from_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct err *e = NULL;
	struct dirent *d;

	if (!dir)
		return err_sys(errno, "open directory");
	while (!e && (d = readdir(dir))) {
		autofree char *below = NULL;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		below = *path ? path_join(path, d->d_name) : xstrdup(d->d_name);
		e = err_wrap(copy_entry(c, from_dir, to_dir, d->d_name, below), "%s", d->d_name);
	}
	closedir(dir);
	return e;
}

struct err *tree_copy(const char *from, const char *to)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	autofd in = open(from, flags);
	autofd out = open(to, flags);
	struct copy c = {.root = out};
	struct stat st;
	struct err *e;

	if (in < 0)
		return err_sys(errno, "open %s", from);
	if (out < 0)
		return err_sys(errno, "open %s", to);
	if (fstat(in, &st) < 0)
		return err_sys(errno, "stat %s", from);
	e = copy_dir(&c, in, out, "");
	map_done(&c.links, free);
	if (!e)
		e = copy_attributes(in, out, ".", ".", &st);
	return err_wrap(e, "copy %s", from);
}
