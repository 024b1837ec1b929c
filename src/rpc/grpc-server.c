// SPDX-License-Identifier: Apache-2.0
#include "rpc/grpc-server-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/alloc.h"

#define ACCEPTS_PER_TURN 16
#define ACCEPT_RETRY_MS 100
/* After the grace: what handlers answer to their cancellation still goes out. */
#define FORCE_MS 500

struct grpc_server *to_grpc_server(struct rpc_server *s)
{
	return container_of(s, struct grpc_server, base);
}

struct rpc_server *grpc_server_new(
	struct loop *loop, struct pool *pool, const struct grpc_server_options *options)
{
	struct grpc_server *s = NEW(struct grpc_server);
	struct grpc_server_options *o = &s->options;

	if (options)
		*o = *options;
	o->max_recv = o->max_recv ? o->max_recv : GRPC_MESSAGE_MAX;
	o->max_send = o->max_send ? o->max_send : GRPC_MESSAGE_MAX;
	o->max_connections = o->max_connections ? o->max_connections : 1024;
	o->max_streams = o->max_streams ? o->max_streams : 1000;
	o->handshake_ms = o->handshake_ms ? o->handshake_ms : GRPC_HANDSHAKE_MS;
	rpc_server_init(&s->base, &grpc_session_ops, loop, pool, o->max_send);
	list_init(&s->listeners);
	list_init(&s->conns);
	list_init(&s->to_flush);
	s->scratch = h2_scratch_new();
	grpc_session_setup(s);
	return &s->base;
}

/* --- connections --- */

static void conn_free(struct grpc_conn *c)
{
	list_remove(&c->node);
	list_remove(&c->flush_node);
	loop_timer_free(c->timer);
	free(c);
}

static void check_drained(struct grpc_server *s);

static void conn_close(struct grpc_conn *c)
{
	struct grpc_server *s = c->server;

	if (c->closed)
		return;
	c->closed = true;
	grpc_session_end(c);
	h2_conn_close(&c->h2);
	list_remove(&c->flush_node);
	loop_timer_clear(c->timer);
	s->n_open--;
	if (!c->running)
		conn_free(c);
	check_drained(s);
}

void grpc_conn_released(struct grpc_conn *c)
{
	struct grpc_server *s = c->server;

	c->running--;
	if (c->closed && !c->running)
		conn_free(c);
	check_drained(s);
}

void grpc_conn_want_flush(struct grpc_conn *c)
{
	if (!c->closed && list_empty(&c->flush_node))
		list_append(&c->server->to_flush, &c->flush_node);
}

void grpc_conn_flush(struct grpc_conn *c)
{
	list_remove(&c->flush_node);
	if (!c->closed && !h2_conn_flush(&c->h2))
		conn_close(c);
}

void grpc_conn_handshaken(struct grpc_conn *c)
{
	if (c->handshaken)
		return;
	c->handshaken = true;
	loop_timer_clear(c->timer);
}

void grpc_conn_linger(struct grpc_conn *c)
{
	loop_timer_set(c->timer, GRPC_LINGER_MS);
	grpc_conn_want_flush(c);
}

/* Handshake or lingering took too long. */
static void on_conn_timer(void *arg)
{
	conn_close(arg);
}

static void on_conn(void *arg, unsigned events)
{
	struct grpc_conn *c = arg;
	bool ok = true;

	if (events & (LOOP_READ | LOOP_HANGUP)) {
		if (!c->h2.session && !grpc_session_start(c))
			ok = false;
		ok = ok && h2_conn_read(&c->h2);
	}
	if (ok)
		grpc_conn_flush(c);
	else
		conn_close(c);
}

static struct err *conn_new(struct grpc_server *s, int take_fd)
{
	struct grpc_conn *c = NEW(struct grpc_conn);
	struct err *e;

	c->server = s;
	c->h2 = (struct h2_conn){.loop = s->base.loop, .scratch = s->scratch, .fd = take_fd};
	list_init(&c->flush_node);
	list_init(&c->streams);
	e = loop_add_io(s->base.loop, take_fd, LOOP_READ, on_conn, c, &c->h2.io);
	if (e) {
		close(take_fd);
		free(c);
		return e;
	}
	c->timer = loop_timer_new(s->base.loop, on_conn_timer, c);
	loop_timer_set(c->timer, s->options.handshake_ms);
	list_append(&s->conns, &c->node);
	s->n_open++;
	return NULL;
}

/* --- listening --- */

