// SPDX-License-Identifier: Apache-2.0
/*
 * A connection is read by the loop's thread; each request becomes a call (call-internal.h), whose
 * reply the loop sends once the handler has ended. A peer that does not read its replies is not
 * read either, and loses the connection when they pile up.
 */
#include "rpc/ttrpc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "proto/rpc-status.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "rpc/call-internal.h"
#include "rpc/message.h"
#include "rpc/ttrpc-wire.h"

#define MAX_CONNECTIONS 4096
#define MAX_CALLS 1000
#define METADATA_MAX 256
/* Bytes of requests under way on one connection. */
#define REQUEST_BYTES_MAX ((size_t)32 << 20)
/* Replies queued beyond which no more requests are read, and beyond which the peer is given up. */
#define QUEUE_SOFT ((size_t)1 << 20)
#define QUEUE_MAX ((size_t)32 << 20)
#define ACCEPT_PER_TURN 16
#define ACCEPT_RETRY_MS 100
/* What the envelope of a reply needs around its payload. */
#define ENVELOPE_MAX 6

struct ttrpc_server {
	struct rpc_server base;
	struct ttrpc_server_options options;
	int listen_fd;
	struct loop_io *listen_io;
	struct loop_timer *retry;    /* accepts again once descriptors may be there */
	struct list conns;	     /* of struct ttrpc_conn, open ones */
	unsigned n_conns, n_closing; /* the latter: closed, with calls that have not let go */
	bool draining, grace_over, done_posted;
	struct loop_timer *grace;
	void (*done)(void *arg);
	void *done_arg;
};

struct ttrpc_conn {
	struct ttrpc_server *server;
	struct list node;
	unsigned
		refs; /* the server's while open, callbacks under way, handlers that have not let go */
	bool closed;
	struct ttrpc_reader in;
	struct ttrpc_writer out;
	struct loop_io *io;
	uint32_t last_id;
	struct list streams; /* of struct ttrpc_stream, owned */
	unsigned n_streams;
	size_t request_bytes;
};

/* A request that has not been answered. */
struct ttrpc_stream {
	struct list node;
	struct ttrpc_conn *conn;
	struct rpc_call *call;
	uint32_t id;
	size_t request_len;
	struct rpc_msg *reply; /* of a handler that has not ended yet */
};

static struct ttrpc_server *to_ttrpc(struct rpc_server *s)
{
	return container_of(s, struct ttrpc_server, base);
}

static void check_drained(struct ttrpc_server *s);

/* --- connections --- */

static void conn_unref(struct ttrpc_conn *c)
{
	struct ttrpc_server *s = c->server;

	if (--c->refs)
		return;
	assert(c->closed && list_empty(&c->streams));
	free(c);
	s->n_closing--;
	check_drained(s);
}

/* The answer is sent or not wanted: the transport lets go of the call. */
static void stream_free(struct ttrpc_stream *st)
{
	struct ttrpc_conn *c = st->conn;
	struct rpc_call *call = st->call;

	list_remove(&st->node);
	c->n_streams--;
	c->request_bytes -= st->request_len;
	rpc_msg_free(st->reply);
	free(st);
	call->stream = NULL;
	rpc_call_unref(call);
}

static void conn_close(struct ttrpc_conn *c)
{
	struct ttrpc_server *s = c->server;

	if (c->closed)
		return;
	c->closed = true;
	list_remove(&c->node);
	s->n_conns--;
	s->n_closing++;
	loop_io_remove(TAKE(c->io));
	close(c->in.fd);
	ttrpc_reader_done(&c->in);
	ttrpc_writer_done(&c->out);
	while (!list_empty(&c->streams)) {
		struct ttrpc_stream *st = list_first(&c->streams, struct ttrpc_stream, node);
		struct rpc_call *call = st->call;

		ref_get(&call->ref);
		stream_free(st);
		rpc_call_cancel(call, ERR_CANCELLED);
		rpc_call_unref(call);
	}
	conn_unref(c);
}

/* After anything was sent or taken from the queue. */
static void conn_settle(struct ttrpc_conn *c)
{
	struct ttrpc_server *s = c->server;
	size_t queued = c->out.queue.len;

	if (c->closed)
		return;
	if (s->draining && !c->n_streams && (!queued || s->grace_over))
		conn_close(c);
	else
		loop_io_set(
			c->io, (queued < QUEUE_SOFT ? LOOP_READ : 0u) | (queued ? LOOP_WRITE : 0u));
}

static void conn_send(struct ttrpc_conn *c, uint32_t id, const void *data, size_t len)
{
	size_t before = c->out.queue.len;

	if (!ttrpc_writer_send(&c->out, id, TTRPC_RESPONSE, data, len))
		conn_close(c);
	else if (c->out.queue.len != before || c->server->draining)
		conn_settle(c);
}

