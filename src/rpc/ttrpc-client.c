// SPDX-License-Identifier: Apache-2.0
/*
 * Requests are written by the thread that makes them, replies are read by the loop. What both touch
 * is guarded by the client's lock, which is never held across a callback. A call is answered by
 * whoever takes it out of `calls`, so it is answered once.
 */
#include "rpc/ttrpc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/ref.h"
#include "base/timestamp.h"
#include "proto/rpc-status.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "rpc/message.h"
#include "rpc/ttrpc-wire.h"

#define QUEUE_MAX ((size_t)32 << 20)
#define CALLS_MAX 65536
#define CONNECT_TIMEOUT_S 10
/* How often a thread that waits for the loop looks whether there still is one. */
#define LOOP_ENDED_MS 50
#define STREAM_ID_LAST (UINT32_MAX - 2)
#define CLOSED "ttrpc: closed"

/* A thread that waits for the answer of its call. */
struct waiter {
	struct lock lock;
	struct cond cond;
	int event_fd;  /* -1: the condition is enough */
	bool answered; /* guarded by lock, as the rest */
	struct err *error;
	uint8_t *body;
	size_t len;
};

struct ttrpc_pending {
	uint32_t id;
	int64_t due_ms;	     /* -1: none; a waiter keeps its own time */
	struct err *refused; /* set when the request was not sent */
	const ProtobufCMessageDescriptor *reply;
	ttrpc_reply_fn fn;
	void *arg;
	struct waiter *waiter; /* instead of fn */
};

struct ttrpc_client {
	struct ref ref; /* the owner's, and one for each post under way */
	struct loop *loop;
	/* loop thread only */
	struct ttrpc_reader in;
	struct loop_io *io;
	struct loop_timer *timer;
	void (*on_close)(void *arg);
	void *arg;

	struct lock lock; /* guards what follows */
	int fd;
	struct ttrpc_writer out;
	struct ttrpc_pending **calls; /* by id, owned */
	size_t n, cap;
	uint32_t next_id;
	bool closed, kicked, let_go;
	struct cond let_go_cond;
};

static void client_unref(struct ttrpc_client *c)
{
	if (!ref_put(&c->ref))
		return;
	assert(!c->n);
	free(c->calls);
	ttrpc_writer_done(&c->out);
	ttrpc_reader_done(&c->in);
	cond_done(&c->let_go_cond);
	lock_done(&c->lock);
	free(c);
}

/* --- the calls under way --- */

static void take_out(struct ttrpc_client *c, size_t i)
{
	memmove(c->calls + i, c->calls + i + 1, (c->n - i - 1) * sizeof(struct ttrpc_pending *));
	if (--c->n)
		return;
	free(c->calls);
	c->calls = NULL;
	c->cap = 0;
}

static struct ttrpc_pending *take_by_id(struct ttrpc_client *c, uint32_t id)
{
	size_t from = 0, to;

	LOCKED(&c->lock);
	for (to = c->n; from < to;) {
		size_t middle = from + (to - from) / 2;

		if (c->calls[middle]->id < id)
			from = middle + 1;
		else
			to = middle;
	}
	if (from == c->n || c->calls[from]->id != id)
		return NULL;
	struct ttrpc_pending *p = c->calls[from];

	take_out(c, from);
	return p;
}

/* One that is due at `now`, refused, or any once the connection is closed. */
static struct ttrpc_pending *take_due(struct ttrpc_client *c, int64_t now)
{
	LOCKED(&c->lock);
	for (size_t i = c->n; i-- > 0;) {
		struct ttrpc_pending *p = c->calls[i];

		if (c->closed || p->refused || (p->due_ms >= 0 && p->due_ms <= now)) {
			take_out(c, i);
			return p;
		}
	}
	return NULL;
}

