// SPDX-License-Identifier: Apache-2.0
/*
 * What both ends of gRPC share below calls: a socket with an HTTP/2 session, written in batches and
 * without copying payloads, and the cutting of a stream's bytes into messages. A connection belongs
 * to its loop's thread. An idle connection holds no buffers of its own.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <sys/uio.h>

#include "event/loop.h"
#include "rpc/call-internal.h"

#define H2_SCRATCH ((size_t)64 * 1024)
#define H2_IOV 64
#define H2_STREAM_WINDOW (1 << 20)
#define H2_CONN_WINDOW (16 << 20)
#define H2_HEADER_LIST_MAX (64u * 1024)
#define H2_HEADER_COUNT_MAX 256u

#define GRPC_PREFIX 5

/* One for all connections of a loop: bytes just read, or a batch about to be written. */
struct h2_scratch {
	struct iovec iov[H2_IOV];
	unsigned n;
	size_t used, total;
	bool full;
	struct list spent; /* messages that the batch points into */
	uint8_t buf[H2_SCRATCH];
};

struct h2_scratch *h2_scratch_new(void);

struct h2_conn {
	struct loop *loop;
	struct h2_scratch *scratch;
	int fd;
	struct loop_io *io;
	nghttp2_session *session; /* NULL until the owner makes it */
	uint8_t *pending;	  /* what the socket did not take */
	size_t pending_off, pending_len;
	bool watch_write;
};

/* Take what the socket has. False: the connection is over. */
bool h2_conn_read(struct h2_conn *c);
/* Write what the session has, or wait for the socket. False: the connection is over. */
bool h2_conn_flush(struct h2_conn *c);
void h2_conn_close(struct h2_conn *c);

/* The messages a stream is about to send. */
struct h2_out {
	struct list msgs; /* of struct rpc_msg, owned */
	size_t bytes;	  /* left to send, prefixes included */
	size_t off;	  /* of the first message */
};

void h2_out_init(struct h2_out *o);
void h2_out_done(struct h2_out *o);
/* Takes all messages of the list and gives them their prefixes. */
void h2_out_add(struct h2_out *o, struct list *take_msgs);
/* One DATA frame into the batch; `sent` learns of each message that ends in it. The result is that
 * of nghttp2_send_data_callback. */
int h2_out_frame(struct h2_scratch *s, struct h2_out *o, const uint8_t *head, size_t len,
	void (*sent)(void *arg, size_t bytes), void *arg);

/* The message a stream is receiving. */
struct h2_in {
	uint8_t head[GRPC_PREFIX];
	unsigned n_head;
	size_t len, got, cap; /* of msg */
	struct rpc_msg *msg;
};

void h2_in_done(struct h2_in *in);
bool h2_in_partial(const struct h2_in *in);
/* Eat bytes up to the end of one message: *ret is it, or NULL when all bytes were eaten first.
 * `encoding` is the peer's grpc-encoding or NULL; `server` chooses between grpc-go's words. */
CHECKED struct err *h2_in_feed(struct h2_in *in, const uint8_t **data, size_t *len, size_t max,
	const char *encoding, bool server, struct rpc_msg **ret);
