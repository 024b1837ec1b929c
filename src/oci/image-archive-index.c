// SPDX-License-Identifier: Apache-2.0
/* The index of an image archive. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "oci/image-archive-internal.h"
#include "oci/image-names.h"
#include "oci/image-tree.h"

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
	struct image_archive *a, const struct buf *b, char ret[static DIGEST_MAX])
{
	char digest[DIGEST_MAX], ref[DIGEST_MAX + 16];

	digest_of(b->data, b->len, digest);
	snprintf(ref, sizeof(ref), "manifest-%s", digest);
	return image_blob_store(a->blobs, ref, b->data, b->len, ret);
}

static struct err *find_compressed(struct image_archive *a, struct layer *layer)
{
	char found[DIGEST_MAX];
	int64_t size = 0;

	if (layer->is_compressed)
		return NULL;
	TRY(image_blob_compressed(a->blobs, layer->digest, a->compress, found, &size));
	if (!*found)
		return NULL;
	memcpy(layer->digest, found, sizeof(found));
	layer->size = size;
	layer->is_compressed = true;
	return NULL;
}

static struct err *print_layers(struct image_archive *a, struct json_object *names, struct buf *b)
{
	size_t n =
		json_object_is_type(names, json_type_array) ? json_object_array_length(names) : 0;

	if (n > IMAGE_LAYERS_MAX)
		return overflow();
	for (size_t i = 0; i < n; i++) {
		const char *path = json_object_get_string(json_object_array_get_idx(names, i));
		const struct archive_file *blob = image_archive_find(a, str_or(path, ""));
		struct layer layer;

		if (!blob)
			return err_new(ERR_INVALID,
				"failed to resolve layers: layer \"%s\" not found",
				str_or(path, ""));
		layer.size = blob->size;
		layer.is_compressed = blob->is_compressed;
		memcpy(layer.digest, blob->digest, sizeof(layer.digest));
		TRY(find_compressed(a, &layer));
		if ((i > 0 && !buf_append(b, ",", 1)) ||
			!print_descriptor(b,
				layer.is_compressed ? MEDIA_DOCKER_LAYER_GZIP : MEDIA_DOCKER_LAYER,
				layer.digest, layer.size) ||
			!buf_append(b, "}", 1))
			return overflow();
	}
	return NULL;
}

static struct err *docker_manifest(struct image_archive *a, struct json_object *image,
	struct descriptor *ret, struct platform *ret_platform)
{
	autoval(buf) b = BUF_INIT(DOCUMENT_MAX);
	autoval(image_config) config = {0};
	autoval(descriptor) d = DESCRIPTOR_INIT;
	const char *path = str_or(json_find_string(image, "Config"), "");
	const struct archive_file *blob = image_archive_find(a, path);
	char digest[DIGEST_MAX];

	if (!blob)
		return err_new(ERR_INVALID, "image config \"%s\" not found", path);
	d.media_type = xstrdup(MEDIA_DOCKER_CONFIG);
	d.digest = xstrdup(blob->digest);
	d.size = blob->size;
	TRY(image_config_load(a->blobs, &d, &config));
	if (!buf_printf(&b, "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":",
		    MEDIA_DOCKER_MANIFEST) ||
		!print_descriptor(&b, MEDIA_DOCKER_CONFIG, blob->digest, blob->size) ||
		!buf_printf(&b, "},\"layers\":["))
		return overflow();
	TRY(print_layers(a, json_find(image, "Layers"), &b));
	if (!buf_append(&b, "]}", 2))
		return overflow();
	TRY(err_wrap(store_document(a, &b, digest), "write docker manifest"));
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
	autofree char *ref = name ? image_ref_name(name) : NULL;
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
static struct err *docker_image(
	struct image_archive *a, struct json_object *image, struct buf *index)
{
	autoval(descriptor) d = DESCRIPTOR_INIT;
	autoval(platform) platform = PLATFORM_INIT;
	struct json_object *tags = json_find(image, "RepoTags");
	size_t n = json_object_is_type(tags, json_type_array) ? json_object_array_length(tags) : 0;

	TRY(docker_manifest(a, image, &d, &platform));
	if (n == 0)
		return print_entry(index, &d, &platform, NULL) ? NULL : overflow();
	if (n > IMAGES_MAX)
		return overflow();
	for (size_t i = 0; i < n; i++) {
		const char *tag = json_object_get_string(json_object_array_get_idx(tags, i));
		autofree char *name = NULL;

		TRY(image_full_name(str_or(tag, ""), &name));
		if (!print_entry(index, &d, &platform, name))
			return overflow();
	}
	return NULL;
}

static struct err *docker_index(struct image_archive *a, struct descriptor *ret)
{
	autoptr(json_object) images = NULL;
	autoval(buf) b = BUF_INIT(DOCUMENT_MAX);
	char digest[DIGEST_MAX];

	TRY(err_wrap(json_parse(buf_str(&a->manifest), a->manifest.len, &images), "manifest.json"));
	if (!json_object_is_type(images, json_type_array) ||
		json_object_array_length(images) > IMAGES_MAX)
		return err_new(ERR_INVALID, "manifest.json is not a list of at most %d images",
			IMAGES_MAX);
	if (!buf_printf(&b, "{\"schemaVersion\":2,\"manifests\":["))
		return overflow();
	for (size_t i = 0; i < json_object_array_length(images); i++)
		TRY(docker_image(a, json_object_array_get_idx(images, i), &b));
	if (!buf_append(&b, "]}", 2))
		return overflow();
	TRY(store_document(a, &b, digest));
	ret->media_type = xstrdup(MEDIA_INDEX);
	ret->digest = xstrdup(digest);
	ret->size = (int64_t)b.len;
	return NULL;
}

/* --- OCI layouts --- */

static struct err *layout_index(const struct image_archive *a, struct descriptor *ret)
{
	autoptr(json_object) layout = NULL;
	const struct archive_file *index = image_archive_find(a, "index.json");

	TRY(err_wrap(json_parse(buf_str(&a->layout), a->layout.len, &layout), "oci-layout"));
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

struct err *image_archive_index(struct image_archive *a, struct descriptor *ret)
{
	if (a->has_layout)
		return layout_index(a, ret);
	if (a->has_manifest)
		return docker_index(a, ret);
	return err_new(ERR_INVALID, "unrecognized image format: the archive has neither "
				    "oci-layout nor manifest.json");
}
