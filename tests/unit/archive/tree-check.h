// SPDX-License-Identifier: Apache-2.0
/* Temporary trees for tests, and what is in them as text. */
#pragma once

#include "base/buf.h"

/* A new empty directory; caller removes it with tree_remove. */
char *tree_temp(void);
void tree_remove(char *take_path);

/* Lines of "KIND PATH ...": `d path MODE`, `f path MODE CONTENT`, `l path TARGET`, `h path FIRST`
 * (hard link to an earlier file), `c path MAJOR MINOR`, `p path MODE`; made in order below root. */
void tree_make(const char *root, const char *lines);
/* The same lines, sorted by path. Caller frees. */
char *tree_describe(const char *root);
/* Mode, owner, size, whole seconds of the modification time, and xattrs of everything. */
char *tree_describe_all(const char *root);
