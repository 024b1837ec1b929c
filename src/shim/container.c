// SPDX-License-Identifier: Apache-2.0
#include "shim/container.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "rpc/message.h"
#include "shim/sandbox.h"

/* How long after the runtime said that it is gone a process may take to be reaped, and after the
 * init process the others of its container. */
#define EXIT_MS 5000

struct waiter {
	struct list node;
	struct rpc_call *call;
};

/* What still runs once the init process is gone. Lives until the command has ended. */
struct rest_kill {
	struct container *container; /* NULL: it was removed meanwhile */
	struct loop_timer *timer;
	bool ended, over; /* over: the exit of the init process waits no longer */
};

static void settle(struct process *p);

/* --- events --- */

void event_send(struct process *p, const char *topic, const void *message)
{
	autofree char *subject = xasprintf("%s/%s", p->container->id, p->id);

	publisher_send(p->container->shim->publisher, topic, subject, message);
}

static void tell_exit_event(struct process *p)
{
	autoptr(arena) a = arena_new();
	Events__TaskExit e = EVENTS__TASK_EXIT__INIT;

	e.container_id = p->container->id;
	e.id = *p->id ? p->id : p->container->id;
	e.pid = (uint32_t)p->pid;
	e.exit_status = p->exit.status;
	e.exited_at = timestamp_to_wire(p->exit.at, a);
	event_send(p, "/tasks/exit", &e);
}

/* --- containers --- */

struct container *container_new(
	struct shim *s, const char *id, const char *bundle, const struct options *take_options)
{
	struct container *c = NEW(struct container);

	c->shim = s;
	c->id = xstrdup(id);
	c->bundle = xstrdup(bundle);
	c->options = *take_options;
	runtime_init(&c->runtime, c->options.binary_name, c->options.root, s->ns, bundle,
		c->options.systemd_cgroup);
	map_set(&s->containers, id, c);
	return c;
}

static void rest_kill_leave(struct rest_kill *k)
{
	if (!k)
		return;
	loop_timer_free(k->timer);
	k->timer = NULL;
	k->container = NULL;
	if (k->ended)
		free(k);
}

static void container_free(struct container *c)
{
	rest_kill_leave(c->rest_kill);
	oom_watch_free(c->oom);
	cgroup_free(c->cgroup);
	runtime_done(&c->runtime);
	options_done(&c->options);
	map_done(&c->execs, NULL);
	free(c->rootfs);
	free(c->bundle);
	free(c->id);
	free(c);
}

static void free_if_empty(struct container *c)
{
	if (!c->init && !c->execs.n)
		container_free(c);
}

void container_remove(struct container *c)
{
	struct process *init = c->init;
	struct shim *s = c->shim;

	map_del(&s->containers, c->id);
	for (bool again = true; again;) {
		void *exec;

		again = false;
		for (size_t i = 0; !again && map_next(&c->execs, &i, NULL, &exec);) {
			again = !((struct process *)exec)->doomed;
			if (again)
				process_remove(exec);
		}
	}
	if (init)
		process_remove(init);
	else
		free_if_empty(c);
	sandbox_containers_changed(s);
}

struct err *container_unknown(void)
{
	return err_new(ERR_NOT_FOUND, "container not created: not found");
}

struct err *container_get(struct shim *s, const char *id, struct container **ret)
{
	struct container *c = map_get(&s->containers, id);

	if (!c || !c->created)
		return container_unknown();
	*ret = c;
	return NULL;
}

struct err *container_process(struct container *c, const char *exec_id, struct process **ret)
{
	struct process *p = str_empty(exec_id) ? c->init : map_get(&c->execs, exec_id);

	if (!p || p->doomed)
		return err_new(
			ERR_NOT_FOUND, "process does not exist %s: not found", str_or(exec_id, ""));
	*ret = p;
	return NULL;
}

/* --- processes --- */

struct process *process_new(struct container *c, const char *id, const char *in, const char *out,
	const char *err, bool terminal)
{
	struct process *p = NEW(struct process);

	p->container = c;
	p->id = xstrdup(id);
	p->spec = (struct stdio_spec){xstrdup(str_or(in, "")), xstrdup(str_or(out, "")),
		xstrdup(str_or(err, "")), terminal};
	p->stdio_context = (struct stdio_context){.loop = c->shim->loop,
		.reaper = c->shim->reaper,
		.ns = c->shim->ns,
		.id = *id ? p->id : c->id,
		.uid = c->options.io_uid,
		.gid = c->options.io_gid};
	list_init(&p->ops);
	list_init(&p->waiters);
	if (*id)
		map_set(&c->execs, id, p);
	else
		c->init = p;
	return p;
}

