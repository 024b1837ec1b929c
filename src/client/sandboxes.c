// SPDX-License-Identifier: Apache-2.0
#include "client/client-internal.h"

#include <containerd/sandboxes.h>
#include <string.h>

#include "oci/spec.h"
#include "proto/namespaces.pb-c.h"
#include "proto/sandbox-service.pb-c.h"

#define STORE "/containerd.services.sandbox.v1.Store/"
#define CONTROLLER "/containerd.services.sandbox.v1.Controller/"
#define SANDBOXER_LABEL "containerd.io/defaults/sandboxer"
#define SANDBOXER_DEFAULT "shim"

static struct ctd_strings extension_names(const Types__Sandbox *s, struct arena *arena)
{
	const char **names = arena_array(arena, s->n_extensions, sizeof(*names));

	for (size_t i = 0; i < s->n_extensions; i++)
		names[i] = s->extensions[i]->key;
	return (struct ctd_strings){.n = s->n_extensions, .items = names};
}

static void sandbox_from_wire(struct ctd_sandbox *to, const Types__Sandbox *s, struct arena *arena)
{
	const Google__Protobuf__Any *options = s->runtime ? s->runtime->options : NULL;

	*to = (struct ctd_sandbox){
		.id = s->sandbox_id,
		.labels = labels_from_wire(s->n_labels, s->labels, arena),
		.runtime = s->runtime ? s->runtime->name : "",
		.runtime_options_type = options ? options->type_url : "",
		.runtime_options = options ? options->value.data : NULL,
		.runtime_options_len = options ? options->value.len : 0,
		.spec = s->spec ? arena_strndup(arena, (const char *)s->spec->value.data,
					  s->spec->value.len)
				: "",
		.spec_type = s->spec ? s->spec->type_url : "",
		.sandboxer = s->sandboxer,
		.created_at = time_from_wire(s->created_at),
		.updated_at = time_from_wire(s->updated_at),
		.extensions = extension_names(s, arena),
	};
}

static struct err *sandbox_record(
	const Types__Sandbox *s, struct arena **take_arena, struct ctd_sandbox **ret)
{
	if (!s)
		return err_new(ERR_INTERNAL, "the daemon answered without the sandbox");
	struct ctd_sandbox *record = record_new(*take_arena, sizeof(*record));
	sandbox_from_wire(record, s, *take_arena);
	*ret = record;
	TAKE(*take_arena);
	return NULL;
}

struct err *ctd_sandbox_list(struct ctd_client *client, const char *const *filters,
	size_t n_filters, struct ctd_sandboxes **ret)
{
	autoptr(arena) arena = arena_new();
	Sbsvc__StoreListRequest request = SBSVC__STORE_LIST_REQUEST__INIT;
	Sbsvc__StoreListResponse *reply;

	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call(SCOPE(client), STORE "List", &request, &sbsvc__store_list_response__descriptor,
		arena, &reply));
	struct ctd_sandboxes *list = record_new(arena, sizeof(*list));
	struct ctd_sandbox **items = arena_array(arena, reply->n_list, sizeof(*items));
	for (size_t i = 0; i < reply->n_list; i++) {
		items[i] = ARENA_NEW(arena, struct ctd_sandbox);
		sandbox_from_wire(items[i], reply->list[i], arena);
	}
	list->n = reply->n_list;
	list->items = (const struct ctd_sandbox *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}

struct err *ctd_sandbox_get(struct ctd_client *client, const char *id, struct ctd_sandbox **ret)
{
	autoptr(arena) arena = arena_new();
	Sbsvc__StoreGetRequest request = SBSVC__STORE_GET_REQUEST__INIT;
	Sbsvc__StoreGetResponse *reply;

	request.sandbox_id = (char *)id;
	TRY(call(SCOPE(client), STORE "Get", &request, &sbsvc__store_get_response__descriptor,
		arena, &reply));
	return sandbox_record(reply->sandbox, &arena, ret);
}

/* --- making one --- */

static struct err *default_sandboxer(struct ctd_client *c, struct arena *arena, const char **ret)
{
	Namespaces__GetNamespaceRequest request = NAMESPACES__GET_NAMESPACE_REQUEST__INIT;
	Namespaces__GetNamespaceResponse *reply;
	const char *name = NULL;

