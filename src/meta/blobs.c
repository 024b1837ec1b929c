// SPDX-License-Identifier: Apache-2.0
#include "meta/blobs.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/identifier.h"
#include "meta/internal.h"

/* How long an ingest without a lease waits for its client. */
#define INGEST_KEPT_NS ((int64_t)24 * 3600 * 1000000000)

void blob_info_done(struct blob_info *b)
{
	free(b->digest);
	strmap_done(&b->labels);
	*b = (struct blob_info){0};
}

void blob_list_done(struct blob_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		blob_info_done(&l->items[i]);
	free(l->items);
	*l = (struct blob_list){0};
}

void ingest_row_done(struct ingest_row *i)
{
	free(i->ref);
	free(i->key);
	free(i->expected);
	*i = (struct ingest_row){0};
}

void ingest_row_list_done(struct ingest_row_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		ingest_row_done(&l->items[i]);
	free(l->items);
	*l = (struct ingest_row_list){0};
}

struct job {
	const struct scope *scope;
	const char *digest, *ref;
	const struct strmap *labels;
	char *const *paths;
	size_t n_paths;
	bool shared;
	bool durable, again; /* see lease_existing() */
	int64_t size;
	const struct filter *filter;
	bool found;
	struct blob_info info;
	struct blob_list *list;
	struct ingest_row ingest;
	struct ingest_row_list *ingests;
};

static struct err *blob_not_found(const char *digest)
{
	return err_new(ERR_NOT_FOUND, "content digest %s: not found", digest);
}

static struct err *blob_exists(const char *digest)
{
	return err_new(ERR_EXISTS, "content %s: already exists", digest);
}

/* --- blobs --- */

static struct err *read_row(sqlite3_stmt *st, struct blob_info *b)
{
	b->digest = sql_text(st, 0);
	b->size = sqlite3_column_int64(st, 1);
	b->created_at = timestamp_from_ns(sqlite3_column_int64(st, 2));
	b->updated_at = timestamp_from_ns(sqlite3_column_int64(st, 3));
	return unpack_labels(st, 4, &b->labels);
}

static struct err *read_one(
	struct conn *c, const char *ns, const char *digest, struct blob_info *ret, bool *ret_found)
{
	autostmt st = NULL;

	TRY(sql_start(c, &st,
		"SELECT digest, size, created, updated, labels FROM blobs WHERE ns=?1 AND "
		"digest=?2",
		"ss", ns, digest));
	TRY(sql_row(c, st, ret_found));
	return *ret_found ? read_row(st, ret) : NULL;
}

static struct err *has_blob(struct conn *c, const char *ns, const char *digest, bool *ret)
{
	return sql_exists(
		c, ret, "SELECT 1 FROM blobs WHERE ns=?1 AND digest=?2", "ss", ns, digest);
}

static struct err *write_row(struct conn *c, const char *ns, const struct blob_info *b)
{
	autoval(buf) labels = BUF_INIT(META_PACKED_MAX);

	pack_labels(&labels, &b->labels);
	gc_touch(c, GC_CONTENT, ns, NULL, b->digest);
	gc_touch_labels(c, ns, &b->labels);
	return sql_run(c,
		"INSERT OR REPLACE INTO blobs(ns, digest, size, created, updated, labels)"
		" VALUES(?1,?2,?3,?4,?5,?6)",
		"ssiiib", ns, b->digest, b->size, timestamp_to_ns(b->created_at),
		timestamp_to_ns(b->updated_at), &labels);
}

static struct err *finish(struct job *j, struct err *take_e, struct blob_info *ret)
{
	if (take_e)
		blob_info_done(&j->info);
	else
		*ret = j->info;
	return take_e;
}

static struct err *do_get(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(read_one(c, j->scope->ns, j->digest, &j->info, &j->found));
	return j->found ? NULL : blob_not_found(j->digest);
}

struct err *blobs_get(
	struct meta *m, const struct scope *s, const char *digest, struct blob_info *ret)
{
	struct job j = {.scope = s, .digest = digest};

	TRY(scope_check(s));
	return finish(&j, meta_read(m, false, do_get, &j), ret);
}

static const char *field(void *object, char *const *path, size_t n, bool *ret_present)
{
	const struct blob_info *b = object;

	*ret_present = true;
	if (strcmp(path[0], "digest") == 0)
		return b->digest;
	if (strcmp(path[0], "labels") == 0)
		return field_label(&b->labels, path + 1, n - 1, ret_present);
	*ret_present = false;
	return NULL;
}

