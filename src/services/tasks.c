// SPDX-License-Identifier: Apache-2.0
#include "runtime/task-manager.h"

#include <assert.h>

#include "base/alloc.h"
#include "proto/runc-options.pb-c.h"
#include "proto/tasks.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static Tasktypes__Process *process_to_wire(const struct process_info *p, struct arena *arena)
{
	Tasktypes__Process *w = ARENA_NEW(arena, Tasktypes__Process);

	tasktypes__process__init(w);
	/* containerd names the process here, not the container. */
	w->id = (char *)(str_empty(p->exec_id) ? p->container_id : p->exec_id);
	w->pid = p->pid;
	w->status = (Tasktypes__Status)p->status;
	w->stdin = (char *)str_or(p->stdin_path, "");
	w->stdout = (char *)str_or(p->stdout_path, "");
	w->stderr = (char *)str_or(p->stderr_path, "");
	w->terminal = p->terminal;
	w->exit_status = p->exit_status;
	w->exited_at = timestamp_to_wire(p->exited_at, arena);
	return w;
}

/* Where a checkpoint to restore from has been unpacked: in runc's options or in the descriptor. */
static struct err *checkpoint_path(
	const Tasks__CreateTaskRequest *req, struct arena *arena, const char **ret)
{
	Runc__Options *options;

	*ret = NULL;
	if (any_is(req->options, runc__options__descriptor.name)) {
		TRY(message_from_any(
			req->options, &runc__options__descriptor, arena, (void **)&options));
		if (!str_empty(options->criu_image_path))
			*ret = options->criu_image_path;
	}
	for (size_t i = 0; req->checkpoint && i < req->checkpoint->n_annotations; i++) {
		if (str_eq(req->checkpoint->annotations[i]->key, "RestoreFromPath"))
			*ret = req->checkpoint->annotations[i]->value;
	}
	if (req->checkpoint && !*ret)
		return err_new(ERR_UNIMPLEMENTED,
			"restore of %s: give the unpacked checkpoint as a path (CriuImagePath)",
			req->checkpoint->digest);
	return NULL;
}

static struct err *tasks_handle_create(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__CreateTaskRequest *req = rpc_request(call);
	Tasks__CreateTaskResponse reply = TASKS__CREATE_TASK_RESPONSE__INIT;
	autoptr(container) c = NULL;
	autoval(any) options = ANY_INIT;
	autoval(mounts) rootfs = MOUNTS_INIT;
	struct task_create request;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(containers_get(svc->meta, &s, req->container_id, &c));
	any_from_wire(&options, req->options);
	mounts_from_wire(&rootfs, req->rootfs, req->n_rootfs);
	request = (struct task_create){
		.ns = s.ns,
		.id = req->container_id,
		.runtime = str_empty(req->runtime_path) ? c->runtime : req->runtime_path,
		.spec = &c->spec,
		.options = options.len ? &options : &c->runtime_options,
		.rootfs = &rootfs,
		.io = {req->stdin, req->stdout, req->stderr, req->terminal},
		.sandbox = str_empty(c->sandbox) ? NULL : c->sandbox,
		.task_api_address = req->task_api_address,
		.task_api_version = req->task_api_version,
	};
	TRY(checkpoint_path(req, rpc_arena(call), &request.checkpoint));
	TRY(task_create(svc->tasks, &request, rpc_cancel(call), &reply.pid));
	reply.container_id = req->container_id;
	return rpc_reply(call, &reply);
}

static struct err *tasks_handle_start(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__StartRequest *req = rpc_request(call);
	Tasks__StartResponse reply = TASKS__START_RESPONSE__INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_start(
		svc->tasks, s.ns, req->container_id, req->exec_id, rpc_cancel(call), &reply.pid));
	return rpc_reply(call, &reply);
}

static struct err *reply_exit(
	struct rpc_call *call, const char *id, const struct process_exit *exit)
{
	Tasks__DeleteResponse reply = TASKS__DELETE_RESPONSE__INIT;

