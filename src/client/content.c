// SPDX-License-Identifier: Apache-2.0
#include "client/content-internal.h"

#include <containerd/content.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "proto/content.pb-c.h"

#define SERVICE "/containerd.services.content.v1.Content/"

static void content_from_wire(
	struct ctd_content *to, const Content__Info *info, struct arena *arena)
{
	*to = (struct ctd_content){
		.digest = info->digest,
		.size = info->size,
		.created_at = time_from_wire(info->created_at),
		.updated_at = time_from_wire(info->updated_at),
		.labels = labels_from_wire(info->n_labels, info->labels, arena),
	};
}

struct content_items {
	struct ctd_content **items;
	size_t n, cap;
};

static void content_items_done(struct content_items *l)
{
	free(l->items);
}
DEFINE_AUTOVAL(content_items, content_items_done);

static struct err *receive_list(
	struct grpc_stream *stream, struct arena *arena, struct content_items *list)
{
	for (;;) {
		void *message;

		TRY(call_error(grpc_stream_recv(stream, arena, &message)));
		const Content__ListContentResponse *reply = message;
		if (!reply)
			return NULL;
		for (size_t i = 0; i < reply->n_info; i++) {
			struct ctd_content *c = ARENA_NEW(arena, struct ctd_content);

			content_from_wire(c, reply->info[i], arena);
			GROW(list->items, list->n, list->cap);
			list->items[list->n++] = c;
		}
	}
}

struct err *ctd_content_list(struct ctd_client *client, const char *const *filters,
	size_t n_filters, struct ctd_contents **ret)
{
	autoptr(arena) arena = arena_new();
	autoptr(grpc_stream) stream = NULL;
	autoval(content_items) list = {0};
	Content__ListContentRequest request = CONTENT__LIST_CONTENT_REQUEST__INIT;

	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call_start(SCOPE(client), SERVICE "List", &request,
		&content__list_content_response__descriptor, &stream));
	TRY(receive_list(stream, arena, &list));
	struct ctd_contents *record = record_new(arena, sizeof(*record));
	record->n = list.n;
	record->items = arena_memdup(arena, list.items, list.n * sizeof(*list.items));
	*ret = record;
	TAKE(arena);
	return NULL;
}

static struct err *content_record(
	const Content__Info *info, struct arena **take_arena, struct ctd_content **ret)
{
	if (!info)
		return err_new(ERR_INTERNAL, "the daemon answered without the blob's data");
	struct ctd_content *c = record_new(*take_arena, sizeof(*c));
	content_from_wire(c, info, *take_arena);
	*ret = c;
	TAKE(*take_arena);
	return NULL;
}

struct err *ctd_content_info(
	struct ctd_client *client, const char *digest, struct ctd_content **ret)
{
	autoptr(arena) arena = arena_new();
	Content__InfoRequest request = CONTENT__INFO_REQUEST__INIT;
	Content__InfoResponse *reply;

	request.digest = (char *)digest;
	TRY(call(SCOPE(client), SERVICE "Info", &request, &content__info_response__descriptor,
		arena, &reply));
	return content_record(reply->info, &arena, ret);
}

static struct err *content_update(const struct scope *s, const char *digest,
	struct ctd_labels labels, struct arena *arena, Content__UpdateResponse **ret)
{
	Content__UpdateRequest request = CONTENT__UPDATE_REQUEST__INIT;
	Content__Info info = CONTENT__INFO__INIT;

	info.digest = (char *)digest;
	info.labels = LABELS_TO_WIRE(labels_set(labels, arena), Content__Info__LabelsEntry,
		content__info__labels_entry__init, arena, &info.n_labels);
	request.info = &info;
	request.update_mask = labels_mask(labels, arena);
	return call(
		s, SERVICE "Update", &request, &content__update_response__descriptor, arena, ret);
}

struct err *content_label(const struct scope *s, const char *digest, struct ctd_labels labels)
{
	autoptr(arena) arena = arena_new();
	Content__UpdateResponse *reply;

