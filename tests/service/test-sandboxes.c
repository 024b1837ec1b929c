// SPDX-License-Identifier: Apache-2.0
/* Records of sandboxes, and a controller that only remembers what it was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "services-fixture.h"

#include "base/alloc.h"
#include "events/exchange.h"
#include "proto/sandbox-service.pb-c.h"
#include "rpc/message.h"

#define STORE "/containerd.services.sandbox.v1.Store/"
#define CONTROLLER "/containerd.services.sandbox.v1.Controller/"

/* --- the controller --- */

struct fake {
	struct sandbox_controller base;
	struct lock lock;
	struct cond cond;
	struct strv asked; /* guarded by lock; so are the next */
	struct strv events;
	struct sandbox_wait *waiting;
};

struct sandbox_wait {
	struct fake *fake;
	sandbox_wait_fn done;
	void *arg;
};

static struct fake *fake_of(struct sandbox_controller *c)
{
	return container_of(c, struct fake, base);
}

static struct err *note(
	struct sandbox_controller *c, const char *what, const char *ns, const char *id)
{
	struct fake *f = fake_of(c);

	LOCKED(&f->lock);
	strv_addf(&f->asked, "%s %s/%s", what, ns, id);
	return strcmp(id, "bad") == 0 ? err_new(ERR_UNAVAILABLE, "it is bad") : NULL;
}

static struct err *fake_create(
	struct sandbox_controller *c, const struct sandbox_create *r, struct cancel *cancel)
{
	autofree char *what = xasprintf(
		"create %s %zu %s", str_or(r->sandbox->runtime, "-"), r->rootfs->n, r->netns_path);

	return note(c, what, r->ns, r->sandbox->id);
}

static struct err *fake_start(struct sandbox_controller *c, const char *ns, const char *id,
	struct cancel *cancel, struct sandbox_instance *ret)
{
	TRY(note(c, "start", ns, id));
	*ret = (struct sandbox_instance){.pid = 7, .created_at = {.sec = 5}};
	return NULL;
}

static struct err *fake_stop(struct sandbox_controller *c, const char *ns, const char *id,
	uint32_t timeout_s, struct cancel *cancel)
{
	return note(c, timeout_s == 3 ? "stop 3" : "stop", ns, id);
}

static struct sandbox_wait *fake_wait(struct sandbox_controller *c, const char *ns, const char *id,
	sandbox_wait_fn done, void *arg)
{
	struct err *e = note(c, "wait", ns, id);
	struct fake *f = fake_of(c);
	struct sandbox_wait *w;

	if (e || strcmp(id, "ended") == 0) {
		done(arg, e, &(struct sandbox_exit){.status = 4, .at = {.sec = 9}});
		return NULL;
	}
	w = NEW(struct sandbox_wait);
	*w = (struct sandbox_wait){f, done, arg};
	LOCKED(&f->lock);
	f->waiting = w;
	return w;
}

static void fake_forget(struct sandbox_controller *c, struct sandbox_wait *w)
{
	struct fake *f = fake_of(c);

	w->done(w->arg, err_new(ERR_CANCELLED, "context canceled"), NULL);
	free(w);
	LOCKED(&f->lock);
	f->waiting = NULL;
	cond_signal(&f->cond);
}

static struct err *fake_status(struct sandbox_controller *c, const char *ns, const char *id,
	bool verbose, struct cancel *cancel, struct sandbox_status *ret)
{
	*ret = (struct sandbox_status){.pid = 7, .state = xstrdup("SANDBOX_READY")};
	strmap_set(&ret->info, "k", "v");
	return note(c, verbose ? "status all" : "status", ns, id);
}

static struct err *fake_shutdown(
	struct sandbox_controller *c, const char *ns, const char *id, struct cancel *cancel)
{
	return note(c, "shutdown", ns, id);
}

static struct err *fake_metrics(struct sandbox_controller *c, const char *ns, const char *id,
	struct cancel *cancel, struct sandbox_metric *ret)
{
	*ret = (struct sandbox_metric){.id = xstrdup(id), .at = {.sec = 1}};
	any_set(&ret->data, "t", "v", 1);
	return note(c, "metrics", ns, id);
}

