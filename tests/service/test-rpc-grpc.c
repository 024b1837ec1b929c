// SPDX-License-Identifier: Apache-2.0
/* Our client against our server over a socket pair: statuses, streams, flow control, cancellation,
 * limits, the end of a connection and of the server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/timestamp.h"
#include "rpc-echo.h"
#include "rpc/grpc.h"
#include "rpc/message.h"

typedef Google__Protobuf__Any Any;
#define ANY &google__protobuf__any__descriptor

static struct err *check_lease(struct rpc_call *call, void *arg)
{
	if (rpc_lease(call) && strcmp(rpc_lease(call), "gone") == 0)
		return err_new(ERR_NOT_FOUND, "lease \"gone\": not found");
	return NULL;
}

struct fixture {
	struct loop *loop;
	struct pool *pool;
	struct rpc_server *server;
	struct grpc_client *client;
	pthread_t thread;
	struct lock lock;
	struct cond cond;
	bool drained;
	struct arena *arena;
};

static void *loop_thread(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void ok(struct err *e)
{
	if (e)
		fail_msg("%s: %s", err_class_name(err_class(e)), err_message(e));
}

/* The error's class and words; frees it. */
static void assert_err(struct err *take_e, enum err_class class, const char *message)
{
	autoptr(err) e = take_e;

	assert_non_null(e);
	assert_string_equal(err_class_name(err_class(e)), err_class_name(class));
	if (message)
		assert_string_equal(err_message(e), message);
}

struct attach {
	struct rpc_server *server;
	int fd;
};

static void on_attach(void *arg)
{
	struct attach *a = arg;

	ok(grpc_server_attach(a->server, a->fd));
	free(a);
}

static int connect_pair(struct fixture *f)
{
	struct attach *a = NEW(struct attach);
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*a = (struct attach){f->server, fds[0]};
	loop_post(f->loop, on_attach, a);
	return fds[1];
}

static int setup(void **state)
{
	const struct pool_limits limits = {.threads = {2, 4, 4}, .queue = {1000, 100000, 1000}};
	struct fixture *f = NEW(struct fixture);

	lock_init(&f->lock);
	cond_init(&f->cond);
	ok(loop_new(&f->loop));
	f->pool = pool_new("test", &limits);
	f->server = grpc_server_new(f->loop, f->pool, NULL);
	rpc_server_add(f->server, &rpc_echo_service, NULL);
	rpc_server_set_check(f->server, check_lease, NULL);
	ok(thread_start("loop", loop_thread, f->loop, &f->thread));
	ok(grpc_client_new_fd(connect_pair(f), NULL, &f->client));
	f->arena = arena_new();
	*state = f;
	return 0;
}

static void on_drained(void *arg)
{
	struct fixture *f = arg;

	LOCKED(&f->lock);
	f->drained = true;
	cond_broadcast(&f->cond);
}

static void wait_drained(struct fixture *f)
{
	int64_t deadline = monotonic_ms() + 10000;

	LOCKED(&f->lock);
	while (!f->drained)
		assert_true(cond_wait_until(&f->cond, &f->lock, deadline));
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	grpc_client_free(f->client);
	if (!f->drained)
		grpc_server_drain(f->server, 0, on_drained, f);
	wait_drained(f);
	loop_stop(f->loop);
	pthread_join(f->thread, NULL);
	grpc_server_free(f->server);
	pool_free(f->pool);
	loop_free(f->loop);
	arena_free(f->arena);
	lock_done(&f->lock);
	cond_done(&f->cond);
	free(f);
	return 0;
}

static Any any_of(const char *text, const void *data, size_t len)
{
	Any a = GOOGLE__PROTOBUF__ANY__INIT;

	a.type_url = (char *)(uintptr_t)text;
	a.value.data = (uint8_t *)(uintptr_t)data;
	a.value.len = len;
	return a;
}

