// SPDX-License-Identifier: Apache-2.0
/*
 * The server side of a call, without a transport. grpc-server-*.c and ttrpc-server.c are built on it.
 *
 * A transport embeds `struct rpc_server` as its first member and fills the ops. For each call, on
 * the loop's thread:
 *
 *     call = rpc_call_new(&server->base, conn, stream);      one reference, the transport's
 *     rpc_call_add_metadata(call, ...); rpc_call_set_timeout(call, ms);
 *     e = rpc_call_begin(call, path);                        the method is known, or UNIMPLEMENTED
 *     rpc_call_deliver(call, msg);                           each whole message
 *     rpc_call_half_close(call);                             nothing more comes
 *     rpc_call_cancel(call, ERR_CANCELLED);                  reset, hang-up; deadlines come by themselves
 *     rpc_call_fail(call, e);                                the transport ends the call itself
 *     call->stream = NULL; rpc_call_unref(call);             the stream is gone
 *
 * The handler's side runs on a pool thread (or, without a pool, within deliver/begin). Whatever it
 * does that the transport must know puts the call on the server's list of dirty calls; the loop's
 * thread then calls ops->pump(call) for each, and ops->flush(server) after them. pump looks at all
 * that may have changed:
 *
 *     rpc_call_take_out(call, &list)    messages to send; rpc_call_sent(call, bytes) once they are sent
 *     rpc_call_done(call, &e)           the handler has ended: the status, sent after all messages
 *     rpc_call_in_full(call)            whether to hold back the peer's window
 *
 * When the handler's side has let go of the call (never before done), ops->released(call) is called
 * once, also when the stream is long gone: `conn` must stay valid until then.
 *
 * Locks: call->lock, then server->lock, then the loop's; none is held while handlers, hooks or ops
 * run.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/ref.h"
#include "base/thread.h"
#include "event/loop.h"
#include "rpc/rpc.h"

#define RPC_HEADROOM 16
/* Bytes queued in one direction beyond which the producer waits. A single message may be larger. */
#define RPC_QUEUE_BYTES ((size_t)256 * 1024)
#define RPC_QUEUE_MESSAGES 4096u

/* One packed message, with room before it for a transport's header. */
struct rpc_msg {
	struct list node;
	size_t len;
	uint8_t room[RPC_HEADROOM]; /* directly before data */
	uint8_t data[];
};

_Static_assert(offsetof(struct rpc_msg, room) + RPC_HEADROOM == offsetof(struct rpc_msg, data),
	"adjacent");

/* The n bytes directly before the payload, of those in the room. */
static inline uint8_t *rpc_msg_before(struct rpc_msg *m, size_t n)
{
	return (uint8_t *)m + offsetof(struct rpc_msg, data) - n;
}
struct rpc_msg *rpc_msg_new(size_t len);
struct rpc_msg *rpc_msg_pack(const void *message);
static inline void rpc_msg_free(struct rpc_msg *m)
{
	free(m);
}
DEFINE_AUTOPTR(rpc_msg, rpc_msg_free);
void rpc_msg_list_free(struct list *msgs);

/* What a transport supplies; all called on the loop's thread but oversize. */
struct rpc_server_ops {
	void (*pump)(struct rpc_call *call); /* call->stream is not NULL */
	void (*flush)(struct rpc_server *s);
	void (*released)(struct rpc_call *call); /* the stream may be gone */
	/* The error for a reply of len bytes; any thread. */
	struct err *(*oversize)(size_t len, size_t max);
};

struct rpc_route; /* a method and the implementation behind it */

struct rpc_server {
	const struct rpc_server_ops *ops;
	struct loop *loop;
	struct pool *pool; /* NULL: handlers run on the loop's thread */
	size_t max_send;
	struct map services; /* name -> NULL-less marker, not owned */
	struct map routes;   /* "service/method" -> struct rpc_route, owned */
	rpc_check_fn check;
	void *check_arg;
	unsigned running; /* calls not released yet; loop thread only */
	struct lock lock;
	/* guarded by lock */
	struct list dirty; /* of struct rpc_call, one reference each */
	unsigned n_dirty;
	bool scheduled; /* exactly one post to the loop is under way */
};

