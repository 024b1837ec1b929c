// SPDX-License-Identifier: Apache-2.0
#include "rpc/call-internal.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/timestamp.h"
#include "rpc/message.h"

#define HEADERS_MAX 64

struct rpc_route {
	const struct rpc_method *method;
	void *impl;
};

/* --- messages --- */

struct rpc_msg *rpc_msg_new(size_t len)
{
	struct rpc_msg *m = xmalloc(sizeof(*m) + len);

	list_init(&m->node);
	m->len = len;
	return m;
}

struct rpc_msg *rpc_msg_pack(const void *message)
{
	struct rpc_msg *m = rpc_msg_new(message_size(message));

	protobuf_c_message_pack(message, m->data);
	return m;
}

void rpc_msg_list_free(struct list *msgs)
{
	list_each(struct rpc_msg, m, msgs, node) rpc_msg_free(m);
	list_init(msgs);
}

/* --- the server --- */

void rpc_server_init(struct rpc_server *s, const struct rpc_server_ops *ops, struct loop *loop,
	struct pool *pool, size_t max_send)
{
	*s = (struct rpc_server){.ops = ops, .loop = loop, .pool = pool, .max_send = max_send};
	lock_init(&s->lock);
	list_init(&s->dirty);
}

void rpc_server_done(struct rpc_server *s)
{
	assert(!s->running && list_empty(&s->dirty) && !s->scheduled);
	map_done(&s->services, NULL);
	map_done(&s->routes, free);
	lock_done(&s->lock);
}

void rpc_server_add(struct rpc_server *s, const struct rpc_service *service, void *impl)
{
	map_set(&s->services, service->name, (void *)(uintptr_t)service);
	for (size_t i = 0; i < service->n_methods; i++) {
		struct rpc_route *r = NEW(struct rpc_route);
		autofree char *path = xasprintf("%s/%s", service->name, service->methods[i].name);

		r->method = &service->methods[i];
		r->impl = impl;
		free(map_set(&s->routes, path, r));
	}
}

void rpc_server_set_check(struct rpc_server *s, rpc_check_fn check, void *arg)
{
	s->check = check;
	s->check_arg = arg;
}

/* --- from the handler's side to the loop --- */

static void run_dirty(void *arg);

static void mark(struct rpc_call *call, bool release)
{
	struct rpc_server *s = call->server;

	/* Posting under the lock: the server may be freed as soon as the loop has seen the last call. */
	lock_take(&s->lock);
	call->released |= release;
	if (!call->dirty) {
		call->dirty = true;
		ref_get(&call->ref);
		list_append(&s->dirty, &call->dirty_node);
		s->n_dirty++;
	}
	if (!s->scheduled) {
		s->scheduled = true;
		loop_post(s->loop, run_dirty, s);
	}
	lock_drop(&s->lock);
}

static struct rpc_call *next_dirty(struct rpc_server *s, bool *ret_released)
{
	struct rpc_call *call;

	LOCKED(&s->lock);
	if (list_empty(&s->dirty))
		return NULL;
	call = list_first(&s->dirty, struct rpc_call, dirty_node);
	list_remove(&call->dirty_node);
	s->n_dirty--;
	call->dirty = false;
	*ret_released = call->released;
	call->released = false;
	return call;
}

static void tell_cancelled(struct rpc_call *call);

static void clean(struct rpc_call *call, bool released)
{
	struct rpc_server *s = call->server;

	tell_cancelled(call);
	if (call->stream)
		s->ops->pump(call);
	if (released) {
		loop_timer_free(TAKE(call->timer));
		s->running--;
		s->ops->released(call);
		rpc_call_unref(call);
	}
	rpc_call_unref(call);
}

static void run_dirty(void *arg)
{
	struct rpc_server *s = arg;
	struct rpc_call *call;
	unsigned n;
	bool released;

	lock_take(&s->lock);
	s->scheduled = false;
	n = s->n_dirty;
	lock_drop(&s->lock);
	/* What becomes dirty meanwhile has posted anew, so sockets get their turn. */
	for (; n && (call = next_dirty(s, &released)); n--)
		clean(call, released);
	s->ops->flush(s);
}

/* --- life of a call --- */

struct rpc_call *rpc_call_new(struct rpc_server *s, void *conn, void *stream)
{
	struct rpc_call *call = NEW(struct rpc_call);

