// SPDX-License-Identifier: Apache-2.0
#include "shim/launch.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "shim/console.h"

struct launch {
	enum launch_kind kind;
	struct console_socket *console; /* NULL: no terminal */
	char *pid_file, *spec_file;
	uint64_t mark;
	bool holding;
};

static const char *const failure[] = {
	[LAUNCH_CREATE] = "OCI runtime create failed",
	[LAUNCH_RESTORE] = "OCI runtime restore failed",
	[LAUNCH_EXEC] = "OCI runtime exec failed",
};

static void launch_end(struct op *op, struct err *take_e)
{
	struct launch *l = op->state;
	struct process *p = op->process;

	op->state = NULL;
	if (l) {
		console_socket_free(l->console);
		if (l->spec_file)
			unlink(l->spec_file);
		if (l->holding)
			reaper_release(p->container->shim->reaper);
		free(l->spec_file);
		free(l->pid_file);
		free(l);
	}
	if (take_e && p->stdio) {
		stdio_close(p->stdio, NULL, NULL);
		p->stdio = NULL;
	}
	op->then(op, take_e);
}

static struct err *read_pid(const char *path, pid_t *ret)
{
	autofree char *text = NULL;
	long pid;

	TRY(file_read(path, 64, &text, &(size_t){0}));
	pid = strtol(text, NULL, 10);
	if (pid <= 0)
		return err_new(ERR_UNKNOWN, "%s: not a pid: %s", path, text);
	*ret = (pid_t)pid;
	return NULL;
}

static struct err *take_over(struct op *op)
{
	struct launch *l = op->state;
	struct process *p = op->process;
	int console = -1;
	pid_t pid = 0;

	if (l->console)
		TRY(err_wrap(console_socket_receive(l->console, &console),
			"failed to retrieve console master"));
	stdio_run(p->stdio, console);
	TRY(err_wrap(read_pid(l->pid_file, &pid), "failed to retrieve OCI runtime %s pid",
		l->kind == LAUNCH_EXEC ? "exec" : "container"));
	process_claim(p, pid, l->mark);
	return NULL;
}

static void on_launched(void *arg, const struct runtime_result *result)
{
	struct op *op = arg;
	struct launch *l = op->state;
	struct err *e = runtime_error(result, failure[l->kind]);

	if (!e) {
		op->process->container->made = true;
		e = take_over(op);
	}
	launch_end(op, e);
}

static void add_create(const struct container *c, struct strv *argv)
{
	const char *const words[] = {"create", "--bundle", c->bundle};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		strv_add(argv, words[i]);
	if (c->options.no_pivot_root)
		strv_add(argv, "--no-pivot");
	if (c->options.no_new_keyring)
		strv_add(argv, "--no-new-keyring");
}

static void add_restore(const struct process *p, struct strv *argv)
{
	const struct container *c = p->container;
	autofree char *work = path_join(c->bundle, "work");
	const char *const words[] = {"restore", "--bundle", c->bundle, "--detach", "--no-subreaper",
		"--image-path", p->checkpoint, "--work-path",
		*c->options.criu_work_path ? c->options.criu_work_path : work};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		strv_add(argv, words[i]);
	if (p->parent_checkpoint) {
		strv_add(argv, "--parent-path");
		strv_add(argv, p->parent_checkpoint);
	}
	if (c->options.no_pivot_root)
		strv_add(argv, "--no-pivot");
}

static struct err *add_exec(struct op *op, struct strv *argv)
{
	struct launch *l = op->state;
	struct process *p = op->process;

	l->spec_file = xasprintf("%s/.%s.process.json", p->container->bundle, p->id);
	TRY(file_write_atomic(l->spec_file, p->spec_json, strlen(p->spec_json), 0600, false));
	strv_add(argv, "exec");
	strv_add(argv, "--process");
	strv_add(argv, l->spec_file);
	strv_add(argv, "--detach");
	return NULL;
}

static struct err *prepare(struct op *op, struct strv *argv)
{
	struct launch *l = op->state;
	struct process *p = op->process;
	struct container *c = p->container;

	runtime_argv(&c->runtime, argv);
	if (l->kind == LAUNCH_CREATE)
		add_create(c, argv);
	else if (l->kind == LAUNCH_RESTORE)
		add_restore(p, argv);
	else
		TRY(add_exec(op, argv));
	l->pid_file = xasprintf("%s/%s.pid", c->bundle, *p->id ? p->id : "init");
	strv_add(argv, "--pid-file");
	strv_add(argv, l->pid_file);
	if (p->spec.terminal) {
		TRY(err_wrap(console_socket_new(&l->console),
			"failed to create OCI runtime console socket"));
		strv_add(argv, "--console-socket");
		strv_add(argv, console_socket_path(l->console));
	}
	strv_add(argv, c->id);
	return NULL;
}

static void run_runtime(struct op *op)
{
	struct launch *l = op->state;
	struct process *p = op->process;
	struct container *c = p->container;
	struct runtime_call call = {.fn = on_launched, .arg = op};
	int fds[3];
	struct err *e = prepare(op, &call.argv);

	if (e) {
		strv_done(&call.argv);
		launch_end(op, e);
		return;
	}
	stdio_child_fds(p->stdio, fds);
	if (!p->spec.terminal)
		call.fds = fds;
	l->mark = reaper_hold(c->shim->reaper);
	l->holding = true;
	runtime_start(c->shim->loop, c->shim->reaper, &c->runtime, &call);
}

static void on_stdio(void *arg, struct err *take_e)
{
	struct op *op = arg;

	if (take_e)
		launch_end(op, err_wrap(take_e, "failed to create %s process I/O",
				       process_is_init(op->process) ? "init" : "exec"));
	else if (op->state)
		run_runtime(op);
	else
		launch_end(op, NULL);
}

void launch(struct op *op, enum launch_kind kind, void (*then)(struct op *op, struct err *take_e))
{
	struct process *p = op->process;
	struct launch *l = NEW(struct launch);

	l->kind = kind;
	op->state = l;
	op->then = then;
	p->starting = true;
	if (p->stdio)
		run_runtime(op);
	else
		stdio_open(&p->stdio_context, &p->spec, on_stdio, op, &p->stdio);
}

void launch_open(struct op *op, void (*then)(struct op *op, struct err *take_e))
{
	struct process *p = op->process;

	op->then = then;
	stdio_open(&p->stdio_context, &p->spec, on_stdio, op, &p->stdio);
}
