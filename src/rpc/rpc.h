// SPDX-License-Identifier: Apache-2.0
/*
 * Remote calls: services, methods and calls as handlers see them, the same over gRPC (HTTP/2) and
 * ttrpc. What is promised here:
 *
 * - A handler reads its request, does one thing in the domain and replies. It runs on a pool thread
 *   of its method's lane and may block; a server made without a pool runs handlers on the loop's
 *   thread, and they may then not block.
 * - Everything about a call lives in its arena and is freed when the call ends.
 * - A caller that resets, hangs up or passes its deadline cancels the call: waits end, cancel fires.
 * - Back-pressure both ways: rpc_send() blocks while the peer does not read, and the peer's window
 *   opens as rpc_recv() takes whole messages. What is buffered per call is bounded.
 * - Requests are checked after unpacking: valid UTF-8 without NUL in strings, bounded depth.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/thread.h"

struct rpc_call;

enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_CLIENT_STREAM, RPC_BIDI };

/* Ends the call with the error returned, or successfully with NULL, unless it was parked. A unary
 * handler that returns NULL has called rpc_reply() or parked. */
typedef struct err *(*rpc_handler_fn)(struct rpc_call *call, void *impl);

struct rpc_method {
	const char *name; /* "Get" */
	enum rpc_kind kind;
	enum lane lane;
	const ProtobufCMessageDescriptor *request, *reply;
	rpc_handler_fn handle;
};

struct rpc_service {
	const char *name; /* "containerd.services.images.v1.Images" */
	const struct rpc_method *methods;
	size_t n_methods;
};

/* The request of a unary or server-streaming call, in the call's arena. */
const void *rpc_request(const struct rpc_call *call);
/* The next request message of a streaming call, valid until the call ends; NULL at half-close.
 * With a cancelled call, the error. */
CHECKED struct err *rpc_recv(struct rpc_call *call, void **ret);
/* As rpc_recv, but the message lives only until the next rpc_recv of this call: for bulk streams,
 * whose memory would otherwise grow with the stream. */
CHECKED struct err *rpc_recv_transient(struct rpc_call *call, void **ret);
/* Wait until the next rpc_recv would not; false when the deadline (monotonic_ms) passes first. */
bool rpc_wait_recv(struct rpc_call *call, int64_t deadline_ms);
/* As if the peer had half-closed: who waits in rpc_recv gets what there is, then NULL. Any thread. */
void rpc_stop_recv(struct rpc_call *call);
/* The reply of a unary or client-streaming call; packed at once, so it may point anywhere. */
CHECKED struct err *rpc_reply(struct rpc_call *call, const void *reply);
/* One message of a server-streaming or bidirectional call; packed at once. Blocks while the peer is
 * slow; fails when the call is cancelled. */
CHECKED struct err *rpc_send(struct rpc_call *call, const void *message);
/* As rpc_send without blocking: ERR_UNAVAILABLE when the queue is full. Any thread. */
CHECKED struct err *rpc_try_send(struct rpc_call *call, const void *message);

struct arena *rpc_arena(struct rpc_call *call);
/* Request metadata by lower-case key ("containerd-namespace"; ttrpc's "-ttrpc" suffix is stripped
 * for namespace); NULL when absent. */
const char *rpc_metadata(const struct rpc_call *call, const char *key);
/* Initial metadata of the reply; before the first rpc_send or rpc_reply. */
void rpc_set_header(struct rpc_call *call, const char *key, const char *value);
/* Shorthands for the two that containerd uses; NULL when absent. */
const char *rpc_namespace(const struct rpc_call *call);
const char *rpc_lease(const struct rpc_call *call);
/* "/service/method" */
const char *rpc_path(const struct rpc_call *call);
/* Fires when nobody waits for the answer any more. Borrowed. */
struct cancel *rpc_cancel(struct rpc_call *call);
/* monotonic_ms of the caller's deadline, -1 for none. */
int64_t rpc_deadline_ms(const struct rpc_call *call);

/*
 * A wait that can last holds no thread: the handler parks the call and returns NULL; whoever has
 * the answer calls rpc_reply()/rpc_send() and then rpc_finish() from its own thread, exactly once,
 * also after a cancellation. `on_cancel` (may be NULL) is called at most once, on the loop's
 * thread, when the call is cancelled before rpc_finish(); it must not block, and the call stays
 * valid until rpc_finish(), which waits for an on_cancel under way: afterwards `arg` may be freed.
 * So park while holding the lock under which others find the call and which on_cancel takes, and
 * finish without it.
 */
void rpc_park(
	struct rpc_call *call, void (*on_cancel)(struct rpc_call *call, void *arg), void *arg);
/* Ends a parked call; the call may not be touched afterwards. */
void rpc_finish(struct rpc_call *call, struct err *take_e);

/* --- what both servers have in common --- */

struct rpc_server;

/* Both may be called before the server listens only. The tables must outlive the server. */
void rpc_server_add(struct rpc_server *s, const struct rpc_service *service, void *impl);
/* Called on the thread of the handler before each call; an error ends the call with it. */
typedef struct err *(*rpc_check_fn)(struct rpc_call *call, void *arg);
void rpc_server_set_check(struct rpc_server *s, rpc_check_fn check, void *arg);
