// SPDX-License-Identifier: Apache-2.0
/*
 * All who wait for the same sandbox share one WaitSandbox call, so callers that come and go leave
 * nothing behind in the shim. Lists are guarded by the controller's lock, callbacks run without it.
 */
#include "sandbox/shim-internal.h"

struct sandbox_wait {
	struct list node; /* of a box or a verdict */
	struct box *box;  /* a reference */
	sandbox_wait_fn done;
	void *arg;
};

/* The answer for waiters that are no longer in a box's list. */
struct verdict {
	struct box *box; /* a reference */
	struct list waits;
	struct err *error;
	struct sandbox_exit exit;
};

static void wait_free(struct sandbox_wait *w)
{
	box_unref(w->box);
	free(w);
}

static struct sandbox_wait *next_wait(struct verdict *v)
{
	struct sandbox_wait *w;

	LOCKED(&v->box->c->lock);
	if (list_empty(&v->waits))
		return NULL;
	w = list_first(&v->waits, struct sandbox_wait, node);
	list_remove(&w->node);
	return w;
}

static void deliver(void *arg)
{
	struct verdict *v = arg;
	struct sandbox_wait *w;

	while ((w = next_wait(v))) {
		w->done(w->arg, v->error ? err_copy(v->error) : NULL, v->error ? NULL : &v->exit);
		wait_free(w);
	}
	err_free(v->error);
	box_unref(v->box);
	free(v);
}

/* Takes the reference of the call. */
static void on_reply(void *arg, const struct err *e, const void *reply)
{
	const Shimsb__WaitSandboxResponse *r = reply;
	struct verdict *v = NEW(struct verdict);
	struct box *b = v->box = arg;
	struct loop *loop = b->c->host.loop;
	bool elsewhere = loop_is_running(loop) && !loop_is_current(loop);

	list_init(&v->waits);
	if (e)
		v->error = err_wrap(err_copy(e), "failed to wait sandbox %s", b->shim.id);
	if (r)
		v->exit = (struct sandbox_exit){r->exit_status, timestamp_from_wire(r->exited_at)};
	lock_take(&b->c->lock);
	b->asking = false;
	while (!list_empty(&b->waits)) {
		struct list *node = b->waits.next;

		list_remove(node);
		list_append(&v->waits, node);
	}
	/* Under the lock, so that who forgets finds the waiter in one list or the other. */
	if (elsewhere)
		loop_post(loop, deliver, v);
	lock_drop(&b->c->lock);
	if (!elsewhere)
		deliver(v);
}

struct sandbox_wait *box_wait(struct sandbox_controller *base, const char *ns, const char *id,
	sandbox_wait_fn done, void *arg)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);
	Shimsb__WaitSandboxRequest request = SHIMSB__WAIT_SANDBOX_REQUEST__INIT;
	autoptr(box) b = NULL;
	struct sandbox_wait *w;
	struct err *e = box_find(c, ns, id, &b);
	bool ask;

	if (e) {
		done(arg, e, NULL);
		return NULL;
	}
	w = NEW(struct sandbox_wait);
	*w = (struct sandbox_wait){.box = box_ref(b), .done = done, .arg = arg};
	lock_take(&c->lock);
	list_append(&b->waits, &w->node);
	ask = !b->asking;
	b->asking = true;
	lock_drop(&c->lock);
	if (ask) {
		request.sandbox_id = b->shim.id;
		ttrpc_call_async(b->shim.client, ns, SANDBOX_SERVICE, "WaitSandbox", &request,
			&shimsb__wait_sandbox_response__descriptor, 0, on_reply, box_ref(b));
	}
	return w;
}

void box_wait_forget(struct sandbox_controller *base, struct sandbox_wait *w)
{
	struct shim_controller *c = container_of(base, struct shim_controller, base);

	lock_take(&c->lock);
	list_remove(&w->node);
	lock_drop(&c->lock);
	w->done(w->arg, err_new(ERR_CANCELLED, "context canceled"), NULL);
	wait_free(w);
}
