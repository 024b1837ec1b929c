// SPDX-License-Identifier: Apache-2.0
/* Calls without a transport: a fake one records what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "google/protobuf/any.pb-c.h"
#include "rpc/call-internal.h"

typedef Google__Protobuf__Any Any;
#define ANY &google__protobuf__any__descriptor

static unsigned pumps, releases, cancels;
static struct rpc_call *parked_call;

static void fake_pump(struct rpc_call *call)
{
	pumps++;
}

static void fake_flush(struct rpc_server *s)
{
}

static void fake_released(struct rpc_call *call)
{
	releases++;
}

static struct err *fake_oversize(size_t len, size_t max)
{
	return err_new(ERR_EXHAUSTED, "%zu > %zu", len, max);
}

static const struct rpc_server_ops ops = {fake_pump, fake_flush, fake_released, fake_oversize};

static struct err *do_echo(struct rpc_call *call, void *impl)
{
	rpc_set_header(call, "k", impl);
	return rpc_reply(call, rpc_request(call));
}

static struct err *do_nothing(struct rpc_call *call, void *impl)
{
	return NULL;
}

static struct err *do_fail(struct rpc_call *call, void *impl)
{
	return err_new(ERR_PRECONDITION, "not now");
}

static void on_cancel(struct rpc_call *call, void *arg)
{
	cancels++;
	if (arg)
		rpc_finish(call, err_new(ERR_CANCELLED, "told so"));
}

static struct err *do_park(struct rpc_call *call, void *impl)
{
	parked_call = call;
	rpc_park(call, on_cancel, NULL);
	return NULL;
}

static struct err *do_park_finish(struct rpc_call *call, void *impl)
{
	rpc_park(call, on_cancel, call);
	return NULL;
}

static struct err *do_finish_inside(struct rpc_call *call, void *impl)
{
	rpc_park(call, NULL, NULL);
	struct err *e = rpc_reply(call, rpc_request(call));

	rpc_finish(call, e);
	return NULL;
}

static struct err *do_flood(struct rpc_call *call, void *impl)
{
	Any a = GOOGLE__PROTOBUF__ANY__INIT;
	struct err *e = NULL;

	for (unsigned i = 0; i <= RPC_QUEUE_MESSAGES && !e; i++)
		e = rpc_try_send(call, &a);
	return e;
}

static const struct rpc_method methods[] = {
	{"Echo", RPC_UNARY, LANE_NORMAL, ANY, ANY, do_echo},
	{"Nothing", RPC_UNARY, LANE_NORMAL, ANY, ANY, do_nothing},
	{"Fail", RPC_UNARY, LANE_NORMAL, ANY, ANY, do_fail},
	{"Park", RPC_UNARY, LANE_NORMAL, ANY, ANY, do_park},
	{"ParkFinish", RPC_UNARY, LANE_NORMAL, ANY, ANY, do_park_finish},
	{"FinishInside", RPC_UNARY, LANE_NORMAL, ANY, ANY, do_finish_inside},
	{"Flood", RPC_SERVER_STREAM, LANE_BULK, ANY, ANY, do_flood},
};
static const struct rpc_service service = {"t.S", methods, ARRAY_LEN(methods)};

struct fixture {
	struct loop *loop;
	struct rpc_server server;
};

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	assert_null(loop_new(&f->loop));
	/* Without a pool, handlers run where the request is delivered. */
	rpc_server_init(&f->server, &ops, f->loop, NULL, 100);
	rpc_server_add(&f->server, &service, (void *)(uintptr_t)"impl");
	pumps = releases = cancels = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rpc_server_done(&f->server);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* What is posted so far. */
static void turn(struct fixture *f)
{
	loop_post(f->loop, stop, f->loop);
	loop_run(f->loop);
}

static struct rpc_msg *request(const char *text)
{
	Any a = GOOGLE__PROTOBUF__ANY__INIT;

	a.type_url = (char *)(uintptr_t)text;
	return rpc_msg_pack(&a);
}

