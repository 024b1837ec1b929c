// SPDX-License-Identifier: Apache-2.0
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"

int write_full(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t read_full(int fd, void *data, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (char *)data + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

char *path_join(const char *a, const char *b)
{
	size_t len = strlen(a);

	while (len > 1 && a[len - 1] == '/')
		len--;
	while (*b == '/')
		b++;
	if (len == 1 && a[0] == '/')
		return xasprintf("/%s", b);
	return xasprintf("%.*s/%s", (int)len, a, b);
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *path_dir(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

struct err *fd_read_all(int fd, size_t max, char **ret, size_t *ret_len)
{
	autoval(buf) b = BUF_INIT(max + 1);

	for (;;) {
		ssize_t n;

		if (b.len > max)
			return err_new(ERR_EXHAUSTED, "larger than %zu bytes", max);
		if (!buf_reserve(&b, MIN((size_t)16384, b.max - b.len)))
			return err_new(ERR_EXHAUSTED, "larger than %zu bytes", max);
		b.data[b.len] = '\0';
		n = read(fd, b.data + b.len, MIN((size_t)16384, b.max - b.len));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "read");
		if (n == 0)
			break;
		b.len += (size_t)n;
	}
	*ret = buf_take(&b, ret_len);
	return NULL;
}

struct err *file_read(const char *path, size_t max, char **ret, size_t *ret_len)
{
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(errno, "open %s", path);
	return err_wrap(fd_read_all(fd, max, ret, ret_len), "%s", path);
}

struct err *dir_sync(const char *path)
{
	autofd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(errno, "open %s", path);
	if (fsync(fd) < 0)
		return err_sys(errno, "sync %s", path);
	return NULL;
}

static struct err *write_new(const char *path, const void *data, size_t len, mode_t mode, bool sync)
{
	autofd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return err_sys(errno, "create %s", path);
	r = write_full(fd, data, len);
	if (r < 0)
		return err_sys(-r, "write %s", path);
	if (sync && fsync(fd) < 0)
		return err_sys(errno, "sync %s", path);
	return NULL;
}

struct err *file_write_atomic(
	const char *path, const void *data, size_t len, mode_t mode, bool sync)
{
	autofree char *fresh = xasprintf("%s.tmp-%d", path, (int)gettid());
	struct err *e = write_new(fresh, data, len, mode, sync);

	if (!e && rename(fresh, path) < 0)
		e = err_sys(errno, "rename %s", path);
	if (e) {
		unlink(fresh);
		return e;
	}
	if (sync) {
		autofree char *dir = path_dir(path);

		return dir_sync(dir);
	}
	return NULL;
}

struct err *mkdir_p(const char *path, mode_t mode)
{
	autofree char *copy = xstrdup(path);

	for (char *p = copy + 1; *copy; p++) {
		bool end = !*p;
		struct stat st;

		if (*p && *p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return err_sys(errno, "create directory %s", copy);
		if (end) {
			if (stat(copy, &st) < 0)
				return err_sys(errno, "stat %s", copy);
			return S_ISDIR(st.st_mode) ? NULL : err_sys(ENOTDIR, "%s", copy);
		}
		*p = '/';
	}
	return NULL;
}

/* What is nested deeper is moved up to the top of the tree and removed from there: a tree that
 * somebody made a hundred thousand levels deep costs neither stack nor descriptors. */
#define REMOVE_DEPTH_MAX 64

struct removal {
	int top; /* the tree's own directory */
	dev_t device;
	unsigned moved_total;
	bool has_moved; /* since the flag was cleared; the top has to be read again */
};

static struct err *empty_dir(struct removal *r, int take_fd, unsigned depth);

/* Under a name that is free; whoever is in the way by chance is skipped. */
static struct err *move_up(struct removal *r, int dirfd, const char *name)
{
	for (unsigned tries = 0; tries < 1000; tries++) {
		char fresh[32];

		snprintf(fresh, sizeof(fresh), ".remove-%u", r->moved_total++);
		if (renameat(dirfd, name, r->top, fresh) == 0) {
			r->has_moved = true;
			return NULL;
		}
		if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
			break;
	}
	return err_sys(errno, "remove %s", name);
}

static struct err *remove_subdir(struct removal *r, int dirfd, const char *name, unsigned depth)
{
	struct stat st;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? NULL : err_sys(errno, "stat %s", name);
	if (st.st_dev != r->device)
		return err_sys(EBUSY, "remove %s: another filesystem is mounted there", name);
	if (depth >= REMOVE_DEPTH_MAX)
		return move_up(r, dirfd, name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "open %s", name);
	TRY(err_wrap(empty_dir(r, fd, depth + 1), "%s", name));
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(errno, "remove directory %s", name);
	return NULL;
}

static struct err *empty_dir(struct removal *r, int take_fd, unsigned depth)
{
	DIR *dir = fdopendir(take_fd);
	struct err *e = NULL;
	struct dirent *d;

	if (!dir) {
		close(take_fd);
		return err_sys(errno, "open directory");
	}
	while (!e && (d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), d->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			e = err_sys(errno, "remove %s", d->d_name);
		else
			e = remove_subdir(r, dirfd(dir), d->d_name, depth);
	}
	closedir(dir);
	return e;
}

static struct err *empty_top(int fd)
{
	struct removal r = {.top = fd};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(errno, "stat");
	r.device = st.st_dev;
	do {
		int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r.has_moved = false;
		if (again < 0)
			return err_sys(errno, "open directory");
		TRY(empty_dir(&r, again, 0));
	} while (r.has_moved);
	return NULL;
}

struct err *remove_tree_at(int dirfd, const char *name)
{
	autofd fd = -1;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return NULL;
	if (errno != EISDIR && errno != EPERM)
		return err_sys(errno, "remove %s", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "open %s", name);
	TRY(err_wrap(empty_top(fd), "%s", name));
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(errno, "remove directory %s", name);
	return NULL;
}

struct err *remove_tree(const char *path)
{
	return remove_tree_at(AT_FDCWD, path);
}
