// SPDX-License-Identifier: Apache-2.0
#include "client/client-internal.h"

#include <containerd/introspection.h>

#include "proto/introspection.pb-c.h"

static struct ctd_strings platform_names(
	size_t n, Types__Platform *const *platforms, struct arena *arena)
{
	const char **names = arena_array(arena, n, sizeof(*names));

	for (size_t i = 0; i < n; i++) {
		const Types__Platform *p = platforms[i];

		names[i] = *p->variant ? arena_printf(arena, "%s/%s/%s", p->os, p->architecture,
						 p->variant)
				       : arena_printf(arena, "%s/%s", p->os, p->architecture);
	}
	return (struct ctd_strings){.n = n, .items = names};
}

static struct ctd_plugin *plugin_from_wire(const Introspection__Plugin *p, struct arena *arena)
{
	struct ctd_plugin *plugin = ARENA_NEW(arena, struct ctd_plugin);

	*plugin = (struct ctd_plugin){
		.type = p->type,
		.id = p->id,
		.requires = strings_from_wire(p->n_requires, p->requires),
		.platforms = platform_names(p->n_platforms, p->platforms, arena),
		.exports = labels_from_wire(p->n_exports, p->exports, arena),
		.capabilities = strings_from_wire(p->n_capabilities, p->capabilities),
		.failed = p->init_err,
		.error_code = p->init_err ? (enum ctd_code)p->init_err->code : CTD_OK,
		.error_message = p->init_err ? p->init_err->message : "",
	};
	return plugin;
}

struct err *ctd_plugin_list(struct ctd_client *client, const char *const *filters, size_t n_filters,
	struct ctd_plugins **ret)
{
	autoptr(arena) arena = arena_new();
	Introspection__PluginsRequest request = INTROSPECTION__PLUGINS_REQUEST__INIT;
	Introspection__PluginsResponse *reply;

	request.n_filters = n_filters;
	request.filters = (char **)filters;
	TRY(call(SCOPE(client), "/containerd.services.introspection.v1.Introspection/Plugins",
		&request, &introspection__plugins_response__descriptor, arena, &reply));
	struct ctd_plugins *list = record_new(arena, sizeof(*list));
	struct ctd_plugin **items = arena_array(arena, reply->n_plugins, sizeof(*items));
	for (size_t i = 0; i < reply->n_plugins; i++)
		items[i] = plugin_from_wire(reply->plugins[i], arena);
	list->n = reply->n_plugins;
	list->items = (const struct ctd_plugin *const *)items;
	*ret = list;
	TAKE(arena);
	return NULL;
}

struct err *ctd_server_info(struct ctd_client *client, struct ctd_server **ret)
{
	autoptr(arena) arena = arena_new();
	Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
	Introspection__ServerResponse *reply;

	TRY(call(SCOPE(client), "/containerd.services.introspection.v1.Introspection/Server",
		&request, &introspection__server_response__descriptor, arena, &reply));
	struct ctd_server *server = record_new(arena, sizeof(*server));
	const char **lines = arena_array(arena, reply->n_deprecations, sizeof(*lines));
	for (size_t i = 0; i < reply->n_deprecations; i++)
		lines[i] = reply->deprecations[i]->message;
	*server = (struct ctd_server){
		.uuid = reply->uuid,
		.pid = reply->pid,
		.pidns = reply->pidns,
		.deprecations = {.n = reply->n_deprecations, .items = lines},
	};
	*ret = server;
	TAKE(arena);
	return NULL;
}
