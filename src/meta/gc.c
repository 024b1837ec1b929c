// SPDX-License-Identifier: Apache-2.0
/*
 * A collection reads everything in one consistent view and marks in memory, while writers go on;
 * then it deletes what is not marked, in short writes. Why nothing that is in use gets lost:
 *
 * Before the view V is opened, the barrier is put up: from then on each write notes the objects it
 * makes or changes and those it makes something refer to (gc_touch). Writes are one after the other,
 * and deletions are writes, too; each begins by marking all that was noted so far, with all that
 * leads to in the graph of V. Say a deletion is about to remove X, which has a row in V. Were X in
 * use now, there would be a path from a root of now to X. Follow it to its last node that is new
 * as a root, changed, or target of an edge made since V: that node was noted, hence is marked. The
 * edges behind it were in V, since an edge made later would have noted its target; so X was marked
 * with it, and is not removed. If there is no such node, the whole path was in V, and X was marked
 * in the first place. Marking too much (the write was undone, the reference is gone again) only
 * keeps an object until the next collection.
 *
 * What has no row in V is never removed, and no write can come between the marking and the deletion.
 */
#include "meta/gc.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "meta/blobs.h"
#include "meta/gc-graph.h"

#define LABEL_EXPIRE "containerd.io/gc.expire"
#define LABEL_FLAT "containerd.io/gc.flat"
/* How long, and with how many rows, one write of a sweep may keep the others waiting. */
#define SWEEP_MS 4
#define SWEEP_ROWS 256

struct sweep {
	struct gc_graph *graph;
	struct gc_node *roots, *flat_roots; /* their edges lead to what is kept without a reason */
	struct timestamp now;
	size_t at;     /* how far graph->all is swept, from its end */
	bool deferred; /* a snapshot still had children */
	bool progress;
	struct gc_node **removed; /* by the write under way: announced once that is durable */
	size_t n_removed, cap_removed;
	struct gc_result result;
};

/* --- notes of writers --- */

void gc_touch(struct conn *c, enum gc_type type, const char *ns, const char *extra, const char *key)
{
	struct meta *m = c->meta;

	if (!atomic_load(&m->barrier))
		return;
	LOCKED(&m->touched_lock);
	strv_add_take(&m->touched, gc_key(type, ns, extra, key));
}

void gc_touch_labels(struct conn *c, const char *ns, const struct strmap *labels)
{
	if (!atomic_load(&c->meta->barrier))
		return;
	for (size_t i = 0; i < labels->n; i++) {
		autoval(gc_reference) r = {0};

		/* All conditions of one label name the same object. */
		if (gc_reference_parse(labels->entries[i].key, labels->entries[i].value, 0, &r))
			gc_touch(c, r.type, ns, r.snapshotter, r.key);
	}
}

static struct err *do_nothing(struct conn *c, void *arg)
{
	return NULL;
}

/* A write that began before the barrier was up may have noted nothing; it is over when a write of
 * ours is, and so part of what is read next. */
static struct err *raise_barrier(struct meta *m)
{
	atomic_store(&m->barrier, true);
	return meta_write(m, RELAXED, do_nothing, NULL);
}

static void lower_barrier(struct meta *m)
{
	LOCKED(&m->touched_lock);

	atomic_store(&m->barrier, false);
	strv_done(&m->touched);
}

/* --- reading everything --- */

static bool expired(
	const struct strmap *labels, struct timestamp now, const char *what, const char *name)
{
	const char *text = strmap_get(labels, LABEL_EXPIRE);
	struct timestamp at;
	autoptr(err) e = NULL;

	if (!text)
		return false;
	e = timestamp_parse(text, &at);
	if (e)
		log_debug("ignoring invalid expiration value", what, name, "value", text);
	return !e && timestamp_compare(now, at) > 0;
}

/* What a row refers to by its labels; a root when a label or the caller says so. */
static struct err *add_labels(
	struct sweep *s, struct gc_node *n, sqlite3_stmt *st, int column, bool root)
{
	autoval(strmap) labels = STRMAP_INIT;
	bool by_label;

	TRY(unpack_labels(st, column, &labels));
	gc_graph_labels(s->graph, n, &labels, &by_label);
	if (n->type == GC_IMAGE)
		root = !expired(&labels, s->now, "image", n->key);
	if (root || by_label)
		gc_graph_edge(s->graph, s->roots, n, true);
	return NULL;
}

