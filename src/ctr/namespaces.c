// SPDX-License-Identifier: Apache-2.0
#include "base/alloc.h"
#include "ctr/ctr.h"

#include <containerd/namespaces.h>

static struct err *check_name(struct invocation *in)
{
	return arg_count(in) > 0 ? NULL : err_new(ERR_INVALID, "please specify a namespace");
}

static struct err *run_create(struct invocation *in)
{
	auto_client *client = NULL;
	autoval(label_args) labels = {0};

	TRY(check_name(in));
	TRY(connect_client(in, &client));
	return from_ctd(ctd_namespace_create(
		client, arg(in, 0), label_args_read(&labels, args_from(in, 1), "true")));
}

static struct err *run_label(struct invocation *in)
{
	auto_client *client = NULL;
	autoval(label_args) labels = {0};

	TRY(check_name(in));
	TRY(connect_client(in, &client));
	return from_ctd(ctd_namespace_label(
		client, arg(in, 0), label_args_read(&labels, args_from(in, 1), "true")));
}

static struct err *run_list(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_namespaces *list = NULL;
	autoptr(table) t = table_new(1, 8, 1, ' ');

	TRY(connect_client(in, &client));
	CALL(ctd_namespace_list(client, &list));
	if (!flag_bool(in, "quiet"))
		table_add(t, "NAME\tLABELS\t\n");
	for (size_t i = 0; i < list->n; i++) {
		const struct ctd_namespace *n = list->items[i];
		autofree char *labels = n->labels.n > 0 ? format_labels(n->labels) : xstrdup("");

		if (flag_bool(in, "quiet"))
			puts(n->name);
		else
			table_addf(t, "%s\t%s\t\n", n->name, labels);
	}
	table_print(t, stdout);
	return NULL;
}

static struct err *run_remove(struct invocation *in)
{
	auto_client *client = NULL;
	autoptr(err) first = NULL;

	TRY(connect_client(in, &client));
	for (size_t i = 0; i < arg_count(in); i++) {
		autofree char *what = xasprintf("unable to delete %s", arg(in, i));
		struct err *e = from_ctd(ctd_namespace_delete(client, arg(in, i)));

		if (err_is(e, ERR_NOT_FOUND)) {
			err_free(e);
			e = NULL;
		}
		if (!e)
			puts(arg(in, i));
		first = first_error(TAKE(first), err_wrap(e, "%s", what), what);
	}
	return TAKE(first);
}

static const struct flag list_flags[] = {
	{"quiet, q", "print only the namespaces' names", FLAG_BOOL},
	FLAGS_END,
};

static const struct command commands[] = {
	{"create", "c", "create a new namespace", "<name> [<key>=<value>]",
		"create a new namespace, whose name is not taken", .run = run_create},
	{"list", "ls", "list namespaces", "[flags]", "list namespaces", {list_flags}, run_list},
	{"remove", "rm", "remove one or more namespaces", "<name> [<name>, ...]",
		"remove namespaces that hold nothing any more", .run = run_remove},
	{"label", NULL, "set and clear labels for a namespace", "<name> [<key>=<value>, ...]",
		"set labels of a namespace; an empty value clears the label", .run = run_label},
	COMMANDS_END,
};

const struct command namespaces_command = {
	.name = "namespaces",
	.aliases = "namespace, ns",
	.usage = "manage namespaces",
	.commands = commands,
};
