// SPDX-License-Identifier: Apache-2.0
/* The long-lived part: serves the task service until Shutdown finds no container left. */
#pragma once

#include "base/err.h"
#include "shim/flags.h"

CHECKED struct err *server_run(const struct flags *flags);
