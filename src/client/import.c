// SPDX-License-Identifier: Apache-2.0
/* From an archive to image records. What docker save writes gets the manifests and the index that
 * containerd's own importer would make, byte for byte, so that digests agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/json.h"
#include "client/archive-names.h"
#include "client/archive-read.h"
#include "client/content-internal.h"
#include "client/image-tree.h"
#include "client/images-internal.h"
#include "client/message-json.h"

#include <containerd/archive.h>
#include <containerd/content.h>

#define MEDIA_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"
#define MEDIA_DOCKER_LAYER_GZIP "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define DOCUMENT_MAX ((size_t)8 << 20)
#define IMAGES_MAX 1024 /* of one archive */

/* --- what docker save writes --- */

struct layer {
	char digest[DIGEST_MAX];
	int64_t size;
	bool is_compressed;
};

static struct err *overflow(void)
{
	return err_new(ERR_EXHAUSTED, "the image has too many layers or names");
}

static bool print_descriptor(
	struct buf *b, const char *media_type, const char *digest, int64_t size)
{
	return buf_printf(b, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%lld", media_type,
		digest, (long long)size);
}

static struct err *store_document(
	const struct scope *s, const struct buf *b, char ret[static DIGEST_MAX])
{
	char digest[DIGEST_MAX], ref[DIGEST_MAX + 16];

	digest_of(b->data, b->len, digest);
	snprintf(ref, sizeof(ref), "manifest-%s", digest);
	return content_store(s, ref, b->data, b->len, (struct ctd_labels){0}, ret);
}

/* A blob that is compressed and known to be this layer stands in for it: it was pulled before. */
static struct err *find_compressed(const struct scope *s, struct layer *layer)
{
	autofree char *filter =
		xasprintf("labels.\"containerd.io/uncompressed\"==%s", layer->digest);
	struct ctd_contents *found;

	if (layer->is_compressed)
		return NULL;
	TRY(ctd_content_list(s->client, (const char *const[]){filter}, 1, &found));
	for (size_t i = 0; i < found->n; i++) {
		const struct ctd_content *c = found->items[i];

		if (str_eq(c->digest, layer->digest) || strlen(c->digest) >= DIGEST_MAX)
			continue;
		memcpy(layer->digest, c->digest, strlen(c->digest) + 1);
		layer->size = c->size;
		layer->is_compressed = true;
		break;
	}
	ctd_free(found);
	return NULL;
}

static struct err *print_layers(
	const struct scope *s, const struct archive *a, struct json_object *names, struct buf *b)
{
	size_t n =
		json_object_is_type(names, json_type_array) ? json_object_array_length(names) : 0;

	if (n > IMAGE_LAYERS_MAX)
		return overflow();
	for (size_t i = 0; i < n; i++) {
		const char *path = json_object_get_string(json_object_array_get_idx(names, i));
		const struct archive_blob *blob = archive_find(a, str_or(path, ""));
		struct layer layer;

		if (!blob)
			return err_new(ERR_INVALID,
				"failed to resolve layers: layer \"%s\" not found",
				str_or(path, ""));
		layer.size = blob->size;
		layer.is_compressed = blob->is_compressed;
		memcpy(layer.digest, blob->digest, sizeof(layer.digest));
		TRY(find_compressed(s, &layer));
		if ((i > 0 && !buf_append(b, ",", 1)) ||
			!print_descriptor(b,
				layer.is_compressed ? MEDIA_DOCKER_LAYER_GZIP : MEDIA_DOCKER_LAYER,
				layer.digest, layer.size) ||
			!buf_append(b, "}", 1))
			return overflow();
	}
	return NULL;
}

static struct err *docker_manifest(const struct scope *s, const struct archive *a,
	struct json_object *image, struct descriptor *ret, struct platform *ret_platform)
{
	autoval(buf) b = BUF_INIT(DOCUMENT_MAX);
	autoval(image_config) config = {0};
	autoval(descriptor) d = DESCRIPTOR_INIT;
	const char *path = str_or(json_find_string(image, "Config"), "");
	const struct archive_blob *blob = archive_find(a, path);
	char digest[DIGEST_MAX];