static void accept_one(struct grpc_server *s, int fd)
{
	int one = 1;

	if (s->n_open >= s->options.max_connections) {
		close(fd);
		return;
	}
	/* Fails on anything but TCP, where it does not matter. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	err_free(conn_new(s, fd));
}

static void on_listener(void *arg, unsigned events)
{
	struct grpc_listener *l = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			accept_one(l->server, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			   errno == ENOBUFS) {
			/* The listener stays readable; look again later instead of spinning. */
			loop_io_set(l->io, 0);
			loop_timer_set(l->retry, ACCEPT_RETRY_MS);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

static void on_retry(void *arg)
{
	struct grpc_listener *l = arg;

	loop_io_set(l->io, LOOP_READ);
}

static void listener_free(struct grpc_listener *l)
{
	list_remove(&l->node);
	loop_io_remove(l->io);
	loop_timer_free(l->retry);
	close(l->fd);
	free(l);
}

static struct err *set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(errno, "make socket %d non-blocking", fd);
	return NULL;
}

struct err *grpc_server_listen(struct rpc_server *base, int take_fd)
{
	autofd fd = take_fd;
	struct grpc_server *s = to_grpc_server(base);
	struct grpc_listener *l;
	struct err *e;

	TRY(set_nonblocking(fd));
	l = NEW(struct grpc_listener);
	l->server = s;
	l->fd = fd;
	e = loop_add_io(base->loop, fd, LOOP_READ, on_listener, l, &l->io);
	if (e) {
		free(l);
		return e;
	}
	(void)TAKE_FD(fd);
	l->retry = loop_timer_new(base->loop, on_retry, l);
	list_append(&s->listeners, &l->node);
	return NULL;
}

struct err *grpc_server_attach(struct rpc_server *base, int take_fd)
{
	autofd fd = take_fd;

	TRY(set_nonblocking(fd));
	return conn_new(to_grpc_server(base), TAKE_FD(fd));
}

/* --- the end --- */

static void check_drained(struct grpc_server *s)
{
	if (!s->draining || !s->done || s->n_open || s->base.running)
		return;
	loop_timer_clear(s->grace);
	/* Later, for the callers of this function are still inside the server. */
	loop_post(s->base.loop, TAKE(s->done), s->done_arg);
}

static void on_grace(void *arg)
{
	struct grpc_server *s = arg;

	if (s->forced) {
		list_each(struct grpc_conn, c, &s->conns, node) conn_close(c);
		return;
	}
	s->forced = true;
	loop_timer_set(s->grace, FORCE_MS);
	list_each(struct grpc_conn, c, &s->conns, node)
	{
		if (!c->closed)
			grpc_session_cancel_all(c);
	}
}

static void drain(struct grpc_server *s)
{
	list_each(struct grpc_listener, l, &s->listeners, node) listener_free(l);
	list_each(struct grpc_conn, c, &s->conns, node)
	{
		if (c->closed)
			continue;
		if (!c->handshaken) {
			conn_close(c);
			continue;
		}
		grpc_session_goaway(c);
		grpc_conn_flush(c);
	}
	check_drained(s);
}

struct drain_request {
	struct grpc_server *server;
	int64_t grace_ms;
	void (*done)(void *arg);
	void *arg;
};

static void on_drain(void *arg)
{
	struct drain_request *r = arg;
	struct grpc_server *s = r->server;

	if (!s->draining) {
		s->draining = true;
		s->done = r->done;
		s->done_arg = r->arg;
		s->grace = loop_timer_new(s->base.loop, on_grace, s);
		loop_timer_set(s->grace, r->grace_ms);
		drain(s);
	}
	free(r);
}

void grpc_server_drain(
	struct rpc_server *base, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
	struct drain_request *r = NEW(struct drain_request);

	*r = (struct drain_request){to_grpc_server(base), grace_ms, done, arg};
	/* From any thread; and not from within a callback of a session. */
	loop_post(base->loop, on_drain, r);
}

void grpc_server_free(struct rpc_server *base)
{
	struct grpc_server *s;

	if (!base)
		return;
	s = to_grpc_server(base);
	list_each(struct grpc_listener, l, &s->listeners, node) listener_free(l);
	list_each(struct grpc_conn, c, &s->conns, node) conn_close(c);
	assert(list_empty(&s->conns));
	loop_timer_free(s->grace);
	nghttp2_session_callbacks_del(s->callbacks);
	nghttp2_option_del(s->h2_options);
	rpc_server_done(base);
	free(s->scratch);
	free(s);
}
