// SPDX-License-Identifier: Apache-2.0
/*
 * The two halves of the gRPC server: grpc-server.c listens, accepts, drains and owns connections;
 * grpc-session.c is one connection's HTTP/2 session and its calls. All on the loop's thread.
 */
#pragma once

#include "rpc/grpc.h"
#include "rpc/h2.h"

/* A peer that has not sent preface and settings by then is dropped, unless the options say. */
#define GRPC_HANDSHAKE_MS 20000
/* A connection that was told to go away has this long to take the news. */
#define GRPC_LINGER_MS 1000

struct grpc_listener {
	struct list node;
	struct grpc_server *server;
	int fd;
	struct loop_io *io;
	struct loop_timer *retry; /* armed while the process is out of descriptors */
};

struct grpc_server {
	struct rpc_server base;
	struct grpc_server_options options;
	struct h2_scratch *scratch;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *h2_options;
	struct list listeners; /* of struct grpc_listener, owned */
	struct list conns; /* of struct grpc_conn, owned; also closed ones whose calls still run */
	struct list to_flush; /* of struct grpc_conn */
	unsigned n_open;
	size_t partial_bytes; /* of messages not whole yet, over all connections */
	/* drain */
	struct loop_timer *grace;
	void (*done)(void *arg);
	void *done_arg;
	bool draining, forced;
};

struct grpc_conn {
	struct list node, flush_node;
	struct grpc_server *server;
	struct h2_conn h2;
	struct loop_timer *timer; /* handshake, later linger */
	struct list streams;	  /* of struct grpc_stream_state, owned */
	unsigned running;	  /* calls whose handlers have not let go */
	bool handshaken, going_away, closed;
	/* What frames without use cost; see grpc-session.c. */
	int64_t budget, budget_ms;
};

struct grpc_server *to_grpc_server(struct rpc_server *s);

/* grpc-session.c */
extern const struct rpc_server_ops grpc_session_ops;
void grpc_session_setup(struct grpc_server *s); /* callbacks and options */
CHECKED bool grpc_session_start(struct grpc_conn *c);
/* Cancels the calls and frees the streams. */
void grpc_session_end(struct grpc_conn *c);
/* GOAWAY in two steps: what is under way on the wire is still served. */
void grpc_session_goaway(struct grpc_conn *c);
void grpc_session_cancel_all(struct grpc_conn *c);

/* grpc-server.c */
void grpc_conn_want_flush(struct grpc_conn *c);
void grpc_conn_flush(struct grpc_conn *c);
void grpc_conn_handshaken(struct grpc_conn *c);
/* Close soon, whether or not the peer reads. */
void grpc_conn_linger(struct grpc_conn *c);
/* A call let go of the connection. */
void grpc_conn_released(struct grpc_conn *c);
