// SPDX-License-Identifier: Apache-2.0
/* What the server shares: one loop, one thread, the containers of one pod. */
#pragma once

#include "base/map.h"
#include "event/loop.h"
#include "rpc/rpc.h"
#include "shim/publisher.h"
#include "shim/reaper.h"

struct shim {
	struct loop *loop;
	char *ns;
	struct reaper *reaper;
	struct publisher *publisher;
	struct rpc_server *server;
	struct map containers;	 /* id -> struct container, owned */
	struct sandbox *sandbox; /* NULL: none; see sandbox.h */
	void (*shutdown)(struct shim *s);
};
