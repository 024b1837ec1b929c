// SPDX-License-Identifier: Apache-2.0
#include "meta/sandboxes.h"

#include <string.h>

#include "base/alloc.h"
#include "base/identifier.h"
#include "meta/internal.h"

struct sandbox *sandbox_new(void)
{
	return NEW(struct sandbox);
}

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	free(s->id);
	strmap_done(&s->labels);
	free(s->runtime);
	any_done(&s->runtime_options);
	any_done(&s->spec);
	free(s->sandboxer);
	extensions_done(&s->extensions);
	free(s);
}

void sandbox_list_done(struct sandbox_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		sandbox_free(l->items[i]);
	free(l->items);
	*l = (struct sandbox_list){0};
}

/* --- rows --- */

#define COLUMNS                                                                                    \
	"id, created, updated, labels, runtime, options_type, options, sandboxer, extensions,"     \
	" spec_type, spec"

/* What filters look at. */
static struct err *read_head(sqlite3_stmt *st, struct sandbox *s)
{
	s->id = sql_text(st, 0);
	s->created_at = timestamp_from_ns(sqlite3_column_int64(st, 1));
	s->updated_at = timestamp_from_ns(sqlite3_column_int64(st, 2));
	return unpack_labels(st, 3, &s->labels);
}

static struct err *read_tail(sqlite3_stmt *st, struct sandbox *s)
{
	s->runtime = sql_text(st, 4);
	unpack_any(st, 5, &s->runtime_options);
	s->sandboxer = sql_text(st, 7);
	unpack_any(st, 9, &s->spec);
	return unpack_extensions(st, 8, &s->extensions);
}

static struct err *read_one(struct conn *c, const char *ns, const char *id, struct sandbox **ret)
{
	autoptr(sandbox) found = sandbox_new();
	autostmt st = NULL;
	bool row;

	TRY(sql_start(
		c, &st, "SELECT " COLUMNS " FROM sandboxes WHERE ns=?1 AND id=?2", "ss", ns, id));
	TRY(sql_row(c, st, &row));
	if (!row)
		return err_new(ERR_NOT_FOUND, "bucket \"%s\" not found: not found", id);
	TRY(read_head(st, found));
	TRY(read_tail(st, found));
	*ret = TAKE(found);
	return NULL;
}

static struct err *write_row(struct conn *c, const char *ns, const struct sandbox *s)
{
	autoval(buf) labels = BUF_INIT(META_PACKED_MAX);
	autoval(buf) extensions = BUF_INIT(META_PACKED_MAX);
	const struct any *o = &s->runtime_options;

	gc_touch(c, GC_SANDBOX, ns, NULL, s->id);
	gc_touch_labels(c, ns, &s->labels);
	pack_labels(&labels, &s->labels);
	pack_extensions(&extensions, &s->extensions);
	return sql_run(c,
		"INSERT OR REPLACE INTO sandboxes(ns, " COLUMNS ")"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
		"ssiibssvsbsv", ns, s->id, timestamp_to_ns(s->created_at),
		timestamp_to_ns(s->updated_at), &labels, s->runtime, o->type_url, o->value, o->len,
		s->sandboxer, &extensions, s->spec.type_url, s->spec.value, s->spec.len);
}

/* --- the calls --- */

struct job {
	const struct scope *scope;
	const char *id;
	const struct sandbox *given;
	char *const *paths;
	size_t n_paths;
	const struct filter *filter;
	struct sandbox *result;
	struct sandbox_list list;
};

static struct err *do_get(struct conn *c, void *arg)
{
	struct job *j = arg;

	return read_one(c, j->scope->ns, j->id, &j->result);
}

struct err *sandboxes_get(
	struct meta *m, const struct scope *s, const char *id, struct sandbox **ret)
{
	struct job j = {.scope = s, .id = id};

	TRY(scope_check(s));
	TRY(meta_read(m, false, do_get, &j));
	*ret = j.result;
	return NULL;
}

static const char *field(void *object, char *const *path, size_t n, bool *ret_present)
{
	const struct sandbox *s = object;

	if (strcmp(path[0], "id") == 0)
		return field_text(s->id, ret_present);
	if (strcmp(path[0], "labels") == 0)
		return field_label(&s->labels, path + 1, n - 1, ret_present);
	*ret_present = false;
	return NULL;
}

static struct err *do_list(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;

	TRY(sql_start(c, &st, "SELECT " COLUMNS " FROM sandboxes WHERE ns=?1 ORDER BY id", "s",
		j->scope->ns));
	for (;;) {
		autoptr(sandbox) one = NULL;
		bool row;

		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		one = sandbox_new();
		TRY(read_head(st, one));
		if (!filter_match(j->filter, field, one))
			continue;
		TRY(read_tail(st, one));
		GROW(j->list.items, j->list.n, j->list.cap);
		j->list.items[j->list.n++] = TAKE(one);
	}
}

