// SPDX-License-Identifier: Apache-2.0
#include "client/tasks-internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "client/message-json.h"
#include "proto/cgroup1.pb-c.h"
#include "proto/cgroup2.pb-c.h"
#include "proto/runc-options.pb-c.h"

#define METRICS_JSON_MAX ((size_t)64 << 20)

static void task_from_wire(struct ctd_task *to, const Tasktypes__Process *p)
{
	*to = (struct ctd_task){
		.id = *p->container_id ? p->container_id : p->id,
		.pid = p->pid,
		.status = (enum ctd_status)p->status,
		.exit_status = p->exit_status,
		.exited_at = time_from_wire(p->exited_at),
		.std_in = p->stdin,
		.std_out = p->stdout,
		.std_err = p->stderr,
		.terminal = p->terminal,
	};
}

struct err *ctd_task_list(struct ctd_client *client, struct ctd_tasks **ret)
{
	autoptr(arena) arena = arena_new();
	Tasks__ListTasksRequest request = TASKS__LIST_TASKS_REQUEST__INIT;
	Tasks__ListTasksResponse *reply;

	TRY(call(SCOPE(client), TASKS "List", &request, &tasks__list_tasks_response__descriptor,
		arena, &reply));
	struct ctd_tasks *list = record_new(arena, sizeof(*list));
	struct ctd_task **items = arena_array(arena, reply->n_tasks, sizeof(*items));
	for (size_t i = 0; i < reply->n_tasks; i++) {
		items[i] = ARENA_NEW(arena, struct ctd_task);
		task_from_wire(items[i], reply->tasks[i]);
		/* In a list the daemon names the container in `id`. */
		if (*reply->tasks[i]->id)
			items[i]->id = reply->tasks[i]->id;
	}
	list->n = reply->n_tasks;
	list->items = (const struct ctd_task *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}

struct err *ctd_task_get(
	struct ctd_client *client, const char *id, const char *exec_id, struct ctd_task **ret)
{
	autoptr(arena) arena = arena_new();
	Tasks__GetRequest request = TASKS__GET_REQUEST__INIT;
	Tasks__GetResponse *reply;

	request.container_id = (char *)id;
	request.exec_id = (char *)str_or(exec_id, "");
	struct err *e = call(SCOPE(client), TASKS "Get", &request, &tasks__get_response__descriptor,
		arena, &reply);
	if (err_is(e, ERR_NOT_FOUND))
		return err_wrap(e, exec_id ? "no running process found" : "no running task found");
	TRY(e);
	if (!reply->process)
		return err_new(ERR_INTERNAL, "the daemon answered without the task");
	struct ctd_task *task = record_new(arena, sizeof(*task));
	task_from_wire(task, reply->process);
	*ret = task;
	TAKE(arena);
	return NULL;
}

/* Other types of details say nothing that a user knows. */
static const char *exec_of(const Google__Protobuf__Any *info, struct arena *arena)
{
	void *message = NULL;

	if (!info || !any_is(info, runc__process_details__descriptor.name))
		return "";
	autoptr(err) e =
		message_from_any(info, &runc__process_details__descriptor, arena, &message);
	return e ? "" : ((Runc__ProcessDetails *)message)->exec_id;
}

struct err *ctd_task_pids(struct ctd_client *client, const char *id, struct ctd_pids **ret)
{
	autoptr(arena) arena = arena_new();
	Tasks__ListPidsRequest request = TASKS__LIST_PIDS_REQUEST__INIT;
	Tasks__ListPidsResponse *reply;

	request.container_id = (char *)id;
	TRY(call(SCOPE(client), TASKS "ListPids", &request, &tasks__list_pids_response__descriptor,
		arena, &reply));
	struct ctd_pids *pids = record_new(arena, sizeof(*pids));
	struct ctd_pid *items = arena_array(arena, reply->n_processes, sizeof(*items));
	for (size_t i = 0; i < reply->n_processes; i++)
		items[i] = (struct ctd_pid){.pid = reply->processes[i]->pid,
			.exec_id = exec_of(reply->processes[i]->info, arena)};
	pids->n = reply->n_processes;
	pids->items = items;
	*ret = pids;
	TAKE(arena);
	return NULL;
}

struct err *ctd_task_kill(
	struct ctd_client *client, const char *id, const char *exec_id, uint32_t signal, bool all)
{
	Tasks__KillRequest request = TASKS__KILL_REQUEST__INIT;

