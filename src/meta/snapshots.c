// SPDX-License-Identifier: Apache-2.0
#include "meta/snapshots.h"

#include <string.h>

#include "base/alloc.h"
#include "base/identifier.h"
#include "meta/internal.h"

#define LABEL_TARGET "containerd.io/snapshot.ref"
#define PARENTS_MAX 4096

void snapshot_info_done(struct snapshot_info *i)
{
	free(i->name);
	free(i->parent);
	strmap_done(&i->labels);
	*i = (struct snapshot_info){0};
}

void snapshot_list_done(struct snapshot_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		snapshot_info_done(&l->items[i]);
	free(l->items);
	*l = (struct snapshot_list){0};
}

void snapshot_chain_done(struct snapshot_chain *c)
{
	snapshot_info_done(&c->info);
	free(c->parents);
	*c = (struct snapshot_chain){0};
}

void snapshot_ids_done(struct snapshot_ids *i)
{
	free(i->items);
	*i = (struct snapshot_ids){0};
}

struct job {
	const struct scope *scope;
	const char *snapshotter, *key, *name, *parent;
	enum snapshot_kind kind;
	const struct strmap *labels;
	char *const *paths;
	size_t n_paths;
	int64_t size, inodes;
	uint64_t id;
	const struct filter *filter;
	bool found;
	bool durable, again; /* see hold_existing() */
	struct err *refusal; /* for the caller, while the lease it comes with is kept */
	struct snapshot_chain chain;
	struct snapshot_list *list;
	struct snapshot_ids *ids;
};

/* --- rows --- */

#define SELECT                                                                                     \
	"SELECT s.id, s.key, p.key, s.kind, s.created, s.updated, s.size, s.inodes, s.labels,"     \
	" s.reserved, s.parent FROM snapshots s LEFT JOIN snapshots p ON p.id=s.parent "

static struct err *read_row(sqlite3_stmt *st, struct snapshot_info *i)
{
	i->id = (uint64_t)sqlite3_column_int64(st, 0);
	i->name = sql_text(st, 1);
	i->parent = sql_text(st, 2);
	i->kind = (enum snapshot_kind)sqlite3_column_int(st, 3);
	i->created_at = timestamp_from_ns(sqlite3_column_int64(st, 4));
	i->updated_at = timestamp_from_ns(sqlite3_column_int64(st, 5));
	i->size = sqlite3_column_int64(st, 6);
	i->inodes = sqlite3_column_int64(st, 7);
	return unpack_labels(st, 8, &i->labels);
}

/* A row of either state; `reserved` (may be NULL) says which. */
static struct err *find(struct conn *c, const struct job *j, const char *key,
	struct snapshot_info *ret, bool *ret_reserved, bool *ret_found)
{
	autostmt st = NULL;

	TRY(sql_start(c, &st, SELECT "WHERE s.ns=?1 AND s.snapshotter=?2 AND s.key=?3", "sss",
		j->scope->ns, j->snapshotter, key));
	TRY(sql_row(c, st, ret_found));
	if (!*ret_found)
		return NULL;
	*ret_reserved = sqlite3_column_int(st, 9) != 0;
	return read_row(st, ret);
}

static struct err *not_found(const char *key)
{
	return err_new(ERR_NOT_FOUND, "snapshot %s does not exist: not found", key);
}

/* A row that counts. */
static struct err *need(
	struct conn *c, const struct job *j, const char *key, struct snapshot_info *ret)
{
	bool found, reserved = false;

	TRY(find(c, j, key, ret, &reserved, &found));
	return found && !reserved ? NULL : not_found(key);
}

static struct err *parent_of(struct conn *c, uint64_t id, uint64_t *ret)
{
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, "SELECT parent FROM snapshots WHERE id=?1", "i", (int64_t)id));
	TRY(sql_row(c, st, &row));
	*ret = row ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	return NULL;
}

static struct err *read_parents(struct conn *c, struct snapshot_chain *chain)
{
	uint64_t id = chain->info.id;
	size_t cap = 0;

	for (;;) {
		TRY(parent_of(c, id, &id));
		if (id == 0)
			return NULL;
		if (chain->n_parents == PARENTS_MAX)
			return err_new(ERR_DATA_LOSS, "snapshot %s has more than %d ancestors",
				chain->info.name, PARENTS_MAX);
		GROW(chain->parents, chain->n_parents, cap);
		chain->parents[chain->n_parents++] = id;
	}
}

static struct err *hold(struct conn *c, const struct job *j, const char *key)
{
	autofree char *type = snapshot_lease_type(j->snapshotter);

