// SPDX-License-Identifier: Apache-2.0
#include "shim/options.h"

#include <stddef.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/strv.h"
#include "proto/runc-options.pb-c.h"
#include "rpc/message.h"

#define OPTIONS_FILE_MAX 65536

enum kind { KIND_BOOL, KIND_TEXT, KIND_NUMBER };

/* The names are those of the JSON file and of the message. */
static const struct field {
	const char *name;
	enum kind kind;
	size_t here, there;
} fields[] = {
#define FIELD(n, kind) #n, kind, offsetof(struct options, n), offsetof(Runc__Options, n)
	{FIELD(no_pivot_root, KIND_BOOL)},
	{FIELD(no_new_keyring, KIND_BOOL)},
	{FIELD(shim_cgroup, KIND_TEXT)},
	{FIELD(io_uid, KIND_NUMBER)},
	{FIELD(io_gid, KIND_NUMBER)},
	{FIELD(binary_name, KIND_TEXT)},
	{FIELD(root, KIND_TEXT)},
	{FIELD(systemd_cgroup, KIND_BOOL)},
	{FIELD(criu_image_path, KIND_TEXT)},
	{FIELD(criu_work_path, KIND_TEXT)},
	{FIELD(task_api_address, KIND_TEXT)},
	{FIELD(task_api_version, KIND_NUMBER)},
#undef FIELD
};

static void *at(const void *object, size_t offset)
{
	return (char *)(uintptr_t)object + offset;
}

static void set_text(struct options *o, const struct field *f, const char *text)
{
	char **slot = at(o, f->here);

	free(*slot);
	*slot = xstrdup(str_or(text, ""));
}

void options_init(struct options *o)
{
	*o = (struct options){0};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].kind == KIND_TEXT)
			set_text(o, &fields[i], "");
}

void options_done(struct options *o)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].kind == KIND_TEXT)
			free(*(char **)at(o, fields[i].here));
}

static void from_message(struct options *o, const Runc__Options *m)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[i];

		switch (f->kind) {
		case KIND_BOOL:
			*(bool *)at(o, f->here) = *(protobuf_c_boolean *)at(m, f->there);
			break;
		case KIND_TEXT:
			set_text(o, f, *(char **)at(m, f->there));
			break;
		case KIND_NUMBER:
			*(uint32_t *)at(o, f->here) = *(uint32_t *)at(m, f->there);
			break;
		}
	}
}

struct err *options_from_any(const Google__Protobuf__Any *any, struct options *ret)
{
	autoptr(arena) a = arena_new();
	void *m;

	options_init(ret);
	if (!any || !any->value.len)
		return NULL;
	TRY(err_wrap(message_from_any(any, &runc__options__descriptor, a, &m), "runtime options"));
	from_message(ret, m);
	return NULL;
}

static struct json_object *to_json(const struct options *o)
{
	struct json_object *out = json_object_new_object();

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[i];
		struct json_object *value = NULL;

		if (f->kind == KIND_BOOL && *(bool *)at(o, f->here))
			value = json_object_new_boolean(1);
		if (f->kind == KIND_TEXT && **(char **)at(o, f->here))
			value = json_object_new_string(*(char **)at(o, f->here));
		if (f->kind == KIND_NUMBER && *(uint32_t *)at(o, f->here))
			value = json_object_new_uint64(*(uint32_t *)at(o, f->here));
		if (value)
			json_object_object_add(out, f->name, value);
	}
	return out;
}

struct err *options_save(const struct options *o, const char *bundle)
{
	autoptr(json_object) json = to_json(o);
	const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN);
	autofree char *path = path_join(bundle, "options.json");
	autofree char *runtime = path_join(bundle, "runtime");

	TRY(file_write_atomic(path, text, __builtin_strlen(text), 0600, false));
	return file_write_atomic(
		runtime, o->binary_name, __builtin_strlen(o->binary_name), 0600, false);
}

static void from_json(struct options *o, struct json_object *json)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct field *f = &fields[i];
		struct json_object *value = json_find(json, f->name);

		if (f->kind == KIND_TEXT && json_object_is_type(value, json_type_string))
			set_text(o, f, json_object_get_string(value));
		if (f->kind == KIND_BOOL)
			*(bool *)at(o, f->here) = json_object_get_boolean(value);
		if (f->kind == KIND_NUMBER)
			*(uint32_t *)at(o, f->here) = (uint32_t)json_object_get_int64(value);
	}
}

struct err *options_load(const char *bundle, struct options *ret)
{
	autofree char *path = path_join(bundle, "options.json"), *text = NULL;
	autoptr(json_object) json = NULL;
	struct err *e;
	size_t len;

	options_init(ret);
	e = file_read(path, OPTIONS_FILE_MAX, &text, &len);
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	TRY(e);
	TRY(err_wrap(json_parse(text, len, &json), "%s", path));
	from_json(ret, json);
	return NULL;
}