	request.container_id = (char *)id;
	request.exec_id = (char *)str_or(exec_id, "");
	request.signal = signal;
	request.all = all;
	return call_void(SCOPE(client), TASKS "Kill", &request);
}

struct err *ctd_task_pause(struct ctd_client *client, const char *id)
{
	Tasks__PauseTaskRequest request = TASKS__PAUSE_TASK_REQUEST__INIT;

	request.container_id = (char *)id;
	return call_void(SCOPE(client), TASKS "Pause", &request);
}

struct err *ctd_task_resume(struct ctd_client *client, const char *id)
{
	Tasks__ResumeTaskRequest request = TASKS__RESUME_TASK_REQUEST__INIT;

	request.container_id = (char *)id;
	return call_void(SCOPE(client), TASKS "Resume", &request);
}

struct err *task_delete_call(
	const struct scope *s, const char *id, const char *exec_id, uint32_t *ret_status)
{
	autoptr(arena) arena = arena_new();
	Tasks__DeleteResponse *reply;

	if (exec_id) {
		Tasks__DeleteProcessRequest request = TASKS__DELETE_PROCESS_REQUEST__INIT;

		request.container_id = (char *)id;
		request.exec_id = (char *)exec_id;
		TRY(call(s, TASKS "DeleteProcess", &request, &tasks__delete_response__descriptor,
			arena, &reply));
	} else {
		Tasks__DeleteTaskRequest request = TASKS__DELETE_TASK_REQUEST__INIT;

		request.container_id = (char *)id;
		TRY(call(s, TASKS "Delete", &request, &tasks__delete_response__descriptor, arena,
			&reply));
	}
	if (ret_status)
		*ret_status = reply->exit_status;
	return NULL;
}

struct err *task_wait_start(
	const struct scope *s, const char *id, const char *exec_id, struct grpc_stream **ret)
{
	Tasks__WaitRequest request = TASKS__WAIT_REQUEST__INIT;

	request.container_id = (char *)id;
	request.exec_id = (char *)str_or(exec_id, "");
	return call_start(s, TASKS "Wait", &request, &tasks__wait_response__descriptor, ret);
}

struct err *task_wait_finish(struct grpc_stream *take_s, uint32_t *ret_status)
{
	autoptr(arena) arena = arena_new();
	Tasks__WaitResponse *reply;

	TRY(call_finish(take_s, arena, &reply));
	*ret_status = reply->exit_status;
	return NULL;
}

static const char *status_word(enum ctd_status status)
{
	static const char *const words[] = {
		"unknown", "created", "running", "stopped", "paused", "pausing"};

	return status < ARRAY_LEN(words) ? words[status] : "unknown";
}

/* Kill, and see its end. One that ended meanwhile is as good. */
static struct err *kill_and_wait(
	struct ctd_client *client, const struct ctd_task *task, const char *id, const char *exec_id)
{
	struct grpc_stream *wait = NULL;
	uint32_t status;

	if (task->status == CTD_STATUS_STOPPED || task->status == CTD_STATUS_UNKNOWN)
		return NULL;
	if (task->status == CTD_STATUS_PAUSED)
		TRY(ctd_task_resume(client, id));
	TRY(task_wait_start(SCOPE(client), id, exec_id, &wait));
	struct err *e = ctd_task_kill(client, id, exec_id, SIGKILL, false);
	if (e && !err_is(e, ERR_NOT_FOUND) && !err_is(e, ERR_PRECONDITION)) {
		grpc_stream_free(wait);
		return e;
	}
	if (e) {
		err_free(e);
		grpc_stream_free(wait);
		return NULL;
	}
	e = task_wait_finish(wait, &status);
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	return e;
}

static struct err *check_stopped(const struct ctd_task *task, const char *exec_id)
{
	enum ctd_status s = task->status;

