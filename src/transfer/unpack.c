// SPDX-License-Identifier: Apache-2.0
/* Layers of a manifest become a chain of snapshots. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "transfer/transfer-internal.h"

#define SNAPSHOTTER_DEFAULT "overlayfs"
#define LABEL_UNCOMPRESSED "containerd.io/uncompressed"
#define LABEL_INHERITED "containerd.io/snapshot/"
#define LABEL_SNAPSHOT_REF "containerd.io/snapshot.ref"

/* --- what is to be unpacked for whom --- */

void unpack_plans_done(struct unpack_plans *p)
{
	for (size_t i = 0; i < p->n; i++) {
		platform_done(&p->items[i].target);
		free(p->items[i].snapshotter);
	}
	free(p->items);
}

static bool serves(
	const struct transfer *t, const struct platform *target, const struct platform *p)
{
	return t->check_platform ? platform_match(target, p) > 0 : str_eq(target->os, p->os);
}

static void unpack_plans_add(struct unpack_plans *p, const char *snapshotter)
{
	struct unpack_plan *plan;

	GROW(p->items, p->n, p->cap);
	plan = &p->items[p->n++];
	*plan = (struct unpack_plan){.snapshotter = xstrdup(snapshotter)};
	platform_host(&plan->target);
}

/* Only a snapshotter that is not there makes looking for a snapshot an invalid argument. */
static bool has_snapshotter(struct transfer *t, const struct scope *s, const char *name)
{
	autoval(snapshot_info) info = {0};
	autoptr(err) e = snapshot_stat(t->snapshots, s, name, "none", &info);

	return !err_is(e, ERR_INVALID);
}

struct err *unpack_plan(struct transfer *t, const struct scope *s, const struct transfer_store *to,
	struct unpack_plans *ret)
{
	autoval(platform) host = PLATFORM_INIT;

	platform_host(&host);
	for (size_t i = 0; i < to->n_unpacks && t->differ; i++) {
		const struct transfer_unpack *u = &to->unpacks[i];
		const char *name = str_empty(u->snapshotter) ? SNAPSHOTTER_DEFAULT : u->snapshotter;

		if (serves(t, &host, &u->platform) && has_snapshotter(t, s, name))
			unpack_plans_add(ret, name);
	}
	if (to->n_unpacks && !ret->n)
		return err_new(ERR_INVALID,
			"unable to initialize unpacker: no unpack platforms defined: invalid "
			"argument");
	return NULL;
}

/* --- one layer --- */

struct unpack {
	struct transfer *transfer;
	struct content_blobs *blobs;
	const char *snapshotter;
	const struct image_config *config;
	const struct descriptor *const *layers;
	size_t n;
};

static char *extraction_key(const char *chain_id)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t r = 0;

	/* Only to tell apart unpackers of the same nanosecond. */
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
		r = (uint32_t)getpid();
	return xasprintf("extract-%" PRId32 "-%c%c%c%c %s", timestamp_now().nsec, alphabet[r % 64],
		alphabet[r >> 6 & 63], alphabet[r >> 12 & 63], alphabet[r >> 18 & 63], chain_id);
}

/* What a snapshotter may want to know about the layer. */
static void layer_labels(const struct unpack *u, size_t i, const char *chain_id, const char *parent,
	struct strmap *ret)
{
	const struct strmap *annotations = &u->layers[i]->annotations;

	for (size_t k = 0; k < annotations->n; k++) {
		const struct strmap_entry *e = &annotations->entries[k];

		if (str_starts(e->key, LABEL_INHERITED))
			strmap_set(ret, e->key, e->value);
	}
	strmap_set(ret, LABEL_SNAPSHOT_REF, chain_id);
	strmap_set(ret, LABEL_INHERITED "diff-id", u->config->diff_ids.items[i]);
	if (i > 0)
		strmap_set(ret, LABEL_INHERITED "parent-chain-id", parent);
}

static struct err *fill(
	const struct unpack *u, size_t i, const char *key, const struct mounts *mounts)
{
	const struct descriptor *layer = u->layers[i];
	const char *diff_id = u->config->diff_ids.items[i];
	autoval(descriptor) applied = DESCRIPTOR_INIT;

	TRY(err_wrap(differ_apply(u->transfer->differ, u->blobs->scope, layer, mounts, false,
			     u->blobs->cancel, &applied),
		"failed to extract layer (%s %s) to %s as \"%s\"", layer->media_type, layer->digest,
		u->snapshotter, key));
	if (!str_eq(applied.digest, diff_id))
		return err_new(ERR_INVALID,
			"wrong diff id \"%s\" calculated on extraction \"%s\", desc \"%s\"",
			applied.digest, diff_id, layer->digest);
	return NULL;
}

