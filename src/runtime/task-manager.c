// SPDX-License-Identifier: Apache-2.0
#include "runtime/task-manager.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "base/identifier.h"
#include "base/log.h"
#include "proto/shim-v3.pb-c.h"
#include "proto/types.pb-c.h"
#include "runtime/bundle.h"
#include "runtime/shim-binary.h"
#include "runtime/task-internal.h"

#define STATE_TIMEOUT_MS 2000
/* Shims from this version of the task API on hold several tasks without being started for each. */
#define SANDBOX_VERSION_MIN 3
#define THREADS 32

/* --- the manager --- */

struct err *task_manager_new(struct loop *loop, struct exchange *exchange,
	const struct task_manager_options *options, struct task_manager **ret)
{
	static const struct pool_limits limits = {
		.threads = {[LANE_NORMAL] = THREADS},
		.queue = {[LANE_NORMAL] = 1 << 20},
	};
	struct task_manager *m;
	struct err *e;

	m = NEW(struct task_manager);
	e = shim_host_init(&m->host, loop, &options->shim);
	if (e) {
		free(m);
		return e;
	}
	m->exchange = exchange;
	m->options = *options;
	if (m->options.state_timeout_ms <= 0)
		m->options.state_timeout_ms = STATE_TIMEOUT_MS;
	lock_init(&m->lock);
	cond_init(&m->ended);
	m->pool = pool_new("shims", &limits);
	*ret = m;
	return NULL;
}

static void disconnect_all(struct task_manager *m)
{
	const char *key;
	void *t;

	/* Nobody else is left who could change the map. */
	for (size_t i = 0; map_next(&m->tasks, &i, &key, &t);) {
		shim_disconnect(&((struct task *)t)->shim);
		task_waits_end(t, NULL);
	}
}

static void drop_task(void *t)
{
	task_unref(t);
}

void task_manager_free(struct task_manager *m)
{
	if (!m)
		return;
	assert(!loop_is_current(m->host.loop));
	lock_take(&m->lock);
	m->stopping = true;
	lock_drop(&m->lock);
	pool_free(m->pool);
	disconnect_all(m);
	shim_host_settle(&m->host);
	map_done(&m->tasks, drop_task);
	shim_host_done(&m->host);
	cond_done(&m->ended);
	lock_done(&m->lock);
	free(m);
}

/* --- the map --- */

char *task_key(const char *ns, const char *id)
{
	return xasprintf("%s/%s", ns, id);
}

struct task *task_ref(struct task *t)
{
	ref_get(&t->ref);
	return t;
}

void task_unref(struct task *t)
{
	if (!t || !ref_put(&t->ref))
		return;
	shim_done(&t->shim);
	free(t);
}

struct err *task_reserve(struct task_manager *m, const char *ns, const char *id, struct task **ret)
{
	autofree char *key = task_key(ns, id);
	struct task *t;

	LOCKED(&m->lock);
	if (map_get(&m->tasks, key))
		return err_new(ERR_EXISTS, "task %s: already exists", id);
	t = NEW(struct task);
	ref_init(&t->ref);
	t->m = m;
	shim_init(&t->shim, &m->host, ns, id);
	t->creating = true;
	list_init(&t->waits);
	map_set(&m->tasks, key, t);
	*ret = task_ref(t);
	return NULL;
}

struct err *task_find(struct task_manager *m, const char *ns, const char *id, struct task **ret)
{
	autofree char *key = task_key(str_or(ns, ""), id);
	struct task *t;

	LOCKED(&m->lock);
	t = map_get(&m->tasks, key);
	if (!t || t->state != TASK_LIVE)
		return err_new(ERR_NOT_FOUND, "task %s not found", id);
	*ret = task_ref(t);
	return NULL;
}

bool task_claim(struct task *t)
{
	LOCKED(&t->m->lock);
	if (t->state == TASK_ENDING)
		return false;
	t->state = TASK_ENDING;
	return true;
}

void task_leave(struct task *t)
{
	autofree char *key = task_key(t->shim.ns, t->shim.id);
	struct task *in_map = NULL;

	lock_take(&t->m->lock);
	if (map_get(&t->m->tasks, key) == t)
		in_map = map_del(&t->m->tasks, key);
	cond_broadcast(&t->m->ended);
	lock_drop(&t->m->lock);
	task_unref(in_map);
}

/* --- create --- */

/* "ttrpc+unix:///run/..." as a sandbox's controller tells it. */
static struct err *parse_task_api(const struct task_create *r, struct bootstrap *ret)
{
	const char *plus = strchr(r->task_api_address, '+');
	autofree char *protocol = NULL, *text = NULL;

