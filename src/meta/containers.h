// SPDX-License-Identifier: Apache-2.0
/* Container records: what a container is made of; whether it runs is runtime/'s business. */
#pragma once

#include "base/any.h"
#include "meta/db.h"
#include "meta/extensions.h"

struct container {
	char *id;
	struct strmap labels;
	char *image;
	char *runtime; /* "io.containerd.runc.v2" */
	struct any runtime_options;
	struct any spec;
	char *snapshotter, *snapshot_key;
	char *sandbox;
	struct extensions extensions;
	struct timestamp created_at, updated_at;
};

struct container_list {
	struct container **items;
	size_t n, cap;
};

struct container *container_new(void);
void container_free(struct container *c);
DEFINE_AUTOPTR(container, container_free);
void container_list_done(struct container_list *l);
DEFINE_AUTOVAL(container_list, container_list_done);

CHECKED struct err *containers_get(
	struct meta *m, const struct scope *s, const char *id, struct container **ret);
/* containerd's filter fields: id, image, runtime.name, sandbox, snapshotter?, labels.*. */
CHECKED struct err *containers_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct container_list *ret);
/* Checks what containerd checks (id, labels, runtime name and spec required, snapshotter with a
 * key). `ret` is the record as stored, with its times. */
CHECKED struct err *containers_create(
	struct meta *m, const struct scope *s, const struct container *c, struct container **ret);
/* Field paths as in containerd's UpdateContainer ("labels", "labels.x", "spec", "extensions",
 * "extensions.x", "image", "snapshotkey", ...); none: everything that may change, and a change of
 * image, snapshotter, key or runtime name is refused as containerd does. */
CHECKED struct err *containers_update(struct meta *m, const struct scope *s,
	const struct container *c, char *const *paths, size_t n_paths, struct container **ret);
CHECKED struct err *containers_delete(struct meta *m, const struct scope *s, const char *id);