static struct rpc_call *begin(struct fixture *f, const char *method)
{
	struct rpc_call *call = rpc_call_new(&f->server, f, f);
	autofree char *path = xasprintf("/t.S/%s", method);

	assert_null(rpc_call_begin(call, path, strlen(path)));
	return call;
}

static void end(struct rpc_call *call)
{
	call->stream = NULL;
	rpc_call_unref(call);
}

/* The class the call ended with, after dropping its messages. */
static enum err_class outcome(struct rpc_call *call, size_t *ret_messages)
{
	const struct err *e;
	struct list msgs;

	*ret_messages = 0;
	list_init(&msgs);
	rpc_call_take_out(call, &msgs);
	list_each(struct rpc_msg, m, &msgs, node)
	{
		++*ret_messages;
		rpc_call_sent(call, m->len);
	}
	rpc_msg_list_free(&msgs);
	assert_true(rpc_call_done(call, &e));
	return err_class(e);
}

static void test_outcomes(void **state)
{
	static const struct {
		const char *method, *text;
		enum err_class class;
		size_t messages;
	} rows[] = {
		{"Echo", "hi", ERR_OK, 1},
		{"Echo", "\xff", ERR_INVALID, 0},
		{"Echo",
			"1234567890123456789012345678901234567890123456789012345678901234567890"
			"1234567890123456789012345678",
			ERR_OK, 1},
		{"Echo",
			"1234567890123456789012345678901234567890123456789012345678901234567890"
			"12345678901234567890123456789",
			ERR_EXHAUSTED, 0},
		{"Nothing", "", ERR_INTERNAL, 0},
		{"Fail", "", ERR_PRECONDITION, 0},
		{"FinishInside", "", ERR_OK, 1},
		{"Flood", "", ERR_UNAVAILABLE, RPC_QUEUE_MESSAGES},
	};
	struct fixture *f = *state;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rpc_call *call = begin(f, rows[i].method);

		assert_int_equal(f->server.running, 0);
		rpc_call_deliver(call, request(rows[i].text));
		turn(f);
		assert_int_equal(releases, i + 1);
		assert_true(pumps > i);
		assert_string_equal(
			err_class_name(outcome(call, &n)), err_class_name(rows[i].class));
		assert_int_equal(n, rows[i].messages);
		end(call);
	}
}

static void test_no_request(void **state)
{
	struct fixture *f = *state;
	struct rpc_call *call = begin(f, "Echo");
	size_t n;

	rpc_call_half_close(call);
	turn(f);
	assert_int_equal(outcome(call, &n), ERR_INTERNAL);
	end(call);
}

static void test_routes(void **state)
{
	static const struct {
		const char *path, *words;
	} rows[] = {
		{"/t.S/None", "unknown method None for service t.S"},
		{"/t.T/Echo", "unknown service t.T"},
		{"/a/b/c", "unknown service a/b"},
		{"t.S/Echo", "malformed method name: \"t.S/Echo\""},
		{"/Echo", "malformed method name: \"/Echo\""},
		{"/", "malformed method name: \"/\""},
		{"", "malformed method name: \"\""},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rpc_call *call = rpc_call_new(&f->server, f, f);
		autoptr(err) e = rpc_call_begin(call, rows[i].path, strlen(rows[i].path));

		assert_true(err_is(e, ERR_UNIMPLEMENTED));
		assert_string_equal(err_message(e), rows[i].words);
		end(call);
	}
}

static void test_metadata(void **state)
{
	struct fixture *f = *state;
	struct rpc_call *call = begin(f, "Echo");
	const struct rpc_pairs *headers;

	for (int i = 0; i < 20; i++)
		rpc_call_add_metadata(call, "filler", 6, "x", 1);
	rpc_call_add_metadata(call, "containerd-namespace-ttrpc", 26, "n1 and more", 2);
	rpc_call_add_metadata(call, "containerd-lease", 16, "l", 1);
	assert_string_equal(rpc_namespace(call), "n1");
	assert_string_equal(rpc_lease(call), "l");
	assert_null(rpc_metadata(call, "none"));
	rpc_call_deliver(call, request(""));
	headers = rpc_call_headers(call);
	assert_int_equal(headers->n, 1);
	assert_string_equal(headers->items[0].value, "impl");
	/* Too late. */
	rpc_set_header(call, "x", "y");
	assert_int_equal(headers->n, 1);
	turn(f);
	end(call);
}