static struct err *fake_update(struct sandbox_controller *c, const char *ns, const char *id,
	const struct sandbox *sandbox, char *const *fields, size_t n_fields, struct cancel *cancel)
{
	return note(c, n_fields == 1 ? fields[0] : "update", ns, id);
}

static const struct sandbox_controller_ops fake_ops = {.create = fake_create,
	.start = fake_start,
	.stop = fake_stop,
	.wait = fake_wait,
	.forget = fake_forget,
	.status = fake_status,
	.shutdown = fake_shutdown,
	.metrics = fake_metrics,
	.update = fake_update};

static struct fake fake = {.base.ops = &fake_ops};
static const struct sandboxer sandboxers[] = {{"fake", &fake.base}};
static struct subscription *subscription;

static bool on_event(void *arg, const struct event *e)
{
	LOCKED(&fake.lock);
	strv_addf(&fake.events, "%s %s %s", e->topic, e->ns, e->payload.type_url);
	return true;
}

static int setup(void **state)
{
	struct fixture *f;

	lock_init(&fake.lock);
	cond_init(&fake.cond);
	if (fixture_setup(state))
		return -1;
	f = *state;
	f->services.sandboxers = sandboxers;
	f->services.n_sandboxers = ARRAY_LEN(sandboxers);
	assert_null(
		exchange_subscribe(f->services.exchange, NULL, 0, on_event, NULL, &subscription));
	return 0;
}

static int teardown(void **state)
{
	subscription_end(subscription);
	strv_done(&fake.asked);
	strv_done(&fake.events);
	cond_done(&fake.cond);
	lock_done(&fake.lock);
	return fixture_teardown(state);
}

static void assert_joined(const struct strv *list, const char *expected)
{
	autofree char *got = NULL;

	LOCKED(&fake.lock);
	got = strv_join(list, ", ");
	assert_string_equal(got, expected);
}

/* --- the tests --- */

static void test_store(void **state)
{
	struct fixture *f = *state;
	Types__Sandbox s = TYPES__SANDBOX__INIT;
	Types__Sandbox__Runtime runtime = TYPES__SANDBOX__RUNTIME__INIT;
	Types__Sandbox__LabelsEntry label = TYPES__SANDBOX__LABELS_ENTRY__INIT,
				    *labels[] = {&label};
	Sbsvc__StoreCreateRequest create = SBSVC__STORE_CREATE_REQUEST__INIT;
	Sbsvc__StoreUpdateRequest update = SBSVC__STORE_UPDATE_REQUEST__INIT;
	Sbsvc__StoreListRequest list = SBSVC__STORE_LIST_REQUEST__INIT;
	Sbsvc__StoreGetRequest get = SBSVC__STORE_GET_REQUEST__INIT;
	Sbsvc__StoreDeleteRequest delete = SBSVC__STORE_DELETE_REQUEST__INIT;
	char *paths[] = {(char *)"labels.a"}, *filters[] = {(char *)"labels.a==2"};
	Sbsvc__StoreGetResponse *got;
	Sbsvc__StoreListResponse *listed;

	fixture_fails(f, STORE "Create", &create, ERR_INVALID, "sandbox can not be nil");
	create.sandbox = update.sandbox = &s;
	s.sandbox_id = get.sandbox_id = delete.sandbox_id = (char *)"s1";
	s.sandboxer = (char *)"fake";
	s.runtime = &runtime;
	runtime.name = (char *)"r";
	s.labels = labels;
	s.n_labels = 1;
	label.key = (char *)"a";
	label.value = (char *)"1";
	fixture_fails(f, STORE "Get", &get, ERR_NOT_FOUND, "bucket \"s1\" not found");
	fixture_call(f, STORE "Create", &create, &sbsvc__store_create_response__descriptor);
	fixture_fails(f, STORE "Create", &create, ERR_EXISTS, "already exists");
	label.value = (char *)"2";
	update.fields = paths;
	update.n_fields = 1;
	fixture_call(f, STORE "Update", &update, &sbsvc__store_update_response__descriptor);
	got = fixture_call(f, STORE "Get", &get, &sbsvc__store_get_response__descriptor);
	assert_string_equal(got->sandbox->labels[0]->value, "2");
	assert_string_equal(got->sandbox->sandboxer, "fake");
	assert_string_equal(got->sandbox->runtime->name, "r");
	assert_non_null(got->sandbox->updated_at);
	list.filters = filters;
	list.n_filters = 1;
	listed = fixture_call(f, STORE "List", &list, &sbsvc__store_list_response__descriptor);
	assert_int_equal(listed->n_list, 1);
	fixture_call(f, STORE "Delete", &delete, &sbsvc__store_delete_response__descriptor);
	fixture_fails(f, STORE "Delete", &delete, ERR_NOT_FOUND, "failed to delete sandbox \"s1\"");
}

