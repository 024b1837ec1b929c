// SPDX-License-Identifier: Apache-2.0
/* Images as an archive: an OCI layout, with the manifest.json that docker load wants. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/tar-format.h"
#include "archive/tar-writer.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "oci/image-names.h"
#include "transfer/transfer-internal.h"

#define DOCUMENT_MAX ((size_t)64 << 20)
#define RECORDS_MAX 262144
#define CHUNK_BYTES ((size_t)256 * 1024)
#define MEDIA_INDEX "application/vnd.oci.image.index.v1+json"
#define LABEL_SOURCE "containerd.io/distribution.source"

/* One member of the archive. */
struct record {
	char *name;
	char *digest; /* of a blob, or NULL */
	char *text;   /* of a document, or NULL; neither: a directory */
	int64_t size;
};

/* A manifest for docker, and what it is called. */
struct docker_image {
	struct descriptor manifest;
	struct strv names;
};

struct export
{
	struct transfer *transfer;
	struct content_blobs blobs;
	const struct transfer_export *options;
	struct stream *to;
	size_t written;
	struct record *records;
	size_t n, cap;
	struct map has_record;	     /* name -> anything */
	struct docker_image *images; /* in order of appearance */
	size_t n_images, cap_images;
	struct map resolved;	 /* digest of an index or manifest -> image number + 1 */
	struct descriptor *tops; /* what index.json lists */
	size_t n_tops, cap_tops;
};

static void export_done(struct export *x)
{
	for (size_t i = 0; i < x->n; i++) {
		free(x->records[i].name);
		free(x->records[i].digest);
		free(x->records[i].text);
	}
	for (size_t i = 0; i < x->n_images; i++) {
		descriptor_done(&x->images[i].manifest);
		strv_done(&x->images[i].names);
	}
	for (size_t i = 0; i < x->n_tops; i++)
		descriptor_done(&x->tops[i]);
	free(x->records);
	free(x->images);
	free(x->tops);
	map_done(&x->has_record, NULL);
	map_done(&x->resolved, NULL);
}
DEFINE_AUTOVAL(export, export_done);

/* --- what goes into the archive --- */

/* Each name once. */
static struct err *add_record(
	struct export *x, const char *name, const char *digest, struct buf *text, int64_t size)
{
	struct record *r;

	if (map_get(&x->has_record, name))
		return NULL;
	if (x->n == RECORDS_MAX)
		return err_new(ERR_EXHAUSTED, "more than %d blobs", RECORDS_MAX);
	map_set(&x->has_record, name, x);
	GROW(x->records, x->n, x->cap);
	r = &x->records[x->n++];
	*r = (struct record){.name = xstrdup(name), .digest = xstrdup(digest), .size = size};
	if (text) {
		r->size = (int64_t)text->len;
		r->text = buf_take(text, NULL);
	}
	return NULL;
}

static char *blob_path(const char *digest)
{
	const char *hex = digest_hex(digest);

	return xasprintf("blobs/%.*s/%s", (int)(hex - digest - 1), digest, hex);
}

static struct err *add_blob(struct export *x, const struct descriptor *d)
{
	static const char *const foreign[] = {"application/vnd.oci.image.layer.nondistributable.",
		"application/vnd.docker.image.rootfs.foreign."};
	autofree char *path = NULL, *dir = NULL;

	TRY(digest_check(str_or(d->digest, "")));
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (x->options->skip_non_distributable && str_starts(d->media_type, foreign[i]))
			return NULL;
	path = blob_path(d->digest);
	dir = xasprintf("blobs/%.*s/", (int)(digest_hex(d->digest) - d->digest - 1), d->digest);
	TRY(add_record(x, "blobs/", NULL, NULL, 0));
	TRY(add_record(x, dir, NULL, NULL, 0));
	return add_record(x, path, d->digest, NULL, d->size);
}

static struct err *add_tree(struct export *x, const struct descriptor *d, unsigned depth)
{
	autoval(image_index) children = {0};

