// SPDX-License-Identifier: Apache-2.0
/* `-info`: what this shim and its runtime can do, without any container. */
#pragma once

#include "base/err.h"

CHECKED struct err *info_run(void);
