// SPDX-License-Identifier: Apache-2.0
/*
 * What one tree has changed over another, as a layer: containerd's fs.Changes and ChangeWriter.
 * Both trees are walked side by side in the order of names, so the same trees give the same bytes.
 */
#pragma once

#include <stdbool.h>

#include "archive/tar-writer.h"

struct changes_options {
	int lower_fd, upper_fd; /* directories */
	bool has_time_bound;
	struct timestamp time_bound; /* files are not newer than this in the layer */
};

/* The working directory is not the caller's any more. */
CHECKED struct err *changes_write(const struct changes_options *options, struct tar_writer *w);
