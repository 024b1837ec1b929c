// SPDX-License-Identifier: Apache-2.0
/*
 * ttrpc (https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md), server and client: frames of a
 * 10-byte header and at most 4 MiB over a stream socket. Only unary calls, which is all that
 * containerd's services use; a streaming request is answered UNIMPLEMENTED.
 */
#pragma once

#include "event/loop.h"
#include "rpc/rpc.h"

#define TTRPC_MESSAGE_MAX ((size_t)4 << 20)

/* --- server --- */

struct ttrpc_server_options {
	unsigned max_connections; /* 0: 4096, every shim has one to the daemon */
	unsigned max_calls;	  /* under way, a connection; 0: 1000 */
	bool same_user;		  /* refuse peers of another uid or gid (SO_PEERCRED) */
};

/* With a NULL pool, handlers run on the loop's thread and may not block. */
struct rpc_server *ttrpc_server_new(
	struct loop *loop, struct pool *pool, const struct ttrpc_server_options *options);
CHECKED struct err *ttrpc_server_listen(struct rpc_server *s, int take_fd);
CHECKED struct err *ttrpc_server_attach(struct rpc_server *s, int take_fd);
/* Stop accepting, let calls under way end within grace_ms, then cancel them; `done` on the loop's
 * thread once replies are written. */
void ttrpc_server_drain(struct rpc_server *s, int64_t grace_ms, void (*done)(void *arg), void *arg);
void ttrpc_server_free(struct rpc_server *s);

/* --- client --- */

/* One connection, on somebody's loop. The loop outlives the client. */
struct ttrpc_client;

/* `address` is "unix:///path", "/path", or a name in the abstract namespace. Connects (without
 * blocking for long: local sockets only) before it returns. `on_close` (may be NULL) is called once
 * on the loop's thread when the connection ends by itself, after every call under way was answered
 * ERR_UNAVAILABLE "ttrpc: closed". Any thread. */
CHECKED struct err *ttrpc_client_new(struct loop *loop, const char *address,
	void (*on_close)(void *arg), void *arg, struct ttrpc_client **ret);
/* Ends the connection: calls under way are answered "ttrpc: closed" before it returns, later ones
 * too; on_close is not called any more. Any thread, but not from within a reply callback of a call
 * when off the loop. */
void ttrpc_client_close(struct ttrpc_client *c);
/* Closes; nobody may be inside a call of this client. */
void ttrpc_client_free(struct ttrpc_client *c);
DEFINE_AUTOPTR(ttrpc_client, ttrpc_client_free);

/* `reply` is the unpacked message or NULL with an error, both borrowed for the callback's time.
 * On the loop's thread, exactly once per call. */
typedef void (*ttrpc_reply_fn)(void *arg, const struct err *e, const void *reply);

/* Start a call without blocking; the request is packed at once. timeout_ms 0: none. Any thread.
 * Failures too come by the callback. `ns` is sent as containerd-namespace-ttrpc metadata. */
void ttrpc_call_async(struct ttrpc_client *c, const char *ns, const char *service,
	const char *method, const void *request, const ProtobufCMessageDescriptor *reply,
	int64_t timeout_ms, ttrpc_reply_fn fn, void *arg);

/* Blocking form, for threads that are not the loop's. *ret is in the arena. */
CHECKED struct err *ttrpc_call(struct ttrpc_client *c, const char *ns, const char *service,
	const char *method, const void *request, const ProtobufCMessageDescriptor *reply,
	int64_t timeout_ms, struct cancel *cancel, struct arena *arena, void **ret);