	if (s == CTD_STATUS_STOPPED || s == CTD_STATUS_UNKNOWN ||
		(s == CTD_STATUS_CREATED && (exec_id || task->pid == 0)))
		return NULL;
	if (exec_id)
		return err_new(ERR_PRECONDITION,
			"current process state: %s, process must be stopped before deletion: "
			"failed precondition",
			status_word(s));
	return err_new(ERR_PRECONDITION,
		"task must be stopped before deletion: %s: failed precondition", status_word(s));
}

struct err *ctd_task_delete(struct ctd_client *client, const char *id, const char *exec_id,
	bool force, uint32_t *ret_status)
{
	struct ctd_task *task;

	TRY(ctd_task_get(client, id, exec_id, &task));
	struct err *e =
		force ? kill_and_wait(client, task, id, exec_id) : check_stopped(task, exec_id);
	if (!e)
		e = task_delete_call(SCOPE(client), id, exec_id, ret_status);
	if (!e)
		fifos_remove((const char *[]){task->std_in, task->std_out, task->std_err}, 3);
	ctd_free(task);
	return e;
}

static struct err *metrics_json(
	const Google__Protobuf__Any *data, struct arena *arena, const char **ret)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&cg1__metrics__descriptor, &cg2__metrics__descriptor};
	autoval(buf) b = BUF_INIT(METRICS_JSON_MAX);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		void *message;

		if (!any_is(data, types[i]->name))
			continue;
		TRY(message_from_any(data, types[i], arena, &message));
		if (!message_to_json(message, &b))
			return err_new(ERR_EXHAUSTED, "the metrics are too large");
		*ret = arena_memdup(arena, buf_str(&b), b.len + 1);
		return NULL;
	}
	return err_new(ERR_UNIMPLEMENTED, "cannot read metrics of the type %s", data->type_url);
}

struct err *ctd_task_metrics(struct ctd_client *client, const char *id, struct ctd_metrics **ret)
{
	autoptr(arena) arena = arena_new();
	Tasks__MetricsRequest request = TASKS__METRICS_REQUEST__INIT;
	Tasks__MetricsResponse *reply;
	char *filter = arena_printf(arena, "id==%s", id);

	request.n_filters = 1;
	request.filters = &filter;
	TRY(call(SCOPE(client), TASKS "Metrics", &request, &tasks__metrics_response__descriptor,
		arena, &reply));
	if (reply->n_metrics == 0 || !reply->metrics[0]->data)
		return err_new(ERR_NOT_FOUND, "no metrics received");
	struct ctd_metrics *m = record_new(arena, sizeof(*m));
	m->id = reply->metrics[0]->id;
	m->timestamp = time_from_wire(reply->metrics[0]->timestamp);
	m->type = reply->metrics[0]->data->type_url;
	TRY(metrics_json(reply->metrics[0]->data, arena, &m->json));
	*ret = m;
	TAKE(arena);
	return NULL;
}

struct err *ctd_task_checkpoint(
	struct ctd_client *client, const char *id, const struct ctd_checkpoint_options *given)
{
	struct ctd_checkpoint_options options = CTD_CHECKPOINT_INIT;
	autoptr(arena) arena = arena_new();
	Tasks__CheckpointTaskRequest request = TASKS__CHECKPOINT_TASK_REQUEST__INIT;
	Tasks__CheckpointTaskResponse *reply;
	Runc__CheckpointOptions runc = RUNC__CHECKPOINT_OPTIONS__INIT;

	memcpy(&options, given, MIN(given->size, sizeof(options)));
	if (str_empty(options.image_path))
		return err_new(ERR_INVALID, "a checkpoint needs a folder: say --image-path");
	runc.exit = options.exit;
	runc.image_path = (char *)options.image_path;
	runc.work_path = (char *)str_or(options.work_path, "");
	request.container_id = (char *)id;
	request.options = message_to_any(&runc, arena);
	TRY(ctd_task_pause(client, id));
	struct err *e = call(SCOPE(client), TASKS "Checkpoint", &request,
		&tasks__checkpoint_task_response__descriptor, arena, &reply);
	struct err *resumed = options.exit && !e ? NULL : ctd_task_resume(client, id);
	if (e) {
		err_free(resumed);
		return e;
	}
	return resumed;
}