static struct err *call(struct fixture *f, const struct rpc_context *ctx, const char *method,
	const char *text, const void *data, size_t len, Any **ret)
{
	autofree char *path = xasprintf("/test.Echo/%s", method);
	Any req = any_of(text, data, len);
	void *reply;

	TRY(grpc_call(f->client, ctx, path, &req, ANY, f->arena, &reply));
	if (ret)
		*ret = reply;
	return NULL;
}

static struct grpc_stream *open_stream(
	struct fixture *f, const struct rpc_context *ctx, const char *method)
{
	autofree char *path = xasprintf("/test.Echo/%s", method);
	struct grpc_stream *st;

	ok(grpc_stream_open(f->client, ctx, path, ANY, &st));
	return st;
}

static void wait_for(unsigned (*counter)(void), unsigned at_least)
{
	int64_t deadline = monotonic_ms() + 10000;

	while (counter() < at_least) {
		assert_true(monotonic_ms() < deadline);
		poll(NULL, 0, 2);
	}
}

static void test_unary(void **state)
{
	struct fixture *f = *state;
	const struct rpc_metadata metadata[] = {
		{"containerd-namespace", "k8s.io"}, {"containerd-lease", "l1"}};
	const struct rpc_context ctx = {metadata, 2, 60000, NULL};
	Any *reply;

	for (int i = 0; i < 100; i++) {
		ok(call(f, NULL, "Unary", "hello", "abc", 3, &reply));
		assert_string_equal(reply->type_url, "hello");
		assert_int_equal(reply->value.len, 3);
	}
	ok(call(f, &ctx, "Stats", "", NULL, 0, &reply));
	assert_non_null(strstr(reply->type_url, "namespace=k8s.io lease=l1 deadline="));
	assert_null(strstr(reply->type_url, "deadline=-"));
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	const struct rpc_metadata gone = {"containerd-lease", "gone"};
	const struct rpc_context ctx = {&gone, 1, 0, NULL};
	static const struct {
		const char *text;
		uint8_t code;
	} rows[] = {{"plain", 5}, {"100% of \"x\"\n\ttabs", 3}, {"caf\xc3\xa9 \xe2\x98\x83", 9},
		{"", 16}, {"%41 stays", 2}};
	struct err *e;
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_err(call(f, NULL, "Error", rows[i].text, &rows[i].code, 1, NULL),
			(enum err_class)rows[i].code, rows[i].text);
	e = call(f, NULL, "Error", "with details", "\x05\x01", 2, NULL);
	assert_memory_equal(err_details(e, &len), "\x08\x05\x12\x01x", 5);
	assert_int_equal(len, 5);
	assert_err(e, ERR_NOT_FOUND, "with details");
	assert_err(call(f, NULL, "Nope", "", NULL, 0, NULL), ERR_UNIMPLEMENTED,
		"unknown method Nope for service test.Echo");
	assert_err(call(f, &ctx, "Unary", "", NULL, 0, NULL), ERR_NOT_FOUND,
		"lease \"gone\": not found");
	assert_err(call(f, NULL, "Unary", "\xff", NULL, 0, NULL), ERR_INVALID,
		"google.protobuf.Any: string field contains invalid UTF-8");
}

static void test_bad_paths(void **state)
{
	struct fixture *f = *state;
	Any req = any_of("", NULL, 0);
	void *reply;

	assert_err(grpc_call(f->client, NULL, "/a.B/C", &req, ANY, f->arena, &reply),
		ERR_UNIMPLEMENTED, "unknown service a.B");
	assert_err(grpc_call(f->client, NULL, "/x", &req, ANY, f->arena, &reply), ERR_UNIMPLEMENTED,
		"malformed method name: \"/x\"");
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	size_t len = GRPC_MESSAGE_MAX - 5; /* tag and length make it exactly the limit */
	autofree uint8_t *data = xcalloc(1, len + 1);
	Any *reply;

	ok(call(f, NULL, "Unary", "", data, len, &reply));
	assert_int_equal(reply->value.len, len);
	assert_err(call(f, NULL, "Unary", "", data, len + 1, NULL), ERR_EXHAUSTED,
		"grpc: received message larger than max (16777217 vs. 16777216)");
	/* The connection is as good as before. */
	ok(call(f, NULL, "Unary", "again", NULL, 0, &reply));
}

