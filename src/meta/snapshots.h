// SPDX-License-Identifier: Apache-2.0
/*
 * Snapshot rows: names, parents and labels, and the numeric id under which a driver (snapshot/)
 * keeps the files. A Prepare is one transaction.
 */
#pragma once

#include "meta/db.h"

enum snapshot_kind { SNAPSHOT_VIEW = 1, SNAPSHOT_ACTIVE = 2, SNAPSHOT_COMMITTED = 3 };

struct snapshot_info {
	char *name;   /* the client's key */
	char *parent; /* "" for none */
	enum snapshot_kind kind;
	struct strmap labels;
	struct timestamp created_at, updated_at;
	uint64_t id;	      /* the driver's */
	int64_t size, inodes; /* of a committed one */
};

struct snapshot_list {
	struct snapshot_info *items;
	size_t n, cap;
};

/* A snapshot with the ids of its ancestors, nearest first: what a driver needs to mount it. */
struct snapshot_chain {
	struct snapshot_info info;
	uint64_t *parents;
	size_t n_parents;
};

void snapshot_info_done(struct snapshot_info *i);
DEFINE_AUTOVAL(snapshot_info, snapshot_info_done);
void snapshot_list_done(struct snapshot_list *l);
DEFINE_AUTOVAL(snapshot_list, snapshot_list_done);
void snapshot_chain_done(struct snapshot_chain *c);
DEFINE_AUTOVAL(snapshot_chain, snapshot_chain_done);

CHECKED struct err *snapshots_get(struct meta *m, const struct scope *s, const char *snapshotter,
	const char *key, struct snapshot_chain *ret);
/* For filter_match() on a struct snapshot_info. Fields: name, parent, kind, labels.*. */
const char *snapshot_field(void *object, char *const *path, size_t n, bool *ret_present);
CHECKED struct err *snapshots_list(struct meta *m, const struct scope *s, const char *snapshotter,
	char *const *filters, size_t n_filters, struct snapshot_list *ret);
/*
 * Creating is in two steps, so that the driver's directories are there before the row counts:
 * reserve checks names, parent (ERR_NOT_FOUND), duplicates (ERR_EXISTS "snapshot \"x\": already
 * exists") and draws the id; publish makes the snapshot visible. A reservation that is never
 * published (a crash between) is dropped at the next open, its id listed by snapshots_stale().
 * With `target` (the label containerd.io/snapshot.ref) nothing special happens here.
 */
CHECKED struct err *snapshots_reserve(struct meta *m, const struct scope *s,
	const char *snapshotter, const char *key, const char *parent, enum snapshot_kind kind,
	const struct strmap *labels, struct snapshot_chain *ret);
CHECKED struct err *snapshots_publish(
	struct meta *m, const struct scope *s, const char *snapshotter, const char *key);
CHECKED struct err *snapshots_unreserve(
	struct meta *m, const struct scope *s, const char *snapshotter, const char *key);
/* Active -> committed under a new name. ERR_EXISTS for a taken name, ERR_PRECONDITION for one that
 * is not active. `parent` (may be NULL) rebases an active snapshot without parent onto it. */
CHECKED struct err *snapshots_commit(struct meta *m, const struct scope *s, const char *snapshotter,
	const char *key, const char *name, const char *parent, const struct strmap *labels,
	int64_t size, int64_t inodes);
CHECKED struct err *snapshots_update(struct meta *m, const struct scope *s, const char *snapshotter,
	const char *key, const struct strmap *labels, char *const *paths, size_t n_paths,
	struct snapshot_info *ret);
/* ERR_PRECONDITION "cannot remove snapshot with child" while it has children. The row goes; the
 * files go when the caller says snapshots_forget(id). */
CHECKED struct err *snapshots_remove(
	struct meta *m, const struct scope *s, const char *snapshotter, const char *key);

/* Ids whose rows are gone and whose files may still be there, of all namespaces. */
struct snapshot_ids {
	uint64_t *items;
	size_t n, cap;
};
void snapshot_ids_done(struct snapshot_ids *i);
DEFINE_AUTOVAL(snapshot_ids, snapshot_ids_done);
CHECKED struct err *snapshots_stale(
	struct meta *m, const char *snapshotter, struct snapshot_ids *ret);
CHECKED struct err *snapshots_forget(struct meta *m, const char *snapshotter, uint64_t id);
/* Whether a row, reserved or not, has the id. */
CHECKED struct err *snapshots_known(
	struct meta *m, const char *snapshotter, uint64_t id, bool *ret);
