// SPDX-License-Identifier: Apache-2.0
/* The log of a shim: a FIFO in the bundle that is copied to our standard error, never waiting for
 * whoever reads that. */
#pragma once

#include "event/loop.h"

struct shim_log;

/* Makes the FIFO when it is missing. Any thread. */
CHECKED struct err *shim_log_open(struct loop *loop, const char *bundle, struct shim_log **ret);
void shim_log_close(struct shim_log *log); /* any thread; NULL-safe */