	ref_init(&call->ref);
	call->server = s;
	call->conn = conn;
	call->stream = stream;
	call->arena = arena_new();
	call->cancel = cancel_new();
	call->deadline_ms = -1;
	lock_init(&call->lock);
	cond_init(&call->cond);
	list_init(&call->in);
	list_init(&call->out);
	list_init(&call->dirty_node);
	return call;
}

void rpc_call_unref(struct rpc_call *call)
{
	if (!call || !ref_put(&call->ref))
		return;
	loop_timer_free(call->timer);
	rpc_msg_list_free(&call->in);
	rpc_msg_list_free(&call->out);
	err_free(call->status);
	cancel_unref(call->cancel);
	arena_free(call->transient);
	arena_free(call->arena);
	lock_done(&call->lock);
	cond_done(&call->cond);
	free(call);
}

static void pairs_add(struct rpc_pairs *p, struct arena *arena, const char *key, const char *value)
{
	if (p->n == p->cap) {
		struct rpc_pair *items;

		p->cap = p->cap ? p->cap * 2 : 8;
		items = arena_array(arena, p->cap, sizeof(*items));
		if (p->n)
			memcpy(items, p->items, p->n * sizeof(*items));
		p->items = items;
	}
	p->items[p->n++] = (struct rpc_pair){key, value};
}

void rpc_call_add_metadata(
	struct rpc_call *call, const char *key, size_t key_len, const char *value, size_t value_len)
{
	static const char ns_ttrpc[] = "containerd-namespace-ttrpc";

	if (key_len == sizeof(ns_ttrpc) - 1 && memcmp(key, ns_ttrpc, key_len) == 0)
		key_len -= strlen("-ttrpc");
	pairs_add(&call->metadata, call->arena, arena_strndup(call->arena, key, key_len),
		arena_strndup(call->arena, value, value_len));
}

static void on_deadline(void *arg)
{
	struct rpc_call *call = arg;

	rpc_call_cancel(call, ERR_DEADLINE);
}

void rpc_call_set_timeout(struct rpc_call *call, int64_t timeout_ms)
{
	if (!call->timer)
		call->timer = loop_timer_new(call->server->loop, on_deadline, call);
	call->deadline_ms = monotonic_ms() + timeout_ms;
	loop_timer_set(call->timer, timeout_ms);
}

const struct rpc_method *rpc_call_method(const struct rpc_call *call)
{
	return call->route ? call->route->method : NULL;
}

static struct err *no_route(const struct rpc_server *s, const char *path)
{
	const char *slash = strrchr(path + 1, '/');
	autofree char *service = NULL;

	if (path[0] != '/' || !slash)
		return err_new(ERR_UNIMPLEMENTED, "malformed method name: \"%s\"", path);
	service = xstrndup(path + 1, (size_t)(slash - path - 1));
	if (!map_get(&s->services, service))
		return err_new(ERR_UNIMPLEMENTED, "unknown service %s", service);
	return err_new(ERR_UNIMPLEMENTED, "unknown method %s for service %s", slash + 1, service);
}

/* Hand the call to its lane; the handler's side gets a reference of its own. */
static void start(struct rpc_call *call);

struct err *rpc_call_begin(struct rpc_call *call, const char *path, size_t len)
{
	call->path = arena_strndup(call->arena, path, len);
	if (len > 1 && path[0] == '/')
		call->route = map_get(&call->server->routes, call->path + 1);
	if (!call->route)
		return len ? no_route(call->server, call->path)
			   : err_new(ERR_UNIMPLEMENTED, "malformed method name: \"\"");
	switch (call->route->method->kind) {
	case RPC_CLIENT_STREAM:
	case RPC_BIDI:
		start(call);
		break;
	case RPC_UNARY:
	case RPC_SERVER_STREAM:
		break;
	}
	return NULL;
}

/* --- the handler's thread --- */

/* A handler that was cancelled by the deadline may not know why it was. */
static struct err *true_reason(struct rpc_call *call, struct err *take_e)
{
	autoptr(err) why = cancel_check(call->cancel);

	if (!err_is(take_e, ERR_CANCELLED) || !err_is(why, ERR_DEADLINE))
		return take_e;
	err_free(take_e);
	return TAKE(why);
}

