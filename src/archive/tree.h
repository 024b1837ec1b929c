// SPDX-License-Identifier: Apache-2.0
/*
 * A directory that foreign names are put into. Every name is resolved by openat2(2) with
 * RESOLVE_IN_ROOT: symlinks and ".." of any kind end inside the tree. The last parents are kept
 * open, so an entry costs no walk when its neighbour came before it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"

struct tree;

/* Open a path inside a directory, wherever symlinks lead; a descriptor or -errno. */
int open_in_root(int root_fd, const char *path, int flags);

struct tree_dir {
	int fd;
	dev_t dev;
	ino_t ino;
	bool inherits; /* set-gid or a default ACL: what is made in it needs its mode and group set */
};

/* `lowers`: directories whose attributes a parent that has to be made takes over, topmost first.
 * All descriptors are borrowed. */
struct tree *tree_new(int root_fd, const int *lowers, size_t n_lowers);
void tree_free(struct tree *t);
DEFINE_AUTOPTR(tree, tree_free);

/* The name without ".", "..", empty components and slashes at its ends; "" is the tree itself.
 * `ret` has room for TAR_PATH_MAX bytes. ERR_INVALID for a name that leads out of the tree or is too
 * long. */
CHECKED struct err *tree_clean(const char *name, char *ret);
/* The directory a clean path is in; with `make` it is made, and its parents too. Valid until the
 * next call of this or of tree_forget. `ret_base` points into the path. */
CHECKED struct err *tree_parent(
	struct tree *t, const char *path, bool make, struct tree_dir **ret, const char **ret_base);
/* A directory or a symlink was removed: forget where paths lead. Returns the directory that
 * tree_parent gave last, which stays open until the next call of either. */
struct tree_dir *tree_forget(struct tree *t);
/* Set the times of a directory at the end, when nothing is made in it any more. */
CHECKED struct err *tree_note_times(
	struct tree *t, const char *path, const struct timespec times[2]);
CHECKED struct err *tree_set_times(struct tree *t);
