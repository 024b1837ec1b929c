// SPDX-License-Identifier: Apache-2.0
/* What clients may ask for a container and its processes, as operations. */
#pragma once

#include "proto/shim-v3.pb-c.h"
#include "shim/container.h"

/* Each parks the call and answers it by itself, also with its error. */
void action_create(struct container *c, struct rpc_call *call);
void action_start(struct process *p, struct rpc_call *call);
void action_delete(struct process *p, struct rpc_call *call);
void action_kill(struct process *p, struct rpc_call *call);
void action_pause(struct process *p, struct rpc_call *call);
void action_resume(struct process *p, struct rpc_call *call);
void action_update(struct process *p, struct rpc_call *call);
void action_checkpoint(struct process *p, struct rpc_call *call);
/* For a runtime whose processes the kernel's files do not show. */
void action_ps(struct process *p, struct rpc_call *call);

/* Answers Pids from a list. */
CHECKED struct err *pids_reply(
	struct rpc_call *call, const struct container *c, const pid_t *pids, size_t n);
