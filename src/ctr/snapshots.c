// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/timestamp.h"
#include "ctr/ctr.h"

#include <containerd/images.h>
#include <containerd/snapshots.h>

#define TREE_DEPTH_MAX 1000

static const char *const kind_names[] = {"Unknown", "View", "Active", "Committed"};

static const char *kind_name(enum ctd_snapshot_kind kind)
{
	return kind < ARRAY_LEN(kind_names) ? kind_names[kind] : kind_names[0];
}

static const char *snapshotter(const struct invocation *in)
{
	return or_null(flag_string(in, "snapshotter"));
}

static struct err *run_list(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_snapshots *list = NULL;
	autoptr(table) t = table_new(1, 8, 1, ' ');

	TRY(connect_client(in, &client));
	CALL(ctd_snapshot_list(client, snapshotter(in), NULL, 0, &list));
	table_add(t, "KEY\tPARENT\tKIND\t\n");
	for (size_t i = 0; i < list->n; i++)
		table_addf(t, "%s\t%s\t%s\t\n", list->items[i]->name, list->items[i]->parent,
			kind_name(list->items[i]->kind));
	table_print(t, stdout);
	return NULL;
}

static struct err *add_usage(
	struct invocation *in, struct ctd_client *client, const char *key, struct table *t)
{
	struct ctd_snapshot_usage usage = {0};
	char size[SIZE_TEXT];

	CALL(ctd_snapshot_usage(client, snapshotter(in), key, &usage));
	format_bytes(usage.size, size);
	if (flag_bool(in, "b"))
		snprintf(size, sizeof(size), "%" PRId64, usage.size);
	table_addf(t, "%s\t%s\t%" PRId64 "\t\n", key, size, usage.inodes);
	return NULL;
}

static struct err *run_usage(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_snapshots *list = NULL;
	autoptr(table) t = table_new(1, 8, 1, ' ');

	TRY(connect_client(in, &client));
	table_add(t, "KEY\tSIZE\tINODES\t\n");
	if (arg_count(in) == 0)
		CALL(ctd_snapshot_list(client, snapshotter(in), NULL, 0, &list));
	for (size_t i = 0; list && i < list->n; i++)
		TRY(add_usage(in, client, list->items[i]->name, t));
	for (size_t i = 0; i < arg_count(in); i++)
		TRY(add_usage(in, client, arg(in, i), t));
	table_print(t, stdout);
	return NULL;
}

static struct err *run_delete(struct invocation *in)
{
	auto_client *client = NULL;

	TRY(connect_client(in, &client));
	for (size_t i = 0; i < arg_count(in); i++)
		TRY(err_wrap(from_ctd(ctd_snapshot_remove(client, snapshotter(in), arg(in, i))),
			"failed to remove \"%s\"", arg(in, i)));
	return NULL;
}

static void print_mounts(const char *target, const struct ctd_mounts *mounts)
{
	for (size_t i = 0; i < mounts->n; i++) {
		const struct ctd_mount *m = &mounts->items[i];
		autofree char *options = format_strings(m->options, ",");

		printf("mount -t %s %s %s -o %s\n", m->type, m->source, target, options);
	}
}

static struct json_object *json_mounts(const struct ctd_mounts *mounts)
{
	struct json_object *all = json_object_new_array();

	for (size_t i = 0; i < mounts->n; i++) {
		const struct ctd_mount *m = &mounts->items[i];
		struct json_object *o = json_object_new_object();
		struct json_object *options = json_object_new_array();

		for (size_t j = 0; j < m->options.n; j++)
			json_object_array_add(options, json_object_new_string(m->options.items[j]));
		json_object_object_add(o, "Type", json_object_new_string(m->type));
		json_object_object_add(o, "Source", json_object_new_string(m->source));
		json_object_object_add(o, "Options", options);
		json_object_array_add(all, o);
	}
	return all;
}

static void show_mounts(struct invocation *in, const struct ctd_mounts *mounts)
{
	const char *target = flag_string(in, "target");

	if (*target)
		print_mounts(target, mounts);
	if (flag_bool(in, "mounts")) {
		autoptr(json_object) o = json_mounts(mounts);

		print_json(o);
	}
}

