// SPDX-License-Identifier: Apache-2.0
#include "sandbox/controller.h"

#include "base/alloc.h"
#include "proto/events.pb-c.h"
#include "proto/sandbox-service.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static struct err *find_controller(
	const struct services *svc, const char *name, struct sandbox_controller **ret)
{
	if (!*name)
		return err_new(
			ERR_INVALID, "invalid argument: sandbox controller name can not be empty");
	for (size_t i = 0; i < svc->n_sandboxers; i++) {
		if (str_eq(svc->sandboxers[i].name, name)) {
			*ret = svc->sandboxers[i].controller;
			return NULL;
		}
	}
	return err_new(ERR_NOT_FOUND, "not found: failed to get sandbox controller by %s", name);
}

static struct err *publish(
	struct services *svc, const char *ns, const char *topic, const ProtobufCMessage *event)
{
	autoptr(arena) arena = arena_new();
	autoval(any) payload = ANY_INIT;

	any_from_wire(&payload, message_to_any(event, arena));
	return exchange_publish(svc->exchange, ns, topic, &payload);
}

static struct err *controllers_handle_create(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__ControllerCreateRequest *req = rpc_request(call);
	Sbsvc__ControllerCreateResponse reply = SBSVC__CONTROLLER_CREATE_RESPONSE__INIT;
	Events__SandboxCreate event = EVENTS__SANDBOX_CREATE__INIT;
	autoptr(sandbox) sandbox = sandbox_from_wire(req->sandbox);
	autoval(mounts) rootfs = MOUNTS_INIT;
	autoval(any) options = ANY_INIT;
	autoval(strmap) annotations = STRMAP_INIT;
	struct sandbox_controller *c;
	struct sandbox_create request;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(find_controller(svc, req->sandboxer, &c));
	if (!req->sandbox)
		sandbox->id = xstrdup(req->sandbox_id);
	mounts_from_wire(&rootfs, req->rootfs, req->n_rootfs);
	any_from_wire(&options, req->options);
	strmap_from_wire(&annotations, req->n_annotations, req->annotations);
	request = (struct sandbox_create){
		s.ns, sandbox, &rootfs, &options, req->netns_path, &annotations};
	TRY(controller_create(c, &request, rpc_cancel(call)));
	event.sandbox_id = reply.sandbox_id = req->sandbox_id;
	TRY(publish(svc, s.ns, "/sandboxes/create", &event.base));
	return rpc_reply(call, &reply);
}