	request.name = c->ns;
	autoptr(err) e = call(SCOPE(c), "/containerd.services.namespaces.v1.Namespaces/Get",
		&request, &namespaces__get_namespace_response__descriptor, arena, &reply);
	/* A namespace that nothing was created in yet has no labels. */
	if (e && !err_is(e, ERR_NOT_FOUND))
		return err_wrap(TAKE(e), "failed to get default sandboxer");
	if (!e && reply->namespace_)
		name = labels_get(labels_from_wire(reply->namespace_->n_labels,
					  reply->namespace_->labels, arena),
			SANDBOXER_LABEL);
	*ret = str_empty(name) ? SANDBOXER_DEFAULT : name;
	return NULL;
}

static struct err *delete_record(struct ctd_client *client, const char *id)
{
	autoptr(arena) arena = arena_new();
	Sbsvc__StoreDeleteRequest request = SBSVC__STORE_DELETE_REQUEST__INIT;
	Sbsvc__StoreDeleteResponse *reply;

	request.sandbox_id = (char *)id;
	struct err *e = call(SCOPE(client), STORE "Delete", &request,
		&sbsvc__store_delete_response__descriptor, arena, &reply);
	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	return err_wrap(e, "failed to delete sandbox from store");
}

static struct err *create_in_controller(
	struct ctd_client *client, Types__Sandbox *sandbox, const char *netns, struct arena *arena)
{
	Sbsvc__ControllerCreateRequest request = SBSVC__CONTROLLER_CREATE_REQUEST__INIT;
	Sbsvc__ControllerCreateResponse *reply;

	request.sandbox_id = sandbox->sandbox_id;
	request.sandbox = sandbox;
	request.sandboxer = sandbox->sandboxer;
	request.netns_path = (char *)str_or(netns, "");
	return err_wrap(call(SCOPE(client), CONTROLLER "Create", &request,
				&sbsvc__controller_create_response__descriptor, arena, &reply),
		"failed to create sandbox with %s sandboxer", sandbox->sandboxer);
}

struct err *ctd_sandbox_create(struct ctd_client *client, const struct ctd_sandbox_options *given,
	struct ctd_sandbox **ret)
{
	struct ctd_sandbox_options o = CTD_SANDBOX_INIT;
	autoptr(arena) arena = arena_new();
	Types__Sandbox sandbox = TYPES__SANDBOX__INIT;
	Types__Sandbox__Runtime runtime = TYPES__SANDBOX__RUNTIME__INIT;
	Google__Protobuf__Empty no_options = GOOGLE__PROTOBUF__EMPTY__INIT;
	Google__Protobuf__Any spec = GOOGLE__PROTOBUF__ANY__INIT;
	Sbsvc__StoreCreateRequest request = SBSVC__STORE_CREATE_REQUEST__INIT;
	Sbsvc__StoreCreateResponse *reply;

	memcpy(&o, given, MIN(given->size, sizeof(o)));
	if (str_empty(o.id))
		return err_new(ERR_INVALID, "sandbox ID must be specified");
	sandbox.sandbox_id = (char *)o.id;
	sandbox.sandboxer = (char *)o.sandboxer;
	if (str_empty(o.sandboxer))
		TRY(default_sandboxer(client, arena, (const char **)&sandbox.sandboxer));
	runtime.name = (char *)str_or(o.runtime, RUNTIME_DEFAULT);
	runtime.options = message_to_any(&no_options, arena);
	sandbox.runtime = &runtime;
	if (o.spec) {
		spec.type_url = (char *)SPEC_TYPE_URL;
		spec.value = (ProtobufCBinaryData){strlen(o.spec), (uint8_t *)o.spec};
		sandbox.spec = &spec;
	}
	sandbox.labels = LABELS_TO_WIRE(o.labels, Types__Sandbox__LabelsEntry,
		types__sandbox__labels_entry__init, arena, &sandbox.n_labels);
	request.sandbox = &sandbox;
	TRY(call(SCOPE(client), STORE "Create", &request, &sbsvc__store_create_response__descriptor,
		arena, &reply));
	struct err *e = create_in_controller(client, &sandbox, o.netns, arena);
	if (e) {
		err_free(delete_record(client, o.id));
		return e;
	}
	return sandbox_record(reply->sandbox, &arena, ret);
}

