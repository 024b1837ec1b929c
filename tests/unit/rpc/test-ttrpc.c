// SPDX-License-Identifier: Apache-2.0
/* The client against the server, and raw frames against the server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "base/timestamp.h"
#include "proto/rpc-status.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "proto/ttrpc.pb-c.h"
#include "rpc/message.h"
#include "rpc/ttrpc.h"

#define SERVICE "containerd.task.v3.Task"
#define PATIENCE_MS 20000

struct fixture {
	struct loop *loop;
	struct pool *pool;
	struct rpc_server *server;
	pthread_t thread;
	char *address;
	struct lock lock;
	struct cond cond;
	struct rpc_call *parked; /* guarded by lock */
	unsigned cancels, closes, answers;
	enum err_class last;
};

/* --- the service --- */

static struct err *do_state(struct rpc_call *call, void *impl)
{
	const Shim3__StateRequest *r = rpc_request(call);
	Shim3__StateResponse reply = SHIM3__STATE_RESPONSE__INIT;

	(void)impl;
	reply.id = r->id;
	reply.bundle = (char *)str_or(rpc_namespace(call), "none");
	reply.stdin = (char *)(rpc_deadline_ms(call) >= 0 ? "deadline" : "");
	return rpc_reply(call, &reply);
}

static struct err *do_kill(struct rpc_call *call, void *impl)
{
	const Shim3__KillRequest *r = rpc_request(call);

	(void)impl;
	return err_new((enum err_class)r->signal, "%s", r->id);
}

static struct err *do_stats(struct rpc_call *call, void *impl)
{
	Shim3__StatsResponse reply = SHIM3__STATS_RESPONSE__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	const Shim3__StatsRequest *r = rpc_request(call);

	(void)impl;
	any.value.len = (size_t)strtoul(r->id, NULL, 10);
	any.value.data = arena_alloc(rpc_arena(call), any.value.len + 1);
	memset(any.value.data, 'x', any.value.len);
	reply.stats = &any;
	return rpc_reply(call, &reply);
}

static void on_cancel(struct rpc_call *call, void *arg)
{
	struct fixture *f = arg;

	lock_take(&f->lock);
	f->cancels++;
	f->parked = NULL;
	cond_broadcast(&f->cond);
	lock_drop(&f->lock);
	rpc_finish(call, cancel_check(rpc_cancel(call)));
}

static struct err *do_wait(struct rpc_call *call, void *impl)
{
	struct fixture *f = impl;

	rpc_park(call, on_cancel, f);
	LOCKED(&f->lock);
	f->parked = call;
	cond_broadcast(&f->cond);
	return NULL;
}

static const struct rpc_method methods[] = {
	{"State", RPC_UNARY, LANE_NORMAL, &shim3__state_request__descriptor,
		&shim3__state_response__descriptor, do_state},
	{"Kill", RPC_UNARY, LANE_NORMAL, &shim3__kill_request__descriptor,
		&google__protobuf__empty__descriptor, do_kill},
	{"Stats", RPC_UNARY, LANE_NORMAL, &shim3__stats_request__descriptor,
		&shim3__stats_response__descriptor, do_stats},
	{"Wait", RPC_UNARY, LANE_NORMAL, &shim3__wait_request__descriptor,
		&shim3__wait_response__descriptor, do_wait},
};
static const struct rpc_service service = {SERVICE, methods, ARRAY_LEN(methods)};

/* --- fixture --- */

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static int listen_abstract(char **ret_address)
{
	static unsigned n;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_address = xasprintf("ctd-test-ttrpc-%d-%u", getpid(), n++);
	memcpy(sa.sun_path + 1, *ret_address, strlen(*ret_address));
	assert_int_equal(0, bind(fd, (struct sockaddr *)&sa,
				    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
						strlen(*ret_address))));
	assert_int_equal(0, listen(fd, 64));
	return fd;
}

static struct fixture *fixture_new(bool inline_handlers)
{
	static const struct pool_limits limits = {{2, 4, 2}, {64, 64, 64}};
	struct ttrpc_server_options options = {.max_calls = 8, .same_user = true};
	struct fixture *f = NEW(struct fixture);
	int fd = listen_abstract(&f->address);

