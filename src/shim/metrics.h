// SPDX-License-Identifier: Apache-2.0
/* What Stats answers: io.containerd.cgroups.v1.Metrics or v2.Metrics. */
#pragma once

#include "base/arena.h"
#include "google/protobuf/any.pb-c.h"
#include "shim/cgroup.h"

/* In the arena. A controller that is missing is left out. */
Google__Protobuf__Any *metrics_v1(const struct cgroup *c, struct arena *arena);
Google__Protobuf__Any *metrics_v2(const struct cgroup *c, struct arena *arena);