static struct err *add_image(struct sweep *s, sqlite3_stmt *st)
{
	const char *ns = sql_peek(st, 0);
	struct gc_node *n = gc_graph_row(s->graph, GC_IMAGE, ns, NULL, sql_peek(st, 1));

	gc_graph_edge(
		s->graph, n, gc_graph_node(s->graph, GC_CONTENT, ns, NULL, sql_peek(st, 3)), true);
	return add_labels(s, n, st, 2, false);
}

static struct err *add_blob(struct sweep *s, sqlite3_stmt *st)
{
	struct gc_node *n =
		gc_graph_row(s->graph, GC_CONTENT, sql_peek(st, 0), NULL, sql_peek(st, 1));

	return add_labels(s, n, st, 2, false);
}

static struct err *add_container(struct sweep *s, sqlite3_stmt *st)
{
	const char *ns = sql_peek(st, 0), *snapshotter = sql_peek(st, 3);
	struct gc_node *n = gc_graph_node(s->graph, GC_CONTAINER, ns, NULL, sql_peek(st, 1));

	if (*snapshotter)
		gc_graph_edge(s->graph, n,
			gc_graph_node(s->graph, GC_SNAPSHOT, ns, snapshotter, sql_peek(st, 4)),
			true);
	return add_labels(s, n, st, 2, true);
}

static struct err *add_sandbox(struct sweep *s, sqlite3_stmt *st)
{
	struct gc_node *n =
		gc_graph_node(s->graph, GC_SANDBOX, sql_peek(st, 0), NULL, sql_peek(st, 1));

	return add_labels(s, n, st, 2, true);
}

/* A reservation is in use by the one who makes it. */
static struct err *add_snapshot(struct sweep *s, sqlite3_stmt *st)
{
	const char *ns = sql_peek(st, 0), *snapshotter = sql_peek(st, 3);
	struct gc_node *n = gc_graph_row(s->graph, GC_SNAPSHOT, ns, snapshotter, sql_peek(st, 1));

	n->id = sqlite3_column_int64(st, 5);
	if (sqlite3_column_type(st, 4) != SQLITE_NULL)
		gc_graph_edge(s->graph, n,
			gc_graph_node(s->graph, GC_SNAPSHOT, ns, snapshotter, sql_peek(st, 4)),
			true);
	return add_labels(s, n, st, 2, sqlite3_column_int(st, 6) != 0);
}

static struct err *add_ingest(struct sweep *s, sqlite3_stmt *st)
{
	const char *ns = sql_peek(st, 0);
	struct gc_node *n = gc_graph_row(s->graph, GC_INGEST, ns, NULL, sql_peek(st, 1));
	bool alive = sqlite3_column_type(st, 2) != SQLITE_NULL &&
		     sqlite3_column_int64(st, 2) >= timestamp_to_ns(s->now);

	n->id = sqlite3_column_int64(st, 4);
	if (sqlite3_column_type(st, 3) != SQLITE_NULL)
		gc_graph_edge(s->graph, n,
			gc_graph_node(s->graph, GC_CONTENT, ns, NULL, sql_peek(st, 3)), true);
	if (alive)
		gc_graph_edge(s->graph, s->roots, n, true);
	return NULL;
}

/* Leases come first, so that their resources know whether they hold and how far. */
static struct err *add_lease(struct sweep *s, sqlite3_stmt *st)
{
	autoval(strmap) labels = STRMAP_INIT;
	struct gc_node *n =
		gc_graph_row(s->graph, GC_LEASE, sql_peek(st, 0), NULL, sql_peek(st, 1));

	TRY(unpack_labels(st, 2, &labels));
	if (expired(&labels, s->now, "lease", n->key))
		return NULL;
	n->flat = strmap_get(&labels, LABEL_FLAT) != NULL;
	gc_graph_mark(n, false);
	return NULL;
}

static struct err *add_lease_resource(struct sweep *s, sqlite3_stmt *st)
{
	const char *ns = sql_peek(st, 0), *type = sql_peek(st, 2), *key = sql_peek(st, 3);
	struct gc_node *lease = gc_graph_node(s->graph, GC_LEASE, ns, NULL, sql_peek(st, 1));
	struct gc_node *n;

