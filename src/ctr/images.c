// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "ctr/ctr.h"

#include <containerd/archive.h>
#include <containerd/images.h>

static void add_row(struct table *t, struct ctd_client *client, const struct ctd_image *image)
{
	auto_record struct ctd_strings *platforms = NULL;
	autofree char *labels = format_labels(image->labels);
	autofree char *names = NULL;
	char size_text[SIZE_TEXT];
	int64_t size = 0;
	autoptr(err) e = from_ctd(ctd_image_size(client, image, &size));

	if (e)
		log_error("failed calculating the size of an image", "image", image->name, "error",
			err_message(e));
	autoptr(err) e_platforms = from_ctd(ctd_image_platforms(client, image, &platforms));
	if (e_platforms)
		log_error("failed resolving the platforms of an image", "image", image->name,
			"error", err_message(e_platforms));
	names = platforms && platforms->n > 0 ? format_strings(*platforms, ",") : xstrdup("-");
	format_bytes(size, size_text);
	table_addf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", image->name, image->target.media_type,
		image->target.digest, size_text, names, labels);
}

static struct err *run_list(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_images *list = NULL;
	autoptr(table) t = table_new(1, 8, 1, ' ');
	bool quiet = flag_bool(in, "quiet");

	TRY(connect_client(in, &client));
	TRY(err_wrap(from_ctd(ctd_image_list(client, names_from(in, 0), arg_count(in), &list)),
		"failed to list images"));
	if (!quiet)
		table_add(t, "REF\tTYPE\tDIGEST\tSIZE\tPLATFORMS\tLABELS\t\n");
	for (size_t i = 0; i < list->n; i++) {
		if (quiet)
			puts(list->items[i]->name);
		else
			add_row(t, client, list->items[i]);
	}
	table_print(t, stdout);
	return NULL;
}

static struct err *run_label(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_image *image = NULL;
	autoval(label_args) labels = {0};

	if (arg_count(in) == 0)
		return err_new(ERR_INVALID, "please specify an image");
	TRY(connect_client(in, &client));
	CALL(ctd_image_label(client, arg(in, 0), label_args_read(&labels, args_from(in, 1), "true"),
		flag_bool(in, "replace-all"), &image));
	autofree char *text = image->labels.n > 0 ? format_labels(image->labels) : xstrdup("");
	puts(text);
	return NULL;
}

static struct err *check_one(struct table *t, struct ctd_client *client,
	const struct ctd_image *image, const char *snapshotter, bool quiet)
{
	struct ctd_image_state s = {0};
	char present[SIZE_TEXT], required[SIZE_TEXT];
	struct err *e = from_ctd(ctd_image_check(client, image, snapshotter, &s));
	bool complete = !e && s.available && s.n_present == s.n_required;

	if (quiet) {
		if (complete)
			puts(image->name);
		return err_wrap(e, "unable to check %s", image->name);
	}
	format_bytes(s.present_size, present);
	format_bytes(s.required_size, required);
	table_addf(t, "%s\t%s\t%s\t", image->name, image->target.media_type, image->target.digest);
	if (e)
		table_add(t, "error\t-\t");
	else if (s.available)
		table_addf(t, "%s (%zu/%zu)\t%s/%s\t", complete ? "complete" : "incomplete",
			s.n_present, s.n_required, present, required);
	else
		table_addf(t, "unavailable (%zu/?)\t%s/?\t", s.n_present, present);
	table_addf(t, "%s\n", s.unpacked ? "true" : "false");
	return err_wrap(e, "unable to check %s", image->name);
}

static struct err *run_check(struct invocation *in)
{
	auto_client *client = NULL;
	auto_record struct ctd_images *list = NULL;
	autoptr(table) t = table_new(1, 8, 1, ' ');
	autoptr(err) first = NULL;
	bool quiet = flag_bool(in, "quiet");

	TRY(connect_client(in, &client));
	TRY(err_wrap(from_ctd(ctd_image_list(client, names_from(in, 0), arg_count(in), &list)),
		"failed listing images"));
	if (!quiet && list->n > 0)
		table_add(t, "REF\tTYPE\tDIGEST\tSTATUS\tSIZE\tUNPACKED\t\n");
	for (size_t i = 0; i < list->n; i++)
		first = first_error(TAKE(first),
			check_one(t, client, list->items[i],
				or_null(flag_string(in, "snapshotter")), quiet),
			"image check");
	table_print(t, stdout);
	return TAKE(first);
}

static struct err *delete_one(struct ctd_client *client, const char *name, bool sync)
{
	struct err *e = from_ctd(ctd_image_delete(client, name, sync));

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		log_warn("image not found", "image", name);
		return NULL;
	}
	if (!e)
		puts(name);
	return err_wrap(e, "unable to delete %s", name);
}

static struct err *run_delete(struct invocation *in)
{
	auto_client *client = NULL;
	autoptr(err) first = NULL;

	TRY(connect_client(in, &client));
	for (size_t i = 0; i < arg_count(in); i++) {
		bool sync = flag_bool(in, "sync") && i + 1 == arg_count(in);

		first = first_error(
			TAKE(first), delete_one(client, arg(in, i), sync), "image delete");
	}
	return TAKE(first);
}

