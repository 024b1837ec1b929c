// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of this folder share: connections, statements, transactions, and the packed forms
 * in which small maps are kept in one column.
 *
 * Labels and annotations are a blob "key\0value\0key\0value\0...", sorted by key, NULL when there
 * are none: a list of ten thousand rows is one statement and no second query per row.
 */
#pragma once

#include <sqlite3.h>
#include <stdatomic.h>

#include "base/any.h"
#include "base/buf.h"
#include "base/filter.h"
#include "base/thread.h"
#include "meta/db.h"
#include "meta/extensions.h"

#define META_READERS 4
#define META_PACKED_MAX ((size_t)64 * 1024 * 1024)

/* --- connections and statements --- */

struct cached_statement {
	const char *sql; /* by address: the texts are literals */
	sqlite3_stmt *st;
};

/* Used by one thread at a time. */
struct conn {
	sqlite3 *db;
	struct meta *meta;
	struct cached_statement *statements;
	size_t n, cap;
};

CHECKED struct err *conn_open(struct meta *m, bool writer, struct conn *ret);
void conn_done(struct conn *c);
/* The error of the last call on this connection, with its class and the file's name. */
CHECKED struct err *conn_error(struct conn *c, const char *doing);

static inline void statement_reset_p(sqlite3_stmt **st)
{
	if (*st) {
		sqlite3_reset(*st);
		sqlite3_clear_bindings(*st);
	}
}
/* A statement borrowed from the cache; reset at the end of the scope. */
#define autostmt __attribute__((cleanup(statement_reset_p))) sqlite3_stmt *

/*
 * Begin a statement. `types` names the arguments bound to ?1, ?2, ...: 's' a text (NULL allowed),
 * 'i' an int64_t, 'b' a `const struct buf *` (empty: NULL), 'v' a pointer and a size_t. They must
 * live until the statement is reset.
 */
CHECKED struct err *sql_start(
	struct conn *c, sqlite3_stmt **ret, const char *sql, const char *types, ...);
/* *ret: there is one more row. */
CHECKED struct err *sql_row(struct conn *c, sqlite3_stmt *st, bool *ret);
/* A statement without result. */
CHECKED struct err *sql_run(struct conn *c, const char *sql, const char *types, ...);
/* Whether the query has a row. */
CHECKED struct err *sql_exists(struct conn *c, bool *ret, const char *sql, const char *types, ...);
CHECKED struct err *sql_exec(struct conn *c, const char *sql); /* several, not cached */
/* A copy of a text column, "" for NULL. */
char *sql_text(sqlite3_stmt *st, int column);
const char *sql_peek(sqlite3_stmt *st, int column); /* "" for NULL; until the next step */

/* --- transactions --- */

typedef struct err *(*meta_fn)(struct conn *c, void *arg);

enum durability {
	DURABLE, /* on disk when the call returns */
	/* In order with the others, but a power cut may take it back. For rows whose loss is repaired
	 * at the next start: reservations, ingests, the list of stale files. */
	RELAXED,
};

/* Run `fn` in a transaction of its own as far as it can see; an error undoes what it did and
 * nothing else. */
CHECKED struct err *meta_write(struct meta *m, enum durability durability, meta_fn fn, void *arg);
/* The same for what clients change: counts for the scheduler of collections, and tells it. */
CHECKED struct err *meta_update(struct meta *m, enum durability durability, meta_fn fn, void *arg);
/* With `consistent`, all statements of `fn` see the same state. */
CHECKED struct err *meta_read(struct meta *m, bool consistent, meta_fn fn, void *arg);
/* For the scheduler of collections; in a write. */
void meta_count_deletion(struct conn *c);

/* One who wants to write; lives on the caller's stack. */
struct write_request {
	meta_fn fn;
	void *arg;
	enum durability durability;
	struct err *result;
	bool done, lead;
	struct cond wake;
	struct write_request *next;
};

struct meta {
	char *path;
	int lock_fd;