	return lease_hold(c, j->scope, type, key);
}

static struct err *let_go(struct conn *c, const struct job *j, const char *key)
{
	autofree char *type = snapshot_lease_type(j->snapshotter);

	return lease_let_go(c, j->scope, type, key);
}

/* The id of a committed snapshot that is to be a parent. */
static struct err *find_parent(
	struct conn *c, const struct job *j, const char *name, enum err_class unfit, uint64_t *ret)
{
	autoval(snapshot_info) info = {0};
	bool found, reserved = false;

	TRY(find(c, j, name, &info, &reserved, &found));
	if (!found || reserved)
		return err_new(ERR_NOT_FOUND, "parent snapshot %s does not exist: not found", name);
	if (info.kind != SNAPSHOT_COMMITTED)
		return err_new(unfit, "parent \"%s\" is not committed%s", name,
			unfit == ERR_INVALID ? " snapshot: invalid argument"
					     : ": failed precondition");
	gc_touch(c, GC_SNAPSHOT, j->scope->ns, j->snapshotter, name);
	*ret = info.id;
	return NULL;
}

/* --- reading --- */

static struct err *finish(struct job *j, struct err *take_e, struct snapshot_chain *ret)
{
	if (take_e)
		snapshot_chain_done(&j->chain);
	else
		*ret = j->chain;
	return take_e;
}

static struct err *do_get(struct conn *c, void *arg)
{
	struct job *j = arg;

	TRY(need(c, j, j->key, &j->chain.info));
	return read_parents(c, &j->chain);
}

struct err *snapshots_get(struct meta *m, const struct scope *s, const char *snapshotter,
	const char *key, struct snapshot_chain *ret)
{
	struct job j = {.scope = s, .snapshotter = snapshotter, .key = key};

	TRY(scope_check(s));
	return finish(&j, meta_read(m, true, do_get, &j), ret);
}

const char *snapshot_field(void *object, char *const *path, size_t n, bool *ret_present)
{
	static const char *const kinds[] = {
		[SNAPSHOT_VIEW] = "view",
		[SNAPSHOT_ACTIVE] = "active",
		[SNAPSHOT_COMMITTED] = "committed",
	};
	const struct snapshot_info *i = object;

	*ret_present = true;
	if (strcmp(path[0], "name") == 0)
		return i->name;
	if (strcmp(path[0], "parent") == 0)
		return i->parent;
	if (strcmp(path[0], "kind") == 0)
		return kinds[i->kind];
	if (strcmp(path[0], "labels") == 0)
		return field_label(&i->labels, path + 1, n - 1, ret_present);
	*ret_present = false;
	return NULL;
}

static struct err *do_list(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;

	TRY(sql_start(c, &st,
		SELECT "WHERE s.ns=?1 AND s.snapshotter=?2 AND s.reserved=0 ORDER BY s.key", "ss",
		j->scope->ns, j->snapshotter));
	for (;;) {
		autoval(snapshot_info) one = {0};
		bool row;

		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		TRY(read_row(st, &one));
		if (!filter_match(j->filter, snapshot_field, &one))
			continue;
		GROW(j->list->items, j->list->n, j->list->cap);
		j->list->items[j->list->n++] = one;
		one = (struct snapshot_info){0};
	}
}

struct err *snapshots_list(struct meta *m, const struct scope *s, const char *snapshotter,
	char *const *filters, size_t n_filters, struct snapshot_list *ret)
{
	autoptr(filter) filter = NULL;
	autoval(snapshot_list) list = {0};
	struct job j = {.scope = s, .snapshotter = snapshotter, .list = &list};

	TRY(scope_check(s));
	TRY(filter_parse(filters, n_filters, &filter));
	j.filter = filter;
	TRY(meta_read(m, false, do_list, &j));
	*ret = list;
	list = (struct snapshot_list){0};
	return NULL;
}

/* --- making --- */

/* That the lease holds what is there is a promise, unlike a reservation: it takes a write that is
 * durable, and so a second one. */
static struct err *hold_existing(struct conn *c, struct job *j, const char *key)
{
	j->again = !j->durable && !str_empty(j->scope->lease);
	return j->again ? NULL : hold(c, j, key);
}

/* Sets the refusal when the key, or the target the label names, is there already; the lease holds
 * it then. */
static struct err *refuse_existing(struct conn *c, struct job *j)
{
	const char *target = strmap_get(j->labels, LABEL_TARGET);
	autoval(snapshot_info) info = {0};
	bool found = false, reserved = false;

