// SPDX-License-Identifier: Apache-2.0
/*
 * containerd.runtime.sandbox.v1.Sandbox: a sandbox without a process of its own. It is the shim, which
 * stays until the sandbox is shut down, and the network namespace that it holds open. Containers
 * come and go by the task service. Stopping it ends them; none is created after that.
 */
#pragma once

#include "rpc/rpc.h"
#include "shim/shim.h"

/* Takes a struct shim as its object. */
extern const struct rpc_service sandbox_service;

/* ERR_PRECONDITION when the sandbox of the shim, if it has one, takes no more containers. */
CHECKED struct err *sandbox_check_open(const struct shim *s);
/* A container was created or removed, or its init process has ended. */
void sandbox_containers_changed(struct shim *s);