	return content_update(s, digest, labels, arena, &reply);
}

struct err *ctd_content_label(struct ctd_client *client, const char *digest,
	struct ctd_labels labels, struct ctd_content **ret)
{
	autoptr(arena) arena = arena_new();
	Content__UpdateResponse *reply;

	if (labels.n == 0)
		return ctd_content_info(client, digest, ret);
	TRY(content_update(SCOPE(client), digest, labels, arena, &reply));
	return content_record(reply->info, &arena, ret);
}

struct err *ctd_content_delete(struct ctd_client *client, const char *digest)
{
	Content__DeleteContentRequest request = CONTENT__DELETE_CONTENT_REQUEST__INIT;

	request.digest = (char *)digest;
	return call_void(SCOPE(client), SERVICE "Delete", &request);
}

struct err *content_read(const struct scope *s, const char *digest, content_data_fn data, void *arg)
{
	autoptr(grpc_stream) stream = NULL;
	Content__ReadContentRequest request = CONTENT__READ_CONTENT_REQUEST__INIT;

	request.digest = (char *)digest;
	TRY(call_start(
		s, SERVICE "Read", &request, &content__read_content_response__descriptor, &stream));
	for (;;) {
		autoptr(arena) arena = arena_new();
		void *message;

		TRY(call_error(grpc_stream_recv(stream, arena, &message)));
		const Content__ReadContentResponse *reply = message;
		if (!reply)
			return NULL;
		TRY(data(arg, reply->data.data, reply->data.len));
	}
}

static struct err *to_fd(void *arg, const void *data, size_t len)
{
	int r = write_full(*(int *)arg, data, len);

	return r < 0 ? err_sys(-r, "write") : NULL;
}

struct err *ctd_content_copy(struct ctd_client *client, const char *digest, int fd)
{
	return content_read(SCOPE(client), digest, to_fd, &fd);
}

static struct err *to_buf(void *arg, const void *data, size_t len)
{
	struct buf *buf = arg;

	if (!buf_append(buf, data, len))
		return err_new(ERR_EXHAUSTED, "more than %zu bytes", buf->max);
	return NULL;
}

struct err *content_load(const struct scope *s, const char *digest, size_t max, struct arena *arena,
	char **ret, size_t *ret_len)
{
	autoval(buf) buf = BUF_INIT(max);
	struct err *e = content_read(s, digest, to_buf, &buf);

	/* The daemon's own errors name the digest. */
	if (e && err_is(e, ERR_EXHAUSTED))
		return err_wrap(e, "content %s", digest);
	TRY(e);
	*ret = arena_memdup(arena, buf_str(&buf), buf.len + 1);
	*ret_len = buf.len;
	return NULL;
}

struct err *ctd_ingest_list(struct ctd_client *client, const char *const *filters, size_t n_filters,
	struct ctd_ingests **ret)
{
	autoptr(arena) arena = arena_new();
	Content__ListStatusesRequest request = CONTENT__LIST_STATUSES_REQUEST__INIT;
	Content__ListStatusesResponse *reply;

	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call(SCOPE(client), SERVICE "ListStatuses", &request,
		&content__list_statuses_response__descriptor, arena, &reply));
	struct ctd_ingests *list = record_new(arena, sizeof(*list));
	struct ctd_ingest **items = arena_array(arena, reply->n_statuses, sizeof(*items));
	for (size_t i = 0; i < reply->n_statuses; i++) {
		const Content__Status *status = reply->statuses[i];

		items[i] = ARENA_NEW(arena, struct ctd_ingest);
		*items[i] = (struct ctd_ingest){
			.ref = status->ref,
			.offset = status->offset,
			.total = status->total,
			.started_at = time_from_wire(status->started_at),
			.updated_at = time_from_wire(status->updated_at),
			.expected = status->expected,
		};
	}
	list->n = reply->n_statuses;
	list->items = (const struct ctd_ingest *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}
