// SPDX-License-Identifier: Apache-2.0
#include "client/snapshots-internal.h"

#include <containerd/snapshots.h>
#include <string.h>

#include "proto/snapshots.pb-c.h"

#define SERVICE "/containerd.services.snapshots.v1.Snapshots/"

static void snapshot_from_wire(
	struct ctd_snapshot *to, const Snapshots__Info *info, struct arena *arena)
{
	*to = (struct ctd_snapshot){
		.name = info->name,
		.parent = info->parent,
		.kind = (enum ctd_snapshot_kind)info->kind,
		.created_at = time_from_wire(info->created_at),
		.updated_at = time_from_wire(info->updated_at),
		.labels = labels_from_wire(info->n_labels, info->labels, arena),
	};
}

struct snapshot_items {
	struct ctd_snapshot **items;
	size_t n, cap;
};

static void snapshot_items_done(struct snapshot_items *l)
{
	free(l->items);
}
DEFINE_AUTOVAL(snapshot_items, snapshot_items_done);

static struct err *receive_list(
	struct grpc_stream *stream, struct arena *arena, struct snapshot_items *list)
{
	for (;;) {
		void *message;

		TRY(call_error(grpc_stream_recv(stream, arena, &message)));
		const Snapshots__ListSnapshotsResponse *reply = message;
		if (!reply)
			return NULL;
		for (size_t i = 0; i < reply->n_info; i++) {
			struct ctd_snapshot *s = ARENA_NEW(arena, struct ctd_snapshot);

			snapshot_from_wire(s, reply->info[i], arena);
			GROW(list->items, list->n, list->cap);
			list->items[list->n++] = s;
		}
	}
}

struct err *ctd_snapshot_list(struct ctd_client *client, const char *snapshotter,
	const char *const *filters, size_t n_filters, struct ctd_snapshots **ret)
{
	autoptr(arena) arena = arena_new();
	autoptr(grpc_stream) stream = NULL;
	autoval(snapshot_items) list = {0};
	Snapshots__ListSnapshotsRequest request = SNAPSHOTS__LIST_SNAPSHOTS_REQUEST__INIT;

	TRY(default_snapshotter(client, snapshotter, (const char **)&request.snapshotter));
	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call_start(SCOPE(client), SERVICE "List", &request,
		&snapshots__list_snapshots_response__descriptor, &stream));
	TRY(receive_list(stream, arena, &list));
	struct ctd_snapshots *record = record_new(arena, sizeof(*record));
	record->n = list.n;
	record->items = arena_memdup(arena, list.items, list.n * sizeof(*list.items));
	*ret = record;
	TAKE(arena);
	return NULL;
}

struct err *ctd_snapshot_get(struct ctd_client *client, const char *snapshotter, const char *key,
	struct ctd_snapshot **ret)
{
	autoptr(arena) arena = arena_new();
	Snapshots__StatSnapshotRequest request = SNAPSHOTS__STAT_SNAPSHOT_REQUEST__INIT;
	Snapshots__StatSnapshotResponse *reply;

	TRY(default_snapshotter(client, snapshotter, (const char **)&request.snapshotter));
	request.key = (char *)key;
	TRY(call(SCOPE(client), SERVICE "Stat", &request,
		&snapshots__stat_snapshot_response__descriptor, arena, &reply));
	if (!reply->info)
		return err_new(ERR_NOT_FOUND, "snapshot %s: not found", key);
	struct ctd_snapshot *s = record_new(arena, sizeof(*s));
	snapshot_from_wire(s, reply->info, arena);
	*ret = s;
	TAKE(arena);
	return NULL;
}

struct err *ctd_snapshot_usage(struct ctd_client *client, const char *snapshotter, const char *key,
	struct ctd_snapshot_usage *ret)
{
	autoptr(arena) arena = arena_new();
	Snapshots__UsageRequest request = SNAPSHOTS__USAGE_REQUEST__INIT;
	Snapshots__UsageResponse *reply;

