// SPDX-License-Identifier: Apache-2.0
/* Hash map from a string (copied) to a pointer (owned by whoever the declaration says). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct map_slot {
	char *key; /* NULL: free */
	void *value;
	uint64_t hash;
};

struct map {
	struct map_slot *slots; /* open addressing, linear probing */
	size_t n, cap;
};

#define MAP_INIT ((struct map){0})

/* Frees the keys; with `destroy`, also the values. */
void map_done(struct map *m, void (*destroy)(void *value));
void *map_get(const struct map *m, const char *key);
/* Returns the value that was there before, or NULL. */
void *map_set(struct map *m, const char *key, void *value);
/* Returns the value removed, or NULL. */
void *map_del(struct map *m, const char *key);
/* Visit in no order: `for (size_t i = 0; map_next(m, &i, &key, &value);)`. The map may not change
 * meanwhile. */
bool map_next(const struct map *m, size_t *i, const char **ret_key, void **ret_value);
uint64_t hash_bytes(const void *p, size_t len);
