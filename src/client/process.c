// SPDX-License-Identifier: Apache-2.0
/* A process with its input and output, from its making to its deletion. The daemon is asked for its
 * end before it is started, so no end is missed and nothing is polled. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "client/containers-internal.h"
#include "client/snapshots-internal.h"
#include "client/tasks-internal.h"
#include "oci/spec.h"
#include "proto/runc-options.pb-c.h"

#define PROCESS_TYPE_URL "types.containerd.io/opencontainers/runtime-spec/1/Process"
/* Output of a process that has ended comes at once; what held its streams open meanwhile is some
 * other process, for which nobody waits long. */
#define OUTPUT_IDLE_MS 2000

struct ctd_process {
	struct ctd_client *client;
	char *id, *exec_id; /* exec_id NULL: the container's first process */
	uint32_t pid;
	bool detached;
	struct process_io *io;
	struct cancel *cancel;	  /* of the wait */
	struct grpc_stream *wait; /* owned by the thread once it runs */
	bool has_thread;
	pthread_t thread;
	int exit_fd;
	struct lock lock;
	struct cond changed;
	/* guarded by lock */
	bool started, ended, stopping;
	uint32_t status;
	struct err *failure; /* of the wait */
};

static struct ctd_process *process_new(
	struct ctd_client *client, const char *id, const char *exec_id, bool detached)
{
	struct ctd_process *p = NEW(struct ctd_process);

	p->client = client;
	p->id = xstrdup(id);
	p->exec_id = xstrdup(exec_id);
	p->detached = detached;
	p->cancel = cancel_new();
	p->exit_fd = -1;
	lock_init(&p->lock);
	cond_init(&p->changed);
	return p;
}

/* Nobody waits any more for a start that will not come; true when the process has ended. */
static bool stop_helpers(struct ctd_process *p)
{
	LOCKED(&p->lock);
	p->stopping = true;
	cond_broadcast(&p->changed);
	return p->ended;
}

void ctd_process_free(struct ctd_process *p)
{
	if (!p)
		return;
	stop_helpers(p);
	cancel_fire(p->cancel, ERR_CANCELLED);
	process_io_free(p->io);
	if (p->has_thread)
		pthread_join(p->thread, NULL);
	grpc_stream_free(p->wait);
	cancel_unref(p->cancel);
	if (p->exit_fd >= 0)
		close(p->exit_fd);
	err_free(p->failure);
	cond_done(&p->changed);
	lock_done(&p->lock);
	free(p->id);
	free(p->exec_id);
	free(p);
}
DEFINE_AUTOPTR(ctd_process, ctd_process_free);

uint32_t ctd_process_pid(const struct ctd_process *p)
{
	return p->pid;
}

int ctd_process_exit_fd(const struct ctd_process *p)
{
	return p->exit_fd;
}

/* The shim keeps a container's input open for others who attach, until it is told. It can be told
 * once the process runs. */
static void close_stdin(void *arg)
{
	struct ctd_process *p = arg;
	Tasks__CloseIORequest request = TASKS__CLOSE_IOREQUEST__INIT;

	lock_take(&p->lock);
	while (!p->started && !p->stopping)
		cond_wait(&p->changed, &p->lock);
	bool skip = p->stopping || p->ended;
	lock_drop(&p->lock);
	if (skip)
		return;
	request.container_id = p->id;
	request.exec_id = (char *)str_or(p->exec_id, "");
	request.stdin = true;
	/* One that has ended meanwhile needs no closing. */
	err_free(call_void(SCOPE(p->client), TASKS "CloseIO", &request));
}

static struct err *start_io(struct ctd_process *p)
{
	if (p->detached)
		return NULL;
	return process_io_start(p->io, close_stdin, p);
}

static void io_options_take(struct ctd_io_options *to, const struct ctd_io_options *from)
{
	*to = CTD_IO_INIT;
	memcpy(to, from, MIN(from->size, sizeof(*to)));
}

/* --- making --- */

/* The container's own options with what this task wants, or nothing: the daemon then takes the
 * container's. */
static struct err *task_runtime_options(const struct ctd_container *container,
	const struct ctd_task_options *options, struct arena *arena, Google__Protobuf__Any **ret)
{
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	Runc__Options *runc = ARENA_NEW(arena, Runc__Options);

	if (!options->no_pivot && options->io_uid == 0 && options->io_gid == 0)
		return NULL;
	runc__options__init(runc);
	any.type_url = (char *)container->runtime_options_type;
	any.value.data = (uint8_t *)container->runtime_options;
	any.value.len = container->runtime_options_len;
	if (any_is(&any, runc__options__descriptor.name)) {
		void *message;

		TRY(message_from_any(&any, &runc__options__descriptor, arena, &message));
		runc = message;
	}
	runc->no_pivot_root = options->no_pivot;
	runc->io_uid = options->io_uid;
	runc->io_gid = options->io_gid;
	*ret = message_to_any(runc, arena);
	return NULL;
}

