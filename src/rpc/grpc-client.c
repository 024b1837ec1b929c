// SPDX-License-Identifier: Apache-2.0
#include "rpc/grpc-client-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "base/timestamp.h"
#include "rpc/grpc-text.h"
#include "rpc/message.h"

#define CONNECT_TIMEOUT_MS 10000

/* --- to the loop --- */

static void run_dirty(void *arg);

static bool mark_open(struct grpc_stream *st)
{
	struct grpc_client *c = st->client;

	LOCKED(&c->lock);
	if (c->closed)
		return false;
	if (!st->dirty) {
		st->dirty = true;
		ref_get(&st->ref);
		list_append(&c->dirty, &st->dirty_node);
	}
	if (!c->scheduled) {
		c->scheduled = true;
		loop_post(c->loop, run_dirty, c);
	}
	return true;
}

/* Have the loop look at the stream; without a loop the call ends. */
static void mark(struct grpc_stream *st)
{
	if (!mark_open(st))
		grpc_stream_end(
			st, err_new(ERR_CANCELLED, "grpc: the client connection is closing"), true);
}

static struct grpc_stream *next_dirty(struct grpc_client *c)
{
	struct grpc_stream *st;

	LOCKED(&c->lock);
	if (list_empty(&c->dirty)) {
		c->scheduled = false;
		return NULL;
	}
	st = list_first(&c->dirty, struct grpc_stream, dirty_node);
	list_remove(&st->dirty_node);
	st->dirty = false;
	return st;
}

static void run_dirty(void *arg)
{
	struct grpc_client *c = arg;
	struct grpc_stream *st;

	while ((st = next_dirty(c))) {
		client_pump(st);
		grpc_stream_unref(st);
	}
	client_flush(c);
}

/* --- the client --- */

static void client_unref(struct grpc_client *c)
{
	if (!ref_put(&c->ref))
		return;
	nghttp2_session_callbacks_del(c->callbacks);
	nghttp2_option_del(c->h2_options);
	lock_done(&c->lock);
	lock_done(&c->dial_lock);
	free(c->address);
	free(c->authority);
	free(c->user_agent);
	free(c->scratch);
	free(c);
}

static void *client_thread(void *arg)
{
	struct grpc_client *c = arg;

	loop_run(c->loop);
	return NULL;
}

static void client_stop(void *arg)
{
	struct grpc_client *c = arg;

	client_close_all(c);
	loop_stop(c->loop);
}

struct attach {
	struct grpc_client *client;
	int fd;
};

static void on_attach(void *arg)
{
	struct attach *a = arg;

	client_attach(a->client, a->fd);
	free(a);
}

static void post_attach(struct grpc_client *c, int take_fd)
{
	struct attach *a = NEW(struct attach);
	int flags = fcntl(take_fd, F_GETFL);

	(void)fcntl(take_fd, F_SETFL, flags | O_NONBLOCK);
	*a = (struct attach){c, take_fd};
	lock_take(&c->lock);
	c->up = true;
	lock_drop(&c->lock);
	/* Posts run in order: streams marked after this find the connection. */
	loop_post(c->loop, on_attach, a);
}

struct err *grpc_client_new_fd(
	int take_fd, const struct grpc_client_options *options, struct grpc_client **ret)
{
	autofd fd = take_fd;
	struct grpc_client *c = NEW(struct grpc_client);
	struct err *e;

	ref_init(&c->ref);
	if (options)
		c->options = *options;
	c->options.max_recv = c->options.max_recv ? c->options.max_recv : GRPC_MESSAGE_MAX;
	if (!c->options.connect_timeout_ms)
		c->options.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	c->user_agent = xstrdup(c->options.user_agent);
	c->authority = grpc_authority(NULL);
	lock_init(&c->lock);
	lock_init(&c->dial_lock);
	list_init(&c->dirty);
	list_init(&c->conns);
	c->scratch = h2_scratch_new();
	client_setup(c);
	e = loop_new(&c->loop);
	if (!e)
		e = thread_start("grpc-client", client_thread, c, &c->thread);
	if (e) {
		loop_free(c->loop);
		client_unref(c);
		return e;
	}
	post_attach(c, TAKE_FD(fd));
	*ret = c;
	return NULL;
}

