// SPDX-License-Identifier: Apache-2.0
/* Behind tasks: what happens when a shim is told to go, does not answer, or has died. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "google/protobuf/empty.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/shim-v3.pb-c.h"
#include "runtime/bundle.h"
#include "runtime/task-internal.h"

#define EXIT_UNKNOWN 255

/* --- events --- */

static void publish(struct task *t, const char *topic, const void *event)
{
	autoptr(arena) arena = arena_new();
	autoval(any) payload = ANY_INIT;
	autoptr(err) e = NULL;

	any_from_wire(&payload, message_to_any(event, arena));
	e = exchange_publish(t->m->exchange, t->ns, topic, &payload);
	if (e)
		log_error("publish event", "topic", topic, "id", t->id, "error", err_message(e));
}

static void publish_end(struct task *t, const struct process_exit *exit)
{
	Events__TaskExit exited = EVENTS__TASK_EXIT__INIT;
	Events__TaskDelete deleted = EVENTS__TASK_DELETE__INIT;
	autoptr(arena) arena = arena_new();

	exited.container_id = exited.id = deleted.container_id = t->id;
	exited.pid = deleted.pid = exit->pid;
	exited.exit_status = deleted.exit_status = exit->status;
	exited.exited_at = deleted.exited_at = timestamp_to_wire(exit->at, arena);
	publish(t, "/tasks/exit", &exited);
	publish(t, "/tasks/delete", &deleted);
}

/* --- what is left on disk --- */

static void remove_bundle(struct task *t)
{
	autoptr(err) e = t->bundle ? bundle_delete(t->m->options.root, t->bundle) : NULL;

	if (e)
		log_error(
			"delete bundle", "id", t->id, "namespace", t->ns, "error", err_message(e));
}

/* The socket of a shim that was killed; one that others still serve stays. */
static void remove_socket(const struct task *t)
{
	const char *path = t->address && str_starts(t->address, "unix://") ? t->address + 7 : NULL;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	autofd fd = -1;

	if (!path || strlen(path) >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno == ECONNREFUSED)
		unlink(path);
}

/* --- dead shims --- */

static struct process_exit run_delete(struct task *t)
{
	struct process_exit exit = {.pid = t->pid, .status = EXIT_UNKNOWN, .at = timestamp_now()};
	struct process_exit answer = {0};
	struct shim_command c;
	autoptr(err) e = NULL;

	if (!t->binary || !t->bundle)
		return exit;
	task_command(t, &c);
	e = shim_binary_delete(&c, t->m->options.cleanup_timeout_ms, &answer);
	if (e) {
		log_warn("clean up behind shim", "id", t->id, "namespace", t->ns, "error",
			err_message(e));
		return exit;
	}
	if (timestamp_is_zero(answer.at))
		answer.at = exit.at;
	if (!answer.pid)
		answer.pid = exit.pid;
	return answer;
}

void task_bury(struct task *t, bool tell)
{
	/* The log stays open meanwhile: `delete` may wait for its reader. */
	struct process_exit exit = run_delete(t);

	task_disconnect(t);
	remove_bundle(t);
	remove_socket(t);
	task_leave(t);
	if (tell)
		publish_end(t, &exit);
	task_waits_end(t, tell ? &exit : NULL);
}

static void bury_lost(void *arg)
{
	struct task *t = arg;

	log_info("shim disconnected, cleaning up", "id", t->id, "namespace", t->ns);
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
		log_error("clean up behind shim", "id", t->id, "error", err_message(e));
		task_unref(t);
	}
}

/* --- shims that live --- */

static void shut_down(struct task *t, int64_t timeout_ms)
{
	Shim3__ShutdownRequest request = SHIM3__SHUTDOWN_REQUEST__INIT;
	autoptr(arena) arena = arena_new();
	autoptr(err) e = NULL;
	void *m = NULL;

	request.id = t->id;
	/* One that still has other tasks of its pod answers and stays. */
	e = task_rpc(t, "Shutdown", &request, &google__protobuf__empty__descriptor, timeout_ms,
		NULL, arena, &m);
	if (e && !err_is_closed(e))
		log_warn("shut down shim, it may be left over", "id", t->id, "namespace", t->ns,
			"error", err_message(e));
}

void task_take_down(struct task *t)
{
	shut_down(t, t->m->options.shutdown_timeout_ms);
	task_disconnect(t);
	remove_bundle(t);
	task_leave(t);
}

void task_abandon(struct task *t)
{
	Shim3__DeleteRequest request = SHIM3__DELETE_REQUEST__INIT;
	const struct task_manager_options *o = &t->m->options;
	autoptr(arena) arena = arena_new();
	autoptr(err) e = NULL;
	void *m = NULL;

	request.id = t->id;
	e = task_rpc(t, "Delete", &request, &shim3__delete_response__descriptor,
		o->cleanup_timeout_ms, NULL, arena, &m);
	if (err_is(e, ERR_DEADLINE))
		shut_down(t, o->shutdown_timeout_ms);
	if (err_is(e, ERR_DEADLINE) || err_is_closed(e)) {
		task_bury(t, false);
		return;
	}
	task_take_down(t);
	task_waits_end(t, NULL);
}

void task_discard(struct task *t)
{
	autoval(bootstrap) b = {0};
	autoptr(err) e = NULL;

	if (!t->client) {
		task_guess_address(t, &b);
		free(TAKE(t->address));
		e = task_connect(t, &b);
	}
	if (e)
		task_bury(t, false);
	else
		task_abandon(t);
}
