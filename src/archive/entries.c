// SPDX-License-Identifier: Apache-2.0
#include "archive/entries.h"

#include <stdlib.h>

#include "archive/tar-reader.h"
#include "base/alloc.h"

#define CHUNK_BYTES ((size_t)1 << 20)

struct source {
	struct decoder *decoder;
	uint8_t *chunk;
};

static struct err *read_chunk(void *arg, const uint8_t **ret, size_t *ret_len)
{
	struct source *source = arg;

	*ret = source->chunk;
	return decoder_read(source->decoder, source->chunk, CHUNK_BYTES, ret_len);
}

static struct err *read_file(struct tar_reader *tar, const struct tar_entry *entry,
	const struct entry_visitor *v, void *arg)
{
	int64_t size = entry->size, next = 0;

	TRY(v->file(arg, entry->name, size));
	for (;;) {
		const uint8_t *data;
		size_t len;
		int64_t offset;

		TRY(tar_reader_data(tar, &data, &len, &offset));
		if (len == 0)
			break;
		if (offset != next)
			return err_new(ERR_INVALID, "sparse file");
		TRY(v->data(arg, data, len));
		next += (int64_t)len;
	}
	if (next != size)
		return err_new(ERR_INVALID, "%lld bytes instead of %lld", (long long)next,
			(long long)size);
	return v->file_end(arg);
}

static struct err *read_entry(struct tar_reader *tar, const struct tar_entry *entry,
	const struct entry_visitor *v, void *arg)
{
	autofree char *shown = tar_printable(entry->name);

	if (entry->type == TAR_SYMLINK || entry->type == TAR_HARDLINK)
		return v->link(arg, entry->name, entry->link, entry->type == TAR_SYMLINK);
	if (entry->type != TAR_FILE)
		return NULL;
	return err_wrap(read_file(tar, entry, v, arg), "failed to ingest \"%s\"", shown);
}

static struct err *read_entries(struct tar_reader *tar, const struct entry_visitor *v, void *arg)
{
	for (size_t n = 0;; n++) {
		const struct tar_entry *entry;

		TRY(tar_reader_next(tar, &entry));
		if (!entry)
			return NULL;
		if (n == ENTRIES_MAX)
			return err_new(ERR_EXHAUSTED, "more than %d entries", ENTRIES_MAX);
		TRY(read_entry(tar, entry, v, arg));
	}
}

struct err *entries_read(
	codec_read_fn read, void *read_arg, const struct entry_visitor *v, void *arg)
{
	autoptr(decoder) decoder = NULL;
	autofree uint8_t *chunk = xmalloc(CHUNK_BYTES);

	TRY(decoder_open(read, read_arg, &decoder));
	struct source source = {.decoder = decoder, .chunk = chunk};
	autoptr(tar_reader) tar = tar_reader_new(read_chunk, &source);
	return read_entries(tar, v, arg);
}
