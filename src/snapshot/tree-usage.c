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

static struct err *walk(struct usage *u, int take_fd)
{
	DIR *dir = fdopendir(take_fd);
	struct err *e = NULL;
	struct dirent *d;
	struct stat st;

	if (!dir) {
		close(take_fd);
		return err_sys(errno, "open directory");
	}
	while (!e && (d = readdir(dir))) {
		int fd;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		/* A running container may remove files under our eyes. */
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		count(u, &st);
		if (!S_ISDIR(st.st_mode))
			continue;
		fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			e = err_wrap(walk(u, fd), "%s", d->d_name);
	}
	closedir(dir);
	return e;
}

struct err *tree_usage(const char *path, int64_t *ret_bytes, int64_t *ret_inodes)
{
	struct usage u = {0};
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	struct err *e;

	if (fd < 0)
		return err_sys(errno, "open %s", path);
	if (fstat(fd, &st) == 0)
		count(&u, &st);
	e = walk(&u, fd);
	map_done(&u.seen, NULL);
	TRY(err_wrap(e, "%s", path));
	*ret_bytes = u.bytes;
	*ret_inodes = u.inodes;
	return NULL;
}
