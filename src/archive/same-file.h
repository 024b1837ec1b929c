// SPDX-License-Identifier: Apache-2.0
/*
 * Whether a name is the same in two trees, by containerd's rules: kind, mode, owner, device and
 * xattrs; for what is no directory also size and time of change. Archives cut times to seconds, so
 * where both times are whole the content decides.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "archive/tar-reader.h"

/* The xattrs that a layer keeps: file capabilities and those of users, sorted by name. */
struct xattr_set {
	struct tar_xattr *items; /* names and values owned */
	size_t n, cap;
};

void xattr_set_done(struct xattr_set *s);
DEFINE_AUTOVAL(xattr_set, xattr_set_done);
CHECKED struct err *xattr_set_read(struct xattr_set *s, int fd);

CHECKED struct err *same_dir(
	int lower_fd, const struct stat *lower, int upper_fd, const struct stat *upper, bool *ret);
/* The name in two directories; changes the working directory. */
CHECKED struct err *same_file(int lower_dir, const struct stat *lower, int upper_dir,
	const struct stat *upper, const char *name, bool *ret);