struct err *grpc_client_new(
	const char *address, const struct grpc_client_options *options, struct grpc_client **ret)
{
	int64_t timeout_ms = options && options->connect_timeout_ms ? options->connect_timeout_ms
								    : CONNECT_TIMEOUT_MS;
	struct grpc_client *c;
	int fd;

	TRY(grpc_dial(address, timeout_ms, &fd));
	TRY(grpc_client_new_fd(fd, options, &c));
	free(c->authority);
	c->address = xstrdup(address);
	c->authority = grpc_authority(address);
	*ret = c;
	return NULL;
}

/* A connection that was lost or told to go away is replaced when it is next needed. */
static struct err *ensure_up(struct grpc_client *c)
{
	bool up;
	int fd;

	LOCKED(&c->dial_lock);
	lock_take(&c->lock);
	up = c->up;
	lock_drop(&c->lock);
	if (up || !c->address)
		return NULL;
	TRY(grpc_dial(c->address, c->options.connect_timeout_ms, &fd));
	post_attach(c, fd);
	return NULL;
}

void grpc_client_free(struct grpc_client *c)
{
	if (!c)
		return;
	loop_post(c->loop, client_stop, c);
	pthread_join(c->thread, NULL);
	loop_free(TAKE(c->loop));
	client_unref(c);
}

/* --- streams --- */

void grpc_stream_unref(struct grpc_stream *st)
{
	if (!ref_put(&st->ref))
		return;
	strv_done(&st->request);
	h2_in_done(&st->inflow);
	h2_out_done(&st->outflow);
	free(st->content_type);
	free(st->encoding);
	free(st->status);
	free(st->message);
	free(st->details);
	rpc_msg_list_free(&st->in);
	rpc_msg_list_free(&st->out);
	err_free(st->error);
	cancel_unref(st->cancel);
	lock_done(&st->lock);
	cond_done(&st->cond);
	client_unref(st->client);
	free(st);
}

void grpc_stream_end(struct grpc_stream *st, struct err *take_e, bool now)
{
	LOCKED(&st->lock);
	if (st->ended) {
		err_free(take_e);
		return;
	}
	st->ended = true;
	st->error = take_e;
	if (now)
		rpc_msg_list_free(&st->in);
	rpc_msg_list_free(&st->out);
	cond_broadcast(&st->cond);
}

static void add_header(struct grpc_stream *st, const char *key, const char *value)
{
	strv_add(&st->request, key);
	strv_add(&st->request, value);
}

static void add_request_headers(
	struct grpc_stream *st, const struct rpc_context *ctx, const char *path)
{
	char timeout[GRPC_TIMEOUT_TEXT];

	add_header(st, ":method", "POST");
	add_header(st, ":scheme", "http");
	add_header(st, ":path", path);
	add_header(st, ":authority", st->client->authority);
	add_header(st, "content-type", "application/grpc");
	if (st->client->user_agent)
		add_header(st, "user-agent", st->client->user_agent);
	add_header(st, "te", "trailers");
	if (st->timeout_ms > 0) {
		grpc_timeout_format(st->timeout_ms, timeout);
		add_header(st, "grpc-timeout", timeout);
	}
	for (size_t i = 0; ctx && i < ctx->n_metadata; i++)
		add_header(st, ctx->metadata[i].key, ctx->metadata[i].value);
}

static struct grpc_stream *stream_new(struct grpc_client *c, const struct rpc_context *ctx,
	const char *path, const ProtobufCMessageDescriptor *reply)
{
	struct grpc_stream *st = NEW(struct grpc_stream);

	ref_init(&st->ref);
	ref_get(&c->ref);
	st->client = c;
	st->reply = reply;
	st->timeout_ms = ctx ? ctx->timeout_ms : 0;
	st->cancel = ctx ? cancel_ref(ctx->cancel) : NULL;
	st->cancel_fd = -1;
	st->id = -1;
	list_init(&st->node);
	list_init(&st->in);
	list_init(&st->out);
	list_init(&st->dirty_node);
	h2_out_init(&st->outflow);
	lock_init(&st->lock);
	cond_init(&st->cond);
	add_request_headers(st, ctx, path);
	return st;
}

struct err *grpc_stream_open(struct grpc_client *c, const struct rpc_context *ctx, const char *path,
	const ProtobufCMessageDescriptor *reply, struct grpc_stream **ret)
{
	struct grpc_stream *st;

	TRY(cancel_check(ctx ? ctx->cancel : NULL));
	TRY(ensure_up(c));
	st = stream_new(c, ctx, path, reply);
	mark(st);
	*ret = st;
	return NULL;
}

static bool out_full(const struct grpc_stream *st)
{
	return st->out_bytes >= RPC_QUEUE_BYTES || st->out_n >= RPC_QUEUE_MESSAGES;
}

