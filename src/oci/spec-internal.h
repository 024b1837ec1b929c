// SPDX-License-Identifier: Apache-2.0
/* Walking a spec's DOM, made as one goes. */
#pragma once

#include "oci/spec.h"

/* The object at "a.b.c"; what is missing or of another type is created. Borrowed. */
struct json_object *spec_object(struct json_object *spec, const char *path);
/* The same for an array, which is the last component. */
struct json_object *spec_array(struct json_object *spec, const char *path);
/* Remove the member at "a.b.c". */
void spec_delete(struct json_object *spec, const char *path);
void spec_put_string(struct json_object *o, const char *key, const char *value);
void spec_put_int(struct json_object *o, const char *key, int64_t value);
struct json_object *spec_strings(const struct strv *v);
/* Take the i-th element out of an array. */
void spec_array_remove(struct json_object *array, size_t i);
/* The index of the first object in the array whose string member `key` is `value`; -1 for none. */
ssize_t spec_array_find(struct json_object *array, const char *key, const char *value);
/* Whether an array holds the text. */
bool spec_array_has(struct json_object *array, const char *text);
