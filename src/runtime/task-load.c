// SPDX-License-Identifier: Apache-2.0
/*
 * After a start of the daemon: every bundle in the state directory is a task with a living shim, or
 * gets cleaned up behind. One that hangs costs its own deadline only.
 */
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/thread.h"
#include "proto/shim-v3.pb-c.h"
#include "runtime/bundle.h"
#include "runtime/task-internal.h"

struct loading {
	struct task_manager *m;
	struct lock lock;
	struct cond cond;
	size_t left; /* guarded by lock */
};

struct load_job {
	struct loading *loading;
	struct task *t; /* reserved */
};

/* --- one bundle --- */

static struct err *find_binary(struct task *t)
{
	const struct task_manager_options *o = &t->m->options;
	autofree char *runtime = bundle_read(t->shim.bundle, "shim-binary-path");

	if (str_empty(runtime) && o->container_runtime) {
		free(runtime);
		runtime = o->container_runtime(t->shim.ns, t->shim.id, o->arg);
	}
	if (str_empty(runtime))
		return err_new(ERR_NOT_FOUND, "the runtime of %s is not known", t->shim.id);
	return shim_resolve(&t->shim, runtime);
}

static int64_t time_left(int64_t deadline_ms)
{
	return MAX(deadline_ms - monotonic_ms(), (int64_t)1);
}

/* Whether the shim has our task; ERR_NOT_FOUND when it never got it. */
static struct err *ask_state(struct task *t, int64_t deadline_ms)
{
	Shim3__ConnectRequest hello = SHIM3__CONNECT_REQUEST__INIT;
	Shim3__StateRequest request = SHIM3__STATE_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(err) unused = NULL;
	void *m = NULL;

	hello.id = request.id = t->shim.id;
	/* Shims that know no task answer this in various ways; a closed connection shows below. */
	unused = shim_task_rpc(&t->shim, "Connect", &hello, &shim3__connect_response__descriptor,
		time_left(deadline_ms), NULL, arena, &m);
	TRY(shim_task_rpc(&t->shim, "State", &request, &shim3__state_response__descriptor,
		time_left(deadline_ms), NULL, arena, &m));
	t->pid = ((const Shim3__StateResponse *)m)->pid;
	return NULL;
}

static struct err *reconnect(struct task *t)
{
	autofree char *sandbox = bundle_read(t->shim.bundle, SANDBOX_FILE);
	autoptr(err) no_binary = find_binary(t);

	/* A shim that runs is kept even when its program was removed. */
	if (no_binary)
		log_warn("find shim", "id", t->shim.id, "namespace", t->shim.ns, "error",
			err_message(no_binary));
	t->sandboxed = sandbox != NULL;
	return shim_reattach(&t->shim, task_shim_lost, t);
}

static bool was_created(const struct task *t)
{
	autofree char *pid_file = path_join(t->shim.bundle, "init.pid");

	return access(pid_file, F_OK) == 0;
}

/* The shim lives and has the task: it is seen from here on. */
static void keep(struct task *t)
{
	bool lost;

	lock_take(&t->m->lock);
	t->creating = false;
	t->state = TASK_LIVE;
	lost = t->lost;
	lock_drop(&t->m->lock);
	if (lost)
		task_shim_lost(t);
}

static void load_task(struct task *t)
{
	int64_t deadline = monotonic_ms() + t->m->host.options.load_timeout_ms;
	autoptr(err) e = reconnect(t);
	bool reached = !e;

	if (reached)
		e = ask_state(t, deadline);
	/* One that is there and slow is no reason to end its container. */
	if (err_is(e, ERR_DEADLINE))
		log_warn("shim does not answer", "id", t->shim.id, "namespace", t->shim.ns);
	if (!e || err_is(e, ERR_DEADLINE)) {
		keep(t);
		return;
	}
	if (!task_claim(t))
		return;
	if (reached && err_is(e, ERR_NOT_FOUND)) {
		log_info("cleaning up shim without a task", "id", t->shim.id, "namespace",
			t->shim.ns);
		task_abandon(t);
		return;
	}
	log_warn("shim is gone, cleaning up", "id", t->shim.id, "namespace", t->shim.ns, "error",
		err_message(e));
	task_bury(t, was_created(t));
}

static void run_load(void *arg)
{
	struct load_job *job = arg;

	load_task(job->t);
	task_unref(job->t);
	lock_take(&job->loading->lock);
	job->loading->left--;
	cond_signal(&job->loading->cond);
	lock_drop(&job->loading->lock);
	free(job);
}

/* --- all of them --- */

static void load_bundle(void *arg, const char *ns, const char *id, const char *path)
{
	struct loading *l = arg;
	struct load_job *job;
	struct task *t = NULL;
	autoptr(err) e = task_reserve(l->m, ns, id, &t);

	if (e)
		return;
	t->shim.bundle = xstrdup(path);
	job = NEW(struct load_job);
	job->loading = l;
	job->t = t;
	lock_take(&l->lock);
	l->left++;
	lock_drop(&l->lock);
	e = pool_submit(l->m->pool, LANE_NORMAL, run_load, job);
	if (e)
		run_load(job);
}

static bool is_task(void *arg, const char *ns, const char *id)
{
	struct task_manager *m = arg;
	autofree char *key = task_key(ns, id);

	LOCKED(&m->lock);
	return map_get(&m->tasks, key) != NULL;
}

struct err *task_manager_load(struct task_manager *m)
{
	struct loading l = {.m = m};

	lock_init(&l.lock);
	cond_init(&l.cond);
	shim_each_bundle(&m->host, load_bundle, &l);
	lock_take(&l.lock);
	while (l.left)
		cond_wait(&l.cond, &l.lock);
	lock_drop(&l.lock);
	cond_done(&l.cond);
	lock_done(&l.lock);
	shim_sweep_work(&m->host, is_task, m);
	return NULL;
}
