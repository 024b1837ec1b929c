// SPDX-License-Identifier: Apache-2.0
#include "meta/containers.h"

#include <string.h>

#include "base/alloc.h"
#include "base/identifier.h"
#include "meta/internal.h"

struct container *container_new(void)
{
	return NEW(struct container);
}

void container_free(struct container *c)
{
	if (!c)
		return;
	free(c->id);
	strmap_done(&c->labels);
	free(c->image);
	free(c->runtime);
	any_done(&c->runtime_options);
	any_done(&c->spec);
	free(c->snapshotter);
	free(c->snapshot_key);
	free(c->sandbox);
	extensions_done(&c->extensions);
	free(c);
}

void container_list_done(struct container_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		container_free(l->items[i]);
	free(l->items);
	*l = (struct container_list){0};
}

/* --- rows --- */

#define COLUMNS "id, created, updated, image, runtime, snapshotter, snapshot_key, sandbox, labels"

/* What filters look at; the rest is read only for rows that match. */
static struct err *read_head(sqlite3_stmt *st, struct container *c)
{
	c->id = sql_text(st, 0);
	c->created_at = timestamp_from_ns(sqlite3_column_int64(st, 1));
	c->updated_at = timestamp_from_ns(sqlite3_column_int64(st, 2));
	c->image = sql_text(st, 3);
	c->runtime = sql_text(st, 4);
	c->snapshotter = sql_text(st, 5);
	c->snapshot_key = sql_text(st, 6);
	c->sandbox = sql_text(st, 7);
	return unpack_labels(st, 8, &c->labels);
}

static struct err *read_tail(struct conn *conn, int64_t id, struct container *c)
{
	autostmt st = NULL;
	bool found;

	TRY(sql_start(conn, &st,
		"SELECT options_type, options, spec_type, spec, extensions FROM container_specs"
		" WHERE id=?1",
		"i", id));
	TRY(sql_row(conn, st, &found));
	if (!found)
		return err_new(ERR_DATA_LOSS, "container \"%s\" has no specification", c->id);
	unpack_any(st, 0, &c->runtime_options);
	unpack_any(st, 2, &c->spec);
	return unpack_extensions(st, 4, &c->extensions);
}

static struct err *read_one(
	struct conn *c, const char *ns, const char *id, struct container **ret, int64_t *ret_spec)
{
	autoptr(container) found = container_new();
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, "SELECT " COLUMNS ", spec FROM containers WHERE ns=?1 AND id=?2",
		"ss", ns, id));
	TRY(sql_row(c, st, &row));
	if (!row)
		return NULL;
	TRY(read_head(st, found));
	*ret_spec = sqlite3_column_int64(st, 9);
	TRY(read_tail(c, *ret_spec, found));
	*ret = TAKE(found);
	return NULL;
}

static void touch(struct conn *c, const char *ns, const struct container *w)
{
	gc_touch(c, GC_CONTAINER, ns, NULL, w->id);
	gc_touch_labels(c, ns, &w->labels);
	if (!str_empty(w->snapshotter))
		gc_touch(c, GC_SNAPSHOT, ns, w->snapshotter, str_or(w->snapshot_key, ""));
}

/* The row of an id, made or replaced. */
static struct err *write_head(
	struct conn *c, const char *ns, const struct container *w, int64_t spec)
{
	autoval(buf) labels = BUF_INIT(META_PACKED_MAX);

	pack_labels(&labels, &w->labels);
	return sql_run(c,
		"INSERT OR REPLACE INTO containers(ns, " COLUMNS ", spec)"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
		"ssiisssssbi", ns, w->id, timestamp_to_ns(w->created_at),
		timestamp_to_ns(w->updated_at), str_or(w->image, ""), w->runtime,
		str_or(w->snapshotter, ""), str_or(w->snapshot_key, ""), str_or(w->sandbox, ""),
		&labels, spec);
}

/* `spec` is that of the row replaced, or 0. */
static struct err *write_row(
	struct conn *c, const char *ns, const struct container *w, int64_t spec)
{
	autoval(buf) extensions = BUF_INIT(META_PACKED_MAX);
	const struct any *o = &w->runtime_options;

	touch(c, ns, w);
	pack_extensions(&extensions, &w->extensions);
	TRY(sql_run(c,
		"INSERT OR REPLACE INTO container_specs(id, options_type, options, extensions,"
		" spec_type, spec) VALUES(nullif(?1,0),?2,?3,?4,?5,?6)",
		"isvbsv", spec, o->type_url, o->value, o->len, &extensions, w->spec.type_url,
		w->spec.value, w->spec.len));
	return write_head(c, ns, w, spec ?: sqlite3_last_insert_rowid(c->db));
}

