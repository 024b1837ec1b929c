// SPDX-License-Identifier: Apache-2.0
/* What the daemon is made of, in the order in which it comes up. */
#include "daemon/daemon.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "daemon/snapshotters.h"
#include "meta/containers.h"
#include "rpc/grpc.h"
#include "rpc/ttrpc.h"
#include "sandbox/shim-controller.h"
#include "transfer/transfer.h"

#define METADATA_DIR "io.containerd.metadata.v1.bolt"
#define NS_PER_MS 1000000

char *plugin_root(const struct daemon *d, const char *type, const char *id)
{
	return xasprintf("%s/%s.%s", d->config->root, type, id);
}

char *plugin_state(const struct daemon *d, const char *type, const char *id)
{
	return xasprintf("%s/%s.%s", d->config->state, type, id);
}

/* --- storage --- */

static struct err *init_exchange(struct daemon *d, struct plugin_info *p)
{
	d->exchange = exchange_new();
	return NULL;
}

static struct err *init_content(struct daemon *d, struct plugin_info *p)
{
	autofree char *root = plugin_root(d, p->type, p->id);

	TRY(mkdir_p(root, 0711));
	strmap_set(&p->exports, "root", root);
	return content_local_open(root, &d->store);
}

/* Metadata that another containerd left here names content and snapshots that we would take for
 * garbage, so we do not touch such a root. */
static struct err *refuse_foreign_metadata(const char *dir, const char *ours)
{
	autofree char *theirs = path_join(dir, "meta.db");
	struct stat st;

	if (stat(ours, &st) == 0 || stat(theirs, &st) < 0)
		return NULL;
	return err_new(ERR_PRECONDITION,
		"%s holds the metadata of another containerd, which is not read here: give "
		"another --root, or move its root away",
		theirs);
}

static struct err *init_metadata(struct daemon *d, struct plugin_info *p)
{
	autofree char *root = plugin_root(d, p->type, p->id);
	autofree char *path = path_join(root, "metadata.sqlite");

	TRY(mkdir_p(root, 0711));
	TRY(refuse_foreign_metadata(root, path));
	TRY(meta_open(path, &d->meta));
	strmap_set(&p->exports, "path", path);
	strmap_set(&p->exports, "policy", "shared");
	d->content = content_new(d->meta, d->store);
	d->snapshots = snapshots_new(d->meta);
	return NULL;
}

static struct err *init_gc(struct daemon *d, struct plugin_info *p)
{
	const struct config *c = d->config;
	struct collector_options options = {
		.pause_threshold = c->gc_pause_threshold,
		.deletion_threshold = c->gc_deletion_threshold,
		.mutation_threshold = c->gc_mutation_threshold,
		.schedule_delay_ms = c->gc_schedule_delay_ns / NS_PER_MS,
		.startup_delay_ms = c->gc_startup_delay_ns / NS_PER_MS,
	};

	return collector_new(d->meta, d->store, d->snapshots, &options, &d->collector);
}

static struct err *init_leases(struct daemon *d, struct plugin_info *p)
{
	return NULL; /* rows of the metadata and nothing else */
}

/* The worker stands beside us, or where `make install` puts it. */
static char *find_worker(const struct daemon *d)
{
	autofree char *dir = path_dir(d->exe);
	char *beside = path_join(dir, "containerd-worker");

	if (access(beside, X_OK) == 0)
		return beside;
	free(beside);
	return xasprintf("%s/../libexec/containerd/containerd-worker", dir);
}

static struct err *init_differ(struct daemon *d, struct plugin_info *p)
{
	autofree char *worker = find_worker(d);
	struct differ_options options = {
		.worker = worker,
		.max_layer_bytes = d->config->max_layer_bytes,
		.max_layer_entries = d->config->max_layer_entries,
	};

	if (access(worker, X_OK) < 0)
		return err_new(ERR_NOT_FOUND,
			"%s is missing: layers cannot be unpacked, reinstall containerd", worker);
	d->differ = differ_new(d->content, &options);
	return NULL;
}

static struct err *init_streaming(struct daemon *d, struct plugin_info *p)
{
	d->streams = streams_new();
	return NULL;
}

static struct err *init_transfer(struct daemon *d, struct plugin_info *p)
{
	autofree char *worker = find_worker(d);
	struct transfer_options options = {
		.meta = d->meta,
		.content = d->content,
		.snapshots = d->snapshots,
		.differ = d->differ,
		.worker = worker,
		.check_platform = d->config->transfer_check_platform,
	};

	d->transfer = transfer_new(&options);
	return NULL;
}

/* --- runtime --- */

