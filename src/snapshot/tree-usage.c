// SPDX-License-Identifier: Apache-2.0
#include "snapshot/tree-usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/strv.h"

#define ATTEMPTS 3 /* when the tree is moved about meanwhile */

struct usage {
	int64_t bytes, inodes;
	struct map seen; /* "dev:ino" of files with several names; values are not used */
};

static void count(struct usage *u, const struct stat *st)
{
	char key[48];

	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
		snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev,
			(unsigned long long)st->st_ino);
		if (map_get(&u->seen, key))
			return;
		map_set(&u->seen, key, u);
	}
	u->inodes++;
	u->bytes += (int64_t)st->st_blocks * 512;
}

/* A directory between the root and where the walk is: what is still to be entered, and who it is, to
 * know it again on the way back. */
struct level {
	struct strv subdirs;
	dev_t dev;
	ino_t ino;
};

/* The levels lie on the heap and one directory is open at a time, so that a tree of any depth costs
 * neither stack nor descriptors. */
struct walk {
	struct usage *usage;
	struct level *levels;
	size_t n, cap;
	int fd;	       /* the innermost level's */
	int base_fd;   /* the same directory in the tree to compare with; -1 without one */
	size_t n_base; /* levels that are there as well */
};

static void walk_done(struct walk *w)
{
	while (w->n)
		strv_done(&w->levels[--w->n].subdirs);
	free(w->levels);
	if (w->fd >= 0)
		close(w->fd);
	if (w->base_fd >= 0)
		close(w->base_fd);
}
DEFINE_AUTOVAL(walk, walk_done);

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* A directory is not changed by what changes in it. */
static bool is_same(const struct stat *a, const struct stat *b)
{
	if (a->st_ino != b->st_ino || a->st_mode != b->st_mode || a->st_uid != b->st_uid ||
		a->st_gid != b->st_gid || a->st_rdev != b->st_rdev)
		return false;
	return S_ISDIR(a->st_mode) ||
	       (a->st_size == b->st_size && same_time(&a->st_mtim, &b->st_mtim));
}

/* Whether the tree to compare with has the very same entry. */
static bool is_in_base(const struct walk *w, const char *name, const struct stat *st)
{
	struct stat base;

	return w->base_fd >= 0 && w->n_base == w->n &&
	       fstatat(w->base_fd, name, &base, AT_SYMLINK_NOFOLLOW) == 0 && is_same(st, &base);
}

static void enter_base(struct walk *w, const char *name)
{
	int fd;

	if (w->base_fd < 0 || w->n_base != w->n)
		return;
	fd = openat(w->base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	close(w->base_fd);
	w->base_fd = fd;
	w->n_base++;
}

/* Nobody moves anything in that tree. */
static void leave_base(struct walk *w)
{
	int fd;

	if (w->base_fd < 0 || w->n_base != w->n)
		return;
	fd = openat(w->base_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(w->base_fd);
	w->base_fd = fd;
	w->n_base--;
}

/* Go into the directory and count what it has. */
static struct err *enter(struct walk *w, int take_fd)
{
	int copy = fcntl(take_fd, F_DUPFD_CLOEXEC, 0);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct stat st;
	struct dirent *d;

	if (w->fd >= 0)
		close(w->fd);
	w->fd = take_fd;
	if (!dir || fstat(take_fd, &st) < 0) {
		int errnum = errno;

		if (dir)
			closedir(dir);
		else if (copy >= 0)
			close(copy);
		return err_sys(errnum, "open directory");
	}
	GROW(w->levels, w->n, w->cap);
	w->levels[w->n++] = (struct level){.dev = st.st_dev, .ino = st.st_ino};
	while ((d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		/* A running container may remove files under our eyes. */
		if (fstatat(take_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!is_in_base(w, d->d_name, &st))
			count(w->usage, &st);
		if (S_ISDIR(st.st_mode))
			strv_add(&w->levels[w->n - 1].subdirs, d->d_name);
	}
	closedir(dir);
	return NULL;
}

/* Back to the parent, unless somebody moved the directory elsewhere meanwhile. */
static struct err *leave(struct walk *w)
{
	const struct level *parent;
	struct stat st;
	int fd;

	leave_base(w);
	strv_done(&w->levels[--w->n].subdirs);
	if (!w->n)
		return NULL;
	parent = &w->levels[w->n - 1];
	fd = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(errno, "open parent directory");
	close(w->fd);
	w->fd = fd;
	if (fstat(fd, &st) < 0 || st.st_dev != parent->dev || st.st_ino != parent->ino)
		return err_new(ERR_ABORTED, "a directory was moved while its size was taken");
	return NULL;
}

static struct err *enter_next(struct walk *w)
{
	struct strv *subdirs = &w->levels[w->n - 1].subdirs;
	const char *name = subdirs->items[subdirs->n - 1];
	int fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		enter_base(w, name);
	strv_remove_at(subdirs, subdirs->n - 1);
	return fd >= 0 ? enter(w, fd) : NULL;
}

static struct err *walk_tree(struct usage *u, int take_fd, int take_base_fd)
{
	autoval(walk) w = {
		.usage = u,
		.fd = -1,
		.base_fd = take_base_fd,
		.n_base = 1,
	};

	TRY(enter(&w, take_fd));
	while (w.n) {
		if (w.levels[w.n - 1].subdirs.n)
			TRY(enter_next(&w));
		else
			TRY(leave(&w));
	}
	return NULL;
}

static struct err *try_usage(const char *path, const char *base, struct usage *u)
{
	autofd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd base_fd = -1;
	struct stat st;

	if (fd < 0)
		return err_sys(errno, "open %s", path);
	if (base) {
		base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (base_fd < 0)
			return err_sys(errno, "open %s", base);
	} else if (fstat(fd, &st) == 0) {
		count(u, &st);
	}
	return err_wrap(walk_tree(u, TAKE_FD(fd), TAKE_FD(base_fd)), "%s", path);
}

static struct err *usage(
	const char *path, const char *base, int64_t *ret_bytes, int64_t *ret_inodes)
{
	struct err *e = NULL;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		struct usage u = {0};

		err_free(e);
		e = try_usage(path, base, &u);
		map_done(&u.seen, NULL);
		if (e && err_is(e, ERR_ABORTED))
			continue;
		if (!e) {
			*ret_bytes = u.bytes;
			*ret_inodes = u.inodes;
		}
		return e;
	}
	return e;
}

struct err *tree_usage(const char *path, int64_t *ret_bytes, int64_t *ret_inodes)
{
	return usage(path, NULL, ret_bytes, ret_inodes);
}

struct err *tree_usage_changed(
	const char *path, const char *base, int64_t *ret_bytes, int64_t *ret_inodes)
{
	return usage(path, base, ret_bytes, ret_inodes);
}
