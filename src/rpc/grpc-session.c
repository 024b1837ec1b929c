// SPDX-License-Identifier: Apache-2.0
#include "rpc/grpc-server-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "base/timestamp.h"
#include "rpc/grpc-text.h"

/*
 * Frames that make work without being of use are paid from a budget: pings, settings, priorities,
 * empty data, resets of calls under way. It fills with time and with every answer sent, so honest
 * peers never come near: a keepalive costs 1, a thousand cancelled calls 2,000.
 */
#define BUDGET_MAX 5000
#define BUDGET_PER_SECOND 300
#define COST_PING 1
#define COST_SETTINGS 20
#define COST_RESET 2
#define COST_NOISE 1
#define GAIN_ANSWER 4

/* Bytes of unfinished messages in the whole server. */
#define PARTIAL_MAX ((size_t)512 << 20)

struct grpc_stream_state {
	struct list node;
	struct grpc_conn *conn;
	struct rpc_call *call;
	int32_t id;
	struct h2_in in;
	struct h2_out out;
	size_t partial;	 /* what `in` holds, as counted in server->partial_bytes */
	size_t withheld; /* received bytes not yet given back as window */
	size_t header_bytes;
	unsigned n_headers;
	/* In the call's arena. */
	const char *path, *method, *content_type, *encoding;
	size_t path_len;
	struct err *refused; /* found while headers came */
	bool begun, responded, deferred, trailers;
	bool discard; /* what still comes is for nobody */
};

static struct grpc_stream_state *find_stream(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* --- answers --- */

static nghttp2_nv nv(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
		strlen(value), NGHTTP2_NV_FLAG_NONE};
}

struct status_text {
	char code[4];
	char *message, *details;
};

static void status_text_done(struct status_text *t)
{
	free(t->message);
	free(t->details);
}
DEFINE_AUTOVAL(status_text, status_text_done);

static size_t add_status(nghttp2_nv *to, struct status_text *t, const struct err *e)
{
	size_t n = 0, len = 0;
	const void *details = e ? err_details(e, &len) : NULL;

	snprintf(t->code, sizeof(t->code), "%u", (unsigned)err_class(e));
	to[n++] = nv("grpc-status", t->code);
	if (!e)
		return n;
	t->message = grpc_percent_encode(err_message(e));
	to[n++] = nv("grpc-message", t->message);
	if (len && len <= GRPC_DETAILS_MAX) {
		t->details = grpc_base64_encode(details, len);
		to[n++] = nv("grpc-status-details-bin", t->details);
	}
	return n;
}

static size_t add_headers(nghttp2_nv *to, struct rpc_call *call)
{
	const struct rpc_pairs *headers = rpc_call_headers(call);

	for (size_t i = 0; i < headers->n; i++)
		to[i] = nv(headers->items[i].key, headers->items[i].value);
	return headers->n;
}

#define FIXED_HEADERS 5
#define ALL_HEADERS (64 + FIXED_HEADERS)

/* An answer without a body: everything in one header list. */
static void answer_only(struct grpc_stream_state *st, const char *http_status, const struct err *e)
{
	nghttp2_nv list[ALL_HEADERS];
	autoval(status_text) text = {0};
	size_t n = 0;

	list[n++] = nv(":status", http_status);
	list[n++] = nv("content-type", "application/grpc");
	n += add_headers(list + n, st->call);
	n += add_status(list + n, &text, e);
	st->responded = st->trailers = true;
	nghttp2_submit_response(st->conn->h2.session, st->id, list, n, NULL);
}

static int send_trailers(struct grpc_stream_state *st, const struct err *e)
{
	nghttp2_nv list[FIXED_HEADERS];
	autoval(status_text) text = {0};
	size_t n = add_status(list, &text, e);

	st->trailers = true;
	return nghttp2_submit_trailer(st->conn->h2.session, st->id, list, n);
}

static void refill(struct grpc_stream_state *st)
{
	struct list msgs;

	list_init(&msgs);
	rpc_call_take_out(st->call, &msgs);
	h2_out_add(&st->out, &msgs);
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
	uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	struct grpc_stream_state *st = source->ptr;
	const struct err *e;
	size_t n;

	if (st->out.bytes < length)
		refill(st);
	n = MIN(length, st->out.bytes);
	if (n == st->out.bytes && rpc_call_done(st->call, &e)) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (send_trailers(st, e))
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	} else if (!n) {
		st->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)n;
}