static struct err *do_list(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;

	TRY(sql_start(c, &st,
		"SELECT digest, size, created, updated, labels FROM blobs WHERE ns=?1"
		" ORDER BY digest",
		"s", j->scope->ns));
	for (;;) {
		autoval(blob_info) one = {0};
		bool row;

		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		TRY(read_row(st, &one));
		if (!filter_match(j->filter, field, &one))
			continue;
		GROW(j->list->items, j->list->n, j->list->cap);
		j->list->items[j->list->n++] = one;
		one = (struct blob_info){0};
	}
}

struct err *blobs_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct blob_list *ret)
{
	autoptr(filter) filter = NULL;
	autoval(blob_list) list = {0};
	struct job j = {.scope = s, .list = &list};

	TRY(scope_check(s));
	TRY(filter_parse(filters, n_filters, &filter));
	j.filter = filter;
	TRY(meta_read(m, false, do_list, &j));
	*ret = list;
	list = (struct blob_list){0};
	return NULL;
}

static struct err *do_update(struct conn *c, void *arg)
{
	struct job *j = arg;
	struct strmap *labels = &j->info.labels;

	TRY(do_get(c, arg));
	if (j->n_paths == 0)
		strmap_copy(labels, j->labels);
	for (size_t i = 0; i < j->n_paths; i++)
		if (!apply_map_path(labels, j->labels, j->paths[i], "labels"))
			return err_new(ERR_INVALID,
				"cannot update \"%s\" field on content info \"%s\": invalid "
				"argument",
				j->paths[i], j->digest);
	TRY(err_wrap(labels_check(labels), "info.Labels"));
	labels_drop_empty(labels);
	j->info.updated_at = timestamp_now();
	return write_row(c, j->scope->ns, &j->info);
}

struct err *blobs_update(struct meta *m, const struct scope *s, const char *digest,
	const struct strmap *labels, char *const *paths, size_t n_paths, struct blob_info *ret)
{
	struct job j = {
		.scope = s, .digest = digest, .labels = labels, .paths = paths, .n_paths = n_paths};

	TRY(scope_check(s));
	return finish(&j, meta_update(m, DURABLE, do_update, &j), ret);
}

static struct err *do_delete(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(sql_run(
		c, "DELETE FROM blobs WHERE ns=?1 AND digest=?2", "ss", j->scope->ns, j->digest));
	if (sqlite3_changes(c->db) == 0)
		return blob_not_found(j->digest);
	meta_count_deletion(c);
	blobs_suspect(c->meta, j->digest);
	return lease_let_go(c, j->scope, "content", j->digest);
}

struct err *blobs_delete(struct meta *m, const struct scope *s, const char *digest)
{
	struct job j = {.scope = s, .digest = digest};

	TRY(scope_check(s));
	TRY(meta_update(m, DURABLE, do_delete, &j));
	meta_announce(
		m, &(struct change){.kind = CHANGE_CONTENT_DELETE, .ns = s->ns, .id = digest});
	return NULL;
}

static struct err *do_known(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;

	TRY(sql_start(c, &st, "SELECT ns, digest, size FROM blobs WHERE digest=?1 LIMIT 1", "s",
		j->digest));
	TRY(sql_row(c, st, &j->found));
	j->size = j->found ? sqlite3_column_int64(st, 2) : 0;
	return NULL;
}

struct err *blobs_known(struct meta *m, const char *digest, bool *ret, int64_t *ret_size)
{
	struct job j = {.digest = digest};

	TRY(meta_read(m, false, do_known, &j));
	*ret = j.found;
	*ret_size = j.size;
	return NULL;
}

/* --- ingests --- */

static struct err *ref_not_found(const char *ref)
{
	return err_new(ERR_NOT_FOUND, "reference %s: not found", ref);
}

static void read_ingest(sqlite3_stmt *st, const char *ns, struct ingest_row *ret)
{
	ret->ref = sql_text(st, 1);
	ret->key = xasprintf("%s/%lld/%s", ns, sqlite3_column_int64(st, 0), ret->ref);
	if (sqlite3_column_type(st, 2) != SQLITE_NULL)
		ret->expected = sql_text(st, 2);
}

static struct err *find_ingest(
	struct conn *c, const char *ns, const char *ref, struct ingest_row *ret, bool *ret_found)
{
	autostmt st = NULL;

	TRY(sql_start(c, &st, "SELECT id, ref, expected FROM ingests WHERE ns=?1 AND ref=?2", "ss",
		ns, ref));
	TRY(sql_row(c, st, ret_found));
	if (*ret_found)
		read_ingest(st, ns, ret);
	return NULL;
}

/* With a lease the ingest lives as long as that, else it gets another day. */
static struct err *put_ingest(struct conn *c, const struct job *j)
{
	const struct scope *s = j->scope;
	const char *expected = j->shared ? j->digest : NULL;
	int64_t expires = timestamp_to_ns(timestamp_now()) + INGEST_KEPT_NS;

