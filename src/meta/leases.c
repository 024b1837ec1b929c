// SPDX-License-Identifier: Apache-2.0
#include "meta/leases.h"

#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "meta/internal.h"

void lease_done(struct lease *l)
{
	free(l->id);
	strmap_done(&l->labels);
	*l = (struct lease){0};
}

void lease_list_done(struct lease_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		lease_done(&l->items[i]);
	free(l->items);
	*l = (struct lease_list){0};
}

void lease_resource_list_done(struct lease_resource_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].id);
		free(l->items[i].type);
	}
	free(l->items);
	*l = (struct lease_resource_list){0};
}

#define LABEL_EXPIRE "containerd.io/gc.expire"

struct job {
	const struct scope *scope;
	const char *lease, *id, *type;
	const struct filter *filter;
	struct lease made;
	bool expires;
	struct lease_list *list;
	struct lease_resource_list *resources;
};

/* --- what the other stores need --- */

char *snapshot_lease_type(const char *snapshotter)
{
	return xasprintf("snapshots/%s", snapshotter);
}

/* A collection under way keeps what a lease holds from now on. */
static void touch_resource(struct conn *c, const char *ns, const char *type, const char *id)
{
	if (strcmp(type, "content") == 0)
		gc_touch(c, GC_CONTENT, ns, NULL, id);
	else if (strcmp(type, "images") == 0)
		gc_touch(c, GC_IMAGE, ns, NULL, id);
	else if (strcmp(type, "ingests") == 0)
		gc_touch(c, GC_INGEST, ns, NULL, id);
	else
		gc_touch(c, GC_SNAPSHOT, ns, type + strlen("snapshots/"), id);
}

static struct err *add_resource(
	struct conn *c, const char *ns, const char *lease, const char *type, const char *id)
{
	touch_resource(c, ns, type, id);
	return sql_run(c,
		"INSERT OR IGNORE INTO lease_resources(ns, lease, type, id) VALUES(?1,?2,?3,?4)",
		"ssss", ns, lease, type, id);
}

static struct err *remove_resource(
	struct conn *c, const char *ns, const char *lease, const char *type, const char *id)
{
	return sql_run(c,
		"DELETE FROM lease_resources WHERE ns=?1 AND lease=?2 AND type=?3 AND id=?4",
		"ssss", ns, lease, type, id);
}

static struct err *lease_exists(struct conn *c, const char *ns, const char *id, bool *ret)
{
	return sql_exists(c, ret, "SELECT 1 FROM leases WHERE ns=?1 AND id=?2", "ss", ns, id);
}

struct err *lease_hold(struct conn *c, const struct scope *s, const char *type, const char *id)
{
	bool there;

	if (str_empty(s->lease))
		return NULL;
	TRY(lease_exists(c, s->ns, s->lease, &there));
	if (!there)
		return err_new(ERR_NOT_FOUND, "lease does not exist: not found");
	return add_resource(c, s->ns, s->lease, type, id);
}

struct err *lease_let_go(struct conn *c, const struct scope *s, const char *type, const char *id)
{
	return str_empty(s->lease) ? NULL : remove_resource(c, s->ns, s->lease, type, id);
}

/* --- leases --- */

static char *random_id(void)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct timestamp now = timestamp_now();
	unsigned char r[4];

	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		memcpy(r, &now.nsec, sizeof(r));
	return xasprintf("%d-%c%c%c%c", now.nsec, digits[r[0] & 63], digits[r[1] & 63],
		digits[r[2] & 63], digits[r[3] & 63]);
}

static struct err *not_found(const char *lease)
{
	return err_new(ERR_NOT_FOUND, "lease \"%s\": not found", lease);
}