	if (!lease->marked)
		return NULL;
	if (strcmp(type, "content") == 0)
		n = gc_graph_node(s->graph, GC_CONTENT, ns, NULL, key);
	else if (strcmp(type, "images") == 0)
		n = gc_graph_node(s->graph, GC_IMAGE, ns, NULL, key);
	else if (strcmp(type, "ingests") == 0)
		n = gc_graph_node(s->graph, GC_INGEST, ns, NULL, key);
	else
		n = gc_graph_node(s->graph, GC_SNAPSHOT, ns, type + strlen("snapshots/"), key);
	gc_graph_edge(s->graph, lease->flat ? s->flat_roots : s->roots, n, true);
	return NULL;
}

static struct err *scan(struct conn *c, struct sweep *s, const char *sql,
	struct err *(*add)(struct sweep *s, sqlite3_stmt *st))
{
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, sql, ""));
	for (;;) {
		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		TRY(add(s, st));
	}
}

static struct err *scan_all(struct conn *c, void *arg)
{
	TRY(scan(c, arg, "SELECT ns, id, labels FROM leases", add_lease));
	TRY(scan(c, arg, "SELECT ns, lease, type, id FROM lease_resources", add_lease_resource));
	TRY(scan(c, arg, "SELECT ns, name, labels, digest FROM images", add_image));
	TRY(scan(c, arg, "SELECT ns, digest, labels FROM blobs", add_blob));
	TRY(scan(c, arg, "SELECT ns, ref, expires, expected, id FROM ingests", add_ingest));
	TRY(scan(c, arg, "SELECT ns, id, labels, snapshotter, snapshot_key FROM containers",
		add_container));
	TRY(scan(c, arg, "SELECT ns, id, labels FROM sandboxes", add_sandbox));
	return scan(c, arg,
		"SELECT s.ns, s.key, s.labels, s.snapshotter, p.key, s.id, s.reserved"
		" FROM snapshots s LEFT JOIN snapshots p ON p.id=s.parent ORDER BY s.id",
		add_snapshot);
}

/* --- removing --- */

static struct err *remove_snapshot(struct conn *c, const struct gc_node *n, bool *ret_deferred)
{
	TRY(sql_exists(c, ret_deferred, "SELECT 1 FROM snapshots WHERE parent=?1", "i", n->id));
	if (*ret_deferred)
		return NULL;
	TRY(sql_run(c,
		"INSERT OR IGNORE INTO stale_snapshots(snapshotter, id)"
		" SELECT snapshotter, id FROM snapshots WHERE id=?1 AND key=?2",
		"is", n->id, n->key));
	return sql_run(c, "DELETE FROM snapshots WHERE id=?1 AND key=?2", "is", n->id, n->key);
}

static struct err *remove_lease(struct conn *c, const struct gc_node *n)
{
	TRY(sql_run(
		c, "DELETE FROM lease_resources WHERE ns=?1 AND lease=?2", "ss", n->ns, n->key));
	return sql_run(c, "DELETE FROM leases WHERE ns=?1 AND id=?2", "ss", n->ns, n->key);
}

static struct err *remove_row(struct conn *c, const struct gc_node *n, bool *ret_deferred)
{
	switch (n->type) {
	case GC_CONTENT:
		blobs_suspect(c->meta, n->key);
		return sql_run(
			c, "DELETE FROM blobs WHERE ns=?1 AND digest=?2", "ss", n->ns, n->key);
	case GC_IMAGE:
		return sql_run(
			c, "DELETE FROM images WHERE ns=?1 AND name=?2", "ss", n->ns, n->key);
	case GC_INGEST:
		note_removed_ingest(c->meta, n->ns, n->id, n->key);
		return sql_run(
			c, "DELETE FROM ingests WHERE id=?1 AND ref=?2", "is", n->id, n->key);
	case GC_LEASE:
		return remove_lease(c, n);
	case GC_SNAPSHOT:
		return remove_snapshot(c, n, ret_deferred);
	case GC_CONTAINER:
	case GC_SANDBOX:
		break; /* always a root */
	}
	return NULL;
}

static struct err *remove_node(struct conn *c, struct sweep *s, struct gc_node *n)
{
	bool deferred = false;