static struct err *task_rootfs(struct ctd_client *client, const struct ctd_container *container,
	struct arena *arena, struct ctd_mounts *ret)
{
	*ret = container->rootfs;
	if (container->rootfs.n > 0 || !*container->snapshot_key)
		return NULL;
	if (!*container->snapshotter)
		return err_new(ERR_INVALID,
			"unable to resolve rootfs mounts without snapshotter on "
			"container: invalid argument");
	return snapshot_mounts(
		SCOPE(client), container->snapshotter, container->snapshot_key, arena, ret);
}

static struct err *create_call(struct ctd_process *p, const struct ctd_container *container,
	const struct ctd_io_options *io, const struct ctd_task_options *options)
{
	autoptr(arena) arena = arena_new();
	Tasks__CreateTaskRequest request = TASKS__CREATE_TASK_REQUEST__INIT;
	Tasks__CreateTaskResponse *reply;
	struct ctd_mounts rootfs;

	TRY(task_rootfs(p->client, container, arena, &rootfs));
	TRY(task_runtime_options(container, options, arena, &request.options));
	request.container_id = p->id;
	request.n_rootfs = rootfs.n;
	request.rootfs = mounts_to_wire(rootfs, arena);
	request.terminal = io->terminal;
	request.stdin = (char *)process_io_stdin(p->io);
	request.stdout = (char *)process_io_stdout(p->io);
	request.stderr = (char *)process_io_stderr(p->io);
	TRY(call(SCOPE(p->client), TASKS "Create", &request,
		&tasks__create_task_response__descriptor, arena, &reply));
	p->pid = reply->pid;
	return NULL;
}

struct err *ctd_task_create(struct ctd_client *client, const struct ctd_container *container,
	const struct ctd_io_options *given_io, const struct ctd_task_options *given,
	struct ctd_process **ret)
{
	struct ctd_task_options options = CTD_TASK_INIT;
	struct ctd_io_options io;
	autoptr(ctd_process) p = NULL;

	io_options_take(&io, given_io);
	if (given)
		memcpy(&options, given, MIN(given->size, sizeof(options)));
	p = process_new(client, container->id, NULL, io.detach);
	TRY(process_io_new(container->id, &io, &p->io));
	struct err *e = start_io(p);
	if (!e)
		e = create_call(p, container, &io, &options);
	if (e) {
		process_io_remove(p->io);
		return e;
	}
	*ret = TAKE(p);
	return NULL;
}

static struct err *exec_user(struct ctd_client *client, const struct ctd_container *container,
	const char *user, struct json_object *spec)
{
	autoptr(arena) arena = arena_new();
	autoval(account_files) files = {0};
	struct ctd_mounts rootfs = {0};

	if (*container->snapshot_key) {
		TRY(snapshot_mounts(SCOPE(client), container->snapshotter, container->snapshot_key,
			arena, &rootfs));
		TRY(account_files_read(rootfs, &files));
	} else {
		const char *root = json_find_string(spec, "root.path");

		if (!root || *root != '/')
			return err_new(ERR_INVALID, "rootfs absolute path is required");
		TRY(account_files_read_path(root, &files));
	}
	TRY(spec_set_user(spec, user, files.passwd, files.group));
	return spec_set_groups_of(spec, user, files.passwd, files.group);
}

/* The JSON of the new process: the container's own with its differences. */
static struct err *exec_spec(struct ctd_client *client, const struct ctd_container *container,
	const struct ctd_exec_options *options, bool terminal, struct json_object **ret)
{
	autoptr(json_object) spec = NULL;
	autoval(strv) args = STRV_INIT;
	struct json_object *process;

	TRY(err_wrap(spec_parse(container->spec, strlen(container->spec), &spec),
		"spec of container %s", container->id));
	if (!str_empty(options->user))
		TRY(exec_user(client, container, options->user, spec));
	for (size_t i = 0; i < options->args.n; i++)
		strv_add(&args, options->args.items[i]);
	spec_set_args(spec, &args);
	if (!str_empty(options->cwd))
		spec_set_cwd(spec, options->cwd);
	process = json_find(spec, "process");
	json_object_object_add(process, "terminal", json_object_new_boolean(terminal));
	*ret = json_object_get(process);
	return NULL;
}

static struct err *exec_call(
	struct ctd_process *p, struct json_object *process, const struct ctd_io_options *io)
{
	Tasks__ExecProcessRequest request = TASKS__EXEC_PROCESS_REQUEST__INIT;
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	const char *text = json_object_to_json_string_ext(
		process, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	any.type_url = (char *)PROCESS_TYPE_URL;
	any.value = (ProtobufCBinaryData){.data = (uint8_t *)text, .len = strlen(text)};
	request.container_id = p->id;
	request.exec_id = p->exec_id;
	request.terminal = io->terminal;
	request.stdin = (char *)process_io_stdin(p->io);
	request.stdout = (char *)process_io_stdout(p->io);
	request.stderr = (char *)process_io_stderr(p->io);
	request.spec = &any;
	return call_void(SCOPE(p->client), TASKS "Exec", &request);
}

struct err *ctd_task_exec(struct ctd_client *client, const struct ctd_container *container,
	const struct ctd_exec_options *given, const struct ctd_io_options *given_io,
	struct ctd_process **ret)
{
	struct ctd_exec_options options = CTD_EXEC_INIT;
	struct ctd_io_options io;
	autoptr(json_object) process = NULL;
	autoptr(ctd_process) p = NULL;

