// SPDX-License-Identifier: Apache-2.0
/* /proc/self/mountinfo: what is mounted where (proc_pid_mountinfo(5)). */
#pragma once

#include "base/strv.h"
#include "base/err.h"

/* Where something is mounted at or below the directory (absolute, without symlinks), once for each
 * mount, in the order in which the kernel lists them. */
CHECKED struct err *mountinfo_below(const char *path, struct strv *ret);

/* The file system that the path (absolute, without symlinks) is on: its type and its source, such
 * as "ext4" and "/dev/vda1". Caller frees both. */
CHECKED struct err *mountinfo_find(const char *path, char **ret_type, char **ret_source);
