// SPDX-License-Identifier: Apache-2.0
/* What is asked of a running task: one call to its shim each. */
#include <assert.h>

#include "base/identifier.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "proto/task-types.pb-c.h"
#include "runtime/task-internal.h"

/* Find the task, set the request's id, call; for calls that answer nothing. */
#define CALL_PLAIN(m, ns, id_, method, request, cancel)                                            \
	({                                                                                         \
		autoptr(task) call_t_ = NULL;                                                      \
		struct err *call_e_ = task_find((m), (ns), (id_), &call_t_);                       \
		if (!call_e_) {                                                                    \
			(request).id = call_t_->shim.id;                                           \
			call_e_ = call_plain(call_t_, (method), &(request), (cancel));             \
		}                                                                                  \
		call_e_;                                                                           \
	})

static struct err *call_plain(
	struct task *t, const char *method, const void *request, struct cancel *cancel)
{
	autoptr(arena) arena = arena_new();
	void *m = NULL;

	return task_call(
		t, method, request, &google__protobuf__empty__descriptor, 0, cancel, arena, &m);
}

struct err *task_start(struct task_manager *m, const char *ns, const char *id, const char *exec,
	struct cancel *cancel, uint32_t *ret_pid)
{
	Shim3__StartRequest request = SHIM3__START_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(task) t = NULL;
	void *r = NULL;

	TRY(task_find(m, ns, id, &t));
	request.id = t->shim.id;
	request.exec_id = (char *)str_or(exec, "");
	TRY(task_call(
		t, "Start", &request, &shim3__start_response__descriptor, 0, cancel, arena, &r));
	*ret_pid = ((const Shim3__StartResponse *)r)->pid;
	return NULL;
}

struct err *task_kill(struct task_manager *m, const char *ns, const char *id, const char *exec,
	uint32_t signum, bool all, struct cancel *cancel)
{
	Shim3__KillRequest request = SHIM3__KILL_REQUEST__INIT;

	request.exec_id = (char *)str_or(exec, "");
	request.signal = signum;
	request.all = all && str_empty(exec);
	return CALL_PLAIN(m, ns, id, "Kill", request, cancel);
}

struct err *task_exec(struct task_manager *m, const char *ns, const char *id, const char *exec,
	const struct any *spec, const struct task_io *io, struct cancel *cancel)
{
	Shim3__ExecProcessRequest request = SHIM3__EXEC_PROCESS_REQUEST__INIT;
	autoptr(arena) arena = arena_new();

	if (str_empty(exec))
		return err_new(ERR_INVALID, "exec id cannot be empty");
	TRY(err_wrap(identifier_check(exec), "invalid exec id %s", exec));
	request.exec_id = (char *)exec;
	request.terminal = io->terminal;
	request.stdin = (char *)str_or(io->stdin_path, "");
	request.stdout = (char *)str_or(io->stdout_path, "");
	request.stderr = (char *)str_or(io->stderr_path, "");
	if (spec)
		request.spec = any_to_wire(spec, arena);
	return CALL_PLAIN(m, ns, id, "Exec", request, cancel);
}

struct err *task_resize(struct task_manager *m, const char *ns, const char *id, const char *exec,
	uint32_t width, uint32_t height, struct cancel *cancel)
{
	Shim3__ResizePtyRequest request = SHIM3__RESIZE_PTY_REQUEST__INIT;

	request.exec_id = (char *)str_or(exec, "");
	request.width = width;
	request.height = height;
	return CALL_PLAIN(m, ns, id, "ResizePty", request, cancel);
}

struct err *task_close_io(struct task_manager *m, const char *ns, const char *id, const char *exec,
	bool close_stdin, struct cancel *cancel)
{
	Shim3__CloseIORequest request = SHIM3__CLOSE_IOREQUEST__INIT;
	autoptr(task) t = NULL;

	if (!close_stdin)
		return task_find(m, ns, id, &t);
	request.exec_id = (char *)str_or(exec, "");
	request.stdin = true;
	return CALL_PLAIN(m, ns, id, "CloseIO", request, cancel);
}

