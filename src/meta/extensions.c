// SPDX-License-Identifier: Apache-2.0
#include "meta/extensions.h"

#include <string.h>

#include "base/alloc.h"
#include "meta/internal.h"

#define PATH "extensions"

static void item_done(struct extension *x)
{
	free(x->name);
	any_done(&x->value);
}

void extensions_done(struct extensions *x)
{
	for (size_t i = 0; i < x->n; i++)
		item_done(&x->items[i]);
	free(x->items);
	*x = (struct extensions){0};
}

void extensions_set(struct extensions *x, const char *name, const struct any *value)
{
	size_t at = 0;

	while (at < x->n && strcmp(x->items[at].name, name) < 0)
		at++;
	if (at == x->n || strcmp(x->items[at].name, name) != 0) {
		x->items = xreallocarray(x->items, x->n + 1, sizeof(*x->items));
		memmove(x->items + at + 1, x->items + at, (x->n++ - at) * sizeof(*x->items));
		x->items[at] = (struct extension){.name = xstrdup(name)};
	}
	any_copy(&x->items[at].value, value);
}

const struct any *extensions_find(const struct extensions *x, const char *name)
{
	for (size_t i = 0; i < x->n; i++)
		if (strcmp(x->items[i].name, name) == 0)
			return &x->items[i].value;
	return NULL;
}

static void extensions_remove(struct extensions *x, const char *name)
{
	for (size_t i = 0; i < x->n; i++) {
		if (strcmp(x->items[i].name, name) != 0)
			continue;
		item_done(&x->items[i]);
		memmove(x->items + i, x->items + i + 1, (--x->n - i) * sizeof(*x->items));
		return;
	}
}

void extensions_copy(struct extensions *to, const struct extensions *from)
{
	extensions_done(to);
	for (size_t i = 0; i < from->n; i++)
		extensions_set(to, from->items[i].name, &from->items[i].value);
}

bool extensions_apply_path(struct extensions *to, const struct extensions *from, const char *path)
{
	const struct any *value;

	if (strcmp(path, PATH) == 0) {
		extensions_copy(to, from);
		return true;
	}
	if (!str_starts(path, PATH "."))
		return false;
	path += strlen(PATH ".");
	value = extensions_find(from, path);
	if (value)
		extensions_set(to, path, value);
	else
		extensions_remove(to, path);
	return true;
}

/* --- in one column --- */

/* One after the other: name, type URL (both with their NUL), length as eight bytes, value. */
void pack_extensions(struct buf *to, const struct extensions *x)
{
	for (size_t i = 0; i < x->n; i++) {
		const struct extension *e = &x->items[i];
		uint64_t len = e->value.len;

		if (!e->value.type_url)
			continue;
		if (!buf_append(to, e->name, strlen(e->name) + 1) ||
			!buf_append(to, e->value.type_url, strlen(e->value.type_url) + 1) ||
			!buf_append(to, &len, sizeof(len)) || !buf_append(to, e->value.value, len))
			abort(); /* requests are far smaller than the buffer's maximum */
	}
}

static struct err *malformed(void)
{
	return err_new(ERR_DATA_LOSS, "malformed extensions in the metadata database");
}

struct err *unpack_extensions(sqlite3_stmt *st, int column, struct extensions *ret)
{
	const char *p = sqlite3_column_blob(st, column);
	size_t left = (size_t)sqlite3_column_bytes(st, column);

	while (left > 0) {
		const char *type = memchr(p, '\0', left);
		const char *end =
			type ? memchr(type + 1, '\0', left - (size_t)(type + 1 - p)) : NULL;
		autoval(any) value = ANY_INIT;
		uint64_t len;

		if (!end || left - (size_t)(end + 1 - p) < sizeof(len))
			return malformed();
		memcpy(&len, end + 1, sizeof(len));
		end += 1 + sizeof(len);
		if (len > left - (size_t)(end - p))
			return malformed();
		any_set(&value, type + 1, end, len);
		extensions_set(ret, p, &value);
		left -= (size_t)(end - p) + len;
		p = end + len;
	}
	return NULL;
}