	TRY(ensure_namespace(c, s->ns));
	TRY(lease_hold(c, s, "ingests", j->ref));
	gc_touch(c, GC_INGEST, s->ns, NULL, j->ref);
	if (expected)
		gc_touch(c, GC_CONTENT, s->ns, NULL, expected);
	TRY(sql_run(c,
		"INSERT INTO ingests(ns, ref, expected) VALUES(?1,?2,?3)"
		" ON CONFLICT(ns, ref) DO UPDATE SET expected=coalesce(?3, expected)",
		"sss", s->ns, j->ref, expected));
	if (!str_empty(s->lease))
		return NULL;
	return sql_run(c, "UPDATE ingests SET expires=?3 WHERE ns=?1 AND ref=?2", "ssi", s->ns,
		j->ref, expires);
}

/* That the lease holds the blob is a promise, unlike the row of an ingest: it takes a write that is
 * durable, and so a second one. */
static struct err *lease_existing(struct conn *c, struct job *j)
{
	j->again = !j->durable && !str_empty(j->scope->lease);
	if (j->again)
		return NULL;
	return err_wrap(lease_hold(c, j->scope, "content", j->digest), "unable to lease content");
}

static struct err *do_open(struct conn *c, void *arg)
{
	struct job *j = arg;
	bool found;

	j->again = j->found = false;
	if (!str_empty(j->digest)) {
		TRY(has_blob(c, j->scope->ns, j->digest, &j->found));
		if (j->found)
			return lease_existing(c, j);
	}
	TRY(put_ingest(c, j));
	return find_ingest(c, j->scope->ns, j->ref, &j->ingest, &found);
}

struct err *ingests_open(struct meta *m, const struct scope *s, const char *ref,
	const char *expected, bool shared, struct ingest_row *ret)
{
	struct job j = {.scope = s, .ref = ref, .digest = expected, .shared = shared};
	struct err *e;

	if (str_empty(ref))
		return err_new(ERR_INVALID, "ref must not be empty: invalid argument");
	TRY(scope_check(s));
	e = meta_update(m, RELAXED, do_open, &j);
	if (!e && j.again) {
		j.durable = true;
		e = meta_update(m, DURABLE, do_open, &j);
	}
	/* The lease holds the blob now, so this is no reason to undo the write. */
	if (!e && j.found)
		e = blob_exists(expected);
	if (e)
		ingest_row_done(&j.ingest);
	else
		*ret = j.ingest;
	return e;
}

static struct err *do_get_ingest(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(find_ingest(c, j->scope->ns, j->ref, &j->ingest, &j->found));
	return j->found ? NULL : ref_not_found(j->ref);
}

struct err *ingests_get(
	struct meta *m, const struct scope *s, const char *ref, struct ingest_row *ret)
{
	struct job j = {.scope = s, .ref = ref};

	TRY(scope_check(s));
	TRY(meta_read(m, false, do_get_ingest, &j));
	*ret = j.ingest;
	return NULL;
}

static struct err *do_list_ingests(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, "SELECT id, ref, expected FROM ingests WHERE ns=?1 ORDER BY ref", "s",
		j->scope->ns));
	for (;;) {
		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		GROW(j->ingests->items, j->ingests->n, j->ingests->cap);
		j->ingests->items[j->ingests->n] = (struct ingest_row){0};
		read_ingest(st, j->scope->ns, &j->ingests->items[j->ingests->n++]);
	}
}

struct err *ingests_list(struct meta *m, const struct scope *s, struct ingest_row_list *ret)
{
	autoval(ingest_row_list) list = {0};
	struct job j = {.scope = s, .ingests = &list};

	TRY(scope_check(s));
	TRY(meta_read(m, false, do_list_ingests, &j));
	*ret = list;
	list = (struct ingest_row_list){0};
	return NULL;
}

static struct err *drop_ingest(struct conn *c, const struct scope *s, const char *ref)
{
	TRY(sql_run(c, "DELETE FROM ingests WHERE ns=?1 AND ref=?2", "ss", s->ns, ref));
	return lease_let_go(c, s, "ingests", ref);
}

static struct err *do_delete_ingest(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;
	bool there;

	TRY(sql_start(c, &st, "SELECT id FROM ingests WHERE ns=?1 AND ref=?2", "ss", j->scope->ns,
		j->ref));
	TRY(sql_row(c, st, &there));
	if (!there)
		return ref_not_found(j->ref);
	note_removed_ingest(c->meta, j->scope->ns, sqlite3_column_int64(st, 0), j->ref);
	return drop_ingest(c, j->scope, j->ref);
}

struct err *ingests_delete(struct meta *m, const struct scope *s, const char *ref)
{
	struct job j = {.scope = s, .ref = ref};