static void wake_waiter(struct waiter *w, struct err *take_e, uint8_t *take_body, size_t len)
{
	uint64_t one = 1;

	LOCKED(&w->lock);
	w->error = take_e;
	w->body = take_body;
	w->len = len;
	w->answered = true;
	if (w->event_fd >= 0)
		(void)!write(w->event_fd, &one, sizeof(one));
	cond_signal(&w->cond);
}

static void fail_call(struct ttrpc_pending *take_p, struct err *take_e)
{
	if (take_p->waiter) {
		wake_waiter(take_p->waiter, take_e, NULL, 0);
	} else {
		take_p->fn(take_p->arg, take_e, NULL);
		err_free(take_e);
	}
	free(take_p);
}

static struct err *status_error(const Grpcstatus__Status *s)
{
	struct err *e =
		err_new(s->code > 0 && s->code <= ERR_UNAUTHENTICATED ? (enum err_class)s->code
								      : ERR_UNKNOWN,
			"%s", str_or(s->message, ""));

	if (s->n_details) {
		autoptr(arena) a = arena_new();
		size_t len;
		void *bytes = message_pack(s, a, &len);

		err_set_details(e, bytes, len);
	}
	return e;
}

static struct err *reply_open(const uint8_t *data, size_t len,
	const ProtobufCMessageDescriptor *type, struct arena *arena, void **ret)
{
	void *m = NULL;
	Ttrpc__Response *response;

	TRY(err_reclass(
		message_unpack(&ttrpc__response__descriptor, data, len, arena, &m), ERR_INTERNAL));
	response = m;
	if (response->status && response->status->code)
		return status_error(response->status);
	return err_reclass(
		message_unpack(type, response->payload.data, response->payload.len, arena, ret),
		ERR_INTERNAL);
}

static void answer_call(struct ttrpc_pending *take_p, const struct ttrpc_frame *f)
{
	autoptr(arena) arena = NULL;
	autoptr(err) e = NULL;
	void *reply = NULL;

	if (take_p->waiter) {
		wake_waiter(take_p->waiter, NULL, xmemdup(f->data, f->len), f->len);
	} else {
		arena = arena_new();
		e = reply_open(f->data, f->len, take_p->reply, arena, &reply);
		take_p->fn(take_p->arg, e, e ? NULL : reply);
	}
	free(take_p);
}

/* --- on the loop's thread --- */

static void answer_due(struct ttrpc_client *c)
{
	struct ttrpc_pending *p;

	while ((p = take_due(c, monotonic_ms()))) {
		struct err *e = TAKE(p->refused);

		if (!e)
			e = c->closed ? err_new(ERR_UNAVAILABLE, CLOSED)
				      : err_new(ERR_DEADLINE, "context deadline exceeded");
		fail_call(p, e);
	}
}

static void let_go(struct ttrpc_client *c)
{
	loop_io_remove(TAKE(c->io));
	loop_timer_free(TAKE(c->timer));
	lock_take(&c->lock);
	c->closed = true;
	if (c->fd >= 0)
		close(TAKE_FD(c->fd));
	lock_drop(&c->lock);
	answer_due(c);
}

static void connection_lost(struct ttrpc_client *c)
{
	void (*on_close)(void *) = NULL;

	if (c->closed)
		return;
	let_go(c);
	on_close = c->on_close;
	c->on_close = NULL;
	if (on_close)
		on_close(c->arg);
}

static bool on_frame(void *arg, const struct ttrpc_frame *f)
{
	struct ttrpc_client *c = arg;
	struct ttrpc_pending *p = take_by_id(c, f->stream);

	/* Nothing but the answer of a call that nobody waits for any more. */
	if (!p)
		return true;
	if (!f->data)
		fail_call(p,
			err_new(ERR_EXHAUSTED, TTRPC_OVERSIZE, (size_t)f->len, TTRPC_MESSAGE_MAX));
	else if (f->type != TTRPC_RESPONSE)
		fail_call(p, err_new(ERR_INTERNAL, "unexpected message of type %u: protocol error",
				     f->type));
	else
		answer_call(p, f);
	return !c->closed;
}

static void on_timer(void *arg);

