// SPDX-License-Identifier: Apache-2.0
/*
 * Metadata: what containerd keeps in meta.db, here in SQLite (WAL). The layer knows names, labels,
 * references and leases, and no file of any content or snapshot.
 *
 * Promises: a write that returned is durable; leases that expire, and new snapshots under them, are
 * with the next write, since all keep their order. Writes are group-committed: one writer thread,
 * one transaction and one fsync for all that wait, each in its own savepoint, so that one failing
 * write undoes nothing of another. Reads run in parallel on connections of their own. Rows name only
 * what is already durable on disk; what is to be removed loses its row first.
 *
 * Times are nanoseconds since 1970. All functions of this folder are safe from any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/strmap.h"
#include "base/strv.h"
#include "base/timestamp.h"

struct meta;

/* Opens or creates `path` and brings its schema up to date. A database of a newer schema, or one
 * that is held by another process, is refused with an error that says so. */
CHECKED struct err *meta_open(const char *path, struct meta **ret);
void meta_close(struct meta *m);
DEFINE_AUTOPTR(meta, meta_close);

/* Who asks: the namespace, and the lease under whose protection new objects come (may be NULL). */
struct scope {
	const char *ns;
	const char *lease;
};
/* ERR_PRECONDITION "namespace is required: failed precondition" without one, ERR_INVALID for a bad
 * one. */
CHECKED struct err *scope_check(const struct scope *s);

/* --- changes, for the events that containerd publishes --- */

enum change_kind {
	CHANGE_NAMESPACE_CREATE,
	CHANGE_NAMESPACE_UPDATE,
	CHANGE_NAMESPACE_DELETE,
	CHANGE_CONTAINER_CREATE,
	CHANGE_CONTAINER_UPDATE,
	CHANGE_CONTAINER_DELETE,
	CHANGE_IMAGE_CREATE,
	CHANGE_IMAGE_UPDATE,
	CHANGE_IMAGE_DELETE,
	CHANGE_CONTENT_CREATE,
	CHANGE_CONTENT_DELETE,
	CHANGE_SNAPSHOT_PREPARE,
	CHANGE_SNAPSHOT_COMMIT,
	CHANGE_SNAPSHOT_REMOVE,
};

struct change {
	enum change_kind kind;
	const char *ns;
	const char *id; /* name, id, key or digest */
	const char
		*parent; /* snapshots: the parent key; commit: id is the key, parent the new name */
	const char *snapshotter;
	const struct strmap *labels;	   /* may be NULL */
	const struct container *container; /* for container changes, may be NULL on delete */
	int64_t size;			   /* content */
};

/* Called after the change is durable, on the thread that made it, in no lock of this layer. At most
 * one observer; set before first use. */
void meta_set_observer(
	struct meta *m, void (*observe)(const struct change *c, void *arg), void *arg);
/* For the layers above (namespaced/): tell the observer. */
void meta_announce(struct meta *m, const struct change *c);
