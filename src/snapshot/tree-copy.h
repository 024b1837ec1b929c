// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/err.h"

/* Copies what is below `from` into the existing directory `to`: contents (shared blocks where the
 * file system can, holes kept), owners, modes, times, extended attributes, devices, and files with
 * several names as such. The directory `to` gets the attributes of `from`. */
CHECKED struct err *tree_copy(const char *from, const char *to);
/* The contents of one open file into an empty one, in the same way; the copy is as long as the
 * file. */
CHECKED struct err *file_copy(int from_fd, int to_fd);