/* What the loop must watch follows from the queue and from the earliest deadline. */
static void watch(struct ttrpc_client *c)
{
	int64_t due = -1;
	bool queued;

	lock_take(&c->lock);
	c->kicked = false;
	queued = c->out.queue.len > 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->calls[i]->due_ms >= 0 && (due < 0 || c->calls[i]->due_ms < due))
			due = c->calls[i]->due_ms;
	lock_drop(&c->lock);
	loop_io_set(c->io, LOOP_READ | (queued ? LOOP_WRITE : 0u));
	if (due >= 0 && !c->timer)
		c->timer = loop_timer_new(c->loop, on_timer, c);
	if (due >= 0)
		loop_timer_set(c->timer, due - monotonic_ms());
	else if (c->timer)
		loop_timer_free(TAKE(c->timer));
}

static void attend(struct ttrpc_client *c)
{
	bool broken;

	answer_due(c);
	lock_take(&c->lock);
	broken = !c->closed && !ttrpc_writer_flush(&c->out);
	lock_drop(&c->lock);
	if (broken)
		connection_lost(c);
	if (!c->closed)
		watch(c);
}

static void on_timer(void *arg)
{
	struct ttrpc_client *c = arg;

	ref_get(&c->ref);
	attend(c);
	client_unref(c);
}

static void on_io(void *arg, unsigned events)
{
	struct ttrpc_client *c = arg;

	ref_get(&c->ref);
	if ((events & (LOOP_READ | LOOP_HANGUP)) && !ttrpc_reader_run(&c->in, on_frame, c))
		connection_lost(c);
	if (!c->closed && (events & LOOP_WRITE))
		attend(c);
	client_unref(c);
}

static void attach(void *arg)
{
	struct ttrpc_client *c = arg;

	if (!c->closed) {
		autoptr(err) e = loop_add_io(c->loop, c->fd, LOOP_READ, on_io, c, &c->io);

		if (e)
			connection_lost(c);
	}
	client_unref(c);
}

static void on_kick(void *arg)
{
	struct ttrpc_client *c = arg;

	if (c->io)
		attend(c);
	else
		answer_due(c);
	client_unref(c);
}

/* With the lock held. */
static void kick(struct ttrpc_client *c)
{
	if (c->kicked)
		return;
	c->kicked = true;
	ref_get(&c->ref);
	loop_post(c->loop, on_kick, c);
}

/* --- making and freeing --- */

static struct err *connect_to(const char *address, bool may_block, int *ret)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = CONNECT_TIMEOUT_S};
	const char *path = str_starts(address, "unix://") ? address + 7 : address;
	bool abstract = path[0] != '/';
	size_t len = strlen(path);
	autofd fd = -1;

	if (len + (abstract ? 1 : 0) >= sizeof(sa.sun_path) || !len)
		return err_new(ERR_INVALID, "socket address %s: empty or too long", address);
	memcpy(sa.sun_path + (abstract ? 1 : 0), path, len);
	len += offsetof(struct sockaddr_un, sun_path) + 1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (may_block ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0)
		return err_sys(errno, "socket");
	/* A peer that accepts nothing makes connect(2) wait. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&sa, (socklen_t)len) < 0)
		return err_reclass(err_sys(errno, "connect to %s", address), ERR_UNAVAILABLE);
	if (may_block && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(errno, "connect to %s", address);
	*ret = TAKE_FD(fd);
	return NULL;
}

struct err *ttrpc_client_new(struct loop *loop, const char *address, void (*on_close)(void *arg),
	void *arg, struct ttrpc_client **ret)
{
	struct ttrpc_client *c;
	int fd = -1;

	TRY(connect_to(address, !loop_is_current(loop), &fd));
	c = NEW(struct ttrpc_client);
	ref_init(&c->ref);
	lock_init(&c->lock);
	cond_init(&c->let_go_cond);
	c->loop = loop;
	c->on_close = on_close;
	c->arg = arg;
	c->fd = fd;
	c->next_id = 1;
	ttrpc_reader_init(&c->in, fd);
	ttrpc_writer_init(&c->out, fd, QUEUE_MAX);
	ref_get(&c->ref);
	if (loop_is_current(loop))
		attach(c);
	else
		loop_post(loop, attach, c);
	*ret = c;
	return NULL;
}

static void close_now(struct ttrpc_client *c)
{
	c->on_close = NULL;
	let_go(c);
	LOCKED(&c->lock);
	c->let_go = true;
	cond_broadcast(&c->let_go_cond);
}

static void close_on_loop(void *arg)
{
	struct ttrpc_client *c = arg;

	close_now(c);
	client_unref(c);
}

/* False when the loop has ended before it came to it. */
static bool await_let_go(struct ttrpc_client *c)
{
	LOCKED(&c->lock);
	while (!c->let_go && loop_is_running(c->loop))
		cond_wait_until(&c->let_go_cond, &c->lock, monotonic_ms() + LOOP_ENDED_MS);
	return c->let_go;
}