	if (depth == IMAGE_DEPTH_MAX)
		return err_new(ERR_INVALID, "index %s: indexes are nested too deep", d->digest);
	TRY(image_children(&x->blobs.base, d, &children));
	TRY(add_blob(x, d));
	for (size_t i = 0; i < children.n_entries; i++)
		TRY(add_tree(x, &children.entries[i].descriptor, depth + 1));
	return NULL;
}

/* The number of the image plus 1, kept under the digest that led to it. */
static size_t add_docker_image(
	struct export *x, const char *digest, const struct descriptor *manifest)
{
	size_t n = (uintptr_t)map_get(&x->resolved, manifest->digest);

	if (!n) {
		GROW(x->images, x->n_images, x->cap_images);
		x->images[x->n_images] = (struct docker_image){0};
		descriptor_copy(&x->images[x->n_images].manifest, manifest);
		n = ++x->n_images;
		map_set(&x->resolved, manifest->digest, (void *)(uintptr_t)n);
	}
	map_set(&x->resolved, digest, (void *)(uintptr_t)n);
	return n;
}

/* The platforms asked for: the best is what docker gets. */
static struct err *add_index(struct export *x, const struct descriptor *d, size_t *ret)
{
	const struct transfer_export *o = x->options;
	autoval(image_index) index = {0};

	TRY(add_blob(x, d));
	TRY(image_children(&x->blobs.base, d, &index));
	for (size_t i = index.n_entries; i-- > 0;) {
		const struct image_index_entry *e = &index.entries[i];
		bool is_match = !e->has_platform || platform_rank(o->platforms, o->n_platforms,
							    &e->platform) < o->n_platforms;

		if (is_match || o->all_platforms)
			TRY(add_tree(x, &e->descriptor, 1));
		if (!is_match)
			image_index_drop(&index, i);
	}
	if (index.n_entries == 0)
		return err_new(ERR_NOT_FOUND, "no manifest found for platform: not found");
	entries_sort(&index, o->platforms, o->n_platforms);
	*ret = add_docker_image(x, d->digest, &index.entries[0].descriptor);
	return NULL;
}

static struct err *add_top(struct export *x, const struct descriptor *d)
{
	const char *name = strmap_get(&d->annotations, NAME_ANNOTATION);
	size_t n = (uintptr_t)map_get(&x->resolved, d->digest);

	if (!media_type_is_manifest(d->media_type) && !media_type_is_index(d->media_type))
		return err_new(ERR_INVALID, "only manifests may be exported: invalid argument");
	if (!n && media_type_is_index(d->media_type)) {
		TRY(add_index(x, d, &n));
	} else if (!n) {
		TRY(add_tree(x, d, 0));
		n = add_docker_image(x, d->digest, d);
	}
	if (!str_empty(name))
		strv_add(&x->images[n - 1].names, name);
	return NULL;
}

/* The image's target with its name, and where its blobs can be had. */
static struct err *add_image(struct export *x, const char *name)
{
	autoval(image) image = {0};
	autoval(blob_info) info = {0};
	autofree char *ref = image_ref_name(name);
	struct strmap *annotations = &image.target.annotations;
	struct err *e;

	TRY(images_get(x->transfer->meta, x->blobs.scope, name, &image));
	strmap_set(annotations, NAME_ANNOTATION, name);
	strmap_set(annotations, REF_ANNOTATION, ref);
	e = content_info(x->blobs.content, x->blobs.scope, image.target.digest, &info);
	if (e) {
		log_warn("image left out of the export", "image", name, "error", err_message(e));
		err_free(e);
		return NULL;
	}
	for (size_t i = 0; i < info.labels.n; i++) {
		const struct strmap_entry *l = &info.labels.entries[i];

		if (str_starts(l->key, LABEL_SOURCE))
			strmap_set(annotations, l->key, l->value);
	}
	GROW(x->tops, x->n_tops, x->cap_tops);
	x->tops[x->n_tops] = DESCRIPTOR_INIT;
	descriptor_copy(&x->tops[x->n_tops++], &image.target);
	return NULL;
}

