// SPDX-License-Identifier: Apache-2.0
/* Members of foreign JSON objects, with their types checked. null counts as absent. */
#pragma once

#include "base/json.h"
#include "base/strmap.h"
#include "base/strv.h"

/* A NULL object has no members. All give ERR_INVALID naming the key for a value of another type, and for text with a NUL. */

/* "" when absent; owned by the caller. */
CHECKED struct err *field_string(struct json_object *o, const char *key, char **ret);
/* NULL when absent; borrowed. */
CHECKED struct err *field_object(struct json_object *o, const char *key, struct json_object **ret);
CHECKED struct err *field_array(struct json_object *o, const char *key, struct json_object **ret);
/* Texts are added to `ret`; nothing when absent. */
CHECKED struct err *field_strings(struct json_object *o, const char *key, struct strv *ret);
CHECKED struct err *field_string_map(struct json_object *o, const char *key, struct strmap *ret);
/* A size or count, 0 to INT64_MAX; ERR_INVALID when absent. */
CHECKED struct err *field_size(struct json_object *o, const char *key, int64_t *ret);
