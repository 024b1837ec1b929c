// SPDX-License-Identifier: Apache-2.0
#include "meta/namespaces.h"

#include "base/alloc.h"
#include "base/identifier.h"
#include "meta/internal.h"

void namespace_info_done(struct namespace_info *n)
{
	free(n->name);
	strmap_done(&n->labels);
	*n = (struct namespace_info){0};
}

void namespace_list_done(struct namespace_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		namespace_info_done(&l->items[i]);
	free(l->items);
	*l = (struct namespace_list){0};
}

struct job {
	const char *name;
	const struct strmap *labels;
	bool replace;
	struct namespace_info info;
	struct namespace_list *list;
};

static struct err *announce(
	struct meta *m, enum change_kind kind, const char *name, const struct strmap *labels)
{
	meta_announce(m, &(struct change){.kind = kind, .ns = name, .id = name, .labels = labels});
	return NULL;
}

static struct err *read_labels(struct conn *c, const char *name, struct strmap *ret)
{
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, "SELECT labels FROM namespaces WHERE name=?1", "s", name));
	TRY(sql_row(c, st, &row));
	return row ? unpack_labels(st, 0, ret) : NULL;
}

static struct err *write_labels(struct conn *c, const char *name, const struct strmap *labels)
{
	autoval(buf) packed = BUF_INIT(META_PACKED_MAX);

	pack_labels(&packed, labels);
	return sql_run(c, "UPDATE namespaces SET labels=?2 WHERE name=?1", "sb", name, &packed);
}

static struct err *do_get(struct conn *c, void *arg)
{
	struct job *j = arg;

	return read_labels(c, j->name, &j->info.labels);
}

struct err *namespace_get(struct meta *m, const char *name, struct namespace_info *ret)
{
	struct job j = {.name = name};
	struct err *e = meta_read(m, false, do_get, &j);

	if (e) {
		namespace_info_done(&j.info);
		return e;
	}
	j.info.name = xstrdup(name);
	*ret = j.info;
	return NULL;
}

static struct err *do_list(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, "SELECT name, labels FROM namespaces ORDER BY name", ""));
	for (;;) {
		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		GROW(j->list->items, j->list->n, j->list->cap);
		j->list->items[j->list->n++] = (struct namespace_info){.name = sql_text(st, 0)};
		TRY(unpack_labels(st, 1, &j->list->items[j->list->n - 1].labels));
	}
}

struct err *namespace_list_all(struct meta *m, struct namespace_list *ret)
{
	autoval(namespace_list) list = {0};
	struct job j = {.list = &list};

	TRY(meta_read(m, false, do_list, &j));
	*ret = list;
	list = (struct namespace_list){0};
	return NULL;
}

static struct err *do_create(struct conn *c, void *arg)
{
	struct job *j = arg;
	bool there;

	TRY(sql_exists(c, &there, "SELECT 1 FROM namespaces WHERE name=?1", "s", j->name));
	if (there)
		return err_new(ERR_EXISTS, "namespace \"%s\": already exists", j->name);
	TRY(ensure_namespace(c, j->name));
	return write_labels(c, j->name, j->labels);
}

struct err *namespace_create(struct meta *m, const char *name, const struct strmap *labels)
{
	struct job j = {.name = name, .labels = labels};

	TRY(identifier_check(name));
	TRY(err_wrap(labels_check(labels), "namespace.Labels"));
	TRY(meta_update(m, DURABLE, do_create, &j));
	return announce(m, CHANGE_NAMESPACE_CREATE, name, labels);
}

static struct err *do_update(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(ensure_namespace(c, j->name));
	if (!j->replace)
		TRY(read_labels(c, j->name, &j->info.labels));
	for (size_t i = 0; i < j->labels->n; i++)
		strmap_set(&j->info.labels, j->labels->entries[i].key, j->labels->entries[i].value);
	labels_drop_empty(&j->info.labels);
	return write_labels(c, j->name, &j->info.labels);
}

struct err *namespace_update(struct meta *m, const char *name, const struct strmap *labels,
	bool replace, struct namespace_info *ret)
{
	autoval(namespace_info) info = {0};
	struct job j = {.name = name, .labels = labels, .replace = replace};
	struct err *e;

	TRY(identifier_check(name));
	TRY(err_wrap(labels_check(labels), "namespace.Labels"));
	e = meta_update(m, DURABLE, do_update, &j);
	info = j.info;
	TRY(e);
	info.name = xstrdup(name);
	TRY(announce(m, CHANGE_NAMESPACE_UPDATE, name, &info.labels));
	if (ret) {
		*ret = info;
		info = (struct namespace_info){0};
	}
	return NULL;
}

/* The kinds of object still in the namespace, in containerd's words and order; sandboxes, which it
 * would drop in silence, are among them here. */
static struct err *list_contents(struct conn *c, const char *name, struct strv *to)
{
	autostmt st = NULL;
	bool row;

	TRY(sql_exists(c, &row, "SELECT 1 FROM images WHERE ns=?1 LIMIT 1", "s", name));
	if (row)
		strv_add(to, "images");
	TRY(sql_exists(c, &row, "SELECT 1 FROM blobs WHERE ns=?1 LIMIT 1", "s", name));
	if (row)
		strv_add(to, "blobs");
	TRY(sql_exists(c, &row, "SELECT 1 FROM containers WHERE ns=?1 LIMIT 1", "s", name));
	if (row)
		strv_add(to, "containers");
	TRY(sql_exists(c, &row, "SELECT 1 FROM sandboxes WHERE ns=?1 LIMIT 1", "s", name));
	if (row)
		strv_add(to, "sandboxes");
	TRY(sql_start(c, &st,
		"SELECT DISTINCT snapshotter FROM snapshots WHERE ns=?1 ORDER BY snapshotter", "s",
		name));
	for (;;) {
		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		strv_addf(to, "snapshots on \"%s\" snapshotter", sql_peek(st, 0));
	}
}

static struct err *do_delete(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoval(strv) contents = STRV_INIT;
	bool there;

	TRY(list_contents(c, j->name, &contents));
	if (contents.n > 0) {
		autofree char *text = strv_join(&contents, ", ");

		return err_new(ERR_PRECONDITION,
			"namespace \"%s\" must be empty, but it still has %s: failed precondition",
			j->name, text);
	}
	TRY(sql_exists(c, &there, "SELECT 1 FROM namespaces WHERE name=?1", "s", j->name));
	if (!there)
		return err_new(ERR_NOT_FOUND, "namespace \"%s\": not found", j->name);
	TRY(sql_run(c, "DELETE FROM leases WHERE ns=?1", "s", j->name));
	TRY(sql_run(c, "DELETE FROM lease_resources WHERE ns=?1", "s", j->name));
	TRY(sql_run(c, "DELETE FROM ingests WHERE ns=?1", "s", j->name));
	meta_count_deletion(c);
	return sql_run(c, "DELETE FROM namespaces WHERE name=?1", "s", j->name);
}

struct err *namespace_delete(struct meta *m, const char *name)
{
	struct job j = {.name = name};

	TRY(meta_update(m, DURABLE, do_delete, &j));
	return announce(m, CHANGE_NAMESPACE_DELETE, name, NULL);
}
