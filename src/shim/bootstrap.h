// SPDX-License-Identifier: Apache-2.0
/* `start`: begin a shim for the bundle in the working directory, or find the one of its pod, and
 * tell the daemon where it answers in the way that daemon understands. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "shim/flags.h"
#include "shim/options.h"

/* What the daemon gave on stdin. */
struct start_input {
	bool is_bootstrap; /* the daemon speaks BootstrapParams (2.3 and later) */
	bool debug;
	char *address, *socket_dir; /* never NULL */
	struct options options;
};

void start_input_done(struct start_input *in);
DEFINE_AUTOVAL(start_input, start_input_done);
/* Nothing, an Any of runtime options, or BootstrapParams, told apart by the identity in the latter.
 * What is none of these counts as nothing, as it does for stock shims. */
void start_input_parse(
	const void *data, size_t len, const struct flags *flags, struct start_input *ret);

CHECKED struct err *bootstrap_run(const struct flags *flags);
