// SPDX-License-Identifier: Apache-2.0
#include "meta/leases.h"
#include "proto/leases.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static Leases__Lease *lease_to_wire(const struct lease *l, struct arena *arena)
{
	Leases__Lease *w = ARENA_NEW(arena, Leases__Lease);

	leases__lease__init(w);
	w->id = l->id;
	w->created_at = timestamp_to_wire(l->created_at, arena);
	w->labels = STRMAP_TO_WIRE(&l->labels, Leases__Lease__LabelsEntry,
		leases__lease__labels_entry__init, arena, &w->n_labels);
	return w;
}

static struct err *leases_handle_create(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Leases__CreateRequest *req = rpc_request(call);
	Leases__CreateResponse reply = LEASES__CREATE_RESPONSE__INIT;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(lease) l = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	strmap_from_wire(&labels, req->n_labels, req->labels);
	TRY(leases_create(svc->meta, &s, req->id, &labels, &l));
	reply.lease = lease_to_wire(&l, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *leases_handle_delete(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Leases__DeleteRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(leases_delete(svc->meta, &s, req->id));
	if (req->sync)
		TRY(collector_run(svc->collector, rpc_cancel(call)));
	else
		collector_poke(svc->collector);
	return reply_empty(call);
}

static struct err *leases_handle_list(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Leases__ListRequest *req = rpc_request(call);
	Leases__ListResponse reply = LEASES__LIST_RESPONSE__INIT;
	autoval(lease_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(leases_list(svc->meta, &s, req->filters, req->n_filters, &list));
	reply.n_leases = list.n;
	reply.leases = arena_array(rpc_arena(call), list.n, sizeof(*reply.leases));
	for (size_t i = 0; i < list.n; i++)
		reply.leases[i] = lease_to_wire(&list.items[i], rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *leases_handle_add_resource(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Leases__AddResourceRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	if (!req->resource)
		return err_new(ERR_INVALID, "resource required");
	TRY(leases_add_resource(svc->meta, &s, req->id, req->resource->id, req->resource->type));
	return reply_empty(call);
}

static struct err *leases_handle_delete_resource(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Leases__DeleteResourceRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	if (!req->resource)
		return err_new(ERR_INVALID, "resource required");
	TRY(leases_delete_resource(svc->meta, &s, req->id, req->resource->id, req->resource->type));
	collector_poke(svc->collector);
	return reply_empty(call);
}

static struct err *leases_handle_list_resources(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Leases__ListResourcesRequest *req = rpc_request(call);
	Leases__ListResourcesResponse reply = LEASES__LIST_RESOURCES_RESPONSE__INIT;
	autoval(lease_resource_list) list = {0};
	struct arena *arena = rpc_arena(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(leases_list_resources(svc->meta, &s, req->id, &list));
	reply.n_resources = list.n;
	reply.resources = arena_array(arena, list.n, sizeof(*reply.resources));
	for (size_t i = 0; i < list.n; i++) {
		reply.resources[i] = ARENA_NEW(arena, Leases__Resource);
		leases__resource__init(reply.resources[i]);
		reply.resources[i]->id = list.items[i].id;
		reply.resources[i]->type = list.items[i].type;
	}
	return rpc_reply(call, &reply);
}

static const struct rpc_method methods[] = {
	{"Create", RPC_UNARY, LANE_NORMAL, &leases__create_request__descriptor,
		&leases__create_response__descriptor, leases_handle_create},
	{"Delete", RPC_UNARY, LANE_BULK, &leases__delete_request__descriptor,
		&google__protobuf__empty__descriptor, leases_handle_delete},
	{"List", RPC_UNARY, LANE_NORMAL, &leases__list_request__descriptor,
		&leases__list_response__descriptor, leases_handle_list},
	{"AddResource", RPC_UNARY, LANE_NORMAL, &leases__add_resource_request__descriptor,
		&google__protobuf__empty__descriptor, leases_handle_add_resource},
	{"DeleteResource", RPC_UNARY, LANE_NORMAL, &leases__delete_resource_request__descriptor,
		&google__protobuf__empty__descriptor, leases_handle_delete_resource},
	{"ListResources", RPC_UNARY, LANE_NORMAL, &leases__list_resources_request__descriptor,
		&leases__list_resources_response__descriptor, leases_handle_list_resources},
};

const struct rpc_service leases_service = {
	"containerd.services.leases.v1.Leases", methods, ARRAY_LEN(methods)};
