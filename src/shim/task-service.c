// SPDX-License-Identifier: Apache-2.0
#include "shim/task-service.h"

#include <string.h>

#include "base/alloc.h"
#include "base/identifier.h"
#include "base/json.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "rpc/message.h"
#include "shim/actions.h"
#include "shim/metrics.h"
#include "shim/sandbox.h"

#define SPEC_MAX ((size_t)4 << 20)
#define EXECS_MAX 65536

static struct err *reply_empty(struct rpc_call *call)
{
	Google__Protobuf__Empty reply = GOOGLE__PROTOBUF__EMPTY__INIT;

	return rpc_reply(call, &reply);
}

static struct err *find(struct shim *s, const char *id, const char *exec_id, struct process **ret)
{
	struct container *c;

	TRY(container_get(s, id, &c));
	return container_process(c, exec_id, ret);
}

/* --- life --- */

static struct err *handle_create(struct rpc_call *call, void *impl)
{
	const Shim3__CreateTaskRequest *r = rpc_request(call);
	struct shim *s = impl;
	struct options options;
	struct container *c;
	struct err *e;

	TRY(identifier_check(r->id));
	if (*r->bundle != '/')
		return err_new(
			ERR_INVALID, "bundle %s of %s is not an absolute path", r->bundle, r->id);
	if (map_get(&s->containers, r->id))
		return err_new(ERR_EXISTS, "container %s: already exists", r->id);
	TRY(sandbox_check_open(s));
	e = options_from_any(r->options, &options);
	if (e) {
		options_done(&options);
		return e;
	}
	c = container_new(s, r->id, r->bundle, &options);
	process_new(c, "", r->stdin, r->stdout, r->stderr, r->terminal);
	action_create(c, call);
	return NULL;
}

static struct err *handle_start(struct rpc_call *call, void *impl)
{
	const Shim3__StartRequest *r = rpc_request(call);
	struct process *p;

	TRY(find(impl, r->id, r->exec_id, &p));
	action_start(p, call);
	return NULL;
}

static struct err *handle_delete(struct rpc_call *call, void *impl)
{
	const Shim3__DeleteRequest *r = rpc_request(call);
	struct process *p;

	TRY(find(impl, r->id, r->exec_id, &p));
	action_delete(p, call);
	return NULL;
}

/* The process of an exec request with the terminal as the request has it; all else as it came. */
static struct err *spec_of_exec(const Shim3__ExecProcessRequest *r, char **ret)
{
	autoptr(json_object) spec = NULL;

