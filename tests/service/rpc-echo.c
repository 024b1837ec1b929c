// SPDX-License-Identifier: Apache-2.0
#include "rpc-echo.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/timestamp.h"
#include "rpc/grpc.h"
#include "rpc/message.h"

typedef Google__Protobuf__Any Any;

static atomic_uint cancels, parked;

static Any *any_new(struct rpc_call *call, const char *text)
{
	Any *a = ARENA_NEW(rpc_arena(call), Any);

	google__protobuf__any__init(a);
	a->type_url = arena_strdup(rpc_arena(call), text);
	return a;
}

/* The same message back. */
static struct err *echo_unary(struct rpc_call *call, void *impl)
{
	rpc_set_header(call, "x-echo", "yes");
	return rpc_reply(call, rpc_request(call));
}

/* An error with the text and, in the first byte of the value, the code; details when there is a
 * second byte. */
static struct err *echo_error(struct rpc_call *call, void *impl)
{
	const Any *req = rpc_request(call);
	struct err *e;

	if (!req->value.len)
		return err_new(ERR_INVALID, "no code");
	e = err_new((enum err_class)req->value.data[0], "%s", req->type_url);
	if (req->value.len > 1)
		err_set_details(e, "\x08\x05\x12\x01x", 5);
	return e;
}

/* "COUNT SIZE": so many messages of so many bytes. */
static struct err *echo_down(struct rpc_call *call, void *impl)
{
	const Any *req = rpc_request(call);
	unsigned long count = 0, size = 0;
	Any *a = any_new(call, "");

	if (sscanf(req->type_url, "%lu %lu", &count, &size) != 2 || size > GRPC_MESSAGE_MAX)
		return err_new(ERR_INVALID, "want COUNT SIZE");
	a->value.data = arena_alloc(rpc_arena(call), size);
	a->value.len = size;
	for (unsigned long i = 0; i < count; i++)
		TRY(rpc_send(call, a));
	return NULL;
}

/* The number of bytes that came; "slow" in a message pauses 1 ms. "early" ends the call there. */
static struct err *echo_up(struct rpc_call *call, void *impl)
{
	autofree char *text = NULL;
	size_t total = 0;
	void *msg;

	for (;;) {
		TRY(rpc_recv_transient(call, &msg));
		if (!msg)
			break;
		Any *a = msg;

		total += a->value.len;
		if (strcmp(a->type_url, "slow") == 0)
			poll(NULL, 0, 1);
		if (strcmp(a->type_url, "early") == 0)
			return err_new(ERR_ABORTED, "enough");
	}
	text = xasprintf("%zu", total);
	return rpc_reply(call, any_new(call, text));
}

static struct err *echo_bidi(struct rpc_call *call, void *impl)
{
	void *msg;

	for (;;) {
		TRY(rpc_recv_transient(call, &msg));
		if (!msg)
			return NULL;
		TRY(rpc_send(call, msg));
	}
}

/* Blocks until the call is cancelled. */
static struct err *echo_block(struct rpc_call *call, void *impl)
{
	struct pollfd p = {.fd = cancel_fd(rpc_cancel(call)), .events = POLLIN};

	if (poll(&p, 1, 30000) != 1)
		return err_new(ERR_INTERNAL, "never cancelled");
	atomic_fetch_add(&cancels, 1);
	return cancel_check(rpc_cancel(call));
}

/* --- parked calls: all that wait are answered by the next Release --- */

struct waiter {
	struct list node;
	struct rpc_call *call;
};

static struct lock waiters_lock = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static struct list waiters = {&waiters, &waiters}; /* guarded by waiters_lock */

static bool take_waiter(struct waiter *w)
{
	bool mine;

	LOCKED(&waiters_lock);
	mine = !list_empty(&w->node);
	list_remove(&w->node);
	return mine;
}

static void on_park_cancel(struct rpc_call *call, void *arg)
{
	struct waiter *w = arg;

	if (!take_waiter(w))
		return;
	atomic_fetch_add(&cancels, 1);
	atomic_fetch_sub(&parked, 1);
	rpc_finish(call, err_new(ERR_CANCELLED, "nobody waits"));
	free(w);
}

static struct err *echo_park(struct rpc_call *call, void *impl)
{
	struct waiter *w = NEW(struct waiter);

	w->call = call;
	list_init(&w->node);
	/* Under the lock: neither Release nor a cancellation finds half of it. */
	LOCKED(&waiters_lock);
	rpc_park(call, on_park_cancel, w);
	atomic_fetch_add(&parked, 1);
	list_append(&waiters, &w->node);
	return NULL;
}

static struct err *echo_release(struct rpc_call *call, void *impl)
{
	for (;;) {
		struct waiter *w;

		lock_take(&waiters_lock);
		w = list_empty(&waiters) ? NULL : list_first(&waiters, struct waiter, node);
		if (w)
			list_remove(&w->node);
		lock_drop(&waiters_lock);
		if (!w)
			return rpc_reply(call, any_new(call, ""));
		atomic_fetch_sub(&parked, 1);
		err_free(rpc_reply(w->call, any_new(w->call, "released")));
		rpc_finish(w->call, NULL);
		free(w);
	}
}

static long status_value(const char *key)
{
	autofree char *line = NULL;
	size_t cap = 0;
	long value = -1;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && getline(&line, &cap, f) > 0) {
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtol(line + strlen(key) + 1, NULL, 10);
	}
	if (f)
		fclose(f);
	return value;
}

/* "cancels=N parked=N threads=N rss_kb=N peak_kb=N namespace=S lease=S deadline=N" */
static struct err *echo_stats(struct rpc_call *call, void *impl)
{
	int64_t left = rpc_deadline_ms(call) < 0 ? -1 : rpc_deadline_ms(call) - monotonic_ms();
	autofree char *text = xasprintf(
		"cancels=%u parked=%u threads=%ld rss_kb=%ld peak_kb=%ld namespace=%s lease=%s "
		"deadline=%ld",
		atomic_load(&cancels), atomic_load(&parked), status_value("Threads"),
		status_value("VmRSS"), status_value("VmHWM"), str_or(rpc_namespace(call), "-"),
		str_or(rpc_lease(call), "-"), (long)left);

	return rpc_reply(call, any_new(call, text));
}

#define ANY &google__protobuf__any__descriptor
static const struct rpc_method methods[] = {
	{"Unary", RPC_UNARY, LANE_NORMAL, ANY, ANY, echo_unary},
	{"Error", RPC_UNARY, LANE_NORMAL, ANY, ANY, echo_error},
	{"Down", RPC_SERVER_STREAM, LANE_BULK, ANY, ANY, echo_down},
	{"Up", RPC_CLIENT_STREAM, LANE_BULK, ANY, ANY, echo_up},
	{"Bidi", RPC_BIDI, LANE_BULK, ANY, ANY, echo_bidi},
	{"Block", RPC_UNARY, LANE_NORMAL, ANY, ANY, echo_block},
	{"Park", RPC_UNARY, LANE_NORMAL, ANY, ANY, echo_park},
	{"Release", RPC_UNARY, LANE_RESERVED, ANY, ANY, echo_release},
	{"Stats", RPC_UNARY, LANE_RESERVED, ANY, ANY, echo_stats},
};
const struct rpc_service rpc_echo_service = {"test.Echo", methods, ARRAY_LEN(methods)};

unsigned rpc_echo_cancels(void)
{
	return atomic_load(&cancels);
}

unsigned rpc_echo_parked(void)
{
	return atomic_load(&parked);
}
