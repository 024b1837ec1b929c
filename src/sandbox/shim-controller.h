// SPDX-License-Identifier: Apache-2.0
/*
 * The controller "shim": each sandbox is a shim that serves containerd.runtime.sandbox.v1.Sandbox,
 * and its containers are tasks of the same shim. Sandboxes live on while the daemon is away.
 */
#pragma once

#include "runtime/shim.h"
#include "sandbox/controller.h"

CHECKED struct err *shim_controller_new(
	struct loop *loop, const struct shim_options *options, struct sandbox_controller **ret);
/* Lets go of all sandboxes without touching them. Not on the loop's thread. NULL-safe. */
void shim_controller_free(struct sandbox_controller *c);
/* Find the sandboxes of an earlier run again and clean up behind those that are gone. Before
 * serving. */
CHECKED struct err *shim_controller_load(struct sandbox_controller *c);
/* Where the shim of a sandbox is. ERR_NOT_FOUND. */
CHECKED struct err *shim_controller_endpoint(
	struct sandbox_controller *c, const char *ns, const char *id, struct bootstrap *ret);
