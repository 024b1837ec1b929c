// SPDX-License-Identifier: Apache-2.0
/*
 * The gRPC client: grpc-client.c is what callers' threads use, grpc-client-conn.c the connections on
 * the client's own loop thread, grpc-dial.c makes sockets.
 *
 * A stream is shared by the caller and the loop. The caller queues and waits under stream->lock and
 * puts the stream on client->dirty; the loop sees to the rest. Locks: stream->lock, then
 * client->lock.
 */
#pragma once

#include "base/strv.h"
#include "rpc/grpc.h"
#include "rpc/h2.h"

struct client_conn;

struct grpc_client {
	struct ref ref; /* the owner's, and one for each stream */
	struct loop *loop;
	pthread_t thread;
	struct grpc_client_options options;
	char *address, *authority, *user_agent; /* address NULL: cannot dial again */
	struct lock dial_lock;			/* one dials at a time; taken before all others */
	/* loop thread only */
	struct h2_scratch *scratch;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *h2_options;
	struct client_conn *current; /* NULL: new streams fail */
	struct list conns;	     /* of struct client_conn, owned */
	struct lock lock;
	/* guarded by lock */
	struct list dirty; /* of struct grpc_stream, one reference each */
	bool scheduled;
	bool up;     /* a connection takes new streams, as far as is known */
	bool closed; /* the loop may be gone */
};

struct client_conn {
	struct list node;
	struct grpc_client *client;
	struct h2_conn h2;
	struct list streams; /* of struct grpc_stream, one reference each */
	bool going_away;
};

/* Request headers as text, name and value alternating. */
struct grpc_stream {
	struct ref ref;
	struct grpc_client *client;
	const ProtobufCMessageDescriptor *reply;
	int64_t timeout_ms;
	struct cancel *cancel; /* the caller's, one reference; NULL for none */
	/* loop thread only */
	struct strv request; /* name, value, name, value ... */
	struct list node;    /* in conn->streams */
	struct client_conn *conn;
	int32_t id;
	struct h2_in inflow;
	struct h2_out outflow;
	size_t withheld, header_bytes;
	struct loop_timer *timer;
	struct loop_io *cancel_io;
	int cancel_fd;
	bool submitted, deferred, discard;
	char http_status[4];
	char *content_type, *encoding, *status, *message, *details;

	struct lock lock;
	struct cond cond;
	/* guarded by lock */
	struct list in, out; /* of struct rpc_msg, owned */
	size_t in_bytes, out_bytes;
	unsigned in_n, out_n;
	struct err *error; /* of a call that has ended */
	bool ended, send_closed, in_withheld, abandoned;
	/* guarded by client->lock */
	struct list dirty_node;
	bool dirty;
};

/* grpc-dial.c; ERR_UNAVAILABLE in grpc-go's words */
CHECKED struct err *grpc_dial(const char *address, int64_t timeout_ms, int *ret_fd);
char *grpc_authority(const char *address);

/* grpc-client.c */
void grpc_stream_unref(struct grpc_stream *st);
/* The call has ended; the first one counts. With `now`, unread messages are dropped. */
void grpc_stream_end(struct grpc_stream *st, struct err *take_e, bool now);

/* grpc-client-conn.c; all on the loop's thread */
void client_setup(struct grpc_client *c);
void client_attach(struct grpc_client *c, int take_fd);
void client_pump(struct grpc_stream *st);
void client_flush(struct grpc_client *c);
void client_close_all(struct grpc_client *c);
