// SPDX-License-Identifier: Apache-2.0
#include "diff/differ.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "diff/differ-internal.h"
#include "diff/worker.h"

#define LAYER_BYTES_MAX ((int64_t)1 << 40)
#define LAYER_ENTRIES_MAX ((int64_t)16 << 20)

struct differ *differ_new(struct content *content, const struct differ_options *options)
{
	struct differ *d = NEW(struct differ);

	d->content = content;
	d->worker = xstrdup(options->worker);
	d->max_layer_bytes = options->max_layer_bytes ? options->max_layer_bytes : LAYER_BYTES_MAX;
	d->max_layer_entries =
		options->max_layer_entries ? options->max_layer_entries : LAYER_ENTRIES_MAX;
	return d;
}

void differ_free(struct differ *d)
{
	if (!d)
		return;
	free(d->worker);
	free(d);
}

/* Layers that are a tar archive, whatever it is compressed with: that the bytes tell themselves. */
static bool is_tar_layer(const char *media_type)
{
	static const char *const types[] = {
		MEDIA_TYPE_LAYER,
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar.zstd",
		"application/vnd.docker.image.rootfs.foreign.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	};
	size_t len = strcspn(media_type, "+");

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strlen(types[i]) == len && strncmp(types[i], media_type, len) == 0)
			return true;
	return false;
}

static struct json_object *apply_job(const struct differ *d, const struct mounts *mounts, bool sync)
{
	struct json_object *job = worker_job_new();

	worker_job_add_mounts(job, "mounts", mounts);
	json_object_object_add(job, "sync", json_object_new_boolean(sync));
	json_object_object_add(job, "max_bytes", json_object_new_int64(d->max_layer_bytes));
	json_object_object_add(job, "max_entries", json_object_new_int64(d->max_layer_entries));
	return job;
}

static struct err *run_apply(const struct differ *d, int blob_fd, struct json_object *job,
	struct cancel *cancel, struct worker_answer *ret)
{
	const char *text = json_object_to_json_string_ext(job, JSON_C_TO_STRING_PLAIN);
	struct spawn_fd fds[] = {{.from = blob_fd, .to = WORKER_LAYER_FD}};
	autoval(spawn_result) result = {0};
	struct worker_command command;

	worker_command_init(&command, d->worker, "apply");
	command.options.fds = fds;
	command.options.n_fds = ARRAY_LEN(fds);
	TRY(spawn_run(
		&command.options, text, strlen(text), WORKER_ANSWER_MAX, -1, cancel, &result));
	return worker_read_answer(result.status, result.out, result.out_len, ret);
}

static struct err *apply_layer(struct differ *d, const struct scope *s,
	const struct descriptor *layer, const struct mounts *mounts, bool sync,
	struct cancel *cancel, struct worker_answer *ret)
{
	autoptr(json_object) job = NULL;
	autofd fd = -1;
	int64_t size = 0;

	TRY(content_read(d->content, s, layer->digest, &fd, &size));
	if (layer->size > 0 && layer->size != size)
		return err_new(ERR_INVALID, "its size is %" PRId64 ", its descriptor says %" PRId64,
			size, layer->size);
	job = apply_job(d, mounts, sync);
	return run_apply(d, fd, job, cancel, ret);
}

struct err *differ_apply(struct differ *d, const struct scope *s, const struct descriptor *layer,
	const struct mounts *mounts, bool sync, struct cancel *cancel, struct descriptor *ret)
{
	const char *type = str_or(layer->media_type, "");
	struct worker_answer answer;

	if (!is_tar_layer(type))
		return err_new(ERR_UNIMPLEMENTED,
			"failed to get stream processor for %s: no processor for media-type", type);
	TRY(digest_check(str_or(layer->digest, "")));
	TRY(err_wrap(apply_layer(d, s, layer, mounts, sync, cancel, &answer), "apply layer %s",
		layer->digest));
	*ret = (struct descriptor){
		.media_type = xstrdup(MEDIA_TYPE_LAYER),
		.digest = xstrdup(answer.digest),
		.size = answer.size,
	};
	return NULL;
}
