// SPDX-License-Identifier: Apache-2.0
/* From an archive to names in the image store. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "oci/image-archive.h"
#include "transfer/archive-worker.h"
#include "transfer/transfer-internal.h"

struct import {
	struct transfer *transfer;
	struct content_blobs blobs;
	const struct transfer_store *to;
	struct unpack_plans plans;
	bool has_children; /* anything that was not filtered out */
};

static void import_done(struct import *i)
{
	unpack_plans_done(&i->plans);
}
DEFINE_AUTOVAL(import, import_done);

static bool is_wanted(const struct transfer_store *to, const struct image_index_entry *e)
{
	return to->n_platforms == 0 || !e->has_platform ||
	       platform_rank(to->platforms, to->n_platforms, &e->platform) < to->n_platforms;
}

/* With all metadata, of other platforms' manifests only the configs. */
static bool keeps_child(const struct transfer_store *to, const struct image_index_entry *parent,
	const struct image_index_entry *child)
{
	if (!to->all_metadata)
		return is_wanted(to, child);
	return is_wanted(to, parent) || !media_type_is_manifest(parent->descriptor.media_type) ||
	       media_type_is_config(child->descriptor.media_type);
}

static struct err *filter_children(const struct transfer_store *to,
	const struct image_index_entry *parent, struct image_index *children)
{
	for (size_t i = children->n_entries; i-- > 0;)
		if (!keeps_child(to, parent, &children->entries[i]))
			image_index_drop(children, i);
	if (!to->manifest_limit || !media_type_is_index(parent->descriptor.media_type))
		return NULL;
	entries_sort(children, to->platforms, to->n_platforms);
	if (children->n_entries == 0)
		return err_new(ERR_NOT_FOUND, "no match for platform in manifest: not found");
	while (children->n_entries > to->manifest_limit)
		image_index_drop(children, children->n_entries - 1);
	return NULL;
}

static struct err *walk(struct import *i, const struct image_index_entry *entry, unsigned depth)
{
	const struct descriptor *d = &entry->descriptor;
	autoval(image_index) children = {0};

	if (depth == IMAGE_DEPTH_MAX)
		return err_new(ERR_INVALID, "index %s: indexes are nested too deep", d->digest);
	TRY(cancel_check(i->blobs.cancel));
	TRY(image_children(&i->blobs.base, d, &children));
	TRY(image_label_children(&i->blobs.base, d, &children));
	TRY(filter_children(i->to, entry, &children));
	i->has_children |= children.n_entries > 0;
	for (size_t k = 0; k < children.n_entries; k++)
		TRY(walk(i, &children.entries[k], depth + 1));
	if (i->plans.n && media_type_is_manifest(d->media_type))
		return unpack_manifest(i->transfer, &i->blobs, &i->plans, &children);
	return NULL;
}

static struct err *put_names(struct import *i, const struct descriptor *d, bool by_annotations,
	const struct transfer_progress *progress)
{
	struct err *e =
		store_names(i->transfer, i->blobs.scope, i->to, d, by_annotations, progress);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	log_info("no name for an image of the archive", "digest", d->digest);
	err_free(e);
	return NULL;
}

static struct err *put_all_names(
	struct import *i, const struct descriptor *root, const struct transfer_progress *progress)
{
	autoval(image_index) index = {0};

	TRY(image_children(&i->blobs.base, root, &index));
	TRY(put_names(i, root, false, progress));
	for (size_t k = 0; k < index.n_entries; k++)
		TRY(put_names(i, &index.entries[k].descriptor, true, progress));
	return NULL;
}

static struct err *take_archive(
	struct import *i, struct stream *from, bool compress, struct descriptor *ret)
{
	static const struct entry_visitor visitor = {
		image_archive_file, image_archive_data, image_archive_file_end, image_archive_link};
	autoval(image_archive) a = {0};

	image_archive_init(&a, &i->blobs.base);
	a.compress = compress;
	TRY(archive_worker_run(i->transfer->worker, from, i->blobs.cancel, &visitor, &a));
	return image_archive_index(&a, ret);
}

struct err *transfer_import(struct transfer *t, const struct scope *s, struct stream *from,
	bool compress, const struct transfer_store *to, const struct transfer_progress *progress,
	struct cancel *cancel)
{
	autoval(leased) l = {0};
	autoval(import) i = {.transfer = t, .to = to};
	autoval(descriptor) root = DESCRIPTOR_INIT;

	TRY(leased_begin(t, s, &l));
	i.blobs = (struct content_blobs){{&content_blobs_ops}, t->content, &l.scope, cancel};
	progress_emit(progress, "Importing", NULL, NULL);
	TRY(take_archive(&i, from, compress, &root));
	TRY(unpack_plan(t, &l.scope, to, &i.plans));
	struct image_index_entry top = {.descriptor = root};

	TRY(walk(&i, &top, 0));
	if (!i.has_children)
		return err_new(ERR_UNKNOWN, "image might be filtered out");
	TRY(put_all_names(&i, &root, progress));
	progress_emit(progress, "Completed import", NULL, NULL);
	return NULL;
}
