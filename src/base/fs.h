// SPDX-License-Identifier: Apache-2.0
/* Files, descriptors and paths of our own (never of a container's root: see sys/rootfs.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* All of it, across short counts and EINTR; 0 or -errno. read_full returns the bytes read, fewer
 * only at the end of the file. */
int write_full(int fd, const void *data, size_t len);
ssize_t read_full(int fd, void *data, size_t len);

/* "a/b" from "a" and "b", with exactly one slash between. Caller frees. */
char *path_join(const char *a, const char *b);
/* The last component; points into the path. */
const char *path_base(const char *path);
/* The path up to the last component ("." when there is none). Caller frees. */
char *path_dir(const char *path);

/* Read a file of at most `max` bytes; larger is ERR_EXHAUSTED. NUL-terminated, caller frees. */
CHECKED struct err *file_read(const char *path, size_t max, char **ret, size_t *ret_len);
CHECKED struct err *fd_read_all(int fd, size_t max, char **ret, size_t *ret_len);
/* Write beside, then rename over; with `sync`, durable on return (file and directory). */
CHECKED struct err *file_write_atomic(
	const char *path, const void *data, size_t len, mode_t mode, bool sync);
CHECKED struct err *dir_sync(const char *path);
/* Create the directory and its parents; existing ones are left as they are. */
CHECKED struct err *mkdir_p(const char *path, mode_t mode);
/* Remove a tree without following symlinks or crossing into other mounts; a missing path is
 * success. */
CHECKED struct err *remove_tree(const char *path);
CHECKED struct err *remove_tree_at(int dirfd, const char *name);
