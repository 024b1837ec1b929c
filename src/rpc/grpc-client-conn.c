// SPDX-License-Identifier: Apache-2.0
#include "rpc/grpc-client-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "rpc/grpc-text.h"

static struct grpc_stream *find_stream(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* --- the end of a call --- */

static enum err_class class_of_reset(uint32_t code)
{
	switch (code) {
	case NGHTTP2_REFUSED_STREAM:
		return ERR_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return ERR_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return ERR_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY:
		return ERR_PERMISSION;
	default:
		return ERR_INTERNAL;
	}
}

static enum err_class class_of_http(const char *status)
{
	static const struct {
		const char *status;
		enum err_class class;
	} classes[] = {{"400", ERR_INTERNAL}, {"401", ERR_UNAUTHENTICATED}, {"403", ERR_PERMISSION},
		{"404", ERR_UNIMPLEMENTED}, {"429", ERR_UNAVAILABLE}, {"502", ERR_UNAVAILABLE},
		{"503", ERR_UNAVAILABLE}, {"504", ERR_UNAVAILABLE}};

	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		if (strcmp(classes[i].status, status) == 0)
			return classes[i].class;
	}
	return ERR_UNKNOWN;
}

static struct err *err_of_trailers(const struct grpc_stream *st)
{
	enum err_class class = grpc_status_parse(st->status, strlen(st->status));
	const char *text = str_or(st->message, "");
	autofree char *message = NULL;
	autofree void *details = NULL;
	struct err *e;
	size_t len;

	if (class == ERR_OK)
		return NULL;
	message = grpc_percent_decode(text, strlen(text));
	e = err_new(class, "%s", message);
	if (st->details)
		details = grpc_base64_decode(st->details, strlen(st->details), &len);
	if (details)
		err_set_details(e, details, len);
	return e;
}

static struct err *outcome(const struct grpc_stream *st, uint32_t reset)
{
	if (st->status)
		return err_of_trailers(st);
	if (reset == NGHTTP2_NO_ERROR && st->http_status[0] && strcmp(st->http_status, "200") != 0)
		return err_new(class_of_http(st->http_status),
			"unexpected HTTP status code received from server: %s", st->http_status);
	if (st->conn->going_away)
		return err_new(ERR_UNAVAILABLE, "the server is shutting down");
	if (reset != NGHTTP2_NO_ERROR)
		return err_new(class_of_reset(reset),
			"stream terminated by RST_STREAM with error code: %s",
			nghttp2_http2_strerror(reset));
	return err_new(ERR_INTERNAL, "server closed the stream without sending trailers");
}

/* The session knows nothing of the stream any more. */
static void stream_detach(struct grpc_stream *st)
{
	loop_timer_free(TAKE(st->timer));
	loop_io_remove(TAKE(st->cancel_io));
	if (st->cancel_fd >= 0)
		close(st->cancel_fd);
	st->cancel_fd = -1;
	st->conn = NULL;
	list_remove(&st->node);
	grpc_stream_unref(st);
}

/* The caller has lost interest. */
static void stream_reset(struct grpc_stream *st, struct err *take_e)
{
	grpc_stream_end(st, take_e, true);
	st->discard = true;
	if (st->conn)
		nghttp2_submit_rst_stream(
			st->conn->h2.session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
}

static void on_timeout(void *arg)
{
	struct grpc_stream *st = arg;
	struct grpc_client *c = st->client;

	stream_reset(st, err_new(ERR_DEADLINE, "context deadline exceeded"));
	client_flush(c);
}

static void on_cancelled(void *arg, unsigned events)
{
	struct grpc_stream *st = arg;
	struct grpc_client *c = st->client;

	loop_io_remove(TAKE(st->cancel_io));
	stream_reset(st, cancel_check(st->cancel));
	client_flush(c);
}

/* --- sending --- */

static void refill(struct grpc_stream *st, bool *ret_last)
{
	LOCKED(&st->lock);
	h2_out_add(&st->outflow, &st->out);
	*ret_last = st->send_closed;
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
	uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	struct grpc_stream *st = source->ptr;
	bool last;
	size_t n;

	refill(st, &last);
	n = MIN(length, st->outflow.bytes);
	if (last && n == st->outflow.bytes) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	} else if (!n) {
		st->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)n;
}

