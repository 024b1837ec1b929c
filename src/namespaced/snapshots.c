// SPDX-License-Identifier: Apache-2.0
#include "namespaced/snapshots.h"

#include <string.h>

#include "base/alloc.h"
#include "base/filter.h"

struct snapshots {
	struct meta *meta;
	/* Added before the first use, never removed: no lock. */
	struct snapshot_driver **drivers;
	size_t n, cap;
};

struct snapshots *snapshots_new(struct meta *meta)
{
	struct snapshots *s = NEW(struct snapshots);

	s->meta = meta;
	return s;
}

void snapshots_free(struct snapshots *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		snapshot_driver_close(s->drivers[i]);
	free(s->drivers);
	free(s);
}

static struct err *find_driver(
	struct snapshots *s, const char *snapshotter, struct snapshot_driver **ret)
{
	if (str_empty(snapshotter))
		return err_new(ERR_INVALID, "snapshotter argument missing: invalid argument");
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(snapshot_driver_name(s->drivers[i]), snapshotter) == 0) {
			*ret = s->drivers[i];
			return NULL;
		}
	}
	return err_new(ERR_INVALID, "snapshotter not loaded: %s: invalid argument", snapshotter);
}

/* --- files without rows --- */

static struct err *remove_files(struct snapshots *s, struct snapshot_driver *d, uint64_t id)
{
	TRY(snapshot_driver_remove(d, id));
	return snapshots_forget(s->meta, snapshot_driver_name(d), id);
}

/* One that fails does not keep the others; the first failure is returned. */
static struct err *cleanup(struct snapshots *s, struct snapshot_driver *d)
{
	autoval(snapshot_ids) ids = {0};
	struct err *first = NULL;

	TRY(snapshots_stale(s->meta, snapshot_driver_name(d), &ids));
	for (size_t i = 0; i < ids.n; i++) {
		struct err *e = remove_files(s, d, ids.items[i]);

		if (first)
			err_free(e);
		else
			first = e;
	}
	return first;
}

struct err *snapshot_cleanup(struct snapshots *s, const char *snapshotter)
{
	struct snapshot_driver *d = NULL;

	TRY(find_driver(s, snapshotter, &d));
	return cleanup(s, d);
}

struct err *snapshots_cleanup_all(struct snapshots *s)
{
	struct err *first = NULL;

	for (size_t i = 0; i < s->n; i++) {
		struct err *e = cleanup(s, s->drivers[i]);

		if (first)
			err_free(e);
		else
			first = e;
	}
	return first;
}

static struct err *add_id(uint64_t id, void *arg)
{
	struct snapshot_ids *ids = arg;

	GROW(ids->items, ids->n, ids->cap);
	ids->items[ids->n++] = id;
	return NULL;
}

/* Directories that no row knows: the row was never written, or the list of stale ones was lost. */
static struct err *remove_unknown(struct snapshots *s, struct snapshot_driver *d)
{
	autoval(snapshot_ids) ids = {0};

	TRY(snapshot_driver_walk(d, add_id, &ids));
	for (size_t i = 0; i < ids.n; i++) {
		bool known;

		TRY(snapshots_known(s->meta, snapshot_driver_name(d), ids.items[i], &known));
		if (!known)
			TRY(snapshot_driver_remove(d, ids.items[i]));
	}
	return NULL;
}

struct err *snapshots_add_driver(struct snapshots *s, struct snapshot_driver *take_driver)
{
	autoptr(snapshot_driver) d = take_driver;
	struct snapshot_driver *other = NULL;
	struct err *missing = find_driver(s, snapshot_driver_name(d), &other);

	if (!missing)
		return err_new(
			ERR_EXISTS, "snapshotter %s: already exists", snapshot_driver_name(d));
	err_free(missing);
	TRY(cleanup(s, d));
	TRY(remove_unknown(s, d));
	GROW(s->drivers, s->n, s->cap);
	s->drivers[s->n++] = TAKE(d);
	return NULL;
}

/* --- making --- */