/* --- answers --- */

/* Texts may hold what a runtime printed; the peer refuses strings that are no UTF-8. */
static char *printable(const char *text, struct arena *arena)
{
	size_t len = strnlen(text, TTRPC_MESSAGE_MAX / 4);
	char *copy = arena_strndup(arena, text, len);

	if (!utf8_valid(copy, len))
		for (char *p = copy; *p; p++)
			if ((unsigned char)*p >= 0x80)
				*p = '?';
	return copy;
}

static void answer_error(struct ttrpc_conn *c, uint32_t id, const struct err *e)
{
	Ttrpc__Response response = TTRPC__RESPONSE__INIT;
	Grpcstatus__Status status = GRPCSTATUS__STATUS__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(err) bad_details = NULL;
	size_t len;
	const void *details = err_details(e, &len);
	void *m = NULL, *data;

	if (details && len < TTRPC_MESSAGE_MAX / 2)
		bad_details =
			message_unpack(&grpcstatus__status__descriptor, details, len, arena, &m);
	if (m)
		status = *(Grpcstatus__Status *)m;
	status.code = (int32_t)err_class(e);
	status.message = printable(err_message(e), arena);
	response.status = &status;
	data = message_pack(&response, arena, &len);
	conn_send(c, id, data, len);
}

static void refuse(struct ttrpc_conn *c, uint32_t id, struct err *take_e)
{
	answer_error(c, id, take_e);
	err_free(take_e);
}

/* The payload field's tag and length go right before the packed message. */
static void answer_reply(struct ttrpc_conn *c, uint32_t id, struct rpc_msg *m)
{
	uint8_t head[ENVELOPE_MAX] = {0x12}; /* field 2, bytes */
	size_t n = 1, left = m->len;

	for (; left >= 0x80; left >>= 7)
		head[n++] = (uint8_t)(left | 0x80);
	head[n++] = (uint8_t)left;
	memcpy(m->data - n, head, n);
	conn_send(c, id, m->data - n, m->len + n);
}

static void ttrpc_pump(struct rpc_call *call)
{
	struct ttrpc_stream *st = call->stream;
	struct ttrpc_conn *c = call->conn;
	const struct err *e;
	struct rpc_msg *reply;
	struct list out;
	uint32_t id = st->id;

	list_init(&out);
	rpc_call_take_out(call, &out);
	if (!list_empty(&out)) {
		rpc_msg_free(st->reply);
		st->reply = list_first(&out, struct rpc_msg, node);
		list_remove(&st->reply->node);
		rpc_call_sent(call, st->reply->len);
		rpc_msg_list_free(&out);
	}
	if (!rpc_call_done(call, &e))
		return;
	reply = TAKE(st->reply);
	ref_get(&call->ref);
	c->refs++;
	stream_free(st);
	if (e)
		answer_error(c, id, e);
	else if (reply)
		answer_reply(c, id, reply);
	else
		refuse(c, id, err_new(ERR_INTERNAL, "ttrpc: marshal called with nil"));
	rpc_msg_free(reply);
	conn_unref(c);
	rpc_call_unref(call);
}

static void ttrpc_flush(struct rpc_server *base)
{
	check_drained(to_ttrpc(base));
}

static void ttrpc_released(struct rpc_call *call)
{
	conn_unref(call->conn);
}

static struct err *ttrpc_oversize(size_t len, size_t max)
{
	return err_new(ERR_EXHAUSTED, TTRPC_OVERSIZE, len, max);
}

static const struct rpc_server_ops ttrpc_ops = {
	.pump = ttrpc_pump,
	.flush = ttrpc_flush,
	.released = ttrpc_released,
	.oversize = ttrpc_oversize,
};

/* --- requests --- */

static struct err *may_call(const struct ttrpc_conn *c, size_t len)
{
	const struct ttrpc_server *s = c->server;

	if (s->draining)
		return err_new(ERR_UNAVAILABLE, "ttrpc: server closed");
	if (c->n_streams >= s->options.max_calls)
		return err_new(ERR_EXHAUSTED,
			"ttrpc: more than %u calls under way on one connection",
			s->options.max_calls);
	if (c->request_bytes + len > REQUEST_BYTES_MAX)
		return err_new(
			ERR_EXHAUSTED, "ttrpc: requests under way on one connection are too large");
	return NULL;
}

/* Only what is known and unary starts; the words are those of the Go server. */
static struct err *begin(struct rpc_call *call, const Ttrpc__Request *r, uint8_t flags)
{
	autofree char *path = xasprintf("/%s/%s", r->service, r->method);
	autoptr(err) e = NULL;

