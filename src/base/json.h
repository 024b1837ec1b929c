// SPDX-License-Identifier: Apache-2.0
/* json-c with bounds: foreign documents are limited in size and depth before they are parsed. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_DEPTH_MAX 64
#define JSON_COST_MAX ((size_t)128 << 20) /* bytes of memory that a document may turn into */

static inline void json_put(struct json_object *o)
{
	json_object_put(o);
}
DEFINE_AUTOPTR(json_object, json_put);

/* One whole document, nothing but white space behind it. ERR_INVALID says where it went wrong. The
 * caller has bounded len. */
CHECKED struct err *json_parse(const char *text, size_t len, struct json_object **ret);
/* Borrowed; NULL when absent or of another type. `path` is "a.b.c". */
struct json_object *json_find(struct json_object *o, const char *path);
const char *json_find_string(struct json_object *o, const char *path);
/* Writes a string with its quotes as Go does, HTML's special characters escaped. False when the
 * buffer is full. */
CHECKED bool json_string(const char *s, struct buf *b);