/* What a user makes by hand nothing refers to: it stays until the user removes it. */
struct root_label {
	char time[TIME_TEXT];
	struct ctd_label label;
};

static struct ctd_labels root_label(struct root_label *l)
{
	struct timestamp now = timestamp_now();

	format_time((struct ctd_time){.sec = now.sec}, l->time);
	l->label = (struct ctd_label){"containerd.io/gc.root", l->time};
	return (struct ctd_labels){.n = 1, .items = &l->label};
}

static struct err *run_prepare(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_mounts *mounts = NULL;
	struct root_label label;

	if (arg_count(in) < 1 || arg_count(in) > 2)
		return show_help(in);
	TRY(connect_client(in, &client));
	CALL(ctd_snapshot_prepare(
		client, snapshotter(in), arg(in, 0), arg(in, 1), root_label(&label), &mounts));
	show_mounts(in, mounts);
	return NULL;
}

static struct err *run_view(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_mounts *mounts = NULL;
	struct root_label label;

	if (arg_count(in) < 1 || arg_count(in) > 2)
		return show_help(in);
	TRY(connect_client(in, &client));
	CALL(ctd_snapshot_view(
		client, snapshotter(in), arg(in, 0), arg(in, 1), root_label(&label), &mounts));
	show_mounts(in, mounts);
	return NULL;
}

static struct err *run_mounts(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_mounts *mounts = NULL;

	if (arg_count(in) != 2)
		return show_help(in);
	TRY(connect_client(in, &client));
	CALL(ctd_snapshot_mounts(client, snapshotter(in), arg(in, 1), &mounts));
	print_mounts(arg(in, 0), mounts);
	return NULL;
}

static struct err *run_commit(struct invocation *in)
{
	auto_client *client = NULL;
	struct root_label label;

	if (arg_count(in) != 2)
		return show_help(in);
	TRY(connect_client(in, &client));
	return from_ctd(ctd_snapshot_commit(
		client, snapshotter(in), arg(in, 0), arg(in, 1), root_label(&label)));
}

static struct err *run_info(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_snapshot *s = NULL;
	autoptr(json_object) o = json_object_new_object();

	if (arg_count(in) != 1)
		return show_help(in);
	TRY(connect_client(in, &client));
	CALL(ctd_snapshot_get(client, snapshotter(in), arg(in, 0), &s));
	json_object_object_add(o, "Kind", json_object_new_string(kind_name(s->kind)));
	json_object_object_add(o, "Name", json_object_new_string(s->name));
	if (*s->parent)
		json_object_object_add(o, "Parent", json_object_new_string(s->parent));
	if (s->labels.n > 0)
		json_object_object_add(o, "Labels", json_labels(s->labels));
	json_object_object_add(o, "Created", json_time(s->created_at));
	json_object_object_add(o, "Updated", json_time(s->updated_at));
	print_json(o);
	return NULL;
}

static struct err *run_label(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_snapshot *s = NULL;
	autoval(label_args) labels = {0};

	TRY(connect_client(in, &client));
	CALL(ctd_snapshot_label(client, snapshotter(in), arg(in, 0),
		label_args_read(&labels, args_from(in, 1), "true"), &s));
	autofree char *text = s->labels.n > 0 ? format_labels(s->labels) : xstrdup("");
	puts(text);
	return NULL;
}

static void print_tree(const struct ctd_snapshots *list, const char *parent, int depth)
{
	if (depth == TREE_DEPTH_MAX)
		return;
	for (size_t i = 0; i < list->n; i++) {
		const struct ctd_snapshot *s = list->items[i];

		if (strcmp(s->parent, parent) != 0)
			continue;
		printf("%*s%s %s\n", depth * 2, "", depth > 0 ? "\\_" : "", s->name);
		print_tree(list, s->name, depth + 1);
	}
}

static struct err *run_tree(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_snapshots *list = NULL;

	TRY(connect_client(in, &client));
	CALL(ctd_snapshot_list(client, snapshotter(in), NULL, 0, &list));
	print_tree(list, "", 0);
	return NULL;
}

