// SPDX-License-Identifier: Apache-2.0
#include "client/image-source.h"

#include <stdlib.h>
#include <string.h>

#include "client/content-internal.h"

#include <containerd/content.h>

void descriptor_from_public(struct descriptor *to, const struct ctd_descriptor *from)
{
	to->media_type = xstrdup(from->media_type);
	to->digest = xstrdup(from->digest);
	to->size = from->size;
	for (size_t i = 0; i < from->annotations.n; i++)
		strmap_set(&to->annotations, from->annotations.items[i].key,
			from->annotations.items[i].value);
}

struct err *platform_wanted(const char *text, struct platform *ret)
{
	if (!str_empty(text))
		return platform_parse(text, ret);
	platform_host(ret);
	return NULL;
}

/* --- the daemon's blobs --- */

static const struct scope *to_scope(struct image_blobs *b)
{
	return container_of(b, struct client_blobs, base)->scope;
}

static struct err *client_blobs_load(struct image_blobs *b, const char *digest, size_t max,
	struct arena *arena, char **ret, size_t *ret_len)
{
	return content_load(to_scope(b), digest, max, arena, ret, ret_len);
}

static struct err *client_blobs_label(
	struct image_blobs *b, const char *digest, const struct strmap *labels)
{
	autoptr(arena) arena = arena_new();

	return content_label(to_scope(b), digest, labels_from_strmap(labels, arena));
}

/* It was pulled before. */
static struct err *client_blobs_find_compressed(
	struct image_blobs *b, const char *digest, char ret[static DIGEST_MAX], int64_t *ret_size)
{
	autofree char *filter = xasprintf("labels.\"containerd.io/uncompressed\"==%s", digest);
	struct ctd_contents *found;

	TRY(ctd_content_list(to_scope(b)->client, (const char *const[]){filter}, 1, &found));
	for (size_t i = 0; i < found->n && !*ret; i++) {
		const struct ctd_content *c = found->items[i];

		if (str_eq(c->digest, digest) || strlen(c->digest) >= DIGEST_MAX)
			continue;
		memcpy(ret, c->digest, strlen(c->digest) + 1);
		*ret_size = c->size;
	}
	ctd_free(found);
	return NULL;
}

static struct content_writer *to_writer(struct image_writer *w)
{
	return (struct content_writer *)w;
}

static struct err *client_blobs_begin(struct image_blobs *b, const char *ref, int64_t size,
	const char *digest, struct image_writer **ret)
{
	return content_writer_open(to_scope(b), ref, size, digest, (struct content_writer **)ret);
}

static struct err *client_blobs_add(struct image_writer *w, const void *data, size_t len)
{
	return content_writer_add(to_writer(w), data, len);
}

static struct err *client_blobs_commit(struct image_writer *w, char ret[static DIGEST_MAX])
{
	return content_writer_commit(to_writer(w), (struct ctd_labels){0}, ret);
}

static void client_blobs_end(struct image_writer *w)
{
	content_writer_free(to_writer(w));
}

const struct image_blobs_ops client_blobs_ops = {
	.load = client_blobs_load,
	.label = client_blobs_label,
	.find_compressed = client_blobs_find_compressed,
	.begin = client_blobs_begin,
	.add = client_blobs_add,
	.commit = client_blobs_commit,
	.end = client_blobs_end,
};
