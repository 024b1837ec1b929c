// SPDX-License-Identifier: Apache-2.0
/*
 * Side streams over calls of Streaming.Stream. The call is parked as soon as the stream has its
 * name; whoever uses the stream reads and writes the call from its own thread. Byte streams are
 * containerd's: the receiver opens a window, the sender keeps to it.
 */
#include "transfer/streams.h"

#include "base/alloc.h"
#include "proto/streaming.pb-c.h"
#include "proto/transfer-types.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

#define PIECE_BYTES 32768 /* most in one message */
#define WINDOW_BYTES STREAM_WINDOW_BYTES
#define FLUSH_MS 1000

/* Lives in the call's arena. */
struct rpc_stream {
	struct stream base;
	struct rpc_call *call;
	struct streams *streams;
	int64_t window;	     /* bytes that may still come; or that we may still send */
	struct arena *arena; /* of what the last read gave */
};

static struct rpc_stream *to_rpc_stream(struct stream *s)
{
	return container_of(s, struct rpc_stream, base);
}

static struct err *send(struct rpc_stream *s, const void *message)
{
	autoptr(arena) arena = arena_new();

	return rpc_send(s->call, message_to_any(message, arena));
}

/* The next message, of this type, valid until the next one; NULL at the end. */
static struct err *receive(struct rpc_stream *s, const ProtobufCMessageDescriptor *type, void **ret)
{
	Google__Protobuf__Any *any;

	*ret = NULL;
	arena_free(s->arena);
	s->arena = arena_new();
	TRY(rpc_recv_transient(s->call, (void **)&any));
	if (!any)
		return NULL;
	return err_wrap(message_from_any(any, type, s->arena, ret), "stream \"%s\"", s->base.id);
}

static struct err *open_window(struct rpc_stream *s)
{
	Xfer__WindowUpdate update = XFER__WINDOW_UPDATE__INIT;

	if (s->window > WINDOW_BYTES - PIECE_BYTES)
		return NULL;
	update.update = (int32_t)(WINDOW_BYTES - s->window);
	s->window = WINDOW_BYTES;
	return send(s, &update);
}

static struct err *rpc_stream_read(struct stream *base, const void **ret, size_t *ret_len)
{
	struct rpc_stream *s = to_rpc_stream(base);
	Xfer__Data *data;

	*ret_len = 0;
	TRY(open_window(s));
	do {
		TRY(receive(s, &xfer__data__descriptor, (void **)&data));
	} while (data && data->data.len == 0);
	if (!data)
		return NULL;
	s->window = MAX(0, s->window - (int64_t)data->data.len);
	*ret = data->data.data;
	*ret_len = data->data.len;
	return NULL;
}

static struct err *wait_for_window(struct rpc_stream *s)
{
	while (s->window == 0) {
		Xfer__WindowUpdate *update;

		TRY(receive(s, &xfer__window_update__descriptor, (void **)&update));
		if (!update)
			return err_new(
				ERR_ABORTED, "stream \"%s\" was closed by its reader", s->base.id);
		if (update->update < 0)
			return err_new(ERR_INVALID, "stream \"%s\": negative window", s->base.id);
		s->window += update->update;
	}
	return NULL;
}

static struct err *rpc_stream_write(struct stream *base, const void *bytes, size_t len)
{
	struct rpc_stream *s = to_rpc_stream(base);

	for (size_t at = 0; at < len;) {
		Xfer__Data data = XFER__DATA__INIT;

		TRY(wait_for_window(s));
		data.data.data = (uint8_t *)(uintptr_t)bytes + at;
		data.data.len = MIN(MIN(len - at, (size_t)PIECE_BYTES), (size_t)s->window);
		TRY(send(s, &data));
		s->window -= (int64_t)data.data.len;
		at += data.data.len;
	}
	return NULL;
}

static void rpc_stream_flush(struct stream *base)
{
	rpc_wait_recv(to_rpc_stream(base)->call, monotonic_ms() + FLUSH_MS);
}

static struct err *rpc_stream_post(struct stream *base, const struct any *message)
{
	autoptr(arena) arena = arena_new();

	return rpc_try_send(to_rpc_stream(base)->call, any_to_wire(message, arena));
}

static void rpc_stream_close(struct stream *base, struct err *take_e)
{
	struct rpc_stream *s = to_rpc_stream(base);

	arena_free(s->arena);
	rpc_finish(s->call, take_e);
}

static void rpc_stream_stop(struct stream *base)
{
	rpc_stop_recv(to_rpc_stream(base)->call);
}

static const struct stream_ops rpc_stream_ops = {
	.read = rpc_stream_read,
	.write = rpc_stream_write,
	.flush = rpc_stream_flush,
	.post = rpc_stream_post,
	.stop = rpc_stream_stop,
	.close = rpc_stream_close,
};

static void stream_cancelled(struct rpc_call *call, void *arg)
{
	struct rpc_stream *s = arg;

	streams_lost(s->streams, &s->base);
}

/* Acknowledged and parked before anybody can find the stream. */
static struct err *stream_started(struct stream *base)
{
	struct rpc_stream *s = to_rpc_stream(base);
	Google__Protobuf__Empty ack = GOOGLE__PROTOBUF__EMPTY__INIT;
	autoptr(arena) arena = arena_new();

	TRY(rpc_try_send(s->call, message_to_any(&ack, arena)));
	rpc_park(s->call, stream_cancelled, s);
	return NULL;
}

static struct err *streaming_handle_stream(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	struct rpc_stream *s = ARENA_NEW(rpc_arena(call), struct rpc_stream);
	Google__Protobuf__Any *any;
	Streaming__StreamInit *init;
	struct scope scope;

	TRY(call_scope(call, &scope));
	TRY(rpc_recv(call, (void **)&any));
	if (!any)
		return err_new(ERR_INVALID, "first message must be a StreamInit");
	TRY(message_from_any(
		any, &streaming__stream_init__descriptor, rpc_arena(call), (void **)&init));
	s->base.ops = &rpc_stream_ops;
	s->call = call;
	s->streams = svc->streams;
	return streams_add(svc->streams, &scope, init->id, &s->base, stream_started);
}

static const struct rpc_method methods[] = {
	{"Stream", RPC_BIDI, LANE_BULK, &google__protobuf__any__descriptor,
		&google__protobuf__any__descriptor, streaming_handle_stream},
};

const struct rpc_service streaming_service = {
	"containerd.services.streaming.v1.Streaming", methods, ARRAY_LEN(methods)};
