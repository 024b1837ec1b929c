// SPDX-License-Identifier: Apache-2.0
/* Having the runtime start a process: `create`, `restore` and `exec` differ in words only. */
#pragma once

#include "shim/container.h"

enum launch_kind { LAUNCH_CREATE, LAUNCH_RESTORE, LAUNCH_EXEC };

/* Opens the stdio unless it is open, runs the runtime, takes over terminal and pid. `op->then` is
 * called with the outcome; on failure the stdio is closed and nothing of the process is left. The
 * process is `starting` until the caller has told so (process_started). */
void launch(struct op *op, enum launch_kind kind, void (*then)(struct op *op, struct err *take_e));
/* Only opens the stdio, for a container that is restored later. */
void launch_open(struct op *op, void (*then)(struct op *op, struct err *take_e));