static char *container_runtime(const char *ns, const char *id, void *arg)
{
	struct daemon *d = arg;
	struct scope s = {.ns = ns};
	autoptr(container) c = NULL;
	autoptr(err) e = containers_get(d->meta, &s, id, &c);

	return e ? NULL : xstrdup(c->runtime);
}

static struct err *init_shims(struct daemon *d, struct plugin_info *p)
{
	return NULL; /* the manager is part of the runtime plugin's */
}

/* `root` and `state` stay with the caller. */
static void shim_options(
	const struct daemon *d, const char *root, const char *state, struct shim_options *ret)
{
	const struct config *c = d->config;

	*ret = (struct shim_options){
		.root = root,
		.state = state,
		.address = c->address,
		.ttrpc_address = c->ttrpc_address,
		.daemon_path = d->exe,
		.version = daemon_version,
		.socket_dir = str_empty(c->socket_dir) ? NULL : c->socket_dir,
		.shim_env = &c->shim_env,
		.debug = log_get_level() <= LOG_DEBUG,
		.load_timeout_ms = c->shim_load_ns / NS_PER_MS,
		.cleanup_timeout_ms = c->shim_cleanup_ns / NS_PER_MS,
		.shutdown_timeout_ms = c->shim_shutdown_ns / NS_PER_MS,
	};
}

/* For tasks of containers that are in a sandbox. */
static struct err *sandbox_shim(
	const char *ns, const char *sandbox, struct bootstrap *ret, void *arg)
{
	struct daemon *d = arg;
	struct scope s = {.ns = ns};
	autoptr(sandbox) record = NULL;
	struct err *e = sandboxes_get(d->meta, &s, sandbox, &record);

	if (err_is(e, ERR_NOT_FOUND)) {
		err_free(e);
		return NULL;
	}
	TRY(e);
	if (!d->shim_sandboxes)
		return err_new(ERR_PRECONDITION, "the sandbox controller \"shim\" is not loaded");
	return shim_controller_endpoint(d->shim_sandboxes, ns, sandbox, ret);
}

static struct err *init_runtime(struct daemon *d, struct plugin_info *p)
{
	autofree char *root = plugin_root(d, p->type, p->id);
	autofree char *state = plugin_state(d, p->type, p->id);
	struct task_manager_options options = {
		.state_timeout_ms = d->config->task_state_ns / NS_PER_MS,
		.container_runtime = container_runtime,
		.sandbox_shim = sandbox_shim,
		.arg = d,
	};

	shim_options(d, root, state, &options.shim);
	strmap_set(&p->exports, "log-uri-schemes", "fifo,binary,binary-v2,file");
	return task_manager_new(d->loop, d->exchange, &options, &d->tasks);
}

static struct err *init_sandbox_store(struct daemon *d, struct plugin_info *p)
{
	return NULL; /* rows of the metadata and nothing else */
}

static struct err *init_shim_sandboxes(struct daemon *d, struct plugin_info *p)
{
	autofree char *root = plugin_root(d, p->type, p->id);
	autofree char *state = plugin_state(d, p->type, p->id);
	struct shim_options options;

	shim_options(d, root, state, &options);
	TRY(shim_controller_new(d->loop, &options, &d->shim_sandboxes));
	d->sandboxers[d->n_sandboxers++] = (struct sandboxer){p->id, d->shim_sandboxes};
	return NULL;
}

/* --- services --- */

static void new_uuid(char ret[static 37])
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort();
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		b[13], b[14], b[15]);
}

static struct err *load_uuid(struct daemon *d, const struct plugin_info *p)
{
	autofree char *root = plugin_root(d, p->type, p->id);
	autofree char *path = path_join(root, "uuid");
	char fresh[37];
	size_t len;
	struct err *e;

	TRY(mkdir_p(root, 0700));
	e = file_read(path, 64, &d->uuid, &len);
	if (!e && len == 36)
		return NULL;
	err_free(e);
	free(d->uuid);
	new_uuid(fresh);
	d->uuid = xstrdup(fresh);
	return file_write_atomic(path, fresh, 36, 0644, true);
}

static struct err *init_introspection(struct daemon *d, struct plugin_info *p)
{
	TRY(load_uuid(d, p));
	d->services.uuid = d->uuid;
	rpc_server_add(d->grpc, &introspection_service, &d->services);
	return NULL;
}

static struct err *init_diff_service(struct daemon *d, struct plugin_info *p)
{
	if (!d->differ)
		return err_new(ERR_PRECONDITION, "no differ is loaded");
	rpc_server_add(d->grpc, &diff_service, &d->services);
	return NULL;
}

