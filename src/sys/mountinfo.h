// SPDX-License-Identifier: Apache-2.0
/* /proc/self/mountinfo: what is mounted where (proc_pid_mountinfo(5)). */
#pragma once

#include "base/strv.h"
#include "base/err.h"

/* Where something is mounted at or below the directory (absolute, without symlinks), once for each
 * mount, in the order in which the kernel lists them. */
CHECKED struct err *mountinfo_below(const char *path, struct strv *ret);
