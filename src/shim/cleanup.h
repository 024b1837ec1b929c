// SPDX-License-Identifier: Apache-2.0
/* `delete`: what is to be done about a container whose shim is gone. */
#pragma once

#include "base/err.h"
#include "shim/flags.h"

CHECKED struct err *cleanup_run(const struct flags *flags);
