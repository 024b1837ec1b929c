// SPDX-License-Identifier: Apache-2.0
/*
 * TOML 1.0 (https://toml.io/en/v1.0.0) read into a tree that remembers lines. Bounded: a document of
 * at most TOML_MAX bytes, nesting of at most TOML_DEPTH.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define TOML_MAX ((size_t)4 << 20)
#define TOML_DEPTH 32

enum toml_type { TOML_TABLE, TOML_ARRAY, TOML_STRING, TOML_INT, TOML_FLOAT, TOML_BOOL, TOML_DATE };

struct toml {
	enum toml_type type;
	int line;   /* where it was defined */
	char *key;  /* its name in the table it is in; NULL in arrays and for the root */
	char *text; /* strings and dates */
	int64_t integer;
	double real;
	bool boolean;
	struct toml **items; /* of tables and arrays, owned */
	size_t n, cap;
	/* how a table came to be, which decides what may still be added to it */
	bool defined, dotted, is_inline, of_tables;
};

/* ERR_INVALID "<file>:<line>: what is wrong". */
CHECKED struct err *toml_parse(const char *file, const char *text, size_t len, struct toml **ret);
void toml_free(struct toml *t);
DEFINE_AUTOPTR(toml, toml_free);
/* The member of a table, or NULL. */
struct toml *toml_get(const struct toml *table, const char *key);
const char *toml_type_name(enum toml_type type); /* "a string", "an integer", ... */
