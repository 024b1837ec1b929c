// SPDX-License-Identifier: Apache-2.0
/* Tells when the kernel killed a process of a control group for want of memory: an eventfd on
 * memory.oom_control (version 1), an inotify watch on memory.events (version 2). */
#pragma once

#include "event/loop.h"
#include "shim/cgroup.h"

struct oom_watch;

typedef void (*oom_fn)(void *arg);

/* ERR_NOT_FOUND when the group has no memory controller. */
CHECKED struct err *oom_watch_new(struct loop *loop, const struct cgroup *cgroup, oom_fn fn,
	void *arg, struct oom_watch **ret);
/* Tell now what happened since; before the exit of the group's process is told. NULL-safe. */
void oom_watch_poll(struct oom_watch *w);
void oom_watch_free(struct oom_watch *w);
