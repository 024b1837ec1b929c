// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "ctr/container-flags.h"
#include "ctr/ctr.h"

#include <containerd/tasks.h>

static struct err *need_id(struct invocation *in)
{
	return *arg(in, 0)
		       ? NULL
		       : err_new(ERR_INVALID, "container id must be provided: invalid argument");
}

static struct err *run_create(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_container *container = NULL;
	autoval(container_spec) spec = {0};

	TRY(err_wrap(container_spec_read(in, &spec), "invalid argument"));
	TRY(connect_client(in, &client));
	return from_ctd(ctd_container_create(client, &spec.options, &container));
}

static struct err *run_list(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_containers *list = NULL;
	autoptr(table) t = table_new(4, 8, 4, ' ');
	bool quiet = flag_bool(in, "quiet");

	TRY(connect_client(in, &client));
	CALL(ctd_container_list(client, names_from(in, 0), arg_count(in), &list));
	if (!quiet)
		table_add(t, "CONTAINER\tIMAGE\tRUNTIME\t\n");
	for (size_t i = 0; i < list->n; i++) {
		const struct ctd_container *c = list->items[i];

		if (quiet)
			puts(c->id);
		else
			table_addf(
				t, "%s\t%s\t%s\t\n", c->id, *c->image ? c->image : "-", c->runtime);
	}
	table_print(t, stdout);
	return NULL;
}

static struct json_object *json_options(const struct ctd_container *c)
{
	struct json_object *o;

	if (!*c->runtime_options_type)
		return NULL;
	o = json_object_new_object();
	json_object_object_add(o, "type_url", json_object_new_string(c->runtime_options_type));
	return o;
}

static struct json_object *json_container(const struct ctd_container *c)
{
	struct json_object *o = json_object_new_object();
	struct json_object *runtime = json_object_new_object();
	struct json_object *extensions = json_object_new_object();

	json_object_object_add(runtime, "Name", json_object_new_string(c->runtime));
	json_object_object_add(runtime, "Options", json_options(c));
	for (size_t i = 0; i < c->extensions.n; i++)
		json_object_object_add(
			extensions, c->extensions.items[i], json_object_new_object());
	json_object_object_add(o, "ID", json_object_new_string(c->id));
	json_object_object_add(o, "Labels", json_labels(c->labels));
	json_object_object_add(o, "Image", json_object_new_string(c->image));
	json_object_object_add(o, "Runtime", runtime);
	json_object_object_add(o, "SnapshotKey", json_object_new_string(c->snapshot_key));
	json_object_object_add(o, "Snapshotter", json_object_new_string(c->snapshotter));
	json_object_object_add(o, "CreatedAt", json_time(c->created_at));
	json_object_object_add(o, "UpdatedAt", json_time(c->updated_at));
	json_object_object_add(o, "Extensions", extensions);
	if (*c->sandbox)
		json_object_object_add(o, "SandboxID", json_object_new_string(c->sandbox));
	if (*c->spec)
		json_object_object_add(o, "Spec", json_document(c->spec));
	return o;
}

static struct err *run_info(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_container *c = NULL;

	TRY(need_id(in));
	TRY(connect_client(in, &client));
	CALL(ctd_container_get(client, arg(in, 0), &c));
	autoptr(json_object) o = flag_bool(in, "spec") ? json_document(c->spec) : json_container(c);
	print_json(o);
	return NULL;
}

static struct err *run_label(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_container *c = NULL;
	autoval(label_args) labels = {0};

	TRY(need_id(in));
	TRY(connect_client(in, &client));
	CALL(ctd_container_label(
		client, arg(in, 0), label_args_read(&labels, args_from(in, 1), "true"), &c));
	autofree char *text = c->labels.n > 0 ? format_labels(c->labels) : xstrdup("");
	puts(text);
	return NULL;
}

/* A task that does not run goes with its container. */
static struct err *delete_task(struct ctd_client *client, const char *id)
{
	auto_record struct ctd_task *task = NULL;
	struct err *e = from_ctd(ctd_task_get(client, id, NULL, &task));

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	TRY(e);
	if (task->status != CTD_STATUS_STOPPED && task->status != CTD_STATUS_CREATED)
		return err_new(ERR_PRECONDITION,
			"cannot delete a non stopped container: %s: stop it with \"ctr tasks "
			"kill\" "
			"first",
			id);
	/* One that was only created has a process that waits to be started. */
	return from_ctd(
		ctd_task_delete(client, id, NULL, task->status == CTD_STATUS_CREATED, NULL));
}

static struct err *delete_one(struct ctd_client *client, const char *id, bool keep_snapshot)
{
	auto_record struct ctd_container *c = NULL;

	CALL(ctd_container_get(client, id, &c));
	TRY(delete_task(client, id));
	return from_ctd(ctd_container_delete(client, c, keep_snapshot));
}

static struct err *run_delete(struct invocation *in)
{
	auto_client *client = NULL;
	autoptr(err) first = NULL;

	if (arg_count(in) == 0)
		return err_new(ERR_INVALID,
			"must specify at least one container to delete: invalid argument");
	TRY(connect_client(in, &client));
	for (size_t i = 0; i < arg_count(in); i++) {
		autofree char *what = xasprintf("failed to delete container \"%s\"", arg(in, i));

		first = first_error(TAKE(first),
			delete_one(client, arg(in, i), flag_bool(in, "keep-snapshot")), what);
	}
	return TAKE(first);
}

static const struct flag list_flags[] = {
	{"quiet, q", "print only the containers' ids", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag info_flags[] = {
	{"spec", "print only the runtime spec", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag delete_flags[] = {
	{"keep-snapshot", "leave the container's snapshot", FLAG_BOOL},
	FLAGS_END,
};

static const struct command commands[] = {
	{"create", NULL, "create container", "[flags] Image|RootFS CONTAINER [COMMAND] [ARG...]",
		.flags = {snapshotter_flags, snapshot_label_flags, container_flags, runtime_flags},
		.run = run_create, .ends_flags = true},
	{"delete", "del, remove, rm", "delete one or more existing containers",
		"[flags] CONTAINER [CONTAINER, ...]", .flags = {delete_flags}, .run = run_delete},
	{"info", NULL, "get info about a container", "CONTAINER", .flags = {info_flags},
		.run = run_info},
	{"list", "ls", "list containers", "[flags] [<filter>, ...]", .flags = {list_flags},
		.run = run_list},
	{"label", NULL, "set and clear labels for a container",
		"[flags] CONTAINER [<key>=<value>, ...]",
		"set labels of a container; an empty value clears the label", .run = run_label},
	COMMANDS_END,
};

const struct command containers_command = {
	.name = "containers",
	.aliases = "c, container",
	.usage = "manage containers",
	.commands = commands,
};