/* 100 MB down to a reader that pauses: all of it arrives, the server waits meanwhile. */
static void test_down(void **state)
{
	struct fixture *f = *state;
	autoptr(grpc_stream) st = open_stream(f, NULL, "Down");
	Any req = any_of("100 1000000", NULL, 0);
	size_t total = 0;
	void *msg;

	ok(grpc_stream_send(st, &req));
	ok(grpc_stream_close_send(st));
	for (int i = 0;; i++) {
		autoptr(arena) a = arena_new();

		ok(grpc_stream_recv(st, a, &msg));
		if (!msg)
			break;
		total += ((Any *)msg)->value.len;
		if (i % 10 == 0)
			poll(NULL, 0, 5);
	}
	assert_int_equal(total, 100000000);
}

static void test_up(void **state)
{
	struct fixture *f = *state;
	autoptr(grpc_stream) st = open_stream(f, NULL, "Up");
	autofree uint8_t *data = xcalloc(1, 1000000);
	Any msg = any_of("slow", data, 1000000);
	void *reply;

	for (int i = 0; i < 100; i++)
		ok(grpc_stream_send(st, &msg));
	ok(grpc_stream_close_send(st));
	ok(grpc_stream_recv(st, f->arena, &reply));
	assert_string_equal(((Any *)reply)->type_url, "100000000");
	ok(grpc_stream_recv(st, f->arena, &reply));
	assert_null(reply);
}

static void test_early_end(void **state)
{
	struct fixture *f = *state;
	autoptr(grpc_stream) st = open_stream(f, NULL, "Up");
	autofree uint8_t *data = xcalloc(1, 100000);
	Any msg = any_of("early", data, 100000);
	struct err *e = NULL;
	void *reply;

	for (int i = 0; i < 10000 && !e; i++)
		e = grpc_stream_send(st, &msg);
	assert_err(e, ERR_UNAVAILABLE, "stream ended");
	assert_err(grpc_stream_recv(st, f->arena, &reply), ERR_ABORTED, "enough");
}

static void test_bidi(void **state)
{
	struct fixture *f = *state;
	autoptr(grpc_stream) st = open_stream(f, NULL, "Bidi");
	Any msg = any_of("ping", NULL, 0);
	void *reply;

	for (int i = 0; i < 200; i++) {
		ok(grpc_stream_send(st, &msg));
		ok(grpc_stream_recv(st, f->arena, &reply));
		assert_string_equal(((Any *)reply)->type_url, "ping");
	}
	assert_err(grpc_stream_recv_until(st, monotonic_ms() + 10, f->arena, &reply), ERR_DEADLINE,
		NULL);
	ok(grpc_stream_send(st, &msg));
	ok(grpc_stream_recv(st, f->arena, &reply));
	ok(grpc_stream_close_send(st));
	ok(grpc_stream_recv(st, f->arena, &reply));
	assert_null(reply);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	const struct rpc_context ctx = {.timeout_ms = 50};
	unsigned before = rpc_echo_cancels();

	assert_err(call(f, &ctx, "Block", "", NULL, 0, NULL), ERR_DEADLINE,
		"context deadline exceeded");
	wait_for(rpc_echo_cancels, before + 1);
	assert_err(call(f, &ctx, "Park", "", NULL, 0, NULL), ERR_DEADLINE, NULL);
	wait_for(rpc_echo_cancels, before + 2);
}

