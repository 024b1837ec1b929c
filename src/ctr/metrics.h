// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ctr/ctr.h"

#include <containerd/tasks.h>

/* The values of a container's cgroup that people look at; `o` is the metrics' JSON. */
void metrics_print(const struct ctd_metrics *m, struct json_object *o);
