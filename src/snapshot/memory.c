// SPDX-License-Identifier: Apache-2.0
/* A driver without files, for tests of what stands above: it remembers ids and mounts nothing. */
#include "base/alloc.h"
#include "base/map.h"
#include "base/strv.h"
#include "base/thread.h"
#include "snapshot/driver.h"

#include <stdio.h>

struct memory {
	struct snapshot_driver base;
	struct lock lock;
	struct map ids; /* decimal id -> the driver itself; guarded by lock */
};

static struct memory *to_memory(struct snapshot_driver *d)
{
	return container_of(d, struct memory, base);
}

static void id_text(uint64_t id, char ret[static 24])
{
	snprintf(ret, 24, "%llu", (unsigned long long)id);
}

static struct err *check(struct memory *m, uint64_t id)
{
	char key[24];

	id_text(id, key);
	LOCKED(&m->lock);
	return map_get(&m->ids, key) ? NULL : err_new(ERR_NOT_FOUND, "no files of %s", key);
}

static struct err *memory_create(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	struct memory *m = to_memory(d);
	char key[24];

	for (size_t i = 0; i < c->n_parents; i++)
		TRY(check(m, c->parents[i]));
	id_text(c->info.id, key);
	LOCKED(&m->lock);
	map_set(&m->ids, key, m);
	return NULL;
}

static struct err *memory_mounts(
	struct snapshot_driver *d, const struct snapshot_chain *c, struct mounts *ret)
{
	char key[24];

	TRY(check(to_memory(d), c->info.id));
	id_text(c->info.id, key);
	mounts_add(ret, "memory", key, "");
	return NULL;
}

static struct err *memory_usage(struct snapshot_driver *d, const struct snapshot_chain *c,
	int64_t *ret_bytes, int64_t *ret_inodes)
{
	TRY(check(to_memory(d), c->info.id));
	*ret_bytes = 0;
	*ret_inodes = 0;
	return NULL;
}

static struct err *memory_remove(struct snapshot_driver *d, uint64_t id)
{
	struct memory *m = to_memory(d);
	char key[24];

	id_text(id, key);
	LOCKED(&m->lock);
	map_del(&m->ids, key);
	return NULL;
}

static struct err *memory_walk(
	struct snapshot_driver *d, struct err *(*visit)(uint64_t id, void *arg), void *arg)
{
	struct memory *m = to_memory(d);
	autoval(strv) ids = STRV_INIT;
	const char *key;

	lock_take(&m->lock);
	for (size_t i = 0; map_next(&m->ids, &i, &key, NULL);)
		strv_add(&ids, key);
	lock_drop(&m->lock);
	for (size_t i = 0; i < ids.n; i++)
		TRY(visit(strtoull(ids.items[i], NULL, 10), arg));
	return NULL;
}

static void memory_destroy(struct snapshot_driver *d)
{
	struct memory *m = to_memory(d);

	map_done(&m->ids, NULL);
	lock_done(&m->lock);
	free(d->root);
	free(m);
}

static const struct snapshot_driver_ops memory_ops = {
	.name = "memory",
	.create = memory_create,
	.mounts = memory_mounts,
	.usage = memory_usage,
	.remove = memory_remove,
	.walk = memory_walk,
	.destroy = memory_destroy,
};

struct err *memory_driver_open(struct snapshot_driver **ret)
{
	struct memory *m = NEW(struct memory);

	m->base.ops = &memory_ops;
	m->base.root = xstrdup("");
	lock_init(&m->lock);
	*ret = &m->base;
	return NULL;
}