/* --- the calls --- */

struct job {
	const struct scope *scope;
	const char *id;
	const struct container *given;
	char *const *paths;
	size_t n_paths;
	const struct filter *filter;
	struct container *result;
	struct container_list list;
};

static struct err *check(const struct container *c)
{
	TRY(err_wrap(identifier_check(c->id), "container.ID"));
	if (c->extensions.n > 0 && !*c->extensions.items[0].name)
		return err_new(ERR_INVALID,
			"container.Extension keys must not be zero-length: invalid argument");
	TRY(err_wrap(labels_check(&c->labels), "containers.Labels"));
	if (str_empty(c->runtime))
		return err_new(ERR_INVALID, "container.Runtime.Name must be set: invalid argument");
	if (!c->spec.type_url)
		return err_new(ERR_INVALID, "container.Spec must be set: invalid argument");
	if (!str_empty(c->snapshot_key) && str_empty(c->snapshotter))
		return err_new(ERR_INVALID, "container.Snapshotter must be set if "
					    "container.SnapshotKey is set: invalid "
					    "argument");
	return NULL;
}

static struct err *do_get(struct conn *c, void *arg)
{
	struct job *j = arg;

	return read_one(c, j->scope->ns, j->id, &j->result, &(int64_t){0});
}

struct err *containers_get(
	struct meta *m, const struct scope *s, const char *id, struct container **ret)
{
	struct job j = {.scope = s, .id = id};

	TRY(scope_check(s));
	TRY(meta_read(m, true, do_get, &j));
	if (!j.result)
		return err_new(ERR_NOT_FOUND, "container \"%s\" in namespace \"%s\": not found", id,
			s->ns);
	*ret = j.result;
	return NULL;
}

static const char *field(void *object, char *const *path, size_t n, bool *ret_present)
{
	const struct container *c = object;

	if (strcmp(path[0], "id") == 0)
		return field_text(c->id, ret_present);
	if (strcmp(path[0], "image") == 0)
		return field_text(c->image, ret_present);
	if (strcmp(path[0], "labels") == 0)
		return field_label(&c->labels, path + 1, n - 1, ret_present);
	if (strcmp(path[0], "runtime") == 0 && n > 1 && strcmp(path[1], "name") == 0)
		return field_text(c->runtime, ret_present);
	*ret_present = false;
	return NULL;
}

static struct err *do_list(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;

	TRY(sql_start(c, &st, "SELECT " COLUMNS ", spec FROM containers WHERE ns=?1 ORDER BY id",
		"s", j->scope->ns));
	for (;;) {
		autoptr(container) one = NULL;
		bool row;

		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		one = container_new();
		TRY(read_head(st, one));
		if (!filter_match(j->filter, field, one))
			continue;
		TRY(read_tail(c, sqlite3_column_int64(st, 9), one));
		GROW(j->list.items, j->list.n, j->list.cap);
		j->list.items[j->list.n++] = TAKE(one);
	}
}

struct err *containers_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct container_list *ret)
{
	autoptr(filter) filter = NULL;
	struct job j = {.scope = s};
	struct err *e;

	TRY(scope_check(s));
	TRY(parse_filters(filters, n_filters, &filter));
	j.filter = filter;
	e = meta_read(m, true, do_list, &j);
	if (e) {
		container_list_done(&j.list);
		return e;
	}
	*ret = j.list;
	return NULL;
}

static struct container *copy(const struct container *c)
{
	struct container *to = container_new();

	to->id = xstrdup(c->id);
	strmap_copy(&to->labels, &c->labels);
	to->image = xstrdup(str_or(c->image, ""));
	to->runtime = xstrdup(str_or(c->runtime, ""));
	any_copy(&to->runtime_options, &c->runtime_options);
	any_copy(&to->spec, &c->spec);
	to->snapshotter = xstrdup(str_or(c->snapshotter, ""));
	to->snapshot_key = xstrdup(str_or(c->snapshot_key, ""));
	to->sandbox = xstrdup(str_or(c->sandbox, ""));
	extensions_copy(&to->extensions, &c->extensions);
	return to;
}

static struct err *do_create(struct conn *c, void *arg)
{
	struct job *j = arg;
	bool there;

	TRY(sql_exists(c, &there, "SELECT 1 FROM containers WHERE ns=?1 AND id=?2", "ss",
		j->scope->ns, j->result->id));
	if (there)
		return err_new(ERR_EXISTS, "container \"%s\": already exists", j->result->id);
	TRY(ensure_namespace(c, j->scope->ns));
	return write_row(c, j->scope->ns, j->result, 0);
}

