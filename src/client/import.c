// SPDX-License-Identifier: Apache-2.0
/* From an archive to image records. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archive/entries.h"
#include "client/image-source.h"
#include "client/images-internal.h"
#include "oci/image-archive.h"
#include "oci/image-names.h"

#include <containerd/archive.h>

#define IMAGES_MAX 1024 /* of one archive */

/* --- references from parents to children, and from names to targets --- */

static struct err *label_tree(const struct scope *s, const struct descriptor *d,
	const struct platform *wanted, unsigned depth)
{
	autoval(image_index) children = {0};

	if (depth == IMAGE_DEPTH_MAX)
		return err_new(ERR_INVALID, "index %s: indexes are nested too deep", d->digest);
	TRY(image_children(BLOBS(s), d, &children));
	if (wanted)
		image_index_select(&children, wanted, IMAGE_INDEX_MAX);
	TRY(image_label_children(BLOBS(s), d, &children));
	for (size_t i = 0; i < children.n_entries; i++)
		TRY(label_tree(s, &children.entries[i].descriptor, wanted, depth + 1));
	return NULL;
}

struct found_image {
	char *name;
	struct descriptor target;
};

struct found_images {
	struct found_image *items;
	size_t n, cap;
};

static void found_images_done(struct found_images *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->items[i].name);
		descriptor_done(&f->items[i].target);
	}
	free(f->items);
}
DEFINE_AUTOVAL(found_images, found_images_done);

static struct err *found_add(
	struct found_images *f, char *take_name, const struct descriptor *target)
{
	if (f->n == IMAGES_MAX) {
		free(take_name);
		return err_new(ERR_EXHAUSTED, "more than %d images", IMAGES_MAX);
	}
	GROW(f->items, f->n, f->cap);
	f->items[f->n] = (struct found_image){.name = take_name};
	descriptor_copy(&f->items[f->n++].target, target);
	return NULL;
}

static struct err *find_names(const struct ctd_import_options *o, const struct image_index *index,
	struct found_images *found)
{
	char date[32];
	time_t now = time(NULL);
	struct tm tm;

	strftime(date, sizeof(date), "import-%Y-%m-%d", localtime_r(&now, &tm));
	const char *base = str_empty(o->base_name) ? date : o->base_name;
	for (size_t i = 0; i < index->n_entries; i++) {
		const struct descriptor *d = &index->entries[i].descriptor;
		char *name = image_entry_name(&d->annotations, base, !str_empty(o->base_name));

		if (name)
			TRY(found_add(found, name, d));
		if (o->digests && !(name && o->skip_digest_for_named))
			TRY(found_add(found, xasprintf("%s@%s", base, d->digest), d));
	}
	return NULL;
}

static struct ctd_images *image_list(const struct found_images *found)
{
	struct arena *arena = arena_new();
	struct ctd_images *list = record_new(arena, sizeof(*list));
	struct ctd_image **items = arena_array(arena, found->n, sizeof(*items));

	for (size_t i = 0; i < found->n; i++) {
		const struct descriptor *d = &found->items[i].target;

		items[i] = ARENA_NEW(arena, struct ctd_image);
		items[i]->name = arena_strdup(arena, found->items[i].name);
		items[i]->target = (struct ctd_descriptor){
			.media_type = arena_strdup(arena, d->media_type),
			.digest = arena_strdup(arena, d->digest),
			.size = d->size,
			.annotations = labels_from_strmap(&d->annotations, arena),
		};
	}
	list->n = found->n;
	list->items = (const struct ctd_image *const *)items;
	return list;
}

static struct err *unpack_images(
	const struct scope *s, const struct ctd_import_options *o, const struct ctd_images *images)
{
	for (size_t i = 0; i < images->n; i++) {
		const struct ctd_image *image = images->items[i];

		if (o->on_unpack)
			o->on_unpack(o->arg, image, false);
		TRY(ctd_image_unpack(s->client, image, o->snapshotter, o->platform));
		if (o->on_unpack)
			o->on_unpack(o->arg, image, true);
	}
	return NULL;
}

static struct err *put_images(const struct scope *s, const struct ctd_images *images)
{
	for (size_t i = 0; i < images->n; i++)
		TRY(err_wrap(
			image_put(s, images->items[i]), "image \"%s\"", images->items[i]->name));
	return NULL;
}

static struct err *import_index(const struct scope *s, const struct ctd_import_options *o,
	const struct descriptor *root, struct ctd_images **ret)
{
	autoval(image_index) index = {0};
	autoval(platform) wanted = PLATFORM_INIT;
	autoval(found_images) found = {0};

	TRY(platform_wanted(o->platform, &wanted));
	TRY(image_children(BLOBS(s), root, &index));
	if (!str_empty(o->index_name))
		TRY(found_add(&found, xstrdup(o->index_name), root));
	TRY(find_names(o, &index, &found));
	if (!o->all_platforms)
		image_index_select(&index, &wanted, IMAGE_INDEX_MAX);
	if (index.n_entries == 0)
		return err_new(ERR_NOT_FOUND, "image might be filtered out: the archive has "
					      "nothing for the platform asked for");
	TRY(label_tree(s, root, o->all_platforms ? NULL : &wanted, 0));
	struct ctd_images *images = image_list(&found);
	struct err *e = o->unpack ? unpack_images(s, o, images) : NULL;
	if (!e)
		e = put_images(s, images);
	if (e) {
		ctd_free(images);
		return e;
	}
	*ret = images;
	return NULL;
}

struct err *ctd_import(struct ctd_client *client, int fd, const struct ctd_import_options *given,
	struct ctd_images **ret)
{
	static const struct entry_visitor visitor = {
		image_archive_file, image_archive_data, image_archive_file_end, image_archive_link};
	struct ctd_import_options options = CTD_IMPORT_INIT;
	autoval(temporary_lease) lease = {0};
	autoval(image_archive) a = {0};
	autoval(descriptor) root = DESCRIPTOR_INIT;

	if (given)
		memcpy(&options, given, MIN(given->size, sizeof(options)));
	TRY(temporary_lease_new(client, &lease));
	struct scope s = {.client = client, .lease = lease.id};
	image_archive_init(&a, BLOBS(&s));
	TRY(err_wrap(entries_read(codec_read_fd, &fd, &visitor, &a), "image archive"));
	TRY(image_archive_index(&a, &root));
	return import_index(&s, &options, &root, ret);
}
