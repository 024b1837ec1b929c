// SPDX-License-Identifier: Apache-2.0
/* Frames from a worker that an archive has taken over: the receiver ends, what it hands on is inside
 * its bounds, and an image archive takes it all. */
#include <stdlib.h>
#include <string.h>

#include "archive/entries.h"
#include "base/alloc.h"
#include "oci/image-archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t len;
};

static ssize_t read_input(void *arg, void *data, size_t len)
{
	struct input *i = arg;
	size_t n = MIN(i->len, len);

	memcpy(data, i->data, n);
	i->data += n;
	i->len -= n;
	return (ssize_t)n;
}

/* Blobs that are forgotten at once. */
struct image_writer {
	int64_t left;
};

static struct err *no_load(struct image_blobs *b, const char *digest, size_t max,
	struct arena *arena, char **ret, size_t *ret_len)
{
	return err_new(ERR_NOT_FOUND, "content %s: not found", digest);
}

static struct err *no_label(struct image_blobs *b, const char *digest, const struct strmap *labels)
{
	return NULL;
}

static struct err *find_none(
	struct image_blobs *b, const char *digest, char ret[static DIGEST_MAX], int64_t *ret_size)
{
	return NULL;
}

static struct err *begin(struct image_blobs *b, const char *ref, int64_t size, const char *digest,
	struct image_writer **ret)
{
	*ret = NEW(struct image_writer);
	(*ret)->left = size;
	return NULL;
}

static struct err *add(struct image_writer *w, const void *data, size_t len)
{
	w->left -= (int64_t)len;
	if (w->left < 0)
		abort();
	return NULL;
}

static struct err *commit(struct image_writer *w, char ret[static DIGEST_MAX])
{
	if (w->left != 0)
		abort();
	digest_of("", 0, ret);
	return NULL;
}

static void end(struct image_writer *w)
{
	free(w);
}

static const struct image_blobs_ops ops = {
	.load = no_load,
	.label = no_label,
	.find_compressed = find_none,
	.begin = begin,
	.add = add,
	.commit = commit,
	.end = end,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct entry_visitor visitor = {
		image_archive_file, image_archive_data, image_archive_file_end, image_archive_link};
	struct image_blobs blobs = {&ops};
	struct input i = {data, size};
	autoval(image_archive) a = {0};
	autoval(descriptor) d = DESCRIPTOR_INIT;

	image_archive_init(&a, &blobs);
	err_free(entries_receive(read_input, &i, &visitor, &a));
	err_free(image_archive_index(&a, &d));
	return 0;
}
