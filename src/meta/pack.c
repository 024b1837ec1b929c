// SPDX-License-Identifier: Apache-2.0
/* Labels: their packed form, update masks, and filters over them. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "meta/internal.h"

void pack_labels(struct buf *to, const struct strmap *labels)
{
	for (size_t i = 0; i < labels->n; i++) {
		const struct strmap_entry *e = &labels->entries[i];

		if (!*e->value)
			continue;
		if (!buf_append(to, e->key, strlen(e->key) + 1) ||
			!buf_append(to, e->value, strlen(e->value) + 1))
			abort(); /* requests are far smaller than the buffer's maximum */
	}
}

struct err *unpack_labels(sqlite3_stmt *st, int column, struct strmap *ret)
{
	const char *p = sqlite3_column_blob(st, column);
	size_t left = (size_t)sqlite3_column_bytes(st, column);

	while (left > 0) {
		const char *value = memchr(p, '\0', left);
		const char *end =
			value ? memchr(value + 1, '\0', left - (size_t)(value + 1 - p)) : NULL;

		if (!end)
			return err_new(ERR_DATA_LOSS, "malformed labels in the metadata database");
		strmap_set(ret, p, value + 1);
		left -= (size_t)(end + 1 - p);
		p = end + 1;
	}
	return NULL;
}

void unpack_any(sqlite3_stmt *st, int column, struct any *ret)
{
	if (sqlite3_column_type(st, column) != SQLITE_NULL)
		any_set(ret, sql_peek(st, column), sqlite3_column_blob(st, column + 1),
			(size_t)sqlite3_column_bytes(st, column + 1));
}

void labels_drop_empty(struct strmap *labels)
{
	size_t n = 0;

	for (size_t i = 0; i < labels->n; i++) {
		struct strmap_entry e = labels->entries[i];

		if (*e.value) {
			labels->entries[n++] = e;
			continue;
		}
		free(e.key);
		free(e.value);
	}
	labels->n = n;
}

bool apply_map_path(
	struct strmap *to, const struct strmap *from, const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	const char *value;

	if (strncmp(path, prefix, len) != 0 || (path[len] && path[len] != '.'))
		return false;
	if (!path[len]) {
		strmap_copy(to, from);
		return true;
	}
	value = strmap_get(from, path + len + 1);
	strmap_set(to, path + len + 1, value ?: "");
	return true;
}

/* Whether the parts, joined with dots, are the key. */
static bool joined_is(char *const *path, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(path[i]);

		if ((i > 0 && *key++ != '.') || strncmp(key, path[i], len) != 0)
			return false;
		key += len;
	}
	return *key == '\0';
}

const char *field_label(const struct strmap *labels, char *const *path, size_t n, bool *ret_present)
{
	*ret_present = false;
	for (size_t i = 0; i < labels->n; i++) {
		if (joined_is(path, n, labels->entries[i].key)) {
			*ret_present = true;
			return labels->entries[i].value;
		}
	}
	return NULL;
}

const char *field_text(const char *text, bool *ret_present)
{
	*ret_present = text && *text;
	return text;
}

struct err *parse_filters(char *const *filters, size_t n, struct filter **ret)
{
	struct err *e = filter_parse(filters, n, ret);
	struct err *wrapped;

	if (!e)
		return NULL;
	wrapped = err_new(ERR_INVALID, "%s: invalid argument", err_message(e));
	err_free(e);
	return wrapped;
}
