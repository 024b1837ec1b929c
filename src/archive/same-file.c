// SPDX-License-Identifier: Apache-2.0
#include "archive/same-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strv.h"

#define XATTR_BYTES ((size_t)64 * 1024) /* the kernel's bound of a list and of a value */
#define COMPARE_BYTES ((size_t)128 * 1024)

/* A descriptor, or a name in the working directory. */
struct inode {
	int fd;
	const char *name;
};

void xattr_set_done(struct xattr_set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free((char *)s->items[i].name);
		free((uint8_t *)s->items[i].value);
	}
	free(s->items);
	*s = (struct xattr_set){0};
}

static bool is_kept(const char *name)
{
	return str_eq(name, "security.capability") ||
	       (str_starts(name, "user.") && !str_starts(name, "user.overlay."));
}

static ssize_t list_xattrs(struct inode i, char *names)
{
	return i.name ? llistxattr(i.name, names, XATTR_BYTES)
		      : flistxattr(i.fd, names, XATTR_BYTES);
}

static ssize_t get_xattr(struct inode i, const char *name, void *value)
{
	return i.name ? lgetxattr(i.name, name, value, XATTR_BYTES)
		      : fgetxattr(i.fd, name, value, XATTR_BYTES);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tar_xattr *)a)->name, ((const struct tar_xattr *)b)->name);
}

static struct err *read_xattrs(struct xattr_set *s, struct inode i)
{
	char names[4096];
	autofree char *more = NULL;
	const char *list = names;
	autofree uint8_t *value = NULL;
	ssize_t len = i.name ? llistxattr(i.name, names, sizeof(names))
			     : flistxattr(i.fd, names, sizeof(names));

	if (len < 0 && errno == ERANGE) {
		list = more = xmalloc(XATTR_BYTES);
		len = list_xattrs(i, more);
	}
	if (len < 0)
		return errno == ENOTSUP ? NULL : err_sys(errno, "list xattrs");
	for (const char *p = list; p < list + len; p += strlen(p) + 1) {
		ssize_t n;

		if (!is_kept(p))
			continue;
		if (!value)
			value = xmalloc(XATTR_BYTES);
		n = get_xattr(i, p, value);
		if (n < 0 && (errno == ENODATA || errno == ENOTSUP))
			continue;
		if (n < 0)
			return err_sys(errno, "get xattr %s", p);
		GROW(s->items, s->n, s->cap);
		s->items[s->n++] = (struct tar_xattr){
			.name = xstrdup(p), .value = xmemdup(value, (size_t)n), .len = (size_t)n};
	}
	if (s->n)
		qsort(s->items, s->n, sizeof(*s->items), by_name);
	return NULL;
}

struct err *xattr_set_read(struct xattr_set *s, int fd)
{
	return read_xattrs(s, (struct inode){.fd = fd});
}

static bool sets_equal(const struct xattr_set *a, const struct xattr_set *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!str_eq(a->items[i].name, b->items[i].name) ||
			a->items[i].len != b->items[i].len ||
			memcmp(a->items[i].value, b->items[i].value, a->items[i].len) != 0)
			return false;
	return true;
}

static bool same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	       a->st_rdev == b->st_rdev;
}

struct err *same_dir(
	int lower_fd, const struct stat *lower, int upper_fd, const struct stat *upper, bool *ret)
{
	autoval(xattr_set) a = {0}, b = {0};

	*ret = same_inode(lower, upper);
	if (*ret || !same_stat(lower, upper))
		return NULL;
	TRY(xattr_set_read(&a, lower_fd));
	TRY(xattr_set_read(&b, upper_fd));
	*ret = sets_equal(&a, &b);
	return NULL;
}

static struct err *same_target(int lower_dir, int upper_dir, const char *name, bool *ret)
{
	char a[TAR_PATH_MAX], b[TAR_PATH_MAX];
	ssize_t n = readlinkat(lower_dir, name, a, sizeof(a));
	ssize_t m = n < 0 ? n : readlinkat(upper_dir, name, b, sizeof(b));

	if (m < 0)
		return err_sys(errno, "read symlink");
	*ret = n == m && memcmp(a, b, (size_t)n) == 0;
	return NULL;
}

static struct err *same_content(int lower_dir, int upper_dir, const char *name, bool *ret)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	autofd lower = openat(lower_dir, name, flags);
	autofd upper = openat(upper_dir, name, flags);
	autofree uint8_t *a = xmalloc(COMPARE_BYTES), *b = xmalloc(COMPARE_BYTES);
	ssize_t n, m;

	if (lower < 0 || upper < 0)
		return err_sys(errno, "open");
	do {
		n = read_full(lower, a, COMPARE_BYTES);
		m = read_full(upper, b, COMPARE_BYTES);
		if (n < 0 || m < 0)
			return err_sys((int)-MIN(n, m), "read");
		*ret = n == m && memcmp(a, b, (size_t)n) == 0;
	} while (*ret && n == (ssize_t)COMPARE_BYTES);
	return NULL;
}

/* By what stat(2) says; *ret_look is set where only the content can tell. */
static bool same_by_stat(const struct stat *a, const struct stat *b, bool *ret_look)
{
	*ret_look = false;
	if (!same_stat(a, b) || a->st_size != b->st_size ||
		a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec)
		return false;
	*ret_look = a->st_mtim.tv_nsec == 0;
	return true;
}

static struct err *same_xattrs(int lower_dir, int upper_dir, const char *name, bool *ret)
{
	autoval(xattr_set) a = {0}, b = {0};
	struct inode i = {.name = name};

	if (fchdir(lower_dir) < 0)
		return err_sys(errno, "change directory");
	TRY(read_xattrs(&a, i));
	if (fchdir(upper_dir) < 0)
		return err_sys(errno, "change directory");
	TRY(read_xattrs(&b, i));
	*ret = sets_equal(&a, &b);
	return NULL;
}

struct err *same_file(int lower_dir, const struct stat *lower, int upper_dir,
	const struct stat *upper, const char *name, bool *ret)
{
	bool look;

	*ret = same_inode(lower, upper);
	if (*ret)
		return NULL;
	*ret = same_by_stat(lower, upper, &look);
	if (!*ret)
		return NULL;
	TRY(same_xattrs(lower_dir, upper_dir, name, ret));
	if (!*ret || !look)
		return NULL;
	if (S_ISLNK(upper->st_mode))
		return same_target(lower_dir, upper_dir, name, ret);
	if (S_ISREG(upper->st_mode) && upper->st_size > 0)
		return same_content(lower_dir, upper_dir, name, ret);
	return NULL;
}