	if (!plus)
		return err_new(ERR_UNKNOWN,
			"the scheme of sandbox address should be in  the form of "
			"<protocol>+<unix|vsock|tcp>, i.e. ttrpc+unix or grpc+vsock");
	protocol = xstrndup(r->task_api_address, (size_t)(plus - r->task_api_address));
	*ret = (struct bootstrap){.version = (int)MIN(r->task_api_version, (uint32_t)INT_MAX),
		.address = xstrdup(plus + 1),
		.protocol = TAKE(protocol)};
	return bootstrap_check(ret);
}

/* The shim of the task's sandbox. `ret` stays empty when the task is to have one of its own: also
 * where the sandbox's shim is of the older kind, which must be asked to start again. */
static struct err *find_sandbox(struct task *t, const struct task_create *r, struct bootstrap *ret)
{
	const struct task_manager_options *o = &t->m->options;
	autoval(bootstrap) b = {0};

	if (str_empty(r->sandbox) || !o->sandbox_shim)
		return NULL;
	TRY(o->sandbox_shim(t->shim.ns, r->sandbox, &b, o->arg));
	if (!b.address) {
		log_warn("sandbox not found, the task gets a shim of its own", "id", t->shim.id,
			"sandbox", r->sandbox);
		return NULL;
	}
	if (!str_empty(r->task_api_address)) {
		bootstrap_done(&b);
		b = (struct bootstrap){0};
		TRY(parse_task_api(r, &b));
	}
	if (b.version < SANDBOX_VERSION_MIN)
		return NULL;
	*ret = b;
	b = (struct bootstrap){0};
	return NULL;
}

static struct err *launch(struct task *t, const struct task_create *r, struct cancel *cancel)
{
	autoval(bootstrap) b = {0};

	TRY(find_sandbox(t, r, &b));
	TRY(shim_resolve(&t->shim, r->runtime));
	if (!b.address)
		return err_wrap(shim_start(&t->shim, r->options, cancel, task_shim_lost, t),
			"start failed");
	t->sandboxed = true;
	TRY(bundle_write(t->shim.bundle, SANDBOX_FILE, r->sandbox, 0600));
	return err_wrap(shim_attach(&t->shim, &b, task_shim_lost, t),
		"failed to load sandbox task \"%s\"", r->sandbox);
}

static void mounts_to_wire(
	const struct mounts *from, struct arena *arena, Shim3__CreateTaskRequest *to)
{
	to->rootfs = arena_array(arena, from->n, sizeof(to->rootfs[0]));
	to->n_rootfs = from->n;
	for (size_t i = 0; i < from->n; i++) {
		Types__Mount *m = ARENA_NEW(arena, Types__Mount);

		types__mount__init(m);
		m->type = (char *)str_or(from->items[i].type, "");
		m->source = (char *)str_or(from->items[i].source, "");
		m->target = (char *)str_or(from->items[i].target, "");
		m->options = from->items[i].options.items;
		m->n_options = from->items[i].options.n;
		to->rootfs[i] = m;
	}
}

static struct err *call_create(struct task *t, const struct task_create *r, struct cancel *cancel)
{
	Shim3__CreateTaskRequest request = SHIM3__CREATE_TASK_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	void *m = NULL;

	request.id = t->shim.id;
	request.bundle = t->shim.bundle;
	request.stdin = (char *)str_or(r->io.stdin_path, "");
	request.stdout = (char *)str_or(r->io.stdout_path, "");
	request.stderr = (char *)str_or(r->io.stderr_path, "");
	request.terminal = r->io.terminal;
	request.checkpoint = (char *)str_or(r->checkpoint, "");
	if (r->options)
		request.options = any_to_wire(r->options, arena);
	if (r->rootfs)
		mounts_to_wire(r->rootfs, arena, &request);
	TRY(shim_task_rpc(&t->shim, "Create", &request, &shim3__create_task_response__descriptor, 0,
		cancel, arena, &m));
	t->pid = ((const Shim3__CreateTaskResponse *)m)->pid;
	return NULL;
}

/* The task may be seen; what happens to its shim is still for task_create() to see to. */
static void show(struct task *t)
{
	LOCKED(&t->m->lock);
	t->state = TASK_LIVE;
}

/* True when the shim was lost meanwhile and nobody else has seen to it. */
static bool created_in_vain(struct task *t)
{
	LOCKED(&t->m->lock);
	t->creating = false;
	return t->lost && t->state == TASK_LIVE;
}

static struct err *create(struct task *t, const struct task_create *r, struct cancel *cancel)
{
	struct err *e = shim_make_bundle(&t->shim, r->spec);