void ttrpc_client_close(struct ttrpc_client *c)
{
	bool done;

	lock_take(&c->lock);
	done = c->let_go;
	lock_drop(&c->lock);
	if (done)
		return;
	if (loop_is_current(c->loop) || !loop_is_running(c->loop)) {
		close_now(c);
		return;
	}
	ref_get(&c->ref);
	loop_post(c->loop, close_on_loop, c);
	if (!await_let_go(c))
		close_now(c);
}

void ttrpc_client_free(struct ttrpc_client *c)
{
	if (!c)
		return;
	ttrpc_client_close(c);
	client_unref(c);
}

/* --- calls --- */

static void *request_pack(const char *ns, const char *service, const char *method,
	const void *message, int64_t timeout_ms, struct arena *arena, size_t *ret_len)
{
	Ttrpc__KeyValue pair = TTRPC__KEY_VALUE__INIT, *pairs[] = {&pair};
	Ttrpc__Request request = TTRPC__REQUEST__INIT;

	request.service = (char *)service;
	request.method = (char *)method;
	request.payload.data = message_pack(message, arena, &request.payload.len);
	request.timeout_nano = timeout_ms > 0 ? timeout_ms * 1000000 : 0;
	if (ns) {
		pair.key = (char *)"containerd-namespace-ttrpc";
		pair.value = (char *)ns;
		request.metadata = pairs;
		request.n_metadata = 1;
	}
	return message_pack(&request, arena, ret_len);
}

static struct err *send_request(
	struct ttrpc_client *c, struct ttrpc_pending *p, const void *data, size_t len)
{
	lock_assert_held(&c->lock);
	if (c->closed)
		return err_new(ERR_UNAVAILABLE, CLOSED);
	if (len > TTRPC_MESSAGE_MAX)
		return err_new(ERR_EXHAUSTED, TTRPC_OVERSIZE, len, TTRPC_MESSAGE_MAX);
	if (c->n >= CALLS_MAX || p->id >= STREAM_ID_LAST)
		return err_new(ERR_EXHAUSTED, "ttrpc: too many calls on one connection");
	if (ttrpc_writer_send(&c->out, p->id, TTRPC_REQUEST, data, len))
		return NULL;
	/* The loop finds it broken and answers. */
	if (c->out.broken)
		return NULL;
	return err_new(ERR_EXHAUSTED, "ttrpc: the peer does not read");
}

/* Hands the call over: it is answered even when it could not be sent. Returns its id. */
static uint32_t start_call(struct ttrpc_client *c, const char *ns, const char *service,
	const char *method, const void *message, int64_t timeout_ms, struct ttrpc_pending *take_p)
{
	autoptr(arena) arena = arena_new();
	size_t len;
	void *data = request_pack(ns, service, method, message, timeout_ms, arena, &len);
	uint32_t id;

	LOCKED(&c->lock);
	id = take_p->id = c->next_id;
	take_p->refused = send_request(c, take_p, data, len);
	if (c->next_id < STREAM_ID_LAST)
		c->next_id += 2;
	if (take_p->refused && take_p->waiter) {
		fail_call(take_p, TAKE(take_p->refused));
		return id;
	}
	GROW(c->calls, c->n, c->cap);
	c->calls[c->n++] = take_p;
	if (take_p->refused || c->out.broken || c->out.queue.len || take_p->due_ms >= 0)
		kick(c);
	return id;
}