void rpc_server_init(struct rpc_server *s, const struct rpc_server_ops *ops, struct loop *loop,
	struct pool *pool, size_t max_send);
/* No call is left. */
void rpc_server_done(struct rpc_server *s);

struct rpc_pair {
	const char *key, *value; /* in the call's arena */
};

struct rpc_pairs {
	struct rpc_pair *items;
	size_t n, cap;
};

struct rpc_call {
	struct ref ref;
	struct rpc_server *server;
	void *conn, *stream;	       /* the transport's; loop thread only */
	const struct rpc_route *route; /* set by rpc_call_begin */
	const char *path;
	struct arena *arena;	   /* loop thread until the handler runs, then the handler's side */
	struct arena *transient;   /* of rpc_recv_transient */
	struct rpc_pairs metadata; /* complete before the handler runs */
	const void *request;
	struct cancel *cancel;
	struct loop_timer *timer; /* loop thread only */
	int64_t deadline_ms;

	struct lock lock;
	struct cond cond; /* anything below changed */
	/* guarded by lock */
	struct list in, out;	    /* of struct rpc_msg, owned */
	size_t in_bytes, out_bytes; /* out: also what the transport took and has not sent */
	unsigned in_n, out_n;
	struct rpc_pairs headers; /* final once anything was sent */
	struct err *status;
	void (*on_cancel)(struct rpc_call *call, void *arg);
	void *on_cancel_arg;
	pthread_t canceller; /* the thread inside on_cancel, while in_cancel */
	bool half_closed, started, in_handler, parked, replied, finished, cancelled, in_cancel;
	bool in_withheld; /* the transport holds back the window and wants to be woken */
	/* guarded by server->lock */
	struct list dirty_node;
	bool dirty, released;
};

/* --- for transports; loop thread only unless said --- */

struct rpc_call *rpc_call_new(struct rpc_server *s, void *conn, void *stream);
void rpc_call_unref(struct rpc_call *call);
/* Both are copied; keys as sent, lower case. */
void rpc_call_add_metadata(struct rpc_call *call, const char *key, size_t key_len,
	const char *value, size_t value_len);
/* The deadline, from now. */
void rpc_call_set_timeout(struct rpc_call *call, int64_t timeout_ms);
/* Find the method of "/service/method"; streaming handlers start now, others with their message. On
 * an error the call did not start: the transport answers by rpc_call_fail() or itself. */
CHECKED struct err *rpc_call_begin(struct rpc_call *call, const char *path, size_t len);
const struct rpc_method *rpc_call_method(const struct rpc_call *call);
void rpc_call_deliver(struct rpc_call *call, struct rpc_msg *take_msg);
void rpc_call_half_close(struct rpc_call *call);
/* Nobody waits for the answer any more. */
void rpc_call_cancel(struct rpc_call *call, enum err_class why);
/* End the call with this status whatever the handler does; a handler under way is cancelled. */
void rpc_call_fail(struct rpc_call *call, struct err *take_e);
/* True while unread messages are over the limit; pump is then called when they no longer are. */
bool rpc_call_in_full(struct rpc_call *call);
/* Move the messages queued to the end of `to`; the caller frees them. */
void rpc_call_take_out(struct rpc_call *call, struct list *to);
/* The peer has taken a message of so many bytes. */
void rpc_call_sent(struct rpc_call *call, size_t bytes);
/* The handler has ended and nothing is queued: *ret is the status (NULL: OK), borrowed. */
bool rpc_call_done(struct rpc_call *call, const struct err **ret);
/* Initial metadata of the reply; call before sending the first byte, it freezes them. */
const struct rpc_pairs *rpc_call_headers(struct rpc_call *call);