	if (!str_empty(target))
		TRY(find(c, j, target, &info, &reserved, &found));
	if (found && !reserved) {
		j->refusal = err_new(ERR_EXISTS, "target snapshot \"%s\": already exists", target);
		return hold_existing(c, j, target);
	}
	snapshot_info_done(&info);
	TRY(find(c, j, j->key, &info, &reserved, &found));
	if (found) {
		j->refusal = err_new(ERR_EXISTS, "snapshot \"%s\": already exists", j->key);
		return hold_existing(c, j, j->key);
	}
	return NULL;
}

static struct err *do_reserve(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoval(buf) labels = BUF_INIT(META_PACKED_MAX);
	int64_t now = timestamp_to_ns(timestamp_now());
	uint64_t parent = 0;
	bool found, reserved;

	TRY(refuse_existing(c, j));
	if (j->refusal)
		return NULL;
	if (!str_empty(j->parent))
		TRY(find_parent(c, j, j->parent, ERR_INVALID, &parent));
	TRY(ensure_namespace(c, j->scope->ns));
	TRY(hold(c, j, j->key));
	pack_labels(&labels, j->labels);
	gc_touch(c, GC_SNAPSHOT, j->scope->ns, j->snapshotter, j->key);
	gc_touch_labels(c, j->scope->ns, j->labels);
	TRY(sql_run(c,
		"INSERT INTO snapshots(ns, snapshotter, key, parent, kind, reserved, created, "
		"updated,"
		" size, inodes, labels) VALUES(?1,?2,?3,nullif(?4,0),?5,1,?6,?6,0,0,?7)",
		"sssiiib", j->scope->ns, j->snapshotter, j->key, (int64_t)parent, (int64_t)j->kind,
		now, &labels));
	TRY(find(c, j, j->key, &j->chain.info, &reserved, &found));
	return read_parents(c, &j->chain);
}

struct err *snapshots_reserve(struct meta *m, const struct scope *s, const char *snapshotter,
	const char *key, const char *parent, enum snapshot_kind kind, const struct strmap *labels,
	struct snapshot_chain *ret)
{
	struct job j = {.scope = s,
		.snapshotter = snapshotter,
		.key = key,
		.parent = parent,
		.kind = kind,
		.labels = labels};
	struct err *e;

	TRY(scope_check(s));
	TRY(err_wrap(labels_check(labels), "info.Labels"));
	if (str_empty(key))
		return err_new(ERR_INVALID, "snapshot key must not be empty: invalid argument");
	e = meta_update(m, RELAXED, do_reserve, &j);
	if (!e && j.again) {
		err_free(TAKE(j.refusal));
		j.durable = true;
		j.again = false;
		e = meta_update(m, DURABLE, do_reserve, &j);
	}
	if (e)
		err_free(j.refusal);
	else
		e = j.refusal;
	return finish(&j, e, ret);
}

static struct err *do_publish(struct conn *c, void *arg)
{
	struct job *j = arg;
	int64_t now = timestamp_to_ns(timestamp_now());

	TRY(sql_run(c,
		"UPDATE snapshots SET reserved=0, created=?4, updated=?4"
		" WHERE ns=?1 AND snapshotter=?2 AND key=?3 AND reserved=1",
		"sssi", j->scope->ns, j->snapshotter, j->key, now));
	if (sqlite3_changes(c->db) == 0)
		return not_found(j->key);
	gc_touch(c, GC_SNAPSHOT, j->scope->ns, j->snapshotter, j->key);
	return need(c, j, j->key, &j->chain.info);
}

struct err *snapshots_publish(
	struct meta *m, const struct scope *s, const char *snapshotter, const char *key)
{
	struct job j = {.scope = s, .snapshotter = snapshotter, .key = key};
	autoval(snapshot_chain) chain = {0};

	TRY(scope_check(s));
	TRY(finish(&j, meta_update(m, durability_under_lease(m, s), do_publish, &j), &chain));
	if (chain.info.kind == SNAPSHOT_ACTIVE)
		meta_announce(m, &(struct change){.kind = CHANGE_SNAPSHOT_PREPARE,
					 .ns = s->ns,
					 .id = key,
					 .parent = chain.info.parent,
					 .snapshotter = snapshotter,
					 .labels = &chain.info.labels});
	return NULL;
}

/* The row goes, its files are to be removed. */
static struct err *drop_row(struct conn *c, const struct job *j, const char *key)
{
	TRY(sql_run(c,
		"INSERT OR IGNORE INTO stale_snapshots(snapshotter, id)"
		" SELECT snapshotter, id FROM snapshots WHERE ns=?1 AND snapshotter=?2 AND key=?3",
		"sss", j->scope->ns, j->snapshotter, key));
	TRY(sql_run(c, "DELETE FROM snapshots WHERE ns=?1 AND snapshotter=?2 AND key=?3", "sss",
		j->scope->ns, j->snapshotter, key));
	return let_go(c, j, key);
}

