// SPDX-License-Identifier: Apache-2.0
/* Behind tasks: what happens when a shim is told to go, does not answer, or has died. */
#include "base/log.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "runtime/task-internal.h"

/* --- events --- */

static void publish(struct task *t, const char *topic, const void *event)
{
	autoptr(arena) arena = arena_new();
	autoval(any) payload = ANY_INIT;
	autoptr(err) e = NULL;

	any_from_wire(&payload, message_to_any(event, arena));
	e = exchange_publish(t->m->exchange, t->shim.ns, topic, &payload);
	if (e)
		log_error(
			"publish event", "topic", topic, "id", t->shim.id, "error", err_message(e));
}

static void publish_end(struct task *t, const struct process_exit *exit)
{
	Events__TaskExit exited = EVENTS__TASK_EXIT__INIT;
	Events__TaskDelete deleted = EVENTS__TASK_DELETE__INIT;
	autoptr(arena) arena = arena_new();

	exited.container_id = exited.id = deleted.container_id = t->shim.id;
	exited.pid = deleted.pid = exit->pid;
	exited.exit_status = deleted.exit_status = exit->status;
	exited.exited_at = deleted.exited_at = timestamp_to_wire(exit->at, arena);
	publish(t, "/tasks/exit", &exited);
	publish(t, "/tasks/delete", &deleted);
}

/* --- dead shims --- */

void task_bury(struct task *t, bool tell)
{
	/* The log stays open meanwhile: `delete` may wait for its reader. */
	struct process_exit exit = shim_clean_up(&t->shim, t->pid);

	shim_disconnect(&t->shim);
	shim_remove_bundle(&t->shim);
	shim_remove_socket(&t->shim);
	task_leave(t);
	if (tell)
		publish_end(t, &exit);
	task_waits_end(t, tell ? &exit : NULL);
}

static void bury_lost(void *arg)
{
	struct task *t = arg;

	log_info("shim disconnected, cleaning up", "id", t->shim.id, "namespace", t->shim.ns);
	task_bury(t, true);
	task_unref(t);
}

void task_shim_lost(void *arg)
{
	struct task *t = arg;
	struct task_manager *m = t->m;
	autoptr(err) e = NULL;

	LOCKED(&m->lock);
	t->lost = true;
	if (t->creating || t->state == TASK_ENDING || m->stopping)
		return;
	t->state = TASK_ENDING;
	e = pool_submit(m->pool, LANE_NORMAL, bury_lost, task_ref(t));
	if (e) {
		log_error("clean up behind shim", "id", t->shim.id, "error", err_message(e));
		task_unref(t);
	}
}

/* --- shims that live --- */

void task_take_down(struct task *t)
{
	if (!t->sandboxed)
		shim_shut_down(&t->shim);
	shim_disconnect(&t->shim);
	shim_remove_bundle(&t->shim);
	task_leave(t);
}

void task_abandon(struct task *t)
{
	Shim3__DeleteRequest request = SHIM3__DELETE_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(err) e = NULL;
	void *m = NULL;

	request.id = t->shim.id;
	e = shim_task_rpc(&t->shim, "Delete", &request, &shim3__delete_response__descriptor,
		t->m->host.options.cleanup_timeout_ms, NULL, arena, &m);
	if (err_is(e, ERR_DEADLINE) && !t->sandboxed)
		shim_shut_down(&t->shim);
	if (err_is(e, ERR_DEADLINE) || err_is_closed(e)) {
		task_bury(t, false);
		return;
	}
	task_take_down(t);
	task_waits_end(t, NULL);
}

void task_discard(struct task *t)
{
	autoptr(err) e = t->shim.client ? NULL : shim_find_leftover(&t->shim, task_shim_lost, t);

	if (e)
		task_bury(t, false);
	else
		task_abandon(t);
}