static struct err *queue_out(struct grpc_stream *st, const void *message)
{
	autoptr(rpc_msg) m = NULL;

	if (message_size(message) > INT32_MAX)
		return err_new(ERR_EXHAUSTED,
			"grpc: trying to send message larger than max (%zu vs. %d)",
			message_size(message), INT32_MAX);
	m = rpc_msg_pack(message);
	LOCKED(&st->lock);
	while (out_full(st) && !st->ended)
		cond_wait(&st->cond, &st->lock);
	if (st->ended)
		return err_new(ERR_UNAVAILABLE, "stream ended");
	if (st->send_closed)
		return err_new(ERR_INTERNAL, "message sent after the end of the request");
	st->out_bytes += m->len;
	st->out_n++;
	list_append(&st->out, &TAKE(m)->node);
	return NULL;
}

struct err *grpc_stream_send(struct grpc_stream *st, const void *message)
{
	TRY(queue_out(st, message));
	mark(st);
	return NULL;
}

struct err *grpc_stream_close_send(struct grpc_stream *st)
{
	lock_take(&st->lock);
	st->send_closed = true;
	lock_drop(&st->lock);
	mark(st);
	return NULL;
}

static struct rpc_msg *pop(struct grpc_stream *st, bool *ret_wake)
{
	struct rpc_msg *m = list_first(&st->in, struct rpc_msg, node);

	list_remove(&m->node);
	st->in_bytes -= m->len;
	st->in_n--;
	*ret_wake = st->in_withheld && st->in_bytes < RPC_QUEUE_BYTES / 2 &&
		    st->in_n < RPC_QUEUE_MESSAGES / 2;
	if (*ret_wake)
		st->in_withheld = false;
	return m;
}

/* The next message, or NULL at the end of a call that ended well. */
static struct err *wait_in(struct grpc_stream *st, int64_t deadline_ms, struct rpc_msg **ret)
{
	bool wake = false, in_time = true;

	*ret = NULL;
	lock_take(&st->lock);
	while (list_empty(&st->in) && !st->ended && in_time)
		in_time = cond_wait_until(&st->cond, &st->lock, deadline_ms);
	struct err *e = NULL;

	if (!list_empty(&st->in))
		*ret = pop(st, &wake);
	else if (st->ended)
		e = st->error ? err_copy(st->error) : NULL;
	else
		e = err_new(ERR_DEADLINE, "no message in time");
	lock_drop(&st->lock);
	if (wake)
		mark(st);
	return e;
}

struct err *grpc_stream_recv_until(
	struct grpc_stream *st, int64_t deadline_ms, struct arena *arena, void **ret)
{
	autoptr(rpc_msg) m = NULL;

	TRY(wait_in(st, deadline_ms, &m));
	if (!m) {
		*ret = NULL;
		return NULL;
	}
	return err_reclass(
		err_wrap(message_unpack(st->reply, m->data, m->len, arena, ret), "malformed reply"),
		ERR_INTERNAL);
}

struct err *grpc_stream_recv(struct grpc_stream *st, struct arena *arena, void **ret)
{
	return grpc_stream_recv_until(st, -1, arena, ret);
}

void grpc_stream_free(struct grpc_stream *st)
{
	bool ended;

	if (!st)
		return;
	lock_take(&st->lock);
	st->abandoned = true;
	ended = st->ended;
	lock_drop(&st->lock);
	if (!ended)
		mark(st);
	grpc_stream_unref(st);
}

static struct err *call_once(
	struct grpc_stream *st, const void *request, struct arena *arena, void **ret)
{
	void *reply, *more;

	TRY(queue_out(st, request));
	TRY(grpc_stream_close_send(st));
	TRY(grpc_stream_recv(st, arena, &reply));
	if (!reply)
		return err_new(ERR_INTERNAL, "the server ended the call without a reply");
	TRY(grpc_stream_recv(st, arena, &more));
	if (more)
		return err_new(ERR_INTERNAL, "the server sent more than one reply");
	*ret = reply;
	return NULL;
}

struct err *grpc_call(struct grpc_client *c, const struct rpc_context *ctx, const char *path,
	const void *request, const ProtobufCMessageDescriptor *reply, struct arena *arena,
	void **ret)
{
	autoptr(grpc_stream) st = NULL;

	TRY(cancel_check(ctx ? ctx->cancel : NULL));
	TRY(ensure_up(c));
	st = stream_new(c, ctx, path, reply);
	return call_once(st, request, arena, ret);
}