/* Cancelled, then finished by whoever has the call; on_cancel is told once. */
static void test_cancel_parked(void **state)
{
	struct fixture *f = *state;
	struct rpc_call *call = begin(f, "Park");
	const struct err *e;
	size_t n;

	rpc_call_deliver(call, request(""));
	turn(f);
	assert_int_equal(releases, 0);
	assert_false(rpc_call_done(call, &e));
	rpc_call_cancel(call, ERR_CANCELLED);
	rpc_call_cancel(call, ERR_DEADLINE);
	assert_int_equal(cancels, 1);
	assert_true(cancel_fired(rpc_cancel(parked_call)));
	turn(f);
	assert_int_equal(releases, 0);
	rpc_finish(parked_call, NULL);
	turn(f);
	assert_int_equal(releases, 1);
	assert_int_equal(outcome(call, &n), ERR_OK);
	end(call);
}

static void test_cancel_finishes(void **state)
{
	struct fixture *f = *state;
	struct rpc_call *call = begin(f, "ParkFinish");
	size_t n;

	rpc_call_deliver(call, request(""));
	rpc_call_cancel(call, ERR_DEADLINE);
	turn(f);
	assert_int_equal(cancels, 1);
	assert_int_equal(releases, 1);
	/* The deadline is the reason, whatever the handler says. */
	assert_int_equal(outcome(call, &n), ERR_DEADLINE);
	end(call);
}

static void test_cancel_before_start(void **state)
{
	struct fixture *f = *state;
	struct rpc_call *call = begin(f, "Echo");
	size_t n;

	rpc_call_cancel(call, ERR_CANCELLED);
	rpc_call_deliver(call, request(""));
	turn(f);
	assert_int_equal(outcome(call, &n), ERR_CANCELLED);
	assert_int_equal(releases, 0);
	end(call);
}

/* The stream is gone long before the handler lets go. */
static void test_stream_gone(void **state)
{
	struct fixture *f = *state;
	struct rpc_call *call = begin(f, "Park");

	rpc_call_deliver(call, request(""));
	end(call);
	turn(f);
	assert_int_equal(pumps, 0);
	rpc_finish(parked_call, err_new(ERR_ABORTED, "x"));
	turn(f);
	assert_int_equal(pumps, 0);
	assert_int_equal(releases, 1);
}

static void test_fail_overrides(void **state)
{
	struct fixture *f = *state;
	struct rpc_call *call = begin(f, "Park");
	size_t n;

	rpc_call_deliver(call, request(""));
	rpc_call_fail(call, err_new(ERR_EXHAUSTED, "too large"));
	assert_int_equal(cancels, 1);
	rpc_finish(parked_call, NULL);
	turn(f);
	assert_int_equal(outcome(call, &n), ERR_EXHAUSTED);
	assert_int_equal(releases, 1);
	end(call);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct rpc_call *call = rpc_call_new(&f->server, f, f);

	assert_int_equal(rpc_deadline_ms(call), -1);
	rpc_call_set_timeout(call, 1);
	assert_null(rpc_call_begin(call, "/t.S/ParkFinish", 15));
	rpc_call_deliver(call, request(""));
	while (!releases)
		turn(f);
	assert_int_equal(cancels, 1);
	end(call);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_outcomes),
		T(test_no_request),
		T(test_routes),
		T(test_metadata),
		T(test_cancel_parked),
		T(test_cancel_finishes),
		T(test_cancel_before_start),
		T(test_stream_gone),
		T(test_fail_overrides),
		T(test_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
