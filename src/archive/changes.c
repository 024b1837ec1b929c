// SPDX-License-Identifier: Apache-2.0
#include "archive/changes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/same-file.h"
#include "archive/tree.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/strv.h"

#define COPY_BYTES ((size_t)256 * 1024)
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct changes {
	const struct changes_options *o;
	struct tar_writer *w;
	char path[TAR_PATH_MAX]; /* of the entry under way */
	size_t path_len;
	struct map added;     /* directories that are in the layer; the values mean nothing */
	struct map first;     /* inode -> name in the layer (char *) of a file with several names */
	struct map unchanged; /* inode -> its names that did not change (struct strv *) */
	uint8_t *copy;	      /* COPY_BYTES */
};

/* What a change is about: a name in the directory of each tree that is open. */
struct spot {
	int lower, upper; /* -1: the directory is not in that tree */
	const char *name;
	struct stat lower_st, upper_st;
};

static void free_strv(void *p)
{
	strv_done(p);
	free(p);
}

static struct err *in_path(const struct changes *c, struct err *take_e)
{
	autofree char *shown = take_e ? tar_printable(c->path) : NULL;

	return err_wrap(take_e, "path \"%s\"", shown);
}

/* The sorted names of a directory; none for -1. */
static struct err *list(int dir_fd, struct strv *ret)
{
	struct dirent *d;
	DIR *dir;
	int fd;

	if (dir_fd < 0)
		return NULL;
	fd = openat(dir_fd, ".", DIR_FLAGS);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		struct err *e = err_sys(errno, "open directory");

		if (fd >= 0)
			close(fd);
		return e;
	}
	errno = 0;
	while ((d = readdir(dir)))
		if (!str_eq(d->d_name, ".") && !str_eq(d->d_name, ".."))
			strv_add(ret, d->d_name);
	if (errno) {
		struct err *e = err_sys(errno, "read directory");

		closedir(dir);
		return e;
	}
	closedir(dir);
	strv_sort(ret);
	return NULL;
}

static enum tar_type type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return TAR_DIR;
	case S_IFLNK:
		return TAR_SYMLINK;
	case S_IFCHR:
		return TAR_CHAR_DEVICE;
	case S_IFBLK:
		return TAR_BLOCK_DEVICE;
	case S_IFIFO:
		return TAR_FIFO;
	default:
		return TAR_FILE;
	}
}

static struct tar_entry entry_of(const struct changes *c, const struct stat *st)
{
	struct tar_entry e = {
		.type = type_of(st->st_mode),
		.link = "",
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.dev_major = major(st->st_rdev),
		.dev_minor = minor(st->st_rdev),
		.mtime = {.sec = st->st_mtim.tv_sec, .nsec = (int32_t)st->st_mtim.tv_nsec},
	};

	if (c->o->has_time_bound && timestamp_compare(e.mtime, c->o->time_bound) > 0)
		e.mtime = c->o->time_bound;
	if (e.type == TAR_FILE)
		e.size = st->st_size;
	return e;
}

static struct err *write_dir(struct changes *c, const char *path, int fd, const struct stat *st)
{
	autoval(xattr_set) xattrs = {0};
	struct tar_entry e = entry_of(c, st);
	autofree char *name = xasprintf("%s/", path);

	TRY(xattr_set_read(&xattrs, fd));
	e.name = name;
	e.xattrs = xattrs.items;
	e.n_xattrs = xattrs.n;
	map_set(&c->added, path, c);
	return tar_writer_entry(c->w, &e);
}

/* The directories above a path come before it, changed or not. */
static struct err *write_parents(struct changes *c, const char *path)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		autofree char *parent = xstrndup(path, (size_t)(slash - path));
		autofd fd = -1;
		struct stat st;

		if (map_get(&c->added, parent))
			continue;
		fd = open_in_root(c->o->upper_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(-fd, "open a parent directory");
		if (fstat(fd, &st) < 0)
			return err_sys(errno, "stat a parent directory");
		TRY(write_dir(c, parent, fd, &st));
	}
	return NULL;
}