	if (!map_get(&call->server->services, r->service))
		return err_new(ERR_UNIMPLEMENTED, "service %s", r->service);
	if (flags)
		return err_new(ERR_UNIMPLEMENTED, "method %s", r->method);
	e = rpc_call_begin(call, path, strlen(path));
	if (e)
		return err_new(ERR_UNIMPLEMENTED, "method %s", r->method);
	assert(rpc_call_method(call)->kind == RPC_UNARY);
	if (r->timeout_nano < 0)
		return err_new(ERR_DEADLINE, "context deadline exceeded");
	return NULL;
}

static struct ttrpc_stream *stream_new(
	struct ttrpc_conn *c, struct rpc_call *call, uint32_t id, size_t request_len)
{
	struct ttrpc_stream *st = NEW(struct ttrpc_stream);

	st->conn = c;
	st->call = call;
	st->id = id;
	st->request_len = request_len;
	list_append(&c->streams, &st->node);
	c->n_streams++;
	c->request_bytes += request_len;
	call->stream = st;
	return st;
}

static void start_call(struct ttrpc_conn *c, const struct ttrpc_frame *f, const Ttrpc__Request *r)
{
	struct rpc_call *call = rpc_call_new(&c->server->base, c, NULL);
	struct rpc_msg *m;
	struct err *e;

	for (size_t i = 0; i < r->n_metadata; i++) {
		const Ttrpc__KeyValue *p = r->metadata[i];

		rpc_call_add_metadata(call, p->key, strlen(p->key), p->value, strlen(p->value));
	}
	e = begin(call, r, f->flags);
	if (e) {
		rpc_call_unref(call);
		refuse(c, f->stream, e);
		return;
	}
	if (r->timeout_nano)
		rpc_call_set_timeout(call, r->timeout_nano / 1000000);
	stream_new(c, call, f->stream, f->len);
	m = rpc_msg_new(r->payload.len);
	if (m->len)
		memcpy(m->data, r->payload.data, m->len);
	/* Until the handler's side lets go. */
	c->refs++;
	rpc_call_deliver(call, m);
}

static void on_request(struct ttrpc_conn *c, const struct ttrpc_frame *f)
{
	autoptr(arena) arena = arena_new();
	void *request = NULL;
	struct err *e = may_call(c, f->len);

	c->last_id = f->stream;
	if (!e)
		e = err_wrap(message_unpack(
				     &ttrpc__request__descriptor, f->data, f->len, arena, &request),
			"unmarshal request error");
	if (!e && ((const Ttrpc__Request *)request)->n_metadata > METADATA_MAX)
		e = err_new(ERR_EXHAUSTED, "ttrpc: more than %d items of metadata", METADATA_MAX);
	if (e)
		refuse(c, f->stream, e);
	else
		start_call(c, f, request);
}

static bool on_frame(void *arg, const struct ttrpc_frame *f)
{
	struct ttrpc_conn *c = arg;
	struct err *e = NULL;

	if (!f->data)
		e = ttrpc_oversize(f->len, TTRPC_MESSAGE_MAX);
	else if (f->stream % 2 != 1)
		e = err_new(ERR_INVALID, "StreamID must be odd for client initiated streams");
	else if (f->type == TTRPC_DATA)
		e = err_new(ERR_INVALID, "StreamID is no longer active");
	else if (f->type == TTRPC_REQUEST && f->stream <= c->last_id)
		e = err_new(ERR_INVALID, "StreamID cannot be re-used and must increment");
	if (e)
		refuse(c, f->stream, e);
	else if (f->type == TTRPC_REQUEST)
		on_request(c, f);
	/* Other types are left to later versions of the protocol. */
	return !c->closed;
}

static void on_io(void *arg, unsigned events)
{
	struct ttrpc_conn *c = arg;

	c->refs++;
	if (events & LOOP_WRITE) {
		if (!ttrpc_writer_flush(&c->out))
			conn_close(c);
		else
			conn_settle(c);
	}
	if (!c->closed && c->out.queue.len < QUEUE_SOFT && (events & (LOOP_READ | LOOP_HANGUP)) &&
		!ttrpc_reader_run(&c->in, on_frame, c))
		conn_close(c);
	/* A peer that has hung up without reading its replies never will. */
	else if (!c->closed && c->out.queue.len >= QUEUE_SOFT && events == LOOP_HANGUP)
		conn_close(c);
	conn_unref(c);
}

/* --- the listener --- */

struct err *ttrpc_server_attach(struct rpc_server *base, int take_fd)
{
	struct ttrpc_server *s = to_ttrpc(base);
	autofd fd = take_fd;
	struct ttrpc_conn *c;

	if (s->n_conns >= s->options.max_connections)
		return err_new(ERR_EXHAUSTED, "ttrpc: more than %u connections",
			s->options.max_connections);
	c = NEW(struct ttrpc_conn);
	c->server = s;
	c->refs = 1;
	list_init(&c->streams);
	ttrpc_reader_init(&c->in, fd);
	ttrpc_writer_init(&c->out, fd, QUEUE_MAX);
	struct err *e = loop_add_io(base->loop, fd, LOOP_READ, on_io, c, &c->io);

