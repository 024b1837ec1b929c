// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

#define FIRST_CHUNK ((size_t)1024)
#define LARGEST_CHUNK ((size_t)64 * 1024)

struct chunk {
	struct chunk *next;
	size_t size, used;
	_Alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct chunk *chunks;
	size_t next_size;
	size_t used;
};

struct arena *arena_new(void)
{
	struct arena *a = NEW(struct arena);

	a->next_size = FIRST_CHUNK;
	return a;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	while (a->chunks) {
		struct chunk *c = a->chunks;

		a->chunks = c->next;
		free(c);
	}
	free(a);
}

static struct chunk *chunk_new(size_t size)
{
	struct chunk *c;

	if (size > SIZE_MAX - sizeof(*c))
		abort();
	c = xmalloc(sizeof(*c) + size);
	c->size = size;
	c->used = 0;
	return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct chunk *c = a->chunks;
	void *p;

	if (size > SIZE_MAX - align)
		abort();
	size = (size + align - 1) & ~(align - 1);
	a->used += size;
	if (!c || c->size - c->used < size) {
		struct chunk *fresh = chunk_new(MAX(size, a->next_size));

		a->next_size = MIN(a->next_size * 2, LARGEST_CHUNK);
		/* A chunk made for one large object goes behind the current one. */
		if (c && fresh->size == size && size > c->size - c->used && size >= LARGEST_CHUNK) {
			fresh->next = c->next;
			c->next = fresh;
		} else {
			fresh->next = c;
			a->chunks = fresh;
		}
		c = fresh;
	}
	p = c->data + c->used;
	c->used += size;
	memset(p, 0, size);
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		abort();
	return arena_alloc(a, total);
}

void *arena_memdup(struct arena *a, const void *p, size_t size)
{
	void *copy = arena_alloc(a, size);

	if (size)
		memcpy(copy, p, size);
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_memdup(a, s, strlen(s) + 1) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = arena_alloc(a, len + 1);

	memcpy(copy, s, len);
	return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	autofree char *text = NULL;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return arena_strdup(a, text);
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}