	lock_init(&f->lock);
	cond_init(&f->cond);
	assert_null(loop_new(&f->loop));
	f->pool = inline_handlers ? NULL : pool_new("test", &limits);
	f->server = ttrpc_server_new(f->loop, f->pool, &options);
	rpc_server_add(f->server, &service, f);
	assert_null(ttrpc_server_listen(f->server, fd));
	assert_int_equal(0, pthread_create(&f->thread, NULL, run_loop, f->loop));
	return f;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void drain(void *arg)
{
	struct fixture *f = arg;

	ttrpc_server_drain(f->server, 0, stop, f->loop);
}

static void fixture_free(struct fixture *f)
{
	loop_post(f->loop, drain, f);
	pthread_join(f->thread, NULL);
	ttrpc_server_free(f->server);
	pool_free(f->pool);
	loop_free(f->loop);
	lock_done(&f->lock);
	cond_done(&f->cond);
	free(f->address);
	free(f);
}

static int setup_pool(void **state)
{
	*state = fixture_new(false);
	return 0;
}

static int setup_inline(void **state)
{
	*state = fixture_new(true);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static void wait_until(struct fixture *f, unsigned *counter, unsigned n)
{
	int64_t deadline = monotonic_ms() + PATIENCE_MS;

	LOCKED(&f->lock);
	while (*counter < n)
		assert_true(cond_wait_until(&f->cond, &f->lock, deadline));
}

static struct rpc_call *wait_parked(struct fixture *f)
{
	int64_t deadline = monotonic_ms() + PATIENCE_MS;

	LOCKED(&f->lock);
	while (!f->parked)
		assert_true(cond_wait_until(&f->cond, &f->lock, deadline));
	return TAKE(f->parked);
}

static void on_close(void *arg)
{
	struct fixture *f = arg;

	LOCKED(&f->lock);
	f->closes++;
	cond_broadcast(&f->cond);
}

static struct ttrpc_client *client(struct fixture *f)
{
	struct ttrpc_client *c = NULL;

	assert_null(ttrpc_client_new(f->loop, f->address, on_close, f, &c));
	return c;
}

static void assert_err(struct err *take_e, enum err_class class, const char *message)
{
	assert_non_null(take_e);
	assert_string_equal(message, err_message(take_e));
	assert_int_equal(class, err_class(take_e));
	err_free(take_e);
}

/* --- client against server --- */

static struct err *call_state(struct ttrpc_client *c, const char *id, int64_t timeout_ms,
	struct arena *arena, Shim3__StateResponse **ret)
{
	Shim3__StateRequest r = SHIM3__STATE_REQUEST__INIT;
	void *m = NULL;
	struct err *e;

	r.id = (char *)id;
	e = ttrpc_call(c, "ns1", SERVICE, "State", &r, &shim3__state_response__descriptor,
		timeout_ms, NULL, arena, &m);
	*ret = m;
	return e;
}

static void answers_with_metadata_and_deadline(void **state)
{
	autoptr(ttrpc_client) c = client(*state);
	autoptr(arena) arena = arena_new();
	Shim3__StateResponse *r = NULL;

	for (int i = 0; i < 200; i++) {
		assert_null(call_state(c, "web", i % 2 ? 10000 : 0, arena, &r));
		assert_string_equal("web", r->id);
		assert_string_equal("ns1", r->bundle);
		assert_string_equal(i % 2 ? "deadline" : "", r->stdin);
	}
}

static struct err *call_kill(struct ttrpc_client *c, const char *text, unsigned class)
{
	autoptr(arena) arena = arena_new();
	Shim3__KillRequest r = SHIM3__KILL_REQUEST__INIT;
	void *m;

	r.id = (char *)text;
	r.signal = class;
	return ttrpc_call(c, NULL, SERVICE, "Kill", &r, &google__protobuf__empty__descriptor, 0,
		NULL, arena, &m);
}

static void errors_arrive_whole(void **state)
{
	autoptr(ttrpc_client) c = client(*state);
	autofree char *long_text = xcalloc(1, 200001);

	for (unsigned class = ERR_CANCELLED; class <= ERR_UNAUTHENTICATED; class ++)
		assert_err(call_kill(c, "task x: not found", class), (enum err_class) class,
			"task x: not found");
	assert_err(call_kill(c, "", ERR_INVALID), ERR_INVALID, "");
	memset(long_text, 'e', 200000);
	assert_err(call_kill(c, long_text, ERR_NOT_FOUND), ERR_NOT_FOUND, long_text);
}

static void unknown_names_are_unimplemented(void **state)
{
	autoptr(ttrpc_client) c = client(*state);
	autoptr(arena) arena = arena_new();
	Shim3__StateRequest r = SHIM3__STATE_REQUEST__INIT;
	const ProtobufCMessageDescriptor *d = &shim3__state_response__descriptor;
	void *m;

	assert_err(ttrpc_call(c, NULL, SERVICE, "Nope", &r, d, 0, NULL, arena, &m),
		ERR_UNIMPLEMENTED, "method Nope");
	assert_err(ttrpc_call(c, NULL, "a.B", "State", &r, d, 0, NULL, arena, &m),
		ERR_UNIMPLEMENTED, "service a.B");
	assert_err(ttrpc_call(c, NULL, "", "", &r, d, 0, NULL, arena, &m), ERR_UNIMPLEMENTED,
		"service ");
}

static struct err *call_stats(struct ttrpc_client *c, const char *size, size_t *ret)
{
	autoptr(arena) arena = arena_new();
	Shim3__StatsRequest r = SHIM3__STATS_REQUEST__INIT;
	void *m = NULL;

	r.id = (char *)size;
	TRY(ttrpc_call(c, NULL, SERVICE, "Stats", &r, &shim3__stats_response__descriptor, 0, NULL,
		arena, &m));
	*ret = ((Shim3__StatsResponse *)m)->stats->value.len;
	return NULL;
}

static void large_messages_and_their_limit(void **state)
{
	autoptr(ttrpc_client) c = client(*state);
	autofree char *big = xcalloc(1, TTRPC_MESSAGE_MAX + 1);
	autoptr(arena) arena = arena_new();
	Shim3__StateResponse *r = NULL;
	size_t n = 0;

	assert_null(call_stats(c, "4194000", &n));
	assert_int_equal(4194000, n);
	assert_err(call_stats(c, "4194304", &n), ERR_EXHAUSTED,
		"message length 4194314 exceed maximum message size of 4194298");
	memset(big, 'i', TTRPC_MESSAGE_MAX);
	struct err *e = call_state(c, big, 0, arena, &r);

	assert_true(err_is(e, ERR_EXHAUSTED));
	err_free(e);
	big[2000000] = '\0';
	assert_null(call_state(c, big, 0, arena, &r));
	assert_string_equal(big, r->id);
}

static void on_answer(void *arg, const struct err *e, const void *reply)
{
	struct fixture *f = arg;

	LOCKED(&f->lock);
	f->answers++;
	f->last = err_class(e);
	assert_true((e == NULL) == (reply != NULL));
	cond_broadcast(&f->cond);
}

static void start_wait(struct fixture *f, struct ttrpc_client *c, int64_t timeout_ms)
{
	Shim3__WaitRequest r = SHIM3__WAIT_REQUEST__INIT;

	ttrpc_call_async(c, "ns1", SERVICE, "Wait", &r, &shim3__wait_response__descriptor,
		timeout_ms, on_answer, f);
}

static void parked_calls_hold_nothing_up(void **state)
{
	struct fixture *f = *state;
	autoptr(ttrpc_client) c = client(f);
	autoptr(arena) arena = arena_new();
	Shim3__WaitResponse reply = SHIM3__WAIT_RESPONSE__INIT;
	Shim3__StateResponse *r = NULL;
	struct rpc_call *parked;

	start_wait(f, c, 0);
	parked = wait_parked(f);
	assert_null(call_state(c, "web", 0, arena, &r));
	reply.exit_status = 7;
	assert_null(rpc_reply(parked, &reply));
	rpc_finish(parked, NULL);
	wait_until(f, &f->answers, 1);
	assert_int_equal(ERR_OK, f->last);
}

static void a_deadline_ends_the_call_on_both_sides(void **state)
{
	struct fixture *f = *state;
	autoptr(ttrpc_client) c = client(f);

	start_wait(f, c, 30);
	wait_until(f, &f->answers, 1);
	wait_until(f, &f->cancels, 1);
	assert_int_equal(ERR_DEADLINE, f->last);
}

static void *fire_later(void *arg)
{
	cancel_fire(arg, ERR_CANCELLED);
	return NULL;
}

static void a_blocked_call_can_be_cancelled_or_time_out(void **state)
{
	struct fixture *f = *state;
	autoptr(ttrpc_client) c = client(f);
	autoptr(arena) arena = arena_new();
	autoptr(cancel) cancel = cancel_new();
	Shim3__WaitRequest r = SHIM3__WAIT_REQUEST__INIT;
	pthread_t thread;
	void *m;

	assert_err(ttrpc_call(c, NULL, SERVICE, "Wait", &r, &shim3__wait_response__descriptor, 20,
			   cancel, arena, &m),
		ERR_DEADLINE, "context deadline exceeded");
	assert_err(ttrpc_call(c, NULL, SERVICE, "Wait", &r, &shim3__wait_response__descriptor, 20,
			   NULL, arena, &m),
		ERR_DEADLINE, "context deadline exceeded");
	pthread_create(&thread, NULL, fire_later, cancel);
	struct err *e = ttrpc_call(c, NULL, SERVICE, "Wait", &r, &shim3__wait_response__descriptor,
		0, cancel, arena, &m);

	assert_true(err_is(e, ERR_CANCELLED));
	err_free(e);
	pthread_join(thread, NULL);
}

static void freeing_answers_and_cancels(void **state)
{
	struct fixture *f = *state;
	struct ttrpc_client *c = client(f);

	start_wait(f, c, 0);
	(void)wait_parked(f);
	ttrpc_client_free(c);
	assert_int_equal(1, f->answers);
	assert_int_equal(ERR_UNAVAILABLE, f->last);
	wait_until(f, &f->cancels, 1);
	assert_int_equal(0, f->closes);
}

static void close_server(void *arg)
{
	struct fixture *f = arg;

	ttrpc_server_drain(f->server, 0, NULL, NULL);
}

static void the_end_of_the_server_is_noticed(void **state)
{
	struct fixture *f = *state;
	autoptr(ttrpc_client) c = client(f);

	start_wait(f, c, 0);
	(void)wait_parked(f);
	loop_post(f->loop, close_server, f);
	wait_until(f, &f->closes, 1);
	assert_int_equal(1, f->answers);
	assert_err(call_kill(c, "x", ERR_ABORTED), ERR_UNAVAILABLE, "ttrpc: closed");
	start_wait(f, c, 0);
	wait_until(f, &f->answers, 2);
	assert_int_equal(ERR_UNAVAILABLE, f->last);
	assert_int_equal(1, f->closes);
}

static void connecting_to_nothing_fails(void **state)
{
	struct fixture *f = *state;
	autofree char *long_address = xcalloc(1, 200);
	struct ttrpc_client *c = NULL;
	struct err *e = ttrpc_client_new(f->loop, "unix:///nonexistent/s", NULL, NULL, &c);

	assert_err(
		e, ERR_UNAVAILABLE, "connect to unix:///nonexistent/s: No such file or directory");
	memset(long_address, 'a', 199);
	e = ttrpc_client_new(f->loop, long_address, NULL, NULL, &c);
	assert_true(err_is(e, ERR_INVALID));
	err_free(e);
}

/* --- raw frames --- */

static int raw(struct fixture *f)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	memcpy(sa.sun_path + 1, f->address, strlen(f->address));
	assert_int_equal(0, connect(fd, (struct sockaddr *)&sa,
				    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
						strlen(f->address))));
	return fd;
}