static void on_message_sent(void *arg, size_t bytes)
{
	struct grpc_stream_state *st = arg;

	rpc_call_sent(st->call, bytes);
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
	size_t length, nghttp2_data_source *source, void *user_data)
{
	struct grpc_conn *c = user_data;
	struct grpc_stream_state *st = source->ptr;

	return h2_out_frame(c->server->scratch, &st->out, head, length, on_message_sent, st);
}

static void start_answer(struct grpc_stream_state *st)
{
	nghttp2_nv list[ALL_HEADERS];
	nghttp2_data_provider body = {.source.ptr = st, .read_callback = on_read_body};
	size_t n = 0;

	list[n++] = nv(":status", "200");
	list[n++] = nv("content-type", "application/grpc");
	n += add_headers(list + n, st->call);
	st->responded = true;
	nghttp2_submit_response(st->conn->h2.session, st->id, list, n, &body);
}

/* --- ops for the call --- */

static void give_back(struct grpc_stream_state *st)
{
	if (!st->withheld || rpc_call_in_full(st->call))
		return;
	nghttp2_session_consume_stream(st->conn->h2.session, st->id, st->withheld);
	st->withheld = 0;
}

static void session_pump(struct rpc_call *call)
{
	struct grpc_stream_state *st = call->stream;
	const struct err *e;

	give_back(st);
	if (!st->responded) {
		refill(st);
		if (st->out.bytes)
			start_answer(st);
		else if (rpc_call_done(call, &e))
			answer_only(st, "200", e);
	} else if (st->deferred) {
		st->deferred = false;
		nghttp2_session_resume_data(st->conn->h2.session, st->id);
	}
	grpc_conn_want_flush(st->conn);
}

static void session_flush(struct rpc_server *base)
{
	struct grpc_server *s = to_grpc_server(base);

	while (!list_empty(&s->to_flush))
		grpc_conn_flush(list_first(&s->to_flush, struct grpc_conn, flush_node));
}

static void session_released(struct rpc_call *call)
{
	grpc_conn_released(call->conn);
}

static struct err *session_oversize(size_t len, size_t max)
{
	return err_new(ERR_EXHAUSTED, "grpc: trying to send message larger than max (%zu vs. %zu)",
		len, max);
}

const struct rpc_server_ops grpc_session_ops = {
	.pump = session_pump,
	.flush = session_flush,
	.released = session_released,
	.oversize = session_oversize,
};

/* --- floods --- */

static void calm_down(struct grpc_conn *c)
{
	if (c->going_away)
		return;
	c->going_away = true;
	nghttp2_session_terminate_session(c->h2.session, NGHTTP2_ENHANCE_YOUR_CALM);
	grpc_conn_linger(c);
}

static void pay(struct grpc_conn *c, int64_t cost)
{
	if (c->budget < cost) {
		int64_t now = monotonic_ms();

		c->budget += (now - c->budget_ms) * BUDGET_PER_SECOND / 1000;
		c->budget = MIN(c->budget, (int64_t)BUDGET_MAX);
		c->budget_ms = now;
	}
	c->budget -= cost;
	if (c->budget < 0)
		calm_down(c);
}

/* --- requests --- */