/* The last of handler and rpc_finish() lets go of the call. */
static void leave(struct rpc_call *call, struct err *take_e, bool by_finish)
{
	bool release;

	take_e = true_reason(call, take_e);
	lock_take(&call->lock);
	if (by_finish) {
		/* After this returns, what on_cancel works on may be freed. */
		call->on_cancel = NULL;
		while (call->in_cancel && !pthread_equal(call->canceller, pthread_self()))
			cond_wait(&call->cond, &call->lock);
		call->parked = false;
	} else {
		call->in_handler = false;
	}
	if ((by_finish || !call->parked) && !call->finished) {
		call->finished = true;
		call->status = TAKE(take_e);
	}
	release = !call->in_handler && !call->parked;
	/* Under the lock: unless `release`, the other side may let go of the call right after it. */
	mark(call, release);
	lock_drop(&call->lock);
	err_free(take_e);
}

static struct rpc_msg *pop(struct rpc_call *call, bool *ret_wake)
{
	struct rpc_msg *m;

	if (list_empty(&call->in))
		return NULL;
	m = list_first(&call->in, struct rpc_msg, node);
	list_remove(&m->node);
	call->in_bytes -= m->len;
	call->in_n--;
	*ret_wake = call->in_withheld && call->in_bytes < RPC_QUEUE_BYTES / 2 &&
		    call->in_n < RPC_QUEUE_MESSAGES / 2;
	if (*ret_wake)
		call->in_withheld = false;
	return m;
}

static struct err *unpack_request(struct rpc_call *call)
{
	autoptr(rpc_msg) m = NULL;
	void *request;
	bool wake = false;

	lock_take(&call->lock);
	m = pop(call, &wake);
	lock_drop(&call->lock);
	if (!m)
		return err_new(ERR_INTERNAL, "call of %s without a request", call->path);
	TRY(message_unpack(call->route->method->request, m->data, m->len, call->arena, &request));
	call->request = request;
	return NULL;
}

static struct err *run_handler(struct rpc_call *call)
{
	const struct rpc_method *m = call->route->method;
	struct rpc_server *s = call->server;

	TRY(cancel_check(call->cancel));
	if (m->kind == RPC_UNARY || m->kind == RPC_SERVER_STREAM)
		TRY(unpack_request(call));
	if (s->check)
		TRY(s->check(call, s->check_arg));
	TRY(m->handle(call, call->route->impl));
	if (m->kind == RPC_UNARY || m->kind == RPC_CLIENT_STREAM) {
		LOCKED(&call->lock);
		if (!call->replied && !call->parked && !call->finished)
			return err_new(ERR_INTERNAL, "%s ended without a reply", call->path);
	}
	return NULL;
}

static void run(void *arg)
{
	struct rpc_call *call = arg;

	leave(call, run_handler(call), false);
}

static void start(struct rpc_call *call)
{
	struct rpc_server *s = call->server;
	struct err *e;

	lock_take(&call->lock);
	call->started = call->in_handler = true;
	lock_drop(&call->lock);
	ref_get(&call->ref);
	s->running++;
	if (!s->pool) {
		run(call);
		return;
	}
	e = pool_submit(s->pool, call->route->method->lane, run, call);
	if (e)
		leave(call, e, false);
}

/* --- what the transport brings --- */

void rpc_call_deliver(struct rpc_call *call, struct rpc_msg *take_msg)
{
	bool first, drop;

	lock_take(&call->lock);
	first = !call->started;
	/* The second message of a call that has one request is nobody's. */
	drop = call->finished || (!first && call->route->method->kind != RPC_BIDI &&
					 call->route->method->kind != RPC_CLIENT_STREAM);
	if (!drop) {
		call->in_bytes += take_msg->len;
		call->in_n++;
		list_append(&call->in, &take_msg->node);
		cond_broadcast(&call->cond);
	}
	lock_drop(&call->lock);
	if (drop)
		rpc_msg_free(take_msg);
	else if (first)
		start(call);
}

void rpc_call_half_close(struct rpc_call *call)
{
	bool first;

	lock_take(&call->lock);
	first = !call->started && !call->finished;
	call->half_closed = true;
	cond_broadcast(&call->cond);
	lock_drop(&call->lock);
	if (first)
		start(call);
}

