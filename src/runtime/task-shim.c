// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "base/digest.h"
#include "base/log.h"
#include "runtime/task-internal.h"

#define SOCKET_DIR "/run/containerd/s"
#define SERVICE_V2 "containerd.task.v2.Task"
#define SERVICE_V3 "containerd.task.v3.Task"

void task_command(const struct task *t, struct shim_command *ret)
{
	*ret = (struct shim_command){
		.options = &t->m->options,
		.binary = t->binary,
		.ns = t->ns,
		.id = t->id,
		.bundle = t->bundle,
	};
}

void task_guess_address(const struct task *t, struct bootstrap *ret)
{
	const struct task_manager_options *o = &t->m->options;
	autofree char *text = xasprintf("%s/%s/%s", str_or(o->address, ""), t->ns, t->id);
	char hex[65];

	sha256_hex(text, strlen(text), hex);
	ret->version = SHIM_VERSION_MAX;
	ret->address = xasprintf("unix://%s/%s", str_or(o->socket_dir, SOCKET_DIR), hex);
	ret->protocol = xstrdup("ttrpc");
}

struct err *task_connect(struct task *t, const struct bootstrap *b)
{
	t->version = b->version;
	t->address = xstrdup(b->address);
	return ttrpc_client_new(t->m->loop, b->address, task_shim_lost, t, &t->client);
}

const char *task_service(const struct task *t)
{
	return t->version >= 3 ? SERVICE_V3 : SERVICE_V2;
}

bool err_is_closed(const struct err *e)
{
	return err_is(e, ERR_UNAVAILABLE) && strcmp(err_message(e), "ttrpc: closed") == 0;
}

/* A shim that was started by an older binary than the one that announced version 3. */
static bool wants_v2(const struct err *e)
{
	return err_is(e, ERR_UNIMPLEMENTED) && strstr(err_message(e), SERVICE_V3);
}

struct err *task_rpc(struct task *t, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply, int64_t timeout_ms, struct cancel *cancel,
	struct arena *arena, void **ret)
{
	/* The messages of both versions are the same bytes. */
	struct err *e = ttrpc_call(t->client, t->ns, task_service(t), method, request, reply,
		timeout_ms, cancel, arena, ret);

	if (t->version < 3 || !wants_v2(e))
		return e;
	log_warn("shim does not speak task API version 3, using version 2", "id", t->id, "error",
		err_message(e));
	err_free(e);
	t->version = 2;
	return ttrpc_call(t->client, t->ns, task_service(t), method, request, reply, timeout_ms,
		cancel, arena, ret);
}

struct err *task_call(struct task *t, const char *method, const void *request,
	const ProtobufCMessageDescriptor *reply, int64_t timeout_ms, struct cancel *cancel,
	struct arena *arena, void **ret)
{
	struct err *e = task_rpc(t, method, request, reply, timeout_ms, cancel, arena, ret);

	if (!err_is_closed(e))
		return e;
	err_free(e);
	return err_new(ERR_NOT_FOUND, "task %s not found", t->id);
}

void task_disconnect(struct task *t)
{
	/* Threads may be inside a call: the client itself goes with the last reference. */
	if (t->client)
		ttrpc_client_close(t->client);
	shim_log_close(TAKE(t->log));
}