bool process_is_init(const struct process *p)
{
	return !*p->id;
}

static void answer_waiter(struct waiter *w, struct err *take_e)
{
	struct rpc_call *call = w->call;

	list_remove(&w->node);
	free(w);
	rpc_finish(call, take_e);
}

static void answer_waiters(struct process *p, enum err_class class)
{
	list_each(struct waiter, w, &p->waiters, node)
	{
		Shim3__WaitResponse reply = SHIM3__WAIT_RESPONSE__INIT;

		if (class != ERR_OK) {
			answer_waiter(
				w, err_new(class, "process does not exist %s: not found", p->id));
			continue;
		}
		reply.exit_status = p->exit.status;
		reply.exited_at = timestamp_to_wire(p->exit.at, rpc_arena(w->call));
		answer_waiter(w, rpc_reply(w->call, &reply));
	}
}

static void process_free(struct process *p)
{
	struct container *c = p->container;

	answer_waiters(p, ERR_NOT_FOUND);
	if (p->pid && !p->reaped)
		reaper_disown(c->shim->reaper, p->pid);
	stdio_close(p->stdio, NULL, NULL);
	if (process_is_init(p))
		c->init = NULL;
	else
		map_del(&c->execs, p->id);
	stdio_spec_done(&p->spec);
	free(p->spec_json);
	free(p->checkpoint);
	free(p->parent_checkpoint);
	free(p->id);
	free(p);
	if (map_get(&c->shim->containers, c->id) != (void *)c)
		free_if_empty(c);
}

void process_remove(struct process *p)
{
	p->doomed = true;
	if (list_empty(&p->ops) && !p->pumping)
		process_free(p);
}

/* --- exits --- */

static void stop_waiting(struct process *p)
{
	struct op *op = p->until_exit;

	if (!op)
		return;
	p->until_exit = NULL;
	loop_timer_free(p->exit_timer);
	p->exit_timer = NULL;
	p->on_exit(op);
}

static void on_exit_overdue(void *arg)
{
	struct process *p = arg;

	log_warn("exit is overdue", "container", p->container->id, "process", p->id);
	stop_waiting(p);
}

void process_until_exit(struct op *op, void (*fn)(struct op *op))
{
	struct process *p = op->process;

	if (!p->pid || p->exit_told) {
		fn(op);
		return;
	}
	p->until_exit = op;
	p->on_exit = fn;
	p->exit_timer = loop_timer_new(p->container->shim->loop, on_exit_overdue, p);
	loop_timer_set(p->exit_timer, EXIT_MS);
}

static void ignore_result(void *arg, const struct runtime_result *result)
{
	autoptr(err) e = runtime_plain_error(result);

	if (e)
		log_warn(arg, "error", err_message(e));
}

static void run_aside(struct container *c, runtime_fn fn, const void *arg, const char *const *words)
{
	struct runtime_call call = {.fn = fn, .arg = (void *)(uintptr_t)arg};

	runtime_argv(&c->runtime, &call.argv);
	for (; *words; words++)
		strv_add(&call.argv, *words);
	runtime_start(c->shim->loop, c->shim->reaper, &c->runtime, &call);
}

static void tell_exit(struct process *p)
{
	struct container *c = p->container;

	p->exit_told = true;
	if (p->state == STATE_PAUSED)
		run_aside(c, ignore_result, "resume exited container from paused state",
			(const char *const[]){"resume", c->id, NULL});
	p->state = STATE_STOPPED;
	if (p->stdio)
		stdio_process_exited(p->stdio);
	if (process_is_init(p)) {
		oom_watch_poll(c->oom);
		oom_watch_free(c->oom);
		c->oom = NULL;
	}
	tell_exit_event(p);
	answer_waiters(p, ERR_OK);
	if (process_is_init(p))
		sandbox_containers_changed(c->shim);
}

static void rest_kill_over(struct rest_kill *k)
{
	k->over = true;
	loop_timer_clear(k->timer);
	if (k->container->init)
		settle(k->container->init);
}

static void on_rest_overdue(void *arg)
{
	struct rest_kill *k = arg;

	log_warn("killing the rest of the container is overdue", "container", k->container->id);
	rest_kill_over(k);
}