struct err *task_pause(
	struct task_manager *m, const char *ns, const char *id, struct cancel *cancel)
{
	Shim3__PauseRequest request = SHIM3__PAUSE_REQUEST__INIT;

	return CALL_PLAIN(m, ns, id, "Pause", request, cancel);
}

struct err *task_resume(
	struct task_manager *m, const char *ns, const char *id, struct cancel *cancel)
{
	Shim3__ResumeRequest request = SHIM3__RESUME_REQUEST__INIT;

	return CALL_PLAIN(m, ns, id, "Resume", request, cancel);
}

static void annotation_init(void *entry)
{
	shim3__update_task_request__annotations_entry__init(entry);
}

struct err *task_update(struct task_manager *m, const char *ns, const char *id,
	const struct any *resources, const struct strmap *annotations, struct cancel *cancel)
{
	Shim3__UpdateTaskRequest request = SHIM3__UPDATE_TASK_REQUEST__INIT;
	autoptr(arena) arena = arena_new();

	if (resources)
		request.resources = any_to_wire(resources, arena);
	if (annotations)
		request.annotations =
			STRMAP_TO_WIRE(annotations, Shim3__UpdateTaskRequest__AnnotationsEntry,
				annotation_init, arena, &request.n_annotations);
	return CALL_PLAIN(m, ns, id, "Update", request, cancel);
}

struct err *task_checkpoint(struct task_manager *m, const char *ns, const char *id,
	const char *path, const struct any *options, struct cancel *cancel)
{
	Shim3__CheckpointTaskRequest request = SHIM3__CHECKPOINT_TASK_REQUEST__INIT;
	autoptr(arena) arena = arena_new();

	request.path = (char *)str_or(path, "");
	if (options)
		request.options = any_to_wire(options, arena);
	return CALL_PLAIN(m, ns, id, "Checkpoint", request, cancel);
}

struct err *task_stats(struct task_manager *m, const char *ns, const char *id,
	struct cancel *cancel, struct any *ret)
{
	Shim3__StatsRequest request = SHIM3__STATS_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(task) t = NULL;
	void *r = NULL;

	TRY(task_find(m, ns, id, &t));
	request.id = t->shim.id;
	TRY(task_call(
		t, "Stats", &request, &shim3__stats_response__descriptor, 0, cancel, arena, &r));
	any_from_wire(ret, ((const Shim3__StatsResponse *)r)->stats);
	return NULL;
}

/* --- pids --- */

void task_pids_done(struct task_pids *p)
{
	for (size_t i = 0; i < p->n; i++)
		any_done(&p->items[i].info);
	free(p->items);
	*p = (struct task_pids){0};
}

struct err *task_pids(struct task_manager *m, const char *ns, const char *id, struct cancel *cancel,
	struct task_pids *ret)
{
	Shim3__PidsRequest request = SHIM3__PIDS_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	const Shim3__PidsResponse *response;
	autoptr(task) t = NULL;
	void *r = NULL;

	TRY(task_find(m, ns, id, &t));
	request.id = t->shim.id;
	TRY(task_call(
		t, "Pids", &request, &shim3__pids_response__descriptor, 0, cancel, arena, &r));
	response = r;
	*ret = (struct task_pids){0};
	for (size_t i = 0; i < response->n_processes; i++) {
		struct task_pid *p;

		GROW(ret->items, ret->n, ret->cap);
		p = &ret->items[ret->n++];
		*p = (struct task_pid){.pid = response->processes[i]->pid};
		any_from_wire(&p->info, response->processes[i]->info);
	}
	return NULL;
}

/* --- state --- */

void process_info_done(struct process_info *p)
{
	free(p->container_id);
	free(p->exec_id);
	free(p->stdin_path);
	free(p->stdout_path);
	free(p->stderr_path);
	*p = (struct process_info){0};
}

void process_list_done(struct process_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		process_info_done(&l->items[i]);
	free(l->items);
	*l = (struct process_list){0};
}

