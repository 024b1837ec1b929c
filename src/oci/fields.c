// SPDX-License-Identifier: Apache-2.0
#include "oci/fields.h"

#include <string.h>

#include "base/alloc.h"

static struct err *typed(
	struct json_object *o, const char *key, json_type type, struct json_object **ret)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, key, &value);
	if (value && !json_object_is_type(value, type))
		return err_new(ERR_INVALID, "\"%s\" is %s where %s is due", key,
			json_type_to_name(json_object_get_type(value)), json_type_to_name(type));
	*ret = value;
	return NULL;
}

static struct err *text_of(struct json_object *value, const char *key, const char **ret)
{
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return err_new(ERR_INVALID, "\"%s\" has a member that is no text", key);
	text = json_object_get_string(value);
	if (strlen(text) != (size_t)json_object_get_string_len(value))
		return err_new(ERR_INVALID, "\"%s\" contains a NUL", key);
	*ret = text;
	return NULL;
}

struct err *field_string(struct json_object *o, const char *key, char **ret)
{
	struct json_object *value;
	const char *text = "";

	TRY(typed(o, key, json_type_string, &value));
	if (value)
		TRY(text_of(value, key, &text));
	*ret = xstrdup(text);
	return NULL;
}

struct err *field_object(struct json_object *o, const char *key, struct json_object **ret)
{
	return typed(o, key, json_type_object, ret);
}

struct err *field_array(struct json_object *o, const char *key, struct json_object **ret)
{
	return typed(o, key, json_type_array, ret);
}

struct err *field_strings(struct json_object *o, const char *key, struct strv *ret)
{
	struct json_object *array;

	TRY(typed(o, key, json_type_array, &array));
	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		const char *text;

		TRY(text_of(json_object_array_get_idx(array, i), key, &text));
		strv_add(ret, text);
	}
	return NULL;
}

struct err *field_string_map(struct json_object *o, const char *key, struct strmap *ret)
{
	struct json_object *map;

	TRY(typed(o, key, json_type_object, &map));
	if (!map)
		return NULL;
	json_object_object_foreach(map, name, value)
	{
		const char *text;

		TRY(text_of(value, key, &text));
		strmap_set(ret, name, text);
	}
	return NULL;
}

struct err *field_size(struct json_object *o, const char *key, int64_t *ret)
{
	struct json_object *value;

	TRY(typed(o, key, json_type_int, &value));
	if (!value)
		return err_new(ERR_INVALID, "\"%s\" is missing", key);
	if (json_object_get_int64(value) < 0 || json_object_get_uint64(value) > INT64_MAX)
		return err_new(ERR_INVALID, "\"%s\" is out of range: %s", key,
			json_object_get_string(value));
	*ret = json_object_get_int64(value);
	return NULL;
}