static struct err *set_label(
	const struct unpack *u, const char *digest, const char *key, const char *value)
{
	autoval(strmap) labels = STRMAP_INIT;

	strmap_set(&labels, key, value);
	return image_blob_label(&u->blobs->base, digest, &labels);
}

static struct err *unpack_layer(
	const struct unpack *u, size_t i, const char *chain_id, const char *parent)
{
	struct snapshots *s = u->transfer->snapshots;
	const struct scope *scope = u->blobs->scope;
	autofree char *key = extraction_key(chain_id);
	autoval(mounts) mounts = MOUNTS_INIT;
	autoval(strmap) labels = STRMAP_INIT;
	struct err *e;

	layer_labels(u, i, chain_id, parent, &labels);
	e = snapshot_prepare(s, scope, u->snapshotter, key, parent, &labels, &mounts);
	/* Somebody else was quicker. */
	if (err_is(e, ERR_EXISTS)) {
		err_free(e);
		return NULL;
	}
	TRY(err_wrap(e, "failed to prepare extraction snapshot \"%s\"", key));
	e = fill(u, i, key, &mounts);
	if (!e)
		e = err_wrap(
			snapshot_commit(s, scope, u->snapshotter, key, chain_id, NULL, &labels),
			"failed to commit snapshot %s", key);
	if (e)
		err_free(snapshot_remove(s, scope, u->snapshotter, key));
	if (err_is(e, ERR_EXISTS)) {
		err_free(e);
		return NULL;
	}
	TRY(e);
	return set_label(u, u->layers[i]->digest, LABEL_UNCOMPRESSED, u->config->diff_ids.items[i]);
}

/* --- all of them --- */

static struct err *has_snapshot(const struct unpack *u, const char *name, bool *ret)
{
	autoval(snapshot_info) info = {0};
	struct err *e =
		snapshot_stat(u->transfer->snapshots, u->blobs->scope, u->snapshotter, name, &info);

	if (e && !err_is(e, ERR_NOT_FOUND))
		return err_wrap(e, "failed to stat snapshot %s", name);
	*ret = !e;
	err_free(e);
	return NULL;
}

static struct err *unpack_layers(const struct unpack *u, char ret[static DIGEST_MAX])
{
	char parent[DIGEST_MAX] = "";
	size_t start = u->n;

	/* Whatever is below an existing snapshot exists too: look from the top. */
	for (bool exists = false; start > 0; start--) {
		image_chain_id(&u->config->diff_ids, start, parent);
		TRY(has_snapshot(u, parent, &exists));
		if (exists)
			break;
	}
	if (start == 0)
		*parent = '\0';
	for (size_t i = start; i < u->n; i++) {
		char chain_id[DIGEST_MAX];

		image_chain_id(&u->config->diff_ids, i + 1, chain_id);
		TRY(unpack_layer(u, i, chain_id, parent));
		memcpy(parent, chain_id, sizeof(parent));
	}
	memcpy(ret, parent, sizeof(parent));
	return NULL;
}

static const struct unpack_plan *find_plan(
	const struct transfer *t, const struct unpack_plans *plans, const struct platform *image)
{
	for (size_t i = 0; i < plans->n; i++)
		if (serves(t, &plans->items[i].target, image))
			return &plans->items[i];
	return NULL;
}

static struct err *unpack_with(struct transfer *t, struct content_blobs *b,
	const struct unpack_plans *plans, const struct descriptor *config_descriptor,
	const struct descriptor *const *layers, size_t n)
{
	autoval(image_config) config = {0};
	const struct unpack_plan *plan;
	char top[DIGEST_MAX];

	TRY(image_config_load(&b->base, config_descriptor, &config));
	if (config.diff_ids.n != n)
		return err_new(ERR_INVALID, "number of layers and diffIDs don't match: %zu != %zu",
			n, config.diff_ids.n);
	plan = find_plan(t, plans, &config.platform);
	if (!plan)
		return NULL;
	struct unpack u = {t, b, plan->snapshotter, &config, layers, n};
	autofree char *key = xasprintf("containerd.io/gc.ref.snapshot.%s", plan->snapshotter);

	TRY(unpack_layers(&u, top));
	/* The config keeps the snapshot from the collector. */
	return set_label(&u, config_descriptor->digest, key, top);
}

struct err *unpack_manifest(struct transfer *t, struct content_blobs *b,
	const struct unpack_plans *plans, const struct image_index *children)
{
	autofree const struct descriptor **layers =
		xcalloc(children->n_entries + 1, sizeof(const struct descriptor *));
	const struct descriptor *config = NULL;
	size_t n = 0;

	for (size_t i = 0; i < children->n_entries; i++) {
		const struct descriptor *d = &children->entries[i].descriptor;

		if (media_type_is_layer(d->media_type))
			layers[n++] = d;
		else if (media_type_is_config(d->media_type) && !config)
			config = d;
	}
	return config && n ? unpack_with(t, b, plans, config, layers, n) : NULL;
}