	TRY(remove_row(c, n, &deferred));
	if (deferred) {
		s->deferred = true;
		return NULL;
	}
	n->exists = false;
	s->progress = true;
	if (sqlite3_changes(c->db) == 0)
		return NULL; /* somebody else removed it */
	GROW(s->removed, s->n_removed, s->cap_removed);
	s->removed[s->n_removed++] = n;
	return NULL;
}

/* Mark what writers have noted since the last time. */
static void take_notes(struct meta *m, struct gc_graph *graph)
{
	LOCKED(&m->touched_lock);

	for (size_t i = 0; i < m->touched.n; i++) {
		struct gc_node *n = map_get(&graph->nodes, m->touched.items[i]);

		if (n)
			gc_graph_mark(n, false);
	}
	strv_done(&m->touched);
}

/* Some of the objects, for as long as others can be kept waiting. From the newest to the oldest:
 * children before their parents. */
static struct err *sweep_some(struct conn *c, void *arg)
{
	struct sweep *s = arg;
	int64_t until = monotonic_ms() + SWEEP_MS;

	s->n_removed = 0;
	take_notes(c->meta, s->graph);
	while (s->at > 0 && s->n_removed < SWEEP_ROWS && monotonic_ms() < until) {
		struct gc_node *n = s->graph->all[--s->at];

		if (n->exists && !gc_node_kept(n))
			TRY(remove_node(c, s, n));
	}
	return NULL;
}

static void announce(struct meta *m, struct sweep *s, const struct gc_node *n)
{
	switch (n->type) {
	case GC_CONTENT:
		s->result.blobs++;
		break;
	case GC_INGEST:
		s->result.ingests++;
		break;
	case GC_LEASE:
		s->result.leases++;
		break;
	case GC_IMAGE:
		s->result.images++;
		meta_announce(m,
			&(struct change){.kind = CHANGE_IMAGE_DELETE, .ns = n->ns, .id = n->key});
		break;
	case GC_SNAPSHOT:
		s->result.snapshots++;
		meta_announce(m, &(struct change){.kind = CHANGE_SNAPSHOT_REMOVE,
					 .ns = n->ns,
					 .id = n->key,
					 .snapshotter = n->snapshotter});
		break;
	case GC_CONTAINER:
	case GC_SANDBOX:
		break;
	}
}

static struct err *sweep_all(struct meta *m, struct sweep *s)
{
	do {
		s->at = s->graph->n;
		s->deferred = s->progress = false;
		while (s->at > 0) {
			TRY(meta_write(m, DURABLE, sweep_some, s));
			for (size_t i = 0; i < s->n_removed; i++)
				announce(m, s, s->removed[i]);
		}
	} while (s->deferred && s->progress);
	return NULL;
}

static bool nothing_to_remove(const struct gc_graph *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (!gc_node_kept(g->all[i]))
			return false;
	return true;
}

static struct err *mark_and_sweep(struct meta *m, struct sweep *s)
{
	TRY(meta_read(m, true, scan_all, s));
	gc_graph_settle(s->graph, s->now);
	gc_graph_mark(s->roots, false);
	gc_graph_mark(s->flat_roots, true);
	return nothing_to_remove(s->graph) ? NULL : sweep_all(m, s);
}

struct err *gc_collect(struct meta *m, struct gc_result *ret)
{
	struct sweep s = {.now = timestamp_now()};
	autoptr(gc_graph) graph = gc_graph_new();
	struct err *e;
	LOCKED(&m->gc_lock);

	s.graph = graph;
	s.roots = ARENA_NEW(graph->arena, struct gc_node);
	s.flat_roots = ARENA_NEW(graph->arena, struct gc_node);
	atomic_store(&m->deletions, 0);
	atomic_store(&m->mutations, 0);
	e = raise_barrier(m);
	if (!e)
		e = mark_and_sweep(m, &s);
	lower_barrier(m);
	free(s.removed);
	*ret = s.result;
	return e;
}

void gc_pressure(struct meta *m, uint64_t *ret_deletions, uint64_t *ret_mutations)
{
	*ret_deletions = atomic_load(&m->deletions);
	*ret_mutations = atomic_load(&m->mutations);
}

void gc_set_notify(struct meta *m, void (*notify)(void *arg), void *arg)
{
	m->notify = notify;
	m->notify_arg = arg;
}