static struct err *run_diff(struct invocation *in)
{
	struct ctd_diff_options options = CTD_DIFF_INIT;
	auto_client *client = NULL;
	autoval(label_args) labels = {0};
	autoval(strv) texts = STRV_INIT;
	struct root_label root;

	if (arg_count(in) == 0)
		return err_new(ERR_INVALID, "snapshot id must be provided");
	strv_add_all(&texts, flag_list(in, "label"));
	if (flag_bool(in, "keep")) {
		root_label(&root);
		strv_addf(&texts, "%s=%s", root.label.key, root.label.value);
	}
	options.snapshotter = snapshotter(in);
	options.media_type = flag_string(in, "media-type");
	options.ref = or_null(flag_string(in, "ref"));
	options.labels = label_args_read(&labels, strv_argv(&texts), "true");
	TRY(connect_client(in, &client));
	if (arg_count(in) == 1)
		return from_ctd(
			ctd_snapshot_diff(client, NULL, arg(in, 0), &options, STDOUT_FILENO));
	return from_ctd(ctd_snapshot_diff(client, arg(in, 0), arg(in, 1), &options, STDOUT_FILENO));
}

static struct err *run_unpack(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_images *images = NULL;

	TRY(connect_client(in, &client));
	CALL(ctd_image_list(client, NULL, 0, &images));
	for (size_t i = 0; i < images->n; i++) {
		const struct ctd_image *image = images->items[i];

		if (strcmp(image->target.digest, arg(in, 0)) != 0)
			continue;
		printf("unpacking %s (%s)...", arg(in, 0), image->target.media_type);
		fflush(stdout);
		struct err *e = from_ctd(ctd_image_unpack(client, image, snapshotter(in), NULL));
		puts(e ? "" : "done");
		return e;
	}
	return err_new(ERR_NOT_FOUND, "manifest not found");
}

static const struct flag usage_flags[] = {
	{"b", "sizes in bytes", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag mount_flags[] = {
	{"target, t", "print the commands that mount the snapshot here", FLAG_STRING},
	{"mounts", "print the snapshot's mounts as JSON", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag diff_flags[] = {
	{"media-type", "media type of the diff", FLAG_STRING,
		"application/vnd.oci.image.layer.v1.tar+gzip"},
	{"ref", "reference of the write to the content store", FLAG_STRING},
	{"keep", "keep the diff in the content store until it is deleted", FLAG_BOOL},
	{"label", "label of the diff in the content store", FLAG_LIST},
	FLAGS_END,
};

static const struct command commands[] = {
	{"commit", NULL, "commit an active snapshot into the provided name", "<key> <active>",
		.run = run_commit},
	{"diff", NULL, "get the diff of two snapshots, or of one and its parent",
		"[flags] <idA> [<idB>]", .flags = {diff_flags}, .run = run_diff},
	{"info", NULL, "get info about a snapshot", "<key>", .run = run_info},
	{"list", "ls", "list snapshots", .run = run_list},
	{"mounts", "m, mount", "print the commands that mount a snapshot", "<target> <key>",
		.run = run_mounts},
	{"prepare", NULL, "prepare a snapshot from a committed snapshot",
		"[flags] <key> [<parent>]", .flags = {mount_flags}, .run = run_prepare},
	{"delete", "del, remove, rm", "remove snapshots", "<key> [<key>, ...]", .run = run_delete},
	{"label", NULL, "add labels to a snapshot", "<name> [<label>=<value> ...]",
		"set labels of a snapshot; an empty value clears the label", .run = run_label},
	{"tree", NULL, "display tree view of snapshot branches", .run = run_tree},
	{"unpack", NULL, "unpack the layers of a manifest into snapshots", "<digest>",
		.run = run_unpack},
	{"usage", NULL, "print the space that snapshots take", "[flags] [<key>, ...]",
		.flags = {usage_flags}, .run = run_usage},
	{"view", NULL, "create a read-only snapshot from a committed snapshot",
		"[flags] <key> [<parent>]", .flags = {mount_flags}, .run = run_view},
	COMMANDS_END,
};

const struct command snapshots_command = {
	.name = "snapshots",
	.aliases = "snapshot",
	.usage = "manage snapshots",
	.flags = {snapshotter_flags},
	.commands = commands,
};
