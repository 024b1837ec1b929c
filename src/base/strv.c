// SPDX-License-Identifier: Apache-2.0
#include "base/strv.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"

void strv_done(struct strv *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->items[i]);
	free(v->items);
	*v = STRV_INIT;
}

void strv_add_take(struct strv *v, char *take_s)
{
	if (v->n + 1 >= v->cap) {
		v->cap = v->cap ? v->cap * 2 : 4;
		v->items = xreallocarray(v->items, v->cap, sizeof(*v->items));
	}
	v->items[v->n++] = take_s;
	v->items[v->n] = NULL;
}

void strv_add(struct strv *v, const char *s)
{
	strv_add_take(v, xstrdup(s));
}

void strv_addf(struct strv *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strv_add_take(v, xvasprintf(fmt, ap));
	va_end(ap);
}

void strv_add_all(struct strv *v, const struct strv *from)
{
	for (size_t i = 0; i < from->n; i++)
		strv_add(v, from->items[i]);
}

bool strv_has(const struct strv *v, const char *s)
{
	for (size_t i = 0; i < v->n; i++) {
		if (strcmp(v->items[i], s) == 0)
			return true;
	}
	return false;
}

void strv_remove_at(struct strv *v, size_t i)
{
	free(v->items[i]);
	memmove(v->items + i, v->items + i + 1, (v->n - i) * sizeof(*v->items));
	v->n--;
}

void strv_split(struct strv *v, const char *s, char separator)
{
	while (*s) {
		const char *end = strchrnul(s, separator);

		strv_add_take(v, xstrndup(s, (size_t)(end - s)));
		if (!*end)
			return;
		s = end + 1;
		if (!*s)
			strv_add(v, "");
	}
}

char *strv_join(const struct strv *v, const char *separator)
{
	size_t len = 1, sep = strlen(separator);
	char *text, *at;

	for (size_t i = 0; i < v->n; i++)
		len += strlen(v->items[i]) + sep;
	at = text = xmalloc(len);
	for (size_t i = 0; i < v->n; i++) {
		if (i)
			at = stpcpy(at, separator);
		at = stpcpy(at, v->items[i]);
	}
	*at = '\0';
	return text;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *v)
{
	if (v->n)
		qsort(v->items, v->n, sizeof(*v->items), compare);
}

char **strv_argv(struct strv *v)
{
	if (!v->items) {
		v->cap = 4;
		v->items = xcalloc(v->cap, sizeof(*v->items));
	}
	return v->items;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t len = strlen(s), tail = strlen(suffix);

	return len >= tail && strcmp(s + len - tail, suffix) == 0;
}
