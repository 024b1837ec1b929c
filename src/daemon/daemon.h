// SPDX-License-Identifier: Apache-2.0
/*
 * The daemon: configuration, the plugin table, the two servers and what connects them. A reader
 * finds everything the daemon is made of in plugins.c.
 *
 * SIGTERM and SIGINT end it within a fraction of a second and leave shims and containers running;
 * the next start finds them again.
 */
#pragma once

#include "daemon/config.h"
#include "services/services.h"

#define PLUGINS_MAX 40

struct daemon {
	const struct config *config; /* borrowed */
	char *exe;		     /* our own path */
	struct loop *loop;
	struct pool *pool;
	struct rpc_server *grpc, *ttrpc;
	struct meta *meta;
	struct content_store *store;
	struct content *content;
	struct snapshots *snapshots;
	struct collector *collector;
	struct differ *differ;
	struct exchange *exchange;
	struct task_manager *tasks;
	struct sandbox_controller *shim_sandboxes;
	struct sandboxer sandboxers[1];
	size_t n_sandboxers;
	struct streams *streams;
	struct transfer *transfer;
	struct services services;
	char *uuid;
	struct plugin_info plugins[PLUGINS_MAX];
	size_t n_plugins;
	int64_t started_ns;
	bool loaded, stopping;
	unsigned draining;   /* servers that have not drained yet */
	struct err *failure; /* why it could not begin to serve */
};

/* Everything but serving. */
CHECKED struct err *daemon_start(const struct config *config, struct daemon **ret);
/* Finds the running tasks, listens, and serves until a signal asks to stop. */
CHECKED struct err *daemon_serve(struct daemon *d);
void daemon_free(struct daemon *d);
DEFINE_AUTOPTR(daemon, daemon_free);

/* plugins.c: runs the table, in order. An error is one that the daemon cannot start with. */
CHECKED struct err *daemon_init_plugins(struct daemon *d);
void daemon_done_plugins(struct daemon *d);
/* The directories of a plugin under root and state. */
char *plugin_root(const struct daemon *d, const char *type, const char *id);
char *plugin_state(const struct daemon *d, const char *type, const char *id);

/* As `containerd --version` prints them; the version is the API level served, with ours behind the
 * plus. */
extern const char daemon_package[], daemon_version[], daemon_revision[];
