// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "ctr/ctr.h"

#include <containerd/content.h>

static struct err *run_get(struct invocation *in)
{
	auto_client *client = NULL;

	TRY(digest_check(arg(in, 0)));
	TRY(connect_client(in, &client));
	return from_ctd(ctd_content_copy(client, arg(in, 0), STDOUT_FILENO));
}

static struct err *run_ingest(struct invocation *in)
{
	auto_client *client = NULL;
	const char *digest = or_null(flag_string(in, "expected-digest"));

	if (digest)
		TRY(digest_check(digest));
	if (arg_count(in) == 0)
		return err_new(ERR_INVALID, "must specify a transaction reference");
	TRY(connect_client(in, &client));
	return from_ctd(ctd_content_ingest(client, arg(in, 0), STDIN_FILENO,
		flag_int(in, "expected-size"), digest, (struct ctd_labels){0}));
}

static struct err *run_active(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_ingests *list = NULL;
	autoptr(table) t = table_new(1, 8, 1, '\t');
	autofree char *filter = NULL;

	if (*arg(in, 0)) {
		/* A bare word is a pattern of references. */
		filter = strpbrk(arg(in, 0), "=~!,") ? xstrdup(arg(in, 0))
						     : xasprintf("ref~=%s", arg(in, 0));
	}
	TRY(connect_client(in, &client));
	CALL(ctd_ingest_list(client, (const char *const *)&filter, filter ? 1 : 0, &list));
	table_add(t, "REF\tSIZE\tAGE\t\n");
	for (size_t i = 0; i < list->n; i++) {
		const struct ctd_ingest *ingest = list->items[i];
		char size[SIZE_TEXT], age[AGE_TEXT];

		format_human_size(ingest->offset, size);
		format_age(ingest->started_at, age);
		table_addf(t, "%s\t%s\t%s\t\n", ingest->ref, size, age);
	}
	table_print(t, stdout);
	return NULL;
}

static struct err *run_list(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_contents *list = NULL;
	autoptr(table) t = table_new(1, 8, 1, '\t');
	bool quiet = flag_bool(in, "quiet");

	TRY(connect_client(in, &client));
	CALL(ctd_content_list(client, names_from(in, 0), arg_count(in), &list));
	if (!quiet)
		table_add(t, "DIGEST\tSIZE\tAGE\tLABELS\n");
	for (size_t i = 0; i < list->n; i++) {
		const struct ctd_content *c = list->items[i];
		autofree char *labels = format_labels(c->labels);
		char size[SIZE_TEXT], age[AGE_TEXT];

		format_human_size(c->size, size);
		format_age(c->created_at, age);
		if (quiet)
			puts(c->digest);
		else
			table_addf(t, "%s\t%s\t%s\t%s\n", c->digest, size, age, labels);
	}
	table_print(t, stdout);
	return NULL;
}

static struct err *run_label(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_content *content = NULL;
	autoval(label_args) labels = {0};

	TRY(digest_check(arg(in, 0)));
	TRY(connect_client(in, &client));
	CALL(ctd_content_label(
		client, arg(in, 0), label_args_read(&labels, args_from(in, 1), "true"), &content));
	autofree char *text = content->labels.n > 0 ? format_labels(content->labels) : xstrdup("");
	puts(text);
	return NULL;
}

static struct err *delete_one(struct ctd_client *client, const char *digest)
{
	TRY(digest_check(digest));
	struct err *e = from_ctd(ctd_content_delete(client, digest));
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	if (!e)
		puts(digest);
	return e;
}

static struct err *run_delete(struct invocation *in)
{
	auto_client *client = NULL;
	autoptr(err) first = NULL;

	TRY(connect_client(in, &client));
	for (size_t i = 0; i < arg_count(in); i++) {
		autofree char *what = xasprintf("could not delete %s", arg(in, i));

		first = first_error(TAKE(first), delete_one(client, arg(in, i)), what);
	}
	return TAKE(first);
}

static const struct flag ingest_flags[] = {
	{"expected-size", "the size that the content must have", FLAG_INT},
	{"expected-digest", "the digest that the content must have", FLAG_STRING},
	FLAGS_END,
};

static const struct flag list_flags[] = {
	{"quiet, q", "print only the blobs' digests", FLAG_BOOL},
	FLAGS_END,
};

static const struct command commands[] = {
	{"active", NULL, "display active transfers", "[<regexp>]", "display writes under way",
		.run = run_active},
	{"delete", "del, remove, rm", "permanently delete one or more blobs", "[<digest>, ...]",
		"delete blobs and print the digests of those that were there", .run = run_delete},
	{"get", NULL, "get the data for an object", "[<digest>, ...]", "write a blob to stdout",
		.run = run_get},
	{"ingest", NULL, "accept content into the store", "[flags] <key>",
		"write stdin into the content store", {ingest_flags}, run_ingest},
	{"list", "ls", "list all blobs in the store", "[flags] [<filter>, ...]",
		"list the blobs in the content store", {list_flags}, run_list},
	{"label", NULL, "add labels to content", "<digest> [<label>=<value> ...]",
		"label a blob in the content store", .run = run_label},
	COMMANDS_END,
};

const struct command content_command = {
	.name = "content",
	.usage = "manage content",
	.commands = commands,
};
