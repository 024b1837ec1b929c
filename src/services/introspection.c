// SPDX-License-Identifier: Apache-2.0
#include "proto/introspection.pb-c.h"

#include <sys/stat.h>
#include <unistd.h>

#include "oci/platform.h"
#include "proto/rpc-status.pb-c.h"
#include "services/convert.h"
#include "services/services.h"

static char **list_to_wire(const char *const *list, struct arena *arena, size_t *ret_n)
{
	size_t n = 0;
	char **w;

	while (list && list[n])
		n++;
	w = arena_array(arena, n, sizeof(*w));
	for (size_t i = 0; i < n; i++)
		w[i] = arena_strdup(arena, list[i]);
	*ret_n = n;
	return w;
}

static void platform_to_wire(Introspection__Plugin *w, struct arena *arena)
{
	autoval(platform) host = {0};
	Types__Platform *p = ARENA_NEW(arena, Types__Platform);

	platform_host(&host);
	types__platform__init(p);
	p->os = arena_strdup(arena, str_or(host.os, ""));
	p->architecture = arena_strdup(arena, str_or(host.architecture, ""));
	p->variant = arena_strdup(arena, str_or(host.variant, ""));
	w->n_platforms = 1;
	w->platforms = arena_array(arena, 1, sizeof(*w->platforms));
	w->platforms[0] = p;
}

static Introspection__Plugin *plugin_to_wire(const struct plugin_info *p, struct arena *arena)
{
	Introspection__Plugin *w = ARENA_NEW(arena, Introspection__Plugin);

	introspection__plugin__init(w);
	w->type = (char *)p->type;
	w->id = (char *)p->id;
	w->
		requires
	= list_to_wire(p->requires, arena, &w->n_requires);
	w->capabilities = list_to_wire(p->capabilities, arena, &w->n_capabilities);
	w->exports = STRMAP_TO_WIRE(&p->exports, Introspection__Plugin__ExportsEntry,
		introspection__plugin__exports_entry__init, arena, &w->n_exports);
	if (p->has_platform)
		platform_to_wire(w, arena);
	if (p->init_error) {
		w->init_err = ARENA_NEW(arena, Grpcstatus__Status);
		grpcstatus__status__init(w->init_err);
		w->init_err->code = (int32_t)err_class(p->init_error);
		w->init_err->message = arena_strdup(arena, err_message(p->init_error));
	}
	return w;
}

static const char *plugin_field(void *object, char *const *path, size_t n, bool *ret_present)
{
	const struct plugin_info *p = object;
	const char *value = NULL;

	if (n && str_eq(path[0], "type"))
		value = p->type;
	else if (n && str_eq(path[0], "id"))
		value = p->id;
	*ret_present = !str_empty(value);
	return value;
}

static struct err *introspection_handle_plugins(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Introspection__PluginsRequest *req = rpc_request(call);
	Introspection__PluginsResponse reply = INTROSPECTION__PLUGINS_RESPONSE__INIT;
	autoptr(filter) f = NULL;

	TRY(filter_parse(req->filters, req->n_filters, &f));
	reply.plugins = arena_array(rpc_arena(call), svc->n_plugins, sizeof(*reply.plugins));
	for (size_t i = 0; i < svc->n_plugins; i++) {
		struct plugin_info *p = (struct plugin_info *)&svc->plugins[i];

		if (filter_match(f, plugin_field, p))
			reply.plugins[reply.n_plugins++] = plugin_to_wire(p, rpc_arena(call));
	}
	return rpc_reply(call, &reply);
}

static struct err *introspection_handle_server(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	Introspection__ServerResponse reply = INTROSPECTION__SERVER_RESPONSE__INIT;
	struct stat st;

	reply.uuid = (char *)svc->uuid;
	reply.pid = (uint64_t)getpid();
	if (stat("/proc/self/ns/pid", &st) == 0)
		reply.pidns = st.st_ino;
	return rpc_reply(call, &reply);
}

static const struct plugin_info *find_plugin(
	const struct services *svc, const char *type, const char *id)
{
	for (size_t i = 0; i < svc->n_plugins; i++) {
		if (str_eq(svc->plugins[i].type, type) && str_eq(svc->plugins[i].id, id))
			return &svc->plugins[i];
	}
	return NULL;
}

/* What the runtime plugin tells beyond its row: the shim's own account of a runtime. */
static struct err *runtime_extra(struct services *svc, struct rpc_call *call,
	const Google__Protobuf__Any *options, Google__Protobuf__Any **ret)
{
	Types__RuntimeRequest *request;
	autoval(any) runtime_options = ANY_INIT;
	autoval(any) info = ANY_INIT;
	struct arena *arena = rpc_arena(call);
	Google__Protobuf__Any *w = ARENA_NEW(arena, Google__Protobuf__Any);

	TRY(message_from_any(
		options, &types__runtime_request__descriptor, arena, (void **)&request));
	any_from_wire(&runtime_options, request->options);
	TRY(task_runtime_info(
		svc->tasks, request->runtime_path, &runtime_options, rpc_cancel(call), &info));
	google__protobuf__any__init(w);
	w->type_url = arena_strdup(arena, str_or(info.type_url, ""));
	w->value.len = info.len;
	w->value.data = arena_memdup(arena, info.value, info.len);
	*ret = w;
	return NULL;
}

static struct err *introspection_handle_plugin_info(struct rpc_call *call, void *impl)
{
	struct services *svc = impl;
	const Introspection__PluginInfoRequest *req = rpc_request(call);
	Introspection__PluginInfoResponse reply = INTROSPECTION__PLUGIN_INFO_RESPONSE__INIT;
	const struct plugin_info *p = find_plugin(svc, req->type, req->id);

	if (!p)
		return err_new(
			ERR_NOT_FOUND, "plugin %s.%s not found: not found", req->type, req->id);
	reply.plugin = plugin_to_wire(p, rpc_arena(call));
	if (req->options) {
		if (p->init_error)
			return err_new(ERR_PRECONDITION,
				"cannot get extra info, plugin not successfully loaded: failed "
				"precondition");
		if (!str_eq(p->type, "io.containerd.runtime.v2"))
			return err_new(ERR_UNIMPLEMENTED,
				"plugin does not provided extra information: not implemented");
		TRY(runtime_extra(svc, call, req->options, &reply.extra));
	}
	return rpc_reply(call, &reply);
}

static const struct rpc_method methods[] = {
	{"Plugins", RPC_UNARY, LANE_NORMAL, &introspection__plugins_request__descriptor,
		&introspection__plugins_response__descriptor, introspection_handle_plugins},
	{"Server", RPC_UNARY, LANE_NORMAL, &google__protobuf__empty__descriptor,
		&introspection__server_response__descriptor, introspection_handle_server},
	{"PluginInfo", RPC_UNARY, LANE_NORMAL, &introspection__plugin_info_request__descriptor,
		&introspection__plugin_info_response__descriptor, introspection_handle_plugin_info},
};

const struct rpc_service introspection_service = {
	"containerd.services.introspection.v1.Introspection", methods, ARRAY_LEN(methods)};