static void test_which_controller(void **state)
{
	struct fixture *f = *state;
	Sbsvc__ControllerStartRequest start = SBSVC__CONTROLLER_START_REQUEST__INIT;
	Sbsvc__ControllerUpdateRequest update = SBSVC__CONTROLLER_UPDATE_REQUEST__INIT;
	Sbsvc__ControllerPlatformRequest platform = SBSVC__CONTROLLER_PLATFORM_REQUEST__INIT;

	fixture_fails(f, CONTROLLER "Start", &start, ERR_INVALID,
		"failed to get sandbox controller for \"\": invalid argument: sandbox controller "
		"name can not be empty");
	start.sandboxer = (char *)"none";
	fixture_fails(f, CONTROLLER "Start", &start, ERR_NOT_FOUND,
		"failed to get sandbox controller by none");
	update.sandboxer = platform.sandboxer = (char *)"fake";
	fixture_fails(f, CONTROLLER "Update", &update, ERR_UNKNOWN, "sandbox can not be nil");
	fixture_fails(f, CONTROLLER "Platform", &platform, ERR_UNIMPLEMENTED, "Platform");
}

static void test_life(void **state)
{
	struct fixture *f = *state;
	Types__Sandbox s = TYPES__SANDBOX__INIT;
	Types__Sandbox__Runtime runtime = TYPES__SANDBOX__RUNTIME__INIT;
	Sbsvc__ControllerCreateRequest create = SBSVC__CONTROLLER_CREATE_REQUEST__INIT;
	Sbsvc__ControllerStartRequest start = SBSVC__CONTROLLER_START_REQUEST__INIT;
	Sbsvc__ControllerStopRequest stop = SBSVC__CONTROLLER_STOP_REQUEST__INIT;
	Sbsvc__ControllerWaitRequest wait = SBSVC__CONTROLLER_WAIT_REQUEST__INIT;
	Sbsvc__ControllerShutdownRequest shutdown = SBSVC__CONTROLLER_SHUTDOWN_REQUEST__INIT;
	Sbsvc__ControllerStartResponse *started;
	Sbsvc__ControllerWaitResponse *waited;

	create.sandbox_id = start.sandbox_id = stop.sandbox_id = shutdown.sandbox_id = (char *)"s";
	create.sandboxer = start.sandboxer = stop.sandboxer = wait.sandboxer = shutdown.sandboxer =
		(char *)"fake";
	create.netns_path = (char *)"/net";
	fixture_call(
		f, CONTROLLER "Create", &create, &sbsvc__controller_create_response__descriptor);
	create.sandbox = &s;
	s.sandbox_id = (char *)"bad";
	s.runtime = &runtime;
	runtime.name = (char *)"r";
	fixture_fails(f, CONTROLLER "Create", &create, ERR_UNAVAILABLE, "it is bad");
	started = fixture_call(
		f, CONTROLLER "Start", &start, &sbsvc__controller_start_response__descriptor);
	assert_int_equal(started->pid, 7);
	assert_int_equal(started->created_at->seconds, 5);
	start.sandbox_id = (char *)"bad";
	fixture_fails(f, CONTROLLER "Start", &start, ERR_UNAVAILABLE,
		"failed to start sandbox \"bad\": it is bad");
	stop.timeout_secs = 3;
	fixture_call(f, CONTROLLER "Stop", &stop, &sbsvc__controller_stop_response__descriptor);
	wait.sandbox_id = (char *)"ended";
	waited = fixture_call(
		f, CONTROLLER "Wait", &wait, &sbsvc__controller_wait_response__descriptor);
	assert_int_equal(waited->exit_status, 4);
	assert_int_equal(waited->exited_at->seconds, 9);
	wait.sandbox_id = (char *)"bad";
	fixture_fails(f, CONTROLLER "Wait", &wait, ERR_UNAVAILABLE, "it is bad");
	fixture_call(f, CONTROLLER "Shutdown", &shutdown,
		&sbsvc__controller_shutdown_response__descriptor);
	assert_joined(&fake.asked,
		"create - 0 /net test/s, create r 0 /net test/bad, start test/s, start test/bad, "
		"stop 3 test/s, wait test/ended, wait test/bad, shutdown test/s");
	assert_joined(&fake.events, "/sandboxes/create test containerd.events.SandboxCreate, "
				    "/sandboxes/start test containerd.events.SandboxStart, "
				    "/sandboxes/exit test containerd.events.SandboxExit");
}

