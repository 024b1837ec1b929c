// SPDX-License-Identifier: Apache-2.0
#include "oci/image-blobs.h"

struct err *image_blob_label(struct image_blobs *b, const char *digest, const struct strmap *labels)
{
	return b->ops->label(b, digest, labels);
}

struct err *image_blob_begin(struct image_blobs *b, const char *ref, int64_t size,
	const char *digest, struct image_writer **ret)
{
	return b->ops->begin(b, ref, size, digest, ret);
}

struct err *image_blob_add(
	struct image_blobs *b, struct image_writer *w, const void *data, size_t len)
{
	return len > 0 ? b->ops->add(w, data, len) : NULL;
}

struct err *image_blob_commit(
	struct image_blobs *b, struct image_writer *w, char ret[static DIGEST_MAX])
{
	return b->ops->commit(w, ret);
}

void image_blob_end(struct image_blobs *b, struct image_writer *w)
{
	if (w)
		b->ops->end(w);
}

struct err *image_blob_compressed(struct image_blobs *b, const char *digest, bool make,
	char ret[static DIGEST_MAX], int64_t *ret_size)
{
	*ret = '\0';
	TRY(err_wrap(b->ops->find_compressed(b, digest, ret, ret_size),
		"failure checking for compressed blobs"));
	if (*ret || !make || !b->ops->compress)
		return NULL;
	return b->ops->compress(b, digest, ret, ret_size);
}

struct err *image_blob_load(struct image_blobs *b, const struct descriptor *d, size_t max,
	struct arena *arena, char **ret, size_t *ret_len)
{
	if (d->size > (int64_t)max)
		return err_new(ERR_EXHAUSTED, "%s %s of %lld bytes is larger than %zu",
			d->media_type, d->digest, (long long)d->size, max);
	return b->ops->load(b, d->digest, max, arena, ret, ret_len);
}

struct err *image_blob_store(struct image_blobs *b, const char *ref, const void *data, size_t len,
	char ret[static DIGEST_MAX])
{
	struct image_writer *w = NULL;
	struct err *e = image_blob_begin(b, ref, (int64_t)len, NULL, &w);

	if (!e)
		e = image_blob_add(b, w, data, len);
	if (!e)
		e = image_blob_commit(b, w, ret);
	image_blob_end(b, w);
	return e;
}
