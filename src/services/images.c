// SPDX-License-Identifier: Apache-2.0
#include "proto/images.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static struct err *images_handle_get(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Images__GetImageRequest *req = rpc_request(call);
	Images__GetImageResponse reply = IMAGES__GET_IMAGE_RESPONSE__INIT;
	autoval(image) i = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(images_get(svc->meta, &s, req->name, &i));
	reply.image = image_to_wire(&i, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *images_handle_list(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Images__ListImagesRequest *req = rpc_request(call);
	Images__ListImagesResponse reply = IMAGES__LIST_IMAGES_RESPONSE__INIT;
	autoval(image_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(images_list(svc->meta, &s, req->filters, req->n_filters, &list));
	reply.n_images = list.n;
	reply.images = arena_array(rpc_arena(call), list.n, sizeof(*reply.images));
	for (size_t i = 0; i < list.n; i++)
		reply.images[i] = image_to_wire(&list.items[i], rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *images_handle_create(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Images__CreateImageRequest *req = rpc_request(call);
	Images__CreateImageResponse reply = IMAGES__CREATE_IMAGE_RESPONSE__INIT;
	autoval(image) wanted = {0};
	autoval(image) created = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	image_from_wire(&wanted, req->image);
	if (str_empty(wanted.name))
		return err_new(ERR_INVALID, "Image.Name required");
	TRY(images_create(
		svc->meta, &s, &wanted, timestamp_from_wire(req->source_date_epoch), &created));
	reply.image = image_to_wire(&created, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *images_handle_update(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Images__UpdateImageRequest *req = rpc_request(call);
	Images__UpdateImageResponse reply = IMAGES__UPDATE_IMAGE_RESPONSE__INIT;
	autoval(image) wanted = {0};
	autoval(image) updated = {0};
	struct paths paths = mask_paths(req->update_mask);
	struct scope s;

	TRY(call_scope(call, &s));
	image_from_wire(&wanted, req->image);
	if (str_empty(wanted.name))
		return err_new(ERR_INVALID, "Image.Name required");
	TRY(images_update(svc->meta, &s, &wanted, paths.items, paths.n,
		timestamp_from_wire(req->source_date_epoch), &updated));
	reply.image = image_to_wire(&updated, rpc_arena(call));
	collector_poke(svc->collector);
	return rpc_reply(call, &reply);
}

static struct err *images_handle_delete(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Images__DeleteImageRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(images_delete(svc->meta, &s, req->name, req->target ? req->target->digest : NULL));
	if (req->sync)
		TRY(collector_run(svc->collector, rpc_cancel(call)));
	else
		collector_poke(svc->collector);
	return reply_empty(call);
}

static const struct rpc_method methods[] = {
	{"Get", RPC_UNARY, LANE_NORMAL, &images__get_image_request__descriptor,
		&images__get_image_response__descriptor, images_handle_get},
	{"List", RPC_UNARY, LANE_NORMAL, &images__list_images_request__descriptor,
		&images__list_images_response__descriptor, images_handle_list},
	{"Create", RPC_UNARY, LANE_NORMAL, &images__create_image_request__descriptor,
		&images__create_image_response__descriptor, images_handle_create},
	{"Update", RPC_UNARY, LANE_NORMAL, &images__update_image_request__descriptor,
		&images__update_image_response__descriptor, images_handle_update},
	{"Delete", RPC_UNARY, LANE_BULK, &images__delete_image_request__descriptor,
		&google__protobuf__empty__descriptor, images_handle_delete},
};

const struct rpc_service images_service = {
	"containerd.services.images.v1.Images", methods, ARRAY_LEN(methods)};