static struct err *do_unreserve(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoval(snapshot_info) info = {0};
	bool found, reserved = false;

	TRY(find(c, j, j->key, &info, &reserved, &found));
	return found && reserved ? drop_row(c, j, j->key) : not_found(j->key);
}

struct err *snapshots_unreserve(
	struct meta *m, const struct scope *s, const char *snapshotter, const char *key)
{
	struct job j = {.scope = s, .snapshotter = snapshotter, .key = key};

	TRY(scope_check(s));
	return meta_write(m, RELAXED, do_unreserve, &j);
}

/* --- committing --- */

/* The parent a commit leaves the snapshot with: its own, or the one to rebase it on. */
static struct err *rebase(
	struct conn *c, const struct job *j, const struct snapshot_info *active, uint64_t *ret)
{
	if (!*active->parent && !str_empty(j->parent))
		return find_parent(c, j, j->parent, ERR_PRECONDITION, ret);
	return parent_of(c, active->id, ret);
}

static struct err *write_commit(struct conn *c, const struct job *j, uint64_t parent)
{
	autoval(buf) labels = BUF_INIT(META_PACKED_MAX);
	int64_t now = timestamp_to_ns(timestamp_now());

	pack_labels(&labels, j->labels);
	gc_touch(c, GC_SNAPSHOT, j->scope->ns, j->snapshotter, j->name);
	gc_touch_labels(c, j->scope->ns, j->labels);
	return sql_run(c,
		"UPDATE snapshots SET key=?4, kind=3, parent=nullif(?5,0), created=?6, updated=?6,"
		" size=?7, inodes=?8, labels=?9 WHERE ns=?1 AND snapshotter=?2 AND key=?3",
		"ssssiiiib", j->scope->ns, j->snapshotter, j->key, j->name, (int64_t)parent, now,
		j->size, j->inodes, &labels);
}

static struct err *do_commit(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoval(snapshot_info) active = {0}, taken = {0};
	bool found, reserved;
	uint64_t parent = 0;

	TRY(hold(c, j, j->name));
	TRY(find(c, j, j->name, &taken, &reserved, &found));
	if (found) {
		j->refusal = err_new(ERR_EXISTS, "snapshot \"%s\": already exists", j->name);
		return NULL;
	}
	TRY(need(c, j, j->key, &active));
	if (active.kind != SNAPSHOT_ACTIVE)
		return err_new(ERR_PRECONDITION,
			"snapshot \"%s\" is not active: failed precondition", j->key);
	TRY(rebase(c, j, &active, &parent));
	if (*active.parent)
		gc_touch(c, GC_SNAPSHOT, j->scope->ns, j->snapshotter, active.parent);
	TRY(write_commit(c, j, parent));
	return let_go(c, j, j->key);
}

struct err *snapshots_commit(struct meta *m, const struct scope *s, const char *snapshotter,
	const char *key, const char *name, const char *parent, const struct strmap *labels,
	int64_t size, int64_t inodes)
{
	struct job j = {.scope = s,
		.snapshotter = snapshotter,
		.key = key,
		.name = name,
		.parent = parent,
		.labels = labels,
		.size = size,
		.inodes = inodes};
	struct err *e;

	TRY(scope_check(s));
	TRY(err_wrap(labels_check(labels), "info.Labels"));
	if (str_empty(name))
		return err_new(ERR_INVALID, "snapshot name must not be empty: invalid argument");
	e = meta_update(m, DURABLE, do_commit, &j);
	if (e)
		err_free(j.refusal);
	else
		e = j.refusal;
	if (!e)
		meta_announce(m, &(struct change){.kind = CHANGE_SNAPSHOT_COMMIT,
					 .ns = s->ns,
					 .id = key,
					 .parent = name,
					 .snapshotter = snapshotter,
					 .labels = labels});
	return e;
}

/* --- changing and removing --- */

static struct err *do_update(struct conn *c, void *arg)
{
	struct job *j = arg;
	struct snapshot_info *info = &j->chain.info;
	autoval(buf) packed = BUF_INIT(META_PACKED_MAX);

