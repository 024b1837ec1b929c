// SPDX-License-Identifier: Apache-2.0
/* The long-lived part: serves tasks until Shutdown finds no container left, and a sandbox until that
 * is shut down. */
#pragma once

#include "base/err.h"
#include "shim/flags.h"

CHECKED struct err *server_run(const struct flags *flags);
