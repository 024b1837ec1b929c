// SPDX-License-Identifier: Apache-2.0
/*
 * Allocation that cannot fail: running out of memory aborts. Every size a peer controls is bounded
 * before it gets here, so an abort means the machine is out of memory, not that a peer asked nicely.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/auto.h"

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
/* Room for n elements of the given size; aborts on overflow of the product. */
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
void *xmemdup(const void *p, size_t size) __attribute__((returns_nonnull));
/* NULL stays NULL. */
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n) __attribute__((returns_nonnull));
char *xasprintf(const char *fmt, ...) PRINTF(1, 2) __attribute__((returns_nonnull));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((returns_nonnull));

#define NEW(T) ((T *)xcalloc(1, sizeof(T)))

/* Make room for one more element at the end of an array that grows by doubling. */
#define GROW(array, n, cap)                                                                        \
	do {                                                                                       \
		if ((n) == (cap)) {                                                                \
			(cap) = (cap) ? (cap) * 2 : 4;                                             \
			(array) = xreallocarray((array), (cap), sizeof(*(array)));                 \
		}                                                                                  \
	} while (0)