	/* The write queue. Whoever finds nobody writing writes for all that wait, then hands over. */
	struct lock write_lock;
	struct write_request *queue_head, **queue_tail;
	bool writing;
	struct conn writer; /* of the thread that writes */
	bool relaxed_sync;  /* what the writer's connection is set to */

	struct lock read_lock;
	struct cond reader_free;
	struct conn readers[META_READERS];
	struct conn *idle[META_READERS];
	size_t n_idle, n_readers;

	struct lock files_lock; /* a leaf, but for reads of this database: see blobs_sweep() */
	struct strv pins, removed_blobs, removed_ingests;

	atomic_bool barrier; /* a collection is under way: writes note what they touch; see gc.c */
	struct lock touched_lock; /* a leaf */
	struct strv touched;	  /* gc_key()s */

	struct lock gc_lock; /* one collection at a time; taken before a write, never in one */
	atomic_uint_fast64_t deletions, mutations;
	void (*notify)(void *arg);
	void *notify_arg;
	void (*observe)(const struct change *c, void *arg);
	void *observe_arg;
};

/* schema.c */
CHECKED struct err *schema_upgrade(struct conn *c);

/* --- packed columns --- */

/* Without entries of empty value, which containerd never stores. */
void pack_labels(struct buf *to, const struct strmap *labels);
CHECKED struct err *unpack_labels(sqlite3_stmt *st, int column, struct strmap *ret);
/* The entries as they are after being stored. */
void labels_drop_empty(struct strmap *labels);
/* From a column of its type and the next of its value. */
void unpack_any(sqlite3_stmt *st, int column, struct any *ret);
void pack_extensions(struct buf *to, const struct extensions *x);
CHECKED struct err *unpack_extensions(sqlite3_stmt *st, int column, struct extensions *ret);
/* "labels" or "labels.x" of an update mask, `prefix` being "labels". False when the path is another
 * one. */
bool apply_map_path(
	struct strmap *to, const struct strmap *from, const char *path, const char *prefix);
/* The label named by the parts of a field path joined with dots, for filters. */
const char *field_label(
	const struct strmap *labels, char *const *path, size_t n, bool *ret_present);
/* A text for filters, present when not empty. */
const char *field_text(const char *text, bool *ret_present);

/* --- shared rows --- */

/* Rows of a namespace bring it into being. */
CHECKED struct err *ensure_namespace(struct conn *c, const char *ns);
/* With a lease in scope: it holds the object from now on. ERR_NOT_FOUND "lease does not exist". */
CHECKED struct err *lease_hold(
	struct conn *c, const struct scope *s, const char *type, const char *id);
/* What is made under a lease that expires is somebody's unfinished work, which nothing refers to
 * yet: the row that will makes it durable, too, since the writes keep their order. */
enum durability durability_under_lease(struct meta *m, const struct scope *s);
CHECKED struct err *lease_let_go(
	struct conn *c, const struct scope *s, const char *type, const char *id);
/* "snapshots/<name>"; caller frees. */
char *snapshot_lease_type(const char *snapshotter);
/* Filters of stores that wrap the error once more, as containerd's do. */
CHECKED struct err *parse_filters(char *const *filters, size_t n, struct filter **ret);

/* For blobs_take_removed(). */
void note_removed_ingest(struct meta *m, const char *ns, int64_t id, const char *ref);

/* --- what a write tells a collection under way (gc.c) --- */

enum gc_type { GC_CONTENT, GC_SNAPSHOT, GC_CONTAINER, GC_IMAGE, GC_LEASE, GC_INGEST, GC_SANDBOX };

/* The object was written, or something refers to it now: a collection under way keeps it. `extra`
 * (may be NULL) is the snapshotter of a snapshot. */
void gc_touch(
	struct conn *c, enum gc_type type, const char *ns, const char *extra, const char *key);
/* The same for all that the labels refer to. */
void gc_touch_labels(struct conn *c, const char *ns, const struct strmap *labels);
