// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "ctr/ctr.h"

#include <containerd/leases.h>

static struct err *run_list(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_leases *list = NULL;
	autoptr(table) t = table_new(1, 8, 1, ' ');

	TRY(connect_client(in, &client));
	TRY(err_wrap(from_ctd(ctd_lease_list(client, names_from(in, 0), arg_count(in), &list)),
		"failed to list leases"));
	if (!flag_bool(in, "quiet"))
		table_add(t, "ID\tCREATED AT\tLABELS\t\n");
	for (size_t i = 0; i < list->n; i++) {
		const struct ctd_lease *l = list->items[i];
		autofree char *labels = format_labels(l->labels);
		char created[TIME_TEXT];

		format_time_local(l->created_at, created);
		if (flag_bool(in, "quiet"))
			puts(l->id);
		else
			table_addf(t, "%s\t%s\t%s\t\n", l->id, created, labels);
	}
	table_print(t, stdout);
	return NULL;
}

static struct err *run_create(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_lease *lease = NULL;
	autoval(label_args) labels = {0};

	TRY(connect_client(in, &client));
	CALL(ctd_lease_create(client, or_null(flag_string(in, "id")), flag_duration(in, "expires"),
		label_args_read(&labels, args_from(in, 0), ""), &lease));
	puts(lease->id);
	return NULL;
}

static struct err *run_delete(struct invocation *in)
{
	auto_client *client = NULL;

	if (arg_count(in) == 0)
		return show_help(in);
	TRY(connect_client(in, &client));
	for (size_t i = 0; i < arg_count(in); i++) {
		bool sync = flag_bool(in, "sync") && i + 1 == arg_count(in);

		CALL(ctd_lease_delete(client, arg(in, i), sync));
		puts(arg(in, i));
	}
	return NULL;
}

static const struct flag list_flags[] = {
	{"quiet, q", "print only the leases' ids", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag create_flags[] = {
	{"id", "id of the lease, made up by default", FLAG_STRING},
	{"expires, x", "when the lease ends by itself, 0 for never", FLAG_DURATION, "24h0m0s"},
	FLAGS_END,
};

static const struct flag delete_flags[] = {
	{"sync", "return after what only the leases held was removed", FLAG_BOOL},
	FLAGS_END,
};

static const struct command commands[] = {
	{"list", "ls", "list all active leases", "[flags] <filter>", "list the daemon's leases",
		{list_flags}, run_list},
	{"create", NULL, "create lease", "[flags] <label>=<value> ...", "create a new lease",
		{create_flags}, run_create},
	{"delete", "del, remove, rm", "delete a lease", "[flags] <lease id> ...", "delete a lease",
		{delete_flags}, run_delete},
	COMMANDS_END,
};

const struct command leases_command = {
	.name = "leases",
	.usage = "manage leases",
	.commands = commands,
};
