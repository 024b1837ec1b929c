// SPDX-License-Identifier: Apache-2.0
/* What clients attach to a container or a sandbox: values of any type, by name. */
#pragma once

#include <stdbool.h>

#include "base/any.h"

struct extension {
	char *name;
	struct any value;
};

struct extensions {
	struct extension *items; /* sorted by name */
	size_t n;
};

void extensions_done(struct extensions *x);
DEFINE_AUTOVAL(extensions, extensions_done);
/* Both copied. */
void extensions_set(struct extensions *x, const char *name, const struct any *value);
/* NULL for none. */
const struct any *extensions_find(const struct extensions *x, const char *name);
/* Replaces what is in `to`. */
void extensions_copy(struct extensions *to, const struct extensions *from);
/* As `path` ("extensions" or "extensions.x") of an update says; false when it is another one. */
bool extensions_apply_path(struct extensions *to, const struct extensions *from, const char *path);