	if (!r->spec || !r->spec->value.len || r->spec->value.len > SPEC_MAX)
		return err_new(ERR_INVALID, "exec %s: no process, or too large a one", r->exec_id);
	TRY(err_wrap(json_parse((const char *)r->spec->value.data, r->spec->value.len, &spec),
		"process of exec %s", r->exec_id));
	if (!json_object_is_type(spec, json_type_object))
		return err_new(ERR_INVALID, "process of exec %s is not an object", r->exec_id);
	json_object_object_add(spec, "terminal", json_object_new_boolean(r->terminal));
	*ret = xstrdup(json_object_to_json_string_ext(
		spec, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return NULL;
}

static struct err *handle_exec(struct rpc_call *call, void *impl)
{
	const Shim3__ExecProcessRequest *r = rpc_request(call);
	Events__TaskExecAdded event = EVENTS__TASK_EXEC_ADDED__INIT;
	autofree char *spec = NULL;
	struct container *c;
	struct process *p;

	TRY(container_get(impl, r->id, &c));
	TRY(identifier_check(r->exec_id));
	if (map_get(&c->execs, r->exec_id))
		return err_new(ERR_EXISTS, "id %s: already exists", r->exec_id);
	if (!c->init || c->init->doomed)
		return err_new(ERR_NOT_FOUND, "container not created: not found");
	TRY(state_check(c->init->state, ACTION_EXEC, true));
	if (c->execs.n >= EXECS_MAX)
		return err_new(ERR_EXHAUSTED, "container %s has too many processes", r->id);
	TRY(spec_of_exec(r, &spec));
	p = process_new(c, r->exec_id, r->stdin, r->stdout, r->stderr, r->terminal);
	p->spec_json = TAKE(spec);
	event.container_id = c->id;
	event.exec_id = p->id;
	event_send(p, "/tasks/exec-added", &event);
	return reply_empty(call);
}

/* --- looking --- */

static Tasktypes__Status status_of(const struct process *p)
{
	const struct process *init = p->container->init;

	/* A pause is of the container as a whole. */
	if (init && init->pausing)
		return TASKTYPES__STATUS__PAUSING;
	if (init && init->state == STATE_PAUSED)
		return TASKTYPES__STATUS__PAUSED;
	switch (p->state) {
	case STATE_CREATED:
	case STATE_RESTORABLE:
		return TASKTYPES__STATUS__CREATED;
	case STATE_RUNNING:
		return TASKTYPES__STATUS__RUNNING;
	case STATE_PAUSED:
		return TASKTYPES__STATUS__PAUSED;
	default:
		return TASKTYPES__STATUS__STOPPED;
	}
}

static struct err *reply_state(struct rpc_call *call, const struct process *p)
{
	Shim3__StateResponse reply = SHIM3__STATE_RESPONSE__INIT;

	reply.id = process_is_init(p) ? p->container->id : p->id;
	reply.bundle = p->container->bundle;
	reply.pid = (uint32_t)p->pid;
	reply.status = status_of(p);
	reply.stdin = p->spec.in;
	reply.stdout = p->spec.out;
	reply.stderr = p->spec.err;
	reply.terminal = p->spec.terminal;
	if (p->exit_told) {
		reply.exit_status = p->exit.status;
		reply.exited_at = timestamp_to_wire(p->exit.at, rpc_arena(call));
	}
	reply.exec_id = p->id;
	return rpc_reply(call, &reply);
}

static void state_run(struct op *op)
{
	const struct process *p = op->process;

	op_end(op, p->doomed ? container_unknown() : reply_state(op->call, p));
}

/* The streams are open before a creation is told: who reads a client's input may be at its end, and
 * look for the task to close that, while the runtime is still at work. */
static struct err *handle_state(struct rpc_call *call, void *impl)
{
	const Shim3__StateRequest *r = rpc_request(call);
	struct shim *s = impl;
	struct container *c = map_get(&s->containers, r->id);
	struct process *p;

	if (c && c->init && !c->created && str_empty(r->exec_id)) {
		op_submit(c->init, call, state_run);
		return NULL;
	}
	TRY(find(s, r->id, r->exec_id, &p));
	return reply_state(call, p);
}

static struct err *handle_wait(struct rpc_call *call, void *impl)
{
	const Shim3__WaitRequest *r = rpc_request(call);
	struct process *p;

	TRY(find(impl, r->id, r->exec_id, &p));
	return process_wait(p, call);
}

static struct err *handle_pids(struct rpc_call *call, void *impl)
{
	const Shim3__PidsRequest *r = rpc_request(call);
	autofree pid_t *pids = NULL;
	struct process *p;
	size_t n = 0;

	TRY(find(impl, r->id, "", &p));
	if (!p->container->cgroup || !runtime_is_native(&p->container->runtime)) {
		action_ps(p, call);
		return NULL;
	}
	TRY(cgroup_pids(p->container->cgroup, &pids, &n));
	return pids_reply(call, p->container, pids, n);
}

static struct err *handle_stats(struct rpc_call *call, void *impl)
{
	const Shim3__StatsRequest *r = rpc_request(call);
	Shim3__StatsResponse reply = SHIM3__STATS_RESPONSE__INIT;
	struct container *c;

	TRY(container_get(impl, r->id, &c));
	if (!c->cgroup || !cgroup_exists(c->cgroup))
		return err_new(ERR_NOT_FOUND, "cgroup does not exist: not found");
	reply.stats = cgroup_is_unified(c->cgroup) ? metrics_v2(c->cgroup, rpc_arena(call))
						   : metrics_v1(c->cgroup, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *handle_connect(struct rpc_call *call, void *impl)
{
	const Shim3__ConnectRequest *r = rpc_request(call);
	Shim3__ConnectResponse reply = SHIM3__CONNECT_RESPONSE__INIT;
	struct container *c = NULL;
	autoptr(err) none = container_get(impl, r->id, &c);

	reply.shim_pid = (uint32_t)getpid();
	if (!none && c->init)
		reply.task_pid = (uint32_t)c->init->pid;
	return rpc_reply(call, &reply);
}

/* --- changing --- */

static struct err *handle_kill(struct rpc_call *call, void *impl)
{
	const Shim3__KillRequest *r = rpc_request(call);
	struct process *p;

	TRY(find(impl, r->id, r->exec_id, &p));
	action_kill(p, call);
	return NULL;
}

#define INIT_ACTION(name, type)                                                                    \
	static struct err *handle_##name(struct rpc_call *call, void *impl)                        \
	{                                                                                          \
		const type *r = rpc_request(call);                                                 \
		struct process *p;                                                                 \
                                                                                                   \
		TRY(find(impl, r->id, "", &p));                                                    \
		action_##name(p, call);                                                            \
		return NULL;                                                                       \
	}

INIT_ACTION(pause, Shim3__PauseRequest)
INIT_ACTION(resume, Shim3__ResumeRequest)
INIT_ACTION(update, Shim3__UpdateTaskRequest)
INIT_ACTION(checkpoint, Shim3__CheckpointTaskRequest)

static struct err *handle_resize(struct rpc_call *call, void *impl)
{
	const Shim3__ResizePtyRequest *r = rpc_request(call);
	struct process *p;

	TRY(find(impl, r->id, r->exec_id, &p));
	TRY(state_check(p->state, ACTION_RESIZE, process_is_init(p)));
	if (p->stdio)
		TRY(stdio_resize(p->stdio, r->width, r->height));
	return reply_empty(call);
}

static struct err *handle_close_io(struct rpc_call *call, void *impl)
{
	const Shim3__CloseIORequest *r = rpc_request(call);
	struct process *p;

	TRY(find(impl, r->id, r->exec_id, &p));
	if (p->stdio)
		stdio_close_in(p->stdio);
	return reply_empty(call);
}

static struct err *handle_shutdown(struct rpc_call *call, void *impl)
{
	struct shim *s = impl;

	if (!s->containers.n && !s->sandbox)
		s->shutdown(s);
	return reply_empty(call);
}

/* --- the table --- */

#define METHOD(name, handler, request, reply)                                                      \
	name, RPC_UNARY, LANE_NORMAL, &shim3__##request##__descriptor, reply, handler
#define EMPTY &google__protobuf__empty__descriptor

static const struct rpc_method methods[] = {
	{METHOD("State", handle_state, state_request, &shim3__state_response__descriptor)},
	{METHOD("Create", handle_create, create_task_request,
		&shim3__create_task_response__descriptor)},
	{METHOD("Start", handle_start, start_request, &shim3__start_response__descriptor)},
	{METHOD("Delete", handle_delete, delete_request, &shim3__delete_response__descriptor)},
	{METHOD("Pids", handle_pids, pids_request, &shim3__pids_response__descriptor)},
	{METHOD("Pause", handle_pause, pause_request, EMPTY)},
	{METHOD("Resume", handle_resume, resume_request, EMPTY)},
	{METHOD("Checkpoint", handle_checkpoint, checkpoint_task_request, EMPTY)},
	{METHOD("Kill", handle_kill, kill_request, EMPTY)},
	{METHOD("Exec", handle_exec, exec_process_request, EMPTY)},
	{METHOD("ResizePty", handle_resize, resize_pty_request, EMPTY)},
	{METHOD("CloseIO", handle_close_io, close_iorequest, EMPTY)},
	{METHOD("Update", handle_update, update_task_request, EMPTY)},
	{METHOD("Wait", handle_wait, wait_request, &shim3__wait_response__descriptor)},
	{METHOD("Stats", handle_stats, stats_request, &shim3__stats_response__descriptor)},
	{METHOD("Connect", handle_connect, connect_request, &shim3__connect_response__descriptor)},
	{METHOD("Shutdown", handle_shutdown, shutdown_request, EMPTY)},
};

const struct rpc_service task_service_v2 = {"containerd.task.v2.Task", methods, ARRAY_LEN(methods)};
const struct rpc_service task_service_v3 = {"containerd.task.v3.Task", methods, ARRAY_LEN(methods)};