static struct err *make_files(struct snapshots *s, struct snapshot_driver *d,
	const struct scope *scope, const struct snapshot_chain *chain, struct mounts *ret)
{
	TRY(snapshot_driver_create(d, chain));
	TRY(snapshot_driver_mounts(d, chain, ret));
	return snapshots_publish(s->meta, scope, snapshot_driver_name(d), chain->info.name);
}

/* Nothing of it was seen by anybody. What cannot be removed now is stale, for the next cleanup. */
static void undo(struct snapshots *s, struct snapshot_driver *d, const struct scope *scope,
	const struct snapshot_chain *chain)
{
	struct err *e =
		snapshots_unreserve(s->meta, scope, snapshot_driver_name(d), chain->info.name);

	if (!e)
		e = remove_files(s, d, chain->info.id);
	err_free(e);
}

static struct err *create(struct snapshots *s, const struct scope *scope, const char *snapshotter,
	const char *key, const char *parent, enum snapshot_kind kind, const struct strmap *labels,
	struct mounts *ret)
{
	autoval(snapshot_chain) chain = {0};
	autoval(mounts) mounts = MOUNTS_INIT;
	struct snapshot_driver *d = NULL;
	struct err *e;

	TRY(scope_check(scope));
	TRY(find_driver(s, snapshotter, &d));
	TRY(snapshots_reserve(s->meta, scope, snapshotter, key, parent, kind, labels, &chain));
	e = make_files(s, d, scope, &chain, &mounts);
	if (e) {
		undo(s, d, scope, &chain);
		return e;
	}
	*ret = mounts;
	mounts = MOUNTS_INIT;
	return NULL;
}

struct err *snapshot_prepare(struct snapshots *s, const struct scope *scope,
	const char *snapshotter, const char *key, const char *parent, const struct strmap *labels,
	struct mounts *ret)
{
	return create(s, scope, snapshotter, key, parent, SNAPSHOT_ACTIVE, labels, ret);
}

struct err *snapshot_view(struct snapshots *s, const struct scope *scope, const char *snapshotter,
	const char *key, const char *parent, const struct strmap *labels, struct mounts *ret)
{
	return create(s, scope, snapshotter, key, parent, SNAPSHOT_VIEW, labels, ret);
}

/* --- the rest --- */

struct err *snapshot_mounts(struct snapshots *s, const struct scope *scope, const char *snapshotter,
	const char *key, struct mounts *ret)
{
	autoval(snapshot_chain) chain = {0};
	autoval(mounts) mounts = MOUNTS_INIT;
	struct snapshot_driver *d = NULL;

	TRY(scope_check(scope));
	TRY(find_driver(s, snapshotter, &d));
	TRY(snapshots_get(s->meta, scope, snapshotter, key, &chain));
	if (chain.info.kind == SNAPSHOT_COMMITTED)
		return err_new(ERR_PRECONDITION,
			"requested snapshot %s not active or view: failed precondition", key);
	TRY(snapshot_driver_mounts(d, &chain, &mounts));
	*ret = mounts;
	mounts = MOUNTS_INIT;
	return NULL;
}

/* What the driver does for a commit; nothing when the row says that there can be none. */
static struct err *seal(struct snapshots *s, struct snapshot_driver *d, const struct scope *scope,
	const char *key, const char *name, int64_t *ret_bytes, int64_t *ret_inodes)
{
	autoval(snapshot_chain) chain = {0}, taken = {0};
	const char *snapshotter = snapshot_driver_name(d);
	struct err *free_name;

	TRY(snapshots_get(s->meta, scope, snapshotter, key, &chain));
	free_name = snapshots_get(s->meta, scope, snapshotter, name, &taken);
	if (!free_name || chain.info.kind != SNAPSHOT_ACTIVE) {
		err_free(free_name);
		return NULL;
	}
	err_free(free_name);
	TRY(snapshot_driver_usage(d, &chain, ret_bytes, ret_inodes));
	return snapshot_driver_commit(d, &chain);
}