	TRY(default_snapshotter(client, snapshotter, (const char **)&request.snapshotter));
	request.key = (char *)key;
	TRY(call(SCOPE(client), SERVICE "Usage", &request, &snapshots__usage_response__descriptor,
		arena, &reply));
	*ret = (struct ctd_snapshot_usage){.size = reply->size, .inodes = reply->inodes};
	return NULL;
}

struct err *snapshot_prepare(const struct scope *s, const char *snapshotter, const char *key,
	const char *parent, struct ctd_labels labels, struct arena *arena, struct ctd_mounts *ret)
{
	Snapshots__PrepareSnapshotRequest request = SNAPSHOTS__PREPARE_SNAPSHOT_REQUEST__INIT;
	Snapshots__PrepareSnapshotResponse *reply;

	request.snapshotter = (char *)snapshotter;
	request.key = (char *)key;
	request.parent = (char *)str_or(parent, "");
	request.labels = LABELS_TO_WIRE(labels, Snapshots__PrepareSnapshotRequest__LabelsEntry,
		snapshots__prepare_snapshot_request__labels_entry__init, arena, &request.n_labels);
	TRY(call(s, SERVICE "Prepare", &request, &snapshots__prepare_snapshot_response__descriptor,
		arena, &reply));
	*ret = mounts_from_wire(reply->n_mounts, reply->mounts, arena);
	return NULL;
}

static struct err *mounts_record(
	struct ctd_mounts mounts, struct arena **take_arena, struct ctd_mounts **ret)
{
	struct ctd_mounts *record = record_new(*take_arena, sizeof(*record));

	*record = mounts;
	*ret = record;
	TAKE(*take_arena);
	return NULL;
}

struct err *ctd_snapshot_prepare(struct ctd_client *client, const char *snapshotter,
	const char *key, const char *parent, struct ctd_labels labels, struct ctd_mounts **ret)
{
	autoptr(arena) arena = arena_new();
	struct ctd_mounts mounts;

	TRY(default_snapshotter(client, snapshotter, &snapshotter));
	TRY(snapshot_prepare(SCOPE(client), snapshotter, key, parent, labels, arena, &mounts));
	return mounts_record(mounts, &arena, ret);
}

struct err *ctd_snapshot_view(struct ctd_client *client, const char *snapshotter, const char *key,
	const char *parent, struct ctd_labels labels, struct ctd_mounts **ret)
{
	autoptr(arena) arena = arena_new();
	Snapshots__ViewSnapshotRequest request = SNAPSHOTS__VIEW_SNAPSHOT_REQUEST__INIT;
	Snapshots__ViewSnapshotResponse *reply;

	TRY(default_snapshotter(client, snapshotter, (const char **)&request.snapshotter));
	request.key = (char *)key;
	request.parent = (char *)str_or(parent, "");
	request.labels = LABELS_TO_WIRE(labels, Snapshots__ViewSnapshotRequest__LabelsEntry,
		snapshots__view_snapshot_request__labels_entry__init, arena, &request.n_labels);
	TRY(call(SCOPE(client), SERVICE "View", &request,
		&snapshots__view_snapshot_response__descriptor, arena, &reply));
	return mounts_record(mounts_from_wire(reply->n_mounts, reply->mounts, arena), &arena, ret);
}

struct err *snapshot_mounts(const struct scope *s, const char *snapshotter, const char *key,
	struct arena *arena, struct ctd_mounts *ret)
{
	Snapshots__MountsRequest request = SNAPSHOTS__MOUNTS_REQUEST__INIT;
	Snapshots__MountsResponse *reply;

	request.snapshotter = (char *)snapshotter;
	request.key = (char *)key;
	TRY(call(s, SERVICE "Mounts", &request, &snapshots__mounts_response__descriptor, arena,
		&reply));
	*ret = mounts_from_wire(reply->n_mounts, reply->mounts, arena);
	return NULL;
}