static struct err *write_whiteout(struct changes *c)
{
	const char *base = path_base(c->path);
	autofree char *name = xasprintf("%.*s.wh.%s", (int)(base - c->path), c->path, base);
	struct tar_entry e = {.type = TAR_FILE, .name = name, .link = ""};

	TRY(write_parents(c, c->path));
	return tar_writer_entry(c->w, &e);
}

static struct err *copy_data(struct changes *c, int fd, int64_t size)
{
	while (size > 0) {
		ssize_t n =
			read(fd, c->copy, (int64_t)COPY_BYTES < size ? COPY_BYTES : (size_t)size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(errno, "read");
		if (n == 0)
			return err_new(ERR_UNAVAILABLE, "the file got shorter while it was read");
		TRY(tar_writer_data(c->w, c->copy, (size_t)n));
		size -= n;
	}
	return NULL;
}

static char *inode_key(const struct stat *st)
{
	return xasprintf(
		"%llx:%llx", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
}

/* Names of the same file that came before and had not changed: without them they would be lost. */
static struct err *write_other_names(struct changes *c, struct tar_entry *e, const char *key)
{
	struct strv *names = map_del(&c->unchanged, key);
	struct err *error = NULL;

	e->type = TAR_HARDLINK;
	e->link = c->path;
	for (size_t i = 0; names && i < names->n && !error; i++) {
		e->name = names->items[i];
		error = write_parents(c, e->name);
		if (!error)
			error = tar_writer_entry(c->w, e);
	}
	if (names)
		free_strv(names);
	return error;
}

static struct err *write_regular(struct changes *c, const struct spot *s, const char *first_name)
{
	autoval(xattr_set) xattrs = {0};
	autofree char *key = NULL;
	struct tar_entry e;
	struct stat st;
	autofd fd = openat(s->upper, s->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_new(ERR_UNAVAILABLE, "the file was replaced while it was read");
	TRY(xattr_set_read(&xattrs, fd));
	e = entry_of(c, &st);
	e.name = c->path;
	e.xattrs = xattrs.items;
	e.n_xattrs = xattrs.n;
	if (first_name) {
		e.type = TAR_HARDLINK;
		e.link = first_name;
	}
	TRY(tar_writer_entry(c->w, &e));
	if (first_name)
		return NULL;
	TRY(copy_data(c, fd, e.size));
	key = inode_key(&s->upper_st);
	return write_other_names(c, &e, key);
}

static struct err *write_special(struct changes *c, const struct spot *s, const char *first_name)
{
	autofree char *key = inode_key(&s->upper_st);
	struct tar_entry e = entry_of(c, &s->upper_st);
	char target[TAR_PATH_MAX];

	e.name = c->path;
	if (first_name) {
		e.type = TAR_HARDLINK;
		e.link = first_name;
		return tar_writer_entry(c->w, &e);
	}
	if (e.type == TAR_SYMLINK) {
		ssize_t n = readlinkat(s->upper, s->name, target, sizeof(target) - 1);

		if (n < 0)
			return err_sys(errno, "read symlink");
		target[n] = '\0';
		e.link = target;
	}
	TRY(tar_writer_entry(c->w, &e));
	return write_other_names(c, &e, key);
}

/* A file with several names is in the layer once; its other names are links to the first. */
static struct err *write_file(struct changes *c, const struct spot *s, bool unchanged)
{
	autofree char *key = inode_key(&s->upper_st);
	const char *first_name = NULL;

	if (S_ISSOCK(s->upper_st.st_mode))
		return NULL;
	if (s->upper_st.st_nlink > 1)
		first_name = map_get(&c->first, key);
	if (unchanged && !first_name) {
		struct strv *names = map_get(&c->unchanged, key);

		if (!names) {
			names = NEW(struct strv);
			map_set(&c->unchanged, key, names);
		}
		strv_add(names, c->path);
		return NULL;
	}
	if (s->upper_st.st_nlink > 1 && !first_name)
		map_set(&c->first, key, xstrdup(c->path));
	TRY(write_parents(c, c->path));
	return S_ISREG(s->upper_st.st_mode) ? write_regular(c, s, first_name)
					    : write_special(c, s, first_name);
}

static struct err *walk(struct changes *c, int lower, int upper);

static struct err *open_subdir(int dir_fd, const char *name, int *ret)
{
	*ret = openat(dir_fd, name, DIR_FLAGS);
	return *ret < 0 ? err_sys(errno, "open directory") : NULL;
}

/* A directory of the upper tree, and what is in it. */
static struct err *handle_dir(struct changes *c, const struct spot *s, bool in_lower)
{
	bool both = in_lower && S_ISDIR(s->lower_st.st_mode);
	bool same = false;
	autofd lower = -1, upper = -1;

	TRY(open_subdir(s->upper, s->name, &upper));
	if (both) {
		TRY(open_subdir(s->lower, s->name, &lower));
		TRY(same_dir(lower, &s->lower_st, upper, &s->upper_st, &same));
	}
	if (!same && !map_get(&c->added, c->path)) {
		TRY(write_parents(c, c->path));
		TRY(write_dir(c, c->path, upper, &s->upper_st));
	}
	return walk(c, lower, upper);
}

static struct err *handle_file(struct changes *c, const struct spot *s, bool in_lower)
{
	bool same = false;

	if (in_lower)
		TRY(same_file(s->lower, &s->lower_st, s->upper, &s->upper_st, s->name, &same));
	if (same && s->upper_st.st_nlink < 2)
		return NULL;
	return write_file(c, s, same);
}

static struct err *handle(struct changes *c, struct spot *s, bool in_lower, bool in_upper)
{
	if (in_lower && fstatat(s->lower, s->name, &s->lower_st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "stat");
	if (!in_upper)
		return write_whiteout(c);
	if (fstatat(s->upper, s->name, &s->upper_st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(errno, "stat");
	return S_ISDIR(s->upper_st.st_mode) ? handle_dir(c, s, in_lower)
					    : handle_file(c, s, in_lower);
}

static struct err *enter(struct changes *c, const char *name, size_t *ret_before)
{
	size_t len = strlen(name);

	*ret_before = c->path_len;
	if (c->path_len + len + 2 > sizeof(c->path))
		return err_new(
			ERR_INVALID, "paths in it are longer than %d bytes", TAR_PATH_MAX - 1);
	if (c->path_len)
		c->path[c->path_len++] = '/';
	memcpy(c->path + c->path_len, name, len + 1);
	c->path_len += len;
	return NULL;
}

/* Two sorted lists side by side. */
static struct err *walk(struct changes *c, int lower, int upper)
{
	autoval(strv) below = STRV_INIT, above = STRV_INIT;
	size_t i = 0, j = 0;

	TRY(list(lower, &below));
	TRY(list(upper, &above));
	while (i < below.n || j < above.n) {
		int order = i == below.n   ? 1
			    : j == above.n ? -1
					   : strcmp(below.items[i], above.items[j]);
		struct spot s = {.lower = lower, .upper = upper};
		size_t before;

		s.name = order <= 0 ? below.items[i] : above.items[j];
		i += order <= 0;
		j += order >= 0;
		TRY(enter(c, s.name, &before));
		TRY(handle(c, &s, order <= 0, order >= 0));
		c->path_len = before;
		c->path[before] = '\0';
	}
	return NULL;
}

struct err *changes_write(const struct changes_options *options, struct tar_writer *w)
{
	struct changes *c = NEW(struct changes);
	struct err *e;

	c->o = options;
	c->w = w;
	c->copy = xmalloc(COPY_BYTES);
	/* Not unwound on failure, the path is still the one it failed at. */
	e = walk(c, options->lower_fd, options->upper_fd);
	e = c->path_len ? in_path(c, e) : e;
	map_done(&c->added, NULL);
	map_done(&c->first, free);
	map_done(&c->unchanged, free_strv);
	free(c->copy);
	free(c);
	return e ? e : tar_writer_finish(w);
}
