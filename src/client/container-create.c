// SPDX-License-Identifier: Apache-2.0
/* A new container: image, snapshot, spec, record. What does not depend on each other is asked for at
 * the same time, because starting a container is what people wait for. */
#include <stdlib.h>
#include <string.h>

#include "base/identifier.h"
#include "client/containers-internal.h"
#include "client/image-source.h"
#include "client/images-internal.h"
#include "client/snapshots-internal.h"
#include "oci/spec.h"
#include "proto/leases.pb-c.h"
#include "proto/runc-options.pb-c.h"
#include "proto/runtime-options.pb-c.h"

#include <containerd/leases.h>
#include <containerd/snapshots.h>

#define STOP_SIGNAL_LABEL "io.containerd.image.config.stop-signal"
#define UID_MAP_LABEL "containerd.io/snapshot/uidmapping"
#define GID_MAP_LABEL "containerd.io/snapshot/gidmapping"

/* What is gathered on the way. */
struct creation {
	struct scope scope;
	const struct ctd_container_options *options;
	struct temporary_lease lease;
	const char *snapshotter;
	struct ctd_image *image;
	struct image_manifest manifest;
	struct image_config config;
	struct account_files accounts;
	struct ctd_mounts rootfs;
	bool has_snapshot;
};

static void creation_done(struct creation *c)
{
	/* A snapshot that no container came to own. */
	if (c->has_snapshot)
		err_free(ctd_snapshot_remove(c->scope.client, c->snapshotter, c->options->id));
	temporary_lease_done(&c->lease);
	ctd_free(c->image);
	image_manifest_done(&c->manifest);
	image_config_done(&c->config);
	account_files_done(&c->accounts);
}
DEFINE_AUTOVAL(creation, creation_done);

/* The image record and the namespace's default snapshotter, in one round trip. */
static struct err *get_image(struct creation *c)
{
	struct ctd_client *client = c->scope.client;
	struct grpc_stream *image = NULL, *snapshotter = NULL;

	TRY(image_get_start(&c->scope, c->options->image, &image));
	struct err *e = NULL;
	if (str_empty(c->options->snapshotter))
		e = default_snapshotter_ask(client, &snapshotter);
	if (!e)
		e = temporary_lease_new(client, &c->lease);
	struct err *e_image = image_get_finish(image, &c->image);
	struct err *e_snapshotter = default_snapshotter_take(client, snapshotter);
	if (e_image) {
		err_free(e);
		err_free(e_snapshotter);
		return e_image;
	}
	if (e) {
		err_free(e_snapshotter);
		return e;
	}
	TRY(e_snapshotter);
	c->scope.lease = c->lease.id;
	return default_snapshotter(client, c->options->snapshotter, &c->snapshotter);
}

static struct err *load_documents(struct creation *c)
{
	autoval(descriptor) target = DESCRIPTOR_INIT;
	autoval(platform) wanted = PLATFORM_INIT;

	TRY(platform_wanted(c->options->platform, &wanted));
	descriptor_from_public(&target, &c->image->target);
	TRY(image_manifest_load(BLOBS(&c->scope), &target, &wanted, &c->manifest));
	return image_config_load(BLOBS(&c->scope), &c->manifest.config, &c->config);
}

static void add_id_maps(
	struct strmap *labels, const char *key, const struct ctd_id_map *maps, size_t n)
{
	autoval(strv) parts = STRV_INIT;

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		strv_addf(
			&parts, "%u:%u:%u", maps[i].container_id, maps[i].host_id, maps[i].length);
	autofree char *text = strv_join(&parts, ",");
	strmap_set(labels, key, text);
}

static struct err *snapshot_labels(const struct ctd_container_options *o, struct strmap *labels)
{
	bool maps = o->spec.n_uid_maps + o->spec.n_gid_maps > 0;

	for (size_t i = 0; i < o->snapshot_labels.n; i++)
		strmap_set(
			labels, o->snapshot_labels.items[i].key, o->snapshot_labels.items[i].value);
	if (maps && !o->remap_labels)
		return err_new(ERR_INVALID,
			"a user namespace needs a rootfs whose owners are shifted: ask the "
			"snapshotter to do it with --remap-labels");
	add_id_maps(labels, UID_MAP_LABEL, o->spec.uid_maps, o->spec.n_uid_maps);
	add_id_maps(labels, GID_MAP_LABEL, o->spec.gid_maps, o->spec.n_gid_maps);
	return NULL;
}

/* Prepare says by NOT_FOUND that the image is not unpacked: no need to ask before. */
static struct err *prepare(struct creation *c, struct arena *arena)
{
	autoval(strmap) map = STRMAP_INIT;
	char parent[DIGEST_MAX] = "";

	if (c->config.diff_ids.n > 0)
		image_chain_id(&c->config.diff_ids, c->config.diff_ids.n, parent);
	TRY(snapshot_labels(c->options, &map));
	struct ctd_labels labels = labels_from_strmap(&map, arena);
	struct err *e = snapshot_prepare(
		&c->scope, c->snapshotter, c->options->id, parent, labels, arena, &c->rootfs);
	if (err_is(e, ERR_NOT_FOUND) && *parent) {
		err_free(e);
		TRY(image_unpack(&c->scope, c->snapshotter, &c->manifest, &c->config));
		e = snapshot_prepare(&c->scope, c->snapshotter, c->options->id, parent, labels,
			arena, &c->rootfs);
	}
	TRY(e);
	c->has_snapshot = true;
	return account_files_read(c->rootfs, &c->accounts);
}

