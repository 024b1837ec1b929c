// SPDX-License-Identifier: Apache-2.0
/* Atomic reference count, for objects that two threads own. Starts at 1. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

struct ref {
	atomic_uint n;
};

static inline void ref_init(struct ref *r)
{
	atomic_init(&r->n, 1);
}

static inline void ref_get(struct ref *r)
{
	atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed);
}

/* True for the one caller that must now destroy the object. */
static inline bool ref_put(struct ref *r)
{
	/* No fence of its own for the last one: thread sanitizers do not know fences. */
	return atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel) == 1;
}
