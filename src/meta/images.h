// SPDX-License-Identifier: Apache-2.0
/* Images: names for descriptors, the roots that keep content and snapshots alive. */
#pragma once

#include "meta/db.h"
#include "oci/descriptor.h"

struct image {
	char *name;
	struct strmap labels;
	struct descriptor target;
	struct timestamp created_at, updated_at;
};

struct image_list {
	struct image *items;
	size_t n, cap;
};

void image_done(struct image *i);
DEFINE_AUTOVAL(image, image_done);
void image_list_done(struct image_list *l);
DEFINE_AUTOVAL(image_list, image_list_done);

CHECKED struct err *images_get(
	struct meta *m, const struct scope *s, const char *name, struct image *ret);
/* Filter fields: name, target.digest, target.mediatype, labels.*, annotations.*. */
CHECKED struct err *images_list(struct meta *m, const struct scope *s, char *const *filters,
	size_t n_filters, struct image_list *ret);
/* `at` zero: now (a client may give a source date). */
CHECKED struct err *images_create(struct meta *m, const struct scope *s, const struct image *i,
	struct timestamp at, struct image *ret);
/* Paths: "labels", "labels.x", "target", "annotations", "annotations.x"; none: all of it. */
CHECKED struct err *images_update(struct meta *m, const struct scope *s, const struct image *i,
	char *const *paths, size_t n_paths, struct timestamp at, struct image *ret);
/* With `target_digest` (may be NULL), only while the image still has that target: ERR_NOT_FOUND
 * otherwise. */
CHECKED struct err *images_delete(
	struct meta *m, const struct scope *s, const char *name, const char *target_digest);