static struct err *add_images(struct export *x, const struct transfer_store *from)
{
	if (!str_empty(from->name))
		TRY(add_image(x, from->name));
	for (size_t i = 0; i < from->n_references; i++) {
		if (from->references[i].is_prefix)
			return err_new(ERR_UNIMPLEMENTED,
				"prefix lookup on export not implemented: not implemented");
		TRY(add_image(x, from->references[i].name));
	}
	for (size_t i = 0; i < x->n_tops; i++)
		TRY(add_top(x, &x->tops[i]));
	return NULL;
}

/* --- documents --- */

static struct err *add_json(struct export *x, const char *name, struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	autoval(buf) b = BUF_INIT(DOCUMENT_MAX);

	if (!buf_append(&b, text, strlen(text)))
		return err_new(ERR_EXHAUSTED, "%s is larger than %zu bytes", name, b.max);
	return add_record(x, name, NULL, &b, 0);
}

static struct err *add_layout(struct export *x)
{
	autoptr(json_object) layout = json_object_new_object();
	autoptr(json_object) index = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_object_object_add(layout, "imageLayoutVersion", json_object_new_string("1.0.0"));
	json_object_object_add(index, "schemaVersion", json_object_new_int(2));
	json_object_object_add(index, "mediaType", json_object_new_string(MEDIA_INDEX));
	for (size_t i = 0; i < x->n_tops; i++)
		json_object_array_add(list, descriptor_to_json(&x->tops[i]));
	json_object_object_add(index, "manifests", list);
	TRY(add_json(x, "oci-layout", layout));
	return add_json(x, "index.json", index);
}

static void add_path(struct json_object *to, const struct descriptor *d)
{
	autofree char *path = blob_path(d->digest);

	json_object_array_add(to, json_object_new_string(path));
}

static struct err *docker_names(const struct strv *names, struct json_object **ret)
{
	autoptr(json_object) list = names->n ? json_object_new_array() : NULL;

	for (size_t i = 0; i < names->n; i++) {
		autofree char *name = NULL;

		TRY(image_short_name(names->items[i], &name));
		json_object_array_add(list, json_object_new_string(name));
	}
	*ret = TAKE(list);
	return NULL;
}

static struct err *docker_entry(
	struct export *x, const struct docker_image *image, struct json_object *list)
{
	static const struct platform any = PLATFORM_INIT;
	struct json_object *entry = json_object_new_object(), *names,
			   *layers = json_object_new_array();
	autoval(image_manifest) m = {0};

	json_object_array_add(list, entry);
	json_object_object_add(entry, "Layers", layers);
	TRY(image_manifest_load(&x->blobs.base, &image->manifest, &any, &m));
	TRY(digest_check(m.config.digest));
	autofree char *config = blob_path(m.config.digest);
	json_object_object_add(entry, "Config", json_object_new_string(config));
	TRY(docker_names(&image->names, &names));
	json_object_object_add(entry, "RepoTags", names);
	for (size_t i = 0; i < m.n_layers; i++)
		add_path(layers, &m.layers[i]);
	return NULL;
}

static struct err *add_docker_manifest(struct export *x)
{
	autoptr(json_object) list = json_object_new_array();

	for (size_t i = 0; i < x->n_images; i++)
		TRY(docker_entry(x, &x->images[i], list));
	return add_json(x, "manifest.json", list);
}

/* --- writing --- */

static struct err *to_stream(void *arg, const void *data, size_t len)
{
	struct export *x = arg;

	x->written += len;
	return stream_write(x->to, data, len);
}

/*
 * A client that has the answer to its call may exit before it has stored all of the stream. So the
 * archive is padded, as tar does it anyway, to one block behind a multiple of the window: the reader
 * opens its window again when it takes that block, and has then stored whatever was before.
 */
