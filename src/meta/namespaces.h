// SPDX-License-Identifier: Apache-2.0
/* Namespaces: containers, images, content and snapshots of different users do not meet. */
#pragma once

#include "meta/db.h"

struct namespace_info {
	char *name;
	struct strmap labels;
};

struct namespace_list {
	struct namespace_info *items;
	size_t n, cap;
};

void namespace_info_done(struct namespace_info *n);
DEFINE_AUTOVAL(namespace_info, namespace_info_done);
void namespace_list_done(struct namespace_list *l);
DEFINE_AUTOVAL(namespace_list, namespace_list_done);

/* One that is not there has no labels, which is no error, as in containerd. */
CHECKED struct err *namespace_get(struct meta *m, const char *name, struct namespace_info *ret);
CHECKED struct err *namespace_list_all(struct meta *m, struct namespace_list *ret);
CHECKED struct err *namespace_create(struct meta *m, const char *name, const struct strmap *labels);
/* Sets the labels named; an empty value removes one. With `replace`, all others are removed first. A
 * namespace that was not there comes to be, as in containerd. `ret` (may be NULL) is what it is
 * now. */
CHECKED struct err *namespace_update(struct meta *m, const char *name, const struct strmap *labels,
	bool replace, struct namespace_info *ret);
/* ERR_PRECONDITION while anything is in it, with containerd's words naming what. */
CHECKED struct err *namespace_delete(struct meta *m, const char *name);
