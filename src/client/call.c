// SPDX-License-Identifier: Apache-2.0
#include "client/client-internal.h"

#include <string.h>

struct err *call_context_init(struct call_context *ctx, const struct scope *s)
{
	struct ctd_client *c = s->client;

	ctx->metadata[0] = (struct rpc_metadata){"containerd-namespace", c->ns};
	ctx->metadata[1] = (struct rpc_metadata){"containerd-lease", s->lease};
	ctx->rpc = (struct rpc_context){
		.metadata = ctx->metadata,
		.n_metadata = s->lease ? 2 : 1,
		.cancel = s->cancel,
	};
	if (c->deadline_ms < 0)
		return NULL;
	ctx->rpc.timeout_ms = c->deadline_ms - monotonic_ms();
	if (ctx->rpc.timeout_ms <= 0)
		return err_new(ERR_DEADLINE, "context deadline exceeded");
	return NULL;
}

/* What Go's errdefs put behind the message of each class. */
static const char *class_words(enum err_class class)
{
	switch (class) {
	case ERR_INVALID:
		return "invalid argument";
	case ERR_NOT_FOUND:
		return "not found";
	case ERR_EXISTS:
		return "already exists";
	case ERR_PRECONDITION:
		return "failed precondition";
	case ERR_UNAVAILABLE:
		return "unavailable";
	case ERR_UNIMPLEMENTED:
		return "not implemented";
	case ERR_CANCELLED:
		return "context canceled";
	case ERR_DEADLINE:
		return "context deadline exceeded";
	default:
		return "unknown";
	}
}

struct err *call_error(struct err *take_e)
{
	autoptr(err) e = take_e;

	if (!e)
		return NULL;
	const char *words = class_words(err_class(e)), *message = err_message(e);
	if (str_eq(message, words) || str_ends(message, words))
		return TAKE(e);
	if (str_empty(message))
		return err_new(err_class(e), "%s", words);
	return err_new(err_class(e), "%s: %s", message, words);
}

struct err *call(const struct scope *s, const char *path, const void *request,
	const ProtobufCMessageDescriptor *reply, struct arena *arena, void *ret)
{
	struct call_context ctx;
	void *message = NULL;

	TRY(call_context_init(&ctx, s));
	TRY(call_error(
		grpc_call(s->client->grpc, &ctx.rpc, path, request, reply, arena, &message)));
	memcpy(ret, &message, sizeof(message));
	return NULL;
}

struct err *call_void(const struct scope *s, const char *path, const void *request)
{
	autoptr(arena) arena = arena_new();
	Google__Protobuf__Empty *reply;

	return call(s, path, request, &google__protobuf__empty__descriptor, arena, &reply);
}

struct err *call_stream(const struct scope *s, const char *path,
	const ProtobufCMessageDescriptor *reply, struct grpc_stream **ret)
{
	struct call_context ctx;

	TRY(call_context_init(&ctx, s));
	return call_error(grpc_stream_open(s->client->grpc, &ctx.rpc, path, reply, ret));
}

struct err *call_start(const struct scope *s, const char *path, const void *request,
	const ProtobufCMessageDescriptor *reply, struct grpc_stream **ret)
{
	autoptr(grpc_stream) stream = NULL;

	TRY(call_stream(s, path, reply, &stream));
	/* When the daemon has ended the call already, its reason comes with call_finish(). */
	err_free(grpc_stream_send(stream, request));
	err_free(grpc_stream_close_send(stream));
	*ret = TAKE(stream);
	return NULL;
}

struct err *call_finish(struct grpc_stream *take_s, struct arena *arena, void *ret)
{
	autoptr(grpc_stream) stream = take_s;
	autoptr(arena) rest = arena_new();
	void *message = NULL, *end = NULL;

	TRY(call_error(grpc_stream_recv(stream, arena, &message)));
	if (!message)
		return err_new(ERR_INTERNAL, "the daemon ended a call without an answer");
	TRY(call_error(grpc_stream_recv(stream, rest, &end)));
	memcpy(ret, &message, sizeof(message));
	return NULL;
}
