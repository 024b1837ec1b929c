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
	int fd; /* the innermost level's */
};

static void walk_done(struct walk *w)
{
	while (w->n)
		strv_done(&w->levels[--w->n].subdirs);
	free(w->levels);
	if (w->fd >= 0)
		close(w->fd);
}
DEFINE_AUTOVAL(walk, walk_done);

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

static struct err *walk_tree(struct usage *u, int take_fd)
{
	autoval(walk) w = {.usage = u, .fd = -1};

	TRY(enter(&w, take_fd));
	while (w.n) {
		struct strv *subdirs = &w.levels[w.n - 1].subdirs;
		int fd;

		if (!subdirs->n) {
			TRY(leave(&w));
			continue;
		}
		fd = openat(w.fd, subdirs->items[subdirs->n - 1],
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		strv_remove_at(subdirs, subdirs->n - 1);
		if (fd >= 0)
			TRY(enter(&w, fd));
	}
	return NULL;
}

static struct err *try_usage(const char *path, struct usage *u)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_sys(errno, "open %s", path);
	if (fstat(fd, &st) == 0)
		count(u, &st);
	return err_wrap(walk_tree(u, fd), "%s", path);
}

struct err *tree_usage(const char *path, int64_t *ret_bytes, int64_t *ret_inodes)
{
	struct err *e = NULL;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		struct usage u = {0};

		err_free(e);
		e = try_usage(path, &u);
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
