// SPDX-License-Identifier: Apache-2.0
#include "meta/namespaces.h"
#include "proto/namespaces.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static Namespaces__Namespace *namespace_to_wire(const struct namespace_info *n, struct arena *arena)
{
	Namespaces__Namespace *w = ARENA_NEW(arena, Namespaces__Namespace);

	namespaces__namespace__init(w);
	w->name = n->name;
	w->labels = STRMAP_TO_WIRE(&n->labels, Namespaces__Namespace__LabelsEntry,
		namespaces__namespace__labels_entry__init, arena, &w->n_labels);
	return w;
}

static struct err *namespaces_handle_get(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Namespaces__GetNamespaceRequest *req = rpc_request(call);
	Namespaces__GetNamespaceResponse reply = NAMESPACES__GET_NAMESPACE_RESPONSE__INIT;
	autoval(namespace_info) n = {0};

	TRY(namespace_get(svc->meta, req->name, &n));
	reply.namespace_ = namespace_to_wire(&n, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *namespaces_handle_list(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	Namespaces__ListNamespacesResponse reply = NAMESPACES__LIST_NAMESPACES_RESPONSE__INIT;
	autoval(namespace_list) list = {0};

	TRY(namespace_list_all(svc->meta, &list));
	reply.n_namespaces = list.n;
	reply.namespaces = arena_array(rpc_arena(call), list.n, sizeof(*reply.namespaces));
	for (size_t i = 0; i < list.n; i++)
		reply.namespaces[i] = namespace_to_wire(&list.items[i], rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *namespaces_handle_create(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Namespaces__CreateNamespaceRequest *req = rpc_request(call);
	Namespaces__CreateNamespaceResponse reply = NAMESPACES__CREATE_NAMESPACE_RESPONSE__INIT;
	autoval(strmap) labels = STRMAP_INIT;

	if (!req->namespace_)
		return err_new(ERR_INVALID, "namespace required");
	strmap_from_wire(&labels, req->namespace_->n_labels, req->namespace_->labels);
	TRY(namespace_create(svc->meta, req->namespace_->name, &labels));
	reply.namespace_ = req->namespace_;
	return rpc_reply(call, &reply);
}

/* The labels that a mask selects: those named by "labels.x", absent ones to be removed. */
static struct err *select_labels(const struct paths *paths, const struct strmap *given,
	struct strmap *ret, bool *ret_replace)
{
	*ret_replace = false;
	if (paths->n == 0)
		strmap_copy(ret, given);
	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->items[i];

		if (str_eq(path, "labels")) {
			strmap_copy(ret, given);
			*ret_replace = true;
		} else if (str_starts(path, "labels.")) {
			strmap_set(ret, path + 7, str_or(strmap_get(given, path + 7), ""));
		} else {
			return err_new(ERR_INVALID,
				"cannot update \"%s\" field on namespace: invalid argument", path);
		}
	}
	return NULL;
}

static struct err *namespaces_handle_update(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Namespaces__UpdateNamespaceRequest *req = rpc_request(call);
	Namespaces__UpdateNamespaceResponse reply = NAMESPACES__UPDATE_NAMESPACE_RESPONSE__INIT;
	struct paths paths = mask_paths(req->update_mask);
	autoval(strmap) given = STRMAP_INIT;
	autoval(strmap) labels = STRMAP_INIT;
	autoval(namespace_info) n = {0};
	bool replace;

	if (!req->namespace_)
		return err_new(ERR_INVALID, "namespace required");
	strmap_from_wire(&given, req->namespace_->n_labels, req->namespace_->labels);
	TRY(select_labels(&paths, &given, &labels, &replace));
	TRY(namespace_update(svc->meta, req->namespace_->name, &labels, replace, &n));
	reply.namespace_ = namespace_to_wire(&n, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *namespaces_handle_delete(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Namespaces__DeleteNamespaceRequest *req = rpc_request(call);

	TRY(namespace_delete(svc->meta, req->name));
	return reply_empty(call);
}

static const struct rpc_method methods[] = {
	{"Get", RPC_UNARY, LANE_NORMAL, &namespaces__get_namespace_request__descriptor,
		&namespaces__get_namespace_response__descriptor, namespaces_handle_get},
	{"List", RPC_UNARY, LANE_NORMAL, &namespaces__list_namespaces_request__descriptor,
		&namespaces__list_namespaces_response__descriptor, namespaces_handle_list},
	{"Create", RPC_UNARY, LANE_NORMAL, &namespaces__create_namespace_request__descriptor,
		&namespaces__create_namespace_response__descriptor, namespaces_handle_create},
	{"Update", RPC_UNARY, LANE_NORMAL, &namespaces__update_namespace_request__descriptor,
		&namespaces__update_namespace_response__descriptor, namespaces_handle_update},
	{"Delete", RPC_UNARY, LANE_NORMAL, &namespaces__delete_namespace_request__descriptor,
		&google__protobuf__empty__descriptor, namespaces_handle_delete},
};

const struct rpc_service namespaces_service = {
	"containerd.services.namespaces.v1.Namespaces", methods, ARRAY_LEN(methods)};
