// SPDX-License-Identifier: Apache-2.0
/* Sandbox records: what a sandbox is made of; whether it runs is its controller's business. */
#pragma once

#include "base/any.h"
#include "meta/db.h"
#include "meta/extensions.h"

struct sandbox {
	char *id;
	struct strmap labels;
	char *runtime; /* "io.containerd.runc.v2" */
	struct any runtime_options;
	struct any spec;
	char *sandboxer; /* the name of its controller */
	struct extensions extensions;
	struct timestamp created_at, updated_at;
};

struct sandbox_list {
	struct sandbox **items;
	size_t n, cap;
};

struct sandbox *sandbox_new(void);
void sandbox_free(struct sandbox *s);
DEFINE_AUTOPTR(sandbox, sandbox_free);
void sandbox_list_done(struct sandbox_list *l);
DEFINE_AUTOVAL(sandbox_list, sandbox_list_done);

CHECKED struct err *sandboxes_get(
	struct meta *m, const struct scope *s, const char *id, struct sandbox **ret);
/* Filter fields: id, labels.*. */
CHECKED struct err *sandboxes_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct sandbox_list *ret);
/* As containerd, checks the id and nothing else. `ret` is the record as stored, with its times. */
CHECKED struct err *sandboxes_create(
	struct meta *m, const struct scope *s, const struct sandbox *sandbox, struct sandbox **ret);
/* Paths: "labels", "labels.x", "extensions", "extensions.x", "spec", "runtime"; none: all of these,
 * and another runtime is refused. */
CHECKED struct err *sandboxes_update(struct meta *m, const struct scope *s,
	const struct sandbox *sandbox, char *const *paths, size_t n_paths, struct sandbox **ret);
CHECKED struct err *sandboxes_delete(struct meta *m, const struct scope *s, const char *id);
