// SPDX-License-Identifier: Apache-2.0
/*
 * The schema in numbered steps; step n brings a database of version n (PRAGMA user_version) to
 * n + 1. Steps are never changed once released, only added. All of them run in one transaction.
 *
 * Ids of snapshots and ingests are never given twice (AUTOINCREMENT): files left behind by a crash
 * cannot be taken for those of a newer object. `labels` columns: see internal.h. Times are
 * nanoseconds since 1970.
 */
#include "base/auto.h"
#include "meta/internal.h"

static const char *const steps[] = {
	"CREATE TABLE namespaces(name TEXT PRIMARY KEY NOT NULL, labels BLOB) WITHOUT ROWID;"

	/* The specification and its like are many pages for each container; in a table of their own
	 * they cost nothing when containers are filtered or collections look for references. */
	"CREATE TABLE containers(ns TEXT NOT NULL, id TEXT NOT NULL,"
	" created INTEGER NOT NULL, updated INTEGER NOT NULL, image TEXT NOT NULL,"
	" runtime TEXT NOT NULL, snapshotter TEXT NOT NULL, snapshot_key TEXT NOT NULL,"
	" sandbox TEXT NOT NULL, labels BLOB, spec INTEGER NOT NULL, PRIMARY KEY(ns, id))"
	" WITHOUT ROWID;"
	"CREATE TABLE container_specs(id INTEGER PRIMARY KEY,"
	" options_type TEXT, options BLOB, extensions BLOB, spec_type TEXT, spec BLOB);"

	"CREATE TABLE images(ns TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,"
	" updated INTEGER NOT NULL, media_type TEXT NOT NULL, digest TEXT NOT NULL,"
	" size INTEGER NOT NULL, labels BLOB, annotations BLOB, PRIMARY KEY(ns, name))"
	" WITHOUT ROWID;"

	"CREATE TABLE blobs(ns TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,"
	" created INTEGER NOT NULL, updated INTEGER NOT NULL, labels BLOB, PRIMARY KEY(ns, digest))"
	" WITHOUT ROWID;"
	"CREATE INDEX blobs_by_digest ON blobs(digest);"

	/* `expected` is set for an ingest that shares a blob of another namespace; `expires` is NULL
	 * under a lease. */
	"CREATE TABLE ingests(id INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL,"
	" ref TEXT NOT NULL, expected TEXT, expires INTEGER, UNIQUE(ns, ref));"

	"CREATE TABLE snapshots(id INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL,"
	" snapshotter TEXT NOT NULL, key TEXT NOT NULL, parent INTEGER REFERENCES snapshots(id),"
	" kind INTEGER NOT NULL, reserved INTEGER NOT NULL, created INTEGER NOT NULL,"
	" updated INTEGER NOT NULL, size INTEGER NOT NULL, inodes INTEGER NOT NULL, labels BLOB,"
	" UNIQUE(ns, snapshotter, key));"
	"CREATE INDEX snapshots_by_parent ON snapshots(parent);"
	/* Whose files are to be removed. */
	"CREATE TABLE stale_snapshots(snapshotter TEXT NOT NULL, id INTEGER NOT NULL,"
	" PRIMARY KEY(snapshotter, id)) WITHOUT ROWID;"

	"CREATE TABLE leases(ns TEXT NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL,"
	" labels BLOB, PRIMARY KEY(ns, id)) WITHOUT ROWID;"
	"CREATE TABLE lease_resources(ns TEXT NOT NULL, lease TEXT NOT NULL, type TEXT NOT NULL,"
	" id TEXT NOT NULL, PRIMARY KEY(ns, lease, type, id)) WITHOUT ROWID;",

	"CREATE TABLE sandboxes(ns TEXT NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL,"
	" updated INTEGER NOT NULL, labels BLOB, runtime TEXT NOT NULL, options_type TEXT,"
	" options BLOB, sandboxer TEXT NOT NULL, extensions BLOB, spec_type TEXT, spec BLOB,"
	" PRIMARY KEY(ns, id)) WITHOUT ROWID;",
};

#define SCHEMA_VERSION ((int)ARRAY_LEN(steps))

static struct err *read_version(struct conn *c, int *ret)
{
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, "PRAGMA user_version", ""));
	TRY(sql_row(c, st, &row));
	*ret = sqlite3_column_int(st, 0);
	return NULL;
}

static struct err *run_steps(struct conn *c, int version)
{
	char set_version[64];

	for (; version < SCHEMA_VERSION; version++)
		TRY(sql_exec(c, steps[version]));
	(void)sqlite3_snprintf(
		sizeof(set_version), set_version, "PRAGMA user_version=%d", SCHEMA_VERSION);
	return sql_exec(c, set_version);
}

struct err *schema_upgrade(struct conn *c)
{
	struct err *e;
	int version;

	TRY(read_version(c, &version));
	if (version == SCHEMA_VERSION)
		return NULL;
	if (version > SCHEMA_VERSION || version < 0)
		return err_new(ERR_PRECONDITION,
			"metadata database %s has schema version %d, this program knows up to %d: "
			"it was "
			"written by a newer version, which is needed to open it",
			c->meta->path, version, SCHEMA_VERSION);
	TRY(sql_exec(c, "BEGIN IMMEDIATE"));
	e = run_steps(c, version);
	if (e) {
		err_free(sql_exec(c, "ROLLBACK"));
		return e;
	}
	return sql_exec(c, "COMMIT");
}