static void send_frame(
	int fd, uint32_t stream, uint8_t type, uint8_t flags, const void *data, uint32_t len)
{
	uint8_t h[10] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
		(uint8_t)len, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
		(uint8_t)(stream >> 8), (uint8_t)stream, type, flags};

	assert_int_equal(sizeof(h), send(fd, h, sizeof(h), MSG_NOSIGNAL));
	for (size_t done = 0; data && done < len;) {
		ssize_t n = send(fd, (const char *)data + done, len - done, MSG_NOSIGNAL);

		assert_true(n > 0);
		done += (size_t)n;
	}
}

static bool read_all(int fd, void *p, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = recv(fd, (char *)p + done, len - done, 0);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static void expect_status(int fd, uint32_t stream, enum err_class class, const char *message)
{
	autoptr(arena) arena = arena_new();
	uint8_t h[10], data[4096];
	Ttrpc__Response *r;
	uint32_t len;
	void *m = NULL;

	assert_true(read_all(fd, h, sizeof(h)));
	len = (uint32_t)h[2] << 8 | h[3];
	assert_true(h[0] == 0 && h[1] == 0 && len <= sizeof(data));
	assert_int_equal(
		stream, (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7]);
	assert_int_equal(2, h[8]);
	assert_true(read_all(fd, data, len));
	assert_null(message_unpack(&ttrpc__response__descriptor, data, len, arena, &m));
	r = m;
	assert_int_equal((int)class, r->status ? r->status->code : 0);
	if (message)
		assert_string_equal(message, r->status->message);
}

static void *pack_request(const char *method, const void *payload, size_t len, int64_t timeout_nano,
	struct arena *arena, size_t *ret_len)
{
	Ttrpc__Request r = TTRPC__REQUEST__INIT;

	r.service = (char *)SERVICE;
	r.method = (char *)method;
	r.payload.data = (uint8_t *)payload;
	r.payload.len = len;
	r.timeout_nano = timeout_nano;
	return message_pack(&r, arena, ret_len);
}

static void bad_frames_are_answered(void **state)
{
	autoptr(arena) arena = arena_new();
	autofree char *big = xcalloc(1, TTRPC_MESSAGE_MAX + 5);
	autofd fd = raw(*state);
	size_t len;
	void *state_request = pack_request("State", NULL, 0, 0, arena, &len);

	send_frame(fd, 2, 1, 0, state_request, (uint32_t)len);
	expect_status(fd, 2, ERR_INVALID, "StreamID must be odd for client initiated streams");
	send_frame(fd, 1, 3, 0, "x", 1);
	expect_status(fd, 1, ERR_INVALID, "StreamID is no longer active");
	send_frame(fd, 3, 1, 0, state_request, (uint32_t)len);
	expect_status(fd, 3, ERR_OK, NULL);
	send_frame(fd, 3, 1, 0, state_request, (uint32_t)len);
	expect_status(fd, 3, ERR_INVALID, "StreamID cannot be re-used and must increment");
	send_frame(fd, 5, 1, 0, "\xff\xff\xff", 3);
	expect_status(fd, 5, ERR_INVALID, NULL);
	send_frame(fd, 7, 1, 2, state_request, (uint32_t)len);
	expect_status(fd, 7, ERR_UNIMPLEMENTED, "method State");
	send_frame(fd, 9, 1, 0, big, TTRPC_MESSAGE_MAX + 5);
	expect_status(fd, 9, ERR_EXHAUSTED,
		"message length 4194309 exceed maximum message size of 4194304");
	state_request = pack_request("State", "\x0a\x02\xc3\x28", 4, 0, arena, &len);
	send_frame(fd, 11, 1, 0, state_request, (uint32_t)len);
	expect_status(fd, 11, ERR_INVALID, NULL);
	state_request = pack_request("State", NULL, 0, -1, arena, &len);
	send_frame(fd, 13, 1, 0, state_request, (uint32_t)len);
	expect_status(fd, 13, ERR_DEADLINE, "context deadline exceeded");
	state_request = pack_request("State", NULL, 0, INT64_MAX, arena, &len);
	send_frame(fd, 15, 1, 0, state_request, (uint32_t)len);
	expect_status(fd, 15, ERR_OK, NULL);
	/* An empty request, and a type of later versions, which gets no answer. */
	send_frame(fd, 17, 9, 0, "later", 5);
	send_frame(fd, 17, 1, 0, NULL, 0);
	expect_status(fd, 17, ERR_UNIMPLEMENTED, "service ");
}

static void a_frame_may_come_byte_by_byte(void **state)
{
	autoptr(arena) arena = arena_new();
	autofd fd = raw(*state);
	size_t len;
	uint8_t *request = pack_request("State", NULL, 0, 0, arena, &len);
	uint8_t h[10] = {[3] = (uint8_t)len, [7] = 1, [8] = 1};

	for (size_t i = 0; i < sizeof(h) + len; i++)
		assert_int_equal(1,
			send(fd, i < sizeof(h) ? &h[i] : &request[i - sizeof(h)], 1, MSG_NOSIGNAL));
	expect_status(fd, 1, ERR_OK, NULL);
}

static void what_is_no_ttrpc_is_closed(void **state)
{
	autofd fd = raw(*state);
	char c;

	assert_int_equal(18, send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL));
	assert_false(read_all(fd, &c, 1));
	assert_int_not_equal(EAGAIN, errno);
}

