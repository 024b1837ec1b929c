// SPDX-License-Identifier: Apache-2.0
/*
 * All who wait for the same process share one Wait call to the shim, so callers that come and go
 * leave nothing behind there. Lists are guarded by the manager's lock, callbacks run without it.
 */
#include <string.h>

#include "proto/shim-v3.pb-c.h"
#include "runtime/task-internal.h"

struct wait_group {
	struct list node; /* in the task's waits unless detached */
	struct task *t;	  /* a reference */
	char *exec;
	struct list waiters; /* of struct task_wait, owned */
	bool asking;	     /* the call is under way */
	bool detached;
};

struct task_wait {
	struct list node; /* in a group or a verdict */
	struct task *t;	  /* a reference */
	task_wait_fn done;
	void *arg;
};

/* The answer for waiters that are no longer in a group. */
struct verdict {
	struct task *t; /* a reference */
	struct list waiters;
	struct err *error;
	struct process_exit exit;
};

static void wait_free(struct task_wait *w)
{
	task_unref(w->t);
	free(w);
}

static void group_free(struct wait_group *g)
{
	task_unref(g->t);
	free(g->exec);
	free(g);
}

static struct task_wait *next_waiter(struct verdict *v)
{
	struct task_wait *w;

	LOCKED(&v->t->m->lock);
	if (list_empty(&v->waiters))
		return NULL;
	w = list_first(&v->waiters, struct task_wait, node);
	list_remove(&w->node);
	return w;
}

static void deliver(void *arg)
{
	struct verdict *v = arg;
	struct task_wait *w;

	while ((w = next_waiter(v))) {
		w->done(w->arg, v->error ? err_copy(v->error) : NULL, v->error ? NULL : &v->exit);
		wait_free(w);
	}
	err_free(v->error);
	task_unref(v->t);
	free(v);
}

static void take_waiters(struct wait_group *g, struct list *to)
{
	while (!list_empty(&g->waiters)) {
		struct list *node = g->waiters.next;

		list_remove(node);
		list_append(to, node);
	}
}

static struct verdict *verdict_new(struct task *t, struct err *take_e)
{
	struct verdict *v = NEW(struct verdict);

	v->t = task_ref(t);
	v->error = take_e;
	list_init(&v->waiters);
	return v;
}

/* True when the group is answered now; a shim that is gone is answered for by task_waits_end(),
 * which may know how the process ended. */
static bool leave_list(struct wait_group *g, const struct err *e, struct verdict *v)
{
	LOCKED(&g->t->m->lock);
	g->asking = false;
	if (g->detached)
		return true;
	if (err_is_closed(e) && !g->t->ended && !g->t->m->stopping)
		return false;
	list_remove(&g->node);
	take_waiters(g, &v->waiters);
	return true;
}

static void on_wait_reply(void *arg, const struct err *e, const void *reply)
{
	struct wait_group *g = arg;
	const Shim3__WaitResponse *r = reply;
	struct verdict *v = verdict_new(g->t, e ? err_copy(e) : NULL);

	if (r)
		v->exit = (struct process_exit){*g->exec ? 0 : g->t->pid, r->exit_status,
			timestamp_from_wire(r->exited_at)};
	if (leave_list(g, e, v))
		group_free(g);
	deliver(v);
}

static struct wait_group *find_group(struct task *t, const char *exec)
{
	list_each(struct wait_group, g, &t->waits, node) if (strcmp(g->exec, exec) == 0) return g;
	return NULL;
}

/* Puts the waiter into its group; *ret_fresh is the group when its call is still to be made. */
static bool join(
	struct task *t, const char *exec, struct task_wait *w, struct wait_group **ret_fresh)
{
	struct wait_group *g;

	LOCKED(&t->m->lock);
	if (t->ended || t->state != TASK_LIVE)
		return false;
	g = find_group(t, exec);
	if (!g) {
		g = NEW(struct wait_group);
		g->t = task_ref(t);
		g->exec = xstrdup(exec);
		g->asking = true;
		list_init(&g->waiters);
		list_append(&t->waits, &g->node);
		*ret_fresh = g;
	}
	list_append(&g->waiters, &w->node);
	return true;
}

struct task_wait *task_wait_start(struct task_manager *m, const char *ns, const char *id,
	const char *exec, task_wait_fn done, void *arg)
{
	Shim3__WaitRequest request = SHIM3__WAIT_REQUEST__INIT;
	struct wait_group *fresh = NULL;
	autoptr(task) t = NULL;
	struct task_wait *w;
	struct err *e = task_find(m, ns, id, &t);

	if (e) {
		done(arg, e, NULL);
		return NULL;
	}
	w = NEW(struct task_wait);
	w->t = task_ref(t);
	w->done = done;
	w->arg = arg;
	if (!join(t, str_or(exec, ""), w, &fresh)) {
		wait_free(w);
		done(arg, err_new(ERR_NOT_FOUND, "task %s not found", id), NULL);
		return NULL;
	}
	if (fresh) {
		request.id = t->shim.id;
		request.exec_id = (char *)str_or(exec, "");
		ttrpc_call_async(t->shim.client, t->shim.ns, shim_task_service(&t->shim), "Wait",
			&request, &shim3__wait_response__descriptor, 0, on_wait_reply, fresh);
	}
	return w;
}

void task_wait_forget(struct task_wait *w)
{
	struct task_manager *m;

	if (!w)
		return;
	m = w->t->m;
	lock_take(&m->lock);
	list_remove(&w->node);
	lock_drop(&m->lock);
	w->done(w->arg, err_new(ERR_CANCELLED, "context canceled"), NULL);
	wait_free(w);
}

void task_waits_end(struct task *t, const struct process_exit *exit)
{
	struct verdict *init = verdict_new(
		t, exit ? NULL : err_new(ERR_NOT_FOUND, "task %s not found", t->shim.id));
	struct verdict *execs =
		verdict_new(t, err_new(ERR_NOT_FOUND, "task %s not found", t->shim.id));
	bool running = loop_is_running(t->m->host.loop);

	if (exit)
		init->exit = *exit;
	lock_take(&t->m->lock);
	t->ended = true;
	while (!list_empty(&t->waits)) {
		struct wait_group *g = list_first(&t->waits, struct wait_group, node);

		list_remove(&g->node);
		take_waiters(g, *g->exec ? &execs->waiters : &init->waiters);
		g->detached = true;
		if (!g->asking) {
			/* The task is held by our caller. */
			free(g->exec);
			ref_put(&g->t->ref);
			free(g);
		}
	}
	/* Under the lock, so that who forgets finds the waiter in one list or the other. */
	if (running) {
		loop_post(t->m->host.loop, deliver, init);
		loop_post(t->m->host.loop, deliver, execs);
	}
	lock_drop(&t->m->lock);
	if (!running) {
		deliver(init);
		deliver(execs);
	}
}