struct err *ctd_snapshot_mounts(struct ctd_client *client, const char *snapshotter, const char *key,
	struct ctd_mounts **ret)
{
	autoptr(arena) arena = arena_new();
	struct ctd_mounts mounts;

	TRY(default_snapshotter(client, snapshotter, &snapshotter));
	TRY(snapshot_mounts(SCOPE(client), snapshotter, key, arena, &mounts));
	return mounts_record(mounts, &arena, ret);
}

struct err *snapshot_commit(const struct scope *s, const char *snapshotter, const char *name,
	const char *key, struct ctd_labels labels)
{
	autoptr(arena) arena = arena_new();
	Snapshots__CommitSnapshotRequest request = SNAPSHOTS__COMMIT_SNAPSHOT_REQUEST__INIT;

	request.snapshotter = (char *)snapshotter;
	request.name = (char *)name;
	request.key = (char *)key;
	request.labels = LABELS_TO_WIRE(labels, Snapshots__CommitSnapshotRequest__LabelsEntry,
		snapshots__commit_snapshot_request__labels_entry__init, arena, &request.n_labels);
	return call_void(s, SERVICE "Commit", &request);
}

struct err *ctd_snapshot_commit(struct ctd_client *client, const char *snapshotter,
	const char *name, const char *key, struct ctd_labels labels)
{
	TRY(default_snapshotter(client, snapshotter, &snapshotter));
	return snapshot_commit(SCOPE(client), snapshotter, name, key, labels);
}

struct err *snapshot_remove_start(
	const struct scope *s, const char *snapshotter, const char *key, struct grpc_stream **ret)
{
	Snapshots__RemoveSnapshotRequest request = SNAPSHOTS__REMOVE_SNAPSHOT_REQUEST__INIT;

	request.snapshotter = (char *)snapshotter;
	request.key = (char *)key;
	return call_start(s, SERVICE "Remove", &request, &google__protobuf__empty__descriptor, ret);
}

struct err *ctd_snapshot_remove(struct ctd_client *client, const char *snapshotter, const char *key)
{
	Snapshots__RemoveSnapshotRequest request = SNAPSHOTS__REMOVE_SNAPSHOT_REQUEST__INIT;

	TRY(default_snapshotter(client, snapshotter, (const char **)&request.snapshotter));
	request.key = (char *)key;
	return call_void(SCOPE(client), SERVICE "Remove", &request);
}

struct err *ctd_snapshot_label(struct ctd_client *client, const char *snapshotter, const char *key,
	struct ctd_labels labels, struct ctd_snapshot **ret)
{
	autoptr(arena) arena = arena_new();
	Snapshots__UpdateSnapshotRequest request = SNAPSHOTS__UPDATE_SNAPSHOT_REQUEST__INIT;
	Snapshots__UpdateSnapshotResponse *reply;
	Snapshots__Info info = SNAPSHOTS__INFO__INIT;

	if (labels.n == 0)
		return ctd_snapshot_get(client, snapshotter, key, ret);
	TRY(default_snapshotter(client, snapshotter, (const char **)&request.snapshotter));
	info.name = (char *)key;
	info.labels = LABELS_TO_WIRE(labels_set(labels, arena), Snapshots__Info__LabelsEntry,
		snapshots__info__labels_entry__init, arena, &info.n_labels);
	request.info = &info;
	request.update_mask = labels_mask(labels, arena);
	TRY(call(SCOPE(client), SERVICE "Update", &request,
		&snapshots__update_snapshot_response__descriptor, arena, &reply));
	if (!reply->info)
		return err_new(ERR_NOT_FOUND, "snapshot %s: not found", key);
	struct ctd_snapshot *s = record_new(arena, sizeof(*s));
	snapshot_from_wire(s, reply->info, arena);
	*ret = s;
	TAKE(arena);
	return NULL;
}