static void announce(
	struct meta *m, enum change_kind kind, const char *ns, const struct container *c)
{
	meta_announce(m, &(struct change){.kind = kind,
				 .ns = ns,
				 .id = c->id,
				 .labels = &c->labels,
				 .snapshotter = c->snapshotter,
				 .container = c});
}

struct err *containers_create(
	struct meta *m, const struct scope *s, const struct container *c, struct container **ret)
{
	autoptr(container) made = NULL;
	struct job j = {.scope = s};

	TRY(scope_check(s));
	TRY(err_wrap(check(c), "create container failed validation"));
	j.result = made = copy(c);
	labels_drop_empty(&made->labels);
	made->created_at = made->updated_at = timestamp_now();
	TRY(meta_update(m, DURABLE, do_create, &j));
	announce(m, CHANGE_CONTAINER_CREATE, s->ns, made);
	*ret = TAKE(made);
	return NULL;
}

static void replace(char **to, const char *value)
{
	free(*to);
	*to = xstrdup(str_or(value, ""));
}

static struct err *apply_path(struct container *to, const struct container *from, const char *path)
{
	if (apply_map_path(&to->labels, &from->labels, path, "labels"))
		return NULL;
	if (extensions_apply_path(&to->extensions, &from->extensions, path))
		return NULL;
	if (strcmp(path, "spec") == 0) {
		any_copy(&to->spec, &from->spec);
	} else if (strcmp(path, "image") == 0) {
		replace(&to->image, from->image);
	} else if (strcmp(path, "snapshotkey") == 0) {
		replace(&to->snapshot_key, from->snapshot_key);
	} else {
		return err_new(ERR_INVALID,
			"cannot update \"%s\" field on \"%s\": invalid argument", path, to->id);
	}
	return NULL;
}

/* Without a mask, all that may change does, and a change of the rest is refused. */
static struct err *apply_all(struct container *to, const struct container *from)
{
	static const char *const paths[] = {"labels", "spec", "extensions", "image", "snapshotkey"};

	if (strcmp(to->snapshotter, str_or(from->snapshotter, "")) != 0)
		return err_new(
			ERR_INVALID, "container.Snapshotter field is immutable: invalid argument");
	if (strcmp(to->runtime, str_or(from->runtime, "")) != 0)
		return err_new(
			ERR_INVALID, "container.Runtime.Name field is immutable: invalid argument");
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		TRY(apply_path(to, from, paths[i]));
	return NULL;
}

static struct err *do_update(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoptr(container) now = NULL;
	int64_t spec = 0;

	TRY(read_one(c, j->scope->ns, j->given->id, &now, &spec));
	if (!now)
		return err_new(ERR_NOT_FOUND, "container \"%s\": not found", j->given->id);
	if (j->n_paths == 0)
		TRY(apply_all(now, j->given));
	for (size_t i = 0; i < j->n_paths; i++)
		TRY(apply_path(now, j->given, j->paths[i]));
	TRY(err_wrap(check(now), "update failed validation"));
	labels_drop_empty(&now->labels);
	now->updated_at = timestamp_now();
	TRY(write_row(c, j->scope->ns, now, spec));
	j->result = TAKE(now);
	return NULL;
}

struct err *containers_update(struct meta *m, const struct scope *s, const struct container *c,
	char *const *paths, size_t n_paths, struct container **ret)
{
	struct job j = {.scope = s, .given = c, .paths = paths, .n_paths = n_paths};
	autoptr(container) now = NULL;
	struct err *e;

	if (str_empty(c->id))
		return err_new(ERR_INVALID, "must specify a container id: invalid argument");
	TRY(scope_check(s));
	e = meta_update(m, DURABLE, do_update, &j);
	now = j.result;
	TRY(e);
	announce(m, CHANGE_CONTAINER_UPDATE, s->ns, now);
	*ret = TAKE(now);
	return NULL;
}

static struct err *do_delete(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(sql_run(c,
		"DELETE FROM container_specs WHERE id="
		"(SELECT spec FROM containers WHERE ns=?1 AND id=?2)",
		"ss", j->scope->ns, j->id));
	TRY(sql_run(c, "DELETE FROM containers WHERE ns=?1 AND id=?2", "ss", j->scope->ns, j->id));
	if (sqlite3_changes(c->db) == 0)
		return err_new(ERR_NOT_FOUND, "container %s: not found", j->id);
	meta_count_deletion(c);
	return NULL;
}

struct err *containers_delete(struct meta *m, const struct scope *s, const char *id)
{
	struct job j = {.scope = s, .id = id};

	TRY(scope_check(s));
	TRY(meta_update(m, DURABLE, do_delete, &j));
	meta_announce(m, &(struct change){.kind = CHANGE_CONTAINER_DELETE, .ns = s->ns, .id = id});
	return NULL;
}
