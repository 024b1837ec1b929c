// SPDX-License-Identifier: Apache-2.0
#include "oci/image-archive.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "oci/image-archive-internal.h"
#include "oci/image-names.h"

#define LINKS_MAX 8 /* in a row */

void image_archive_init(struct image_archive *a, struct image_blobs *blobs)
{
	*a = (struct image_archive){
		.blobs = blobs,
		.layout = BUF_INIT(IMAGE_ARCHIVE_JSON_MAX),
		.manifest = BUF_INIT(IMAGE_ARCHIVE_JSON_MAX),
	};
}

static void drop_file(struct image_archive *a)
{
	image_blob_end(a->blobs, TAKE(a->writer));
	a->document = NULL;
	free(TAKE(a->file));
	free(TAKE(a->path));
}

void image_archive_done(struct image_archive *a)
{
	drop_file(a);
	map_done(&a->files, free);
	map_done(&a->links, free);
	buf_done(&a->layout);
	buf_done(&a->manifest);
}

const struct archive_file *image_archive_find(const struct image_archive *a, const char *path)
{
	autofree char *clean = image_clean_path(path);

	for (int i = 0; i < LINKS_MAX; i++) {
		const struct archive_file *file = map_get(&a->files, clean);
		const char *next = map_get(&a->links, clean);

		if (file || !next)
			return file;
		free(clean);
		clean = xstrdup(next);
	}
	return NULL;
}

static bool looks_compressed(const uint8_t *data, size_t len)
{
	static const uint8_t gzip[] = {0x1f, 0x8b, 0x08}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};

	return (len >= sizeof(gzip) && memcmp(data, gzip, sizeof(gzip)) == 0) ||
	       (len >= sizeof(zstd) && memcmp(data, zstd, sizeof(zstd)) == 0);
}

static struct err *count_name(struct image_archive *a, const char *name)
{
	a->name_bytes += strlen(name) + 1;
	if (a->name_bytes > IMAGE_ARCHIVE_NAMES_MAX)
		return err_new(ERR_EXHAUSTED, "the names in the archive have more than %zu bytes",
			IMAGE_ARCHIVE_NAMES_MAX);
	return NULL;
}

struct err *image_archive_file(void *archive, const char *name, int64_t size)
{
	struct image_archive *a = archive;

	drop_file(a);
	TRY(count_name(a, name));
	a->path = image_clean_path(name);
	if (strcmp(a->path, "oci-layout") == 0) {
		a->has_layout = true;
		a->document = &a->layout;
	} else if (strcmp(a->path, "manifest.json") == 0) {
		a->has_manifest = true;
		a->document = &a->manifest;
	}
	if (a->document) {
		buf_reset(a->document);
		return NULL;
	}
	autofree char *ref = xasprintf("tar-%s", a->path);
	autofree char *digest = image_blob_digest(a->path);

	a->n_head = 0;
	a->file = NEW(struct archive_file);
	a->file->size = size;
	return image_blob_begin(a->blobs, ref, size, digest, &a->writer);
}

struct err *image_archive_data(void *archive, const void *data, size_t len)
{
	struct image_archive *a = archive;

	if (a->document)
		return buf_append(a->document, data, len)
			       ? NULL
			       : err_new(ERR_EXHAUSTED, "larger than %zu bytes", a->document->max);
	for (size_t i = 0; i < len && a->n_head < sizeof(a->head); i++)
		a->head[a->n_head++] = ((const uint8_t *)data)[i];
	return image_blob_add(a->blobs, a->writer, data, len);
}

struct err *image_archive_file_end(void *archive)
{
	struct image_archive *a = archive;

	if (a->writer) {
		TRY(image_blob_commit(a->blobs, a->writer, a->file->digest));
		a->file->is_compressed = looks_compressed(a->head, a->n_head);
		free(map_set(&a->files, a->path, TAKE(a->file)));
	}
	drop_file(a);
	return NULL;
}

/* A symlink leads from its own folder, a hard link from the top. */
struct err *image_archive_link(void *archive, const char *name, const char *target, bool is_symlink)
{
	struct image_archive *a = archive;

	TRY(count_name(a, name));
	TRY(count_name(a, target));
	autofree char *path = image_clean_path(name);
	const char *slash = strrchr(path, '/');
	autofree char *from_here = NULL;

	if (is_symlink && slash && *target != '/')
		from_here = xasprintf("%.*s/%s", (int)(slash - path), path, target);
	free(map_set(&a->links, path, image_clean_path(from_here ? from_here : target)));
	return NULL;
}
