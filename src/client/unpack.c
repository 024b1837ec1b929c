// SPDX-License-Identifier: Apache-2.0
/* Layers of an image become a chain of snapshots. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "client/content-internal.h"
#include "client/image-source.h"
#include "client/snapshots-internal.h"
#include "proto/diff.pb-c.h"

#include <containerd/snapshots.h>

#define UNCOMPRESSED_LABEL "containerd.io/uncompressed"

static void extraction_key(const char *chain_id, char *ret, size_t size)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct timestamp now = timestamp_now();
	unsigned char r[4] = {0};
	char random[sizeof(r) + 1] = {0};

	/* Only to tell apart unpackers of the same nanosecond. */
	if (getrandom(r, sizeof(r), GRND_NONBLOCK) < 0)
		r[0] = (unsigned char)getpid();
	for (size_t i = 0; i < sizeof(r); i++)
		random[i] = alphabet[r[i] % 64];
	snprintf(ret, size, "extract-%d-%s %s", now.nsec, random, chain_id);
}

/* Apply a blob to mounts; the digest of what it held uncompressed must be the diff id. */
static struct err *apply(const struct scope *s, const struct descriptor *layer,
	struct ctd_mounts mounts, const char *diff_id)
{
	autoptr(arena) arena = arena_new();
	Diff__ApplyRequest request = DIFF__APPLY_REQUEST__INIT;
	Diff__ApplyResponse *reply;
	Types__Descriptor blob = TYPES__DESCRIPTOR__INIT;

	blob.media_type = layer->media_type;
	blob.digest = layer->digest;
	blob.size = layer->size;
	blob.annotations = STRMAP_TO_WIRE(&layer->annotations, Types__Descriptor__AnnotationsEntry,
		types__descriptor__annotations_entry__init, arena, &blob.n_annotations);
	request.diff = &blob;
	request.n_mounts = mounts.n;
	request.mounts = mounts_to_wire(mounts, arena);
	TRY(err_wrap(call(s, "/containerd.services.diff.v1.Diff/Apply", &request,
			     &diff__apply_response__descriptor, arena, &reply),
		"failed to extract layer %s", diff_id));
	if (!reply->applied || !str_eq(reply->applied->digest, diff_id))
		return err_new(ERR_INVALID,
			"layer %s: wrong diff id calculated on extraction \"%s\", the image config "
			"says %s",
			layer->digest, reply->applied ? reply->applied->digest : "", diff_id);
	return NULL;
}

static struct err *unpack_into(const struct scope *s, const char *snapshotter, const char *key,
	const char *chain_id, const struct descriptor *layer, struct ctd_mounts mounts,
	const char *diff_id)
{
	struct err *e = apply(s, layer, mounts, diff_id);

	if (!e)
		e = snapshot_commit(s, snapshotter, chain_id, key, (struct ctd_labels){0});
	if (e) {
		/* Somebody else may have been quicker, which is success. */
		err_free(ctd_snapshot_remove(s->client, snapshotter, key));
		if (err_is(e, ERR_EXISTS)) {
			err_free(e);
			return NULL;
		}
		return err_wrap(e, "snapshot \"%s\"", key);
	}
	struct ctd_label label = {UNCOMPRESSED_LABEL, diff_id};
	return content_label(s, layer->digest, (struct ctd_labels){.n = 1, .items = &label});
}

static struct err *snapshot_exists(
	const struct scope *s, const char *snapshotter, const char *name, bool *ret)
{
	struct ctd_snapshot *info = NULL;
	struct err *e = ctd_snapshot_get(s->client, snapshotter, name, &info);

	ctd_free(info);
	if (e && !err_is(e, ERR_NOT_FOUND))
		return err_wrap(e, "failed to stat snapshot %s", name);
	*ret = !e;
	err_free(e);
	return NULL;
}

static struct err *unpack_layer(const struct scope *s, const char *snapshotter, const char *parent,
	const char *chain_id, const struct descriptor *layer, const char *diff_id)
{
	autoptr(arena) arena = arena_new();
	struct ctd_mounts mounts;
	char key[DIGEST_MAX + 64];
	struct err *e;

	do {
		extraction_key(chain_id, key, sizeof(key));
		e = snapshot_prepare(
			s, snapshotter, key, parent, (struct ctd_labels){0}, arena, &mounts);
	} while (err_is(e, ERR_EXISTS) && (err_free(e), true));
	TRY(err_wrap(e, "failed to prepare extraction snapshot \"%s\"", key));
	return unpack_into(s, snapshotter, key, chain_id, layer, mounts, diff_id);
}

/* The config keeps the snapshot from the garbage collector. */
static struct err *refer_snapshot(const struct scope *s, const char *snapshotter,
	const char *config_digest, const char *chain_id)
{
	autofree char *key = xasprintf("containerd.io/gc.ref.snapshot.%s", snapshotter);
	struct ctd_label label = {key, chain_id};

	return content_label(s, config_digest, (struct ctd_labels){.n = 1, .items = &label});
}

struct err *image_unpack(const struct scope *s, const char *snapshotter,
	const struct image_manifest *manifest, const struct image_config *config)
{
	size_t n = manifest->n_layers, start = n;
	char chain_id[DIGEST_MAX], parent[DIGEST_MAX] = "";

	if (config->diff_ids.n != n)
		return err_new(ERR_INVALID,
			"mismatched image rootfs and manifest layers: %zu diff ids, %zu layers",
			config->diff_ids.n, n);
	if (n == 0)
		return NULL;
	/* Whatever is below an existing snapshot exists too: look from the top. */
	while (start > 0) {
		bool exists = false;

		image_chain_id(&config->diff_ids, start, parent);
		TRY(snapshot_exists(s, snapshotter, parent, &exists));
		if (exists)
			break;
		start--;
	}
	for (size_t i = start; i < n; i++) {
		image_chain_id(&config->diff_ids, i + 1, chain_id);
		TRY(unpack_layer(s, snapshotter, i > 0 ? parent : "", chain_id,
			&manifest->layers[i], config->diff_ids.items[i]));
		memcpy(parent, chain_id, sizeof(parent));
	}
	return refer_snapshot(s, snapshotter, manifest->config.digest, parent);
}

struct err *ctd_image_unpack(struct ctd_client *client, const struct ctd_image *image,
	const char *snapshotter, const char *platform)
{
	autoval(temporary_lease) lease = {0};
	autoval(descriptor) target = DESCRIPTOR_INIT;
	autoval(platform) wanted = PLATFORM_INIT;
	autoval(image_manifest) manifest = {0};
	autoval(image_config) config = {0};

	TRY(platform_wanted(platform, &wanted));
	TRY(default_snapshotter(client, snapshotter, &snapshotter));
	TRY(temporary_lease_new(client, &lease));
	struct scope s = {.client = client, .lease = lease.id};
	descriptor_from_public(&target, &image->target);
	TRY(image_manifest_load(BLOBS(&s), &target, &wanted, &manifest));
	TRY(image_config_load(BLOBS(&s), &manifest.config, &config));
	return image_unpack(&s, snapshotter, &manifest, &config);
}
