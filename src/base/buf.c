// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

void buf_done(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

bool buf_reserve(struct buf *b, size_t len)
{
	size_t want, cap;

	if (len > b->max - MIN(b->len, b->max))
		return false;
	want = b->len + len + 1;
	if (want <= b->cap)
		return true;
	cap = MAX(b->cap * 2, (size_t)64);
	cap = MIN(MAX(cap, want), b->max + 1);
	b->data = xrealloc(b->data, cap);
	b->cap = cap;
	return true;
}

bool buf_append(struct buf *b, const void *data, size_t len)
{
	if (!buf_reserve(b, len))
		return false;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return true;
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	autofree char *text = NULL;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return buf_append(b, text, strlen(text));
}

void buf_consume(struct buf *b, size_t len)
{
	len = MIN(len, b->len);
	if (!len)
		return;
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
	b->data[b->len] = '\0';
}

const char *buf_str(const struct buf *b)
{
	return b->data ? (const char *)b->data : "";
}

char *buf_take(struct buf *b, size_t *ret_len)
{
	char *data = b->data ? (char *)b->data : xcalloc(1, 1);

	if (ret_len)
		*ret_len = b->len;
	b->data = NULL;
	b->len = b->cap = 0;
	return data;
}