/* Call on_cancel when it is due. */
static void tell_cancelled(struct rpc_call *call)
{
	void (*fn)(struct rpc_call *, void *);

	lock_take(&call->lock);
	fn = call->cancelled ? TAKE(call->on_cancel) : NULL;
	if (!fn) {
		lock_drop(&call->lock);
		return;
	}
	call->in_cancel = true;
	call->canceller = pthread_self();
	lock_drop(&call->lock);
	fn(call, call->on_cancel_arg);
	lock_take(&call->lock);
	call->in_cancel = false;
	cond_broadcast(&call->cond);
	lock_drop(&call->lock);
}

void rpc_call_cancel(struct rpc_call *call, enum err_class why)
{
	bool orphan;

	ref_get(&call->ref);
	/* First the reason, then the flag: who sees the flag finds the reason. */
	cancel_fire(call->cancel, why);
	lock_take(&call->lock);
	call->cancelled = true;
	orphan = !call->started && !call->finished;
	if (orphan) {
		call->finished = true;
		call->status = cancel_check(call->cancel);
	}
	cond_broadcast(&call->cond);
	lock_drop(&call->lock);
	tell_cancelled(call);
	if (orphan)
		mark(call, false);
	rpc_call_unref(call);
}

void rpc_call_fail(struct rpc_call *call, struct err *take_e)
{
	lock_take(&call->lock);
	if (!call->finished) {
		call->finished = true;
		call->status = TAKE(take_e);
	}
	lock_drop(&call->lock);
	err_free(take_e);
	rpc_call_cancel(call, ERR_CANCELLED);
	mark(call, false);
}

bool rpc_call_in_full(struct rpc_call *call)
{
	LOCKED(&call->lock);
	call->in_withheld = !call->finished &&
			    (call->in_bytes >= RPC_QUEUE_BYTES || call->in_n >= RPC_QUEUE_MESSAGES);
	return call->in_withheld;
}

void rpc_call_take_out(struct rpc_call *call, struct list *to)
{
	LOCKED(&call->lock);
	while (!list_empty(&call->out)) {
		struct list *node = call->out.next;

		list_remove(node);
		list_append(to, node);
	}
}

void rpc_call_sent(struct rpc_call *call, size_t bytes)
{
	LOCKED(&call->lock);
	call->out_bytes -= bytes;
	call->out_n--;
	/* Woken at half the limit, a writer has something to do. */
	if (call->out_bytes <= RPC_QUEUE_BYTES / 2)
		cond_broadcast(&call->cond);
}

bool rpc_call_done(struct rpc_call *call, const struct err **ret)
{
	LOCKED(&call->lock);
	if (!call->finished || !list_empty(&call->out))
		return false;
	*ret = call->status;
	return true;
}

const struct rpc_pairs *rpc_call_headers(struct rpc_call *call)
{
	LOCKED(&call->lock);
	call->replied = true;
	return &call->headers;
}

/* --- for handlers --- */

const void *rpc_request(const struct rpc_call *call)
{
	return call->request;
}

/* Why nobody waits for the answer; with the lock held. */
static struct err *why_cancelled(struct rpc_call *call)
{
	struct err *e = cancel_check(call->cancel);

	return e || !call->finished ? e : err_new(ERR_CANCELLED, "the call has ended");
}

static struct err *wait_in(struct rpc_call *call, struct rpc_msg **ret)
{
	bool wake = false;

	lock_take(&call->lock);
	while (list_empty(&call->in) && !call->half_closed && !call->cancelled && !call->finished &&
		!loop_is_current(call->server->loop))
		cond_wait(&call->cond, &call->lock);
	if (call->cancelled || call->finished) {
		struct err *e = why_cancelled(call);

		lock_drop(&call->lock);
		return e;
	}
	*ret = pop(call, &wake);
	lock_drop(&call->lock);
	if (wake)
		mark(call, false);
	return NULL;
}

static struct err *recv_into(struct rpc_call *call, struct arena *arena, void **ret)
{
	autoptr(rpc_msg) m = NULL;

	TRY(wait_in(call, &m));
	if (m)
		return message_unpack(call->route->method->request, m->data, m->len, arena, ret);
	*ret = NULL;
	return NULL;
}

struct err *rpc_recv(struct rpc_call *call, void **ret)
{
	return recv_into(call, call->arena, ret);
}