	TRY(need(c, j, j->key, info));
	if (j->n_paths == 0)
		strmap_copy(&info->labels, j->labels);
	for (size_t i = 0; i < j->n_paths; i++)
		if (!apply_map_path(&info->labels, j->labels, j->paths[i], "labels"))
			return err_new(ERR_INVALID,
				"cannot update \"%s\" field on snapshot \"%s\": invalid argument",
				j->paths[i], j->key);
	TRY(err_wrap(labels_check(&info->labels), "info.Labels"));
	labels_drop_empty(&info->labels);
	info->updated_at = timestamp_now();
	pack_labels(&packed, &info->labels);
	gc_touch(c, GC_SNAPSHOT, j->scope->ns, j->snapshotter, j->key);
	gc_touch_labels(c, j->scope->ns, &info->labels);
	return sql_run(c,
		"UPDATE snapshots SET updated=?4, labels=?5 WHERE ns=?1 AND snapshotter=?2 AND "
		"key=?3",
		"sssib", j->scope->ns, j->snapshotter, j->key, timestamp_to_ns(info->updated_at),
		&packed);
}

struct err *snapshots_update(struct meta *m, const struct scope *s, const char *snapshotter,
	const char *key, const struct strmap *labels, char *const *paths, size_t n_paths,
	struct snapshot_info *ret)
{
	struct job j = {.scope = s,
		.snapshotter = snapshotter,
		.key = key,
		.labels = labels,
		.paths = paths,
		.n_paths = n_paths};
	autoval(snapshot_chain) chain = {0};

	TRY(scope_check(s));
	if (str_empty(key))
		return err_new(ERR_INVALID, "invalid argument");
	TRY(finish(&j, meta_update(m, DURABLE, do_update, &j), &chain));
	*ret = chain.info;
	chain.info = (struct snapshot_info){0};
	return NULL;
}

static struct err *do_remove(struct conn *c, void *arg)
{
	struct job *j = arg;
	autoval(snapshot_info) info = {0};
	bool child;

	TRY(need(c, j, j->key, &info));
	TRY(sql_exists(
		c, &child, "SELECT 1 FROM snapshots WHERE parent=?1", "i", (int64_t)info.id));
	if (child)
		return err_new(
			ERR_PRECONDITION, "cannot remove snapshot with child: failed precondition");
	meta_count_deletion(c);
	return drop_row(c, j, j->key);
}

struct err *snapshots_remove(
	struct meta *m, const struct scope *s, const char *snapshotter, const char *key)
{
	struct job j = {.scope = s, .snapshotter = snapshotter, .key = key};

	TRY(scope_check(s));
	TRY(meta_update(m, DURABLE, do_remove, &j));
	meta_announce(m, &(struct change){.kind = CHANGE_SNAPSHOT_REMOVE,
				 .ns = s->ns,
				 .id = key,
				 .snapshotter = snapshotter});
	return NULL;
}

/* --- files --- */

static struct err *do_stale(struct conn *c, void *arg)
{
	struct job *j = arg;
	autostmt st = NULL;
	bool row;

	TRY(sql_start(c, &st, "SELECT id FROM stale_snapshots WHERE snapshotter=?1", "s",
		j->snapshotter));
	for (;;) {
		TRY(sql_row(c, st, &row));
		if (!row)
			return NULL;
		GROW(j->ids->items, j->ids->n, j->ids->cap);
		j->ids->items[j->ids->n++] = (uint64_t)sqlite3_column_int64(st, 0);
	}
}

struct err *snapshots_stale(struct meta *m, const char *snapshotter, struct snapshot_ids *ret)
{
	autoval(snapshot_ids) ids = {0};
	struct job j = {.snapshotter = snapshotter, .ids = &ids};

	TRY(meta_read(m, false, do_stale, &j));
	*ret = ids;
	ids = (struct snapshot_ids){0};
	return NULL;
}

static struct err *do_forget(struct conn *c, void *arg)
{
	struct job *j = arg;

	return sql_run(c, "DELETE FROM stale_snapshots WHERE snapshotter=?1 AND id=?2", "si",
		j->snapshotter, (int64_t)j->id);
}

struct err *snapshots_forget(struct meta *m, const char *snapshotter, uint64_t id)
{
	struct job j = {.snapshotter = snapshotter, .id = id};

	return meta_write(m, RELAXED, do_forget, &j);
}

static struct err *do_known(struct conn *c, void *arg)
{
	struct job *j = arg;

	return sql_exists(c, &j->found, "SELECT 1 FROM snapshots WHERE id=?1 AND snapshotter=?2",
		"is", (int64_t)j->id, j->snapshotter);
}

struct err *snapshots_known(struct meta *m, const char *snapshotter, uint64_t id, bool *ret)
{
	struct job j = {.snapshotter = snapshotter, .id = id};

	TRY(meta_read(m, false, do_known, &j));
	*ret = j.found;
	return NULL;
}