static void calls_on_a_connection_are_bounded(void **state)
{
	struct fixture *f = *state;
	autoptr(arena) arena = arena_new();
	autofd fd = raw(f);
	size_t len;
	void *request = pack_request("Wait", NULL, 0, 0, arena, &len);
	struct rpc_call *calls[8];

	for (uint32_t i = 0; i < 8; i++) {
		send_frame(fd, 2 * i + 1, 1, 0, request, (uint32_t)len);
		calls[i] = wait_parked(f);
	}
	send_frame(fd, 17, 1, 0, request, (uint32_t)len);
	expect_status(
		fd, 17, ERR_EXHAUSTED, "ttrpc: more than 8 calls under way on one connection");
	for (uint32_t i = 0; i < 8; i++) {
		rpc_finish(calls[i], err_new(ERR_ABORTED, "bye \xff"));
		expect_status(fd, 2 * i + 1, ERR_ABORTED, "bye ?");
	}
}

/* A peer that asks for much and reads nothing is paused, and nobody else notices. */
static void a_peer_that_does_not_read_is_paused(void **state)
{
	struct fixture *f = *state;
	autoptr(arena) arena = arena_new();
	autoptr(ttrpc_client) c = client(f);
	autofd fd = raw(f);
	Shim3__StatsRequest r = SHIM3__STATS_REQUEST__INIT;
	Shim3__StateResponse *s = NULL;
	size_t len, payload_len, sent = 0, read_bytes = 0;
	autofree char *sink = xmalloc(1 << 20);
	void *payload, *request;

	r.id = (char *)"1000000";
	payload = message_pack(&r, arena, &payload_len);
	request = pack_request("Stats", payload, payload_len, 0, arena, &len);
	for (uint32_t i = 0; i < 8; i++)
		send_frame(fd, 2 * i + 1, 1, 0, request, (uint32_t)len);
	for (int i = 0; i < 20; i++)
		assert_null(call_state(c, "web", 10000, arena, &s));
	sent = 8;
	while (read_bytes < sent * 1000000) {
		ssize_t n = recv(fd, sink, 1 << 20, 0);

		assert_true(n > 0);
		read_bytes += (size_t)n;
	}
}

#define BOTH(t)                                                                                    \
	cmocka_unit_test_setup_teardown(t, setup_pool, teardown),                                  \
		cmocka_unit_test_setup_teardown(t, setup_inline, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(answers_with_metadata_and_deadline),
		BOTH(errors_arrive_whole),
		BOTH(unknown_names_are_unimplemented),
		BOTH(large_messages_and_their_limit),
		BOTH(parked_calls_hold_nothing_up),
		BOTH(a_deadline_ends_the_call_on_both_sides),
		BOTH(a_blocked_call_can_be_cancelled_or_time_out),
		BOTH(freeing_answers_and_cancels),
		BOTH(the_end_of_the_server_is_noticed),
		BOTH(connecting_to_nothing_fails),
		BOTH(bad_frames_are_answered),
		BOTH(a_frame_may_come_byte_by_byte),
		BOTH(what_is_no_ttrpc_is_closed),
		BOTH(calls_on_a_connection_are_bounded),
		BOTH(a_peer_that_does_not_read_is_paused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
