// SPDX-License-Identifier: Apache-2.0
/* A small string -> string map kept sorted by key: labels, annotations, environments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

struct strmap_entry {
	char *key, *value;
};

struct strmap {
	struct strmap_entry *entries; /* sorted by key, owned */
	size_t n, cap;
};

#define STRMAP_INIT ((struct strmap){0})

void strmap_done(struct strmap *m);
DEFINE_AUTOVAL(strmap, strmap_done);
/* The value, or NULL; owned by the map. */
const char *strmap_get(const struct strmap *m, const char *key);
void strmap_set(struct strmap *m, const char *key, const char *value);
bool strmap_del(struct strmap *m, const char *key);
/* Replaces what is in `to`. */
void strmap_copy(struct strmap *to, const struct strmap *from);
bool strmap_equal(const struct strmap *a, const struct strmap *b);
