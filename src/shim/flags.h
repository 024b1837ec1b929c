// SPDX-License-Identifier: Apache-2.0
/* The command line, in the manner of Go's flag package: -name value, -name=value, --name. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct flags { /* all point into argv; "" when not given */
	const char *ns, *id, *address, *publish_binary, *bundle, *socket, *debug_socket;
	bool debug, version, info;
	const char *action; /* start, delete, or "" to serve */
};

CHECKED struct err *flags_parse(int argc, char *const *argv, struct flags *ret);
