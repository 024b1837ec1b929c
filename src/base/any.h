// SPDX-License-Identifier: Apache-2.0
/* Bytes with the name of their type: google.protobuf.Any as the domain sees it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

struct any {
	char *type_url; /* NULL: absent */
	uint8_t *value;
	size_t len;
};

#define ANY_INIT ((struct any){0})

static inline void any_done(struct any *a)
{
	free(a->type_url);
	free(a->value);
	*a = ANY_INIT;
}
DEFINE_AUTOVAL(any, any_done);

/* Replaces what is in `to`; a NULL type_url makes it absent. */
static inline void any_set(struct any *to, const char *type_url, const void *value, size_t len)
{
	any_done(to);
	if (!type_url)
		return;
	to->type_url = xstrdup(type_url);
	to->value = xmemdup(value, len);
	to->len = len;
}

static inline void any_copy(struct any *to, const struct any *from)
{
	any_set(to, from->type_url, from->value, from->len);
}
