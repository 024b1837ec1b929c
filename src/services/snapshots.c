// SPDX-License-Identifier: Apache-2.0
#include "proto/snapshots.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

#define INFOS_PER_MESSAGE 100

static Snapshots__Info *info_to_wire(const struct snapshot_info *i, struct arena *arena)
{
	Snapshots__Info *w = ARENA_NEW(arena, Snapshots__Info);

	snapshots__info__init(w);
	w->name = i->name;
	w->parent = (char *)str_or(i->parent, "");
	w->kind = (Snapshots__Kind)i->kind;
	w->created_at = timestamp_to_wire(i->created_at, arena);
	w->updated_at = timestamp_to_wire(i->updated_at, arena);
	w->labels = STRMAP_TO_WIRE(&i->labels, Snapshots__Info__LabelsEntry,
		snapshots__info__labels_entry__init, arena, &w->n_labels);
	return w;
}

static struct err *snapshots_handle_prepare(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__PrepareSnapshotRequest *req = rpc_request(call);
	Snapshots__PrepareSnapshotResponse reply = SNAPSHOTS__PREPARE_SNAPSHOT_RESPONSE__INIT;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(mounts) m = MOUNTS_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	strmap_from_wire(&labels, req->n_labels, req->labels);
	TRY(snapshot_prepare(
		svc->snapshots, &s, req->snapshotter, req->key, req->parent, &labels, &m));
	reply.mounts = mounts_to_wire(&m, rpc_arena(call), &reply.n_mounts);
	return rpc_reply(call, &reply);
}

static struct err *snapshots_handle_view(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__ViewSnapshotRequest *req = rpc_request(call);
	Snapshots__ViewSnapshotResponse reply = SNAPSHOTS__VIEW_SNAPSHOT_RESPONSE__INIT;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(mounts) m = MOUNTS_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	strmap_from_wire(&labels, req->n_labels, req->labels);
	TRY(snapshot_view(
		svc->snapshots, &s, req->snapshotter, req->key, req->parent, &labels, &m));
	reply.mounts = mounts_to_wire(&m, rpc_arena(call), &reply.n_mounts);
	return rpc_reply(call, &reply);
}

static struct err *snapshots_handle_mounts(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__MountsRequest *req = rpc_request(call);
	Snapshots__MountsResponse reply = SNAPSHOTS__MOUNTS_RESPONSE__INIT;
	autoval(mounts) m = MOUNTS_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(snapshot_mounts(svc->snapshots, &s, req->snapshotter, req->key, &m));
	reply.mounts = mounts_to_wire(&m, rpc_arena(call), &reply.n_mounts);
	return rpc_reply(call, &reply);
}

static struct err *snapshots_handle_commit(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__CommitSnapshotRequest *req = rpc_request(call);
	autoval(strmap) labels = STRMAP_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	strmap_from_wire(&labels, req->n_labels, req->labels);
	TRY(snapshot_commit(svc->snapshots, &s, req->snapshotter, req->key, req->name,
		str_empty(req->parent) ? NULL : req->parent, &labels));
	return reply_empty(call);
}

static struct err *snapshots_handle_remove(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__RemoveSnapshotRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(snapshot_remove(svc->snapshots, &s, req->snapshotter, req->key));
	collector_poke(svc->collector);
	return reply_empty(call);
}

