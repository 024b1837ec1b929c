// SPDX-License-Identifier: Apache-2.0
/*
 * The gRPC services: one file each, and the only place where wire messages and domain types meet. A
 * handler reads its request, makes one domain call and fills its reply. Every service here is
 * complete in the methods it has; what is not in its table is answered UNIMPLEMENTED by rpc/.
 */
#pragma once

#include "diff/differ.h"
#include "events/exchange.h"
#include "meta/db.h"
#include "namespaced/collector.h"
#include "namespaced/content.h"
#include "namespaced/snapshots.h"
#include "rpc/rpc.h"
#include "runtime/task-manager.h"
#include "sandbox/controller.h"

struct streams;	 /* transfer/streams.h */
struct transfer; /* transfer/transfer.h */

/* A row of the daemon's plugin table as introspection shows it. */
struct plugin_info {
	const char *type, *id;
	const char *const *
		requires;		 /* types, NULL-terminated, may be NULL */
	const char *const *capabilities; /* likewise */
	struct strmap exports;
	bool has_platform;	/* the host's */
	struct err *init_error; /* NULL: it works; borrowed */
};

/* A sandbox controller by the name that records give it. */
struct sandboxer {
	const char *name;
	struct sandbox_controller *controller;
};

/* What the handlers work on; everything is borrowed and outlives the servers. */
struct services {
	struct loop *loop; /* the one the servers run on */
	struct meta *meta;
	struct content *content;
	struct snapshots *snapshots;
	struct collector *collector;
	struct differ *differ;
	struct exchange *exchange;
	struct task_manager *tasks;
	const struct sandboxer *sandboxers;
	size_t n_sandboxers;
	struct streams *streams;
	struct transfer *transfer;
	const struct plugin_info *plugins;
	size_t n_plugins;
	const char *uuid; /* of this installation */
	const char *version, *revision;
	bool sync_fs; /* every applied layer is flushed, also where the client does not ask */
};

/* The method tables, one a service; `impl` of each is a struct services. The last is for the ttrpc
 * socket, the others for gRPC. */
extern const struct rpc_service containers_service, content_service, diff_service, events_service,
	health_service, images_service, introspection_service, leases_service, namespaces_service,
	sandbox_controllers_service, sandboxes_service, snapshots_service, streaming_service,
	tasks_service, transfer_service, version_service, events_ttrpc_service;

/* Turn the metadata's changes into containerd's events. */
void services_announce(struct services *s);
