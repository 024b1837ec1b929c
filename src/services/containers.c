// SPDX-License-Identifier: Apache-2.0
#include "proto/containers.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static struct err *containers_handle_get(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Containers__GetContainerRequest *req = rpc_request(call);
	Containers__GetContainerResponse reply = CONTAINERS__GET_CONTAINER_RESPONSE__INIT;
	autoptr(container) c = NULL;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(containers_get(svc->meta, &s, req->id, &c));
	reply.container = container_to_wire(c, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *containers_handle_list(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Containers__ListContainersRequest *req = rpc_request(call);
	Containers__ListContainersResponse reply = CONTAINERS__LIST_CONTAINERS_RESPONSE__INIT;
	autoval(container_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(containers_list(svc->meta, &s, req->filters, req->n_filters, &list));
	reply.n_containers = list.n;
	reply.containers = arena_array(rpc_arena(call), list.n, sizeof(*reply.containers));
	for (size_t i = 0; i < list.n; i++)
		reply.containers[i] = container_to_wire(list.items[i], rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *containers_handle_list_stream(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Containers__ListContainersRequest *req = rpc_request(call);
	autoval(container_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(containers_list(svc->meta, &s, req->filters, req->n_filters, &list));
	for (size_t i = 0; i < list.n; i++) {
		Containers__ListContainerMessage m = CONTAINERS__LIST_CONTAINER_MESSAGE__INIT;
		autoptr(arena) arena = arena_new();

		m.container = container_to_wire(list.items[i], arena);
		TRY(rpc_send(call, &m));
	}
	return NULL;
}

static struct err *containers_handle_create(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Containers__CreateContainerRequest *req = rpc_request(call);
	Containers__CreateContainerResponse reply = CONTAINERS__CREATE_CONTAINER_RESPONSE__INIT;
	autoptr(container) wanted = container_from_wire(req->container);
	autoptr(container) created = NULL;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(containers_create(svc->meta, &s, wanted, &created));
	reply.container = container_to_wire(created, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *containers_handle_update(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Containers__UpdateContainerRequest *req = rpc_request(call);
	Containers__UpdateContainerResponse reply = CONTAINERS__UPDATE_CONTAINER_RESPONSE__INIT;
	autoptr(container) wanted = container_from_wire(req->container);
	autoptr(container) updated = NULL;
	struct paths paths = mask_paths(req->update_mask);
	struct scope s;

	TRY(call_scope(call, &s));
	if (str_empty(wanted->id))
		return err_new(ERR_INVALID, "Container.ID required");
	TRY(containers_update(svc->meta, &s, wanted, paths.items, paths.n, &updated));
	reply.container = container_to_wire(updated, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *containers_handle_delete(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Containers__DeleteContainerRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(containers_delete(svc->meta, &s, req->id));
	collector_poke(svc->collector);
	return reply_empty(call);
}

static const struct rpc_method methods[] = {
	{"Get", RPC_UNARY, LANE_NORMAL, &containers__get_container_request__descriptor,
		&containers__get_container_response__descriptor, containers_handle_get},
	{"List", RPC_UNARY, LANE_NORMAL, &containers__list_containers_request__descriptor,
		&containers__list_containers_response__descriptor, containers_handle_list},
	{"ListStream", RPC_SERVER_STREAM, LANE_BULK,
		&containers__list_containers_request__descriptor,
		&containers__list_container_message__descriptor, containers_handle_list_stream},
	{"Create", RPC_UNARY, LANE_NORMAL, &containers__create_container_request__descriptor,
		&containers__create_container_response__descriptor, containers_handle_create},
	{"Update", RPC_UNARY, LANE_NORMAL, &containers__update_container_request__descriptor,
		&containers__update_container_response__descriptor, containers_handle_update},
	{"Delete", RPC_UNARY, LANE_NORMAL, &containers__delete_container_request__descriptor,
		&google__protobuf__empty__descriptor, containers_handle_delete},
};

const struct rpc_service containers_service = {
	"containerd.services.containers.v1.Containers", methods, ARRAY_LEN(methods)};