	reply.id = (char *)id;
	reply.pid = exit->pid;
	reply.exit_status = exit->status;
	reply.exited_at = timestamp_to_wire(exit->at, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *tasks_handle_delete(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__DeleteTaskRequest *req = rpc_request(call);
	struct process_exit exit;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_delete(svc->tasks, s.ns, req->container_id, rpc_cancel(call), &exit));
	return reply_exit(call, "", &exit);
}

static struct err *tasks_handle_delete_process(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__DeleteProcessRequest *req = rpc_request(call);
	struct process_exit exit;
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_delete_process(
		svc->tasks, s.ns, req->container_id, req->exec_id, rpc_cancel(call), &exit));
	return reply_exit(call, req->exec_id, &exit);
}

static struct err *tasks_handle_get(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__GetRequest *req = rpc_request(call);
	Tasks__GetResponse reply = TASKS__GET_RESPONSE__INIT;
	autoval(process_info) p = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_get(svc->tasks, s.ns, req->container_id, req->exec_id, rpc_cancel(call), &p));
	reply.process = process_to_wire(&p, rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *tasks_handle_list(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	Tasks__ListTasksResponse reply = TASKS__LIST_TASKS_RESPONSE__INIT;
	autoval(process_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_list(svc->tasks, s.ns, rpc_cancel(call), &list));
	reply.n_tasks = list.n;
	reply.tasks = arena_array(rpc_arena(call), list.n, sizeof(*reply.tasks));
	for (size_t i = 0; i < list.n; i++)
		reply.tasks[i] = process_to_wire(&list.items[i], rpc_arena(call));
	return rpc_reply(call, &reply);
}

static struct err *tasks_handle_kill(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__KillRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_kill(svc->tasks, s.ns, req->container_id, req->exec_id, req->signal, req->all,
		rpc_cancel(call)));
	return reply_empty(call);
}

static struct err *tasks_handle_exec(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__ExecProcessRequest *req = rpc_request(call);
	struct task_io io = {req->stdin, req->stdout, req->stderr, req->terminal};
	autoval(any) spec = ANY_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	if (str_empty(req->exec_id))
		return err_new(ERR_INVALID, "exec id cannot be empty");
	any_from_wire(&spec, req->spec);
	TRY(task_exec(
		svc->tasks, s.ns, req->container_id, req->exec_id, &spec, &io, rpc_cancel(call)));
	return reply_empty(call);
}

static struct err *tasks_handle_resize(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__ResizePtyRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_resize(svc->tasks, s.ns, req->container_id, req->exec_id, req->width, req->height,
		rpc_cancel(call)));
	return reply_empty(call);
}

static struct err *tasks_handle_close_io(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__CloseIORequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_close_io(
		svc->tasks, s.ns, req->container_id, req->exec_id, req->stdin, rpc_cancel(call)));
	return reply_empty(call);
}

static struct err *tasks_handle_pause(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__PauseTaskRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_pause(svc->tasks, s.ns, req->container_id, rpc_cancel(call)));
	return reply_empty(call);
}

static struct err *tasks_handle_resume(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__ResumeTaskRequest *req = rpc_request(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_resume(svc->tasks, s.ns, req->container_id, rpc_cancel(call)));
	return reply_empty(call);
}

static struct err *tasks_handle_list_pids(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__ListPidsRequest *req = rpc_request(call);
	Tasks__ListPidsResponse reply = TASKS__LIST_PIDS_RESPONSE__INIT;
	autoval(task_pids) pids = {0};
	struct arena *arena = rpc_arena(call);
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(task_pids(svc->tasks, s.ns, req->container_id, rpc_cancel(call), &pids));
	reply.n_processes = pids.n;
	reply.processes = arena_array(arena, pids.n, sizeof(*reply.processes));
	for (size_t i = 0; i < pids.n; i++) {
		reply.processes[i] = ARENA_NEW(arena, Tasktypes__ProcessInfo);
		tasktypes__process_info__init(reply.processes[i]);
		reply.processes[i]->pid = pids.items[i].pid;
		reply.processes[i]->info = any_to_wire(&pids.items[i].info, arena);
	}
	return rpc_reply(call, &reply);
}

static struct err *tasks_handle_update(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__UpdateTaskRequest *req = rpc_request(call);
	autoval(any) resources = ANY_INIT;
	autoval(strmap) annotations = STRMAP_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	any_from_wire(&resources, req->resources);
	strmap_from_wire(&annotations, req->n_annotations, req->annotations);
	TRY(task_update(
		svc->tasks, s.ns, req->container_id, &resources, &annotations, rpc_cancel(call)));
	return reply_empty(call);
}

