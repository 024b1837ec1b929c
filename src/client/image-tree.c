// SPDX-License-Identifier: Apache-2.0
#include "client/image-tree.h"

#include <stdlib.h>
#include <string.h>

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

static struct err *load(const struct scope *s, const struct descriptor *d, size_t max,
	struct arena *arena, char **ret, size_t *ret_len)
{
	if (d->size > (int64_t)max)
		return err_new(ERR_EXHAUSTED, "%s %s of %lld bytes is larger than %zu",
			d->media_type, d->digest, (long long)d->size, max);
	return content_load(s, d->digest, max, arena, ret, ret_len);
}

struct err *image_config_load(
	const struct scope *s, const struct descriptor *d, struct image_config *ret)
{
	autoptr(arena) arena = arena_new();
	char *text;
	size_t len;

	if (!media_type_is_config(d->media_type))
		return err_new(ERR_INVALID, "unknown image config media type %s", d->media_type);
	TRY(load(s, d, IMAGE_CONFIG_MAX_BYTES, arena, &text, &len));
	return err_wrap(image_config_parse(text, len, ret), "image config %s", d->digest);
}

static struct err *load_manifest(
	const struct scope *s, const struct descriptor *d, struct image_manifest *ret)
{
	autoptr(arena) arena = arena_new();
	char *text;
	size_t len;

	TRY(load(s, d, IMAGE_MANIFEST_MAX_BYTES, arena, &text, &len));
	return err_wrap(
		image_manifest_parse(text, len, d->media_type, ret), "manifest %s", d->digest);
}

static struct err *load_index(
	const struct scope *s, const struct descriptor *d, struct image_index *ret)
{
	autoptr(arena) arena = arena_new();
	char *text;
	size_t len;

	TRY(load(s, d, IMAGE_MANIFEST_MAX_BYTES, arena, &text, &len));
	return err_wrap(image_index_parse(text, len, d->media_type, ret), "index %s", d->digest);
}

static void entry_from(struct image_index_entry *to, const struct descriptor *from)
{
	*to = (struct image_index_entry){0};
	descriptor_copy(&to->descriptor, from);
}

struct err *image_children(
	const struct scope *s, const struct descriptor *d, struct image_index *ret)
{
	autoval(image_manifest) manifest = {0};

	*ret = (struct image_index){0};
	if (media_type_is_index(d->media_type))
		return load_index(s, d, ret);
	if (!media_type_is_manifest(d->media_type))
		return NULL;
	TRY(load_manifest(s, d, &manifest));
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

static void drop_entry(struct image_index *index, size_t i)
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
			drop_entry(index, i);
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
		drop_entry(index, index->n_entries - 1);
}

/* Without a platform in the index, the config decides. */
static struct err *check_config(
	const struct scope *s, const struct image_manifest *m, const struct platform *wanted)
{
	autoval(image_config) config = {0};

	TRY(image_config_load(s, &m->config, &config));
	if (platform_match(wanted, &config.platform) == 0)
		return err_new(ERR_NOT_FOUND, "another platform");
	return NULL;
}

static struct err *manifest_below(const struct scope *s, const struct descriptor *target,
	const struct platform *wanted, bool check, unsigned depth, struct image_manifest *ret)
{
	autoval(image_index) index = {0};
	autoptr(err) first = NULL;

	if (media_type_is_manifest(target->media_type)) {
		autoval(image_manifest) m = {0};

		TRY(load_manifest(s, target, &m));
		if (check)
			TRY(check_config(s, &m, wanted));
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
	TRY(load_index(s, target, &index));
	image_index_select(&index, wanted, 64);
	for (size_t i = 0; i < index.n_entries; i++) {
		const struct image_index_entry *entry = &index.entries[i];
		struct err *e = manifest_below(
			s, &entry->descriptor, wanted, !entry->has_platform, depth + 1, ret);

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

struct err *image_manifest_load(const struct scope *s, const struct descriptor *target,
	const struct platform *wanted, struct image_manifest *ret)
{
	return manifest_below(s, target, wanted, false, 0, ret);
}
