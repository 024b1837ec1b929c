// SPDX-License-Identifier: Apache-2.0
#include "shim/actions.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "proto/events.pb-c.h"
#include "proto/runc-options.pb-c.h"
#include "rpc/message.h"
#include "shim/launch.h"
#include "sys/mount.h"

#define DRAIN_MS 10000
#define RESOURCES_MAX ((size_t)1 << 20)

/* Runs "runc <words> <id>" for an operation. */
static void run_words(
	struct op *op, const char *const *words, runtime_fn fn, const struct runtime_call *with)
{
	struct container *c = op->process->container;
	struct runtime_call call = {.fn = fn, .arg = op};

	if (with) {
		call.input = with->input;
		call.input_len = with->input_len;
	}
	runtime_argv(&c->runtime, &call.argv);
	for (; *words; words++)
		strv_add(&call.argv, *words);
	runtime_start(c->shim->loop, c->shim->reaper, &c->runtime, &call);
}

static bool refused(struct op *op, enum action action)
{
	struct process *p = op->process;
	struct err *e = state_check(p->state, action, process_is_init(p));

	if (e)
		op_end(op, e);
	return e != NULL;
}

/* --- start --- */

static void reply_start(struct op *op)
{
	Shim3__StartResponse reply = SHIM3__START_RESPONSE__INIT;
	struct process *p = op->process;

	reply.pid = (uint32_t)p->pid;
	op_end(op, rpc_reply(op->call, &reply));
}

static void start_done(struct op *op, struct err *take_e)
{
	struct process *p = op->process;

	if (take_e) {
		process_failed(p);
		op_end(op, take_e);
		return;
	}
	p->state = STATE_RUNNING;
	if (process_is_init(p)) {
		Events__TaskStart e = EVENTS__TASK_START__INIT;

		e.container_id = p->container->id;
		e.pid = (uint32_t)p->pid;
		event_send(p, "/tasks/start", &e);
	} else {
		Events__TaskExecStarted e = EVENTS__TASK_EXEC_STARTED__INIT;

		e.container_id = p->container->id;
		e.exec_id = p->id;
		e.pid = (uint32_t)p->pid;
		event_send(p, "/tasks/exec-started", &e);
	}
	process_started(p);
	reply_start(op);
}

static void on_init_started(void *arg, const struct runtime_result *result)
{
	start_done(arg, runtime_error(result, "OCI runtime start failed"));
}

static void start_run(struct op *op)
{
	struct process *p = op->process;
	struct container *c = p->container;

	if (refused(op, ACTION_START))
		return;
	if (process_is_init(p)) {
		p->starting = p->started = true;
		if (p->state == STATE_RESTORABLE)
			launch(op, LAUNCH_RESTORE, start_done);
		else
			run_words(op, (const char *const[]){"start", c->id, NULL}, on_init_started,
				NULL);
		return;
	}
	if (!c->init || c->init->reaped || c->init->state == STATE_STOPPED) {
		op_end(op, err_new(ERR_PRECONDITION,
				   "container %s init process is not running: failed precondition",
				   c->id));
		return;
	}
	p->started = true;
	c->running_execs++;
	launch(op, LAUNCH_EXEC, start_done);
}

void action_start(struct process *p, struct rpc_call *call)
{
	op_submit(p, call, start_run);
}

/* --- delete --- */

static void reply_delete(struct op *op)
{
	Shim3__DeleteResponse reply = SHIM3__DELETE_RESPONSE__INIT;
	struct process *p = op->process;
	struct container *c = p->container;
	bool is_init = process_is_init(p);
	struct err *e;

	p->state = STATE_DELETED;
	reply.pid = (uint32_t)p->pid;
	reply.exit_status = p->exit.status;
	reply.exited_at = timestamp_to_wire(p->exit.at, rpc_arena(op->call));
	if (is_init) {
		Events__TaskDelete event = EVENTS__TASK_DELETE__INIT;

		event.container_id = c->id;
		event.pid = reply.pid;
		event.exit_status = reply.exit_status;
		event.exited_at = reply.exited_at;
		event_send(p, "/tasks/delete", &event);
	}
	e = rpc_reply(op->call, &reply);
	if (is_init)
		container_remove(c);
	else
		process_remove(p);
	op_end(op, e);
}

static void on_stdio_closed(void *arg)
{
	struct op *op = arg;
	struct process *p = op->process;
	struct err *e = op->state;

	op->state = NULL;
	if (process_is_init(p) && p->container->rootfs) {
		struct err *unmount =
			err_wrap(mount_detach(p->container->rootfs), "failed rootfs umount");

		if (e)
			err_free(unmount);
		else
			e = unmount;
	}
	if (e)
		op_end(op, e);
	else
		reply_delete(op);
}

