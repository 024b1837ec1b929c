// SPDX-License-Identifier: Apache-2.0
/*
 * Inside the shim controller. A sandbox is in the map from the moment its name is taken to the
 * moment nothing of it is left; whoever moves it to ENDING (box_claim) takes it down, alone.
 */
#pragma once

#include "base/list.h"
#include "base/ref.h"
#include "proto/shim-sandbox.pb-c.h"
#include "rpc/message.h"
#include "sandbox/shim-controller.h"

#define SANDBOX_SERVICE "containerd.runtime.sandbox.v1.Sandbox"

struct shim_controller {
	struct sandbox_controller base;
	struct shim_host host;
	struct pool *pool; /* loading, and taking down behind dead shims */
	struct lock lock;
	/* guarded by lock */
	struct map boxes; /* "ns/id" -> struct box, one reference each */
	bool stopping;
};

enum box_state { BOX_STARTING, BOX_LIVE, BOX_ENDING };

struct box {
	struct ref ref;
	struct shim_controller *c;
	struct shim shim; /* set up while STARTING, then constant */
	/* guarded by c->lock */
	enum box_state state;
	unsigned busy;	   /* that many see to what happens if the shim is lost */
	bool lost;	   /* it hung up */
	bool asking;	   /* the one WaitSandbox call is under way */
	struct list waits; /* of struct sandbox_wait, owned */
};

struct box *box_ref(struct box *b);
void box_unref(struct box *b);
DEFINE_AUTOPTR(box, box_unref);
/* ERR_NOT_FOUND; otherwise a reference. */
CHECKED struct err *box_find(
	struct shim_controller *c, const char *ns, const char *id, struct box **ret);

/* --- shim-wait.c --- */

struct sandbox_wait *box_wait(struct sandbox_controller *c, const char *ns, const char *id,
	sandbox_wait_fn done, void *arg);
void box_wait_forget(struct sandbox_controller *c, struct sandbox_wait *w);