static void on_message_sent(void *arg, size_t bytes)
{
	struct grpc_stream *st = arg;

	LOCKED(&st->lock);
	st->out_bytes -= bytes;
	st->out_n--;
	if (st->out_bytes <= RPC_QUEUE_BYTES / 2)
		cond_broadcast(&st->cond);
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
	size_t length, nghttp2_data_source *source, void *user_data)
{
	struct client_conn *conn = user_data;
	struct grpc_stream *st = source->ptr;

	return h2_out_frame(conn->h2.scratch, &st->outflow, head, length, on_message_sent, st);
}

/* The caller's cancellation becomes an event of the loop. The same one may serve many streams, and
 * epoll takes a descriptor once. */
static void watch_cancel(struct grpc_stream *st)
{
	int fd = st->cancel ? cancel_fd(st->cancel) : -1;

	st->cancel_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (st->cancel_fd >= 0)
		err_free(loop_add_io(st->client->loop, st->cancel_fd, LOOP_READ, on_cancelled, st,
			&st->cancel_io));
}

static void submit(struct grpc_stream *st)
{
	struct client_conn *conn = st->client->current;
	size_t n = st->request.n / 2;
	autofree nghttp2_nv *list = xcalloc(n, sizeof(*list));
	nghttp2_data_provider body = {.source.ptr = st, .read_callback = on_read_body};

	st->submitted = true;
	if (!conn) {
		grpc_stream_end(st, err_new(ERR_UNAVAILABLE, "the connection is closed"), true);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		char *name = st->request.items[2 * i], *value = st->request.items[2 * i + 1];

		list[i] = (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name),
			strlen(value), NGHTTP2_NV_FLAG_NONE};
	}
	st->id = nghttp2_submit_request(conn->h2.session, NULL, list, n, &body, st);
	strv_done(&st->request);
	if (st->id < 0) {
		grpc_stream_end(st, err_new(ERR_UNAVAILABLE, "%s", nghttp2_strerror(st->id)), true);
		return;
	}
	ref_get(&st->ref);
	st->conn = conn;
	list_append(&conn->streams, &st->node);
	if (st->timeout_ms > 0) {
		st->timer = loop_timer_new(st->client->loop, on_timeout, st);
		loop_timer_set(st->timer, st->timeout_ms);
	}
	watch_cancel(st);
}

static void give_back(struct grpc_stream *st)
{
	lock_take(&st->lock);
	st->in_withheld =
		!st->ended && (st->in_bytes >= RPC_QUEUE_BYTES || st->in_n >= RPC_QUEUE_MESSAGES);
	bool full = st->in_withheld;

	lock_drop(&st->lock);
	if (full || !st->withheld)
		return;
	nghttp2_session_consume_stream(st->conn->h2.session, st->id, st->withheld);
	st->withheld = 0;
}

void client_pump(struct grpc_stream *st)
{
	bool abandoned;

	lock_take(&st->lock);
	abandoned = st->abandoned && !st->ended;
	lock_drop(&st->lock);
	if (abandoned) {
		if (st->submitted)
			stream_reset(st, err_new(ERR_CANCELLED, "context canceled"));
		return;
	}
	if (!st->submitted)
		submit(st);
	if (!st->conn)
		return;
	give_back(st);
	if (st->deferred) {
		st->deferred = false;
		nghttp2_session_resume_data(st->conn->h2.session, st->id);
	}
}

/* --- receiving --- */

static void keep(char **to, const uint8_t *value, size_t len)
{
	free(*to);
	*to = xstrndup((const char *)value, len);
}