/* Into the directory that the runtime's options name. */
static struct err *tasks_handle_checkpoint(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__CheckpointTaskRequest *req = rpc_request(call);
	Tasks__CheckpointTaskResponse reply = TASKS__CHECKPOINT_TASK_RESPONSE__INIT;
	Runc__CheckpointOptions *options = NULL;
	autoval(any) raw = ANY_INIT;
	struct scope s;

	TRY(call_scope(call, &s));
	any_from_wire(&raw, req->options);
	if (any_is(req->options, runc__checkpoint_options__descriptor.name))
		TRY(message_from_any(req->options, &runc__checkpoint_options__descriptor,
			rpc_arena(call), (void **)&options));
	if (!options || str_empty(options->image_path))
		return err_new(ERR_UNIMPLEMENTED,
			"checkpoint of %s into content: name a directory (image path) instead",
			req->container_id);
	TRY(task_checkpoint(
		svc->tasks, s.ns, req->container_id, options->image_path, &raw, rpc_cancel(call)));
	return rpc_reply(call, &reply);
}

/* --- metrics --- */

struct metric_subject {
	const char *id, *ns;
};

static const char *metric_field(void *object, char *const *path, size_t n, bool *ret_present)
{
	const struct metric_subject *m = object;
	const char *value = NULL;

	if (n && str_eq(path[0], "id"))
		value = m->id;
	else if (n && str_eq(path[0], "namespace"))
		value = m->ns;
	*ret_present = value != NULL;
	return value;
}

/* NULL when the task is gone or its shim has no answer: the others count. */
static Types__Metric *collect_metric(
	struct services *svc, struct rpc_call *call, const struct metric_subject *m)
{
	struct arena *arena = rpc_arena(call);
	Types__Metric *w = ARENA_NEW(arena, Types__Metric);
	autoval(any) stats = ANY_INIT;
	autoptr(err) e = task_stats(svc->tasks, m->ns, m->id, rpc_cancel(call), &stats);

	if (e)
		return NULL;
	types__metric__init(w);
	w->timestamp = timestamp_to_wire(timestamp_now(), arena);
	w->id = arena_strdup(arena, m->id);
	w->data = ARENA_NEW(arena, Google__Protobuf__Any);
	google__protobuf__any__init(w->data);
	w->data->type_url = arena_strdup(arena, str_or(stats.type_url, ""));
	w->data->value.len = stats.len;
	w->data->value.data = arena_memdup(arena, stats.value, stats.len);
	return w;
}

static struct err *tasks_handle_metrics(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Tasks__MetricsRequest *req = rpc_request(call);
	Tasks__MetricsResponse reply = TASKS__METRICS_RESPONSE__INIT;
	autoptr(filter) f = NULL;
	autoval(process_list) list = {0};
	struct scope s;

	TRY(call_scope(call, &s));
	TRY(filter_parse(req->filters, req->n_filters, &f));
	TRY(task_list(svc->tasks, s.ns, rpc_cancel(call), &list));
	reply.metrics = arena_array(rpc_arena(call), list.n, sizeof(*reply.metrics));
	for (size_t i = 0; i < list.n; i++) {
		struct metric_subject m = {list.items[i].container_id, s.ns};
		Types__Metric *w = NULL;

		if (filter_match(f, metric_field, &m))
			w = collect_metric(svc, call, &m);
		if (w)
			reply.metrics[reply.n_metrics++] = w;
	}
	return rpc_reply(call, &reply);
}

/* --- wait: parked, and from here on only on the loop's thread --- */

struct waiting {
	struct services *svc;
	struct rpc_call *call;
	struct scope scope;
	struct task_wait *wait; /* NULL before it started */
	bool cancelled;
	bool *gone; /* set when the answer comes while the wait is being started */
};

static void wait_ended(void *arg, struct err *take_e, const struct process_exit *exit)
{
	struct waiting *w = arg;
	Tasks__WaitResponse reply = TASKS__WAIT_RESPONSE__INIT;

	if (w->gone)
		*w->gone = true;
	if (!take_e) {
		reply.exit_status = exit->status;
		reply.exited_at = timestamp_to_wire(exit->at, rpc_arena(w->call));
		take_e = rpc_reply(w->call, &reply);
	}
	rpc_finish(w->call, take_e);
}