	if (e) {
		if (task_claim(t))
			task_leave(t);
		return e;
	}
	e = err_wrap(launch(t, r, cancel), "failed to start shim");
	if (e) {
		if (task_claim(t))
			task_discard(t);
		return e;
	}
	show(t);
	e = err_wrap(call_create(t, r, cancel), "failed to create shim task");
	if (e) {
		if (task_claim(t))
			task_abandon(t);
		return e;
	}
	if (created_in_vain(t))
		task_shim_lost(t);
	return NULL;
}

struct err *task_create(struct task_manager *m, const struct task_create *request,
	struct cancel *cancel, uint32_t *ret_pid)
{
	autoptr(task) t = NULL;

	TRY(err_wrap(identifier_check(request->id), "invalid task id %s", request->id));
	TRY(err_wrap(identifier_check(str_or(request->ns, "")), "namespace"));
	TRY(task_reserve(m, request->ns, request->id, &t));
	TRY(create(t, request, cancel));
	*ret_pid = t->pid;
	return NULL;
}

/* --- delete --- */

/* A shim that is being cleaned up behind has nothing to delete; its name is free afterwards. */
static struct err *await_end(
	struct task_manager *m, const char *ns, const char *id, struct cancel *cancel)
{
	int64_t deadline = monotonic_ms() + 2 * m->host.options.cleanup_timeout_ms;
	autofree char *key = task_key(str_or(ns, ""), id);
	const struct task *t, *first;

	LOCKED(&m->lock);
	first = t = map_get(&m->tasks, key);
	while (t && t == first && t->state == TASK_ENDING && !cancel_fired(cancel)) {
		if (!cond_wait_until(&m->ended, &m->lock, deadline))
			break;
		t = map_get(&m->tasks, key);
	}
	return err_new(ERR_NOT_FOUND, "task %s not found", id);
}

struct err *task_call(struct task *t, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply, int64_t timeout_ms, struct cancel *cancel,
	struct arena *arena, void **ret)
{
	struct err *e =
		shim_task_rpc(&t->shim, method, request, reply, timeout_ms, cancel, arena, ret);

	if (!err_is_closed(e))
		return e;
	err_free(e);
	return err_new(ERR_NOT_FOUND, "task %s not found", t->shim.id);
}

struct err *task_call_delete(struct task *t, const char *exec, int64_t timeout_ms,
	struct cancel *cancel, struct process_exit *ret)
{
	Shim3__DeleteRequest request = SHIM3__DELETE_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	const Shim3__DeleteResponse *r;
	void *m = NULL;

	request.id = t->shim.id;
	request.exec_id = (char *)str_or(exec, "");
	TRY(task_call(t, "Delete", &request, &shim3__delete_response__descriptor, timeout_ms,
		cancel, arena, &m));
	r = m;
	*ret = (struct process_exit){r->pid, r->exit_status, timestamp_from_wire(r->exited_at)};
	return NULL;
}

struct err *task_delete(struct task_manager *m, const char *ns, const char *id,
	struct cancel *cancel, struct process_exit *ret)
{
	autoptr(task) t = NULL;
	struct err *e = task_find(m, ns, id, &t);

	if (e) {
		err_free(e);
		return await_end(m, ns, id, cancel);
	}
	e = task_call_delete(t, NULL, 0, cancel, ret);
	/* A task that the shim does not know leaves nothing to keep the shim for. */
	if (e && !err_is(e, ERR_NOT_FOUND))
		return err_wrap(e, "failed to delete task");
	if (!task_claim(t)) {
		struct err *gone = await_end(m, ns, id, cancel);

		/* Deleted by the shim and then lost, or deleted by somebody else. */
		err_free(e ? e : gone);
		return e ? gone : NULL;
	}
	task_take_down(t);
	task_waits_end(t, e ? NULL : ret);
	return e;
}

struct err *task_delete_process(struct task_manager *m, const char *ns, const char *id,
	const char *exec, struct cancel *cancel, struct process_exit *ret)
{
	autoptr(task) t = NULL;

	if (str_empty(exec))
		return task_delete(m, ns, id, cancel, ret);
	TRY(task_find(m, ns, id, &t));
	return task_call_delete(t, exec, 0, cancel, ret);
}

struct err *task_runtime_info(struct task_manager *m, const char *runtime,
	const struct any *options, struct cancel *cancel, struct any *ret)
{
	autofree char *binary = NULL;

	TRY(err_wrap(shim_binary_resolve(
			     &m->host.binaries, runtime, m->host.options.daemon_path, &binary),
		"failed to resolve runtime path"));
	return shim_binary_info(binary, options, cancel, ret);
}
