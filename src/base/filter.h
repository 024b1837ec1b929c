// SPDX-License-Identifier: Apache-2.0
/*
 * containerd's filter language: `fieldpath[==|!=|~=value]`, comma is AND, several expressions are
 * OR, path parts and values may be quoted; a bare path means "present". See containerd's
 * pkg/filters for the grammar; errors are ERR_INVALID.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define FILTER_TEXT_MAX (64 * 1024) /* bytes of all expressions of one request */

struct filter;

/* The value at a field path of an object, or NULL when it is not there. `*ret_present` may be true
 * with an empty value. The text must live until the next call for the same object. */
typedef const char *(*filter_field_fn)(
	void *object, char *const *path, size_t n_path, bool *ret_present);

/* No expressions match everything. */
CHECKED struct err *filter_parse(char *const *exprs, size_t n, struct filter **ret);
void filter_free(struct filter *f);
DEFINE_AUTOPTR(filter, filter_free);
bool filter_match(const struct filter *f, filter_field_fn field, void *object);