static struct err *controllers_handle_start(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__ControllerStartRequest *req = rpc_request(call);
	Sbsvc__ControllerStartResponse reply = SBSVC__CONTROLLER_START_RESPONSE__INIT;
	Events__SandboxStart event = EVENTS__SANDBOX_START__INIT;
	autoval(sandbox_instance) instance = {0};
	struct sandbox_controller *c;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(err_wrap(find_controller(svc, req->sandboxer, &c),
		"failed to get sandbox controller for \"%s\"", req->sandboxer));
	TRY(err_wrap(controller_start(c, s.ns, req->sandbox_id, rpc_cancel(call), &instance),
		"failed to start sandbox \"%s\"", req->sandbox_id));
	event.sandbox_id = reply.sandbox_id = req->sandbox_id;
	TRY(publish(svc, s.ns, "/sandboxes/start", &event.base));
	/* As containerd: where it serves tasks and its spec stay with the daemon. */
	reply.pid = instance.pid;
	reply.created_at = timestamp_to_wire(instance.created_at, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *controllers_handle_stop(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__ControllerStopRequest *req = rpc_request(call);
	Sbsvc__ControllerStopResponse reply = SBSVC__CONTROLLER_STOP_RESPONSE__INIT;
	struct sandbox_controller *c;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(find_controller(svc, req->sandboxer, &c));
	TRY(controller_stop(c, s.ns, req->sandbox_id, req->timeout_secs, rpc_cancel(call)));
	return rpc_reply(call, &reply);
}

static struct err *controllers_handle_status(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__ControllerStatusRequest *req = rpc_request(call);
	Sbsvc__ControllerStatusResponse reply = SBSVC__CONTROLLER_STATUS_RESPONSE__INIT;
	Google__Protobuf__Any none = GOOGLE__PROTOBUF__ANY__INIT;
	autoval(sandbox_status) status = {0};
	struct sandbox_controller *c;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(find_controller(svc, req->sandboxer, &c));
	TRY(controller_status(c, s.ns, req->sandbox_id, req->verbose, rpc_cancel(call), &status));
	reply.sandbox_id = req->sandbox_id;
	reply.pid = status.pid;
	reply.state = (char *)str_or(status.state, "");
	reply.info = STRMAP_TO_WIRE(&status.info, Sbsvc__ControllerStatusResponse__InfoEntry,
		sbsvc__controller_status_response__info_entry__init, rpc_arena(call),
		&reply.n_info);
	reply.created_at = timestamp_to_wire(status.created_at, rpc_arena(call));
	reply.exited_at = timestamp_to_wire(status.exited_at, rpc_arena(call));
	reply.extra = any_to_wire(&status.extra, rpc_arena(call)) ?: &none;
	return rpc_reply(call, &reply);
}

static struct err *controllers_handle_shutdown(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__ControllerShutdownRequest *req = rpc_request(call);
	Sbsvc__ControllerShutdownResponse reply = SBSVC__CONTROLLER_SHUTDOWN_RESPONSE__INIT;
	struct sandbox_controller *c;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(find_controller(svc, req->sandboxer, &c));
	TRY(controller_shutdown(c, s.ns, req->sandbox_id, rpc_cancel(call)));
	return rpc_reply(call, &reply);
}

static struct err *controllers_handle_metrics(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__ControllerMetricsRequest *req = rpc_request(call);
	Sbsvc__ControllerMetricsResponse reply = SBSVC__CONTROLLER_METRICS_RESPONSE__INIT;
	Types__Metric metric = TYPES__METRIC__INIT;
	autoval(sandbox_metric) m = {0};
	struct sandbox_controller *c;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(find_controller(svc, req->sandboxer, &c));
	TRY(controller_metrics(c, s.ns, req->sandbox_id, rpc_cancel(call), &m));
	metric.id = m.id;
	metric.timestamp = timestamp_to_wire(m.at, rpc_arena(call));
	metric.data = any_to_wire(&m.data, rpc_arena(call));
	reply.metrics = &metric;
	return rpc_reply(call, &reply);
}

static struct err *controllers_handle_update(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__ControllerUpdateRequest *req = rpc_request(call);
	Sbsvc__ControllerUpdateResponse reply = SBSVC__CONTROLLER_UPDATE_RESPONSE__INIT;
	autoptr(sandbox) sandbox = sandbox_from_wire(req->sandbox);
	struct sandbox_controller *c;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(find_controller(svc, req->sandboxer, &c));
	if (!req->sandbox)
		return err_new(ERR_UNKNOWN, "sandbox can not be nil");
	TRY(controller_update(
		c, s.ns, req->sandbox_id, sandbox, req->fields, req->n_fields, rpc_cancel(call)));
	return rpc_reply(call, &reply);
}

/* --- wait: parked, and from here on only on the loop's thread --- */

struct waiting {
	struct services *svc;
	struct rpc_call *call;
	struct scope scope;
	struct sandbox_controller *controller;
	struct sandbox_wait *wait; /* NULL before it started */
	bool cancelled;
	bool *gone; /* set when the answer comes while the wait is being started */
};

static void wait_ended(void *arg, struct err *take_e, const struct sandbox_exit *exit)
{
	struct waiting *w = arg;
	const Sbsvc__ControllerWaitRequest *req = rpc_request(w->call);
	Sbsvc__ControllerWaitResponse reply = SBSVC__CONTROLLER_WAIT_RESPONSE__INIT;
	Events__SandboxExit event = EVENTS__SANDBOX_EXIT__INIT;

	if (w->gone)
		*w->gone = true;
	if (!take_e) {
		event.sandbox_id = req->sandbox_id;
		event.exit_status = reply.exit_status = exit->status;
		event.exited_at = reply.exited_at = timestamp_to_wire(exit->at, rpc_arena(w->call));
		take_e = publish(w->svc, w->scope.ns, "/sandboxes/exit", &event.base);
	}
	if (!take_e)
		take_e = rpc_reply(w->call, &reply);
	rpc_finish(w->call, take_e);
}

static void wait_cancelled(struct rpc_call *call, void *arg)
{
	struct waiting *w = arg;

	w->cancelled = true;
	if (w->wait)
		controller_forget(w->controller, w->wait);
}

static void wait_begin(void *arg)
{
	struct waiting *w = arg;
	const Sbsvc__ControllerWaitRequest *req = rpc_request(w->call);
	struct sandbox_wait *wait;
	bool gone = false;

	if (w->cancelled) {
		rpc_finish(w->call, cancel_check(rpc_cancel(w->call)));
		return;
	}
	w->gone = &gone;
	wait = controller_wait(w->controller, w->scope.ns, req->sandbox_id, wait_ended, w);
	if (gone)
		return;
	w->gone = NULL;
	w->wait = wait;
}

static struct err *controllers_handle_wait(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Sbsvc__ControllerWaitRequest *req = rpc_request(call);
	struct waiting *w = ARENA_NEW(rpc_arena(call), struct waiting);

	TRY(call_scope(call, &w->scope));
	TRY(find_controller(svc, req->sandboxer, &w->controller));
	w->svc = svc;
	w->call = call;
	rpc_park(call, wait_cancelled, w);
	loop_post(svc->loop, wait_begin, w);
	return NULL;
}

/* --- the table --- */

#define METHOD(name, lane, prefix, handler)                                                        \
	{name, RPC_UNARY, lane, &sbsvc__controller_##prefix##_request__descriptor,                 \
		&sbsvc__controller_##prefix##_response__descriptor, handler}

/* Platform is declared, and not implemented by containerd's daemon either. */
static const struct rpc_method methods[] = {
	METHOD("Create", LANE_NORMAL, create, controllers_handle_create),
	METHOD("Start", LANE_NORMAL, start, controllers_handle_start),
	METHOD("Stop", LANE_BULK, stop, controllers_handle_stop),
	METHOD("Wait", LANE_NORMAL, wait, controllers_handle_wait),
	METHOD("Status", LANE_NORMAL, status, controllers_handle_status),
	METHOD("Shutdown", LANE_RESERVED, shutdown, controllers_handle_shutdown),
	METHOD("Metrics", LANE_NORMAL, metrics, controllers_handle_metrics),
	METHOD("Update", LANE_NORMAL, update, controllers_handle_update),
};

const struct rpc_service sandbox_controllers_service = {
	"containerd.services.sandbox.v1.Controller", methods, ARRAY_LEN(methods)};
