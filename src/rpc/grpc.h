// SPDX-License-Identifier: Apache-2.0
/*
 * gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), server and
 * client, by nghttp2. One loop thread owns every session. Bounds: GRPC_MESSAGE_MAX a message,
 * header lists, streams a connection and connections a server; floods of pings, resets and settings
 * end the connection.
 */
#pragma once

#include "event/loop.h"
#include "rpc/rpc.h"

#define GRPC_MESSAGE_MAX ((size_t)16 << 20)

/* --- server --- */

struct grpc_server_options {
	size_t max_recv, max_send; /* bytes a message; 0: GRPC_MESSAGE_MAX */
	unsigned max_connections;  /* 0: 1024 */
	unsigned max_streams;	   /* concurrent, a connection; 0: 1000 */
	int64_t handshake_ms;	   /* until preface and settings have come; 0: 20 s */
};

/* Runs on the loop given; handlers run on the pool given. Both outlive the server. */
struct rpc_server *grpc_server_new(
	struct loop *loop, struct pool *pool, const struct grpc_server_options *options);
/* Serve the listening socket; takes it. On the loop's thread, or before the loop runs. */
CHECKED struct err *grpc_server_listen(struct rpc_server *s, int take_fd);
/* Serve one connected socket, for tests; takes it. */
CHECKED struct err *grpc_server_attach(struct rpc_server *s, int take_fd);
/* Refuse new connections and streams, tell peers to go away, let calls under way end within
 * grace_ms, then cancel them; `done` is called on the loop's thread once nothing is left. */
void grpc_server_drain(struct rpc_server *s, int64_t grace_ms, void (*done)(void *arg), void *arg);
/* After a drain, with the loop stopped or on its thread. */
void grpc_server_free(struct rpc_server *s);

/* --- client --- */

/* A connection with a loop thread of its own; all calls may be made from any thread and block. */
struct grpc_client;
struct grpc_stream;

struct grpc_client_options {
	int64_t connect_timeout_ms; /* 0: 10 s */
	size_t max_recv;	    /* 0: GRPC_MESSAGE_MAX */
	const char *user_agent;	    /* NULL: none of our own */
};

/* What goes with every call of a request context. */
struct rpc_metadata {
	const char *key, *value;
};

struct rpc_context {
	const struct rpc_metadata *metadata;
	size_t n_metadata;
	int64_t timeout_ms;    /* 0: none */
	struct cancel *cancel; /* may be NULL */
};

/* address: "unix:///path", "/path" or "host:port". Connects before it returns. */
CHECKED struct err *grpc_client_new(
	const char *address, const struct grpc_client_options *options, struct grpc_client **ret);
/* A connected socket, for tests; takes it. */
CHECKED struct err *grpc_client_new_fd(
	int take_fd, const struct grpc_client_options *options, struct grpc_client **ret);
/* Cancels what is under way. */
void grpc_client_free(struct grpc_client *c);
DEFINE_AUTOPTR(grpc_client, grpc_client_free);

/* One unary call. *ret is in the arena given. */
CHECKED struct err *grpc_call(struct grpc_client *c, const struct rpc_context *ctx,
	const char *path, const void *request, const ProtobufCMessageDescriptor *reply,
	struct arena *arena, void **ret);

/* Any call as a stream of messages. */
CHECKED struct err *grpc_stream_open(struct grpc_client *c, const struct rpc_context *ctx,
	const char *path, const ProtobufCMessageDescriptor *reply, struct grpc_stream **ret);
/* Blocks while the peer does not read. ERR_UNAVAILABLE "stream ended" once the server has ended the
 * call: grpc_stream_recv() then has the reason. */
CHECKED struct err *grpc_stream_send(struct grpc_stream *s, const void *message);
CHECKED struct err *grpc_stream_close_send(struct grpc_stream *s);
/* The next message in the arena given; NULL after the last one of a call that ended well; the
 * call's error otherwise. */
CHECKED struct err *grpc_stream_recv(struct grpc_stream *s, struct arena *arena, void **ret);
/* As grpc_stream_recv with a bound on the wait; ERR_DEADLINE leaves the stream as it was. */
CHECKED struct err *grpc_stream_recv_until(
	struct grpc_stream *s, int64_t deadline_ms, struct arena *arena, void **ret);
/* Resets the call when it has not ended. NULL-safe. */
void grpc_stream_free(struct grpc_stream *s);
DEFINE_AUTOPTR(grpc_stream, grpc_stream_free);