static void close_stdio(struct op *op, struct err *take_e)
{
	struct process *p = op->process;
	struct stdio *s = p->stdio;

	p->stdio = NULL;
	op->state = take_e;
	stdio_close(s, on_stdio_closed, op);
}

static void close_deleted(struct op *op)
{
	close_stdio(op, NULL);
}

static void on_runtime_deleted(void *arg, const struct runtime_result *result)
{
	struct op *op = arg;
	autoptr(err) plain = runtime_plain_error(result);

	/* A checkpoint or an earlier attempt may have removed it already. */
	if (plain && !strstr(err_message(plain), "does not exist"))
		close_stdio(op, runtime_error(result, "failed to delete task"));
	else /* one that was never started dies now, and that is told before its end */
		process_until_exit(op, close_deleted);
}

static void on_drained(void *arg, bool left)
{
	struct op *op = arg;
	struct process *p = op->process;

	if (left)
		log_warn("output is left that nobody reads", "container", p->container->id,
			"process", p->id);
	if (process_is_init(p)) {
		run_words(op, (const char *const[]){"delete", p->container->id, NULL},
			on_runtime_deleted, NULL);
		return;
	}
	if (p->pid) {
		autofree char *pid_file = xasprintf("%s/%s.pid", p->container->bundle, p->id);

		unlink(pid_file);
	}
	close_stdio(op, NULL);
}

static void delete_run(struct op *op)
{
	struct process *p = op->process;

	if (refused(op, ACTION_DELETE))
		return;
	if (p->stdio && p->state == STATE_STOPPED)
		stdio_wait_drained(p->stdio, DRAIN_MS, on_drained, op);
	else
		on_drained(op, false);
}

void action_delete(struct process *p, struct rpc_call *call)
{
	op_submit(p, call, delete_run);
}

/* --- kill --- */

static struct err *already_finished(void)
{
	return err_new(ERR_NOT_FOUND, "process already finished: not found");
}

/* A runtime's words for a signal that found nobody, in containerd's. */
static struct err *kill_error(struct err *take_e)
{
	const char *text = err_message(take_e);
	struct err *e;

	if (!take_e)
		return NULL;
	if (strstr(text, "os: process already finished") || strstr(text, "container not running") ||
		strcasestr(text, "no such process"))
		e = already_finished();
	else if (strstr(text, "does not exist"))
		e = err_new(ERR_NOT_FOUND, "no such container: not found");
	else
		return err_wrap(take_e, "unknown error after kill");
	err_free(take_e);
	return e;
}

static void on_killed(void *arg, const struct runtime_result *result)
{
	op_end_empty(arg, kill_error(runtime_plain_error(result)));
}

static struct err *send_signal(const struct process *p, uint32_t signum)
{
	/* Not reaped yet, and nobody but us reaps it: the pid is still its own. */
	if (kill(p->pid, (int)signum) == 0)
		return NULL;
	if (errno == ESRCH)
		return already_finished();
	return err_sys(errno, "unknown error after kill");
}

static struct err *kill_exec(const struct process *p, uint32_t signum)
{
	if (p->reaped)
		return already_finished();
	if (!p->pid)
		return err_new(ERR_PRECONDITION, "process not created: failed precondition");
	return err_wrap(send_signal(p, signum), "exec kill error");
}

/* Whether a signal by us does all that the runtime's kill command would. */
static bool signal_is_enough(const struct process *p, const Shim3__KillRequest *r)
{
	const struct container *c = p->container;

	return !r->all && p->pid && p->state != STATE_PAUSED && runtime_is_native(&c->runtime) &&
	       (r->signal != SIGKILL || c->own_pids);
}

static void kill_run(struct op *op)
{
	const Shim3__KillRequest *r = rpc_request(op->call);
	struct process *p = op->process;
	char number[16];

	if (refused(op, ACTION_KILL))
		return;
	if (!process_is_init(p)) {
		op_end_empty(op, kill_exec(p, r->signal));
		return;
	}
	if (signal_is_enough(p, r)) {
		op_end_empty(op, p->reaped ? already_finished() : send_signal(p, r->signal));
		return;
	}
	snprintf(number, sizeof(number), "%u", r->signal);
	if (r->all)
		run_words(op,
			(const char *const[]){"kill", "--all", p->container->id, number, NULL},
			on_killed, NULL);
	else
		run_words(op, (const char *const[]){"kill", p->container->id, number, NULL},
			on_killed, NULL);
}