static bool is(const uint8_t *name, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(name, text, len) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *user_data)
{
	struct grpc_stream *st = find_stream(session, frame->hd.stream_id);

	if (!st)
		return 0;
	st->header_bytes += name_len + len + 32;
	if (st->header_bytes > H2_HEADER_LIST_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (is(name, name_len, ":status") && len == 3)
		memcpy(st->http_status, value, 3);
	else if (is(name, name_len, "grpc-encoding"))
		keep(&st->encoding, value, len);
	else if (is(name, name_len, "grpc-status"))
		keep(&st->status, value, len);
	else if (is(name, name_len, "grpc-message"))
		keep(&st->message, value, len);
	else if (is(name, name_len, "grpc-status-details-bin"))
		keep(&st->details, value, len);
	return 0;
}

static void push(struct grpc_stream *st, struct rpc_msg *take_msg)
{
	LOCKED(&st->lock);
	if (st->ended) {
		rpc_msg_free(take_msg);
		return;
	}
	st->in_bytes += take_msg->len;
	st->in_n++;
	list_append(&st->in, &take_msg->node);
	cond_broadcast(&st->cond);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
	size_t len, void *user_data)
{
	struct grpc_stream *st = find_stream(session, id);
	struct rpc_msg *msg;

	nghttp2_session_consume_connection(session, len);
	if (!st || st->discard) {
		nghttp2_session_consume_stream(session, id, len);
		return 0;
	}
	/* As on the server: only whole unread messages hold back the window. */
	st->withheld += len;
	while (len) {
		struct err *e = h2_in_feed(&st->inflow, &data, &len, st->client->options.max_recv,
			st->encoding, false, &msg);

		if (e) {
			stream_reset(st, e);
			return 0;
		}
		if (msg)
			push(st, msg);
	}
	give_back(st);
	return 0;
}

static void retire(struct client_conn *conn)
{
	struct grpc_client *c = conn->client;

	if (c->current != conn)
		return;
	c->current = NULL;
	LOCKED(&c->lock);
	c->up = false;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct client_conn *conn = user_data;

	if (frame->hd.type != NGHTTP2_GOAWAY)
		return 0;
	/* Streams the server will not look at are closed by the session; the others go on. */
	conn->going_away = true;
	retire(conn);
	return 0;
}

static int on_stream_close(
	nghttp2_session *session, int32_t id, uint32_t error_code, void *user_data)
{
	struct grpc_stream *st = find_stream(session, id);

	if (!st)
		return 0;
	nghttp2_session_set_stream_user_data(session, id, NULL);
	grpc_stream_end(st, outcome(st, error_code), false);
	stream_detach(st);
	return 0;
}

/* --- connections --- */

static void conn_close(struct client_conn *conn, enum err_class class, const char *why)
{
	retire(conn);
	list_each(struct grpc_stream, st, &conn->streams, node)
	{
		grpc_stream_end(st, err_new(class, "%s", why), class == ERR_CANCELLED);
		stream_detach(st);
	}
	h2_conn_close(&conn->h2);
	list_remove(&conn->node);
	free(conn);
}

static void conn_flush(struct client_conn *conn)
{
	if (!h2_conn_flush(&conn->h2))
		conn_close(conn, ERR_UNAVAILABLE, "error reading from server: EOF");
}

static void on_conn(void *arg, unsigned events)
{
	struct client_conn *conn = arg;

	if ((events & (LOOP_READ | LOOP_HANGUP)) && !h2_conn_read(&conn->h2))
		conn_close(conn, ERR_UNAVAILABLE, "error reading from server: EOF");
	else
		conn_flush(conn);
}

void client_flush(struct grpc_client *c)
{
	list_each(struct client_conn, conn, &c->conns, node) conn_flush(conn);
}

void client_close_all(struct grpc_client *c)
{
	lock_take(&c->lock);
	c->closed = true;
	lock_drop(&c->lock);
	list_each(struct client_conn, conn, &c->conns, node)
		conn_close(conn, ERR_CANCELLED, "grpc: the client connection is closing");
	for (;;) {
		struct grpc_stream *st;

		lock_take(&c->lock);
		st = list_empty(&c->dirty) ? NULL
					   : list_first(&c->dirty, struct grpc_stream, dirty_node);
		if (st)
			list_remove(&st->dirty_node);
		lock_drop(&c->lock);
		if (!st)
			return;
		grpc_stream_end(
			st, err_new(ERR_CANCELLED, "grpc: the client connection is closing"), true);
		grpc_stream_unref(st);
	}
}

void client_setup(struct grpc_client *c)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&c->callbacks) || nghttp2_option_new(&c->h2_options))
		abort();
	cb = c->callbacks;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_option_set_no_auto_window_update(c->h2_options, 1);
	nghttp2_option_set_no_closed_streams(c->h2_options, 1);
}

void client_attach(struct grpc_client *c, int take_fd)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_LIST_MAX},
	};
	struct client_conn *conn = NEW(struct client_conn);
	struct err *e;

	conn->client = c;
	conn->h2 = (struct h2_conn){.loop = c->loop, .scratch = c->scratch, .fd = take_fd};
	list_init(&conn->streams);
	list_append(&c->conns, &conn->node);
	if (nghttp2_session_client_new2(&conn->h2.session, c->callbacks, conn, c->h2_options))
		abort();
	c->current = conn;
	nghttp2_submit_settings(conn->h2.session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	nghttp2_session_set_local_window_size(
		conn->h2.session, NGHTTP2_FLAG_NONE, 0, H2_CONN_WINDOW);
	e = loop_add_io(c->loop, take_fd, LOOP_READ, on_conn, conn, &conn->h2.io);
	if (e) {
		conn_close(conn, ERR_UNAVAILABLE, err_message(e));
		err_free(e);
		return;
	}
	conn_flush(conn);
}
