// SPDX-License-Identifier: Apache-2.0
/*
 * The control group of a container, read from the files of the kernel: version 1 (one directory per
 * controller) or version 2 (one directory). A machine with both is version 1, as containerd has it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/strv.h"

struct cgroup;

/* The group of a process; ERR_NOT_FOUND when it is in none. */
CHECKED struct err *cgroup_of(pid_t pid, struct cgroup **ret);
/* A group by its path below the hierarchies; ERR_NOT_FOUND when it is nowhere. */
CHECKED struct err *cgroup_named(const char *path, struct cgroup **ret);
void cgroup_free(struct cgroup *c);
DEFINE_AUTOPTR(cgroup, cgroup_free);

bool cgroup_is_unified(const struct cgroup *c);
bool cgroup_exists(const struct cgroup *c);
/* Directory of a version 1 controller ("memory"), or the directory of version 2 whatever the name.
 * NULL when there is none. Owned by the group. */
const char *cgroup_dir(const struct cgroup *c, const char *controller);
/* All processes in it and below. */
CHECKED struct err *cgroup_pids(const struct cgroup *c, pid_t **ret, size_t *ret_n);
CHECKED struct err *cgroup_add(const struct cgroup *c, pid_t pid);

/* One number from a file; "max" and what does not fit is UINT64_MAX, a missing file 0. */
uint64_t cgroup_number(const char *dir, const char *file);
/* The text of a file, NULL when it cannot be read. At most 256 KiB. */
char *cgroup_text(const char *dir, const char *file);
/* The number behind a key in a text of lines "key number"; 0 when absent. */
uint64_t cgroup_value(const char *text, const char *key);
