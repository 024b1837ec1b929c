// SPDX-License-Identifier: Apache-2.0
/* What the content store has of an image. */
#include <string.h>

#include "client/content-internal.h"
#include "client/image-source.h"

#include <containerd/content.h>
#include <containerd/snapshots.h>

static struct err *add_size(const struct scope *s, const struct descriptor *d,
	const struct platform *wanted, unsigned depth, int64_t *size)
{
	autoval(image_index) children = {0};

	if (d->size < 0)
		return err_new(ERR_INVALID, "invalid size %lld in %s (%s)", (long long)d->size,
			d->digest, d->media_type);
	if (__builtin_add_overflow(*size, d->size, size))
		return err_new(
			ERR_INVALID, "sizes in %s add up to more than there can be", d->digest);
	if (depth == IMAGE_DEPTH_MAX)
		return err_new(ERR_INVALID, "index %s: indexes are nested too deep", d->digest);
	TRY(image_children(BLOBS(s), d, &children));
	if (media_type_is_index(d->media_type)) {
		image_index_select(&children, wanted, 1);
		if (children.n_entries == 0)
			return err_new(ERR_NOT_FOUND,
				"no match for platform in manifest %s: not found", d->digest);
	}
	for (size_t i = 0; i < children.n_entries; i++)
		TRY(add_size(s, &children.entries[i].descriptor, wanted, depth + 1, size));
	return NULL;
}

struct err *ctd_image_size(struct ctd_client *client, const struct ctd_image *image, int64_t *ret)
{
	autoval(descriptor) target = DESCRIPTOR_INIT;
	autoval(platform) wanted = PLATFORM_INIT;
	int64_t size = 0;

	platform_host(&wanted);
	descriptor_from_public(&target, &image->target);
	TRY(add_size(SCOPE(client), &target, &wanted, 0, &size));
	*ret = size;
	return NULL;
}

static struct err *add_platforms(
	const struct scope *s, const struct descriptor *d, unsigned depth, struct strv *names)
{
	autoval(image_index) children = {0};

	if (media_type_is_config(d->media_type)) {
		autoval(image_config) config = {0};

		TRY(image_config_load(BLOBS(s), d, &config));
		strv_add_take(names, platform_format(&config.platform));
		return NULL;
	}
	if (depth == IMAGE_DEPTH_MAX)
		return err_new(ERR_INVALID, "index %s: indexes are nested too deep", d->digest);
	TRY(image_children(BLOBS(s), d, &children));
	for (size_t i = 0; i < children.n_entries; i++) {
		struct image_index_entry *child = &children.entries[i];

		if (child->has_platform)
			strv_add_take(names, platform_format(&child->platform));
		else
			TRY(add_platforms(s, &child->descriptor, depth + 1, names));
	}
	return NULL;
}

struct err *ctd_image_platforms(
	struct ctd_client *client, const struct ctd_image *image, struct ctd_strings **ret)
{
	autoval(descriptor) target = DESCRIPTOR_INIT;
	autoval(strv) names = STRV_INIT;

	descriptor_from_public(&target, &image->target);
	TRY(add_platforms(SCOPE(client), &target, 0, &names));
	strv_sort(&names);
	struct arena *arena = arena_new();
	struct ctd_strings *strings = record_new(arena, sizeof(*strings));
	const char **items = arena_array(arena, names.n, sizeof(*items));
	for (size_t i = 0; i < names.n; i++) {
		if (i == 0 || strcmp(names.items[i], names.items[i - 1]) != 0)
			items[strings->n++] = arena_strdup(arena, names.items[i]);
	}
	strings->items = items;
	*ret = strings;
	return NULL;
}

static struct err *count(
	struct ctd_client *client, const struct descriptor *d, struct ctd_image_state *state)
{
	struct ctd_content *info = NULL;
	struct err *e = ctd_content_info(client, d->digest, &info);

	ctd_free(info);
	if (e && !err_is(e, ERR_NOT_FOUND))
		return e;
	state->n_required++;
	state->required_size += d->size;
	if (!e) {
		state->n_present++;
		state->present_size += d->size;
	}
	err_free(e);
	return NULL;
}

static struct err *check_unpacked(struct ctd_client *client, const struct image_manifest *m,
	const char *snapshotter, bool *ret)
{
	autoval(image_config) config = {0};
	struct ctd_snapshot *snapshot = NULL;
	char chain_id[DIGEST_MAX];

	TRY(image_config_load(BLOBS(SCOPE(client)), &m->config, &config));
	if (config.diff_ids.n == 0)
		return NULL;
	image_chain_id(&config.diff_ids, config.diff_ids.n, chain_id);
	struct err *e = ctd_snapshot_get(client, snapshotter, chain_id, &snapshot);
	ctd_free(snapshot);
	if (e && !err_is(e, ERR_NOT_FOUND))
		return e;
	*ret = !e;
	err_free(e);
	return NULL;
}

struct err *ctd_image_check(struct ctd_client *client, const struct ctd_image *image,
	const char *snapshotter, struct ctd_image_state *ret)
{
	autoval(descriptor) target = DESCRIPTOR_INIT;
	autoval(platform) wanted = PLATFORM_INIT;
	autoval(image_manifest) manifest = {0};
	struct ctd_image_state state = {0};

	platform_host(&wanted);
	descriptor_from_public(&target, &image->target);
	struct err *e = image_manifest_load(BLOBS(SCOPE(client)), &target, &wanted, &manifest);
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		*ret = (struct ctd_image_state){.n_required = 1, .required_size = target.size};
		return NULL;
	}
	TRY(e);
	state.available = true;
	TRY(count(client, &manifest.config, &state));
	for (size_t i = 0; i < manifest.n_layers; i++)
		TRY(count(client, &manifest.layers[i], &state));
	e = check_unpacked(client, &manifest, snapshotter, &state.unpacked);
	if (e && !err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	*ret = state;
	return NULL;
}
