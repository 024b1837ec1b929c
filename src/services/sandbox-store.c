// SPDX-License-Identifier: Apache-2.0
#include "meta/sandboxes.h"

#include "proto/sandbox-service.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

/* A message without a sandbox has nothing to work on. */
static struct err *take_sandbox(const Types__Sandbox *w, struct sandbox **ret)
{
	if (!w)
		return err_new(ERR_INVALID, "sandbox can not be nil: invalid argument");
	*ret = sandbox_from_wire(w);
	return NULL;
}

static struct err *sandboxes_handle_create(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__StoreCreateRequest *req = rpc_request(call);
	Sbsvc__StoreCreateResponse reply = SBSVC__STORE_CREATE_RESPONSE__INIT;
	autoptr(sandbox) wanted = NULL, *created = NULL;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(take_sandbox(req->sandbox, &wanted));
	TRY(sandboxes_create(svc->meta, &s, wanted, &created));
	reply.sandbox = sandbox_to_wire(created, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *sandboxes_handle_update(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__StoreUpdateRequest *req = rpc_request(call);
	Sbsvc__StoreUpdateResponse reply = SBSVC__STORE_UPDATE_RESPONSE__INIT;
	autoptr(sandbox) wanted = NULL, *updated = NULL;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(take_sandbox(req->sandbox, &wanted));
	TRY(sandboxes_update(svc->meta, &s, wanted, req->fields, req->n_fields, &updated));
	reply.sandbox = sandbox_to_wire(updated, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *sandboxes_handle_list(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__StoreListRequest *req = rpc_request(call);
	Sbsvc__StoreListResponse reply = SBSVC__STORE_LIST_RESPONSE__INIT;
	autoval(sandbox_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(sandboxes_list(svc->meta, &s, req->filters, req->n_filters, &list));
	reply.n_list = list.n;
	reply.list = arena_array(rpc_arena(call), list.n, sizeof(*reply.list));
	for (size_t i = 0; i < list.n; i++)
		reply.list[i] = sandbox_to_wire(list.items[i], rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *sandboxes_handle_get(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__StoreGetRequest *req = rpc_request(call);
	Sbsvc__StoreGetResponse reply = SBSVC__STORE_GET_RESPONSE__INIT;
	autoptr(sandbox) found = NULL;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(sandboxes_get(svc->meta, &s, req->sandbox_id, &found));
	reply.sandbox = sandbox_to_wire(found, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *sandboxes_handle_delete(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__StoreDeleteRequest *req = rpc_request(call);
	Sbsvc__StoreDeleteResponse reply = SBSVC__STORE_DELETE_RESPONSE__INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(sandboxes_delete(svc->meta, &s, req->sandbox_id));
	collector_poke(svc->collector);
	return rpc_reply(call, &reply);
}

static const struct rpc_method methods[] = {
	{"Create", RPC_UNARY, LANE_NORMAL, &sbsvc__store_create_request__descriptor,
		&sbsvc__store_create_response__descriptor, sandboxes_handle_create},
	{"Update", RPC_UNARY, LANE_NORMAL, &sbsvc__store_update_request__descriptor,
		&sbsvc__store_update_response__descriptor, sandboxes_handle_update},
	{"Delete", RPC_UNARY, LANE_NORMAL, &sbsvc__store_delete_request__descriptor,
		&sbsvc__store_delete_response__descriptor, sandboxes_handle_delete},
	{"List", RPC_UNARY, LANE_NORMAL, &sbsvc__store_list_request__descriptor,
		&sbsvc__store_list_response__descriptor, sandboxes_handle_list},
	{"Get", RPC_UNARY, LANE_NORMAL, &sbsvc__store_get_request__descriptor,
		&sbsvc__store_get_response__descriptor, sandboxes_handle_get},
};

const struct rpc_service sandboxes_service = {
	"containerd.services.sandbox.v1.Store", methods, ARRAY_LEN(methods)};
