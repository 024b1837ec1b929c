// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that dies together: everything one RPC call needs is freed by one call. Nothing from an
 * arena may be stored beyond it; domain functions copy what they keep.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/auto.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);
DEFINE_AUTOPTR(arena, arena_free);

/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
void *arena_array(struct arena *a, size_t n, size_t size) __attribute__((returns_nonnull));
void *arena_memdup(struct arena *a, const void *p, size_t size) __attribute__((returns_nonnull));
/* NULL stays NULL. */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
/* Bytes asked for so far. */
size_t arena_used(const struct arena *a);

#define ARENA_NEW(a, T) ((T *)arena_alloc((a), sizeof(T)))