static void test_looks(void **state)
{
	struct fixture *f = *state;
	Types__Sandbox s = TYPES__SANDBOX__INIT;
	Sbsvc__ControllerStatusRequest status = SBSVC__CONTROLLER_STATUS_REQUEST__INIT;
	Sbsvc__ControllerMetricsRequest metrics = SBSVC__CONTROLLER_METRICS_REQUEST__INIT;
	Sbsvc__ControllerUpdateRequest update = SBSVC__CONTROLLER_UPDATE_REQUEST__INIT;
	char *fields[] = {(char *)"extensions.x"};
	Sbsvc__ControllerStatusResponse *told;
	Sbsvc__ControllerMetricsResponse *measured;

	status.sandbox_id = metrics.sandbox_id = update.sandbox_id = (char *)"s";
	status.sandboxer = metrics.sandboxer = update.sandboxer = (char *)"fake";
	status.verbose = true;
	told = fixture_call(
		f, CONTROLLER "Status", &status, &sbsvc__controller_status_response__descriptor);
	assert_string_equal(told->state, "SANDBOX_READY");
	assert_string_equal(told->info[0]->value, "v");
	assert_non_null(told->extra);
	measured = fixture_call(
		f, CONTROLLER "Metrics", &metrics, &sbsvc__controller_metrics_response__descriptor);
	assert_string_equal(measured->metrics->id, "s");
	assert_string_equal(measured->metrics->data->type_url, "t");
	update.sandbox = &s;
	update.fields = fields;
	update.n_fields = 1;
	fixture_call(
		f, CONTROLLER "Update", &update, &sbsvc__controller_update_response__descriptor);
	assert_joined(&fake.asked, "status all test/s, metrics test/s, extensions.x test/s");
}

/* Who hangs up is forgotten. */
static void test_wait_is_left(void **state)
{
	struct fixture *f = *state;
	Sbsvc__ControllerWaitRequest wait = SBSVC__CONTROLLER_WAIT_REQUEST__INIT;
	struct grpc_stream *s =
		fixture_stream(f, CONTROLLER "Wait", &sbsvc__controller_wait_response__descriptor);
	int64_t deadline = monotonic_ms() + 20000;
	void *reply;
	struct err *e;

	wait.sandbox_id = (char *)"s";
	wait.sandboxer = (char *)"fake";
	assert_null(grpc_stream_send(s, &wait));
	assert_null(grpc_stream_close_send(s));
	for (bool waiting = false; !waiting;) {
		e = grpc_stream_recv_until(s, monotonic_ms() + 10, f->arena, &reply);
		assert_true(err_is(e, ERR_DEADLINE));
		err_free(e);
		lock_take(&fake.lock);
		waiting = fake.waiting;
		lock_drop(&fake.lock);
		assert_true(monotonic_ms() < deadline);
	}
	grpc_stream_free(s);
	LOCKED(&fake.lock);
	while (fake.waiting)
		assert_true(cond_wait_until(&fake.cond, &fake.lock, deadline));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store),
		TEST(test_which_controller),
		TEST(test_life),
		TEST(test_looks),
		TEST(test_wait_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