void action_kill(struct process *p, struct rpc_call *call)
{
	op_submit(p, call, kill_run);
}

/* --- pause, resume, update --- */

static void on_paused(void *arg, const struct runtime_result *result)
{
	struct op *op = arg;
	struct process *p = op->process;
	struct err *e = runtime_error(result, "OCI runtime pause failed");
	Events__TaskPaused event = EVENTS__TASK_PAUSED__INIT;

	p->pausing = false;
	if (!e && p->state == STATE_RUNNING) {
		p->state = STATE_PAUSED;
		event.container_id = p->container->id;
		event_send(p, "/tasks/paused", &event);
	}
	op_end_empty(op, e);
}

static void pause_run(struct op *op)
{
	if (refused(op, ACTION_PAUSE))
		return;
	op->process->pausing = true;
	run_words(op, (const char *const[]){"pause", op->process->container->id, NULL}, on_paused,
		NULL);
}

void action_pause(struct process *p, struct rpc_call *call)
{
	op_submit(p, call, pause_run);
}

static void on_resumed(void *arg, const struct runtime_result *result)
{
	struct op *op = arg;
	struct process *p = op->process;
	struct err *e = runtime_error(result, "OCI runtime resume failed");
	Events__TaskResumed event = EVENTS__TASK_RESUMED__INIT;

	if (!e) {
		if (p->state == STATE_PAUSED)
			p->state = STATE_RUNNING;
		event.container_id = p->container->id;
		event_send(p, "/tasks/resumed", &event);
	}
	op_end_empty(op, e);
}

static void resume_run(struct op *op)
{
	if (refused(op, ACTION_RESUME))
		return;
	run_words(op, (const char *const[]){"resume", op->process->container->id, NULL}, on_resumed,
		NULL);
}

void action_resume(struct process *p, struct rpc_call *call)
{
	op_submit(p, call, resume_run);
}

static void on_updated(void *arg, const struct runtime_result *result)
{
	op_end_empty(arg, runtime_plain_error(result));
}

static void update_run(struct op *op)
{
	const Shim3__UpdateTaskRequest *r = rpc_request(op->call);
	autoptr(json_object) resources = NULL;
	struct runtime_call with = {0};
	struct err *e;

	if (refused(op, ACTION_UPDATE))
		return;
	if (!r->resources || r->resources->value.len > RESOURCES_MAX) {
		op_end(op, err_new(ERR_INVALID, "update of %s: no resources, or too many",
				   op->process->container->id));
		return;
	}
	with.input = r->resources->value.data;
	with.input_len = r->resources->value.len;
	e = json_parse(with.input, with.input_len, &resources);
	if (e)
		op_end(op, err_wrap(e, "resources"));
	else
		run_words(op,
			(const char *const[]){
				"update", "--resources=-", op->process->container->id, NULL},
			on_updated, &with);
}

void action_update(struct process *p, struct rpc_call *call)
{
	op_submit(p, call, update_run);
}

/* --- checkpoint --- */

struct checkpoint {
	char *own_work; /* removed at the end; NULL: the client named one */
	char *work;
};

static void on_checkpointed(void *arg, const struct runtime_result *result)
{
	struct op *op = arg;
	struct checkpoint *k = op->state;
	struct container *c = op->process->container;
	struct err *e = runtime_plain_error(result);

	op->state = NULL;
	if (e) {
		autofree char *from = path_join(k->work, "dump.log"), *text = NULL;
		autofree char *to = path_join(c->bundle, "criu-dump.log");
		size_t len;
		autoptr(err) ignored = file_read(from, (size_t)8 << 20, &text, &len);
		const char *words = err_message(e);
		struct err *with_log;

		if (!ignored)
			ignored = file_write_atomic(to, text, len, 0644, false);
		with_log =
			err_new(ERR_UNKNOWN, "%.*s path= %s", (int)strcspn(words, "\n"), words, to);
		err_free(e);
		e = with_log;
	}
	if (k->own_work)
		err_free(remove_tree(k->own_work));
	free(k->own_work);
	free(k->work);
	free(k);
	op_end_empty(op, e);
}

