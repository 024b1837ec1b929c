// SPDX-License-Identifier: Apache-2.0
#include "client/containers-internal.h"

#include <containerd/snapshots.h>
#include <string.h>

#include "client/snapshots-internal.h"
#include "client/tasks-internal.h"

#define SERVICE "/containerd.services.containers.v1.Containers/"

static struct ctd_strings extension_names(const Containers__Container *c, struct arena *arena)
{
	const char **names = arena_array(arena, c->n_extensions, sizeof(*names));

	for (size_t i = 0; i < c->n_extensions; i++)
		names[i] = c->extensions[i]->key;
	return (struct ctd_strings){.n = c->n_extensions, .items = names};
}

void container_from_wire(
	struct ctd_container *to, const Containers__Container *c, struct arena *arena)
{
	const Google__Protobuf__Any *options = c->runtime ? c->runtime->options : NULL;

	*to = (struct ctd_container){
		.id = c->id,
		.image = c->image,
		.labels = labels_from_wire(c->n_labels, c->labels, arena),
		.runtime = c->runtime ? c->runtime->name : "",
		.runtime_options_type = options ? options->type_url : "",
		.runtime_options = options ? options->value.data : NULL,
		.runtime_options_len = options ? options->value.len : 0,
		.spec = c->spec ? arena_strndup(arena, (const char *)c->spec->value.data,
					  c->spec->value.len)
				: "",
		.spec_type = c->spec ? c->spec->type_url : "",
		.snapshotter = c->snapshotter,
		.snapshot_key = c->snapshot_key,
		.created_at = time_from_wire(c->created_at),
		.updated_at = time_from_wire(c->updated_at),
		.sandbox = c->sandbox,
		.extensions = extension_names(c, arena),
	};
}

struct err *ctd_container_list(struct ctd_client *client, const char *const *filters,
	size_t n_filters, struct ctd_containers **ret)
{
	autoptr(arena) arena = arena_new();
	Containers__ListContainersRequest request = CONTAINERS__LIST_CONTAINERS_REQUEST__INIT;
	Containers__ListContainersResponse *reply;

	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call(SCOPE(client), SERVICE "List", &request,
		&containers__list_containers_response__descriptor, arena, &reply));
	struct ctd_containers *list = record_new(arena, sizeof(*list));
	struct ctd_container **items = arena_array(arena, reply->n_containers, sizeof(*items));
	for (size_t i = 0; i < reply->n_containers; i++) {
		items[i] = ARENA_NEW(arena, struct ctd_container);
		container_from_wire(items[i], reply->containers[i], arena);
	}
	list->n = reply->n_containers;
	list->items = (const struct ctd_container *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}

static struct err *container_record(
	const Containers__Container *c, struct arena **take_arena, struct ctd_container **ret)
{
	if (!c)
		return err_new(ERR_INTERNAL, "the daemon answered without the container");
	struct ctd_container *record = record_new(*take_arena, sizeof(*record));
	container_from_wire(record, c, *take_arena);
	*ret = record;
	TAKE(*take_arena);
	return NULL;
}

struct err *ctd_container_get(struct ctd_client *client, const char *id, struct ctd_container **ret)
{
	autoptr(arena) arena = arena_new();
	Containers__GetContainerRequest request = CONTAINERS__GET_CONTAINER_REQUEST__INIT;
	Containers__GetContainerResponse *reply;

	request.id = (char *)id;
	TRY(call(SCOPE(client), SERVICE "Get", &request,
		&containers__get_container_response__descriptor, arena, &reply));
	return container_record(reply->container, &arena, ret);
}

struct err *container_put(const struct scope *s, Containers__Container *c, struct arena *arena,
	Containers__Container **ret)
{
	Containers__CreateContainerRequest request = CONTAINERS__CREATE_CONTAINER_REQUEST__INIT;
	Containers__CreateContainerResponse *reply;

	request.container = c;
	TRY(call(s, SERVICE "Create", &request, &containers__create_container_response__descriptor,
		arena, &reply));
	if (!reply->container)
		return err_new(ERR_INTERNAL, "the daemon answered without the container");
	*ret = reply->container;
	return NULL;
}

struct err *ctd_container_label(struct ctd_client *client, const char *id, struct ctd_labels labels,
	struct ctd_container **ret)
{
	autoptr(arena) arena = arena_new();
	Containers__UpdateContainerRequest request = CONTAINERS__UPDATE_CONTAINER_REQUEST__INIT;
	Containers__UpdateContainerResponse *reply;
	Containers__Container c = CONTAINERS__CONTAINER__INIT;

	if (labels.n == 0)
		return ctd_container_get(client, id, ret);
	c.id = (char *)id;
	c.labels = LABELS_TO_WIRE(labels_set(labels, arena), Containers__Container__LabelsEntry,
		containers__container__labels_entry__init, arena, &c.n_labels);
	request.container = &c;
	request.update_mask = labels_mask(labels, arena);
	TRY(call(SCOPE(client), SERVICE "Update", &request,
		&containers__update_container_response__descriptor, arena, &reply));
	return container_record(reply->container, &arena, ret);
}

/* The snapshot and the record have nothing to do with each other in the daemon, so both go at
 * once. */
struct err *ctd_container_delete(
	struct ctd_client *client, const struct ctd_container *container, bool keep_snapshot)
{
	autoptr(arena) arena = arena_new();
	Containers__DeleteContainerRequest request = CONTAINERS__DELETE_CONTAINER_REQUEST__INIT;
	Google__Protobuf__Empty *empty;
	struct grpc_stream *removal = NULL;

	if (!keep_snapshot && *container->snapshot_key) {
		if (!*container->snapshotter)
			return err_new(ERR_INVALID,
				"container.Snapshotter must be set to cleanup rootfs snapshot: "
				"invalid argument");
		TRY(snapshot_remove_start(
			SCOPE(client), container->snapshotter, container->snapshot_key, &removal));
	}
	request.id = (char *)container->id;
	struct err *e = call_void(SCOPE(client), SERVICE "Delete", &request);
	struct err *removed = removal ? call_finish(removal, arena, &empty) : NULL;
	if (!e)
		fifos_sweep(container->id);
	if (err_is(removed, ERR_NOT_FOUND) || (e && removed)) {
		err_free(removed);
		removed = NULL;
	}
	return e ? e : removed;
}