static void wait_cancelled(struct rpc_call *call, void *arg)
{
	struct waiting *w = arg;

	w->cancelled = true;
	task_wait_forget(w->wait);
}

static void wait_begin(void *arg)
{
	struct waiting *w = arg;
	const Tasks__WaitRequest *req = rpc_request(w->call);
	struct task_wait *wait;
	bool gone = false;

	if (w->cancelled) {
		rpc_finish(w->call, cancel_check(rpc_cancel(w->call)));
		return;
	}
	w->gone = &gone;
	wait = task_wait_start(
		w->svc->tasks, w->scope.ns, req->container_id, req->exec_id, wait_ended, w);
	if (gone)
		return;
	w->gone = NULL;
	w->wait = wait;
}

static struct err *tasks_handle_wait(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	struct waiting *w = ARENA_NEW(rpc_arena(call), struct waiting);

	TRY(call_scope(call, &w->scope));
	w->svc = svc;
	w->call = call;
	rpc_park(call, wait_cancelled, w);
	loop_post(svc->loop, wait_begin, w);
	return NULL;
}

static const struct rpc_method methods[] = {
	{"Create", RPC_UNARY, LANE_NORMAL, &tasks__create_task_request__descriptor,
		&tasks__create_task_response__descriptor, tasks_handle_create},
	{"Start", RPC_UNARY, LANE_NORMAL, &tasks__start_request__descriptor,
		&tasks__start_response__descriptor, tasks_handle_start},
	{"Delete", RPC_UNARY, LANE_RESERVED, &tasks__delete_task_request__descriptor,
		&tasks__delete_response__descriptor, tasks_handle_delete},
	{"DeleteProcess", RPC_UNARY, LANE_RESERVED, &tasks__delete_process_request__descriptor,
		&tasks__delete_response__descriptor, tasks_handle_delete_process},
	{"Get", RPC_UNARY, LANE_NORMAL, &tasks__get_request__descriptor,
		&tasks__get_response__descriptor, tasks_handle_get},
	{"List", RPC_UNARY, LANE_NORMAL, &tasks__list_tasks_request__descriptor,
		&tasks__list_tasks_response__descriptor, tasks_handle_list},
	{"Kill", RPC_UNARY, LANE_RESERVED, &tasks__kill_request__descriptor,
		&google__protobuf__empty__descriptor, tasks_handle_kill},
	{"Exec", RPC_UNARY, LANE_NORMAL, &tasks__exec_process_request__descriptor,
		&google__protobuf__empty__descriptor, tasks_handle_exec},
	{"ResizePty", RPC_UNARY, LANE_NORMAL, &tasks__resize_pty_request__descriptor,
		&google__protobuf__empty__descriptor, tasks_handle_resize},
	{"CloseIO", RPC_UNARY, LANE_NORMAL, &tasks__close_iorequest__descriptor,
		&google__protobuf__empty__descriptor, tasks_handle_close_io},
	{"Pause", RPC_UNARY, LANE_NORMAL, &tasks__pause_task_request__descriptor,
		&google__protobuf__empty__descriptor, tasks_handle_pause},
	{"Resume", RPC_UNARY, LANE_NORMAL, &tasks__resume_task_request__descriptor,
		&google__protobuf__empty__descriptor, tasks_handle_resume},
	{"ListPids", RPC_UNARY, LANE_NORMAL, &tasks__list_pids_request__descriptor,
		&tasks__list_pids_response__descriptor, tasks_handle_list_pids},
	{"Checkpoint", RPC_UNARY, LANE_BULK, &tasks__checkpoint_task_request__descriptor,
		&tasks__checkpoint_task_response__descriptor, tasks_handle_checkpoint},
	{"Update", RPC_UNARY, LANE_NORMAL, &tasks__update_task_request__descriptor,
		&google__protobuf__empty__descriptor, tasks_handle_update},
	{"Metrics", RPC_UNARY, LANE_BULK, &tasks__metrics_request__descriptor,
		&tasks__metrics_response__descriptor, tasks_handle_metrics},
	{"Wait", RPC_UNARY, LANE_NORMAL, &tasks__wait_request__descriptor,
		&tasks__wait_response__descriptor, tasks_handle_wait},
};

const struct rpc_service tasks_service = {
	"containerd.services.tasks.v1.Tasks", methods, ARRAY_LEN(methods)};