	if (e) {
		free(c);
		return e;
	}
	(void)TAKE_FD(fd);
	list_append(&s->conns, &c->node);
	s->n_conns++;
	return NULL;
}

static bool peer_allowed(const struct ttrpc_server *s, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (!s->options.same_user)
		return true;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid() &&
	       peer.gid == getegid();
}

static void on_retry(void *arg)
{
	struct ttrpc_server *s = arg;

	loop_timer_free(TAKE(s->retry));
	if (s->listen_io)
		loop_io_set(s->listen_io, LOOP_READ);
}

static void on_accept(void *arg, unsigned events)
{
	struct ttrpc_server *s = arg;

	(void)events;
	for (int i = 0; i < ACCEPT_PER_TURN; i++) {
		autofd fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		autoptr(err) refused = NULL;

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno != EAGAIN && !s->retry) {
			/* Out of descriptors: the socket stays readable, do not spin on it. */
			loop_io_set(s->listen_io, 0);
			s->retry = loop_timer_new(s->base.loop, on_retry, s);
			loop_timer_set(s->retry, ACCEPT_RETRY_MS);
		}
		if (fd < 0)
			return;
		if (peer_allowed(s, fd))
			refused = ttrpc_server_attach(&s->base, TAKE_FD(fd));
	}
}

struct rpc_server *ttrpc_server_new(
	struct loop *loop, struct pool *pool, const struct ttrpc_server_options *options)
{
	struct ttrpc_server *s = NEW(struct ttrpc_server);

	rpc_server_init(&s->base, &ttrpc_ops, loop, pool, TTRPC_MESSAGE_MAX - ENVELOPE_MAX);
	if (options)
		s->options = *options;
	if (!s->options.max_connections)
		s->options.max_connections = MAX_CONNECTIONS;
	if (!s->options.max_calls)
		s->options.max_calls = MAX_CALLS;
	s->listen_fd = -1;
	list_init(&s->conns);
	return &s->base;
}

struct err *ttrpc_server_listen(struct rpc_server *base, int take_fd)
{
	struct ttrpc_server *s = to_ttrpc(base);

	assert(s->listen_fd < 0);
	s->listen_fd = take_fd;
	if (fcntl(take_fd, F_SETFL, fcntl(take_fd, F_GETFL) | O_NONBLOCK) < 0)
		return err_sys(errno, "ttrpc listener");
	return loop_add_io(base->loop, take_fd, LOOP_READ, on_accept, s, &s->listen_io);
}

static void stop_listening(struct ttrpc_server *s)
{
	loop_io_remove(TAKE(s->listen_io));
	loop_timer_free(TAKE(s->retry));
	if (s->listen_fd >= 0)
		close(TAKE_FD(s->listen_fd));
}

/* --- the end --- */

static void tell_done(void *arg)
{
	struct ttrpc_server *s = arg;
	void (*done)(void *) = TAKE(s->done);

	loop_timer_free(TAKE(s->grace));
	s->done_posted = false;
	done(s->done_arg);
}

static void check_drained(struct ttrpc_server *s)
{
	if (!s->done || s->done_posted || s->n_conns || s->n_closing || s->base.running)
		return;
	s->done_posted = true;
	loop_post(s->base.loop, tell_done, s);
}

static void on_grace_over(void *arg)
{
	struct ttrpc_server *s = arg;

	s->grace_over = true;
	list_each(struct ttrpc_conn, c, &s->conns, node)
	{
		c->refs++;
		list_each(struct ttrpc_stream, st, &c->streams, node)
			rpc_call_cancel(st->call, ERR_CANCELLED);
		conn_settle(c);
		conn_unref(c);
	}
}

void ttrpc_server_drain(
	struct rpc_server *base, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
	struct ttrpc_server *s = to_ttrpc(base);

	s->draining = true;
	s->done = done;
	s->done_arg = arg;
	stop_listening(s);
	loop_timer_free(s->grace);
	s->grace = loop_timer_new(base->loop, on_grace_over, s);
	loop_timer_set(s->grace, grace_ms);
	list_each(struct ttrpc_conn, c, &s->conns, node) conn_settle(c);
	check_drained(s);
}

void ttrpc_server_free(struct rpc_server *base)
{
	struct ttrpc_server *s;

	if (!base)
		return;
	s = to_ttrpc(base);
	s->draining = true;
	s->done = NULL;
	stop_listening(s);
	loop_timer_free(s->grace);
	list_each(struct ttrpc_conn, c, &s->conns, node) conn_close(c);
	assert(!s->n_conns && !s->n_closing);
	rpc_server_done(base);
	free(s);
}
