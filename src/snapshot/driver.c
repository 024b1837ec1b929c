// SPDX-License-Identifier: Apache-2.0
#include "snapshot/driver.h"

#include "base/alloc.h"

void snapshot_driver_close(struct snapshot_driver *d)
{
	if (d)
		d->ops->destroy(d);
}

const char *snapshot_driver_name(const struct snapshot_driver *d)
{
	return d->ops->name;
}

static struct err *named(const struct snapshot_driver *d, uint64_t id, struct err *take_e)
{
	return err_wrap(take_e, "%s snapshot %llu", d->ops->name, (unsigned long long)id);
}

struct err *snapshot_driver_create(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	return named(d, c->info.id, d->ops->create(d, c));
}

struct err *snapshot_driver_mounts(
	struct snapshot_driver *d, const struct snapshot_chain *c, struct mounts *ret)
{
	return named(d, c->info.id, d->ops->mounts(d, c, ret));
}

struct err *snapshot_driver_usage(struct snapshot_driver *d, const struct snapshot_chain *c,
	int64_t *ret_bytes, int64_t *ret_inodes)
{
	return named(d, c->info.id, d->ops->usage(d, c, ret_bytes, ret_inodes));
}

struct err *snapshot_driver_commit(struct snapshot_driver *d, const struct snapshot_chain *c)
{
	return d->ops->commit ? named(d, c->info.id, d->ops->commit(d, c)) : NULL;
}

void snapshot_driver_labels(struct snapshot_driver *d, uint64_t id, struct strmap *labels)
{
	if (d->shows_labels)
		d->ops->labels(d, id, labels);
}

struct err *snapshot_driver_remove(struct snapshot_driver *d, uint64_t id)
{
	return named(d, id, d->ops->remove(d, id));
}

struct err *snapshot_driver_walk(
	struct snapshot_driver *d, struct err *(*visit)(uint64_t id, void *arg), void *arg)
{
	return d->ops->walk(d, visit, arg);
}