	if (!blob)
		return err_new(ERR_INVALID, "image config \"%s\" not found", path);
	d.media_type = xstrdup(MEDIA_DOCKER_CONFIG);
	d.digest = xstrdup(blob->digest);
	d.size = blob->size;
	TRY(image_config_load(s, &d, &config));
	if (!buf_printf(&b, "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":",
		    MEDIA_DOCKER_MANIFEST) ||
		!print_descriptor(&b, MEDIA_DOCKER_CONFIG, blob->digest, blob->size) ||
		!buf_printf(&b, "},\"layers\":["))
		return overflow();
	TRY(print_layers(s, a, json_find(image, "Layers"), &b));
	if (!buf_append(&b, "]}", 2))
		return overflow();
	TRY(err_wrap(store_document(s, &b, digest), "write docker manifest"));
	ret->media_type = xstrdup(MEDIA_DOCKER_MANIFEST);
	ret->digest = xstrdup(digest);
	ret->size = (int64_t)b.len;
	platform_copy(ret_platform, &config.platform);
	return NULL;
}

static bool print_platform(struct buf *b, const struct platform *p)
{
	return buf_append(b, "{\"architecture\":", 16) && json_string(p->architecture, b) &&
	       buf_append(b, ",\"os\":", 6) && json_string(p->os, b) &&
	       (str_empty(p->variant) ||
		       (buf_append(b, ",\"variant\":", 11) && json_string(p->variant, b))) &&
	       buf_append(b, "}", 1);
}

static bool print_entry(
	struct buf *b, const struct descriptor *d, const struct platform *p, const char *name)
{
	autofree char *ref = name ? archive_ref_name(name) : NULL;
	bool ok = buf_printf(b, "%s", str_ends(buf_str(b), "[") ? "" : ",") &&
		  print_descriptor(b, d->media_type, d->digest, d->size);

	if (ok && name)
		ok = buf_printf(b, ",\"annotations\":{\"" NAME_ANNOTATION "\":") &&
		     json_string(name, b) && buf_printf(b, ",\"" REF_ANNOTATION "\":") &&
		     json_string(ref, b) && buf_append(b, "}", 1);
	return ok && buf_printf(b, ",\"platform\":") && print_platform(b, p) &&
	       buf_append(b, "}", 1);
}

/* One entry of the index for each name, or one without. */
static struct err *docker_image(const struct scope *s, const struct archive *a,
	struct json_object *image, struct buf *index)
{
	autoval(descriptor) d = DESCRIPTOR_INIT;
	autoval(platform) platform = PLATFORM_INIT;
	struct json_object *tags = json_find(image, "RepoTags");
	size_t n = json_object_is_type(tags, json_type_array) ? json_object_array_length(tags) : 0;

	TRY(docker_manifest(s, a, image, &d, &platform));
	if (n == 0)
		return print_entry(index, &d, &platform, NULL) ? NULL : overflow();
	if (n > IMAGES_MAX)
		return overflow();
	for (size_t i = 0; i < n; i++) {
		const char *tag = json_object_get_string(json_object_array_get_idx(tags, i));
		autofree char *name = NULL;

		TRY(archive_full_name(str_or(tag, ""), &name));
		if (!print_entry(index, &d, &platform, name))
			return overflow();
	}
	return NULL;
}

static struct err *docker_index(
	const struct scope *s, const struct archive *a, struct descriptor *ret)
{
	autoptr(json_object) images = NULL;
	autoval(buf) b = BUF_INIT(DOCUMENT_MAX);
	char digest[DIGEST_MAX];

	TRY(err_wrap(json_parse(a->manifest, a->manifest_len, &images), "manifest.json"));
	if (!json_object_is_type(images, json_type_array) ||
		json_object_array_length(images) > IMAGES_MAX)
		return err_new(ERR_INVALID, "manifest.json is not a list of at most %d images",
			IMAGES_MAX);
	if (!buf_printf(&b, "{\"schemaVersion\":2,\"manifests\":["))
		return overflow();
	for (size_t i = 0; i < json_object_array_length(images); i++)
		TRY(docker_image(s, a, json_object_array_get_idx(images, i), &b));
	if (!buf_append(&b, "]}", 2))
		return overflow();
	TRY(store_document(s, &b, digest));
	ret->media_type = xstrdup(MEDIA_INDEX);
	ret->digest = xstrdup(digest);
	ret->size = (int64_t)b.len;
	return NULL;
}

/* --- OCI layouts --- */

static struct err *layout_index(const struct archive *a, struct descriptor *ret)
{
	autoptr(json_object) layout = NULL;
	const struct archive_blob *index = archive_find(a, "index.json");

	TRY(err_wrap(json_parse(a->layout, a->layout_len, &layout), "oci-layout"));
	const char *version = str_or(json_find_string(layout, "imageLayoutVersion"), "");
	if (strcmp(version, "1.0.0") != 0)
		return err_new(ERR_INVALID, "unsupported OCI version %s", version);
	if (!index)
		return err_new(ERR_INVALID, "missing index.json in OCI layout %s", version);
	ret->media_type = xstrdup(MEDIA_INDEX);
	ret->digest = xstrdup(index->digest);
	ret->size = index->size;
	return NULL;
}

