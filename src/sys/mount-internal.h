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
	bool has_loop;		   /* the source is a file, to be attached to a loop device */
	bool has_direct_io;	   /* of the loop device */
	char *uidmap, *gidmap;	   /* only both together have an effect */
	struct strv data;	   /* the rest, one "key[=value]" each, for the file system */
};

void mount_plan_done(struct mount_plan *p);
DEFINE_AUTOVAL(mount_plan, mount_plan_done);
/* ERR_INVALID for options that only a mount manager understands. */
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
/* Make the mount on top of what the target names, with all that it needs: a loop device, a user
 * namespace for its ids, helper mounts for an overlay. */
CHECKED struct err *mount_make(
	const struct mount *m, const struct mount_plan *p, const struct mount_target *target);
/* The same for a mount whose source is what the kernel wants; loop and id options do not count, and
 * propagation is left as it comes. With a user namespace (-1: none) the mount is mapped to it. */
CHECKED struct err *mount_make_plain(const struct mount *m, const struct mount_plan *p,
	const struct mount_target *target, int userns_fd);
CHECKED struct err *mount_set_propagation(
	const struct mount *m, const struct mount_plan *p, const struct mount_target *target);
/* Take off what is mounted topmost there, as far as that goes. */
void mount_target_detach(const struct mount_target *t);
/* An overlay with more lower directories than the kernel takes, or with ids mapped, which it is in
 * its lower directories. */
bool mount_needs_helpers(const struct mount *m, const struct mount_plan *p, int userns_fd);
CHECKED struct err *mount_make_with_helpers(const struct mount *m, const struct mount_plan *p,
	const struct mount_target *target, int userns_fd);
