// SPDX-License-Identifier: Apache-2.0
/*
 * A logging program (binary:// and binary-v2://): gets stdout, stderr and a pipe on which it says
 * that it is ready as descriptors 3, 4 and 5.
 */
#pragma once

#include "shim/reaper.h"
#include "shim/uri.h"

struct logger;

/* NULL once it is ready to take output. */
typedef void (*logger_fn)(void *arg, struct err *take_e);

/* Starts the program and returns the write ends of its two pipes; `ready` is called later, from the
 * loop. */
CHECKED struct err *logger_start(struct loop *loop, struct reaper *reaper, const struct uri *uri,
	const char *ns, const char *id, logger_fn ready, void *arg, int *ret_out, int *ret_err,
	struct logger **ret);
/* The pipes were closed: let it finish, then ask (SIGTERM), then end it. `done` (may be NULL) when
 * it is gone, from the loop or within this call. Frees it. NULL-safe. */
void logger_stop(struct logger *l, void (*done)(void *arg), void *arg);