static struct err *pad(struct export *x)
{
	static const uint8_t zeros[4096];
	size_t over = x->written % STREAM_WINDOW_BYTES;
	size_t left = (over ? STREAM_WINDOW_BYTES - over : 0) + TAR_BLOCK_BYTES;

	while (left > 0) {
		size_t n = MIN(left, sizeof(zeros));

		TRY(to_stream(x, zeros, n));
		left -= n;
	}
	stream_flush(x->to);
	return NULL;
}

static struct err *copy_blob(struct export *x, struct tar_writer *tar, const struct record *r)
{
	autoptr(hasher) h = hasher_new_like(r->digest);
	autofree uint8_t *data = xmalloc(CHUNK_BYTES);
	char digest[DIGEST_MAX];
	autofd fd = -1;
	int64_t size;
	ssize_t n;

	TRY(content_read(x->blobs.content, x->blobs.scope, r->digest, &fd, &size));
	if (size != r->size)
		return err_new(ERR_INVALID, "unexpected copy size for %s", r->name);
	for (int64_t left = size; left > 0; left -= n) {
		TRY(cancel_check(x->blobs.cancel));
		n = read_full(fd, data, (size_t)MIN(left, (int64_t)CHUNK_BYTES));
		if (n <= 0)
			return err_new(ERR_DATA_LOSS, "%s is cut short on disk", r->digest);
		hasher_add(h, data, (size_t)n);
		TRY(tar_writer_data(tar, data, (size_t)n));
	}
	hasher_digest(h, digest);
	if (!str_eq(digest, r->digest))
		return err_new(
			ERR_DATA_LOSS, "unexpected digest %s copied for %s", digest, r->digest);
	return NULL;
}

static struct err *write_record(struct export *x, struct tar_writer *tar, const struct record *r)
{
	bool is_dir = !r->digest && !r->text;
	struct tar_entry entry = {
		.type = is_dir ? TAR_DIR : TAR_FILE,
		.name = r->name,
		.link = "",
		.mode = is_dir					     ? 0755
			: r->digest || str_eq(r->name, "oci-layout") ? 0444
								     : 0644,
		.size = r->size,
	};

	TRY(tar_writer_entry(tar, &entry));
	if (r->digest)
		return copy_blob(x, tar, r);
	return r->size ? tar_writer_data(tar, r->text, (size_t)r->size) : NULL;
}

static int compare_records(const void *a, const void *b)
{
	return strcmp(((const struct record *)a)->name, ((const struct record *)b)->name);
}

static struct err *write_archive(struct export *x)
{
	autoptr(tar_writer) tar = tar_writer_new(to_stream, x);

	qsort(x->records, x->n, sizeof(*x->records), compare_records);
	for (size_t i = 0; i < x->n; i++)
		TRY(write_record(x, tar, &x->records[i]));
	TRY(tar_writer_finish(tar));
	return pad(x);
}

static struct err *export_images(struct export *x, const struct transfer_store *from)
{
	TRY(add_images(x, from));
	TRY(add_layout(x));
	if (!x->options->skip_docker_manifest && x->n_images)
		TRY(add_docker_manifest(x));
	return write_archive(x);
}

struct err *transfer_export(struct transfer *t, const struct scope *s,
	const struct transfer_store *from, const struct transfer_export *given, struct stream *to,
	const struct transfer_progress *progress, struct cancel *cancel)
{
	autoval(leased) l = {0};
	autoval(platform) host = PLATFORM_INIT;
	struct transfer_export options = *given;
	autoval(export) x = {.transfer = t, .options = &options, .to = to};

	TRY(leased_begin(t, s, &l));
	x.blobs = (struct content_blobs){{&content_blobs_ops}, t->content, &l.scope, cancel};
	platform_host(&host);
	if (!options.n_platforms) {
		options.platforms = &host;
		options.n_platforms = 1;
	}
	progress_emit(progress, "Exporting", NULL, NULL);
	TRY(export_images(&x, from));
	progress_emit(progress, "Completed export", NULL, NULL);
	return NULL;
}
