// SPDX-License-Identifier: Apache-2.0
/*
 * Garbage collection over the rows: roots (leases that have not expired, images, containers,
 * objects labelled containerd.io/gc.root, ingests in use) keep what they reach by
 * containerd.io/gc.ref.* labels, snapshot parents and container snapshots. See containerd's
 * docs/garbage-collection.md.
 */
#pragma once

#include "meta/db.h"

struct gc_result {
	size_t blobs, images, snapshots, ingests, leases; /* rows removed */
};

/* One collection; changes are announced. Files are the caller's (namespaced/collector.h). */
CHECKED struct err *gc_collect(struct meta *m, struct gc_result *ret);
/* Rows deleted and mutated since the last collection, for the scheduler. */
void gc_pressure(struct meta *m, uint64_t *ret_deletions, uint64_t *ret_mutations);
/* Called after each write of a client, on its thread, in no lock; cheap. Set before first use. */
void gc_set_notify(struct meta *m, void (*notify)(void *arg), void *arg);
