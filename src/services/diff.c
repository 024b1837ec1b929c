// SPDX-License-Identifier: Apache-2.0
#include "proto/diff.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static struct err *diff_handle_apply(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Diff__ApplyRequest *req = rpc_request(call);
	Diff__ApplyResponse reply = DIFF__APPLY_RESPONSE__INIT;
	autoval(descriptor) layer = DESCRIPTOR_INIT;
	autoval(descriptor) applied = DESCRIPTOR_INIT;
	autoval(mounts) m = MOUNTS_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	if (!req->diff)
		return err_new(ERR_INVALID, "diff required");
	descriptor_from_wire(&layer, req->diff);
	TRY(digest_check(layer.digest));
	mounts_from_wire(&m, req->mounts, req->n_mounts);
	TRY(differ_apply(svc->differ, &s, &layer, &m, req->sync_fs || svc->sync_fs,
		rpc_cancel(call), &applied));
	reply.applied = descriptor_to_wire(&applied, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *diff_handle_diff(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Diff__DiffRequest *req = rpc_request(call);
	Diff__DiffResponse reply = DIFF__DIFF_RESPONSE__INIT;
	autoval(mounts) lower = MOUNTS_INIT;
	autoval(mounts) upper = MOUNTS_INIT;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(descriptor) made = DESCRIPTOR_INIT;
	struct scope s;
	struct diff_request r = {
		.lower = &lower,
		.upper = &upper,
		.labels = &labels,
		.media_type = str_empty(req->media_type) ? NULL : req->media_type,
		.ref = str_empty(req->ref) ? NULL : req->ref,
		.has_source_date = req->source_date_epoch != NULL,
		.source_date = timestamp_from_wire(req->source_date_epoch),
	};

	TRY(call_scope(call, &s));
	mounts_from_wire(&lower, req->left, req->n_left);
	mounts_from_wire(&upper, req->right, req->n_right);
	strmap_from_wire(&labels, req->n_labels, req->labels);
	TRY(differ_diff(svc->differ, &s, &r, rpc_cancel(call), &made));
	reply.diff = descriptor_to_wire(&made, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static const struct rpc_method methods[] = {
	{"Apply", RPC_UNARY, LANE_BULK, &diff__apply_request__descriptor,
		&diff__apply_response__descriptor, diff_handle_apply},
	{"Diff", RPC_UNARY, LANE_BULK, &diff__diff_request__descriptor,
		&diff__diff_response__descriptor, diff_handle_diff},
};

const struct rpc_service diff_service = {
	"containerd.services.diff.v1.Diff", methods, ARRAY_LEN(methods)};
