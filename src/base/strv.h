// SPDX-License-Identifier: Apache-2.0
/* A list of strings, owned. `items` is NULL-terminated once anything was added. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

struct strv {
	char **items;
	size_t n, cap;
};

#define STRV_INIT ((struct strv){0})

void strv_done(struct strv *v);
DEFINE_AUTOVAL(strv, strv_done);
void strv_add(struct strv *v, const char *s);
void strv_add_take(struct strv *v, char *take_s);
void strv_addf(struct strv *v, const char *fmt, ...) PRINTF(2, 3);
void strv_add_all(struct strv *v, const struct strv *from);
bool strv_has(const struct strv *v, const char *s);
void strv_remove_at(struct strv *v, size_t i);
/* Split at each separator; an empty text gives an empty list. */
void strv_split(struct strv *v, const char *s, char separator);
char *strv_join(const struct strv *v, const char *separator);
void strv_sort(struct strv *v);
/* NULL-terminated view for exec and friends, never NULL; owned by the list. */
char **strv_argv(struct strv *v);

static inline bool str_starts(const char *s, const char *prefix)
{
	return __builtin_strncmp(s, prefix, __builtin_strlen(prefix)) == 0;
}
bool str_ends(const char *s, const char *suffix);
static inline bool str_eq(const char *a, const char *b)
{
	return a == b || (a && b && __builtin_strcmp(a, b) == 0);
}
static inline const char *str_or(const char *s, const char *otherwise)
{
	return s ? s : otherwise;
}
static inline bool str_empty(const char *s)
{
	return !s || !*s;
}
