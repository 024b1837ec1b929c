// SPDX-License-Identifier: Apache-2.0
#include "client/client-internal.h"

#include <containerd/namespaces.h>

#include "proto/namespaces.pb-c.h"

#define SERVICE "/containerd.services.namespaces.v1.Namespaces/"

struct err *ctd_namespace_list(struct ctd_client *client, struct ctd_namespaces **ret)
{
	autoptr(arena) arena = arena_new();
	Namespaces__ListNamespacesRequest request = NAMESPACES__LIST_NAMESPACES_REQUEST__INIT;
	Namespaces__ListNamespacesResponse *reply;

	TRY(call(SCOPE(client), SERVICE "List", &request,
		&namespaces__list_namespaces_response__descriptor, arena, &reply));
	struct ctd_namespaces *list = record_new(arena, sizeof(*list));
	struct ctd_namespace **items = arena_array(arena, reply->n_namespaces, sizeof(*items));
	for (size_t i = 0; i < reply->n_namespaces; i++) {
		const Namespaces__Namespace *n = reply->namespaces[i];

		items[i] = ARENA_NEW(arena, struct ctd_namespace);
		items[i]->name = n->name;
		items[i]->labels = labels_from_wire(n->n_labels, n->labels, arena);
	}
	list->n = reply->n_namespaces;
	list->items = (const struct ctd_namespace *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}

static Namespaces__Namespace *namespace_to_wire(
	const char *name, struct ctd_labels labels, struct arena *arena)
{
	Namespaces__Namespace *n = ARENA_NEW(arena, Namespaces__Namespace);

	namespaces__namespace__init(n);
	n->name = (char *)name;
	n->labels = LABELS_TO_WIRE(labels, Namespaces__Namespace__LabelsEntry,
		namespaces__namespace__labels_entry__init, arena, &n->n_labels);
	return n;
}

struct err *ctd_namespace_create(
	struct ctd_client *client, const char *name, struct ctd_labels labels)
{
	autoptr(arena) arena = arena_new();
	Namespaces__CreateNamespaceRequest request = NAMESPACES__CREATE_NAMESPACE_REQUEST__INIT;
	Namespaces__CreateNamespaceResponse *reply;

	request.namespace_ = namespace_to_wire(name, labels, arena);
	return call(SCOPE(client), SERVICE "Create", &request,
		&namespaces__create_namespace_response__descriptor, arena, &reply);
}

struct err *ctd_namespace_label(
	struct ctd_client *client, const char *name, struct ctd_labels labels)
{
	autoptr(arena) arena = arena_new();
	Namespaces__UpdateNamespaceRequest request = NAMESPACES__UPDATE_NAMESPACE_REQUEST__INIT;
	Namespaces__UpdateNamespaceResponse *reply;

	if (labels.n == 0)
		return NULL;
	request.namespace_ = namespace_to_wire(name, labels, arena);
	request.update_mask = labels_mask(labels, arena);
	return call(SCOPE(client), SERVICE "Update", &request,
		&namespaces__update_namespace_response__descriptor, arena, &reply);
}

struct err *ctd_namespace_delete(struct ctd_client *client, const char *name)
{
	Namespaces__DeleteNamespaceRequest request = NAMESPACES__DELETE_NAMESPACE_REQUEST__INIT;

	request.name = (char *)name;
	return call_void(SCOPE(client), SERVICE "Delete", &request);
}