static void info_from_wire(
	struct process_info *to, const struct task *t, const Shim3__StateResponse *r)
{
	*to = (struct process_info){
		.container_id = xstrdup(t->shim.id),
		.exec_id = xstrdup(str_or(r->exec_id, "")),
		.pid = r->pid,
		.status = r->status >= 0 && (int)r->status <= TASK_PAUSING
				  ? (enum task_status)r->status
				  : TASK_UNKNOWN,
		.stdin_path = xstrdup(str_or(r->stdin, "")),
		.stdout_path = xstrdup(str_or(r->stdout, "")),
		.stderr_path = xstrdup(str_or(r->stderr, "")),
		.terminal = r->terminal,
		.exit_status = r->exit_status,
		.exited_at = timestamp_from_wire(r->exited_at),
	};
}

struct err *task_get(struct task_manager *m, const char *ns, const char *id, const char *exec,
	struct cancel *cancel, struct process_info *ret)
{
	Shim3__StateRequest request = SHIM3__STATE_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(task) t = NULL;
	void *r = NULL;

	TRY(task_find(m, ns, id, &t));
	request.id = t->shim.id;
	request.exec_id = (char *)str_or(exec, "");
	TRY(task_call(t, "State", &request, &shim3__state_response__descriptor,
		m->options.state_timeout_ms, cancel, arena, &r));
	info_from_wire(ret, t, r);
	return NULL;
}

/* --- all of them --- */

struct listing {
	struct lock lock;
	struct cond cond;
	size_t left; /* guarded by lock */
};

struct listed {
	struct listing *listing;
	struct task *t; /* a reference */
	struct process_info info;
	bool gone;
};

struct listed_tasks {
	struct listed *items;
	size_t n, cap;
};

static void collect(struct task_manager *m, const char *ns, struct listed_tasks *to)
{
	const char *key;
	void *value;

	LOCKED(&m->lock);
	for (size_t i = 0; map_next(&m->tasks, &i, &key, &value);) {
		struct task *t = value;

		if (t->state != TASK_LIVE || !str_eq(t->shim.ns, ns))
			continue;
		GROW(to->items, to->n, to->cap);
		to->items[to->n++] = (struct listed){.t = task_ref(t)};
	}
}

static void on_state(void *arg, const struct err *e, const void *reply)
{
	struct listed *l = arg;

	if (!e)
		info_from_wire(&l->info, l->t, reply);
	else if (err_is(e, ERR_NOT_FOUND) || err_is_closed(e))
		l->gone = true; /* deleted meanwhile */
	else
		l->info = (struct process_info){.container_id = xstrdup(l->t->shim.id),
			.exec_id = xstrdup(""),
			.pid = l->t->pid,
			.stdin_path = xstrdup(""),
			.stdout_path = xstrdup(""),
			.stderr_path = xstrdup("")};
	LOCKED(&l->listing->lock);
	l->listing->left--;
	cond_signal(&l->listing->cond);
}

static void ask_all(struct listed_tasks *all, int64_t timeout_ms)
{
	Shim3__StateRequest request = SHIM3__STATE_REQUEST__INIT;
	struct listing l = {.left = all->n};

	lock_init(&l.lock);
	cond_init(&l.cond);
	for (size_t i = 0; i < all->n; i++) {
		struct task *t = all->items[i].t;

		all->items[i].listing = &l;
		request.id = t->shim.id;
		ttrpc_call_async(t->shim.client, t->shim.ns, shim_task_service(&t->shim), "State",
			&request, &shim3__state_response__descriptor, timeout_ms, on_state,
			&all->items[i]);
	}
	lock_take(&l.lock);
	while (l.left)
		cond_wait(&l.cond, &l.lock);
	lock_drop(&l.lock);
	cond_done(&l.cond);
	lock_done(&l.lock);
}

struct err *task_list(
	struct task_manager *m, const char *ns, struct cancel *cancel, struct process_list *ret)
{
	struct listed_tasks all = {0};

	assert(!loop_is_current(m->host.loop));
	TRY(cancel_check(cancel));
	collect(m, ns, &all);
	ask_all(&all, m->options.state_timeout_ms);
	*ret = (struct process_list){0};
	for (size_t i = 0; i < all.n; i++) {
		if (!all.items[i].gone) {
			GROW(ret->items, ret->n, ret->cap);
			ret->items[ret->n++] = all.items[i].info;
		}
		task_unref(all.items[i].t);
	}
	free(all.items);
	return NULL;
}