static struct err *run_tag(struct invocation *in)
{
	auto_client *client = NULL;

	if (arg_count(in) == 0)
		return err_new(ERR_INVALID, "please provide an image reference to tag from");
	if (arg_count(in) == 1)
		return err_new(ERR_INVALID, "please provide an image reference to tag to");
	TRY(connect_client(in, &client));
	for (size_t i = 1; i < arg_count(in); i++) {
		CALL(ctd_image_tag(client, arg(in, 0), arg(in, i), flag_bool(in, "force")));
		puts(arg(in, i));
	}
	return NULL;
}

/* --- archives --- */

struct unpacking {
	bool open_line; /* the text of an image stands there without its "done" */
};

static void show_unpacking(void *arg, const struct ctd_image *image, bool done)
{
	struct unpacking *u = arg;

	if (done)
		puts("done");
	else
		printf("unpacking %s (%s)...", image->name, image->target.digest);
	u->open_line = !done;
	fflush(stdout);
}

static struct err *run_import(struct invocation *in)
{
	struct ctd_import_options options = CTD_IMPORT_INIT;
	auto_client *client = NULL;
	auto_record struct ctd_images *images = NULL;
	autofd opened = -1;
	struct unpacking unpacking = {0};
	int fd = STDIN_FILENO;

	if (arg_count(in) == 0)
		return err_new(ERR_INVALID, "please provide an archive to import, or - for stdin");
	options.base_name = or_null(flag_string(in, "base-name"));
	options.digests = flag_bool(in, "digests");
	options.skip_digest_for_named = flag_bool(in, "skip-digest-for-named");
	options.index_name = or_null(flag_string(in, "index-name"));
	options.all_platforms = flag_bool(in, "all-platforms");
	options.platform = or_null(flag_string(in, "platform"));
	options.unpack = !flag_bool(in, "no-unpack");
	options.snapshotter = or_null(flag_string(in, "snapshotter"));
	options.on_unpack = show_unpacking;
	options.arg = &unpacking;
	if (options.skip_digest_for_named && !options.digests)
		return err_new(ERR_INVALID,
			"--skip-digest-for-named must be specified with --digests option");
	TRY(connect_client(in, &client));
	if (strcmp(arg(in, 0), "-") != 0) {
		fd = opened = open(arg(in, 0), O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(errno, "open %s", arg(in, 0));
	}
	struct err *e = from_ctd(ctd_import(client, fd, &options, &images));
	if (unpacking.open_line)
		putchar('\n');
	return e;
}

static const struct flag quiet_flags[] = {
	{"quiet, q", "print only the images' names", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag label_flags[] = {
	{"replace-all, r", "make the labels given the only ones", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag delete_flags[] = {
	{"sync", "return after what only these images held was removed", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag tag_flags[] = {
	{"force", "move the name when it is taken", FLAG_BOOL},
	FLAGS_END,
};

static const struct flag import_flags[] = {
	{"base-name",
		"name for images that the archive gives only a tag; others must start with it",
		FLAG_STRING},
	{"digests", "also name images by their digests", FLAG_BOOL},
	{"skip-digest-for-named", "with --digests: not those that have a name", FLAG_BOOL},
	{"index-name", "keep the archive's index as an image of this name", FLAG_STRING},
	{"all-platforms", "import the content of all platforms", FLAG_BOOL},
	{"platform", "import the content of this platform", FLAG_STRING},
	{"no-unpack", "leave the images packed", FLAG_BOOL},
	FLAGS_END,
};

static const struct command commands[] = {
	{"check", NULL, "check existing images to ensure all content is available locally",
		"[flags] [<filter>, ...]", "tell which images are complete and unpacked",
		{quiet_flags, snapshotter_flags}, run_check},
	{"import", NULL, "import images", "[flags] <in>",
		"Import images from a tar archive, gzip'ed or not, or from stdin for \"-\".\n"
		"It is an OCI layout or what docker save writes.\n\n"
		"The images of an OCI layout may be named by no more than a tag: --base-name says\n"
		"what stands in front of it, by default \"import-\" and the date.",
		{import_flags, snapshotter_flags}, run_import},
	{"list", "ls", "list images known to containerd", "[flags] [<filter>, ...]",
		"list the daemon's images", {quiet_flags}, run_list},
	{"delete", "del, remove, rm", "remove one or more images by reference",
		"[flags] <ref> [<ref>, ...]", "remove images by name", {delete_flags}, run_delete},
	{"tag", NULL, "tag an image", "[flags] <source_ref> <target_ref> [<target_ref>, ...]",
		"give an image more names", {tag_flags}, run_tag},
	{"label", NULL, "set and clear labels for an image", "[flags] <name> [<key>=<value>, ...]",
		"set labels of an image; an empty value clears the label", {label_flags},
		run_label},
	COMMANDS_END,
};

const struct command images_command = {
	.name = "images",
	.aliases = "image, i",
	.usage = "manage images",
	.commands = commands,
};
