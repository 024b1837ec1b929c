// SPDX-License-Identifier: Apache-2.0
/*
 * Mounts as containerd's API describes them, and the kernel calls that make them (new mount API,
 * mount(2) where it is missing).
 */
#pragma once

/* -Isrc puts this file before libc's of the same name: whoever includes either gets both. */
#include_next <sys/mount.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/strv.h"

struct mount {
	char *type; /* "overlay", "bind", "tmpfs", ... */
	char *source;
	char *target; /* below the mount point, "" for itself */
	struct strv options;
};

struct mounts {
	struct mount *items;
	size_t n, cap;
};

#define MOUNTS_INIT ((struct mounts){0})

void mounts_done(struct mounts *m);
DEFINE_AUTOVAL(mounts, mounts_done);
/* Appends an empty mount and returns it; valid until the next add. */
struct mount *mounts_add(
	struct mounts *m, const char *type, const char *source, const char *target);
void mounts_copy(struct mounts *to, const struct mounts *from);

/* Mount all, in order, at `target` (which exists); on failure those already made are undone. */
CHECKED struct err *mounts_attach(const struct mounts *m, const char *target);
/* Unmount everything stacked at the path and below it, lazily when busy; not mounted is success. */
CHECKED struct err *mount_detach(const char *path);
/* Whether something is mounted exactly there. */
CHECKED struct err *mount_is_point(const char *path, bool *ret);
/* Whether the kernel lists the file system in /proc/filesystems (modules are tried). */
bool mount_fs_supported(const char *fstype);