static struct err *do_create(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoval(buf) labels = BUF_INIT(META_PACKED_MAX);
	bool there;

	TRY(lease_exists(c, j->scope->ns, j->made.id, &there));
	if (there)
		return err_new(ERR_EXISTS, "lease \"%s\": already exists", j->made.id);
	TRY(ensure_namespace(c, j->scope->ns));
	pack_labels(&labels, &j->made.labels);
	gc_touch(c, GC_LEASE, j->scope->ns, NULL, j->made.id);
	return sql_run(c, "INSERT INTO leases(ns, id, created, labels) VALUES(?1,?2,?3,?4)", "ssib",
		j->scope->ns, j->made.id, timestamp_to_ns(j->made.created_at), &labels);
}

/* A lease that expires is somebody's while he works: a power cut ends the work, and takes back no
 * more than the lease's beginning, before anything was made under it, or its end, which it comes to
 * anyhow. So it alone is not worth waiting for the disk. */
static enum durability lease_durability(bool expires)
{
	return expires ? RELAXED : DURABLE;
}

struct err *leases_create(struct meta *m, const struct scope *s, const char *id,
	const struct strmap *labels, struct lease *ret)
{
	struct job j = {.scope = s};
	struct err *e;

	TRY(scope_check(s));
	j.made.id = str_empty(id) ? random_id() : xstrdup(id);
	j.made.created_at = timestamp_now();
	strmap_copy(&j.made.labels, labels);
	labels_drop_empty(&j.made.labels);
	e = meta_update(m, lease_durability(strmap_get(&j.made.labels, LABEL_EXPIRE) != NULL),
		do_create, &j);
	if (e)
		lease_done(&j.made);
	else
		*ret = j.made;
	return e;
}

static struct err *do_delete(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(sql_run(c, "DELETE FROM leases WHERE ns=?1 AND id=?2", "ss", j->scope->ns, j->lease));
	if (sqlite3_changes(c->db) == 0)
		return not_found(j->lease);
	meta_count_deletion(c);
	return sql_run(c, "DELETE FROM lease_resources WHERE ns=?1 AND lease=?2", "ss",
		j->scope->ns, j->lease);
}

static struct err *find_expiry(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoval(strmap) labels = STRMAP_INIT;
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, "SELECT labels FROM leases WHERE ns=?1 AND id=?2", "ss", j->scope->ns,
		j->lease));
	TRY(sql_row(c, st, &row));
	if (!row)
		return not_found(j->lease);
	TRY(unpack_labels(st, 0, &labels));
	j->expires = strmap_get(&labels, LABEL_EXPIRE) != NULL;
	return NULL;
}

struct err *leases_delete(struct meta *m, const struct scope *s, const char *id)
{
	struct job j = {.scope = s, .lease = id};

	TRY(scope_check(s));
	TRY(meta_read(m, false, find_expiry, &j));
	return meta_update(m, lease_durability(j.expires), do_delete, &j);
}

enum durability durability_under_lease(struct meta *m, const struct scope *s)
{
	struct job j = {.scope = s, .lease = s->lease};
	autoptr(err) e = NULL;

	if (str_empty(s->lease))
		return DURABLE;
	e = meta_read(m, false, find_expiry, &j);
	return lease_durability(!e && j.expires);
}

static const char *field(void *object, char *const *path, size_t n, bool *ret_present)
{
	const struct lease *l = object;

	if (strcmp(path[0], "id") == 0)
		return field_text(l->id, ret_present);
	if (strcmp(path[0], "labels") == 0)
		return field_label(&l->labels, path + 1, n - 1, ret_present);
	*ret_present = false;
	return NULL;
}

static struct err *do_list(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;

	TRY(sql_start(c, &st, "SELECT id, created, labels FROM leases WHERE ns=?1 ORDER BY id", "s",
		j->scope->ns));
	for (;;) {
		autoval(lease) one = {0};
		bool row;

		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		one.id = sql_text(st, 0);
		one.created_at = timestamp_from_ns(sqlite3_column_int64(st, 1));
		TRY(unpack_labels(st, 2, &one.labels));
		if (!filter_match(j->filter, field, &one))
			continue;
		GROW(j->list->items, j->list->n, j->list->cap);
		j->list->items[j->list->n++] = one;
		one = (struct lease){0};
	}
}