struct err *sandboxes_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct sandbox_list *ret)
{
	autoptr(filter) filter = NULL;
	struct job j = {.scope = s};
	struct err *e;

	TRY(scope_check(s));
	TRY(parse_filters(filters, n_filters, &filter));
	j.filter = filter;
	e = meta_read(m, false, do_list, &j);
	if (e) {
		sandbox_list_done(&j.list);
		return e;
	}
	*ret = j.list;
	return NULL;
}

static struct sandbox *copy(const struct sandbox *s)
{
	struct sandbox *to = sandbox_new();

	to->id = xstrdup(s->id);
	strmap_copy(&to->labels, &s->labels);
	to->runtime = xstrdup(str_or(s->runtime, ""));
	any_copy(&to->runtime_options, &s->runtime_options);
	any_copy(&to->spec, &s->spec);
	to->sandboxer = xstrdup(str_or(s->sandboxer, ""));
	extensions_copy(&to->extensions, &s->extensions);
	return to;
}

static struct err *do_create(struct conn *c, void *arg)
{
	struct job *j = arg;
	bool there;

	TRY(sql_exists(c, &there, "SELECT 1 FROM sandboxes WHERE ns=?1 AND id=?2", "ss",
		j->scope->ns, j->result->id));
	if (there)
		return err_new(ERR_EXISTS,
			"write error: sandbox bucket \"%s\" already exists: already exists",
			j->result->id);
	TRY(ensure_namespace(c, j->scope->ns));
	return write_row(c, j->scope->ns, j->result);
}

struct err *sandboxes_create(
	struct meta *m, const struct scope *s, const struct sandbox *sandbox, struct sandbox **ret)
{
	autoptr(sandbox) made = NULL;
	struct job j = {.scope = s};

	TRY(scope_check(s));
	TRY(err_wrap(identifier_check(str_or(sandbox->id, "")),
		"failed to validate sandbox: invalid sandbox ID"));
	j.result = made = copy(sandbox);
	labels_drop_empty(&made->labels);
	made->created_at = made->updated_at = timestamp_now();
	TRY(meta_update(m, DURABLE, do_create, &j));
	*ret = TAKE(made);
	return NULL;
}

static struct err *apply_path(struct sandbox *to, const struct sandbox *from, const char *path)
{
	if (apply_map_path(&to->labels, &from->labels, path, "labels") ||
		extensions_apply_path(&to->extensions, &from->extensions, path))
		return NULL;
	if (strcmp(path, "spec") == 0) {
		any_copy(&to->spec, &from->spec);
	} else if (strcmp(path, "runtime") == 0) {
		free(to->runtime);
		to->runtime = xstrdup(str_or(from->runtime, ""));
		any_copy(&to->runtime_options, &from->runtime_options);
	} else {
		return err_new(ERR_INVALID,
			"cannot update \"%s\" field on sandbox \"%s\": invalid argument", path,
			to->id);
	}
	return NULL;
}

static struct err *apply_all(struct sandbox *to, const struct sandbox *from)
{
	static const char *const paths[] = {"labels", "extensions", "spec", "runtime"};

	if (strcmp(to->runtime, str_or(from->runtime, "")) != 0)
		return err_new(
			ERR_INVALID, "sandbox.Runtime.Name field is immutable: invalid argument");
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		TRY(apply_path(to, from, paths[i]));
	return NULL;
}

static struct err *do_update(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoptr(sandbox) now = NULL;

	TRY(read_one(c, j->scope->ns, j->given->id, &now));
	if (j->n_paths == 0)
		TRY(apply_all(now, j->given));
	for (size_t i = 0; i < j->n_paths; i++)
		TRY(apply_path(now, j->given, j->paths[i]));
	labels_drop_empty(&now->labels);
	now->updated_at = timestamp_now();
	TRY(write_row(c, j->scope->ns, now));
	j->result = TAKE(now);
	return NULL;
}

struct err *sandboxes_update(struct meta *m, const struct scope *s, const struct sandbox *sandbox,
	char *const *paths, size_t n_paths, struct sandbox **ret)
{
	struct job j = {.scope = s, .given = sandbox, .paths = paths, .n_paths = n_paths};
	autoptr(sandbox) now = NULL;
	struct err *e;

	TRY(scope_check(s));
	e = meta_update(m, DURABLE, do_update, &j);
	now = j.result;
	TRY(e);
	*ret = TAKE(now);
	return NULL;
}

static struct err *do_delete(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(sql_run(c, "DELETE FROM sandboxes WHERE ns=?1 AND id=?2", "ss", j->scope->ns, j->id));
	if (sqlite3_changes(c->db) == 0)
		return err_new(ERR_NOT_FOUND, "failed to delete sandbox \"%s\": not found", j->id);
	meta_count_deletion(c);
	return NULL;
}

struct err *sandboxes_delete(struct meta *m, const struct scope *s, const char *id)
{
	struct job j = {.scope = s, .id = id};

	TRY(scope_check(s));
	return meta_update(m, DURABLE, do_delete, &j);
}