struct err *snapshot_commit(struct snapshots *s, const struct scope *scope, const char *snapshotter,
	const char *key, const char *name, const char *parent, const struct strmap *labels)
{
	struct snapshot_driver *d = NULL;
	int64_t bytes = 0, inodes = 0;
	struct err *e;

	TRY(scope_check(scope));
	TRY(find_driver(s, snapshotter, &d));
	e = seal(s, d, scope, key, name, &bytes, &inodes);
	/* An unknown key is the row's to refuse, after a name that is taken. */
	if (e && !err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return snapshots_commit(
		s->meta, scope, snapshotter, key, name, parent, labels, bytes, inodes);
}

struct err *snapshot_remove(
	struct snapshots *s, const struct scope *scope, const char *snapshotter, const char *key)
{
	struct snapshot_driver *d = NULL;

	TRY(scope_check(scope));
	TRY(find_driver(s, snapshotter, &d));
	TRY(snapshots_remove(s->meta, scope, snapshotter, key));
	/* The snapshot is gone whether its files are or not; the collector tries again. */
	if (d->sync_remove)
		err_free(cleanup(s, d));
	return NULL;
}

struct err *snapshot_stat(struct snapshots *s, const struct scope *scope, const char *snapshotter,
	const char *key, struct snapshot_info *ret)
{
	autoval(snapshot_chain) chain = {0};
	struct snapshot_driver *d = NULL;

	TRY(scope_check(scope));
	TRY(find_driver(s, snapshotter, &d));
	TRY(snapshots_get(s->meta, scope, snapshotter, key, &chain));
	snapshot_driver_labels(d, chain.info.id, &chain.info.labels);
	*ret = chain.info;
	chain.info = (struct snapshot_info){0};
	return NULL;
}

struct err *snapshot_update(struct snapshots *s, const struct scope *scope, const char *snapshotter,
	const char *key, const struct strmap *labels, char *const *paths, size_t n_paths,
	struct snapshot_info *ret)
{
	struct snapshot_driver *d = NULL;

	TRY(scope_check(scope));
	TRY(find_driver(s, snapshotter, &d));
	TRY(snapshots_update(s->meta, scope, snapshotter, key, labels, paths, n_paths, ret));
	snapshot_driver_labels(d, ret->id, &ret->labels);
	return NULL;
}

struct err *snapshot_usage(struct snapshots *s, const struct scope *scope, const char *snapshotter,
	const char *key, int64_t *ret_bytes, int64_t *ret_inodes)
{
	autoval(snapshot_chain) chain = {0};
	struct snapshot_driver *d = NULL;

	TRY(scope_check(scope));
	TRY(find_driver(s, snapshotter, &d));
	TRY(snapshots_get(s->meta, scope, snapshotter, key, &chain));
	/* A view has nothing of its own. */
	if (chain.info.kind == SNAPSHOT_ACTIVE)
		return snapshot_driver_usage(d, &chain, ret_bytes, ret_inodes);
	*ret_bytes = chain.info.size;
	*ret_inodes = chain.info.inodes;
	return NULL;
}

/* What the driver shows can be filtered for as well. */
static struct err *walk_with_labels(struct snapshots *s, struct snapshot_driver *d,
	const struct scope *scope, const struct filter *filter, struct snapshot_list *ret)
{
	autoval(snapshot_list) all = {0};

	TRY(snapshots_list(s->meta, scope, snapshot_driver_name(d), NULL, 0, &all));
	for (size_t i = 0; i < all.n; i++) {
		struct snapshot_info *info = &all.items[i];

		snapshot_driver_labels(d, info->id, &info->labels);
		if (!filter_match(filter, snapshot_field, info))
			continue;
		GROW(ret->items, ret->n, ret->cap);
		ret->items[ret->n++] = *info;
		*info = (struct snapshot_info){0};
	}
	return NULL;
}

struct err *snapshot_walk(struct snapshots *s, const struct scope *scope, const char *snapshotter,
	char *const *filters, size_t n_filters, struct snapshot_list *ret)
{
	autoptr(filter) filter = NULL;
	struct snapshot_driver *d = NULL;

	TRY(scope_check(scope));
	TRY(find_driver(s, snapshotter, &d));
	if (!d->shows_labels)
		return snapshots_list(s->meta, scope, snapshotter, filters, n_filters, ret);
	TRY(filter_parse(filters, n_filters, &filter));
	return walk_with_labels(s, d, scope, filter, ret);
}
