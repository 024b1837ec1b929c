// SPDX-License-Identifier: Apache-2.0
/* From a container to its process and the process's end, for `run` and `tasks start`. */
#pragma once

#include "ctr/foreground.h"

/* By the flags --null-io, --log-uri, --fifo-dir, --detach and --pid-file. The exit status becomes
 * the program's. */
CHECKED struct err *task_run(struct invocation *in, struct ctd_client *client,
	const struct ctd_container *container, bool tty, const struct ctd_task_options *options,
	struct foreground *f);
/* A process that was started: wait, forward, and delete it. */
CHECKED struct err *process_follow(
	struct invocation *in, struct ctd_process *p, struct foreground *f);