static void *fire(void *arg)
{
	wait_for(rpc_echo_parked, 1);
	cancel_fire(arg, ERR_CANCELLED);
	return NULL;
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	autoptr(cancel) cancel = cancel_new();
	const struct rpc_context ctx = {.cancel = cancel};
	unsigned before = rpc_echo_cancels();
	autoptr(grpc_stream) same = open_stream(f, &ctx, "Block");
	Any msg = any_of("", NULL, 0);
	pthread_t thread;
	void *reply;

	/* Two calls of one cancellation. */
	ok(grpc_stream_send(same, &msg));
	ok(grpc_stream_close_send(same));
	ok(thread_start("fire", fire, cancel, &thread));
	assert_err(call(f, &ctx, "Park", "", NULL, 0, NULL), ERR_CANCELLED, "context canceled");
	pthread_join(thread, NULL);
	assert_err(grpc_stream_recv(same, f->arena, &reply), ERR_CANCELLED, "context canceled");
	wait_for(rpc_echo_cancels, before + 2);
	assert_err(call(f, &ctx, "Unary", "", NULL, 0, NULL), ERR_CANCELLED, "context canceled");
}

static void test_abandoned_stream(void **state)
{
	struct fixture *f = *state;
	unsigned before = rpc_echo_cancels();
	struct grpc_stream *st = open_stream(f, NULL, "Block");
	Any msg = any_of("", NULL, 0);

	ok(grpc_stream_send(st, &msg));
	grpc_stream_free(st);
	st = open_stream(f, NULL, "Park");
	ok(grpc_stream_send(st, &msg));
	wait_for(rpc_echo_parked, 1);
	grpc_stream_free(st);
	wait_for(rpc_echo_cancels, before + 1);
}

#define PARKED 900

static void test_many_parked(void **state)
{
	struct fixture *f = *state;
	static struct grpc_stream *streams[PARKED];
	Any msg = any_of("", NULL, 0), *stats;
	unsigned threads;
	const char *at;
	void *reply;

	for (int i = 0; i < PARKED; i++) {
		streams[i] = open_stream(f, NULL, "Park");
		ok(grpc_stream_send(streams[i], &msg));
		ok(grpc_stream_close_send(streams[i]));
	}
	wait_for(rpc_echo_parked, PARKED);
	ok(call(f, NULL, "Stats", "", NULL, 0, &stats));
	at = strstr(stats->type_url, "threads=");
	assert_int_equal(sscanf(at, "threads=%u", &threads), 1);
	assert_true(threads < 14);
	ok(call(f, NULL, "Release", "", NULL, 0, NULL));
	for (int i = 0; i < PARKED; i++) {
		ok(grpc_stream_recv(streams[i], f->arena, &reply));
		assert_string_equal(((Any *)reply)->type_url, "released");
		grpc_stream_free(streams[i]);
	}
}

/* Bulk streams that nobody reads fill their lane; others go on. */
static void test_lanes(void **state)
{
	struct fixture *f = *state;
	struct grpc_stream *streams[100];
	Any msg = any_of("1000 100000", NULL, 0);
	int64_t start;

	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		streams[i] = open_stream(f, NULL, "Down");
		ok(grpc_stream_send(streams[i], &msg));
	}
	start = monotonic_ms();
	for (int i = 0; i < 100; i++) {
		ok(call(f, NULL, "Stats", "", NULL, 0, NULL));
		ok(call(f, NULL, "Unary", "", NULL, 0, NULL));
	}
	assert_true(monotonic_ms() - start < 5000);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		grpc_stream_free(streams[i]);
}

static void test_peer_gone(void **state)
{
	struct fixture *f = *state;
	struct grpc_client *c;
	int fds[2];
	Any req = any_of("", NULL, 0);
	void *reply;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ok(grpc_client_new_fd(fds[0], NULL, &c));
	close(fds[1]);
	assert_err(grpc_call(c, NULL, "/a/b", &req, ANY, f->arena, &reply), ERR_UNAVAILABLE, NULL);
	grpc_client_free(c);
	assert_err(grpc_client_new("/nonexistent/x.sock", NULL, &c), ERR_UNAVAILABLE,
		"connection error: desc = \"transport: Error while dialing: dial unix "
		"/nonexistent/x.sock: connect: no such file or directory\"");
}