static void on_rest_killed(void *arg, const struct runtime_result *result)
{
	struct rest_kill *k = arg;

	ignore_result((void *)(uintptr_t)"kill the rest of the container", result);
	k->ended = true;
	if (!k->container)
		free(k);
	else if (!k->over)
		rest_kill_over(k);
}

/* Others of the container may outlive an init process whose pid namespace is not its own. Who hears
 * of its exit may rely on their end. */
static bool rest_is_gone(struct container *c)
{
	if (!c->own_pids && !c->rest_kill) {
		struct rest_kill *k = NEW(struct rest_kill);

		c->rest_kill = k;
		k->container = c;
		k->timer = loop_timer_new(c->shim->loop, on_rest_overdue, k);
		loop_timer_set(k->timer, EXIT_MS);
		run_aside(c, on_rest_killed, k,
			(const char *const[]){"kill", "--all", c->id, "9", NULL});
	}
	return (c->own_pids || c->rest_kill->over) && !c->running_execs;
}

static void leave_running(struct process *p)
{
	struct container *c = p->container;

	if (!p->started)
		return;
	p->started = false;
	if (process_is_init(p))
		return;
	c->running_execs--;
	if (c->init)
		settle(c->init);
}

static void settle(struct process *p)
{
	if (!p->reaped || p->exit_told || p->starting || p->state == STATE_DELETED)
		return;
	if (process_is_init(p) && !rest_is_gone(p->container))
		return;
	tell_exit(p);
	leave_running(p);
	stop_waiting(p);
}

static void on_process_exit(void *arg, const struct child_exit *exit)
{
	struct process *p = arg;

	p->reaped = true;
	p->exit = *exit;
	settle(p);
}

void process_claim(struct process *p, pid_t pid, uint64_t mark)
{
	p->pid = pid;
	reaper_claim(p->container->shim->reaper, pid, mark, on_process_exit, p);
}

void process_started(struct process *p)
{
	p->starting = false;
	settle(p);
}

void process_failed(struct process *p)
{
	p->starting = false;
	if (p->reaped || p->pid) { /* it had been created before */
		settle(p);
		return;
	}
	p->exit = (struct child_exit){.status = 255, .at = timestamp_now()};
	answer_waiters(p, ERR_OK);
	leave_running(p);
}

static void on_wait_cancelled(struct rpc_call *call, void *arg)
{
	struct waiter *w = arg;

	(void)call;
	answer_waiter(w, err_new(ERR_CANCELLED, "context canceled"));
}

struct err *process_wait(struct process *p, struct rpc_call *call)
{
	struct waiter *w;

	if (p->exit_told) {
		Shim3__WaitResponse reply = SHIM3__WAIT_RESPONSE__INIT;

		reply.exit_status = p->exit.status;
		reply.exited_at = timestamp_to_wire(p->exit.at, rpc_arena(call));
		return rpc_reply(call, &reply);
	}
	w = NEW(struct waiter);
	w->call = call;
	list_append(&p->waiters, &w->node);
	rpc_park(call, on_wait_cancelled, w);
	return NULL;
}

/* --- operations --- */

static void pump(struct process *p)
{
	if (p->pumping)
		return;
	p->pumping = true;
	while (!list_empty(&p->ops) && !p->op_running) {
		struct op *op = list_first(&p->ops, struct op, node);

		p->op_running = true;
		op->run(op);
	}
	p->pumping = false;
	if (p->doomed && list_empty(&p->ops))
		process_free(p);
}

void op_submit(struct process *p, struct rpc_call *call, void (*run)(struct op *op))
{
	struct op *op = NEW(struct op);

	*op = (struct op){.process = p, .call = call, .run = run};
	rpc_park(call, NULL, NULL);
	list_append(&p->ops, &op->node);
	pump(p);
}

void op_end(struct op *op, struct err *take_e)
{
	struct process *p = op->process;
	struct rpc_call *call = op->call;

	list_remove(&op->node);
	free(op);
	p->op_running = false;
	rpc_finish(call, take_e);
	pump(p);
}

void op_end_empty(struct op *op, struct err *take_e)
{
	Google__Protobuf__Empty reply = GOOGLE__PROTOBUF__EMPTY__INIT;

	op_end(op, take_e ? take_e : rpc_reply(op->call, &reply));
}