/* --- its life --- */

struct err *ctd_sandbox_start(
	struct ctd_client *client, const struct ctd_sandbox *sandbox, uint32_t *ret_pid)
{
	autoptr(arena) arena = arena_new();
	Sbsvc__ControllerStartRequest request = SBSVC__CONTROLLER_START_REQUEST__INIT;
	Sbsvc__ControllerStartResponse *reply;

	request.sandbox_id = (char *)sandbox->id;
	request.sandboxer = (char *)sandbox->sandboxer;
	TRY(call(SCOPE(client), CONTROLLER "Start", &request,
		&sbsvc__controller_start_response__descriptor, arena, &reply));
	if (ret_pid)
		*ret_pid = reply->pid;
	return NULL;
}

struct err *ctd_sandbox_stop(
	struct ctd_client *client, const struct ctd_sandbox *sandbox, uint32_t timeout_s)
{
	autoptr(arena) arena = arena_new();
	Sbsvc__ControllerStopRequest request = SBSVC__CONTROLLER_STOP_REQUEST__INIT;
	Sbsvc__ControllerStopResponse *reply;

	request.sandbox_id = (char *)sandbox->id;
	request.sandboxer = (char *)sandbox->sandboxer;
	request.timeout_secs = timeout_s;
	return call(SCOPE(client), CONTROLLER "Stop", &request,
		&sbsvc__controller_stop_response__descriptor, arena, &reply);
}

struct err *ctd_sandbox_shutdown(struct ctd_client *client, const struct ctd_sandbox *sandbox)
{
	autoptr(arena) arena = arena_new();
	Sbsvc__ControllerShutdownRequest request = SBSVC__CONTROLLER_SHUTDOWN_REQUEST__INIT;
	Sbsvc__ControllerShutdownResponse *reply;

	request.sandbox_id = (char *)sandbox->id;
	request.sandboxer = (char *)sandbox->sandboxer;
	struct err *e = call(SCOPE(client), CONTROLLER "Shutdown", &request,
		&sbsvc__controller_shutdown_response__descriptor, arena, &reply);
	if (e && !err_is(e, ERR_NOT_FOUND))
		return err_wrap(e, "failed to shutdown sandbox");
	err_free(e);
	return delete_record(client, sandbox->id);
}

struct err *ctd_sandbox_wait(
	struct ctd_client *client, const struct ctd_sandbox *sandbox, struct ctd_sandbox_exit *ret)
{
	autoptr(arena) arena = arena_new();
	Sbsvc__ControllerWaitRequest request = SBSVC__CONTROLLER_WAIT_REQUEST__INIT;
	Sbsvc__ControllerWaitResponse *reply;

	request.sandbox_id = (char *)sandbox->id;
	request.sandboxer = (char *)sandbox->sandboxer;
	TRY(call(SCOPE(client), CONTROLLER "Wait", &request,
		&sbsvc__controller_wait_response__descriptor, arena, &reply));
	*ret = (struct ctd_sandbox_exit){reply->exit_status, time_from_wire(reply->exited_at)};
	return NULL;
}

struct err *ctd_sandbox_get_status(struct ctd_client *client, const struct ctd_sandbox *sandbox,
	struct ctd_sandbox_status **ret)
{
	autoptr(arena) arena = arena_new();
	Sbsvc__ControllerStatusRequest request = SBSVC__CONTROLLER_STATUS_REQUEST__INIT;
	Sbsvc__ControllerStatusResponse *reply;

	request.sandbox_id = (char *)sandbox->id;
	request.sandboxer = (char *)sandbox->sandboxer;
	TRY(call(SCOPE(client), CONTROLLER "Status", &request,
		&sbsvc__controller_status_response__descriptor, arena, &reply));
	struct ctd_sandbox_status *record = record_new(arena, sizeof(*record));
	*record = (struct ctd_sandbox_status){
		.pid = reply->pid,
		.state = reply->state,
		.created_at = time_from_wire(reply->created_at),
		.exited_at = time_from_wire(reply->exited_at),
	};
	*ret = record;
	TAKE(arena);
	return NULL;
}
