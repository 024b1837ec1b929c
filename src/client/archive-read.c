// SPDX-License-Identifier: Apache-2.0
#include "client/archive-read.h"

#include <stdlib.h>
#include <string.h>

#include "archive/codec.h"
#include "archive/tar-reader.h"
#include "base/buf.h"
#include "client/archive-names.h"
#include "client/content-internal.h"

#define LINKS_MAX 8 /* in a row */

void archive_done(struct archive *a)
{
	map_done(&a->blobs, free);
	map_done(&a->links, free);
	free(a->layout);
	free(a->manifest);
	*a = (struct archive){0};
}

const struct archive_blob *archive_find(const struct archive *a, const char *path)
{
	autofree char *clean = archive_clean_path(path);

	for (int i = 0; i < LINKS_MAX; i++) {
		const struct archive_blob *blob = map_get(&a->blobs, clean);
		const char *next = map_get(&a->links, clean);

		if (blob || !next)
			return blob;
		free(clean);
		clean = xstrdup(next);
	}
	return NULL;
}

struct source {
	struct decoder *decoder;
	uint8_t *chunk;
};

static struct err *read_chunk(void *arg, const uint8_t **ret, size_t *ret_len)
{
	struct source *source = arg;

	*ret = source->chunk;
	return decoder_read(source->decoder, source->chunk, CONTENT_CHUNK, ret_len);
}

static struct err *read_json(struct tar_reader *tar, char **ret, size_t *ret_len)
{
	autoval(buf) b = BUF_INIT(ARCHIVE_JSON_MAX);

	for (;;) {
		const uint8_t *data;
		size_t len;
		int64_t offset;

		TRY(tar_reader_data(tar, &data, &len, &offset));
		if (len == 0)
			break;
		if (!buf_append(&b, data, len))
			return err_new(ERR_EXHAUSTED, "larger than %zu bytes", b.max);
	}
	free(*ret);
	*ret = buf_take(&b, ret_len);
	return NULL;
}

static bool looks_compressed(const uint8_t *data, size_t len)
{
	static const uint8_t gzip[] = {0x1f, 0x8b, 0x08}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};

	return (len >= sizeof(gzip) && memcmp(data, gzip, sizeof(gzip)) == 0) ||
	       (len >= sizeof(zstd) && memcmp(data, zstd, sizeof(zstd)) == 0);
}

static struct err *send_blob(
	struct tar_reader *tar, struct content_writer *w, struct archive_blob *blob)
{
	uint8_t head[4];
	size_t n_head = 0;
	int64_t next = 0;

	for (;;) {
		const uint8_t *data;
		size_t len;
		int64_t offset;

		TRY(tar_reader_data(tar, &data, &len, &offset));
		if (len == 0)
			break;
		if (offset != next)
			return err_new(ERR_INVALID, "sparse file");
		for (size_t i = 0; i < len && n_head < sizeof(head); i++)
			head[n_head++] = data[i];
		TRY(content_writer_add(w, data, len));
		next += (int64_t)len;
	}
	if (next != blob->size)
		return err_new(ERR_INVALID, "%lld bytes instead of %lld", (long long)next,
			(long long)blob->size);
	blob->is_compressed = looks_compressed(head, n_head);
	return NULL;
}

static struct err *store_blob(const struct scope *s, struct tar_reader *tar, const char *path,
	int64_t size, struct archive_blob *ret)
{
	autoptr(content_writer) w = NULL;
	autofree char *ref = xasprintf("tar-%s", path);
	autofree char *digest = archive_blob_digest(path);

	ret->size = size;
	TRY(content_writer_open(s, ref, size, digest, &w));
	TRY(send_blob(tar, w, ret));
	return content_writer_commit(w, (struct ctd_labels){0}, ret->digest);
}

static struct err *read_file(const struct scope *s, struct tar_reader *tar, const char *path,
	int64_t size, struct archive *a)
{
	if (strcmp(path, "oci-layout") == 0)
		return read_json(tar, &a->layout, &a->layout_len);
	if (strcmp(path, "manifest.json") == 0)
		return read_json(tar, &a->manifest, &a->manifest_len);
	autofree struct archive_blob *blob = NEW(struct archive_blob);
	TRY(store_blob(s, tar, path, size, blob));
	free(map_set(&a->blobs, path, TAKE(blob)));
	return NULL;
}

/* A symlink leads from its own folder, a hard link from the top. */
static void read_link(const struct tar_entry *entry, const char *path, struct archive *a)
{
	const char *slash = strrchr(path, '/');
	autofree char *from_here = NULL;

	if (entry->type == TAR_SYMLINK && slash && *entry->link != '/')
		from_here = xasprintf("%.*s/%s", (int)(slash - path), path, entry->link);
	free(map_set(&a->links, path, archive_clean_path(from_here ? from_here : entry->link)));
}

static struct err *read_entry(const struct scope *s, struct tar_reader *tar,
	const struct tar_entry *entry, struct archive *a)
{
	autofree char *path = archive_clean_path(entry->name);
	autofree char *shown = tar_printable(path);

	if (entry->type == TAR_SYMLINK || entry->type == TAR_HARDLINK)
		read_link(entry, path, a);
	if (entry->type != TAR_FILE)
		return NULL;
	return err_wrap(read_file(s, tar, path, entry->size, a), "failed to ingest \"%s\"", shown);
}

static struct err *read_entries(const struct scope *s, struct tar_reader *tar, struct archive *a)
{
	for (size_t n = 0;; n++) {
		const struct tar_entry *entry;

		TRY(tar_reader_next(tar, &entry));
		if (!entry)
			return NULL;
		if (n == ARCHIVE_ENTRIES_MAX)
			return err_new(ERR_EXHAUSTED, "more than %d entries", ARCHIVE_ENTRIES_MAX);
		TRY(read_entry(s, tar, entry, a));
	}
}

struct err *archive_read(const struct scope *s, int fd, struct archive *ret)
{
	autoptr(decoder) decoder = NULL;
	autofree uint8_t *chunk = xmalloc(CONTENT_CHUNK);

	TRY(err_wrap(decoder_open(codec_read_fd, &fd, &decoder), "image archive"));
	struct source source = {.decoder = decoder, .chunk = chunk};
	autoptr(tar_reader) tar = tar_reader_new(read_chunk, &source);
	return err_wrap(read_entries(s, tar, ret), "image archive");
}
