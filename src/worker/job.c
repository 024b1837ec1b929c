// SPDX-License-Identifier: Apache-2.0
#include "worker/job.h"

#include "base/fs.h"
#include "base/json.h"

void job_done(struct job *j)
{
	mounts_done(&j->mounts);
	mounts_done(&j->lower);
	mounts_done(&j->upper);
}

static int64_t find_number(struct json_object *o, const char *name)
{
	struct json_object *v = json_find(o, name);

	return v && json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
}

static bool find_bool(struct json_object *o, const char *name)
{
	struct json_object *v = json_find(o, name);

	return v && json_object_get_boolean(v);
}

static size_t array_length(struct json_object *o)
{
	return o && json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
}

static void read_mounts(struct json_object *o, const char *name, struct mounts *ret)
{
	struct json_object *list = json_find(o, name);

	for (size_t i = 0; i < array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		struct json_object *options = json_find(item, "options");
		struct mount *m = mounts_add(ret, json_find_string(item, "type"),
			json_find_string(item, "source"), json_find_string(item, "target"));

		for (size_t k = 0; k < array_length(options); k++)
			strv_add(&m->options,
				json_object_get_string(json_object_array_get_idx(options, k)));
	}
}

static struct err *read_codec(struct json_object *o, enum codec *ret)
{
	const char *name = str_or(json_find_string(o, "compression"), "none");

	if (str_eq(name, "none"))
		*ret = CODEC_NONE;
	else if (str_eq(name, "gzip"))
		*ret = CODEC_GZIP;
	else if (str_eq(name, "zstd"))
		*ret = CODEC_ZSTD;
	else
		return err_new(ERR_UNIMPLEMENTED, "compression %s", name);
	return NULL;
}

static void read_time_bound(struct json_object *o, struct job *j)
{
	struct json_object *bound = json_find(o, "time_bound");

	j->has_time_bound = array_length(bound) == 2;
	if (!j->has_time_bound)
		return;
	j->time_bound.sec = json_object_get_int64(json_object_array_get_idx(bound, 0));
	j->time_bound.nsec = (int32_t)json_object_get_int(json_object_array_get_idx(bound, 1));
}

struct err *job_read(int fd, struct job *ret)
{
	autoptr(json_object) o = NULL;
	autofree char *text = NULL;
	size_t len;

	TRY(fd_read_all(fd, JOB_BYTES_MAX, &text, &len));
	TRY(err_wrap(json_parse(text, len, &o), "the job"));
	*ret = (struct job){
		.parent = find_number(o, "parent"),
		.sync = find_bool(o, "sync"),
		.max_bytes = find_number(o, "max_bytes"),
		.max_entries = find_number(o, "max_entries"),
	};
	TRY(read_codec(o, &ret->codec));
	read_time_bound(o, ret);
	read_mounts(o, "mounts", &ret->mounts);
	read_mounts(o, "lower", &ret->lower);
	read_mounts(o, "upper", &ret->upper);
	return NULL;
}
