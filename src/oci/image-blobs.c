// SPDX-License-Identifier: Apache-2.0
#include "oci/image-blobs.h"

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
	struct err *e = b->ops->begin(b, ref, (int64_t)len, NULL, &w);

	if (!e && len > 0)
		e = b->ops->add(w, data, len);
	if (!e)
		e = b->ops->commit(w, ret);
	b->ops->end(w);
	return e;
}
