// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "base/alloc.h"
#include "ctr/ctr.h"

#include <containerd/introspection.h>

/* What the daemon says of a plugin that decided not to load. */
#define SKIPPED "skip plugin"

static const char *const code_names[] = {"OK", "Canceled", "Unknown", "InvalidArgument",
	"DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
	"FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
	"DataLoss", "Unauthenticated"};

static char *platforms(const struct ctd_plugin *p)
{
	autoval(strv) names = STRV_INIT, once = STRV_INIT;

	for (size_t i = 0; i < p->platforms.n; i++)
		strv_add(&names, p->platforms.items[i]);
	strv_sort(&names);
	for (size_t i = 0; i < names.n; i++) {
		if (!strv_has(&once, names.items[i]))
			strv_add(&once, names.items[i]);
	}
	return strv_join(&once, ",");
}

static void add_details(struct table *t, const struct ctd_plugin *p)
{
	autofree char *names = platforms(p);

	table_addf(t, "Type:\t %s\nID:\t %s\n", p->type, p->id);
	if (p->requires.n > 0)
		table_add(t, "Requires:\t\n");
	for (size_t i = 0; i < p->requires.n; i++)
		table_addf(t, "\t %s\n", p->requires.items[i]);
	if (p->platforms.n > 0)
		table_addf(t, "Platforms:\t %s\n", names);
	if (p->exports.n > 0)
		table_add(t, "Exports:\t\n");
	for (size_t i = 0; i < p->exports.n; i++)
		table_addf(t, "\t %s \t %s\n", p->exports.items[i].key, p->exports.items[i].value);
	if (p->capabilities.n > 0) {
		autofree char *capabilities = format_strings(p->capabilities, ",");

		table_addf(t, "Capabilities:\t %s\n", capabilities);
	}
	if (p->failed)
		table_addf(t, "Error:\t\n\t Code:\t %s\n\t Message:\t %s\n",
			p->error_code < ARRAY_LEN(code_names) ? code_names[p->error_code] : "?",
			p->error_message);
}

static void add_row(struct table *t, const struct ctd_plugin *p)
{
	autofree char *names = platforms(p);
	const char *status = "ok";

	if (p->failed)
		status = strstr(p->error_message, SKIPPED) ? "skip" : "error";
	table_addf(t, "%s\t%s\t%s\t%s\t\n", p->type, p->id, *names ? names : "-", status);
}

static struct err *run_list(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_plugins *plugins = NULL;
	autoptr(table) t = table_new(4, 8, 4, ' ');
	bool detailed = flag_bool(in, "detailed");

	TRY(connect_client(in, &client));
	CALL(ctd_plugin_list(client, names_from(in, 0), arg_count(in), &plugins));
	if (!flag_bool(in, "quiet") && !detailed)
		table_add(t, "TYPE\tID\tPLATFORMS\tSTATUS\t\n");
	for (size_t i = 0; i < plugins->n; i++) {
		const struct ctd_plugin *p = plugins->items[i];

		if (flag_bool(in, "quiet")) {
			puts(p->id);
		} else if (detailed) {
			table_add(t, i > 0 ? "\t\t\t\n" : "");
			add_details(t, p);
		} else {
			add_row(t, p);
		}
	}
	table_print(t, stdout);
	return NULL;
}

static const struct flag list_flags[] = {
	{"quiet, q", "print only the plugins' ids", FLAG_BOOL},
	{"detailed, d", "print all that is known of each plugin", FLAG_BOOL},
	FLAGS_END,
};

static const struct command commands[] = {
	{"list", "ls", "lists containerd plugins", "[flags] [<filter>, ...]", .flags = {list_flags},
		.run = run_list},
	COMMANDS_END,
};

const struct command plugins_command = {
	.name = "plugins",
	.aliases = "plugin",
	.usage = "provides information about containerd plugins",
	.commands = commands,
};
