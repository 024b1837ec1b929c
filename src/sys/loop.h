// SPDX-License-Identifier: Apache-2.0
/* Loop devices: a file as a block device (loop(4)). */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct loop_options {
	bool is_readonly;
	bool is_direct; /* past the page cache */
};

/* Attach the file to a free device, which the kernel detaches when nobody has it open or mounted any
 * more: keep the descriptor until it is mounted. Caller frees the device's path. */
CHECKED struct err *loop_attach(
	const char *file, const struct loop_options *options, int *ret_fd, char **ret_device);
