// SPDX-License-Identifier: Apache-2.0
#include "oci/image-tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct err *image_config_load(
	struct image_blobs *b, const struct descriptor *d, struct image_config *ret)
{
	autoptr(arena) arena = arena_new();
	char *text;
	size_t len;

	if (!media_type_is_config(d->media_type))
		return err_new(ERR_INVALID, "unknown image config media type %s", d->media_type);
	TRY(image_blob_load(b, d, IMAGE_CONFIG_MAX_BYTES, arena, &text, &len));
	return err_wrap(image_config_parse(text, len, ret), "image config %s", d->digest);
}

static struct err *load_manifest(
	struct image_blobs *b, const struct descriptor *d, struct image_manifest *ret)
{
	autoptr(arena) arena = arena_new();
	char *text;
	size_t len;

	TRY(image_blob_load(b, d, IMAGE_MANIFEST_MAX_BYTES, arena, &text, &len));
	return err_wrap(
		image_manifest_parse(text, len, d->media_type, ret), "manifest %s", d->digest);
}

static struct err *load_index(
	struct image_blobs *b, const struct descriptor *d, struct image_index *ret)
{
	autoptr(arena) arena = arena_new();
	char *text;
	size_t len;

	TRY(image_blob_load(b, d, IMAGE_MANIFEST_MAX_BYTES, arena, &text, &len));
	return err_wrap(image_index_parse(text, len, d->media_type, ret), "index %s", d->digest);
}

static void entry_from(struct image_index_entry *to, const struct descriptor *from)
{
	*to = (struct image_index_entry){0};
	descriptor_copy(&to->descriptor, from);
}

struct err *image_children(
	struct image_blobs *b, const struct descriptor *d, struct image_index *ret)
{
	autoval(image_manifest) manifest = {0};

	*ret = (struct image_index){0};
	if (media_type_is_index(d->media_type))
		return load_index(b, d, ret);
	if (!media_type_is_manifest(d->media_type))
		return NULL;
	TRY(load_manifest(b, d, &manifest));
	ret->media_type = xstrdup(manifest.media_type);
	ret->entries = xcalloc(manifest.n_layers + 1, sizeof(*ret->entries));
	entry_from(&ret->entries[ret->n_entries++], &manifest.config);
	for (size_t i = 0; i < manifest.n_layers; i++)
		entry_from(&ret->entries[ret->n_entries++], &manifest.layers[i]);
	return NULL;
}

static int rank(const struct image_index_entry *entry, const struct platform *wanted)
{
	/* What does not say for whom it is comes last: its config tells. */
	return entry->has_platform ? platform_match(wanted, &entry->platform) : 0;
}

void image_index_drop(struct image_index *index, size_t i)
{
	descriptor_done(&index->entries[i].descriptor);
	platform_done(&index->entries[i].platform);
	memmove(&index->entries[i], &index->entries[i + 1],
		(index->n_entries - i - 1) * sizeof(*index->entries));
	index->n_entries--;
}

void image_index_select(struct image_index *index, const struct platform *wanted, size_t max)
{
	for (size_t i = index->n_entries; i-- > 0;) {
		if (index->entries[i].has_platform && rank(&index->entries[i], wanted) == 0)
			image_index_drop(index, i);
	}
	/* Stable, and short after the first step. */
	for (size_t i = 1; i < index->n_entries; i++) {
		struct image_index_entry moved = index->entries[i];
		size_t at = i;

		for (; at > 0 && rank(&index->entries[at - 1], wanted) < rank(&moved, wanted); at--)
			index->entries[at] = index->entries[at - 1];
		index->entries[at] = moved;
	}
	while (index->n_entries > max)
		image_index_drop(index, index->n_entries - 1);
}

/* Without a platform in the index, the config decides. */
static struct err *check_config(
	struct image_blobs *b, const struct image_manifest *m, const struct platform *wanted)
{
	autoval(image_config) config = {0};

	TRY(image_config_load(b, &m->config, &config));
	if (platform_match(wanted, &config.platform) == 0)
		return err_new(ERR_NOT_FOUND, "another platform");
	return NULL;
}

static struct err *manifest_below(struct image_blobs *b, const struct descriptor *target,
	const struct platform *wanted, bool check, unsigned depth, struct image_manifest *ret)
{
	autoval(image_index) index = {0};
	autoptr(err) first = NULL;

	if (media_type_is_manifest(target->media_type)) {
		autoval(image_manifest) m = {0};

		TRY(load_manifest(b, target, &m));
		if (check)
			TRY(check_config(b, &m, wanted));
		*ret = m;
		m = (struct image_manifest){0};
		return NULL;
	}
	if (!media_type_is_index(target->media_type))
		return err_new(ERR_NOT_FOUND, "unexpected media type %s for %s: not found",
			target->media_type, target->digest);
	if (depth == IMAGE_DEPTH_MAX)
		return err_new(
			ERR_INVALID, "index %s: indexes are nested too deep", target->digest);
	TRY(load_index(b, target, &index));
	image_index_select(&index, wanted, 64);
	for (size_t i = 0; i < index.n_entries; i++) {
		const struct image_index_entry *entry = &index.entries[i];
		struct err *e = manifest_below(
			b, &entry->descriptor, wanted, !entry->has_platform, depth + 1, ret);

		if (!e || !err_is(e, ERR_NOT_FOUND))
			return e;
		err_free(first ? e : NULL);
		first = first ? first : e;
	}
	/* The best match is known but its content is not here: say so. */
	if (first && index.entries[0].has_platform)
		return TAKE(first);
	return err_new(
		ERR_NOT_FOUND, "no match for platform in manifest %s: not found", target->digest);
}

struct err *image_manifest_load(struct image_blobs *b, const struct descriptor *target,
	const struct platform *wanted, struct image_manifest *ret)
{
	return manifest_below(b, target, wanted, false, 0, ret);
}

/* --- labels that keep children --- */

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

struct err *image_label_children(
	struct image_blobs *b, const struct descriptor *parent, const struct image_index *children)
{
	autoval(strmap) labels = STRMAP_INIT;
	size_t n_of_kind[4] = {0};

	if (children->n_entries == 0)
		return NULL;
	for (size_t i = 0; i < children->n_entries; i++) {
		const struct descriptor *d = &children->entries[i].descriptor;
		const char *prefix = label_prefix(d->media_type);
		bool is_config = *prefix == 'c';
		size_t *n = &n_of_kind[is_config ? 0 : *prefix == 'm' ? 1 : *prefix ? 2 : 3];
		autofree char *key =
			is_config && *n == 0
				? xasprintf("containerd.io/gc.ref.content.config")
				: xasprintf("containerd.io/gc.ref.content.%s%zu", prefix, *n);

		strmap_set(&labels, key, d->digest);
		(*n)++;
	}
	return image_blob_label(b, parent->digest, &labels);
}