/* --- references from parents to children, and from names to targets --- */

static const char *label_prefix(const char *media_type)
{
	if (media_type_is_config(media_type))
		return "config";
	if (media_type_is_manifest(media_type))
		return "m.";
	if (media_type_is_layer(media_type))
		return "l.";
	return "";
}

static struct err *label_children(
	const struct scope *s, const struct descriptor *parent, const struct image_index *children)
{
	autoptr(arena) arena = arena_new();
	struct ctd_label *labels = arena_array(arena, children->n_entries, sizeof(*labels));
	size_t n_of_kind[4] = {0};

	if (children->n_entries == 0)
		return NULL;
	for (size_t i = 0; i < children->n_entries; i++) {
		const struct descriptor *d = &children->entries[i].descriptor;
		const char *prefix = label_prefix(d->media_type);
		size_t *n = &n_of_kind[*prefix == 'c' ? 0 : *prefix == 'm' ? 1 : *prefix ? 2 : 3];

		labels[i].key = *prefix == 'c' && *n == 0
					? "containerd.io/gc.ref.content.config"
					: arena_printf(arena, "containerd.io/gc.ref.content.%s%zu",
						  prefix, *n);
		labels[i].value = d->digest;
		(*n)++;
	}
	return content_label(
		s, parent->digest, (struct ctd_labels){.n = children->n_entries, .items = labels});
}

static struct err *label_tree(const struct scope *s, const struct descriptor *d,
	const struct platform *wanted, unsigned depth)
{
	autoval(image_index) children = {0};

	if (depth == IMAGE_DEPTH_MAX)
		return err_new(ERR_INVALID, "index %s: indexes are nested too deep", d->digest);
	TRY(image_children(s, d, &children));
	if (wanted)
		image_index_select(&children, wanted, IMAGE_INDEX_MAX);
	TRY(label_children(s, d, &children));
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
		char *name = archive_entry_name(&d->annotations, base, !str_empty(o->base_name));

		if (name)
			TRY(found_add(found, name, d));
		if (o->digests && !(name && o->skip_digest_for_named))
			TRY(found_add(found, xasprintf("%s@%s", base, d->digest), d));
	}
	return NULL;
}

static struct err *put_images(
	const struct scope *s, const struct found_images *found, struct ctd_images **ret)
{
	autoptr(arena) arena = arena_new();
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
		TRY(err_wrap(image_put(s, items[i]), "image \"%s\"", items[i]->name));
	}
	list->n = found->n;
	list->items = (const struct ctd_image *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}

static struct err *import_index(const struct scope *s, const struct ctd_import_options *o,
	const struct descriptor *root, struct ctd_images **ret)
{
	autoval(image_index) index = {0};
	autoval(platform) wanted = PLATFORM_INIT;
	autoval(found_images) found = {0};

	TRY(platform_wanted(o->platform, &wanted));
	TRY(image_children(s, root, &index));
	if (!str_empty(o->index_name))
		TRY(found_add(&found, xstrdup(o->index_name), root));
	TRY(find_names(o, &index, &found));
	if (!o->all_platforms)
		image_index_select(&index, &wanted, IMAGE_INDEX_MAX);
	if (index.n_entries == 0)
		return err_new(ERR_NOT_FOUND, "image might be filtered out: the archive has "
					      "nothing for the platform asked for");
	TRY(label_tree(s, root, o->all_platforms ? NULL : &wanted, 0));
	return put_images(s, &found, ret);
}

struct err *ctd_import(struct ctd_client *client, int fd, const struct ctd_import_options *given,
	struct ctd_images **ret)
{
	struct ctd_import_options options = CTD_IMPORT_INIT;
	autoval(temporary_lease) lease = {0};
	autoval(archive) a = {0};
	autoval(descriptor) root = DESCRIPTOR_INIT;

	if (given)
		memcpy(&options, given, MIN(given->size, sizeof(options)));
	TRY(temporary_lease_new(client, &lease));
	struct scope s = {.client = client, .lease = lease.id};
	TRY(archive_read(&s, fd, &a));
	if (a.layout)
		TRY(layout_index(&a, &root));
	else if (a.manifest)
		TRY(docker_index(&s, &a, &root));
	else
		return err_new(ERR_INVALID, "unrecognized image format: the archive has neither "
					    "oci-layout nor manifest.json");
	return import_index(&s, &options, &root, ret);
}
