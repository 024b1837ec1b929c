// SPDX-License-Identifier: Apache-2.0
#include "oci/spec-internal.h"

#include <string.h>

#include "base/alloc.h"

static struct json_object *child(struct json_object *o, const char *key, json_type type)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, key, &value);
	if (json_object_is_type(value, type))
		return value;
	value = type == json_type_array ? json_object_new_array() : json_object_new_object();
	json_object_object_add(o, key, value);
	return value;
}

/* Walk down to the object that holds the last component, which is returned in `ret_last`. */
static struct json_object *descend(struct json_object *o, const char *path, const char **ret_last)
{
	for (;;) {
		const char *dot = strchr(path, '.');
		autofree char *key = NULL;

		if (!dot)
			break;
		key = xstrndup(path, (size_t)(dot - path));
		o = child(o, key, json_type_object);
		path = dot + 1;
	}
	*ret_last = path;
	return o;
}

struct json_object *spec_object(struct json_object *spec, const char *path)
{
	const char *last;
	struct json_object *parent = descend(spec, path, &last);

	return child(parent, last, json_type_object);
}

struct json_object *spec_array(struct json_object *spec, const char *path)
{
	const char *last;
	struct json_object *parent = descend(spec, path, &last);

	return child(parent, last, json_type_array);
}

void spec_delete(struct json_object *spec, const char *path)
{
	const char *last;
	struct json_object *parent = descend(spec, path, &last);

	json_object_object_del(parent, last);
}

void spec_put_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

void spec_put_int(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

struct json_object *spec_strings(const struct strv *v)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < v->n; i++)
		json_object_array_add(array, json_object_new_string(v->items[i]));
	return array;
}

void spec_array_remove(struct json_object *array, size_t i)
{
	json_object_array_del_idx(array, i, 1);
}

ssize_t spec_array_find(struct json_object *array, const char *key, const char *value)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		const char *text = json_find_string(json_object_array_get_idx(array, i), key);

		if (text && strcmp(text, value) == 0)
			return (ssize_t)i;
	}
	return -1;
}

bool spec_array_has(struct json_object *array, const char *text)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (json_object_is_type(item, json_type_string) &&
			strcmp(json_object_get_string(item), text) == 0)
			return true;
	}
	return false;
}