static struct err *init_events_service(struct daemon *d, struct plugin_info *p)
{
	services_announce(&d->services);
	rpc_server_add(d->grpc, &events_service, &d->services);
	rpc_server_add(d->ttrpc, &events_ttrpc_service, &d->services);
	return NULL;
}

static struct err *init_streaming_service(struct daemon *d, struct plugin_info *p)
{
	if (!d->streams)
		return err_new(ERR_PRECONDITION, "there is no manager of streams");
	rpc_server_add(d->grpc, &streaming_service, &d->services);
	return NULL;
}

static struct err *init_transfer_service(struct daemon *d, struct plugin_info *p)
{
	if (!d->streams || !d->transfer)
		return err_new(ERR_PRECONDITION, "streaming and transfer are not loaded");
	rpc_server_add(d->grpc, &transfer_service, &d->services);
	return NULL;
}

static struct err *init_sandbox_controllers_service(struct daemon *d, struct plugin_info *p)
{
	if (!d->n_sandboxers)
		return err_new(ERR_NOT_FOUND, "no sandbox controllers initialized");
	rpc_server_add(d->grpc, &sandbox_controllers_service, &d->services);
	return NULL;
}

/* Services that need nothing but to be served. */
#define SERVICE(name)                                                                              \
	static struct err *init_##name##_service(struct daemon *d, struct plugin_info *p)          \
	{                                                                                          \
		rpc_server_add(d->grpc, &name##_service, &d->services);                            \
		return NULL;                                                                       \
	}

SERVICE(containers)
SERVICE(content)
SERVICE(health)
SERVICE(images)
SERVICE(leases)
SERVICE(namespaces)
SERVICE(sandboxes)
SERVICE(snapshots)
SERVICE(tasks)
SERVICE(version)

/* --- the table --- */

#define CONTENT "io.containerd.content.v1"
#define SNAPSHOTTER "io.containerd.snapshotter.v1"
#define EVENT "io.containerd.event.v1"
#define METADATA "io.containerd.metadata.v1"
#define GC "io.containerd.gc.v1"
#define LEASE "io.containerd.lease.v1"
#define DIFFER "io.containerd.differ.v1"
#define STREAMING "io.containerd.streaming.v1"
#define TRANSFER "io.containerd.transfer.v1"
#define SANDBOX_STORE "io.containerd.sandbox.store.v1"
#define SANDBOX_CONTROLLER "io.containerd.sandbox.controller.v1"
#define SHIM "io.containerd.shim.v1"
#define RUNTIME "io.containerd.runtime.v2"
#define GRPC "io.containerd.grpc.v1"

#define NEEDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

struct plugin {
	const char *type, *id;
	const char *const *
		requires;
	struct err *(*init)(struct daemon *d, struct plugin_info *p);
	bool vital; /* without it there is no daemon */
	bool has_platform;
};

static const struct plugin table[] = {
	{EVENT, "exchange", NULL, init_exchange, true, false},
	{CONTENT, "content", NULL, init_content, true, false},
	{METADATA, "bolt", NEEDS(CONTENT, EVENT, SNAPSHOTTER), init_metadata, true, false},
	{SNAPSHOTTER, "blockfile", NULL, init_blockfile, false, true},
	{SNAPSHOTTER, "btrfs", NULL, init_btrfs, false, true},
	{SNAPSHOTTER, "native", NULL, init_native, false, true},
	{SNAPSHOTTER, "overlayfs", NULL, init_overlayfs, false, true},
	{GC, "scheduler", NEEDS(METADATA), init_gc, true, false},
	{LEASE, "manager", NEEDS(METADATA, GC), init_leases, true, false},
	{DIFFER, "walking", NEEDS(METADATA), init_differ, false, true},
	{STREAMING, "manager", NEEDS(METADATA), init_streaming, false, false},
	{TRANSFER, "local", NEEDS(LEASE, METADATA, DIFFER, SNAPSHOTTER), init_transfer, false,
		false},
	{SANDBOX_STORE, "local", NEEDS(METADATA), init_sandbox_store, true, false},
	{SHIM, "manager", NEEDS(EVENT, METADATA, SANDBOX_STORE), init_shims, true, false},
	{RUNTIME, "task", NEEDS(SHIM), init_runtime, true, true},
	{SANDBOX_CONTROLLER, "shim", NEEDS(SHIM, EVENT), init_shim_sandboxes, false, false},
	{GRPC, "containers", NEEDS(METADATA), init_containers_service, false, false},
	{GRPC, "content", NEEDS(METADATA), init_content_service, false, false},
	{GRPC, "diff", NEEDS(DIFFER), init_diff_service, false, false},
	{GRPC, "events", NEEDS(EVENT), init_events_service, true, false},
	{GRPC, "healthcheck", NULL, init_health_service, false, false},
	{GRPC, "images", NEEDS(METADATA, GC), init_images_service, false, false},
	{GRPC, "introspection", NULL, init_introspection, false, false},
	{GRPC, "leases", NEEDS(LEASE), init_leases_service, false, false},
	{GRPC, "namespaces", NEEDS(METADATA), init_namespaces_service, false, false},
	{GRPC, "sandbox-controllers", NEEDS(SANDBOX_CONTROLLER, EVENT),
		init_sandbox_controllers_service, false, false},
	{GRPC, "sandboxes", NEEDS(SANDBOX_STORE), init_sandboxes_service, false, false},
	{GRPC, "snapshots", NEEDS(METADATA), init_snapshots_service, false, false},
	{GRPC, "streaming", NEEDS(STREAMING), init_streaming_service, false, false},
	{GRPC, "tasks", NEEDS(RUNTIME, EVENT, METADATA), init_tasks_service, false, false},
	{GRPC, "transfer", NEEDS(TRANSFER, STREAMING), init_transfer_service, false, false},
	{GRPC, "version", NULL, init_version_service, false, false},
};

_Static_assert(ARRAY_LEN(table) <= PLUGINS_MAX, "room for every plugin");

static void fill_services(struct daemon *d)
{
	d->services = (struct services){
		.loop = d->loop,
		.meta = d->meta,
		.content = d->content,
		.snapshots = d->snapshots,
		.collector = d->collector,
		.differ = d->differ,
		.exchange = d->exchange,
		.tasks = d->tasks,
		.sandboxers = d->sandboxers,
		.n_sandboxers = d->n_sandboxers,
		.streams = d->streams,
		.transfer = d->transfer,
		.plugins = d->plugins,
		.n_plugins = d->n_plugins,
		.uuid = d->uuid,
		.version = daemon_version,
		.revision = daemon_revision,
		.sync_fs = d->config->sync_fs,
	};
}

static struct err *init_plugin(struct daemon *d, const struct plugin *row)
{
	struct plugin_info *p = &d->plugins[d->n_plugins++];
	autofree char *uri = xasprintf("%s.%s", row->type, row->id);
	struct err *e;

	*p = (struct plugin_info){.type = row->type,
		.id = row->id,
		.requires = row->requires,
		.has_platform = row->has_platform};
	if (strv_has(&d->config->disabled_plugins, uri)) {
		if (row->vital)
			return err_new(ERR_INVALID,
				"disabled_plugins: the daemon cannot run without %s", uri);
		log_info("plugin disabled by configuration", "plugin", uri);
		d->n_plugins--;
		return NULL;
	}
	e = row->init(d, p);
	fill_services(d);
	if (!e)
		return NULL;
	if (row->vital || strv_has(&d->config->required_plugins, uri))
		return err_wrap(e, "load plugin %s", uri);
	if (strstr(err_message(e), SNAPSHOT_SKIP))
		log_info("skip loading plugin", "id", uri, "error", err_message(e));
	else
		log_warn("failed to load plugin", "id", uri, "error", err_message(e));
	p->init_error = e;
	return NULL;
}

/* A required plugin that there is not. */
static struct err *check_required(const struct daemon *d)
{
	const struct strv *required = &d->config->required_plugins;

	for (size_t i = 0; i < required->n; i++) {
		bool found = false;

		for (size_t k = 0; k < d->n_plugins && !found; k++) {
			autofree char *uri =
				xasprintf("%s.%s", d->plugins[k].type, d->plugins[k].id);

			found = str_eq(uri, required->items[i]);
		}
		if (!found)
			return err_new(ERR_INVALID, "required plugin %s is not loaded",
				required->items[i]);
	}
	return NULL;
}

struct err *daemon_init_plugins(struct daemon *d)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		TRY(init_plugin(d, &table[i]));
	return check_required(d);
}

void daemon_done_plugins(struct daemon *d)
{
	shim_controller_free(d->shim_sandboxes);
	task_manager_free(d->tasks);
	transfer_free(d->transfer);
	streams_free(d->streams);
	differ_free(d->differ);
	collector_free(d->collector);
	snapshots_free(d->snapshots);
	content_free(d->content);
	meta_close(d->meta);
	if (d->store)
		content_close(d->store);
	exchange_free(d->exchange);
	for (size_t i = 0; i < d->n_plugins; i++) {
		strmap_done(&d->plugins[i].exports);
		err_free(d->plugins[i].init_error);
	}
	free(d->uuid);
}