static void stream_free(struct grpc_stream_state *st)
{
	list_remove(&st->node);
	st->conn->server->partial_bytes -= st->partial;
	st->call->stream = NULL;
	rpc_call_unref(st->call);
	h2_in_done(&st->in);
	h2_out_done(&st->out);
	err_free(st->refused);
	free(st);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct grpc_conn *c = user_data;
	struct grpc_stream_state *st;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	if (c->running >= c->server->options.max_streams) {
		/* Handlers of streams that were reset count too: resetting is no way to have more. */
		nghttp2_submit_rst_stream(
			session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
		return 0;
	}
	st = NEW(struct grpc_stream_state);
	st->conn = c;
	st->id = frame->hd.stream_id;
	h2_out_init(&st->out);
	st->call = rpc_call_new(&c->server->base, c, st);
	list_append(&c->streams, &st->node);
	nghttp2_session_set_stream_user_data(session, st->id, st);
	return 0;
}

static bool is(const uint8_t *name, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(name, text, len) == 0;
}

static void refuse(struct grpc_stream_state *st, struct err *take_e)
{
	if (st->refused)
		err_free(take_e);
	else
		st->refused = take_e;
}

static void set_timeout(struct grpc_stream_state *st, const char *value, size_t len)
{
	int64_t ms;

	if (grpc_timeout_parse(value, len, &ms))
		rpc_call_set_timeout(st->call, ms);
	else
		refuse(st, err_new(ERR_INTERNAL, "malformed grpc-timeout: \"%.*s\"",
				   (int)MIN(len, (size_t)32), value));
}

static void take_header(struct grpc_stream_state *st, const uint8_t *name, size_t name_len,
	const char *value, size_t len)
{
	struct arena *a = rpc_arena(st->call);

	if (is(name, name_len, ":path")) {
		st->path = arena_strndup(a, value, len);
		st->path_len = len;
	} else if (is(name, name_len, ":method")) {
		st->method = arena_strndup(a, value, len);
	} else if (is(name, name_len, "content-type")) {
		st->content_type = arena_strndup(a, value, len);
	} else if (is(name, name_len, "grpc-encoding")) {
		st->encoding = arena_strndup(a, value, len);
	} else if (is(name, name_len, "grpc-timeout")) {
		set_timeout(st, value, len);
	} else if (name[0] != ':' && !is(name, name_len, "te")) {
		rpc_call_add_metadata(st->call, (const char *)name, name_len, value, len);
	}
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
	struct grpc_stream_state *st = find_stream(session, frame->hd.stream_id);

	if (!st || st->begun || st->refused)
		return 0;
	st->header_bytes += name_len + value_len + 32;
	if (st->header_bytes > H2_HEADER_LIST_MAX || ++st->n_headers > H2_HEADER_COUNT_MAX)
		refuse(st, err_new(ERR_EXHAUSTED,
				   "received header list larger than max (%u bytes, %u fields)",
				   H2_HEADER_LIST_MAX, H2_HEADER_COUNT_MAX));
	else
		take_header(st, name, name_len, (const char *)value, value_len);
	return 0;
}

static bool is_grpc(const char *content_type)
{
	static const char grpc[] = "application/grpc";
	const char *rest;

	if (!content_type || !str_starts(content_type, grpc))
		return false;
	rest = content_type + sizeof(grpc) - 1;
	return *rest == 0 || *rest == '+' || *rest == ';';
}

/* An HTTP status other than 200 when this is no gRPC request at all. */
static const char *check_http(struct grpc_stream_state *st)
{
	if (!is_grpc(st->content_type)) {
		refuse(st, err_new(ERR_INVALID, "invalid gRPC request content-type \"%s\"",
				   str_or(st->content_type, "")));
		return "415";
	}
	if (!str_eq(st->method, "POST")) {
		refuse(st,
			err_new(ERR_INTERNAL,
				"Received a HEADERS frame with :method \"%s\" which should be POST",
				str_or(st->method, "")));
		return "405";
	}
	return "200";
}

static void begin_call(struct grpc_stream_state *st)
{
	const char *status = "200";

	st->begun = true;
	if (!st->refused)
		status = check_http(st);
	if (!st->refused) {
		/* A streaming handler without a pool runs here, and may then look at these. */
		unsigned before = st->conn->server->base.running;

		st->refused = rpc_call_begin(st->call, str_or(st->path, ""), st->path_len);
		st->conn->running += st->conn->server->base.running - before;
	}
	if (!st->refused)
		return;
	/* The call did not start and ends here; its deadline has nothing to cancel. */
	answer_only(st, status, st->refused);
	rpc_call_fail(st->call, TAKE(st->refused));
}

/* Let the call know, counting a handler that starts by it. */
static void deliver(struct grpc_stream_state *st, struct rpc_msg *take_msg)
{
	struct rpc_server *base = &st->conn->server->base;
	unsigned before = base->running;

	rpc_call_deliver(st->call, take_msg);
	st->conn->running += base->running - before;
}

static void end_of_request(struct grpc_stream_state *st)
{
	struct rpc_server *base = &st->conn->server->base;
	unsigned before = base->running;

	if (h2_in_partial(&st->in)) {
		rpc_call_fail(st->call, err_new(ERR_INTERNAL, "unexpected EOF"));
		return;
	}
	rpc_call_half_close(st->call);
	st->conn->running += base->running - before;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct grpc_conn *c = user_data;
	struct grpc_stream_state *st =
		frame->hd.stream_id ? find_stream(session, frame->hd.stream_id) : NULL;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (st && !st->begun)
			begin_call(st);
		break;
	case NGHTTP2_DATA:
		if (!frame->hd.length)
			pay(c, COST_NOISE);
		break;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			pay(c, COST_SETTINGS);
		grpc_conn_handshaken(c);
		return 0;
	case NGHTTP2_PING:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			pay(c, COST_PING);
		else if (c->going_away)
			/* All that the peer sent before it knew of the shutdown is here. */
			nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
				nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR,
				NULL, 0);
		return 0;
	case NGHTTP2_RST_STREAM:
		pay(c, COST_RESET);
		return 0;
	case NGHTTP2_WINDOW_UPDATE:
		return 0;
	default:
		pay(c, COST_NOISE);
		return 0;
	}
	if (st && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		end_of_request(st);
	return 0;
}