/* A caller that hangs up cancels what it started. */
static void test_hang_up(void **state)
{
	struct fixture *f = *state;
	unsigned before = rpc_echo_cancels();
	struct grpc_stream *st = open_stream(f, NULL, "Park");
	Any msg = any_of("", NULL, 0);
	void *reply;

	ok(grpc_stream_send(st, &msg));
	wait_for(rpc_echo_parked, 1);
	grpc_client_free(TAKE(f->client));
	wait_for(rpc_echo_cancels, before + 1);
	assert_err(grpc_stream_recv(st, f->arena, &reply), ERR_CANCELLED,
		"grpc: the client connection is closing");
	grpc_stream_free(st);
}

static void test_redial(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/test-rpc-XXXXXX";
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
	struct grpc_client *c;
	struct attach *a;
	Any req = any_of("", NULL, 0);
	void *reply;

	assert_non_null(mkdtemp(dir));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 8), 0);
	ok(grpc_client_new(sun.sun_path, NULL, &c));
	peer = accept(fd, NULL, NULL);
	close(peer);
	/* The loss may or may not be known when the call starts. */
	for (int i = 0; i < 3; i++) {
		struct pollfd p = {fd, POLLIN, 0};
		const struct rpc_context ctx = {.timeout_ms = 200};

		err_free(grpc_call(c, &ctx, "/test.Echo/Unary", &req, ANY, f->arena, &reply));
		if (poll(&p, 1, 0) == 1)
			break;
	}
	a = NEW(struct attach);
	*a = (struct attach){f->server, accept(fd, NULL, NULL)};
	loop_post(f->loop, on_attach, a);
	ok(grpc_call(c, NULL, "/test.Echo/Unary", &req, ANY, f->arena, &reply));
	grpc_client_free(c);
	close(fd);
	unlink(sun.sun_path);
	rmdir(dir);
}

static void test_drain(void **state)
{
	struct fixture *f = *state;
	autoptr(grpc_stream) bidi = open_stream(f, NULL, "Bidi");
	autoptr(grpc_stream) parked = open_stream(f, NULL, "Park");
	Any msg = any_of("x", NULL, 0);
	struct err *e = NULL;
	void *reply;

	ok(grpc_stream_send(bidi, &msg));
	ok(grpc_stream_send(parked, &msg));
	ok(grpc_stream_recv(bidi, f->arena, &reply));
	wait_for(rpc_echo_parked, 1);
	grpc_server_drain(f->server, 300, on_drained, f);
	/* What is under way goes on; new calls are refused before long. */
	ok(grpc_stream_send(bidi, &msg));
	ok(grpc_stream_recv(bidi, f->arena, &reply));
	for (int i = 0; i < 10000 && !e; i++)
		e = call(f, NULL, "Unary", "", NULL, 0, NULL);
	assert_err(e, ERR_UNAVAILABLE, NULL);
	ok(grpc_stream_close_send(bidi));
	ok(grpc_stream_recv(bidi, f->arena, &reply));
	assert_null(reply);
	/* The grace ends and with it what does not end by itself. */
	assert_err(grpc_stream_recv(parked, f->arena, &reply), ERR_CANCELLED, "nobody waits");
	wait_drained(f);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_unary),
		T(test_errors),
		T(test_bad_paths),
		T(test_limits),
		T(test_down),
		T(test_up),
		T(test_early_end),
		T(test_bidi),
		T(test_deadline),
		T(test_cancel),
		T(test_abandoned_stream),
		T(test_many_parked),
		T(test_lanes),
		T(test_peer_gone),
		T(test_hang_up),
		T(test_redial),
		T(test_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