static struct err *snapshots_handle_stat(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__StatSnapshotRequest *req = rpc_request(call);
	Snapshots__StatSnapshotResponse reply = SNAPSHOTS__STAT_SNAPSHOT_RESPONSE__INIT;
	autoval(snapshot_info) i = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(snapshot_stat(svc->snapshots, &s, req->snapshotter, req->key, &i));
	reply.info = info_to_wire(&i, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *snapshots_handle_update(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__UpdateSnapshotRequest *req = rpc_request(call);
	Snapshots__UpdateSnapshotResponse reply = SNAPSHOTS__UPDATE_SNAPSHOT_RESPONSE__INIT;
	struct paths paths = mask_paths(req->update_mask);
	autoval(strmap) labels = STRMAP_INIT;
	autoval(snapshot_info) i = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	if (!req->info)
		return err_new(ERR_INVALID, "info required");
	strmap_from_wire(&labels, req->info->n_labels, req->info->labels);
	TRY(snapshot_update(svc->snapshots, &s, req->snapshotter, req->info->name, &labels,
		paths.items, paths.n, &i));
	reply.info = info_to_wire(&i, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *send_infos(struct rpc_call *call, const struct snapshot_info *infos, size_t n)
{
	Snapshots__ListSnapshotsResponse reply = SNAPSHOTS__LIST_SNAPSHOTS_RESPONSE__INIT;
	autoptr(arena) arena = arena_new();

	reply.n_info = n;
	reply.info = arena_array(arena, n, sizeof(*reply.info));
	for (size_t i = 0; i < n; i++)
		reply.info[i] = info_to_wire(&infos[i], arena);
	return rpc_send(call, &reply);
}

static struct err *snapshots_handle_list(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__ListSnapshotsRequest *req = rpc_request(call);
	autoval(snapshot_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(snapshot_walk(
		svc->snapshots, &s, req->snapshotter, req->filters, req->n_filters, &list));
	for (size_t i = 0; i < list.n; i += INFOS_PER_MESSAGE)
		TRY(send_infos(call, list.items + i, MIN(list.n - i, (size_t)INFOS_PER_MESSAGE)));
	return NULL;
}

static struct err *snapshots_handle_usage(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__UsageRequest *req = rpc_request(call);
	Snapshots__UsageResponse reply = SNAPSHOTS__USAGE_RESPONSE__INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(snapshot_usage(
		svc->snapshots, &s, req->snapshotter, req->key, &reply.size, &reply.inodes));
	return rpc_reply(call, &reply);
}

static struct err *snapshots_handle_cleanup(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Snapshots__CleanupRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(snapshot_cleanup(svc->snapshots, req->snapshotter));
	return reply_empty(call);
}

static const struct rpc_method methods[] = {
	{"Prepare", RPC_UNARY, LANE_NORMAL, &snapshots__prepare_snapshot_request__descriptor,
		&snapshots__prepare_snapshot_response__descriptor, snapshots_handle_prepare},
	{"View", RPC_UNARY, LANE_NORMAL, &snapshots__view_snapshot_request__descriptor,
		&snapshots__view_snapshot_response__descriptor, snapshots_handle_view},
	{"Mounts", RPC_UNARY, LANE_NORMAL, &snapshots__mounts_request__descriptor,
		&snapshots__mounts_response__descriptor, snapshots_handle_mounts},
	{"Commit", RPC_UNARY, LANE_NORMAL, &snapshots__commit_snapshot_request__descriptor,
		&google__protobuf__empty__descriptor, snapshots_handle_commit},
	{"Remove", RPC_UNARY, LANE_NORMAL, &snapshots__remove_snapshot_request__descriptor,
		&google__protobuf__empty__descriptor, snapshots_handle_remove},
	{"Stat", RPC_UNARY, LANE_NORMAL, &snapshots__stat_snapshot_request__descriptor,
		&snapshots__stat_snapshot_response__descriptor, snapshots_handle_stat},
	{"Update", RPC_UNARY, LANE_NORMAL, &snapshots__update_snapshot_request__descriptor,
		&snapshots__update_snapshot_response__descriptor, snapshots_handle_update},
	{"List", RPC_SERVER_STREAM, LANE_BULK, &snapshots__list_snapshots_request__descriptor,
		&snapshots__list_snapshots_response__descriptor, snapshots_handle_list},
	{"Usage", RPC_UNARY, LANE_BULK, &snapshots__usage_request__descriptor,
		&snapshots__usage_response__descriptor, snapshots_handle_usage},
	{"Cleanup", RPC_UNARY, LANE_BULK, &snapshots__cleanup_request__descriptor,
		&google__protobuf__empty__descriptor, snapshots_handle_cleanup},
};

const struct rpc_service snapshots_service = {
	"containerd.services.snapshots.v1.Snapshots", methods, ARRAY_LEN(methods)};
