// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "base/fs.h"
#include "ctr/ctr.h"

#include <containerd/sandboxes.h>

#define CONFIG_MAX ((size_t)16 << 20)

static struct err *read_config(const char *path, char **ret)
{
	autoptr(json_object) config = NULL;
	autofree char *text = NULL;
	size_t len;

	TRY(err_wrap(file_read(path, CONFIG_MAX, &text, &len), "failed to read sandbox config"));
	TRY(err_wrap(json_parse(text, len, &config), "failed to parse sandbox config"));
	if (!json_object_is_type(config, json_type_object))
		return err_new(
			ERR_INVALID, "failed to parse sandbox config: %s is no object", path);
	*ret = TAKE(text);
	return NULL;
}

static struct err *run_run(struct invocation *in)
{
	struct ctd_sandbox_options o = CTD_SANDBOX_INIT;
	auto_record struct ctd_sandbox *sandbox = NULL;
	auto_client *client = NULL;
	autofree char *spec = NULL;

	if (arg_count(in) != 2)
		return show_help(in);
	TRY(read_config(arg(in, 0), &spec));
	TRY(connect_client(in, &client));
	o.id = arg(in, 1);
	o.runtime = flag_string(in, "runtime");
	o.spec = spec;
	TRY(err_wrap(from_ctd(ctd_sandbox_create(client, &o, &sandbox)),
		"failed to create new sandbox"));
	TRY(err_wrap(from_ctd(ctd_sandbox_start(client, sandbox, NULL)), "failed to start"));
	puts(sandbox->id);
	return NULL;
}

static struct err *run_list(struct invocation *in)
{
	const struct strv *filters = flag_list(in, "filters");
	auto_record struct ctd_sandboxes *list = NULL;
	auto_client *client = NULL;
	autoptr(table) t = table_new(1, 8, 1, ' ');

	TRY(connect_client(in, &client));
	TRY(err_wrap(from_ctd(ctd_sandbox_list(
			     client, (const char *const *)filters->items, filters->n, &list)),
		"failed to list sandboxes"));
	table_add(t, "ID\tCREATED\tRUNTIME\t\n");
	for (size_t i = 0; i < list->n; i++) {
		const struct ctd_sandbox *s = list->items[i];
		char created[TIME_TEXT];

		format_time_go(s->created_at, created);
		table_addf(t, "%s\t%s\t%s\t\n", s->id, created, s->runtime);
	}
	table_print(t, stdout);
	return NULL;
}

static struct err *remove_one(struct ctd_client *client, const char *id, bool force)
{
	auto_record struct ctd_sandbox *sandbox = NULL;
	struct err *e;

	TRY(err_wrap(
		from_ctd(ctd_sandbox_get(client, id, &sandbox)), "failed to load sandbox %s", id));
	e = err_wrap(
		from_ctd(ctd_sandbox_stop(client, sandbox, 0)), "failed to stop sandbox %s", id);
	if (e && !force)
		return e;
	if (e)
		log_warn("removed all the same", "error", err_message(e));
	err_free(e);
	return err_wrap(from_ctd(ctd_sandbox_shutdown(client, sandbox)),
		"failed to shutdown sandbox %s", id);
}

static struct err *run_remove(struct invocation *in)
{
	auto_client *client = NULL;
	autoptr(err) first = NULL;

	TRY(connect_client(in, &client));
	for (size_t i = 0; i < arg_count(in); i++) {
		struct err *e = remove_one(client, arg(in, i), flag_bool(in, "force"));

		if (!e)
			log_info("deleted", "sandbox", arg(in, i));
		first = first_error(TAKE(first), e, "failed to remove a sandbox");
	}
	return TAKE(first);
}

static struct json_object *json_sandbox(const struct ctd_sandbox *s)
{
	struct json_object *o = json_object_new_object();
	struct json_object *runtime = json_object_new_object();
	struct json_object *options = NULL;
	struct json_object *extensions = json_object_new_object();

	if (*s->runtime_options_type) {
		options = json_object_new_object();
		json_object_object_add(
			options, "type_url", json_object_new_string(s->runtime_options_type));
	}
	json_object_object_add(runtime, "Name", json_object_new_string(s->runtime));
	json_object_object_add(runtime, "Options", options);
	for (size_t i = 0; i < s->extensions.n; i++)
		json_object_object_add(
			extensions, s->extensions.items[i], json_object_new_object());
	json_object_object_add(o, "ID", json_object_new_string(s->id));
	json_object_object_add(o, "Labels", json_labels(s->labels));
	json_object_object_add(o, "Runtime", runtime);
	json_object_object_add(o, "Spec", *s->spec ? json_document(s->spec) : NULL);
	json_object_object_add(o, "Sandboxer", json_object_new_string(s->sandboxer));
	json_object_object_add(o, "CreatedAt", json_time(s->created_at));
	json_object_object_add(o, "UpdatedAt", json_time(s->updated_at));
	json_object_object_add(o, "Extensions", extensions);
	return o;
}

static struct err *run_info(struct invocation *in)
{
	auto_record struct ctd_sandbox *sandbox = NULL;
	autoptr(json_object) o = NULL;
	auto_client *client = NULL;

	if (!*arg(in, 0))
		return err_new(ERR_INVALID, "sandbox id must be provided: invalid argument");
	TRY(connect_client(in, &client));
	TRY(err_wrap(from_ctd(ctd_sandbox_get(client, arg(in, 0), &sandbox)),
		"failed to load sandbox %s", arg(in, 0)));
	o = json_sandbox(sandbox);
	print_json(o);
	return NULL;
}

static const struct flag run_flags[] = {
	{"runtime", "name of the runtime", FLAG_STRING, "io.containerd.runc.v2"},
	FLAGS_END,
};

static const struct flag list_flags[] = {
	{"filters", "filter of the list, may be given several times", FLAG_LIST},
	FLAGS_END,
};

static const struct flag remove_flags[] = {
	{"force, f", "remove it also when it cannot be stopped", FLAG_BOOL},
	FLAGS_END,
};

static const struct command commands[] = {
	{"run", "create, c, r", "run a new sandbox", "[flags] <pod-config.json> <sandbox-id>",
		.flags = {run_flags}, .run = run_run},
	{"list", "ls", "list sandboxes", "[flags]", .flags = {list_flags}, .run = run_list},
	{"remove", "rm", "remove sandboxes", "[flags] <id> [<id>, ...]", .flags = {remove_flags},
		.run = run_remove},
	{"info", "i", "get info about a sandbox", "<sandbox id>", .run = run_info},
	COMMANDS_END,
};

const struct command sandboxes_command = {
	.name = "sandboxes",
	.aliases = "sandbox, sb, s",
	.usage = "manage sandboxes",
	.commands = commands,
};
