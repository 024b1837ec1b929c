// SPDX-License-Identifier: Apache-2.0
/*
 * After a start of the daemon: every bundle in the state directory is a task with a living shim, or
 * gets cleaned up behind. One that hangs costs its own deadline only.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/identifier.h"
#include "base/log.h"
#include "base/thread.h"
#include "proto/shim-v3.pb-c.h"
#include "runtime/bundle.h"
#include "runtime/task-internal.h"

struct loading {
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
	autofree char *runtime = bundle_read(t->bundle, "shim-binary-path");

	if (str_empty(runtime) && o->container_runtime) {
		free(runtime);
		runtime = o->container_runtime(t->ns, t->id, o->arg);
	}
	if (str_empty(runtime))
		return err_new(ERR_NOT_FOUND, "the runtime of %s is not known", t->id);
	return shim_binary_resolve(&t->m->binaries, runtime, o->daemon_path, &t->binary);
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

	hello.id = request.id = t->id;
	/* Shims that know no task answer this in various ways; a closed connection shows below. */
	unused = task_rpc(t, "Connect", &hello, &shim3__connect_response__descriptor,
		time_left(deadline_ms), NULL, arena, &m);
	TRY(task_rpc(t, "State", &request, &shim3__state_response__descriptor,
		time_left(deadline_ms), NULL, arena, &m));
	t->pid = ((const Shim3__StateResponse *)m)->pid;
	return NULL;
}

static struct err *reconnect(struct task *t)
{
	autoval(bootstrap) b = {0};
	autoptr(err) unknown = bootstrap_load(t->bundle, &b);
	autoptr(err) no_binary = find_binary(t);

	/* A shim that runs is kept even when its program was removed. */
	if (no_binary)
		log_warn("find shim", "id", t->id, "namespace", t->ns, "error",
			err_message(no_binary));
	if (unknown && !err_is(unknown, ERR_NOT_FOUND))
		return TAKE(unknown);
	if (unknown)
		task_guess_address(t, &b);
	TRY(shim_log_open(t->m->loop, t->bundle, &t->log));
	TRY(task_connect(t, &b));
	return bootstrap_save(t->bundle, &b);
}

static bool was_created(const struct task *t)
{
	autofree char *pid_file = path_join(t->bundle, "init.pid");

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
	int64_t deadline = monotonic_ms() + t->m->options.load_timeout_ms;
	autoptr(err) e = reconnect(t);
	bool reached = !e;

	if (reached)
		e = ask_state(t, deadline);
	/* One that is there and slow is no reason to end its container. */
	if (err_is(e, ERR_DEADLINE))
		log_warn("shim does not answer", "id", t->id, "namespace", t->ns);
	if (!e || err_is(e, ERR_DEADLINE)) {
		keep(t);
		return;
	}
	if (!task_claim(t))
		return;
	if (reached && err_is(e, ERR_NOT_FOUND)) {
		log_info("cleaning up shim without a task", "id", t->id, "namespace", t->ns);
		task_abandon(t);
		return;
	}
	log_warn("shim is gone, cleaning up", "id", t->id, "namespace", t->ns, "error",
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

typedef void (*visit_fn)(struct task_manager *m, struct loading *l, const char *ns,
	const char *name, const char *path);

/* Directories whose name is an identifier. */
static void each_dir(struct task_manager *m, struct loading *l, const char *dir_path,
	const char *ns, visit_fn visit)
{
	DIR *dir = opendir(dir_path);

	if (!dir)
		return;
	for (struct dirent *d; (d = readdir(dir));) {
		autofree char *path = path_join(dir_path, d->d_name);
		autoptr(err) e = identifier_check(d->d_name);
		struct stat st;

		if (!e && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
			visit(m, l, ns, d->d_name, path);
	}
	closedir(dir);
}

static void load_bundle(
	struct task_manager *m, struct loading *l, const char *ns, const char *id, const char *path)
{
	struct load_job *job;
	struct task *t = NULL;
	autoptr(err) e = task_reserve(m, ns, id, &t);

	if (e)
		return;
	t->bundle = xstrdup(path);
	job = NEW(struct load_job);
	job->loading = l;
	job->t = t;
	lock_take(&l->lock);
	l->left++;
	lock_drop(&l->lock);
	e = pool_submit(m->pool, LANE_NORMAL, run_load, job);
	if (e)
		run_load(job);
}

static void load_namespace(struct task_manager *m, struct loading *l, const char *unused,
	const char *ns, const char *path)
{
	(void)unused;
	bundle_sweep(path);
	each_dir(m, l, path, ns, load_bundle);
}

static void sweep_work_dir(
	struct task_manager *m, struct loading *l, const char *ns, const char *id, const char *path)
{
	autofree char *key = task_key(ns, id);
	autoptr(err) e = NULL;
	bool used;

	(void)l;
	lock_take(&m->lock);
	used = map_get(&m->tasks, key) != NULL;
	lock_drop(&m->lock);
	if (!used)
		e = remove_tree(path);
	if (e)
		log_warn("remove work directory", "path", path, "error", err_message(e));
}

static void sweep_work_namespace(struct task_manager *m, struct loading *l, const char *unused,
	const char *ns, const char *path)
{
	(void)unused;
	bundle_sweep(path);
	each_dir(m, l, path, ns, sweep_work_dir);
}

struct err *task_manager_load(struct task_manager *m)
{
	struct loading l = {0};

	lock_init(&l.lock);
	cond_init(&l.cond);
	each_dir(m, &l, m->options.state, NULL, load_namespace);
	lock_take(&l.lock);
	while (l.left)
		cond_wait(&l.cond, &l.lock);
	lock_drop(&l.lock);
	cond_done(&l.cond);
	lock_done(&l.lock);
	each_dir(m, NULL, m->options.root, NULL, sweep_work_namespace);
	return NULL;
}