	io_options_take(&io, given_io);
	memcpy(&options, given, MIN(given->size, sizeof(options)));
	if (str_empty(options.exec_id))
		return err_new(ERR_INVALID, "exec id must not be empty: invalid argument");
	TRY(exec_spec(client, container, &options, io.terminal, &process));
	p = process_new(client, container->id, options.exec_id, io.detach);
	TRY(process_io_new(options.exec_id, &io, &p->io));
	struct err *e = start_io(p);
	if (!e)
		e = exec_call(p, process, &io);
	if (e) {
		process_io_remove(p->io);
		return e;
	}
	*ret = TAKE(p);
	return NULL;
}

/* --- running --- */

static void *wait_thread(void *arg)
{
	struct ctd_process *p = arg;
	uint32_t status = 0;
	uint64_t one = 1;
	struct err *e = task_wait_finish(TAKE(p->wait), &status);

	lock_take(&p->lock);
	p->status = status;
	p->failure = e;
	p->ended = true;
	cond_broadcast(&p->changed);
	lock_drop(&p->lock);
	/* Nobody can be helped when this fails, and it does not: the counter is far from full. */
	if (write(p->exit_fd, &one, sizeof(one)) < 0)
		return NULL;
	return NULL;
}

static struct err *wait_start(struct ctd_process *p)
{
	struct scope s = {.client = p->client, .cancel = p->cancel};

	p->exit_fd = eventfd(0, EFD_CLOEXEC);
	if (p->exit_fd < 0)
		return err_sys(errno, "eventfd");
	return task_wait_start(&s, p->id, p->exec_id, &p->wait);
}

static struct err *wait_watch(struct ctd_process *p)
{
	TRY(thread_start("wait", wait_thread, p, &p->thread));
	p->has_thread = true;
	return NULL;
}

static void mark_started(struct ctd_process *p)
{
	lock_take(&p->lock);
	p->started = true;
	cond_broadcast(&p->changed);
	lock_drop(&p->lock);
}

struct err *ctd_process_start(struct ctd_process *p)
{
	autoptr(arena) arena = arena_new();
	Tasks__StartRequest request = TASKS__START_REQUEST__INIT;
	Tasks__StartResponse *reply;

	if (!p->detached)
		TRY(wait_start(p));
	request.container_id = p->id;
	request.exec_id = (char *)str_or(p->exec_id, "");
	TRY(call(SCOPE(p->client), TASKS "Start", &request, &tasks__start_response__descriptor,
		arena, &reply));
	p->pid = reply->pid;
	mark_started(p);
	return p->detached ? NULL : wait_watch(p);
}

struct err *ctd_task_attach(struct ctd_client *client, const char *id,
	const struct ctd_io_options *given_io, struct ctd_process **ret)
{
	struct ctd_io_options io;
	struct ctd_task *task;
	autoptr(ctd_process) p = NULL;

	io_options_take(&io, given_io);
	TRY(ctd_task_get(client, id, NULL, &task));
	p = process_new(client, id, NULL, false);
	p->pid = task->pid;
	struct err *e = process_io_attach(task, &io, &p->io);
	ctd_free(task);
	TRY(e);
	TRY(wait_start(p));
	mark_started(p);
	TRY(start_io(p));
	TRY(wait_watch(p));
	*ret = TAKE(p);
	return NULL;
}

struct err *ctd_process_wait(struct ctd_process *p, uint32_t *ret_status)
{
	struct err *e;

	if (p->detached)
		return err_new(ERR_PRECONDITION, "process of %s is detached", p->id);
	lock_take(&p->lock);
	while (!p->ended)
		cond_wait(&p->changed, &p->lock);
	*ret_status = p->status;
	e = p->failure ? err_copy(p->failure) : NULL;
	lock_drop(&p->lock);
	return e;
}

struct err *ctd_process_kill(struct ctd_process *p, uint32_t signal)
{
	return ctd_task_kill(p->client, p->id, p->exec_id, signal, false);
}

struct err *ctd_process_resize(struct ctd_process *p, uint32_t width, uint32_t height)
{
	Tasks__ResizePtyRequest request = TASKS__RESIZE_PTY_REQUEST__INIT;

	request.container_id = p->id;
	request.exec_id = (char *)str_or(p->exec_id, "");
	request.width = width;
	request.height = height;
	return call_void(SCOPE(p->client), TASKS "ResizePty", &request);
}

struct err *ctd_process_delete(struct ctd_process *p, uint32_t *ret_status)
{
	bool ended = stop_helpers(p);

	/* The last words first: the shim drops what it still holds when it is told to delete. */
	process_io_finish(p->io, ended ? OUTPUT_IDLE_MS : 0);
	TRY(task_delete_call(SCOPE(p->client), p->id, p->exec_id, ret_status));
	process_io_remove(p->io);
	return NULL;
}