	TRY(scope_check(s));
	return meta_update(m, DURABLE, do_delete_ingest, &j);
}

static struct err *do_commit(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(has_blob(c, j->scope->ns, j->digest, &j->found));
	if (!j->found) {
		TRY(ensure_namespace(c, j->scope->ns));
		TRY(write_row(c, j->scope->ns, &j->info));
	}
	TRY(drop_ingest(c, j->scope, j->ref));
	return lease_hold(c, j->scope, "content", j->digest);
}

struct err *ingests_commit(struct meta *m, const struct scope *s, const char *ref,
	const char *digest, int64_t size, const struct strmap *labels)
{
	struct timestamp now = timestamp_now();
	struct job j = {.scope = s,
		.ref = ref,
		.digest = digest,
		.info = {.size = size, .created_at = now, .updated_at = now}};
	struct err *e;

	TRY(scope_check(s));
	TRY(err_wrap(labels_check(labels), "info.Labels"));
	j.info.digest = xstrdup(digest);
	strmap_copy(&j.info.labels, labels);
	labels_drop_empty(&j.info.labels);
	e = meta_update(m, DURABLE, do_commit, &j);
	if (!e && j.found)
		e = blob_exists(digest);
	if (!e)
		meta_announce(m, &(struct change){.kind = CHANGE_CONTENT_CREATE,
					 .ns = s->ns,
					 .id = digest,
					 .size = size,
					 .labels = &j.info.labels});
	blob_info_done(&j.info);
	return e;
}

/* --- files --- */

void blobs_pin(struct meta *m, const char *digest)
{
	LOCKED(&m->files_lock);

	strv_add(&m->pins, digest);
}

void blobs_unpin(struct meta *m, const char *digest)
{
	LOCKED(&m->files_lock);

	for (size_t i = 0; i < m->pins.n; i++) {
		if (strcmp(m->pins.items[i], digest) == 0) {
			strv_remove_at(&m->pins, i);
			return;
		}
	}
}

static struct err *do_named(struct conn *c, void *arg)
{
	struct job *j = arg;

	return sql_exists(c, &j->found,
		"SELECT 1 FROM blobs WHERE digest=?1"
		" UNION ALL SELECT 1 FROM ingests WHERE expected=?1 LIMIT 1",
		"s", j->digest);
}

/* Pinning waits while a file is being removed, and the row is visible before the pin goes: so a
 * blob that is neither pinned nor named here has no writer that counts on its file. */
struct err *blobs_sweep(struct meta *m, const char *digest,
	struct err *(*remove)(const char *digest, void *arg), void *arg, bool *ret_removed)
{
	struct job j = {.digest = digest};
	LOCKED(&m->files_lock);

	*ret_removed = false;
	if (strv_has(&m->pins, digest))
		return NULL;
	TRY(meta_read(m, false, do_named, &j));
	if (j.found)
		return NULL;
	*ret_removed = true;
	return remove(digest, arg);
}

/* The number in "<ns>/<id>/<ref>"; -1 for a key that is none of ours. */
static int64_t id_of_key(const char *key)
{
	const char *p = strchr(key, '/');
	int64_t id = 0;

	if (!p || p[1] < '0' || p[1] > '9')
		return -1;
	for (p++; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(id, 10, &id) ||
			__builtin_add_overflow(id, *p - '0', &id))
			return -1;
	return *p == '/' ? id : -1;
}

static struct err *do_known_key(struct conn *c, void *arg)
{
	struct job *j = arg;

	return sql_exists(c, &j->found,
		"SELECT 1 FROM ingests WHERE id=?1 AND ns || '/' || id || '/' || ref = ?2", "is",
		id_of_key(j->ref), j->ref);
}

struct err *ingests_known(struct meta *m, const char *key, bool *ret)
{
	struct job j = {.ref = key};

	TRY(meta_read(m, false, do_known_key, &j));
	*ret = j.found;
	return NULL;
}

void blobs_suspect(struct meta *m, const char *digest)
{
	LOCKED(&m->files_lock);

	strv_add(&m->removed_blobs, digest);
}

void note_removed_ingest(struct meta *m, const char *ns, int64_t id, const char *ref)
{
	LOCKED(&m->files_lock);

	strv_addf(&m->removed_ingests, "%s/%" PRId64 "/%s", ns, id, ref);
}

void blobs_take_removed(struct meta *m, struct strv *ret_digests, struct strv *ret_ingests)
{
	LOCKED(&m->files_lock);

	*ret_digests = m->removed_blobs;
	*ret_ingests = m->removed_ingests;
	m->removed_blobs = STRV_INIT;
	m->removed_ingests = STRV_INIT;
}
