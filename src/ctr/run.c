// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "ctr/container-flags.h"
#include "ctr/ctr.h"
#include "ctr/foreground.h"
#include "ctr/task-run.h"

static struct err *check_flags(struct invocation *in)
{
	if (flag_bool(in, "rm") && flag_bool(in, "detach"))
		return err_new(ERR_INVALID, "flags --detach and --rm cannot be specified together");
	return NULL;
}

static struct err *run_run(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_container *container = NULL;
	autoval(container_spec) spec = {0};
	autoval(foreground) f = FOREGROUND_INIT;

	TRY(container_spec_read(in, &spec));
	TRY(check_flags(in));
	TRY(foreground_init(&f, flag_bool(in, "tty") && !flag_bool(in, "detach")));
	TRY(connect_client(in, &client));
	CALL(ctd_container_create(client, &spec.options, &container));
	struct ctd_task_options options = CTD_TASK_INIT;
	options.no_pivot = flag_bool(in, "no-pivot");
	if (spec.options.spec.n_uid_maps > 0)
		options.io_uid = spec.uid_maps[0].host_id;
	if (spec.options.spec.n_gid_maps > 0)
		options.io_gid = spec.gid_maps[0].host_id;
	struct err *e = task_run(in, client, container, flag_bool(in, "tty"), &options, &f);
	if (!flag_bool(in, "rm"))
		return e;
	struct err *removed = from_ctd(ctd_container_delete(client, container, false));
	return first_error(e, err_wrap(removed, "container %s", container->id),
		"failed to remove the container");
}

static const struct flag run_flags[] = {
	{"rm", "remove the container when it has ended; not with --detach", FLAG_BOOL},
	{"null-io", "connect input and output to /dev/null", FLAG_BOOL},
	{"log-uri", "where the shim is to write output: file://, binary:// or fifo://",
		FLAG_STRING},
	{"detach, d", "return when the container has started; not with --rm", FLAG_BOOL},
	{"fifo-dir", "where to make the FIFOs for input and output", FLAG_STRING},
	FLAGS_END,
};

static const struct flag snapshot_flags[] = {
	{"snapshotter", "snapshotter to use, by default the namespace's", FLAG_STRING,
		.env = "CONTAINERD_SNAPSHOTTER"},
	{"snapshotter-label", "label of the new snapshot", FLAG_LIST},
	FLAGS_END,
};

const struct command run_command = {
	.name = "run",
	.usage = "run a container",
	.args = "[flags] Image|RootFS ID [COMMAND] [ARG...]",
	.flags = {run_flags, run_container_flags, snapshot_flags, container_flags, runtime_flags},
	.run = run_run,
	.ends_flags = true,
};