/* Cut the bytes into messages and hand those to the call. */
static void take_data(struct grpc_stream_state *st, const uint8_t *data, size_t len)
{
	struct grpc_server *s = st->conn->server;
	struct rpc_msg *msg;

	while (len) {
		struct err *e = h2_in_feed(
			&st->in, &data, &len, s->options.max_recv, st->encoding, true, &msg);

		s->partial_bytes -= st->partial;
		st->partial = st->in.msg ? st->in.got : 0;
		s->partial_bytes += st->partial;
		if (!e && s->partial_bytes > PARTIAL_MAX)
			e = err_new(
				ERR_EXHAUSTED, "too many large messages at once, try again later");
		if (e) {
			h2_in_done(&st->in);
			st->discard = true;
			rpc_call_fail(st->call, e);
			return;
		}
		if (msg)
			deliver(st, msg);
	}
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
	size_t len, void *user_data)
{
	struct grpc_stream_state *st = find_stream(session, id);

	nghttp2_session_consume_connection(session, len);
	if (!st || st->trailers || st->discard) {
		nghttp2_session_consume_stream(session, id, len);
		return 0;
	}
	take_data(st, data, len);
	/* Bytes of a message that is not whole yet are given back too, unless whole ones wait: else
	 * a message larger than the window would never arrive. */
	st->withheld += len;
	give_back(st);
	return 0;
}

static int on_stream_close(
	nghttp2_session *session, int32_t id, uint32_t error_code, void *user_data)
{
	struct grpc_stream_state *st = find_stream(session, id);

	if (!st)
		return 0;
	rpc_call_cancel(st->call, ERR_CANCELLED);
	nghttp2_session_set_stream_user_data(session, id, NULL);
	stream_free(st);
	return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct grpc_conn *c = user_data;
	uint8_t type = frame->hd.type;

	if (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA)
		c->budget = MIN(c->budget + GAIN_ANSWER, (int64_t)BUDGET_MAX);
	/* The answer is complete: what the peer would still send is for nobody. */
	if (type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
		nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
		nghttp2_submit_rst_stream(
			session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

/* --- the session --- */

void grpc_session_setup(struct grpc_server *s)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&s->callbacks) || nghttp2_option_new(&s->h2_options))
		abort();
	cb = s->callbacks;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_option_set_no_auto_window_update(s->h2_options, 1);
	nghttp2_option_set_no_closed_streams(s->h2_options, 1);
	/* Ours counts resets with all the rest and says what is wrong. */
	nghttp2_option_set_stream_reset_rate_limit(s->h2_options, 1u << 20, 1u << 20);
}

bool grpc_session_start(struct grpc_conn *c)
{
	struct grpc_server *s = c->server;
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, s->options.max_streams},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_LIST_MAX},
	};

	if (nghttp2_session_server_new2(&c->h2.session, s->callbacks, c, s->h2_options))
		abort();
	c->budget = BUDGET_MAX;
	c->budget_ms = monotonic_ms();
	return !nghttp2_submit_settings(
		       c->h2.session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) &&
	       !nghttp2_session_set_local_window_size(
		       c->h2.session, NGHTTP2_FLAG_NONE, 0, H2_CONN_WINDOW);
}

void grpc_session_cancel_all(struct grpc_conn *c)
{
	list_each(struct grpc_stream_state, st, &c->streams, node)
		rpc_call_cancel(st->call, ERR_CANCELLED);
}

void grpc_session_end(struct grpc_conn *c)
{
	list_each(struct grpc_stream_state, st, &c->streams, node)
	{
		rpc_call_cancel(st->call, ERR_CANCELLED);
		stream_free(st);
	}
}

void grpc_session_goaway(struct grpc_conn *c)
{
	if (c->going_away)
		return;
	c->going_away = true;
	nghttp2_submit_shutdown_notice(c->h2.session);
	nghttp2_submit_ping(c->h2.session, NGHTTP2_FLAG_NONE, NULL);
}