static void checkpoint_words(struct strv *w, const struct container *c, const char *path,
	const char *work, const Runc__CheckpointOptions *o)
{
	strv_add(w, "checkpoint");
	strv_add(w, "--image-path");
	strv_add(w, path);
	strv_add(w, "--work-path");
	strv_add(w, work);
	if (*o->parent_path) {
		strv_add(w, "--parent-path");
		strv_add(w, o->parent_path);
	}
	if (o->open_tcp)
		strv_add(w, "--tcp-established");
	if (o->external_unix_sockets)
		strv_add(w, "--ext-unix-sk");
	if (o->terminal)
		strv_add(w, "--shell-job");
	if (o->file_locks)
		strv_add(w, "--file-locks");
	if (*o->cgroups_mode) {
		strv_add(w, "--manage-cgroups-mode");
		strv_add(w, o->cgroups_mode);
	}
	for (size_t i = 0; i < o->n_empty_namespaces; i++) {
		strv_add(w, "--empty-ns");
		strv_add(w, o->empty_namespaces[i]);
	}
	if (!o->exit)
		strv_add(w, "--leave-running");
	strv_add(w, c->id);
}

static void checkpoint_run(struct op *op)
{
	const Shim3__CheckpointTaskRequest *r = rpc_request(op->call);
	struct container *c = op->process->container;
	Runc__CheckpointOptions defaults = RUNC__CHECKPOINT_OPTIONS__INIT, *o = &defaults;
	autoval(strv) words = STRV_INIT;
	struct checkpoint *k;
	struct err *e;
	void *m;

	if (refused(op, ACTION_CHECKPOINT))
		return;
	if (r->options) {
		e = message_from_any(
			r->options, &runc__checkpoint_options__descriptor, rpc_arena(op->call), &m);
		if (e) {
			op_end(op, e);
			return;
		}
		o = m;
	}
	k = NEW(struct checkpoint);
	if (!*o->work_path)
		k->own_work = xasprintf("%s/work/criu-work", c->bundle);
	k->work = xstrdup(k->own_work ? k->own_work : o->work_path);
	op->state = k;
	checkpoint_words(&words, c, r->path, k->work, o);
	run_words(op, (const char *const *)strv_argv(&words), on_checkpointed, NULL);
}

void action_checkpoint(struct process *p, struct rpc_call *call)
{
	op_submit(p, call, checkpoint_run);
}

/* --- pids --- */

static struct process *exec_with_pid(const struct container *c, pid_t pid)
{
	void *p;

	for (size_t i = 0; map_next(&c->execs, &i, NULL, &p);)
		if (((struct process *)p)->pid == pid)
			return p;
	return NULL;
}

struct err *pids_reply(
	struct rpc_call *call, const struct container *c, const pid_t *pids, size_t n)
{
	struct arena *a = rpc_arena(call);
	Shim3__PidsResponse reply = SHIM3__PIDS_RESPONSE__INIT;

	reply.processes = arena_array(a, n + 1, sizeof(Tasktypes__ProcessInfo *));
	for (size_t i = 0; i < n; i++) {
		Tasktypes__ProcessInfo *info = ARENA_NEW(a, Tasktypes__ProcessInfo);
		const struct process *exec = exec_with_pid(c, pids[i]);
		Runc__ProcessDetails details = RUNC__PROCESS_DETAILS__INIT;

		tasktypes__process_info__init(info);
		info->pid = (uint32_t)pids[i];
		if (exec) {
			details.exec_id = exec->id;
			info->info = message_to_any(&details, a);
		}
		reply.processes[reply.n_processes++] = info;
	}
	return rpc_reply(call, &reply);
}

static struct err *reply_listed(struct op *op, const char *text)
{
	autoptr(json_object) list = NULL;
	autofree pid_t *pids = NULL;
	size_t n;

	TRY(json_parse(text, strlen(text), &list));
	if (!json_object_is_type(list, json_type_array))
		return err_new(ERR_UNKNOWN, "the runtime's list of processes is not a list");
	n = json_object_array_length(list);
	pids = xcalloc(n + 1, sizeof(*pids));
	for (size_t i = 0; i < n; i++)
		pids[i] = json_object_get_int(json_object_array_get_idx(list, i));
	return pids_reply(op->call, op->process->container, pids, n);
}

static void on_listed(void *arg, const struct runtime_result *result)
{
	struct op *op = arg;
	struct err *e = runtime_plain_error(result);

	op_end(op, e ? e : reply_listed(op, result->output));
}

static void ps_run(struct op *op)
{
	run_words(op,
		(const char *const[]){"ps", "--format", "json", op->process->container->id, NULL},
		on_listed, NULL);
}

void action_ps(struct process *p, struct rpc_call *call)
{
	op_submit(p, call, ps_run);
}
