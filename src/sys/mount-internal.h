// SPDX-License-Identifier: Apache-2.0
/* One mount of a list: its options read, and the kernel calls that make it. */
#pragma once

#include "sys/mount.h"

/* What the fstab-style options of a mount ask for. */
struct mount_plan {
	unsigned long flags;	   /* MS_*, without propagation */
	unsigned long propagation; /* MS_SHARED and friends, maybe with MS_REC; 0: as it comes */
	bool clears_atime;	   /* an atime option was named, so the source's does not count */
	bool is_recursive_ro;	   /* "rro": read-only with everything mounted below */
	struct strv data;	   /* the rest, one "key[=value]" each, for the file system */
};

void mount_plan_done(struct mount_plan *p);
DEFINE_AUTOVAL(mount_plan, mount_plan_done);
/* ERR_INVALID for options that only a mount manager understands, ERR_UNIMPLEMENTED for those that
 * need what is not here. */
CHECKED struct err *mount_plan_parse(const struct mount *m, struct mount_plan *ret);
/* Cut a lowerdir= value at its ':' and take the backslashes off; `ret_data` gets what stands behind
 * a "::". */
void mount_split_lowerdirs(const char *value, struct strv *ret, struct strv *ret_data);

/* A mount point: a directory and a path below it that is resolved without leaving it. */
struct mount_target {
	const char *base;
	const char *below; /* "" for the base itself */
};

/* O_PATH descriptor of what is mounted topmost there now. */
CHECKED struct err *mount_target_open(const struct mount_target *t, int *ret_fd);
/* Make the mount on top of what the target names. */
CHECKED struct err *mount_make(
	const struct mount *m, const struct mount_plan *p, const struct mount_target *target);
