// SPDX-License-Identifier: Apache-2.0
#include "base/strmap.h"

#include <string.h>

#include "base/alloc.h"
#include "base/strv.h"

void strmap_done(struct strmap *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->entries[i].key);
		free(m->entries[i].value);
	}
	free(m->entries);
	*m = STRMAP_INIT;
}

/* The place of the key, or where it would go. */
static size_t locate(const struct strmap *m, const char *key, bool *ret_found)
{
	size_t low = 0, high = m->n;

	*ret_found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(m->entries[mid].key, key);

		if (order == 0) {
			*ret_found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const char *strmap_get(const struct strmap *m, const char *key)
{
	bool found;
	size_t i = locate(m, key, &found);

	return found ? m->entries[i].value : NULL;
}

void strmap_set(struct strmap *m, const char *key, const char *value)
{
	bool found;
	size_t i = locate(m, key, &found);

	if (found) {
		free(m->entries[i].value);
		m->entries[i].value = xstrdup(value);
		return;
	}
	GROW(m->entries, m->n, m->cap);
	memmove(m->entries + i + 1, m->entries + i, (m->n - i) * sizeof(*m->entries));
	m->entries[i] = (struct strmap_entry){xstrdup(key), xstrdup(value)};
	m->n++;
}

bool strmap_del(struct strmap *m, const char *key)
{
	bool found;
	size_t i = locate(m, key, &found);

	if (!found)
		return false;
	free(m->entries[i].key);
	free(m->entries[i].value);
	memmove(m->entries + i, m->entries + i + 1, (m->n - i - 1) * sizeof(*m->entries));
	m->n--;
	return true;
}

void strmap_copy(struct strmap *to, const struct strmap *from)
{
	struct strmap copy = STRMAP_INIT;

	for (size_t i = 0; i < from->n; i++)
		strmap_set(&copy, from->entries[i].key, from->entries[i].value);
	strmap_done(to);
	*to = copy;
}

bool strmap_equal(const struct strmap *a, const struct strmap *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (!str_eq(a->entries[i].key, b->entries[i].key) ||
			!str_eq(a->entries[i].value, b->entries[i].value))
			return false;
	}
	return true;
}
