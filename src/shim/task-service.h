// SPDX-License-Identifier: Apache-2.0
/* containerd.task.v2.Task and containerd.task.v3.Task: the same messages under two names. */
#pragma once

#include "rpc/rpc.h"

/* Both take a struct shim as their object. */
extern const struct rpc_service task_service_v2, task_service_v3;
