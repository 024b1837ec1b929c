// SPDX-License-Identifier: Apache-2.0
/*
 * containerd-worker: the program that reads layers. The daemon starts one for each job (see job.h)
 * and kills it when the job is cancelled. It has no network, no other files than the job's, and few
 * system calls by the time it sees the first byte that is not the daemon's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/entries.h"
#include "archive/layer.h"
#include "base/fs.h"
#include "base/json.h"
#include "worker/confine.h"
#include "worker/job.h"
#include "worker/view.h"

static struct err *apply(const struct job *job, struct layer_result *ret)
{
	bool in_user_namespace = confine_is_user_namespace();
	autoval(view) view = VIEW_INIT;

	TRY(view_for_apply(job, &view));
	TRY(confine_process(CONFINE_APPLY));
	struct apply_options options = {
		.root_fd = view.root_fd,
		.opaque_xattr = view.opaque_xattr,
		.lowers = view.lowers,
		.n_lowers = view.n_lowers,
		.skip_devices = in_user_namespace,
		.sync = job->sync,
		.max_bytes = job->max_bytes,
		.max_entries = job->max_entries,
	};
	TRY(layer_unpack(JOB_LAYER_FD, &options, ret));
	if (job->sync && syncfs(view.root_fd) < 0)
		return err_sys(errno, "sync the file system");
	return NULL;
}

static struct err *diff(const struct job *job, struct layer_result *ret)
{
	autoval(view) view = VIEW_INIT;

	TRY(view_for_diff(job, &view));
	TRY(confine_process(CONFINE_DIFF));
	struct changes_options options = {
		.lower_fd = view.lower_fd,
		.upper_fd = view.upper_fd,
		.has_time_bound = job->has_time_bound,
		.time_bound = job->time_bound,
	};
	return layer_pack(&options, job->codec, JOB_LAYER_FD, ret);
}

static struct err *start(struct job *ret)
{
	TRY(job_read(STDIN_FILENO, ret));
	TRY(confine_lifetime(ret->parent));
	return confine_namespaces();
}

static struct err *run(const char *what, struct layer_result *ret)
{
	autoval(job) job = {0};

	TRY(start(&job));
	return str_eq(what, "apply") ? apply(&job, ret) : diff(&job, ret);
}

static struct err *start_archive(void)
{
	autoval(job) job = {0};

	TRY(start(&job));
	TRY(view_for_archive(&job));
	return confine_process(CONFINE_ARCHIVE);
}

static int run_archive(void)
{
	int in = JOB_LAYER_FD;
	struct err *e = start_archive();

	if (e)
		return entries_send_error(STDOUT_FILENO, e) < 0;
	/* Whoever reads the frames has the error from them. */
	err_free(entries_send(codec_read_fd, &in, STDOUT_FILENO));
	return 0;
}

static int answer(struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);

	return write_full(STDOUT_FILENO, text, strlen(text)) < 0;
}

static int answer_error(const struct err *e)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "class", json_object_new_int((int)err_class(e)));
	json_object_object_add(o, "message", json_object_new_string(err_message(e)));
	return answer(o);
}

static int answer_result(const struct layer_result *r)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "digest", json_object_new_string(r->digest));
	json_object_object_add(o, "size", json_object_new_int64(r->size));
	return answer(o);
}

int main(int argc, char **argv)
{
	struct layer_result result = {0};
	struct err *e;

	clearenv();
	if (argc == 2 && str_eq(argv[1], "archive"))
		_exit(run_archive());
	if (argc != 2 || (!str_eq(argv[1], "apply") && !str_eq(argv[1], "diff"))) {
		fputs("containerd-worker is started by containerd for jobs on image layers\n",
			stderr);
		return 2;
	}
	e = run(argv[1], &result);
	/* No clean-up behind the filter: the process is at its end. */
	_exit(e ? answer_error(e) : answer_result(&result));
}