void ttrpc_call_async(struct ttrpc_client *c, const char *ns, const char *service,
	const char *method, const void *request, const ProtobufCMessageDescriptor *reply,
	int64_t timeout_ms, ttrpc_reply_fn fn, void *arg)
{
	struct ttrpc_pending *p = NEW(struct ttrpc_pending);

	p->due_ms = timeout_ms > 0 ? monotonic_ms() + timeout_ms : -1;
	p->reply = reply;
	p->fn = fn;
	p->arg = arg;
	start_call(c, ns, service, method, request, timeout_ms, p);
}

/* Waits for the answer, the deadline or the cancellation; true when the answer is there. */
static bool waiter_wait(struct waiter *w, int64_t due_ms, struct cancel *cancel)
{
	struct pollfd fds[] = {
		{.fd = w->event_fd, .events = POLLIN}, {.fd = cancel_fd(cancel), .events = POLLIN}};
	bool in_time = true;

	while (w->event_fd >= 0) {
		int64_t left = due_ms < 0 ? -1 : MAX(due_ms - monotonic_ms(), (int64_t)0);
		int n = poll(fds, 2, (int)MIN(left, (int64_t)INT32_MAX));

		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0 || (n == 0 && due_ms >= 0 && monotonic_ms() >= due_ms))
			break;
	}
	LOCKED(&w->lock);
	while (w->event_fd < 0 && !w->answered && in_time)
		in_time = cond_wait_until(&w->cond, &w->lock, due_ms);
	return w->answered;
}

static struct err *waiter_result(
	struct waiter *w, const ProtobufCMessageDescriptor *reply, struct arena *arena, void **ret)
{
	autofree uint8_t *body = NULL;

	LOCKED(&w->lock);
	while (!w->answered)
		cond_wait(&w->cond, &w->lock);
	if (w->error)
		return TAKE(w->error);
	body = TAKE(w->body);
	return reply_open(body, w->len, reply, arena, ret);
}

/* True when the call was taken back, so that nobody answers it any more. */
static bool give_up(struct ttrpc_client *c, uint32_t id)
{
	struct ttrpc_pending *p = take_by_id(c, id);

	free(p);
	return p != NULL;
}

static void waiter_done(struct waiter *w)
{
	if (w->event_fd >= 0)
		close(w->event_fd);
	cond_done(&w->cond);
	lock_done(&w->lock);
}

struct err *ttrpc_call(struct ttrpc_client *c, const char *ns, const char *service,
	const char *method, const void *request, const ProtobufCMessageDescriptor *reply,
	int64_t timeout_ms, struct cancel *cancel, struct arena *arena, void **ret)
{
	struct waiter w = {.event_fd = cancel ? eventfd(0, EFD_CLOEXEC) : -1};
	int64_t due_ms = timeout_ms > 0 ? monotonic_ms() + timeout_ms : -1;
	struct ttrpc_pending *p = NEW(struct ttrpc_pending);
	struct err *e;
	uint32_t id;

	assert(!loop_is_current(c->loop));
	lock_init(&w.lock);
	cond_init(&w.cond);
	p->due_ms = -1;
	p->waiter = &w;
	id = start_call(c, ns, service, method, request, timeout_ms, p);
	if (waiter_wait(&w, due_ms, cancel) || !give_up(c, id))
		e = waiter_result(&w, reply, arena, ret);
	else if (!(e = cancel_check(cancel)))
		e = err_new(ERR_DEADLINE, "context deadline exceeded");
	waiter_done(&w);
	return e;
}