/* Labels that the daemon would refuse do not keep the image from running. */
static void add_valid(struct strmap *labels, const char *key, const char *value)
{
	struct err *e = label_check(key, value);

	if (!e)
		strmap_set(labels, key, value);
	err_free(e);
}

static void container_labels(const struct creation *c, struct strmap *labels)
{
	const struct ctd_labels *given = &c->options->labels;

	if (c->image) {
		for (size_t i = 0; i < c->config.labels.n; i++)
			add_valid(labels, c->config.labels.entries[i].key,
				c->config.labels.entries[i].value);
		for (size_t i = 0; i < c->image->labels.n; i++)
			add_valid(labels, c->image->labels.items[i].key,
				c->image->labels.items[i].value);
	}
	for (size_t i = 0; i < given->n; i++)
		strmap_set(labels, given->items[i].key, given->items[i].value);
	if (c->image)
		strmap_set(labels, STOP_SIGNAL_LABEL,
			str_empty(c->config.stop_signal) ? "SIGTERM" : c->config.stop_signal);
}

static Google__Protobuf__Any *runtime_options(
	const struct ctd_container_options *o, struct arena *arena)
{
	if (str_eq(str_or(o->runtime, RUNTIME_DEFAULT), RUNTIME_DEFAULT)) {
		Runc__Options runc = RUNC__OPTIONS__INIT;

		runc.binary_name = (char *)str_or(o->runc_binary, "");
		runc.root = (char *)str_or(o->runc_root, "");
		runc.systemd_cgroup = o->runc_systemd_cgroup;
		return message_to_any(&runc, arena);
	}
	if (!str_empty(o->runtime_config_path)) {
		Rtopts__Options options = RTOPTS__OPTIONS__INIT;

		options.config_path = (char *)o->runtime_config_path;
		return message_to_any(&options, arena);
	}
	return NULL;
}

static struct err *put_record(struct creation *c, const char *spec, size_t spec_len,
	struct arena *arena, struct ctd_container **ret)
{
	const struct ctd_container_options *o = c->options;
	autoval(strmap) labels = STRMAP_INIT;
	Containers__Container wire = CONTAINERS__CONTAINER__INIT, *reply;
	Containers__Container__Runtime runtime = CONTAINERS__CONTAINER__RUNTIME__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;

	container_labels(c, &labels);
	wire.id = (char *)o->id;
	wire.labels = STRMAP_TO_WIRE(&labels, Containers__Container__LabelsEntry,
		containers__container__labels_entry__init, arena, &wire.n_labels);
	wire.image = (char *)(c->image ? c->image->name : "");
	runtime.name = (char *)str_or(o->runtime, RUNTIME_DEFAULT);
	runtime.options = runtime_options(o, arena);
	wire.runtime = &runtime;
	any.type_url = (char *)SPEC_TYPE_URL;
	any.value = (ProtobufCBinaryData){.data = (uint8_t *)spec, .len = spec_len};
	wire.spec = &any;
	wire.snapshotter = (char *)str_or(c->snapshotter, "");
	wire.snapshot_key = (char *)(c->has_snapshot ? o->id : "");
	wire.sandbox = (char *)str_or(o->sandbox, "");
	TRY(container_put(&c->scope, &wire, arena, &reply));
	c->has_snapshot = false;
	struct ctd_container *record = record_new(arena, sizeof(*record));
	container_from_wire(record, reply, arena);
	record->rootfs = c->rootfs;
	*ret = record;
	return NULL;
}

/* Options from a program that may be older than the library. */
static void take_options(struct ctd_container_options *to, const struct ctd_container_options *from)
{
	*to = CTD_CONTAINER_INIT;
	memcpy(to, from, MIN(from->size, sizeof(*to)));
}

static struct err *gather(struct creation *c, struct arena *arena)
{
	const struct ctd_container_options *o = c->options;

	if (!str_empty(o->spec_file))
		return NULL;
	if (!str_empty(o->rootfs))
		return account_files_read_path(o->rootfs, &c->accounts);
	if (str_empty(o->image))
		return err_new(ERR_INVALID, "a container needs an image, a rootfs or a spec");
	TRY(get_image(c));
	TRY(load_documents(c));
	return prepare(c, arena);
}

struct err *ctd_container_create(struct ctd_client *client,
	const struct ctd_container_options *given, struct ctd_container **ret)
{
	struct ctd_container_options options;
	autoptr(arena) arena = arena_new();
	autoptr(json_object) spec = NULL;
	size_t len;

	take_options(&options, given);
	if (str_empty(options.id))
		return err_new(ERR_INVALID, "container id must be provided: invalid argument");
	autoval(creation) c = {.scope = {.client = client}, .options = &options};
	TRY(gather(&c, arena));
	TRY(spec_for(&options, client->ns, c.image ? &c.config : NULL, &c.accounts, &spec));
	autofree char *text = spec_to_text(spec, &len);
	TRY(put_record(&c, text, len, arena, ret));
	TAKE(arena);
	return NULL;
}