struct err *rpc_recv_transient(struct rpc_call *call, void **ret)
{
	arena_free(call->transient);
	call->transient = arena_new();
	return recv_into(call, call->transient, ret);
}

bool rpc_wait_recv(struct rpc_call *call, int64_t deadline_ms)
{
	LOCKED(&call->lock);
	while (list_empty(&call->in) && !call->half_closed && !call->cancelled && !call->finished)
		if (!cond_wait_until(&call->cond, &call->lock, deadline_ms))
			return false;
	return true;
}

void rpc_stop_recv(struct rpc_call *call)
{
	LOCKED(&call->lock);
	call->half_closed = true;
	cond_broadcast(&call->cond);
}

enum when_full { FULL_WAIT, FULL_REFUSE, FULL_IGNORE };

static bool out_full(const struct rpc_call *call)
{
	return call->out_bytes >= RPC_QUEUE_BYTES || call->out_n >= RPC_QUEUE_MESSAGES;
}

static struct err *queue_out(struct rpc_call *call, const void *message, enum when_full when)
{
	size_t size = message_size(message);
	autoptr(rpc_msg) m = NULL;

	if (size > call->server->max_send)
		return call->server->ops->oversize(size, call->server->max_send);
	m = rpc_msg_pack(message);
	lock_take(&call->lock);
	while (when == FULL_WAIT && out_full(call) && !call->cancelled && !call->finished)
		cond_wait(&call->cond, &call->lock);
	struct err *e = call->cancelled || call->finished ? why_cancelled(call) : NULL;

	if (!e && when == FULL_REFUSE && out_full(call))
		e = err_new(ERR_UNAVAILABLE, "the peer of %s does not read", call->path);
	if (!e) {
		call->replied = true;
		call->out_bytes += m->len;
		call->out_n++;
		list_append(&call->out, &TAKE(m)->node);
	}
	lock_drop(&call->lock);
	return e;
}

struct err *rpc_reply(struct rpc_call *call, const void *reply)
{
	/* rpc_finish() follows at once and wakes the loop. */
	return queue_out(call, reply, FULL_IGNORE);
}

struct err *rpc_send(struct rpc_call *call, const void *message)
{
	bool here = loop_is_current(call->server->loop);

	TRY(queue_out(call, message, here ? FULL_REFUSE : FULL_WAIT));
	mark(call, false);
	return NULL;
}

struct err *rpc_try_send(struct rpc_call *call, const void *message)
{
	TRY(queue_out(call, message, FULL_REFUSE));
	mark(call, false);
	return NULL;
}

struct arena *rpc_arena(struct rpc_call *call)
{
	return call->arena;
}

const char *rpc_metadata(const struct rpc_call *call, const char *key)
{
	for (size_t i = 0; i < call->metadata.n; i++) {
		if (strcmp(call->metadata.items[i].key, key) == 0)
			return call->metadata.items[i].value;
	}
	return NULL;
}

void rpc_set_header(struct rpc_call *call, const char *key, const char *value)
{
	LOCKED(&call->lock);
	if (call->replied || call->headers.n >= HEADERS_MAX)
		return;
	pairs_add(&call->headers, call->arena, arena_strdup(call->arena, key),
		arena_strdup(call->arena, value));
}

const char *rpc_namespace(const struct rpc_call *call)
{
	return rpc_metadata(call, "containerd-namespace");
}

const char *rpc_lease(const struct rpc_call *call)
{
	return rpc_metadata(call, "containerd-lease");
}

const char *rpc_path(const struct rpc_call *call)
{
	return call->path;
}

struct cancel *rpc_cancel(struct rpc_call *call)
{
	return call->cancel;
}

int64_t rpc_deadline_ms(const struct rpc_call *call)
{
	return call->deadline_ms;
}

void rpc_park(struct rpc_call *call, void (*on_cancel)(struct rpc_call *call, void *arg), void *arg)
{
	bool late;

	lock_take(&call->lock);
	assert(call->in_handler && !call->parked);
	call->parked = true;
	call->on_cancel = on_cancel;
	call->on_cancel_arg = arg;
	late = call->cancelled && on_cancel;
	lock_drop(&call->lock);
	if (late)
		mark(call, false);
}

void rpc_finish(struct rpc_call *call, struct err *take_e)
{
	leave(call, take_e, true);
}
