// SPDX-License-Identifier: Apache-2.0
#include "client/images-internal.h"

#include <containerd/images.h>
#include <string.h>

#define SERVICE "/containerd.services.images.v1.Images/"

void image_from_wire(struct ctd_image *to, const Images__Image *i, struct arena *arena)
{
	*to = (struct ctd_image){
		.name = i->name,
		.labels = labels_from_wire(i->n_labels, i->labels, arena),
		.target = descriptor_from_wire(i->target, arena),
		.created_at = time_from_wire(i->created_at),
		.updated_at = time_from_wire(i->updated_at),
	};
}

static Images__Image *image_to_wire(const struct ctd_image *i, struct arena *arena)
{
	Images__Image *wire = ARENA_NEW(arena, Images__Image);

	images__image__init(wire);
	wire->name = (char *)i->name;
	wire->labels = LABELS_TO_WIRE(i->labels, Images__Image__LabelsEntry,
		images__image__labels_entry__init, arena, &wire->n_labels);
	wire->target = descriptor_to_wire(&i->target, arena);
	return wire;
}

struct err *ctd_image_list(struct ctd_client *client, const char *const *filters, size_t n_filters,
	struct ctd_images **ret)
{
	autoptr(arena) arena = arena_new();
	Images__ListImagesRequest request = IMAGES__LIST_IMAGES_REQUEST__INIT;
	Images__ListImagesResponse *reply;

	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call(SCOPE(client), SERVICE "List", &request, &images__list_images_response__descriptor,
		arena, &reply));
	struct ctd_images *list = record_new(arena, sizeof(*list));
	struct ctd_image **items = arena_array(arena, reply->n_images, sizeof(*items));
	for (size_t i = 0; i < reply->n_images; i++) {
		items[i] = ARENA_NEW(arena, struct ctd_image);
		image_from_wire(items[i], reply->images[i], arena);
	}
	list->n = reply->n_images;
	list->items = (const struct ctd_image *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}

static struct err *image_record(
	const Images__Image *image, struct arena **take_arena, struct ctd_image **ret)
{
	if (!image)
		return err_new(ERR_INTERNAL, "the daemon answered without the image");
	struct ctd_image *record = record_new(*take_arena, sizeof(*record));
	image_from_wire(record, image, *take_arena);
	*ret = record;
	TAKE(*take_arena);
	return NULL;
}

struct err *image_get_start(const struct scope *s, const char *name, struct grpc_stream **ret)
{
	Images__GetImageRequest request = IMAGES__GET_IMAGE_REQUEST__INIT;

	request.name = (char *)name;
	return call_start(s, SERVICE "Get", &request, &images__get_image_response__descriptor, ret);
}

struct err *image_get_finish(struct grpc_stream *take_s, struct ctd_image **ret)
{
	autoptr(arena) arena = arena_new();
	Images__GetImageResponse *reply;

	TRY(call_finish(take_s, arena, &reply));
	return image_record(reply->image, &arena, ret);
}

struct err *ctd_image_get(struct ctd_client *client, const char *name, struct ctd_image **ret)
{
	autoptr(arena) arena = arena_new();
	Images__GetImageRequest request = IMAGES__GET_IMAGE_REQUEST__INIT;
	Images__GetImageResponse *reply;

	request.name = (char *)name;
	TRY(call(SCOPE(client), SERVICE "Get", &request, &images__get_image_response__descriptor,
		arena, &reply));
	return image_record(reply->image, &arena, ret);
}

struct err *ctd_image_delete(struct ctd_client *client, const char *name, bool sync)
{
	Images__DeleteImageRequest request = IMAGES__DELETE_IMAGE_REQUEST__INIT;

	request.name = (char *)name;
	request.sync = sync;
	return call_void(SCOPE(client), SERVICE "Delete", &request);
}

static struct err *image_create(const struct scope *s, const struct ctd_image *image)
{
	autoptr(arena) arena = arena_new();
	Images__CreateImageRequest request = IMAGES__CREATE_IMAGE_REQUEST__INIT;
	Images__CreateImageResponse *reply;

	request.image = image_to_wire(image, arena);
	return call(s, SERVICE "Create", &request, &images__create_image_response__descriptor,
		arena, &reply);
}

static struct err *image_update(const struct scope *s, const struct ctd_image *image,
	const char *const *paths, size_t n_paths, struct arena *arena, Images__Image **ret)
{
	Images__UpdateImageRequest request = IMAGES__UPDATE_IMAGE_REQUEST__INIT;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	Images__UpdateImageResponse *reply;

	mask.n_paths = n_paths;
	mask.paths = (char **)paths;
	request.image = image_to_wire(image, arena);
	request.update_mask = &mask;
	TRY(call(s, SERVICE "Update", &request, &images__update_image_response__descriptor, arena,
		&reply));
	*ret = reply->image;
	return NULL;
}

struct err *image_put(const struct scope *s, const struct ctd_image *image)
{
	autoptr(arena) arena = arena_new();
	Images__Image *updated;
	struct err *e = image_update(s, image, (const char *[]){"target"}, 1, arena, &updated);

	if (!err_is(e, ERR_NOT_FOUND))
		return e;
	err_free(e);
	return image_create(s, image);
}

struct err *ctd_image_tag(
	struct ctd_client *client, const char *source, const char *name, bool force)
{
	struct ctd_image *image;

	TRY(ctd_image_get(client, source, &image));
	image->name = name;
	struct err *e = image_create(SCOPE(client), image);
	if (force && err_is(e, ERR_EXISTS)) {
		err_free(e);
		e = image_put(SCOPE(client), image);
	}
	ctd_free(image);
	return e;
}

struct err *ctd_image_label(struct ctd_client *client, const char *name, struct ctd_labels labels,
	bool replace_all, struct ctd_image **ret)
{
	autoptr(arena) arena = arena_new();
	struct ctd_image image = {.name = name,
		.labels = labels_set(labels, arena),
		.target = {.media_type = "", .digest = ""}};
	Google__Protobuf__FieldMask *mask = labels_mask(labels, arena);
	Images__Image *updated;

	if (labels.n == 0 && !replace_all)
		return ctd_image_get(client, name, ret);
	if (replace_all)
		TRY(image_update(
			SCOPE(client), &image, (const char *[]){"labels"}, 1, arena, &updated));
	else
		TRY(image_update(SCOPE(client), &image, (const char *const *)mask->paths,
			mask->n_paths, arena, &updated));
	return image_record(updated, &arena, ret);
}