struct err *leases_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct lease_list *ret)
{
	autoptr(filter) filter = NULL;
	autoval(lease_list) list = {0};
	struct job j = {.scope = s, .list = &list};

	TRY(scope_check(s));
	TRY(parse_filters(filters, n_filters, &filter));
	j.filter = filter;
	TRY(meta_read(m, false, do_list, &j));
	*ret = list;
	list = (struct lease_list){0};
	return NULL;
}

/* --- resources --- */

static struct err *check_plain(const char *id, const char *type)
{
	struct err *why, *e;

	if (strcmp(type, "content") != 0)
		return NULL;
	why = digest_check(id);
	if (!why)
		return NULL;
	e = err_new(ERR_INVALID, "invalid content resource id %s: %s: invalid argument", id,
		err_message(why));
	err_free(why);
	return e;
}

static struct err *check_resource(const char *id, const char *type)
{
	static const char *const plain[] = {"content", "ingests", "images"};
	size_t len = strcspn(type, "/");

	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (strlen(plain[i]) != len || strncmp(type, plain[i], len) != 0)
			continue;
		if (type[len])
			return err_new(
				ERR_INVALID, "invalid resource type %s: invalid argument", type);
		return check_plain(id, type);
	}
	if (len != 9 || strncmp(type, "snapshots", 9) != 0)
		return err_new(ERR_UNIMPLEMENTED,
			"resource type %s not supported yet: not implemented", type);
	if (!type[len] || strchr(type + len + 1, '/'))
		return err_new(
			ERR_INVALID, "invalid snapshot resource type %s: invalid argument", type);
	return NULL;
}

static struct err *do_resource(struct conn *c, struct job *j, bool add)
{
	bool there;

	TRY(lease_exists(c, j->scope->ns, j->lease, &there));
	if (!there)
		return not_found(j->lease);
	TRY(check_resource(j->id, j->type));
	if (add)
		return add_resource(c, j->scope->ns, j->lease, j->type, j->id);
	meta_count_deletion(c);
	return remove_resource(c, j->scope->ns, j->lease, j->type, j->id);
}

static struct err *do_add(struct conn *c, void *arg)
{
	return do_resource(c, arg, true);
}

static struct err *do_remove(struct conn *c, void *arg)
{
	return do_resource(c, arg, false);
}

struct err *leases_add_resource(
	struct meta *m, const struct scope *s, const char *lease, const char *id, const char *type)
{
	struct job j = {.scope = s, .lease = lease, .id = id, .type = type};

	TRY(scope_check(s));
	return meta_update(m, DURABLE, do_add, &j);
}

struct err *leases_delete_resource(
	struct meta *m, const struct scope *s, const char *lease, const char *id, const char *type)
{
	struct job j = {.scope = s, .lease = lease, .id = id, .type = type};

	TRY(scope_check(s));
	return meta_update(m, DURABLE, do_remove, &j);
}

static struct err *do_list_resources(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;
	bool row;

	TRY(lease_exists(c, j->scope->ns, j->lease, &row));
	if (!row)
		return not_found(j->lease);
	TRY(sql_start(c, &st,
		"SELECT id, type FROM lease_resources WHERE ns=?1 AND lease=?2 ORDER BY type, id",
		"ss", j->scope->ns, j->lease));
	for (;;) {
		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		GROW(j->resources->items, j->resources->n, j->resources->cap);
		j->resources->items[j->resources->n++] =
			(struct lease_resource){sql_text(st, 0), sql_text(st, 1)};
	}
}

struct err *leases_list_resources(
	struct meta *m, const struct scope *s, const char *lease, struct lease_resource_list *ret)
{
	autoval(lease_resource_list) list = {0};
	struct job j = {.scope = s, .lease = lease, .resources = &list};

	TRY(scope_check(s));
	TRY(meta_read(m, true, do_list_resources, &j));
	*ret = list;
	list = (struct lease_resource_list){0};
	return NULL;
}
