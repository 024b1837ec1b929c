// SPDX-License-Identifier: Apache-2.0
#include "client/client-internal.h"

#include <containerd/events.h>
#include <string.h>

#include "client/message-json.h"
#include "proto/event-service.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/images.pb-c.h"

#define EVENT_JSON_MAX ((size_t)64 << 20)

struct ctd_subscription {
	struct grpc_stream *stream;
};

static const ProtobufCMessageDescriptor *const event_types[] = {
	&events__container_create__descriptor,
	&events__container_delete__descriptor,
	&events__container_update__descriptor,
	&events__content_create__descriptor,
	&events__content_delete__descriptor,
	&images__image_create__descriptor,
	&images__image_delete__descriptor,
	&images__image_update__descriptor,
	&events__namespace_create__descriptor,
	&events__namespace_delete__descriptor,
	&events__namespace_update__descriptor,
	&events__sandbox_create__descriptor,
	&events__sandbox_exit__descriptor,
	&events__sandbox_start__descriptor,
	&events__snapshot_commit__descriptor,
	&events__snapshot_prepare__descriptor,
	&events__snapshot_remove__descriptor,
	&events__task_checkpointed__descriptor,
	&events__task_create__descriptor,
	&events__task_delete__descriptor,
	&events__task_exec_added__descriptor,
	&events__task_exec_started__descriptor,
	&events__task_exit__descriptor,
	&events__task_oom__descriptor,
	&events__task_paused__descriptor,
	&events__task_resumed__descriptor,
	&events__task_start__descriptor,
};

static const ProtobufCMessageDescriptor *event_type(const Google__Protobuf__Any *any)
{
	for (size_t i = 0; i < ARRAY_LEN(event_types); i++) {
		if (any_is(any, event_types[i]->name))
			return event_types[i];
	}
	return NULL;
}

/* An event of a type we do not know is shown as what it is: a type and bytes. */
static struct err *event_json(
	const Google__Protobuf__Any *any, struct arena *arena, const char **ret)
{
	autoval(buf) b = BUF_INIT(EVENT_JSON_MAX);
	const ProtobufCMessageDescriptor *type = event_type(any);
	void *message = (void *)any;

	if (type)
		TRY(message_from_any(any, type, arena, &message));
	if (!message_to_json(message, &b))
		return err_new(ERR_EXHAUSTED, "event %s is too large", any->type_url);
	*ret = arena_memdup(arena, buf_str(&b), b.len + 1);
	return NULL;
}

struct err *ctd_subscribe(struct ctd_client *client, const char *const *filters, size_t n_filters,
	struct ctd_subscription **ret)
{
	autoptr(grpc_stream) stream = NULL;
	Evsvc__SubscribeRequest request = EVSVC__SUBSCRIBE_REQUEST__INIT;

	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call_start(SCOPE(client), "/containerd.services.events.v1.Events/Subscribe", &request,
		&types__envelope__descriptor, &stream));
	*ret = NEW(struct ctd_subscription);
	(*ret)->stream = TAKE(stream);
	return NULL;
}

struct err *ctd_subscription_next(struct ctd_subscription *s, struct ctd_event **ret)
{
	autoptr(arena) arena = arena_new();
	void *message;

	TRY(call_error(grpc_stream_recv(s->stream, arena, &message)));
	const Types__Envelope *envelope = message;
	if (!envelope)
		return err_new(ERR_UNAVAILABLE, "the daemon ended the stream of events");
	struct ctd_event *event = record_new(arena, sizeof(*event));
	event->timestamp = time_from_wire(envelope->timestamp);
	event->namespace_name = envelope->namespace_;
	event->topic = envelope->topic;
	event->json = "";
	if (envelope->event)
		TRY(event_json(envelope->event, arena, &event->json));
	*ret = event;
	TAKE(arena);
	return NULL;
}

void ctd_unsubscribe(struct ctd_subscription *s)
{
	if (!s)
		return;
	grpc_stream_free(s->stream);
	free(s);
}
