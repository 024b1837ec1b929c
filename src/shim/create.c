// SPDX-License-Identifier: Apache-2.0
/* Creating a container: rootfs, stdio, the runtime's `create`, and what is known of it then. */
#include "shim/actions.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "proto/events.pb-c.h"
#include "rpc/message.h"
#include "shim/launch.h"
#include "shim/sandbox.h"
#include "sys/mount.h"

static struct err *mount_rootfs(struct container *c, const Shim3__CreateTaskRequest *r)
{
	autoval(mounts) mounts = MOUNTS_INIT;
	autofree char *rootfs = path_join(c->bundle, "rootfs");

	if (!r->n_rootfs)
		return NULL;
	if (mkdir(rootfs, 0711) < 0 && errno != EEXIST)
		return err_sys(errno, "create %s", rootfs);
	for (size_t i = 0; i < r->n_rootfs; i++) {
		const Types__Mount *from = r->rootfs[i];
		struct mount *m = mounts_add(&mounts, from->type, from->source, from->target);

		for (size_t j = 0; j < from->n_options; j++)
			strv_add(&m->options, from->options[j]);
	}
	TRY(err_wrap(mounts_attach(&mounts, rootfs), "failed to mount rootfs component"));
	c->rootfs = TAKE(rootfs);
	return NULL;
}

static void create_failed(struct op *op, struct err *take_e)
{
	struct container *c = op->process->container;

	if (c->rootfs) {
		autoptr(err) e = mount_detach(c->rootfs);

		if (e)
			log_warn("failed to cleanup rootfs mount", "container", c->id, "error",
				err_message(e));
	}
	container_remove(c);
	op_end(op, take_e);
}

static void on_undone(void *arg, const struct runtime_result *result)
{
	struct op *op = arg;
	struct err *e = op->state;

	(void)result;
	op->state = NULL;
	create_failed(op, e);
}

/* The runtime made it, but we cannot use it: unmake it. */
static void undo(struct op *op, struct err *take_e)
{
	struct container *c = op->process->container;
	struct runtime_call call = {.fn = on_undone, .arg = op};

	op->state = take_e;
	runtime_argv(&c->runtime, &call.argv);
	strv_add(&call.argv, "delete");
	strv_add(&call.argv, "--force");
	strv_add(&call.argv, c->id);
	runtime_start(c->shim->loop, c->shim->reaper, &c->runtime, &call);
}

static void on_oom(void *arg)
{
	struct container *c = arg;
	Events__TaskOOM e = EVENTS__TASK_OOM__INIT;

	e.container_id = c->id;
	event_send(c->init, "/tasks/oom", &e);
}

/* The first of its pid namespace takes all others with it when it dies. */
static bool is_first_of_namespace(pid_t pid)
{
	autofree char *path = xasprintf("/proc/%d/status", (int)pid), *text = NULL;
	autoptr(err) e = file_read(path, 65536, &text, &(size_t){0});
	const char *line = e ? NULL : strstr(text, "\nNSpid:");
	size_t len;

	if (!line)
		return false;
	line++;
	len = strcspn(line, "\n");
	return len >= 2 && line[len - 1] == '1' && line[len - 2] == '\t' &&
	       memchr(line + strlen("NSpid:\t"), '\t', len - strlen("NSpid:\t"));
}

static void learn(struct container *c)
{
	autoptr(err) e = cgroup_of(c->init->pid, &c->cgroup);

	c->own_pids = is_first_of_namespace(c->init->pid);
	if (!e)
		e = oom_watch_new(c->shim->loop, c->cgroup, on_oom, c, &c->oom);
	if (e)
		log_debug("no out-of-memory events", "container", c->id, "error", err_message(e));
}

static void tell_create(struct container *c, const Shim3__CreateTaskRequest *r)
{
	Events__TaskCreate e = EVENTS__TASK_CREATE__INIT;
	Events__TaskIO io = EVENTS__TASK_IO__INIT;

	io.stdin = c->init->spec.in;
	io.stdout = c->init->spec.out;
	io.stderr = c->init->spec.err;
	io.terminal = r->terminal;
	e.container_id = c->id;
	e.bundle = c->bundle;
	e.rootfs = r->rootfs;
	e.n_rootfs = r->n_rootfs;
	e.io = &io;
	e.checkpoint = r->checkpoint;
	e.pid = (uint32_t)c->init->pid;
	event_send(c->init, "/tasks/create", &e);
}

static void create_done(struct op *op, struct err *take_e)
{
	Shim3__CreateTaskResponse reply = SHIM3__CREATE_TASK_RESPONSE__INIT;
	struct process *p = op->process;
	struct container *c = p->container;
	struct shim *s = c->shim;

	if (take_e) {
		if (c->made)
			undo(op, take_e);
		else
			create_failed(op, take_e);
		return;
	}
	if (p->pid)
		learn(c);
	c->created = true;
	tell_create(c, rpc_request(op->call));
	reply.pid = (uint32_t)p->pid;
	take_e = rpc_reply(op->call, &reply);
	process_started(p);
	op_end(op, take_e);
	sandbox_containers_changed(s);
}

static void create_run(struct op *op)
{
	const Shim3__CreateTaskRequest *r = rpc_request(op->call);
	struct process *p = op->process;
	struct err *e = options_save(&p->container->options, p->container->bundle);

	if (!e)
		e = mount_rootfs(p->container, r);
	if (e) {
		create_failed(op, e);
		return;
	}
	if (str_empty(r->checkpoint)) {
		launch(op, LAUNCH_CREATE, create_done);
		return;
	}
	p->state = STATE_RESTORABLE;
	p->checkpoint = xstrdup(r->checkpoint);
	if (!str_empty(r->parent_checkpoint))
		p->parent_checkpoint = xstrdup(r->parent_checkpoint);
	launch_open(op, create_done);
}

void action_create(struct container *c, struct rpc_call *call)
{
	op_submit(c->init, call, create_run);
}
